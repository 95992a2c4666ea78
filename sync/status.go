package sync

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Overviews are the reports, by the names of their formats, of who asks how all apps
// are.
var Overviews = map[string]Report{"text": overview, "json": JSON}

// tally are the columns of the overview, by the verdict about a row.
var tally = []struct {
	title    string
	verdicts []string
}{
	{"IN", []string{"in"}}, {"DOWN", []string{"in, down"}}, {"OUT", []string{"out"}}, {"HELD", []string{"held"}},
	{"DRAINING", []string{"draining", "drained"}}, {"OTHERS", []string{"disabled by somebody", "not ours"}},
}

// overview is a table of the apps, with what is the matter beneath each.
func overview(w io.Writer, r Result) error {
	var b bytes.Buffer
	wide := func(column, text string) int {
		return max(utf8.RuneCountInString(column), utf8.RuneCountInString(text))
	}
	app, on, status, counts := 3, 2, 6, ""
	for _, t := range tally {
		counts += fmt.Sprintf("%*s", len(t.title)+2, t.title)
	}
	for _, o := range r.Outcomes {
		app, on, status = wide(strings.Repeat(" ", app), o.App.Name), wide(strings.Repeat(" ", on), o.NetScaler), wide(strings.Repeat(" ", status), string(o.Status()))
	}
	app = min(app, columns-status-on-len(counts)-4)
	line := func(s, a, n, counts string) {
		if utf8.RuneCountInString(a) > app { // it stays whole: it may have to be copied
			fmt.Fprintf(&b, "%-*s  %s\n", status, s, a)
			s, a = "", ""
		}
		fmt.Fprintf(&b, "%-*s  %-*s  %-*s%s\n", status, s, app, a, on, n, counts)
	}
	line("STATUS", "APP", "ON", counts)
	reasons := map[Place][]string{}
	for _, t := range r.Troubles() {
		for _, p := range t.Places {
			if t.Of == OfApp {
				reasons[p] = append(reasons[p], t.String())
			}
		}
	}
	for _, o := range r.Outcomes {
		n := map[string]int{}
		for _, row := range o.Rows() {
			n[row.Verdict()]++
		}
		counts := ""
		for _, t := range tally {
			sum := 0
			for _, v := range t.verdicts {
				sum += n[v]
			}
			counts += fmt.Sprintf("%*d", len(t.title)+2, sum)
		}
		if o.Err != nil && o.Actual == nil { // nobody knows
			counts = ""
		}
		line(string(o.Status()), o.App.Name, o.NetScaler, counts)
		switch {
		case o.App.Orphan && len(o.Notes) > 0:
			reasons[o.place()] = append(reasons[o.place()], o.Notes[0])
		case o.App.Policy.Paused:
			reasons[o.place()] = append(reasons[o.place()], rulePaused)
		case o.Status() == Pending:
			reasons[o.place()] = append(reasons[o.place()], strings.Join(Result{Outcomes: []Outcome{o}, DryRun: true}.counted(), ", "))
		case o.Status() == NotServing:
			reasons[o.place()] = append(reasons[o.place()], o.Idle())
		}
		for _, reason := range reasons[o.place()] {
			wrap(&b, strings.Repeat(" ", status+2), reason)
		}
	}
	for _, t := range r.wide() {
		wrap(&b, "", "! "+t)
	}
	wrap(&b, "", r.Summary())
	_, err := w.Write(b.Bytes())
	return err
}
