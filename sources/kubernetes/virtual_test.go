package kubernetes

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

// The core keeps the addresses of the cluster's own services out of service groups,
// whatever a tenant writes into a slice; it has them from here.
func TestClusterIPsAreTold(t *testing.T) {
	server := httptest.NewServer(cluster(
		aService("shop/account"), aSlice("shop/account"),
		aService("shop/dual", with("spec.clusterIP", "10.96.0.8"), with("spec.clusterIPs", []string{"10.96.0.8", "fd00:96::8"})),
		aService("shop/headless", with("spec.clusterIP", "None")),
	))
	defer server.Close()
	s, err := Open(Config{Kubeconfig: kubeconfig(t, server.URL)})
	if err != nil {
		t.Fatal(err)
	}
	answers, err := s.Poll(t.Context(), []Query{{Service: "shop/account"}, {Service: "shop/dual"}, {Service: "shop/headless"}}, true)
	if err != nil {
		t.Fatal(err)
	}
	got := answers[0].Virtual
	for at, of := range map[string]string{"10.96.0.7": "service shop/account", "10.96.0.8": "service shop/dual", "fd00:96::8": "service shop/dual"} {
		if got[netip.MustParseAddr(at)] != of {
			t.Errorf("%s is %q, want %s", at, got[netip.MustParseAddr(at)], of)
		}
	}
	if len(got) != 3 {
		t.Errorf("got %v", got)
	}
}
