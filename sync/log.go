package sync

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"time"
)

const (
	// stillAfter is how often a cause that lasts is logged again.
	stillAfter = time.Hour
	// calm is how long a trouble that came back within stillAfter must be gone
	// to be over: what comes and goes is not worth a line each time.
	calm = 10 * time.Minute
	// fewCauses is how many causes of one trouble are logged within stillAfter.
	fewCauses = 5
)

// Chronicle logs the passes of a run: each change, and each trouble when it
// begins, when its cause changes, once an hour while it lasts, and when it is
// over. Its zero value is of no pass yet.
type Chronicle struct {
	troubles map[string]*episode
	notes    recent                      // when each, or a change that failed, was last logged
	swept    time.Time                   // when those of the last hour were sorted out
	gists    map[Place][sha256.Size]byte // how each app was found
}

// episode is a trouble that lasts, or is over since less than stillAfter.
type episode struct {
	Trouble
	began  time.Time
	seen   time.Time            // in which pass it was last met
	gone   time.Time            // in which it was not, for the first time since; zero: it is there
	left   []Place              // that it harmed when last met, and that were not looked at since
	said   map[string]time.Time // when each cause, or harm to an app, was last logged
	passes int
	again  bool // it had been over, and has come back
	over   bool
}

// Log writes what there is to say of a pass that ended at the given time, and says
// whether there was anything: changes made, trouble that began, changed or ended,
// or an app whose status or plan is another than before.
func (c *Chronicle) Log(ctx context.Context, log *slog.Logger, r Result, at time.Time) (news bool) {
	news = c.troubles == nil // the first pass
	if news {
		c.troubles, c.notes, c.gists = map[string]*episode{}, recent{}, map[Place][sha256.Size]byte{}
	}
	if at.Sub(c.swept) >= stillAfter { // not in each pass: there may be one for each app
		c.swept = at
		c.notes.forget(at)
	}
	run := r.Run.attrs()
	for _, o := range r.Outcomes {
		var h heard
		if len(o.Done) > 0 {
			h = o.heard()
		}
		for _, d := range o.Done {
			switch attrs := slices.Concat(o.attrs(), d.attrs(), o.traces(d, h), run); {
			case d.Made():
				news = true
				log.InfoContext(ctx, kinds[d.Op].done, attrs...)
			case d.Took > 0 && c.notes.fresh(fmt.Sprintln(o.place(), d.Op, Subject(*d.Change), steady(text(d.Err))), at):
				// What it means for the app its trouble says.
				log.InfoContext(ctx, "change failed", append(attrs, "error", text(d.Err))...)
			}
		}
		place, gist := o.place(), o.gist()
		if o.troubled() && (o.Done != nil || len(o.Plan.Changes) == 0) {
			continue // what is the matter its trouble says, and how the app is the next pass
		}
		news = news || c.gists[place] != gist
		c.gists[place] = gist
	}
	news = c.logTroubles(ctx, log, r, at) || news
	c.logNotes(ctx, log, r, at)
	if end := append([]any{"summary", r.Summary(), "took", Short(r.Took)}, run...); news {
		log.InfoContext(ctx, "pass ended", end...)
	} else {
		log.DebugContext(ctx, "pass ended", end...)
	}
	return news
}

// gist is how an app was found, the same while it stays so: a digest, since there
// is one for as long as the program runs.
func (o Outcome) gist() (gist [sha256.Size]byte) {
	h := sha256.New()
	fmt.Fprint(h, o.Status())
	if o.Done == nil {
		for _, c := range o.Plan.Changes {
			fmt.Fprintf(h, "\n%v %s %d %d", c.Op, Subject(c), c.Weight, c.Order)
		}
	}
	h.Sum(gist[:0])
	return gist
}

// troubled: a trouble says what is the matter with the app.
func (o Outcome) troubled() bool { return o.Status() == Failed || o.Status() == Held }

// logTroubles says whether there is news of any.
func (c *Chronicle) logTroubles(ctx context.Context, log *slog.Logger, r Result, at time.Time) (news bool) {
	looked := map[Place]bool{}
	for _, o := range r.Outcomes {
		looked[o.place()] = true
	}
	for _, t := range r.Troubles() {
		e := c.troubles[t.key()]
		if e == nil || e.over {
			e = &episode{began: at, said: map[string]time.Time{}, again: e != nil}
			c.troubles[t.key()] = e
		}
		if fresh := e.meet(t, looked, at); fresh != nil {
			news = true
			e.log(ctx, log, *fresh, at, r.Run)
		}
	}
	var over []string
	for key, e := range c.troubles {
		switch {
		case e.over && at.Sub(e.gone) >= stillAfter:
			delete(c.troubles, key)
		case e.miss(r, looked, at):
			over = append(over, key)
		}
	}
	slices.Sort(over)
	for _, key := range over {
		e := c.troubles[key]
		log.InfoContext(ctx, "over: "+e.message(), append(e.attrs(), "lasted", Short(e.gone.Sub(e.began)), "passes", e.passes)...)
	}
	return news || len(over) > 0
}

