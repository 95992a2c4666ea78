package kubernetes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nitrox/sources"
	"nitrox/sources/httpapi"
)

// target is what a query is about.
type target struct {
	query     Query
	service   *service
	port      servicePort
	family    string     // IPv4 or IPv6
	endpoints []endpoint // each once, of the port and the family
	pods      *podView   // nil: not read
	sources.Finding
}

// endpoint is one backend of a service, mostly a pod.
type endpoint struct {
	addr                        netip.Addr
	port                        uint16 // 0: the slice does not say
	node                        string // "": the slice does not say
	zone                        string // "": the slice does not say
	name, uid                   string // of the pod; name may be the address
	ready, serving, terminating bool
}

func (e endpoint) String() string { return "pod " + e.name }

// identity tells endpoints apart. A pod may serve at several ports, and an address
// is another pod's as soon as its pod is gone.
type identity struct {
	uid string
	at  netip.AddrPort
}

func (e endpoint) identity() identity { return identity{e.uid, netip.AddrPortFrom(e.addr, e.port)} }

// target finds a query's service, port and endpoints, or says why it cannot:
// the doubt of the answer.
func (v *view) target(q Query) (*target, error) {
	k := q.key()
	s, err := v.service(k)
	if err != nil {
		return nil, err
	}
	t := &target{query: q, service: s}
	fail := func(format string, args ...any) (*target, error) {
		return nil, fmt.Errorf("service %s "+format, append([]any{k}, args...)...)
	}
	if s.Spec.Type == "ExternalName" {
		return fail("is of type ExternalName: it is a DNS name, without endpoints; name a service that has pods")
	}
	if t.port, err = s.port(q.Port); err != nil {
		return fail("%w", err)
	}
	if t.family, err = s.family(q.Family); err != nil {
		return fail("%w", err)
	}
	switch address := q.address(); {
	case address == LoadBalancer && s.Spec.Type != "LoadBalancer":
		return fail("is of type %s; only a LoadBalancer has load balancer addresses", s.Spec.Type)
	case address == LoadBalancer:
		return t, nil
	case address == NodePort && s.Spec.ClusterIP == "None":
		return fail("is headless and has no node port; use address: pod_ip")
	case address == NodePort && t.port.NodePort == 0:
		return fail("is of type %s and its port %v has no node port; make it a NodePort, or choose another address", s.Spec.Type, t.port)
	}
	var own, others []slice
	for _, sl := range v.slices[k] {
		switch sl.AddressType {
		case t.family:
			own = append(own, sl)
		case "IPv4", "IPv6", "FQDN":
			others = append(others, sl)
		default:
			return fail("has EndpointSlice %s of addressType %q, which Nitrox does not know", sl.Metadata.Name, sources.Excerpt(sl.AddressType))
		}
	}
	if len(own) == 0 && len(s.Spec.Selector) > 0 {
		// The controller keeps an empty slice for a service without pods.
		return fail("has no %s EndpointSlice; its pods are not known yet", t.family)
	}
	if err := t.collect(own); err != nil {
		return fail("%w", err)
	}
	for _, sl := range others {
		// Of slices that a controller makes those of one family tell all.
		if len(t.endpoints) == 0 && len(s.Spec.Selector) == 0 && len(sl.Endpoints) > 0 {
			return fail("has no %s endpoint, but EndpointSlice %s has %s of type %s; %s", t.family, sl.Metadata.Name,
				sources.Count(len(sl.Endpoints), "endpoint"), sl.AddressType,
				map[bool]string{true: "host names are not resolved, so give it addresses", false: "choose that with family"}[sl.AddressType == "FQDN"])
		}
		for _, e := range sl.Endpoints {
			if sl.AddressType == "FQDN" {
				t.Leave("host "+sources.Excerpt(strings.Join(e.Addresses, ", ")), "host names are not resolved")
			}
		}
	}
	return t, nil
}

