//go:build e2e && linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// binaries are built once for all tests.
var binaries struct{ nitrox, web string }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// dockerd and iptables live there, and not everyone's PATH says so.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	if missing() != nil {
		return m.Run() // each test says what is missing
	}
	if err := sweep(); err != nil {
		fmt.Fprintf(os.Stderr, "remove what an earlier run left: %v\n", err)
		return 1
	}
	name, lock, err := claim()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer lock.Close()
	dir := filepath.Join(runs, name)
	defer os.RemoveAll(dir)
	binaries.nitrox, binaries.web = filepath.Join(dir, "nitrox"), filepath.Join(dir, "web")
	for binary, source := range map[string]string{binaries.nitrox: "../..", binaries.web: "./web"} {
		cmd := exec.Command("go", "build", "-o", binary, source)
		// Without C the binaries are static: web runs in an image that has no libc.
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", source, err, out)
			return 1
		}
	}
	return m.Run()
}

// missing says what this machine lacks to run the tests.
func missing() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("they make network namespaces, which needs root"))
	}
	for _, tool := range strings.Fields("dockerd docker ip iptables nsenter tar haproxy") {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, err)
		}
	}
	if errs == nil {
		// Root of a container that lacks privileges is not enough.
		probe := exec.Command("true")
		probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
		if err := probe.Run(); err != nil {
			errs = append(errs, fmt.Errorf("namespaces cannot be made: %w", err))
		}
	}
	return errors.Join(errs...)
}

// require skips a test whose components are missing; in CI that is a failure.
func require(t *testing.T) {
	t.Helper()
	err := missing()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("end-to-end tests cannot run: %v", err)
	default:
		t.Skipf("end-to-end tests cannot run (install.sh installs what is missing): %v", err)
	}
}
