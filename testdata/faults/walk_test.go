package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	walking = flag.Duration("walk", 0, "for how long TestWalk walks; 0: not at all")
	seed    = flag.Uint64("seed", 0, "where TestWalk begins; 0: anywhere")
)

// A step of a history: all that it does is settled by its numbers, so that a history
// without some of its steps is one too.
type step struct {
	what  string
	group string
	n, m  int
	plan  bool
	copy  bool
	plant []planted
}

// planted is a fault at the n-th call of a process.
type planted struct{ at, fault int }

func (s step) String() string {
	text := fmt.Sprintf("%s %s %d %d", s.what, s.group, s.n, s.m)
	if s.what != "pass" && s.what != "doubt" {
		return text
	}
	text = s.what
	if s.what == "doubt" {
		text += ", the source " + doubts[s.n%len(doubts)].name
	}
	if s.plan {
		text += ", only planned"
	}
	if s.copy {
		text += ", two copies"
	}
	for _, p := range s.plant {
		text += fmt.Sprintf("; at call %d: %s", p.at, walkFaults[p.fault].name)
	}
	return text
}

// walkFaults are those that can happen at any call.
var walkFaults = slices.DeleteFunc(faults(), func(f fault) bool { return strings.Contains(f.name, "failover") })

// doubts are what a source can be of which nothing may be concluded.
var doubts = []struct {
	name string
	do   func(*lab) error
}{
	{"is missing", func(l *lab) error { return os.Remove(filepath.Join(l.dir, "endpoints.json")) }},
	{"is cut off", func(l *lab) error { return l.write([]byte(`{"apps": {"sg-a": ["10.0.0.20:80"`)) }},
	{"knows no app", func(l *lab) error { return l.write([]byte(`{"apps": {}}`)) }},
	{"has nothing for all", func(l *lab) error { return l.write([]byte(`{"apps": {"sg-a": [], "sg-b": [], "sg-c": []}}`)) }},
	{"is a folder's name", func(l *lab) error {
		name := filepath.Join(l.dir, "endpoints.json")
		if err := os.Remove(name); err != nil {
			return err
		}
		return os.Mkdir(name, 0o700)
	}},
}

var walkGroups = []string{"sg-a", "sg-b", "sg-c"}

func walkScenario() *scenario {
	s := &scenario{
		name: "walk", args: []string{"sync"}, copies: 2, app: ", max_remove: 100%",
		keys: map[string]string{"sg-b": ", drain: 60s"}, want: wanted{},
		conf: others + "add server web11 10.0.0.11\nadd server web12 10.0.0.12\n" +
			group("sg-a", "1 2 3 4 20", domain, weighed) + group("sg-b", "1 2 3 4 20") + listing("sg-c", "1 2 3 4 20", weighed),
	}
	for _, g := range walkGroups {
		s.want[g] = want("1 2 3 4 20")
	}
	return s
}

// history makes the steps that a seed stands for.
func history(seed uint64) (steps []step) {
	r := rand.New(rand.NewPCG(seed, 9))
	for range 4 + r.IntN(5) {
		s := step{group: walkGroups[r.IntN(3)], n: r.IntN(1000), m: 1 + r.IntN(1000)}
		switch what := r.IntN(20); {
		case what < 6:
			s.what = "say"
		case what < 10:
			s.what = []string{"disable", "enable", "unbind", "weigh", "bind foreign", "bind ours"}[r.IntN(6)]
		case what < 12:
			s.what = "drains end"
		case what < 14:
			s.what = "doubt"
		default:
			s.what = "pass"
		}
		steps = append(steps, s)
		p := step{what: "pass", plan: r.IntN(10) == 0, copy: r.IntN(6) == 0}
		for range r.IntN(3) {
			p.plant = append(p.plant, planted{1 + r.IntN(16), r.IntN(len(walkFaults))})
		}
		if s.what == "doubt" {
			p.what, p.n = "doubt", s.n
			steps[len(steps)-1] = p
		} else if s.what == "pass" || r.IntN(2) == 0 {
			steps = append(steps, p)
		}
	}
	return steps
}

