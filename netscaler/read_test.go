package netscaler_test

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"nitrox/netscaler"
)

// Each row is of an appliance ("NITRO documentation,
// servicegroup_servicegroupmember_binding", and recorded answers) or is what
// one must survive. Scenario 12 is among them.
func TestRows(t *testing.T) {
	at := netip.MustParseAddrPort
	for _, test := range []struct {
		name, row string
		want      netscaler.Member
	}{
		{"recorded", `{"servicegroupname":"sg","ip":"20.0.0.1","port":8080,"svrstate":"UP","statechangetimesec":"Wed Sep 20 14:41:12 2023",
			"tickssincelaststatechange":"187440408","weight":"3","servername":"web1","customserverid":"None","serverid":"0",
			"state":"ENABLED","hashid":"0","graceful":"NO","delay":0,"delay1":0,"nameserver":"0.0.0.0","dbsttl":0,"orderstr":"Default","trofsdelay":"0"}`,
			netscaler.Member{Addr: at("20.0.0.1:8080"), Server: "web1", Weight: 3, Up: true, Lasts: 187440408 * 10 * time.Millisecond}},
		{"numbers and text the other way", `{"servicegroupname":"sg","ip":"20.0.0.1","port":"8080","svrstate":"DOWN","weight":3,"servername":"web1","state":"ENABLED","delay":"0"}`,
			netscaler.Member{Addr: at("20.0.0.1:8080"), Server: "web1", Weight: 3}},
		{"old build", `{"servicegroupname":"sg","ip":"20.0.0.1","port":80,"svrstate":"UP","weight":"1","servername":"20.0.0.1","serverid":"0","hashid":"0"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "20.0.0.1", Weight: 1, Up: true}},
		{"old build, out of service", `{"servicegroupname":"sg","ip":"20.0.0.1","port":80,"svrstate":"OUT OF SERVICE","servername":"a"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, State: netscaler.Disabled}},
		{"old build, draining", `{"servicegroupname":"sg","ip":"20.0.0.1","port":80,"svrstate":"GOING OUT OF SERVICE","servername":"a"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, State: netscaler.Draining}},
		{"draining by us", `{"ip":"20.0.0.1","port":80,"svrstate":"GOING OUT OF SERVICE","servername":"a","state":"DISABLED","graceful":"YES","delay":1998}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, State: netscaler.Draining, Mark: true, Remaining: 1998 * time.Second}},
		{"down while draining", `{"ip":"20.0.0.1","port":80,"svrstate":"DOWN WHEN GOING OUT OF SERVICE","servername":"a","state":"DISABLED","graceful":"NO","delay":"7"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, State: netscaler.Draining, Remaining: 7 * time.Second}},
		{"drained by us", `{"ip":"20.0.0.1","port":80,"svrstate":"OUT OF SERVICE","servername":"a","state":"DISABLED","graceful":"YES","delay":0}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, State: netscaler.Disabled, Mark: true}},
		{"disabled by an operator", `{"ip":"20.0.0.1","port":80,"svrstate":"OUT OF SERVICE","servername":"a","state":"DISABLED","graceful":"NO"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, State: netscaler.Disabled}},
		{"server or group disabled", `{"ip":"20.0.0.1","port":80,"svrstate":"OUT OF SERVICE","servername":"a","state":"ENABLED","graceful":"YES"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, State: netscaler.DisabledAbove}},
		{"enabled after a drain", `{"ip":"20.0.0.1","port":80,"svrstate":"UP","servername":"a","state":"ENABLED","graceful":"YES","delay":9}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, Up: true}},
		{"states in small letters", `{"ip":"20.0.0.1","port":80,"svrstate":"up","servername":"a","state":"enabled"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1, Up: true}},
		{"IPv6 spelled long", `{"ip":"FF00:0:0:0:0:0:0:8839","port":80,"servername":"ff00::8839","state":"ENABLED"}`,
			netscaler.Member{Addr: at("[ff00::8839]:80"), Server: "ff00::8839", Weight: 1}},
		{"IPv4 in IPv6", `{"ip":"::ffff:20.0.0.1","port":80,"servername":"a","state":"ENABLED"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a", Weight: 1}},
		{"escaped name", `{"ip":"20.0.0.1","port":80,"servername":"a\u002db","state":"ENABLED"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a-b", Weight: 1}},
		{"name that steers terminals", `{"ip":"20.0.0.1","port":80,"servername":"a\u001b[31m\nb","state":"ENABLED"}`,
			netscaler.Member{Addr: at("20.0.0.1:80"), Server: "a [31m b", Weight: 1, NotOurs: "the name of its server cannot be printed"}},
		{"domain that does not resolve", `{"ip":"0.0.0.0","port":80,"servername":"www","state":"ENABLED","svrstate":"DOWN"}`,
			netscaler.Member{Server: "www", Weight: 1, NotOurs: `its server "www" is domain-based`}},
		{"nonsense for an address", `{"ip":"10.0.0\u0007.1","port":80,"servername":"a","state":"ENABLED"}`,
			netscaler.Member{Server: "a", Weight: 1, NotOurs: `its address "10.0.0 .1" cannot be read`}},
		{"all ports", `{"ip":"10.0.0.1","port":"*","servername":"a","state":"ENABLED"}`,
			netscaler.Member{Addr: at("10.0.0.1:65535"), Server: "a", Weight: 1, NotOurs: "it is bound to all ports"}},
		{"all ports, as rows have it", `{"ip":"10.0.0.1","port":65535,"servername":"a","state":"ENABLED"}`,
			netscaler.Member{Addr: at("10.0.0.1:65535"), Server: "a", Weight: 1, NotOurs: "it is bound to all ports"}},
		{"port 65534", `{"ip":"10.0.0.1","port":65534,"servername":"a","state":"ENABLED"}`,
			netscaler.Member{Addr: at("10.0.0.1:65534"), Server: "a", Weight: 1}},
		{"port 65536", `{"ip":"10.0.0.1","port":65536,"servername":"a","state":"ENABLED"}`,
			netscaler.Member{Server: "a", Weight: 1, NotOurs: `its port "65536" cannot be read`}},
		{"odd weight and delay", `{"ip":"10.0.0.1","port":80,"servername":"a","weight":"900","delay":"99999999999999999999","state":"DISABLED","svrstate":"GOING OUT OF SERVICE"}`,
			netscaler.Member{Addr: at("10.0.0.1:80"), Server: "a", Weight: 100, State: netscaler.Draining}},
		{"order", `{"ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED","order":2,"orderstr":"2"}`,
			netscaler.Member{Addr: at("10.0.0.1:80"), Server: "a", Weight: 1, Order: 2}},
		{"order, as text", `{"ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED","order":"8192"}`,
			netscaler.Member{Addr: at("10.0.0.1:80"), Server: "a", Weight: 1, Order: 8192}},
		{"order, in orderstr alone", `{"ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED","orderstr":"5"}`,
			netscaler.Member{Addr: at("10.0.0.1:80"), Server: "a", Weight: 1, Order: 5}},
		{"order, beside a word", `{"ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED","order":7,"orderstr":"Default"}`,
			netscaler.Member{Addr: at("10.0.0.1:80"), Server: "a", Weight: 1, Order: 7}},
		{"no order, in all ways", `{"ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED","order":"0","orderstr":"DEFAULT"}`,
			netscaler.Member{Addr: at("10.0.0.1:80"), Server: "a", Weight: 1}},
		{"no order, null", `{"ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED","order":null,"orderstr":""}`,
			netscaler.Member{Addr: at("10.0.0.1:80"), Server: "a", Weight: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			// A full row first: nothing of it may show in the next.
			first := `{"servicegroupname":"sg","ip":"9.9.9.9","port":99,"svrstate":"GOING OUT OF SERVICE","weight":"99","servername":"first","state":"DISABLED","graceful":"YES","delay":99,"order":99,"orderstr":"99"}`
			b := newBox(t).on(byName("sg"), rows(binding, first+","+test.row))
			groups, err := look(b.open(), t.Context(), []string{"sg"})
			if err != nil {
				t.Fatal(err)
			}
			test.want.NoMark = test.want.NoMark || !strings.Contains(test.row, "customserverid")
			if len(groups["sg"].Members) != 2 || groups["sg"].Members[1] != test.want {
				t.Errorf("got  %+v\nwant %+v", groups["sg"].Members[1:], test.want)
			}
		})
	}
}

