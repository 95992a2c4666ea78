package sync

import "time"

// Phases are how long the parts of a pass took. NetScalers are served side by
// side, so each is the longest that any of them, or any source, took for it.
type Phases struct {
	Poll    time.Duration // the sources were asked
	Read    time.Duration // a NetScaler's service groups were read
	Confirm time.Duration // the sources were asked a second time, and the wait before that
	Apply   time.Duration // changes were made, and new members waited for
	Save    time.Duration // a NetScaler's configuration was saved
}

// longest is each phase of whichever took longer.
func (p Phases) longest(q Phases) Phases {
	return Phases{
		Poll: max(p.Poll, q.Poll), Read: max(p.Read, q.Read), Confirm: max(p.Confirm, q.Confirm),
		Apply: max(p.Apply, q.Apply), Save: max(p.Save, q.Save),
	}
}

// clock begins to time a phase; what it returns ends that. A phase that comes
// several times in a pass adds up.
func clock(phase *time.Duration) (end func()) {
	began := time.Now()
	return func() { *phase += time.Since(began) }
}
