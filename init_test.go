package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/all"
	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
	"nitrox/sources/marathon/marathontest"
	"nitrox/sources/redact"
	"nitrox/sync/config"
	"nitrox/sync/proposal"
)

// initSite is a NetScaler whose groups somebody filled by hand, and a swarm, a
// Marathon and a cluster that have what is in them.
type initSite struct {
	sim                            *simulator.Simulator
	dir, edge, docker, marathon    string
	kubernetes, kubeconfig, nsConf string
}

func newInitSite(t *testing.T, conf string) *initSite {
	t.Helper()
	serve := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	recorded := func(name string) (objects []string) {
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(readFile(t, "sources/docker/testdata/recorded/"+name+".json")), &list); err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			objects = append(objects, string(o))
		}
		return objects
	}
	s := &initSite{sim: simulator.New(simulator.Options{}), dir: t.TempDir()}
	s.docker = serve(&dockertest.Daemon{Swarm: "active/manager", Services: recorded("services"), Tasks: recorded("tasks"), Nodes: recorded("nodes")})
	marathon := marathontest.New(marathontest.Options{URLs: make([]string, 1)})
	s.marathon = serve(marathon.Handler(0))
	marathon.Listen(0, s.marathon)
	for _, id := range []string{"/shop/cart", "/shop/search"} {
		put(t, marathon, fmt.Sprintf(`{"id": %q, "cmd": "serve", "instances": 2, "networks": [{"mode": "container/bridge"}],
			"container": {"portMappings": [{"containerPort": 80, "hostPort": 0, "name": "http"}]}}`, id))
	}
	marathon.Settle()
	// The cluster's services in one namespace, and therefore everywhere.
	api := "testdata/documents/kubernetes/api"
	s.kubernetes = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		path := strings.Replace(r.URL.Path, "/v1/services", "/v1/namespaces/shop/services", 1)
		http.ServeFile(w, r, filepath.Join(api, path+".json"))
	}))
	s.kubeconfig = s.file(t, "kubeconfig", fmt.Sprintf(
		"{kind: Config, apiVersion: v1, contexts: [{name: prod, context: {cluster: prod}}], clusters: [{name: prod, cluster: {server: %q}}]}", s.kubernetes))
	var cart []string
	for _, at := range marathon.Serving("/shop/cart") {
		if !strings.Contains(conf, "sg-cart") {
			break
		}
		cart = append(cart, "bind serviceGroup sg-cart "+strings.ReplaceAll(at, ":", " "))
	}
	s.nsConf = s.file(t, "ns.conf", conf+strings.Join(cart, "\n")+"\n")
	if err := s.sim.Load(strings.NewReader(readFile(t, s.nsConf))); err != nil {
		t.Fatal(err)
	}
	s.edge = serve(s.sim)
	return s
}

func (s *initSite) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *initSite) sources() []string {
	return []string{"--docker", strings.Replace(s.docker, "http", "tcp", 1), "--marathon", s.marathon,
		"--kubernetes", fmt.Sprintf("{kubeconfig: %q, context: prod}", s.kubeconfig)}
}

// shown is a text without the addresses of servers, which no two runs have.
func (s *initSite) shown(text string) string {
	return strings.NewReplacer(s.edge, "https://192.0.2.10", strings.Replace(s.docker, "http", "tcp", 1), "tcp://10.0.0.5:2376",
		s.marathon, "http://m1.example.com:8080", s.kubeconfig, "kubeconfig").Replace(text)
}

const initConf = `set ns config -IPAddress 192.0.2.33 -netmask 255.255.255.0
add serviceGroup sg-account HTTP
bind serviceGroup sg-account 192.0.2.1 31080
bind serviceGroup sg-account 192.0.2.2 31080
add serviceGroup account-pods HTTP
bind serviceGroup account-pods 10.244.1.2 8080
bind serviceGroup account-pods 10.244.1.3 8080
bind serviceGroup account-pods 10.244.9.9 8080
add serviceGroup sg-web TCP
bind serviceGroup sg-web 198.18.77.11 32768
bind serviceGroup sg-web 198.18.77.11 32769
bind serviceGroup sg-web 198.18.77.12 32768
bind serviceGroup sg-web 198.18.77.12 32769
add serviceGroup "odd # name: x" TCP
bind serviceGroup "odd # name: x" 198.18.77.12 8081
add serviceGroup sg-search HTTP
add serviceGroup sg-serach HTTP
add serviceGroup sg-vms HTTP
bind serviceGroup sg-vms 10.9.9.9 80
add server api.example.com api.example.com
add serviceGroup sg-api HTTP
bind serviceGroup sg-api api.example.com 80
add serviceGroup sg-dns HTTP -autoScale DNS
add serviceGroup sg-cart HTTP
`

