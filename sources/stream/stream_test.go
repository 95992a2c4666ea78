package stream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nitrox/sources/stream"
)

// body is the answer of a server that writes as the test says.
type body struct {
	*io.PipeReader
	closed chan struct{}
}

func (b body) Close() error {
	close(b.closed)
	return b.PipeReader.Close()
}

// serve makes an open whose answer is what write writes; the end of the context
// breaks the connection.
func serve(write func(ctx context.Context, w io.Writer) error) (open func(context.Context) (*http.Response, error), closed chan struct{}) {
	closed = make(chan struct{})
	return func(ctx context.Context) (*http.Response, error) {
		r, w := io.Pipe()
		context.AfterFunc(ctx, func() { r.CloseWithError(ctx.Err()) })
		go func() { w.CloseWithError(write(ctx, w)) }()
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: body{r, closed}}, nil
	}, closed
}

var types = []string{"text/plain", "application/json"}

func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func TestAStreamEnds(t *testing.T) {
	broken := errors.New("broken")
	silent := func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return nil }
	talks := func(every, until time.Duration) func(context.Context, io.Writer) error {
		return func(ctx context.Context, w io.Writer) error {
			for began := time.Now(); ctx.Err() == nil && time.Since(began) < until; rest(ctx, every) {
				if _, err := w.Write([]byte("\n")); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		expected stream.Expected
		write    func(context.Context, io.Writer) error
		stop     time.Duration // of the caller's context
		after    time.Duration
		err      string
	}{
		"when the server ends it":              {write: talks(time.Second, time.Hour), after: time.Hour},
		"when the connection breaks":           {write: func(context.Context, io.Writer) error { return broken }, err: "broken"},
		"when the caller does, in a silence":   {write: silent, stop: time.Minute, after: time.Minute, err: "context deadline exceeded"},
		"not in a silence that means nothing":  {write: silent, stop: 24 * time.Hour, after: 24 * time.Hour, err: "context deadline exceeded"},
		"after a silence that means something": {expected: stream.Expected{Idle: time.Minute}, write: talks(time.Hour, 30*time.Minute), after: time.Minute, err: "nothing received for 1m0s, not even a sign of life"},
		"not while there are signs of life":    {expected: stream.Expected{Idle: time.Minute}, write: talks(50*time.Second, time.Hour), after: time.Hour},
		"in order when it is old":              {expected: stream.Expected{Life: 10 * time.Minute, Idle: time.Minute}, write: talks(time.Second, time.Hour), after: 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.stop > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.stop)
					defer cancel()
				}
				open, closed := serve(c.write)
				began := time.Now()
				c.expected.Types = types
				err := stream.Read(ctx, c.expected, open, drain)
				if took := time.Since(began); took < c.after || took > c.after+time.Minute {
					t.Errorf("it took %v, want %v", took, c.after)
				}
				if text := fmt.Sprint(err); c.err == "" && err != nil || c.err != "" && text != c.err {
					t.Errorf("error %v, want %q", err, c.err)
				}
				<-closed // the body is
			})
		})
	}
}

func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := func(ctx context.Context) (*http.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		if err := stream.Read(t.Context(), stream.Expected{Types: types}, never, drain); fmt.Sprint(err) != "no answer within 15s" || time.Since(began) != 15*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestAnAnswerThatComesTooLateIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Like a credential plug-in, which does not know of contexts.
		open, closed := serve(func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return nil })
		stubborn := func(ctx context.Context) (*http.Response, error) {
			time.Sleep(time.Minute)
			return open(ctx)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := stream.Read(ctx, stream.Expected{Types: types}, stubborn, drain); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v, want the end of the context at once", err, time.Since(began))
		}
		<-closed
	})
}

func TestWhatReadFindsIsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := errors.New("wrong content type")
		open, closed := serve(func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return nil })
		if err := stream.Read(t.Context(), stream.Expected{Types: types}, open, func(io.Reader) error { return wrong }); err != wrong {
			t.Error(err)
		}
		<-closed
		if err := stream.Read(t.Context(), stream.Expected{Types: types}, func(context.Context) (*http.Response, error) { return nil, wrong }, drain); err != wrong {
			t.Error(err)
		}
	})
}

