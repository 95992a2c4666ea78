package simulator_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// orders are a group's members with their orders, 0 being the default.
func orders(s *simulator.Simulator, group string) string {
	var all []string
	for _, m := range s.Members(group) {
		all = append(all, fmt.Sprintf("%s %d", m.Server, m.Order))
	}
	return strings.Join(all, ", ")
}

// TestOrder follows the order of members through every call that says one, and
// those that must not touch it ("NITRO documentation, servicegroup,
// servicegroup_servicegroupmember_binding and
// servicegroup_servicegroupmemberlist_binding"). Each step begins where the one
// before ended.
func TestOrder(t *testing.T) {
	const (
		group  = "config/servicegroup"
		member = "config/servicegroup_servicegroupmember_binding"
		list   = "config/servicegroup_servicegroupmemberlist_binding"
		three  = "10.0.0.1 4, 10.0.0.2 2, 10.0.0.3 3" // what refused calls must leave

		ok, made, refused = "200 OK", "201 Created", `"severity": "ERROR"`
	)
	// Items are of the group sg; several make an array.
	of := func(typ string) func(items ...string) string {
		return func(items ...string) string {
			body := `{"servicegroupname":"sg",` + strings.Join(items, `},{"servicegroupname":"sg",`) + `}`
			if len(items) > 1 {
				body = "[" + body + "]"
			}
			return `{"` + typ + `":` + body + `}`
		}
	}
	bind, set := of("servicegroup_servicegroupmember_binding"), of("servicegroup")
	ip := func(n int, more string) string { return fmt.Sprintf(`"ip":"10.0.0.%d","port":80%s`, n, more) }
	server := func(n int, more string) string { return fmt.Sprintf(`"servername":"10.0.0.%d","port":80%s`, n, more) }
	give := func(members ...string) string {
		return `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"api","members":[{` + strings.Join(members, "},{") + `}]}}`
	}
	b := start(t, simulator.Options{}, "add serviceGroup sg HTTP\nadd serviceGroup api HTTP -autoScale API\n")
	for _, c := range []struct {
		name, method, target, body string
		line, want                 string // want: a part of the body
		group, orders              string // how the group is then
	}{
		{"bound with one", "PUT", member, bind(ip(1, `,"order":1`)), made, "", "sg", "10.0.0.1 1"},
		{"bound with one, in an array", "PUT", member, bind(ip(2, `,"order":"8192"`), ip(3, "")),
			made, "", "sg", "10.0.0.1 1, 10.0.0.2 8192, 10.0.0.3 0"},
		{"as rows show it", "GET", member + "/sg?attrs=ip,order,orderstr", "", ok,
			`[ { "ip": "10.0.0.1", "order": 1, "orderstr": "1" }, { "ip": "10.0.0.2", "order": 8192, "orderstr": "8192" }, ` +
				`{ "ip": "10.0.0.3", "orderstr": "Default" } ]`, "", ""},
		{"set in an array", "PUT", group, set(server(2, `,"order":2`), server(3, `,"order":3,"weight":7`)),
			ok, done, "sg", "10.0.0.1 1, 10.0.0.2 2, 10.0.0.3 3"},
		{"set in an array, and one that cannot be", "PUT", group + "?onerror=continue", set(server(1, `,"order":4`), server(2, `,"order":8193`)),
			"207 Multi Status", refused, "sg", three},
		{"none below the first", "PUT", group, set(server(1, `,"order":0`)), "", refused, "sg", three},
		{"of a group that names no member", "PUT", group, set(`"order":5`), "", refused, "sg", three},
		{"not touched by a weight", "PUT", group, set(server(2, `,"weight":9`)), ok, done, "sg", three},
		{"not an argument of disable", "POST", group + "?action=disable", set(server(2, `,"order":2`)),
			"599 Netscaler specific error", "Invalid argument [order]", "sg", three},
		{"kept by disable", "POST", group + "?action=disable", set(server(2, `,"delay":9,"graceful":"YES"`)), ok, done, "sg", three},
		{"kept by enable", "POST", group + "?action=enable", set(server(2, "")), ok, done, "sg", three},
		{"gone with the member", "POST", member + "?action=unbind", bind(server(2, "")), ok, done, "sg", "10.0.0.1 4, 10.0.0.3 3"},
		{"and not back with it", "PUT", member, bind(ip(2, "")), made, "", "sg", "10.0.0.1 4, 10.0.0.2 0, 10.0.0.3 3"},
		{"in a list", "PUT", list, give(ip(1, `,"order":1`), ip(2, `,"order":2`), ip(3, "")),
			made, "", "api", "10.0.0.1 1, 10.0.0.2 2, 10.0.0.3 0"},
		{"in a list that is the state desired", "PUT", list, give(ip(1, ""), ip(2, `,"order":5`)), made, "", "api", "10.0.0.1 0, 10.0.0.2 5"},
		{"in a list that cannot be", "PUT", list, give(ip(1, `,"order":8193`)), "", refused, "api", "10.0.0.1 0, 10.0.0.2 5"},
	} {
		a := b.nitro(c.method, c.target, c.body)
		if c.line != "" && a.line != c.line || !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %s %s, want %s %s", c.name, a.line, a.body, c.line, c.want)
		}
		if got := orders(b.Simulator, c.group); got != c.orders {
			t.Errorf("%s: %s has %s, want %s", c.name, c.group, got, c.orders)
		}
	}
}

