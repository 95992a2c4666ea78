package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	stdsync "sync"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sync/discover"
)

// Discovery is an entry of the mapping's discover: which objects of a source become apps,
// and what these apps have in common.
type Discovery struct {
	discover.Entry
	App App
}

// sighting is what the sources and the NetScalers said when apps were last looked for.
type sighting struct {
	failures map[string]error // of sources
	findings []sources.Findings
	comments map[string]map[string]string // of service groups, by NetScaler
	marked   stdsync.Map                  // the comments that were written since, by groupOn
	unknown  map[string]error             // why those of a NetScaler could not be read
	written  map[claim]string             // the apps of the mapping, by what they claim
	apps     discover.Apps
}

type groupOn struct{ netscaler, group string }

// comment is a service group's.
func (f *sighting) comment(netscaler, group string) string {
	if f == nil {
		return ""
	}
	if text, ok := f.marked.Load(groupOn{netscaler, group}); ok {
		return text.(string)
	}
	return f.comments[netscaler][group]
}

// kept are the comments of a NetScaler, with those that were written since; nil: they are
// not known.
func (f *sighting) kept(netscaler string) map[string]string {
	if f == nil || f.comments[netscaler] == nil {
		return nil
	}
	comments := maps.Clone(f.comments[netscaler])
	f.marked.Range(func(on, text any) bool {
		if on := on.(groupOn); on.netscaler == netscaler {
			comments[on.group] = text.(string)
		}
		return true
	})
	return comments
}

// same says whether two sightings, of which nothing is unknown, come to the same apps.
func (f *sighting) same(as *sighting) bool {
	return as != nil && len(f.unknown)+len(as.unknown) == 0 && slices.EqualFunc(f.findings, as.findings, sources.Findings.Same) &&
		maps.EqualFunc(f.comments, as.comments, maps.Equal) && maps.Equal(f.written, as.written)
}

func (f *sighting) failed() map[string]error {
	if f == nil {
		return nil
	}
	return f.failures
}

func (f *sighting) unread(netscaler string) error {
	if f == nil {
		return nil
	}
	return f.unknown[netscaler]
}

// Undiscovered is why it is not known which apps have opted in.
func (s *Syncer) Undiscovered() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.found.failed())) {
		errs = append(errs, fmt.Errorf("source %s: %w", name, s.found.failed()[name]))
	}
	return errors.Join(errs...)
}

// Discover looks for the apps that have opted in, and for service groups that none claims
// any more: one request to each source and, for the marks, one to each NetScaler. It
// gives a syncer of these apps and those of the mapping, which shares all else with this
// one, its sessions and what is spared, or this one if nothing is new. Of an entry that
// fails there are no apps; that is an error of its source in each result, and no group is
// changed for it.
func (s *Syncer) Discover(ctx context.Context) *Syncer { return s.look(ctx, true) }

// look is Discover or, after an event, the same by the marks that are known: who else
// changes the comment of a group is heard of at the interval.
func (s *Syncer) look(ctx context.Context, marks bool) *Syncer {
	if len(s.Discoveries) == 0 {
		return s
	}
	entries, selected := make([]discover.Entry, len(s.Discoveries)), map[string][]int{}
	f := &sighting{failures: map[string]error{}, findings: make([]sources.Findings, len(entries)),
		comments: map[string]map[string]string{}, unknown: map[string]error{}}
	asked := map[string]bool{}
	for i, d := range s.Discoveries {
		entries[i] = d.Entry
		selected[d.Source] = append(selected[d.Source], i)
		for _, name := range d.NetScalers {
			asked[name] = true
		}
	}
	var lock stdsync.Mutex
	var all stdsync.WaitGroup
	for name, which := range selected {
		all.Go(func() {
			s.step(Step{Source: name, Doing: "looking for apps"})
			defer s.step(Step{Source: name})
			answers, err := s.lookIn(ctx, name, which)
			for i, at := range which {
				if err != nil {
					f.findings[at] = sources.NewFindings(nil, err)
				} else {
					f.findings[at] = answers[i]
				}
			}
		})
	}
	for name := range asked {
		all.Go(func() {
			comments, err := s.found.kept(name), error(nil)
			if marks || comments == nil {
				comments, err = s.commentsOf(ctx, name)
			}
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				f.unknown[name] = err
			} else {
				f.comments[name] = comments
			}
		})
	}
	all.Wait()
	return s.with(f, entries)
}

