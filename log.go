package main

import (
	"fmt"
	"io"
	"log/slog"
	stdsync "sync"

	"github.com/urfave/cli/v2"

	"nitrox/sources/redact"
)

// logger writes to w as the options of the log say; terse: not what the report
// says too.
func logger(c *cli.Context, w io.Writer, terse bool) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, unknown("log level", c.String("log-level"), []string{"debug", "info", "warn", "error"})
	}
	if terse {
		level = slog.LevelWarn
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: fit}
	switch c.String("log-format") {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, unknown("log format", c.String("log-format"), []string{"text", "json"})
}

// fit makes the texts of a log fit to print, whoever wrote them.
func fit(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case error:
		a.Value = slog.StringValue(message(v.Error()))
	case string:
		a.Value = slog.StringValue(message(v))
	}
	return a
}

// message is one for an operator that may hold text from outside, and is longer
// than what a report has room for.
func message(text string) string {
	return redact.Lines(text, 4000)
}

// logLost is told when the log cannot be written. A loop says so where a person
// may read it; a single run has its report and its exit code.
func (j *job) logLost(err error) {
	if j.options.IsSet("loop") && j.options.String("output") == "text" {
		_, _ = fmt.Fprintf(j.out, "nitrox: the log cannot be written; the loop goes on: %v\n", err) // there is no third place to say it
	}
}

// watched reports the first write that fails: a logger keeps that to itself.
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
