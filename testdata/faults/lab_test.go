package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "nitrox")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "nitrox")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released; linked with C it takes half as long again to start
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// wanted is what the source says: for each group, which is an app too, the
// members and their weights; weight 0 is no opinion.
type wanted map[string]map[netip.AddrPort]int

// want reads "1 2*5" as 10.0.0.1:80, and 10.0.0.2:80 with weight 5.
func want(text string) map[netip.AddrPort]int {
	all := map[netip.AddrPort]int{}
	for word := range strings.FieldsSeq(text) {
		host, weight, weighed := strings.Cut(word, "*")
		n := 0
		if weighed {
			fmt.Sscan(weight, &n)
		}
		all[netip.MustParseAddrPort("10.0.0."+host+":80")] = n
	}
	return all
}

// password is that of the NetScaler's user. Nothing may ever print it.
const password = `pa"55\that<is&never>printed`

// lab is one or two NetScalers, the proxies in front of them, and a directory with
// a mapping and what its source says.
type lab struct {
	*scenario
	dir   string
	nodes []*node
	doors []*door
	calls sync.WaitGroup // under way

	marathon *httptest.Server // nil: the source is a file

	mu      sync.Mutex // one call at a time
	want    wanted
	doubt   bool         // the source is not to be believed in this pass
	leaving map[key]bool // members of which a list said that they go
	pass    *pass
	history []string
	wrong   []string // what the judge found
}

// pass is what happens from the start of one or more processes to their end.
type pass struct {
	dry       bool
	plant     func(*call) *fault // nil: none
	seen      []seen
	counts    []int // calls of each process
	lies      bool
	lost      int             // sessions that Nitrox cannot have known of, or could not end
	slow      map[string]bool // who is answered too late, and should wait instead of asking for another session
	killed    map[int]bool
	refuse    bool // the next read
	met       int  // faults
	late      bool // something is carried out when nobody waits for it any more
	unknown   bool // Nitrox cannot know whether it has changed something, or will have
	processes []*os.Process
	added     time.Time // when a member was bound last
	start     state
	floor     map[string]int
}

func newLab(s *scenario, dir string) (*lab, error) {
	l := &lab{scenario: s, dir: dir, want: s.want, leaving: map[key]bool{}}
	for range s.nodes() {
		o := s.options
		o.Users = map[string]string{"nitrox": password}
		o.HA = s.pair
		l.nodes = append(l.nodes, &node{lab: l, sim: simulator.New(o)})
	}
	if err := l.nodes[0].sim.Load(strings.NewReader(s.conf)); err != nil {
		return nil, err
	}
	for group, down := range s.down {
		for addr := range want(down) {
			l.nodes[0].sim.SetUp(group, addr, false)
		}
	}
	if s.pair {
		simulator.Pair(l.nodes[0].sim, l.nodes[1].sim)
	}
	if s.failedOver {
		l.failover()
	}
	for copy := range s.copies {
		if err := l.mapping(copy); err != nil {
			return nil, err
		}
	}
	return l, l.say(s.want)
}

// mapping writes the mapping of one of the processes.
func (l *lab) mapping(copy int) error {
	urls := []string{}
	for _, n := range l.nodes {
		d, err := open(n, copy)
		if err != nil {
			return err
		}
		l.doors = append(l.doors, d)
		urls = append(urls, fmt.Sprintf("%q", d.url))
	}
	if l.twice {
		return l.mappingTwice(copy, urls[0])
	}
	entry := "url: " + urls[0]
	if l.pair {
		entry = "urls: [" + strings.Join(urls, ", ") + "]"
	}
	if l.partition != "" {
		entry += ", partition: " + l.partition
	}
	text := fmt.Sprintf("netscalers: {edge: {%s, timeout: %v}}\nsources: {lab: {%s}}\n", entry, timeout, l.source())
	text += "defaults: {wait_up: 0s, drain: 0s, only: [10.0.0.0/24]}\n"
	if l.discovers != "" {
		text += "discover: [{source: lab, select: nitrox=on, namespaces: [shop], service_group: \"{name}\"" + l.discovers + "}]\n"
		return os.WriteFile(l.config(copy), []byte(text), 0o600)
	}
	text += "apps:\n"
	for group := range l.want {
		text += fmt.Sprintf("  - {name: %s, from: [{source: lab, app: %[1]s}]%s}\n", group, l.app+l.keys[group])
	}
	return os.WriteFile(l.config(copy), []byte(text), 0o600)
}

