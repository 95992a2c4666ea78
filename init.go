package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/all"
	"nitrox/sources/bounds"
	"nitrox/sources/redact"
	"nitrox/sync"
	"nitrox/sync/config"
	"nitrox/sync/proposal"
)

// offers are the kinds of sources that init asks, and the key that is given where
// the value of an option is no whole entry.
var offers = []struct{ kind, key, usage string }{
	{"docker", "host", "look for services at the Docker daemon `HOST`, as in unix:///var/run/docker.sock"},
	{"kubernetes", "context", "look for services in the cluster of a kubeconfig's `CONTEXT`"},
	{"marathon", "urls", "look for apps in the Marathon at `URL`"},
}

func initFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "netscaler", Usage: "read the service groups of the NetScaler at `URL`, or of an entry as a mapping has it, " +
			"in braces: {url: https://192.0.2.10, ca_file: ca.pem}"},
		&cli.StringFlag{Name: "user", DefaultText: "$NS_USER",
			Usage: "log in to it as `NAME`; the password is $NS_PASSWORD, or in --password-file"},
		&cli.StringFlag{Name: "password-file", Usage: "read the password from `FILE`, as the mapping will"},
		&cli.GenericFlag{Name: "ns-conf", Value: new(fileFlag),
			Usage: "read the service groups from the ns.conf `FILE` instead of asking the NetScaler"},
	}
	for _, o := range offers {
		flags = append(flags, &cli.StringSliceFlag{Name: o.kind, Usage: o.usage + ", or of an entry in braces (repeatable)"})
	}
	return append(flags,
		&cli.BoolFlag{Name: "from-app-info", DisableDefaultText: true,
			Usage: "translate the environment and, after --, the options of the Nitrox that was written in Python; nothing is asked"},
		&cli.GenericFlag{Name: "out", Value: new(fileFlag),
			Usage: "write the mapping to `FILE`, which must not exist, instead of standard output"},
	)
}

// propose writes a first mapping.
func (p *program) propose(c *cli.Context) error {
	out := c.String("out")
	if _, err := os.Lstat(out); out != "" && err == nil {
		return taken(out)
	}
	if c.Bool("from-app-info") {
		for _, f := range c.Command.Flags {
			if name := f.Names()[0]; c.IsSet(name) && name != "out" && name != "from-app-info" {
				return fmt.Errorf("--from-app-info cannot be combined with --%s; the old options follow --", name)
			}
		}
		text, err := p.fromAppInfo(c.Args().Slice())
		if err != nil {
			return err
		}
		return p.hand(out, text)
	}
	if c.NArg() > 0 {
		return p.argument(c, c.Args().First())
	}
	var stop context.CancelFunc
	c.Context, stop = untilHungUp(c.Context)
	defer stop()
	file, err := p.look(c)
	if err != nil {
		return err
	}
	if err := p.hand(out, file.String()); err != nil {
		return err
	}
	if !slices.ContainsFunc(file.Apps, func(a proposal.App) bool { return len(a.From) > 0 }) {
		return fmt.Errorf("no service group (of %d) could be matched with a service, so the mapping has no app yet; "+
			"its comments say why, and what to choose from", len(file.Apps))
	}
	return nil
}

func taken(file string) error {
	return fmt.Errorf("--out %s: there is such a file, which is left as it is; give another name, or move it away", file)
}

// hand hands the text of a mapping over.
func (p *program) hand(out, text string) error {
	if out == "" {
		_, err := fmt.Fprint(p.stdout, text)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return taken(out)
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("--out: %w", errors.Join(err, os.Remove(out)))
	}
	_, err = fmt.Fprintf(p.stdout, "%s is written; read it, then run: nitrox validate --config %[1]s\n", out)
	return err
}