// collect reads the endpoints of slices. One that is being moved from slice to
// slice is in both for a while.
func (t *target) collect(own []slice) error {
	size := 0
	for _, sl := range own {
		size += len(sl.Endpoints)
	}
	t.endpoints = make([]endpoint, 0, size)
	portless, ported := map[string]endpoint{}, map[string]bool{} // by UID or address
	for _, sl := range own {
		at := slices.IndexFunc(sl.Ports, func(p slicePort) bool {
			// Of named target ports the number differs from slice to slice.
			return p.Name == t.port.Name && protocol(p.Protocol) == protocol(t.port.Protocol)
		})
		for _, raw := range sl.Endpoints {
			if len(raw.Addresses) == 0 {
				return fmt.Errorf("has an endpoint without an address in EndpointSlice %s", sl.Metadata.Name)
			}
			addr, err := netip.ParseAddr(raw.Addresses[0])
			if addr = addr.Unmap(); err != nil || addr.Is4() != (t.family == "IPv4") {
				return fmt.Errorf("has an endpoint %q in EndpointSlice %s, which is not an %s address",
					sources.Excerpt(raw.Addresses[0]), sl.Metadata.Name, t.family)
			}
			e := endpoint{addr: addr, node: raw.NodeName, zone: raw.Zone,
				ready:       raw.Conditions.Ready == nil || *raw.Conditions.Ready,
				terminating: raw.Conditions.Terminating != nil && *raw.Conditions.Terminating}
			e.serving = e.ready // what old API servers leave open
			if raw.Conditions.Serving != nil {
				e.serving = *raw.Conditions.Serving
			}
			if raw.TargetRef.Kind == "Pod" && raw.TargetRef.UID != "" {
				e.name, e.uid = raw.TargetRef.Name, raw.TargetRef.UID
			} else {
				e.name = addr.String()
			}
			id := cmp.Or(e.uid, e.name)
			if at < 0 {
				portless[id] = e
				continue
			}
			e.port = sl.Ports[at].Port
			if len(own) > 1 {
				ported[id] = true
			}
			if e.port == 0 && t.query.address() == NodePort {
				t.Leave(e.String(), "its EndpointSlice gives its port no number") // and kube-proxy passes over it
				continue
			}
			t.endpoints = append(t.endpoints, e)
			for _, more := range raw.Addresses[1:] {
				t.Leave(e.String(), fmt.Sprintf("its further address %s: of an endpoint only the first counts", sources.Excerpt(more)))
			}
		}
	}
	for id, e := range portless {
		if !ported[id] {
			t.Leave(e.String(), "without the port "+t.port.String())
		}
	}
	slices.SortFunc(t.endpoints, func(a, b endpoint) int {
		if c := cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.port, b.port), cmp.Compare(a.uid, b.uid)); c != 0 {
			return c
		}
		return b.value(a)
	})
	t.endpoints = slices.CompactFunc(t.endpoints, func(a, b endpoint) bool { return a.identity() == b.identity() })
	return nil
}

// value says which of two copies of an endpoint counts, in whatever order they
// come: the one that gets traffic before one that gets it only if there is no
// other, and of two alike the one that tells more.
func (e endpoint) value(other endpoint) int {
	rank := func(e endpoint) int {
		switch {
		case e.ready && !e.terminating && e.serving:
			return 4
		case e.ready && !e.terminating:
			return 3
		case e.serving && e.terminating:
			return 2
		case !e.terminating:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(e), rank(other)), cmp.Compare(e.node, other.node), cmp.Compare(e.zone, other.zone),
		cmp.Compare(e.name, other.name))
}

// port chooses a port: by its name or number, or the only one. A number may be
// used once for each protocol.
func (s *service) port(wanted sources.Port) (servicePort, error) {
	name, _ := wanted.Cut()
	var names []string
	var found []servicePort
	for _, p := range s.Spec.Ports {
		names = append(names, p.String())
		if wanted == "" || p.Name == name || fmt.Sprint(p.Port) == name {
			found = append(found, p)
		}
	}
	switch {
	case len(names) == 0:
		return servicePort{}, fmt.Errorf("has no ports")
	case len(found) > 1 && wanted == "":
		return servicePort{}, fmt.Errorf("has several ports; choose one: %s", strings.Join(names, ", "))
	}
	found, _, err := sources.Speaking(wanted, found, func(p servicePort) []sources.Protocol { return []sources.Protocol{p.protocol()} })
	switch {
	case err != nil:
		return servicePort{}, err
	case len(found) > 0:
		return found[0], nil
	}
	return servicePort{}, fmt.Errorf("has no port %s; its ports are %s", wanted, strings.Join(names, ", "))
}

