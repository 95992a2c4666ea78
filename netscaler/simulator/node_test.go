package simulator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler/simulator"
)

const bindNew = `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"10.5.0.1","port":80}}`

func TestSaveAndBoot(t *testing.T) {
	clock(t, simulator.Options{SaveTime: 3 * time.Second}, conf, func(in *inside) {
		config := func() string { _, body := in.do("GET", "config/nsconfig", ""); return body }
		if !in.Saved() || !strings.Contains(config(), `"configchanged": false`) {
			in.Error("what was set up before the first request is not the saved configuration")
		}
		in.do("PUT", "config/servicegroup_servicegroupmember_binding", bindNew)
		if in.Saved() || !strings.Contains(config(), `"configchanged": true`) {
			in.Error("a bind left nothing to save")
		}
		in.login("")
		in.Boot()
		if in.Sessions() != 0 || !in.Saved() || len(in.Members("sg")) != 3 {
			in.Errorf("after a boot: %d sessions, saved %v, %d members", in.Sessions(), in.Saved(), len(in.Members("sg")))
		}
		in.session = ""

		in.do("PUT", "config/servicegroup_servicegroupmember_binding", bindNew)
		in.disable(`,"delay":600,"graceful":"YES"`)
		in.SetUp("sg", second, false)
		saved := make(chan string)
		go func() {
			_, body := in.do("POST", "config/nsconfig?action=save", `{"nsconfig":{}}`)
			saved <- body
		}()
		synctest.Wait()
		status, body := in.do("POST", "config/nsconfig?action=save", `{"nsconfig":{}}`)
		if status != 599 || body != `{ "errorcode": 293, "message": "Operation already in progress", "severity": "ERROR" }` {
			in.Errorf("a second save: %d %s", status, body)
		}
		if in.Saved() {
			in.Error("saved before the save was over")
		}
		if body := <-saved; body != done || !in.Saved() {
			in.Errorf("the save: %s, saved %v", body, in.Saved())
		}
		in.Boot()
		if got := member(in.Simulator, "web1"); got.State != "DISABLED" || got.SvrState != "OUT OF SERVICE" || got.Graceful {
			in.Errorf("a boot keeps that a member is disabled, and no drain: %+v", got)
		}
		if got := member(in.Simulator, "10.0.0.2"); got.SvrState != "DOWN" || got.CustomServerID != "id-2" {
			in.Errorf("a boot repairs no backend and forgets no mark: %+v", got)
		}
		if got := in.Members("sg"); len(got) != 4 {
			in.Errorf("%d members", len(got))
		}
	})
}

// TestSecondaryNode: whether it refuses or warns is not established, so that
// both can be had.
func TestSecondaryNode(t *testing.T) {
	b := start(t, simulator.Options{}, conf)
	sid := b.login("nsroot", "nsroot")
	b.SetRole("Secondary")
	for target, want := range map[string]string{
		"config/hanode/0": `"state": "Secondary"`, "config/hanode": `{ "id": "1", "ipaddress": "192.0.2.10", `, "stat/hanode": `"hanode": { "hacurstatus": "YES", "hacurstate": "UP", "hacurmasterstate": "Secondary"`,
		"config/nsconfig": `"ipaddress": "192.0.2.11", "netmask": "255.255.255.0", "primaryip": "192.0.2.10", "systemtype": "HA"`,
	} {
		if a := b.nitro("GET", target, ""); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s", target, a.body)
		}
	}
	const target = "config/servicegroup_servicegroupmember_binding"
	a := b.nitro("PUT", target+"?warning=yes", bindNew)
	if a.line != "209 X-NITRO-WARNING" || !strings.HasPrefix(a.header.Get("X-NITRO-WARNING"), "1028 - You are connected to a secondary node;") || !strings.Contains(a.body, `"errorcode": 1028`) || !strings.Contains(a.body, `"severity": "WARNING"`) {
		t.Errorf("a write to the secondary: %s %v %s", a.line, a.header, a.body)
	}
	if a := b.nitro("POST", "config/nsconfig?action=save&warning=yes", `{"nsconfig":{}}`); a.line != "209 X-NITRO-WARNING" || !b.Saved() {
		t.Errorf("a save on the secondary: %s", a.body)
	}
	if a := b.nitro("DELETE", target+"/sg?args=ip:10.5.0.1,port:80", ""); a.line != "200 OK" {
		t.Errorf("without warning=yes: %s %s", a.line, a.body)
	}
	b.Failover()
	if b.Role() != "Primary" || b.Sessions() != 0 {
		t.Errorf("after a failover: %s, %d sessions", b.Role(), b.Sessions())
	}
	if a := b.send("GET", "/nitro/v1/config/nsversion", "", "Cookie: NITRO_AUTH_TOKEN="+sid); !strings.Contains(a.body, `"errorcode": 1027`) {
		t.Errorf("a session of before the failover: %s", a.body)
	}

	peer := start(t, simulator.Options{}, "add serviceGroup stale HTTP\n")
	peer.SyncFrom(b.Simulator)
	if dump(t, peer.Simulator) != dump(t, b.Simulator) || peer.Saved() {
		t.Errorf("the peer has another configuration after a synchronisation:\n%s", dump(t, peer.Simulator))
	}

	b = start(t, simulator.Options{SecondaryRefuses: true}, conf)
	b.SetRole("Secondary")
	if a := b.nitro("PUT", target, bindNew); !strings.Contains(a.body, `"errorcode": 368`) || len(b.Members("sg")) != 3 {
		t.Errorf("a secondary that refuses: %s", a.body)
	}
}

