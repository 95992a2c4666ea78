package simulator

import (
	"slices"
	"time"
)

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

// autoscaled is the recorded reason for refusing a group whose members come and
// go with a domain name. (What other kinds of group do is not recorded; one with
// members by API can be switched here.)
const autoscaled = "Enabling / Disabling is not permitted as it has auto scale members. Try unbinding auto scale members."

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
		if len(g.members) > 0 && slices.Contains([]string{"DNS", "POLICY", "CLOUD"}, g.value("autoscale")) {
			return fail(codeNotPermitted, autoscaled)
		}
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
		m.probed = health{up: m.probed.up, at: x.now} // the monitors start over
		m.idle = time.Time{}
	}
	if m.leaving && !to.disabled {
		m.leaving = false
		m.group.leaving--
	}
	switch was := m.disabled; {
	case was && !to.disabled:
		m.group.count(1)
	case !was && to.disabled:
		m.group.count(-1)
	}
	m.admin = to
}
