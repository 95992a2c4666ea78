package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"
	"unicode/utf8"

	"nitrox/netscaler/simulator"
	"nitrox/sources/docker/dockertest"
	"nitrox/sources/marathon/marathontest"
	"nitrox/sources/redact/redacttest"
)

// Secrets of the set-ups below, which no report shows.
const (
	bearerSecret   = "bearer-of-the-cluster.x1"
	marathonSecret = "password-of-marathon-x2"
)

// control is an API server: what it has, and who may do what.
type control struct {
	forbid  []string // patterns of "verb resource namespace"
	expired bool
	wide    bool // the account may do everything
	objects map[string][]string
}

func newControl() *control {
	return &control{objects: map[string][]string{
		"services": {`{"metadata": {"name": "account", "namespace": "shop"}, "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
			"externalTrafficPolicy": "Cluster", "selector": {"app": "account"}, "ports": [{"name": "http", "port": 80, "nodePort": 31080, "protocol": "TCP", "targetPort": 8080}]}}`},
		"endpointslices": {`{"metadata": {"name": "account-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "account"}}, "addressType": "IPv4",
			"ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
			"endpoints": [{"addresses": ["10.244.0.7"], "nodeName": "worker-1", "conditions": {"ready": true, "serving": true, "terminating": false}, "targetRef": {"kind": "Pod", "name": "account-a", "namespace": "shop", "uid": "u1"}}]}`},
		"nodes": {`{"metadata": {"name": "worker-1"}, "spec": {}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.3.11"}], "conditions": [{"type": "Ready", "status": "True"}]}}`},
		"pods":  {},
	}}
}

func (c *control) allows(verb, resource, namespace string) bool {
	return !slices.ContainsFunc(c.forbid, func(p string) bool {
		return regexp.MustCompile("^" + p + "$").MatchString(strings.TrimSpace(verb + " " + resource + " " + namespace))
	})
}

func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	refuse := func(code int, reason, message string) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": %q, "message": %q, "code": %d}`, reason, message, code)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	resource := parts[len(parts)-1]
	switch {
	case r.Header.Get("Authorization") != "Bearer "+bearerSecret || c.expired:
		refuse(401, "Unauthorized", "Unauthorized")
		return
	case r.Method == http.MethodPost && resource == "selfsubjectaccessreviews":
		var review struct {
			Spec struct{ ResourceAttributes struct{ Verb, Resource, Namespace string } }
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			refuse(400, "BadRequest", err.Error())
			return
		}
		a := review.Spec.ResourceAttributes
		allowed := c.allows(a.Verb, a.Resource, a.Namespace)
		if a.Verb == "*" || a.Resource == "secrets" {
			allowed = c.wide
		}
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": {"allowed": %v}}`, allowed)
		return
	case r.Method != http.MethodGet || c.objects[resource] == nil:
		refuse(404, "NotFound", "the server could not find the requested resource")
		return
	}
	namespace, verb := "", "list"
	if i := slices.Index(parts, "namespaces"); i >= 0 {
		namespace = parts[i+1]
	}
	if r.URL.Query().Has("watch") {
		verb = "watch"
	}
	if !c.allows(verb, resource, namespace) {
		refuse(403, "Forbidden", fmt.Sprintf(`%s is forbidden: User "nitrox" cannot %s resource %q`, resource, verb, resource))
		return
	}
	if verb == "watch" {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	group, kind := "v1", strings.ToUpper(resource[:1])+strings.TrimSuffix(resource[1:], "s")+"List"
	if resource == "endpointslices" {
		group, kind = "discovery.k8s.io/v1", "EndpointSliceList"
	}
	name, named := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	items := slices.DeleteFunc(slices.Clone(c.objects[resource]), func(o string) bool { return named && !strings.Contains(o, `"name": "`+name+`", "namespace"`) })
	fmt.Fprintf(w, `{"kind": %q, "apiVersion": %q, "metadata": {"resourceVersion": "7"}, "items": [%s]}`, kind, group, strings.Join(items, ","))
}

// setup is a NetScaler and one source of each kind, as a mapping has them. A test
// breaks something before it is examined.
type setup struct {
	t       *testing.T
	dir     string
	options simulator.Options
	conf    string
	sim     *simulator.Simulator
	control *control
	dcos    *marathontest.Cluster
	daemon  *dockertest.Daemon
	mapping string
	files   map[string]string
	modes   map[string]os.FileMode
	skew    map[string]time.Duration // of the clocks of edge, prod, dcos
	before  func(*setup)             // right before it is examined
	args    []string
	env     []string // of a process of its own; nil: in this one
}