// family chooses a family of addresses: the wanted one, if the service has it,
// or else the service's first.
func (s *service) family(wanted Family) (string, error) {
	has := s.Spec.IPFamilies
	if len(has) == 0 {
		has = []string{"IPv4"} // from before there was a choice
	}
	name := map[Family]string{"": has[0], IPv4: "IPv4", IPv6: "IPv6"}[wanted]
	if !slices.Contains(has, name) {
		return "", fmt.Errorf("has no %s addresses, only %s", name, strings.Join(has, " and "))
	}
	return name, nil
}

// local says whether a node passes what arrives at its node port to its own
// pods only.
func (t *target) local() bool { return t.service.Spec.ExternalTrafficPolicy == "Local" }

// allNodes says whether nodes without pods are wanted, too.
func (t *target) allNodes() bool { return t.query.Nodes == AllNodes && !t.local() }

// proportional says whether a node gets as much traffic as its pods can take.
// kube-proxy spreads what arrives at a node over all pods of the service,
// wherever they are, unless the service says to prefer those that are near.
func (t *target) proportional() bool {
	switch t.service.Spec.TrafficDistribution {
	case "PreferSameNode", "PreferSameZone", "PreferClose":
		return !t.allNodes()
	}
	return t.local()
}

// serves says whether an endpoint is to get traffic. With
// publishNotReadyAddresses all pods are ready, and kube-proxy sends them traffic;
// where it is not on the way, whether they serve decides.
func (t *target) serves(e endpoint) bool {
	return e.ready && !e.terminating && (e.serving || t.query.address() == NodePort)
}

// usable are the endpoints that are to get traffic: those that serve or, if there
// is none, those that still do while they terminate, as for kube-proxy (KEP-1669,
// proxy terminating endpoints).
func (t *target) usable() []endpoint {
	var ready, last []endpoint
	for i, e := range t.endpoints {
		switch {
		case len(ready) == i && t.serves(e): // as long as all do, they are not copied
			ready = t.endpoints[: i+1 : i+1]
		case t.serves(e):
			ready = append(ready, e)
		case e.serving && e.terminating:
			last = append(last, e)
		}
	}
	if len(ready) > 0 {
		return ready
	}
	return last
}

// wantsNode says whether the node of an endpoint matters: it is bound, or tells
// whether a pod that is not ready is only out of sight.
func (t *target) wantsNode(e endpoint) bool {
	return e.node != "" && (t.query.address() != PodIP || !t.serves(e) && !e.terminating)
}

// wantedNodes are the nodes that the target needs.
func (t *target) wantedNodes() wanted {
	w := wanted{names: map[string]bool{}}
	for _, e := range t.endpoints {
		if t.wantsNode(e) {
			w.names[e.node] = w.names[e.node] || !t.serves(e) && !e.terminating
		}
	}
	// Whether an entry wants no node at all only all nodes can tell.
	w.all = (t.query.address() == NodePort && t.allNodes() || t.query.restricted()) && len(t.endpoints) > 0
	return w
}

// wantsPods says whether the pods of the service are needed, where nodes is why
// nothing is known of nodes. They are of no help if not the service has chosen
// them.
func (t *target) wantsPods(nodes error) bool {
	if len(t.endpoints) == 0 || len(t.service.Spec.Selector) == 0 {
		return false
	}
	switch t.query.address() {
	case HostPort:
		return true
	case NodePort:
		return httpapi.Forbidden(nodes) && !t.allNodes()
	}
	return false
}
