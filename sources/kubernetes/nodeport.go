package kubernetes

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources"
)

// nodePorts answers with the addresses of nodes.
func (a *answering) nodePorts() {
	ready, unsure := a.split()
	if a.nodes.err != nil {
		a.nodePortsOfPods(ready)
		return
	}
	pods := map[string]int{}
	names := map[string]bool{}
	for _, e := range ready {
		if e.node != "" {
			pods[e.node]++
			names[e.node] = true
		} else if !a.allNodes() {
			a.doubt("%v does not say which node it is on; for such a service use address: pod_ip or nodes: all", e)
		}
	}
	for _, e := range unsure {
		names[e.node] = true
	}
	if a.allNodes() && len(ready) > 0 {
		for name := range a.nodes.nodes {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		addr, uncertain, ok := a.node(name, pods[name])
		if !ok {
			continue
		}
		e := sources.Endpoint{Addr: netip.AddrPortFrom(addr, a.port.NodePort), Uncertain: uncertain, Origin: origin(name, pods[name])}
		if uncertain == "" {
			e.Weight = a.weight(pods[name])
		}
		a.Add(e)
	}
	a.scale()
}

// nodePortsOfPods answers with what pods know of their nodes, because the nodes
// must not be read: their address, but neither labels nor taints.
func (a *answering) nodePortsOfPods(ready []endpoint) {
	switch {
	case len(a.endpoints) == 0:
		return // nothing was wanted of nodes
	case a.pods == nil:
		a.doubt("%w", a.nodes.err)
		return
	case a.pods.err != nil:
		a.doubt("%w; and when trying the pods instead: %w", a.nodes.err, a.pods.err)
		return
	case a.types[0] != InternalIP || !a.selector.Empty():
		a.doubt("%w (pods do not have what node_address and node_selector ask for)", a.nodes.err)
		return
	}
	pods := map[netip.Addr]int{}
	names := map[netip.Addr]string{}
	for _, e := range ready {
		p, ok := a.pod(e)
		if !ok {
			continue
		}
		addr, err := firstOf(p.hostIPs(), a.family)
		if err != nil {
			a.doubt("node of %v: %w", e, err)
			continue
		}
		pods[addr]++
		names[addr] = e.node
	}
	for addr, n := range pods {
		a.Add(sources.Endpoint{Addr: netip.AddrPortFrom(addr, a.port.NodePort), Weight: a.weight(n), Origin: origin(names[addr], n)})
	}
	a.scale()
}

// node decides on a node: its address, and why it is uncertain, or else it is
// left out or a doubt.
func (a *answering) node(name string, pods int) (addr netip.Addr, uncertain string, ok bool) {
	left := func(why string) (netip.Addr, string, bool) {
		a.Leave(origin(name, pods), why)
		return netip.Addr{}, "", false
	}
	if err := a.nodes.bad[name]; err != nil {
		a.doubt("%w", err)
		return netip.Addr{}, "", false
	}
	n, ok := a.nodes.nodes[name]
	if !ok {
		return left("gone")
	}
	if why := n.excluded(); why != "" {
		return left(why)
	}
	if !a.selector.Matches(labels.Set(n.Metadata.Labels)) {
		return left("not chosen by node_selector")
	}
	switch n.ready() {
	case "True":
	case "Unknown":
		uncertain = unheard(name)
	default:
		return left("the node is not ready")
	}
	var err error
	for _, wanted := range a.types {
		var candidates []string
		for _, at := range n.Status.Addresses {
			if at.Type == string(wanted) {
				candidates = append(candidates, at.Address)
			}
		}
		if addr, err = firstOf(candidates, a.family); err == nil {
			return addr, uncertain, true
		}
	}
	a.doubt("node %s: %w of type %s", name, err, join(a.types))
	return netip.Addr{}, "", false
}

// weight is that of a node with so many pods.
func (a *answering) weight(pods int) int {
	if a.proportional() {
		return pods
	}
	return 1
}

// scale brings weights to at most 100.
func (a *answering) scale() {
	most := 0
	for _, e := range a.Endpoints {
		most = max(most, e.Weight)
	}
	if most <= 100 {
		return
	}
	for i, e := range a.Endpoints {
		if e.Weight > 0 {
			a.Endpoints[i].Weight = max(1, (e.Weight*100+most/2)/most)
		}
	}
}

// firstOf is the first address of a family: that is the primary one.
func firstOf(texts []string, family string) (netip.Addr, error) {
	for _, text := range texts {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%q is not an IP address", text)
		}
		if addr = addr.Unmap(); addr.Is4() == (family == "IPv4") {
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no %s address", family)
}

// origin tells people of a node: "node worker-4, 3 pods".
func origin(name string, pods int) string {
	if pods == 0 {
		return "node " + name
	}
	return "node " + name + ", " + sources.Count(pods, "pod")
}

func join(types []AddressType) string {
	text := string(types[0])
	for _, t := range types[1:] {
		text += " or " + string(t)
	}
	return text
}