// meet notes that a pass met the trouble, and returns what of it is to be logged.
// Apps that the pass did not look at are harmed as before.
func (e *episode) meet(t Trouble, looked map[Place]bool, at time.Time) (fresh *Trouble) {
	places := e.Places
	if e.seen != at {
		e.passes++
		places = slices.DeleteFunc(places, func(p Place) bool { return looked[p] })
	}
	places = append(places, t.Places...)
	e.Trouble, e.seen, e.gone = t, at, time.Time{}
	e.Places, e.left = places, slices.Clone(places)

	maps.DeleteFunc(e.said, func(_ string, said time.Time) bool { return at.Sub(said) >= stillAfter })
	say := func(what string) bool {
		_, said := e.said[what]
		if !said {
			e.said[what] = at
		}
		return !said
	}
	if t.Of == OfApp {
		t.Places = slices.DeleteFunc(slices.Clone(t.Places), func(p Place) bool { return !say(p.App + " " + p.NetScaler) })
		if len(t.Places) > 0 {
			return &t
		}
		return nil
	}
	if len(e.said) < fewCauses && say(steady(t.Cause)) {
		return &t
	}
	return nil
}

// miss notes that a pass did not meet the trouble, and says whether it is over
// with that. A pass that did not look where it was says nothing of it.
func (e *episode) miss(r Result, looked map[Place]bool, at time.Time) bool {
	if e.over || e.seen == at {
		return false
	}
	asked := true
	switch e.Of {
	case OfSource:
		_, asked = r.Sources[e.Name]
	case OfNetScaler:
		_, asked = r.NetScalers[e.Name]
	case OfFile: // each pass has them all
	default:
		e.left = slices.DeleteFunc(e.left, func(p Place) bool { return looked[p] })
		asked = len(e.left) == 0
	}
	if !asked {
		return false
	}
	if e.gone.IsZero() {
		e.gone = at
	}
	e.over = !e.again || at.Sub(e.gone) >= calm
	return e.over
}

// log writes of the trouble what is to be logged now.
func (e *episode) log(ctx context.Context, log *slog.Logger, t Trouble, at time.Time, run Run) {
	attrs := t.attrs()
	if t.Cause != "" {
		attrs = append(attrs, "error", t.Cause)
	}
	if e.passes > 1 {
		attrs = append(attrs, "lasts", Short(at.Sub(e.began)), "passes", e.passes)
	}
	attrs = append(attrs, run.attrs()...)
	if t.Held {
		log.WarnContext(ctx, t.message(), attrs...)
	} else {
		log.ErrorContext(ctx, t.message(), attrs...)
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

// key is what a trouble is about, whichever way it reads from pass to pass. A
// source or NetScaler that fails has one trouble, for whatever causes.
func (t Trouble) key() string {
	if t.Of == OfApp {
		return t.message() + ": " + steady(t.Cause)
	}
	return t.message() + " " + t.Name
}

// number is one, or a length of time.
var number = regexp.MustCompile(`([0-9]+(\.[0-9]+)?(ns|µs|ms|s|m|h)?)+`)

// steady is text without its numbers, which change from pass to pass: how long
// something took, and when.
func steady(text string) string { return number.ReplaceAllLiteralString(text, "#") }

// recent is what was said, and when it last was.
type recent map[string]time.Time

// fresh says whether something was not said within the last hour, and notes that it
// is now.
func (r recent) fresh(what string, at time.Time) bool {
	if said, known := r[what]; known && at.Sub(said) < stillAfter {
		return false
	}
	r[what] = at
	return true
}

// forget drops what was said longer ago.
func (r recent) forget(at time.Time) {
	maps.DeleteFunc(r, func(_ string, said time.Time) bool { return at.Sub(said) >= stillAfter })
}

// logNotes logs the notes that were not logged within the last hour.
func (c *Chronicle) logNotes(ctx context.Context, log *slog.Logger, r Result, at time.Time) {
	for _, o := range r.Outcomes {
		for _, note := range o.Notes {
			if !c.notes.fresh(fmt.Sprintln(o.place(), note), at) {
				continue
			}
			log.InfoContext(ctx, "note", append(o.attrs(), "note", OneLine(note))...)
		}
	}
}

func (o Outcome) place() Place { return Place{o.App.Name, o.NetScaler} }

func (o Outcome) attrs() []any {
	return []any{"app", o.App.Name, "netscaler", o.NetScaler, "group", o.App.Group}
}

func (d Done) attrs() []any {
	attrs := []any{"member", d.Addr.String()}
	switch {
	case !ofMember(d.Op):
		attrs = []any{"what", Subject(*d.Change)}
	case d.Weight > 0:
		attrs = append(attrs, "weight", d.Weight)
	}
	if d.Order > 0 {
		attrs = append(attrs, "order", d.Order)
	}
	if why := reason(*d.Change); why != "" {
		attrs = append(attrs, "why", why)
	}
	if d.Took > 0 {
		attrs = append(attrs, "took", Short(d.Took))
	}
	return attrs
}

// traces are the attributes by which a change is traced back, beside those that say
// what it is: from which line of the mapping, by what the sources said, on which node.
func (o Outcome) traces(d Done, h heard) []any {
	outcome := "made"
	if !d.Made() {
		outcome = "failed"
	}
	attrs := []any{"op", d.Op.String(), "outcome", outcome}
	if ofMember(d.Op) {
		attrs = append(attrs, "evidence", h.evidence(d.Addr))
	}
	if o.Node != "" {
		attrs = append(attrs, "node", o.Node)
	}
	if o.App.At != "" {
		attrs = append(attrs, "mapping", o.App.At)
	}
	return attrs
}

// attrs tell the run and the pass of a line.
func (r Run) attrs() []any {
	if r.ID == "" {
		return nil
	}
	return []any{"run", r.ID, "pass", r.Pass, "version", r.Version, "digest", r.Mapping.Digest[:min(12, len(r.Mapping.Digest))]}
}
