package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"nitrox/netscaler"
	"nitrox/sources/all"
	"nitrox/sync"
	"nitrox/sync/config"
	"nitrox/sync/observe"
)

// passFlags are those of sync and plan.
func passFlags() []cli.Flag {
	return append([]cli.Flag{
		configFlag(),
		&cli.StringSliceFlag{Name: "app", Usage: "only the app `NAME` (repeatable)"},
		&cli.DurationFlag{Name: "loop", Usage: "run again every `INTERVAL`, such as 30s, until stopped", DefaultText: "once"},
		&cli.BoolFlag{Name: "watch", DisableDefaultText: true, Usage: "with --loop: make a pass at once when a source tells of a change"},
		&cli.StringFlag{Name: "listen", Usage: "with --loop: serve metrics, health and a status page at `ADDRESS`; :9090 is 127.0.0.1:9090"},
		&cli.StringFlag{Name: "metrics-file", Usage: "after each pass write the metrics to `FILE`, for node_exporter's textfile collector"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "text, json, or nscli: the plan as NetScaler commands"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "exit-code", Usage: "end a dry run that finds changes with 2"},
	}, logFlags()...)
}

// sync runs passes as the flags say: one, or a loop.
func (p *program) sync(c *cli.Context, dryRun bool) error {
	log, err := p.logger(c)
	if err != nil {
		return err
	}
	report, known := sync.Reports[c.String("output")]
	every := c.Duration("loop")
	switch {
	case !known:
		return unknown("output", c.String("output"), []string{"text", "json", "nscli"})
	case c.IsSet("loop") && every < time.Second:
		return fmt.Errorf("--loop %v is too short; an interval of at least 1s is needed", every)
	case p.wait.given && c.IsSet("loop"):
		return errors.New("--wait is for one run: a loop unbinds what is drained by itself")
	case p.wait.given && dryRun:
		return errors.New("--wait is for a run that does something: it cannot be had with --dry-run")
	case c.IsSet("loop") && c.IsSet("force"):
		return errors.New("--force is for one run: it cannot be had with --loop")
	case c.Bool("watch") && !c.IsSet("loop"):
		return errors.New("--watch needs --loop: events only shorten its wait")
	case c.IsSet("listen") && !c.IsSet("loop"):
		return errors.New("--listen needs --loop; one run leaves its metrics in a --metrics-file")
	case c.Bool("exit-code") && !dryRun:
		return errors.New("--exit-code is for a dry run: add --dry-run, or say plan")
	case c.Bool("exit-code") && c.IsSet("loop"):
		return errors.New("--exit-code is for one run: it cannot be had with --loop")
	}
	if c.String("output") == "text" && p.colour() {
		report = sync.Coloured(report)
	}
	inUse, err := os.ReadFile(p.file(c)) // before it is loaded: a later change is seen as one
	if err != nil {
		inUse = nil // loading says what is wrong
	}
	observer := observe.New(observe.Options{Version: release(), Every: every})
	load := func() (*sync.Syncer, error) {
		s, err := p.open(c, dryRun, observer, log)
		if err == nil {
			observer.Reload(slices.DeleteFunc(slices.Clone(s.Apps), func(a sync.App) bool {
				return c.IsSet("app") && !slices.Contains(c.StringSlice("app"), a.Name)
			}))
		}
		return s, err
	}
	s, err := load()
	if err != nil {
		return err
	}
	var apps []string
	if c.IsSet("app") {
		apps = c.StringSlice("app")
	}
	tell := func(r sync.Result) {
		observer.Record(r, time.Now())
		if !c.IsSet("loop") || !r.Quiet() {
			if err := report(p.stdout, r); err != nil {
				log.Error("the report cannot be written", "error", err)
			}
		}
		r.Log(c.Context, log)
		if file := c.String("metrics-file"); file != "" {
			if err := observer.WriteMetricsFile(file); err != nil {
				log.Error("the metrics cannot be written", "error", err)
			}
		}
		p.code = r.Exit(c.Bool("exit-code"))
	}
	pass := func(s *sync.Syncer, ctx context.Context, apps []string) sync.Result {
		observer.Begin(time.Now())
		if dryRun {
			return s.Plan(ctx, apps)
		}
		return s.Sync(ctx, apps)
	}
	if c.IsSet("loop") {
		end, err := p.serve(c, observer, log)
		if err != nil {
			return err
		}
		defer end()
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGHUP)
		defer signal.Stop(signals)
		loop := sync.Loop{
			Every: every, Apps: apps, Watch: c.Bool("watch"), Pass: pass, Report: tell, Stream: observer.Stream, Log: log,
			Reload: reloads(c.Context, p.file(c), inUse, signals, load, log),
		}
		s = loop.Run(c.Context, s)
		p.code = sync.ExitInStep
	} else if p.wait.given {
		err := sync.Finish(c.Context, p.wait.bound, func(ctx context.Context) sync.Result {
			r := pass(s, ctx, apps)
			for i := range s.Apps {
				s.Apps[i].Policy.Forced = false // --force is for one pass
			}
			return r
		}, tell)
		if err != nil {
			log.Error("not finished", "error", err)
			p.code = sync.ExitFailed
		}
	} else {
		ctx, cancel := sync.WithDeadline(c.Context)
		defer cancel()
		tell(pass(s, ctx, apps))
	}
	if err := s.Close(context.WithoutCancel(c.Context)); err != nil {
		log.Error("the end was not clean", "error", err)
	}
	return nil
}

