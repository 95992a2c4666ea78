package kubernetes

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"testing/synctest"

	"strings"
	"testing"

	"time"

	"nitrox/sources"
	"nitrox/sources/sourcetest"
)

// duo are two services: account on n1 and n2, cart on n2 and n3.
func duo() []manifest {
	return append(shop(), aService("shop/cart"), aSlice("shop/cart", aPod("c1", "10.244.2.9", "n2"), aPod("c2", "10.244.3.9", "n3")))
}

var both = []any{Query{Service: "shop/account"}, Query{Service: "shop/cart"}}

// nodesAsked polls, and returns the answers and what was asked of nodes.
func nodesAsked(t *testing.T, a *apiserver, s sources.Opened, fresh bool, queries ...any) (text string, asked []string) {
	t.Helper()
	a.requests()
	answers, err := s.Poll(t.Context(), queries, fresh)
	if err != nil {
		t.Fatal(err)
	}
	for _, answer := range answers {
		text += told(answer) + "\n"
	}
	for _, r := range a.requests() {
		if path, parameters, _ := strings.Cut(r, "?"); strings.HasSuffix(path, "/nodes") && !strings.HasPrefix(parameters, "watch") {
			asked = append(asked, parameters)
		}
	}
	return text, asked
}

// TestNodesThatAreWatchedAreNotRead, unless that is the point of the poll, or
// the watch proves nothing.
func TestNodesThatAreWatchedAreNotRead(t *testing.T) {
	const cart = "192.0.2.2:31080 x1 node n2, 1 pod\n192.0.2.3:31080 x1 node n3, 1 pod\n"
	a := cluster(duo()...)
	s := opened(t, serving(t, a))
	w := watchingFor(t, s, both...)
	w.hinted(t, "connected")
	expect := func(what string, want string, requests int, fresh bool, queries ...any) {
		t.Helper()
		if got, asked := nodesAsked(t, a, s, fresh, queries...); got != want || len(asked) != requests {
			t.Errorf("%s: asked %q, want %d requests; got\n%swant\n%s", what, asked, requests, got, want)
		}
	}
	all := told(ask(t, serve(t, cluster(shop()...), Config{}), account)) + "\n" + cart
	expect("all, after the hint of the connection", all, 0, false, both...)
	a.change(aService("shop/cart"))
	w.hinted(t, "a service")
	expect("one, after an event", cart, 0, false, both[1])
	expect("one, of its own accord", cart, 1, false, both[1])
	expect("one, afresh", cart, 1, true, both[1])
	expect("all, of its own accord", all, 1, false, both...)

	a.change(aNode("n3", "192.0.2.33"))
	w.hinted(t, "another address")
	moved := strings.Replace(cart, "192.0.2.3:", "192.0.2.33:", 1)
	expect("one of which a node has changed", moved, 0, false, both[1])
	a.change(aNode("n3", "192.0.2.3"))
	w.hinted(t, "the address that it had")
	expect("all, after an event of one", all, 1, false, both...)
	a.change(aNode("n2", "192.0.2.22"))
	w.hinted(t, "another address of a node that both are on")
	a.change(aNode("n2", "192.0.2.2"))
	w.hinted(t, "the address that it had")
	expect("all, after an event of both", all, 0, false, both...)

	// A pod that is not ready may be so because its node has just gone silent.
	a.change(aSlice("shop/cart", aPod("c1", "10.244.2.9", "n2").but(unready), aPod("c2", "10.244.3.9", "n3")))
	w.hinted(t, "not ready")
	expect("a pod that is not ready", "192.0.2.3:31080 x1 node n3, 1 pod\n- pod c1: not ready\n", 1, false, both[1])
	a.put(aNode("n4", "192.0.2.4")) // of which nothing is told: what follows it in its stream is
	a.change(aNode("n3", "192.0.2.33"))
	w.hinted(t, "another address, once more")
	a.change(aNode("n3", "192.0.2.3"))
	w.hinted(t, "the address that it had, once more")
	a.change(aSlice("shop/cart", aPod("c1", "10.244.2.9", "n4"), aPod("c2", "10.244.3.9", "n3")))
	w.hinted(t, "a node that has come")
	expect("a pod on it", "192.0.2.3:31080 x1 node n3, 1 pod\n192.0.2.4:31080 x1 node n4, 1 pod\n", 0, false, both[1])

	w.stop()
	w.error(t)
	expect("one, without a watch", "192.0.2.3:31080 x1 node n3, 1 pod\n192.0.2.4:31080 x1 node n4, 1 pod\n", 1, false, both[1])
}

