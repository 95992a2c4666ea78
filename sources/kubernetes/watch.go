package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nitrox/sources"
	"nitrox/sources/httpapi"
	"nitrox/sources/stream"
)

const (
	// recycle is the life of a watch. API servers end one after half an hour to
	// an hour; what is between us and them may forget to say so.
	recycle = 30 * time.Minute
	// maxEvent is the size in bytes above which an event is refused: etcd keeps
	// no object of more than 1.5 MiB, which JSON makes larger.
	maxEvent = 8 << 20
)

// errAgain ends a watch in order: it is to start again.
var errAgain = errors.New("the watch starts again")

// Watch implements [sources.Watcher]. It watches the slices and services that the
// queries ask for and, where they are bound, nodes, unless these must not be
// listed. It needs the verb watch beside list. It ends in order when an API
// server ends one of the streams, and after half an hour.
func (s *Source) Watch(ctx context.Context, queries []Query, changed func(which []int)) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	err = stream.Hints(changed, func(hint func(which []int)) error {
		return watch(ctx, c, queries, func() { hint(nil) })
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errAgain):
		return nil
	}
	return fmt.Errorf("%s: %w", c.Host(), err)
}

// watch follows all streams until one of them ends.
func watch(ctx context.Context, c *client, queries []Query, hint func()) error {
	watches, err := watchesOf(ctx, c, queries)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	var missing atomic.Int64
	missing.Store(int64(len(watches)))
	for _, w := range watches {
		all.Go(func() error {
			err := w.follow(ctx, c, func() {
				if missing.Add(-1) == 0 {
					hint() // from here on none is missed
				}
			}, func() {
				if missing.Load() <= 0 { // else the hint above is still to come
					hint()
				}
			})
			return cmp.Or(err, errAgain)
		})
	}
	return all.Wait()
}

// watched is one stream: changes of a resource.
type watched struct {
	resource resource
	query    query
	version  string // after which changes are told
	// matters says whether endpoints may be others after an object is as it is
	// given, or gone. It is called by one goroutine.
	matters func(kind string, object json.RawMessage) bool
}

// watchesOf finds out what to watch, where, and from which version on.
func watchesOf(ctx context.Context, c *client, queries []Query) ([]*watched, error) {
	names, wanted, withNodes := namesOf(queries), map[key]bool{}, false
	for _, q := range queries {
		wanted[q.key()] = true
		withNodes = withNodes || q.address() == NodePort || q.address() == HostPort
	}
	own := func(keyOf func(metadata) key) func(string, json.RawMessage) bool {
		return func(_ string, object json.RawMessage) bool {
			var o struct {
				Metadata metadata `json:"metadata"`
			}
			return json.Unmarshal(object, &o) != nil || wanted[keyOf(o.Metadata)]
		}
	}
	in := func(namespace string, names named) []*watched {
		list := []*watched{{resource: services, query: query{namespace: namespace},
			matters: own(func(m metadata) key { return key{m.Namespace, m.Name} })}}
		for _, selector := range selectors(names.sliced()) {
			list = append(list, &watched{resource: endpointSlices, query: query{namespace: namespace, labelSelector: selector},
				matters: own(func(m metadata) key { return key{m.Namespace, m.Labels[serviceOf]} })})
		}
		return list
	}
	var watches []*watched
	if len(names) > 1 && c.clusterWide() {
		list := in("", everywhere(names))
		err := begin(ctx, c, list)
		if err != nil && !httpapi.Forbidden(err) {
			return nil, err
		}
		if err == nil {
			watches = list
		} else {
			c.notClusterWide()
		}
	}
	if watches == nil {
		for namespace, n := range names {
			watches = append(watches, in(namespace, n)...)
		}
		if err := begin(ctx, c, watches); err != nil {
			return nil, err
		}
	}
	if withNodes {
		w, err := watchNodes(ctx, c)
		switch {
		case httpapi.Forbidden(err): // polls do without them, too
		case err != nil:
			return nil, err
		default:
			watches = append(watches, w)
		}
	}
	return watches, nil
}

// begin finds the version of each list. The list itself is left to the poll to
// come: one object is enough.
func begin(ctx context.Context, c *client, watches []*watched) error {
	errs := make([]error, len(watches))
	inParallel(len(watches), func(i int) {
		p := pager[json.RawMessage]{c: c, resource: watches[i].resource, query: watches[i].query, limit: 1}
		_, errs[i] = p.read(ctx)
		watches[i].version = p.version
	})
	return errors.Join(errs...)
}

// watchEvent is one event of a watch (API concepts, Efficient detection of
// changes).
type watchEvent struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// follow follows a stream until it ends, which is in order: nil.
func (w *watched) follow(ctx context.Context, c *client, connected, hint func()) error {
	expected := stream.Expected{Types: []string{"application/json"}, Life: recycle}
	err := stream.Read(ctx, expected, func(ctx context.Context) (*http.Response, error) {
		return c.Open(ctx, c.url(w.resource, w.query, [2]string{"watch", "1"}, [2]string{"allowWatchBookmarks", "true"},
			[2]string{"resourceVersion", w.version}, [2]string{"timeoutSeconds", strconv.Itoa(int(recycle / time.Second))}))
	}, func(body io.Reader) error {
		connected()
		return stream.Values(body, maxEvent, func(e watchEvent) error {
			switch e.Type {
			case "ERROR":
				return statusIn(e.Object)
			case "BOOKMARK": // says only how far the watch has come
			case "ADDED", "MODIFIED", "DELETED":
				if w.matters(e.Type, e.Object) {
					hint()
				}
			default:
				hint()
			}
			return nil
		})
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	if httpapi.Forbidden(err) {
		err = fmt.Errorf("%w (with --watch the account needs the verb watch as well as list)", err)
	}
	return fmt.Errorf("watch %s%s: %w", w.resource, w.query.in(), err)
}

// statusIn is the error that an event reports: mostly 410, that the version
// after which changes were to be told is too old.
func statusIn(object json.RawMessage) error {
	var status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(object, &status); err != nil || status.Message == "" {
		return fmt.Errorf("the server ended it with an error: %s", sources.Excerpt(object))
	}
	return &httpapi.StatusError{Code: status.Code, Err: fmt.Errorf("the server ended it: %d %s: %s",
		status.Code, http.StatusText(status.Code), sources.Excerpt(status.Message))}
}
