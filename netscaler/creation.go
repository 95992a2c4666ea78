package netscaler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nitrox/sources/bounds"
)

// Creation is how a missing service group is made, and the virtual server in
// front of it.
type Creation struct {
	ServiceType string // HTTP, SSL, TCP and so on; the virtual server has it too
	// MemberList makes a group whose members are given as a whole
	// (autoscale API). Members that leave it are drained for Drain, in whole
	// seconds; 0: unbound at once.
	MemberList bool
	Drain      time.Duration
	VServer    *VServer // nil: none
	Comment    string   // of the group; empty: none. A build that refuses it gets the group without
}

// VServer is a load-balancing virtual server that a service group is bound to.
type VServer struct {
	Name string
	// Addr is where it is made if it is missing; not valid: it must be there.
	Addr netip.AddrPort
	// Method is the load-balancing method; empty: the NetScaler's default.
	Method string
}

// FrontEnd is a virtual server as it was read.
type FrontEnd struct {
	Exists bool
	VServer
	ServiceType string
	Groups      []string // the service groups that are bound to it
}

// Bound says whether the service group is bound to the virtual server.
func (f FrontEnd) Bound(group string) bool {
	return slices.ContainsFunc(f.Groups, func(name string) bool { return strings.EqualFold(name, group) })
}

const vserverBinding = "lbvserver_servicegroup_binding"

// checkCreation refuses what does not say what to make.
func (ch Change) checkCreation(op Op) error {
	switch c := ch.Create; {
	case c == nil, op != AddGroup && (c.VServer == nil || c.VServer.Name == ""):
		return errors.New("not sent: it does not say what to create")
	case c.VServer != nil && strings.ContainsAny(c.VServer.Name, "[]"):
		return errRange
	case op != BindVServer && c.ServiceType == "":
		return errors.New("not sent: it names no service type")
	case op == AddVServer && (!c.VServer.Addr.IsValid() || c.VServer.Addr.Port() == 0):
		return errors.New("not sent: it names no address for the virtual server")
	case op == AddGroup && c.Comment != "":
		return checkComment(c.Comment)
	}
	return nil
}

// creation is the body of a call that makes something ("NITRO documentation,
// servicegroup, lbvserver and lbvserver_servicegroup_binding").
func (ch Change) creation(op Op, comment string) map[string]any {
	c := ch.Create
	switch op {
	case AddVServer:
		b := map[string]any{"name": c.VServer.Name, "servicetype": c.ServiceType, "ipv46": c.VServer.Addr.Addr().String(), "port": c.VServer.Addr.Port()}
		if c.VServer.Method != "" {
			b["lbmethod"] = c.VServer.Method
		}
		return b
	case BindVServer:
		return map[string]any{"name": c.VServer.Name, "servicegroupname": ch.Group}
	}
	b := map[string]any{"servicegroupname": ch.Group, "servicetype": c.ServiceType}
	if comment != "" {
		b["comment"] = comment
	}
	if c.MemberList { // builds before 13.0 do not know these
		b["autoscale"] = "API"
		if c.Drain > 0 {
			b["autodisablegraceful"], b["autodisabledelay"] = "YES", int64(c.Drain/time.Second)
		}
	}
	return b
}

// FrontEnds is what a read found of virtual servers.
type FrontEnds struct{ byName map[string]finding[FrontEnd] }

// Of is the virtual server of that name, or why nothing is known of it. One that
// the appliance says it does not have does not exist.
func (f FrontEnds) Of(name string) (FrontEnd, error) { return of(f.byName, name) }

// FrontEnds reads virtual servers by their names, and what is bound to them.
// There is no reading of all at once: a list of 14,000 virtual servers was seen
// to stall an appliance.
func (c *Client) FrontEnds(ctx context.Context, names []string) (FrontEnds, error) {
	all, err := lookUp(ctx, names, func(ctx context.Context, name string) (FrontEnd, error) {
		f, err := c.frontEnd(ctx, name)
		if err != nil {
			err = fmt.Errorf("read lb vserver %s: %w", name, err)
		}
		return f, err
	})
	return FrontEnds{all}, err
}

func (c *Client) frontEnd(ctx context.Context, name string) (FrontEnd, error) {
	f := FrontEnd{VServer: VServer{Name: name}}
	var v struct{ Name, ServiceType, IPv46, Port, LBMethod json.RawMessage }
	_, err := c.do(ctx, c.short(get("config/lbvserver/"+segment(name), func(r io.Reader) (reply, error) {
		v.Name = nil
		return decodeReply(r, "lbvserver", one(&v))
	})))
	if e := refused(err); e != nil && (e.Code == codeNoSuchResource || e.Code == codeNoVServer || e.Status == http.StatusNotFound) {
		return f, nil
	}
	if err == nil && text(v.Name) == "" {
		err = errNameless
	}
	if err == nil {
		err = another(v.Name, name)
	}
	if err != nil {
		return f, err
	}
	f.Exists, f.ServiceType, f.Method = true, text(v.ServiceType), text(v.LBMethod)
	ip, noIP := netip.ParseAddr(text(v.IPv46))
	port, noPort := number(v.Port)
	if noIP == nil && noPort == nil && port >= 0 && port <= 65535 {
		f.Addr = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	var wrong error
	_, err = c.do(ctx, get("config/"+vserverBinding+"/"+segment(name), func(r io.Reader) (reply, error) {
		f.Groups, wrong = nil, nil
		return decodeReply(r, vserverBinding, list(func(dec *bounds.Decoder) (int64, error) {
			var row struct{ Name, ServiceGroupName json.RawMessage }
			err := dec.Decode(&row)
			wrong = cmp.Or(wrong, another(row.Name, name))
			group := text(row.ServiceGroupName)
			if err == nil && group == "" {
				err = errors.New("a binding without a servicegroupname")
			}
			f.Groups = append(f.Groups, group)
			return bounds.Size(group), err
		}))
	}))
	if e := refused(err); e != nil && (e.Code == codeNoSuchResource || e.Status == http.StatusNotFound) {
		return f, nil
	}
	return f, cmp.Or(err, wrong)
}
