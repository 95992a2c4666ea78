package sync_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// Giving a group lists, first one that adds and then one that removes, comes to
// the same as the changes one by one; and no list loses a member that no change
// removes.
func TestListsEqualBindsAndUnbinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, actual := genPolicy().Draw(t, "policy"), genMembers().Draw(t, "actual")
		from := []sync.From{{Order: rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "order")}}
		want := sync.Union(from, []sources.Answer{known(within(p, genEndpoints().Draw(t, "desired")))}, sync.Policy{})
		changes := sync.Guard(sync.Diff("sg", want, actual, p), p).Changes
		adds, removals := split(changes)

		first, out := sync.MemberList(actual, adds)
		if out != 0 {
			t.Fatalf("a list that adds leaves out %d", out)
		}
		second, out := sync.MemberList(first, removals)
		if out != len(removals) {
			t.Fatalf("%d members are left out by %d removals", out, len(removals))
		}
		one := set(slices.DeleteFunc(applied(t, actual, adds), leaves))
		if got := set(first); !slices.Equal(got, one) {
			t.Fatalf("after what adds\n got %v\nwant %v", got, one)
		}
		gone := map[netip.AddrPort]bool{}
		for _, c := range removals {
			gone[c.Addr] = true
		}
		two := set(slices.DeleteFunc(applied(t, actual, changes), func(m netscaler.Member) bool { return leaves(m) || gone[m.Addr] }))
		if got := set(second); !slices.Equal(got, two) {
			t.Fatalf("after what removes\n got %v\nwant %v", got, two)
		}
	})
}

func split(changes []netscaler.Change) (adds, removals []netscaler.Change) {
	for _, c := range changes {
		if c.Op == netscaler.Drain || c.Op == netscaler.Unbind {
			removals = append(removals, c)
		} else {
			adds = append(adds, c)
		}
	}
	return adds, removals
}

func leaves(m netscaler.Member) bool { return m.Leaving }

func set(members []netscaler.Member) (all []string) {
	for _, m := range members {
		enabled := m.State == netscaler.Enabled || m.State == netscaler.DisabledAbove
		all = append(all, fmt.Sprintf("%v %d %d %v", m.Addr, m.Weight, m.Order, enabled))
	}
	slices.Sort(all)
	return all
}

const apiGroup = "add serviceGroup sg-shop HTTP -autoScale API"

// apiSite has one app whose group has autoscale API.
func apiSite(t *testing.T, st stage, p sync.Policy, build simulator.Options, conf ...string) *site {
	s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
	s.replace("edge", build)
	s.command(conf...)
	return s
}

// A change costs no more calls than it must: beside log-in, attributes, role, save
// and log-out, a look before the first list and one after each.
func TestListsCostFewCalls(t *testing.T) {
	const before = "POST login, GET servicegroup_servicegroupmember_binding, GET servicegroup, GET hanode, "
	const list = "PUT servicegroup_servicegroupmemberlist_binding, GET servicegroup_servicegroupmember_binding, "
	const after = "POST nsconfig save, POST logout"
	for name, c := range map[string]struct {
		from, to []sources.Endpoint
		late     time.Duration // of the source
		want     string
		calls    int
	}{
		"add":                      {hosts(1, 4), hosts(1, 5), 0, before + list + after, 8},
		"remove":                   {hosts(1, 4), hosts(1, 3), 0, before + list + after, 8},
		"add and remove":           {hosts(1, 4), hosts(2, 5), 0, before + list + list + after, 10},
		"the first members":        {nil, hosts(1, 4), 0, before + "GET servicegroup_servicegroupmember_binding, " + list + after, 9},
		"the plan's look is old":   {hosts(1, 4), hosts(1, 5), time.Second, before + "GET servicegroup_servicegroupmember_binding, " + list + after, 9},
		"neither to add nor to go": {hosts(1, 4), hosts(1, 4), 0, "POST login, GET servicegroup_servicegroupmember_binding, POST logout", 3},
	} {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(c.from)}
			var late time.Duration
			slow := func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
				time.Sleep(late)
				return st.play(ctx, app, fresh)
			}
			s := newSite(t, players{"prod": slow}, sync.App{Name: "shop", Policy: atOnce})
			s.replace("edge", simulator.Options{})
			s.command(apiGroup)
			s.sync(0)
			st["shop"] = known(c.to)
			s.sims["edge"].ResetCalls()
			late = c.late
			s.sync(0)
			if got := kinds(s.sims["edge"].Calls()); strings.Join(got, ", ") != c.want || len(got) != c.calls {
				t.Errorf("%s: %d calls, want %d\n got %s\nwant %s", name, len(got), c.calls, strings.Join(got, ", "), c.want)
			}
		})
	}
}

