package simulator

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// Dump writes the configuration as commands, which load again to the same one.
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
			b = append(b, addPartition.given(p.settings, p.extra)...)
		}
	}
	for _, p := range s.partitions {
		if p.name != "" {
			b = append(b, "switch ns partition "+quote(p.name)+"\n"...)
		}
		b = p.dump(b)
	}
	return b
}

func (p *partition) dump(b []byte) []byte {
	for _, line := range p.head {
		b = append(append(b, line...), '\n')
	}
	for _, s := range p.servers {
		it := item{values: map[string]string{"name": s.name, "ipaddress": s.text}}
		if s.comment != "" {
			it.values["comment"] = s.comment
		}
		if s.td != 0 {
			it.values["td"] = strconv.Itoa(s.td)
		}
		if s.disabled {
			it.values["state"] = "DISABLED"
		}
		b = append(b, addServer.given(it, s.extra)...)
	}
	for _, g := range p.groups {
		it := item{values: map[string]string{"servicegroupname": g.name, "servicetype": g.kind}}
		for k, v := range g.values {
			it.values[k] = v
		}
		if g.disabled {
			it.values["state"] = "DISABLED"
		}
		b = append(b, addGroup.given(it, g.extra)...)
	}
	for _, m := range p.monitor {
		b = append(b, addMonitor.given(item{values: m.values}, m.extra)...)
	}
	for _, v := range p.vserver {
		b = append(b, addVserver.given(item{values: v.values}, v.extra)...)
	}
	for _, v := range p.vserver {
		for _, l := range v.groups {
			it := item{values: map[string]string{"name": v.name, "servicegroupname": l.group.name}}
			if l.order > 0 {
				it.values["order"] = strconv.Itoa(l.order)
			}
			if l.weight > 0 {
				it.values["weight"] = strconv.Itoa(l.weight)
			}
			b = append(b, bindVserver.given(it, l.extra)...)
		}
	}
	for _, g := range p.groups {
		prefix := "bind serviceGroup " + quote(g.name) + " "
		for _, m := range g.members {
			b = m.dump(append(b, prefix...))
		}
		for _, m := range g.monitors {
			b = m.dump(append(b, prefix...))
		}
	}
	for _, line := range p.tail {
		b = append(append(b, line...), '\n')
	}
	return b
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
	return end(b, m.extra)
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
	return end(b, m.extra)
}

func end(b []byte, extra []string) []byte {
	for _, w := range extra {
		b = append(append(b, ' '), w...)
	}
	return append(b, '\n')
}

// given is the item as the command line has it, with the options that were
// unknown.
func (c *command) given(it item, extra []string) []byte {
	return end([]byte(c.spell(it, false)), extra)
}
