package sync

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"time"

	"nitrox/netscaler"
)

// JSONVersion is the version of the object that JSON writes. It changes when a
// field changes its meaning or goes; fields may be added without.
const JSONVersion = 2

// The types below are the documentation of the object. Durations are seconds,
// addresses "10.0.3.14:31080" or "[2001:db8::1]:80". Lists are never null.
type (
	jsonResult struct {
		Version    int                   `json:"version"`
		Run        jsonRun               `json:"run"`
		DryRun     bool                  `json:"dry_run"`
		Seconds    float64               `json:"seconds"`
		Exit       int                   `json:"exit"` // as without --exit-code
		Summary    string                `json:"summary"`
		Apps       []jsonApp             `json:"apps"`       // one for each app and NetScaler
		Sources    map[string]jsonHealth `json:"sources"`    // those that were asked
		NetScalers map[string]jsonHealth `json:"netscalers"` // those that were asked
		Troubles   []jsonTrouble         `json:"troubles"`   // all that failed, is in doubt or is held, each cause once
	}
	jsonRun struct {
		ID      string      `json:"id"`   // of the process, as in its log
		Pass    int         `json:"pass"` // of the process, from 1
		Version string      `json:"version"`
		Mapping jsonMapping `json:"mapping"`
	}
	jsonMapping struct {
		File   string `json:"file"`
		Digest string `json:"digest"`
	}
	jsonHealth struct {
		Error     string `json:"error,omitempty"`
		Saved     bool   `json:"saved,omitempty"`      // the configuration was saved
		WouldSave bool   `json:"would_save,omitempty"` // in a dry run: it would be
	}
	jsonTrouble struct {
		Of      TroubleOf `json:"of"`                // source, netscaler or app
		Name    string    `json:"name,omitempty"`    // of the source or the NetScaler
		What    string    `json:"what"`              // failed, not served, bind failed, in doubt, removals held …
		Cause   string    `json:"cause,omitempty"`   // why
		Held    bool      `json:"held,omitempty"`    // nothing failed: a guard holds removals
		Members []string  `json:"members,omitempty"` // what could not be changed
		Apps    []string  `json:"apps"`              // that it harms
	}
	jsonApp struct {
		Name         string         `json:"name"`
		ServiceGroup string         `json:"service_group"`
		NetScaler    string         `json:"netscaler"`
		Node         string         `json:"node,omitempty"`        // the URL that was used of the NetScaler's
		DefinedAt    string         `json:"defined_at"`            // file and line of the app
		Status       Status         `json:"status"`                // failed, held, pending, changed, not serving, in step
		Paused       bool           `json:"paused,omitempty"`      // planned, never applied
		Discovered   bool           `json:"discovered,omitempty"`  // no mapping file has it: it opted in
		Orphan       bool           `json:"orphan,omitempty"`      // it did, and no app claims the group any more
		Error        string         `json:"error,omitempty"`       // why there is no plan
		Doubt        string         `json:"doubt,omitempty"`       // why nothing is removed
		MemberList   bool           `json:"member_list,omitempty"` // its members are given as a list (autoscale API)
		Endpoints    []jsonEndpoint `json:"endpoints"`             // desired
		LeftOut      []jsonLeftOut  `json:"left_out"`
		Changes      []jsonChange   `json:"changes"` // in the order of application
		Held         []jsonChange   `json:"held"`
		HeldBy       string         `json:"held_by,omitempty"`
		Kept         []jsonMember   `json:"kept"`     // serving, and staying
		Draining     []jsonMember   `json:"draining"` // on their way out
		Disabled     []jsonMember   `json:"disabled"` // by somebody else: left as they are
		NotOurs      []jsonMember   `json:"not_ours"` // domain names, and addresses outside only
		Notes        []string       `json:"notes"`    // worth knowing, and neither a change nor a failure
		Rows         []jsonRow      `json:"rows"`     // each endpoint, member and candidate, and why it is in or out
		Looked       []searched     `json:"looked,omitempty"`
	}
	jsonRow struct {
		Address  string  `json:"address,omitempty"` // missing: it has none, or it is not known
		Name     string  `json:"name,omitempty"`
		Server   string  `json:"server,omitempty"` // where its name is not the address
		Verdict  string  `json:"verdict"`          // in; in, down; out; held; draining; drained; disabled by somebody; not ours; not known
		State    string  `json:"state"`            // serving, down, added, missing, uncertain, left out …
		Weight   int     `json:"weight,omitempty"`
		Order    int     `json:"order,omitempty"`
		Settings string  `json:"settings,omitempty"` // where weight and order come from
		Why      string  `json:"why,omitempty"`
		Rule     string  `json:"rule"`
		Facts    string  `json:"facts,omitempty"`
		Lasts    float64 `json:"lasts,omitempty"` // for how long the NetScaler has had it as it is
		Error    string  `json:"error,omitempty"` // why a change to it was not made
	}
	jsonEndpoint struct {
		Address   string `json:"address"`
		Weight    int    `json:"weight,omitempty"`    // missing: no opinion
		Order     int    `json:"order,omitempty"`     // missing: no opinion
		Uncertain string `json:"uncertain,omitempty"` // why its health is not known
		Origin    string `json:"origin,omitempty"`
	}
	jsonLeftOut struct {
		Source string `json:"source"`
		What   string `json:"what"`
		Why    string `json:"why"`
	}
	jsonChange struct {
		Op      string        `json:"op"`                // add vserver, add group, bind vserver, bind, enable, set, drain, unbind, remove server
		Address string        `json:"address,omitempty"` // of the member
		What    string        `json:"what,omitempty"`    // instead of it, where the change is to no member
		Server  string        `json:"server,omitempty"`
		Weight  int           `json:"weight,omitempty"`
		Order   int           `json:"order,omitempty"` // missing: the default
		Was     *jsonSettings `json:"was,omitempty"`   // before a set
		Delay   float64       `json:"delay,omitempty"` // of a drain
		Why     string        `json:"why,omitempty"`
		Made    bool          `json:"made"`
		Error   string        `json:"error,omitempty"` // why it was not made
		// What the sources say of the member, and how long it took: no part of what is
		// planned.
		Evidence string  `json:"evidence,omitempty"`
		Took     float64 `json:"took,omitempty"`
	}
	jsonSettings struct {
		Weight int `json:"weight"`
		Order  int `json:"order,omitempty"`
	}
	jsonMember struct {
		Address   string  `json:"address,omitempty"`
		Server    string  `json:"server"`
		Weight    int     `json:"weight,omitempty"`
		Up        bool    `json:"up"`
		Order     int     `json:"order,omitempty"`
		Remaining float64 `json:"remaining,omitempty"` // of a drain
	}
)

