package docker_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"nitrox/sources"
	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
)

var healthyNodes = [][2]string{
	{"Role", "primary"}, {"Strategy", "spread"}, {"Filters", "health, port"}, {"Nodes", "2"},
	{" node-1", "10.0.0.1:2375"}, {"  └ ID", "AAAA"}, {"  └ Status", "Healthy"}, {"  └ Containers", "3"},
	{" node-2", "10.0.0.2:2375"}, {"  └ ID", "BBBB"}, {"  └ Status", "Healthy"}, {"  └ Labels", "a=b"},
}

// container publishes its port 80 on all addresses.
func container(name string, public int) object {
	return object{
		"Id": "0123456789abcdef" + name, "Names": []string{name}, "Labels": object{"app": "web"}, "ImageID": "sha256:aa",
		"State": "running", "Status": "Up 2 hours", "HostConfig": object{"NetworkMode": "default"},
		"Ports": []object{
			{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": public, "Type": "tcp"},
			{"IP": "::", "PrivatePort": 80, "PublicPort": public, "Type": "tcp"},
			{"PrivatePort": 443, "Type": "tcp"},
		},
	}
}

func TestRecordedEngine(t *testing.T) {
	d := &dockertest.Daemon{Containers: recorded(t, "containers")}
	answers := poll(t, docker.Config{Host: serve(t, d), HostAddress: netip.MustParseAddr("198.18.77.13")},
		docker.Query{Label: "com.citrix.lb.appname=web", Port: "80/tcp"}, docker.Query{Label: "com.citrix.lb.appname=wed"})
	check(t, answers[0],
		"198.18.77.13:8001 container web1",
		"198.18.77.13:8003 container web3",
		"198.18.77.13:8100 container range",
		"198.18.77.13:8102 container two",
		"198.18.77.13:32768 container web0",
		"198.18.77.13:32769 container web4",
		"198.18.77.13:32779 container starting",
		"left container crashing: restarting",
		"left container sick: unhealthy",
		"left container paused: paused",
		"left container web2: its port is published on its host's loopback address only",
		"doubt: container noport: it publishes no port; publish the port to bind (and 1 more)")
	check(t, answers[1], `doubt: label "com.citrix.lb.appname=wed": this engine has none, and it is not the manager of a swarm that might; set kind to say what it is`)
}

// On a node of a swarm the containers of its tasks are containers like others.
func TestRecordedSwarmNodeAsAnEngine(t *testing.T) {
	d := &dockertest.Daemon{Swarm: "active/manager", Containers: recorded(t, "containers-swarm-node")}
	q := docker.Query{Label: "com.docker.swarm.service.name=web-host"}
	a := poll(t, docker.Config{Host: serve(t, d), Kind: docker.Engine, HostAddress: netip.MustParseAddr("198.18.77.11")}, q)[0]
	if a.Doubt() != nil || len(a.Endpoints) != 2 {
		t.Errorf("got %+v, want the two tasks of web-host that run on this node", a)
	}
}

func TestContainerRules(t *testing.T) {
	const ourPort = "container a: its port is published "
	web := container("/a", 8001)
	on := func(ports ...object) object { return web.edit("Ports", ports) }
	at := func(ip string, private, public int) object {
		return object{"IP": ip, "PrivatePort": private, "PublicPort": public, "Type": "tcp"}
	}
	v6 := netip.MustParseAddr("2001:db8::7")
	for name, c := range map[string]struct {
		container object
		config    docker.Config
		query     docker.Query
		bare      bool // without a host address
		want      []string
	}{
		"published on all addresses, listed for IPv4 and IPv6":      {container: web, want: []string{"10.0.0.7:8001 container a"}},
		"published on all addresses, as API 1.22 lists it":          {container: on(object{"PrivatePort": 80, "PublicPort": 8001, "Type": "tcp"}), want: []string{"10.0.0.7:8001 container a"}},
		"other ports for IPv4 and IPv6, the host has an address v4": {container: on(at("::", 80, 7001), at("0.0.0.0", 80, 8001)), want: []string{"10.0.0.7:8001 container a"}},
		"other ports for IPv4 and IPv6, the host has an address v6": {container: on(at("0.0.0.0", 80, 7001), at("::", 80, 8001)), config: docker.Config{HostAddress: v6}, want: []string{"[2001:db8::7]:8001 container a"}},
		"an old engine that lists 0.0.0.0 for both":                 {container: on(at("0.0.0.0", 80, 8001)), config: docker.Config{HostAddress: v6}, want: []string{"[2001:db8::7]:8001 container a"}},
		"published for IPv6 only": {container: on(at("::", 80, 8001)),
			want: []string{"doubt: " + ourPort + "for IPv6 only, but the host's address is 10.0.0.7"}},
		"published on one address":                                     {container: on(at("192.0.2.1", 80, 8001)), want: []string{"192.0.2.1:8001 container a"}},
		"published on an address that is written as IPv4 in IPv6":      {container: on(at("::ffff:192.0.2.1", 80, 8001)), want: []string{"192.0.2.1:8001 container a"}},
		"published on loopback":                                        {container: on(at("127.0.0.1", 80, 8001), at("::1", 80, 8001)), want: []string{"left " + ourPort + "on its host's loopback address only"}},
		"published on loopback and elsewhere":                          {container: on(at("127.0.0.1", 80, 8001), at("192.0.2.1", 80, 8001)), want: []string{"192.0.2.1:8001 container a"}},
		"published twice: the lower port":                              {container: on(at("0.0.0.0", 80, 8009), at("0.0.0.0", 80, 8002)), want: []string{"10.0.0.7:8002 container a"}},
		"published on a bridge of the host's, and where it is reached": {container: on(at("10.0.0.6", 80, 8001), at("10.0.0.7", 80, 8001)), want: []string{"10.0.0.7:8001 container a"}},
		"so at the higher port":                                        {container: on(at("172.17.0.1", 80, 8001), at("10.0.0.7", 80, 8002)), want: []string{"10.0.0.7:8002 container a"}},
		"so on all addresses":                                          {container: on(at("10.0.0.6", 80, 8001), at("0.0.0.0", 80, 8002)), want: []string{"10.0.0.7:8002 container a"}},
		"published on two others":                                      {container: on(at("192.0.2.2", 80, 8001), at("192.0.2.1", 80, 8001)), want: []string{"192.0.2.1:8001 container a"}},
		"published on a link-local address and elsewhere":              {container: on(at("fe80::1%eth0", 80, 8001), at("169.254.0.9", 80, 8001), at("192.0.2.1", 80, 8002)), want: []string{"192.0.2.1:8002 container a"}},
		"published on a link-local address":                            {container: on(at("fe80::1%eth0", 80, 8001)), want: []string{"left " + ourPort + "on its host's link-local address only"}},
		"rootless, for both families":                                  {container: on(at("0.0.0.0", 80, 8001), at("::", 80, 8001)), config: docker.Config{HostAddress: v6}, want: []string{"[2001:db8::7]:8001 container a"}},
		"SCTP":                                                         {container: on(at("0.0.0.0", 80, 8001).edit("Type", "sctp")), want: []string{"10.0.0.7:8001/sctp container a"}},
		"a range of which one is free":                                 {container: on(at("0.0.0.0", 80, 32771)), want: []string{"10.0.0.7:32771 container a"}},
		"Podman: an empty host address":                                {container: on(at("", 80, 8001)), want: []string{"10.0.0.7:8001 container a"}},
		"Podman: a pod's infra container publishes":                    {container: on().edit("HostConfig.NetworkMode", "container:infra"), want: []string{"doubt: container a: it uses another container's network; put the label on the container that publishes the port"}},
		"Podman: no ports, no health, and an empty status":             {container: container("/a", 0).edit("Ports", nil, "Status", "", "HostConfig", object{}), want: []string{"doubt: container a: it publishes no port; publish the port to bind"}},
		"Podman: a status without health":                              {container: web.edit("Status", "Up 6 days", "HostConfig", object{}, "NetworkSettings", nil), want: []string{"10.0.0.7:8001 container a"}},
		"healthy and paused":                                           {container: web.edit("State", "running", "Status", "Up 2 hours (Paused)"), want: []string{"left container a: paused"}},
		"published at another address by each protocol":                {container: on(at("10.0.0.6", 80, 8001).edit("Type", "udp"), at("10.0.0.7", 80, 8002)), query: docker.Query{Port: "80/udp"}, want: []string{"10.0.0.6:8001/udp container a"}},
		"Podman: stopping":                                             {container: web.edit("State", "stopping", "Status", "Up 2 hours"), want: []string{"left container a: stopping"}},
		"being removed":                                                {container: web.edit("State", "removing", "Status", "Removal In Progress"), want: []string{"left container a: removing"}},
		"dead":                                                         {container: web.edit("State", "dead", "Status", "Dead"), want: []string{"left container a: dead"}},
		"an address of its own on a macvlan":                           {container: on().edit("HostConfig.NetworkMode", "lan"), want: []string{"doubt: container a: it publishes no port; publish the port to bind"}},
		"several ports: one must be chosen":                            {container: on(at("0.0.0.0", 80, 8001), at("0.0.0.0", 443, 8443)), want: []string{"doubt: container a: it publishes 80/tcp, 443/tcp; choose one with port"}},
		"several ports: by the container's":                            {container: on(at("0.0.0.0", 80, 8001), at("0.0.0.0", 443, 8443)), query: docker.Query{Port: "443"}, want: []string{"10.0.0.7:8443 container a"}},
		"TCP and UDP: one must be chosen": {container: on(at("0.0.0.0", 80, 8001).edit("Type", "udp"), at("0.0.0.0", 80, 8002)),
			want: []string{"doubt: container a: it has port 80 for several protocols; choose one: port: 80/tcp or port: 80/udp"}},
		"TCP and UDP, by the number alone": {container: on(at("0.0.0.0", 80, 8001).edit("Type", "udp"), at("0.0.0.0", 80, 8002)), query: docker.Query{Port: "80"},
			want: []string{"doubt: container a: it has port 80 for several protocols; choose one: port: 80/tcp or port: 80/udp"}},
		"TCP of both":                              {container: on(at("0.0.0.0", 80, 8001).edit("Type", "udp"), at("0.0.0.0", 80, 8002)), query: docker.Query{Port: "80/tcp"}, want: []string{"10.0.0.7:8002 container a"}},
		"UDP of both":                              {container: on(at("0.0.0.0", 80, 8001).edit("Type", "udp"), at("0.0.0.0", 80, 8002)), query: docker.Query{Port: "80/udp"}, want: []string{"10.0.0.7:8001/udp container a"}},
		"UDP of TCP":                               {container: web, query: docker.Query{Port: "80/udp"}, want: []string{"doubt: container a: it does not publish port 80/udp; it publishes 80/tcp"}},
		"not by the published port":                {container: web, query: docker.Query{Port: "8001"}, want: []string{"doubt: container a: it does not publish port 8001; it publishes 80/tcp"}},
		"a port that is exposed only":              {container: on(object{"PrivatePort": 443, "Type": "tcp"}), want: []string{"doubt: container a: it publishes no port; publish the port to bind"}},
		"host network":                             {container: on().edit("HostConfig.NetworkMode", "host"), want: []string{"doubt: container a: it uses its host's network, for which Docker lists no ports; publish the port instead"}},
		"another container's network":              {container: on().edit("HostConfig.NetworkMode", "container:abc"), want: []string{"doubt: container a: it uses another container's network; put the label on the container that publishes the port"}},
		"stopped: the whole truth":                 {container: on().edit("State", "exited", "Status", "Exited (0) 2 hours ago"), want: []string{"left container a: exited"}},
		"paused":                                   {container: web.edit("State", "paused", "Status", "Up 1 hour (Paused)"), want: []string{"left container a: paused"}},
		"restarting":                               {container: web.edit("State", "restarting", "Status", "Restarting (1) 1 second ago"), want: []string{"left container a: restarting"}},
		"unhealthy":                                {container: web.edit("Status", "Up 1 hour (unhealthy)"), want: []string{"left container a: unhealthy"}},
		"unhealthy, told twice by a new engine":    {container: web.edit("Status", "Up 1 hour (unhealthy)", "Health", object{"Status": "unhealthy", "FailingStreak": 3}), want: []string{"left container a: unhealthy"}},
		"its health check has not passed yet":      {container: web.edit("Status", "Up 1 second (health: starting)"), want: []string{"left container a: its health check has not passed yet"}},
		"a new engine says starting":               {container: web.edit("Health", object{"Status": "starting"}), want: []string{"left container a: its health check has not passed yet"}},
		"healthy":                                  {container: web.edit("Status", "Up 1 hour (healthy)"), want: []string{"10.0.0.7:8001 container a"}},
		"a new engine says that there is no check": {container: web.edit("Health", object{"Status": "none"}), want: []string{"10.0.0.7:8001 container a"}},
		"API 1.22 has no state: running":           {container: web.edit("State", nil), want: []string{"10.0.0.7:8001 container a"}},
		"API 1.22 has no state: paused":            {container: web.edit("State", nil, "Status", "Up 1 hour (Paused)"), want: []string{"left container a: paused"}},
		"API 1.22 has no state: stopped":           {container: web.edit("State", nil, "Status", "Exited (1) 1 hour ago"), want: []string{"left container a: not running: Exited (1) 1 hour ago"}},
		"names that links gave":                    {container: web.edit("Names", []string{"/proxy/backend", "/a"}), want: []string{"10.0.0.7:8001 container a"}},
		"no name":                                  {container: web.edit("Names", nil), want: []string{"10.0.0.7:8001 container 0123456789ab"}},
		"nobody knows the host's address": {container: web, bare: true,
			want: []string{"doubt: " + ourPort + "on all addresses of its host; set host_address to the address at which this engine is reached"}},
	} {
		t.Run(name, func(t *testing.T) {
			config, q := c.config, c.query
			config.Kind = docker.Engine
			if !config.HostAddress.IsValid() && !c.bare {
				config.HostAddress = netip.MustParseAddr("10.0.0.7")
			}
			q.Label = "app=web"
			config.Host = serve(t, &dockertest.Daemon{Containers: []string{text(t, c.container), text(t, container("/b", 9000).edit("Labels", object{"app": "other"}))}})
			answers := poll(t, config, q, docker.Query{Label: "app=other"})
			check(t, answers[0], c.want...)
			if config.HostAddress.Is4() {
				check(t, answers[1], "10.0.0.7:9000 container b")
			}
		})
	}
}

func TestComposeServices(t *testing.T) {
	compose := func(name, project, service string, public int) string {
		return text(t, container(name, public).edit("Labels", object{"com.docker.compose.project": project, "com.docker.compose.service": service}))
	}
	d := &dockertest.Daemon{Containers: []string{
		compose("/shop-web-1", "shop", "web", 8001), compose("/shop-web-2", "shop", "web", 8002),
		compose("/shop-api-1", "shop", "api", 8003), compose("/blog-web-1", "blog", "web", 8004),
	}}
	answers := poll(t, docker.Config{Host: serve(t, d), Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")},
		docker.Query{Service: "shop/web"}, docker.Query{Service: "api"}, docker.Query{Service: "web"}, docker.Query{Service: "shop/db"}, docker.Query{Service: "blog/api"}, docker.Query{Service: "blog/wbe"}, docker.Query{Service: "apo"})
	check(t, answers[0], "10.0.0.7:8001 container shop-web-1", "10.0.0.7:8002 container shop-web-2")
	check(t, answers[1], "10.0.0.7:8003 container shop-api-1")
	check(t, answers[2], `doubt: service "web": the projects blog, shop each have one; write project/service`)
	check(t, answers[3], `doubt: there is no container of the Compose service shop/db`)
	check(t, answers[4], `doubt: there is no container of the Compose service blog/api`)
	check(t, answers[5], `doubt: there is no container of the Compose service blog/wbe; did you mean blog/web?`)
	check(t, answers[6], `doubt: there is no container of the Compose service apo; did you mean api?`)
}

func TestClassicRules(t *testing.T) {
	at := func(name, ip string, public int) object {
		return container(name, public).edit("Ports", []object{
			{"IP": ip, "PrivatePort": 80, "PublicPort": public, "Type": "tcp"}, // for 0.0.0.0
			{"IP": ip, "PrivatePort": 80, "PublicPort": public, "Type": "tcp"}, // for ::
		})
	}
	rows := func(change func(rows [][2]string) [][2]string) [][2]string { return change(slices.Clone(healthyNodes)) }
	status := func(status string) [][2]string {
		return rows(func(r [][2]string) [][2]string { r[10][1] = status; return r })
	}
	one := []object{at("/node-1/web0", "10.0.0.1", 8001)}
	for name, c := range map[string]struct {
		containers []object
		rows       [][2]string
		want       []string
		err        string
	}{
		"IPv4 and IPv6 of one port are one endpoint": {containers: one, want: []string{"10.0.0.1:8001 container web0 on node-1"}},
		"an engine that does not answer": {containers: append(one, at("/node-2/web1", "10.0.0.2", 8001).edit("Status", "Host Down")), rows: status("Unhealthy"), want: []string{
			"10.0.0.1:8001 container web0 on node-1", "10.0.0.2:8001 container web1 on node-2, uncertain: its engine does not answer the Swarm",
			"doubt: node node-2 (10.0.0.2:2375) is Unhealthy: not all of its containers are known (remove a node that is gone for good from the Swarm's discovery)"}},
		"a container that was stopped when its engine was lost": {containers: append(one, at("/node-2/web1", "10.0.0.2", 8001).edit("Status", "Host Down", "State", "exited")), want: []string{
			"10.0.0.1:8001 container web0 on node-1", "left container web1 on node-2: exited"}},
		"API 1.22: an engine that does not answer": {containers: []object{at("/node-2/web1", "10.0.0.2", 8001).edit("Status", "Host Down", "State", nil)}, want: []string{
			"10.0.0.2:8001 container web1 on node-2, uncertain: its engine does not answer the Swarm"}},
		"a manager that has just started": {containers: one, rows: status("Pending"), want: []string{"10.0.0.1:8001 container web0 on node-1",
			"doubt: node node-2 (10.0.0.2:2375) is Pending: not all of its containers are known (remove a node that is gone for good from the Swarm's discovery)"}},
		"a node without status": {containers: one, rows: rows(func(r [][2]string) [][2]string { return r[:10] }), want: []string{"10.0.0.1:8001 container web0 on node-1",
			"doubt: node node-2 (10.0.0.2:2375) is of unknown status: not all of its containers are known (remove a node that is gone for good from the Swarm's discovery)"}},
		"an address that the manager does not know": {containers: []object{container("/node-1/web0", 8001)},
			want: []string{"doubt: container web0 on node-1: its port is published on all addresses of its host; the Swarm does not know its engine's address"}},
		"keys of an old manager": {containers: one, want: []string{"10.0.0.1:8001 container web0 on node-1"},
			rows: rows(func(r [][2]string) [][2]string { r[3][0] = "\bNodes"; return r })},
		"fewer nodes than there are":  {rows: rows(func(r [][2]string) [][2]string { return r[:8] }), err: "2 nodes, but 1 are listed"},
		"no nodes":                    {rows: [][2]string{{"Nodes", "0"}}, err: "the Swarm has no nodes"},
		"an engine, not a Swarm":      {rows: [][2]string{{"Role", "primary"}}, err: "the number of nodes is missing"},
		"a number that is none":       {rows: [][2]string{{"Nodes", "many"}}, err: `the number of nodes is "many"`},
		"a number that is negative":   {rows: [][2]string{{"Nodes", "-1"}}, err: `the number of nodes is "-1"`},
		"an attribute without a node": {rows: [][2]string{{"Nodes", "1"}, {"  └ Status", "Healthy"}}, err: "1 node, but 0 are listed"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &dockertest.Daemon{Classic: true, API: "1.30", SystemStatus: healthyNodes}
			if c.rows != nil {
				d.SystemStatus = c.rows
			}
			for _, o := range c.containers {
				d.Containers = append(d.Containers, text(t, o))
			}
			answers, err := open(t, docker.Config{Host: serve(t, d)}).Poll(t.Context(), []docker.Query{{Label: "app=web"}}, false)
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v and error %v, want one that says %q", answers, err, c.err)
				}
			case err != nil:
				t.Error(err)
			default:
				check(t, answers[0], c.want...)
			}
		})
	}
}

