package sync_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// edge is a policy of a mapping whose NetScaler has these addresses.
var edge = sync.Policy{Own: map[netip.Addr]string{
	netip.MustParseAddr("192.0.2.10"): "netscaler edge", netip.MustParseAddr("2001:db8::10"): "netscaler edge",
}}

var clusterIPs = map[netip.Addr]string{netip.MustParseAddr("10.96.0.1"): "service default/kubernetes"}

func TestUnfitAddressesAreNeverBound(t *testing.T) {
	for at, want := range map[string]string{
		"0.0.0.0:80":                                "the unspecified address",
		"[::]:80":                                   "the unspecified address",
		"0.1.2.3:80":                                "in a reserved network",
		"127.0.0.1:80":                              "a loopback address",
		"127.255.255.254:80":                        "a loopback address",
		"[::1]:80":                                  "a loopback address",
		"224.0.0.1:80":                              "a multicast address",
		"[ff02::1]:80":                              "a multicast address",
		"240.0.0.1:80":                              "in a reserved network",
		"255.255.255.254:80":                        "in a reserved network",
		"255.255.255.255:80":                        "the broadcast address",
		"169.254.1.1:80":                            "a link-local address",
		"[fe80::1]:80":                              "a link-local address",
		"169.254.169.254:80":                        "the metadata service of a cloud",
		"100.100.100.200:80":                        "the metadata service of a cloud",
		"168.63.129.16:80":                          "the metadata service of a cloud",
		"[fd00:ec2::254]:80":                        "the metadata service of a cloud",
		"[fd00:ec2::23]:80":                         "the metadata service of a cloud",
		"[fd20:ce::254]:80":                         "the metadata service of a cloud",
		"192.0.2.10:443":                            "the address of netscaler edge",
		"[2001:db8::10]:443":                        "the address of netscaler edge",
		"10.96.0.1:443":                             "the cluster's own address for service default/kubernetes",
		"[2001:db8::1%eth0]:80":                     "it has a zone",
		"10.0.0.1:0":                                "it has no port",
		"10.0.0.1:65535":                            "port 65535 means all ports",
		"[::ffff:10.0.0.1]:80":                      "IPv4 address in IPv6 form",
		"[::10.0.0.1]:80":                           "IPv4 address in IPv6 form",
		"[::ffff:127.0.0.1]:80":                     "IPv4 address in IPv6 form",
		"[64:ff9b::c000:20a]:80":                    "it leads to 192.0.2.10, which is the address of netscaler edge",
		"[64:ff9b:1::127.0.0.1]:80":                 "it leads to 127.0.0.1, which is a loopback address",
		"[64:ff9b:1:c000:2:a00::]:80":               "it leads to 192.0.2.10, which is the address of netscaler edge",
		"[64:ff9b:1:c0:0:20a::]:80":                 "it leads to 192.0.2.10, which is the address of netscaler edge",
		"[64:ff9b:1:7:c0:2:a00:0]:80":               "it leads to 192.0.2.10, which is the address of netscaler edge",
		"[2002:a9fe:a9fe::1]:80":                    "it leads to 169.254.169.254, which is the metadata service of a cloud",
		"[2002:a60:1::1]:80":                        "it leads to 10.96.0.1, which is the cluster's own address for service default/kubernetes",
		"[2001:0:4136:e378:8000:63bf:3fff:fdf5]:80": "it leads to 192.0.2.10, which is the address of netscaler edge",
		"[2001:0:7f00:1:8000:63bf:f5ff:fffe]:80":    "it leads to 127.0.0.1, which is a loopback address",
		"[2001:db8::5efe:c000:20a]:80":              "it leads to 192.0.2.10, which is the address of netscaler edge",
		"[2001:db8::200:5efe:c000:20a]:80":          "it leads to 192.0.2.10, which is the address of netscaler edge",
		"[::ffff:0:c000:20a]:80":                    "it leads to 192.0.2.10, which is the address of netscaler edge",
	} {
		a := netip.MustParseAddrPort(at)
		if why := sync.Unfit(a, edge, clusterIPs); !strings.Contains(why, want) {
			t.Errorf("%s: %q, want %q", at, why, want)
		}
		answer := known([]sources.Endpoint{{Addr: a}})
		answer.Virtual = clusterIPs
		if d := sync.Union([]sync.From{{Source: "x"}}, []sources.Answer{answer}, edge); len(d.Endpoints) > 0 || d.Doubt() == nil {
			t.Errorf("%s: %v, doubt %v", at, d.Endpoints, d.Doubt())
		}
	}
	if why := sync.Unfit(netip.AddrPort{}, sync.Policy{}, nil); why == "" {
		t.Error("no address would be bound")
	}
	for _, at := range []string{"10.0.0.1:80", "1.0.0.1:80", "239.0.0.1:80", "100.64.0.1:80", "192.0.2.11:443", "[2001:db8::1]:80", "[fd00::1]:80",
		"[64:ff9b::10.0.0.5]:80", "[64:ff9b:1::10.0.0.5]:80", "[2002:a00:5::1]:80", "[2001:0:4136:e378:8000:63bf:f5ff:fffa]:80"} {
		a := netip.MustParseAddrPort(at)
		if why := sync.Unfit(a, edge, clusterIPs); (why != "") != a.Addr().IsMulticast() {
			t.Errorf("%s: %s", at, why)
		}
	}
}

