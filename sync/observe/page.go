package observe

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"nitrox/sync"
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
		v.Alive = sync.OneLine(err.Error())
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
		v.Pass = "took " + sync.Short(s.took)
		var parts []string
		for _, p := range phasesOf(s.phases, 0) {
			if p.took >= time.Millisecond {
				parts = append(parts, p.name+" "+sync.Short(p.took))
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
	case s.standby:
		return "Standing by: another replica leads", "busy"
	case s.finished.Before(s.born):
		return "The first pass is under way", "busy"
	case trouble > 0 && len(broken) == 1:
		return fmt.Sprintf("%d of %s in trouble; %s failed", trouble, sync.Count(all, "service group"), broken[0]), "bad"
	case trouble > 0:
		return fmt.Sprintf("%d of %s in trouble", trouble, sync.Count(all, "service group")), "bad"
	case len(broken) > 0:
		return strings.Join(broken, ", ") + " failed", "bad"
	case counts["pending"] > 0:
		return fmt.Sprintf("%d of %s with changes that are not made", counts["pending"], sync.Count(all, "service group")), "busy"
	case all == 0:
		return "The mapping has no apps", "busy"
	case counts["unknown"] > 0:
		return fmt.Sprintf("%d of %s not looked at yet", counts["unknown"], sync.Count(all, "service group")), "busy"
	case all == 1:
		return "The service group is in step", "good"
	}
	return fmt.Sprintf("All %s in step", sync.Count(all, "service group")), "good"
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
		b.Notes = append([]note{{Text: sync.Count(serves[name], "service group")}}, b.Notes...)
		if !h.Saved.IsZero() {
			b.Notes = append(b.Notes, note{Label: "last save", At: h.Saved})
		}
		all[0].Boxes = append(all[0].Boxes, b)
	}
	for _, name := range sources {
		b := boxOf(name, s.sources[name])
		b.Notes = append([]note{{Text: sync.Count(feeds[name], "app")}}, b.Notes...)
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

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"plural": sync.Count,
	"ago":    func(now, at time.Time) string { return sync.Short(max(0, now.Sub(at).Round(time.Second))) + " ago" },
	"since":  func(now, at time.Time) string { return sync.Short(max(0, now.Sub(at).Round(time.Second))) },
	"stamp":  func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") },
	"iso":    func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
	"class":  func(s sync.Standing) string { return strings.ReplaceAll(s.String(), " ", "-") },
	// What other templates get beside the present time.
	"when": func(now, at time.Time) map[string]time.Time { return map[string]time.Time{"Now": now, "At": at} },
	"card": func(now time.Time, c card) map[string]any { return map[string]any{"Now": now, "Card": c} },
}).ParseFS(files, "page.html"))
