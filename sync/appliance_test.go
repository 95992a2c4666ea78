package sync_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sync"
)

// twice is a site whose entries edge and alias lead to one appliance.
func twice(t *testing.T, play players, partitions []string, conf []string, apps ...sync.App) *site {
	s := newSite(t, play, apps...)
	sim := s.sims["edge"]
	for i, name := range []string{"edge", "alias"} {
		s.sims[name] = sim
		c, err := netscaler.Open(netscaler.Config{
			URLs: []string{"http://" + name + ".test"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: sim.Transport(), Partition: partitions[i],
		})
		if err != nil {
			t.Fatal(err)
		}
		s.NetScalers[name] = &sync.NetScaler{Client: c, Save: true, Partition: partitions[i]}
	}
	s.command(conf...)
	return s
}

// Only the appliance can tell that two entries lead to it. Two apps that claim
// one group through them would each undo the other's half, and pass every guard.
func TestTwoAppsThatClaimOneGroupThroughTwoEntriesChangeNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(5, 8))}
		s := twice(t, players{"prod": st.play}, []string{"", ""}, []string{"bind serviceGroup sg-x 10.0.0.1 80", "bind serviceGroup sg-x 10.0.0.5 80"},
			sync.App{Name: "shop", Group: "sg-x", Policy: atOnce}, sync.App{Name: "cart", Group: "sg-x", Policy: atOnce, NetScalers: []string{"alias"}},
			sync.App{Name: "blog", Group: "sg-blog", Policy: atOnce, From: []sync.From{{Source: "prod", Query: "shop"}}})
		for range 3 {
			r := s.sync(sync.ExitFailed)
			s.expect("sg-x", "10.0.0.1:80, 10.0.0.5:80")
			s.expect("sg-blog", bound(1, 4)) // others are served
			for _, o := range r.Outcomes[:2] {
				if o.Err == nil || !strings.Contains(o.Err.Error(), "claimed twice: by app ") || !strings.Contains(o.Err.Error(), "are the same appliance (") {
					t.Errorf("%s: %v", o.App.Name, o.Err)
				}
			}
		}
		// Also in a pass of one of the two alone, as a hint or --app makes it.
		for _, name := range []string{"shop", "cart"} {
			s.end(s.Sync(t.Context(), &sync.Part{Apps: []string{name}}), sync.ExitFailed)
			s.expect("sg-x", "10.0.0.1:80, 10.0.0.5:80")
		}
		if r := s.Plan(t.Context(), nil); r.Outcomes[0].Err == nil || r.Outcomes[1].Err == nil {
			t.Error("the plan does not say so")
		}
		s.end(sync.Result{}, 0)
	})
}

// Whether an appliance ignores the case of names is not known: groups that differ
// in nothing else are served, and a note says what may happen.
func TestGroupsThatDifferInCaseOnlyThroughTwoEntries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := twice(t, players{"prod": stage{"shop": known(hosts(1, 2)), "cart": known(hosts(3, 4))}.play}, []string{"", ""},
			[]string{"add serviceGroup SG-X HTTP"},
			sync.App{Name: "shop", Group: "sg-x", Policy: atOnce}, sync.App{Name: "cart", Group: "SG-X", Policy: atOnce, NetScalers: []string{"alias"}})
		r := s.sync(sync.ExitInStep)
		s.expect("sg-x", bound(1, 2))
		s.expect("SG-X", bound(3, 4))
		for i, want := range []string{"service group sg-x differs from SG-X of app cart on alias, which is the same appliance", "service group SG-X differs from sg-x of app shop on edge"} {
			if notes := strings.Join(r.Outcomes[i].Notes, "\n"); !strings.Contains(notes, want) || !strings.HasSuffix(notes, "give one group another name") {
				t.Errorf("%q, want %s", notes, want)
			}
		}
		s.end(sync.Result{}, 0)
	})
}

// As long as an entry does not say which appliance it leads to, another app's
// claim through it may be to the same group: nothing is removed from that.
func TestWhereARivalMayBeNothingIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(5, 8))}
		s := twice(t, players{"prod": st.play}, []string{"", ""}, []string{"bind serviceGroup sg-x 10.0.0.1 80", "bind serviceGroup sg-x 10.0.0.5 80"},
			sync.App{Name: "shop", Group: "sg-x", Policy: atOnce}, sync.App{Name: "cart", Group: "sg-x", Policy: atOnce, NetScalers: []string{"alias"}})
		s.sims["edge"].SetFault(simulator.Fault{Type: "login", Code: 1043, Skip: 1, Times: 1}) // of one of the two
		r := s.Sync(t.Context(), nil)
		if got := s.members("sg-x"); !strings.Contains(got, "10.0.0.1:80") || !strings.Contains(got, "10.0.0.5:80") {
			t.Errorf("sg-x has %s", got)
		}
		if !strings.Contains(plain(t, sync.Text, r), "it is not known whether that is the same appliance") {
			t.Error(plain(t, sync.Text, r))
		}
		s.end(r, sync.ExitFailed)
	})
}

