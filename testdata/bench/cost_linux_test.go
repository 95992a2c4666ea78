package bench

import (
	"testing"
	"time"
)

// TestCosts holds what the figures are about, with margins: that the work of a pass is
// in few calls, and that an event and a few apps cost what they change, not what there
// is. Time is not in it.
func TestCosts(t *testing.T) {
	for _, c := range []struct {
		work
		calls int // at the most
		times int // calls of the script, at least, as a multiple
	}{
		{works(300, 10)[0], 3, 100},
		{works(300, 10)[1], 10, 40},
		{works(100, 10)[2], 20, 50},
		{works(100, 10)[3], 20, 50},
		{works(100, 10)[4], 12, 15},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			n, answers := c.pass(t, 0)
			f, s := floorOf(t, answers), c.byMember(t)
			t.Logf("%d calls, %.0f kB; floor %.0f kB; script %d calls, %.0f kB", n.calls, n.bytes()/kB, f.bytes()/kB, s.calls, s.bytes()/kB)
			if n.calls > c.calls || s.calls < c.times*n.calls {
				t.Errorf("%d calls, of the script %d", n.calls, s.calls)
			}
			if c.what == "unchanged" && n.bytes() > 1.1*f.bytes() {
				t.Errorf("%.0f bytes, the floor has %.0f", n.bytes(), f.bytes())
			}
		})
	}
	t.Run("events", func(t *testing.T) {
		t.Parallel()
		e := newSite(t, install(300, 300, 100, 300), 300, "node_port", latency).events(t, 2, 1500*time.Millisecond)
		t.Logf("NITRO %d calls, %.0f kB; API server %d requests, %.0f kB", e.ns.calls, e.ns.bytes()/kB, e.api.calls, e.api.bytes()/kB)
		if e.ns.calls > 6 || e.ns.bytes() > 100*kB {
			t.Errorf("an event costs %d NITRO calls and %.0f bytes; at most 5, a save, and 100 kB", e.ns.calls, e.ns.bytes())
		}
		if e.api.calls > 4 || e.api.bytes() > 200*kB {
			t.Errorf("an event costs %d requests and %.0f bytes; at most 4 and 200 kB", e.api.calls, e.api.bytes())
		}
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		n, _ := works(1000, 100)[0].pass(t, 0)
		t.Logf("%d calls, %.0f MB", n.calls, float64(n.peak)/mB)
		if n.peak > 85*mB { // 60 to 68
			t.Errorf("an unchanged pass over 100,000 members takes %.0f MB", float64(n.peak)/mB)
		}
	})
	t.Run("memory of a container", func(t *testing.T) {
		t.Parallel()
		s := sizes[1]
		replaced, inStep := s.runs(t)
		peak := max(replaced.peak, inStep.peak)
		t.Logf("%s: %.0f MB", s.labels(), float64(peak)/mB)
		if allowed := int64(s.mem) << 20; peak > allowed*3/4 { // half of it
			t.Errorf("%s: %.0f MB are too near to %.0f", s.labels(), float64(peak)/mB, float64(allowed)/mB)
		}
	})
	t.Run("a fleet", func(t *testing.T) {
		t.Parallel()
		const netscalers = 20
		f := newFleet(t, netscalers, 10, 2, 0)
		for name, processes := range map[string][][]string{
			"one process": {f.whole()}, "four files": f.byFile(t, 4), "four by app": f.byApp(4, false),
		} { // to log in, ask which NetScaler it is, read, and log out
			if n := f.pass(t, 0, processes...); n.calls != 4*netscalers {
				t.Errorf("%s: %d calls to %d NetScalers", name, n.calls, netscalers)
			}
		}
		if n := f.connections.most; n > 2*netscalers { // one, and one that is just being closed
			t.Errorf("%d connections at a time to %d NetScalers", n, netscalers)
		}
	})
	for more, f := range forms { // those that opt in cost a call and a request more
		t.Run("apps "+f.name, func(t *testing.T) {
			t.Parallel()
			s := f.site(t, 2000)
			took := map[string]spent{"a run": s.run(t), "a pass": s.unchanged(t), "an event": s.events(t, 1, time.Second).spent()}
			most := map[string][2]int{"a run": {3 + more, 12 + more}, "a pass": {1 + more, 12 + more}, "an event": {6, 2}, "a label": {6, 16}}
			if f.selects != nil {
				took["a label"] = s.newLabel(t, 1, time.Second).spent()
			}
			for what, e := range took {
				t.Logf("%s: %d NITRO calls, %.0f kB; %d requests, %.0f kB", what, e.ns.calls, e.ns.bytes()/kB, e.api.calls, e.api.bytes()/kB)
				if e.ns.calls > most[what][0] || e.api.calls > most[what][1] {
					t.Errorf("%s costs %d NITRO calls and %d requests; at most %v", what, e.ns.calls, e.api.calls, most[what])
				}
				if event := what == "an event" || what == "a label"; event && e.ns.bytes() > 100*kB {
					t.Errorf("%s costs %.0f bytes of NITRO; at most 100 kB", what, e.ns.bytes())
				}
			}
		})
	}
	t.Run("few apps of a cluster", func(t *testing.T) {
		t.Parallel()
		i := install(2000, 100, 10, 500)
		c := planKubernetes(t, i, 20)
		t.Logf("%d requests, %.0f kB: %v", c.calls, c.bytes()/kB, i.sent)
		if i.sent["services"] > 100*kB || i.sent["endpointslices"] > 100*kB || i.sent["nodes"] > 200*12*kB {
			t.Errorf("read are %v", i.sent)
		}
	})
}
