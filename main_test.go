package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nitrox/netscaler/simulator"
	"nitrox/sources/all"
	"nitrox/sources/redact/redacttest"
	"nitrox/sources/trust"
	"nitrox/sources/trust/trusttest"
	"nitrox/sync/config"
)

var update = flag.Bool("update", false, "rewrite the expected outputs of scripts and documents")

// leftBehind are the folders that are removed after the last test.
var leftBehind []string

type suite struct{ *testing.M }

func (s suite) Run() int {
	defer func() {
		for _, dir := range leftBehind {
			os.RemoveAll(dir)
		}
	}()
	return s.M.Run()
}

func TestMain(m *testing.M) {
	if _, set := os.LookupEnv("GORACE"); !set { // else each process waits for a second before it ends
		os.Setenv("GORACE", "atexit_sleep_ms=20")
	}
	testscript.Main(suite{m}, map[string]func(){"nitrox": func() {
		os.Exit(mainWith(guard(os.Stdout), guard(os.Stderr)))
	}})
}

// password is that of the NetScaler's user in tests that run the binary. Nothing
// ever prints it, in any form.
const password = `hun"ter\2<&> 100%`

// guarded is an output of the binary that ends it if a password is in it.
type guarded struct {
	io.Writer
	secrets []string
	written []byte
}

// guard leaves a terminal as it is, which the binary must recognise.
func guard(f *os.File) io.Writer {
	g := &guarded{Writer: f}
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); (strings.Contains(name, "PASSWORD") || strings.HasSuffix(name, "_PW")) && len(value) > 4 {
			g.secrets = append(g.secrets, value)
		}
	}
	if isTerminal(f) {
		return f
	}
	return g
}

func (g *guarded) Write(b []byte) (int, error) {
	g.written = append(g.written, b...)
	if shown := redacttest.Shown(string(g.written), g.secrets...); shown != "" {
		fmt.Fprintf(os.Stderr, "A SECRET WAS PRINTED: %s\n%s", shown, g.written)
		os.Exit(99)
	}
	g.written = g.written[max(0, len(g.written)-1000):]
	return g.Writer.Write(b)
}

