package simulator

import (
	"slices"
	"strings"
)

// line is one of the ns.conf that was loaded.
type line struct {
	text string
	of   *wording // of the thing that it is about; nil: it is kept as it is
}

// wording is how the lines of an ns.conf say a thing. As long as the thing is
// what they say, they are written as they were; then it is written in one line,
// in the place of the first.
type wording struct {
	extra []string // options that are unknown here, and kept
	lines int      // 0: made since, or by a command that is not kept
	// loose: the lines depend on others, so that they are only good for a
	// configuration in which nothing has changed. stale: they do not say all.
	loose, stale bool
	said         string // what the thing is written as when it is as the lines say

	// While the configuration is written: the kind of thing and its group, where
	// the thing stands in the scratch, and whether it was written.
	kind       int
	group      *group
	begin, end int
	written    bool
}

// The kinds of things, in the order in which new ones are written.
const (
	ofPartition = iota
	ofServer
	ofGroup
	ofMonitor
	ofVserver
	ofLink
	ofMember
	kinds
)

func (w *wording) rest() []string {
	if w == nil {
		return nil
	}
	return w.extra
}

// copy is for the same thing in another simulator, which has no lines.
func (w *wording) copy() *wording {
	if w == nil {
		return nil
	}
	return &wording{extra: w.extra}
}

// implied gives a server that the line under way makes without a word a line of
// its own, before that line.
func (x *exec) implied(s *server) {
	if x.loading {
		s.wording = &wording{lines: 1}
		x.part.lines = append(x.part.lines, line{addServer.spell(s.item(), false), s.wording})
	}
}

// written is the line under way, which said c of the item.
func (x *exec) written(c *command, it item) {
	w := x.wording
	verb, _, _ := strings.Cut(c.cli, " ")
	switch verb {
	case "set", "unset", "rename", "enable", "disable":
		o := x.subject(c, it)
		if o == w { // something built-in, of which this is the first line
			break
		}
		if o == nil {
			return
		}
		o.extra = append(o.extra, w.extra...)
		if !x.loading { // an administrator's
			o.stale = true
			return
		}
		w = o
	case "add", "bind":
		if c == bindMember && it.has("ip") {
			members := x.groupNamed(it.get("servicegroupname")).members
			w.loose = members[len(members)-1].server.name != it.get("ip")
		}
	default: // what is removed, saved or switched leaves no line
		return
	}
	if !x.loading {
		return
	}
	w.lines++
	w.loose = w.loose || w.lines > 1
	part := x.part
	if c == addPartition {
		part = x.partitions[0]
	}
	part.lines = append(part.lines, line{x.text, w})
}

// subject is the wording of what a command is about that makes nothing.
func (x *exec) subject(c *command, it item) *wording {
	_, noun, _ := strings.Cut(c.cli, " ")
	find := func(s *store) *wording {
		for _, name := range []string{it.get("newname"), it.get(s.key)} {
			if o := x.part.object(s, name); o != nil {
				return o.wording
			}
		}
		return nil
	}
	switch noun {
	case vservers.noun:
		return find(vservers)
	case monitors.noun:
		return find(monitors)
	case "server":
		for _, name := range []string{it.get("newname"), it.get("name")} {
			if s := x.part.byName[name]; s != nil {
				return s.wording
			}
		}
	case "serviceGroup":
		g := x.groupNamed(it.get("newname"))
		if g == nil {
			g = x.groupNamed(it.get("servicegroupname"))
		}
		if m := g.index[memberKey{it.get("servername"), uint16(it.int("port"))}]; m != nil {
			return m.wording
		}
		return g.wording
	}
	return nil
}

// keep keeps a line as it is.
func (p *partition) keep(text string) {
	p.learn(text)
	p.lines = append(p.lines, line{text: text})
}

// fresh is a thing without a line, and after which line it is written.
type fresh struct {
	kind       int
	group      *group // of a member
	after      int
	begin, end int
}

// draft is a partition's configuration while it is written.
type draft struct {
	*partition
	whole   bool // what its lines say together is what there is
	scratch []byte
	fresh   []fresh
}

// note takes a thing that render has appended to the scratch.
func (d *draft) note(w *wording, kind int, g *group, begin int) {
	if w != nil && w.lines > 0 {
		w.kind, w.group, w.begin, w.end, w.written = kind, g, begin, len(d.scratch), false
		d.whole = d.whole && !w.stale
		return
	}
	d.fresh = append(d.fresh, fresh{kind: kind, group: g, begin: begin, end: len(d.scratch)})
}

// place finds where new things go: after the last of their kind and after what
// they name; where there is nothing of the kind, at the end.
func (d *draft) place() {
	var last [kinds]int
	for i := range last {
		last[i] = -1
	}
	inGroup := map[*group]int{}
	for i, l := range d.lines {
		if l.of == nil || l.of.end == 0 {
			continue
		}
		last[l.of.kind] = i
		if l.of.group != nil {
			inGroup[l.of.group] = i
		}
	}
	end := len(d.lines) - 1
	for _, f := range d.fresh { // what is new and has no place yet makes one at the end
		if f.kind < ofLink && last[f.kind] < 0 {
			last[f.kind] = end
		}
	}
	for i := range d.fresh {
		f := &d.fresh[i]
		switch f.kind {
		case ofLink:
			if f.after = last[ofLink]; f.after < 0 {
				f.after = end
			}
			f.after = max(f.after, last[ofVserver], last[ofGroup])
		case ofMember:
			after, ok := inGroup[f.group]
			if !ok {
				if after = last[ofMember]; after < 0 {
					after = end
				}
			}
			f.after = max(after, last[ofServer], last[ofGroup], last[ofMonitor])
		default:
			f.after = last[f.kind]
		}
	}
	slices.SortStableFunc(d.fresh, func(a, b fresh) int {
		if a.after != b.after {
			return a.after - b.after
		}
		return a.kind - b.kind
	})
}
