package simulator

import (
	"slices"
	"strings"
)

// vserverAttrs are the attributes of a virtual server that are kept. They are
// shown as given, with no meaning of their own here.
var vserverAttrs = []attr{
	{name: "name", kind: identifier, required: true},
	{name: "servicetype", kind: choice, enum: serviceTypes, required: true, fixed: true},
	{name: "ipv46", cli: "IPAddress", kind: address},
	{name: "port", kind: integer, max: 65535, fixed: true},
	{name: "lbmethod", cli: "lbMethod", kind: choice, enum: "ROUNDROBIN LEASTCONNECTION LEASTRESPONSETIME URLHASH DOMAINHASH DESTINATIONIPHASH SOURCEIPHASH SRCIPDESTIPHASH LEASTBANDWIDTH LEASTPACKETS TOKEN SRCIPSRCPORTHASH LRTM CALLIDHASH CUSTOMLOAD LEASTREQUEST AUDITLOGHASH STATICPROXIMITY USER_TOKEN"},
	{name: "persistencetype", cli: "persistenceType"},
	{name: "timeout", kind: integer, max: 1440},
	{name: "persistmask", cli: "persistMask"},
	{name: "clttimeout", cli: "cltTimeout", kind: integer, max: 31536000},
	{name: "backuppersistencetimeout", cli: "backupPersistenceTimeout", kind: integer, max: 1440},
	{name: "backupvserver", cli: "backupVServer"},
	{name: "downstateflush", cli: "downStateFlush", kind: choice, enum: enabled},
	{name: "httpprofilename", cli: "httpProfileName"},
	{name: "tcpprofilename", cli: "tcpProfileName"},
	{name: "netprofile", cli: "netProfile"},
	{name: "comment"},
	{name: "appflowlog", cli: "appflowLog", kind: choice, enum: enabled},
	{name: "td", kind: integer, max: 4094, fixed: true},
	{name: "state", kind: choice, enum: enabled, fixed: true},
}

var monitorAttrs = []attr{
	{name: "monitorname", kind: identifier, required: true},
	{name: "type", required: true, fixed: true},
	{name: "interval", kind: integer, min: 1, max: 20940},
	{name: "resptimeout", cli: "resptimeout", kind: integer, min: 1, max: 20939},
	{name: "retries", kind: integer, min: 1, max: 127},
	{name: "failureretries", cli: "failureRetries", kind: integer, max: 32},
	{name: "downtime", cli: "downTime", kind: integer, min: 1, max: 20939},
	{name: "httprequest", cli: "httpRequest"},
	{name: "respcode", cli: "respCode"},
	{name: "send"},
	{name: "recv"},
	{name: "destport", cli: "destPort", kind: integer, max: 65535},
	{name: "secure", kind: choice, enum: yesNo},
	{name: "lrtm", cli: "LRTM", kind: choice, enum: enabled},
}

