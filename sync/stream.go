package sync

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// A stream that ends is opened again after a second, then two, and so on.
	firstReopen = time.Second
	lastReopen  = time.Minute
)

// hint says that the answers to some queries of a source may be others: those at
// which of the scope's feed, or any if that is nil.
type hint struct {
	source string
	which  []int
}

// streams follows the event streams of the sources in use until ctx ends, and
// sends a hint at every possible change. A stream gives one too when it has
// connected, so that what happened while it was down is polled for. The channel
// it returns is closed when all have ended.
func (l *Loop) streams(ctx context.Context, s *Syncer, scope *scope, hints chan<- hint) <-chan struct{} {
	var g errgroup.Group
	if l.Watch {
		for name, feed := range scope.feeds {
			if s.Sources[name].Watch == nil {
				l.Log.InfoContext(ctx, "the source does not report changes; it is polled at the interval", "source", name)
				continue
			}
			g.Go(func() error {
				l.stream(ctx, name, func(ctx context.Context, changed func([]int)) error {
					return s.Sources[name].Watch(ctx, feed.queries, changed)
				}, hints)
				return nil
			})
		}
	}
	ended := make(chan struct{})
	go func() {
		_ = g.Wait() // streams end with ctx, and keep their errors to the log
		close(ended)
	}()
	return ended
}

func (l *Loop) stream(ctx context.Context, name string, watch func(context.Context, func([]int)) error, hints chan<- hint) {
	state := func(up bool) {
		if l.Stream != nil {
			l.Stream(name, up)
		}
	}
	state(false)
	wait := firstReopen
	for ctx.Err() == nil {
		began, up := time.Now(), false
		err := watch(ctx, func(which []int) {
			if !up {
				up = true
				state(true)
			}
			select {
			case hints <- hint{name, which}:
			case <-ctx.Done():
			}
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil && time.Since(began) > firstReopen {
			wait = firstReopen
			continue // it ended in order: the source wants it opened again
		}
		state(false)
		if up && time.Since(began) > lastReopen {
			wait = firstReopen
		}
		l.Log.WarnContext(ctx, "the event stream ended; the source is polled at the interval", "source", name, "error", text(err), "again_in", wait.String())
		_ = pause(ctx, wait/2+rand.N(wait)) // the condition sees that ctx has ended
		wait = min(2*wait, lastReopen)
	}
}