// look finds out what there is, and what belongs together.
func (p *program) look(c *cli.Context) (*proposal.File, error) {
	head, err := p.head(c)
	if err != nil {
		return nil, err
	}
	lookup := p.lookup
	conf := c.String("ns-conf")
	if conf != "" { // nothing logs in
		lookup = func(name string) (string, bool) {
			text, set := p.lookup(name)
			if text == "" && (name == "NS_USER" || name == "NS_PASSWORD") {
				return name, true
			}
			return text, set
		}
	}
	for _, name := range config.PasswordVariablesIn([]byte(head)) { // see job.open
		_ = os.Unsetenv(name)
	}
	m, err := config.Begin("the mapping to be", filepath.Dir(c.String("out")), []byte(head), all.Kinds, lookup)
	if err != nil {
		return nil, err
	}
	for _, w := range m.Warnings {
		fmt.Fprintf(p.stderr, "%v (a warning)\n", w)
	}
	if len(m.Files) > 0 {
		return nil, config.Problems(m.Files)
	}
	groups, err := p.groups(c.Context, m.NetScalers[edge].Config, conf)
	if err != nil {
		return nil, err
	}
	var candidates []proposal.Candidate
	virtual := map[netip.Addr]bool{}
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(m.Sources)) {
		some, err := candidatesOf(c.Context, name, m.Sources[name], virtual)
		if err != nil {
			failed = append(failed, fmt.Errorf("source %s: %w", name, err))
		}
		candidates = append(candidates, some...)
	}
	if len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	return &proposal.File{
		Intro: []string{
			"A first mapping, written by nitrox init. Read it: the comments say how each service",
			"group was matched, and what is left for you to decide. Then, in this order:",
			"  nitrox validate   is the file right?",
			"  nitrox doctor     can everything in it be reached, with the rights it takes?",
			"  nitrox plan       what would be changed?",
			"  nitrox sync       change it",
		},
		Head: head, Candidates: candidates,
		Apps: proposal.Match(groups, candidates, slices.SortedFunc(maps.Keys(virtual), netip.Addr.Compare)),
	}, nil
}

// edge is what the mapping calls the NetScaler.
const edge = "edge"

// head is the beginning of the mapping, from the options.
func (p *program) head(c *cli.Context) (string, error) {
	url, conf := c.String("netscaler"), c.String("ns-conf")
	remark := ""
	switch {
	case url == "" && conf == "":
		return "", errors.New("init needs a NetScaler: give its URL with --netscaler, or a saved configuration with --ns-conf")
	case url == "":
		text, err := bounds.ReadUpTo(conf, maxPlan)
		if err != nil {
			return "", fmt.Errorf("--ns-conf: %w", err)
		}
		url, remark = "https://192.0.2.10", " # change this: it is the address of an example"
		if m := nsIP.FindSubmatch(text); m != nil {
			if ip, err := netip.ParseAddr(string(m[1])); err == nil {
				url, remark = "https://"+netip.AddrPortFrom(ip, 443).String(), " # the NSIP of "+redact.Line(filepath.Base(conf), 100)
				url = strings.TrimSuffix(url, ":443")
			}
		}
	}
	netscaler := entry(url, "url")
	for _, o := range [][2]string{{"user", "username"}, {"password-file", "password_file"}} {
		if text := c.String(o[0]); text != "" {
			netscaler = "{" + o[1] + ": " + proposal.Scalar(text) + ", " + netscaler[1:]
		}
	}
	head := "netscalers:\n  " + edge + ": " + netscaler + remark + "\nsources:\n"
	given := 0
	for _, o := range offers {
		for i, text := range c.StringSlice(o.kind) {
			name := o.kind
			if i > 0 {
				name = fmt.Sprintf("%s-%d", o.kind, i+1)
			}
			head += fmt.Sprintf("  %s: {%s: %s}\n", name, o.kind, entry(text, o.key))
			given++
		}
	}
	if given == 0 {
		return "", errors.New("init needs to know where the services are: give at least one of --docker, --kubernetes and --marathon")
	}
	return head, nil
}

var nsIP = regexp.MustCompile(`(?im)^set ns config\b.*? -IPAddress (\S+)`)

