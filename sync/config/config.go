// Package config reads the mapping file: which NetScalers there are, which
// sources, and which app is served by which service group.
//
// A mapping is one file or several, and used whole or not at all, but for files
// with limits, each of which stands for itself. [Files.Load] finds all that is wrong
// before anything is contacted, and says where.
package config

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/redact"
	"nitrox/sync"

	"gopkg.in/yaml.v3"
)

// Mapping is a mapping that has no problems.
type Mapping struct {
	NetScalers map[string]NetScaler
	Sources    map[string]sync.Source
	// Apps are in the order of the files.
	Apps []sync.App
	// Discoveries are where more apps come from.
	Discoveries []sync.Discovery
	// Unusable are the files with limits that cannot be used. All others are served.
	Unusable []Unusable
	// Digest is the SHA-256 of the file, in hexadecimal; of several, that of the lines
	// which have the digest of each: sha256sum FILE... | cut -c-64 | sha256sum.
	Digest string
	// Warnings are what is legal and unwise, such as http:// beyond loopback.
	Warnings []Problem
	// Advice is what validate warns of beside: it is common, and may be meant.
	Advice []Problem
	// Files is what is wrong with files that sources name. They are read again
	// for each poll, so whoever polls is told of it then, and serves the rest.
	Files []Problem
}

// Unusable is a file with limits that cannot be used, and why.
type Unusable struct {
	File     string
	Problems Problems
	// Old: what it said when it had no problems is used in its place.
	Old bool

	limits *limits
}

// Reserved names the file that cannot be used and may have an app with the service group;
// "": none. So nobody takes the group meanwhile.
func (m *Mapping) Reserved(group string) string {
	for _, l := range m.Unusable {
		if !l.Old && l.limits.mayFit(group) {
			return l.File
		}
	}
	return ""
}

// NetScaler is one entry of netscalers.
type NetScaler struct {
	// Config has its URLs normalised: lower case, no default port, no trailing
	// slash. Two entries that share one URL are one appliance. A partition of
	// "" is the default one, however it was written.
	Config netscaler.Config
	// Save is whether changes are saved (save: on_change, the default).
	Save bool
	// SaveEvery is the least time between two saves of a loop; 5 minutes if
	// the file does not say.
	SaveEvery time.Duration
}

// Load reads the mapping. kinds are the sources it may name.
//
// Secrets and certificates that the files name are read, to see that they can
// be; nothing is contacted. If anything is wrong the error is [Problems], and
// there is no mapping, but for what is wrong in files with limits.
func (f *Files) Load(kinds []sources.Kind) (*Mapping, error) {
	m, problems := f.Draft(kinds)
	if len(problems) == 0 {
		return m, nil
	}
	for _, l := range m.Unusable {
		problems = append(problems, l.Problems...)
	}
	return nil, problems
}

