package sync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"nitrox/netscaler"
	"nitrox/sources/bounds"
)

// Why a change was not made although nothing is wrong with itself.
var (
	errNotReached = errors.New("not attempted")
	errStopped    = errors.New("not attempted: the run was stopped")
	errLate       = fmt.Errorf("not attempted: %w", errDeadline)
	errAddFirst   = errors.New("not removed: what had to be added or set first was not")
)

// apply makes the changes of the outcomes' plans: first what adds, all groups
// in one call a kind; then what removes, each group when it is ready.
func (v *visit) apply(ctx context.Context, outcomes []*Outcome) {
	var work []*Outcome
	for _, o := range outcomes {
		if o.Err != nil || o.App.Policy.Paused {
			continue
		}
		if !v.approved(o) {
			o.Err = ErrNotApproved
			continue
		}
		o.Done = make([]Done, len(o.Plan.Changes))
		for i := range o.Plan.Changes {
			o.Done[i] = Done{Change: &o.Plan.Changes[i], Err: errNotReached}
		}
		if len(o.Done) > 0 {
			work = append(work, o)
		}
	}
	if len(work) == 0 || len(v.errs) > 0 {
		return
	}
	err := v.alone(ctx)
	if err == nil {
		err = v.writable(ctx)
	}
	if err != nil {
		v.errs = append(v.errs, err)
		return
	}
	work = v.notOwn(work)
	v.do(ctx, work, netscaler.AddVServer)
	v.do(ctx, work, netscaler.AddGroup)
	v.do(ctx, work, netscaler.BindVServer)
	work = slices.DeleteFunc(work, func(o *Outcome) bool { return !o.created() })
	v.do(ctx, work, netscaler.Bind)
	v.do(ctx, work, netscaler.Enable)
	v.do(ctx, work, netscaler.Set)
	v.mark(ctx, work)
	v.giveLists(ctx, work, false)
	v.remove(ctx, work)
}

// notOwn are the outcomes whose plans do not bind an address of the NetScaler, of
// which the first to be known of some is what came with its role.
func (v *visit) notOwn(outcomes []*Outcome) []*Outcome {
	own := v.own()
	return slices.DeleteFunc(outcomes, func(o *Outcome) bool {
		for _, c := range o.Plan.Changes {
			if of := own[c.Addr.Addr()]; of != "" && c.Op == netscaler.Bind {
				o.Err = fmt.Errorf("%v cannot be bound: it is the address of %s", c.Addr, of)
			}
		}
		return o.Err != nil
	})
}

// remove makes the removals of the groups in which everything before them
// succeeded. A group waits, no longer than its wait_up, until removing costs it
// no capacity; one that cannot be looked at meanwhile keeps its members.
func (v *visit) remove(ctx context.Context, outcomes []*Outcome) {
	began := time.Now()
	var waiting, now []*Outcome
	for _, o := range outcomes {
		switch {
		case !o.mayRemove():
		case ready(o.Plan, o.Actual):
			now = append(now, o)
		default:
			waiting = append(waiting, o)
		}
	}
	v.removeNow(ctx, now)
	for looks := 0; len(waiting) > 0; looks++ {
		v.step(Step{NetScaler: v.name, Doing: "waiting for new members to be UP", Until: began.Add(longestWait(waiting))})
		if looks > 0 {
			_ = bounds.Pause(ctx, time.Second) // do sees that ctx has ended
		}
		if ctx.Err() == nil {
			if err := v.look(ctx, waiting); err != nil {
				v.errs = append(v.errs, err)
				return
			}
		}
		var due, rest []*Outcome
		for _, o := range waiting {
			seen := v.looks[o]
			err := seen.err
			if err == nil {
				err = shows(o.Plan, seen.members)
			}
			late := time.Since(began) >= o.App.Policy.WaitUp
			switch {
			case ctx.Err() != nil, err == nil && (late || ready(o.Plan, seen.members)):
				due = append(due, o)
			case late:
				o.settle(isRemoval, fmt.Errorf("not removed: it is not known whether its successors are UP: %w", err))
			default:
				rest = append(rest, o)
			}
		}
		v.removeNow(ctx, due)
		waiting = rest
	}
}

// longestWait is how long the most patient of the outcomes waits for new members.
func longestWait(outcomes []*Outcome) (longest time.Duration) {
	for _, o := range outcomes {
		longest = max(longest, o.App.Policy.WaitUp)
	}
	return longest
}

