package docker_test

import (
	"fmt"
	"slices"
	"testing"

	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
)

// A listed query is one that the mapping can ask for: services of a swarm or of
// Compose by name, other containers by each label; the protocol where it must be.
func TestList(t *testing.T) {
	run := func(id, labels, ports string) string {
		return fmt.Sprintf(`{"Id": %q, "Names": ["/%[1]s"], "State": "running", "Status": "Up", "Labels": {%s}, "Ports": [%s]}`, id, labels, ports)
	}
	const at80, at53 = `{"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "0.0.0.0"}`,
		`{"PrivatePort": 53, "PublicPort": 5300, "Type": "tcp"}, {"PrivatePort": 53, "PublicPort": 5300, "Type": "udp"}`
	for name, c := range map[string]struct {
		daemon *dockertest.Daemon
		want   []string
	}{
		"swarm": {&dockertest.Daemon{Swarm: "active/manager", Services: recorded(t, "services"), Nodes: recorded(t, "nodes")}, []string{
			`web-global 80: service "web-global"`, `web-host 80: service "web-host"`, `web-mesh 80: service "web-mesh"`}},
		"engine": {&dockertest.Daemon{Containers: []string{
			run("a", `"app": "web", "empty": "", "tier": "front"`, at80), run("b", `"app": "web"`, at80), run("c", `"com.docker.compose.project": "shop", "com.docker.compose.service": "dns", "x": "y"`, at53),
			run("d", `"com.docker.swarm.task.id": "x", "app": "of a swarm"`, at80), run("e", `"app": "unpublished"`, `{"PrivatePort": 80, "Type": "tcp"}`), run("f", ``, at80)}}, []string{
			`web 80: label "app=web"`, `front 80: label "tier=front"`,
			`shop/dns 53/tcp: service "shop/dns"`, `shop/dns 53/udp: service "shop/dns"`}},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := open(t, docker.Config{Host: serve(t, c.daemon)}).List(t.Context())
			var got []string
			for _, l := range list {
				if nodes := fmt.Sprint(l.Nodes); (name == "swarm") != (nodes == "[198.18.77.11 198.18.77.12]") {
					t.Errorf("%s: nodes %s", l.Name, nodes)
				}
				got = append(got, fmt.Sprintf("%s %s: %v", l.Name, l.Port, l.Query))
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q %v, want %q", got, err, c.want)
			}
		})
	}
	if _, err := open(t, docker.Config{Host: "tcp://127.0.0.1:1"}).List(t.Context()); err == nil {
		t.Error("a daemon that is not there has a list")
	}
}
