package faults

import (
	"bytes"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"nitrox/netscaler/simulator"
)

// state is a NetScaler's configuration at one moment, read from its ns.conf: the
// judge believes neither Nitrox nor the answers that Nitrox was given.
type state struct {
	text     string
	lines    map[string]bool   // all but members and servers
	servers  map[string]string // name to address or domain
	members  map[key]member
	comments map[string]string // of service groups
}

// key is what NITRO tells members apart by. Names in a partition are "web/sg".
type key struct{ group, server, port string }

type member struct {
	line          string
	addr          netip.AddrPort // not valid for a domain, or for all ports
	weight, order string
	mark          string
	disabled      bool
}

func dump(s *simulator.Simulator) string {
	var b bytes.Buffer
	if err := s.Dump(&b); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.String()
}

func parse(text string) state {
	s := state{text: text, lines: map[string]bool{}, servers: map[string]string{}, members: map[key]member{}, comments: map[string]string{}}
	part := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "switch ns partition "):
			part = words[3] + "/"
		case strings.HasPrefix(line, "add server "):
			s.servers[part+words[2]] = words[3]
		case strings.HasPrefix(line, "bind serviceGroup ") && words[3] != "-monitorName":
			k := key{part + words[2], part + words[3], words[4]}
			m := member{line: line, weight: "1", disabled: strings.HasSuffix(line, " -state DISABLED")}
			if ip, err := netip.ParseAddr(s.servers[k.server]); err == nil {
				if port, err := strconv.ParseUint(k.port, 10, 16); err == nil {
					m.addr = netip.AddrPortFrom(ip, uint16(port))
				}
			}
			for i, w := range words {
				switch w {
				case "-weight":
					m.weight = words[i+1]
				case "-order":
					m.order = words[i+1]
				case "-CustomServerID":
					m.mark = words[i+1]
				}
			}
			s.members[k] = m
		default:
			if m := comment.FindStringSubmatch(line); m != nil {
				line = m[1] + m[4]
				s.comments[part+m[2]] = m[3]
			}
			s.lines[part+line] = true
		}
	}
	return s
}

// comment is that of a service group, in a line of its own or with its other settings.
var comment = regexp.MustCompile(`^((?:add|set) serviceGroup (\S+).*?) -comment ("[^"]*"|\S+)(.*)$`)

// enabled counts a group's members that may serve.
func (s state) enabled(group string) (n int) {
	for k, m := range s.members {
		if k.group == group && !m.disabled {
			n++
		}
	}
	return n
}

// at finds the group's member at an address.
func (s state) at(group string, addr netip.AddrPort) (key, member, bool) {
	for k, m := range s.members {
		if k.group == group && m.addr == addr {
			return k, m, true
		}
	}
	return key{}, member{}, false
}

// bound says whether a server is in any group.
func (s state) bound(server string) bool {
	for k := range s.members {
		if k.server == server {
			return true
		}
	}
	return false
}
