package netscaler

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
)

// addresses are those that lead to the appliance, as they become known.
type addresses struct {
	mu  sync.Mutex
	all map[netip.Addr]bool
}

func (a *addresses) add(more ...netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[netip.Addr]bool{}
	}
	for _, addr := range more {
		a.all[addr.Unmap().WithZone("")] = true
	}
}

// Addresses are those in the URLs, that of the instance behind a Console, those
// that connections were made to and those of nodes, as far as these were asked for
// their role or by [Client.Nodes]. Sorted.
func (c *Client) Addresses() []netip.Addr {
	c.addresses.mu.Lock()
	defer c.addresses.mu.Unlock()
	return slices.SortedFunc(maps.Keys(c.addresses.all), netip.Addr.Compare)
}

// Hosts are the hosts in the URLs that are no addresses.
func (c *Client) Hosts() (names []string) {
	for _, host := range c.cfg.hosts() {
		if _, err := netip.ParseAddr(host); err != nil {
			names = append(names, host)
		}
	}
	return names
}

// hosts are those in the URLs.
func (c Config) hosts() (hosts []string) {
	for _, text := range c.URLs {
		if u, err := url.Parse(text); err == nil { // as Open has seen
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

// dialer connects to the appliance, and takes down at which address it is. What is
// connected to instead of it, a proxy, is not.
func (c *Client) dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	hosts := c.cfg.hosts()
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(address)
		if at, ok := conn.RemoteAddr().(*net.TCPAddr); ok && err == nil && slices.Contains(hosts, host) {
			c.addresses.add(at.AddrPort().Addr())
		}
		return conn, nil
	}
}
