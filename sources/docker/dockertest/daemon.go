// Package dockertest is a Docker daemon for tests: the part of its HTTP API
// that finding endpoints needs, over objects that the test writes in JSON. It
// refuses what a real one refuses, and whatever it does not know.
package dockertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Daemon answers as one engine, or as one manager of a classic Swarm. Its
// fields must not change while it serves.
type Daemon struct {
	// API is the newest version of the API that it speaks, MinAPI the oldest.
	// Default: 1.41 and 1.12, which are those of Docker 20.10.
	API, MinAPI string
	// Classic is a manager of the standalone Swarm: it takes any version.
	Classic bool
	// Swarm is the state of the engine's swarm, with /manager behind it if it
	// is one: "active/manager", "active/worker", "locked". Default: inactive.
	Swarm string
	// SystemStatus are the rows of a classic Swarm.
	SystemStatus [][2]string
	// Services, Tasks, Nodes and Containers are JSON objects.
	Services, Tasks, Nodes, Containers []string
	// Images are the labels of images, by ID. Other images of containers have none.
	Images map[string]map[string]string

	mu      sync.Mutex
	streams map[chan string]func(event string) bool
}

var versioned = regexp.MustCompile(`^/v([0-9]+\.[0-9]+)(/.*)$`)

// ServeHTTP implements [http.Handler].
func (d *Daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api, oldest := d.API, d.MinAPI
	if api == "" {
		api = "1.41"
	}
	if oldest == "" {
		oldest = "1.12"
	}
	w.Header().Set("Api-Version", api)
	w.Header().Set("Ostype", "linux")
	if r.URL.Path == "/_ping" {
		if d.Swarm != "" {
			w.Header().Set("Swarm", d.Swarm)
		}
		if d.Classic && r.Method == http.MethodHead {
			http.Error(w, "404 page not found", http.StatusNotFound)
			return
		}
		fmt.Fprint(w, "OK")
		return
	}
	m := versioned.FindStringSubmatch(r.URL.Path)
	switch {
	case m == nil:
		refuse(w, http.StatusNotFound, "page not found")
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "this daemon is only read")
	case !d.Classic && number(m[1]) > number(api):
		refuse(w, http.StatusBadRequest, "client version %s is too new. Maximum supported API version is %s", m[1], api)
	case !d.Classic && number(m[1]) < number(oldest):
		refuse(w, http.StatusBadRequest, "client version %s is too old. Minimum supported API version is %s", m[1], oldest)
	default:
		d.route(w, r, m[2])
	}
}

