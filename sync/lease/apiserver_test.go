package lease_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// apiserver keeps leases as Kubernetes does: by namespace, name and version.
// What it does not know it refuses. That it does so as the real one does is
// seen in testdata/kubernetes, where the binary meets that.
type apiserver struct {
	mu      sync.Mutex
	version int
	leases  map[string]map[string]any // by path
}

func newAPIServer() *apiserver { return &apiserver{leases: map[string]map[string]any{}} }

const collection = "/apis/coordination.k8s.io/v1/namespaces/nitrox/leases"

func (a *apiserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := func(code int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(body)
	}
	refuse := func(code int, format string, args ...any) {
		answer(code, map[string]any{"kind": "Status", "status": "Failure", "code": code, "message": fmt.Sprintf(format, args...)})
	}
	var sent map[string]any
	if r.Method != http.MethodGet {
		if r.Header.Get("Content-Type") != "application/json" {
			refuse(415, "the body must be JSON")
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || sent["kind"] != "Lease" || sent["apiVersion"] != "coordination.k8s.io/v1" {
			refuse(400, "not a Lease: %v", err)
			return
		}
		spec, _ := sent["spec"].(map[string]any)
		if seconds, _ := spec["leaseDurationSeconds"].(float64); seconds < 1 {
			refuse(422, "spec.leaseDurationSeconds: must be greater than 0")
			return
		}
		if n, _ := spec["leaseTransitions"].(float64); n < 0 || n > math.MaxInt32 {
			refuse(400, "json: cannot unmarshal number into Go struct field LeaseSpec.spec.leaseTransitions of type int32")
			return
		}
		for _, key := range []string{"acquireTime", "renewTime"} {
			text, _ := spec[key].(string)
			if _, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", text); err != nil {
				refuse(400, "%s: %v", key, err)
				return
			}
		}
	}
	metadata, _ := sent["metadata"].(map[string]any)
	keep := func(path string, code int) {
		a.version++
		metadata["resourceVersion"] = strconv.Itoa(a.version)
		a.leases[path] = sent
		answer(code, sent)
	}
	switch {
	case !strings.HasPrefix(r.URL.Path, collection):
		refuse(404, `namespaces "elsewhere" not found`)
	case r.Method == http.MethodPost && r.URL.Path == collection:
		path := fmt.Sprintf("%s/%s", collection, metadata["name"])
		if a.leases[path] != nil {
			refuse(409, `leases "x" already exists`)
			return
		}
		keep(path, 201)
	case a.leases[r.URL.Path] == nil:
		refuse(404, `leases "x" not found`)
	case r.Method == http.MethodGet:
		answer(200, a.leases[r.URL.Path])
	case r.Method == http.MethodPut:
		if metadata["resourceVersion"] != a.leases[r.URL.Path]["metadata"].(map[string]any)["resourceVersion"] {
			refuse(409, "the object has been modified; please apply your changes to the latest version and try again")
			return
		}
		keep(r.URL.Path, 200)
	default:
		refuse(405, "%s", r.Method)
	}
}

// lease returns what the lease nitrox/nitrox holds, or nil.
func (a *apiserver) lease() map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leases[collection+"/nitrox"]
}

// set changes the lease nitrox/nitrox, as somebody else; nil deletes it.
func (a *apiserver) set(o map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o == nil {
		delete(a.leases, collection+"/nitrox")
		return
	}
	a.version++
	o["metadata"].(map[string]any)["resourceVersion"] = strconv.Itoa(a.version)
	a.leases[collection+"/nitrox"] = o
}

// road is a replica's way to the API server, and what happens on it.
type road struct {
	server http.Handler
	under  sync.WaitGroup // requests that are under way
	mu     sync.Mutex
	// trip says how a request fares: how long it takes to get there and back,
	// and whether it gets there, and its answer back. nil: at once and well.
	trip func() (there, back time.Duration, arrives, answered bool)
}

func (r *road) set(trip func() (there, back time.Duration, arrives, answered bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trip = trip
}

// cut: nothing gets through any more, and nothing says so.
func (r *road) cut() {
	r.set(func() (time.Duration, time.Duration, bool, bool) { return 2 * duration, 0, false, false })
}

func (r *road) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	trip := r.trip
	r.mu.Unlock()
	var there, back time.Duration
	arrives, answered := true, true
	if trip != nil {
		there, back, arrives, answered = trip()
	}
	travel := func(d time.Duration) error {
		if d == 0 {
			return request.Context().Err()
		}
		select {
		case <-time.After(d):
			return nil
		case <-request.Context().Done():
			return request.Context().Err()
		}
	}
	body := []byte{}
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
	}
	done := make(chan *http.Response, 1)
	r.under.Go(func() { // what was sent arrives, also if nobody waits for the answer
		// No timer that fires at once: several of them in goroutines of one
		// synctest bubble crash the race detector of Go 1.26, which runs
		// their functions in one context without a lock.
		if there > 0 {
			<-time.After(there)
		}
		if !arrives {
			done <- nil
			return
		}
		recorder := httptest.NewRecorder()
		copied := httptest.NewRequest(request.Method, request.URL.String(), strings.NewReader(string(body)))
		copied.Header = request.Header
		r.server.ServeHTTP(recorder, copied)
		done <- recorder.Result()
	})
	select {
	case response := <-done:
		if err := travel(back); err != nil {
			return nil, err
		}
		if response == nil || !answered {
			return nil, errors.New("connection reset by peer")
		}
		response.Request = request
		return response, nil
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
}
