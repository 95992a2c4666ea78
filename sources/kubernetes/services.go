package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/httpapi"
)

const (
	// maxSelector is the size in bytes of a list of service names in a URL:
	// some proxies refuse a request line of more than 4 or 8 KB.
	maxSelector = 4000
	// parallel is how many namespaces, or services, are read at a time.
	parallel = 8
	// remember is for how long namespaces are listed one by one because the
	// cluster-wide lists were forbidden, and how many objects there are is known.
	remember = 10 * time.Minute
	// tooMany is the number of objects of a list that is too large or too slow.
	tooMany = 1 << 30
	// enoughServices are about 100 KB.
	enoughServices = 100
)

// view is what a poll has read of services. It is complete but for what it says
// has failed.
type view struct {
	services map[key]*service
	slices   map[key][]slice
	bad      map[key]error    // objects of a service that cannot be read
	failed   map[string]error // by namespace
	known    sources.Names    // of services
}

func newView() *view {
	v := &view{services: map[key]*service{}, slices: map[key][]slice{}, bad: map[key]error{}, failed: map[string]error{}}
	v.known.All = v.names
	return v
}

// named are services of a namespace by their names; true: with their slices.
type named map[string]bool

// sliced are the names of those whose slices are to be read.
func (n named) sliced() []string {
	var names []string
	for name, slices := range n {
		if slices {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// readServices reads the slices and services of the queries. With several
// namespaces that is done cluster-wide. Where that is forbidden or takes too much,
// each is read by itself; an error is then the doubt of its apps alone, so that no
// tenant holds up the others.
func readServices(ctx context.Context, c *client, queries []Query) (*view, error) {
	names := namesOf(queries)
	namespaces := slices.Sorted(maps.Keys(names))
	parts, errs := spread(ctx, c, namespaces, 0.7, func(ctx context.Context, namespace string) (*view, error) { // nodes and pods come after these
		v := newView()
		return v, v.read(ctx, c, namespace, names)
	})
	if len(parts) == 1 {
		return parts[0], errs[0]
	}
	v := newView()
	for i, part := range parts {
		if errs[i] != nil {
			v.failed[namespaces[i]] = errs[i]
		}
		maps.Copy(v.services, part.services)
		maps.Copy(v.slices, part.slices)
		maps.Copy(v.bad, part.bad)
	}
	return v, nil
}

// spread reads what is in namespaces, at once as namespace "" or, where that is forbidden
// or takes too much, each by itself in a part of the time: then parts and errs are those
// of each, else there is one.
func spread[T any](ctx context.Context, c *client, namespaces []string, part float64,
	read func(ctx context.Context, namespace string) (T, error)) (parts []T, errs []error) {
	parts, errs = make([]T, len(namespaces)), make([]error, len(namespaces))
	switch {
	case len(namespaces) == 1:
		parts[0], errs[0] = read(ctx, namespaces[0])
		return parts, errs
	case !c.forbidden.lately():
		half, cancel := share(ctx, 0.5)
		all, err := read(half, "")
		much := tooMuch(ctx, half, err)
		cancel()
		if !much && !httpapi.Forbidden(err) {
			return []T{all}, []error{err}
		}
		c.forbidden.note()
	}
	inTurns(ctx, len(namespaces), part, func(ctx context.Context, i int) { parts[i], errs[i] = read(ctx, namespaces[i]) })
	return parts, errs
}

// share is a context for a part of the time that is left.
func share(ctx context.Context, part float64) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Duration(float64(time.Until(deadline)) * part)
	over := fmt.Errorf("no answer within %v, its share of the source's timeout", left.Round(time.Millisecond))
	return context.WithTimeoutCause(ctx, left, over)
}

// tooMuch says whether a list failed because there is too much in it, although
// there is time left beyond its share.
func tooMuch(ctx, share context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && (share.Err() != nil || errors.Is(err, bounds.ErrTooLarge) ||
		httpapi.HasCode(err, http.StatusGatewayTimeout) || httpapi.HasCode(err, http.StatusGone))
}

// namesOf are the names of the services to read, by namespace.
func namesOf(queries []Query) map[string]named {
	names := map[string]named{}
	for _, q := range queries {
		k := q.key()
		if names[k.namespace] == nil {
			names[k.namespace] = named{}
		}
		names[k.namespace][k.name] = names[k.namespace][k.name] || q.address() != LoadBalancer
	}
	return names
}

// namesIn are the names in a namespace or, if that is "", in all.
func namesIn(namespace string, names map[string]named) named {
	if namespace != "" {
		return names[namespace]
	}
	all := named{}
	for _, n := range names {
		for name, slices := range n {
			all[name] = all[name] || slices
		}
	}
	return all
}

// read reads the named services of a namespace or, if that is "", of all, and
// their slices.
func (v *view) read(ctx context.Context, c *client, namespace string, names map[string]named) error {
	for _, selector := range selectors(serviceOf, namesIn(namespace, names).sliced()) {
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
	var wanted []key
	for in, n := range names {
		for name := range n {
			if namespace == "" || namespace == in {
				wanted = append(wanted, key{in, name})
			}
		}
	}
	return v.readThese(ctx, c, namespace, wanted)
}

// readThese reads the wanted services of a namespace or, if that is "", of all:
// from a list or, where that is cheaper or the list is too much, by their names.
func (v *view) readThese(ctx context.Context, c *client, namespace string, wanted []key) error {
	p := pager[service]{c: c, resource: services, query: query{namespace: namespace}}
	of, known := c.total(services, namespace)
	if !known {
		p.limit = firstPage(len(wanted), enoughServices)
	}
	part := ctx
	if namespace != "" { // of all namespaces what remains is the caller's to share
		half, cancel := share(ctx, 0.5)
		defer cancel()
		part = half
	}
	for first := true; first || p.next != ""; first = false {
		if len(wanted) == 1 || known && cheapest(len(wanted), of, 0) == byName {
			return v.readNamed(ctx, c, wanted)
		}
		items, err := p.read(part)
		switch {
		case namespace != "" && tooMuch(ctx, part, err):
			c.setTotal(services, namespace, tooMany)
			return v.readNamed(ctx, c, wanted)
		case err != nil:
			return err
		}
		v.add(items, nil)
		p.limit, of, known = 0, p.remaining, true
		if first {
			c.setTotal(services, namespace, len(items)+of)
		}
	}
	v.add(nil, p.bad)
	return nil
}

// readNamed reads services by their names, for which the right to list them is
// enough, too.
func (v *view) readNamed(ctx context.Context, c *client, wanted []key) error {
	var mu sync.Mutex
	errs := make([]error, len(wanted))
	missing := map[string]bool{}
	inParallel(len(wanted), func(i int) {
		one := query{namespace: wanted[i].namespace, fieldSelector: "metadata.name=" + wanted[i].name}
		items, bad, err := list[service](ctx, c, services, one)
		mu.Lock()
		defer mu.Unlock()
		errs[i] = err
		v.add(items, bad)
		if err == nil && len(items)+len(bad) == 0 {
			missing[wanted[i].namespace] = true
		}
	})
	for namespace := range missing {
		v.add(near(ctx, c, namespace), nil)
	}
	return errors.Join(errs...)
}

// near are services of a namespace in which one is missing, for a suggestion: a
// page of them, if that is to be had at little cost.
func near(ctx context.Context, c *client, namespace string) []service {
	ctx, cancel := share(ctx, 0.2)
	defer cancel()
	p := pager[service]{c: c, resource: services, query: query{namespace: namespace}, limit: enoughServices, max: 4 << 20}
	items, err := p.read(ctx)
	if err != nil {
		return nil // then there is no suggestion
	}
	return items
}

func (v *view) add(items []service, bad []misread) {
	for i := range items {
		v.services[key{items[i].Metadata.Namespace, items[i].Metadata.Name}] = &items[i]
	}
	for _, b := range bad {
		v.bad[key{b.meta.Namespace, b.meta.Name}] = b.err
	}
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

// selectors choose objects by the names in a label, each in a URL of reasonable
// length.
func selectors(label string, names []string) []string {
	var all []string
	for len(names) > 0 {
		n, size := 0, 0
		for n < len(names) && (n == 0 || size+len(names[n]) < maxSelector) {
			size += len(names[n]) + 1
			n++
		}
		all = append(all, label+" in ("+strings.Join(names[:n], ",")+")")
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
		return nil, v.known.Absent("service", k.String())
	}
	return s, nil
}

// names are those of all services that were read.
func (v *view) names() []string {
	names := make([]string, 0, len(v.services))
	for k := range v.services {
		names = append(names, k.String())
	}
	slices.Sort(names)
	return names
}

// total is how many objects there were in a namespace, or with "" in all, when they
// were listed last, if that is not long ago.
func (c *client) total(r resource, namespace string) (n int, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, known := c.totals[r.plural+" "+namespace]
	return t.objects, known && time.Since(t.at) < remember
}

func (c *client) setTotal(r resource, namespace string, objects int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.totals == nil {
		c.totals = map[string]total{}
	}
	c.totals[r.plural+" "+namespace] = total{objects, time.Now()}
}

// sighting is remembered for a while.
type sighting struct{ at atomic.Pointer[time.Time] }

func (s *sighting) note() { s.at.Store(new(time.Now())) }

func (s *sighting) lately() bool {
	at := s.at.Load()
	return at != nil && time.Since(*at) <= remember
}

// inParallel calls do for 0 to n-1, a few at a time, and waits for all.
func inParallel(n int, do func(i int)) {
	var all errgroup.Group
	all.SetLimit(parallel)
	for i := range n {
		all.Go(func() error { do(i); return nil })
	}
	_ = all.Wait()
}

// inTurns is the same for what tenants can make slow: of a part of the time that
// is left each turn gets its share, so that nobody uses up that of the others.
func inTurns(ctx context.Context, n int, part float64, do func(ctx context.Context, i int)) {
	inParallel(n, func(i int) {
		turns := (n - i + parallel - 1) / parallel
		turn, cancel := share(ctx, part/float64(turns))
		defer cancel()
		do(turn, i)
	})
}
