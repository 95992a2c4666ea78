package observe

import (
	"strings"
	"time"

	"nitrox/netscaler"
	"nitrox/sync"
)

// app is what is known of an app on a NetScaler: what the last pass found, and
// when things last happened to it.
type app struct {
	Name, Group, NetScaler string
	Paused, Orphan         bool
	Status                 sync.Status // or unknown
	// Failures and Held are why the status is what it is.
	Failures []sync.Trouble
	Held     string
	Idle     string
	Remarks  []string             // what is worth knowing, and no failure
	Drift    map[netscaler.Op]int // changes by kind that were found, and not made
	Rows     []sync.Row
	Seen     time.Time // when Rows were so
	Old      bool      // Rows need not be so any more: the last look at them failed, or is not this replica's
	Looked   time.Time // the last pass
	// The last change, the last trouble, and the last time without any.
	Changed, Failed, OK time.Time
	Change, Failure     string
}

// after is the app after one more pass, which found o, met the troubles and ended
// at the given time.
func (a app) after(o sync.Outcome, troubles []sync.Trouble, at time.Time) app {
	a.Name, a.Group, a.NetScaler = o.App.Name, o.App.Group, o.NetScaler
	a.Paused, a.Orphan = o.App.Policy.Paused, o.App.Orphan
	a.Status, a.Looked = o.Status(), at
	a.Failures, a.Held, a.Idle = nil, "", ""
	for _, t := range troubles {
		if t.Held {
			a.Held = t.Cause
		} else {
			a.Failures = append(a.Failures, t)
		}
	}
	if a.Status == sync.NotServing {
		a.Idle = o.Idle()
	}
	a.Drift, a.Remarks = drift(o), nil
	for _, note := range o.Notes {
		a.Remarks = append(a.Remarks, sync.OneLine(note))
	}
	if o.Err == nil {
		a.Rows, a.Seen = o.Rows(), at
	}
	if change := made(o); change != "" {
		a.Changed, a.Change = at, change
	}
	switch {
	case len(a.Failures) > 0:
		a.Failed, a.Failure = at, a.Failures[0].String()
	case a.Held != "":
		a.Failed, a.Failure = at, "held: "+a.Held
	default:
		a.OK = at
	}
	return a
}

// forgotten is the app when nobody looks at it any more: what was found is old, and
// only what happened, and when, still holds.
func (a app) forgotten() app {
	a.Status, a.Failures, a.Held, a.Idle, a.Drift, a.Remarks = unknown, nil, "", "", nil, nil
	return a
}

// plain: there is no more to say of the row than that it serves.
func plain(r sync.Row) bool { return r.Standing == sync.Serving && !r.Held && r.Err == "" }

// count is how many of its rows are in the state.
func (a app) count(state sync.Standing) (n int) {
	for _, r := range a.Rows {
		if r.Standing == state {
			n++
		}
	}
	return n
}

// drift counts the changes that were found, and not made or held.
func drift(o sync.Outcome) map[netscaler.Op]int {
	n := map[netscaler.Op]int{}
	for _, d := range o.Changes() {
		if !d.Made() {
			n[d.Op]++
		}
	}
	for _, c := range o.Plan.Held {
		n[c.Op]++
	}
	return n
}

// ops are the kinds that changes can have.
const ops = netscaler.ReplaceMembers

// made says in words which changes were made; empty: none.
func made(o sync.Outcome) string {
	var n [ops]int
	for _, d := range o.Done {
		if d.Made() {
			n[d.Op]++
		}
	}
	var parts []string
	for op, n := range n {
		if n > 0 {
			parts = append(parts, sync.Counted(netscaler.Op(op), n, true))
		}
	}
	return strings.Join(parts, ", ")
}
