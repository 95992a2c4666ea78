package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	stdsync "sync"
	"time"

	"nitrox/sources/bounds"
)

// Syncer keeps the service groups of the apps in step with their sources. It
// remembers nothing of a pass but what is not yet saved: what must be
// remembered is on the NetScaler.
type Syncer struct {
	Sources    map[string]Source
	NetScalers map[string]*NetScaler
	Apps       []App
	Mapping    Mapping // that all this is from
	// Discoveries are where more apps come from; [Syncer.Discover] finds them.
	Discoveries []Discovery
	// Reserved names the file that may have an app with a service group and cannot be used;
	// "": none does. nil: no file is.
	Reserved func(group string) string
	// Unusable are files of the mapping that cannot be used, and why. What is in the fields
	// above is without them.
	Unusable map[string]error
	// Trace numbers a pass that begins; nil: nobody traces its changes back.
	Trace func() Run
	// Lookup finds the addresses of a name in a NetScaler's URL, so that they are
	// never bound; nil: names are not looked up.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Approved is the plan outside which nothing may be changed; nil: any plan may be
	// carried out.
	Approved *Approval
	// Progress is called for each step of a pass when it begins and ends, by whichever
	// goroutine takes it; nil: nobody watches.
	Progress func(Step)

	once  stdsync.Once
	made  *known
	found *sighting // nil: nobody has looked yet
}

// known is what a syncer knows of its mapping, which stays the same: it is made once, so
// that a pass of one app costs no more the more apps there are.
type known struct {
	apps     map[string]int // where each is
	claims   map[claim][]claimant
	groups   map[string]int      // how many there are, by NetScaler
	backoffs map[string]*backoff // of the sources
	lookouts map[string]*backoff // of the discovery of apps in them
}

func (s *Syncer) known() *known {
	s.once.Do(func() { s.made = s.know() })
	return s.made
}

func (s *Syncer) know() *known {
	k := &known{apps: map[string]int{}, claims: map[claim][]claimant{}, groups: map[string]int{}, backoffs: map[string]*backoff{}, lookouts: map[string]*backoff{}}
	for name := range s.Sources {
		k.backoffs[name], k.lookouts[name] = &backoff{}, &backoff{}
	}
	for name, ns := range s.NetScalers {
		if ns.Appliance == "" { // a later syncer of the same NetScalers changes nothing
			ns.Appliance = name
		}
	}
	for i, app := range s.Apps {
		k.apps[app.Name] = i
		for _, name := range app.NetScalers {
			if app.Group == "" { // it is not known, or not allowed
				continue
			}
			c := s.claim(name, app.Group)
			k.claims[c] = append(k.claims[c], claimant{Place{app.Name, name}, app.Group})
			k.groups[name]++
		}
	}
	return k
}

// Plan looks at a part of all, nil being everything, and writes nothing. The
// result is what Sync would do. Passes may be made at the same time on
// appliances that are not the same.
func (s *Syncer) Plan(ctx context.Context, part *Part) Result {
	return s.pass(ctx, part, false)
}

// Sync looks at a part of all, nil being everything, and applies what it finds.
// When ctx ends, the change in hand is finished and the rest is left.
func (s *Syncer) Sync(ctx context.Context, part *Part) Result {
	return s.pass(ctx, part, true)
}

