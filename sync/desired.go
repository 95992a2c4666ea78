package sync

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"nitrox/sources"
)

// Desired is what should be bound for an app.
type Desired struct {
	// Endpoints are sorted by address, each address once.
	Endpoints []sources.Endpoint
	// Doubt is nil if the endpoints are the whole truth. Otherwise they may be
	// added, and nothing may be removed; it joins the doubts of all entries.
	Doubt error
}

// Union is what the entries of from together say; answers[i] is that of
// from[i]. A doubt of one entry is a doubt of all. An address that must not be
// bound is left out and becomes a doubt: whoever published it meant something.
// The same address twice takes the larger weight and is ready if either says so.
func Union(from []From, answers []sources.Answer, p Policy) Desired {
	var doubts []error
	var all []sources.Endpoint
	for i, answer := range answers {
		if answer.Doubt != nil && !(p.AbsentIsEmpty && errors.Is(answer.Doubt, sources.ErrAbsent)) {
			doubts = append(doubts, fmt.Errorf("source %s: %w", from[i].Source, answer.Doubt))
		}
		for _, e := range answer.Endpoints {
			if why := Unfit(e.Addr, p.Only); why != "" {
				doubts = append(doubts, fmt.Errorf("source %s: %v cannot be bound: %s", from[i].Source, e.Addr, why))
				continue
			}
			e.Weight = product(e.Weight, from[i].Weight)
			all = append(all, e)
		}
	}
	return Desired{Endpoints: scale(merge(all)), Doubt: errors.Join(doubts...)}
}

// Confirmed is what two answers to one query say together: what either has is
// wanted, so that only what both lack can be removed, and a doubt of either
// remains.
func Confirmed(first, second sources.Answer) sources.Answer {
	doubt := first.Doubt
	switch {
	case first.Doubt == nil:
		doubt = second.Doubt
	case second.Doubt != nil && !errors.Is(second.Doubt, sources.ErrAbsent):
		// The doubt that is no absence is the graver one.
		doubt = second.Doubt
	}
	return sources.Answer{
		Endpoints: merge(slices.Concat(second.Endpoints, first.Endpoints)),
		Left:      second.Left,
		Doubt:     doubt,
	}
}

// Unfit says why an address is never bound; empty if it may be.
func Unfit(a netip.AddrPort, only []netip.Prefix) string {
	ip := a.Addr()
	switch {
	case !ip.IsValid():
		return "it is no address"
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
	case !inside(ip, only):
		return "it is outside only"
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
func merge(all []sources.Endpoint) []sources.Endpoint {
	slices.SortStableFunc(all, func(a, b sources.Endpoint) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Uncertain, b.Uncertain), cmp.Compare(a.Origin, b.Origin))
	})
	var one []sources.Endpoint
	for _, e := range all {
		last := len(one) - 1
		if last < 0 || one[last].Addr != e.Addr {
			one = append(one, e)
			continue
		}
		one[last].Weight = max(one[last].Weight, e.Weight)
	}
	return one
}

// scale brings weights above 100, the NetScaler's maximum, back in proportion.
func scale(endpoints []sources.Endpoint) []sources.Endpoint {
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
