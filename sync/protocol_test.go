package sync_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// TestProtocolOf: of each type that NITRO documents it is known what it takes, or
// that it may be anything.
func TestProtocolOf(t *testing.T) {
	const documented = "HTTP FTP TCP UDP SSL SSL_BRIDGE SSL_TCP DTLS NNTP RPCSVR DNS ADNS SNMP RTSP DHCPRA ANY SIP_UDP SIP_TCP SIP_SSL DNS_TCP " +
		"ADNS_TCP MYSQL MSSQL ORACLE MONGO MONGO_TLS RADIUS RADIUSListener RDP DIAMETER SSL_DIAMETER TFTP SMPP PPTP GRE SYSLOGTCP SYSLOGUDP FIX " +
		"SSL_FIX USER_TCP USER_SSL_TCP QUIC IPFIX LOGSTREAM LOGSTREAM_SSL MQTT MQTT_TLS QUIC_BRIDGE DOT ADNS_DOT HTTP_QUIC ADNS_DOH KAFKA_BROKER"
	silent := map[string]bool{"ANY": true, "GRE": true, "RPCSVR": true}
	for name := range strings.FieldsSeq(documented) {
		if (sync.ProtocolOf(name) == "") != silent[name] {
			t.Errorf("%s takes %q", name, sync.ProtocolOf(name))
		}
	}
	for name, want := range map[string]sources.Protocol{
		"UDP": "udp", "dns": "udp", "SIP_UDP": "udp", "RADIUS": "udp", "RADIUSListener": "udp", "TFTP": "udp", "QUIC": "udp", "HTTP_QUIC": "udp",
		"SYSLOGUDP": "udp", "DTLS": "udp", "SNMP": "udp", "DHCPRA": "udp", "ADNS": "udp",
		"HTTP": "tcp", "SSL": "tcp", "DNS_TCP": "tcp", "RDP": "tcp", "SIP_TCP": "tcp", "MQTT": "tcp", "DIAMETER": "tcp", "FTP": "tcp", "DOT": "tcp",
	} {
		if got := sync.ProtocolOf(name); got != want {
			t.Errorf("%s takes %q, want %q", name, got, want)
		}
	}
}

// TestProtocolAndServiceType: a group gets no endpoint that speaks what its type
// does not take, whether it is empty, has members, or is to be made.
func TestProtocolAndServiceType(t *testing.T) {
	at := func(p sources.Protocol, addrs ...string) (es []sources.Endpoint) {
		for _, a := range addrs {
			es = append(es, sources.Endpoint{Addr: netip.MustParseAddrPort(a), Protocol: p, Origin: "pod"})
		}
		return es
	}
	const a, b = "192.0.2.11:53", "192.0.2.12:53"
	for _, c := range []struct {
		name, conf string
		create     *netscaler.Creation
		answer     []sources.Endpoint
		exit       int
		members    string
		says       string
	}{
		{"UDP to DNS", "add serviceGroup sg DNS", nil, at("udp", a), 0, a, ""},
		{"TCP to DNS", "add serviceGroup sg DNS", nil, at("tcp", a), sync.ExitFailed, "",
			"service group sg: its service type DNS takes UDP, but source prod gives 192.0.2.11:53, which speaks TCP; choose the port by its protocol (port: NUMBER/udp)"},
		{"UDP to SSL", "add serviceGroup sg SSL", nil, at("udp", a), sync.ExitFailed, "", "its service type SSL takes TCP, but source prod gives 192.0.2.11:53, which speaks UDP"},
		{"SCTP to DIAMETER", "add serviceGroup sg DIAMETER", nil, at("sctp", a), sync.ExitFailed, "", "takes TCP, but source prod gives 192.0.2.11:53, which speaks SCTP"},
		{"anything to ANY", "add serviceGroup sg ANY", nil, at("udp", a), 0, a, ""},
		{"unknown to DNS", "add serviceGroup sg DNS", nil, at("", a), 0, a, ""},
		{"one address, both protocols", "add serviceGroup sg UDP", nil, append(at("tcp", a), at("udp", a)...), sync.ExitFailed, "", "takes UDP, but source prod gives 192.0.2.11:53, which speaks TCP"},
		{"a group that serves is not moved", "add serviceGroup sg UDP\nbind serviceGroup sg 192.0.2.9 53", nil, at("tcp", a, b), sync.ExitFailed, "192.0.2.9:53", "takes UDP"},
		{"a group that is to be made", "", &netscaler.Creation{ServiceType: "DNS"}, at("tcp", a), sync.ExitFailed, "", "service type DNS takes UDP"},
		{"made for its endpoints", "", &netscaler.Creation{ServiceType: "DNS"}, at("udp", a), 0, a, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				app := sync.App{Name: "dns", Group: "sg", Create: c.create}
				s := bare(t, stage{"dns": known(c.answer)}, app, simulator.Options{}, strings.Split(c.conf, "\n")...)
				r := s.sync(c.exit)
				s.expect("sg", c.members)
				if text := plain(t, sync.Text, r); !strings.Contains(text, c.says) {
					t.Errorf("it does not say %q:\n%s", c.says, text)
				}
			})
		})
	}
}

// TestMembersThatSpeakAnotherProtocol: of a group whose members are all down it is
// said why, also if nothing is to change; one that serves is not even looked at.
func TestMembersThatSpeakAnotherProtocol(t *testing.T) {
	for up, exit := range map[bool]int{true: 0, false: sync.ExitFailed} {
		bubble(t, func(t *testing.T) {
			at := netip.MustParseAddrPort("192.0.2.11:53")
			s := bare(t, stage{"dns": known([]sources.Endpoint{{Addr: at, Protocol: sources.TCP}})}, sync.App{Name: "dns", Group: "sg"}, simulator.Options{},
				"add serviceGroup sg UDP", "bind serviceGroup sg 192.0.2.11 53")
			s.sims["edge"].SetUp("sg", at, up)
			time.Sleep(time.Minute)
			r := s.sync(exit)
			s.expect("sg", at.String())
			if text := plain(t, sync.Text, r); strings.Contains(text, "its service type UDP takes UDP, but source prod gives 192.0.2.11:53, which speaks TCP") == up {
				t.Errorf("up %t:\n%s", up, text)
			}
		})
	}
}
