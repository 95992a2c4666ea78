package marathontest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// keepAlive is how often a stream that has no events sends an empty line.
const keepAlive = 10 * time.Second

// stream is one listener to events. One that is too slow is cut off, as since
// Marathon 1.8.
type stream struct {
	types []string
	sent  chan string
	done  chan struct{}
	ended bool
}

func (s *stream) end() {
	if !s.ended {
		s.ended = true
		close(s.done)
	}
}

// publish sends an event to all who want its type.
func (c *Cluster) publish(kind string, event map[string]any) {
	event["eventType"], event["timestamp"] = kind, stamp(time.Now())
	text, err := json.Marshal(event)
	if err != nil {
		panic(err) // all events are maps of plain values
	}
	for s := range c.streams {
		if len(s.types) > 0 && !slices.Contains(s.types, kind) {
			continue
		}
		select {
		case s.sent <- fmt.Sprintf("event: %s\r\ndata: %s\r\n\r\n", kind, text):
		default:
			s.end()
		}
	}
}

// events is GET /v2/events ("Event Stream", Marathon API reference).
func (c *Cluster) events(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	for key := range query {
		if key != "event_type" && key != "plan-format" {
			fail(w, 400, "unknown parameter "+key)
			return
		}
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		fail(w, 405, "HTTP 405 Method Not Allowed")
		return
	}
	s := &stream{types: query["event_type"], sent: make(chan string, 1000), done: make(chan struct{})}
	c.mu.Lock()
	c.streams[s] = true
	c.publish("event_stream_attached", map[string]any{"remoteAddress": r.RemoteAddr})
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.streams, s)
	}()
	w.Header().Set("Content-Type", "text/event-stream; charset=UTF-8")
	flush := http.NewResponseController(w)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		if flush.Flush() != nil {
			return
		}
		text := "\r\n"
		select {
		case text = <-s.sent:
		case <-tick.C:
		case <-s.done:
			return
		case <-r.Context().Done():
			return
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return
		}
	}
}
