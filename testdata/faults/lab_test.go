package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	if out, err := exec.Command("go", "build", "-o", binary, "nitrox").CombinedOutput(); err != nil {
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

// lab is one or two NetScalers, the proxies in front of them, and a directory with
// a mapping and what its source says.
type lab struct {
	*scenario
	dir   string
	nodes []*node
	calls sync.WaitGroup // under way

	mu      sync.Mutex // one call at a time
	want    wanted
	settled map[string]int // enabled members once all is done
	leaving map[key]bool   // members of which a list said that they go
	pass    *pass
	history []string
	wrong   []string // what the judge found
}

// pass is what happens from the start of one or more processes to their end.
type pass struct {
	dry       bool
	plant     func(*call) *fault // nil: none
	seen      []seen
	count     int
	lies      bool
	lost      int // sessions that Nitrox cannot have known of, or could not end
	slow      bool
	killed    bool
	processes []*os.Process
	start     state
	floor     map[string]int
}

func newLab(s *scenario, dir string) (*lab, error) {
	l := &lab{scenario: s, dir: dir, want: s.want, settled: s.settled, leaving: map[key]bool{}}
	nodes := 1
	if s.pair {
		nodes = 2
	}
	urls := []any{}
	for range nodes {
		o := s.options
		o.Users = map[string]string{"nitrox": "secret"}
		o.HA = s.pair
		n := &node{lab: l, sim: simulator.New(o)}
		if err := n.listen(); err != nil {
			return nil, err
		}
		l.nodes = append(l.nodes, n)
		urls = append(urls, n.url)
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
	var b strings.Builder
	entry := fmt.Sprintf("url: %q", urls[0])
	if s.pair {
		entry = fmt.Sprintf("urls: [%q, %q]", urls...)
	}
	if s.partition != "" {
		entry += ", partition: " + s.partition
	}
	fmt.Fprintf(&b, "netscalers: {edge: {%s, timeout: %v}}\nsources: {lab: {file: {path: endpoints.json}}}\n", entry, timeout)
	fmt.Fprintf(&b, "defaults: {wait_up: 0s, drain: 0s, only: [10.0.0.0/24]}\napps:\n")
	for group := range s.want {
		fmt.Fprintf(&b, "  - {name: %s, from: [{source: lab, app: %[1]s}]%s}\n", group, s.app)
	}
	if err := os.WriteFile(filepath.Join(dir, "nitrox.yaml"), []byte(b.String()), 0o600); err != nil {
		return nil, err
	}
	return l, l.say(s.want)
}

func (l *lab) close() {
	for _, n := range l.nodes {
		n.server.Close()
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

func (l *lab) signal(sig os.Signal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note("   %v", sig)
	if sig == os.Kill {
		l.pass.killed = true
	}
	if err := l.pass.processes[0].Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err)
	}
}

// meet says what becomes of a call.
func (l *lab) meet(c *call) func(*call) answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pass
	p.count++
	c.n = p.count
	if p.plant == nil {
		return (*call).carry
	}
	f := p.plant(c)
	if f == nil {
		return (*call).carry
	}
	l.note("   call %d %s: %s", c.n, c.kind, f.name)
	p.lies = p.lies || f.lies
	if strings.HasPrefix(c.kind, "POST log") && !f.ends && (!f.slow() || !p.slow) {
		p.lost++
		p.slow = f.slow()
	}
	return f.do
}

// slow says whether Nitrox is answered too late: it should not ask for a second
// session then, since the appliance is there and busy.
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
	p := &pass{plant: plant, dry: args[0] == "plan", start: l.look(), floor: map[string]int{}}
	for group, n := range l.settled {
		p.floor[group] = min(n, p.start.enabled(l.group(group)))
	}
	l.mu.Lock()
	l.pass = p
	l.note("nitrox %s", strings.Join(args, " "))
	l.primary().ResetMin()
	results := make([]result, copies)
	var done sync.WaitGroup
	for i := range results {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
		cmd := exec.CommandContext(ctx, binary, append(args, "--config", filepath.Join(l.dir, "nitrox.yaml"), "--output", "json", "--log-level", "debug")...)
		cmd.Env = []string{"NS_USER=nitrox", "NS_PASSWORD=secret", "HOME=" + l.dir}
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
