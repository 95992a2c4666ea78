package sync

import (
	"maps"
	"slices"
	"time"
)

const (
	// debounce is how long a pass waits after the first hint for others that
	// come with it: a rolling update is many events.
	debounce = 250 * time.Millisecond
	// minGap is the least time between the beginnings of two passes of an app.
	minGap = time.Second
)

// schedule says when the next pass is due, of which apps and on which NetScalers.
// It knows no clock. An event costs the same however many apps there are.
//
// A pass is of all apps at the interval, and else of those that were hinted at or
// whose drains have ended. It takes the NetScalers that are idle; what is due on
// the others waits until they are. An app rests after a pass, until a second after
// that began and for as long as it took, so that no stream of events has the loop
// do nothing else. Only the interval does not wait for that.
type schedule struct {
	scope *scope
	// appliance is the same for NetScalers that only one pass may serve.
	appliance func(netscaler string) string
	lanes     map[string]*lane // by NetScaler
	full      time.Time        // when the next pass of all apps is due
	whole     map[string]bool  // the sources all of whose apps are hinted at
}

// lane is what the schedule knows of a NetScaler.
type lane struct {
	busy   bool
	owed   bool                 // a pass of all apps
	hinted map[string]time.Time // apps, and the first hint since a pass of them began
	drains map[string]time.Time // apps, and when the first of their drains ends
	rests  map[string]time.Time // apps, and until when nothing but the interval makes a pass of them
	ready  time.Time            // when the first of those that are hinted at or drain is due; zero: none is
	taken  []string             // the apps of the pass that began last
	began  time.Time            // when it did
	ended  time.Time            // when it was done here
}

func newSchedule(s *scope, appliance func(string) string, now time.Time) *schedule {
	d := &schedule{appliance: appliance, lanes: map[string]*lane{}, full: now, whole: map[string]bool{}}
	d.rescope(s, nil, now)
	return d
}

// rescope goes on with other apps, of which some are new or others than they were. The
// lane of a NetScaler that has none left stays: a pass may be there.
func (d *schedule) rescope(s *scope, changed []string, now time.Time) {
	d.scope = s
	for netscaler := range s.places {
		if d.lanes[netscaler] == nil {
			d.lanes[netscaler] = &lane{hinted: map[string]time.Time{}, drains: map[string]time.Time{}, rests: map[string]time.Time{}}
		}
	}
	for netscaler, l := range d.lanes {
		for _, of := range []map[string]time.Time{l.hinted, l.drains, l.rests} {
			maps.DeleteFunc(of, func(app string, _ time.Time) bool {
				i, here := s.at[app]
				return !here || !slices.Contains(s.apps[i].NetScalers, netscaler)
			})
		}
		l.prepare()
	}
	for _, app := range changed {
		d.hintApp(app, now)
	}
}

// prepare finds out when the first of a lane's apps is due.
func (l *lane) prepare() {
	l.ready = time.Time{}
	for app := range l.hinted {
		l.ready = soonest(l.ready, l.due(app))
	}
	for app := range l.drains {
		l.ready = soonest(l.ready, l.due(app))
	}
}

// lookout says when apps are looked for, which is before a pass of all apps and after
// events. It knows no clock.
type lookout struct {
	running      bool
	began, ended time.Time
	hinted       time.Time // when the first event came since it began; zero: none did
	until        time.Time // how long the pass of all waits for it; zero: none does
}

func (o *lookout) hint(now time.Time) { o.hinted = soonest(o.hinted, now) }

// due is when it is to begin because of an event; zero: never.
func (o *lookout) due() time.Time {
	if o.running || o.hinted.IsZero() {
		return time.Time{}
	}
	return latest(o.hinted.Add(debounce), o.began.Add(minGap), o.ended.Add(o.ended.Sub(o.began)))
}

// begin says whether it begins now; full: a pass of all apps is due.
func (o *lookout) begin(now time.Time, full bool) bool {
	if full && o.until.IsZero() {
		o.until = now.Add(patience)
	} else if at := o.due(); at.IsZero() || now.Before(at) {
		return false
	}
	if o.running {
		return false
	}
	o.running, o.began, o.hinted = true, now, time.Time{}
	return true
}

// awaited says whether the pass of all that is due still waits for it. One that hangs
// holds it up for no longer than patience.
func (o *lookout) awaited(now time.Time) bool {
	if o.running && now.Before(o.until) {
		return true
	}
	o.until = time.Time{}
	return false
}

// end notes that it has ended, and says whether a pass of all waits for it.
func (o *lookout) end(now time.Time) (awaited bool) {
	o.running, o.ended = false, now
	return !o.until.IsZero()
}

// hint notes that the answers to queries of a source may be others.
func (d *schedule) hint(h hint, now time.Time) {
	feed := d.scope.feeds[h.source]
	if h.apps == nil && !d.whole[h.source] {
		for _, app := range feed.apps {
			d.hintApp(app, now)
		}
		d.whole[h.source] = true
	}
	for _, app := range h.apps {
		d.hintApp(app, now)
	}
}

