package kubernetes

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	apifields "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources"
)

// token is what the API server of the tests asks for.
const token = "bearer-of-all-rights"

// apiserver is an API server as far as a source uses one, and strict: it answers
// a Status to what a real one would refuse, and to what a source should not ask.
type apiserver struct {
	mu      sync.Mutex
	objects map[string][]manifest // by plural
	version int
	pages   map[string][]manifest // lists that are being paged, by version and path
	asked   []string              // path and query
	served  int64                 // bytes
	sent    map[string]int        // objects, by plural

	onlyJSON  bool
	pageSize  int // at most; 0: what is asked for
	forbidden func(plural, namespace string) bool
	before    func(w http.ResponseWriter, r *http.Request) (done bool)
	watchable func(plural, namespace string) bool // nil: all

	history []change // see watchserver_test.go
	news    chan struct{}
}

// manifest is an object as its API has it.
type manifest map[string]any

func (m manifest) meta() manifest { return m["metadata"].(manifest) }

func (m manifest) labels() labels.Set {
	set, _ := m.meta()["labels"].(map[string]string)
	return set
}

func cluster(objects ...manifest) *apiserver {
	a := &apiserver{onlyJSON: os.Getenv(onlyJSON) != "", objects: map[string][]manifest{}, pages: map[string][]manifest{}, sent: map[string]int{}, version: 9130}
	a.put(objects...)
	return a
}

// plurals tells where an object is served.
var plurals = map[any]string{"EndpointSlice": "endpointslices", "Service": "services", "Node": "nodes", "Pod": "pods"}

// put adds objects.
func (a *apiserver) put(objects ...manifest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range objects {
		a.version++
		plural := plurals[o["kind"]]
		a.objects[plural] = append(a.objects[plural], a.record("ADDED", o))
	}
}

// drop removes the objects of a kind that match.
func (a *apiserver) drop(plural string, match func(manifest) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.objects[plural] = slices.DeleteFunc(slices.Clone(a.objects[plural]), func(o manifest) bool {
		if match(o) {
			a.record("DELETED", o)
			return true
		}
		return false
	})
}

// requests returns what was asked since it was called last.
func (a *apiserver) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.asked
	a.asked = nil
	return asked
}

// negotiated knows in which form an answer is to be written, also one that refuses.
type negotiated struct {
	http.ResponseWriter
	protobuf bool
}

func (n negotiated) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (n negotiated) write(code int, kind string, object manifest) int {
	body, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	n.Header().Set("Content-Type", "application/json")
	if message, ok := inProtobuf(kind, body); ok && n.protobuf {
		n.Header().Set("Content-Type", "application/vnd.kubernetes.protobuf")
		body = message
	}
	n.WriteHeader(code)
	n.Write(body)
	return len(body)
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	n, ok := w.(negotiated)
	if !ok {
		n.ResponseWriter = w
	}
	n.write(code, "Status", manifest{"kind": "Status", "apiVersion": "v1", "metadata": manifest{}, "status": "Failure",
		"reason": reason, "message": message, "code": code})
}