func lists(sim *simulator.Simulator) (n int) {
	for _, c := range sim.Calls() {
		if strings.HasPrefix(c.Type, "servicegroup_servicegroupmemberlist") {
			n++
		}
	}
	return n
}

func TestAGroupWithAutoscaleAPITakesLists(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		p := slowly
		p.Only = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
		s := apiSite(t, st, p, simulator.Options{}, apiGroup+" -autoDisablegraceful YES -autoDisabledelay 30",
			"bind serviceGroup sg-shop 192.0.2.7 80 -weight 7 -order 3", "bind serviceGroup sg-shop 10.0.0.4 80 -state DISABLED")
		sim := s.sims["edge"]
		r := s.sync(0)
		others := ", 10.0.0.4:80 OUT OF SERVICE, 192.0.2.7:80"
		s.expect("sg-shop", bound(1, 3)+others)
		if n := r.Outcomes[0].Notes; len(n) != 0 {
			t.Errorf("notes: %q", n)
		}
		want := "POST login, GET servicegroup_servicegroupmember_binding, GET servicegroup, GET hanode, " +
			"PUT servicegroup_servicegroupmemberlist_binding, GET servicegroup_servicegroupmember_binding, POST nsconfig save, POST logout"
		if got := strings.Join(kinds(sim.Calls()), ", "); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}

		// Weights, binds and drains: two lists; the first loses nobody.
		es := hosts(2, 4)
		es[0].Weight = 5
		es = append(es, hosts(8, 8)...)
		st["shop"] = known(es)
		sim.ResetCalls()
		sim.ResetMin()
		s.sync(0)
		s.expect("sg-shop", "10.0.0.1:80 GOING OUT OF SERVICE, 10.0.0.2:80, 10.0.0.3:80, 10.0.0.4:80 OUT OF SERVICE, 10.0.0.8:80, 192.0.2.7:80")
		if n := lists(sim); n != 2 {
			t.Errorf("%d lists", n)
		}
		if n := sim.MinEnabled("sg-shop"); n != 4 {
			t.Errorf("%d members were enabled at the least", n)
		}
		for _, m := range sim.Members("sg-shop") {
			if w := map[string]int{"10.0.0.2": 5, "192.0.2.7": 7}[m.Server]; w != 0 && m.Weight != w {
				t.Errorf("%s has weight %d, want %d", m.Server, m.Weight, w)
			}
			if m.CustomServerID != "" {
				t.Errorf("%s is marked %s", m.Server, m.CustomServerID)
			}
		}

		// Nothing to do while it drains; it comes back; it goes for good.
		sim.ResetCalls()
		if r := s.sync(0); len(r.Outcomes[0].Plan.Draining) != 1 || r.Outcomes[0].Plan.Draining[0].Remaining == 0 || lists(sim) != 0 {
			t.Errorf("%+v, %d lists", r.Outcomes[0].Plan, lists(sim))
		}
		st["shop"] = known(append(hosts(1, 4), hosts(8, 8)...))
		s.sync(0)
		s.expect("sg-shop", bound(1, 3)+", 10.0.0.4:80 OUT OF SERVICE, 10.0.0.8:80, 192.0.2.7:80")
		st["shop"] = known(hosts(1, 4))
		s.sync(0)
		time.Sleep(31 * time.Second)
		s.expect("sg-shop", bound(1, 3)+others)
		s.sync(0)
	})
}

