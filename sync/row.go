package sync

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nitrox/netscaler"
)

// Standing is where a member or an endpoint of an app stands after a pass. All
// reports use these, and their words.
type Standing int

// The standings; each address has one. The order is that in which people should
// see them.
const (
	Missing   Standing = iota // an endpoint that should serve, and is not bound or enabled
	Down                      // a member, enabled, and not healthy to the NetScaler's monitors
	Draining                  // on its way out, and serving the clients it has
	Drained                   // out of service, and still to be unbound
	Added                     // bound or enabled in this pass; its health has not been read yet
	Uncertain                 // an endpoint whose health is not known: not added
	Disabled                  // a member that somebody else disabled: left as it is
	Serving                   // a member, enabled, and healthy
	NotOurs                   // a domain name, or an address outside only
	LeftOut                   // what a source saw, and does not count as an endpoint
)

var standings = [...]string{
	Missing: "missing", Down: "down", Draining: "draining", Drained: "drained", Added: "added", Uncertain: "uncertain",
	Disabled: "disabled", Serving: "serving", NotOurs: "not ours", LeftOut: "left out",
}

// Standings is how many there are.
const Standings = len(standings)

func (s Standing) String() string { return standings[s] }

// Row is one endpoint or member of an app, and why it is in or out.
type Row struct {
	Addr   netip.AddrPort // not valid for those left out, and for domain names
	Name   string         // what stands for the address then
	Server string         // the server entity, if its name is not the address
	Standing
	Weight, Order int // 0: not known, or the default
	Why           string
	// Held: a guard holds its removal.
	Held bool
	// Err is why a change to it was not made.
	Err string
}

// Rows are the endpoints against the members: each address once, those that need
// attention first.
func (o Outcome) Rows() []Row {
	said := o.origins()
	all := make([]Row, 0, len(o.Plan.Kept)+len(o.Plan.Changes)+len(o.Plan.Held)+len(o.Plan.Draining))
	at := make(map[netip.AddrPort]int, cap(all)) // the first row of each
	put := func(m netscaler.Member, s Standing, why string) *Row {
		r := Row{Addr: m.Addr, Standing: s, Weight: m.Weight, Order: m.Order, Why: OneLine(why)}
		switch {
		case !m.Addr.IsValid():
			r.Name = OneLine(m.Server)
		case !ownName(m):
			r.Server = OneLine(m.Server)
		}
		if _, there := at[m.Addr]; !there {
			at[m.Addr] = len(all)
		}
		all = append(all, r)
		return &all[len(all)-1]
	}
	enabled := func(m netscaler.Member, why string) *Row {
		if m.Up {
			return put(m, Serving, why)
		}
		return put(m, Down, why)
	}
	for _, m := range o.Plan.Kept {
		enabled(m, cmp.Or(said(m.Addr), "kept: the endpoints are in doubt, so nothing is removed"))
	}
	for _, d := range o.Changes() {
		if !ofMember(d.Op) {
			continue
		}
		var r *Row
		switch c := *d.Change; {
		case c.Op == netscaler.Set, c.State == netscaler.Enabled && c.Op == netscaler.Enable:
			// Of a member that serves, or that was enabled just before.
			j, there := at[c.Addr]
			if !there {
				continue
			}
			r = &all[j]
			switch {
			case c.Op == netscaler.Enable:
			case d.Made():
				r.Weight, r.Order = c.Weight, c.Order
			default:
				r.Weight, r.Order = c.Was.Weight, c.Was.Order
				r.Why = OneLine(fmt.Sprintf("%s to be set; %s", settings(c, func(netscaler.Member) string { return "" }), r.Why))
			}
		case c.Op < netscaler.Set && d.Made():
			r = put(c.Member, Added, cmp.Or(said(c.Addr), c.Why))
		case c.Op < netscaler.Set:
			r = put(c.Member, Missing, cmp.Or(said(c.Addr), c.Why))
		case d.Made() && c.Op == netscaler.Unbind:
			continue
		case c.State == netscaler.Disabled:
			r = put(c.Member, Drained, whyWaits)
		case d.Made(), c.State != netscaler.Enabled:
			r = put(c.Member, Draining, c.Why)
		default:
			r = enabled(c.Member, c.Why)
		}
		if d.Failed() {
			r.Err = text(d.Err)
		}
	}
	for _, c := range o.Plan.Held {
		enabled(c.Member, c.Why).Held = true
	}
	for _, m := range o.Plan.Draining {
		switch {
		case m.State == netscaler.Disabled:
			put(m, Drained, whyWaits)
		case m.Remaining > 0:
			put(m, Draining, Short(m.Remaining)+" left")
		default:
			put(m, Draining, "until its clients are gone")
		}
	}
	for _, m := range o.Plan.Disabled {
		why := "by an operator"
		if m.State == netscaler.DisabledAbove {
			why = "its server or its group is disabled"
		}
		put(m, Disabled, why+"; left as it is")
	}
	for _, m := range o.Plan.NotOurs {
		put(m, NotOurs, cmp.Or(m.NotOurs, "outside the networks in only")+"; left as it is")
	}
	for _, e := range o.Plan.Uncertain {
		put(netscaler.Member{Addr: e.Addr, Weight: e.Weight, Order: e.Order}, Uncertain, strings.TrimSuffix(e.Uncertain+"; "+said(e.Addr), "; "))
	}
	for i, answer := range o.Answers {
		for _, l := range answer.LeftOut {
			all = append(all, Row{Name: OneLine(l.What), Standing: LeftOut, Why: OneLine(l.Why + " (source " + o.App.From[i].Source + ")")})
		}
	}
	slices.SortStableFunc(all, func(a, b Row) int {
		return cmp.Or(-compareBool(a.Err != "", b.Err != ""), -compareBool(a.Held, b.Held), cmp.Compare(a.Standing, b.Standing), a.Addr.Compare(b.Addr))
	})
	return all
}

// whyWaits is why there still is a member that is drained.
const whyWaits = "waiting to be unbound"

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// ownName says whether a server's name is its address, as it mostly is, without
// parsing 100,000 of them.
func ownName(m netscaler.Member) bool {
	var text [48]byte
	return string(m.Addr.Addr().AppendTo(text[:0])) == m.Server
}

// origins says of an address which sources want it, and what they say of it;
// empty: none does.
func (o Outcome) origins() func(netip.AddrPort) string {
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
