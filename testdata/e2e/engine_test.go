//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// engine is a dockerd on a node of its own: its network, processes, mounts,
// host name, configuration and data are apart from the machine's and from
// those of the other nodes.
type engine struct {
	t         *testing.T
	node      string
	addr      netip.Addr
	namespace string
	dir       string
	args      []string
	lab       *lab
	process   *exec.Cmd     // nil while stopped
	gone      chan struct{} // closed when process has ended
}

// inside prepares a node from within its namespaces and becomes dockerd.
//
// The machine's /run and /etc/docker are covered: in the one is the socket of
// a containerd that dockerd would share, in the other a daemon.json that it
// would obey and the key it would overwrite.
const inside = `set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /etc/docker
mount -t tmpfs tmpfs /etc/docker
hostname "$0"
exec dockerd "$@"`

// newEngine starts an engine on a new node of the lab and gives it the image
// web:1. It listens on tcp at port 2375, or as extra flags say.
func (l *lab) newEngine(t *testing.T, node string, extra ...string) *engine {
	t.Helper()
	ns, addr := l.namespace(t, node)
	e := &engine{t: t, node: node, addr: addr, namespace: ns, dir: filepath.Join(l.dir, node), lab: l}
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if extra == nil {
		extra = []string{"--host", e.tcp(2375), "--tls=false"}
	}
	e.args = append([]string{
		"--data-root", filepath.Join(e.dir, "data"),
		"--host", "unix://" + e.socket(),
		"--cgroup-parent", "/" + l.name,
		"--exec-opt", "native.cgroupdriver=cgroupfs",
		"--log-level", "warn",
	}, extra...)
	t.Cleanup(func() {
		e.kill()
		if t.Failed() {
			e.tail()
		}
	})
	e.start()
	e.importImage()
	return e
}

func (e *engine) socket() string         { return filepath.Join(e.dir, "d.sock") }
func (e *engine) log() string            { return filepath.Join(e.dir, "log") }
func (e *engine) tcp(port uint16) string { return "tcp://" + netip.AddrPortFrom(e.addr, port).String() }

// start starts dockerd and waits until it answers.
//
// It is the first process of a PID namespace: when it dies, however it dies,
// the kernel ends all that it started. And it dies with the test's process.
func (e *engine) start() {
	e.t.Helper()
	log, err := os.OpenFile(e.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("nsenter", append([]string{"--net=/var/run/netns/" + e.namespace,
		"sh", "-c", inside, e.node}, e.args...)...)
	// Without the variable each task first tries to pull its image.
	cmd.Env = append(os.Environ(), "DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		e.t.Fatalf("start the engine of %s: %v", e.node, err)
	}
	e.process, e.gone = cmd, make(chan struct{})
	go func() {
		cmd.Wait() // how it ended is in its log
		close(e.gone)
	}()
	eventually(e.t, time.Minute, "start the engine of "+e.node, func() error {
		select {
		case <-e.gone:
			e.t.Fatalf("the engine of %s ended: %v", e.node, cmd.ProcessState)
		default:
		}
		return e.ping()
	})
}

func (e *engine) ping() error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.socket())
		},
	}}
	resp, err := client.Get("http://engine/_ping")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// stop ends the engine in order, as the machine's shutdown does: its
// containers end too.
func (e *engine) stop() {
	e.t.Helper()
	if err := e.process.Process.Signal(syscall.SIGTERM); err != nil {
		e.t.Fatalf("stop the engine of %s: %v", e.node, err)
	}
	select {
	case <-e.gone:
	case <-time.After(time.Minute):
		e.t.Fatalf("the engine of %s does not stop", e.node)
	}
	e.process = nil
}

// kill ends the engine and its containers without a word, as a power cut does.
func (e *engine) kill() {
	if e.process == nil {
		return
	}
	if err := e.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.t.Errorf("kill the engine of %s: %v", e.node, err)
		return
	}
	if err := thaw(e.lab.name); err != nil {
		e.t.Errorf("kill the paused containers of %s: %v", e.node, err)
	}
	select {
	case <-e.gone:
	case <-time.After(time.Minute):
		e.t.Errorf("the engine of %s does not die", e.node)
	}
	e.process = nil
}

// tail shows the end of the engine's log.
func (e *engine) tail() {
	b, err := os.ReadFile(e.log())
	if err != nil {
		e.t.Logf("log of %s: %v", e.node, err)
		return
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	e.t.Logf("the engine of %s, last of %d lines:\n%s", e.node, len(lines),
		bytes.Join(lines[max(0, len(lines)-60):], []byte("\n")))
}

// docker runs a docker command on the engine and returns the lines it prints.
func (e *engine) docker(args ...string) []string {
	e.t.Helper()
	lines, err := e.tryDocker(args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return lines
}

func (e *engine) tryDocker(args ...string) ([]string, error) {
	// The folder keeps the contexts and credentials of who runs the tests out.
	out, err := command(append([]string{"docker", "--config", filepath.Join(e.lab.dir, "cli"),
		"--host", "unix://" + e.socket()}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.node, err)
	}
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' }), nil
}

// importImage makes the image web:1 from one file.
func (e *engine) importImage() {
	e.t.Helper()
	tarball := filepath.Join(e.dir, "web.tar")
	must(e.t, "tar", "--create", "--file", tarball, "--directory", filepath.Dir(binaries.web), filepath.Base(binaries.web))
	e.docker("import",
		"--change", `HEALTHCHECK --interval=1s --timeout=2s --retries=2 CMD ["/web","check"]`,
		"--change", `CMD ["/web"]`,
		tarball, "web:1")
}
