package main

import (
	"bufio"
	"bytes"
	"context"
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
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler/simulator"
	core "nitrox/sync"
)

// process is the program as a process of its own, and the NetScaler that it
// talks to, which may do something to it in the middle of a call.
type process struct {
	t       *testing.T
	sim     *simulator.Simulator
	server  *httptest.Server
	dir     string
	cmd     *exec.Cmd
	started chan struct{}
	once    sync.Once

	at   string // at which call something happens, once: a verb and a type
	does func()
}

const signalMapping = `
netscalers: {edge: {url: %q}}
sources: {lab: {file: {path: endpoints.json}}}
apps: [{name: shop, from: [{source: lab, app: shop}]}]
`

func newProcess(t *testing.T, args ...string) *process {
	p := &process{t: t, dir: t.TempDir(), started: make(chan struct{})}
	p.sim = simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})
	p.sim.AddGroup("shop")
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	p.write("nitrox.yaml", fmt.Sprintf(signalMapping, p.server.URL))
	p.write("endpoints.json", `{"apps": {"shop": ["10.0.0.1:80"]}}`)
	p.cmd = exec.Command("nitrox", append(args, "--config", filepath.Join(p.dir, "nitrox.yaml"))...)
	p.cmd.Env = append(os.Environ(), "NS_USER=nitrox", "NS_PASSWORD="+password, "TERM=xterm")
	return p
}

func (p *process) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		p.t.Fatal(err)
	}
}

// on does something when a call arrives, and has its answer take a while, so
// that it is still on its way then.
func (p *process) on(call string, does func()) {
	p.at, p.does = call, does
	verb, typ, _ := strings.Cut(call, " ")
	p.sim.SetFault(simulator.Fault{Method: verb, Type: typ, Delay: time.Second, Times: 1})
}

func (p *process) signal(signals ...os.Signal) {
	for _, s := range signals {
		if err := p.cmd.Process.Signal(s); err != nil {
			p.t.Error(err)
		}
	}
}

func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	<-p.started
	if call := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/nitro/v1/config/"); p.at != "" && strings.HasPrefix(call, p.at) {
		p.once.Do(p.does)
	}
	p.sim.ServeHTTP(w, r)
}

func (p *process) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	close(p.started)
	p.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.signal(os.Kill)
			_ = p.cmd.Wait() // it is known to have failed
		}
	})
}

// ends waits until the process ends, and holds it to its exit code and to the
// sessions that it leaves behind. A process that hangs is killed.
func (p *process) ends(code int) {
	p.t.Helper()
	late := time.AfterFunc(2*time.Minute, func() { p.signal(os.Kill) })
	defer late.Stop()
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Error(err)
	}
	if got := p.cmd.ProcessState; got.ExitCode() != code {
		p.t.Errorf("it ended with %v, not with %d", got, code)
	}
	p.server.Close() // waits for the calls that are on their way
	if n := p.sim.Sessions(); n != 0 {
		p.t.Errorf("%d sessions are left behind", n)
	}
}

// members waits until the group has so many members.
func (p *process) members(n int) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); len(p.sim.Members("shop")) != n; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%d members, not %d", len(p.sim.Members("shop")), n)
		}
	}
}

// nobody is the end of a pipe that nobody reads.
func nobody(t *testing.T) *os.File {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// A single run ends in order also when the reader of its output has gone, as
// in nitrox plan | head -1. That its report could not be written is a failure.
func TestSingleRunWhoseOutputGoesAway(t *testing.T) {
	const unwritten = "the report cannot be written"
	for _, c := range []struct {
		args, gone string
		code       int
		says       string // where it still can
		members    int
	}{
		{"plan", "stdout", 1, unwritten, 0},
		{"plan -o json", "stdout", 1, unwritten, 0},
		{"plan -o nscli", "stdout", 1, unwritten, 0},
		{"sync", "stdout", 1, unwritten, 1},
		{"sync", "stdout and stderr", 1, "", 1},
		{"sync --log-level debug", "stderr", 0, "1 bound", 1},
		{"sync --wait", "disk space", 1, "no space left", 1},
	} {
		t.Run(c.args+" without "+c.gone, func(t *testing.T) {
			p := newProcess(t, strings.Fields(c.args)...)
			var out bytes.Buffer
			p.cmd.Stdout, p.cmd.Stderr = &out, &out
			if strings.Contains(c.gone, "stdout") {
				p.cmd.Stdout = nobody(t)
			}
			if strings.Contains(c.gone, "stderr") {
				p.cmd.Stderr = nobody(t)
			}
			if c.gone == "disk space" {
				p.cmd.Stdout = full(t)
			}
			p.start()
			p.ends(c.code)
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, out.String())
			}
			if n := len(p.sim.Members("shop")); n != c.members {
				t.Errorf("%d members", n)
			}
			if c.members > 0 && !p.sim.Saved() {
				t.Error("not saved")
			}
		})
	}
}

