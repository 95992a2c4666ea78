package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/sources/all"
	"nitrox/sync/config"
)

// TestPortsWithProtocols: a protocol is checked where it is written, in each kind
// of source, and against the service group that create makes.
func TestPortsWithProtocols(t *testing.T) {
	for _, c := range []struct{ entry, serviceType, problem string }{
		{"source: k8s, service: dns/kube-dns, port: 53/udp", "DNS", ""},
		{"source: k8s, service: dns/kube-dns, port: 53/UDP", "ANY", ""},
		{"source: k8s, service: dns/kube-dns, port: dns-tcp", "DNS", ""}, // the cluster tells
		{"source: k8s, service: dns/kube-dns, port: 53/upd", "DNS", `:6:`},
		{"source: k8s, service: dns/kube-dns, port: 53/upd", "DNS", `port: "upd" is not the protocol of a port; write 53/tcp, 53/udp or 53/sctp`},
		{"source: k8s, service: dns/kube-dns, port: 70000/udp", "DNS", `port: 70000 is not a port number from 1 to 65535`},
		{"source: k8s, service: dns/kube-dns, port: 53/tcp", "DNS", `port: the port speaks TCP, but create makes a service group of type DNS, which takes UDP; change one of them`},
		{"source: k8s, service: dns/kube-dns, port: 53/sctp", "tcp", `port: the port speaks SCTP, but create makes a service group of type TCP, which takes TCP; change one of them`},
		{"source: swarm, service: dns, port: 53/udp", "UDP", ""},
		{"source: swarm, service: dns, port: 53/udp", "HTTP", `port: the port speaks UDP, but create makes a service group of type HTTP`},
		{"source: swarm, service: dns, port: dns", "UDP", `port: a port is a number from 1 to 65535, or that and its protocol, such as 53/udp`},
		{"source: dcos, app: /dns, port: 53/udp", "SIP_UDP", ""},
		{"source: dcos, app: /dns, port: sip/tcp", "SIP_UDP", `port: the port speaks TCP, but create makes a service group of type SIP_UDP`},
		{"source: k8s, service: shop/account, zone: eu-1a, node_selector: pool=edge, node_address: ExternalIP", "HTTP", ""},
		{"source: k8s, service: shop/account, address: pod_ip, node_selector: pool=edge", "HTTP", `node_selector: it only applies to address: node_port or host_port`},
		{"source: k8s, service: shop/account, address: load_balancer, zone: eu-1a", "HTTP", `zone: a load balancer's addresses are in no zone`},
		{"source: k8s, service: shop/account, node_address: [InternalIP, Hostname]", "HTTP", `node_address[1]: "Hostname" is neither InternalIP nor ExternalIP`},
		{"source: k8s, service: shop/account, zone: eu/1a", "HTTP", `zone: "eu/1a" cannot be the name of a zone`},
	} {
		t.Run(c.entry+" for "+c.serviceType, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "nitrox.yaml")
			text := fmt.Sprintf(`
netscalers: {edge: {url: https://192.0.2.10}}
sources: {k8s: {kubernetes: {}}, swarm: {docker: {host: "tcp://10.0.0.5:2376"}}, dcos: {marathon: {urls: [https://m1]}}}
apps:
- name: dns
  from: [{%s}]
  create: {service_type: %s}
`, c.entry, c.serviceType)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load(all.Kinds)
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Errorf("got %v, want %q", err, c.problem)
			}
		})
	}
}
