package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"nitrox/sync"
)

// askFlags are those of explain and status, which make a pass of a dry run.
func askFlags() []cli.Flag {
	return append([]cli.Flag{
		configFlag(),
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "text", Usage: "the `FORMAT` of the answer: text or json"},
	}, logFlags()...)
}

// explain says why what an app has, and what it does not have, is in its service group
// or out.
func (p *program) explain(c *cli.Context) error {
	app, about := c.Args().Get(0), c.Args().Get(1)
	switch {
	case app == "":
		return errors.New("explain needs the name of an app: nitrox explain APP [ADDRESS]; nitrox status lists the apps")
	case c.NArg() > 2:
		return fmt.Errorf("explain takes an app and one address, but was also given %q; explain each address by itself", c.Args().Get(2))
	case about != "" && c.IsSet("address") && about != c.String("address"):
		return fmt.Errorf("two addresses are given, %s and %s; explain each by itself", about, c.String("address"))
	case about == "":
		about = c.String("address")
	}
	known := true
	err := p.ask(c, []string{app}, sync.Explanations(about), func(r sync.Result) { known = r.Knows(about) })
	if err == nil && about != "" && !known {
		p.code = sync.ExitFailed
	}
	return err
}

// status is a table of the apps, or of the named ones.
func (p *program) status(c *cli.Context) error {
	return p.ask(c, c.Args().Slice(), sync.Overviews, func(sync.Result) {})
}

// ask makes a pass that only reads, over the named apps or all, and answers with the
// report of the format that is asked for.
func (p *program) ask(c *cli.Context, apps []string, reports map[string]sync.Report, see func(sync.Result)) error {
	report, known := reports[c.String("output")]
	if !known {
		return unknown("output", c.String("output"), []string{"text", "json"})
	}
	j := &job{program: p, options: c, dryRun: true, terse: !c.IsSet("log-level")}
	if len(apps) > 0 {
		j.apps = apps
	}
	j.look = (*sync.Syncer).Consider
	j.report = func(w io.Writer, r sync.Result) error {
		see(r)
		return report(w, r)
	}
	return j.do()
}
