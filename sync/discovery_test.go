package sync_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/all"
	"nitrox/sources/kubernetes"
	"nitrox/sources/sourcetest"
	"nitrox/sync"
	"nitrox/sync/config"
	"nitrox/sync/discover"
)

// cluster is a source in which the test labels objects. A query is the name of an object
// and a port.
type cluster struct {
	mu      stdsync.Mutex
	objects map[string]map[string]string // settings by "namespace/name"
	serves  map[string]string            // endpoints by the same
	failed  error
	hangs   bool // until it is not waited for any more
	asked   int
	changed chan struct{}
}

func newCluster(objects ...string) *cluster {
	c := &cluster{objects: map[string]map[string]string{}, serves: map[string]string{}, changed: make(chan struct{})}
	for _, o := range objects {
		c.label(o, "10.0.0.1:80 10.0.0.2:80")
	}
	return c
}

// label has an object opt in, with settings such as "port=http".
func (c *cluster) label(object, serves string, settings ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[object], c.serves[object] = map[string]string{}, serves
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		c.objects[object][name] = value
	}
}

// remove takes a label away.
func (c *cluster) remove(object string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, object)
}

func (c *cluster) CheckSelection(sources.Selection) error { return nil }

func (c *cluster) Discover(ctx context.Context, selections []sources.Selection) ([]sources.Findings, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if c.failed != nil {
		return nil, c.failed
	}
	all := make([]sources.Findings, len(selections))
	for i, s := range selections {
		var found []sources.Found
		for _, object := range slices.Sorted(maps.Keys(c.objects)) {
			namespace, name, _ := strings.Cut(object, "/")
			if s.Namespaces != nil && !slices.Contains(s.Namespaces, namespace) {
				continue
			}
			found = append(found, sources.Found{
				Namespace: namespace, Name: name, What: "service " + object, Settings: c.objects[object], Ports: []sources.Port{"http"},
				Query: func(port sources.Port, address string) (any, error) {
					if address == "moon" {
						return nil, &sources.KeyError{Key: "address", Err: errors.New(`"moon" is not known; use pod_ip`)}
					}
					return object, nil
				},
			})
		}
		all[i] = sources.NewFindings(found, nil)
	}
	return all, nil
}

