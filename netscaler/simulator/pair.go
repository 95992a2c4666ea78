package simulator

import (
	"maps"
	"slices"
	"time"
)

const (
	rolePrimary   = "Primary"
	roleSecondary = "Secondary"
)

// Role is Primary or Secondary.
func (s *Simulator) Role() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.role()
}

func (s *Simulator) role() string {
	if s.secondary {
		return roleSecondary
	}
	return rolePrimary
}

// SetRole makes the appliance the Primary or the Secondary node of a pair. It
// panics on another role.
func (s *Simulator) SetRole(role string) {
	if role != rolePrimary && role != roleSecondary {
		panic("simulator: no role " + role)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secondary, s.opt.HA, s.turnedAt = role == roleSecondary, true, time.Now()
}

// Pair makes the two appliances the nodes of an HA pair: the first is the
// primary, and the second takes its configuration. From then on each command on
// the primary is carried out on the secondary too, clocks of drains included,
// and a save saves both. What is written to the secondary stays there.
func Pair(primary, secondary *Simulator) {
	primary.SetRole(rolePrimary)
	secondary.SetRole(roleSecondary)
	secondary.SyncFrom(primary)
	for node, peer := range map[*Simulator]*Simulator{primary: secondary, secondary: primary} {
		node.mu.Lock()
		node.peer = peer
		node.mu.Unlock()
	}
}

// Failover changes the node's role and, in a pair, its peer's. The sessions of
// the node that was the primary end, unless Options.KeepSessions.
func (s *Simulator) Failover() {
	s.mu.Lock()
	peer, secondary := s.peer, s.secondary
	s.mu.Unlock()
	switch {
	case peer == nil:
		s.turn(!secondary)
	case secondary: // at no time are there two primaries
		peer.turn(true)
		s.turn(false)
	default:
		s.turn(true)
		peer.turn(false)
	}
}

func (s *Simulator) turn(secondary bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opt.KeepSessions {
		clear(s.sessions)
	}
	s.secondary, s.opt.HA, s.turnedAt = secondary, true, time.Now()
}

// SyncFrom makes the configuration that of the other node of an HA pair, as
// its synchronisation does. Running drains are over after it. It does not
// follow later changes.
func (s *Simulator) SyncFrom(primary *Simulator) {
	primary.mu.Lock()
	text := primary.dump(time.Now())
	primary.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	s.replace(text)
	s.changed(time.Now())
}

// propagate carries a command that has succeeded here out on the secondary too,
// and returns how to take both back. A secondary that refuses it is code 349
// ("NITRO errors": it succeeded on the primary node). s.mu is held; the peer's
// is taken second, and only by the primary.
func (x *exec) propagate(c *command, it item, undo func()) (func(), *failure) {
	if x.peer == nil || x.secondary || c.volatile {
		return undo, nil
	}
	x.peer.mu.Lock()
	defer x.peer.mu.Unlock()
	x.peer.settle()
	x.peer.sweep(x.now)
	there := &exec{Simulator: x.peer, part: x.peer.partition(x.part.name), now: x.now, wording: x.wording.copy()}
	if there.part == nil {
		return undo, fail(codePeerFailed)
	}
	back, f := c.run(there, it)
	if f != nil {
		return undo, fail(codePeerFailed)
	}
	if c.verbatim {
		there.part.keep(x.text)
	}
	x.peer.changed(x.now)
	if undo == nil || back == nil {
		return nil, nil
	}
	return func() {
		undo()
		x.peer.mu.Lock()
		defer x.peer.mu.Unlock()
		back()
	}, nil
}

func (it item) clone() item {
	it.values, it.members = maps.Clone(it.values), slices.Clone(it.members)
	for i := range it.members {
		it.members[i] = it.members[i].clone()
	}
	return it
}
