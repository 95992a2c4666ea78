package kubernetes

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"nitrox/sources"
	"nitrox/sources/sourcetest"
)

func annotation(name, value string) option {
	return func(m manifest) { with("metadata.annotations", manifest{name: value})(m) }
}

// optedIn are services of two tenants, some of which opted in.
func optedIn() []manifest {
	on := label("nitrox", "on")
	return []manifest{
		aService("shop/web", on, label("nitrox.io/order", "2"), annotation("nitrox.io/port", "http,53/udp"),
			ports(port("http", 80, 31080, "TCP"), port("", 53, 31053, "UDP"), port("", 53, 31054, "TCP"), port("", 99, 0, "TCP"))),
		aService("shop/cart", on, annotation("kubectl.kubernetes.io/last-applied-configuration", strings.Repeat("x", 200<<10))),
		aService("shop/internal", label("nitrox", "off")),
		aService("shop/other"),
		aService("bank/web", on),
	}
}

func queryOf(service string) func(sources.Port, string) (any, error) {
	return func(port sources.Port, address string) (any, error) {
		return Query{Service: service, Port: port, Address: Address(address)}, nil
	}
}

var (
	web = sources.Found{Namespace: "shop", Name: "web", What: "service shop/web", Settings: map[string]string{"order": "2", "port": "http,53/udp"},
		Ports: []sources.Port{"http", "53/udp", "53/tcp", "99"}, Query: queryOf("shop/web")}
	cart = sources.Found{Namespace: "shop", Name: "cart", What: "service shop/cart", Settings: map[string]string{},
		Ports: []sources.Port{"http"}, Query: queryOf("shop/cart")}
)

