package marathontest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// embeds are what a list of apps may be asked to hold besides the definitions.
var embeds = []string{"apps.tasks", "apps.deployments", "apps.readiness"}

// listApps is GET /v2/apps. The list leaves out what the user may not see, and what
// has not the text of id in its ID, whether in capitals or not.
func (c *Cluster) listApps(user string, w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	for key, values := range query {
		if key == "id" {
			continue
		}
		if key != "embed" {
			fail(w, 400, "unknown parameter "+key)
			return
		}
		for _, v := range values {
			if !slices.Contains(embeds, v) {
				fail(w, 400, "unknown embed "+v)
				return
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	apps := []any{}
	for _, a := range c.sorted() {
		if !c.hidden(user, a.id) && strings.Contains(strings.ToLower(a.id), strings.ToLower(query.Get("id"))) {
			apps = append(apps, c.view(a, query["embed"]))
		}
	}
	for _, text := range c.raw {
		apps = append(apps, json.RawMessage(text))
	}
	reply(w, 200, map[string]any{"apps": apps})
}

func (c *Cluster) hidden(user, id string) bool {
	return c.options.Hidden != nil && c.options.Hidden(user, id)
}

// view is an app as it is listed.
func (c *Cluster) view(a *app, embed []string) map[string]any {
	v := maps.Clone(a.definition)
	v["instances"] = a.instances
	v["version"] = a.version
	v["versionInfo"] = map[string]any{"lastScalingAt": stamp(a.scaled), "lastConfigChangeAt": stamp(a.configured)}
	asked := func(what string) bool { return slices.Contains(embed, "apps."+what) }
	if asked("tasks") {
		v["tasks"] = c.viewTasks(a)
	}
	if asked("deployments") {
		list := []any{}
		if a.deployment != "" {
			list = append(list, map[string]any{"id": a.deployment})
		}
		v["deployments"] = list
	}
	if asked("readiness") {
		list := []any{}
		for _, t := range a.tasks {
			if a.readiness && a.deployment != "" && t.state == running && !t.version.Before(a.configured) {
				list = append(list, map[string]any{"name": "readinessCheck", "taskId": t.id, "ready": t.ready, "lastResponse": map[string]any{"status": 200, "contentType": "text/plain", "body": ""}})
			}
		}
		v["readinessCheckResults"] = list
	}
	return v
}

func (c *Cluster) viewTasks(a *app) []any {
	tasks := []any{}
	for _, t := range a.tasks {
		tasks = append(tasks, c.viewTask(a, t))
	}
	return tasks
}

// viewTask is a task as it is listed. Keys that have nothing are left out.
func (c *Cluster) viewTask(a *app, t *task) map[string]any {
	v := map[string]any{
		"id": t.id, "appId": a.id, "host": t.host, "state": c.state(t), "slaveId": "slave-" + t.host,
		"ports": t.ports, "version": stamp(t.version), "stagedAt": stamp(t.staged), "servicePorts": []int{},
	}
	if t.ports == nil {
		v["ports"] = []int{}
	}
	if !t.started.IsZero() {
		v["startedAt"] = stamp(t.started)
		v["ipAddresses"] = []any{map[string]any{"ipAddress": t.ip, "protocol": "IPv4"}}
	}
	if a.checks > 0 && !t.checked.IsZero() {
		result := map[string]any{"taskId": t.id, "alive": !t.sick, "consecutiveFailures": 0, "lastFailure": nil, "lastFailureCause": nil, "firstSuccess": nil, "lastSuccess": nil, "instanceId": t.id}
		if t.sick {
			result["consecutiveFailures"], result["lastFailure"], result["lastFailureCause"] = 1, stamp(t.checked), "HealthCheck got 503"
		}
		if !t.firstSuccess.IsZero() {
			result["firstSuccess"], result["lastSuccess"] = stamp(t.firstSuccess), stamp(t.firstSuccess)
		}
		results := []any{}
		for range a.checks {
			results = append(results, result)
		}
		v["healthCheckResults"] = results
	}
	return v
}

// listTasks is GET /v2/apps/{id}/tasks. Of an app that the user may not see it says no
// more than that.
func (c *Cluster) listTasks(user, id string, w http.ResponseWriter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.apps[id]
	switch {
	case a == nil:
		fail(w, 404, "App '"+id+"' does not exist")
	case c.hidden(user, id):
		fail(w, 403, "Not Authorized to perform this action!")
	default:
		reply(w, 200, map[string]any{"tasks": c.viewTasks(a)})
	}
}
