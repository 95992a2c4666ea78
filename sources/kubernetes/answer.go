package kubernetes

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources"
	"nitrox/sources/httpapi"
)

// policy is what the configuration says of nodes.
type policy struct {
	types           []AddressType
	selector        labels.Selector
	zone            string // "": any
	includeExcluded bool   // those that are labelled as excluded, too
}

// answering is an answer in the making.
type answering struct {
	*target
	policy
	nodes nodeView
	// elsewhere is how many pods can serve on nodes that the entry does not want,
	// which is no reason to doubt it.
	elsewhere int
	hint      string // what may be done about pods that cannot be bound
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
		a.each(a.hostPort)
	default:
		a.nodePorts()
	}
	a.freeze()
	a.misses()
	for i := range a.Endpoints {
		a.Endpoints[i].Protocol = t.port.protocol()
	}
	slices.SortFunc(t.LeftOut, func(x, y sources.LeftOut) int { return cmp.Or(cmp.Compare(x.What, y.What), cmp.Compare(x.Why, y.Why)) })
	return t.Answer()
}

// misses doubts an answer without endpoints if there are pods that can serve: an
// entry that wants none of their nodes must at least want one that there is.
func (a *answering) misses() {
	if len(a.Endpoints) > 0 || len(a.Doubts) > 0 {
		return
	}
	n := len(a.usable())
	if n == 0 {
		return
	}
	why := a.chooseNone()
	if why != "" || n > a.elsewhere {
		a.doubt("%s can serve, but not at an address that may be bound%s%s", sources.Count(n, "pod"), why, a.hint)
	}
}

func (a *answering) doubt(format string, args ...any) {
	a.Doubt(fmt.Errorf("service %s: %w", a.query.key(), fmt.Errorf(format, args...)))
}

func (a *answering) addPod(e endpoint, at netip.AddrPort, uncertain string) {
	if at.Port() == 0 {
		a.doubt("the EndpointSlice does not give the port of %v", e)
		return
	}
	origin := e.String()
	if e.node != "" {
		origin += " on node " + e.node
	}
	facts := a.nodeFacts(e.node)
	if a.pods != nil {
		facts = cmp.Or(readySince(a.pods.pods[e.uid].Status.Conditions), facts)
	}
	a.Add(sources.Endpoint{Addr: at, Uncertain: uncertain, Origin: origin, Facts: facts})
}

// nodeFacts say since when a node is ready or not, as far as it was read.
func (a *answering) nodeFacts(name string) string {
	if since := readySince(a.nodes.nodes[name].Status.Conditions); since != "" {
		return "node " + name + " " + since
	}
	return ""
}

// leave leaves out an endpoint that would be at its own address or at its node's.
func (a *answering) leave(e endpoint, why string) {
	var at netip.AddrPort
	switch a.query.address() {
	case PodIP:
		at = netip.AddrPortFrom(e.addr, e.port)
	case NodePort:
		if addr, err := a.nodes.nodes[e.node].address(a.types, a.family); err == nil {
			at = netip.AddrPortFrom(addr, a.port.NodePort)
		}
	}
	if n, ok := a.nodes.nodes[e.node]; ok && n.ready() != "True" {
		why = strings.TrimSuffix(why+"; "+a.nodeFacts(e.node), "; ")
	}
	a.LeaveAt(at, e.String(), why)
}

// podIPs answers with the addresses of pods.
func (a *answering) podIPs() {
	a.each(func(e endpoint, pods int, uncertain string) {
		if a.inZone(e, pods) {
			a.addPod(e, netip.AddrPortFrom(e.addr, e.port), uncertain)
		}
	})
	// Without the right to list nodes, what the slices say has to be enough.
	if err := a.nodes.err; err != nil && !httpapi.Forbidden(err) && slices.ContainsFunc(a.endpoints, a.wantsNode) {
		a.doubt("it is not known whether the nodes of pods that are not ready still report: %w", err)
	}
}

// each goes through the endpoints that may count. pods is how many can serve there: one,
// or none that is not uncertain.
func (a *answering) each(do func(e endpoint, pods int, uncertain string)) {
	ready, unsure := a.split()
	for _, e := range ready {
		do(e, 1, "")
	}
	for _, e := range unsure {
		do(e, 0, unheard(e.node))
	}
}

// unheard says why the health of what runs on a node is not known.
func unheard(node string) string {
	return "node " + node + " has not been heard from (its condition Ready is Unknown)"
}

// split divides the endpoints: those that get traffic, and those that are not
// ready for no other reason, perhaps, than that their node is out of sight. When
// the kubelet of a node is silent, the node controller declares its pods not
// ready. The others are left out.
func (a *answering) split() (ready, unsure []endpoint) {
	if ready = a.usable(); len(ready) == len(a.endpoints) {
		return ready, nil
	}
	chosen := map[identity]bool{}
	for _, e := range ready {
		chosen[e.identity()] = true
	}
	for _, e := range a.endpoints {
		switch {
		case chosen[e.identity()]:
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

// freeze doubts the answer if half of the nodes that run the app's pods are out
// of sight: that is the control plane's trouble rather than theirs.
func (a *answering) freeze() {
	if !slices.ContainsFunc(a.endpoints, func(e endpoint) bool { return a.nodes.unknown(e.node) }) {
		return
	}
	running, silent := map[string]bool{}, 0
	for _, e := range a.endpoints {
		if e.node != "" && !e.terminating && !running[e.node] && a.nodes.nodes[e.node].down() == "" {
			running[e.node] = true
			if a.nodes.unknown(e.node) {
				silent++
			}
		}
	}
	if silent > 0 && silent*2 >= len(running) {
		a.doubt("nothing heard from %d of the %s that run its pods, so nothing is removed", silent, sources.Count(len(running), "node"))
	}
}

// loadBalancer answers with what the cluster's load balancer has given.
func (a *answering) loadBalancer() {
	for _, i := range a.service.Status.LoadBalancer.Ingress {
		if i.IP == "" && i.Hostname != "" {
			a.doubt("its load balancer has the host name %s, and host names are not resolved", i.Hostname)
		}
		if i.IP == "" {
			continue
		}
		addr, err := netip.ParseAddr(i.IP)
		if err != nil {
			a.doubt("its load balancer has %q, which is not an IP address", i.IP)
			continue
		}
		if addr = addr.Unmap(); addr.Is4() != (a.family == "IPv4") {
			continue
		}
		e := sources.Endpoint{Addr: netip.AddrPortFrom(addr, a.port.Port), Origin: "load balancer of " + a.query.Service}
		for _, p := range i.Ports {
			if p.Port == a.port.Port && protocol(p.Protocol) == protocol(a.port.Protocol) && p.Error != "" {
				e.Uncertain = "its load balancer reports " + sources.Excerpt(p.Error) + " for the port"
			}
		}
		a.Add(e)
	}
	if len(a.Endpoints) == 0 && len(a.Doubts) == 0 {
		a.doubt("its load balancer has no %s address", a.family)
	}
}
