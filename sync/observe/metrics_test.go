package observe_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"nitrox/netscaler/simulator"
	"nitrox/sync"
	"nitrox/sync/observe"
)

// ours are the lines of the metrics that are not the Go runtime's, without what
// depends on the build.
func ours(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "nitrox_") {
			lines = append(lines, regexp.MustCompile(`goversion="[^"]*"`).ReplaceAllString(line, `goversion="go"`))
		}
	}
	return strings.Join(lines, "")
}

// lint holds metrics to the conventions of Prometheus.
func lint(t *testing.T, text string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsTellWhatThePassesFoundAndDid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := mixed(t, anHour)
		defer s.close()
		text := s.get("/metrics")
		lint(t, ours(text))
		// How many calls it takes is the client's business.
		golden(t, "testdata/metrics.golden", regexp.MustCompile(`(?m)^nitrox_nitro_call.*\n`).ReplaceAllString(ours(text), ""))
		has(t, text, `nitrox_nitro_calls_total{kind="save nsconfig",netscaler="core",outcome="ok"} 2`,
			`nitrox_nitro_call_duration_seconds_count{netscaler="core"}`)
		has(t, text, "go_goroutines", "process_start_time_seconds")
	})
}

func TestADryRunIsDriftAndNoChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"})
		s.say("prod", "shop", 1, 2)
		s.Record(s.Plan(t.Context(), nil), time.Now())
		has(t, s.get("/metrics"), "nitrox_dry_run 1\n", `nitrox_drift_changes{netscaler="edge",op="bind"} 2`,
			`nitrox_changes_total{op="bind",outcome="made"} 0`, `nitrox_apps{status="pending"} 1`)
		has(t, s.get("/"), "dry run: nothing is changed", "1 of 1 service group would change", "missing")
		s.close()
	})
}

// Runs by a timer count as one that never ended: their file goes on.
func TestTheMetricsFileGoesOnFromRunToRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "nitrox.prom")
		s := newSite(t, sync.App{Name: "shop"})
		run := func() string {
			// What a one-shot run is: it knows no interval and nothing of before.
			s.Observer = observe.New(observe.Options{Version: "v1.2.3", Apps: s.Apps})
			s.pass()
			if err := s.WriteMetricsFile(file); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lint(t, string(text))
			hasNot(t, string(text), "go_goroutines", "nitrox_interval_seconds", password, token)
			return string(text)
		}
		s.say("prod", "shop", 1, 2)
		time.Sleep(time.Second)
		has(t, run(), `nitrox_changes_total{op="bind",outcome="made"} 2`,
			`nitrox_nitro_calls_total{kind="login",netscaler="edge",outcome="ok"} 1`,
			"nitrox_last_success_timestamp_seconds 9.46684801e+08\n", `nitrox_pass_duration_seconds_count{phase="all"} 1`)
		time.Sleep(time.Hour)
		s.broken["prod"] = errors.New("503 Service Unavailable")
		text := run()
		has(t, text, `nitrox_changes_total{op="bind",outcome="made"} 2`,
			`nitrox_nitro_calls_total{kind="login",netscaler="edge",outcome="ok"} 2`,
			`nitrox_nitro_calls_total{kind="save nsconfig",netscaler="edge",outcome="ok"} 1`,
			"nitrox_last_success_timestamp_seconds 9.46684801e+08\n", "nitrox_last_pass_timestamp_seconds 9.46688401e+08\n",
			`nitrox_source_last_success_timestamp_seconds{source="prod"} 9.46684801e+08`,
			`nitrox_netscaler_last_save_timestamp_seconds{netscaler="edge"} 9.46684801e+08`, `nitrox_source_up{source="prod"} 0`,
			`nitrox_passes_total{result="failed"} 1`, `nitrox_passes_total{result="ok"} 1`, `nitrox_pass_duration_seconds_count{phase="all"} 2`,
			`nitrox_pass_duration_seconds_bucket{phase="all",le="+Inf"} 2`)

		// A loop writes its own file again after each pass, and counts nothing twice.
		s.pass()
		for range 2 {
			if err := s.WriteMetricsFile(file); err != nil {
				t.Fatal(err)
			}
		}
		again, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		has(t, string(again), `nitrox_passes_total{result="failed"} 2`, `nitrox_passes_total{result="ok"} 1`)
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o644 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		s.close()
	})
}

