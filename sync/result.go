package sync

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
)

// Outcome is what a pass found and did for one app on one NetScaler.
type Outcome struct {
	App       App
	NetScaler string
	// Node is the URL that the pass used of the NetScaler's; "": none could be.
	Node string
	// Answers are those to App.From, in its order; a confirmation is merged in.
	Answers []sources.Answer
	Desired Desired
	Actual  []netscaler.Member
	Plan    Plan
	// Notes are what is worth knowing and neither a change nor a failure.
	Notes []string
	// Err is why there is no plan.
	Err   error
	rival error  // why it is not known whether another app changes its group too
	alike string // which other app's group there may be the same, if the NetScaler ignores case

	// Done is what became of the plan's changes, in their order; nil until the
	// plan is applied. What turned out not to be a change is left out.
	Done []Done
}

// Done is what became of one change.
type Done struct {
	*netscaler.Change               // the plan's, or what was made in its place
	Err               error         // why it was not made; nil: it was
	Took              time.Duration // how long the calls lasted by which it was tried; 0: none was sent
}

// Result is what a pass found and did. Reports, exit code and log lines are
// functions of it.
type Result struct {
	// Run is what whoever traces a change back must know of the pass.
	Run Run
	// Outcomes are in the order of the mapping file.
	Outcomes []Outcome
	// Sources and NetScalers are those that the pass asked; the value is nil,
	// or why one could not be used.
	Sources, NetScalers map[string]error
	// Files are those of the mapping that cannot be used, and why.
	Files map[string]error
	// Saved names the NetScalers whose configuration was saved or, in a dry
	// run, would be.
	Saved []string
	// Unsaved names those with changes that are to be saved, and are not yet.
	Unsaved []string
	DryRun  bool
	Took    time.Duration
	Phases  Phases

	by *Syncer // that made it
}

// Run tells a pass from all others, and what it went by.
type Run struct {
	// ID is that of the process, and Pass which of its passes it is, from 1.
	ID      string
	Pass    int
	Version string
	Mapping Mapping
}

// Mapping is what names the files that the apps are from, and what these said.
//
// The digest is the SHA-256 of the file, in hexadecimal, or of what tells several.
type Mapping struct{ File, Digest string }

// without is the result but for what was found on some NetScalers.
func (r Result) without(netscalers map[string]bool) Result {
	r.Outcomes = slices.DeleteFunc(slices.Clone(r.Outcomes), func(o Outcome) bool { return netscalers[o.NetScaler] })
	r.NetScalers = maps.Clone(r.NetScalers)
	maps.DeleteFunc(r.NetScalers, func(name string, _ error) bool { return netscalers[name] })
	r.Saved = slices.DeleteFunc(slices.Clone(r.Saved), func(name string) bool { return netscalers[name] })
	r.Unsaved = slices.DeleteFunc(slices.Clone(r.Unsaved), func(name string) bool { return netscalers[name] })
	return r
}

// Status is the state of an app on a NetScaler, in one word.
type Status string

// The statuses of an outcome; the first that fits is the one.
const (
	Failed  Status = "failed"  // something was not known or not done
	Held    Status = "held"    // a guard held removals
	Pending Status = "pending" // there are changes that were not to be made: a dry run, or paused
	Changed Status = "changed" // changes were made
	// NotServing: nothing to do, and no member serves, because of what somebody
	// else disabled, or because nothing is wanted or known to be healthy.
	NotServing Status = "not serving"
	InStep     Status = "in step" // nothing to do; members may still be draining
)

// Status sums the outcome up.
func (o Outcome) Status() Status {
	switch {
	case o.Err != nil, o.Desired.Doubt() != nil, slices.ContainsFunc(o.Done, func(d Done) bool { return d.Err != nil }):
		return Failed
	case o.Plan.HeldBy != nil:
		return Held
	case len(o.Changes()) == 0 && o.Serving() == 0:
		return NotServing
	case len(o.Changes()) == 0:
		return InStep
	case o.Done == nil:
		return Pending
	}
	return Changed
}

// Serving is how many members serve before any change: those that a guard holds
// too.
func (o Outcome) Serving() int {
	serving, _, _ := o.Plan.toll()
	return serving + len(o.Plan.Held)
}

