package simulator

import (
	"slices"
	"time"
)

// admin is what enable and disable do to a server, a group or a member.
type admin struct {
	disabled bool
	at       time.Time // of the last change
	delay    time.Duration
	graceful bool
}

// drain says whether a disabled thing still serves the clients it has, and for
// how long by its delay; over is when it stopped. The last client leaves at
// idle, never if that is zero.
//
// Without graceful and delay it is out of service at once; a delay ends it
// after that time; graceful ends it when the clients are gone, or after the
// delay if that is sooner (NITRO documentation, servicegroup, disable).
func (a admin) drain(now, idle time.Time) (left time.Duration, draining bool, over time.Time) {
	if !a.disabled {
		return 0, false, time.Time{}
	}
	if !a.graceful && a.delay == 0 {
		return 0, false, a.at
	}
	end := a.at.Add(a.delay)
	if a.graceful {
		if idle.Before(a.at) && !idle.IsZero() {
			idle = a.at
		}
		if a.delay == 0 || !idle.IsZero() && idle.Before(end) {
			end = idle
		}
	}
	if !end.IsZero() && !now.Before(end) {
		return 0, false, end
	}
	if a.delay > 0 {
		left = a.at.Add(a.delay).Sub(now)
	}
	return left, true, time.Time{}
}

// clientsLeave is when the last client of m leaves after a disable at the
// given time; zero: never of itself.
func (s *Simulator) clientsLeave(m *member, disabled time.Time) time.Time {
	switch {
	case !m.idle.IsZero():
		return m.idle
	case s.opt.ClientsLeave < 0:
		return disabled
	case s.opt.ClientsLeave > 0:
		return disabled.Add(s.opt.ClientsLeave)
	}
	return time.Time{}
}

// up tells what the monitors think of m, and since when.
func (s *Simulator) up(m *member, now time.Time) (bool, time.Time) {
	if !m.server.addr.IsValid() && m.server.resolved == "" {
		return false, m.probed.at
	}
	if m.group.value("healthmonitor") == "NO" {
		return true, m.at
	}
	if at := m.probed.at.Add(s.opt.ProbeDelay); !now.Before(at) {
		return m.probed.up, at
	}
	return m.probed.was, m.probed.at
}

// serving is the state that a member shows (svrstate), since when, and what
// remains of a drain.
func (s *Simulator) serving(m *member, now time.Time) (state string, since time.Time, left time.Duration) {
	up, since := s.up(m, now)
	for _, a := range [...]admin{m.admin, m.server.admin, m.group.admin} {
		if !a.disabled {
			continue
		}
		left, draining, over := a.drain(now, s.clientsLeave(m, a.at))
		switch {
		case !draining:
			return stateOut, over, 0
		case up:
			return stateGoing, a.at, left
		default:
			return stateDownGoing, a.at, left
		}
	}
	if up {
		return stateUp, since, 0
	}
	return stateDown, since, 0
}

const (
	stateUp        = "UP"
	stateDown      = "DOWN"
	stateOut       = "OUT OF SERVICE"
	stateGoing     = "GOING OUT OF SERVICE"
	stateDownGoing = "DOWN WHEN GOING OUT OF SERVICE"
)

// sweep removes the members whose graceful unbind has ended. Clocks are read,
// never armed: it runs before anything looks.
func (s *Simulator) sweep(now time.Time) {
	for _, p := range s.partitions {
		for _, g := range p.groups {
			if g.leaving == 0 {
				continue
			}
			for _, m := range slices.Clone(g.members) {
				if _, draining, _ := m.drain(now, s.clientsLeave(m, m.at)); m.leaving && !draining {
					g.remove(m)
				}
			}
		}
	}
}
