package sync

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"nitrox/sources"
)

// Endpoint is what should be bound at one address, with the order of [From].
type Endpoint = sources.Endpoint

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
	given := 0
	for _, answer := range answers {
		given += len(answer.Endpoints)
	}
	var all []Endpoint
	unit := unit(answers)
	asIs := len(from) == 1 && len(answers) == 1 && settled(from[0], answers[0].Endpoints, unit)
	if !asIs {
		all = make([]Endpoint, 0, given)
	}
	for i, f := range from {
		var answer sources.Answer // of no answer, a doubt
		if i < len(answers) {
			answer = answers[i]
		}
		if doubt := answer.Doubt(); doubt != nil && !(p.AbsentIsEmpty && errors.Is(doubt, sources.ErrAbsent)) {
			doubts = append(doubts, fmt.Errorf("source %s: %w", f.Source, doubt))
		}
		for j, e := range answer.Endpoints {
			why := unfit(e.Addr, p, answer.Virtual)
			if asIs && why != "" {
				asIs, all = false, slices.Clone(answer.Endpoints[:j])
			}
			switch {
			case why != "":
				doubts = append(doubts, fmt.Errorf("source %s: %v cannot be bound: %s", f.Source, e.Addr, why))
			case !asIs:
				e.Weight, e.Order = product(e, f.Weight, unit), f.Order
				all = append(all, e)
			}
		}
	}
	if asIs {
		all = answers[0].Endpoints
	} else {
		all = scale(merge(all))
	}
	return Desired{Endpoints: all, whole: len(doubts) == 0, doubt: errors.Join(doubts...)}
}

// settled: the endpoints of the only entry are wanted as they are. Those of most apps
// are, and need not be copied.
func settled(f From, endpoints []Endpoint, unit int) bool {
	for i, e := range endpoints {
		if e.Weight > 100 || e.Weight != product(e, f.Weight, unit) || i > 0 && endpoints[i-1].Addr.Compare(e.Addr) >= 0 {
			return false
		}
	}
	return f.Order == 0
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
	endpoints := second.Endpoints
	if !slices.Equal(first.Endpoints, second.Endpoints) {
		endpoints = slices.Concat(second.Endpoints, first.Endpoints)
	}
	both := sources.NewAnswer(endpoints, second.LeftOut, doubt)
	both.Virtual = maps.Clone(first.Virtual)
	if both.Virtual == nil {
		both.Virtual = second.Virtual
	}
	maps.Copy(both.Virtual, second.Virtual)
	return both
}

// unit is the weight of an endpoint of which the mapping and its source say
// nothing. It is 1, unless weights are parts of something: then these must be
// whole numbers of it.
func unit(all []sources.Answer) int {
	unit := 1
	for _, answer := range all {
		for _, e := range answer.Endpoints {
			switch {
			case e.Of <= 1 || e.Of == unit:
			case unit == 1:
				unit = e.Of
			default:
				return 100 * 100 // of different wholes: scaled down again
			}
		}
	}
	return unit
}

// product of an endpoint's weight and its entry's, in units; 0 is no opinion. A
// part is at most the whole, which is the entry's.
func product(e sources.Endpoint, entry, unit int) int {
	switch {
	case e.Weight == 0 && entry == 0 && unit == max(e.Of, 1):
		return 0
	case e.Of == 0:
		return max(e.Weight, 1) * max(entry, 1) * unit
	}
	part := min(max(e.Weight, 1), e.Of)
	return max(1, (part*unit*max(entry, 1)+e.Of/2)/e.Of)
}

// merge sorts by address and makes one endpoint of those that share one.
func merge(all []Endpoint) []Endpoint {
	slices.SortStableFunc(all, func(a, b Endpoint) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Uncertain, b.Uncertain), cmp.Compare(a.Origin, b.Origin))
	})
	// A group cannot have an address twice, for two protocols; agreeing refuses
	// the one that it does not take.
	one := all[:0]
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
	if len(one) < len(all) {
		one = slices.Clone(one) // which is all that is kept
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
