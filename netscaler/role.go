package netscaler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"time"

	"nitrox/sources/bounds"
)

// role is what a node answered to the question whether it may be written.
type role struct {
	mu  sync.Mutex
	at  time.Time
	err error // why not
}

// roleKept is how long the answer that a session in a partition began with is
// good: there the question cannot be asked again without a new session.
const roleKept = 30 * time.Second

// mayWrite holds for a session whose node said so, at its last asking. Also a
// session that had to be begun in the middle of a pass is asked, because a
// failover is what sessions die of. What was planned is written only to the
// node that the pass was found writable on.
func (c *Client) mayWrite(ctx context.Context, s *session, planned bool) error {
	if on := c.writes.Load(); planned && on != nil && on.base != s.base {
		return failedOver(on, s)
	}
	if at, err := s.role.known(); !at.IsZero() {
		return err
	}
	return c.askRole(ctx, s)
}

// failedOver ends a pass that began on one node of a pair and finds itself on
// the other.
func failedOver(from, to *session) error {
	return sessionError{fmt.Errorf("%w: the HA pair failed over in the middle of the pass, from %s to %s; the next pass continues there", ErrUnavailable, from.base, to.base)}
}

// Writable asks the appliance for its role, and is an error unless it is a
// primary, stand-alone or a cluster's address. Call it before the first write
// of a pass. Of a pair, the next session is then begun with the other node. If
// the members were read from a node that is not the primary any more, the error
// wraps [ErrUnavailable], and the next pass is well.
//
// With a partition the question must be asked before the session switches to
// it; if that was more than 30 s ago, a new session is begun.
func (c *Client) Writable(ctx context.Context) error {
	s, err := c.writable(ctx)
	if err != nil {
		return err
	}
	if from := c.members.Load(); from != nil && from.base != s.base {
		return failedOver(from, s)
	}
	c.writes.Store(s)
	return nil
}

func (c *Client) writable(ctx context.Context) (*session, error) {
	if c.cfg.Partition != "" {
		return c.writableInPartition(ctx)
	}
	var asked *session
	err := c.within(ctx, true, func(s *session) error {
		asked = s
		return c.askRole(ctx, s)
	})
	if err != nil && c.pair() && asked != nil {
		if out := c.leave(ctx, asked); out != nil {
			return nil, fmt.Errorf("%w; %w", err, out)
		}
	}
	return asked, err
}

func (c *Client) writableInPartition(ctx context.Context) (*session, error) {
	s, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	if at, err := s.role.known(); time.Since(at) < roleKept {
		return s, err
	}
	if err := c.leave(ctx, s); err != nil {
		return nil, err
	}
	if s, err = c.enter(ctx); err != nil {
		return nil, err
	}
	_, err = s.role.known()
	return s, err
}

func (r *role) known() (at time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at, r.err
}

// leave ends s if it is still the client's session.
func (c *Client) leave(ctx context.Context, s *session) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if c.session != s {
		return nil
	}
	return c.logout(ctx)
}

// unwritable is an [ErrUnavailable] that says so in its own words.
type unwritable struct{ error }

func (e unwritable) Unwrap() error        { return e.error }
func (e unwritable) Is(target error) bool { return target == ErrUnavailable }

// askRole asks the node of a session, and keeps the answer with it.
func (c *Client) askRole(ctx context.Context, s *session) error {
	err := c.readRole(ctx, s)
	if err != nil {
		err = sessionError{unwritable{fmt.Errorf("%s cannot be written: %w", s.base, err)}}
	}
	if ctx.Err() == nil { // else the caller's end is no answer of the node's: what is to be saved then asks again
		s.role.mu.Lock()
		defer s.role.mu.Unlock()
		s.role.at, s.role.err = time.Now(), err
	}
	return err
}

