package simulator

import (
	"slices"
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
