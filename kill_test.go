package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nitrox/netscaler/simulator"
	"nitrox/sources/sourcetest"
)

// What a run finds: in sg-shop two members to bind (7, 8), one to weigh (1), two
// to drain (3, 4), one to unbind, whose drain an earlier run began and which is
// over (5), one that drains and is wanted again (6), and one that an operator
// disabled (9). In sg-cart two come and two go at once.
const killConf = `
add serviceGroup sg-shop HTTP
bind serviceGroup sg-shop 10.0.0.1 80
bind serviceGroup sg-shop 10.0.0.2 80
bind serviceGroup sg-shop 10.0.0.3 80
bind serviceGroup sg-shop 10.0.0.4 80
bind serviceGroup sg-shop 10.0.0.5 80 -CustomServerID nitrox-10.0.0.5-80 -state DISABLED
bind serviceGroup sg-shop 10.0.0.6 80 -CustomServerID nitrox-10.0.0.6-80 -state DISABLED
bind serviceGroup sg-shop 10.0.0.9 80 -state DISABLED
add serviceGroup sg-cart HTTP
bind serviceGroup sg-cart 10.0.1.1 80
bind serviceGroup sg-cart 10.0.1.2 80
bind serviceGroup sg-cart 10.0.1.3 80
`

const (
	killMapping = `
netscalers: {edge: {url: %q}}
sources: {lab: {file: {path: endpoints.json}}}
defaults: {wait_up: 0s}
apps:
  - {name: shop, service_group: sg-shop, drain: 60s, from: [{source: lab, app: shop}]}
  - {name: cart, service_group: sg-cart, drain: 0s, from: [{source: lab, app: cart}]}
`
	killEndpoints = `{"apps": {
  "shop": [{"address": "10.0.0.1:80", "weight": 5}, "10.0.0.2:80", "10.0.0.6:80", "10.0.0.7:80", "10.0.0.8:80"],
  "cart": ["10.0.1.2:80", "10.0.1.3:80", "10.0.1.4:80", "10.0.1.5:80"]
}}`
)

// Scenario 21: the program is killed at each of its calls in turn, before the
// call was carried out and after. Nothing is emptied, and the runs that follow,
// which know nothing of the killed one, come to the end that it would have come
// to; no member stays disabled but the operator's.
func TestKilledAtAnyCallTheNextRunsConverge(t *testing.T) {
	calls := 0
	for _, applied := range []bool{false, true} {
		for n := 1; calls == 0 || n <= calls; n++ {
			if (testing.Short() || sourcetest.UnderRace) && n%6 != 0 && calls > 0 {
				continue
			}
			if calls == 0 { // how many calls there are
				k := newKill(t, 0, false)
				k.run()
				if calls = k.seen; calls < 12 {
					t.Fatalf("%d calls", calls)
				}
				k.converges()
			}
			t.Run(fmt.Sprintf("call %d of %d, carried out %v", n, calls, applied), func(t *testing.T) {
				t.Parallel()
				k := newKill(t, n, applied)
				if err := k.run(); !killed(err) {
					t.Fatalf("it was not killed: %v", err)
				}
				k.floor()
				k.converges()
			})
		}
	}
}

// kill runs the program against a NetScaler that kills it.
type kill struct {
	t       *testing.T
	sim     *simulator.Simulator
	mapping string
	at      int // the call to kill it at; 0: none
	applied bool

	mu      sync.Mutex
	seen    int // calls so far
	process *os.Process
}

func newKill(t *testing.T, at int, applied bool) *kill {
	k := &kill{t: t, at: at, applied: applied, sim: simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})}
	if err := k.sim.Load(strings.NewReader(killConf)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	k.mapping = filepath.Join(dir, "nitrox.yaml")
	for name, text := range map[string]string{k.mapping: fmt.Sprintf(killMapping, server.URL), filepath.Join(dir, "endpoints.json"): killEndpoints} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k.sim.ResetMin()
	return k
}

// ServeHTTP passes calls on to the simulator until it is time to kill.
func (k *kill) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	k.seen++
	now := k.seen == k.at
	k.mu.Unlock()
	if !now {
		k.pass(w, r)
		return
	}
	if k.applied {
		k.pass(httptest.NewRecorder(), r)
	} else if _, err := io.Copy(io.Discard, r.Body); err != nil {
		k.t.Error(err) // without its body read, the end of the connection is not seen
	}
	k.mu.Lock()
	err := k.process.Kill()
	k.mu.Unlock()
	if err != nil {
		k.t.Error(err)
	}
	<-r.Context().Done() // no answer
}

func (k *kill) pass(w http.ResponseWriter, r *http.Request) {
	resp, err := k.sim.Transport().RoundTrip(r)
	if err != nil && r.Context().Err() == nil { // else the process was killed beside another call
		k.t.Error(err)
	}
	if err != nil {
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil && r.Context().Err() == nil {
		k.t.Error(err)
	}
}

// run runs the program once, as a process of its own.
func (k *kill) run() error {
	var out bytes.Buffer
	cmd := exec.Command("nitrox", "sync", "--config", k.mapping)
	cmd.Env = append(os.Environ(), "NS_USER=nitrox", "NS_PASSWORD="+password)
	cmd.Stdout, cmd.Stderr = &out, &out
	k.mu.Lock()
	err := cmd.Start()
	k.process = cmd.Process
	k.mu.Unlock()
	if err != nil {
		k.t.Fatal(err)
	}
	if err = cmd.Wait(); err != nil && !killed(err) {
		k.t.Errorf("%v:\n%s", err, out.String())
	}
	return err
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// floor is what the groups may never fall below.
func (k *kill) floor() {
	k.t.Helper()
	for group, least := range map[string]int{"sg-shop": 4, "sg-cart": 3} {
		if got := k.sim.MinEnabled(group); got < least {
			k.t.Errorf("%s had %d enabled members at the least, want %d", group, got, least)
		}
	}
}

// converges makes the runs that follow, with the drains over between them.
func (k *kill) converges() {
	k.t.Helper()
	k.mu.Lock()
	k.at = 0
	k.mu.Unlock()
	for range 2 {
		if err := k.run(); err != nil {
			k.t.Fatal(err)
		}
		for _, m := range k.sim.Members("sg-shop") {
			if m.SvrState == "GOING OUT OF SERVICE" {
				k.sim.SetIdle("sg-shop", m.Addr)
			}
		}
	}
	for group, want := range map[string]string{
		"sg-shop": "10.0.0.1:80 5 ENABLED, 10.0.0.2:80 1 ENABLED, 10.0.0.6:80 1 ENABLED, 10.0.0.7:80 1 ENABLED, 10.0.0.8:80 1 ENABLED, 10.0.0.9:80 1 DISABLED",
		"sg-cart": "10.0.1.2:80 1 ENABLED, 10.0.1.3:80 1 ENABLED, 10.0.1.4:80 1 ENABLED, 10.0.1.5:80 1 ENABLED",
	} {
		var all []string
		for _, m := range k.sim.Members(group) {
			all = append(all, fmt.Sprintf("%v %d %s", m.Addr, m.Weight, m.State))
			if m.CustomServerID != "" {
				k.t.Errorf("%s: %v still carries the mark %s", group, m.Addr, m.CustomServerID)
			}
		}
		if got := strings.Join(all, ", "); got != want {
			k.t.Errorf("%s:\n %s\nwant\n %s", group, got, want)
		}
	}
	k.floor()
	if !k.sim.Saved() {
		k.t.Error("not saved")
	}
}
