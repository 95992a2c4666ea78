package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"nitrox/sources"
	"nitrox/sync"
	"nitrox/sync/discover"

	"gopkg.in/yaml.v3"
)

// appKeys are the keys of an app, beside its policies.
type appKeys struct {
	Name         string       `yaml:"name"`
	ServiceGroup string       `yaml:"service_group"`
	NetScaler    []string     `yaml:"netscaler"`
	From         []*yaml.Node `yaml:"from"`
	Paused       bool         `yaml:"paused"`
	Create       *yaml.Node   `yaml:"create"`
}

// policyKeys are the policies: keys of an app, and of defaults.
type policyKeys struct {
	Drain      time.Duration  `yaml:"drain"`
	WaitUp     time.Duration  `yaml:"wait_up"`
	AllowEmpty bool           `yaml:"allow_empty"`
	Absent     absent         `yaml:"absent"`
	MaxRemove  sync.Limit     `yaml:"max_remove"`
	Only       []netip.Prefix `yaml:"only"`
	Clean      bool           `yaml:"clean_servers"`
}

// standard are the policies of a file that says nothing.
var standard = policiesOf(sync.DefaultPolicy)

func policiesOf(p sync.Policy) policyKeys {
	absent := map[bool]absent{true: empty, false: doubt}[p.AbsentIsEmpty]
	return policyKeys{p.Drain, p.WaitUp, p.AllowEmpty, absent, p.MaxRemove, p.Only, p.CleanServers}
}

type absent string

const (
	doubt absent = "doubt"
	empty absent = "empty"
)

func (absent) Words() []string { return []string{string(doubt), string(empty)} }
func (a absent) Check() error  { return oneOf(a) }

func (p *policyKeys) Check() error {
	if p.Drain%time.Second != 0 {
		return &sources.KeyError{Key: "drain", Err: fmt.Errorf("%s is not a whole number of seconds; a NetScaler counts in seconds", p.Drain)}
	}
	return nil
}

func (p *policyKeys) policy(paused bool) sync.Policy {
	return sync.Policy{Drain: p.Drain, WaitUp: p.WaitUp, AllowEmpty: p.AllowEmpty, AbsentIsEmpty: p.Absent == empty,
		MaxRemove: p.MaxRemove, Only: p.Only, CleanServers: p.Clean, Paused: paused}
}

// claim is a service group that an app has for itself.
type claim struct{ appliance, group string }

// claimant is the app that has it.
type claimant struct {
	name, group string // as the file says them
	place
}

// definitions are what the apps of all files are checked against.
type definitions struct {
	appliances []*appliance
	sources    []*source
	names      map[string]place // of the app
	claims     map[claim]claimant
	caseless   map[claim]claimant // by the group in small letters
}

// forget drops what the apps of a file have.
func (defs *definitions) forget(file string) {
	maps.DeleteFunc(defs.names, func(_ string, p place) bool { return p.file == file })
	for _, claims := range []map[claim]claimant{defs.claims, defs.caseless} {
		maps.DeleteFunc(claims, func(_ claim, by claimant) bool { return by.file == file })
	}
}

// apps decodes the apps of the file.
func (d *decoder) apps(defs *definitions) {
	for i, n := range d.keys.Apps {
		if app, ok := d.app(n, i, defs); ok {
			d.served = append(d.served, app)
		}
	}
}

// app decodes the i-th app; false if it is not a mapping.
func (d *decoder) app(n *yaml.Node, i int, defs *definitions) (sync.App, bool) {
	shown := fmt.Sprintf("number %d", i+1)
	if name := find(n, "name"); name != nil && name.Kind == yaml.ScalarNode && name.Value != "" {
		shown = quote(name.Value)
	}
	var k appKeys
	policies := d.defaults
	o := d.object(n, "app "+shown, &k, &policies)
	if o == nil {
		return sync.App{}, false
	}
	d.fence(o, &policies, d.defaults)
	app := sync.App{
		Name:       k.Name,
		At:         fmt.Sprintf("%s:%d", d.file, n.Line),
		Group:      k.ServiceGroup,
		NetScalers: d.targets(o, k, defs),
		Policy:     policies.policy(k.Paused),
	}
	unique := d.appName(o, k, defs)
	if o.values["service_group"] == nil {
		app.Group = k.Name
	}
	if n := d.group(o, app.Group); n != nil && unique {
		d.claim(n, o, shown, app, defs)
	}
	if k.Create != nil {
		app.Create = d.create(k.Create, o.what, app)
	}
	if len(k.From) == 0 && !o.wrong["from"] {
		d.missing(o, "from", "say which source has its endpoints")
	}
	for _, n := range k.From {
		if from, ok := d.from(n, o.what, app.Create, defs); ok {
			app.From = append(app.From, from)
			d.exposed(n, shown, app.Policy, from, defs)
		}
	}
	return app, true
}

// exposed advises an app to bound what others can have bound for it.
func (d *decoder) exposed(n *yaml.Node, app string, policy sync.Policy, from sync.From, defs *definitions) {
	for _, s := range defs.sources {
		if e, ok := s.config.(sources.Exposed); ok && s.name == from.Source && len(policy.Only) == 0 {
			if what := e.OthersWrite(from.Query); what != "" {
				d.advice = append(d.advice, Problem{File: d.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(
					"app %s takes %s and has no only: list the networks of its endpoints in only, so that nothing else is ever bound", app, what)})
			}
		}
	}
}