func (s *Syncer) lookIn(ctx context.Context, name string, which []int) ([]sources.Findings, error) {
	source, spared := s.Sources[name], s.known().lookouts[name]
	if err := spared.tooSoon(); err != nil {
		return nil, err
	}
	selections := make([]sources.Selection, len(which))
	for i, at := range which {
		selections[i] = s.Discoveries[at].Selection
	}
	answers, err := within(ctx, source.Timeout, func(ctx context.Context) ([]sources.Findings, error) {
		return source.Discover(ctx, selections)
	})
	if err == nil && len(answers) != len(which) {
		err = fmt.Errorf("%d answers to %d selections", len(answers), len(which))
	}
	spared.note(err)
	return answers, err
}

// commentsWithin is how long those of a NetScaler are waited for, as what others have is
// told with them: one that failed before need not hold these up again.
const commentsWithin = 30 * time.Second

// commentsOf are those of a NetScaler's service groups.
func (s *Syncer) commentsOf(ctx context.Context, name string) (map[string]string, error) {
	ns := s.NetScalers[name]
	if err := ns.backoff.tooSoon(); err != nil {
		return nil, err
	}
	wait := commentsWithin
	if ns.backoff.last.Load() != nil {
		wait = patience
	}
	comments, err := within(ctx, wait, ns.Client.Commented)
	late := errors.Is(err, errNoAnswer) && wait == commentsWithin
	if late || errors.Is(err, netscaler.ErrUnavailable) || errors.Is(err, netscaler.ErrLogin) {
		ns.backoff.note(err)
	}
	return comments, err
}

// with is the syncer of what was found. It does no I/O.
func (s *Syncer) with(f *sighting, entries []discover.Entry) *Syncer {
	names, groups := map[string]bool{}, map[claim]string{}
	var written []App
	for _, app := range s.Apps {
		if app.Discovered() {
			continue
		}
		app.Notes = nil
		written, names[app.Name] = append(written, app), true
		for _, name := range app.NetScalers {
			groups[claim{s.NetScalers[name].appliance() + " " + s.NetScalers[name].Partition, strings.ToLower(app.Group)}] = app.Name
			groups[claim{"", strings.ToLower(app.Group)}] = app.Name
		}
	}
	if f.written = groups; f.same(s.found) {
		return s
	}
	apps := discover.Of(entries, f.findings, func(name, group string) string {
		return groups[claim{s.NetScalers[name].appliance() + " " + s.NetScalers[name].Partition, strings.ToLower(group)}]
	}, func(name string) bool { return names[name] })
	for i, app := range written {
		written[i].Notes = apps.Beaten[app.Name]
	}
	for i, err := range apps.Failed {
		f.failures[entries[i].Source] = cmp.Or(f.failures[entries[i].Source], fmt.Errorf("its apps are not known: %w", err))
	}
	f.apps = apps
	reserved := func(group string) string {
		if s.Reserved == nil {
			return ""
		}
		return s.Reserved(group)
	}
	orphans := apps.Orphans(f.comments, func(group string) bool {
		return groups[claim{"", strings.ToLower(group)}] != "" || reserved(group) != ""
	})
	fresh := &Syncer{Sources: s.Sources, NetScalers: s.NetScalers, Apps: written, Mapping: s.Mapping, Discoveries: s.Discoveries,
		Reserved: s.Reserved, Unusable: s.Unusable,
		Trace: s.Trace, Lookup: s.Lookup, Approved: s.Approved, Progress: s.Progress, found: f}
	fresh.Apps = slices.Grow(fresh.Apps, len(apps.Apps)+len(orphans))
	for _, a := range slices.Concat(apps.Apps, orphans) {
		if file := reserved(a.Group); file != "" && a.Refused == nil {
			a.Refused = fmt.Errorf("service group %s may be that of an app of %s, which cannot be used; correct that file first", a.Group, file)
		}
		fresh.Apps = append(fresh.Apps, s.Discoveries[a.Entry].made(a, entries))
	}
	fresh.once.Do(func() {
		fresh.made = fresh.know()
		fresh.made.backoffs, fresh.made.lookouts = s.known().backoffs, s.known().lookouts
	})
	return fresh
}

// Discovered: no mapping file has it.
func (a App) Discovered() bool { return a.Marks != nil || a.Refused != nil || a.Orphan }

// made is the app that a mapping file could have for what was found.
func (d Discovery) made(a discover.App, entries []discover.Entry) App {
	app := d.App
	app.Name, app.Group, app.NetScalers, app.Marks = a.Name, a.Group, a.NetScalers, a.Marks
	app.Refused, app.Doubt, app.Orphan, app.Leaving = a.Refused, a.Doubt, a.Orphan, a.Leaving
	if a.Note != "" {
		app.Notes = []string{a.Note}
	}
	for _, p := range a.Parts {
		app.From = append(app.From, From{Source: entries[p.Entry].Source, Query: p.Query, Weight: p.Weight, Order: p.Order})
		app.Policy.Drain = max(a.Drain, app.Policy.Drain)
	}
	if app.Create != nil && !a.Orphan && len(a.Marks) > 0 {
		create := *app.Create
		create.Comment = a.Marks[0]
		if create.MemberList {
			create.Drain = app.Policy.Drain
		}
		if v := create.VServer; v != nil && v.Name == "" {
			named := *v
			named.Name = app.Group
			create.VServer = &named
		}
		app.Create = &create
	} else {
		app.Create = nil
	}
	return app
}

