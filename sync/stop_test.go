package sync_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/sourcetest"
	"nitrox/sync"
)

// A wire is the way to the NetScalers of a site, of which each call takes a while. At one
// of its moments, which are those at which a call begins or has been answered, something
// happens.
type wire struct {
	mu     stdsync.Mutex
	at     int // the moment; 0: none
	seen   int
	does   func()
	hangs  string   // "that": the call of that moment is never answered; "all": nor is any after it
	dead   bool     // no call is answered any more
	hung   string   // the last call that was not answered
	cut    []string // calls that were given up before their answer came
	logins int
	outs   int
}

func (w *wire) moment() (dead bool) {
	w.mu.Lock()
	w.seen++
	now := w.seen == w.at
	w.dead = w.dead || now && w.hangs == "all"
	dead = w.dead || now && w.hangs == "that"
	w.mu.Unlock()
	if now {
		w.does()
	}
	return dead
}

type wired struct {
	*wire
	http.RoundTripper
}

func (w wired) RoundTrip(r *http.Request) (*http.Response, error) {
	call := r.Method + " " + r.URL.Path
	if w.moment() {
		w.mu.Lock()
		w.hung = call
		w.mu.Unlock()
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	time.Sleep(20 * time.Millisecond)
	if r.Context().Err() != nil {
		w.gaveUp(call)
	}
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/login") {
		w.mu.Lock()
		w.logins++
		w.mu.Unlock()
	}
	if err == nil && strings.HasSuffix(r.URL.Path, "/logout") {
		w.mu.Lock()
		w.outs++
		w.mu.Unlock()
	}
	w.moment()
	return resp, err
}

func (w *wire) gaveUp(call string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = append(w.cut, call)
}

// wire has all calls of a site go over one.
func (s *site) wire(readOnly bool) *wire {
	w := &wire{}
	for name := range s.NetScalers {
		c, err := netscaler.Open(netscaler.Config{
			URLs: []string{"http://" + name + ".test"}, Username: "nitrox", Password: netscaler.SecretText("secret"),
			Transport: wired{w, s.sims[name].Transport()}, ReadOnly: readOnly,
		})
		if err != nil {
			s.t.Fatal(err)
		}
		s.NetScalers[name] = &sync.NetScaler{Client: c, Save: true}
	}
	return w
}

// after waits, and says whether the test still goes on.
func after(t *testing.T, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-t.Context().Done():
		return false
	}
}

