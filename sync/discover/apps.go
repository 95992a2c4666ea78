package discover

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"nitrox/sources"
)

// App is a service group that objects claim, or that none claims any more.
type App struct {
	Name, Group string
	NetScalers  []string
	// Entry is whose policies it has.
	Entry int
	// Parts are of several entries if these share the group.
	Parts []Part
	Drain time.Duration
	// Marks are the comments that its group may have; the first is written where it has
	// no other.
	Marks []string
	// Refused is why nothing of its group may be changed, and Doubt why it may gain
	// members only.
	Refused, Doubt error
	// Orphan: no app claims the group any more. Leaving: its members may be drained.
	Orphan, Leaving bool
	Note            string
}

// Apps are what follows from the findings of all entries.
type Apps struct {
	Apps []App
	// Failed is why nothing is known of an entry's objects.
	Failed map[int]error
	// Beaten are, by apps of the mapping, notes of objects that claim their groups too.
	Beaten map[string][]string

	entries  []Entry
	doubtful map[string]bool // the marks of objects of which it is not known what they claim
	unsure   map[string]bool // the owners of some that nothing can be a mark of, so that any may be theirs
	silent   []silent        // of each entry
	found    []int           // how many objects each entry has
}

// silent are the objects of an entry that shares of which not even the service group is known:
// by the marks that they would have of each owner, and one for each key of Allow. There may be
// many, of one tenant.
type silent struct{ marks, governed map[string]*claim }

// Of makes the apps of what each entry's source has found. written gives the app of the
// mapping that has a service group, "" if none has, and taken says whether one has a name.
func Of(entries []Entry, findings []sources.Findings, written func(netscaler, group string) string, taken func(name string) bool) Apps {
	r := Apps{Failed: map[int]error{}, Beaten: map[string][]string{},
		entries: entries, doubtful: map[string]bool{}, unsure: map[string]bool{}, found: make([]int, len(entries))}
	var all []*claim
	for i, e := range entries {
		objects, err := findings[i].All()
		if err != nil {
			r.Failed[i] = err
		}
		r.found[i] = len(objects)
		all = slices.Grow(all, len(objects))
		for _, f := range objects {
			all = append(all, e.claims(i, f)...)
		}
	}
	var nameless []*claim
	groups := make(map[string][]*claim, len(all))
	for i, c := range all {
		if c.err != nil {
			owner := entries[c.entry].Owner
			m := mark(owner, c.object)
			r.doubtful[m], r.unsure[owner] = true, r.unsure[owner] || Owner(m) == ""
		}
		key := strings.ToLower(c.group) // whether case matters is not known
		switch {
		case c.group == "":
			nameless = append(nameless, c)
		case groups[key] == nil:
			groups[key] = all[i : i+1 : i+1]
		default:
			groups[key] = append(groups[key], c)
		}
	}
	r.silent = silence(entries, nameless)
	r.Apps = make([]App, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		r.Apps = append(r.Apps, r.group(groups[key], written)...)
	}
	for _, c := range nameless { // after the others, of whose names they can take none
		r.Apps = append(r.Apps, App{Name: id(c.object), NetScalers: entries[c.entry].NetScalers, Entry: c.entry, Refused: c.about(c.err)})
	}
	names := map[string]bool{}
	for i := range r.Apps {
		a := &r.Apps[i]
		for names[a.Name] || taken(a.Name) {
			a.Name += "@" + strings.Join(a.NetScalers, "+")
		}
		names[a.Name] = true
	}
	return r
}

// Doubtful says whether a comment is the mark of an object of which it is not known what it
// claims: by itself, or because those of its owner are not known, or none at all.
func (r Apps) Doubtful(comment string) bool {
	owner := Owner(comment)
	return owner != "" && (r.doubtful[comment] || r.unknownOf(owner) || r.none(owner))
}

// group makes the apps of those that claim one service group: one, unless they do on
// different NetScalers.
func (r Apps) group(claims []*claim, written func(netscaler, group string) string) (apps []App) {
	var netscalers []string
	for _, c := range claims {
		netscalers = append(netscalers, r.entries[c.entry].NetScalers...)
	}
	slices.Sort(netscalers)
	for _, n := range slices.Compact(netscalers) {
		here := claims
		if len(claims) > 1 {
			here = slices.DeleteFunc(slices.Clone(claims), func(c *claim) bool { return !slices.Contains(r.entries[c.entry].NetScalers, n) })
		}
		if winner := written(n, claims[0].group); winner != "" {
			who := r.called(here[0])
			if len(here) > 1 {
				who += fmt.Sprintf(", the first of %d,", len(here))
			}
			r.Beaten[winner] = append(r.Beaten[winner], who+" claims this service group too, and is not served: "+
				"an app of the mapping comes first; take its label away, or remove this app")
			continue
		}
		a := r.app(here)
		if a.Refused == nil {
			r.doubt(&a, n, here)
		}
		same := func(b App) bool {
			return slices.Equal(a.Marks, b.Marks) && reflect.DeepEqual(a.Parts, b.Parts) &&
				say(a.Refused) == say(b.Refused) && say(a.Doubt) == say(b.Doubt)
		}
		if i := slices.IndexFunc(apps, same); i >= 0 {
			apps[i].NetScalers = append(apps[i].NetScalers, n)
			continue
		}
		a.NetScalers = []string{n}
		apps = append(apps, a)
	}
	return apps
}

