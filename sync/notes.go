package sync

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"nitrox/netscaler"
)

// ownDrain tells how the settings of a group that takes a list differ from what
// the app's policy asks for. Nitrox leaves them as they are.
func ownDrain(a netscaler.Attrs, app App) []string {
	is, remedy := "unbinds them at once (autodisablegraceful NO)", fmt.Sprintf("set serviceGroup %s -autoDisablegraceful YES -autoDisabledelay %d", quote(app.Group), int(app.Policy.Drain.Seconds()))
	if a.DrainGraceful {
		is = "drains them until their clients are gone (autodisabledelay 0)"
		if a.DrainDelay > 0 {
			is = fmt.Sprintf("drains them for %s (autodisabledelay)", Short(a.DrainDelay))
		}
	}
	want := app.Policy.Drain
	switch {
	case a.DrainGraceful == (want > 0) && (want == 0 || a.DrainDelay == want):
		return nil
	case want == 0:
		remedy = fmt.Sprintf("set serviceGroup %s -autoDisablegraceful NO -autoDisabledelay 0", quote(app.Group))
	}
	return []string{fmt.Sprintf("the service group itself decides how members leave, because its autoscale is API: it %s, and drain: %s is ignored; to change it: %s", is, Short(want), remedy)}
}

// ordersLost are the orders that members take with them when they go, and that
// the mapping does not give them again.
func ordersLost(plan Plan, from []From) (all []string) {
	if !slices.ContainsFunc(from, func(f From) bool { return f.Order == 0 }) {
		return nil // whatever comes back is given its order
	}
	lost := map[int][]netip.AddrPort{}
	for _, c := range plan.Changes {
		known := c.Order == 0 || slices.ContainsFunc(from, func(f From) bool { return f.Order == c.Order })
		if !known && (c.Op == netscaler.Unbind || c.Op == netscaler.Drain && plan.MemberList) {
			lost[c.Order] = append(lost[c.Order], c.Addr)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(lost)) {
		all = append(all, fmt.Sprintf("unbinding %s loses order %d, which the mapping does not set: "+
			"a member that comes back gets the default order", listOf(lost[n]), n))
	}
	return all
}

// remarks are what a plan leaves to be said of its group.
func remarks(plan Plan) (all []string) {
	var unmarked []string
	see := func(m netscaler.Member) {
		if m.NoMark {
			unmarked = append(unmarked, m.Addr.String())
		}
	}
	for _, m := range plan.Draining {
		see(m)
	}
	for _, c := range plan.Changes {
		if !plan.MemberList && (c.Op == netscaler.Drain || c.Mark) {
			see(c.Member)
		}
	}
	if len(unmarked) > 0 {
		all = append(all, fmt.Sprintf("%s cannot carry Nitrox's mark, because the custom server ID is in use or the build has none; a graceful disable there counts as Nitrox's own", strings.Join(distinct(unmarked), ", ")))
	}
	return all
}