// TestScripts runs testdata/script. Beside the commands of testscript there are
//
//	netscaler FILE         starts a simulated NetScaler with an ns.conf; its URL is $NETSCALER
//	members GROUP [TEXT]   prints a group's members, or waits until they are TEXT
//	calls                  prints and forgets the calls it saw, reads in a row by name
//	fault JSON             sets a simulator.Fault; fault off clears all
//	stranger NAME STATUS TEXT [tls]  starts what is no NetScaler; its host and port are $NAME
//	exit CODE COMMAND...   runs a command that must end with this code
func TestScripts(t *testing.T) {
	t.Parallel()
	type key struct{}
	sim := func(ts *testscript.TestScript) *simulator.Simulator { return ts.Value(key{}).(*simulator.Simulator) }
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			s := simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})
			server := httptest.NewServer(s)
			env.Defer(server.Close)
			env.Values[key{}] = s
			env.Setenv("NETSCALER", server.URL)
			env.Setenv("NS_USER", "nitrox")
			env.Setenv("NS_PASSWORD", password)
			env.Setenv("PASSWORD", password)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"netscaler": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(sim(ts).Load(strings.NewReader(ts.ReadFile(args[0]))))
			},
			"members": func(ts *testscript.TestScript, _ bool, args []string) {
				members := func() string {
					var all []string
					for _, m := range sim(ts).Members(args[0]) {
						text := m.Addr.String()
						if m.Weight != 1 {
							text += fmt.Sprintf(" weight %d", m.Weight)
						}
						if m.State != "ENABLED" {
							text += " " + m.SvrState
						}
						all = append(all, text)
					}
					return strings.Join(all, ", ")
				}
				if len(args) == 1 {
					fmt.Fprintln(ts.Stdout(), members())
					return
				}
				for deadline := time.Now().Add(time.Minute); members() != args[1]; {
					if time.Now().After(deadline) {
						ts.Fatalf("%s has %q, not %q", args[0], members(), args[1])
					}
					<-time.After(10 * time.Millisecond)
				}
			},
			"calls": func(ts *testscript.TestScript, _ bool, _ []string) {
				var lines []string
				for _, c := range sim(ts).Calls() {
					lines = append(lines, strings.TrimSpace(c.Method+" "+c.Type+" "+c.Action))
				}
				for i := 1; i < len(lines); i++ { // reads that follow each other may have been made at a time
					for j := i; j > 0 && lines[j-1] > lines[j] && strings.HasPrefix(lines[j-1], "GET") && strings.HasPrefix(lines[j], "GET"); j-- {
						lines[j-1], lines[j] = lines[j], lines[j-1]
					}
				}
				fmt.Fprintln(ts.Stdout(), strings.Join(lines, "\n"))
				sim(ts).ResetCalls()
			},
			"fault": func(ts *testscript.TestScript, _ bool, args []string) {
				if args[0] == "off" {
					sim(ts).ClearFaults()
					return
				}
				var f simulator.Fault
				ts.Check(json.Unmarshal([]byte(args[0]), &f))
				sim(ts).SetFault(f)
			},
			"stranger": func(ts *testscript.TestScript, _ bool, args []string) {
				status, err := strconv.Atoi(args[1])
				ts.Check(err)
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(status)
					_, _ = io.WriteString(w, args[2])
				}))
				server.Config.ErrorLog = log.New(io.Discard, "", 0)
				if len(args) > 3 {
					server.StartTLS()
				} else {
					server.Start()
				}
				ts.Defer(server.Close)
				ts.Setenv(args[0], server.Listener.Addr().String())
			},
			"exit": func(ts *testscript.TestScript, _ bool, args []string) {
				var exit *exec.ExitError
				code := 0
				if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
					code = exit.ExitCode()
				} else {
					ts.Check(err)
				}
				if got := fmt.Sprint(code); got != args[0] {
					ts.Fatalf("exit code %s, want %s", got, args[0])
				}
			},
		},
	})
}

// nitrox runs a command line in process.
func nitrox(t *testing.T, ctx context.Context, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	code = run(ctx, append([]string{"nitrox"}, args...), &out, &log, lookup)
	for name, value := range env {
		if shown := redacttest.Shown(out.String()+log.String(), value); shown != "" && name == "NS_PASSWORD" && value != "nsroot" { // which the user is called too
			t.Errorf("%s is printed: %q", name, shown)
		}
	}
	return code, out.String(), log.String()
}