// serve tells of the loop to systemd and, if it is asked for, over HTTP, until
// end is called, which is when the loop has ended.
func (p *program) serve(c *cli.Context, observer *observe.Observer, log *slog.Logger) (end func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context))
	var g errgroup.Group
	if addr := c.String("listen"); addr != "" {
		l, err := observe.Listen(addr)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("--listen %s: %w", addr, err)
		}
		log.Info("serving metrics, health and the status page", "url", "http://"+l.Addr().String())
		g.Go(func() error { return observe.Serve(ctx, l, observer.Handler(), log) })
	}
	g.Go(func() error {
		// Until the loop is told to stop: systemd hears of that at once.
		observer.Notify(c.Context, log)
		return nil
	})
	return func() {
		cancel()
		if err := g.Wait(); err != nil {
			log.Error("metrics, health and the status page are not served", "error", err)
		}
	}, nil
}

// open makes a syncer of the mapping file. It contacts nothing.
func (p *program) open(c *cli.Context, readOnly bool, observer *observe.Observer, log *slog.Logger) (*sync.Syncer, error) {
	m, err := config.Load(p.file(c), all.Kinds, p.lookup)
	if err != nil {
		return nil, err
	}
	for _, w := range m.Warnings {
		log.Warn(w.Message, "file", w.File, "line", w.Line)
	}
	if err := knownApps(m.Apps, slices.Concat(c.StringSlice("app"), c.StringSlice("force"))); err != nil {
		return nil, err
	}
	s := &sync.Syncer{Sources: m.Sources, Apps: m.Apps, NetScalers: map[string]*sync.NetScaler{}}
	for i := range s.Apps {
		s.Apps[i].Policy.Forced = slices.Contains(c.StringSlice("force"), s.Apps[i].Name)
	}
	appliances := map[string]string{} // by URL
	for _, name := range slices.Sorted(maps.Keys(m.NetScalers)) {
		n := m.NetScalers[name]
		appliance := name
		for _, url := range n.Config.URLs {
			appliance = cmp.Or(appliances[url], appliance)
		}
		for _, url := range n.Config.URLs {
			appliances[url] = appliance
		}
		n.Config.ReadOnly = readOnly
		n.Config.Log = log.With("netscaler", name)
		n.Config.Observe = func(call netscaler.CallInfo) { observer.Call(name, call) }
		client, err := netscaler.Open(n.Config)
		if err != nil {
			return nil, fmt.Errorf("netscaler %s: %w", name, err)
		}
		s.NetScalers[name] = &sync.NetScaler{Client: client, Appliance: appliance, Save: n.Save, SaveEvery: n.SaveEvery}
	}
	return s, nil
}

func knownApps(apps []sync.App, wanted []string) error {
	var known []string
	for _, a := range apps {
		known = append(known, a.Name)
	}
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return unknown("app", name, known)
		}
	}
	return nil
}
