//go:build e2e && linux

package e2e

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSwarm takes a swarm of two nodes through what happens to one in a year.
func TestSwarm(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.newSwarm(t, 1, 1)
	manager, worker := s.engines[0], s.engines[1]
	scale := func(name string, tasks int) {
		t.Helper()
		manager.docker("service", "scale", "--detach", name+"="+strconv.Itoa(tasks))
		s.settled(t, name, tasks)
	}

	endpoints := filepath.Join(l.dir, "endpoints.json")
	n := newNitrox(t, l, fmt.Sprintf("  swarm: {docker: {host: %q}}\n  lab: {file: {path: %q}}\n", manager.tcp(2375), endpoints),
		map[string]string{
			"host":     "from: [{source: swarm, service: web-host, port: 80}]",
			"mesh":     "from: [{source: swarm, service: web-mesh, port: 80}]",
			"global":   "from: [{source: swarm, service: web-global, port: 80}]",
			"labelled": "from: [{source: swarm, label: com.citrix.lb.appname=shop, port: 80}]",
			"emptied":  "allow_empty: true, from: [{source: swarm, service: web-host, port: 80}]",
			"brief":    "from: [{source: swarm, service: web-brief, port: 80}]",
			"listed":   "from: [{source: lab, app: listed}]",
		})
	listed := truth{netip.MustParseAddrPort("192.0.2.7:80"): nil}
	write(t, endpoints, `{"apps": {"listed": ["192.0.2.7:80"]}}`)

	// now asks the engines, checks that what they say serves, and returns what
	// the groups must hold.
	now := func() map[string]truth {
		t.Helper()
		host, global, mesh, brief := s.host("web-host"), s.host("web-global"), s.ingress(t, "web-mesh", 8080), s.ingress(t, "web-brief", 8090)
		labelled := maps.Clone(host)
		maps.Copy(labelled, global)
		labelled.serves(t)
		mesh.meshServes(t)
		return map[string]truth{"host": host, "global": global, "mesh": mesh, "labelled": labelled,
			"emptied": host, "brief": brief, "listed": listed}
	}

	step(t, "deploy in host mode, in ingress mode, and on every node")
	s.create("web-host", "--label", "com.citrix.lb.appname=shop", "--replicas", "4", "--publish", "mode=host,target=80")
	s.create("web-mesh", "--replicas", "2", "--publish", "mode=ingress,published=8080,target=80")
	s.create("web-global", "--label", "com.citrix.lb.appname=shop", "--mode", "global", "--publish", "mode=host,published=8081,target=80")
	s.create("web-brief", "--replicas", "1", "--publish", "mode=ingress,published=8090,target=80")
	s.settled(t, "web-host", 4)
	s.settled(t, "web-mesh", 2)
	s.settled(t, "web-global", 2)
	s.settled(t, "web-brief", 1)
	n.inStep(now)
	if got := len(n.members("host")); got != 4 {
		t.Fatalf("host: %d members of 4 replicas", got)
	}
	step(t, "a mapping by what is there now")
	n.proposes(manager.tcp(2375), "host", "mesh", "global", "labelled", "emptied", "brief")

	for _, tasks := range []int{6, 2} {
		step(t, "scale to %d", tasks)
		scale("web-host", tasks)
		n.inStep(now)
	}

	step(t, "a service that runs nothing: its last member is held, unless the mapping allows an empty group")
	scale("web-host", 0)
	output := n.sync(3)
	if len(n.members("host")) == 0 {
		t.Fatalf("host: the last member was removed\n%s", output)
	}
	n.holds(map[string]truth{"emptied": {}}, output)

	step(t, "other ports for IPv4 than for IPv6: both nodes have given one away for IPv4 alone")
	for _, e := range s.engines {
		e.docker("run", "--detach", "--publish", "0.0.0.0::80", "web:1")
	}
	scale("web-host", 4)
	if !s.splitPorts("web-host") {
		t.Log("NOT CHECKED: this engine gives both the same port")
	}
	n.inStep(now)

	step(t, "a container dies, and its task is replaced")
	var victim string
	for _, e := range s.engines {
		ids, err := e.running(service("web-host"))
		if err != nil {
			t.Fatal(err)
		}
		if victim == "" && len(ids) > 0 {
			victim = ids[0]
			e.docker("kill", victim)
		}
	}
	s.settled(t, "web-host", 4)
	n.inStep(now)
	for ap, ids := range s.host("web-host") {
		if ids[0] == victim {
			t.Fatalf("%s is still served by the container that was killed", ap)
		}
	}

	step(t, "drain a node")
	manager.docker("node", "update", "--availability", "drain", "node2")
	s.settled(t, "web-host", 4)
	s.settled(t, "web-mesh", 2)
	s.settled(t, "web-global", 1)
	s.settled(t, "web-brief", 1)
	n.inStep(now)
	for _, g := range []string{"host", "mesh", "global", "labelled"} {
		for _, ap := range n.members(g) {
			if ap.Addr() == worker.addr {
				t.Errorf("%s: %v is on the drained node", g, ap)
			}
		}
	}

	step(t, "take the node back")
	manager.docker("node", "update", "--availability", "active", "node2")
	s.settled(t, "web-global", 2)
	scale("web-host", 6)
	n.inStep(now)

	step(t, "a node loses power")
	worker.kill()
	s.down(t, "node2", func() {})
	s.settled(t, "web-host", 6)
	s.settled(t, "web-mesh", 2)
	s.settled(t, "web-global", 1)
	n.inStep(now)
	worker.start()
	s.settled(t, "web-global", 2)
	n.inStep(now)

	step(t, "the manager stops: nothing is removed, and what it does not feed is served")
	untouched := n.untouched("host", "mesh", "global", "labelled", "emptied", "brief")
	manager.stop()
	listed = truth{netip.MustParseAddrPort("192.0.2.8:80"): nil}
	write(t, endpoints, `{"apps": {"listed": ["192.0.2.8:80"]}}`)
	output = n.sync(1)
	untouched(output)
	n.holds(map[string]truth{"listed": listed}, output)

	step(t, "the manager is back")
	manager.start()
	s.settled(t, "web-host", 6)
	s.settled(t, "web-mesh", 2)
	s.settled(t, "web-global", 2)
	s.settled(t, "web-brief", 1)
	n.inStep(now)

	step(t, "a worker is asked instead of a manager: nothing is known, nothing is removed")
	untouched = n.untouched("host", "mesh", "global", "labelled", "emptied", "brief")
	right := n.mapping
	n.mapping = filepath.Join(l.dir, "worker.yaml")
	write(t, n.mapping, strings.ReplaceAll(read(t, right), manager.tcp(2375), worker.tcp(2375)))
	output = n.sync(1)
	untouched(output)
	if !strings.Contains(output, "manager") {
		t.Errorf("the report does not say that a manager is needed:\n%s", output)
	}
	n.mapping = right

	step(t, "a service is removed: that is reported, and its members stay")
	manager.docker("service", "rm", "web-brief")
	eventually(t, time.Minute, "the containers of web-brief go", func() error {
		for _, e := range s.engines {
			if ids, err := e.running(service("web-brief")); err != nil || len(ids) > 0 {
				return fmt.Errorf("%s runs %v, %w", e.node, ids, err)
			}
		}
		return nil
	})
	untouched = n.untouched("brief")
	scale("web-host", 4)
	output = n.sync(1)
	untouched(output)
	rest := now()
	delete(rest, "brief")
	n.holds(rest, output)
}

