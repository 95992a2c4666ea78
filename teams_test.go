package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nitrox/netscaler/simulator"
)

// operators is what whoever runs Nitrox writes; fence is an include entry.
const operators = `netscalers:
  edge: {url: %q, username: nsroot, password: "${NS_PASSWORD}"}
  core: {url: %q, username: nsroot, partition: p}
sources:
  lab: {file: {path: endpoints.json}}
  bank: {file: {path: endpoints.json}}
  prod: {kubernetes: {kubeconfig: kubeconfig}}
include:
  - %s
apps:
  - {name: bank, service_group: sg-bank, netscaler: edge, from: [{source: bank, app: bank}]}
`

const fence = `{file: teams/shop.yaml, allow_groups: ["sg-shop-*"], allow_apps: ["shop*"], netscalers: [edge], sources: [lab, prod], only: [10.1.0.0/16]}`

// team is a mapping with a file of a team, on a simulated NetScaler.
type team struct {
	dir string
	sim *simulator.Simulator
	env map[string]string
}

func teamOf(t *testing.T, include, file string) team {
	t.Helper()
	sim := simulator.New(simulator.Options{})
	conf := "add serviceGroup sg-bank HTTP\nbind serviceGroup sg-bank 10.9.0.1 80\nadd serviceGroup sg-shop-web HTTP\nbind serviceGroup sg-shop-web 10.1.0.9 80\n"
	if err := sim.Load(strings.NewReader(conf)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	s := team{t.TempDir(), sim, map[string]string{"NS_PASSWORD": "nsroot", "SECRET": "hunter22"}}
	s.write(t, "nitrox.yaml", fmt.Sprintf(operators, server.URL, server.URL, include))
	s.write(t, "endpoints.json", `{"apps": {"shop": ["10.1.0.1:80"], "bank": ["10.9.0.1:80", "10.9.0.2:80"], "core": ["10.0.0.1:80"]}}`)
	s.write(t, "kubeconfig", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\"}}]\nusers: [{name: u, user: {}}]\n"+
		"contexts: [{name: c, context: {cluster: c, user: u}}]\n")
	s.write(t, "secret", "hunter22: [")
	s.write(t, "teams/shop.yaml", file)
	return s
}

func (s team) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever a team writes into its file, it is refused with an error that names it, the
// line and the fence; the others are served, nothing of the team's groups is changed, and
// nothing of what others own. docs/teams.md has these fences.
func TestFences(t *testing.T) {
	app := func(keys string) string {
		return "apps: [{name: shop, service_group: sg-shop-web, " + keys + "from: [{source: lab, app: shop}]}]\n"
	}
	const limits, open = "nitrox.yaml:9", `{file: teams/shop.yaml, allow_groups: ["*"]}`
	for name, c := range map[string]struct {
		fence, file, want string
		place             func(t *testing.T, dir string) // what is at teams/shop.yaml, if it is no file
	}{
		"another team's group":         {file: `apps: [{name: shop, service_group: sg-bank, from: [{source: lab, app: shop}]}]`, want: `:1:36: service_group: "sg-bank" does not fit allow_groups of ` + limits},
		"a group by its name alone":    {file: `apps: [{name: shop-x, from: [{source: lab, app: shop}]}]`, want: `:1:15: name: "shop-x" does not fit allow_groups of ` + limits},
		"a group in another case":      {file: `apps: [{name: shop, service_group: SG-shop-web, from: [{source: lab, app: shop}]}]`, want: `"SG-shop-web" does not fit`},
		"a group by a pattern":         {file: `apps: [{name: shop, service_group: "sg-shop-*", from: [{source: lab, app: shop}]}]`, want: `a service group cannot be called "sg-shop-*"`},
		"another app's name":           {file: `apps: [{name: bank, service_group: sg-shop-web, from: [{source: lab, app: shop}]}]`, want: `:1:15: app "bank" is defined twice; the first is at nitrox.yaml:11`},
		"a name that does not fit":     {file: `apps: [{name: other, service_group: sg-shop-web, from: [{source: lab, app: shop}]}]`, want: `name: "other" does not fit allow_apps of ` + limits},
		"a name without an end":        {file: `apps: [{name: shop` + strings.Repeat("x", 1000) + `, service_group: sg-shop-web, from: [{source: lab, app: shop}]}]`, want: `name: has 1004 characters, and in a file with limits (` + limits + `) it may have 127; shorten it`},
		"a group that ends unseen":     {file: `apps: [{name: shop, service_group: "sg-shop-web ", from: [{source: lab, app: shop}]}]`, want: `a service group cannot be called "sg-shop-web "`},
		"a name that looks the same":   {fence: open, file: `apps: [{name: "bank\u200b", service_group: sg-shop-web, netscaler: edge, from: [{source: lab, app: shop}]}]`, want: `"bank\u200b" cannot be the name of an app`},
		"a name that turns the line":   {fence: open, file: `apps: [{name: "bank\u202e", service_group: sg-shop-web, netscaler: edge, from: [{source: lab, app: shop}]}]`, want: `"bank\u202e" cannot be the name of an app`},
		"another's group by its case":  {fence: open, file: `apps: [{name: shop, service_group: SG-bank, netscaler: edge, from: [{source: lab, app: shop}]}]`, want: `:1:36: service group "SG-bank" differs from "sg-bank" of app "bank" (nitrox.yaml:11) only in case`},
		"another NetScaler":            {file: app("netscaler: [edge, core], "), want: `netscaler: "core" may not be used here, by the limits of ` + limits},
		"another source":               {file: `apps: [{name: shop, service_group: sg-shop-web, from: [{source: bank, app: bank}]}]`, want: `source "bank" may not be used here, by the limits of ` + limits},
		"networks beyond":              {file: app("only: [10.1.4.0/24, 10.0.0.0/15], "), want: `only: 10.0.0.0/15 is beyond the only of ` + limits},
		"all networks":                 {file: app("only: 0.0.0.0/0, "), want: `only: 0.0.0.0/0 is beyond`},
		"networks of IPv6":             {file: app(`only: "::/0", `), want: `only: ::/0 is beyond`},
		"networks by defaults":         {file: "defaults: {only: [10.0.0.0/8]}\n" + app(""), want: `:1:18: only: 10.0.0.0/8 is beyond`},
		"a password":                   {file: `apps: [{name: "shop${NS_PASSWORD}", service_group: sg-shop-web, from: [{source: lab, app: shop}]}]`, want: `may not read the environment`},
		"whether a variable is set":    {file: `apps: [{name: shop, service_group: sg-shop-web, from: [{source: lab, app: "${NOT_SET}"}]}]`, want: `may not read the environment`},
		"a variable in defaults":       {file: "defaults: {drain: \"${SECRET}\"}\n" + app(""), want: `may not read the environment`},
		"a NetScaler of its own":       {file: "netscalers: {evil: {url: \"http://127.0.0.1:1\"}}\n" + app(""), want: `:1:13: netscalers: this file has limits (` + limits},
		"a source of its own":          {file: "sources: {evil: {file: {path: /etc/passwd}}}\n" + app(""), want: `:1:10: sources: this file has limits`},
		"a program of its own":         {file: "sources: {evil: {kubernetes: {kubeconfig: evil}}}\n" + app(""), want: `sources: this file has limits`},
		"another file":                 {file: "include: [../nitrox.yaml]\n" + app(""), want: `include: this file has limits`},
		"what does not exist yet":      {file: "discover: [{source: lab}]\n" + app(""), want: `discover`},
		"a vserver":                    {file: app("create: {service_type: HTTP, vserver: {name: lb-bank}}, "), want: `vserver: this file has limits`},
		"servers":                      {file: app("clean_servers: true, "), want: `clean_servers: servers are not the file's own`},
		"servers by defaults":          {file: "defaults: {clean_servers: true}\n" + app(""), want: `:1:27: clean_servers: servers are not`},
		"a wait for all":               {file: app("wait_up: 1h, "), want: `wait_up: all apps of the NetScaler would wait; write at most 10s, or have more in the defaults of nitrox.yaml`},
		"a wait by defaults":           {file: "defaults: {wait_up: 11s}\n" + app(""), want: `:1:21: wait_up: all apps`},
		"another namespace":            {fence: strings.Replace(fence, "only:", "namespaces: [shop], only:", 1), file: `apps: [{name: shop, service_group: sg-shop-web, from: [{source: prod, service: bank/vault}]}]`, want: `what it asks about is beyond the namespaces of ` + limits},
		"a namespace with a like name": {fence: strings.Replace(fence, "only:", "namespaces: [shop], only:", 1), file: `apps: [{name: shop, service_group: sg-shop-web, from: [{source: prod, service: shop2/vault}]}]`, want: `beyond the namespaces`},
		"a source without namespaces":  {fence: strings.Replace(fence, "only:", "namespaces: [shop], only:", 1), file: app(""), want: `source "lab" has no namespaces, and ` + limits},
		"no YAML":                      {file: "apps: [{name: shop\n", want: ":1:8: "},
		"nothing":                      {file: "", want: "the file is empty"},
		"aliases":                      {file: "apps: [&a {name: shop, x: [*a, *a]}]\n", want: "shop.yaml:1:8: "},
		"a bomb":                       {file: "apps: " + strings.Repeat("[", 100_000), want: "lines, commas, colons and the like, too many for a file with limits; split it"},
		"a huge file":                  {file: strings.Repeat("# filler\n", 1<<20/9+1), want: "has more than 1 MB"},
		"no file":                      {place: func(*testing.T, string) {}, want: "shop.yaml: included by nitrox.yaml:9: no such file"},
		"a folder":                     {place: func(t *testing.T, file string) { ok(t, os.Mkdir(file, 0o755)) }, want: "shop.yaml: included by nitrox.yaml:9: is not a regular file"},
		"a pipe":                       {place: func(t *testing.T, file string) { ok(t, syscall.Mkfifo(file, 0o600)) }, want: "shop.yaml: included by nitrox.yaml:9: is not a regular file"},
		"a device":                     {place: func(t *testing.T, file string) { ok(t, os.Symlink("/dev/zero", file)) }, want: "shop.yaml: included by nitrox.yaml:9: cannot be opened in teams: path escapes from parent; a file with limits must be in that folder"},
		"a secret of another":          {place: func(t *testing.T, file string) { ok(t, os.Symlink("../secret", file)) }, want: "shop.yaml: included by nitrox.yaml:9: cannot be opened in teams: path escapes from parent; a file with limits must be in that folder"},
		"a secret beside it": {place: func(t *testing.T, file string) {
			ok(t, os.WriteFile(filepath.Dir(file)+"/pw", []byte("hunter22: ["), 0o600))
			ok(t, os.Symlink("pw", file))
		}, want: "shop.yaml: included by nitrox.yaml:9: is a symbolic link to a file of another name"},
		"a secret beside it, by two": {place: func(t *testing.T, file string) {
			ok(t, os.WriteFile(filepath.Dir(file)+"/pw", []byte("hunter22: ["), 0o600))
			ok(t, os.Mkdir(filepath.Dir(file)+"/x", 0o755))
			ok(t, os.Symlink("../pw", filepath.Dir(file)+"/x/shop.yaml"))
			ok(t, os.Symlink("x/shop.yaml", file))
		}, want: "is a symbolic link to a file of another name"},
		"a link to itself": {place: func(t *testing.T, file string) { ok(t, os.Symlink("shop.yaml", file)) }, want: "shop.yaml: included by nitrox.yaml:9: cannot be opened in teams: too many levels of symbolic links"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.fence == "" {
				c.fence = fence
			}
			s := teamOf(t, c.fence, c.file)
			if c.place != nil {
				file := filepath.Join(s.dir, "teams/shop.yaml")
				ok(t, os.Remove(file))
				c.place(t, file)
			}
			env := []string{"NS_PASSWORD=nsroot", "SECRET=hunter22"}
			code, out, log := spawned(t, s.dir, env, "validate", "--config", "nitrox.yaml")
			if code != 1 || !strings.Contains(log, "teams/shop.yaml:") || !strings.Contains(log, c.want) || strings.Contains(out+log, "hunter22") {
				t.Errorf("exit code %d, want %q\n%s%s", code, c.want, out, log)
			}
			code, out, log = spawned(t, s.dir, env, "sync", "--config", "nitrox.yaml")
			if code != 1 || !strings.Contains(out, "! file teams/shop.yaml of the mapping cannot be used: ") || strings.Contains(out+log, "hunter22") {
				t.Errorf("exit code %d\n%s%s", code, out, log)
			}
			if got := fmt.Sprint(s.sim.Members("sg-bank")); !strings.Contains(got, "10.9.0.2") {
				t.Errorf("the others are not served: %s\n%s%s", got, out, log)
			}
			if got := s.sim.Members("sg-shop-web"); len(got) != 1 {
				t.Errorf("the team's group was changed: %v", got)
			}
		})
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What a team may say, it may: policies of its own apps, a group that fits, links in its folder.
// That an app has no only, or an empty one, does not free it of the limit.
func TestATeamOwnsItsFile(t *testing.T) {
	s := teamOf(t, fence, "")
	file := filepath.Join(s.dir, "teams/shop.yaml")
	s.write(t, "teams/..data/shop.yaml", "defaults: {allow_empty: true, drain: 0s, max_remove: 100%}\n"+
		"apps:\n  - {name: shop, service_group: sg-shop-web, from: [{source: lab, app: shop}]}\n"+
		"  - {name: shop-new, service_group: sg-shop-new, only: [], create: {service_type: TCP}, from: [{source: lab, app: core}]}\n")
	ok(t, os.Remove(file))
	ok(t, os.Symlink("..data/shop.yaml", file)) // as Kubernetes mounts it
	code, out, log := nitrox(t, t.Context(), s.env, "sync", "--config", filepath.Join(s.dir, "nitrox.yaml"))
	if got := fmt.Sprint(s.sim.Members("sg-shop-web")); code != 1 || strings.Contains(got, "10.1.0.9") || !strings.Contains(got, "10.1.0.1") {
		t.Errorf("exit code %d, members %s\n%s%s", code, got, out, log)
	}
	if got := s.sim.Members("sg-shop-new"); len(got) != 0 || !strings.Contains(out, "10.0.0.1:80 cannot be bound: it is outside the networks in only") {
		t.Errorf("members %v\n%s%s", got, out, log)
	}
}

// A folder for each team: what one team makes of its own stops no other.
func TestTeamsWithFoldersOfTheirOwn(t *testing.T) {
	s := teamOf(t, strings.Replace(fence, "teams/shop.yaml", "teams/*/x.yaml", 1), "not a folder")
	s.write(t, "teams/b/x.yaml", "apps: [{name: shop, service_group: sg-shop-web, from: [{source: lab, app: shop}]}]\n")
	s.write(t, "away/x.yaml", "hunter22: [")
	ok(t, os.Mkdir(filepath.Join(s.dir, "teams/a"), 0o755)) // has no file yet
	ok(t, os.Symlink("../away", filepath.Join(s.dir, "teams/c")))
	ok(t, os.Symlink("d", filepath.Join(s.dir, "teams/d")))
	ok(t, os.MkdirAll(filepath.Join(s.dir, "teams/e/x.yaml"), 0o755))
	code, out, log := nitrox(t, t.Context(), s.env, "sync", "--config", filepath.Join(s.dir, "nitrox.yaml"))
	for _, name := range []string{"c", "d", "e"} {
		if !strings.Contains(out, "! file "+filepath.Join(s.dir, "teams", name, "x.yaml")+" of the mapping cannot be used: ") {
			t.Errorf("teams/%s is not refused", name)
		}
	}
	if got := fmt.Sprint(s.sim.Members("sg-shop-web")); code != 1 || !strings.Contains(got, "10.1.0.1") || strings.Contains(out+log, "hunter22") {
		t.Errorf("exit code %d, members %s\n%s%s", code, got, out, log)
	}
}
