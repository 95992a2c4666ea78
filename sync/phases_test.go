package sync_test

import (
	"context"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

func TestAPassTellsHowLongEachPhaseTook(t *testing.T) {
	bubble(t, func(t *testing.T) {
		answer := hosts(1, 2)
		s := newSite(t, players{"prod": func(context.Context, string, bool) (sources.Answer, error) {
			time.Sleep(3 * time.Second)
			return known(answer), nil
		}}, sync.App{Name: "shop", Policy: atOnce})
		slow := simulator.New(simulator.Options{
			Users: map[string]string{"nitrox": "secret"}, ReadLatency: time.Second, WriteLatency: 10 * time.Millisecond, SaveTime: 5 * time.Second,
		})
		slow.AddGroup("sg-shop")
		s.sims["edge"] = slow
		s.NetScalers["edge"].Client = s.client("edge", "secret", false)

		p := s.sync(0).Phases
		// The groups and their attributes are two reads of 1 s; the role, a third,
		// is asked for the sake of the change.
		want := sync.Phases{Poll: 3 * time.Second, Read: 2 * time.Second, Apply: 1010 * time.Millisecond, Save: 5 * time.Second}
		if p != want {
			t.Errorf("a pass that binds: %+v, want %+v", p, want)
		}
		p = s.sync(0).Phases
		if want := (sync.Phases{Poll: 3 * time.Second, Read: time.Second}); p != want {
			t.Errorf("a pass in step: %+v, want %+v", p, want)
		}
		answer = hosts(3, 4)
		if p := s.sync(0).Phases; p.Confirm != 5*time.Second {
			t.Errorf("a pass that asks again: the confirmation took %v, want 2s and a poll of 3s", p.Confirm)
		}
	})
}
