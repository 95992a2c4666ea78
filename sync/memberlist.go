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

// listed is the plan of a group that takes a list. How members leave it is the
// group's own setting.
func listed(plan Plan, a netscaler.Attrs) Plan {
	plan.MemberList = true
	plan.Changes = leaveBy(plan.Changes, a.DrainGraceful, a.DrainDelay)
	slices.SortFunc(plan.Changes, byOrder)
	return plan
}

// leaveBy makes the serving members that are to go be drained, or be unbound at
// once.
func leaveBy(changes []netscaler.Change, drain bool, delay time.Duration) []netscaler.Change {
	changes = slices.Clone(changes)
	for i, c := range changes {
		switch {
		case !loses(c):
		case drain:
			changes[i].Op, changes[i].Delay = netscaler.Drain, delay
		default:
			changes[i].Op, changes[i].Delay = netscaler.Unbind, 0
		}
	}
	return changes
}

// inList: the change is made by giving a list. Others, as a mark to lift, are
// calls of their own.
func inList(c netscaler.Change) bool {
	switch c.Op {
	case netscaler.Bind, netscaler.Set, netscaler.Drain, netscaler.Unbind:
		return true
	case netscaler.Enable:
		return !c.Mark || c.NoMark || c.Leaving
	}
	return false
}

// byList: the outcome's changes are made by giving a list, unless that was
// refused meanwhile.
func (v *visit) byList(o *Outcome) bool { return o.Plan.MemberList && !v.ordinary[o] }

// memberList is what a group's members are to be with some changes made: those that
// it has now, as they are, but for the changes. Members that are leaving it are
// not named again. out is how many the changes take out.
func memberList(now []netscaler.Member, changes []*netscaler.Change) (list []netscaler.Member, out int) {
	changes = slices.SortedStableFunc(slices.Values(changes), func(a, b *netscaler.Change) int { return a.Addr.Compare(b.Addr) })
	binds := 0
	for _, c := range changes {
		if c.Op == netscaler.Bind {
			binds++
		}
	}
	list = make([]netscaler.Member, 0, len(now)+binds)
	for _, m := range now {
		removed, enabled := false, false
		first, _ := slices.BinarySearchFunc(changes, m.Addr, func(c *netscaler.Change, a netip.AddrPort) int { return c.Addr.Compare(a) })
		for _, c := range changes[first:] {
			if c.Addr != m.Addr {
				break
			}
			switch {
			case removes(*c):
				removed = true
			case c.Op == netscaler.Set:
				m.Weight, m.Order = c.Weight, c.Order
			default:
				// A member to bind that somebody else has bound meanwhile is as
				// they would have it, unless it is leaving.
				enabled = enabled || c.Op == netscaler.Enable || m.Leaving
			}
		}
		switch {
		case removed:
			out++
			continue
		case m.Leaving && !enabled:
			continue
		case enabled:
			m.State, m.Leaving = netscaler.Enabled, false
		}
		list = append(list, m)
	}
	slices.SortFunc(list, byAddr)
	there := list
	for _, c := range changes {
		_, is := slices.BinarySearchFunc(there, c.Addr, func(m netscaler.Member, a netip.AddrPort) int { return m.Addr.Compare(a) })
		if c.Op == netscaler.Bind && !is {
			list = append(list, netscaler.Member{Addr: c.Addr, Weight: c.Weight, Order: c.Order})
		}
	}
	slices.SortFunc(list, byAddr)
	return list, out
}

// lost are the members that a list leaves out although the plan does not remove
// them: it keeps, adds or holds them, or leaves them alone. A list that loses
// one must not be sent, wherever the loss comes from.
func lost(plan Plan, removing bool, list []netscaler.Member) (lost []netip.AddrPort) {
	there := make(map[netip.AddrPort]bool, len(list))
	for _, m := range list {
		there[m.Addr] = true
	}
	need := func(m netscaler.Member) {
		if !m.Leaving && !there[m.Addr] {
			lost = append(lost, m.Addr)
		}
	}
	for _, members := range [][]netscaler.Member{plan.Kept, plan.Draining, plan.Disabled, plan.NotOurs} {
		for _, m := range members {
			need(m)
		}
	}
	for _, c := range plan.Held {
		need(c.Member)
	}
	for _, c := range plan.Changes {
		if !creates(c) && (!removes(c) || !removing) {
			need(c.Member)
		}
	}
	return lost
}

var errNotSo = errors.New("the NetScaler accepted the list, but the group does not match it")

// giveLists makes those changes of groups that take a list which add or, if
// removing, those which remove. A group that does not match its list afterwards
// is given one more: another copy's may have come in between.
func (v *visit) giveLists(ctx context.Context, outcomes []*Outcome, removing bool) {
	if unlike := v.giveListsOnce(ctx, outcomes, removing); len(unlike) > 0 {
		v.giveListsOnce(ctx, unlike, removing)
	}
}

// look is what was seen of a group when it was read.
type look struct {
	at      time.Time
	members []netscaler.Member
	err     error // why nothing was
}

// lookKept is for how long a look is one right before a list.
const lookKept = time.Second / 2

// look reads the groups of the outcomes.
func (v *visit) look(ctx context.Context, outcomes []*Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	at := time.Now()
	groups, err := v.ns.Client.Read(ctx, groupsOf(outcomes))
	v.saw(outcomes, groups, at)
	return err
}

