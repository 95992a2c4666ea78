//go:build e2e && linux

package kubernetes

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// three nodes, n1 to n3.
func threeNodes(t *testing.T) *cluster {
	c := newCluster(t, standard)
	for i := range 3 {
		c.node(fmt.Sprintf("n%d", i+1), fmt.Sprintf("192.0.2.%d", i+1), fmt.Sprintf("2001:db8::%d", i+1))
	}
	return c
}

// TestLifeOfAnApp follows one Deployment behind a NodePort service.
func TestLifeOfAnApp(t *testing.T) {
	c := threeNodes(t)
	c.service("shop", "account", 31080, "")
	n := of(c, map[string]string{"sg-account": "from: [{source: prod, service: shop/account, port: http}]"})
	const app = "account"
	truth := func() map[netip.AddrPort]int { return c.truth("shop", app, 31080) }
	inStep := func() string { t.Helper(); return n.inStep("sg-account", truth()) }

	step := func(name string, do func()) {
		t.Helper()
		t.Logf("%s", name)
		do()
		if t.Failed() {
			t.FailNow()
		}
	}
	step("a service without pods is in step", func() {
		until(t, "an EndpointSlice", 20*time.Second, func() bool {
			return len(list[any](c, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices")) > 0
		})
		inStep()
		if len(n.members("sg-account")) != 0 {
			t.Error("there are members")
		}
	})
	step("four pods on two nodes are two members", func() {
		c.deployment("shop", app, 4, "web:1")
		c.reach("shop", app, 4, "web:1", "n1", "n2")
		output := inStep()
		if got := sorted(n.members("sg-account")); len(got) != 2 {
			t.Errorf("members %v, want n1 and n2\n%s", got, output)
		}
		for _, want := range []string{"node n1, 2 pods", "node n2, 2 pods"} {
			if !strings.Contains(output, want) {
				t.Errorf("the report does not say %q:\n%s", want, output)
			}
		}
	})
	step("a mapping by what is there now", func() {
		n.proposes("sg-account", "{source: kubernetes, service: shop/account, port: http}")
	})
	step("six pods: the third node joins", func() {
		c.deployment("shop", app, 6, "web:1")
		c.reach("shop", app, 6, "web:1", "n3")
		inStep()
		if got := n.members("sg-account"); len(got) != 3 {
			t.Errorf("members %v, want three", got)
		}
	})
	step("two pods: members are the nodes where they are", func() {
		c.deployment("shop", app, 2, "web:1")
		c.reach("shop", app, 2, "web:1", "n1")
		inStep()
	})
	step("a pod that is not ready goes, and comes back", func() {
		c.deployment("shop", app, 3, "web:1")
		c.reach("shop", app, 3, "web:1", "n1", "n2", "n3")
		inStep()
		before := n.members("sg-account")
		p := c.pods("shop")[0]
		c.run(p, p.Status.PodIP, false)
		c.inSlices("shop", app)
		inStep()
		c.run(p, p.Status.PodIP, true)
		c.inSlices("shop", app)
		inStep()
		if got := n.members("sg-account"); !maps.Equal(got, before) {
			t.Errorf("members %v, were %v", got, before)
		}
	})
	step("a rolling update never has fewer members than nodes with ready pods", func() {
		c.deployment("shop", app, 3, "web:2")
		until(t, "the new version", time.Minute, func() bool {
			// What the NetScaler has is compared with what ran before and after
			// the pass: in between, controllers work on.
			before := truth()
			output := n.sync(0)
			after := truth()
			members := n.members("sg-account")
			for addr := range before {
				if _, still := after[addr]; still && members[addr] == 0 {
					t.Fatalf("%v has run a ready pod all the time and is no member\n%s", addr, output)
				}
			}
			if len(members) == 0 {
				t.Fatalf("there are no members\n%s", output)
			}
			c.play("shop", "n1", "n2", "n3")
			pods := c.pods("shop")
			return len(pods) == 3 && !slices.ContainsFunc(pods, func(p pod) bool { return !p.ready() || p.Spec.Containers[0].Image != "web:2" })
		})
		c.inSlices("shop", app)
		inStep()
	})
	step("a cordoned node stays", func() {
		before := n.members("sg-account")
		c.do(http.MethodPatch, "/api/v1/nodes/n1", merge, `{"spec":{"unschedulable":true}}`)
		n.inStep("sg-account", before)
	})
	step("an excluded node goes, and comes back", func() {
		c.deployment("shop", app, 6, "web:2")
		c.reach("shop", app, 6, "web:2", "n1", "n2", "n3")
		all := truth()
		n.inStep("sg-account", all)
		if len(all) != 3 {
			t.Fatalf("pods run on %v, the test needs all nodes", all)
		}
		const label = `{"metadata":{"labels":{"node.kubernetes.io/exclude-from-external-load-balancers":%s}}}`
		c.do(http.MethodPatch, "/api/v1/nodes/n2", merge, fmt.Sprintf(label, `""`))
		n.inStep("sg-account", addrs("192.0.2.1:31080", "192.0.2.3:31080"))
		c.do(http.MethodPatch, "/api/v1/nodes/n2", merge, fmt.Sprintf(label, `null`))
		n.inStep("sg-account", all)
	})
	step("a deleted node goes", func() {
		c.do(http.MethodDelete, "/api/v1/nodes/n2", "", "")
		n.inStep("sg-account", addrs("192.0.2.1:31080", "192.0.2.3:31080"))
	})
	step("the API server dies in the middle: nothing is removed", func() {
		before := n.members("sg-account")
		// What it would have told is that there is nothing any more.
		c.deployment("shop", app, 0, "web:2")
		until(t, "no pods", 30*time.Second, func() bool { c.play("shop", "n1"); return len(c.pods("shop")) == 0 })
		c.inSlices("shop", app)
		for _, last := range []string{"/endpointslices", "/services"} {
			kill := func(r *http.Request) {
				if strings.HasSuffix(r.URL.Path, last) {
					c.apiserver.kill()
				}
			}
			c.before.Store(&kill)
			output := n.sync(1)
			c.before.Store(nil)
			n.holds("sg-account", before, output)
			if !c.apiserver.ended() {
				t.Fatalf("the API server lives: Nitrox did not ask for %s", last)
			}
			c.startAPIServer()
		}
		n.holds("sg-account", before, n.sync(3)) // back, and a guard holds what it tells
	})
}

// TestLocal: where nodes pass traffic to their own pods only, weights are the
// pods of each.
func TestLocal(t *testing.T) {
	c := threeNodes(t)
	c.service("shop", "account", 31080, ", externalTrafficPolicy: Local")
	// Straight to the API server, which speaks HTTP/2.
	n := newNitrox(t, map[string]string{"prod": c.kubeconfig(c.url, adminToken)}, map[string]string{"sg-account": "from: [{source: prod, service: shop/account}]"})
	c.deployment("shop", "account", 3, "web:1")
	c.reach("shop", "account", 3, "web:1", "n1")
	c.deployment("shop", "account", 4, "web:1")
	c.reach("shop", "account", 4, "web:1", "n2")
	truth := c.truth("shop", "account", 31080)
	output := n.inStep("sg-account", truth)
	if got, want := n.members("sg-account"), map[netip.AddrPort]int{netip.MustParseAddrPort("192.0.2.1:31080"): 3, netip.MustParseAddrPort("192.0.2.2:31080"): 1}; !maps.Equal(got, want) || !maps.Equal(truth, want) {
		t.Errorf("members and weights %v, want %v\n%s", got, want, output)
	}
}

// TestIPv6Pods: pods of a StatefulSet behind a headless IPv6 service, by their
// own addresses, and the nodes of a dual-stack service by IPv6.
func TestIPv6Pods(t *testing.T) {
	c := threeNodes(t)
	c.service("shop", "db", 31080, ", ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6]")
	c.apply(`{apiVersion: v1, kind: Service, metadata: {name: db-headless, namespace: shop}, spec: {clusterIP: None, selector: {app: db}, ipFamilyPolicy: SingleStack, ipFamilies: [IPv6],
ports: [{name: sql, port: 5432, targetPort: sql}]}}`)
	c.apply(`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: shop}, spec: {replicas: 2, serviceName: db-headless, podManagementPolicy: Parallel, selector: {matchLabels: {app: db}},
template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: "db:1", ports: [{name: sql, containerPort: 5433}]}]}}}}`)
	n := of(c, map[string]string{
		"sg-db":    "from: [{source: prod, service: shop/db-headless, port: sql, address: pod_ip}]",
		"sg-nodes": "from: [{source: prod, service: shop/db, family: ipv6}]",
	})
	until(t, "two pods", 30*time.Second, func() bool {
		running := 0
		for i, p := range c.pods("shop") {
			if p.Spec.NodeName == "" {
				c.do(http.MethodPost, p.path()+"/binding", plain, fmt.Sprintf(`{"apiVersion":"v1","kind":"Binding","metadata":{"name":%q},"target":{"kind":"Node","name":"n%d"}}`, p.Metadata.Name, i+1))
				continue
			}
			v4, v6 := fmt.Sprintf("10.244.0.%d", i+1), fmt.Sprintf("2001:db8:1::%d", i+1)
			c.do(http.MethodPatch, p.path()+"/status", merge, fmt.Sprintf(`{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q},{"ip":%q}],"conditions":[%s]}}`, v4, v4, v6, ready("Ready")))
			running++
		}
		return running == 2
	})
	c.inSlices("shop", "db")
	want := addrs("[2001:db8:1::1]:5433", "[2001:db8:1::2]:5433")
	until(t, "the pods in the slices of the headless service", 20*time.Second, func() bool {
		n.sync(0)
		return len(n.members("sg-db")) == 2
	})
	n.inStep("sg-db", want)
	n.holds("sg-nodes", addrs("[2001:db8::1]:31080", "[2001:db8::2]:31080"), "")
}

// TestOtherAddresses: host ports, host network, all nodes, and what a load
// balancer of the cluster has given.
func TestOtherAddresses(t *testing.T) {
	c := threeNodes(t)
	c.service("shop", "account", 31080, "")
	c.do(http.MethodPatch, "/api/v1/namespaces/shop/services/account", merge, `{"spec":{"type":"LoadBalancer"}}`)
	for i, more := range []string{"ports: [{containerPort: 8080, hostPort: 9000}]", "ports: [{containerPort: 8080, hostPort: 9001}]"} {
		c.apply(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: a%d, namespace: shop, labels: {app: account}}, spec: {nodeName: n%d, containers: [{name: web, image: "web:1", %s}]}}`, i+1, i+1, more))
	}
	c.apply(`{apiVersion: v1, kind: Pod, metadata: {name: a3, namespace: shop, labels: {app: account}}, spec: {nodeName: n2, hostNetwork: true, containers: [{name: web, image: "web:1", ports: [{containerPort: 8080}]}]}}`)
	for i, p := range c.pods("shop") {
		c.run(p, map[bool]string{true: "192.0.2.2", false: fmt.Sprintf("10.244.0.%d", i+1)}[p.Metadata.Name == "a3"], true)
	}
	c.inSlices("shop", "account")
	n := of(c, map[string]string{
		"sg-host":     "from: [{source: prod, service: shop/account, address: host_port}]",
		"sg-all":      "from: [{source: prod, service: shop/account, nodes: all}]",
		"sg-pods":     "from: [{source: prod, service: shop/account, address: pod_ip}]",
		"sg-balancer": "from: [{source: prod, service: shop/account, address: load_balancer}]",
	})
	output := n.sync(1)
	if !strings.Contains(output, "its load balancer has no IPv4 address") {
		t.Errorf("it is not said that the load balancer has no address yet:\n%s", output)
	}
	c.do(http.MethodPatch, "/api/v1/namespaces/shop/services/account/status", merge, `{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.7"}]}}}`)
	output = n.sync(0)
	n.holds("sg-host", addrs("192.0.2.1:9000", "192.0.2.2:9001", "192.0.2.2:8080"), output)
	n.holds("sg-all", addrs("192.0.2.1:31080", "192.0.2.2:31080", "192.0.2.3:31080"), output)
	n.holds("sg-pods", addrs("10.244.0.1:8080", "10.244.0.2:8080", "192.0.2.2:8080"), output)
	n.holds("sg-balancer", addrs("203.0.113.7:80"), output)
}

// TestTwoClusters: two control planes feed one service group, and the doubt of
// one keeps what it gave.
func TestTwoClusters(t *testing.T) {
	a, b := newCluster(t, standard), newCluster(t, standard)
	for c, address := range map[*cluster]string{a: "192.0.2.1", b: "198.51.100.1"} {
		c.node("n1", address)
		c.service("shop", "account", 31080, "")
		c.deployment("shop", "account", 1, "web:1")
		c.reach("shop", "account", 1, "web:1", "n1")
	}
	n := newNitrox(t, map[string]string{"a": a.kubeconfig(a.door, adminToken), "b": b.kubeconfig(b.door, adminToken)},
		map[string]string{"sg-account": "from: [{source: a, service: shop/account}, {source: b, service: shop/account, weight: 2}]"})
	both := addrs("192.0.2.1:31080", "198.51.100.1:31080")
	n.inStep("sg-account", both)
	if got := n.members("sg-account")[netip.MustParseAddrPort("198.51.100.1:31080")]; got != 2 {
		t.Errorf("weight %d in the second cluster, want 2", got)
	}
	b.apiserver.kill()
	n.holds("sg-account", both, n.sync(1))
	// The first goes on alone.
	a.node("n2", "192.0.2.2")
	a.deployment("shop", "account", 2, "web:1")
	a.reach("shop", "account", 2, "web:1", "n2")
	n.holds("sg-account", addrs("192.0.2.1:31080", "192.0.2.2:31080", "198.51.100.1:31080"), n.sync(1))
}

// TestSilentNodes: kubelets that are not heard from any more. Kubernetes declares
// their nodes Unknown and their pods not ready; Nitrox removes nothing.
func TestSilentNodes(t *testing.T) {
	c := newCluster(t, standard+",node-lifecycle-controller", "--node-monitor-period=500ms", "--node-monitor-grace-period=5s", "--node-startup-grace-period=60s")
	for i := range 2 {
		c.node(fmt.Sprintf("n%d", i+1), fmt.Sprintf("192.0.2.%d", i+1))
	}
	c.service("shop", "account", 31080, "")
	n := of(c, map[string]string{"sg-account": "from: [{source: prod, service: shop/account}]"})
	c.deployment("shop", "account", 2, "web:1")
	beat := func() {
		for i := range 2 {
			c.do(http.MethodPatch, fmt.Sprintf("/api/v1/nodes/n%d/status", i+1), merge, fmt.Sprintf(`{"status":{"conditions":[%s]}}`, ready("Ready")))
		}
	}
	until(t, "two pods in the slices, and members", time.Minute, func() bool {
		beat()
		c.play("shop", "n1", "n2")
		for _, p := range c.pods("shop") { // a late beat has cost it its readiness
			if p.Status.PodIP != "" && !p.ready() {
				c.run(p, p.Status.PodIP, true)
			}
		}
		n.run("sync")
		return len(n.members("sg-account")) == 2
	})
	all := n.members("sg-account")
	until(t, "Kubernetes to declare all pods not ready", time.Minute, func() bool {
		return !slices.ContainsFunc(c.pods("shop"), pod.ready)
	})
	c.inSlices("shop", "account")
	output := n.sync(1)
	n.holds("sg-account", all, output)
	if !strings.Contains(output, "that run its pods, so nothing is removed") {
		t.Errorf("it is not said why:\n%s", output)
	}
	// Of a machine that is known to be down nothing need be heard.
	for i := range 2 {
		c.do(http.MethodPatch, fmt.Sprintf("/api/v1/nodes/n%d", i+1), merge, `{"spec":{"taints":[{"key":"node.kubernetes.io/out-of-service","value":"nodeshutdown","effect":"NoExecute"}]}}`)
	}
	output = n.sync(3)
	n.holds("sg-account", all, output)
	if !strings.Contains(output, "would remove") {
		t.Errorf("not the guard holds the last members:\n%s", output)
	}
}