func (a *apiserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.RequestURI())
	before := a.before
	a.mu.Unlock()
	w = negotiated{w, !a.onlyJSON && strings.Contains(r.Header.Get("Accept"), "protobuf")}
	if before != nil && before(w, r) {
		return
	}
	accept := "application/vnd.kubernetes.protobuf,application/json"
	if r.URL.Query().Has("watch") {
		accept = "application/json"
	}
	if r.Method != http.MethodGet || r.Header.Get("Accept") != accept || len(r.RequestURI) > 8<<10 {
		refuse(w, 400, "BadRequest", "not what a source asks")
		return
	}
	// client-go keeps credentials to itself where there is no TLS.
	if want := map[bool]string{true: "Bearer " + token}[r.TLS != nil]; r.Header.Get("Authorization") != want {
		refuse(w, 401, "Unauthorized", "Unauthorized")
		return
	}
	path, core := strings.CutPrefix(r.URL.Path, "/api/v1/")
	apiVersion, group := "v1", ""
	if !core {
		var ok bool
		if path, ok = strings.CutPrefix(r.URL.Path, "/apis/discovery.k8s.io/v1/"); !ok {
			http.Error(w, "404 page not found", 404)
			return
		}
		apiVersion, group = "discovery.k8s.io/v1", "discovery.k8s.io"
	}
	namespace := ""
	if rest, ok := strings.CutPrefix(path, "namespaces/"); ok {
		namespace, path, _ = strings.Cut(rest, "/")
	}
	kind := map[string]string{"services": "ServiceList", "nodes": "NodeList", "pods": "PodList", "endpointslices": "EndpointSliceList"}[path]
	if kind == "" || (path == "endpointslices") == core || path == "nodes" && namespace != "" {
		http.Error(w, "404 page not found", 404)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.forbidden != nil && a.forbidden(path, namespace) {
		scope := "at the cluster scope"
		if namespace != "" {
			scope = fmt.Sprintf("in the namespace %q", namespace)
		}
		resource := path
		if group != "" {
			resource += "." + group
		}
		refuse(w, 403, "Forbidden", fmt.Sprintf("%s is forbidden: User %q cannot list resource %q in API group %q %s", resource, "nitrox", path, group, scope))
		return
	}
	if r.URL.Query().Has("watch") {
		a.watch(w, r, path, namespace)
		return
	}
	a.list(w, r, kind, apiVersion, path, namespace)
}

func (a *apiserver) list(w http.ResponseWriter, r *http.Request, kind, apiVersion, plural, namespace string) {
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, 400, "BadRequest", err.Error())
		return
	}
	for name := range parameters {
		if !slices.Contains([]string{"limit", "continue", "labelSelector", "fieldSelector"}, name) {
			refuse(w, 400, "BadRequest", "a source should not use "+name)
			return
		}
	}
	selector, err := labels.Parse(parameters.Get("labelSelector"))
	if err != nil {
		refuse(w, 400, "BadRequest", "unable to parse requirement: "+err.Error())
		return
	}
	field, err := apifields.ParseSelector(parameters.Get("fieldSelector"))
	if err != nil {
		refuse(w, 400, "BadRequest", "unable to parse field selector: "+err.Error())
		return
	}
	limit, err := strconv.Atoi(parameters.Get("limit"))
	if err != nil || limit < 1 {
		refuse(w, 400, "BadRequest", "a source should set a limit")
		return
	}
	if a.pageSize > 0 {
		limit = min(limit, a.pageSize)
	}
	version, start := strconv.Itoa(a.version), 0
	key := func() string { return version + r.URL.Path + parameters.Get("labelSelector") }
	if token := parameters.Get("continue"); token != "" {
		text, err := base64.RawURLEncoding.DecodeString(token)
		if _, scanErr := fmt.Sscan(string(text), &version, &start); err != nil || scanErr != nil {
			refuse(w, 400, "BadRequest", "continue key is not valid")
			return
		}
		if _, ok := a.pages[key()]; !ok {
			refuse(w, 410, "Expired", "The provided continue parameter is too old to display a consistent list result.")
			return
		}
	} else {
		a.pages[key()] = slices.DeleteFunc(slices.Clone(a.objects[plural]), func(o manifest) bool {
			return namespace != "" && o.meta()["namespace"] != namespace || !selector.Matches(o.labels()) ||
				!field.Matches(apifields.Set{"metadata.name": o.meta()["name"].(string)})
		})
	}
	all := a.pages[key()]
	end := min(start+limit, len(all))
	metadata := manifest{"resourceVersion": version}
	if end < len(all) {
		metadata["continue"] = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s %d", version, end))
		metadata["remainingItemCount"] = len(all) - end
	}
	a.sent[plural] += end - start
	a.served += int64(w.(negotiated).write(200, kind, manifest{"kind": kind, "apiVersion": apiVersion, "metadata": metadata, "items": all[start:end]}))
}

// expire makes the API server forget the lists that are being paged.
func (a *apiserver) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.pages)
}

// kubeconfig writes a kubeconfig for a cluster.
func kubeconfig(t testing.TB, server string) sources.Path {
	t.Helper()
	return write(t, fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q}}],
users: [{name: u, user: {token: %s}}], contexts: [{name: test, context: {cluster: c, user: u}}]}`, server, token))
}

func write(t testing.TB, text string) sources.Path {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return sources.Path(file)
}
