package sync

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Whoever owns an app decides about its own endpoints, and about nothing else: not
// that a NetScaler, a machine that holds secrets or the cluster itself is served
// to the clients of an app.

// unfit says why an address is never bound; empty if it may be. virtual are the
// addresses that the endpoint's cluster answers at itself.
func unfit(a netip.AddrPort, p Policy, virtual map[netip.Addr]string) string {
	ip := a.Addr()
	switch {
	case !ip.IsValid():
		return "it is not an address"
	case ip.Is4In6(), compatible.Contains(ip) && !ip.IsUnspecified() && !ip.IsLoopback():
		return "it is an IPv4 address in IPv6 form"
	case ip.Zone() != "":
		return "it has a zone"
	case a.Port() == 0:
		return "it has no port"
	case a.Port() == 65535:
		return "port 65535 means all ports on a NetScaler"
	}
	if why := refused(ip, p.Own, virtual); why != "" {
		return "it is " + why
	}
	for _, inner := range embedded(ip) {
		if why := refused(inner, p.Own, virtual); why != "" {
			return fmt.Sprintf("it leads to %v, which is %s", inner, why)
		}
	}
	if !inside(ip, p.Only) {
		return "it is " + outsideOnly
	}
	return ""
}

var (
	compatible = netip.MustParsePrefix("::/96")
	thisNet    = netip.MustParsePrefix("0.0.0.0/8")
	reserved   = netip.MustParsePrefix("240.0.0.0/4")

	// metadata are the addresses at which clouds hand out the credentials of a
	// machine, and those that are not link-local anyway.
	metadata = map[netip.Addr]bool{
		netip.MustParseAddr("169.254.169.254"): true,
		netip.MustParseAddr("100.100.100.200"): true, // Alibaba
		netip.MustParseAddr("168.63.129.16"):   true, // Azure
		netip.MustParseAddr("192.0.0.192"):     true, // Oracle
		netip.MustParseAddr("fd00:ec2::254"):   true, // AWS
		netip.MustParseAddr("fd00:ec2::23"):    true, // AWS, for pods
		netip.MustParseAddr("fd20:ce::254"):    true, // Google
		netip.MustParseAddr("fd00:42::42"):     true, // Scaleway
	}
)

// refused says what an address is that no endpoint has, whatever the mapping
// says.
func refused(ip netip.Addr, own, virtual map[netip.Addr]string) string {
	switch {
	case ip.IsUnspecified():
		return "the unspecified address"
	case ip.IsLoopback():
		return "a loopback address"
	case ip.IsMulticast():
		return "a multicast address"
	case metadata[ip]:
		return "the metadata service of a cloud"
	case ip.IsLinkLocalUnicast():
		return "a link-local address"
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	case thisNet.Contains(ip), reserved.Contains(ip):
		return "in a reserved network"
	case own[ip] != "":
		return "the address of " + own[ip]
	case virtual[ip] != "":
		return "the cluster's own address for " + virtual[ip]
	}
	return ""
}

// forms are the networks of IPv6 whose addresses lead to an IPv4 address, and the
// bytes of these that hold it. Within a network for local use, each translator
// chooses one of the lengths of RFC 6052.
var forms = []struct {
	prefix netip.Prefix
	at     [][4]int
	mask   uint32
}{
	{netip.MustParsePrefix("64:ff9b::/96"), [][4]int{{12, 13, 14, 15}}, 0},                                                   // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), [][4]int{{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}}, 0}, // NAT64, local
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [][4]int{{12, 13, 14, 15}}, 0},                                                // SIIT
	{netip.MustParsePrefix("2002::/16"), [][4]int{{2, 3, 4, 5}}, 0},                                                          // 6to4
	{netip.MustParsePrefix("2001::/32"), [][4]int{{4, 5, 6, 7}}, 0},                                                          // Teredo: the server
	{netip.MustParsePrefix("2001::/32"), [][4]int{{12, 13, 14, 15}}, 0xffffffff},                                             // and the client
}

// embedded are the IPv4 addresses that an IPv6 address leads to.
func embedded(ip netip.Addr) (all []netip.Addr) {
	if ip.Is4() {
		return nil
	}
	b := ip.As16()
	for _, f := range forms {
		if !f.prefix.Contains(ip) {
			continue
		}
		for _, at := range f.at {
			n := binary.BigEndian.Uint32([]byte{b[at[0]], b[at[1]], b[at[2]], b[at[3]]}) ^ f.mask
			if n>>24 == 0 && len(f.at) > 1 {
				continue // the zeros around an address of another length
			}
			all = append(all, netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n))))
		}
	}
	// ISATAP marks the last four bytes, whatever the network.
	if isatap := binary.BigEndian.Uint32(b[8:12]) &^ 0x02000000; isatap == 0x00005efe {
		all = append(all, netip.AddrFrom4([4]byte(b[12:])))
	}
	return all
}

