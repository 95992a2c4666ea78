//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestProtocols: a container and a service whose port 53 is published for UDP and
// for TCP. Each is bound where its group takes it, and neither is guessed.
func TestProtocols(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.newSwarm(t, 1, 0)
	e := s.engines[0]
	e.docker("run", "--detach", "--label", "com.citrix.lb.appname=dns", "--publish", "6053:53/udp", "--publish", "6054:53/tcp", "web:1")
	s.create("dns", "--publish", "published=7053,target=53,protocol=udp", "--publish", "published=7054,target=53,protocol=tcp")
	s.settled(t, "dns", 1)
	eventually(t, time.Minute, "a healthy container", func() error {
		if ids, err := e.running("label=com.citrix.lb.appname=dns", "health=healthy"); err != nil || len(ids) != 1 {
			return fmt.Errorf("%d are healthy, %w", len(ids), err)
		}
		return nil
	})

	apps, want := map[string]string{}, map[string][]netip.AddrPort{}
	groups := ""
	for kind, entry := range map[string]string{"swarm": "source: swarm, service: dns", "engine": "source: engine, label: com.citrix.lb.appname=dns"} {
		for _, c := range []struct {
			name, serviceType, port string
			published               uint16
		}{{"udp", "DNS", "53/udp", 7053}, {"tcp", "DNS_TCP", "53/tcp", 7054}, {"guess", "DNS", "53", 0}, {"wrong", "HTTP", "53/udp", 0}} {
			group := fmt.Sprintf("sg-%s-%s", kind, c.name)
			apps[kind+"-"+c.name] = fmt.Sprintf("service_group: %s, from: [{%s, port: %s}]", group, entry, c.port)
			groups += fmt.Sprintf("add serviceGroup %s %s\n", group, c.serviceType)
			want[group] = nil
			if port := c.published; port != 0 {
				if kind == "engine" {
					port -= 1000
				}
				want[group] = []netip.AddrPort{netip.AddrPortFrom(e.addr, port)}
			}
		}
	}
	n := newNitrox(t, l, fmt.Sprintf("  swarm: {docker: {host: %q, kind: swarm}}\n  engine: {docker: {host: %[1]q, kind: engine}}\n", e.tcp(2375)), apps)
	if err := n.sim.Load(strings.NewReader(groups)); err != nil {
		t.Fatal(err)
	}
	output := n.sync(1)
	for group, addrs := range want {
		if got := n.members(group); !slices.Equal(got, addrs) {
			t.Errorf("%s: the members are %v, want %v", group, got, addrs)
		}
	}
	for _, text := range []string{
		"service dns: it has port 53 for several protocols; choose one: port: 53/tcp or port: 53/udp",
		": it has port 53 for several protocols; choose one: port: 53/tcp or port: 53/udp",
		fmt.Sprintf("service group sg-swarm-wrong: its service type HTTP takes TCP, but source swarm gives %v:7053, which speaks UDP", e.addr),
		fmt.Sprintf("service group sg-engine-wrong: its service type HTTP takes TCP, but source engine gives %v:6053, which speaks UDP", e.addr),
	} {
		if !strings.Contains(output, text) {
			t.Errorf("it is not said %q", text)
		}
	}
	if t.Failed() {
		t.Log(output)
	}
}
