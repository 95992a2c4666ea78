package sync_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sync"
)

// command does what somebody else does on the NetScaler's command line.
func (s *site) command(lines ...string) {
	s.t.Helper()
	if err := s.sims["edge"].Load(strings.NewReader(strings.Join(lines, "\n") + "\n")); err != nil {
		s.t.Fatal(err)
	}
}

// replace puts another build in the place of a NetScaler.
func (s *site) replace(name string, o simulator.Options) *simulator.Simulator {
	o.Users = map[string]string{"nitrox": "secret"}
	s.sims[name] = simulator.New(o)
	s.NetScalers[name].Client = s.client(name, "secret", false)
	return s.sims[name]
}

var slowly = sync.Policy{Drain: 30 * time.Second, MaxRemove: sync.Limit{N: 75, Percent: true}}

// marks are the custom server IDs of a group's members that have one.
func (s *site) marks(group string) (all []string) {
	for _, m := range s.sims["edge"].Members(group) {
		if m.CustomServerID != "" {
			all = append(all, m.CustomServerID)
		}
	}
	return all
}

// Scenario 10: also a graceful disable is the operator's, whether or not the
// member is wanted, during its drain and long after.
func TestAnOperatorsGracefulDisableStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
		s.sync(0)
		s.disable("sg-shop", 2, 60*time.Second)
		s.disable("sg-shop", 3, 60*time.Second)
		st["shop"] = known(hosts(1, 2)) // 10.0.0.3 is not even wanted
		for range 100 {
			r := s.sync(0)
			if p := r.Outcomes[0].Plan; len(p.Disabled) != 2 || len(p.Changes) != 0 {
				t.Fatalf("%+v", p)
			}
			time.Sleep(3 * time.Second)
		}
		s.expect("sg-shop", "10.0.0.1:80, 10.0.0.2:80 OUT OF SERVICE, 10.0.0.3:80 OUT OF SERVICE")
	})
}

// disable is an operator's graceful disable.
func (s *site) disable(group string, host int, delay time.Duration) {
	s.t.Helper()
	body := fmt.Sprintf(`{"servicegroup":{"servicegroupname":%q,"servername":"10.0.0.%d","port":80,"delay":%d,"graceful":"YES"}}`, group, host, int(delay.Seconds()))
	s.nitro("edge", "POST", "servicegroup?action=disable", body)
}

// Killed after any call of a drain, or of the return from one, later runs
// finish: nothing stays marked or disabled.
func TestCutOffWithinADrainLaterRunsFinish(t *testing.T) {
	for _, returns := range []bool{false, true} {
		for _, applied := range []bool{false, true} {
			for cut := 1; ; cut++ {
				calls := 0
				bubble(t, func(t *testing.T) {
					st := stage{"shop": known(hosts(1, 4))}
					s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
					s.sync(0)
					st["shop"] = known(hosts(1, 2))
					if returns {
						s.sync(0)
						st["shop"] = known(hosts(1, 4))
					}
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
					want := bound(1, 4)
					if !returns {
						// Half of the time they are wanted again by now.
						if cut%2 == 0 {
							st["shop"] = known(hosts(1, 4))
						} else {
							want = bound(1, 2)
						}
					}
					s.sync(0)
					time.Sleep(31 * time.Second)
					s.sync(0)
					s.expect("sg-shop", want)
					if m := s.marks("sg-shop"); len(m) > 0 {
						t.Errorf("cut off at call %d (applied %v, returns %v): %v are marked", cut, applied, returns, m)
					}
					if n := sim.MinEnabled("sg-shop"); n < 2 {
						t.Errorf("%d members were enabled at the least", n)
					}
				})
				if calls < cut || t.Failed() {
					break
				}
			}
		}
	}
}

// A reboot in the middle of a drain: the mark is saved, the drain is over.
func TestARebootEndsADrainAndTheNextRunUnbinds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
		s.sync(0)
		st["shop"] = known(hosts(1, 2))
		s.sync(0)
		s.sims["edge"].Boot()
		s.sync(0)
		s.expect("sg-shop", bound(1, 2))
	})
}