// What is refused is refused in every form of IPv6 that leads there, and what is
// fit stays fit in those that a translator could be asked for.
func TestNoFormOfIPv6LeadsToWhatIsRefused(t *testing.T) {
	put := func(prefix string, at ...int) func([4]byte) netip.Addr {
		return func(v4 [4]byte) netip.Addr {
			b := netip.MustParseAddr(prefix).As16()
			for i, j := range at {
				b[j] = v4[i]
			}
			return netip.AddrFrom16(b)
		}
	}
	forms := []func([4]byte) netip.Addr{
		put("::", 12, 13, 14, 15), put("::ffff:0:0", 12, 13, 14, 15), put("::ffff:0:0:0", 12, 13, 14, 15),
		put("64:ff9b::", 12, 13, 14, 15), put("2002::1", 2, 3, 4, 5), put("2001::f5ff:fffa", 4, 5, 6, 7), // of client 10.0.0.5
		put("64:ff9b:1::", 6, 7, 9, 10), put("64:ff9b:1::", 7, 9, 10, 11), put("64:ff9b:1::", 9, 10, 11, 12), put("64:ff9b:1::", 12, 13, 14, 15),
		put("2001:db8::5efe:0:0", 12, 13, 14, 15),
		func(v4 [4]byte) netip.Addr {
			for i := range v4 {
				v4[i] ^= 0xff
			}
			return put("2001:0:c633:6401::", 12, 13, 14, 15)(v4)
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		v4 := rapid.OneOf(
			rapid.Just([4]byte{192, 0, 2, 10}), rapid.Just([4]byte{10, 96, 0, 1}), rapid.Just([4]byte{169, 254, 169, 254}), rapid.Just([4]byte{100, 100, 100, 200}),
			rapid.Map(rapid.Uint32Range(1<<24, 1<<32-1), func(n uint32) [4]byte { return [4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }),
		).Draw(t, "v4")
		i := rapid.IntRange(0, len(forms)-1).Draw(t, "form")
		plain := sync.Unfit(netip.AddrPortFrom(netip.AddrFrom4(v4), 80), edge, clusterIPs)
		form := forms[i](v4)
		why := sync.Unfit(netip.AddrPortFrom(form, 80), edge, clusterIPs)
		switch {
		case plain != "" && why == "":
			t.Fatalf("%v would be bound, which leads to %v: %s", form, v4, plain)
		case plain == "" && why != "" && i != 0 && i != 1 && !strings.HasPrefix(form.String(), "64:ff9b:1:"):
			t.Fatalf("%v: %s", form, why)
		}
	})
}

// FuzzUnfit: nothing that is let through is what no endpoint can be, and nothing
// fails.
func FuzzUnfit(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001::1"} {
		f.Add(netip.MustParseAddr(s).AsSlice(), uint16(80))
	}
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		a, _ := netip.AddrFromSlice(b)
		at := netip.AddrPortFrom(a, port)
		if sync.Unfit(at, edge, clusterIPs) != "" {
			return
		}
		if !a.IsValid() || a.Is4In6() || port == 0 || port == 65535 || !a.IsGlobalUnicast() || edge.Own[a] != "" || clusterIPs[a] != "" {
			t.Errorf("%v would be bound", at)
		}
		if only := (sync.Policy{Only: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}); sync.Unfit(at, only, nil) == "" && !only.Only[0].Contains(a) {
			t.Errorf("%v is outside only", at)
		}
	})
}

