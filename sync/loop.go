package sync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Deadline is how long a pass may take. What is not done by then is left to
// the next.
const Deadline = 5 * time.Minute

// WithDeadline limits a pass to Deadline.
func WithDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, Deadline, fmt.Errorf("the pass took longer than its deadline of %v", Deadline))
}

// Loop runs passes until ctx ends, the first at once and each at an interval
// after the one before began, never two at a time. The interval varies by up
// to a tenth, so that many copies do not call at the same moment.
func Loop(ctx context.Context, every time.Duration, pass func(context.Context)) {
	for ctx.Err() == nil {
		next := time.Now().Add(every - every/10 + rand.N(every/5+1))
		limited, cancel := WithDeadline(ctx)
		pass(limited)
		cancel()
		_ = pause(ctx, time.Until(next)) // the condition sees that ctx has ended
	}
}