// find returns the value of key in the mapping n, nil if there is none.
func find(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// Named says whether an app, and its service group, may have these names.
func Named(app, group string) bool { return printable(app) && discover.GroupName.MatchString(group) }

// printable are names that a terminal, a log or a flag does not garble, and that nobody takes
// for another which differs in what cannot be seen.
func printable(text string) bool {
	return text != "" && strings.TrimSpace(text) == text && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// name refuses names that a terminal, a log or a flag would garble.
func (d *decoder) name(n *yaml.Node, text, of string) bool {
	if !printable(text) {
		d.problem(n, "%s cannot be the name of %s: it must not be empty, begin or end with a space, or contain what cannot be seen", quote(n.Value), of)
		return false
	}
	return true
}

// appName checks the name and tells whether no app before has it.
func (d *decoder) appName(o *object, k appKeys, defs *definitions) bool {
	n, given := o.values["name"]
	switch {
	case !given:
		d.missing(o, "name", "it is what --app takes, and the service group's name unless service_group says otherwise")
		return false
	case o.wrong["name"] || !d.name(n, k.Name, "an app"):
		return false
	}
	if first, twice := defs.names[k.Name]; twice {
		d.problem(n, "app %s is defined twice; the first is %s", quote(n.Value), d.on(first))
		return false
	}
	defs.names[k.Name] = d.place(n)
	return d.allowed(n, "name", k.Name, "allow_apps", d.limit().AllowApps)
}

// group checks the name of the app's service group, and returns where it stands, nil if
// the app has none.
func (d *decoder) group(o *object, name string) *yaml.Node {
	key := "service_group"
	if o.values[key] == nil {
		key = "name"
	}
	n := o.values[key]
	if n == nil || o.wrong[key] {
		return nil
	}
	switch {
	case !discover.GroupName.MatchString(name):
		remedy := ""
		switch {
		case key == "name":
			remedy = "; give the group's name as service_group"
		case strings.ContainsAny(name, "[]"):
			remedy = "; ranges are not supported here"
		}
		d.problem(n, "%s: a service group cannot be called %s: use %s%s", key, quote(n.Value), discover.Letters, remedy)
		return nil
	case len(name) > 127:
		// The limit is known from hearsay only, so the NetScaler decides.
		d.warn(n, "%s: has %d characters; the documented limit is 127", key, len(name))
	}
	if !d.allowed(n, key, name, "allow_groups", d.limit().AllowGroups) {
		return nil
	}
	return n
}

// targets returns the NetScalers of an app.
func (d *decoder) targets(o *object, k appKeys, defs *definitions) []string {
	limit := d.limit().NetScalers
	known := usable(names(defs.appliances, applianceName), limit)
	n, given := o.values["netscaler"]
	switch {
	case given && o.wrong["netscaler"]:
		return nil
	case given && len(k.NetScaler) == 0:
		d.problem(n, "netscaler: the list is empty")
	case !given && len(known) == 1:
		return known
	case !given && len(known) > 1:
		d.missing(o, "netscaler", "choose from "+and(known))
	}
	var targets []string
	for i, name := range k.NetScaler {
		at := item(n, fmt.Sprintf("netscaler[%d]", i))
		switch {
		case !slices.Contains(known, name):
			d.undefined(at, "netscaler: ", at.Value, known, limit)
		case slices.Contains(targets, name):
			d.problem(at, "netscaler: %s is listed twice", quote(at.Value))
		default:
			targets = append(targets, name)
		}
	}
	return targets
}

// claim takes the app's service group, which stands at n, on each of its NetScalers. No
// other app may have it: two that fill one group would empty it in turn.
func (d *decoder) claim(n *yaml.Node, o *object, shown string, app sync.App, defs *definitions) {
	d.claimed = append(d.claimed, n)
	warned := false
	mine := map[string]string{} // NetScaler by what makes it the same
	for _, a := range defs.appliances {
		if !slices.Contains(app.NetScalers, a.name) {
			continue
		}
		for _, same := range a.same {
			if other, taken := mine[same]; taken {
				d.problem(o.at("netscaler"), "netscaler: %s and %s are the same appliance and partition; name one of them", quote(other), quote(a.name))
				return
			}
		}
		for _, same := range a.same {
			mine[same] = a.name
			c := claim{same, app.Group}
			if by, taken := defs.claims[c]; taken {
				d.problem(n, "app %s claims service group %s on NetScaler %s, which app %s (%s) already has; put all their from entries into one app", shown, quote(n.Value), quote(a.name), by.name, d.seen(by.place))
				return
			}
			c = claim{same, strings.ToLower(app.Group)}
			by, near := defs.caseless[c]
			switch {
			case near && d.limits != nil && by.file != d.file: // of what others own a warning is not enough
				d.problem(n, "service group %s differs from %s of app %s (%s) only in case, which the NetScaler may ignore; give the group another name",
					quote(n.Value), quote(by.group), by.name, d.seen(by.place))
				return
			case near && !warned:
				d.warn(n, "service group %s differs from %s of app %s (%s) only in case; if the NetScaler ignores case, the two apps undo each other's changes: give one group another name",
					quote(n.Value), quote(by.group), by.name, d.seen(by.place))
				warned = true
			}
			defs.claims[claim{same, app.Group}] = claimant{shown, app.Group, d.place(n)}
			defs.caseless[c] = claimant{shown, app.Group, d.place(n)}
		}
	}
}

// AppNames are the names of the apps of a mapping, whatever is wrong with it; none of
// what cannot be read.
func (f *Files) AppNames() (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.gather(true) {
		var m struct{ Apps []struct{ Name string } }
		_ = yaml.Unmarshal(d.content, &m) // as far as it goes
		for _, app := range m.Apps {
			if printable(app.Name) {
				names = append(names, app.Name)
			}
		}
	}
	return names
}
