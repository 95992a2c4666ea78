package observe

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"nitrox/netscaler"
	"nitrox/sync"
)

// State is where an endpoint or member of an app stands after a pass. The order
// is that in which people should see them.
type State int

// The states; each address is in one.
const (
	Missing   State = iota // should serve, and was not bound or enabled
	Held                   // serves; a guard holds its removal
	Surplus                // should go, and was not removed
	Down                   // a member, enabled, and not healthy to the NetScaler's monitors
	Draining               // on its way out
	Added                  // bound or enabled in this pass; its health is not read yet
	Uncertain              // an endpoint whose health is not known: not added
	Disabled               // a member that somebody else disabled: left as it is
	Serving                // a member, enabled, and healthy
	NotOurs                // a domain name, or an address outside only
	LeftOut                // what a source saw, and does not count as an endpoint
)

var stateNames = [...]string{
	Missing: "missing", Held: "held", Surplus: "surplus", Down: "down", Draining: "draining", Added: "added",
	Uncertain: "uncertain", Disabled: "disabled", Serving: "serving", NotOurs: "not ours", LeftOut: "left out",
}

func (s State) String() string { return stateNames[s] }

// row is one endpoint or member of an app, and why it is in or out.
type row struct {
	Addr   netip.AddrPort // not valid for those left out, and for domain names
	Name   string         // what stands for the address then
	Server string         // the server entity, if its name is not the address
	State  State
	Weight int // 0: not known
	Why    string
	Err    string // why the change was not made
}

// rows are the endpoints against the members: each address once, those that
// need attention first.
func rows(o sync.Outcome) []row {
	said := origins(o)
	all := make([]row, 0, len(o.Plan.Kept)+len(o.Plan.Changes)+len(o.Plan.Held)+len(o.Plan.Draining))
	put := func(m netscaler.Member, state State, why string) *row {
		r := row{Addr: m.Addr, State: state, Weight: m.Weight, Why: line(why)}
		switch {
		case !m.Addr.IsValid():
			r.Name = line(m.Server)
		case !named(m.Server, m.Addr.Addr()):
			r.Server = line(m.Server)
		}
		all = append(all, r)
		return &all[len(all)-1]
	}
	for _, m := range o.Plan.Kept {
		state := Serving
		if !m.Up {
			state = Down
		}
		why := said(m.Addr)
		if why == "" {
			why = "kept: the endpoints are in doubt, so nothing is removed"
		}
		put(m, state, why)
	}
	for _, d := range o.Changes() {
		c, done := d.Change, d.Made()
		var r *row
		switch {
		case c.Op < netscaler.Bind, c.Op > netscaler.Unbind:
			continue // of no member
		case c.Op == netscaler.Set, c.State == netscaler.Enabled && c.Op == netscaler.Enable:
			// Of a member that serves, or that was enabled just before.
			j := slices.IndexFunc(all, func(r row) bool { return r.Addr == c.Addr })
			if j < 0 {
				continue
			}
			r = &all[j]
			switch {
			case c.Op == netscaler.Enable:
			case done:
				r.Weight = c.Weight
			default:
				r.Weight = c.Was.Weight
				r.Why = line(fmt.Sprintf("weight %d should be %d; %s", c.Was.Weight, c.Weight, r.Why))
			}
		case c.Op < netscaler.Set && done:
			r = put(c.Member, Added, cmp.Or(said(c.Addr), c.Why))
		case c.Op < netscaler.Set:
			r = put(c.Member, Missing, cmp.Or(said(c.Addr), c.Why))
		case done && c.Op == netscaler.Unbind:
			continue
		case done, c.State != netscaler.Enabled:
			r = put(c.Member, Draining, c.Why)
		default:
			r = put(c.Member, Surplus, c.Why)
		}
		if d.Failed() {
			r.Err = line(text(d.Err))
		}
	}
	for _, c := range o.Plan.Held {
		put(c.Member, Held, c.Why)
	}
	for _, m := range o.Plan.Draining {
		why := "until its clients are gone"
		if m.Remaining > 0 {
			why = short(m.Remaining) + " left"
		}
		put(m, Draining, why)
	}
	for _, m := range o.Plan.Disabled {
		why := "by an operator"
		if m.State == netscaler.DisabledAbove {
			why = "its server or its group is disabled"
		}
		put(m, Disabled, why+"; left as it is")
	}
	for _, m := range o.Plan.NotOurs {
		put(m, NotOurs, cmp.Or(m.NotOurs, "outside only")+"; left as it is")
	}
	for _, e := range o.Plan.Uncertain {
		put(netscaler.Member{Addr: e.Addr, Weight: e.Weight}, Uncertain, e.Uncertain+"; "+said(e.Addr))
	}
	for i, answer := range o.Answers {
		for _, l := range answer.LeftOut {
			all = append(all, row{Name: line(l.What), State: LeftOut, Why: line(l.Why + " (" + o.App.From[i].Source + ")")})
		}
	}
	slices.SortStableFunc(all, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.State, b.State), a.Addr.Compare(b.Addr))
	})
	return all
}

// named says whether a server's name is its address, as it mostly is.
func named(server string, addr netip.Addr) bool {
	var text [48]byte
	return string(addr.AppendTo(text[:0])) == server
}

// origins tells of an address which sources want it, and what they say of it;
// empty: none does.
func origins(o sync.Outcome) func(netip.AddrPort) string {
	said := make(map[netip.AddrPort]string, len(o.Desired.Endpoints))
	for i, answer := range o.Answers {
		for _, e := range answer.Endpoints {
			what := o.App.From[i].Source
			if e.Origin != "" {
				what += ": " + e.Origin
			}
			if before := said[e.Addr]; before != "" && before != what {
				what = before + "; " + what
			}
			said[e.Addr] = what
		}
	}
	return func(a netip.AddrPort) string { return said[a] }
}
