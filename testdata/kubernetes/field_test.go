//go:build e2e && linux

package kubernetes

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAddressAtTwoPorts: a service without a selector whose two slices have one
// address at two ports. Both are members, whichever slice is named first.
func TestAddressAtTwoPorts(t *testing.T) {
	c := threeNodes(t)
	c.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: legacy, namespace: shop}, spec: {ports: [{name: http, port: 80}]}}`)
	n := of(c, map[string]string{"sg-legacy": "from: [{source: prod, service: shop/legacy, address: pod_ip}]"})
	slice := func(name string, port int) {
		c.apply(fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %s, namespace: shop, labels: {kubernetes.io/service-name: legacy}},
addressType: IPv4, ports: [{name: http, port: %d}], endpoints: [{addresses: [10.9.0.5]}]}`, name, port))
	}
	want := addrs("10.9.0.5:8080", "10.9.0.5:8081")
	slice("legacy-a", 8080)
	slice("legacy-b", 8081)
	n.inStep("sg-legacy", want)
	for _, name := range []string{"legacy-a", "legacy-b"} {
		c.do(http.MethodDelete, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/"+name, "", "")
	}
	slice("legacy-a", 8081)
	slice("legacy-b", 8080)
	n.inStep("sg-legacy", want)

	// Names only: a doubt, and nothing is removed.
	for _, name := range []string{"legacy-a", "legacy-b"} {
		c.do(http.MethodDelete, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/"+name, "", "")
	}
	c.apply(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: legacy-c, namespace: shop, labels: {kubernetes.io/service-name: legacy}},
addressType: FQDN, ports: [{name: http, port: 8080}], endpoints: [{addresses: [db.example.com]}]}`)
	output := n.sync(1)
	n.holds("sg-legacy", want, output)
	if !strings.Contains(output, "has 1 endpoint of type FQDN; host names are not resolved") {
		t.Errorf("it is not said why:\n%s", output)
	}
}

// TestDNSService: a service like CoreDNS's, whose number 53 is UDP's and TCP's.
func TestDNSService(t *testing.T) {
	c := threeNodes(t)
	c.service("dns", "kube-dns", 31080, "")
	c.apply(`{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: dns}, spec: {type: NodePort, selector: {app: kube-dns}, ports: [
{name: http, port: 80, targetPort: 8080, nodePort: 31080}, {name: dns, port: 53, protocol: UDP, targetPort: 53, nodePort: 31053},
{name: dns-tcp, port: 53, protocol: TCP, targetPort: 53, nodePort: 31054}, {name: metrics, port: 9153, targetPort: 9153, nodePort: 31055}]}}`)
	c.deployment("dns", "kube-dns", 2, "web:1")
	c.reach("dns", "kube-dns", 2, "web:1", "n1", "n2")
	n := of(c, map[string]string{
		"guess": "service_group: sg-guess, from: [{source: prod, service: dns/kube-dns, port: 53}]",
		"udp":   "service_group: sg-udp, from: [{source: prod, service: dns/kube-dns, port: 53/udp}]",
		"tcp":   "service_group: sg-tcp, from: [{source: prod, service: dns/kube-dns, port: 53/tcp}]",
		"wrong": "service_group: sg-wrong, from: [{source: prod, service: dns/kube-dns, port: dns-tcp}]",
	})
	for group, serviceType := range map[string]string{"sg-guess": "UDP", "sg-udp": "DNS", "sg-tcp": "DNS_TCP", "sg-wrong": "DNS"} {
		if err := n.sim.Load(strings.NewReader("add serviceGroup " + group + " " + serviceType + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	output := n.sync(1)
	n.holds("sg-guess", addrs(), output)
	n.holds("sg-udp", addrs("192.0.2.1:31053", "192.0.2.2:31053"), output)
	n.holds("sg-tcp", addrs("192.0.2.1:31054", "192.0.2.2:31054"), output)
	n.holds("sg-wrong", addrs(), output)
	for _, want := range []string{
		"service dns/kube-dns has port 53 for several protocols; choose one: port: 53/tcp or port: 53/udp",
		"service group sg-wrong: its service type DNS takes UDP, but source prod gives 192.0.2.1:31054, which speaks TCP",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("it is not said %q:\n%s", want, output)
		}
	}
}

// TestForeignHostIP: with the rights of edit somebody makes a pod whose host port
// is at an address of his choice. It is not bound.
func TestForeignHostIP(t *testing.T) {
	c := threeNodes(t)
	c.service("shop", "account", 31080, "")
	for i, hostIP := range []string{"", "hostIP: 203.0.113.66", "hostIP: 192.0.2.1"} {
		c.apply(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: a%d, namespace: shop, labels: {app: account}}, spec: {nodeName: n%[1]d,
containers: [{name: web, image: "web:1", ports: [{containerPort: 8080, hostPort: 443, %s}]}]}}`, i+1, hostIP))
	}
	for i, p := range c.pods("shop") {
		c.run(p, fmt.Sprintf("10.244.0.%d", i+1), true)
	}
	c.inSlices("shop", "account")
	n := of(c, map[string]string{"sg-host": "from: [{source: prod, service: shop/account, address: host_port}]"})
	output := n.sync(1)
	n.holds("sg-host", addrs("192.0.2.1:443"), output)
	if want := `its hostIP "203.0.113.66" is not an address of its node`; !strings.Contains(output, want) {
		t.Errorf("it is not said %q:\n%s", want, output)
	}
	// One of the node's own is bound.
	c.do(http.MethodDelete, "/api/v1/namespaces/shop/pods/a2?gracePeriodSeconds=0", "", "")
	c.do(http.MethodDelete, "/api/v1/namespaces/shop/pods/a3?gracePeriodSeconds=0", "", "")
	c.apply(`{apiVersion: v1, kind: Pod, metadata: {name: a4, namespace: shop, labels: {app: account}}, spec: {nodeName: n2,
containers: [{name: web, image: "web:1", ports: [{containerPort: 8080, hostPort: 443, hostIP: 192.0.2.2}]}]}}`)
	for _, p := range c.pods("shop") {
		if p.Metadata.Name == "a4" {
			c.run(p, "10.244.0.4", true)
		}
	}
	c.inSlices("shop", "account")
	until(t, "a2 and a3 to leave the slices", 20*time.Second, func() bool {
		code, _ := n.run("sync")
		return code == 0
	})
	n.inStep("sg-host", addrs("192.0.2.1:443", "192.0.2.2:443"))
	// On its host's network a pod need not declare its port.
	c.apply(`{apiVersion: v1, kind: Pod, metadata: {name: a5, namespace: shop, labels: {app: account}}, spec: {nodeName: n3, hostNetwork: true,
containers: [{name: web, image: "web:1"}]}}`)
	for _, p := range c.pods("shop") {
		if p.Metadata.Name == "a5" {
			c.run(p, "192.0.2.3", true)
		}
	}
	c.inSlices("shop", "account")
	until(t, "a5 to be bound", 20*time.Second, func() bool {
		n.run("sync")
		return len(n.members("sg-host")) == 3
	})
	n.inStep("sg-host", addrs("192.0.2.1:443", "192.0.2.2:443", "192.0.2.3:8080"))
}
