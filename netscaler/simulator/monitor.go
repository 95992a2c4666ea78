package simulator

import (
	"cmp"
	"slices"
	"strings"
)

const units = "SEC MSEC MIN"

var monitorAttrs = slices.Concat(
	[]attr{
		{name: "monitorname", kind: identifier, required: true},
		{name: "type", required: true, fixed: true},
		{name: "interval", kind: integer, min: 1, max: 20940000, then: "units3"},
		{name: "units3", kind: choice, enum: units},
		{name: "resptimeout", kind: integer, min: 1, max: 20939000, then: "units4"},
		{name: "units4", kind: choice, enum: units},
		{name: "deviation", kind: integer, max: 20939000, then: "units1"},
		{name: "units1", kind: choice, enum: units},
		{name: "downtime", cli: "downTime", kind: integer, min: 1, max: 20939000, then: "units2"},
		{name: "units2", kind: choice, enum: units},
		{name: "retries", kind: integer, min: 1, max: 127},
		{name: "failureretries", cli: "failureRetries", kind: integer, max: 32},
		{name: "alertretries", cli: "alertRetries", kind: integer, max: 32},
		{name: "successretries", cli: "successRetries", kind: integer, min: 1, max: 32},
		{name: "resptimeoutthresh", cli: "resptimeoutThresh", kind: integer, max: 100},
		{name: "action", kind: choice, enum: "NONE LOG DOWN"},
		{name: "destport", cli: "destPort", kind: integer, max: 65535},
	},
	kept(list, "", `respCode IPAddress authApplicationId acctApplicationId supportedVendorIds vendorSpecificAuthApplicationIds
		vendorSpecificAcctApplicationIds grpcStatusCode`),
	kept(text, "", `httpRequest rtspRequest customHeaders sipMethod sipURI sipregURI send recv query queryType scriptName
		scriptArgs dispatcherIP userName logonpointName lasVersion radNASid radNASip radFramedIP radAPN radMSISDN
		radAccountSession destIP domain group fileName baseDN bindDN filter attribute database oracleSid sqlQuery evalRule
		mssqlProtocolVersion snmpOID snmpThreshold snmpVersion metricTable application sitePath storename hostName
		netProfile originHost originRealm hostIPAddress productName inbandSecurityId kcdAccount trofsstring sslProfile
		mqttClientIdentifier grpcServiceName metric`),
	secrets(`password secondaryPassword radKey secureargs snmpCommunity`),
	kept(integer, "", `maxForwards dispatcherPort radAccountType tosId vendorId firmwareRevision vendorSpecificVendorId
		trofscode mqttVersion metricThreshold metricWeight`),
	kept(choice, enabled, `LRTM state storedb`),
	kept(choice, yesNo, `reverse transparent ipTunnel tos secure validateCred storefrontacctservice
		storefrontcheckbackendservices grpcHealthCheck`),
)

// monitorDefaults are those of the documentation ("NITRO documentation,
// lbmonitor").
var monitorDefaults = map[string]string{
	"interval": "5", "units3": "SEC", "resptimeout": "2", "units4": "SEC", "deviation": "0", "units1": "SEC", "downtime": "30",
	"units2": "SEC", "retries": "3", "failureretries": "0", "alertretries": "0", "successretries": "1", "resptimeoutthresh": "0",
	"destport": "0", "state": "ENABLED", "reverse": "NO", "transparent": "NO", "iptunnel": "NO", "secure": "NO", "lrtm": "DISABLED",
}

// monitorNumbers are JSON numbers in its rows.
const monitorNumbers = "interval resptimeout downtime retries failureretries alertretries successretries destport dispatcherport"

// builtinMonitors need not be added.
var builtinMonitors = strings.Fields(`ping ping-default tcp tcp-default http http-ecv https https-ecv tcp-ecv tcps tcps-ecv udp-ecv
	arp nd6 ldns-ping ldns-tcp ldns-dns inline nntp ftp dns citrix-xml-service sta stasecure http2direct http2ssl mqtt mqtt-tls xdm xnc`)

