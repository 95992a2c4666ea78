package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nitrox/netscaler"
)

// Why a change was not made although nothing is wrong with itself.
var (
	errNotReached = errors.New("not attempted")
	errStopped    = errors.New("not attempted: the run was stopped")
	errAddFirst   = errors.New("not removed: what should have been added or set before it was not")
)

// apply makes the changes of the outcomes' plans: first what adds, all groups
// in one call a kind; then what removes, each group when it is ready.
func (v *visit) apply(ctx context.Context, outcomes []*Outcome) {
	var work []*Outcome
	for _, o := range outcomes {
		if o.Err != nil || o.App.Policy.Paused {
			continue
		}
		o.Errs = make([]error, len(o.Plan.Changes))
		for i := range o.Errs {
			o.Errs[i] = errNotReached
		}
		if len(o.Errs) > 0 {
			work = append(work, o)
		}
	}
	if len(work) == 0 || len(v.errs) > 0 {
		return
	}
	if err := v.ns.Client.Writable(ctx); err != nil {
		v.errs = append(v.errs, err)
		return
	}
	v.do(ctx, work, netscaler.AddVServer)
	v.do(ctx, work, netscaler.AddGroup)
	v.do(ctx, work, netscaler.BindVServer)
	work = slices.DeleteFunc(work, func(o *Outcome) bool { return !o.made() })
	v.do(ctx, work, netscaler.Bind)
	v.do(ctx, work, netscaler.Enable)
	v.do(ctx, work, netscaler.Set)
	v.replace(ctx, work, false)
	v.remove(ctx, work)
}

// remove makes the removals of the groups in which everything before them
// succeeded. A group waits, no longer than its wait_up, until removing costs it
// no capacity.
func (v *visit) remove(ctx context.Context, outcomes []*Outcome) {
	began := time.Now()
	now := map[*Outcome][]netscaler.Member{}
	var waiting []*Outcome
	for _, o := range outcomes {
		if o.leaveRemovals() {
			waiting = append(waiting, o)
			now[o] = o.Actual
		}
	}
	for looks := 0; len(waiting) > 0; looks++ {
		if looks > 1 {
			_ = pause(ctx, time.Second) // do sees that ctx has ended
		}
		if looks > 0 && ctx.Err() == nil {
			groups, err := v.ns.Client.Read(ctx, groupsOf(waiting))
			if err != nil {
				v.errs = append(v.errs, err)
				return
			}
			for _, o := range waiting {
				now[o] = groups[o.App.Group].Members
			}
		}
		var ready, rest []*Outcome
		for _, o := range waiting {
			if Ready(o.Plan, now[o]) || time.Since(began) >= o.App.Policy.WaitUp || ctx.Err() != nil {
				ready = append(ready, o)
			} else {
				rest = append(rest, o)
			}
		}
		v.do(ctx, ready, netscaler.Drain)
		v.do(ctx, ready, netscaler.Unbind)
		v.replace(ctx, ready, true)
		v.clean(ctx, ready)
		waiting = rest
	}
}

// leaveRemovals says whether the plan has removals that may be made. If what
// comes before them failed, they are marked so.
func (o *Outcome) leaveRemovals() bool {
	failed, removals := false, false
	for i, c := range o.Plan.Changes {
		failed = failed || !removes(c) && o.Errs[i] != nil
		removals = removals || removes(c)
	}
	for i, c := range o.Plan.Changes {
		if failed && removes(c) {
			o.Errs[i] = errAddFirst
		}
	}
	return removals && !failed
}

// do makes all changes of one kind. Once begun it is finished, whatever
// happens to ctx; each call has a time limit of its own.
func (v *visit) do(ctx context.Context, outcomes []*Outcome, op netscaler.Op) {
	var changes []netscaler.Change
	var fates []*error
	var took []*time.Duration
	for _, o := range outcomes {
		for i, c := range o.Plan.Changes {
			if c.Op == op && !(o.Plan.AsList && listed(c)) {
				changes = append(changes, c)
				fates, took = append(fates, &o.Errs[i]), append(took, &o.Plan.Changes[i].Took)
			}
		}
	}
	if len(changes) == 0 || len(v.errs) > 0 {
		return
	}
	if ctx.Err() != nil {
		for _, fate := range fates {
			*fate = errStopped
		}
		return
	}
	ctx = context.WithoutCancel(ctx)
	began := time.Now()
	errs := v.resolve(ctx, changes, v.ns.Client.Do(ctx, op, changes))
	for i, err := range errs {
		*fates[i], *took[i] = err, time.Since(began)
		v.ns.unsaved = v.ns.unsaved || err == nil
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

// resolve finds out, by reading the groups again, which of the changes whose
// answers were lost were made all the same.
func (v *visit) resolve(ctx context.Context, changes []netscaler.Change, errs []error) []error {
	var unsure []string
	for i, err := range errs {
		if errors.Is(err, netscaler.ErrUnsure) {
			unsure = append(unsure, changes[i].Group)
		}
	}
	if len(unsure) == 0 {
		return errs
	}
	groups, err := v.ns.Client.Read(ctx, distinct(unsure))
	if err != nil {
		v.errs = append(v.errs, fmt.Errorf("read again after a lost answer: %w", err))
		return errs
	}
	for i, c := range changes {
		if errors.Is(errs[i], netscaler.ErrUnsure) && InEffect(c, groups[c.Group].Members) {
			errs[i] = nil
		}
	}
	return errs
}

// InEffect says whether a group is as the change would have it.
func InEffect(c netscaler.Change, now []netscaler.Member) bool {
	for _, m := range now {
		if m.Addr != c.Addr {
			continue
		}
		switch c.Op {
		case netscaler.Bind:
			return m.State == netscaler.Enabled
		case netscaler.Enable:
			return m.State == netscaler.Enabled && !m.Mark
		case netscaler.Set:
			return m.Weight == c.Weight
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

// lastCalls is how long saving may take once a run is being stopped.
const lastCalls = 15 * time.Second

func (n *NetScaler) save(ctx context.Context) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastCalls)
		defer cancel()
	}
	if err := n.Client.Save(ctx); err != nil {
		return fmt.Errorf("the changes are made, and lost at a reboot: %w", err)
	}
	n.unsaved, n.saved = false, time.Now()
	return nil
}