// shows is an error if a look at a group lacks members that the plan keeps or has
// just added: it is not a look then at the group as it is, or as it was planned.
func shows(plan Plan, now []netscaler.Member) error {
	there := make(map[netip.AddrPort]bool, len(now))
	for _, m := range now {
		there[m.Addr] = true
	}
	var lacks []netip.AddrPort
	for _, m := range plan.Kept {
		if !there[m.Addr] {
			lacks = append(lacks, m.Addr)
		}
	}
	for _, c := range plan.Changes {
		if gains(c) && !there[c.Addr] {
			lacks = append(lacks, c.Addr)
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("the service group does not show %s", listOf(lacks))
	}
	return nil
}

func (v *visit) removeNow(ctx context.Context, outcomes []*Outcome) {
	v.do(ctx, outcomes, netscaler.Drain)
	v.do(ctx, outcomes, netscaler.Unbind)
	v.giveLists(ctx, outcomes, true)
	v.clean(ctx, outcomes)
}

// mayRemove says whether there are removals that may be made. If what comes
// before them failed, they are marked so.
func (o *Outcome) mayRemove() bool {
	if slices.ContainsFunc(o.Done, func(d Done) bool { return !removes(*d.Change) && d.Err != nil }) {
		o.settle(isRemoval, errAddFirst)
		return false
	}
	return slices.ContainsFunc(o.Done, isRemoval)
}

func isRemoval(d Done) bool { return removes(*d.Change) }

// settle says of some of the changes why they were not made.
func (o *Outcome) settle(which func(Done) bool, err error) {
	for i := range o.Done {
		if which(o.Done[i]) {
			o.Done[i].Err = err
		}
	}
}

// stopped is why what is left is not attempted once ctx has ended.
func stopped(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errDeadline) {
		return errLate
	}
	return errStopped
}

// do makes all changes of one kind, but for those that are made by giving a
// list. They go out group by group, so that when ctx ends most groups have all of
// theirs, and no group anything but a part of them: what adds comes first and what
// removes is not begun without it.
func (v *visit) do(ctx context.Context, outcomes []*Outcome, op netscaler.Op) {
	var all []*Done
	for _, o := range outcomes {
		for i := range o.Done {
			if d := &o.Done[i]; d.Op == op && !(v.byList(o) && inList(*d.Change)) {
				all = append(all, d)
				delete(v.looks, o)
			}
		}
	}
	if len(all) == 0 || len(v.errs) > 0 {
		return
	}
	if ctx.Err() != nil {
		for _, d := range all {
			d.Err = stopped(ctx)
		}
		return
	}
	changes := make([]netscaler.Change, len(all))
	for i, d := range all {
		changes[i] = *d.Change
	}
	began := time.Now()
	errs := v.resolve(v.lasting, op, changes, v.ns.Client.Do(ctx, op, changes))
	for i, d := range all {
		d.Err, d.Took = v.once(errs[i]), time.Since(began)
		if errors.Is(d.Err, netscaler.ErrStopped) {
			d.Err = stopped(ctx)
			// Of a mark and a state, one may have been set.
			v.ns.unsaved = v.ns.unsaved || op == netscaler.Drain || op == netscaler.Enable
		}
		// What holds after it was sent may be ours, also if the answer was that
		// it was there already: an answer before may have been lost.
		if d.Err == nil {
			v.noteMark(*d.Change)
		}
		v.ns.unsaved = v.ns.unsaved || d.Err == nil || errors.Is(d.Err, netscaler.ErrUnsure)
	}
	v.abandon(errs)
}

// abandon keeps the error after which the NetScaler is left alone in this pass.
func (v *visit) abandon(errs []error) {
	for _, err := range errs {
		if (errors.Is(err, netscaler.ErrUnavailable) || errors.Is(err, netscaler.ErrLogin)) && len(v.errs) == 0 {
			v.errs = append(v.errs, err)
		}
	}
}

var errNoOrder = errors.New("this build does not support order")

// once keeps what is to be said once a pass from being said of each member: that
// the build has no order, and what to do about it.
func (v *visit) once(err error) error {
	if !errors.Is(err, netscaler.ErrNoOrder) {
		return err
	}
	if v.noOrder {
		return errNoOrder
	}
	v.noOrder = true
	return err
}

