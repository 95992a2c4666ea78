package simulator

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// setMembers is the desired state of a group with autoscale API: the members
// are replaced by the given ones (NITRO documentation,
// servicegroup_servicegroupmemberlist_binding). Members are addresses, never
// server names.
var setMembers = &command{
	cli: "bind serviceGroup", words: []string{"servicegroupname"},
	attrs: []attr{groupName}, list: true,
	run: func(x *exec, it item) (func(), *failure) {
		g, f := x.stateGroup(it)
		if f != nil {
			return nil, f
		}
		if it.members == nil {
			return nil, fail(codeArgumentMissing, "members")
		}
		if len(it.members) == 0 && x.opt.EmptyList != 0 {
			return nil, fail(x.opt.EmptyList)
		}
		wanted := map[netip.AddrPort]item{}
		for _, m := range it.members {
			if f := listed.validate(m, x.lacks); f != nil {
				return nil, f
			}
			addr := netip.AddrPortFrom(m.addr("ip"), uint16(m.int("port")))
			if _, twice := wanted[addr]; twice {
				return nil, fail(codeExists)
			}
			wanted[addr] = m
			if x.opt.ListUnchanged != 0 && x.bound(g, addr) != nil {
				return nil, fail(x.opt.ListUnchanged)
			}
		}
		g.atOnce(func() {
			x.retain(g, wanted)
			f = x.list(g, it.members)
		})
		if f != nil {
			x.changed(x.now) // in part
		}
		return nil, f
	},
}

var listed = &command{attrs: []attr{
	{name: "ip", kind: address, required: true},
	{name: "port", kind: integer, min: 1, max: 65535, required: true},
	{name: "weight", kind: integer, min: 1, max: 100},
	stateAttr,
	{name: "order", kind: integer, min: 1, max: 8192},
}}

var clearMembers = &command{
	cli: "unbind serviceGroup", words: []string{"servicegroupname"}, attrs: []attr{groupName},
	run: func(x *exec, it item) (func(), *failure) {
		g, f := x.stateGroup(it)
		if f != nil {
			return nil, f
		}
		x.retain(g, nil)
		return nil, nil
	},
}

func (x *exec) stateGroup(it item) (*group, *failure) {
	g, f := x.findGroup(it)
	if f == nil && g.value("autoscale") != "API" {
		return nil, fail(codeNotPermitted)
	}
	return g, f
}

func (x *exec) bound(g *group, addr netip.AddrPort) *member {
	if srv := x.part.byAddr[place{addr.Addr(), g.int("td")}]; srv != nil {
		return g.index[memberKey{srv.name, addr.Port()}]
	}
	return nil
}

// retain drops what is not wanted: at once, or by a graceful disable after
// which the member goes of itself, as the group's autodisablegraceful and
// autodisabledelay say.
func (x *exec) retain(g *group, wanted map[netip.AddrPort]item) {
	graceful := g.value("autodisablegraceful") == "YES"
	for _, m := range slices.Clone(g.members) {
		if _, ok := wanted[m.addr()]; ok || m.leaving {
			continue
		}
		if !graceful {
			g.remove(m)
			continue
		}
		m.leaving = true
		g.leaving++
		x.switchMember(m, admin{disabled: true, at: x.now, graceful: true, delay: time.Duration(g.int("autodisabledelay")) * time.Second})
	}
}

// list binds or updates the wanted members. Those that cannot be bound are
// named in the answer, and the others stay.
func (x *exec) list(g *group, members []item) *failure {
	var failed []item
	for _, it := range members {
		addr := netip.AddrPortFrom(it.addr("ip"), uint16(it.int("port")))
		if m := x.bound(g, addr); m != nil {
			// The list is the state desired: what it does not say is the default.
			// Of the order no document says so, and keeping it would hide from a
			// client that it forgot one.
			if !it.has("weight") {
				m.weight = 1
			}
			if !it.has("order") {
				m.order = 0
			}
			m.set(it)
			if disabled := it.get("state") == "DISABLED"; disabled != m.disabled {
				x.switchMember(m, admin{disabled: disabled, at: x.now})
			}
			continue
		}
		line := bindMember.line(item{values: map[string]string{"servicegroupname": g.name, "ip": it.get("ip"), "port": it.get("port")}})
		f := x.commandFault(line)
		if f == nil {
			var srv *server
			if srv, f = x.serverFor(item{values: map[string]string{"ip": it.get("ip")}}, g.int("td"), true); f == nil {
				_, f = x.bind(g, srv, addr.Port(), it)
			}
		}
		if f != nil {
			failed = append(failed, it)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	f := fail(codeMembersFailed)
	key := x.opt.ListFailedKey
	if key == "" {
		key = "failedmembers"
	}
	f.extra = append(f.extra, `, "servicegroup_servicegroupmemberlist_binding": [ { "servicegroupname": `...)
	f.extra = append(appendText(f.extra, g.name), `, "`+key+`": [ `...)
	for i, it := range failed {
		if i > 0 {
			f.extra = append(f.extra, ", "...)
		}
		f.extra = append(appendText(append(f.extra, `{ "ip": `...), it.get("ip")), `, "port": `...)
		f.extra = append(strconv.AppendInt(f.extra, int64(it.int("port")), 10), " }"...)
	}
	f.extra = append(f.extra, " ] } ]"...)
	return f
}
