package kubernetes

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"nitrox/sources"
	"nitrox/sources/httpapi"
)

// List implements [sources.Lister]: the ports of all services, in each way in which
// they can be reached. For that the account must be allowed to list services in all
// namespaces.
func (s *Source) List(ctx context.Context) ([]sources.Listed, error) {
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	items, _, err := list[service](ctx, c, services, query{}) // one that cannot be read is none to offer
	if httpapi.Forbidden(err) {
		err = fmt.Errorf("%w; use an account that may list services in all namespaces, for this once", err)
	}
	if err != nil {
		return nil, c.explained(err)
	}
	slices.SortFunc(items, func(a, b service) int {
		return cmp.Or(cmp.Compare(a.Metadata.Namespace, b.Metadata.Namespace), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})
	known, _, err := list[node](ctx, c, nodes, query{})
	if err != nil && !httpapi.Forbidden(err) { // then those of the endpoints must do
		return nil, c.explained(err)
	}
	addrs := s.addresses(known)
	var all []sources.Listed
	for _, s := range items {
		for _, p := range s.Spec.Ports {
			all = append(all, s.offers(p, addrs)...)
		}
	}
	return all, nil
}

// addresses are those of nodes, of the types that may be bound.
func (s *Source) addresses(known []node) (all []netip.Addr) {
	for _, n := range known {
		for _, a := range n.Status.Addresses {
			addr, err := netip.ParseAddr(a.Address)
			if err == nil && slices.Contains(s.config.addressTypes(), AddressType(a.Type)) && sources.Reachable(addr.Unmap()) {
				all = append(all, addr.Unmap())
			}
		}
	}
	return all
}

// offers are the ways to ask for a port of the service, the usual one first.
func (s service) offers(p servicePort, nodes []netip.Addr) (all []sources.Listed) {
	q := Query{Service: key{s.Metadata.Namespace, s.Metadata.Name}.String(), Port: sources.Port(p.Name)}
	if q.Port == "" && len(s.Spec.Ports) > 1 {
		q.Port = sources.Port(fmt.Sprintf("%d/%s", p.Port, p.protocol()))
	}
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(a netip.Addr) bool {
		family := map[bool]string{true: "IPv4", false: "IPv6"}[a.Is4()]
		return len(s.Spec.IPFamilies) > 0 && !slices.Contains(s.Spec.IPFamilies, family)
	})
	add := func(at string, address Address, which Nodes) {
		q.Address, q.Nodes = address, which
		l := sources.Listed{Query: q, Name: q.Service, Port: string(q.Port), At: at}
		if at == "nodes" {
			l.Nodes = nodes
		}
		all = append(all, l)
	}
	if p.NodePort != 0 {
		add("nodes", "", "")
		if s.Spec.ExternalTrafficPolicy != "Local" {
			add("nodes", "", AllNodes)
		}
	}
	if s.Spec.Type != "ExternalName" {
		add("pods", PodIP, "")
	}
	if len(s.Status.LoadBalancer.Ingress) > 0 {
		add("load balancers", LoadBalancer, "")
	}
	return all
}
