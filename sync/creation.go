package sync

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"nitrox/netscaler"
)

// creating adds to a plan what is to be made before the first member is bound:
// the service group if it is missing, the virtual server if that is missing and
// its address is given, and the binding of the two. front is nil if the app has
// no virtual server, or its group has members. What is there already is left as
// it is.
func creating(plan Plan, app App, missing bool, front *netscaler.FrontEnd) Plan {
	var changes []netscaler.Change
	add := func(op netscaler.Op) {
		changes = append(changes, netscaler.Change{Op: op, Group: app.Group, Create: app.Create})
	}
	if front != nil && !front.Exists {
		add(netscaler.AddVServer)
	}
	if missing {
		add(netscaler.AddGroup)
	}
	if front != nil && !front.Bound(app.Group) {
		add(netscaler.BindVServer)
	}
	plan.Changes = slices.Concat(changes, plan.Changes)
	return plan
}

// makeable is why a virtual server cannot be had: it is not there, and nobody
// says where to make it.
func makeable(app App, front netscaler.FrontEnd) error {
	if want := app.Create.VServer; !front.Exists && !want.Addr.IsValid() {
		return fmt.Errorf("lb vserver %s does not exist, and create gives no ip and port for it; create it, or correct its name in the mapping", want.Name)
	}
	return nil
}

// differences between a virtual server that is there and the one that would be
// made. Where no address is given, nothing is said of it but its name.
func differences(c *netscaler.Creation, is netscaler.FrontEnd) (all []string) {
	want := c.VServer
	differ := func(what string, is, want any) {
		all = append(all, fmt.Sprintf("lb vserver %s exists with the %s %v, but create says %v; it is left as it is", c.VServer.Name, what, is, want))
	}
	if !is.Exists || !want.Addr.IsValid() {
		return nil
	}
	if is.Addr != want.Addr {
		differ("address", is.Addr, want.Addr)
	}
	if !strings.EqualFold(is.ServiceType, c.ServiceType) {
		differ("service type", is.ServiceType, c.ServiceType)
	}
	if want.Method != "" && !strings.EqualFold(is.Method, want.Method) {
		differ("method", is.Method, want.Method)
	}
	return all
}

// unlike are the differences between a service group that is there and the one
// that would be made.
func unlike(app App, is netscaler.Attrs) (all []string) {
	if app.Create == nil {
		return nil
	}
	differ := func(what, is, want string) {
		all = append(all, fmt.Sprintf("service group %s exists with the %s %s, but create says %s; it is left as it is", app.Group, what, is, want))
	}
	if is.ServiceType != "" && !strings.EqualFold(is.ServiceType, app.Create.ServiceType) {
		differ("service type", is.ServiceType, app.Create.ServiceType)
	}
	if want := autoscale(app.Create); is.Autoscale != want {
		differ("autoscale", is.Autoscale, want)
	}
	return all
}

func autoscale(c *netscaler.Creation) string {
	if c.MemberList {
		return "API"
	}
	return "DISABLED"
}

var errNotCreated = errors.New("not attempted: what it would be bound to was not created")

// created says whether all that was to be made for an outcome was. If not, the
// rest of its changes is not attempted, so that the next pass finds the group
// without members and goes on.
func (o *Outcome) created() bool {
	failed := slices.ContainsFunc(o.Done, func(d Done) bool { return creates(*d.Change) && d.Err != nil })
	for i := range o.Done {
		if d := &o.Done[i]; failed && !creates(*d.Change) {
			d.Err = errNotCreated
		}
	}
	return !failed
}