// TestWhatIsNotEstablished: options change the answers that nobody recorded.
func TestWhatIsNotEstablished(t *testing.T) {
	const member, api = "config/servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"api","ip":"10.0.0.1","port":80}}`
	const list = "config/servicegroup_servicegroupmemberlist_binding"
	for _, c := range []struct {
		name                 string
		o                    simulator.Options
		method, target, body string
		want                 string
	}{
		{"unbind of no member", simulator.Options{UnbindMissing: 351}, "DELETE", member + "/sg?args=ip:10.7.0.1,port:80", "", `"errorcode": 351, "message": "No such server"`},
		{"unbind of no server", simulator.Options{UnbindMissing: 351}, "DELETE", member + "/sg?args=servername:nope,port:80", "", `"errorcode": 351, "message": "No such server"`},
		{"unknown server", simulator.Options{UnknownServer: 351}, "POST", "config/servicegroup?action=enable", `{"servicegroup":{"servicegroupname":"sg","servername":"nope","port":80}}`, `"errorcode": 351`},
		{"full group", simulator.Options{MaxMembers: 3}, "PUT", member, bindNew, `"errorcode": 435`},
		{"bind to autoscale CLOUD", simulator.Options{}, "PUT", member, strings.Replace(api, "api", "cloud", 1), `"errorcode": 257`},
		{"bound group", simulator.Options{KeepBoundGroups: true}, "DELETE", "config/servicegroup/sg", "", `"errorcode": 1325`},
		{"unbound group", simulator.Options{KeepBoundGroups: true}, "DELETE", "config/servicegroup/empty", "", done},
		{"no members", simulator.Options{EmptyList: 1095}, "PUT", list, `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"api","members":[]}}`, `"errorcode": 1095`},
		{"long array", simulator.Options{MaxArray: 1}, "POST", "config/server", `{"server":[{"name":"n1","ipaddress":"10.6.0.1"},{"name":"n2","ipaddress":"10.6.0.2"}]}`, `"errorcode": 1233`},
		{"case of a group", simulator.Options{IgnoreCase: true}, "GET", member + "/SG?filter=port:80&attrs=servicegroupname,servername", "", `{ "servicegroupname": "sg", "servername": "web1" }`},
		{"bind in another case", simulator.Options{IgnoreCase: true}, "PUT", member, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"Sg","servername":"web1","port":80}}`, `"errorcode": 273`},
		{"add in another case", simulator.Options{IgnoreCase: true}, "POST", "config/servicegroup", `{"servicegroup":{"servicegroupname":"SG","servicetype":"HTTP"}}`, `"errorcode": 273`},
		{"two cases", simulator.Options{}, "GET", member + "/SG", "", `"errorcode": 258`},
		{"resolved domain", simulator.Options{Resolved: map[string]string{"app.example.net": "10.8.0.1"}}, "GET", member + "/sg?filter=servername:fqdn&attrs=ip,svrstate", "", `{ "ip": "10.8.0.1", "svrstate": "UP" }`},
		{"no desired state", simulator.Options{Lacks: []string{"servicegroup_servicegroupmemberlist_binding"}}, "PUT", list, `{}`, `"errorcode": 1232`},
		{"no bulk reads", simulator.Options{Lacks: []string{"bulkbindings"}}, "GET", member + "?bulkbindings=yes", "", `"errorcode": 1095`},
		{"no marks", simulator.Options{Lacks: []string{"customserverid"}}, "PUT", "config/servicegroup", `{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80,"customserverid":"x"}}`, `"errorcode": 278, "message": "Invalid argument [customserverid]"`},
		{"no marks in rows", simulator.Options{Lacks: []string{"customserverid"}}, "GET", member + "/sg?filter=port:80&attrs=servername,customserverid", "", `[ { "servername": "web1" }, { "servername": "fqdn" } ]`},
		{"no unbind action", simulator.Options{Lacks: []string{"action=unbind"}}, "POST", member + "?action=unbind", bindNew, `"errorcode": 1240`},
		{"no update action", simulator.Options{Lacks: []string{"action=update"}}, "POST", "config/server?action=update", `{"server":{"name":"web1","comment":"x"}}`, `"errorcode": 1240`},
		{"no macroapi", simulator.Options{Lacks: []string{"macroapi"}}, "POST", "config/macroapi", `{"server":[]}`, `"errorcode": 1232`},
		{"types swapped", simulator.Options{SwapTypes: true}, "GET", member + "/sg?attrs=port,weight&filter=servername:web1", "", `{ "port": "80", "weight": 2 }`},
		{"other statuses", simulator.Options{Status: map[int]int{258: 599}}, "GET", "config/servicegroup/nope", "", `"errorcode": 258`},
		{"other version", simulator.Options{Version: "NetScaler NS13.0: Build 45.7.nc"}, "GET", "config/nsversion", "", `"NetScaler NS13.0: Build 45.7.nc"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t, c.o, strings.Replace(conf, ` -CustomServerID "id-2"`, "", 1))
			a := b.nitro(c.method, c.target, c.body)
			if !strings.Contains(a.body, c.want) {
				t.Errorf("%s %s\nwant %s", a.line, a.body, c.want)
			}
			if c.o.Status != nil && a.line != "599 Netscaler specific error" {
				t.Errorf("status line %s", a.line)
			}
		})
	}
	b := start(t, simulator.Options{ListUnchanged: 273, CanonicalIPv6: true}, conf)
	body := `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"api","members":[{"ip":"2001:DB8:0::1","port":80}]}}`
	if a := b.nitro("PUT", list, body); a.line != "201 Created" || b.Members("api")[0].Server != "2001:db8::1" {
		t.Errorf("%s %s %+v", a.line, a.body, b.Members("api"))
	}
	if a := b.nitro("PUT", list, body); a.line != "409 Conflict" {
		t.Errorf("a list that names what is bound: %s %s", a.line, a.body)
	}
}

