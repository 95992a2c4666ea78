package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/sourcetest"
)

// on answers requests for a path with something else.
func on(suffix string, answer func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		answer(w, r)
		return true
	}
}

func text(body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

func status(code int, reason, message string, headers ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		refuse(w, code, reason, message)
	}
}

// TestUnknownIsNotEmpty holds the table of failures: whatever is answered in the
// place of a list, the answer is an error or a doubt that says why.
func TestUnknownIsNotEmpty(t *testing.T) {
	for _, c := range []struct {
		name   string
		path   string
		answer func(http.ResponseWriter, *http.Request)
		want   string
	}{
		{"an empty object", "/endpointslices", text(`{}`), `the answer is not a list of Kubernetes objects: an object of kind "" without items`},
		{"a list without a resource version", "/endpointslices", text(`{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{},"items":[]}`),
			"the answer has no resourceVersion, so it may not be the whole list"},
		{"a list without items", "/services", text(`{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"7"}}`),
			`an object of kind "ServiceList" without items`},
		{"a list of another kind", "/services", text(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}`),
			`the answer is a "PodList" of "v1", not a ServiceList of v1`},
		{"a list of another version", "/endpointslices", text(`{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v2","metadata":{"resourceVersion":"7"},"items":[]}`),
			`the answer is a "EndpointSliceList" of "discovery.k8s.io/v2", not a EndpointSliceList of discovery.k8s.io/v1`},
		{"a Status with 200", "/services", status(200, "Failure", "etcdserver: leader changed"), "Status"},
		{"an expired token", "/endpointslices", status(401, "Unauthorized", "Unauthorized"), "401 Unauthorized: Unauthorized"},
		{"an API group that is not there", "/endpointslices", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "404 Not Found: 404 page not found"},
		{"too many requests", "/services", status(429, "TooManyRequests", "Too many requests, please try again later.", "Retry-After", "1"),
			"429 Too Many Requests: Too many requests, please try again later. (Retry-After: 1)"},
		{"storage that initializes", "/services", status(429, "TooManyRequests", "storage is (re)initializing", "Retry-After", "1"), "storage is (re)initializing"},
		{"etcd without a leader", "/services", status(500, "InternalError", "etcdserver: leader changed"), "500 Internal Server Error: etcdserver: leader changed"},
		{"a restarting server", "/endpointslices", status(503, "ServiceUnavailable", "apiserver is shutting down"), "503 Service Unavailable: apiserver is shutting down"},
		{"a slow server", "/endpointslices", status(504, "Timeout", "Too large resource version: 9, current: 7"), "504 Gateway Timeout: Too large resource version"},
		{"an object that is no object", "/endpointslices", text(`{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"7"},"items":["web"]}`),
			"cannot unmarshal string"},
		{"a page that is its own next", "/services", text(`{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"again"},"items":[]}`), "page 2: the page names itself as the next one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := cluster(shop()...)
			a.before = on(c.path, c.answer)
			answers, err := serve(t, a, Config{}).Poll(t.Context(), []Query{account}, true)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(answers) > 0 {
				t.Errorf("got %v, error %v; want an error with %q", answers, err, c.want)
			}
			if !strings.Contains(err.Error(), "list "+strings.TrimPrefix(c.path, "/")) || !strings.Contains(err.Error(), "in namespace shop") {
				t.Errorf("%q does not say what was asked", err)
			}
			if n := len(a.requests()); n > 3 {
				t.Errorf("%d requests: a source does not retry", n)
			}
		})
	}
}

// TestForbidden: a missing right is named by verb, resource and place, and takes
// nothing away.
func TestForbidden(t *testing.T) {
	for plural, want := range map[string]string{
		"endpointslices": `list endpointslices.discovery.k8s.io in namespace shop: 403 Forbidden: endpointslices.discovery.k8s.io is forbidden: User "nitrox" cannot list resource "endpointslices" in API group "discovery.k8s.io" in the namespace "shop"`,
		"services":       `list services in namespace shop: 403 Forbidden: services is forbidden: User "nitrox" cannot list resource "services" in API group "" in the namespace "shop"`,
		"nodes":          `list nodes: 403 Forbidden: nodes is forbidden: User "nitrox" cannot list resource "nodes" in API group "" at the cluster scope; and when trying the pods instead: list pods in namespace shop: 403 Forbidden: pods is forbidden`,
	} {
		t.Run(plural, func(t *testing.T) {
			a := cluster(shop()...)
			a.forbidden = func(p, _ string) bool { return p == plural || p == "pods" }
			answers, err := serve(t, a, Config{}).Poll(t.Context(), []Query{account}, true)
			if err == nil {
				err = answers[0].Doubt()
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, error %v; want %q", answers, err, want)
			}
			if errors.Is(err, sources.ErrAbsent) {
				t.Error("the app is not absent")
			}
		})
	}
}

