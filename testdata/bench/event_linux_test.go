package bench

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
)

// site is a cluster, and a NetScaler that is in step with it.
type site struct {
	*installation
	address string // which of an endpoint is bound
	apps    int    // the first of the services
	api, ns *door
	sim     *simulator.Simulator
	dir     string
}

// newSite has apps of the first services: those that the mapping writes or, if services opt
// in, those that have.
func newSite(t testing.TB, i *installation, apps int, address string, latency time.Duration) *site {
	t.Helper()
	s := &site{installation: i, address: address, apps: apps, dir: t.TempDir()}
	s.sim = simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}, ReadLatency: latency, WriteLatency: latency})
	var conf, list strings.Builder
	for n := range apps {
		fmt.Fprintf(&conf, "add serviceGroup sg-app-%d HTTP -comment \"nitrox prod shop/app-%d\"\n", n, n)
		for k := range i.pods {
			at := s.member(n, k, 0)
			fmt.Fprintf(&conf, "bind serviceGroup sg-app-%d %s %d\n", n, at.Addr(), at.Port())
		}
		if i.selects == nil {
			fmt.Fprintf(&list, "  - {name: app-%d, service_group: sg-app-%d, from: [{source: prod, service: shop/app-%d, port: http, address: %s}]}\n", n, n, n, address)
		} else {
			i.optIn(n, true)
		}
	}
	what := "apps:\n" + list.String()
	if i.selects != nil {
		what = "discover: [{source: prod, select: nitrox=on, namespaces: [shop], service_group: \"sg-{name}\", create: {service_type: HTTP}}]\n"
	}
	if err := s.sim.Load(strings.NewReader(conf.String())); err != nil {
		t.Fatal(err)
	}
	s.api, s.ns = open(t, i), open(t, s.sim)
	kubeconfig(t, s.dir, s.api.URL)
	write(t, s.dir, "nitrox.yaml", fmt.Sprintf("netscalers: {edge: {url: %q}}\nsources: {prod: {kubernetes: {kubeconfig: kubeconfig}}}\n"+
		"defaults: {drain: 0s, max_remove: 100%%, only: [10.0.0.0/8]}\n%s", s.ns.URL, what))
	return s
}

// member is what is bound for a pod of a service of which the first have been replaced.
func (s *site) member(n, k, replaced int) netip.AddrPort {
	e := s.slice(n, replaced).Endpoints[k]
	if s.address == "pod_ip" {
		return netip.AddrPortFrom(netip.MustParseAddr(e.Addresses[0]), 8080)
	}
	var on int
	fmt.Sscanf(*e.NodeName, "node-%d", &on)
	return netip.AddrPortFrom(netip.MustParseAddr(nodeIP(on)), nodePort(n))
}

// once runs one command, which ends in order.
func (s *site) once(t testing.TB, command string) cost {
	t.Helper()
	return start(t, binary, nil, command, "--config", filepath.Join(s.dir, "nitrox.yaml")).end()
}

// watching starts a loop, and returns when all is quiet.
func (s *site) watching(t testing.TB, rest time.Duration) *process {
	t.Helper()
	p := start(t, binary, nil, "sync", "--config", filepath.Join(s.dir, "nitrox.yaml"), "--loop", "10m", "--watch", "--listen", "127.0.0.1:0")
	// It looks at everything again once the stream is connected, and before that
	// rests for as long as the first pass took.
	for spent := time.Duration(-time.Second); p.spent()-spent > 50*time.Millisecond; s.quiet(t, rest) {
		spent = p.spent()
	}
	return p
}

// quiet waits until nobody has asked anything for a while.
func (s *site) quiet(t testing.TB, d time.Duration) {
	t.Helper()
	last, since, end := int64(-1), time.Now(), time.Now().Add(2*time.Minute)
	for time.Since(since) < d || s.ns.requests.Load() == 0 {
		if now := s.api.sent.Load() + s.ns.sent.Load() + s.api.received.Load() + s.ns.received.Load(); now != last {
			last, since = now, time.Now()
		}
		if time.Now().After(end) {
			t.Fatal("it is never quiet")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// bound waits until an address is a member, and says when that was.
func (s *site) bound(t testing.TB, p *process, n int, addr netip.AddrPort) time.Time {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if slices.ContainsFunc(s.sim.Members(fmt.Sprint("sg-app-", n)), func(m simulator.Member) bool { return m.Addr == addr && m.State == "ENABLED" }) {
			return time.Now()
		}
		if time.Now().After(end) {
			t.Fatalf("%v is not bound:\n%.5000s", addr, p.output.String())
		}
	}
}

// events are what some that come one by one took, each.
type events struct {
	took    []time.Duration // sorted
	ns, api cost            // of the one that took most
	cpu     time.Duration   // of one
}

func (s *site) events(t testing.TB, n int, rest time.Duration) events {
	t.Helper()
	return s.each(t, n, rest, func(i int) (app int, becomes netip.AddrPort) {
		app = i * 7 % s.apps
		s.move(app, 1)
		return app, s.member(app, 0, 1)
	})
}

// each makes events one by one, of which each has a member bound.
func (s *site) each(t testing.TB, n int, rest time.Duration, event func(i int) (app int, becomes netip.AddrPort)) (e events) {
	t.Helper()
	p := s.watching(t, rest)
	cpu := p.spent()
	for i := range n {
		ns, api := s.ns.since(cost{}), s.api.since(cost{})
		began := time.Now()
		app, becomes := event(i)
		e.took = append(e.took, s.bound(t, p, app, becomes).Sub(began))
		s.quiet(t, 1100*time.Millisecond)
		e.ns, e.api = most(e.ns, s.ns.since(ns)), most(e.api, s.api.since(api))
	}
	e.cpu = (p.spent() - cpu) / time.Duration(n)
	p.stop()
	slices.Sort(e.took)
	return e
}

func most(a, b cost) cost {
	return cost{calls: max(a.calls, b.calls), sent: max(a.sent, b.sent), received: max(a.received, b.received)}
}

// burst makes an event of another app each tenth of a second.
func (s *site) burst(t testing.TB, n int) (ns, api cost, cpu time.Duration) {
	t.Helper()
	return s.bursting(t, n, func(i int) { s.move(i*7%s.apps, 1) }, func(p *process) {
		for i := range n {
			s.bound(t, p, i*7%s.apps, s.member(i*7%s.apps, 0, 1))
		}
	})
}

func (s *site) bursting(t testing.TB, n int, event func(i int), settled func(*process)) (ns, api cost, cpu time.Duration) {
	t.Helper()
	p := s.watching(t, 6*time.Second)
	cpu = p.spent()
	ns, api = s.ns.since(cost{}), s.api.since(cost{})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		event(i)
	}
	settled(p)
	s.quiet(t, 2*time.Second)
	ns, api, cpu = s.ns.since(ns), s.api.since(api), p.spent()-cpu
	p.stop()
	return ns, api, cpu
}
