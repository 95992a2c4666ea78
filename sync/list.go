package sync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"nitrox/netscaler"
)

// A service group with autoscale API takes its members as one list: what it
// does not name, leaves. The plan of such a group is a diff like any other, so
// that it can be read, guarded and confirmed; only applying it differs. What
// adds is one list, of the members as they are and the new ones, and what
// removes is another after it.

// asList is the plan of a group that takes a list. How members leave it is the
// group's own setting.
func asList(plan Plan, a netscaler.Attrs) Plan {
	plan.AsList = true
	return leaveBy(plan, a.DrainGraceful, a.DrainDelay)
}

// leaveBy makes the serving members of the plan that are to go be drained, or
// be unbound at once.
func leaveBy(plan Plan, drain bool, delay time.Duration) Plan {
	plan.Changes = slices.Clone(plan.Changes)
	for i, c := range plan.Changes {
		switch {
		case !loses(c):
		case drain:
			plan.Changes[i].Op, plan.Changes[i].Delay = netscaler.Drain, delay
		default:
			plan.Changes[i].Op, plan.Changes[i].Delay = netscaler.Unbind, 0
		}
	}
	slices.SortFunc(plan.Changes, byOrder)
	return plan
}

// listed: the change is made by giving a list. Others, as a mark to lift, are
// calls of their own.
func listed(c netscaler.Change) bool {
	switch c.Op {
	case netscaler.Bind, netscaler.Set, netscaler.Drain, netscaler.Unbind:
		return true
	case netscaler.Enable:
		return !c.Mark || c.NoMark || c.Leaving
	}
	return false
}

// List is what a group's members are to be with some changes made: those that
// it has now, as they are, but for the changes. Members that are leaving it are
// not named again. Out are those that the changes take out.
func List(now []netscaler.Member, changes []netscaler.Change) (list, out []netscaler.Member) {
	there := map[netip.AddrPort]bool{}
	for _, m := range now {
		removed, enabled := false, false
		for _, c := range changes {
			switch {
			case c.Addr != m.Addr:
			case removes(c):
				removed = true
			case c.Op == netscaler.Set:
				m.Weight = c.Weight
			default: // also a member to bind that somebody else has bound
				enabled = true
			}
		}
		switch {
		case removed:
			out = append(out, m)
			continue
		case m.Leaving && !enabled:
			continue
		case enabled:
			m.State, m.Leaving = netscaler.Enabled, false
		}
		there[m.Addr] = true
		list = append(list, m)
	}
	for _, c := range changes {
		if c.Op == netscaler.Bind && !there[c.Addr] {
			list = append(list, netscaler.Member{Addr: c.Addr, Weight: c.Weight})
		}
	}
	slices.SortFunc(list, byAddr)
	return list, out
}

var errNotSo = errors.New("the NetScaler took the list, and the group is not so")

// replace makes those changes of groups that take a list which add or, if
// removing, those which remove. A list replaces everything, so the groups are
// read right before it, lest it undo what somebody just did, and again after
// it, because its answer does not tell of each member.
func (v *visit) replace(ctx context.Context, outcomes []*Outcome, removing bool) {
	var work []*Outcome
	for _, o := range outcomes {
		if o.Plan.AsList && len(o.part(removing)) > 0 {
			work = append(work, o)
		}
	}
	if len(work) == 0 || len(v.errs) > 0 {
		return
	}
	if ctx.Err() != nil {
		for _, o := range work {
			o.settle(removing, time.Now(), func(netscaler.Change) error { return errStopped })
		}
		return
	}
	calls := context.WithoutCancel(ctx)
	groups, err := v.ns.Client.Read(calls, groupsOf(work))
	if err != nil {
		v.errs = append(v.errs, err)
		return
	}
	lists := make([]netscaler.Change, len(work))
	for i, o := range work {
		list, out := List(groups[o.App.Group].Members, o.part(removing))
		lists[i] = netscaler.Change{Op: netscaler.Replace, Group: o.App.Group, List: list, Out: out}
	}
	began := time.Now()
	errs := v.ns.Client.Do(calls, netscaler.Replace, lists)
	v.abandon(errs)
	now, err := v.ns.Client.Read(calls, groupsOf(work))
	if err != nil && len(v.errs) == 0 {
		v.errs = append(v.errs, fmt.Errorf("read again after giving a group its members: %w", err))
	}
	var others []*Outcome
	for i, o := range work {
		made := 0
		o.settle(removing, began, func(c netscaler.Change) error {
			if err == nil && InEffect(c, now[o.App.Group].Members) {
				made++
				return nil
			}
			switch {
			case errs[i] != nil:
				return notListed(c, errs[i])
			case err != nil:
				return notListed(c, err)
			}
			return notListed(c, errNotSo)
		})
		v.ns.unsaved = v.ns.unsaved || made > 0
		if made == 0 && errors.Is(errs[i], netscaler.ErrNoList) {
			o.Plan = leaveBy(o.Plan, o.App.Policy.Drain > 0, o.App.Policy.Drain)
			o.Plan.AsList = false
			o.Notes = append(o.Notes, fmt.Sprintf("changed by ordinary calls: %v", errs[i]))
			o.settle(removing, began, func(netscaler.Change) error { return errNotReached })
			others = append(others, o)
		}
	}
	ops := []netscaler.Op{netscaler.Bind, netscaler.Enable, netscaler.Set}
	if removing {
		ops = []netscaler.Op{netscaler.Drain, netscaler.Unbind}
	}
	for _, op := range ops {
		v.do(ctx, others, op)
	}
}

// notListed says why a change that a list should have made was not. If the
// answer names the members that failed, others were not the reason.
func notListed(c netscaler.Change, err error) error {
	var e *netscaler.Error
	if errors.As(err, &e) && len(e.Failed) > 0 && !slices.Contains(e.Failed, c.Addr) {
		err = fmt.Errorf("another member of the list failed: %w", err)
	}
	return fmt.Errorf("%s %s: %w", c.Op, c.Addr, err)
}

// part are the changes of a plan that are made by a list that adds, or by one
// that removes.
func (o *Outcome) part(removing bool) (part []netscaler.Change) {
	for _, c := range o.Plan.Changes {
		if listed(c) && removes(c) == removing {
			part = append(part, c)
		}
	}
	return part
}

// settle says of each of these changes how it went.
func (o *Outcome) settle(removing bool, began time.Time, fate func(netscaler.Change) error) {
	for i, c := range o.Plan.Changes {
		if listed(c) && removes(c) == removing {
			o.Errs[i], o.Plan.Changes[i].Took = fate(c), time.Since(began)
		}
	}
}
