package sync

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"nitrox/sources"
	"nitrox/sources/nearest"
)

// Explanations are the reports, by the names of their formats, of who asks why an
// address, or what has this in its name, is in or out; "": why anything is.
func Explanations(about string) map[string]Report {
	return map[string]Report{
		"text": func(w io.Writer, r Result) error { return explain(w, r, about) },
		"json": func(w io.Writer, r Result) error { return jsonAbout(w, r, about) },
	}
}

// Consider is [Syncer.Plan] of the named apps as they would be planned among all: where
// a source has nothing for one that would lose members by that, the other apps of the
// source are looked at too, since they tell whether it is the source's fault.
func (s *Syncer) Consider(ctx context.Context, part *Part) Result {
	r := s.Plan(ctx, part)
	suspect := map[string]bool{}
	for _, o := range r.Outcomes {
		_, _, lost := o.Plan.toll()
		for source, nothing := range o.saysNothing() {
			suspect[source] = suspect[source] || nothing && lost > 0
		}
	}
	named := map[string]bool{}
	for _, name := range part.Apps {
		named[name] = true
	}
	var more []string
	for _, app := range s.Apps {
		if named[app.Name] || slices.ContainsFunc(app.From, func(f From) bool { return suspect[f.Source] }) {
			more = append(more, app.Name)
		}
	}
	if part.Apps == nil || len(more) < max(collapseSize, len(part.Apps)+1) {
		return r
	}
	r = s.Plan(ctx, &Part{Apps: more})
	r.Outcomes = slices.DeleteFunc(r.Outcomes, func(o Outcome) bool { return !named[o.App.Name] })
	return r
}

// Knows says whether anything that the pass saw is what was asked for.
func (r Result) Knows(about string) bool {
	return slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return len(rowsAbout(o.Rows(), about)) > 0 })
}

// rowsAbout are the rows of an address, with or without its port, or of what has the
// text in its name or origin.
func rowsAbout(rows []Row, about string) []Row {
	if about == "" {
		return rows
	}
	of := func(r Row) bool {
		named := func(text string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(about)) }
		return named(r.Name) || named(r.Server) || named(r.Why) || named(r.Facts)
	}
	if ip, err := netip.ParseAddr(strings.Trim(about, "[]")); err == nil {
		of = func(r Row) bool { return r.Addr.Addr() == ip.Unmap() }
	} else if at, err := netip.ParseAddrPort(about); err == nil {
		of = func(r Row) bool { return r.Addr == netip.AddrPortFrom(at.Addr().Unmap(), at.Port()) }
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !of(r) })
}

// searched is where something was looked for in vain.
type searched struct {
	Where   string `json:"where"`             // a source, or a service group
	Has     string `json:"has"`               // what there was to look at
	Nearest string `json:"nearest,omitempty"` // that is there
}

// looks are where sources and the service group were looked through.
func (o Outcome) looks(rows []Row, about string) (all []searched) {
	names := func(of func(Row) bool) (names []string) {
		_, portless := netip.ParseAddr(about)
		for _, r := range rows {
			switch {
			case !of(r):
			case !r.Addr.IsValid():
				names = append(names, r.Name)
			case portless == nil:
				names = append(names, r.Addr.Addr().String())
			default:
				names = append(names, r.Addr.String())
			}
		}
		return names
	}
	for i, answer := range o.Answers {
		given := map[netip.AddrPort]bool{}
		for _, e := range answer.Endpoints {
			given[e.Addr] = true
		}
		has := fmt.Sprintf("%s, %s left out", sources.Count(len(answer.Endpoints), "endpoint"), sources.Count(len(answer.LeftOut), "candidate"))
		if doubt := answer.Doubt(); doubt != nil {
			has += "; in doubt: " + text(doubt)
		}
		near := nearest.Name(about, names(func(r Row) bool { return given[r.Addr] || r.Standing == LeftOut }))
		all = append(all, searched{"source " + o.App.From[i].Source, has, near})
	}
	members := sources.Count(len(o.Actual), "member")
	if o.Err != nil && o.Actual == nil {
		members = text(o.Err)
	}
	bound := func(r Row) bool {
		return !slices.Contains([]Standing{Missing, Uncertain, NotKnown, LeftOut}, r.Standing)
	}
	return append(all, searched{fmt.Sprintf("service group %s on %s", o.App.Group, o.NetScaler), members, nearest.Name(about, names(bound))})
}

