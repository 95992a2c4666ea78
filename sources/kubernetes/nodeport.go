package kubernetes

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"nitrox/sources"
)

// nodePorts answers with the addresses of nodes.
func (a *answering) nodePorts() {
	ready, unsure := a.split()
	if a.nodes.err != nil {
		a.nodePortsOfPods(ready)
		return
	}
	pods := make(map[string]int, len(ready)) // by node
	counted := map[string]bool{}             // for kube-proxy two with one address and port are one; they follow each other
	for i, e := range ready {
		if i > 0 && ready[i-1].identity().at != e.identity().at {
			clear(counted)
		}
		if e.node != "" {
			if !counted[e.node] {
				counted[e.node] = true
				pods[e.node]++
			}
		} else if !a.allNodes() {
			a.doubt("%v does not say which node it is on; for such a service use address: pod_ip or nodes: all", e)
		}
	}
	for _, e := range unsure {
		pods[e.node] += 0
	}
	if a.allNodes() && len(ready) > 0 {
		for name := range a.nodes.nodes {
			pods[name] += 0
		}
	}
	a.Endpoints = slices.Grow(a.Endpoints, len(pods))
	names := slices.AppendSeq(make([]string, 0, len(pods)), maps.Keys(pods))
	slices.Sort(names)
	for _, name := range names {
		addr, uncertain, ok := a.node(name, pods[name])
		if !ok {
			continue
		}
		e := sources.Endpoint{Addr: netip.AddrPortFrom(addr, a.port.NodePort), Uncertain: uncertain, Origin: origin(name, pods[name]), Facts: a.nodeFacts(name)}
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
	case !a.podsTell():
		a.doubt("%w (pods do not have what node_address and node_selector ask for)", a.nodes.err)
		return
	}
	pods := map[netip.Addr]int{}
	names := map[netip.Addr]string{}
	for _, e := range ready {
		p, ok := a.pod(e)
		if !ok || !a.inZone(e, 1) {
			continue
		}
		if why := p.virtual(); why != "" {
			a.leaveVirtual(e.String(), why)
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
		at, err := a.nodes.nodes[name].address(a.types, a.family)
		if err != nil || a.query.address() != NodePort {
			a.Leave(origin(name, pods), why)
		} else {
			a.LeaveAt(netip.AddrPortFrom(at, a.port.NodePort), origin(name, pods), why)
		}
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
	if why := a.unwanted(n); why != "" {
		if a.query.restricted() {
			a.elsewhere += pods
		}
		return left(why)
	}
	if why := n.virtual(); why != "" {
		a.leaveVirtual(origin(name, pods), why)
		return netip.Addr{}, "", false
	}
	if label := n.excluding(); label != "" && !a.includeExcluded {
		a.hint = "; to bind nodes in spite of such labels, set include_excluded_nodes: true in the source"
		return left("labelled " + label[strings.Index(label, "/")+1:])
	}
	if why := n.leaving(); why != "" {
		return left(why)
	}
	switch n.ready() {
	case "True":
	case "Unknown":
		uncertain = unheard(name)
	default:
		return left("the node is " + cmp.Or(readySince(n.Status.Conditions), "not ready"))
	}
	addr, err := n.address(a.types, a.family)
	if err != nil {
		a.doubt("node %s: %w of type %s%s", name, err, join(a.types), n.others(a.family))
		return netip.Addr{}, "", false
	}
	return addr, uncertain, true
}

// address is the node's first of the types and the family.
func (n node) address(types []AddressType, family string) (netip.Addr, error) {
	candidates := make([]string, 0, 4)
	for _, wanted := range types {
		for _, at := range n.Status.Addresses {
			if at.Type == string(wanted) {
				candidates = append(candidates, at.Address)
			}
		}
	}
	return firstOf(candidates, family)
}

// others is the end of a sentence that says what address of a family the node has
// of a type that is not wanted; "": none.
func (n node) others(family string) string {
	for _, at := range n.Status.Addresses {
		if at.Type != string(InternalIP) && at.Type != string(ExternalIP) {
			continue
		}
		if addr, err := firstOf([]string{at.Address}, family); err == nil {
			return fmt.Sprintf("; it has %v of type %s, which node_address may name", addr, at.Type)
		}
	}
	return ""
}

// leaveVirtual leaves out what is on a node that is no machine.
func (a *answering) leaveVirtual(what, why string) {
	a.hint = "; of pods on virtual nodes use address: pod_ip"
	a.Leave(what, "on a virtual node no kube-proxy answers ("+why+")")
}

// podsTell says whether pods know what is asked of their nodes.
func (a *answering) podsTell() bool { return a.types[0] == InternalIP && a.selector.Empty() }

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

// firstOf is the first address of a family: that is the primary one. Names, and
// what leads back to whoever asks, are passed over.
func firstOf(texts []string, family string) (netip.Addr, error) {
	var not []string
	for _, text := range texts {
		addr, err := netip.ParseAddr(text)
		addr = addr.Unmap()
		switch {
		case err != nil || !sources.Reachable(addr):
			not = append(not, strconv.Quote(sources.Excerpt(text)))
		case addr.Is4() == (family == "IPv4"):
			return addr, nil
		}
	}
	if len(not) > 0 {
		return netip.Addr{}, fmt.Errorf("no %s address among %s", family, strings.Join(not, ", "))
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