// spawned runs a command line as a process, in a folder: many can at a time, which in
// process the flags forbid that package cli shares between commands.
func spawned(t *testing.T, dir string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	cmd := exec.Command("nitrox", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &log
	cmd.Env = append([]string{"HOME=" + dir, "GORACE=" + os.Getenv("GORACE")}, env...)
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

func TestEveryExampleLoads(t *testing.T) {
	mappings := 0
	err := filepath.WalkDir("examples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch {
		case d.Name() == "ns.conf":
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			return simulator.New(simulator.Options{}).Load(f)
		case strings.HasSuffix(path, ".yaml"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if !bytes.Contains(text, []byte("\nnetscalers:")) {
				return nil // a manifest of some platform, tested with it
			}
			mappings++
			m, err := (&config.Files{Names: []string{path}, Lookup: func(name string) (string, bool) {
				return cmp.Or(map[string]string{"DOCKER_HOST": "tcp://192.168.99.100:2376", "DOCKER_CERT_PATH": "/home/me/.docker/machine/machines/edge-1"}[name], "x"), true
			}}).Load(all.Kinds)
			if err != nil {
				return fmt.Errorf("%s:\n%w", path, err)
			}
			for _, w := range m.Warnings {
				t.Logf("%v", w)
			}
			for _, l := range m.Unusable {
				t.Errorf("%v", l.Problems)
			}
			for _, app := range m.Apps {
				if len(app.Policy.Only) == 0 && !strings.HasPrefix(path, "examples/kubernetes/") {
					t.Errorf("%s: app %s has no only", path, app.Name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if mappings < 2 {
		t.Errorf("%d mapping files under examples", mappings)
	}
}

// The quickstart does what it says, against the simulator that it says.
func TestQuickstart(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	f, err := os.Open("examples/quickstart/ns.conf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := sim.Load(f); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	defer server.Close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("examples/quickstart")); err != nil {
		t.Fatal(err)
	}
	mapping := filepath.Join(dir, "nitrox.yaml")
	text, err := os.ReadFile(mapping)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mapping, bytes.ReplaceAll(text, []byte("http://127.0.0.1:8088"), []byte(server.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, log := nitrox(t, t.Context(), nil, "doctor", "--config", mapping); code != 0 || log != "" || strings.Contains(out, "not checked") {
		t.Fatalf("exit code %d\n%s%s", code, out, log)
	}
	if code, out, log := nitrox(t, t.Context(), nil, "sync", "--config", mapping); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, log)
	}
	if n := len(sim.Members("CartService")); n != 2 {
		t.Errorf("CartService has %d members", n)
	}
}

// Imports point one way: main to sync to the leaves, which know neither each
// other nor the core; the simulator knows nothing but the standard library, so
// that it and the client read NITRO independently.
func TestImportsPointOneWay(t *testing.T) {
	list := func(pattern, format string) []string {
		out, err := exec.Command("go", "list", "-deps", "-f", format, pattern).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", pattern, err)
		}
		return strings.Fields(string(out))
	}
	// What the sources and the NITRO client share stands on nothing else.
	const rooms = `^nitrox/(sync|netscaler|sources$|sources/[^benrt])|^[^/]+\.[^/]+/`
	for _, c := range []struct{ pattern, never string }{
		{"./sources/...", `^nitrox/(sync|netscaler)`},
		{"./sources/stream", `^[^/]+\.[^/]+/`}, // and with it httpapi
		{"./sources/kubeapi", `^nitrox/sources/(all|docker|file|kubernetes|marathon)`},
		{"./sync/lease", `^nitrox/(sync$|netscaler|sources/(all|docker|file|kubernetes|marathon))`},
		{"./sources/bounds", rooms},
		{"./sources/nearest", rooms},
		{"./sources/redact", rooms},
		{"./sources/trust", rooms},
		{"./sources/examine", rooms},
		{"./sources/textfile", rooms},
		{"./netscaler", `^nitrox/(sync|sources$|sources/[^benrt]|netscaler/)`},
		{"./netscaler", `^k8s\.io/`},
		{"./sync/discover", `^nitrox/(sync$|sources/[^benrt]|netscaler/)`},
		{"./sync", `^nitrox/(sync/(config|doctor|lease|observe|proposal)|sources/[^benrt]|netscaler/)`},
		{"./sync", `^(k8s\.io/|go\.yaml\.in/|nitrox/sources/textfile/)`},
		{"./sync/config", `^nitrox/(sync/doctor|sources/[^benrt]|netscaler/)`},
		{"./sync/doctor", `^nitrox/(sources/(all|docker|file|kubernetes|marathon)|netscaler/)`},
		{"./netscaler/simulator", `^nitrox/(sync|sources|netscaler$)|^[^/]+\.[^/]+/`},
	} {
		if i := slices.IndexFunc(list(c.pattern, "{{.ImportPath}}"), regexp.MustCompile(c.never).MatchString); i >= 0 {
			t.Errorf("%s imports %s", c.pattern, list(c.pattern, "{{.ImportPath}}")[i])
		}
	}
	// Only main and the rooms of the core stand on it.
	for _, line := range strings.Split(strings.Join(list("./...", `{{.ImportPath}}={{join .Imports ","}}`), "\n"), "\n") {
		name, imports, _ := strings.Cut(line, "=")
		if slices.Contains(strings.Split(imports, ","), "nitrox/sync") && name != "nitrox" && !strings.HasPrefix(name, "nitrox/sync/") {
			t.Errorf("%s imports nitrox/sync", name)
		}
	}
}

// TLS is verified by default, and each way it can fail says what to do.
func TestTLSIsVerified(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	sim.AddGroup("shop")
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs the handshakes that fail
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(sim)
	defer plain.Close()
	appliance := trusttest.Serve(t, sim, time.Now().Add(time.Hour)) // a common name, no host name
	pin := string(trust.Of(appliance.Certificate()))
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	write("endpoints.json", `{"apps": {"shop": ["10.0.0.1:80"]}}`)
	write("appliance.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: appliance.Certificate().Raw})))
	for _, c := range []struct {
		name, url, keys string
		code            int
		says            string // in the report or the log
	}{
		{"an authority that is not known", server.URL, "", 1, "ca_file, or pin it: certificate_sha256: " + string(trust.Of(server.Certificate()))},
		{"another name", server.URL, "ca_file: ca.pem, server_name: ns.example.org", 1, "server_name, or pin it"},
		{"its authority", server.URL, "ca_file: ca.pem", 0, "1 bound"},
		{"its name", server.URL, "ca_file: ca.pem, server_name: example.com", 0, "in step"},
		{"verification switched off", server.URL, "insecure_skip_verify: true", 0, "insecure_skip_verify"},
		// What the message says about a certificate without a host name is never
		// a key that the next message would not be content with.
		{"an appliance's own", appliance.URL, "", 1, "the certificate is for no host name; pin it: certificate_sha256: " + pin},
		{"an appliance's own, as authority", appliance.URL, "ca_file: appliance.pem", 1, "the certificate is for no host name; pin it: certificate_sha256: " + pin},
		{"an appliance's own, by name", appliance.URL, `ca_file: appliance.pem, server_name: "default ABCDEF"`, 1, "pin it: certificate_sha256: " + pin},
		{"its fingerprint", appliance.URL, "certificate_sha256: " + pin, 0, "in step"},
		{"another's fingerprint", server.URL, "certificate_sha256: " + pin, 1,
			"fingerprint is " + string(trust.Of(server.Certificate())) + "; list it only if the server itself shows the same (in its shell: openssl x509"},
		{"https to a port without TLS", strings.Replace(plain.URL, "http", "https", 1), "", 1, "is it the https port?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sim.ResetCalls()
			mapping := write("nitrox.yaml", fmt.Sprintf("netscalers: {edge: {url: %q, username: nsroot, password: \"${PW}\", %s}}\nsources: {lab: {file: {path: endpoints.json}}}\napps: [{name: shop, from: [{source: lab, app: shop}]}]\n", c.url, c.keys))
			code, out, log := nitrox(t, t.Context(), map[string]string{"PW": "nsroot"}, "sync", "--config", mapping)
			if code != c.code || !strings.Contains(out+log, c.says) {
				t.Errorf("exit code %d, want %d and a word of %q:\n%s%s", code, c.code, c.says, out, log)
			}
			if strings.Contains(out+log, "…") {
				t.Errorf("the sentence is cut off, and with it what to do:\n%s%s", out, log)
			}
			if n := len(sim.Calls()); code != 0 && n != 0 {
				t.Errorf("%d calls to what is not trusted", n)
			}
		})
	}
}

// The simulator's command serves what an ns.conf says until it is stopped.
func TestSimulatorCommand(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	conf := filepath.Join(t.TempDir(), "ns.conf") // with a line that it goes without
	text := readFile(t, "examples/quickstart/ns.conf") + "bind serviceGroup nosuch 10.0.0.1 80\nadd system user ops 1abc -encrypted\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		var stderr bytes.Buffer
		code := run(ctx, []string{"nitrox", "simulator", "--listen", "127.0.0.1:0", "--config", conf, "--password", "hello"}, w, &stderr, os.LookupEnv)
		if said := stderr.String(); code != 0 || !strings.Contains(said, "258: No such resource [serviceGroupName, nosuch]\n") ||
			!strings.Contains(said, "encrypted passwords: ops; give one of them a password with --user NAME --password PASSWORD\n") {
			t.Errorf("exit code %d: %s", code, said)
		}
		w.Close()
		done <- code
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	url := regexp.MustCompile(`http://[0-9.:]+`).FindString(line)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nitrox.yaml":    fmt.Sprintf("netscalers: {edge: {url: %q, username: nsroot, password: \"${PW}\"}}\nsources: {lab: {file: {path: endpoints.json}}}\napps: [{name: CartService, from: [{source: lab, app: x}]}]\n", url),
		"endpoints.json": `{"apps": {"x": ["10.0.0.1:80"]}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, log := nitrox(t, t.Context(), map[string]string{"PW": "hello"}, "sync", "--config", filepath.Join(dir, "nitrox.yaml")); code != 0 || !strings.Contains(out, "1 bound") {
		t.Errorf("exit code %d\n%s%s", code, out, log)
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
	bad := filepath.Join(dir, "bad.conf")
	if err := os.WriteFile(bad, []byte("add serviceGroup a HTTP\nbind serviceGroup b 10.0.0.1 80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says string }{
		{"simulator --password-file no-such-file", "no-such-file"},
		{"simulator --password-file a --password b", "cannot be combined"},
		{"simulator --config no-such-file", "no-such-file"},
		{"simulator --check --config " + bad, "bad.conf: line 2: "},
		{"simulator --listen nowhere", "nowhere"},
	} {
		if code, _, stderr := nitrox(t, t.Context(), nil, strings.Fields(c.args)...); code != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d: %s", c.args, code, stderr)
		}
	}
}

// A loop that listens serves metrics, health and a page, from its first pass on.
func TestListen(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	sim.AddGroup("shop")
	server := httptest.NewServer(sim)
	defer server.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nitrox.yaml":    fmt.Sprintf("netscalers: {edge: {url: %q, username: nsroot, password: \"${PW}\"}}\nsources: {lab: {file: {path: endpoints.json}}}\napps: [{name: shop, from: [{source: lab, app: shop}]}]\n", server.URL),
		"endpoints.json": `{"apps": {"shop": ["10.0.0.1:80"]}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		lookup := func(name string) (string, bool) { return "nsroot", name == "PW" }
		done <- run(ctx, []string{"nitrox", "sync", "--config", filepath.Join(dir, "nitrox.yaml"), "--loop", "1h", "--listen", "127.0.0.1:0", "--metrics-file", filepath.Join(dir, "nitrox.prom")}, io.Discard, w, lookup)
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	url := ""
	for lines.Scan() {
		if url == "" {
			url = regexp.MustCompile(`http://127[0-9.:]+`).FindString(lines.Text())
		}
		if strings.Contains(lines.Text(), "pass ended") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	file := filepath.Join(dir, "nitrox.prom")
	for {
		if text, err := os.ReadFile(file); err == nil {
			if !bytes.Contains(text, []byte("nitrox_")) {
				t.Errorf("%s", text)
			}
			break
		}
		if ctx.Err() != nil {
			t.Fatal("no metrics file")
		}
		<-time.After(10 * time.Millisecond)
	}
	for path, says := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/metrics": `nitrox_nitro_calls_total{kind="login"`, "/": "shop"} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !bytes.Contains(body, []byte(says)) {
			t.Errorf("%s: %s %v\n%s", path, resp.Status, err, body)
		}
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := sim.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}