func (c *cluster) WatchFound(ctx context.Context, _ []sources.Selection, changed func()) error {
	changed()
	for {
		select {
		case <-c.changed:
			changed()
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *cluster) poll(_ context.Context, queries []any, _ bool) (answers []sources.Answer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range queries {
		object := fmt.Sprint(q)
		if query, ok := q.(kubernetes.Query); ok {
			object = query.Service
		}
		text, there := c.serves[object]
		if !there {
			answers = append(answers, sources.Doubtful(sources.Absent("service", object, nil)))
			continue
		}
		answers = append(answers, sources.NewAnswer(endpoints(strings.Fields(text)...), nil, nil))
	}
	return answers, nil
}

// discovering is a site with one NetScaler whose apps opt in.
func discovering(t *testing.T, clusters map[string]*cluster, entries ...sync.Discovery) *site {
	s := &site{t: t, sims: map[string]*simulator.Simulator{}, Syncer: &sync.Syncer{Sources: map[string]sync.Source{}, NetScalers: map[string]*sync.NetScaler{}}}
	s.sims["edge"] = simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
	s.NetScalers["edge"] = &sync.NetScaler{Client: s.client("edge", "secret", false), Save: true, SaveEvery: 5 * time.Minute}
	for name, c := range clusters {
		s.Sources[name] = sync.Source{Timeout: 15 * time.Second, Opened: sources.Opened{Poll: c.poll, Discoverer: c}}
	}
	s.Discoveries = entries
	return s
}

// entry is one whose apps are made, and may be empty.
func entry(source string, change ...func(*sync.Discovery)) sync.Discovery {
	d := sync.Discovery{
		Entry: discover.Entry{Source: source, Group: "{namespace}_{name}", NetScalers: []string{"edge"}, Owner: source, Most: 75, Drain: 30 * time.Second},
		App:   sync.App{Policy: sync.DefaultPolicy, Create: &netscaler.Creation{ServiceType: "HTTP"}},
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

func sharing(d *sync.Discovery) { d.Share = true }

// pass looks for apps and makes a pass.
func (s *site) pass(want int) sync.Result {
	s.t.Helper()
	s.Syncer = s.Discover(s.t.Context())
	return s.sync(want)
}

func report(r sync.Result) string {
	var b strings.Builder
	_ = sync.Text(&b, r) // a Builder does not fail
	return b.String()
}

func TestAppsThatOptInAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster("shop/web")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod"))
		s.pass(sync.ExitInStep)
		s.expect("shop_web", "10.0.0.1:80, 10.0.0.2:80")
		if got := s.comment("shop_web"); got != "nitrox prod shop/web" {
			t.Errorf("its mark is %q", got)
		}
		if r := s.pass(sync.ExitInStep); r.Tally() != (sync.Result{}).Tally() {
			t.Errorf("the second pass changes:\n%s", report(r))
		}
		c.label("shop/web", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80")
		c.label("bank/api", "10.1.0.1:80", "service-group=sg-shop")
		r := s.pass(sync.ExitFailed)
		s.expect("shop_web", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80")
		t.Log("\n" + report(r))
		delete(c.objects, "shop/web")
		delete(c.objects, "bank/api")
		r = s.pass(sync.ExitInStep)
		s.expect("shop_web", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80")
		t.Log("\n" + report(r))
		c.failed = fmt.Errorf("GET services: 403 Forbidden")
		r = s.pass(sync.ExitFailed)
		t.Log("\n" + report(r))
		c.failed = nil
		c.label("shop/web", "10.0.0.3:80", "port=http,https,http")
		r = s.pass(sync.ExitFailed)
		t.Log("\n" + report(r))
	})
}

func (s *site) comment(group string) string {
	comments, err := s.NetScalers["edge"].Client.Commented(s.t.Context())
	if err != nil {
		s.t.Error(err)
	}
	if err := s.NetScalers["edge"].Client.Close(s.t.Context()); err != nil {
		s.t.Error(err)
	}
	return comments[group]
}

func (s *site) says(r sync.Result, want ...string) {
	s.t.Helper()
	for _, w := range want {
		if text := report(r); !strings.Contains(text, w) {
			s.t.Errorf("the report does not say %q:\n%s", w, text)
		}
	}
}

// Whose a service group is, its comment says.
func TestMarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster("shop/web", "shop/api", "shop/own", "shop/old", "shop/odd")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod"))
		for group, comment := range map[string]string{"shop_web": "", "shop_api": "nitrox other shop/api", "shop_own": "hands off", "shop_old": "nitrox prod shop/older"} {
			s.sims["edge"].AddGroup(group)
			if comment == "" {
				continue
			}
			client := s.NetScalers["edge"].Client
			if errs := client.Do(t.Context(), netscaler.Mark, []netscaler.Change{{Op: netscaler.Mark, Group: group, Comment: comment}}); errs[0] != nil {
				t.Fatal(errs[0])
			}
		}
		r := s.pass(sync.ExitFailed)
		s.says(r, `shop_api on edge: failed
  ! service group shop_api is another's by its comment, "nitrox other shop/api", and this app would be "nitrox prod shop/api"; `+
			"give one of them another group or, if other is gone for good, unset serviceGroup shop_api -comment")
		s.expect("shop_api", "")
		for group, want := range map[string]string{"shop_web": "nitrox prod shop/web", "shop_api": "nitrox other shop/api", "shop_own": "hands off",
			"shop_old": "nitrox prod shop/old", "shop_odd": "nitrox prod shop/odd"} {
			if got := s.comment(group); got != want {
				t.Errorf("the comment of %s is %q, not %q", group, got, want)
			}
			if group != "shop_api" {
				s.expect(group, "10.0.0.1:80, 10.0.0.2:80")
			}
		}
		s.says(s.sync(sync.ExitFailed), "done: nothing to change (5 service groups: 4 in step, 1 failed)") // without another look
		if r := s.pass(sync.ExitFailed); r.Tally() != (sync.Result{}).Tally() {
			t.Errorf("the second pass changes:\n%s", report(r))
		}
	})
}

// A group that no app claims any more is told in each pass, and drained only if that is
// wanted, by few at a time, and when apps have been looked for twice.
func TestOrphansAreDrained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster("shop/a", "shop/b", "shop/c", "shop/d")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod", func(d *sync.Discovery) {
			d.Orphans, d.App.Policy.AllowEmpty = true, true
		}))
		s.pass(sync.ExitInStep)
		delete(c.objects, "shop/a")
		before := c.asked
		r := s.pass(sync.ExitInStep)
		s.expect("shop_a", "10.0.0.1:80 GOING OUT OF SERVICE, 10.0.0.2:80 GOING OUT OF SERVICE")
		s.says(r, "shop_a: no app claims it any more: its members are drained on edge", "2 started draining")
		if c.asked != before+2 {
			t.Errorf("apps were looked for %d times, not twice", c.asked-before)
		}
		time.Sleep(time.Minute)
		s.pass(sync.ExitInStep)
		s.expect("shop_a", "")
		s.says(s.pass(sync.ExitInStep), "shop_a: no app claims it any more: it has no members; if nobody needs it, rm serviceGroup shop_a on edge")

		// It came back between the two looks.
		delete(c.objects, "shop/b")
		s.Syncer = s.Discover(t.Context())
		c.label("shop/b", "10.0.0.1:80 10.0.0.2:80")
		s.sync(sync.ExitFailed)
		s.expect("shop_b", "10.0.0.1:80, 10.0.0.2:80")

		// All at once is a mistake.
		clear(c.objects)
		s.says(s.pass(sync.ExitInStep), "shop_c: no app claims it any more: 2 members stay on edge", "note: not drained: no app of owner prod is left at all")
		s.expect("shop_c", "10.0.0.1:80, 10.0.0.2:80")
	})
}

