package marathon_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/file"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
	"nitrox/sync"
)

// A site is the whole of Nitrox between a Marathon cluster and a NetScaler that
// are simulated, in process and on a fake clock.
type site struct {
	*sync.Syncer
	t       tester
	cluster *marathontest.Cluster
	sim     *simulator.Simulator
}

// tester is a test, also one of rapid's.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Context() context.Context
}

const group = "sg-web"

func newSite(t *testing.T, o marathontest.Options, definition string) *site {
	o.URLs = three
	s := &site{t: t, cluster: deployed(t, o, definition), sim: simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}, ClientsLeave: 3 * time.Second})}
	s.sim.AddGroup(group)
	client, err := netscaler.Open(netscaler.Config{URLs: []string{"http://edge.test"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: s.sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	policy := sync.DefaultPolicy
	policy.Drain = 5 * time.Second
	s.Syncer = &sync.Syncer{
		Sources:    map[string]sync.Source{"dcos": {Opened: inProcess(t, s.cluster, marathon.Config{URLs: three}), Timeout: 15 * time.Second}},
		NetScalers: map[string]*sync.NetScaler{"edge": {Client: client}},
		Apps: []sync.App{{
			Name: "web", Group: group, NetScalers: []string{"edge"}, Policy: policy,
			From: []sync.From{{Source: "dcos", Query: web}},
		}},
	}
	time.Sleep(time.Hour)
	s.pass(0, 1)
	s.sim.ResetMin()
	return s
}

// serving are the enabled members.
func (s *site) serving() []string {
	var all []string
	for _, m := range s.sim.Members(group) {
		if m.State == "ENABLED" {
			all = append(all, m.Addr.String())
		}
	}
	slices.Sort(all)
	return all
}

// pass makes a pass, which must end with an exit code after a number of
// requests to Marathon. Whatever came before, all tasks that really serve are
// enabled members after it.
func (s *site) pass(exit, requests int) {
	s.t.Helper()
	s.cluster.Requests()
	r := s.Sync(s.t.Context(), nil)
	// A source that has just failed may be spared for a while.
	if got := len(s.cluster.Requests()); got != requests && (exit == 0 || got != 0) {
		s.t.Errorf("%d requests to Marathon in a pass, want %d", got, requests)
	}
	if got := r.Exit(false); got != exit {
		var b strings.Builder
		_ = sync.Text(&b, r) // a Builder does not fail
		s.t.Errorf("exit code %d, want %d:\n%s", got, exit, b.String())
	}
	if exit != 0 {
		return
	}
	members := s.serving()
	for _, addr := range s.cluster.Serving("/shop/web") {
		if !slices.Contains(members, addr) {
			s.t.Errorf("%s serves and is no member of %v", addr, members)
		}
	}
}

// until steps the cluster and makes a pass each second until it has no more to
// do, and the members are what serves.
func (s *site) until(limit int) {
	s.t.Helper()
	for range limit {
		time.Sleep(time.Second)
		s.cluster.Advance()
		s.pass(0, 1)
	}
	s.inStep()
}

func (s *site) inStep() {
	s.t.Helper()
	if got, want := s.serving(), s.cluster.Serving("/shop/web"); !slices.Equal(got, want) {
		s.t.Errorf("enabled members %v, want %v", got, want)
	}
}

func (s *site) put(definition string) {
	s.t.Helper()
	if err := s.cluster.Put(definition); err != nil {
		s.t.Fatal(err)
	}
}

func instances(n int) string { return fmt.Sprintf(`{"id": "/shop/web", "instances": %d}`, n) }

func TestScaleUpAndDown(t *testing.T) {
	for _, test := range []struct {
		noKilling     bool
		killSelection string
	}{{false, "YOUNGEST_FIRST"}, {true, "YOUNGEST_FIRST"}, {true, "OLDEST_FIRST"}} {
		t.Run(fmt.Sprintf("%s, Mesos without TASK_KILLING %v", test.killSelection, test.noKilling), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, marathontest.Options{NoKilling: test.noKilling}, strings.Replace(webApp, `"instances": 3`, fmt.Sprintf(`"instances": 4, "killSelection": %q`, test.killSelection), 1))
				s.put(instances(6))
				s.until(4)
				if n := s.sim.MinEnabled(group); n != 4 {
					t.Errorf("at least %d members were enabled, want 4", n)
				}
				if n := len(s.serving()); n != 6 {
					t.Errorf("%d members, want 6", n)
				}
				s.put(instances(7))
				s.until(3)

				s.put(instances(2))
				// Before any of them is gone the five that Marathon kills drain,
				// and it is asked twice whether that many are to go.
				s.pass(0, 2)
				s.inStep()
				if n := len(s.sim.Members(group)); n != 7 {
					t.Errorf("%d members while five drain, want 7", n)
				}
				s.until(8)
				if n := s.sim.MinEnabled(group); n != 2 {
					t.Errorf("at least %d members were enabled, want 2", n)
				}
				if n := len(s.sim.Members(group)); n != 2 {
					t.Errorf("%d members when all is over, want 2", n)
				}
			})
		})
	}
}

