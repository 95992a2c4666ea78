package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// stoppedBy is the cause of a context that a signal ended.
type stoppedBy struct{ os.Signal }

func (s stoppedBy) Error() string { return s.String() + " signal received" }

// untilStopped is a context that ends at Ctrl-C or SIGTERM. A second one ends
// the process at once.
func untilStopped(ctx context.Context) context.Context {
	ctx, stop := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals)
		stop(stoppedBy{s})
	}()
	return ctx
}

// hint tells a person who pressed Ctrl-C why the program does not end at once.
// w leads to standard error. The function that it returns ends that, or waits until
// it is told.
func (p *program) hint(ctx context.Context, w io.Writer, what string) func() {
	if !isTerminal(p.stderr) {
		return func() {}
	}
	told := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		defer close(told)
		var by stoppedBy
		if errors.As(context.Cause(ctx), &by) && by.Signal == os.Interrupt {
			fmt.Fprintf(w, "%s; Ctrl-C again stops at once\n", what)
		}
	})
	return func() {
		if !forget() {
			<-told
		}
	}
}

// output is one whose reader may stop reading and not leave, as a pager does, a terminal
// that is held (Ctrl-S), a collector of logs. From when the run is told to stop such a reader
// is waited for no longer than patience, and then no more, so that the run ends in order.
type output struct {
	io.Writer
	told context.Context
	lost atomic.Bool
}

func (o *output) Write(b []byte) (int, error) {
	if o.lost.Load() {
		return 0, errUnread
	}
	written, text := make(chan error, 1), bytes.Clone(b) // which is another's to change
	go func() {
		_, err := o.Writer.Write(text)
		written <- err
	}()
	select {
	case err := <-written:
		return len(b), err
	case <-o.told.Done():
	}
	select {
	case err := <-written:
		return len(b), err
	case <-time.After(patience):
		o.lost.Store(true)
		return 0, errUnread
	}
}

var errUnread = errors.New("its reader has stopped reading; resume or end it")

// over is an output of the job, before anything is written to which the line goes.
func (j *job) over(w io.Writer) io.Writer {
	return &output{Writer: j.line.over(w), told: j.options.Context}
}

// survivePipes makes a write to standard output or error whose reader has gone
// an error like any other: by default the process would end there, and leave
// its session behind. SIGPIPE is caught and not ignored, since a credential
// plug-in would inherit that.
func survivePipes() (restore func()) {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// untilHungUp is the context of a single run, which ends when its terminal is
// closed, unless nohup says otherwise. The signal often comes twice, from the
// system and from the shell.
func untilHungUp(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// hangUps gives the SIGHUPs of a loop that ask for the mapping file to be read
// again. One that tells that the terminal was closed calls end instead: a loop
// that somebody runs by hand does not outlive its terminal, but for nohup.
func hangUps(ctx context.Context, end context.CancelCauseFunc) (again <-chan os.Signal, stop func()) {
	attended := !signal.Ignored(syscall.SIGHUP) && onTerminal()
	all, reload := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(all, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-all:
				if attended && !onTerminal() {
					end(stoppedBy{s})
					return
				}
				select {
				case reload <- s:
				default: // one that waits is enough
				}
			}
		}
	}()
	return reload, func() { signal.Stop(all) }
}

// onTerminal: the process has a controlling terminal, and it is open.
func onTerminal() bool {
	f, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	_ = f.Close() // nothing was written
	return true
}