// The guards hold for what is discovered as for what is written.
func TestTheLastMemberOfAnOrphanStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster("shop/a", "shop/b")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod", func(d *sync.Discovery) { d.Orphans = true }))
		s.pass(sync.ExitInStep)
		delete(c.objects, "shop/a")
		s.pass(sync.ExitHeld)
		s.expect("shop_a", "10.0.0.1:80, 10.0.0.2:80")
	})
}

// No sequence of what sources answer when apps are looked for, whole, in part, empty or
// not at all, removes a member that some whole answer still serves; and when the answers
// stay the same, so do the groups.
func TestNoSequenceOfDiscoveriesRemovesWhatIsServed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			clusters := map[string]*cluster{"a": newCluster(), "b": newCluster()}
			orphans := func(d *sync.Discovery) { d.Orphans, d.App.Policy.AllowEmpty = rapid.Bool().Draw(rt, "drain"), true }
			s := discovering(t, clusters, entry("a", sharing, orphans), entry("b", sharing, orphans))
			s.NetScalers["edge"].Save = false
			objects := []string{"shop/x", "shop/y", "bank/z"}
			serves := func(cluster, object string) string { // two members, of each cluster its own
				i := slices.Index(objects, object)
				return fmt.Sprintf("10.%d.%d.1:80 10.%[1]d.%[2]d.2:80", int(cluster[0]), i)
			}
			answer := func(source string, c *cluster) (whole bool) {
				clear(c.objects)
				c.failed = nil
				for _, o := range objects {
					c.serves[o] = serves(source, o)
				}
				switch rapid.SampledFrom([]string{"all", "all", "some", "none", "failed", "odd"}).Draw(rt, source) {
				case "failed":
					c.failed = errors.New("503 Service Unavailable")
					return false
				case "none":
					return false // of whom it is not believed
				case "some":
					for _, o := range objects {
						if rapid.Bool().Draw(rt, o) {
							c.label(o, serves(source, o))
						}
					}
				case "odd":
					for _, o := range objects {
						c.label(o, serves(source, o), rapid.SampledFrom([]string{"weight=5", "weight=x", "port=", "service-group=x", "order=2"}).Draw(rt, o))
					}
				default:
					for _, o := range objects {
						c.label(o, serves(source, o))
					}
				}
				return len(c.objects) > 0
			}
			serving := func() map[string]bool {
				all := map[string]bool{}
				for _, o := range objects {
					group := strings.ReplaceAll(o, "/", "_")
					for _, m := range s.sims["edge"].Members(group) {
						if m.State == "ENABLED" {
							all[group+" "+m.Addr.String()] = true
						}
					}
				}
				return all
			}
			settle := func() sync.Result {
				s.Syncer = s.Discover(t.Context())
				r := s.Sync(t.Context(), nil)
				time.Sleep(2 * time.Minute)
				return r
			}
			for range rapid.IntRange(1, 6).Draw(rt, "passes") {
				before := serving()
				whole := map[string]bool{}
				for _, name := range []string{"a", "b"} {
					whole[name] = answer(name, clusters[name])
				}
				r := settle()
				now := serving()
				for _, name := range []string{"a", "b"} {
					for _, o := range objects {
						_, labelled := clusters[name].objects[o]
						if whole[name] && !labelled {
							continue // nobody serves it
						}
						for addr := range strings.FieldsSeq(serves(name, o)) {
							if m := strings.ReplaceAll(o, "/", "_") + " " + addr; before[m] && !now[m] {
								rt.Fatalf("%s was removed, which %s still serves (%v):\n%s", m, name, clusters[name].objects, report(r))
							}
						}
					}
				}
			}
			settle()
			settle()
			if r := settle(); r.Tally() != (sync.Result{}).Tally() {
				rt.Fatalf("the answers are the same, and it still changes:\n%s", report(r))
			}
			if err := s.Close(t.Context()); err != nil {
				rt.Fatal(err)
			}
		})
	})
}