// saw notes what a read that began at a time has found.
func (v *visit) saw(outcomes []*Outcome, groups netscaler.Groups, at time.Time) {
	for _, o := range outcomes {
		members, err := groups.Members(o.App.Group)
		v.looks[o] = look{at, members, err}
	}
}

// justSeen: the group was looked at just now, and this visit has changed nothing of
// it since. A look that shows no members is made again: of all that an answer can
// lack, only the whole of its rows cannot be told from none.
func (v *visit) justSeen(o *Outcome) bool {
	seen, looked := v.looks[o]
	return looked && seen.err == nil && len(seen.members) > 0 && time.Since(seen.at) < lookKept
}

// giveListsOnce returns the outcomes whose lists were accepted, and whose groups
// do not match them. A list replaces everything, so each is made from a look right
// before it, so as not to undo what somebody has just done, and followed by one,
// because its answer does not say what became of each member. What the plan was made
// from can be the first, and what follows one list is the first of the next.
func (v *visit) giveListsOnce(ctx context.Context, outcomes []*Outcome, removing bool) (unlike []*Outcome) {
	mine := func(d Done) bool { return inList(*d.Change) && removes(*d.Change) == removing }
	var work []*Outcome
	for _, o := range outcomes {
		if v.byList(o) && slices.ContainsFunc(o.Done, mine) {
			work = append(work, o)
		}
	}
	if len(work) == 0 || len(v.errs) > 0 {
		return nil
	}
	if ctx.Err() != nil {
		for _, o := range work {
			o.settle(mine, stopped(ctx))
		}
		return nil
	}
	if err := v.look(v.lasting, slices.DeleteFunc(slices.Clone(work), v.justSeen)); err != nil {
		v.errs = append(v.errs, err)
		return nil
	}
	var given, refused []*Outcome
	var lists []netscaler.Change
	for _, o := range work {
		var changes []*netscaler.Change
		for _, d := range o.Done {
			if mine(d) {
				changes = append(changes, d.Change)
			}
		}
		seen := v.looks[o]
		if seen.err != nil {
			o.settle(mine, fmt.Errorf("not sent: %w", seen.err))
			continue
		}
		list, out := memberList(seen.members, changes)
		if lost := lost(o.Plan, removing, list); len(lost) > 0 {
			o.settle(mine, fmt.Errorf("not sent: the service group has changed since the plan was made, and the list would drop %s", listOf(lost)))
			continue
		}
		if len(list) == 0 { // the last members leave one by one: a list is never empty
			refused = append(refused, o)
			continue
		}
		given = append(given, o)
		lists = append(lists, netscaler.Change{Op: netscaler.ReplaceMembers, Group: o.App.Group, TD: o.Done[0].TD, List: list, Out: out})
	}
	began := time.Now()
	errs := v.ns.Client.Do(ctx, netscaler.ReplaceMembers, lists)
	v.abandon(errs)
	if err := v.look(v.lasting, given); err != nil && len(v.errs) == 0 {
		v.errs = append(v.errs, fmt.Errorf("read again after setting the members of a group: %w", err))
	}
	for i, o := range given {
		now, unread := byAddress(v.looks[o].members), v.looks[o].err
		made := 0
		for j := range o.Done {
			d := &o.Done[j]
			if !mine(*d) {
				continue
			}
			switch d.Took = time.Since(began); {
			case unread == nil && inEffect(*d.Change, now):
				d.Err = nil
				made++
			case errors.Is(errs[i], netscaler.ErrStopped):
				d.Err = stopped(ctx)
			case errs[i] != nil:
				d.Err = v.once(notListed(*d.Change, errs[i]))
			case unread != nil:
				d.Err = notListed(*d.Change, fmt.Errorf("%w: %w", netscaler.ErrUnsure, unread))
			default:
				d.Err = notListed(*d.Change, errNotSo)
				unlike = append(unlike, o)
			}
		}
		v.ns.unsaved = v.ns.unsaved || made > 0 || unread != nil
		if made == 0 && errors.Is(errs[i], netscaler.ErrNoMemberList) {
			o.Notes = append(o.Notes, fmt.Sprintf("its members were changed by ordinary calls: %v", errs[i]))
			refused = append(refused, o)
		}
	}
	v.byOrdinaryCalls(ctx, refused, removing)
	return slices.Compact(unlike)
}

// byOrdinaryCalls makes the changes that a list should have made. How members
// leave is what the mapping says then.
func (v *visit) byOrdinaryCalls(ctx context.Context, outcomes []*Outcome, removing bool) {
	if v.ordinary == nil {
		v.ordinary = map[*Outcome]bool{}
	}
	for _, o := range outcomes {
		v.ordinary[o] = true
		for i := range o.Done {
			if d := &o.Done[i]; inList(*d.Change) && removes(*d.Change) == removing {
				d.Err = errNotReached
			}
			if d := &o.Done[i]; loses(*d.Change) {
				drain := o.App.Policy.Drain
				d.Change = &leaveBy([]netscaler.Change{*d.Change}, drain > 0, drain)[0]
			}
		}
	}
	ops := []netscaler.Op{netscaler.Bind, netscaler.Enable, netscaler.Set}
	if removing {
		ops = []netscaler.Op{netscaler.Drain, netscaler.Unbind}
	}
	for _, op := range ops {
		v.do(ctx, outcomes, op)
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
