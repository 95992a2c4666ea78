package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nitrox/sources/redact/redacttest"
)

// blame keeps what was found, once. l.mu is held.
func (l *lab) blame(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); !slices.Contains(l.wrong, what) {
		l.note("   WRONG: %s", what)
		l.wrong = append(l.wrong, what)
	}
}

// managed says whether the mapping names the group, and what is wanted in it.
func (l *lab) managed(group string) (map[netip.AddrPort]int, bool) {
	name, ok := strings.CutPrefix(group, l.group(""))
	w, has := l.want[name]
	return w, ok && has
}

var ours = netip.MustParsePrefix("10.0.0.0/24") // as the mappings say by only

// judge compares the configuration before a call was carried out with that after.
func (l *lab) judge(c *call, a answer, before, after state) {
	p := l.pass
	if c.copy == 0 {
		p.seen = append(p.seen, seen{kind: c.kind, status: a.status, body: a.body, pair: l.pair})
	}
	write := !c.reads() && !c.session()
	blame := func(format string, args ...any) { l.blame("at "+c.kind+": "+format, args...) }
	if p.dry && write {
		blame("a dry run writes")
	}
	// Which appliance it leads to, an entry may be kept from saying by a fault:
	// then members may be added, and nothing else.
	adds := strings.HasPrefix(c.kind, "PUT servicegroup_servicegroupmember_binding") || c.kind == "POST nsconfig?save"
	if l.twice && write && (p.met == 0 || !adds) {
		blame("a write, although two apps claim the group")
	}
	if write && a.done() && c.node.sim != l.primary() {
		blame("the secondary node is written")
	}
	if c.kind == "POST nsconfig?save" && a.done() && before.text == p.start.text && !p.lies && !p.unknown && !l.races() {
		blame("a save, and nothing was changed")
	}
	for _, n := range l.nodes {
		most := len(p.processes) + p.lost
		if l.twice { // until it is known
			most++
		}
		if have := n.sim.Sessions(); have > most {
			blame("%d sessions at a time", have)
		}
	}
	if before.text == after.text {
		return
	}
	for group, floor := range p.floor {
		if have := after.enabled(l.group(group)); have < floor {
			blame("%s has fewer enabled members than before and after", group)
		}
	}
	for line := range before.lines {
		if !after.lines[line] {
			blame("gone, and not Nitrox's: %s", line)
		}
	}
	for line := range after.lines {
		if !before.lines[line] && !l.creates {
			blame("new, and not asked for: %s", line)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(commented(before, after))) {
		if was, is := before.comments[group], after.comments[group]; was != is && (was != "" || is != l.mark(group)) {
			blame("%s has the comment %s instead of %s", group, is, was)
		}
	}
	for name, addr := range before.servers {
		switch _, there := after.servers[name]; {
		case there:
		case !l.cleans || name[strings.LastIndex(name, "/")+1:] != addr:
			blame("server %s is gone, and not Nitrox's", name)
		case before.bound(name):
			blame("server %s is gone with its members", name)
		}
	}
	byName := func(a, b key) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	for _, k := range slices.SortedFunc(maps.Keys(before.members), byName) {
		was := before.members[k]
		is, there := after.members[k]
		if !there || is.line != was.line {
			l.judgeMember(blame, c, k, was, is, there)
		}
	}
	for k, is := range after.members {
		if _, there := before.members[k]; there {
			continue
		}
		if w, managed := l.managed(k.group); !managed {
			blame("%v is bound in a group that is not Nitrox's", k)
		} else if _, asked := w[is.addr]; !asked && !l.races() && !l.twice {
			blame("%v is bound, and no source has it", k)
		} else if is.disabled {
			blame("%v is bound and disabled", k)
		}
		p.added = time.Now()
	}
}

// mark is the comment of a group that opted in; empty: it did not.
func (l *lab) mark(group string) string {
	if _, managed := l.managed(group); !managed || l.discovers == "" {
		return ""
	}
	return fmt.Sprintf(`"nitrox lab shop/%s"`, group)
}

func commented(before, after state) map[string]string {
	all := maps.Clone(before.comments)
	maps.Copy(all, after.comments)
	return all
}

// judgeMember judges a member that is gone or is not what it was.
func (l *lab) judgeMember(blame func(string, ...any), c *call, k key, was, is member, there bool) {
	w, managed := l.managed(k.group)
	weight, served := w[was.addr]
	list := strings.Contains(c.kind, "memberlist")
	switch {
	case !managed:
		blame("%v of a group that is not Nitrox's: %s -> %s", k, was.line, is.line)
	case !was.addr.IsValid() || !ours.Contains(was.addr.Addr()):
		blame("%v is not Nitrox's: %s -> %s", k, was.line, is.line)
	case was.disabled && was.mark == "" && !l.leaving[k]:
		blame("%v is disabled by an operator: %s -> %s", k, was.line, is.line)
	case !served && !was.disabled && (!there || is.disabled) && l.tooEarly(k, was):
		blame("%v goes before its successors are up or the wait for them is over", k)
	case l.doubt && !was.disabled && (!there || is.disabled):
		blame("%v goes, although its source is in doubt", k)
	case served && !was.disabled && !there:
		blame("%v is served by its source, and leaves", k)
	case served && !was.disabled && is.disabled:
		blame("%v is served by its source, and is disabled", k)
	case !there:
		delete(l.leaving, k)
	case !was.disabled && is.disabled && list:
		l.leaving[k] = true
	case !was.disabled && is.disabled && was.mark == "":
		blame("%v is disabled without its mark", k)
	case was.mark == "" && is.mark != "" && served:
		blame("%v is marked, and its source serves it", k)
	}
	if there && is.weight != was.weight && (weight == 0 || is.weight != fmt.Sprint(weight)) {
		blame("%v has weight %s instead of %s", k, is.weight, was.weight)
	}
	if there && is.order != was.order {
		blame("%v has order %q instead of %q", k, is.order, was.order)
	}
	if there && !is.disabled {
		delete(l.leaving, k)
	}
}

// least is how many enabled members a group may have at any moment of a pass: as many as
// it has now, or will have in the end, whichever is less. In doubt nothing goes.
func (l *lab) least(s state, group string) int {
	now := s.enabled(l.group(group))
	if l.doubt {
		return now
	}
	end := len(l.want[group])
	for k, m := range s.members {
		_, served := l.want[group][m.addr]
		switch {
		case k.group != l.group(group):
		case served && m.disabled && m.mark == "" && !l.leaving[k]: // an operator's
			end--
		case !m.disabled && (!m.addr.IsValid() || !ours.Contains(m.addr.Addr())):
			end++
		}
	}
	return min(now, end)
}

// tooEarly says whether a member that is up goes although fewer than half of the wanted
// ones are up, and wait_up is not over.
func (l *lab) tooEarly(k key, m member) bool {
	if l.waitUp == 0 || time.Since(l.pass.added) >= l.waitUp {
		return false
	}
	_, down := want(l.down[k.group])[m.addr]
	up := 0
	for _, m := range l.primary().Members(k.group) {
		if _, served := l.want[k.group][m.Addr]; served && m.SvrState == "UP" {
			up++
		}
	}
	return !down && 2*up < len(l.want[k.group])
}

// step says what a group lacks to be in step; while drains run it is, unless they
// must be over.
func (l *lab) step(s state, group string, over bool) string {
	if s.comments[group] == "" && l.mark(group) != "" && (over || l.pass.met == 0) { // a build that refuses comments goes without
		return "its mark is missing"
	}
	for addr, weight := range l.want[group] {
		k, m, there := s.at(l.group(group), addr)
		switch {
		case !there:
			return fmt.Sprintf("%v is not bound", addr)
		case m.disabled && (m.mark != "" || l.leaving[k]):
			return fmt.Sprintf("%v is drained", addr)
		case m.disabled: // by an operator
		case m.mark != "":
			return fmt.Sprintf("%v carries a mark", addr)
		case weight > 0 && m.weight != fmt.Sprint(weight):
			return fmt.Sprintf("%v has weight %s", addr, m.weight)
		}
	}
	for k, m := range s.members {
		_, served := l.want[group][m.addr]
		if k.group != l.group(group) || served || !m.addr.IsValid() || !ours.Contains(m.addr.Addr()) {
			continue
		}
		drains := m.disabled && (m.mark != "" || l.leaving[k])
		if !m.disabled || drains && over {
			return fmt.Sprintf("%v is still there", m.addr)
		}
	}
	return ""
}

// verdict judges what a process said in the end. l.mu is held.
func (l *lab) verdict(r *result, p *pass, i int) {
	if p.killed[i] {
		return
	}
	if !slices.Contains([]int{0, 1, 3}, r.exit) || strings.Contains(r.stderr, "panic:") {
		l.blame("exit code %d: %s", r.exit, r.stderr)
	}
	if redacttest.Shown(r.stdout+r.stderr, password) != "" {
		l.blame("the password is printed")
	}
	now := l.look()
	if l.twice && r.exit == 0 {
		l.blame("exit 0, although two apps claim one group")
	}
	if l.races() || l.twice {
		p.lies = true
	}
	if r.exit == 0 && !p.dry && !p.lies {
		for group := range l.want {
			if lacks := l.step(now, group, false); lacks != "" {
				l.blame("exit 0, but in %s %s", group, lacks)
			}
		}
		if now.text != p.start.text && l.alone() && !l.primary().Saved() {
			l.blame("exit 0, and not saved")
		}
	}
	if r.exit != 0 && r.stdout == "" {
		return // it ended before there was anything to report
	}
	r.report = new(report)
	if err := json.Unmarshal([]byte(r.stdout), r.report); err != nil {
		l.blame("the report is not JSON: %v", err)
		return
	}
	if r.report.Exit != r.exit {
		l.blame("the report says exit %d, the process %d", r.report.Exit, r.exit)
	}
	if p.lies {
		return
	}
	for _, app := range r.report.Apps {
		_, managed := l.managed(l.group(app.Group)) // or one that no app claims any more
		if lacks := l.step(now, app.Group, false); managed && lacks != "" && !p.dry && slices.Contains([]string{"in step", "changed"}, app.Status) {
			l.blame("said to be %q, but in %s %s", app.Status, app.Group, lacks)
		}
		for _, c := range app.Changes {
			if p.dry && c.Made {
				l.blame("a dry run says made: %s", c.Op)
			}
			if is := l.made(now, app.Group, c); c.Made && is != "" && !p.dry {
				l.blame("%s is reported as made, but %s", c.Op, is)
			}
		}
	}
	for name, n := range r.report.NetScalers {
		if n.Saved && !p.dry && l.alone() && !l.primary().Saved() {
			l.blame("%s is said to be saved, and is not", name)
		}
	}
	if p.dry && r.exit == 0 && l.plan != nil && !slices.Equal(r.report.plan(), l.plan) {
		l.blame("exit 0, but the plan is another: %v", r.report.plan())
	}
}

// races says that two give lists: one that still adds gives what it has read, with what
// the other has removed meanwhile, and removes it after. What each says is true of its
// own moment.
func (l *lab) races() bool {
	return len(l.pass.processes) > 1 && strings.Contains(l.conf, "-autoScale API")
}

// alone says that nobody else can have changed anything meanwhile.
func (l *lab) alone() bool { return len(l.pass.processes) == 1 && !l.pass.late }

func (r *report) plan() (all []string) {
	for _, app := range r.Apps {
		for _, c := range app.Changes {
			all = append(all, app.Name+" "+c.Op+" "+c.Address+c.What)
		}
	}
	slices.Sort(all)
	return all
}

// made says what is not so of a change that was reported as made.
func (l *lab) made(s state, group string, c change) string {
	addr, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return s.madeOf(c)
	}
	_, m, there := s.at(l.group(group), addr)
	switch {
	case c.Op == "unbind" && there:
		return "it is still bound"
	case c.Op == "unbind" || c.Op == "drain" && !there:
		return ""
	case !there:
		return "it is not bound"
	case c.Op == "drain" && !m.disabled:
		return "it is enabled"
	case c.Op == "enable" && m.disabled:
		return "it is disabled"
	case c.Op == "set" && m.weight != fmt.Sprint(c.Weight):
		return "its weight is " + m.weight
	}
	return ""
}

