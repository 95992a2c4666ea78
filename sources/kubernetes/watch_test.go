package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/sources"
	"nitrox/sources/sourcetest"
)

func opened(t *testing.T, url string) sources.Opened {
	t.Helper()
	s, err := sources.Define("kubernetes", Open).Open(Config{Kubeconfig: kubeconfig(t, url)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func happened(kind string, object any) string {
	b, err := json.Marshal(manifest{"type": kind, "object": object})
	if err != nil {
		panic(err)
	}
	return string(b) + "\n"
}

// moved is the slice of shop with a pod at another address.
func moved(host int) manifest {
	return aSlice("shop/account", aPod("a1", fmt.Sprintf("10.244.1.%d", host), "n1"), aPod("a2", "10.244.1.8", "n1"), aPod("a3", "10.244.2.7", "n2"))
}

func TestWatch(t *testing.T) {
	a := cluster(shop()...)
	replicas, events := 0, atomic.Int64{}
	about := func(r *http.Request) string { return r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:] }
	sourcetest.Watch(t, sourcetest.Stream{
		Open: opened, Query: Query{Service: "shop/account"}, Handler: a, Streams: 3, Type: "application/json",
		Change: func() {
			replicas++
			a.change(moved(50 + replicas))
		},
		IsStream: func(r *http.Request) bool { return r.URL.Query().Has("watch") },
		Event: func(r *http.Request, size int) string {
			note := with("metadata.annotations", manifest{"note": strings.Repeat("x", size)})
			switch about(r) {
			case "endpointslices":
				return happened("MODIFIED", aSlice("shop/account").but(note))
			case "services":
				return happened("DELETED", aService("shop/account").but(note))
			}
			return happened("ADDED", aNode("n9", "192.0.2.9", label(zoneLabel, strconv.Itoa(int(events.Add(1))))).but(note))
		},
		Quiet: func(r *http.Request) []string {
			others := []manifest{aSlice("shop/cart"), aSlice("other/account")}
			if about(r) == "services" {
				others = []manifest{aService("shop/cart"), aService("other/account")}
			}
			if about(r) == "nodes" { // as they were, but for what changes all the time
				others = []manifest{aNode("n1", "192.0.2.1").but(with("status.images", []string{"web:1"})),
					aNode("n2", "192.0.2.2").but(with("metadata.resourceVersion", "9999"), with("metadata.annotations", manifest{"seen": "now"}))}
			}
			quiet := []string{"\n", happened("BOOKMARK", manifest{"kind": "Service", "metadata": manifest{"resourceVersion": "12746"}})}
			for _, o := range others {
				quiet = append(quiet, happened("MODIFIED", o))
			}
			return quiet
		},
		Unknown: func(*http.Request) []string {
			return []string{happened("RENAMED", manifest{}), happened("MODIFIED", "an object"), happened("MODIFIED", nil), happened("ADDED", manifest{"metadata": 7}), "{}\n", "null\n", `{"type": 7}` + "\n"}
		},
	})
}

// watches runs a watch until it ends or stop is called, and counts its hints.
type watches struct {
	hints chan []int
	ended chan error
	stop  context.CancelFunc
}

func watching(t *testing.T, s sources.Opened, services ...string) *watches {
	t.Helper()
	var queries []any
	for _, name := range services {
		queries = append(queries, Query{Service: name})
	}
	return watchingFor(t, s, queries...)
}

func watchingFor(t *testing.T, s sources.Opened, queries ...any) *watches {
	t.Helper()
	w := &watches{hints: make(chan []int, 100), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	w.stop = cancel
	t.Cleanup(cancel)
	go func() { w.ended <- s.Watch(ctx, queries, func(which []int) { w.hints <- which }) }()
	return w
}

func (w *watches) hinted(t *testing.T, what string) (which []int) {
	t.Helper()
	select {
	case which = <-w.hints:
	case err := <-w.ended:
		t.Fatalf("%s: the watch has ended: %v", what, err)
	case <-time.After(time.Minute):
		t.Fatalf("%s: no hint", what)
	}
	return which
}

func (w *watches) error(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the watch does not end")
		return nil
	}
}

func serving(t *testing.T, a *apiserver) string {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return server.URL
}

// TestANodeWakesUsOnlyWhenItMatters: kubelets report every few minutes at the
// least, on each of thousands of nodes.
func TestANodeWakesUsOnlyWhenItMatters(t *testing.T) {
	a := cluster(shop()...)
	s := opened(t, serving(t, a))
	w := watchingFor(t, s, Query{Service: "shop/account", NodeSelector: "pool!=edge"})
	w.hinted(t, "connected")
	for _, c := range []struct {
		what string
		node option
	}{
		{"a taint", with("spec.taints", []manifest{{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}})},
		{"no taint any more", with("metadata.uid", "1")},
		{"a label", label("pool", "edge")},
		{"another address", with("status.addresses", []manifest{{"type": "InternalIP", "address": "192.0.2.17"}})},
		{"not ready", nodeReady("Unknown")},
		{"being deleted", with("metadata.deletionTimestamp", "2026-11-21T22:00:00Z")},
	} {
		a.change(aNode("n1", "192.0.2.1", c.node))
		w.hinted(t, c.what)
		a.change(aNode("n1", "192.0.2.1", c.node, with("status.images", []string{"another"})))
		a.change(aNode("n1", "192.0.2.1", label("team", c.what), taint("node.kubernetes.io/memory-pressure", "NoSchedule"), with("spec.unschedulable", true), c.node))
	}
	a.drop("nodes", func(o manifest) bool { return o.meta()["name"] == "n1" })
	w.hinted(t, "a node that is gone")
	a.put(aNode("n1", "192.0.2.1"))
	w.hinted(t, "a node that has come")
	w.stop()
	if err := w.error(t); !errors.Is(err, context.Canceled) || len(w.hints) > 0 {
		t.Errorf("%v, and %d hints too many", err, len(w.hints))
	}
}

// TestWhatHappensBeforeTheStreamIsToldOnIt: the stream begins where the version
// was asked for, not where it connects.
func TestWhatHappensBeforeTheStreamIsToldOnIt(t *testing.T) {
	a := cluster(shop()...)
	done := false
	a.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("watch") && strings.HasSuffix(r.URL.Path, "/endpointslices") && !done {
			done = true
			a.change(moved(77))
		}
		return false
	}
	s := opened(t, serving(t, a))
	w := watching(t, s, "shop/account")
	w.hinted(t, "connected, or the change")
	a.change(aService("shop/account", with("spec.type", "LoadBalancer")))
	w.hinted(t, "another change")
}

func TestAWatchThatIsTooOldEndsWithAnError(t *testing.T) {
	a := cluster(shop()...)
	a.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("watch") {
			a.compact()
		}
		return false
	}
	s := opened(t, serving(t, a))
	err := watching(t, s, "shop/account").error(t)
	if err == nil || !strings.Contains(err.Error(), "the server ended it: 410 Gone: too old resource version") {
		t.Errorf("error %v", err)
	}
}

