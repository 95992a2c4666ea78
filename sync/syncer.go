package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	stdsync "sync"
	"time"
)

// Syncer keeps the service groups of the apps in step with their sources. It
// remembers nothing of a pass but what is not yet saved: what must be
// remembered is on the NetScaler.
type Syncer struct {
	Sources    map[string]Source
	NetScalers map[string]*NetScaler
	Apps       []App
	// Lookup finds the addresses of a name in a NetScaler's URL, so that they are
	// never bound; nil: names are not looked up.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Approved is the plan outside which nothing may be changed; nil: any plan may be
	// carried out.
	Approved *Approval
	// Progress is called for each step of a pass when it begins and ends, by whichever
	// goroutine takes it; nil: nobody watches.
	Progress func(Step)

	started  stdsync.Once
	backoffs map[string]*backoff // of the sources
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

// Close saves what is not saved yet and logs out everywhere.
func (s *Syncer) Close(ctx context.Context) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.NetScalers)) {
		n := s.NetScalers[name]
		if n.Save && n.unsaved {
			errs = append(errs, named(name, n.save(ctx)))
		}
		errs = append(errs, named(name, n.Client.Close(ctx)))
	}
	return errors.Join(errs...)
}

// pass polls each source once and serves each NetScaler by itself, so that
// neither a source nor a NetScaler that hangs holds up the others.
func (s *Syncer) pass(ctx context.Context, part *Part, apply bool) Result {
	began := time.Now()
	apps := s.of(part)
	s.start()
	all := s.poll(ctx, apps, false)
	s.lookUp(ctx)

	visits := map[string]*visit{}
	var order []*visit
	var outcomes []*Outcome
	for _, app := range apps {
		for _, name := range app.NetScalers {
			if !part.on(name) {
				continue
			}
			v := visits[name]
			if v == nil {
				v = &visit{Syncer: s, part: part, name: name, ns: s.NetScalers[name], confirmErrs: map[string]error{}, looks: map[*Outcome]look{}}
				visits[name] = v
				order = append(order, v)
				v.doing("reading")
			}
			o := &Outcome{App: app, NetScaler: name}
			v.outcomes, outcomes = append(v.outcomes, o), append(outcomes, o)
		}
	}
	var claims map[claim][]claimant
	if part != nil && part.scope != nil {
		claims = part.scope.claims
	} else {
		claims = s.claims()
	}
	s.identify(ctx, claims, visits, part)
	s.claimedTwice(claims, visits)
	result := func(outcomes []*Outcome, visits []*visit, polls polls) Result {
		r := Result{Sources: polls.errors(), NetScalers: map[string]error{}, DryRun: !apply, Phases: Phases{Poll: polls.took()}}
		for _, o := range outcomes {
			r.Outcomes = append(r.Outcomes, *o)
		}
		for _, v := range visits {
			r.NetScalers[v.name] = errors.Join(v.errs...)
			r.Phases = r.Phases.longest(v.phases)
			if v.saved {
				r.Saved = append(r.Saved, v.name)
			}
			maps.Copy(r.Sources, v.confirmErrs)
		}
		slices.Sort(r.Saved)
		r.Took = time.Since(began)
		return r
	}
	serve(ctx, order, all, apply, func(v *visit) {
		if part != nil && part.left != nil {
			part.left(v.name, result(v.outcomes, []*visit{v}, all.of(v.outcomes)))
		}
	})
	return result(outcomes, order, all)
}

// start makes ready, once, what passes share.
func (s *Syncer) start() {
	s.started.Do(func() {
		s.backoffs = make(map[string]*backoff, len(s.Sources))
		for name := range s.Sources {
			s.backoffs[name] = &backoff{}
		}
		for name, ns := range s.NetScalers {
			ns.Appliance = cmp.Or(ns.Appliance, name)
		}
	})
}

// selected are the named apps, nil being all.
func (s *Syncer) selected(names []string) (apps []App) {
	among := among(names)
	for _, app := range s.Apps {
		if among(app.Name) {
			apps = append(apps, app)
		}
	}
	return apps
}

// among says of a name whether it is one of names, nil being all.
func among(names []string) func(string) bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return func(name string) bool { return names == nil || set[name] }
}

// named puts the NetScaler's name before an error.
func named(netscaler string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("netscaler %s: %w", netscaler, err)
}
