package sync_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// orders are the members of a group that have an order, with it.
func (s *site) orders(group string) string {
	var all []string
	for _, m := range s.sims["edge"].Members(group) {
		if m.Order != 0 {
			all = append(all, fmt.Sprintf("%s %d", m.Server, m.Order))
		}
	}
	return strings.Join(all, ", ")
}

func (s *site) expectOrders(group, want string) {
	s.t.Helper()
	if got := s.orders(group); got != want {
		s.t.Errorf("%s has the orders %s, want %s", group, got, want)
	}
}

// standby is an app of which prod serves and dr stands by.
func standby(p sync.Policy) sync.App {
	return sync.App{Name: "shop", Policy: p, From: []sync.From{
		{Source: "prod", Query: "shop", Order: 1}, {Source: "dr", Query: "shop", Order: 2},
	}}
}

// Whatever way members come, and whatever the group's mode, each is in its
// cluster's order.
func TestMembersHaveTheOrderOfTheirCluster(t *testing.T) {
	for name, conf := range map[string]string{
		"ordinary calls": "add serviceGroup sg-shop HTTP", "lists": apiGroup,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				prod, dr := stage{"shop": known(hosts(1, 3))}, stage{"shop": known(hosts(3, 5))} // 10.0.0.3 is in both
				s := newSite(t, players{"prod": prod.play, "dr": dr.play}, standby(atOnce))
				s.replace("edge", simulator.Options{})
				s.command(conf)
				s.sync(0)
				const all = "10.0.0.1 1, 10.0.0.2 1, 10.0.0.3 1, 10.0.0.4 2, 10.0.0.5 2"
				s.expectOrders("sg-shop", all)

				// Somebody turns them round; the next pass turns them back, in one call.
				s.command("set serviceGroup sg-shop 10.0.0.1 80 -order 3", "set serviceGroup sg-shop 10.0.0.4 80 -order 1")
				s.sims["edge"].ResetCalls()
				s.sync(0)
				s.expectOrders("sg-shop", all)
				if n := writesOf(s.sims["edge"]); n != 1 {
					t.Errorf("%d calls to change two members: %v", n, kinds(s.sims["edge"].Calls()))
				}

				// One that leaves and returns is in its order again.
				prod["shop"], dr["shop"] = known(hosts(1, 2)), known(hosts(3, 4))
				s.sync(0)
				s.expectOrders("sg-shop", "10.0.0.1 1, 10.0.0.2 1, 10.0.0.3 2, 10.0.0.4 2")
				prod["shop"], dr["shop"] = known(hosts(1, 3)), known(hosts(3, 5))
				s.sync(0)
				s.expectOrders("sg-shop", all)
				if r := s.sync(0); len(r.Outcomes[0].Plan.Changes) > 0 || len(r.Outcomes[0].Notes) > 0 {
					t.Errorf("%+v %q", r.Outcomes[0].Plan.Changes, r.Outcomes[0].Notes)
				}
			})
		})
	}
}

// writesOf are the calls that change members.
func writesOf(sim *simulator.Simulator) (n int) {
	for _, c := range sim.Calls() {
		if strings.HasPrefix(c.Type, "servicegroup") && c.Method != "GET" {
			n++
		}
	}
	return n
}

