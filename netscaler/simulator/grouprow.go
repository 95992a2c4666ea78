package simulator

import (
	"strings"
	"time"
)

func showGroups(x *exec, q *query, l *listing) *failure {
	include := q.args["includemembers"]
	members := strings.EqualFold(include, "true") || strings.EqualFold(include, "yes")
	if name := q.args["servicegroupname"]; name != "" {
		q.named, q.name = true, name
	}
	if q.named {
		g := x.groupNamed(q.name)
		if g == nil {
			return fail(codeNoResource, "serviceGroupName", q.name)
		}
		x.groupRow(l, g, members)
		return nil
	}
	for _, g := range x.part.groups {
		x.groupRow(l, g, members)
	}
	return nil
}

// groupRow has the fields and their types in the order of recorded answers
// (13.x and 14.1).
func (x *exec) groupRow(l *listing, g *group, members bool) {
	l.begin()
	l.put("servicegroupname", g.name, "numofconnections", 0, "servicetype", g.kind, "td", counter(g.int("td")),
		"serviceconftype", true, "cachetype", g.value("cachetype"), "maxclient", counter(g.int("maxclient")),
		"maxreq", counter(g.int("maxreq")))
	for _, name := range []string{"cacheable", "cip", "cipheader", "usip", "pathmonitor", "pathmonitorindv", "useproxyport"} {
		x.optional(l, g, name)
	}
	l.counter("monweight", 0)
	x.optional(l, g, "sc")
	x.optional(l, g, "sp")
	x.optional(l, g, "rtspsessionidremap")
	l.put("clttimeout", g.int("clttimeout"), "svrtimeout", g.int("svrtimeout"))
	for _, name := range []string{"cka", "tcpb", "cmp"} {
		x.optional(l, g, name)
	}
	l.put("maxbandwidth", counter(g.int("maxbandwidth")), "state", g.stateName(),
		"monthreshold", counter(g.int("monthreshold")))
	l.text("monstate", "ENABLED") // which checks of monitoring systems demand
	l.put("monstatcode", 0, "monstatparam1", 0, "monstatparam2", 0, "monstatparam3", 0)
	x.optional(l, g, "downstateflush")
	state, since := x.effective(g)
	l.put("statechangetimesec", since.Format(time.ANSIC), "statechangetimemsec", counter(since.Nanosecond()/1e6),
		"tickssincelaststatechange", counter(ticks(x.now, since)), "stateupdatereason", counter(0),
		"clmonowner", counter(0), "clmonview", counter(0), "groupcount", counter(0), "hashid", counter(0),
		"graceful", "NO")
	for _, name := range []string{"healthmonitor", "appflowlog", "autoscale"} {
		x.optional(l, g, name)
	}
	l.put("memberport", g.int("memberport"), "serviceipstr", "0.0.0.0", "passive", false,
		"servicegroupeffectivestate", state)
	x.optional(l, g, "monconnectionclose")
	x.optional(l, g, "autodisablegraceful")
	if x.lacks("autodisabledelay") {
		l.absent("autodisabledelay")
	} else {
		l.counter("autodisabledelay", g.int("autodisabledelay"))
	}
	for _, name := range []string{"nodefaultbindings", "tcpprofilename", "httpprofilename", "netprofile", "comment", "autodelayedtrofs", "bootstrap", "topicname",
		"quicprofilename", "riseapbrstatsmsgcode"} {
		x.optional(l, g, name)
	}
	l.put("nameserver", "0.0.0.0", "dbsttl", 0, "responsetime", counter(0))
	if x.lacks("order") {
		l.absent("orderstr")
	} else {
		l.text("orderstr", "Default")
	}
	l.counter("trofsdelay", 0)
	if members {
		l.nested("servicegroup_servicegroupmember_binding", func(l *listing) {
			for _, m := range g.members {
				x.memberRow(l, m)
			}
		})
	}
	l.end()
}

// optional writes an attribute that has a value and that the build knows.
func (x *exec) optional(l *listing, g *group, name string) {
	if v := g.value(name); v != "" && !x.lacks(name) {
		l.text(name, v)
	} else {
		l.absent(name)
	}
}

// effective is the state of the group as a whole: UP if all members are, DOWN
// if all are or there are none, OUT OF SERVICE, PARTIAL-UP with some UP, else
// PARTIAL-DOWN (NITRO documentation, servicegroupeffectivestate).
func (x *exec) effective(g *group) (string, time.Time) {
	since := g.since
	var up, down, out int
	for _, m := range g.members {
		state, at, _ := x.serving(m, x.now)
		switch state {
		case stateUp:
			up++
		case stateDown:
			down++
		default:
			out++
		}
		if at.After(since) {
			since = at
		}
	}
	switch n := len(g.members); {
	case n == 0, down == n:
		return stateDown, since
	case up == n:
		return stateUp, since
	case out == n:
		return stateOut, since
	case up > 0:
		return "PARTIAL-UP", since
	}
	return "PARTIAL-DOWN", since
}

// ticks are the 10 ms since then.
func ticks(now, since time.Time) int { return int(now.Sub(since) / (10 * time.Millisecond)) }

func (a admin) stateName() string {
	if a.disabled {
		return "DISABLED"
	}
	return "ENABLED"
}