// Where no mark can be set, a graceful disable decides, and the report says so.
func TestWithoutMarksAGracefulDisableDecides(t *testing.T) {
	for name, c := range map[string]struct {
		build simulator.Options
		conf  string
	}{
		"the build has none":           {simulator.Options{Lacks: []string{"customserverid"}}, ""},
		"the custom server ID is used": {simulator.Options{}, " -CustomServerID persist3"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 3))}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
				s.replace("edge", c.build)
				s.command("add serviceGroup sg-shop HTTP", "bind serviceGroup sg-shop 10.0.0.3 80"+c.conf)
				s.sync(0)
				before := s.marks("sg-shop")
				st["shop"] = known(hosts(1, 2))
				r := s.sync(0)
				s.expect("sg-shop", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 GOING OUT OF SERVICE")
				if n := r.Outcomes[0].Notes; len(n) != 1 || !strings.HasPrefix(n[0], "10.0.0.3:80 cannot carry Nitrox's mark") {
					t.Errorf("notes: %q", n)
				}
				st["shop"] = known(hosts(1, 3))
				s.sync(0)
				s.expect("sg-shop", bound(1, 3))
				if after := s.marks("sg-shop"); fmt.Sprint(after) != fmt.Sprint(before) {
					t.Errorf("custom server IDs %v, before %v", after, before)
				}
				st["shop"] = known(hosts(1, 2))
				s.sync(0)
				time.Sleep(31 * time.Second)
				s.sync(0)
				s.expect("sg-shop", bound(1, 2))
			})
		})
	}
}

// A drain over any groups is two calls more than an unbind at once: marks and
// disables, and later the unbinds.
func TestDrainsCostTwoCallsWhateverTheirNumber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{}
		var apps []sync.App
		for i := range 20 {
			name := fmt.Sprintf("app%d", i)
			st[name] = known(hosts(1, 20))
			apps = append(apps, sync.App{Name: name, Policy: slowly})
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		s.sync(0)
		for name := range st {
			st[name] = known(hosts(1, 15))
		}
		sim := s.sims["edge"]
		for run, want := range []string{
			"POST login, GET servicegroup_servicegroupmember_binding, GET servicegroup, GET hanode, PUT servicegroup, POST servicegroup disable, POST nsconfig save, POST logout",
			"POST login, GET servicegroup_servicegroupmember_binding, GET servicegroup, GET hanode, POST servicegroup_servicegroupmember_binding unbind, POST nsconfig save, POST logout",
		} {
			sim.ResetCalls()
			s.sync(0)
			if got := strings.Join(kinds(sim.Calls()), ", "); got != want {
				t.Errorf("run %d:\n got %s\nwant %s", run, got, want)
			}
			time.Sleep(31 * time.Second)
		}
		s.expect("sg-app7", bound(1, 15))
	})
}

// Scenario 30, with drains: two copies at once end in the same state.
func TestTwoCopiesAtOnceDrainTheSame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 8))}
		one := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
		one.sync(0)
		two := &site{t: t, sims: one.sims, Syncer: &sync.Syncer{Sources: one.Sources, Apps: one.Apps, NetScalers: map[string]*sync.NetScaler{"edge": {Client: one.client("edge", "secret", false), Save: true}}}}
		both := func() {
			t.Helper()
			done := make(chan sync.Result)
			go func() { done <- two.Sync(t.Context(), nil) }()
			for _, r := range []sync.Result{one.Sync(t.Context(), nil), <-done} {
				if code := r.Exit(false); code != 0 {
					t.Errorf("exit %d: %v", code, r.Outcomes[0].Done)
				}
			}
		}
		st["shop"] = known(hosts(5, 12))
		both()
		if n := len(one.marks("sg-shop")); n != 4 {
			t.Errorf("%d members are marked", n)
		}
		st["shop"] = known(hosts(4, 12)) // one comes back
		both()
		time.Sleep(31 * time.Second)
		both()
		_ = two.Close(t.Context()) // both use one set of simulators; the sessions are counted below
		one.end(one.Sync(t.Context(), nil), 0)
		one.expect("sg-shop", bound(4, 12))
		if m := one.marks("sg-shop"); len(m) != 0 {
			t.Errorf("%v are marked", m)
		}
	})
}

// An address that returns as a drained member of another weight is enabled
// with that weight, and not bound a second time.
func TestAMarkedIPv6MemberReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		six := known(hosts(1, 2))
		six.Endpoints[1].Addr = netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:31080")
		st := stage{"shop": six}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
		s.sync(0)
		st["shop"] = known(hosts(1, 1))
		s.sync(0)
		if m := s.marks("sg-shop"); len(m) != 1 || m[0] != "nitrox-2001:db8:1111:2222:3333:4444:5555:6666-31080" {
			t.Errorf("%v", m)
		}
		six.Endpoints[1].Weight = 5
		st["shop"] = six
		s.sync(0)
		if m := s.sims["edge"].Members("sg-shop")[1]; m.State != "ENABLED" || m.Weight != 5 || m.CustomServerID != "" {
			t.Errorf("%+v", m)
		}
	})
}

// nitro makes one call as an administrator does, and expects it to succeed.
func (s *site) nitro(name, method, path, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+name+".test/nitro/v1/config/"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-NITRO-USER", "nitrox")
	req.Header.Set("X-NITRO-PASS", "secret")
	resp, err := s.sims[name].Transport().RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
}
