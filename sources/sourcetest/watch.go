package sourcetest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nitrox/sources"
)

// Stream describes a source that can watch to [Watch].
type Stream struct {
	// Open makes a new source each time. url is as in [Fixture].
	Open func(t *testing.T, url string) sources.Opened
	// Query asks for an app that the cluster has. It is watched for twice, as two
	// apps may ask for the same.
	Query any
	// Other asks for something that no Change and no Event is about: then these
	// must tell that they are not. nil: the source cannot tell of which query an
	// event is.
	Other any
	// Handler is a healthy cluster manager, and strict; Change changes
	// something in it that Query asks for, of which it tells on its streams.
	Handler http.Handler
	Change  func()
	// Secrets must not be seen in an error nor by another host.
	Secrets []string

	// Streams is how many streams the source opens at a time, default 1, and
	// IsStream tells requests for them from others.
	Streams  int
	IsStream func(*http.Request) bool
	// Type is the content type of a stream.
	Type string
	// Event is an event of that stream after which endpoints of Query may be
	// others, of about as many bytes or, if that is too few, as few as possible.
	Event func(r *http.Request, size int) string
	// Quiet is all that may come on that stream and after which no endpoint can
	// be another, also what is not an event. Unknown are events of which nobody
	// knows yet: they may be hints, and must not end the stream.
	Quiet, Unknown func(*http.Request) []string
	// Patience is how long something may take that takes a moment. Default: a
	// minute.
	Patience time.Duration
}

// Watch runs the suite of sources that can watch: whatever becomes of a stream,
// no hint is lost as long as it lasts, its end is noticed, and it takes neither
// memory nor goroutines with it.
func Watch(t *testing.T, f Stream) {
	for _, c := range []struct {
		name string
		run  func(Stream, *testing.T)
	}{
		{"changes are hints", Stream.hints},
		{"connects, then silence", Stream.silent},
		{"what changes nothing is no hint", Stream.quiet},
		{"unknown events", Stream.unknown},
		{"closes at once, again and again", Stream.closes},
		{"a line of a megabyte", Stream.long},
		{"a line without end", Stream.endless},
		{"burst of 10,000 events", Stream.burst},
		{"refusals", Stream.refusals},
		{"no answer", Stream.unanswered},
		{"connection refused", Stream.refused},
		{"unknown certificate", Stream.certificate},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Run("it", func(t *testing.T) { c.run(f, t) }) // ends when its servers have
			goleak.VerifyNone(t, before)
		})
	}
}

func (f Stream) streams() int               { return max(1, f.Streams) }
func (f Stream) patience() <-chan time.Time { return time.After(cmp.Or(f.Patience, time.Minute)) }

// script is what a cluster manager does on a stream.
type script func(w *writer, r *http.Request)

// writer writes to a stream, whose head it has sent.
type writer struct {
	w   http.ResponseWriter
	err error // of a write: the client has gone
}

func (w *writer) write(text string) {
	if w.err == nil {
		_, w.err = io.WriteString(w.w, text)
	}
	if w.err == nil {
		w.err = http.NewResponseController(w.w).Flush()
	}
}

// plays is a cluster manager that is healthy but for its streams, which follow
// a script. It counts them.
func (f Stream) plays(t *testing.T, s script) (url string, streams *atomic.Int64) {
	return f.answers(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", f.Type)
		head := &writer{w: w}
		head.write("")
		s(head, r)
	})
}

func (f Stream) answers(t *testing.T, stream http.HandlerFunc) (url string, streams *atomic.Int64) {
	t.Helper()
	streams = new(atomic.Int64)
	server := unstarted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.IsStream(r) {
			f.Handler.ServeHTTP(w, r)
			return
		}
		streams.Add(1)
		stream(w, r)
	}))
	server.Start()
	return server.URL, streams
}

// watching is a watch that is on.
type watching struct {
	Stream
	calls  atomic.Int64 // of changed
	vague  atomic.Int64 // of these, those after the first that tell of no query
	called chan struct{}
	result chan error
	cancel context.CancelFunc
}

// watch opens a source and watches. slow is called in each call
// of changed; nil: nothing.
func (f Stream) watch(t *testing.T, url string, slow func(call int64)) *watching {
	t.Helper()
	return f.again(t, f.Open(t, url), slow)
}

func (f Stream) again(t *testing.T, s sources.Opened, slow func(call int64)) *watching {
	t.Helper()
	if s.Watch == nil {
		t.Fatal("the source cannot watch")
	}
	w := &watching{Stream: f, called: make(chan struct{}, 1), result: make(chan error, 1)}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(t.Context())
	t.Cleanup(w.cancel)
	queries, mine := []any{f.Query, f.Query}, []int{0, 1}
	if f.Other != nil {
		queries, mine = []any{f.Query, f.Other, f.Query}, []int{0, 2}
	}
	var busy atomic.Bool
	go func() {
		w.result <- s.Watch(ctx, queries, func(which []int) {
			if !busy.CompareAndSwap(false, true) {
				t.Error("changed is called while it is called")
			}
			n := w.calls.Add(1)
			switch {
			case which == nil && n > 1:
				w.vague.Add(1)
			case which != nil && n == 1:
				t.Errorf("changed(%v) when the stream had connected: any query's answer may be another since", which)
			case which != nil && !slices.Equal(which, mine):
				t.Errorf("changed(%v), of queries for %v, after an event about those at %v", which, queries, mine)
			}
			if slow != nil {
				slow(n)
			}
			busy.Store(false)
			select {
			case w.called <- struct{}{}:
			default:
			}
		})
	}()
	return w
}

// until waits until changed has been called so many times.
func (w *watching) until(t *testing.T, calls int64) {
	t.Helper()
	if err, ended := w.untilOrEnd(t, calls); ended {
		t.Fatalf("the watch ended after %d calls, want %d: %v", w.calls.Load(), calls, err)
	}
}

func (w *watching) untilOrEnd(t *testing.T, calls int64) (err error, ended bool) {
	t.Helper()
	timeout := w.patience()
	for w.calls.Load() < calls {
		select {
		case <-w.called:
		case err := <-w.result:
			return err, true
		case <-timeout:
			t.Fatalf("changed has been called %d times, want %d", w.calls.Load(), calls)
		}
	}
	return nil, false
}

// ends waits for the end of the watch.
func (w *watching) ends(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.result:
		return err
	case <-w.patience():
		t.Fatal("the watch does not end")
		return nil
	}
}

// stop ends the watch by its context.
func (w *watching) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	if err := w.ends(t); !errors.Is(err, context.Canceled) {
		t.Errorf("the end of the context: %v, want context.Canceled", err)
	}
}

// gone waits until the client has.
func gone(_ *writer, r *http.Request) { <-r.Context().Done() }
