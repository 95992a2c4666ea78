package observe

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"nitrox/sources"
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
	Tone     string // good, busy, warn or bad
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

// tile is how many apps have a status.
type tile struct {
	Label, Tone, Link string
	N                 int
	Chosen            bool
}

// tileOf has a link to the apps of the status; name is what else they are chosen by.
func tileOf(status sync.Status, name string, n int) tile {
	chosen := url.Values{"status": {oneWord(label(status))}}
	if name != "" {
		chosen.Set("app", name)
	}
	return tile{Label: label(status), Tone: tones[status], Link: "?" + chosen.Encode(), N: n}
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

// page answers that nothing has changed to whoever has the page as it is. Ages go
// on in the meantime, so that is no answer for longer than a minute.
func (o *Observer) page(w http.ResponseWriter, r *http.Request) {
	s, now := o.snapshot(), time.Now()
	edition := fmt.Sprintf(`W/"%x-%x-%x-%t"`, s.born.UnixNano(), s.edition, now.Unix()/60, s.alive(now) == nil)
	w.Header().Set("ETag", edition)
	w.Header().Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == edition {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, s.view(now, r.URL.Query())); err != nil {
		w.Header().Del("ETag")
		http.Error(w, "cannot make the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error below: who asked has left.
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = page.WriteTo(z)
		_ = z.Close()
		return
	}
	_, _ = page.WriteTo(w)
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
	counts := map[sync.Status]int{}
	for _, a := range all {
		counts[a.Status]++
	}
	for _, status := range statuses {
		if n := counts[status]; n > 0 || status != unknown && status != sync.Pending {
			t := tileOf(status, "", n)
			if v.Status == oneWord(label(status)) {
				t.Chosen, t.Link = true, "?"
			}
			v.Tiles = append(v.Tiles, t)
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

// takesGzip reads an Accept-Encoding.
func takesGzip(accept string) bool {
	for coding := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(cmp.Or(weight, "q=1"), "q="), 64)
			return err == nil && q > 0
		}
	}
	return false
}

// label is a status in words.
func label(status sync.Status) string { return cmp.Or(string(status), "unknown") }

// headline says in a few words how things are.
func (s *state) headline(all int, counts map[sync.Status]int) (text, tone string) {
	of := func(n int) string { return fmt.Sprintf("%d of %s", n, sources.Count(all, "service group")) }
	trouble := counts[sync.Failed] + counts[sync.Held]
	var broken []string
	appliances, feeders := s.named()
	for _, name := range appliances {
		if s.netscalers[name].Err != "" {
			broken = append(broken, "NetScaler "+name)
		}
	}
	for _, name := range feeders {
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
		return of(trouble) + " in trouble; " + broken[0] + " failed", "bad"
	case trouble > 0:
		return of(trouble) + " in trouble", "bad"
	case len(broken) > 0:
		return strings.Join(broken, ", ") + " failed", "bad"
	case counts[sync.NotServing] > 0:
		return of(counts[sync.NotServing]) + " not serving", "warn"
	case counts[sync.Pending] > 0:
		return of(counts[sync.Pending]) + " would change", "busy"
	case all == 0:
		return "The mapping has no apps", "busy"
	case counts[unknown] > 0:
		return of(counts[unknown]) + " still unknown", "busy"
	case all == 1:
		return "The service group is in step", "good"
	}
	return fmt.Sprintf("All %s in step", sources.Count(all, "service group")), "good"
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
	appliances, feeders := s.named()
	all := []group{{Title: "NetScalers"}, {Title: "Sources"}}
	for _, name := range appliances {
		h := s.netscalers[name]
		b := boxOf(name, h)
		b.Notes = append([]note{{Text: sources.Count(serves[name], "service group")}}, b.Notes...)
		if !h.Saved.IsZero() {
			b.Notes = append(b.Notes, note{Label: "last save", At: h.Saved})
		}
		all[0].Boxes = append(all[0].Boxes, b)
	}
	for _, name := range feeders {
		b := boxOf(name, s.sources[name])
		b.Notes = append([]note{{Text: sources.Count(feeds[name], "app")}}, b.Notes...)
		if stream, known := s.streams[name]; known {
			word := "event stream opened"
			if !stream.Up {
				word = "event stream ended"
			}
			b.Notes = append(b.Notes, note{Label: word, At: stream.Since})
		}
		all[1].Boxes = append(all[1].Boxes, b)
	}
	return all
}

func boxOf(name string, h health) box {
	b := box{Name: name, Tone: "good", Word: "OK", Err: h.Err, Since: h.Since}
	switch {
	case h.Asked.IsZero():
		b.Tone, b.Word = "busy", "not asked yet"
	case h.Err != "":
		b.Tone, b.Word = "bad", "failing"
		if h.OK.IsZero() {
			b.Notes = append(b.Notes, note{Text: "never OK since Nitrox started"})
		}
	}
	if b.Tone != "good" && !h.OK.IsZero() {
		b.Notes = append(b.Notes, note{Label: "last OK", At: h.OK})
	}
	return b
}

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"plural": sources.Count,
	"short":  sync.Short,
	"ago":    func(now, at time.Time) string { return sync.Short(max(0, now.Sub(at).Round(time.Second))) + " ago" },
	"since":  func(now, at time.Time) string { return sync.Short(max(0, now.Sub(at).Round(time.Second))) },
	"stamp":  func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") },
	"iso":    func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
	"class":  func(s sync.Standing) string { return oneWord(s.String()) },
	// What other templates get beside the present time.
	"when": func(now, at time.Time) map[string]time.Time { return map[string]time.Time{"Now": now, "At": at} },
	"card": func(now time.Time, c card) map[string]any { return map[string]any{"Now": now, "Card": c} },
}).ParseFS(files, "page.html"))
