package observe

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"nitrox/sync"
)

// What the page shows at once; the rest is a link away.
const (
	fullCards   = 25 // apps of a section with more than a line
	cardRows    = 12 // members of one of many apps that are not simply serving, and that are
	cardReasons = 4
	mostDots    = 60 // members drawn as dots
)

// view is what the page shows; the template only lays it out.
type view struct {
	Now      time.Time
	Version  string
	DryRun   bool
	Refresh  int // seconds
	Title    string
	Headline string
	Tone     string // good, busy or bad
	Alive    string // why the loop seems to have stopped
	Pass     string // about the last pass
	Ended    time.Time
	Tiles    []tile
	Boxes    []group // NetScalers and sources
	App      string  // the filter
	Status   string
	Filtered string // what the filter leaves
	Sections []section
}

type tile struct {
	Status, Label string
	N             int
	Chosen        bool
	Link          string
}

// group is the NetScalers, or the sources.
type group struct {
	Title string
	Boxes []box
}

type box struct {
	Name, Tone, Word, Err string
	Since                 time.Time
	Notes                 []note
}

// note is a fact with a time.
type note struct {
	Label, Text string
	At          time.Time
}

// section is a part of the apps: cards, and further ones as lines.
type section struct {
	ID, Title string
	Open      bool // the lines are shown at once
	Cards     []card
	Lines     []card
}

// card is an app on a NetScaler.
type card struct {
	app
	Tone, Word  string
	Link        string
	Counts      string
	Dots        []State
	MoreDots    int
	Reasons     []string
	MoreReasons int
	Rows        []row // those that are not simply serving
	MoreRows    int
	Calm        []row // the others
	MoreCalm    int
	Served      int
	Full        bool // nothing is left out
	Stale       bool
	Notes       []note
}

func (o *Observer) page(w http.ResponseWriter, r *http.Request) {
	s := o.snapshot()
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, s.view(time.Now(), r.URL.Query())); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w) // who asked has left
}

// view is the state as the page shows it to whoever asks for some of the apps.
func (s *state) view(now time.Time, query url.Values) view {
	v := view{
		Now: now, Version: s.Version, DryRun: s.dryRun, Refresh: int(min(max(s.Every/2, 5*time.Second), 30*time.Second) / time.Second),
		App: strings.TrimSpace(query.Get("app")), Status: query.Get("status"),
	}
	if err := s.alive(now); err != nil {
		v.Alive = line(err.Error())
	}
	all := s.list()
	counts := map[string]int{}
	for _, a := range all {
		counts[word(a.Status)]++
	}
	for _, w := range statuses {
		if n := counts[w.word]; n > 0 || w.word != "unknown" && w.word != "pending" {
			link := url.Values{"status": {w.word}}
			if v.Status == w.word {
				link = url.Values{}
			}
			v.Tiles = append(v.Tiles, tile{Status: w.word, Label: label(w.word), N: n, Chosen: v.Status == w.word, Link: "?" + link.Encode()})
		}
	}
	v.Headline, v.Tone = s.headline(len(all), counts)
	if v.Alive != "" {
		v.Headline, v.Tone = "The loop has stopped", "bad"
	}
	v.Title = v.Headline + " – Nitrox"
	if !s.finished.IsZero() {
		v.Ended = s.finished
		v.Pass = "took " + short(s.took)
		var parts []string
		for _, p := range phasesOf(s.phases, 0) {
			if p.took >= time.Millisecond {
				parts = append(parts, p.name+" "+short(p.took))
			}
		}
		if len(parts) > 0 {
			v.Pass += " (" + strings.Join(parts, ", ") + ")"
		}
	}
	v.Boxes = s.boxes()
	v.Sections, v.Filtered = sections(all, v.App, v.Status)
	return v
}

func word(status sync.Status) string {
	for _, w := range statuses {
		if w.status == status {
			return w.word
		}
	}
	return string(status)
}

func label(word string) string {
	if word == "unknown" {
		return "not looked at yet"
	}
	return strings.ReplaceAll(word, "_", " ")
}

