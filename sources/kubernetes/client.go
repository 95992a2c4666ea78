package kubernetes

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"nitrox/sources/kubeapi"
	"nitrox/sources/trust"
)

// client makes requests to one API server, and knows what it is like.
type client struct {
	*kubeapi.Client
	maxBody int64
	watched atomic.Pointer[watchedNodes] // while a stream tells of nodes
	// onlyJSON: protobuf was refused, as by a proxy that does not speak it.
	onlyJSON atomic.Bool

	forbidden  sighting // the cluster-wide lists were, or took too much
	unlabelled sighting // nodes do not have their names in a label

	mu     sync.Mutex
	totals map[string]total // of objects, by resource and namespace
	known  nodeView         // all nodes of a large cluster; not changed any more
	read   time.Time        // when these were read
}

// total is how many objects there were.
type total struct {
	objects int
	at      time.Time
}

// connect returns the client to use now: that of the poll before, unless the
// kubeconfig has changed.
func (s *Source) connect() (*client, error) {
	c, err := s.cluster.Connect()
	switch {
	case errors.Is(err, kubeapi.ErrSeveral):
		return nil, fmt.Errorf("%w; say which one with context", err)
	case err != nil:
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil || s.client.Client != c {
		s.client = &client{Client: c, maxBody: s.maxBody}
	}
	return s.client, nil
}

// explained is an error with the API server that it is about, and with what to do.
func (c *client) explained(err error) error {
	return fmt.Errorf("%s: %w", c.Host(), trust.Explain(err, kubeapi.Keys()))
}
