package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"nitrox/sources"
	"nitrox/sources/bounds"
)

// List implements [sources.Lister]: the published ports of services in swarm mode
// or, elsewhere, of the services of Compose, and of other containers by each of
// their labels.
func (s *Source) List(ctx context.Context) ([]sources.Listed, error) {
	return inTurn(ctx, s.hosts, func(ctx context.Context, h *host, c *connection) ([]sources.Listed, error) {
		if c.kind == Swarm {
			return offeredServices(ctx, c, h.config.NodeLabel)
		}
		return offeredContainers(ctx, c)
	})
}

// offer gathers ports by the queries for them.
type offer map[Query]map[string]bool

func (o offer) add(q Query, port uint32, protocol network.IPProtocol) {
	if o[q] == nil {
		o[q] = make(map[string]bool)
	}
	o[q][fmt.Sprintf("%d/%s", port, cmp.Or(protocol, network.TCP))] = true
}

// listed names the protocol of a port only where there are several.
func (o offer) listed() (all []sources.Listed) {
	for q, ports := range o {
		for port := range ports {
			number, _, _ := strings.Cut(port, "/")
			several := 0
			for other := range ports {
				if strings.HasPrefix(other, number+"/") {
					several++
				}
			}
			if several == 1 {
				port = number
			}
			asked := q
			asked.Port = sources.Port(port)
			_, value, _ := strings.Cut(q.Label, "=")
			all = append(all, sources.Listed{Query: asked, Name: cmp.Or(q.Service, value), Port: port, At: "nodes"})
		}
	}
	slices.SortFunc(all, func(a, b sources.Listed) int {
		x, y := a.Query.(Query), b.Query.(Query)
		return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.Label, y.Label),
			cmp.Compare(len(x.Port), len(y.Port)), cmp.Compare(x.Port, y.Port))
	})
	return all
}

func offeredServices(ctx context.Context, c *connection, nodeLabel string) ([]sources.Listed, error) {
	// One that cannot be read is none to offer.
	list, _, err := readList(ctx, bounds.Of[service](), every[service], func(ctx context.Context) error {
		_, err := c.client.ServiceList(ctx, client.ServiceListOptions{})
		return err
	})
	o := offer{}
	for _, s := range list {
		for _, port := range s.Endpoint.Ports {
			o.add(Query{Service: s.Spec.Name}, port.TargetPort, port.Protocol)
		}
	}
	if err != nil {
		return nil, err
	}
	nodes, _, err := readList(ctx, bounds.Of[node](), every[node], func(ctx context.Context) error {
		_, err := c.client.NodeList(ctx, client.NodeListOptions{})
		return err
	})
	var addrs []netip.Addr
	for _, n := range nodes {
		if addr, err := nodeAddr(n, nodeLabel); err == nil { // without one nothing is bound there
			addrs = append(addrs, addr)
		}
	}
	all := o.listed()
	for i := range all {
		all[i].Nodes = addrs
	}
	return all, err
}

func offeredContainers(ctx context.Context, c *connection) ([]sources.Listed, error) {
	// One that cannot be read is none to offer.
	list, _, err := readList(ctx, bounds.Of[container.Summary](), every[container.Summary], func(ctx context.Context) error {
		_, err := c.client.ContainerList(ctx, client.ContainerListOptions{})
		return err
	})
	o := offer{}
	for _, container := range list {
		for _, port := range container.Ports {
			if port.PublicPort == 0 || container.Labels[swarmTask] != "" {
				continue
			}
			for _, q := range queriesFor(container.Labels) {
				o.add(q, uint32(port.PrivatePort), network.IPProtocol(port.Type))
			}
		}
	}
	return o.listed(), err
}

// queriesFor are the ways to ask for a container that has these labels.
func queriesFor(labels map[string]string) (all []Query) {
	if service := labels[composeService]; service != "" {
		return []Query{{Service: strings.TrimPrefix(labels[composeProject]+"/"+service, "/")}}
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key != "" && labels[key] != "" {
			all = append(all, Query{Label: key + "=" + labels[key]})
		}
	}
	return all
}
