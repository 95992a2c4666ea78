package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/bounds"
)

// draft is an outcome on its way to its plan: what was read for it. There is one
// only of outcomes whose members are known.
type draft struct {
	*Outcome
	members []netscaler.Member
	// missing: the service group does not exist, and the mapping says how to
	// make it.
	missing bool
	attrs   *netscaler.Attrs    // nil: nothing that would need them
	front   *netscaler.FrontEnd // nil: the app has no virtual server, or needs no look at it
	byList  bool                // the appliance takes member lists for this group
	// unlooked is why it is not known of some members whether they are ours.
	unlooked error
	// mark is the comment to be given to the group; empty: it has a right one.
	mark string
	// proposal is the plan that follows from all this, before any guard.
	proposal Plan
}

// plan makes the outcomes' plans, stage by stage. What cannot have a plan gets an
// error and leaves the stages; a plan is never changed once it is the outcome's.
func (v *visit) plan(ctx context.Context, outcomes []*Outcome, groups netscaler.Groups) {
	drafts := v.begin(outcomes, groups)
	drafts = v.withAttributes(ctx, drafts)
	drafts = v.withServers(ctx, drafts)
	drafts = v.withFrontEnds(ctx, drafts)
	v.confirm(ctx, drafts)
	drafts = agreeing(drafts)
	plans := make([]Plan, len(drafts))
	for i, d := range drafts {
		plans[i] = guard(d.proposal, d.App.Policy)
	}
	plans = heldIfCollapsed(drafts, plans, v.silent)
	var inUse map[string]bool // by no plan, if none unbinds anything
	if slices.ContainsFunc(plans, unbinds) {
		inUse = v.serversInUse(plans)
	}
	for i, d := range drafts {
		d.Plan = cleaned(plans[i], d.App.Policy, inUse)
		d.Notes = d.notes(d.Plan)
		if d.alike != "" {
			d.Notes = append(d.Notes, d.alike)
		}
		if d.binds() {
			d.Notes = append(d.Notes, v.unknownOwn()...)
		}
	}
}

func unbinds(p Plan) bool {
	return slices.ContainsFunc(p.Changes, func(c netscaler.Change) bool { return c.Op == netscaler.Unbind })
}

// begin takes down what is wanted and what was read.
func (v *visit) begin(outcomes []*Outcome, groups netscaler.Groups) (drafts []*draft) {
	own := v.own()
	for _, o := range outcomes {
		o.App.Policy.Own = own
		members, err := groups.Members(o.App.Group)
		slices.SortFunc(members, byAddr) // here once, so that no plan need copy them
		o.Actual = members
		missing := o.App.Create != nil && errors.Is(err, netscaler.ErrNoGroup)
		if err != nil && !missing {
			fail([]*Outcome{o}, err)
			continue
		}
		d := &draft{Outcome: o, members: members, missing: missing, byList: v.ns.Client.TakesMemberList(o.App.Group)}
		if d.mark, err = v.marking(o.App, v.found.comment(v.name, o.App.Group)); err != nil {
			fail([]*Outcome{o}, err)
			continue
		}
		d.propose()
		drafts = append(drafts, d)
	}
	return drafts
}

func (d *draft) binds() bool {
	return slices.ContainsFunc(d.proposal.Changes, func(c netscaler.Change) bool { return c.Op == netscaler.Bind })
}

// withAttributes asks for the attributes of groups that have no member, which may
// be missing, of those whose members are to change, and of those whose members
// are all down, perhaps because they speak another protocol. In the usual pass
// there are none.
func (v *visit) withAttributes(ctx context.Context, drafts []*draft) (left []*draft) {
	ask := map[string]bool{}
	pending := false
	for _, d := range drafts {
		up := slices.ContainsFunc(d.members, func(m netscaler.Member) bool { return m.Up })
		if !d.missing && (!up || len(d.proposal.Changes) > 0) {
			ask[d.App.Group] = true
		}
		pending = pending || len(d.proposal.Changes) > 0 && !d.App.Policy.Paused
	}
	if len(ask) == 0 {
		return drafts
	}
	end := clock(&v.phases.Read)
	asked := v.askWritable(ctx, pending)
	all, trouble := v.ns.Client.Attributes(ctx, keys(ask))
	<-asked
	end()
	for _, d := range drafts {
		if !ask[d.App.Group] {
			left = append(left, d)
			continue
		}
		a, err := all.Of(d.App.Group)
		switch d.missing = d.App.Create != nil && errors.Is(err, netscaler.ErrNoGroup); {
		case d.missing && len(d.members) > 0:
			d.Err = fmt.Errorf("service group %s: its members were read, but now it is reported missing: %w", d.App.Group, err)
		case d.missing:
			d.propose()
			left = append(left, d)
		case trouble != nil || err != nil:
			d.Err = cmp.Or(trouble, err)
		default:
			if d.mark != "" { // its comment may be another than when apps were looked for
				v.found.marked.Store(groupOn{v.name, d.App.Group}, a.Comment)
				if d.mark, d.Err = v.marking(d.App, a.Comment); d.Err != nil {
					continue
				}
			}
			d.attrs = &a
			d.propose()
			if d.Err = ruled(d.App.Group, a, d.proposal); d.Err == nil {
				left = append(left, d)
			}
		}
	}
	return left
}

