package marathon

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"nitrox/sources"
)

// port is one of an app's ports.
type port struct {
	name      string
	protocol  string
	service   int // the service port; 0: none
	container int // the container's port; 0: none, or the same as the agent's
	// assigned is the port's place among the ports of a task, which are those
	// of the agent; -1: it is reached at the container's address.
	assigned int
	networks []string // of the container's networks, those that have the port
}

// ports are an app's ports in the order of its definition.
func (a *app) ports() ([]port, error) {
	m, err := a.mode()
	if err != nil {
		return nil, err
	}
	var ports []port
	// A bridge without mappings has the ports of a host: Marathon assigns them,
	// and it is the app's matter to listen there.
	if m == host || m == bridge && len(a.mappings()) == 0 {
		return a.definitions(), nil
	}
	assigned := 0
	for _, mapping := range a.mappings() {
		p := port{name: mapping.Name, protocol: mapping.Protocol, service: mapping.ServicePort, container: mapping.ContainerPort, assigned: -1}
		if mapping.NetworkNames != nil {
			p.networks = *mapping.NetworkNames
		}
		// A task's ports are those of the mappings that have a hostPort, which
		// on a bridge is all of them ("gen", NetworkInfo.scala).
		if m == bridge || mapping.HostPort != nil {
			p.assigned = assigned
			assigned++
		}
		ports = append(ports, p)
	}
	if len(ports) == 0 && a.IPAddress != nil && a.IPAddress.Discovery != nil {
		for _, d := range a.IPAddress.Discovery.Ports {
			ports = append(ports, port{name: d.Name, protocol: d.Protocol, container: d.Number, assigned: -1})
		}
	}
	return ports, nil
}

// definitions are the ports of an app whose containers have none of their own.
func (a *app) definitions() []port {
	var ports []port
	for i, p := range a.PortDefinitions {
		service := 0
		if p.Port != nil {
			service = *p.Port
		}
		ports = append(ports, port{name: p.Name, protocol: p.Protocol, service: service, assigned: i})
	}
	if len(ports) == 0 { // before Marathon 1.0
		for i, service := range a.Ports {
			ports = append(ports, port{service: service, assigned: i})
		}
	}
	return ports
}

func (a *app) mappings() []portMapping {
	switch {
	case a.Container == nil:
		return nil
	case len(a.Container.PortMappings) > 0 || a.Container.Docker == nil:
		return a.Container.PortMappings
	}
	return a.Container.Docker.PortMappings // before Marathon 1.5
}

// choose finds the port that a query means, and the protocol: see [Query].
func choose(ports []port, wanted sources.Port) (port, sources.Protocol, error) {
	if len(ports) == 0 {
		return port{}, "", errors.New("it has no ports")
	}
	name, _ := wanted.Cut()
	matching, what := ports, ""
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		what = fmt.Sprintf("port %s", wanted)
		switch served := only(ports, func(p port) bool { return p.service == int(n) }); {
		case int(n) < len(ports):
			matching = ports[n : n+1]
		case len(served) > 0:
			matching = served
		default:
			matching = only(ports, func(p port) bool { return p.container == int(n) })
		}
	} else if name != "" {
		what = fmt.Sprintf("port %q", wanted)
		matching = only(ports, func(p port) bool { return p.name == name })
	}
	switch {
	case wanted == "" && len(ports) > 1:
		return port{}, "", fmt.Errorf("it has %d ports (%s); choose one with port", len(ports), describe(ports))
	case wanted == "":
		wanted = "0" // the only one: what to write if it speaks several protocols
	}
	matching, protocol, err := sources.Speaking(wanted, matching, port.protocols)
	switch {
	case err != nil:
		return port{}, "", fmt.Errorf("it %w", err)
	case len(matching) == 1:
		return matching[0], protocol, nil
	case len(matching) == 0:
		return port{}, "", fmt.Errorf("it has no %s; it has %s", what, describe(ports))
	}
	return port{}, "", fmt.Errorf("%s matches %d of its ports (%s); choose one by its index, from 0 to %d", what, len(matching), describe(ports), len(ports)-1)
}

// protocols are those of a port: "tcp", "udp" or "udp,tcp"; the default is TCP.
func (p port) protocols() (all []sources.Protocol) {
	for _, name := range strings.Split(cmp.Or(p.protocol, "tcp"), ",") {
		all = append(all, sources.Protocol(strings.ToLower(strings.TrimSpace(name))))
	}
	return all
}

func only(ports []port, keep func(port) bool) []port {
	return slices.DeleteFunc(slices.Clone(ports), func(p port) bool { return !keep(p) })
}

func describe(ports []port) string {
	var all []string
	for i, p := range ports {
		text := strconv.Itoa(i)
		if p.name != "" {
			text += " " + p.name
		}
		if p.service != 0 {
			text += fmt.Sprintf(" service port %d", p.service)
		}
		if p.container != 0 {
			text += fmt.Sprintf(" container port %d", p.container)
		}
		if p.protocol != "" && p.protocol != "tcp" {
			text += " " + p.protocol
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// place is where a task listens, before its agent's name is looked up.
type place struct {
	host string // a name or an address
	port int
}

// errHostless is about a task without a host, as Marathon 0.7.6 listed them.
var errHostless = errors.New("its agent is not named")

// place finds out where a task of the app listens for a port. An error that is
// not errHostless means that it listens somewhere, and nobody knows where.
func (a *app) place(t task, ports []port, p port) (place, error) {
	if p.assigned < 0 {
		return a.containerPlace(t, p)
	}
	expected := 0
	for _, q := range ports {
		if q.assigned >= 0 {
			expected++
		}
	}
	// Which of its ports is which the definition alone tells, and an old task
	// has another definition. The same number of ports is taken for the same.
	if a.old(t) && len(t.Ports) != expected {
		return place{}, fmt.Errorf("it runs version %s with %d ports, but the app now has %d, so they cannot be matched", t.Version, len(t.Ports), expected)
	}
	if p.assigned >= len(t.Ports) {
		return place{}, fmt.Errorf("it has %d ports where the app's definition has %d", len(t.Ports), expected)
	}
	if t.Host == "" {
		return place{}, errHostless
	}
	return place{t.Host, t.Ports[p.assigned]}, nil
}

// containerPlace is that of a port that only the container has.
func (a *app) containerPlace(t task, p port) (place, error) {
	if p.container == 0 {
		return place{}, errors.New("its port has no number: neither the container nor the agent has one")
	}
	addresses := a.addresses(t, p)
	if len(addresses) == 0 {
		return place{}, errors.New("its container has no address yet")
	}
	return place{slices.MinFunc(addresses, netip.Addr.Compare).String(), p.container}, nil // IPv4 first
}

// addresses are those of a task's container on the networks that have the
// port. They are listed in the order of the app's networks.
func (a *app) addresses(t task, p port) []netip.Addr {
	var all []netip.Addr
	for i, listed := range t.IPAddresses {
		if listed == nil {
			continue
		}
		inNetwork := len(a.Networks) < 2 || len(p.networks) == 0
		if !inNetwork && len(t.IPAddresses) == len(a.Networks) {
			inNetwork = slices.Contains(p.networks, a.Networks[i].Name)
		}
		if addr, err := netip.ParseAddr(listed.IPAddress); err == nil && inNetwork {
			all = append(all, addr)
		}
	}
	return all
}
