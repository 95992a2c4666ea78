package simulator

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// vserverAttrs are the attributes of a virtual server that are kept. They are
// shown as given, with no meaning of their own here.
var vserverAttrs = slices.Concat(
	[]attr{
		{name: "name", kind: identifier, required: true},
		{name: "servicetype", kind: choice, enum: serviceTypes, required: true, fixed: true},
		{name: "ipv46", cli: "IPAddress", kind: address},
		{name: "port", kind: integer, max: 65535, fixed: true},
		{name: "lbmethod", cli: "lbMethod", kind: choice, enum: `ROUNDROBIN LEASTCONNECTION LEASTRESPONSETIME URLHASH DOMAINHASH
			DESTINATIONIPHASH SOURCEIPHASH SRCIPDESTIPHASH LEASTBANDWIDTH LEASTPACKETS TOKEN SRCIPSRCPORTHASH LRTM CALLIDHASH
			CUSTOMLOAD LEASTLLMTOKENLATENCY LEASTREQUEST AUDITLOGHASH STATICPROXIMITY USER_TOKEN`},
		{name: "persistencetype", cli: "persistenceType"},
		{name: "timeout", kind: integer, max: 1440},
		{name: "clttimeout", cli: "cltTimeout", kind: integer, max: 31536000},
		{name: "backuppersistencetimeout", cli: "backupPersistenceTimeout", kind: integer, max: 1440},
		{name: "downstateflush", cli: "downStateFlush", kind: choice, enum: enabled},
		{name: "appflowlog", cli: "appflowLog", kind: choice, enum: enabled},
		{name: "td", kind: integer, max: 4094, fixed: true},
		{name: "state", kind: choice, enum: enabled, fixed: true},
		{name: "toggleorder", cli: "toggleorder", kind: choice, enum: "ASCENDING DESCENDING"},
		{name: "orderthreshold", cli: "orderThreshold", kind: integer, max: 4294967295},
		{name: "order", kind: integer, min: 1, max: 8192},
		{name: "weight", kind: integer, min: 1, max: 100},
		{name: "redirurl", cli: "redirectURL"},
		{name: "insertvserveripport", cli: "insertVserverIPPort", then: "vipheader"},
		{name: "vipheader", cli: "vipHeader"},
		{name: "newservicerequest", cli: "newServiceRequest", kind: integer, max: 4294967295, then: "newservicerequestunit"},
		{name: "newservicerequestunit", cli: "newServiceRequestUnit", kind: choice, enum: "PER_SECOND PERCENT"},
	},
	kept(text, "", `persistenceBackup persistMask backupLBMethod backupVServer cookieName rule Listenpolicy
		resRule IPPattern IPMask ipset netmask m connfailover soMethod soBackupAction AuthenticationHost authnVsName authnProfile
		pushVserver pushLabel tcpProfileName httpProfileName dbProfileName netProfile dnsProfileName lbprofilename comment
		oracleServerVersion mssqlServerVersion mysqlServerVersion skippersistency httpsRedirectUrl adfsProxyProfile
		quicProfileName quicBridgeProfilename probeProtocol probeSuccessResponseCode apiProfile serviceName wasmModule
		aigwProfileName`),
	kept(integer, "", `range hashLength v6netmasklen dataLength dataOffset Listenpriority v6persistmasklen tosId
		soPersistenceTimeOut healthThreshold soThreshold mysqlProtocolVersion mysqlCharacterSet mysqlServerCapabilities
		newServiceRequestIncrementInterval minAutoscaleMembers maxAutoscaleMembers redirectFromPort tcpProbePort probePort`),
	kept(choice, enabled, `sessionless trofsPersistence soPersistence redirectPortRewrite disablePrimaryOnDown push
		macmodeRetainvlan dbsLb dns64 processLocal dnsOverHttps`),
	kept(choice, yesNo, `cacheable pushMultiClients bypassAAAA RecursionAvailable retainConnectionsOnCluster
		nodefaultBindings`),
	kept(choice, onOff, `rtspNat Authentication authn401 l2Conn`),
	kept(choice, "PASSIVE ACTIVE", `icmpVsrResponse RHIstate`),
	kept(list, "", `persistAVPno`),
	kept(flag, "", `redirUrlFlags`),
)

