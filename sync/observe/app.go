package observe

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"nitrox/netscaler"
	"nitrox/sync"
)

// State is where an endpoint or member of an app stands after a pass.
type State string

// The states; each address is in one.
const (
	Serving   State = "serving"   // a member, enabled, and healthy to the NetScaler's monitors
	Down      State = "down"      // a member, enabled, and not healthy
	Added     State = "added"     // bound or enabled in this pass; its health is not read yet
	Missing   State = "missing"   // should serve, and was not bound or enabled
	Held      State = "held"      // serves; a guard holds its removal
	Surplus   State = "surplus"   // should go, and was not removed
	Draining  State = "draining"  // on its way out
	Uncertain State = "uncertain" // an endpoint whose health is not known: not added
	Disabled  State = "disabled"  // a member that somebody else disabled: left as it is
	NotOurs   State = "not ours"  // a domain name, or an address outside only
	LeftOut   State = "left out"  // what a source saw, and does not count as an endpoint
)

// states are in the order in which people should see them.
var states = []State{Missing, Held, Surplus, Down, Draining, Added, Uncertain, Disabled, Serving, NotOurs, LeftOut}

// row is one endpoint or member of an app, and why it is in or out.
type row struct {
	Addr   netip.AddrPort // not valid for those left out, and for domain names
	Name   string         // what stands for the address then
	Server string         // the server entity, if its name is not the address
	State  State
	Weight int // 0: not known
	Why    string
	Err    string // why the change was not made
}

// app is what is known of an app on a NetScaler: what the last pass found, and
// when things last happened to it.
type app struct {
	Name, Group, NetScaler string
	Paused                 bool
	Status                 sync.Status // empty: no pass has looked yet
	// Failures and Held are why the status is what it is, each one line.
	Failures []string
	Held     string
	Drift    [netscaler.Unbind + 1]int // changes by kind that were found, and not made
	Rows     []row
	Seen     time.Time // when Rows were so; older than Looked if the NetScaler failed since
	Looked   time.Time // the last pass
	// The last change, the last trouble, and the last time without any.
	Changed, Failed, OK time.Time
	Change, Failure     string
}

// after is the app after one more pass, which found o and ended at the given
// time.
func (a app) after(o sync.Outcome, at time.Time) app {
	a.Name, a.Group, a.NetScaler, a.Paused = o.App.Name, o.App.Group, o.NetScaler, o.App.Policy.Paused
	a.Status, a.Looked = o.Status(), at
	a.Failures, a.Held = failures(o), line(text(o.Plan.HeldBy))
	a.Drift = drift(o)
	if o.Err == nil {
		a.Rows, a.Seen = rows(o), at
	}
	if change := made(o); change != "" {
		a.Changed, a.Change = at, change
	}
	switch {
	case len(a.Failures) > 0:
		a.Failed, a.Failure = at, a.Failures[0]
	case a.Held != "":
		a.Failed, a.Failure = at, "held: "+a.Held
	default:
		a.OK = at
	}
	return a
}

// count is how many of its rows are in the state.
func (a app) count(state State) (n int) {
	for _, r := range a.Rows {
		if r.State == state {
			n++
		}
	}
	return n
}

// failures are why the outcome failed: what was in the way of a plan, each
// doubt, and each kind of trouble that changes met.
func failures(o sync.Outcome) (all []string) {
	add := func(err error) {
		for _, text := range strings.Split(text(err), "\n") {
			if text = line(text); text != "" && !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	add(o.Err)
	add(o.Desired.Doubt)
	for i, err := range o.Errs {
		if err != nil {
			c := o.Plan.Changes[i]
			add(fmt.Errorf("%v %v: %w", c.Op, c.Addr, err))
		}
	}
	return all
}

// drift counts the changes that were found, and not made or held.
func drift(o sync.Outcome) (n [netscaler.Unbind + 1]int) {
	for i, c := range o.Plan.Changes {
		if o.Errs == nil || o.Errs[i] != nil {
			n[c.Op]++
		}
	}
	for _, c := range o.Plan.Held {
		n[c.Op]++
	}
	return n
}

// past names the kinds of changes once they are made.
var past = [...]string{netscaler.Bind: "bound", netscaler.Enable: "enabled", netscaler.Set: "weighted anew", netscaler.Drain: "sent to drain", netscaler.Unbind: "unbound"}

// made says in words which changes were made; empty: none.
func made(o sync.Outcome) string {
	var n [len(past)]int
	for i, err := range o.Errs {
		if err == nil {
			n[o.Plan.Changes[i].Op]++
		}
	}
	var parts []string
	for op, n := range n {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, past[op]))
		}
	}
	return strings.Join(parts, ", ")
}

