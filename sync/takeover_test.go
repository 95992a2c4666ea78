package sync_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nitrox/netscaler/simulator"
	"nitrox/sync"
)

func draining(d *sync.Discovery) { d.Orphans, d.App.Policy.AllowEmpty = true, true }

// allowing lets the labels of a namespace name groups.
func allowing(namespace, pattern string) func(*sync.Discovery) {
	return func(d *sync.Discovery) { d.Allow = map[string][]string{namespace: {pattern}} }
}

// As long as it is not known which apps a source has, none of another takes a group of theirs.
func TestNoGroupIsTakenWhileItsSourceFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newCluster(), newCluster()
		a.label("shop/web", "10.0.0.1:80 10.0.0.2:80", "service-group=sg-1")
		b.label("bank/api", "10.1.0.1:80", "service-group=sg-1")
		s := discovering(t, map[string]*cluster{"a": a, "b": b}, entry("a", allowing("shop", "sg-*")), entry("b", allowing("bank", "sg-*")))
		b.remove("bank/api")
		s.pass(sync.ExitInStep)
		b.label("bank/api", "10.1.0.1:80", "service-group=sg-1")
		s.pass(sync.ExitFailed)
		s.expect("sg-1", "10.0.0.1:80, 10.0.0.2:80")
		a.failed = errors.New("403 Forbidden")
		s.says(s.pass(sync.ExitFailed), `service group sg-1 is marked "nitrox a shop/web", and it is not known whether that app still claims it`)
		s.expect("sg-1", "10.0.0.1:80, 10.0.0.2:80")
		a.failed = nil
		clear(a.objects) // which is not believed of all at once
		s.pass(sync.ExitFailed)
		s.expect("sg-1", "10.0.0.1:80, 10.0.0.2:80")
		if got := s.comment("sg-1"); got != "nitrox a shop/web" {
			t.Error(got)
		}
	})
}

// A group that entries share is nobody's only when all of them say so.
func TestASharedGroupIsNoOrphanWhileAPartnerIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *cluster){
		"failed":   func(b *cluster) { b.failed = errors.New("403 Forbidden") },
		"none":     func(b *cluster) { clear(b.objects) },
		"in doubt": func(b *cluster) { b.label("shop/web", "10.1.0.1:80", "port=x y"); b.label("shop/x", "10.1.0.1:80") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := newCluster("shop/web", "shop/api"), newCluster()
				b.label("shop/web", "10.1.0.1:80")
				s := discovering(t, map[string]*cluster{"a": a, "b": b}, entry("a", sharing, draining), entry("b", sharing, draining))
				s.pass(sync.ExitInStep)
				s.expect("shop_web", "10.0.0.1:80, 10.0.0.2:80, 10.1.0.1:80")
				a.remove("shop/web")
				change(b)
				s.Syncer = s.Discover(t.Context())
				s.Sync(t.Context(), nil)
				s.expect("shop_web", "10.0.0.1:80, 10.0.0.2:80, 10.1.0.1:80")
			})
		})
	}
}

// A mark that another pass made after the comments were read is no failure.
func TestAMarkMadeMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster("shop/web")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod"))
		first := s.Discover(t.Context())
		second := first.Discover(t.Context())
		s.Syncer = first
		s.sync(sync.ExitInStep)
		s.Syncer = second
		s.sync(sync.ExitInStep)
		if got := s.comment("shop_web"); got != "nitrox prod shop/web" {
			t.Errorf("its mark is %q", got)
		}
	})
}

// While a NetScaler hangs, an app that opts in is served on another as soon as ever: but for
// those that find it out.
func TestANetScalerThatHangsHoldsUpNoLabelOfOthers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newCluster("shop/web")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod", func(d *sync.Discovery) { d.NetScalers = []string{"core", "edge"} }))
		s.sims["core"] = simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
		s.NetScalers["core"] = &sync.NetScaler{Client: s.client("core", "secret", false), Appliance: "core", Save: true}
		s.NetScalers["edge"].Appliance = "edge"
		r := newRun(s, time.Minute)
		r.Watch = true
		go func() {
			s.has("edge", "shop_web", 2)
			time.Sleep(30 * time.Second)
			s.sims["core"].SetFault(simulator.Fault{Hang: true})
			for i := range 5 {
				name := fmt.Sprintf("shop/app%d", i)
				time.Sleep(25 * time.Second)
				c.label(name, "10.0.1.1:80")
				c.changed <- struct{}{}
				if took := s.has("edge", strings.ReplaceAll(name, "/", "_"), 1); took > 3*time.Second && i > 1 {
					t.Errorf("%s is served after %v", name, took)
				}
			}
			s.sims["core"].ClearFaults()
			s.has("core", "shop_app4", 1)
		}()
		r.during(20 * time.Minute)
	})
}

