package sync_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/sourcetest"
	"nitrox/sync"
)

// A site is a syncer between sources that the test plays and simulated
// NetScalers that the real client talks to, in process and, in a synctest
// bubble, on a fake clock.
type site struct {
	*sync.Syncer
	t    *testing.T
	sims map[string]*simulator.Simulator
}

// players are the sources; a query is the name of an app.
type players map[string]func(ctx context.Context, app string, fresh bool) (sources.Answer, error)

func newSite(t *testing.T, play players, apps ...sync.App) *site {
	s := &site{t: t, sims: map[string]*simulator.Simulator{}, Syncer: &sync.Syncer{Sources: map[string]sync.Source{}, NetScalers: map[string]*sync.NetScaler{}}}
	for i := range apps {
		if apps[i].Group == "" {
			apps[i].Group = "sg-" + apps[i].Name
		}
		if apps[i].NetScalers == nil {
			apps[i].NetScalers = []string{"edge"}
		}
		if apps[i].From == nil {
			apps[i].From = []sync.From{{Source: "prod", Query: apps[i].Name}}
		}
		for _, name := range apps[i].NetScalers {
			if s.sims[name] == nil {
				s.sims[name] = simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
				s.NetScalers[name] = &sync.NetScaler{Client: s.client(name, "secret", false), Save: true, SaveEvery: 5 * time.Minute}
			}
			s.sims[name].AddGroup(apps[i].Group)
		}
	}
	s.Apps = apps
	for name, answer := range play {
		s.Sources[name] = sync.Source{Timeout: 15 * time.Second, Opened: sources.Opened{
			Poll: func(ctx context.Context, queries []any, fresh bool) ([]sources.Answer, error) {
				var answers []sources.Answer
				for _, q := range queries {
					a, err := answer(ctx, q.(string), fresh)
					if err != nil {
						return nil, err
					}
					answers = append(answers, a)
				}
				return answers, nil
			},
		}}
	}
	return s
}

