package sync_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
	"nitrox/sync/discover"
)

// cluster is a source in which the test labels objects. A query is the name of an object
// and a port.
type cluster struct {
	objects map[string]map[string]string // settings by "namespace/name"
	serves  map[string]string            // endpoints by the same
	failed  error
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
	c.objects[object], c.serves[object] = map[string]string{}, serves
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		c.objects[object][name] = value
	}
}

func (c *cluster) CheckSelection(sources.Selection) error { return nil }

func (c *cluster) Discover(_ context.Context, selections []sources.Selection) ([]sources.Findings, error) {
	c.asked++
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
	for _, q := range queries {
		text, there := c.serves[q.(string)]
		if !there {
			answers = append(answers, sources.Doubtful(sources.Absent("service", q.(string), nil)))
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
	comments, err := s.NetScalers["edge"].Client.Commented(s.t.Context(), "")
	if err != nil {
		s.t.Error(err)
	}
	if err := s.NetScalers["edge"].Client.Close(s.t.Context()); err != nil {
		s.t.Error(err)
	}
	return comments[group]
}