func TestRollingDeployment(t *testing.T) {
	for _, readiness := range []string{"", `, "readinessChecks": [{"name": "ready", "timeoutSeconds": 10}]`} {
		t.Run("with "+readiness, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, marathontest.Options{}, strings.Replace(webApp, `"instances": 3`, `"instances": 4`, 1))
				before := s.serving()
				s.put(`{"id": "/shop/web", "cmd": "web --new"` + readiness + `}`)
				s.until(15)
				for _, addr := range s.serving() {
					if slices.Contains(before, addr) {
						t.Errorf("%s is of before the deployment", addr)
					}
				}
				if n := s.sim.MinEnabled(group); n != 4 {
					t.Errorf("at least %d members were enabled, want 4", n)
				}
			})
		})
	}
}

func TestFailingHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, marathontest.Options{}, webApp)
		first := s.cluster.Tasks("/shop/web")[0]
		s.cluster.Sick(first, true)
		s.pass(0, 1)
		s.inStep()
		if n := len(s.serving()); n != 2 {
			t.Errorf("%d members are enabled, want 2", n)
		}
		s.cluster.Sick(first, false)
		s.pass(0, 1) // it was draining, and is enabled again
		s.inStep()
		if n := len(s.sim.Members(group)); n != 3 {
			t.Errorf("%d members, want 3", n)
		}
	})
}

// For a minute, once a second: the leader dies, there is none for a while, and
// the new one has to check all health again. Nothing is removed by that, and
// what is not known to be healthy is not added.
func TestLeaderFailoverCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, marathontest.Options{}, strings.Replace(webApp, `"instances": 3`, `"instances": 4`, 1))
		bound := s.serving()
		for second := range 60 {
			time.Sleep(time.Second)
			exit, requests := 0, 1
			switch second {
			case 5:
				s.cluster.Down(0, true)
				s.cluster.Failover(-1)
			case 12:
				s.cluster.Failover(1)
			case 15:
				s.put(instances(5)) // its task runs, and nobody knows how it is
			case 40:
				s.cluster.Down(0, false)
				s.cluster.Failover(0)
			}
			if second >= 5 && second < 12 {
				exit, requests = 1, 2 // all are asked; the connection to the first is cut
			}
			s.cluster.Advance()
			s.pass(exit, requests)
			members := s.serving()
			for _, addr := range bound {
				if !slices.Contains(members, addr) {
					t.Errorf("second %d: %s is no member any more", second, addr)
				}
			}
			// The interval of its checks, 10 s from the election.
			if known := second >= 23; len(members) != 4 && !known || len(members) != 5 && known {
				t.Errorf("second %d: %d members", second, len(members))
			}
		}
		if n := s.sim.MinEnabled(group); n != 4 {
			t.Errorf("at least %d members were enabled, want 4", n)
		}
	})
}