func say(err error) string { return fmt.Sprint(err) }

// app is that of all who claim one service group on one NetScaler.
func (r Apps) app(claims []*claim) App {
	a := App{Name: claims[0].group, Group: claims[0].group, Entry: claims[0].entry}
	weighted, ordered := false, false
	for i, c := range claims {
		a.Marks = append(a.Marks, mark(r.entries[c.entry].Owner, c.object))
		for _, other := range claims[:i] {
			if a.Refused = r.conflict(other, c); a.Refused != nil {
				return a
			}
		}
		weighted, ordered = weighted || c.part.Weight > 0, ordered || c.part.Order > 0
	}
	for _, c := range claims {
		if c.err != nil {
			a.Doubt = cmp.Or(a.Doubt, c.about(c.err))
			continue
		}
		part := c.part
		// Who says nothing has the most of what the others can give up.
		if weighted {
			part.Weight = cmp.Or(part.Weight, 100)
		}
		if ordered {
			part.Order = cmp.Or(part.Order, 1)
		}
		a.Parts, a.Drain = append(a.Parts, part), max(a.Drain, c.drain)
	}
	if len(a.Parts) == 0 {
		a.Refused, a.Doubt = a.Doubt, nil
	}
	return a
}

// conflict is why two must not have one service group.
func (r Apps) conflict(a, b *claim) error {
	both := r.entries[a.entry].Share && r.entries[b.entry].Share
	who := fmt.Errorf("%s and %s claim service group %s, so nothing of it is changed", r.called(a), r.called(b), a.group)
	switch {
	case a.entry == b.entry:
		return fmt.Errorf("%w; take the label from one of them, or give it another group", who)
	case !both:
		return fmt.Errorf("%w; give one of them another group or, if it is to have the endpoints of both, "+
			"let both entries of discover have share: true", who)
	case a.object.Namespace != b.object.Namespace && !a.chosen && !b.chosen:
		return fmt.Errorf("%w; they are of different namespaces, so that one cannot share the other's by its name alone: "+
			"give one of them another group", who)
	}
	return nil
}

// partners are the entries that share service groups on a NetScaler with some of these.
func (r Apps) partners(netscaler string, with []int) (all []int) {
	for j, e := range r.entries {
		if e.Share && slices.Contains(e.NetScalers, netscaler) && !slices.Contains(with, j) {
			all = append(all, j)
		}
	}
	if !slices.ContainsFunc(with, func(i int) bool { return r.entries[i].Share }) {
		return nil
	}
	return all
}

func silence(entries []Entry, nameless []*claim) []silent {
	all := make([]silent, len(entries))
	for _, c := range nameless {
		e, s := entries[c.entry], &all[c.entry]
		if !e.Share {
			continue
		}
		if s.marks == nil {
			*s = silent{map[string]*claim{}, map[string]*claim{}}
		}
		for _, o := range entries {
			s.marks[mark(o.Owner, c.object)] = c
		}
		s.governed[e.governing(c.object.Namespace)] = c
	}
	return all
}

// unknown is why it is not known whether objects of an entry share the service group of
// some with these marks.
func (r Apps) unknown(j int, marks []string, group string) error {
	e := r.entries[j]
	if err := r.Failed[j]; err != nil {
		return fmt.Errorf("apps of source %s may share it, and are not known: %w", e.Source, err)
	}
	may := func(c *claim) error { return fmt.Errorf("%s may share it: %w", r.called(c), c.err) }
	for _, m := range marks {
		if c := r.silent[j].marks[m]; c != nil {
			return may(c)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.silent[j].governed)) {
		if c := r.silent[j].governed[key]; e.allows(key, group) {
			return may(c)
		}
	}
	return nil
}

// doubt finds why it is not known who else shares the service group of the claims. It may
// have a mark of those.
func (r Apps) doubt(a *App, netscaler string, claims []*claim) {
	var with []int
	for _, c := range claims {
		with = append(with, c.entry)
	}
	own := a.Marks
	for _, j := range r.partners(netscaler, with) {
		err := r.unknown(j, own, a.Group)
		if err == nil && r.found[j] == 0 {
			err = fmt.Errorf("apps of source %s may share it, and it has none at all; if that is right, remove its entry from discover", r.entries[j].Source)
		}
		if err != nil {
			a.Doubt = cmp.Or(a.Doubt, err)
			a.Marks = append(a.Marks, mark(r.entries[j].Owner, claims[0].object))
		}
	}
}

// called is an object in a sentence.
func (r Apps) called(c *claim) string {
	return fmt.Sprintf("%s of source %s", c.object.What, r.entries[c.entry].Source)
}

// about puts the object's name before an error.
func (c *claim) about(err error) error { return fmt.Errorf("%s: %w", c.object.What, err) }

// id is what an object cannot have in common with another of its source.
func id(f sources.Found) string { return strings.TrimPrefix(f.Namespace+"/"+f.Name, "/") }
