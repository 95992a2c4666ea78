//go:build e2e && linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// truth is what a service group must hold: for each address the containers
// that may answer there, by their ids.
type truth map[netip.AddrPort][]string

func (want truth) addrs() []netip.AddrPort {
	return slices.SortedFunc(maps.Keys(want), netip.AddrPort.Compare)
}

// running lists the ids of the engine's running containers that match all filters.
func (e *engine) running(filters ...string) ([]string, error) {
	args := []string{"ps", "--no-trunc", "--format", "{{.ID}}", "--filter", "status=running"}
	for _, f := range filters {
		args = append(args, "--filter", f)
	}
	return e.tryDocker(args...)
}

// healthy is the truth about the engine's containers that match the filters:
// those that run and are healthy, at the addresses where the engine lets the
// world reach their port 80 over IPv4. It is one look: ids and ports that were
// asked for apart might be of different moments.
func (e *engine) healthy(filters ...string) truth {
	e.t.Helper()
	args := []string{"ps", "--no-trunc", "--format", "{{.ID}} {{.Ports}}", "--filter", "status=running", "--filter", "health=healthy"}
	for _, f := range filters {
		args = append(args, "--filter", f)
	}
	want := truth{}
	for _, line := range e.docker(args...) {
		// "ID 0.0.0.0:32772->80/tcp, [::]:32771->80/tcp"; older commands
		// print :::32771 for IPv6.
		id, ports, _ := strings.Cut(line, " ")
		for _, port := range strings.Split(ports, ", ") {
			public, private, published := strings.Cut(port, "->")
			ap, err := netip.ParseAddrPort(public)
			switch {
			case !published || private != "80/tcp" || strings.HasPrefix(public, ":::"):
				continue
			case err != nil:
				e.t.Fatalf("docker ps on %s: %q: %v", e.node, port, err)
			case ap.Addr().Is6():
				continue
			case ap.Addr().IsUnspecified():
				ap = netip.AddrPortFrom(e.addr, ap.Port())
			}
			want[ap] = append(want[ap], id)
		}
	}
	return want
}

// swarm is the managers and then the workers of one.
type swarm struct{ engines []*engine }

// newSwarm makes a swarm of managers (node1, node2, …) and then workers. The
// first manager is the leader.
func (l *lab) newSwarm(t *testing.T, managers, workers int) swarm {
	t.Helper()
	var s swarm
	for i := range managers + workers {
		s.engines = append(s.engines, l.newEngine(t, fmt.Sprintf("node%d", i+1)))
	}
	leader := s.engines[0]
	leader.docker("swarm", "init", "--advertise-addr", leader.addr.String())
	for i, e := range s.engines[1:] {
		role := "worker"
		if i+1 < managers {
			role = "manager"
		}
		token := leader.docker("swarm", "join-token", "--quiet", role)[0]
		e.docker("swarm", "join", "--token", token, netip.AddrPortFrom(leader.addr, 2377).String())
	}
	return s
}

// manager is the first node that is not stopped.
func (s swarm) manager() *engine {
	return s.engines[slices.IndexFunc(s.engines, func(e *engine) bool { return e.process != nil })]
}

// create deploys the image as a service.
func (s swarm) create(name string, args ...string) {
	m := s.manager()
	m.t.Helper()
	m.docker(append(append([]string{"service", "create", "--detach", "--no-resolve-image",
		"--restart-delay", "500ms", "--name", name}, args...), "web:1")...)
}

// down waits until the swarm has given a node up, and does something meanwhile.
func (s swarm) down(t *testing.T, node string, meanwhile func()) {
	t.Helper()
	eventually(t, 2*time.Minute, node+" is down", func() error {
		meanwhile()
		state, err := s.manager().tryDocker("node", "inspect", "--format", "{{.Status.State}}", node)
		if err == nil && strings.Join(state, "") != "down" {
			err = fmt.Errorf("it is %s", state)
		}
		return err
	})
}

func service(name string) string { return "label=com.docker.swarm.service.name=" + name }

