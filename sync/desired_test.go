package sync_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nitrox/sources"
	"nitrox/sync"
)

func TestUnion(t *testing.T) {
	ep := func(s string, w int) sources.Endpoint { return sources.Endpoint{Addr: addr(s), Weight: w} }
	unsure := func(e sources.Endpoint) sources.Endpoint { e.Uncertain = "no health result"; return e }
	part := func(e sources.Endpoint, of int) sources.Endpoint { e.Of = of; return e }
	answer := func(es ...sources.Endpoint) sources.Answer { return known(es) }
	absent := sources.Doubtful(fmt.Errorf("service web: %w", sources.ErrAbsent))
	for _, c := range []struct {
		name    string
		from    []sync.From
		answers []sources.Answer
		policy  sync.Policy
		want    string
		doubt   string
	}{
		{name: "the union of two clusters", answers: []sources.Answer{answer(ep("10.0.0.2:80", 0)), answer(ep("10.0.0.1:80", 0))},
			want: "10.0.0.1:80 0, 10.0.0.2:80 0"},
		{name: "scenario 14: the same address twice is one member with the larger weight", answers: []sources.Answer{answer(ep("10.0.0.1:80", 2)), answer(ep("10.0.0.1:80", 5))},
			want: "10.0.0.1:80 5"},
		{name: "an entry's weight multiplies the source's", from: []sync.From{{Weight: 10}, {}}, answers: []sources.Answer{answer(ep("10.0.0.1:80", 3), ep("10.0.0.2:80", 0)), answer(ep("10.0.0.3:80", 4))},
			want: "10.0.0.1:80 30, 10.0.0.2:80 10, 10.0.0.3:80 4"},
		{name: "products over 100 scale the whole group", from: []sync.From{{Weight: 100}, {}}, answers: []sources.Answer{answer(ep("10.0.0.1:80", 4), ep("10.0.0.2:80", 2)), answer(ep("10.0.0.3:80", 1))},
			want: "10.0.0.1:80 100, 10.0.0.2:80 50, 10.0.0.3:80 1"},
		{name: "a tenant's weight of 100 takes nothing from an entry without any", answers: []sources.Answer{answer(part(ep("10.0.0.1:80", 100), 100)), answer(ep("10.0.0.2:80", 0))},
			want: "10.0.0.1:80 100, 10.0.0.2:80 100"},
		{name: "a tenant may give up a part", answers: []sources.Answer{answer(part(ep("10.0.0.1:80", 20), 100)), answer(ep("10.0.0.2:80", 0))},
			want: "10.0.0.1:80 20, 10.0.0.2:80 100"},
		{name: "a tenant's weight is a part of what the mapping gives the entry", from: []sync.From{{Weight: 1}, {Weight: 9}}, answers: []sources.Answer{answer(part(ep("10.0.0.1:80", 100), 100)), answer(ep("10.0.0.2:80", 0))},
			want: "10.0.0.1:80 11, 10.0.0.2:80 100"},
		{name: "beside pods that were counted", answers: []sources.Answer{answer(part(ep("10.0.0.1:80", 100), 100)), answer(ep("10.0.0.2:80", 3))},
			want: "10.0.0.1:80 33, 10.0.0.2:80 100"},
		{name: "alone, parts are weights", answers: []sources.Answer{answer(part(ep("10.0.0.1:80", 2), 2), part(ep("10.0.0.2:80", 0), 2))},
			want: "10.0.0.1:80 2, 10.0.0.2:80 0"},
		{name: "parts of different wholes", answers: []sources.Answer{answer(part(ep("10.0.0.1:80", 2), 2), part(ep("10.0.0.2:80", 1), 2)), answer(part(ep("10.0.0.3:80", 3), 3), part(ep("10.0.0.4:80", 1), 3))},
			want: "10.0.0.1:80 100, 10.0.0.2:80 50, 10.0.0.3:80 100, 10.0.0.4:80 33"},
		{name: "more than the whole is the whole", answers: []sources.Answer{answer(part(ep("10.0.0.1:80", 100), 2)), answer(ep("10.0.0.2:80", 0))},
			want: "10.0.0.1:80 2, 10.0.0.2:80 2"},
		{name: "an entry's order is that of all it has", from: []sync.From{{Order: 1}, {Order: 2}, {}},
			answers: []sources.Answer{answer(ep("10.0.0.1:80", 0)), answer(ep("10.0.0.2:80", 0)), answer(ep("10.0.0.3:80", 0))},
			want:    "10.0.0.1:80 0 order 1, 10.0.0.2:80 0 order 2, 10.0.0.3:80 0"},
		{name: "the same address twice takes the lower order", from: []sync.From{{Order: 2}, {Order: 1}, {Order: 3}},
			answers: slices.Repeat([]sources.Answer{answer(ep("10.0.0.1:80", 0))}, 3), want: "10.0.0.1:80 0 order 1"},
		{name: "and the only one, which no order is lower than", from: []sync.From{{}, {Order: 2}, {}},
			answers: slices.Repeat([]sources.Answer{answer(ep("10.0.0.1:80", 0))}, 3), want: "10.0.0.1:80 0 order 2"},
		{name: "ready in one answer is ready", answers: []sources.Answer{answer(unsure(ep("10.0.0.1:80", 0))), answer(ep("10.0.0.1:80", 0))},
			want: "10.0.0.1:80 0"},
		{name: "uncertain in all answers is uncertain", answers: []sources.Answer{answer(unsure(ep("10.0.0.1:80", 0)))},
			want: "10.0.0.1:80 0?"},
		{name: "a doubt of one is a doubt of the group", from: []sync.From{{Source: "prod"}, {Source: "dcos"}}, answers: []sources.Answer{answer(ep("10.0.0.1:80", 0)), sources.Doubtful(errors.New("connection refused"))},
			want: "10.0.0.1:80 0", doubt: "source dcos: connection refused"},
		{name: "absent is a doubt", from: []sync.From{{Source: "prod"}}, answers: []sources.Answer{absent}, doubt: "source prod: service web: its cluster manager does not have it"},
		{name: "absent: empty is none", from: []sync.From{{Source: "prod"}}, answers: []sources.Answer{absent}, policy: sync.Policy{AbsentIsEmpty: true}},
		{name: "outside only is a doubt", from: []sync.From{{Source: "prod"}}, policy: sync.Policy{Only: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}},
			answers: []sources.Answer{answer(ep("10.0.0.1:80", 0), ep("10.0.1.1:80", 0))},
			want:    "10.0.0.1:80 0", doubt: "source prod: 10.0.1.1:80 cannot be bound: it is outside the networks in only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.from == nil {
				c.from = make([]sync.From, len(c.answers))
			}
			var before []sources.Answer
			for _, a := range c.answers {
				a.Endpoints = slices.Clone(a.Endpoints)
				before = append(before, a)
			}
			d := sync.Union(c.from, c.answers, c.policy)
			if !reflect.DeepEqual(c.answers, before) {
				t.Errorf("it changed the answers to %v", c.answers)
			}
			var got []string
			for _, e := range d.Endpoints {
				s := fmt.Sprintf("%v %d", e.Addr, e.Weight)
				if e.Order != 0 {
					s += fmt.Sprintf(" order %d", e.Order)
				}
				if e.Uncertain != "" {
					s += "?"
				}
				got = append(got, s)
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("\n got %s\nwant %s", s, c.want)
			}
			if doubt := fmt.Sprint(d.Doubt()); (c.doubt != "" || d.Doubt() != nil) && doubt != c.doubt {
				t.Errorf("doubt\n got %s\nwant %s", doubt, c.doubt)
			}
		})
	}
}