// What the mapping asks for and the group does otherwise is said, and left.
func TestHowMembersLeaveIsTheGroupsOwnSetting(t *testing.T) {
	for name, c := range map[string]struct {
		conf  string
		drain time.Duration
		note  string
	}{
		"at once, though a drain is asked for": {"", 30 * time.Second, "unbinds them at once (autodisablegraceful NO), and drain: 30s is ignored; to change it: set serviceGroup sg-shop -autoDisablegraceful YES -autoDisabledelay 30"},
		"for longer":                           {" -autoDisablegraceful YES -autoDisabledelay 60", 30 * time.Second, "drains them for 1m (autodisabledelay)"},
		"without end":                          {" -autoDisablegraceful YES", 30 * time.Second, "drains them until their clients are gone"},
		"though at once is asked for":          {" -autoDisablegraceful YES -autoDisabledelay 30", 0, "-autoDisablegraceful NO"},
		"as it should be":                      {" -autoDisablegraceful YES -autoDisabledelay 30", 30 * time.Second, ""},
		"at once, as it should be":             {"", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := slowly
				p.Drain = c.drain
				st := stage{"shop": known(hosts(1, 3))}
				s := apiSite(t, st, p, simulator.Options{}, apiGroup+c.conf)
				s.sync(0)
				st["shop"] = known(hosts(1, 2))
				o := s.sync(0).Outcomes[0]
				if notes := strings.Join(o.Notes, "; "); !strings.Contains(notes, c.note) || (notes == "") != (c.note == "") {
					t.Errorf("notes: %s", notes)
				}
				want := bound(1, 2)
				if c.conf != "" {
					want += ", 10.0.0.3:80 GOING OUT OF SERVICE"
				}
				s.expect("sg-shop", want)
			})
		})
	}
}

// Scenario 17: members that a list cannot bind are told one by one, nothing is
// removed, and the next run tries again.
func TestMembersThatAListCannotBindAreTold(t *testing.T) {
	for _, build := range []simulator.Options{{}, {ListFailedKey: "failed_member_list", Status: map[int]int{1442: 599}}} {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 3))}
			s := apiSite(t, st, atOnce, build, apiGroup)
			s.sync(0)
			st["shop"] = known(hosts(2, 5))
			s.sims["edge"].SetFault(simulator.Fault{Command: `^bind serviceGroup sg-shop 10\.0\.0\.5 80`, Code: 435})
			o := s.sync(1).Outcomes[0]
			s.expect("sg-shop", bound(1, 4))
			if o.Done[0].Err != nil {
				t.Errorf("bind of 10.0.0.4: %v", o.Done[0].Err)
			}
			if err := o.Done[1].Err; err == nil || !strings.Contains(err.Error(), "10.0.0.5:80") || !strings.Contains(err.Error(), "1442") {
				t.Errorf("bind of 10.0.0.5: %v", err)
			}
			s.sims["edge"].ClearFaults()
			s.sync(0)
			s.expect("sg-shop", bound(2, 5))
		})
	}
}

// Scenario 18: a group or a build that takes no list gets ordinary calls, which
// is said once, and drains as the mapping says.
func TestWithoutTheDesiredStateCallMembersAreBound(t *testing.T) {
	refused := func(code int) simulator.Fault {
		return simulator.Fault{Type: "servicegroup_servicegroupmemberlist_binding", Code: code}
	}
	for name, c := range map[string]struct {
		build simulator.Options
		fault simulator.Fault
	}{
		"the build lacks it":          {simulator.Options{Lacks: []string{"servicegroup_servicegroupmemberlist_binding"}}, simulator.Fault{}},
		"257":                         {simulator.Options{}, refused(257)},
		"3810":                        {simulator.Options{}, refused(3810)},
		"278":                         {simulator.Options{}, refused(278)},
		"members of it are there":     {simulator.Options{ListUnchanged: 273}, simulator.Fault{}},
		"an action it does not know":  {simulator.Options{}, refused(1240)},
		"an argument it doesn't know": {simulator.Options{}, refused(1090)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 3))}
				s := apiSite(t, st, slowly, c.build, apiGroup)
				s.command("bind serviceGroup sg-shop 10.0.0.1 80")
				if c.fault.Code != 0 {
					s.sims["edge"].SetFault(c.fault)
				}
				r := s.sync(0)
				s.expect("sg-shop", bound(1, 3))
				if n := r.Outcomes[0].Notes; len(n) == 0 || !strings.Contains(n[len(n)-1], "changed by ordinary calls") {
					t.Errorf("notes: %q", n)
				}
				st["shop"] = known(hosts(2, 4))
				r = s.Sync(t.Context(), nil)
				s.expect("sg-shop", "10.0.0.1:80 GOING OUT OF SERVICE, 10.0.0.2:80, 10.0.0.3:80, 10.0.0.4:80")
				if got := fmt.Sprint(r.Outcomes[0].Done[1].Op, r.Outcomes[0].Done[1].Delay); got != "drain 30s" {
					t.Errorf("what was done is %s", got)
				}
				time.Sleep(31 * time.Second)
				s.end(s.Sync(t.Context(), nil), 0)
				s.expect("sg-shop", bound(2, 4))

				// Removals alone.
				st["shop"] = known(hosts(2, 3))
				s.NetScalers["edge"].Client = s.client("edge", "secret", false)
				s.sync(0)
				time.Sleep(31 * time.Second)
				s.sync(0)
				s.expect("sg-shop", bound(2, 3))
			})
		})
	}
}

