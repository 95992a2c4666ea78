// Package proposal writes a first mapping from what exists: service groups with
// their members, and what sources have to offer. It reads nothing itself.
package proposal

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"nitrox/sources"
	"nitrox/sources/nearest"
)

// Group is a service group as it is.
type Group struct {
	Name     string
	Protocol sources.Protocol // of its members; "": not known
	// Members are those that have an address.
	Members []netip.AddrPort
	// Others is how many members are not Nitrox's, such as domain names.
	Others int
	// Unfit says why the group cannot be in a mapping; "": it can.
	Unfit string
}

// Candidate is what a source could be asked for, and what it answers now.
type Candidate struct {
	Source string
	sources.Listed
	Endpoints []sources.Endpoint
	Doubt     string // why these may not be all

	names [4]string // that a group may have, the best first; see [Match]
}

// at are the addresses at which the candidate serves what a group takes.
func (c Candidate) at(g Group) (all []netip.AddrPort) {
	for _, e := range c.Endpoints {
		if g.Protocol == "" || e.Protocol == "" || e.Protocol == g.Protocol {
			all = append(all, e.Addr)
		}
	}
	return all
}

// offered is what candidates have in common that are ways to ask for the same.
type offered struct{ source, name, port string }

func (c Candidate) offered() offered      { return offered{c.Source, c.Name, c.Port} }
func (c Candidate) same(o Candidate) bool { return c.offered() == o.offered() }

// App is a group with what belongs to it: From or, where that is not decided, why
// not, and perhaps Choices.
type App struct {
	Group
	From []Candidate
	// Found is how many of the members are endpoints of From, and New how many
	// endpoints are not members.
	Found, New int
	Choices    []Candidate
	Why        string // there is nothing in From
	Only       []netip.Prefix
	// Called is the app's name where that is not the group's, Create how the group is
	// made, and Note what to say of an app that was not matched but translated.
	Called, Create, Note string

	name string // as in the candidates' names
}

// Match finds out which candidates belong to which groups: those that have their
// members, or else one that has the name of a group without members. virtual are
// addresses that must be in no network of an app.
func Match(groups []Group, candidates []Candidate, virtual []netip.Addr) []App {
	o := &offers{all: candidates, at: map[netip.AddrPort][]int{}, named: map[string][]int{}, places: map[place]map[netip.Addr]bool{}}
	for i, c := range candidates {
		o.add(i, c)
	}
	apps := make([]App, len(groups))
	for i, g := range groups {
		a := App{Group: g, name: strings.Join(words(g.Name), "")}
		if g.Unfit == "" {
			a.match(o)
			a.Only = cover(a.networks(o), virtual)
		}
		apps[i] = a
	}
	return apps
}

// offers are the candidates, and where they are found: their indexes by an address
// and by what a group may be called, and all addresses of a place.
type offers struct {
	all    []Candidate
	at     map[netip.AddrPort][]int
	named  map[string][]int
	places map[place]map[netip.Addr]bool
}

type place struct{ source, at string }

func (o *offers) add(i int, c Candidate) {
	p := place{c.Source, c.At}
	if o.places[p] == nil {
		o.places[p] = map[netip.Addr]bool{}
	}
	for _, n := range c.Nodes {
		o.places[p][n] = true
	}
	for _, e := range c.Endpoints {
		o.at[e.Addr] = append(o.at[e.Addr], i)
		o.places[p][e.Addr.Addr()] = true
	}
	for n, text := range []string{c.Name + " " + c.Port, c.Name, last(c.Name) + " " + c.Port, last(c.Name)} {
		name := strings.Join(words(text), "")
		o.all[i].names[n] = name
		o.named[name] = append(o.named[name], i)
	}
}

// these are the candidates of indexes, each once and in order.
func (o *offers) these(indexes []int) (all []Candidate) {
	slices.Sort(indexes)
	for _, i := range slices.Compact(indexes) {
		all = append(all, o.all[i])
	}
	return all
}

// fit is how a candidate and the members that are left to explain go together.
type fit struct {
	c           Candidate
	found, more int // members that are endpoints; endpoints that are no members
	like        int // how much the names are alike
}

func (a *App) match(o *offers) {
	left := map[netip.AddrPort]bool{}
	for _, m := range a.Members {
		left[m] = true
	}
	var near []int
	for m := range left {
		near = append(near, o.at[m]...)
	}
	candidates := o.these(near)
	all := len(left)
	var named []fit
	for len(left) > 0 {
		var best []fit
		for _, c := range candidates {
			f := a.fit(c, left)
			if f.found == 0 || len(a.From) > 0 && f.more > 0 {
				continue // what is beside the first may bring nothing new
			}
			switch {
			case len(best) == 0 || better(f, best[0]) > 0:
				best = []fit{f}
			case better(f, best[0]) == 0:
				best = append(best, f)
			}
		}
		if len(best) == 0 {
			break
		}
		first := likest(best)[0]
		best = likest(slices.DeleteFunc(best, func(f fit) bool { return !first.rivals(f, left) }))
		if len(best) > 1 && len(a.From) == 0 {
			a.choose("several services have its members", best)
			return
		}
		if len(best) > 1 {
			break
		}
		a.From = append(a.From, best[0].c)
		a.Found += best[0].found
		a.New += best[0].more
		named = append(named, best[0])
		for _, addr := range best[0].c.at(a.Group) {
			delete(left, addr)
		}
	}
	alike := slices.ContainsFunc(named, func(f fit) bool { return f.like > 0 })
	switch {
	case len(a.From) == 0:
		a.matchName(o)
	case 2*a.Found < all && !alike:
		a.choose("only a few of its members are endpoints of a service, and the names differ", named)
	}
}

