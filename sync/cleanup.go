package sync

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"nitrox/netscaler"
)

// cleaned adds to a plan that the servers of its unbound members are removed,
// if they are named by their address, as binding an address makes them.
func cleaned(plan Plan, p Policy) Plan {
	if !p.CleanServers {
		return plan
	}
	used := map[string]bool{}
	for _, members := range [][]netscaler.Member{plan.Kept, plan.Draining, plan.Operator, plan.Foreign} {
		for _, m := range members {
			used[m.Server] = true
		}
	}
	for _, c := range plan.Held {
		used[c.Server] = true
	}
	for _, c := range plan.Changes {
		switch c.Op {
		case netscaler.Bind:
			used[c.Addr.Addr().String()] = true
		case netscaler.Enable, netscaler.Set, netscaler.Drain:
			used[c.Server] = true
		}
	}
	var removals []netscaler.Change
	for _, c := range plan.Changes {
		ip, err := netip.ParseAddr(c.Server)
		if c.Op != netscaler.Unbind || used[c.Server] || err != nil || ip.Unmap() != c.Addr.Addr() {
			continue
		}
		used[c.Server] = true
		removals = append(removals, netscaler.Change{Op: netscaler.RemoveServer, Group: c.Group, Member: c.Member, Why: "if nothing else uses it"})
	}
	plan.Changes = slices.Concat(plan.Changes, removals)
	return plan
}

// clean removes the servers of members that were unbound. One that is used
// after all stays, and is no change then.
func (v *visit) clean(ctx context.Context, outcomes []*Outcome) {
	var work []*Outcome
	for _, o := range outcomes {
		unbound := map[string]bool{}
		for i, c := range o.Plan.Changes {
			if c.Op == netscaler.Unbind && o.Errs[i] == nil {
				unbound[c.Server] = true
			}
		}
		o.drop(func(c netscaler.Change, _ error) bool { return c.Op == netscaler.RemoveServer && !unbound[c.Server] })
		if len(o.Plan.Changes) > 0 {
			work = append(work, o)
		}
	}
	v.do(ctx, work, netscaler.RemoveServer)
	for _, o := range work {
		o.drop(func(c netscaler.Change, err error) bool {
			if errors.Is(err, netscaler.ErrInUse) {
				o.Notes = append(o.Notes, err.Error())
			}
			return errors.Is(err, netscaler.ErrInUse) || errors.Is(err, netscaler.ErrGone)
		})
	}
}

// drop takes changes out of the plan that are none after all.
func (o *Outcome) drop(which func(netscaler.Change, error) bool) {
	var changes []netscaler.Change
	errs := []error{} // not nil: the plan was applied
	for i, c := range o.Plan.Changes {
		if !which(c, o.Errs[i]) {
			changes, errs = append(changes, c), append(errs, o.Errs[i])
		}
	}
	o.Plan.Changes, o.Errs = changes, errs
}
