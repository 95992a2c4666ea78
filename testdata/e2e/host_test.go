//go:build e2e && linux

package e2e

import (
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources/redact/redacttest"
)

// TestHostedBySwarm runs Nitrox in the swarm that it reads, as examples/docker
// says: the image of a release, the stack, the mapping as a config and the
// password as a secret.
func TestHostedBySwarm(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.newSwarm(t, 1, 1)
	manager := s.engines[0]
	manager.stop() // it gets the socket that an engine has by default
	manager.args = append(manager.args, "--host", "unix:///var/run/docker.sock")
	manager.start()

	step(t, "the image, and the first plan in it, as docs/install.md says")
	script := strings.ReplaceAll(installing(t, "An image"), "../examples", "$EXAMPLES")
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-euxc", script)
	cmd.Dir = newDist(t)
	cmd.Env = append(os.Environ(), "HOME="+l.dir, "EXAMPLES="+examples, "DOCKER_HOST=unix://"+manager.socket())
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), firstPlan) != 1 || !strings.Contains(string(out), "\nnitrox v1.2.3 ") {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := manager.docker("run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none", "nitrox:v1.2.3", "version"); !strings.HasPrefix(got[0], "nitrox ") {
		t.Fatalf("nitrox version in the image: %q", got)
	}
	if got := manager.docker("image", "inspect", "--format",
		`{{len .RootFS.Layers}} {{.Config.User}} {{.Config.StopSignal}} {{index .Config.Labels "org.opencontainers.image.version"}}`, "nitrox:v1.2.3"); got[0] != "1 65532:65532 SIGTERM v1.2.3" {
		t.Errorf("the image's layers, user, signal and version: %s", got[0])
	}

	step(t, "deploy the stack of examples/docker")
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})
	sim.AddGroup("sg-shop")
	listener, err := net.Listen("tcp", net.JoinHostPort(l.host(1).String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(sim)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	deploy := func(stack string, changes ...string) {
		t.Helper()
		for _, file := range []string{stack, "nitrox.yaml", "read-only.cfg"} {
			text := read(t, filepath.Join("../../examples/docker", file))
			for pair := range slices.Chunk(changes, 2) {
				text = strings.ReplaceAll(text, pair[0], pair[1])
			}
			write(t, filepath.Join(l.dir, file), text)
		}
		must(t, "env", "NITROX_IMAGE=nitrox:v1.2.3", "HAPROXY_IMAGE=haproxy:e2e", "DOCKER_GROUP="+manager.socketGroup(), "docker", "--host", "unix://"+manager.socket(),
			"stack", "deploy", "--resolve-image", "never", "--compose-file", filepath.Join(l.dir, stack), "nitrox")
	}
	write(t, filepath.Join(l.dir, "password"), password+"\n")
	manager.docker("secret", "create", "netscaler_password", filepath.Join(l.dir, "password"))
	changes := []string{"https://192.0.2.10", server.URL, "drain: 30s", "drain: 0s", "10.0.0.0/16", l.subnet.String()}
	deploy("stack.yaml", changes...)

	inStep := func(tasks int) {
		t.Helper()
		s.settled(t, "web", tasks)
		want := s.host("web")
		want.serves(t)
		eventually(t, time.Minute, "Nitrox follows", func() error {
			var got []string
			for _, m := range sim.Members("sg-shop") {
				got = append(got, m.Addr.String())
			}
			if text := fmt.Sprint(want.addrs()); fmt.Sprint(got) != text {
				return fmt.Errorf("the members are %v, the engines run %v", got, text)
			}
			return nil
		})
	}
	s.create("web", "--label", "com.citrix.lb.appname=shop", "--replicas", "3", "--publish", "mode=host,target=80")
	inStep(3)

	step(t, "it runs as the example says")
	own := manager.docker("ps", "--quiet", "--filter", service("nitrox_nitrox"))
	if len(own) != 1 {
		t.Fatalf("%d containers of Nitrox", len(own))
	}
	if got := manager.docker("inspect", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.Config.User}}", own[0]); got[0] != "true [ALL] 65532:"+manager.socketGroup() {
		t.Errorf("read-only, capabilities dropped, user: %s", got[0])
	}

	step(t, "scale")
	manager.docker("service", "scale", "--detach", "web=6")
	inStep(6)

	step(t, "its container is killed, and another goes on")
	manager.docker("kill", own[0])
	manager.docker("service", "scale", "--detach", "web=2")
	inStep(2)

	step(t, "its log says what it did, and not the password")
	log, err := command("docker", "--host", "unix://"+manager.socket(), "service", "logs", "nitrox_nitrox")
	if err != nil {
		t.Fatal(err)
	}
	if redacttest.Shown(log, password) != "" {
		t.Error("the log has the password")
	}

	step(t, "the stack is removed: the members stay, and the session does not")
	left := sim.Sessions() - 1 // whoever was killed could not log out
	manager.docker("stack", "rm", "nitrox")
	eventually(t, 90*time.Second, "Nitrox ends", func() error {
		running := manager.docker("ps", "--quiet", "--filter", service("nitrox_nitrox"))
		if sessions := sim.Sessions(); sessions > left || len(running) > 0 {
			return fmt.Errorf("%d sessions, %d containers", sessions, len(running))
		}
		return nil
	})
	inStep(2)

	step(t, "the stack in which a proxy has the socket")
	manager.importProxy()
	// The lab has no encryption of overlay networks, and none between nodes.
	deploy("read-only.yaml", append(changes, "unix:///var/run/docker.sock", "tcp://reads:2375", `driver_opts: {encrypted: ""}`, "",
		"replicas: 1", "replicas: 1\n      placement: {constraints: [node.role == manager]}")...)
	manager.docker("service", "scale", "--detach", "web=4")
	inStep(4)
	own = manager.docker("ps", "--quiet", "--filter", service("nitrox_nitrox"))
	if got := manager.docker("inspect", "--format", "{{.Config.User}} {{range .Mounts}}{{.Destination}} {{end}}", own[0]); strings.Contains(got[0], "docker.sock") || !strings.HasPrefix(got[0], "65532:65532 ") {
		t.Errorf("user and mounts: %s", got[0])
	}
	manager.docker("stack", "rm", "nitrox")
}

// importProxy makes the image haproxy:e2e of this machine's HAProxy.
func (e *engine) importProxy() {
	e.t.Helper()
	binary, err := exec.LookPath("haproxy")
	if err != nil {
		e.t.Fatal(err)
	}
	files := []string{binary}
	for _, word := range strings.Fields(must(e.t, "ldd", binary)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	tarball := filepath.Join(e.dir, "haproxy.tar")
	must(e.t, append([]string{"tar", "--create", "--dereference", "--file", tarball}, files...)...)
	e.docker("import", "--change", fmt.Sprintf(`ENTRYPOINT [%q, "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]`, binary), tarball, "haproxy:e2e")
}

// socketGroup is the group of /var/run/docker.sock inside the node.
func (e *engine) socketGroup() string {
	e.t.Helper()
	out := must(e.t, "nsenter", "--target", fmt.Sprint(e.process.Process.Pid), "--mount", "stat", "-c", "%g", "/var/run/docker.sock")
	return strings.TrimSpace(out)
}
