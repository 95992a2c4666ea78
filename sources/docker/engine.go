package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"nitrox/sources"
)

// pollEngine asks an engine for its containers.
func pollEngine(ctx context.Context, c *connection, h *host, queries []Query) ([]sources.Answer, error) {
	list, err := readContainers(ctx, c, queries)
	if err != nil {
		return nil, err
	}
	p := published{wildcard: h.config.HostAddress, remedy: "set host_address to the address at which this engine is reached"}
	if !p.wildcard.IsValid() && h.address.network == "tcp" {
		// A host name is not looked up: if that failed for a moment, members
		// would seem to have left.
		if addr, err := netip.ParseAddr(h.address.url.Hostname()); err == nil && sources.Reachable(addr) {
			p.wildcard = addr
		}
	}
	answers := make([]sources.Answer, len(queries))
	for i, q := range queries {
		var a sources.Finding
		list.answer(&a, q, p)
		answers[i] = a.Answer()
		if c.guessed && errors.Is(answers[i].Doubt(), sources.ErrAbsent) {
			// A manager that has left its swarm looks like this, too.
			answers[i] = sources.Doubtful(fmt.Errorf("%v: this engine has none, and it is not the manager of a swarm that might; set kind to say what it is", q))
		}
	}
	return answers, nil
}
