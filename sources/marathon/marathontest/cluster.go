// Package marathontest is a Marathon cluster in memory, for tests: apps, tasks,
// deployments, health, a leader and its standbys, over real HTTP.
//
// It follows Marathon's published API reference and answers what recorded
// answers have, and it refuses what it does not know. Time passes by the clock
// of the process, so that it also lives inside testing/synctest; what agents
// do happens in [Cluster.Advance].
package marathontest

import (
	"crypto/rsa"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options are what differs between clusters.
type Options struct {
	// URLs are those by which the Marathons know each other; the first leads.
	// Default: http://marathon.test:8080.
	URLs []string
	// Path is before the path of each request: "/service/marathon".
	Path string
	// Users has the passwords of basic authentication. Without users and keys
	// anybody may do anything.
	Users map[string]string
	// Keys has the public keys of DC/OS service accounts.
	Keys map[string]*rsa.PublicKey
	// Hidden says which apps a user may not see; nil: none.
	Hidden func(user, app string) bool
	// Agents are names or addresses of the hosts that tasks run on. Default:
	// 10.0.1.1 to 10.0.1.3.
	Agents []string
	// NoKilling is a Mesos without TASK_KILLING: a task that is being killed is
	// said to be running until it is gone.
	NoKilling bool
	// Legacy503 is a Marathon that answers 503, not 502, without a leader.
	Legacy503 bool
	// Gzip compresses answers for those who accept it.
	Gzip bool
}

// Cluster is several Marathons that share their state.
type Cluster struct {
	options Options

	mu       sync.Mutex
	apps     map[string]*app
	raw      []string // apps in other forms
	pods     []string
	leader   int // index of URLs; -1: none
	elected  time.Time
	down     map[int]bool
	answers  map[int]canned
	tokens   map[string]token
	requests []string
	streams  map[*stream]bool
	serial   int
	listens  map[int]string
}

// canned is what a node answers instead of the truth.
type canned struct {
	status int
	body   string
}

// New makes a cluster without apps.
func New(o Options) *Cluster {
	if len(o.URLs) == 0 {
		o.URLs = []string{"http://marathon.test:8080"}
	}
	if len(o.Agents) == 0 {
		o.Agents = []string{"10.0.1.1", "10.0.1.2", "10.0.1.3"}
	}
	return &Cluster{
		options: o, apps: map[string]*app{}, down: map[int]bool{}, answers: map[int]canned{},
		tokens: map[string]token{}, streams: map[*stream]bool{}, listens: map[int]string{},
	}
}

// Listen tells the cluster that a node is reached at another URL than that of
// the options, which a test learns only once it listens.
func (c *Cluster) Listen(node int, url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listens[node] = url
}

func (c *Cluster) url(node int) string {
	if u, ok := c.listens[node]; ok {
		return u
	}
	return c.options.URLs[node]
}

// Raw makes the list of apps have an app as it is given, with its tasks: for
// forms of other versions, and for what no Marathon should say.
func (c *Cluster) Raw(app string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, app)
}

// Reset forgets what Raw was given.
func (c *Cluster) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = nil
}

// Failover makes another node the leader; -1: none. The new one knows nothing
// of health until it has checked, and event streams of the old one end.
func (c *Cluster) Failover(node int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader, c.elected = node, time.Now()
	for _, a := range c.apps {
		for _, t := range a.tasks {
			t.checked = time.Time{}
			t.firstSuccess = time.Time{}
		}
	}
	for s := range c.streams {
		s.end()
	}
}

// Down makes a node drop all connections.
func (c *Cluster) Down(node int, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down[node] = down
}

// Answer makes a node answer everything so; a status of 0: the truth again.
func (c *Cluster) Answer(node, status int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if status == 0 {
		delete(c.answers, node)
		return
	}
	c.answers[node] = canned{status, body}
}

// Requests are those since the last call, as "GET /v2/apps"; each counts once,
// also if a standby passed it on.
func (c *Cluster) Requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.requests
	c.requests = nil
	return seen
}

// Tasks are the IDs of an app's tasks, in order of their launch.
func (c *Cluster) Tasks(id string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, t := range c.apps[id].tasks {
		ids = append(ids, t.id)
	}
	return ids
}

// Serving are the addresses, "10.0.1.1:31000", of an app's tasks that really
// accept traffic, whatever a new leader knows of that: they run, have been
// healthy and still are, and are not being killed.
func (c *Cluster) Serving(id string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	a := c.apps[id]
	for _, t := range a.tasks {
		if t.state == running && !t.killed && !t.sick && (t.proven || a.checks == 0) && (t.ready || !a.readiness) && len(t.ports) > 0 {
			all = append(all, fmt.Sprintf("%s:%d", t.host, t.ports[0]))
		}
	}
	slices.Sort(all)
	return all
}

// Sick makes a task fail its health checks, or pass them again. Its Marathon
// knows at once.
func (c *Cluster) Sick(id string, sick bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.apps {
		for _, t := range a.tasks {
			if t.id == id {
				t.sick = sick
				t.check(time.Now())
				c.publish("health_status_changed_event", map[string]any{"appId": a.id, "taskId": t.id, "alive": !sick})
				return
			}
		}
	}
	panic("no task " + id)
}

// Check makes Marathon check the health of all tasks now.
func (c *Cluster) Check() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.apps {
		for _, t := range a.tasks {
			t.check(time.Now())
		}
	}
}

func (c *Cluster) sorted() []*app {
	return slices.SortedFunc(maps.Values(c.apps), func(x, y *app) int {
		if x.id < y.id {
			return -1
		}
		return 1
	})
}

// Handler serves one node.
func (c *Cluster) Handler(node int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(node, w, r) })
}
