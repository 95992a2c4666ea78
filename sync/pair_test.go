package sync_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// nodes are two appliances behind their addresses.
type nodes map[string]*simulator.Simulator

func (n nodes) RoundTrip(r *http.Request) (*http.Response, error) {
	return n[r.URL.Hostname()].Transport().RoundTrip(r)
}

// pairSite is a site whose NetScaler is an HA pair. Its primary is s.sims["edge"].
func pairSite(t *testing.T, o simulator.Options, play players, apps ...sync.App) (s *site, peer *simulator.Simulator) {
	s = newSite(t, play, apps...)
	o.Users = map[string]string{"nitrox": "secret"}
	one, two := simulator.New(o), simulator.New(o)
	for _, app := range s.Apps {
		one.AddGroup(app.Group)
	}
	simulator.Pair(one, two)
	s.sims["edge"] = one
	c, err := netscaler.Open(netscaler.Config{
		URLs: []string{"http://one", "http://two"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: nodes{"one": one, "two": two},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.NetScalers["edge"].Client = c
	return s, two
}

// Scenario 20: the pair fails over at each call of a pass in turn, with the old
// primary alive or gone, and its sessions too. The pass ends there or has
// nothing left to do; the next converges at the new primary.
func TestAFailoverAtAnyCallEndsThePassAndTheNextConverges(t *testing.T) {
	ended := 0
	for _, how := range []struct {
		name  string
		fault simulator.Fault
		o     simulator.Options
	}{
		{"alive", simulator.Fault{Failover: true}, simulator.Options{}},
		{"alive, refuses writes", simulator.Fault{Failover: true}, simulator.Options{SecondaryRefuses: true}},
		{"gone before the call", simulator.Fault{Failover: true, DropBefore: true}, simulator.Options{}},
		{"gone after the call", simulator.Fault{Failover: true, DropAfterApply: true}, simulator.Options{INC: true}},
	} {
		for at := 0; ; at++ {
			calls := 0
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(1, 4))}
				p := sync.Policy{Drain: 30 * time.Second, MaxRemove: sync.Limit{N: 75, Percent: true}}
				s, peer := pairSite(t, how.o, players{"prod": st.play}, sync.App{Name: "shop", Policy: p}, sync.App{Name: "cart", Policy: atOnce})
				s.sync(0)
				st["shop"], st["cart"] = known(hosts(3, 5)), known(hosts(2, 6))
				one := s.sims["edge"]
				one.ResetCalls()
				peer.ResetCalls()
				f := how.fault
				f.Skip, f.Times = at, 1
				one.SetFault(f)
				if f.DropBefore || f.DropAfterApply {
					one.SetFault(simulator.Fault{Skip: at, DropBefore: true}) // and from then on it is gone
				}
				r := s.Sync(t.Context(), nil)
				calls = len(one.Calls())
				if r.Exit(false) != 0 {
					ended++
					for _, c := range peer.Calls() {
						if c.Method != "GET" && !slices.Contains([]string{"login", "logout", "nsconfig"}, c.Type) {
							t.Errorf("%s, call %d: a pass that began on one node wrote to the other: %s %s", how.name, at, c.Method, c.Type)
						}
					}
				}
				if peer.Role() == "Primary" {
					s.sims["edge"] = peer // what counts from now on
				}
				time.Sleep(10 * time.Second) // a loop's interval; what failed rests for a moment
				s.end(s.Sync(t.Context(), nil), 0)
				time.Sleep(31 * time.Second)
				s.end(s.Sync(t.Context(), nil), 0)
				s.expect("sg-shop", bound(3, 5))
				s.expect("sg-cart", bound(2, 6))
			})
			if t.Failed() {
				t.Fatalf("%s, call %d", how.name, at)
			}
			if calls <= at {
				break
			}
		}
	}
	if ended < 12 {
		t.Errorf("%d passes ended early; the failovers did not hit", ended)
	}
}

// Sessions may live on: a loop finds out all the same, and a secondary that
// takes writes is not believed for longer than a pass.
func TestALoopFollowsAFailoverThatItsSessionOutlives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s, peer := pairSite(t, simulator.Options{KeepSessions: true}, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.Sync(t.Context(), nil)
		s.sims["edge"].Failover()
		old := s.sims["edge"]
		s.sims["edge"] = peer
		if err := peer.Load(strings.NewReader("unbind serviceGroup sg-shop 10.0.0.1 80\n")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a loop's interval; nothing changes at the source
			time.Sleep(30 * time.Second)
			s.Sync(t.Context(), nil)
		}
		s.expect("sg-shop", bound(1, 4))
		if old.Sessions() != 0 {
			t.Error("the session on the old primary is left")
		}
		s.end(s.Sync(t.Context(), nil), 0)
	})
}

