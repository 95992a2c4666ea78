//go:build e2e && linux

package kubernetes

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"nitrox/testdata/latency"
)

// TestLatency: of two endpoints one goes on to another node. The slice is the
// test's own: what the controller manager takes to make one is not ours.
func TestLatency(t *testing.T) {
	if *latency.Events == 0 {
		t.Skip("a measurement of minutes; -events 200 makes it")
	}
	c := newCluster(t, standard)
	for i := range 3 {
		c.node(fmt.Sprintf("n%d", i), fmt.Sprintf("192.0.2.%d", 10+i))
	}
	c.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: shop}}`)
	c.apply(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {type: NodePort, ports: [{name: http, port: 80, targetPort: 8080, nodePort: 31080}]}}`)
	place := func(other int) {
		c.apply(fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: e2e}},
ports: [{name: http, port: 8080, protocol: TCP}],
endpoints: [{addresses: [10.244.0.1], nodeName: n0, conditions: {ready: true}}, {addresses: [10.244.0.2], nodeName: n%d, conditions: {ready: true}}]}`, other))
	}
	place(2)
	n := of(c, map[string]string{"web": "from: [{source: prod, service: shop/web, port: http}]"})
	latency.Measure(t, latency.Subject{
		Source: "kubernetes (kube-apiserver)", Nitrox: binaries.nitrox, Mapping: n.mapping, Env: []string{"HOME=" + n.dir}, Sim: n.sim, Group: "web", Requests: c.requests.Load,
		Swap: func(i int) (netip.AddrPort, func() time.Time) {
			other, at := 1+i%2, time.Now()
			place(other)
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + other)}), 31080), latency.At(at)
		},
	})
}
