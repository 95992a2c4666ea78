// Package docker finds the endpoints of services in Docker's swarm mode, and of
// containers in a classic standalone Swarm and on a plain engine.
//
// An app is named by a service or by a label. In swarm mode these are the
// service's own name and labels; services that share a label are one app. On
// containers a label is the container's, and a service is that of Docker
// Compose: "web", or "project/web" where several projects have a web.
//
// A poll of many apps costs three requests in swarm mode (services, tasks, nodes),
// two for a classic Swarm (containers, info) and one for an engine (containers); few
// are asked for by filter, names together and labels one by one. The first also asks
// for the API version and, where the kind is not configured, for what kind it is.
// Containers cost one more for each image that polls before did not know.
package docker

import (
	"context"

	"nitrox/sources"
	"nitrox/sources/httpapi"
	"nitrox/sources/trust"
)

// Kind is what answers at a host.
type Kind string

const (
	// Swarm is an engine that is a manager in swarm mode.
	Swarm Kind = "swarm"
	// Classic is a manager of the standalone Swarm that came before swarm mode.
	Classic Kind = "classic"
	// Engine is a Docker engine by itself.
	Engine Kind = "engine"
)

// Words implements [sources.Word].
func (Kind) Words() []string { return []string{string(Swarm), string(Classic), string(Engine)} }

// Source is a swarm or an engine. It implements [sources.Source],
// [sources.Watcher] and [sources.Discoverer].
type Source struct{ hosts []*host }

// Open makes a source, and contacts nothing.
func Open(config Config) (*Source, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	s, labelled := &Source{}, &labelled{}
	for _, name := range config.hosts() {
		address, err := parseAddress(name)
		if err != nil {
			return nil, err
		}
		s.hosts = append(s.hosts, &host{address: address, config: config, maxBody: maxBody, again: afterwards, labelled: labelled})
	}
	return s, nil
}

// Poll asks the hosts in turn until one answers.
func (s *Source) Poll(ctx context.Context, queries []Query, fresh bool) ([]sources.Answer, error) {
	return inTurn(ctx, s.hosts, func(ctx context.Context, h *host, c *connection) ([]sources.Answer, error) {
		if c.kind == Swarm {
			return pollSwarm(ctx, c, h.config, queries)
		}
		return pollContainers(ctx, c, h, queries)
	})
}

// inTurn asks hosts until one answers. Each gets its share of the time that is left, so
// that one that is silent does not use up all of it. After a failure nothing is kept of
// the connection: the daemon may have been replaced by one of another version.
func inTurn[A any](ctx context.Context, hosts []*host, ask func(context.Context, *host, *connection) (A, error)) (A, error) {
	return httpapi.InTurn(ctx, hosts, func(ctx context.Context, h *host) (answer A, err error) {
		c, err := h.connect(ctx)
		if err == nil {
			if answer, err = ask(ctx, h, c); err != nil || c.versionless {
				h.drop(c)
			}
		}
		return answer, trust.Explain(err, trustKeys)
	})
}

// trustKeys say whom to trust.
var trustKeys = httpapi.Keys("ca_file", "server_name")