// 100,000 endpoints are a lot of memory to have twice.
func TestAnAnswerThatIsWantedAsItIsIsNotCopied(t *testing.T) {
	endpoints := []sources.Endpoint{{Addr: addr("10.0.0.1:80")}, {Addr: addr("10.0.0.2:80"), Weight: 3}}
	one, policy := make([]sync.From, 1), sync.Policy{}
	if got := sync.Union(one, []sources.Answer{known(endpoints)}, policy).Endpoints; &got[0] != &endpoints[0] || len(got) != 2 {
		t.Errorf("it is copied: %v", got)
	}
	mixed := []sources.Endpoint{{Addr: addr("10.0.0.1:80")}, {Addr: addr("127.0.0.1:80")}, {Addr: addr("127.0.0.2:80")}, {Addr: addr("192.168.0.1:80")}}
	got := sync.Union(one, []sources.Answer{known(mixed)}, policy)
	if len(got.Endpoints) != 2 || got.Endpoints[0].Addr != mixed[0].Addr || got.Endpoints[1].Addr != mixed[3].Addr || got.Doubt() == nil {
		t.Errorf("with two that cannot be bound it is %v, %v", got.Endpoints, got.Doubt())
	}
}

func TestTheUnionDoesNotDependOnTheOrderOfEntriesAndKeepsWeightsLegal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "entries")
		from, answers, order := make([]sync.From, n), make([]sources.Answer, n), make([]int, n)
		for i := range n {
			order[i] = i
			from[i].Weight = rapid.IntRange(0, 100).Draw(t, "weight")
			from[i].Order = rapid.IntRange(0, 3).Draw(t, "order")
			answers[i] = known(genEndpoints().Draw(t, "endpoints"))
		}
		order = rapid.Permutation(order).Draw(t, "order")
		from2, answers2 := make([]sync.From, n), make([]sources.Answer, n)
		for i, j := range order {
			from2[i], answers2[i] = from[j], answers[j]
		}
		one, two := sync.Union(from, answers, sync.Policy{}), sync.Union(from2, answers2, sync.Policy{})
		if a, b := fmt.Sprintf("%+v", one), fmt.Sprintf("%+v", two); a != b {
			t.Fatalf("\n%s\n%s", a, b)
		}
		for _, e := range one.Endpoints {
			if e.Weight < 0 || e.Weight > 100 {
				t.Fatalf("weight %d", e.Weight)
			}
			lowest := 0
			for i, f := range from {
				has := slices.ContainsFunc(answers[i].Endpoints, func(x sources.Endpoint) bool { return x.Addr == e.Addr })
				if has && f.Order != 0 && (lowest == 0 || f.Order < lowest) {
					lowest = f.Order
				}
			}
			if e.Order != lowest {
				t.Fatalf("%v has order %d, and the lowest is %d", e.Addr, e.Order, lowest)
			}
		}
	})
}
