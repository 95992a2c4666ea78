package observe

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"nitrox/netscaler"
	"nitrox/sync"
)

// State is where an endpoint or member of an app stands after a pass.
type State string

// The states; each address is in one.
const (
	Serving   State = "serving"   // a member, enabled, and healthy to the NetScaler's monitors
	Down      State = "down"      // a member, enabled, and not healthy
	Added     State = "added"     // bound or enabled in this pass; its health is not read yet
	Missing   State = "missing"   // should serve, and was not bound or enabled
	Held      State = "held"      // serves; a guard holds its removal
	Surplus   State = "surplus"   // should go, and was not removed
	Draining  State = "draining"  // on its way out
	Uncertain State = "uncertain" // an endpoint whose health is not known: not added
	Disabled  State = "disabled"  // a member that somebody else disabled: left as it is
	NotOurs   State = "not ours"  // a domain name, or an address outside only
	LeftOut   State = "left out"  // what a source saw, and does not count as an endpoint
)

// states are in the order in which people should see them.
var states = []State{Missing, Held, Surplus, Down, Draining, Added, Uncertain, Disabled, Serving, NotOurs, LeftOut}

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
	at := map[netip.AddrPort]int{} // indexes of all
	var all []row
	put := func(m netscaler.Member, state State, why string) *row {
		i, known := at[m.Addr]
		if !known || !m.Addr.IsValid() {
			i = len(all)
			all = append(all, row{})
			at[m.Addr] = i
		}
		r := row{Addr: m.Addr, State: state, Weight: m.Weight, Why: line(why)}
		if m.Server != m.Addr.Addr().String() {
			r.Server = line(m.Server)
		}
		if !m.Addr.IsValid() {
			r.Name, r.Server = r.Server, ""
		}
		all[i] = r
		return &all[i]
	}
	for _, m := range o.Plan.Kept {
		state := Serving
		if !m.Up {
			state = Down
		}
		why, wanted := said[m.Addr]
		if !wanted {
			why = "kept: the endpoints are in doubt, so nothing is removed"
		}
		put(m, state, why)
	}
	for i, c := range o.Plan.Changes {
		done := o.Errs != nil && o.Errs[i] == nil
		var r *row
		switch {
		case c.Op < netscaler.Bind, c.Op > netscaler.Unbind:
			continue // of no member
		case c.Op == netscaler.Set, c.State == netscaler.Enabled && c.Op == netscaler.Enable:
			// Of a member that serves, or that was enabled just before.
			j, known := at[c.Addr]
			if !known {
				continue
			}
			r = &all[j]
			switch {
			case c.Op == netscaler.Enable:
			case done:
				r.Weight = c.Weight
			default:
				r.Weight = c.Was
				r.Why = line(fmt.Sprintf("weight %d should be %d; %s", c.Was, c.Weight, r.Why))
			}
		case c.Op < netscaler.Set && done:
			r = put(c.Member, Added, cmp.Or(said[c.Addr], c.Why))
		case c.Op < netscaler.Set:
			r = put(c.Member, Missing, cmp.Or(said[c.Addr], c.Why))
		case done && c.Op == netscaler.Unbind:
			continue
		case done, c.State != netscaler.Enabled:
			r = put(c.Member, Draining, c.Why)
		default:
			r = put(c.Member, Surplus, c.Why)
		}
		if o.Errs != nil && o.Errs[i] != nil {
			r.Err = line(text(o.Errs[i]))
		}
	}
	for _, c := range o.Plan.Held {
		put(c.Member, Held, c.Why)
	}
	for _, m := range o.Plan.Draining {
		why := "until its clients are gone"
		if m.Left > 0 {
			why = short(m.Left) + " left"
		}
		put(m, Draining, why)
	}
	for _, m := range o.Plan.Operator {
		why := "by an operator"
		if m.State == netscaler.Suspended {
			why = "its server or its group is disabled"
		}
		put(m, Disabled, why+"; left as it is")
	}
	for _, m := range o.Plan.Foreign {
		put(m, NotOurs, cmp.Or(m.Alien, "outside only")+"; left as it is")
	}
	for _, e := range o.Plan.Waiting {
		put(netscaler.Member{Addr: e.Addr, Weight: e.Weight}, Uncertain, e.Uncertain+"; "+said[e.Addr])
	}
	for i, answer := range o.Answers {
		for _, l := range answer.Left {
			all = append(all, row{Name: line(l.What), State: LeftOut, Why: line(l.Why + " (" + o.App.From[i].Source + ")")})
		}
	}
	slices.SortStableFunc(all, func(a, b row) int {
		return cmp.Or(cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State)), a.Addr.Compare(b.Addr))
	})
	return all
}

// origins tells of each address which sources want it, and what they say of it.
func origins(o sync.Outcome) map[netip.AddrPort]string {
	said := map[netip.AddrPort]string{}
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
	return said
}