// A service on the network of its nodes publishes nothing: what it listens at is
// the mapping's to say, and the nodes that run it are the members.
func TestSwarmOnTheNodesNetwork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.newSwarm(t, 1, 1)
	n := newNitrox(t, l, fmt.Sprintf("  swarm: {docker: {host: %q}}\n", s.engines[0].tcp(2375)), map[string]string{
		"node": "from: [{source: swarm, service: web-node, port: 80}]",
	})
	now := func() map[string]truth {
		t.Helper()
		nodes := s.ingress(t, "web-node", 80)
		for _, ap := range nodes.addrs() {
			if _, err := get(ap); err != nil {
				t.Errorf("%v does not serve: %v", ap, err)
			}
		}
		return map[string]truth{"node": nodes}
	}
	s.create("web-node", "--mode", "global", "--network", "host")
	s.settled(t, "web-node", 2)
	n.inStep(now)
	if got := len(n.members("node")); got != 2 {
		t.Fatalf("%d members of 2 nodes", got)
	}

	step(t, "drain a node")
	s.manager().docker("node", "update", "--availability", "drain", "node2")
	s.settled(t, "web-node", 1)
	n.inStep(now)
	if got := n.members("node"); len(got) != 1 || got[0].Addr() != s.engines[0].addr {
		t.Errorf("members %v; node2 is drained", got)
	}
}
