package netscaler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nitrox/sources/bounds"
)

// chunk is how many changes go into one call. NITRO documents no limit.
const chunk = 500

// Do makes changes that are all of the kind op, in arrays of up to 500, and
// says of each how it went: errs[i] is nil if changes[i] was made.
//
// An error that wraps [ErrUnsure] means that it may or may not hold now; so does
// the answer that a member to bind exists, or that one to unbind does not. After trouble
// with the appliance as a whole the rest is not sent, nor is it once ctx has ended
// ([ErrStopped]): the call under way is finished, for which it has [bounds.LastCalls] then.
// A change that does not name its group, server (or address) and port is
// refused, because NITRO would make it to the whole group.
func (c *Client) Do(ctx context.Context, op Op, changes []Change) (errs []error) {
	errs = make([]error, len(changes))
	b := &batch{client: c, op: op, errs: errs, until: ctx}
	ctx, cancel := bounds.Outlast(ctx)
	defer cancel()
	for i, change := range changes {
		if errs[i] = change.check(op); errs[i] == nil {
			b.items = append(b.items, item{i: i, change: &changes[i]})
		}
	}
	switch op {
	case Drain:
		b.drain(ctx)
	case Enable:
		b.enable(ctx)
	case Bind:
		b.send(ctx, b.items)
		b.bindByName(ctx)
	case ReplaceMembers:
		b.replace(ctx)
	case RemoveServer:
		b.removeServers(ctx)
	case AddGroup:
		b.send(ctx, b.items)
		b.addPlain(ctx)
	default:
		b.send(ctx, b.items)
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("service group %s: %s %s: %w", changes[i].Group, op, changes[i].name(), err)
		}
	}
	return errs
}

// name is the member as people know it.
func (ch Change) name() string {
	switch c := ch.Create; {
	case ch.Op == ReplaceMembers:
		return "its members"
	case ch.Op == RemoveServer:
		return printable(ch.Server)
	case ch.Op == Mark:
		return fmt.Sprintf("%q", printable(ch.Comment))
	case ch.Op == AddGroup && c != nil:
		return c.ServiceType
	case c != nil && c.VServer != nil:
		return c.VServer.Name
	}
	return ch.memberName()
}

func (ch Change) memberName() string {
	if ch.Addr.IsValid() {
		return ch.Addr.String()
	}
	return fmt.Sprintf("%q", printable(ch.Server))
}

// check refuses what must not be sent.
func (ch Change) check(op Op) error {
	switch {
	case ch.Op != op:
		return fmt.Errorf("not sent: a %s among %ss", ch.Op, op)
	case ch.Group == "":
		return errors.New("not sent: it names no service group")
	case strings.ContainsAny(ch.Group, "[]"):
		return errRange
	case op == ReplaceMembers:
		return ch.checkList()
	case op < Bind:
		return ch.checkCreation(op)
	case op == Mark:
		return checkComment(ch.Comment)
	case op == RemoveServer && !ch.OwnName():
		return errors.New("not sent: the server's name is not its address")
	case ch.NotOurs != "":
		return fmt.Errorf("not sent: %s", ch.NotOurs)
	case !ch.Addr.IsValid(), ch.Addr.Addr().IsUnspecified(), ch.Addr.Addr().Zone() != "":
		return errors.New("not sent: it names no address")
	case ch.Addr.Port() == 0, ch.Addr.Port() == wildcardPort:
		return errors.New("not sent: it does not name one port")
	case op != Bind && ch.Server == "":
		return errors.New("not sent: it names no server")
	case (op == Bind || op == Set) && (ch.Weight < 1 || ch.Weight > 100):
		return fmt.Errorf("not sent: the weight %d is not between 1 and 100", ch.Weight)
	case ch.Order < 0 || ch.Order > maxOrder:
		return fmt.Errorf("not sent: the order %d is not between 1 and %d", ch.Order, maxOrder)
	case op == Drain && ch.Delay <= 0:
		return errors.New("not sent: a drain needs a delay")
	case op != Bind && strings.ContainsAny(ch.Server, "[]"):
		return errRange
	}
	return nil
}

// The command line of the appliance reads a range of names in brackets.
var errRange = errors.New("not sent: a name with brackets means several")

// item is a change on its way. NITRO takes either an address or a server's
// name, never both (error 1092).
type item struct {
	i      int // of the change
	change *Change
	server string // to bind by; empty: by address
	cut    bool   // the mark is too long
	plain  bool   // to be made without its comment
}

