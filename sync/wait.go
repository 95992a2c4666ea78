package sync

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/bounds"
)

const (
	// drainGrace is how long a wait without a bound of its own goes on after
	// the longest drain should have ended.
	drainGrace = 30 * time.Second
	// drainLook is how often members that drain are looked at: their clients
	// may leave before the time is up.
	drainLook = 10 * time.Second
)

// Finish makes a pass, and more of them until no member drains any more, so
// that what drained is unbound. It waits no longer than bound; 0 is until the
// longest drain should have ended and a little more. Each pass is a whole one:
// a member that is wanted again meanwhile is enabled. tell is called with the
// first result, with those that changed something, and with the last.
//
// The error is that members still drain, because of the bound or because ctx
// ended. A later run finishes them.
func (s *Syncer) Finish(ctx context.Context, bound time.Duration, pass func(context.Context) Result, tell func(Result)) error {
	one := func() (Result, drains) {
		ctx, cancel := WithDeadline(ctx)
		defer cancel()
		r := pass(ctx)
		return r, drainsOf(r)
	}
	r, left := one()
	tell(r)
	if bound == 0 {
		bound = left.longest + drainGrace
	}
	end := time.Now().Add(bound)
	defer s.step(Step{})
	for left.members > 0 {
		wait := min(cmp.Or(left.soonest, drainLook), drainLook, time.Until(end))
		if wait <= 0 {
			return fmt.Errorf("%s still draining after %s; a later run unbinds what is drained by then", sources.Count(left.members, "member"), Short(bound))
		}
		s.step(left.step(time.Now(), end))
		if err := bounds.Pause(ctx, wait); err != nil {
			return fmt.Errorf("stopped with %s still draining: %w", sources.Count(left.members, "member"), err)
		}
		if r, left = one(); left.members == 0 || r.changed() {
			tell(r)
		}
	}
	return nil
}

// drains are the members that a pass left draining.
type drains struct {
	members int
	// soonest and longest are until a drain should end; 0 if none has an end.
	soonest, longest time.Duration
}

// step is the wait for the drains, which goes on until end at the latest.
func (d drains) step(now, end time.Time) Step {
	step := Step{Doing: "draining " + sources.Count(d.members, "member")}
	if d.longest > 0 {
		step.Until = soonest(now.Add(d.longest), end)
	}
	return step
}

func drainsOf(r Result) drains {
	var d drains
	add := func(left time.Duration) {
		d.members++
		if left > 0 {
			left += time.Second // the NetScaler counts whole seconds
			d.soonest = min(cmp.Or(d.soonest, left), left)
		}
		d.longest = max(d.longest, left)
	}
	for _, o := range r.Outcomes {
		if o.App.Policy.Paused {
			continue // nobody would unbind them
		}
		for _, m := range o.Plan.Draining {
			add(m.Remaining)
		}
		for _, d := range o.Done {
			if d.Op == netscaler.Drain && d.Made() {
				add(d.Delay)
			}
		}
	}
	return d
}

// changed says whether the pass tried to change anything.
func (r Result) changed() bool {
	return slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return len(o.Done) > 0 })
}
