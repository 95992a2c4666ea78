package docker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"nitrox/sources"
	"nitrox/sources/nearest"
)

// answer unites the endpoints of all services of a query.
func (s *cluster) answer(q Query, config Config) sources.Answer {
	var a sources.Finding
	services := s.selected(q)
	if len(services) == 0 {
		a.Doubt(s.missing(q))
	}
	for _, id := range services {
		service := s.services[id]
		if service.bad != nil {
			a.Doubt(fmt.Errorf("service %s cannot be read: %w", service.Spec.Name, service.bad))
			continue
		}
		if err := s.serviceEndpoints(&a, service, q.Port, config); err != nil {
			a.Doubt(fmt.Errorf("service %s: %w", service.Spec.Name, err))
		}
	}
	return a.Answer()
}

// missing says why a query selects no service.
func (s *cluster) missing(q Query) error {
	if q.Label == "" {
		return s.others.names.Absent("service", q.Service)
	}
	name := s.others.onContainers[q.Label]
	if _, value, _ := strings.Cut(q.Label, "="); name != "" && value != "" {
		// The app exists; it is only not marked as one.
		return fmt.Errorf("the label %s is on the containers of service %s, not on the service; in a stack, write it under deploy: labels", q.Label, name)
	}
	return s.others.labels.Absent("service with the label", q.Label)
}

// placed is a running task and its node.
type placed struct {
	task      task
	name      string
	node      node
	uncertain string
}

func (s *cluster) serviceEndpoints(a *sources.Finding, service service, wanted sources.Port, config Config) error {
	if mode := service.Spec.Mode; mode.ReplicatedJob != nil || mode.GlobalJob != nil {
		return errors.New("it is a job, which runs to completion and serves no traffic")
	}
	if err := s.badTasks[service.ID]; err != nil {
		a.Doubt(fmt.Errorf("service %s: %w", service.Spec.Name, err))
	}
	running := s.running(a, service)
	onHost := s.onHostNetwork(service)
	var port swarm.PortConfig
	if !onHost {
		var err error
		if port, err = servicePort(service, wanted); err != nil {
			return err
		}
	}
	if st := service.ServiceStatus; len(s.tasks[service.ID]) == 0 && st != nil && st.DesiredTasks > 0 {
		name := "service " + service.Spec.Name
		if st.RunningTasks > 0 {
			// The count is the manager's own. It includes tasks that are to
			// end, but where others are wanted these are in the list.
			a.Doubt(fmt.Errorf("%s: the manager counts %s but lists none", name, sources.Count(int(st.RunningTasks), "running task")))
		} else {
			wanted := sources.Count(int(st.DesiredTasks), "task")
			a.Leave(name, fmt.Sprintf("it wants %s but runs none (they may be waiting to be restarted)", wanted))
		}
	}
	switch {
	case onHost: // at the port that the mapping says; two tasks of a node cannot both have it
		number, given := wanted.Number()
		if !given {
			return errors.New("its tasks use the network of their nodes, of which a swarm lists no ports; give the port that they listen at as port")
		}
		_, speaks := wanted.Cut()
		onNodes(a, running, config, speaks, func(task, netip.Addr) (uint16, error) { return uint16(number), nil })
	case port.PublishMode == swarm.PortConfigPublishModeHost: // that was opened there for this task alone
		onNodes(a, running, config, sources.Protocol(protocol(port)), func(t task, addr netip.Addr) (uint16, error) { return hostPort(t, port, addr) })
	default:
		ingressEndpoints(a, running, port, config)
	}
	return nil
}

