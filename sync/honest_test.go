package sync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sync"
)

// What a report says is so, also where nothing failed.

// A group of which no member serves is named, and never just in step.
func TestAGroupThatDoesNotServeIsNotInStep(t *testing.T) {
	for name, c := range map[string]struct {
		conf  []string
		wants int
		says  string
	}{
		"the group is disabled":    {[]string{"bind serviceGroup sg-shop 10.0.0.1 80", "disable serviceGroup sg-shop"}, 1, "0 serving, the service group, or the server of each member, is disabled"},
		"an operator disabled all": {[]string{"bind serviceGroup sg-shop 10.0.0.1 80 -state DISABLED", "bind serviceGroup sg-shop 10.0.0.2 80 -state DISABLED"}, 2, "0 serving, 2 members disabled by somebody else"},
		"nothing is wanted":        {nil, 0, "0 serving, no members are wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, c.wants))}
				s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
				s.command(c.conf...)
				r := s.sync(0)
				if got := plain(t, sync.Text, r); !strings.Contains(got, c.says) || strings.Contains(got, "in step") || !strings.Contains(got, "1 not serving") {
					t.Errorf("\n%s", got)
				}
				if r.Outcomes[0].Status() != sync.NotServing {
					t.Errorf("status %q", r.Outcomes[0].Status())
				}
			})
		})
	}
}

// A plan says what a run would fail at: that the node is a secondary. Without
// changes nobody asks.
func TestAPlanOnASecondarySaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		s.sims["edge"].SetRole("Secondary")
		s.end(s.Plan(t.Context(), nil), 0)
		st["shop"] = known(hosts(1, 3))
		r := s.Plan(t.Context(), nil)
		if got := plain(t, sync.Text, r); !strings.Contains(got, "it is the secondary node of the HA pair") || !strings.Contains(got, "+ bind     10.0.0.3:80") {
			t.Errorf("\n%s", got)
		}
		s.end(r, sync.ExitFailed)
	})
}

// A member whose drain is over waits for its unbind: it is drained, and does not
// drain. A held one serves.
func TestDrainedIsNotDrainingAndHeldIsServing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
		s.sync(0)
		st["shop"] = known(hosts(1, 2))
		s.sync(0)
		time.Sleep(time.Minute)
		if got := plain(t, sync.Text, s.Plan(t.Context(), nil)); strings.Contains(got, "draining") || !strings.Contains(got, "- unbind   10.0.0.3:80            drained") {
			t.Errorf("\n%s", got)
		}
		st["shop"] = known(nil)
		r := s.Plan(t.Context(), nil)
		if got := plain(t, sync.Text, r); !strings.Contains(got, "2 serving, 0 wanted") {
			t.Errorf("\n%s", got)
		}
		held := 0
		for _, row := range r.Outcomes[0].Rows() {
			if row.Held && row.Standing == sync.Serving {
				held++
			}
		}
		if held != 2 {
			t.Errorf("%+v", r.Outcomes[0].Rows())
		}
		s.end(r, sync.ExitHeld)
	})
}

// A dry run saves nothing, and does not say that it did.
func TestADryRunDoesNotSayThatItSaved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		r := s.Plan(t.Context(), nil)
		if got := plain(t, sync.JSON, r); strings.Contains(got, `"saved"`) || !strings.Contains(got, `"would_save": true`) {
			t.Errorf("\n%s", got)
		}
		s.end(r, 0)
		if got := plain(t, sync.JSON, s.sync(0)); !strings.Contains(got, `"saved": true`) || strings.Contains(got, "would_save") {
			t.Errorf("\n%s", got)
		}
	})
}

// An app that is taken out of the mapping while members of it drain leaves them
// bound; the log says which.
func TestAnAppThatLeavesTheMappingSaysWhatItLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 3))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly}, sync.App{Name: "cart", Policy: slowly})
		r := newRun(s, 10*time.Second)
		next := &sync.Syncer{Sources: s.Sources, Apps: s.Apps[:1], NetScalers: map[string]*sync.NetScaler{"edge": {Client: s.client("edge", "secret", false), Save: true}}}
		reload := make(chan *sync.Syncer)
		r.Reload = reload
		go func() {
			time.Sleep(30 * time.Second)
			st.set("cart", known(hosts(1, 2)))
			time.Sleep(15 * time.Second)
			reload <- next
		}()
		r.during(time.Minute)
		want := `msg="an app was removed from the mapping, but its draining members stay bound" app=cart netscaler=edge members=10.0.0.3:80`
		if got := r.log.String(); !strings.Contains(got, want) {
			t.Errorf("\n%s", got)
		}
	})
}

// Causes are said once, whatever the number of apps that they harm.
func TestACauseIsSaidOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{}
		var apps []sync.App
		for i := range 200 {
			name := fmt.Sprintf("app%03d", i)
			st[name] = known(hosts(1, 2))
			apps = append(apps, sync.App{Name: name, Group: name, Policy: atOnce})
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		s.sims["edge"].SetFault(simulator.Fault{DropBefore: true})
		r := s.Sync(t.Context(), nil)
		if all := r.Troubles(); len(all) != 1 || len(all[0].Apps()) != 200 || all[0].Of != sync.OfNetScaler {
			t.Errorf("%d troubles: %v", len(all), all)
		}
		for name, report := range sync.Reports {
			if got := plain(t, report, r); strings.Count(got, netscaler.ErrUnavailable.Error()) > 3 && name != "json" {
				t.Errorf("%s\n%s", name, got)
			}
		}
		if n := strings.Count(plain(t, sync.Text, r), "\n"); n != 2 {
			t.Errorf("%d lines:\n%s", n, plain(t, sync.Text, r))
		}
		s.sims["edge"].ClearFaults()
		s.end(r, sync.ExitFailed)
	})
}
