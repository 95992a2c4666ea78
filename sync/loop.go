package sync

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Deadline is how long a pass may take. What is not done by then is left to
// the next.
const Deadline = 5 * time.Minute

var errDeadline = fmt.Errorf("the pass took longer than its deadline of %v", Deadline)

// WithDeadline limits a pass to Deadline.
func WithDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, Deadline, errDeadline)
}

const (
	// debounce is how long a pass waits after the first hint for others that
	// come with it: a rolling update is many events.
	debounce = 250 * time.Millisecond
	// minGap is the least time between the beginnings of two passes.
	minGap = time.Second
)

// Loop makes passes, never two at a time: of all apps at an interval, and, if
// it watches, of the apps of a source when that source hints at a change. A
// hint only shortens the wait: what a pass does it finds out by polling all
// sources of its apps.
type Loop struct {
	// Every is the interval between the beginnings of two passes of all apps.
	// It varies by up to a tenth, so that many copies do not call at once.
	Every time.Duration
	// Apps are the names of those to look at; nil: all.
	Apps []string
	// Watch follows the event streams of the sources that have one.
	Watch bool
	// Pass makes a pass: Syncer.Sync or Syncer.Plan.
	Pass func(ctx context.Context, s *Syncer, apps []string) Result
	// Report is called after each pass.
	Report func(Result)
	// Stream is called when the event stream of a source comes up or ends; nil:
	// nobody wants to know.
	Stream func(source string, up bool)
	// Reload gives a syncer that replaces the one in use.
	Reload <-chan *Syncer
	Log    *slog.Logger

	draining map[Place][]netip.AddrPort // what the last passes left to be unbound
}

// Run loops until ctx ends. The pass that runs then finishes the change in
// hand; the syncer that was last in use is returned, to be closed.
func (l *Loop) Run(ctx context.Context, s *Syncer) *Syncer {
	for {
		next := l.follow(ctx, s)
		if next == nil {
			return s
		}
		l.farewell(ctx, next.Apps)
		if err := s.Close(context.WithoutCancel(ctx)); err != nil {
			l.Log.ErrorContext(ctx, "could not save or log out cleanly", "error", err)
		}
		s = next
	}
}

// follow loops with one syncer until ctx ends or another is to replace it.
func (l *Loop) follow(ctx context.Context, s *Syncer) (replacement *Syncer) {
	streaming, end := context.WithCancel(ctx)
	hints := make(chan string)
	ended := l.streams(streaming, s, hints)
	defer func() { end(); <-ended }()

	var (
		due  schedule
		done chan Result
	)
	history := repeats{}
	due.full = time.Now()
	for {
		var begin <-chan time.Time // nil while a pass runs
		var timer *time.Timer
		if done == nil {
			if replacement != nil || ctx.Err() != nil {
				return replacement
			}
			timer = time.NewTimer(time.Until(due.next()))
			begin = timer.C
		}
		select {
		case source := <-hints:
			due.hint(source, time.Now())
		case <-begin:
			apps := due.begin(l.Apps, s.Apps, time.Now(), l.Every-l.Every/10+rand.N(l.Every/5+1))
			done = make(chan Result, 1)
			go func() {
				limited, cancel := WithDeadline(ctx)
				defer cancel()
				done <- l.Pass(limited, s, apps)
			}()
		case r := <-done:
			done = nil
			due.drains(r, time.Now())
			l.note(r)
			for _, change := range history.note(r, time.Now(), l.Every) {
				l.Log.WarnContext(ctx, "the same change is made again and again: something else undoes it, or its source flaps", "change", change)
			}
			l.Report(r)
		case replacement = <-l.Reload:
		case <-ctx.Done():
			if done != nil {
				l.Report(<-done)
			}
			return nil
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
		if o.Err != nil {
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

// schedule says when the next pass is due, and of which apps. It knows no
// clock.
type schedule struct {
	full    time.Time       // when the next pass of all apps is due
	hinted  map[string]bool // sources that hinted since the last pass began
	first   time.Time       // the first of these hints
	drained time.Time       // when the next drain ends; zero: none that is known
	began   time.Time       // the last pass
}

// hint notes that a source may have changed.
func (d *schedule) hint(source string, now time.Time) {
	if len(d.hinted) == 0 {
		d.hinted, d.first = map[string]bool{}, now
	}
	d.hinted[source] = true
}

// next is when the next pass is to begin.
func (d *schedule) next() time.Time {
	at := d.full
	if len(d.hinted) > 0 {
		at = earlier(at, d.first.Add(debounce))
	}
	if !d.drained.IsZero() {
		at = earlier(at, d.drained)
	}
	if soonest := d.began.Add(minGap); at.Before(soonest) {
		return soonest
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// begin starts a pass and says of which apps: of all that are selected if that
// is due or a drain has ended, else of those that the hinting sources feed.
func (d *schedule) begin(selected []string, apps []App, now time.Time, interval time.Duration) []string {
	all := !now.Before(d.full) || !d.drained.IsZero() && !now.Before(d.drained)
	hinted := d.hinted
	d.hinted, d.began = nil, now
	if all {
		d.full, d.drained = now.Add(interval), time.Time{}
		return selected
	}
	names := []string{} // not nil, which would be all
	among := among(selected)
	for _, app := range apps {
		if among(app.Name) && slices.ContainsFunc(app.From, func(f From) bool { return hinted[f.Source] }) {
			names = append(names, app.Name)
		}
	}
	return names
}

// drains notes when the first of the drains that the pass left behind ends. A
// pass of some apps says nothing of the drains of the others.
func (d *schedule) drains(r Result, now time.Time) {
	soonest := drainsOf(r).soonest
	if at := now.Add(soonest); soonest > 0 && (d.drained.IsZero() || at.Before(d.drained)) {
		d.drained = at
	}
}

// repeats remembers when each change was made, for as long as it matters.
type repeats map[string][]time.Time

// often is how many times the same change must be made within ten intervals to
// be worth a warning.
const often = 3

// note adds the changes of a pass and returns those that are made again and
// again: somebody undoes them, or their source cannot make up its mind.
func (c repeats) note(r Result, now time.Time, every time.Duration) (again []string) {
	for key, times := range c {
		times = slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) > 10*every })
		if c[key] = times; len(times) == 0 {
			delete(c, key)
		}
	}
	for _, o := range r.Outcomes {
		for _, d := range o.Done {
			if !d.Made() {
				continue
			}
			key := fmt.Sprintf("%s of %s in %s on %s", d.Op, Subject(*d.Change), d.Group, o.NetScaler)
			c[key] = append(c[key], now)
			if len(c[key]) == often {
				again = append(again, key)
				delete(c, key)
			}
		}
	}
	return again
}
