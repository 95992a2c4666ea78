package simulator

import (
	"net/netip"
	"slices"
)

var (
	portAttr   = attr{name: "port", kind: integer, min: 1, max: 65535}
	serverAttr = attr{name: "servername", cli: "serverName"}
	ipAttr     = attr{name: "ip", cli: "IP", kind: address}
	stateAttr  = attr{name: "state", kind: choice, enum: enabled, def: "ENABLED"}
)

// memberSettings are what can be set of a member in place. There is no ip: the
// server is named (NITRO documentation, servicegroup, update).
var memberSettings = []attr{
	serverAttr, portAttr,
	{name: "weight", kind: integer, min: 1, max: 100},
	{name: "customserverid", cli: "CustomServerID", max: 63},
	{name: "serverid", cli: "serverId", kind: integer, max: 4294967295},
	{name: "hashid", cli: "hashId", kind: integer, min: 1, max: 4294967295},
	{name: "order", kind: integer, min: 1, max: 8192},
	{name: "nameserver", cli: "nameServer", kind: address},
	{name: "dbsttl", cli: "dbsTTL", kind: integer, max: 2147483647},
}

func isMemberSetting(name string) bool {
	return slices.ContainsFunc(memberSettings, func(a attr) bool { return a.name == name })
}

var bindMember = &command{
	cli: "bind serviceGroup", words: []string{"servicegroupname", "servername|ip", "port"},
	attrs: func() []attr {
		attrs := append([]attr{groupName, ipAttr}, memberSettings...)
		i := slices.IndexFunc(attrs, func(a attr) bool { return a.name == "weight" })
		attrs[i].def = "1"
		return append(attrs, stateAttr)
	}(),
	run: on((*exec).findGroup, func(x *exec, g *group, it item) (func(), *failure) {
		if f := mayBind(g); f != nil {
			return nil, f
		}
		port, f := memberPort(g, it)
		if f != nil {
			return nil, f
		}
		srv, f := x.serverFor(it, g.int("td"), true)
		if f != nil {
			return nil, f
		}
		m, f := x.bind(g, srv, port, it)
		if f != nil {
			return nil, f
		}
		return func() { g.remove(m) }, nil
	}),
}

// mayBind refuses members where the group's autoscale mode rules them. A single
// one of a group with autoscale API is nowhere said to be refused.
func mayBind(g *group) *failure {
	if g.value("autoscale") == "CLOUD" {
		return fail(codeNotPermitted)
	}
	return nil
}

// memberPort is the port given, or that of the members of an autoscale group.
func memberPort(g *group, it item) (uint16, *failure) {
	switch {
	case it.has("port"):
		return uint16(it.int("port")), nil
	case g.int("memberport") > 0:
		return uint16(g.int("memberport")), nil
	}
	return 0, fail(codeArgumentMissing, "port")
}

// serverFor finds the server that the item names or whose address, in the
// group's traffic domain, it gives.
// With create, one is made for an address that has none; its name is the
// address as it was typed.
func (x *exec) serverFor(it item, td int, create bool) (*server, *failure) {
	name, ip := it.get("servername"), it.get("ip")
	switch {
	case name != "" && ip != "":
		return nil, fail(codeBothArguments, "serverName", "IP")
	case name != "":
		if s := x.part.byName[name]; s != nil {
			return s, nil
		}
		return nil, x.noServer(name)
	case ip == "":
		return nil, fail(codeArgumentMissing, "serverName")
	}
	if s := x.part.byAddr[place{it.addr("ip"), td}]; s != nil {
		return s, nil
	}
	if !create {
		return nil, nil
	}
	if x.opt.CanonicalIPv6 {
		ip = it.addr("ip").String()
	}
	if x.part.byName[ip] != nil {
		return nil, fail(codeServerNameTaken)
	}
	s := &server{name: ip, text: ip, addr: it.addr("ip"), td: td, admin: admin{at: x.now}}
	x.implied(s)
	x.part.addServer(s)
	return s, nil
}

func (x *exec) noServer(name string) *failure {
	if x.opt.UnknownServer != 0 && x.opt.UnknownServer != codeNoResource {
		return fail(x.opt.UnknownServer)
	}
	return fail(codeNoResource, "serverName", name)
}

func (x *exec) bind(g *group, srv *server, port uint16, it item) (*member, *failure) {
	if g.index[memberKey{srv.name, port}] != nil {
		return nil, fail(codeExists)
	}
	if x.opt.MaxMembers > 0 && len(g.members) >= x.opt.MaxMembers {
		return nil, fail(codeGroupFull)
	}
	m := &member{server: srv, port: port, weight: 1, wording: x.wording,
		admin: admin{disabled: it.get("state") == "DISABLED", at: x.now}}
	m.set(it)
	m.probed = health{up: !g.down[netip.AddrPortFrom(srv.addr, port)], at: x.now}
	g.add(m)
	return m, nil
}

// set takes over what the item says of the member.
func (m *member) set(it item) {
	for name := range it.values {
		switch name {
		case "weight":
			m.weight = it.int(name)
		case "customserverid":
			m.custom = it.get(name)
			if m.custom == "None" || m.custom == `"None"` { // ns.conf has the quotes too
				m.custom = ""
			}
		case "serverid":
			m.serverID = it.int(name)
		case "hashid":
			m.hashID = it.int(name)
		case "order":
			m.order = it.int(name)
		case "nameserver":
			m.nameserver = it.get(name)
		case "dbsttl":
			m.dbsttl = it.int(name)
		}
	}
}

func (x *exec) setMember(g *group, it item) *failure {
	for k := range it.values {
		if k != "servicegroupname" && !isMemberSetting(k) {
			return fail(codeInvalidArgument, k)
		}
	}
	m, f := x.findMember(g, it)
	if f != nil {
		return f
	}
	if most := x.opt.CustomIDLength; most > 0 && len(it.get("customserverid")) > most {
		return fail(codeTooLong, "customServerID", most)
	}
	m.set(it)
	return nil
}

// findMember is for set, enable and disable, which name the server.
func (x *exec) findMember(g *group, it item) (*member, *failure) {
	m := g.index[memberKey{it.get("servername"), uint16(it.int("port"))}]
	if m == nil {
		return nil, x.noServer(it.get("servername"))
	}
	return m, nil
}

var unbindMember = &command{
	cli: "unbind serviceGroup", words: []string{"servicegroupname", "servername|ip", "port"},
	attrs: []attr{groupName, serverAttr, ipAttr, portAttr},
	run: on((*exec).findGroup, func(x *exec, g *group, it item) (func(), *failure) {
		if it.has("servername") && it.has("ip") {
			return nil, fail(codeBothArguments, "serverName", "IP")
		}
		port, f := memberPort(g, it)
		if f != nil {
			return nil, f
		}
		srv, f := x.serverFor(it, g.int("td"), false)
		var m *member
		switch {
		case it.get("servername") == "" && it.get("ip") == "":
			return nil, f
		case f == nil && srv != nil:
			m = g.index[memberKey{srv.name, port}]
		}
		if m == nil {
			return nil, x.noMember(it)
		}
		if m.leaving {
			return nil, fail(codeGracefulUnbind)
		}
		g.remove(m)
		return nil, nil
	}),
}

func (x *exec) noMember(it item) *failure {
	if code := x.opt.UnbindMissing; code != 0 && code != codeNoResource {
		return fail(code)
	}
	if it.has("ip") {
		return fail(codeNoResource, "IP", it.get("ip"))
	}
	return fail(codeNoResource, "serverName", it.get("servername"))
}
