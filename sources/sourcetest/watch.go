package sourcetest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nitrox/sources"
)

// Stream describes a source that can watch to [Watch].
type Stream struct {
	// Open makes the source anew. url is as in [Fixture].
	Open func(t *testing.T, url string) sources.Opened
	// Query asks for an app that the cluster has. It is polled first: a source
	// may watch only for what has been asked.
	Query any
	// Handler is a healthy cluster manager, and strict; Change changes
	// something in it, of which it tells on its streams.
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
	// Event is an event of that stream after which endpoints may be others, of
	// about as many bytes or, if that is too few, as few as possible.
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
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.IsStream(r) {
			f.Handler.ServeHTTP(w, r)
			return
		}
		streams.Add(1)
		stream(w, r)
	}))
	server.Config.ErrorLog = silent
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, streams
}

// watching is a watch that is on.
type watching struct {
	Stream
	calls  atomic.Int64 // of changed
	called chan struct{}
	result chan error
	cancel context.CancelFunc
}

// watch opens a source, asks it once, and watches. slow is called in each call
// of changed; nil: nothing.
func (f Stream) watch(t *testing.T, url string, slow func(call int64)) *watching {
	t.Helper()
	return f.again(t, f.open(t, url), slow)
}

func (f Stream) open(t *testing.T, url string) sources.Opened {
	t.Helper()
	s := f.Open(t, url)
	if answers, err := poll(t, s, true, f.Query); err != nil || answers[0].Doubt != nil {
		t.Fatalf("the source cannot be polled: %+v, %v", answers, err)
	}
	return s
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
	var busy atomic.Bool
	go func() {
		w.result <- s.Watch(ctx, func() {
			if !busy.CompareAndSwap(false, true) {
				t.Error("changed is called while it is called")
			}
			n := w.calls.Add(1)
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

func (f Stream) hints(t *testing.T) {
	server := httptest.NewServer(f.Handler)
	t.Cleanup(server.Close)
	w := f.watch(t, server.URL, nil)
	w.until(t, 1)
	for n := range int64(3) {
		f.Change()
		w.until(t, n+2)
	}
	w.stop(t)
}

func (f Stream) silent(t *testing.T) {
	url, _ := f.plays(t, gone)
	s := f.open(t, url)
	w := f.again(t, s, nil)
	w.until(t, 1)
	if _, err := poll(t, s, true, f.Query); err != nil {
		t.Errorf("a poll beside the stream: %v", err)
	}
	w.stop(t)
	if n := w.calls.Load(); n != 1 {
		t.Errorf("changed was called %d times in silence", n)
	}
}

// connected is a script that begins when changed has been called once, and
// slow what the watch must call. Only the nth stream follows the script; the
// others are silent.
func connected(nth int64, follow script) (s script, slow func(int64)) {
	began, turn := make(chan struct{}), atomic.Int64{}
	return func(w *writer, r *http.Request) {
			if turn.Add(1) != nth {
				gone(w, r)
				return
			}
			select {
			case <-began:
				follow(w, r)
			case <-r.Context().Done():
			}
		}, func(call int64) {
			if call == 1 {
				close(began)
			}
		}
}

func (f Stream) quiet(t *testing.T) {
	began := make(chan struct{})
	var writing sync.WaitGroup
	writing.Add(f.streams())
	url, _ := f.plays(t, func(w *writer, r *http.Request) {
		defer writing.Wait() // one that ends, ends all
		defer writing.Done()
		select {
		case <-began:
		case <-r.Context().Done():
		}
		for range 3 {
			for _, text := range f.Quiet(r) {
				w.write(text)
			}
		}
		if w.err != nil {
			t.Errorf("the source has ended a stream: %v", w.err)
		}
	})
	w := f.watch(t, url, func(call int64) {
		if call == 1 {
			close(began)
		}
	})
	w.ends(t)
	if n := w.calls.Load(); n != 1 {
		t.Errorf("changed was called %d times, want once, when the stream had connected", n)
	}
}

func (f Stream) unknown(t *testing.T) {
	for nth := range f.streams() {
		s, slow := connected(int64(nth)+1, func(w *writer, r *http.Request) {
			for _, text := range f.Unknown(r) {
				w.write(text)
			}
			w.write(f.Event(r, 0))
			gone(w, r)
		})
		url, _ := f.plays(t, s)
		w := f.watch(t, url, slow)
		w.until(t, 2)
		w.stop(t)
	}
}

func (f Stream) closes(t *testing.T) {
	var opened, most atomic.Int64
	most.Store(int64(f.streams()))
	again := make(chan struct{}, 1)
	url, streams := f.plays(t, func(*writer, *http.Request) {
		if opened.Add(1) > most.Load() {
			select {
			case again <- struct{}{}:
			default:
			}
		}
	})
	s := f.open(t, url)
	for n := range int64(20) {
		w := f.again(t, s, nil)
		select {
		case <-w.result:
		case <-again:
		case <-f.patience():
			t.Fatal("the watch does not end")
		}
		if got, most := streams.Load(), (n+1)*int64(f.streams()); got > most {
			t.Fatalf("%d streams were opened in %d watches: opening them again is the caller's", got, n+1)
		}
		most.Add(int64(f.streams()))
		if w.calls.Load() > 1 {
			t.Fatalf("changed was called %d times", w.calls.Load())
		}
	}
	if streams.Load() < 20 {
		t.Errorf("%d streams were opened in 20 watches", streams.Load())
	}
}

func (f Stream) long(t *testing.T) {
	s, slow := connected(1, func(w *writer, r *http.Request) {
		w.write(f.Event(r, 1<<20))
		gone(w, r)
	})
	url, _ := f.plays(t, s)
	w := f.watch(t, url, slow)
	switch err, ended := w.untilOrEnd(t, 2); {
	case !ended:
		w.stop(t)
	case err == nil:
		t.Error("the stream ended, and nothing says why")
	}
}

func (f Stream) endless(t *testing.T) {
	const size, most = 96 << 20, 40 << 20
	written := make(chan struct{})
	s, slow := connected(1, func(w *writer, r *http.Request) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		before := m.HeapAlloc
		event := f.Event(r, 1<<20)
		w.write(event[:len(event)/2])
		padding := strings.Repeat("x", 256<<10)
		for n := 0; n < size && w.err == nil; n += len(padding) {
			w.write(padding)
		}
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > before+most {
			t.Errorf("%d MiB are in use after a line of %d MiB", (m.HeapAlloc-before)>>20, size>>20)
		}
		close(written)
		gone(w, r)
	})
	url, _ := f.plays(t, s)
	w := f.watch(t, url, slow)
	select {
	case <-written:
	case <-f.patience():
		t.Fatal("the stream is neither read nor closed")
	}
	w.cancel()
	w.ends(t)
}

// burst looks that a stream is read, however slow its hints are taken: who does
// not read is cut off by some cluster managers, and fills the memory of others.
func (f Stream) burst(t *testing.T) {
	const events = 10_000
	written := make(chan struct{})
	var slow atomic.Bool
	s, begin := connected(1, func(w *writer, r *http.Request) {
		defer close(written)
		for range events / 100 {
			w.write(strings.Repeat(f.Event(r, 1000), 100))
		}
		if w.err != nil {
			t.Errorf("the source ended the stream: %v", w.err)
		}
	})
	url, _ := f.plays(t, s)
	w := f.watch(t, url, func(call int64) {
		begin(call)
		if call == 2 {
			slow.Store(true)
			select {
			case <-written:
			case <-f.patience():
				t.Errorf("the stream is not read while a hint is being taken")
			}
		}
	})
	err := w.ends(t)
	if !slow.Load() || w.calls.Load() < 3 {
		t.Errorf("changed was called %d times after %d events (%v); want a call after the last", w.calls.Load(), events, err)
	}
}

func (f Stream) refusals(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked for %s, with %v", r.URL, r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	const json, html = "application/json", "text/html"
	for _, c := range []struct {
		status     int
		kind, body string
	}{
		{204, "", ""},
		{200, html, "<!DOCTYPE html><title>Log in</title>"},
		{200, "", "hello"},
		{301, html, ""}, {302, json, "{}"}, {307, json, "{}"}, {308, json, "{}"},
		{401, "text/plain", "Unauthorized"},
		{403, json, `{"message": "forbidden"}`},
		{404, html, "<h1>404</h1>"},
		{429, "text/plain", "slow down"},
		{500, json, `{"message": "no leader"}`},
		{500, f.Type, ""},
		{502, html, "<h1>502</h1>"},
		{503, json, `{"message": "not ready"}`},
	} {
		t.Run(strconv.Itoa(c.status)+" "+c.kind, func(t *testing.T) {
			url, _ := f.answers(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{c.kind}
				if c.status/100 == 3 {
					w.Header().Set("Location", elsewhere.URL+r.URL.Path)
				}
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			f.fails(t, f.watch(t, url, nil))
		})
	}
}

// fails looks that the watch ends with an error that keeps secrets, and that
// nobody was told it had connected.
func (f Stream) fails(t *testing.T, w *watching) {
	t.Helper()
	err := w.ends(t)
	if err == nil {
		t.Fatal("no error")
	}
	Fixture{Secrets: f.Secrets}.discreet(t, err)
	if n := w.calls.Load(); n != 0 {
		t.Errorf("changed was called %d times, though the stream did not connect (%v)", n, err)
	}
}

func (f Stream) unanswered(t *testing.T) {
	asked := make(chan struct{}, 10)
	url, _ := f.answers(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	w := f.watch(t, url, nil)
	<-asked
	w.stop(t)
	if n := w.calls.Load(); n != 0 {
		t.Errorf("changed was called %d times, though the stream did not connect", n)
	}
}

func (f Stream) refused(t *testing.T) {
	server := httptest.NewServer(f.Handler)
	s := f.open(t, server.URL)
	server.Close()
	f.fails(t, f.again(t, s, nil))
}

func (f Stream) certificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a server with an unknown certificate was asked")
	}))
	server.Config.ErrorLog = silent
	server.StartTLS()
	t.Cleanup(server.Close)
	s := f.Open(t, server.URL)
	// It must know what to watch for, and fails to ask.
	if _, err := poll(t, s, true, f.Query); err == nil {
		t.Error("a poll of a server with an unknown certificate succeeds")
	}
	f.fails(t, f.again(t, s, nil))
}