func (d *Daemon) route(w http.ResponseWriter, r *http.Request, path string) {
	filters := make(map[string]map[string]bool)
	if text := r.URL.Query().Get("filters"); text != "" {
		if err := json.Unmarshal([]byte(text), &filters); err != nil {
			refuse(w, http.StatusBadRequest, "invalid filters: %v", err)
			return
		}
	}
	known := map[string][]string{
		"/info":            nil,
		"/containers/json": {"all", "filters"},
		"/services":        {"status", "filters"},
		"/tasks":           {"filters"},
		"/nodes":           {"filters"},
		"/events":          {"filters"},
	}
	if id := image.FindStringSubmatch(path); id != nil {
		d.image(w, id[1])
		return
	}
	parameters, ok := known[path]
	if !ok || d.Classic && path != "/info" && path != "/containers/json" && path != "/events" {
		refuse(w, http.StatusNotFound, "page not found")
		return
	}
	for name := range r.URL.Query() {
		if !slices.Contains(parameters, name) {
			refuse(w, http.StatusBadRequest, "%s has no parameter %s", path, name)
			return
		}
	}
	if slices.Contains([]string{"/services", "/tasks", "/nodes"}, path) && d.Swarm != "active/manager" {
		refuse(w, http.StatusServiceUnavailable, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.")
		return
	}
	switch path {
	case "/events":
		d.events(w, r, filters)
	case "/info":
		state, role, _ := strings.Cut(d.Swarm, "/")
		if state == "" {
			state = "inactive"
		}
		info := map[string]any{"Swarm": map[string]any{"LocalNodeState": state, "ControlAvailable": role == "manager"}, "ServerVersion": "20.10.24"}
		if d.Classic {
			info = map[string]any{"SystemStatus": d.SystemStatus, "ServerVersion": "swarm/1.2.9"}
		}
		write(w, info)
	case "/containers/json":
		d.list(w, d.Containers, filters, func(o map[string]any) bool {
			state, _ := o["State"].(string)
			status, _ := o["Status"].(string)
			if r.URL.Query().Get("all") != "1" && (state != "running" && state != "paused" || strings.HasPrefix(status, "Host Down")) {
				return false
			}
			return begins(o["Id"], filters["id"]) && hasLabels(o, filters["label"])
		}, "label", "id")
	case "/services":
		d.list(w, d.Services, filters, func(o map[string]any) bool {
			if r.URL.Query().Get("status") != "true" {
				delete(o, "ServiceStatus")
			}
			spec, _ := o["Spec"].(map[string]any)
			return begins(o["ID"], filters["id"]) && begins(spec["Name"], filters["name"]) && hasServiceLabels(spec, filters["label"])
		}, "id", "name", "label")
	case "/tasks":
		services, missing := d.serviceIDs(filters["service"])
		if missing != "" {
			refuse(w, http.StatusNotFound, "service %s not found", missing)
			return
		}
		d.list(w, d.Tasks, filters, func(o map[string]any) bool {
			state, _ := o["DesiredState"].(string)
			service, _ := o["ServiceID"].(string)
			return (len(services) == 0 || services[service]) && (len(filters["desired-state"]) == 0 || filters["desired-state"][state])
		}, "desired-state", "service")
	case "/nodes":
		d.list(w, d.Nodes, filters, func(o map[string]any) bool {
			spec, _ := o["Spec"].(map[string]any)
			role, _ := spec["Role"].(string)
			return begins(o["ID"], filters["id"]) && (len(filters["role"]) == 0 || filters["role"][role])
		}, "id", "role")
	}
}

// begins says whether a text begins with one of some, as filters of names and IDs
// want; there may be none.
func begins(text any, wanted map[string]bool) bool {
	s, _ := text.(string)
	for want := range wanted {
		if strings.HasPrefix(s, want) {
			return true
		}
	}
	return len(wanted) == 0
}

// hasServiceLabels says whether a service has all labels. A daemon makes a map of
// the filter's values: of several of one key it takes any one, and one that is
// empty is had by whatever has the key.
func hasServiceLabels(spec map[string]any, wanted map[string]bool) bool {
	labels, _ := spec["Labels"].(map[string]any)
	last := make(map[string]string)
	for want := range wanted {
		key, value, _ := strings.Cut(want, "=")
		last[key] = value
	}
	for key, value := range last {
		if got, ok := labels[key]; !ok || value != "" && got != value {
			return false
		}
	}
	return true
}

// serviceIDs are the IDs of the services that a filter of tasks means, each by ID,
// by name or, if it is of one alone, by the beginning of an ID; missing is one that
// means none.
func (d *Daemon) serviceIDs(wanted map[string]bool) (ids map[string]bool, missing string) {
	ids = make(map[string]bool)
	byName, found := make(map[string]string), make(map[string]int)
	for _, text := range d.Services {
		var s struct {
			ID   string
			Spec struct{ Name string }
		}
		if len(wanted) > 0 && json.Unmarshal([]byte(text), &s) == nil {
			byName[s.ID], byName[s.Spec.Name] = s.ID, s.ID
		}
	}
	for want := range wanted {
		id := byName[want]
		for _, other := range byName {
			if byName[want] == "" && strings.HasPrefix(other, want) {
				id = other
				found[want]++
			}
		}
		if id == "" || found[want] > 2 { // each stands there by its ID and its name
			return nil, want
		}
		ids[id] = true
	}
	return ids, ""
}

var image = regexp.MustCompile(`^/images/([^/]+)/json$`)

// image answers for an image that is listed, or that a container has.
func (d *Daemon) image(w http.ResponseWriter, id string) {
	labels, known := d.Images[id]
	for _, text := range d.Containers {
		var c struct{ ImageID string }
		known = known || json.Unmarshal([]byte(text), &c) == nil && c.ImageID == id
	}
	if !known {
		refuse(w, http.StatusNotFound, "No such image: %s", id)
		return
	}
	write(w, map[string]any{"Id": id, "Config": map[string]any{"Labels": labels}})
}

// list writes the objects that keep keeps. An object that is not an object is
// written as it is: a test of malformed ones.
func (d *Daemon) list(w http.ResponseWriter, objects []string, filters map[string]map[string]bool, keep func(map[string]any) bool, known ...string) {
	for name := range filters {
		if !slices.Contains(known, name) {
			refuse(w, http.StatusBadRequest, "invalid filter '%s'", name)
			return
		}
	}
	kept := []any{}
	for _, text := range objects {
		var object map[string]any
		if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
			kept = append(kept, json.RawMessage(text))
		} else if keep(object) {
			kept = append(kept, object)
		}
	}
	write(w, kept)
}

// hasLabels says whether a container has all labels, each key or key=value.
func hasLabels(object map[string]any, wanted map[string]bool) bool {
	labels, _ := object["Labels"].(map[string]any)
	for want := range wanted {
		key, value, exact := strings.Cut(want, "=")
		if got, ok := labels[key]; !ok || exact && got != value {
			return false
		}
	}
	return true
}

// number makes versions below 1.100 comparable.
func number(version string) float64 {
	n, err := strconv.ParseFloat(version, 64)
	if err != nil {
		panic(err) // of a test, or of the expression above
	}
	return n
}

func write(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"message": fmt.Sprintf(format, args...)})
}