var stops = map[string]func(t *testing.T) (*run, *wire, time.Duration){
	"changes of every kind on two NetScalers": func(t *testing.T) (*run, *wire, time.Duration) {
		st := &live{stage: stage{"shop": known(hosts(3, 8)), "cart": known(hosts(1, 2)), "list": known(hosts(2, 5))}}
		p := sync.Policy{MaxRemove: sync.Limit{N: 75, Percent: true}, Drain: 5 * time.Second, WaitUp: 3 * time.Second}
		s := newSite(t, players{"prod": st.play, "lab": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
			select {
			case <-time.After(1500 * time.Millisecond):
				return st.play(ctx, app, fresh)
			case <-ctx.Done():
				return sources.Answer{}, ctx.Err()
			}
		}}, sync.App{Name: "shop", Policy: p, NetScalers: []string{"edge", "dmz"}},
			sync.App{Name: "cart", Policy: p, From: []sync.From{{Source: "lab", Query: "cart"}}},
			sync.App{Name: "list", Policy: p})
		for name, sim := range s.sims {
			conf := "bind serviceGroup sg-shop 10.0.0.1 80\nbind serviceGroup sg-shop 10.0.0.2 80\nbind serviceGroup sg-shop 10.0.0.3 80\nbind serviceGroup sg-shop 10.0.0.4 80\n" +
				"bind serviceGroup sg-shop 10.0.0.5 80 -CustomServerID nitrox-10.0.0.5-80 -state DISABLED\n"
			if name == "edge" {
				conf += "bind serviceGroup sg-cart 10.0.0.7 80\nadd serviceGroup sg-api HTTP -autoscale API\nbind serviceGroup sg-api 10.0.0.1 80\nbind serviceGroup sg-api 10.0.0.2 80\nbind serviceGroup sg-api 10.0.0.3 80\n"
			}
			if err := sim.Load(strings.NewReader(conf)); err != nil {
				t.Fatal(err)
			}
		}
		s.Apps[2].Group = "sg-api"
		w := s.wire(false)
		return newRun(s, time.Minute), w, 20 * time.Second
	},
	"events": func(t *testing.T) (*run, *wire, time.Duration) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce, NetScalers: []string{"edge", "dmz"}})
		w := s.wire(false)
		prod := watched(s, "prod")
		r := newRun(s, 20*time.Second)
		r.Watch = true
		go func() {
			for i := range 4 {
				if !after(t, 2*time.Second) {
					return
				}
				st.set("shop", known(hosts(1, 3+i)))
				select {
				case prod.changed <- struct{}{}:
				case <-t.Context().Done():
				}
			}
		}()
		return r, w, 25 * time.Second
	},
	"discovery": func(t *testing.T) (*run, *wire, time.Duration) {
		c := newCluster("shop/web", "shop/api")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod"))
		w := s.wire(false)
		r := newRun(s, 10*time.Second)
		r.Watch = true
		go func() {
			if !after(t, 5*time.Second) {
				return
			}
			c.label("shop/new", "10.0.0.7:80")
			select {
			case c.changed <- struct{}{}:
			case <-t.Context().Done():
			}
		}()
		return r, w, 25 * time.Second
	},
	"a mapping that is reloaded": func(t *testing.T) (*run, *wire, time.Duration) {
		st := &live{stage: stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		w := s.wire(false)
		r := newRun(s, 10*time.Second)
		reload := make(chan *sync.Syncer)
		r.Reload = reload
		go func() {
			for range 3 {
				if !after(t, 1930*time.Millisecond) {
					return
				}
				next := &sync.Syncer{Sources: s.Sources, NetScalers: map[string]*sync.NetScaler{}, Apps: s.Apps}
				c, err := netscaler.Open(netscaler.Config{URLs: []string{"http://edge.test"}, Username: "nitrox", Password: netscaler.SecretText("secret"),
					Transport: wired{w, s.sims["edge"].Transport()}})
				if err != nil {
					panic(err)
				}
				next.NetScalers["edge"] = &sync.NetScaler{Client: c, Save: true}
				select {
				case reload <- next:
				case <-t.Context().Done():
				}
			}
		}()
		return r, w, 15 * time.Second
	},
	"plans": func(t *testing.T) (*run, *wire, time.Duration) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce, NetScalers: []string{"edge", "dmz"}})
		w := s.wire(true)
		r := newRun(s, 10*time.Second)
		r.Loop.Pass = func(ctx context.Context, s *sync.Syncer, part *sync.Part) sync.Result { return s.Plan(ctx, part) }
		return r, w, 12 * time.Second
	},
}

// A loop that is told to stop at any moment of any call ends, with its sessions ended, its
// writes whole and no pass begun after it.
func TestTheLoopEndsAtAnyMoment(t *testing.T) {
	for name, scene := range stops {
		for _, hangs := range []string{"nothing", "that", "all"} {
			t.Run(fmt.Sprintf("%s, hangs %s", name, hangs), func(t *testing.T) {
				step := 1
				if testing.Short() || sourcetest.UnderRace {
					step = 7
				}
				for n, more := 1, true; more; n += step {
					bubble(t, func(t *testing.T) { more = stopAt(t, scene, n, hangs) })
					if !more && n < 20 {
						t.Errorf("only %d moments", n)
					}
				}
			})
		}
	}
}

func stopAt(t *testing.T, scene func(*testing.T) (*run, *wire, time.Duration), n int, hangs string) (more bool) {
	r, w, during := scene(t)
	ctx, end := context.WithTimeout(t.Context(), during)
	defer end()
	w.at, w.hangs, w.does = n, hangs, end
	told := make(chan time.Time, 1)
	context.AfterFunc(ctx, func() { told <- time.Now() })
	pass := r.Pass
	r.Pass = func(of context.Context, s *sync.Syncer, part *sync.Part) sync.Result {
		if of.Err() != nil {
			t.Errorf("moment %d: a pass begins although it was told to stop", n)
		}
		return pass(of, s, part)
	}
	last := r.Run(ctx, r.site.Syncer)
	err := last.Close(ctx)
	took := time.Since(<-told)
	time.Sleep(5 * time.Minute) // what was left behind would show
	limit := time.Second
	if hangs != "nothing" { // what supervisors wait, less what a lease, news and /metrics may take
		limit = 40 * time.Second
	}
	if took > limit {
		t.Errorf("moment %d: it ended %v after it was told", n, took)
	}
	if hangs == "all" || strings.HasSuffix(w.hung, "/logout") {
		return w.seen >= n
	}
	if hangs == "nothing" && err != nil {
		t.Errorf("moment %d: %v", n, err)
	}
	for name, sim := range r.site.sims {
		if sim.Sessions() != 0 {
			t.Errorf("moment %d: %d sessions are left on %s", n, sim.Sessions(), name)
		}
		if !sim.Saved() && slices.ContainsFunc(sim.Calls(), func(c simulator.Call) bool {
			return c.Method != "GET" && !slices.Contains([]string{"login", "logout"}, c.Type)
		}) {
			t.Errorf("moment %d: not saved on %s", n, name)
		}
	}
	if w.logins != w.outs {
		t.Errorf("moment %d: %d log-ins, %d log-outs", n, w.logins, w.outs)
	}
	if hangs == "that" {
		return w.seen >= n
	}
	for _, call := range w.cut {
		if !strings.HasPrefix(call, "GET") {
			t.Errorf("moment %d: cut: %s", n, call)
		}
	}
	for _, result := range r.reports {
		for name, err := range result.NetScalers {
			if err != nil && !strings.Contains(err.Error(), "context ") {
				t.Errorf("moment %d: %s: %v", n, name, err)
			}
		}
	}
	return w.seen >= n
}