// TestServersOutliveTheirMembers, and take them with them when they go: both
// are what surprises administrators.
func TestServersOutliveTheirMembers(t *testing.T) {
	const target = "config/servicegroup_servicegroupmember_binding"
	b := start(t, simulator.Options{}, conf)
	// A typed IPv6 address stays as it was typed, and args takes it raw.
	b.nitro("PUT", target, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"FF::0:8839","port":80}}`)
	if got := member(b.Simulator, "FF::0:8839"); got.Addr.String() != "[ff::8839]:80" {
		t.Fatalf("%+v", b.Members("sg"))
	}
	if a := b.nitro("DELETE", target+"/sg?args=servername:FF::0:8839,port:80", ""); a.line != "200 OK" {
		t.Errorf("unbind by a raw IPv6 name: %s %s", a.line, a.body)
	}
	if a := b.nitro("GET", "config/server/FF%253A%253A0%253A8839", ""); a.line != "200 OK" {
		t.Errorf("the server went with its member: %s %s", a.line, a.body)
	}
	if a := b.nitro("GET", "config/server_binding/FF::0:8839", ""); strings.Contains(a.body, "server_servicegroup_binding") {
		t.Errorf("an unused server: %s", a.body)
	}
	// An address whose server has another name appears under that name.
	b.nitro("PUT", target, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"empty","ip":"10.0.0.1","port":81}}`)
	if got := b.Members("empty"); len(got) != 1 || got[0].Server != "web1" {
		t.Errorf("%+v", got)
	}
	if a := b.nitro("DELETE", "config/server/web1", ""); a.line != "200 OK" {
		t.Errorf("%s %s", a.line, a.body)
	}
	if len(b.Members("empty")) != 0 || len(b.Members("sg")) != 2 {
		t.Errorf("the server left members behind: %v %v", b.Members("empty"), b.Members("sg"))
	}
}
