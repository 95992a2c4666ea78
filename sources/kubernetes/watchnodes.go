package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/json"
)

// watchNodes watches for changes of nodes that matter. All else of a node,
// which changes every few minutes at the least, must not wake us: so how each
// node is must be known from the beginning.
func watchNodes(ctx context.Context, c *client) (*watched, error) {
	known := map[string][sha256.Size]byte{}
	p := pager[node]{c: c, resource: nodes}
	for first := true; first || p.next != ""; first = false {
		items, err := p.read(ctx)
		if err != nil {
			return nil, err
		}
		for _, n := range items {
			known[n.Metadata.Name] = n.essence()
		}
	}
	return &watched{resource: nodes, version: p.version, matters: func(kind string, object json.RawMessage) bool {
		var n node
		if json.Unmarshal(object, &n) != nil {
			return true
		}
		before, ok := known[n.Metadata.Name]
		if kind == "DELETED" {
			delete(known, n.Metadata.Name)
			return true
		}
		now := n.essence()
		known[n.Metadata.Name] = now
		return !ok || now != before
	}}, nil
}

// essence stands for what endpoints depend on of a node.
func (n node) essence() [sha256.Size]byte {
	text, err := json.Marshal([]any{n.Metadata.Labels, n.Metadata.DeletionTimestamp != nil, n.Spec, n.Status.Addresses, n.ready()})
	if err != nil {
		panic(err) // plain values can be marshalled
	}
	return sha256.Sum256(text)
}
