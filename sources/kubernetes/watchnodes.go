package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"nitrox/sources/bounds"
)

// silence is after how long without a word a stream is no proof any more. API
// servers send a bookmark about every minute.
const silence = 2 * time.Minute

// watchedNodes are all nodes as a list had them, and a stream that tells what has
// changed since. While that lives and leaves nothing out, this is how they are, and
// polls about some of the services need not read them.
type watchedNodes struct {
	queries map[string][]int // the indexes of those watched for, by what they are
	labels  map[string]bool  // by which these choose nodes
	from    string           // the version of the list

	mu       sync.Mutex
	nodes    map[string]node
	versions map[string]uint64    // since when they are so, or that of the list
	missed   map[string]uint64    // of these lists have shown what the stream had not told, as of this version
	version  uint64               // how far the stream has come
	heard    time.Time            // when it gave the last sign of life
	broken   bool                 // it has told what makes no sense, or may have left something out
	needs    map[string]wanted    // what the last answers depended on, by query
	hinted   map[string]bool      // services hinted at since they were polled last
	trusting map[string]time.Time // services, and since when all their polls have gone by this
	memory   bounds.Memory
	size     int64
}

func (q Query) identity() string { return fmt.Sprintf("%v", q) }

// watchNodes lists the nodes, or takes them from a watch of other queries that is up.
func (s *Source) watchNodes(ctx context.Context, c *client, queries []Query) (*watchedNodes, error) {
	w := &watchedNodes{queries: map[string][]int{}, labels: map[string]bool{}, nodes: map[string]node{}, versions: map[string]uint64{},
		missed: map[string]uint64{}, heard: time.Now(), needs: map[string]wanted{}, hinted: map[string]bool{}, trusting: map[string]time.Time{}}
	for i, q := range queries {
		w.queries[q.identity()] = append(w.queries[q.identity()], i)
		p, err := s.policy(q)
		if err != nil {
			return nil, err
		}
		requirements, _ := p.selector.Requirements() // false only of a selector that chooses nothing
		for _, r := range requirements {
			w.labels[r.Key()] = true
		}
	}
	if before := c.watched.Load(); before != nil {
		if going, err := w.goOn(before); going || err != nil {
			return w, err
		}
	}
	p := pager[node]{c: c, resource: nodes}
	items, err := p.all(ctx)
	if err != nil {
		return nil, err
	}
	w.from = p.version
	w.version, err = strconv.ParseUint(p.version, 10, 64)
	w.broken = err != nil
	for _, n := range items {
		if err := w.set(n, w.version); err != nil {
			return nil, err
		}
	}
	for _, b := range p.bad {
		w.missed[b.meta.Name] = 0
	}
	return w, nil
}

