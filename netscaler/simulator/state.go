package simulator

import (
	"cmp"
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
	byAddr   map[place]*server
	groups   []*group
	byGroup  map[string]*group
	vserver  []*object
	monitor  []*object
	objects  map[thingKey]*object
	settings item
	seen     inventory
	lines    []line // of the ns.conf that was loaded
	*wording
}

func newPartition(name string) *partition {
	return &partition{name: name, byName: map[string]*server{}, byAddr: map[place]*server{}, byGroup: map[string]*group{}, objects: map[thingKey]*object{}}
}

type server struct {
	name     string
	addr     netip.Addr // not valid for a domain
	text     string     // the address, as it was typed, or the domain
	resolved string     // what rows show of a domain
	admin
	td      int // traffic domain: each has addresses of its own
	comment string
	v6      string // whether a domain has IPv6 addresses; empty: not said
	kept    map[string]string
	*wording
}

// place is what no two servers share.
type place struct {
	addr netip.Addr
	td   int
}

func (s *server) place() place { return place{s.addr, s.td} }

func (s *server) ip() string {
	if s.addr.IsValid() {
		return s.text
	}
	return cmp.Or(s.resolved, "0.0.0.0") // an unresolved domain
}

// object is anything that is only kept: a virtual server, a monitor.
type object struct {
	name   string
	values map[string]string
	groups []link // bound service groups, or for a monitor none
	// builtin: it need not be added, and is set instead.
	builtin bool
	*wording
}

type link struct {
	group         *group
	order, weight int
	*wording
}

type group struct {
	name, kind string
	values     map[string]string // given attributes; the others have their defaults
	admin
	since    time.Time
	members  []*member
	index    map[memberKey]*member
	monitors []monitorLink
	*wording

	enabled, minEnabled int
	down                map[netip.AddrPort]bool // addresses that the monitors find down
	leaving             int                     // members that go when they are drained
}

type monitorLink struct {
	name, state string
	weight      int
	passive     bool
	*wording
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
	*wording
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
	if !m.disabled {
		g.count(1)
	}
}

func (g *group) remove(m *member) {
	delete(g.index, m.key())
	i := slices.Index(g.members, m)
	g.members = slices.Delete(g.members, i, i+1)
	if m.leaving {
		g.leaving--
	}
	if !m.disabled {
		g.count(-1)
	}
}

// count keeps the number of enabled members and the lowest it has been.
func (g *group) count(change int) {
	g.enabled += change
	g.minEnabled = min(g.minEnabled, g.enabled)
}

// atOnce makes changes of which nobody sees a part.
func (g *group) atOnce(change func()) {
	low := g.minEnabled
	change()
	g.minEnabled = low
	g.count(0)
}

// object finds one of a kind by its name.
func (p *partition) object(s *store, name string) *object { return p.objects[thingKey{s.noun, name}] }

func (p *partition) addServer(s *server) {
	p.servers = append(p.servers, s)
	p.byName[s.name] = s
	if s.addr.IsValid() {
		p.byAddr[s.place()] = s
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
	delete(p.byAddr, s.place())
}

func (p *partition) renameServer(s *server, name string) {
	delete(p.byName, s.name)
	for _, g := range p.groups {
		for _, m := range g.members {
			if m.server == s {
				delete(g.index, m.key())
				g.index[memberKey{name, m.port}] = m
			}
		}
	}
	s.name = name
	p.byName[name] = s
}

func (p *partition) removeGroup(g *group) {
	p.groups = slices.DeleteFunc(p.groups, func(o *group) bool { return o == g })
	delete(p.byGroup, g.name)
	for _, v := range p.vserver {
		v.groups = slices.DeleteFunc(v.groups, func(l link) bool { return l.group == g })
	}
}
