//go:build e2e && linux

package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/netip"
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

// nitrox is the binary with a mapping file, and the NetScaler it looks after.
type nitrox struct {
	t       *testing.T
	sim     *simulator.Simulator
	url     string // of the NetScaler
	dir     string
	mapping string
	command []string // before the binary and its arguments
	env     []string
	used    *exec.Cmd // the last run
}

// password is that of the NetScaler's user. Nothing may ever print it.
const password = `pa"55\that<is&never>printed`

// newNitrox makes a NetScaler with empty service groups, one for each app, and
// a mapping file of the sources and apps given as YAML.
func newNitrox(t *testing.T, sources map[string]string, apps map[string]string) *nitrox {
	t.Helper()
	dir := t.TempDir()
	n := &nitrox{t: t, sim: simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}}), dir: dir, mapping: filepath.Join(dir, "nitrox.yaml")}
	server := httptest.NewServer(n.sim)
	t.Cleanup(server.Close)
	n.url = server.URL
	n.write("password", password+"\n")
	yaml := fmt.Sprintf("netscalers:\n  edge: {url: %q, username: nitrox, password_file: password}\n", server.URL)
	yaml += "defaults: {drain: 0s, wait_up: 0s, max_remove: 100%}\nsources:\n"
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		n.write(name+".kubeconfig", sources[name])
		yaml += fmt.Sprintf("  %s: {kubernetes: {kubeconfig: %s.kubeconfig}}\n", name, name)
	}
	yaml += "apps:\n"
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		n.sim.AddGroup(name)
		yaml += fmt.Sprintf("  - {name: %s, %s}\n", name, apps[name])
	}
	n.write("nitrox.yaml", yaml)
	return n
}

// of is a Nitrox that looks at one cluster with all rights.
func of(c *cluster, apps map[string]string) *nitrox {
	c.t.Helper()
	return newNitrox(c.t, map[string]string{"prod": c.kubeconfig(c.door, adminToken)}, apps)
}

func (n *nitrox) write(name, text string) {
	n.t.Helper()
	file := filepath.Join(n.dir, name)
	if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
		n.t.Fatal(err)
	}
}

// run runs the binary and returns its exit code and all it printed.
func (n *nitrox) run(args ...string) (code int, output string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	line := append(slices.Clone(n.command), binaries.nitrox)
	line = append(line, append(args, "--config", n.mapping)...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append([]string{"HOME=" + n.dir, "PATH=" + os.Getenv("PATH")}, n.env...) // no KUBECONFIG, no NS_PASSWORD
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 0) {
		n.t.Fatalf("nitrox %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	if shown := redacttest.Shown(out.String(), password, adminToken); shown != "" {
		n.t.Errorf("nitrox %s printed a secret: %q", strings.Join(args, " "), shown)
	}
	n.used = cmd
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

// members are those to which the NetScaler would send requests, with weights.
func (n *nitrox) members(group string) map[netip.AddrPort]int {
	found := map[netip.AddrPort]int{}
	for _, m := range n.sim.Members(group) {
		if m.State == "ENABLED" {
			found[m.Addr] = m.Weight
		}
	}
	return found
}

// inStep runs one pass, after which the group must hold exactly the addresses of
// the truth, and a second look must find nothing to do. It returns what the pass
// printed.
func (n *nitrox) inStep(group string, truth map[netip.AddrPort]int) string {
	n.t.Helper()
	output := n.sync(0)
	n.holds(group, truth, output)
	if code, output := n.run("plan", "--exit-code"); code != 0 {
		n.t.Fatalf("nitrox plan --exit-code after a sync: exit %d\n%s", code, output)
	}
	return output
}

// proposes has init write a mapping by what the group holds now, after a pass: it is
// right, it asks for the entry, and there is nothing left to do.
func (n *nitrox) proposes(group, entry string) {
	n.t.Helper()
	first := *n
	first.mapping = filepath.Join(n.dir, "first.yaml")
	cmd := exec.Command(binaries.nitrox, "init", "--netscaler", n.url, "--user", "nitrox", "--password-file", "password",
		"--kubernetes", "{kubeconfig: prod.kubeconfig}", "--out", first.mapping)
	cmd.Env = []string{"HOME=" + n.dir, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nitrox init: %v\n%s", err, out)
	}
	text := read(n.t, first.mapping)
	if !strings.Contains(text, "- name: "+group+"\n    only: [192.0.2.0/24]\n    from:\n      - "+entry+"\n") {
		n.t.Errorf("init did not match %s with %s:\n%s", group, entry, text)
	}
	for _, args := range [][]string{{"validate"}, {"plan", "--exit-code"}} {
		if code, output := first.run(args...); code != 0 {
			n.t.Errorf("nitrox %s: exit %d\n%s\n%s", strings.Join(args, " "), code, output, text)
		}
	}
}

func (n *nitrox) holds(group string, truth map[netip.AddrPort]int, output string) {
	n.t.Helper()
	got, want := sorted(n.members(group)), sorted(truth)
	if !slices.Equal(got, want) {
		n.t.Fatalf("%s: the members are %v, the truth is %v\n%s", group, got, want, output)
	}
}

func sorted(m map[netip.AddrPort]int) []netip.AddrPort {
	return slices.SortedFunc(maps.Keys(m), netip.AddrPort.Compare)
}

// addrs are addresses of equal weight.
func addrs(text ...string) map[netip.AddrPort]int {
	m := map[netip.AddrPort]int{}
	for _, t := range text {
		m[netip.MustParseAddrPort(t)] = 1
	}
	return m
}
