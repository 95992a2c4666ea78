package sync

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
)

// Part is what a pass is of, where that is not everything.
type Part struct {
	// Apps are the names of those to look at; nil: all.
	Apps []string
	// NetScalers are the names of those that are served; nil: all of the apps.
	NetScalers []string

	places map[Place]bool                      // the apps on the NetScalers, of a loop's pass; nil: each on each
	scope  *scope                              // of the loop that makes the pass; nil: there is none
	turns  map[string]string                   // the appliance that each NetScaler was taken for when the loop began it
	left   func(netscaler string, what Result) // called when the pass is done with a NetScaler; nil: never
}

// on says whether the pass serves a NetScaler.
func (p *Part) on(netscaler string) bool {
	return p == nil || p.NetScalers == nil || slices.Contains(p.NetScalers, netscaler)
}

// serves says whether the pass serves an app on a NetScaler.
func (p *Part) serves(app, netscaler string) bool {
	return p.on(netscaler) && (p == nil || p.places == nil || p.places[Place{app, netscaler}])
}

// loops says whether the pass is a loop's that serves a NetScaler, in this pass or
// another.
func (p *Part) loops(netscaler string) bool {
	return p != nil && p.scope != nil && p.scope.places[netscaler] != nil
}

// scope is what a loop looks at, so that a pass of few apps need not go through
// all.
type scope struct {
	selected []string // the names that it was told; nil: all
	apps     []App    // in the order of the mapping
	at       map[string]int
	places   map[string][]string // the apps, by NetScaler
	feeds    map[string]feed     // by source
}

// feed is what a source is asked, and for which app each query is.
type feed struct {
	queries []any
	apps    []string
}

// byApp are the queries of each app.
func (f feed) byApp() map[string][]any {
	all := map[string][]any{}
	for i, app := range f.apps {
		all[app] = append(all[app], f.queries[i])
	}
	return all
}

// scope is that of a loop over the named apps, nil being all.
func (s *Syncer) scope(names []string) *scope {
	s.known() // which appliances there are
	c := &scope{selected: names, apps: s.selected(names), at: map[string]int{}, places: map[string][]string{}, feeds: map[string]feed{}}
	for i, app := range c.apps {
		c.at[app.Name] = i
		for _, netscaler := range app.NetScalers {
			c.places[netscaler] = append(c.places[netscaler], app.Name)
		}
		for _, from := range app.From {
			f := c.feeds[from.Source]
			c.feeds[from.Source] = feed{append(f.queries, from.Query), append(f.apps, app.Name)}
		}
	}
	return c
}

func (c *scope) app(name string) App { return c.apps[c.at[name]] }

// inOrder are the named apps in the order of the mapping.
func (c *scope) inOrder(names map[string]bool) []string {
	return slices.SortedFunc(maps.Keys(names), func(a, b string) int { return cmp.Compare(c.at[a], c.at[b]) })
}

// of are the apps of a part, in the order of the mapping.
func (s *Syncer) of(part *Part) []App {
	switch {
	case part == nil:
		return s.Apps
	case part.scope == nil:
		return s.selected(part.Apps)
	case part.Apps == nil:
		return part.scope.apps
	}
	apps := make([]App, 0, len(part.Apps))
	for _, name := range part.Apps {
		if i, here := part.scope.at[name]; here { // else it has not opted in yet
			apps = append(apps, part.scope.apps[i])
		}
	}
	return apps
}

// others are the apps that a later scope has and this one has not, or not so. same: there
// are none, and none is gone.
func (c *scope) others(later *scope) (names []string, same bool) {
	for j := range later.apps {
		app := &later.apps[j]
		if i, here := c.at[app.Name]; !here || !reflect.DeepEqual(&c.apps[i], app) {
			names = append(names, app.Name)
		}
	}
	return names, len(names) == 0 && len(c.apps) == len(later.apps)
}
