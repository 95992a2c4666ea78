package observe_test

import (
	"testing"
	"time"

	"nitrox/sync"
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
