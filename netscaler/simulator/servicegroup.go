package simulator

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

const serviceTypes = "HTTP FTP TCP UDP SSL SSL_BRIDGE SSL_TCP DTLS NNTP RPCSVR DNS ADNS SNMP RTSP DHCPRA ANY SIP_UDP SIP_TCP SIP_SSL PUSH SSL_PUSH DNS_TCP ADNS_TCP MYSQL MSSQL ORACLE MONGO MONGO_TLS RADIUS RADIUSLISTENER RDP DIAMETER SSL_DIAMETER TFTP SMPP PPTP GRE SYSLOGTCP SYSLOGUDP FIX SSL_FIX USER_TCP USER_SSL_TCP QUIC QUIC_BRIDGE IPFIX LOGSTREAM LOGSTREAM_SSL MQTT MQTT_TLS PROXY SSL_PROXY HTTP_QUIC DOT ADNS_DOT ADNS_DOH KAFKA_BROKER KAFKA_PRODUCER"

const yesNo, onOff, enabled = "YES NO", "ON OFF", "ENABLED DISABLED"

// groupAttrs are the attributes of a service group that may be given when it
// is made (NITRO documentation, servicegroup). The fixed ones may not be set
// later.
var groupAttrs = slices.Concat(
	[]attr{
		{name: "servicegroupname", kind: identifier, required: true},
		{name: "servicetype", kind: choice, enum: serviceTypes, required: true, fixed: true},
		{name: "cachetype", cli: "cacheType", kind: choice, enum: "TRANSPARENT REVERSE FORWARD SERVER", fixed: true},
		{name: "td", kind: integer, max: 4094, fixed: true},
		{name: "maxclient", cli: "maxClient", kind: integer, max: 4294967294},
		{name: "maxreq", cli: "maxReq", kind: integer, max: 65535},
		{name: "cip", kind: choice, enum: enabled, then: "cipheader"},
		{name: "cipheader", cli: "cipHeader"},
		{name: "clttimeout", cli: "cltTimeout", kind: integer, max: 31536000},
		{name: "svrtimeout", cli: "svrTimeout", kind: integer, max: 31536000},
		{name: "maxbandwidth", cli: "maxBandwidth", kind: integer, max: 4294967287},
		{name: "monthreshold", cli: "monThreshold", kind: integer, max: 65535},
		{name: "state", kind: choice, enum: enabled, fixed: true},
		{name: "autoscale", cli: "autoScale", kind: choice, enum: "DISABLED DNS POLICY CLOUD API", fixed: true},
		{name: "memberport", cli: "memberPort", kind: integer, max: 65535, fixed: true},
		{name: "monconnectionclose", cli: "monConnectionClose", kind: choice, enum: "RESET FIN NONE"},
		{name: "autodisabledelay", cli: "autoDisabledelay", kind: integer, max: 4294967294},
		{name: "bootstrap", kind: choice, enum: yesNo, fixed: true},
		{name: "nodefaultbindings", cli: "nodefaultBindings", kind: choice, enum: yesNo, fixed: true},
		{name: "topicname", cli: "topicName", fixed: true},
		{name: "riseapbrstatsmsgcode", cli: "riseApbrStatsMsgCode", kind: integer, max: 4294967295, fixed: true},
	},
	kept(choice, yesNo, `cacheable usip pathMonitor pathMonitorIndv useproxyport healthMonitor CKA TCPB CMP
		autoDisablegraceful autoDelayedTrofs`),
	kept(choice, onOff, `sp rtspSessionidRemap sc`),
	kept(choice, enabled, `downStateFlush appflowLog`),
	kept(text, "", `tcpProfileName httpProfileName netProfile comment quicProfileName`),
)

// boundMonitorAttrs give a monitor that is bound to the group another weight.
var boundMonitorAttrs = []attr{
	{name: "monitor_name_svc", cli: "monitorName"},
	{name: "dup_weight", kind: integer, min: 1, max: 100},
}

