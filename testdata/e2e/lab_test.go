//go:build e2e && linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runs is where the folders of the runs are. Not /tmp, which may be a tmpfs on
// which the engine's overlay file system does not work.
const runs = "/var/tmp"

// prefix begins the name of all that a run leaves on the machine.
const prefix = "nxe"

// claim makes a folder that is locked as long as this process lives, and
// returns its name, which is of the form nxe3f2a.
func claim() (name string, lock *os.File, err error) {
	for {
		name = fmt.Sprintf("%s%04x", prefix, rand.N(1<<16))
		err := os.Mkdir(filepath.Join(runs, name), 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		lock, err := lockDir(filepath.Join(runs, name))
		return name, lock, err
	}
}

// lab is a network of nodes on this machine: network namespaces on one bridge.
// Everything it consists of is found by its name alone, so that one tearDown
// serves the run itself and a later one that finds the remains of a dead run.
type lab struct {
	name   string // of the bridge, the cgroup and the folder
	dir    string
	subnet netip.Prefix
	nodes  int
}

// newLab makes a network that goes away with the test.
func newLab(t *testing.T) *lab {
	t.Helper()
	require(t)
	name, lock, err := claim()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tearDown(name); err != nil {
			t.Errorf("tear down %s: %v", name, err)
		}
		lock.Close()
	})
	l := &lab{name: name, dir: filepath.Join(runs, name), subnet: freeSubnet(t)}

	must(t, "ip", "link", "add", l.name, "type", "bridge")
	must(t, "ip", "addr", "add", l.host(1).String()+"/24", "dev", l.name)
	must(t, "ip", "link", "set", l.name, "up")
	// Bridged packets pass the machine's FORWARD chain where br_netfilter is
	// loaded, and a Docker of the machine sets its policy to DROP.
	must(t, "iptables", "-w", "-I", "FORWARD", "-i", l.name, "-j", "ACCEPT")
	must(t, "iptables", "-w", "-I", "FORWARD", "-o", l.name, "-j", "ACCEPT")
	return l
}

// host is an address of the lab's network; 1 is this machine.
func (l *lab) host(n byte) netip.Addr {
	a := l.subnet.Addr().As4()
	a[3] = n
	return netip.AddrFrom4(a)
}

// namespace makes the network namespace of a node, and returns its name and address.
func (l *lab) namespace(t *testing.T, node string) (string, netip.Addr) {
	t.Helper()
	l.nodes++
	ns, outer, addr := l.name+"-"+node, fmt.Sprintf("%sv%d", l.name, l.nodes), l.host(byte(10+l.nodes))
	must(t, "ip", "netns", "add", ns)
	must(t, "ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", ns)
	must(t, "ip", "link", "set", outer, "master", l.name, "up")
	must(t, "ip", "-n", ns, "addr", "add", addr.String()+"/24", "dev", "eth0")
	must(t, "ip", "-n", ns, "link", "set", "eth0", "up")
	must(t, "ip", "-n", ns, "link", "set", "lo", "up")
	must(t, "ip", "-n", ns, "route", "add", "default", "via", l.host(1).String())
	return ns, addr
}

// freeSubnet returns a /24 of the range for benchmarks (RFC 2544) that this
// machine does not use; Docker never picks from it either.
func freeSubnet(t *testing.T) netip.Prefix {
	t.Helper()
	used := must(t, "ip", "-4", "route", "show", "table", "all")
	for range 100 {
		a := netip.AddrFrom4([4]byte{198, 18, byte(rand.N(256)), 0})
		if !strings.Contains(used, strings.TrimSuffix(a.String(), "0")) {
			return netip.PrefixFrom(a, 24)
		}
	}
	t.Fatal("no free subnet in 198.18.0.0/16")
	return netip.Prefix{}
}

// lockDir holds a run's folder as long as the process lives.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// sweep removes what runs that were killed have left. Their engines died with
// them; see engine.start.
func sweep() error {
	dirs, err := filepath.Glob(filepath.Join(runs, prefix+"[0-9a-f][0-9a-f][0-9a-f][0-9a-f]"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		lock, err := lockDir(dir)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue // of a run that is alive
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Println("removing", dir, "and what else an earlier run left")
		errs = append(errs, tearDown(filepath.Base(dir)))
		lock.Close()
	}
	return errors.Join(errs...)
}

// tearDown removes all that bears a lab's name. Its engines must be dead.
func tearDown(name string) error {
	errs := []error{thaw(name)}
	try := func(args ...string) {
		if _, err := command(args...); err != nil {
			errs = append(errs, err)
		}
	}
	spaces, err := filepath.Glob("/var/run/netns/" + name + "-*")
	errs = append(errs, err)
	for _, s := range spaces {
		try("ip", "netns", "del", filepath.Base(s))
	}
	// Each step below may not have been reached when the run was killed.
	if _, err := os.Stat("/sys/class/net/" + name); err == nil {
		try("ip", "link", "del", name)
	}
	for _, direction := range []string{"-i", "-o"} {
		rule := []string{"FORWARD", direction, name, "-j", "ACCEPT"}
		if _, err := command(append([]string{"iptables", "-w", "-C"}, rule...)...); err == nil {
			try(append([]string{"iptables", "-w", "-D"}, rule...)...)
		}
	}
	errs = append(errs, removeCgroups(name))
	if err := errors.Join(errs...); err != nil {
		return err // the folder stays, so that a later run tries again
	}
	return os.RemoveAll(filepath.Join(runs, name))
}

// thaw lets paused containers die: with cgroups of version 1 a process that is
// frozen cannot even be killed.
func thaw(name string) error {
	files, err := filepath.Glob("/sys/fs/cgroup/freezer/" + name + "/*/freezer.state")
	errs := []error{err}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("THAWED"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENODEV) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// removeCgroups removes the empty cgroups of containers whose engine was
// killed, of both versions.
func removeCgroups(name string) error {
	var dirs []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		roots, err := filepath.Glob(pattern + name)
		if err != nil {
			return err
		}
		for _, root := range roots {
			err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	for _, dir := range slices.Backward(dirs) {
		// The processes have been killed, and may take a moment to be gone.
		err := retry(10*time.Second, func() error {
			err := os.Remove(dir)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// command runs a command and returns what it printed on stdout; its error says
// what it printed on stderr.
func command(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// step says what comes next. The steps of a test build on each other, so they
// are not tests of their own.
func step(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("STEP: "+format, args...)
}

// retry calls f until it returns nil or limit is over, and returns its last
// error.
func retry(limit time.Duration, f func() error) error {
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}

// eventually waits until f returns nil, and fails the test with its last error
// if that takes longer than limit.
func eventually(t *testing.T, limit time.Duration, what string, f func() error) {
	t.Helper()
	if err := retry(limit, f); err != nil {
		t.Fatalf("%s: not within %v: %v", what, limit, err)
	}
}