// goOn begins from where another watch has come to, if that leaves nothing out.
func (w *watchedNodes) goOn(before *watchedNodes) (bool, error) {
	before.mu.Lock()
	defer before.mu.Unlock()
	if before.broken || time.Since(before.heard) > silence {
		return false, nil
	}
	w.version, w.heard = before.version, before.heard
	w.missed, w.needs, w.trusting = maps.Clone(before.missed), maps.Clone(before.needs), maps.Clone(before.trusting)
	w.from = strconv.FormatUint(w.version, 10)
	for name, n := range before.nodes {
		if err := w.set(n, before.versions[name]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// set is called with the lock held, but at the beginning.
func (w *watchedNodes) set(n node, version uint64) error {
	name := n.Metadata.Name
	w.forget(name)
	w.size += bounds.Size(n)
	w.nodes[name], w.versions[name] = n, version
	return w.memory.Keep(w.size)
}

// forget is called with the lock held.
func (w *watchedNodes) forget(name string) {
	if n, ok := w.nodes[name]; ok {
		w.size -= bounds.Size(n)
	}
	delete(w.nodes, name)
	delete(w.versions, name)
}

// told takes an event, and says whose answers may be others.
func (w *watchedNodes) told(kind string, object json.RawMessage) ([]int, error) {
	o, err := objectOf[struct {
		Kind string `json:"kind"`
		node
	}](object)
	name, n := o.Metadata.Name, o.node
	version, odd := strconv.ParseUint(n.Metadata.ResourceVersion, 10, 64)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = time.Now()
	// Of one kind of objects versions are in order, and each change has its own.
	w.broken = w.broken || err != nil || odd != nil || version < w.version ||
		kind != bookmark && (o.Kind != "Node" || version == w.version)
	w.version = max(w.version, version)
	switch {
	case kind == bookmark:
		return none, nil
	case err != nil || name == "":
		return nil, nil
	}
	before, ok := w.nodes[name]
	shown, missed := w.missed[name]
	if missed && version < shown && kind != deleted {
		return w.concerned(name), nil // it is late: lists have shown what comes after
	}
	delete(w.missed, name)
	if kind == deleted {
		w.forget(name)
		return w.concerned(name), nil
	}
	if err := w.set(n, version); err != nil {
		return nil, err
	}
	if ok && !missed && n.same(before, w.labels) {
		return none, nil
	}
	return w.concerned(name), nil
}

// concerned are the queries whose answers depend on a node, as far as is known. It
// is called with the lock held.
func (w *watchedNodes) concerned(name string) []int {
	which := []int{}
	for query, indexes := range w.queries {
		needs, known := w.needs[query]
		if _, needed := needs.names[name]; needed || needs.all || !known {
			which = append(which, indexes...)
		}
	}
	slices.Sort(which)
	return which
}

// unsure says that the stream has left something out, as far as can be told.
func (w *watchedNodes) unsure() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = true
}

// take notes what queries need, and gives of the nodes that they want together those
// that need not be read: those of services that were hinted at. A poll of others may be
// the interval's, which owes nothing to what was told, so that an event that is lost
// costs no more than one interval. A service that is hinted at all the time has no such
// poll, and its nodes are read once in a while.
func (w *watchedNodes) take(queries []Query, needs []wanted, want wanted, fresh bool) nodeView {
	w.mu.Lock()
	defer w.mu.Unlock()
	fresh = fresh || w.broken || time.Since(w.heard) > silence
	view := nodeView{nodes: w.nodes, whole: len(w.missed) == 0}
	for i, q := range queries {
		w.needs[q.identity()] = needs[i]
		from, trusted := w.trusting[q.Service]
		switch {
		case fresh || !w.hinted[q.Service] || trusted && time.Since(from) > keepNodes:
			w.hinted[q.Service] = false // for another query of it, too
			for name := range needs[i].names {
				want.names[name] = true
			}
			view.whole = view.whole && !needs[i].all
		case !trusted:
			w.trusting[q.Service] = time.Now()
		}
	}
	for _, q := range queries {
		if !w.hinted[q.Service] {
			delete(w.trusting, q.Service)
		}
	}
	for _, q := range queries {
		delete(w.hinted, q.Service)
	}
	return view.only(want)
}

// correct compares with nodes that were read. Of one that is another, without a
// word from the stream yet, nothing is known here until there is; of one that both
// have not, none is missing.
func (w *watchedNodes) correct(v nodeView) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, version := range w.missed {
		if v.whole && !v.has(name) && version <= v.version {
			delete(w.missed, name)
		}
	}
	miss := func(name string, version uint64) {
		w.forget(name)
		w.missed[name] = max(w.missed[name], version)
	}
	for name, now := range v.nodes {
		version, err := strconv.ParseUint(now.Metadata.ResourceVersion, 10, 64)
		w.broken = w.broken || err != nil
		if before, ok := w.nodes[name]; !ok || version > w.versions[name] && !now.same(before, w.labels) {
			miss(name, version)
		}
	}
	for name, version := range w.versions {
		if version < v.version && (v.whole && !v.has(name) || v.bad[name] != nil) {
			miss(name, v.version)
		}
	}
	for name := range v.bad {
		if _, ok := w.nodes[name]; !ok {
			miss(name, v.version)
		}
	}
}

// hint notes that a poll is to come because of an event, of which of the queries
// watched for.
func (w *watchedNodes) hint(queries []Query, which []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range which {
		w.hinted[queries[i].Service] = true
	}
	for i := 0; which == nil && i < len(queries); i++ {
		w.hinted[queries[i].Service] = true
	}
}

// nodesOf reads the nodes that queries want together, if it must; needs are those
// of each.
func (c *client) nodesOf(ctx context.Context, queries []Query, needs []wanted, want wanted, fresh bool) nodeView {
	w := c.watched.Load()
	if w == nil {
		kept := c.nodesKept(fresh)
		v := readNodes(ctx, c, want, kept)
		if v.whole && !kept.whole && len(v.nodes) > pageSize {
			c.keepNodes(v)
		}
		return v
	}
	kept := w.take(queries, needs, want, fresh)
	v := readNodes(ctx, c, want, kept)
	if v.err == nil && v.version < math.MaxUint64 { // something was read
		read := v
		read.whole = v.whole && !kept.whole
		w.correct(read)
	}
	return v
}

// same says whether all that is used of a node is as before; labels are those that
// entries choose by.
func (n node) same(before node, labels map[string]bool) bool {
	for label := range labels {
		was, had := before.Metadata.Labels[label]
		if is, has := n.Metadata.Labels[label]; is != was || has != had {
			return false
		}
	}
	return n.ready() == before.ready() && n.zone() == before.zone() && n.virtual() == before.virtual() && n.excluding() == before.excluding() &&
		n.leaving() == before.leaving() && n.down() == before.down() && slices.Equal(n.Status.Addresses, before.Status.Addresses)
}
