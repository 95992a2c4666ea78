package sync_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sync"
)

// The properties below draw addresses from a small pool, so that what is
// desired and what is actual overlap in all ways.

func genAddr() *rapid.Generator[netip.AddrPort] {
	return rapid.Custom(func(t *rapid.T) netip.AddrPort {
		host := rapid.IntRange(1, 12).Draw(t, "host")
		port := rapid.SampledFrom([]uint16{80, 31080}).Draw(t, "port")
		if rapid.Bool().Draw(t, "v6") {
			return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", host)), port)
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(host % 3), 0, byte(host)}), port)
	})
}

func genEndpoints() *rapid.Generator[[]sources.Endpoint] {
	return rapid.Map(rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) sources.Endpoint {
		return sources.Endpoint{
			Addr:      genAddr().Draw(t, "addr"),
			Weight:    rapid.SampledFrom([]int{0, 0, 1, 3, 100}).Draw(t, "weight"),
			Uncertain: rapid.SampledFrom([]string{"", "", "", "no health result"}).Draw(t, "uncertain"),
		}
	}), 0, 12, func(e sources.Endpoint) netip.AddrPort { return e.Addr }), func(es []sources.Endpoint) []sources.Endpoint { return es })
}

func genMembers() *rapid.Generator[[]netscaler.Member] {
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) netscaler.Member {
		m := netscaler.Member{
			Addr:   genAddr().Draw(t, "addr"),
			Weight: rapid.IntRange(1, 100).Draw(t, "weight"),
			Order:  rapid.SampledFrom([]int{0, 0, 1, 8192}).Draw(t, "order"),
			State:  rapid.SampledFrom([]netscaler.State{netscaler.Enabled, netscaler.Enabled, netscaler.Enabled, netscaler.Draining, netscaler.Disabled, netscaler.DisabledAbove}).Draw(t, "state"),
			Up:     rapid.Bool().Draw(t, "up"),
		}
		m.Mark = rapid.Bool().Draw(t, "mark")
		m.NoMark = m.State != netscaler.Enabled && rapid.IntRange(0, 3).Draw(t, "no mark") == 0
		m.Leaving = m.State == netscaler.Draining && m.Mark && rapid.IntRange(0, 3).Draw(t, "leaving") == 0
		m.Server = m.Addr.Addr().String()
		if rapid.IntRange(0, 9).Draw(t, "alien") == 0 {
			m.NotOurs = "domain name db.example.com"
		}
		return m
	}), 0, 12, func(m netscaler.Member) netip.AddrPort { return m.Addr })
}

func genPolicy() *rapid.Generator[sync.Policy] {
	return rapid.Custom(func(t *rapid.T) sync.Policy {
		p := sync.Policy{
			Drain:      rapid.SampledFrom([]time.Duration{0, 30 * time.Second}).Draw(t, "drain"),
			AllowEmpty: rapid.Bool().Draw(t, "allow empty"),
			MaxRemove:  rapid.SampledFrom([]sync.Limit{{N: 75, Percent: true}, {N: 0, Percent: true}, {N: 100, Percent: true}, {N: 0}, {N: 2}}).Draw(t, "max remove"),
			Forced:     rapid.Bool().Draw(t, "forced"),
		}
		if rapid.Bool().Draw(t, "only") {
			p.Only = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("2001:db8::/64")}
		}
		return p
	})
}

// within drops the endpoints that Union would never let through to Diff.
func within(p sync.Policy, endpoints []sources.Endpoint) []sources.Endpoint {
	return slices.DeleteFunc(endpoints, func(e sources.Endpoint) bool { return sync.Unfit(e.Addr, p, nil) != "" })
}

// applied is what a NetScaler makes of the changes.
func applied(t *rapid.T, members []netscaler.Member, changes []netscaler.Change) []netscaler.Member {
	members = slices.Clone(members)
	for _, c := range changes {
		i := slices.IndexFunc(members, func(m netscaler.Member) bool { return m.Addr == c.Addr })
		if (i < 0) != (c.Op == netscaler.Bind) {
			t.Fatalf("%v of %v, which is bound: %v", c.Op, c.Addr, i >= 0)
		}
		switch c.Op {
		case netscaler.Bind:
			members = append(members, netscaler.Member{Addr: c.Addr, Server: c.Addr.Addr().String(), Weight: c.Weight, Order: c.Order})
		case netscaler.Enable:
			members[i].State, members[i].Mark, members[i].Leaving = netscaler.Enabled, false, false
		case netscaler.Set:
			members[i].Weight, members[i].Order = c.Weight, c.Order
		case netscaler.Drain:
			members[i].State, members[i].Mark = netscaler.Draining, true
		case netscaler.Unbind:
			members = slices.Delete(members, i, i+1)
		}
	}
	return members
}