// builtinMonitors need not be added.
var builtinMonitors = strings.Fields("ping ping-default tcp tcp-default http http-ecv https https-ecv tcp-ecv tcps tcps-ecv udp-ecv arp nd6 ldns-ping ldns-tcp ldns-dns inline nntp ftp citrix-xml-service")

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
			if findObject(*list, it.get(key)) != nil {
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

func showVservers(x *exec, q *query, l *listing) *failure {
	return named(x.part.vserver, objectName, q, func(v *object) {
		l.begin()
		x.objectFields(l, v, vserverAttrs, map[string]string{"ipv46": "0.0.0.0", "port": "0", "lbmethod": "LEASTCONNECTION", "persistencetype": "NONE"})
		state := stateDown
		for _, b := range v.groups {
			if g, _ := x.effective(b.group); g == stateUp || g == "PARTIAL-UP" {
				state = stateUp
			}
		}
		l.text("curstate", state)
		l.text("effectivestate", state)
		l.end()
	})
}

func showMonitors(x *exec, q *query, l *listing) *failure {
	return named(x.part.monitor, objectName, q, func(m *object) {
		l.begin()
		x.objectFields(l, m, monitorAttrs, nil)
		l.end()
	})
}

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

var bindVserver = &command{
	cli: "bind lb vserver", words: []string{"name", "servicegroupname"},
	attrs: []attr{
		{name: "name", kind: identifier, required: true}, groupName,
		{name: "servicename", cli: "serviceName"},
		{name: "weight", kind: integer, min: 1, max: 100},
		{name: "order", kind: integer, min: 1, max: 8192},
	},
	run: func(x *exec, it item) (func(), *failure) {
		v, g, f := x.vserverAndGroup(it)
		if f != nil {
			return nil, f
		}
		switch {
		case it.has("weight"):
			return nil, fail(codePrerequisite, "weight", "serviceName")
		case slices.ContainsFunc(v.groups, func(b link) bool { return b.group == g }):
			return nil, fail(codeExists)
		case family(v.values["servicetype"]) != family(g.kind):
			return nil, fail(codeTypeMismatch)
		}
		v.groups = append(v.groups, link{group: g, order: it.int("order"), extra: x.extra})
		return func() { v.groups = slices.DeleteFunc(v.groups, func(b link) bool { return b.group == g }) }, nil
	},
}

var unbindVserver = &command{
	cli: "unbind lb vserver", words: []string{"name", "servicegroupname"},
	attrs: []attr{{name: "name", kind: identifier, required: true}, groupName, {name: "servicename", cli: "serviceName"}},
	run: func(x *exec, it item) (func(), *failure) {
		v, g, f := x.vserverAndGroup(it)
		if f != nil {
			return nil, f
		}
		n := len(v.groups)
		v.groups = slices.DeleteFunc(v.groups, func(b link) bool { return b.group == g })
		if len(v.groups) == n {
			return nil, fail(codeNoResource, "serviceGroupName", g.name)
		}
		return nil, nil
	},
}

func (x *exec) vserverAndGroup(it item) (*object, *group, *failure) {
	if it.has("servicename") {
		return nil, nil, fail(codeBothArguments, "serviceName", "serviceGroupName")
	}
	v := findObject(x.part.vserver, it.get("name"))
	if v == nil {
		return nil, nil, fail(codeNoResource, "name", it.get("name"))
	}
	g, f := x.findGroup(it)
	return v, g, f
}

// family tells which types of virtual server and group go together.
func family(serviceType string) string {
	switch serviceType {
	case "SSL", "HTTP_QUIC":
		return "HTTP"
	case "SSL_TCP":
		return "TCP"
	}
	return serviceType
}

func showVserverGroups(x *exec, q *query, l *listing) *failure {
	return named(x.part.vserver, objectName, q, func(v *object) {
		for _, b := range v.groups {
			l.begin()
			l.text("name", v.name)
			l.text("servicegroupname", b.group.name)
			l.text("stateflag", "536936464")
			l.text("servicename", b.group.name)
			if b.order > 0 {
				l.number("order", b.order)
			} else {
				l.absent("order")
			}
			l.end()
		}
	})
}

// users are the virtual servers that a group is bound to.
func (p *partition) users(g *group) (users []*object) {
	for _, v := range p.vserver {
		if slices.ContainsFunc(v.groups, func(b link) bool { return b.group == g }) {
			users = append(users, v)
		}
	}
	return users
}

// showGroupUsers answers one row also for a group that nothing uses: the
// official Terraform provider reads it to see whether a group is there.
func showGroupUsers(x *exec, q *query, l *listing) *failure {
	g := x.part.byGroup[q.name]
	if g == nil {
		return fail(codeNoResource, "serviceGroupName", q.name)
	}
	state, _ := x.effective(g)
	row := func(fill func()) {
		l.begin()
		l.text("servicegroupname", g.name)
		l.text("state", g.stateName())
		l.text("svrstate", state)
		fill()
		l.end()
	}
	users := x.part.users(g)
	if len(users) == 0 {
		row(func() {})
	}
	for _, v := range users {
		row(func() {
			l.text("vservername", v.name)
			l.text("ipaddress", v.values["ipv46"])
			l.number("port", item{values: v.values}.int("port"))
		})
	}
	return nil
}

var bindMonitor = &command{
	cli: "bind serviceGroup", words: []string{"servicegroupname"},
	attrs: []attr{
		groupName,
		{name: "monitor_name", cli: "monitorName", required: true},
		{name: "weight", kind: integer, min: 1, max: 100},
		{name: "monstate", cli: "monState", kind: choice, enum: enabled},
		{name: "passive", kind: flag},
		{name: "state", kind: choice, enum: enabled},
	},
	run: func(x *exec, it item) (func(), *failure) {
		g, f := x.findGroup(it)
		if f != nil {
			return nil, f
		}
		name := it.get("monitor_name")
		if findObject(x.part.monitor, name) == nil && !slices.Contains(builtinMonitors, name) {
			return nil, fail(codeNoResource, "monitorName", name)
		}
		if slices.ContainsFunc(g.monitors, func(m monitorLink) bool { return m.name == name }) {
			return nil, fail(codeExists)
		}
		g.monitors = append(g.monitors, monitorLink{name: name, state: it.get("monstate"), weight: it.int("weight"),
			passive: it.get("passive") == "true", extra: x.extra})
		return func() { g.dropMonitor(name) }, nil
	},
}

func (g *group) dropMonitor(name string) bool {
	n := len(g.monitors)
	g.monitors = slices.DeleteFunc(g.monitors, func(m monitorLink) bool { return m.name == name })
	return len(g.monitors) < n
}

var unbindMonitor = &command{
	cli: "unbind serviceGroup", words: []string{"servicegroupname"},
	attrs: []attr{groupName, {name: "monitor_name", cli: "monitorName", required: true}},
	run: func(x *exec, it item) (func(), *failure) {
		g, f := x.findGroup(it)
		if f == nil && !g.dropMonitor(it.get("monitor_name")) {
			f = fail(codeNoResource, "monitorName", it.get("monitor_name"))
		}
		return nil, f
	},
}

func groupNameOf(g *group) string { return g.name }

func showGroupMonitors(x *exec, q *query, l *listing) *failure {
	return namedGroups(x, q, func(g *group) { x.monitorRows(l, g) })
}

func namedGroups(x *exec, q *query, row func(*group)) *failure {
	if f := named(x.part.groups, groupNameOf, q, row); f != nil {
		return fail(codeNoResource, "serviceGroupName", q.name)
	}
	return nil
}

func (x *exec) monitorRows(l *listing, g *group) {
	for _, m := range g.monitors {
		l.begin()
		l.text("servicegroupname", g.name)
		l.text("monitor_name", m.name)
		l.text("monstate", map[bool]string{true: "DISABLED", false: "ENABLED"}[m.state == "DISABLED"])
		l.counter("weight", max(m.weight, 1))
		l.flag("passive", m.passive)
		l.end()
	}
}

// showGroupBinding has all bindings of a group in one object.
func showGroupBinding(x *exec, q *query, l *listing) *failure {
	return namedGroups(x, q, func(g *group) {
		l.begin()
		l.text("servicegroupname", g.name)
		l.nested("servicegroup_servicegroupmember_binding", func(l *listing) {
			for _, m := range g.members {
				x.memberRow(l, m)
			}
		})
		l.nested("servicegroup_lbmonitor_binding", func(l *listing) { x.monitorRows(l, g) })
		l.end()
	})
}
