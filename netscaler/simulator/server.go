package simulator

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
)

// serverKept are attributes of a server that have no meaning here: they say how a
// domain is resolved.
var serverKept = []attr{
	{name: "translationip", cli: "translationIp", kind: address},
	{name: "translationmask", cli: "translationMask", kind: address},
	{name: "domainresolveretry", cli: "domainResolveRetry", kind: integer, min: 5, max: 20939},
	{name: "querytype", cli: "queryType", kind: choice, enum: "A AAAA SRV", fixed: true},
}

// keep takes over what the item says of them.
func (s *server) keep(it item) {
	for _, a := range serverKept {
		if it.has(a.name) {
			s.kept = maps.Clone(s.kept) // a pair of nodes shares nothing
			if s.kept == nil {
				s.kept = map[string]string{}
			}
			s.kept[a.name] = it.get(a.name)
		}
	}
}

var addServer = &command{
	cli: "add server", words: []string{"name", "ipaddress|domain"},
	attrs: append([]attr{
		{name: "name", kind: identifier, required: true},
		{name: "ipaddress", cli: "IPAddress", kind: address},
		{name: "domain", max: 255},
		stateAttr,
		{name: "ipv6address", cli: "ipv6Address", kind: choice, enum: yesNo},
		{name: "td", kind: integer, max: 4094},
		{name: "comment"},
	}, serverKept...),
	run: func(x *exec, it item) (func(), *failure) {
		name := it.get("name")
		switch {
		case x.part.byName[name] != nil:
			if a := x.part.byName[name].differs(it); a != "" && x.idempotent { // in the words that the XDS adaptor looks for
				return nil, fail(codeValue, a, "value differs from existing entity and it cant be updated.")
			}
			return nil, fail(codeExists)
		case it.has("ipaddress") && it.has("domain"):
			return nil, fail(codeBothArguments, "IPAddress", "domain")
		case !it.has("ipaddress") && it.get("domain") == "":
			return nil, fail(codeArgumentMissing, "IPAddress")
		}
		s := &server{name: name, text: it.get("domain"), td: it.int("td"), comment: it.get("comment"), wording: x.wording,
			admin: admin{disabled: it.get("state") == "DISABLED", at: x.now}}
		s.resolved = x.opt.Resolved[s.text]
		s.keep(it)
		if it.has("domain") && it.has("ipv6address") { // of an address it says nothing new
			s.v6 = it.get("ipv6address")
		}
		if it.has("ipaddress") {
			s.addr, s.text = it.addr("ipaddress"), it.get("ipaddress")
			if x.part.byAddr[s.place()] != nil {
				return nil, fail(codeServerExists, s.text)
			}
		}
		x.part.addServer(s)
		return func() { x.part.removeServer(s) }, nil
	},
}

// differs names an attribute that cannot be changed and would have to be.
func (s *server) differs(it item) string {
	now := map[string]string{"domain": s.text, "td": strconv.Itoa(s.td), "querytype": cmp.Or(s.kept["querytype"], it.get("querytype"))}
	if s.addr.IsValid() {
		now["domain"] = ""
	}
	for _, name := range []string{"domain", "td", "querytype"} {
		if it.has(name) && it.get(name) != now[name] {
			return name
		}
	}
	return ""
}

var setServer = &command{
	cli: "set server", words: []string{"name"},
	attrs: append([]attr{
		{name: "name", kind: identifier, required: true},
		{name: "ipaddress", cli: "IPAddress", kind: address},
		{name: "comment"},
		{name: "domainresolvenow", cli: "domainResolveNow", kind: flag},
	}, slices.DeleteFunc(slices.Clone(serverKept), func(a attr) bool { return a.fixed })...),
	run: on((*exec).findServer, func(x *exec, s *server, it item) (func(), *failure) {
		if it.has("ipaddress") {
			to := place{it.addr("ipaddress"), s.td}
			if other := x.part.byAddr[to]; other != nil && other != s {
				return nil, fail(codeServerExists, it.get("ipaddress"))
			}
			delete(x.part.byAddr, s.place())
			s.addr, s.text = to.addr, it.get("ipaddress")
			x.part.byAddr[to] = s
			x.reprobe(s)
		}
		if it.has("comment") {
			s.comment = it.get("comment")
		}
		s.keep(it)
		return nil, nil
	}),
}

var unsetServer = &command{
	cli: "unset server", words: []string{"name"},
	attrs: []attr{{name: "name", kind: identifier, required: true}, {name: "comment", kind: flag}},
	run: func(x *exec, it item) (func(), *failure) {
		s, f := x.findServer(it)
		if f == nil && it.has("comment") {
			s.comment = ""
		}
		return nil, f
	},
}