// builtinMonitor is one of them as an object.
func builtinMonitor(name string) *object {
	kind := strings.ToUpper(strings.TrimSuffix(name, "-default"))
	switch kind {
	case "HTTPS", "HTTPS-ECV", "TCPS", "TCPS-ECV":
		kind = strings.Replace(kind, "S", "", 1)
	case "INLINE":
		kind = "HTTP-INLINE"
	case "STA", "STASECURE":
		kind = "CITRIX-STA-SERVICE"
	case "HTTP2DIRECT", "HTTP2SSL":
		kind = "HTTP2"
	case "XDM", "XNC":
		kind = "CITRIX-" + kind
	}
	return &object{name: name, builtin: true, values: map[string]string{"monitorname": name, "type": kind}}
}

func showMonitors(x *exec, q *query, l *listing) *failure {
	var all []*object
	for _, name := range builtinMonitors {
		if x.part.object(monitors, name) == nil {
			all = append(all, builtinMonitor(name))
		}
	}
	return named(append(all, x.part.monitor...), objectName, q, func(m *object) {
		l.begin()
		x.objectFields(l, m, monitors, monitorNumbers)
		l.end()
	})
}

// monitorLinkKept are attributes of a binding that the official Terraform
// provider and Ansible collection may send with it, and that mean nothing for a
// monitor.
var monitorLinkKept = slices.Concat([]attr{portAttr}, slices.DeleteFunc(slices.Clone(memberSettings), func(a attr) bool {
	return slices.Contains([]string{"servername", "port", "weight"}, a.name)
}))

var bindMonitor = &command{
	cli: "bind serviceGroup", words: []string{"servicegroupname"},
	attrs: append([]attr{
		groupName,
		{name: "monitor_name", cli: "monitorName", required: true},
		{name: "weight", kind: integer, min: 1, max: 100},
		{name: "monstate", cli: "monState", kind: choice, enum: enabled},
		{name: "passive", kind: flag},
		{name: "state", kind: choice, enum: enabled},
	}, monitorLinkKept...),
	run: on((*exec).findGroup, func(x *exec, g *group, it item) (func(), *failure) {
		name := it.get("monitor_name")
		if x.part.object(monitors, name) == nil && !slices.Contains(builtinMonitors, name) {
			return nil, fail(codeNoResource, "monitorName", name)
		}
		if slices.ContainsFunc(g.monitors, func(m monitorLink) bool { return m.name == name }) {
			f := fail(codeExists)
			f.text = "The monitor is already bound to the service" // as the official XDS adaptor knows it
			return nil, f
		}
		g.monitors = append(g.monitors, monitorLink{name: name, state: it.get("monstate"), weight: it.int("weight"),
			passive: it.get("passive") == "true", wording: x.wording})
		return func() { g.dropMonitor(name) }, nil
	}),
}

func (g *group) dropMonitor(name string) bool {
	n := len(g.monitors)
	g.monitors = slices.DeleteFunc(g.monitors, func(m monitorLink) bool { return m.name == name })
	return len(g.monitors) < n
}

var unbindMonitor = &command{
	cli: "unbind serviceGroup", words: []string{"servicegroupname"},
	attrs: []attr{groupName, {name: "monitor_name", cli: "monitorName", required: true}, portAttr},
	run: func(x *exec, it item) (func(), *failure) {
		g, f := x.findGroup(it)
		if f == nil && !g.dropMonitor(it.get("monitor_name")) {
			f = fail(codeNoResource, "monitorName", it.get("monitor_name"))
		}
		return nil, f
	},
}

// bindToGroup is the same binding, seen from the monitor: lbmonitor_servicegroup_binding.
var bindToGroup = &command{
	cli: "bind lb monitor", words: []string{"monitorname", "servicegroupname", "servicename"},
	attrs: []attr{
		{name: "monitorname", kind: identifier, required: true},
		{name: "servicegroupname", kind: identifier},
		{name: "servicename", cli: "serviceName", kind: identifier},
		{name: "weight", kind: integer, min: 1, max: 100},
		{name: "dup_weight", kind: integer, min: 1, max: 100},
		{name: "state", kind: choice, enum: enabled},
		{name: "dup_state", kind: choice, enum: enabled},
	},
	run: func(x *exec, it item) (func(), *failure) {
		from, f := fromMonitor(it)
		if f != nil {
			return nil, f
		}
		return bindMonitor.run(x, from)
	},
}

