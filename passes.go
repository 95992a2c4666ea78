package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	stdsync "sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"nitrox/sync"
	"nitrox/sync/lease"
	"nitrox/sync/observe"
)

// passFlags are those of sync and plan.
func passFlags() []cli.Flag {
	return append([]cli.Flag{
		configFlag(),
		&cli.StringSliceFlag{Name: "app", Usage: "only the app `NAME` (repeatable)"},
		&cli.DurationFlag{Name: "loop", Usage: "run again every `INTERVAL`, such as 30s, until stopped", DefaultText: "once"},
		&cli.BoolFlag{Name: "watch", DisableDefaultText: true, Usage: "with --loop: make a pass as soon as a source reports a change"},
		&cli.StringFlag{Name: "listen", Usage: "with --loop: serve metrics, health and a status page at `ADDRESS`; :9090 is 127.0.0.1:9090"},
		&cli.StringFlag{Name: "leader-elect", Usage: "with --loop: only the replica that holds the Kubernetes Lease `NAMESPACE/NAME` makes changes"},
		&cli.StringFlag{Name: "metrics-file", Usage: "write the metrics to `FILE` after each pass, for node_exporter's textfile collector"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "text, json, or nscli: the plan as NetScaler commands"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "exit-code", Usage: "exit with 2 if a dry run finds changes"},
	}, logFlags()...)
}

// job is a command that makes passes: one, several until all is drained, or a
// loop.
type job struct {
	*program
	options  *cli.Context
	dryRun   bool
	apps     []string // nil: all
	report   sync.Report
	observer *observe.Observer
	leading  *lease.Lease // nil: there is but one
	log      *slog.Logger
	// terse: on a terminal the report of a single run says what the log would.
	terse     bool
	chronicle sync.Chronicle
	// mute: the last report could not be written; unreported: one could not.
	mute, unreported bool
}

// sync carries out sync and plan.
func (p *program) sync(c *cli.Context, dryRun bool) error {
	j := &job{program: p, options: c, dryRun: dryRun}
	err := j.check()
	if err != nil {
		return err
	}
	defer survivePipes()()
	under := "finishing the write under way"
	if dryRun {
		under = "logging out"
	}
	ctx := c.Context
	defer p.hint(ctx, under)()
	if !c.IsSet("loop") {
		var stop context.CancelFunc
		ctx, stop = untilHungUp(ctx)
		defer stop()
	}
	j.terse = !c.IsSet("loop") && !c.IsSet("log-level") && c.String("output") == "text" && isTerminal(p.stdout) && isTerminal(p.stderr)
	if j.log, err = logger(c, &watched{Writer: p.stderr, lost: j.logLost}, j.terse); err != nil {
		return err
	}
	if c.IsSet("app") {
		j.apps = c.StringSlice("app")
	}
	if c.String("output") == "text" && p.colour() {
		j.report = sync.Coloured(j.report)
	}
	if c.IsSet("leader-elect") {
		if j.leading, err = lease.Open(lease.Config{Lease: c.String("leader-elect"), Log: j.log}); err != nil {
			return fmt.Errorf("--leader-elect: %w", err)
		}
	}
	j.observer = observe.New(observe.Options{Version: release(), Every: c.Duration("loop")})
	inUse, err := os.ReadFile(p.file(c)) // before it is loaded: a later change is seen as one
	if err != nil {
		inUse = nil // loading says what is wrong
	}
	s, err := j.open()
	if err != nil {
		return err
	}
	switch {
	case c.IsSet("loop"):
		return j.loop(ctx, s, inUse)
	case p.wait.given:
		j.finish(ctx, s)
	default:
		limited, cancel := sync.WithDeadline(ctx)
		defer cancel()
		j.tell(ctx, j.pass(limited, s, j.apps))
	}
	j.end(ctx, s)
	return nil
}

// check finds what is wrong with the options by themselves and together.
func (j *job) check() error {
	known := false
	j.report, known = sync.Reports[j.options.String("output")]
	loops := j.options.IsSet("loop")
	switch {
	case !known:
		return unknown("output", j.options.String("output"), []string{"text", "json", "nscli"})
	case loops && j.options.Duration("loop") < time.Second:
		return fmt.Errorf("--loop %v is too short; an interval of at least 1s is needed", j.options.Duration("loop"))
	case loops && j.wait.given:
		return errors.New("--wait is for one run: a loop unbinds what is drained by itself")
	case j.dryRun && j.wait.given:
		return errors.New("--wait is for a run that does something: it cannot be had with --dry-run")
	case loops && j.options.IsSet("force"):
		return errors.New("--force is for one run: it cannot be had with --loop")
	case loops && j.options.Bool("exit-code"):
		return errors.New("--exit-code is for one run: it cannot be had with --loop")
	case !loops && j.options.Bool("watch"):
		return errors.New("--watch needs --loop: events only shorten its wait")
	case !loops && j.options.IsSet("listen"):
		return errors.New("--listen needs --loop; one run leaves its metrics in a --metrics-file")
	case !loops && j.options.IsSet("leader-elect"):
		return errors.New("--leader-elect needs --loop; two single runs do each other no harm")
	case !j.dryRun && j.options.Bool("exit-code"):
		return errors.New("--exit-code is for a dry run: add --dry-run, or say plan")
	}
	return nil
}