// TestWithoutNodes: where the account may not list nodes, pods tell where they
// run.
func TestWithoutNodes(t *testing.T) {
	running := []manifest{aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.1", 9001), aRunning("shop/a3", "192.0.2.2", 9000),
		aRunning("shop/other", "192.0.2.9", 9000, label("tier", "back"))}
	for _, c := range []struct {
		name   string
		config Config
		query  Query
		break_ func(a *apiserver)
		want   string
	}{
		{"node ports", Config{}, account, func(*apiserver) {}, `
192.0.2.1:31080 x2 node n1, 2 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
		{"host ports", Config{}, Query{Service: "shop/account", Address: HostPort}, func(*apiserver) {}, `
192.0.2.1:9000 x0 pod a1 on node n1
192.0.2.1:9001 x0 pod a2 on node n1
192.0.2.2:9000 x0 pod a3 on node n2`},
		{"pods that are not ready", Config{}, Query{Service: "shop/account", Address: PodIP}, func(a *apiserver) {
			a.put(aSlice("shop/account", aPod("a4", "10.244.2.8", "n2").but(unready)))
		}, `
10.244.1.7:8080 x0 pod a1 on node n1
10.244.1.8:8080 x0 pod a2 on node n1
10.244.2.7:8080 x0 pod a3 on node n2
- pod a4: not ready`},
		{"addresses that pods do not know", Config{NodeAddress: []AddressType{ExternalIP}}, account, func(*apiserver) {}, `
! service shop/account: list nodes: 403 Forbidden: nodes is forbidden: User "nitrox" cannot list resource "nodes" in API group "" at the cluster scope (pods do not have what node_address and node_selector ask for)`},
		{"a node_selector, for host ports", Config{NodeSelector: "pool=edge"}, Query{Service: "shop/account", Address: HostPort}, func(a *apiserver) {
			a.drop("endpointslices", func(manifest) bool { return true })
			a.put(aSlice("shop/account", aPod("a1", "10.244.1.7", "n1")))
		}, `
! service shop/account: host port of pod a1: list nodes: 403 Forbidden: nodes is forbidden: User "nitrox" cannot list resource "nodes" in API group "" at the cluster scope`},
		{"nodes without pods", Config{}, Query{Service: "shop/account", Nodes: AllNodes}, func(a *apiserver) {
			a.drop("services", func(manifest) bool { return true })
			a.put(aService("shop/account"))
		}, `
! service shop/account: list nodes: 403 Forbidden: nodes is forbidden: User "nitrox" cannot list resource "nodes" in API group "" at the cluster scope`},
		{"a pod whose host is not known", Config{}, account, func(a *apiserver) {
			a.drop("pods", func(m manifest) bool { return m.meta()["name"] == "a3" })
			a.put(aRunning("shop/a3", "", 0, with("status.hostIPs", nil)))
		}, `
192.0.2.1:31080 x2 node n1, 2 pods
! service shop/account: node of pod a3: no IPv4 address`},
		{"a cluster that knows one address of a host", Config{}, account, func(a *apiserver) {
			a.drop("pods", func(m manifest) bool { return m.meta()["name"] == "a3" })
			a.put(aRunning("shop/a3", "192.0.2.2", 0).but(with("status.hostIPs", nil)))
		}, `
192.0.2.1:31080 x2 node n1, 2 pods
192.0.2.2:31080 x1 node n2, 1 pod`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := cluster(append(shop(), running...)...)
			a.drop("services", func(manifest) bool { return true })
			a.put(aService("shop/account", local))
			a.forbidden = func(plural, _ string) bool { return plural == "nodes" }
			c.break_(a)
			got := told(ask(t, serve(t, a, c.config), c.query))
			if want := strings.TrimPrefix(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestNodesFailAlone: what needs no nodes is answered without them.
func TestNodesFailAlone(t *testing.T) {
	a := cluster(append(shop(), aService("shop/cart"), aSlice("shop/cart", aPod("c1", "10.244.1.9", "n1"), aPod("c2", "10.244.1.10", "n1").but(unready)))...)
	a.before = on("/nodes", status(500, "InternalError", "etcdserver: request timed out"))
	queries := []Query{account, {Service: "shop/account", Address: PodIP}, {Service: "shop/cart", Address: PodIP}, {Service: "shop/account", Address: HostPort}}
	answers, err := serve(t, a, Config{}).Poll(t.Context(), queries, false)
	if err != nil {
		t.Fatal(err)
	}
	if answers[0].Doubt() == nil || answers[3].Doubt() == nil {
		t.Errorf("addresses of nodes that could not be read: %+v and %+v, want doubts", answers[0], answers[3])
	}
	if answers[1].Doubt() != nil || len(answers[1].Endpoints) != 3 {
		t.Errorf("pods that are all ready: %+v, want 3 endpoints without a doubt", answers[1])
	}
	if answers[2].Doubt() == nil || len(answers[2].Endpoints) != 1 {
		t.Errorf("a pod that is perhaps only out of sight: %+v, want 1 endpoint and a doubt", answers[2])
	}
}

// TestPaging: all pages are one list, and a page that fails fails it.
func TestPaging(t *testing.T) {
	many := []manifest{aService("shop/account")}
	for i := range 9 {
		many = append(many, aSlice("shop/account", aPod(fmt.Sprintf("p%d", i), fmt.Sprintf("10.244.%d.1", i), fmt.Sprintf("n%d", i))),
			aNode(fmt.Sprintf("n%d", i), fmt.Sprintf("192.0.2.%d", i)))
	}
	t.Run("all are read", func(t *testing.T) {
		a := cluster(many...)
		a.pageSize = 2
		answer := ask(t, serve(t, a, Config{}), account)
		if len(answer.Endpoints) != 9 || answer.Doubt() != nil {
			t.Errorf("got %s, want 9 endpoints", told(answer))
		}
	})
	for name, c := range map[string]struct {
		change func(a *apiserver, w http.ResponseWriter) bool
		want   string
	}{
		"a token expires": {func(a *apiserver, _ http.ResponseWriter) bool { a.expire(); return false },
			"list endpointslices.discovery.k8s.io in namespace shop, page 3: 410 Gone: The provided continue parameter is too old"},
		"a page fails": {func(_ *apiserver, w http.ResponseWriter) bool { refuse(w, 500, "InternalError", "boom"); return true }, "page 3: 500"},
		"a page is of another version": {func(_ *apiserver, w http.ResponseWriter) bool {
			json.NewEncoder(w).Encode(manifest{"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": manifest{"resourceVersion": "1"}, "items": nil})
			return true
		}, "page 3: the pages have different resource versions, 9149 and 1"},
	} {
		t.Run(name, func(t *testing.T) {
			a := cluster(many...)
			a.pageSize = 2
			pages := 0
			a.before = func(w http.ResponseWriter, r *http.Request) bool {
				if pages++; pages == 3 {
					return c.change(a, w)
				}
				return false
			}
			answers, err := serve(t, a, Config{}).Poll(t.Context(), []Query{account}, true)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(answers) > 0 {
				t.Errorf("got %v, error %v; want the error %q alone", answers, err, c.want)
			}
			if pages != 3 {
				t.Errorf("%d requests, want 3: nothing is retried or read on", pages)
			}
		})
	}
}

// TestNamespaces: with several namespaces the lists are cluster-wide where that
// is allowed, and else of each namespace.
func TestNamespaces(t *testing.T) {
	objects := []manifest{
		aService("shop/account"), aSlice("shop/account", aPod("a1", "10.244.1.7", "n1")),
		aService("dmz/account"), aSlice("dmz/account", aPod("b1", "10.244.2.7", "n2")),
		aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"),
	}
	queries := []Query{{Service: "shop/account"}, {Service: "dmz/account"}}
	wide := []string{"/apis/discovery.k8s.io/v1/endpointslices?limit=500&labelSelector=kubernetes.io/service-name+in+(account)", "/api/v1/services?limit=100", "/api/v1/nodes?limit=20"}
	poll := func(t *testing.T, s *Source) (a, b string) {
		t.Helper()
		answers, err := s.Poll(t.Context(), queries, false)
		if err != nil {
			t.Fatal(err)
		}
		return told(answers[0]), told(answers[1])
	}
	const first, second = "192.0.2.1:31080 x1 node n1, 1 pod", "192.0.2.2:31080 x1 node n2, 1 pod"

	t.Run("cluster-wide", func(t *testing.T) {
		api := cluster(objects...)
		if a, b := poll(t, serve(t, api, Config{})); a != first || b != second {
			t.Errorf("got %q and %q", a, b)
		}
		if asked := api.requests(); !slices.Equal(asked, wide) {
			t.Errorf("asked %q, want %q", asked, wide)
		}
	})
	t.Run("each by itself", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := cluster(objects...)
			api.forbidden = func(plural, namespace string) bool { return namespace == "" && plural != "nodes" }
			s := inProcess(t, api, Config{})
			for pass, want := range []int{6, 5, 5} { // the first finds out
				if a, b := poll(t, s); a != first || b != second {
					t.Errorf("pass %d: got %q and %q", pass, a, b)
				}
				if asked := api.requests(); len(asked) != want {
					t.Errorf("pass %d: %d requests %q, want %d", pass, len(asked), asked, want)
				}
			}
			time.Sleep(remember + time.Second)
			api.forbidden = nil // rights were given meanwhile
			poll(t, s)
			if asked := api.requests(); !slices.Equal(asked, wide) {
				t.Errorf("after a while: asked %q, want %q", asked, wide)
			}
		})
	})
	t.Run("one of them forbidden", func(t *testing.T) {
		api := cluster(objects...)
		api.forbidden = func(plural, namespace string) bool { return namespace != "dmz" && plural != "nodes" }
		a, b := poll(t, serve(t, api, Config{}))
		if !strings.Contains(a, `! list endpointslices.discovery.k8s.io in namespace shop: 403`) || b != second {
			t.Errorf("got %q and %q, want a doubt and %q", a, b, second)
		}
	})
	t.Run("the server in trouble", func(t *testing.T) {
		api := cluster(objects...)
		api.before = on("/services", status(500, "InternalError", "etcdserver: no leader"))
		if answers, err := serve(t, api, Config{}).Poll(t.Context(), queries, false); err == nil || len(answers) > 0 {
			t.Errorf("got %v, error %v, want an error", answers, err)
		}
		if asked := api.requests(); len(asked) != 2 {
			t.Errorf("asked %q: only missing rights are a reason to ask for each namespace", asked)
		}
	})
}

// inProcess opens a source whose API server is a function call away, so that its
// clock can be a fake one.
func inProcess(t *testing.T, a *apiserver, c Config) *Source {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	s.cluster.Transport = transport(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		r.RequestURI = r.URL.RequestURI()
		a.ServeHTTP(w, r)
		return w.Result(), r.Context().Err()
	})
	return s
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestLargeClusters: nodes that fill more than a page are not all read by each
// pass, and yet each pass knows those that it needs.
func TestLargeClusters(t *testing.T) {
	sourcetest.Thorough(t)
	const size = 2200 // five pages
	name := func(i int) string { return fmt.Sprintf("n%04d", i) }
	address := func(i int) string { return fmt.Sprintf("192.0.%d.%d", i/200, i%200+1) }
	// big has an app on the nodes from the end down.
	big := func(running int) *apiserver {
		objects := []manifest{aService("shop/account")}
		var endpoints []manifest
		for i := range size {
			objects = append(objects, aNode(name(i), address(i)))
			if i >= size-running {
				endpoints = append(endpoints, aPod("p"+name(i), fmt.Sprintf("10.244.%d.%d", i/200, i%200), name(i)))
			}
		}
		return cluster(append(objects, aSlice("shop/account", endpoints...))...)
	}
	poll := func(t *testing.T, api *apiserver, s *Source, q Query, fresh bool, wantEndpoints, wantNodeRequests int) {
		t.Helper()
		answers, err := s.Poll(t.Context(), []Query{q}, fresh)
		if err != nil {
			t.Fatal(err)
		}
		if a := answers[0]; a.Doubt() != nil || len(a.Endpoints) != wantEndpoints {
			t.Errorf("%d endpoints, doubt %v; want %d", len(a.Endpoints), a.Doubt(), wantEndpoints)
		}
		asked := slices.DeleteFunc(api.requests(), func(r string) bool { return !strings.HasPrefix(r, "/api/v1/nodes") })
		if len(asked) != wantNodeRequests {
			t.Errorf("asked for nodes %d times (%q), want %d", len(asked), asked, wantNodeRequests)
		}
	}
	t.Run("a few nodes matter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := big(3)
			s := inProcess(t, api, Config{})
			poll(t, api, s, account, false, 3, 1+3) // a page tells that it is large
			poll(t, api, s, account, false, 3, 3)
			poll(t, api, s, account, true, 3, 3)
			api.drop("nodes", func(m manifest) bool { return m.meta()["name"] == name(size-1) })
			poll(t, api, s, account, false, 2, 3)
		})
	})
	t.Run("many do", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := big(100)
			s := inProcess(t, api, Config{})
			poll(t, api, s, account, false, 100, 1+1) // a page that would be enough of a small one, and a list by label
			poll(t, api, s, account, false, 100, 1)
			api.drop("nodes", func(m manifest) bool { return m.meta()["name"] == name(size-1) })
			poll(t, api, s, account, true, 99, 1+1) // that it is gone only its name can tell
		})
	})
	t.Run("many do, whose labels do not tell", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := big(100)
			for _, o := range api.objects["nodes"] {
				o.but(label(hostname, "host-of-"+o.meta()["name"].(string)))
			}
			s := inProcess(t, api, Config{})
			poll(t, api, s, account, false, 100, 1+1+100)
			poll(t, api, s, account, false, 100, 100) // which is remembered
			time.Sleep(remember + time.Second)
			poll(t, api, s, account, false, 100, 1+1+100)
		})
	})
	t.Run("many do, whose labels are those of others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := big(100)
			for i, o := range api.objects["nodes"] {
				o.but(label(hostname, name((i+1)%size)))
			}
			api.objects["nodes"][size-50].but(label(hostname, name(size-60))) // two have one
			s := inProcess(t, api, Config{})
			poll(t, api, s, account, false, 100, 1+1+1) // the last is not among those that are found
			answer := ask(t, s, account)
			for i := size - 100; i < size; i++ {
				if want := address(i) + ":31080 x1 node " + name(i) + ", 1 pod"; !strings.Contains(told(answer), want) {
					t.Errorf("no %s", want)
				}
			}
		})
	})
	t.Run("more than a page do", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := big(700)
			poll(t, api, inProcess(t, api, Config{}), account, false, 700, 3) // one of 666 names, in two pages, and one of the others
			if api.sent["nodes"] != 700 {
				t.Errorf("%d nodes were sent, want the 700", api.sent["nodes"])
			}
			for _, o := range api.objects["nodes"] {
				o.but(label(hostname, ""))
			}
			poll(t, api, inProcess(t, api, Config{}), account, false, 700, 1+5)
		})
	})
	t.Run("most do", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := big(400)
			api.drop("nodes", func(m manifest) bool { // 520 are left
				n := m.meta()["name"].(string)
				return n >= name(120) && n < name(size-400)
			})
			s := inProcess(t, api, Config{})
			poll(t, api, s, account, false, 400, 2)
			poll(t, api, s, account, true, 400, 1)
		})
	})
	t.Run("all do", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			api := big(3)
			s := inProcess(t, api, Config{})
			all := Query{Service: "shop/account", Nodes: AllNodes}
			poll(t, api, s, all, false, size, 5)
			poll(t, api, s, all, false, size, 0)
			api.change(aSlice("shop/account", aPod("p1", "10.244.0.1", name(1)), aPod("p2", "10.244.0.2", name(2)).but(unready), aPod("p3", "10.244.0.3", "new")))
			api.put(aNode("new", "192.0.99.1"))
			poll(t, api, s, all, false, size+1, 2) // one that joined, and one that may have gone silent
			api.drop("nodes", func(m manifest) bool { return m.meta()["name"] == "new" })
			time.Sleep(keepNodes + time.Second)
			poll(t, api, s, all, false, size, 5)
		})
	})
	t.Run("a node cannot be read", func(t *testing.T) {
		api := big(3)
		api.before = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.RawQuery, name(size-1)) || r.URL.Path != "/api/v1/nodes" {
				return false
			}
			refuse(w, 500, "InternalError", "etcdserver: request timed out")
			return true
		}
		a := ask(t, serve(t, api, Config{}), account)
		if a.Doubt() == nil || !strings.Contains(a.Doubt().Error(), "list nodes: 500") {
			t.Errorf("got %s, want a doubt", told(a))
		}
	})
}

// TestOnlyWhatIsNeeded: a list that no answer depends on is not read.
func TestOnlyWhatIsNeeded(t *testing.T) {
	api := cluster(append(shop(),
		aService("shop/balanced", with("spec.type", "LoadBalancer"), with("status.loadBalancer.ingress", []manifest{{"ip": "203.0.113.7"}})),
		aService("shop/idle"), aSlice("shop/idle"),
		aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.1", 9001), aRunning("shop/a3", "192.0.2.2", 9000))...)
	s := serve(t, api, Config{})
	for _, c := range []struct {
		queries []Query
		want    string
	}{
		{[]Query{{Service: "shop/balanced", Address: LoadBalancer}}, "services"},
		{[]Query{{Service: "shop/account", Address: PodIP}}, "endpointslices services"},
		{[]Query{{Service: "shop/idle"}}, "endpointslices services"},
		{[]Query{{Service: "shop/account"}, {Service: "shop/idle"}, {Service: "shop/account", Nodes: AllNodes}}, "endpointslices services nodes"},
		{[]Query{{Service: "shop/account", Address: HostPort}, {Service: "shop/account", Port: "http", Address: HostPort}}, "endpointslices services nodes pods"},
	} {
		answers, err := s.Poll(t.Context(), c.queries, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if a.Doubt() != nil {
				t.Errorf("%v: %v", c.queries, a.Doubt())
			}
		}
		var asked []string
		for _, r := range api.requests() {
			path, _, _ := strings.Cut(r, "?")
			asked = append(asked, path[strings.LastIndex(path, "/")+1:])
		}
		if got := strings.Join(asked, " "); got != c.want {
			t.Errorf("%v: asked for %s, want %s", c.queries, got, c.want)
		}
	}
}

// TestManyNames: a URL stays short enough for proxies, however many services
// there are.
func TestManyNames(t *testing.T) {
	var objects []manifest
	var queries []Query
	for i := range 400 {
		name := fmt.Sprintf("shop/account-service-%03d", i)
		objects = append(objects, aService(name), aSlice(name, aPod(fmt.Sprintf("p%d", i), fmt.Sprintf("10.244.%d.%d", i/200, i%200), "n1")))
		queries = append(queries, Query{Service: name})
	}
	api := cluster(append(objects, aNode("n1", "192.0.2.1"))...)
	answers, err := serve(t, api, Config{}).Poll(t.Context(), queries, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if len(a.Endpoints) != 1 || a.Doubt() != nil {
			t.Fatalf("%v: %s", queries[i], told(a))
		}
	}
	asked := api.requests()
	if len(asked) != 2+1+1 {
		t.Errorf("%d requests, want 2 for slices, 1 for services, 1 for nodes", len(asked))
	}
	for _, r := range asked {
		if len(r) > maxSelector+200 {
			t.Errorf("a request line of %d bytes", len(r))
		}
	}
}

// TestOneServiceHarmsOnlyItself: what cannot be read is the doubt of its app.
func TestOneServiceHarmsOnlyItself(t *testing.T) {
	api := cluster(append(shop(), aService("shop/odd", with("spec.selector", []string{"app"})), aService("shop/cart"),
		aSlice("shop/cart", aPod("c1", "10.244.1.9", "n1")).but(with("endpoints", 3)))...)
	answers, err := serve(t, api, Config{}).Poll(t.Context(), []Query{account, {Service: "shop/odd"}, {Service: "shop/cart"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"192.0.2.1:31080 x1 node n1, 2 pods\n192.0.2.2:31080 x1 node n2, 1 pod",
		"! service shop/odd: the answer cannot be read: unexpected array at spec.selector",
		"! service shop/cart: the answer cannot be read: EndpointSlice account-1: unexpected number at endpoints",
	} {
		if got := strings.ReplaceAll(told(answers[i]), "cart-1", "account-1"); got != want {
			t.Errorf("answer %d:\n%s\nwant\n%s", i, got, want)
		}
	}
}

// TestANameThatNoNodeCanHave is of a slice that somebody wrote: it must not become a
// part of what others ask.
func TestANameThatNoNodeCanHave(t *testing.T) {
	objects := shop()
	for i, name := range []string{"n2,metadata.name!=n1", "n1),pool in (edge", "N1", "n 1", strings.Repeat("n", 254)} {
		service := fmt.Sprintf("shop/odd-%d", i)
		objects = append(objects, aService(service), aSlice(service, aPod("x", "10.244.1.9", name)))
	}
	queries := []Query{account}
	for i := range 5 {
		queries = append(queries, Query{Service: fmt.Sprintf("shop/odd-%d", i)})
	}
	s := serve(t, cluster(objects...), Config{})
	s.client = mustConnect(t, s)
	s.client.setTotal(nodes, "", 5000)
	answers, err := s.Poll(t.Context(), queries, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := told(answers[0]); got != "192.0.2.1:31080 x1 node n1, 2 pods\n192.0.2.2:31080 x1 node n2, 1 pod" {
		t.Errorf("got\n%s", got)
	}
	for _, answer := range answers[1:] {
		if got := told(answer); !strings.Contains(got, ": gone") || !strings.Contains(got, "! ") {
			t.Errorf("got\n%s", got)
		}
	}
}

// TestTooLarge: an answer without end is given up, and said to be one.
func TestTooLarge(t *testing.T) {
	api := cluster(shop()...)
	s := serve(t, api, Config{})
	s.maxBody = 1 << 20
	api.before = on("/services", text(`{"items": [`+strings.Repeat(`{"metadata": {"name": "a"}}, `, 1<<16)))
	if answers, err := s.Poll(t.Context(), []Query{account}, true); !errors.Is(err, bounds.ErrTooLarge) ||
		!strings.Contains(err.Error(), "list services in namespace shop: the answer is too large: it has more than 1 MiB") {
		t.Errorf("got %v, error %v", answers, err)
	}
}

// TestEndOfContext: a poll does not outlive its context.
func TestEndOfContext(t *testing.T) {
	api := cluster(shop()...)
	ctx, cancel := context.WithCancel(t.Context())
	api.before = on("/nodes", func(http.ResponseWriter, *http.Request) { cancel() })
	if answers, err := serve(t, api, Config{}).Poll(ctx, []Query{account}, true); !errors.Is(err, context.Canceled) || len(answers) > 0 {
		t.Errorf("got %v, error %v; want the context's alone", answers, err)
	}
}

// slow is an answer that does not come, and takes a while to notice that nobody
// waits for it any more.
type slow struct {
	ctx    context.Context
	closed bool
}

func (s *slow) Read([]byte) (int, error) {
	<-s.ctx.Done()
	time.Sleep(time.Second)
	return 0, s.ctx.Err()
}

func (s *slow) Close() error {
	s.closed = true
	return nil
}

// TestNoRequestOutlivesItsPoll: what is still being read when a poll has ended takes
// memory beside the next.
func TestNoRequestOutlivesItsPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := inProcess(t, cluster(shop()...), Config{})
		var body *slow
		s.cluster.Transport = transport(func(r *http.Request) (*http.Response, error) {
			body = &slow{ctx: r.Context()}
			return &http.Response{StatusCode: 200, Body: body, Request: r}, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Poll(ctx, []Query{account}, true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if !body.closed {
			t.Error("the poll has returned, and its request goes on")
		}
	})
}
