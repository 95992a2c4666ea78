package sync

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"nitrox/sources/bounds"
)

// Deadline is how long a pass may take. What is not done by then is left to
// the next.
const Deadline = 5 * time.Minute

var errDeadline = fmt.Errorf("the pass took longer than its deadline of %v", Deadline)

// WithDeadline limits a pass to Deadline.
func WithDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return bounds.WithDeadline(ctx, Deadline, errDeadline)
}

// Loop makes passes: of all apps at an interval, when a drain ends of its app and,
// if it watches, of the apps that an event of a source may concern. A hint only
// shortens the wait: what a pass does it finds out by polling all sources of its
// apps. No two passes serve a NetScaler at a time; one that hangs does not keep
// others from being served by the next.
type Loop struct {
	// Every is the interval between the beginnings of two passes of all apps.
	// It varies by up to a tenth, so that many copies do not call at once.
	Every time.Duration
	// Apps are the names of those to look at; nil: all.
	Apps []string
	// Watch follows the event streams of the sources that have one.
	Watch bool
	// Pass makes a pass: Syncer.Sync or Syncer.Plan. It is called by several
	// goroutines at a time.
	Pass func(ctx context.Context, s *Syncer, part *Part) Result
	// Found is called once it is known which apps have opted in, and then of each syncer of
	// other apps than before; nil: nobody wants to know.
	Found func(*Syncer)
	// Report is called after each pass, never twice at a time. What passes found on
	// a NetScaler it is told in the order in which they served it, for which the
	// report of a pass that hangs elsewhere may come in two.
	Report func(Result)
	// Stream is called when the event stream of a source comes up or ends; nil:
	// nobody wants to know.
	Stream func(source string, up bool)
	// Reload gives a syncer that replaces the one in use.
	Reload <-chan *Syncer
	Log    *slog.Logger

	draining map[Place][]netip.AddrPort // what the last passes left to be unbound
	history  repeats                    // also of the mappings before
}

// Run loops until ctx ends. The passes that run then finish the change in hand;
// the syncer that was last in use is returned, to be closed.
func (l *Loop) Run(ctx context.Context, s *Syncer) *Syncer {
	l.history = repeats{made: map[string][]time.Time{}}
	for {
		next := l.follow(ctx, s)
		if next == nil {
			return s
		}
		l.farewell(ctx, next.Apps)
		if err := s.Close(ctx); err != nil {
			l.Log.ErrorContext(ctx, "could not save or log out cleanly", "error", err)
		}
		s = next
	}
}

// running is a pass that is under way: on which NetScalers it is not done yet, and
// what it has found on the others, as far as that is not reported.
type running struct {
	unserved map[string]bool
	left     map[string]Result
	reported map[string]bool
}

// found is what a pass has found on a NetScaler that it is done with or, where none
// is named, on all.
type found struct {
	by        *running
	netscaler string
	Result
}