// An app moves from Marathon to another source in three steps of weights, and
// then for good. At no moment are there fewer members than either side serves.
func TestMigration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, marathontest.Options{}, webApp)
		path := filepath.Join(t.TempDir(), "endpoints.json")
		if err := os.WriteFile(path, []byte(`{"apps": {"web": ["10.9.0.1:80", "10.9.0.2:80", "10.9.0.3:80"]}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		opened, err := sources.Define("file", file.Open).Open(file.Config{Path: sources.Path(path)})
		if err != nil {
			t.Fatal(err)
		}
		// As from a mapping file that was changed.
		s.Syncer = &sync.Syncer{NetScalers: s.NetScalers, Apps: s.Apps, Sources: map[string]sync.Source{
			"dcos": s.Sources["dcos"], "lab": {Opened: opened, Timeout: time.Second},
		}}
		old, new := s.cluster.Serving("/shop/web"), []string{"10.9.0.1:80", "10.9.0.2:80", "10.9.0.3:80"}
		app := &s.Apps[0]
		marathonFrom := app.From[0]
		for _, step := range []struct{ marathon, lab int }{{100, 1}, {50, 50}, {1, 100}} {
			time.Sleep(time.Minute)
			marathonFrom.Weight = step.marathon
			app.From = []sync.From{marathonFrom, {Source: "lab", Query: file.Query{App: "web"}, Weight: step.lab}}
			s.pass(0, 1)
			want := append(slices.Clone(old), new...)
			slices.Sort(want)
			if got := s.serving(); !slices.Equal(got, want) {
				t.Errorf("weights %v: members %v, want %v", step, got, want)
			}
			for _, m := range s.sim.Members(group) {
				weight := step.marathon
				if m.Addr.Addr().As4()[1] == netip.MustParseAddr("10.9.0.1").As4()[1] {
					weight = step.lab
				}
				if m.Weight != weight {
					t.Errorf("weights %v: %v has %d, want %d", step, m.Addr, m.Weight, weight)
				}
			}
		}
		app.From = app.From[1:]
		s.Sync(t.Context(), nil)
		if got := s.serving(); !slices.Equal(got, new) {
			t.Errorf("at the end: members %v, want %v", got, new)
		}
		time.Sleep(10 * time.Second)
		s.Sync(t.Context(), nil)
		if n := len(s.sim.Members(group)); n != 3 {
			t.Errorf("%d members are left, want 3", n)
		}
		if n := s.sim.MinEnabled(group); n != 3 {
			t.Errorf("at least %d members were enabled, want 3", n)
		}
	})
}

// event is something that happens to a cluster.
type event struct {
	what string
	n    int
}

// happen makes it so. What Marathon refuses, since the app is being deployed,
// does not happen.
func (e event) happen(c *marathontest.Cluster) {
	switch e.what {
	case "scale":
		_ = c.Put(instances(1 + e.n%6))
	case "deploy":
		_ = c.Put(fmt.Sprintf(`{"id": "/shop/web", "cmd": "web %d"}`, e.n))
	case "sicken", "heal":
		tasks := c.Tasks("/shop/web")
		c.Sick(tasks[e.n%len(tasks)], e.what == "sicken")
	case "fail over":
		c.Failover(e.n%4 - 1)
	case "advance":
		c.Advance()
	case "wait":
		time.Sleep(time.Duration(e.n) * time.Second)
	}
}

// problems collects what a test within a test says.
type problems struct {
	*testing.T
	all []string
}

func (p *problems) Errorf(format string, args ...any) {
	p.all = append(p.all, fmt.Sprintf(format, args...))
}

// Whatever happens to a cluster, in any order: a member whose task really
// serves is never lost, nothing that does not serve is added, and when all is
// well again the members are the tasks that serve.
func TestNoHealthyMemberIsEverLost(t *testing.T) {
	draw := rapid.Custom(func(r *rapid.T) event {
		return event{rapid.SampledFrom([]string{"scale", "deploy", "sicken", "heal", "fail over", "advance", "advance", "wait"}).Draw(r, "what"), rapid.IntRange(0, 30).Draw(r, "n")}
	})
	rapid.Check(t, func(r *rapid.T) {
		noKilling := rapid.Bool().Draw(r, "no TASK_KILLING")
		events := rapid.SliceOfN(draw, 1, 25).Draw(r, "events")
		var found []string
		synctest.Test(t, func(t *testing.T) { found = history(t, noKilling, events) })
		if len(found) > 0 {
			r.Fatal(strings.Join(found, "\n"))
		}
	})
}

// history lets events happen, with a pass after each, and returns what went
// wrong.
func history(t *testing.T, noKilling bool, events []event) []string {
	p := &problems{T: t}
	s := newSite(t, marathontest.Options{NoKilling: noKilling}, webApp)
	s.t = p
	step := func(what string) {
		time.Sleep(time.Second)
		before, serving := s.serving(), s.cluster.Serving("/shop/web")
		s.Sync(t.Context(), nil)
		after := s.serving()
		for _, addr := range before {
			if slices.Contains(serving, addr) && !slices.Contains(after, addr) {
				p.Errorf("%s: %s serves and is no member any more", what, addr)
			}
		}
		for _, addr := range after {
			// That a task is being killed is not always to be seen.
			if !noKilling && !slices.Contains(serving, addr) && !slices.Contains(before, addr) {
				p.Errorf("%s: %s does not serve and was added", what, addr)
			}
		}
	}
	for i, e := range events {
		e.happen(s.cluster)
		step(fmt.Sprintf("event %d %v", i, e))
	}
	s.cluster.Failover(1)
	for _, id := range s.cluster.Tasks("/shop/web") {
		s.cluster.Sick(id, false)
	}
	for range 10 {
		time.Sleep(time.Minute)
		s.cluster.Advance()
		step("at the end")
	}
	// A scale-down from five to one is more than max_remove lets go, until an
	// operator who has looked says that it is meant.
	s.Apps[0].Policy.Forced = true
	step("forced")
	s.inStep()
	if err := s.Close(t.Context()); err != nil {
		p.Errorf("%v", err)
	}
	return p.all
}
