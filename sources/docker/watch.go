package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"nitrox/sources/httpapi"
	"nitrox/sources/stream"
)

const (
	// connecting is how long a host may take to say what it is.
	connecting = 15 * time.Second
	// recycle is the life of a stream. Docker sends no signs of life, and a
	// manager that is one no more keeps it open and says nothing.
	recycle = 10 * time.Minute
	// maxEvent is the size in bytes above which an event is refused: a
	// container's has all its labels.
	maxEvent = 1 << 20
)

// afterwards is when to look again after a change of a service or a node: tasks
// start and stop some time later, and there are no events of tasks (moby issue
// 37403). It is also when to look after a stream has begun: daemons send the
// head of the answer a moment before they listen to events.
var afterwards = []time.Duration{time.Second, 3 * time.Second, 10 * time.Second}

// changes are the actions after which endpoints may be others, by the type of
// the object (Docker Engine API, Monitor events). kill, stop, restart and oom
// are not among them: each comes with a die. Nor is what health checks and
// people do inside containers, all day long.
var changes = map[string][]string{
	"container": {"start", "die", "destroy", "pause", "unpause", "rename", "update", "health_status"},
	"network":   {"connect", "disconnect"}, // from the network that ports are published on
	"service":   {"create", "update", "remove"},
	"node":      {"create", "update", "remove"},
	// A classic Swarm tells by these how its manager sees the engines.
	"swarm": {"engine_connect", "engine_disconnect", "engine_reconnect"},
}

// event is an event of a daemon. Those before API 1.22 have only a status.
type event struct {
	Type, Action, Status string
	Actor                struct {
		ID         string
		Attributes map[string]string // of containers these are also the labels
	}
}

func (e event) action() string {
	action, _, _ := strings.Cut(cmp.Or(e.Action, e.Status), ":") // "health_status: healthy"
	return action
}

// late says whether more will change some time after the event.
func (e event) late() bool { return e.Type == "service" || e.Type == "node" }

// Watch implements [sources.Watcher]. It follows the events of the first host
// that answers: in swarm mode those of the swarm, and of the host's own
// containers. The stream ends in order after ten minutes.
func (s *Source) Watch(ctx context.Context, queries []Query, changed func(which []int)) error {
	return s.watch(ctx, queries, false, changed)
}

// watch follows the events that queries are concerned by or, if found, those of what
// opts in.
func (s *Source) watch(ctx context.Context, queries []Query, found bool, changed func(which []int)) error {
	return stream.Hints(changed, func(hint func(which []int)) error {
		return stream.InTurn(ctx, s.hosts, func(ctx context.Context, h *host) (bool, error) { return h.watch(ctx, queries, found, hint) })
	})
}

// watch follows the events of this host.
func (h *host) watch(ctx context.Context, queries []Query, found bool, hint func(which []int)) (connected bool, err error) {
	limited, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	c, err := h.connect(limited)
	if err != nil {
		return false, err
	}
	request, err := h.events(c)
	if err != nil {
		return false, err
	}
	w := newAudience(c, queries, hint, h.again)
	w.found = found
	defer w.leave()
	expected := stream.Expected{Types: []string{"application/json", "application/x-ndjson", "application/jsonl"}, Life: recycle}
	err = stream.Read(ctx, expected, func(ctx context.Context) (*http.Response, error) {
		resp, err := (&http.Client{Transport: c.transport, CheckRedirect: httpapi.Stay}).Do(request.WithContext(ctx))
		return resp, httpapi.Cause(err)
	}, func(body io.Reader) error {
		connected = true
		w.tell(nil, true)
		asking, stop := context.WithCancel(ctx)
		var asker sync.WaitGroup
		asker.Go(func() { w.answer(asking) })
		err := stream.Values(body, maxEvent, func(e event) error {
			w.hear(e)
			return nil
		})
		stop()
		asker.Wait()
		if err == nil {
			err = errors.New("the daemon ended the event stream")
		}
		return err
	})
	if err != nil || c.versionless {
		h.drop(c)
	}
	if err != nil {
		err = &failure{request.Method, request.URL.Path, err}
	}
	return connected, err
}

// events is the request for events. The client library's own goes through strict,
// which waits for the end of an answer, and knows no limit to an event's size.
func (h *host) events(c *connection) (*http.Request, error) {
	u := h.url(c.transport, "/v"+c.client.ClientVersion()+"/events")
	if c.kind != Classic { // which ignores them
		u.RawQuery = url.Values{"filters": {filters()}}.Encode()
	}
	r, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Encoding", "identity")
	return r, nil
}

// filters keeps what does not matter from being sent. They are of types and
// actions apart, and so no more than coarse.
func filters() string {
	f := map[string]map[string]bool{"type": {}, "event": {}}
	for kind, actions := range changes {
		if kind == "swarm" {
			continue
		}
		f["type"][kind] = true
		for _, a := range actions {
			f["event"][a] = true
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		panic(err) // maps of strings can be marshalled
	}
	return string(text)
}
