package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"nitrox/sources/all"
	"nitrox/sources/nearest"
	"nitrox/sync"
	"nitrox/sync/config"
)

const exitCodes = `Exit codes: 0, all is done; 1, something failed, and the rest was done; 2, see --exit-code;
3, nothing failed, and removals were held back because they look like a mistake;
4, sync --plan: nothing was done, because something else would have been.`

// app is the commands and their options.
func (p *program) app() *cli.App {
	a := cli.NewApp()
	a.Name = "nitrox"
	a.Usage = "keep NetScaler service groups in step with containers"
	a.UsageText = "nitrox COMMAND [OPTIONS]"
	a.Description = "New here? nitrox demo shows how it works in a few seconds, and needs no NetScaler."
	a.Writer, a.ErrWriter = p.stdout, p.stderr
	a.HideVersion, a.Suggest, a.DisableSliceFlagSeparator = true, true, true
	a.EnableBashCompletion = true
	a.CommandNotFound = func(_ *cli.Context, name string) { // "help NAME"
		p.code = sync.ExitFailed
		fmt.Fprintf(p.stderr, "nitrox: %s\n", message(unknown("command", name, names(a.Commands)).Error()))
	}
	a.ExitErrHandler = func(*cli.Context, error) {} // run prints errors and chooses the exit code
	a.Flags = []cli.Flag{&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, DisableDefaultText: true, Usage: "print the version"}}
	a.Action = func(c *cli.Context) error {
		if c.Bool("version") {
			return p.version()
		}
		if c.NArg() > 0 {
			return unknown("command", c.Args().First(), names(a.Commands))
		}
		return cli.ShowAppHelp(c)
	}
	a.Commands = []*cli.Command{
		{
			Name: "sync", Usage: "bring the service groups into step, once or in a loop",
			Description: exitCodes,
			Flags: append(passFlags(),
				&cli.BoolFlag{DisableDefaultText: true, Name: "dry-run", Usage: "print what would be done, and change nothing"},
				&cli.GenericFlag{Name: "wait", Value: &p.wait,
					Usage: "wait until no member is draining, and unbind those that have drained; `[=BOUND]`, as in --wait=2m, limits the wait"},
				&cli.GenericFlag{Name: "plan", Value: new(fileFlag),
					Usage: "do what the plan in `FILE` says, which plan --out wrote, or nothing at all if anything else is to be done now"},
				&cli.StringSliceFlag{Name: "force", Usage: "in this run, do not hold back removals from the app `NAME`, however many (repeatable)"}),
			Action: func(c *cli.Context) error { return p.sync(c, c.Bool("dry-run")) },
		},
		{
			Name: "plan", Usage: "print what sync would do, and change nothing: the same as sync --dry-run",
			Description: exitCodes,
			Flags: append(passFlags(),
				&cli.GenericFlag{Name: "out", Value: new(fileFlag), Usage: "also write the plan to `FILE`, for sync --plan"},
				&cli.BoolFlag{Name: "show-discovered", DisableDefaultText: true,
					Usage: "print the apps that opted in as the mapping that they amount to, and plan nothing"},
				&cli.StringSliceFlag{Name: "force", Usage: "do not hold back removals from the app `NAME`, however many (repeatable)"}),
			Action: func(c *cli.Context) error { return p.sync(c, true) },
		},
		{
			Name: "status", Usage: "print a table of all apps, or of the named ones: what is in and out, and what is the matter", ArgsUsage: "[APP...]",
			Description: exitCodes,
			Flags:       askFlags(),
			Action:      p.status,
		},
		{
			Name: "explain", Usage: "say why each address of an app, or one, is in its service group or out, and what that rests on", ArgsUsage: "APP [ADDRESS]",
			Description: exitCodes,
			Flags: append(askFlags(),
				&cli.StringFlag{Name: "address", Usage: "only explain this `ADDRESS`, with or without its port, or what has this in its name; the same as to give it behind the app"}),
			Action: p.explain,
		},
		{
			Name: "validate", Usage: "check the mapping file and list all of its problems, without connecting to anything",
			Flags:  []cli.Flag{configFlag()},
			Action: p.validate,
		},
		{
			Name: "init", Usage: "write a first mapping from what exists: service groups, and the services that have their members; only reads",
			ArgsUsage: "[-- OLD OPTIONS]",
			Flags:     initFlags(),
			Action:    p.propose,
		},
		{
			Name: "doctor", Usage: "look at all that a run needs, and say what is wrong and what to do about it; change nothing",
			Description: "Exit codes: 0, a run would have what it needs; 1, something failed.",
			Flags: []cli.Flag{
				configFlag(),
				&cli.BoolFlag{Name: "watch", DisableDefaultText: true, Usage: "also demand what sync --watch needs"},
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "the `FORMAT` of the report: text or json"},
			},
			Action: p.doctor,
		},
		{
			Name: "simulator", Usage: "serve a simulated NetScaler to try a mapping on",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8088", Usage: "serve NITRO at this `ADDRESS`, over HTTP; :8088 means 127.0.0.1:8088"},
				&cli.GenericFlag{Name: "config", Aliases: []string{"c"}, Value: new(fileFlag),
					Usage: "start with the ns.conf `FILE` of a NetScaler: its servers, service groups, virtual servers, users and command policies"},
				&cli.BoolFlag{DisableDefaultText: true, Name: "check",
					Usage: "only check FILE: name the lines that are not understood, exit with 1 if there are any, and serve nothing"},
				&cli.StringFlag{Name: "log-level", Value: "info",
					Usage: "the lowest `LEVEL` to log: debug (each line of FILE that is skipped), info, warn or error"},
				&cli.StringFlag{Name: "user", Value: "nsroot",
					Usage: "the `NAME` to log in with; a user of FILE, whose password there is encrypted, " +
						"may do what the command policies in FILE allow, any other everything"},
				&cli.StringFlag{Name: "password", DefaultText: "$NITROX_SIMULATOR_PASSWORD, or nsroot", Value: "nsroot",
					Usage: "the `PASSWORD` of that user, which every user of this machine can see"},
				&cli.StringFlag{Name: "password-file", Usage: "read the password of that user from `FILE`"},
				&cli.BoolFlag{DisableDefaultText: true, Name: "control", Usage: "also serve /simulator, where anyone can inject faults and list calls"},
			},
			Action: p.simulator,
		},
		{
			Name: "demo", Usage: "show how it works on a simulated NetScaler: deploy, scale up, a failure, scale down",
			Action: p.demo,
		},
		{
			Name: "schema", Usage: "print the JSON Schema of the mapping file, for editors",
			Action: p.schema,
		},
		{
			Name: "completion", Usage: "print what makes a shell complete commands, options and the names of apps",
			ArgsUsage: "bash|zsh|fish",
			Action:    p.completion,
		},
		{
			Name: "version", Usage: "print the version",
			Action: func(*cli.Context) error { return p.version() },
		},
	}
	for _, c := range a.Commands {
		c.OnUsageError = usageError
		c.HideHelpCommand = true
		c.UsageText = "nitrox " + c.Name
		if len(c.Flags) > 0 {
			c.UsageText += " [OPTIONS]"
		}
		if c.ArgsUsage != "" {
			c.UsageText += " " + c.ArgsUsage
		}
		c.BashComplete = p.complete
		c.Before = func(c *cli.Context) error {
			if c.NArg() > 0 && c.Command.ArgsUsage == "" {
				return p.argument(c, c.Args().First())
			}
			return nil
		}
	}
	a.OnUsageError = usageError
	return a
}

