package kubernetes

import (
	"slices"
	"strings"
	"testing"
)

// TestIdentity: an endpoint is a pod, an address and a port. What the order of
// slices is must not matter.
func TestIdentity(t *testing.T) {
	byHand := func(name, address string, port int) manifest {
		return aSlice("shop/account", manifest{"addresses": []string{address}, "nodeName": "n1"}).but(with("metadata.name", name), with("ports", []manifest{{"name": "http", "port": port}}))
	}
	selectorless := aService("shop/account", with("spec.selector", nil))
	podIP := Query{Service: "shop/account", Address: PodIP}
	again := func(uid string, m manifest) manifest {
		return m.but(with("targetRef.uid", uid))
	}
	for _, c := range []struct {
		name    string
		objects []manifest
		slices  []manifest
		query   Query
		want    string
	}{
		{"an address at two ports is two", []manifest{selectorless}, []manifest{byHand("a", "10.9.0.5", 8080), byHand("b", "10.9.0.5", 8081)}, podIP, `
10.9.0.5:8080 x0 pod 10.9.0.5 on node n1
10.9.0.5:8081 x0 pod 10.9.0.5 on node n1`},
		{"a pod at two ports is two", []manifest{aService("shop/account")}, []manifest{
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")),
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")).but(with("ports", []manifest{{"name": "http", "port": 8081}}))}, podIP, `
10.244.1.1:8080 x0 pod a1 on node n1
10.244.1.1:8081 x0 pod a1 on node n1`},
		{"a pod that moves from slice to slice is one", []manifest{aService("shop/account", local), aNode("n1", "192.0.2.1")}, []manifest{
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.1.2", "n1").but(unready)),
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1").but(unready), aPod("a2", "10.244.1.2", "n1"))}, account, `
192.0.2.1:31080 x2 node n1, 2 pods`},
		{"two copies, terminating in one", []manifest{aService("shop/account"), aNode("n1", "192.0.2.1")}, []manifest{
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1").but(terminating)),
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1").but(condition(false, true, false)))}, account, `
192.0.2.1:31080 x1 node n1, 1 pod`},
		{"a pod that is gone, and its successor at its address", []manifest{aService("shop/account")}, []manifest{
			aSlice("shop/account", again("old", aPod("db-0", "10.244.1.1", "n1").but(dead))),
			aSlice("shop/account", again("new", aPod("db-0", "10.244.1.1", "n1")))}, podIP, `
10.244.1.1:8080 x0 pod db-0 on node n1
- pod db-0: terminating`},
		{"a pod that has gone is no more in doubt than its successor", []manifest{aService("shop/account"), aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"), aNode("n3", "192.0.2.3", nodeReady("Unknown"))}, []manifest{
			aSlice("shop/account", again("old", aPod("x1", "10.244.1.1", "n3").but(unready)), aPod("y1", "10.244.1.9", "n2")),
			aSlice("shop/account", again("new", aPod("x2", "10.244.1.1", "n1")))}, podIP, `
10.244.1.1:8080 x0 pod x2 on node n1
10.244.1.9:8080 x0 pod y1 on node n2`},
		{"a pod in a slice that somebody wrote by hand, too", []manifest{aService("shop/account", local), aNode("n1", "192.0.2.1")}, []manifest{
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")),
			aSlice("shop/account", manifest{"addresses": []string{"10.244.1.1"}, "nodeName": "n1"})}, account, `
192.0.2.1:31080 x1 node n1, 1 pod`},
		{"a port that one of its slices lacks", []manifest{aService("shop/account")}, []manifest{
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1")).but(with("ports", []manifest{{"name": "admin", "port": 1}})),
			aSlice("shop/account", aPod("a1", "10.244.1.1", "n1"))}, podIP, `
10.244.1.1:8080 x0 pod a1 on node n1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				got := told(ask(t, serve(t, cluster(append(slices.Clone(c.objects), c.slices...)...), Config{}), c.query))
				if want := strings.TrimPrefix(c.want, "\n"); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				slices.Reverse(c.slices)
			}
		})
	}
}