// An order of which the mapping says nothing stays with its member, also over a
// drain; what loses it is told.
func TestAnOrderThatTheMappingDoesNotSetIsLeft(t *testing.T) {
	const lost = "unbinding 10.0.0.3:80 loses order 5, which the mapping does not set: a member that comes back gets the default order"
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
		s.sync(0)
		s.expectOrders("sg-shop", "")
		s.command("set serviceGroup sg-shop 10.0.0.3 80 -order 5")
		es := hosts(1, 4)
		es[2].Weight = 7 // a change of the weight leaves the order
		st["shop"] = known(es)
		s.sync(0)
		s.expectOrders("sg-shop", "10.0.0.3 5")

		st["shop"] = known(append(hosts(1, 2), hosts(4, 4)...))
		if r := s.sync(0); len(r.Outcomes[0].Notes) > 0 {
			t.Errorf("a drain loses nothing: %q", r.Outcomes[0].Notes)
		}
		s.expect("sg-shop", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 GOING OUT OF SERVICE, 10.0.0.4:80")
		st["shop"] = known(hosts(1, 4))
		s.sync(0)
		s.expect("sg-shop", bound(1, 4))
		s.expectOrders("sg-shop", "10.0.0.3 5")

		st["shop"] = known(append(hosts(1, 2), hosts(4, 4)...))
		s.sync(0)
		time.Sleep(time.Minute)
		if r := s.sync(0); !slices.Equal(r.Outcomes[0].Notes, []string{lost}) {
			t.Errorf("%q, want %q", r.Outcomes[0].Notes, lost)
		}
		st["shop"] = known(hosts(1, 4))
		s.sync(0)
		s.expect("sg-shop", bound(1, 4))
		s.expectOrders("sg-shop", "")
	})
	// A list keeps the orders of those that stay, and says what leaves with one:
	// the NetScaler unbinds it by itself.
	for name, graceful := range map[string]string{"at once": "", "gracefully": " -autoDisablegraceful YES -autoDisabledelay 30"} {
		t.Run("list, "+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4))}
				s := apiSite(t, st, slowly, simulator.Options{}, apiGroup+graceful)
				s.sync(0)
				s.command("set serviceGroup sg-shop 10.0.0.3 80 -order 5", "set serviceGroup sg-shop 10.0.0.1 80 -order 2")
				st["shop"] = known(hosts(1, 5))
				s.sync(0)
				s.expectOrders("sg-shop", "10.0.0.1 2, 10.0.0.3 5")
				st["shop"] = known(append(hosts(1, 2), hosts(4, 5)...))
				if r := s.sync(0); !slices.Contains(r.Outcomes[0].Notes, lost) {
					t.Errorf("%q, want %q", r.Outcomes[0].Notes, lost)
				}
				time.Sleep(time.Minute)
				s.expectOrders("sg-shop", "10.0.0.1 2")
			})
		})
	}
}

// An order that the mapping gives to whatever comes back is not lost.
func TestAnOrderThatComesBackIsNotTold(t *testing.T) {
	for name, c := range map[string]struct {
		from  []sync.From
		notes int
	}{
		"every entry gives one":  {[]sync.From{{Source: "prod", Query: "shop", Order: 1}}, 0},
		"it is that of an entry": {[]sync.From{{Source: "prod", Query: "shop"}, {Source: "prod", Query: "none", Order: 5}}, 0},
		"it is that of no entry": {[]sync.From{{Source: "prod", Query: "shop"}, {Source: "prod", Query: "none", Order: 4}}, 1},
		"no entry gives one":     {[]sync.From{{Source: "prod", Query: "shop"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4)), "none": known(nil)}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce, From: c.from})
				s.sync(0)
				st["shop"] = known(hosts(1, 2))
				s.command("set serviceGroup sg-shop 10.0.0.3 80 -order 5", "set serviceGroup sg-shop 10.0.0.4 80 -order 5")
				if r := s.sync(0); len(r.Outcomes[0].Notes) != c.notes {
					t.Errorf("notes: %q", r.Outcomes[0].Notes)
				}
			})
		})
	}
}

// A build without order (before 13.1) gets no member that should have one: a
// standby would serve. Why, and what to do about it, is told once; what has no
// order is served.
func TestABuildWithoutOrder(t *testing.T) {
	for name, group := range map[string]string{"ordinary calls": "add serviceGroup sg-shop HTTP", "lists": apiGroup} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				prod, dr := stage{"shop": known(hosts(1, 3)), "cart": known(hosts(11, 12))}, stage{"shop": known(hosts(4, 6))}
				s := newSite(t, players{"prod": prod.play, "dr": dr.play}, standby(atOnce), sync.App{Name: "cart", Policy: atOnce})
				sim := s.replace("edge", simulator.Options{Lacks: []string{"order"}})
				s.command(group, "add serviceGroup sg-cart HTTP", "bind serviceGroup sg-shop 10.0.0.9 80", "bind serviceGroup sg-shop 10.0.0.2 80")
				for range 2 { // it is told in each pass, and costs no call for each member
					sim.ResetCalls()
					r := s.sync(sync.ExitFailed)
					s.expect("sg-shop", "10.0.0.2:80, 10.0.0.9:80")
					s.expect("sg-cart", bound(11, 12))
					var out bytes.Buffer
					if err := sync.Text(&out, r); err != nil {
						t.Fatal(err)
					}
					for text, n := range map[string]int{
						"upgrade the NetScaler to 13.1 or later, or remove order from the mapping": 1, "NITRO 278": 1, "NOT MADE": 7,
					} {
						if got := strings.Count(out.String(), text); got != n {
							t.Errorf("%q is told %d times, want %d:\n%s", text, got, n, out.String())
						}
					}
					if n := writesOf(sim); n > 3 {
						t.Errorf("%d calls: %v", n, kinds(sim.Calls()))
					}
				}
				// Once it is out of the mapping all goes on.
				for i := range s.Apps[0].From {
					s.Apps[0].From[i].Order = 0
				}
				s.sync(0)
				s.expect("sg-shop", bound(1, 6))
			})
		})
	}
}

