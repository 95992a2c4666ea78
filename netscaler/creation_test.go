package netscaler_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"nitrox/netscaler"
)

func creation(op netscaler.Op, group string, c *netscaler.Creation) []netscaler.Change {
	return []netscaler.Change{{Op: op, Group: group, Create: c}}
}

var front = &netscaler.VServer{Name: "lb", Addr: netip.MustParseAddrPort("192.0.2.5:80")}

func TestBodiesOfCreations(t *testing.T) {
	six := &netscaler.VServer{Name: "lb6", Addr: netip.MustParseAddrPort("[2001:db8::5]:443"), Method: "ROUNDROBIN"}
	for _, test := range []struct {
		op         netscaler.Op
		create     netscaler.Creation
		line, body string
	}{
		{netscaler.AddGroup, netscaler.Creation{ServiceType: "HTTP", Drain: time.Minute}, "POST servicegroup", `{"servicegroup":{"servicegroupname":"sg","servicetype":"HTTP"}}`},
		{netscaler.AddGroup, netscaler.Creation{ServiceType: "HTTP", MemberList: true}, "POST servicegroup", `{"servicegroup":{"autoscale":"API","servicegroupname":"sg","servicetype":"HTTP"}}`},
		{netscaler.AddGroup, netscaler.Creation{ServiceType: "SSL", MemberList: true, Drain: time.Minute}, "POST servicegroup",
			`{"servicegroup":{"autodisabledelay":60,"autodisablegraceful":"YES","autoscale":"API","servicegroupname":"sg","servicetype":"SSL"}}`},
		{netscaler.AddGroup, netscaler.Creation{ServiceType: "HTTP", Comment: "nitrox prod shop/web"}, "POST servicegroup",
			`{"servicegroup":{"comment":"nitrox prod shop/web","servicegroupname":"sg","servicetype":"HTTP"}}`},
		{netscaler.AddVServer, netscaler.Creation{ServiceType: "HTTP", VServer: front}, "POST lbvserver", `{"lbvserver":{"ipv46":"192.0.2.5","name":"lb","port":80,"servicetype":"HTTP"}}`},
		{netscaler.AddVServer, netscaler.Creation{ServiceType: "SSL", VServer: six}, "POST lbvserver", `{"lbvserver":{"ipv46":"2001:db8::5","lbmethod":"ROUNDROBIN","name":"lb6","port":443,"servicetype":"SSL"}}`},
		{netscaler.BindVServer, netscaler.Creation{VServer: front}, "PUT lbvserver_servicegroup_binding", `{"lbvserver_servicegroup_binding":{"name":"lb","servicegroupname":"sg"}}`},
	} {
		b := newBox(t).on(test.line, answer{status: 201}, nitro(409, 273, "Resource already exists"), nitro(599, 1043, "Internal error"))
		c := b.open()
		wantNil(t, c.Do(t.Context(), test.op, creation(test.op, "sg", &test.create)))
		if got := b.bodies(test.line); !slices.Equal(got, []string{test.body}) {
			t.Errorf("%v: %s", test.op, got)
		}
		// Another copy was quicker, it is said.
		wantError(t, c.Do(t.Context(), test.op, creation(test.op, "sg", &test.create))[0], netscaler.ErrUnsure, "273")
		wantError(t, c.Do(t.Context(), test.op, creation(test.op, "sg", &test.create))[0], nil, fmt.Sprintf("service group sg: %s ", test.op), "1043")
	}
	// The virtual server is missing, not the group of the same name.
	b := newBox(t).on("PUT lbvserver_servicegroup_binding", nitro(404, 258, "No such resource [name, lb]"))
	wantError(t, b.open().Do(t.Context(), netscaler.BindVServer, creation(netscaler.BindVServer, "lb", &netscaler.Creation{VServer: front}))[0], nil, "service group lb: bind vserver lb: NITRO 258")
}