// marking is the comment that an app's group is to be given whose comment is known, "" if
// that is a right one or an operator's, or why the app must not have the group.
func (v *visit) marking(app App, is string) (comment string, err error) {
	if len(app.Marks) == 0 {
		return "", nil
	}
	if err := v.found.unread(v.name); err != nil {
		return "", fmt.Errorf("it is not known whose service group %s is: %w", app.Group, err)
	}
	owner := discover.Owner(is)
	ours := slices.ContainsFunc(v.Discoveries, func(d Discovery) bool { return d.Owner == owner })
	switch {
	case slices.Contains(app.Marks, is), is != "" && owner == "":
		return "", nil
	case is != "" && !ours:
		return "", fmt.Errorf("service group %s is another's by its comment, %q, and this app would be %q; give one of them another group or, "+
			"if %s is gone for good, unset serviceGroup %s -comment", app.Group, is, app.Marks[0], owner, quote(app.Group))
	case v.found.apps.Doubtful(is):
		return "", fmt.Errorf("service group %s is marked %q, and it is not known whether that app still claims it, as its labels or its source are in doubt; "+
			"see to these first or, if it is gone for good, unset serviceGroup %s -comment", app.Group, is, quote(app.Group))
	case !v.ns.Client.TakesComments():
		return "", nil
	}
	return app.Marks[0], nil
}

// marked adds to a plan that a group which is there is marked.
func marked(plan Plan, group, comment string, missing bool) Plan {
	if comment != "" && !missing {
		plan.Changes = append(slices.Clone(plan.Changes), netscaler.Change{Op: netscaler.Mark, Group: group, Comment: comment,
			Why: "an app that opted in has it"})
		slices.SortStableFunc(plan.Changes, byOrder)
	}
	return plan
}

// mark marks groups. A build without comments serves them all the same.
func (v *visit) mark(ctx context.Context, outcomes []*Outcome) {
	v.do(ctx, outcomes, netscaler.Mark)
	for _, o := range outcomes {
		o.Done = slices.DeleteFunc(o.Done, func(d Done) bool { return errors.Is(d.Err, netscaler.ErrNoComment) })
	}
}

var errOrphan = errors.New("no app claims it any more")

// orphaned says what becomes of a group that no app claims.
func orphaned(app App, members []netscaler.Member) string {
	stay := sources.Count(len(members), "member") + " stay"
	switch {
	case len(members) == 1:
		stay = "1 member stays"
	case len(members) == 0:
		stay = fmt.Sprintf("it has no members; if nobody needs it, rm serviceGroup %s", quote(app.Group))
	case app.Leaving:
		stay = "its members are drained"
	}
	return fmt.Sprintf("%v: %s", errOrphan, stay)
}

// confirmOrphans looks for apps again before members of groups are drained that no app
// claims: each must still be without one.
func (v *visit) confirmOrphans(ctx context.Context, drafts []*draft) {
	if !slices.ContainsFunc(drafts, func(d *draft) bool { return d.App.Orphan }) {
		return
	}
	again := map[string]bool{}
	for _, app := range v.Discover(ctx).Apps {
		if app.Leaving && slices.Contains(app.NetScalers, v.name) {
			again[app.Group] = true
		}
	}
	for _, d := range drafts {
		if d.App.Orphan && !again[d.App.Group] {
			d.rival = errors.New("apps were looked for again, and it is not certain any more that none claims it")
			d.propose()
		}
	}
}

// selections are what is selected in each source in which apps are discovered.
func (s *Syncer) selections() map[string][]sources.Selection {
	all := map[string][]sources.Selection{}
	for _, d := range s.Discoveries {
		all[d.Source] = append(all[d.Source], d.Selection)
	}
	return all
}

// noteMark keeps a mark that was made, so that the next pass does not make it again.
func (v *visit) noteMark(c netscaler.Change) {
	switch {
	case v.found == nil || !v.ns.Client.TakesComments():
	case c.Op == netscaler.Mark:
		v.found.marked.Store(groupOn{v.name, c.Group}, c.Comment)
	case c.Op == netscaler.AddGroup:
		v.found.marked.Store(groupOn{v.name, c.Group}, c.Create.Comment)
	}
}
