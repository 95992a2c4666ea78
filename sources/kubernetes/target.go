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
	name, uid                   string // of the pod; name may be the address
	ready, serving, terminating bool
}

func (e endpoint) String() string { return "pod " + e.name }

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
		return fail("is of type ExternalName: it is a DNS name, without endpoints")
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
	own := slices.DeleteFunc(slices.Clone(v.slices[k]), func(sl slice) bool { return sl.AddressType != t.family })
	if len(own) == 0 && len(s.Spec.Selector) > 0 {
		// The controller keeps an empty slice for a service without pods.
		return fail("has no %s EndpointSlice; its pods are not known yet", t.family)
	}
	if err := t.collect(own); err != nil {
		return fail("%w", err)
	}
	return t, nil
}

// collect reads the endpoints of slices. One that is being moved from slice to
// slice is in both for a while.
func (t *target) collect(own []slice) error {
	found := map[string]endpoint{}
	portless := map[string]endpoint{}
	for _, sl := range own {
		at := slices.IndexFunc(sl.Ports, func(p slicePort) bool {
			// Of named target ports the number differs from slice to slice.
			return p.Name == t.port.Name && protocol(p.Protocol) == protocol(t.port.Protocol)
		})
		for _, raw := range sl.Endpoints {
			if len(raw.Addresses) == 0 {
				return fmt.Errorf("has an endpoint without an address in EndpointSlice %s", sl.Metadata.Name)
			}
			addr, err := netip.ParseAddr(raw.Addresses[0]) // the others mean nothing (API reference)
			if err != nil {
				return fmt.Errorf("has an endpoint %q in EndpointSlice %s, which is not an IP address", raw.Addresses[0], sl.Metadata.Name)
			}
			e := endpoint{addr: addr.Unmap(), node: raw.NodeName, name: addr.String(),
				ready:       raw.Conditions.Ready == nil || *raw.Conditions.Ready,
				serving:     raw.Conditions.Serving == nil || *raw.Conditions.Serving,
				terminating: raw.Conditions.Terminating != nil && *raw.Conditions.Terminating}
			id := addr.String()
			if raw.TargetRef.Kind == "Pod" && raw.TargetRef.UID != "" {
				e.name, e.uid, id = raw.TargetRef.Name, raw.TargetRef.UID, raw.TargetRef.UID
			}
			if at < 0 {
				portless[id] = e
				continue
			}
			e.port = sl.Ports[at].Port
			if old, twice := found[id]; !twice || e.better(old) {
				found[id] = e
			}
		}
	}
	for id, e := range portless {
		if _, ok := found[id]; !ok {
			t.leave(e, "without the port "+t.port.String())
		}
	}
	for _, e := range found {
		t.endpoints = append(t.endpoints, e)
	}
	slices.SortFunc(t.endpoints, func(a, b endpoint) int { return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.name, b.name)) })
	return nil
}

// better says which of two copies of an endpoint counts.
func (e endpoint) better(old endpoint) bool {
	rank := func(e endpoint) int {
		switch {
		case e.ready && !e.terminating:
			return 2
		case e.serving:
			return 1
		}
		return 0
	}
	return rank(e) > rank(old)
}

func (t *target) leave(what fmt.Stringer, why string) {
	t.Leave(what.String(), why)
}

// port chooses a port: by its name or number, or the only one.
func (s *service) port(wanted string) (servicePort, error) {
	var names []string
	var found []servicePort
	for _, p := range s.Spec.Ports {
		names = append(names, p.String()+"/"+protocol(p.Protocol))
		if wanted == "" || p.Name == wanted || fmt.Sprint(p.Port) == wanted {
			found = append(found, p)
		}
	}
	if len(found) > 1 && wanted != "" {
		// A number may be used once for each protocol.
		tcp := slices.DeleteFunc(slices.Clone(found), func(p servicePort) bool { return protocol(p.Protocol) != "TCP" })
		if len(tcp) == 1 {
			found = tcp
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(names) == 0:
		return servicePort{}, fmt.Errorf("has no ports")
	case len(found) > 1 && wanted == "":
		return servicePort{}, fmt.Errorf("has several ports; choose one: %s", strings.Join(names, ", "))
	case len(found) > 1:
		return servicePort{}, fmt.Errorf("has several ports %s; choose one by name: %s", wanted, strings.Join(names, ", "))
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

// usable are the endpoints to which kube-proxy sends traffic: those that are
// ready or, if there is none, those that still serve while they terminate
// (KEP-1669, proxy terminating endpoints).
func (t *target) usable() []endpoint {
	var ready, last []endpoint
	for _, e := range t.endpoints {
		switch {
		case e.ready && !e.terminating: // both: publishNotReadyAddresses
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
	return e.node != "" && (t.query.address() != PodIP || !e.ready && !e.terminating)
}

// wantedNodes are the nodes that targets need.
func wantedNodes(targets []*target) wanted {
	w := wanted{names: map[string]bool{}}
	for _, t := range targets {
		if t == nil {
			continue
		}
		for _, e := range t.endpoints {
			if t.wantsNode(e) {
				w.names[e.node] = true
			}
		}
		w.all = w.all || t.query.address() == NodePort && t.allNodes() && len(t.endpoints) > 0
	}
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
