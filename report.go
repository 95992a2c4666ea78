package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"nitrox/sync"
)

// tell makes a pass known: in the report, the log, the metrics and the exit code.
// In a loop, one without news is not reported.
func (j *job) tell(ctx context.Context, r sync.Result) {
	if j.options.IsSet("loop") || j.options.String("metrics-file") != "" { // else nobody sees it
		j.observer.Record(r, time.Now())
	}
	j.code = r.Exit(j.options.Bool("exit-code"))
	log := j.log
	if j.terse {
		log = slog.New(slog.DiscardHandler)
	}
	news := j.chronicle.Log(ctx, log, r, time.Now())
	j.herald.Tell(ctx, r, time.Now())
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
	err := j.report(j.out, r)
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

// colour: only on a terminal, and not if NO_COLOR says otherwise.
func (p *program) colour() bool {
	no, _ := p.lookup("NO_COLOR")
	return no == "" && isTerminal(p.stdout)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