func full(t *testing.T) *os.File {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A loop goes on without its output, and says so once where it still can.
func TestLoopWhoseOutputGoesAway(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"report", "log"} {
		t.Run(gone, func(t *testing.T) {
			p := newProcess(t, "sync", "--loop", "1s")
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			var left bytes.Buffer // of the other output
			says := "the report cannot be written; the loop goes on"
			if p.cmd.Stdout, p.cmd.Stderr = w, &left; gone == "log" {
				p.cmd.Stdout, p.cmd.Stderr = &left, w
				says = "nitrox: the log cannot be written; the loop goes on: "
			}
			p.start()
			w.Close()
			if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			r.Close()
			p.write("endpoints.json", `{"apps": {"shop": ["10.0.0.1:80", "10.0.0.2:80"]}}`)
			p.members(2)
			p.write("endpoints.json", `{"apps": {"shop": ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]}}`)
			p.members(3)
			p.signal(syscall.SIGTERM)
			p.ends(0)
			if n := strings.Count(left.String(), says); n != 1 {
				t.Errorf("said %d times:\n%s", n, left.String())
			}
		})
	}
}

// Whatever signal comes while a call is on its way, the session is ended.
func TestSignalDuringACall(t *testing.T) {
	t.Parallel()
	for at, code := range map[string]int{
		"POST login": 1, "GET servicegroup_servicegroupmember_binding": 1, "PUT servicegroup_servicegroupmember_binding": 0, "POST nsconfig": 0, "POST logout": 0,
	} {
		for name, signals := range map[string][]os.Signal{
			"SIGTERM": {syscall.SIGTERM}, "SIGINT": {os.Interrupt},
			"SIGHUP":                              {syscall.SIGHUP},
			"SIGHUP, of the system and the shell": {syscall.SIGHUP, syscall.SIGHUP},
		} {
			t.Run(at+" "+name, func(t *testing.T) {
				t.Parallel()
				p := newProcess(t, "sync")
				var log bytes.Buffer
				p.cmd.Stdout, p.cmd.Stderr = io.Discard, &log
				p.on(at, func() { p.signal(signals...) })
				p.start()
				p.ends(code) // what is begun is finished, and saved
				if n := len(p.sim.Members("shop")); code == 0 && (n != 1 || !p.sim.Saved()) {
					t.Errorf("%d members, saved %v:\n%s", n, p.sim.Saved(), log.String())
				}
				if strings.Contains(log.String(), "Ctrl-C") {
					t.Errorf("a log speaks of Ctrl-C:\n%s", log.String())
				}
			})
		}
	}
}

// The commands that only read end their session, too.
func TestSignalToACommandThatReads(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"init", "doctor", "plan", "status"} {
		for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
			t.Run(fmt.Sprint(command, " ", s), func(t *testing.T) {
				t.Parallel()
				p := newProcess(t, command)
				if command == "init" {
					p.cmd.Args = []string{"nitrox", "init", "--netscaler", p.server.URL, "--marathon", "http://127.0.0.1:1"}
				}
				p.on("GET servicegroup", func() { p.signal(s) })
				p.start()
				p.ends(1)
			})
		}
	}
}

// A reader that stops reading and does not leave keeps no run from ending in order.
func TestOutputThatNobodyReads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, held string
		code       int
	}{{"sync", "report", 1}, {"sync --loop 1s -o json", "report", 0}, {"sync --loop 1s --log-level debug", "log", 0}} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			p := newProcess(t, strings.Fields(c.args)...)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			p.cmd.Stdout = w
			var filled atomic.Int64
			fill := func() {
				for {
					n, err := w.Write(make([]byte, 4096))
					if filled.Add(int64(n)); err != nil {
						return // it is full, or the test is over
					}
				}
			}
			if c.held == "log" {
				p.cmd.Stdout, p.cmd.Stderr = nil, w
				p.start()
				if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				go fill()
				for before := int64(-1); before < filled.Load(); <-time.After(200 * time.Millisecond) {
					before = filled.Load() // until it is full; how much is the loop's and how much ours, nobody knows
				}
			} else {
				if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				fill()
				p.start()
				p.members(1)
			}
			p.signal(syscall.SIGTERM)
			p.ends(c.code)
		})
	}
}

// However much is to be said when a run is told to stop, it waits once for whoever does not read.
func TestOutputThatNobodyReadsIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, tell := context.WithCancel(t.Context())
		j := opening(t, "", "", io.Discard)
		held := make(chan struct{})
		defer close(held)
		j.stdout = writer(func([]byte) (int, error) { <-held; return 0, io.ErrClosedPipe })
		j.report, j.options.Context = core.Text, ctx
		j.out = j.over(j.stdout)
		tell()
		began := time.Now()
		for range 10 {
			j.write(core.Result{}) // of a pass that was under way
		}
		if took := time.Since(began); took != patience {
			t.Errorf("it took %v", took)
		}
	})
}

// A loop that is told to read its mapping again while it still reads it for the first time,
// or says what it thinks of it, does not end.
func TestHangUpOfALoopThatBegins(t *testing.T) {
	t.Parallel()
	p := newProcess(t, "sync", "--loop", "1s")
	text := "netscalers:\n"
	for i := range 500 { // a warning of each, which are more than a pipe holds
		text += fmt.Sprintf("  n%d: {url: \"https://192.0.2.1:%d\", insecure_skip_verify: true}\n", i, i+1)
	}
	text += fmt.Sprintf("  edge: {url: %q}\nsources: {lab: {file: {path: endpoints.json}}}\n", p.server.URL) +
		"apps: [{name: shop, netscaler: edge, from: [{source: lab, app: shop}]}]\n"
	p.write("nitrox.yaml", text)
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	if _, err := bufio.NewReader(log).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	go io.Copy(io.Discard, log)
	p.members(1)
	p.signal(syscall.SIGTERM)
	p.ends(0)
}
