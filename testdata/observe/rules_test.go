package observe

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

const rulesFile = root + "/deploy/observe/rules.yaml"

func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation)
	for _, err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return groups.Groups[0].Rules
}

// states are what was seen of runs, each in a lab of its own.
var states = map[string]func(l *lab) state{
	"in step": func(l *lab) state {
		return l.scraped(l.loop(), `nitrox_apps{status="in_step"} 1`, `nitrox_stream_up{source="lab"} 1`)
	},
	"source down": func(l *lab) state {
		url := l.loop()
		l.scraped(url, `nitrox_apps{status="in_step"} 1`, `nitrox_stream_up{source="lab"} 1`)
		l.refuses.Store(true)
		return l.scraped(url, `nitrox_source_up{source="lab"} 0`)
	},
	"stream down": func(l *lab) state {
		l.mute = true
		return l.scraped(l.loop(), `nitrox_apps{status="in_step"} 1`, `nitrox_stream_up{source="lab"} 0`)
	},
	"netscaler down": func(l *lab) state {
		url := l.loop()
		l.scraped(url, `nitrox_apps{status="in_step"} 1`)
		l.control("faults", `{"DropBefore": true}`)
		return l.scraped(url, `nitrox_netscaler_up{netscaler="edge"} 0`)
	},
	"held": func(l *lab) state {
		url := l.loop()
		l.scraped(url, `nitrox_apps{status="in_step"} 1`)
		l.tasks.Store(0)
		return l.scraped(url, `nitrox_apps{status="held"} 1`)
	},
	"dry run": func(l *lab) state {
		l.control("config", "bind serviceGroup sg-shop 10.0.0.1 31000\n")
		return l.scraped(l.loop("--dry-run"), `nitrox_apps{status="pending"} 1`)
	},
	"nothing serves": func(l *lab) state {
		url := l.loop()
		l.scraped(url, `nitrox_apps{status="in_step"} 1`)
		for i := range 2 {
			l.control("health", fmt.Sprintf(`{"group": "sg-shop", "addr": "10.0.0.%d:31000", "up": false}`, i+1))
		}
		return l.scraped(url, `state="down"} 2`)
	},
	"scaled to zero": func(l *lab) state {
		l.tasks.Store(0)
		return l.scraped(l.loop(), `nitrox_apps{status="not_serving"} 1`)
	},
	// Its containers are gone, too, as they are when somebody has removed an app.
	"nobody claims it": func(l *lab) state {
		l.control("config", "add serviceGroup gone HTTP -comment \"nitrox lab shop/gone\"\nbind serviceGroup gone 10.0.0.9 31000\n")
		l.control("health", `{"group": "gone", "addr": "10.0.0.9:31000", "up": false}`)
		l.write("nitrox.yaml", l.mapping+"discover: [{source: lab, select: nitrox=on, namespaces: [shop], netscaler: edge}]\n")
		return l.scraped(l.loop(), `nitrox_orphans{netscaler="edge"} 1`, `nitrox_apps{status="in_step"} 1`)
	},
	"a file is wrong": func(l *lab) state {
		l.write("nitrox.yaml", l.mapping+"include: [{file: team.yaml, allow_groups: [sg-team-*]}]\n")
		l.write("team.yaml", "apps: [{name: \n")
		return l.scraped(l.loop(), "nitrox_mapping_files_unusable 1", `nitrox_apps{status="in_step"} 1`)
	},
	"the mapping is wrong": func(l *lab) state {
		url := l.loop()
		l.scraped(url, `nitrox_apps{status="in_step"} 1`)
		l.write("nitrox.yaml", l.mapping+"nonsense: 1\n")
		return l.scraped(url, "nitrox_mapping_files_unusable 1", `nitrox_apps{status="in_step"} 1`)
	},
	"unsaved": func(l *lab) state {
		l.control("faults", `{"Type": "nsconfig", "Action": "save", "Code": 1}`)
		return l.scraped(l.loop(), `nitrox_netscaler_up{netscaler="edge"} 0`)
	},
	"little memory": func(l *lab) state {
		l.env = "GOMEMLIMIT=4MiB"
		return l.scraped(l.loop(), `nitrox_apps{status="in_step"} 1`)
	},
	// Somebody else undoes what it does, before the next pass.
	"two writers": func(l *lab) state {
		url := l.loop()
		l.scraped(url, `nitrox_apps{status="in_step"} 1`)
		over, ended := make(chan struct{}), make(chan struct{})
		defer func() { close(over); <-ended }()
		go func() {
			defer close(ended)
			for {
				select {
				case <-over:
					return
				case <-time.After(20 * time.Millisecond):
					l.tell("config", "unbind serviceGroup sg-shop 10.0.0.1 31000\n") // an error: it is not bound now
				}
			}
		}()
		return l.scraped(url, `nitrox_apps{status="changed"} 1`)
	},
	"single runs": (*lab).file,
}