// What init writes is right, and the plan that follows from it has only what its
// comments say.
func TestInit(t *testing.T) {
	s := newInitSite(t, initConf)
	env := map[string]string{"NS_PASSWORD": "nsroot"}
	out := filepath.Join(s.dir, "nitrox.yaml")
	args := append([]string{"init", "--netscaler", s.edge, "--user", "nsroot"}, s.sources()...)
	code, text, log := nitrox(t, t.Context(), env, args...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, log)
	}
	golden(t, "testdata/init.golden", s.shown(text))
	for range 2 { // the second leaves the first's file alone
		code, _, log = nitrox(t, t.Context(), env, append(args, "--out", out)...)
	}
	if code != 1 || !strings.Contains(log, "there is such a file") || readFile(t, out) != text {
		t.Errorf("a second run with --out: exit code %d, %s", code, log)
	}
	if m, err := (&config.Files{Names: []string{out}, Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}).Load(all.Kinds); err != nil || len(m.Files) > 0 {
		t.Fatalf("%v %v\n%s", err, m, text)
	}
	_, plan, log := nitrox(t, t.Context(), env, "plan", "--config", out)
	golden(t, "testdata/init-plan.golden", s.shown(plan))
	if !strings.Contains(plan, "wanted") {
		t.Errorf("no plan: %s", log)
	}
	for _, c := range s.sim.Calls() {
		if c.Method != "GET" && !strings.HasSuffix(c.Path, "/login") && !strings.HasSuffix(c.Path, "/logout") {
			t.Errorf("init wrote: %s %s", c.Method, c.Path)
		}
	}
	// A saved configuration says the same of the groups.
	code, saved, log := nitrox(t, t.Context(), nil, append([]string{"init", "--ns-conf", s.nsConf}, s.sources()...)...)
	_, after, _ := strings.Cut(saved, "\napps:\n")
	_, before, _ := strings.Cut(text, "\napps:\n")
	if code != 0 || after != before || !strings.Contains(saved, `url: "https://192.0.2.33"`) {
		t.Errorf("from ns.conf: exit code %d %s\n%s", code, log, saved)
	}
}

// golden compares a text with a file, which -update rewrites.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readFile(t, file); text != want {
		t.Errorf("%s; go test -run Init -update . rewrites it:\n%s", file, text)
	}
}