func (s *site) client(name, password string, readOnly bool) *netscaler.Client {
	c, err := netscaler.Open(netscaler.Config{
		URLs: []string{"http://" + name + ".test"}, Username: "nitrox", Password: netscaler.SecretText(password),
		Transport: s.sims[name].Transport(), ReadOnly: readOnly,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// sync runs a pass and ends it as the program does.
func (s *site) sync(want int) sync.Result {
	s.t.Helper()
	r := s.Sync(s.t.Context(), nil)
	s.end(r, want)
	return r
}

func (s *site) end(r sync.Result, want int) {
	s.t.Helper()
	if err := s.Close(s.t.Context()); err != nil {
		s.t.Error(err)
	}
	for name, sim := range s.sims {
		if n := sim.Sessions(); n != 0 {
			s.t.Errorf("%s: %d sessions are left", name, n)
		}
	}
	if got := r.Exit(false); got != want {
		var b strings.Builder
		_ = sync.Text(&b, r) // a Builder does not fail
		s.t.Errorf("exit code %d, want %d:\n%s", got, want, b.String())
	}
	if want == sync.ExitFailed {
		time.Sleep(time.Minute) // the bubble's clock: what failed may be asked again
	}
}

// members are the members of an app's group on the first NetScaler, sorted, as
// text; disabled ones carry their svrstate.
func (s *site) members(group string) string {
	var all []string
	for _, m := range s.sims["edge"].Members(group) {
		text := m.Addr.String()
		if m.State != "ENABLED" {
			text += " " + m.SvrState
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func (s *site) expect(group, want string) {
	s.t.Helper()
	if got := s.members(group); got != want {
		s.t.Errorf("%s has\n %s\nwant\n %s", group, got, want)
	}
}

// kinds are the calls that a simulator saw, in short. Of the two that a visit makes at a
// time, attributes come first.
func kinds(calls []simulator.Call) (all []string) {
	for _, c := range calls {
		s := c.Method + " " + c.Type
		if c.Action != "" {
			s += " " + c.Action
		}
		if all = append(all, s); len(all) > 1 && s == "GET servicegroup" && all[len(all)-2] == "GET hanode" {
			all[len(all)-2], all[len(all)-1] = s, "GET hanode"
		}
	}
	return all
}

// hosts are the addresses 10.0.0.from to 10.0.0.to, port 80.
func hosts(from, to int) (es []sources.Endpoint) {
	for i := from; i <= to; i++ {
		es = append(es, sources.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80), Origin: fmt.Sprintf("node n%d", i)})
	}
	return es
}

// bound are the same as members are shown.
func bound(from, to int) string {
	var all []string
	for _, e := range hosts(from, to) {
		all = append(all, e.Addr.String())
	}
	slices.SortFunc(all, func(a, b string) int { return addr(a).Compare(addr(b)) })
	return strings.Join(all, ", ")
}

// stage plays one source whose answers the test changes.
type stage map[string]sources.Answer

func (st stage) play(_ context.Context, app string, _ bool) (sources.Answer, error) {
	a, known := st[app]
	if !known {
		return sources.Doubtful(fmt.Errorf("app %s: %w", app, sources.ErrAbsent)), nil
	}
	return a, nil
}

func known(es []sources.Endpoint) sources.Answer { return sources.NewAnswer(es, nil, nil) }

var atOnce = sync.Policy{MaxRemove: sync.Limit{N: 75, Percent: true}}

func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func TestScaleUpAndDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		s.expect("sg-shop", bound(1, 4))
		st["shop"] = known(hosts(1, 6))
		s.sync(0)
		s.expect("sg-shop", bound(1, 6))
		st["shop"] = known(hosts(5, 6))
		s.sync(0)
		s.expect("sg-shop", bound(5, 6))
		if !s.sims["edge"].Saved() {
			t.Error("the configuration is not saved")
		}
	})
}

func TestNothingToChangeCostsThreeCallsAndWritesNothing(t *testing.T) {
	sourcetest.Thorough(t)
	bubble(t, func(t *testing.T) {
		// Scenario 22: 1,000 apps x 50 members.
		var apps []sync.App
		st := stage{}
		for i := range 1000 {
			name := fmt.Sprintf("app%d", i)
			apps = append(apps, sync.App{Name: name, Policy: sync.DefaultPolicy})
			st[name] = known(hosts(1, 50))
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		if s.sync(0); t.Failed() {
			t.FailNow()
		}
		s.sims["edge"].ResetCalls()
		s.sync(0)
		got := kinds(s.sims["edge"].Calls())
		want := []string{"POST login", "GET servicegroup_servicegroupmember_binding", "POST logout"}
		if !slices.Equal(got, want) {
			t.Errorf("%d calls: %v", len(got), got)
		}
	})
}

func TestAThousandChangesOverAHundredGroupsCostEightCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var apps []sync.App
		st := stage{}
		for i := range 100 {
			name := fmt.Sprintf("app%d", i)
			apps = append(apps, sync.App{Name: name, Policy: sync.Policy{WaitUp: 10 * time.Second, MaxRemove: sync.Limit{N: 75, Percent: true}}})
			st[name] = known(hosts(1, 20))
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		s.sync(0)
		for name := range st {
			st[name] = known(hosts(6, 25))
		}
		s.sims["edge"].ResetCalls()
		r := s.sync(0)
		tally := r.Tally()
		if tally[netscaler.Bind].Made != 500 || tally[netscaler.Unbind].Made != 500 {
			t.Errorf("made %+v", tally)
		}
		if got := kinds(s.sims["edge"].Calls()); len(got) > 8 {
			t.Errorf("%d calls: %v", len(got), got)
		}
		s.expect("sg-app0", bound(6, 25))
	})
}