// A row that does not say which member it is of, or whether that is enabled, may
// stand for any: nothing is known of its group then, and it is not without
// members. An order that cannot be read is not the default one, which would put
// a standby into service.
func TestRowsThatLeaveTheGroupUnknown(t *testing.T) {
	for name, row := range map[string]string{
		"null": `null`, "nothing": `{}`, "nulls": `{"servicegroupname":"sg","ip":null,"port":null,"servername":null,"state":null}`,
		"no address":     `{"servicegroupname":"sg","port":80,"servername":"a","state":"ENABLED"}`,
		"no port":        `{"servicegroupname":"sg","ip":"10.0.0.2","servername":"a","state":"ENABLED"}`,
		"no state":       `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a"}`,
		"another state":  `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":"MAYBE"}`,
		"list of states": `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":["ENABLED"]}`,
		"address object": `{"servicegroupname":"sg","ip":{},"port":80,"servername":"a","state":"ENABLED"}`,
		"text":           `"10.0.0.2"`, "list": `[]`,
		"order in words":         `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":"ENABLED","orderstr":"Secondary"}`,
		"order that overflows":   `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":"ENABLED","order":99999999999999999999}`,
		"order out of range":     `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":"ENABLED","order":8193}`,
		"order below the first":  `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":"ENABLED","order":-1}`,
		"order object":           `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":"ENABLED","order":{}}`,
		"orders that contradict": `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":"ENABLED","order":1,"orderstr":"2"}`,
		"no order, and a word":   `{"servicegroupname":"sg","ip":"10.0.0.2","port":80,"servername":"a","state":"ENABLED","order":0,"orderstr":"Secondary"}`,
	} {
		first := `{"servicegroupname":"sg","ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED"},`
		for _, names := range [][]string{{"sg"}, {"sg", "a", "b", "c", "d"}} {
			b := newBox(t).on(byName("sg"), rows(binding, first+row)).on(bulk, rows(binding, first+row))
			groups, err := b.open().Read(t.Context(), names)
			if err != nil {
				continue
			}
			if members, err := groups.Members("sg"); err == nil || members != nil {
				t.Errorf("%s, %d groups: %+v, %v", name, len(names), members, err)
			}
			if _, err := groups.Members("a"); len(names) > 1 && err != nil {
				t.Errorf("%s: the group beside it is not known: %v", name, err)
			}
		}
	}
	for _, body := range []string{`null`, `{}`, `"none"`, `0`} {
		b := newBox(t).on(byName("sg"), ok(`{ "errorcode": 0, "message": "Done", "severity": "NONE", "`+binding+`": `+body+` }`))
		if groups, err := b.open().Read(t.Context(), []string{"sg"}); err == nil {
			if members, err := groups.Members("sg"); err == nil {
				t.Errorf("%s in the place of the list is %v", body, members)
			}
		}
	}
}

