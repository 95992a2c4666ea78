package sourcetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/sources"
)

// silent keeps what servers say about broken connections out of the output.
var silent = log.New(io.Discard, "", 0)

// unstarted is a server that keeps quiet about broken connections.
func unstarted(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = silent
	t.Cleanup(s.Close)
	return s
}

// unknown is the URL of a server with a certificate that nobody knows.
func unknown(t *testing.T) string {
	s := unstarted(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a server with an unknown certificate was asked")
	}))
	s.StartTLS()
	return s.URL
}

// patience is how long a poll waits for a server that does not answer. The
// test needs no more: a source has no other way out than the context.
const patience = 150 * time.Millisecond

// fault is one way in which a request does not get a good answer. healthy is
// what the cluster manager would have answered.
type fault struct {
	name  string
	serve func(w http.ResponseWriter, r *http.Request, healthy *httptest.ResponseRecorder)
	// hangs is set if only the end of the context ends the request.
	hangs bool
	// empty is set if a list without objects is answered, from which a source
	// may conclude that an app is absent.
	empty bool
}

// answer is a fault that consists of a status, a type and a body.
func answer(name string, status int, contentType, body string) fault {
	return fault{name: name, serve: func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}}
}

// status is a fault that answers a good body with a status that is not 200.
func status(name string, code int, headers ...string) fault {
	return fault{name: name, serve: func(w http.ResponseWriter, _ *http.Request, healthy *httptest.ResponseRecorder) {
		maps.Copy(w.Header(), healthy.Header())
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		w.Write(healthy.Body.Bytes())
	}}
}

// body is a fault that changes the body of a good answer.
func body(name string, change func([]byte) []byte) fault {
	return fault{name: name, serve: func(w http.ResponseWriter, _ *http.Request, healthy *httptest.ResponseRecorder) {
		maps.Copy(w.Header(), healthy.Header())
		w.Header().Del("Content-Length")
		w.Write(change(healthy.Body.Bytes()))
	}}
}

// half writes the first half of a good answer, whose length it has promised.
func half(w http.ResponseWriter, healthy *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), healthy.Header())
	w.Header().Set("Content-Length", strconv.Itoa(healthy.Body.Len()))
	w.Write(healthy.Body.Bytes()[:healthy.Body.Len()/2])
	w.(http.Flusher).Flush()
}

// faultsOf are the faults of a polled HTTP API. elsewhere is another host.
func faultsOf(f Fixture, elsewhere string) []fault {
	const plain, html, json = "text/plain", "text/html", "application/json"
	list := []fault{
		{name: "connection closed before the answer", serve: func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) {
			panic(http.ErrAbortHandler)
		}},
		{name: "connection closed in the middle of the body", serve: func(w http.ResponseWriter, _ *http.Request, healthy *httptest.ResponseRecorder) {
			half(w, healthy)
			panic(http.ErrAbortHandler)
		}},
		{name: "no answer in time", hangs: true, serve: func(_ http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) {
			<-r.Context().Done()
			// To return would be to answer after all, and well enough for the
			// connection to be used again, which the client may yet be about to
			// close for the request that it has given up.
			panic(http.ErrAbortHandler)
		}},
		{name: "the body stops in the middle", hangs: true, serve: func(w http.ResponseWriter, r *http.Request, healthy *httptest.ResponseRecorder) {
			half(w, healthy)
			<-r.Context().Done()
		}},
		body("truncated JSON", func(b []byte) []byte { return b[:len(b)/2] }),
		body("JSON without its last character", func(b []byte) []byte {
			b = bytes.TrimSpace(b)
			return b[:max(0, len(b)-1)]
		}),
		body("something after the JSON", func(b []byte) []byte { return append(b, "\n<hr>proxy error"...) }),
		body("the JSON twice", func(b []byte) []byte { return append(append([]byte{}, b...), b...) }),
		answer("200 with HTML", 200, html, "<!DOCTYPE html><title>Log in</title>"),
		answer("200 with nothing", 200, json, ""),
		answer("200 with null", 200, json, "null"),
		answer("200 with {}", 200, json, "{}"),
		{name: "200 with []", empty: true, serve: answer("", 200, json, "[]").serve},
		answer("200 with text", 200, json, `"ok"`),
		answer("200 with an error object", 200, json, `{"message": "no leader"}`),
		answer("204", 204, json, ""),
		answer("301 without a body", 301, plain, ""),
		status("203 with a good body", 203),
		status("206 with a good body", 206),
		answer("401", 401, plain, "Unauthorized"),
		answer("403", 403, json, `{"message": "forbidden"}`),
		answer("404", 404, plain, "404 page not found"),
		answer("409", 409, json, `{"message": "conflict"}`),
		answer("429", 429, plain, "slow down"),
		status("500 with a good body", 500),
		answer("500 with an empty list", 500, json, "[]"),
		answer("502", 502, html, "<html><h1>502 Bad Gateway</h1></html>"),
		answer("503", 503, json, `{"message": "unavailable"}`),
	}
	for _, code := range []int{301, 302, 307, 308} {
		list = append(list, status(strconv.Itoa(code)+" with a good body, to another host", code, "Location", elsewhere))
	}
	list = append(list, answer("302 without Location", 302, json, "[]"))
	if f.MaxBody > 0 {
		list = append(list, fault{name: "a body without end", serve: func(w http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) {
			w.Header().Set("Content-Type", json)
			io.WriteString(w, "[")
			spaces := []byte(strings.Repeat(" ", 64<<10))
			for r.Method != http.MethodHead { // whose body goes nowhere
				if _, err := w.Write(spaces); err != nil {
					return // the source has had enough
				}
			}
		}})
	}
	return list
}

