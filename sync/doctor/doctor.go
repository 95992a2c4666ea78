// Package doctor looks at all that a run needs, at once, before there is one: what
// nitrox doctor tells. It writes nothing, to no NetScaler and no source.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	gosync "sync"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/examine"
	"nitrox/sources/httpapi"
	"nitrox/sources/nearest"
	"nitrox/sync"
)

// Section is what was looked at of one thing: the mapping, a NetScaler, a source.
type Section struct {
	Name   string
	Checks []examine.Check
}

// Report is all that was looked at.
type Report []Section

// Failed says whether a run would fail.
func (r Report) Failed() bool { return r.count(examine.Failed) > 0 }

func (r Report) count(state examine.State) (n int) {
	for _, s := range r {
		for _, c := range s.Checks {
			if c.State == state {
				n++
			}
		}
	}
	return n
}

// Options are how it is looked.
type Options struct {
	// Watch: runs are to follow events, so that what these need is missed.
	Watch bool
	// Remarks are what the clients log, by NetScaler.
	Remarks map[string]*Remarks
}

// Remarks keeps the warnings of a log, as a client writes them of a build that lacks
// something.
type Remarks struct {
	mu  gosync.Mutex
	all []examine.Check
}

var _ slog.Handler = (*Remarks)(nil)

// WithAttrs and WithGroup are those of [slog.Handler]; what they give does not matter.
func (r *Remarks) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r *Remarks) WithGroup(string) slog.Handler      { return r }

// Enabled is that of [slog.Handler].
func (r *Remarks) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle keeps a warning.
func (r *Remarks) Handle(_ context.Context, record slog.Record) error {
	seen, remedy, _ := strings.Cut(record.Message, "; ")
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			seen += ": " + a.Value.String()
		}
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, examine.Check{Subject: "NITRO", State: examine.Warning, Seen: seen,
		Remedy: cmp.Or(remedy, "a run does without; docs/operate.md explains it")})
	return nil
}