// A build that does not say why a member drains: it is taken for an operator's
// while it drains, and bound again once the NetScaler has removed it.
func TestABuildThatDoesNotSayWhyAMemberDrains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := apiSite(t, st, slowly, simulator.Options{Lacks: []string{"trofsreason"}}, apiGroup+" -autoDisablegraceful YES -autoDisabledelay 30")
		s.sync(0)
		st["shop"] = known(hosts(1, 2))
		s.sync(0)
		st["shop"] = known(hosts(1, 4))
		s.sync(0)
		s.expect("sg-shop", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 GOING OUT OF SERVICE, 10.0.0.4:80")
		time.Sleep(31 * time.Second)
		s.sync(0)
		s.expect("sg-shop", bound(1, 4))
	})
}

// Scenario 7: also where a list could replace all at once, new members come
// first, and the old ones stay until they are UP.
func TestAFullReplacementByListsWaitsForTheNewMembers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		p := atOnce
		p.WaitUp = 10 * time.Second
		s := apiSite(t, st, p, simulator.Options{}, apiGroup)
		s.sync(0)
		sim := s.sims["edge"]
		for _, e := range hosts(11, 14) {
			sim.SetUp("sg-shop", e.Addr, false)
		}
		time.AfterFunc(7*time.Second, func() { // 2 s of which pass before the plan is believed
			for _, e := range hosts(11, 12) {
				sim.SetUp("sg-shop", e.Addr, true)
			}
		})
		sim.ResetMin()
		st["shop"] = known(hosts(11, 14))
		began := time.Now()
		s.sync(0)
		if took := time.Since(began); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("took %v: the new members are UP after 7 s", took)
		}
		s.expect("sg-shop", bound(11, 14))
		if n := sim.MinEnabled("sg-shop"); n < 4 {
			t.Errorf("%d members were enabled at the least", n)
		}
	})
}

// Guards and doubts hold where the whole set is given each time.
func TestGuardsAndDoubtsHoldForLists(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 8))}
		s := apiSite(t, st, atOnce, simulator.Options{}, apiGroup)
		s.sync(0)
		st["shop"] = known(hosts(8, 9)) // 7 of 8 would go, net 6: 75 %
		s.sync(0)
		s.expect("sg-shop", bound(8, 9))
		st["shop"] = known(hosts(1, 8))
		s.sync(0)
		st["shop"] = known(append(hosts(8, 8), hosts(20, 20)...))
		s.Apps[0].Policy.MaxRemove = sync.Limit{N: 3}
		s.sync(sync.ExitHeld)
		s.expect("sg-shop", bound(1, 8)+", 10.0.0.20:80")
		half := sources.NewAnswer(hosts(21, 21), nil, errors.New("half a list"))
		st["shop"] = half
		s.sync(1)
		s.expect("sg-shop", bound(1, 8)+", 10.0.0.20:80, 10.0.0.21:80")
	})
}

