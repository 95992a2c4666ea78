package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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
type event struct{ Type, Action, Status string }

// matters says whether endpoints may be others after the event.
func (e event) matters() bool {
	action, _, _ := strings.Cut(cmp.Or(e.Action, e.Status), ":") // "health_status: healthy"
	return action == "" || slices.Contains(changes[cmp.Or(e.Type, "container")], action)
}

// late says whether more will change some time after the event.
func (e event) late() bool { return e.Type == "service" || e.Type == "node" }

// Watch implements [sources.Watcher]. It follows the events of the first host
// that answers: in swarm mode those of the swarm, and of the host's own
// containers. The stream ends in order after ten minutes.
func (s *Source) Watch(ctx context.Context, changed func()) error {
	return stream.Hints(changed, func(hint func()) error {
		var failed []error
		for _, h := range s.hosts {
			connected, err := h.watch(ctx, hint)
			if err == nil || ctx.Err() != nil {
				return err
			}
			failed = append(failed, fmt.Errorf("%s: %w", h.address.text, err))
			if connected {
				break
			}
		}
		return errors.Join(failed...)
	})
}

// watch follows the events of this host.
func (h *host) watch(ctx context.Context, hint func()) (connected bool, err error) {
	limited, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	c, err := h.connect(limited)
	if err != nil {
		return false, err
	}
	var again []*time.Timer
	defer func() {
		for _, t := range again {
			t.Stop()
		}
	}()
	err = stream.Read(ctx, stream.Limits{Life: recycle}, func(ctx context.Context) (*http.Response, error) {
		return h.events(ctx, c)
	}, func(resp *http.Response) error {
		if err := isEvents(resp); err != nil {
			return err
		}
		connected = true
		hint()
		for _, d := range h.again {
			again = append(again, time.AfterFunc(d, hint))
		}
		err := stream.Values(resp.Body, maxEvent, func(e event) error {
			if e.matters() {
				hint()
			}
			if e.late() {
				for i, t := range again {
					t.Reset(h.again[i])
				}
			}
			return nil
		})
		if err == nil {
			err = errors.New("the daemon has ended the stream of events")
		}
		return err
	})
	if err != nil || c.versionless {
		h.drop(c)
	}
	return connected, err
}

// events asks for events. The client library's own request goes through strict,
// which waits for the end of an answer, and knows no limit to an event's size.
func (h *host) events(ctx context.Context, c *connection) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "docker", Path: "/v" + c.client.ClientVersion() + "/events"}
	if h.address.network == "tcp" {
		u.Host, u.Path = h.address.url.Host, strings.TrimSuffix(h.address.url.Path, "/")+u.Path
	}
	if c.transport.TLSClientConfig != nil {
		u.Scheme = "https"
	}
	if c.kind != Classic { // which ignores them
		u.RawQuery = url.Values{"filters": {filters()}}.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	client := http.Client{Transport: c.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if err != nil {
		return nil, &failure{r.Method, r.URL.Path, err}
	}
	return resp, nil
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

// isEvents says what is wrong with the head of an answer.
func isEvents(resp *http.Response) error {
	fail := func(err error) error { return &failure{resp.Request.Method, resp.Request.URL.Path, err} }
	if resp.StatusCode != http.StatusOK {
		return fail(statusError(resp))
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || !slices.Contains([]string{"application/json", "application/x-ndjson", "application/jsonl"}, kind) {
		return fail(fmt.Errorf("200 with %q, not a stream of events", resp.Header.Get("Content-Type")))
	}
	return nil
}
