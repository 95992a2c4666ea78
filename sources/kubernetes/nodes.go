package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	// keepNodes is for how long the nodes of a large cluster are kept where no watch
	// tells of them. What changes in the meantime are labels and taints of nodes;
	// pods that leave a node are seen at once, and a node that is not known, or on
	// which a pod is not ready, is looked up.
	keepNodes = time.Minute
	// enoughNodes are about 300 KB: most of a node is the list of its images.
	enoughNodes = 20
	// hostname is the label in which nodes have their names, mostly: the kubelet
	// gives it the host's name, and a cloud provider may give the node another.
	hostname = "kubernetes.io/hostname"
)

// nodeView is what a poll knows of nodes. One that is in neither map is gone.
type nodeView struct {
	nodes   map[string]node
	bad     map[string]error // nodes that cannot be read
	err     error            // why nothing is known
	whole   bool             // all nodes are known
	version uint64           // that of the oldest of the lists that it is from
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

// has says whether a node is known to be there, though perhaps not how it is.
func (v nodeView) has(name string) bool {
	_, ok := v.nodes[name]
	_, bad := v.bad[name]
	return ok || bad
}

// lacks are the names of which nothing is known. One that no node can have, which
// somebody may have written into a slice, is of none.
func (v nodeView) lacks(names map[string]bool) []string {
	var missing []string
	for name := range names {
		if !v.has(name) && len(validation.IsDNS1123Subdomain(name)) == 0 {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}

// wanted are the nodes that answers need.
type wanted struct {
	// names has true for a node that must be read now: on it is a pod that is not
	// ready, perhaps for no other reason than that the node has just gone silent.
	names map[string]bool
	all   bool
}

// only is what may be taken from a view for others that were kept.
func (v nodeView) only(want wanted) nodeView {
	part := nodeView{nodes: map[string]node{}, bad: map[string]error{}, version: math.MaxUint64}
	if want.all && v.whole {
		part.nodes, part.bad, part.whole = maps.Clone(v.nodes), maps.Clone(v.bad), true
	}
	for name, now := range want.names {
		n, ok := v.nodes[name]
		err, bad := v.bad[name]
		switch {
		case now:
			delete(part.nodes, name)
			delete(part.bad, name)
		case ok:
			part.nodes[name] = n
		case bad:
			part.bad[name] = err
		}
	}
	return part
}

// readNodes reads the wanted nodes that are not kept, in the cheapest way.
func readNodes(ctx context.Context, c *client, want wanted, kept nodeView) nodeView {
	v := kept.only(want)
	labelled := !c.unlabelled.lately()
	p := pager[node]{c: c, resource: nodes}
	of, known := c.total(nodes, "")
	for p.number == 0 || p.next != "" {
		missing := v.lacks(want.names)
		var byLabels, byNames []query
		var values []string
		for _, name := range missing {
			byNames = append(byNames, query{fieldSelector: "metadata.name=" + name})
			if labelled && len(validation.IsValidLabelValue(name)) == 0 { // most are short enough
				values = append(values, name)
			}
		}
		for _, selector := range selectors(hostname, values) {
			byLabels = append(byLabels, query{labelSelector: selector})
		}
		way := byList
		switch {
		case want.all && !v.whole:
		case len(missing) <= 1:
			way = byName
		case known:
			way = cheapest(len(missing), of, len(byLabels))
		case len(missing) > pageSize: // and of a cluster as large mostly a small part
			way = cheapest(len(missing), 10*len(missing), len(byLabels))
		default:
			p.limit = firstPage(len(missing), enoughNodes)
		}
		switch way {
		case byName:
			v.read(ctx, c, byNames)
			return v
		case byLabel:
			labelled = false // for what the labels do not tell
			v.read(ctx, c, byLabels[:1])
			if found := len(missing) - len(v.lacks(want.names)); 2*found <= strings.Count(byLabels[0].labelSelector, ",") {
				c.unlabelled.note()
			} else {
				v.read(ctx, c, byLabels[1:])
			}
			if v.err != nil {
				return v
			}
			continue
		}
		items, err := p.read(ctx)
		if err != nil {
			return nodeView{err: err}
		}
		v.add(items, p.bad)
		v.since(p.version)
		p.limit, of, known = 0, p.remaining, true
		if p.number == 1 {
			c.setTotal(nodes, "", len(items)+len(p.bad)+of)
		}
	}
	v.whole = true
	return v
}

// read adds what lists have. The right to list nodes is enough for those by name,
// too.
func (v *nodeView) read(ctx context.Context, c *client, queries []query) {
	var mu sync.Mutex
	inParallel(len(queries), func(i int) {
		p := pager[node]{c: c, resource: nodes, query: queries[i]}
		items, err := p.all(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			v.err = err
			return
		}
		v.add(items, p.bad)
		v.since(p.version)
	})
}

// since notes the version of a list that was added.
func (v *nodeView) since(version string) {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		n = 0
	}
	v.version = min(v.version, n)
}

// nodesKept returns what is known of the nodes of a large cluster, if that is
// not too old.
func (c *client) nodesKept(fresh bool) nodeView {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fresh || time.Since(c.read) > keepNodes {
		return nodeView{}
	}
	return c.known
}

// keepNodes keeps the nodes of a large cluster.
func (c *client) keepNodes(v nodeView) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.read = v, time.Now()
}
