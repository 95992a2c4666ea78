package sync

import (
	"context"
	"math/rand/v2"
	"reflect"
	stdsync "sync"
	"sync/atomic"
	"time"

	"nitrox/sources/bounds"
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
	open    map[string]*following
}

// following is the stream of a source, and what it is of.
type following struct {
	feed feed
	up   *atomic.Bool // it tells of what changes
	end  context.CancelFunc
	// before is one of other apps, which goes on until this one is up; nil: there is none.
	before *following
}

// overlap is how long the one before still goes on then, to tell what it has been told.
const overlap = time.Second

// takeOver ends the stream before, now that this one is up, and says of which apps that
// one may have missed something; nil: of any.
func (f *following) takeOver() (apps []string) {
	if f.before == nil {
		return nil
	}
	time.AfterFunc(overlap, f.before.end)
	if !f.before.up.Load() {
		return nil
	}
	apps = []string{}
	was, is := f.before.feed.byApp(), f.feed.byApp()
	for app := range is {
		if !reflect.DeepEqual(was[app], is[app]) {
			apps = append(apps, app)
		}
	}
	return apps
}

// streams begins those of the discovery of apps, which are the same for as long as the
// syncer's mapping.
func (l *Loop) streams(ctx context.Context, s *Syncer, hints, opted chan<- hint) *streams {
	all := &streams{loop: l, ctx: ctx, sources: s.Sources, hints: hints, open: map[string]*following{}}
	for name, selections := range s.selections() {
		if l.Watch {
			quiet := &Loop{Log: l.Log} // whether its stream is up is said of what it serves
			all.Go(func() {
				quiet.stream(ctx, name, &following{up: &atomic.Bool{}}, func(ctx context.Context, changed func([]int)) error {
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
		if _, wanted := feeds[name]; !wanted {
			for ; f != nil; f = f.before {
				f.end()
			}
			delete(a.open, name)
		}
	}
	for name, feed := range feeds {
		before := a.open[name]
		switch {
		case !l.Watch || before != nil && reflect.DeepEqual(before.feed, feed):
			continue
		case a.sources[name].Watch == nil:
			l.Log.InfoContext(a.ctx, "the source does not report changes; it is polled at the interval", "source", name)
			continue
		}
		switch {
		case before == nil:
		case before.up.Load():
			before.before = nil
		default:
			before.end()
			before = before.before
		}
		ctx, end := context.WithCancel(a.ctx)
		up := &atomic.Bool{}
		a.open[name] = &following{feed, up, func() { up.Store(false); end() }, before}
		taking := *a.open[name]
		a.Go(func() {
			l.stream(ctx, name, &taking, func(ctx context.Context, changed func([]int)) error {
				return a.sources[name].Watch(ctx, feed.queries, changed)
			}, a.hints)
		})
	}
}

// stream follows one.
func (l *Loop) stream(ctx context.Context, name string, f *following, watch func(context.Context, func([]int)) error, hints chan<- hint) {
	state := func(up bool) {
		if l.Stream != nil {
			l.Stream(name, up)
		}
	}
	if f.before == nil {
		state(false)
	}
	wait := firstReopen
	for ctx.Err() == nil {
		began, up := time.Now(), false
		err := watch(ctx, func(which []int) {
			var hinted []string
			for _, i := range which {
				hinted = append(hinted, f.feed.apps[i])
			}
			if !up {
				up = true
				hinted = f.takeOver()
				f.before = nil
				f.up.Store(true)
				state(true)
			}
			select {
			case hints <- hint{name, hinted}:
			case <-ctx.Done():
			}
		})
		f.up.Store(false)
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
		_ = bounds.Pause(ctx, wait/2+rand.N(wait)) // the condition sees that ctx has ended
		wait = min(2*wait, lastReopen)
	}
}
