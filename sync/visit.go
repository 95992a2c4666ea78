package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
)

// visit is one pass's work on one NetScaler. It is its only writer.
type visit struct {
	*Syncer
	ns       *NetScaler
	outcomes []*Outcome // in the order of the mapping
	errs     []error    // what concerns the whole NetScaler
	saved    bool
	phases   Phases
	// confirmErrs are the errors of second polls, by source.
	confirmErrs map[string]error
}

// run serves the apps, those first that have their answers first.
func (v *visit) run(ctx context.Context, all polls, apply bool) {
	type reading struct {
		groups map[string]*netscaler.Group
		err    error
		asked  bool
		took   time.Duration
	}
	first := make(chan reading, 1)
	go func() {
		var r reading
		end := clock(&r.took)
		if r.err = v.ns.rest.tooSoon(); r.err == nil {
			r.asked = true
			r.groups, r.err = v.ns.Client.Read(ctx, groupsOf(v.outcomes))
		}
		end()
		first <- r
	}()
	var r reading
	for wave := range all.waves(v.outcomes) {
		switch {
		case first != nil:
			r = <-first
			first = nil
			v.phases.Read += r.took
		case r.err == nil:
			// What the first wave read is old by the time a slow source answers.
			end := clock(&v.phases.Read)
			r.groups, r.err = v.ns.Client.Read(ctx, groupsOf(wave))
			end()
		}
		if r.err != nil {
			fail(wave, r.err)
			continue
		}
		v.plan(ctx, wave, r.groups)
		if apply {
			end := clock(&v.phases.Apply)
			v.apply(ctx, wave)
			end()
		}
	}
	if r.err != nil {
		v.errs = append(v.errs, r.err)
	}
	if r.asked {
		v.ns.rest.note(v.unavailable())
	}
	switch {
	case !apply:
		v.saved = v.ns.Save && slices.ContainsFunc(v.outcomes, func(o *Outcome) bool {
			return len(o.Plan.Changes) > 0 && !o.App.Policy.Paused
		})
	case v.ns.saveDue():
		end := clock(&v.phases.Save)
		err := v.ns.save(ctx)
		end()
		if err != nil {
			v.errs = append(v.errs, err)
		} else {
			v.saved = true
		}
	}
}

// unavailable is the error that ended the visit, if the NetScaler could not be
// used; it is not what is wrong with a single call.
func (v *visit) unavailable() error {
	for _, err := range v.errs {
		if errors.Is(err, netscaler.ErrUnavailable) || errors.Is(err, netscaler.ErrLogin) {
			return err
		}
	}
	return nil
}

// leave ends the session, so that the next visit to the same appliance is its
// only one.
func (v *visit) leave(ctx context.Context) {
	if err := v.ns.Client.Close(context.WithoutCancel(ctx)); err != nil {
		v.errs = append(v.errs, err)
	}
}

// fail is the end of outcomes that can have no plan.
func fail(outcomes []*Outcome, err error) {
	for _, o := range outcomes {
		o.Desired = Union(o.App.From, o.Answers, o.App.Policy)
		o.Plan, o.Err = Plan{}, err
	}
}

// plan makes the outcomes' plans from their answers and the groups as read.
func (v *visit) plan(ctx context.Context, outcomes []*Outcome, groups map[string]*netscaler.Group) {
	for _, o := range outcomes {
		v.planOne(o, groups)
	}
	// Without a row a group may be empty or missing; and a change must know
	// the group's attributes. In the usual pass neither is asked.
	unclear := map[string]*netscaler.Group{}
	for _, o := range outcomes {
		if g := groups[o.App.Group]; g.Err == nil && (len(g.Members) == 0 || len(o.Plan.Changes) > 0) {
			unclear[o.App.Group] = g
		}
	}
	if len(unclear) > 0 {
		end := clock(&v.phases.Read)
		err := v.ns.Client.Detail(ctx, unclear)
		end()
		for _, o := range outcomes {
			switch {
			case unclear[o.App.Group] == nil:
			case err != nil:
				fail([]*Outcome{o}, err)
			default:
				v.planOne(o, groups)
			}
		}
	}
	v.create(ctx, outcomes, groups)
	v.confirm(ctx, outcomes, groups)
	v.guard(outcomes)
	for _, o := range outcomes {
		o.Plan = cleaned(o.Plan, o.App.Policy)
	}
}

