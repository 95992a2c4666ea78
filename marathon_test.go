package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
	"nitrox/sources/marathon/marathontest"
)

// marathonSite is the example of a Marathon cluster with its NetScaler, over
// real HTTP: three Marathons with authentication, the app of the example on
// them, and the example's mapping with their addresses.
func marathonSite(t *testing.T) (c *marathontest.Cluster, sim *simulator.Simulator, mapping string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("examples/marathon")); err != nil {
		t.Fatal(err)
	}
	sim = simulator.New(simulator.Options{Users: map[string]string{"nitrox": "replace-me"}, ClientsLeave: -1})
	sim.AddGroup("sg-account")
	sim.AddGroup("sg-cart")
	edge := httptest.NewServer(sim)
	t.Cleanup(edge.Close)
	c = marathontest.New(marathontest.Options{URLs: make([]string, 3), Users: map[string]string{"nitrox": "replace-me"}})
	replace := []string{"https://192.0.2.10", edge.URL}
	for node := range 3 {
		server := httptest.NewServer(c.Handler(node))
		t.Cleanup(server.Close)
		c.Listen(node, server.URL)
		replace = append(replace, fmt.Sprintf("http://m%d.example.com:8080", node+1), server.URL)
	}
	mapping = filepath.Join(dir, "nitrox.yaml")
	text, err := os.ReadFile(mapping)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mapping, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, app := range []string{"/shop/account", "/shop/cart-blue", "/shop/cart-green"} {
		put(t, c, fmt.Sprintf(`{"id": %q, "cmd": "serve", "instances": 4, "networks": [{"mode": "container/bridge"}],
			"container": {"portMappings": [{"containerPort": 80, "hostPort": 0, "name": "http"}]}, "healthChecks": [{"protocol": "MESOS_HTTP", "portIndex": 0}]}`, app))
	}
	c.Settle()
	return c, sim, mapping
}

func put(t *testing.T, c *marathontest.Cluster, definition string) {
	t.Helper()
	if err := c.Put(definition); err != nil {
		t.Fatal(err)
	}
}

// The program follows an app of Marathon from 4 to 6 to 2 tasks, through failing
// health, a deployment and the end of a leader, with one request a run.
func TestMarathonEndToEnd(t *testing.T) {
	t.Parallel()
	c, sim, mapping := marathonSite(t)
	sync := func(want, requests int) {
		t.Helper()
		c.Requests()
		code, out, log := nitrox(t, t.Context(), nil, "sync", "--config", mapping)
		if code != want {
			t.Fatalf("exit code %d, want %d\n%s%s", code, want, out, log)
		}
		if got := c.Requests(); len(got) != requests {
			t.Errorf("requests %v, want %d", got, requests)
		}
		var members []string
		for _, m := range sim.Members("sg-account") {
			if m.State == "ENABLED" {
				members = append(members, m.Addr.String())
			}
		}
		slices.Sort(members)
		if serving := c.Serving("/shop/account"); want == 0 && !slices.Equal(members, serving) {
			t.Errorf("enabled members %v, want %v", members, serving)
		}
		for _, secret := range []string{"replace-me"} {
			if strings.Contains(out+log, secret) {
				t.Errorf("a password is in the output:\n%s%s", out, log)
			}
		}
	}
	sync(0, 1)
	weights := map[int]int{}
	for _, m := range sim.Members("sg-cart") {
		weights[m.Weight]++
	}
	if weights[9] != 4 || weights[1] != 4 {
		t.Errorf("weights of sg-cart %v", weights)
	}
	put(t, c, `{"id": "/shop/account", "instances": 6}`)
	c.Settle()
	sync(0, 1)
	first := c.Tasks("/shop/account")[0]
	c.Sick(first, true)
	sync(0, 1)
	c.Sick(first, false)
	sync(0, 1)
	put(t, c, `{"id": "/shop/account", "cmd": "serve --better"}`)
	c.Settle()
	sync(0, 2) // all are replaced, which is asked for twice
	c.Down(0, true)
	c.Failover(-1)
	sync(1, 2) // all three are asked, and the first does not even answer
	c.Failover(2)
	sync(0, 1) // nobody knows how the tasks are, and nothing changes
	c.Check()
	put(t, c, `{"id": "/shop/account", "instances": 2}`)
	c.Settle()
	sync(0, 2) // so much less is asked for twice
	sync(0, 1)
	if n := len(sim.Members("sg-account")); n != 2 {
		t.Errorf("%d members are left, want 2", n)
	}
}

// The example of Nitrox as an app is one that Marathon takes, and it carries no
// password.
func TestMarathonExampleIsAnApp(t *testing.T) {
	text, err := os.ReadFile("examples/marathon/nitrox.json")
	if err != nil {
		t.Fatal(err)
	}
	put(t, marathontest.New(marathontest.Options{}), string(text))
	if strings.Contains(string(text), "env") {
		t.Error("it has an environment, which everybody sees who may see the app")
	}
}
