package kubernetes

import (
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

// TestSuite is what every source promises. That credentials are kept is tested
// by themselves: client-go sends none without TLS.
func TestSuite(t *testing.T) {
	const body = 1 << 20
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
			{Addr: netip.MustParseAddrPort("192.0.2.1:31080"), Protocol: sources.TCP, Weight: 1},
			{Addr: netip.MustParseAddrPort("192.0.2.2:31080"), Protocol: sources.TCP, Weight: 1},
		},
		Absent:      Query{Service: "shop/nothing"},
		Handler:     cluster(shop()...),
		Requests:    []string{"/endpointslices", "/services", "/nodes"},
		MaxBody:     body,
		Broken:      cluster(append(shop(), aService("shop/cart"), aSlice("shop/cart", aPod("c1", "10.244.1.10", "n1")).but(with("ports", "many")))...),
		BrokenQuery: Query{Service: "shop/cart"},
	})
}
