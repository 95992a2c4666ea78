package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

var saveCommand = &command{cli: "save ns config", attrs: []attr{{name: "all", kind: flag}}, volatile: true}

// save takes a while, and refuses to be asked twice.
func (x *exec) save(q *query, it item) (*reply, *failure) {
	if f := saveCommand.validate(it, x.lacks); f != nil {
		return nil, f
	}
	begin := func() *failure {
		x.mu.Lock()
		defer x.mu.Unlock()
		line := saveCommand.line(it)
		if f := x.authorized(x.user, line); f != nil {
			return f
		}
		if f := x.commandFault(line); f != nil {
			return f
		}
		if x.saving {
			return fail(codeSaving)
		}
		x.saving = true
		return nil
	}
	if f := begin(); f != nil {
		return nil, f
	}
	time.Sleep(x.opt.SaveTime)
	x.saveNow()
	if rep := x.warning(q); rep != nil {
		return rep, nil
	}
	if x.opt.QuietActions {
		return x.newReply(http.StatusOK, htmlType, nil), nil
	}
	return x.newReply(http.StatusOK, jsonType, (&failure{}).appendTo(nil)), nil
}

func (x *exec) saveNow() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.saving = false
	x.keepConfig(time.Now())
	if x.peer != nil && !x.secondary {
		x.peer.mu.Lock()
		defer x.peer.mu.Unlock()
		x.peer.keepConfig(time.Now())
	}
}

func (s *Simulator) keepConfig(now time.Time) {
	s.unsaved, s.savedAt = false, now
	s.saved = s.dump(now)
}

// firstNSIP is that of the first simulator; each further one has another, as
// appliances do.
var (
	firstNSIP = netip.MustParseAddr("192.0.2.10")
	made      atomic.Uint32
)

func nextNSIP() netip.Addr {
	ip := firstNSIP.As4()
	n := uint32(ip[2])<<8 | uint32(ip[3])
	n += 2 * (made.Add(1) - 1) // the peer has the one between
	ip[2], ip[3] = byte(n>>8), byte(n)
	return netip.AddrFrom4(ip)
}

// nodes are the NSIP of this node and that of its peer.
func (s *Simulator) nodes() (own, peer netip.Addr) {
	switch {
	case s.peer != nil:
		return s.opt.NSIP, s.peer.opt.NSIP
	case s.secondary:
		return s.opt.NSIP.Next(), s.opt.NSIP
	}
	return s.opt.NSIP, s.opt.NSIP.Next()
}

func showConfig(x *exec, q *query, l *listing) *failure {
	system := "Stand-alone"
	if x.opt.HA {
		system = "HA"
	}
	own, primary := x.nodes()
	if !x.secondary {
		primary = own
	}
	l.row("ipaddress", own.String(), "netmask", x.netmask(), "primaryip", primary.String(), "systemtype", system,
		"configchanged", x.unsaved, "lastconfigchangedtime", x.changedAt.Format(time.ANSIC),
		"lastconfigsavetime", x.savedAt.Format(time.ANSIC), "currentsytemtime", x.now.Format(time.ANSIC))
	return nil
}

func showVersion(x *exec, q *query, l *listing) *failure {
	l.row("version", x.version(), "mode", "1")
	return nil
}

// version is that of the configuration, whose first line names it, unless an
// option does.
func (s *Simulator) version() string {
	release, build := "14.1", "29.72"
	for _, l := range s.partitions[0].lines {
		if head := releaseRE.FindStringSubmatch(l.text); head != nil {
			release, build = head[1], head[2]
		}
		if l.of != nil || !strings.HasPrefix(strings.TrimPrefix(l.text, "\ufeff"), "#") {
			break
		}
	}
	return cmp.Or(s.opt.Version, fmt.Sprintf("NetScaler NS%s: Build %s.nc, Date: Jul 22 2024, 20:36:51   (64-bit)", release, build))
}

var releaseRE = regexp.MustCompile(`^\x{feff}?#NS(\d+\.\d+) Build (\d+\.\d+)`)

func showHostname(x *exec, q *query, l *listing) *failure {
	l.row("hostname", cmp.Or(x.partitions[0].seen.hostname, "ns"))
	return nil
}

// showRunning and showSaved are the ns.conf as one text, as inventories back it up.
func showRunning(x *exec, q *query, l *listing) *failure {
	l.row("response", string(x.dump(x.now)))
	return nil
}

func showSaved(x *exec, q *query, l *listing) *failure {
	l.row("textblob", string(x.saved))
	return nil
}

