package sync

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
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
	NotKnown                  // an endpoint of a group whose members could not be read
	LeftOut                   // what a source saw, and does not count as an endpoint, or what must not be bound
)

var standings = [...]string{
	Missing: "missing", Down: "down", Draining: "draining", Drained: "drained", Added: "added", Uncertain: "uncertain",
	Disabled: "disabled", Serving: "serving", NotOurs: "not ours", NotKnown: "not known", LeftOut: "left out",
}

// Standings is how many there are.
const Standings = len(standings)

func (s Standing) String() string { return standings[s] }

// Row is one endpoint or member of an app, and why it is in or out.
type Row struct {
	Addr   netip.AddrPort // not valid for domain names, and for most of those left out
	Name   string         // what stands for the address then, and for any that is left out
	Server string         // the server entity, if its name is not the address
	Standing
	Weight, Order int // 0: not known, or the default
	// Settings says who gives the weight and the order; "": no source wants it.
	Settings string
	Why      string
	// Rule is what follows from that, and what is to be done where that is for others.
	Rule string
	// Facts are what the sources have read that makes it so.
	Facts string
	// Lasts is for how long the NetScaler has had the member as it is; 0: not known.
	Lasts time.Duration
	// Held: a guard holds its removal.
	Held bool
	// Err is why a change to it was not made.
	Err string
}

// Verdict is whether the row's address is in the service group, in the words of
// whoever asks for it.
func (r Row) Verdict() string {
	switch {
	case r.Held:
		return "held"
	case r.Standing == Serving, r.Standing == Added:
		return "in"
	case r.Standing == Down:
		return "in, down"
	case r.Standing == Missing, r.Standing == Uncertain, r.Standing == LeftOut:
		return "out"
	case r.Standing == Disabled:
		return "disabled by somebody"
	}
	return r.Standing.String()
}

// The rules by which an address is in or out.
const (
	ruleWanted    = "a source wants it, and it is bound: it stays"
	ruleUnsure    = "its health is not known: it stays while it is bound"
	ruleDoubt     = "the endpoints are in doubt: nothing is removed until the doubt is over"
	ruleOrphan    = "no app claims its service group any more: it stays; if it has to go, unbind it on the NetScaler"
	ruleSet       = "a source wants it, and it is bound: only its settings change"
	ruleUnmark    = "a source wants it, and it serves with the mark of a drain: the mark is lifted"
	ruleAdd       = "a source wants it, and it is not in service: it is bound or enabled"
	ruleAdded     = "a source wants it: this run bound or enabled it"
	ruleDrain     = "no source wants it: it is drained, and a later run unbinds it"
	ruleUnbind    = "no source wants it: it is unbound"
	ruleUncertain = "its health is not known: it is added when it is"
	ruleBack      = "a source has it again, and its health is not known: it is enabled when it is"
	ruleLeaving   = "it was left out of the group's member list: the NetScaler removes it by itself"
	ruleDisabled  = "somebody disabled it (it has no mark of Nitrox): it is left as it is; to have it back, enable it on the NetScaler"
	ruleAbove     = "its server or its group is disabled: it is left as it is; to have it back, enable that on the NetScaler"
	ruleNotOurs   = "it is not Nitrox's: it is never touched"
	ruleLeftOut   = "its source does not count it as an endpoint: it is not added, and removed if it is bound"
	ruleUnfit     = "what must not be bound is left out, and puts the endpoints in doubt; correct only, or what the source has"
	rulePaused    = "the app is paused: nothing is changed until paused is taken out of the mapping"
	ruleNoPlan    = "no plan can be made for the service group: nothing is changed"
)