// Whatever groups, services and errors are called, the mapping has them as they are,
// each in its place, and nothing else.
func FuzzInitNames(f *testing.F) {
	for _, name := range []string{"sg-account", "a\nb: c", "x\r\n- name: y", "\u2028]}", "${NS_PASSWORD}", "$${A", "null", "~", "yes", "010", "1e3", "2026-11-27", "- a", "#", "a #b",
		"'", `"\`, "\x00\x1b[31m", "\ufeff", "\u202e", "\xff", "!tag", "*a", "&a", "{a: b}", ":", "”", "\u00a0", "\u0085", strings.Repeat("x ", 200)} {
		f.Add(name, name)
	}
	file := filepath.Join(f.TempDir(), "nitrox.yaml")
	f.Fuzz(func(t *testing.T, name, service string) {
		groups := []proposal.Group{
			group(name, netscaler.Attrs{Autoscale: "DISABLED"}, nil, nil),
			group(name+" of another kind", netscaler.Attrs{Autoscale: name}, nil, nil),
			group("unread", netscaler.Attrs{Autoscale: "DISABLED"}, nil, errors.New(name)),
			group("beside", netscaler.Attrs{Autoscale: "DISABLED"}, []netscaler.Member{{NotOurs: service}}, nil),
			group("sg-ok", netscaler.Attrs{Autoscale: "DISABLED"}, nil, nil),
		}
		q := docker.Query{Service: service}
		candidates := []proposal.Candidate{{Source: "docker", Listed: sources.Listed{Query: q, Name: service}, Doubt: redact.Line(service, 200)}}
		apps := proposal.Match(groups, candidates, nil)
		for i := range apps {
			if apps[i].Unfit == "" {
				apps[i].From, apps[i].Choices = candidates, nil // as if it had matched
			}
		}
		apps = append(apps, proposal.App{Group: proposal.Group{Name: name}, Why: "nobody knows", Choices: append(candidates, candidates...)})
		text := proposal.File{
			Head: "netscalers: {edge: {url: https://192.0.2.10, username: x, password: \"${P}\"}}\nsources: {docker: {docker: {host: \"tcp://10.0.0.5:2376\"}}}\n",
			Apps: apps, Candidates: append(candidates, proposal.Candidate{Source: "docker", Listed: sources.Listed{Query: docker.Query{Label: "a=" + service}, Name: name}}),
		}.String()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := (&config.Files{Names: []string{file}, Lookup: func(name string) (string, bool) { return "secret", name == "P" }}).Load(all.Kinds)
		if service == "" {
			return // no source lists it
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want := []string{"sg-ok"}
		if config.Named(name, name) {
			want = []string{name, "sg-ok"}
		}
		var got []string
		for _, a := range m.Apps {
			got = append(got, a.Name)
			if asked := a.From[0].Query.(docker.Query); len(a.From) != 1 || asked.Service != strings.ToValidUTF8(service, "\ufffd") {
				t.Errorf("%q asks for %+v, not for %q\n%s", a.Name, a.From, service, text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("apps %q, want %q\n%s", got, want, text)
		}
	})
}

// What the old Nitrox was given becomes a mapping; a password is in none.
func TestInitFromAppInfo(t *testing.T) {
	const info = `{"appkey": "com.citrix.lb.appname", "apps": [
		{"name": "AccountService", "lb_ip": "10.220.73.122", "lb_port": "80"},
		{"name": "/shop/cart", "sg_name": "sg-cart", "lb_name": "lb-cart", "x\n- y": 1}, {"name": "a\nb"}]}`
	env := func(more ...string) map[string]string {
		all := map[string]string{"APP_INFO": info, "NS_IP": "10.220.73.33", "NS_USER": "nsroot", "NS_PASSWD": "hunter2-old"}
		for i := 0; i < len(more); i += 2 {
			if all[more[i]] = more[i+1]; more[i+1] == "" {
				delete(all, more[i])
			}
		}
		return all
	}
	dir := t.TempDir()
	endpoints := filepath.Join(dir, "endpoints.json")
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		want []string // in the mapping or, if it begins with !, in the error
	}{
		"swarm": {env("NS_CONFIG_FRONT_END", "True"), []string{"python", "main.py", "--swarm-url", "tcp://10.0.0.5:2376"}, []string{
			"url: \"https://10.220.73.33\"\n    username: nsroot\n    password: ${NS_PASSWD}\n",
			`docker: {docker: {host: "tcp://10.0.0.5:2376", kind: classic}}`,
			"- name: AccountService\n    create: {service_type: HTTP, vserver: {name: AccountService, ip: \"10.220.73.122\", port: 80, method: ROUNDROBIN}}\n",
			"- {source: docker, label: com.citrix.lb.appname=AccountService}",
			`# From APP_INFO, without what is not understood of it: "x\n- y".`,
			"- name: /shop/cart\n    service_group: sg-cart\n    create: {service_type: HTTP, vserver: {name: lb-cart}}\n",
			`# "a\nb" is left out: a mapping cannot have the names of APP_INFO's app "a\nb".`}},
		"marathon": {env("NS_CONFIG_FRONT_END", "false"), []string{"--marathon-url=http://m1:8080", "--marathon-user", "m", "--marathon-password", "hunter2-marathon"}, []string{
			`marathon: {marathon: {urls: ["http://m1:8080"], username: m, password_file: marathon-password}}`,
			"- name: /shop/cart\n    service_group: sg-cart\n    from:\n      - {source: marathon, app: /shop/cart, port: 0}\n",
			`AccountService is left out: its source cannot have an app AccountService; write`}},
		"kubernetes":     {env("APP_INFO", `{"apps": [{"name": "frontend"}]}`), []string{"--kube-apiserver", "https://k:6443", "--kube-token", "hunter2-kube"}, []string{"- {source: kubernetes, service: default/frontend}", "the token into that kubeconfig"}},
		"file":           {env(), []string{"--cfg-file", endpoints}, []string{"- {source: file, app: /shop/cart}"}},
		"another secret": {env("NS_PASSWORD", "hunter2-new"), []string{"--cfg-file", endpoints}, []string{"# The password is $NS_PASSWORD"}},
		"IPv6":           {env("NS_IP", "2001:db8::1"), []string{"--cfg-file", endpoints}, []string{`url: "https://[2001:db8::1]"`}},
		"no APP_INFO":    {env("APP_INFO", ""), nil, []string{"!APP_INFO, which is not set"}},
		"no JSON":        {env("APP_INFO", "{"), nil, []string{"!APP_INFO: this is not the JSON"}},
		"no apps":        {env("APP_INFO", "{}"), nil, []string{"!APP_INFO has no apps"}},
		"no NetScaler":   {env("NS_IP", ""), nil, []string{"!NS_IP, which is not set"}},
		"no source":      {env(), nil, []string{"!Give the options of the old Nitrox after --"}},
		"two sources":    {env(), []string{"--cfg-file", "a", "--swarm-url", "tcp://b:1"}, []string{"!several sources: docker, file"}},
		"an odd option":  {env(), []string{"--swarm"}, []string{"!not defined: -swarm"}},
		"an odd word":    {env(), []string{"--marathon-password", "hunter2", "hunter3"}, []string{"!a word that belongs to none"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, log := nitrox(t, t.Context(), c.env, append([]string{"init", "--from-app-info", "--"}, c.args...)...)
			for _, want := range c.want {
				want, failure := strings.CutPrefix(want, "!")
				if shown := out + log; failure != (code == 1) || !strings.Contains(shown, want) {
					t.Errorf("exit code %d, and no %q in:\n%s", code, want, shown)
				}
			}
			if strings.Contains(out+log, "hunter") {
				t.Errorf("a secret is shown:\n%s%s", out, log)
			}
			if code != 0 || name == "kubernetes" || name == "marathon" { // these need files that the operator makes
				return
			}
			file := filepath.Join(t.TempDir(), "nitrox.yaml")
			if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
				t.Fatal(err)
			}
			if code, _, log := nitrox(t, t.Context(), c.env, "validate", "--config", file); code != 0 {
				t.Errorf("it is not right: %s\n%s", log, out)
			}
		})
	}
}

