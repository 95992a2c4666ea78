package sync

import (
	"fmt"
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
	return []string{fmt.Sprintf("how members leave is the service group's own setting, because its autoscale is API: it %s, and drain: %s is not heeded; to change it: %s", is, Short(want), remedy)}
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
		all = append(all, fmt.Sprintf("%s cannot carry Nitrox's mark, because the custom server ID is in use or the build has none; a graceful disable is taken for Nitrox's own there", strings.Join(distinct(unmarked), ", ")))
	}
	return all
}