// TestOrderOnTheCommandLine: an order may be given when a member is bound or
// later, and is kept in what is saved.
func TestOrderOnTheCommandLine(t *testing.T) {
	const commands = `add serviceGroup sg HTTP
bind serviceGroup sg 10.0.0.1 80 -order 1
bind serviceGroup sg 10.0.0.2 80
bind serviceGroup sg 10.0.0.3 80 -weight 3
set serviceGroup sg 10.0.0.2 80 -order 2
`
	b := start(t, simulator.Options{}, commands)
	const want = "10.0.0.1 1, 10.0.0.2 2, 10.0.0.3 0"
	if got := orders(b.Simulator, "sg"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b.nitro("POST", "config/server", `{"server":{"name":"new","ipaddress":"10.0.0.9"}}`) // a change: lines that say one thing become one
	var saved bytes.Buffer
	if err := b.Dump(&saved); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"10.0.0.1 80 -order 1\n", "10.0.0.2 80 -order 2\n", "10.0.0.3 80 -weight 3\n"} {
		if !strings.Contains(saved.String(), "bind serviceGroup sg "+line) {
			t.Errorf("%s is not in\n%s", line, saved.String())
		}
	}
	if got := orders(start(t, simulator.Options{}, saved.String()).Simulator, "sg"); got != want {
		t.Errorf("loaded again: %s, want %s", got, want)
	}
	for _, line := range []string{
		"set serviceGroup sg 10.0.0.2 80 -order 8193", "set serviceGroup sg 10.0.0.2 80 -order 0", "bind serviceGroup sg 10.0.0.4 80 -order none",
	} {
		if b.Load(strings.NewReader(line)) == nil {
			t.Errorf("%s is taken", line)
		}
	}
}

// TestABuildWithoutOrder (before 13.1) knows it in no call and shows it in no row.
func TestABuildWithoutOrder(t *testing.T) {
	b := start(t, simulator.Options{Lacks: []string{"order"}}, conf)
	const (
		member  = "config/servicegroup_servicegroupmember_binding"
		list    = "config/servicegroup_servicegroupmemberlist_binding"
		refused = `"errorcode": 278, "message": "Invalid argument [order]"`
	)
	for _, c := range []struct{ name, method, target, body, want string }{
		{"bind", "PUT", member,
			`{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"10.0.0.9","port":80,"order":1}}`, refused},
		{"set", "PUT", "config/servicegroup",
			`{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80,"order":1}}`, refused},
		{"list", "PUT", list,
			`{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"api","members":[{"ip":"10.0.0.9","port":80,"order":1}]}}`, refused},
		{"vserver", "PUT", "config/lbvserver_servicegroup_binding",
			`{"lbvserver_servicegroup_binding":{"name":"vs","servicegroupname":"empty","order":1}}`, refused},
		{"unless unknown arguments are to be left out", "PUT", "config/servicegroup?skipinvalidarg=yes",
			`{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80,"weight":5,"order":1}}`, done},
	} {
		if a := b.nitro(c.method, c.target, c.body); !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %s %s", c.name, a.line, a.body)
		}
	}
	for _, target := range []string{member + "/sg", "config/servicegroup/sg"} {
		if a := b.nitro("GET", target, ""); a.line != "200 OK" || strings.Contains(a.body, `"order`) {
			t.Errorf("%s: %s %s", target, a.line, a.body)
		}
	}
	if b.Load(strings.NewReader("set serviceGroup sg web1 80 -order 1")) == nil {
		t.Error("the command line knows it")
	}
	if m := b.Members("sg"); len(m) != 3 || m[1].Weight != 5 || m[1].Order != 0 {
		t.Errorf("%+v", m)
	}
}
