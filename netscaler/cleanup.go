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

// ErrInUse is wrapped by the error of a RemoveServer that was not sent, because
// something uses the server, or it is not what binding an address makes.
var ErrInUse = errors.New("kept, because something still uses it")

// ErrGone is wrapped by the error of a RemoveServer of a server that is not
// there any more.
var ErrGone = errors.New("already gone")

// removeServers removes the servers that nothing uses. The appliance removes
// the members of a server with it, without a word, so each is looked at right
// before; somebody who binds it in between loses that binding.
func (b *batch) removeServers(ctx context.Context) {
	b.begin(b.items)
	asked := map[string]bool{}
	for _, it := range b.items {
		var err error
		switch name := it.change.Server; {
		case b.over():
			err = b.trouble
		case asked[name]:
			err = ErrGone
		default:
			asked[name] = true
			if err = b.client.removeServer(ctx, *it.change); err != nil && refused(err) == nil && !errors.Is(err, ErrInUse) && !errors.Is(err, ErrGone) {
				b.stop(err)
			}
		}
		b.errs[it.i] = err
		b.settled(1)
	}
}

func (c *Client) removeServer(ctx context.Context, ch Change) error {
	s, err := c.readServer(ctx, ch.Server)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(text(s.IP)); err != nil || ip.Unmap() != ch.Addr.Addr() || text(s.Domain) != "" {
		return fmt.Errorf("%w: its server has another address", ErrInUse)
	}
	var bindings map[string]json.RawMessage
	_, err = c.do(ctx, get("config/server_binding/"+segment(ch.Server), func(r io.Reader) (reply, error) {
		bindings = nil
		return decodeReply(r, "server_binding", one(&bindings))
	}))
	if err != nil {
		return err
	}
	// Only the server's own row can say that it is in no binding.
	if !strings.EqualFold(text(bindings["name"]), ch.Server) {
		return fmt.Errorf("read the bindings of the server %s: %w", printable(ch.Server), errNameless)
	}
	for kind, raw := range bindings {
		if rows := strings.Join(strings.Fields(string(raw)), ""); strings.HasSuffix(strings.ToLower(kind), "_binding") && rows != "[]" {
			return fmt.Errorf("%w: %s", ErrInUse, printable(kind))
		}
	}
	_, err = c.do(ctx, &call{method: http.MethodDelete, path: "config/server/" + segment(ch.Server), limit: c.cfg.Timeout})
	if e := refused(err); e != nil && e.gone() {
		return ErrGone
	}
	return err
}
