package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nitrox/sources"
)

// unreached says which engines of a classic Swarm have containers that are not known for
// certain; err, that not even that is known. Those of an engine that the manager has not
// reached yet are left out of lists without a word: so this is asked before a list, lest
// one be reached between the two.
func unreached(ctx context.Context, c *connection) (incomplete, err error) {
	if c.kind != Classic {
		return nil, nil
	}
	info, err := readInfo(ctx, c)
	if err != nil {
		return nil, err
	}
	nodes, err := parseStatus(info.SystemStatus)
	if err != nil {
		return nil, fmt.Errorf("GET /info: %w", err)
	}
	return unhealthy(nodes), nil
}

// engine is a node of a classic Swarm.
type engine struct{ name, address, status string }

// parseStatus reads the rows that a classic Swarm puts into /info: how many
// nodes there are, then for each its name and address, followed by its
// attributes, which are marked with a corner:
//
//	Nodes           3
//	 node-1         10.0.0.1:2375
//	  └ Status      Healthy
func parseStatus(rows [][2]string) ([]engine, error) {
	nodes, total := []engine(nil), -1
	for _, row := range rows {
		// Old managers begin keys with a backspace.
		key := strings.Trim(row[0], " \b")
		attribute, isAttribute := strings.CutPrefix(key, "└")
		switch {
		case key == "Nodes" && total < 0:
			n, err := strconv.Atoi(row[1])
			if err != nil || n < 0 {
				return nil, fmt.Errorf("the number of nodes is %q", row[1])
			}
			total = n
		case total < 0: // role, strategy, filters
		case isAttribute && len(nodes) > 0:
			if strings.TrimSpace(attribute) == "Status" {
				nodes[len(nodes)-1].status = row[1]
			}
		case !isAttribute && strings.HasPrefix(row[0], " "):
			nodes = append(nodes, engine{name: key, address: row[1]})
		}
	}
	switch {
	case total < 0:
		return nil, errors.New("the number of nodes is missing; is this a manager of a classic Swarm?")
	case total == 0:
		return nil, errors.New("the Swarm has no nodes")
	case len(nodes) != total:
		return nil, fmt.Errorf("%s, but %d are listed", sources.Count(total, "node"), len(nodes))
	}
	return nodes, nil
}

// unhealthy says which engines' containers are not known for certain.
func unhealthy(nodes []engine) error {
	var bad []string
	for _, n := range nodes {
		if n.status != "Healthy" {
			bad = append(bad, fmt.Sprintf("node %s (%s) is %s", n.name, n.address, cmp.Or(n.status, "of unknown status")))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%s: not all of its containers are known (remove a node that is gone for good from the Swarm's discovery)", strings.Join(bad, ", "))
}
