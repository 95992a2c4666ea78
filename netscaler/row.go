package netscaler

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
)

// row is a member as NITRO lists it (servicegroup_servicegroupmember_binding).
// The values are kept as they came: numbers arrive as numbers or as strings,
// and old builds leave keys out.
//
// A row is used again for the next one, which saves most allocations of a read
// of 100,000 members: a RawMessage keeps its memory.
type row struct {
	Group    json.RawMessage `json:"servicegroupname"`
	IP       json.RawMessage `json:"ip"`
	Port     json.RawMessage `json:"port"`
	Server   json.RawMessage `json:"servername"`
	Weight   json.RawMessage `json:"weight"`
	State    json.RawMessage `json:"state"`
	SvrState json.RawMessage `json:"svrstate"`
	Graceful json.RawMessage `json:"graceful"`
	Delay    json.RawMessage `json:"delay"`
	CustomID json.RawMessage `json:"customserverid"`
	Order    json.RawMessage `json:"order"`
	Reason   json.RawMessage `json:"trofsreason"`
}

func (r *row) read(dec *json.Decoder) error {
	*r = row{
		r.Group[:0], r.IP[:0], r.Port[:0], r.Server[:0], r.Weight[:0],
		r.State[:0], r.SvrState[:0], r.Graceful[:0], r.Delay[:0],
		r.CustomID[:0], r.Order[:0], r.Reason[:0],
	}
	return dec.Decode(r)
}

// member is what the row says. Nothing in a row is an error: a member that
// cannot be understood is still a member, and somebody else's.
func (r *row) member() Member {
	m := Member{Weight: 1, Server: text(r.Server)}
	m.Addr, m.Alien = r.addr()
	if strings.ContainsFunc(m.Server, func(c rune) bool { return !unicode.IsPrint(c) }) {
		m.Server, m.Alien = printable(m.Server), "the name of its server cannot be printed"
	}
	if n, err := number(r.Weight); err == nil {
		m.Weight = min(max(n, 1), 100)
	}
	state, svrState := plain(r.State), plain(r.SvrState)
	m.State = stateOf(state, svrState)
	m.Up = is(svrState, "UP")
	r.mark(&m)
	if n, err := number(r.Order); err == nil {
		m.Order = max(n, 0)
	}
	if m.State == Draining {
		// Seconds; the bound keeps nonsense from overflowing.
		if n, err := number(r.Delay); err == nil {
			m.Left = time.Duration(min(max(n, 0), 1<<31)) * time.Second
		}
	}
	return m
}

// addr is the member's address, or why it has none that can be Nitrox's.
func (r *row) addr() (addr netip.AddrPort, alien string) {
	ip := plain(r.IP)
	a, err := netip.ParseAddr(string(ip))
	switch {
	case len(ip) == 0, err == nil && a.IsUnspecified():
		// An FQDN member whose name does not resolve shows 0.0.0.0.
		return addr, "its server " + quote(r.Server) + " stands for a domain name"
	case err != nil:
		return addr, "its address " + quote(r.IP) + " cannot be read"
	}
	a = a.Unmap()
	if string(plain(r.Port)) == "*" {
		return netip.AddrPortFrom(a, 65535), "it stands for all ports"
	}
	port, err := number(r.Port)
	if err != nil || port < 1 || port > 65535 {
		return addr, "its port " + quote(r.Port) + " cannot be read"
	}
	return netip.AddrPortFrom(a, uint16(port)), ""
}

// stateOf tells the administrative state from the member's own setting, state,
// and from svrstate, which also knows of its server, its group and its health
// ("NITRO documentation, servicegroup_servicegroupmember_binding"). Builds
// before 11 have no state.
func stateOf(state, svrState []byte) State {
	var (
		out   = is(svrState, "OUT OF SERVICE") || is(svrState, "DISABLED")
		going = is(svrState, "GOING OUT OF SERVICE") || is(svrState, "DOWN WHEN GOING OUT OF SERVICE")
	)
	switch enabled := is(state, "ENABLED"); {
	case enabled && out:
		return Suspended
	case enabled:
		return Enabled
	case going:
		return Draining
	case out, is(state, "DISABLED"):
		return Disabled
	}
	return Enabled
}

// plain is text without the cost of a string. Values with escapes, which those
// it is used for do not have, are left as they are.
func plain(raw []byte) []byte {
	p, _ := unquoted(raw)
	return p
}

// is compares without regard to case, in which releases differ.
func is(value []byte, word string) bool {
	return len(value) == len(word) && strings.EqualFold(string(value), word)
}

func quote(raw []byte) string { return fmt.Sprintf("%q", printable(text(raw))) }
