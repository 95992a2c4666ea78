//go:build e2e && linux

package kubernetes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// binaries are built once for all tests.
var binaries struct{ nitrox, apiserver, controllers, kubectl string }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if missing() != nil {
		return m.Run() // each test says what is missing
	}
	dir, err := os.MkdirTemp("", "nitrox-e2e-kubernetes-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries.nitrox = filepath.Join(dir, "nitrox")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binaries.nitrox, "../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build nitrox: %v\n%s", err, out)
		return 1
	}
	if err := buildControlPlane(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// buildControlPlane builds the Kubernetes binaries, unless the cache has them.
func buildControlPlane() error {
	mod, err := os.ReadFile("controlplane/go.mod")
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`(?m)^require k8s.io/kubernetes (v\S+)$`).FindSubmatch(mod)
	if found == nil {
		return errors.New("controlplane/go.mod does not name a version of k8s.io/kubernetes")
	}
	version := string(found[1])
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "nitrox-e2e", "kubernetes-"+version)
	binaries.apiserver, binaries.controllers = filepath.Join(dir, "kube-apiserver"), filepath.Join(dir, "kube-controller-manager")
	binaries.kubectl = filepath.Join(dir, "kubectl")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, binary := range []string{binaries.apiserver, binaries.controllers, binaries.kubectl} {
		if _, err := os.Stat(binary); err == nil {
			continue
		}
		name := filepath.Base(binary)
		fmt.Printf("building %s %s, which takes some minutes\n", name, version)
		cmd := exec.Command("go", "build", "-C", "controlplane", "-trimpath",
			"-ldflags", "-s -w -X k8s.io/component-base/version.gitVersion="+version, "-o", binary+".new", "k8s.io/kubernetes/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
		// Renamed when it is whole: the next run takes what is there.
		if err := os.Rename(binary+".new", binary); err != nil {
			return err
		}
	}
	return nil
}

// missing says what this machine lacks to run the tests.
func missing() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("they mount what a pod is given, which needs root"))
	}
	for _, tool := range []string{"etcd", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, err)
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
		t.Skipf("end-to-end tests cannot run (Debian has etcd in etcd-server): %v", err)
	}
}
