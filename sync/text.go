package sync

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"nitrox/netscaler"
	"nitrox/sources"
)

// fewApps is up to how many apps that are in step, or of which nothing is known
// because a source failed, are listed one by one.
const fewApps = 20

// Text writes a diff for people: what there is to say about each app, and a
// summary. A dry run and a run print the same lines; a run adds what was not
// made, and why.
func Text(w io.Writer, r Result) error {
	var b bytes.Buffer
	quiet, blind := 0, 0
	for _, o := range r.Outcomes {
		switch {
		case o.silent():
			quiet++
		case o.blind(r):
			blind++
		}
	}
	for _, o := range r.Outcomes {
		if o.speaks(r) && (!o.silent() || quiet <= fewApps) && (!o.blind(r) || blind <= fewApps) {
			textApp(&b, o, r)
		}
	}
	for _, line := range r.wide() {
		fmt.Fprintf(&b, "! %s\n", line)
	}
	b.WriteString(r.Summary())
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// wide are the troubles that are not of single apps, with the apps that they harm.
func (r Result) wide() (lines []string) {
	for _, t := range r.Troubles() {
		if t.Of != OfApp {
			harmed := ""
			if apps := t.Apps(); len(apps) > 0 {
				harmed = fmt.Sprintf(" (%s: %s)", sources.Count(len(apps), "app"), someOf(apps))
			}
			lines = append(lines, t.String()+harmed)
		}
	}
	return lines
}

// silent: the app is in step and there is nothing else to say of it.
func (o Outcome) silent() bool {
	return o.Status() == InStep && o.plain()
}

// plain: nothing is to be said of the app's members and policy.
func (o Outcome) plain() bool {
	p := o.Plan
	return !o.App.Policy.Paused && len(p.Draining)+len(p.Disabled)+len(p.Uncertain)+len(o.Notes) == 0
}

// blind: all there is to say of the app is said of sources that failed.
func (o Outcome) blind(r Result) bool {
	doubts := o.Desired.doubts()
	own := func(doubt error) bool { return o.failedSource(doubt, r.Sources) == "" }
	return o.Err == nil && o.Plan.HeldBy == nil && len(o.Changes()) == 0 && o.plain() && len(doubts) > 0 && !slices.ContainsFunc(doubts, own)
}

// failedSource names the source whose failure the doubt is; empty: none.
func (o Outcome) failedSource(doubt error, failed map[string]error) string {
	for _, from := range o.App.From {
		if slices.ContainsFunc(split(failed[from.Source]), func(err error) bool { return errors.Is(doubt, err) }) {
			return from.Source
		}
	}
	return ""
}

// speaks: there is something to say of the app that is not said of its NetScaler.
func (o Outcome) speaks(r Result) bool {
	return o.Err == nil || r.NetScalers[o.NetScaler] == nil || !errors.Is(r.NetScalers[o.NetScaler], o.Err)
}

func textApp(b *bytes.Buffer, o Outcome, r Result) {
	p, rows := o.Plan, o.Rows()
	notes := o.Notes
	if o.App.Orphan && len(notes) > 0 {
		fmt.Fprintf(b, "%s: %s on %s\n", o.App.Name, notes[0], o.NetScaler)
		notes = notes[1:]
	} else {
		fmt.Fprintf(b, "%s on %s: %s\n", o.called(), o.NetScaler, o.headline(rows))
	}
	if o.Err != nil {
		fmt.Fprintf(b, "  ! %s\n", text(o.Err))
	}
	for _, doubt := range o.doubtTexts(r.Sources) {
		fmt.Fprintf(b, "  ? %s\n", doubt)
	}
	shares := o.shares()
	for _, d := range o.Changes() {
		textChange(b, kinds[d.Op].mark, *d.Change, shares)
		if d.Failed() {
			fmt.Fprintf(b, "      NOT MADE: %s\n", text(d.Err))
		}
	}
	if p.HeldBy != nil {
		fmt.Fprintf(b, "  ! held: %s\n", text(p.HeldBy))
	}
	for _, c := range p.Held {
		textChange(b, "!", c, shares)
	}
	changed := map[netip.AddrPort]bool{}
	for _, d := range o.Changes() {
		changed[d.Addr] = true
	}
	for _, row := range rows {
		if o.Err != nil {
			break // all are as they were
		}
		switch row.Standing {
		case Draining, Drained, Disabled:
			if !changed[row.Addr] {
				fmt.Fprintf(b, "  . %-8s %-21s  %s\n", row.Standing, row.Addr, row.Why)
			}
		case Uncertain:
			fmt.Fprintf(b, "  ? %-8s %-21s  %s\n", row.Standing, row.Addr, row.Why)
		}
	}
	for _, note := range notes {
		fmt.Fprintf(b, "  . note: %s\n", OneLine(note))
	}
	if !o.silent() {
		for _, row := range rows {
			if row.Standing == LeftOut {
				fmt.Fprintf(b, "  . %s %s: %s\n", row.Standing, row.Name, row.Why)
			}
		}
	}
}

// called is the app and its service group; one that was discovered mostly has the
// group's name, or no group that is known.
func (o Outcome) called() string {
	if o.App.Discovered() && (o.App.Group == "" || o.App.Group == o.App.Name) {
		return o.App.Name
	}
	return o.App.Name + ": " + o.App.Group
}

// doubtTexts are what the app's doubt consists of. Why a source failed is said
// once, of the source, and not again for each of its apps.
func (o Outcome) doubtTexts(failed map[string]error) (all []string) {
	for _, doubt := range o.Desired.doubts() {
		said := text(doubt)
		if source := o.failedSource(doubt, failed); source != "" {
			said = "source " + source + " failed"
		}
		all = append(all, said)
	}
	return slices.Compact(all)
}

// headline says how the group is and how it should be.
func (o Outcome) headline(rows []Row) string {
	var parts []string
	if o.App.Policy.Paused {
		parts = append(parts, "paused")
	}
	if o.Err != nil {
		return strings.Join(append(parts, "failed"), ", ")
	}
	serving := fmt.Sprintf("%d serving", o.Serving())
	down := 0
	for _, row := range rows {
		if row.Standing == Down {
			down++
		}
	}
	if down > 0 {
		serving += fmt.Sprintf(" (%d down)", down)
	}
	parts = append(parts, serving)
	switch {
	case o.Desired.Doubt() != nil:
		parts = append(parts, "in doubt, so nothing is removed")
	case o.Status() == InStep:
		parts = append(parts, "in step")
	case o.Status() == NotServing:
		parts = append(parts, o.Idle())
	default:
		parts = append(parts, fmt.Sprintf("%d wanted", len(o.Desired.Endpoints)))
	}
	if n := len(o.Plan.NotOurs); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not ours", n))
	}
	return strings.Join(parts, ", ")
}