// Who is only asked which appliance it is, and takes longer than the pass, is logged out of
// when that ends, and not logged in to again: the process may end just then.
func TestWhoWasOnlyAskedWhichApplianceItIsIsLeftToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2)), "cart": known(hosts(3, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Group: "sg-x", Policy: atOnce},
			sync.App{Name: "cart", Group: "sg-x", Policy: atOnce, NetScalers: []string{"alias"}})
		s.sims["alias"].SetFault(simulator.Fault{Type: "login", Delay: 3 * time.Second, Times: 1})
		s.Sync(t.Context(), &sync.Part{Apps: []string{"shop"}})
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if calls := kinds(s.sims["alias"].Calls()); !slices.Equal(calls, []string{"POST login", "POST logout"}) {
			t.Errorf("calls: %v", calls)
		}
	})
}

// NetScalers that hang are waited for together, however many they are.
func TestManyNetScalersThatHangAreLeftAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce, NetScalers: []string{"edge", "a", "b", "c", "d", "e", "f"}})
		s.Sync(t.Context(), nil)
		for _, sim := range s.sims {
			sim.SetFault(simulator.Fault{Type: "logout", Hang: true})
		}
		began := time.Now()
		if err := s.Close(t.Context()); err == nil {
			t.Error("it is not said")
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A run that is told to stop after its pass was late ends as soon as any other: what the pass
// had begun at its deadline is not let go on as if nobody waited.
func TestAPassThatIsLateEndsWhenToldTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		w := s.wire(false)
		c, err := netscaler.Open(netscaler.Config{URLs: []string{"http://edge.test"}, Username: "nitrox", Password: netscaler.SecretText("secret"),
			Transport: wired{w, s.sims["edge"].Transport()}, Timeout: 10 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		s.NetScalers["edge"].Client = c
		s.sims["edge"].SetFault(simulator.Fault{Method: "PUT", Type: "servicegroup_servicegroupmember_binding", Hang: true})
		ctx, tell := context.WithCancel(t.Context())
		limited, cancel := sync.WithDeadline(ctx)
		defer cancel()
		var told time.Time
		time.AfterFunc(sync.Deadline+time.Second, func() { told = time.Now(); tell() })
		s.Sync(limited, nil)
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(told); took > 40*time.Second {
			t.Errorf("it ended %v after it was told", took)
		}
	})
}

// What cannot be saved in time for a call that hung is saved at the end, and nobody is told that
// it is not.
func TestASaveForWhichACallLeftNoTimeIsMadeAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2)), "cart": known(hosts(3, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce})
		c, err := netscaler.Open(netscaler.Config{URLs: []string{"http://edge.test"}, Username: "nitrox", Password: netscaler.SecretText("secret"),
			Transport: s.sims["edge"].Transport(), Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		s.NetScalers["edge"].Client = c
		s.sims["edge"].SetFault(simulator.Fault{Method: "PUT|POST|DELETE", Type: "servicegroup.*", Hang: true, Skip: 1, Times: 1})
		s.command("bind serviceGroup sg-cart 10.0.0.7 80")
		ctx, tell := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, tell)
		r := s.Sync(ctx, nil)
		if why := r.NetScalers["edge"]; why != nil && strings.Contains(why.Error(), "a reboot would lose them") {
			t.Error(why)
		}
		if err := s.Close(ctx); err != nil || !s.sims["edge"].Saved() {
			t.Errorf("saved %v: %v", s.sims["edge"].Saved(), err)
		}
	})
}