// A watch of more queries, which begins while another is up, does not read all nodes
// again: a new label would cost as much as the cluster is large.
func TestAWatchOfOtherQueriesKnowsTheNodes(t *testing.T) {
	t.Parallel()
	a := cluster(duo()...)
	s := opened(t, serving(t, a))
	lists := func() (n int) {
		for _, r := range a.requests() {
			if strings.Contains(r, "/nodes?") && !strings.Contains(r, "watch=1") {
				n++
			}
		}
		return n
	}
	before := watchingFor(t, s, both[1])
	before.hinted(t, "connected")
	nodesAsked(t, a, s, false, both[1])
	a.change(aNode("n3", "192.0.2.33"))
	before.hinted(t, "another address")
	lists()
	after := watchingFor(t, s, both...)
	after.hinted(t, "connected")
	if n := lists(); n > 0 {
		t.Errorf("nodes are listed %d times", n)
	}
	before.stop()
	before.error(t)
	a.change(aNode("n2", "192.0.2.22"))
	after.hinted(t, "an address after the other has ended")
	const want = "192.0.2.22:31080 x1 node n2, 1 pod\n192.0.2.33:31080 x1 node n3, 1 pod\n"
	if got, asked := nodesAsked(t, a, s, false, both[1]); got != want || len(asked) > 0 {
		t.Errorf("asked %q; got\n%swant\n%s", asked, got, want)
	}
	after.stop()
	after.error(t)
	if n := lists(); n > 0 {
		t.Errorf("nodes are listed %d times", n)
	}
	last := watchingFor(t, s, both...)
	last.hinted(t, "connected")
	if n := lists(); n != 1 {
		t.Errorf("when none is up, nodes are listed %d times", n)
	}
}

// scripted takes the place of the stream about nodes: what is sent to it comes on
// that.
func scripted(a *apiserver) chan<- string {
	script := make(chan string)
	a.before = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/nodes") || !r.URL.Query().Has("watch") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		for {
			http.NewResponseController(w).Flush()
			select {
			case text, more := <-script:
				if !more {
					return true
				}
				if _, err := io.WriteString(w, text); err != nil {
					return true
				}
			case <-r.Context().Done():
				return true
			}
		}
	}
	return script
}

// openedAs is a source that was opened, as others see it.
func openedAs(t *testing.T, s *Source) sources.Opened {
	t.Helper()
	o, err := sources.Define("kubernetes", func(Config) (*Source, error) { return s, nil }).Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// reaches waits until the stream about nodes has told up to a version.
func reaches(t *testing.T, s *Source, version uint64) {
	t.Helper()
	known := s.client.watched.Load()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		known.mu.Lock()
		come := known.version
		known.mu.Unlock()
		if come == version {
			return
		}
	}
	t.Fatalf("the stream does not reach version %d", version)
}

// hinted makes the next poll of a service that of an event.
func hinted(s *Source, services ...any) {
	for _, q := range services {
		s.client.watched.Load().hint([]Query{q.(Query)}, nil)
	}
}

func version(v any) option { return with("metadata.resourceVersion", v) }

// TestAWatchThatProvesNothing: after events that cannot be all that happened, or
// not in this order, nodes are read as if there were no watch.
func TestAWatchThatProvesNothing(t *testing.T) {
	t.Parallel()
	n3 := func(options ...option) manifest { return aNode("n3", "192.0.2.3", options...) }
	for name, c := range map[string]struct {
		event string
		reads int
	}{
		"a change":                       {happened("MODIFIED", n3(version("99990"))), 0},
		"a bookmark":                     {happened("BOOKMARK", manifest{"kind": "Node", "metadata": manifest{"resourceVersion": "99990"}}), 0},
		"an unknown event":               {happened("RENAMED", n3(version("99990"))), 1},
		"no event":                       {"{}\n", 1},
		"an object that is none":         {happened("MODIFIED", "an object"), 1},
		"no object":                      {happened("MODIFIED", nil), 1},
		"an object of other types":       {happened("MODIFIED", n3(version("99990"), with("status.addresses", "192.0.2.3"))), 1},
		"a half object":                  {happened("MODIFIED", manifest{"kind": "Node", "metadata": manifest{"name": "n3"}}), 1},
		"an object of another kind":      {happened("DELETED", manifest{"kind": "Pod", "metadata": manifest{"name": "n3", "resourceVersion": "99990"}}), 1},
		"a version from before the list": {happened("MODIFIED", n3(version("7"))), 1},
		"a version twice":                {strings.Repeat(happened("MODIFIED", n3(version("99990"))), 2), 1},
		"a version that is none":         {happened("MODIFIED", n3(version("latest"))), 1},
		"a version that is a number":     {happened("MODIFIED", n3(version(99990))), 1},
		"a bookmark that goes back":      {happened("BOOKMARK", manifest{"kind": "Node", "metadata": manifest{"resourceVersion": "7"}}), 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := cluster(duo()...)
			script := scripted(a)
			source := serve(t, a, Config{})
			s := openedAs(t, source)
			w := watchingFor(t, s, both...)
			w.hinted(t, "connected")
			nodesAsked(t, a, s, false, both...)
			script <- c.event
			script <- happened("MODIFIED", aNode("n1", "192.0.2.11", version("99999")))
			reaches(t, source, 99999)
			hinted(source, both[1])
			const cart = "192.0.2.2:31080 x1 node n2, 1 pod\n192.0.2.3:31080 x1 node n3, 1 pod\n"
			if got, asked := nodesAsked(t, a, s, false, both[1]); got != cart || len(asked) != c.reads {
				t.Errorf("asked %q, want %d requests; got\n%s", asked, c.reads, got)
			}
			w.stop()
			w.error(t)
		})
	}
}