// showClusterNodes lists the nodes of a cluster, of which the simulator is one
// ("NITRO documentation, clusternode"); on an appliance of its own there is none.
func showClusterNodes(x *exec, q *query, l *listing) *failure {
	if !x.opt.Cluster {
		return nil
	}
	l.row("nodeid", "0", "ipaddress", x.opt.NSIP.String(), "state", "ACTIVE")
	return nil
}

func showNodes(x *exec, q *query, l *listing) *failure {
	if x.opt.Cluster {
		return fail(codeOnCluster)
	}
	if q.named && q.name != "0" && !(x.opt.HA && q.name == "1") {
		return fail(codeNoResource, "id", q.name)
	}
	peer := map[string]string{rolePrimary: roleSecondary, roleSecondary: rolePrimary}[x.role()]
	// The fields and their types are those of recorded answers: the peer has no
	// name, and its hasync tells how its synchronisation went.
	row := func(id int, name string, ip netip.Addr, state, sync string) {
		l.begin()
		l.put("id", counter(id), "name", given(name), "ipaddress", ip.String(), "flags", counter(129),
			"hastatus", cmp.Or(x.opt.HAStatus, "UP"), "state", state, "hasync", sync, "haprop", "ENABLED", "enaifaces", "0/1", "netmask", "0.0.0.0",
			"inc", map[bool]string{true: "ENABLED", false: "DISABLED"}[x.opt.INC], "ssl2", "NOT PRESENT",
			"hellointerval", 200, "deadinterval", 3, "masterstatetime", int(x.now.Sub(x.turnedAt).Seconds()),
			"failsafe", "OFF")
		l.zeros("maxflips maxfliptime curflips completedfliptime", "")
		l.end()
	}
	own, other := x.nodes()
	if !q.named || q.name == "0" {
		row(0, "self", own, x.role(), "ENABLED")
	}
	if x.opt.HA && (!q.named || q.name == "1") {
		row(1, "", other, peer, "SUCCESS")
	}
	return nil
}

func nodeStats(x *exec, q *query, l *listing) *failure {
	if x.opt.Cluster {
		return fail(codeOnCluster)
	}
	status := "NO"
	if x.opt.HA {
		status = "YES"
	}
	l.row("hacurstatus", status, "hacurstate", "UP", "hacurmasterstate", x.role(), "haerrsyncfailure", counter(0),
		"haerrproptimeout", counter(0))
	return nil
}

var partitionAttr = attr{name: "partitionname", cli: "partitionName", kind: identifier, required: true}

var addPartition = &command{
	cli: "add ns partition", words: []string{"partitionname"},
	attrs: []attr{partitionAttr, {name: "partitionid", kind: integer, min: 1, max: 512},
		{name: "maxbandwidth", cli: "maxBandwidth", kind: integer, max: 4294967295},
		{name: "minbandwidth", cli: "minBandwidth", kind: integer, max: 4294967295},
		{name: "partitionmac", cli: "partitionMAC"},
		{name: "maxconn", cli: "maxConn", kind: integer, max: 4294967295},
		{name: "maxmemlimit", cli: "maxMemLimit", kind: integer, max: 4294967295}},
	run: func(x *exec, it item) (func(), *failure) {
		if x.partition(it.get("partitionname")) != nil {
			return nil, fail(codeExists)
		}
		p := newPartition(it.get("partitionname"))
		p.settings, p.wording = it, x.wording
		x.partitions = append(x.partitions, p)
		return nil, nil
	},
}

// switchPartition moves the session, and nothing else.
var switchPartition = &command{
	cli: "switch ns partition", words: []string{"partitionname"}, attrs: []attr{partitionAttr}, volatile: true,
	run: func(x *exec, it item) (func(), *failure) {
		name := it.get("partitionname")
		if strings.EqualFold(name, "default") {
			name = ""
		}
		p := x.partition(name)
		if p == nil {
			return nil, fail(codeNoPartition)
		}
		x.part = p
		if x.session != nil {
			x.session.partition = name
		}
		return nil, nil
	},
}

func showPartitions(x *exec, q *query, l *listing) *failure {
	list := slices.Clone(x.partitions[1:])
	return named(list, func(p *partition) string { return p.name }, q, func(p *partition) {
		l.begin()
		l.text("partitionname", p.name)
		for _, a := range addPartition.attrs[1:] {
			switch {
			case !p.settings.has(a.name):
				l.absent(a.name)
			case a.kind == integer:
				l.counter(a.name, p.settings.int(a.name))
			default:
				l.text(a.name, p.settings.get(a.name))
			}
		}
		l.end()
	})
}