// The NetScaler's addresses are kept out of its groups, however the mapping names
// it: by a name, whatever that resolves to, and by the addresses that it tells.
func TestANetScalerIsNeverAMemberOfItsOwnGroups(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(append(hosts(1, 2),
			sources.Endpoint{Addr: addr("198.51.100.7:443")},    // what edge.test resolves to
			sources.Endpoint{Addr: addr("192.168.100.1:443")}))} // its NSIP
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce, From: []sync.From{{Source: "prod", Query: "shop"}}})
		s.sims["edge"] = simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}, NSIP: netip.MustParseAddr("192.168.100.1")})
		s.sims["edge"].AddGroup("sg-shop")
		s.NetScalers["edge"].Client = s.client("edge", "secret", false)
		asked, failing := 0, false
		s.Lookup = func(_ context.Context, network, host string) ([]netip.Addr, error) {
			asked++
			if network != "ip" || host != "edge.test" {
				t.Errorf("lookup of %s %s", network, host)
			}
			if failing {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return []netip.Addr{netip.MustParseAddr("::ffff:198.51.100.7")}, nil
		}
		// The NSIP becomes known with the role, before the first write.
		r := s.sync(sync.ExitFailed)
		s.expect("sg-shop", "")
		if why := fmt.Sprint(r.Outcomes[0].Err); why != "192.168.100.1:443 cannot be bound: it is the address of netscaler edge" {
			t.Errorf("the first pass: %s", why)
		}
		for range 2 { // the second time nobody resolves the name, and the rule is the same
			r := s.sync(sync.ExitFailed)
			s.expect("sg-shop", bound(1, 2))
			for _, want := range []string{"source prod: 198.51.100.7:443 cannot be bound: it is the address of netscaler edge",
				"source prod: 192.168.100.1:443 cannot be bound: it is the address of netscaler edge"} {
				if doubt := fmt.Sprint(r.Outcomes[0].Desired.Doubt()); !strings.Contains(doubt, want) {
					t.Errorf("doubt %s, want %s", doubt, want)
				}
			}
			if len(r.Outcomes[0].Notes) > 0 {
				t.Errorf("notes %q", r.Outcomes[0].Notes)
			}
			failing = true
		}
		if asked != 3 {
			t.Errorf("%d lookups in 3 passes", asked)
		}
	})
}

// A name that nobody resolves stops nothing, and is not passed over in silence.
func TestANameThatDoesNotResolveIsSaid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce, From: []sync.From{{Source: "prod", Query: "shop"}}})
		s.Lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, Server: "10.0.0.53:53", IsNotFound: true}
		}
		r := s.sync(0)
		s.expect("sg-shop", bound(1, 2))
		want := []string{"the addresses of edge.test (netscaler edge) are not known (no such host), so they would not be kept out of service groups; " +
			"write the IP address into url, and the name into server_name"}
		if got := r.Outcomes[0].Notes; !slices.Equal(got, want) {
			t.Errorf("notes %q", got)
		}
		if r := s.sync(0); len(r.Outcomes[0].Notes) > 0 {
			t.Errorf("nothing is bound, and it says %q", r.Outcomes[0].Notes)
		}
	})
}

// A pass of some apps asks for the names of the NetScalers that it visits; the others'
// are asked for if they are not known, or for a minute.
func TestAnEventLooksUpTheNamesThatItVisits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2)), "cart": known(hosts(3, 4))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", NetScalers: []string{"core"}, Policy: atOnce})
		var mu gosync.Mutex
		var asked []string
		s.Lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, host)
			return []netip.Addr{netip.MustParseAddr("198.51.100.7")}, nil
		}
		for _, want := range []string{"[core.test edge.test]", "[edge.test]", "[core.test edge.test]"} {
			asked = nil
			if r := s.Sync(t.Context(), &sync.Part{Apps: []string{"shop"}}); r.Exit(false) != 0 {
				t.Error(r.Summary())
			}
			slices.Sort(asked)
			if got := fmt.Sprint(asked); got != want {
				t.Errorf("%s were looked up, want %s", got, want)
			}
			time.Sleep(40 * time.Second)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheAddressesOfAConsoleAndItsInstanceAreNeverBound(t *testing.T) {
	c, err := netscaler.Open(netscaler.Config{URLs: []string{"https://[2001:db8::5]:8443"}, Instance: netip.MustParseAddr("192.0.2.30"), Username: "u"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(c.Addresses(), c.Hosts()), "[192.0.2.30 2001:db8::5] []"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
