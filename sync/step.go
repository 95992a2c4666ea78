package sync

import "time"

// Step is what a run is doing at the moment, for a person who waits for it.
type Step struct {
	// Source or NetScaler is who keeps it waiting; both empty: it is the run's own.
	Source, NetScaler string
	// Doing is what, in a word or few; empty: it is done.
	Doing string
	// Done and Of count the changes that it makes; Of 0: it makes none.
	Done, Of int
	// Until is when it should be over; zero: that is not known.
	Until time.Time
}

// step tells whoever watches what begins or ends.
func (s *Syncer) step(step Step) {
	if s.Progress != nil {
		s.Progress(step)
	}
}

// doing tells what the visit does, if anything.
func (v *visit) doing(what string) { v.step(Step{NetScaler: v.name, Doing: what}) }