const fiveRows = `
	{"servicegroupname":"a","ip":"10.0.0.1","port":80,"servername":"10.0.0.1","state":"ENABLED"},
	{"servicegroupname":"other","ip":"10.0.0.9","port":80,"servername":"10.0.0.9","state":"ENABLED"},
	{"ip":"10.0.0.1","port":81,"servername":"10.0.0.1","servicegroupname":"a","state":"ENABLED"},
	{"servicegroupname":"b c","ip":"10.0.0.2","port":80,"servername":"10.0.0.2","state":"ENABLED"},
	{"servicegroupname":"d\u002fe","ip":"10.0.0.3","port":80,"servername":"10.0.0.3","state":"ENABLED"}`

var five = []string{"a", "b c", "d/e", "empty", "missing", "a"}

func TestManyGroupsAreReadInOneCall(t *testing.T) {
	b := newBox(t).on(bulk, rows(binding, fiveRows))
	groups, err := look(b.open(), t.Context(), five)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, b, bulk)
	for name, n := range map[string]int{"a": 2, "b c": 1, "d/e": 1, "empty": 0, "missing": 0} {
		if g := groups[name]; g == nil || len(g.Members) != n || g.Err != nil || g.Attrs != nil {
			t.Errorf("%s: %+v", name, g)
		}
	}
	if len(groups) != 5 {
		t.Errorf("%d groups", len(groups))
	}
}

