package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"
	"k8s.io/klog/v2"

	"nitrox/sync"
	"nitrox/sync/config"
	"nitrox/sync/lease"
	"nitrox/sync/observe"
)

// job is a command that makes passes: one, several until all is drained, or a
// loop.
type job struct {
	*program
	options  *cli.Context
	files    *config.Files // of the mapping
	dryRun   bool
	look     func(*sync.Syncer, context.Context, *sync.Part) sync.Result // of a dry run
	apps     []string                                                    // nil: all
	force    []string
	approved *sync.Approval // sync --plan: what may be done; nil: everything
	report   sync.Report
	observer *observe.Observer
	leading  *lease.Lease     // nil: there is but one
	hangUps  <-chan os.Signal // which ask a loop to read its mapping again
	log      *slog.Logger
	line     *progress // nil: nobody watches
	// out and aside are the standard output and error, each one for all that writes there:
	// where nobody reads, that is waited for once.
	out, aside io.Writer
	// terse: on a terminal the report of a single run says what the log would.
	terse     bool
	chronicle sync.Chronicle
	herald    sync.Herald
	warned    []config.Problem // the warnings about the mapping that was loaded last
	run       string           // its ID
	passes    atomic.Int32     // begun so far
	// mute: the last report could not be written; unreported: one could not.
	mute, unreported bool
}

// sync carries out sync and plan.
func (p *program) sync(c *cli.Context, dryRun bool) error {
	j := &job{program: p, options: c, dryRun: dryRun, look: (*sync.Syncer).Plan}
	if err := j.check(); err != nil {
		return err
	}
	j.terse = !c.IsSet("loop") && !c.IsSet("log-level") && c.String("output") == "text" && isTerminal(p.stdout) && isTerminal(p.stderr)
	if c.IsSet("app") {
		j.apps = c.StringSlice("app")
	}
	if c.String("output") == "text" && p.colour() {
		j.report = sync.Coloured(j.report)
	}
	return j.do()
}

// do makes the passes of the job.
func (j *job) do() (err error) {
	p, c := j.program, j.options
	j.files = p.files(c)
	defer survivePipes()()
	under := "finishing the write under way"
	if j.dryRun {
		under = "logging out"
	}
	if !c.IsSet("loop") {
		// A loop's log says what it does, and nobody waits for its end.
		j.line = p.watch()
		defer j.line.stop()
		var stop context.CancelFunc
		c.Context, stop = untilHungUp(c.Context)
		defer stop()
	} else {
		var end context.CancelCauseFunc
		c.Context, end = context.WithCancelCause(c.Context)
		defer end(nil)
		var stop func()
		j.hangUps, stop = hangUps(c.Context, end)
		defer stop()
	}
	ctx := c.Context
	j.out, j.aside = j.over(p.stdout), j.over(p.stderr)
	defer p.hint(ctx, j.aside, under)()
	if j.log, err = logger(c, &watched{Writer: j.aside, lost: j.logLost}, j.terse); err != nil {
		return err
	}
	j.herald.Log = j.log
	defer j.herald.Close()
	remarks, err := logger(c, j.aside, true)
	if err != nil {
		return err
	}
	klog.SetSlogLogger(remarks) // of client-go, which has much to say at the debug level
	j.force = c.StringSlice("force")
	if c.IsSet("plan") {
		if err := j.readPlan(); err != nil {
			return err
		}
	}
	if c.IsSet("leader-elect") {
		if j.leading, err = lease.Open(lease.Config{Lease: c.String("leader-elect"), Log: j.log}); err != nil {
			return fmt.Errorf("--leader-elect: %w", err)
		}
		if err := j.leading.Warning(); err != nil {
			j.log.Warn("the kubeconfig of --leader-elect is not safe", "error", err)
		}
	}
	watched := observe.Options{Version: release(), Every: c.Duration("loop")}
	if j.leading != nil {
		watched.Led = j.leading.Renewed
	}
	j.observer = observe.New(watched)
	var inUse config.Text
	if c.IsSet("loop") { // before it is loaded: a later change is seen as one
		inUse, _ = j.files.Text() // loading says what is wrong
	}
	s, err := j.open()
	if err != nil {
		return err
	}
	j.begin(s)
	if c.IsSet("loop") {
		return j.loop(ctx, s, inUse)
	}
	limited, cancel := sync.WithDeadline(ctx)
	defer cancel()
	if s, err = j.discover(limited, s); err != nil {
		j.end(ctx, s)
		return err
	}
	switch {
	case c.Bool("show-discovered"):
		err = j.show(s)
	case p.wait.given:
		j.finish(ctx, s)
	default:
		if j.approved != nil && !j.asApproved(limited, s) {
			break
		}
		r := j.pass(limited, s, &sync.Part{Apps: j.apps})
		j.tell(ctx, r)
		if c.IsSet("out") {
			j.writePlan(r)
		}
	}
	j.end(ctx, s)
	return err
}

// show prints the apps that opted in as the mapping that they amount to.
func (j *job) show(s *sync.Syncer) error {
	err := s.Undiscovered()
	if err != nil || slices.ContainsFunc(s.Apps, func(a sync.App) bool { return a.Refused != nil }) {
		j.code = sync.ExitFailed
	}
	if err != nil {
		return err
	}
	text, err := j.files.Show(s.Apps)
	if err != nil {
		return err
	}
	_, err = j.out.Write(text)
	return err
}

// begin gives the run its ID, and says what it goes by.
func (j *job) begin(s *sync.Syncer) {
	id := make([]byte, 6)
	_, _ = rand.Read(id) // never fails
	j.run = hex.EncodeToString(id)
	host, err := os.Hostname()
	if err != nil {
		host = "not known: " + err.Error()
	}
	j.log.Info("the run begins", "run", j.run, "command", j.options.Command.Name, "version", release(), "host", host,
		"mapping", s.Mapping.File, "digest", s.Mapping.Digest, "apps", len(s.Apps))
}

// pass makes a pass.
func (j *job) pass(ctx context.Context, s *sync.Syncer, part *sync.Part) sync.Result {
	j.observer.Begin(time.Now())
	if j.dryRun {
		return j.look(s, ctx, part)
	}
	return s.Sync(ctx, part)
}

// finish makes passes until nothing drains any more.
func (j *job) finish(ctx context.Context, s *sync.Syncer) {
	err := s.Finish(ctx, j.wait.bound, func(ctx context.Context) sync.Result {
		r := j.pass(ctx, s, &sync.Part{Apps: j.apps})
		for i := range s.Apps {
			s.Apps[i].Policy.Forced = false // --force is for one pass
		}
		return r
	}, func(r sync.Result) { j.tell(ctx, r) })
	if err != nil {
		j.log.Error("not finished", "error", err)
		j.code = sync.ExitFailed
	}
}

// end saves what is not saved and logs out.
func (j *job) end(ctx context.Context, s *sync.Syncer) {
	if err := s.Close(ctx); err != nil {
		j.log.Error("could not save or log out cleanly", "error", err)
	}
}
