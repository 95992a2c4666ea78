package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var spans = regexp.MustCompile(`within [0-9.]+s`)

// TestTenants: what one tenant keeps in its namespace does not freeze the others.
func TestTenants(t *testing.T) {
	shops := func() []manifest {
		return append(shop(), aService("dmz/cart"), aSlice("dmz/cart", aPod("c1", "10.244.1.9", "n1")), aService("dmz/other"),
			aSlice("dmz/other", aPod("o1", "10.244.1.10", "n1")))
	}
	padded := func(namespace string) (all []manifest) {
		for i := range 20 {
			all = append(all, aService(fmt.Sprintf("%s/pad-%d", namespace, i), with("metadata.annotations", map[string]string{"pad": strings.Repeat("x", 100<<10)})))
		}
		return all
	}
	const accounts, carts = "192.0.2.1:31080 x1 node n1, 2 pods\n192.0.2.2:31080 x1 node n2, 1 pod", "192.0.2.1:31080 x1 node n1, 1 pod"
	three := []Query{account, {Service: "dmz/cart"}, {Service: "dmz/other"}}
	everywhere := func(r *http.Request) bool {
		return !strings.Contains(r.URL.Path, "/namespaces/") && !strings.Contains(r.URL.Path, "nodes")
	}
	for _, c := range []struct {
		name    string
		objects []manifest
		hangs   func(r *http.Request) bool
		queries []Query
		want    []string
	}{
		{"many large services of a third", padded("evil"), nil, three, []string{accounts, carts, carts}},
		{"many large services beside the wanted ones", padded("dmz"), nil, three, []string{accounts, carts, carts}},
		{"in the only namespace", padded("dmz"), nil, three[1:], []string{carts, carts}},
		{"a list of all that hangs", nil, everywhere, three, []string{accounts, carts, carts}},
		{"a namespace that hangs", nil, func(r *http.Request) bool { return everywhere(r) || strings.Contains(r.URL.Path, "/namespaces/dmz/") }, three,
			[]string{accounts, "! list endpointslices.discovery.k8s.io in namespace dmz: no answer within a while, its share of the source's timeout", "! list endpointslices.discovery.k8s.io in namespace dmz: no answer within a while, its share of the source's timeout"}},
		{"a list of services that hangs", nil, func(r *http.Request) bool {
			return strings.HasSuffix(r.URL.Path, "/services") && !r.URL.Query().Has("fieldSelector") && !strings.Contains(r.URL.Path, "/shop/")
		}, three, []string{accounts, carts, carts}},
		{"pods that hang", []manifest{aRunning("shop/a1", "192.0.2.1", 9000), aRunning("shop/a2", "192.0.2.1", 9001), aRunning("shop/a3", "192.0.2.2", 9000)},
			func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/namespaces/dmz/pods") },
			[]Query{{Service: "shop/account", Address: HostPort}, {Service: "dmz/cart", Address: HostPort}},
			[]string{"192.0.2.1:9000 x0 pod a1 on node n1\n192.0.2.1:9001 x0 pod a2 on node n1\n192.0.2.2:9000 x0 pod a3 on node n2",
				"! service dmz/cart: list pods in namespace dmz: no answer within a while, its share of the source's timeout"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := inProcess(t, cluster(append(shops(), c.objects...)...), Config{})
				s.maxBody = 1 << 20
				answers := s.cluster.Transport
				s.cluster.Transport = transport(func(r *http.Request) (*http.Response, error) {
					if c.hangs != nil && c.hangs(r) {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return answers.RoundTrip(r)
				})
				for range 2 {
					ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
					answers, err := s.Poll(ctx, c.queries, false)
					cancel()
					if err != nil {
						t.Fatal(err)
					}
					for i, want := range c.want {
						if got := spans.ReplaceAllString(told(answers[i]), "within a while"); got != want {
							t.Errorf("answer %d is\n%s\nwant\n%s", i, got, want)
						}
					}
				}
			})
		})
	}
}

// TestFewServicesOfMany: a few services of a cluster with many are read by their names,
// and one alone always is.
func TestFewServicesOfMany(t *testing.T) {
	many := shop()
	for i := range 100 {
		many = append(many, aService(fmt.Sprintf("shop/other-%d", i)))
	}
	a := cluster(many...)
	a.pageSize = 20
	s := serve(t, a, Config{})
	queries := []Query{{Service: "shop/account", Address: PodIP}, {Service: "shop/other-7", Address: LoadBalancer}}
	for _, c := range []struct {
		queries []Query
		pages   int
	}{{queries[:1], 0}, {queries, 1}, {queries, 0}} { // that there are many is remembered
		if _, err := s.Poll(t.Context(), c.queries, false); err != nil {
			t.Fatal(err)
		}
		asked := slices.DeleteFunc(a.requests(), func(path string) bool { return !strings.Contains(path, "/services?") })
		pages := slices.DeleteFunc(slices.Clone(asked), func(path string) bool { return strings.Contains(path, "fieldSelector=metadata.name") })
		if len(pages) != c.pages || len(asked)-len(pages) != len(c.queries) {
			t.Errorf("asked for %v, want %d pages and %d names", asked, c.pages, len(c.queries))
		}
	}
}

// TestOtherFailuresAreTheSources: what is not a matter of size fails as a whole.
func TestOtherFailuresAreTheSources(t *testing.T) {
	a := cluster(shop()...)
	a.before = on("/services", status(500, "InternalError", "boom"))
	_, err := serve(t, a, Config{}).Poll(t.Context(), []Query{account, {Service: "dmz/cart"}}, false)
	if err == nil || !strings.Contains(err.Error(), "list services: 500") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