func TestNoMembersAtAllIsAnAnswer(t *testing.T) {
	b := newBox(t).on(bulk, ok(done))
	groups, err := look(b.open(), t.Context(), five)
	if err != nil || len(groups) != 5 {
		t.Errorf("%v, %v", groups, err)
	}
}

// What is not positively the list must never pass for an empty one.
func TestDoubtfulAnswerIsNoEmptyGroup(t *testing.T) {
	for name, a := range map[string]answer{
		"no body":               {status: 200},
		"no errorcode":          ok(`{}`),
		"no errorcode but rows": ok(`{ "servicegroup_servicegroupmember_binding": [] }`),
		"a page":                page(200),
		"not found page":        page(404),
		"array":                 ok(`[]`),
		"text":                  ok(`"Done"`),
		"errorcode is text":     ok(`{ "errorcode": "none" }`),
		"errorcode is null":     ok(`{ "errorcode": null }`),
		"rows are an object":    ok(`{ "errorcode": 0, "servicegroup_servicegroupmember_binding": {} }`),
		"rows are text":         ok(`{ "errorcode": 0, "servicegroup_servicegroupmember_binding": "none" }`),
		"a row is a number":     ok(`{ "errorcode": 0, "servicegroup_servicegroupmember_binding": [ 1 ] }`),
		"error after the rows":  ok(`{ "servicegroup_servicegroupmember_binding": [ ], "errorcode": 1043, "message": "Internal error", "severity": "ERROR" }`),
		"nested without an end": ok(`{ "errorcode": 0, "x": ` + strings.Repeat("[", 20000)),
		"not found, no answer":  {status: 404},
		"ends after the code":   ok(`{ "errorcode": 0, `),
		"ends before the rows":  ok(`{ "errorcode": 0, "servicegroup_servicegroupmember_binding":`),
		"ends between rows":     ok(`{ "errorcode": 0, "servicegroup_servicegroupmember_binding": [ {"servicegroupname":"sg","ip":"10.0.0.1","port":80,"state":"ENABLED"}`),
		"ends in a row":         ok(`{ "errorcode": 0, "servicegroup_servicegroupmember_binding": [ {"servicegroupname":"sg","ip":"10.0.0.1","port":80,"state":"ENABLED"}, {"ser`),
		"ends after the rows":   ok(`{ "errorcode": 0, "servicegroup_servicegroupmember_binding": [ {"servicegroupname":"sg","ip":"10.0.0.1","port":80,"state":"ENABLED"} ]`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t).on(bulk, a).on(byName("sg"), a)
				c := b.open()
				if groups, err := look(c, t.Context(), []string{"sg"}); err == nil && groups["sg"].Err == nil {
					t.Errorf("by name: %+v", groups["sg"])
				} else if err == nil && errors.Is(groups["sg"].Err, netscaler.ErrNoGroup) {
					t.Errorf("by name, the group is said to be missing: %v", groups["sg"].Err)
				}
				if groups, err := look(c, t.Context(), five); err == nil {
					t.Errorf("in bulk: %+v", groups)
				}
			})
		})
	}
	b := newBox(t).on(bulk, rows(binding, `{"ip":"10.0.0.1","port":80,"state":"ENABLED"}`))
	_, err := b.open().Read(t.Context(), five)
	wantError(t, err, nil, "read the members of all service groups", "a member without a servicegroupname")
}

