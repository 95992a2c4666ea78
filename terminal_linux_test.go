package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"nitrox/netscaler/simulator"
)

// terminal is the two ends of one: what a person types and sees, and what the
// program has.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// onTerminal has the process run on a terminal of its own.
func (p *process) onTerminal() (person *os.File, seen *bufio.Scanner) {
	p.t.Helper()
	person, program := terminal(p.t)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = program, program, program
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.start()
	program.Close()
	return person, bufio.NewScanner(person)
}

func until(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Errorf("no %q is seen", text)
}

// Who presses Ctrl-C is told what is being waited for, and that a second one
// ends it.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	const ctrlC, hint = "\x03", "finishing the write under way; Ctrl-C again stops at once"
	for command, hint := range map[string]string{"sync": hint, "plan": "logging out; Ctrl-C again stops at once"} {
		t.Run("once in "+command, func(t *testing.T) {
			p := newProcess(t, command)
			called, pressed := make(chan struct{}), make(chan struct{})
			p.on("GET servicegroup_servicegroupmember_binding", func() { close(called); <-pressed })
			person, seen := p.onTerminal()
			<-called
			if _, err := person.WriteString(ctrlC); err != nil {
				t.Fatal(err)
			}
			until(t, seen, hint)
			close(pressed)
			p.ends(1)
		})
	}
	t.Run("twice", func(t *testing.T) {
		p := newProcess(t, "sync")
		called, never := make(chan struct{}), make(chan struct{})
		p.at, p.does = "POST login", func() { close(called); <-never }
		person, seen := p.onTerminal()
		<-called
		if _, err := person.WriteString(ctrlC); err != nil {
			t.Fatal(err)
		}
		until(t, seen, hint)
		if _, err := person.WriteString(ctrlC); err != nil {
			t.Fatal(err)
		}
		err := p.cmd.Wait()
		if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
			t.Errorf("it ended with %v", err)
		}
		close(never)
	})
}

// A terminal that is closed ends a single run and a loop in order.
func TestTerminalThatIsClosed(t *testing.T) {
	t.Parallel()
	t.Run("a single run", func(t *testing.T) {
		p := newProcess(t, "sync")
		called := make(chan struct{})
		p.on("GET servicegroup_servicegroupmember_binding", func() { close(called) })
		person, _ := p.onTerminal()
		<-called
		person.Close()
		p.ends(1)
	})
	t.Run("a loop", func(t *testing.T) {
		p := newProcess(t, "sync", "--loop", "1h")
		person, seen := p.onTerminal()
		until(t, seen, "pass ended")
		person.Close()
		p.ends(0)
	})
	t.Run("a loop whose outputs are elsewhere", func(t *testing.T) {
		p := newProcess(t, "sync", "--loop", "1h")
		person, program := terminal(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p.cmd.Stderr = w
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
		p.cmd.ExtraFiles = []*os.File{program}
		p.start()
		w.Close()
		program.Close()
		until(t, bufio.NewScanner(r), "pass ended")
		person.Close()
		p.ends(0)
	})
}

// Any other SIGHUP has a loop read its mapping file again, on a terminal too.
func TestHangUpIsAReload(t *testing.T) {
	t.Parallel()
	t.Run("on a terminal", func(t *testing.T) {
		p := newProcess(t, "sync", "--loop", "1h")
		_, seen := p.onTerminal()
		until(t, seen, "pass ended")
		p.signal(syscall.SIGHUP)
		until(t, seen, "the mapping file was reloaded")
		p.signal(syscall.SIGTERM)
		p.ends(0)
	})
	t.Run("without one", func(t *testing.T) {
		p := newProcess(t, "sync", "--loop", "1h")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p.cmd.Stderr = w
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		p.start()
		w.Close()
		seen := bufio.NewScanner(r)
		until(t, seen, "pass ended")
		p.signal(syscall.SIGHUP)
		until(t, seen, "the mapping file was reloaded")
		p.signal(syscall.SIGTERM)
		p.ends(0)
	})
}

// nohup is stronger than the terminal.
func TestRunUnderNohupOutlivesItsTerminal(t *testing.T) {
	t.Parallel()
	p := newProcess(t, "sync")
	p.cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}, p.cmd.Args...)
	p.cmd.Path = "/bin/sh"
	var out bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &out, &out
	p.on("GET servicegroup_servicegroupmember_binding", func() { p.signal(syscall.SIGHUP) })
	p.start()
	p.ends(0)
}

