package simulator_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler/simulator"
)

var web1, second = netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:8080")

// row reads some fields of a member's row.
func (in *inside) row(group, server, attrs string) string {
	in.Helper()
	_, body := in.do("GET", "config/servicegroup_servicegroupmember_binding/"+group+"?filter=servername:"+server+"&attrs="+attrs, "")
	_, rows, _ := strings.Cut(body, "_binding\": [ ")
	return strings.TrimSuffix(rows, " ] }")
}

func (in *inside) disable(attrs string) {
	in.Helper()
	if _, body := in.do("POST", "config/servicegroup?action=disable", `{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80`+attrs+`}}`); body != done {
		in.Fatal(body)
	}
}

// TestDrain is the table of NITRO's documentation for disable: what the member
// shows at once, and what ends it.
func TestDrain(t *testing.T) {
	const (
		out   = `{ "svrstate": "OUT OF SERVICE", "state": "DISABLED", "graceful": `
		going = `{ "svrstate": "GOING OUT OF SERVICE", "state": "DISABLED", "graceful": `
	)
	reason := `, "trofsreason": "Trofs Because of Disable Cmd"`
	type step struct {
		after time.Duration
		idle  bool // the last client leaves then
		want  string
	}
	for _, c := range []struct {
		name, attrs string
		o           simulator.Options
		steps       []step
	}{
		{"neither", ``, simulator.Options{}, []step{{0, false, out + `"NO", "delay": 0 }`}}},
		{"delay", `,"delay":30`, simulator.Options{}, []step{
			{0, false, going + `"NO", "delay": 30` + reason + ` }`}, {29*time.Second + 1, true, going + `"NO", "delay": 1` + reason + ` }`},
			{time.Second, false, out + `"NO", "delay": 0 }`}}},
		{"graceful", `,"graceful":"YES"`, simulator.Options{}, []step{
			{0, false, going + `"YES", "delay": 0` + reason + ` }`}, {24 * time.Hour, true, out + `"YES", "delay": 0 }`}}},
		{"graceful and delay, by delay", `,"graceful":"yes","delay":"30"`, simulator.Options{}, []step{
			{10 * time.Second, false, going + `"YES", "delay": 20` + reason + ` }`}, {20 * time.Second, false, out + `"YES", "delay": 0 }`}}},
		{"graceful and delay, by clients", `,"graceful":"YES","delay":30`, simulator.Options{}, []step{
			{10 * time.Second, true, out + `"YES", "delay": 0 }`}}},
		{"clients that leave by themselves", `,"graceful":"YES","delay":30`, simulator.Options{ClientsLeave: 12 * time.Second}, []step{
			{11 * time.Second, false, going + `"YES", "delay": 19` + reason + ` }`}, {time.Second, false, out + `"YES", "delay": 0 }`}}},
		{"no clients", `,"graceful":"YES","delay":30`, simulator.Options{ClientsLeave: -1}, []step{{0, false, out + `"YES", "delay": 0 }`}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock(t, c.o, conf, func(in *inside) {
				in.disable(c.attrs)
				for i, s := range c.steps {
					time.Sleep(s.after)
					if s.idle {
						in.SetIdle("sg", web1)
					}
					if got := in.row("sg", "web1", "svrstate,state,graceful,delay,trofsreason"); got != s.want {
						in.Errorf("step %d: %s\nwant %s", i, got, s.want)
					}
				}
			})
		})
	}
}

func TestDrainOfAMemberThatIsDown(t *testing.T) {
	clock(t, simulator.Options{}, conf, func(in *inside) {
		in.disable(`,"delay":30`)
		in.SetUp("sg", web1, false)
		if got := in.row("sg", "web1", "svrstate"); got != `{ "svrstate": "DOWN WHEN GOING OUT OF SERVICE" }` {
			in.Error(got)
		}
	})
}

func TestEnableEndsADrain(t *testing.T) {
	clock(t, simulator.Options{ProbeDelay: 5 * time.Second}, conf, func(in *inside) {
		time.Sleep(time.Minute)
		in.disable(`,"delay":30,"graceful":"YES"`)
		time.Sleep(10 * time.Second)
		if _, body := in.do("POST", "config/servicegroup?action=enable", `{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80}}`); body != done {
			in.Fatal(body)
		}
		// The monitors start over, as with a new member.
		if got := in.row("sg", "web1", "svrstate,state,graceful"); got != `{ "svrstate": "DOWN", "state": "ENABLED", "graceful": "NO" }` {
			in.Error(got)
		}
		time.Sleep(5 * time.Second)
		if got := in.row("sg", "web1", "svrstate,tickssincelaststatechange"); got != `{ "svrstate": "UP", "tickssincelaststatechange": "0" }` {
			in.Error(got)
		}
		// A second drain does not remember that clients left in the first.
		in.disable(`,"graceful":"YES"`)
		time.Sleep(time.Hour)
		if got := in.row("sg", "web1", "svrstate"); got != `{ "svrstate": "GOING OUT OF SERVICE" }` {
			in.Error(got)
		}
	})
}

