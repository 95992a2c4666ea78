//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources/redact/redacttest"
)

// nitrox is the binary with a mapping file, and the NetScaler it looks after.
type nitrox struct {
	t       *testing.T
	sim     *simulator.Simulator
	url     string // of the NetScaler
	mapping string
}

// password is that of the NetScaler's user. Nothing may ever print it.
const password = `pa"55\that<is&never>printed`

// newNitrox makes a NetScaler with empty service groups, one for each app, and
// a mapping file of the sources and apps given as YAML. Members are unbound at
// once and nothing waits for health: what a pass does is there when it ends.
func newNitrox(t *testing.T, l *lab, sources string, apps map[string]string) *nitrox {
	t.Helper()
	n := &nitrox{t: t, sim: simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}}),
		mapping: filepath.Join(l.dir, "nitrox.yaml")}
	server := httptest.NewServer(n.sim)
	t.Cleanup(server.Close)
	n.url = server.URL

	secret := filepath.Join(l.dir, "password")
	yaml := fmt.Sprintf("netscalers:\n  edge: {url: %q, username: nitrox, password_file: %q}\n", server.URL, secret)
	yaml += "defaults: {drain: 0s, wait_up: 0s}\nsources:\n" + sources + "apps:\n"
	for name, rest := range apps {
		n.sim.AddGroup(name)
		yaml += fmt.Sprintf("  - {name: %s, %s}\n", name, rest)
	}
	write(t, secret, password+"\n")
	write(t, n.mapping, yaml)
	return n
}

func write(t *testing.T, file, text string) {
	t.Helper()
	// Renamed into place, as the file source asks its writers to do.
	if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
}

// run runs the binary and returns its exit code and all it printed.
func (n *nitrox) run(args ...string) (code int, output string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binaries.nitrox, append(args, "--config", n.mapping)...)
	// No DOCKER_HOST, no NS_PASSWORD: the mapping says it all.
	cmd.Env = []string{"HOME=" + filepath.Dir(n.mapping)}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 0) {
		n.t.Fatalf("nitrox %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	if redacttest.Shown(out.String(), password) != "" {
		n.t.Errorf("nitrox %s printed the password", strings.Join(args, " "))
	}
	if left := n.sim.Sessions(); left != 0 {
		n.t.Errorf("nitrox %s left %d sessions on the NetScaler", strings.Join(args, " "), left)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// sync runs one pass, checks its exit code, and returns what it printed.
func (n *nitrox) sync(code int) string {
	n.t.Helper()
	got, output := n.run("sync")
	if got != code {
		n.t.Fatalf("nitrox sync: exit %d, want %d\n%s", got, code, output)
	}
	return output
}

// proposes has init write a mapping by what the groups hold now, after a pass: it is
// right, it has all groups, and there is nothing left to do.
func (n *nitrox) proposes(docker string, groups ...string) {
	n.t.Helper()
	first := *n
	first.mapping = filepath.Join(filepath.Dir(n.mapping), "first.yaml")
	if err := os.RemoveAll(first.mapping); err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command(binaries.nitrox, "init", "--netscaler", n.url, "--user", "nitrox", "--password-file", "password", "--docker", docker, "--out", first.mapping)
	cmd.Env = []string{"HOME=" + filepath.Dir(n.mapping)}
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nitrox init: %v\n%s", err, out)
	}
	text := read(n.t, first.mapping)
	for _, g := range groups {
		if !strings.Contains(text, "- name: "+g+"\n    only: [") {
			n.t.Errorf("init did not match %s:\n%s", g, text)
		}
	}
	for _, args := range [][]string{{"validate"}, {"plan", "--exit-code"}} {
		if code, output := first.run(args...); code != 0 {
			n.t.Errorf("nitrox %s: exit %d\n%s\n%s", strings.Join(args, " "), code, output, text)
		}
	}
}

// members are the addresses that the NetScaler would send requests to.
func (n *nitrox) members(group string) []netip.AddrPort {
	addrs := []netip.AddrPort{}
	for _, m := range n.sim.Members(group) {
		if m.State == "ENABLED" {
			addrs = append(addrs, m.Addr)
		}
	}
	return addrs
}

// inStep runs one pass, after which each group must hold its truth and nothing
// else, and a second look must find nothing to do. The truth is asked before
// and after: if it has changed between, the pass proved nothing, and is
// repeated.
func (n *nitrox) inStep(now func() map[string]truth) {
	n.t.Helper()
	want := now()
	for range 10 {
		problem := n.pass(want)
		if problem == nil {
			return
		}
		again := now()
		if reflect.DeepEqual(again, want) {
			n.t.Fatal(problem)
		}
		n.t.Log("the engines changed during the pass, which is repeated")
		want = again
	}
	n.t.Fatal("the engines do not come to rest")
}

// pass runs sync and then plan, and says what is not as it must be.
func (n *nitrox) pass(want map[string]truth) error {
	n.t.Helper()
	code, output := n.run("sync")
	if code != 0 {
		return fmt.Errorf("nitrox sync: exit %d\n%s", code, output)
	}
	if err := n.compare(want); err != nil {
		return fmt.Errorf("%w\nnitrox printed:\n%s", err, output)
	}
	n.sim.ResetCalls()
	if code, output := n.run("plan", "--exit-code"); code != 0 {
		return fmt.Errorf("nitrox plan --exit-code after a sync: exit %d\n%s", code, output)
	}
	for _, c := range n.sim.Calls() {
		if c.Method != "GET" && c.Type != "login" && c.Type != "logout" {
			n.t.Fatalf("nitrox plan sent %s %s", c.Method, c.Path)
		}
	}
	return nil
}

// compare says which groups do not hold their truth.
func (n *nitrox) compare(want map[string]truth) error {
	var errs []error
	for group, truth := range want {
		got, want := n.sim.Members(group), truth.addrs()
		if !slices.Equal(n.members(group), want) || len(got) != len(want) {
			errs = append(errs, fmt.Errorf("%s: the members are %v, the engines run %v", group, got, want))
		}
	}
	return errors.Join(errs...)
}

// holds checks that the groups hold the truth; output is what the pass before
// printed.
func (n *nitrox) holds(want map[string]truth, output string) {
	n.t.Helper()
	if err := n.compare(want); err != nil {
		n.t.Fatalf("%v\nnitrox printed:\n%s", err, output)
	}
}

// untouched returns a check that no group has changed since.
func (n *nitrox) untouched(groups ...string) (check func(output string)) {
	before := map[string][]simulator.Member{}
	for _, g := range groups {
		before[g] = n.sim.Members(g)
	}
	return func(output string) {
		n.t.Helper()
		for g, want := range before {
			if got := n.sim.Members(g); !slices.Equal(got, want) {
				n.t.Errorf("%s: the members are %v, and were %v\n%s", g, got, want, output)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
