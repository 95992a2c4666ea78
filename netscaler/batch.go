package netscaler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// batch is the changes of one Do on their way.
type batch struct {
	client *Client
	op     Op
	until  context.Context // after it nothing is sent
	errs   []error         // by change
	items  []item
	// trouble is why nothing is sent any more: it is with the appliance as a whole, or
	// the time is over.
	trouble error
	// noOrder: the build does not know the order of members; after it none is
	// sent that has one.
	noOrder  error
	done, of int // of the items of a step
}

// begin begins a step that makes a change of each of the items.
func (b *batch) begin(items []item) {
	b.done, b.of = 0, len(items)
	b.settled(0)
}

// settled notes that it is known of n more items what became of them.
func (b *batch) settled(n int) {
	b.done += n
	if b.client.cfg.Progress != nil && b.of > 0 {
		b.client.cfg.Progress(b.op, b.done, b.of)
	}
}

// send sends items in arrays.
func (b *batch) send(ctx context.Context, items []item) {
	b.begin(items)
	for len(items) > 0 {
		n := min(chunk, len(items))
		b.array(ctx, items[:n])
		items = items[n:]
	}
}

// array sends up to a chunk of items in one call, and those that it left
// undone again: some builds stop at the first that fails, although they are
// asked to continue, and then answer a short or a padded list.
func (b *batch) array(ctx context.Context, items []item) {
	items = b.sendable(items)
	for len(items) > 1 && !b.over() && !b.client.noArray[b.op].Load() {
		bodies := make([]map[string]any, len(items))
		for i, it := range items {
			bodies[i] = it.body(b.op)
		}
		a, err := b.client.do(ctx, b.client.write(b.op, bodies, len(items)))
		var e *Error
		switch {
		case err == nil && len(a.items) == 0:
			b.settle(items, nil)
			return
		case err == nil, errors.As(err, &e) && e.Code == codeBulkFailed:
			left := b.results(items, a.items)
			if len(left) == len(items) {
				b.singly(ctx, items) // an answer that does not tell
				return
			}
			items = b.sendable(left)
		case errors.Is(err, errUnsaid):
			b.settle(items, err)
			return
		case refused(err) != nil && e.peerFailed():
			b.settle(items, b.client.holds(b.op, items[0].change.Group, e))
			return
		case refused(err) == nil || e.whole():
			b.settle(items, err)
			b.stop(err)
			return
		case e.names("") && slices.ContainsFunc(items, func(it item) bool { return b.lacks(it, e) }):
			items = b.sendable(items)
		default:
			// It may be the form that is refused, or one item in it.
			if b.singly(ctx, items) {
				b.client.noArray[b.op].Store(true)
				b.client.log.WarnContext(ctx, "the NetScaler refuses arrays; changes are made one by one", "op", b.op, "error", err)
			}
			return
		}
	}
	b.singly(ctx, items)
}

// whole: the refusal is of any change, so asking for each is pointless.
func (e *Error) whole() bool {
	switch e.Code {
	case codeOnlySecondary, codeOnlyPrimary, codeOnSecondary, codeClusterNode, codeClusterReadOnly, codeNotOnCluster:
		return true
	}
	return false
}

// results settles the items that an array's answer mentions, and returns the
// others.
func (b *batch) results(items []item, results []reply) (left []item) {
	for i, it := range items {
		if i >= len(results) || results[i].code == codeNotAttempted {
			left = append(left, it)
			continue
		}
		r := results[i]
		if r.done() {
			b.errs[it.i] = nil
			continue
		}
		e := &Error{Status: http.StatusMultiStatus, Code: r.code, Message: printable(r.message)}
		b.errs[it.i] = b.verdict(it, e)
	}
	b.settled(len(items) - len(left))
	return left
}

// verdict is the error of an item that was refused; nil where the appliance is
// as the change wants it.
func (b *batch) verdict(it item, e *Error) error {
	if b.lacks(it, e) {
		return b.lacking(it)
	}
	return b.client.holds(b.op, it.change.Group, e)
}

