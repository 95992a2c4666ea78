// Package config reads the mapping file: which NetScalers there are, which
// sources, and which app is served by which service group.
//
// A file is used whole or not at all. [Load] finds all that is wrong with it
// before anything is contacted, and says where.
package config

import (
	"path/filepath"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/redact"
	"nitrox/sync"

	"gopkg.in/yaml.v3"
)

// Mapping is a mapping file that has no problems.
type Mapping struct {
	NetScalers map[string]NetScaler
	Sources    map[string]sync.Source
	// Apps are in the order of the file.
	Apps []sync.App
	// Discoveries are where more apps come from.
	Discoveries []sync.Discovery
	// Digest is the SHA-256 of the file, in hexadecimal.
	Digest string
	// Warnings are what is legal and unwise, such as http:// beyond loopback.
	Warnings []Problem
	// Advice is what validate warns of beside: it is common, and may be meant.
	Advice []Problem
	// Files is what is wrong with files that sources name. They are read again
	// for each poll, so whoever polls is told of it then, and serves the rest.
	Files []Problem
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

// Load reads the mapping file. kinds are the sources it may name, and lookup
// is the environment ([os.LookupEnv]).
//
// Secrets and certificates that the file names are read, to see that they can
// be; nothing is contacted. If anything is wrong the error is [Problems], and
// there is no mapping.
func Load(file string, kinds []sources.Kind, lookup func(string) (string, bool)) (*Mapping, error) {
	m, problems := Draft(file, kinds, lookup)
	if len(problems) > 0 {
		return nil, problems
	}
	return m, nil
}

// Draft is what can be made of a mapping file that may have problems: to be looked
// at, never to be run. Whatever a problem is about may be missing from it, or empty.
func Draft(file string, kinds []sources.Kind, lookup func(string) (string, bool)) (*Mapping, Problems) {
	d := &decoder{file: file, dir: filepath.Dir(file), lookup: lookup, hidden: map[*yaml.Node][]hidden{}}
	m := &Mapping{}
	if root := d.document(); root != nil {
		d.mapping(root, kinds, m)
	}
	m.Warnings, m.Digest = inOrder(d.warnings), d.digest
	m.Advice, m.Files = inOrder(d.advice), inOrder(m.Files)
	return m, inOrder(d.problems)
}

// Begin reads the beginning of a mapping that has no apps yet: NetScalers, if there
// are any, and sources. Problems are said to be in file; a relative path is taken
// from dir.
func Begin(file, dir string, text []byte, kinds []sources.Kind, lookup func(string) (string, bool)) (*Mapping, error) {
	d := &decoder{file: file, dir: dir, lookup: lookup, hidden: map[*yaml.Node][]hidden{}}
	m := &Mapping{}
	var keys fileKeys
	if root := d.text(text); root != nil && d.object(root, "the mapping", &keys) != nil {
		if keys.NetScalers != nil {
			d.netscalers(keys.NetScalers, m)
		}
		d.sources(keys.Sources, kinds, m)
	}
	if len(d.problems) > 0 {
		return nil, Problems(inOrder(d.problems))
	}
	m.Warnings, m.Files = inOrder(d.warnings), inOrder(m.Files)
	m.common()
	return m, nil
}

// fileKeys are the keys of the mapping file itself.
type fileKeys struct {
	NetScalers *yaml.Node   `yaml:"netscalers"`
	Sources    *yaml.Node   `yaml:"sources"`
	Defaults   *yaml.Node   `yaml:"defaults"`
	Apps       []*yaml.Node `yaml:"apps"`
	Discover   []*yaml.Node `yaml:"discover"`
}

func (d *decoder) mapping(root *yaml.Node, kinds []sources.Kind, m *Mapping) {
	var keys fileKeys
	o := d.object(root, "the mapping file", &keys)
	if o == nil {
		return
	}
	defaults := standard
	if keys.Defaults != nil {
		before := len(d.problems)
		d.object(keys.Defaults, "defaults", &defaults)
		if len(d.problems) > before {
			defaults = standard // once told is enough
		}
	}
	var appliances []*appliance
	if keys.NetScalers == nil {
		d.missing(o, "netscalers", `name at least one: "netscalers: {edge: {url: https://192.0.2.10}}"`)
	} else {
		appliances = d.netscalers(keys.NetScalers, m)
	}
	var defined []*source
	if keys.Sources == nil {
		d.missing(o, "sources", "name at least one, of kind "+or(names(kinds, kindName)))
	} else {
		defined = d.sources(keys.Sources, kinds, m)
	}
	d.discover(keys.Discover, defaults, &definitions{appliances: appliances, sources: defined}, m)
	_, written := o.values["apps"]
	_, discovered := o.values["discover"]
	if len(keys.Apps) == 0 && !o.wrong["apps"] && (written || !discovered) {
		d.missing(o, "apps", "there is nothing to keep in step")
	}
	if len(keys.Discover) == 0 && !o.wrong["discover"] && discovered {
		d.missing(o, "discover", "name a source in which apps opt in, or remove it")
	}
	d.apps(keys.Apps, defaults, appliances, defined, m)
	m.common()
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
