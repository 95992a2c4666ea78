package sourcetest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

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
	s := f.Open(t, url)
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
	s := f.Open(t, url)
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
	if n := w.vague.Load(); n > 0 && f.Other != nil {
		t.Errorf("changed(nil) was called %d times after events that are about one query", n)
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
	s := f.Open(t, server.URL)
	server.Close()
	f.fails(t, f.again(t, s, nil))
}

func (f Stream) certificate(t *testing.T) { f.fails(t, f.watch(t, unknown(t), nil)) }