// What cannot be done says what to do.
func TestInitRefuses(t *testing.T) {
	s := newInitSite(t, "add serviceGroup sg-vms HTTP\n")
	env := map[string]string{"NS_PASSWORD": "nsroot"}
	edge := []string{"--netscaler", s.edge, "--user", "nsroot"}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing":             {nil, "give its URL with --netscaler"},
		"no source":           {edge, "give at least one of --docker, --kubernetes and --marathon"},
		"an argument":         {append(edge, "x"), `init takes no arguments, but was given "x"`},
		"old and new":         {append(edge, "--from-app-info"), "--from-app-info cannot be combined with --netscaler"},
		"a wrong key":         {append(edge, "--docker", "{hots: x}"), `did you mean "host"?`},
		"not even YAML":       {append(edge, "--docker", "{host: x"), "the mapping to be:"},
		"a source that fails": {append(edge, "--marathon", "http://127.0.0.1:1", "--docker", "tcp://127.0.0.1:1"), "source marathon:"},
		"a wrong password":    {append([]string{"--netscaler", s.edge, "--user", "x"}, s.sources()...), "netscaler edge:"},
		"no ns.conf":          {append([]string{"--ns-conf", "none.conf"}, s.sources()...), "--ns-conf: open none.conf: no such file"},
		"no folder":           {append(append(edge, s.sources()...), "--out", "none/nitrox.yaml"), "--out: open none/nitrox.yaml: no such file"},
		"nothing in common":   {append(append(edge, "--marathon", s.marathon), "--partition", "x"), `unknown option "--partition"`},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, log := nitrox(t, t.Context(), env, append([]string{"init"}, c.args...)...)
			if code != 1 || !strings.Contains(log, c.want) || out != "" {
				t.Errorf("exit code %d, %s%s; want %s", code, out, log, c.want)
			}
		})
	}
	// Where nothing matches the file is of use nevertheless: it has the groups.
	code, out, log := nitrox(t, t.Context(), env, append(append([]string{"init"}, edge...), s.sources()...)...)
	if code != 1 || !strings.Contains(out, "# - name: sg-vms\n") || !strings.Contains(log, "no service group (of 1) could be matched") {
		t.Errorf("nothing matched: exit code %d, %s%s", code, out, log)
	}
	s = newInitSite(t, "")
	code, out, log = nitrox(t, t.Context(), env, append([]string{"init", "--netscaler", s.edge, "--user", "nsroot"}, s.sources()...)...)
	if code != 1 || out != "" || !strings.Contains(log, "the NetScaler has no service groups") {
		t.Errorf("no groups: exit code %d, %s%s", code, out, log)
	}
}