func TestAMissingRightToWatchIsNamed(t *testing.T) {
	for _, plural := range []string{"endpointslices", "services", "nodes"} {
		a := cluster(shop()...)
		a.watchable = func(p, _ string) bool { return p != plural }
		s := opened(t, serving(t, a))
		err := watching(t, s, "shop/account").error(t)
		for _, want := range []string{"watch " + plural, "403 Forbidden: " + plural + " is forbidden: User \"nitrox\" cannot watch resource", "the account needs the verb watch"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q in it", plural, err, want)
			}
		}
	}
}

// TestWhoMustNotListNodesWatchesWithoutThem, as polls do without them.
func TestWhoMustNotListNodesWatchesWithoutThem(t *testing.T) {
	a := cluster(shop()...)
	a.forbidden = func(plural, _ string) bool { return plural == "nodes" }
	s := opened(t, serving(t, a))
	w := watching(t, s, "shop/account")
	w.hinted(t, "connected")
	a.change(moved(77))
	w.hinted(t, "a change")
	for _, r := range a.requests() {
		if strings.Contains(r, "nodes?watch") {
			t.Error(r)
		}
	}
}

// TestNamespacesAreWatchedOneByOneWhereThatIsAllThatIsAllowed and cluster-wide
// where they may be.
func TestNamespacesAreWatchedOneByOneWhereThatIsAllThatIsAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		forbidden func(plural, namespace string) bool
		streams   []string
	}{
		"all":   {nil, []string{"/api/v1/nodes", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"}},
		"a few": {func(plural, namespace string) bool { return plural != "nodes" && namespace == "" }, []string{"/api/v1/namespaces/lab/services", "/api/v1/namespaces/shop/services", "/api/v1/nodes", "/apis/discovery.k8s.io/v1/namespaces/lab/endpointslices", "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := cluster(append(shop(), aService("lab/web"), aSlice("lab/web", aPod("w1", "10.244.1.9", "n1")))...)
			a.forbidden = c.forbidden
			s := opened(t, serving(t, a))
			w := watching(t, s, "shop/account", "lab/web")
			w.hinted(t, "connected")
			a.change(aSlice("lab/web", aPod("w1", "10.244.1.77", "n1")))
			w.hinted(t, "a change in one")
			a.change(moved(77))
			w.hinted(t, "a change in another")
			var streams []string
			for _, r := range a.requests() {
				if path, parameters, _ := strings.Cut(r, "?"); strings.HasPrefix(parameters, "watch=1") {
					streams = append(streams, path)
				}
			}
			if slices.Sort(streams); !slices.Equal(streams, c.streams) {
				t.Errorf("streams %v, want %v", streams, c.streams)
			}
		})
	}
}
