package docker_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nitrox/sources"
	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
	"nitrox/sources/sourcetest"
)

var (
	on     = object{"nitrox": "on"}
	chosen = sources.Selection{Select: "nitrox=on"}
)

// optedIn is a service that says more of itself.
func optedIn(name string, labels object, ports ...object) object {
	return service(name, ports...).edit("Spec.Labels", labels)
}

// composed is a container that Docker Compose started.
func composed(project, service string, number int, labels ...string) object {
	all := object{"nitrox": "on", "com.docker.compose.project": project, "com.docker.compose.service": service, "com.docker.compose.container-number": fmt.Sprint(number)}
	for i := 0; i < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	return container(fmt.Sprintf("/%s-%s-%d", project, service, number), 8000+number).edit("Labels", all)
}

func TestDiscoverSwarm(t *testing.T) {
	objects := []object{
		optedIn("web", object{"nitrox": "on", "nitrox.io/order": "2"}, port(80, 8080, "ingress"), port(80, 8090, "ingress"), port(53, 5353, "ingress"),
			port(53, 5353, "ingress").edit("Protocol", "udp")),
		optedIn("cart", on, port(443, 8443, "host")), optedIn("internal", object{"nitrox": "off"}, port(80, 8081, "ingress")),
	}
	ask := func(name string) func(sources.Port, string) (any, error) {
		return func(port sources.Port, _ string) (any, error) { return docker.Query{Service: name, Port: port}, nil }
	}
	f := fixture(docker.Config{})
	f.Handler, f.Query, f.Absent = swarm(t, objects...), chosen, sources.Selection{Select: "nitrox=no"}
	f.Requests, f.Missing = []string{"/services"}, []string{"/services"}
	bad := optedIn("bad", object{"nitrox": "bad"}, port(80, 7777, "ingress")).edit("Endpoint.VirtualIPs", []object{{"NetworkID": "x", "Addr": "nonsense"}})
	f.Broken, f.BrokenQuery = swarm(t, append(slices.Clone(objects), bad)...), sources.Selection{Select: "nitrox=bad"}
	sourcetest.Discover(t, f,
		sources.Found{Name: "cart", What: "service cart", Settings: map[string]string{}, Ports: []sources.Port{"443"}, Query: ask("cart")},
		sources.Found{Name: "web", What: "service web", Settings: map[string]string{"order": "2"}, Ports: []sources.Port{"80", "53/tcp", "53/udp"}, Query: ask("web")})
}

