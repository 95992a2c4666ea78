// Package sourcetest is the suite that every source passes. It holds the one
// promise that all of Nitrox rests on: whatever happens to a cluster manager or
// on the way to it, an answer is the whole truth or it says that it is not.
//
// A source's test describes a healthy cluster manager in a [Fixture]; the suite
// asks the source about it, breaks it in each way that has broken a load
// balancer somewhere, and looks that the truth is back when the fault is gone.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nitrox/sources"
)

// Fixture describes a source to the suite.
type Fixture struct {
	// Open makes a new source each time. url is the root of a cluster manager that
	// Handler serves, http or https, without a slash at its end.
	Open func(t *testing.T, url string) sources.Opened
	// Query asks for an app that the cluster has; the source answers with
	// Want, in any order, and without a doubt. Origin is not compared. Two
	// endpoints or more make a shrunk answer visible.
	Query any
	Want  []sources.Endpoint
	// Absent asks for an app that the cluster does not have.
	Absent any

	// Handler is a healthy cluster manager. It is strict: it fails the test,
	// or refuses, what a real one would. Nil: the source does not use HTTP, and
	// the suite ends with what needs no faults.
	Handler http.Handler
	// Requests are the requests that a poll makes once the source has
	// connected, each as the end of its path: "/nodes". They are as many
	// for any number of queries.
	Requests []string
	// Missing are those that an app which is absent costs more.
	Missing []string
	// Secrets must not be seen in an error nor by another host.
	Secrets []string
	// MaxBody is the size in bytes above which the source refuses a body; the
	// test may lower it to spare time. 0: not tested.
	MaxBody int64
	// Broken serves what Handler does, but for one malformed object that
	// belongs to the app of BrokenQuery and to no other. Nil: the source
	// cannot tell whose an object is that it cannot read.
	Broken      http.Handler
	BrokenQuery any
}

// Run runs the suite.
func Run(t *testing.T, f Fixture) {
	if len(f.Want) < 2 {
		t.Fatal("the fixture's app needs two endpoints or more")
	}
	t.Run("answers", f.answers)
	t.Run("concurrent polls", f.concurrent)
	t.Run("ended context", f.ended)
	if f.Handler == nil {
		return
	}
	t.Run("requests", f.requests)
	t.Run("connection refused", f.refused)
	t.Run("unknown certificate", f.certificate)
	t.Run("faults", f.faults)
	if f.Broken != nil {
		t.Run("malformed object", f.malformed)
	}
}

// serve starts a server, if the source needs one, and opens the source.
func (f Fixture) serve(t *testing.T, h http.Handler) sources.Opened {
	t.Helper()
	if f.Handler == nil {
		return f.Open(t, "")
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return f.Open(t, s.URL)
}

// poll asks with a time limit that only a source that hangs can reach.
func poll(t *testing.T, s sources.Opened, fresh bool, queries ...any) ([]sources.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s.Poll(ctx, queries, fresh)
}

func (f Fixture) answers(t *testing.T) {
	s := f.serve(t, f.Handler)
	for _, fresh := range []bool{true, false} {
		// The same query twice, and one without an answer between the two.
		answers, err := poll(t, s, fresh, f.Query, f.Absent, f.Query)
		if err != nil {
			t.Fatalf("fresh %v: %v", fresh, err)
		}
		for _, i := range []int{0, 2} {
			if err := f.isTruth(answers[i]); err != nil {
				t.Errorf("fresh %v: answer %d: %v", fresh, i, err)
			}
		}
		if a := answers[1]; !errors.Is(a.Doubt(), sources.ErrAbsent) || len(a.Endpoints) > 0 {
			t.Errorf("fresh %v: an absent app: got %+v, want no endpoints and a doubt that is ErrAbsent", fresh, a)
		}
	}
	for _, e := range f.Want {
		if a := e.Addr.Addr(); !a.IsValid() || a.Is4In6() || a.Zone() != "" || e.Addr.Port() == 0 || e.Weight < 0 || e.Weight > 100 {
			t.Errorf("%+v is not fit to bind", e)
		}
	}
}

func (f Fixture) concurrent(t *testing.T) {
	s := f.serve(t, f.Handler)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 3 {
				answers, err := poll(t, s, i%2 == 0, f.Query)
				if err == nil {
					err = f.isTruth(answers[0])
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func (f Fixture) ended(t *testing.T) {
	s := f.serve(t, f.Handler)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if answers, err := s.Poll(ctx, []any{f.Query}, true); !errors.Is(err, context.Canceled) || len(answers) > 0 {
		t.Errorf("got %v and error %v, want the context's error alone", answers, err)
	}
	if answers, err := poll(t, s, true, f.Query); err != nil {
		t.Errorf("the next poll: %v", err)
	} else if err := f.isTruth(answers[0]); err != nil {
		t.Errorf("the next poll: %v", err)
	}
}

func (f Fixture) requests(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	s := f.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Method+" "+r.URL.Path)
		mu.Unlock()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			t.Errorf("%s %s: a source only reads", r.Method, r.URL.Path)
		}
		f.Handler.ServeHTTP(w, r)
	}))
	if answers, err := poll(t, s, true); err != nil || len(answers) != 0 || len(seen) > 0 {
		t.Errorf("without queries: %v, error %v, requests %v; want none", answers, err, seen)
	}
	for i, queries := range [][]any{{f.Query}, {f.Query}, {f.Query, f.Absent, f.Query}} {
		mu.Lock()
		seen = nil
		mu.Unlock()
		if _, err := poll(t, s, true, queries...); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue // it may connect first
		}
		left, wanted := slices.Clone(seen), f.Requests
		if i == 2 {
			wanted = slices.Concat(f.Requests, f.Missing)
		}
		for _, want := range wanted {
			at := slices.IndexFunc(left, func(got string) bool { return strings.HasSuffix(got, want) })
			if at < 0 {
				t.Errorf("%d queries: requests %v lack one of %q", len(queries), seen, want)
				continue
			}
			left = slices.Delete(left, at, at+1)
		}
		if len(left) > 0 {
			t.Errorf("%d queries: requests %v beyond %v", len(queries), left, wanted)
		}
	}
}