// madeOf is made for a change to no member: of a group, a vserver or a server.
func (s state) madeOf(c change) string {
	if c.Op == "remove server" {
		if _, there := s.servers[c.Server]; there {
			return "it is still there"
		}
		return ""
	}
	if c.Op == "mark group" {
		for group, comment := range s.comments {
			if c.What == fmt.Sprintf("comment of %s: %s", group, strings.Trim(comment, `"`)) {
				return ""
			}
		}
	}
	command := map[string]string{"mark group": "no command ", "add group": "add serviceGroup ", "add vserver": "add lb vserver ", "bind vserver": "bind lb vserver "}[c.Op]
	for line := range s.lines {
		if name, ok := strings.CutPrefix(line, command); ok && slices.Contains(strings.Fields(c.What), strings.Fields(name)[0]) {
			return ""
		}
	}
	return "it is not there: " + c.What
}

// sessionsAfter judges what is left when the processes have ended.
func (l *lab) sessionsAfter(p *pass) {
	left := 0
	for _, n := range l.nodes {
		left += n.sim.Sessions()
		n.sim.KillSessions() // those of this pass are not counted again
	}
	if l.twice && p.lost > 0 { // as many again, until it is known
		left--
	}
	if left > p.lost {
		l.blame("%d sessions are left behind, of which %d could not be ended", left, p.lost)
	}
	for group, floor := range p.floor {
		if l.primary().Members(l.group(group)) != nil && l.primary().MinEnabled(l.group(group)) < floor {
			l.blame("%s had fewer enabled members than before and after", group)
		}
	}
}
