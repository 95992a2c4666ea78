package faults

import (
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	only  = flag.String("case", "", "only the cases whose name matches; with -v their history is shown")
	share = flag.Int("share", 1, "only one case in so many")
	turn  = flag.Int("turn", 0, "which of these: one more is the next case of each")
)

// TestOneFault makes every fault happen at every call of every kind of pass, or at each
// of a share of them: in as many turns all are made.
func TestOneFault(t *testing.T) {
	pattern := regexp.MustCompile(*only)
	var busy, idle []func()
	n := 0
	for _, s := range scenarios() {
		found := newFindings()
		all := slices.DeleteFunc(s.cases(s.clean(t)), func(c trial) bool {
			n++
			return !pattern.MatchString(c.name()) || (n-1-*turn)%*share != 0
		})
		t.Logf("%s: %d cases", s.name, len(all))
		for _, c := range all {
			run := func() { c.try(t, found) }
			switch {
			case c.fault.idle && c.forGood: // those that take longest begin
				idle = append([]func(){run}, idle...)
			case c.fault.idle || s.slow:
				idle = append(idle, run)
			default:
				busy = append(busy, run)
			}
		}
		defer found.report(t, s.name)
	}
	// Most of the time Nitrox waits for its next try, which costs nothing.
	var done sync.WaitGroup
	for _, lane := range []struct {
		width int
		cases []func()
	}{{16, busy}, {256, idle}} {
		queue := make(chan func(), len(lane.cases))
		for _, run := range lane.cases {
			queue <- run
		}
		close(queue)
		for range lane.width {
			done.Go(func() {
				for run := range queue {
					run()
				}
			})
		}
	}
	done.Wait()
}

// trial is one fault at one call of one kind of pass, or at all calls of a kind.
type trial struct {
	*scenario
	fault   fault
	at      int
	kind    string
	forGood bool
}

func (c trial) name() string { return c.scenario.name + ": " + c.where() + ": " + c.fault.name }

func (c trial) where() string {
	if c.forGood {
		return "every " + c.kind
	}
	return fmt.Sprintf("call %d %s", c.at, c.kind)
}

func (s *scenario) cases(calls []seen) (all []trial) {
	kinds := map[string]bool{}
	for _, f := range faults() {
		for i, c := range calls {
			if f.fits != nil && !f.fits(c) || !f.each && !s.thorough || s.at != nil && !s.at.MatchString(c.kind) {
				continue
			}
			all = append(all, trial{s, f, i + 1, c.kind, false})
			if id := f.name + c.kind; !kinds[id] && f.each && !f.once {
				kinds[id] = true
				all = append(all, trial{s, f, i + 1, c.kind, true})
			}
		}
	}
	return all
}

// clean makes the pass without a fault, and those that follow until there is
// nothing left to do; what it needs and where it ends is what the others are held to.
func (s *scenario) clean(t *testing.T) []seen {
	l, err := newLab(s, t.TempDir())
	if err != nil {
		t.Fatal(s.name, err)
	}
	defer l.close()
	results, p := l.run(s.args, s.copies, nil)
	if p.dry {
		s.plan = results[0].report.plan()
	}
	for range 3 {
		if !p.dry {
			l.idle()
			l.run(s.args, 1, nil)
		}
	}
	for group := range s.want {
		if lacks := l.step(l.look(), group, true); lacks != "" && !p.dry && !s.twice {
			l.blame("in the end, in %s %s", group, lacks)
		}
	}
	l.pass = p
	for _, r := range results {
		if r.exit != 0 && !l.races() && !s.twice {
			l.blame("exit %d: %s", r.exit, r.stderr)
		}
	}
	for _, what := range l.wrong {
		t.Errorf("%s, without any fault: %s\n%s", s.name, what, strings.Join(l.history, "\n"))
	}
	return p.seen
}

// try makes the pass with the fault, and up to three without one.
func (c trial) try(t *testing.T, found *findings) {
	l, err := newLab(c.scenario, t.TempDir())
	if err != nil {
		t.Error(c.name(), err)
		return
	}
	defer l.close()
	_, p := l.run(c.args, c.copies, func(k *call) *fault {
		if c.forGood && k.kind == c.kind || !c.forGood && k.n == c.at && k.copy == 0 {
			return &c.fault
		}
		return nil
	})
	if !p.dry && !c.twice && !found.known(l.look().text) {
		l.converges()
	}
	found.add(c, l)
}

// converges makes up to three passes with nothing in their way, which must be enough.
func (l *lab) converges() {
	for i := 0; ; i++ {
		l.idle()
		results, _ := l.run([]string{"sync"}, 1, nil)
		left := ""
		for group := range l.want {
			left += l.step(l.look(), group, true)
		}
		if left == "" && results[0].exit == 0 {
			return
		}
		if i == 2 {
			l.blame("three passes later: exit %d, %s", results[0].exit, left)
			return
		}
	}
}

// findings are what was found of one kind of pass: what went wrong first, at which
// call, by which faults.
type findings struct {
	mu     sync.Mutex
	states map[string]bool // from which clean passes were made
	faults map[string]map[string][]string
	sample map[string]string
}

func newFindings() *findings {
	return &findings{states: map[string]bool{}, faults: map[string]map[string][]string{}, sample: map[string]string{}}
}

// known says whether clean passes were made from this state before: Nitrox has no
// memory, so that once is enough.
func (f *findings) known(state string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.states[state]
	f.states[state] = true
	return was
}

var host = regexp.MustCompile(`10\.0\.0\.\d+`)

func (f *findings) add(c trial, l *lab) {
	if len(l.wrong) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	what := host.ReplaceAllString(l.wrong[0], "10.0.0.x")
	if f.faults[what] == nil {
		f.faults[what] = map[string][]string{}
		f.sample[what] = c.name() + "\n" + strings.Join(l.history, "\n")
	}
	f.faults[what][c.where()] = append(f.faults[what][c.where()], c.fault.name)
}

func (f *findings) report(t *testing.T, name string) {
	for _, what := range slices.Sorted(maps.Keys(f.faults)) {
		text := name + ": " + what
		for _, where := range slices.Sorted(maps.Keys(f.faults[what])) {
			names := f.faults[what][where]
			slices.Sort(names)
			text += "\n    " + where + ": " + strings.ReplaceAll(strings.Join(names, ", "), ", refused with ", ", ")
		}
		t.Error(text)
		if testing.Verbose() {
			t.Log(f.sample[what])
		}
	}
}
