package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nitrox/netscaler"
)

// create adds to the plans what their groups lack. A group that has members is
// not looked at: its creation was finished before its first member was bound.
func (v *visit) create(ctx context.Context, outcomes []*Outcome, groups map[string]*netscaler.Group) {
	var work []*Outcome
	var names []string
	for _, o := range outcomes {
		c := o.App.Create
		missing := errors.Is(o.Err, netscaler.ErrNoGroup)
		if c == nil || o.Err != nil && !missing || len(groups[o.App.Group].Members) > 0 {
			continue
		}
		work = append(work, o)
		if c.VServer != nil {
			names = append(names, c.VServer.Name)
		}
	}
	var found map[string]*netscaler.FrontEnd
	if len(names) > 0 {
		end := clock(&v.phases.Read)
		var err error
		found, err = v.ns.Client.FrontEnds(ctx, names)
		end()
		if err != nil {
			fail(work, err)
			return
		}
	}
	for _, o := range work {
		missing := o.Err != nil
		var front *netscaler.FrontEnd
		if c := o.App.Create; c.VServer != nil {
			front = found[c.VServer.Name]
		}
		changes, notes, err := Creation(o.App, missing, front)
		if err != nil {
			fail([]*Outcome{o}, err)
			continue
		}
		if missing {
			o.Err = nil
			o.Plan = Diff(o.App.Group, o.Desired, nil, o.App.Policy)
			o.Plan.AsList = o.App.Create.DesiredState && v.ns.Client.TakesList(o.App.Group)
		}
		o.Plan.Changes = append(changes, o.Plan.Changes...)
		o.Notes = append(o.Notes, notes...)
	}
}

// Creation is what is to be made for an app before its members are bound: its
// group if that is missing, its virtual server if that is missing and its
// address is given, and the binding of the two. front is nil if the app has no
// virtual server. What is there already is compared, and left as it is.
func Creation(app App, missing bool, front *netscaler.FrontEnd) (changes []netscaler.Change, notes []string, err error) {
	add := func(op netscaler.Op) {
		changes = append(changes, netscaler.Change{Op: op, Group: app.Group, Create: app.Create})
	}
	if front != nil {
		want := *app.Create.VServer
		switch {
		case front.Exists:
			notes = differences(app.Create, front)
		case want.Addr.IsValid():
			add(netscaler.AddVServer)
		default:
			return nil, nil, fmt.Errorf("lb vserver %s: there is none, and create does not say its ip and port; make it, or correct its name in the mapping", want.Name)
		}
	}
	if missing {
		add(netscaler.AddGroup)
	}
	if front != nil && !slices.ContainsFunc(front.Groups, func(name string) bool { return strings.EqualFold(name, app.Group) }) {
		add(netscaler.BindVServer)
	}
	return changes, notes, nil
}

// differences between a virtual server that is there and the one that would be
// made. Where no address is given, nothing is said of it but its name.
func differences(c *netscaler.Creation, is *netscaler.FrontEnd) (all []string) {
	want := c.VServer
	differ := func(what string, is, want any) {
		all = append(all, fmt.Sprintf("lb vserver %s is there with the %s %v, and create says %v; it is left as it is", c.VServer.Name, what, is, want))
	}
	if !want.Addr.IsValid() {
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

// unlike tells how a service group that is there differs from the one that
// would be made.
func unlike(app App, is netscaler.Attrs) (all []string) {
	if app.Create == nil {
		return nil
	}
	differ := func(what, is, want string) {
		all = append(all, fmt.Sprintf("service group %s is there with the %s %s, and create says %s; it is left as it is", app.Group, what, is, want))
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
	if c.DesiredState {
		return "API"
	}
	return "DISABLED"
}

var errNotMade = errors.New("not attempted: what it would be bound to was not made")

// made says whether all that was to be made for an outcome was. If not, the
// rest of its changes is not attempted, so that the next pass finds the group
// without members and goes on.
func (o *Outcome) made() bool {
	for i, c := range o.Plan.Changes {
		if creates(c) && o.Errs[i] != nil {
			for j, c := range o.Plan.Changes {
				if !creates(c) {
					o.Errs[j] = errNotMade
				}
			}
			return false
		}
	}
	return true
}