// vserverDefaults are what recorded answers show of a virtual server that was
// given nothing, and of the order what official clients expect.
var vserverDefaults = map[string]string{
	"insertvserveripport": "OFF", "ipv46": "0.0.0.0", "ippattern": "0.0.0.0", "ipmask": "*", "listenpolicy": "NONE", "port": "0",
	"range": "1", "authentication": "OFF", "authn401": "OFF", "clttimeout": "180", "somethod": "NONE", "sopersistence": "DISABLED",
	"sopersistencetimeout": "2", "healththreshold": "0", "lbmethod": "LEASTCONNECTION", "backuplbmethod": "ROUNDROBIN",
	"dataoffset": "0", "datalength": "0", "m": "IP", "persistencetype": "NONE", "timeout": "2", "persistmask": "255.255.255.255",
	"v6persistmasklen": "128", "persistencebackup": "NONE", "cacheable": "NO", "rtspnat": "OFF", "sessionless": "DISABLED",
	"trofspersistence": "ENABLED", "connfailover": "DISABLED", "redirectportrewrite": "DISABLED", "downstateflush": "ENABLED",
	"disableprimaryondown": "DISABLED", "push": "DISABLED", "pushlabel": "none", "pushmulticlients": "NO", "l2conn": "OFF",
	"appflowlog": "ENABLED", "icmpvsrresponse": "PASSIVE", "rhistate": "PASSIVE", "newservicerequestunit": "PER_SECOND",
	"skippersistency": "None", "td": "0", "minautoscalemembers": "0", "maxautoscalemembers": "0", "macmoderetainvlan": "DISABLED",
	"dns64": "DISABLED", "bypassaaaa": "NO", "processlocal": "DISABLED", "retainconnectionsoncluster": "NO",
	"toggleorder": "ASCENDING", "orderthreshold": "0",
}

func showVservers(x *exec, q *query, l *listing) *failure {
	return named(x.part.vserver, objectName, q, func(v *object) {
		l.begin()
		x.objectFields(l, v, vservers, "port timeout")
		state, up, all := x.front(v)
		l.put("type", "ADDRESS", "curstate", state, "effectivestate", state, "health", counter(percent(up, all)),
			"totalservices", counter(all), "activeservices", counter(up),
			"statechangetimesec", x.changedAt.Format(time.ANSIC))
		l.end()
	})
}

// front is the state of a virtual server, and how many of the members and
// services behind it are up, of how many.
func (x *exec) front(v *object) (state string, up, all int) {
	for _, b := range v.groups {
		for _, m := range b.group.members {
			if s, _, _ := x.serving(m, x.now); s == stateUp {
				up++
			}
		}
		all += len(b.group.members)
	}
	for _, b := range x.part.seen.bound[v.name] {
		if x.serviceState(b.service) == stateUp {
			up++
		}
		all++
	}
	switch {
	case v.values["state"] == "DISABLED":
		return stateOut, up, all
	case up > 0:
		return stateUp, up, all
	}
	return stateDown, up, all
}

func percent(part, whole int) int { return part * 100 / max(whole, 1) }

func switchVserver(verb, state string) *command {
	return &command{
		cli: verb + " lb vserver", words: []string{"name"}, attrs: []attr{{name: "name", kind: identifier, required: true}},
		run: func(x *exec, it item) (func(), *failure) {
			v, f := vservers.find(x, it)
			if f == nil {
				v.values["state"] = state
			}
			return nil, f
		},
	}
}

var enableVserver, disableVserver = switchVserver("enable", "ENABLED"), switchVserver("disable", "DISABLED")

