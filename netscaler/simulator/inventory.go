package simulator

import (
	"cmp"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inventory is what read-only types show of lines that are otherwise kept as
// they are: services, content switching virtual servers, certificates, the
// appliance's own addresses, features and modes.
type inventory struct {
	things            []*thing
	byName            map[thingKey]*thing
	bound             map[string][]serviceLink // services behind virtual servers, by these
	ips               []ownIP
	netmask, hostname string
	features, modes   []string // nil: no line says so, the defaults
}

// thing is a service, a content switching virtual server or a certificate.
type thing struct {
	noun             string // "service", "cs vserver", "ssl certkey"
	name, kind       string
	addr             string // of a service the name of its server, or an address
	port             int
	disabled         bool
	comment, traffic string // its traffic domain
	cert, key        string // files of a certificate
}

type thingKey struct{ noun, name string }

type serviceLink struct {
	service *thing
	weight  int
}

type ownIP struct {
	addr, netmask, kind, mgmt string
	said                      map[string]string // what its line says of ipServices, in lower case
}

// ipServices are what an address answers, and what is off unless its line says so.
var ipServices = map[string]string{
	"arp": "ENABLED", "icmp": "ENABLED", "vserver": "ENABLED", "telnet": "ENABLED", "ftp": "ENABLED", "gui": "ENABLED", "ssh": "ENABLED",
	"snmp": "ENABLED", "restrictaccess": "DISABLED", "dynamicrouting": "DISABLED", "hostroute": "DISABLED", "state": "ENABLED", "td": "0",
}

// learn takes from a line of the command line what read-only types show. Whoever
// keeps a line that is not modelled calls it; what it does not know it leaves.
func (p *partition) learn(line string) {
	words, err := split(line)
	if err != nil || len(words) < 3 {
		return
	}
	verb, in := strings.ToLower(words[0].text), &p.seen
	noun, rest := strings.ToLower(words[1].text), words[2:]
	if slices.Contains([]string{"cs", "ns", "lb", "ssl"}, noun) {
		noun, rest = noun+" "+strings.ToLower(words[2].text), words[3:]
	}
	at := func(i int) string {
		if i < len(rest) && !rest[i].option() {
			return rest[i].text
		}
		return ""
	}
	option := func(name string) string {
		i := slices.IndexFunc(rest, func(w word) bool { return w.option() && strings.EqualFold(w.text, name) })
		if i < 0 || i+1 == len(rest) {
			return ""
		}
		return rest[i+1].text
	}
	switch verb + " " + noun {
	case "add service":
		in.add(&thing{noun: noun, name: at(0), addr: at(1), kind: at(2), port: portNumber(at(3)), comment: option("-comment"),
			disabled: strings.EqualFold(option("-state"), "DISABLED"), traffic: option("-td")})
	case "add cs vserver":
		in.add(&thing{noun: noun, name: at(0), kind: at(1), addr: at(2), port: portNumber(at(3)), comment: option("-comment"),
			disabled: strings.EqualFold(option("-state"), "DISABLED"), traffic: option("-td")})
	case "add ssl certkey":
		in.add(&thing{noun: noun, name: at(0), cert: option("-cert"), key: option("-key")})
	case "rm service", "rm cs vserver", "rm ssl certkey":
		in.remove(noun, at(0))
	case "enable service", "enable cs vserver", "disable service", "disable cs vserver":
		if t := in.find(noun, at(0)); t != nil {
			t.disabled = verb == "disable"
		}
	case "bind lb vserver":
		weight, _ := strconv.Atoi(option("-weight")) // none: 0
		if t := in.find("service", at(1)); t != nil {
			in.bound[at(0)] = append(in.bound[at(0)], serviceLink{service: t, weight: weight})
		}
	case "unbind lb vserver":
		in.unbind(at(0), in.find("service", at(1)))
	case "set ns config":
		in.netmask = cmp.Or(option("-netmask"), in.netmask)
	case "set ns hostname":
		in.hostname = at(0)
	case "add ns ip":
		ip := ownIP{addr: at(0), netmask: at(1), kind: cmp.Or(strings.ToUpper(option("-type")), "SNIP"),
			mgmt: cmp.Or(strings.ToUpper(option("-mgmtAccess")), "DISABLED"), said: map[string]string{}}
		for name := range ipServices {
			ip.said[name] = strings.ToUpper(option("-" + name))
		}
		in.ips = append(in.ips, ip)
	case "rm ns ip":
		in.ips = slices.DeleteFunc(in.ips, func(ip ownIP) bool { return ip.addr == at(0) })
	case "enable ns feature", "disable ns feature":
		features.turn(&in.features, rest, verb == "enable")
	case "enable ns mode", "disable ns mode":
		modes.turn(&in.modes, rest, verb == "enable")
	}
}

func portNumber(text string) int {
	if text == "*" {
		return 65535
	}
	n, _ := strconv.Atoi(text) // 0 is what NITRO has for none, too
	return n
}

func (in *inventory) add(t *thing) {
	if in.byName == nil {
		in.byName, in.bound = map[thingKey]*thing{}, map[string][]serviceLink{}
	}
	if t.kind = strings.ToUpper(t.kind); t.name != "" && in.find(t.noun, t.name) == nil {
		in.things = append(in.things, t)
		in.byName[thingKey{t.noun, t.name}] = t
	}
}

func (in *inventory) find(noun, name string) *thing { return in.byName[thingKey{noun, name}] }

func (in *inventory) remove(noun, name string) {
	t := in.find(noun, name)
	delete(in.byName, thingKey{noun, name})
	in.things = slices.DeleteFunc(in.things, func(o *thing) bool { return o == t })
	for vserver := range in.bound {
		in.unbind(vserver, t)
	}
}

func (in *inventory) unbind(vserver string, t *thing) {
	if t != nil {
		in.bound[vserver] = slices.DeleteFunc(in.bound[vserver], func(b serviceLink) bool { return b.service == t })
	}
}

// of are the things of a noun.
func (in *inventory) of(noun string) (things []*thing) {
	for _, t := range in.things {
		if t.noun == noun {
			things = append(things, t)
		}
	}
	return things
}

func thingName(t *thing) string { return t.name }

// serviceState has no monitors behind it: a service is up unless it or its server
// is disabled.
func (x *exec) serviceState(t *thing) string {
	if s := x.part.byName[t.addr]; t.disabled || s != nil && s.disabled {
		return stateOut
	}
	return stateUp
}

// serviceIP is the address of the service's server.
func (x *exec) serviceIP(t *thing) string {
	if s := x.part.byName[t.addr]; s != nil {
		return s.ip()
	}
	if _, err := netip.ParseAddr(t.addr); err == nil {
		return t.addr
	}
	return "0.0.0.0"
}

func showServices(x *exec, q *query, l *listing) *failure {
	return named(x.part.seen.of("service"), thingName, q, func(t *thing) {
		l.row("name", t.name, "numofconnections", 0, "servername", t.addr, "ipaddress", x.serviceIP(t), "port", t.port,
			"servicetype", t.kind, "td", cmp.Or(t.traffic, "0"), "state", admin{disabled: t.disabled}.stateName(),
			"svrstate", x.serviceState(t), "statechangetimesec", x.changedAt.Format(time.ANSIC), "comment", t.comment)
	})
}

func showVserverServices(x *exec, q *query, l *listing) *failure {
	return named(x.part.vserver, objectName, q, func(v *object) {
		for _, b := range x.part.seen.bound[v.name] {
			t := b.service
			l.row("name", v.name, "servicename", t.name, "stateflag", "536936451", "ipv46", x.serviceIP(t), "port", t.port,
				"servicetype", t.kind, "curstate", x.serviceState(t), "weight", counter(max(b.weight, 1)),
				"dynamicweight", counter(0), "vsvrbindsvcip", x.serviceIP(t), "vsvrbindsvcport", t.port)
		}
	})
}

// showVserverMembers lists the members of all groups behind a virtual server.
func showVserverMembers(x *exec, q *query, l *listing) *failure {
	return named(x.part.vserver, objectName, q, func(v *object) {
		for _, b := range v.groups {
			for _, m := range b.group.members {
				state, _, _ := x.serving(m, x.now)
				l.row("name", v.name, "servicegroupname", b.group.name, "ipv46", m.server.ip(), "port", int(m.port),
					"servicetype", b.group.kind, "curstate", state, "weight", counter(m.weight))
			}
		}
	})
}

// showVserverBinding is all that is bound, in an array for each type.
func showVserverBinding(x *exec, q *query, l *listing) *failure {
	return named(x.part.vserver, objectName, q, func(v *object) {
		l.begin()
		l.text("name", v.name)
		for _, b := range boundToVserver {
			l.nested(b.typ, func(l *listing) { b.show(x, &query{named: true, name: v.name}, l) }) // v is there: it cannot fail
		}
		l.end()
	})
}

var boundToVserver = []struct {
	typ  string
	show func(*exec, *query, *listing) *failure
}{
	{"lbvserver_service_binding", showVserverServices},
	{"lbvserver_servicegroup_binding", showVserverGroups},
	{"lbvserver_servicegroupmember_binding", showVserverMembers},
}

func (t *thing) frontState() string {
	if t.disabled {
		return stateOut
	}
	return stateUp
}

func showContentVservers(x *exec, q *query, l *listing) *failure {
	return named(x.part.seen.of("cs vserver"), thingName, q, func(t *thing) {
		l.row("name", t.name, "ipv46", cmp.Or(t.addr, "0.0.0.0"), "port", t.port, "servicetype", t.kind, "type", "CONTENT",
			"td", cmp.Or(t.traffic, "0"), "curstate", t.frontState(), "statechangetimesec", x.changedAt.Format(time.ANSIC),
			"comment", t.comment)
	})
}

// showCertificates begins with the one that an appliance has from the factory.
// None is read, so all are valid for a year.
func showCertificates(x *exec, q *query, l *listing) *failure {
	factory := &thing{name: "ns-server-certificate", cert: "ns-server.cert", key: "ns-server.key"}
	return named(append([]*thing{factory}, x.part.seen.of("ssl certkey")...), thingName, q, func(t *thing) {
		l.row("certkey", t.name, "cert", t.cert, "key", t.key, "status", "Valid", "daystoexpiration", 365)
	})
}

// What metrics clients read of statistics, where there is no traffic.
const (
	trafficCounters = "totalrequests totalresponses totalrequestbytes totalresponsebytes curclntconnections cursrvrconnections surgecount "
	trafficRates    = "requestsrate responsesrate requestbytesrate responsebytesrate "
	memberCounters  = `avgsvrttfb svrestablishedconn curreusepool maxclients totsvrttlbtransactions toleratingttlbtransactions
		frustratingttlbtransactions`
	serviceCounters = memberCounters + " throughput curload curtflags vsvrservicehits activetransactions"
	serviceRates    = "throughputrate vsvrservicehitsrate"
	vserverCounters = `vsvrsurgecount establishedconn tothits totalpktsrecvd totalpktssent svcsurgecount sothreshold totspillovers
		labelledconn pushlabel deferredreq invalidrequestresponse invalidrequestresponsedropped totvserverdownbackuphits
		totalsvrbusyerr avgcltttlb totcltttlbtransactions toleratingttlbtransactions frustratingttlbtransactions
		curmptcpsessions cursubflowconn`
	vserverRates = `hitsrate pktsrecvdrate pktssentrate deferredreqrate cltresponsetimeapdex cltttlbtransactionsrate
		toleratingttlbtransactionsrate frustratingttlbtransactionsrate svrbusyerrrate`
	systemCounters = `totrxmbits tottxmbits httptotrequests httptotresponses tcpcurclientconn tcpcurclientconnestablished
		tcpcurserverconn tcpcurserverconnestablished numcpus disk0avail disk0used disk1avail disk1used`
	systemRates = `cpuusagepcnt memusagepcnt mgmtcpuusagepcnt pktcpuusagepcnt rescpuusagepcnt disk0perusage disk1perusage rxmbitsrate
		txmbitsrate httprequestsrate httpresponsesrate`
)

func serviceStats(x *exec, q *query, l *listing) *failure {
	return named(x.part.seen.of("service"), thingName, q, func(t *thing) {
		l.begin()
		l.put("name", t.name, "primaryipaddress", x.serviceIP(t), "primaryport", t.port, "servicetype", t.kind,
			"state", x.serviceState(t))
		l.zeros(trafficCounters+serviceCounters, trafficRates+serviceRates)
		l.end()
	})
}

func contentVserverStats(x *exec, q *query, l *listing) *failure {
	return named(x.part.seen.of("cs vserver"), thingName, q, func(t *thing) {
		l.begin()
		l.put("name", t.name, "primaryipaddress", cmp.Or(t.addr, "0.0.0.0"), "primaryport", t.port, "type", t.kind,
			"state", t.frontState())
		l.zeros(trafficCounters+vserverCounters, trafficRates+vserverRates)
		l.end()
	})
}

func systemStats(x *exec, q *query, l *listing) *failure {
	l.begin()
	l.zeros(systemCounters, systemRates)
	l.end()
	return nil
}

// showIPs begins with the NSIP, which is this node's own whatever the file says:
// two appliances of one file are not one. Addresses of virtual servers are VIPs.
func showIPs(x *exec, q *query, l *listing) *failure {
	own, _ := x.nodes()
	ips := []ownIP{{addr: own.String(), netmask: x.netmask(), kind: "NSIP", mgmt: "ENABLED"}}
	add := func(ip ownIP) {
		if !slices.ContainsFunc(ips, func(o ownIP) bool { return o.addr == ip.addr }) {
			ips = append(ips, ip)
		}
	}
	for _, ip := range x.part.seen.ips {
		add(ip)
	}
	for _, a := range x.part.ownAddresses() {
		if a.Is4() {
			add(ownIP{addr: a.String(), netmask: "255.255.255.255", kind: "VIP", mgmt: "DISABLED"})
		}
	}
	return named(ips, func(ip ownIP) string { return ip.addr }, q, func(ip ownIP) {
		l.begin()
		l.put("ipaddress", ip.addr, "type", ip.kind, "netmask", ip.netmask, "flags", counter(40))
		for _, name := range slices.Sorted(maps.Keys(ipServices)) {
			l.text(name, cmp.Or(ip.said[name], ipServices[name]))
		}
		l.put("mgmtaccess", ip.mgmt, "iptype", []string{ip.kind})
		l.end()
	})
}

func (x *exec) netmask() string { return cmp.Or(x.partitions[0].seen.netmask, "255.255.255.0") }

func showHardware(x *exec, q *query, l *listing) *failure {
	serial := "SIM" + strings.ToUpper(hex.EncodeToString(x.opt.NSIP.AsSlice()))
	l.row("hwdescription", "NetScaler Virtual Appliance", "sysid", counter(450000), "manufactureday", 1,
		"manufacturemonth", 1, "manufactureyear", 2024, "cpufrequncy", 2400, "hostid", 0,
		"host", cmp.Or(x.partitions[0].seen.hostname, "ns"), "serialno", serial, "encodedserialno", serial)
	return nil
}

func showLicense(x *exec, q *query, l *listing) *failure {
	l.begin()
	for _, name := range features.names {
		l.flag(strings.ToLower(name), true)
	}
	l.put("modelid", "1000", "isstandardlic", false, "isenterpriselic", false, "isplatinumlic", true)
	l.end()
	return nil
}

// toggles are features or modes: what there is, other names of it, and what is on
// where nothing was said.
type toggles struct {
	noun    string
	names   []string
	aliases map[string]string // in lower case
	on      []string
}

var (
	features = &toggles{
		noun: "feature",
		names: strings.Fields(`WL SP LB CS CR SC CMP PQ SSL GSLB HDOSP CF IC SSLVPN AAA OSPF RIP BGP REWRITE IPv6PT AppFw RESPONDER
			HTMLInjection push AppFlow CloudBridge ISIS CH AppQoE ContentAccelerator RISE vPath FEO LSN RDPProxy Rep URLFiltering
			VideoOptimization ForwardProxy SSLInterception AdaptiveTCP CQA CI Bot APIGateway`),
		aliases: map[string]string{
			"weblogging": "WL", "surgeprotection": "SP", "loadbalancing": "LB", "contentswitch": "CS", "cacheredir": "CR",
			"sureconnect": "SC", "cmpcntl": "CMP", "priorityqueuing": "PQ", "ssloffload": "SSL", "globalserverlb": "GSLB",
			"dospolicies": "HDOSP", "contentfiltering": "CF", "integratedcaching": "IC", "ipv6protocoltranslation": "IPv6PT",
		},
		on: []string{"LB", "CS", "SSL"},
	}
	modes = &toggles{
		noun: "mode",
		names: strings.Fields(`FR L2 USIP CKA TCPB MBF Edge USNIP L3 PMTUD mediaclassification SRADV DRADV IRADV SRADV6 DRADV6
			BridgeBPDUs RISE_APBR RISE_RHI ULFD`),
		aliases: map[string]string{
			"fastramp": "FR", "l2mode": "L2", "usesourceip": "USIP", "clientkeepalive": "CKA", "tcpbuffering": "TCPB",
			"macbasedforwarding": "MBF", "usesubnetip": "USNIP", "l3mode": "L3",
		},
		on: []string{"FR", "Edge", "USNIP", "L3", "PMTUD"},
	}
)

// name is the one by which NITRO shows it; empty if there is none.
func (t *toggles) name(word string) string {
	if name, ok := t.aliases[strings.ToLower(word)]; ok {
		return name
	}
	i := slices.IndexFunc(t.names, func(name string) bool { return strings.EqualFold(name, word) })
	if i < 0 {
		return ""
	}
	return t.names[i]
}

// turn switches what a line names. The first line that enables anything is a
// whole list, as a saved configuration has it.
func (t *toggles) turn(on *[]string, words []word, enable bool) {
	if *on == nil && !enable {
		*on = slices.Clone(t.on)
	}
	for _, w := range words {
		name := cmp.Or(t.name(w.text), w.text) // newer builds have more
		*on = slices.DeleteFunc(*on, func(o string) bool { return o == name })
		if enable {
			*on = append(*on, name)
		}
	}
}

// state is where the default partition, which has them all, keeps them.
func (t *toggles) state(x *exec) *[]string {
	if t == modes {
		return &x.partitions[0].seen.modes
	}
	return &x.partitions[0].seen.features
}

func (t *toggles) enabled(x *exec) []string {
	if on := *t.state(x); on != nil {
		return on
	}
	return t.on
}

// command enables or disables by a line of the command line, which is kept.
func (t *toggles) command(verb string) *command {
	return &command{
		cli: verb + " ns " + t.noun, words: []string{t.noun}, attrs: []attr{{name: t.noun, kind: list, required: true}},
		run: func(x *exec, it item) (func(), *failure) {
			var names []string
			if *t.state(x) == nil && verb == "enable" {
				names = slices.Clone(t.on)
			}
			for given := range strings.FieldsSeq(it.get(t.noun)) {
				name := t.name(given)
				if name == "" {
					return nil, fail(codeInvalidValue, t.noun, given)
				}
				names = append(names, name)
			}
			x.partitions[0].keep(verb + " ns " + t.noun + " " + strings.Join(names, " "))
			return nil, nil
		},
	}
}

// show is one object that has the list, and a flag for each that there is.
func (t *toggles) show(x *exec, q *query, l *listing) *failure {
	on := t.enabled(x)
	l.begin()
	l.words(t.noun, on)
	for _, name := range t.names {
		l.flag(strings.ToLower(name), slices.Contains(on, name))
	}
	l.end()
	return nil
}

var clearCommand = &command{
	cli: "clear ns config", words: []string{"level"},
	attrs: []attr{{name: "level", kind: choice, enum: "basic extended full", required: true}, {name: "force", kind: flag}},
	run: func(x *exec, it item) (func(), *failure) {
		x.clear(it.get("level"))
		return nil, nil
	},
}

// clear drops the configuration of the partition, all but what the level leaves
// ("NITRO documentation, nsconfig"): the network and the nodes; features and modes
// too, if it is basic; only the NSIP if it is full.
func (x *exec) clear(level string) {
	p := newPartition(x.part.name)
	p.settings, p.wording = x.part.settings, x.part.wording
	for _, l := range x.part.lines {
		if l.of == nil && survives(l.text, level) || l.of != nil && l.of.kind == ofPartition && level != "full" {
			p.lines = append(p.lines, l)
			p.learn(l.text)
		}
	}
	*x.part = *p
	if x.part == x.partitions[0] {
		x.access = access{}
	}
	if level == "full" && x.part == x.partitions[0] {
		x.partitions = x.partitions[:1]
	}
}

func survives(line, level string) bool {
	fields := strings.Fields(strings.ToLower(line))
	if len(fields) < 3 {
		return false
	}
	switch what := fields[1] + " " + fields[2]; {
	case what == "ns config":
		return true
	case level == "full":
		return false
	case what == "ns feature" || what == "ns mode":
		return level == "basic"
	}
	network := []string{"ns ip", "ns ip6", "ns hostname", "ha node", "cluster node", "cluster instance"}
	nouns := []string{"vlan", "route", "route6", "interface", "channel", "dns"}
	return slices.Contains(network, fields[1]+" "+fields[2]) || slices.Contains(nouns, fields[1])
}
