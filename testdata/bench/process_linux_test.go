package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// binary is nitrox, as make build makes it.
var binary string

// role makes the test's binary another program: the floor or the script.
const role = "NITROX_BENCH_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "floor":
		os.Exit(said(floor(os.Args[1:])))
	case "script":
		os.Exit(said(script(os.Args[1:])))
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "nitrox")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "nitrox")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func said(err error) int {
	time.Sleep(20 * time.Millisecond) // else nobody has seen how much memory it took
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// cost is what something took.
type cost struct {
	calls    int           // requests
	sent     int64         // bytes to a server
	received int64         // bytes from it
	cpu      time.Duration // of the process
	took     time.Duration
	peak     int64 // bytes resident at the most
}

// process is a program under measurement.
type process struct {
	*exec.Cmd
	t      testing.TB
	began  time.Time
	output bytes.Buffer
	ended  chan error
	peak   atomic.Int64
}

// start starts a program; its environment has credentials of the simulator.
func start(t testing.TB, program string, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(program, args...), t: t, ended: make(chan error, 1)}
	p.Env = append(append(os.Environ(), "NS_USER=nitrox", "NS_PASSWORD=secret", "GOMEMLIMIT="), env...)
	p.Stdout, p.Stderr = &p.output, &p.output
	p.began = time.Now()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go p.watch()
	t.Cleanup(func() {
		p.Process.Kill() // an error: it has ended
	})
	return p
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// watch looks at the memory, until the process has ended.
func (p *process) watch() {
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			p.ended <- err
			return
		case <-look.C:
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
			if m := highWater.FindSubmatch(status); err == nil && m != nil {
				kB, err := strconv.ParseInt(string(m[1]), 10, 64)
				if err != nil {
					panic(err)
				}
				p.peak.Store(kB << 10)
			}
		}
	}
}

// end waits for the end, which must be in order.
func (p *process) end() cost {
	p.t.Helper()
	return p.ends(0)
}

// ends waits for the end, with an exit code.
func (p *process) ends(code int) cost {
	p.t.Helper()
	if err := <-p.ended; p.ProcessState.ExitCode() != code {
		p.t.Fatalf("%s: %v\n%.5000s", p.Args, err, p.output.String())
	}
	return cost{cpu: p.ProcessState.UserTime() + p.ProcessState.SystemTime(), took: time.Since(p.began), peak: p.peak.Load()}
}

// stop ends a loop.
func (p *process) stop() cost {
	p.t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("it has ended: %v\n%.5000s", err, p.output.String())
	}
	return p.end()
}

// spent is how long a process that runs has been computing, to 10 ms.
func (p *process) spent() time.Duration {
	p.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		<-p.ended
		p.t.Fatalf("it has ended: %v\n%.5000s", err, p.output.String())
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on all that Go runs on
}

// door is a server whose requests and bytes are counted.
type door struct {
	*httptest.Server
	requests, sent, received atomic.Int64 // as the client sees it
	connections              *peak

	mu     sync.Mutex
	record bool
	bodies [][]byte // of answers to GET, while they are recorded
}

// open opens a door; connections counts those of several doors, nil being none.
func open(t testing.TB, h http.Handler, connections ...*peak) *door {
	d := &door{connections: slices.Concat(connections, []*peak{{}})[0]}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		d.mu.Lock()
		record := d.record && r.Method == http.MethodGet
		d.mu.Unlock()
		if record {
			rec := &recorder{ResponseWriter: w}
			h.ServeHTTP(rec, r)
			d.mu.Lock()
			d.bodies = append(d.bodies, rec.body)
			d.mu.Unlock()
			return
		}
		h.ServeHTTP(w, r)
	}))
	d.Listener = counting{d.Listener, d}
	d.Start()
	t.Cleanup(func() {
		d.CloseClientConnections()
		d.Close()
	})
	return d
}

// since is what has passed the door since an earlier look.
func (d *door) since(before cost) cost {
	return cost{calls: int(d.requests.Load()) - before.calls, sent: d.sent.Load() - before.sent, received: d.received.Load() - before.received}
}

// moved joins what passed a door with what the process took.
func (c cost) moved(d cost) cost {
	c.calls, c.sent, c.received = d.calls, d.sent, d.received
	return c
}

type recorder struct {
	http.ResponseWriter
	body []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.body = append(r.body, p...)
	return r.ResponseWriter.Write(p)
}

type counting struct {
	net.Listener
	door *door
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.door.connections.add(1)
	}
	return &counted{Conn: c, door: l.door}, err
}

type counted struct {
	net.Conn
	door   *door
	closed sync.Once
}

func (c *counted) Close() error {
	c.closed.Do(func() { c.door.connections.add(-1) })
	return c.Conn.Close()
}

// peak is how many there are of something, and were at the most.
type peak struct {
	mu        sync.Mutex
	now, most int
}

func (p *peak) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now += n
	p.most = max(p.most, p.now)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.door.sent.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.door.received.Add(int64(n))
	return n, err
}

func (c *counted) ReadFrom(r io.Reader) (int64, error) { // else net/http passes the counter by
	n, err := io.Copy(struct{ io.Writer }{c.Conn}, r)
	c.door.received.Add(n)
	return n, err
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
