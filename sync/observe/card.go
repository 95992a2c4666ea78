package observe

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"nitrox/sources"
	"nitrox/sync"
)

// What the page shows at once; the rest is a link away.
const (
	fullCards   = 25 // apps of a section with more than a line
	mostLines   = 100
	cardRows    = 12 // members of one of many apps that are not simply serving, and that are
	cardReasons = 4
	mostDots    = 60 // members drawn as dots
)

// section is a part of the apps: cards, and further ones as lines.
type section struct {
	ID, Title string
	Open      bool // the lines are shown at once
	Cards     []card
	Lines     []card
	Rest      []tile // how many are left out, by status
}

// Left is how many apps of the section are not shown as cards.
func (s section) Left() int {
	n := len(s.Lines)
	for _, t := range s.Rest {
		n += t.N
	}
	return n
}

// card is an app on a NetScaler.
type card struct {
	app
	Tone, Word  string
	Link        string
	Counts      string
	Dots        []sync.Standing
	MoreDots    int
	Reasons     []string
	MoreReasons int
	Rows        []sync.Row // those of which there is more to say than that they serve
	MoreRows    int
	Plain       []sync.Row // the others
	MorePlain   int
	PlainWord   string
	Full        bool // nothing is left out
	Notes       []note
}

// sections are the apps that the filter leaves, those in trouble first. A
// single app is shown with all that is known of it. Of many, those that come
// first are shown; a status that is asked for is shown whole.
func sections(all []app, name, status string) (out []section, filtered string) {
	var chosen []app
	for _, a := range all {
		named := strings.Contains(strings.ToLower(a.Name), strings.ToLower(name))
		if named && (status == "" || oneWord(label(a.Status)) == status) {
			chosen = append(chosen, a)
		}
	}
	exact := func(a app) bool { return a.Name == name }
	if slices.ContainsFunc(chosen, exact) {
		chosen = slices.DeleteFunc(chosen, func(a app) bool { return !exact(a) })
	}
	if name != "" || status != "" {
		filtered = fmt.Sprintf("%d of %s", len(chosen), sources.Count(len(all), "service group"))
	}
	one := len(chosen) > 0 && !slices.ContainsFunc(chosen, func(a app) bool { return a.Name != chosen[0].Name })
	if name != "" && one {
		s := section{Title: "App"}
		for _, a := range chosen {
			s.Cards = append(s.Cards, cardOf(a, true))
		}
		return []section{s}, filtered
	}
	parts := []section{
		inTrouble:  {ID: "trouble", Title: "In trouble"},
		notServing: {ID: "not_serving", Title: "Not serving"},
		inMotion:   {ID: "motion", Title: "In motion"},
		inStep:     {ID: "step", Title: "In step"},
		notSeen:    {ID: "unknown", Title: "Unknown: no pass has looked yet"},
	}
	urgency := func(a app) int { return slices.Index(statuses, a.Status) }
	slices.SortStableFunc(chosen, func(a, b app) int {
		return cmp.Or(cmp.Compare(urgency(a), urgency(b)), cmp.Compare(b.count(sync.Down), a.count(sync.Down)))
	})
	for _, a := range chosen {
		at := partOf(a)
		switch part := &parts[at]; {
		case at < inStep && len(part.Cards) < fullCards && !a.harmedOnly():
			part.Cards = append(part.Cards, cardOf(a, false))
		case status != "" || len(part.Lines) < mostLines:
			part.Lines = append(part.Lines, lineOf(a))
		case len(part.Rest) == 0 || part.Rest[len(part.Rest)-1].Label != label(a.Status):
			part.Rest = append(part.Rest, tileOf(a.Status, name, 1))
		default:
			part.Rest[len(part.Rest)-1].N++
		}
	}
	for _, part := range parts {
		part.Open = status != "" || part.Left() <= 10
		if len(part.Cards)+len(part.Lines) > 0 {
			out = append(out, part)
		}
	}
	return out, filtered
}

// harmedOnly: all trouble of the app is its source's or its NetScaler's, which the
// page shows, and its members show no more.
func (a app) harmedOnly() bool {
	return a.Status == sync.Failed && !slices.ContainsFunc(a.Rows, func(r sync.Row) bool { return !plain(r) }) &&
		!slices.ContainsFunc(a.Failures, func(t sync.Trouble) bool { return t.Of == sync.OfApp })
}

