package docker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"

	"nitrox/sources"
)

// matchPorts are the published ports of one port of the container, and what it
// speaks: of wanted, or of the only one there is if nothing is wanted.
func matchPorts[P any](ports []P, wanted sources.Port, of func(P) (uint32, network.IPProtocol)) ([]P, sources.Protocol, error) {
	var names []string
	var matching []P
	targets := make(map[uint32]bool)
	number, chosen := wanted.Number()
	for _, p := range ports {
		target, protocol := of(p)
		targets[target] = true
		if name := fmt.Sprintf("%d/%s", target, protocol); !slices.Contains(names, name) {
			names = append(names, name)
		}
		if !chosen || int(target) == number {
			matching = append(matching, p)
		}
	}
	slices.SortFunc(names, func(x, y string) int { return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)) })
	published := strings.Join(names, ", ")
	switch {
	case !chosen && len(targets) > 1:
		return nil, "", fmt.Errorf("it publishes %s; choose one with port", published)
	case !chosen: // the only one, with whatever protocols
		target, _ := of(ports[0])
		wanted = sources.Port(fmt.Sprint(target))
	}
	matching, protocol, err := sources.Speaking(wanted, matching, func(p P) []sources.Protocol {
		_, protocol := of(p)
		return []sources.Protocol{sources.Protocol(protocol)}
	})
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("it %w", err)
	case len(matching) == 0:
		return nil, "", fmt.Errorf("it does not publish port %s; it publishes %s", wanted, published)
	}
	return matching, protocol, nil
}
