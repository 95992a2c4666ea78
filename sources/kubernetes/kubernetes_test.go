package kubernetes

import (
	"net/http"
	"net/netip"
	"testing"

	"nitrox/sources"
	"nitrox/sources/sourcetest"
)

// shop is a service with three pods on two of three nodes.
func shop() []manifest {
	return []manifest{
		aService("shop/account"),
		aSlice("shop/account", aPod("a1", "10.244.1.7", "n1"), aPod("a2", "10.244.1.8", "n1"), aPod("a3", "10.244.2.7", "n2")),
		aNode("n1", "192.0.2.1"), aNode("n2", "192.0.2.2"), aNode("n3", "192.0.2.3"),
	}
}

// TestSuite is what every source promises.
func TestSuite(t *testing.T) {
	const body = 1 << 20
	others := func() []manifest {
		return append(shop(), aService("shop/cart", with("spec.ports", []manifest{{"name": "http", "port": 80, "nodePort": 31081}})), aSlice("shop/cart", aPod("c1", "10.244.1.9", "n1")))
	}
	for name, c := range map[string]struct {
		broken manifest
		query  string
	}{
		"slice":   {aSlice("shop/cart", aPod("c2", "10.244.1.10", "n1")).but(with("ports", "many")), "shop/cart"},
		"address": {aSlice("shop/cart", aPod("c2", "c2.example", "n1")), "shop/cart"},
		"service": {aService("shop/odd", with("spec.ports", 80)), "shop/odd"},
	} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, sourcetest.Fixture{
				Open: func(t *testing.T, url string) sources.Opened {
					kind := sources.Define("kubernetes", func(c Config) (*Source, error) {
						s, err := Open(c)
						if err == nil {
							s.maxBody = body
						}
						return s, err
					})
					s, err := kind.Open(Config{Kubeconfig: kubeconfig(t, url)})
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
				Query: Query{Service: "shop/account", Port: "http"},
				Want: []sources.Endpoint{
					{Addr: netip.MustParseAddrPort("192.0.2.1:31080"), Weight: 1},
					{Addr: netip.MustParseAddrPort("192.0.2.2:31080"), Weight: 1},
				},
				Absent:      Query{Service: "shop/nothing"},
				Handler:     http.Handler(cluster(others()...)),
				Requests:    []string{"/endpointslices", "/services", "/nodes"},
				Secrets:     []string{token},
				MaxBody:     body,
				Broken:      cluster(append(others(), c.broken)...),
				BrokenQuery: Query{Service: c.query},
			})
		})
	}
}