// TestFromTheField: what public reports of users' clusters hold.
func TestFromTheField(t *testing.T) {
	one := func(objects ...manifest) []manifest {
		return append([]manifest{aService("shop/account"), four()}, objects...)
	}
	pods := func(endpoints ...manifest) []manifest {
		return []manifest{aService("shop/account"), aSlice("shop/account", endpoints...)}
	}
	selectorless := aService("shop/account", with("spec.selector", nil))
	podIP := Query{Service: "shop/account", Address: PodIP}
	hostPort := Query{Service: "shop/account", Address: HostPort}
	all := Query{Service: "shop/account", Nodes: AllNodes}
	n2 := aNode("n2", "192.0.2.2")
	const both = "192.0.2.1:31080 x1 node n1, 3 pods\n192.0.2.2:31080 x1 node n2, 1 pod"
	const second = "192.0.2.2:31080 x1 node n2, 1 pod\n"
	zone := func(name string) option { return label("topology.kubernetes.io/zone", name) }
	hostIP := func(ip string) option {
		return with("spec.containers", []manifest{{"ports": []manifest{{"containerPort": 8080, "hostPort": 443, "hostIP": ip}}}})
	}
	pools := []manifest{aNode("n1", "192.0.2.1", label("pool", "edge"), zone("eu-1a")), aNode("n2", "192.0.2.2", label("pool", "dmz"), zone("eu-1b"))}

	for _, c := range []struct {
		name    string
		objects []manifest
		config  Config
		query   Query
		want    string
	}{
		// Nodes at which no kube-proxy answers.
		{"virtual-kubelet", one(aNode("n1", "192.0.2.1", label("type", "virtual-kubelet")), n2), Config{}, all, second + "- node n1, 3 pods: on a virtual node no kube-proxy answers (label type=virtual-kubelet)"},
		{"virtual-kubelet's taint", one(aNode("n1", "192.0.2.1", taint("virtual-kubelet.io/provider", "NoSchedule")), n2), Config{}, all, second + "- node n1, 3 pods: on a virtual node no kube-proxy answers (taint virtual-kubelet.io/provider)"},
		{"Fargate", one(aNode("n1", "192.0.2.1", label("eks.amazonaws.com/compute-type", "fargate")), n2), Config{}, account, second + "- node n1, 3 pods: on a virtual node no kube-proxy answers (label eks.amazonaws.com/compute-type=fargate)"},
		{"Fargate's provider ID", one(aNode("n1", "192.0.2.1", with("spec.providerID", "aws:///eu-west-1a/0a1b2c/fargate-ip-10-0-1-2.eu-west-1.compute.internal")), n2), Config{}, account,
			second + "- node n1, 3 pods: on a virtual node no kube-proxy answers (provider ID aws:///eu-west-1a/0a1b2c/fargate-ip-10-0-1-2.eu-west-1.compute.internal)"},
		{"an old virtual-kubelet", one(aNode("n1", "192.0.2.1", label("beta.kubernetes.io/instance-type", "virtual-kubelet")), n2), Config{}, account, second + "- node n1, 3 pods: on a virtual node no kube-proxy answers (label beta.kubernetes.io/instance-type=virtual-kubelet)"},
		{"virtual-kubelet's version", one(aNode("n1", "192.0.2.1", with("status.nodeInfo", manifest{"kubeletVersion": "v1.14.3-vk-azure-aci-v1.3.0"})), n2), Config{}, account, second + "- node n1, 3 pods: on a virtual node no kube-proxy answers (kubelet v1.14.3-vk-azure-aci-v1.3.0)"},
		{"a hybrid node is a machine", one(aNode("n1", "192.0.2.1", label("eks.amazonaws.com/compute-type", "hybrid")), n2), Config{}, account, both},
		{"nothing but virtual nodes", pods(aPod("a1", "10.244.1.1", "n1"))[:2], Config{}, account, "- node n1, 1 pod: gone\n! service shop/account: 1 pod can serve, but not at an address that may be bound"},
		{"nothing but Fargate", append(pods(aPod("a1", "10.244.1.1", "n1")), aNode("n1", "192.0.2.1", label("eks.amazonaws.com/compute-type", "fargate"))), Config{}, account,
			"- node n1, 1 pod: on a virtual node no kube-proxy answers (label eks.amazonaws.com/compute-type=fargate)\n! service shop/account: 1 pod can serve, but not at an address that may be bound; of pods on virtual nodes use address: pod_ip"},
		{"their pods have addresses", append(pods(aPod("a1", "10.244.1.1", "n1")), aNode("n1", "192.0.2.1", label("type", "virtual-kubelet"))), Config{}, podIP, "10.244.1.1:8080 x0 pod a1 on node n1"},
		{"the older label", one(aNode("n1", "192.0.2.1", label("alpha.service-controller.kubernetes.io/exclude-balancer", "true")), n2), Config{}, all, second + "- node n1, 3 pods: labelled exclude-balancer"},
		{"every node is excluded", one(aNode("n1", "192.0.2.1", label(excludeLabel, "")), aNode("n2", "192.0.2.2", label(excludeLabel, ""))), Config{}, account, `- node n1, 3 pods: labelled exclude-from-external-load-balancers
- node n2, 1 pod: labelled exclude-from-external-load-balancers
! service shop/account: 4 pods can serve, but not at an address that may be bound; to bind nodes in spite of such labels, set include_excluded_nodes: true in the source`},
		{"and bound all the same", one(aNode("n1", "192.0.2.1", label(excludeLabel, "")), aNode("n2", "192.0.2.2", label(excludeBefore, "true"))), Config{IncludeExcludedNodes: true}, account, both},
		{"but not virtual ones", one(aNode("n1", "192.0.2.1", label("type", "virtual-kubelet"), label(excludeLabel, "")), n2), Config{IncludeExcludedNodes: true}, account, second + "- node n1, 3 pods: on a virtual node no kube-proxy answers (label type=virtual-kubelet)"},

		// publishNotReadyAddresses.
		{"a pod that does not serve", pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.1.2", "n1").but(condition(true, false, false))), Config{}, podIP, "10.244.1.1:8080 x0 pod a1 on node n1\n- pod a2: not ready"},
		{"nor at its host port", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.1.2", "n2").but(condition(true, false, false))), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.2", 9000))...), Config{}, hostPort,
			"192.0.2.1:9000 x0 pod a1 on node n1\n- pod a2: not ready"},
		{"none that serves is the whole truth", pods(aPod("a1", "10.244.1.1", "n1").but(condition(true, false, false))), Config{}, podIP, "- pod a1: not ready"},
		{"kube-proxy sends it traffic", append(pods(aPod("a1", "10.244.1.1", "n1").but(condition(true, false, false))), nodeGroup()...), Config{}, account, "192.0.2.1:31080 x1 node n1, 1 pod"},
		{"its node is silent", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2"), aPod("a3", "10.244.3.1", "n3").but(condition(true, false, false))), aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"), aNode("n3", "192.0.2.3", nodeReady("Unknown"))), Config{}, podIP,
			"10.244.1.1:8080 x0 pod a1 on node n1\n10.244.2.1:8080 x0 pod a2 on node n2\n? 10.244.3.1:8080 x0 pod a3 on node n3: node n3 " + silent},
		{"an API server that does not know serving", pods(aPod("a1", "10.244.1.1", "n1").but(condition(true, nil, nil)), aPod("a2", "10.244.1.2", "n1").but(condition(false, nil, nil))), Config{}, podIP, "10.244.1.1:8080 x0 pod a1 on node n1\n- pod a2: not ready"},

		// Addresses of nodes.
		{"a name before the address", one(aNode("n1", "", addresses("InternalIP", "ip-10-0-0-1.internal", "InternalIP", "", "InternalIP", "192.0.2.1")), n2), Config{}, account, both},
		{"the unspecified address before it", one(aNode("n1", "", addresses("InternalIP", "0.0.0.0", "InternalIP", "192.0.2.1")), n2), Config{}, account, both},
		{"a name for one type, an address of the other", one(aNode("n1", "", addresses("ExternalIP", "n1.example.com", "InternalIP", "192.0.2.1")), n2), Config{NodeAddress: []AddressType{ExternalIP, InternalIP}}, account, both},
		{"nothing but names", one(aNode("n1", "", addresses("InternalIP", "n1.example.com")), n2), Config{}, account, second + `! service shop/account: node n1: no IPv4 address among "n1.example.com" of type InternalIP`},

		// Slices of a service without a selector.
		{"names only", []manifest{selectorless, aSlice("shop/account", manifest{"addresses": []string{"db.example.com"}}).but(with("addressType", "FQDN"))}, Config{}, podIP,
			"! service shop/account has no IPv4 endpoint, but EndpointSlice account-1 has 1 endpoint of type FQDN; host names are not resolved, so give it addresses"},
		{"another family only", []manifest{selectorless, aSlice("shop/account", manifest{"addresses": []string{"2001:db8::1"}}).but(with("addressType", "IPv6"))}, Config{}, podIP,
			"! service shop/account has no IPv4 endpoint, but EndpointSlice account-1 has 1 endpoint of type IPv6; choose that with family"},
		{"another family, and an empty slice of its own", []manifest{selectorless, aSlice("shop/account"), aSlice("shop/account", manifest{"addresses": []string{"2001:db8::1"}}).but(with("metadata.name", "v6"), with("addressType", "IPv6"))}, Config{}, podIP,
			"! service shop/account has no IPv4 endpoint, but EndpointSlice v6 has 1 endpoint of type IPv6; choose that with family"},
		{"empty slices are the whole truth", []manifest{selectorless, aSlice("shop/account"), aSlice("shop/account").but(with("addressType", "FQDN"))}, Config{}, podIP, ""},
		{"a type that is new", []manifest{selectorless, aSlice("shop/account", manifest{"addresses": []string{"x"}}).but(with("addressType", "IPv8"))}, Config{}, podIP, `! service shop/account has EndpointSlice account-1 of addressType "IPv8", which Nitrox does not know`},

		// Addresses that tenants write.
		{"somebody else's address", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 0, hostIP("203.0.113.66")), aRunning("shop/a2", "192.0.2.2", 9000))...), Config{}, hostPort,
			`192.0.2.2:9000 x0 pod a2 on node n2
! service shop/account: host port of pod a1: its hostIP "203.0.113.66" is not an address of its node; remove hostIP from the pod, or give one of the node's`},
		{"another node's", append(pods(aPod("a1", "10.244.1.1", "n1")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 0, hostIP("192.0.2.2")))...), Config{}, hostPort,
			`! service shop/account: host port of pod a1: its hostIP "192.0.2.2" is not an address of its node; remove hostIP from the pod, or give one of the node's`},
		{"loopback", append(pods(aPod("a1", "10.244.1.1", "n1")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 0, hostIP("127.0.0.1")))...), Config{}, hostPort,
			`! service shop/account: host port of pod a1: its hostIP "127.0.0.1" is not an address of its node; remove hostIP from the pod, or give one of the node's`},
		{"no address", append(pods(aPod("a1", "10.244.1.1", "n1")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 0, hostIP("edge")))...), Config{}, hostPort,
			`! service shop/account: host port of pod a1: its hostIP "edge" is not an address of its node; remove hostIP from the pod, or give one of the node's`},
		{"its node's, in another spelling", append(pods(aPod("a1", "10.244.1.1", "n1")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 0, hostIP("::ffff:192.0.2.1")))...), Config{}, hostPort, "192.0.2.1:443 x0 pod a1 on node n1"},
		{"any address", append(pods(aPod("a1", "10.244.1.1", "n1")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 0, hostIP("::")))...), Config{}, hostPort, "192.0.2.1:443 x0 pod a1 on node n1"},

		// Pools and zones.
		{"an entry's selector is its own", append(one(), pools...), Config{NodeSelector: "pool=dmz"}, Query{Service: "shop/account", NodeSelector: "pool=edge"}, "192.0.2.1:31080 x1 node n1, 3 pods\n- node n2, 1 pod: not chosen by node_selector"},
		{"a pool without pods is empty", append(pods(aPod("a1", "10.244.1.1", "n1")), pools...), Config{}, Query{Service: "shop/account", NodeSelector: "pool=dmz"}, "- node n1, 1 pod: not chosen by node_selector"},
		{"a pool that is not there is a doubt", append(pods(aPod("a1", "10.244.1.1", "n1")), pools...), Config{}, Query{Service: "shop/account", NodeSelector: "pool=egde"},
			"- node n1, 1 pod: not chosen by node_selector\n! service shop/account: 1 pod can serve, but not at an address that may be bound; no node has the label pool=egde; did you mean pool=edge?"},
		{"so is a label", append(pods(aPod("a1", "10.244.1.1", "n1")), pools...), Config{}, Query{Service: "shop/account", NodeSelector: "poll=edge"},
			"- node n1, 1 pod: not chosen by node_selector\n! service shop/account: 1 pod can serve, but not at an address that may be bound; no node has the label poll; did you mean pool?"},
		{"an entry's address type", append(one(aNode("n1", "", addresses("InternalIP", "10.0.0.1", "ExternalIP", "192.0.2.1"))), aNode("n2", "", addresses("InternalIP", "10.0.0.2", "ExternalIP", "192.0.2.2"))), Config{}, Query{Service: "shop/account", NodeAddress: []AddressType{ExternalIP}}, both},
		{"a zone of nodes", append(one(), pools...), Config{}, Query{Service: "shop/account", Zone: "eu-1b"}, second + "- node n1, 3 pods: in zone eu-1a"},
		{"a zone of all nodes", append(one(), pools...), Config{}, Query{Service: "shop/account", Zone: "eu-1b", Nodes: AllNodes}, second + "- node n1, 3 pods: in zone eu-1a"},
		{"a zone of pods", append(pods(aPod("a1", "10.244.1.1", "n1").but(with("zone", "eu-1a")), aPod("a2", "10.244.2.1", "n2").but(with("zone", "eu-1b"))), pools...), Config{}, Query{Service: "shop/account", Zone: "eu-1a", Address: PodIP}, "10.244.1.1:8080 x0 pod a1 on node n1\n- pod a2: in zone eu-1b"},
		{"a zone of pods that only nodes tell", append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2")), pools...), Config{}, Query{Service: "shop/account", Zone: "eu-1a", Address: PodIP}, "10.244.1.1:8080 x0 pod a1 on node n1\n- pod a2: in zone eu-1b"},
		{"a zone of host ports", append(append(pods(aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2")), pools...), aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.2", 9000)), Config{}, Query{Service: "shop/account", Zone: "eu-1a", Address: HostPort}, "192.0.2.1:9000 x0 pod a1 on node n1\n- node n2, 1 pod: in zone eu-1b"},
		{"a zone without pods is empty", append(pods(aPod("a1", "10.244.1.1", "n1")), pools...), Config{}, Query{Service: "shop/account", Zone: "eu-1b", Address: PodIP}, "- pod a1: in zone eu-1a"},
		{"a zone that is not there is a doubt", append(pods(aPod("a1", "10.244.1.1", "n1")), pools...), Config{}, Query{Service: "shop/account", Zone: "eu-1c", Address: PodIP},
			"- pod a1: in zone eu-1a\n! service shop/account: 1 pod can serve, but not at an address that may be bound; no node is in zone eu-1c; did you mean eu-1a?"},
		{"a zone that nobody tells is a doubt", append(pods(aPod("a1", "10.244.1.1", "n1")), nodeGroup()...), Config{}, Query{Service: "shop/account", Zone: "eu-1a", Address: PodIP},
			"! service shop/account: it is not known in which zone pod a1 is: neither its EndpointSlice nor the label topology.kubernetes.io/zone of its node says it"},

		// Names that are nearly right.
		{"a service of the namespace", []manifest{aService("shop/account"), aService("shop/cart"), aService("dmz/acount")}, Config{}, Query{Service: "shop/acount"}, "! there is no service shop/acount; did you mean shop/account?"},
		{"a pod that cannot be read and does not say its UID", append(pods(aPod("a1", "10.244.1.1", "n1")), append(nodeGroup(), aRunning("shop/a1", "192.0.2.1", 9000, with("metadata.uid", nil), with("spec.containers", "none")))...), Config{}, hostPort,
			"! service shop/account: pod a1: the answer cannot be read: unexpected string at spec.containers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := told(ask(t, serve(t, cluster(c.objects...), c.config), c.query))
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
