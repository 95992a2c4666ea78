package kubernetes

import (
	"cmp"
	"net/netip"
	"slices"

	"nitrox/sources/httpapi"
)

// hostPorts answers with the host port of each pod.
func (a *answering) hostPorts() {
	ready, unsure := a.split()
	for _, e := range ready {
		a.hostPort(e, "")
	}
	for _, e := range unsure {
		a.hostPort(e, unheard(e.node))
	}
}

func (a *answering) hostPort(e endpoint, uncertain string) {
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
	port, hostIP := p.hostPort(e.port, protocol(a.port.Protocol))
	if port == 0 {
		a.doubt("%v does not publish its port %d on a host port", e, e.port)
		return
	}
	var addr netip.Addr
	var err error
	switch {
	case a.nodes.err == nil:
		silent := ""
		if addr, silent, ok = a.node(e.node, 1); !ok {
			return
		}
		uncertain = cmp.Or(uncertain, silent)
	case httpapi.Forbidden(a.nodes.err) && a.types[0] == InternalIP && a.selector.Empty():
		addr, err = firstOf(p.hostIPs(), a.family)
	default:
		err = a.nodes.err
	}
	if err == nil && hostIP != "" {
		addr, err = firstOf([]string{hostIP}, a.family)
	}
	if err != nil {
		a.doubt("host port of %v: %w", e, err)
		return
	}
	a.addPod(e, netip.AddrPortFrom(addr, port), uncertain)
}

// pod finds the pod of an endpoint.
func (a *answering) pod(e endpoint) (pod, bool) {
	if err := a.pods.bad[e.uid]; err != nil {
		a.doubt("%w", err)
		return pod{}, false
	}
	p, ok := a.pods.pods[e.uid]
	if !ok {
		a.leave(e, "gone")
	}
	return p, ok
}

// hostPort finds where on the host a port of a container is published, and the
// address if it is only one.
func (p pod) hostPort(containerPort uint16, proto string) (port uint16, hostIP string) {
	for _, c := range append(slices.Clone(p.Spec.Containers), p.Spec.InitContainers...) {
		for _, published := range c.Ports {
			if published.ContainerPort == containerPort && protocol(published.Protocol) == proto && published.HostPort != 0 {
				if addr, err := netip.ParseAddr(published.HostIP); err == nil && addr.IsUnspecified() {
					published.HostIP = ""
				}
				return published.HostPort, published.HostIP
			}
		}
	}
	return 0, ""
}