const outsideOnly = "outside the networks in only"

func inside(ip netip.Addr, only []netip.Prefix) bool {
	return len(only) == 0 || slices.ContainsFunc(only, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// resolved is what a name led to when that was last known, and why it is not known
// now.
type resolved struct {
	addrs []netip.Addr
	err   error
	at    time.Time // when it was asked
}

// namesKept is how long a pass takes the addresses of names as they were, if it does not
// visit their NetScalers.
const namesKept = time.Minute

// lookUpWithin is how long a pass waits for the names of its NetScalers.
const lookUpWithin = 2 * time.Second

// lookUp resolves the names in the URLs of the NetScalers that are visited, and now and
// then of all of the mapping, once a pass: the only place where that is done for the sake
// of [Policy.Own]. A name that cannot be resolved keeps the addresses that it had; if it
// never had one, the apps that get new members in this pass have a note.
func (s *Syncer) lookUp(ctx context.Context, visits map[string]*visit) {
	if s.Lookup == nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookUpWithin, fmt.Errorf("no answer within %v", lookUpWithin))
	defer cancel()
	type question struct {
		*NetScaler
		host string
	}
	var asked []question
	for name, ns := range s.NetScalers {
		for _, host := range ns.Client.Hosts() {
			if r := ns.resolved()[host]; visits[name] != nil || r.err != nil || time.Since(r.at) > namesKept {
				asked = append(asked, question{ns, host})
			}
		}
	}
	answers := make([]resolved, len(asked))
	var g errgroup.Group
	for i, q := range asked {
		g.Go(func() error {
			answers[i].addrs, answers[i].err = s.Lookup(ctx, "ip", q.host)
			return nil
		})
	}
	_ = g.Wait() // errors are kept with the names
	names := map[*NetScaler]map[string]resolved{}
	for i, q := range asked {
		if answers[i].err != nil {
			answers[i].addrs = q.resolved()[q.host].addrs
		}
		if names[q.NetScaler] == nil {
			names[q.NetScaler] = map[string]resolved{}
			maps.Copy(names[q.NetScaler], q.resolved())
		}
		answers[i].at = time.Now()
		names[q.NetScaler][q.host] = answers[i]
	}
	for ns, all := range names {
		ns.names.Store(&all)
	}
}

// resolved are the names in the NetScaler's URLs, as they were last looked up.
func (n *NetScaler) resolved() map[string]resolved {
	if names := n.names.Load(); names != nil {
		return *names
	}
	return nil
}

// own are the addresses of the mapping's NetScalers and Consoles, as far as they
// are known: those in the URLs, those of names, those that connections were made
// to, and those of nodes that were asked for their role or for all nodes.
func (s *Syncer) own() map[netip.Addr]string {
	all := map[netip.Addr]string{}
	for _, name := range slices.Sorted(maps.Keys(s.NetScalers)) {
		ns := s.NetScalers[name]
		addrs := ns.Client.Addresses()
		for _, r := range ns.resolved() {
			addrs = append(addrs, r.addrs...)
		}
		for _, a := range addrs {
			all[a.Unmap().WithZone("")] = cmp.Or(all[a.Unmap().WithZone("")], "netscaler "+name)
		}
	}
	return all
}

// unknownOwn are the notes about addresses that should be in [Policy.Own].
func (v *visit) unknownOwn() (notes []string) {
	for _, name := range slices.Sorted(maps.Keys(v.NetScalers)) {
		ns := v.NetScalers[name]
		names := ns.resolved()
		for _, host := range slices.Sorted(maps.Keys(names)) {
			var dns *net.DNSError
			r := names[host]
			if why := r.err; why != nil && len(r.addrs) == 0 {
				if errors.As(why, &dns) {
					why = errors.New(dns.Err)
				}
				notes = append(notes, fmt.Sprintf("the addresses of %s (netscaler %s) are not known (%v), so they would not be kept out of service groups; "+
					"write the IP address into url, and the name into server_name", host, name, why))
			}
		}
	}
	return notes
}
