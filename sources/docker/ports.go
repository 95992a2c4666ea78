package docker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// matchPorts are the published ports of one port of the container: of wanted,
// or of the only one there is if wanted is 0. If that port is published for
// several protocols, TCP is meant.
func matchPorts[P any](ports []P, wanted int, of func(P) (uint32, network.IPProtocol)) ([]P, error) {
	var names []string
	targets := make(map[uint32]bool)
	var matching []P
	hasTCP := false
	for _, p := range ports {
		target, protocol := of(p)
		targets[target] = true
		if name := fmt.Sprintf("%d/%s", target, protocol); !slices.Contains(names, name) {
			names = append(names, name)
		}
		if wanted == 0 || int(target) == wanted {
			matching = append(matching, p)
			hasTCP = hasTCP || protocol == network.TCP
		}
	}
	slices.SortFunc(names, func(x, y string) int { return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)) })
	switch published := strings.Join(names, ", "); {
	case len(matching) == 0:
		return nil, fmt.Errorf("it does not publish port %d; it publishes %s", wanted, published)
	case wanted == 0 && len(targets) > 1:
		return nil, fmt.Errorf("it publishes %s; choose one with port", published)
	}
	return slices.DeleteFunc(matching, func(p P) bool {
		_, protocol := of(p)
		return hasTCP && protocol != network.TCP
	}), nil
}
