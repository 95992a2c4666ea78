package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"nitrox/sources/bounds"
	"nitrox/sources/textfile"
	"nitrox/sync"
)

// maxPlan is far above any plan: 100,000 changes are about 10 MB.
const maxPlan = 64 << 20

// readPlan reads the file of sync --plan: the apps that it is of, and what it forces,
// are those of this run.
func (j *job) readPlan() error {
	file := j.options.String("plan")
	text, err := bounds.ReadUpTo(file, maxPlan)
	if err == nil {
		j.approved, err = sync.ReadApproval(text)
	}
	if err != nil {
		return fmt.Errorf("--plan %s: %w", file, err)
	}
	j.apps, j.force = j.approved.Apps, j.approved.Force
	return nil
}

// plan is what a result would do, for a file.
func (j *job) plan(r sync.Result) *sync.Approval {
	a := &sync.Approval{Nitrox: release(), Made: time.Now().UTC().Truncate(time.Second), Apps: j.apps, Force: j.force, Mapping: "sha256:" + r.Run.Mapping.Digest}
	a.Approve(r)
	return a
}

// writePlan writes the file of plan --out, whole or not at all.
func (j *job) writePlan(r sync.Result) {
	file := j.options.String("out")
	text, err := json.MarshalIndent(j.plan(r), "", "  ")
	if err == nil {
		err = textfile.Replace(file, string(text)+"\n")
	}
	if err != nil {
		j.log.Error("the plan cannot be written", "error", err)
		j.code = sync.ExitFailed
	}
}

// asApproved says whether a run would do what the plan says, and nothing else; if
// not, how it differs is the report. The run then holds to it by itself: what changes
// until it applies a group's plan, it refuses.
func (j *job) asApproved(ctx context.Context, s *sync.Syncer) bool {
	now := j.plan(s.Plan(ctx, &sync.Part{Apps: j.apps}))
	differences := j.approved.Differences(now)
	s.Approved = j.approved
	if len(differences) == 0 {
		return true
	}
	j.code = sync.ExitOther
	out := j.line.over(j.stdout)
	fmt.Fprintf(out, "Nothing was changed: the plan in %s, made by Nitrox %s at %s, is not what is to be done now.\n",
		j.options.String("plan"), j.approved.Nitrox, j.approved.Made.Format(time.RFC3339))
	if j.approved.Mapping != now.Mapping {
		fmt.Fprintln(out, "The mapping file is another, too.")
	}
	for _, line := range differences {
		fmt.Fprintln(out, line)
	}
	return false
}
