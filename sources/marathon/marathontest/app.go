package marathontest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// app is a definition and what runs of it.
type app struct {
	id         string
	definition map[string]any // as it is listed
	instances  int
	version    string    // of the definition
	scaled     time.Time // last
	configured time.Time // last; the version of new tasks
	tasks      []*task
	deployment string // ID; "": none
	checks     int    // health checks
	interval   time.Duration
	readiness  bool
	mode       string
	ports      []mapping
	gone       bool // is being deleted
}

type mapping struct {
	host    bool // has a port of the agent
	service int
}

const (
	staging = "TASK_STAGING"
	running = "TASK_RUNNING"
)

// task is one instance of an app.
type task struct {
	id, host, state string
	version         time.Time // of its definition
	staged, started time.Time
	ports           []int
	ip              string
	sick, killed    bool
	ready           bool
	checked         time.Time // by the leader; zero: not yet
	firstSuccess    time.Time // that the leader has seen
	proven          bool      // some leader has seen it healthy
}

func (t *task) check(now time.Time) {
	if t.state != running {
		return
	}
	t.checked = now
	t.proven = t.proven || !t.sick
	if !t.sick && t.firstSuccess.IsZero() {
		t.firstSuccess = now
	}
}

// definitionKeys are those of an app in Marathon's schema. Others are refused,
// as Marathon does.
var definitionKeys = []string{
	"id", "cmd", "args", "cpus", "mem", "disk", "env", "secrets", "instances", "labels", "constraints", "killSelection", "container", "networks",
	"portDefinitions", "requirePorts", "healthChecks", "readinessChecks", "upgradeStrategy", "unreachableStrategy", "taskKillGracePeriodSeconds", "fetch", "user",
	"ports", "dependencies", "uris", "storeUrls", "acceptedResourceRoles", "backoffSeconds", "backoffFactor", "maxLaunchDelaySeconds", "executor", "gpus", "residency", "role", "version",
}

var validID = regexp.MustCompile(`^(/[a-z0-9]([a-z0-9.-]*[a-z0-9])?)+$`)

// Put creates or updates an app as PUT /v2/apps/{id} does, and begins its
// deployment. What the update leaves out stays.
func (c *Cluster) Put(definition string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var d map[string]any
	if err := json.Unmarshal([]byte(definition), &d); err != nil {
		return err
	}
	maps.DeleteFunc(d, func(_ string, v any) bool { return v == nil })
	for key := range d {
		if !slices.Contains(definitionKeys, key) {
			return refusal("unexpected attribute " + key)
		}
	}
	id, _ := d["id"].(string)
	if !validID.MatchString(id) {
		return refusal("id " + id)
	}
	now := time.Now()
	a := c.apps[id]
	if a != nil && a.deployment != "" {
		return errors.New("app is locked by one or more deployments; override with the option '?force=true'")
	}
	merged := map[string]any{"labels": map[string]any{}, "constraints": []any{}, "healthChecks": []any{}, "readinessChecks": []any{}, "killSelection": "YOUNGEST_FIRST", "instances": 1.0}
	if a == nil {
		a = &app{id: id, configured: now}
		merged["networks"] = []any{map[string]any{"mode": "host"}}
	} else {
		merged = maps.Clone(a.definition)
	}
	maps.Copy(merged, d)
	before := maps.Clone(a.definition)
	if err := c.define(a, merged); err != nil {
		return err
	}
	after := maps.Clone(a.definition)
	delete(before, "instances")
	delete(after, "instances")
	if !reflect.DeepEqual(before, after) {
		a.configured = now
	}
	a.scaled, a.version = now, stamp(now)
	c.apps[id] = a
	c.serial++
	a.deployment = fmt.Sprintf("deployment-%d", c.serial)
	c.publish("api_post_event", map[string]any{"uri": "/v2/apps" + id})
	c.plan(a)
	return nil
}

// refusal is why a definition is not one.
type refusal string

func (r refusal) Error() string { return "Object is not valid: " + string(r) }

// define reads what matters of a definition.
func (c *Cluster) define(a *app, d map[string]any) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	var typed struct {
		Instances       int
		KillSelection   string
		Networks        []struct{ Mode string }
		HealthChecks    []struct{ IntervalSeconds *float64 }
		ReadinessChecks []any
		PortDefinitions []struct {
			Port int
			Name string
		}
		Container struct {
			PortMappings []struct {
				ContainerPort, ServicePort int
				HostPort                   *int
				Name                       string
			}
		}
	}
	if err := json.Unmarshal(text, &typed); err != nil {
		return refusal(err.Error())
	}
	if typed.KillSelection != "YOUNGEST_FIRST" && typed.KillSelection != "OLDEST_FIRST" || len(typed.Networks) == 0 {
		return refusal("killSelection, networks")
	}
	a.instances, a.mode, a.ports = typed.Instances, typed.Networks[0].Mode, nil
	switch a.mode {
	case "host":
		for _, p := range typed.PortDefinitions {
			a.ports = append(a.ports, mapping{true, p.Port})
		}
	case "container/bridge", "container":
		for _, p := range typed.Container.PortMappings {
			a.ports = append(a.ports, mapping{p.HostPort != nil || a.mode != "container", p.ServicePort})
		}
	default:
		return refusal("network mode " + a.mode)
	}
	a.checks, a.interval, a.readiness = len(typed.HealthChecks), 60*time.Second, len(typed.ReadinessChecks) > 0
	for _, h := range typed.HealthChecks {
		if h.IntervalSeconds != nil {
			a.interval = time.Duration(*h.IntervalSeconds * float64(time.Second))
		}
	}
	a.definition = d
	return nil
}

