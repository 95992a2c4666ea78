package docker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
)

// recorded are the objects of an answer of a real Docker.
func recorded(t testing.TB, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "recorded", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	var objects []string
	for _, o := range list {
		objects = append(objects, string(o))
	}
	return objects
}

func TestRecordedSwarm(t *testing.T) {
	host, mesh := docker.Query{Service: "web-host", Port: "80"}, docker.Query{Label: "com.citrix.lb.appname=mesh"}
	global := docker.Query{Service: "web-global"}
	for name, c := range map[string]struct {
		services, tasks, nodes string
		query                  docker.Query
		want                   []string
	}{
		"host mode: an endpoint a task": {"services", "tasks", "nodes", host, []string{
			"198.18.77.11:32768 task web-host.2 on node1", "198.18.77.11:32769 task web-host.4 on node1",
			"198.18.77.12:32768 task web-host.1 on node2", "198.18.77.12:32769 task web-host.3 on node2"}},
		"host mode: the port for IPv4, where IPv6 has another": {"services", "tasks-split-ports", "nodes", host, []string{
			"198.18.77.11:32771 task web-host.2 on node1", "198.18.77.11:32772 task web-host.4 on node1",
			"198.18.77.12:32770 task web-host.1 on node2", "198.18.77.12:32771 task web-host.3 on node2"}},
		"ingress: an endpoint a node": {"services", "tasks", "nodes", mesh, []string{
			"198.18.77.11:8080 node node1, 1 task", "198.18.77.12:8080 node node2, 1 task"}},
		"global": {"services", "tasks", "nodes", global, []string{
			"198.18.77.11:8081 task web-global.node1 on node1", "198.18.77.12:8081 task web-global.node2 on node2"}},
		"a drained node runs nothing": {"services", "tasks-drained", "nodes-drained", mesh, []string{
			"198.18.77.11:8080 node node1, 2 tasks"}},
		"a drained node's task that still runs is no way in": {"services", "tasks", "nodes-drained", mesh, []string{
			"198.18.77.11:8080 node node1, 1 task", "left node node2: its availability is drain"}},
		"a node that is down, all tasks elsewhere": {"services-node-down", "tasks-node-down", "nodes-down", host, []string{
			"198.18.77.11:32774 task web-host.2 on node1", "198.18.77.11:32775 task web-host.1 on node1",
			"198.18.77.11:32776 task web-host.4 on node1", "198.18.77.11:32777 task web-host.3 on node1"}},
		"a node that is down, its tasks still running in the list": {"services", "tasks", "nodes-down", host, []string{
			"198.18.77.11:32768 task web-host.2 on node1", "198.18.77.11:32769 task web-host.4 on node1",
			"left task web-host.1: node node2 is down", "left task web-host.3: node node2 is down"}},
		"a new leader knows no node yet": {"services-new-leader", "tasks-new-leader", "nodes-new-leader", host, []string{
			"198.18.149.11:32768 task web-host.3 on node1, uncertain: node node1 is unknown",
			"198.18.149.12:32768 task web-host.1 on node2, uncertain: node node2 is unknown",
			"198.18.149.13:32768 task web-host.2 on node3, uncertain: node node3 is unknown"}},
		"a job serves nobody": {"services", "tasks", "nodes", docker.Query{Service: "migrate"}, []string{
			"doubt: service migrate: it is a job, which runs to completion and serves no traffic"}},
		"a service that publishes nothing": {"services", "tasks", "nodes", docker.Query{Service: "web-overlay"}, []string{
			"doubt: service web-overlay: it publishes no port; publish the port to bind"}},
		"no such service": {"services", "tasks", "nodes", docker.Query{Service: "web"}, []string{
			`doubt: there is no service web`}},
		"no service has the label": {"services", "tasks", "nodes", docker.Query{Label: "a=b"}, []string{
			`doubt: there is no service with the label a=b`}},
		"another port than is published": {"services", "tasks", "nodes", docker.Query{Service: "web-host", Port: "81"}, []string{
			"doubt: service web-host: it does not publish port 81; it publishes 80/tcp"}},
		"the history of tasks does no harm": {"services", "tasks-history", "nodes", docker.Query{Service: "web-host"}, []string{
			"198.18.77.11:32774 task web-host.2 on node1", "198.18.77.12:32770 task web-host.1 on node2"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &dockertest.Daemon{Swarm: "active/manager", Services: recorded(t, c.services), Tasks: recorded(t, c.tasks), Nodes: recorded(t, c.nodes)}
			check(t, poll(t, docker.Config{Host: serve(t, d)}, c.query)[0], c.want...)
		})
	}
}