// drained is the group once all drains have ended.
func drained(members []netscaler.Member) []netscaler.Member {
	members = slices.Clone(members)
	for i := range members {
		if members[i].State == netscaler.Draining {
			members[i].State = netscaler.Disabled
		}
	}
	// The NetScaler itself removes those that a desired state left out.
	return slices.DeleteFunc(members, func(m netscaler.Member) bool { return m.Leaving })
}

func ours(m netscaler.Member, p sync.Policy) bool {
	return m.NotOurs == "" && (len(p.Only) == 0 || slices.ContainsFunc(p.Only, func(x netip.Prefix) bool { return x.Contains(m.Addr.Addr()) }))
}

func operators(m netscaler.Member) bool {
	return m.State == netscaler.DisabledAbove || m.State != netscaler.Enabled && !m.Mark
}

func TestApplyingThePlanReachesTheDesiredSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, actual := genPolicy().Draw(t, "policy"), genMembers().Draw(t, "actual")
		order := rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "order")
		want := sync.Union([]sync.From{{Order: order}}, []sources.Answer{known(within(p, genEndpoints().Draw(t, "desired")))}, sync.Policy{})

		first := applied(t, actual, sync.Diff("sg", want, actual, p).Changes)
		if again := sync.Diff("sg", want, first, p); len(again.Changes) > 0 {
			t.Fatalf("the second run is not empty: %v", again.Changes)
		}
		last := drained(first)
		last = applied(t, last, sync.Diff("sg", want, last, p).Changes)

		got := map[netip.AddrPort]netscaler.Member{}
		for _, m := range last {
			got[m.Addr] = m
		}
		for _, e := range want.Endpoints {
			m, bound := got[e.Addr]
			delete(got, e.Addr)
			i := slices.IndexFunc(actual, func(m netscaler.Member) bool { return m.Addr == e.Addr })
			wasBound, wantOrder := i >= 0, order
			if order == 0 && wasBound && actual[i].NotOurs == "" {
				// Without an opinion it stays. One that is not ours, and leaves by
				// itself, is followed by a member of ours with the default.
				wantOrder = actual[i].Order
			}
			switch {
			case e.Uncertain != "":
				if bound && !wasBound {
					t.Fatalf("%v is uncertain and was added", e.Addr)
				}
			case !bound:
				t.Fatalf("%v is desired and not bound", e.Addr)
			case ours(m, p) && !operators(m) && m.State != netscaler.Enabled:
				t.Fatalf("%v is desired and not enabled", e.Addr)
			case ours(m, p) && !operators(m) && e.Weight != 0 && m.Weight != e.Weight:
				t.Fatalf("%v has weight %d, want %d", e.Addr, m.Weight, e.Weight)
			case ours(m, p) && !operators(m) && m.Order != wantOrder:
				t.Fatalf("%v has order %d, want %d", e.Addr, m.Order, wantOrder)
			}
		}
		for _, m := range got {
			if ours(m, p) && !operators(m) {
				t.Fatalf("%v is bound and not desired", m.Addr)
			}
		}
	})
}

func TestUncertainEndpointsKeepTheirMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, actual := genPolicy().Draw(t, "policy"), genMembers().Draw(t, "actual")
		want := wanted(within(p, genEndpoints().Draw(t, "desired"))...)
		for i := range want.Endpoints {
			want.Endpoints[i].Uncertain, want.Endpoints[i].Weight = "no health result", 0
		}
		for _, c := range sync.Diff("sg", want, actual, p).Changes {
			if slices.ContainsFunc(want.Endpoints, func(e sync.Endpoint) bool { return e.Addr == c.Addr }) {
				t.Fatalf("%v of %v, whose health is not known", c.Op, c.Addr)
			}
		}
	})
}

func TestDoubtRemovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, actual := genPolicy().Draw(t, "policy"), genMembers().Draw(t, "actual")
		want := inDoubt(errors.New("half a list"), within(p, genEndpoints().Draw(t, "desired"))...)
		for _, c := range sync.Diff("sg", want, actual, p).Changes {
			if c.Op == netscaler.Drain || c.Op == netscaler.Unbind {
				t.Fatalf("%v of %v in doubt", c.Op, c.Addr)
			}
		}
	})
}

