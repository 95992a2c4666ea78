package sync_test

import (
	"context"

	"nitrox/sync"
)

// Sync runs a pass of any test, and holds it to what every pass must keep: at
// no moment has a group fewer enabled members than before the pass and after
// it.
func (s *site) Sync(ctx context.Context, part *sync.Part) sync.Result {
	s.t.Helper()
	before := s.enabled()
	for _, sim := range s.sims {
		sim.ResetMin()
	}
	r := s.Syncer.Sync(ctx, part)
	after := s.enabled()
	for at, n := range before {
		if low := s.sims[at.netscaler].MinEnabled(at.group); low < min(n, after[at]) {
			s.t.Errorf("%s on %s had %d enabled members in the middle of a pass, %d before it and %d after it", at.group, at.netscaler, low, n, after[at])
		}
	}
	return r
}

type place struct{ netscaler, group string }

// enabled is how many members each group has that are enabled.
func (s *site) enabled() map[place]int {
	all := map[place]int{}
	for _, app := range s.Apps {
		for _, name := range app.NetScalers {
			members := s.sims[name].Members(app.Group)
			if members == nil {
				continue // there is no such group
			}
			n := 0
			for _, m := range members {
				if m.State == "ENABLED" {
					n++
				}
			}
			all[place{name, app.Group}] = n
		}
	}
	return all
}
