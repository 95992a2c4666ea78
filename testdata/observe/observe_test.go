// Package observe holds deploy/observe to what the binary serves: each alert is
// evaluated by Prometheus's own engine on metrics that a run was seen to serve, in a
// good state and in bad ones, and each expression of the rules and of the dashboard
// finds its metrics and labels there. It is a module of its own, so that Prometheus is
// none of Nitrox's dependencies.
package observe

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const root = "../.."

// binary is nitrox, built once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "observe")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir, ".")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return filepath.Join(dir, "nitrox"), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// lab is an app of a Marathon on a NetScaler, both played, with a run between them.
type lab struct {
	t       *testing.T
	dir     string
	mapping string       // nitrox.yaml, as a state may add to it
	edge    string       // the NetScaler's URL
	tasks   atomic.Int32 // of the app
	refuses atomic.Bool  // Marathon does not tell of apps
	mute    bool         // nor of events
	env     string       // of what it starts
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, dir: t.TempDir()}
	l.tasks.Store(2)
	l.write("ns.conf", "add serviceGroup sg-shop HTTP\n")
	l.edge = l.starts(`is at (http://[^,]+)`, "simulator", "--listen", "127.0.0.1:0", "--control", "--config", "ns.conf", "--user", "nitrox", "--password", "secret")
	marathon := httptest.NewServer(l)
	t.Cleanup(marathon.Close)
	t.Cleanup(marathon.CloseClientConnections)
	l.mapping = fmt.Sprintf(`
netscalers: {edge: {url: %q, save_every: 1s}}
sources: {lab: {marathon: {urls: [%q]}}}
apps: [{name: shop, netscaler: edge, service_group: sg-shop, wait_up: 0s, drain: 0s, from: [{source: lab, app: /shop}]}]
`, l.edge, marathon.URL)
	l.write("nitrox.yaml", l.mapping)
	return l
}

func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/v2/events" && !l.mute:
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "event: event_stream_attached\ndata: {\"eventType\":\"event_stream_attached\"}\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case r.URL.Path == "/v2/events" || l.refuses.Load():
		http.Error(w, "not now", http.StatusServiceUnavailable)
	default:
		var tasks []string
		for i := range l.tasks.Load() {
			tasks = append(tasks, fmt.Sprintf(`{"id":"shop.%d","appId":"/shop","host":"10.0.0.%d","ports":[31000],"state":"TASK_RUNNING",`+
				`"startedAt":"2026-01-01T00:00:00.000Z","slaveId":"2c4c3cc8-4e2c-4d8e-b4f9-2c6a7b4c8f80-S1"}`, i, i+1))
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"apps":[{"id":"/shop","instances":%d,"networks":[{"mode":"host"}],"portDefinitions":[{"port":0,"protocol":"tcp"}],"tasks":[%s]}]}`,
			len(tasks), strings.Join(tasks, ","))
	}
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) command(args ...string) *exec.Cmd {
	l.t.Helper()
	path, err := binary()
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = l.dir, append(os.Environ(), "NS_USER=nitrox", "NS_PASSWORD=secret", l.env)
	return cmd
}

// starts starts what runs until the end of the test, and returns what it says first
// that the pattern finds.
func (l *lab) starts(pattern string, args ...string) string {
	l.t.Helper()
	cmd := l.command(args...)
	r, w, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	w.Close()
	l.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); r.Close() })
	var said strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if m := regexp.MustCompile(pattern).FindStringSubmatch(lines.Text()); m != nil {
			go io.Copy(io.Discard, r)
			return strings.Join(m[1:], "")
		}
	}
	l.t.Fatalf("%s ended without %s:\n%s", args, pattern, said.String())
	return ""
}

// loop starts one, and returns where it serves its metrics.
func (l *lab) loop(args ...string) string {
	l.t.Helper()
	return l.starts(`msg="serving metrics.*url=(\S+)`, append([]string{"sync", "--config", "nitrox.yaml", "--loop", "1s", "--watch", "--listen", "127.0.0.1:0"}, args...)...) + "/metrics"
}

// control tells the NetScaler what to do.
func (l *lab) control(what, text string) {
	l.t.Helper()
	if err := l.tell(what, text); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) tell(what, text string) error {
	resp, err := http.Post(l.edge+"/simulator/"+what, "application/json", strings.NewReader(text))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s: %s %v", resp.Status, answer, err)
	}
	return nil
}

