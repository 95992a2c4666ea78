package simulator

import (
	"strconv"
	"strings"
	"time"
)

var memberResource = &resource{
	key: "servicegroupname", binding: true, shows: "show serviceGroup",
	add: bindMember, rm: unbindMember,
	show: func(x *exec, q *query, l *listing) *failure {
		if !q.named {
			for _, g := range x.part.groups {
				for _, m := range g.members {
					x.memberRow(l, m)
				}
			}
			return nil
		}
		g := x.groupNamed(q.name)
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
	if m.disabled && m.graceful {
		l.text("graceful", "YES")
	} else {
		l.text("graceful", "NO")
	}
	l.number("delay", seconds(left))
	l.number("delay1", 0)
	l.text("nameserver", "0.0.0.0") // never as it was set
	l.number("dbsttl", 0)
	switch {
	case x.lacks("order"):
		l.absent("order")
		l.absent("orderstr")
	case m.order > 0:
		l.number("order", m.order)
		l.counter("orderstr", m.order)
	default:
		l.absent("order")
		l.text("orderstr", "Default")
	}
	l.counter("trofsdelay", 0)
	switch {
	case x.lacks("trofsreason"):
		l.absent("trofsreason")
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

// groupStats is stat/servicegroup, with statbindings=yes the live counters of
// the members.
func groupStats(x *exec, q *query, l *listing) *failure {
	groups := x.part.groups
	if q.named {
		g := x.groupNamed(q.name)
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

// memberStats is stat/servicegroupmember, of the members that its arguments name.
func memberStats(x *exec, q *query, l *listing) *failure {
	is := func(name, value string) bool {
		return q.args[name] == "" || term{name: name, value: q.args[name]}.matches(value)
	}
	for _, g := range x.part.groups {
		for _, m := range g.members {
			if is("servicegroupname", g.name) && is("servername", m.server.name) && is("ip", m.server.ip()) && is("port", strconv.Itoa(int(m.port))) {
				x.statRow(l, m)
			}
		}
	}
	if l.rows == 0 && len(q.args) > 0 {
		return fail(codeNoResource, "serviceGroupName", q.args["servicegroupname"])
	}
	return nil
}

// statRow names the member in servicegroupname as metrics clients take it apart,
// the vendor's too: group?server?port.
func (x *exec) statRow(l *listing, m *member) {
	state, _, _ := x.serving(m, x.now)
	clients := 0
	if !strings.HasPrefix(state, stateOut) && state != stateDown && x.opt.ClientsLeave >= 0 && m.idle.IsZero() {
		clients = 1
	}
	l.begin()
	l.text("servicegroupname", m.group.name+"?"+m.server.name+"?"+strconv.Itoa(int(m.port)))
	l.text("primaryipaddress", m.server.ip())
	l.number("primaryport", int(m.port))
	l.text("servername", m.server.name)
	l.text("servicetype", m.group.kind)
	l.text("state", state)
	l.counter("curclntconnections", clients)
	l.zeros(strings.Replace(trafficCounters, "curclntconnections ", "", 1)+memberCounters, trafficRates)
	l.end()
}
