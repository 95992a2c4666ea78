package kubernetes

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
)

// podView is what a poll knows of the pods of a service. One that is in neither
// map is gone.
type podView struct {
	pods map[string]pod   // by UID
	bad  map[string]error // those that cannot be read, by name: who knows their UID
	err  error            // why nothing is known
}

// readPods reads the pods of the services whose answers need them: for host
// ports, and for the addresses of nodes that must not be listed.
func readPods(ctx context.Context, c *client, targets []*target, nodes error) {
	byService := map[key]*podView{}
	var wanted []*target
	for _, t := range targets {
		if t == nil || !t.wantsPods(nodes) {
			continue
		}
		k := t.query.key()
		if byService[k] == nil {
			byService[k] = &podView{}
			wanted = append(wanted, t)
		}
		t.pods = byService[k]
	}
	inTurns(ctx, len(wanted), 0.9, func(ctx context.Context, i int) {
		t := wanted[i]
		*t.pods = readPodsOf(ctx, c, t.query.key(), t.service.Spec.Selector)
	})
}

func readPodsOf(ctx context.Context, c *client, k key, selector map[string]string) podView {
	items, bad, err := list[pod](ctx, c, pods, query{namespace: k.namespace, labelSelector: labels.SelectorFromSet(selector).String()})
	v := podView{pods: map[string]pod{}, bad: map[string]error{}, err: err}
	for _, p := range items {
		v.pods[p.Metadata.UID] = p
	}
	for _, b := range bad {
		v.bad[b.meta.Name] = fmt.Errorf("pod %s: the answer cannot be read: %w", b.meta.Name, b.err)
	}
	return v
}