// screen is what a person sees in the end of what a terminal was sent, and every
// state that its last line went through.
func screen(t *testing.T, sent string) (end string, lines []string) {
	t.Helper()
	var done []string
	current, column := []rune{}, 0
	for rest := sent; rest != ""; {
		if after, ok := strings.CutPrefix(rest, "\x1b[K"); ok {
			current, rest = current[:column], after
			lines = append(lines, string(current))
			continue
		}
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		switch r {
		case '\r':
			column = 0
		case '\n':
			done = append(done, string(current))
			current, column = nil, 0
		case '\x1b':
			t.Fatalf("a sequence that is not known: %q", rest[:min(len(rest), 20)])
		default:
			if column == len(current) {
				current = append(current, r)
			}
			current[column] = r
			column++
		}
	}
	return strings.Join(append(done, string(current)), "\n"), lines
}

// watched runs the process on a terminal of so many columns, and returns all that
// the terminal was sent.
func (p *process) watched(columns uint16, code int) string {
	p.t.Helper()
	person, program := terminal(p.t)
	if err := unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Env = append(p.cmd.Env, "NO_COLOR=1")
	if p.cmd.Stdout == nil {
		p.cmd.Stdout = program
	}
	if p.cmd.Stderr == nil {
		p.cmd.Stderr = program
	}
	p.cmd.Stdin = program
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.start()
	program.Close()
	var sent bytes.Buffer
	all := make(chan struct{})
	go func() {
		defer close(all)
		_, _ = sent.ReadFrom(person) // a terminal ends with an error
	}()
	p.ends(code)
	<-all
	return sent.String()
}

// slow is a process whose NetScaler takes its time and changes one by one.
func slow(t *testing.T, members int, args ...string) *process {
	p := newProcess(t, args...)
	p.sim = simulator.New(simulator.Options{
		Users: map[string]string{"nitrox": password}, Lacks: []string{"arrays"},
		ReadLatency: 500 * time.Millisecond, WriteLatency: 20 * time.Millisecond, SaveTime: 500 * time.Millisecond,
	})
	p.sim.AddGroup("shop")
	p.endpoints(members)
	return p
}