// many are the queries, and so many more that all is read.
func many(queries ...docker.Query) []docker.Query {
	for i := range 20 {
		queries = append(queries, docker.Query{Label: fmt.Sprint("none=", i)})
	}
	return queries
}

// unfiltered loses all filters on the way to a daemon.
func unfiltered(d http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := r.URL.Query()
		values.Del("filters")
		r.URL.RawQuery = values.Encode()
		d.ServeHTTP(w, r)
	})
}

// refusing knows only the filter of tasks that Nitrox always uses.
func refusing(d http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if filters := r.URL.Query().Get("filters"); filters != "" && filters != `{"desired-state":{"running":true}}` {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		d.ServeHTTP(w, r)
	})
}

func TestSwarmRules(t *testing.T) {
	mesh := service("web", port(80, 8080, "ingress"))
	host := service("web", port(80, 0, "host"))
	two := service("web", port(80, 8080, "ingress"), port(443, 8443, "ingress"))
	n1, n2 := node("n1", "10.0.0.1"), node("n2", "10.0.0.2")
	// As Docker 20.10 shows --network host.
	hostNetwork := service("web").edit("Endpoint", object{"Spec": object{"Mode": "vip"}, "VirtualIPs": []object{{"NetworkID": "net2"}}}, "Spec.EndpointSpec", object{"Mode": "vip"})
	onNodes := func(service string, slot int, node string) object {
		return task(service, slot, node).edit("NetworksAttachments", []object{{"Network": object{"ID": "net2", "Spec": object{"Name": "host",
			"DriverConfiguration": object{"Name": "host"}, "Scope": "swarm"}, "DriverState": object{"Name": "host"}}}})
	}
	for name, c := range map[string]struct {
		objects []object
		query   docker.Query
		label   string // node_label
		want    []string
	}{
		"tasks that do not run are left out, with the reason": {objects: []object{mesh, n1, task("web", 1, "n1"),
			task("web", 2, "n1").edit("Status.State", "starting", "Status.Message", "starting"),
			task("web", 3, "").edit("Status.State", "pending", "Status.Err", "no suitable node (1 node unavailable)"),
			task("web", 4, "n1").edit("Status.State", "rejected", "Status.Message", "preparing", "Status.Err", "No such image: web:2")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task", "left task web.2: its state is starting",
				"left task web.3: its state is pending: no suitable node (1 node unavailable)", "left task web.4: its state is rejected: No such image: web:2"}},
		"scaled to zero is the whole truth": {objects: []object{mesh.edit("ServiceStatus", object{"RunningTasks": 0, "DesiredTasks": 0})},
			want: []string{}},
		"scaled to zero while the last tasks end": {objects: []object{mesh.edit("ServiceStatus", object{"RunningTasks": 2, "DesiredTasks": 0})},
			want: []string{}},
		"no tasks although the manager counts some": {objects: []object{mesh},
			want: []string{"doubt: service web: the manager counts 2 running tasks but lists none"}},
		"all tasks wait to be restarted": {objects: []object{mesh.edit("ServiceStatus", object{"RunningTasks": 0, "DesiredTasks": 2})},
			want: []string{"left service web: it wants 2 tasks but runs none (they may be waiting to be restarted)"}},
		"a pending task is in the list, and is none that runs": {objects: []object{mesh, task("web", 1, "").edit("Status.State", "pending", "Status.Message", "pending task scheduling")},
			want: []string{"left task web.1: its state is pending: pending task scheduling"}},
		"an old manager does not count": {objects: []object{mesh.edit("ServiceStatus", nil), n1, task("web", 1, "n1")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task"}},
		"a node that is not in the list": {objects: []object{mesh, n1, task("web", 1, "n1"), task("web", 2, "n7")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task", "doubt: task web.2 is on node n7, which is not in the list of nodes"}},
		"ingress: a paused node keeps its tasks": {objects: []object{mesh, n1.edit("Spec.Availability", "pause"), task("web", 1, "n1")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task"}},
		"a node that has lost its connection": {objects: []object{mesh, n1.edit("Status.State", "disconnected"), n2, task("web", 1, "n1"), task("web", 2, "n2")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task, uncertain: node worker-n1 is disconnected", "10.0.0.2:8080 node worker-n2, 1 task"}},
		"several ports: one must be chosen": {objects: []object{two, n1, task("web", 1, "n1")},
			want: []string{"doubt: service web: it publishes 80/tcp, 443/tcp; choose one with port"}},
		"several ports: by the container's": {objects: []object{two, n1, task("web", 1, "n1")}, query: docker.Query{Service: "web", Port: "443"},
			want: []string{"10.0.0.1:8443 node worker-n1, 1 task"}},
		"not by the published port": {objects: []object{two, n1, task("web", 1, "n1")}, query: docker.Query{Service: "web", Port: "8443"},
			want: []string{"doubt: service web: it does not publish port 8443; it publishes 80/tcp, 443/tcp"}},
		"host mode: of a port that is published twice the lower, in whatever order": {objects: []object{service("web", port(80, 8081, "host"), port(80, 8080, "host")), n1, n2,
			task("web", 1, "n1", port(80, 8081, "host"), port(80, 8080, "host")), task("web", 2, "n2", port(80, 8080, "host"), port(80, 8081, "host"))},
			want: []string{"10.0.0.1:8080 task web.1 on worker-n1", "10.0.0.2:8080 task web.2 on worker-n2"}},
		"an update from ingress to host mode: where the old tasks are is not told": {objects: []object{service("web", port(80, 8080, "host")), n1, n2, task("web", 1, "n1"), task("web", 2, "n2", port(80, 8080, "host"))},
			want: []string{"10.0.0.2:8080 task web.2 on worker-n2", "doubt: task web.1: it is running, but the swarm does not say where it published port 80/tcp"}},
		"host mode without a virtual address (dnsrr)": {objects: []object{host.edit("Spec.EndpointSpec.Mode", "dnsrr"), n1, task("web", 1, "n1", port(80, 32768, "host"))},
			want: []string{"10.0.0.1:32768 task web.1 on worker-n1"}},
		"an IPv6 node": {objects: []object{mesh, node("n1", "2001:db8::1"), task("web", 1, "n1")}, want: []string{"[2001:db8::1]:8080 node worker-n1, 1 task"}},
		"a node known by a link-local address": {objects: []object{mesh, node("n1", "169.254.7.1"), n2, task("web", 1, "n1"), task("web", 2, "n2")},
			want: []string{"10.0.0.2:8080 node worker-n2, 1 task", `doubt: node worker-n1: the swarm knows no other address than "169.254.7.1"; put the address to bind into a label of the node, and name that label in node_label`}},
		"two nodes of one name": {objects: []object{mesh, n1.edit("Description.Hostname", "docker-desktop"), n2.edit("Description.Hostname", "docker-desktop"), task("web", 1, "n1"), task("web", 2, "n2")},
			want: []string{"10.0.0.1:8080 node docker-desktop, 1 task", "10.0.0.2:8080 node docker-desktop, 1 task"}},
		"an update that starts the new task first": {objects: []object{mesh, n1, task("web", 1, "n1").edit("ID", "old"), task("web", 1, "n1").edit("ID", "new")},
			want: []string{"10.0.0.1:8080 node worker-n1, 2 tasks"}},
		"a task that its node has lost": {objects: []object{mesh, n1, task("web", 1, "n1").edit("Status.State", "orphaned", "Status.Message", "node is down"), task("web", 2, "n1")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task", "left task web.1: its state is orphaned: node is down"}},
		"one of a range": {objects: []object{service("web", port(7000, 17000, "ingress"), port(7001, 17001, "ingress"), port(7002, 17002, "ingress")), n1, task("web", 1, "n1")},
			query: docker.Query{Service: "web", Port: "7001"}, want: []string{"10.0.0.1:17001 node worker-n1, 1 task"}},
		"TCP and UDP: one must be chosen": {objects: []object{service("web", port(53, 5353, "ingress").edit("Protocol", "udp"), port(53, 5354, "ingress")), n1, task("web", 1, "n1")},
			want: []string{"doubt: service web: it has port 53 for several protocols; choose one: port: 53/tcp or port: 53/udp"}},
		"TCP of both": {objects: []object{service("web", port(53, 5353, "ingress").edit("Protocol", "udp"), port(53, 5354, "ingress")), n1, task("web", 1, "n1")},
			query: docker.Query{Service: "web", Port: "53/tcp"}, want: []string{"10.0.0.1:5354 node worker-n1, 1 task"}},
		"UDP of both": {objects: []object{service("web", port(53, 5353, "ingress").edit("Protocol", "udp"), port(53, 5354, "ingress")), n1, task("web", 1, "n1")},
			query: docker.Query{Service: "web", Port: "53/UDP"}, want: []string{"10.0.0.1:5353/udp node worker-n1, 1 task"}},
		"SCTP that is not published": {objects: []object{service("web", port(53, 5353, "ingress")), n1, task("web", 1, "n1")},
			query: docker.Query{Service: "web", Port: "53/sctp"}, want: []string{"doubt: service web: it does not publish port 53/sctp; it publishes 53/tcp"}},
		"UDP alone": {objects: []object{service("web", port(53, 5353, "ingress").edit("Protocol", "udp")), n1, task("web", 1, "n1")},
			want: []string{"10.0.0.1:5353/udp node worker-n1, 1 task"}},
		"published twice: the lower port": {objects: []object{service("web", port(80, 8081, "ingress"), port(80, 8080, "ingress")), n1, task("web", 1, "n1")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task"}},
		"published in both modes": {objects: []object{service("web", port(80, 8080, "ingress"), port(80, 8080, "host")), n1, task("web", 1, "n1")},
			want: []string{"doubt: service web: it publishes port 80/tcp in both modes, ingress and host; keep one of them"}},
		"the nodes' network: at the port that is given": {objects: []object{hostNetwork, n1, n2, onNodes("web", 1, "n1"), onNodes("web", 2, "n2"), onNodes("web", 3, "n2").edit("Status.State", "starting", "Status.Message", "starting")},
			query: docker.Query{Service: "web", Port: "80"}, want: []string{"10.0.0.1:80 task web.1 on worker-n1", "10.0.0.2:80 task web.2 on worker-n2", "left task web.3: its state is starting"}},
		"the nodes' network: no port is given": {objects: []object{hostNetwork, n1, onNodes("web", 1, "n1")},
			want: []string{"doubt: service web: its tasks use the network of their nodes, of which a swarm lists no ports; give the port that they listen at as port"}},
		"the nodes' network: at the address of a label": {objects: []object{hostNetwork, n1.edit("Spec.Labels", object{"ip": "192.0.2.7"}), onNodes("web", 1, "n1")}, label: "ip",
			query: docker.Query{Service: "web", Port: "80"}, want: []string{"192.0.2.7:80 task web.1 on worker-n1"}},
		"the nodes' network: scaled to zero is the whole truth": {objects: []object{hostNetwork.edit("ServiceStatus", object{"RunningTasks": 0, "DesiredTasks": 0})},
			query: docker.Query{Service: "web", Port: "80"}, want: []string{}},
		"the nodes' network: no tasks although the manager counts some": {objects: []object{hostNetwork}, query: docker.Query{Service: "web", Port: "80"},
			want: []string{"doubt: service web: the manager counts 2 running tasks but lists none"}},
		"the nodes' network, and a port published in it": {objects: []object{host, n1, onNodes("web", 1, "n1").edit("Status.PortStatus", object{"Ports": []object{port(80, 30080, "host")}})},
			want: []string{"10.0.0.1:30080 task web.1 on worker-n1"}},
		"no service of the name, but one of a stack": {objects: []object{service("shop_account", port(80, 8080, "ingress")), service("shop_cart", port(80, 8081, "ingress"))},
			query: docker.Query{Service: "account"}, want: []string{"doubt: there is no service account; did you mean shop_account?"}},
		"no service of the name, and two stacks have it": {objects: []object{service("shop_account", port(80, 8080, "ingress")), service("bank_account", port(80, 8081, "ingress"))},
			query: docker.Query{Service: "account"}, want: []string{"doubt: there is no service account"}},
		"a label that is misspelt": {objects: []object{mesh}, query: docker.Query{Label: "com.citrix.lb.appname=wbe"},
			want: []string{"doubt: there is no service with the label com.citrix.lb.appname=wbe; did you mean com.citrix.lb.appname=web?"}},
		"a label that only the containers have": {objects: []object{mesh.edit("Spec.TaskTemplate", object{"ContainerSpec": object{"Labels": object{"app": "web"}}})}, query: docker.Query{Label: "app=web"},
			want: []string{"doubt: the label app=web is on the containers of service web, not on the service; in a stack, write it under deploy: labels"}},
		"ports that are not allocated yet": {objects: []object{mesh.edit("Endpoint.Ports", nil), n1, task("web", 1, "n1")},
			want: []string{"doubt: service web: the swarm has not yet allocated its published ports"}},
		"a port without a number yet": {objects: []object{service("web", port(80, 0, "ingress")), n1, task("web", 1, "n1")},
			want: []string{"doubt: service web: port 80/tcp has no published port yet"}},
		"dnsrr": {objects: []object{service("web").edit("Spec.EndpointSpec", object{"Mode": "dnsrr"}, "Endpoint", nil), n1, task("web", 1, "n1")},
			want: []string{"doubt: service web: it publishes no port and its endpoint mode is dnsrr; publish the port with mode=host"}},
		"host mode: a task that does not say its port": {objects: []object{host, n1, task("web", 1, "n1"), task("web", 2, "n1", port(80, 32768, "host"))},
			want: []string{"10.0.0.1:32768 task web.2 on worker-n1", "doubt: task web.1: it is running, but the swarm does not say where it published port 80/tcp"}},
		"host mode: the port for IPv6, where the node has such an address": {
			objects: []object{host, node("n1", "2001:db8::1"), task("web", 1, "n1", port(80, 32769, "host"), port(80, 32768, "host"))},
			want:    []string{"[2001:db8::1]:32768 task web.1 on worker-n1"}},
		"a manager that knows itself as 0.0.0.0": {objects: []object{mesh, node("n1", "0.0.0.0").edit("ManagerStatus", object{"Addr": "10.0.0.1:2377"}), task("web", 1, "n1")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task"}},
		"a manager that knows itself as 127.0.0.1, at IPv6": {objects: []object{mesh, node("n1", "127.0.0.1").edit("ManagerStatus", object{"Addr": "[2001:db8::1]:2377"}), task("web", 1, "n1")},
			want: []string{"[2001:db8::1]:8080 node worker-n1, 1 task"}},
		"a node without a usable address": {objects: []object{mesh, n2, node("n1", ""), task("web", 1, "n1"), task("web", 2, "n2")},
			want: []string{"10.0.0.2:8080 node worker-n2, 1 task",
				`doubt: node worker-n1: the swarm knows no other address than ""; put the address to bind into a label of the node, and name that label in node_label`}},
		"node_label says the address": {objects: []object{mesh, n1.edit("Spec.Labels", object{"lb": "192.0.2.1"}), n2, node("n3", "10.0.0.3").edit("Spec.Labels", object{"lb": "n3"}),
			task("web", 1, "n1"), task("web", 2, "n2"), task("web", 3, "n3")}, label: "lb",
			want: []string{"192.0.2.1:8080 node worker-n1, 1 task", "doubt: node worker-n2 has no label lb (and 1 more)"}},
		"several services of one label": {objects: []object{
			mesh, n1, task("web", 1, "n1"),
			service("web-v2", port(80, 8081, "ingress")).edit("Spec.Labels", object{"com.citrix.lb.appname": "web"}), task("web-v2", 1, "n1")},
			query: docker.Query{Label: "com.citrix.lb.appname=web"},
			want:  []string{"10.0.0.1:8080 node worker-n1, 1 task", "10.0.0.1:8081 node worker-n1, 1 task"}},
		"one of several services in doubt": {objects: []object{
			mesh, n1, task("web", 1, "n1"), service("web-v2").edit("Spec.Labels", object{"com.citrix.lb.appname": "web"})},
			query: docker.Query{Label: "com.citrix.lb.appname=web"},
			want:  []string{"10.0.0.1:8080 node worker-n1, 1 task", "doubt: service web-v2: it publishes no port; publish the port to bind"}},
		"a task that cannot be read": {objects: []object{mesh, n1, task("web", 1, "n1"), task("web", 2, "n1").edit("Slot", "two")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task", "doubt: service web: task task-web-2-n1 cannot be read: json: cannot unmarshal string into Go struct field task.Slot of type int"}},
		"a node cannot be read": {objects: []object{mesh, n1, n2.edit("Status.State", 7), task("web", 1, "n1"), task("web", 2, "n2")},
			want: []string{"10.0.0.1:8080 node worker-n1, 1 task", "doubt: task web.2: node n2 cannot be read: json: cannot unmarshal number into Go struct field NodeStatus.Status.State of type swarm.NodeState"}},
	} {
		t.Run(name, func(t *testing.T) {
			q := c.query
			if q == (docker.Query{}) {
				q = docker.Query{Service: "web"}
			}
			few, d := []docker.Query{q, {Service: "other"}}, swarm(t, c.objects...)
			for name, way := range map[string]struct {
				handler http.Handler
				queries []docker.Query
			}{"by filters": {d, few}, "all": {d, many(few...)}, "filters that are lost": {unfiltered(d), few}, "filters that are refused": {refusing(d), few}} {
				t.Log(name)
				answers := poll(t, docker.Config{Host: serve(t, way.handler), NodeLabel: c.label}, way.queries...)
				check(t, answers[0], c.want...)
				if c.label == "" {
					check(t, answers[1], "10.0.0.9:9999 node worker-n9, 1 task")
				}
			}
		})
	}
}

// A node may join, and get a task, between the list of tasks and that of nodes
// of a manager that is behind its leader.
func TestAMissingNodeIsLookedForOnce(t *testing.T) {
	before := swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"))
	after := swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), node("n1", "10.0.0.1"))
	var nodeLists atomic.Int64
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/nodes") && nodeLists.Add(1) > 1 {
			after.ServeHTTP(w, r)
			return
		}
		before.ServeHTTP(w, r)
	}))
	check(t, poll(t, docker.Config{Host: url, Kind: docker.Swarm}, docker.Query{Service: "web"})[0], "10.0.0.1:8080 node worker-n1, 1 task")
	if n := nodeLists.Load(); n != 2 {
		t.Errorf("%d lists of nodes, want 2", n)
	}
}

// What is asked for by several requests may change between them.
func TestServicesThatChangeBetweenTwoRequests(t *testing.T) {
	web, n1 := service("web", port(80, 8080, "ingress")).edit("Spec.Labels", object{"y": "1"}), node("n1", "10.0.0.1")
	v2 := service("web-v2", port(80, 8081, "ingress"))
	tasks := []object{n1, task("web", 1, "n1"), task("web-v2", 1, "n1")}
	one, two := "10.0.0.1:8080 node worker-n1, 1 task", "10.0.0.1:8081 node worker-n1, 1 task"
	again := web.edit("ID", "another", "Endpoint.Ports", []object{port(80, 8090, "ingress")})
	for name, c := range map[string]struct {
		before, after []object
		after1        string // the path, and how many requests there were before
		queries       []docker.Query
		want          [][]string
	}{
		"a label more": {append(tasks, web, v2.edit("Spec.Labels", object{"x": "1"})), append(tasks, web, v2.edit("Spec.Labels", object{"x": "1", "y": "1"})),
			"/services 1", []docker.Query{{Label: "x=1"}, {Label: "y=1"}}, [][]string{{two}, {one, two}}},
		"the same name, another ID, by name": {append(tasks, web), []object{n1, again, task("web", 1, "n1").edit("ServiceID", "another")},
			"/tasks 1", []docker.Query{{Service: "web"}}, [][]string{{"10.0.0.1:8090 node worker-n1, 1 task"}}},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := swarm(t, c.before...), swarm(t, c.after...)
			asked := make(map[string]int)
			changed := false
			url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				now := before
				if changed {
					now = after
				}
				now.ServeHTTP(w, r)
				if _, path, ok := strings.Cut(r.URL.Path[1:], "/"); ok {
					asked["/"+path]++
					changed = changed || fmt.Sprintf("/%s %d", path, asked["/"+path]) == c.after1
				}
			}))
			for i, answer := range poll(t, docker.Config{Host: url, Kind: docker.Swarm}, c.queries...) {
				check(t, answer, c.want[i]...)
			}
		})
	}
}

// Objects that do not tell whose they are could be any app's.
func TestListsThatCannotBeTold(t *testing.T) {
	web := []string{text(t, service("web", port(80, 8080, "ingress")))}
	for name, c := range map[string]struct {
		daemon http.Handler
		want   string
	}{
		"no nodes":         {&dockertest.Daemon{Swarm: "active/manager"}, "the list of nodes is empty"},
		"a service, null":  {&dockertest.Daemon{Swarm: "active/manager", Services: []string{"null"}}, "the list of services has one without an ID or a name"},
		"a service, text":  {&dockertest.Daemon{Swarm: "active/manager", Services: []string{`"web"`}}, "a service cannot be read, not even its name"},
		"a service, bare":  {&dockertest.Daemon{Swarm: "active/manager", Services: []string{`{"ID": "x", "Spec": {"Name": ""}}`}}, "the list of services has one without an ID or a name"},
		"a task, null":     {&dockertest.Daemon{Swarm: "active/manager", Services: web, Tasks: []string{"null"}}, "the list of tasks has one without an ID"},
		"a task, nobody's": {unfiltered(&dockertest.Daemon{Swarm: "active/manager", Services: web, Tasks: []string{`{"ID": "x", "Slot": "y", "DesiredState": "running"}`}}), "not even whose it is"},
		"a node, null":     {&dockertest.Daemon{Swarm: "active/manager", Nodes: []string{"null"}}, "the list of nodes has one without an ID"},
		"a node, a number": {&dockertest.Daemon{Swarm: "active/manager", Nodes: []string{"7"}}, "a node cannot be read, not even its ID"},
	} {
		t.Run(name, func(t *testing.T) {
			answers, err := open(t, docker.Config{Host: serve(t, c.daemon)}).Poll(t.Context(), many(docker.Query{Service: "web"}), false)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v and error %v, want one that says %q", answers, err, c.want)
			}
		})
	}
}

// BenchmarkPoll is a poll of 1,000 services with 10 tasks each on 500 nodes.
func BenchmarkPoll(b *testing.B) {
	const services, tasks, nodes = 1000, 10, 500
	var objects []object
	var queries []docker.Query
	for i := range nodes {
		objects = append(objects, node(fmt.Sprint("n", i), fmt.Sprintf("10.1.%d.%d", i/250, i%250+1)))
	}
	for i := range services {
		name := fmt.Sprint("web", i)
		queries = append(queries, docker.Query{Label: "com.citrix.lb.appname=" + name})
		objects = append(objects, service(name, port(80, 8000+i, "ingress")))
		for slot := range tasks {
			objects = append(objects, task(name, slot+1, fmt.Sprint("n", (i*7+slot)%nodes)))
		}
	}
	d := swarm(b, objects...)
	bodies := make(map[string][]byte)
	var size int
	for _, path := range []string{"/services", "/tasks", "/nodes"} {
		r := httptest.NewRecorder()
		d.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/v1.41"+path+"?", nil))
		bodies["/v1.41"+path] = r.Body.Bytes()
		size += r.Body.Len()
	}
	s := open(b, docker.Config{Kind: docker.Swarm, Host: serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Write(bodies[r.URL.Path])
	}))})
	b.SetBytes(int64(size))
	for b.Loop() {
		answers, err := s.Poll(b.Context(), queries, false)
		if err != nil || len(answers[services-1].Endpoints) != tasks {
			b.Fatalf("error %v, answer %+v", err, answers)
		}
	}
}
