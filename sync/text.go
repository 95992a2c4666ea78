package sync

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"nitrox/netscaler"
)

// fewApps is up to how many apps that are in step are listed one by one.
const fewApps = 20

// The marks in front of a line tell what it is about without colour.
var marks = [...]string{
	netscaler.AddVServer: "+", netscaler.AddGroup: "+", netscaler.BindVServer: "+", netscaler.RemoveServer: "-",
	netscaler.Bind: "+", netscaler.Enable: "^", netscaler.Set: "~", netscaler.Drain: "v", netscaler.Unbind: "-",
}

// Text writes a diff for people: what there is to say about each app, and a
// summary. A dry run and a run print the same lines; a run adds what was not
// made, and why.
func Text(w io.Writer, r Result) error {
	var b bytes.Buffer
	quiet := 0
	for _, o := range r.Outcomes {
		if o.silent() {
			quiet++
		}
	}
	for _, o := range r.Outcomes {
		if !o.silent() || quiet <= fewApps {
			textApp(&b, o, r)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sources)) {
		if err := r.Sources[name]; err != nil {
			fmt.Fprintf(&b, "source %s failed: %s\n", name, oneLine(err.Error()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.NetScalers)) {
		if err := r.NetScalers[name]; err != nil {
			fmt.Fprintf(&b, "netscaler %s failed: %s\n", name, oneLine(err.Error()))
		}
	}
	b.WriteString(r.Summary())
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// silent: the app is in step and there is nothing else to say of it.
func (o Outcome) silent() bool {
	p := o.Plan
	return o.Status() == InStep && !o.App.Policy.Paused && len(p.Draining)+len(p.Disabled)+len(p.Uncertain)+len(o.Notes) == 0
}

func textApp(b *bytes.Buffer, o Outcome, r Result) {
	p := o.Plan
	fmt.Fprintf(b, "%s: %s on %s: %s\n", o.App.Name, o.App.Group, o.NetScaler, o.headline())
	if o.Err != nil {
		why := oneLine(o.Err.Error())
		if err := r.NetScalers[o.NetScaler]; err != nil && errors.Is(err, o.Err) {
			why = "netscaler " + o.NetScaler + " failed" // why is told once, of it
		}
		fmt.Fprintf(b, "  ! %s\n", why)
	}
	for _, doubt := range o.doubts(r.Sources) {
		fmt.Fprintf(b, "  ? %s\n", oneLine(doubt))
	}
	shares := o.shares()
	for _, d := range o.Changes() {
		textChange(b, marks[d.Op], d.Change, shares)
		if d.Failed() {
			fmt.Fprintf(b, "      NOT MADE: %s\n", oneLine(d.Err.Error()))
		}
	}
	if p.HeldBy != nil {
		fmt.Fprintf(b, "  ! held: %s\n", oneLine(p.HeldBy.Error()))
	}
	for _, c := range p.Held {
		textChange(b, "!", c, shares)
	}
	for _, m := range p.Draining {
		left := howLong(m.Remaining)
		if m.Remaining > 0 {
			left += " left"
		}
		fmt.Fprintf(b, "  . draining %-21s  %s\n", m.Addr, left)
	}
	for _, m := range p.Disabled {
		fmt.Fprintf(b, "  . disabled %-21s  %s\n", m.Addr, byWhom(m))
	}
	for _, e := range p.Uncertain {
		fmt.Fprintf(b, "  ? not yet  %-21s  %s\n", e.Addr, oneLine(e.Uncertain))
	}
	for _, note := range o.Notes {
		fmt.Fprintf(b, "  . note: %s\n", oneLine(note))
	}
	for i, a := range o.Answers {
		for _, l := range a.LeftOut {
			if !o.silent() {
				fmt.Fprintf(b, "  . left out %s: %s (source %s)\n", oneLine(l.What), oneLine(l.Why), o.App.From[i].Source)
			}
		}
	}
}

// doubts are what the app's doubt consists of. Why a source failed is told
// once, of the source, and not again for each of its apps.
func (o Outcome) doubts(failed map[string]error) (all []string) {
	joined, ok := o.Desired.Doubt().(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, doubt := range joined.Unwrap() {
		text := doubt.Error()
		for _, from := range o.App.From {
			if err := failed[from.Source]; err != nil && errors.Is(doubt, err) {
				text = "source " + from.Source + " failed"
			}
		}
		all = append(all, text)
	}
	return slices.Compact(all)
}

func byWhom(m netscaler.Member) string {
	if m.State == netscaler.DisabledAbove {
		return "its server or its group is disabled; left as it is"
	}
	return "by an operator; left as it is"
}

// headline says how the group is and how it should be.
func (o Outcome) headline() string {
	var parts []string
	if o.App.Policy.Paused {
		parts = append(parts, "paused")
	}
	if o.Err != nil {
		return strings.Join(append(parts, "failed"), ", ")
	}
	serving, _, _ := o.Plan.toll()
	parts = append(parts, fmt.Sprintf("%d serving", serving+len(o.Plan.Held)))
	switch {
	case o.Desired.Doubt() != nil:
		parts = append(parts, "in doubt, so nothing is removed")
	case o.Status() == InStep:
		parts = append(parts, "in step")
	default:
		parts = append(parts, fmt.Sprintf("%d wanted", len(o.Desired.Endpoints)))
	}
	if n := len(o.Plan.NotOurs); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not ours", n))
	}
	return strings.Join(parts, ", ")
}

func textChange(b *bytes.Buffer, mark string, c netscaler.Change, share func(int) string) {
	if creates(c) || c.Op == netscaler.RemoveServer {
		fmt.Fprintf(b, "  %s %s\n", mark, oneLine(strings.TrimSuffix(subject(c)+", "+c.Why, ", ")))
		return
	}
	line := fmt.Sprintf("  %s %-8s %-21s", mark, c.Op, c.Addr)
	switch c.Op {
	case netscaler.Bind:
		if part := share(c.Weight); c.Weight != 1 || part != "" {
			line += fmt.Sprintf("  weight %d%s", c.Weight, part)
		}
	case netscaler.Set:
		line += "  " + settings(c, share)
	case netscaler.Drain:
		line += "  " + howLong(c.Delay)
	}
	line += "  " + oneLine(c.Why)
	fmt.Fprintln(b, strings.TrimRight(line, " "))
}

// shares tells which part of the traffic a weight will get, if the weights of
// the group differ; equal ones say nothing.
func (o Outcome) shares() func(weight int) string {
	weights := map[string]int{}
	for _, m := range o.Plan.Kept {
		weights[m.Addr.String()] = m.Weight
	}
	for _, c := range o.Plan.Changes {
		switch {
		case gains(c), c.Op == netscaler.Set:
			weights[c.Addr.String()] = c.Weight
		case loses(c):
			delete(weights, c.Addr.String())
		}
	}
	sum, differ, one := 0, false, 0
	for _, w := range weights {
		sum += w
		differ = differ || one != 0 && w != one
		one = w
	}
	return func(w int) string {
		if !differ || sum == 0 {
			return ""
		}
		return fmt.Sprintf(" (%d%%)", (w*100+sum/2)/sum)
	}
}

// Summary is one line about the whole pass.
func (r Result) Summary() string {
	var changes []string
	notMade := 0
	for op, t := range r.Tally() {
		switch {
		case r.DryRun && t.Planned > 0:
			changes = append(changes, toDo(netscaler.Op(op), t.Planned))
		case t.Made > 0:
			changes = append(changes, done(netscaler.Op(op), t.Made))
		}
		notMade += t.Planned - t.Made
	}
	if notMade > 0 && !r.DryRun {
		changes = append(changes, fmt.Sprintf("%d not made", notMade))
	}
	if len(changes) == 0 {
		changes = []string{"nothing to change"}
	}
	statuses := map[Status]int{}
	for _, o := range r.Outcomes {
		statuses[o.Status()]++
	}
	var groups []string
	for _, s := range []Status{InStep, Changed, Pending, Held, Failed} {
		if n := statuses[s]; n > 0 {
			word := string(s)
			if s == Pending && r.DryRun {
				word = "to change"
			}
			groups = append(groups, fmt.Sprintf("%d %s", n, word))
		}
	}
	head := "done"
	if r.DryRun {
		head = "plan"
	}
	return fmt.Sprintf("%s: %s (%s: %s)", head, strings.Join(changes, ", "), count(len(r.Outcomes), "service group"), strings.Join(groups, ", "))
}

// Quiet says that there is nothing to tell of the pass: every app is in step,
// nothing failed.
func (r Result) Quiet() bool {
	for _, o := range r.Outcomes {
		if !o.silent() {
			return false
		}
	}
	return r.Exit(true) == ExitInStep
}