// JSON writes the result as one object.
func JSON(w io.Writer, r Result) error { return jsonAbout(w, r, "") }

// jsonAbout is JSON with those rows only that are about what was asked for; "": all.
func jsonAbout(w io.Writer, r Result, about string) error {
	out := jsonResult{
		Version: JSONVersion, Run: jsonRun{r.Run.ID, r.Run.Pass, r.Run.Version, jsonMapping(r.Run.Mapping)}, DryRun: r.DryRun, Seconds: r.Took.Round(time.Millisecond).Seconds(),
		Exit: r.Exit(false), Summary: r.Summary(), Apps: []jsonApp{}, Troubles: []jsonTrouble{},
		Sources: map[string]jsonHealth{}, NetScalers: map[string]jsonHealth{},
	}
	for name, err := range r.Sources {
		out.Sources[name] = jsonHealth{Error: text(err)}
	}
	for name, err := range r.NetScalers {
		out.NetScalers[name] = jsonHealth{Error: text(err)}
	}
	for _, name := range r.Saved {
		h := out.NetScalers[name]
		h.Saved, h.WouldSave = !r.DryRun, r.DryRun
		out.NetScalers[name] = h
	}
	for _, t := range r.Troubles() {
		apps := t.Apps()
		if apps == nil {
			apps = []string{}
		}
		out.Troubles = append(out.Troubles, jsonTrouble{t.Of, t.Name, t.What, t.Cause, t.Held, t.Members, apps})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	// The apps are most of the object, and in memory one at a time. Only its own keys
	// follow a line break and two blanks.
	before, after, _ := strings.Cut(b.String(), "\n  \"apps\": [")
	if _, err := io.WriteString(w, before+"\n  \"apps\": ["); err != nil {
		return err
	}
	e.SetIndent("    ", "  ")
	for i, o := range r.Outcomes {
		if b.Reset(); i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		if err := e.Encode(jsonOutcome(o, about)); err != nil {
			return err
		}
		if _, err := w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n"))); err != nil {
			return err
		}
	}
	if len(r.Outcomes) > 0 {
		after = "\n  " + after
	}
	_, err := io.WriteString(w, after)
	return err
}

