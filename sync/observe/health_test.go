package observe_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
	"nitrox/sync/discover"
)

// probes asks both, as a platform does: want is "ok" or a part of the reason.
func (s *site) probes(healthz, readyz string) {
	s.t.Helper()
	h := s.Handler()
	for path, want := range map[string]string{"/healthz": healthz, "/readyz": readyz} {
		status, body := get(s.t, h, path)
		if (want == "ok") != (status == http.StatusOK) || !strings.Contains(body, want) {
			s.t.Errorf("%s: %d %q, want %q", path, status, body, want)
		}
	}
}

func TestHealthGoesRedWhenPassesEndNoMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"})
		s.say("prod", "shop", 1)
		s.probes("ok", "the first pass has not ended yet")
		time.Sleep(3*every + time.Second)
		s.probes("no pass has ended in the 1m31s since the start; one is due every 30s", "no pass has ended in")
		s.pass()
		s.probes("ok", "ok")
		time.Sleep(3 * every)
		s.probes("ok", "ok")
		time.Sleep(time.Second)
		s.probes("the last pass ended 1m31s ago; one is due every 30s", "the last pass ended")
		has(t, s.get("/"), "The loop has stopped", "the last pass ended 1m31s ago")

		// A pass may take its time, and no longer than its deadline and what its
		// last change may need.
		s.Begin(time.Now())
		s.probes("ok", "ok")
		time.Sleep(sync.Deadline + 3*every)
		s.probes("ok", "ok")
		time.Sleep(time.Second)
		s.probes("the pass that began 6m31s ago has not ended; its deadline was 5m", "the pass that began")
		s.pass()
		s.probes("ok", "ok")
		s.close()
	})
}

func TestAFailedSourceNeverTurnsLivenessRed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop", From: []sync.From{{Source: "prod"}, {Source: "dcos"}}})
		s.say("prod", "shop", 1)
		s.broken["dcos"] = errors.New("503 Service Unavailable")
		s.pass()
		s.probes("ok", "ok")
		s.broken["prod"] = errors.New("connection refused")
		time.Sleep(every)
		s.pass()
		s.probes("ok", "source dcos: 503 Service Unavailable\nsource prod: connection refused")
		s.broken = nil
		time.Sleep(every)
		s.pass()
		s.probes("ok", "ok")
		s.close()
	})
}

func TestReadinessNeedsEveryNetScaler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"}, sync.App{Name: "cart", NetScalers: []string{"core"}})
		s.say("prod", "shop", 1)
		s.say("prod", "cart", 2)
		s.pass("shop")
		s.probes("ok", "NetScaler core has not been asked yet")
		s.pass()
		s.probes("ok", "ok")
		// The NetScaler says the password; nobody else does.
		s.sims["core"].SetFault(simulator.Fault{Type: "login", Code: 354, Message: "Invalid username or password " + password})
		s.sims["core"].KillSessions()
		s.pass()
		s.probes("ok", "NetScaler core: ")
		// A pass over other apps does not make it well.
		s.pass("shop")
		s.probes("ok", "NetScaler core: ")
		s.sims["core"].ClearFaults()
		time.Sleep(10 * time.Minute) // until the client tries again
		s.pass("cart")
		s.probes("ok", "ok")
		s.close()
	})
}

// What leaves the mapping leaves all that is served.
func TestAReloadForgetsWhatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"}, sync.App{Name: "cart", NetScalers: []string{"core"}, From: []sync.From{{Source: "dcos"}}})
		s.say("prod", "shop", 1)
		s.answers["dcos"]["cart"] = sources.Doubtful(errors.New("half a list"))
		s.Stream("dcos", true)
		s.pass()
		has(t, s.get("/metrics"), `source="dcos"`, `netscaler="core"`, `app="cart"`, "nitrox_last_success_timestamp_seconds 0\n")
		late := s.Sync(t.Context(), nil)
		s.Reload(s.Apps[:1])
		s.Record(late, time.Now()) // of a pass that ran while the mapping changed
		for _, page := range []string{s.get("/metrics"), s.get("/")} {
			hasNot(t, page, "dcos", "core", "cart")
		}
		s.pass("shop")
		s.probes("ok", "ok")
		hasNot(t, s.get("/metrics"), "nitrox_last_success_timestamp_seconds 0\n")
		s.close()
	})
}

// A source in which apps opt in counts, also while none has, or while that is not known.
func TestASourceWithoutAppsThatFailsIsNoSuccess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"})
		s.say("prod", "shop", 1)
		s.Reload(s.Apps, sync.Discovery{Entry: discover.Entry{Source: "labelled", NetScalers: []string{"dmz"}}})
		s.pass()
		r := s.Sync(t.Context(), nil)
		r.Sources["labelled"] = errors.New("403 Forbidden")
		s.Record(r, time.Now())
		has(t, s.get("/metrics"), `nitrox_source_up{source="labelled"} 0`, `nitrox_orphans{netscaler="dmz"} 0`)
		has(t, s.get("/"), "403 Forbidden")
		s.close()
	})
}
