package bounds

import (
	"context"
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
