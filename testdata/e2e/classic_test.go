//go:build e2e && linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// swarmChanges are what the source of the classic Swarm needs to be built today:
// its dependencies are those of 2017 in vendor.conf, by commit, of which module
// proxies have only the released ones, and newer.
var swarmChanges = strings.NewReplacer(
	"github.com/Sirupsen/logrus", "github.com/sirupsen/logrus",
	"github.com/docker/swarmkit/watch", "github.com/moby/swarmkit/v2/watch",
	"config types.ExecConfig) (types.HijackedResponse", "config types.ExecStartCheck) (types.HijackedResponse",
	"IsErrImageNotFound(err)", "IsErrNotFound(err)",
	"engineapi.IsErrContainerNotFound", "engineapi.IsErrNotFound",
)

// buildSwarm builds the classic Swarm 1.2.9, its last release.
func buildSwarm(t *testing.T, dir string) (binary string) {
	t.Helper()
	run := func(dir string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		switch {
		case err != nil && os.Getenv("CI") == "true":
			t.Fatalf("the classic Swarm cannot be built: %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
		case err != nil:
			t.Skipf("the classic Swarm cannot be built (are modules to be had?): %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
		}
		return out
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(run(dir, "go", "mod", "download", "-json", "github.com/docker/swarm@v1.2.9"), &module); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "source")
	if err := os.CopyFS(source, os.DirFS(module.Dir)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(source, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(swarmChanges.Replace(string(text))), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("classic")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(source, "go.mod"), strings.NewReplacer("LEADERSHIP", filepath.Join(here, "leadership"), "NATURALSORT", filepath.Join(here, "naturalsort")).
		Replace(read(t, "classic/swarm.mod")))
	write(t, filepath.Join(source, "go.sum"), read(t, "classic/swarm.sum"))
	binary = filepath.Join(dir, "swarm")
	run(source, "go", "build", "-o", binary, ".")
	return binary
}

// manage starts a manager of the engines, and returns its address.
func (l *lab) manage(t *testing.T, binary string, engines ...*engine) string {
	t.Helper()
	at := netip.AddrPortFrom(l.host(1), 3376).String()
	var nodes []string
	for _, e := range engines {
		nodes = append(nodes, e.addr.String()+":2375")
	}
	cmd := exec.Command(binary, "manage", "--host", "tcp://"+at, "--engine-refresh-min-interval", "1s", "--engine-refresh-max-interval", "2s",
		"--engine-failure-retry", "1", "nodes://"+strings.Join(nodes, ","))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the manager: %s", log.String())
		}
	})
	return "tcp://" + at
}

// TestClassicSwarm takes labelled containers on the engines of a classic Swarm
// through deployment, scaling and the loss of an engine.
func TestClassicSwarm(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	binary := buildSwarm(t, l.dir)
	one, two := l.newEngine(t, "node1"), l.newEngine(t, "node2")
	manager := l.manage(t, binary, one, two)
	healthy := func(want int) {
		t.Helper()
		eventually(t, time.Minute, fmt.Sprintf("%d healthy engines", want), func() error {
			out, err := command("docker", "--config", filepath.Join(l.dir, "cli"), "--host", manager, "info")
			if n := strings.Count(out, "Status: Healthy"); err == nil && n != want {
				err = fmt.Errorf("%d\n%s", n, out)
			}
			return err
		})
	}
	healthy(2)
	from := "from: [{source: %s, label: " + shop + ", port: 80}]"
	n := newNitrox(t, l, fmt.Sprintf("  classic: {docker: {host: %q, kind: classic}}\n  found: {docker: {host: %q}}\n", manager, manager),
		map[string]string{"classic": fmt.Sprintf(from, "classic"), "found": fmt.Sprintf(from, "found")})
	run := func(e *engine, args ...string) string {
		t.Helper()
		return e.docker(append(append([]string{"run", "--detach", "--publish", "80"}, args...), "web:1")...)[0]
	}
	// settled waits until so many run on the engines and the manager has seen it.
	settled := func(want int) map[string]truth {
		t.Helper()
		all := truth{}
		eventually(t, time.Minute, fmt.Sprintf("%d healthy containers", want), func() error {
			clear(all)
			for _, e := range []*engine{one, two} {
				if e.process != nil {
					for at, ids := range e.healthy("label="+shop, "label=own") {
						all[at] = ids
					}
				}
			}
			out, err := command("docker", "--config", filepath.Join(l.dir, "cli"), "--host", manager, "ps", "--quiet", "--filter", "label=own", "--filter", "status=running", "--filter", "health=healthy")
			if seen := len(strings.Fields(out)); err == nil && (len(all) != want || seen != want) {
				err = fmt.Errorf("%d run, the manager knows of %d", len(all), seen)
			}
			return err
		})
		all.serves(t)
		return map[string]truth{"classic": all, "found": all}
	}

	step(t, "deploy on both engines, beside look-alikes")
	var ids []string
	for range 2 {
		ids = append(ids, run(one, "--label", shop, "--label", "own"), run(two, "--label", shop, "--label", "own"))
	}
	two.docker("import", "--change", `CMD ["/web"]`, "--change", "LABEL "+shop, filepath.Join(two.dir, "web.tar"), "labelled:1")
	two.docker("run", "--detach", "--publish", "80", "labelled:1")
	run(one, "--label", shop, "--label", "com.docker.compose.oneoff=True")
	n.inStep(func() map[string]truth { return settled(4) })

	step(t, "scale to 6, one by the manager's choice, and to 2")
	must(t, "docker", "--config", filepath.Join(l.dir, "cli"), "--host", manager, "run", "--detach", "--publish", "80", "--label", shop, "--label", "own", "web:1")
	run(two, "--label", shop, "--label", "own")
	n.inStep(func() map[string]truth { return settled(6) })
	one.docker("rm", "--force", ids[0])
	one.docker("rm", "--force", ids[2])
	two.docker("rm", "--force", ids[1])
	n.inStep(func() map[string]truth { return settled(3) })

	step(t, "an engine is lost: nothing is removed")
	untouched := n.untouched("classic", "found")
	two.stop()
	healthy(1)
	untouched(n.sync(1))

	step(t, "it is back as another, which the manager does not take: still nothing is removed")
	two.start() // its identity was in a folder that is gone
	eventually(t, time.Minute, "the manager has seen it", func() error {
		out, err := command("docker", "--config", filepath.Join(l.dir, "cli"), "--host", manager, "info")
		if err == nil && !strings.Contains(out, "shows up with another ID") {
			err = fmt.Errorf("it has not\n%s", out)
		}
		return err
	})
	output := n.sync(1)
	untouched(output)
	if want := "node node2 (" + two.addr.String() + ":2375) is Pending: not all of its containers are known"; !strings.Contains(output, want) {
		t.Errorf("it does not say %q:\n%s", want, output)
	}
}
