package bounds

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Turns limit how much heavy work is done at a time, so that much of it is done a part at
// a time rather than all of it too late. Work that lasts longer than its turn goes on,
// and no longer counts: what hangs holds up nobody else for longer than that.
type Turns struct {
	taken chan struct{}
	last  time.Duration
}

// NewTurns are turns of which so many are taken at a time, for so long.
func NewTurns(n int, last time.Duration) *Turns { return &Turns{make(chan struct{}, n), last} }

// Take waits for a turn. The error is that ctx ended before. Of nil there is no end.
func (t *Turns) Take(ctx context.Context) (end func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	select {
	case t.taken <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	free := sync.OnceFunc(func() { <-t.taken })
	over := time.AfterFunc(t.last, free)
	return func() { over.Stop(); free() }, nil
}

// LastCalls is how long what was begun may go on once a run is told to stop: short enough
// for a save and a log-out to follow within the minute that supervisors are told to wait.
const LastCalls = 15 * time.Second

type undated struct{}

// WithDeadline is ctx with a deadline that says nothing to [Outlast]: nobody waits then to
// end the process.
func WithDeadline(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithValue(ctx, undated{}, ctx), d, cause)
}

// Outlast is a context for what must not be cut off when ctx ends. It ends LastCalls after
// ctx or, of one [WithDeadline], after that which was given it.
func Outlast(ctx context.Context) (context.Context, context.CancelFunc) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	if run, ok := ctx.Value(undated{}).(context.Context); ok {
		ctx = run
	}
	forget := context.AfterFunc(ctx, func() {
		time.AfterFunc(LastCalls, func() {
			cancel(fmt.Errorf("no answer within %v of being told to stop; the next run sees what was done", LastCalls))
		})
	})
	return own, func() { forget(); cancel(nil) }
}

// Pause waits, unless ctx ends first: then, and if it ends at that moment, it returns why.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return context.Cause(ctx) // also if both were so, where chance chose
}