// The order of a change is in every form of the plan, and weights are shares of
// what serves together.
func TestOrdersInReports(t *testing.T) {
	m := func(s string, weight, order int) netscaler.Member {
		return netscaler.Member{Addr: addr(s), Server: addr(s).Addr().String(), Weight: weight, Order: order}
	}
	set := func(m netscaler.Member, was netscaler.Settings) netscaler.Change {
		return netscaler.Change{Op: netscaler.Set, Group: "sg", Member: m, Was: was, Why: "node n"}
	}
	plan := sync.Plan{Changes: []netscaler.Change{
		{Op: netscaler.Bind, Group: "sg", Member: m("10.0.0.1:80", 1, 1), Why: "node n"},
		{Op: netscaler.Bind, Group: "sg", Member: m("10.0.0.2:80", 3, 2), Why: "node n"},
		{Op: netscaler.Bind, Group: "sg", Member: m("10.0.0.3:80", 1, 2), Why: "node n"},
		set(m("10.0.0.4:80", 1, 1), netscaler.Settings{Weight: 1}),
		set(m("10.0.0.5:80", 2, 3), netscaler.Settings{Weight: 1, Order: 4}),
	}}
	shop := sync.Outcome{App: sync.App{Name: "shop", Group: "sg"}, NetScaler: "edge", Desired: wanted(), Plan: plan}
	r := sync.Result{DryRun: true, Outcomes: []sync.Outcome{shop}}
	shop.Done = outcomes(plan, 0, nil, nil, errors.New("refused"), nil, nil)
	var log bytes.Buffer
	new(sync.Chronicle).Log(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), sync.Result{Outcomes: []sync.Outcome{shop}}, time.Now())
	for _, c := range []struct {
		report sync.Report
		want   []string
	}{
		{sync.Text, []string{
			"  + bind     10.0.0.1:80            order 1  node n\n",
			"  + bind     10.0.0.2:80            weight 3 (75%)  order 2  node n\n",
			"  + bind     10.0.0.3:80            weight 1 (25%)  order 2  node n\n",
			"  ~ set      10.0.0.4:80            order default -> 1  node n\n",
			"  ~ set      10.0.0.5:80            weight 1 -> 2, order 4 -> 3  node n\n",
		}},
		{sync.NSCLI, []string{
			"bind serviceGroup sg 10.0.0.1 80 -order 1\n", "bind serviceGroup sg 10.0.0.2 80 -weight 3 -order 2\n",
			"set serviceGroup sg 10.0.0.4 80 -order 1\n", "set serviceGroup sg 10.0.0.5 80 -weight 2 -order 3\n",
		}},
		{sync.JSON, []string{`"order": 2,`, `"order": 4`}},
	} {
		var out bytes.Buffer
		if err := c.report(&out, r); err != nil {
			t.Fatal(err)
		}
		for _, line := range c.want {
			if !strings.Contains(out.String(), line) {
				t.Errorf("%s is not in\n%s", line, out.String())
			}
		}
	}
	for _, line := range []string{"group=sg member=10.0.0.2:80 weight=3 order=2", "group=sg member=10.0.0.5:80 weight=2 order=3"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("%s is not in\n%s", line, log.String())
		}
	}
}

// What is pasted from a plan is what the run would have done.
func TestThePlanAsCommandsSetsOrders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		prod, dr := stage{"shop": known(hosts(1, 2))}, stage{"shop": known([]sources.Endpoint{{Addr: addr("10.0.0.3:80"), Weight: 4}})}
		s := newSite(t, players{"prod": prod.play, "dr": dr.play}, standby(atOnce))
		s.command("bind serviceGroup sg-shop 10.0.0.1 80", "bind serviceGroup sg-shop 10.0.0.3 80 -order 1")
		var out bytes.Buffer
		if err := sync.NSCLI(&out, s.Plan(t.Context(), nil)); err != nil {
			t.Fatal(err)
		}
		s.command(out.String())
		s.expectOrders("sg-shop", "10.0.0.1 1, 10.0.0.2 1, 10.0.0.3 2")
		if r := s.sync(0); len(r.Outcomes[0].Plan.Changes) > 0 {
			t.Errorf("%s leaves %+v", out.String(), r.Outcomes[0].Plan.Changes)
		}
	})
}