// Scenarios 1 and 2: a failed read removes nothing, others are served.
func TestAFailedSourceRemovesNothingAndHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		prod, lab := stage{"shop": known(hosts(1, 4))}, stage{"cart": known(hosts(1, 2))}
		fail := false
		s := newSite(t, players{
			"prod": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
				if fail {
					return sources.Answer{}, errors.New("connection reset in the middle of the list")
				}
				return prod.play(ctx, app, fresh)
			},
			"lab": lab.play,
		},
			sync.App{Name: "shop", Policy: atOnce},
			sync.App{Name: "cart", Policy: atOnce, From: []sync.From{{Source: "lab", Query: "cart"}}},
			sync.App{Name: "both", Policy: atOnce, From: []sync.From{{Source: "prod", Query: "shop"}, {Source: "lab", Query: "cart"}}},
		)
		s.sync(0)
		fail = true
		lab["cart"] = known(hosts(2, 3))
		r := s.sync(1)
		s.expect("sg-shop", bound(1, 4))
		s.expect("sg-cart", bound(2, 3))
		s.expect("sg-both", bound(1, 4)) // nothing new: 10.0.0.3 was there, and nothing goes in doubt
		if r.Sources["prod"] == nil || r.Sources["lab"] != nil {
			t.Errorf("sources: %v", r.Sources)
		}
	})
}

// Scenario 4 (an absent app) for this core: a doubt, unless the policy says
// that it means none.
func TestAnAbsentAppIsHeldUnlessAbsentMeansEmpty(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3)), "cart": known(hosts(1, 3))}
		p := atOnce
		p.AbsentIsEmpty, p.AllowEmpty = true, true
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: p})
		s.sync(0)
		delete(st, "shop")
		delete(st, "cart")
		s.sync(1)
		s.expect("sg-shop", bound(1, 3))
		s.expect("sg-cart", "")
	})
}

// Scenario 3: a successful and empty answer after twelve members.
func TestAnEmptyAnswerIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 12))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: sync.DefaultPolicy})
		s.sync(0)
		st["shop"] = known(nil)
		r := s.sync(sync.ExitHeld)
		s.expect("sg-shop", bound(1, 12))
		if n := len(r.Outcomes[0].Plan.Held); n != 12 {
			t.Errorf("%d held", n)
		}

		s.Apps[0].Policy.Forced = true
		s.sync(0)
		s.Apps[0].Policy.Forced = false
		if got := s.members("sg-shop"); strings.Count(got, "GOING OUT OF SERVICE") != 12 {
			t.Errorf("forced: %s", got)
		}
	})
}

func TestAllowEmptyLetsAnAppGoToZeroOnceConfirmed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		polls := 0
		second := hosts(1, 6)
		var answer []sources.Endpoint = hosts(1, 6)
		p := atOnce
		p.AllowEmpty = true
		s := newSite(t, players{"prod": func(_ context.Context, _ string, fresh bool) (sources.Answer, error) {
			polls++
			if fresh {
				return known(second), nil
			}
			return known(answer), nil
		}}, sync.App{Name: "shop", Policy: p})
		s.sync(0)

		// The source hiccups: the second answer has all of them.
		answer = nil
		began := time.Now()
		s.sync(0)
		s.expect("sg-shop", bound(1, 6))
		if took := time.Since(began); took < 2*time.Second {
			t.Errorf("asked again after %v", took)
		}

		// A member goes only if both answers lack it.
		answer, second = hosts(1, 1), hosts(2, 2)
		s.sync(0)
		s.expect("sg-shop", bound(1, 2))

		// Zero, twice.
		answer, second = nil, nil
		s.sync(0)
		s.expect("sg-shop", "")
		if polls != 7 {
			t.Errorf("%d polls, want one a pass and one a confirmation", polls)
		}
	})
}

func TestASecondAnswerThatFailsIsADoubt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		answer, fail := hosts(1, 6), false
		s := newSite(t, players{"prod": func(_ context.Context, _ string, fresh bool) (sources.Answer, error) {
			if fresh && fail {
				return sources.Answer{}, errors.New("503 Service Unavailable")
			}
			return known(answer), nil
		}}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		answer, fail = hosts(6, 6), true
		r := s.sync(1)
		s.expect("sg-shop", bound(1, 6))
		if r.Sources["prod"] == nil {
			t.Error("the source's failure is not told")
		}
	})
}

