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

// demo tells the whole story on a simulator of its own, by the command lines
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
	d.say(ctx, "A mapping file says where an app's containers are known, and which service group holds them:")
	d.show(demoMapping)
	d.say(ctx, "Today four containers run. What would Nitrox do? A dry run only reads:")
	if err := d.containers(4); err != nil {
		return err
	}
	if err := d.run(ctx, 0, "plan"); err != nil {
		return err
	}
	d.say(ctx, "Do it:")
	if err := d.run(ctx, 0, "sync"); err != nil {
		return err
	}
	d.say(ctx, "The app grows from 4 containers to 6:")
	if err := d.containers(6); err != nil {
		return err
	}
	if err := d.run(ctx, 0, "sync"); err != nil {
		return err
	}
	d.say(ctx, "The cluster manager fails: its answer breaks off in the middle. Unknown is not empty, so nothing is removed:")
	if err := d.write("endpoints.json", `{"apps": {"AccountService": ["10.0.3.11:31080", "10.0.`); err != nil {
		return err
	}
	if err := d.run(ctx, 1, "sync"); err != nil {
		return err
	}
	d.say(ctx, "It recovers, and the app shrinks to 2. So much less is asked for twice; then four members drain for 3 seconds:")
	if err := d.containers(2); err != nil {
		return err
	}
	if err := d.run(ctx, 0, "sync"); err != nil {
		return err
	}
	d.say(ctx, "Once they are out of service, any later run unbinds them; it needs no memory of its own:")
	if err := d.drained(ctx); err != nil {
		return err
	}
	if err := d.run(ctx, 0, "sync"); err != nil {
		return err
	}
	d.say(ctx, "That was all of it, on a simulated NetScaler and by the commands above. Try next:")
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
func (d *demo) run(ctx context.Context, want int, args ...string) error {
	fmt.Fprintf(d.stdout, "\n  $ nitrox %s\n", strings.Join(args, " "))
	var out, log bytes.Buffer
	lookup := func(name string) (string, bool) { v, ok := d.env[name]; return v, ok }
	code := run(ctx, append(append([]string{"nitrox"}, args...), "--log-level", "error"), &out, &log, lookup)
	d.show(strings.ReplaceAll(out.String(), d.dir+string(filepath.Separator), ""))
	if code != want {
		return fmt.Errorf("the demo did not go as it should: exit code %d, not %d: %s", code, want, log.String())
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