func (b *batch) hasOrder(it item) bool { return it.hasOrder(b.op) }

// lacks notes what the build does not have, if that is why it refused the item: the
// order of members, or the comment of a group.
func (b *batch) lacks(it item, e *Error) bool {
	refused := func(argument string) bool { return e.names(argument) || e.unknownArgument() && !e.names("") }
	switch {
	case b.hasOrder(it) && refused("order"):
		b.noOrder = noOrder(e)
	case it.comment(b.op) != "" && refused("comment"):
		if !b.client.noComment.Swap(true) {
			b.client.log.Warn("the NetScaler refuses comments; groups that no app claims any more are not found", "error", e)
		}
	default:
		return false
	}
	return true
}

// lacking is why an item is not sent to a build that is known to lack something; nil: it
// is. A member must not be bound without its order: a standby would serve.
func (b *batch) lacking(it item) error {
	switch {
	case b.hasOrder(it):
		return b.noOrder
	case b.client.noComment.Load() && it.comment(b.op) != "":
		return ErrNoComment
	}
	return nil
}

// sendable are the items of which the build lacks nothing.
func (b *batch) sendable(items []item) []item {
	lacking, rest := split(items, func(it item) bool { return b.lacking(it) != nil })
	for _, it := range lacking {
		b.settle([]item{it}, b.lacking(it))
	}
	return rest
}

// singly sends items one by one, and tells whether all went well. A group that
// the user may not write is asked for once.
func (b *batch) singly(ctx context.Context, items []item) (all bool) {
	all = true
	forbidden := map[string]error{}
	for _, it := range items {
		group := it.change.Group
		err := forbidden[group]
		if b.over() {
			err = b.trouble
		}
		if err == nil {
			err = b.lacking(it)
		}
		if err == nil {
			_, err = b.client.do(ctx, b.client.single(b.op, it))
			switch e := refused(err); {
			case err == nil, errors.Is(err, errUnsaid):
			case e == nil || e.whole():
				b.stop(err)
			case e.Status == http.StatusForbidden:
				forbidden[group] = err
			default:
				err = b.verdict(it, e)
			}
		}
		b.errs[it.i] = err
		b.settled(1)
		all = all && err == nil
	}
	return all
}

func (b *batch) settle(items []item, err error) {
	for _, it := range items {
		b.errs[it.i] = err
	}
	b.settled(len(items))
}

// over says whether nothing is sent any more.
func (b *batch) over() bool {
	if b.trouble == nil && b.until.Err() != nil {
		b.trouble = fmt.Errorf("%w: %w", ErrStopped, context.Cause(b.until))
	}
	return b.trouble != nil
}

// stop keeps what has to be said of the changes that are not sent any more.
// They are not unsure, whatever the one before was.
func (b *batch) stop(err error) {
	if errors.Is(err, ErrUnsure) {
		err = fmt.Errorf("the answer to the previous change was lost: %w", ErrUnavailable)
	}
	b.trouble = fmt.Errorf("not sent: %w", err)
}

// write is the call that makes changes; body is what stands under the type.
func (c *Client) write(op Op, body any, n int) *call {
	f := forms[op]
	k := &call{
		method: f.method, path: "config/" + f.kind + f.query, body: map[string]any{f.kind: body},
		limit: c.cfg.Timeout, array: n > 1,
	}
	if k.array {
		k.limit += time.Duration(n) * itemTimeout
	}
	return k
}

// single is the call for one change. A member is unbound by DELETE, which all
// builds have. In args the separators must not be encoded, nor the colons of
// an IPv6 address, which the official clients send as they are.
func (c *Client) single(op Op, it item) *call {
	if op == ReplaceMembers {
		return c.list(*it.change)
	}
	if op != Unbind {
		return c.write(op, it.body(op), 1)
	}
	return &call{
		method: http.MethodDelete,
		path: "config/" + memberBinding + "/" + segment(it.change.Group) +
			"?args=servername:" + argument(it.change.Server) + ",port:" + strconv.Itoa(int(it.change.Addr.Port())),
		limit: c.cfg.Timeout,
	}
}
