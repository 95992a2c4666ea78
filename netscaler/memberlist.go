package netscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"
)

const memberList = "servicegroup_servicegroupmemberlist_binding"

// ErrNoMemberList is wrapped by the error of a ReplaceMembers that the group or the build
// does not take. Ordinary changes do instead.
var ErrNoMemberList = errors.New("does not take its members as a list")

// TakesMemberList says whether it is worth giving the group's members as a list: it
// is until that was refused.
func (c *Client) TakesMemberList(group string) bool {
	_, all := c.noList.Load("")
	_, one := c.noList.Load(group)
	return !all && !one
}

// replace gives each group its members as a whole ("NITRO documentation,
// servicegroup_servicegroupmemberlist_binding"). There is no form for several
// groups.
func (b *batch) replace(ctx context.Context) {
	b.begin(b.items)
	b.singly(ctx, b.items)
	for _, it := range b.items {
		e := refused(b.errs[it.i])
		if e == nil || errors.Is(b.errs[it.i], ErrNoOrder) {
			continue
		}
		whose, no := it.change.Group, false
		if it.change.TD != 0 && (e.serverTaken() || len(e.Failed) > 0) {
			failed := it.change
			if failed.Addr = failed.List[0].Addr; len(e.Failed) > 0 {
				failed.Addr = e.Failed[0]
			}
			b.errs[it.i] = fmt.Errorf("%w; if a server of another traffic domain has the name of an address: %s", e, failed.ownServer())
			continue
		}
		switch e.Code {
		case codeExists: // some builds refuse a list with members that are bound
			b.errs[it.i] = fmt.Errorf("%w: %w", ErrNoMemberList, e)
		case codeNotPermitted, codeNotAutoscale:
			no = true
		case codeObjectName, codeMethod, codeInvalidAction, codeInvalidArgument, codeNoSuchArgument:
			whose, no = "", true
		}
		if !no {
			continue
		}
		b.errs[it.i] = fmt.Errorf("%w: %w", ErrNoMemberList, e)
		if _, told := b.client.noList.LoadOrStore(whose, true); !told {
			b.client.log.WarnContext(ctx, "the NetScaler does not take members as a list; they are changed by ordinary calls", "group", it.change.Group, "error", e)
		}
	}
}

// checkList refuses a list that must not be sent. What NITRO makes of an empty
// one is not documented, and no plan is a reason to try.
func (ch Change) checkList() error {
	if len(ch.List) == 0 {
		return errors.New("not sent: an empty list would empty the service group")
	}
	seen := map[netip.AddrPort]bool{}
	for _, m := range ch.List {
		ch.Member = m
		switch {
		case !m.Addr.IsValid(), m.Addr.Addr().IsUnspecified(), m.Addr.Addr().Zone() != "", m.Addr.Port() == 0, m.NotOurs != "":
			return fmt.Errorf("not sent: %s cannot be in a list of addresses", ch.memberName())
		case m.Weight < 1 || m.Weight > 100:
			return fmt.Errorf("not sent: the weight %d of %s is not between 1 and 100", m.Weight, m.Addr)
		case m.Order < 0 || m.Order > maxOrder:
			return fmt.Errorf("not sent: the order %d of %s is not between 1 and %d", m.Order, m.Addr, maxOrder)
		case seen[m.Addr]:
			return fmt.Errorf("not sent: %s is in the list twice", m.Addr)
		}
		seen[m.Addr] = true
	}
	return nil
}

// list is the call that makes a group's members those of a change.
func (c *Client) list(ch Change) *call {
	type member struct {
		IP     netip.Addr `json:"ip"`
		Order  int        `json:"order,omitempty"` // builds before 13.1 do not know it
		Port   uint16     `json:"port"`
		State  string     `json:"state"`
		Weight int        `json:"weight"`
	}
	members := make([]member, len(ch.List))
	for i, m := range ch.List {
		members[i] = member{m.Addr.Addr().Unmap(), m.Order, m.Addr.Port(), "ENABLED", m.Weight}
		if m.State == Draining || m.State == Disabled {
			members[i].State = "DISABLED"
		}
	}
	return &call{
		method: http.MethodPut, path: "config/" + memberList,
		body:  map[string]any{memberList: map[string]any{"servicegroupname": ch.Group, "members": members}},
		limit: c.cfg.Timeout + time.Duration(len(ch.List)+ch.Out)*itemTimeout,
	}
}

type failedList struct {
	Failed []failedMember `json:"failedmembers"`
	Listed []failedMember `json:"failed_member_list"`
}

type failedMember struct{ IP, Port json.RawMessage }

// failedMembers are the members that a list's answer says could not be bound.
// The documentation and the official clients differ in the key, and whoever
// gives a list reads the group again anyway, so nothing here is an error.
func failedMembers(raw []byte) (failed []netip.AddrPort) {
	var groups []failedList
	if json.Unmarshal(raw, &groups) != nil {
		groups = make([]failedList, 1)
		if json.Unmarshal(raw, &groups[0]) != nil {
			return nil
		}
	}
	for _, g := range groups {
		for _, m := range append(g.Failed, g.Listed...) {
			a, err := netip.ParseAddr(text(m.IP))
			port, wrong := number(m.Port)
			if err == nil && wrong == nil && port > 0 && port <= 65535 {
				failed = append(failed, netip.AddrPortFrom(a.Unmap(), uint16(port)))
			}
		}
	}
	return failed
}
