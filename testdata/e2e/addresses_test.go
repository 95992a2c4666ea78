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

// TestSeveralAddresses: a container's port is published on a bridge of the host's,
// at the lower port, and where the host is reached; another's on loopback alone; and
// a service's tasks publish theirs twice, each on its node.
func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.newSwarm(t, 1, 0)
	e := s.engines[0]
	const label = "com.citrix.lb.appname=two"
	subnet := netip.MustParsePrefix(e.docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", "bridge")[0])
	bridge := subnet.Masked().Addr().Next().String()
	e.docker("run", "--detach", "--label", label, "--publish", bridge+":8070:80", "--publish", e.addr.String()+":8071:80", "web:1")
	e.docker("run", "--detach", "--name", "inside", "--label", label, "--publish", "127.0.0.1:8072:80", "web:1")
	s.create("twice", "--publish", "mode=host,published=8074,target=80", "--publish", "mode=host,published=8073,target=80")
	s.settled(t, "twice", 1)
	eventually(t, time.Minute, "healthy containers", func() error {
		if ids, err := e.running("label="+label, "health=healthy"); err != nil || len(ids) != 2 {
			return fmt.Errorf("%d are healthy, %w", len(ids), err)
		}
		return nil
	})
	n := newNitrox(t, l, fmt.Sprintf("  swarm: {docker: {host: %q, kind: swarm}}\n  engine: {docker: {host: %[1]q, kind: engine}}\n", e.tcp(2375)), map[string]string{
		"two": "from: [{source: engine, label: " + label + ", port: 80}]", "twice": "from: [{source: swarm, service: twice, port: 80}]"})
	output := n.sync(0)
	for group, port := range map[string]uint16{"two": 8071, "twice": 8073} {
		if got, want := n.members(group), []netip.AddrPort{netip.AddrPortFrom(e.addr, port)}; !slices.Equal(got, want) {
			t.Errorf("%s: the members are %v, want %v", group, got, want)
		}
	}
	if want := "its port is published on its host's loopback address only"; !strings.Contains(output, want) {
		t.Errorf("it is not said %q", want)
	}
	if t.Failed() {
		t.Log(output)
	}
}
