package observe_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
	"nitrox/sync/observe"
)

// Secrets that a mapping may have. None may ever be seen.
const password, token = "correct-horse-battery", "eyJhbGciOi-token"

// site is a loop by hand: a real syncer between sources that the test plays and
// simulated NetScalers, and the observer that is given its passes.
type site struct {
	*sync.Syncer
	*observe.Observer
	t       *testing.T
	sims    map[string]*simulator.Simulator
	answers map[string]map[string]sources.Answer // by source and app
	broken  map[string]error                     // by source
}

// entry is a query; it has a token as those of some sources have.
type entry struct{ App, Token string }

const every = 30 * time.Second

func newSite(t *testing.T, apps ...sync.App) *site {
	s := &site{
		t: t, sims: map[string]*simulator.Simulator{}, answers: map[string]map[string]sources.Answer{}, broken: map[string]error{},
		Syncer: &sync.Syncer{Sources: map[string]sync.Source{}, NetScalers: map[string]*sync.NetScaler{}},
	}
	for i := range apps {
		a := &apps[i]
		if a.Group == "" {
			a.Group = "sg-" + a.Name
		}
		if a.NetScalers == nil {
			a.NetScalers = []string{"edge"}
		}
		if a.From == nil {
			a.From = []sync.From{{Source: "prod"}}
		}
		for j := range a.From {
			a.From[j].Query = entry{a.Name, token}
			s.open(a.From[j].Source)
		}
		for _, name := range a.NetScalers {
			s.netscaler(name)
			if a.Group != "sg-missing" {
				s.sims[name].AddGroup(a.Group)
			}
		}
	}
	s.Apps = apps
	s.Observer = observe.New(observe.Options{Version: "v1.2.3", Every: every, Apps: apps})
	return s
}

func (s *site) open(name string) {
	if s.answers[name] != nil {
		return
	}
	s.answers[name] = map[string]sources.Answer{}
	s.Sources[name] = sync.Source{Timeout: 15 * time.Second, Opened: sources.Opened{
		Poll: func(_ context.Context, queries []any, _ bool) (all []sources.Answer, err error) {
			for _, q := range queries {
				answer, given := s.answers[name][q.(entry).App]
				if !given { // a source that has nothing to say of it
					answer = sources.NewAnswer(nil, nil, nil)
				}
				all = append(all, answer)
			}
			return all, s.broken[name]
		},
	}}
}

func (s *site) netscaler(name string) {
	if s.sims[name] != nil {
		return
	}
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})
	client, err := netscaler.Open(netscaler.Config{
		URLs: []string{"http://" + name + ".test"}, Username: "nitrox", Password: netscaler.SecretText(password), Transport: sim.Transport(),
		Observe: func(c netscaler.CallInfo) { s.Call(name, c) },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.sims[name] = sim
	s.NetScalers[name] = &sync.NetScaler{Client: client, Save: true, SaveEvery: 5 * time.Minute}
}

// say has a source answer with these hosts of 10.0.0.0/16 for an app.
func (s *site) say(source, app string, hosts ...int) {
	var es []sources.Endpoint
	for _, i := range hosts {
		es = append(es, sources.Endpoint{Addr: host(i), Origin: fmt.Sprintf("node worker-%d, 2 pods", i)})
	}
	s.answers[source][app] = sources.NewAnswer(es, nil, nil)
}

func host(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 31080)
}

// anHour goes by at once in a bubble.
func anHour() { time.Sleep(time.Hour) }

func upto(n int) (all []int) {
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

// pass runs one, as the loop does.
func (s *site) pass(apps ...string) sync.Result {
	s.Begin(time.Now())
	ctx, cancel := sync.WithDeadline(s.t.Context())
	defer cancel()
	r := s.Sync(ctx, &sync.Part{Apps: apps})
	s.Record(r, time.Now())
	return r
}

// get asks the handler as a browser, a probe or Prometheus does.
func get(t *testing.T, h http.Handler, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	for _, secret := range []string{password, token} {
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("GET %s shows the secret %s", path, secret)
		}
	}
	return w.Code, w.Body.String()
}

func (s *site) get(path string) string {
	s.t.Helper()
	status, body := get(s.t, s.Handler(), path)
	if status != http.StatusOK {
		s.t.Errorf("GET %s: %d %s", path, status, body)
	}
	return body
}

func (s *site) load(name, conf string) {
	s.t.Helper()
	if err := s.sims[name].Load(strings.NewReader(conf)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) close() {
	if err := s.Close(context.WithoutCancel(s.t.Context())); err != nil {
		s.t.Error(err)
	}
}

// mixed is a site with apps of all statuses and members in all states; between
// its two passes it waits.
func mixed(t *testing.T, wait func()) *site {
	limits := sync.Policy{Drain: 60 * time.Second, MaxRemove: sync.Limit{N: 75, Percent: true}}
	paused, fenced := limits, limits
	paused.Paused = true
	fenced.Only = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
	s := newSite(t,
		sync.App{Name: "account", Policy: limits},
		sync.App{Name: "basket", Policy: limits, NetScalers: []string{"edge", "core"}},
		sync.App{Name: "checkout", Policy: limits},
		sync.App{Name: "delivery", Policy: limits, From: []sync.From{{Source: "prod"}, {Source: "dcos"}}},
		sync.App{Name: "exports", Policy: paused},
		sync.App{Name: "forms", Group: "sg-missing", Policy: limits},
		sync.App{Name: "gateway", Policy: fenced},
		sync.App{Name: "invoices", Policy: limits},
	)
	for _, app := range []string{"account", "basket", "checkout", "delivery", "exports", "gateway"} {
		s.say("prod", app, upto(5)...)
	}
	s.say("prod", "invoices", 1)
	s.say("dcos", "delivery", 6, 7)
	s.load("edge", `add server files files.example.com
bind serviceGroup sg-gateway files 80
bind serviceGroup sg-gateway 192.0.2.7 80
bind serviceGroup sg-gateway 10.0.0.5 31080 -state DISABLED
bind serviceGroup sg-exports 10.0.0.6 31080 -state DISABLED -customServerID `+netscaler.DrainMark(host(6))+`
bind serviceGroup sg-invoices 10.0.0.1 31080 -state DISABLED
`)
	s.pass()

	wait()
	s.sims["edge"].SetUp("sg-account", host(2), false)
	s.say("prod", "basket", 1, 2, 3, 4, 9)
	s.say("prod", "checkout")
	s.broken["dcos"] = errors.New("GET http://m1:8080/v2/apps: 503 Service Unavailable")
	s.say("prod", "delivery", 1, 2, 3, 4, 5, 8)
	s.say("prod", "gateway", 1, 2, 3, 5)
	s.answers["prod"]["gateway"] = sources.NewAnswer(
		append(s.answers["prod"]["gateway"].Endpoints, sources.Endpoint{Addr: host(11), Uncertain: "its readiness is not known"}),
		[]sources.LeftOut{{What: "pod gateway-7f9c", Why: "not ready"}}, nil)
	s.Stream("prod", true)
	s.Stream("dcos", false)
	s.pass()
	return s
}