// pass makes a pass.
func (j *job) pass(ctx context.Context, s *sync.Syncer, apps []string) sync.Result {
	j.observer.Begin(time.Now())
	if j.dryRun {
		return s.Plan(ctx, apps)
	}
	return s.Sync(ctx, apps)
}

// tell makes a pass known: in the report, the log, the metrics and the exit code.
// In a loop, one without news is not reported.
func (j *job) tell(ctx context.Context, r sync.Result) {
	j.observer.Record(r, time.Now())
	j.code = r.Exit(j.options.Bool("exit-code"))
	log := j.log
	if j.terse {
		log = slog.New(slog.DiscardHandler)
	}
	news := j.chronicle.Log(ctx, log, r, time.Now())
	if j.options.String("output") != "text" {
		news = !r.Quiet()
	}
	if news || !j.options.IsSet("loop") {
		j.write(r)
	}
	if file := j.options.String("metrics-file"); file != "" {
		if err := j.observer.WriteMetricsFile(file); err != nil {
			j.log.Error("the metrics cannot be written", "error", err)
			j.code = sync.ExitFailed
		}
	}
	if j.unreported {
		j.code = sync.ExitFailed
	}
}

// write writes the report. That it cannot is said once, not with each pass.
func (j *job) write(r sync.Result) {
	err := j.report(j.stdout, r)
	switch {
	case err != nil && !j.mute && j.options.IsSet("loop"):
		j.log.Error("the report cannot be written; the loop goes on", "error", err)
	case err != nil && !j.mute:
		j.log.Error("the report cannot be written", "error", err)
	case err == nil && j.mute:
		j.log.Info("the report can be written again")
	}
	j.mute = err != nil
	j.unreported = j.unreported || j.mute
}

// logLost is told when the log cannot be written. A loop says so where a person
// may read it; a single run has its report and its exit code.
func (j *job) logLost(err error) {
	if j.options.IsSet("loop") && j.options.String("output") == "text" {
		_, _ = fmt.Fprintf(j.stdout, "nitrox: the log cannot be written; the loop goes on: %v\n", err) // there is no third place to say it
	}
}

// watched tells of the first write that fails: a logger keeps that to itself.
type watched struct {
	io.Writer
	lost func(error)
	once stdsync.Once
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	if err != nil {
		w.once.Do(func() { w.lost(err) })
	}
	return n, err
}

// finish makes passes until nothing drains any more.
func (j *job) finish(ctx context.Context, s *sync.Syncer) {
	err := sync.Finish(ctx, j.wait.bound, func(ctx context.Context) sync.Result {
		r := j.pass(ctx, s, j.apps)
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

// loop makes passes until it is told to stop, while this replica leads if there
// are several.
func (j *job) loop(ctx context.Context, s *sync.Syncer, inUse []byte) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	signals, stop := hangUps(ctx, end)
	defer stop()
	served, err := j.serve(ctx)
	if err != nil {
		return err
	}
	defer served()
	run := func(ctx context.Context) {
		loop := sync.Loop{
			Every: j.options.Duration("loop"), Apps: j.apps, Watch: j.options.Bool("watch"), Pass: j.pass, Report: func(r sync.Result) { j.tell(ctx, r) }, Stream: j.observer.Stream, Log: j.log,
			Reload: reloads(ctx, j.file(j.options), inUse, signals, j.open, j.log),
		}
		s = loop.Run(ctx, s)
		j.end(ctx, s) // while this replica still leads
	}
	if j.leading == nil {
		run(ctx)
	} else {
		j.observer.StandBy(true)
		j.leading.Run(ctx, func(term context.Context) {
			// The mapping may have changed while another replica led, and no
			// pass may be made by the old one.
			text, err := os.ReadFile(j.file(j.options))
			if err == nil {
				inUse = text
			}
			if fresh, err := j.open(); err != nil {
				j.log.Error("the mapping file cannot be used; the old one stays in use", "file", j.file(j.options), "error", err)
			} else {
				s = fresh
			}
			j.observer.StandBy(false)
			run(term)
			j.observer.StandBy(true)
		})
	}
	j.code = sync.ExitInStep
	return nil
}

// end saves what is not saved and logs out.
func (j *job) end(ctx context.Context, s *sync.Syncer) {
	if err := s.Close(context.WithoutCancel(ctx)); err != nil {
		j.log.Error("could not save or log out cleanly", "error", err)
	}
}

// serve tells of the loop to systemd and, if it is asked for, over HTTP, until
// end is called, which is when the loop has ended.
func (j *job) serve(loop context.Context) (end func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(loop))
	var g errgroup.Group
	if addr := j.options.String("listen"); addr != "" {
		l, err := observe.Listen(addr)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("--listen %s: %w", addr, err)
		}
		j.log.Info("serving metrics, health and the status page", "url", "http://"+l.Addr().String())
		g.Go(func() error { return observe.Serve(ctx, l, j.observer.Handler(), j.log) })
	}
	g.Go(func() error {
		// Until the loop is told to stop: systemd hears of that at once.
		j.observer.Notify(loop, j.log)
		return nil
	})
	return func() {
		cancel()
		if err := g.Wait(); err != nil {
			j.log.Error("metrics, health and the status page are not served", "error", err)
		}
	}, nil
}
