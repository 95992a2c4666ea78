// Package observe tells people and machines how the passes of a loop go:
// metrics, health for probes, a status page, and messages to systemd.
//
// An [Observer] is given the passes and keeps of each app, source and NetScaler
// what the last one found and when things last changed. All that it serves is
// made from that. It changes nothing, and never has a secret.
package observe

import (
	"cmp"
	"maps"
	"slices"
	stdsync "sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"nitrox/netscaler"
	"nitrox/sync"
)

// Options are what an observer must know beforehand.
type Options struct {
	// Version is that of the program.
	Version string
	// Every is the interval of the loop. Three of them without the end of a
	// pass are a failure.
	Every time.Duration
	// Apps are those of the mapping.
	Apps []sync.App
	// Led says why nobody seems to lead, while this replica stands by; nil: there
	// is but one, or somebody does.
	Led func() error
}

// Observer keeps what the last passes found. Its methods may be called at any
// time.
type Observer struct {
	mu    stdsync.RWMutex
	state state
	news  chan struct{} // holds a token when there is something that systemd was not told
	files metricsFiles
}

// state is all that an observer knows. The slices and maps of its values are
// never changed once they are in it.
type state struct {
	Options
	mapping     names // that of Apps
	discoveries []sync.Discovery
	unwell      map[sync.Place]bool // apps that failed, or that no pass has looked at yet
	born        time.Time           // or since when this replica leads, or stands by
	standby     bool
	edition     int // how many times what the page shows has changed
	apps        map[sync.Place]app
	sources     map[string]health
	netscalers  map[string]health
	streams     map[string]stream

	began, finished time.Time // of the last pass; began is zero if nobody tells
	phases          sync.Phases
	took            time.Duration
	dryRun          bool
	unusable        int  // files of the mapping with limits
	refused         bool // the others
	summary         string
	success         time.Time // when nothing had failed anywhere
	counts          counts
}

// names are what a mapping has. They are never changed.
type names struct {
	places              map[sync.Place]bool
	sources, netscalers map[string]bool
}

// health is how a source or a NetScaler fared.
type health struct {
	Asked time.Time // zero: not yet
	Err   string
	Since time.Time // since when it is as it is: OK, or failing
	OK    time.Time // when it last was OK
	Saved time.Time // the last save of a NetScaler
	Owed  time.Time // when a pass last left changes on it that are to be saved
}

// stream is whether the events of a source arrive.
type stream struct {
	Up    bool
	Since time.Time
}

// New observes the passes of a loop that begins now.
func New(o Options) *Observer {
	observer := &Observer{
		state: state{
			Options: o, born: time.Now(), apps: map[sync.Place]app{}, sources: map[string]health{},
			netscalers: map[string]health{}, streams: map[string]stream{}, counts: newCounts(),
		},
		news:  make(chan struct{}, 1),
		files: metricsFiles{before: map[string]map[string]*dto.MetricFamily{}},
	}
	observer.state.prune()
	return observer
}

// Reload says that the mapping has other apps now, or that others opted in by these
// discoveries. What is not in it any more is forgotten.
func (o *Observer) Reload(apps []sync.App, discoveries ...sync.Discovery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state.Apps, o.state.discoveries = apps, discoveries
	o.state.edition++
	o.state.prune()
}

// prune forgets what is not in the mapping.
func (s *state) prune() {
	places, sources, netscalers := map[sync.Place]bool{}, map[string]bool{}, map[string]bool{}
	for _, a := range s.Apps {
		for _, name := range a.NetScalers {
			places[sync.Place{App: a.Name, NetScaler: name}], netscalers[name] = true, true
		}
		for _, from := range a.From {
			sources[from.Source] = true
		}
	}
	for _, d := range s.discoveries {
		sources[d.Source] = true
		for _, name := range d.NetScalers {
			netscalers[name] = true
		}
	}
	for name := range s.mapping.netscalers {
		if !netscalers[name] {
			s.counts.forget(name)
		}
	}
	s.mapping = names{places, sources, netscalers}
	maps.DeleteFunc(s.apps, func(p sync.Place, _ app) bool { return !places[p] })
	maps.DeleteFunc(s.sources, func(name string, _ health) bool { return !sources[name] })
	maps.DeleteFunc(s.streams, func(name string, _ stream) bool { return !sources[name] })
	maps.DeleteFunc(s.netscalers, func(name string, _ health) bool { return !netscalers[name] })
	s.unwell = map[sync.Place]bool{}
	for p := range places {
		s.note(p)
	}
}

// note notes how the app at a place is, so that nobody need look at all of them.
func (s *state) note(p sync.Place) {
	if a := s.apps[p]; a.Status == sync.Failed || a.Status == unknown {
		s.unwell[p] = true
	} else {
		delete(s.unwell, p)
	}
}

// Refused says whether the files of the mapping are others than those in use, because they
// have problems.
func (o *Observer) Refused(yes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state.refused = yes
}

// Begin says that a pass begins. While it runs, until its deadline, no end of a
// pass is missed: a slow NetScaler is no reason to restart the program.
func (o *Observer) Begin(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state.began = at
}