// Draft is what can be made of a mapping that may have problems: to be looked
// at, never to be run. Whatever a problem is about may be missing from it, or empty.
func (f *Files) Draft(kinds []sources.Kind) (*Mapping, Problems) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.gather(false)
	m := &Mapping{NetScalers: map[string]NetScaler{}, Sources: map[string]sync.Source{}, Digest: digest(all)}
	defs := &definitions{names: map[string]place{}, claims: map[claim]claimant{}, caseless: map[claim]claimant{}}
	var trusted, limited []*decoder
	whole := true // all that may have what is missing could be read
	for _, d := range all {
		read := len(d.problems) == 0
		if d.sections(); d.limits == nil {
			trusted = append(trusted, d)
			whole = whole && read && d.top != nil && !d.top.wrong["include"]
		} else {
			limited = append(limited, d)
		}
	}
	for _, d := range trusted {
		if d.keys.NetScalers != nil {
			d.netscalers(d.keys.NetScalers, m, defs)
		}
		if d.keys.Sources != nil {
			d.sources(d.keys.Sources, kinds, m, defs)
		}
	}
	if whole {
		trusted[0].lacking(trusted, limited, kinds)
	}
	for _, d := range trusted {
		d.setDefaults()
		d.apps(defs)
		d.discover(defs, m)
	}
	// What a file has that is as it was when it was right, no other takes from it.
	changed := func(d *decoder) bool { return !bytes.Equal(d.content, f.good[d.file]) }
	limited = slices.Concat(slices.DeleteFunc(slices.Clone(limited), changed),
		slices.DeleteFunc(slices.Clone(limited), func(d *decoder) bool { return !changed(d) }))
	for _, d := range limited {
		f.limited(d, defs, m)
	}
	out := m.Unusable
	for _, d := range limited {
		d.reserve(out, m)
		if len(d.problems) == 0 {
			f.good[d.file] = d.content
		}
	}
	var problems Problems
	for _, s := range defs.sources {
		if !s.used && len(m.Unusable) == 0 { // one of these may use it
			s.at.warn(s.key, "no app uses source %s", quote(s.name))
		}
	}
	for _, d := range all {
		m.Apps = append(m.Apps, d.served...)
		m.Warnings = append(m.Warnings, inOrder(d.warnings)...)
		m.Advice = append(m.Advice, inOrder(d.advice)...)
		m.Files = append(m.Files, inOrder(d.files)...)
		if d.limits == nil {
			problems = append(problems, inOrder(d.problems)...)
		}
	}
	m.common()
	return m, problems
}

// limited takes the apps of a file with limits: all of them, or none, and it is unusable.
// Then those are taken that it had when it was right.
func (f *Files) limited(d *decoder, defs *definitions, m *Mapping) {
	if d.limits.object != nil {
		d.limits.defined(defs)
	}
	if d.setDefaults(); d.top != nil {
		d.apps(defs)
	}
	if len(d.problems) == 0 {
		return
	}
	defs.forget(d.file)
	left := Unusable{File: d.file, Problems: inOrder(d.problems), limits: d.limits}
	d.served, d.claimed, d.warnings, d.advice = nil, nil, nil, nil
	if before := f.good[d.file]; before != nil {
		old := &decoder{file: d.file, dir: d.dir, by: d.by, limits: d.limits, lookup: d.lookup, hidden: map[*yaml.Node][]hidden{}}
		old.root = old.text(before)
		old.sections()
		old.setDefaults()
		if old.apps(defs); len(old.problems) == 0 {
			left.Old, d.served, d.claimed = true, old.served, old.claimed
		} else {
			defs.forget(d.file)
		}
	}
	m.Unusable = append(m.Unusable, left)
}

// reserve makes a file with limits unusable that takes a group which another, of other
// limits and unusable, may have.
func (d *decoder) reserve(out []Unusable, m *Mapping) {
	before := len(d.problems)
	for _, n := range d.claimed {
		for _, l := range out {
			if !l.Old && l.limits != d.limits && l.limits.mayFit(n.Value) {
				d.problem(n, "service group %s may be that of an app of %s, which cannot be used; correct that file first", quote(n.Value), l.File)
			}
		}
	}
	if len(d.problems) > before {
		m.Unusable = append(m.Unusable, Unusable{File: d.file, Problems: inOrder(d.problems[before:]), limits: d.limits})
		d.served = nil
	}
}

// Begin reads the beginning of a mapping that has no apps yet: NetScalers, if there
// are any, and sources. Problems are said to be in file; a relative path is taken
// from dir.
func Begin(file, dir string, text []byte, kinds []sources.Kind, lookup func(string) (string, bool)) (*Mapping, error) {
	d := &decoder{file: file, dir: dir, lookup: lookup, hidden: map[*yaml.Node][]hidden{}}
	m := &Mapping{NetScalers: map[string]NetScaler{}, Sources: map[string]sync.Source{}}
	defs := &definitions{}
	if root := d.text(text); root != nil && d.object(root, "the mapping", &d.keys) != nil {
		if d.keys.NetScalers != nil {
			d.netscalers(d.keys.NetScalers, m, defs)
		}
		d.sources(d.keys.Sources, kinds, m, defs)
	}
	if len(d.problems) > 0 {
		return nil, Problems(inOrder(d.problems))
	}
	m.Warnings, m.Files = inOrder(d.warnings), inOrder(d.files)
	m.common()
	return m, nil
}