// headline says in a few words how things are.
func (s *state) headline(all int, counts map[string]int) (text, tone string) {
	trouble := counts["failed"] + counts["held"]
	var broken []string
	netscalers, sources := s.named()
	for _, name := range netscalers {
		if s.netscalers[name].Err != "" {
			broken = append(broken, "NetScaler "+name)
		}
	}
	for _, name := range sources {
		if s.sources[name].Err != "" {
			broken = append(broken, "source "+name)
		}
	}
	switch {
	case s.finished.IsZero():
		return "The first pass is under way", "busy"
	case trouble > 0 && len(broken) == 1:
		return fmt.Sprintf("%d of %s in trouble; %s failed", trouble, plural(all, "service group"), broken[0]), "bad"
	case trouble > 0:
		return fmt.Sprintf("%d of %s in trouble", trouble, plural(all, "service group")), "bad"
	case len(broken) > 0:
		return strings.Join(broken, ", ") + " failed", "bad"
	case counts["pending"] > 0:
		return fmt.Sprintf("%d of %s with changes that are not made", counts["pending"], plural(all, "service group")), "busy"
	case all == 0:
		return "The mapping has no apps", "busy"
	case counts["unknown"] > 0:
		return fmt.Sprintf("%d of %s not looked at yet", counts["unknown"], plural(all, "service group")), "busy"
	case all == 1:
		return "The service group is in step", "good"
	}
	return fmt.Sprintf("All %s in step", plural(all, "service group")), "good"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// boxes are the NetScalers and the sources with their health.
func (s *state) boxes() []group {
	feeds := map[string]int{}
	serves := map[string]int{}
	for _, a := range s.Apps {
		var names []string
		for _, from := range a.From {
			names = append(names, from.Source)
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			feeds[name]++
		}
		for _, name := range a.NetScalers {
			serves[name]++
		}
	}
	netscalers, sources := s.named()
	all := []group{{Title: "NetScalers"}, {Title: "Sources"}}
	for _, name := range netscalers {
		h := s.netscalers[name]
		b := boxOf(name, h)
		b.Notes = append([]note{{Text: plural(serves[name], "service group")}}, b.Notes...)
		if !h.Saved.IsZero() {
			b.Notes = append(b.Notes, note{Label: "last save", At: h.Saved})
		}
		all[0].Boxes = append(all[0].Boxes, b)
	}
	for _, name := range sources {
		b := boxOf(name, s.sources[name])
		b.Notes = append([]note{{Text: plural(feeds[name], "app")}}, b.Notes...)
		if stream, known := s.streams[name]; known {
			word := "events arrive since"
			if !stream.Up {
				word = "no events since"
			}
			b.Notes = append(b.Notes, note{Label: word, At: stream.Since})
		}
		all[1].Boxes = append(all[1].Boxes, b)
	}
	return all
}

func boxOf(name string, h health) box {
	b := box{Name: name, Tone: "good", Word: "well", Err: h.Err, Since: h.Since}
	switch {
	case h.Asked.IsZero():
		b.Tone, b.Word = "busy", "not asked yet"
	case h.Err != "":
		b.Tone, b.Word = "bad", "failing"
		last := note{Label: "last well", At: h.OK}
		if h.OK.IsZero() {
			last = note{Text: "never well since the start"}
		}
		b.Notes = append(b.Notes, last)
	}
	return b
}

// sections are the apps that the filter leaves, those in trouble first. A
// single app is shown with all that is known of it.
func sections(all []app, name, status string) (out []section, filtered string) {
	var chosen []app
	for _, a := range all {
		if (name == "" || strings.Contains(strings.ToLower(a.Name), strings.ToLower(name))) && (status == "" || word(a.Status) == status) {
			chosen = append(chosen, a)
		}
	}
	exact := func(a app) bool { return a.Name == name }
	if slices.ContainsFunc(chosen, exact) {
		chosen = slices.DeleteFunc(chosen, func(a app) bool { return !exact(a) })
	}
	if name != "" || status != "" {
		filtered = fmt.Sprintf("%d of %s", len(chosen), plural(len(all), "service group"))
	}
	one := len(chosen) > 0 && !slices.ContainsFunc(chosen, func(a app) bool { return a.Name != chosen[0].Name })
	if name != "" && one {
		s := section{Title: "App " + chosen[0].Name}
		for _, a := range chosen {
			s.Cards = append(s.Cards, cardOf(a, true))
		}
		return []section{s}, filtered
	}
	parts := []section{{ID: "trouble", Title: "In trouble"}, {ID: "motion", Title: "In motion"}, {ID: "step", Title: "In step"}, {ID: "unknown", Title: "Not looked at yet"}}
	urgency := func(a app) int {
		return slices.IndexFunc(statuses, func(w statusWord) bool { return w.status == a.Status })
	}
	slices.SortStableFunc(chosen, func(a, b app) int {
		return cmp.Or(cmp.Compare(urgency(a), urgency(b)), cmp.Compare(b.count(Down), a.count(Down)))
	})
	for _, a := range chosen {
		part := &parts[place4(a)]
		if part.ID != "step" && part.ID != "unknown" && len(part.Cards) < fullCards {
			part.Cards = append(part.Cards, cardOf(a, false))
		} else {
			part.Lines = append(part.Lines, cardOf(a, false))
		}
	}
	for _, part := range parts {
		part.Open = status != "" || len(part.Lines) <= 10
		if len(part.Cards)+len(part.Lines) > 0 {
			out = append(out, part)
		}
	}
	return out, filtered
}

// place4 is the section of an app: trouble, motion, in step, or unknown.
func place4(a app) int {
	switch {
	case a.Status == sync.Failed, a.Status == sync.Held:
		return 0
	case a.Status == sync.Pending, a.Status == sync.Changed, slices.ContainsFunc(a.Rows, func(r row) bool { return r.State == Draining || r.State == Uncertain }):
		return 1
	case a.Status == "":
		return 3
	}
	return 2
}

func cardOf(a app, full bool) card {
	c := card{
		app: a, Word: label(word(a.Status)), Tone: tones[a.Status],
		Link: "?" + url.Values{"app": {a.Name}}.Encode(), Reasons: a.Failures, Full: full,
		Stale: !a.Seen.IsZero() && a.Seen.Before(a.Looked),
	}
	if a.Status == sync.InStep && a.count(Down) > 0 {
		c.Tone = "warn"
	}
	if a.Paused {
		c.Word = "paused, " + c.Word
	}
	n := map[State]int{}
	for _, r := range a.Rows {
		n[r.State]++
		if r.State == LeftOut {
			continue
		}
		if len(c.Dots) < mostDots {
			c.Dots = append(c.Dots, r.State)
		} else {
			c.MoreDots++
		}
	}
	var counts []string
	for _, state := range append([]State{Serving}, states...) {
		if n[state] > 0 || state == Serving && !a.Seen.IsZero() && len(counts) == 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n[state], state))
			delete(n, state)
		}
	}
	c.Counts = strings.Join(slices.Compact(counts), " · ")
	if !full && len(c.Reasons) > cardReasons {
		c.Reasons, c.MoreReasons = c.Reasons[:cardReasons], len(c.Reasons)-cardReasons
	}
	for _, r := range a.Rows {
		rows, more := &c.Rows, &c.MoreRows
		if r.State == Serving {
			rows, more = &c.Calm, &c.MoreCalm
		}
		if full || len(*rows) < cardRows {
			*rows = append(*rows, r)
		} else {
			*more++
		}
	}
	c.Served = len(c.Calm) + c.MoreCalm
	if !a.Changed.IsZero() {
		c.Notes = append(c.Notes, note{"Last change", a.Change, a.Changed})
	}
	if !a.Failed.IsZero() && a.Status != sync.Failed && a.Status != sync.Held {
		c.Notes = append(c.Notes, note{"Last trouble", a.Failure, a.Failed})
	}
	if (a.Status == sync.Failed || a.Status == sync.Held) && !a.OK.IsZero() {
		c.Notes = append(c.Notes, note{Label: "Last well", At: a.OK})
	}
	return c
}

var tones = map[sync.Status]string{sync.Failed: "bad", sync.Held: "warn", sync.Pending: "busy", sync.Changed: "busy", sync.InStep: "good", "": "none"}

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"ago":   func(now, at time.Time) string { return short(max(0, now.Sub(at).Round(time.Second))) + " ago" },
	"since": func(now, at time.Time) string { return short(max(0, now.Sub(at).Round(time.Second))) },
	"stamp": func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") },
	"iso":   func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
	"class": func(s State) string { return strings.ReplaceAll(string(s), " ", "-") },
	// What other templates get beside the present time.
	"when": func(now, at time.Time) map[string]time.Time { return map[string]time.Time{"Now": now, "At": at} },
	"card": func(now time.Time, c card) map[string]any { return map[string]any{"Now": now, "Card": c} },
}).ParseFS(files, "page.html"))
