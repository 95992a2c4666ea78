package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// Each line about a change, made or failed, says what an audit asks for, in text and in
// JSON, and so does the report; the log begins with what the run goes by.
func TestEachChangeIsTracedBack(t *testing.T) {
	const mapping = `netscalers: {balancer: {url: "${NETSCALER}"}}
sources: {lab: {file: {path: endpoints.json}}}
apps:
  - {name: shop, service_group: sg-shop, drain: 5s, from: [{source: lab, app: shop}]}
  - {name: full, service_group: sg-full, from: [{source: lab, app: full}]}
  - {name: made, service_group: sg-made, create: {service_type: HTTP}, from: [{source: lab, app: made}]}
`
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(mapping)))
	for _, format := range []string{"text", "json"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "nitrox.yaml")
		for name, text := range map[string]string{"nitrox.yaml": mapping, "endpoints.json": `{"apps": {"shop": ["10.0.0.1:80", "10.0.0.2:80"], "full": ["10.0.1.1:80"], "made": ["10.0.2.1:80"]}}`} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sim := simulator.New(simulator.Options{})
		if err := sim.Load(strings.NewReader("add serviceGroup sg-shop HTTP\nbind serviceGroup sg-shop 10.0.0.1 80\nbind serviceGroup sg-shop 10.0.0.3 80\nadd serviceGroup sg-full HTTP\n")); err != nil {
			t.Fatal(err)
		}
		sim.SetFault(simulator.Fault{Command: "^bind serviceGroup sg-full", Code: 435, Message: "Maximum services bound to service group exceeded", Status: 599})
		edge := httptest.NewServer(sim)
		t.Cleanup(edge.Close)
		_, out, log := nitrox(t, t.Context(), map[string]string{"NETSCALER": edge.URL, "NS_USER": "nsroot", "NS_PASSWORD": "nsroot"},
			"sync", "-c", file, "-o", "json", "--log-format", format)

		var report struct {
			Run struct {
				ID, Version string
				Pass        int
				Mapping     struct{ File, Digest string }
			}
			Apps []struct {
				Node      string
				DefinedAt string `json:"defined_at"`
				Changes   []struct {
					Op, Address, Why, Evidence, Error string
					Made                              bool
					Took                              float64
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatal(err)
		}
		if r := report.Run; len(r.ID) != 12 || r.Pass != 1 || r.Version == "" || r.Mapping.File != file || r.Mapping.Digest != digest {
			t.Errorf("the report is of %+v", r)
		}
		changes := 0
		for i, a := range report.Apps {
			if a.Node != edge.URL || a.DefinedAt != fmt.Sprintf("%s:%d", file, i+4) {
				t.Errorf("%+v", a)
			}
			for _, c := range a.Changes {
				changes++
				if c.Address != "" && (c.Why == "" || c.Evidence == "" || c.Took == 0 || c.Made == (c.Error != "")) {
					t.Errorf("%+v", c)
				}
			}
		}
		begins, lines := 0, 0
		for line := range strings.Lines(log) {
			said := attributes(t, format, line)
			if said["msg"] == "the run begins" {
				begins++
				if host, _ := os.Hostname(); said["digest"] != digest || said["run"] != report.Run.ID || said["host"] != host || said["mapping"] != file || said["version"] == "" || said["command"] != "sync" {
					t.Errorf("it begins with %s", line)
				}
			}
			if said["op"] == "" {
				continue
			}
			lines++
			for key, want := range map[string]string{
				"run": report.Run.ID, "pass": "1", "version": report.Run.Version, "digest": digest[:12], "node": edge.URL, "netscaler": "balancer",
				"app": ".", "group": ".", "mapping": regexp.QuoteMeta(file) + ":[456]", "outcome": "made|failed", "took": ".",
			} {
				if !regexp.MustCompile("^(" + want + ")").MatchString(said[key]) {
					t.Errorf("%s: %s is %q in %s", format, key, said[key], line)
				}
			}
			if said["member"] == "" && said["what"] == "" || said["member"] != "" && (said["why"] == "" || said["evidence"] == "") || (said["outcome"] == "failed") != (said["error"] != "") {
				t.Error(line)
			}
		}
		if begins != 1 || lines != changes || changes < 5 {
			t.Errorf("%s: %d lines of %d changes, %d beginnings:\n%s", format, lines, changes, begins, log)
		}
	}
}

// attributes are those of a line of the log.
func attributes(t *testing.T, format, line string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if format == "json" {
		var values map[string]any
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for key, v := range values {
			all[key] = fmt.Sprint(v)
		}
		return all
	}
	for _, m := range regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*"|\S+)`).FindAllStringSubmatch(line, -1) {
		all[m[1]] = strings.Trim(m[2], `"`)
	}
	return all
}
