//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"nitrox/testdata/latency"
)

// TestLatency: of three containers one that is paused goes on, and another is
// paused. When that was, is asked of the engine.
func TestLatency(t *testing.T) {
	if *latency.Events == 0 {
		t.Skip("a measurement of minutes; -events 200 makes it")
	}
	l := newLab(t)
	e := l.newEngine(t, "node1")
	var ids []string
	var addrs []netip.AddrPort
	for range 3 {
		// A health check would start over with each event, and take its time.
		id := e.docker("run", "--detach", "--no-healthcheck", "--label", shop, "--publish", "80", "web:1")[0]
		published, err := netip.ParseAddrPort(e.docker("port", id, "80")[0])
		if err != nil {
			t.Fatal(err)
		}
		ids, addrs = append(ids, id), append(addrs, netip.AddrPortFrom(e.addr, published.Port()))
	}
	e.docker("pause", ids[2])
	n := newNitrox(t, l, fmt.Sprintf("  engine: {docker: {host: %q}}\n", e.tcp(2375)), map[string]string{"web": fmt.Sprintf("from: [{source: engine, label: %s, port: 80}]", shop)})
	paused := 2
	latency.Measure(t, latency.Subject{
		Source: "docker (dockerd, engine)", Nitrox: binaries.nitrox, Mapping: n.mapping, Env: []string{"HOME=" + filepath.Dir(n.mapping)}, Sim: n.sim, Group: "web",
		Rest: 2 * time.Second, // the pausing may be seen one pass later
		Swap: func(int) (netip.AddrPort, func() time.Time) {
			goesOn := paused
			paused = 3 - paused
			since := time.Now()
			e.docker("unpause", ids[goesOn])
			e.docker("pause", ids[paused])
			return addrs[goesOn], func() time.Time { return e.happened(t, since, "unpause", ids[goesOn]) }
		},
	})
}

// happened is when the engine reported what happened to a container.
func (e *engine) happened(t *testing.T, since time.Time, action, id string) time.Time {
	t.Helper()
	lines := e.docker("events", "--since", since.Format(time.RFC3339Nano), "--until", time.Now().Format(time.RFC3339Nano),
		"--filter", "event="+action, "--filter", "container="+id, "--format", "{{json .}}")
	var event struct {
		TimeNano int64 `json:"timeNano"`
	}
	if len(lines) == 0 {
		t.Fatalf("no event %s of %s", action, id)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &event); err != nil || event.TimeNano == 0 {
		t.Fatalf("%v in %s", err, lines)
	}
	return time.Unix(0, event.TimeNano)
}
