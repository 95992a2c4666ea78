package sync

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"nitrox/sources"
)

// Endpoint is what should be bound at one address.
type Endpoint struct {
	sources.Endpoint
	Order int // as in [From]
}

// Desired is what should be bound for an app. The zero Desired is in doubt: only
// [Union] makes one that is the whole truth.
type Desired struct {
	// Endpoints are sorted by address, each address once.
	Endpoints []Endpoint

	whole bool
	doubt error
}

// Doubt is nil if the endpoints are the whole truth. Otherwise they may be
// added, and nothing may be removed; it joins the doubts of all entries.
func (d Desired) Doubt() error {
	if d.whole {
		return nil
	}
	return cmp.Or(d.doubt, errNotAsked)
}

// doubting is the same with one more doubt.
func (d Desired) doubting(doubt error) Desired {
	return Desired{Endpoints: d.Endpoints, doubt: errors.Join(append(d.doubts(), doubt)...)}
}

// doubts are those that the doubt joins.
func (d Desired) doubts() []error { return split(d.Doubt()) }

var errNotAsked = errors.New("its sources were not asked")

// Union is what the entries of from together say; answers[i] is that of
// from[i]. A doubt of one entry is a doubt of all. An address that must not be
// bound is left out and becomes a doubt: whoever published it meant something.
// The same address twice takes the larger weight and the lower order, and is
// ready if either says so.
func Union(from []From, answers []sources.Answer, p Policy) Desired {
	var doubts []error
	var all []Endpoint
	for i, f := range from {
		var answer sources.Answer // of no answer, a doubt
		if i < len(answers) {
			answer = answers[i]
		}
		if doubt := answer.Doubt(); doubt != nil && !(p.AbsentIsEmpty && errors.Is(doubt, sources.ErrAbsent)) {
			doubts = append(doubts, fmt.Errorf("source %s: %w", f.Source, doubt))
		}
		for _, e := range answer.Endpoints {
			if why := unfit(e.Addr, p.Only); why != "" {
				doubts = append(doubts, fmt.Errorf("source %s: %v cannot be bound: %s", f.Source, e.Addr, why))
				continue
			}
			e.Weight = product(e.Weight, f.Weight)
			all = append(all, Endpoint{e, f.Order})
		}
	}
	return Desired{Endpoints: scale(merge(all)), whole: len(doubts) == 0, doubt: errors.Join(doubts...)}
}

// confirmed is what two answers to one query say together: what either has is
// wanted, so that only what both lack can be removed, and a doubt of either
// remains.
func confirmed(first, second sources.Answer) sources.Answer {
	doubt := first.Doubt()
	// The doubt that is not an absence is the graver one.
	if d := second.Doubt(); d != nil && (doubt == nil || !errors.Is(d, sources.ErrAbsent)) {
		doubt = d
	}
	return sources.NewAnswer(slices.Concat(second.Endpoints, first.Endpoints), second.LeftOut, doubt)
}

// unfit says why an address is never bound; empty if it may be.
func unfit(a netip.AddrPort, only []netip.Prefix) string {
	ip := a.Addr()
	switch {
	case !ip.IsValid():
		return "it is not an address"
	case ip.Is4In6():
		return "it is an IPv4 address in IPv6 form"
	case ip.Zone() != "":
		return "it has a zone"
	case ip.IsUnspecified():
		return "it is the unspecified address"
	case ip.IsLoopback():
		return "it is a loopback address"
	case ip.IsMulticast():
		return "it is a multicast address"
	case ip.IsLinkLocalUnicast():
		return "it is a link-local address"
	case a.Port() == 0:
		return "it has no port"
	case a.Port() == 65535:
		return "port 65535 means all ports on a NetScaler"
	case !inside(ip, only):
		return "it is outside the networks in only"
	}
	return ""
}

func inside(ip netip.Addr, only []netip.Prefix) bool {
	return len(only) == 0 || slices.ContainsFunc(only, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// product of two weights of which 0 means no opinion.
func product(a, b int) int {
	if a == 0 && b == 0 {
		return 0
	}
	return max(a, 1) * max(b, 1)
}

// merge sorts by address and makes one endpoint of those that share one.
func merge(all []Endpoint) []Endpoint {
	slices.SortStableFunc(all, func(a, b Endpoint) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Uncertain, b.Uncertain), cmp.Compare(a.Origin, b.Origin))
	})
	// A group cannot have an address twice, for two protocols; agreeing refuses
	// the one that it does not take.
	var one []Endpoint
	for _, e := range all {
		last := len(one) - 1
		if last < 0 || one[last].Addr != e.Addr {
			one = append(one, e)
			continue
		}
		one[last].Weight = max(one[last].Weight, e.Weight)
		if e.Order != 0 && (one[last].Order == 0 || e.Order < one[last].Order) {
			one[last].Order = e.Order
		}
	}
	return one
}

// scale brings weights above 100, the NetScaler's maximum, back in proportion.
func scale(endpoints []Endpoint) []Endpoint {
	top := 0
	for _, e := range endpoints {
		top = max(top, e.Weight)
	}
	if top <= 100 {
		return endpoints
	}
	for i := range endpoints {
		if w := endpoints[i].Weight; w > 0 {
			endpoints[i].Weight = max(1, (w*100+top/2)/top)
		}
	}
	return endpoints
}