// fileKeys are the keys of a mapping file itself.
type fileKeys struct {
	NetScalers *yaml.Node   `yaml:"netscalers"`
	Sources    *yaml.Node   `yaml:"sources"`
	Defaults   *yaml.Node   `yaml:"defaults"`
	Apps       []*yaml.Node `yaml:"apps"`
	Discover   []*yaml.Node `yaml:"discover"`
	Include    []*yaml.Node `yaml:"include"`
}

// sections finds those of the file.
func (d *decoder) sections() {
	if d.root == nil {
		return
	}
	d.top = d.object(d.root, "the mapping file", &d.keys)
	if d.top == nil {
		return
	}
	for key, n := range d.top.values {
		if d.limits != nil && key != "defaults" && key != "apps" {
			d.problem(n, "%s: this file has limits (%s), so it may have only defaults and apps; move it to %s", key, d.limits.at(), d.by.file)
		} else if d.by != nil && key == "include" {
			d.problem(n, "include: this file is included itself; include the others from %s, too", d.by.file)
		}
	}
}

// setDefaults decodes the defaults of the file's apps.
func (d *decoder) setDefaults() {
	d.defaults = d.inherit()
	if d.keys.Defaults == nil {
		return
	}
	before, given := len(d.problems), d.defaults
	if o := d.object(d.keys.Defaults, "defaults", &given); o != nil {
		d.fence(o, &given, d.defaults)
	}
	if len(d.problems) == before { // once told is enough
		d.defaults = given
	}
}

// lacking reports what no file has, in the first.
func (d *decoder) lacking(trusted, limited []*decoder, kinds []sources.Kind) {
	has := func(key string) bool {
		return slices.ContainsFunc(trusted, func(d *decoder) bool { return d.top.values[key] != nil })
	}
	if !has("netscalers") {
		d.missing(d.top, "netscalers", `name at least one: "netscalers: {edge: {url: https://192.0.2.10}}"`)
	}
	if !has("sources") {
		d.missing(d.top, "sources", "name at least one, of kind "+or(names(kinds, kindName)))
	}
	apps := len(limited)
	for _, d := range trusted {
		apps += len(d.keys.Apps) + len(d.keys.Discover)
		if d.top.wrong["apps"] || d.top.wrong["discover"] {
			apps++
		}
	}
	if apps == 0 {
		d.missing(d.top, "apps", "there is nothing to keep in step")
	}
	for _, d := range trusted {
		if d.top.values["apps"] != nil && len(d.keys.Apps) == 0 && !d.top.wrong["apps"] {
			d.missing(d.top, "apps", "there is nothing to keep in step")
		}
		if d.top.values["discover"] != nil && len(d.keys.Discover) == 0 && !d.top.wrong["discover"] {
			d.missing(d.top, "discover", "name a source in which apps opt in, or remove it")
		}
		others := func(key string) bool { return key != "netscalers" && key != "sources" && key != "defaults" }
		if n := d.top.values["defaults"]; n != nil && len(trusted)+len(limited) > 1 && !slices.ContainsFunc(slices.Collect(maps.Keys(d.top.values)), others) {
			d.problem(n, "defaults: are those of the apps in this file and in what it includes, and there are none; move them to the apps")
		}
	}
}

// common makes known what reports consist of.
func (m *Mapping) common() {
	for name, n := range m.NetScalers {
		redact.Common(name, n.Config.Username)
	}
	for name := range m.Sources {
		redact.Common(name)
	}
	for _, a := range m.Apps {
		redact.Common(a.Name, a.Group)
	}
}
