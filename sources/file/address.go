package file

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// parseAddress reads "10.0.3.14:31080" or "[2001:db8::1]:31080".
func parseAddress(text string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address and port like 10.0.3.14:31080 or [2001:db8::1]:31080", text)
	}
	return parseHostPort(host, port)
}

// parseHostPort does not look up names: one that does not resolve for a moment
// would look like a member that has left.
func parseHostPort(host, port string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address (host names are not resolved; write the address)", host)
	}
	if addr.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%q has a zone, which means nothing on another machine", host)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%s: port %q is not a number from 1 to 65535", host, port)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}
