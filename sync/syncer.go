package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
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

	backoffs map[string]*backoff // of the sources; nil before the first pass
}

// Plan looks at the named apps, nil being all, and writes nothing. The result
// is what Sync would do.
func (s *Syncer) Plan(ctx context.Context, apps []string) Result {
	return s.pass(ctx, apps, false)
}

// Sync looks at the named apps, nil being all, and applies what it finds. When
// ctx ends, the change in hand is finished and the rest is left.
func (s *Syncer) Sync(ctx context.Context, apps []string) Result {
	return s.pass(ctx, apps, true)
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
func (s *Syncer) pass(ctx context.Context, names []string, apply bool) Result {
	began := time.Now()
	apps := s.selected(names)
	if s.backoffs == nil {
		s.backoffs = make(map[string]*backoff, len(s.Sources))
		for name := range s.Sources {
			s.backoffs[name] = &backoff{}
		}
	}
	all := s.poll(ctx, apps, false)
	s.lookUp(ctx)

	visits := map[string]*visit{}
	var order []*visit
	for _, app := range apps {
		for _, name := range app.NetScalers {
			if visits[name] == nil {
				ns := s.NetScalers[name]
				visits[name] = &visit{Syncer: s, name: name, ns: ns, confirmErrs: map[string]error{}, looks: map[*Outcome]look{}}
				order = append(order, visits[name])
				visits[name].doing("reading")
			}
			v := visits[name]
			v.outcomes = append(v.outcomes, &Outcome{App: app, NetScaler: name})
		}
	}
	claims := s.claims()
	s.identify(ctx, claims, visits)
	s.claimedTwice(claims, visits)
	serve(ctx, order, all, apply)

	r := Result{Sources: all.errors(), NetScalers: map[string]error{}, DryRun: !apply, Phases: Phases{Poll: all.took()}}
	next := map[string]int{}
	for _, app := range apps {
		for _, name := range app.NetScalers {
			r.Outcomes = append(r.Outcomes, *visits[name].outcomes[next[name]])
			next[name]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(visits)) {
		v := visits[name]
		r.NetScalers[name] = errors.Join(v.errs...)
		r.Phases = r.Phases.longest(v.phases)
		if v.saved {
			r.Saved = append(r.Saved, name)
		}
		for source, err := range v.confirmErrs {
			r.Sources[source] = err
		}
	}
	r.Took = time.Since(began)
	return r
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
