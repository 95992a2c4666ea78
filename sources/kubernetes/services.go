package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"nitrox/sources"
	"nitrox/sources/httpapi"
)

const (
	// maxSelector is the size in bytes of a list of service names in a URL:
	// some proxies refuse a request line of more than 4 or 8 KB.
	maxSelector = 4000
	// parallel is how many namespaces, or services, are read at a time.
	parallel = 8
	// remember is for how long namespaces are listed one by one because the
	// cluster-wide lists were forbidden.
	remember = 10 * time.Minute
)

// view is what a poll has read of services. It is complete but for what it says
// has failed.
type view struct {
	services map[key]*service
	slices   map[key][]slice
	bad      map[key]error    // objects of a service that cannot be read
	failed   map[string]error // by namespace
}

func newView() *view {
	return &view{map[key]*service{}, map[key][]slice{}, map[key]error{}, map[string]error{}}
}

// readServices reads the slices and services of the queries. With several
// namespaces that is done cluster-wide, or else, where that is forbidden, in
// each of them; an error is then the doubt of its namespace alone.
func readServices(ctx context.Context, c *client, queries []Query) (*view, error) {
	names := namesOf(queries)
	namespaces := slices.Sorted(maps.Keys(names))
	v := newView()
	if len(namespaces) == 1 {
		return v, v.read(ctx, c, namespaces[0], names[namespaces[0]])
	}
	if c.clusterWide() {
		all := map[string]bool{}
		for _, n := range names {
			maps.Copy(all, n)
		}
		err := v.read(ctx, c, "", all)
		if !httpapi.Forbidden(err) {
			return v, err
		}
		c.notClusterWide()
	}
	parts := make([]*view, len(namespaces))
	inParallel(len(namespaces), func(i int) {
		part := newView()
		if err := part.read(ctx, c, namespaces[i], names[namespaces[i]]); err != nil {
			part.failed[namespaces[i]] = err
		}
		parts[i] = part
	})
	for _, part := range parts {
		maps.Copy(v.services, part.services)
		maps.Copy(v.slices, part.slices)
		maps.Copy(v.bad, part.bad)
		maps.Copy(v.failed, part.failed)
	}
	return v, nil
}

// namesOf are the names of services with slices to read, by namespace.
func namesOf(queries []Query) map[string]map[string]bool {
	names := map[string]map[string]bool{}
	for _, q := range queries {
		k := q.key()
		if names[k.namespace] == nil {
			names[k.namespace] = map[string]bool{}
		}
		if q.address() != LoadBalancer {
			names[k.namespace][k.name] = true
		}
	}
	return names
}

// read reads the slices of the named services and all services, of a namespace
// or, if that is "", of all.
func (v *view) read(ctx context.Context, c *client, namespace string, names map[string]bool) error {
	for _, selector := range selectors(slices.Sorted(maps.Keys(names))) {
		items, bad, err := list[slice](ctx, c, endpointSlices, query{namespace: namespace, labelSelector: selector})
		if err != nil {
			return err
		}
		for _, sl := range items {
			k := key{sl.Metadata.Namespace, sl.Metadata.Labels[serviceOf]}
			v.slices[k] = append(v.slices[k], sl)
		}
		for _, b := range bad {
			v.bad[key{b.meta.Namespace, b.meta.Labels[serviceOf]}] = fmt.Errorf("EndpointSlice %s: %w", b.meta.Name, b.err)
		}
	}
	items, bad, err := list[service](ctx, c, services, query{namespace: namespace})
	if err != nil {
		return err
	}
	for i := range items {
		v.services[key{items[i].Metadata.Namespace, items[i].Metadata.Name}] = &items[i]
	}
	for _, b := range bad {
		v.bad[key{b.meta.Namespace, b.meta.Name}] = b.err
	}
	return nil
}

// virtual are the ClusterIPs of all services that were read.
func (v *view) virtual() map[netip.Addr]string {
	all := map[netip.Addr]string{}
	for k, s := range v.services {
		for _, text := range append(s.Spec.ClusterIPs, s.Spec.ClusterIP) {
			if a, err := netip.ParseAddr(text); err == nil { // not None
				all[a] = "service " + k.String()
			}
		}
	}
	return all
}

// selectors choose the slices of services, each in a URL of reasonable length.
func selectors(names []string) []string {
	var all []string
	for len(names) > 0 {
		n, size := 0, 0
		for n < len(names) && (n == 0 || size+len(names[n]) < maxSelector) {
			size += len(names[n]) + 1
			n++
		}
		all = append(all, serviceOf+" in ("+strings.Join(names[:n], ",")+")")
		names = names[n:]
	}
	return all
}

// service returns a service, or why nothing is known of it.
func (v *view) service(k key) (*service, error) {
	if err := v.failed[k.namespace]; err != nil {
		return nil, err
	}
	if err := v.bad[k]; err != nil {
		return nil, fmt.Errorf("service %s: the answer cannot be read: %w", k, err)
	}
	s, ok := v.services[k]
	if !ok {
		return nil, fmt.Errorf("service %s: %w", k, sources.ErrAbsent)
	}
	return s, nil
}

// clusterWide says whether to try the lists of all namespaces.
func (c *client) clusterWide() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forbidden.IsZero() || time.Since(c.forbidden) > remember
}

func (c *client) notClusterWide() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forbidden = time.Now()
}

// inParallel calls do for 0 to n-1, a few at a time, and waits for all.
func inParallel(n int, do func(i int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(n, parallel) {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}
