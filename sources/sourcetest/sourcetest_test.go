package sourcetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nitrox/sources"
	"nitrox/sources/sourcetest"
)

// careless is a source with one fault of its own, which the suite must see.
type careless struct {
	url, sin string
	last     []sources.Answer
}

func (c *careless) get(ctx context.Context, path string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Token", "s3cret")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if c.sin != "follows redirects" {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case c.sin == "takes 404 for absent" && resp.StatusCode == 404:
		return sources.ErrAbsent
	case c.sin == "ignores the status":
	case c.sin == "takes all of 2xx" && resp.StatusCode/100 == 2:
	case c.sin == "prints its token" && resp.StatusCode != 200:
		return errors.New("token s3cret: " + resp.Status)
	case resp.StatusCode != 200:
		return errors.New(resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20+1))
	if c.sin == "ignores a cut-off body" && errors.Is(err, io.ErrUnexpectedEOF) {
		return json.Unmarshal([]byte("[]"), into)
	}
	if err != nil {
		return err
	}
	if len(body) > 1<<20 {
		return errors.New("too large")
	}
	if c.sin == "ignores what follows" {
		return json.NewDecoder(strings.NewReader(string(body))).Decode(into)
	}
	if c.sin != "takes null for empty" && !strings.HasPrefix(string(body), "[") {
		return errors.New("no list")
	}
	return json.Unmarshal(body, into)
}

func (c *careless) Poll(ctx context.Context, queries []string, fresh bool) ([]sources.Answer, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	var apps, addrs []string
	err := c.get(ctx, "/apps", &apps)
	if err == nil {
		err = c.get(ctx, "/addrs", &addrs)
	}
	if c.sin == "swallows errors" {
		err = nil
	}
	if c.sin == "answers from the poll before" && err != nil && c.last != nil {
		return c.last, nil
	}
	if err != nil {
		return nil, err
	}
	answers := make([]sources.Answer, len(queries))
	for i, q := range queries {
		if !slices.Contains(apps, q) {
			answers[i] = sources.Doubtful(fmt.Errorf("%s: %w", q, sources.ErrAbsent))
			continue
		}
		var doubt error
		if len(addrs) == 0 && c.sin != "swallows errors" && c.sin != "takes null for empty" {
			doubt = errors.New("no addresses at all")
		}
		var endpoints []sources.Endpoint
		for _, a := range addrs {
			endpoints = append(endpoints, sources.Endpoint{Addr: netip.MustParseAddrPort(a)})
		}
		answers[i] = sources.NewAnswer(endpoints, nil, doubt)
	}
	if c.sin == "answers from the poll before" {
		c.last = answers
	}
	return answers, nil
}

// TestASourceLikeThis is what the test below runs in a process of its own.
func TestASourceLikeThis(t *testing.T) {
	sin, ok := os.LookupEnv("SOURCETEST_SIN")
	if !ok {
		sin = "" // the careful one, which passes
	}
	sourcetest.Run(t, sourcetest.Fixture{
		Open: func(t *testing.T, url string) sources.Opened {
			s, err := sources.Define("careless", func(url string) (*careless, error) { return &careless{url: url, sin: sin}, nil }).Open(url)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Query: "web", Absent: "wed",
		Want: []sources.Endpoint{{Addr: netip.MustParseAddrPort("10.0.0.1:80")}, {Addr: netip.MustParseAddrPort("10.0.0.2:80")}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/apps"):
				io.WriteString(w, `["web", "other"]`)
			default:
				io.WriteString(w, `["10.0.0.1:80", "10.0.0.2:80"]`)
			}
		}),
		Requests: []string{"/apps", "/addrs"}, Secrets: []string{"s3cret"}, MaxBody: 1 << 20,
	})
}

func TestTheSuiteSeesCarelessSources(t *testing.T) {
	for sin, fault := range map[string]string{
		"ignores the status":           "faults/of/500_with_an_empty_list_to_apps",
		"takes all of 2xx":             "faults/of/206_with_a_good_body_to_addrs",
		"takes 404 for absent":         "faults/of/404_to_apps",
		"takes null for empty":         "faults/of/200_with_null_to_addrs",
		"ignores what follows":         "faults/of/something_after_the_JSON_to_apps",
		"ignores a cut-off body":       "faults/of/connection_closed_in_the_middle_of_the_body_to_apps",
		"follows redirects":            "faults/of/302_with_a_good_body,_to_another_host_to_addrs",
		"prints its token":             "faults/of/401_to_apps",
		"swallows errors":              "connection_refused",
		"answers from the poll before": "faults/of/503_to_addrs",
	} {
		t.Run(sin, func(t *testing.T) {
			t.Parallel()
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.v",
				"-test.run=^TestASourceLikeThis$/^"+strings.ReplaceAll(regexp.QuoteMeta(fault), "/", "$/^")+"$")
			c.Env = append(os.Environ(), "SOURCETEST_SIN="+sin)
			out, err := c.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passes")
			}
			if !strings.Contains(string(out), "--- FAIL: TestASourceLikeThis/"+fault+" (") {
				t.Errorf("the suite fails, but not for %q:\n%s", fault, out)
			}
		})
	}
}