// Scenarios 10 and 15: operators' and foreign members are never touched.
func TestMembersOutsideOnlyAndOperatorsMembersNeverChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, actual := genPolicy().Draw(t, "policy"), genMembers().Draw(t, "actual")
		want := wanted(within(p, genEndpoints().Draw(t, "desired"))...)
		for _, c := range sync.Diff("sg", want, actual, p).Changes {
			for _, m := range actual {
				if m.Addr == c.Addr && (!ours(m, p) || operators(m)) {
					t.Fatalf("%v of %+v", c.Op, m)
				}
			}
		}
	})
}

func TestThePlanDoesNotDependOnTheOrderOfItsInputs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, actual := genPolicy().Draw(t, "policy"), genMembers().Draw(t, "actual")
		endpoints := within(p, genEndpoints().Draw(t, "desired"))
		one := sync.Diff("sg", wanted(endpoints...), actual, p)
		two := sync.Diff("sg", wanted(rapid.Permutation(endpoints).Draw(t, "endpoints")...), rapid.Permutation(actual).Draw(t, "members"), p)
		if a, b := fmt.Sprintf("%+v", one), fmt.Sprintf("%+v", two); a != b {
			t.Fatalf("\n%s\n%s", a, b)
		}
	})
}

func TestWhatAddsComesBeforeWhatRemoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, actual := genPolicy().Draw(t, "policy"), genMembers().Draw(t, "actual")
		want := wanted(within(p, genEndpoints().Draw(t, "desired"))...)
		changes := sync.Diff("sg", want, actual, p).Changes
		if !slices.IsSortedFunc(changes, func(a, b netscaler.Change) int { return int(a.Op) - int(b.Op) }) {
			t.Fatalf("%v", changes)
		}
	})
}

// Whatever the guard lets through leaves a serving member, and loses no more
// than max_remove, unless the policy says otherwise; and it never stops what
// adds.
func TestTheGuardNeverLetsTheLastMemberGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, actual := genPolicy().Draw(t, "policy"), genMembers().Draw(t, "actual")
		want := wanted(within(p, genEndpoints().Draw(t, "desired"))...)
		before := sync.Diff("sg", want, actual, p)
		after := sync.Guard(before, p)

		if len(after.Changes)+len(after.Held) != len(before.Changes) || (after.HeldBy == nil) != (len(after.Held) == 0) {
			t.Fatalf("changes were lost: %+v", after)
		}
		for _, c := range after.Held {
			if c.Op != netscaler.Drain && c.Op != netscaler.Unbind || c.State != netscaler.Enabled {
				t.Fatalf("held %v of a member that is %v", c.Op, c.State)
			}
		}
		serving := func(members []netscaler.Member) (n int) {
			for _, m := range members {
				if ours(m, p) && m.State == netscaler.Enabled {
					n++
				}
			}
			return n
		}
		was, is := serving(actual), serving(applied(t, actual, after.Changes))
		if p.Forced && after.HeldBy != nil {
			t.Fatal("a forced plan is held")
		}
		if p.Forced || is >= was {
			return
		}
		if is == 0 && !p.AllowEmpty {
			t.Fatalf("from %d serving members to none", was)
		}
		most := p.MaxRemove.N
		if p.MaxRemove.Percent {
			most = was * p.MaxRemove.N / 100
		}
		if was >= 4 && is > 0 && was-is > most {
			t.Fatalf("from %d serving members to %d with max_remove %v", was, is, p.MaxRemove)
		}
	})
}

