package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"nitrox/sync"
	"nitrox/sync/config"
	"nitrox/sync/observe"
)

// loop makes passes until it is told to stop, while this replica leads if there
// are several.
func (j *job) loop(ctx context.Context, s *sync.Syncer, inUse config.Text) error {
	served, err := j.serve(ctx)
	if err != nil {
		return err
	}
	defer served()
	run := func(ctx context.Context) {
		loop := sync.Loop{
			Every: j.options.Duration("loop"), Apps: j.apps, Watch: j.options.Bool("watch"),
			Pass: j.pass, Report: func(r sync.Result) { j.tell(ctx, r) }, Stream: j.observer.Stream, Log: j.log,
			Found:  j.found,
			Reload: reloads(ctx, j.files, inUse, s, j.hangUps, j.open, j.observer.Refused, j.log),
		}
		s = loop.Run(ctx, s)
		j.end(ctx, s) // while this replica still leads
	}
	if j.leading == nil {
		run(ctx)
	} else {
		j.observer.StandBy(true)
		j.leading.Run(ctx, func(term context.Context) {
			s, inUse = j.takeOver(s)
			j.observer.StandBy(false)
			run(term)
			j.observer.StandBy(true)
		})
	}
	j.code = sync.ExitInStep
	return nil
}

// takeOver is the syncer of a replica that begins to lead, and the text that it is of: the
// mapping may have changed while another led, and no pass may be made by the old one. Where
// the files cannot be used it is of no text, so that [reloads] reads them at once, and says why.
func (j *job) takeOver(s *sync.Syncer) (*sync.Syncer, config.Text) {
	inUse, err := j.files.Text()
	fresh, unusable := j.open()
	if err != nil || unusable != nil {
		return s, config.Text{}
	}
	if fresh.Mapping != s.Mapping {
		reloaded(j.log, s, fresh)
	}
	return fresh, inUse
}

// found is told which apps there are now that some opt in.
func (j *job) found(s *sync.Syncer) {
	j.observe(s)
	if err := knownApps(s.Apps, j.apps); err != nil && s.Undiscovered() == nil {
		j.log.Warn("an app that --app names is not there, and is served once it has opted in", "error", err)
	}
}

// serve reports on the loop to systemd and, if it is asked for, over HTTP, until
// end is called, which is when the loop has ended.
func (j *job) serve(loop context.Context) (end func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(loop))
	var g errgroup.Group
	if addr := j.options.String("listen"); addr != "" {
		l, err := observe.Listen(addr)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("--listen: %w", err)
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
