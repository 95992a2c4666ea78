package netscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
)

// argument is a value in args, which NITRO decodes once.
func argument(value string) string { return strings.ReplaceAll(encode(value), "%3A", ":") }

// server is a server entity, by which a NetScaler knows an address.
type server struct {
	Name   json.RawMessage `json:"name"`
	IP     json.RawMessage `json:"ipaddress"`
	Domain json.RawMessage `json:"domain"`
	TD     json.RawMessage `json:"td"`
}

// leaveDomains drops the members whose server stands for a domain name: they
// are not Nitrox's to remove, and only the server tells. A server that is
// named by its address cannot be one.
func (b *batch) leaveDomains(ctx context.Context) {
	known := map[string]error{}
	var items []item
	for _, it := range b.items {
		if ownName(it.change.Member) || b.trouble != nil {
			items = append(items, it)
			continue
		}
		name := it.change.Server
		err, ok := known[name]
		if !ok {
			if err = b.client.noDomain(ctx, name); err != nil && !errors.Is(err, errDomain) && refused(err) == nil {
				b.stop(err)
			}
			known[name] = err
		}
		if err != nil {
			b.errs[it.i] = fmt.Errorf("not sent: %w", err)
			continue
		}
		items = append(items, it)
	}
	b.items = items
}

var errDomain = errors.New("stands for a domain name, so that the member is not one of Nitrox's")

func (c *Client) noDomain(ctx context.Context, name string) error {
	s, err := c.readServer(ctx, name)
	switch {
	case errors.Is(err, ErrGone):
		return nil // and its members with it
	case err != nil:
		return fmt.Errorf("look up the server %q: %w", printable(name), err)
	case text(s.Domain) != "":
		return fmt.Errorf("the server %q (%s) %w", printable(name), printable(text(s.Domain)), errDomain)
	}
	return nil
}

// readServer reads a server's own row. It is [ErrGone] if the appliance says that
// it has none of the name; an answer without the row is not that.
func (c *Client) readServer(ctx context.Context, name string) (s server, err error) {
	_, err = c.do(ctx, c.short(get("config/server/"+segment(name), func(r io.Reader) (reply, error) {
		s = server{}
		return decodeReply(r, "server", one(&s))
	})))
	if e := refused(err); e != nil && (e.Status == http.StatusNotFound || e.Code == codeNoSuchResource || e.Code == codeNoServer) {
		return s, ErrGone
	}
	if err == nil && !strings.EqualFold(text(s.Name), name) {
		err = errNameless
	}
	return s, err
}

// bindByName binds the members whose address the NetScaler has under another
// name, by that name. Binding by address would add a server, which the
// appliance refuses then: 1335, and 432 or 433 where the name is taken.
func (b *batch) bindByName(ctx context.Context) {
	var conflicts []item
	for _, it := range b.items {
		var e *Error
		if errors.As(b.errs[it.i], &e) && (e.Code == codeServerExists || e.Code == codeNameConflict || e.Code == codeServerNameExists) {
			conflicts = append(conflicts, it)
		}
	}
	if len(conflicts) == 0 || b.trouble != nil {
		return
	}
	names, err := b.client.servers(ctx)
	if err != nil {
		for _, it := range conflicts {
			b.errs[it.i] = fmt.Errorf("%w; and look up its server: %w", b.errs[it.i], err)
		}
		return
	}
	var again []item
	for _, it := range conflicts {
		if it.server = names[it.change.Addr.Addr().Unmap()]; it.server != "" {
			again = append(again, it)
		}
	}
	b.send(ctx, again)
}

// servers are the names that the NetScaler has for addresses. It lists them
// all, once for all conflicts: a filter costs the appliance as much, and
// compares addresses as text.
func (c *Client) servers(ctx context.Context) (names map[netip.Addr]string, err error) {
	_, err = c.do(ctx, get("config/server", func(r io.Reader) (reply, error) {
		names = map[netip.Addr]string{}
		return decodeReply(r, "server", list(func(dec *json.Decoder) error {
			var s server
			if err := dec.Decode(&s); err != nil {
				return err
			}
			if a, err := netip.ParseAddr(text(s.IP)); err == nil && text(s.Domain) == "" && inDefaultDomain(s.TD) {
				names[a.Unmap()] = text(s.Name)
			}
			return nil // others could not be meant
		}))
	}))
	return names, err
}

// inDefaultDomain: in the traffic domain 0, where servers are unless somebody
// says otherwise. Another domain may have the same address.
func inDefaultDomain(td []byte) bool {
	n, err := number(td)
	return len(td) == 0 || err == nil && n == 0
}