var renameServer = &command{
	cli: "rename server", words: []string{"name", "newname"},
	attrs: []attr{{name: "name", kind: identifier, required: true}, {name: "newname", kind: identifier, required: true}},
	run: on((*exec).findServer, func(x *exec, s *server, it item) (func(), *failure) {
		if x.part.byName[it.get("newname")] != nil {
			return nil, fail(codeExists)
		}
		x.part.renameServer(s, it.get("newname"))
		return nil, nil
	}),
}

// reprobe restarts the monitors of the members that a server is.
func (x *exec) reprobe(s *server) {
	for _, g := range x.part.groups {
		for _, m := range g.members {
			if m.server == s {
				m.probed = health{up: !g.down[netip.AddrPortFrom(s.addr, m.port)], at: x.now}
			}
		}
	}
}

var rmServer = &command{
	cli: "rm server", words: []string{"name"}, attrs: []attr{{name: "name", kind: identifier, required: true}},
	run: on((*exec).findServer, func(x *exec, s *server, _ item) (func(), *failure) {
		x.part.removeServer(s)
		return nil, nil
	}),
}

var enableServer = &command{
	cli: "enable server", words: []string{"name"}, attrs: []attr{{name: "name", kind: identifier, required: true}},
	run: func(x *exec, it item) (func(), *failure) {
		s, f := x.findServer(it)
		if f == nil && s.disabled {
			s.admin = admin{at: x.now}
			x.reprobe(s)
		}
		return nil, f
	},
}

var disableServer = &command{
	cli: "disable server", words: []string{"name"},
	attrs: append([]attr{{name: "name", kind: identifier, required: true}}, disableAttrs...),
	run: on((*exec).findServer, func(x *exec, s *server, it item) (func(), *failure) {
		s.admin = disabledBy(it, x.now)
		return nil, nil
	}),
}

func (x *exec) findServer(it item) (*server, *failure) {
	if s := x.part.byName[it.get("name")]; s != nil {
		return s, nil
	}
	return nil, fail(codeNoResource, "name", it.get("name"))
}

// named lists one thing or all of them, as the path has a name or not.
func named[T any](list []T, name func(T) string, q *query, row func(T)) *failure {
	if !q.named {
		for _, t := range list {
			row(t)
		}
		return nil
	}
	i := slices.IndexFunc(list, func(t T) bool { return name(t) == q.name })
	if i < 0 {
		return fail(codeNoResource, "name", q.name)
	}
	row(list[i])
	return nil
}

func serverName(s *server) string { return s.name }

func showServers(x *exec, q *query, l *listing) *failure {
	return named(x.part.servers, serverName, q, func(s *server) {
		l.begin()
		l.text("name", s.name)
		if s.addr.IsValid() {
			l.put("ipaddress", s.text, "domain", nil)
		} else {
			l.put("ipaddress", "0.0.0.0", "domain", s.text)
		}
		l.put("state", s.stateName(), "ipv6address", map[bool]string{true: "YES", false: "NO"}[s.addr.Is6()], "td", counter(s.td))
		for _, a := range serverKept {
			switch v := s.kept[a.name]; {
			case v == "" || x.lacks(a.name):
				l.absent(a.name)
			case a.kind == integer:
				l.number(a.name, item{values: s.kept}.int(a.name))
			default:
				l.text(a.name, v)
			}
		}
		l.put("comment", given(s.comment))
		l.text("statechangetimesec", x.stamp(s.at))
		l.end()
	})
}

// showServerGroups lists the members that a server is.
func showServerGroups(x *exec, q *query, l *listing) *failure {
	return named(x.part.servers, serverName, q, func(s *server) { x.serverGroupRows(l, s) })
}

func (x *exec) serverGroupRows(l *listing, s *server) {
	for _, g := range x.part.groups {
		for _, m := range g.members {
			if m.server != s {
				continue
			}
			state, _, _ := x.serving(m, x.now)
			l.begin()
			l.text("name", s.name)
			l.text("servicegroupname", g.name)
			l.text("svctype", g.kind)
			l.text("serviceipaddress", s.ip())
			l.number("port", int(m.port))
			l.text("svrstate", state)
			l.end()
		}
	}
}

func showServerBinding(x *exec, q *query, l *listing) *failure {
	return named(x.part.servers, serverName, q, func(s *server) {
		l.begin()
		l.text("name", s.name)
		l.nested("server_servicegroup_binding", func(l *listing) { x.serverGroupRows(l, s) })
		l.end()
	})
}