// FuzzContainerList holds that whatever an engine answers, an endpoint is fit
// to bind, and an answer without endpoints has a reason to be so.
func FuzzContainerList(f *testing.F) {
	for _, seed := range []string{"[]", "null", "[null]", "{}", `[{"Id": "x", "Labels": {"app": "web"}, "State": "running"}]`,
		"[" + text(f, container("/a", 8001)) + "]", `[{"Id": "x", "Labels": {"app": "web"}, "Ports": [{"IP": "fe80::1%eth0", "PublicPort": 1}], "State": "running"}]`} {
		f.Add([]byte(seed))
	}
	if data, err := os.ReadFile("testdata/recorded/containers.json"); err == nil {
		f.Add(data)
	} else {
		f.Fatal(err)
	}
	var body atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if r.URL.Path != "/_ping" {
			w.Write(*body.Load())
		}
	}))
	f.Cleanup(server.Close)
	s := open(f, docker.Config{Host: server.URL, Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")})
	f.Fuzz(func(t *testing.T, data []byte) {
		body.Store(&data)
		if findings, err := s.Discover(t.Context(), []sources.Selection{{Select: "app"}}); err == nil {
			if found, err := findings[0].All(); err == nil && (!json.Valid(data) || len(found) > 0 && !strings.Contains(string(data), "app")) {
				t.Fatalf("%q: found %+v", data, found)
			}
		}
		answers, err := s.Poll(t.Context(), []docker.Query{{Label: "app=web"}, {Service: "web"}}, false)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("%q passes for a list", data)
		}
		for _, a := range answers {
			if len(a.Endpoints)+len(a.LeftOut) == 0 && a.Doubt() == nil {
				t.Fatalf("%q: nothing found, and no reason given", data)
			}
			for _, e := range a.Endpoints {
				if ip := e.Addr.Addr(); !ip.IsValid() || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified() || ip.IsLoopback() || e.Addr.Port() == 0 || e.Origin == "" {
					t.Fatalf("%q: %+v is not fit to bind", data, e)
				}
			}
		}
	})
}
