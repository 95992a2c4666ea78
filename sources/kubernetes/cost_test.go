package kubernetes

import (
	"fmt"
	"testing"

	"nitrox/sources"
)

func TestCheapest(t *testing.T) {
	for _, c := range []struct {
		some, of, selectors int
		want                way
	}{
		{0, 5000, 0, byName}, // nothing to ask
		{1, 1, 1, byName},
		{1, 5000, 1, byName},
		{2, 3, 1, byList},
		{20, 20, 1, byList},
		{6, 5000, 1, byName},
		{20, 5000, 1, byLabel}, // one request rather than 20
		{20, 5000, 0, byName},
		{100, 10_000, 0, byName},
		{1000, 10_000, 0, byList},
		{5000, 5000, 20, byList},
		{1648, 5000, 6, byLabel},
		{1648, 5000, 0, byList},
		{4000, 5000, 14, byLabel},
		{4900, 5000, 16, byList},
		{5000, tooMany, 0, byName},
	} {
		if got := cheapest(c.some, c.of, c.selectors); got != c.want {
			t.Errorf("%d of %d, by label %d lists: way %d, want %d", c.some, c.of, c.selectors, got, c.want)
		}
	}
	for _, c := range [][3]int{{1, 20, 20}, {3, 100, 100}, {200, 100, 200}, {700, 100, pageSize}} {
		if got := firstPage(c[0], c[1]); got != c[2] {
			t.Errorf("for %d a first page of %d, want %d", c[0], got, c[2])
		}
	}
}

// TestWhatIsWantedIsWhatIsRead of large clusters: by a plan of few of many apps,
// and by what follows an event.
func TestWhatIsWantedIsWhatIsRead(t *testing.T) {
	t.Parallel()
	const apps, machines, pods, wanted = 1000, 800, 10, 50
	objects := []manifest{}
	var queries []any
	slice := func(i, shift int) manifest {
		var endpoints []manifest
		for k := range pods {
			pod := i*pods + k
			endpoints = append(endpoints, aPod(fmt.Sprintf("pod-%d", pod), fmt.Sprintf("10.64.%d.%d", pod/250, pod%250), fmt.Sprintf("node-%d", (pod+shift)%machines)))
		}
		return aSlice(fmt.Sprintf("shop/service-%d", i), endpoints...)
	}
	for i := range apps {
		queries = append(queries, Query{Service: fmt.Sprintf("shop/service-%d", i)})
		objects = append(objects, aService(fmt.Sprintf("shop/service-%d", i)), slice(i, 0))
	}
	for i := range machines {
		objects = append(objects, aNode(fmt.Sprintf("node-%d", i), fmt.Sprintf("192.0.%d.%d", i/250, i%250+1)))
	}
	a := cluster(objects...)
	url := serving(t, a)
	poll := func(what string, s sources.Opened, most map[string]int, requests int, queries ...any) {
		t.Helper()
		a.requests()
		clear(a.sent)
		answers, err := s.Poll(t.Context(), queries, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, answer := range answers {
			if answer.Doubt() != nil || len(answer.Endpoints) != pods {
				t.Fatalf("%s: %v: %s", what, queries[i], told(answer))
			}
		}
		if asked := a.requests(); len(asked) > requests {
			t.Errorf("%s: %d requests, want %d at most: %.2000q", what, len(asked), requests, asked)
		}
		for plural, n := range a.sent {
			if n > most[plural] {
				t.Errorf("%s: %d %s were sent, want %d at most", what, n, plural, most[plural])
			}
		}
	}
	// A page of services tells how many there are.
	poll("a plan", opened(t, url), map[string]int{"endpointslices": wanted, "services": 100 + wanted, "nodes": wanted * pods}, 1+1+wanted+3, queries[:wanted]...)

	s := opened(t, url)
	w := watchingFor(t, s, queries...)
	w.hinted(t, "connected")
	poll("a pass over all", s, map[string]int{"endpointslices": apps, "services": apps, "nodes": 0}, 10+5, queries...)
	for i := range 20 {
		a.change(slice(i*7, i+1))
		which := w.hinted(t, "a slice")
		if len(which) != 1 || which[0] != i*7 {
			t.Fatalf("hint of %v, want of %d", which, i*7)
		}
		poll("an event", s, map[string]int{"endpointslices": 1, "services": 1, "nodes": 0}, 2, queries[which[0]])
	}
	for i := 100; i < 120; i++ {
		a.change(slice(i, 1))
		w.hinted(t, "one of several slices")
	}
	poll("events of several apps", s, map[string]int{"endpointslices": 20, "services": 20, "nodes": 0}, 1+20, queries[100:120]...)
}
