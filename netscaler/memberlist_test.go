package netscaler_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"nitrox/netscaler"
)

const listCall = "PUT servicegroup_servicegroupmemberlist_binding"

func replace(group string, list, out []netscaler.Member) []netscaler.Change {
	return []netscaler.Change{{Op: netscaler.ReplaceMembers, Group: group, List: list, Out: len(out)}}
}

func TestListBody(t *testing.T) {
	heavy, off, draining, suspended := member("10.0.0.1:80"), member("10.0.0.2:80"), member("[::ffff:10.0.0.3]:80"), member("[2001:db8::1]:81")
	heavy.Weight, heavy.Order = 7, 3
	off.State, draining.State, suspended.State = netscaler.Disabled, netscaler.Draining, netscaler.DisabledAbove
	b := newBox(t).on(listCall, ok(done))
	c := b.open()
	wantNil(t, c.Do(t.Context(), netscaler.ReplaceMembers, replace("a b", []netscaler.Member{heavy, off, draining, suspended}, nil)))
	want := `{"servicegroup_servicegroupmemberlist_binding":{"members":[{"ip":"10.0.0.1","order":3,"port":80,"state":"ENABLED","weight":7},` +
		`{"ip":"10.0.0.2","port":80,"state":"DISABLED","weight":1},{"ip":"10.0.0.3","port":80,"state":"DISABLED","weight":1},` +
		`{"ip":"2001:db8::1","port":81,"state":"ENABLED","weight":1}],"servicegroupname":"a b"}}`
	if got := b.bodies(listCall); !slices.Equal(got, []string{want}) {
		t.Errorf("%s", got)
	}
	// What an empty list does, nobody knows; and nobody empties a whole group.
	wantError(t, c.Do(t.Context(), netscaler.ReplaceMembers, replace("a b", nil, []netscaler.Member{heavy}))[0], nil, "not sent: an empty list")
	wantLines(t, b, listCall)
}

func TestListThatMustNotBeSent(t *testing.T) {
	for want, spoil := range map[string]func(*netscaler.Change){
		"names no service group":           func(c *netscaler.Change) { c.Group = "" },
		"brackets":                         func(c *netscaler.Change) { c.Group = "sg[1-2]" },
		"10.0.0.1:80 is in the list twice": func(c *netscaler.Change) { c.List = append(c.List, c.List[0]) },
		"the weight 0 of":                  func(c *netscaler.Change) { c.List[0].Weight = 0 },
		"the order 8193 of 10.0.0.1:80":    func(c *netscaler.Change) { c.List[0].Order = 8193 },
		"cannot be in a list":              func(c *netscaler.Change) { c.List[0].NotOurs = "it is bound to all ports" },
		`"www" cannot be in a list`:        func(c *netscaler.Change) { c.List[0] = netscaler.Member{Server: "www", Weight: 1} },
	} {
		b := newBox(t)
		list := replace("sg", []netscaler.Member{member("10.0.0.1:80")}, nil)
		spoil(&list[0])
		wantError(t, b.open().Do(t.Context(), netscaler.ReplaceMembers, list)[0], nil, "not sent: ", want)
		if len(b.calls) != 0 {
			t.Errorf("%s: %v", want, b.lines())
		}
	}
}

// A build without order refuses a list for the order in it, and not for being a
// list: a list without one is still given.
func TestAListWithAnOrderOnABuildWithoutIt(t *testing.T) {
	standby := member("10.0.0.2:80")
	standby.Order = 2
	b := newBox(t).on(listCall, nitro(599, 278, "Invalid argument [order]"), ok(done))
	c := b.open()
	lists := append(replace("a", []netscaler.Member{standby}, nil), replace("b", []netscaler.Member{standby}, nil)...)
	lists = append(lists, replace("c", []netscaler.Member{member("10.0.0.1:80")}, nil)...)
	errs := c.Do(t.Context(), netscaler.ReplaceMembers, lists)
	for i, group := range []string{"a", "b"} {
		wantError(t, errs[i], netscaler.ErrNoOrder, "service group "+group+": replace its members: NITRO 278")
		if errors.Is(errs[i], netscaler.ErrNoMemberList) {
			t.Errorf("it is taken for a build that takes no lists: %v", errs[i])
		}
	}
	wantNil(t, errs[2:])
	wantLines(t, b, listCall, listCall)
	if !c.TakesMemberList("a") {
		t.Error("lists are given up")
	}
}

