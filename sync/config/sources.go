package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"nitrox/sources"
	"nitrox/sync"

	"gopkg.in/yaml.v3"
)

// sourceKeys are the keys that all kinds of sources have.
type sourceKeys struct {
	Timeout time.Duration `yaml:"timeout"`
}

func (k *sourceKeys) Check() error {
	if k.Timeout == 0 {
		return &sources.KeyError{Key: "timeout", Err: errors.New("must be more than 0")}
	}
	return nil
}

// source is a source that a from entry may name.
type source struct {
	name   string
	at     *decoder
	key    *yaml.Node
	kind   *sources.Kind // nil: it could not be found out
	config any           // nil: it could not be read
	used   bool
}

func sourceName(s *source) string    { return s.name }
func kindName(k sources.Kind) string { return k.Name }

func (d *decoder) sources(n *yaml.Node, kinds []sources.Kind, m *Mapping, defs *definitions) {
	list, ok := d.entries(n, "sources")
	if ok && len(list) == 0 {
		d.problem(n, "sources: is empty; name at least one")
	}
	for _, e := range list {
		d.name(e.key, e.key.Value, "a source")
		s := &source{name: e.key.Value, at: d, key: e.key}
		if i := slices.IndexFunc(defs.sources, func(o *source) bool { return o.name == s.name }); i >= 0 {
			first := defs.sources[i]
			d.problem(e.key, "source %s is defined twice; the first is %s", quote(s.name), d.on(first.at.place(first.key)))
			continue
		}
		defs.sources = append(defs.sources, s)
		m.Sources[s.name] = d.source(e.value, s, kinds)
	}
}

func (d *decoder) source(n *yaml.Node, s *source, kinds []sources.Kind) sync.Source {
	what := fmt.Sprintf("source %s", quote(s.name))
	known := names(kinds, kindName)
	list, ok := d.entries(n, what)
	if !ok {
		return sync.Source{}
	}
	if len(list) != 1 {
		d.problem(n, "%s: must have exactly one kind: %s", what, or(known))
		return sync.Source{}
	}
	e := list[0]
	for i := range kinds {
		if kinds[i].Name == e.key.Value {
			s.kind = &kinds[i]
		}
	}
	if s.kind == nil {
		d.problem(e.key, "%s: unknown kind %s; this build reads %s", what, quote(e.key.Value), and(known))
		return sync.Source{}
	}
	common := sourceKeys{Timeout: 15 * time.Second}
	config := reflect.New(s.kind.Config)
	before := len(d.problems)
	o := d.object(e.value, what, &common, config.Interface())
	if len(d.problems) > before {
		return sync.Source{}
	}
	s.config = config.Elem().Interface()
	if w, ok := s.config.(sources.Warner); ok {
		d.advise(o, w.Warnings())
	}
	opened, err := s.kind.Open(s.config)
	d.refuse(o, err)
	if c, ok := s.config.(sources.FileChecker); ok && err == nil {
		d.files = append(d.files, d.aside(o, c.CheckFiles())...)
	}
	return sync.Source{Opened: opened, Timeout: common.Timeout}
}