// Close saves what is not saved yet and logs out everywhere, also if ctx has ended: one
// appliance beside the other, so that those that hang cost no more than one of them.
func (s *Syncer) Close(ctx context.Context) error {
	lasting, cancel := bounds.Outlast(ctx)
	defer cancel()
	names := slices.Sorted(maps.Keys(s.NetScalers))
	errs := make([]error, len(names))
	turns := map[string][]int{} // of the entries that lead to each appliance
	for i, name := range names {
		at := s.NetScalers[name].appliance()
		turns[at] = append(turns[at], i)
	}
	var all stdsync.WaitGroup
	for _, turn := range turns {
		all.Go(func() {
			for _, i := range turn {
				n := s.NetScalers[names[i]]
				var unsaved error
				if n.Save && n.unsaved {
					unsaved = n.save(lasting)
				}
				errs[i] = named(names[i], errors.Join(unsaved, n.Client.Close(ctx)))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// pass polls each source once and serves each NetScaler by itself, so that
// neither a source nor a NetScaler that hangs holds up the others.
func (s *Syncer) pass(ctx context.Context, part *Part, apply bool) Result {
	began := time.Now()
	lasting, cancel := bounds.Outlast(ctx)
	defer cancel()
	ctx, end := context.WithCancel(ctx)
	defer end() // of what nobody waits for
	var run Run
	if s.Trace != nil {
		run = s.Trace()
	}
	apps := s.of(part)
	all := s.poll(ctx, apps, false)

	visits := map[string]*visit{}
	var order []*visit
	var outcomes []*Outcome
	for _, app := range apps {
		for _, name := range app.NetScalers {
			if !part.serves(app.Name, name) {
				continue
			}
			v := visits[name]
			if v == nil {
				v = &visit{Syncer: s, part: part, name: name, ns: s.NetScalers[name], lasting: lasting, confirmErrs: map[string]error{}, looks: map[*Outcome]look{}}
				visits[name] = v
				order = append(order, v)
				v.ns.Client.Expect(s.known().groups[name])
				v.doing("reading")
			}
			o := &Outcome{App: app, NetScaler: name, Err: app.Refused}
			v.outcomes, outcomes = append(v.outcomes, o), append(outcomes, o)
		}
	}
	s.lookUp(ctx, visits)
	s.identify(ctx, visits, part)
	s.claimedTwice(visits)
	result := func(outcomes []*Outcome, visits []*visit, polls polls) Result {
		r := Result{Sources: polls.errors(), NetScalers: map[string]error{}, Files: s.Unusable, DryRun: !apply, Phases: Phases{Poll: polls.took()}, by: s}
		r.Run = run
		r.Outcomes = slices.Grow(r.Outcomes, len(outcomes))
		for _, o := range outcomes {
			traced := *o
			traced.Node = s.NetScalers[o.NetScaler].Client.Node()
			r.Outcomes = append(r.Outcomes, traced)
		}
		for _, v := range visits {
			r.NetScalers[v.name] = errors.Join(v.errs...)
			if len(v.errs) == 0 {
				r.NetScalers[v.name] = s.found.unread(v.name)
			}
			r.Phases = r.Phases.longest(v.phases)
			if v.saved {
				r.Saved = append(r.Saved, v.name)
			}
			if v.unsaved {
				r.Unsaved = append(r.Unsaved, v.name)
			}
			maps.Copy(r.Sources, v.confirmErrs)
		}
		if s.found != nil {
			for name := range s.selections() {
				r.Sources[name] = errors.Join(append(split(r.Sources[name]), s.found.failures[name])...)
			}
		}
		slices.Sort(r.Saved)
		r.Took = time.Since(began)
		return r
	}
	s.serve(ctx, part, order, all, apply, func(v *visit) {
		if part != nil && part.left != nil {
			part.left(v.name, result(v.outcomes, []*visit{v}, all.of(v.outcomes)))
		}
	})
	r := result(outcomes, order, all)
	if s.found != nil && (part == nil || part.Apps == nil && part.NetScalers == nil) {
		for name, err := range s.found.unknown {
			if visits[name] == nil {
				r.NetScalers[name] = err // which groups no app claims there is not known
			}
		}
	}
	return r
}

// selected are the named apps, nil being all, in the order of the mapping.
func (s *Syncer) selected(names []string) (apps []App) {
	if names == nil {
		return s.Apps
	}
	var at []int
	for _, name := range names {
		if i, here := s.known().apps[name]; here {
			at = append(at, i)
		}
	}
	slices.Sort(at)
	for _, i := range slices.Compact(at) {
		apps = append(apps, s.Apps[i])
	}
	return apps
}

// named puts the NetScaler's name before an error.
func named(netscaler string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("netscaler %s: %w", netscaler, err)
}