// A mark from before the group took lists is lifted by a call of its own, and a
// marked member that is not wanted goes by the list.
func TestMarksInAGroupThatTakesLists(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := apiSite(t, st, slowly, simulator.Options{}, apiGroup)
		for i := 1; i <= 4; i++ {
			s.command(fmt.Sprintf("bind serviceGroup sg-shop 10.0.0.%d 80 -state %s -CustomServerID nitrox-10.0.0.%d-80", i, []string{"ENABLED", "DISABLED"}[i%2], i))
		}
		s.sync(0)
		s.expect("sg-shop", bound(1, 3))
		if m := s.marks("sg-shop"); len(m) != 0 {
			t.Errorf("%v are marked", m)
		}
		s.sims["edge"].ResetCalls()
		s.sync(0)
		if n := len(s.sims["edge"].Calls()); n != 3 {
			t.Errorf("%d calls: %v", n, kinds(s.sims["edge"].Calls()))
		}
	})
}

// A list cannot hold what has no address: the app fails, and nothing is lost.
func TestAListIsNotGivenWhereADomainNameIsAMember(t *testing.T) {
	for name, conf := range map[string]string{
		"unresolved": "bind serviceGroup sg-shop www 80",
		"resolved":   "bind serviceGroup sg-shop web9 80",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 2))}
				s := apiSite(t, st, atOnce, simulator.Options{}, "add server www www.example.com", "add server web9 10.0.0.9", apiGroup, conf)
				if name == "resolved" {
					s.sims["edge"].SetFault(simulator.Fault{Method: "GET", Type: "server", Status: 200, RawBody: `{ "errorcode": 0, "message": "Done", "severity": "NONE", "server": [ { "name": "web9", "domain": "www.example.com" } ] }`})
				}
				before := s.members("sg-shop")
				r := s.sync(1)
				s.expect("sg-shop", before)
				if lists(s.sims["edge"]) != 0 {
					t.Error("a list was given")
				}
				if o := r.Outcomes[0]; !strings.Contains(fmt.Sprint(o.Err), "domain-based") {
					t.Errorf("%v, %v", o.Err, o.Done)
				}
			})
		})
	}
}

// An app that goes to nothing empties its group, without an empty list.
func TestAnEmptyListIsNeverGiven(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		p := atOnce
		p.AllowEmpty = true
		s := apiSite(t, st, p, simulator.Options{EmptyList: 1095}, apiGroup)
		s.sync(0)
		st["shop"] = known(nil)
		s.sync(0)
		s.expect("sg-shop", "")
	})
}

// What somebody does between the reading of a pass and its list is not undone.
func TestAListDoesNotUndoWhatWasJustDone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 8))}
		s := apiSite(t, st, atOnce, simulator.Options{}, apiGroup)
		s.sync(0)
		st["shop"] = known(hosts(6, 8)) // confirmed 2 s later
		time.AfterFunc(time.Second, func() { s.disable("sg-shop", 8, 0) })
		s.sync(0)
		s.expect("sg-shop", "10.0.0.6:80, 10.0.0.7:80, 10.0.0.8:80 GOING OUT OF SERVICE")
	})
}

// The replies to lists are lost, or they never arrive: reading again tells.
func TestCutOffWithinListsTheNextRunConverges(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for cut := 1; ; cut++ {
			calls := 0
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4))}
				s := apiSite(t, st, slowly, simulator.Options{}, apiGroup+" -autoDisablegraceful YES -autoDisabledelay 30")
				s.sync(0)
				st["shop"] = known(hosts(3, 6))
				sim := s.sims["edge"]
				sim.ResetCalls()
				sim.ResetMin()
				sim.SetFault(simulator.Fault{Skip: cut, DropAfterApply: applied, DropBefore: !applied})
				s.Sync(t.Context(), nil)
				calls = len(sim.Calls())
				sim.ClearFaults()
				sim.KillSessions()
				time.Sleep(time.Minute)
				s.NetScalers["edge"].Client = s.client("edge", "secret", false)
				s.sync(0)
				time.Sleep(31 * time.Second)
				s.sync(0)
				s.expect("sg-shop", bound(3, 6))
				if n := sim.MinEnabled("sg-shop"); n < 4 {
					t.Errorf("cut off at call %d: %d enabled members", cut, n)
				}
			})
			if calls < cut || t.Failed() {
				break
			}
		}
	}
}