// With one url a node that turns secondary in the middle of a pass is written
// no more, and the pass ends: what was not done is said to be so.
func TestANodeThatTurnsSecondaryEndsThePass(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		st["shop"] = known(hosts(3, 6))
		sim := s.sims["edge"]
		sim.SetFault(simulator.Fault{Method: "PUT", Type: "servicegroup_servicegroupmember_binding", Times: 1, Failover: true})
		r := s.sync(1)
		if err := r.NetScalers["edge"]; err == nil || strings.Count(err.Error(), "it is the secondary node") < 1 {
			t.Errorf("%v", err)
		}
		s.expect("sg-shop", bound(1, 4))
		sim.Failover()
		time.Sleep(10 * time.Second)
		s.sync(0)
		s.expect("sg-shop", bound(3, 6))
	})
}

// Scenario 29, of a pair and of a loop: a wrong password is one log-in in ten
// minutes, on one of its nodes, and a rotated one is used at once.
func TestAWrongPasswordIsTriedOnceOnAPair(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s, peer := pairSite(t, simulator.Options{}, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		one := s.sims["edge"]
		one.SetFault(simulator.Fault{Type: "login", Code: 354})
		logins := func() int { return len(one.Calls()) + len(peer.Calls()) }
		for range 19 { // nine and a half minutes
			if r := s.Sync(t.Context(), nil); r.Exit(false) != 1 {
				t.Errorf("exit %d", r.Exit(false))
			}
			time.Sleep(30 * time.Second)
		}
		if n := logins(); n != 1 {
			t.Errorf("%d calls within ten minutes", n)
		}
		time.Sleep(30 * time.Second)
		s.Sync(t.Context(), nil)
		if n := logins(); n != 2 {
			t.Errorf("%d calls after ten minutes", n)
		}
	})
}

// An appliance that authenticates elsewhere (LDAP, TACACS) asks there with each
// log-in: a run is one, however much there is to do.
func TestARunLogsInOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{}
		var apps []sync.App
		for i := range 30 {
			name := fmt.Sprintf("app%d", i)
			st[name] = known(hosts(1, 40))
			apps = append(apps, sync.App{Name: name, Policy: sync.DefaultPolicy})
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		s.sync(0)
		for name := range st {
			st[name] = known(hosts(11, 50))
		}
		s.sync(0)
		time.Sleep(time.Minute)
		s.sync(0)
		logins := map[string]int{}
		for _, c := range s.sims["edge"].Calls() {
			logins[c.Type]++
			if c.User != "nitrox" {
				t.Errorf("%s %s as %q", c.Method, c.Path, c.User)
			}
		}
		if logins["login"] != 3 || logins["logout"] != 3 {
			t.Errorf("three runs: %d log-ins and %d log-outs", logins["login"], logins["logout"])
		}
	})
}

// gauge counts how many requests are under way at a time.
type gauge struct {
	http.RoundTripper
	mu       gosync.Mutex
	now, top int
}

func (g *gauge) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.now++
	g.top = max(g.top, g.now)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.now--
		g.mu.Unlock()
	}()
	return g.RoundTripper.RoundTrip(r)
}

// A NetScaler has 20 connections for everybody. With many apps on many
// NetScalers, and one that lists groups only one by one, a run uses four of
// each at the most; and if others use the rest, it waits.
func TestManyAppsUseFewConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{}
		var apps []sync.App
		names := []string{"edge", "core", "dmz", "lab", "old"}
		for i := range 60 {
			name := fmt.Sprintf("app%d", i)
			st[name] = known(hosts(1, 5))
			apps = append(apps, sync.App{Name: name, NetScalers: names, Policy: atOnce})
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		gauges := map[string]*gauge{}
		for _, name := range names {
			o := simulator.Options{Users: map[string]string{"nitrox": "secret"}, ReadLatency: 10 * time.Millisecond, WriteLatency: 20 * time.Millisecond, MaxConnections: 4, MaxSessions: 1}
			if name == "old" {
				o.Lacks = []string{"bulkbindings", "arrays"}
			}
			sim := simulator.New(o)
			for _, app := range s.Apps {
				sim.AddGroup(app.Group)
			}
			s.sims[name] = sim
			gauges[name] = &gauge{RoundTripper: sim.Transport()}
			c, err := netscaler.Open(netscaler.Config{URLs: []string{"http://" + name}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: gauges[name]})
			if err != nil {
				t.Fatal(err)
			}
			s.NetScalers[name].Client = c
		}
		s.sync(0)
		for name := range st {
			st[name] = known(hosts(2, 6))
		}
		s.sync(0)
		for name, g := range gauges {
			if g.top > 4 {
				t.Errorf("%s: %d requests at a time", name, g.top)
			}
			for _, c := range s.sims[name].Calls() {
				if c.Code == 445 || c.Code == 446 {
					t.Errorf("%s: %d at %s %s", name, c.Code, c.Method, c.Path)
				}
			}
		}
		if gauges["old"].top != 4 || gauges["edge"].top > 2 { // attributes and the role at a time
			t.Errorf("read one by one: %d at a time, in bulk: %d", gauges["old"].top, gauges["edge"].top)
		}
	})
}

