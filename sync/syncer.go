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
	// Progress is called for each step of a pass when it begins and ends, by whichever
	// goroutine takes it; nil: nobody watches.
	Progress func(Step)

	once stdsync.Once
	made *known
}

// known is what a syncer knows of its mapping, which stays the same: it is made once, so
// that a pass of one app costs no more the more apps there are.
type known struct {
	apps     map[string]int // where each is
	claims   map[claim][]claimant
	backoffs map[string]*backoff // of the sources
}

func (s *Syncer) known() *known {
	s.once.Do(func() { s.made = s.know() })
	return s.made
}

func (s *Syncer) know() *known {
	k := &known{apps: make(map[string]int, len(s.Apps)), claims: map[claim][]claimant{}, backoffs: make(map[string]*backoff, len(s.Sources))}
	for name := range s.Sources {
		k.backoffs[name] = &backoff{}
	}
	groups := map[string]int{}
	for i, app := range s.Apps {
		k.apps[app.Name] = i
		for _, name := range app.NetScalers {
			c := s.claim(name, app.Group)
			k.claims[c] = append(k.claims[c], claimant{Place{app.Name, name}, app.Group})
			groups[name]++
		}
	}
	for name, n := range groups {
		s.NetScalers[name].Client.Expect(n)
	}
	return k
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
	all := s.poll(ctx, apps, false)

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
	s.lookUp(ctx, visits)
	s.identify(ctx, visits)
	s.claimedTwice(visits)
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