func TestDiscoverEngine(t *testing.T) {
	d := &dockertest.Daemon{Containers: []string{
		text(t, composed("shop", "web", 1, "nitrox.io/port", "80")), text(t, composed("shop", "web", 2, "nitrox.io/port", "80").edit("State", "exited", "Ports", nil)),
		text(t, composed("bank", "web", 1)), text(t, composed("bank", "web", 9, "com.docker.compose.oneoff", "True")), text(t, container("/other", 8007)),
	}}
	ask := func(name string) func(sources.Port, string) (any, error) {
		return func(port sources.Port, _ string) (any, error) { return docker.Query{Service: name, Port: port}, nil }
	}
	f := fixture(docker.Config{Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")})
	f.Handler, f.Query, f.Absent = d, chosen, sources.Selection{Select: "nitrox=no"}
	f.Requests, f.Missing = []string{"/containers/json"}, []string{"/containers/json"}
	broken := &dockertest.Daemon{Containers: append(slices.Clone(d.Containers), text(t, composed("lab", "web", 1, "nitrox", "bad").edit("Ports", []object{{"IP": "not-an-address"}})))}
	f.Broken, f.BrokenQuery = broken, sources.Selection{Select: "nitrox=bad"}
	sourcetest.Discover(t, f,
		sources.Found{Name: "bank.web", What: "Compose service bank/web", Settings: map[string]string{}, Ports: []sources.Port{"80"}, Query: ask("bank/web")},
		sources.Found{Name: "shop.web", What: "Compose service shop/web", Settings: map[string]string{"port": "80"}, Ports: []sources.Port{"80"}, Query: ask("shop/web")})
}

func TestWatchFound(t *testing.T) {
	for name, c := range map[string]struct {
		daemon *dockertest.Daemon
		change string
		more   []string // that changes nothing
	}{
		"swarm": {swarm(t, optedIn("web", on, port(80, 8080, "ingress"))), happened("service", "update", "name", "web"),
			[]string{happened("container", "start", "name", "web.1"), happened("node", "update", "name", "n1")}},
		"engine": {&dockertest.Daemon{Containers: []string{text(t, composed("shop", "web", 1))}}, happened("container", "start", "name", "web"),
			[]string{happened("container", "die", "name", "web"), happened("service", "update", "name", "web")}},
	} {
		t.Run(name, func(t *testing.T) {
			s := stream(t, docker.Config{}, c.daemon, docker.Query{}, c.change)
			s.Open, s.Query, s.Other = sourcetest.Discovering(s.Open), chosen, nil
			s.Event = func(_ *http.Request, size int) string {
				return strings.Replace(c.change, `"name":`, `"label":"`+strings.Repeat("x", size)+`","name":`, 1) + "\n"
			}
			others := s.Quiet
			s.Quiet = func(r *http.Request) []string { return append(others(r), strings.Join(c.more, "\n")+"\n") }
			sourcetest.Watch(t, s)
		})
	}
}

// TestHowContainersAreDiscovered: who runs a container may write any label, and so may
// who builds an image; neither gets what is another's.
func TestHowContainersAreDiscovered(t *testing.T) {
	naming := sources.Selection{Select: "nitrox"}
	plain := func(name string, labels object) object {
		return container("/"+name, 8001).edit("Labels", labels, "ImageID", "sha256:"+name)
	}
	for name, c := range map[string]struct {
		containers []object
		images     map[string]map[string]string
		config     docker.Config
		rows       [][2]string
		selection  sources.Selection
		want       string
	}{
		"settings of an app's containers that differ": {containers: []object{composed("shop", "web", 1), composed("shop", "web", 2, "nitrox.io/port", "80")}, selection: chosen,
			want: "shop.web(container shop-web-2 has other labels nitrox.io/... than the rest; give all containers of the app the same ones)"},
		"a container that Compose did not start": {containers: []object{plain("a", on), composed("shop", "web", 1)}, selection: chosen,
			want: "container a(it is not known of which app it is, as Docker Compose did not start it; let select be a label without a value, " +
				"and give the container that label with the app's name as its value) shop.web"},
		"the label names the app": {containers: []object{plain("a", object{"nitrox": "web"}), plain("b", object{"nitrox": "web"}), composed("shop", "web", 1, "nitrox", "cart")},
			selection: naming, want: "cart web"},
		"a name that is none": {containers: []object{plain("a", object{"nitrox": "../web"}), plain("b", object{"nitrox": ""}), plain("c", object{"nitrox": "c"})}, selection: naming,
			want: `c container a(its label nitrox is "../web"; give it the name of an app, such as web) container b(its label nitrox is ""; give it the name of an app, such as web)`},
		"a name that would be Compose's": {containers: []object{composed("shop.web", "x", 1), composed("shop", "web.x", 1)}, selection: chosen,
			want: "container shop.web-x-1(it is not known of which app it is, as Docker Compose did not start it; let select be a label without a value, " +
				"and give the container that label with the app's name as its value) shop.web.x"},
		"an image that opts in": {containers: []object{plain("a", object{"nitrox": "web"}), plain("b", object{"nitrox": "web"})}, selection: naming,
			images: map[string]map[string]string{"sha256:b": {"nitrox": "web"}},
			want:   "container b(its label nitrox=web comes from its image; take it out of the image, and give it to the container (docker run --label)) web"},
		"an image that says how": {containers: []object{plain("a", object{"nitrox": "web", "nitrox.io/service-group": "sg-bank"})}, selection: naming,
			images: map[string]map[string]string{"sha256:a": {"nitrox.io/service-group": "sg-bank"}},
			want:   "web(container a: its label nitrox.io/service-group comes from its image; take it out of the image, and give it to the container)"},
		"an image that plays Compose": {containers: []object{composed("shop", "web", 1), plain("b", object{"nitrox": "on", "com.docker.compose.project": "shop", "com.docker.compose.service": "web"})},
			images:    map[string]map[string]string{"sha256:b": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}},
			selection: chosen, want: "container b(its label com.docker.compose.service=web comes from its image, and Docker Compose did not start it) shop.web"},
		"an engine that may have been a manager": {containers: []object{plain("a", object{"app": "web"})}, config: docker.Config{}, selection: chosen,
			want: "no container of this engine is chosen, and it is not the manager of a swarm that might have services; set kind to say what it is"},
		"a classic Swarm with an engine out of reach": {containers: []object{composed("shop", "web", 1)}, config: docker.Config{Kind: docker.Classic},
			rows: [][2]string{{"Nodes", "1"}, {" node-1", "10.0.0.1:2375"}, {"  └ Status", "Unhealthy"}}, selection: chosen,
			want: "node node-1 (10.0.0.1:2375) is Unhealthy: not all of its containers are known (remove a node that is gone for good from the Swarm's discovery)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &dockertest.Daemon{Images: c.images, SystemStatus: c.rows, Classic: c.rows != nil}
			for _, o := range c.containers {
				d.Containers = append(d.Containers, text(t, o))
			}
			if d.Classic {
				d.API = "1.30"
			}
			c.config.Host = serve(t, d)
			findings, err := open(t, c.config).Discover(t.Context(), []sources.Selection{c.selection})
			if err != nil {
				t.Fatal(err)
			}
			found, err := findings[0].All()
			var got []string
			for _, f := range found {
				if f.Doubt != nil {
					f.Name += "(" + f.Doubt.Error() + ")"
				}
				got = append(got, f.Name)
			}
			if err != nil {
				got = []string{err.Error()}
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("got\n  %s\nwant\n  %s", text, c.want)
			}
		})
	}
}

