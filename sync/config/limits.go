package config

import (
	"net/netip"
	glob "path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"nitrox/sources"
)

// limitKeys are the keys of an include entry that limit what its files may say.
type limitKeys struct {
	AllowGroups []string       `yaml:"allow_groups"`
	AllowApps   []string       `yaml:"allow_apps"`
	NetScalers  []string       `yaml:"netscalers"`
	Sources     []string       `yaml:"sources"`
	Namespaces  []string       `yaml:"namespaces"`
	Only        []netip.Prefix `yaml:"only"`
}

// limits are what whoever includes a file lets it say: then it has apps and defaults of its
// own, and nothing that names files, secrets, or what others own. Each key limits what it
// names.
type limits struct {
	limitKeys
	object *object
	node   *yaml.Node
	by     *decoder
	room   int // that its files take
}

// at is where the limits stand.
func (l *limits) at() string { return l.by.place(l.node).String() }

// check finds what is wrong with the limits by themselves.
func (l *limits) check() {
	for key, n := range l.object.values {
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			l.by.problem(n, "%s: the list is empty; name at least one, or remove the key", key)
		}
	}
	if _, given := l.object.values["allow_groups"]; !given {
		l.by.missing(l.object, "allow_groups", `name the service groups that the file's apps may have, such as "sg-shop-*"`)
	}
	for key, patterns := range map[string][]string{"allow_groups": l.AllowGroups, "allow_apps": l.AllowApps} {
		for _, pattern := range patterns {
			if _, err := glob.Match(pattern, ""); err != nil {
				l.by.problem(l.object.values[key], "%s: %s is not a pattern; write it like sg-shop-*", key, quote(pattern))
			}
		}
	}
}

// defined finds names in the limits that nothing has.
func (l *limits) defined(defs *definitions) {
	known := map[string][]string{"sources": names(defs.sources, sourceName), "netscalers": names(defs.appliances, applianceName)}
	for key, list := range map[string][]string{"sources": l.Sources, "netscalers": l.NetScalers} {
		for _, name := range list {
			if !slices.Contains(known[key], name) {
				l.by.problem(l.object.values[key], "%s: %s is not defined%s", key, quote(name), didYouMean(name, known[key]))
			}
		}
	}
}

// inherit are the defaults that a file begins with: those of the file that includes it,
// within its limits.
func (d *decoder) inherit() policyKeys {
	if d.by == nil {
		return standard
	}
	p := d.by.defaults
	limits := d.limit().Only
	if len(limits) == 0 {
		return p
	}
	inherited := p.Only
	p.Only = nil
	for _, limit := range limits {
		for _, own := range inherited {
			switch {
			case covers(limit, own):
				p.Only = append(p.Only, own)
			case covers(own, limit):
				p.Only = append(p.Only, limit)
			}
		}
	}
	if len(inherited) == 0 {
		p.Only = limits
	} else if len(p.Only) == 0 {
		d.by.problem(d.limits.object.at("only"), "only: has no address in common with the only of this file's defaults; correct one of them")
	}
	return p
}

// covers: all of the network in is in the network of.
func covers(of, in netip.Prefix) bool { return of.Bits() <= in.Bits() && of.Contains(in.Addr()) }

// fence keeps the policies that an app, or the defaults, of a file with limits give within
// these; defaults are what it has without them.
func (d *decoder) fence(o *object, p *policyKeys, defaults policyKeys) {
	if d.limits == nil {
		return
	}
	if n, given := o.values["wait_up"]; given && p.WaitUp > d.by.defaults.WaitUp {
		d.problem(n, "wait_up: all apps of the NetScaler would wait; write at most %s, or have more in the defaults of %s", d.by.defaults.WaitUp, d.by.file)
	}
	if n, given := o.values["clean_servers"]; given && p.Clean && !d.by.defaults.Clean {
		d.problem(n, "clean_servers: servers are not the file's own, which has limits (%s); remove the key, or have it in the defaults there", d.limits.at())
	}
	n, given := o.values["only"]
	if !given || o.wrong["only"] || len(d.limits.Only) == 0 {
		return
	}
	if len(p.Only) == 0 {
		p.Only = defaults.Only
	}
	for _, network := range p.Only {
		if !slices.ContainsFunc(d.limits.Only, func(limit netip.Prefix) bool { return covers(limit, network) }) {
			d.problem(n, "only: %s is beyond the only of %s; choose networks in it", network, d.limits.at())
		}
	}
}

// allowed refuses a name that does not fit the limit of the file which has the key.
func (d *decoder) allowed(n *yaml.Node, what, name, key string, patterns []string) bool {
	const longest = 127 // of a group, by the documents; a name is in each line of a log
	switch {
	case d.limits != nil && len(name) > longest:
		d.problem(n, "%s: has %d characters, and in a file with limits (%s) it may have %d; shorten it", what, len(name), d.limits.at(), longest)
		return false
	case patterns == nil || fits(name, patterns):
		return true
	}
	d.problem(n, "%s: %s does not fit %s of %s (%s); choose a name that fits, or have this one allowed there",
		what, quote(name), key, d.limits.at(), strings.Join(patterns, ", "))
	return false
}

// mayFit: one of the patterns stands for the name, or would for one that differs only in case,
// which is the same if the NetScaler ignores case.
func (l *limits) mayFit(name string) bool {
	return slices.ContainsFunc(l.AllowGroups, func(pattern string) bool {
		return fits(strings.ToLower(name), []string{strings.ToLower(pattern)})
	})
}

// fits: one of the patterns, which were checked, stands for the name.
func fits(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, _ := glob.Match(pattern, name)
		return ok
	})
}

// limit is what the file may say; all keys are nil if it may say everything.
func (d *decoder) limit() limitKeys {
	if d.limits == nil {
		return limitKeys{}
	}
	return d.limits.limitKeys
}

// usable are the names of those that the file may use; limit is nil if it may use all.
func usable(all, limit []string) []string {
	if limit == nil {
		return all
	}
	return slices.DeleteFunc(all, func(name string) bool { return !slices.Contains(limit, name) })
}

// undefined reports a name that is none of those that may be used.
func (d *decoder) undefined(n *yaml.Node, what, name string, known, limit []string) {
	if limit != nil {
		d.problem(n, "%s%s may not be used here, by the limits of %s%s", what, quote(name), d.limits.at(), didYouMean(name, known))
		return
	}
	d.problem(n, "%s%s is not defined%s", what, quote(name), didYouMean(name, known))
}

// inside refuses a query beyond the namespaces that the file may ask about.
func (d *decoder) inside(n *yaml.Node, s *source, query any) {
	if d.limit().Namespaces == nil {
		return
	}
	q, ok := query.(sources.Namespaced)
	switch {
	case !ok:
		d.problem(n, "source %s has no namespaces, and %s limits this file to some; move the app to a file that is included without namespaces",
			quote(s.name), d.limits.at())
	case !slices.ContainsFunc(d.limits.Namespaces, q.In):
		d.problem(n, "from: what it asks about is beyond the namespaces of %s (%s); ask about what is in them", d.limits.at(), strings.Join(d.limits.Namespaces, ", "))
	}
}
