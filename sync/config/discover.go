package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"nitrox/sources"
	"nitrox/sync"
	"nitrox/sync/discover"

	"gopkg.in/yaml.v3"
)

// discoverKeys are the keys of an entry of discover, beside the policies that its apps
// have.
type discoverKeys struct {
	Source       string     `yaml:"source"`
	Select       string     `yaml:"select"`
	Namespaces   []string   `yaml:"namespaces"`
	ServiceGroup string     `yaml:"service_group"`
	AllowGroups  *yaml.Node `yaml:"allow_groups"`
	NetScaler    []string   `yaml:"netscaler"`
	Share        bool       `yaml:"share"`
	Orphans      orphans    `yaml:"orphans"`
	Owner        string     `yaml:"owner"`
	Paused       bool       `yaml:"paused"`
	Create       *yaml.Node `yaml:"create"`
}

type orphans string

const (
	keep  orphans = "keep"
	drain orphans = "drain"
)

func (orphans) Words() []string { return []string{string(keep), string(drain)} }
func (o orphans) Check() error  { return oneOf(o) }

// discover decodes the entries of the file's discover.
func (d *decoder) discover(defs *definitions, m *Mapping) {
	for i, n := range d.keys.Discover {
		e, o := d.discovery(n, i, defs, m)
		if o == nil {
			continue
		}
		for _, other := range m.Discoveries {
			if err := discover.Distinct(other.Entry, e.Entry); err != nil {
				d.refuseKey(o, "service_group", fmt.Sprintf("%v (see %s)", err, other.App.At))
				break
			}
			if key, remedy := mingled(other, e); key != "" {
				d.refuseKey(o, key, fmt.Sprintf("another entry has it too, with other policies, and whose a group has would be chance; "+
					"give both the same drain, only, paused and so on, or %s (see %s)", remedy, other.App.At))
				break
			}
		}
		m.Discoveries = append(m.Discoveries, e)
	}
}

// mingled is the key by which two entries may have a group in common, if it is not known
// whose policies that would have.
func mingled(a, b sync.Discovery) (key, remedy string) {
	together := slices.ContainsFunc(a.NetScalers, func(n string) bool { return slices.Contains(b.NetScalers, n) })
	switch {
	case !together || reflect.DeepEqual(a.App.Policy, b.App.Policy):
	case a.Share && b.Share:
		return "share", "let one of them not share"
	case a.Owner == b.Owner && a.Orphans && b.Orphans:
		return "owner", "each an owner of its own"
	}
	return "", ""
}

// discovery decodes the i-th entry; nil if nothing can be said of it.
func (d *decoder) discovery(n *yaml.Node, i int, defs *definitions, m *Mapping) (e sync.Discovery, o *object) {
	what := fmt.Sprintf("discover number %d", i+1)
	k, policies := discoverKeys{Orphans: keep}, d.defaults
	if o = d.object(n, what, &k, &policies); o == nil {
		return e, nil
	}
	refuse := func(key string, err error) {
		if err != nil {
			d.refuse(o, &sources.KeyError{Key: key, Err: err})
		}
	}
	named, given := o.values["source"]
	at := slices.IndexFunc(defs.sources, func(s *source) bool { return s.name == k.Source })
	switch {
	case !given:
		d.missing(o, "source", "say in which source apps opt in")
	case o.wrong["source"]:
	case at < 0:
		d.problem(named, "source %s is not defined%s", quote(named.Value), didYouMean(named.Value, names(defs.sources, sourceName)))
	default:
		defs.sources[at].used = true
	}
	if _, given := o.values["select"]; !given {
		d.missing(o, "select", "say by which label apps opt in, such as nitrox=on")
	}
	source := m.Sources[k.Source]
	if at < 0 || source.Poll == nil || o.stray || o.anyWrong() {
		return e, nil // of what is known there is nothing more to say
	}
	if source.Discoverer == nil {
		d.problem(named, "source: in %s no app can opt in; write its apps into the mapping", quote(k.Source))
		return e, nil
	}
	e.Entry = discover.Entry{
		Source: k.Source, Selection: sources.Selection{Select: k.Select, Namespaces: k.Namespaces}, Group: k.ServiceGroup,
		Allow: d.allowGroups(k.AllowGroups, o), NetScalers: d.targets(o, appKeys{NetScaler: k.NetScaler}, defs), Share: k.Share,
		Owner: k.Owner, Orphans: k.Orphans == drain, Most: policies.MaxRemove.N, Count: !policies.MaxRemove.Percent, Drain: policies.Drain,
	}
	fits := func(namespace string) bool {
		return source.CheckSelection(sources.Selection{Select: k.Select, Namespaces: []string{namespace}}) == nil
	}
	if e.Owner == "" {
		e.Owner = k.Source
	}
	if e.Group == "" {
		e.Group = discover.Standard(fits("a"))
	}
	if err := source.CheckSelection(e.Selection); err != nil {
		d.refuse(o, err)
	} else {
		refuse("service_group", e.Check(fits))
	}
	if err := discover.CheckOwner(e.Owner); k.Owner == "" && err != nil {
		refuse("owner", fmt.Errorf("is missing: %w", err))
	} else {
		refuse("owner", err)
	}
	if _, given := o.values["owner"]; e.Orphans && !given {
		refuse("owner", errors.New("is missing; orphans: drain needs a name that no other Nitrox has, so that none drains what another one made"))
	}
	if e.Orphans && !policies.AllowEmpty {
		d.warn(o.at("orphans"), "orphans: the last serving member of each group stays, as allow_empty is not true")
	}
	e.App = sync.App{At: fmt.Sprintf("%s:%d", d.file, n.Line), Policy: policies.policy(k.Paused)}
	if k.Create != nil {
		e.App.Create = d.create(k.Create, o.what, e.App)
	}
	return e, o
}

// allowGroups decodes patterns by namespace.
func (d *decoder) allowGroups(n *yaml.Node, o *object) map[string][]string {
	if n == nil {
		return nil
	}
	list, _ := d.entries(n, "allow_groups of "+o.what)
	all := map[string][]string{}
	for _, e := range list {
		var patterns []string
		key := "allow_groups of " + quote(e.key.Value)
		if !d.value(e.value, key, reflect.ValueOf(&patterns).Elem()) {
			continue
		}
		for i, p := range patterns {
			if err := discover.CheckPattern(p); err != nil {
				d.problem(item(e.value, fmt.Sprintf("[%d]", i)), "%s: %v", key, err)
			}
		}
		all[e.key.Value] = patterns
	}
	return all
}
