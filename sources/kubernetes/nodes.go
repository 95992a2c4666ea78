package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// keepNodes is for how long the nodes of a large cluster are kept. What
	// changes in the meantime are labels and taints of nodes; pods that leave
	// a node are seen at once, and a node that is not known is looked up.
	keepNodes = time.Minute
	// fewNodes is how many nodes are read one by one at most. Such a request
	// costs about as much as nodesPerRequest more nodes in a list.
	fewNodes        = 50
	nodesPerRequest = 10
)

// oneByOne says whether to read some nodes one by one rather than a list of all.
func oneByOne(some, all int) bool { return some <= fewNodes && some*nodesPerRequest <= all }

// nodeView is what a poll knows of nodes. One that is in neither map is gone.
type nodeView struct {
	nodes map[string]node
	bad   map[string]error // nodes that cannot be read
	err   error            // why nothing is known
	whole bool             // all nodes are known
}

// unknown says whether it is not known how the node is.
func (v nodeView) unknown(name string) bool {
	n, ok := v.nodes[name]
	return ok && n.ready() == "Unknown" && n.down() == ""
}

func (v nodeView) add(items []node, bad []misread) {
	for _, n := range items {
		v.nodes[n.Metadata.Name] = n
	}
	for _, b := range bad {
		v.bad[b.meta.Name] = fmt.Errorf("node %s: the answer cannot be read: %w", b.meta.Name, b.err)
	}
}

// lacks are the names of which nothing is known.
func (v nodeView) lacks(names map[string]bool) []string {
	var missing []string
	for name := range names {
		_, ok := v.nodes[name]
		if _, bad := v.bad[name]; !ok && !bad {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}

// wanted are the nodes that answers need.
type wanted struct {
	names map[string]bool
	all   bool
}

// readNodes reads at least the wanted nodes. In a cluster whose nodes fit in a
// page it lists them. In a larger one it reads the few that matter, or all and
// keeps them for a while.
func readNodes(ctx context.Context, c *client, want wanted, fresh bool) nodeView {
	v := nodeView{nodes: map[string]node{}, bad: map[string]error{}}
	if len(want.names) == 0 && !want.all {
		return v
	}
	kept, size := c.nodesKept(fresh)
	if kept.nodes != nil {
		v.nodes, v.bad, v.whole = maps.Clone(kept.nodes), maps.Clone(kept.bad), kept.whole
	}
	if missing := v.lacks(want.names); size > 0 && (kept.nodes != nil || !want.all) && oneByOne(len(missing), size) {
		return readNamed(ctx, c, v, missing)
	}

	v = nodeView{nodes: map[string]node{}, bad: map[string]error{}}
	p := pager[node]{c: c, resource: nodes}
	for {
		items, err := p.read(ctx)
		if err != nil {
			return nodeView{err: err}
		}
		v.add(items, p.bad)
		if p.next == "" {
			break
		}
		if missing := v.lacks(want.names); p.number == 1 && !want.all && oneByOne(len(missing), p.remaining) {
			c.keepNodes(nodeView{}, pageSize+p.remaining)
			return readNamed(ctx, c, v, missing)
		}
	}
	v.whole = true
	if p.number > 1 {
		c.keepNodes(nodeView{nodes: maps.Clone(v.nodes), bad: maps.Clone(v.bad), whole: true}, len(v.nodes))
	}
	return v
}

// readNamed adds nodes by their names, for which the right to list nodes is
// enough, too.
func readNamed(ctx context.Context, c *client, v nodeView, names []string) nodeView {
	var mu sync.Mutex
	inParallel(len(names), func(i int) {
		items, bad, err := list[node](ctx, c, nodes, query{fieldSelector: "metadata.name=" + names[i]})
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			v.err = err
			return
		}
		v.add(items, bad)
	})
	return v
}

// nodesKept returns what is known of the nodes of a large cluster, if that is
// not too old, and how many there are; 0: it is not known to be large.
func (c *client) nodesKept(fresh bool) (nodeView, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fresh || time.Since(c.read) > keepNodes {
		return nodeView{}, c.size
	}
	return c.known, c.size
}

// keepNodes keeps the nodes of a large cluster, or only their number.
func (c *client) keepNodes(v nodeView, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size, c.known, c.read = size, v, time.Now()
}