// follow loops with one syncer until ctx ends or another is to replace it.
func (l *Loop) follow(ctx context.Context, s *Syncer) (replacement *Syncer) {
	streaming, end := context.WithCancel(ctx)
	scope := s.scope(l.Apps)
	hints, opted := make(chan hint), make(chan hint)
	streams := l.streams(streaming, s, hints, opted)
	streams.follow(scope.feeds)
	defer func() { end(); streams.Wait() }()

	due := newSchedule(scope, func(netscaler string) string { return s.NetScalers[netscaler].appliance() }, time.Now())
	look := lookout{}
	discovered := make(chan *Syncer, 1)
	passes := map[*running]bool{}
	news := make(chan found)
	report := func(r Result) {
		l.note(r)
		for _, change := range l.history.note(r, time.Now(), l.Every) {
			l.Log.WarnContext(ctx, "the same change is made again and again: something else undoes it, or its source flaps", "change", change)
		}
		l.Report(r)
	}
	for {
		var begin <-chan time.Time
		var timer *time.Timer
		var done <-chan struct{}
		stopping := replacement != nil || ctx.Err() != nil // asked once: it may end right here
		switch {
		case stopping && len(passes) == 0 && !look.running:
			return replacement
		case !stopping:
			timer = time.NewTimer(time.Until(soonest(due.next(), look.due())))
			begin, done = timer.C, ctx.Done()
		}
		select {
		case h := <-hints:
			due.hint(h, time.Now())
		case <-opted:
			look.hint(time.Now())
		case fresh := <-discovered:
			if look.end(time.Now()) {
				due.full = time.Now()
			}
			if fresh == s {
				break // all is as it was
			}
			later := fresh.scope(l.Apps)
			changed, same := scope.others(later)
			if !same {
				scope = later
				due.rescope(scope, changed, time.Now())
				streams.follow(scope.feeds)
			}
			if known := s.found != nil && s.Undiscovered() == nil; l.Found != nil && (!same || !known && fresh.Undiscovered() == nil) {
				l.Found(fresh)
			}
			s = fresh
		case <-begin:
			if ctx.Err() != nil {
				break // both were so, and chance chose
			}
			now, interval := time.Now(), l.Every-l.Every/10+rand.N(l.Every/5+1)
			full := !now.Before(due.full)
			if len(s.Discoveries) > 0 && look.begin(now, full) {
				go func(s *Syncer) { discovered <- s.look(streaming, full) }(s)
			}
			if full && look.awaited(now) {
				due.full = look.until
			}
			for part := due.begin(now, interval); part != nil; part = due.begin(now, interval) {
				for p := range passes {
					for netscaler, r := range p.left {
						if part.on(netscaler) {
							report(r) // before the pass that begins can find something newer
							p.reported[netscaler] = true
							delete(p.left, netscaler)
						}
					}
				}
				p := &running{unserved: map[string]bool{}, left: map[string]Result{}, reported: map[string]bool{}}
				for netscaler := range scope.places {
					if part.on(netscaler) {
						p.unserved[netscaler] = true
					}
				}
				passes[p] = true
				part.left = func(netscaler string, r Result) { news <- found{p, netscaler, r} }
				go func(s *Syncer) {
					limited, cancel := WithDeadline(ctx)
					defer cancel()
					news <- found{p, "", l.Pass(limited, s, part)}
				}(s)
			}
		case f := <-news:
			if f.netscaler != "" {
				f.by.left[f.netscaler] = f.Result
				delete(f.by.unserved, f.netscaler)
				due.left(f.netscaler, f.Outcomes, time.Now())
				break
			}
			delete(passes, f.by)
			for netscaler := range f.by.unserved {
				due.left(netscaler, nil, time.Now())
			}
			if r := f.without(f.by.reported); len(r.NetScalers) > 0 || len(f.by.reported) == 0 {
				report(r)
			}
		case replacement = <-l.Reload:
			end() // of what only waits
		case <-done:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// note remembers which members are on their way out of which app.
func (l *Loop) note(r Result) {
	if l.draining == nil {
		l.draining = map[Place][]netip.AddrPort{}
	}
	for _, o := range r.Outcomes {
		if o.Err != nil || o.App.Discovered() {
			continue // what is known is old, and still the best
		}
		var left []netip.AddrPort
		if len(o.Plan.Draining) > 0 || slices.ContainsFunc(o.Plan.Changes, removes) { // of most there are none
			for _, row := range o.Rows() {
				if row.Standing == Draining || row.Standing == Drained {
					left = append(left, row.Addr)
				}
			}
		}
		l.draining[o.place()] = left
	}
}

// farewell logs what the apps leave behind that a new mapping does not have: their
// groups stay as they are, and nobody unbinds what drains.
func (l *Loop) farewell(ctx context.Context, apps []App) {
	stay := map[Place]bool{}
	for _, app := range apps {
		for _, name := range app.NetScalers {
			stay[Place{app.Name, name}] = true
		}
	}
	for place, left := range l.draining {
		if stay[place] {
			continue
		}
		delete(l.draining, place)
		if len(left) > 0 {
			l.Log.WarnContext(ctx, "an app was removed from the mapping, but its draining members stay bound", "app", place.App, "netscaler", place.NetScaler, "members", listOf(left))
		}
	}
}

// repeats remembers when each change was made, for as long as it matters.
type repeats struct {
	made  map[string][]time.Time
	swept time.Time // when what does not matter any more was last sorted out
}

// often is how many times the same change must be made within ten intervals to
// be worth a warning.
const often = 3

// note adds the changes of a pass and returns those that are made again and
// again: somebody undoes them, or their source cannot make up its mind.
func (c *repeats) note(r Result, now time.Time, every time.Duration) (again []string) {
	old := func(t time.Time) bool { return now.Sub(t) > 10*every }
	if now.Sub(c.swept) >= every { // not in each pass: a fill makes many
		c.swept = now
		maps.DeleteFunc(c.made, func(_ string, times []time.Time) bool { return old(times[len(times)-1]) })
	}
	for _, o := range r.Outcomes {
		for _, d := range o.Done {
			if !d.Made() {
				continue
			}
			key := fmt.Sprintf("%s of %s in %s on %s", d.Op, Subject(*d.Change), d.Group, o.NetScaler)
			c.made[key] = append(slices.DeleteFunc(c.made[key], old), now)
			if len(c.made[key]) == often {
				again = append(again, key)
				delete(c.made, key)
			}
		}
	}
	return again
}