// mappingTwice knows the NetScaler under two addresses, by each of which an app claims
// the same group. Only the NetScaler can tell that they are one.
func (l *lab) mappingTwice(copy int, url string) error {
	d, err := open(l.nodes[0], copy)
	if err != nil {
		return err
	}
	l.doors = append(l.doors, d)
	text := fmt.Sprintf("netscalers: {edge: {url: %s, timeout: %v}, other: {url: %q, timeout: %[2]v}}\n", url, timeout, d.url)
	text += "sources: {lab: {file: {path: endpoints.json}}}\ndefaults: {wait_up: 0s, drain: 0s}\napps:\n"
	text += "  - {name: sg-a, netscaler: edge, from: [{source: lab, app: sg-a}]}\n"
	text += "  - {name: sg-b, service_group: sg-a, netscaler: other, from: [{source: lab, app: sg-b}]}\n"
	return os.WriteFile(l.config(copy), []byte(text), 0o600)
}

func (l *lab) config(copy int) string {
	return filepath.Join(l.dir, fmt.Sprintf("nitrox%d.yaml", copy))
}

// source is where the endpoints come from: a file or, where apps opt in, a Marathon, since
// in a file none can.
func (l *lab) source() string {
	if l.discovers == "" {
		return "file: {path: endpoints.json}"
	}
	l.marathon = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/apps" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"apps": l.opted()}) // an error: who asked is gone
	}))
	return fmt.Sprintf("marathon: {urls: [%q]}", l.marathon.URL)
}

// opted are the apps that opt in, one a group.
func (l *lab) opted() (apps []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for group, members := range l.want {
		tasks := []map[string]any{}
		for addr := range members {
			tasks = append(tasks, map[string]any{"id": group + "." + addr.String(), "appId": "/shop/" + group, "host": addr.Addr(), "ports": []uint16{addr.Port()},
				"state": "TASK_RUNNING", "startedAt": "2026-01-01T00:00:00.000Z", "version": "2026-01-01T00:00:00.000Z"})
		}
		apps = append(apps, map[string]any{"id": "/shop/" + group, "labels": map[string]string{"nitrox": "on"}, "instances": len(tasks), "tasks": tasks,
			"tasksRunning": len(tasks), "version": "2026-01-01T00:00:00.000Z", "portDefinitions": []map[string]any{{"port": 10000, "name": "http"}}})
	}
	return apps
}

func (l *lab) close() {
	if l.marathon != nil {
		l.marathon.Close()
	}
	for _, d := range l.doors {
		d.server.Close()
	}
}

// say makes the source say what is wanted.
func (l *lab) say(w wanted) error {
	type endpoint struct {
		Address netip.AddrPort `json:"address"`
		Weight  int            `json:"weight,omitempty"`
	}
	apps := map[string][]endpoint{}
	for group, members := range w {
		apps[group] = []endpoint{}
		for addr, weight := range members {
			apps[group] = append(apps[group], endpoint{addr, weight})
		}
	}
	text, err := json.Marshal(map[string]any{"apps": apps})
	if err != nil {
		return err
	}
	l.want = w
	return l.write(text)
}

func (l *lab) write(text []byte) error {
	name := filepath.Join(l.dir, "endpoints.json")
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func (l *lab) note(format string, args ...any) {
	l.history = append(l.history, fmt.Sprintf(format, args...))
}

// primary is the node whose configuration counts.
func (l *lab) primary() *simulator.Simulator {
	for _, n := range l.nodes {
		if n.sim.Role() == "Primary" {
			return n.sim
		}
	}
	return l.nodes[0].sim
}

func (l *lab) look() state { return parse(dump(l.primary())) }

// failover is for faults: a moment between two calls.
func (l *lab) failover() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[0].sim.Failover()
}