// TestALostEventCostsOneInterval, and does not come back with the next event about
// something else.
func TestALostEventCostsOneInterval(t *testing.T) {
	t.Parallel()
	a := cluster(duo()...)
	script := scripted(a)
	source := serve(t, a, Config{})
	s := openedAs(t, source)
	w := watchingFor(t, s, both...)
	w.hinted(t, "connected")
	nodesAsked(t, a, s, false, both...)
	const cart = "192.0.2.2:31080 x1 node n2, 1 pod\n192.0.2.3:31080 x1 node n3, 1 pod\n"
	expect := func(what, want string, requests int, queries ...any) {
		t.Helper()
		if got, asked := nodesAsked(t, a, s, false, queries...); !strings.HasSuffix(got, want) || len(asked) != requests {
			t.Errorf("%s: asked %q, want %d requests; got\n%swant\n%s", what, asked, requests, got, want)
		}
	}
	changed := aNode("n3", "192.0.2.33")
	a.change(changed)
	a.drop("nodes", func(o manifest) bool { return o.meta()["name"] == "n2" })
	hinted(source, both[1])
	expect("before the interval", cart, 0, both[1])
	const now = "192.0.2.33:31080 x1 node n3, 1 pod\n- node n2, 1 pod: gone\n"
	expect("the interval's", now, 1, both...)
	hinted(source, both[1])
	expect("after it", now, 1, both[1])
	hinted(source, both[1])
	expect("all nodes", now, 1, Query{Service: "shop/cart", Nodes: AllNodes}, both[1])
	script <- happened("DELETED", aNode("n2", "192.0.2.2", version(fmt.Sprint(a.version))))
	script <- happened("MODIFIED", changed.but(version(fmt.Sprint(a.version+1))))
	reaches(t, source, uint64(a.version+1))
	hinted(source, both[1])
	expect("when it is told", now, 1, both[1]) // of a node that is not there only its name can tell
	w.stop()
	w.error(t)
}