// In a loop a new label is an event, and an app that is found is one among the others:
// nothing is logged out, and nothing waits.
func TestALabelIsAnEvent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newCluster("shop/web")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod"))
		r := newRun(s, 10*time.Minute)
		r.Watch = true
		var last atomic.Pointer[sync.Result]
		r.Report = func(result sync.Result) { last.Store(&result) }
		var names []string
		r.Found = func(s *sync.Syncer) {
			names = nil
			for _, app := range s.Apps {
				names = append(names, app.Name)
			}
		}
		go func() {
			s.has("edge", "shop_web", 2)
			time.Sleep(5 * time.Second)
			c.label("shop/api", "10.0.1.1:80")
			c.changed <- struct{}{}
			if took := s.has("edge", "shop_api", 1); took > 2*time.Second {
				t.Errorf("a new label is served after %v", took)
			}
			time.Sleep(5 * time.Second)
			c.remove("shop/web")
			c.changed <- struct{}{}
			time.Sleep(5 * time.Second)
			s.says(*last.Load(), "shop_web: no app claims it any more: 2 members stay on edge")
			if n := len(last.Load().Outcomes); n != 1 {
				t.Errorf("the pass after the event is of %d apps:\n%s", n, report(*last.Load()))
			}
			c.label("shop/web", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80")
			c.changed <- struct{}{}
			if took := s.has("edge", "shop_web", 3); took > 3*time.Second {
				t.Errorf("a label that came back is served after %v", took)
			}
		}()
		r.during(3 * time.Minute)
		if got := strings.Join(names, " "); got != "shop_api shop_web" {
			t.Errorf("its apps are %s", got)
		}
		logins := 0
		for _, call := range kinds(s.sims["edge"].Calls()) {
			if call == "POST login" {
				logins++
			}
		}
		if logins != 1 {
			t.Errorf("%d log-ins", logins)
		}
	})
}