// healthy is Marathon's own word: it has results, and all are good.
func (a *app) healthy(t *task) bool {
	return t.state == running && !t.killed && (a.checks == 0 || !t.checked.IsZero() && !t.sick) && (!a.readiness || t.ready || a.deployment == "")
}

// plan does what a deployment can do at once: launch what is missing, and kill
// what is too much. Old tasks go once as many new ones are healthy.
func (c *Cluster) plan(a *app) {
	want := a.instances
	if a.gone {
		want = 0
	}
	var news, olds []*task
	healthy := 0
	for _, t := range a.tasks {
		switch {
		case t.killed:
		case t.version.Before(a.configured):
			olds = append(olds, t)
		default:
			news = append(news, t)
			if a.healthy(t) {
				healthy++
			}
		}
	}
	for len(news) < want {
		t := c.launch(a)
		news = append(news, t)
	}
	if len(news) > want {
		slices.SortStableFunc(news, func(x, y *task) int { return y.started.Compare(x.started) })
		if a.definition["killSelection"] == "OLDEST_FIRST" {
			slices.Reverse(news)
		}
		for _, t := range news[:len(news)-want] {
			c.kill(a, t)
		}
		healthy = min(healthy, want)
	}
	for len(olds) > want-healthy {
		c.kill(a, olds[0])
		olds = olds[1:]
	}
	if len(olds) == 0 && healthy == want && !slices.ContainsFunc(a.tasks, func(t *task) bool { return t.killed }) {
		c.publish("deployment_success", map[string]any{"id": a.deployment})
		a.deployment = ""
		if a.gone {
			delete(c.apps, a.id)
		}
	}
}

func (c *Cluster) launch(a *app) *task {
	c.serial++
	now := time.Now()
	name := strings.ReplaceAll(strings.Trim(a.id, "/"), "/", "_")
	t := &task{
		id: fmt.Sprintf("%s.%d", name, c.serial), host: c.options.Agents[c.serial%len(c.options.Agents)], state: staging,
		version: a.configured, staged: now, ip: fmt.Sprintf("172.16.%d.%d", c.serial/250, c.serial%250+1),
	}
	for i, m := range a.ports {
		if m.host {
			t.ports = append(t.ports, 31000+(c.serial*4+i)%30000)
		}
	}
	a.tasks = append(a.tasks, t)
	c.update(a, t)
	return t
}

func (c *Cluster) kill(a *app, t *task) {
	t.killed = true
	c.update(a, t)
}

// update publishes a task's state.
func (c *Cluster) update(a *app, t *task) {
	c.publish("status_update_event", map[string]any{"appId": a.id, "taskId": t.id, "taskStatus": c.state(t), "host": t.host, "ports": t.ports})
}

// state is what is said of a task.
func (c *Cluster) state(t *task) string {
	if t.killed && !c.options.NoKilling {
		return "TASK_KILLING"
	}
	return t.state
}

// startsAtOnce is how many tasks of an app start in one step.
const startsAtOnce = 2

// Advance lets the agents and Marathon make one step: the first two of an app's
// staging tasks run, running ones become healthy and then ready, killed ones
// are gone.
func (c *Cluster) Advance() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, a := range c.sorted() {
		a.tasks = slices.DeleteFunc(a.tasks, func(t *task) bool { return t.killed })
		starts := 0
		for i, t := range a.tasks {
			switch {
			case t.state == staging && starts == startsAtOnce:
			case t.state == staging: // no two start at the same moment
				starts++
				t.state, t.started = running, now.Add(time.Duration(i-len(a.tasks))*time.Millisecond)
				c.update(a, t)
			case t.checked.IsZero() && now.Sub(c.elected) > a.interval:
				t.check(now)
			case t.state == running:
				t.ready = true
			}
		}
		if a.deployment != "" {
			c.plan(a)
		}
	}
}

// Settle advances until no deployment is left.
func (c *Cluster) Settle() {
	for range 100 {
		c.Advance()
		c.mu.Lock()
		done := true
		for _, a := range c.apps {
			done = done && a.deployment == ""
		}
		c.mu.Unlock()
		if done {
			return
		}
	}
	panic("a deployment has no end")
}

// Delete begins to remove an app.
func (c *Cluster) Delete(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.apps[id]
	a.gone = true
	c.serial++
	a.deployment = fmt.Sprintf("deployment-%d", c.serial)
	c.plan(a)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Pod makes a pod, of which no list of apps tells ("Pods", Marathon
// documentation).
func (c *Cluster) Pod(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods = append(c.pods, id)
}

func (c *Cluster) getPod(id string, w http.ResponseWriter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.pods, id) {
		fail(w, 404, fmt.Sprintf("Pod '%s' does not exist", id))
		return
	}
	reply(w, 200, map[string]any{"id": id, "containers": []any{}, "scaling": map[string]any{"kind": "fixed", "instances": 1}})
}