// running are the tasks that accept traffic: a task that has a health check
// is running only once the check has passed. Why others are not goes to a.
func (s *cluster) running(a *sources.Finding, service service) []placed {
	tasks := slices.SortedFunc(slices.Values(s.tasks[service.ID]), func(x, y task) int {
		return cmp.Or(cmp.Compare(x.Slot, y.Slot), cmp.Compare(x.NodeID, y.NodeID), cmp.Compare(x.ID, y.ID))
	})
	var list []placed
	for _, task := range tasks {
		node, known := s.nodes[task.NodeID]
		p := placed{task: task, node: node, name: taskName(service, task, node)}
		switch {
		case !isRunning(task):
			why := fmt.Sprintf("its state is %s", cmp.Or(task.Status.State, "not given"))
			if text := cmp.Or(task.Status.Err, task.Status.Message); text != "" && text != string(task.Status.State) {
				why += ": " + sources.Excerpt(text)
			}
			a.Leave(p.name, why)
			continue
		case s.badNodes[task.NodeID] != nil:
			a.Doubt(fmt.Errorf("%s: %w", p.name, s.badNodes[task.NodeID]))
			continue
		case !known:
			a.Doubt(fmt.Errorf("%s is on node %s, which is not in the list of nodes", p.name, task.NodeID))
			continue
		}
		switch node.Status.State {
		case swarm.NodeStateReady:
		case swarm.NodeStateDown:
			// Its tasks stay "running" in the list.
			a.Leave(p.name, fmt.Sprintf("node %s is down", nodeName(node)))
			continue
		default:
			// All nodes are "unknown" for a while after a new leader has been
			// elected, until they report to it.
			p.uncertain = fmt.Sprintf("node %s is %s", nodeName(node), cmp.Or(string(node.Status.State), "in an unknown state"))
		}
		list = append(list, p)
	}
	return list
}

// onNodes has one endpoint for each task: its node, and a port there.
func onNodes(a *sources.Finding, running []placed, config Config, speaks sources.Protocol, port func(task, netip.Addr) (uint16, error)) {
	for _, p := range running {
		var number uint16
		addr, err := nodeAddr(p.node, config.NodeLabel)
		if err == nil {
			number, err = port(p.task, addr)
		}
		if err != nil {
			a.Doubt(fmt.Errorf("%s: %w", p.name, err))
			continue
		}
		a.Add(sources.Endpoint{
			Addr:      netip.AddrPortFrom(addr, number),
			Protocol:  speaks,
			Uncertain: p.uncertain,
			Origin:    fmt.Sprintf("%s on %s", p.name, nodeName(p.node)),
		})
	}
}

