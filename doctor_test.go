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
	"net/netip"
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
	"nitrox/sources/sourcetest"
	"nitrox/sources/trust/trusttest"
)

// Secrets of the set-ups below, which no report shows.
const (
	bearerSecret   = "x1-which-the-cluster-knows"
	marathonSecret = "x2-which-marathon-knows"
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
		"pods":  {`{"metadata": {"name": "account-a", "namespace": "shop", "uid": "u1"}, "spec": {"nodeName": "worker-1"}, "status": {"hostIP": "10.0.3.11", "hostIPs": [{"ip": "10.0.3.11"}], "podIP": "10.244.0.7"}}`},
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
			Spec struct {
				ResourceAttributes struct{ Verb, Resource, Namespace string }
			}
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
	items := slices.DeleteFunc(slices.Clone(c.objects[resource]), func(o string) bool { return named && !strings.HasPrefix(o, `{"metadata": {"name": "`+name+`"`) })
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
	values := strings.NewReplacer("$EDGE", edge.URL, "$DCOS", dcos.URL, "$PROD", prod.URL, "$DIR", s.dir, "$TLSLESS", dcos.Listener.Addr().String(), "$SECURE", edge.Listener.Addr().String())
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
	if len(s.args) == 0 || s.args[0] != "--output" {
		report = unwrapped(report)
	}
	report = strings.ReplaceAll(report, s.dir, "DIR")
	for pattern, word := range map[string]string{
		`127\.0\.0\.1:\d+`: "127.0.0.1:PORT", `[0-9A-F]{64}`: "FINGERPRINT", `current time \S+ is after \S+`: "now TIME is after TIME", `lookup ns\.invalid.*`: "lookup ns.invalid: NOT FOUND", `\d\d:\d\d:\d\d on \d{4}-\d\d-\d\d`: "TIME",
	} {
		report = regexp.MustCompile(pattern).ReplaceAllString(report, word)
	}
	return code, report
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

// unwrapped has each check, and each remedy, on one line.
func unwrapped(report string) string {
	return regexp.MustCompile(`\n {14}(   )?([^ >])`).ReplaceAllString(report, " $2")
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
	for _, want := range []string{"its SHA-256 fingerprint is FINGERPRINT", "ok          app account: 1 endpoint: 10.0.3.11:31080", "kind: ClusterRole", "resources: [endpointslices]"} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
}

// The same as JSON, which says all that the text says.
func TestDoctorInJSON(t *testing.T) {
	s := newSetup(t)
	s.edit("service_group: sg-account", "service_group: sg-acount")
	s.files["marathon-pw"] = "of-nobody-x3"
	s.args = []string{"--output", "json"}
	code, report := s.examine()
	if failed := checks(t, report, "failed"); code != 1 || !slices.Equal(failed, []string{"edge service group sg-acount (app account)", "dcos log-in"}) {
		t.Errorf("exit code %d, failed %q\n%s", code, failed, report)
	}
	if not := checks(t, report, "not checked"); !slices.Equal(not, []string{"dcos app web, event stream"}) {
		t.Errorf("not checked: %q", not)
	}
	if !strings.Contains(report, `"add system cmdPolicy nitrox-show ALLOW \"^show (serviceGroup|server)( |$)\""`) {
		t.Error("no policy to copy")
	}
}

// Set-ups that are broken in one way: of each it is told what is wrong, and of
// nothing else. want are the checks that fail, warn those with a warning.
var brokenSetups = []struct {
	name   string
	breaks func(*setup)
	want   string
	warn   string
}{
	{name: "the NetScaler's name does not exist", want: "edge name ns.invalid", breaks: func(s *setup) { s.edit("$EDGE", "https://ns.invalid") }},
	{name: "the NetScaler's port is closed", want: "edge port 127.0.0.1:PORT", breaks: func(s *setup) { s.edit("$EDGE", "https://127.0.0.1:1") }},
	{name: "the port speaks no TLS", want: "edge TLS", breaks: func(s *setup) { s.edit("$EDGE", "https://$TLSLESS") }},
	{name: "another CA", want: "edge TLS", breaks: func(s *setup) { s.files["ca.pem"] = certificatePEM(otherServer(s.t)) }},
	{name: "another name in the certificate", want: "edge TLS", breaks: func(s *setup) { s.edit("ca_file: ca.pem", "ca_file: ca.pem, server_name: ns.example.org") }},
	{name: "another certificate is pinned", want: "edge TLS", breaks: func(s *setup) { s.edit("ca_file: ca.pem", "certificate_sha256: ["+strings.Repeat("00", 32)+"]") }},
	{name: "the password is wrong", want: "edge log-in", breaks: func(s *setup) { s.files["pw"] = "hunter23-of-nobody" }},
	{name: "the user is wrong", want: "edge log-in", breaks: func(s *setup) { s.edit("username: nitrox", "username: nitrix") }},
	{name: "the user has a second factor", want: "edge log-in", breaks: func(s *setup) {
		s.before = func(s *setup) { s.sim.SetFault(simulator.Fault{Type: "login", Code: 1034}) }
	}},
	{name: "only the secondary is named", want: "edge HA role", breaks: func(s *setup) {
		s.options.HA = true
		s.before = func(s *setup) { s.sim.SetRole("Secondary") }
	}},
	{name: "the peer is down", warn: "edge HA peer 192.0.2.11", breaks: func(s *setup) {
		s.options.HA, s.options.HAStatus = true, "DOWN"
		s.options.NSIP = netip.MustParseAddr("192.0.2.10")
	}},
	{name: "load balancing is disabled", want: "edge feature LB", breaks: func(s *setup) { s.edit("enable ns feature LB", "enable ns feature CS\ndisable ns feature LB") }},
	{name: "an old release", want: "edge version", breaks: func(s *setup) { s.options.Version = "NetScaler NS10.1: Build 135.18.nc, Date: Jul 22 2014, 20:36:51" }},
	{name: "a build without bulk reads and timeouts", warn: "edge NITRO", breaks: func(s *setup) {
		s.options.Lacks = []string{"bulkbindings"}
		s.edit("apps:\n", "apps:\n  - {name: more, service_group: sg-more, from: [{source: lab, app: cart}]}\n")
		s.edit("add serviceGroup sg-cart HTTP", "add serviceGroup sg-cart HTTP\nadd serviceGroup sg-more HTTP")
	}},
	{name: "a release without order", want: "edge version", breaks: func(s *setup) {
		s.options.Version = "NetScaler NS13.0: Build 92.31.nc, Date: Jul 22 2023, 20:36:51"
		s.edit("app: cart}", "app: cart, order: 1}")
	}},
	{name: "the partition does not exist", want: "edge partition wep", breaks: func(s *setup) {
		s.edit("ca_file: ca.pem", "ca_file: ca.pem, partition: wep")
		s.conf += "add ns partition web\nadd system cmdPolicy part ALLOW \"^(switch|show) ns partition\"\nbind system user nitrox part 60\n"
	}},
	{name: "the service group does not exist", want: "edge service group sg-acount (app account)", breaks: func(s *setup) { s.edit("service_group: sg-account", "service_group: sg-acount") }},
	{name: "the service group is for another protocol", want: "edge service group sg-cache (app cache)", breaks: func(s *setup) { s.edit("sg-cache TCP", "sg-cache UDP") }},
	{name: "the NetScaler changes the group itself", want: "edge service group sg-cart (app cart)", breaks: func(s *setup) { s.edit("sg-cart HTTP", "sg-cart HTTP -autoscale DNS") }},
	{name: "the group drains in another way", warn: "edge service group sg-cart (app cart)", breaks: func(s *setup) { s.edit("sg-cart HTTP", "sg-cart HTTP -autoscale API") }},
	{name: "the group is disabled", want: "edge service group sg-cart (app cart)", breaks: func(s *setup) { s.edit("sg-cart HTTP", "sg-cart HTTP -state DISABLED") }},
	{name: "the user may not bind", want: "edge rights", breaks: func(s *setup) { s.edit("(bind|unbind|enable|disable|set)", "(enable|disable|set)") }},
	{name: "the user may not save", want: "edge rights", breaks: func(s *setup) { s.edit("bind system user nitrox nitrox-save 40\n", "") }},
	{name: "the user may only read", want: "edge rights", breaks: func(s *setup) {
		s.edit("bind system user nitrox nitrox-change 30\nbind system user nitrox nitrox-save 40\n", "bind system user nitrox read-only 30\n")
	}},
	{name: "the user may not see service groups", want: "edge rights", breaks: func(s *setup) { s.edit("^show (serviceGroup|server)", "^show (server)") }},
	{name: "the user may not see the role", want: "edge rights", breaks: func(s *setup) { s.edit("bind system user nitrox nitrox-node 20\n", "") }},

	{name: "the service does not exist", want: "prod app account", breaks: func(s *setup) { s.edit("shop/account", "shop/acount") }},
	{name: "the port does not exist", want: "prod app account", breaks: func(s *setup) { s.edit("port: http}]}\n  - {name: web", "port: htp}]}\n  - {name: web") }},
	{name: "no pod is ready", want: "prod app account", breaks: func(s *setup) {
		s.control.objects["endpointslices"][0] = strings.Replace(s.control.objects["endpointslices"][0], `"ready": true, "serving": true`, `"ready": false, "serving": false`, 1)
	}},
	{name: "the node has no address", want: "prod app account", breaks: func(s *setup) {
		s.control.objects["nodes"][0] = strings.Replace(s.control.objects["nodes"][0], "InternalIP", "Hostname", 1)
	}},
	{name: "the addresses are outside of only", want: "host app cache, lab app cart, prod app account", breaks: func(s *setup) { s.edit("10.0.0.0/16", "10.0.1.0/24") }},
	{name: "the account may not list", want: "prod rights", breaks: func(s *setup) { s.control.forbid = []string{"list endpointslices.*"} }},
	{name: "the account may not list nodes", want: "", warn: "prod rights", breaks: func(s *setup) { s.control.forbid = []string{"list nodes"} }},
	{name: "the account may not create events", warn: "prod events", breaks: func(s *setup) {
		s.edit("kubeconfig: kubeconfig", "kubeconfig: kubeconfig, events: true")
		s.control.forbid = []string{"create events.*"}
	}},
	{name: "the account may not watch", warn: "prod rights for --watch", breaks: func(s *setup) { s.control.forbid = []string{"watch .*"} }},
	{name: "the account may not watch, which is needed", want: "prod rights for --watch", breaks: func(s *setup) {
		s.control.forbid = []string{"watch .*"}
		s.args = []string{"--watch"}
	}},
	{name: "the account may do everything", warn: "prod rights", breaks: func(s *setup) { s.control.wide = true }},
	{name: "the token has expired", want: "prod log-in", breaks: func(s *setup) { s.control.expired = true }},
	{name: "the context does not exist", want: "prod kubeconfig", breaks: func(s *setup) { s.edit("kubeconfig: kubeconfig", "kubeconfig: kubeconfig, context: prd") }},
	{name: "the kubeconfig's command is not installed", want: "prod log-in", breaks: func(s *setup) { s.plugin("absent-plugin") }},
	{name: "the kubeconfig's command fails", want: "prod log-in", breaks: func(s *setup) { s.plugin("false") }},
	{name: "the kubeconfig's command prints no credentials", want: "prod log-in", breaks: func(s *setup) { s.plugin("true") }},
	{name: "Marathon's token file is empty, and its authority missing", want: "dcos files", breaks: func(s *setup) {
		s.edit("username: nitrox, password_file: marathon-pw", "token_file: token, ca_file: absent.pem")
		s.edit("$DCOS", "https://127.0.0.1:1")
		s.files["token"] = "\n"
	}},
	{name: "a proxy has no scheme", want: "edge proxy", breaks: func(s *setup) {
		s.edit("$EDGE", "https://192.0.2.7")
		s.env = []string{"HTTPS_PROXY=127.0.0.1:1"}
	}},
	{name: "a proxy is none", want: "edge port 127.0.0.1:PORT", warn: " proxy HTTPS_PROXY", breaks: func(s *setup) {
		s.edit("$EDGE", "https://127.0.0.1:1")
		s.env = []string{"HTTPS_PROXY=http://%zz"}
	}},
	{name: "Marathon redirects", want: "dcos answer", breaks: func(s *setup) {
		sso := httptest.NewServer(http.RedirectHandler("https://sso.example.com/login", http.StatusFound))
		s.t.Cleanup(sso.Close)
		s.edit(`urls: ["$DCOS"], username: nitrox, password_file: marathon-pw`, `urls: ["`+sso.URL+`"]`)
	}},
	{name: "Marathon's port expects TLS", want: "dcos answer", breaks: func(s *setup) {
		s.edit(`urls: ["$DCOS"], username: nitrox, password_file: marathon-pw`, `urls: ["http://$SECURE"]`)
	}},
	{name: "a proxy has no NetScaler behind it", want: "edge log-in", breaks: func(s *setup) {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
		s.t.Cleanup(proxy.Close)
		s.edit("$EDGE", proxy.URL)
		s.edit(", ca_file: ca.pem", "")
	}},
	{name: "the password of Marathon is wrong", want: "dcos log-in", breaks: func(s *setup) { s.files["marathon-pw"] = "of-nobody-x3" }},
	{name: "Marathon has no such app", want: "dcos app web", breaks: func(s *setup) { s.edit("/shop/web", "/shop/wep") }},
	{name: "Marathon is something else", want: "dcos TLS", breaks: func(s *setup) { s.edit("$DCOS", "$PROD") }},
	{name: "Docker does not run", want: "host socket DIR/docker.sock", breaks: func(s *setup) {
		s.before = func(s *setup) { os.Remove(filepath.Join(s.dir, "docker.sock")) }
	}},
	{name: "no container has the label", want: "host app cache", breaks: func(s *setup) { s.edit("label: app=cache", "label: app=cash") }},
	{name: "the file does not exist", want: "lab file", breaks: func(s *setup) { s.edit("path: endpoints.json", "path: endpoint.json") }},
	{name: "the file is cut off", want: "lab answer", breaks: func(s *setup) { s.files["endpoints.json"] = `{"apps": {"cart": [` }},
	{name: "the file has no such app", want: "lab app cart", breaks: func(s *setup) { s.edit("app: cart}", "app: card}") }},
	{name: "the NetScaler's clock is hours off", want: "edge clock", breaks: func(s *setup) { s.skew["edge"] = -3 * time.Hour }},
	{name: "the API server's clock is a minute off", warn: "prod clock", breaks: func(s *setup) { s.skew["prod"] = time.Minute }},
	{name: "everybody may read the password", warn: "mapping password_file of edge", breaks: func(s *setup) { s.modes["pw"] = 0o644 }},
	{name: "everybody may read Marathon's password", warn: "mapping line 6:88", breaks: func(s *setup) { s.modes["marathon-pw"] = 0o644 }},
	{name: "the password file does not exist", want: "mapping line 2:75", breaks: func(s *setup) { s.files["pw"] = "" }},
	{name: "the mapping has a typo", want: "mapping line 6:55, mapping line 6:87", breaks: func(s *setup) {
		s.edit("username: nitrox, password_file: marathon-pw", "usrname: nitrox, password_file: marathon-pw")
	}},
	{name: "a proxy is in the way", want: "edge proxy", breaks: func(s *setup) {
		s.edit("$EDGE", "https://192.0.2.10")
		s.env = []string{"HTTPS_PROXY=http://user:hunter22-of-edge@127.0.0.1:1"}
	}},
	{name: "a proxy answers in the NetScaler's place", want: "edge log-in", warn: "mapping line 2:15", breaks: func(s *setup) {
		squid := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html><h1>Access denied</h1></html>", http.StatusForbidden)
		}))
		s.t.Cleanup(squid.Close)
		s.edit("$EDGE", "http://192.0.2.10")
		s.edit(", ca_file: ca.pem", "")
		s.env = []string{"HTTP_PROXY=" + squid.URL, "NO_PROXY=example.com"}
	}},
	{name: "http instead of https", want: "edge log-in", breaks: func(s *setup) { s.edit("$EDGE", "http://$SECURE") }},
	{name: "one node of a pair is down", want: "edge port 127.0.0.1:PORT", breaks: func(s *setup) { s.edit(`url: "$EDGE"`, `urls: ["https://127.0.0.1:1", "$EDGE"]`) }},
	{name: "the certificate has expired", want: "edge TLS", breaks: func(s *setup) {
		old := trusttest.Serve(s.t, http.NotFoundHandler(), time.Now().Add(-time.Hour))
		s.edit("$EDGE", old.URL)
		s.files["ca.pem"] = certificatePEM(old)
	}},
	{name: "the NetScaler is something else", want: "edge log-in", breaks: func(s *setup) {
		s.edit("$EDGE", "$DCOS")
		s.edit(", ca_file: ca.pem", "")
	}},
	{name: "the user's policies are not told", breaks: func(s *setup) { s.edit("bind system user nitrox look 50\n", "") }},
	{name: "the user's policies are not told, and one is missing", want: "edge service group sg-account, sg-web, sg-cart, sg-cache", breaks: func(s *setup) {
		s.edit("bind system user nitrox look 50\n", "")
		s.edit("^show (serviceGroup|server)", "^show (server)")
	}},
	{name: "the policy comes by a group", breaks: func(s *setup) {
		s.edit("bind system user nitrox nitrox-save 40\n", "add system group savers\nbind system group savers -userName nitrox\nbind system group savers -policyName nitrox-save 40\n")
	}},
	{name: "a policy denies", want: "edge rights", breaks: func(s *setup) {
		s.conf += "add system cmdPolicy frozen DENY \"^save\"\nbind system user nitrox frozen 5\n"
	}},
	{name: "the virtual server does not exist", want: "edge service group sg-new (app cart)", breaks: func(s *setup) {
		s.edit("service_group: sg-cart", "service_group: sg-new, create: {service_type: HTTP, vserver: {name: vip}}")
		s.conf += "add system cmdPolicy make ALLOW \"^(add|show|bind) (serviceGroup|lb vserver)\"\nbind system user nitrox make 60\n"
	}},
	{name: "the kubeconfig trusts another CA", want: "prod TLS", breaks: func(s *setup) {
		s.before = func(s *setup) {
			file := filepath.Join(s.dir, "kubeconfig")
			text := readFile(s.t, file)
			at := strings.Index(text, "certificate-authority-data: ") + len("certificate-authority-data: ")
			end := at + strings.Index(text[at:], "}")
			text = text[:at] + base64.StdEncoding.EncodeToString([]byte(certificatePEM(otherServer(s.t)))) + text[end:]
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}},
	{name: "the engine is the worker of a swarm", want: "host answer", breaks: func(s *setup) {
		s.edit("kind: engine, host_address: 10.0.3.21", "node_label: address")
		s.daemon.Swarm = "active/worker"
	}},
	{name: "nothing serves the socket of Docker", want: "host socket DIR/docker.sock", breaks: func(s *setup) {
		s.before = func(s *setup) {
			file := filepath.Join(s.dir, "docker.sock")
			os.Remove(file)
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: file})
			if err != nil {
				s.t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			l.Close()
		}
	}},
	{name: "the daemon's port is closed", want: "host port 127.0.0.1:PORT", breaks: func(s *setup) { s.edit("unix://$DIR/docker.sock", "tcp://127.0.0.1:1") }},
	{name: "the file is a folder", want: "lab file", breaks: func(s *setup) { s.edit("path: endpoints.json", "path: .") }},
	{name: "the file is too old", want: "lab answer", breaks: func(s *setup) {
		s.edit("path: endpoints.json", "path: endpoints.json, max_age: 1h")
		s.before = func(s *setup) {
			old := time.Now().Add(-48 * time.Hour)
			if err := os.Chtimes(filepath.Join(s.dir, "endpoints.json"), old, old); err != nil {
				s.t.Fatal(err)
			}
		}
	}},
	{name: "several at once", want: "edge version, edge feature LB, edge rights, edge service group sg-acount (app account), edge service group sg-cart (app cart), " +
		"dcos log-in, host socket DIR/docker.sock, lab app cart, prod clock, prod app account",
		breaks: func(s *setup) {
			s.edit("bind system user nitrox nitrox-save 40\n", "")
			s.edit("enable ns feature LB", "disable ns feature LB")
			s.edit("sg-cart HTTP", "sg-cart HTTP -state DISABLED")
			s.edit("service_group: sg-account", "service_group: sg-acount")
			s.options.Version = "NetScaler NS10.1: Build 135.18.nc, Date: Jul 22 2014, 20:36:51"
			s.edit("port: http}]}\n  - {name: web", "port: htp}]}\n  - {name: web")
			s.edit("app: cart}", "app: card}")
			s.files["marathon-pw"] = "of-nobody-x3"
			s.before = func(s *setup) { os.Remove(filepath.Join(s.dir, "docker.sock")) }
			s.skew["prod"] = 2 * time.Hour
		}},
}

