package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler"
	"nitrox/sources/sourcetest"
	"nitrox/sync"
	"nitrox/sync/config"
)

var update = flag.Bool("update", false, "rewrite the expected outputs of testdata")

// secrets are what no message may ever show. The bad files are full of them.
var secrets = []string{"hunter2", "s3cr3t-value", "from-the-environment"}

func lookup(name string) (string, bool) {
	value, set := map[string]string{
		"NS_USER":     "nitrox",
		"NS_PASSWORD": "from-the-environment",
		"SECRET":      "s3cr3t-value",
		"EMPTY":       "",
		"HOST":        "ns.example.com",
		"PORT":        "8080",
		"WEIGHT":      "5",
		"DOLLARS":     "${HOST}",
	}[name]
	return value, set
}

func nothingSet(string) (string, bool) { return "", false }

// golden compares got with the file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if got != string(want) {
		t.Errorf("%s:\n--- got\n%s--- want\n%s", file, got, want)
	}
}

func noSecrets(t *testing.T, of, text string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%s shows the secret %q:\n%s", of, s, text)
		}
	}
}

// bad expects problems, and returns them.
func bad(t *testing.T, file string, lookup func(string) (string, bool)) config.Problems {
	t.Helper()
	m, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load(kinds)
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("Load(%s) = %v, want problems", file, err)
	}
	if m != nil {
		t.Errorf("Load(%s) returned a mapping beside its problems", file)
	}
	return problems
}

func TestBadFilesAreRefusedWithAllTheirProblems(t *testing.T) {
	t.Chdir("testdata/bad")
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d bad files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			environment := lookup
			if file == "no-credentials.yaml" {
				environment = func(name string) (string, bool) {
					if strings.HasPrefix(name, "NS_") {
						return "", false
					}
					return lookup(name)
				}
			}
			problems := bad(t, file, environment)
			within(t, file, problems)
			noSecrets(t, file, problems.Error())
			golden(t, strings.TrimSuffix(file, "yaml")+"txt", problems.Error()+"\n")
		})
	}
}

// within fails if a problem is not at a place in the file, or they are not in
// its order.
func within(t *testing.T, file string, problems config.Problems) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	var before config.Problem
	for _, p := range problems {
		if p.File != file || p.Message == "" || strings.ContainsAny(p.Message, "\n\r") {
			t.Errorf("%+v is not a problem that can be read", p)
		}
		if p.Line == 0 && p.Column == 0 {
			continue
		}
		if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len([]rune(lines[p.Line-1]))+1 {
			t.Errorf("%s is not in the file, which has %d lines", p, len(lines))
		}
		if p.Line < before.Line || p.Line == before.Line && p.Column < before.Column {
			t.Errorf("%s comes after %s", p, before)
		}
		before = p
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("large.yaml", strings.Repeat("# filler\n", 10<<20/9+1))
	write("latin1.yaml", "apps:\n  - name: caf\xe9\n")
	write("utf16.yaml", "\xff\xfea\x00p\x00p\x00s\x00:\x00")
	write("nul.yaml", "apps:\n  - name: a\x00b\n")
	write("separator.yaml", "apps: \u2028\n")
	write("bom-inside.yaml", "apps:\r\n\ufeff  - name: shop\n")
	write("old-mac.yaml", "apps:\r  - name: shop\r")
	if err := os.Mkdir("folder", 0o755); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"missing.yaml":    `missing.yaml: no such file; give the mapping file with --config or NITROX_CONFIG, or run "nitrox demo" to see one at work`,
		"folder":          "folder: there is no *.yaml or *.yml file in this folder; name the one that has them",
		"nul.yaml/x":      "nul.yaml/x: not a directory; create it, or correct its name",
		"large.yaml":      "large.yaml: is larger than 10 MB, too large for a mapping file",
		"latin1.yaml":     "latin1.yaml:2:14: is not UTF-8 from here on; save the file as UTF-8",
		"utf16.yaml":      "utf16.yaml:1:1: is UTF-16, as some Windows programs write it; save the file as UTF-8",
		"nul.yaml":        "nul.yaml:2:12: contains the invisible character U+0000; remove it",
		"separator.yaml":  "separator.yaml:1:7: contains the invisible character U+2028; remove it",
		"bom-inside.yaml": "bom-inside.yaml:2:1: contains the invisible character U+FEFF; remove it",
		"old-mac.yaml":    "old-mac.yaml:1:6: contains the invisible character U+000D; remove it",
	} {
		if got := bad(t, file, lookup).Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAFileThatOpensAndCannotBeRead(t *testing.T) {
	const file = "/proc/self/mem"
	if _, err := os.Stat(file); err != nil {
		t.Skip("this system has no file that fails so:", err)
	}
	if got, want := bad(t, file, lookup).Error(), "/proc/self/mem: input/output error"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestALargeFileOfNonsenseEndsSoon(t *testing.T) {
	sourcetest.Thorough(t)
	dir := t.TempDir()
	many := func(part string) string { return strings.Repeat(part, 200_000/len(part)) }
	for name, text := range map[string]string{
		"deep lists":    many("["),
		"deep mappings": many("{a: "),
		"short lists":   many("- "),
		"many aliases":  many("- &a [*a]\n"),
		"questions":     many("? "),
		"comments":      many("#\n"),
		"long names":    "sources:\n  ? " + many("a") + "\n  : {plain: {path: e.json}}\napps: [{name: a, from: [{source: b" + many("a") + "}]}]",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "large.yaml")
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			bad(t, file, lookup)
		})
	}
}