// take takes a step.
func (l *lab) take(s step) error {
	switch s.what {
	case "pass", "doubt":
		if l.doubt = s.what == "doubt"; l.doubt {
			if err := doubts[s.n%len(doubts)].do(l); err != nil {
				return err
			}
		}
		args, copies := []string{"sync"}, 1
		if s.plan {
			args = []string{"plan"}
		}
		if s.copy {
			copies = 2
		}
		l.run(args, copies, func(c *call) *fault {
			for _, p := range s.plant {
				f := &walkFaults[p.fault]
				fits := f.fits == nil || strings.HasPrefix(f.name, "answer") || f.fits(seen{kind: c.kind, body: []byte("{}")})
				if p.at == c.n && c.copy == 0 && fits {
					return f
				}
			}
			return nil
		})
		if l.doubt {
			l.doubt = false
			os.RemoveAll(filepath.Join(l.dir, "endpoints.json"))
			return l.say(l.want)
		}
	case "drains end":
		l.idle()
	case "say":
		r := rand.New(rand.NewPCG(uint64(s.n), uint64(s.m)))
		text := "20"
		for _, host := range r.Perm(12)[:r.IntN(8)] {
			text += fmt.Sprint(" ", host+1)
			if r.IntN(5) == 0 {
				text += fmt.Sprint("*", 1+r.IntN(9))
			}
		}
		w := wanted{}
		for g, members := range l.want {
			w[g] = members
		}
		w[s.group] = want(text)
		l.note("the source says: %s %s", s.group, text)
		return l.say(w)
	default:
		return l.hand(s)
	}
	return nil
}

// hand is an operator's: a command at the command line of the NetScaler.
func (l *lab) hand(s step) error {
	now := l.look()
	all := []key{}
	for k, m := range now.members {
		operators := m.disabled && m.mark == "" && !l.leaving[k]
		fits := s.what == "enable" && operators || s.what != "enable" && !m.disabled
		if k.group == s.group && m.addr.IsValid() && k.server != "10.0.0.20" && fits {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b key) int { return strings.Compare(a.server, b.server) })
	member := ""
	if len(all) > 0 {
		k := all[s.n%len(all)]
		member = " " + k.server + " " + k.port
	}
	command := ""
	switch {
	case s.what == "bind foreign":
		command = fmt.Sprintf("bind serviceGroup %s 10.0.1.%d 80", s.group, 2+s.n%20)
	case s.what == "bind ours":
		command = fmt.Sprintf("bind serviceGroup %s 10.0.0.%d 80 -weight %d", s.group, 1+s.n%12, 1+s.m%9)
	case member == "":
		return nil
	case s.what == "weigh":
		command = fmt.Sprintf("set serviceGroup %s%s -weight %d", s.group, member, 1+s.m%9)
	default:
		command = s.what + " serviceGroup " + s.group + member
	}
	if strings.HasPrefix(command, "bind") {
		for k := range now.members {
			if words := strings.Fields(command); k.group == s.group && now.servers[k.server] == words[3] {
				return nil // it is there
			}
		}
	}
	l.note("an operator: %s", command)
	return l.primary().Load(strings.NewReader(command))
}

// walk goes through a history, and says what was wrong first.
func walk(t *testing.T, steps []step) (string, []string) {
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLab(walkScenario(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for _, s := range steps {
		l.note("* %v", s)
		if err := l.take(s); err != nil {
			return "the instrument: " + err.Error(), l.history
		}
		if len(l.wrong) > 0 {
			return l.wrong[0], l.history
		}
	}
	if l.converges(); len(l.wrong) > 0 {
		return l.wrong[0], l.history
	}
	return "", nil
}

// TestWalk goes through one history after another, each from a seed of its own, until the
// time is over or something is wrong.
func TestWalk(t *testing.T) {
	if *walking == 0 {
		t.Skip("only with -walk")
	}
	first := *seed
	if first == 0 {
		first = rand.Uint64N(1_000_000)
	}
	t.Logf("seed %d", first)
	end := time.Now().Add(*walking)
	var (
		mu   sync.Mutex
		next = first
		all  sync.WaitGroup
	)
	for range 12 {
		all.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				mu.Lock()
				mine := next
				next++
				mu.Unlock()
				steps := history(mine)
				if what, _ := walk(t, steps); what != "" && !t.Failed() {
					t.Errorf("seed %d", mine)
					steps, what, lines := shrink(t, steps, what)
					t.Errorf("seed %d: %s\nthe smallest history, of %d steps:\n%s", mine, what, len(steps), strings.Join(lines, "\n"))
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d histories, seeds %d to %d", next-first, first, next-1)
}

// shrink drops steps, and faults of steps, as long as something is still wrong.
func shrink(t *testing.T, steps []step, what string) ([]step, string, []string) {
	var lines []string
	try := func(fewer []step) bool {
		w, l := walk(t, fewer)
		if w == "" {
			return false
		}
		steps, what, lines = fewer, w, l
		return true
	}
	if !try(steps) {
		return steps, what + " (but not a second time)", nil
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if i < len(steps) && try(slices.Delete(slices.Clone(steps), i, i+1)) {
			continue
		}
		for j := 0; i < len(steps) && j < len(steps[i].plant); j++ {
			fewer := slices.Clone(steps)
			fewer[i].plant = slices.Delete(slices.Clone(fewer[i].plant), j, j+1)
			if try(fewer) {
				j--
			}
		}
	}
	return steps, what, lines
}