func TestRowsOfAnAnswerThatWasCutOffAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := rows(binding, `{"servicegroupname":"a","ip":"10.0.0.1","port":80,"state":"ENABLED"}, {"servicegroupname":"a","ip":"10.0.0.2","port":80,"state":"ENABLED"}`)
		cut := ok(whole.body[:len(whole.body)-30])
		b := newBox(t).on(bulk, cut, cut, whole).on(byName("a"), cut, cut, whole)
		c := b.open()
		for _, names := range [][]string{{"a"}, {"a", "b", "c", "d", "e"}} {
			groups, err := look(c, t.Context(), names)
			if err != nil || len(groups["a"].Members) != 2 {
				t.Errorf("%+v, %v", groups["a"], err)
			}
		}
	})
}

func TestAnswerWithoutAnEndIsCutOff(t *testing.T) {
	b := newBox(t).on("GET hanode/0", ok(`{ "errorcode": 0, "x": "`+strings.Repeat("x", 17<<20)+`" }`))
	wantError(t, b.open().Writable(t.Context()), netscaler.ErrUnavailable, "too large")
}

func TestFewGroupsAreReadByName(t *testing.T) {
	b := newBox(t).
		on(byName("a"), rows(binding, `{"servicegroupname":"a","ip":"10.0.0.1","port":80,"state":"ENABLED"}`)).
		on(byName("b%2520c%252Fd%253Ae%2523%2525"), rows(binding, `{"servicegroupname":"b c/d:e#%","ip":"10.0.0.2","port":80,"state":"ENABLED"}`)).
		on(byName("missing"), nitro(404, 258, "No such resource [serviceGroupName, missing]")).
		on(byName("forbidden"), nitro(403, 2138, "Not authorized to execute this command [show serviceGroup forbidden]"))
	groups, err := look(b.open(), t.Context(), []string{"a", "b c/d:e#%", "missing", "forbidden"})
	if err != nil {
		t.Fatal(err)
	}
	if len(groups["a"].Members) != 1 || len(groups["b c/d:e#%"].Members) != 1 {
		t.Errorf("%+v", groups)
	}
	wantError(t, groups["missing"].Err, netscaler.ErrNoGroup, "service group missing: no such service group; create it")
	wantError(t, groups["forbidden"].Err, nil, "read service group forbidden: NITRO 2138 (HTTP 403)", `must allow "show serviceGroup forbidden"`)
	if errors.Is(groups["forbidden"].Err, netscaler.ErrNoGroup) {
		t.Error("what may not be read is said to be missing")
	}
}

func TestRefusedBulkReadIsRememberedAndGroupsReadByName(t *testing.T) {
	for name, refusal := range map[string]answer{
		"2138": nitro(403, 2138, "Not authorized to execute this command [show serviceGroup]"),
		"1095": nitro(400, 1095, "Required argument missing [name]"), "278": nitro(599, 278, "Invalid argument [bulkbindings]"),
		"1090": nitro(599, 1090, "No such argument"), "1240": nitro(599, 1240, "Invalid nitro action or operation"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t).on(bulk, refusal)
			names := []string{"a", "b", "c", "d", "e"}
			for _, name := range names {
				b.on(byName(name), rows(binding, `{"servicegroupname":"`+name+`","ip":"10.0.0.1","port":80,"state":"ENABLED"}`))
			}
			c := b.open()
			for range 2 {
				groups, err := look(c, t.Context(), names)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range names {
					if len(groups[name].Members) != 1 {
						t.Errorf("%s: %+v", name, groups[name])
					}
				}
			}
			if b.count(bulk) != 1 || len(b.lines()) != 11 {
				t.Errorf("calls: %v", b.lines())
			}
		})
	}
}