func TestRefusedListsAreRemembered(t *testing.T) {
	for _, test := range []struct {
		refusal  answer
		no       bool // is ErrNoMemberList
		sg, rest bool // take lists later
	}{
		{nitro(599, 257, "Operation not permitted"), true, false, true},
		{nitro(599, 3810, "Operation is supported for servicegroup with autoscale type CLOUD or API only."), true, false, true},
		{nitro(400, 1232, "Invalid object name"), true, false, false},
		{nitro(400, 1237, "Invalid method name"), true, false, false},
		{nitro(599, 1240, "Invalid nitro action or operation"), true, false, false},
		{nitro(599, 278, "Invalid argument"), true, false, false},
		{nitro(400, 1090, "No such argument"), true, false, false},
		{nitro(409, 273, "Resource already exists"), true, true, true},
		{nitro(599, 435, "Maximum services bound to service group exceeded"), false, true, true},
		{nitro(403, 2138, "Not authorized to execute this command [bind serviceGroup sg]"), false, true, true},
	} {
		b := newBox(t).on(listCall, test.refusal)
		c := b.open()
		err := c.Do(t.Context(), netscaler.ReplaceMembers, replace("sg", []netscaler.Member{member("10.0.0.1:80")}, nil))[0]
		if test.no {
			wantError(t, err, netscaler.ErrNoMemberList, "service group sg: replace its members: does not take its members as a list: NITRO ")
		} else {
			wantError(t, err, nil, "service group sg: replace its members: NITRO ")
		}
		if c.TakesMemberList("sg") != test.sg || c.TakesMemberList("other") != test.rest {
			t.Errorf("%v: takes lists: sg %v, others %v", err, c.TakesMemberList("sg"), c.TakesMemberList("other"))
		}
	}
	b := newBox(t).on(listCall, nitro(404, 258, "No such resource [serviceGroupName, sg]"))
	wantError(t, b.open().Do(t.Context(), netscaler.ReplaceMembers, replace("sg", []netscaler.Member{member("10.0.0.1:80")}, nil))[0], netscaler.ErrNoGroup)
	b = newBox(t).on(listCall, lost)
	wantError(t, b.open().Do(t.Context(), netscaler.ReplaceMembers, replace("sg", []netscaler.Member{member("10.0.0.1:80")}, nil))[0], netscaler.ErrUnsure)
}

// Scenario 17, in every form that it may have.
func TestFailedMembersAreNamed(t *testing.T) {
	failed := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("[2001:db8::1]:81")}
	for _, list := range []string{
		`[{"servicegroupname":"sg","failedmembers":[{"ip":"10.0.0.1","port":80,"state":"ENABLED"},{"ip":"2001:DB8::1","port":"81","state":"ENABLED"}]}]`,
		`[{"servicegroupname":"sg","failed_member_list":[{"ip":"10.0.0.1","port":80,"state":"ENABLED"},{"ip":"2001:db8:0::1","port":81,"state":"ENABLED"}]}]`,
		`{"servicegroupname":"sg","failedmembers":[{"ip":"10.0.0.1","port":80,"state":"ENABLED"},{"ip":"nonsense","port":1,"state":"ENABLED"},{"ip":"10.0.0.1","port":70000,"state":"ENABLED"},{"ip":"2001:db8::1","port":81,"state":"ENABLED"}]}`,
		`7`, `[7]`, `null`,
	} {
		for _, status := range []int{200, 207, 599} {
			b := newBox(t).on(listCall, answer{status: status, body: `{ "errorcode": 1442, "message": "Failed to bind some servicegroup members", "severity": "ERROR", "servicegroup_servicegroupmemberlist_binding": ` + list + ` }`})
			err := b.open().Do(t.Context(), netscaler.ReplaceMembers, replace("sg", []netscaler.Member{member("10.0.0.1:80")}, nil))[0]
			e := wantNITRO(t, err, 1442)
			if want := failed; len(list) > 4 && !slices.Equal(e.Failed, want) || len(list) <= 4 && len(e.Failed) != 0 {
				t.Errorf("%s: %v", list, e.Failed)
			}
		}
	}
}

func wantNITRO(t *testing.T, err error, code int) *netscaler.Error {
	t.Helper()
	var e *netscaler.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v", err)
	}
	return e
}