// Examine looks at everything that the syncer's apps need, all at a time. The
// clients must be read-only. It logs out.
func Examine(ctx context.Context, s *sync.Syncer, o Options) (report Report) {
	appliances, polled := map[string]*appliance{}, map[string]*poll{}
	var g gosync.WaitGroup
	for name := range s.NetScalers {
		a := used(name, s)
		appliances[name] = a
		g.Go(func() { a.examine(ctx) })
	}
	for name, source := range s.Sources {
		polled[name] = &poll{name: name, source: source, Options: o}
	}
	answers := make([][]sources.Answer, len(s.Apps)) // by app and entry, as far as they are known
	for at, app := range s.Apps {
		answers[at] = make([]sources.Answer, len(app.From))
		for i, from := range app.From {
			p := polled[from.Source]
			p.entries, p.queries = append(p.entries, entry{app, i, &answers[at][i]}), append(p.queries, from.Query)
		}
	}
	for _, p := range polled {
		g.Go(func() { p.examine(ctx) })
	}
	g.Wait()
	own := map[netip.Addr]string{}
	for _, name := range slices.Sorted(maps.Keys(appliances)) {
		for _, addr := range appliances[name].Client.Addresses() {
			own[addr] = "netscaler " + name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(appliances)) {
		a := appliances[name]
		for at, app := range s.Apps {
			if a.usable && slices.Contains(app.NetScalers, name) {
				a.judge(app, answers[at])
			}
		}
		a.refused()
		if r := o.Remarks[name]; r != nil {
			a.checks = append(a.checks, r.all...)
		}
		report = append(report, Section{"netscaler " + name, a.checks})
	}
	for _, name := range slices.Sorted(maps.Keys(polled)) {
		if checks := polled[name].told(own); len(checks) > 0 { // else no app needs it, as the mapping is told
			report = append(report, Section{"source " + name, checks})
		}
	}
	return report
}

// used is what the apps use a NetScaler for.
func used(name string, s *sync.Syncer) *appliance {
	a := &appliance{NetScaler: s.NetScalers[name]}
	u := &a.use
	u.Save = a.Save
	for _, app := range s.Apps {
		if slices.Contains(app.NetScalers, name) {
			u.Groups = append(u.Groups, app.Group)
			u.Clean = u.Clean || app.Policy.CleanServers
			u.Create = u.Create || app.Create != nil
			u.Order = u.Order || slices.ContainsFunc(app.From, func(f sync.From) bool { return f.Order > 0 })
			if app.Create != nil && app.Create.VServer != nil {
				a.fronts = append(a.fronts, app.Create.VServer.Name)
			}
		}
	}
	for _, d := range s.Discoveries {
		if slices.Contains(d.NetScalers, name) {
			u.Discover = true
			u.Clean = u.Clean || d.App.Policy.CleanServers
			u.Create = u.Create || d.App.Create != nil
		}
	}
	return a
}

// appliance is a NetScaler, and what was seen of it.
type appliance struct {
	*sync.NetScaler
	use    netscaler.Use
	fronts []string // the virtual servers of groups that may have to be made
	checks []examine.Check

	usable   bool
	attrs    netscaler.Attributes
	members  netscaler.Groups
	vservers netscaler.FrontEnds
	trouble  error    // with all groups
	closed   []string // groups that the user may not see
	why      error    // of these
	names    []string // of groups, where one is missing
}

func (a *appliance) examine(ctx context.Context) {
	if len(a.use.Groups) == 0 && !a.use.Discover {
		a.checks = []examine.Check{{Subject: "apps", State: examine.Warning, Seen: "no app names it", Remedy: "remove it from the mapping"}}
		return
	}
	a.checks, a.usable = a.Client.Examine(ctx, a.use)
	if a.usable {
		a.attrs, a.trouble = a.Client.Attributes(ctx, a.use.Groups)
		if a.trouble == nil {
			a.members, a.trouble = a.Client.Read(ctx, a.use.Groups)
		}
		if a.trouble == nil && len(a.fronts) > 0 {
			a.vservers, a.trouble = a.Client.FrontEnds(ctx, a.fronts)
		}
		if slices.ContainsFunc(a.use.Groups, func(g string) bool { _, err := a.attrs.Of(g); return errors.Is(err, netscaler.ErrNoGroup) }) {
			a.names, _ = a.Client.GroupNames(ctx) // for a suggestion; without it there is none
		}
	}
	if err := a.Client.Close(ctx); err != nil {
		a.checks = append(a.checks, examine.Bad(examine.Warning, "log-out", err, "the session ends by itself"))
	}
	if a.trouble != nil {
		a.usable = false
		a.checks = append(a.checks, examine.Fail("service groups", a.trouble, "see show serviceGroup, as the same user"))
	}
}

// judge adds what there is to say of the service group of an app.
func (a *appliance) judge(app sync.App, answers []sources.Answer) {
	if _, err := a.attrs.Of(app.Group); netscaler.NotAuthorized(err) {
		a.closed, a.why = append(a.closed, app.Group), cmp.Or(a.why, err)
		return
	}
	a.checks = append(a.checks, a.group(app, answers))
}

// refused adds what there is to say of the groups that the user may not see.
func (a *appliance) refused() {
	subject := "service group " + strings.Join(a.closed, ", ")
	switch {
	case len(a.closed) == 0:
	case has(a.checks, "rights", examine.Failed):
		a.checks = append(a.checks, examine.Not(subject, "of the missing rights"))
	default:
		a.checks = append(a.checks, examine.Fail(subject, a.why, "allow it by a command policy"))
	}
}

// group is what there is to say of the service group of an app.
func (a *appliance) group(app sync.App, answers []sources.Answer) examine.Check {
	subject := "service group " + app.Group
	if app.Name != app.Group {
		subject += " (app " + app.Name + ")"
	}
	attrs, err := a.attrs.Of(app.Group)
	switch {
	case errors.Is(err, netscaler.ErrNoGroup) && app.Create != nil:
		if v := app.Create.VServer; v != nil {
			front, err := a.vservers.Of(v.Name)
			if err = cmp.Or(err, sync.Makeable(app, front)); err != nil {
				return examine.Fail(subject, err, "see show lb vserver "+v.Name)
			}
		}
		return examine.Fine(subject, "there is none yet; create makes it")
	case errors.Is(err, netscaler.ErrNoGroup):
		return examine.Check{Subject: subject, State: examine.Failed,
			Seen:   "the NetScaler has no such service group" + nearest.DidYouMean(app.Group, a.names),
			Remedy: "correct service_group in the mapping, create the group, or let create: make it"}
	case err != nil:
		return examine.Fail(subject, err, "see show serviceGroup "+app.Group)
	}
	members, err := a.members.Members(app.Group)
	if err != nil {
		return examine.Fail(subject, err, "see show serviceGroup "+app.Group)
	}
	if err := sync.Unsuited(app, attrs, answers); err != nil {
		err = errors.New(strings.TrimPrefix(err.Error(), "service group "+app.Group+": "))
		return examine.Fail(subject, err, "use another service group")
	}
	drain := "members that leave are unbound at once"
	if app.Policy.Drain > 0 {
		drain = "members that leave drain for " + sync.Short(app.Policy.Drain)
	}
	if attrs.Autoscale == "API" {
		drain = "it takes member lists"
	}
	check := examine.Fine(subject, fmt.Sprintf("%s, autoscale %s, %s; %s",
		attrs.ServiceType, attrs.Autoscale, sources.Count(len(members), "member"), drain))
	if odd := sync.Unlike(app, attrs); len(odd) > 0 {
		check = examine.Bad(examine.Warning, subject, errors.New(odd[0]), "see the mapping")
	}
	if attrs.Disabled {
		check.State, check.Seen = examine.Failed, "the service group is disabled as a whole, so nothing in it serves"
		check.Remedy = "enable serviceGroup " + app.Group + ", if it is not meant to be"
	}
	return check
}

// entry is one from entry of an app.
type entry struct {
	app    sync.App
	i      int
	answer *sources.Answer
}

// poll is a source, and what it said.
type poll struct {
	Options
	name    string
	source  sync.Source
	entries []entry
	queries []any
	checks  []examine.Check

	answered bool
	stream   []examine.Check
}

func (p *poll) examine(ctx context.Context) {
	if len(p.queries) == 0 {
		return
	}
	rest := strings.Join(p.apps(), ", ")
	if p.source.Watch != nil {
		rest += ", event stream"
	}
	if p.source.Examine != nil {
		limited, cancel := context.WithTimeout(ctx, p.source.Timeout+connecting)
		defer cancel()
		reachable := false
		if p.checks, reachable = p.source.Examine(limited, p.queries); !reachable {
			p.checks = append(p.checks, examine.Not(rest, "the source cannot be used"))
			return
		}
		for i, c := range p.checks {
			if c.Subject == examine.Watching && p.Watch {
				p.checks[i].State = examine.Failed
			}
		}
	}
	answers, err := p.source.Ask(ctx, p.queries, true)
	if err != nil {
		subject, remedy := "answer", "see what answers there, and why"
		var status *httpapi.StatusError
		switch {
		case errors.As(err, &status) && status.Code/100 == 3:
			remedy = "give the URL of what answers by itself"
		case httpapi.HasCode(err, http.StatusUnauthorized):
			subject = "log-in"
		case httpapi.Forbidden(err) && has(p.checks, "rights", examine.Failed):
			p.checks = append(p.checks, examine.Not(rest, "of the missing rights"))
			return
		}
		p.checks = append(p.checks,
			examine.Fail(subject, err, remedy), examine.Not(rest, "the source does not answer"))
		return
	}
	p.answered = true
	for i, answer := range answers {
		*p.entries[i].answer = answer
	}
	if p.source.Watch != nil {
		p.stream = []examine.Check{p.watch(ctx)}
	}
}

// apps are those that the source is asked about.
func (p *poll) apps() (names []string) {
	for _, e := range p.entries {
		if name := "app " + e.app.Name; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// has says whether there is a check of a subject in a state.
func has(checks []examine.Check, subject string, state examine.State) bool {
	return slices.ContainsFunc(checks, func(c examine.Check) bool { return c.Subject == subject && c.State == state })
}

// connecting is how long an event stream may take to open.
const connecting = 10 * time.Second

// watch opens the event stream, and ends it as soon as it is open.
func (p *poll) watch(ctx context.Context) examine.Check {
	const subject = "event stream"
	ctx, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	opened := errors.New("it is open")
	err := p.source.Watch(ctx, p.queries, func([]int) { end(opened) })
	if errors.Is(context.Cause(ctx), opened) {
		return examine.Fine(subject, "opens")
	}
	if httpapi.Forbidden(err) && (has(p.checks, examine.Watching, examine.Failed) || has(p.checks, examine.Watching, examine.Warning)) {
		return examine.Not(subject, "of the missing rights")
	}
	if err == nil || ctx.Err() != nil {
		err = fmt.Errorf("it did not open within %v", connecting)
	}
	state := examine.Warning
	if p.Watch {
		state = examine.Failed
	}
	return examine.Bad(state, subject, err, "it is only needed for --watch; passes find changes without it, later")
}

// told are all checks of the source. own are the addresses of the NetScalers.
func (p *poll) told(own map[netip.Addr]string) []examine.Check {
	if !p.answered {
		return p.checks
	}
	checks := p.checks
	failed := has(checks, "rights", examine.Failed)
	same := map[string]int{} // where it was said before, by what is said
	var forbidden []string
	for _, e := range p.entries {
		check, doubt := p.app(e, own)
		name := e.app.Name
		if failed && httpapi.Forbidden(doubt) {
			if !slices.Contains(forbidden, name) {
				forbidden = append(forbidden, name)
			}
			continue
		}
		if at, said := same[check.Seen]; said && check.State == examine.Failed {
			checks[at].Subject += ", " + name
			continue
		}
		same[check.Seen] = len(checks)
		checks = append(checks, check)
	}
	if len(forbidden) > 0 {
		checks = append(checks, examine.Not("app "+strings.Join(forbidden, ", "), "of the missing rights"))
	}
	return append(checks, p.stream...)
}

// app is what there is to say of the answer about an app.
func (p *poll) app(e entry, own map[netip.Addr]string) (check examine.Check, doubt error) {
	subject := "app " + e.app.Name
	from, answer, policy := e.app.From[e.i], *e.answer, e.app.Policy
	policy.Own = own
	desired := sync.Union([]sync.From{from}, []sources.Answer{answer}, policy)
	if doubt := desired.Doubt(); doubt != nil {
		remedy := "correct it there, or the entry of the app in the mapping; until then nothing is removed"
		lines := strings.Split(strings.ReplaceAll(doubt.Error(), "source "+p.name+": ", ""), "\n")
		if answer.Doubt() == nil {
			remedy = "correct the addresses there, or only in the mapping"
		}
		if more := len(lines) - 2; more > 0 {
			lines = append(lines[:2], fmt.Sprintf("%d more", more))
		}
		return examine.Fail(subject, errors.New(strings.Join(lines, "\n")), remedy), doubt
	}
	var ready, unsure []string
	for _, endpoint := range desired.Endpoints {
		if endpoint.Uncertain != "" {
			unsure = append(unsure, fmt.Sprintf("%v: %s", endpoint.Addr, endpoint.Uncertain))
		} else {
			ready = append(ready, endpoint.Addr.String())
		}
	}
	var out []string
	for _, l := range answer.LeftOut {
		out = append(out, l.What+": "+l.Why)
	}
	switch {
	case len(ready) > 0:
		return examine.Fine(subject, sources.Count(len(ready), "endpoint")+": "+examine.Some(ready, 4)), nil
	case len(unsure) > 0:
		return examine.Check{Subject: subject, State: examine.Warning, Seen: "no endpoint is known to be healthy: " + examine.Some(unsure, 4),
			Remedy: "see why their health is not known; until it is, none is added"}, nil
	case errors.Is(answer.Doubt(), sources.ErrAbsent):
		return examine.Fine(subject, "it is absent, which absent: empty allows"), nil
	case e.app.Policy.AllowEmpty && len(out) == 0:
		return examine.Fine(subject, "it has no endpoint, which allow_empty allows"), nil
	case len(out) > 0:
		return examine.Check{Subject: subject, State: examine.Failed, Seen: "it has no endpoint that serves; left out are " + examine.Some(out, 4),
			Remedy: "see why; all but the last member of its service group would be removed"}, nil
	}
	return examine.Check{Subject: subject, State: examine.Failed, Seen: "it has no endpoint",
		Remedy: "start it, correct its entry, or say allow_empty: true if that is right"}, nil
}
