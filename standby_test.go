package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// standbySite is the example of two clusters, with its NetScaler over real HTTP;
// run makes a command of the mapping.
func standbySite(t *testing.T, build simulator.Options) (
	sim *simulator.Simulator, mapping string, run func(code int, args ...string) string,
) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("examples/standby")); err != nil {
		t.Fatal(err)
	}
	sim = simulator.New(build)
	if err := sim.Load(strings.NewReader(readFile(t, "examples/standby/ns.conf"))); err != nil {
		t.Fatal(err)
	}
	edge := httptest.NewServer(sim)
	t.Cleanup(edge.Close)
	mapping = filepath.Join(dir, "nitrox.yaml")
	rewrite(t, mapping, "http://127.0.0.1:8088", edge.URL)
	return sim, mapping, func(want int, args ...string) string {
		t.Helper()
		code, out, log := nitrox(t, t.Context(), nil, append(args, "--config", mapping)...)
		if code != want {
			t.Errorf("nitrox %s: exit code %d, want %d:\n%s%s", strings.Join(args, " "), code, want, out, log)
		}
		return out
	}
}

// rewrite replaces texts of a file, each of which must be there.
func rewrite(t *testing.T, file string, oldnew ...string) {
	t.Helper()
	text := readFile(t, file)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("%s does not have %q", file, oldnew[i])
		}
	}
	if err := os.WriteFile(file, []byte(strings.NewReplacer(oldnew...).Replace(text)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serving are the members that get traffic: those of the lowest order that has
// one UP, where all of them have an order, or none has.
func serving(sim *simulator.Simulator) (addrs []string) {
	lowest := 0
	for _, m := range sim.Members("sg-account") {
		if m.SvrState != "UP" || len(addrs) > 0 && m.Order > lowest {
			continue
		}
		if m.Order < lowest {
			addrs = nil
		}
		lowest, addrs = m.Order, append(addrs, m.Addr.Addr().String())
	}
	return addrs
}

// The example does what its README says: cluster A serves, B when all of A is
// down, and again A; nothing but the mapping moves an order for good.
func TestStandby(t *testing.T) {
	sim, mapping, run := standbySite(t, simulator.Options{})
	a, b := []string{"10.1.0.11", "10.1.0.12", "10.1.0.13"}, []string{"10.2.0.21", "10.2.0.22"}
	expect := func(when string, want []string) {
		t.Helper()
		if got := serving(sim); !slices.Equal(got, want) {
			t.Errorf("%s: %v serve, want %v", when, got, want)
		}
	}
	if plan := run(0, "plan"); !strings.Contains(readFile(t, "examples/standby/README.md"), "```text\n"+plan+"```\n") {
		t.Errorf("README.md of the example shows another plan than\n%s", plan)
	}
	run(0, "sync")
	expect("both clusters are up", a)
	run(0, "plan", "--exit-code")

	for _, m := range sim.Members("sg-account")[:3] {
		sim.SetUp("sg-account", m.Addr, false)
	}
	expect("cluster A is down", b)
	run(0, "plan", "--exit-code") // the NetScaler's doing alone
	for _, m := range sim.Members("sg-account")[:3] {
		sim.SetUp("sg-account", m.Addr, true)
	}
	expect("cluster A is back", a)

	// A standby that somebody puts before the others goes back.
	for _, m := range []string{"10.1.0.11 31080 -order 3", "10.2.0.22 31080 -order 1"} {
		if err := sim.Load(strings.NewReader("set serviceGroup sg-account " + m)); err != nil {
			t.Fatal(err)
		}
	}
	run(2, "plan", "--exit-code")
	run(0, "sync")
	expect("the orders are those of the mapping again", a)

	// The traffic is moved on purpose, and nobody leaves.
	rewrite(t, mapping, "order: 1", "order: 2", "order: 2", "order: 1")
	sim.ResetMin()
	run(0, "sync")
	expect("the mapping has exchanged the orders", b)
	if n := sim.MinEnabled("sg-account"); n != 5 {
		t.Errorf("%d members were enabled at the least", n)
	}
}

// Before 13.1 there is no order. Then no standby is bound that would serve.
func TestStandbyOnABuildWithoutOrder(t *testing.T) {
	sim, _, run := standbySite(t, simulator.Options{Lacks: []string{"order"}})
	before := serving(sim)
	out := run(1, "sync")
	if strings.Count(out, "upgrade the NetScaler to 13.1 or later, or remove order from the mapping") != 1 {
		t.Errorf("why and what to do is not told once:\n%s", out)
	}
	if got := serving(sim); !slices.Equal(got, before) {
		t.Errorf("%v serve, and %v did before", got, before)
	}
}