func (d *schedule) hintApp(app string, now time.Time) {
	if _, here := d.scope.at[app]; !here {
		return // not any more
	}
	for _, netscaler := range d.scope.app(app).NetScalers {
		l := d.lanes[netscaler]
		if _, known := l.hinted[app]; !known {
			l.hinted[app] = now
			l.ready = soonest(l.ready, l.due(app))
		}
	}
}

// due is when the lane's next pass of an app is, not counting the interval; zero:
// never.
func (l *lane) due(app string) (at time.Time) {
	if hinted, ok := l.hinted[app]; ok {
		at = hinted.Add(debounce)
	}
	if ends, ok := l.drains[app]; ok {
		at = soonest(at, ends)
	}
	if at.IsZero() {
		return at
	}
	return latest(at, l.rests[app], l.ended.Add(debounce))
}

// idle are the NetScalers of appliances that no pass serves.
func (d *schedule) idle() []string {
	busy := map[string]bool{}
	for netscaler, l := range d.lanes {
		if l.busy {
			busy[d.appliance(netscaler)] = true
		}
	}
	var idle []string
	for netscaler := range d.lanes {
		if !busy[d.appliance(netscaler)] {
			idle = append(idle, netscaler)
		}
	}
	return idle
}

// next is when begin is to be asked.
func (d *schedule) next() time.Time {
	at := d.full
	for _, netscaler := range d.idle() {
		l := d.lanes[netscaler]
		if l.owed {
			at = soonest(at, l.began.Add(minGap))
		}
		at = soonest(at, l.ready)
	}
	return at
}

// begin starts the next pass that is due and says of what it is; nil: none is. It is
// to be asked until then. interval is the time to the next pass of all, if this is
// one.
func (d *schedule) begin(now time.Time, interval time.Duration) *Part {
	all := !now.Before(d.full)
	if all {
		d.full = now.Add(interval)
		for _, l := range d.lanes {
			l.owed = true
		}
	}
	part := &Part{scope: d.scope, turns: map[string]string{}, places: map[Place]bool{}}
	apps := map[string]bool{}
	idle := d.idle()
	owed := slices.ContainsFunc(idle, func(n string) bool { return d.lanes[n].mayPay(now) })
	due := slices.ContainsFunc(idle, func(n string) bool { return d.lanes[n].isDue(now) })
	for _, netscaler := range idle {
		l := d.lanes[netscaler]
		switch {
		case owed && l.mayPay(now):
			l.begin(d.scope.places[netscaler], now)
			l.owed = false
		case !owed && due && len(l.hintedAt(now)) > 0:
			l.begin(l.hintedAt(now), now)
		default:
			continue
		}
		part.NetScalers = append(part.NetScalers, netscaler)
		part.turns[netscaler] = d.appliance(netscaler)
		for _, app := range l.taken {
			apps[app], part.places[Place{app, netscaler}] = true, true
		}
	}
	if len(part.NetScalers) == 0 && (!all || len(d.lanes) > 0) {
		return nil
	}
	clear(d.whole)
	if part.Apps = d.scope.inOrder(apps); len(part.NetScalers) == len(d.lanes) && (owed || all) {
		part.Apps, part.NetScalers, part.places = d.scope.selected, nil, nil
	}
	slices.Sort(part.NetScalers)
	return part
}

// mayPay: a pass of all is owed, and may begin.
func (l *lane) mayPay(now time.Time) bool { return l.owed && !now.Before(l.began.Add(minGap)) }

// isDue: a pass of some apps is.
func (l *lane) isDue(now time.Time) bool { return !l.ready.IsZero() && !now.Before(l.ready) }

// hintedAt are the apps that a pass that begins now takes: those that are due, and
// those that were hinted at after the first of them, here or on another NetScaler.
func (l *lane) hintedAt(now time.Time) (apps []string) {
	if now.Before(l.ended.Add(debounce)) {
		return nil
	}
	for app := range l.hinted {
		if !now.Before(l.rests[app]) {
			apps = append(apps, app)
		}
	}
	for app := range l.drains {
		if _, too := l.hinted[app]; !too && !now.Before(l.due(app)) {
			apps = append(apps, app)
		}
	}
	return apps
}

func (l *lane) begin(apps []string, now time.Time) {
	l.busy, l.began, l.taken = true, now, apps
	for _, app := range apps {
		delete(l.hinted, app)
		if ends, ok := l.drains[app]; ok && !now.Before(ends) {
			delete(l.drains, app)
		}
	}
}

// left notes that a pass is done with a NetScaler, and what it found there.
func (d *schedule) left(netscaler string, outcomes []Outcome, now time.Time) {
	l := d.lanes[netscaler]
	l.busy, l.ended = false, now
	rest := latest(l.began.Add(minGap), now.Add(now.Sub(l.began)))
	for _, app := range l.taken {
		l.rests[app] = rest
	}
	for _, o := range outcomes {
		if _, here := d.scope.at[o.App.Name]; !here {
			continue // not any more
		}
		if soonest := drainsOf(Result{Outcomes: []Outcome{o}}).soonest; soonest > 0 {
			l.drains[o.App.Name] = now.Add(soonest)
		} else if o.Err == nil {
			delete(l.drains, o.App.Name)
		}
	}
	l.prepare()
}

// soonest is the first of two times, of which a zero one is none.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }
