package marathon

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"nitrox/sources"
	"nitrox/sources/httpapi"
)

// List implements [sources.Lister]: the ports of all apps.
func (s *Source) List(ctx context.Context) ([]sources.Listed, error) {
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	l, err := httpapi.InTurn(ctx, s.order(), func(ctx context.Context, base *url.URL) (*list, error) {
		return s.list(ctx, c, &snapshot{from: base}, everything, every)
	})
	if err != nil {
		return nil, err
	}
	var all []sources.Listed
	for _, id := range slices.Sorted(maps.Keys(l.apps)) {
		ports, err := l.apps[id].ports()
		if err != nil {
			continue // a poll could not tell its ports either
		}
		for i, p := range ports {
			at := "agents"
			if p.assigned < 0 {
				at = "containers"
			}
			choices := p.choices(i, ports)
			if len(ports) == 1 && len(choices) == 1 {
				choices[0] = ""
			}
			for _, choice := range choices {
				all = append(all, sources.Listed{Query: Query{App: id, Port: choice}, Name: id, Port: string(choice), At: at})
			}
		}
	}
	return all, nil
}

// choices are what to write for the i-th of an app's ports: one for each protocol
// that it speaks.
func (p port) choices(i int, ports []port) (all []sources.Port) {
	name := strconv.Itoa(i)
	namesakes := only(ports, func(q port) bool { return q.name == p.name })
	if _, err := strconv.Atoi(p.name); err != nil && p.name != "" && !strings.Contains(p.name, "/") && len(namesakes) == 1 {
		name = p.name
	}
	protocols := p.protocols()
	if len(protocols) == 1 {
		return []sources.Port{sources.Port(name)}
	}
	for _, protocol := range protocols {
		all = append(all, sources.Port(fmt.Sprintf("%s/%s", name, protocol)))
	}
	return all
}