// Entries for one appliance take turns, so that it has one writer and one
// session; other appliances have the addresses of their own.
func TestEntriesForOneApplianceTakeTurns(t *testing.T) {
	for name, partitions := range map[string][]string{"two names": {"", ""}, "two partitions": {"", "web"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(5, 8))}
				s := twice(t, players{"prod": st.play}, partitions, []string{"add serviceGroup sg-cart HTTP", "add ns partition web", "switch ns partition web", "add serviceGroup sg-cart HTTP", "switch ns partition default"},
					sync.App{Name: "shop", Group: "sg-shop", Policy: atOnce}, sync.App{Name: "cart", Group: "sg-cart", Policy: atOnce, NetScalers: []string{"alias"}})
				s.sync(0)
				s.sims["edge"].ResetCalls()
				s.sync(0) // that it is one appliance is known by now
				now, most := 0, 0
				for _, c := range s.sims["edge"].Calls() {
					switch c.Type {
					case "login":
						now++
					case "logout":
						now--
					case "hanode":
						if c.Path == "/nitro/v1/config/hanode" {
							t.Error("it was asked again which appliance it is")
						}
					}
					most = max(most, now)
				}
				if most != 1 {
					t.Errorf("%d sessions at a time: %v", most, kinds(s.sims["edge"].Calls()))
				}
			})
		})
	}
}

// Entries for one appliance take turns at the end too: two saves at a time are refused.
func TestEntriesForOneApplianceAreLeftInTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(5, 8))}
		s := twice(t, players{"prod": st.play}, []string{"", ""}, []string{"add serviceGroup sg-cart HTTP"},
			sync.App{Name: "shop", Group: "sg-shop", Policy: atOnce}, sync.App{Name: "cart", Group: "sg-cart", Policy: atOnce, NetScalers: []string{"alias"}})
		s.NetScalers["edge"].SaveEvery, s.NetScalers["alias"].SaveEvery = time.Hour, time.Hour
		for n := 4; n < 6; n++ { // the second pass leaves the save to the end
			st["shop"], st["cart"] = known(hosts(1, n)), known(hosts(5, n+4))
			s.Sync(t.Context(), nil)
		}
		s.sims["edge"].ResetCalls()
		s.sims["edge"].SetFault(simulator.Fault{Type: "nsconfig", Delay: time.Second})
		s.sync(0)
		var inTurn []string
		for _, call := range kinds(s.sims["edge"].Calls()) {
			if !strings.HasPrefix(call, "GET") {
				inTurn = append(inTurn, call)
			}
		}
		want := []string{"POST login", "POST logout", "POST login", "POST logout"} // of the pass
		for range 2 {
			want = append(want, "POST login", "POST nsconfig save", "POST logout")
		}
		if !slices.Equal(inTurn, want) {
			t.Errorf("calls: %v", inTurn)
		}
	})
}

// An entry that hangs is asked in each pass of a loop, and holds the others up no
// longer than the wait for it.
func TestAnEntryThatHangsHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(5, 8))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce, NetScalers: []string{"core"}})
		s.sims["core"].SetFault(simulator.Fault{Hang: true})
		for range 2 {
			begun := time.Now()
			all := make(chan time.Duration, 1)
			go func() {
				for len(s.sims["edge"].Members("sg-shop")) < 4 {
					time.Sleep(10 * time.Millisecond)
				}
				all <- time.Since(begun)
			}()
			s.Sync(t.Context(), nil)
			if took := <-all; took > 3*time.Second {
				t.Errorf("bound after %v", took)
			}
			time.Sleep(2 * time.Minute)
			s.command("unbind serviceGroup sg-shop 10.0.0.4 80")
		}
		s.sims["core"].ClearFaults()
		s.sync(0)
	})
}

// One that says too late that it is another's appliance is not written in that
// pass; one that does not say at all holds nobody up for long.
func TestAnEntryThatSaysLateWhichApplianceItIsIsNotWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(5, 8))}
		s := twice(t, players{"prod": st.play}, []string{"", ""}, []string{"add serviceGroup sg-cart HTTP"},
			sync.App{Name: "shop", Group: "sg-shop", Policy: atOnce}, sync.App{Name: "cart", Group: "sg-cart", Policy: atOnce, NetScalers: []string{"alias"}})
		s.sims["edge"].SetFault(simulator.Fault{Method: "GET", Type: "hanode", Skip: 1, Times: 1, Delay: 5 * time.Second})
		began := time.Now()
		r := s.Sync(t.Context(), nil)
		if n := len(s.sims["edge"].Members("sg-shop")) + len(s.sims["edge"].Members("sg-cart")); n != 4 {
			t.Errorf("%d members", n)
		}
		late := errors.Join(r.NetScalers["edge"], r.NetScalers["alias"])
		if late == nil || !strings.Contains(late.Error(), "the same appliance as another entry of the mapping") {
			t.Errorf("after %v: %v", time.Since(began), late)
		}
		s.end(r, sync.ExitFailed)
		s.sync(0)
		s.expect("sg-shop", bound(1, 4))
		s.expect("sg-cart", bound(5, 8))
	})
}
