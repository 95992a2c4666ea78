package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"nitrox/sources/all"
	"nitrox/sync/config"
)

func (p *program) app() *cli.App {
	a := cli.NewApp()
	a.Name = "nitrox"
	a.Usage = "keep NetScaler service groups in step with containers"
	a.UsageText = "nitrox COMMAND [OPTIONS]"
	a.Description = "New here? nitrox demo tells the whole story in a few seconds, without a NetScaler."
	a.Writer, a.ErrWriter = p.stdout, p.stderr
	a.HideVersion, a.Suggest, a.DisableSliceFlagSeparator = true, true, true
	a.EnableBashCompletion = true
	a.ExitErrHandler = func(*cli.Context, error) {} // run prints errors and chooses the exit code
	a.Action = func(c *cli.Context) error {
		if c.NArg() > 0 {
			return unknown("command", c.Args().First(), names(a.Commands))
		}
		return cli.ShowAppHelp(c)
	}
	a.Commands = []*cli.Command{
		{
			Name: "sync", Usage: "bring the service groups into step, once or in a loop",
			Flags: append(passFlags(), &cli.BoolFlag{DisableDefaultText: true, Name: "dry-run", Usage: "print what would be done, and do nothing"},
				&cli.GenericFlag{Name: "wait", Value: &p.wait, Usage: "wait until no member is draining, and unbind what has drained; `[=BOUND]`, as in --wait=2m, limits the wait"},
				&cli.StringSliceFlag{Name: "force", Usage: "lift the guards for the app `NAME` in this run (repeatable)"}),
			Action: func(c *cli.Context) error { return p.sync(c, c.Bool("dry-run")) },
		},
		{
			Name: "plan", Usage: "print what sync would do: the same as sync --dry-run",
			Flags: append(passFlags(),
				&cli.StringSliceFlag{Name: "force", Usage: "plan as if the guards were lifted for the app `NAME` (repeatable)"}),
			Action: func(c *cli.Context) error { return p.sync(c, true) },
		},
		{
			Name: "validate", Usage: "check the mapping file and list all of its problems, without contacting anything",
			Flags:  []cli.Flag{configFlag()},
			Action: p.validate,
		},
		{
			Name: "simulator", Usage: "serve a simulated NetScaler to try a mapping on",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8088", Usage: "serve NITRO at this `ADDRESS`, over HTTP"},
				&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "start with the servers, service groups and vservers of an ns.conf `FILE`"},
				&cli.StringFlag{Name: "user", Value: "nsroot", Usage: "the user's `NAME`"},
				&cli.StringFlag{Name: "password", Value: "nsroot", Usage: "the user's `PASSWORD`"},
				&cli.BoolFlag{DisableDefaultText: true, Name: "control", Usage: "also serve /simulator, where anybody can set faults and see calls"},
			},
			Action: p.simulator,
		},
		{
			Name: "demo", Usage: "tell the whole story on a simulator: deploy, scale, a failure, scale down",
			Action: p.demo,
		},
		{
			Name: "version", Usage: "print the version",
			Action: func(*cli.Context) error {
				_, err := fmt.Fprintln(p.stdout, "nitrox", version())
				return err
			},
		},
	}
	for _, c := range a.Commands {
		c.OnUsageError = usageError
		c.HideHelpCommand = true
		c.Before = func(c *cli.Context) error {
			if c.NArg() > 0 {
				return fmt.Errorf("%s takes no arguments, and was given %q", c.Command.Name, c.Args().First())
			}
			return nil
		}
	}
	a.OnUsageError = usageError
	return a
}

// usageError makes a flag package's error ours, with a suggestion.
func usageError(c *cli.Context, err error, _ bool) error {
	const undefined = "flag provided but not defined: -"
	if name, ok := strings.CutPrefix(err.Error(), undefined); ok {
		flags := c.App.Flags
		if c.Command != nil {
			flags = c.Command.Flags
		}
		var known []string
		for _, f := range flags {
			known = append(known, "--"+f.Names()[0])
		}
		return unknown("option", "--"+strings.TrimLeft(name, "-"), known)
	}
	return err
}

// unknown is the error about a name that is none of the known ones.
func unknown(what, name string, known []string) error {
	if near := config.Nearest(name, known); near != "" {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, name, near)
	}
	return fmt.Errorf("unknown %s %q; there are %s", what, name, strings.Join(known, ", "))
}

func names(commands []*cli.Command) []string {
	var all []string
	for _, c := range commands {
		all = append(all, c.Name)
	}
	return all
}

func (p *program) validate(c *cli.Context) error {
	m, err := config.Load(p.file(c), all.Kinds, p.lookup)
	if err != nil {
		return err
	}
	for _, w := range m.Warnings {
		fmt.Fprintf(p.stderr, "%v (a warning)\n", w)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: no problems (apps: %d, sources: %d, NetScalers: %d)\n", p.file(c), len(m.Apps), len(m.Sources), len(m.NetScalers))
	return err
}