// Whatever two sources answer, one after the other, a group whose holder's last whole answer
// has it is never given members of another.
func TestNoSequenceOfDiscoveriesGivesAGroupToAnother(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			clusters := map[string]*cluster{"a": newCluster(), "b": newCluster()}
			namespaces := map[string]string{"a": "shop", "b": "bank"}
			var entries []sync.Discovery
			for _, name := range []string{"a", "b"} {
				drain := rapid.Bool().Draw(rt, "drain")
				entries = append(entries, entry(name, allowing(namespaces[name], "sg-*"), func(d *sync.Discovery) { d.Orphans, d.App.Policy.AllowEmpty = drain, true }))
			}
			s := discovering(t, clusters, entries...)
			s.NetScalers["edge"].Save = false
			holder := map[string]string{}
			groups := []string{"sg-1", "sg-2"}
			for range rapid.IntRange(1, 8).Draw(rt, "passes") {
				whole, claimed := map[string]bool{}, map[string]map[string]bool{}
				for name, c := range clusters {
					clear(c.objects)
					c.failed, claimed[name] = nil, map[string]bool{}
					kind := rapid.SampledFrom([]string{"some", "some", "some", "none", "failed"}).Draw(rt, name)
					if kind == "failed" {
						c.failed = errors.New("503 Service Unavailable")
						continue
					}
					if kind == "none" {
						continue
					}
					c.label(namespaces[name]+"/other", "10.9.9.9:80", "service-group=sg-"+name)
					whole[name] = true
					for _, g := range groups {
						switch rapid.SampledFrom([]string{"yes", "no", "odd"}).Draw(rt, g) {
						case "yes":
							c.label(namespaces[name]+"/"+g, fmt.Sprintf("10.%d.0.1:80 10.%[1]d.0.2:80", int(name[0])), "service-group="+g)
							claimed[name][g] = true
						case "odd":
							c.label(namespaces[name]+"/"+g, "10.7.7.7:80", "service-group="+g, "weight=x")
							claimed[name][g] = true
						}
					}
				}
				s.Syncer = s.Discover(t.Context())
				r := s.Sync(t.Context(), nil)
				time.Sleep(2 * time.Minute)
				for _, g := range groups {
					for name := range clusters {
						if whole[name] && !claimed[name][g] && holder[g] == name {
							delete(holder, g)
						}
					}
					for _, m := range s.sims["edge"].Members(g) {
						if m.State != "ENABLED" {
							continue
						}
						of := map[byte]string{'a': "a", 'b': "b"}[m.Addr.Addr().As4()[1]]
						if holder[g] == "" {
							holder[g] = of
						}
						if holder[g] != of {
							if _, mine := claimed[holder[g]][g]; mine || !whole[holder[g]] {
								rt.Fatalf("%s of %s has %v:\n%s", g, holder[g], m.Addr, report(r))
							}
						}
					}
				}
			}
			if err := s.Close(t.Context()); err != nil {
				rt.Fatal(err)
			}
		})
	})
}

// Which groups no app claims is not known of a NetScaler that does not answer, and that is
// told although there is no app on it.
func TestANetScalerWithoutAppsThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := discovering(t, map[string]*cluster{"prod": newCluster("shop/web")}, entry("prod"), entry("prod", func(d *sync.Discovery) {
			d.NetScalers, d.Namespaces = []string{"core"}, []string{"bank"}
		}))
		s.sims["core"] = simulator.New(simulator.Options{Users: map[string]string{"nitrox": "other"}})
		s.NetScalers["core"] = &sync.NetScaler{Client: s.client("core", "secret", false), Appliance: "core"}
		s.says(s.pass(sync.ExitFailed), "! netscaler core failed: read the comments of all service groups: log in")
		s.expect("shop_web", "10.0.0.1:80, 10.0.0.2:80")
	})
}