// groupDefaults are what a group shows that was given nothing.
var groupDefaults = map[string]string{
	"cachetype": "SERVER", "td": "0", "maxclient": "0", "maxreq": "0", "cacheable": "NO", "cip": "DISABLED", "usip": "NO",
	"pathmonitor": "NO", "pathmonitorindv": "NO", "useproxyport": "YES", "healthmonitor": "YES", "sp": "OFF",
	"rtspsessionidremap": "OFF", "clttimeout": "180", "svrtimeout": "360", "cka": "NO", "tcpb": "NO", "cmp": "NO",
	"maxbandwidth": "0", "monthreshold": "0", "downstateflush": "ENABLED", "appflowlog": "ENABLED",
	"autoscale": "DISABLED", "memberport": "0", "monconnectionclose": "NONE", "autodisablegraceful": "NO",
	"autodisabledelay": "0", "nodefaultbindings": "NO",
}

var groupName = attr{name: "servicegroupname", kind: identifier, required: true}

var addGroup = &command{
	cli: "add serviceGroup", words: []string{"servicegroupname", "servicetype"},
	attrs: append(slices.Clone(groupAttrs), boundMonitorAttrs...), // which mean nothing yet: no monitor is bound
	run: func(x *exec, it item) (func(), *failure) {
		name := it.get("servicegroupname")
		if g := x.groupNamed(name); g != nil {
			if a := g.differs(it); a != "" && x.idempotent {
				return nil, fail(codeInvalidArgument, a)
			}
			return nil, fail(codeExists)
		}
		g := &group{name: name, kind: it.get("servicetype"), since: x.now, wording: x.wording,
			values: map[string]string{}, index: map[memberKey]*member{}, down: map[netip.AddrPort]bool{}}
		for k, v := range it.values {
			if !slices.Contains([]string{"servicegroupname", "servicetype", "state", "monitor_name_svc", "dup_weight"}, k) {
				g.values[k] = v
			}
		}
		if f := x.consistent(g); f != nil {
			return nil, f
		}
		g.admin = admin{disabled: it.get("state") == "DISABLED", at: x.now}
		x.part.groups = append(x.part.groups, g)
		x.part.byGroup[name] = g
		return func() { x.part.removeGroup(g) }, nil
	},
}

// differs names an attribute that cannot be changed and would have to be.
func (g *group) differs(it item) string {
	for _, a := range groupAttrs {
		current := g.value(a.name)
		switch a.name {
		case "servicetype":
			current = g.kind
		case "state":
			current = g.stateName()
		}
		if a.fixed && it.has(a.name) && it.get(a.name) != current {
			return a.name
		}
	}
	return ""
}

func (x *exec) consistent(g *group) *failure {
	if most := x.opt.CommentLength; most > 0 && len(g.value("comment")) > most {
		return fail(codeTooLong, "comment", most)
	}
	if g.int("autodisabledelay") > 0 && g.value("autodisablegraceful") != "YES" {
		return fail(codeNoGracefulDisable)
	}
	return nil
}

// setGroup changes attributes of the group or, if a server and a port are
// given, of that member, or of a monitor that is bound.
var setGroup = &command{
	cli: "set serviceGroup", words: []string{"servicegroupname", "servername", "port"},
	attrs: slices.Concat(slices.DeleteFunc(slices.Clone(groupAttrs), func(a attr) bool { return a.fixed && a.name != "autoscale" }),
		memberSettings, boundMonitorAttrs),
	run: on((*exec).findGroup, func(x *exec, g *group, it item) (func(), *failure) {
		if it.has("servername") != it.has("port") {
			return nil, fail(codePrerequisite, "port", "serverName")
		}
		if it.has("servername") {
			return nil, x.setMember(g, it)
		}
		if mode := it.get("autoscale"); mode != "" && mode != g.value("autoscale") && len(g.members) > 0 {
			return nil, fail(codeNotPermitted)
		}
		if f := g.weighMonitor(it); f != nil {
			return nil, f
		}
		before := maps.Clone(g.values)
		for k, v := range it.values {
			switch {
			case slices.Contains([]string{"servicegroupname", "monitor_name_svc", "dup_weight"}, k):
			case isMemberSetting(k):
				return nil, fail(codePrerequisite, k, "serverName")
			default:
				g.values[k] = v
			}
		}
		if f := x.consistent(g); f != nil {
			g.values = before
			return nil, f
		}
		return func() { g.values = before }, nil
	}),
}

