package kubernetes

import (
	"strings"
	"testing"
)

// TestReports holds what users of load balancers, ingress controllers and cluster
// tools have reported of what their clusters say.
func TestReports(t *testing.T) {
	service := aService("shop/account")
	selectorless := aService("shop/account", with("spec.selector", nil))
	podIP := Query{Service: "shop/account", Address: PodIP}
	hostPort := Query{Service: "shop/account", Address: HostPort}
	balancer := Query{Service: "shop/account", Address: LoadBalancer}
	all := Query{Service: "shop/account", Nodes: AllNodes}
	n1, n2 := aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2")
	pod := func(name, address, node string, options ...option) manifest {
		return aPod(name, address, node).but(options...)
	}
	a1 := func(options ...option) manifest { return pod("a1", "10.244.1.1", "n1", options...) }
	a2 := func(options ...option) manifest { return pod("a2", "10.244.2.1", "n2", options...) }
	slice := func(ports any, endpoints ...manifest) manifest {
		return aSlice("shop/account", endpoints...).but(with("ports", ports), with("metadata.name", "of-"+endpoints[0]["addresses"].([]string)[0]))
	}
	http := func(number any) []manifest { return []manifest{{"name": "http", "protocol": "TCP", "port": number}} }
	unheardOf := func(options ...option) []manifest { // of three nodes n2 is silent
		return []manifest{service, aSlice("shop/account", a1(), aPod("a3", "10.244.3.1", "n3"), a2(unready)),
			n1, aNode("n2", "192.0.2.2", append(options, nodeReady("Unknown"))...), aNode("n3", "192.0.2.3")}
	}
	onHost := func(options ...option) []manifest {
		return []manifest{service, aSlice("shop/account", aPod("a1", "192.0.2.1", "n1")), n1,
			aRunning("shop/a1", "192.0.2.1", 0, append([]option{with("spec.hostNetwork", true)}, options...)...)}
	}
	lb := func(ingress ...manifest) manifest {
		return aService("shop/account", with("spec.type", "LoadBalancer"), with("status.loadBalancer.ingress", ingress))
	}
	const one, second, third = "192.0.2.1:31080 x1 node n1, 1 pod", "\n192.0.2.2:31080 x1 node n2, 1 pod", "\n192.0.2.3:31080 x1 node n3, 1 pod"

	for _, c := range []struct {
		name    string
		objects []manifest
		config  Config
		query   Query
		want    string
	}{
		// Ports of slices.
		{"some pods lack the named target port", []manifest{service, slice(http(8080), a1()), slice(nil, a2()), n1, n2}, Config{}, account, one + "\n- pod a2: without the port http (80/tcp)"},
		{"they have no port 0", []manifest{service, slice(http(8080), a1()), slice(nil, a2())}, Config{}, podIP, "10.244.1.1:8080 x0 pod a1 on node n1\n- pod a2: without the port http (80/tcp)"},
		{"an empty list of ports", []manifest{service, slice(http(8080), a1()), slice([]manifest{}, a2())}, Config{}, podIP, "10.244.1.1:8080 x0 pod a1 on node n1\n- pod a2: without the port http (80/tcp)"},
		{"kube-proxy passes over a port without a number", []manifest{service, slice(http(8080), a1()), slice(http(nil), a2()), n1, n2}, Config{}, account, one + "\n- pod a2: its EndpointSlice gives its port no number"},
		{"nothing but such a port opens no node", []manifest{selectorless, slice(http(nil), a2()), n1, n2}, Config{}, all, "- pod a2: its EndpointSlice gives its port no number"},
		{"without kube-proxy a port without a number is not known", []manifest{service, slice(http(8080), a1()), slice(http(nil), a2())}, Config{}, podIP,
			"10.244.1.1:8080 x0 pod a1 on node n1\n! service shop/account: the EndpointSlice does not give the port of pod a2"},
		{"a named target port has another number in each version", []manifest{service, slice(http(8080), a1()), slice(http(9090), a2())}, Config{}, podIP, "10.244.1.1:8080 x0 pod a1 on node n1\n10.244.2.1:9090 x0 pod a2 on node n2"},
		{"and one node port", []manifest{service, slice(http(8080), a1()), slice(http(9090), a2()), n1, n2}, Config{}, account, one + second},
		{"appProtocol changes nothing", []manifest{service, slice([]manifest{{"name": "http", "protocol": "TCP", "port": 8080, "appProtocol": "kubernetes.io/h2c"}}, a1()), n1}, Config{}, account, one},
		{"SCTP", []manifest{aService("shop/account", ports(port("s1ap", 36412, 31412, "SCTP"))), slice([]manifest{{"name": "s1ap", "protocol": "SCTP", "port": 36412}}, a1()), n1}, Config{}, account, "192.0.2.1:31412/sctp x1 node n1, 1 pod"},

		// Endpoints.
		{"mirrored Endpoints, one of them not ready", []manifest{selectorless, slice(http(8080), manifest{"addresses": []string{"10.40.0.2"}, "conditions": manifest{"ready": true}}),
			slice(http(8080), manifest{"addresses": []string{"10.40.0.3"}, "conditions": manifest{"ready": false}})}, Config{}, podIP, "10.40.0.2:8080 x0 pod 10.40.0.2\n- pod 10.40.0.3: not ready"},
		{"mirrored Endpoints with an address in two subsets", []manifest{selectorless, slice(http(8080), manifest{"addresses": []string{"10.40.0.2"}, "conditions": manifest{"ready": true}}),
			slice(http(8082), manifest{"addresses": []string{"10.40.0.2"}, "conditions": manifest{"ready": true}})}, Config{}, podIP, "10.40.0.2:8080 x0 pod 10.40.0.2\n10.40.0.2:8082 x0 pod 10.40.0.2"},
		{"one address, ready and not", []manifest{selectorless, slice(http(8080), manifest{"addresses": []string{"10.40.0.2"}, "conditions": manifest{"ready": false}}, manifest{"addresses": []string{"10.40.0.2"}, "conditions": manifest{"ready": true}})}, Config{}, podIP, "10.40.0.2:8080 x0 pod 10.40.0.2"},
		{"conditions that are null", []manifest{service, slice(http(8080), a1(with("conditions", nil))), n1}, Config{}, account, one},
		{"hints of zones change no member", []manifest{service, slice(http(8080), a1(with("zone", "a"), with("hints", manifest{"forZones": []manifest{{"name": "b"}}})), a2(with("zone", "b"))), n1, n2}, Config{}, account, one + second},
		{"a headless service without a selector", []manifest{aService("shop/account", with("spec.selector", nil), with("spec.clusterIP", "None"), with("spec.type", "ClusterIP"), ports(port("http", 80, 0, "TCP"))),
			slice(http(5432), manifest{"addresses": []string{"10.9.0.5"}})}, Config{}, podIP, "10.9.0.5:5432 x0 pod 10.9.0.5"},
		{"ExternalName", []manifest{aService("shop/account", with("spec.type", "ExternalName"), with("spec.externalName", "db.example.com"), with("spec.ports", nil))}, Config{}, podIP,
			"! service shop/account is of type ExternalName: it is a DNS name, without endpoints; name a service that has pods"},
		{"externalIPs are no node ports", []manifest{aService("shop/account", with("spec.type", "ClusterIP"), with("spec.externalIPs", []string{"203.0.113.5"}), ports(port("http", 80, 0, "TCP"))), slice(http(8080), a1()), n1}, Config{}, account,
			"! service shop/account is of type ClusterIP and its port http (80/tcp) has no node port; make it a NodePort, or choose another address"},

		// Nodes.
		{"nodes that are known by another type", []manifest{service, slice(http(8080), a1()), aNode("n1", "", addresses("Hostname", "n1", "ExternalIP", "203.0.113.1"))}, Config{}, account,
			"! service shop/account: node n1: no IPv4 address of type InternalIP; it has 203.0.113.1 of type ExternalIP, which node_address may name"},
		{"nodes that are known by name only", []manifest{service, slice(http(8080), a1()), aNode("n1", "", addresses("Hostname", "n1", "InternalDNS", "n1.internal"))}, Config{}, account,
			"! service shop/account: node n1: no IPv4 address of type InternalIP"},
		{"IPv6 alone", []manifest{aService("shop/account", with("spec.ipFamilies", []string{"IPv6"})), slice(http(8080), aPod("a1", "fd00:10:244::5", "n1")).but(with("addressType", "IPv6")), aNode("n1", "fd00:1::1")}, Config{}, account,
			"[fd00:1::1]:31080 x1 node n1, 1 pod"},
		{"dual stack, the node's IPv6 address first", []manifest{service, slice(http(8080), a1()), aNode("n1", "", addresses("InternalIP", "fd00:1::1", "InternalIP", "192.0.2.1"))}, Config{}, account, one},
		{"a kubelet that is silent", unheardOf(), Config{}, account, one + "\n? 192.0.2.2:31080 x0 node n2: node n2 " + silent + third},
		{"a machine that its cloud has shut down", unheardOf(taint("node.cloudprovider.kubernetes.io/shutdown", "NoSchedule")), Config{}, account, one + third + "\n- pod a2: not ready"},
		{"also where all nodes are wanted", unheardOf(taint("node.cloudprovider.kubernetes.io/shutdown", "NoSchedule")), Config{}, all, one + third + "\n- node n2: shut down (taint node.cloudprovider.kubernetes.io/shutdown)\n- pod a2: not ready"},
		{"a machine that an operator calls out of service", unheardOf(taint("node.kubernetes.io/out-of-service", "NoExecute")), Config{}, podIP, "10.244.1.1:8080 x0 pod a1 on node n1\n10.244.3.1:8080 x0 pod a3 on node n3\n- pod a2: not ready"},
		{"the taint of a silent kubelet alone", unheardOf(taint("node.kubernetes.io/unreachable", "NoExecute")), Config{}, account, one + "\n? 192.0.2.2:31080 x0 node n2: node n2 " + silent + third},
		{"every machine is shut down", []manifest{service, slice(http(8080), a1(unready)), aNode("n1", "192.0.2.1", nodeReady("Unknown"), taint("node.cloudprovider.kubernetes.io/shutdown", "NoSchedule"))}, Config{}, account, "- pod a1: not ready"},
		{"what is shut down runs none of the pods, and half of the rest is silent", []manifest{service, slice(http(8080), a1(), a2(unready), aPod("a3", "10.244.3.1", "n3").but(unready)), n1,
			aNode("n2", "192.0.2.2", nodeReady("Unknown")), aNode("n3", "192.0.2.3", nodeReady("Unknown"), taint("node.cloudprovider.kubernetes.io/shutdown", "NoSchedule"))}, Config{}, account,
			one + "\n? 192.0.2.2:31080 x0 node n2: node n2 " + silent + "\n- pod a3: not ready\n! service shop/account: nothing heard from 1 of the 2 nodes that run its pods, so nothing is removed"},
		{"a link-local address before the address", []manifest{service, slice(http(8080), a1()), aNode("n1", "", addresses("ExternalIP", "169.254.1.0", "InternalIP", "169.254.1.0", "ExternalIP", "192.0.2.1", "InternalIP", "192.0.2.1"))}, Config{}, account, one},
		{"several of IPv6, a link-local one first", []manifest{aService("shop/account", with("spec.ipFamilies", []string{"IPv6"})), slice(http(8080), aPod("a1", "fd00:10:244::5", "n1")).but(with("addressType", "IPv6")),
			aNode("n1", "", addresses("InternalIP", "10.66.146.29", "InternalIP", "fe80::250:56ff:fe9f:b058", "InternalIP", "fd00:1::1"))}, Config{}, account, "[fd00:1::1]:31080 x1 node n1, 1 pod"},
		{"Karpenter before 1.0", []manifest{service, slice(http(8080), a1(), a2()), n1, aNode("n2", "192.0.2.2", with("spec.taints", []manifest{{"key": "karpenter.sh/disruption", "value": "disrupting", "effect": "NoSchedule"}}))}, Config{}, account,
			one + "\n- node n2, 1 pod: about to be removed (taint karpenter.sh/disruption)"},
		{"a node that a virtual cluster makes up", []manifest{service, slice(http(8080), a1(), a2()), n1, aNode("n2", "10.96.14.7", label("vcluster.loft.sh/fake-node", "true"))}, Config{}, account,
			one + "\n- node n2, 1 pod: on a virtual node no kube-proxy answers (label vcluster.loft.sh/fake-node=true)"},
		{"a super node of Tencent's", []manifest{service, slice(http(8080), a1(), a2()), n1, aNode("n2", "10.0.0.7", label("node.kubernetes.io/instance-type", "eklet"))}, Config{}, account,
			one + "\n- node n2, 1 pod: on a virtual node no kube-proxy answers (label node.kubernetes.io/instance-type=eklet)"},
		{"a node that kwok makes up", []manifest{service, slice(http(8080), a1(), a2()), n1, aNode("n2", "10.0.0.7", label("type", "kwok"))}, Config{}, account, one + "\n- node n2, 1 pod: on a virtual node no kube-proxy answers (label type=kwok)"},

		// Ports of hosts.
		{"the host's network, and no port declared", onHost(with("spec.containers", []manifest{{"name": "web"}})), Config{}, hostPort, "192.0.2.1:8080 x0 pod a1 on node n1"},
		{"the host's network, and a hostIP that means nothing there", onHost(with("spec.containers", []manifest{{"ports": []manifest{{"containerPort": 8080, "hostPort": 8080, "hostIP": "127.0.0.1"}}}})), Config{}, hostPort, "192.0.2.1:8080 x0 pod a1 on node n1"},
		{"hostPort 0 is none", []manifest{service, slice(http(8080), a1()), n1, aRunning("shop/a1", "192.0.2.1", 0, with("spec.containers", []manifest{{"ports": []manifest{{"containerPort": 8080, "hostPort": 0}}}}))}, Config{}, hostPort,
			"! service shop/account: pod a1 does not publish its port 8080 on a host port; give the port a hostPort in the pod, or choose another address"},
		{"the host port of a sidecar", []manifest{service, slice(http(8080), a1()), n1, aRunning("shop/a1", "192.0.2.1", 0, with("spec.containers", []manifest{{"name": "web"}}),
			with("spec.initContainers", []manifest{{"restartPolicy": "Always", "ports": []manifest{{"containerPort": 8080, "hostPort": 9000}}}}))}, Config{}, hostPort, "192.0.2.1:9000 x0 pod a1 on node n1"},

		// Load balancers of small clusters.
		{"Docker Desktop's load balancer", []manifest{lb(manifest{"hostname": "localhost"})}, Config{}, balancer, "! service shop/account: its load balancer has the host name localhost, and host names are not resolved"},
		{"an address and a name", []manifest{lb(manifest{"ip": "203.0.113.9", "hostname": "lb.example.com"})}, Config{}, balancer, "203.0.113.9:80 x0 load balancer of shop/account"},
		{"a load balancer that fails at one port", []manifest{lb(manifest{"ip": "203.0.113.9", "ports": []manifest{{"port": 443, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}, {"port": 80, "protocol": "TCP", "error": "PortInUse"}}}, manifest{"ip": "203.0.113.10", "ipMode": "Proxy"})}, Config{}, balancer,
			"? 203.0.113.9:80 x0 load balancer of shop/account: its load balancer reports PortInUse for the port\n203.0.113.10:80 x0 load balancer of shop/account"},
		{"neither", []manifest{lb(manifest{})}, Config{}, balancer, "! service shop/account: its load balancer has no IPv4 address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := told(ask(t, serve(t, cluster(c.objects...), c.config), c.query))
			if want := strings.TrimPrefix(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Where nodes must not be read, their pods tell which are no machines.
func TestVirtualNodesThatMustNotBeRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		option option
		want   string
	}{
		{"Fargate", label("eks.amazonaws.com/fargate-profile", "web"), "the pod's label eks.amazonaws.com/fargate-profile"},
		{"virtual-kubelet", with("spec.nodeSelector", map[string]string{"kubernetes.io/os": "linux", "type": "virtual-kubelet"}), "the pod's node selector type=virtual-kubelet"},
		{"Tencent", with("spec.nodeSelector", map[string]string{"node.kubernetes.io/instance-type": "eklet"}), "the pod's node selector node.kubernetes.io/instance-type=eklet"},
		{"a machine", with("spec.nodeSelector", map[string]string{"node.kubernetes.io/instance-type": "m5.large"}), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := cluster(aService("shop/account"), aSlice("shop/account", aPod("a1", "10.244.1.1", "n1"), aPod("a2", "10.244.2.1", "n2")),
				aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.2", 9000, c.option))
			api.forbidden = func(plural, _ string) bool { return plural == "nodes" }
			want := "192.0.2.1:31080 x1 node n1, 1 pod\n- pod a2: on a virtual node no kube-proxy answers (" + c.want + ")"
			if c.want == "" {
				want = "192.0.2.1:31080 x1 node n1, 1 pod\n192.0.2.2:31080 x1 node n2, 1 pod"
			}
			s := serve(t, api, Config{})
			if got := told(ask(t, s, account)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			// Nor are their host ports anywhere.
			left := strings.Contains(told(ask(t, s, Query{Service: "shop/account", Address: HostPort})), "- pod a2: on a virtual node")
			if left != (c.want != "") {
				t.Errorf("host_port: left out %v", left)
			}
		})
	}
}
