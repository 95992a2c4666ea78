//go:build e2e && linux

package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"nitrox/sources/redact/redacttest"
)

// loop runs nitrox in a loop that ends with the test, in order and silently
// about the password. Its interval is longer than the test: only events and
// streams that connect make passes after the first.
func (n *nitrox) loop() {
	n.t.Helper()
	cmd := exec.Command(binaries.nitrox, "sync", "--loop", "1h", "--watch", "--config", n.mapping)
	cmd.Env = []string{"HOME=" + filepath.Dir(n.mapping)}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			n.t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("nitrox ended with %v", err)
		}
		if redacttest.Shown(out.String(), password) != "" {
			n.t.Error("nitrox printed the password")
		}
		if left := n.sim.Sessions(); left != 0 {
			n.t.Errorf("nitrox left %d sessions on the NetScaler", left)
		}
		if n.t.Failed() {
			n.t.Logf("nitrox printed:\n%s", out.String())
		}
	})
}

// TestWatch: events of a swarm, and what is looked for after them, keep the
// members in step on their own. Of tasks on other nodes there are no events.
func TestWatch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.newSwarm(t, 1, 1)
	manager, worker := s.engines[0], s.engines[1]
	n := newNitrox(t, l, fmt.Sprintf("  swarm: {docker: {host: %q}}\n  engine: {docker: {host: %q, kind: engine}}\n", manager.tcp(2375), worker.tcp(2375)),
		map[string]string{
			"web":    "max_remove: 100%, from: [{source: swarm, service: web, port: 80}]",
			"single": fmt.Sprintf("from: [{source: engine, label: %s, port: 80}]", shop),
		})
	worker.docker("run", "--detach", "--label", shop, "--publish", "80", "web:1")
	n.loop()
	follows := func(group string, tasks int, now func() truth) {
		t.Helper()
		eventually(t, time.Minute, fmt.Sprintf("%s: the members follow", group), func() error {
			want, got := now().addrs(), n.members(group)
			if len(want) != tasks || !slices.Equal(got, want) {
				return fmt.Errorf("the members are %v, the engines run %v", got, want)
			}
			return nil
		})
	}
	web := func() truth { return s.host("web") }
	single := func() truth { return worker.healthy("label=" + shop) }
	scale := func(tasks int) {
		t.Helper()
		manager.docker("service", "scale", "--detach", "web="+strconv.Itoa(tasks))
		follows("web", tasks, web)
	}

	step(t, "a service that was absent is created, and scaled")
	follows("single", 1, single)
	s.create("web", "--replicas", "2", "--publish", "mode=host,target=80")
	follows("web", 2, web)
	scale(5)
	scale(2)

	step(t, "a node is drained: a new place for its tasks")
	manager.docker("node", "update", "--availability", "drain", worker.node)
	follows("web", 2, web)
	manager.docker("node", "update", "--availability", "active", worker.node)

	step(t, "containers of an engine come, are paused and go")
	second := worker.docker("run", "--detach", "--label", shop, "--publish", "80", "web:1")[0]
	follows("single", 2, single)
	worker.docker("pause", second)
	follows("single", 1, single)
	worker.docker("unpause", second)
	follows("single", 2, single)
	worker.docker("rm", "--force", second)
	follows("single", 1, single)

	step(t, "the manager is away for a while: what happens after it is back is followed")
	manager.stop()
	manager.start()
	eventually(t, time.Minute, "the swarm is back", func() error {
		_, err := manager.tryDocker("node", "ls")
		return err
	})
	scale(4)
}
