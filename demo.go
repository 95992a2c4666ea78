package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"nitrox/netscaler/simulator"
)

// The demo's files. The NetScaler has the service group already: that, and all
// that is in front of it, is its administrator's.
const (
	demoNSConf = `add serviceGroup sg-account HTTP
`
	demoMapping = `netscalers:
  edge: {url: "${DEMO_NETSCALER}", username: nsroot, password: "${DEMO_PASSWORD}"}
sources:
  lab: {file: {path: endpoints.json}}
apps:
  - name: AccountService
    service_group: sg-account
    drain: 3s
    from:
      - {source: lab, app: AccountService}
`
)

// demo shows everything on a simulator of its own, by the command lines
// that a user would type.
type demo struct {
	*program
	dir    string
	sim    *simulator.Simulator
	env    map[string]string
	slowly bool // a person is watching
}

func (p *program) demo(c *cli.Context) (err error) {
	dir, err := os.MkdirTemp("", "nitrox-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	sim := simulator.New(simulator.Options{})
	if err := sim.Load(strings.NewReader(demoNSConf)); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }() // ends with the Close below
	defer server.Close()

	d := &demo{program: p, dir: dir, sim: sim, slowly: isTerminal(p.stdout), env: map[string]string{
		"DEMO_NETSCALER": "http://" + l.Addr().String(), "DEMO_PASSWORD": "nsroot",
		"NITROX_CONFIG": filepath.Join(dir, "nitrox.yaml"),
	}}
	return d.tell(c.Context)
}

func (d *demo) tell(ctx context.Context) error {
	if err := d.write("nitrox.yaml", demoMapping); err != nil {
		return err
	}
	d.say(ctx, "A mapping file says where to look up an app's containers, and which service group they belong to:")
	d.show(demoMapping)
	running := func(n int) func() error { return func() error { return d.containers(n) } }
	for _, scene := range []struct {
		text    string
		happens func() error
		command string
		code    int
	}{
		{"Four containers are running. What would Nitrox do? A dry run only reads:", running(4), "plan", 0},
		{"Apply it:", running(4), "sync", 0},
		{"The app grows from 4 containers to 6:", running(6), "sync", 0},
		{"The cluster manager fails: its answer breaks off in the middle. Unknown is not empty, so nothing is removed:", func() error {
			return d.write("endpoints.json", `{"apps": {"AccountService": ["10.0.3.11:31080", "10.0.`)
		}, "sync", 1},
		{"It recovers, and the app shrinks to 2. A drop this large is confirmed by asking again; then four members drain for 3 seconds:",
			running(2), "sync", 0},
		{"Once they are out of service, any later run unbinds them, without keeping state:", func() error { return d.drained(ctx) }, "sync", 0},
	} {
		d.say(ctx, scene.text)
		if err := scene.happens(); err != nil {
			return err
		}
		if err := d.run(ctx, scene.code, scene.command); err != nil {
			return err
		}
	}
	d.say(ctx, "That was the whole story, on a simulated NetScaler, with just the commands above. Try next:")
	d.show(`nitrox simulator --listen 127.0.0.1:8088     a NetScaler to try your own mapping on
nitrox validate --config nitrox.yaml         all problems of a mapping file at once
nitrox plan --config nitrox.yaml             what a run would do; only reads
nitrox plan --config nitrox.yaml -o nscli    the same as NetScaler commands
nitrox sync --config nitrox.yaml             do it once; add --loop 30s to keep doing it
`)
	return nil
}

// containers makes the file source say that n containers run.
func (d *demo) containers(n int) error {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%q", fmt.Sprintf("10.0.3.%d:31080", 11+i)))
	}
	return d.write("endpoints.json", fmt.Sprintf("{\"apps\": {\"AccountService\": [%s]}}\n", strings.Join(list, ", ")))
}

// write puts a file in place whole.
func (d *demo) write(name, content string) error {
	part := filepath.Join(d.dir, name+".part")
	if err := os.WriteFile(part, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(d.dir, name))
}

// run carries out a command line, shows it with its output and exit code, and
// then what the NetScaler has.
func (d *demo) run(ctx context.Context, want int, command string) error {
	fmt.Fprintf(d.stdout, "\n  $ nitrox %s\n", command)
	var out, log bytes.Buffer
	lookup := func(name string) (string, bool) { v, ok := d.env[name]; return v, ok }
	code := run(ctx, []string{"nitrox", command, "--log-level", "error"}, &out, &log, lookup)
	d.show(strings.ReplaceAll(out.String(), d.dir+string(filepath.Separator), ""))
	if code != want {
		return fmt.Errorf("the demo went wrong: exit code %d, not %d: %s", code, want, log.String())
	}
	fmt.Fprintf(d.stdout, "  exit code %d; sg-account now has ", code)
	var members []string
	for _, m := range d.sim.Members("sg-account") {
		s := m.Addr.Addr().String()
		if m.State != "ENABLED" {
			s += " (draining)"
		}
		members = append(members, s)
	}
	if len(members) == 0 {
		members = []string{"no members"}
	}
	fmt.Fprintln(d.stdout, strings.Join(members, ", "))
	return nil
}

// drained waits until the NetScaler has taken the draining members out of
// service, which is a matter of their 3 seconds.
func (d *demo) drained(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		draining := false
		for _, m := range d.sim.Members("sg-account") {
			draining = draining || m.SvrState == "GOING OUT OF SERVICE"
		}
		if !draining {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// say starts a new paragraph, after a moment in which a person can read the
// one before.
func (d *demo) say(ctx context.Context, text string) {
	if d.slowly {
		select {
		case <-time.After(1200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	fmt.Fprintf(d.stdout, "\n%s\n", text)
}

func (d *demo) show(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(d.stdout, "    %s", line)
	}
}
