package kubernetes

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"nitrox/sources/kubeapi"
)

// client makes requests to one API server, and knows what it is like.
type client struct {
	*kubeapi.Client
	maxBody int64
	watched atomic.Pointer[watchedNodes] // while a stream tells of nodes
	// onlyJSON: protobuf was refused, as by a proxy that does not speak it.
	onlyJSON atomic.Bool

	mu         sync.Mutex
	forbidden  time.Time        // when the cluster-wide lists were, or took too much
	totals     map[string]total // of objects, by resource and namespace
	unlabelled time.Time        // when nodes were found not to have their names in a label
	known      nodeView         // all nodes of a large cluster; not changed any more
	read       time.Time        // when these were read
}

// total is how many objects there were.
type total struct {
	objects int
	at      time.Time
}

func several(err error) error {
	if errors.Is(err, kubeapi.ErrSeveral) {
		return fmt.Errorf("%w; say which one with context", err)
	}
	return err
}

// connect returns the client to use now: that of the poll before, unless the
// kubeconfig has changed.
func (s *Source) connect() (*client, error) {
	c, err := s.cluster.Connect()
	if err != nil {
		return nil, several(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil || s.client.Client != c {
		s.client = &client{Client: c, maxBody: s.maxBody}
	}
	return s.client, nil
}