// seen are the states that were made.
func seen(t *testing.T) map[string]state {
	t.Helper()
	made := map[string]state{}
	var mu sync.Mutex
	t.Run("runs", func(t *testing.T) {
		for name, of := range states {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := of(newLab(t))
				mu.Lock()
				defer mu.Unlock()
				made[name] = s
			})
		}
	})
	if len(made) != len(states) {
		t.FailNow()
	}
	return made
}

const (
	step   = time.Minute
	normal = 2 * time.Hour // before what a case is about
	lasts  = 5 * time.Hour
)

// stretch is a time for which a target is in a state.
type stretch struct {
	state
	lasts time.Duration
}

// target is what is scraped, from one stretch to the next. One without metrics is
// scraped for nothing.
type target struct {
	instance string
	history  []stretch
}

// memory is a storage of what was scraped.
type memory []storage.Series

func remember(began time.Time, targets ...target) (m memory) {
	type series struct {
		labels  labels.Labels
		samples []chunks.Sample
	}
	all := map[string]*series{}
	for _, target := range targets {
		at := began
		for _, s := range target.history {
			for key, v := range s.after {
				id := target.instance + key
				if all[id] == nil {
					l := map[string]string{"__name__": v.name, "job": "nitrox", "instance": target.instance}
					maps.Copy(l, v.labels)
					all[id] = &series{labels: labels.FromMap(l)}
				}
				for now := at; now.Before(at.Add(s.lasts)); now = now.Add(step) {
					value := s.value(key, float64(at.Unix()), float64(now.Unix()))
					all[id].samples = append(all[id].samples, point{now.UnixMilli(), value})
				}
			}
			at = at.Add(s.lasts)
		}
	}
	for _, s := range all {
		m = append(m, storage.NewListSeries(s.labels, s.samples))
	}
	return m
}

func (m memory) Querier(int64, int64) (storage.Querier, error) { return m, nil }

func (m memory) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, s := range m {
		if !slices.ContainsFunc(matchers, func(want *labels.Matcher) bool { return !want.Matches(s.Labels().Get(want.Name)) }) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &set{left: found}
}

func (memory) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (memory) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (memory) Close() error { return nil }

// set is what a selector finds.
type set struct {
	at   storage.Series
	left []storage.Series
}

func (s *set) Next() bool {
	if len(s.left) == 0 {
		return false
	}
	s.at, s.left = s.left[0], s.left[1:]
	return true
}

func (s *set) At() storage.Series              { return s.at }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }

// point is a sample of a storage.
type point struct {
	t int64
	v float64
}

func (p point) T() int64                    { return p.t }
func (p point) ST() int64                   { return 0 }
func (p point) F() float64                  { return p.v }
func (point) H() *histogram.Histogram       { return nil }
func (point) FH() *histogram.FloatHistogram { return nil }
func (point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample         { return p }

// fired are the alerts that fire at any time, with the labels of one.
func fired(t *testing.T, rules []rulefmt.Rule, m memory, began, end time.Time) map[string]labels.Labels {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e8, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})
	t.Cleanup(func() { engine.Close() })
	all := map[string]labels.Labels{}
	for _, rule := range rules {
		q, err := engine.NewRangeQuery(t.Context(), m, nil, rule.Expr, began, end, step)
		if err != nil {
			t.Fatalf("%s: %v", rule.Alert, err)
		}
		found, err := q.Exec(t.Context()).Matrix()
		if err != nil {
			t.Errorf("%s: %v", rule.Alert, err)
		}
		for _, series := range found {
			since := int64(0)
			for i, f := range series.Floats {
				if i == 0 || f.T-series.Floats[i-1].T > step.Milliseconds() {
					since = f.T
				}
				if f.T-since >= time.Duration(rule.For).Milliseconds() {
					all[rule.Alert] = series.Metric
				}
			}
		}
		q.Close()
	}
	return all
}

