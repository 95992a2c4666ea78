package latency_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources/marathon/marathontest"
	"nitrox/testdata/latency"
)

// TestLatencyMarathon: of three tasks one that is healthy falls sick, and the
// sick one recovers.
func TestLatencyMarathon(t *testing.T) {
	if *latency.Events == 0 {
		t.Skip("a measurement of minutes; -events 200 makes it")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "nitrox")
	if out, err := exec.Command("go", "build", "-o", binary, "../..").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cluster := marathontest.New(marathontest.Options{})
	if err := cluster.Put(`{"id": "/shop/web", "cmd": "web", "instances": 3, "networks": [{"mode": "container/bridge"}],
		"container": {"type": "DOCKER", "docker": {"image": "web:1"}, "portMappings": [{"containerPort": 80, "hostPort": 0, "name": "http"}]},
		"healthChecks": [{"protocol": "MESOS_HTTP", "portIndex": 0}]}`); err != nil {
		t.Fatal(err)
	}
	cluster.Settle()
	var requests atomic.Int64
	manager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		cluster.Handler(0).ServeHTTP(w, r)
	}))
	t.Cleanup(manager.Close)
	cluster.Listen(0, manager.URL)
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
	sim.AddGroup("web")
	edge := httptest.NewServer(sim)
	t.Cleanup(edge.Close)
	mapping := filepath.Join(dir, "nitrox.yaml")
	err := errors.Join(os.WriteFile(filepath.Join(dir, "password"), []byte("secret"), 0o600), os.WriteFile(mapping, fmt.Appendf(nil, `
netscalers: {edge: {url: %q, username: nitrox, password_file: password}}
sources: {dcos: {marathon: {urls: [%q]}}}
defaults: {drain: 0s, wait_up: 0s}
apps: [{name: web, from: [{source: dcos, app: /shop/web, port: http}]}]
`, edge.URL, manager.URL), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	tasks := cluster.Tasks("/shop/web")
	latency.Measure(t, latency.Subject{
		Source: "marathon (stand-in)", Nitrox: binary, Mapping: mapping, Env: []string{"HOME=" + dir}, Sim: sim, Group: "web", Requests: requests.Load,
		Swap: func(n int) (netip.AddrPort, func() time.Time) {
			if n == 0 { // also of the second mode
				cluster.Sick(tasks[1], true)
				cluster.Sick(tasks[2], false)
			}
			before, at := cluster.Serving("/shop/web"), time.Now()
			cluster.Sick(tasks[1+n%2], false)
			cluster.Sick(tasks[2-n%2], true)
			for _, addr := range cluster.Serving("/shop/web") {
				if !slices.Contains(before, addr) {
					return netip.MustParseAddrPort(addr), latency.At(at)
				}
			}
			t.Fatal("no task has recovered")
			return netip.AddrPort{}, nil
		},
	})
}
