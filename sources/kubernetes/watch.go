package kubernetes

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nitrox/sources"
	"nitrox/sources/bounds"
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
//
// An event of a slice that was another service's before is told of its new service
// only: no controller makes such a change.
func (s *Source) Watch(ctx context.Context, queries []Query, changed func(which []int)) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	err = stream.Hints(changed, func(hint func(which []int)) error { return s.watch(ctx, c, queries, hint) })
	return c.ended(ctx, err)
}

// ended is what a watch returns that has ended so.
func (c *client) ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errAgain):
		return nil
	}
	return fmt.Errorf("%s: %w", c.Host(), err)
}

// watch follows all streams until one of them ends.
func (s *Source) watch(ctx context.Context, c *client, queries []Query, give func(which []int)) error {
	watches, err := watchesOf(ctx, c, queries)
	if err != nil {
		return err
	}
	var known *watchedNodes
	if slices.ContainsFunc(queries, func(q Query) bool { return q.address() == NodePort || q.address() == HostPort || q.restricted() }) {
		known, err = s.watchNodes(ctx, c, queries)
		switch {
		case httpapi.Forbidden(err): // polls do without them, too
		case err != nil:
			return err
		default:
			watches = append(watches, &watched{resource: nodes, version: known.from, told: known.told, nodes: known})
		}
	}
	hint := func(which []int) {
		if known != nil {
			known.hint(queries, which)
		}
		give(which)
	}
	return c.followAll(ctx, watches, hint)
}

// followAll gives a hint of any query when all streams are connected, and then those of
// their events, until one of them ends.
func (c *client) followAll(ctx context.Context, watches []*watched, hint func(which []int)) error {
	all, ctx := errgroup.WithContext(ctx)
	var missing atomic.Int64
	missing.Store(int64(len(watches)))
	for _, w := range watches {
		all.Go(func() error {
			err := w.follow(ctx, c, func() {
				if w.nodes != nil {
					c.watched.Store(w.nodes)
				}
				if missing.Add(-1) == 0 {
					hint(nil) // from here on none is missed
				}
			}, func(which []int) {
				if missing.Load() <= 0 { // else the hint above is still to come
					hint(which)
				}
			})
			if w.nodes != nil {
				c.keepNodes(nodeView{}) // what a list had before may be older than what was told
				c.watched.CompareAndSwap(w.nodes, nil)
			}
			return cmp.Or(err, errAgain)
		})
	}
	return all.Wait()
}

// What events are called.
const (
	added    = "ADDED"
	modified = "MODIFIED"
	deleted  = "DELETED"
	bookmark = "BOOKMARK" // says only how far the watch has come
)

// none are the queries that an event concerns if it concerns none; nil is any.
var none = []int{}

// watched is one stream: changes of a resource.
type watched struct {
	resource resource
	query    query
	version  string // after which changes are told
	// told takes an event, and says which queries may have other answers since. The
	// error ends the stream. It is called by one goroutine.
	told  func(kind string, object json.RawMessage) (which []int, err error)
	nodes *watchedNodes // if it is of these
}

// watchesOf finds out what to watch, where, and from which version on.
func watchesOf(ctx context.Context, c *client, queries []Query) ([]*watched, error) {
	names, indexes := namesOf(queries), map[key][]int{}
	for i, q := range queries {
		indexes[q.key()] = append(indexes[q.key()], i)
	}
	own := func(keyOf func(metadata) key) func(string, json.RawMessage) ([]int, error) {
		return func(kind string, object json.RawMessage) ([]int, error) {
			o, err := objectOf[struct {
				Metadata metadata `json:"metadata"`
			}](object)
			if kind != bookmark && (err != nil || o.Metadata.Name == "") {
				return nil, nil
			}
			return append(none, indexes[keyOf(o.Metadata)]...), nil
		}
	}
	in := func(namespace string) []*watched {
		list := []*watched{{resource: services, query: query{namespace: namespace},
			told: own(func(m metadata) key { return key{m.Namespace, m.Name} })}}
		for _, selector := range selectors(serviceOf, namesIn(namespace, names).sliced()) {
			list = append(list, &watched{resource: endpointSlices, query: query{namespace: namespace, labelSelector: selector},
				told: own(func(m metadata) key { return key{m.Namespace, m.Labels[serviceOf]} })})
		}
		return list
	}
	return spreadWatches(ctx, c, slices.Collect(maps.Keys(names)), in)
}

// spreadWatches begins the watches of all namespaces, which are those in "" or, where
// that is forbidden or there is one, those in each.
func spreadWatches(ctx context.Context, c *client, namespaces []string, in func(namespace string) []*watched) ([]*watched, error) {
	if len(namespaces) > 1 && !c.forbidden.lately() {
		watches := in("")
		err := begin(ctx, c, watches)
		if !httpapi.Forbidden(err) {
			return watches, err
		}
		c.forbidden.note()
	}
	var watches []*watched
	for _, namespace := range namespaces {
		watches = append(watches, in(namespace)...)
	}
	return watches, begin(ctx, c, watches)
}

// begin finds the version of each list. The list itself is left to the poll to
// come: one object is enough.
func begin(ctx context.Context, c *client, watches []*watched) error {
	errs := make([]error, len(watches))
	inParallel(len(watches), func(i int) {
		p := pager[struct{}]{c: c, resource: watches[i].resource, query: watches[i].query, limit: 1}
		_, errs[i] = p.read(ctx)
		watches[i].version = p.version
	})
	return errors.Join(errs...)
}

// watchEvent is one event of a watch (API concepts, Efficient detection of
// changes). Whoever answers 200 to a watch that failed sends a Status.
type watchEvent struct {
	Type    string          `json:"type"`
	Object  json.RawMessage `json:"object"`
	Kind    string          `json:"kind"`
	Code    int             `json:"code"`
	Message string          `json:"message"`
}

// objectOf decodes the object of an event, with no more of it in memory than is
// wanted.
func objectOf[T any](object json.RawMessage) (o T, err error) {
	err = bounds.NewDecoder(bytes.NewReader(object), bounds.Of[T]()).Decode(&o)
	return o, err
}

// follow follows a stream until it ends, which is in order: nil.
func (w *watched) follow(ctx context.Context, c *client, connected func(), hint func(which []int)) error {
	expected := stream.Expected{Types: []string{"application/json"}, Life: recycle}
	err := stream.Read(ctx, expected, func(ctx context.Context) (*http.Response, error) {
		return c.Open(ctx, c.url(w.resource, w.query, [2]string{"watch", "1"}, [2]string{"allowWatchBookmarks", "true"},
			[2]string{"resourceVersion", w.version}, [2]string{"timeoutSeconds", strconv.Itoa(int(recycle / time.Second))}))
	}, func(body io.Reader) error {
		connected()
		return stream.Values(body, maxEvent, func(e watchEvent) error {
			switch {
			case e.Type == "ERROR":
				return statusIn(e.Object)
			case e.Type == "" && e.Kind == "Status":
				return statusOf(e.Code, e.Message)
			case slices.Contains([]string{added, modified, deleted, bookmark}, e.Type):
				which, err := w.told(e.Type, e.Object)
				hint(which)
				return err
			}
			if w.nodes != nil {
				w.nodes.unsure()
			}
			hint(nil)
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
	return statusOf(status.Code, status.Message)
}

func statusOf(code int, message string) error {
	return &httpapi.StatusError{Code: code, Err: fmt.Errorf("the server ended it: %d %s: %s", code, http.StatusText(code), sources.Excerpt(message))}
}