func (f Fixture) refused(t *testing.T) {
	gone := httptest.NewServer(f.Handler)
	gone.Close()
	f.fails(t, f.Open(t, gone.URL))
}

func (f Fixture) certificate(t *testing.T) { f.fails(t, f.Open(t, unknown(t))) }

// fails looks that nothing is known, and that the error keeps secrets.
func (f Fixture) fails(t *testing.T, s sources.Opened) {
	t.Helper()
	answers, err := poll(t, s, true, f.Query)
	if err == nil {
		t.Fatalf("got %+v, want an error", answers)
	}
	f.discreet(t, err)
	if errors.Is(err, sources.ErrAbsent) {
		t.Errorf("the error says that the app is absent: %v", err)
	}
}

func (f Fixture) discreet(t *testing.T, err error) {
	t.Helper()
	for _, secret := range f.Secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a secret is in the error %q", err)
		}
	}
}

func (f Fixture) malformed(t *testing.T) {
	s := f.serve(t, f.Broken)
	answers, err := poll(t, s, true, f.BrokenQuery, f.Query)
	if err != nil {
		t.Fatalf("one malformed object harms all: %v", err)
	}
	if d := answers[0].Doubt(); d == nil {
		t.Errorf("the app of the malformed object: %+v, want a doubt", answers[0])
	} else if errors.Is(d, sources.ErrAbsent) {
		t.Errorf("the app of the malformed object is not absent: %v", d)
	}
	if err := f.isTruth(answers[1]); err != nil {
		t.Errorf("another app: %v", err)
	}
}

// isTruth compares an answer with the fixture's.
func (f Fixture) isTruth(a sources.Answer) error {
	if a.Doubt() != nil {
		return fmt.Errorf("doubt: %w", a.Doubt())
	}
	got, want := byAddr(a.Endpoints), byAddr(f.Want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("endpoints %+v, want %+v", got, want)
	}
	return nil
}

// isPart looks that the endpoints of a doubtful answer are true ones: they may
// be bound.
func (f Fixture) isPart(a sources.Answer) error {
	var known []netip.AddrPort
	for _, e := range f.Want {
		known = append(known, e.Addr)
	}
	for _, e := range a.Endpoints {
		if !slices.Contains(known, e.Addr) {
			return fmt.Errorf("endpoint %v is none of the app's", e.Addr)
		}
	}
	return nil
}

func byAddr(endpoints []sources.Endpoint) []sources.Endpoint {
	sorted := slices.Clone(endpoints)
	for i := range sorted {
		sorted[i].Origin, sorted[i].Facts = "", ""
	}
	slices.SortFunc(sorted, func(a, b sources.Endpoint) int { return a.Addr.Compare(b.Addr) })
	return sorted
}