// entry is what an option stands for: an entry of a mapping, in braces, or the value
// of its one key.
func entry(text, key string) string {
	if strings.HasPrefix(text, "{") {
		return strings.Join(strings.Fields(text), " ")
	}
	return "{" + key + ": " + proposal.Scalar(text) + "}"
}

// groups reads the service groups of a NetScaler or, where a file is named, those of
// a saved configuration, which a simulator takes for its own.
func (p *program) groups(ctx context.Context, cfg netscaler.Config, conf string) (groups []proposal.Group, err error) {
	if conf != "" {
		const user = "nitrox init" // whom no policy of the file restricts
		sim := simulator.New(simulator.Options{Users: map[string]string{user: user}})
		if _, err := p.loadConfig(sim, conf, slog.LevelWarn); err != nil {
			return nil, err
		}
		cfg = netscaler.Config{URLs: []string{"http://127.0.0.1"}, Transport: sim.Transport(), Partition: cfg.Partition,
			Username: user, Password: netscaler.SecretText(user)}
	}
	cfg.ReadOnly = true
	client, err := netscaler.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("netscaler %s: %w", edge, err)
	}
	defer func() { err = errors.Join(err, client.Close(ctx)) }()
	names, err := client.GroupNames(ctx)
	var attributes netscaler.Attributes
	var members netscaler.Groups
	if err == nil {
		attributes, err = client.Attributes(ctx, names)
	}
	if err == nil {
		members, err = client.Read(ctx, names)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("netscaler %s: %w", edge, err)
	case len(names) == 0:
		return nil, errors.New("the NetScaler has no service groups, so there is nothing to match; " +
			"create them there first, or write a mapping whose apps have a create entry")
	}
	for _, name := range names {
		attrs, err := attributes.Of(name)
		list, err2 := members.Members(name)
		groups = append(groups, group(name, attrs, list, errors.Join(err, err2)))
	}
	return groups, nil
}

// group is a service group as far as a mapping is concerned.
func group(name string, attrs netscaler.Attrs, members []netscaler.Member, err error) proposal.Group {
	g := proposal.Group{Name: name, Protocol: sync.ProtocolOf(attrs.ServiceType)}
	why := ""
	for _, m := range members {
		if m.NotOurs == "" {
			g.Members = append(g.Members, m.Addr)
		} else {
			g.Others++
			why = redact.Line(m.NotOurs, 200)
		}
	}
	switch {
	case err != nil:
		g.Unfit = "it was not read: " + redact.Line(err.Error(), 300)
	case !config.Named(name, name):
		g.Unfit = "a mapping cannot have its name, which may consist of letters, digits, spaces and _ # . : @ = -"
	case attrs.Autoscale != "DISABLED" && attrs.Autoscale != "API":
		g.Unfit = "its autoscale is " + proposal.Scalar(attrs.Autoscale) + ", so the NetScaler changes its members by itself"
	case g.Others > 0 && (len(g.Members) == 0 || attrs.Autoscale == "API"):
		g.Unfit = "it has members that Nitrox leaves alone (" + why + ")"
	}
	return g
}

// candidatesOf are what a source has, with what it answers to each query.
func candidatesOf(ctx context.Context, name string, s sync.Source, virtual map[netip.Addr]bool) ([]proposal.Candidate, error) {
	listing, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	list, err := s.List(listing)
	if err != nil {
		return nil, err
	}
	var all []proposal.Candidate
	var queries []any
	for _, l := range list {
		if checker, ok := l.Query.(sources.Checker); ok && checker.Check() != nil {
			continue // no mapping could ask for it
		}
		all = append(all, proposal.Candidate{Source: name, Listed: l})
		queries = append(queries, l.Query)
	}
	answers, err := s.Ask(ctx, queries, true)
	for i, a := range answers {
		all[i].Endpoints = a.Endpoints
		if doubt := a.Doubt(); doubt != nil {
			all[i].Doubt = redact.Line(doubt.Error(), 200)
		}
		for addr := range a.Virtual {
			virtual[addr] = true
		}
	}
	return all, err
}
