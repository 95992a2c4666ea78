package simulator

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Member is a member as it is now.
type Member struct {
	Addr           netip.AddrPort // not valid for a member that is a domain
	Server         string
	Weight         int
	Order          int    // 0: the default
	State          string // ENABLED or DISABLED
	SvrState       string // UP, DOWN, OUT OF SERVICE, …
	Graceful       bool
	CustomServerID string // empty: None
}

// Members returns the members of a group, sorted by address and server; nil if
// there is no such group. A group of another partition than the default one is
// named "partition/group".
func (s *Simulator) Members(group string) []Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.sweep(now)
	g := s.group(group)
	if g == nil {
		return nil
	}
	members := make([]Member, 0, len(g.members))
	for _, m := range g.members {
		state, _, _ := s.serving(m, now)
		members = append(members, Member{
			Addr: m.addr(), Server: m.server.name, Weight: m.weight, Order: m.order, State: m.stateName(),
			SvrState: state, Graceful: m.graceful, CustomServerID: m.custom,
		})
	}
	slices.SortFunc(members, func(a, b Member) int {
		if c := a.Addr.Compare(b.Addr); c != 0 {
			return c
		}
		return strings.Compare(a.Server, b.Server)
	})
	return members
}

func (s *Simulator) group(name string) *group {
	part, rest, ok := strings.Cut(name, "/")
	if !ok {
		part, rest = "", name
	}
	p := s.partition(part)
	if p == nil {
		return nil
	}
	return p.byGroup[rest]
}

// must returns a group that a test names; that it is not there is the test's
// mistake.
func (s *Simulator) must(name string) *group {
	g := s.group(name)
	if g == nil {
		panic(fmt.Sprintf("simulator: no service group %q", name))
	}
	return g
}

// AddGroup adds a service group of type HTTP without members. It panics if the
// name is taken or no name for a group.
func (s *Simulator) AddGroup(name string) {
	if err := s.Load(strings.NewReader("add serviceGroup " + quote(name) + " HTTP\n")); err != nil {
		panic(err)
	}
}

// Calls returns every NITRO request since the start or the last ResetCalls; of
// very many, the last 100,000 at least.
func (s *Simulator) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call{}, s.calls...)
}

// ResetCalls forgets the calls so far.
func (s *Simulator) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// SetUp sets what the monitors find of an address in a group from now on,
// whether or not it is a member already. Backends are up unless this said
// otherwise. It panics if there is no such group.
func (s *Simulator) SetUp(group string, addr netip.AddrPort, up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setUp(s.must(group), addr, up)
}

func (s *Simulator) setUp(g *group, addr netip.AddrPort, up bool) {
	now := time.Now()
	g.down[addr] = !up
	for _, m := range g.members {
		if m.addr() == addr {
			was, _ := s.up(m, now)
			m.probed = health{up: up, was: was, at: now}
		}
	}
}

// SetIdle makes the last client of a member leave now, which ends a graceful
// drain. It panics if there is no such member.
func (s *Simulator) SetIdle(group string, addr netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.must(group).members {
		if m.addr() == addr {
			m.idle = time.Now()
			return
		}
	}
	panic(fmt.Sprintf("simulator: no member %v in %q", addr, group))
}

// MinEnabled is the lowest number of enabled members that a group had since
// ResetMin, or since it was made. It panics if there is no such group.
func (s *Simulator) MinEnabled(group string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(time.Now())
	return s.must(group).minEnabled
}

// ResetMin restarts the count for MinEnabled, in every group.
func (s *Simulator) ResetMin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(time.Now())
	for _, p := range s.partitions {
		for _, g := range p.groups {
			g.minEnabled = g.enabled
		}
	}
}

// Saved tells whether a boot would lose nothing.
func (s *Simulator) Saved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.unsaved
}

// Sessions is the number of sessions that live.
func (s *Simulator) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Now())
	return s.live()
}

// KillSessions ends every session, as an administrator can.
func (s *Simulator) KillSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ses := range s.sessions {
		ses.dead = true
	}
}

// Boot restarts the appliance from its saved configuration. What was not
// saved is lost, and so are sessions and running drains.
func (s *Simulator) Boot() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	s.replace(s.saved)
	clear(s.sessions)
	s.unsaved = false
}

// replace loads a configuration in place of the present one. What the monitors
// find of the backends stays.
func (s *Simulator) replace(text []byte) {
	down := map[string]map[netip.AddrPort]bool{}
	for _, p := range s.partitions {
		for _, g := range p.groups {
			down[p.name+"/"+g.name] = g.down
		}
	}
	peer := s.peer
	s.peer = nil // it is no business of the peer's
	defer func() { s.peer = peer }()
	s.partitions, s.access = []*partition{newPartition("")}, access{}
	if err := s.load(string(text), true).Err(); err != nil {
		panic("simulator: a configuration that was written here does not load: " + err.Error())
	}
	s.touched = false
	s.dump(time.Now()) // notes how things are said, before any of them changes
	for _, p := range s.partitions {
		for _, g := range p.groups {
			if d := down[p.name+"/"+g.name]; d != nil {
				g.down = d
			}
			for _, m := range g.members {
				m.probed.up = !g.down[m.addr()]
			}
		}
	}
}
