package sources

import (
	"net/netip"
	"testing"
)

func TestReachable(t *testing.T) {
	for text, want := range map[string]bool{
		"10.0.0.7": true, "192.168.0.7": true, "203.0.113.7": true, "100.64.0.7": true, "fd00:1::7": true, "2001:db8::7": true,
		"127.0.0.1": false, "127.0.1.1": false, "::1": false, "0.0.0.0": false, "::": false, "169.254.1.0": false, "fe80::7": false, "fe80::7%eth0": false,
		"2001:db8::7%eth0": false, "224.0.0.7": false, "ff02::7": false, "255.255.255.255": false,
	} {
		if got := Reachable(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if Reachable(netip.Addr{}) {
		t.Error("no address is reachable")
	}
}