func TestASourceWhoseAppsAllDropToZeroIsNotBelieved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, lab := stage{}, stage{}
		var apps []sync.App
		p := atOnce
		p.AllowEmpty = true
		for _, name := range []string{"a", "b", "c"} {
			st[name], lab[name] = known(hosts(1, 2)), known(hosts(3, 4))
			apps = append(apps, sync.App{Name: name, Policy: p, From: []sync.From{{Source: "prod", Query: name}, {Source: "lab", Query: name}}})
		}
		s := newSite(t, players{"prod": st.play, "lab": lab.play}, apps...)
		s.sync(0)
		for name := range st {
			st[name] = known(nil)
		}
		s.sync(sync.ExitHeld)
		s.expect("sg-a", bound(1, 4))
		s.Apps[0].Policy.Forced = true
		s.sync(sync.ExitHeld)
		s.expect("sg-a", bound(3, 4))
		s.expect("sg-b", bound(1, 4))
		// One app alone may go: the others still lose nothing.
		st["b"], st["c"] = known(hosts(1, 2)), known(hosts(1, 2))
		s.Apps[0].Policy.Forced = false
		s.sync(0)
	})
}

func TestMaxRemoveHoldsTheRestGoesAhead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 10))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: sync.Policy{MaxRemove: sync.Limit{N: 3}}})
		s.sync(0)
		st["shop"] = known(hosts(8, 11))
		s.sync(sync.ExitHeld)
		s.expect("sg-shop", bound(1, 11))
		s.Apps[0].Policy.MaxRemove = sync.Limit{N: 100, Percent: true}
		s.sync(0)
		s.expect("sg-shop", bound(8, 11))
	})
}

// Scenarios 8 and 9: removal drains; a member that returns is enabled again; a
// later run, that knows nothing, unbinds.
func TestDrainByRunsThatKnowNothingOfEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		p := sync.Policy{Drain: 60 * time.Second, MaxRemove: sync.Limit{N: 75, Percent: true}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
		s.sync(0)
		st["shop"] = known(hosts(1, 1))
		s.sync(0)
		s.expect("sg-shop", "10.0.0.1:80, 10.0.0.2:80 GOING OUT OF SERVICE, 10.0.0.3:80 GOING OUT OF SERVICE")

		time.Sleep(30 * time.Second) // the bubble's clock
		st["shop"] = known(hosts(1, 2))
		r := s.sync(0)
		s.expect("sg-shop", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 GOING OUT OF SERVICE")
		if d := r.Outcomes[0].Plan.Draining; len(d) != 1 || d[0].Remaining <= 0 || d[0].Remaining > 30*time.Second {
			t.Errorf("draining: %+v", d)
		}

		time.Sleep(31 * time.Second)
		s.sync(0)
		s.expect("sg-shop", bound(1, 2))
	})
}

// Scenario 10: what an operator disabled stays so through a hundred runs.
func TestAnOperatorsDisableStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		if err := s.sims["edge"].Load(strings.NewReader("bind serviceGroup sg-shop 10.0.0.2 80 -state DISABLED\n")); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			r := s.sync(0)
			if n := len(r.Outcomes[0].Plan.Disabled); n != 1 {
				t.Fatalf("%d members are the operator's", n)
			}
		}
		s.expect("sg-shop", "10.0.0.1:80, 10.0.0.2:80 OUT OF SERVICE, 10.0.0.3:80")
	})
}

// Scenario 11: one app's group is missing; only this app fails.
func TestAMissingGroupFailsItsAppOnly(t *testing.T) {
	for _, apps := range []int{2, 10} { // by name, and in bulk
		t.Run(fmt.Sprint(apps, " apps"), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{}
				var list []sync.App
				for i := range apps {
					name := fmt.Sprintf("app%d", i)
					st[name] = known(hosts(1, 2))
					list = append(list, sync.App{Name: name, Policy: atOnce})
				}
				s := newSite(t, players{"prod": st.play}, list...)
				s.Apps[0].Group = "sg-missing"
				r := s.sync(1)
				if err := r.Outcomes[0].Err; !errors.Is(err, netscaler.ErrNoGroup) || !strings.Contains(err.Error(), "sg-missing") {
					t.Errorf("error %v", err)
				}
				s.expect("sg-app1", bound(1, 2))
			})
		})
	}
}

