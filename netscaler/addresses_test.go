package netscaler_test

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

// An appliance that is known by a name is known by its address once it has been
// talked to, and by those of its nodes once it has told them.
func TestAddressesBecomeKnown(t *testing.T) {
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}, NSIP: netip.MustParseAddr("192.0.2.99")})
	server := httptest.NewServer(sim)
	defer server.Close()
	c, err := netscaler.Open(netscaler.Config{URLs: []string{strings.Replace(server.URL, "127.0.0.1", "localhost", 1)}, Username: "nitrox", Password: netscaler.SecretText("secret")})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Addresses(), c.Hosts()); got != "[] [localhost]" {
		t.Errorf("before the first call: %s", got)
	}
	if _, err := c.Nodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := c.Addresses(); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.99")}) {
		t.Errorf("afterwards: %v", got)
	}
}
