// Package kubernetes finds the endpoints of Kubernetes services for a load
// balancer outside the cluster: the node ports of nodes on which ready pods run,
// pods themselves, their host ports, or what the cluster's own load balancer
// has given.
//
// A poll lists EndpointSlices, Services and Nodes, each only if it is needed and
// with pages that are complete or an error. That is three requests for any number
// of apps in small clusters. The exceptions:
//
//   - Each list takes a request for 500 objects, and that of the slices one for
//     each 4 KB of service names.
//   - Where several namespaces are named and the account may not list cluster-wide,
//     each namespace is listed by itself.
//   - Where few services or nodes of many are wanted, only those are read: services
//     by name, nodes by label or name, whatever is cheapest. A small page tells how
//     many there are.
//   - While a watch tells of nodes, a poll of services that it has hinted at reads none
//     of theirs that have not changed. Else all nodes of a large cluster, if all are
//     wanted, are kept for a minute.
//   - Pods are listed, a request for each service, for address host_port, and for
//     node_port where the account may not list nodes.
//   - Where a list of all services is too large or too slow, they are read by name.
//     So is each namespace by itself: what one tenant keeps there must not hold up
//     the others.
//
// The account needs the verb list on what is listed, and no other verb. To watch
// it needs the verb watch, too; to write Events, create on these.
package kubernetes

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources"
	"nitrox/sources/kubeapi"
	"nitrox/sources/textfile"
)

// Source is a cluster. It implements [sources.Source], [sources.Watcher], [sources.Discoverer] and
// [sources.Teller].
type Source struct {
	config   Config
	selector labels.Selector // of nodes
	maxBody  int64
	cluster  kubeapi.Cluster

	mu      sync.Mutex
	client  *client
	records map[key]*record // of what was told of services
	all     *rate.Limiter   // of Events
}

// Open makes a source of a cluster, and contacts nothing.
func Open(config Config) (*Source, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	selector, err := labels.Parse(config.NodeSelector)
	if err != nil {
		return nil, err
	}
	return &Source{config: config, selector: selector, maxBody: maxBody,
		records: map[key]*record{}, all: rate.NewLimiter(rate.Every(nextInAll), mostInAll),
		cluster: kubeapi.Cluster{Kubeconfig: config.Kubeconfig, Context: config.Context, CertificateSHA256: config.CertificateSHA256}}, nil
}

// OthersWrite implements [sources.Exposed].
func (c Config) OthersWrite(query any) string {
	switch q, _ := query.(Query); q.Address {
	case PodIP:
		return "addresses that whoever may write EndpointSlices chooses (address: pod_ip)"
	case HostPort:
		return "ports that whoever may run pods chooses (address: host_port)"
	}
	return ""
}

// CheckFiles implements [sources.FileChecker]. What a pod's service account has
// is looked at where the pod runs.
func (c Config) CheckFiles() error {
	if c.Kubeconfig == "" {
		return nil
	}
	s, err := Open(c)
	if err != nil {
		return err
	}
	if _, err = textfile.ReadFile(string(c.Kubeconfig)); err == nil {
		_, err = s.connect()
	}
	if err != nil {
		return &sources.KeyError{Key: "kubeconfig", Err: err}
	}
	return nil
}

// Poll reads the cluster as far as the queries need it. A service that is not
// there is absent.
func (s *Source) Poll(ctx context.Context, queries []Query, fresh bool) ([]sources.Answer, error) {
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	answers, err := s.poll(ctx, c, queries, fresh)
	if err != nil {
		return nil, c.explained(err)
	}
	return answers, nil
}

func (s *Source) poll(ctx context.Context, c *client, queries []Query, fresh bool) ([]sources.Answer, error) {
	v, err := readServices(ctx, c, queries)
	if err != nil {
		return nil, err
	}
	targets := make([]*target, len(queries))
	doubts := make([]error, len(queries))
	needs := make([]wanted, len(queries))
	want := wanted{names: map[string]bool{}}
	for i, q := range queries {
		if targets[i], doubts[i] = v.target(q); doubts[i] != nil {
			continue
		}
		needs[i] = targets[i].wantedNodes()
		for name, now := range needs[i].names {
			want.names[name] = want.names[name] || now
		}
		want.all = want.all || needs[i].all
	}
	s.identify(v, queries)
	v.slices = nil // targets have what is wanted of them; it is half of the memory that a poll takes
	// Nodes and pods are read after what refers to them: one that is missing
	// is really gone.
	known := c.nodesOf(ctx, queries, needs, want, fresh)
	readPods(ctx, c, targets, known.err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answers := make([]sources.Answer, len(queries))
	virtual := v.virtual()
	for i, t := range targets {
		targets[i] = nil // the answer takes its place
		if doubts[i] != nil {
			answers[i] = sources.Doubtful(doubts[i])
			continue
		}
		p, err := s.policy(t.query)
		if err != nil {
			return nil, err
		}
		answers[i] = t.answer(p, known)
		answers[i].Virtual = virtual
	}
	return answers, nil
}

// policy is what the source and an entry of it say of nodes.
func (s *Source) policy(q Query) (p policy, err error) {
	p = policy{types: s.config.addressTypes(), selector: s.selector, zone: q.Zone, includeExcluded: s.config.IncludeExcludedNodes}
	if len(q.NodeAddress) > 0 {
		p.types = q.NodeAddress
	}
	if q.NodeSelector != "" {
		p.selector, err = labels.Parse(q.NodeSelector)
	}
	return p, err
}
