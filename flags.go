package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"nitrox/sync"
	"nitrox/sync/config"
)

func configFlag() cli.Flag {
	return &cli.GenericFlag{Name: "config", Aliases: []string{"c"}, Value: new(filesFlag),
		Usage: "the mapping `FILE`, or the folder of its files (repeatable)", DefaultText: "$NITROX_CONFIG, or nitrox.yaml"}
}

// filesFlag are the names of files that are given one by one.
type filesFlag []string

// String is no name: with it, package cli sets the option once more, as -c.
func (f *filesFlag) String() string { return "\x00" }

func (f *filesFlag) Set(name string) error {
	if name == f.String() {
		return nil
	}
	if err := named(name); err != nil {
		return err
	}
	*f = append(*f, name)
	return nil
}

// fileFlag is the name of a file that is given once: of two mappings, one would
// be ignored.
type fileFlag string

func (f *fileFlag) String() string { return string(*f) }

func (f *fileFlag) Set(name string) error {
	if err := named(name); err != nil {
		return err
	}
	if *f != "" && string(*f) != name { // package cli sets it again by its other name
		return fmt.Errorf("two files are given, %s and %s; give one of them", *f, name)
	}
	*f = fileFlag(name)
	return nil
}

// named refuses what is the name of no file.
func named(name string) error {
	switch name {
	case "":
		return errors.New("the name is empty; give that of a file")
	case "-":
		return errors.New("standard input is not read; give the name of a file")
	}
	return nil
}

func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "the `FORMAT` of the log on standard error: text or json"},
		&cli.StringFlag{Name: "log-level", Value: "info", Usage: "the lowest `LEVEL` to log: debug (each NITRO call), info, warn or error"},
	}
}

// passFlags are those of sync and plan.
func passFlags() []cli.Flag {
	return append([]cli.Flag{
		configFlag(),
		&cli.StringSliceFlag{Name: "app", Usage: "only look at the app `NAME` (repeatable)"},
		&cli.DurationFlag{Name: "loop", Usage: "run every `INTERVAL`, such as 30s, until stopped", DefaultText: "once"},
		&cli.BoolFlag{Name: "watch", DisableDefaultText: true, Usage: "with --loop: make a pass as soon as a source reports a change"},
		&cli.StringFlag{Name: "listen", Usage: "with --loop: serve metrics, health and a status page at `ADDRESS`; :9090 means 127.0.0.1:9090"},
		&cli.StringFlag{Name: "leader-elect",
			Usage: "with --loop: only the replica that holds the Kubernetes Lease `NAMESPACE/NAME` makes changes"},
		&cli.StringFlag{Name: "metrics-file", Usage: "write the metrics to `FILE` after each pass, for node_exporter's textfile collector"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text",
			Usage: "the `FORMAT` of the report: text, json, or nscli, which is the plan as NetScaler commands"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "exit-code", Usage: "exit with 2 if a dry run finds changes to make"},
	}, logFlags()...)
}

// check finds what is wrong with the options by themselves and together.
func (j *job) check() error {
	o := j.options
	known := false
	if j.report, known = sync.Reports[o.String("output")]; !known {
		return unknown("output", o.String("output"), []string{"text", "json", "nscli"})
	}
	loops, approved, waits := o.IsSet("loop"), o.IsSet("plan"), j.wait.given
	if every := o.Duration("loop"); loops && every < time.Second {
		return fmt.Errorf("--loop %v is too short; an interval of at least 1s is needed", every)
	}
	for _, rule := range []struct {
		broken bool
		why    string
	}{
		{approved && (loops || j.dryRun || waits),
			"--plan is for one pass that makes changes: it cannot be combined with --loop, --wait or --dry-run"},
		{approved && (o.IsSet("app") || o.IsSet("force")),
			"--plan: the plan says which apps it is of, and what it forces: remove --app and --force"},
		{loops && o.Bool("show-discovered"), "--show-discovered is for one look: it cannot be combined with --loop"},
		{loops && o.IsSet("out"), "--out is for one plan: it cannot be combined with --loop"},
		{loops && waits, "--wait is for one run: a loop unbinds drained members anyway"},
		{j.dryRun && waits, "--wait is for a run that makes changes: it cannot be combined with --dry-run"},
		{loops && o.IsSet("force"), "--force is for one run: it cannot be combined with --loop"},
		{loops && o.Bool("exit-code"), "--exit-code is for one run: it cannot be combined with --loop"},
		{!loops && o.Bool("watch"), "--watch needs --loop: events only shorten the time to its next pass"},
		{!loops && o.IsSet("listen"), "--listen needs --loop; for one run, use --metrics-file"},
		{loops && o.IsSet("listen") && o.String("listen") == "", "--listen: the address is empty; write it like :9090"},
		{!loops && o.IsSet("leader-elect"), "--leader-elect needs --loop; single runs at the same time do no harm"},
		{!j.dryRun && o.Bool("exit-code"), "--exit-code is for a dry run: add --dry-run, or use plan"},
	} {
		if rule.broken {
			return errors.New(rule.why)
		}
	}
	return nil
}