// resolve finds out, by reading again, which of the changes that are not known to
// have been made hold all the same. They are all of one kind.
func (v *visit) resolve(ctx context.Context, op netscaler.Op, changes []netscaler.Change, said []error) []error {
	var unsure []netscaler.Change
	for i, err := range said {
		if errors.Is(err, netscaler.ErrUnsure) {
			unsure = append(unsure, changes[i])
		}
	}
	if len(unsure) == 0 || op == netscaler.RemoveServer {
		return said
	}
	holds, err := v.lookAgain(ctx, op, unsure)
	if err != nil {
		v.errs = append(v.errs, fmt.Errorf("read again after an answer that does not say what was changed: %w", err))
		return said
	}
	errs := slices.Clone(said)
	for i, c := range changes {
		if !errors.Is(said[i], netscaler.ErrUnsure) {
			continue
		}
		switch yes, err := holds(c); {
		case err != nil:
			errs[i] = fmt.Errorf("%w; reading it again: %w", said[i], err)
		case yes:
			errs[i] = nil
		default:
			errs[i] = fmt.Errorf("not made, as reading it again shows: %v", said[i]) // and no longer unsure
		}
	}
	return errs
}

// lookAgain reads what changes of one kind are about. What it returns says of each
// whether it holds, or why that is not known.
func (v *visit) lookAgain(ctx context.Context, op netscaler.Op, changes []netscaler.Change) (holds func(netscaler.Change) (bool, error), err error) {
	names := map[string]bool{}
	front := op == netscaler.AddVServer || op == netscaler.BindVServer
	for _, c := range changes {
		if front {
			names[c.Create.VServer.Name] = true
		} else {
			names[c.Group] = true
		}
	}
	switch {
	case front:
		ends, err := v.ns.Client.FrontEnds(ctx, keys(names))
		return func(c netscaler.Change) (bool, error) {
			f, err := ends.Of(c.Create.VServer.Name)
			return f.Exists && (op == netscaler.AddVServer || f.Bound(c.Group)), err
		}, err
	case op == netscaler.AddGroup, op == netscaler.Mark:
		attrs, err := v.ns.Client.Attributes(ctx, keys(names))
		return func(c netscaler.Change) (bool, error) {
			a, err := attrs.Of(c.Group)
			if errors.Is(err, netscaler.ErrNoGroup) {
				return false, nil
			}
			return op == netscaler.AddGroup || a.Comment == c.Comment, err
		}, err
	}
	groups, err := v.ns.Client.Read(ctx, keys(names))
	now := map[string]map[netip.AddrPort]*netscaler.Member{}
	return func(c netscaler.Change) (bool, error) {
		members, err := groups.Members(c.Group)
		if now[c.Group] == nil {
			now[c.Group] = byAddress(members)
		}
		return inEffect(c, now[c.Group]), err
	}, err
}

// byAddress are the members by their addresses; of those that share one, the first.
func byAddress(members []netscaler.Member) map[netip.AddrPort]*netscaler.Member {
	all := make(map[netip.AddrPort]*netscaler.Member, len(members))
	for i, m := range slices.Backward(members) {
		all[m.Addr] = &members[i]
	}
	return all
}

// inEffect says whether a group is as the change would have it.
func inEffect(c netscaler.Change, now map[netip.AddrPort]*netscaler.Member) bool {
	if m, there := now[c.Addr]; there {
		switch c.Op {
		case netscaler.Bind:
			return m.State == netscaler.Enabled
		case netscaler.Enable:
			return m.State == netscaler.Enabled && !m.Mark
		case netscaler.Set:
			return m.Settings() == c.Settings()
		case netscaler.Drain:
			return m.State == netscaler.Draining || m.State == netscaler.Disabled
		case netscaler.Unbind:
			return m.Leaving
		}
	}
	return c.Op == netscaler.Unbind || c.Op == netscaler.Drain
}

// saveDue says whether there is something to save and a save is not too soon
// after the last.
func (n *NetScaler) saveDue() bool {
	return n.Save && n.unsaved && (n.saved.IsZero() || time.Since(n.saved) >= n.SaveEvery)
}

func (n *NetScaler) save(ctx context.Context) error {
	if err := n.Client.Save(ctx); err != nil {
		return fmt.Errorf("the changes are made, but a reboot would lose them: %w", err)
	}
	n.unsaved, n.saved = false, time.Now()
	return nil
}