// planOne makes the plan of one outcome, unless something is in its way.
func (v *visit) planOne(o *Outcome, groups map[string]*netscaler.Group) {
	g := groups[o.App.Group]
	o.Desired = Union(o.App.From, o.Answers, o.App.Policy)
	o.Actual, o.Plan, o.Notes = g.Members, Plan{}, nil
	if o.Err = g.Err; o.Err != nil {
		return
	}
	plan := Diff(o.App.Group, o.Desired, g.Members, o.App.Policy)
	if g.Attrs != nil {
		if o.Err = ruled(o.App.Group, *g.Attrs, plan); o.Err != nil {
			return
		}
		o.Notes = append(o.Notes, unlike(o.App, *g.Attrs)...)
		if g.Attrs.Autoscale == "API" && v.ns.Client.TakesList(o.App.Group) {
			plan = asList(plan, *g.Attrs)
			o.Notes = append(o.Notes, compare(*g.Attrs, o.App)...)
		}
	}
	o.Plan = plan
	o.Notes = append(o.Notes, notes(plan)...)
}

// ruled is why the plan's changes cannot be made to a group of these
// attributes.
func ruled(group string, a netscaler.Attrs, plan Plan) error {
	switch a.Autoscale {
	case "DNS", "POLICY", "CLOUD":
		return fmt.Errorf("service group %s: its autoscale is %s, so the NetScaler changes its members by itself; use a group with autoscale DISABLED or API", group, a.Autoscale)
	case "API":
		for _, m := range plan.Foreign {
			if m.Alien != "" && len(plan.Changes) > 0 {
				return fmt.Errorf("service group %s: its autoscale is API, so that its members are given as a list of addresses, and one cannot be in it: %s", group, m.Alien)
			}
		}
	}
	return nil
}

// confirmAfter is the time between an answer that is hard to believe and the
// second question.
const confirmAfter = 2 * time.Second

// confirm asks again, once, about the apps whose plans are drastic.
func (v *visit) confirm(ctx context.Context, outcomes []*Outcome, groups map[string]*netscaler.Group) {
	var drastic []*Outcome
	var apps []App
	for _, o := range outcomes {
		if o.Err == nil && Drastic(o.Plan, o.Answers) {
			drastic = append(drastic, o)
			apps = append(apps, o.App)
		}
	}
	if len(drastic) == 0 {
		return
	}
	defer clock(&v.phases.Confirm)()
	_ = pause(ctx, confirmAfter) // a poll with an ended context is a doubt
	all := v.poll(ctx, apps, true)
	for _, o := range drastic {
		second := all.answers(o.App)
		merged := make([]sources.Answer, len(second))
		for i := range second {
			merged[i] = Confirmed(o.Answers[i], second[i])
		}
		o.Answers = merged
		v.planOne(o, groups)
	}
	for source, err := range all.errors() {
		if err != nil {
			v.confirmErrs[source] = err
		}
	}
}

// guard holds what must not be removed.
func (v *visit) guard(outcomes []*Outcome) {
	drops := map[string][]bool{} // by source, for each app that it feeds
	for _, o := range outcomes {
		_, _, lost := o.Plan.toll()
		for source, nothing := range o.saysNothing() {
			drops[source] = append(drops[source], nothing && lost > 0)
		}
	}
	for _, o := range outcomes {
		o.Plan = Guard(o.Plan, o.App.Policy)
		for source, nothing := range o.saysNothing() {
			if nothing && !o.App.Policy.Forced && o.Plan.HeldBy == nil && Collapsed(drops[source]) {
				o.Plan = holdCollapsed(o.Plan, source, len(drops[source]))
			}
		}
	}
}

// saysNothing tells of each source of the app whether it has no endpoint for it.
func (o *Outcome) saysNothing() map[string]bool {
	nothing := map[string]bool{}
	for i, from := range o.App.From {
		empty := i < len(o.Answers) && len(o.Answers[i].Endpoints) == 0
		if before, seen := nothing[from.Source]; seen {
			empty = empty && before
		}
		nothing[from.Source] = empty
	}
	return nothing
}

// groupsOf names each service group of the outcomes once.
func groupsOf(outcomes []*Outcome) []string {
	var names []string
	for _, o := range outcomes {
		names = append(names, o.App.Group)
	}
	return distinct(names)
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// pause waits; it ends early, with an error, when ctx does.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