func TestGoodFiles(t *testing.T) {
	t.Chdir("testdata/good")
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d good files, %v", len(files), err)
	}
	if err := os.Chmod("password", 0o600); err != nil { // a checkout has it as it likes
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			m, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load(kinds)
			if err != nil {
				t.Fatal(err)
			}
			for name, n := range m.NetScalers {
				if _, err := netscaler.Open(n.Config); err != nil {
					t.Errorf("the client does not take what the file may say of %s: %v", name, err)
				}
			}
			golden(t, strings.TrimSuffix(file, "yaml")+"txt", dump(t, m))
		})
	}
}

// dump is all that a mapping says, in a form to read. What a source and its
// queries are is what their poll tells.
func dump(t *testing.T, m *config.Mapping) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.NetScalers)) {
		n := m.NetScalers[name]
		c := n.Config
		fmt.Fprintf(&b, "netscaler %s: %s as %s, password %v\n", name, strings.Join(c.URLs, " "), c.Username, c.Password)
		if c.Instance.IsValid() {
			fmt.Fprintf(&b, "  a Console, for %v\n", c.Instance)
		}
		fmt.Fprintf(&b, "  ca %q, server %q, insecure %t, partition %q, timeout %s\n", c.CAFile, c.ServerName, c.InsecureSkipVerify, c.Partition, c.Timeout)
		for _, pin := range c.CertificateSHA256 {
			fmt.Fprintf(&b, "  trusts %s\n", pin)
		}
		fmt.Fprintf(&b, "  save %t, every %s\n", n.Save, n.SaveEvery)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Sources)) {
		fmt.Fprintf(&b, "source %s: timeout %s\n", name, m.Sources[name].Timeout)
	}
	for _, a := range m.Apps {
		p := a.Policy
		fmt.Fprintf(&b, "app %s: group %q on %s\n", a.Name, a.Group, strings.Join(a.NetScalers, " "))
		fmt.Fprintf(&b, "  drain %s, wait_up %s, allow_empty %t, absent is empty %t, max_remove %s, only %v, paused %t\n",
			p.Drain, p.WaitUp, p.AllowEmpty, p.AbsentIsEmpty, p.MaxRemove, p.Only, p.Paused)
		if p.CleanServers {
			fmt.Fprintln(&b, "  cleans servers")
		}
		if c := a.Create; c != nil {
			fmt.Fprintf(&b, "  created as %s, desired state %t, drain %s", c.ServiceType, c.MemberList, c.Drain)
			if c.VServer != nil {
				fmt.Fprintf(&b, ", vserver %s at %s, method %q", c.VServer.Name, c.VServer.Addr, c.VServer.Method)
			}
			fmt.Fprintln(&b)
		}
		for _, f := range a.From {
			answers, err := m.Sources[f.Source].Poll(t.Context(), []any{f.Query}, false)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  from %s %s: %s, weight %d", f.Source, answers[0].LeftOut[0].What, answers[0].LeftOut[0].Why, f.Weight)
			if f.Order != 0 {
				fmt.Fprintf(&b, ", order %d", f.Order)
			}
			fmt.Fprintln(&b)
		}
	}
	for _, w := range m.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String()
}

