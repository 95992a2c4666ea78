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
	OrderStr json.RawMessage `json:"orderstr"`
	Reason   json.RawMessage `json:"trofsreason"`
	Ticks    json.RawMessage `json:"tickssincelaststatechange"`
}

// member is what the row says. A member that is odd is still a member, and
// somebody else's. The error is that the row does not say which member it is of,
// whether that is enabled, or how it serves.
func (r *row) member() (m Member, err error) {
	m = Member{Weight: 1, Server: text(r.Server)}
	for _, v := range []json.RawMessage{r.IP, r.Port, r.Server, r.State, r.SvrState, r.Weight, r.Order, r.CustomID, r.Graceful, r.Reason} {
		if len(v) > 0 && (v[0] == '{' || v[0] == '[') {
			return m, fmt.Errorf("the member %s has %s where a text or a number is expected", quote(r.Server), quote(v))
		}
	}
	state, svrState := plain(r.State), plain(r.SvrState)
	switch {
	case len(plain(r.IP)) == 0:
		return m, fmt.Errorf("the member %s has no address", quote(r.Server))
	case len(plain(r.Port)) == 0:
		return m, fmt.Errorf("the member %s has no port", quote(r.Server))
	case len(state)+len(svrState) == 0, len(state) > 0 && !is(state, "ENABLED") && !is(state, "DISABLED"):
		return m, fmt.Errorf("the state of the member %s is not known: %s", quote(r.Server), quote(r.State))
	}
	m.Addr, m.NotOurs = r.addr(m.Server)
	if strings.ContainsFunc(m.Server, func(c rune) bool { return !unicode.IsPrint(c) }) {
		m.Server, m.NotOurs = printable(m.Server), "the name of its server cannot be printed"
	}
	if weight := plain(r.Weight); len(weight) > 0 {
		n, err := number(weight)
		if err != nil {
			return m, fmt.Errorf("the weight of the member %s: %w", quote(r.Server), err)
		}
		m.Weight = min(max(n, 1), 100)
	}
	m.State = stateOf(state, svrState)
	m.Up = is(svrState, "UP")
	r.mark(&m)
	if m.Order, err = r.order(); err != nil {
		return m, err
	}
	// Of 10 ms ("NITRO documentation, servicegroup_servicegroupmember_binding"). It is
	// for people only, so that one which cannot be read is one that is not told.
	if ticks := plain(r.Ticks); len(ticks) > 0 {
		if n, err := number(ticks); err == nil {
			m.Lasts = time.Duration(min(max(n, 0), 1<<40)) * 10 * time.Millisecond
		}
	}
	if m.State == Draining {
		// Seconds; the bound keeps nonsense from overflowing.
		if n, err := number(r.Delay); err == nil {
			m.Remaining = time.Duration(min(max(n, 0), 1<<31)) * time.Second
		}
	}
	return m, nil
}

// maxOrder is the last order that a member can have.
const maxOrder = 8192

// order is that of the member; 0 is the default. NITRO gives the number where it
// is set, and in orderstr the same as text, or Default ("NITRO documentation,
// servicegroup_servicegroupmember_binding"). An order that cannot be read is not
// the default: given back as that, it would put a standby into service.
func (r *row) order() (int, error) {
	n, err := orderOf(r.Order)
	named, wrong := orderOf(r.OrderStr)
	switch {
	case err == nil && n > 0 && (wrong != nil || named == 0 || named == n):
		return n, nil
	case err == nil && n == 0 && wrong == nil:
		return named, nil
	}
	return 0, fmt.Errorf("the order of the member %s is not known: %s, %s", quote(r.Server), quote(r.Order), quote(r.OrderStr))
}

func orderOf(raw []byte) (int, error) {
	if p := plain(raw); len(p) == 0 || is(p, "Default") {
		return 0, nil
	}
	n, err := number(raw)
	if err == nil && (n < 0 || n > maxOrder) {
		err = fmt.Errorf("the order %d is not between 1 and %d", n, maxOrder)
	}
	return n, err
}

// wildcardPort is how NITRO shows the port *, which stands for all ports
// ("NITRO documentation, servicegroupmember").
const wildcardPort = 65535

// addr is the member's address, or why it has none that can be Nitrox's.
func (r *row) addr(server string) (addr netip.AddrPort, notOurs string) {
	ip := server // most have the name of their address, and one text costs less than two
	if p := plain(r.IP); string(p) != server {
		ip = string(p)
	}
	a, err := netip.ParseAddr(ip)
	switch {
	case err == nil && a.IsUnspecified():
		// An FQDN member whose name does not resolve shows 0.0.0.0.
		return addr, "its server " + quote(r.Server) + " is domain-based"
	case err != nil:
		return addr, "its address " + quote(r.IP) + " cannot be read"
	}
	a = a.Unmap()
	port, err := number(r.Port)
	if string(plain(r.Port)) == "*" || err == nil && port == wildcardPort {
		return netip.AddrPortFrom(a, wildcardPort), "it is bound to all ports"
	}
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
		return DisabledAbove
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
