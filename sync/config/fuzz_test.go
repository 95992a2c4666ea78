package config_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nitrox/sync"
	"nitrox/sync/config"
)

// seeds are the files that other tests load.
func seeds(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml", "testdata/syntax/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
}

// FuzzLoad: whatever the file holds, Load ends, does not panic, and either has
// a mapping or problems at places in the file, which show no secret.
func FuzzLoad(f *testing.F) {
	seeds(f)
	schema := schemaOf(f, kinds)
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "nitrox.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load(kinds)
		if err == nil {
			if err := schema.Validate(asJSON(t, text)); err != nil {
				t.Errorf("the schema refuses what Load takes: %v", err)
			}
			if len(m.NetScalers) == 0 || len(m.Sources) == 0 || len(m.Apps) == 0 {
				t.Errorf("an accepted file has nothing to do: %+v", m)
			}
			for _, app := range m.Apps {
				if app.Name == "" || app.Group == "" || len(app.NetScalers) == 0 || len(app.From) == 0 {
					t.Errorf("an accepted app lacks something: %+v", app)
				}
			}
			return
		}
		var problems config.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%v is not Problems", err)
		}
		within(t, file, problems)
		caret(t, problems)
	})
}

// FuzzLimits: whatever a file with limits holds, it is refused or within them, and everything
// else of the mapping is what it is without the file. Nothing of the environment is in it, or
// in a message.
func FuzzLimits(f *testing.F) {
	const main = `
netscalers: {edge: {url: https://192.0.2.10}, core: {url: https://192.0.2.11}}
sources: {lab: {plain: {path: e.json}}, other: {plain: {path: e.json}}}
defaults: {only: [10.0.0.0/8]}
include:
  - {file: team, allow_groups: [sg-*], allow_apps: ["a*", b], netscalers: [edge], sources: [lab], only: [10.1.0.0/16, "2001:db8::/32"]}
apps: [{name: own, service_group: sg-own, netscaler: [edge, core], from: [{source: other, app: a}]}]
`
	seeds(f)
	for _, keys := range []string{
		"service_group: sg-a", "service_group: sg-own", "service_group: SG-OWN", "service_group: other", "service_group: sg-a, only: []", "service_group: sg-a, only: [10.1.2.0/24]",
		"service_group: sg-a, only: 10.1.0.0/15", `service_group: sg-a, only: "::/0"`, "service_group: sg-a, netscaler: core", "service_group: sg-a, netscaler: [edge, edge]",
		"service_group: sg-a, create: {service_type: TCP}", "service_group: sg-a, create: {service_type: TCP, vserver: {}}", "service_group: sg-a, clean_servers: true",
		"service_group: \"sg-${SECRET}\"", "service_group: sg-a, allow_empty: true, max_remove: 100%, drain: \"${SECRET}\"",
	} {
		f.Add([]byte("defaults: {drain: 0s}\napps: [{name: a, " + keys + ", from: [{source: lab, app: a}]}, {name: b, service_group: sg-b, from: [{source: lab, app: \"${SECRET}\"}]}]"))
		f.Add([]byte("apps: [{name: a, " + keys + ", from: [{source: lab, app: a}]}]"))
		f.Add([]byte("defaults: {" + keys + "}\napps: [{name: own, from: [{source: lab, app: a}]}]"))
	}
	limits := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}
	within := func(p netip.Prefix) bool {
		return slices.ContainsFunc(limits, func(l netip.Prefix) bool { return l.Bits() <= p.Bits() && l.Contains(p.Addr()) })
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		for name, text := range map[string][]byte{"nitrox.yaml": []byte(main), "team": text} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m, err := (&config.Files{Names: []string{filepath.Join(dir, "nitrox.yaml")}, Lookup: lookup}).Load(kinds)
		if err != nil {
			t.Fatalf("the file stops all: %v", err)
		}
		if len(m.NetScalers) != 2 || len(m.Sources) != 2 || len(m.Apps) == 0 || m.Apps[0].Name != "own" || len(m.Apps[0].NetScalers) != 2 {
			t.Fatalf("the file changes the others: %+v", m)
		}
		if left := len(m.Unusable) > 0; left && len(m.Apps) > 1 {
			t.Errorf("it is unusable, and served: %+v", m)
		} else if left && !bytes.Contains(text, []byte("s3cr3t")) { // which it may say itself
			if shown := m.Unusable[0].Problems.Text(); strings.Contains(shown, "s3cr3t-value") {
				t.Errorf("a secret of the environment is shown:\n%s", shown)
			}
		}
		for _, a := range m.Apps[1:] {
			switch {
			case !strings.HasPrefix(a.Group, "sg-"), a.Group == "sg-own", a.Name != "b" && !strings.HasPrefix(a.Name, "a"):
				t.Errorf("app %q has group %q", a.Name, a.Group)
			case !slices.Equal(a.NetScalers, []string{"edge"}), a.Policy.CleanServers, a.Create != nil && a.Create.VServer != nil:
				t.Errorf("app %q: %+v", a.Name, a)
			case len(a.Policy.Only) == 0, slices.ContainsFunc(a.Policy.Only, func(p netip.Prefix) bool { return !within(p) }):
				t.Errorf("app %q may have %v", a.Name, a.Policy.Only)
			case slices.ContainsFunc(a.From, func(from sync.From) bool { return from.Source != "lab" }):
				t.Errorf("app %q is from %v", a.Name, a.From)
			case strings.Contains(fmt.Sprintf("%+v", a), "s3cr3t-value") && !bytes.Contains(text, []byte("s3cr3t-value")):
				t.Errorf("app %q has a secret: %+v", a.Name, a)
			}
		}
	})
}
