package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"nitrox/netscaler"
	"nitrox/sources/nearest"
)

// visit is one pass's work on one NetScaler. It is its only writer.
type visit struct {
	*Syncer
	part     *Part
	name     string
	ns       *NetScaler
	lasting  context.Context // of calls that are finished when the pass is told to stop
	outcomes []*Outcome      // in the order of the mapping
	errs     []error         // what concerns the whole NetScaler
	saved    bool
	unsaved  bool // there are changes that are still to be saved
	phases   Phases
	// confirmErrs are the errors of second polls, by source.
	confirmErrs map[string]error
	// silent tells of apps that the pass does not look at, by a source that had to be
	// confirmed, whether that has nothing for them either.
	silent map[string][]bool
	// others are the NetScalers that this pass visits or another of the loop may, if some
	// do not take turns with this one; taking turns are those that do.
	others      []*NetScaler
	takingTurns map[*NetScaler]bool
	turn        string // the appliance that it was taken for when the visits, or the loop's pass, began
	// identified gives how its NetScaler was asked which appliance it is; nil: it
	// was not.
	identified chan error
	// asked is when its NetScaler was asked beforehand whether it may be written, and
	// why it may not.
	asked       time.Time
	notWritable error
	// noOrder: it was told that the build has no order of members.
	noOrder bool
	// looks are what groups were last seen to have, until something of theirs is
	// changed.
	looks map[*Outcome]look
	// ordinary are the outcomes whose member lists were refused.
	ordinary map[*Outcome]bool
}

// run serves the apps, those first that have their answers first.
func (v *visit) run(ctx context.Context, all polls, apply bool) {
	type reading struct {
		groups netscaler.Groups
		err    error
		asked  bool
		at     time.Time
		took   time.Duration
	}
	defer v.doing("")
	first := make(chan reading, 1)
	go func() {
		var r reading
		end := clock(&r.took)
		if r.err = v.ns.backoff.tooSoon(); r.err == nil {
			r.asked = true
			if r.err = v.unreachable(); r.err == nil {
				r.at = time.Now()
				r.groups, r.err = v.ns.Client.Read(ctx, groupsOf(v.outcomes))
			}
		}
		end()
		v.doing("")
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
			v.doing("reading")
			r.at = time.Now()
			r.groups, r.err = v.ns.Client.Read(ctx, groupsOf(wave))
			v.doing("")
			end()
		}
		wave = slices.DeleteFunc(wave, func(o *Outcome) bool {
			if o.Err != nil { // claimed twice, or refused
				fail([]*Outcome{o}, o.Err)
			}
			return o.Err != nil
		})
		if r.err != nil {
			fail(wave, r.err)
			continue
		}
		v.doing("reading")
		v.saw(wave, r.groups, r.at)
		v.plan(ctx, wave, r.groups)
		v.suggest(ctx, wave)
		v.doing("")
		if !apply && len(v.errs) == 0 && slices.ContainsFunc(wave, (*Outcome).pending) {
			// What a run would fail at, a plan must say.
			if err := v.writable(ctx); err != nil {
				v.errs = append(v.errs, err)
			}
			v.notOwn(slices.DeleteFunc(slices.Clone(wave), func(o *Outcome) bool { return !o.pending() }))
		}
		if apply {
			end := clock(&v.phases.Apply)
			v.apply(ctx, wave)
			v.doing("")
			end()
		}
	}
	if r.err != nil {
		v.errs = append(v.errs, r.err)
	}
	if r.asked {
		v.ns.backoff.note(v.unavailable())
	}
	switch {
	case !apply:
		v.saved = v.ns.Save && slices.ContainsFunc(v.outcomes, (*Outcome).pending)
	case v.ns.saveDue() && v.lasting.Err() == nil: // else there is time for it when the run is closed
		end := clock(&v.phases.Save)
		v.doing("saving")
		err := v.ns.save(v.lasting)
		end()
		if err != nil {
			v.errs = append(v.errs, err)
		} else {
			v.saved = true
		}
	}
	v.unsaved = v.ns.Save && v.ns.unsaved // another visit may follow while this pass still makes others
}

// askWritable asks beforehand whether the NetScaler may be written, if there is something
// to write: a call that need not wait for others. In a partition it may need a session of
// its own, and waits its turn.
func (v *visit) askWritable(ctx context.Context, pending bool) (asked chan struct{}) {
	asked = make(chan struct{})
	if !pending || v.ns.Partition != "" || len(v.errs) > 0 {
		close(asked)
		return asked
	}
	go func() {
		defer close(asked)
		v.asked, v.notWritable = time.Now(), v.ns.Client.Writable(ctx)
	}()
	return asked
}

// writable is why the NetScaler may not be written.
func (v *visit) writable(ctx context.Context) error {
	if time.Since(v.asked) < lookKept {
		return v.notWritable
	}
	return v.ns.Client.Writable(ctx)
}

// suggest names, beside each service group that does not exist, the one that is
// most like it. Where the names cannot be read, that it does not exist stands.
func (v *visit) suggest(ctx context.Context, outcomes []*Outcome) {
	missing := slices.DeleteFunc(slices.Clone(outcomes), func(o *Outcome) bool { return !errors.Is(o.Err, netscaler.ErrNoGroup) })
	if len(missing) == 0 {
		return
	}
	names, err := v.ns.Client.GroupNames(ctx)
	if err != nil {
		return
	}
	const most = 20 // the time to look for one grows with the number of names
	for _, o := range missing[:min(most, len(missing))] {
		if near := nearest.Name(o.App.Group, names); near != "" {
			o.Err = fmt.Errorf("%w; did you mean %q?", o.Err, near)
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

// fail is the end of outcomes of which nothing could be read.
func fail(outcomes []*Outcome, err error) {
	for _, o := range outcomes {
		o.Desired, o.Err = Union(o.App.From, o.Answers, o.App.Policy), err
	}
}

// confirmAfter is the time between an answer that is hard to believe and the
// second question.
const confirmAfter = 2 * time.Second

// pending: there are changes to make.
func (o *Outcome) pending() bool {
	return o.Err == nil && len(o.Plan.Changes) > 0 && !o.App.Policy.Paused
}

// groupsOf names each service group of the outcomes once.
func groupsOf(outcomes []*Outcome) []string {
	var names []string
	for _, o := range outcomes {
		if o.App.Refused == nil {
			names = append(names, o.App.Group)
		}
	}
	return distinct(names)
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func keys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