// Others use up the connections, or the sessions, for a while: each call waits
// its turn, and the run is made all the same.
func TestARunGetsThroughWhileOthersUseUpTheNetScaler(t *testing.T) {
	for _, code := range []int{445, 446, 272, 291} {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 4))}
			s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
			sim := s.sims["edge"]
			// Of every three calls two are refused.
			for skip := range 40 {
				sim.SetFault(simulator.Fault{Skip: skip * 3, Times: 2, Code: code})
			}
			s.sync(0)
			sim.ClearFaults()
			s.expect("sg-shop", bound(1, 4))
		})
	}
}

// Scenario 19: the session is killed at each call of a pass in turn. The pass
// is made all the same, in one new session.
func TestTheSessionIsKilledAtAnyCall(t *testing.T) {
	for at := 1; ; at++ {
		calls := 0
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(1, 4))}
			p := sync.Policy{Drain: 30 * time.Second, MaxRemove: sync.Limit{N: 75, Percent: true}}
			s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p}, sync.App{Name: "cart", Policy: atOnce})
			s.sync(0)
			st["shop"], st["cart"] = known(hosts(3, 5)), known(hosts(2, 6))
			sim := s.sims["edge"]
			sim.ResetCalls()
			sim.SetFault(simulator.Fault{Skip: at, Times: 1, KillSession: true})
			s.sync(0)
			s.expect("sg-cart", bound(2, 6))
			logins := 0
			for _, c := range sim.Calls() {
				if calls++; c.Type == "login" {
					logins++
				}
			}
			if logins > 2 {
				t.Errorf("killed at call %d: %d log-ins", at, logins)
			}
		})
		if calls <= at || t.Failed() {
			break
		}
	}
}

// Scenario 12: one address with two ports, an address of IPv6 written long and
// short, and numbers as text: what the first run bound is in step in the
// second, which writes nothing.
func TestWhatARunBoundIsInStepInTheNext(t *testing.T) {
	for _, o := range []simulator.Options{{}, {SwapTypes: true}, {CanonicalIPv6: true}} {
		bubble(t, func(t *testing.T) {
			var es []sources.Endpoint
			for _, text := range []string{"10.0.0.1:80", "10.0.0.1:81", "[2001:db8::1]:80", "[::ffff:10.0.0.2]:80"} {
				a := netip.MustParseAddrPort(text)
				es = append(es, sources.Endpoint{Addr: netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), Weight: 3})
			}
			s := newSite(t, players{"prod": stage{"shop": known(es)}.play}, sync.App{Name: "shop", NetScalers: []string{"edge", "core"}, Policy: atOnce})
			for _, name := range []string{"edge", "core"} {
				o.Users = map[string]string{"nitrox": "secret"}
				s.sims[name] = simulator.New(o)
				s.sims[name].AddGroup("sg-shop")
				// Another tool bound one of them, in its own spelling.
				if err := s.sims[name].Load(strings.NewReader("bind serviceGroup sg-shop 2001:0DB8:0:0::1 80 -weight 3\n")); err != nil {
					t.Fatal(err)
				}
				s.NetScalers[name].Client = s.client(name, "secret", false)
			}
			s.sync(0)
			s.expect("sg-shop", "10.0.0.1:80, 10.0.0.1:81, 10.0.0.2:80, [2001:db8::1]:80")
			for _, sim := range s.sims {
				sim.ResetCalls()
			}
			s.sync(0)
			for name, sim := range s.sims {
				for _, c := range sim.Calls() {
					if c.Method != "GET" && c.Type != "login" && c.Type != "logout" {
						t.Errorf("the second run sent %s %s to %s", c.Method, c.Path, name)
					}
				}
			}
		})
	}
}