// Scenario 15: foreign members in a shared group.
func TestForeignMembersAreUntouched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		p := atOnce
		p.Only = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
		conf := "add server db db.example.com\nbind serviceGroup sg-shop db 80\nbind serviceGroup sg-shop 192.0.2.7 80\nbind serviceGroup sg-shop 10.0.0.9 80\n"
		if err := s.sims["edge"].Load(strings.NewReader(conf)); err != nil {
			t.Fatal(err)
		}
		r := s.sync(0)
		got := s.members("sg-shop")
		if !strings.Contains(got, "192.0.2.7:80") || strings.Contains(got, "10.0.0.9:80") || !strings.Contains(got, bound(1, 2)) {
			t.Errorf("%s", got)
		}
		if n := len(r.Outcomes[0].Plan.NotOurs); n != 2 {
			t.Errorf("%d members are foreign", n)
		}
	})
}

// Scenario 13: somebody else was quicker.
func TestBoundAlreadyAndGoneAlreadyAreNoFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		other := s.client("edge", "secret", false)
		ctx := t.Context()
		quick := func(op netscaler.Op, host int) {
			e := hosts(host, host)[0]
			for _, err := range other.Do(ctx, op, []netscaler.Change{{Op: op, Group: "sg-shop", Member: netscaler.Member{Addr: e.Addr, Server: e.Addr.Addr().String(), Weight: 1}}}) {
				if err != nil {
					t.Error(err)
				}
			}
		}
		st["shop"] = known(hosts(2, 5))
		plan := s.Plan(ctx, nil)
		quick(netscaler.Bind, 5)
		quick(netscaler.Unbind, 1)
		for _, c := range plan.Outcomes[0].Plan.Changes {
			// The NetScaler says that there is nothing to do; a look shows it.
			errs := s.NetScalers["edge"].Client.Do(ctx, c.Op, []netscaler.Change{c})
			groups, err := other.Read(ctx, []string{"sg-shop"})
			if err != nil {
				t.Fatal(err)
			}
			now, err := groups.Members("sg-shop")
			if !errors.Is(errs[0], netscaler.ErrUnsure) || err != nil || !sync.InEffect(c, now) {
				t.Errorf("%v: %v; %v", c.Op, errs[0], err)
			}
		}
		if err := other.Close(ctx); err != nil {
			t.Error(err)
		}
		s.sync(0)
		s.expect("sg-shop", bound(2, 5))
	})
}

// Scenario 7: all members are replaced, and the new ones take a while to come
// up; the pool never falls below what serves.
func TestAFullReplacementWaitsForTheNewMembers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		p := atOnce
		p.WaitUp = 10 * time.Second
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
		s.sync(0)
		sim := s.sims["edge"]
		for _, e := range hosts(11, 14) {
			sim.SetUp("sg-shop", e.Addr, false)
		}
		time.AfterFunc(5*time.Second, func() {
			for _, e := range hosts(11, 12) {
				sim.SetUp("sg-shop", e.Addr, true)
			}
		})
		sim.ResetMin()
		st["shop"] = known(hosts(11, 14))
		began := time.Now()
		s.sync(0)
		if took := time.Since(began); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("took %v: the new members are UP after 5 s", took)
		}
		s.expect("sg-shop", bound(11, 14))
		if n := sim.MinEnabled("sg-shop"); n < 4 {
			t.Errorf("%d members were enabled at the least", n)
		}

		// They never come up: the pass goes on after wait_up.
		for _, e := range hosts(21, 24) {
			sim.SetUp("sg-shop", e.Addr, false)
		}
		st["shop"] = known(hosts(21, 24))
		began = time.Now()
		s.sync(0)
		if took := time.Since(began); took < 10*time.Second || took > 14*time.Second {
			t.Errorf("took %v with a wait_up of 10s", took)
		}
		s.expect("sg-shop", bound(21, 24))
	})
}

func TestAFailedBindStopsTheRemovalsOfItsGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce})
		s.sync(0)
		st["shop"], st["cart"] = known(hosts(3, 6)), known(hosts(3, 4))
		// One of the two binds is refused: the group is full.
		s.sims["edge"].SetFault(simulator.Fault{Command: `^bind serviceGroup sg-shop 10\.0\.0\.6 80`, Code: 435})
		r := s.sync(1)
		s.expect("sg-shop", bound(1, 5))
		s.expect("sg-cart", bound(3, 4))
		if err := r.Outcomes[0].Done[1].Err; err == nil || !strings.Contains(err.Error(), "435") {
			t.Errorf("the refused bind says %v", err)
		}
		s.sims["edge"].ClearFaults()
		s.sync(0)
		s.expect("sg-shop", bound(3, 6))
	})
}

