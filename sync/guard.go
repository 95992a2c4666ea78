package sync

import (
	"fmt"
	"net/netip"
	"slices"

	"nitrox/netscaler"
	"nitrox/sources"
)

// guardedSize is the number of serving members from which shares of a group
// mean something: one of two is half, and still a common restart.
const guardedSize = 4

// drastic says whether the sources must be asked a second time before the plan
// may be believed: it loses more than half of a group of four or more, replaces
// every member, or removes one while an entry of the app answers with nothing, or nobody
// claims the group.
func drastic(plan Plan, answers []sources.Answer) bool {
	serving, gained, lost := plan.toll()
	if lost == 0 {
		return false
	}
	nothing := len(answers) == 0 || slices.ContainsFunc(answers, func(a sources.Answer) bool { return len(a.Endpoints) == 0 })
	return nothing || lost == serving || serving >= guardedSize && 2*(lost-gained) > serving
}

// guard holds a plan's removals when they would take the last serving member,
// or more members than the policy allows in one pass. What adds goes ahead. It
// counts when a drain begins, not when a drained member is unbound.
func guard(plan Plan, p Policy) Plan {
	serving, gained, lost := plan.toll()
	net := lost - gained
	switch {
	case lost == 0 || p.Forced:
		return plan
	case serving-net < 1 && p.AllowEmpty:
		return plan
	case serving-net < 1:
		which := "the last serving member"
		if serving > 1 {
			which = fmt.Sprintf("all %d serving members", serving)
		}
		return hold(plan, fmt.Errorf("would remove %s; if the app is meant to have none, set allow_empty: true or --force it once", which))
	case serving >= guardedSize && p.MaxRemove.Percent && net*100 > p.MaxRemove.N*serving,
		serving >= guardedSize && !p.MaxRemove.Percent && net > p.MaxRemove.N:
		return hold(plan, fmt.Errorf("would remove %d of %d serving members net, over max_remove %v; if that is right, --force it once", net, serving, p.MaxRemove))
	}
	return plan
}

// collapseSize is the number of a source's apps that, all at nothing in one
// pass, look like the source's fault.
const collapseSize = 3

// collapsed says whether a source looks broken although it answers: it feeds
// three or more of the apps, says of each that it has nothing, and each would
// lose members by that. drops tells it of each app of the source.
func collapsed(drops []bool) bool {
	return len(drops) >= collapseSize && !slices.Contains(drops, false)
}

// holdCollapsed holds the removals of an app whose source has collapsed.
func holdCollapsed(plan Plan, source string, apps int) Plan {
	return hold(plan, fmt.Errorf("source %s returned nothing for all of its %d apps at once, which looks like a fault of the source; if they are really gone, --force them once", source, apps))
}

// hold moves the changes that cost serving members from Changes to Held.
func hold(plan Plan, why error) Plan {
	changes := plan.Changes
	plan.Changes, plan.HeldBy = nil, why
	for _, c := range changes {
		if loses(c) {
			plan.Held = append(plan.Held, c)
		} else {
			plan.Changes = append(plan.Changes, c)
		}
	}
	return plan
}

// ready says whether a plan's removals may go ahead as its group is now: half
// of the members that will remain are UP, or none of those to be removed is.
// Members that are DOWN serve nobody, so nothing is lost with them.
func ready(plan Plan, now []netscaler.Member) bool {
	up := make(map[netip.AddrPort]bool, len(now))
	for _, m := range now {
		up[m.Addr] = m.Up && m.State == netscaler.Enabled
	}
	remain, remainUp, goingUp := len(plan.Kept), 0, false
	for _, m := range plan.Kept {
		if up[m.Addr] {
			remainUp++
		}
	}
	for _, c := range plan.Changes {
		switch {
		case gains(c):
			remain++
			if up[c.Addr] {
				remainUp++
			}
		case loses(c):
			goingUp = goingUp || up[c.Addr]
		}
	}
	return 2*remainUp >= remain || !goingUp
}