const minimal = `
netscalers:
  edge: {url: https://192.0.2.10, username: nitrox, %s}
sources:
  lab: {plain: {path: endpoints.json}}
apps:
  - name: shop
    from: [{source: lab, app: shop}]
`

// load writes text to a file beside a secret and loads it.
func load(t *testing.T, text string, lookup func(string) (string, bool)) (*config.Mapping, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "nitrox.yaml")
	for name, text := range map[string]string{file: text, filepath.Join(dir, "password"): "hunter2\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return (&config.Files{Names: []string{file}, Lookup: lookup}).Load(kinds)
}

func TestThePasswordArrivesAndIsNeverPrinted(t *testing.T) {
	for name, c := range map[string]struct{ keys, want string }{
		"file":                {"password_file: password", "hunter2"},
		"variable":            {`password: "${SECRET}"`, "s3cr3t-value"},
		"default":             {"partition: web", "from-the-environment"},
		"a value is a value":  {`password: "${DOLLARS}"`, "${HOST}"},
		"file by a variable":  {`password_file: "${EMPTY}password"`, "hunter2"},
		"file wins over NS_*": {"password_file: ./password", "hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := load(t, fmt.Sprintf(minimal, c.keys), lookup)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.NetScalers["edge"].Config.Password.Reveal()
			if err != nil || got != c.want {
				t.Errorf("the password is %q, %v, want %q", got, err, c.want)
			}
			j, err := json.Marshal(m.NetScalers)
			if err != nil {
				t.Fatal(err)
			}
			noSecrets(t, "JSON", string(j))
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
				noSecrets(t, verb, fmt.Sprintf(verb, m))
				noSecrets(t, verb, fmt.Sprintf(verb, m.NetScalers["edge"].Config))
			}
		})
	}
}

func TestMissingCredentialsNameTheThreeWays(t *testing.T) {
	_, err := load(t, fmt.Sprintf(minimal, "partition: web"), nothingSet)
	if err == nil {
		t.Fatal("no error")
	}
	for _, way := range []string{"password_file", "password: ${VARIABLE}", "NS_PASSWORD"} {
		if !strings.Contains(err.Error(), way) {
			t.Errorf("%v\ndoes not name %s", err, way)
		}
	}
}

func TestWhatIsWrongWithDefaultsIsToldOnce(t *testing.T) {
	_, err := load(t, fmt.Sprintf(minimal, "partition: web")+"defaults: {drain: 1500ms}\n", lookup)
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 1 {
		t.Errorf("got %v, want one problem", err)
	}
}

func TestDefaultsAreThoseOfTheCore(t *testing.T) {
	m, err := load(t, fmt.Sprintf(minimal, "partition: web"), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Apps[0].Policy; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", sync.DefaultPolicy) {
		t.Errorf("got %+v, want %+v", got, sync.DefaultPolicy)
	}
}

func TestAnyWayToWriteAFileLoads(t *testing.T) {
	text := fmt.Sprintf(minimal, "partition: web")
	for name, text := range map[string]string{
		"byte order mark": "\ufeff" + text,
		"Windows":         strings.ReplaceAll(text, "\n", "\r\n"),
		"document marks":  "---" + text + "...\n",
		"comments":        "# before\n" + strings.ReplaceAll(text, "\n", " # here\n") + "# after",
		"JSON":            `{"netscalers": {"edge": {"url": "https://192.0.2.10"}}, "sources": {"lab": {"plain": {"path": "e.json"}}}, "apps": [{"name": "shop", "from": [{"source": "lab", "app": "shop"}]}]}`,
	} {
		if _, err := load(t, text, lookup); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