func TestASlowSourceHoldsUpItsOwnAppsOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 2))}
		began := time.Now()
		s := newSite(t, players{
			"prod": st.play,
			"slow": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
				select {
				case <-time.After(10 * time.Second):
					return st.play(ctx, app, fresh)
				case <-ctx.Done():
					return sources.Answer{}, ctx.Err()
				}
			},
		}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce, From: []sync.From{{Source: "slow", Query: "cart"}}})
		early := make(chan string, 1)
		time.AfterFunc(3*time.Second, func() { early <- s.members("sg-shop") })
		s.sync(0)
		if got := <-early; got != bound(1, 2) {
			t.Errorf("after 3 s sg-shop has %q", got)
		}
		s.expect("sg-cart", bound(1, 2))
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestASourceThatHangsIsAFailureAfterItsTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		s := newSite(t, players{"prod": func(context.Context, string, bool) (sources.Answer, error) {
			<-release // does not heed its context
			return sources.Answer{}, nil
		}}, sync.App{Name: "shop", Policy: atOnce})
		r := s.sync(1)
		if err := r.Sources["prod"]; err == nil || !strings.Contains(err.Error(), "15s") {
			t.Errorf("error %v", err)
		}
	})
}

func TestANetScalerThatIsDownHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", NetScalers: []string{"edge", "core"}, Policy: atOnce})
		s.sims["core"].SetFault(simulator.Fault{Hang: true})
		early := make(chan string, 1)
		time.AfterFunc(3*time.Second, func() { early <- s.members("sg-shop") })
		r := s.Sync(t.Context(), nil)
		if got := <-early; got != bound(1, 2) {
			t.Errorf("after 3 s sg-shop on edge has %q", got)
		}
		if r.Exit(false) != 1 || r.NetScalers["core"] == nil || r.NetScalers["edge"] != nil {
			t.Errorf("exit %d, netscalers %v", r.Exit(false), r.NetScalers)
		}
		s.sims["core"].ClearFaults()
		time.Sleep(time.Minute)
		s.end(s.Sync(t.Context(), nil), 0)
	})
}

// Scenario 25: a dry run with every fault on only reads.
func TestADryRunOnlyReads(t *testing.T) {
	faults := []simulator.Fault{
		{}, // none
		{Method: "GET", Status: 503, RawBody: "<html>starting</html>", ContentType: "text/html"},
		{Method: "GET", Status: 401, Code: 444, Message: "Session expired or killed. Please login again", Times: 1},
		{Method: "GET", DropBefore: true},
		{Method: "GET", DropAfterApply: true},
		{Method: "GET", Hang: true},
		{Method: "GET", Status: 403, Code: 2138, Message: "Not authorized to execute this command [show serviceGroup]"},
		{Method: "GET", RawBody: "<html>hello</html>", ContentType: "text/html", Status: 200},
		{Method: "POST", Type: "login", Status: 401, Code: 354, Message: "Invalid username or password"},
		{Method: "POST", Type: "logout", Status: 500},
	}
	for i, f := range faults {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4))}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
				s.sync(0)
				st["shop"] = known(hosts(3, 8))
				sim := s.sims["edge"]
				sim.ResetCalls()
				if i > 0 {
					sim.SetFault(f)
				}
				s.NetScalers["edge"].Client = s.client("edge", "secret", true)
				for range 3 {
					r := s.Plan(t.Context(), nil)
					if i == 0 && r.Exit(true) != sync.ExitDrift {
						t.Errorf("exit %d", r.Exit(true))
					}
				}
				_ = s.Close(t.Context()) // fails where the fault is the logout's
				for _, c := range sim.Calls() {
					if c.Method != "GET" && c.Type != "login" && c.Type != "logout" {
						t.Errorf("a dry run sent %s %s", c.Method, c.Path)
					}
				}
				s.expect("sg-shop", bound(1, 4))
			})
		})
	}
	t.Run("its client refuses to write", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 4))}
			s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
			s.NetScalers["edge"].Client = s.client("edge", "secret", true)
			s.end(s.Sync(t.Context(), nil), 1)
			s.expect("sg-shop", "")
		})
	})
}