var bindVserver = &command{
	cli: "bind lb vserver", words: []string{"name", "servicegroupname", "servicename"},
	attrs: []attr{
		{name: "name", kind: identifier, required: true},
		{name: "servicegroupname", kind: identifier},
		{name: "servicename", cli: "serviceName", kind: identifier},
		{name: "weight", kind: integer, min: 1, max: 100},
		{name: "order", kind: integer, min: 1, max: 8192},
	},
	run: func(x *exec, it item) (func(), *failure) {
		v, g, f := x.vserverAndGroup(it)
		if f != nil {
			return nil, f
		}
		switch {
		case it.has("weight") && it.has("servicegroupname") && x.user != "": // the command line has one word for both
			return nil, fail(codePrerequisite, "weight", "serviceName")
		case slices.ContainsFunc(v.groups, func(b link) bool { return b.group == g }):
			return nil, fail(codeExists)
		case !x.loading && family(v.values["servicetype"]) != family(g.kind):
			return nil, fail(codeTypeMismatch)
		}
		v.groups = append(v.groups, link{group: g, order: it.int("order"), weight: it.int("weight"), wording: x.wording})
		return func() { v.groups = slices.DeleteFunc(v.groups, func(b link) bool { return b.group == g }) }, nil
	},
}

var unbindVserver = &command{
	cli: "unbind lb vserver", words: []string{"name", "servicegroupname", "servicename"}, attrs: bindVserver.attrs,
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

// vserverAndGroup finds the group under either name: rows give it as servicename
// too, and the official Ansible collection binds by that.
func (x *exec) vserverAndGroup(it item) (*object, *group, *failure) {
	if it.has("servicename") && it.has("servicegroupname") {
		return nil, nil, fail(codeBothArguments, "serviceName", "serviceGroupName")
	}
	name := cmp.Or(it.get("servicegroupname"), it.get("servicename"))
	if name == "" {
		return nil, nil, fail(codeArgumentMissing, "servicegroupname")
	}
	v, f := vservers.find(x, it)
	if f != nil {
		return nil, nil, f
	}
	g, f := x.findGroup(item{values: map[string]string{"servicegroupname": name}})
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
			l.row("name", v.name, "servicegroupname", b.group.name, "stateflag", "536936464", "servicename", b.group.name,
				"weight", given(counter(b.weight)), "order", given(b.order))
		}
	})
}

// vserverStats is stat/lbvserver. There is no traffic, so that its counters are
// zero; that they are there is what metrics clients need.
func vserverStats(x *exec, q *query, l *listing) *failure {
	return named(x.part.vserver, objectName, q, func(v *object) {
		state, up, all := x.front(v)
		l.begin()
		l.put("name", v.name, "primaryipaddress", cmp.Or(v.values["ipv46"], "0.0.0.0"),
			"primaryport", item{values: v.values}.int("port"), "type", v.values["servicetype"], "state", state,
			"vslbhealth", counter(percent(up, all)), "actsvcs", counter(up), "inactsvcs", counter(all-up))
		l.zeros(trafficCounters+vserverCounters, trafficRates+vserverRates)
		l.end()
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
	g := x.groupNamed(q.name)
	if g == nil {
		return fail(codeNoResource, "serviceGroupName", q.name)
	}
	state, _ := x.effective(g)
	row := func(fill func()) {
		l.begin()
		l.put("servicegroupname", g.name, "state", g.stateName(), "svrstate", state)
		fill()
		l.end()
	}
	users := x.part.users(g)
	if len(users) == 0 {
		row(func() {})
	}
	for _, v := range users {
		row(func() {
			l.put("vservername", v.name, "ipaddress", v.values["ipv46"], "port", item{values: v.values}.int("port"))
		})
	}
	return nil
}

// ownAddresses are those of virtual servers, which the appliance answers at.
func (p *partition) ownAddresses() (addrs []netip.Addr) {
	add := func(text string) {
		if a, err := netip.ParseAddr(text); err == nil && !a.IsUnspecified() && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	for _, v := range p.vserver {
		add(v.values["ipv46"])
	}
	for _, c := range p.seen.things {
		if c.noun == "cs vserver" {
			add(c.addr)
		}
	}
	return addrs
}
