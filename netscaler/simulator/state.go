package simulator

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// partition is one admin partition's configuration. Slices keep the order of
// creation, in which NITRO lists and ns.conf is written.
type partition struct {
	name     string
	servers  []*server
	byName   map[string]*server
	byAddr   map[netip.Addr]*server
	groups   []*group
	byGroup  map[string]*group
	vserver  []*object
	monitor  []*object
	services map[string]bool // that are not modelled: names only
	settings item
	extra    []string
	head     []string // commands of ns.conf that are kept as they were: before the rest,
	tail     []string // and after it
}

func newPartition(name string) *partition {
	return &partition{name: name, byName: map[string]*server{}, byAddr: map[netip.Addr]*server{}, byGroup: map[string]*group{}, services: map[string]bool{}}
}

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

type server struct {
	name string
	addr netip.Addr // not valid for a domain
	text string     // the address, as it was typed, or the domain
	admin
	comment string
	extra   []string
}

func (s *server) ip() string {
	if s.addr.IsValid() {
		return s.text
	}
	return "0.0.0.0" // an unresolved domain
}

// object is anything that is only kept: a virtual server, a monitor.
type object struct {
	name   string
	values map[string]string
	groups []link // bound service groups, or for a monitor none
	extra  []string
}

type link struct {
	group *group
	order int
	extra []string
}

type group struct {
	name, kind string
	values     map[string]string // given attributes; the others have their defaults
	admin
	since    time.Time
	members  []*member
	index    map[memberKey]*member
	monitors []monitorLink
	extra    []string

	enabled, minEnabled int
	down                map[netip.AddrPort]bool // addresses that the monitors find down
	leaving             int                     // members that go when they are drained
}

type monitorLink struct {
	name, state string
	weight      int
	passive     bool
	extra       []string
}

type memberKey struct {
	server string
	port   uint16
}

// health is what the probe finds from at on, and what it was found until then.
type health struct {
	up, was bool
	at      time.Time
}

type member struct {
	group  *group
	server *server
	port   uint16
	weight int
	admin
	order            int
	custom           string // customserverid; empty: None
	serverID, hashID int
	nameserver       string
	dbsttl           int
	probed           health
	idle             time.Time // when the last client left; zero: by Options.ClientsLeave
	leaving          bool      // a graceful unbind of the desired state runs
	extra            []string
}

func (m *member) key() memberKey { return memberKey{m.server.name, m.port} }

func (m *member) addr() netip.AddrPort { return netip.AddrPortFrom(m.server.addr, m.port) }

func (g *group) value(name string) string {
	if v, ok := g.values[name]; ok {
		return v
	}
	return groupDefaults[name]
}

func (g *group) int(name string) int {
	n, _ := strconv.Atoi(g.value(name)) // validated when it was set
	return n
}

func (g *group) add(m *member) {
	m.group = g
	g.members = append(g.members, m)
	g.index[m.key()] = m
	g.count()
}

func (g *group) remove(m *member) {
	delete(g.index, m.key())
	i := slices.Index(g.members, m)
	g.members = slices.Delete(g.members, i, i+1)
	if m.leaving {
		g.leaving--
	}
	g.count()
}

// count keeps the number of enabled members and the lowest it has been.
func (g *group) count() {
	g.enabled = 0
	for _, m := range g.members {
		if !m.disabled {
			g.enabled++
		}
	}
	g.minEnabled = min(g.minEnabled, g.enabled)
}

func findObject(list []*object, name string) *object {
	for _, o := range list {
		if o.name == name {
			return o
		}
	}
	return nil
}

func (p *partition) addServer(s *server) {
	p.servers = append(p.servers, s)
	p.byName[s.name] = s
	if s.addr.IsValid() {
		p.byAddr[s.addr] = s
	}
}

// removeServer drops the server and, as the appliance does without a word,
// every member that it was.
func (p *partition) removeServer(s *server) {
	for _, g := range p.groups {
		for _, m := range slices.Clone(g.members) {
			if m.server == s {
				g.remove(m)
			}
		}
	}
	p.servers = slices.DeleteFunc(p.servers, func(o *server) bool { return o == s })
	delete(p.byName, s.name)
	delete(p.byAddr, s.addr)
}

func (p *partition) removeGroup(g *group) {
	p.groups = slices.DeleteFunc(p.groups, func(o *group) bool { return o == g })
	delete(p.byGroup, g.name)
	for _, v := range p.vserver {
		v.groups = slices.DeleteFunc(v.groups, func(l link) bool { return l.group == g })
	}
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
	if !m.server.addr.IsValid() {
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
