package bench

import (
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// form is how the apps of a site come about.
type form struct {
	name    string
	selects labels.Set // what services have that opt in; nil: the mapping writes them
}

var forms = []form{{"written", nil}, {"opted in", labels.Set{"nitrox": "on"}}}

// site has so many apps in step, and ten services more that have not opted in.
func (f form) site(t testing.TB, apps int) *site {
	t.Helper()
	i := install(apps+10, apps+10, 2, 100)
	i.selects = f.selects
	return newSite(t, i, apps, "node_port", 0)
}

// spent is what a part of a process's life took.
type spent struct {
	api, ns cost
	cpu     time.Duration
}

func (e events) spent() spent { return spent{e.api, e.ns, e.cpu} }

// run is one that finds all in step.
func (s *site) run(t testing.TB) spent {
	t.Helper()
	api, ns := s.api.since(cost{}), s.ns.since(cost{})
	cpu := s.once(t, "sync").cpu
	return spent{s.api.since(api), s.ns.since(ns), cpu}
}

// unchanged is a pass of a loop, with a NetScaler and a source that stay as they are.
func (s *site) unchanged(t testing.TB) spent {
	t.Helper()
	p, _, passes := s.looping(t, nil, "--loop", "3s")
	between := func(after int) (made int) { // two passes
		passes(after)
		s.quiet(t, 500*time.Millisecond)
		return passes(after)
	}
	began := between(2)
	cpu, api, ns := p.spent(), s.api.since(cost{}), s.ns.since(cost{})
	n := between(began+2) - began
	e := spent{s.api.since(api), s.ns.since(ns), (p.spent() - cpu) / time.Duration(n)}
	p.stop()
	for _, c := range []*cost{&e.api, &e.ns} {
		c.calls, c.sent, c.received = c.calls/n, c.sent/int64(n), c.received/int64(n)
	}
	return e
}

// newLabel is that of a service that has not opted in before.
func (s *site) newLabel(t testing.TB, n int, rest time.Duration) events {
	t.Helper()
	return s.each(t, n, rest, func(i int) (app int, becomes netip.AddrPort) {
		s.optIn(s.apps+i, true)
		return s.apps + i, s.member(s.apps+i, 0, 0)
	})
}

// flapping takes labels of some apps away, and gives them back: so many events in all.
func (s *site) flapping(t testing.TB, n int) spent {
	t.Helper()
	ns, api, cpu := s.bursting(t, n, func(i int) { s.optIn(i/2%10, i%2 == 1) }, func(*process) {})
	return spent{api, ns, cpu}
}