// A member goes only if the first answer and the second both lack it.
func TestAConfirmationCanOnlyKeepMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answer := rapid.Custom(func(t *rapid.T) sources.Answer {
			return sources.NewAnswer(genEndpoints().Draw(t, "endpoints"), nil,
				rapid.SampledFrom([]error{nil, nil, errors.New("half a list"), fmt.Errorf("app /x: %w", sources.ErrAbsent)}).Draw(t, "doubt"))
		})
		first, second := answer.Draw(t, "first"), answer.Draw(t, "second")
		both := sync.Confirmed(first, second)
		for _, a := range []sources.Answer{first, second} {
			for _, e := range a.Endpoints {
				if !slices.ContainsFunc(both.Endpoints, func(f sources.Endpoint) bool { return f.Addr == e.Addr }) {
					t.Fatalf("%v was in one answer and is lost", e.Addr)
				}
			}
			if a.Doubt() != nil && both.Doubt() == nil {
				t.Fatal("a doubt is lost")
			}
			if a.Doubt() != nil && !errors.Is(a.Doubt(), sources.ErrAbsent) && errors.Is(both.Doubt(), sources.ErrAbsent) {
				t.Fatal("a failure passes for an absence")
			}
		}
	})
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestDiff(t *testing.T) {
	enabled := func(s string) netscaler.Member {
		return netscaler.Member{Addr: addr(s), Server: addr(s).Addr().String(), Weight: 1, Up: true}
	}
	with := func(m netscaler.Member, f func(*netscaler.Member)) netscaler.Member { f(&m); return m }
	want := func(all ...string) sync.Desired {
		var es []sources.Endpoint
		for _, e := range all {
			es = append(es, sources.Endpoint{Addr: addr(e)})
		}
		return wanted(es...)
	}
	drain := sync.Policy{Drain: 30 * time.Second}
	for _, c := range []struct {
		name   string
		want   sync.Desired
		actual []netscaler.Member
		policy sync.Policy
		plan   string
	}{
		{name: "scale 2 to 3", want: want("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"), actual: []netscaler.Member{enabled("10.0.0.1:80"), enabled("10.0.0.2:80")},
			plan: "bind 10.0.0.3:80"},
		{name: "a removal drains", want: want("10.0.0.1:80"), actual: []netscaler.Member{enabled("10.0.0.1:80"), enabled("10.0.0.2:80")}, policy: drain,
			plan: "drain 10.0.0.2:80"},
		{name: "drain 0s unbinds at once", want: want("10.0.0.1:80"), actual: []netscaler.Member{enabled("10.0.0.1:80"), enabled("10.0.0.2:80")},
			plan: "unbind 10.0.0.2:80"},
		{name: "scenario 9: a member that returns while draining is enabled, not bound twice", want: want("10.0.0.1:80"), policy: drain,
			actual: []netscaler.Member{with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.State, m.Mark = netscaler.Draining, true })},
			plan:   "enable 10.0.0.1:80"},
		{name: "a drain runs its time", want: want("10.0.0.9:80"), policy: drain,
			actual: []netscaler.Member{enabled("10.0.0.9:80"), with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.State, m.Mark = netscaler.Draining, true })},
			plan:   ""},
		{name: "scenario 8: a drained member is unbound by a later run", want: want("10.0.0.9:80"), policy: drain,
			actual: []netscaler.Member{enabled("10.0.0.9:80"), with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.State, m.Mark = netscaler.Disabled, true })},
			plan:   "unbind 10.0.0.1:80"},
		{name: "marked and still enabled, by a run that was cut off: unmarked if wanted", want: want("10.0.0.1:80"), policy: drain,
			actual: []netscaler.Member{with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.Mark = true })},
			plan:   "enable 10.0.0.1:80"},
		{name: "marked and still enabled, and not wanted: drained", want: want("10.0.0.9:80"), policy: drain,
			actual: []netscaler.Member{enabled("10.0.0.9:80"), with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.Mark = true })},
			plan:   "drain 10.0.0.1:80"},
		{name: "what the NetScaler itself is removing is left to it", want: want("10.0.0.9:80"),
			actual: []netscaler.Member{enabled("10.0.0.9:80"), with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.State, m.Mark, m.Leaving = netscaler.Draining, true, true })},
			plan:   ""},
		{name: "and enabled if it is wanted again", want: want("10.0.0.1:80"),
			actual: []netscaler.Member{with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.State, m.Mark, m.Leaving = netscaler.Draining, true, true })},
			plan:   "enable 10.0.0.1:80"},
		{name: "a marked member whose server was disabled stays", want: want("10.0.0.1:80"),
			actual: []netscaler.Member{with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.State, m.Mark = netscaler.DisabledAbove, true })},
			plan:   ""},
		{name: "scenario 10: what an operator disabled stays, wanted or not", want: want("10.0.0.1:80"),
			actual: []netscaler.Member{with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.State = netscaler.Disabled }), with(enabled("10.0.0.2:80"), func(m *netscaler.Member) { m.State = netscaler.Disabled })},
			plan:   ""},
		{name: "a member whose server is disabled stays", want: want(),
			actual: []netscaler.Member{with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.State = netscaler.DisabledAbove })},
			plan:   ""},
		{name: "scenario 12: one address with two ports, and IPv6 in any spelling", want: want("10.0.0.1:80", "10.0.0.1:81", "[2001:db8:0:0::1]:80"),
			actual: []netscaler.Member{enabled("10.0.0.1:81"), enabled("10.0.0.1:80"), enabled("[2001:db8::1]:80")},
			plan:   ""},
		{name: "a weight without opinion stays", want: want("10.0.0.1:80"), actual: []netscaler.Member{with(enabled("10.0.0.1:80"), func(m *netscaler.Member) { m.Weight = 7 })},
			plan: ""},
		{name: "a weight with an opinion is set in place", want: wanted(sources.Endpoint{Addr: addr("10.0.0.1:80"), Weight: 3}), actual: []netscaler.Member{enabled("10.0.0.1:80")},
			plan: "set 10.0.0.1:80"},
		{name: "scenario 7: all members replaced adds first", want: want("10.0.1.1:80", "10.0.1.2:80"), actual: []netscaler.Member{enabled("10.0.0.1:80"), enabled("10.0.0.2:80")},
			plan: "bind 10.0.1.1:80, bind 10.0.1.2:80, unbind 10.0.0.1:80, unbind 10.0.0.2:80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			for i, change := range sync.Diff("sg", c.want, c.actual, c.policy).Changes {
				if i > 0 {
					got += ", "
				}
				got += fmt.Sprintf("%v %v", change.Op, change.Addr)
			}
			if got != c.plan {
				t.Errorf("\n got %s\nwant %s", got, c.plan)
			}
		})
	}
}

