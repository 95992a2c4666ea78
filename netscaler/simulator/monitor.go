package simulator

import (
	"slices"
	"strings"
)

var monitorAttrs = []attr{
	{name: "monitorname", kind: identifier, required: true},
	{name: "type", required: true, fixed: true},
	{name: "interval", kind: integer, min: 1, max: 20940},
	{name: "resptimeout", cli: "resptimeout", kind: integer, min: 1, max: 20939},
	{name: "retries", kind: integer, min: 1, max: 127},
	{name: "failureretries", cli: "failureRetries", kind: integer, max: 32},
	{name: "downtime", cli: "downTime", kind: integer, min: 1, max: 20939},
	{name: "httprequest", cli: "httpRequest"},
	{name: "send"},
	{name: "recv"},
	{name: "destport", cli: "destPort", kind: integer, max: 65535},
	{name: "secure", kind: choice, enum: yesNo},
	{name: "lrtm", cli: "LRTM", kind: choice, enum: enabled},
}

// builtinMonitors need not be added.
var builtinMonitors = strings.Fields("ping ping-default tcp tcp-default http http-ecv https https-ecv tcp-ecv tcps tcps-ecv udp-ecv arp nd6 ldns-ping ldns-tcp ldns-dns inline nntp ftp citrix-xml-service")

func showMonitors(x *exec, q *query, l *listing) *failure {
	return named(x.part.monitor, objectName, q, func(m *object) {
		l.begin()
		x.objectFields(l, m, monitorAttrs, nil)
		l.end()
	})
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
