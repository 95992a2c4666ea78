package netscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"nitrox/sources/bounds"
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

// Servers is what a read found of server entities: the domain name that each
// stands for; empty: an address.
type Servers struct{ byName map[string]finding[string] }

// Domain is that of the named server, or why it is not known.
func (s Servers) Domain(name string) (string, error) { return of(s.byName, name) }

// Servers looks up servers by their names. Only a server tells that a member
// stands for a domain name, whose address the member's row may show. A server
// that does not exist any more stands for none, and its members are gone with it.
func (c *Client) Servers(ctx context.Context, names []string) (Servers, error) {
	one := looked(func(ctx context.Context, name string) (string, error) {
		s, err := c.readServer(ctx, name)
		switch {
		case errors.Is(err, ErrGone):
			return "", nil
		case err != nil:
			return "", fmt.Errorf("look up the server %q: %w", printable(name), err)
		}
		return text(s.Domain), nil
	})
	all, err := kind[string]{
		costs: &c.serverCosts, all: "all servers", one: one, rows: func(string) int { return 1 },
		// That a list lacks a server does not say that there is none.
		bulk: func(ctx context.Context, names []string, limit int) (all map[string]finding[string], unwanted int, err error) {
			all = make(map[string]finding[string], len(names))
			err = c.eachServer(ctx, func() { clear(all); unwanted = 0 }, func(s server) (int64, error) {
				name := text(s.Name)
				if _, wanted := slices.BinarySearch(names, name); wanted {
					all[name] = found(text(s.Domain))
					return 200 + int64(len(s.Domain)), nil
				}
				if unwanted++; unwanted >= limit {
					return 0, errDear
				}
				return 0, nil
			})
			left := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return all[name].known })
			if err == nil && len(left) > 0 {
				var rest map[string]finding[string]
				rest, err = each(ctx, left, one)
				maps.Copy(all, rest)
			}
			return all, unwanted, err
		},
	}.read(ctx, c, names)
	return Servers{all}, err
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
	if err == nil && text(s.Name) == "" {
		err = errNameless
	}
	if err == nil {
		err = another(s.Name, name)
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
		if errors.As(b.errs[it.i], &e) && e.serverTaken() {
			conflicts = append(conflicts, it)
		}
	}
	if len(conflicts) == 0 || b.trouble != nil {
		return
	}
	servers, err := b.client.servers(ctx)
	if err != nil {
		for _, it := range conflicts {
			b.errs[it.i] = fmt.Errorf("%w; looking up its server: %w", b.errs[it.i], err)
		}
		return
	}
	var again []item
	for _, it := range conflicts {
		if it.server = servers[it.change.place()]; it.server != "" {
			again = append(again, it)
		} else {
			b.errs[it.i] = fmt.Errorf("%w; something else has the name that the address's server would get: %s", b.errs[it.i], it.change.ownServer())
		}
	}
	b.send(ctx, again)
}

// serverTaken: the address has a server already, or its name is another's.
func (e *Error) serverTaken() bool {
	return e.Code == codeServerExists || e.Code == codeNameConflict || e.Code == codeServerNameExists
}

// place is an address in a traffic domain: each domain has addresses of its own.
type place struct {
	addr netip.Addr
	td   int
}

func (ch Change) place() place { return place{ch.Addr.Addr().Unmap(), ch.TD} }

// ownServer is the remedy where the member's address has no server in the group's
// traffic domain, and its name is taken, which all domains share. How a NetScaler
// would name another is not documented, so that is the operator's.
func (ch Change) ownServer() string {
	p := ch.place()
	text := fmt.Sprintf("add a server for it under another name, such as: add server %s-td%d %s", p.addr, p.td, p.addr)
	if p.td != 0 {
		text += fmt.Sprintf(" -td %d", p.td)
	}
	return text
}

// servers are the names that the NetScaler has for addresses. It lists them
// all, once for all conflicts: a filter costs the appliance as much, and
// compares addresses as text.
func (c *Client) servers(ctx context.Context) (names map[place]string, err error) {
	err = c.eachServer(ctx, func() { names = map[place]string{} }, func(s server) (int64, error) {
		a, noAddr := netip.ParseAddr(text(s.IP))
		if td, err := domain(s.TD); err == nil && noAddr == nil && text(s.Domain) == "" {
			names[place{a.Unmap(), td}] = text(s.Name)
			return 100 + int64(len(s.Name)), nil
		}
		return 0, nil // others could not be meant
	})
	return names, err
}

// eachServer lists all servers; take gives back how much memory is kept of one. Each try
// begins anew.
func (c *Client) eachServer(ctx context.Context, begin func(), take func(server) (int64, error)) error {
	_, err := c.do(ctx, get("config/server", func(r io.Reader) (reply, error) {
		begin()
		return decodeReply(r, "server", list(func(dec *bounds.Decoder) (int64, error) {
			var s server
			if err := dec.Decode(&s); err != nil {
				return 0, err
			}
			return take(s)
		}))
	}))
	return err
}

// domain is a traffic domain: 0, where servers and groups are unless somebody says
// otherwise, or another, which may have the same addresses.
func domain(td []byte) (int, error) {
	if len(plain(td)) == 0 {
		return 0, nil
	}
	n, err := number(td)
	if err != nil {
		return 0, fmt.Errorf("the traffic domain: %w", err)
	}
	return n, nil
}