// Idle says why no member of the group serves although there is nothing to do.
func (o Outcome) Idle() string {
	above := func(m netscaler.Member) bool { return m.State == netscaler.DisabledAbove }
	switch n := len(o.Plan.Disabled); {
	case n > 0 && !slices.ContainsFunc(o.Plan.Disabled, func(m netscaler.Member) bool { return !above(m) }):
		return "the service group, or the server of each member, is disabled"
	case n > 0:
		return fmt.Sprintf("%s disabled by somebody else", sources.Count(n, "member"))
	case len(o.Desired.Endpoints) == 0:
		return "no members are wanted"
	case len(o.Plan.Uncertain) > 0:
		return "the health of its endpoints is not known"
	}
	return "its members are leaving"
}

// The exit codes. A pass ends with the first that fits, in the order 4, 1, 3, 2, 0.
const (
	// ExitInStep: all that is Nitrox's to do is done, or a dry run finished. That
	// a group does not serve because of what somebody else disabled, or because
	// nothing is wanted, is said, and is not a failure.
	ExitInStep = 0
	ExitFailed = 1 // something failed; what could be served was served
	ExitDrift  = 2 // --exit-code, and a dry run found changes
	ExitHeld   = 3 // nothing failed, and a guard held a change
	ExitOther  = 4 // sync --plan: what is to be done is not what was approved
)

// Exit is the exit code of the pass; drift says whether changes that a dry run
// found count.
func (r Result) Exit(drift bool) int {
	code := ExitInStep
	if slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return errors.Is(o.Err, ErrNotApproved) }) {
		return ExitOther
	}
	for _, o := range r.Outcomes {
		switch o.Status() {
		case Failed:
			return ExitFailed
		case Held:
			code = ExitHeld
		case Pending:
			if drift && r.DryRun && !o.App.Policy.Paused && code == ExitInStep {
				code = ExitDrift
			}
		}
	}
	for _, errs := range []map[string]error{r.Sources, r.NetScalers, r.Files} {
		for _, err := range errs {
			if err != nil {
				return ExitFailed
			}
		}
	}
	return code
}

// Tally counts the changes of one kind.
type Tally struct{ Planned, Made int }

// Tally counts the result's changes by kind, but for those of paused apps.
func (r Result) Tally() [netscaler.ReplaceMembers]Tally {
	var t [netscaler.ReplaceMembers]Tally
	for _, o := range r.Outcomes {
		if o.App.Policy.Paused {
			continue
		}
		for _, d := range o.Changes() {
			t[d.Op].Planned++
			if d.Made() {
				t[d.Op].Made++
			}
		}
	}
	return t
}

// Changes are what became of the outcome's changes; of a plan that was not
// applied, why: errPlanned.
func (o Outcome) Changes() []Done {
	if o.Done != nil {
		return o.Done
	}
	planned := make([]Done, len(o.Plan.Changes))
	for i := range o.Plan.Changes {
		planned[i] = Done{Change: &o.Plan.Changes[i], Err: errPlanned}
	}
	return planned
}

// errPlanned is that of a change of a plan that was not to be applied.
var errPlanned = errors.New("planned")

// Made: the change was made.
func (d Done) Made() bool { return d.Err == nil }

// Failed: the change was to be made, and was not.
func (d Done) Failed() bool { return d.Err != nil && d.Err != errPlanned }

// Phases are how long the parts of a pass took. NetScalers are served side by
// side, so each is the longest that any of them, or any source, took for it.
type Phases struct {
	Poll    time.Duration // the sources were asked
	Read    time.Duration // a NetScaler's service groups were read
	Confirm time.Duration // the sources were asked a second time, and the wait before that
	Apply   time.Duration // changes were made, and new members waited for
	Save    time.Duration // a NetScaler's configuration was saved
}

// longest is each phase of whichever took longer.
func (p Phases) longest(q Phases) Phases {
	return Phases{
		Poll: max(p.Poll, q.Poll), Read: max(p.Read, q.Read), Confirm: max(p.Confirm, q.Confirm),
		Apply: max(p.Apply, q.Apply), Save: max(p.Save, q.Save),
	}
}

// clock begins to time a phase; what it returns ends that. A phase that comes
// several times in a pass adds up.
func clock(phase *time.Duration) (end func()) {
	began := time.Now()
	return func() { *phase += time.Since(began) }
}