// better is positive if f explains more than g, or as much with less beside it.
func better(f, g fit) int { return cmp.Or(cmp.Compare(f.found, g.found), cmp.Compare(g.more, f.more)) }

// rivals says whether both explain one of the members that are left.
func (f fit) rivals(g fit, left map[netip.AddrPort]bool) bool {
	return slices.ContainsFunc(f.c.Endpoints, func(e sources.Endpoint) bool {
		return left[e.Addr] && slices.ContainsFunc(g.c.Endpoints, func(o sources.Endpoint) bool { return o.Addr == e.Addr })
	})
}

// likest are those of the names most like the group's, each once.
func likest(all []fit) (best []fit) {
	for _, f := range all {
		switch {
		case len(best) == 0 || f.like > best[0].like:
			best = []fit{f}
		case f.like == best[0].like && !slices.ContainsFunc(best, func(b fit) bool { return b.c.same(f.c) }):
			best = append(best, f)
		}
	}
	return best
}

func (a *App) fit(c Candidate, left map[netip.AddrPort]bool) fit {
	f := fit{c: c, like: a.alike(c)}
	for _, addr := range c.at(a.Group) {
		switch {
		case left[addr]:
			f.found++
		case !slices.Contains(a.Members, addr):
			f.more++
		}
	}
	return f
}

// choose leaves the decision to whoever reads the mapping.
func (a *App) choose(why string, from []fit) {
	a.From, a.Found, a.New, a.Why = nil, 0, 0, why
	for _, f := range from {
		a.Choices = append(a.Choices, f.c)
	}
}

// matchName finds the one candidate of the group's name. That is enough where there
// are no members, or all are where the endpoints are: nothing else is known to use
// the group.
func (a *App) matchName(o *offers) {
	var all []fit
	for _, c := range o.these(slices.Clone(o.named[a.name])) {
		if a.alike(c) > 0 {
			all = append(all, a.fit(c, nil))
		}
	}
	best := likest(all)
	switch {
	case len(best) == 0:
		a.Why = "none of its members is a ready endpoint, and no service has its name"
		a.resemble(o.all)
	case len(best) > 1:
		a.choose("several services have its name", best)
	case len(a.Members) > 0 && !a.local(best[0].c):
		a.choose("a service has its name, and none of its members", best)
	default:
		a.From, a.New = []Candidate{best[0].c}, best[0].more
	}
}

// local says whether the members are at addresses of the candidate's endpoints, if
// at other ports.
func (a *App) local(c Candidate) bool {
	at := map[netip.Addr]bool{}
	for _, addr := range c.at(a.Group) {
		at[addr.Addr()] = true
	}
	return !slices.ContainsFunc(a.Members, func(m netip.AddrPort) bool { return !at[m.Addr()] })
}

// resemble offers what is called almost like the group.
func (a *App) resemble(candidates []Candidate) {
	names := make([]string, len(candidates))
	for i, c := range candidates {
		names[i] = last(c.Name)
	}
	near := nearest.Name(strings.Join(words(a.Name), "_"), names)
	for i, c := range candidates {
		if near != "" && names[i] == near && !slices.ContainsFunc(a.Choices, c.same) {
			a.Choices = append(a.Choices, c)
		}
	}
}

// networks are the addresses that may be bound: of the members, and of all that the
// sources have where the app's endpoints are.
func (a *App) networks(o *offers) []netip.Addr {
	all := map[netip.Addr]bool{}
	for _, m := range a.Members {
		all[m.Addr()] = true
	}
	for _, c := range slices.Concat(a.From, a.Choices) {
		maps.Copy(all, o.places[place{c.Source, c.At}])
	}
	return slices.Collect(maps.Keys(all))
}

// alike is how much a group's name is that of a candidate: 4, it is the whole name
// with the port; 3, the whole name; 2, its last part with the port; 1, that alone.
func (a *App) alike(c Candidate) int {
	if i := slices.Index(c.names[:], a.name); i >= 0 && a.name != "" {
		return len(c.names) - i
	}
	return 0
}

// last is the part of a service's name behind its namespace, path, project or stack.
func last(name string) string { return name[strings.LastIndexAny(name, "/_")+1:] }

// words are those of a name, in small letters, but for what people put around the
// names of service groups and services.
func words(name string) []string {
	var all []string
	word, upper := "", true
	end := func() {
		if word != "" {
			all = append(all, strings.ToLower(word))
		}
		word = ""
	}
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			upper = true
			continue
		case unicode.IsUpper(r) && !upper:
			end()
		}
		word, upper = word+string(r), unicode.IsUpper(r)
	}
	end()
	kept := slices.DeleteFunc(slices.Clone(all), func(w string) bool {
		return slices.Contains([]string{"sg", "svg", "svcg", "svc", "service", "servicegroup", "group", "grp"}, w)
	})
	if len(kept) == 0 {
		return all
	}
	return kept
}
