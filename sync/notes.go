package sync

import (
	"fmt"
	"strings"

	"nitrox/netscaler"
)

// notes are what a plan leaves to be said of its group.
func notes(plan Plan) (all []string) {
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
		if c.Op == netscaler.Drain || c.Mark {
			see(c.Member)
		}
	}
	if len(unmarked) > 0 {
		all = append(all, fmt.Sprintf("%s cannot carry Nitrox's mark, because the custom server ID is in use or the build has none; a graceful disable is taken for Nitrox's own there", strings.Join(distinct(unmarked), ", ")))
	}
	return all
}
