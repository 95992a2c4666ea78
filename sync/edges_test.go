package sync_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// What the first apps' reading said is old by the time a slow source answers:
// an operator has disabled a member meanwhile, and that counts.
func TestALateWaveReadsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 1)), "cart": known(hosts(1, 2))}
		wait := time.Duration(0)
		s := newSite(t, players{
			"prod": st.play,
			"slow": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
				time.Sleep(wait) // the bubble's clock
				return st.play(ctx, app, fresh)
			},
		}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce, From: []sync.From{{Source: "slow", Query: "cart"}}})
		s.sync(0)
		wait, st["cart"] = 10*time.Second, known(hosts(3, 4))
		operator := s.client("edge", "secret", false)
		time.AfterFunc(5*time.Second, func() {
			m := netscaler.Member{Addr: hosts(1, 1)[0].Addr, Server: "10.0.0.1", Weight: 1}
			if err := operator.Do(t.Context(), netscaler.Unbind, []netscaler.Change{{Op: netscaler.Unbind, Group: "sg-cart", Member: m}})[0]; err != nil {
				t.Error(err)
			}
			if err := operator.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		r := s.Syncer.Sync(t.Context(), nil) // the operator's unbind lowers the number of members
		s.end(r, 0)
		s.expect("sg-cart", bound(3, 4))
		if n := len(r.Outcomes[1].Actual); n != 1 {
			t.Errorf("the late app's plan was made from a group of %d members", n)
		}
	})
}

// A NetScaler that stops in the first wave is not written in a later one, and
// the later apps say so.
func TestAfterTroubleTheLaterAppsAreNotPending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 1)), "cart": known(hosts(1, 2))}
		s := newSite(t, players{
			"prod": st.play,
			"slow": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
				time.Sleep(10 * time.Second)
				return st.play(ctx, app, fresh)
			},
		}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce, From: []sync.From{{Source: "slow", Query: "cart"}}})
		sim := s.sims["edge"]
		sim.SetFault(simulator.Fault{Method: "PUT|POST", Type: "servicegroup_servicegroupmember_binding", Code: 291, Times: 4})
		r := s.sync(1)
		for _, o := range r.Outcomes {
			if o.Status() != sync.Failed {
				t.Errorf("%s is %s", o.App.Name, o.Status())
			}
		}
		s.expect("sg-cart", "")
	})
}

// A source that feeds an app by two entries has collapsed only if both are
// empty.
func TestOneOfTwoEntriesWithNothingIsNoCollapse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{}
		var apps []sync.App
		for _, name := range []string{"a", "b", "c"} {
			st[name+"-old"], st[name+"-new"] = known(hosts(1, 2)), known(hosts(3, 4))
			apps = append(apps, sync.App{Name: name, Policy: atOnce, From: []sync.From{{Source: "prod", Query: name + "-old"}, {Source: "prod", Query: name + "-new"}}})
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		s.sync(0)
		for _, name := range []string{"a", "b", "c"} {
			st[name+"-old"] = known(nil)
		}
		s.sync(0)
		s.expect("sg-a", bound(3, 4))
	})
}

func TestStoppedWhileItWaitsForNewMembersItEndsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		p := atOnce
		p.WaitUp = time.Minute
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
		s.sync(0)
		for _, e := range hosts(11, 12) {
			s.sims["edge"].SetUp("sg-shop", e.Addr, false)
		}
		st["shop"] = known(hosts(11, 12))
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Second, func() { cancel(errors.New("terminated")) })
		began := time.Now()
		r := s.Sync(ctx, nil)
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("ended after %v", took)
		}
		s.end(r, 1)
		s.expect("sg-shop", bound(1, 2)+", "+bound(11, 12))
		if !slices.ContainsFunc(r.Outcomes[0].Done, func(d sync.Done) bool { return d.Err != nil }) {
			t.Error("the removals that were not made are not told")
		}
	})
}

// A new member that an operator disables at once is not what removals may wait
// for.
func TestADisabledMemberIsNotUp(t *testing.T) {
	old := []netscaler.Member{{Addr: addr("10.0.0.1:80"), Weight: 1, Up: true}}
	plan := sync.Diff("sg", wanted(sources.Endpoint{Addr: addr("10.0.1.1:80")}), old, sync.Policy{})
	now := append([]netscaler.Member{{Addr: addr("10.0.1.1:80"), Weight: 1, Up: true, State: netscaler.Draining}}, old...)
	if sync.Ready(plan, now) {
		t.Error("ready, although the only new member is draining")
	}
}

// An answer that was lost leaves the mark of a drain in doubt too.
func TestAMemberIsNotEnabledAgainWhileItsMarkStays(t *testing.T) {
	m := netscaler.Member{Addr: addr("10.0.0.1:80"), Mark: true}
	enable := netscaler.Change{Op: netscaler.Enable, Member: m}
	if sync.InEffect(enable, []netscaler.Member{m}) {
		t.Error("in effect, although the member is marked")
	}
	m.Mark = false
	if !sync.InEffect(enable, []netscaler.Member{m}) {
		t.Error("not in effect, although the member is enabled and has no mark")
	}
}