// TestALateStream: what lists have shown does not come back as it was before, and
// what they have shown anew is not gone again, because the stream does not know it yet.
func TestALateStream(t *testing.T) {
	t.Parallel()
	a := cluster(duo()...)
	script := scripted(a)
	source := serve(t, a, Config{})
	s := openedAs(t, source)
	w := watchingFor(t, s, both...)
	w.hinted(t, "connected")
	nodesAsked(t, a, s, false, both...)
	all := Query{Service: "shop/cart", Nodes: AllNodes}
	expect := func(what, want string, requests int, queries ...any) {
		t.Helper()
		if len(queries) == 1 {
			hinted(source, queries...)
		}
		text, asked := nodesAsked(t, a, s, false, queries...)
		var hosts []string
		for line := range strings.Lines(text) {
			if host, _, ok := strings.Cut(strings.TrimPrefix(line, "192.0.2."), ":31080"); ok && !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
		if got := strings.Join(hosts, " "); got != want || len(asked) != requests {
			t.Errorf("%s: asked %q, want %d requests; got %s, want %s", what, asked, requests, got, want)
		}
	}
	expect("before", "1 2 3", 0, all)
	tell := func(kind string, n manifest, at int) {
		script <- happened(kind, n.but(version(fmt.Sprint(at))))
		reaches(t, source, uint64(at))
	}
	a.change(aNode("n3", "192.0.2.32"))
	from := a.version
	a.change(aNode("n3", "192.0.2.33"))
	a.put(aNode("n4", "192.0.2.4"))
	expect("the interval's", "1 2 4 33", 1, both[0], all)
	expect("after it", "1 2 4 33", 1, all)
	tell("MODIFIED", aNode("n3", "192.0.2.32"), from)
	expect("when the stream tells what was between", "1 2 4 33", 1, all)
	tell("MODIFIED", aNode("n3", "192.0.2.33"), from+1)
	expect("when it has told of one node", "1 2 4 33", 1, all)
	tell("ADDED", aNode("n4", "192.0.2.4"), from+2)
	expect("when it has told of both", "1 2 4 33", 0, all)

	a.put(aNode("n5", "192.0.2.5"))
	expect("the interval's, of one more", "1 2 4 5 33", 1, both[0], all)
	a.drop("nodes", func(o manifest) bool { return o.meta()["name"] == "n5" })
	expect("when that is gone", "1 2 4 33", 1, all)
	expect("the interval's then", "1 2 4 33", 1, both[0], all)
	expect("when both have it no more", "1 2 4 33", 0, all)
	w.stop()
	w.error(t)
}

// TestNothingOlderThanWasTold is used once a watch has ended: of a large cluster nodes
// are kept that were read before it began.
func TestNothingOlderThanWasTold(t *testing.T) {
	t.Parallel()
	a := cluster(duo()...)
	for i := range pageSize {
		a.put(aNode(fmt.Sprintf("other-%d", i), fmt.Sprintf("198.51.%d.%d", i/250, i%250+1)))
	}
	s := opened(t, serving(t, a))
	all := []any{both[0], Query{Service: "shop/cart", Nodes: AllNodes}}
	nodesAsked(t, a, s, false, all...)
	w := watchingFor(t, s, all...)
	w.hinted(t, "connected")
	a.change(aNode("n3", "192.0.2.33"))
	w.hinted(t, "another address")
	for _, what := range []string{"while it is watched", "after that"} {
		if got, asked := nodesAsked(t, a, s, false, all[1]); !strings.Contains(got, "192.0.2.33:31080") || strings.Contains(got, "192.0.2.3:31080") {
			t.Errorf("%s, asked %q: %.100s…", what, asked, got)
		}
		if w.stop(); what == "while it is watched" {
			w.error(t)
		}
	}
}

// TestHintsSayOfWhichQueries an event is.
func TestHintsSayOfWhichQueries(t *testing.T) {
	a := cluster(duo()...)
	s := opened(t, serving(t, a))
	queries := append([]any{Query{Service: "shop/cart", Address: PodIP}, Query{Service: "shop/account", Nodes: AllNodes}, Query{Service: "shop/gone"}}, both...)
	w := watchingFor(t, s, queries...)
	if which := w.hinted(t, "connected"); which != nil {
		t.Errorf("hint of %v when connected, want of any", which)
	}
	expect := func(what string, want ...int) {
		t.Helper()
		if got := w.hinted(t, what); !slices.Equal(got, want) {
			t.Errorf("%s: hint of %v, want %v", what, got, want)
		}
	}
	a.change(aNode("n1", "192.0.2.11"))
	expect("a node, before it is known who is where", 0, 1, 2, 3, 4)
	nodesAsked(t, a, s, false, queries...)
	a.change(aNode("n1", "192.0.2.12"))
	expect("a node that account is on", 1, 3)
	a.change(aNode("n2", "192.0.2.12"))
	expect("a node that both are on", 1, 3, 4)
	a.put(aNode("n9", "192.0.2.9"))
	expect("a node that none is on", 1)
	a.change(aService("shop/account", with("spec.type", "LoadBalancer")))
	expect("a service", 1, 3)
	a.put(aService("shop/gone"))
	expect("a service that comes", 2)
	a.change(aSlice("shop/cart", aPod("c1", "10.244.2.9", "n2"), aPod("c2", "10.244.3.9", "n9").but(unready)))
	expect("a slice", 0, 4)
	nodesAsked(t, a, s, false, queries[0], queries[4])
	a.change(aNode("n9", "192.0.2.99"))
	expect("a node that a pod has moved to", 0, 1, 4)
	a.drop("nodes", func(o manifest) bool { return o.meta()["name"] == "n3" })
	expect("a node that is gone and that none is on", 1)
}

// TestHostileStreams: whatever comes on a stream ends it with a word, and is not
// kept.
func TestHostileStreams(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	large := func(i int) string {
		return happened("ADDED", aNode(fmt.Sprintf("n%d", i), "192.0.2.9", version(fmt.Sprint(99000+i)), label("note", strings.Repeat("x", 1<<20))))
	}
	for name, c := range map[string]struct {
		event func(i int) string // "": the end
		want  string
	}{
		"nodes without end": {large, "watch nodes: the answer is too large: what is wanted of it takes more than "},
		"an event without end": {func(i int) string {
			return map[bool]string{true: `{"type": "ADDED", "object": {"kind": "Node", "x": "`}[i == 0] + strings.Repeat("x", 1<<20)
		}, "watch nodes: an event cannot be read: the answer is too large: a text in it has more than 4 MiB"},
		"half an event": {func(i int) string {
			return []string{`{"type": "MODIFIED", "object": {"kind": "Node", "metadata": {"name": "n1"`, ""}[min(i, 1)]
		},
			"watch nodes: the stream breaks off in the middle of an event"},
		"a page": {func(int) string { return "<!DOCTYPE html><title>Log in</title>" }, "watch nodes: an event cannot be read"},
		"an error in the place of events": {func(int) string {
			return `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"etcdserver: no leader","code":500}`
		}, "watch nodes: the server ended it: 500 Internal Server Error: etcdserver: no leader"},
	} {
		t.Run(name, func(t *testing.T) {
			a := cluster(duo()...)
			script := scripted(a)
			w := watchingFor(t, opened(t, serving(t, a)), both...)
			w.hinted(t, "connected")
			go func() {
				defer close(script)
				for i := range 200 {
					text := c.event(i)
					if text == "" {
						return
					}
					select {
					case script <- text:
					case <-t.Context().Done():
						return
					}
				}
			}()
			for {
				select {
				case <-w.hints:
					continue
				case err := <-w.ended:
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("error %v, want %q", err, c.want)
					}
				case <-time.After(time.Minute):
					t.Error("the watch does not end")
				}
				break
			}
		})
	}
}