// weighMonitor takes what the item says of a monitor that is bound. The command
// line has one word for the two weights.
func (g *group) weighMonitor(it item) *failure {
	name := it.get("monitor_name_svc")
	if weight := it.get("weight"); name != "" && weight != "" {
		it.values["dup_weight"] = weight
		delete(it.values, "weight")
	}
	switch {
	case name == "" && it.has("dup_weight"):
		return fail(codePrerequisite, "dup_weight", "monitorName")
	case name == "":
		return nil
	case !it.has("dup_weight"):
		return fail(codePrerequisite, "monitorName", "weight")
	}
	i := slices.IndexFunc(g.monitors, func(m monitorLink) bool { return m.name == name })
	if i < 0 {
		return fail(codeNoResource, "monitorName", name)
	}
	g.monitors[i].weight = it.int("dup_weight")
	return nil
}

// unsetGroup gives attributes their defaults, of the group or of a member; their
// values say only that they are meant, but for what names the member.
var unsetGroup = &command{
	cli: "unset serviceGroup", words: []string{"servicegroupname", "servername", "port"}, attrs: unsettable(setGroup.attrs),
	run: on((*exec).findGroup, func(x *exec, g *group, it item) (func(), *failure) {
		if it.has("servername") != it.has("port") {
			return nil, fail(codePrerequisite, "port", "serverName")
		}
		var m *member
		if it.has("servername") {
			var f *failure
			if m, f = x.findMember(g, it); f != nil {
				return nil, f
			}
		}
		for k := range it.values {
			switch _, known := memberDefaults[k]; {
			case known && m == nil:
				return nil, fail(codePrerequisite, k, "serverName")
			case known:
				m.set(item{values: map[string]string{k: memberDefaults[k]}})
			default:
				delete(g.values, k)
			}
		}
		return nil, nil
	}),
}

// memberDefaults are what a member has that was given nothing.
var memberDefaults = map[string]string{
	"weight": "1", "customserverid": "", "serverid": "0", "hashid": "0", "order": "0", "nameserver": "", "dbsttl": "0",
}

func unsettable(attrs []attr) []attr {
	out := []attr{groupName, serverAttr, portAttr}
	for _, a := range attrs {
		if !slices.ContainsFunc(out, func(o attr) bool { return o.name == a.name }) {
			out = append(out, attr{name: a.name, cli: a.cli, kind: flag})
		}
	}
	return out
}

var rmGroup = &command{
	cli: "rm serviceGroup", words: []string{"servicegroupname"}, attrs: []attr{groupName},
	run: on((*exec).findGroup, func(x *exec, g *group, it item) (func(), *failure) {
		if x.opt.KeepBoundGroups && len(x.part.users(g)) > 0 {
			return nil, fail(codeGroupInUse)
		}
		x.part.removeGroup(g)
		return nil, nil
	}),
}

var renameGroup = &command{
	cli: "rename serviceGroup", words: []string{"servicegroupname", "newname"},
	attrs: []attr{groupName, {name: "newname", kind: identifier, required: true}},
	run: on((*exec).findGroup, func(x *exec, g *group, it item) (func(), *failure) {
		if x.groupNamed(it.get("newname")) != nil {
			return nil, fail(codeExists)
		}
		delete(x.part.byGroup, g.name)
		g.name = it.get("newname")
		x.part.byGroup[g.name] = g
		return nil, nil
	}),
}

func (x *exec) findGroup(it item) (*group, *failure) {
	name := it.get("servicegroupname")
	if g := x.groupNamed(name); g != nil {
		return g, nil
	}
	return nil, fail(codeNoResource, "serviceGroupName", name)
}

// groupNamed is the group of a name; nil if there is none.
func (x *exec) groupNamed(name string) *group {
	g := x.part.byGroup[name]
	if g != nil || !x.opt.IgnoreCase {
		return g
	}
	for _, g := range x.part.groups {
		if strings.EqualFold(g.name, name) {
			return g
		}
	}
	return nil
}