// plugin makes a command give the credentials for Kubernetes.
func (s *setup) plugin(command string) {
	s.before = func(s *setup) {
		file := filepath.Join(s.dir, "kubeconfig")
		exec := "{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: \"" + command + "\"}}"
		text := strings.Replace(readFile(s.t, file), "{token: "+bearerSecret+"}", exec, 1)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// otherServer has a certificate of its own, which no authority of the set-ups has
// signed.
func otherServer(t *testing.T) *httptest.Server {
	return trusttest.Serve(t, http.NotFoundHandler(), time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC))
}

const doctorGolden = "testdata/doctor.golden"

// What is told of each broken set-up is in one file; -update rewrites it.
func TestDoctorNamesTheCause(t *testing.T) {
	sourcetest.Thorough(t)
	told := make([]string, len(brokenSetups))
	for i, b := range brokenSetups { // one by one: package cli has flags that all commands share
		t.Run(b.name, func(t *testing.T) {
			s := newSetup(t)
			b.breaks(s)
			code, report := s.examine()
			told[i] = fmt.Sprintf("# %s\n\n%s\n", b.name, trouble(report))
			if want := map[bool]int{true: 1}[b.want != ""]; code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			failed, warned := subjects(report, "FAILED"), subjects(report, "warning")
			if strings.Join(failed, ", ") != b.want || strings.Join(warned, ", ") != b.warn {
				t.Errorf("failed %q, want %q; warned %q, want %q\n%s", failed, b.want, warned, b.warn, trouble(report))
			}
		})
	}
	text := strings.Join(told, "")
	if *update {
		if err := os.WriteFile(doctorGolden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := readFile(t, doctorGolden); text != want {
		t.Errorf("%s is not what doctor tells; go test -run Doctor -update . rewrites it:\n%s", doctorGolden, firstDifference(text, want))
	}
}

// firstDifference is the first line of got that want has not at its place.
func firstDifference(got, want string) string {
	lines := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(lines) || line != lines[i] {
			return fmt.Sprintf("line %d: %s", i+1, line)
		}
	}
	return "it ends early"
}

// subjects are those of a text report's checks of a state, with their section.
func subjects(report, word string) (all []string) {
	section := ""
	for line := range strings.SplitSeq(report, "\n") {
		if line != "" && line[0] != ' ' {
			_, section, _ = strings.Cut(line, " ")
			if strings.HasPrefix(line, "mapping ") {
				section = "mapping"
			}
		}
		if rest, ok := strings.CutPrefix(line, "  "+word); ok {
			subject, _, _ := strings.Cut(strings.TrimSpace(rest), ": ")
			all = append(all, section+" "+subject)
		}
	}
	return all
}