// rows are the endpoints against the members: each address once, those that
// need attention first.
func rows(o sync.Outcome) []row {
	said := origins(o)
	at := map[netip.AddrPort]int{} // indexes of all
	var all []row
	put := func(m netscaler.Member, state State, why string) *row {
		i, known := at[m.Addr]
		if !known || !m.Addr.IsValid() {
			i = len(all)
			all = append(all, row{})
			at[m.Addr] = i
		}
		r := row{Addr: m.Addr, State: state, Weight: m.Weight, Why: line(why)}
		if m.Server != m.Addr.Addr().String() {
			r.Server = line(m.Server)
		}
		if !m.Addr.IsValid() {
			r.Name, r.Server = r.Server, ""
		}
		all[i] = r
		return &all[i]
	}
	for _, m := range o.Plan.Kept {
		state := Serving
		if !m.Up {
			state = Down
		}
		why, wanted := said[m.Addr]
		if !wanted {
			why = "kept: the endpoints are in doubt, so nothing is removed"
		}
		put(m, state, why)
	}
	for i, c := range o.Plan.Changes {
		done := o.Errs != nil && o.Errs[i] == nil
		var r *row
		switch {
		case c.Op == netscaler.Set:
			// Of a member that is enabled too, or serves: its state is known.
			j, known := at[c.Addr]
			if !known {
				continue
			}
			r = &all[j]
			r.Weight = c.Weight
			if !done {
				r.Weight = c.Was
				r.Why = line(fmt.Sprintf("weight %d should be %d; %s", c.Was, c.Weight, r.Why))
			}
		case c.Op <= netscaler.Enable && done:
			r = put(c.Member, Added, cmp.Or(said[c.Addr], c.Why))
		case c.Op <= netscaler.Enable:
			r = put(c.Member, Missing, cmp.Or(said[c.Addr], c.Why))
		case done && c.Op == netscaler.Unbind:
			continue
		case done, c.State != netscaler.Enabled:
			r = put(c.Member, Draining, c.Why)
		default:
			r = put(c.Member, Surplus, c.Why)
		}
		if o.Errs != nil && o.Errs[i] != nil {
			r.Err = line(text(o.Errs[i]))
		}
	}
	for _, c := range o.Plan.Held {
		put(c.Member, Held, c.Why)
	}
	for _, m := range o.Plan.Draining {
		why := "until its clients are gone"
		if m.Left > 0 {
			why = short(m.Left) + " left"
		}
		put(m, Draining, why)
	}
	for _, m := range o.Plan.Operator {
		why := "by an operator"
		if m.State == netscaler.Suspended {
			why = "its server or its group is disabled"
		}
		put(m, Disabled, why+"; left as it is")
	}
	for _, m := range o.Plan.Foreign {
		put(m, NotOurs, cmp.Or(m.Alien, "outside only")+"; left as it is")
	}
	for _, e := range o.Plan.Waiting {
		put(netscaler.Member{Addr: e.Addr, Weight: e.Weight}, Uncertain, e.Uncertain+"; "+said[e.Addr])
	}
	for i, answer := range o.Answers {
		for _, l := range answer.Left {
			all = append(all, row{Name: line(l.What), State: LeftOut, Why: line(l.Why + " (" + o.App.From[i].Source + ")")})
		}
	}
	slices.SortStableFunc(all, func(a, b row) int {
		return cmp.Or(cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State)), a.Addr.Compare(b.Addr))
	})
	return all
}

// origins tells of each address which sources want it, and what they say of it.
func origins(o sync.Outcome) map[netip.AddrPort]string {
	said := map[netip.AddrPort]string{}
	for i, answer := range o.Answers {
		for _, e := range answer.Endpoints {
			what := o.App.From[i].Source
			if e.Origin != "" {
				what += ": " + e.Origin
			}
			if before := said[e.Addr]; before != "" && before != what {
				what = before + "; " + what
			}
			said[e.Addr] = what
		}
	}
	return said
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// longest is how many characters of a text are worth showing.
const longest = 400

// line makes one line of what others wrote. Invisible characters are gone:
// they could make text look like other text.
func line(s string) string {
	plain := func(r rune) bool { return r != unicode.ReplacementChar && unicode.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) >= 0 || strings.Contains(s, "  ") {
		s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
			if plain(r) {
				return r
			}
			return ' '
		}, s)), " ")
	}
	if s = strings.TrimSpace(s); len(s) > longest {
		if runes := []rune(s); len(runes) > longest {
			s = string(runes[:longest-1]) + "…"
		}
	}
	return s
}

// short is a duration as people say it, in its one or two largest units.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return units(d, time.Minute, "min", time.Second, "s")
	case d < 48*time.Hour:
		return units(d, time.Hour, "h", time.Minute, "min")
	}
	return units(d, 24*time.Hour, "d", time.Hour, "h")
}

func units(d, large time.Duration, name string, small time.Duration, rest string) string {
	text := fmt.Sprintf("%d %s", d/large, name)
	if n := d % large / small; n > 0 && d < 10*large {
		text += fmt.Sprintf(" %d %s", n, rest)
	}
	return text
}