// Record takes what a pass found and did, and when it ended. A pass over some
// of the apps leaves what is known of the others; of what is not in the mapping any
// more it takes nothing.
func (o *Observer) Record(r sync.Result, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &o.state
	harmed := map[sync.Place][]sync.Trouble{}
	for _, t := range r.Troubles() {
		for _, p := range t.Places {
			harmed[p] = append(harmed[p], t)
		}
	}
	for _, outcome := range r.Outcomes {
		p := sync.Place{App: outcome.App.Name, NetScaler: outcome.NetScaler}
		if s.mapping.places[p] {
			s.apps[p] = s.apps[p].after(outcome, harmed[p], at)
			s.note(p)
		}
	}
	for name, err := range r.Sources {
		if s.mapping.sources[name] {
			s.sources[name] = s.sources[name].after(err, at)
		}
	}
	for name, err := range r.NetScalers {
		if !s.mapping.netscalers[name] {
			continue
		}
		h := s.netscalers[name].after(err, at)
		if !r.DryRun && slices.Contains(r.Saved, name) {
			h.Saved = at
		}
		if slices.Contains(r.Unsaved, name) {
			h.Owed = at
		}
		s.netscalers[name] = h
	}
	s.edition++
	s.finished, s.took, s.phases, s.dryRun, s.summary = at, r.Took, r.Phases, r.DryRun, r.Summary()
	s.unusable = len(r.Files)
	if s.allOK() {
		s.success = at
	}
	s.counts.add(r)
	o.tell()
}

// tell has systemd told that there is something new.
func (o *Observer) tell() {
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// StandBy says whether this replica makes no passes because another one leads.
// It is alive and ready then: a platform that waits for it to be more would
// wait for ever. Without elections nobody need say so.
//
// What it found while it led is another replica's business now, and is old.
func (o *Observer) StandBy(yes bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &o.state
	s.edition++
	s.standby, s.born = yes, time.Now()
	for p, a := range s.apps {
		s.apps[p] = a.forgotten()
		s.note(p)
	}
	for _, all := range []map[string]health{s.sources, s.netscalers} {
		for name, h := range all {
			all[name] = health{OK: h.OK, Saved: h.Saved, Owed: h.Owed}
		}
	}
	clear(s.streams)
	if yes {
		o.tell()
	}
}

// Stream says whether the events of a source arrive. A source that it never
// hears from has none.
func (o *Observer) Stream(source string, up bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s, known := o.state.streams[source]; (!known || s.Up != up) && o.state.mapping.sources[source] {
		o.state.streams[source] = stream{up, time.Now()}
		o.state.edition++
	}
}

// Call counts a try of a NITRO call; it is for [netscaler.Config].Observe.
func (o *Observer) Call(name string, c netscaler.CallInfo) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.state.mapping.netscalers[name] {
		return // a client that is being closed
	}
	o.state.counts.calls.WithLabelValues(name, c.Kind, c.Outcome).Inc()
	o.state.counts.latency.WithLabelValues(name).Observe(c.Took.Seconds())
}

func (h health) after(err error, at time.Time) health {
	failed := err != nil
	if h.Asked.IsZero() || failed != (h.Err != "") {
		h.Since = at
	}
	if h.Asked, h.Err = at, ""; failed {
		h.Err = cmp.Or(sync.OneLine(err.Error()), "failed")
	} else {
		h.OK = at
	}
	return h
}

// snapshot is the state as it is now, safe to read at leisure.
func (o *Observer) snapshot() state {
	o.mu.RLock()
	defer o.mu.RUnlock()
	s := o.state
	s.apps, s.sources, s.netscalers = maps.Clone(s.apps), maps.Clone(s.sources), maps.Clone(s.netscalers)
	s.streams = maps.Clone(s.streams)
	return s
}

// allOK: all apps of the mapping were looked at and none failed, and neither did
// a source or a NetScaler. A held removal is not a failure.
func (s *state) allOK() bool {
	if len(s.unwell) > 0 {
		return false
	}
	for _, all := range []map[string]health{s.sources, s.netscalers} {
		for _, h := range all {
			if h.Err != "" {
				return false
			}
		}
	}
	return true
}

// list is the apps in the order of the mapping, with those that no pass has
// looked at yet.
func (s *state) list() []app {
	var all []app
	for _, a := range s.Apps {
		for _, name := range a.NetScalers {
			known := s.apps[sync.Place{App: a.Name, NetScaler: name}]
			known.Name, known.Group, known.NetScaler, known.Paused = a.Name, a.Group, name, a.Policy.Paused
			known.Old = s.old(known)
			all = append(all, known)
		}
	}
	return all
}

// old: the app's rows are from before its NetScaler failed, before a pass that
// could not tell how they are, or before this replica led.
func (s *state) old(a app) bool {
	h := s.netscalers[a.NetScaler]
	return !a.Seen.IsZero() && (a.Seen.Before(a.Looked) || a.Seen.Before(s.born) || h.Err != "" && a.Seen.Before(h.Since))
}
