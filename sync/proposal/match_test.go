package proposal

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nitrox/sources"
)

type query struct {
	Service string `yaml:"service"`
	Port    string `yaml:"port"`
}

// offer is "SOURCE NAME[:PORT][ at PLACE] ADDRESS[/PROTOCOL]…".
func offer(text string) Candidate {
	f := strings.Fields(text)
	name, port, _ := strings.Cut(f[1], ":")
	c := Candidate{Source: f[0], Listed: sources.Listed{Query: query{name, port}, Name: name, Port: port, At: "nodes"}}
	f = f[2:]
	if len(f) > 0 && f[0] == "at" {
		c.At, f = f[1], f[2:]
	}
	for _, at := range f {
		addr, protocol, _ := strings.Cut(at, "/")
		c.Endpoints = append(c.Endpoints, sources.Endpoint{Addr: netip.MustParseAddrPort(addr), Protocol: sources.Protocol(protocol)})
	}
	return c
}

func members(text string) (all []netip.AddrPort) {
	for _, at := range strings.Fields(text) {
		all = append(all, netip.MustParseAddrPort(at))
	}
	return all
}

func TestMatch(t *testing.T) {
	for name, c := range map[string]struct {
		group, members string
		protocol       sources.Protocol
		candidates     []string
		want           string // the entries, what of the members they are, what is new; or why not, and choices
	}{
		"members decide, whatever the names": {"sg-account", "10.0.0.1:1 10.0.0.2:1", "",
			[]string{"s account 10.0.0.9:9", "s other 10.0.0.1:1 10.0.0.2:1"}, "s other; 2 found, 0 new"},
		"more endpoints than members": {"g", "10.0.0.1:1", "", []string{"s a 10.0.0.1:1 10.0.0.2:1"}, "s a; 1 found, 1 new"},
		"the one with less beside it": {"g", "10.0.0.1:1", "",
			[]string{"s a 10.0.0.1:1 10.0.0.2:1", "s b 10.0.0.1:1"}, "s b; 1 found, 0 new"},
		"two sources fill one group": {"g", "10.0.0.1:1 10.1.0.1:1", "",
			[]string{"old a 10.0.0.1:1", "new a 10.1.0.1:1"}, "old a, new a; 2 found, 0 new"},
		"what is beside the first brings nothing new": {"g", "10.0.0.1:1 10.0.0.2:1 10.1.0.1:1", "",
			[]string{"s a 10.0.0.1:1 10.0.0.2:1", "s b 10.1.0.1:1 10.1.0.2:1"}, "s a; 2 found, 0 new"},
		"two have the members, and one the name": {"sg-cart", "10.0.0.1:1", "",
			[]string{"s shop/basket 10.0.0.1:1", "s shop/cart 10.0.0.1:1"}, "s shop/cart; 1 found, 0 new"},
		"two have the members": {"g", "10.0.0.1:1", "",
			[]string{"s a 10.0.0.1:1", "s b 10.0.0.1:1"}, "several services have its members: s a, s b"},
		"two ways to ask for one: the usual one": {"g", "10.0.0.1:1", "",
			[]string{"s a 10.0.0.1:1", "s a at pods 10.0.0.1:1"}, "s a; 1 found, 0 new"},
		"two ways: the one that has all members": {"g", "10.0.0.1:1 10.0.0.2:1", "",
			[]string{"s a 10.0.0.1:1", "s a at all 10.0.0.1:1 10.0.0.2:1"}, "s a; 2 found, 0 new"},
		"the protocol": {"sg-dns", "10.0.0.1:53", "udp",
			[]string{"s a:53/tcp 10.0.0.1:53/tcp", "s a:53/udp 10.0.0.1:53/udp"}, "s a:53/udp; 1 found, 0 new"},
		"few of the members, and another name": {"g", "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1", "",
			[]string{"s a 10.0.0.1:1"}, "only a few of its members are endpoints of a service, and the names differ: s a"},
		"few of the members, and the name": {"sg-a", "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1", "",
			[]string{"s a 10.0.0.1:1"}, "s a; 1 found, 0 new"},
		"the name, no members":          {"sg-account", "", "", []string{"s shop/account 10.0.0.1:1"}, "s shop/account; 0 found, 1 new"},
		"the name of a path":            {"sg-account", "", "", []string{"s /shop/account 10.0.0.1:1"}, "s /shop/account; 0 found, 1 new"},
		"the name in capitals":          {"AccountService", "", "", []string{"s account 10.0.0.1:1"}, "s account; 0 found, 1 new"},
		"the whole name before a part":  {"sg-shop-account", "", "", []string{"s dev/shop-account", "s shop/account"}, "s shop/account; 0 found, 0 new"},
		"the name with the port":        {"sg-account-admin", "", "", []string{"s account:http", "s account:admin"}, "s account:admin; 0 found, 0 new"},
		"the name, and several ports":   {"sg-account", "", "", []string{"s account:http", "s account:admin"}, "several services have its name: s account:http, s account:admin"},
		"the name in two namespaces":    {"sg-account", "", "", []string{"s shop/account", "s dev/account"}, "several services have its name: s shop/account, s dev/account"},
		"the name, and other machines":  {"sg-account", "10.9.9.9:80", "", []string{"s account 10.0.0.1:1"}, "a service has its name, and none of its members: s account"},
		"the name, and the same hosts":  {"sg-account", "10.0.0.1:80", "", []string{"s account 10.0.0.1:1"}, "s account; 0 found, 1 new"},
		"almost the name":               {"sg-acount", "", "", []string{"s shop/account"}, "none of its members is a ready endpoint, and no service has its name: s shop/account"},
		"nothing":                       {"sg-account", "", "", []string{"s cart"}, "none of its members is a ready endpoint, and no service has its name: "},
		"a name of nothing but a habit": {"sg", "", "", []string{"s svc"}, "none of its members is a ready endpoint, and no service has its name: "},
		"a name without letters":        {"_", "", "", []string{"s -"}, "none of its members is a ready endpoint, and no service has its name: "},
	} {
		t.Run(name, func(t *testing.T) {
			var candidates []Candidate
			for _, text := range c.candidates {
				candidates = append(candidates, offer(text))
			}
			a := Match([]Group{{Name: c.group, Protocol: c.protocol, Members: members(c.members)}}, candidates, nil)[0]
			said := func(list []Candidate) string {
				var all []string
				for _, c := range list {
					all = append(all, strings.TrimSuffix(c.Source+" "+c.Name+":"+c.Port, ":"))
				}
				return strings.Join(all, ", ")
			}
			got := fmt.Sprintf("%s; %d found, %d new", said(a.From), a.Found, a.New)
			if len(a.From) == 0 {
				got = a.Why + ": " + said(a.Choices)
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// Networks have all members and nodes, and no address of the cluster's own.
func TestCover(t *testing.T) {
	for name, c := range map[string]struct{ addrs, virtual, want string }{
		"one network":                   {"10.0.3.11 10.0.3.200", "", "10.0.3.0/24"},
		"two":                           {"10.0.3.11 10.0.7.1", "", "10.0.3.0/24 10.0.7.0/24"},
		"IPv6":                          {"2001:db8::1 2001:db8::ffff 10.0.0.1", "", "10.0.0.0/24 2001:db8::/64"},
		"none":                          {"", "", ""},
		"a ClusterIP next to it":        {"10.0.3.11", "10.0.3.200", "10.0.3.0/25"},
		"a ClusterIP right beside it":   {"10.0.3.10", "10.0.3.11", "10.0.3.10/32"},
		"a ClusterIP itself":            {"10.0.3.11", "10.0.3.11", ""},
		"many networks of pods are one": {"10.1.0.1 10.1.1.1 10.1.2.1 10.1.3.1 10.1.4.1 10.1.5.1 10.1.6.1 10.1.7.1 10.1.8.1", "", "10.1.0.0/22 10.1.4.0/23 10.1.6.0/23 10.1.8.0/24"},
		"not where that would take in a ClusterIP": {"10.1.0.1 10.1.0.1 10.3.1.1 10.5.2.1 10.7.3.1 10.9.4.1 10.11.5.1 10.13.6.1 10.15.0.1 10.15.2.1", "10.15.1.1",
			"10.1.0.0/24 10.3.1.0/24 10.5.2.0/24 10.7.3.0/24 10.9.4.0/24 10.11.5.0/24 10.13.6.0/24 10.15.0.0/24 10.15.2.0/24"},
	} {
		t.Run(name, func(t *testing.T) {
			parse := func(text string) (all []netip.Addr) {
				for _, a := range strings.Fields(text) {
					all = append(all, netip.MustParseAddr(a))
				}
				return all
			}
			var got []string
			for _, p := range cover(parse(c.addrs), parse(c.virtual)) {
				got = append(got, p.String())
			}
			if !slices.Equal(got, strings.Fields(c.want)) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// What an app may bind has the nodes that run nothing of it yet.
func TestNodesAreCovered(t *testing.T) {
	c := offer("s a 10.0.0.1:1")
	c.Nodes = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.7.1")}
	a := Match([]Group{{Name: "g", Members: members("10.0.0.1:1")}}, []Candidate{c, offer("s pods at pods 10.9.0.1:1")}, nil)[0]
	if got := fmt.Sprint(a.Only); got != "[10.0.0.0/24 10.0.7.0/24]" {
		t.Errorf("only %s", got)
	}
}