// files are those of the mapping.
func (p *program) files(c *cli.Context) *config.Files {
	names := []string{"nitrox.yaml"}
	if given, ok := c.Generic("config").(*filesFlag); ok && len(*given) > 0 {
		names = *given
	} else if list, _ := p.lookup("NITROX_CONFIG"); list != "" {
		names = filepath.SplitList(list)
	}
	return &config.Files{Names: names, Lookup: p.lookup}
}

// waitFlag is the value of --wait, which may be given alone or as --wait=2m.
type waitFlag struct {
	given bool
	bound time.Duration // 0: as long as the drains take
}

// IsBoolFlag lets package flag take it without a value.
func (w *waitFlag) IsBoolFlag() bool { return true }

func (w *waitFlag) String() string { return "" }

// joined makes "--wait 2m" the "--wait=2m" that package flag knows, and -c the --config
// that it is: package cli does not take both. A command takes no arguments, so that the
// value can be nothing else.
func joined(args []string) []string {
	var all []string
	for i, a := range args {
		if a == "--" {
			return append(all, args[i:]...)
		}
		if i > 0 && (args[i-1] == "--wait" || args[i-1] == "-wait") && a != "" && a[0] >= '0' && a[0] <= '9' {
			all[len(all)-1] += "=" + a
			continue
		}
		if name, value, given := strings.Cut(a, "="); name == "-c" || name == "--c" {
			a = "--config"
			if given {
				a += "=" + value
			}
		}
		all = append(all, a)
	}
	return all
}

// optionsFirst puts the options of a command that takes arguments before these, at
// which package flag would stop to look for options.
func optionsFirst(a *cli.App, args []string) []string {
	if len(args) < 3 || args[len(args)-1] == "--generate-bash-completion" {
		return args
	}
	command := a.Command(args[1])
	if command == nil || command.ArgsUsage == "" {
		return args
	}
	var options, arguments []string
	for i := 2; i < len(args); i++ {
		if args[i] == "--" { // what follows are arguments, whatever it looks like
			return slices.Concat(args[:2], options, []string{"--"}, arguments, args[i+1:])
		}
		name := strings.TrimLeft(args[i], "-")
		if name == args[i] {
			arguments = append(arguments, args[i])
			continue
		}
		options = append(options, args[i])
		valued := func(f cli.Flag) bool {
			_, switches := f.(*cli.BoolFlag)
			return !switches && slices.Contains(f.Names(), name)
		}
		if slices.ContainsFunc(command.Flags, valued) && i+1 < len(args) {
			i++
			options = append(options, args[i])
		}
	}
	return slices.Concat(args[:2], options, arguments)
}

func (w *waitFlag) Set(text string) error {
	*w = waitFlag{}
	switch text {
	case "false":
		return nil
	case "true":
		w.given = true
		return nil
	}
	bound, err := time.ParseDuration(text)
	switch _, noUnit := strconv.ParseFloat(text, 64); {
	case err != nil && noUnit == nil:
		return fmt.Errorf("%q has no unit; did you mean %ss?", text, text)
	case err != nil || bound < time.Second:
		return fmt.Errorf("%q is not a duration of at least 1s; write --wait, or --wait=2m", text)
	}
	w.given, w.bound = true, bound
	return nil
}
