package sync

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"nitrox/netscaler"
)

// cleaned adds to a plan that the servers of its unbound members are removed, if
// they are named by their address, as binding an address makes them, and nothing
// that was read uses them.
func cleaned(plan Plan, p Policy, inUse map[string]bool) Plan {
	if !p.CleanServers {
		return plan
	}
	planned := map[string]bool{}
	var removals []netscaler.Change
	for _, c := range plan.Changes {
		ip, err := netip.ParseAddr(c.Server)
		if c.Op != netscaler.Unbind || inUse[c.Server] || planned[c.Server] || err != nil || ip.Unmap() != c.Addr.Addr() {
			continue
		}
		planned[c.Server] = true
		removals = append(removals, netscaler.Change{Op: netscaler.RemoveServer, Group: c.Group, Member: c.Member, Why: "if nothing else uses it"})
	}
	plan.Changes = slices.Concat(plan.Changes, removals)
	return plan
}

// serversInUse are the servers that members use which the visit has read and the
// plans leave bound, in whichever group, and those that the plans will bind. Of plans
// that unbind nothing, which remove no server, they are not looked up.
func (v *visit) serversInUse(plans []Plan) map[string]bool {
	unbinds := func(c netscaler.Change) bool { return c.Op == netscaler.Unbind }
	if !slices.ContainsFunc(plans, func(p Plan) bool { return slices.ContainsFunc(p.Changes, unbinds) }) {
		return nil
	}
	inUse := map[string]bool{}
	for _, o := range v.outcomes {
		plans = append(plans, o.Plan)
	}
	for _, plan := range plans {
		for _, members := range [][]netscaler.Member{plan.Kept, plan.Draining, plan.Disabled, plan.NotOurs} {
			for _, m := range members {
				inUse[m.Server] = true
			}
		}
		for _, c := range plan.Held {
			inUse[c.Server] = true
		}
		for _, c := range plan.Changes {
			switch c.Op {
			case netscaler.Bind:
				inUse[c.Addr.Addr().String()] = true
			case netscaler.Enable, netscaler.Set, netscaler.Drain:
				inUse[c.Server] = true
			}
		}
	}
	return inUse
}

// clean removes the servers of members that were unbound. One that is used
// after all stays, and is not a change then.
func (v *visit) clean(ctx context.Context, outcomes []*Outcome) {
	for _, o := range outcomes {
		unbound := map[string]bool{}
		for _, d := range o.Done {
			if d.Op == netscaler.Unbind && d.Err == nil {
				unbound[d.Server] = true
			}
		}
		o.Done = slices.DeleteFunc(o.Done, func(d Done) bool { return d.Op == netscaler.RemoveServer && !unbound[d.Server] })
	}
	v.do(ctx, outcomes, netscaler.RemoveServer)
	for _, o := range outcomes {
		o.Done = slices.DeleteFunc(o.Done, func(d Done) bool {
			if errors.Is(d.Err, netscaler.ErrInUse) {
				o.Notes = append(o.Notes, d.Err.Error())
			}
			return errors.Is(d.Err, netscaler.ErrInUse) || errors.Is(d.Err, netscaler.ErrGone)
		})
	}
}
