//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources/redact/redacttest"
)

// TestDockerRun types "docker run" of docs/docker.md as it stands, block by block, into
// shells of two nodes whose engines listen as the document says. Only addresses are
// replaced. Each mapping must give the plan that the document shows, and with sync the
// NetScaler must have what the engines run.
//
// Three things are stand-ins. The NetScaler is simulated, with a certificate. The command
// docker-machine prints what the real one does, for a folder with the same files. And the
// classic Swarm is its last release, in an image of its own; its discovery service, for
// which Docker's was shut down, is the three requests that token:// makes.
func TestDockerRun(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	swarm1 := buildSwarm(t, l.dir)
	_, text, _ := strings.Cut(read(t, "../../docs/docker.md"), "\n## docker run\n")
	text, _, _ = strings.Cut(text, "\n## ")
	blocks := regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```\n").FindAllStringSubmatch(text, -1)

	ca := newAuthority(t, filepath.Join(l.dir, "ca.pem"))
	issue := func(name string, addr netip.Addr) (cert, key string) {
		t.Helper()
		cert, key = filepath.Join(l.dir, name+".pem"), filepath.Join(l.dir, name+"-key.pem")
		ca.issue(t, cert, key, &x509.Certificate{IPAddresses: []net.IP{addr.AsSlice()},
			// Both, since the manager of a classic Swarm shows its own to the engines.
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
		return cert, key
	}
	var engines []*engine
	for i := range 2 { // the nodes' addresses are known before they are made
		addr, node := l.host(byte(11+i)), fmt.Sprintf("node%d", i+1)
		cert, key := issue(node, addr)
		engines = append(engines, l.newEngine(t, node, "--host", "unix:///var/run/docker.sock", "--host", fmt.Sprintf("tcp://%v:2376", addr),
			"--tlsverify", "--tlscacert", filepath.Join(l.dir, "ca.pem"), "--tlscert", cert, "--tlskey", key))
	}
	one, two := engines[0], engines[1]

	// serve listens where the document's addresses are replaced with, behind TLS.
	serve := func(port uint16, handler http.Handler) string {
		t.Helper()
		at := netip.AddrPortFrom(l.host(1), port).String()
		cert, err := tls.LoadX509KeyPair(issue("service", l.host(1)))
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(handler)
		server.Listener.Close()
		if server.Listener, err = net.Listen("tcp", at); err != nil {
			t.Fatal(err)
		}
		server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		server.StartTLS()
		t.Cleanup(server.Close)
		return at
	}
	var edge atomic.Pointer[simulator.Simulator]
	serve(443, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { edge.Load().ServeHTTP(w, r) }))
	found := discovery{}
	addresses := []string{"192.0.2.10", l.host(1).String(), "192.0.2.0/24", l.subnet.String(),
		"192.0.2.21", one.addr.String(), "192.0.2.22", two.addr.String(), "discovery.example.com", serve(8443, &found)}
	here := strings.NewReplacer(addresses...)
	slices.Reverse(addresses)
	documented := strings.NewReplacer(addresses...)

	// next is the block that follows in the document.
	next := func(language string) string {
		t.Helper()
		if len(blocks) == 0 || blocks[0][1] != language {
			t.Fatalf("the document does not go on with %s: %q", language, blocks)
		}
		block := blocks[0][2]
		blocks = blocks[1:]
		return here.Replace(block)
	}
	place := func(file, text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
	}
	// begin makes a NetScaler without members, and writes the mapping that follows and the
	// other files into a folder.
	begin := func() (n *nitrox, folder string) {
		t.Helper()
		n = &nitrox{t: t, sim: simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})}
		n.sim.AddGroup("sg-shop")
		edge.Store(n.sim)
		folder = filepath.Join(l.dir, fmt.Sprint("folder", len(blocks)))
		n.mapping = filepath.Join(folder, "nitrox.yaml")
		place(n.mapping, next("yaml"), 0o644)
		place(filepath.Join(folder, "ns-ca.pem"), read(t, filepath.Join(l.dir, "ca.pem")), 0o644)
		place(filepath.Join(folder, "ns-password"), password+"\n", 0o644)
		return n, folder
	}
	// plans types the block that follows, which plans, and then with sync, which it returns.
	plans := func(n *nitrox, folder string, want truth, as ...string) (sync string) {
		t.Helper()
		block := next("sh")
		sync = strings.Replace(block, "nitrox plan", "nitrox sync", 1)
		began := time.Now()
		got := one.types(folder, block, as...)
		t.Logf("planned in %v", time.Since(began))
		if len(blocks) > 0 && blocks[0][1] == "text" {
			blanks := regexp.MustCompile(" +")
			shown := documented.Replace(next("text"))
			if !strings.Contains(blanks.ReplaceAllString(documented.Replace(got), " "), blanks.ReplaceAllString(shown, " ")) {
				t.Errorf("the document shows\n%s\nand this was printed:\n%s", shown, got)
			}
		}
		if len(n.members("sg-shop")) != 0 {
			t.Fatal("the plan has made changes")
		}
		n.holds(map[string]truth{"sg-shop": want}, one.types(folder, sync, as...))
		if left := n.sim.Sessions(); left != 0 {
			t.Errorf("%d sessions are left on the NetScaler", left)
		}
		return sync
	}
	// shops starts containers of the app at the ports from 8081.
	shops := func(e *engine, names ...string) {
		t.Helper()
		for _, name := range names {
			e.docker("run", "--detach", "--restart", "always", "--name", name, "--label", shop, "--publish", "808"+name[len(name)-1:]+":80", "web:1")
		}
	}

	step(t, "the image: built on one engine, a release's loaded into another")
	clone := filepath.Join(l.dir, "clone")
	must(t, "git", "clone", "--quiet", "../..", clone)
	two.types(clone, next("sh"))
	must(t, "cp", filepath.Join(newDist(t), "nitrox_v1.2.3_image.tar"), l.dir)
	began := time.Now()
	one.types(l.dir, next("sh"))
	t.Logf("loaded in %v: %s bytes", time.Since(began), one.docker("image", "inspect", "--format", "{{.Size}}", "nitrox")[0])
	private := next("sh")

	step(t, "an engine")
	shops(one, "shop-1", "shop-2")
	want := one.well(2)
	n, folder := begin()
	one.types(folder, private)
	plans(n, folder, want)

	step(t, "as a service")
	one.types(folder, next("sh"))
	const as = "{{with .HostConfig}}{{.ReadonlyRootfs}} {{.CapDrop}} {{.SecurityOpt}} {{.GroupAdd}}{{end}} {{.Config.User}}"
	rights := "true [ALL] [no-new-privileges] [" + one.socketGroup() + "] 65532:65532"
	if got, want := one.docker("inspect", "--format", as, "nitrox")[0], rights; got != want {
		t.Errorf("it runs as %s, want %s", got, want)
	}
	follows := func(name string, count int) {
		t.Helper()
		one.docker("run", "--detach", "--restart", "always", "--name", name, "--label", shop, "--publish", "80", "web:1")
		want := map[string]truth{"sg-shop": one.well(count)}
		eventually(t, time.Minute, "the service follows", func() error { return n.compare(want) })
	}
	follows("shop-3", 3)
	one.stop() // and all containers, as at a reboot
	one.start()
	one.well(3)
	follows("shop-4", 4)
	log := one.types(folder, next("sh"))
	if added := one.healthy("name=shop-4").addrs()[0]; !strings.Contains(log, added.String()) {
		t.Errorf("the log does not say that %v was bound:\n%s", added, log)
	}
	if redacttest.Shown(log, password) != "" {
		t.Error("the log has the password")
	}
	if left := n.sim.Sessions(); left != 0 || len(n.members("sg-shop")) != 4 {
		t.Errorf("after the service was stopped: %d sessions, members %v", left, n.members("sg-shop"))
	}
	one.docker("rm", "--force", "shop-2", "shop-3", "shop-4")

	step(t, "a swarm manager")
	one.docker("swarm", "init", "--advertise-addr", one.addr.String())
	token := one.docker("swarm", "join-token", "--quiet", "worker")[0]
	two.docker("swarm", "join", "--token", token, netip.AddrPortFrom(one.addr, 2377).String())
	s := swarm{engines: engines}
	s.create("shop", "--mode", "global", "--publish", "mode=host,published=8090,target=80")
	s.settled(t, "shop", 2)
	n, folder = begin()
	one.types(folder, private)
	plans(n, folder, s.host("shop"))
	two.docker("swarm", "leave")
	one.docker("swarm", "leave", "--force")

	step(t, "docker-machine")
	shops(two, "shop-1")
	want = two.well(1)
	n, folder = begin()
	machine := filepath.Join(l.dir, "machine")
	clientCert, clientKey := issue("client", l.host(1))
	for name, from := range map[string]string{"ca.pem": filepath.Join(l.dir, "ca.pem"), "cert.pem": clientCert, "key.pem": clientKey} {
		place(filepath.Join(machine, name), read(t, from), 0o600)
	}
	must(t, "chmod", "0700", machine)
	must(t, "chown", "--recursive", "1000", machine)
	must(t, "rm", filepath.Join(folder, "ns-password"))
	place(filepath.Join(l.dir, "tools", "docker-machine"), fmt.Sprintf(`#!/bin/sh
[ "$*" = "env edge-1" ] || exit 1
cat <<'END'
export DOCKER_TLS_VERIFY="1"
export DOCKER_HOST="tcp://%v:2376"
export DOCKER_CERT_PATH=%q
export DOCKER_MACHINE_NAME="edge-1"
# Run this command to configure your shell: 
# eval $(docker-machine env edge-1)
END
`, two.addr, machine), 0o755)
	plans(n, folder, want, "--setgid", one.socketGroup(), "--setuid", "1000")

	step(t, "a classic Swarm")
	for _, e := range engines {
		e.importSwarm(swarm1, filepath.Join(l.dir, "ca.pem"))
	}
	join := next("sh")
	one.types(l.dir, join)
	two.types(l.dir, strings.ReplaceAll(join, one.addr.String(), two.addr.String()))
	eventually(t, time.Minute, "both engines join", func() error {
		if engines := found.engines(); len(engines) != 2 {
			return fmt.Errorf("the discovery service knows %v", engines)
		}
		return nil
	})
	const copies = "cp ca.pem /etc/docker; cp node1.pem /etc/docker/server.pem; cp node1-key.pem /etc/docker/server-key.pem\n"
	one.types(l.dir, copies+next("sh"))
	copied := next("sh")
	withKey := func(folder string) {
		t.Helper()
		for name, from := range map[string]string{"ca.pem": "ca.pem", "cert.pem": "client.pem", "key.pem": "client-key.pem"} {
			place(filepath.Join(folder, name), read(t, filepath.Join(l.dir, from)), 0o644)
		}
		one.types(folder, private+copied)
	}
	n, folder = begin()
	withKey(folder)
	eventually(t, time.Minute, "two healthy engines", func() error {
		out, err := one.try(folder, fmt.Sprintf("DOCKER_CERT_PATH=. docker --tlsverify --host tcp://%v:3376 info", one.addr))
		if err == nil && strings.Count(out, "Status: Healthy") != 2 {
			err = fmt.Errorf("not yet:\n%s", out)
		}
		return err
	})
	want = one.well(1)
	maps.Copy(want, two.well(1))
	plans(n, folder, want)

	step(t, "virtual machines")
	n, folder = begin()
	withKey(folder)
	again := plans(n, folder, want)
	if len(blocks) > 0 {
		t.Errorf("blocks that nobody has typed: %q", blocks)
	}
	two.stop()
	shops(one, "shop-2")
	maps.Copy(want, one.well(2))
	out, err := one.try(folder, again)
	if err == nil {
		t.Errorf("an engine is lost, and the exit code does not say so:\n%s", out)
	}
	n.holds(map[string]truth{"sg-shop": want}, out)
}

// types types a block into a shell of the node, as root or as options of nsenter say,
// and returns what it printed.
func (e *engine) types(folder, block string, as ...string) string {
	e.t.Helper()
	out, err := e.try(folder, block, as...)
	if err != nil {
		e.t.Fatalf("%s: %v\n%s\n%s", e.node, err, block, out)
	}
	return out
}

func (e *engine) try(folder, block string, as ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	args := append([]string{"--target", fmt.Sprint(e.process.Process.Pid), "--mount", "--net", "--uts", "--pid"}, as...)
	cmd := exec.CommandContext(ctx, "nsenter", append(args, "bash", "-euc", fmt.Sprintf("cd %q\n%s", folder, block))...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+filepath.Join(e.lab.dir, "cli"),
		"PATH="+filepath.Join(e.lab.dir, "tools")+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdin = strings.NewReader(password + "\n") // for the block that asks for it
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// well waits until the engine runs so many healthy containers of the app.
func (e *engine) well(count int) truth {
	e.t.Helper()
	var want truth
	eventually(e.t, time.Minute, fmt.Sprintf("%d healthy containers of %s", count, e.node), func() error {
		if want = e.healthy("label=" + shop); len(want) != count {
			return fmt.Errorf("there are %d", len(want))
		}
		return nil
	})
	return want
}

// importSwarm makes the image swarm:1.2.9, which trusts an authority.
func (e *engine) importSwarm(binary, ca string) {
	e.t.Helper()
	root := filepath.Join(e.dir, "swarm")
	must(e.t, "install", "-D", binary, filepath.Join(root, "swarm"))
	must(e.t, "install", "-D", ca, filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	must(e.t, "tar", "--create", "--file", root+".tar", "--directory", root, ".")
	e.docker("import", "--change", `ENTRYPOINT ["/swarm"]`, root+".tar", "swarm:1.2.9")
}

// discovery is a discovery service of the classic Swarm, for one token.
type discovery struct {
	mu   sync.Mutex
	list []string
}

func (d *discovery) engines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

func (d *discovery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/clusters/6856663cdefdec325839a4b7e1de38e8" {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodGet {
		json.NewEncoder(w).Encode(d.engines()) // a client that is gone asks again
		return
	}
	engine, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.list, string(engine)) {
		d.list = append(d.list, string(engine))
	}
}