// A source in which apps are looked for in vain holds up no app but its own; and once it
// answers again, these are served.
func TestADiscoveryThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		lab, slow := newCluster("shop/web"), newCluster("bank/api")
		slow.hangs = true
		s := discovering(t, map[string]*cluster{"lab": lab, "slow": slow}, entry("lab"), entry("slow"))
		s.sims["edge"].AddGroup("own")
		lab.serves["own"] = "10.0.9.1:80"
		s.Apps = []sync.App{{Name: "own", Group: "own", NetScalers: []string{"edge"}, Policy: sync.DefaultPolicy, From: []sync.From{{Source: "lab", Query: "own"}}}}
		r := newRun(s, time.Minute)
		var last atomic.Pointer[sync.Result]
		r.Report = func(result sync.Result) { last.Store(&result) }
		go func() {
			if took := s.has("edge", "own", 1); took > 3*time.Second {
				t.Errorf("a written app is served after %v", took)
			}
			if took := s.has("edge", "shop_web", 2); took > 20*time.Second {
				t.Errorf("an app of another source is served after %v", took)
			}
			time.Sleep(90 * time.Second)
			s.says(*last.Load(), "! source slow failed: its apps are not known: no answer within its timeout of 15s")
			slow.mu.Lock()
			slow.hangs = false
			slow.mu.Unlock()
			if took := s.has("edge", "bank_api", 2); took > 3*time.Minute {
				t.Errorf("it is served after %v", took)
			}
		}()
		r.during(6 * time.Minute)
	})
}

// What opts in costs what is written: a run of 5,000 apps, from the mapping to the end of
// its pass, makes the same calls but for one to each NetScaler, one request to the source
// more, and needs no more memory: the apps are read from the source instead of a file.
func TestDiscoveredAppsCostWhatWrittenOnesDo(t *testing.T) {
	sourcetest.Thorough(t)
	const n = 5000
	c := newCluster()
	var written strings.Builder
	for i := range n {
		object := fmt.Sprintf("shop/web%d", i)
		c.label(object, fmt.Sprintf("10.1.%d.%d:80 10.2.%[1]d.%d:80", i/250, i%250+1, i%250+1))
		fmt.Fprintf(&written, "  - {name: shop_web%d, create: {service_type: HTTP}, from: [{source: prod, service: %s}]}\n", i, object)
	}
	const head = "netscalers: {edge: {url: https://192.0.2.10, username: nitrox, password: \"${NS_PASSWORD}\"}}\nsources: {prod: {kubernetes: {context: prod}}}\n"
	type cost struct {
		fill, calls, asked int
		allocated          uint64
	}
	measure := func(mapping string) (costs cost) {
		file := t.TempDir() + "/nitrox.yaml"
		if err := os.WriteFile(file, []byte(head+mapping), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			s := discovering(t, map[string]*cluster{"prod": c})
			run := func() {
				m, err := (&config.Files{Names: []string{file}, Lookup: func(string) (string, bool) { return "x", true }}).Load(all.Kinds)
				if err != nil {
					t.Fatal(err)
				}
				s.Syncer = &sync.Syncer{Sources: s.Sources, NetScalers: s.NetScalers, Apps: m.Apps, Discoveries: m.Discoveries}
				s.pass(sync.ExitInStep)
			}
			run()
			costs.fill = len(s.sims["edge"].Calls())
			run()
			runtime.GC()
			var before, after runtime.MemStats
			asked, calls := c.asked, len(s.sims["edge"].Calls())
			runtime.ReadMemStats(&before)
			run()
			runtime.ReadMemStats(&after)
			costs.allocated, costs.asked, costs.calls = after.TotalAlloc-before.TotalAlloc, c.asked-asked, len(s.sims["edge"].Calls())-calls
		})
		return costs
	}
	file := measure("apps:\n" + written.String())
	label := measure("discover: [{source: prod, select: nitrox=on, service_group: \"{namespace}_{name}\", create: {service_type: HTTP}}]\n")
	t.Logf("written: %+v; discovered: %+v", file, label)
	if label.asked != 1 || label.calls > file.calls+1 || label.fill*10 > file.fill*11 || label.allocated*10 > file.allocated*11 {
		t.Errorf("written: %+v; discovered: %+v", file, label)
	}
}
