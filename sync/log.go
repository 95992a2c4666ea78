package sync

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// stillAfter is how often a cause that lasts is logged again.
const stillAfter = time.Hour

// Chronicle logs the passes of a run: each change, and each cause of trouble when
// it begins, when it changes, once an hour while it lasts, and when it ends. Its
// zero value is of no pass yet.
type Chronicle struct {
	troubles map[string]*episode
	notes    map[string]time.Time // when each was last logged
	gists    map[Place]string     // how each app was found
}

// episode is a trouble that lasts.
type episode struct {
	Trouble
	began, logged time.Time
	passes        int
}

// Log writes what there is to say of a pass that ended at the given time, and says
// whether there was anything: changes made, trouble that began, changed or ended,
// or an app whose status or plan is another than before.
func (c *Chronicle) Log(ctx context.Context, log *slog.Logger, r Result, at time.Time) (news bool) {
	news = c.troubles == nil // the first pass
	if news {
		c.troubles, c.notes, c.gists = map[string]*episode{}, map[string]time.Time{}, map[Place]string{}
	}
	for _, o := range r.Outcomes {
		for _, d := range o.Done {
			if d.Made() {
				news = true
				log.InfoContext(ctx, kinds[d.Op].done, append(o.attrs(), d.attrs()...)...)
			}
		}
		place, gist := Place{o.App.Name, o.NetScaler}, o.gist()
		news = news || c.gists[place] != gist
		c.gists[place] = gist
	}
	news = c.logTroubles(ctx, log, r, at) || news
	c.logNotes(ctx, log, r, at)
	if end := []any{"summary", r.Summary(), "took", Short(r.Took)}; news {
		log.InfoContext(ctx, "pass ended", end...)
	} else {
		log.DebugContext(ctx, "pass ended", end...)
	}
	return news
}

// gist is how an app was found, in the same words while it stays so.
func (o Outcome) gist() string {
	gist := string(o.Status())
	if o.Done == nil {
		for _, c := range o.Plan.Changes {
			gist += fmt.Sprintf("\n%v %s %d %d", c.Op, Subject(c), c.Weight, c.Order)
		}
	}
	return gist
}

// logTroubles says whether there is news of any.
func (c *Chronicle) logTroubles(ctx context.Context, log *slog.Logger, r Result, at time.Time) (news bool) {
	now, failing := map[string]bool{}, map[string]bool{}
	for _, t := range r.Troubles() {
		key := t.key()
		now[key], failing[t.message()+" "+t.Name] = true, true
		e := c.troubles[key]
		begins := e == nil
		if begins {
			e = &episode{began: at}
			c.troubles[key] = e
		}
		e.Trouble, e.passes = t, e.passes+1
		if begins || at.Sub(e.logged) >= stillAfter {
			news, e.logged = true, at
			e.log(ctx, log, at)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.troubles)) {
		if e := c.troubles[key]; !now[key] && e.looked(r) {
			news = true
			delete(c.troubles, key)
			if e.Name != "" && failing[e.message()+" "+e.Name] {
				continue // for another reason now, which was logged
			}
			log.InfoContext(ctx, "over: "+e.message(), append(e.attrs(), "lasted", Short(at.Sub(e.began)), "passes", e.passes)...)
		}
	}
	return news
}

func (e *episode) log(ctx context.Context, log *slog.Logger, at time.Time) {
	attrs := e.attrs()
	if e.Cause != "" {
		attrs = append(attrs, "error", e.Cause)
	}
	if e.passes > 1 {
		attrs = append(attrs, "lasts", Short(at.Sub(e.began)), "passes", e.passes)
	}
	if e.Held {
		log.WarnContext(ctx, e.message(), attrs...)
	} else {
		log.ErrorContext(ctx, e.message(), attrs...)
	}
}

// message is what the log and the runbook call the trouble.
func (t Trouble) message() string {
	if t.Of != OfApp {
		return string(t.Of) + " " + t.What
	}
	return t.What
}

// attrs are the attributes of a log line about a trouble.
func (t Trouble) attrs() (attrs []any) {
	if t.Name != "" {
		attrs = append(attrs, string(t.Of), t.Name)
	}
	switch apps := t.Apps(); len(apps) {
	case 0:
	case 1:
		attrs = append(attrs, "app", apps[0])
	default:
		attrs = append(attrs, "apps", someOf(apps))
	}
	if len(t.Members) > 0 {
		attrs = append(attrs, "members", someOf(t.Members))
	}
	return attrs
}

// key is what a trouble is about, whichever way it reads from pass to pass.
func (t Trouble) key() string {
	return t.message() + " " + t.Name + " " + steady(t.Cause)
}

// steady is text without its numbers, which change from pass to pass: how long
// something took, and when.
func steady(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return '#'
		}
		return r
	}, text)
}

// looked: the pass asked what the trouble is of, so that its absence says that
// it is over.
func (e *episode) looked(r Result) bool {
	switch e.Of {
	case OfSource:
		_, asked := r.Sources[e.Name]
		return asked
	case OfNetScaler:
		_, asked := r.NetScalers[e.Name]
		return asked
	}
	return slices.ContainsFunc(r.Outcomes, func(o Outcome) bool { return slices.Contains(e.Places, Place{o.App.Name, o.NetScaler}) })
}

// logNotes logs the notes that were not logged within the last hour.
func (c *Chronicle) logNotes(ctx context.Context, log *slog.Logger, r Result, at time.Time) {
	maps.DeleteFunc(c.notes, func(_ string, logged time.Time) bool { return at.Sub(logged) >= stillAfter })
	for _, o := range r.Outcomes {
		for _, note := range o.Notes {
			key := o.App.Name + " " + o.NetScaler + " " + note
			if _, said := c.notes[key]; said {
				continue
			}
			c.notes[key] = at
			log.InfoContext(ctx, "note", append(o.attrs(), "note", OneLine(note))...)
		}
	}
}

func (o Outcome) attrs() []any {
	return []any{"app", o.App.Name, "netscaler", o.NetScaler, "group", o.App.Group}
}

func (d Done) attrs() []any {
	attrs := []any{"member", d.Addr.String()}
	switch {
	case !ofMember(d.Op):
		attrs = []any{"what", Subject(d.Change)}
	case d.Weight > 0:
		attrs = append(attrs, "weight", d.Weight)
	}
	if d.Order > 0 {
		attrs = append(attrs, "order", d.Order)
	}
	if d.Why != "" {
		attrs = append(attrs, "why", OneLine(d.Why))
	}
	if d.Took > 0 {
		attrs = append(attrs, "took", Short(d.Took))
	}
	return attrs
}