// What a reboot of the NetScaler would lose is told until it is saved, also by runs
// that know nothing of the one that made it.
func TestChangesThatAreNotSavedAreTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "nitrox.prom")
		s := newSite(t, sync.App{Name: "shop"})
		run := func(saved, unsaved string) {
			t.Helper()
			s.pass()
			if err := s.WriteMetricsFile(file); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			has(t, string(text), `nitrox_netscaler_last_save_timestamp_seconds{netscaler="edge"} `+saved+"\n",
				`nitrox_netscaler_last_unsaved_timestamp_seconds{netscaler="edge"} `+unsaved+"\n")
		}
		s.say("prod", "shop", 1)
		run("9.466848e+08", "0")
		time.Sleep(time.Minute)
		s.say("prod", "shop", 1, 2)
		run("9.466848e+08", "9.4668486e+08") // save_every
		time.Sleep(time.Hour)
		s.sims["edge"].SetFault(simulator.Fault{Type: "nsconfig", Action: "save", Code: 1})
		run("9.466848e+08", "9.4668846e+08")

		time.Sleep(time.Minute)
		s.Observer = observe.New(observe.Options{Apps: s.Apps})
		s.NetScalers["edge"].Save = false // a run that has nothing to save
		run("9.466848e+08", "9.4668846e+08")
		s.NetScalers["edge"].Save = true
		s.sims["edge"].ClearFaults()
		time.Sleep(time.Minute)
		run("9.4668858e+08", "9.4668846e+08")
		s.close()
	})
}

func TestTheMetricsFileReplacesNothingThatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	o := observe.New(observe.Options{Apps: []sync.App{{Name: "shop", NetScalers: []string{"edge"}}}})
	mapping := filepath.Join(dir, "nitrox.yaml")
	others := filepath.Join(dir, "others.prom")
	empty := filepath.Join(dir, "empty.prom")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(mapping, "apps:\n- name: shop\n")
	write(others, "# TYPE backups_total counter\nbackups_total 3\n")
	write(empty, "")
	for _, file := range []string{mapping, others} {
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.WriteMetricsFile(file); err == nil || !strings.Contains(err.Error(), "was not written by Nitrox") {
			t.Errorf("%s: %v", file, err)
		}
		if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
			t.Errorf("%s is now %q", file, after)
		}
	}
	if err := o.WriteMetricsFile(empty); err != nil {
		t.Error(err)
	}
	if err := o.WriteMetricsFile(filepath.Join(dir, "missing", "nitrox.prom")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a folder that is not there: %v", err)
	}
	// What is no file of its own is neither waited for nor shown.
	pipe, link := filepath.Join(dir, "pipe.prom"), filepath.Join(dir, "link.prom")
	if err := errors.Join(exec.Command("mkfifo", pipe).Run(), os.Symlink(mapping, link)); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{dir, pipe, link} {
		if err := o.WriteMetricsFile(path); err == nil || !strings.Contains(err.Error(), "is not a regular file") || strings.Contains(err.Error(), "apps") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if target, err := os.Readlink(link); err != nil || target != mapping {
		t.Errorf("the link now leads to %q: %v", target, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

// Who owns a file chooses its name, and may choose another each time: how many cannot be
// used is told, and not which.
func TestFilesThatCannotBeUsedAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"})
		defer s.close()
		s.say("prod", "shop", 1)
		for _, files := range []map[string]error{{"teams/a.yaml": errors.New("bad"), "teams/b.yaml": errors.New("bad")}, nil} {
			s.Unusable = files
			s.pass()
			text := s.get("/metrics")
			has(t, text, fmt.Sprintf("nitrox_mapping_files_unusable %d\n", len(files)), `nitrox_apps{status="failed"} 0`)
			hasNot(t, text, "teams/")
		}
		s.Refused(true)
		has(t, s.get("/metrics"), "nitrox_mapping_files_unusable 1\n")
		s.Refused(false)
		has(t, s.get("/metrics"), "nitrox_mapping_files_unusable 0\n")
	})
}

// The number of series follows from the mapping, not from what sources say.
func TestCardinalityIsBoundedByTheMapping(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := thousand(t)
		defer s.close()
		text := ours(s.get("/metrics"))
		series := 0
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				series++
			}
		}
		if series > 1000*3+200 {
			t.Errorf("%d series for 1,000 apps", series)
		}
		hasNot(t, text, "worker", "10.0.")
	})
}
