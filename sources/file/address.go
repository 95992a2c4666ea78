package file

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"nitrox/sources"
)

// parseAddress reads "10.0.3.14:31080", "[2001:db8::1]:31080" or, with what it
// speaks, "10.0.3.14:53/udp".
func parseAddress(text string) (sources.Endpoint, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return sources.Endpoint{}, fmt.Errorf("%q is not an address and port like 10.0.3.14:31080 or [2001:db8::1]:31080", text)
	}
	return parseHostPort(host, port)
}

// parseHostPort does not look up names: one that does not resolve for a moment
// would look like a member that has left.
func parseHostPort(host, port string) (sources.Endpoint, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return sources.Endpoint{}, fmt.Errorf("%q is not an IP address (host names are not resolved; write the address)", host)
	}
	if addr.Zone() != "" {
		return sources.Endpoint{}, fmt.Errorf("%q has a zone, which means nothing on another machine", host)
	}
	if err := sources.Port(port).Check(); err != nil {
		return sources.Endpoint{}, fmt.Errorf("%s: %w", host, err)
	}
	number, protocol := sources.Port(port).Cut()
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return sources.Endpoint{}, fmt.Errorf("%s: port %q is not a number from 1 to 65535", host, port)
	}
	return sources.Endpoint{Addr: netip.AddrPortFrom(addr.Unmap(), uint16(n)), Protocol: protocol}, nil
}