// endpoints has the source know so many.
func (p *process) endpoints(n int) {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"10.0.%d.%d:80"`, i/200, i%200+1)
	}
	p.write("endpoints.json", `{"apps": {"shop": [`+strings.Join(all, ", ")+`]}}`)
}

// While a run takes its time a terminal shows what it does, in one line that is
// never wider than the terminal, and of which nothing is left in the end.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	const report = "shop: shop on edge: 0 serving"
	for _, columns := range []uint16{0, 80, 20} {
		t.Run(fmt.Sprint(columns, " columns"), func(t *testing.T) {
			t.Parallel()
			end, lines := screen(t, slow(t, 60, "sync").watched(columns, 0))
			if !strings.Contains(end, "\n"+report) || !strings.HasSuffix(end, "\n") || strings.Contains(end, "\nedge: ") {
				t.Errorf("in the end a person sees\n%s", end)
			}
			counts := map[string]bool{}
			for _, l := range lines {
				if m := regexp.MustCompile(`^edge: bind (\d+)/60$`).FindStringSubmatch(l); m != nil {
					counts[m[1]] = true
				}
				if n := utf8.RuneCountInString(l); columns > 0 && n >= int(columns) {
					t.Errorf("a line of %d characters: %q", n, l)
				}
			}
			if all := strings.Join(lines, "\n"); len(counts) < 2 || !strings.Contains(all, "edge: reading") || !strings.Contains(all, "edge: saving") {
				t.Errorf("the line was\n%s", all)
			}
		})
	}
	t.Run("with the log between", func(t *testing.T) {
		t.Parallel()
		end, _ := screen(t, slow(t, 30, "sync", "--log-level", "debug").watched(80, 0))
		for l := range strings.Lines(end) {
			if !strings.HasPrefix(l, "time=") && strings.Contains(l, "time=") || strings.HasPrefix(l, "edge: ") {
				t.Errorf("mixed: %q", l)
			}
		}
		if n := strings.Count(end, "level=INFO msg=bound"); n != 30 {
			t.Errorf("%d changes are logged, although --log-level is given:\n%s", n, end)
		}
	})
}

// A wait for drains counts down, and once they are over goes on.
func TestProgressOfAWait(t *testing.T) {
	t.Parallel()
	p := newProcess(t, "sync", "--wait")
	text := strings.Replace(fmt.Sprintf(signalMapping, p.server.URL), "name: shop,", "name: shop, drain: 3s, max_remove: 100%,", 1)
	p.write("nitrox.yaml", text)
	p.endpoints(1)
	for i := range 3 {
		if err := p.sim.Load(strings.NewReader(fmt.Sprintf("bind serviceGroup shop 10.0.0.%d 80\n", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	end, lines := screen(t, p.watched(80, 0))
	if !strings.Contains(end, "started draining") || !strings.Contains(end, "2 unbound") || strings.Contains(end, " left") {
		t.Errorf("in the end a person sees\n%s", end)
	}
	seen := slices.Compact(lines)
	var left []string
	for _, line := range []string{"draining 2 members, 3s left", "draining 2 members, 2s left", "draining 2 members, 1s left"} {
		if slices.Contains(seen, line) {
			left = append(left, line)
		}
	}
	if len(left) < 2 { // a busy machine skips one
		t.Errorf("no countdown in\n%s", strings.Join(seen, "\n"))
	}
}

// Where no person watches nothing is drawn, and the log is whole.
func TestNoProgressElsewhere(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(p *process, log *bytes.Buffer){
		"the log is elsewhere": func(p *process, log *bytes.Buffer) { p.cmd.Stderr = log },
		"a dumb terminal":      func(p *process, _ *bytes.Buffer) { p.cmd.Env = append(p.cmd.Env, "TERM=dumb") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			p := slow(t, 10, "sync")
			set(p, &log)
			sent := p.watched(80, 0)
			if strings.ContainsAny(sent+log.String(), "\x1b") || strings.Contains(sent, "reading") {
				t.Errorf("it is drawn:\n%q", sent)
			}
			if n := strings.Count(log.String(), "msg=bound"); name == "the log is elsewhere" && n != 10 {
				t.Errorf("%d changes are logged", n)
			}
		})
	}
}

// On a terminal a change of a single run is seen once: in the report, or in both
// if the log is asked for.
func TestOneRunOnATerminalHasAReportAndNoLog(t *testing.T) {
	for _, c := range []struct {
		args   string
		logged int
	}{
		{"sync", 0}, {"plan", 0}, {"sync --wait", 0}, {"sync --log-level info", 1}, {"sync -o json", 1},
	} {
		t.Run(c.args, func(t *testing.T) {
			end, _ := screen(t, newProcess(t, strings.Fields(c.args)...).watched(80, 0))
			if !strings.Contains(end, "10.0.0.1:80") {
				t.Errorf("no report:\n%s", end)
			}
			if n := strings.Count(end, "msg=bound"); n != c.logged || strings.Contains(end, "level=") != (c.logged > 0) {
				t.Errorf("%d lines of log for a change, want %d:\n%s", n, c.logged, end)
			}
		})
	}
	t.Run("what the report does not say is said", func(t *testing.T) {
		p := newProcess(t, "sync", "--metrics-file", "/no/such/folder/nitrox.prom")
		if end, _ := screen(t, p.watched(80, 1)); !strings.Contains(end, `level=ERROR msg="the metrics cannot be written"`) {
			t.Errorf("not said:\n%s", end)
		}
	})
}