// faults breaks each request of a poll alone, and all together; before the
// source has connected, and after.
func (f Fixture) faults(t *testing.T) {
	// Following a redirect must not carry credentials to another host. This
	// one answers well, so that following without them is seen, too.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			all := strings.Join(values, " ")
			if name == "Authorization" || name == "Cookie" {
				t.Errorf("another host was sent %s", name)
			}
			for _, secret := range f.Secrets {
				if strings.Contains(all, secret) {
					t.Errorf("another host was sent a secret in %s", name)
				}
			}
		}
		f.Handler.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	t.Run("of", func(t *testing.T) { // ends when all that run in parallel have
		for _, what := range faultsOf(f, elsewhere.URL+"/elsewhere") {
			for _, path := range append([]string{""}, f.Requests...) {
				name := what.name + " to all requests"
				if path != "" {
					name = what.name + " to " + strings.TrimPrefix(path, "/")
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					f.fault(t, what, path)
				})
			}
		}
	})
}

// breakable is a cluster manager whose requests fail during a round.
type breakable struct {
	healthy http.Handler
	fault   fault
	path    string // the end of the paths that the fault concerns
	now     atomic.Pointer[round]
}

// round is a poll under a fault. A request of it may arrive when it is over, and
// another has begun: where a machine is busy, the poll's time ends before that.
type round struct {
	hits atomic.Int64
	// over ends when the poll has; handlers that hang must end with it, also
	// where the source has not closed the connection: a HEAD has no body.
	over context.Context
}

func (b *breakable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := b.now.Load()
	if now == nil || !strings.HasSuffix(r.URL.Path, b.path) {
		b.healthy.ServeHTTP(w, r)
		return
	}
	now.hits.Add(1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(now.over, cancel)()
	r = r.WithContext(ctx)
	recorder := httptest.NewRecorder()
	b.healthy.ServeHTTP(recorder, r)
	b.fault.serve(w, r, recorder)
}

func (f Fixture) fault(t *testing.T, what fault, path string) {
	b := &breakable{healthy: f.Handler, fault: what, path: path}
	server := unstarted(t, b)
	server.Start()
	s := f.Open(t, server.URL)
	for i, fresh := range []bool{true, false} {
		over, end := context.WithCancel(t.Context())
		now := &round{over: over}
		b.now.Store(now)
		f.underFault(t, b, now, s, fresh)
		b.now.Store(nil)
		end()
		answers, err := poll(t, s, false, f.Query)
		if err == nil {
			err = f.isTruth(answers[0])
		}
		if err != nil {
			t.Errorf("round %d: after the fault: %v", i, err)
		}
	}
}

// underFault polls while the fault is on.
func (f Fixture) underFault(t *testing.T, b *breakable, now *round, s sources.Opened, fresh bool) {
	t.Helper()
	limit := time.Minute
	if b.fault.hangs {
		limit = patience
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	answers, err := s.Poll(ctx, []any{f.Query}, fresh)
	switch {
	case now.hits.Load() == 0 && !b.fault.hangs:
		// Only a cache can spare the request, and then the answer is the truth.
		if fresh {
			t.Fatalf("a fresh poll makes no request to %q", b.path)
		}
		if err == nil {
			err = f.isTruth(answers[0])
		}
		if err != nil {
			t.Errorf("from a cache: %v", err)
		}
		return
	case err == nil && answers[0].Doubt() == nil:
		t.Fatalf("fresh %v: got %+v, want an error or a doubt", fresh, answers[0])
	case err == nil:
		err = answers[0].Doubt()
		if err := f.isPart(answers[0]); err != nil {
			t.Error(err)
		}
	case len(answers) > 0:
		t.Errorf("answers %+v beside the error %v", answers, err)
	}
	f.discreet(t, err)
	if errors.Is(err, sources.ErrAbsent) && !b.fault.empty {
		t.Errorf("the failure passes for an app that is absent: %v", err)
	}
}
