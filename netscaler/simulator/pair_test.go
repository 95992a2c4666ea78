package simulator_test

import (
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// TestPair: what happens on the primary happens on the secondary, clocks
// included, and what happens on the secondary stays there.
func TestPair(t *testing.T) {
	const target = "config/servicegroup_servicegroupmember_binding"
	one, two := start(t, simulator.Options{INC: true}, conf), start(t, simulator.Options{}, "add serviceGroup stale HTTP\n")
	simulator.Pair(one.Simulator, two.Simulator)
	same := func() {
		t.Helper()
		if a, b := dump(t, one.Simulator), dump(t, two.Simulator); a != b {
			t.Errorf("the nodes differ:\n%s\nand\n%s", a, b)
		}
	}
	same()
	if one.Role() != "Primary" || two.Role() != "Secondary" {
		t.Fatalf("%s and %s", one.Role(), two.Role())
	}
	one.login("nsroot", "nsroot")
	two.login("nsroot", "nsroot")
	for _, c := range []struct{ method, target, body string }{
		{"PUT", target, bindNew},
		{"POST", "config/servicegroup?action=disable", `{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80,"graceful":"YES","delay":60}}`},
		{"POST", "config/servicegroup?idempotent=yes", `{"servicegroup":{"servicegroupname":"sg","servicetype":"HTTP","comment":"again"}}`},
		{"DELETE", target + "/sg?args=ip:10.5.0.1,port:80", ""},
	} {
		if a := one.nitro(c.method, c.target, c.body); a.line[0] != '2' {
			t.Errorf("%s %s: %s %s", c.method, c.target, a.line, a.body)
		}
		same()
	}
	if got := member(two.Simulator, "web1"); got.SvrState != "GOING OUT OF SERVICE" {
		t.Errorf("the drain does not run on the peer: %+v", got)
	}
	if a := one.nitro("GET", "config/hanode", ""); !strings.Contains(a.body, `"inc": "ENABLED"`) {
		t.Errorf("independent network configuration: %s", a.body)
	}
	if err := one.Load(strings.NewReader("add serviceGroup byhand HTTP\n")); err != nil {
		t.Fatal(err)
	}
	same()

	if two.Saved() {
		t.Error("saved before the save")
	}
	if a := one.nitro("POST", "config/nsconfig?action=save", `{"nsconfig":{}}`); a.line != "200 OK" || !one.Saved() || !two.Saved() {
		t.Errorf("a save saves both nodes: %s %v %v", a.line, one.Saved(), two.Saved())
	}
	one.Boot()
	same()
	one.login("nsroot", "nsroot")

	// What is rolled back is rolled back on both.
	array := `{"servicegroup_servicegroupmember_binding":[{"servicegroupname":"empty","ip":"10.9.0.1","port":80},{"servicegroupname":"nope","ip":"10.9.0.1","port":80}]}`
	one.nitro("PUT", target+"?onerror=rollback", array)
	same()

	// The secondary keeps to itself; what it then cannot follow is 349.
	if a := two.nitro("PUT", target, strings.Replace(bindNew, "10.5.0.1", "10.6.0.1", 1)); a.line != "201 Created" || len(one.Members("sg")) == len(two.Members("sg")) {
		t.Errorf("a write to the secondary: %s", a.line)
	}
	if a := one.nitro("PUT", target, strings.Replace(bindNew, "10.5.0.1", "10.6.0.1", 1)); !strings.Contains(a.body, `"errorcode": 349`) || member(one.Simulator, "10.6.0.1").State != "ENABLED" {
		t.Errorf("a secondary that cannot follow: %s %s", a.line, a.body)
	}

	two.Failover()
	if one.Role() != "Secondary" || two.Role() != "Primary" || one.Sessions()+two.Sessions() != 0 {
		t.Errorf("after a failover: %s, %s, %d sessions", one.Role(), two.Role(), one.Sessions()+two.Sessions())
	}
	one.Failover()
	if one.Role() != "Primary" || two.Role() != "Secondary" {
		t.Errorf("and back: %s, %s", one.Role(), two.Role())
	}
}

func TestFailoverWithACall(t *testing.T) {
	for name, c := range map[string]struct {
		fault  simulator.Fault
		status int // 0: the connection is lost
		bound  bool
	}{
		"before it":               {simulator.Fault{Failover: true}, 401, false},
		"and nothing was applied": {simulator.Fault{Failover: true, DropBefore: true}, 0, false},
		"and the answer is lost":  {simulator.Fault{Failover: true, DropAfterApply: true}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			one, two := simulator.New(simulator.Options{}), simulator.New(simulator.Options{})
			one.AddGroup("sg")
			simulator.Pair(one, two)
			in := &inside{T: t, Simulator: one}
			in.login("")
			c.fault.Type = "servicegroup_servicegroupmember_binding"
			one.SetFault(c.fault)
			status, _, err := in.try("PUT", "config/servicegroup_servicegroupmember_binding", bindNew)
			if status != c.status || (err != nil) != (c.status == 0) {
				t.Errorf("status %d, %v", status, err)
			}
			if one.Role() != "Secondary" || two.Role() != "Primary" || len(two.Members("sg")) == 1 != c.bound {
				t.Errorf("%s, %s, %v", one.Role(), two.Role(), two.Members("sg"))
			}
		})
	}
}

// TestSessionsMayOutliveAFailover, and a cluster has no roles at all.
func TestSessionsMayOutliveAFailover(t *testing.T) {
	b := start(t, simulator.Options{KeepSessions: true}, conf)
	b.login("nsroot", "nsroot")
	b.Failover()
	if a := b.nitro("GET", "config/hanode/0", ""); !strings.Contains(a.body, `"state": "Secondary"`) || b.Sessions() != 1 {
		t.Errorf("%s, %d sessions", a.body, b.Sessions())
	}
	b = start(t, simulator.Options{Cluster: true}, conf)
	b.login("nsroot", "nsroot")
	for _, target := range []string{"config/hanode/0", "config/hanode", "stat/hanode"} {
		if a := b.nitro("GET", target, ""); !strings.Contains(a.body, `"errorcode": 1065, "message": "Operation not permitted on CLIP"`) {
			t.Errorf("%s on a cluster's address: %s %s", target, a.line, a.body)
		}
	}
}