// withServers finds the members that stand for a domain name although their rows
// show its address: they are not Nitrox's to remove, or to be in a list, and only
// their servers tell. A server that is named by its address is none of them.
func (v *visit) withServers(ctx context.Context, drafts []*draft) (left []*draft) {
	ask := map[string]bool{}
	for _, d := range drafts {
		for _, m := range d.inQuestion() {
			ask[m.Server] = true
		}
	}
	if len(ask) == 0 {
		return drafts
	}
	end := clock(&v.phases.Read)
	all, trouble := v.ns.Client.Servers(ctx, keys(ask))
	end()
	for _, d := range drafts {
		domains := map[string]string{}
		var doubts []error
		said := map[string]bool{}
		for _, m := range d.inQuestion() {
			domain, err := all.Domain(m.Server)
			if trouble != nil {
				err = trouble
			}
			if err != nil && !said[err.Error()] {
				said[err.Error()] = true
				doubts = append(doubts, err)
			}
			if domain != "" {
				domains[m.Server] = domain
			}
		}
		d.unlooked = errors.Join(doubts...)
		if len(domains) > 0 {
			d.members = slices.Clone(d.members)
			for i, m := range d.members {
				if domain := domains[m.Server]; domain != "" && m.NotOurs == "" {
					d.members[i].NotOurs = fmt.Sprintf("its server %s is domain-based (%s)", OneLine(m.Server), OneLine(domain))
				}
			}
		}
		d.propose()
		if d.attrs != nil {
			d.Err = ruled(d.App.Group, *d.attrs, d.proposal)
		}
		if d.Err == nil {
			left = append(left, d)
		}
	}
	return left
}

// inQuestion are the members whose servers decide about the proposal: of those
// that are to go or, in a list, of all.
func (d *draft) inQuestion() (members []netscaler.Member) {
	if d.proposal.MemberList && len(d.proposal.Changes) > 0 {
		members = slices.Clone(d.members)
	}
	for _, c := range d.proposal.Changes {
		if removes(c) {
			members = append(members, c.Member)
		}
	}
	return slices.DeleteFunc(members, func(m netscaler.Member) bool { return m.NotOurs != "" || m.Server == "" || m.OwnName() })
}

// withFrontEnds looks at the virtual servers of groups that may have to be made
// or bound. A group that has members is not looked at: its creation was finished
// before its first member was bound.
func (v *visit) withFrontEnds(ctx context.Context, drafts []*draft) (left []*draft) {
	ask := map[string]bool{}
	for _, d := range drafts {
		if d.wantsFrontEnd() {
			ask[d.App.Create.VServer.Name] = true
		}
	}
	if len(ask) == 0 {
		return drafts
	}
	end := clock(&v.phases.Read)
	all, trouble := v.ns.Client.FrontEnds(ctx, keys(ask))
	end()
	for _, d := range drafts {
		if d.wantsFrontEnd() {
			f, err := all.Of(d.App.Create.VServer.Name)
			if trouble != nil || err != nil {
				d.Err = cmp.Or(trouble, err)
				continue
			}
			if d.Err = makeable(d.App, f); d.Err != nil {
				continue
			}
			d.front = &f
			d.propose()
		}
		left = append(left, d)
	}
	return left
}

func (d *draft) wantsFrontEnd() bool {
	return d.App.Create != nil && d.App.Create.VServer != nil && len(d.members) == 0
}

// confirm asks the sources again, once, about the apps whose plans are drastic.
func (v *visit) confirm(ctx context.Context, drafts []*draft) {
	var doubtful []*draft
	var apps []App
	for _, d := range drafts {
		if drastic(d.proposal, d.Answers) {
			doubtful = append(doubtful, d)
			apps = append(apps, d.App)
		}
	}
	if len(doubtful) == 0 {
		return
	}
	defer clock(&v.phases.Confirm)()
	v.doing("asking the sources again, because so much would be removed")
	defer v.doing("reading")
	_ = bounds.Pause(ctx, confirmAfter) // a poll with an ended context is a doubt
	v.confirmOrphans(ctx, doubtful)
	unseen := v.unseen(doubtful)
	all := v.poll(ctx, slices.Concat(apps, unseen), true)
	v.silent = map[string][]bool{}
	for _, app := range unseen {
		o := Outcome{App: app, Answers: all.answers(app)}
		for source, nothing := range o.saysNothing() {
			v.silent[source] = append(v.silent[source], nothing)
		}
	}
	for _, d := range doubtful {
		second := all.answers(d.App)
		merged := make([]sources.Answer, len(second))
		for i := range second {
			merged[i] = confirmed(d.Answers[i], second[i])
		}
		d.Answers = merged
		d.propose()
	}
	for source, err := range all.errors() {
		if err != nil {
			v.confirmErrs[source] = err
		}
	}
}

