package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"nitrox/sources"
)

// pollContainers asks an engine, or a classic Swarm, for containers.
func pollContainers(ctx context.Context, c *connection, h *host, queries []Query) ([]sources.Answer, error) {
	incomplete, err := unreached(ctx, c)
	if err != nil {
		return nil, err
	}
	list, err := readContainers(ctx, c, queries)
	if err != nil {
		return nil, err
	}
	p := h.published(c.kind)
	answers := make([]sources.Answer, len(queries))
	for i, q := range queries {
		var a sources.Finding
		list.answer(&a, q, p)
		if incomplete != nil {
			a.Doubt(incomplete)
		}
		answers[i] = a.Answer()
		if c.kind == Engine && c.guessed && errors.Is(answers[i].Doubt(), sources.ErrAbsent) {
			// A manager that has left its swarm looks like this, too.
			answers[i] = sources.Doubtful(fmt.Errorf("%v: this engine has none, and it is not the manager of a swarm that might; set kind to say what it is", q))
		}
	}
	return answers, nil
}

// published says how a port is reached that is published on all addresses. The manager of
// a classic Swarm itself writes the engine's address for 0.0.0.0.
func (h *host) published(kind Kind) published {
	p := published{wildcard: h.config.HostAddress, remedy: "the Swarm does not know its engine's address"}
	if kind == Classic {
		return p
	}
	p.remedy = "set host_address to the address at which this engine is reached"
	if !p.wildcard.IsValid() && h.address.network == "tcp" {
		// A host name is not looked up: if that failed for a moment, members
		// would seem to have left.
		if addr, err := netip.ParseAddr(h.address.url.Hostname()); err == nil && sources.Reachable(addr) {
			p.wildcard = addr
		}
	}
	return p
}