const setupConf = `#NS14.1 Build 29.72
enable ns feature LB
add serviceGroup sg-account HTTP
add serviceGroup sg-web HTTP
add serviceGroup sg-cart HTTP
add serviceGroup sg-cache TCP
bind serviceGroup sg-account 10.0.3.11 31080
add system user nitrox hunter22-of-edge
add system cmdPolicy nitrox-show ALLOW "^show (serviceGroup|server)( |$)"
add system cmdPolicy nitrox-node ALLOW "^(show|stat) [hH][aA] node( |$)"
add system cmdPolicy nitrox-change ALLOW "^(bind|unbind|enable|disable|set) serviceGroup( |$)"
add system cmdPolicy nitrox-save ALLOW "^save ns config( |$)"
add system cmdPolicy look ALLOW "^show (system (user|group|cmdPolicy)|ns (version|feature))( |$)"
bind system user nitrox nitrox-show 10
bind system user nitrox nitrox-node 20
bind system user nitrox nitrox-change 30
bind system user nitrox nitrox-save 40
bind system user nitrox look 50
`

const setupMapping = `netscalers:
  edge: {url: "$EDGE", username: nitrox, password_file: pw, ca_file: ca.pem}
sources:
  lab: {file: {path: endpoints.json}}
  prod: {kubernetes: {kubeconfig: kubeconfig}}
  dcos: {marathon: {urls: ["$DCOS"], username: nitrox, password_file: marathon-pw}}
  host: {docker: {host: "unix://$DIR/docker.sock", kind: engine, host_address: 10.0.3.21}}
defaults: {only: [10.0.0.0/16]}
apps:
  - {name: account, service_group: sg-account, from: [{source: prod, service: shop/account, port: http}]}
  - {name: web, service_group: sg-web, from: [{source: dcos, app: /shop/web, port: http}]}
  - {name: cart, service_group: sg-cart, from: [{source: lab, app: cart}]}
  - {name: cache, service_group: sg-cache, from: [{source: host, label: app=cache}]}
`

func newSetup(t *testing.T) *setup {
	// In a folder with a short name: that of a socket may have 108 bytes.
	dir, err := os.MkdirTemp("", "dr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &setup{
		t: t, dir: dir, conf: setupConf, mapping: setupMapping, control: newControl(),
		dcos: marathontest.New(marathontest.Options{Users: map[string]string{"nitrox": marathonSecret}, Agents: []string{"10.0.1.1", "10.0.1.2", "10.0.1.3"}}),
		daemon: &dockertest.Daemon{Containers: []string{`{"Id": "c1", "Names": ["/cache"], "Image": "cache", "ImageID": "sha256:1", "State": "running", "Status": "Up 2 hours",
			"Labels": {"app": "cache"}, "HostConfig": {"NetworkMode": "bridge"}, "Ports": [{"IP": "10.0.3.21", "PrivatePort": 6379, "PublicPort": 32768, "Type": "tcp"}]}`}},
		files: map[string]string{"pw": "hunter22-of-edge\n", "marathon-pw": marathonSecret, "endpoints.json": `{"apps": {"cart": ["10.0.3.12:80", "10.0.3.13:80"]}}`},
		modes: map[string]os.FileMode{}, skew: map[string]time.Duration{},
	}
}

// edit replaces a part of the mapping, or of the configuration if that has it.
func (s *setup) edit(old, new string) {
	switch {
	case strings.Contains(s.mapping, old):
		s.mapping = strings.Replace(s.mapping, old, new, 1)
	case strings.Contains(s.conf, old):
		s.conf = strings.Replace(s.conf, old, new, 1)
	default:
		s.t.Fatalf("nothing has %q", old)
	}
}

// skewed serves by another clock.
func (s *setup) skewed(who string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := s.skew[who]; d != 0 {
			w.Header().Set("Date", time.Now().Add(d).UTC().Format(http.TimeFormat))
		}
		h.ServeHTTP(w, r)
	})
}

