package sync

import (
	"cmp"
	"net/netip"
	"slices"

	"nitrox/netscaler"
)

// Plan leads a service group from its actual to its desired members. It is a
// value: it can be printed, compared and refused, and applying it needs nothing
// more.
type Plan struct {
	// Changes are in the order of application: what adds comes before what
	// removes.
	Changes []netscaler.Change
	// Held are the removals that a guard holds back, and HeldBy says why.
	Held   []netscaler.Change
	HeldBy error
	// MemberList: the changes are made by giving the group its members as a whole
	// (autoscale API), and how members leave it is the group's own setting.
	MemberList bool
	// Kept are the serving members that stay as they are, but perhaps for
	// their weight.
	Kept []netscaler.Member
	// Draining are on their way out, and the NetScaler is not done with them.
	Draining []netscaler.Member
	// Disabled are members that somebody else disabled, by themselves or with
	// their server or group. They are neither enabled nor removed.
	Disabled []netscaler.Member
	// NotOurs are domain names, addresses outside only, and the like.
	NotOurs []netscaler.Member
	// Uncertain are endpoints whose health is not known; they are not added.
	Uncertain []Endpoint
}

// The reasons of changes, for people.
const (
	whyGone    = "no longer an endpoint"
	whyDrained = "drained"
	whyBack    = "an endpoint again"
	whyMarked  = "marked by a run that was interrupted"
)

// Diff compares what is desired with what is actual. Its result depends on its
// arguments alone, and not on their order.
func Diff(group string, want Desired, actual []netscaler.Member, p Policy) Plan {
	if !slices.IsSortedFunc(actual, byAddr) {
		actual = slices.SortedFunc(slices.Values(actual), byAddr)
	}
	changes, kept := many(want, actual, p)
	plan := Plan{Changes: make([]netscaler.Change, 0, changes)}
	change := func(op netscaler.Op, m netscaler.Member, why string) *netscaler.Change {
		plan.Changes = append(plan.Changes, netscaler.Change{Op: op, Group: group, Member: m, Why: why})
		return &plan.Changes[len(plan.Changes)-1]
	}
	set := func(m netscaler.Member, e *Endpoint) {
		is := m.Settings()
		if e.Weight != 0 {
			m.Weight = e.Weight
		}
		if e.Order != 0 {
			m.Order = e.Order
		}
		if m.Settings() != is {
			change(netscaler.Set, m, e.Origin).Was = is
		}
	}
	doubt := want.Doubt()
	bound := make([]bool, len(want.Endpoints))
	for i, m := range actual {
		at, isWanted := want.at(m.Addr)
		var e *Endpoint
		if isWanted {
			// A member that is not ours and has a desired address already serves it.
			e, bound[at] = &want.Endpoints[at], true
		}
		if m.NotOurs != "" || !inside(m.Addr.Addr(), p.Only) {
			plan.NotOurs = append(plan.NotOurs, m)
			continue
		}
		certain := isWanted && e.Uncertain == ""
		// The rows of the table in doc.go.
		switch {
		case m.State == netscaler.DisabledAbove, m.State != netscaler.Enabled && !m.Mark:
			plan.Disabled = append(plan.Disabled, m)

		case m.State == netscaler.Enabled && (isWanted || doubt != nil):
			if len(plan.Kept) == i { // as long as all are kept, they are not copied
				plan.Kept = actual[: i+1 : i+1]
			} else {
				plan.Kept = append(slices.Grow(plan.Kept, max(kept-len(plan.Kept), 0)), m)
			}
			if m.Mark && certain {
				change(netscaler.Enable, m, whyMarked)
			}
			if isWanted {
				set(m, e)
			}
		case m.State == netscaler.Enabled && p.Drain > 0:
			change(netscaler.Drain, m, whyGone).Delay = p.Drain
		case m.State == netscaler.Enabled:
			change(netscaler.Unbind, m, whyGone)

		// What is left is on its way out.
		case certain:
			change(netscaler.Enable, m, cmp.Or(e.Origin, whyBack))
			set(m, e)
		case isWanted, doubt != nil, m.Leaving:
			plan.Draining = append(plan.Draining, m)
		case m.State == netscaler.Disabled:
			change(netscaler.Unbind, m, whyDrained)
		case p.Drain == 0:
			change(netscaler.Unbind, m, whyGone)
		default:
			plan.Draining = append(plan.Draining, m)
		}
	}
	for i, e := range want.Endpoints {
		switch {
		case bound[i]:
		case e.Uncertain != "":
			plan.Uncertain = append(plan.Uncertain, e)
		default:
			change(netscaler.Bind, netscaler.Member{Addr: e.Addr, Weight: max(e.Weight, 1), Order: e.Order}, e.Origin)
		}
	}
	slices.SortFunc(plan.Changes, byOrder)
	return plan
}

// at finds the endpoint with an address.
func (d Desired) at(addr netip.AddrPort) (int, bool) {
	return slices.BinarySearchFunc(d.Endpoints, addr, func(e Endpoint, addr netip.AddrPort) int { return e.Addr.Compare(addr) })
}

// many is about how many changes there will be, and members that are kept: as they are
// the largest part of a large plan, it is not grown to that bit by bit.
func many(want Desired, actual []netscaler.Member, p Policy) (changes, kept int) {
	come, gone, doubt := len(want.Endpoints), 0, want.Doubt()
	for _, m := range actual {
		_, stays := want.at(m.Addr)
		switch ours := m.NotOurs == "" && inside(m.Addr.Addr(), p.Only); {
		case stays:
			come--
			kept++
		case ours && doubt == nil:
			gone++
		case ours:
			kept++
		}
	}
	return max(come, 0) + gone, kept
}

func byOrder(a, b netscaler.Change) int {
	return cmp.Or(cmp.Compare(a.Op, b.Op), byAddr(a.Member, b.Member))
}

func byAddr(a, b netscaler.Member) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Server, b.Server))
}

// creates: the change makes what the members are bound to.
func creates(c netscaler.Change) bool { return c.Op < netscaler.Bind }

// removes: applying the change takes a member out, or begins to, or cleans up
// after one.
func removes(c netscaler.Change) bool { return c.Op >= netscaler.Drain }

// loses: applying the change costs the group a serving member. Unbinding one
// that is drained does not.
func loses(c netscaler.Change) bool {
	return (c.Op == netscaler.Drain || c.Op == netscaler.Unbind) && c.State == netscaler.Enabled
}

// gains: applying the change gives the group a serving member. Lifting the mark
// of one that serves does not.
func gains(c netscaler.Change) bool {
	return c.Op == netscaler.Bind || c.Op == netscaler.Enable && c.State != netscaler.Enabled
}

// toll counts the serving members before the plan, and those that it adds and
// removes.
func (plan Plan) toll() (serving, gained, lost int) {
	serving = len(plan.Kept)
	for _, c := range plan.Changes {
		switch {
		case gains(c):
			gained++
		case loses(c):
			lost++
			serving++
		}
	}
	return serving, gained, lost
}
