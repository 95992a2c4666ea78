package kubernetes

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources"
)

// serve starts the API server and opens a source of it.
func serve(t testing.TB, a *apiserver, c Config) *Source {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	c.Kubeconfig = kubeconfig(t, server.URL)
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask polls for one app.
func ask(t testing.TB, s *Source, q Query) sources.Answer {
	t.Helper()
	if err := q.Check(); err != nil {
		t.Fatal(err)
	}
	answers, err := s.Poll(t.Context(), []Query{q}, true)
	if err != nil {
		t.Fatal(err)
	}
	return answers[0]
}

// told writes an answer down: endpoints with weight and origin, a question mark
// before those that are uncertain, what was left out, and the doubt.
func told(a sources.Answer) string {
	var lines []string
	for _, e := range a.Endpoints {
		line := fmt.Sprintf("%v x%d %s", e.Addr, e.Weight, e.Origin)
		if e.Protocol != sources.TCP {
			line = fmt.Sprintf("%v/%s x%d %s", e.Addr, e.Protocol, e.Weight, e.Origin)
		}
		if e.Uncertain != "" {
			line = "? " + line + ": " + e.Uncertain
		}
		lines = append(lines, line)
	}
	for _, l := range a.LeftOut {
		lines = append(lines, "- "+l.What+": "+l.Why)
	}
	if a.Doubt() != nil {
		lines = append(lines, "! "+a.Doubt().Error())
	}
	return strings.Join(lines, "\n")
}

// nodeGroup are three nodes.
func nodeGroup() []manifest {
	return []manifest{aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"), aNode("n3", "192.0.2.3")}
}

// four are the pods of a service: three on n1 and one on n2.
func four() manifest {
	return aSlice("shop/account", aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.1.2", "n1"), aPod("a3", "10.244.1.3", "n1"), aPod("a4", "10.244.2.1", "n2"))
}

var (
	local   = with("spec.externalTrafficPolicy", "Local")
	account = Query{Service: "shop/account"}
	silent  = "has not been heard from (its condition Ready is Unknown)"
)

func together(lists ...[]manifest) []manifest {
	var all []manifest
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func TestAnswer(t *testing.T) {
	one := func(options ...option) []manifest {
		return []manifest{aService("shop/account", options...), four()}
	}
	pods := func(endpoints ...manifest) []manifest {
		return []manifest{aService("shop/account"), aSlice("shop/account", endpoints...)}
	}
	v6 := func(address string, endpoints ...manifest) manifest {
		return aSlice("shop/account", endpoints...).but(with("addressType", "IPv6"), with("metadata.name", address))
	}
	dual := with("spec.ipFamilies", []string{"IPv4", "IPv6"})
	podIP := Query{Service: "shop/account", Address: PodIP}
	hostPort := Query{Service: "shop/account", Address: HostPort}
	balancer := Query{Service: "shop/account", Address: LoadBalancer}
	ingress := func(list ...manifest) option { return with("status.loadBalancer.ingress", list) }

	for _, c := range []struct {
		name    string
		objects []manifest
		config  Config
		query   Query
		want    string
	}{
		// Node ports: which nodes, with which weights.
		{"two pods of a node are one member", append(one(), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"Local weighs a node by its pods", append(one(local), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x3 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"so does traffic that prefers its zone", append(one(with("spec.trafficDistribution", "PreferClose")), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x3 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"so does traffic that prefers its node", append(one(with("spec.trafficDistribution", "PreferSameNode")), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x3 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"nodes: all needs one ready pod somewhere", append(one(), nodeGroup()...), Config{}, Query{Service: "shop/account", Nodes: AllNodes}, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod
192.0.2.3:31080 x1 node n3`},
		{"nodes: all without a pod is nothing", append(pods(), nodeGroup()...), Config{}, Query{Service: "shop/account", Nodes: AllNodes}, ``},
		{"Local drops the traffic of nodes without pods", append(one(local), nodeGroup()...), Config{}, Query{Service: "shop/account", Nodes: AllNodes}, `
192.0.2.1:31080 x3 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"more than 100 pods on a node are scaled", func() []manifest {
			var many []manifest
			for i := range 150 {
				many = append(many, aPod(fmt.Sprintf("p%d", i), fmt.Sprintf("10.244.1.%d", i), "n1"))
			}
			many = append(many, aPod("q1", "10.244.2.1", "n2"), aPod("q2", "10.244.2.2", "n3"), aPod("q3", "10.244.2.3", "n3"), aPod("q4", "10.244.2.4", "n3"))
			return append([]manifest{aService("shop/account", local), aSlice("shop/account", many...)}, nodeGroup()...)
		}(), Config{}, account, `
192.0.2.1:31080 x100 node n1, 150 pods
192.0.2.2:31080 x1 node n2, 1 pod
192.0.2.3:31080 x2 node n3, 3 pods`},

		// Node ports: which nodes may be bound.
		{"a cordoned node stays", append(one(), aNode("n1", "192.0.2.1", with("spec.unschedulable", true)), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"a node that is not ready goes", append(one(), aNode("n1", "192.0.2.1", nodeReady("False")), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
- node n1, 3 pods: the node is not ready`},
		{"a node that is gone goes", append(one(), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
- node n1, 3 pods: gone`},
		{"a node being deleted goes", append(one(), aNode("n1", "192.0.2.1", with("metadata.deletionTimestamp", "2026-11-21T10:00:00Z")), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
- node n1, 3 pods: being deleted`},
		{"an excluded node goes, whatever the label says", append(one(), aNode("n1", "192.0.2.1", label("node.kubernetes.io/exclude-from-external-load-balancers", "")), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
- node n1, 3 pods: labelled exclude-from-external-load-balancers`},
		{"unless it says false", append(one(), aNode("n1", "192.0.2.1", label("node.kubernetes.io/exclude-from-external-load-balancers", "false")), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"a node that the autoscaler removes goes", append(one(), aNode("n1", "192.0.2.1", taint("ToBeDeletedByClusterAutoscaler", "PreferNoSchedule")), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
- node n1, 3 pods: about to be removed (taint ToBeDeletedByClusterAutoscaler)`},
		{"one that Karpenter disrupts goes", append(one(), aNode("n1", "192.0.2.1", taint("karpenter.sh/disrupted", "NoSchedule")), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
- node n1, 3 pods: about to be removed (taint karpenter.sh/disrupted)`},
		{"other taints do not matter", append(one(), aNode("n1", "192.0.2.1", taint("dedicated", "NoSchedule")), aNode("n2", "192.0.2.2", taint("karpenter.sh/disrupted", "NoExecute"))), Config{}, account, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"node_selector chooses nodes", append(one(), aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2", label("pool", "edge"))), Config{NodeSelector: "pool in (edge, dmz)"}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
- node n1, 3 pods: not chosen by node_selector`},
		{"pods that serve on no node that may be bound are a doubt", append(one(), aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2")), Config{NodeSelector: "pool=edge"}, account, `
- node n1, 3 pods: not chosen by node_selector
- node n2, 1 pod: not chosen by node_selector
! service shop/account: 4 pods can serve, but not at an address that may be bound; no node has the label pool`},
		{"pods without any node are a doubt", one(), Config{}, account, `
- node n1, 3 pods: gone
- node n2, 1 pod: gone
! service shop/account: 4 pods can serve, but not at an address that may be bound`},

		// Node ports: which address of a node.
		{"the address types are tried in order", append(one(), aNode("n1", "192.0.2.1", addresses("InternalIP", "192.0.2.1", "ExternalIP", "198.51.100.1")), aNode("n2", "192.0.2.2")),
			Config{NodeAddress: []AddressType{ExternalIP, InternalIP}}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
198.51.100.1:31080 x1 node n1, 3 pods`},
		{"a node without the address is a doubt", append(one(), aNode("n1", "192.0.2.1", addresses("InternalIP", "192.0.2.1", "ExternalIP", "198.51.100.1")), aNode("n2", "192.0.2.2")),
			Config{NodeAddress: []AddressType{ExternalIP}}, account, `
198.51.100.1:31080 x1 node n1, 3 pods
! service shop/account: node n2: no IPv4 address of type ExternalIP; it has 192.0.2.2 of type InternalIP, which node_address may name`},
		{"the first address of a type is the primary one", append(one(), aNode("n1", "", addresses("InternalIP", "192.0.2.1", "InternalIP", "192.0.2.99")), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"an address that is none is a doubt", append(one(), aNode("n1", "n1.example"), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
! service shop/account: node n1: no IPv4 address among "n1.example" of type InternalIP`},

		// Readiness.
		{"only ready pods count", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2").but(unready), aPod("a3", "10.244.3.1", "n3").but(dead)), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
- pod a2: not ready
- pod a3: terminating`},
		{"conditions that are not there are ready and not terminating", append(pods(aPod("a1", "10.244.1.1", "n1").but(with("conditions", manifest{})), aPod("a2", "10.244.2.1", "n2").but(condition(nil, nil, nil))), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"a terminating pod goes at once", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2").but(terminating)), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
- pod a2: terminating`},
		{"unless no other is left, as for kube-proxy", append(pods(aPod("a1", "10.244.1.1", "n1").but(terminating), aPod("a2", "10.244.2.1", "n2").but(dead)), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
- pod a2: terminating`},
		{"publishNotReadyAddresses makes pods ready, but not those that terminate", append(pods(aPod("a1", "10.244.1.1", "n1").but(condition(true, false, false)), aPod("a2", "10.244.2.1", "n2").but(condition(true, true, true))), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
- pod a2: terminating`},
		{"no ready pod is the whole truth", append(pods(aPod("a1", "10.244.1.1", "n1").but(unready)), nodeGroup()...), Config{}, account, `
- pod a1: not ready`},
		{"a placeholder slice is the whole truth", append(pods(), nodeGroup()...), Config{}, account, ``},

		// Slices.
		{"several slices are one service, and a pod in two of them is one pod", append([]manifest{aService("shop/account", local),
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.1.2", "n1")),
			aSlice("shop/account", aPod("a2", "10.244.1.2", "n1").but(unready)),
			aSlice("shop/account", aPod("a3", "10.244.2.1", "n2"), aPod("a2", "10.244.1.2", "n1"), aPod("a1", "10.244.1.1", "n1").but(terminating)),
		}, nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x2 node n1, 2 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"slices of other services and other namespaces are others'", append([]manifest{aService("shop/account"), aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")),
			aSlice("dmz/account", aPod("x1", "10.244.2.1", "n2")), aSlice("shop/cart", aPod("x2", "10.244.3.1", "n3"))}, nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod`},
		{"a selector and no slice is a doubt", append([]manifest{aService("shop/account")}, nodeGroup()...), Config{}, account, `
! service shop/account has no IPv4 EndpointSlice; its pods are not known yet`},
		{"no selector and no slice is the whole truth", []manifest{aService("shop/account", with("spec.selector", nil))}, Config{}, account, ``},
		{"pods without the port do not serve it", append([]manifest{aService("shop/account", ports(port("http", 80, 31080, "TCP"), port("admin", 81, 31081, "TCP"))),
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.1.2", "n2")),
			aSlice("shop/account", aPod("a2", "10.244.1.2", "n2")).but(with("ports", []manifest{{"name": "admin", "port": 8081}})),
		}, nodeGroup()...), Config{}, Query{Service: "shop/account", Port: "admin"}, `
192.0.2.2:31081 x1 node n2, 1 pod
- pod a1: without the port admin (81/tcp)`},
		{"endpoints that do not say their node need nodes: all", append([]manifest{aService("shop/account", with("spec.selector", nil)),
			aSlice("shop/account", manifest{"addresses": []string{"10.9.9.9"}, "conditions": manifest{}})}, nodeGroup()...), Config{}, account, `
! service shop/account: pod 10.9.9.9 does not say which node it is on; for such a service use address: pod_ip or nodes: all`},
		{"with nodes: all they serve", append([]manifest{aService("shop/account", with("spec.selector", nil)),
			aSlice("shop/account", manifest{"addresses": []string{"10.9.9.9"}, "conditions": manifest{}})}, aNode("n1", "192.0.2.1")), Config{}, Query{Service: "shop/account", Nodes: AllNodes}, `
192.0.2.1:31080 x1 node n1`},
		{"an endpoint without an address is a doubt", append(pods(manifest{"addresses": []string{}, "nodeName": "n1"}), nodeGroup()...), Config{}, account, `
! service shop/account has an endpoint without an address in EndpointSlice account-1`},
		{"an endpoint with a name for an address is a doubt", append(pods(aPod("a1", "db.example", "n1")), nodeGroup()...), Config{}, account, `
! service shop/account has an endpoint "db.example" in EndpointSlice account-1, which is not an IPv4 address`},
		{"slices of names are no pods", append([]manifest{aService("shop/account"), aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")),
			aSlice("shop/account", aPod("a2", "a2.example", "n2")).but(with("addressType", "FQDN"))}, nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
- host a2.example: host names are not resolved`},

		// Ports.
		{"a port is chosen by its name", append([]manifest{aService("shop/account", ports(port("http", 80, 31080, "TCP"), port("https", 443, 31443, "TCP"))), four()}, nodeGroup()...),
			Config{}, Query{Service: "shop/account", Port: "http"}, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"or by its number", append([]manifest{aService("shop/account", ports(port("http", 80, 31080, "TCP"), port("https", 443, 31443, "TCP"))), four()}, nodeGroup()...),
			Config{}, Query{Service: "shop/account", Port: "80"}, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"one of several must be chosen", one(ports(port("http", 80, 31080, "TCP"), port("", 443, 31443, ""))), Config{}, account, `
! service shop/account has several ports; choose one: http (80/tcp), 443/tcp`},
		{"a port that is not there is a doubt", one(), Config{}, Query{Service: "shop/account", Port: "htpp"}, `
! service shop/account has no port htpp; its ports are http (80/tcp)`},
		{"a number of two protocols is not guessed", one(ports(port("dns", 53, 31053, "UDP"), port("dns-tcp", 53, 31054, "TCP"))), Config{}, Query{Service: "shop/account", Port: "53"}, `
! service shop/account has port 53 for several protocols; choose one: port: 53/tcp or port: 53/udp`},
		{"a protocol that the port lacks is a doubt", one(), Config{}, Query{Service: "shop/account", Port: "80/udp"}, `
! service shop/account has no port 80/udp; its ports are http (80/tcp)`},
		{"so is one that a name lacks", one(), Config{}, Query{Service: "shop/account", Port: "http/udp"}, `
! service shop/account has no port http/udp; its ports are http (80/tcp)`},
		{"UDP is said", append([]manifest{aService("shop/account", ports(port("http", 53, 31053, "UDP"), port("dns-tcp", 53, 31054, "TCP"))),
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")).but(with("ports", []manifest{{"port": 53, "name": "http", "protocol": "UDP"}}))}, nodeGroup()...), Config{}, Query{Service: "shop/account", Port: "53/udp"}, `
192.0.2.1:31053/udp x1 node n1, 1 pod`},
		{"a number of two protocols with the protocol", append([]manifest{aService("shop/account", ports(port("dns", 53, 31053, "UDP"), port("http", 53, 31054, "TCP"))), four()}, nodeGroup()...), Config{}, Query{Service: "shop/account", Port: "53/tcp"}, `
192.0.2.1:31054 x1 node n1, 3 pods
192.0.2.2:31054 x1 node n2, 1 pod`},
		{"nor are two that are not TCP", one(ports(port("a", 53, 31053, "UDP"), port("b", 53, 31054, "SCTP"))), Config{}, Query{Service: "shop/account", Port: "53"}, `
! service shop/account has port 53 for several protocols; choose one: port: 53/sctp or port: 53/udp`},
		{"protocols are told apart", append([]manifest{aService("shop/account", ports(port("", 53, 31053, "UDP"))),
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")).but(with("ports", []manifest{{"port": 53}})),
			aSlice("shop/account", aPod("a2", "10.244.1.2", "n2")).but(with("ports", []manifest{{"port": 53, "name": "", "protocol": "UDP"}}))}, nodeGroup()...), Config{}, account, `
192.0.2.2:31053/udp x1 node n2, 1 pod
- pod a1: without the port 53/udp`},
		{"no port at all is a doubt", one(with("spec.ports", nil)), Config{}, account, `
! service shop/account has no ports`},

		// Kinds of service.
		{"ClusterIP has no node port", []manifest{aService("shop/account", with("spec.type", "ClusterIP"), ports(port("http", 80, 0, "TCP"))), four()}, Config{}, account, `
! service shop/account is of type ClusterIP and its port http (80/tcp) has no node port; make it a NodePort, or choose another address`},
		{"a LoadBalancer may have none", []manifest{aService("shop/account", with("spec.type", "LoadBalancer"), ports(port("http", 80, 0, "TCP"))), four()}, Config{}, account, `
! service shop/account is of type LoadBalancer and its port http (80/tcp) has no node port; make it a NodePort, or choose another address`},
		{"a LoadBalancer mostly has one", append(one(with("spec.type", "LoadBalancer")), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"a headless service has no node port", []manifest{aService("shop/account", with("spec.type", "ClusterIP"), with("spec.clusterIP", "None"), ports(port("http", 80, 0, "TCP"))), four()}, Config{}, account, `
! service shop/account is headless and has no node port; use address: pod_ip`},
		{"ExternalName has no endpoints", []manifest{aService("shop/account", with("spec.type", "ExternalName"))}, Config{}, podIP, `
! service shop/account is of type ExternalName: it is a DNS name, without endpoints; name a service that has pods`},
		{"a service that is not there is absent", nodeGroup(), Config{}, account, `
! there is no service shop/account`},

		// Families.
		{"dual stack is the first family by default", append([]manifest{aService("shop/account", dual), aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")), v6("s6", aPod("a1", "2001:db8:1::1", "n1"))},
			aNode("n1", "", addresses("InternalIP", "2001:db8::1", "InternalIP", "192.0.2.1"))), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod`},
		{"or the one that is asked for", append([]manifest{aService("shop/account", dual), aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")), v6("s6", aPod("a1", "2001:DB8:1:0::1", "n1"))},
			aNode("n1", "", addresses("InternalIP", "192.0.2.1", "InternalIP", "2001:db8:0:0::1"))), Config{}, Query{Service: "shop/account", Family: IPv6}, `
[2001:db8::1]:31080 x1 node n1, 1 pod`},
		{"a family that the service lacks is a doubt", one(), Config{}, Query{Service: "shop/account", Family: IPv6}, `
! service shop/account has no IPv6 addresses, only IPv4`},
		{"a family that the node lacks is a doubt", []manifest{aService("shop/account", dual), aSlice("shop/account"), v6("s6", aPod("a1", "2001:db8:1::1", "n1")), aNode("n1", "192.0.2.1")},
			Config{}, Query{Service: "shop/account", Family: IPv6}, `
! service shop/account: node n1: no IPv6 address of type InternalIP`},
		{"a family without slices is a doubt", []manifest{aService("shop/account", dual), four()}, Config{}, Query{Service: "shop/account", Family: IPv6}, `
! service shop/account has no IPv6 EndpointSlice; its pods are not known yet`},
		{"a service from before there was a choice is IPv4", append(one(with("spec.ipFamilies", nil)), nodeGroup()...), Config{}, account, `
192.0.2.1:31080 x1 node n1, 3 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"IPv4 inside IPv6 is IPv4", append(pods(aPod("a1", "::ffff:10.244.1.1", "n1")), aNode("n1", "::ffff:192.0.2.1")), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod`},

		// Pods.
		{"pod addresses, with the slice's port", []manifest{aService("shop/account"), four(), aSlice("shop/account", aPod("b1", "10.244.3.1", "n3")).but(with("ports", []manifest{{"name": "http", "port": 9090}}))}, Config{}, podIP, `
10.244.1.1:8080 x0 pod a1 on node n1
10.244.1.2:8080 x0 pod a2 on node n1
10.244.1.3:8080 x0 pod a3 on node n1
10.244.2.1:8080 x0 pod a4 on node n2
10.244.3.1:9090 x0 pod b1 on node n3`},
		{"pods of a headless service", []manifest{aService("shop/account", with("spec.clusterIP", "None"), with("spec.type", "ClusterIP"), ports(port("http", 80, 0, "TCP"))), aSlice("shop/account", aPod("db-0", "10.244.1.1", "n1"), aPod("db-1", "10.244.2.1", "n2"))}, Config{}, podIP, `
10.244.1.1:8080 x0 pod db-0 on node n1
10.244.2.1:8080 x0 pod db-1 on node n2`},
		{"IPv6 pods", []manifest{aService("shop/account", with("spec.ipFamilies", []string{"IPv6"})), v6("s6", aPod("a1", "2001:db8:1::1", "n1"))}, Config{}, podIP, `
[2001:db8:1::1]:8080 x0 pod a1 on node n1`},
		{"endpoints that someone wrote by hand", []manifest{aService("shop/account", with("spec.selector", nil)), aSlice("shop/account", manifest{"addresses": []string{"203.0.113.9", "203.0.113.10"}})}, Config{}, podIP, `
203.0.113.9:8080 x0 pod 203.0.113.9
- pod 203.0.113.9: its further address 203.0.113.10: of an endpoint only the first counts`},
		{"a slice that does not say its port is a doubt", []manifest{aService("shop/account"), aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")).but(with("ports", []manifest{{"name": "http", "port": nil}}))}, Config{}, podIP, `
! service shop/account: the EndpointSlice does not give the port of pod a1`},
		{"a host network pod is where its node is", []manifest{aService("shop/account"), aSlice("shop/account", aPod("a1", "192.0.2.1", "n1"))}, Config{}, podIP, `
192.0.2.1:8080 x0 pod a1 on node n1`},

		// Host ports.
		{"host ports of pods", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2"), aPod("a3", "10.244.3.1", "n3").but(unready)),
			together(nodeGroup(), []manifest{aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.2", 9001), aRunning("shop/a3", "192.0.2.3", 9001), aRunning("dmz/a1", "192.0.2.9", 9002)})...), Config{}, hostPort, `
192.0.2.1:9000 x0 pod a1 on node n1
192.0.2.2:9001 x0 pod a2 on node n2
- pod a3: not ready`},
		{"a host port at one address of the host", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2")),
			together([]manifest{aNode("n1", "", addresses("Hostname", "n1", "InternalIP", "192.0.2.1", "ExternalIP", "198.51.100.1")), aNode("n2", "192.0.2.2")}, []manifest{
				aRunning("shop/a1", "192.0.2.1", 0, with("spec.containers", []manifest{{"ports": []manifest{{"containerPort": 8080, "hostPort": 9000, "hostIP": "198.51.100.1"}}}})),
				aRunning("shop/a2", "192.0.2.2", 0, with("spec.initContainers", []manifest{{"ports": []manifest{{"containerPort": 8080, "hostPort": 9000, "hostIP": "0.0.0.0"}}}}))})...), Config{}, hostPort, `
192.0.2.2:9000 x0 pod a2 on node n2
198.51.100.1:9000 x0 pod a1 on node n1`},
		{"a pod without a host port is a doubt", append(pods(aPod("a1", "10.244.1.1", "n1")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 0))...), Config{}, hostPort, `
! service shop/account: pod a1 does not publish its port 8080 on a host port; give the port a hostPort in the pod, or choose another address`},
		{"a pod that is gone by now is left out", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 9000))...), Config{}, hostPort, `
192.0.2.1:9000 x0 pod a1 on node n1
- pod a2: gone`},
		{"pods that are not there at all are a doubt", append(pods(aPod("a1", "10.244.1.1", "n1")), nodeGroup()...), Config{}, hostPort, `
- pod a1: gone
! service shop/account: 1 pod can serve, but not at an address that may be bound`},
		{"an excluded node's host port goes", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2")),
			aNode("n1", "192.0.2.1", label("node.kubernetes.io/exclude-from-external-load-balancers", "true")), aNode("n2", "192.0.2.2"), aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.2", 9000)), Config{}, hostPort, `
192.0.2.2:9000 x0 pod a2 on node n2
- node n1, 1 pod: labelled exclude-from-external-load-balancers`},
		{"endpoints that are no pods have no host port", []manifest{aService("shop/account", with("spec.selector", nil)), aSlice("shop/account", manifest{"addresses": []string{"203.0.113.9"}})}, Config{}, hostPort, `
! service shop/account: pod 203.0.113.9 is not a pod that the service's selector chose, so it has no host port`},
		{"a pod that cannot be read is a doubt", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.2", 0, with("spec.containers", "none")))...), Config{}, hostPort, `
192.0.2.1:9000 x0 pod a1 on node n1
! service shop/account: pod a2: the answer cannot be read: unexpected string at spec.containers`},

		// Load balancers.
		{"the addresses of a load balancer", []manifest{aService("shop/account", with("spec.type", "LoadBalancer"), dual, ingress(manifest{"ip": "203.0.113.7"}, manifest{"ip": "2001:db8:7::7"}))}, Config{}, balancer, `
203.0.113.7:80 x0 load balancer of shop/account`},
		{"of the family that is asked for", []manifest{aService("shop/account", with("spec.type", "LoadBalancer"), dual, ingress(manifest{"ip": "203.0.113.7"}, manifest{"ip": "2001:db8:7::7"}))}, Config{}, Query{Service: "shop/account", Address: LoadBalancer, Family: IPv6}, `
[2001:db8:7::7]:80 x0 load balancer of shop/account`},
		{"no address yet is a doubt", []manifest{aService("shop/account", with("spec.type", "LoadBalancer"))}, Config{}, balancer, `
! service shop/account: its load balancer has no IPv4 address`},
		{"a host name is a doubt", []manifest{aService("shop/account", with("spec.type", "LoadBalancer"), ingress(manifest{"hostname": "lb.example"}))}, Config{}, balancer, `
! service shop/account: its load balancer has the host name lb.example, and host names are not resolved`},
		{"an address that is none is a doubt of a load balancer", []manifest{aService("shop/account", with("spec.type", "LoadBalancer"), ingress(manifest{"ip": "203.0.113.7"}, manifest{"ip": "203.0.113"}))}, Config{}, balancer, `
203.0.113.7:80 x0 load balancer of shop/account
! service shop/account: its load balancer has "203.0.113", which is not an IP address`},
		{"a NodePort service has no load balancer", one(), Config{}, balancer, `
! service shop/account is of type NodePort; only a LoadBalancer has load balancer addresses`},

		// Nodes out of sight.
		{"one silent node of three keeps its member and gets no new one", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2"), aPod("a3", "10.244.3.1", "n3").but(unready)),
			aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"), aNode("n3", "192.0.2.3", nodeReady("Unknown"))), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
192.0.2.2:31080 x1 node n2, 1 pod
? 192.0.2.3:31080 x0 node n3: node n3 ` + silent},
		{"until its pods are evicted", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2"), aPod("a3", "10.244.3.1", "n3").but(dead)),
			aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"), aNode("n3", "192.0.2.3", nodeReady("Unknown"))), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
192.0.2.2:31080 x1 node n2, 1 pod
- pod a3: terminating`},
		{"a silent node from which all pods are evicted counts no more", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2").but(dead)),
			aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2", nodeReady("Unknown"))), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
- pod a2: terminating`},
		{"half of the nodes silent: nothing is removed", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2").but(unready)),
			aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2", nodeReady("Unknown"))), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
? 192.0.2.2:31080 x0 node n2: node n2 ` + silent + `
! service shop/account: nothing heard from 1 of the 2 nodes that run its pods, so nothing is removed`},
		{"all of them silent and all pods not ready: nothing is removed", append(pods(aPod("a1", "10.244.1.1", "n1").but(unready), aPod("a2", "10.244.2.1", "n2").but(unready)),
			aNode("n1", "192.0.2.1", nodeReady("Unknown")), aNode("n2", "192.0.2.2", nodeReady("Unknown"))), Config{}, account, `
? 192.0.2.1:31080 x0 node n1: node n1 ` + silent + `
? 192.0.2.2:31080 x0 node n2: node n2 ` + silent + `
! service shop/account: nothing heard from 2 of the 2 nodes that run its pods, so nothing is removed`},
		{"silent before the pods are declared not ready", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2"), aPod("a3", "10.244.3.1", "n3")),
			aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"), aNode("n3", "192.0.2.3", with("status.conditions", nil))), Config{}, account, `
192.0.2.1:31080 x1 node n1, 1 pod
192.0.2.2:31080 x1 node n2, 1 pod
? 192.0.2.3:31080 x0 node n3, 1 pod: node n3 ` + silent},
		{"pods on silent nodes, by their own addresses", append(pods(aPod("a1", "10.244.1.1", "n1").but(unready), aPod("a2", "10.244.2.1", "n2").but(unready), aPod("a3", "10.244.3.1", "n3").but(unready)),
			aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2", nodeReady("Unknown")), aNode("n3", "192.0.2.3", nodeReady("Unknown"))), Config{}, podIP, `
? 10.244.2.1:8080 x0 pod a2 on node n2: node n2 ` + silent + `
? 10.244.3.1:8080 x0 pod a3 on node n3: node n3 ` + silent + `
- pod a1: not ready
! service shop/account: nothing heard from 2 of the 3 nodes that run its pods, so nothing is removed`},
		{"host ports on a silent node", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2"), aPod("a3", "10.244.3.1", "n3").but(unready)),
			aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"), aNode("n3", "192.0.2.3", nodeReady("Unknown")),
			aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.2", 9000), aRunning("shop/a3", "192.0.2.3", 9000)), Config{}, hostPort, `
192.0.2.1:9000 x0 pod a1 on node n1
192.0.2.2:9000 x0 pod a2 on node n2
? 192.0.2.3:9000 x0 pod a3 on node n3: node n3 ` + silent},
		{"a node that cannot be read is a doubt of what runs there", append(one(), aNode("n1", "192.0.2.1", with("status.addresses", 7)), aNode("n2", "192.0.2.2")), Config{}, account, `
192.0.2.2:31080 x1 node n2, 1 pod
! service shop/account: node n1: the answer cannot be read: unexpected number at status.addresses`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := told(ask(t, serve(t, cluster(c.objects...), c.config), c.query))
			if want := strings.TrimPrefix(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestAnAnswerTakesLittleMemory: a pass makes thousands of them, beside all that is
// kept of the last one.
func TestAnAnswerTakesLittleMemory(t *testing.T) {
	const apps, pods = 100, 20
	v, yes, no := newView(), true, false
	known := nodeView{nodes: map[string]node{}, bad: map[string]error{}, whole: true}
	for i := range apps {
		sv := &service{}
		sv.Spec.Type, sv.Spec.ClusterIP, sv.Spec.Ports = "NodePort", "172.20.0.1", []servicePort{{Port: 80, NodePort: 30080}}
		k := key{"shop", fmt.Sprint("app-", i)}
		sl := slice{AddressType: "IPv4", Ports: []slicePort{{Port: 8080}}}
		sl.Endpoints = slices.Grow(sl.Endpoints, pods)[:pods]
		for j := range pods {
			e := &sl.Endpoints[j]
			e.Addresses, e.NodeName = []string{fmt.Sprintf("10.0.%d.%d", i, j)}, fmt.Sprint("n", i*pods+j)
			e.Conditions.Ready, e.Conditions.Serving, e.Conditions.Terminating = &yes, &yes, &no
			n := node{}
			n.Metadata.Name, n.Status.Conditions = e.NodeName, []observed{{Type: "Ready", Status: "True"}}
			n.Status.Addresses = slices.Grow(n.Status.Addresses, 1)[:1]
			n.Status.Addresses[0].Type, n.Status.Addresses[0].Address = "InternalIP", fmt.Sprintf("198.51.%d.%d", i, j)
			known.nodes[e.NodeName] = n
		}
		v.services[k], v.slices[k] = sv, []slice{sl}
	}
	p := policy{types: Config{}.addressTypes(), selector: labels.Everything()}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range apps {
		target, err := v.target(Query{Service: fmt.Sprint("shop/app-", i)})
		if err != nil {
			t.Fatal(err)
		}
		if a := target.answer(p, known); len(a.Endpoints) != pods || a.Doubt() != nil {
			t.Fatal(told(a))
		}
	}
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) / apps / pods; took > 1000 {
		t.Errorf("%d bytes for each endpoint", took)
	}
}
