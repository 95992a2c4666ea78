package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/all"
	"nitrox/sources/examine"
	"nitrox/sync"
	"nitrox/sync/config"
	"nitrox/sync/doctor"
)

// doctor tells what is wrong with a set-up, all of it at once. It writes nothing.
func (p *program) doctor(c *cli.Context) error {
	output := c.String("output")
	if output != "text" && output != "json" {
		return unknown("output", output, []string{"text", "json"})
	}
	files := p.files(c)
	for _, name := range files.PasswordVariables() {
		_ = os.Unsetenv(name) // as in job.open
	}
	m, problems := files.Draft(all.Kinds)
	report := doctor.Report{{Name: "mapping " + files.String(), Checks: mappingChecks(files.String(), m, problems)}}
	if checks := p.proxies(); len(checks) > 0 {
		report = append(report, doctor.Section{Name: "environment", Checks: checks})
	}
	ctx, stop := untilHungUp(c.Context)
	defer stop()
	options := doctor.Options{Watch: c.Bool("watch"), Remarks: map[string]*doctor.Remarks{}}
	s, checks := optedIn(ctx, m, examined(m, options), len(problems) == 0)
	if len(checks) > 0 {
		report = append(report, doctor.Section{Name: "discover", Checks: checks})
	}
	report = append(report, doctor.Examine(ctx, s, options)...)
	if report.Failed() {
		p.code = sync.ExitFailed
	}
	report = report.Redacted()
	if output == "json" {
		return report.JSON(p.stdout)
	}
	return report.Text(p.stdout)
}

// mappingChecks are what the mapping by itself, and the files that it names, are
// said to be.
func mappingChecks(file string, m *config.Mapping, problems config.Problems) (all []examine.Check) {
	for _, problem := range problems {
		all = append(all, examine.Fail(lineOf(file, problem), errors.New(problem.Message), "correct the mapping"))
	}
	for _, l := range m.Unusable {
		for _, problem := range l.Problems {
			all = append(all, examine.Fail(lineOf(file, problem), errors.New(problem.Message), "correct the file; its apps are not served"))
		}
	}
	if len(problems) == 0 {
		all = append(all, examine.Fine("file",
			fmt.Sprintf("apps: %d, sources: %d, NetScalers: %d", len(m.Apps), len(m.Sources), len(m.NetScalers))))
	} else {
		all = append(all, examine.Not("what the mapping says there", "of these problems"))
	}
	said := map[string]bool{}
	for _, w := range slices.Concat(m.Warnings, m.Advice) {
		said[w.Message] = true
		all = append(all, examine.Bad(examine.Warning, lineOf(file, w), errors.New(w.Message), "see docs/mapping.md"))
	}
	for _, name := range slices.Sorted(maps.Keys(m.NetScalers)) { // also of one that is this machine
		file := sources.Path(m.NetScalers[name].Config.Password.File())
		if err := sources.OpenToOthers(file); err != nil && !said["password_file: "+err.Error()] {
			all = append(all, examine.Bad(examine.Warning, "password_file of "+name, err, ""))
		}
	}
	return all
}

// optedIn adds the apps that opted in to those that are examined; whole: all of the mapping
// can be used.
func optedIn(ctx context.Context, m *config.Mapping, s *sync.Syncer, whole bool) (_ *sync.Syncer, checks []examine.Check) {
	for _, d := range m.Discoveries {
		unusable := slices.ContainsFunc(d.NetScalers, func(name string) bool { return s.NetScalers[name] == nil })
		if s.Sources[d.Source].Discoverer != nil && !unusable {
			s.Discoveries = append(s.Discoveries, d)
		} else {
			whole = false
		}
	}
	if len(s.Discoveries) == 0 {
		return s, nil
	}
	s = s.Discover(ctx)
	if err := s.Undiscovered(); err != nil {
		checks = append(checks, examine.Fail("apps that opt in", err, "see docs/discover.md"))
	}
	served := 0
	s.Apps = slices.DeleteFunc(s.Apps, func(app sync.App) bool {
		switch {
		case app.Refused != nil:
			checks = append(checks, examine.Fail(app.Name, app.Refused, "see docs/discover.md"))
		case app.Orphan && whole: // else what cannot be used of the mapping may have it
			checks = append(checks, examine.Check{Subject: app.Name, State: examine.Note,
				Seen: "no app claims this service group any more", Remedy: "remove it, if nobody needs it"})
		case app.Discovered():
			served++
		}
		return app.Refused != nil || app.Orphan
	})
	return s, append(checks, examine.Fine("apps that opted in", fmt.Sprint(served)))
}

// lineOf is where a problem is: of a mapping of several files, with the file.
func lineOf(mapping string, p config.Problem) string {
	where := "file"
	if p.Line > 0 {
		where = fmt.Sprintf("line %d:%d", p.Line, p.Column)
	}
	if p.File != mapping {
		return p.File + " " + where
	}
	return where
}

// proxies are those that the environment names, and who is reached without them.
func (p *program) proxies() (all []examine.Check) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		text, _ := p.lookup(name)
		if text == "" {
			continue
		}
		check := examine.Check{Subject: "proxy " + name, State: examine.Warning,
			Seen: "is not a URL, so it is not used", Remedy: "correct it, or unset it"}
		upper, _ := p.lookup("NO_PROXY")
		lower, _ := p.lookup("no_proxy")
		for _, form := range []string{text, "http://" + text} { // as net/http reads it
			if u, err := url.Parse(form); err == nil && u.Host != "" { // which may have a password
				check.State, check.Remedy, check.Seen = examine.Note, "", "is "+u.Scheme+"://"+u.Host+", for all hosts but this machine"
				if without := cmp.Or(upper, lower); without != "" {
					check.Seen += " and " + without
				}
				break
			}
		}
		all = append(all, check)
	}
	return all
}

// examined is what can be examined of a mapping: of one with problems, the rest.
func examined(m *config.Mapping, o doctor.Options) *sync.Syncer {
	s := &sync.Syncer{Sources: map[string]sync.Source{}, NetScalers: map[string]*sync.NetScaler{}}
	for name, source := range m.Sources {
		if source.Poll != nil {
			s.Sources[name] = source
		}
	}
	for name, n := range m.NetScalers {
		o.Remarks[name] = &doctor.Remarks{}
		n.Config.ReadOnly, n.Config.Log = true, slog.New(o.Remarks[name])
		if client, err := netscaler.Open(n.Config); err == nil { // else it is a problem of the mapping
			s.NetScalers[name] = &sync.NetScaler{Client: client, Partition: n.Config.Partition, Save: n.Save}
		}
	}
	for _, app := range m.Apps {
		app.NetScalers = slices.DeleteFunc(slices.Clone(app.NetScalers), func(name string) bool { return s.NetScalers[name] == nil })
		app.From = slices.DeleteFunc(slices.Clone(app.From), func(f sync.From) bool {
			checker, ok := f.Query.(sources.Checker)
			return s.Sources[f.Source].Poll == nil || ok && checker.Check() != nil
		})
		if app.Name != "" && app.Group != "" {
			s.Apps = append(s.Apps, app)
		}
	}
	return s
}