// TestProbes: a new member is DOWN until a probe found it, unless nothing
// probes it.
func TestProbes(t *testing.T) {
	clock(t, simulator.Options{ProbeDelay: 10 * time.Second}, conf+"add serviceGroup trusting HTTP -healthMonitor NO\nbind serviceGroup trusting 10.0.0.1 80\n", func(in *inside) {
		late := netip.MustParseAddrPort("10.0.0.7:80")
		in.SetUp("sg", late, false)
		in.do("PUT", "config/servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"10.0.0.7","port":80}}`)
		states := func() string {
			var all []string
			for _, name := range []string{"web1", "10.0.0.7"} {
				all = append(all, strings.Trim(strings.TrimPrefix(in.row("sg", name, "svrstate"), `{ "svrstate": `), `" }`))
			}
			return strings.Join(all, " ")
		}
		expect := func(want string) {
			in.Helper()
			if got := states(); got != want {
				in.Errorf("states %s, want %s", got, want)
			}
		}
		if got := in.row("trusting", "web1", "svrstate"); got != `{ "svrstate": "UP" }` {
			in.Errorf("a member that is not monitored: %s", got)
		}
		expect("DOWN DOWN")
		time.Sleep(10 * time.Second)
		expect("UP DOWN")
		in.SetUp("sg", late, true)
		in.SetUp("sg", web1, false)
		time.Sleep(9 * time.Second)
		expect("UP DOWN") // the monitors have not found out yet
		time.Sleep(time.Second)
		expect("DOWN UP")
	})
}

// TestGroupAndServerStatesShowInTheMember: the member itself stays ENABLED.
func TestGroupAndServerStatesShowInTheMember(t *testing.T) {
	clock(t, simulator.Options{}, conf, func(in *inside) {
		const suspended = `{ "svrstate": "OUT OF SERVICE", "state": "ENABLED" }`
		for _, c := range []struct{ typ, body string }{{"server", `{"server":{"name":"web1"}}`}, {"servicegroup", `{"servicegroup":{"servicegroupname":"sg"}}`}} {
			in.do("POST", "config/"+c.typ+"?action=disable", c.body)
			if got := in.row("sg", "web1", "svrstate,state"); got != suspended {
				in.Errorf("%s disabled: %s", c.typ, got)
			}
			in.do("POST", "config/"+c.typ+"?action=enable", c.body)
			if got := in.row("sg", "web1", "svrstate,state"); got != `{ "svrstate": "UP", "state": "ENABLED" }` {
				in.Errorf("%s enabled: %s", c.typ, got)
			}
		}
	})
}

func TestEffectiveStateOfAGroup(t *testing.T) {
	const two = "add serviceGroup two HTTP\nbind serviceGroup two 10.0.0.1 80\nbind serviceGroup two 10.0.0.2 8080\n"
	for _, c := range []struct {
		want        string
		down        []netip.AddrPort
		out         []string
		conf, group string
	}{
		{"DOWN", nil, nil, "add serviceGroup none HTTP\n", "none"},
		{"UP", nil, nil, two, "two"},
		{"DOWN", []netip.AddrPort{web1, second}, nil, two, "two"},
		{"PARTIAL-UP", []netip.AddrPort{web1}, nil, two, "two"},
		{"PARTIAL-UP", nil, []string{"10.0.0.1 80"}, two, "two"},
		{"PARTIAL-DOWN", []netip.AddrPort{web1}, []string{"10.0.0.2 8080"}, two, "two"},
		{"OUT OF SERVICE", nil, []string{"10.0.0.1 80", "10.0.0.2 8080"}, two, "two"},
	} {
		b := start(t, simulator.Options{}, c.conf)
		for _, addr := range c.down {
			b.SetUp(c.group, addr, false)
		}
		for _, m := range c.out {
			if err := b.Load(strings.NewReader("disable serviceGroup " + c.group + " " + m)); err != nil {
				t.Fatal(err)
			}
		}
		if a := b.nitro("GET", "config/servicegroup/"+c.group+"?attrs=servicegroupeffectivestate", ""); !strings.Contains(a.body, `": "`+c.want+`" }`) {
			t.Errorf("down %v, out %v: %s, want %s", c.down, c.out, a.body, c.want)
		}
	}
}

// TestDesiredState: unlisted members go at once, or drain and then go of
// themselves, as the group says.
func TestDesiredState(t *testing.T) {
	const put = "config/servicegroup_servicegroupmemberlist_binding"
	members := func(list string) string {
		return `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"g","members":[` + list + `]}}`
	}
	const one, two, three = `{"ip":"10.0.0.1","port":80}`, `{"ip":"10.0.0.2","port":80,"weight":5}`, `{"ip":"10.0.0.3","port":80}`
	addrs := func(in *inside) (all string) {
		for _, m := range in.Members("g") {
			all += m.Addr.Addr().String()[len("10.0.0."):] + ":" + m.SvrState + " "
		}
		return strings.TrimSpace(all)
	}
	clock(t, simulator.Options{}, "add serviceGroup g HTTP -autoScale API\n", func(in *inside) {
		in.do("PUT", put, members(one+","+two))
		in.ResetMin()
		in.do("PUT", put, members(two+","+three))
		if got := addrs(in); got != "2:UP 3:UP" {
			in.Error(got)
		}
		if got := in.MinEnabled("g"); got != 2 {
			in.Errorf("a replacement of the set was seen in part: %d members", got)
		}
		in.do("PUT", put, members(``))
		if got := addrs(in); got != "" {
			in.Error(got)
		}
	})
	clock(t, simulator.Options{}, "add serviceGroup g HTTP -autoScale API -autoDisablegraceful YES -autoDisabledelay 60\n", func(in *inside) {
		in.do("PUT", put, members(one+","+two))
		in.do("PUT", put, members(two))
		if got := addrs(in); got != "1:GOING OUT OF SERVICE 2:UP" {
			in.Error(got)
		}
		if got := in.row("g", "10.0.0.1", "state,graceful,delay,trofsreason"); got != `{ "state": "DISABLED", "graceful": "YES", "delay": 60, "trofsreason": "Trofs Because of Graceful Unbind" }` {
			in.Error(got)
		}
		_, body := in.do("DELETE", "config/servicegroup_servicegroupmember_binding/g?args=ip:10.0.0.1,port:80", "")
		if !strings.Contains(body, `"errorcode": 1443`) {
			in.Errorf("unbind of a member that is leaving: %s", body)
		}
		time.Sleep(30 * time.Second)
		in.do("PUT", put, members(one+","+two)) // back before it was gone
		if got := addrs(in); got != "1:UP 2:UP" {
			in.Error(got)
		}
		in.do("PUT", put, members(two))
		time.Sleep(time.Minute)
		if got := addrs(in); got != "2:UP" {
			in.Error(got)
		}
	})
}

func TestDesiredStateThatFailsInPart(t *testing.T) {
	body := `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"api","members":[{"ip":"10.0.0.5","port":80},{"ip":"10.0.0.6","port":80}]}}`
	want := func(key string) string {
		return `{ "errorcode": 1442, "message": "Failed to bind some servicegroup members", "severity": "ERROR", "servicegroup_servicegroupmemberlist_binding": [ { "servicegroupname": "api", "` + key + `": [ { "ip": "10.0.0.6", "port": 80 } ] } ] }`
	}
	for _, c := range []struct {
		o          simulator.Options
		line, want string
	}{
		{simulator.Options{MaxMembers: 1}, "207 Multi Status", want("failedmembers")},
		{simulator.Options{MaxMembers: 1, ListFailedKey: "failed_member_list", Status: map[int]int{1442: 599}}, "599 Netscaler specific error", want("failed_member_list")},
	} {
		b := start(t, c.o, "add serviceGroup api HTTP -autoScale API\n")
		a := b.nitro("PUT", "config/servicegroup_servicegroupmemberlist_binding", body)
		if a.line != c.line || a.body != c.want {
			t.Errorf("%s %s\nwant %s %s", a.line, a.body, c.line, c.want)
		}
		if got := b.Members("api"); len(got) != 1 || b.Saved() {
			t.Errorf("the good member stays, unsaved: %+v, saved %v", got, b.Saved())
		}
	}
}

// TestMinEnabledSeesEveryMoment, also between the items of one request.
func TestMinEnabledSeesEveryMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Options{})
		sim.AddGroup("sg")
		in := &inside{T: t, Simulator: sim}
		const target = "config/servicegroup_servicegroupmember_binding"
		in.do("PUT", target, `{"servicegroup_servicegroupmember_binding":[{"servicegroupname":"sg","ip":"10.0.0.1","port":80},{"servicegroupname":"sg","ip":"10.0.0.2","port":80}]}`)
		sim.ResetMin()
		if got := sim.MinEnabled("sg"); got != 2 {
			t.Errorf("after the reset: %d", got)
		}
		in.do("POST", target+"?action=unbind", `{"servicegroup_servicegroupmember_binding":[{"servicegroupname":"sg","ip":"10.0.0.1","port":80}]}`)
		in.do("PUT", target, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"10.0.0.1","port":80}}`)
		in.do("POST", "config/servicegroup?action=disable", `{"servicegroup":[{"servicegroupname":"sg","servername":"10.0.0.1","port":80},{"servicegroupname":"sg","servername":"10.0.0.2","port":80}]}`)
		in.do("POST", "config/servicegroup?action=enable", `{"servicegroup":[{"servicegroupname":"sg","servername":"10.0.0.1","port":80},{"servicegroupname":"sg","servername":"10.0.0.2","port":80}]}`)
		if got := sim.MinEnabled("sg"); got != 0 {
			t.Errorf("both were disabled for a while: %d", got)
		}
		sim.ResetMin()
		if got := sim.MinEnabled("sg"); got != 2 {
			t.Errorf("after the second reset: %d", got)
		}
	})
}