func TestCreationThatDoesNotSayWhatIsNeverSent(t *testing.T) {
	bad := map[netscaler.Op][]*netscaler.Creation{
		netscaler.AddGroup:    {nil, {}, {ServiceType: "HTTP", VServer: &netscaler.VServer{Name: "lb[1-2]"}}, {ServiceType: "HTTP", Comment: "a\nb"}},
		netscaler.AddVServer:  {nil, {ServiceType: "HTTP"}, {VServer: front}, {ServiceType: "HTTP", VServer: &netscaler.VServer{Name: "lb"}}, {ServiceType: "HTTP", VServer: &netscaler.VServer{Addr: front.Addr}}},
		netscaler.BindVServer: {nil, {}, {VServer: &netscaler.VServer{}}},
	}
	for op, list := range bad {
		for _, c := range list {
			b := newBox(t)
			wantError(t, b.open().Do(t.Context(), op, creation(op, "sg", c))[0], nil, "not sent: ")
			if len(b.calls) != 0 {
				t.Errorf("%v of %+v: %v", op, c, b.lines())
			}
		}
	}
}

func TestFrontEnds(t *testing.T) {
	t.Parallel()
	const rowsOf = "GET lbvserver_servicegroup_binding/"
	b := newBox(t).
		on("GET lbvserver/a", rows("lbvserver", `{"name":"a","servicetype":"HTTP","ipv46":"192.0.2.5","port":80,"lbmethod":"ROUNDROBIN"}`)).
		on(rowsOf+"a", rows("lbvserver_servicegroup_binding", `{"name":"a","servicegroupname":"sg"},{"name":"a","servicegroupname":"sg2"}`)).
		on("GET lbvserver/b%2520c", rows("lbvserver", `{"name":"b c","servicetype":"SSL","ipv46":"2001:DB8:0::5","port":"443"}`)).
		on(rowsOf+"b%2520c", ok(done)).
		on("GET lbvserver/cs", rows("lbvserver", `{"name":"cs","servicetype":"HTTP","ipv46":"0.0.0.0","port":0}`)).
		on(rowsOf+"cs", nitro(404, 258, "No such resource [name, cs]")).
		on("GET lbvserver/gone", nitro(404, 258, "No such resource [name, gone]")).
		on("GET lbvserver/gone2", nitro(599, 461, "No such Vserver")).
		on("GET lbvserver/empty", ok(done))
	got, err := b.open().FrontEnds(t.Context(), []string{"a", "b c", "cs", "gone", "gone2", "empty", "a"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a":   "true HTTP 192.0.2.5:80 ROUNDROBIN [sg sg2]",
		"b c": "true SSL [2001:db8::5]:443  []", "cs": "true HTTP 0.0.0.0:0  []",
		"gone": "false  invalid AddrPort  []", "gone2": "false  invalid AddrPort  []",
	} {
		f, err := got.Of(name)
		if err != nil {
			t.Fatal(err)
		}
		if is := fmt.Sprint(f.Exists, " ", f.ServiceType, " ", f.Addr, " ", f.Method, " ", f.Groups); f.Name != name || is != want {
			t.Errorf("%s: %s; want %s", name, is, want)
		}
	}
	_, err = got.Of("empty") // an answer without its row does not say that there is none
	wantError(t, err, nil, "read lb vserver empty: the answer has no entry for what was asked")
	_, err = got.Of("never asked for")
	wantError(t, err, nil, "not read")
	b = newBox(t).on("GET lbvserver/a", nitro(403, 2138, "Not authorized to execute this command [show lb vserver a]"))
	if got, err = b.open().FrontEnds(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	_, err = got.Of("a")
	wantError(t, err, nil, "read lb vserver a: NITRO 2138", `must allow "show lb vserver a"`)
	b = newBox(t).on("GET lbvserver/a", rows("lbvserver", `{"name":"a"}`)).on(rowsOf+"a", page(500))
	_, err = b.open().FrontEnds(t.Context(), []string{"a"})
	wantError(t, err, netscaler.ErrUnavailable, "read lb vserver a: ")
}

func removal(server, addr string) netscaler.Change {
	m := member(addr)
	m.Server = server
	return netscaler.Change{Op: netscaler.RemoveServer, Group: "sg", Member: m}
}

const (
	theServer = "GET server/10.0.0.9"
	itsUsers  = "GET server_binding/10.0.0.9"
	rmServer  = "DELETE server/10.0.0.9"
)

// A server is removed only if it is what binding an address makes, and nothing
// else uses it.
func TestServerIsRemovedOnlyIfNothingUsesIt(t *testing.T) {
	made := rows("server", `{"name":"10.0.0.9","ipaddress":"10.0.0.9"}`)
	free := rows("server_binding", `{"name":"10.0.0.9"}`)
	gone := nitro(404, 258, "No such resource [name, 10.0.0.9]")
	for _, test := range []struct {
		name                string
		server, users, away answer
		err                 error
		says                string
		removed             bool
	}{
		{"unused", made, free, ok(done), nil, "", true},
		{"empty lists", made, rows("server_binding", `{"name":"10.0.0.9","server_servicegroup_binding":[ ]}`), ok(done), nil, "", true},
		{"a null for a list", made, rows("server_binding", `{"name":"10.0.0.9","server_servicegroup_binding":null}`), ok(done), netscaler.ErrInUse, "", false},
		{"bindings without its own row", made, ok(done), ok(done), nil, "no entry for what was asked", false},
		{"bindings of another", made, rows("server_binding", `{"name":"10.0.0.8"}`), ok(done), nil, "no entry for what was asked", false},
		{"without its own row", ok(done), free, ok(done), nil, "no entry for what was asked", false},
		{"in a group", made, rows("server_binding", `{"name":"10.0.0.9","server_servicegroup_binding":[{"servicegroupname":"other"}]}`), ok(done), netscaler.ErrInUse, "server_servicegroup_binding", false},
		{"a service", made, rows("server_binding", `{"name":"10.0.0.9","server_service_binding":[{"servicename":"s"}]}`), ok(done), netscaler.ErrInUse, "server_service_binding", false},
		{"something new", made, rows("server_binding", `{"name":"10.0.0.9","server_gslbservicegroup_binding":[{"x":"s"}]}`), ok(done), netscaler.ErrInUse, "", false},
		{"a domain", rows("server", `{"name":"10.0.0.9","domain":"db.example.com"}`), free, ok(done), netscaler.ErrInUse, "", false},
		{"a domain of that address", rows("server", `{"name":"10.0.0.9","ipaddress":"10.0.0.9","domain":"db.example.com"}`), free, ok(done), netscaler.ErrInUse, "", false},
		{"another address", rows("server", `{"name":"10.0.0.9","ipaddress":"10.0.0.8"}`), free, ok(done), netscaler.ErrInUse, "", false},
		{"gone before", gone, free, ok(done), netscaler.ErrGone, "", false},
		{"gone meanwhile", made, free, gone, netscaler.ErrGone, "", true},
		{"not to be seen", made, nitro(403, 2138, "Not authorized [show server 10.0.0.9]"), ok(done), nil, "must allow", false},
		{"not to be removed", made, free, nitro(403, 2138, "Not authorized [rm server 10.0.0.9]"), nil, `must allow "rm server 10.0.0.9"`, true},
		{"nonsense", made, page(200), ok(done), netscaler.ErrUnavailable, "", false},
		{"lost", made, free, lost, netscaler.ErrUnsure, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t).on(theServer, test.server).on(itsUsers, test.users).on(rmServer, test.away)
			err := b.open().Do(t.Context(), netscaler.RemoveServer, []netscaler.Change{removal("10.0.0.9", "10.0.0.9:80")})[0]
			if test.err == nil && test.says == "" {
				wantNil(t, []error{err})
			} else {
				wantError(t, err, test.err, "service group sg: remove server 10.0.0.9: ", test.says)
			}
			if n := b.count(rmServer); n > 1 || (n == 1) != test.removed {
				t.Errorf("removed %d times", n)
			}
		})
	}
	b := newBox(t)
	for _, name := range []string{"web9", "10.0.0.8", "", "10.0.0.[8-9]"} {
		wantError(t, b.open().Do(t.Context(), netscaler.RemoveServer, []netscaler.Change{removal(name, "10.0.0.9:80")})[0], nil, "not sent: ")
	}
	b = newBox(t).on(theServer, made).on(itsUsers, free).on(rmServer, ok(done))
	errs := b.open().Do(t.Context(), netscaler.RemoveServer, []netscaler.Change{removal("10.0.0.9", "10.0.0.9:80"), removal("10.0.0.9", "10.0.0.9:81")})
	wantNil(t, errs[:1])
	wantError(t, errs[1], netscaler.ErrGone)
	wantLines(t, b, theServer, itsUsers, rmServer)
}