// explain says of each member, endpoint and candidate why it is in or out.
func explain(w io.Writer, r Result, about string) error {
	var b bytes.Buffer
	for i, o := range r.Outcomes {
		if i > 0 {
			b.WriteByte('\n')
		}
		rows := o.Rows()
		wrap(&b, "", fmt.Sprintf("%s on %s: %s", o.called(), o.NetScaler, o.headline(rows)))
		for _, line := range o.circumstances() {
			wrap(&b, "  ", line)
		}
		for _, t := range r.Troubles() {
			if t.Of == OfNetScaler && t.Name == o.NetScaler && o.Err == nil { // else it is the outcome's
				wrap(&b, "  ", fmt.Sprintf("! netscaler %s %s: %s", t.Name, t.What, t.Cause))
			}
		}
		found := rowsAbout(rows, about)
		for _, row := range found {
			row.explain(&b)
		}
		if len(found) > 0 || about == "" {
			continue
		}
		wrap(&b, "  ", about+" is unknown to all of them:")
		for _, l := range o.looks(rows, about) {
			line := l.Where + ": " + l.Has
			if l.Nearest != "" {
				line += "; did you mean " + l.Nearest + "?"
			}
			wrap(&b, "    ", line)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// circumstances are what holds for all rows of the app: where it is written, what was
// asked, what is in doubt, failed or held.
func (o Outcome) circumstances() (all []string) {
	if o.App.At != "" {
		all = append(all, "mapping: "+o.App.At)
	}
	if o.App.Policy.Paused {
		all = append(all, rulePaused)
	}
	if o.Err != nil {
		all = append(all, "! "+text(o.Err))
	}
	for _, doubt := range o.Desired.doubts() {
		all = append(all, "? "+text(doubt))
	}
	if o.Plan.HeldBy != nil {
		all = append(all, "! held: "+text(o.Plan.HeldBy))
	}
	for _, c := range o.Plan.Changes {
		if o.Err == nil && !ofMember(c.Op) {
			all = append(all, "to be made first: "+Subject(c))
		}
	}
	for _, note := range o.Notes {
		all = append(all, "note: "+OneLine(note))
	}
	return all
}

// explain is the row for people: the verdict, and beneath it what it rests on.
func (r Row) explain(b *bytes.Buffer) {
	name := r.Name
	switch {
	case r.Addr.IsValid() && (name != "" || r.Server != ""):
		name = fmt.Sprintf("%v (%s%s)", r.Addr, name, r.Server)
	case r.Addr.IsValid():
		name = r.Addr.String()
	}
	verdict := r.Verdict()
	if state := r.Standing.String(); !strings.Contains(verdict, state) && r.Standing != Disabled {
		verdict += ", " + state
	}
	b.WriteByte('\n')
	wrap(b, "  ", name+": "+verdict)
	say := func(label, text string) {
		if text != "" {
			wrap(b, "      ", label+text)
		}
	}
	say("", r.Why)
	say("facts: ", r.Facts)
	say("rule: ", r.Rule)
	var settings []string
	if r.Weight > 0 {
		settings = append(settings, fmt.Sprintf("weight %d", r.Weight))
	}
	if r.Order > 0 {
		settings = append(settings, fmt.Sprintf("order %d", r.Order))
	}
	if len(settings) > 0 {
		say("", strings.TrimSuffix(strings.Join(settings, ", ")+": "+r.Settings, ": "))
	}
	if r.Lasts > 0 {
		say("", "on the NetScaler its state last changed "+Short(r.Lasts)+" ago")
	}
	if r.Err != "" {
		say("! not made: ", r.Err)
	}
}

// columns is how wide a line for people is.
const columns = 80

// Wrap writes a text behind a head, in lines that fit, of which the others begin at a
// column. A word that is longer than a line stays whole: it may have to be copied.
func Wrap(b io.StringWriter, head string, column int, text string) {
	line, between := head, ""
	for word := range strings.FieldsSeq(text) {
		if between != "" && utf8.RuneCountInString(line+between+word) > columns {
			_, _ = b.WriteString(line + "\n") // to memory
			line, between = strings.Repeat(" ", column), ""
		}
		line += between + word
		between = " "
	}
	_, _ = b.WriteString(line + "\n")
}

// wrap is [Wrap] with the others two further in.
func wrap(b *bytes.Buffer, indent, text string) { Wrap(b, indent, len(indent)+2, text) }
