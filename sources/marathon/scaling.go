package marathon

import (
	"slices"
	"time"
)

// doomed are the tasks that Marathon is killing because the app is being scaled
// down. It picks them by killSelection at once; they say so themselves only
// where Mesos has the state TASK_KILLING, and may otherwise serve on for the
// grace period of the kill. Marathon's order is by state and then by age; it does
// not look at health (sortByConditionAndDate, ScalingProposition.scala).
//
// Nothing is said unless Marathon's choice is certain: killSelection must be
// given, and no constraints, which would have a say in it; no task may be of an
// older version, since those go for another reason, nor between states; and no
// two tasks at the boundary may have started at the same time.
func (a *app) doomed() map[string]bool {
	if len(a.Deployments) == 0 || a.Instances == nil || *a.Instances < 0 {
		return nil
	}
	var running []task
	var unsettled bool
	for _, t := range *a.Tasks {
		switch t.State {
		case "TASK_RUNNING":
			running = append(running, t)
		case "TASK_KILLING":
		default:
			unsettled = true
		}
	}
	surplus := len(running) - *a.Instances
	switch {
	case surplus <= 0:
		return nil
	case surplus == len(running): // no choice to make
	case unsettled || len(a.Constraints) > 0 || slices.ContainsFunc(running, a.old) || !a.inKillOrder(running, surplus):
		return nil
	}
	ids := make(map[string]bool)
	for _, t := range running[:surplus] {
		ids[t.ID] = true
	}
	return ids
}

// inKillOrder sorts tasks in the order in which Marathon kills them; false if
// it is not known which are the first n.
func (a *app) inKillOrder(tasks []task, n int) bool {
	started := make(map[string]time.Time)
	for _, t := range tasks {
		at, err := time.Parse(time.RFC3339, t.StartedAt)
		if err != nil {
			return false
		}
		started[t.ID] = at
	}
	order := 1
	switch a.KillSelection {
	case "OLDEST_FIRST":
	case "YOUNGEST_FIRST":
		order = -1
	default:
		return false
	}
	slices.SortFunc(tasks, func(x, y task) int { return order * started[x.ID].Compare(started[y.ID]) })
	return !started[tasks[n-1].ID].Equal(started[tasks[n].ID])
}
