package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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
	p := newProcess(t, "sync")
	p.cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}, p.cmd.Args...)
	p.cmd.Path = "/bin/sh"
	var out bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &out, &out
	p.on("GET servicegroup_servicegroupmember_binding", func() { p.signal(syscall.SIGHUP) })
	p.start()
	p.ends(0)
}
