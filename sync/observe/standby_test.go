package observe_test

import (
	"errors"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sync"
	"nitrox/sync/observe"
)

// A replica that another one leads makes no passes, and nothing restarts it for
// that; once it leads, it is held to what holds for all.
func TestAReplicaThatStandsByIsHealthy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"})
		s.say("prod", "shop", 1)
		s.StandBy(true)
		time.Sleep(24 * time.Hour)
		s.probes("ok", "ok")
		has(t, s.get("/"), "Standing by: another replica leads")
		has(t, s.get("/metrics"), "nitrox_leading 0\n")

		s.StandBy(false)
		s.probes("ok", "the first pass has not ended yet")
		s.pass()
		s.probes("ok", "ok")
		has(t, s.get("/metrics"), "nitrox_leading 1\n")

		// The lease is lost and comes back: what passed before is no sign of life.
		s.StandBy(true)
		time.Sleep(time.Hour)
		s.StandBy(false)
		time.Sleep(3 * every)
		s.probes("ok", "the first pass has not ended yet")
		time.Sleep(time.Second)
		s.probes("no pass has ended in the 1m31s since the start", "no pass has ended in")
		s.close()
	})
}

// What a replica found while it led is not what is so while another one leads: it
// is shown as old, and no alert may come of it.
func TestWhatAReplicaFoundWhileItLedIsOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"}, sync.App{Name: "cart", NetScalers: []string{"core"}}, sync.App{Name: "mail"})
		defer s.close()
		for _, app := range []string{"shop", "cart", "mail"} {
			s.say("prod", app, upto(5)...)
		}
		s.pass()
		s.say("prod", "mail")
		s.Stream("prod", false)
		s.sims["core"].SetFault(simulator.Fault{DropBefore: true})
		s.pass()
		held, down, serving := `nitrox_apps{status="held"} 1`, `nitrox_netscaler_up{netscaler="core"} 0`, `nitrox_members{app="shop"`
		has(t, s.get("/metrics"), held, down, serving, "nitrox_stream_up")

		time.Sleep(time.Minute)
		s.StandBy(true)
		time.Sleep(time.Minute)
		for _, leads := range []bool{false, true} {
			if leads {
				s.StandBy(false)
			}
			metrics, page := s.get("/metrics"), s.get("/")
			hasNot(t, metrics, held, down, "nitrox_members{", "nitrox_stream_up{", `nitrox_drift_changes{netscaler="edge",op="unbind"} 5`)
			has(t, metrics, `nitrox_apps{status="unknown"} 3`)
			has(t, page, `old, from <time datetime="2000-01-01T00:00:00Z"`, "2m ago</time>:</b> 5 serving", "not asked yet", "last OK")
			hasNot(t, page, "failing", "In trouble")
		}
		s.sims["core"].ClearFaults()
		s.say("prod", "mail", upto(5)...)
		s.pass()
		has(t, s.get("/metrics"), serving, `nitrox_apps{status="in_step"} 3`)
		has(t, s.get("/"), "All 3 service groups in step")
	})
}

// A replica that stands by although nobody leads is alive, and not ready.
func TestAReplicaIsNotReadyIfNobodyLeads(t *testing.T) {
	var nobody error
	o := observe.New(observe.Options{Every: every, Led: func() error { return nobody }})
	o.StandBy(true)
	if err := o.Ready(); err != nil {
		t.Errorf("somebody leads: %v", err)
	}
	nobody = errors.New("nobody has renewed it")
	if err := o.Ready(); !errors.Is(err, nobody) {
		t.Errorf("nobody leads: %v", err)
	}
	if err := o.Alive(); err != nil {
		t.Errorf("a restart would not help: %v", err)
	}
}