func textChange(b *bytes.Buffer, mark string, c netscaler.Change, share func(netscaler.Member) string) {
	if !ofMember(c.Op) {
		fmt.Fprintf(b, "  %s %s\n", mark, OneLine(strings.TrimSuffix(Subject(c)+", "+c.Why, ", ")))
		return
	}
	line := fmt.Sprintf("  %s %-8s %-21s", mark, c.Op, c.Addr)
	switch c.Op {
	case netscaler.Bind:
		if part := share(c.Member); c.Weight != 1 || part != "" {
			line += fmt.Sprintf("  weight %d%s", c.Weight, part)
		}
		if c.Order != 0 {
			line += "  order " + order(c.Order)
		}
	case netscaler.Set:
		line += "  " + settings(c, share)
	case netscaler.Drain:
		line += "  " + howLong(c.Delay)
	}
	line += "  " + OneLine(c.Why)
	fmt.Fprintln(b, strings.TrimRight(line, " "))
}

// shares tells which part of the traffic a member's weight will get while its
// order serves, if the weights of that order differ; equal ones say nothing.
func (o Outcome) shares() func(netscaler.Member) string {
	members := map[netip.AddrPort]netscaler.Settings{}
	for _, m := range o.Plan.Kept {
		members[m.Addr] = m.Settings()
	}
	for _, c := range o.Plan.Changes {
		switch {
		case gains(c), c.Op == netscaler.Set:
			members[c.Addr] = c.Settings()
		case loses(c):
			delete(members, c.Addr)
		}
	}
	type weights struct {
		sum, one int
		differ   bool
	}
	orders := map[int]weights{}
	for _, s := range members {
		w := orders[s.Order]
		orders[s.Order] = weights{w.sum + s.Weight, s.Weight, w.differ || w.one != 0 && w.one != s.Weight}
	}
	return func(m netscaler.Member) string {
		w := orders[m.Order]
		if !w.differ || w.sum == 0 {
			return ""
		}
		return fmt.Sprintf(" (%d%%)", (m.Weight*100+w.sum/2)/w.sum)
	}
}

// counted are the changes in words, those of one kind together.
func (r Result) counted() (changes []string) {
	notMade := 0
	for op, t := range r.Tally() {
		switch {
		case r.DryRun && t.Planned > 0:
			changes = append(changes, Counted(netscaler.Op(op), t.Planned, false))
		case t.Made > 0:
			changes = append(changes, Counted(netscaler.Op(op), t.Made, true))
		}
		notMade += t.Planned - t.Made
	}
	if notMade > 0 && !r.DryRun {
		changes = append(changes, fmt.Sprintf("%d not made", notMade))
	}
	return changes
}

// Summary is one line about the whole pass.
func (r Result) Summary() string {
	changes := r.counted()
	if len(changes) == 0 {
		changes = []string{"nothing to change"}
	}
	statuses := map[Status]int{}
	for _, o := range r.Outcomes {
		statuses[o.Status()]++
	}
	var groups []string
	for _, s := range []Status{InStep, NotServing, Changed, Pending, Held, Failed} {
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
	all := strings.TrimSuffix(sources.Count(len(r.Outcomes), "service group")+": "+strings.Join(groups, ", "), ": ")
	return fmt.Sprintf("%s: %s (%s)", head, strings.Join(changes, ", "), all)
}

// Quiet says that there is nothing to say about the pass: every app is in step,
// nothing failed.
func (r Result) Quiet() bool {
	return r.Exit(true) == ExitInStep && !slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return !o.silent() })
}
