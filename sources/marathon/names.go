package marathon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"nitrox/sources"
)

const (
	// nameAge is how long an agent's address is used without asking again.
	nameAge = time.Minute
	// lookupTimeout bounds a look-up, and lookups how many go on at a time.
	lookupTimeout = 3 * time.Second
	lookups       = 16
)

// names remembers the addresses of agents that are known by name. They outlive
// a resolver that fails.
type names struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error) // of a host name

	mu    sync.Mutex
	known map[string]known
}

type known struct {
	addr netip.Addr
	at   time.Time
}

// addresses are those of hosts, each a name or an address, or why there is
// none. fresh asks for all again, and takes no older answer instead.
func (n *names) addresses(ctx context.Context, hosts []string, fresh bool) (map[string]netip.Addr, map[string]error) {
	found, failed := make(map[string]netip.Addr), make(map[string]error)
	var mu sync.Mutex
	var all errgroup.Group
	all.SetLimit(lookups)
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			if addr = addr.Unmap(); sources.Reachable(addr) {
				found[host] = addr
			} else {
				failed[host] = fmt.Errorf("no other machine is reached at %v; start the agent with the right --ip or --hostname", addr)
			}
			continue
		}
		all.Go(func() error {
			addr, err := n.address(ctx, host, fresh)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[host] = err
			} else {
				found[host] = addr
			}
			return nil
		})
	}
	_ = all.Wait() // failures are in failed
	return found, failed
}

func (n *names) address(ctx context.Context, host string, fresh bool) (netip.Addr, error) {
	n.mu.Lock()
	last, ok := n.known[host]
	n.mu.Unlock()
	if ok && !fresh && time.Since(last.at) < nameAge {
		return last.addr, nil
	}
	limited, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addrs, err := n.lookup(limited, "ip", host)
	// Of several always the same one, IPv4 first.
	for i := range addrs {
		addrs[i] = addrs[i].Unmap().WithZone("")
	}
	usable := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !sources.Reachable(a) })
	switch {
	case err == nil && len(addrs) == 0:
		err = errors.New("it has no address")
	case err == nil && len(usable) == 0:
		err = fmt.Errorf("it resolves to %v, at which no other machine is reached; correct /etc/hosts or the resolver, or let the agent register by its address", addrs[0])
	}
	switch {
	case err == nil:
	case ok && !fresh:
		return last.addr, nil
	default:
		return netip.Addr{}, fmt.Errorf("look up agent %s: %w", host, err)
	}
	addr := slices.MinFunc(usable, netip.Addr.Compare)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = make(map[string]known)
	}
	n.known[host] = known{addr, time.Now()}
	return addr, nil
}