// body is the item as the call for op takes it. More keys than these are
// refused.
func (it item) body(op Op) map[string]any {
	comment := it.comment(op)
	if op < Bind {
		return it.change.creation(op, comment)
	}
	if op == Mark {
		return map[string]any{"servicegroupname": it.change.Group, "comment": comment}
	}
	b := map[string]any{"servicegroupname": it.change.Group, "port": it.change.Addr.Port()}
	switch {
	case op != Bind:
		b["servername"] = it.change.Server
	case it.server != "":
		b["servername"] = it.server
	default:
		b["ip"] = it.change.Addr.Addr().Unmap().String()
	}
	switch op {
	case Bind:
		b["weight"] = it.change.Weight
	case Set:
		if it.change.Weight != it.change.Was.Weight {
			b["weight"] = it.change.Weight
		}
	case Drain:
		b["graceful"] = "YES"
		b["delay"] = int64((it.change.Delay + time.Second - 1) / time.Second)
	case markMember:
		b["customserverid"] = it.mark()
	case unmarkMember:
		b["customserverid"] = noMark
	}
	if it.hasOrder(op) {
		b["order"] = it.change.Order
	}
	return b
}

// hasOrder: the call for op says an order, which builds before 13.1 do not know.
func (it item) hasOrder(op Op) bool {
	switch op {
	case Bind:
		return it.change.Order > 0
	case Set:
		return it.change.Order != it.change.Was.Order
	case ReplaceMembers:
		return slices.ContainsFunc(it.change.List, func(m Member) bool { return m.Order > 0 })
	}
	return false
}

// form is the NITRO call for a kind of change ("NITRO documentation,
// servicegroup and servicegroup_servicegroupmember_binding"): all take an
// object, or an array.
type form struct{ method, kind, query string }

var forms = [...]form{
	AddVServer:  {http.MethodPost, "lbvserver", ""},
	AddGroup:    {http.MethodPost, "servicegroup", ""},
	BindVServer: {http.MethodPut, vserverBinding, ""},

	Bind:   {http.MethodPut, memberBinding, ""},
	Enable: {http.MethodPost, "servicegroup", "?action=enable"},
	Set:    {http.MethodPut, "servicegroup", ""},
	Mark:   {http.MethodPut, "servicegroup", ""},
	Drain:  {http.MethodPost, "servicegroup", "?action=disable"},
	Unbind: {http.MethodPost, memberBinding, "?action=unbind"},

	markMember:   {http.MethodPut, "servicegroup", ""},
	unmarkMember: {http.MethodPut, "servicegroup", ""},
}

// holds is the error of a change whose call was answered by e: nil where the
// appliance is as the change wants it.
func (c *Client) holds(op Op, group string, e *Error) error {
	switch {
	case op >= Bind && e.noGroup(group):
		return fmt.Errorf("%w; %w", e, ErrNoGroup)
	case op <= Bind && e.Code == codeExists, op == Unbind && e.gone():
		return fmt.Errorf("%w: %w", ErrUnsure, e)
	case e.peerFailed():
		c.log.Warn("the change was made on the primary, but not yet on its peer", "op", op, "group", group, "error", e)
		return nil
	}
	return e
}

// peerFailed: the change was made, but did not reach the other node yet; the
// pair puts that right by itself ("NITRO documentation, error 349").
func (e *Error) peerFailed() bool {
	return e.Code == codePeerFailed || e.Code == codePeerUnreachable || e.Code == codePeerTimeout
}

// gone: there is nothing to unbind. Which code a build uses for a member that
// is not bound is not documented.
func (e *Error) gone() bool {
	switch e.Code {
	case codeNoSuchResource, codeNoService, codeNoServer, codeNoServiceGroup, codeNoBind, codeNotBound:
		return true
	}
	return e.Status == http.StatusNotFound && e.Code != 0
}

// Save keeps the running configuration over a reboot, also what others have
// changed in it. Nothing to save is not an error.
func (c *Client) Save(ctx context.Context) error {
	_, err := c.do(ctx, &call{
		method: http.MethodPost, path: "config/nsconfig?action=save", limit: longTimeout, harmless: true,
		body: map[string]any{"nsconfig": struct{}{}},
	})
	switch e := refused(err); {
	case e != nil && e.Code == codeUnchanged:
		return nil
	case e != nil && e.peerFailed():
		c.log.WarnContext(ctx, "the configuration was saved on the primary, but not on its peer", "error", e)
		return nil
	}
	if err != nil {
		return fmt.Errorf("save the configuration: %w", err)
	}
	return nil
}

// OwnName: the server is named by its address, so that it has no domain.
func (m Member) OwnName() bool {
	a, err := netip.ParseAddr(m.Server)
	return err == nil && a.Unmap() == m.Addr.Addr().Unmap()
}
