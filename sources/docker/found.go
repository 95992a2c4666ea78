package docker

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"

	"nitrox/sources"
)

// found gathers what becomes the answer to one query.
type found struct {
	endpoints []sources.Endpoint
	at        map[netip.AddrPort]int
	leftOut   []sources.LeftOut
	doubts    []error
}

// add adds an endpoint. Of two with one address the certain one counts.
func (a *found) add(e sources.Endpoint) {
	if i, ok := a.at[e.Addr]; ok {
		if e.Uncertain == "" {
			a.endpoints[i].Uncertain = ""
		}
		return
	}
	if a.at == nil {
		a.at = make(map[netip.AddrPort]int)
	}
	a.at[e.Addr] = len(a.endpoints)
	a.endpoints = append(a.endpoints, e)
}

func (a *found) leave(what, why string) {
	a.leftOut = append(a.leftOut, sources.LeftOut{What: what, Why: why})
}
func (a *found) doubt(err error) { a.doubts = append(a.doubts, err) }

func (a *found) answer() sources.Answer {
	doubt := errors.Join(a.doubts...)
	if len(a.doubts) > 1 {
		doubt = fmt.Errorf("%w (and %d more)", a.doubts[0], len(a.doubts)-1)
	}
	return sources.NewAnswer(a.endpoints, a.leftOut, doubt)
}

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
		return nil, fmt.Errorf("it does not publish port %d, but %s", wanted, published)
	case wanted == 0 && len(targets) > 1:
		return nil, fmt.Errorf("it publishes %s; say which with port", published)
	}
	return slices.DeleteFunc(matching, func(p P) bool {
		_, protocol := of(p)
		return hasTCP && protocol != network.TCP
	}), nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
