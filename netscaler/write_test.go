package netscaler_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
)

var allOps = []netscaler.Op{netscaler.Bind, netscaler.Enable, netscaler.Set, netscaler.Drain, netscaler.Unbind}

// lineOf is the array call of each kind, singleOf the one for one member.
func lineOf(op netscaler.Op) string {
	return map[netscaler.Op]string{
		netscaler.Bind: "PUT " + binding, netscaler.Enable: "POST servicegroup?action=enable", netscaler.Set: "PUT servicegroup",
		netscaler.Drain: "POST servicegroup?action=disable", netscaler.Unbind: "POST " + binding + "?action=unbind",
	}[op]
}

func unbindLine(server string, port int) string {
	return fmt.Sprintf("DELETE %s/sg?args=servername:%s,port:%d", binding, server, port)
}

func changes(op netscaler.Op, addrs ...string) []netscaler.Change {
	var list []netscaler.Change
	for _, addr := range addrs {
		list = append(list, change(op, "sg", addr))
	}
	return list
}

func wantNil(t *testing.T, errs []error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// A superfluous attribute is refused by the appliance, and ip beside
// servername too, so the bodies are exact.
func TestBodies(t *testing.T) {
	for _, test := range []struct {
		change      netscaler.Change
		array, line string
		single      string
	}{
		{netscaler.Change{Op: netscaler.Bind, Member: netscaler.Member{Addr: netip.MustParseAddrPort("[::ffff:10.0.0.1]:80"), Server: "ignored", Weight: 7}},
			`{"ip":"10.0.0.1","port":80,"servicegroupname":"sg","weight":7}`, lineOf(netscaler.Bind), ""},
		{netscaler.Change{Op: netscaler.Bind, Member: netscaler.Member{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1, Order: 2}},
			`{"ip":"10.0.0.1","order":2,"port":80,"servicegroupname":"sg","weight":1}`, lineOf(netscaler.Bind), ""},
		{netscaler.Change{Op: netscaler.Set,
			Member: netscaler.Member{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Server: "web", Weight: 7, Order: 2},
			Was:    netscaler.Settings{Weight: 7, Order: 1}},
			`{"order":2,"port":80,"servername":"web","servicegroupname":"sg"}`, lineOf(netscaler.Set), ""},
		{netscaler.Change{Op: netscaler.Set,
			Member: netscaler.Member{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Server: "web", Weight: 7, Order: 2},
			Was:    netscaler.Settings{Weight: 1, Order: 2}},
			`{"port":80,"servername":"web","servicegroupname":"sg","weight":7}`, lineOf(netscaler.Set), ""},
		{netscaler.Change{Op: netscaler.Enable, Member: disabled("10.0.0.1:80")},
			`{"port":80,"servername":"10.0.0.1","servicegroupname":"sg"}`, lineOf(netscaler.Enable), ""},
		{netscaler.Change{Op: netscaler.Set, Member: netscaler.Member{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Server: "web", Weight: 7}},
			`{"port":80,"servername":"web","servicegroupname":"sg","weight":7}`, lineOf(netscaler.Set), ""},
		{netscaler.Change{Op: netscaler.Drain, Member: disabled("10.0.0.1:80"), Delay: 1500 * time.Millisecond},
			`{"delay":2,"graceful":"YES","port":80,"servername":"10.0.0.1","servicegroupname":"sg"}`, lineOf(netscaler.Drain), ""},
		{netscaler.Change{Op: netscaler.Unbind, Member: member("[ff::8839]:80")},
			`{"port":80,"servername":"ff::8839","servicegroupname":"sg"}`, unbindLine("ff::8839", 80), ""},
	} {
		t.Run(test.change.Op.String(), func(t *testing.T) {
			op := test.change.Op
			test.change.Group = "sg"
			b := newBox(t).on(lineOf(op), answer{status: 201}).on(test.line, answer{status: 201})
			c := b.open()
			wantNil(t, c.Do(t.Context(), op, []netscaler.Change{test.change, test.change}))
			wantNil(t, c.Do(t.Context(), op, []netscaler.Change{test.change}))
			kind := "servicegroup"
			if strings.Contains(lineOf(op), binding) {
				kind = binding
			}
			array := fmt.Sprintf(`{%q:[%s,%s]}`, kind, test.array, test.array)
			single := fmt.Sprintf(`{%q:%s}`, kind, test.array)
			if op == netscaler.Unbind {
				single = ""
			}
			var got []string
			for _, call := range b.calls {
				if call.line == lineOf(op) || call.line == test.line {
					got = append(got, call.onerror+" "+call.body)
				}
			}
			if want := []string{"continue " + array, " " + single}; !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestNamesInPathsAndArguments(t *testing.T) {
	const line = "DELETE " + binding + "/a%2520%252F%253A?args=servername:web%2C1:x%26%2F,port:80"
	b := newBox(t).on(line, ok(done)).on("GET server/web%252C1%253Ax%2526%252F", rows("server", `{"name":"web,1:x&/","ipaddress":"10.0.0.1"}`))
	ch := change(netscaler.Unbind, "a /:", "10.0.0.1:80")
	ch.Server = "web,1:x&/"
	wantNil(t, b.open().Do(t.Context(), netscaler.Unbind, []netscaler.Change{ch}))
}

// A member operation without group, server or port is one on the whole group.
func TestChangeThatDoesNotNameItsMemberIsNeverSent(t *testing.T) {
	for name, spoil := range map[string]func(*netscaler.Change){
		"names no service group":    func(c *netscaler.Change) { c.Group = "" },
		"does not name one port":    func(c *netscaler.Change) { c.Addr = netip.AddrPortFrom(c.Addr.Addr(), 0) },
		"names no address":          func(c *netscaler.Change) { c.Addr = netip.AddrPort{} },
		"names no address ":         func(c *netscaler.Change) { c.Addr = netip.MustParseAddrPort("0.0.0.0:80") },
		"names no address  ":        func(c *netscaler.Change) { c.Addr = netip.MustParseAddrPort("[fe80::1%eth0]:80") },
		"names no server":           func(c *netscaler.Change) { c.Server = "" },
		"weight 0 is not between":   func(c *netscaler.Change) { c.Weight = 0 },
		"weight 101 is not between": func(c *netscaler.Change) { c.Weight = 101 },
		"order 8193 is not between": func(c *netscaler.Change) { c.Order = 8193 },
		"a drain needs a delay":     func(c *netscaler.Change) { c.Delay = 0 },
		"brackets means several":    func(c *netscaler.Change) { c.Group = "sg[1-9]" },
		"with brackets means":       func(c *netscaler.Change) { c.Server = "10.0.0.[1-9]" },
		"is domain-based":           func(c *netscaler.Change) { c.NotOurs = "its server is domain-based" },
		"among":                     func(c *netscaler.Change) { c.Op = netscaler.RemoveServer },
	} {
		for _, op := range allOps {
			server := op != netscaler.Bind
			if strings.Contains(name, "server") && !server || strings.Contains(name, "with brackets") && !server ||
				strings.Contains(name, "weight") && op != netscaler.Bind && op != netscaler.Set || strings.Contains(name, "drain") && op != netscaler.Drain {
				continue
			}
			t.Run(op.String()+" "+name, func(t *testing.T) {
				b := newBox(t)
				bad := change(op, "sg", "10.0.0.1:80")
				spoil(&bad)
				errs := b.open().Do(t.Context(), op, []netscaler.Change{bad})
				wantError(t, errs[0], nil, "not sent: ", strings.TrimSpace(name))
				if len(b.calls) != 0 {
					t.Errorf("calls: %v", b.calls)
				}
				// Beside a good one, only the good one is sent.
				b.on(lineOf(op), ok(done)).on(unbindLine("10.0.0.2", 80), ok(done))
				errs = b.open().Do(t.Context(), op, []netscaler.Change{bad, change(op, "sg", "10.0.0.2:80")})
				wantError(t, errs[0], nil, strings.TrimSpace(name))
				wantNil(t, errs[1:])
				if len(b.lines()) != 1 {
					t.Errorf("calls: %v", b.lines())
				}
			})
		}
	}
}

func TestNothingToDoIsNoCall(t *testing.T) {
	b := newBox(t)
	c := b.open()
	for _, op := range allOps {
		if errs := c.Do(t.Context(), op, nil); len(errs) != 0 {
			t.Error(errs)
		}
	}
	if len(b.calls) != 0 {
		t.Errorf("calls: %v", b.calls)
	}
}

func bulkFailed(items ...string) answer {
	return answer{status: 207, body: `{ "errorcode": 1243, "message": "Bulk operation failed", "severity": "ERROR", "response": [ ` + strings.Join(items, ", ") + ` ] }`}
}

func result(code int, message string) string {
	severity := "ERROR"
	switch code {
	case 0:
		severity = "NONE"
	case 1265:
		severity = "WARNING"
	}
	return fmt.Sprintf(`{"errorcode":%d,"message":%q,"severity":%q}`, code, message, severity)
}

var (
	itemDone    = result(0, "Done")
	itemExists  = result(273, "Resource already exists")
	itemFull    = result(435, "Maximum services bound to service group exceeded")
	itemNot     = result(1265, "command not attempted for configuration")
	itemNoGroup = result(258, "No such resource [serviceGroupName, sg]")
)

func ports(bodies []string) []string {
	var all []string
	for _, body := range bodies {
		var m map[string]json.RawMessage
		var list []struct{ Port int }
		if json.Unmarshal([]byte(body), &m) == nil {
			for _, raw := range m {
				if json.Unmarshal(raw, &list) != nil {
					list = append(list[:0], struct{ Port int }{})
					if err := json.Unmarshal(raw, &list[0]); err != nil {
						panic(err)
					}
				}
			}
		}
		var s []string
		for _, item := range list {
			s = append(s, fmt.Sprint(item.Port))
		}
		all = append(all, strings.Join(s, ","))
	}
	return all
}

func TestPartialFailures(t *testing.T) {
	full := "NITRO 435 (HTTP 207): Maximum services bound to service group exceeded"
	for _, test := range []struct {
		name    string
		answers []answer
		sent    []string // the ports of each call
		want    []string // of each change; empty: nil
	}{
		{"full list", []answer{bulkFailed(itemDone, itemFull, itemExists, itemDone)}, []string{"1,2,3,4"}, []string{"", full, "", ""}},
		{"short list", []answer{bulkFailed(itemDone, itemFull), {status: 201}}, []string{"1,2,3,4", "3,4"}, []string{"", full, "", ""}},
		{"short list again and again", []answer{bulkFailed(itemFull), bulkFailed(itemFull), bulkFailed(itemFull), nitro(599, 435, "x")},
			[]string{"1,2,3,4", "2,3,4", "3,4", "4"}, []string{"435", "435", "435", "435"}},
		{"padded list", []answer{bulkFailed(itemDone, itemFull, itemNot, itemNot), {status: 201}}, []string{"1,2,3,4", "3,4"}, []string{"", full, "", ""}},
		{"list that tells nothing", []answer{bulkFailed(itemNot, itemNot, itemNot, itemNot), {status: 201}, nitro(409, 273, "Resource already exists"), nitro(599, 435, "x"), {status: 201}},
			[]string{"1,2,3,4", "1", "2", "3", "4"}, []string{"", "", "435", ""}},
		{"no list", []answer{bulkFailed(), {status: 201}}, []string{"1,2,3,4", "1", "2", "3", "4"}, []string{"", "", "", ""}},
		{"list with status 200", []answer{ok(bulkFailed(itemDone, itemFull, itemDone, itemDone).body)}, []string{"1,2,3,4"}, []string{"", "435", "", ""}},
		{"long list", []answer{bulkFailed(itemDone, itemFull, itemDone, itemDone, itemFull, itemFull)}, []string{"1,2,3,4"}, []string{"", "435", "", ""}},
		{"missing group", []answer{bulkFailed(itemDone, itemNoGroup, itemDone, itemDone)}, []string{"1,2,3,4"}, []string{"", "no such service group", "", ""}},
		{"warnings", []answer{bulkFailed(`{"errorcode":1067,"message":"Feature(s) not enabled [LB]","severity":"WARNING"}`, itemFull, itemDone, itemDone)},
			[]string{"1,2,3,4"}, []string{"", "435", "", ""}},
		{"peer not reached", []answer{bulkFailed(result(349, "x"), result(457, "x"), result(458, "x"), itemDone)}, []string{"1,2,3,4"}, []string{"", "", "", ""}},
		{"peer not reached, all", []answer{nitro(599, 349, "Command failed on secondary node")}, []string{"1,2,3,4"}, []string{"", "", "", ""}},
		{"on a secondary", []answer{{status: 209, body: `{ "errorcode": 1028, "message": "You are connected to a secondary node", "severity": "WARNING" }`}},
			[]string{"1,2,3,4"}, []string{"secondary", "secondary", "secondary", "secondary"}},
		{"only on a primary", []answer{nitro(599, 368, "Operation permitted only on primary node.")}, []string{"1,2,3,4"},
			[]string{"give the URLs of both nodes", "368", "368", "368"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t).on("PUT "+binding, test.answers...)
			errs := b.open().Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4"))
			for i, want := range test.want {
				switch {
				case want == "" && len(settled(errs[i:i+1])) > 0 && errs[i] != nil:
					t.Errorf("change %d: %v", i, errs[i])
				case want != "":
					wantError(t, errs[i], nil, fmt.Sprintf("service group sg: bind 10.0.0.1:%d: ", i+1), want)
				}
			}
			if got := ports(b.bodies("PUT " + binding)); !slices.Equal(got, test.sent) {
				t.Errorf("sent %q, want %q", got, test.sent)
			}
		})
	}
}

func TestManyChangesAreSentInChunks(t *testing.T) {
	b := newBox(t).on("PUT "+binding, answer{status: 201}, bulkFailed(strings.Split(strings.Repeat(itemDone+"\n", 499)+itemFull, "\n")...), answer{status: 201})
	var list []netscaler.Change
	for i := range 1001 {
		list = append(list, change(netscaler.Bind, "sg", fmt.Sprintf("10.0.0.1:%d", i+1)))
	}
	for i, err := range b.open().Do(t.Context(), netscaler.Bind, list) {
		if (err != nil) != (i == 999) {
			t.Errorf("change %d: %v", i, err)
		}
	}
	sizes := ports(b.bodies("PUT " + binding))
	if len(sizes) != 3 || strings.Count(sizes[0], ",") != 499 || strings.Count(sizes[1], ",") != 499 || sizes[2] != "1001" {
		t.Errorf("%d calls: %q", len(sizes), sizes)
	}
}

func TestRefusedArrayIsSentSinglyAndRemembered(t *testing.T) {
	for name, refusal := range map[string]answer{
		"1240": nitro(599, 1240, "Invalid nitro action or operation"), "1233": nitro(400, 1233, "Invalid JSON input"),
		"1234": nitro(400, 1234, "Invalid data type"), "278": nitro(599, 278, "Invalid argument"), "1095": nitro(400, 1095, "Required argument missing [port]"),
	} {
		for _, op := range allOps {
			t.Run(op.String()+" "+name, func(t *testing.T) {
				b := newBox(t).on(lineOf(op), refusal, answer{status: 201}).
					on(unbindLine("10.0.0.1", 80), ok(done)).on(unbindLine("10.0.0.2", 80), ok(done))
				c := b.open()
				for range 2 {
					wantNil(t, c.Do(t.Context(), op, changes(op, "10.0.0.1:80", "10.0.0.2:80")))
				}
				if len(b.lines()) != 5 {
					t.Errorf("calls: %q", b.lines())
				}
			})
		}
	}
}

func TestArrayRefusedForOneItemIsNotTakenForARefusedForm(t *testing.T) {
	b := newBox(t).on("PUT "+binding, nitro(404, 258, "No such resource [serviceGroupName, sg]"), nitro(404, 258, "No such resource [serviceGroupName, sg]"), answer{status: 201})
	c := b.open()
	errs := c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:1", "10.0.0.1:2"))
	wantError(t, errs[0], netscaler.ErrNoGroup)
	wantNil(t, errs[1:])
	wantNil(t, c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:3", "10.0.0.1:4")))
	if got := ports(b.bodies("PUT " + binding)); !slices.Equal(got, []string{"1,2", "1", "2", "3,4"}) {
		t.Errorf("sent %q", got)
	}
}

// A build without order refuses the items that have one, in whatever form. They
// are not sent without it, each of them costs no call of its own, and the others
// are made.
func TestABuildWithoutOrder(t *testing.T) {
	unknown := result(278, "Invalid argument [order]")
	for _, test := range []struct {
		name    string
		answers []answer
		sent    []string // the ports of each call; 1 and 3 have an order
	}{
		{"each of a full list", []answer{bulkFailed(unknown, itemDone, unknown, itemDone)}, []string{"1,2,3,4"}},
		{"the first of a short list", []answer{bulkFailed(unknown), {status: 201}}, []string{"1,2,3,4", "2,4"}},
		{"the first of a padded list", []answer{bulkFailed(unknown, itemNot, itemNot, itemNot), {status: 201}}, []string{"1,2,3,4", "2,4"}},
		{"the whole array", []answer{nitro(599, 278, "Invalid argument [order]"), {status: 201}}, []string{"1,2,3,4", "2,4"}},
		{"the whole array, by the other code", []answer{nitro(400, 1090, "No such argument [order]"), {status: 201}}, []string{"1,2,3,4", "2,4"}},
		{"the whole array, for something",
			[]answer{nitro(599, 278, "Invalid argument"), nitro(599, 278, "Invalid argument"), {status: 201}, {status: 201}},
			[]string{"1,2,3,4", "1", "2", "4"}},
	} {
		for _, op := range []netscaler.Op{netscaler.Bind, netscaler.Set} {
			t.Run(op.String()+" "+test.name, func(t *testing.T) {
				list := changes(op, "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4")
				list[0].Order, list[2].Order = 2, 2
				b := newBox(t).on(lineOf(op), test.answers...)
				errs := b.open().Do(t.Context(), op, list)
				for _, i := range []int{0, 2} {
					wantError(t, errs[i], netscaler.ErrNoOrder, fmt.Sprintf("service group sg: %s 10.0.0.1:%d: NITRO ", op, i+1),
						"upgrade the NetScaler to 13.1 or later, or remove order from the mapping")
				}
				wantNil(t, []error{errs[1], errs[3]})
				if got := ports(b.bodies(lineOf(op))); !slices.Equal(got, test.sent) {
					t.Errorf("sent %q, want %q", got, test.sent)
				}
			})
		}
	}
	// Another argument that is not known is not the order's fault.
	b := newBox(t).on("PUT "+binding, nitro(599, 278, "Invalid argument [weight]"))
	list := changes(netscaler.Bind, "10.0.0.1:1")
	list[0].Order = 2
	if err := b.open().Do(t.Context(), netscaler.Bind, list)[0]; errors.Is(err, netscaler.ErrNoOrder) {
		t.Error(err)
	}
}

func TestForbiddenGroupIsAskedForOnce(t *testing.T) {
	b := newBox(t).on("PUT "+binding, nitro(403, 2138, "Not authorized to execute this command [bind serviceGroup]"),
		nitro(403, 2138, "Not authorized to execute this command [bind serviceGroup sg 10.0.0.1 1]"), answer{status: 201})
	list := append(changes(netscaler.Bind, "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"), change(netscaler.Bind, "sg2", "10.0.0.1:4"))
	errs := b.open().Do(t.Context(), netscaler.Bind, list)
	for _, err := range errs[:3] {
		wantError(t, err, nil, `must allow "bind serviceGroup sg 10.0.0.1 1"`)
	}
	wantNil(t, errs[3:])
	if got := ports(b.bodies("PUT " + binding)); !slices.Equal(got, []string{"1,2,3,4", "1", "4"}) {
		t.Errorf("sent %q", got)
	}
}

// Scenario 13: that there is nothing to do is not a failure, and not seen either.
func TestWhatIsSaidToHoldIsToBeLookedAt(t *testing.T) {
	b := newBox(t).on("PUT "+binding, nitro(409, 273, "Resource already exists"))
	wantError(t, b.open().Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:80"))[0], netscaler.ErrUnsure, "273")
	for _, gone := range []answer{
		nitro(404, 258, "No such resource [serverName, 10.0.0.1]"), nitro(599, 258, "No such resource"), nitro(404, 344, "No Service"),
		nitro(599, 351, "No such server"), nitro(599, 463, "x"), nitro(599, 1208, "x"), nitro(599, 1303, "x"), nitro(404, 9999, "x"),
	} {
		b := newBox(t).on(unbindLine("10.0.0.1", 80), gone)
		wantError(t, b.open().Do(t.Context(), netscaler.Unbind, changes(netscaler.Unbind, "10.0.0.1:80"))[0], netscaler.ErrUnsure, "NITRO")
	}
	for _, gone := range []answer{nitro(404, 258, "No such resource [serviceGroupName, sg]"), nitro(404, 258, "No such resource [name, sg]")} {
		for _, op := range allOps {
			b := newBox(t).on(unbindLine("10.0.0.1", 80), gone).on(lineOf(op), gone)
			errs := b.open().Do(t.Context(), op, changes(op, "10.0.0.1:80"))
			wantError(t, errs[0], netscaler.ErrNoGroup, "service group sg: "+op.String()+" 10.0.0.1:80: NITRO 258 (HTTP 404): No such resource")
		}
	}
	for _, op := range []netscaler.Op{netscaler.Enable, netscaler.Set, netscaler.Drain} {
		b := newBox(t).on(lineOf(op), nitro(404, 351, "No such server"))
		wantError(t, b.open().Do(t.Context(), op, changes(op, "10.0.0.1:80"))[0], nil, "NITRO 351")
	}
}

func TestAddressThatHasAServerIsBoundByItsName(t *testing.T) {
	servers := rows("server", `{"name":"web1","ipaddress":"10.0.0.1","td":"0"}, {"name":"web2","ipaddress":"FF00:0::2"},
		{"name":"www","domain":"example.com","ipaddress":"10.0.0.1"}, {"name":"far","ipaddress":"10.0.0.1","td":"7"}, {"name":"odd","ipaddress":["x"]}`)
	list := changes(netscaler.Bind, "10.0.0.1:80", "[ff00::2]:80", "10.0.0.3:80", "10.0.0.4:80")
	t.Run("in an array", func(t *testing.T) {
		b := newBox(t).on("GET server", servers).on("PUT "+binding,
			bulkFailed(result(1335, "Server already exists [10.0.0.1]"), result(433, "Server name already exists"), result(432, "Name conflicts"), itemDone),
			answer{status: 201})
		errs := b.open().Do(t.Context(), netscaler.Bind, list)
		wantNil(t, errs[:2])
		wantError(t, errs[2], nil, "NITRO 432 (HTTP 207): Name conflicts")
		wantNil(t, errs[3:])
		want := `{"servicegroup_servicegroupmember_binding":[{"port":80,"servername":"web1","servicegroupname":"sg","weight":1},{"port":80,"servername":"web2","servicegroupname":"sg","weight":1}]}`
		if got := b.bodies("PUT " + binding); len(got) != 2 || got[1] != want {
			t.Errorf("sent %q", got)
		}
	})
	t.Run("in the group's traffic domain", func(t *testing.T) {
		b := newBox(t).on("GET server", servers).on("PUT "+binding, nitro(409, 433, "Server name already exists"), answer{status: 201})
		far := slices.Clone(list[:1])
		far[0].TD = 7
		wantNil(t, b.open().Do(t.Context(), netscaler.Bind, far))
		if got := b.bodies("PUT " + binding); len(got) != 2 || !strings.Contains(got[1], `"servername":"far"`) {
			t.Errorf("sent %q", got)
		}
	})
	t.Run("and is bound already", func(t *testing.T) {
		b := newBox(t).on("GET server", servers).on("PUT "+binding, nitro(409, 1335, "Server already exists [10.0.0.1]"), nitro(409, 273, "Resource already exists"))
		wantError(t, b.open().Do(t.Context(), netscaler.Bind, list[:1])[0], netscaler.ErrUnsure, "273")
	})
	t.Run("and may not be looked up", func(t *testing.T) {
		b := newBox(t).on("GET server", nitro(403, 2138, "Not authorized to execute this command [show server]")).
			on("PUT "+binding, nitro(409, 1335, "Server already exists [10.0.0.1]"))
		errs := b.open().Do(t.Context(), netscaler.Bind, list[:1])
		wantError(t, errs[0], nil, "NITRO 1335 (HTTP 409): Server already exists [10.0.0.1]; looking up its server: NITRO 2138", `must allow "show server"`)
	})
}

// Only its server tells that a member stands for a domain name; an answer without
// the server's own row does not tell that it does not.
func TestServersTellDomains(t *testing.T) {
	b := newBox(t).
		on("GET server/www", rows("server", `{"name":"www","domain":"shop.example.com"}`)).
		on("GET server/web1", rows("server", `{"name":"web1","ipaddress":"10.0.0.2"}`)).
		on("GET server/gone", nitro(404, 258, "No such resource [name, gone]")).
		on("GET server/none", ok(done)).on("GET server/other", rows("server", `{"name":"web1","ipaddress":"10.0.0.2"}`)).
		on("GET server/hidden", nitro(403, 2138, "Not authorized to execute this command [show server hidden]"))
	const many = 1_000_000
	servers(t, b, many, 6)
	// Of a list only what it has counts; the others are asked for by name.
	servers(t, b.on("GET server", rows("server", `{"name":"www","domain":"shop.example.com"}, {"name":"web1","ipaddress":"10.0.0.2"}, {"name":"Gone"}, {"name":null}`)), 0, 5)
	b = newBox(t).on("GET server/web1", page(404))
	_, err := b.open().Servers(t.Context(), []string{"web1"})
	wantError(t, err, nil, `look up the server "web1": HTTP 404`)
}

// servers looks up the servers of TestServersTellDomains among those that the appliance
// has, in so many calls.
func servers(t *testing.T, b *box, has, calls int) {
	t.Helper()
	before := len(b.lines())
	c := b.open()
	c.Expect(has)
	all, err := c.Servers(t.Context(), []string{"www", "web1", "gone", "hidden", "none", "other", "web1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"www": "shop.example.com", "web1": "", "gone": ""} {
		if got, err := all.Domain(name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"hidden": "NITRO 2138", "none": "no entry for what was asked", "other": "no entry for what was asked"} {
		_, err := all.Domain(name)
		wantError(t, err, nil, `look up the server "`+name+`": `, want)
	}
	if n := len(b.lines()) - before; n != calls {
		t.Errorf("%d calls: %v", n, b.lines())
	}
}

func TestAfterALostAnswerNothingMoreIsSent(t *testing.T) {
	b := newBox(t).on("PUT "+binding, answer{status: 201}, lost)
	var list []netscaler.Change
	for i := range 1200 {
		list = append(list, change(netscaler.Bind, "sg", fmt.Sprintf("10.0.0.1:%d", i+1)))
	}
	errs := b.open().Do(t.Context(), netscaler.Bind, list)
	wantNil(t, errs[:500])
	for _, err := range errs[500:1000] {
		if !errors.Is(err, netscaler.ErrUnsure) {
			t.Fatal(err)
		}
	}
	for _, err := range errs[1000:] {
		if errors.Is(err, netscaler.ErrUnsure) {
			t.Fatalf("it was never sent: %v", err)
		}
		wantError(t, err, netscaler.ErrUnavailable, "not sent: the answer to the previous change was lost")
	}
	if n := b.count("PUT " + binding); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestSave(t *testing.T) {
	const save = "POST nsconfig?action=save"
	for name, a := range map[string]answer{
		"done": ok(done), "empty": {status: 200}, "nothing changed": nitro(599, 1133, "The running configuration has not changed"),
		"peer not reached": nitro(599, 457, "x"),
	} {
		b := newBox(t).on(save, a)
		if err := b.open().Save(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := b.bodies(save); !slices.Equal(got, []string{`{"nsconfig":{}}`}) {
			t.Errorf("sent %q", got)
		}
	}
	b := newBox(t).on(save, nitro(403, 2138, "Not authorized to execute this command [save ns config]"))
	wantError(t, b.open().Save(t.Context()), nil, "save the configuration: NITRO 2138 (HTTP 403)", `must allow "save ns config"`)
}

func TestErrorsAreOneShortLine(t *testing.T) {
	for _, message := range []string{strings.Repeat("äx ", 10_000), "a\nb\r\x1b[31mred\x00\u202e\u2028 \xff\xfe", "", strings.Repeat("\n", 500)} {
		body, err := json.Marshal(map[string]any{"errorcode": 435, "message": message, "severity": "ERROR"})
		if err != nil {
			t.Fatal(err)
		}
		b := newBox(t).on("PUT "+binding, answer{status: 599, body: string(body)})
		err = bindOne(t.Context(), b.open())
		wantError(t, err, nil, "service group sg: bind 10.0.0.1:80: NITRO 435 (HTTP 599): ")
		wantPrintable(t, err)
		if n := len([]rune(err.Error())); n > 400 || strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Errorf("%d characters: %q", n, err)
		}
	}
}

// Whatever an array is answered, each change ends in a verdict, and the errors
// can be printed.
func FuzzBind(f *testing.F) {
	for _, a := range []answer{
		{status: 201}, ok(done), bulkFailed(itemDone, itemFull), bulkFailed(itemNot, itemExists, itemNot), nitro(409, 1335, "Server already exists"),
		nitro(599, 1240, "x"), page(599), {status: 207, body: `{"errorcode":1243,"response":[{"errorcode":null}]}`}, {status: 200, body: `{"response":7}`},
	} {
		f.Add(a.status, a.body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 999 {
			t.Skip()
		}
		synctest.Test(t, func(t *testing.T) { // busy answers are waited for
			b := newBox(t).on("PUT "+binding, answer{status: status, body: body}, answer{status: 201}).on("GET server", ok(done))
			list := changes(netscaler.Bind, "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3")
			for _, err := range b.open().Do(t.Context(), netscaler.Bind, list) {
				if err != nil {
					wantPrintable(t, err)
				}
			}
			if n := b.count("PUT " + binding); n > 5 {
				t.Errorf("%d calls", n)
			}
		})
	})
}
