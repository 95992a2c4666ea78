package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
		err = replaceable(file)
	}
	if err == nil {
		err = textfile.Replace(file, string(text)+"\n")
	}
	if err != nil {
		j.log.Error("the plan cannot be written", "error", err)
		j.code = sync.ExitFailed
	}
}

// replaceable is an error if there is something that plan --out did not write: a mapping,
// a device, a folder.
func replaceable(file string) error {
	switch there, err := os.Lstat(file); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !there.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file, so it is left as it is; give the name of a file", file)
	case there.Size() == 0:
		return nil
	}
	text, err := bounds.ReadUpTo(file, maxPlan)
	if err != nil {
		return err
	}
	if _, err := sync.ReadApproval(text); errors.Is(err, sync.ErrNoPlan) {
		return fmt.Errorf("%s was not written by plan --out, so it is left as it is; give another name, or remove it", file)
	}
	return nil
}

// asApproved says whether a run would do what the plan says, and nothing else; if
// not, how it differs is the report. The run then holds to it by itself: what changes
// until it applies a group's plan, it refuses.
func (j *job) asApproved(ctx context.Context, s *sync.Syncer) bool {
	r := s.Plan(ctx, &sync.Part{Apps: j.apps})
	now := j.plan(r)
	differences := j.approved.Differences(now)
	s.Approved = j.approved
	if len(differences) == 0 {
		return true
	}
	j.code = sync.ExitOther
	out := j.out
	if j.options.String("output") != "text" {
		j.write(r) // what is to be done now, for a program
		out = j.aside
	}
	fmt.Fprintf(out, "Nothing was changed: the plan in %s, made by Nitrox %s at %s, is not what is to be done now.\n",
		j.options.String("plan"), j.approved.Nitrox, j.approved.Made.Format(time.RFC3339))
	if j.approved.Mapping != now.Mapping {
		fmt.Fprintln(out, "The mapping file is another, too.")
	}
	for _, line := range differences {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintln(out, "Make another plan, or bring back what was there.")
	// Who only has the log learns it, too.
	j.log.Info("nothing was changed: the plan is not what is to be done now", "plan", j.options.String("plan"), "run", j.run)
	return false
}