// state is what was served, twice: what grows from one time to the next goes on growing.
type state struct {
	before, after map[string]sample // by name and labels
	apart         time.Duration
}

type sample struct {
	name   string
	labels map[string]string
	value  float64
	counts bool
}

// scraped is what is served once it is as wanted, each of the texts being in it, and at
// the end of the next pass but one.
func (l *lab) scraped(url string, want ...string) state {
	l.t.Helper()
	first := l.until(url, func(text string) bool {
		return !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(text, w) })
	}, want)
	at := time.Now()
	before := parse(l.t, first)
	passed := func(m map[string]sample) float64 { return m["nitrox_last_pass_timestamp_seconds{}"].value }
	second := l.until(url, func(text string) bool { return passed(parse(l.t, text)) > passed(before)+1.5 }, []string{"another pass"})
	return state{before, parse(l.t, second), time.Since(at)}
}

func (l *lab) until(url string, ok func(string) bool, want []string) string {
	l.t.Helper()
	text := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(url)
		if err != nil {
			l.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			l.t.Fatal(err)
		}
		if text = string(body); ok(text) {
			return text
		}
	}
	l.t.Fatalf("no %q in\n%s", want, text)
	return ""
}

func parse(t *testing.T, text string) map[string]sample {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]sample{}
	for name, family := range families {
		counts := family.GetType() == dto.MetricType_COUNTER || family.GetType() == dto.MetricType_HISTOGRAM
		for _, m := range family.Metric {
			add := func(suffix string, value float64, more ...string) {
				s := sample{name + suffix, map[string]string{}, value, counts}
				for _, l := range m.Label {
					s.labels[l.GetName()] = l.GetValue()
				}
				if more != nil {
					s.labels[more[0]] = more[1]
				}
				all[s.key()] = s
			}
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				add("", m.Counter.GetValue())
			case dto.MetricType_GAUGE:
				add("", m.Gauge.GetValue())
			case dto.MetricType_HISTOGRAM:
				add("_count", float64(m.Histogram.GetSampleCount()))
				add("_sum", m.Histogram.GetSampleSum())
				for _, b := range m.Histogram.Bucket {
					add("_bucket", float64(b.GetCumulativeCount()), "le", fmt.Sprint(b.GetUpperBound()))
				}
			}
		}
	}
	return all
}

func (s sample) key() string {
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(s.labels)) {
		labels = append(labels, fmt.Sprintf("%s=%q", name, s.labels[name]))
	}
	return s.name + "{" + strings.Join(labels, ",") + "}"
}

// with is the state with other values of a metric.
func (s state) with(name string, value float64) state {
	s.after = maps.Clone(s.after)
	for key, v := range s.after {
		if v.name == name {
			v.value = value
			s.after[key] = v
		}
	}
	return s
}

// frozen is the state of a process that does nothing any more.
func (s state) frozen() state { return state{s.after, s.after, s.apart} }

// value is a sample's after the state has lasted so long, at a time (in s).
func (s state) value(key string, began, now float64) float64 {
	v := s.after[key]
	grown := v.value - s.before[key].value
	switch {
	case strings.HasSuffix(v.name, "_timestamp_seconds") && v.value == 0:
		return 0
	case strings.HasSuffix(v.name, "_timestamp_seconds") && grown > 0:
		return now
	case strings.HasSuffix(v.name, "_timestamp_seconds"):
		return began - 60 + v.value - s.after["nitrox_last_pass_timestamp_seconds{}"].value
	case v.counts:
		return v.value + grown/s.apart.Seconds()*(now-began)
	}
	return v.value
}

// file is the state of a file of metrics that single runs write, if they go on.
func (l *lab) file() state {
	l.t.Helper()
	run := func() map[string]sample {
		if out, err := l.command("sync", "--config", "nitrox.yaml", "--metrics-file", "nitrox.prom").CombinedOutput(); err != nil {
			l.t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(filepath.Join(l.dir, "nitrox.prom"))
		if err != nil {
			l.t.Fatal(err)
		}
		return parse(l.t, string(text))
	}
	run()
	return state{run(), run(), time.Minute}
}