func TestDiscover(t *testing.T) {
	const body = 1 << 20
	broken := aService("lab/web", label("nitrox", "on")).but(with("spec.ports", "many"))
	sourcetest.Discover(t, sourcetest.Fixture{
		Open: func(t *testing.T, url string) sources.Opened {
			s, err := sources.Define("kubernetes", func(c Config) (*Source, error) {
				s, err := Open(c)
				if err == nil {
					s.maxBody = body
				}
				return s, err
			}).Open(Config{Kubeconfig: kubeconfig(t, url)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Query:       sources.Selection{Select: "nitrox=on", Namespaces: []string{"shop"}},
		Absent:      sources.Selection{Select: "nitrox=on", Namespaces: []string{"nobody"}},
		Handler:     cluster(optedIn()...),
		Requests:    []string{"/services"},
		MaxBody:     body,
		Broken:      cluster(append(optedIn(), broken)...),
		BrokenQuery: sources.Selection{Select: "nitrox=on", Namespaces: []string{"lab"}},
	}, cart, web)
}

func TestWatchFound(t *testing.T) {
	a := cluster(optedIn()...)
	calls := 0
	sourcetest.Watch(t, sourcetest.Stream{
		Open: sourcetest.Discovering(opened), Query: sources.Selection{Select: "nitrox=on"}, Handler: a, Type: "application/json",
		Change: func() { // an owner takes the label off, and puts it on again
			calls++
			a.change(aService("shop/cart", label("nitrox", map[bool]string{true: "off", false: "on"}[calls%2 == 1])))
		},
		IsStream: func(r *http.Request) bool { return r.URL.Query().Has("watch") },
		Event: func(_ *http.Request, size int) string {
			return happened("DELETED", aService("shop/cart", annotation("note", strings.Repeat("x", size))))
		},
		Quiet: func(*http.Request) []string {
			return []string{"\n", happened("BOOKMARK", manifest{"kind": "Service", "metadata": manifest{"resourceVersion": "12746"}})}
		},
		Unknown: func(*http.Request) []string { return []string{happened("RENAMED", manifest{}), "{}\n", "null\n"} },
	})
}

// TestHowServicesAreDiscovered: what is forbidden, lost or contradictory is a doubt of
// whom it concerns, and of no other.
func TestHowServicesAreDiscovered(t *testing.T) {
	all := sources.Selection{Select: "nitrox=on"}
	in := func(namespaces ...string) sources.Selection {
		return sources.Selection{Select: "nitrox = on", Namespaces: namespaces}
	}
	except := func(allowed ...string) func(string, string) bool {
		return func(_, namespace string) bool {
			for _, n := range allowed {
				if n == namespace {
					return false
				}
			}
			return true
		}
	}
	for name, c := range map[string]struct {
		objects    []manifest
		forbidden  func(plural, namespace string) bool
		before     func(a *apiserver) func(http.ResponseWriter, *http.Request) bool
		pageSize   int
		selections []sources.Selection
		want       []string // of each selection its objects, or what is in its doubt
		requests   int
	}{
		"of all namespaces, and of one that another lists too": {selections: []sources.Selection{in("shop", "bank"), in("bank"), in("shop")},
			want: []string{"bank/web shop/cart shop/web", "bank/web", "shop/cart shop/web"}, requests: 1},
		"everywhere": {selections: []sources.Selection{all}, want: []string{"bank/web shop/cart shop/web"}, requests: 1},
		"two selectors": {selections: []sources.Selection{all, {Select: "nitrox=off"}},
			want: []string{"bank/web shop/cart shop/web", "shop/internal"}, requests: 2},
		"cluster-wide forbidden": {forbidden: except("shop", "bank"), selections: []sources.Selection{in("shop", "bank")},
			want: []string{"bank/web shop/cart shop/web"}, requests: 3},
		"one namespace forbidden": {forbidden: except("shop"), selections: []sources.Selection{in("shop", "bank"), in("shop"), in("bank")},
			want: []string{"take namespace bank out of namespaces", "shop/cart shop/web", "list services in namespace bank: 403 Forbidden"}, requests: 3},
		"everywhere forbidden": {forbidden: except(), selections: []sources.Selection{all},
			want: []string{"403 Forbidden: services is forbidden: User \"nitrox\" cannot list resource \"services\" in API group \"\" at the cluster scope; " +
				"give the account the verb list on services in all namespaces, or write those that"}, requests: 1},
		"in pages": {pageSize: 1, selections: []sources.Selection{all}, want: []string{"bank/web shop/cart shop/web"}, requests: 3},
		"pages that expire": {pageSize: 1, selections: []sources.Selection{all}, want: []string{"page 2: 410 Gone"}, requests: 2,
			before: func(a *apiserver) func(http.ResponseWriter, *http.Request) bool {
				return func(_ http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Has("continue") {
						a.expire()
					}
					return false
				}
			}},
		"a proxy that drops the query": {selections: []sources.Selection{all}, want: []string{"which select does not choose; find out what between"}, requests: 1,
			before: func(*apiserver) func(http.ResponseWriter, *http.Request) bool {
				return func(_ http.ResponseWriter, r *http.Request) bool {
					r.URL.RawQuery = "limit=500"
					return false
				}
			}},
		"a name that no service has": {selections: []sources.Selection{all}, want: []string{`service shop/web x, which no service can be called; find out`}, requests: 1,
			objects: append(optedIn(), aService("shop/web\nx", label("nitrox", "on")))},
		"a label and an annotation that differ": {selections: []sources.Selection{all}, requests: 1,
			objects: append(optedIn(), aService("lab/web", label("nitrox", "on"), label("nitrox.io/port", "http"), annotation("nitrox.io/port", "https"))),
			want:    []string{`bank/web lab/web(nitrox.io/port is "http" in one place and "https" in another; write it in one) shop/cart shop/web`}},
		"a setting that is too long": {selections: []sources.Selection{all}, requests: 1,
			objects: append(optedIn(), aService("lab/web", label("nitrox", "on"), annotation("nitrox.io/port", strings.Repeat("x", 200<<10)))),
			want:    []string{`bank/web lab/web(nitrox.io/port has 204800 characters; write at most 1000) shop/cart shop/web`}},
		"one that cannot be read": {selections: []sources.Selection{all, in("shop")}, requests: 2,
			objects: append(optedIn(), aService("lab/web", label("nitrox", "on")).but(with("spec.ports", "many"))),
			want:    []string{`bank/web lab/web(the answer cannot be read: unexpected string at spec.ports) shop/cart shop/web`, "shop/cart shop/web"}},
		"one that cannot even be read by name": {selections: []sources.Selection{all, in("shop")}, requests: 2,
			objects: append(optedIn(), aService("lab/web", label("nitrox", "on")).but(with("spec", "many"), with("metadata.namespace", 7))),
			want:    []string{`the answer is not a list of Kubernetes objects`, "shop/cart shop/web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.objects == nil {
				c.objects = optedIn()
			}
			a := cluster(c.objects...)
			a.forbidden, a.pageSize = c.forbidden, c.pageSize
			if c.before != nil {
				a.before = c.before(a)
			}
			findings, err := opened(t, serving(t, a)).Discover(t.Context(), c.selections)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range findings {
				found, err := f.All()
				var got []string
				for _, o := range found {
					what := o.Namespace + "/" + o.Name
					if o.Doubt != nil {
						what += "(" + o.Doubt.Error() + ")"
					}
					got = append(got, what)
				}
				if text := strings.Join(got, " "); err != nil && !strings.Contains(err.Error(), c.want[i]) || err == nil && text != c.want[i] {
					t.Errorf("selection %d: %s, %v; want %s", i, text, err, c.want[i])
				}
			}
			if r := a.requests(); len(r) != c.requests {
				t.Errorf("requests %q, want %d", r, c.requests)
			}
		})
	}
}

// TestDiscoveryIsOneRequest, however many services have opted in among however many.
func TestDiscoveryIsOneRequest(t *testing.T) {
	objects := optedIn()
	for i := range 2000 {
		objects = append(objects, aService(fmt.Sprintf("shop/s%d", i), label("nitrox", "on")), aService(fmt.Sprintf("shop/o%d", i)))
	}
	a := cluster(objects...)
	findings, err := opened(t, serving(t, a)).Discover(t.Context(), []sources.Selection{{Select: "nitrox=on"}})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := findings[0].All(); err != nil || len(found) != 2003 || len(a.requests()) != 1 {
		t.Errorf("%d found, error %v", len(found), err)
	}
}

// TestAnnotationsOfOthersAreNotKept: most services have one with all that was applied.
func TestAnnotationsOfOthersAreNotKept(t *testing.T) {
	s, err := Open(Config{Kubeconfig: kubeconfig(t, serving(t, cluster(optedIn()...)))})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	items, _, err := list[labelled](t.Context(), c, services, query{})
	kept := 0
	for _, item := range items {
		kept += len(item.Metadata.Annotations)
	}
	if err != nil || len(items) != 5 || kept != 1 {
		t.Errorf("%d services with %d annotations, error %v; want 5 with 1", len(items), kept, err)
	}
}

// TestWhatATenantMayAskFor: a setting that no query takes is an error about it.
func TestWhatATenantMayAskFor(t *testing.T) {
	f := labelled{}
	f.Metadata.Namespace, f.Metadata.Name = "shop", "web"
	for _, c := range []struct{ port, address, problem string }{
		{"http", "", ""}, {"53/udp", "pod_ip", ""}, {"80", "host_port", ""}, {"443", "load_balancer", ""},
		{"70000", "", "port: 70000 is not a port number"},
		{"53/upd", "", `port: "upd" is not the protocol`},
		{"HTTP", "", `port: "HTTP" is neither`},
		{"80", "cluster_ip", `address: "cluster_ip" is not node_port, pod_ip, host_port or load_balancer`},
	} {
		_, err := f.found().Query(sources.Port(c.port), c.address)
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s %s: %v, want %q", c.port, c.address, err, c.problem)
		}
	}
}

func TestNamespacesOfASelection(t *testing.T) {
	s, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		namespaces []string
		problem    string
	}{
		{nil, ""}, {[]string{"shop", "bank"}, ""},
		{[]string{}, "namespaces: it names none"},
		{[]string{"shop", "Bank"}, `namespaces[1]: "Bank" cannot be the name of a namespace`},
		{[]string{"shop/web"}, `namespaces[0]`}, {[]string{""}, `namespaces[0]`}, {[]string{"shop*"}, `namespaces[0]`},
		{[]string{"shop", "shop"}, `namespaces[1]: shop is listed twice`},
	} {
		err := s.CheckSelection(sources.Selection{Select: "nitrox=on", Namespaces: c.namespaces})
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%q: %v, want %q", c.namespaces, err, c.problem)
		}
	}
}
