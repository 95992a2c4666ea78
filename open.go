package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/all"
	"nitrox/sources/bounds"
	"nitrox/sources/redact"
	"nitrox/sync"
	"nitrox/sync/config"
)

// Calls to NetScalers are made, and large answers read, a few at a time, so that hundreds of
// NetScalers take no more connections and memory than some do, and all are read in time; a
// slow one holds up the others for no longer than its turn.
const (
	calls     = 64
	callTurn  = time.Second
	bulkReads = 8
	bulkTurn  = 5 * time.Second
)

// open makes a syncer of the mapping file as it is now. It contacts nothing.
func (j *job) open() (*sync.Syncer, error) {
	// No plug-in inherits them; j.lookup still has them. A mapping that is refused
	// may leave another in use.
	for _, name := range j.files.PasswordVariables() {
		_ = os.Unsetenv(name) // fails for no name but an odd one
	}
	m, err := j.files.Load(all.Kinds)
	if err != nil {
		return nil, err
	}
	for _, w := range m.Warnings {
		if !slices.Contains(j.warned, w) { // a loop says it again only of a mapping that changes it
			j.log.Warn(w.Message, "file", w.File, "line", w.Line)
		}
	}
	j.warned = m.Warnings
	if len(m.Discoveries) == 0 { // else names are known once it has been looked for apps
		if err := knownApps(m.Apps, slices.Concat(j.apps, j.force)); err != nil {
			for _, l := range m.Unusable { // it may be there
				err = fmt.Errorf("%w; %s cannot be used, and nitrox validate says why", err, l.File)
			}
			return nil, err
		}
	}
	s := &sync.Syncer{Sources: m.Sources, Apps: m.Apps, Discoveries: m.Discoveries, Reserved: m.Reserved,
		Mapping:  sync.Mapping{File: j.files.String(), Digest: m.Digest},
		Unusable: unusable(m), NetScalers: map[string]*sync.NetScaler{}, Lookup: net.DefaultResolver.LookupNetIP}
	s.Trace = func() sync.Run {
		return sync.Run{ID: j.run, Pass: int(j.passes.Add(1)), Version: release(), Mapping: s.Mapping}
	}
	j.forceApps(s)
	if j.line != nil {
		s.Progress = j.line.step
	}
	appliances := map[string]string{} // by URL
	atOnce, turns := bounds.NewTurns(calls, callTurn), bounds.NewTurns(bulkReads, bulkTurn)
	for _, name := range slices.Sorted(maps.Keys(m.NetScalers)) {
		n := m.NetScalers[name]
		appliance := name
		for _, base := range n.Config.URLs {
			appliance = cmp.Or(appliances[base], appliance)
		}
		for _, base := range n.Config.URLs {
			appliances[base] = appliance
		}
		if password, err := n.Config.Password.Reveal(); err == nil && redact.IsCommon(password) && !slices.ContainsFunc(n.Config.URLs, local) {
			j.log.Warn("reports may show the password, as it is too short or one of their words; choose another", "netscaler", name)
		}
		n.Config.ReadOnly = j.dryRun
		n.Config.Every = j.options.Duration("loop")
		n.Config.Calls, n.Config.Turns = atOnce, turns
		n.Config.Log = j.log.With("netscaler", name)
		if j.leading != nil {
			n.Config.Allow = j.leading.Held
		}
		n.Config.Observe = func(call netscaler.CallInfo) { j.observer.Call(name, call) }
		if j.line != nil {
			n.Config.Progress = func(op netscaler.Op, done, of int) {
				j.line.step(sync.Step{NetScaler: name, Doing: op.String(), Done: done, Of: of})
			}
		}
		client, err := netscaler.Open(n.Config)
		if err != nil {
			return nil, fmt.Errorf("netscaler %s: %w", name, err)
		}
		s.NetScalers[name] = &sync.NetScaler{
			Client: client, Appliance: appliance, Partition: n.Config.Partition, Save: n.Save, SaveEvery: n.SaveEvery,
		}
	}
	j.observe(s)
	return s, nil
}

// observe has the observer know which apps there are.
func (j *job) observe(s *sync.Syncer) {
	named := set(j.apps)
	j.observer.Reload(slices.DeleteFunc(slices.Clone(s.Apps), func(a sync.App) bool {
		return j.apps != nil && !named[a.Name]
	}), s.Discoveries...)
}

func (j *job) forceApps(s *sync.Syncer) {
	forced := set(j.force)
	for i := range s.Apps {
		s.Apps[i].Policy.Forced = forced[s.Apps[i].Name]
	}
}

// set is of names: of thousands, a look for each in a list takes seconds.
func set(names []string) map[string]bool {
	all := make(map[string]bool, len(names))
	for _, name := range names {
		all[name] = true
	}
	return all
}

// discover looks for the apps that have opted in, for one run.
func (j *job) discover(ctx context.Context, s *sync.Syncer) (*sync.Syncer, error) {
	if len(s.Discoveries) == 0 {
		return s, nil
	}
	fresh := s.Discover(ctx)
	j.forceApps(fresh)
	j.observe(fresh)
	err := knownApps(fresh.Apps, slices.Concat(j.apps, j.force))
	if failed := fresh.Undiscovered(); err != nil && failed != nil {
		err = fmt.Errorf("%w; not all apps are known: %w", err, failed)
	}
	return fresh, err
}

// unusable are the files that cannot be used, each with its first problem.
func unusable(m *config.Mapping) map[string]error {
	files := map[string]error{}
	for _, l := range m.Unusable {
		text, rest := l.Problems[0].Here(), ""
		if n := len(l.Problems) - 1; n > 0 {
			rest = fmt.Sprintf(" (and %d more, which nitrox validate lists)", n)
		}
		meanwhile := "its apps are not served until it is corrected, and their service groups stay as they are"
		if l.Old {
			meanwhile = "what it said before stays in use until it is corrected"
		}
		files[l.File] = fmt.Errorf("%s: %s%s", meanwhile, text, rest)
	}
	return files
}

// local says whether a NetScaler is on this machine, as a simulator is.
func local(base string) bool {
	u, err := url.Parse(base)
	return err == nil && sources.Loopback(u.Hostname())
}

func knownApps(apps []sync.App, wanted []string) error {
	var known []string
	for _, a := range apps {
		known = append(known, a.Name)
	}
	here := set(known)
	for _, name := range wanted {
		if here[name] {
			continue
		}
		if i := slices.IndexFunc(apps, func(a sync.App) bool { return a.Group == name }); i >= 0 {
			return fmt.Errorf("unknown app %q; that is the service group of app %q", name, apps[i].Name)
		}
		if parts := strings.FieldsFunc(name, func(r rune) bool { return r == ',' || r == ' ' }); len(parts) > 1 && knownApps(apps, parts) == nil {
			return fmt.Errorf("unknown app %q; give each app an option of its own: --app %s", name, strings.Join(parts, " --app "))
		}
		return unknown("app", name, known)
	}
	return nil
}
