package netscaler

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// markPrefix begins every mark.
const markPrefix = "nitrox-"

// DrainMark is what Nitrox writes into the custom server ID (customserverid) of
// a member before it disables it, and takes out when it enables it again. It is
// a setting of the member that is saved, replicated and shown in every row, so
// that runs which know nothing of each other tell their drains from what an
// operator disabled.
//
// It holds the address because custom server IDs are to be unique. How long
// they may be is not documented; the longest mark has 52 characters, and one
// that is refused for its length is cut to 31, which those of IPv4 never reach.
func DrainMark(addr netip.AddrPort) string {
	return fmt.Sprintf("%s%s-%d", markPrefix, addr.Addr(), addr.Port())
}

// noMark is the custom server ID of a member that has none.
const noMark = "None"

// mark tells from the row whether Nitrox is removing the member. It runs for
// each of 100,000 rows.
func (r *row) mark(m *Member) {
	switch id := strings.Trim(string(plain(r.CustomID)), `\"`); {
	case len(r.CustomID) == 0:
		m.NoMark = true
	case id == "", strings.EqualFold(id, noMark):
	case isMark(id, m.Addr):
		m.Mark = true
	default:
		m.NoMark = true
	}
	if m.State != Draining && m.State != Disabled {
		return
	}
	m.Leaving = strings.Contains(strings.ToLower(string(plain(r.Reason))), "graceful unbind")
	m.Mark = m.Mark || m.Leaving || m.NoMark && is(plain(r.Graceful), "YES")
}

// mark is the mark of an item, cut if the whole one is too long.
func (it item) mark() string {
	const most = 31
	text := DrainMark(it.change.Addr)
	if it.cut {
		text = text[:min(len(text), most)]
	}
	return text
}

// isMark also takes a mark that was cut short.
func isMark(id string, addr netip.AddrPort) bool {
	id = strings.ToLower(id)
	return len(id) > len(markPrefix) && strings.HasPrefix(id, markPrefix) && strings.HasPrefix(DrainMark(addr), id)
}

// drain marks the members, and disables those that are marked.
func (b *batch) drain(ctx context.Context) {
	marked, unmarked := split(b.items, func(it item) bool { return it.change.Mark || it.change.NoMark })
	done := b.step(ctx, markMember, unmarked)
	long, _ := split(unmarked, func(it item) bool {
		e := refused(b.errs[it.i])
		return e != nil && e.Code == codeTooLong
	})
	for i := range long {
		long[i].cut = true
	}
	done = append(done, b.step(ctx, markMember, long)...)
	done = append(done, b.see(ctx, unmarked, func(m Member) bool { return m.Mark })...)
	for _, it := range unmarked {
		if e := refused(b.errs[it.i]); e != nil && !e.noGroup(it.change.Group) {
			b.errs[it.i] = fmt.Errorf("not drained, because the member cannot be marked and a later run would take the disable for an operator's: %w; drain: 0s unbinds without a mark", e)
		}
	}
	b.step(ctx, Drain, append(marked, done...))
}

// enable enables the members, and lifts the marks of those that are enabled.
func (b *batch) enable(ctx context.Context) {
	enabled, disabled := split(b.items, func(it item) bool { return it.change.State == Enabled })
	enabled = append(enabled, b.step(ctx, Enable, disabled)...)
	enabled = append(enabled, b.see(ctx, disabled, func(m Member) bool { return m.State == Enabled })...)
	marked, _ := split(enabled, func(it item) bool { return it.change.Mark && !it.change.NoMark && !it.change.Leaving })
	b.step(ctx, unmarkMember, marked)
	for _, it := range marked {
		if err := b.errs[it.i]; err != nil {
			b.errs[it.i] = fmt.Errorf("it is enabled, but its mark could not be removed: %w", err)
		}
	}
}

// step makes one step of changes, and returns those that succeeded.
func (b *batch) step(ctx context.Context, op Op, items []item) []item {
	b.op = op
	b.send(ctx, items)
	done, _ := split(items, func(it item) bool { return b.errs[it.i] == nil })
	return done
}

// see looks at those of the items whose last step was answered without saying
// that it was made, and returns those of which the look shows it. The next step
// must not stand on less.
func (b *batch) see(ctx context.Context, items []item, made func(Member) bool) (seen []item) {
	unsaid, _ := split(items, func(it item) bool { return errors.Is(b.errs[it.i], errUnsaid) })
	if len(unsaid) == 0 {
		return nil
	}
	names := make([]string, len(unsaid))
	for i, it := range unsaid {
		names[i] = it.change.Group
	}
	groups, err := b.client.Read(ctx, names)
	type place struct {
		group string
		addr  netip.AddrPort
	}
	shown := map[place]bool{}
	for _, group := range slices.Compact(slices.Sorted(slices.Values(names))) {
		members, _ := groups.Members(group) // the error is each item's
		for _, m := range members {
			shown[place{group, m.Addr}] = shown[place{group, m.Addr}] || made(m)
		}
	}
	for _, it := range unsaid {
		_, wrong := groups.Members(it.change.Group)
		switch {
		case err != nil:
			b.errs[it.i] = fmt.Errorf("%w; reading it again: %w", b.errs[it.i], err)
		case wrong != nil:
			b.errs[it.i] = fmt.Errorf("%w; reading it again: %w", b.errs[it.i], wrong)
		case shown[place{it.change.Group, it.change.Addr}]:
			b.errs[it.i] = nil
			seen = append(seen, it)
		}
	}
	return seen
}

func split(items []item, f func(item) bool) (yes, no []item) {
	for _, it := range items {
		if f(it) {
			yes = append(yes, it)
		} else {
			no = append(no, it)
		}
	}
	return yes, no
}
