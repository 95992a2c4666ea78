package simulator

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"strconv"
	"time"
)

// Dump writes the configuration as an ns.conf, which loads again to the same
// one. Lines of one that was loaded before the first request are in their places
// as they were, but for what has changed since.
func (s *Simulator) Dump(w io.Writer) error {
	s.mu.Lock()
	text := s.dump(time.Now())
	s.mu.Unlock()
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

func (s *Simulator) dump(now time.Time) []byte {
	s.sweep(now)
	b := []byte{} // an empty configuration is one, too
	for _, p := range s.partitions {
		if p.name != "" {
			b = append(b, "switch ns partition "+quote(p.name)+"\n"...)
		}
		d := &draft{partition: p, whole: !s.touched}
		if p == s.partitions[0] {
			for _, other := range s.partitions[1:] {
				d.write(other.wording, ofPartition, nil, addPartition, other.settings)
			}
		}
		d.render()
		d.place()
		b = d.dump(b, s.touched)
	}
	if s.unended && !s.touched {
		b = bytes.TrimSuffix(b, []byte("\n"))
	}
	return b
}

// dump writes lines that still hold as they were, things that are not what their
// lines say in the place of the first, and new things where they belong.
func (d *draft) dump(b []byte, touched bool) []byte {
	added := 0
	add := func(after int) {
		for ; added < len(d.fresh) && d.fresh[added].after <= after; added++ {
			b = append(append(b, d.scratch[d.fresh[added].begin:d.fresh[added].end]...), '\n')
		}
	}
	add(-1)
	for i, l := range d.lines {
		w := l.of
		switch {
		case w == nil:
			b = append(append(b, l.text...), '\n')
		case w.end == 0: // it is gone
		default:
			now := d.scratch[w.begin:w.end]
			if !touched && w.said != string(now) {
				w.said = l.text
				if l.text != string(now) {
					w.said = string(now)
				}
			}
			switch {
			case !w.stale && (d.whole || !w.loose) && w.said == string(now):
				b = append(append(b, l.text...), '\n')
			case !w.written:
				b = append(append(b, now...), '\n')
			}
			w.written = true
		}
		add(i)
	}
	for _, l := range d.lines {
		if l.of != nil {
			l.of.end = 0
		}
	}
	return b
}

// write appends a thing to the scratch.
func (d *draft) write(w *wording, kind int, g *group, c *command, it item) {
	begin := len(d.scratch)
	d.scratch = end(append(d.scratch, c.spell(it, false)...), w.rest())
	d.note(w, kind, g, begin)
}

// render writes everything that there is, as it is now.
func (d *draft) render() {
	for _, s := range d.servers {
		d.write(s.wording, ofServer, nil, addServer, s.item())
	}
	for _, g := range d.groups {
		it := item{values: map[string]string{"servicegroupname": g.name, "servicetype": g.kind}}
		maps.Copy(it.values, g.values)
		if g.disabled {
			it.values["state"] = "DISABLED"
		}
		d.write(g.wording, ofGroup, nil, addGroup, it)
	}
	for _, m := range d.monitor {
		c := addMonitor
		if m.builtin {
			c = setMonitor
		}
		d.write(m.wording, ofMonitor, nil, c, item{values: m.values})
	}
	for _, v := range d.vserver {
		d.write(v.wording, ofVserver, nil, addVserver, item{values: v.values})
	}
	for _, v := range d.vserver {
		for _, l := range v.groups {
			it := item{values: map[string]string{"name": v.name, "servicegroupname": l.group.name}}
			if l.order > 0 {
				it.values["order"] = strconv.Itoa(l.order)
			}
			if l.weight > 0 {
				it.values["weight"] = strconv.Itoa(l.weight)
			}
			d.write(l.wording, ofLink, nil, bindVserver, it)
		}
	}
	for _, g := range d.groups {
		prefix := "bind serviceGroup " + quote(g.name) + " "
		for _, m := range g.members {
			begin := len(d.scratch)
			d.scratch = m.dump(append(d.scratch, prefix...))
			d.note(m.wording, ofMember, g, begin)
		}
		for _, m := range g.monitors {
			begin := len(d.scratch)
			d.scratch = m.dump(append(d.scratch, prefix...))
			d.note(m.wording, ofMember, g, begin)
		}
	}
}

func (s *server) item() item {
	it := item{values: map[string]string{"name": s.name, "ipaddress": s.text}}
	if s.comment != "" {
		it.values["comment"] = s.comment
	}
	maps.Copy(it.values, s.kept)
	if s.v6 != "" {
		it.values["ipv6address"] = s.v6
	}
	if s.td != 0 {
		it.values["td"] = strconv.Itoa(s.td)
	}
	if s.disabled {
		it.values["state"] = "DISABLED"
	}
	return it
}

// dump is written out by hand: there may be a hundred thousand members.
func (m *member) dump(b []byte) []byte {
	b = append(b, quote(m.server.name)...)
	b = append(b, ' ')
	if m.port == 65535 {
		b = append(b, '*')
	} else {
		b = strconv.AppendUint(b, uint64(m.port), 10)
	}
	number := func(option string, n int) {
		if n > 0 {
			b = strconv.AppendInt(append(b, option...), int64(n), 10)
		}
	}
	if m.weight > 1 {
		number(" -weight ", m.weight)
	}
	if m.custom != "" {
		b = append(append(b, " -CustomServerID "...), quote(m.custom)...)
	}
	number(" -serverId ", m.serverID)
	number(" -hashId ", m.hashID)
	number(" -order ", m.order)
	if m.nameserver != "" {
		b = append(append(b, " -nameServer "...), m.nameserver...)
	}
	number(" -dbsTTL ", m.dbsttl)
	if m.disabled {
		b = append(b, " -state DISABLED"...)
	}
	return end(b, m.rest())
}

func (m monitorLink) dump(b []byte) []byte {
	b = append(append(b, "-monitorName "...), quote(m.name)...)
	if m.weight > 0 {
		b = strconv.AppendInt(append(b, " -weight "...), int64(m.weight), 10)
	}
	if m.state != "" {
		b = append(append(b, " -monState "...), m.state...)
	}
	if m.passive {
		b = append(b, " -passive"...)
	}
	return end(b, m.rest())
}

func end(b []byte, extra []string) []byte {
	for _, w := range extra {
		b = append(append(b, ' '), w...)
	}
	return b
}