// signal sends a signal to the process that calls.
func (c *call) signal(sig os.Signal) {
	l := c.node.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note("   %v", sig)
	if sig == os.Kill && !l.pass.killed[c.copy] {
		l.pass.killed[c.copy] = true
		l.pass.lost += len(l.nodes)
	}
	if err := l.pass.processes[c.copy].Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err)
	}
}

// refuseNext has the next read refused.
func (l *lab) refuseNext() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass.refuse = true
}

// meet says what becomes of a call.
func (l *lab) meet(c *call) func(*call) answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pass
	p.counts[c.copy]++
	c.n = p.counts[c.copy]
	if p.refuse && c.reads() {
		p.refuse = false
		l.note("   call %d %s: refused with 1043", c.n, c.kind)
		return func(c *call) answer { return c.refuse(1043) }
	}
	if p.plant == nil {
		return (*call).carry
	}
	f := p.plant(c)
	if f == nil {
		return (*call).carry
	}
	l.note("   call %d %s: %s", c.n, c.kind, f.name)
	p.lies = p.lies || f.lies
	p.late = p.late || strings.HasSuffix(f.name, "late")
	who := fmt.Sprint(c.copy, c.node.sim.Role())
	switch {
	case c.kind == "POST logout" && !f.ends, c.kind == "POST login" && !f.ends && !p.slow[who]:
		p.lost++
		p.slow[who] = c.kind == "POST login" && f.slow()
	case !c.reads() && strings.HasPrefix(f.name, "not carried out, ") || p.late || p.met > 0:
		p.unknown = true
	}
	p.met++
	return f.do
}

// slow says whether Nitrox is answered too late.
func (f *fault) slow() bool {
	return strings.HasSuffix(f.name, "in time") || strings.HasSuffix(f.name, "late")
}

// result is how a process ended.
type result struct {
	exit           int
	stdout, stderr string
	report         *report
}

// report is what the judge reads of the JSON object.
type report struct {
	DryRun     bool `json:"dry_run"`
	Exit       int
	NetScalers map[string]struct {
		Error string
		Saved bool
	}
	Apps []struct {
		Name    string
		Group   string `json:"service_group"`
		Status  string
		Changes []change
	}
}

type change struct {
	Op, Address, What, Server string
	Weight                    int
	Made                      bool
	Error                     string
}

// run makes one pass, by one process or more at once, and judges it.
func (l *lab) run(args []string, copies int, plant func(*call) *fault) ([]result, *pass) {
	p := &pass{plant: plant, dry: args[0] == "plan", start: l.look(), counts: make([]int, copies),
		floor: map[string]int{}, killed: map[int]bool{}, slow: map[string]bool{}}
	for group := range l.want {
		p.floor[group] = l.least(p.start, group)
	}
	l.mu.Lock()
	l.pass = p
	l.note("nitrox %s", strings.Join(args, " "))
	for _, n := range l.nodes {
		n.sim.ResetMin()
	}
	results := make([]result, copies)
	var done sync.WaitGroup
	for i := range results {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
		cmd := exec.CommandContext(ctx, binary, append(args, "--config", l.config(i), "--output", "json", "--log-level", "debug")...)
		cmd.Env = []string{"NS_USER=nitrox", "NS_PASSWORD=" + password, "HOME=" + l.dir}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		p.processes = append(p.processes, cmd.Process)
		done.Go(func() {
			defer cancel()
			err := cmd.Wait()
			var ended *exec.ExitError
			if err != nil && !errors.As(err, &ended) {
				panic(err)
			}
			results[i] = result{exit: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
			l.mu.Lock()
			defer l.mu.Unlock()
			if ctx.Err() != nil {
				l.blame("did not end within 100 s")
			}
			l.verdict(&results[i], p, i)
		})
	}
	l.mu.Unlock()
	done.Wait()
	l.calls.Wait() // also those that are carried out late
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessionsAfter(p)
	return results, p
}

// idle lets all drains end.
func (l *lab) idle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for group := range l.want {
		for _, m := range l.primary().Members(l.group(group)) {
			if strings.Contains(m.SvrState, "GOING") {
				l.primary().SetIdle(l.group(group), m.Addr)
			}
		}
	}
}

func (l *lab) group(name string) string {
	if l.partition != "" {
		return l.partition + "/" + name
	}
	return name
}
