package sources

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Finding gathers what becomes the [Answer] to one query.
type Finding struct {
	Endpoints []Endpoint
	LeftOut   []LeftOut
	// Doubts are why the endpoints may not be all.
	Doubts []error
}

// Add adds an endpoint.
func (f *Finding) Add(e Endpoint) { f.Endpoints = append(f.Endpoints, e) }

// Leave says that a candidate is not an endpoint, and why.
func (f *Finding) Leave(what, why string) { f.LeaveAt(netip.AddrPort{}, what, why) }

// LeaveAt is Leave, of a candidate that would be an endpoint at the address.
func (f *Finding) LeaveAt(at netip.AddrPort, what, why string) {
	f.LeftOut = append(f.LeftOut, LeftOut{what, why, at})
}

// Doubt says why the endpoints may not be all.
func (f *Finding) Doubt(err error) { f.Doubts = append(f.Doubts, err) }

// Answer is what has been found, in the order of addresses. Of several
// endpoints with one address and protocol the most certain counts, and of those the heaviest;
// of several doubts the first is told.
func (f *Finding) Answer() Answer {
	slices.SortFunc(f.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Uncertain, b.Uncertain),
			cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Origin, b.Origin))
	})
	f.Endpoints = slices.CompactFunc(f.Endpoints, func(a, b Endpoint) bool { return a.Addr == b.Addr && a.Protocol == b.Protocol })
	doubt := errors.Join(f.Doubts...)
	if len(f.Doubts) > 1 {
		doubt = fmt.Errorf("%w (and %d more)", f.Doubts[0], len(f.Doubts)-1)
	}
	return NewAnswer(f.Endpoints, f.LeftOut, doubt)
}