// settled waits until a service has reached its tasks: the engines run so many
// healthy containers and no other, and the manager knows, also that the nodes
// are ready: to a new leader all are unknown at first.
func (s swarm) settled(t *testing.T, name string, tasks int) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("%d tasks of %s", tasks, name), func() error {
		var all, healthy int
		for _, e := range s.engines {
			if e.process == nil {
				continue
			}
			a, err := e.running(service(name))
			h, err2 := e.running(service(name), "health=healthy")
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			all, healthy = all+len(a), healthy+len(h)
			state, err := s.manager().tryDocker("node", "inspect", "--format", "{{.Status.State}}", e.node)
			if err == nil && !slices.Equal(state, []string{"ready"}) {
				err = fmt.Errorf("%s is %s", e.node, state)
			}
			if err != nil {
				return err
			}
		}
		states, err := s.manager().tryDocker("service", "ps", "--filter", "desired-state=running", "--format", "{{.CurrentState}}", name)
		if err != nil {
			return err
		}
		waiting := slices.ContainsFunc(states, func(s string) bool { return !strings.HasPrefix(s, "Running ") })
		if all != tasks || healthy != tasks || len(states) != tasks || waiting {
			return fmt.Errorf("%d containers, %d of them healthy; the manager sees %q", all, healthy, states)
		}
		return nil
	})
}

// host is the truth about a service that publishes on its nodes.
func (s swarm) host(name string) truth {
	want := truth{}
	for _, e := range s.engines {
		if e.process != nil {
			maps.Copy(want, e.healthy(service(name)))
		}
	}
	return want
}

// splitPorts says whether a container of the service is published on another
// port for IPv6 than for IPv4.
func (s swarm) splitPorts(name string) bool {
	for _, e := range s.engines {
		for _, line := range e.docker("ps", "--format", "{{.Ports}}", "--filter", service(name)) {
			// "0.0.0.0:32772->80/tcp, [::]:32771->80/tcp", or ":::32771->80/tcp"
			v4, v6, both := strings.Cut(line, ", ")
			port := func(s string) string { s, _, _ = strings.Cut(s, "->"); return s[strings.LastIndexByte(s, ':')+1:] }
			if both && port(v4) != port(v6) {
				return true
			}
		}
	}
	return false
}

// ingress is the truth about a service that publishes port on the routing mesh:
// the nodes that run one of its containers, each of which may reach them all.
func (s swarm) ingress(t *testing.T, name string, port uint16) truth {
	t.Helper()
	var nodes []*engine
	var all []string
	for _, e := range s.engines {
		if e.process == nil {
			continue
		}
		ids, err := e.running(service(name), "health=healthy")
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) > 0 {
			nodes, all = append(nodes, e), append(all, ids...)
		}
	}
	want := truth{}
	for _, e := range nodes {
		want[netip.AddrPortFrom(e.addr, port)] = all
	}
	return want
}

// serves checks that one of its containers answers at each address. A
// container's host name is the beginning of its id.
func (want truth) serves(t *testing.T) {
	t.Helper()
	for _, ap := range want.addrs() {
		eventually(t, 10*time.Second, fmt.Sprintf("an answer of %s", ap), func() error {
			name, err := get(ap)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(want[ap], func(id string) bool { return len(name) == 12 && strings.HasPrefix(id, name) }) {
				return fmt.Errorf("container %q answers, not one of %v", name, want[ap])
			}
			return nil
		})
	}
}

func get(ap netip.AddrPort) (string, error) {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + ap.String() + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status)
	}
	return strings.TrimSpace(string(b)), nil
}

// meshServes is serves for the routing mesh, which needs IPVS of the kernel:
// where that is not built, an engine opens the port and can forward nothing.
// Who is a member of a group does not depend on it.
func (want truth) meshServes(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/net/ip_vs"); err != nil {
		noMesh.Do(func() { t.Logf("NOT CHECKED: whether the routing mesh serves, for this kernel has no IPVS: %v", err) })
		return
	}
	want.serves(t)
}

var noMesh sync.Once // it is said once
