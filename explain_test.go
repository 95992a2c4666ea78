package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"nitrox/netscaler/simulator"
)

// Each file of testdata/explain is a situation: the files of testdata/documents/explain
// that differ, and commands (mv, secondary, nitrox), of which the last is answered with what stands in want. The
// NetScaler is simulated, and Kubernetes and Marathon are what is in api.
func TestExplain(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/explain/*.txtar")
	if err != nil || len(cases) < 12 {
		t.Fatalf("%d situations: %v", len(cases), err)
	}
	for _, file := range cases {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := txtar.Parse([]byte(readFile(t, file)))
			got := explained(t, c)
			for i, line := range strings.Split(got, "\n") {
				if utf8.RuneCountInString(line) > 80 && len(strings.Fields(line)) > 1 && !strings.HasPrefix(strings.TrimSpace(line), `"`) {
					t.Errorf("line %d is wider than 80 columns: %s", i+1, line)
				}
			}
			last := len(c.Files) - 1
			if want := string(c.Files[last].Data); c.Files[last].Name != "want" || got != want {
				if !*update {
					t.Fatalf("got\n%s\nwant\n%s", got, want)
				}
				c.Files[last].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(c), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// explained is what the last command of a situation prints, with its exit code, and
// without what no two runs have the same.
func explained(t *testing.T, c *txtar.Archive) (got string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/documents/explain")); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sim := simulator.New(simulator.Options{NSIP: netip.MustParseAddr("192.168.100.1"), Users: map[string]string{"nsroot": password}})
	if err := sim.Load(strings.NewReader(readFile(t, filepath.Join(dir, "ns.conf")))); err != nil {
		t.Fatal(err)
	}
	edge := httptest.NewServer(sim)
	defer edge.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		http.ServeFile(w, r, filepath.Join(dir, "api", r.URL.Path+".json"))
	}))
	defer api.Close()
	kubeconfig := fmt.Sprintf("{kind: Config, apiVersion: v1, contexts: [{name: prod, context: {cluster: prod}}], clusters: [{name: prod, cluster: {server: %q}}]}", api.URL)
	if err := os.WriteFile(filepath.Join(dir, "kubeconfig"), []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"NETSCALER=" + edge.URL, "MARATHON=" + api.URL, "NS_USER=nsroot", "NS_PASSWORD=" + password}
	for line := range strings.Lines(string(c.Comment)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 3 && words[0] == "mv":
			if err := os.Rename(filepath.Join(dir, words[1]), filepath.Join(dir, words[2])); err != nil {
				t.Fatal(err)
			}
		case line == "secondary\n":
			sim.SetRole("Secondary")
		case len(words) > 1 && words[0] == "nitrox":
			sim.ResetCalls()
			code, out, log := spawned(t, dir, env, words[1:]...)
			for _, call := range sim.Calls() {
				if words[1] != "sync" && call.Method != http.MethodGet && call.Type != "login" && call.Type != "logout" {
					t.Errorf("%s writes: %s %s", line, call.Method, call.Type)
				}
			}
			got = fmt.Sprintf("%s%sexit code %d\n", out, log, code)
		default:
			if !strings.HasPrefix(line, "#") && len(words) > 0 {
				t.Fatalf("what is %q?", line)
			}
		}
	}
	return repeatable(strings.NewReplacer(edge.URL, "http://edge", api.URL, "http://api").Replace(got))
}
