// Package examine is what a set-up is looked at by, before it is used: checks,
// each with what was seen and what to do about it. Sources and the NITRO client
// make them; none of them writes anything, anywhere.
package examine

import (
	"fmt"
	"strings"
)

// State is what came of a check.
type State string

const (
	// OK: a run has what it needs.
	OK State = "ok"
	// Note: worth knowing, and nothing is wrong.
	Note State = "note"
	// Warning: a run does without, or it is unwise.
	Warning State = "warning"
	// Failed: with this a run would fail, in whole or in part.
	Failed State = "failed"
	// Skipped: not checked, because of something that failed.
	Skipped State = "not checked"
)

// Watching is the subject of rights that only --watch needs.
const Watching = "rights for --watch"

// Check is one thing that was looked at.
type Check struct {
	Subject string `json:"subject"`
	State   State  `json:"state"`
	// Seen is what was found, on one line. It may quote others, so it is to be
	// redacted before it is printed.
	Seen string `json:"seen"`
	// Remedy is what to do about it.
	Remedy string `json:"remedy,omitempty"`
	// Copy are lines to be copied elsewhere: commands, a manifest.
	Copy []string `json:"copy,omitempty"`
}

// Fine is a check that found what a run needs.
func Fine(subject, seen string) Check { return Check{Subject: subject, State: OK, Seen: seen} }

// Not is the check of what was not looked at.
func Not(subject, because string) Check {
	return Check{Subject: subject, State: Skipped, Seen: "because " + because}
}

// Fail is a check that failed with an error. The remedy is the error's own where
// it ends with one, as ours do, and otherwise the one given.
func Fail(subject string, err error, remedy string) Check { return Bad(Failed, subject, err, remedy) }

// Bad is [Fail] in another state.
func Bad(state State, subject string, err error, remedy string) Check {
	seen := err.Error()
	if before, own, ok := strings.Cut(seen, "; "); ok && !strings.Contains(seen, "\n") {
		seen, remedy = before, own
	}
	return Check{Subject: subject, State: state, Seen: strings.ReplaceAll(seen, "\n", ", and "), Remedy: remedy}
}

// Some are the items of a list in a sentence; of many, the first.
func Some(all []string, most int) string {
	text := strings.Join(all[:min(len(all), most)], ", ")
	if len(all) > most {
		text += fmt.Sprintf(" and %d more", len(all)-most)
	}
	return text
}