// The sections, in their order. Those before inStep have cards.
const (
	inTrouble = iota
	notServing
	inMotion
	inStep
	notSeen
)

// partOf is the section of an app.
func partOf(a app) int {
	moves := func(r sync.Row) bool {
		return r.Standing == sync.Draining || r.Standing == sync.Drained || r.Standing == sync.Uncertain
	}
	switch {
	case a.Status == sync.Failed, a.Status == sync.Held:
		return inTrouble
	case a.Status == sync.NotServing:
		return notServing
	case a.Status == unknown:
		return notSeen
	case a.Status == sync.Pending, a.Status == sync.Changed, slices.ContainsFunc(a.Rows, moves):
		return inMotion
	}
	return inStep
}

// lineOf is an app in one line. Of the trouble of sources and NetScalers it gives
// the short form.
func lineOf(a app) card {
	c := card{app: a, Word: label(a.Status), Tone: tones[a.Status], Link: "?" + url.Values{"app": {a.Name}}.Encode()}
	if a.Status == sync.InStep && (a.Old || a.count(sync.Down) > 0) {
		c.Tone = "warn"
	}
	if a.Paused {
		c.Word = "paused, " + c.Word
	}
	for _, t := range a.Failures {
		if t.Of != sync.OfApp {
			t.Cause = "" // the page says it of the source or the NetScaler
		}
		c.Reasons = append(c.Reasons, t.String())
	}
	if a.Idle != "" {
		c.Reasons = append(c.Reasons, a.Idle)
	}
	var n [sync.Standings]int
	for _, r := range a.Rows {
		n[r.Standing]++
	}
	var counts []string
	if !a.Seen.IsZero() {
		counts = append(counts, fmt.Sprintf("%d %s", n[sync.Serving], sync.Serving))
	}
	for state, n := range n {
		if n > 0 && sync.Standing(state) != sync.Serving {
			counts = append(counts, fmt.Sprintf("%d %s", n, sync.Standing(state)))
		}
	}
	c.Counts = strings.Join(counts, " · ")
	return c
}

// cardOf is an app as a card; full: with all that is known.
func cardOf(a app, full bool) card {
	c := lineOf(a)
	c.Full = full
	if !full && len(c.Reasons) > cardReasons {
		c.Reasons, c.MoreReasons = c.Reasons[:cardReasons], len(c.Reasons)-cardReasons
	}
	for _, r := range a.Rows {
		switch {
		case r.Standing == sync.LeftOut:
		case len(c.Dots) < mostDots:
			c.Dots = append(c.Dots, r.Standing)
		default:
			c.MoreDots++
		}
		rows, more := &c.Rows, &c.MoreRows
		if plain(r) {
			rows, more = &c.Plain, &c.MorePlain
		}
		if full || len(*rows) < cardRows {
			*rows = append(*rows, r)
		} else {
			*more++
		}
	}
	c.PlainWord = fmt.Sprintf("%d serving", len(c.Plain)+c.MorePlain)
	if a.count(sync.Serving) > len(c.Plain)+c.MorePlain {
		c.PlainWord = fmt.Sprintf("%d more serving", len(c.Plain)+c.MorePlain)
	}
	trouble := a.Status == sync.Failed || a.Status == sync.Held
	if !a.Changed.IsZero() {
		c.Notes = append(c.Notes, note{"Last change", a.Change, a.Changed})
	}
	if !a.Failed.IsZero() && !trouble {
		c.Notes = append(c.Notes, note{"Last trouble", a.Failure, a.Failed})
	}
	if !a.OK.IsZero() && trouble {
		c.Notes = append(c.Notes, note{Label: "Last OK", At: a.OK})
	}
	return c
}

// tones are the CSS classes that colour a status.
var tones = map[sync.Status]string{
	sync.Failed: "bad", sync.Held: "warn", sync.NotServing: "warn",
	sync.Pending: "busy", sync.Changed: "busy", sync.InStep: "good", unknown: "none",
}