func TestOneGroupsTroubleByNameIsEverybodysIfItIsTheAppliances(t *testing.T) {
	b := newBox(t).on(byName("a"), rows(binding, "")).on(byName("b"), page(404))
	groups, err := look(b.open(), t.Context(), []string{"a", "b"})
	wantError(t, err, nil, "read service group b: HTTP 404: not a NITRO answer: Sorry & bye")
	if groups != nil {
		t.Errorf("a result: %v", groups)
	}
}

const attrsQuery = "?attrs=servicegroupname,servicetype,state,autoscale,autodisablegraceful,autodisabledelay,td,comment"

func TestDetail(t *testing.T) {
	list := rows("servicegroup", `{"servicegroupname":"a","state":"ENABLED","autoscale":"API","autodisablegraceful":"YES","autodisabledelay":"30"},
		{"servicegroupname":"b","state":"DISABLED","comment":"of the \"shop\""}, {"servicegroupname":"other"}, {"servicegroupname":"c","autoscale":"dns","autodisabledelay":7}`)
	want := map[string]*netscaler.Attrs{
		"a": {Autoscale: "API", DrainGraceful: true, DrainDelay: 30 * time.Second},
		"b": {Autoscale: "DISABLED", Disabled: true, Comment: `of the "shop"`},
		"c": {Autoscale: "DNS", DrainDelay: 7 * time.Second},
	}
	refusal := nitro(599, 278, "Invalid argument [autodisablegraceful]")
	held := errors.New("held")
	for _, test := range []struct {
		name  string
		box   func(*box)
		names string
		lines []string
	}{
		{"many in one call", func(b *box) { b.on("GET servicegroup"+attrsQuery, list) }, "abcde", []string{"GET servicegroup" + attrsQuery}},
		{"many on an old build", func(b *box) { b.on("GET servicegroup"+attrsQuery, refusal).on("GET servicegroup", list) }, "abcde",
			[]string{"GET servicegroup" + attrsQuery, "GET servicegroup"}},
		{"many by name", func(b *box) {
			b.on("GET servicegroup"+attrsQuery, nitro(403, 2138, "Not authorized"))
			for _, name := range strings.Split("abcde", "") {
				b.on("GET servicegroup/"+name+attrsQuery, nitro(404, 258, "No such resource [serviceGroupName, "+name+"]"))
			}
			b.on("GET servicegroup/a"+attrsQuery, rows("servicegroup", `{"servicegroupname":"A","state":"ENABLED","autoscale":"API","autodisablegraceful":"YES","autodisabledelay":"30"}`))
			b.on("GET servicegroup/b"+attrsQuery, rows("servicegroup", `{"servicegroupname":"b","state":"DISABLED","comment":"of the \"shop\""}`))
			b.on("GET servicegroup/c"+attrsQuery, rows("servicegroup", `{"servicegroupname":"c","autoscale":"DNS","autodisabledelay":7}`))
		}, "abcde", nil},
		{"few by name", func(b *box) {
			b.on("GET servicegroup/a"+attrsQuery, refusal)
			b.on("GET servicegroup/a", rows("servicegroup", `{"servicegroupname":"a","autoscale":"API","autodisablegraceful":"YES","autodisabledelay":30}`))
		}, "a", []string{"GET servicegroup/a" + attrsQuery, "GET servicegroup/a"}},
		{"no groups, no call", func(*box) {}, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t)
			test.box(b)
			groups := map[string]*seen{"refused": {Err: held}}
			for _, name := range strings.Split(test.names, "") {
				groups[name] = &seen{}
			}
			c := b.open()
			if err := detail(c, t.Context(), groups); err != nil {
				t.Fatal(err)
			}
			for name, g := range groups {
				switch {
				case name == "refused":
					if g.Err != held {
						t.Errorf("%+v", g)
					}
				case want[name] == nil:
					wantError(t, g.Err, netscaler.ErrNoGroup, "service group "+name)
				case g.Err != nil || !reflect.DeepEqual(g.Attrs, want[name]):
					t.Errorf("%s: %+v, %v", name, g.Attrs, g.Err)
				}
			}
			if test.lines != nil {
				wantLines(t, b, test.lines...)
			}
		})
	}
}