// TestNoHintIsLost: after each hint a call begins that names its query, unless it is
// of any; calls do not overlap, and whoever hints does not wait for them.
func TestNoHintIsLost(outer *testing.T) {
	rapid.Check(outer, func(t *rapid.T) {
		gaps := rapid.SliceOf(rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, time.Second})).Draw(t, "gaps")
		of := rapid.SliceOfN(rapid.SampledFrom([][]int{{0}, {1}, {2, 0}, {}, nil}), len(gaps), len(gaps)).Draw(t, "of")
		slow := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 5 * time.Second}).Draw(t, "slow")
		synctest.Test(outer, func(*testing.T) {
			var calls, hints int
			var began time.Time
			given, told := map[int]time.Time{}, map[int]time.Time{} // the last, by query; -1: of any
			var giving sync.Mutex                                   // of given, until both have ended
			var busy bool
			start := time.Now()
			err := stream.Hints(func(which []int) {
				if busy {
					t.Error("two calls at once")
				}
				busy = true
				calls, began = calls+1, time.Now()
				for i := range 3 {
					if which == nil || slices.Contains(which, i) {
						told[i] = began
					}
					giving.Lock()
					g := given[i]
					giving.Unlock()
					if slices.Contains(which, i) && g.IsZero() {
						t.Errorf("told of %v, and nothing was of %d", which, i)
					}
				}
				if which == nil {
					told[-1] = began
				} else if len(which) == 0 || !slices.IsSorted(which) {
					t.Errorf("told of %v", which)
				}
				time.Sleep(slow)
				busy = false
			}, func(hint func([]int)) error {
				var total time.Duration
				for n, gap := range gaps {
					time.Sleep(gap)
					total += gap
					giving.Lock()
					for _, i := range of[n] {
						given[i] = time.Now()
					}
					if of[n] == nil {
						given[-1] = time.Now()
					}
					giving.Unlock()
					if of[n] == nil || len(of[n]) > 0 {
						hints++
					}
					hint(of[n])
				}
				if time.Since(start) != total {
					t.Errorf("hinting took %v, want %v", time.Since(start), total)
				}
				return io.EOF
			})
			if err != io.EOF {
				t.Error(err)
			}
			for i, last := range given {
				if told[i].Before(last) {
					t.Errorf("of %d: hinted %v, told %v", i, last.Sub(start), told[i].Sub(start))
				}
			}
			if calls > hints {
				t.Errorf("%d hints, %d calls", hints, calls)
			}
		})
	})
}

func TestValues(t *testing.T) {
	type event struct{ Type string }
	const max = 1 << 10
	big := func(n int) string { return `{"type": "big", "pad": "` + strings.Repeat("x", n) + `"}` }
	for name, c := range map[string]struct {
		text string
		want string
		err  string
	}{
		"nothing":                     {"", "", ""},
		"lines":                       {"{\"type\":\"a\"}\n{\"type\":\"b\"}\n", "a b", ""},
		"nothing between them":        {`{"type":"a"}{"type":"b"}`, "a b", ""},
		"unknown fields":              {`{"type":"a","more":{"type":"x"}}`, "a", ""},
		"a field of another type":     {`{"type":7}{"type":"b"}`, " b", ""},
		"another type altogether":     {`null "x" [1] {"type":"b"}`, "   b", ""},
		"no JSON":                     {`{"type":"a"} <html>`, "a", "an event cannot be read: invalid character '<' looking for beginning of value"},
		"cut off":                     {`{"type":"a"}{"type":`, "a", "the stream breaks off in the middle of an event: unexpected EOF"},
		"as large as may be":          {big(max/2) + big(max/2) + big(max/2), "big big big", ""},
		"too large":                   {`{"type":"a"}` + big(2*max), "a", "an event of more than 1 KiB"},
		"too large, and then nothing": {big(100 * max)[:50*max], "", "an event of more than 1 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			err := stream.Values(strings.NewReader(c.text), max, func(e event) error {
				got = append(got, e.Type)
				return nil
			})
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("events %q, want %q", text, c.want)
			}
			if c.err == "" && err != nil || c.err != "" && fmt.Sprint(err) != c.err {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
	stop := errors.New("stop")
	if err := stream.Values(strings.NewReader(`{} {} {}`), max, func(event) error { return stop }); err != stop {
		t.Errorf("the error of the callback is lost: %v", err)
	}
}

func FuzzValues(f *testing.F) {
	f.Add(`{"type":"a"}{"type":"b"}`, 64)
	f.Add(`{"type":`, 8)
	f.Fuzz(func(t *testing.T, text string, max int) {
		max = 1 + (max&0xffff+0xffff)%0xffff
		events := 0
		err := stream.Values(strings.NewReader(text), max, func(struct{ Type string }) error {
			events++
			return nil
		})
		if err == nil && len(text) > 2*max && events == 0 && strings.TrimSpace(text) != "" {
			t.Errorf("%d bytes make no event and no error", len(text))
		}
	})
}
