package sync_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// told watches a source whose queries are names of apps, and hints at those of an
// app.
func told(s *site, source string) (hint func(app string)) {
	events := make(chan string)
	src := s.Sources[source]
	src.Watch = func(ctx context.Context, queries []any, changed func([]int)) error {
		changed(nil)
		for {
			select {
			case app := <-events:
				var which []int
				for i, q := range queries {
					if q == app {
						which = append(which, i)
					}
				}
				changed(which)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	s.Sources[source] = src
	return func(app string) { events <- app }
}

// has waits until a group of a NetScaler has so many members, and says how long.
func (s *site) has(netscaler, group string, n int) time.Duration {
	began := time.Now()
	for len(s.sims[netscaler].Members(group)) != n {
		time.Sleep(time.Millisecond)
		if time.Since(began) > 4*time.Minute {
			s.t.Errorf("%s on %s has %d members, want %d", group, netscaler, len(s.sims[netscaler].Members(group)), n)
			break
		}
	}
	return time.Since(began)
}

// TestANetScalerThatHangsHoldsUpNoEvent: not of others, also not where its apps are
// on both, whatever pass it is that hangs; and what passes found is reported in
// the order in which they found it, once.
func TestANetScalerThatHangsHoldsUpNoEvent(t *testing.T) {
	for name, c := range map[string]struct {
		from time.Duration // when core begins to hang
		wake string        // the app whose event finds it so; "": the interval does
	}{
		"from the beginning":      {},
		"in a pass of its own":    {time.Minute, "cart"},
		"in a pass of all":        {time.Minute, ""},
		"in a pass of the same":   {time.Minute, "both"},
		"in a pass for the event": {time.Minute, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := &live{stage: stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 2)), "both": known(hosts(1, 2))}}
				s := newSite(t, players{"prod": st.play},
					sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce, NetScalers: []string{"core"}},
					sync.App{Name: "both", Policy: atOnce, NetScalers: []string{"edge", "core"}})
				hint := told(s, "prod")
				every := time.Minute
				if c.wake != "" {
					every = 3 * time.Minute
				}
				r := newRun(s, every)
				r.Watch = true
				go func() {
					time.Sleep(c.from)
					s.sims["core"].SetFault(simulator.Fault{Hang: true})
					switch c.wake {
					case "":
						time.Sleep(10 * time.Second)
					case "-":
					default:
						hint(c.wake)
						time.Sleep(2 * time.Second)
					}
					for i, app := range []string{"shop", "both", "both", "shop"} {
						st.set(app, known(hosts(1, 3+i)))
						hint(app)
						if took := s.has("edge", "sg-"+app, 3+i); took > 500*time.Millisecond {
							t.Errorf("event %d, of %s: bound after %v", i, app, took)
						}
						time.Sleep(3 * time.Second)
					}
					time.Sleep(time.Minute)
					s.sims["core"].ClearFaults()
				}()
				r.during(10 * time.Minute)
				for _, name := range []string{"edge", "core"} {
					s.has(name, "sg-both", 5)
				}
				// What each change left behind, in the order of the reports.
				size, changes := 0, 0
				for _, result := range r.reports {
					for _, o := range result.Outcomes {
						if o.App.Name != "both" || o.NetScaler != "edge" {
							continue
						}
						if n := len(o.Actual); n < size {
							t.Errorf("a report of %d members after one of %d", n, size)
						} else {
							size = n
						}
						changes += len(o.Done)
					}
				}
				if changes != 5 {
					t.Errorf("%d changes of both on edge were reported, want 5", changes)
				}
			})
		})
	}
}

// TestASourceThatCollapsesIsSeenInAPassOfFew: each of its apps may be hinted at by
// itself.
func TestASourceThatCollapsesIsSeenInAPassOfFew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{}}
		policy := atOnce
		policy.AllowEmpty = true
		var apps []sync.App
		for _, name := range []string{"shop", "cart", "blog"} {
			st.set(name, known(hosts(1, 2)))
			apps = append(apps, sync.App{Name: name, Policy: policy})
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		hint := told(s, "prod")
		r := newRun(s, time.Hour)
		r.Watch = true
		go func() {
			time.Sleep(time.Minute)
			st.set("shop", known(nil))
			hint("shop")
			time.Sleep(time.Minute)
			s.expect("sg-shop", "") // one of three, as may be
			for _, app := range []string{"cart", "blog"} {
				st.set(app, known(nil))
			}
			st.set("shop", known(hosts(1, 2)))
			hint("shop")
			time.Sleep(time.Minute)
			s.expect("sg-shop", bound(1, 2))
			st.set("shop", known(nil))
			for _, app := range []string{"cart", "shop", "blog"} {
				hint(app)
				time.Sleep(time.Minute)
			}
		}()
		r.during(10 * time.Minute)
		for _, name := range []string{"shop", "cart", "blog"} {
			s.expect("sg-"+name, bound(1, 2))
		}
		if held := r.reports[len(r.reports)-1].Outcomes; len(held) != 1 || !strings.Contains(fmt.Sprint(held[0].Plan.HeldBy), "source prod returned nothing for all of its 3 apps at once") {
			t.Errorf("held by %v", held)
		}
	})
}