// Each alert fires in the states that it is for, and in no other; none fires for a state
// that lasts for a minute.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	made, rules := seen(t), rules(t)
	good := made["in step"]
	restarts := []stretch{{good, normal}}
	for i := range 30 {
		restarts = append(restarts, stretch{good.with("process_start_time_seconds", float64(i)), 10 * time.Minute})
	}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	then := func(s state) []target { return []target{{"a", []stretch{{good, normal}, {s, lasts}}}} }
	cases := map[string]struct {
		targets []target
		want    string
	}{
		"in step":           {then(good), ""},
		"a file is wrong":   {then(made["a file is wrong"]), "FilesUnusable"},
		"broken mapping":    {then(made["the mapping is wrong"]), "FilesUnusable"},
		"scaled to zero":    {then(made["scaled to zero"]), ""},
		"source down":       {then(made["source down"]), "Failing SourceDown"},
		"stream down":       {then(made["stream down"]), "StreamDown"},
		"netscaler down":    {then(made["netscaler down"]), "Failing NetScalerDown"},
		"held":              {then(made["held"]), "Held"},
		"dry run":           {then(made["dry run"]), "Pending"},
		"nothing serves":    {then(made["nothing serves"]), "NothingServes"},
		"nobody claims it":  {then(made["nobody claims it"]), "Orphans"},
		"unsaved":           {then(made["unsaved"]), "Failing NetScalerDown Unsaved"},
		"little memory":     {then(made["little memory"]), "Memory"},
		"two writers":       {then(made["two writers"]), "Undone"},
		"restarts":          {[]target{{"a", restarts}}, "Restarts"},
		"hangs":             {then(good.frozen()), "Failing Stopped"},
		"gone":              {then(state{}), "Gone"},
		"never there":       {nil, "Gone"},
		"single runs":       {then(made["single runs"]), ""},
		"no more runs":      {then(made["single runs"].frozen()), "Failing Stopped"},
		"nobody leads":      {then(good.frozen().with("nitrox_leading", 0)), "NoLeader"},
		"a replica, leader": {append(then(good.frozen().with("nitrox_leading", 0)), target{"b", []stretch{{good, normal + lasts}}}), ""},
	}
	firing := map[string]bool{}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			end := began.Add(normal + lasts)
			all := fired(t, rules, remember(began, c.targets...), began, end)
			var got []string
			for _, alert := range slices.Sorted(maps.Keys(all)) {
				got, firing[alert] = append(got, strings.TrimPrefix(alert, "Nitrox")), true
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("fire %q, want %q", got, c.want)
			}
			for alert, l := range all {
				rule := rules[slices.IndexFunc(rules, func(r rulefmt.Rule) bool { return r.Alert == alert })]
				for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(fmt.Sprint(rule.Annotations), -1) {
					if !l.Has(m[1]) && alert != "NitroxGone" {
						t.Errorf("%s tells of the label %s, and has %s", alert, m[1], l)
					}
				}
			}
			if len(c.targets) == 0 || len(c.targets[0].history) != 2 {
				return
			}
			bad := c.targets[0].history[1].state
			passing := target{"a", []stretch{{good, normal}, {bad, step}, {good, lasts}}}
			if all := fired(t, rules, remember(began, passing), began, end); len(all) > 0 {
				t.Errorf("for a minute: %v", all)
			}
		})
	}
	for _, rule := range rules {
		if !firing[rule.Alert] {
			t.Errorf("%s never fires", rule.Alert)
		}
	}
	t.Run("dashboard", func(t *testing.T) { dashboard(t, made) })
	t.Run("names", func(t *testing.T) {
		for _, rule := range rules {
			served(t, made, rule.Alert, rule.Expr)
		}
	})
}

// served finds what an expression selects among what was served.
func served(t *testing.T, made map[string]state, where, text string) {
	t.Helper()
	expr, err := parser.ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	names := map[string]bool{"job": true, "instance": true}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		found := false
		for _, s := range made {
			for _, v := range s.after {
				if v.name != selector.Name {
					continue
				}
				for name := range v.labels {
					names[name] = true
				}
				found = found || !slices.ContainsFunc(selector.LabelMatchers, func(m *labels.Matcher) bool {
					value, has := v.labels[m.Name]
					return m.Name != "__name__" && m.Name != "job" && m.Name != "instance" && (!has || !m.Matches(value))
				})
			}
		}
		if !found {
			t.Errorf("%s: nothing is served that %s selects", where, selector)
		}
		return nil
	})
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		var by []string
		switch node := node.(type) {
		case *parser.AggregateExpr:
			by = node.Grouping
		case *parser.BinaryExpr:
			if node.VectorMatching != nil {
				by = slices.Concat(node.VectorMatching.MatchingLabels, node.VectorMatching.Include)
			}
		}
		for _, name := range by {
			if !names[name] {
				t.Errorf("%s: nothing that is served has the label %s", where, name)
			}
		}
		return nil
	})
}

// Each alert has a severity and leads to its entry in the runbook, which has no others.
func TestAlertsHaveARunbook(t *testing.T) {
	text, err := os.ReadFile(root + "/docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{}
	for _, rule := range rules(t) {
		want = append(want, rule.Alert)
		if got := "docs/operate.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook"] != got {
			t.Errorf("%s: the runbook is %s, want %s", rule.Alert, rule.Annotations["runbook"], got)
		}
		if s := rule.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", rule.Alert, s)
		}
		if !regexp.MustCompile("(?m)^### " + rule.Alert + "\n\n" + rule.Labels["severity"] + "[.:,]").Match(text) {
			t.Errorf("docs/operate.md has no entry for %s that says %s", rule.Alert, rule.Labels["severity"])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^### (Nitrox\w+)$`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(want, m[1]) {
			t.Errorf("docs/operate.md has an entry for %s, which is no alert", m[1])
		}
	}
}

// Prometheus's own checker takes the rules: it is the one that an operator has.
func TestPromtoolTakesTheRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%v (testdata/e2e/install.sh gets it)", err)
	}
	if err != nil {
		t.Skip(err)
	}
	path, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", path}, {"test", "rules", "promtool.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
