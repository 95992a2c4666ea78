package sources_test

import (
	"strings"
	"testing"

	"nitrox/sources"
)

func TestPort(t *testing.T) {
	for _, c := range []struct {
		text     sources.Port
		name     string
		protocol sources.Protocol
		problem  string
	}{
		{"", "", "", ""},
		{"53", "53", "", ""},
		{"53/udp", "53", sources.UDP, ""},
		{"53/UDP", "53", sources.UDP, ""},
		{"dns-tcp/tcp", "dns-tcp", sources.TCP, ""},
		{"7777/sctp", "7777", sources.SCTP, ""},
		{"53/", "53", "", `write 53/tcp, 53/udp or 53/sctp`},
		{"53/upd", "53", "upd", `"upd" is not the protocol of a port`},
		{"53/udp/tcp", "53", "udp/tcp", `"udp/tcp" is not the protocol`},
		{"/udp", "", sources.UDP, "such as 53/udp"},
	} {
		name, protocol := c.text.Cut()
		if name != c.name || protocol != c.protocol {
			t.Errorf("%q is %q and %q", c.text, name, protocol)
		}
		if err := c.text.Check(); (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%q: %v, want %q", c.text, err, c.problem)
		}
	}
}

func TestSpeaking(t *testing.T) {
	type port struct{ speaks []sources.Protocol }
	tcp, udp, both := port{[]sources.Protocol{"tcp"}}, port{[]sources.Protocol{"udp"}}, port{[]sources.Protocol{"udp", "tcp"}}
	for _, c := range []struct {
		wanted   sources.Port
		ports    []port
		n        int
		protocol sources.Protocol
		problem  string
	}{
		{"53", []port{tcp}, 1, "tcp", ""},
		{"53", []port{udp}, 1, "udp", ""},
		{"53", []port{udp, udp}, 2, "udp", ""},
		{"53", []port{tcp, udp}, 0, "", "has port 53 for several protocols; choose one: port: 53/tcp or port: 53/udp"},
		{"53", []port{both}, 0, "", "port: 53/tcp or port: 53/udp"},
		{"53/udp", []port{tcp, udp}, 1, "udp", ""},
		{"53/tcp", []port{both}, 1, "tcp", ""},
		{"53/sctp", []port{tcp, udp}, 0, "sctp", ""},
	} {
		got, protocol, err := sources.Speaking(c.wanted, c.ports, func(p port) []sources.Protocol { return p.speaks })
		if len(got) != c.n || protocol != c.protocol || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s of %v: %v, %s, %v", c.wanted, c.ports, got, protocol, err)
		}
	}
}
