package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/sources/all"
	"nitrox/sources/sourcetest"
	"nitrox/sync/config"
)

// loadAll loads a mapping of files, by name; nitrox.yaml is the first.
func loadAll(t *testing.T, files map[string]string) (*config.Mapping, error) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return (&config.Files{Names: []string{"nitrox.yaml"}, Lookup: lookup}).Load(all.Kinds)
}

// A namespace is one, and no beginning of another's name.
func TestNamespacesOfQueries(t *testing.T) {
	for query, want := range map[string]bool{
		"source: k, service: shop/web": true, "source: k, service: shop2/web": false, "source: k, service: bank/shop": false, "source: k, service: group/web": false,
		"source: m, app: /shop/web": true, "source: m, app: /shop/a/b": true, "source: m, app: /shop": false, "source: m, app: /shop2/web": false,
		"source: m, app: /bank/shop/web": false, "source: m, app: /group/sub/web": true, "source: m, app: /group/web": false,
		"source: d, service: shop": false, `source: f, app: shop/web`: false,
	} {
		m, err := loadAll(t, map[string]string{
			"nitrox.yaml": `
netscalers: {edge: {url: https://192.0.2.10}}
sources:
  k: {kubernetes: {kubeconfig: k.yaml}}
  m: {marathon: {urls: [https://m.example.com]}}
  d: {docker: {host: "tcp://10.0.0.5:2375"}}
  f: {file: {path: f.json}}
include: [{file: team.yaml, allow_groups: ["*"], namespaces: [shop, /group/sub/]}]
`,
			"team.yaml": fmt.Sprintf("apps: [{name: a, from: [{%s}]}]\n", query),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(m.Unusable) == 0; got != want {
			t.Errorf("%s: %t, want %t: %+v", query, got, want, m.Unusable)
		}
	}
}

// What an app's networks become: its own within the limits, the limits', or what these have in
// common with the defaults of the file that includes it.
func TestNetworksWithinLimits(t *testing.T) {
	for name, c := range map[string]struct{ defaults, limit, own, app, want string }{
		"nothing but the limit":       {limit: "[10.1.0.0/16]", want: "[10.1.0.0/16]"},
		"wider defaults":              {defaults: "[10.0.0.0/8]", limit: "[10.1.0.0/16]", want: "[10.1.0.0/16]"},
		"narrower defaults":           {defaults: "[10.1.4.0/24, 192.0.2.0/24]", limit: "[10.1.0.0/16]", want: "[10.1.4.0/24]"},
		"defaults of its own":         {limit: "[10.1.0.0/16]", own: "10.1.9.0/24", want: "[10.1.9.0/24]"},
		"no networks by its defaults": {limit: "[10.1.0.0/16]", own: "[]", want: "[10.1.0.0/16]"},
		"an app's own":                {limit: "[10.1.0.0/16, 10.2.0.0/16]", own: "10.1.9.0/24", app: "10.2.9.0/24", want: "[10.2.9.0/24]"},
		"none of an app":              {limit: "[10.1.0.0/16]", own: "10.1.9.0/24", app: "[]", want: "[10.1.9.0/24]"},
		"no limit":                    {defaults: "[10.0.0.0/8]", app: "172.16.0.0/12", want: "[172.16.0.0/12]"},
		"defaults, without a limit":   {defaults: "[10.0.0.0/8]", want: "[10.0.0.0/8]"},
		"both versions":               {limit: `[10.1.0.0/16, "2001:db8::/32"]`, app: `["2001:db8:1::/48"]`, want: "[2001:db8:1::/48]"},
	} {
		t.Run(name, func(t *testing.T) {
			only := func(networks string) string {
				if networks == "" {
					return ""
				}
				return ", only: " + networks
			}
			m, err := loadAll(t, map[string]string{
				"nitrox.yaml": fmt.Sprintf("netscalers: {edge: {url: https://192.0.2.10}}\nsources: {f: {file: {path: f.json}}}\n"+
					"defaults: {drain: 1s%s}\ninclude: [{file: team.yaml, allow_groups: [a]%s}]\n", only(c.defaults), only(c.limit)),
				"team.yaml": fmt.Sprintf("defaults: {drain: 2s%s}\napps: [{name: a%s, from: [{source: f, app: a}]}]\n", only(c.own), only(c.app)),
			})
			if err != nil || len(m.Unusable) > 0 {
				t.Fatal(err, m)
			}
			if got := fmt.Sprint(m.Apps[0].Policy.Only); got != c.want {
				t.Errorf("only is %s, want %s", got, c.want)
			}
			if got := m.Apps[0].Policy.Drain.String(); got != "2s" {
				t.Errorf("drain is %s", got)
			}
		})
	}
}

// While a file cannot be used, what its apps may claim is its own still.
func TestGroupsOfAFileThatIsLeftOutStayClaimed(t *testing.T) {
	m, err := loadAll(t, map[string]string{
		"nitrox.yaml": "netscalers: {edge: {url: https://192.0.2.10}}\nsources: {f: {file: {path: f.json}}}\n" +
			"include: [{file: shop.yaml, allow_groups: [sg-shop-*]}, {file: bank.yaml, allow_groups: [sg-bank-*]}]\n",
		"shop.yaml": "apps: [{name: shop, service_group: sg-bank-a, from: [{source: f, app: a}]}]\n",
		"bank.yaml": "apps: [{name: bank, service_group: sg-bank-a, from: [{source: f, app: a}]}]\n",
	})
	if err != nil || len(m.Unusable) != 1 || len(m.Apps) != 1 {
		t.Fatal(err, m)
	}
	for group, want := range map[string]string{"sg-shop-x": "shop.yaml", "SG-Shop-x": "shop.yaml", "sg-bank-x": "", "sg-shop": ""} {
		if got := m.Reserved(group); got != want {
			t.Errorf("Reserved(%s) = %q, want %q", group, got, want)
		}
	}
	if text := m.Unusable[0].Problems.Text(); !strings.HasPrefix(text, `shop.yaml:1:36: service_group: "sg-bank-a" does not fit allow_groups of nitrox.yaml:3 (sg-shop-*)`) {
		t.Error(text)
	}
}

// What a file has, another whose limits overlap does not take by a change, whatever their order.
func TestWhoHasItKeepsIt(t *testing.T) {
	app := func(name, group string) string {
		return fmt.Sprintf("  - {name: %s, service_group: %s, from: [{source: f, app: a}]}\n", name, group)
	}
	for what, taken := range map[string]string{"a name": app("bank", "sg-a-2"), "a group": app("thief", "sg-bank"), "a group in another case": app("thief", "SG-bank")} {
		files := map[string]string{
			"nitrox.yaml": "netscalers: {edge: {url: https://192.0.2.10}}\nsources: {f: {file: {path: f.json}}}\n" +
				"include: [{file: a.yaml, allow_groups: [\"*\"]}, {file: bank.yaml, allow_groups: [sg-bank]}]\n",
			"a.yaml":    "apps:\n" + app("a", "sg-a"),
			"bank.yaml": "apps:\n" + app("bank", "sg-bank"),
		}
		if _, err := loadAll(t, files); err != nil {
			t.Fatal(err)
		}
		f := &config.Files{Names: []string{"nitrox.yaml"}, Lookup: lookup}
		if m, err := f.Load(all.Kinds); err != nil || len(m.Apps) != 2 {
			t.Fatal(err, m)
		}
		if err := os.WriteFile("a.yaml", []byte(files["a.yaml"]+taken), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := f.Load(all.Kinds)
		if err != nil || len(m.Apps) != 2 || m.Apps[1].Name != "bank" || len(m.Unusable) != 1 || m.Unusable[0].File != "a.yaml" || !m.Unusable[0].Old {
			t.Errorf("%s: %v, %+v", what, err, m)
		}
	}
}

// As many files as there are teams; and together they are no more than one may be.
func TestManyFiles(t *testing.T) {
	sourcetest.Thorough(t)
	files := map[string]string{"nitrox.yaml": "netscalers: {edge: {url: https://192.0.2.10}}\nsources: {f: {file: {path: f.json}}}\ninclude: [{file: teams/*.yaml, allow_groups: [\"*\"]}]\n"}
	for i := range 1000 {
		files[fmt.Sprintf("teams/%04d.yaml", i)] = fmt.Sprintf("apps: [{name: a%d, from: [{source: f, app: a}]}]\n", i)
	}
	m, err := loadAll(t, files)
	if err != nil || len(m.Apps) != 1000 || m.Apps[999].Name != "a999" {
		t.Fatal(err)
	}
	large := "apps:\n" + strings.Repeat("  - {name: a, from: [{source: f}]}\n", 2500) // no app is right
	for i := range 20 {
		files[fmt.Sprintf("teams/%04d-large.yaml", i)] = large
	}
	m, err = loadAll(t, files)
	if err != nil || len(m.Unusable) != 20 || len(m.Apps) != 1000 {
		t.Fatalf("%v, %d unusable, %d apps", err, len(m.Unusable), len(m.Apps))
	}
	tooMany := 0
	for _, l := range m.Unusable {
		if strings.Contains(l.Problems.Text(), "all files of the mapping together have more than 10 MB or 300000 lines") {
			tooMany++
		}
	}
	if tooMany < 5 || tooMany == 20 {
		t.Errorf("%d of the large files are too many", tooMany)
	}
}

// A team that fills its folder has itself refused, and nobody else: not for the values of its
// files, nor for their size or number.
func TestATeamTakesNoRoomOfOthers(t *testing.T) {
	sourcetest.Thorough(t)
	for name, c := range map[string]struct {
		files int
		text  string
		want  string
	}{
		"values": {320, "apps: [" + strings.Repeat("1,", 1000) + "1]\n", "all files of the mapping together"},
		"bytes":  {12, "#" + strings.Repeat("x", 1<<20-100) + "\n", "all files of the mapping together"},
		"files":  {2010, "", "an include entry with limits may have 2000 files, and 100 MB"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{
				"nitrox.yaml": "netscalers: {edge: {url: https://192.0.2.10}}\nsources: {f: {file: {path: f.json}}}\n" +
					"include: [{file: bank.yaml, allow_groups: [sg-bank-*]}, {file: shop/*.yaml, allow_groups: [sg-shop-*]}, {file: zoo.yaml, allow_groups: [sg-zoo-*]}]\n",
			}
			for _, team := range []string{"bank", "zoo"} {
				text := "# " + strings.Repeat("x", 900<<10) + "\napps:\n"
				for i := range 500 {
					text += fmt.Sprintf("  - {name: %s-%d, service_group: sg-%s-%d, from: [{source: f, app: a}]}\n", team, i, team, i)
				}
				files[team+".yaml"] = text
			}
			for i := range c.files {
				files[fmt.Sprintf("shop/%05d.yaml", i)] = c.text
			}
			m, err := loadAll(t, files)
			if err != nil || len(m.Apps) != 1000 {
				t.Fatalf("%v, %d apps", err, len(m.Apps))
			}
			found := false
			for _, l := range m.Unusable {
				found = found || strings.Contains(l.Problems.Text(), c.want)
				if !strings.HasPrefix(l.File, "shop/") {
					t.Error(l)
				}
			}
			if !found {
				t.Errorf("nobody says %q", c.want)
			}
		})
	}
}

// What editors are told of include is what Load takes: names, and entries with limits or none.
func TestTheSchemaOfInclude(t *testing.T) {
	schema := schemaOf(t, all.Kinds)
	for text, want := range map[string]bool{
		"include: [a.yaml, teams/*.yaml]":                                       true,
		"include: [{file: a.yaml}]":                                             true,
		"include: [{file: a.yaml, allow_groups: x, only: [10.0.0.0/8]}]":        true,
		"include: [{allow_groups: [x]}]":                                        false,
		"include: [{file: a.yaml, allow_group: [x]}]":                           false,
		"include: [{file: a.yaml, allow_groups: [x], only: [somewhere]}]":       false,
		"include: a.yaml":                                                       false,
		"defaults: {drain: 3s}\napps: [{name: a, from: [{source: a, app: a}]}]": true, // as a team has it
	} {
		if err := schema.Validate(asJSON(t, []byte(text))); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
