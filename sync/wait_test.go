package sync_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// finish runs as sync --wait does, and tells how many results it told of.
func (s *site) finish(ctx context.Context, bound time.Duration) (told []sync.Result, err error) {
	err = s.Finish(ctx, bound, func(ctx context.Context) sync.Result { return s.Sync(ctx, nil) }, func(r sync.Result) { told = append(told, r) })
	return told, err
}

func TestWaitingUnbindsWhatIsDrained(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 4)), "cart": known(hosts(1, 4))}
		longer := slowly
		longer.Drain = 60 * time.Second
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly}, sync.App{Name: "cart", Policy: longer})
		s.sync(0)
		st["shop"], st["cart"] = known(hosts(1, 2)), known(hosts(1, 3))
		began := time.Now()
		told, err := s.finish(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 60*time.Second || took > 65*time.Second {
			t.Errorf("took %v", took)
		}
		s.expect("sg-shop", bound(1, 2))
		s.expect("sg-cart", bound(1, 3))
		if len(told) != 3 { // drains, the first unbinds, the second
			t.Errorf("%d results were told", len(told))
		}
		s.end(told[len(told)-1], 0)
		if !s.sims["edge"].Saved() {
			t.Error("the end of it is not saved")
		}
	})
}

func TestWaitingEndsWhenTheClientsLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		p := slowly
		p.Drain = time.Hour
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: p})
		s.sync(0)
		st["shop"] = known(hosts(1, 2))
		time.AfterFunc(25*time.Second, func() { s.sims["edge"].SetIdle("sg-shop", addr("10.0.0.3:80")) })
		began := time.Now()
		if _, err := s.finish(t.Context(), 0); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("took %v", took)
		}
		s.expect("sg-shop", bound(1, 2))
	})
}

// A group with autoscale API drains by itself, here without an end: only the
// bound ends the wait.
func TestWaitingIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := apiSite(t, st, slowly, simulator.Options{}, apiGroup+" -autoDisablegraceful YES")
		s.sync(0)
		st["shop"] = known(hosts(1, 2))
		for limit, least := range map[time.Duration]time.Duration{0: 30 * time.Second, 45 * time.Second: 45 * time.Second} {
			began := time.Now()
			_, err := s.finish(t.Context(), limit)
			if err == nil || !strings.Contains(err.Error(), "1 member still draining after ") {
				t.Errorf("error %v", err)
			}
			if took := time.Since(began); took < least || took > least+5*time.Second {
				t.Errorf("took %v with a bound of %v", took, limit)
			}
		}
		s.sims["edge"].SetIdle("sg-shop", addr("10.0.0.3:80"))
		if _, err := s.finish(t.Context(), 0); err != nil {
			t.Error(err)
		}
		s.expect("sg-shop", bound(1, 2))
	})
}

func TestWaitingEndsWithTheRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: slowly})
		s.sync(0)
		st["shop"] = known(hosts(1, 2))
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("terminated")
		time.AfterFunc(5*time.Second, func() { cancel(stop) })
		told, err := s.finish(ctx, 0)
		if !errors.Is(err, stop) || !strings.Contains(err.Error(), "stopped with 1 member still draining") {
			t.Errorf("error %v", err)
		}
		s.end(told[0], 0)
	})
}

// What is wanted again while it drains is enabled, a paused app's drains are
// nobody's to wait for, and where nothing drains there is no wait.
func TestWaitingMakesWholePasses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3)), "cart": known(hosts(1, 3))}
		var back time.Time // when the third endpoint of shop comes back
		s := newSite(t, players{"prod": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
			if app == "shop" && !back.IsZero() && time.Now().After(back) {
				return known(hosts(1, 3)), nil
			}
			return st.play(ctx, app, fresh)
		}}, sync.App{Name: "shop", Policy: slowly}, sync.App{Name: "cart", Policy: slowly})
		s.sync(0)
		began := time.Now()
		if _, err := s.finish(t.Context(), 0); err != nil || time.Since(began) > time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		st["cart"] = known(hosts(1, 2))
		s.sync(0)
		s.Apps[1].Policy.Paused = true
		st["shop"] = known(hosts(1, 2))
		began = time.Now()
		back = began.Add(12 * time.Second)
		if _, err := s.finish(t.Context(), 0); err != nil || time.Since(began) > 21*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		s.expect("sg-shop", bound(1, 3))
		s.expect("sg-cart", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 GOING OUT OF SERVICE")
	})
}