// TestPassesOfTwoEntriesForOneApplianceTakeTurns also where one of the entries says
// only in the middle of a pass that it is.
func TestPassesOfTwoEntriesForOneApplianceTakeTurns(t *testing.T) {
	for name, late := range map[string]time.Duration{"known": 0, "late": 5 * time.Second, "in the next pass": 70 * time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := &live{stage: stage{"shop": known(hosts(1, 4)), "cart": known(hosts(5, 8))}}
				s := twice(t, players{"prod": st.play}, []string{"", ""}, []string{"add serviceGroup sg-cart HTTP"},
					sync.App{Name: "shop", Group: "sg-shop", Policy: atOnce}, sync.App{Name: "cart", Group: "sg-cart", Policy: atOnce, NetScalers: []string{"alias"}})
				if late > 0 {
					s.sims["edge"].SetFault(simulator.Fault{Method: "GET", Type: "hanode", Skip: 1, Times: 1 + int(late/(30*time.Second)), Delay: min(late, 9*time.Second)})
				}
				hint := told(s, "prod")
				r := newRun(s, time.Minute)
				r.Watch = true
				go func() {
					for i := range 40 {
						time.Sleep(5 * time.Second)
						st.set("shop", known(hosts(1, 3+i%2)))
						st.set("cart", known(hosts(5, 8-i%2)))
						hint("shop")
						hint("cart")
					}
				}()
				go func() {
					time.Sleep(2*time.Minute + 2*time.Second)
					s.sims["edge"].ResetCalls()
				}()
				r.during(4 * time.Minute)
				s.expect("sg-shop", bound(1, 4))
				s.expect("sg-cart", bound(5, 7))
				now, most := 0, 0
				for _, call := range s.sims["edge"].Calls() {
					switch call.Type {
					case "login":
						now++
					case "logout":
						now--
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

// TestAnEventCostsWhatItChanges: the same calls, and the same questions, however many
// apps there are.
func TestAnEventCostsWhatItChanges(t *testing.T) {
	var costs []string
	for _, n := range []int{10, 300} {
		bubble(t, func(t *testing.T) {
			st := &live{stage: stage{}}
			var apps []sync.App
			for i := range n {
				name := fmt.Sprint("app-", i)
				st.set(name, known(hosts(1, 10)))
				apps = append(apps, sync.App{Name: name, Policy: atOnce})
			}
			s := newSite(t, players{"prod": st.play}, apps...)
			var asked atomic.Int64
			src := s.Sources["prod"]
			poll := src.Poll
			src.Poll = func(ctx context.Context, queries []any, fresh bool) ([]sources.Answer, error) {
				asked.Add(int64(len(queries)))
				return poll(ctx, queries, fresh)
			}
			s.Sources["prod"] = src
			hint := told(s, "prod")
			r := newRun(s, time.Hour)
			r.Watch = true
			go func() {
				time.Sleep(10 * time.Minute)
				s.sims["edge"].ResetCalls()
				asked.Store(0)
				st.set("app-7", known(hosts(2, 11)))
				hint("app-7")
				time.Sleep(time.Minute)
				s.expect("sg-app-7", bound(2, 11))
				costs = append(costs, fmt.Sprintf("%d queries, calls %v", asked.Load(), kinds(s.sims["edge"].Calls())))
			}()
			r.during(15 * time.Minute)
			if last := r.passes[len(r.passes)-1]; strings.Join(last.apps, " ") != "app-7" {
				t.Errorf("the pass was of %v", last.apps)
			}
		})
	}
	if t.Log(costs[0]); costs[0] != costs[1] || !strings.HasPrefix(costs[0], "1 queries, ") {
		t.Errorf("costs %q", costs)
	}
}