// readRole asks for the node's own row of hanode, which is what other tools
// rely on. Where that does not tell, stat/hanode may know that there is no
// pair at all. On a cluster's address both are refused by 1065.
func (c *Client) readRole(ctx context.Context, s *session) error {
	var node struct{ ID, State, IPAddress, HACurStatus, HACurMasterState json.RawMessage }
	_, err := c.send(ctx, s, c.short(get("config/hanode/0", func(r io.Reader) (reply, error) {
		node.ID, node.State, node.IPAddress = nil, nil, nil
		return decodeReply(r, "hanode", one(&node))
	})))
	if id := text(node.ID); err == nil && id != "" && id != "0" {
		return fmt.Errorf("ask for its HA role: %w node %q", errAnother, printable(id))
	}
	if a, noAddr := netip.ParseAddr(text(node.IPAddress)); err == nil && noAddr == nil {
		c.addresses.add(a)
	}
	switch e := refused(err); {
	case e != nil && e.Code == codeNotOnCluster:
		return nil
	case e != nil && (e.Code == codeClusterNode || e.Code == codeClusterReadOnly):
		return err
	case err != nil && e == nil:
		return fmt.Errorf("ask for its HA role: %w", err)
	}
	switch {
	case is(plain(node.State), "Primary"):
		return nil
	case is(plain(node.State), "Secondary"):
		return errors.New("it is the secondary node of the HA pair")
	}
	_, again := c.send(ctx, s, c.short(get("stat/hanode", func(r io.Reader) (reply, error) {
		node.HACurStatus, node.HACurMasterState = nil, nil
		return decodeReply(r, "hanode", one(&node))
	})))
	switch {
	case again != nil && err != nil:
		return fmt.Errorf("ask for its HA role: %w; %w", err, again)
	case again != nil:
		return fmt.Errorf("ask for its HA role: %w", again)
	case is(plain(node.HACurStatus), "NO"), is(plain(node.HACurMasterState), "Primary"):
		return nil
	case is(plain(node.HACurMasterState), "Secondary"), is(plain(node.HACurMasterState), "Stay Secondary"):
		return errors.New("it is the secondary node of the HA pair")
	}
	return fmt.Errorf("its HA role is not known (%s, %s)", quote(node.State), quote(node.HACurMasterState))
}

// Nodes are the addresses (NSIP) of the appliance, of both nodes of an HA pair, or
// of the nodes of a cluster, sorted: whatever URL leads to it, and whichever node
// is the primary, they are the same ("NITRO documentation, hanode and
// clusternode": all builds list them).
func (c *Client) Nodes(ctx context.Context) ([]netip.Addr, error) {
	nodes, err := c.nodes(ctx, "hanode")
	if e := refused(err); e != nil && e.Code == codeNotOnCluster {
		nodes, err = c.nodes(ctx, "clusternode")
	}
	if err != nil && !errors.As(err, new(sessionError)) {
		err = fmt.Errorf("ask which appliance it is: %w", err)
	}
	return nodes, err
}

func (c *Client) nodes(ctx context.Context, kind string) (nodes []netip.Addr, err error) {
	rows, err := objects[struct{ IPAddress json.RawMessage }](ctx, c, kind, "")
	for _, row := range rows {
		addr, wrong := netip.ParseAddr(text(row.IPAddress))
		if wrong != nil {
			return nil, fmt.Errorf("%w: a node without an address: %w", errUnreadable, wrong)
		}
		nodes = append(nodes, addr.Unmap())
	}
	if err == nil && len(nodes) == 0 {
		err = errNameless
	}
	slices.SortFunc(nodes, netip.Addr.Compare)
	c.addresses.add(nodes...)
	return nodes, err
}

// one reads an object, or the first of a list: NITRO answers singletons as
// objects and all else as lists.
func one(into any) reading {
	return reading{bounds.Whole, func(dec *bounds.Decoder) error {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		in := json.NewDecoder(bytes.NewReader(raw))
		if raw[0] == '[' {
			if _, err := in.Token(); err != nil || !in.More() {
				return err
			}
		}
		return in.Decode(into)
	}}
}
