package observe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nitrox/netscaler"
	"nitrox/sync"
)

// app is what is known of an app on a NetScaler: what the last pass found, and
// when things last happened to it.
type app struct {
	Name, Group, NetScaler string
	Paused                 bool
	Status                 sync.Status // empty: no pass has looked yet
	// Failures and Held are why the status is what it is, each one line.
	Failures []string
	Held     string
	Remarks  []string             // what is worth knowing, and no failure
	Drift    map[netscaler.Op]int // changes by kind that were found, and not made
	Rows     []row
	Seen     time.Time // when Rows were so; older than Looked if the NetScaler failed since
	Looked   time.Time // the last pass
	// The last change, the last trouble, and the last time without any.
	Changed, Failed, OK time.Time
	Change, Failure     string
}

// after is the app after one more pass, which found o and ended at the given
// time.
func (a app) after(o sync.Outcome, at time.Time) app {
	a.Name, a.Group, a.NetScaler, a.Paused = o.App.Name, o.App.Group, o.NetScaler, o.App.Policy.Paused
	a.Status, a.Looked = o.Status(), at
	a.Failures, a.Held = failures(o), line(text(o.Plan.HeldBy))
	a.Drift, a.Remarks = drift(o), nil
	for _, note := range o.Notes {
		a.Remarks = append(a.Remarks, line(note))
	}
	if o.Err == nil {
		a.Rows, a.Seen = rows(o), at
	}
	if change := made(o); change != "" {
		a.Changed, a.Change = at, change
	}
	switch {
	case len(a.Failures) > 0:
		a.Failed, a.Failure = at, a.Failures[0]
	case a.Held != "":
		a.Failed, a.Failure = at, "held: "+a.Held
	default:
		a.OK = at
	}
	return a
}

// count is how many of its rows are in the state.
func (a app) count(state State) (n int) {
	for _, r := range a.Rows {
		if r.State == state {
			n++
		}
	}
	return n
}

// failures are why the outcome failed: what was in the way of a plan, each
// doubt, and each kind of trouble that changes met.
func failures(o sync.Outcome) (all []string) {
	add := func(err error) {
		for _, text := range strings.Split(text(err), "\n") {
			if text = line(text); text != "" && !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	add(o.Err)
	add(o.Desired.Doubt())
	for _, d := range o.Done {
		if c := d.Change; d.Failed() {
			what := c.Addr.String()
			if !c.Addr.IsValid() {
				what = c.Group
			}
			add(fmt.Errorf("%v %s: %w", c.Op, what, d.Err))
		}
	}
	return all
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

// ops are the kinds that changes can have; Replace is a way to make others.
const ops = netscaler.ReplaceMembers

// past names the kinds of changes once they are made.
var past = [ops]string{
	netscaler.AddVServer: "virtual server made", netscaler.AddGroup: "service group made", netscaler.BindVServer: "bound to a virtual server",
	netscaler.Bind: "bound", netscaler.Enable: "enabled", netscaler.Set: "weighted anew", netscaler.Drain: "sent to drain", netscaler.Unbind: "unbound",
	netscaler.RemoveServer: "server removed",
}

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
			parts = append(parts, fmt.Sprintf("%d %s", n, past[op]))
		}
	}
	return strings.Join(parts, ", ")
}