func jsonOutcome(o Outcome, about string) jsonApp {
	a := jsonApp{
		Name: o.App.Name, ServiceGroup: o.App.Group, NetScaler: o.NetScaler, Node: o.Node, DefinedAt: o.App.At, Status: o.Status(), Paused: o.App.Policy.Paused, Discovered: o.App.Discovered(), Orphan: o.App.Orphan,
		Error: text(o.Err), Doubt: text(o.Desired.Doubt()), HeldBy: text(o.Plan.HeldBy), MemberList: o.Plan.MemberList,
		Endpoints: []jsonEndpoint{}, LeftOut: []jsonLeftOut{}, Changes: []jsonChange{}, Held: []jsonChange{},
		Kept: jsonMembers(o.Plan.Kept), Draining: jsonMembers(o.Plan.Draining),
		Disabled: jsonMembers(o.Plan.Disabled), NotOurs: jsonMembers(o.Plan.NotOurs),
		Notes: []string{}, Rows: []jsonRow{},
	}
	rows := o.Rows()
	for _, r := range rowsAbout(rows, about) {
		j := jsonRow{
			Name: r.Name, Server: r.Server, Verdict: r.Verdict(), State: r.Standing.String(), Weight: r.Weight, Order: r.Order, Settings: r.Settings,
			Why: r.Why, Rule: r.Rule, Facts: r.Facts, Lasts: r.Lasts.Seconds(), Error: r.Err,
		}
		if r.Addr.IsValid() {
			j.Address = r.Addr.String()
		}
		a.Rows = append(a.Rows, j)
	}
	if about != "" && len(a.Rows) == 0 {
		a.Looked = o.looks(rows, about)
	}
	for _, note := range o.Notes {
		a.Notes = append(a.Notes, OneLine(note))
	}
	for _, e := range o.Desired.Endpoints {
		a.Endpoints = append(a.Endpoints, jsonEndpoint{e.Addr.String(), e.Weight, e.Order, OneLine(e.Uncertain), OneLine(e.Origin)})
	}
	for i, answer := range o.Answers {
		for _, l := range answer.LeftOut {
			a.LeftOut = append(a.LeftOut, jsonLeftOut{o.App.From[i].Source, OneLine(l.What), OneLine(l.Why)})
		}
	}
	heard := o.heard()
	for _, d := range o.Changes() {
		j := jsonOf(*d.Change, heard)
		j.Made, j.Took = d.Made(), d.Took.Seconds()
		if d.Failed() {
			j.Error = text(d.Err)
		}
		a.Changes = append(a.Changes, j)
	}
	for _, c := range o.Plan.Held {
		a.Held = append(a.Held, jsonOf(c, heard))
	}
	return a
}

func jsonOf(c netscaler.Change, h heard) jsonChange {
	if !ofMember(c.Op) {
		return jsonChange{Op: c.Op.String(), What: OneLine(Subject(c)), Server: OneLine(c.Server), Why: reason(c)}
	}
	j := jsonChange{
		Op: c.Op.String(), Address: c.Addr.String(), Server: OneLine(c.Server), Weight: c.Weight, Order: c.Order,
		Delay: c.Delay.Seconds(), Why: OneLine(c.Why), Evidence: h.evidence(c.Addr),
	}
	if c.Op == netscaler.Set {
		j.Was = &jsonSettings{c.Was.Weight, c.Was.Order}
	}
	return j
}

func jsonMembers(members []netscaler.Member) []jsonMember {
	out := []jsonMember{}
	for _, m := range members {
		j := jsonMember{Server: OneLine(m.Server), Weight: m.Weight, Up: m.Up, Order: m.Order, Remaining: m.Remaining.Seconds()}
		if m.Addr.IsValid() {
			j.Address = m.Addr.String()
		}
		out = append(out, j)
	}
	return out
}