// TestALostFilterOptsNobodyIn: proxies in front of daemons let some queries through only.
func TestALostFilterOptsNobodyIn(t *testing.T) {
	for name, c := range map[string]struct {
		daemon *dockertest.Daemon
		kind   docker.Kind
	}{
		"swarm":  {swarm(t, optedIn("web", on, port(80, 8080, "ingress"))), docker.Swarm},
		"engine": {&dockertest.Daemon{Containers: []string{text(t, composed("shop", "web", 1)), text(t, container("/other", 8007))}}, docker.Engine},
	} {
		t.Run(name, func(t *testing.T) {
			lossy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				query := r.URL.Query()
				query.Del("filters")
				r.URL.RawQuery = query.Encode()
				c.daemon.ServeHTTP(w, r)
			})
			findings, err := open(t, docker.Config{Host: serve(t, lossy), Kind: c.kind}).Discover(t.Context(), []sources.Selection{chosen})
			if err == nil || !strings.Contains(err.Error(), "the answer has more than was asked for; find out what between here and the daemon drops filters") {
				t.Errorf("%+v, %v", findings, err)
			}
		})
	}
}

func TestSelectionsOfDocker(t *testing.T) {
	s := open(t, docker.Config{Host: "unix:///var/run/docker.sock"})
	for _, c := range []struct {
		selection sources.Selection
		problem   string
	}{
		{sources.Selection{Select: "nitrox=on"}, ""}, {sources.Selection{Select: "nitrox,tier=front"}, ""}, {sources.Selection{Select: "nitrox in (on)"}, ""},
		{sources.Selection{Select: "nitrox in (on, edge)"}, "select: a daemon chooses by labels and their values"},
		{sources.Selection{Select: "nitrox=on,tier!=test"}, "select: a daemon chooses by labels"}, {sources.Selection{Select: "nitrox>1"}, "select: a daemon chooses"}, {sources.Selection{Select: "nitrox,app"}, "select: a daemon chooses by labels"},
		{sources.Selection{Select: "nitrox=on", Namespaces: []string{"shop"}}, "namespaces: Docker has no namespaces; leave it out"},
	} {
		err := s.CheckSelection(c.selection)
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%+v: %v, want %q", c.selection, err, c.problem)
		}
	}
}
