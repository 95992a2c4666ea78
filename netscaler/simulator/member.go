package simulator

import (
	"net/netip"
	"slices"
	"strings"
	"time"
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
	run: func(x *exec, it item) (func(), *failure) {
		g, f := x.findGroup(it)
		if f != nil {
			return nil, f
		}
		if f := x.mayBind(g); f != nil {
			return nil, f
		}
		port, f := memberPort(g, it)
		if f != nil {
			return nil, f
		}
		srv, f := x.serverFor(it, true)
		if f != nil {
			return nil, f
		}
		m, f := x.bind(g, srv, port, it)
		if f != nil {
			return nil, f
		}
		return func() { g.remove(m) }, nil
	},
}

// mayBind refuses single members where the group's autoscale mode rules them.
func (x *exec) mayBind(g *group) *failure {
	code := 0
	switch g.value("autoscale") {
	case "CLOUD":
		if code = x.opt.CloudCode; code == 0 {
			code = codeNotPermitted
		}
	case "API":
		code = x.opt.APIBindCode
	}
	if code > 0 {
		return fail(code)
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

// serverFor finds the server that the item names or whose address it gives.
// With create, one is made for an address that has none; its name is the
// address as it was typed.
func (x *exec) serverFor(it item, create bool) (*server, *failure) {
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
	if s := x.part.byAddr[it.addr("ip")]; s != nil {
		return s, nil
	}
	if !create {
		return nil, nil
	}
	if x.part.byName[ip] != nil {
		return nil, fail(codeServerNameTaken)
	}
	s := &server{name: ip, text: ip, addr: it.addr("ip"), admin: admin{at: x.now}}
	x.part.addServer(s)
	return s, nil
}

func (x *exec) noServer(name string) *failure {
	if x.opt.UnknownServer == codeNoServer {
		return fail(codeNoServer)
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
	m := &member{server: srv, port: port, weight: 1, extra: x.extra,
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
			if m.custom == "None" {
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
	run: func(x *exec, it item) (func(), *failure) {
		g, f := x.findGroup(it)
		if f != nil {
			return nil, f
		}
		if it.has("servername") && it.has("ip") {
			return nil, fail(codeBothArguments, "serverName", "IP")
		}
		port, f := memberPort(g, it)
		if f != nil {
			return nil, f
		}
		srv, f := x.serverFor(it, false)
		var m *member
		switch {
		case f != nil && f.code != codeNoResource && f.code != codeNoServer:
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
	},
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

// switchAttrs are those of enable; more is refused, as the appliance does.
var switchAttrs = []attr{groupName, serverAttr, portAttr}

var enableGroup = &command{
	cli: "enable serviceGroup", words: []string{"servicegroupname", "servername", "port"}, attrs: switchAttrs,
	run: func(x *exec, it item) (func(), *failure) { return nil, x.switchTo(it, admin{at: x.now}) },
}

var disableGroup = &command{
	cli: "disable serviceGroup", words: []string{"servicegroupname", "servername", "port"},
	attrs: append(slices.Clone(switchAttrs), disableAttrs...),
	run:   func(x *exec, it item) (func(), *failure) { return nil, x.switchTo(it, disabledBy(it, x.now)) },
}

var disableAttrs = []attr{
	{name: "delay", kind: integer, max: 599999, def: "0"},
	{name: "graceful", cli: "graceFul", kind: choice, enum: yesNo, def: "NO"},
}

func disabledBy(it item, now time.Time) admin {
	return admin{disabled: true, at: now, graceful: it.get("graceful") == "YES", delay: time.Duration(it.int("delay")) * time.Second}
}

// switchTo enables or disables a member or, without a server, the whole group.
func (x *exec) switchTo(it item, to admin) *failure {
	g, f := x.findGroup(it)
	if f != nil {
		return f
	}
	switch {
	case it.has("servername") != it.has("port"):
		return fail(codePrerequisite, "port", "serverName")
	case !it.has("servername"):
		g.admin = to
		return nil
	}
	m, f := x.findMember(g, it)
	if f != nil {
		return f
	}
	x.switchMember(m, to)
	return nil
}

func (x *exec) switchMember(m *member, to admin) {
	if m.disabled && !to.disabled {
		m.probed = health{up: m.probed.up, at: x.now} // the monitors begin anew
		m.idle = time.Time{}
	}
	if m.leaving && !to.disabled {
		m.leaving = false
		m.group.leaving--
	}
	m.admin = to
	m.group.count()
}

var memberResource = &resource{
	key: "servicegroupname", binding: true, shows: "show serviceGroup",
	add: bindMember, rm: unbindMember,
	show: func(x *exec, q *query, l *listing) *failure {
		if len(q.args) > 0 {
			for k := range q.args {
				return fail(codeInvalidArgument, k)
			}
		}
		if !q.named {
			for _, g := range x.part.groups {
				for _, m := range g.members {
					x.memberRow(l, m)
				}
			}
			return nil
		}
		g := x.part.byGroup[q.name]
		if g == nil {
			return fail(codeNoResource, "serviceGroupName", q.name)
		}
		for _, m := range g.members {
			x.memberRow(l, m)
		}
		return nil
	},
}

// memberRow has the fields and their types in the order of recorded answers
// (13.1 and 14.1).
func (x *exec) memberRow(l *listing, m *member) {
	state, since, left := x.serving(m, x.now)
	draining := state == stateGoing || state == stateDownGoing
	l.begin()
	l.text("servicegroupname", m.group.name)
	l.text("ip", m.server.ip())
	l.number("port", int(m.port))
	l.text("svrstate", state)
	l.text("statechangetimesec", x.stamp(since))
	l.counter("tickssincelaststatechange", ticks(x.now, since))
	l.counter("weight", m.weight)
	l.text("servername", m.server.name)
	if x.lacks("customserverid") {
		l.absent("customserverid")
	} else if m.custom == "" {
		l.text("customserverid", "None")
	} else {
		l.text("customserverid", m.custom)
	}
	l.counter("serverid", m.serverID)
	l.text("state", m.stateName())
	l.counter("hashid", m.hashID)
	graceful := m.disabled && m.graceful && (draining || !x.opt.ForgetGraceful)
	if graceful {
		l.text("graceful", "YES")
	} else {
		l.text("graceful", "NO")
	}
	l.number("delay", seconds(left))
	l.number("delay1", 0)
	l.text("nameserver", "0.0.0.0") // never as it was set
	l.number("dbsttl", 0)
	if m.order > 0 {
		l.number("order", m.order)
		l.counter("orderstr", m.order)
	} else {
		l.absent("order")
		l.text("orderstr", "Default")
	}
	l.counter("trofsdelay", 0)
	switch {
	case m.leaving:
		l.text("trofsreason", "Trofs Because of Graceful Unbind")
	case draining:
		l.text("trofsreason", "Trofs Because of Disable Cmd")
	default:
		l.absent("trofsreason")
	}
	l.end()
}

// seconds rounds up, so that a drain that goes on does not read 0.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// stamp formats a time of day; rows come in runs that changed together.
func (x *exec) stamp(t time.Time) string {
	if sec := t.Unix(); sec != x.stampSec || x.stampText == "" {
		x.stampSec, x.stampText = sec, t.Format(time.ANSIC)
	}
	return x.stampText
}

// memberStats is stat/servicegroup, with statbindings=yes the live counters of
// the members.
func groupStats(x *exec, q *query, l *listing) *failure {
	groups := x.part.groups
	if q.named {
		g := x.part.byGroup[q.name]
		if g == nil {
			return fail(codeNoResource, "serviceGroupName", q.name)
		}
		groups = []*group{g}
	}
	for _, g := range groups {
		state, _ := x.effective(g)
		l.begin()
		l.text("servicegroupname", g.name)
		l.text("state", g.stateName())
		l.text("servicetype", g.kind)
		l.text("servicegroupeffectivestate", state)
		if q.statBindings {
			l.nested("servicegroupmember", func(l *listing) {
				for _, m := range g.members {
					x.statRow(l, m)
				}
			})
		}
		l.end()
	}
	return nil
}

func (x *exec) statRow(l *listing, m *member) {
	state, _, _ := x.serving(m, x.now)
	clients := 0
	if !strings.HasPrefix(state, stateOut) && state != stateDown && x.opt.ClientsLeave >= 0 && m.idle.IsZero() {
		clients = 1
	}
	l.begin()
	l.text("servicegroupname", m.group.name)
	l.text("primaryipaddress", m.server.ip())
	l.number("primaryport", int(m.port))
	l.text("servername", m.server.name)
	l.text("state", state)
	l.counter("curclntconnections", clients)
	l.end()
}
