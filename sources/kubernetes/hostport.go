package kubernetes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"nitrox/sources"
	"nitrox/sources/httpapi"
)

// hostPort answers with the host port of a pod; pods is how many can serve there.
func (a *answering) hostPort(e endpoint, pods int, uncertain string) {
	if a.pods == nil || e.uid == "" || e.node == "" {
		a.doubt("%v is not a pod that the service's selector chose, so it has no host port", e)
		return
	}
	if a.pods.err != nil {
		a.doubt("%w", a.pods.err)
		return
	}
	p, ok := a.pod(e)
	if !ok {
		return
	}
	published := p.hostPorts(e.port, protocol(a.port.Protocol))
	if len(published) == 0 {
		a.doubt("%v does not publish its port %d on a host port; give the port a hostPort in the pod, or choose another address", e, e.port)
		return
	}
	var addr netip.Addr
	var own []string // the addresses of its node
	var err error
	switch {
	case a.nodes.err == nil:
		silent := ""
		if addr, silent, ok = a.node(e.node, pods); !ok {
			return
		}
		uncertain, own = cmp.Or(uncertain, silent), a.nodes.nodes[e.node].addresses()
	case httpapi.Forbidden(a.nodes.err) && a.podsTell():
		if !a.inZone(e, pods) {
			return
		}
		if why := p.virtual(); why != "" {
			a.leaveVirtual(e.String(), why)
			return
		}
		own = p.hostIPs()
		addr, err = firstOf(own, a.family)
	default:
		err = a.nodes.err
	}
	var at netip.AddrPort
	if err == nil {
		at, err = publishedAt(published, addr, own)
	}
	if err != nil {
		a.doubt("host port of %v: %w", e, err)
		return
	}
	a.addPod(e, at, uncertain)
}

// pod finds the pod of an endpoint.
func (a *answering) pod(e endpoint) (pod, bool) {
	if err := a.pods.bad[e.name]; err != nil {
		a.doubt("%w", err)
		return pod{}, false
	}
	p, ok := a.pods.pods[e.uid]
	if !ok {
		a.leave(e, "gone")
	}
	return p, ok
}

// hostPorts are the host ports at which a port of a container is published. On the
// host's network that is the port itself, declared or not, at all its addresses.
func (p pod) hostPorts(port uint16, proto string) (published []containerPort) {
	if p.Spec.HostNetwork {
		return []containerPort{{HostPort: port}}
	}
	for _, c := range append(slices.Clone(p.Spec.Containers), p.Spec.InitContainers...) {
		for _, cp := range c.Ports {
			if cp.ContainerPort == port && protocol(cp.Protocol) == proto && cp.HostPort != 0 {
				published = append(published, cp)
			}
		}
	}
	return published
}

// publishedAt is where the first of host ports that can be reached is: at addr, or
// at the one address that it names. Whoever may write a pod may name any; only
// those of the pod's node, own, count, because what listens at another is not the
// pod.
func publishedAt(published []containerPort, addr netip.Addr, own []string) (at netip.AddrPort, err error) {
	for _, p := range published {
		ip, wrong := netip.ParseAddr(p.HostIP)
		ip = ip.Unmap()
		isIP := func(text string) bool { a, err := netip.ParseAddr(text); return err == nil && a.Unmap() == ip }
		switch {
		case p.HostIP == "" || wrong == nil && ip.IsUnspecified():
			return netip.AddrPortFrom(addr, p.HostPort), nil
		case wrong != nil || !slices.ContainsFunc(own, isIP):
			err = cmp.Or(err, fmt.Errorf("its hostIP %q is not an address of its node; remove hostIP from the pod, or give one of the node's",
				sources.Excerpt(p.HostIP)))
		case ip.Is4() != addr.Is4():
			err = cmp.Or(err, fmt.Errorf("its hostIP %v is of the other family than the members; change family, or hostIP", ip))
		default:
			return netip.AddrPortFrom(ip, p.HostPort), nil
		}
	}
	return netip.AddrPort{}, err
}
