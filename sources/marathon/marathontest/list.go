package marathontest

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// embeds are what a list of apps may be asked to hold besides the definitions.
var embeds = []string{"apps.tasks", "apps.counts", "apps.deployments", "apps.readiness", "apps.lastTaskFailure", "apps.taskStats", "apps.failures"}

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
		tasks := []any{}
		for _, t := range a.tasks {
			tasks = append(tasks, c.viewTask(a, t))
		}
		v["tasks"] = tasks
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
	if asked("counts") || len(embed) == 0 {
		counts := map[string]int{}
		for _, t := range a.tasks {
			counts[t.state]++
		}
		v["tasksStaged"], v["tasksRunning"] = counts[staging], counts[running]
	}
	return v
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

// listTasks is GET /v2/tasks, which hides apps without tasks.
func (c *Cluster) listTasks(user string, w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tasks := []any{}
	for _, a := range c.sorted() {
		for _, t := range a.tasks {
			if !c.hidden(user, a.id) {
				tasks = append(tasks, c.viewTask(a, t))
			}
		}
	}
	reply(w, 200, map[string]any{"tasks": tasks})
}

// group is the root group, with all apps and the groups that their paths make.
func (c *Cluster) group(user string) map[string]any {
	root := map[string]any{"id": "/", "apps": []any{}, "groups": []any{}, "dependencies": []any{}}
	groups := map[string]map[string]any{"/": root}
	var at func(id string) map[string]any
	at = func(id string) map[string]any {
		if g := groups[id]; g != nil {
			return g
		}
		g := map[string]any{"id": id, "apps": []any{}, "groups": []any{}, "dependencies": []any{}}
		groups[id] = g
		parent := at(parentOf(id))
		parent["groups"] = append(parent["groups"].([]any), g)
		return g
	}
	for _, a := range c.sorted() {
		if !c.hidden(user, a.id) {
			g := at(parentOf(a.id))
			g["apps"] = append(g["apps"].([]any), c.view(a, []string{"none"}))
		}
	}
	return root
}

func parentOf(id string) string { return "/" + strings.Trim(id[:strings.LastIndex(id, "/")], "/") }

func (c *Cluster) deployments(user string) []any {
	list := []any{}
	for _, a := range c.sorted() {
		if a.deployment == "" || c.hidden(user, a.id) {
			continue
		}
		action := map[string]any{"action": "ScaleApplication", "app": a.id}
		list = append(list, map[string]any{"id": a.deployment, "version": a.version, "affectedApps": []string{a.id}, "currentActions": []any{action}, "steps": []any{map[string]any{"actions": []any{action}}}, "currentStep": 1, "totalSteps": 1})
	}
	return list
}

// getApp is GET /v2/apps/{id} and GET /v2/apps/{id}/tasks. Of an app that the
// user may not see the first says that it does not exist, the second does not.
func (c *Cluster) getApp(user, id string, w http.ResponseWriter, r *http.Request) {
	id, tasks := strings.CutSuffix(id, "/tasks")
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.apps[id]
	switch {
	case a != nil && tasks && c.hidden(user, id):
		fail(w, 403, "Not Authorized to perform this action!")
	case a == nil, c.hidden(user, id):
		fail(w, 404, "App '"+id+"' does not exist")
	case tasks:
		list := []any{}
		for _, t := range a.tasks {
			list = append(list, c.viewTask(a, t))
		}
		reply(w, 200, map[string]any{"tasks": list})
	default:
		reply(w, 200, map[string]any{"app": c.view(a, []string{"apps.tasks", "apps.counts", "apps.deployments", "apps.readiness"})})
	}
}

// putApp is PUT /v2/apps/{id}.
func (c *Cluster) putApp(user, id string, w http.ResponseWriter, r *http.Request) {
	var d map[string]any
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		fail(w, 400, "Invalid JSON")
		return
	}
	if body, ok := d["id"]; ok && body != id {
		fail(w, 422, "Object is not valid: id")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hidden(user, id) {
		fail(w, 403, "Not Authorized to perform this action!")
		return
	}
	d["id"] = id
	a, created, err := c.put(d)
	status := 200
	switch {
	case errors.Is(err, errLocked):
		fail(w, 409, err.Error())
		return
	case err != nil:
		fail(w, 422, err.Error())
		return
	case created:
		status = 201
	}
	reply(w, status, map[string]any{"version": a.version, "deploymentId": a.deployment})
}

// deleteApp is DELETE /v2/apps/{id}.
func (c *Cluster) deleteApp(user, id string, w http.ResponseWriter) {
	c.mu.Lock()
	a := c.apps[id]
	switch {
	case a == nil:
		fail(w, 404, "App '"+id+"' does not exist")
		c.mu.Unlock()
		return
	case c.hidden(user, id):
		fail(w, 403, "Not Authorized to perform this action!")
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.Delete(id)
	c.locked(func() { reply(w, 200, map[string]any{"version": a.version, "deploymentId": a.deployment}) })
}
