// Package stream reads event streams: answers to a GET that go on for as long as
// their connection does. Sources follow them for hints only. That something may
// have changed is all they take from an event; what has, they find out by
// polling.
package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"sync"
	"time"

	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
)

// opening is how long a server may take to begin its answer.
const opening = 15 * time.Second

// Expected is what a stream is like. There is no limit of its length.
type Expected struct {
	// Types are the content types that it may have.
	Types []string
	// Idle is the longest silence, for servers that send something in regular
	// intervals even if nothing happens; after it the connection is taken for
	// dead. 0: silence tells nothing.
	Idle time.Duration
	// Life is after how long the stream is ended in order, so that one that is
	// dead without a sign is replaced, too. 0: never.
	Life time.Duration
}

// errOld ends a stream whose life is over.
var errOld = errors.New("the stream has been open for long enough")

// Read calls open to make a request, and hands the body of the answer to read as
// soon as it begins, for which there are 15 seconds. open must have no time limit
// of its own, and the request the context that it is called with.
//
// Read returns what open or read does; nil when the life of the stream is over;
// and the error of ctx as soon as that ends, even if open is still at it.
func Read(ctx context.Context, expected Expected, open func(context.Context) (*http.Response, error), read func(io.Reader) error) error {
	own, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(opening, func() { cancel(fmt.Errorf("no answer within %v", opening)) })
	defer silence.Stop()
	response, err := httpapi.Begin(own, open)
	if err == nil {
		silence.Stop()
		if expected.Life > 0 {
			defer time.AfterFunc(expected.Life, func() { cancel(errOld) }).Stop()
		}
		if expected.Idle > 0 {
			idle := time.AfterFunc(expected.Idle, func() { cancel(fmt.Errorf("nothing received for %v, not even a sign of life", expected.Idle)) })
			defer idle.Stop()
			response.Body = &watched{response.Body, idle, expected.Idle}
		}
		if err = expected.check(response); err == nil {
			err = read(response.Body)
		}
		response.Body.Close()
	}
	switch cause := context.Cause(own); {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(cause, errOld):
		return nil
	case cause != nil:
		return cause // and err only says that the context has ended
	}
	return err
}

// check says what is wrong with the head of an answer.
func (e Expected) check(response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return httpapi.NewStatusError(response)
	}
	kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(e.Types, kind) {
		return fmt.Errorf("200 with %q instead of an event stream", response.Header.Get("Content-Type"))
	}
	return nil
}

// InTurn follows the stream of the first host that lets follow connect, until it
// ends.
func InTurn[H fmt.Stringer](ctx context.Context, hosts []H, follow func(ctx context.Context, host H) (connected bool, err error)) error {
	var failed []error
	for _, host := range hosts {
		connected, err := follow(ctx, host)
		if err == nil || ctx.Err() != nil {
			return err
		}
		failed = append(failed, fmt.Errorf("%v: %w", host, err))
		if connected {
			break
		}
	}
	return errors.Join(failed...)
}

// watched is a body whose every byte is a sign of life.
type watched struct {
	io.ReadCloser
	idle  *time.Timer
	limit time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.idle.Reset(w.limit)
	}
	return n, err
}

// Hints calls changed after each hint that follow gives, and returns when follow
// does. A hint says which queries it is of: nil is any, and of none is no hint.
// The calls do not overlap, and follow does not wait for them: hints that are
// given while changed is called are one more call, of all that they are of.
func Hints(changed func(which []int), follow func(hint func(which []int)) error) error {
	given := make(chan hints, 1)
	var giving sync.Mutex // so that who has taken h can put it back
	hint := func(which []int) {
		if which != nil && len(which) == 0 {
			return
		}
		giving.Lock()
		defer giving.Unlock()
		var h hints
		select {
		case h = <-given: // the call to come is for this one, too
		default:
		}
		given <- h.with(which)
	}
	ended := make(chan error, 1)
	go func() { ended <- follow(hint) }()
	for {
		select {
		case h := <-given:
			changed(h.which())
		case err := <-ended:
			select {
			case h := <-given:
				changed(h.which())
			default:
			}
			return err
		}
	}
}

// hints are those that wait to be told.
type hints struct {
	any bool
	of  map[int]bool
}

func (h hints) with(which []int) hints {
	if h.any || which == nil {
		return hints{any: true}
	}
	if h.of == nil {
		h.of = map[int]bool{}
	}
	for _, i := range which {
		h.of[i] = true
	}
	return h
}

func (h hints) which() []int {
	if h.any {
		return nil
	}
	return slices.Sorted(maps.Keys(h.of))
}

// Values reads JSON values, which nothing needs to separate, and calls event
// with each. A value of much more than max bytes is an
// error. A value some of whose
// fields are of other types than T's is handed over without these: what it says
// is for the caller to judge. At the end of the stream, between two values,
// Values returns nil.
func Values[T any](r io.Reader, max int, event func(T) error) error {
	bounded := &bounded{r: r}
	decoder := bounds.NewSequence(bounded, bounds.Of[T]())
	for {
		bounded.left = max
		var value T
		err := decoder.Decode(&value)
		var mismatch *json.UnmarshalTypeError
		switch {
		case err == nil || errors.As(err, &mismatch):
		case bounded.left <= 0:
			return fmt.Errorf("an event of more than %d KiB", max>>10)
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("the stream breaks off in the middle of an event: %w", err)
		default:
			return fmt.Errorf("an event cannot be read: %w", err)
		}
		if err := event(value); err != nil {
			return err
		}
	}
}

// bounded reads at most as much as one value may have. What has been read for
// one and belongs to the next is in its favour.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
