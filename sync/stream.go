package sync

import (
	"context"
	"math/rand/v2"
	"reflect"
	stdsync "sync"
	"time"
)

const (
	// A stream that ends is opened again after a second, then two, and so on.
	firstReopen = time.Second
	lastReopen  = time.Minute
)

// hint says that the answers of a source may be others: those about some apps, or any if
// that is nil.
type hint struct {
	source string
	apps   []string
}

// streams are the event streams of the sources in use, until ctx ends. They send a hint
// at every possible change. A stream gives one too when it has connected, so that what
// happened while it was down is polled for.
type streams struct {
	stdsync.WaitGroup
	loop    *Loop
	ctx     context.Context
	sources map[string]Source
	hints   chan<- hint
	open    map[string]following
}

// following is the stream of a source, and what it is of.
type following struct {
	feed feed
	end  context.CancelFunc
}

// streams begins those of the discovery of apps, which are the same for as long as the
// syncer's mapping.
func (l *Loop) streams(ctx context.Context, s *Syncer, hints, opted chan<- hint) *streams {
	all := &streams{loop: l, ctx: ctx, sources: s.Sources, hints: hints, open: map[string]following{}}
	for name, selections := range s.selections() {
		if l.Watch {
			quiet := &Loop{Log: l.Log} // whether its stream is up is said of what it serves
			all.Go(func() {
				quiet.stream(ctx, name, nil, func(ctx context.Context, changed func([]int)) error {
					return s.Sources[name].WatchFound(ctx, selections, func() { changed(nil) })
				}, opted)
			})
		}
	}
	return all
}

// follow follows the feeds. The streams of those that are as before go on.
func (a *streams) follow(feeds map[string]feed) {
	l := a.loop
	for name, f := range a.open {
		if !reflect.DeepEqual(feeds[name], f.feed) {
			f.end()
			delete(a.open, name)
		}
	}
	for name, feed := range feeds {
		switch _, open := a.open[name]; {
		case !l.Watch || open:
			continue
		case a.sources[name].Watch == nil:
			l.Log.InfoContext(a.ctx, "the source does not report changes; it is polled at the interval", "source", name)
			continue
		}
		ctx, end := context.WithCancel(a.ctx)
		a.open[name] = following{feed, end}
		a.Go(func() {
			l.stream(ctx, name, feed.apps, func(ctx context.Context, changed func([]int)) error {
				return a.sources[name].Watch(ctx, feed.queries, changed)
			}, a.hints)
		})
	}
}

// stream follows one; apps are those of its queries.
func (l *Loop) stream(ctx context.Context, name string, apps []string, watch func(context.Context, func([]int)) error, hints chan<- hint) {
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
			var hinted []string
			for _, i := range which {
				hinted = append(hinted, apps[i])
			}
			select {
			case hints <- hint{name, hinted}:
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