// Scenario 19: the session expires in the middle of a run.
func TestASessionThatDiesIsRenewedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		sim := s.sims["edge"]
		sim.SetFault(simulator.Fault{Method: "PUT|POST", Type: "servicegroup_servicegroupmember_binding", Times: 1, KillSession: true})
		s.sync(0)
		s.expect("sg-shop", bound(1, 4))
		logins := 0
		for _, c := range sim.Calls() {
			if c.Type == "login" {
				logins++
			}
		}
		if logins != 2 {
			t.Errorf("%d logins", logins)
		}
	})
}

func TestABusyNetScalerIsTriedAgainAndThenLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		busy := simulator.Fault{Method: "PUT|POST", Type: "servicegroup_servicegroupmember_binding", Status: 599, Code: 291, Message: "Resource temporarily unavailable", Times: 2}
		s.sims["edge"].SetFault(busy)
		s.sync(0)
		s.expect("sg-shop", bound(1, 4))

		busy.Times = 0
		s.sims["edge"].SetFault(busy)
		s.sims["edge"].ResetCalls()
		st["shop"] = known(hosts(1, 5))
		r := s.sync(1)
		if r.NetScalers["edge"] == nil {
			t.Error("the NetScaler's trouble is not told")
		}
		binds := 0
		for _, c := range s.sims["edge"].Calls() {
			if c.Type == "servicegroup_servicegroupmember_binding" && c.Method != "GET" {
				binds++
			}
		}
		if binds != 4 {
			t.Errorf("%d tries, want 4", binds)
		}
	})
}

// The reply to a write is lost: reading again tells.
func TestALostReplyIsResolvedByReadingAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault simulator.Fault
		exit  int
	}{
		{"after the write", simulator.Fault{DropAfterApply: true}, 0},
		{"before the write", simulator.Fault{DropBefore: true}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4))}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
				s.sync(0)
				st["shop"] = known(hosts(2, 5))
				c.fault.Method, c.fault.Type, c.fault.Times = "PUT|POST", "servicegroup_servicegroupmember_binding", 1
				s.sims["edge"].SetFault(c.fault)
				s.sync(c.exit)
				if c.exit == 0 {
					s.expect("sg-shop", bound(2, 5))
				} else {
					s.expect("sg-shop", bound(1, 4)) // not added, so nothing is removed
				}
				s.sims["edge"].ClearFaults()
				s.sync(0)
				s.expect("sg-shop", bound(2, 5))
			})
		})
	}
}

// Scenario 30: two copies at once end in the same state.
func TestTwoCopiesAtOnceEndInTheSameState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 8))}
		one := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		one.sync(0)
		two := &site{t: t, sims: one.sims, Syncer: &sync.Syncer{Sources: one.Sources, Apps: one.Apps, NetScalers: map[string]*sync.NetScaler{"edge": {Client: one.client("edge", "secret", false), Save: true}}}}
		st["shop"] = known(hosts(5, 12))
		done := make(chan sync.Result)
		go func() { done <- two.Sync(t.Context(), nil) }()
		first := one.Sync(t.Context(), nil)
		second := <-done
		for _, r := range []sync.Result{first, second} {
			if code := r.Exit(false); code != 0 {
				t.Errorf("exit %d: %v", code, r.Outcomes[0].Done)
			}
		}
		_ = two.Close(t.Context()) // both use one set of simulators; the sessions are counted below
		one.end(one.Sync(t.Context(), nil), 0)
		one.expect("sg-shop", bound(5, 12))
	})
}

