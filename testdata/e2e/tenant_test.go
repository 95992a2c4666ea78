//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLookalikes has containers on an engine that only look like the app's: made
// as Compose makes them, by an image's own label, by a swarm. Nitrox reads the
// engine by its address and through the proxy of examples/docker.
func TestLookalikes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := l.newEngine(t, "node1")
	proxy := l.readOnly(t, e)
	from := "from: [{source: %s, label: " + shop + ", port: 80}]"
	n := newNitrox(t, l, fmt.Sprintf("  engine: {docker: {host: %q, kind: engine}}\n  reads: {docker: {host: %q, kind: engine, host_address: %s}}\n", e.tcp(2375), proxy, e.addr),
		map[string]string{"engine": fmt.Sprintf(from, "engine"), "reads": fmt.Sprintf(from, "reads"),
			"compose": "from: [{source: engine, service: shop/web, port: 80}]", "by-hand": "from: [{source: engine, label: app=by-hand, port: 80}]"})

	// compose starts a container as Compose does, of an image that it has built.
	compose := func(name, number, oneOff string, more ...string) {
		t.Helper()
		args := []string{"run", "--detach", "--name", name, "--label", shop}
		for _, label := range []string{"project=shop", "service=web", "container-number=" + number, "oneoff=" + oneOff, "config-hash=4f1c", "version=2.40.0"} {
			args = append(args, "--label", "com.docker.compose."+label)
		}
		e.docker(append(append(args, more...), "built:1")...)
	}
	e.docker("import", "--change", `CMD ["/web"]`, "--change", "LABEL com.docker.compose.project=shop com.docker.compose.service=web com.docker.compose.version=2.40.0",
		filepath.Join(e.dir, "web.tar"), "built:1")
	e.docker("import", "--change", `CMD ["/web"]`, "--change", "LABEL "+shop+" app=by-hand", filepath.Join(e.dir, "web.tar"), "labelled:1")

	step(t, "beside two of the app: one-offs, the image's own label, and those that do not run")
	compose("shop-web-1", "1", "False", "--publish", "80")
	compose("shop-web-2", "2", "False", "--publish", "80")
	compose("shop-web-run-a", "1", "True")
	compose("shop-web-run-b", "1", "True", "--publish", "80")
	e.docker("run", "--detach", "--name", "image-only", "--publish", "80", "labelled:1")
	e.docker("run", "--detach", "--name", "built-by-hand", "--label", shop, "--publish", "80", "built:1")
	e.docker("run", "--detach", "--name", "exited", "--label", shop, "--publish", "80", "built:1", "/web", "check")
	e.docker("create", "--name", "created", "--label", shop, "--publish", "80", "built:1")
	e.docker("run", "--detach", "--name", "restarting", "--restart", "always", "--label", shop, "--publish", "80", "built:1", "/web", "check")
	e.docker("run", "--detach", "--name", "paused", "--label", shop, "--publish", "80", "built:1")
	e.docker("pause", "paused")
	// The wait doubles each time; in between it runs for a moment.
	eventually(t, time.Minute, "one waits to be restarted", func() error {
		got, err := e.tryDocker("inspect", "--format", "{{.State.Status}} {{.RestartCount}}", "restarting")
		if err == nil && !slices.Equal(got, []string{"restarting 7"}) {
			err = fmt.Errorf("it is %v", got)
		}
		return err
	})
	published := func(names ...string) truth {
		t.Helper()
		all := truth{}
		for _, name := range names {
			for _, line := range e.docker("port", name, "80/tcp") {
				if port, ok := strings.CutPrefix(line, "0.0.0.0:"); ok {
					all[netip.MustParseAddrPort(e.addr.String()+":"+port)] = e.docker("inspect", "--format", "{{.Id}}", name)
				}
			}
		}
		if len(all) != len(names) {
			t.Fatalf("%v publish %v", names, all)
		}
		return all
	}
	label, ofCompose := published("shop-web-1", "shop-web-2", "built-by-hand"), published("shop-web-1", "shop-web-2")
	label.serves(t)
	want := map[string]truth{"engine": label, "reads": label, "compose": ofCompose, "by-hand": {}}
	output := n.sync(1) // by-hand is absent: its only container has the label from its image
	n.holds(want, output)
	_, output = n.run("plan", "--output", "json")
	output = strings.ReplaceAll(output, `\"`, `"`)
	for _, line := range []string{
		"container shop-web-run-a: a one-off container (docker compose run)",
		"container shop-web-run-b: a one-off container (docker compose run)",
		"container image-only: its label " + shop + " comes from its image; take it out of the image, and give it to the container (docker run --label)",
		"container built-by-hand: its label com.docker.compose.service=web comes from its image, and Docker Compose did not start it",
		"container exited: exited", "container created: created", "container restarting: restarting", "container paused: paused",
		`label "app=by-hand": there is no container with the label app=by-hand, apart from 1 container left out`,
	} {
		if what, why, _ := strings.Cut(line, ": "); !strings.Contains(output, what) || !strings.Contains(output, why) {
			t.Errorf("the plan does not say %q", line)
		}
	}
	if t.Failed() {
		t.Log(output)
	}

	e.docker("rm", "--force", "restarting")

	step(t, "the engine becomes a swarm's manager, whose tasks have the label too")
	e.docker("swarm", "init", "--advertise-addr", e.addr.String())
	swarm{[]*engine{e}}.create("task", "--container-label", shop, "--publish", "mode=host,target=80")
	eventually(t, time.Minute, "the task runs", func() error {
		got, err := e.running("label=com.docker.swarm.service.name=task", "health=healthy")
		if err == nil && len(got) != 1 {
			err = fmt.Errorf("%d containers", len(got))
		}
		return err
	})
	n.holds(want, n.sync(1))

	step(t, "the proxy lets nothing through but the reads that are needed")
	address := "http" + strings.TrimPrefix(proxy, "tcp")
	for request, want := range map[string]int{
		"GET /_ping": 200, "HEAD /_ping": 200, "GET /v1.41/containers/json": 200, "GET /v1.41/info": 200, "GET /v1.41/services": 200,
		"GET /v1.41/tasks": 200, "GET /v1.41/nodes": 200, "GET /info": 200,
		"POST /v1.41/containers/create": 403, "POST /v1.41/containers/json": 403, "DELETE /v1.41/containers/json": 403, "PUT /_ping": 403,
		"GET /v1.41/containers/shop-web-1/json": 403, "GET /v1.41/containers/shop-web-1/export": 403, "GET /v1.41/containers/shop-web-1/logs?stdout=1": 403,
		"GET /v1.41/secrets": 403, "GET /v1.41/configs": 403, "GET /v1.41/swarm": 403, "GET /v1.41/images/json": 403, "GET /v1.41/images/get?names=web:1": 403,
		"GET /v1.41/containers/json/../shop-web-1/export": 403, "GET /v1.41/../swarm/_ping": 403, "GET /v1.41/containers/%6ason": 403,
	} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", request, resp.Status, want)
		}
	}
}

// readOnly puts the proxy of examples/docker in front of an engine's socket, and
// returns its address.
func (l *lab) readOnly(t *testing.T, e *engine) string {
	t.Helper()
	at := netip.AddrPortFrom(l.host(1), 2375).String()
	config := filepath.Join(l.dir, "read-only.cfg")
	write(t, config, strings.NewReplacer("bind :2375", "bind "+at, "unix@/var/run/docker.sock", "unix@"+e.socket()).Replace(read(t, "../../examples/docker/read-only.cfg")))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "haproxy", "-db", "-f", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the proxy: %s", log.String())
		}
	})
	eventually(t, 10*time.Second, "the proxy answers", func() error {
		resp, err := http.Get("http://" + at + "/_ping")
		if err != nil {
			return err
		}
		resp.Body.Close()
		return nil
	})
	return "tcp://" + at
}
