package simulator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// store is a kind of thing that is only kept: virtual servers, monitors.
type store struct {
	noun, key string
	words     []string // of its add
	again     []string // of its set, beside the key: what must be said again and stays
	attrs     []attr
	defaults  map[string]string // what one shows that was given nothing
	list      func(*partition) *[]*object
	builtin   func(name string) bool // whether there is one that nobody added
}

var (
	vservers = &store{
		noun: "lb vserver", key: "name", words: []string{"name", "servicetype", "ipv46", "port"},
		attrs: vserverAttrs, defaults: vserverDefaults, list: func(p *partition) *[]*object { return &p.vserver },
	}
	monitors = &store{
		noun: "lb monitor", key: "monitorname", words: []string{"monitorname", "type"}, again: []string{"type"},
		attrs: monitorAttrs, defaults: monitorDefaults, list: func(p *partition) *[]*object { return &p.monitor },
		builtin: func(name string) bool { return slices.Contains(builtinMonitors, name) },
	}
)

var (
	addVserver, setVserver, rmVserver = vservers.add(), vservers.set(), vservers.rm()
	unsetVserver, renameVserver       = vservers.unset(), vservers.rename()
	addMonitor, setMonitor, rmMonitor = monitors.add(), monitors.set(), monitors.rm()
	unsetMonitor                      = monitors.unset()
)

func (s *store) find(x *exec, it item) (*object, *failure) {
	if o := x.part.object(s, it.get(s.key)); o != nil {
		return o, nil
	}
	return nil, fail(codeNoResource, s.key, it.get(s.key))
}

func (s *store) keep(p *partition, o *object) {
	list := s.list(p)
	*list = append(*list, o)
	p.objects[thingKey{s.noun, o.name}] = o
}

// drop takes what is bound to a monitor with it.
func (s *store) drop(p *partition, o *object) {
	list := s.list(p)
	*list = slices.DeleteFunc(*list, func(other *object) bool { return other == o })
	delete(p.objects, thingKey{s.noun, o.name})
	if s == monitors {
		for _, g := range p.groups {
			g.dropMonitor(o.name)
		}
	}
}

func (s *store) keyAttr() attr { return attr{name: s.key, kind: identifier, required: true} }

func (s *store) add() *command {
	return &command{cli: "add " + s.noun, words: s.words, attrs: s.attrs,
		run: func(x *exec, it item) (func(), *failure) {
			if o := x.part.object(s, it.get(s.key)); o != nil {
				for _, a := range s.attrs {
					if a.fixed && x.idempotent && it.has(a.name) && !strings.EqualFold(it.get(a.name), s.value(o, a.name)) {
						return nil, fail(codeInvalidArgument, a.name)
					}
				}
				return nil, fail(codeExists)
			}
			if it.has("ipv46") != it.has("port") && !it.has("ippattern") {
				return nil, fail(codePrerequisite, "port", "IPAddress")
			}
			o := &object{name: it.get(s.key), values: it.values, wording: x.wording}
			s.keep(x.part, o)
			return func() { s.drop(x.part, o) }, nil
		}}
}

// value is one that the object was given, or its default.
func (s *store) value(o *object, name string) string {
	if v, ok := o.values[name]; ok {
		return v
	}
	return s.defaults[name]
}

func (s *store) set() *command {
	attrs := slices.DeleteFunc(slices.Clone(s.attrs), func(a attr) bool { return a.fixed && !slices.Contains(s.again, a.name) })
	for i := range attrs {
		attrs[i].required = attrs[i].name == s.key
	}
	return &command{cli: "set " + s.noun, words: append([]string{s.key}, s.again...), attrs: attrs,
		run: func(x *exec, it item) (func(), *failure) {
			o, f := s.find(x, it)
			if name := it.get(s.key); f != nil && s.builtin != nil && (s.builtin(name) || x.loading && it.has("type")) {
				o, f = builtinMonitor(name), nil // what a saved configuration sets, and does not add
				o.wording = x.wording
				if x.loading {
					o.values["type"] = cmp.Or(it.get("type"), o.values["type"])
				}
				s.keep(x.part, o)
			}
			if f != nil {
				return nil, f
			}
			for _, name := range s.again {
				if it.has(name) && !strings.EqualFold(it.get(name), o.values[name]) {
					return nil, fail(codeInvalidArgument, name)
				}
				delete(it.values, name)
			}
			maps.Copy(o.values, it.values)
			return nil, nil
		}}
}

func (s *store) unset() *command {
	attrs := []attr{s.keyAttr()}
	for _, a := range s.attrs {
		if a.name != s.key && !a.fixed || slices.Contains(s.again, a.name) {
			attrs = append(attrs, attr{name: a.name, cli: a.cli, kind: flag})
		}
	}
	for i := range attrs { // these name the object, with a value
		if slices.Contains(s.again, attrs[i].name) {
			attrs[i].kind = text
		}
	}
	return &command{cli: "unset " + s.noun, words: append([]string{s.key}, s.again...), attrs: attrs,
		run: on(s.find, func(x *exec, o *object, it item) (func(), *failure) {
			for name := range it.values {
				if name != s.key && !slices.Contains(s.again, name) {
					delete(o.values, name)
				}
			}
			return nil, nil
		})}
}

func (s *store) rm() *command {
	return &command{cli: "rm " + s.noun, words: []string{s.key}, attrs: []attr{s.keyAttr(), {name: "type"}},
		run: func(x *exec, it item) (func(), *failure) {
			o, f := s.find(x, it)
			if f == nil && it.has("type") && !strings.EqualFold(it.get("type"), s.value(o, "type")) {
				f = fail(codeInvalidArgument, "type")
			}
			if f == nil {
				s.drop(x.part, o)
			}
			return nil, f
		}}
}

func (s *store) rename() *command {
	return &command{cli: "rename " + s.noun, words: []string{s.key, "newname"},
		attrs: []attr{s.keyAttr(), {name: "newname", kind: identifier, required: true}},
		run: on(s.find, func(x *exec, o *object, it item) (func(), *failure) {
			if x.part.object(s, it.get("newname")) != nil {
				return nil, fail(codeExists)
			}
			delete(x.part.objects, thingKey{s.noun, o.name})
			o.name = it.get("newname")
			x.part.objects[thingKey{s.noun, o.name}] = o
			o.values[s.key] = o.name
			return nil, nil
		})}
}

func objectName(o *object) string { return o.name }

// objectFields writes what an object has. Numbers are those that NITRO gives as
// JSON numbers; it gives the others as text.
func (x *exec) objectFields(l *listing, o *object, s *store, numbers string) {
	asNumber := strings.Fields(numbers)
	for _, a := range s.attrs {
		v := s.value(o, a.name)
		switch {
		case v == "" || a.secret || x.lacks(a.name):
			l.absent(a.name)
		case a.kind == integer && slices.Contains(asNumber, a.name):
			l.number(a.name, item{values: map[string]string{"": v}}.int(""))
		case a.kind == integer:
			l.counter(a.name, item{values: map[string]string{"": v}}.int(""))
		case a.kind == list:
			l.words(a.name, strings.Fields(v))
		case a.kind == flag:
			l.flag(a.name, v == "true")
		default:
			l.text(a.name, v)
		}
	}
}
