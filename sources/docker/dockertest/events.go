package dockertest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Emit sends an event, a JSON object, to all who listen and whose filters it
// passes.
func (d *Daemon) Emit(event string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for stream, wants := range d.streams {
		if wants(event) {
			stream <- event
		}
	}
}

// Listeners is how many streams of events there are.
func (d *Daemon) Listeners() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.streams)
}

// events is GET /events (Docker Engine API, Monitor events).
func (d *Daemon) events(w http.ResponseWriter, r *http.Request, filters map[string]map[string]bool) {
	for name, values := range filters {
		if !slices.Contains([]string{"type", "event", "scope", "label"}, name) {
			refuse(w, http.StatusBadRequest, "invalid filter '%s'", name)
			return
		}
		for kind := range values {
			if name == "type" && !slices.Contains([]string{"container", "network", "service", "node"}, kind) {
				refuse(w, http.StatusBadRequest, "this daemon has no events of type %s", kind)
				return
			}
		}
	}
	wants := func(event string) bool {
		var e struct{ Type, Action string }
		if d.Classic || json.Unmarshal([]byte(event), &e) != nil {
			return true // a classic Swarm ignores filters
		}
		// With a colon, as in "health_status: healthy", the part before counts.
		action, _, _ := strings.Cut(e.Action, ":")
		return (len(filters["type"]) == 0 || filters["type"][e.Type]) && (len(filters["event"]) == 0 || filters["event"][action])
	}
	w.Header().Set("Content-Type", "application/json")
	flush := http.NewResponseController(w)
	if flush.Flush() != nil {
		return
	}
	// As the real one, it listens only after it has answered.
	stream := make(chan string, 100)
	d.mu.Lock()
	if d.streams == nil {
		d.streams = make(map[chan string]func(string) bool)
	}
	d.streams[stream] = wants
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.streams, stream)
		d.mu.Unlock()
	}()
	for {
		select {
		case event := <-stream:
			// A classic Swarm puts nothing between two events.
			if !d.Classic {
				event += "\n"
			}
			if _, err := io.WriteString(w, event); err != nil || flush.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