// Scenario 21 as far as it concerns the core: a run is cut off after each
// call in turn, with the reply lost or not; the next run converges.
func TestCutOffAfterAnyCallTheNextRunConverges(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for cut := 1; ; cut++ {
			calls := 0
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(1, 4))}
				p := sync.Policy{Drain: 30 * time.Second, MaxRemove: sync.Limit{N: 75, Percent: true}}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p}, sync.App{Name: "cart", Policy: atOnce})
				s.sync(0)
				st["shop"], st["cart"] = known(hosts(3, 5)), known(hosts(2, 6))
				sim := s.sims["edge"]
				sim.ResetCalls()
				sim.ResetMin()
				sim.SetFault(simulator.Fault{Skip: cut, DropAfterApply: applied, DropBefore: !applied})
				s.Sync(t.Context(), nil)
				calls = len(sim.Calls())
				sim.ClearFaults()
				sim.KillSessions()                                                                            // those of a process that is gone time out
				s.NetScalers["edge"] = &sync.NetScaler{Client: s.client("edge", "secret", false), Save: true} // another process
				s.sync(0)
				time.Sleep(31 * time.Second)
				s.sync(0)
				s.expect("sg-shop", bound(3, 5))
				s.expect("sg-cart", bound(2, 6))
				for _, g := range []string{"sg-shop", "sg-cart"} {
					if n := sim.MinEnabled(g); n < 3 {
						t.Errorf("cut off at call %d: %s had %d enabled members", cut, g, n)
					}
				}
			})
			if calls < cut || t.Failed() {
				break
			}
		}
	}
}

func TestStoppedInTheMiddleItFinishesTheChangeInHandAndSaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		st["shop"] = known(hosts(3, 6))
		ctx, cancel := context.WithCancelCause(t.Context())
		s.sims["edge"].SetFault(simulator.Fault{Method: "PUT|POST", Type: "servicegroup_servicegroupmember_binding", Delay: 2 * time.Second, Times: 1})
		time.AfterFunc(time.Second, func() { cancel(errors.New("terminated")) })
		r := s.Sync(ctx, nil)
		s.end(r, 1)
		s.expect("sg-shop", bound(1, 6))
		if !s.sims["edge"].Saved() {
			t.Error("what was done is not saved")
		}
	})
}

// Two entries of the mapping are two partitions of one appliance: it never has
// two sessions, nor two writers.
func TestPartitionsOfOneApplianceTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 3))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce, NetScalers: []string{"other"}})
		sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}, MaxSessions: 1})
		sim.AddGroup("sg-shop")
		sim.AddGroup("sg-cart")
		for _, name := range []string{"edge", "other"} {
			s.sims[name] = sim
			s.NetScalers[name] = &sync.NetScaler{Client: s.client(name, "secret", false), Appliance: "edge", Save: true}
		}
		for range 2 {
			if r := s.Sync(t.Context(), nil); r.Exit(false) != 0 {
				t.Errorf("exit %d: %v", r.Exit(false), r.NetScalers)
			}
		}
		s.expect("sg-shop", bound(1, 2))
		s.expect("sg-cart", bound(1, 3))
	})
}

func TestPausedAppsArePlannedAndNotApplied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		p := atOnce
		p.Paused = true
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
		r := s.sync(0)
		s.expect("sg-shop", "")
		if len(r.Outcomes[0].Plan.Changes) != 4 || r.Outcomes[0].Status() != sync.Pending {
			t.Errorf("%+v", r.Outcomes[0].Plan)
		}
	})
}

func TestAFailedSaveIsAFailureAndALoopSavesLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		sim := s.sims["edge"]
		sim.SetFault(simulator.Fault{Method: "POST", Type: "nsconfig", Status: 599, Code: 1043, Message: "Internal error"})
		r := s.Sync(t.Context(), nil)
		if r.Exit(false) != 1 || r.NetScalers["edge"] == nil || sim.Saved() {
			t.Errorf("exit %d, %v", r.Exit(false), r.NetScalers)
		}
		sim.ClearFaults()
		if r := s.Sync(t.Context(), nil); r.Exit(false) != 0 || !sim.Saved() {
			t.Errorf("the next pass of a loop: exit %d, saved %v", r.Exit(false), sim.Saved())
		}
		// At most once per save_every, and at the end.
		st["shop"] = known(hosts(1, 5))
		s.Sync(t.Context(), nil)
		if sim.Saved() {
			t.Error("saved twice within save_every")
		}
		if err := s.Close(t.Context()); err != nil || !sim.Saved() {
			t.Errorf("closed: %v, saved %v", err, sim.Saved())
		}
	})
}