func certificatePEM(server *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// examine runs nitrox doctor. Of the report, what has a port or a folder that
// differs each time has a word in its place.
func (s *setup) examine() (code int, report string) {
	s.t.Helper()
	if s.options.Users == nil {
		s.options.Users = map[string]string{"nitrox": "hunter22-of-edge"}
	}
	s.sim = simulator.New(s.options)
	if err := s.sim.Load(strings.NewReader(s.conf)); err != nil {
		s.t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	serve := func(h http.Handler, tls bool) *httptest.Server {
		server := httptest.NewUnstartedServer(h)
		server.Config.ErrorLog = quiet
		if tls {
			server.StartTLS()
		} else {
			server.Start()
		}
		s.t.Cleanup(server.Close)
		return server
	}
	edge := serve(s.skewed("edge", s.sim), true)
	prod := serve(s.skewed("prod", s.control), true)
	if err := s.dcos.Put(`{"id": "/shop/web", "cmd": "web", "instances": 2, "networks": [{"mode": "container/bridge"}],
		"container": {"type": "DOCKER", "docker": {"image": "web:1"}, "portMappings": [{"containerPort": 80, "hostPort": 0, "servicePort": 10000, "name": "http"}]}}`); err != nil {
		s.t.Fatal(err)
	}
	s.dcos.Settle()
	dcos := serve(s.skewed("dcos", s.dcos.Handler(0)), false)
	s.dcos.Listen(0, dcos.URL)
	sock, err := net.Listen("unix", filepath.Join(s.dir, "docker.sock"))
	if err != nil {
		s.t.Fatal(err)
	}
	docker := &http.Server{Handler: s.daemon, ErrorLog: quiet}
	var serving gosync.WaitGroup
	serving.Go(func() { _ = docker.Serve(sock) })
	s.t.Cleanup(func() { docker.Close(); serving.Wait() })
	ca := certificatePEM(prod)
	values := strings.NewReplacer("$EDGE", edge.URL, "$DCOS", dcos.URL, "$PROD", prod.URL, "$DIR", s.dir)
	s.files["nitrox.yaml"] = values.Replace(s.mapping)
	for name, text := range map[string]string{
		"ca.pem": certificatePEM(edge),
		"kubeconfig": fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}],
users: [{name: u, user: {token: %s}}], contexts: [{name: prod, context: {cluster: c, user: u}}]}`, prod.URL, base64.StdEncoding.EncodeToString([]byte(ca)), bearerSecret),
	} {
		if _, given := s.files[name]; !given {
			s.files[name] = text
		}
	}
	for name, text := range s.files {
		if text == "" {
			continue
		}
		mode := s.modes[name]
		if mode == 0 {
			mode = 0o600
		}
		file := filepath.Join(s.dir, name)
		if err := os.WriteFile(file, []byte(values.Replace(text)), 0o600); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.before != nil {
		s.before(s)
	}
	args := append([]string{"doctor", "--config", filepath.Join(s.dir, "nitrox.yaml")}, s.args...)
	if s.env == nil {
		var stderr string
		code, report, stderr = nitrox(s.t, s.t.Context(), nil, args...)
		if stderr != "" {
			s.t.Errorf("standard error has %s", stderr)
		}
	} else {
		cmd := exec.CommandContext(s.t.Context(), "nitrox", args...)
		cmd.Env = append(os.Environ(), s.env...)
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Run(); err != nil {
			code = cmd.ProcessState.ExitCode()
		}
		report = out.String()
	}
	s.harmless(report)
	return code, regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(strings.ReplaceAll(report, s.dir, "DIR"), "127.0.0.1:PORT")
}

// harmless: nothing was written or kept, nothing secret is told, the lines fit.
func (s *setup) harmless(report string) {
	s.t.Helper()
	logins := 0
	for _, c := range s.sim.Calls() {
		switch {
		case c.Type == "login":
			logins++
		case c.Method == "GET", c.Type == "logout", c.Type == "nspartition" && strings.EqualFold(c.Action, "switch"):
		default:
			s.t.Errorf("sent: %s %s?%s", c.Method, c.Path, c.Query)
		}
	}
	if logins > 2 { // one for each node, or one without a lifetime
		s.t.Errorf("%d log-ins", logins)
	}
	if n := s.sim.Sessions(); n != 0 {
		s.t.Errorf("%d sessions are left", n)
	}
	if shown := redacttest.Shown(report, "hunter22-of-edge", bearerSecret, marathonSecret); shown != "" {
		s.t.Errorf("%q is told", shown)
	}
	text, _, _ := strings.Cut(report, "\nthe smallest rights")
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && len(strings.Fields(line)) > 1 && len(s.args) == 0 {
			s.t.Errorf("%d columns: %s", n, line)
		}
	}
}

// trouble is what a report says beside what is in order.
func trouble(report string) string {
	report, _, _ = strings.Cut(report, "\nthe smallest rights")
	var b strings.Builder
	section, keep := "", false
	for line := range strings.Lines(report) {
		switch {
		case !strings.HasPrefix(line, " "):
			section, keep = line, false
		case strings.HasPrefix(line, "  ") && line[2] != ' ':
			if keep = !strings.HasPrefix(line, "  ok "); keep && section != "" {
				b.WriteString(section)
				section = ""
			}
		}
		if keep {
			b.WriteString(line)
		}
	}
	return b.String()
}

// checks are the subjects of a JSON report that are of a state, with their section.
func checks(t *testing.T, report, state string) (all []string) {
	t.Helper()
	var r struct {
		Checks []struct{ Section, Subject, State, Seen, Remedy string }
	}
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		t.Fatalf("%v: %s", err, report)
	}
	for _, c := range r.Checks {
		if c.State == state {
			all = append(all, strings.TrimPrefix(strings.TrimPrefix(c.Section, "netscaler "), "source ")+" "+c.Subject)
		}
		if c.State == "failed" && c.Remedy == "" {
			t.Errorf("no remedy: %+v", c)
		}
	}
	return all
}

func TestDoctorOfAHealthySetup(t *testing.T) {
	code, report := newSetup(t).examine()
	if bad := trouble(report); code != 0 || bad != "" {
		t.Errorf("exit code %d\n%s", code, report)
	}
	for _, want := range []string{"SHA-256", "ok          app account: 1 endpoint: 10.0.3.11:31080", "kind: ClusterRole", "{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}"} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
	t.Log(report)
}