// onHostNetwork says whether a service's tasks use the network of their nodes
// and none of its ports is published, so that the swarm knows no port. Where
// there is no task to tell it, the service tells by an address that it lacks.
func (s *cluster) onHostNetwork(service service) bool {
	if len(service.Endpoint.Ports) > 0 || service.Spec.EndpointSpec != nil && len(service.Spec.EndpointSpec.Ports) > 0 {
		return false
	}
	if tasks := s.tasks[service.ID]; len(tasks) > 0 {
		for _, n := range tasks[0].NetworksAttachments {
			if cmp.Or(n.Network.DriverState.Name, n.Network.Spec.Name) == "host" {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(service.Endpoint.VirtualIPs, func(v swarm.EndpointVirtualIP) bool { return !v.Addr.IsValid() })
}

// hostPort is the port that was opened for a task. It stands in the list once
// for IPv4 and then once for IPv6. The two may differ, and what is one task's
// for IPv6 be another's for IPv4 (seen with Docker 20.10).
func hostPort(task task, port swarm.PortConfig, addr netip.Addr) (uint16, error) {
	var opened []uint32
	for _, p := range task.Status.PortStatus.Ports {
		if p.TargetPort == port.TargetPort && protocol(p) == protocol(port) && p.PublishedPort > 0 && p.PublishedPort <= 65535 {
			opened = append(opened, p.PublishedPort)
		}
	}
	switch {
	case slices.Contains(opened, port.PublishedPort): // the service says which
		return uint16(port.PublishedPort), nil
	case len(opened) == 0:
		return 0, fmt.Errorf("it is running, but the swarm does not say where it published %s", portName(port))
	case addr.Is4():
		return uint16(opened[0]), nil
	}
	return uint16(opened[len(opened)-1]), nil
}

// ingressEndpoints has one endpoint for each node that runs a task. The port
// is open on all nodes, and each spreads connections over all tasks: so there
// are no weights, and a node without a task would be one more that can fail.
func ingressEndpoints(a *sources.Finding, running []placed, port swarm.PortConfig, config Config) {
	var order []string
	byNode := make(map[string][]placed)
	for _, p := range running {
		if byNode[p.node.ID] == nil {
			order = append(order, p.node.ID)
		}
		byNode[p.node.ID] = append(byNode[p.node.ID], p)
	}
	for _, id := range order {
		tasks := byNode[id]
		node := tasks[0].node
		if node.Spec.Availability == swarm.NodeAvailabilityDrain {
			a.Leave("node "+nodeName(node), "its availability is drain")
			continue
		}
		addr, err := nodeAddr(node, config.NodeLabel)
		if err != nil {
			a.Doubt(err)
			continue
		}
		a.Add(sources.Endpoint{
			Addr:      netip.AddrPortFrom(addr, uint16(port.PublishedPort)),
			Protocol:  sources.Protocol(protocol(port)),
			Uncertain: tasks[0].uncertain,
			Origin:    fmt.Sprintf("node %s, %s", nodeName(node), sources.Count(len(tasks), "task")),
		})
	}
}

// servicePort chooses the published port of a service by the container's port,
// or the only one if nothing is wanted. One that is published twice is reached at
// the lower one.
func servicePort(service service, wanted sources.Port) (swarm.PortConfig, error) {
	ports := service.Endpoint.Ports
	if len(ports) == 0 {
		spec := service.Spec.EndpointSpec
		switch {
		case spec != nil && len(spec.Ports) > 0:
			return swarm.PortConfig{}, errors.New("the swarm has not yet allocated its published ports")
		case spec != nil && spec.Mode == swarm.ResolutionModeDNSRR:
			return swarm.PortConfig{}, errors.New("it publishes no port and its endpoint mode is dnsrr; publish the port with mode=host")
		}
		return swarm.PortConfig{}, errors.New("it publishes no port; publish the port to bind")
	}
	matching, _, err := matchPorts(ports, wanted, func(p swarm.PortConfig) (uint32, network.IPProtocol) { return p.TargetPort, protocol(p) })
	if err != nil {
		return swarm.PortConfig{}, err
	}
	port := slices.MinFunc(matching, func(x, y swarm.PortConfig) int { return cmp.Compare(x.PublishedPort, y.PublishedPort) })
	for _, p := range matching {
		if (p.PublishMode == swarm.PortConfigPublishModeHost) != (port.PublishMode == swarm.PortConfigPublishModeHost) {
			return swarm.PortConfig{}, fmt.Errorf("it publishes %s in both modes, ingress and host; keep one of them", portName(port))
		}
	}
	if port.PublishMode != swarm.PortConfigPublishModeHost && (port.PublishedPort == 0 || port.PublishedPort > 65535) {
		return swarm.PortConfig{}, fmt.Errorf("%s has no published port yet", portName(port))
	}
	return port, nil
}

// nodeAddr is where a node is to be reached. A swarm takes a node's address
// from the connection it comes by, which for a manager may be a local one.
func nodeAddr(node node, label string) (netip.Addr, error) {
	const remedy = "; put the address to bind into a label of the node, and name that label in node_label"
	if label != "" {
		text, ok := node.Spec.Labels[label]
		if !ok {
			return netip.Addr{}, fmt.Errorf("node %s has no label %s%s", nodeName(node), label, nearest.DidYouMean(label, slices.Sorted(maps.Keys(node.Spec.Labels))))
		}
		addr, err := netip.ParseAddr(text)
		if err != nil || !sources.Reachable(addr) {
			return netip.Addr{}, fmt.Errorf("node %s: label %s=%s is not an address to bind", nodeName(node), label, text)
		}
		return addr.Unmap(), nil
	}
	texts := []string{node.Status.Addr}
	if m := node.ManagerStatus; m != nil {
		texts = append(texts, hostPart(m.Addr))
	}
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil && sources.Reachable(addr) {
			return addr.Unmap(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("node %s: the swarm knows no other address than %q"+remedy, nodeName(node), strings.Join(texts, ", "))
}

// hostPart is the address in 10.0.0.1:2377 or [2001:db8::1]:2377.
func hostPart(text string) string {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().String()
	}
	return text
}

func protocol(p swarm.PortConfig) network.IPProtocol { return cmp.Or(p.Protocol, network.TCP) }

func portName(p swarm.PortConfig) string {
	return fmt.Sprintf("port %d/%s", p.TargetPort, protocol(p))
}

func nodeName(n node) string { return cmp.Or(n.Description.Hostname, n.Spec.Name, n.ID) }

// taskName is as Docker prints it: web.3, or web.worker-2 in global mode.
func taskName(service service, t task, node node) string {
	if t.Slot > 0 {
		return fmt.Sprintf("task %s.%d", service.Spec.Name, t.Slot)
	}
	return fmt.Sprintf("task %s.%s", service.Spec.Name, cmp.Or(nodeName(node), t.NodeID, t.ID))
}