func TestRefusedAttributesAreRemembered(t *testing.T) {
	b := newBox(t).on("GET servicegroup/a"+attrsQuery, nitro(599, 1090, "No such argument")).on("GET servicegroup/a", rows("servicegroup", `{"servicegroupname":"a"}`))
	c := b.open()
	for range 2 {
		groups := map[string]*seen{"a": {}}
		if err := detail(c, t.Context(), groups); err != nil || groups["a"].Attrs == nil {
			t.Errorf("%+v, %v", groups["a"], err)
		}
	}
	wantLines(t, b, "GET servicegroup/a"+attrsQuery, "GET servicegroup/a", "GET servicegroup/a")
}

func TestDetailThatFailsKeepsTheGroups(t *testing.T) {
	b := newBox(t).on("GET servicegroup"+attrsQuery, page(404))
	groups := map[string]*seen{}
	for _, name := range five {
		groups[name] = &seen{}
	}
	wantError(t, detail(b.open(), t.Context(), groups), nil, "read the attributes of all service groups: HTTP 404")
	for name, g := range groups {
		if g.Err != nil || g.Attrs != nil {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

// Whatever comes back, a read does not crash, and by name it has a member for
// every row or none at all.
func FuzzRead(f *testing.F) {
	for _, row := range []string{
		`{"servicegroupname":"sg","ip":"20.0.0.1","port":8080,"svrstate":"UP","weight":"3","servername":"web1","state":"ENABLED","graceful":"NO","delay":0}`,
		`{"ip":"::ffff:1.2.3.4","port":"*","state":"ENABLED"}`, `{"ip":"0.0.0.0"}`, `null`, `{"IP":[]}`, `{"port":1e9,"state":"ENABLED"}`, `{"servername":"\ud800\u0000"}`,
	} {
		f.Add(200, rows(binding, row).body)
	}
	f.Add(200, `{ "errorcode": 258, "message": "x\u202e[serviceGroupName" }`)
	f.Add(404, `{ "errorcode": "258" }`)
	f.Add(599, `<html><script>x</script>`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 999 {
			t.Skip()
		}
		synctest.Test(t, func(t *testing.T) { // busy answers are waited for
			fuzzRead(t, answer{status: status, body: body})
		})
	})
}

func fuzzRead(t *testing.T, a answer) {
	b := newBox(t).on(byName("sg"), a).on(bulk, a)
	for _, name := range []string{"a", "b%2520c", "d%252Fe", "empty", "missing"} { // as a build without bulk reads is asked
		b.on(byName(name), a)
	}
	c := b.open()
	groups, err := look(c, t.Context(), []string{"sg"})
	if err != nil {
		wantPrintable(t, err)
		return
	}
	g := groups["sg"]
	if g.Err != nil {
		wantPrintable(t, g.Err)
	}
	for _, m := range g.Members {
		if m.Weight < 1 || m.Weight > 100 || m.Remaining < 0 || m.NotOurs == "" && (!m.Addr.IsValid() || m.Addr.Port() == 0 || m.Addr.Addr().Is4In6()) {
			t.Errorf("%+v", m)
		}
		wantPrintable(t, errors.New(m.Server+m.NotOurs))
	}
	if all, err := look(c, t.Context(), five); err == nil && len(all) != 5 {
		t.Errorf("%d groups", len(all))
	}
}

func wantPrintable(t *testing.T, err error) {
	t.Helper()
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	if s := err.Error(); len(s) > 8000 || slices.ContainsFunc([]rune(s), bad) {
		t.Errorf("%d bytes: %q", len(s), s)
	}
}
