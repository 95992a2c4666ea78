package marathon

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"nitrox/sources"
)

// verdict is what Marathon says about a task. At most one field is set; none:
// it accepts traffic.
type verdict struct {
	// uncertain says why it is not known whether it does.
	uncertain string
	// out says why it does not.
	out string
}

// judge is the verdict on a task. now is Marathon's time; newLeader: its leader
// is so new that it has not checked all health yet.
func (a *app) judge(t task, now time.Time, newLeader bool) verdict {
	switch {
	case t.State == "TASK_RUNNING", t.State == "" && t.StartedAt != "":
	case t.State == "TASK_UNREACHABLE" && t.StartedAt == "" && len(t.Ports) == 0:
		// Marathon has given it up; only active tasks have these.
		return verdict{out: "its agent has been unreachable for too long"}
	case t.State == "TASK_UNREACHABLE", (t.State == "TASK_LOST" || t.State == "TASK_UNKNOWN") && t.StartedAt != "":
		// The agent is cut off from Mesos, or the master has forgotten it, and the
		// task may be back; to Marathon before 1.4 it was lost. Whether the agent is
		// cut off from the NetScaler, the NetScaler's monitor knows.
		return verdict{uncertain: "Mesos cannot reach its agent"}
	case t.State == "TASK_KILLING":
		return verdict{out: "it is being killed"}
	default:
		return verdict{out: "its state is " + cmp.Or(t.State, "not given, and it has not started")}
	}
	if v := a.health(t, newLeader); v != (verdict{}) {
		return v
	}
	return a.readiness(t, now)
}

// health is three-valued: a result that is missing is not a bad one. Marathon
// keeps results in the memory of its leader, and a new one has none.
func (a *app) health(t task, newLeader bool) verdict {
	if len(a.HealthChecks) == 0 {
		return verdict{}
	}
	known := 0
	for _, r := range t.HealthCheckResults {
		switch {
		case r == nil:
			continue
		case r.Alive:
		case newLeader && r.FirstSuccess == "":
			return verdict{uncertain: "Marathon has a new leader, which has not seen it healthy yet"}
		case r.ConsecutiveFailures == 0 && r.FirstSuccess == "":
			return verdict{out: "it has not been healthy yet, and is in its grace period"}
		case r.LastFailureCause != "":
			return verdict{out: fmt.Sprintf("it is unhealthy, %s: %s", sources.Count(r.ConsecutiveFailures, "failure"), sources.Excerpt(r.LastFailureCause))}
		default:
			return verdict{out: "it is unhealthy, " + sources.Count(r.ConsecutiveFailures, "failure")}
		}
		known++
	}
	switch checks := len(a.HealthChecks); {
	case known == 0:
		return verdict{uncertain: "Marathon has no health result for it"}
	case known < checks:
		return verdict{uncertain: fmt.Sprintf("Marathon has results of %d of its %d health checks", known, checks)}
	}
	return verdict{}
}

const (
	// readinessTimeout is the timeout of a readiness check that has none, in
	// seconds, and readinessSlack what Marathon may be late with its result.
	readinessTimeout = 10
	readinessSlack   = 5
	// healthInterval is that of a health check that has none, in seconds, and
	// healthSlack what Marathon may be late with the first.
	healthInterval = 60
	healthSlack    = 5
)

// readiness counts during a deployment only: that is when Marathon checks it.
// A task without a result is a new one, or it was there before.
func (a *app) readiness(t task, now time.Time) verdict {
	if len(a.Deployments) == 0 || len(a.ReadinessChecks) == 0 {
		return verdict{}
	}
	ready := 0
	for _, r := range a.ReadinessCheckResults {
		if r.TaskID != t.ID {
			continue
		}
		if !r.Ready {
			return verdict{out: "it is not ready yet"}
		}
		ready++
	}
	if ready >= len(a.ReadinessChecks) {
		return verdict{}
	}
	timeout := 0.0
	for _, c := range a.ReadinessChecks {
		timeout = max(timeout, cmp.Or(c.TimeoutSeconds, readinessTimeout))
	}
	started, err := time.Parse(time.RFC3339, t.StartedAt)
	if err != nil || now.Sub(started) < seconds(timeout+readinessSlack) {
		return verdict{uncertain: "Marathon has no readiness result for it"}
	}
	return verdict{}
}

// firstResults is how long after its election a leader may lack results of the
// app's health checks.
func (a *app) firstResults() time.Duration {
	interval := 0.0
	for _, c := range a.HealthChecks {
		interval = max(interval, cmp.Or(c.IntervalSeconds, healthInterval))
	}
	return seconds(interval + healthSlack)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// facts are since when a task has run, and how many health checks it has passed.
func (a *app) facts(t task) string {
	alive := 0
	for _, r := range t.HealthCheckResults {
		if r != nil && r.Alive {
			alive++
		}
	}
	var all []string
	if t.StartedAt != "" {
		all = append(all, "running since "+sources.Excerpt(t.StartedAt))
	}
	if n := len(a.HealthChecks); n > 0 {
		all = append(all, fmt.Sprintf("%d of %s healthy", alive, sources.Count(n, "health check")))
	}
	return strings.Join(all, ", ")
}