func TestDrasticPlansAreConfirmed(t *testing.T) {
	group := func(n int) (ms []netscaler.Member) {
		for i := range n {
			ms = append(ms, netscaler.Member{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80), Weight: 1})
		}
		return ms
	}
	first := func(n, of int) sources.Answer {
		var es []sources.Endpoint
		for _, m := range group(of)[of-n:] {
			es = append(es, sources.Endpoint{Addr: m.Addr})
		}
		return known(es)
	}
	for _, c := range []struct {
		name    string
		actual  int
		answers []sources.Answer
		drastic bool
	}{
		{"nothing to remove", 4, []sources.Answer{first(4, 4)}, false},
		{"half of four", 4, []sources.Answer{first(2, 4)}, false},
		{"more than half of four", 4, []sources.Answer{first(1, 4)}, true},
		{"more than half of three", 3, []sources.Answer{first(1, 3)}, false},
		{"every member replaced", 2, []sources.Answer{known([]sources.Endpoint{{Addr: addr("10.9.9.9:80")}})}, true},
		{"one of two entries answers with nothing", 5, []sources.Answer{first(4, 5), known(nil)}, true},
		{"an entry answers with nothing, and nothing is to be removed", 4, []sources.Answer{first(4, 4), known(nil)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := make([]sync.From, len(c.answers))
			plan := sync.Diff("sg", sync.Union(from, c.answers, sync.Policy{}), group(c.actual), sync.Policy{})
			if got := sync.Drastic(plan, c.answers); got != c.drastic {
				t.Errorf("got %v, want %v", got, c.drastic)
			}
		})
	}
}

// wait_up: removing must not cost capacity.
func TestRemovalsWaitForHalfOfTheMembersToBeUp(t *testing.T) {
	member := func(s string, up bool) netscaler.Member {
		return netscaler.Member{Addr: addr(s), Weight: 1, Up: up}
	}
	old := []netscaler.Member{member("10.0.0.1:80", true), member("10.0.0.2:80", true)}
	want := wanted(sources.Endpoint{Addr: addr("10.0.1.1:80")}, sources.Endpoint{Addr: addr("10.0.1.2:80")})
	plan := sync.Diff("sg", want, old, sync.Policy{})
	for _, c := range []struct {
		name  string
		now   []netscaler.Member
		ready bool
	}{
		{"none of the new is UP", append([]netscaler.Member{member("10.0.1.1:80", false), member("10.0.1.2:80", false)}, old...), false},
		{"half of the new are UP", append([]netscaler.Member{member("10.0.1.1:80", true), member("10.0.1.2:80", false)}, old...), true},
		{"the old are DOWN", []netscaler.Member{member("10.0.0.1:80", false), member("10.0.0.2:80", false)}, true},
		{"nothing is there", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sync.Ready(plan, c.now); got != c.ready {
				t.Errorf("got %v, want %v", got, c.ready)
			}
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	for _, size := range []int{100, 1000} {
		var es []sources.Endpoint
		var actual []netscaler.Member
		for i := range size {
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 31080)
			es = append(es, sources.Endpoint{Addr: a})
			actual = append(actual, netscaler.Member{Addr: a, Server: a.Addr().String(), Weight: 1, Up: true})
		}
		want := wanted(es...)
		b.Run(fmt.Sprintf("%d members in step", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p := sync.Diff("sg", want, actual, sync.DefaultPolicy); len(p.Changes) > 0 {
					b.Fatal(p.Changes)
				}
			}
		})
	}
}
