package docker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"nitrox/sources"
	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
	"nitrox/sources/sourcetest"
)

type object map[string]any

func text(t testing.TB, o object) string {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// edit gives o with changes; a key like "Spec.Mode" goes into objects.
func (o object) edit(keysAndValues ...any) object {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var copied map[string]any
	if err := json.Unmarshal(b, &copied); err != nil {
		panic(err)
	}
	for i := 0; i < len(keysAndValues); i += 2 {
		at := copied
		path := strings.Split(keysAndValues[i].(string), ".")
		for _, key := range path[:len(path)-1] {
			next, ok := at[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
		if keysAndValues[i+1] == nil {
			delete(at, path[len(path)-1])
		} else {
			at[path[len(path)-1]] = keysAndValues[i+1]
		}
	}
	return copied
}

func port(target, published int, mode string) object {
	return object{"Protocol": "tcp", "TargetPort": target, "PublishedPort": published, "PublishMode": mode}
}

func service(name string, ports ...object) object {
	return object{
		"ID": "id-" + name, "Version": object{"Index": 12}, "CreatedAt": "2026-11-01T10:00:00.5Z",
		"Spec": object{
			"Name": name, "Labels": object{"com.citrix.lb.appname": name},
			"Mode":         object{"Replicated": object{"Replicas": 2}},
			"EndpointSpec": object{"Mode": "vip", "Ports": ports},
		},
		"Endpoint":      object{"Ports": ports, "VirtualIPs": []object{{"NetworkID": "net1", "Addr": "10.255.0.7/16"}}},
		"ServiceStatus": object{"RunningTasks": 2, "DesiredTasks": 2},
	}
}

func task(service string, slot int, node string, ports ...object) object {
	return object{
		"ID": fmt.Sprintf("task-%s-%d-%s", service, slot, node), "ServiceID": "id-" + service, "Slot": slot, "NodeID": node,
		"Status":       object{"State": "running", "Message": "started", "PortStatus": object{"Ports": ports}},
		"DesiredState": "running",
	}
}

func node(id, addr string) object {
	return object{
		"ID": id, "Spec": object{"Role": "worker", "Availability": "active", "Labels": object{}},
		"Description": object{"Hostname": "worker-" + id}, "Status": object{"State": "ready", "Addr": addr},
	}
}

// swarm is a healthy swarm with the given objects, and one app beside: "other".
func swarm(t testing.TB, objects ...object) *dockertest.Daemon {
	d := &dockertest.Daemon{Swarm: "active/manager"}
	objects = append(objects, service("other", port(80, 9999, "ingress")), task("other", 1, "n9"), node("n9", "10.0.0.9").edit("Spec.Role", "manager"))
	for _, o := range objects {
		switch {
		case o["ServiceID"] != nil:
			d.Tasks = append(d.Tasks, text(t, o))
		case o["Description"] != nil:
			d.Nodes = append(d.Nodes, text(t, o))
		default:
			d.Services = append(d.Services, text(t, o))
		}
	}
	return d
}

func open(t testing.TB, config docker.Config) *docker.Source {
	t.Helper()
	s, err := docker.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return "tcp" + strings.TrimPrefix(server.URL, "http")
}

// want is an answer in words: "addr" or "addr uncertain: why", then "left
// what: why", then "doubt: part of its text".
func describe(a sources.Answer) []string {
	lines := []string{}
	for _, e := range a.Endpoints {
		line := e.Addr.String() + " " + e.Origin
		if e.Protocol != sources.TCP && e.Protocol != "" {
			line = e.Addr.String() + "/" + string(e.Protocol) + " " + e.Origin
		}
		if e.Uncertain != "" {
			line += ", uncertain: " + e.Uncertain
		}
		lines = append(lines, line)
	}
	for _, l := range a.LeftOut {
		lines = append(lines, "left "+l.What+": "+l.Why)
	}
	if a.Doubt() != nil {
		lines = append(lines, "doubt: "+a.Doubt().Error())
	}
	return lines
}

func check(t *testing.T, a sources.Answer, want ...string) {
	t.Helper()
	if got := describe(a); !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if a.Doubt() != nil && errors.Is(a.Doubt(), sources.ErrAbsent) != strings.HasPrefix(a.Doubt().Error(), "there is no ") {
		t.Errorf("doubt %v: ErrAbsent is %v", a.Doubt(), errors.Is(a.Doubt(), sources.ErrAbsent))
	}
}

func poll(t *testing.T, config docker.Config, queries ...docker.Query) []sources.Answer {
	t.Helper()
	answers, err := open(t, config).Poll(t.Context(), queries, false)
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

func endpoint(addr string) sources.Endpoint {
	return sources.Endpoint{Addr: netip.MustParseAddrPort(addr), Protocol: sources.TCP}
}

// fixture opens sources of a kind against the suite's servers.
func fixture(config docker.Config) sourcetest.Fixture {
	const limit = 1 << 20
	kind := sources.Define("docker", func(c docker.Config) (*docker.Source, error) {
		s, err := docker.Open(c)
		if err == nil {
			docker.SetMaxBody(s, limit)
		}
		return s, err
	})
	return sourcetest.Fixture{
		MaxBody: limit,
		Open: func(t *testing.T, url string) sources.Opened {
			c := config
			c.Host = url
			s, err := kind.Open(c)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

func TestSuiteSwarm(t *testing.T) {
	web := []object{service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), task("web", 2, "n2"), node("n1", "10.0.0.1"), node("n2", "10.0.0.2")}
	bad := service("bad", port(80, 7777, "ingress")).edit("Endpoint.VirtualIPs", []object{{"NetworkID": "x", "Addr": "nonsense"}})
	for _, kind := range []docker.Kind{docker.Swarm, ""} {
		t.Run("kind "+string(kind), func(t *testing.T) {
			f := fixture(docker.Config{Kind: kind})
			f.Handler = swarm(t, web...)
			f.Query, f.Absent = docker.Query{Service: "web"}, docker.Query{Label: "com.citrix.lb.appname=wed"}
			f.Want = []sources.Endpoint{endpoint("10.0.0.1:8080"), endpoint("10.0.0.2:8080")}
			f.Requests = []string{"/tasks", "/services", "/nodes"}
			f.Missing = []string{"/services", "/services"} // by label, and all
			f.Broken, f.BrokenQuery = swarm(t, append(web, bad)...), docker.Query{Label: "com.citrix.lb.appname=bad"}
			sourcetest.Run(t, f)
		})
	}
}

func TestSuiteClassic(t *testing.T) {
	good := &dockertest.Daemon{Classic: true, API: "1.30", SystemStatus: healthyNodes, Containers: []string{
		text(t, container("/node-1/web0", 8004).edit("Ports", []object{{"IP": "10.0.0.1", "PrivatePort": 80, "PublicPort": 8004, "Type": "tcp"}})),
		text(t, container("/node-2/web1", 8004).edit("Ports", []object{{"IP": "10.0.0.2", "PrivatePort": 80, "PublicPort": 8004, "Type": "tcp"}})),
	}}
	broken := &dockertest.Daemon{Classic: true, API: "1.30", SystemStatus: healthyNodes}
	broken.Containers = append(slices.Clone(good.Containers), text(t, container("/node-1/bad", 8005).edit("Labels", object{"app": "bad"}, "Created", "yesterday")))
	for _, kind := range []docker.Kind{docker.Classic, ""} {
		t.Run("kind "+string(kind), func(t *testing.T) {
			f := fixture(docker.Config{Kind: kind})
			f.Handler, f.Broken, f.BrokenQuery = good, broken, docker.Query{Label: "app=bad"}
			f.Query, f.Absent = docker.Query{Label: "app=web"}, docker.Query{Label: "app=wed"}
			f.Want = []sources.Endpoint{endpoint("10.0.0.1:8004"), endpoint("10.0.0.2:8004")}
			f.Requests, f.Missing = []string{"/info", "/containers/json"}, []string{"/containers/json", "/containers/json"}
			sourcetest.Run(t, f)
		})
	}
}

func TestSuiteEngine(t *testing.T) {
	good := &dockertest.Daemon{Containers: []string{text(t, container("/web0", 8004)), text(t, container("/web1", 8005))}}
	broken := &dockertest.Daemon{}
	broken.Containers = append(slices.Clone(good.Containers), text(t, container("/bad", 8006).edit("Labels", object{"app": "bad"}, "Ports", []object{{"IP": "not-an-address"}})))
	f := fixture(docker.Config{Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")})
	f.Handler, f.Broken, f.BrokenQuery = good, broken, docker.Query{Label: "app=bad"}
	f.Query, f.Absent = docker.Query{Label: "app=web"}, docker.Query{Service: "web"}
	f.Want = []sources.Endpoint{endpoint("10.0.0.7:8004"), endpoint("10.0.0.7:8005")}
	f.Requests, f.Missing = []string{"/containers/json"}, []string{"/containers/json", "/containers/json"}
	sourcetest.Run(t, f)
}

// recorder notes the requests that reach a handler.
type recorder struct {
	http.Handler
	mu   sync.Mutex
	seen []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.seen = append(r.seen, req.Method+" "+req.URL.Path)
	r.mu.Unlock()
	r.Handler.ServeHTTP(w, req)
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

// The figures that the README gives: few apps are asked for by name, and of many
// three, two and one requests read all, after one to agree on a version.
func TestRequestsOfAPoll(t *testing.T) {
	sourcetest.Thorough(t)
	var objects []object
	var labels, names []docker.Query
	containers := make([]string, 1000)
	for i := range containers {
		name := fmt.Sprintf("app%d", i)
		labels, names = append(labels, docker.Query{Label: "com.citrix.lb.appname=" + name}), append(names, docker.Query{Service: name})
		objects = append(objects, service(name, port(80, 8000, "ingress")), task(name, 1, "n9"))
		containers[i] = text(t, container("/"+name, 8001).edit("Labels", object{"com.citrix.lb.appname": name, "com.docker.compose.service": name}))
	}
	all := swarm(t, objects...)
	classic := &dockertest.Daemon{Classic: true, SystemStatus: healthyNodes, Containers: containers}
	engine := &dockertest.Daemon{Containers: containers}
	const services, tasks, nodes = "GET /v1.41/services", "GET /v1.41/tasks", "GET /v1.41/nodes"
	for name, c := range map[string]struct {
		kind                  docker.Kind
		daemon                *dockertest.Daemon
		queries               []docker.Query
		connect, poll, images []string
	}{
		"swarm, all":       {docker.Swarm, all, labels, []string{"HEAD /_ping"}, []string{services, tasks, nodes}, nil},
		"swarm, few names": {docker.Swarm, all, names[:10], []string{"HEAD /_ping"}, []string{tasks, services, nodes}, nil},
		"swarm, more names than a URL has room for": {docker.Swarm, all, names[:200], []string{"HEAD /_ping"}, []string{tasks, tasks, services, services, nodes}, nil},
		"swarm, few labels":                         {docker.Swarm, all, labels[:3], []string{"HEAD /_ping"}, []string{services, services, services, tasks, nodes}, nil},
		"swarm, both":                               {docker.Swarm, all, append(names[:1:1], labels[1]), []string{"HEAD /_ping"}, []string{tasks, services, services, tasks, nodes}, nil},
		"classic, all":                              {docker.Classic, classic, labels, nil, []string{"GET /v1.30/info", "GET /v1.30/containers/json"}, []string{"GET /v1.30/images/sha256:aa/json"}},
		"classic, few":                              {docker.Classic, classic, labels[:2], nil, []string{"GET /v1.30/info", "GET /v1.30/containers/json", "GET /v1.30/containers/json"}, []string{"GET /v1.30/images/sha256:aa/json"}},
		"engine, all":                               {docker.Engine, engine, labels, []string{"HEAD /_ping"}, []string{"GET /v1.41/containers/json"}, []string{"GET /v1.41/images/sha256:aa/json"}},
		"engine, one service of Compose":            {docker.Engine, engine, names[7:8], []string{"HEAD /_ping"}, []string{"GET /v1.41/containers/json"}, []string{"GET /v1.41/images/sha256:aa/json"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{Handler: c.daemon}
			config := docker.Config{Host: serve(t, r), Kind: c.kind}
			if c.kind != docker.Swarm {
				config.HostAddress = netip.MustParseAddr("10.0.0.7")
			}
			s := open(t, config)
			for i, want := range [][]string{slices.Concat(c.connect, c.poll, c.images), c.poll, c.poll} {
				answers, err := s.Poll(t.Context(), c.queries, i == 2)
				if err != nil {
					t.Fatal(err)
				}
				for j, a := range answers {
					if a.Doubt() != nil || len(a.Endpoints) != 1 {
						t.Fatalf("%v: %+v", c.queries[j], a)
					}
				}
				if got := r.take(); !reflect.DeepEqual(got, want) {
					t.Errorf("poll %d: requests %v, want %v", i, got, want)
				}
			}
		})
	}
}