var unbindFromGroup = &command{
	cli: "unbind lb monitor", words: bindToGroup.words, attrs: bindToGroup.attrs[:3],
	run: func(x *exec, it item) (func(), *failure) {
		from, f := fromMonitor(it)
		if f != nil {
			return nil, f
		}
		return unbindMonitor.run(x, from)
	},
}

// fromMonitor says of a group what was said of a monitor.
func fromMonitor(it item) (item, *failure) {
	from := item{values: map[string]string{}}
	for _, name := range []struct{ here, there string }{
		{"monitorname", "monitor_name"}, {"servicename", "servicegroupname"}, {"servicegroupname", "servicegroupname"},
		{"dup_weight", "weight"}, {"weight", "weight"}, {"dup_state", "monstate"}, {"state", "monstate"},
	} {
		if it.has(name.here) {
			from.values[name.there] = it.get(name.here)
		}
	}
	if !from.has("servicegroupname") {
		return from, fail(codeArgumentMissing, "servicegroupname")
	}
	return from, nil
}

// switchMonitor enables or disables a monitor where it is bound: to one group, or to
// all.
func switchMonitor(verb, state string) *command {
	return &command{
		cli: verb + " lb monitor", words: bindToGroup.words, attrs: bindToGroup.attrs[:3],
		run: func(x *exec, it item) (func(), *failure) {
			name, group := it.get("monitorname"), cmp.Or(it.get("servicegroupname"), it.get("servicename"))
			found := group == "" && (x.part.object(monitors, name) != nil || slices.Contains(builtinMonitors, name))
			for _, g := range x.part.groups {
				for i := range g.monitors {
					if m := &g.monitors[i]; m.name == name && (group == "" || g.name == group) {
						m.state, found = state, true
					}
				}
			}
			if !found {
				return nil, fail(codeNoResource, "monitorName", name)
			}
			return nil, nil
		},
	}
}

var enableMonitor, disableMonitor = switchMonitor("enable", "ENABLED"), switchMonitor("disable", "DISABLED")

func showMonitorGroups(x *exec, q *query, l *listing) *failure {
	if q.named && x.part.object(monitors, q.name) == nil && !slices.Contains(builtinMonitors, q.name) {
		return fail(codeNoResource, "monitorName", q.name)
	}
	for _, g := range x.part.groups {
		for _, m := range g.monitors {
			if q.named && m.name != q.name {
				continue
			}
			l.row("monitorname", m.name, "servicegroupname", g.name, "state", m.stateName(),
				"weight", counter(max(m.weight, 1)))
		}
	}
	return nil
}

func (m monitorLink) stateName() string { return admin{disabled: m.state == "DISABLED"}.stateName() }

func groupNameOf(g *group) string { return g.name }

func showGroupMonitors(x *exec, q *query, l *listing) *failure {
	return namedGroups(x, q, func(g *group) { x.monitorRows(l, g) })
}

func namedGroups(x *exec, q *query, row func(*group)) *failure {
	if g := x.groupNamed(q.name); q.named && g != nil {
		row(g)
		return nil
	}
	if f := named(x.part.groups, groupNameOf, q, row); f != nil {
		return fail(codeNoResource, "serviceGroupName", q.name)
	}
	return nil
}

func (x *exec) monitorRows(l *listing, g *group) {
	for _, m := range g.monitors {
		l.row("servicegroupname", g.name, "monitor_name", m.name, "monstate", m.stateName(),
			"weight", counter(max(m.weight, 1)), "passive", m.passive)
	}
}

// showGroupBinding has all bindings of a group in one object. What it is asked
// to look for are its bindings, too: the official XDS adaptor unbinds a member
// by this type, and the Go client that it uses looks for the member first.
func showGroupBinding(x *exec, q *query, l *listing) *failure {
	return namedGroups(x, q, func(g *group) {
		l.begin()
		l.text("servicegroupname", g.name)
		l.bindings("servicegroup_servicegroupmember_binding", func(l *listing) {
			for _, m := range g.members {
				x.memberRow(l, m)
			}
		})
		l.bindings("servicegroup_lbmonitor_binding", func(l *listing) { x.monitorRows(l, g) })
		l.end()
	})
}
