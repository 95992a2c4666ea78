package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources/httpapi"
)

func TestAStatusThatIsNot200(t *testing.T) {
	long := strings.Repeat("word ", 1000)
	for want, answer := range map[string]http.HandlerFunc{
		"204 No Content: only 200 is a complete answer": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"302 Found to https://sso.example.com: redirects are not followed": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://user:pass@sso.example.com/login?token=s3cret", http.StatusFound)
		},
		"304 Not Modified: redirects are not followed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) },
		"403 Forbidden: you may not": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			io.WriteString(w, `{"kind":"Status","message":"you\n may not"}`)
		},
		"404 Not Found: <html> gone": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, "<html>\n\tgone\xff\n")
		},
		"429 Too Many Requests (Retry-After: 7)": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		},
		"500 Internal Server Error: " + long[:500-1] + "…": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			io.WriteString(w, long)
		},
		"503 Service Unavailable: after 4 bytes of the answer: unexpected EOF": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(503)
			io.WriteString(w, "half")
		},
	} {
		server := httptest.NewServer(answer)
		resp, err := (&http.Client{CheckRedirect: httpapi.Stay}).Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		wrong := httpapi.NewStatusError(resp)
		if wrong.Error() != want || wrong.Code != resp.StatusCode {
			t.Errorf("got  %q, code %d\nwant %q", wrong, wrong.Code, want)
		}
		if httpapi.Forbidden(fmt.Errorf("list: %w", wrong)) != (resp.StatusCode == 403) {
			t.Errorf("%v: is it about missing rights?", wrong)
		}
		resp.Body.Close()
		server.Close()
	}
}

func TestAnAnswerHasAnEnd(t *testing.T) {
	const max = 1 << 20
	for _, c := range []struct {
		name      string
		size, cut int
		want      string
	}{
		{"empty", 0, 0, ""},
		{"as large as may be", max, max, ""},
		{"larger", max + 1, max + 1, "the answer is too large: it has more than 1 MiB; find out what answers there"},
		{"cut off", max, 1000, "after 1000 bytes of the answer: unexpected EOF"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(c.size))
			io.WriteString(w, strings.Repeat("x", c.cut))
		}))
		resp, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := httpapi.ReadAll(resp, max)
		if c.want == "" && (err != nil || len(body) != c.size) || c.want != "" && (fmt.Sprint(err) != c.want || body != nil) {
			t.Errorf("%s: %d bytes, error %v; want %q", c.name, len(body), err, c.want)
		}
		resp.Body.Close()
		server.Close()
	}
}

// Of three hosts the two that are silent do not use up the time of the third.
func TestHostsShareTheTime(t *testing.T) {
	hosts := []*url.URL{{Host: "a"}, {Host: "b"}, {Host: "c"}}
	silent := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, c := range map[string]struct {
		serves string
		stop   time.Duration // of the caller, before its deadline
		after  time.Duration
		want   string
	}{
		"the first": {serves: "a", want: "<nil>"},
		"the last":  {serves: "c", after: 20 * time.Second, want: "<nil>"},
		"none": {after: 30 * time.Second,
			want: "//a: context deadline exceeded\n//b: context deadline exceeded\n//c: context deadline exceeded"},
		"the caller has stopped": {stop: 5 * time.Second, after: 5 * time.Second, want: "//a: context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if c.stop > 0 {
					time.AfterFunc(c.stop, cancel)
				}
				began := time.Now()
				got, err := httpapi.InTurn(ctx, hosts, func(ctx context.Context, host *url.URL) (string, error) {
					if host.Host != c.serves {
						return "", silent(ctx)
					}
					return host.Host, nil
				})
				if fmt.Sprint(err) != c.want || got != c.serves || time.Since(began) != c.after {
					t.Errorf("%q after %v, error %v; want %q after %v, error %s", got, time.Since(began), err, c.serves, c.after, c.want)
				}
			})
		})
	}
	fails := func(context.Context, *url.URL) (int, error) { return 0, io.EOF }
	if _, err := httpapi.InTurn(t.Context(), hosts, fails); !errors.Is(err, io.EOF) {
		t.Errorf("without a deadline: %v", err)
	}
}