// Rows are the endpoints against the members: each address once, those that need
// attention first. What is left out comes in rows of its own.
func (o Outcome) Rows() []Row {
	heard := o.heard()
	all := make([]Row, 0, len(o.Plan.Kept)+len(o.Plan.Changes)+len(o.Plan.Held)+len(o.Plan.Draining))
	at := make(map[netip.AddrPort]int, cap(all)) // the first row of each
	put := func(m netscaler.Member, s Standing, rule, why string) *Row {
		said, wanted := heard.of[m.Addr]
		if !wanted {
			said.facts = heard.evidence(m.Addr)
		}
		r := Row{Addr: m.Addr, Standing: s, Weight: m.Weight, Order: m.Order, Settings: said.settings, Why: OneLine(why), Rule: rule, Facts: said.facts, Lasts: m.Lasts}
		switch {
		case !m.Addr.IsValid():
			r.Name = OneLine(m.Server)
		case !ownName(m):
			r.Server = OneLine(m.Server)
		}
		switch {
		case m.Mark && m.NoMark:
			r.Facts = strings.TrimPrefix(r.Facts+"; it cannot carry Nitrox's mark, so a graceful disable counts as Nitrox's", "; ")
		case m.Mark:
			r.Facts = strings.TrimPrefix(r.Facts+"; it has Nitrox's mark", "; ")
		}
		if _, there := at[m.Addr]; !there {
			at[m.Addr] = len(all)
		}
		all = append(all, r)
		return &all[len(all)-1]
	}
	enabled := func(m netscaler.Member, rule, why string) *Row {
		if m.Up {
			return put(m, Serving, rule, why)
		}
		return put(m, Down, rule, why)
	}
	planned := func(rule string) string {
		switch {
		case o.App.Policy.Paused:
			return rulePaused
		case o.Err != nil:
			return ruleNoPlan
		}
		return rule
	}
	unsure := heard.unsure
	for _, m := range o.Plan.Kept {
		switch said, wanted := heard.of[m.Addr]; {
		case o.App.Orphan && !o.App.Leaving:
			enabled(m, ruleOrphan, "kept: no app claims its service group")
		case !wanted:
			enabled(m, ruleDoubt, "kept: the endpoints are in doubt, so nothing is removed")
		case unsure[m.Addr] != "":
			enabled(m, ruleUnsure, said.origin+"; "+unsure[m.Addr])
		default:
			enabled(m, ruleWanted, said.origin)
		}
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
				r.Rule = planned(ruleUnmark)
			case d.Made():
				r.Weight, r.Order = c.Weight, c.Order
			default:
				r.Weight, r.Order, r.Rule = c.Was.Weight, c.Was.Order, planned(ruleSet)
				r.Why = OneLine(fmt.Sprintf("%s to be set; %s", settings(c, func(netscaler.Member) string { return "" }), r.Why))
			}
		case c.Op < netscaler.Set && d.Made():
			r = put(c.Member, Added, ruleAdded, cmp.Or(heard.of[c.Addr].origin, c.Why))
		case c.Op < netscaler.Set:
			r = put(c.Member, Missing, planned(ruleAdd), cmp.Or(heard.of[c.Addr].origin, c.Why))
		case d.Made() && c.Op == netscaler.Unbind:
			continue
		case c.State == netscaler.Disabled:
			r = put(c.Member, Drained, planned(ruleUnbind), whyWaits)
		case d.Made(), c.State != netscaler.Enabled:
			r = put(c.Member, Draining, planned(ruleDrain), c.Why)
		case c.Op == netscaler.Drain:
			r = enabled(c.Member, planned(ruleDrain), c.Why)
		default:
			r = enabled(c.Member, planned(ruleUnbind), c.Why)
		}
		if d.Made() && d.Op != netscaler.Set {
			r.Lasts = 0 // it has just become what it is
		}
		if d.Failed() {
			r.Err = text(d.Err)
		}
	}
	held := "a guard holds its removal: " + text(o.Plan.HeldBy)
	for _, c := range o.Plan.Held {
		enabled(c.Member, held, c.Why).Held = true
	}
	for _, m := range o.Plan.Draining {
		_, wanted := heard.of[m.Addr]
		rule := ruleDrain
		switch {
		case o.App.Orphan && !o.App.Leaving:
			rule = ruleOrphan
		case m.Leaving:
			rule = ruleLeaving
		case wanted:
			rule = ruleBack
		case o.Desired.Doubt() != nil:
			rule = ruleDoubt
		}
		why := "until its clients are gone"
		switch {
		case m.State == netscaler.Disabled:
			why = whyWaits
		case m.Remaining > 0:
			why = Short(m.Remaining) + " left"
		}
		s := Draining
		if m.State == netscaler.Disabled {
			s = Drained
		}
		put(m, s, rule, why)
	}
	disabled := func(m netscaler.Member) {
		why, rule := "by an operator", ruleDisabled
		if m.State == netscaler.DisabledAbove {
			why, rule = "its server or its group is disabled", ruleAbove
		}
		r := put(m, Disabled, rule, why+"; left as it is")
		r.Facts = heard.evidence(m.Addr)
	}
	for _, m := range o.Plan.Disabled {
		disabled(m)
	}
	foreign := func(m netscaler.Member) {
		r := put(m, NotOurs, ruleNotOurs, cmp.Or(m.NotOurs, outsideOnly)+"; left as it is")
		r.Facts = heard.evidence(m.Addr)
	}
	for _, m := range o.Plan.NotOurs {
		foreign(m)
	}
	for _, e := range o.Plan.Uncertain {
		put(member(e), Uncertain, ruleUncertain, strings.TrimSuffix(e.Uncertain+"; "+heard.of[e.Addr].origin, "; "))
	}
	if o.Err != nil { // there is no plan, or it was refused
		planless := o.Actual
		if len(at) > 0 {
			planless = nil
		}
		for _, m := range planless {
			switch {
			case m.NotOurs != "" || !inside(m.Addr.Addr(), o.App.Policy.Only):
				foreign(m)
			case m.State == netscaler.DisabledAbove, m.State != netscaler.Enabled && !m.Mark:
				disabled(m)
			case m.State == netscaler.Enabled:
				enabled(m, ruleNoPlan, heard.of[m.Addr].origin)
			case m.State == netscaler.Disabled:
				put(m, Drained, ruleNoPlan, heard.of[m.Addr].origin)
			default:
				put(m, Draining, ruleNoPlan, heard.of[m.Addr].origin)
			}
		}
		for _, e := range o.Desired.Endpoints {
			if _, bound := at[e.Addr]; bound {
				continue
			}
			s := Missing
			if o.Actual == nil && !errors.Is(o.Err, netscaler.ErrNoGroup) {
				s = NotKnown
			}
			put(member(e), s, ruleNoPlan, strings.TrimPrefix(e.Uncertain+"; "+heard.of[e.Addr].origin, "; "))
		}
	}
	for i, answer := range o.Answers {
		source := " (source " + o.App.From[i].Source + ")"
		for _, l := range answer.LeftOut {
			all = append(all, Row{Addr: l.Addr, Name: OneLine(l.What), Standing: LeftOut, Rule: ruleLeftOut, Why: OneLine(l.Why + source)})
		}
		for _, e := range answer.Endpoints {
			if why := o.refuses(e, answer); why != "" {
				all = append(all, Row{Addr: e.Addr, Name: OneLine(cmp.Or(e.Origin, e.Addr.String())), Standing: LeftOut, Rule: ruleUnfit, Facts: OneLine(e.Facts),
					Why: OneLine("it cannot be bound: " + why + source)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Row) int {
		return cmp.Or(-compareBool(a.Err != "", b.Err != ""), -compareBool(a.Held, b.Held), cmp.Compare(a.Standing, b.Standing), a.Addr.Compare(b.Addr))
	})
	return all
}

// refuses says why an endpoint of an answer must not be bound; "": it may. Each that
// must not is a doubt, so that without one there is none to look for.
func (o Outcome) refuses(e sources.Endpoint, answer sources.Answer) string {
	if o.Desired.Doubt() == nil {
		return ""
	}
	return unfit(e.Addr, o.App.Policy, answer.Virtual)
}

// member is what an endpoint would be.
func member(e Endpoint) netscaler.Member {
	return netscaler.Member{Addr: e.Addr, Weight: e.Weight, Order: e.Order}
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

// heard is what the sources say of addresses.
type heard struct {
	of     map[netip.AddrPort]said
	unsure map[netip.AddrPort]string // why their health is not known
	left   map[netip.AddrPort]string // candidates that are left out, and why
	none   string                    // what they say of any other
}

// said is what the sources that want an address say of it, and where its settings
// come from.
type said struct{ origin, facts, settings string }

func (o Outcome) heard() heard {
	h := heard{of: make(map[netip.AddrPort]said, len(o.Desired.Endpoints)), unsure: map[netip.AddrPort]string{}, left: map[netip.AddrPort]string{}}
	var none []string
	leave := func(addr netip.AddrPort, source, what, why string) {
		text := OneLine(source + ": " + what + ": " + why)
		h.left[addr] = strings.TrimPrefix(h.left[addr]+"; "+text, "; ")
	}
	for i, answer := range o.Answers {
		from := o.App.From[i]
		for _, e := range answer.Endpoints {
			if why := o.refuses(e, answer); why != "" {
				leave(e.Addr, from.Source, cmp.Or(e.Origin, e.Addr.String()), "it cannot be bound: "+why)
				continue
			}
			what := from.Source
			if e.Origin != "" {
				what += ": " + e.Origin
			}
			before, again := h.of[e.Addr]
			now := said{what, OneLine(e.Facts), settledBy(e.Weight > 0, from.Weight > 0, from.Order > 0)}
			if again && before.origin != what {
				now.origin = before.origin + "; " + what
				now.facts = strings.Trim(before.facts+"; "+now.facts, "; ")
			}
			if again && before.settings != now.settings {
				now.settings = "several entries of from give the weight or the order"
			}
			h.of[e.Addr] = now
		}
		for _, l := range answer.LeftOut {
			if l.Addr.IsValid() {
				leave(l.Addr, from.Source, l.What, l.Why)
			}
		}
		counts := fmt.Sprintf("%s: not among its %s", from.Source, sources.Count(len(answer.Endpoints), "endpoint"))
		switch n := len(answer.LeftOut); {
		case answer.Doubt() != nil:
			counts = from.Source + ": its answer is in doubt"
		case n > 0:
			counts += fmt.Sprintf(" and %s left out", sources.Count(n, "candidate"))
		}
		none = append(none, counts)
	}
	for _, e := range o.Desired.Endpoints {
		if e.Uncertain != "" {
			h.unsure[e.Addr] = e.Uncertain
		}
	}
	h.none = strings.Join(none, "; ")
	return h
}

// settledBy says who gives a weight and an order.
func settledBy(source, entry, order bool) string {
	switch {
	case source && entry && order:
		return "the mapping and the source give the weight, the mapping the order"
	case source && entry:
		return "the mapping and the source give the weight"
	case source && order:
		return "the source gives the weight, the mapping the order"
	case source:
		return "the source gives the weight"
	case entry && order:
		return "the mapping gives the weight and the order"
	case entry:
		return "the mapping gives the weight"
	case order:
		return "the mapping gives the order"
	}
	return "nobody gives a weight or an order"
}

// evidence is what the sources say of an address.
func (h heard) evidence(a netip.AddrPort) string {
	s, wanted := h.of[a]
	switch {
	case wanted:
		return OneLine(strings.TrimSuffix(s.origin+"; "+s.facts, "; "))
	case h.left[a] != "":
		return h.left[a]
	}
	return h.none
}