// TestAnEventTakesNoMoreMemoryThanItMay, although it may be made so that what it
// says is far larger than its text.
func TestAnEventTakesNoMoreMemoryThanItMay(t *testing.T) {
	w := &watchedNodes{nodes: map[string]node{}}
	event := json.RawMessage(`{"kind": "Node", "metadata": {"name": "n1"}, "status": {"addresses": [{}` + strings.Repeat(",{}", maxEvent/3) + `]}}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	which, err := w.told(added, event)
	runtime.ReadMemStats(&after)
	if which != nil || err != nil || !w.broken || len(w.nodes) > 0 {
		t.Errorf("hint of %v, error %v, %d nodes; want a hint of any, and nothing kept", which, err, len(w.nodes))
	}
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 100 {
		t.Errorf("an event of %d MiB took %d MiB", len(event)>>20, took)
	}
}

// TestAStreamThatSaysNothingProvesNothing: there is a bookmark about every minute.
func TestAStreamThatSaysNothingProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := cluster(duo()...)
		source := inProcess(t, a, Config{})
		known, err := source.watchNodes(t.Context(), mustConnect(t, source), []Query{account, {Service: "shop/cart"}})
		if err != nil {
			t.Fatal(err)
		}
		source.client.watched.Store(known)
		s := openedAs(t, source)
		for _, requests := range []int{0, 0, 1, 1} {
			hinted(source, both[1])
			clear(known.trusting) // as polls of the interval do
			if _, asked := nodesAsked(t, a, s, false, both[1]); len(asked) != requests {
				t.Errorf("asked %q, want %d requests", asked, requests)
			}
			time.Sleep(silence * 2 / 3)
		}
		if _, err := known.told(bookmark, json.RawMessage(`{"metadata": {"resourceVersion": "99999"}}`)); err != nil {
			t.Fatal(err)
		}
		// What is hinted at all the time has no poll of the interval.
		for i, requests := range []int{0, 0, 0, 1, 0, 0, 0, 1} {
			hinted(source, both[1])
			if _, asked := nodesAsked(t, a, s, false, both[1]); len(asked) != requests {
				t.Errorf("asked %q at poll %d, want %d requests", asked, i, requests)
			}
			time.Sleep(keepNodes * 2 / 5)
			if _, err := known.told(bookmark, json.RawMessage(`{"metadata": {"resourceVersion": "99999"}}`)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func mustConnect(t *testing.T, s *Source) *client {
	t.Helper()
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	return c
}
