package netscaler_test

import (
	"context"
	"net/netip"
	"testing"

	"nitrox/netscaler"
)

// A read by name that is answered with the rows of something else says nothing of
// what was asked for, in whatever row they are.
func TestRowsOfAnotherObjectAreNotBelieved(t *testing.T) {
	const mine, others = `{"servicegroupname":"sg","ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED"}`,
		`{"servicegroupname":"other","ip":"10.0.0.2","port":80,"servername":"b","state":"ENABLED"}`
	const lb = `{"name":"lb","servicetype":"HTTP","ipv46":"192.0.2.5","port":80}`
	const bound = "GET lbvserver_servicegroup_binding/lb"
	for name, test := range map[string]struct {
		box  func(*box)
		read func(*netscaler.Client) error
	}{
		"members":          {func(b *box) { b.on(byName("sg"), rows(binding, others)) }, membersOf},
		"the last member":  {func(b *box) { b.on(byName("sg"), rows(binding, mine+","+others)) }, membersOf},
		"the first member": {func(b *box) { b.on(byName("sg"), rows(binding, others+","+mine)) }, membersOf},
		"members, one by one": {func(b *box) {
			b.on(bulk, nitro(599, 278, "Invalid argument [bulkbindings]")).on(byName("sg"), rows(binding, others))
			for _, name := range []string{"a", "b", "c", "d"} {
				b.on(byName(name), rows(binding, ""))
			}
		}, func(c *netscaler.Client) error {
			groups, err := c.Read(t.Context(), []string{"sg", "a", "b", "c", "d"})
			if err != nil {
				t.Errorf("the other groups are not known either: %v", err)
			}
			_, err = groups.Members("sg")
			return err
		}},
		"attributes": {func(b *box) {
			b.on("GET servicegroup/sg"+attrsQuery, rows("servicegroup", `{"servicegroupname":"other"}`))
		}, attributesOf},
		"attributes, and more": {func(b *box) {
			b.on("GET servicegroup/sg"+attrsQuery, rows("servicegroup", `{"servicegroupname":"sg"}, {"servicegroupname":"other"}`))
		}, attributesOf},
		"server": {func(b *box) { b.on("GET server/a", rows("server", `{"name":"other","domain":"www.example.com"}`)) }, func(c *netscaler.Client) error {
			s, err := c.Servers(t.Context(), []string{"a"})
			if err == nil {
				_, err = s.Domain("a")
			}
			return err
		}},
		"vserver": {func(b *box) { b.on("GET lbvserver/lb", rows("lbvserver", `{"name":"other","servicetype":"HTTP"}`)) }, frontEnd},
		"what is bound to it": {func(b *box) {
			b.on("GET lbvserver/lb", rows("lbvserver", lb)).on(bound, rows("lbvserver_servicegroup_binding", `{"name":"other","servicegroupname":"sg"}`))
		}, frontEnd},
		"its role":             {func(b *box) { b.on("GET hanode/0", rows("hanode", `{"id":"1","state":"Primary"}`)) }, func(c *netscaler.Client) error { return c.Writable(t.Context()) }},
		"its role, by numbers": {func(b *box) { b.on("GET hanode/0", rows("hanode", `{"id":1,"state":"Primary"}`)) }, func(c *netscaler.Client) error { return c.Writable(t.Context()) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			test.box(b)
			wantError(t, test.read(b.open()), nil, "no entry for what was asked, but one for")
		})
	}
}

func membersOf(c *netscaler.Client) error {
	groups, err := c.Read(context.Background(), []string{"sg"})
	if err == nil {
		_, err = groups.Members("sg")
	}
	return err
}

func attributesOf(c *netscaler.Client) error {
	all, err := c.Attributes(context.Background(), []string{"sg"})
	if err == nil {
		_, err = all.Of("sg")
	}
	return err
}

func frontEnd(c *netscaler.Client) error {
	all, err := c.FrontEnds(context.Background(), []string{"lb"})
	if err == nil {
		_, err = all.Of("lb")
	}
	return err
}

// Where the mapping writes a name in another case than the NetScaler, a list of all
// groups does not pass for a group without members: it is asked for by its name.
func TestANameInAnotherCaseIsAskedForByName(t *testing.T) {
	const other = `{"servicegroupname":"A","ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED"}`
	names := []string{"a", "b", "c", "d", "e"}
	b := newBox(t).on(bulk, rows(binding, other+","+other)).on(byName("a"), rows(binding, other)).
		on("GET servicegroup"+attrsQuery, rows("servicegroup", `{"servicegroupname":"A","autoscale":"API"}, {"servicegroupname":"b"}`)).
		on("GET servicegroup/a"+attrsQuery, rows("servicegroup", `{"servicegroupname":"A","autoscale":"API"}`))
	c := b.open()
	groups, err := c.Read(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	if members, err := groups.Members("a"); err != nil || len(members) != 1 {
		t.Errorf("%v, %v", members, err)
	}
	attrs, err := c.Attributes(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := attrs.Of("a"); err != nil || a.Autoscale != "API" {
		t.Errorf("%+v, %v", a, err)
	}
	// It may also tell them apart.
	b = newBox(t).on(bulk, rows(binding, other)).on(byName("a"), nitro(404, 258, "No such resource [serviceGroupName, a]"))
	if groups, err = b.open().Read(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	_, err = groups.Members("a")
	wantError(t, err, netscaler.ErrNoGroup)
}

// What answers a log-in without being a NetScaler, or a Console, is told so.
func TestALogInAtSomethingElse(t *testing.T) {
	for _, test := range []struct {
		instance string
		answer   answer
		says     string
	}{
		{"", page(404), "no NetScaler answers POST http://ns.example/nitro/v1/config/login like this; give the URL of its management address (NSIP)"},
		{"", answer{status: 404, body: `{"error": "not found"}`}, "no NetScaler answers POST"},
		{"", page(400), "if the port expects TLS, write https:// in the URL"},
		{"192.0.2.30", page(404), "no NetScaler Console answers POST http://ns.example/nitro/v1/config/login like this; give the Console's URL as via"},
	} {
		b := newBox(t).on("POST login", test.answer)
		c := b.open(func(cfg *netscaler.Config) {
			if test.instance != "" {
				cfg.Instance = netip.MustParseAddr(test.instance)
			}
		})
		_, err := c.Read(t.Context(), []string{"sg"})
		wantError(t, err, nil, test.says)
	}
}