// argument is the error about an argument of a command that takes none.
func (p *program) argument(c *cli.Context, text string) error {
	switch _, err := os.Stat(text); {
	case err == nil && slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return f.Names()[0] == "config" }):
		return fmt.Errorf("%s takes no arguments; did you mean --config %s?", c.Command.Name, text)
	case p.wait.given:
		return fmt.Errorf("%s takes no arguments, but was given %q; a limit of --wait is written like --wait=2m", c.Command.Name, text)
	}
	return fmt.Errorf("%s takes no arguments, but was given %q; its options are listed by nitrox %[1]s --help", c.Command.Name, text)
}

// wrongValue is how package flag says that a value is none for its option.
var wrongValue = regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([a-z-]+): (.*)$`)

// usageError makes a flag package's error ours, with a suggestion.
func usageError(c *cli.Context, err error, _ bool) error {
	if m := wrongValue.FindStringSubmatch(err.Error()); m != nil {
		value, name, why := m[1], m[2], m[3]
		switch {
		case why != "parse error":
			return fmt.Errorf("%s: %s", option(name), why)
		case name == "loop" && regexp.MustCompile(`^"[0-9.]+"$`).MatchString(value):
			return fmt.Errorf("--loop: %s has no unit; did you mean %ss?", value, strings.Trim(value, `"`))
		case name == "loop":
			return fmt.Errorf("--loop: %s is not a duration; write it like 30s or 5m", value)
		}
		return fmt.Errorf("--%s takes no value, but was given %s", name, value)
	}
	const versionFlag = "the version is printed by \"nitrox version\""
	const valueless, undefined = "flag needs an argument: -", "flag provided but not defined: -"
	if name, ok := strings.CutPrefix(err.Error(), valueless); ok {
		for _, f := range c.Command.Flags {
			if slices.Contains(f.Names(), name) {
				form := regexp.MustCompile(`^--[a-z-]+ [A-Z]+`).FindString(cli.FlagStringer(f))
				return fmt.Errorf("%s needs a value, as in %s", option(name), form)
			}
		}
	}
	if name, ok := strings.CutPrefix(err.Error(), undefined); ok {
		flags := c.App.Flags
		if c.Command != nil {
			flags = c.Command.Flags
		}
		var known []string
		for _, f := range flags {
			known = append(known, "--"+f.Names()[0])
		}
		switch name = strings.TrimLeft(name, "-"); {
		case c.Command != nil && (name == "v" || name == "verbose" || name == "debug"):
			return errors.New("unknown option \"" + option(name) + "\"; to log more, give --log-level debug; " + versionFlag)
		case name == "version":
			return errors.New("unknown option \"--version\"; " + versionFlag)
		}
		return unknown("option", option(name), known)
	}
	if names, ok := strings.CutPrefix(err.Error(), "Cannot use two forms of the same flag: "); ok {
		short, long, _ := strings.Cut(names, " ")
		return fmt.Errorf("%s and %s are the same option; give one of them", option(short), option(long))
	}
	return err
}

func option(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// unknown is the error about a name that is none of the known ones.
func unknown(what, name string, known []string) error {
	return fmt.Errorf("unknown %s %q%s", what, name, nearest.Choose(name, known))
}

func names(commands []*cli.Command) []string {
	var all []string
	for _, c := range commands {
		all = append(all, c.Name)
	}
	return all
}

func (p *program) version() error {
	_, err := fmt.Fprintln(p.stdout, "nitrox", version())
	return err
}

func (p *program) validate(c *cli.Context) error {
	files := p.files(c)
	m, err := files.Load(all.Kinds)
	if err != nil {
		return err
	}
	for _, w := range slices.Concat(m.Warnings, m.Advice) {
		fmt.Fprintf(p.stderr, "%v (a warning)\n", w)
	}
	problems := config.Problems(m.Files)
	for _, l := range m.Unusable {
		problems = append(problems, l.Problems...)
	}
	if len(problems) > 0 {
		return problems
	}
	_, err = fmt.Fprintf(p.stdout, "%s: no problems (apps: %d, sources: %d, NetScalers: %d)\n",
		files, len(m.Apps), len(m.Sources), len(m.NetScalers))
	return err
}
