package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources"
)

// policy is what the configuration says of nodes.
type policy struct {
	types    []AddressType
	selector labels.Selector
}

// answering is an answer in the making.
type answering struct {
	*target
	policy
	nodes  nodeView
	answer sources.Answer
}

// answer tells the endpoints of a target. It is a pure function of what was
// read.
func (t *target) answer(p policy, nodes nodeView) sources.Answer {
	a := &answering{target: t, policy: p, nodes: nodes}
	switch t.query.address() {
	case LoadBalancer:
		a.loadBalancer()
	case PodIP:
		a.podIPs()
	case HostPort:
		a.hostPorts()
	default:
		a.nodePorts()
	}
	a.freeze()
	if n := len(t.usable()); n > 0 && len(a.answer.Endpoints) == 0 && a.answer.Doubt == nil {
		a.doubt("%s can serve, but at no address that may be bound", count(n, "pod"))
	}
	a.answer.Endpoints = distinct(a.answer.Endpoints)
	a.answer.Left = t.left
	slices.SortFunc(a.answer.Left, func(x, y sources.Left) int { return cmp.Or(cmp.Compare(x.What, y.What), cmp.Compare(x.Why, y.Why)) })
	return a.answer
}

func (a *answering) doubt(format string, args ...any) {
	err := fmt.Errorf("service %s: %w", a.query.key(), fmt.Errorf(format, args...))
	a.answer.Doubt = errors.Join(a.answer.Doubt, err)
}

func (a *answering) add(e sources.Endpoint) {
	a.answer.Endpoints = append(a.answer.Endpoints, e)
}

func (a *answering) addPod(e endpoint, at netip.AddrPort, uncertain string) {
	if at.Port() == 0 {
		a.doubt("the EndpointSlice does not say the port of %v", e)
		return
	}
	origin := e.String()
	if e.node != "" {
		origin += " on node " + e.node
	}
	a.add(sources.Endpoint{Addr: at, Uncertain: uncertain, Origin: origin})
}

// podIPs answers with the addresses of pods.
func (a *answering) podIPs() {
	ready, unsure := a.split()
	for _, e := range ready {
		a.addPod(e, netip.AddrPortFrom(e.addr, e.port), "")
	}
	for _, e := range unsure {
		a.addPod(e, netip.AddrPortFrom(e.addr, e.port), unheard(e.node))
	}
	// Without the right to list nodes, what the slices say has to be enough.
	if err := a.nodes.err; err != nil && !forbidden(err) && slices.ContainsFunc(a.endpoints, a.wantsNode) {
		a.doubt("whether the nodes of pods that are not ready are out of sight is not known: %w", err)
	}
}

// unheard says why the health of what runs on a node is not known.
func unheard(node string) string {
	return "node " + node + " has not been heard of (its condition Ready is Unknown)"
}

// split divides the endpoints: those that get traffic, and those that are not
// ready for no other reason, perhaps, than that their node is out of sight. When
// the kubelet of a node is silent, the node controller declares its pods not
// ready. The others are left out.
func (a *answering) split() (ready, unsure []endpoint) {
	ready = a.usable()
	chosen := map[string]bool{}
	for _, e := range ready {
		chosen[e.id()] = true
	}
	for _, e := range a.endpoints {
		switch {
		case chosen[e.id()]:
		case e.terminating:
			a.leave(e, "terminating")
		case a.nodes.unknown(e.node):
			unsure = append(unsure, e)
		default:
			a.leave(e, "not ready")
		}
	}
	return ready, unsure
}

func (e endpoint) id() string { return cmp.Or(e.uid, e.addr.String()) }

// freeze doubts the answer if half of the nodes that run the app's pods are out
// of sight: that is the control plane's trouble rather than theirs.
func (a *answering) freeze() {
	running, silent := map[string]bool{}, 0
	for _, e := range a.endpoints {
		if e.node != "" && !e.terminating && !running[e.node] {
			running[e.node] = true
			if a.nodes.unknown(e.node) {
				silent++
			}
		}
	}
	if silent > 0 && silent*2 >= len(running) {
		a.doubt("%d of the %s that run its pods have not been heard of, so nothing is removed", silent, count(len(running), "node"))
	}
}

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
			a.doubt("%v does not say on which node it is: address pod_ip or nodes: all is for such a service", e)
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
		a.add(e)
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
		a.doubt("%w; and instead of the nodes, the pods: %w", a.nodes.err, a.pods.err)
		return
	case a.types[0] != InternalIP || !a.selector.Empty():
		a.doubt("%w (pods do not know what node_address and node_selector ask for)", a.nodes.err)
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
		a.add(sources.Endpoint{Addr: netip.AddrPortFrom(addr, a.port.NodePort), Weight: a.weight(n), Origin: origin(names[addr], n)})
	}
	a.scale()
}

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
		a.doubt("%v is no pod that the service's selector has chosen, and has no host port", e)
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
		a.doubt("%v publishes its port %d at no host port", e, e.port)
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
	case forbidden(a.nodes.err) && a.types[0] == InternalIP && a.selector.Empty():
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

// node decides on a node: its address, and why it is uncertain, or else it is
// left out or a doubt.
func (a *answering) node(name string, pods int) (addr netip.Addr, uncertain string, ok bool) {
	left := func(why string) (netip.Addr, string, bool) {
		a.left = append(a.left, sources.Left{What: origin(name, pods), Why: why})
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

// loadBalancer answers with what the cluster's load balancer has given.
func (a *answering) loadBalancer() {
	var ips []string
	for _, i := range a.service.Status.LoadBalancer.Ingress {
		switch {
		case i.IP != "":
			ips = append(ips, i.IP)
		default:
			a.doubt("its load balancer has the name %s, and names are not looked up", i.Hostname)
		}
	}
	for _, ip := range ips {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			a.doubt("its load balancer has given %q, which is no IP address", ip)
		} else if addr = addr.Unmap(); addr.Is4() == (a.family == "IPv4") {
			a.add(sources.Endpoint{Addr: netip.AddrPortFrom(addr, a.port.Port), Origin: "load balancer of " + a.query.Service})
		}
	}
	if len(a.answer.Endpoints) == 0 && a.answer.Doubt == nil {
		a.doubt("its load balancer has given no %s address", a.family)
	}
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
	for _, e := range a.answer.Endpoints {
		most = max(most, e.Weight)
	}
	if most <= 100 {
		return
	}
	for i, e := range a.answer.Endpoints {
		if e.Weight > 0 {
			a.answer.Endpoints[i].Weight = max(1, (e.Weight*100+most/2)/most)
		}
	}
}

// firstOf is the first address of a family: that is the primary one.
func firstOf(texts []string, family string) (netip.Addr, error) {
	for _, text := range texts {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%q is no IP address", text)
		}
		if addr = addr.Unmap(); addr.Is4() == (family == "IPv4") {
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no %s address", family)
}

// distinct sorts endpoints and leaves one of each address, the most certain and
// then the heaviest.
func distinct(endpoints []sources.Endpoint) []sources.Endpoint {
	slices.SortFunc(endpoints, func(a, b sources.Endpoint) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Uncertain, b.Uncertain), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Origin, b.Origin))
	})
	return slices.CompactFunc(endpoints, func(a, b sources.Endpoint) bool { return a.Addr == b.Addr })
}

// origin tells people of a node: "node worker-4, 3 pods".
func origin(name string, pods int) string {
	if pods == 0 {
		return "node " + name
	}
	return "node " + name + ", " + count(pods, "pod")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func join(types []AddressType) string {
	text := string(types[0])
	for _, t := range types[1:] {
		text += " or " + string(t)
	}
	return text
}
