package simulator

import "slices"

func (p *partition) list(vservers bool) *[]*object {
	if vservers {
		return &p.vserver
	}
	return &p.monitor
}

// objectCommands are add, set and rm of a thing that is only kept.
func objectCommands(noun, key string, words []string, attrs []attr, vservers bool) (add, set, rm *command) {
	keyAttr := attr{name: key, kind: identifier, required: true}
	find := func(x *exec, it item) (*object, *failure) {
		if o := findObject(*x.part.list(vservers), it.get(key)); o != nil {
			return o, nil
		}
		return nil, fail(codeNoResource, key, it.get(key))
	}
	add = &command{cli: "add " + noun, words: words, attrs: attrs,
		run: func(x *exec, it item) (func(), *failure) {
			list := x.part.list(vservers)
			if o := findObject(*list, it.get(key)); o != nil {
				for _, a := range attrs {
					if a.fixed && x.idempotent && it.has(a.name) && it.get(a.name) != o.values[a.name] {
						return nil, fail(codeInvalidArgument, a.name)
					}
				}
				return nil, fail(codeExists)
			}
			if it.has("ipv46") != it.has("port") {
				return nil, fail(codePrerequisite, "port", "IPAddress")
			}
			o := &object{name: it.get(key), values: it.values, extra: x.extra}
			*list = append(*list, o)
			return func() { *list = slices.DeleteFunc(*list, func(other *object) bool { return other == o }) }, nil
		}}
	set = &command{cli: "set " + noun, words: []string{key},
		attrs: slices.DeleteFunc(slices.Clone(attrs), func(a attr) bool { return a.fixed }),
		run: func(x *exec, it item) (func(), *failure) {
			o, f := find(x, it)
			if f != nil {
				return nil, f
			}
			for k, v := range it.values {
				o.values[k] = v
			}
			return nil, nil
		}}
	rm = &command{cli: "rm " + noun, words: []string{key}, attrs: []attr{keyAttr, {name: "type"}},
		run: func(x *exec, it item) (func(), *failure) {
			o, f := find(x, it)
			if f != nil {
				return nil, f
			}
			list := x.part.list(vservers)
			*list = slices.DeleteFunc(*list, func(other *object) bool { return other == o })
			return nil, nil
		}}
	return add, set, rm
}

var (
	addVserver, setVserver, rmVserver = objectCommands("lb vserver", "name", []string{"name", "servicetype", "ipv46", "port"}, vserverAttrs, true)
	addMonitor, setMonitor, rmMonitor = objectCommands("lb monitor", "monitorname", []string{"monitorname", "type"}, monitorAttrs, false)
)

func objectName(o *object) string { return o.name }

func (x *exec) objectFields(l *listing, o *object, attrs []attr, defaults map[string]string) {
	for _, a := range attrs {
		v, ok := o.values[a.name]
		if !ok {
			v, ok = defaults[a.name]
		}
		switch {
		case !ok:
			l.absent(a.name)
		case a.kind == integer:
			l.number(a.name, item{values: map[string]string{"": v}}.int(""))
		default:
			l.text(a.name, v)
		}
	}
}