// unseen are the apps of the loop on this NetScaler that the pass does not look at,
// each with the entries that ask sources that have nothing for one of the drafts:
// whether such a source is broken, all its apps tell.
func (v *visit) unseen(drafts []*draft) (apps []App) {
	if v.part == nil || v.part.scope == nil || v.part.Apps == nil {
		return nil
	}
	silent, seen := map[string]bool{}, map[string]bool{}
	for _, d := range drafts {
		for source, nothing := range d.saysNothing() {
			silent[source] = silent[source] || nothing
		}
	}
	for _, o := range v.outcomes {
		seen[o.App.Name] = true
	}
	for _, name := range v.part.scope.places[v.name] {
		app := v.part.scope.app(name)
		app.From = slices.DeleteFunc(slices.Clone(app.From), func(f From) bool { return !silent[f.Source] })
		if !seen[name] && len(app.From) > 0 {
			apps = append(apps, app)
		}
	}
	return apps
}

// propose remakes the proposal, from what is known so far.
func (d *draft) propose() {
	d.Desired = Union(d.App.From, d.Answers, d.App.Policy)
	for _, doubt := range []error{d.unlooked, d.rival, d.App.Doubt} {
		if doubt != nil {
			d.Desired = d.Desired.doubting(doubt)
		}
	}
	d.proposal = Plan{} // it may be large
	want := d.Desired
	if d.App.Orphan && !d.App.Leaving {
		want = want.doubting(errOrphan) // all stays, and that is in order
	}
	plan := Diff(d.App.Group, want, d.members, d.App.Policy)
	switch {
	case d.missing && d.App.Create.MemberList && d.byList:
		plan.MemberList = true
	case d.attrs != nil && d.attrs.Autoscale == "API" && d.byList:
		plan = listed(plan, *d.attrs)
	}
	if d.attrs != nil {
		for i := range plan.Changes {
			plan.Changes[i].TD = d.attrs.TD
		}
	}
	d.proposal = creating(marked(plan, d.App.Group, d.mark, d.missing), d.App, d.missing, d.front)
}

// notes are what is worth knowing besides the plan.
func (d *draft) notes(plan Plan) (all []string) {
	if d.App.Orphan {
		all = append(all, orphaned(d.App, d.members))
	}
	if d.attrs != nil {
		all = append(all, unlike(d.App, *d.attrs)...)
		if plan.MemberList {
			all = append(all, ownDrain(*d.attrs, d.App)...)
		}
	}
	if d.front != nil {
		all = append(all, differences(d.App.Create, *d.front)...)
	}
	all = append(append(all, d.App.Notes...), ordersLost(plan, d.App.From)...)
	return append(all, remarks(plan)...)
}

// ruled is why the plan's changes cannot be made to a group of these
// attributes.
func ruled(group string, a netscaler.Attrs, plan Plan) error {
	switch a.Autoscale {
	case "DNS", "POLICY", "CLOUD":
		return fmt.Errorf("service group %s: its autoscale is %s, so the NetScaler changes its members by itself; use a group with autoscale DISABLED or API", group, a.Autoscale)
	case "API":
		for _, m := range plan.NotOurs {
			if m.NotOurs != "" && len(plan.Changes) > 0 {
				return fmt.Errorf("service group %s: its autoscale is API, so its members are given as a list of addresses, and one cannot be in it: %s", group, m.NotOurs)
			}
		}
	}
	return nil
}

// heldIfCollapsed holds the removals of the apps whose source answers with
// nothing for all of them at once, and for those that are silent.
func heldIfCollapsed(drafts []*draft, plans []Plan, silent map[string][]bool) []Plan {
	drops := map[string][]bool{} // by source, for each app that it feeds
	for source, others := range silent {
		drops[source] = slices.Clone(others)
	}
	for i, d := range drafts {
		_, _, lost := plans[i].toll()
		lost += len(plans[i].Held)
		for source, nothing := range d.saysNothing() {
			drops[source] = append(drops[source], nothing && lost > 0)
		}
	}
	broken := map[string]bool{}
	for source, all := range drops {
		broken[source] = collapsed(all)
	}
	held := slices.Clone(plans)
	for i, d := range drafts {
		for source, nothing := range d.saysNothing() {
			if nothing && !d.App.Policy.Forced && held[i].HeldBy == nil && broken[source] {
				held[i] = holdCollapsed(held[i], source, len(drops[source]))
			}
		}
	}
	return held
}

// saysNothing says of each source of the app whether it has no endpoint for it.
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
