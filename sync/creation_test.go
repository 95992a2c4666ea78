package sync_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sync"
)

func creation(v *netscaler.VServer) *netscaler.Creation {
	return &netscaler.Creation{ServiceType: "HTTP", VServer: v}
}

var lb = netscaler.VServer{Name: "lb-shop", Addr: netip.MustParseAddrPort("192.0.2.5:80"), Method: "ROUNDROBIN"}

// bare is a site whose NetScaler has only what conf says.
func bare(t *testing.T, st stage, app sync.App, build simulator.Options, conf ...string) *site {
	s := newSite(t, players{"prod": st.play}, app)
	s.replace("edge", build)
	if len(conf) > 0 {
		s.command(conf...)
	}
	return s
}

// config is the part of a NetScaler's configuration that is about apps.
func (s *site) config() string {
	var b strings.Builder
	if err := s.sims["edge"].Dump(&b); err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(b.String(), "\n") {
		if strings.Contains(line, "serviceGroup") || strings.Contains(line, "lb vserver") || strings.HasPrefix(line, "add server") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func plain(t *testing.T, report sync.Report, r sync.Result) string {
	t.Helper()
	var b strings.Builder
	if err := report(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What the old Nitrox made by lb_ip, lb_port, method and a vserver of the same
// name; shown first, made once, and not looked at again.
func TestAMissingGroupIsMadeWithItsVServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := bare(t, st, sync.App{Name: "shop", Policy: slowly, Create: creation(&lb)}, simulator.Options{})
		sim := s.sims["edge"]

		s.NetScalers["edge"].Client = s.client("edge", "secret", true)
		dry := s.Plan(t.Context(), nil)
		want := `shop: sg-shop on edge: 0 serving, 2 wanted
  + lb vserver lb-shop HTTP 192.0.2.5:80, method ROUNDROBIN
  + service group sg-shop HTTP
  + binding of lb vserver lb-shop to sg-shop
  + bind     10.0.0.1:80            node n1
  + bind     10.0.0.2:80            node n2
plan: 1 lb vserver to add, 1 service group to add, 1 lb vserver to bind, 2 to bind (1 service group: 1 to change)
`
		if got := plain(t, sync.Text, dry); got != want {
			t.Errorf("\n%s", got)
		}
		want = `# netscaler edge
add lb vserver lb-shop HTTP 192.0.2.5 80 -lbMethod ROUNDROBIN
add serviceGroup sg-shop HTTP
bind lb vserver lb-shop sg-shop
bind serviceGroup sg-shop 10.0.0.1 80
bind serviceGroup sg-shop 10.0.0.2 80
save ns config
`
		if got := plain(t, sync.NSCLI, dry); got != want {
			t.Errorf("\n%s", got)
		}
		s.end(dry, 0)
		if got := s.config(); got != "" {
			t.Errorf("a dry run made\n%s", got)
		}

		s.NetScalers["edge"].Client = s.client("edge", "secret", false)
		r := s.sync(0)
		if got := r.Summary(); got != "done: 1 lb vserver added, 1 service group added, 1 lb vserver bound, 2 bound (1 service group: 1 changed)" {
			t.Errorf("%s", got)
		}
		s.expect("sg-shop", bound(1, 2))
		for _, line := range []string{"add serviceGroup sg-shop HTTP", "add lb vserver lb-shop HTTP 192.0.2.5 80 -lbMethod ROUNDROBIN", "bind lb vserver lb-shop sg-shop"} {
			if !strings.Contains(s.config()+"\n", line) {
				t.Errorf("%q is not in\n%s", line, s.config())
			}
		}
		sim.ResetCalls()
		s.sync(0)
		if got := len(sim.Calls()); got != 3 {
			t.Errorf("%d calls when all is made: %v", got, kinds(sim.Calls()))
		}
	})
}

func TestAGroupMadeForTheDesiredStateDrainsAsTheMappingSays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 3))}
		c := creation(nil)
		c.MemberList, c.Drain = true, 30*time.Second
		s := bare(t, st, sync.App{Name: "shop", Policy: slowly, Create: c}, simulator.Options{})
		r := s.sync(0)
		if got := plain(t, sync.NSCLI, r); !strings.Contains(got, "add serviceGroup sg-shop HTTP -autoScale API -autoDisablegraceful YES -autoDisabledelay 30\n") {
			t.Errorf("\n%s", got)
		}
		if n := lists(s.sims["edge"]); n != 1 {
			t.Errorf("%d lists", n)
		}
		st["shop"] = known(hosts(1, 2))
		r = s.sync(0)
		s.expect("sg-shop", bound(1, 2)+", 10.0.0.3:80 GOING OUT OF SERVICE")
		if n := r.Outcomes[0].Notes; len(n) != 0 {
			t.Errorf("notes: %q", n)
		}
	})
}

// What is there is left as it is; how it differs is said.
func TestWhatIsThereIsComparedAndLeft(t *testing.T) {
	const group, vserver = "add serviceGroup sg-shop SSL", "add lb vserver lb-shop SSL 192.0.2.9 443 -lbMethod LEASTCONNECTION"
	for name, c := range map[string]struct {
		conf    []string
		v       netscaler.VServer
		changes string
		notes   []string
	}{
		"an empty group of another type, and another vserver": {
			[]string{group, vserver}, lb, "bind vserver, bind",
			[]string{"service group sg-shop exists with the service type SSL, but create says HTTP; it is left as it is",
				"lb vserver lb-shop exists with the address 192.0.2.9:443, but create says 192.0.2.5:80; it is left as it is",
				"lb vserver lb-shop exists with the service type SSL, but create says HTTP; it is left as it is",
				"lb vserver lb-shop exists with the method LEASTCONNECTION, but create says ROUNDROBIN; it is left as it is"}},
		"a vserver of which the mapping says its name": {[]string{vserver}, netscaler.VServer{Name: "lb-shop"}, "add group, bind vserver, bind", nil},
		"bound already": {[]string{"add serviceGroup sg-shop HTTP", vserver, "bind lb vserver lb-shop sg-shop"}, netscaler.VServer{Name: "lb-shop"}, "bind", nil},
		"a group with members": {[]string{group, "bind serviceGroup sg-shop 10.0.0.9 80"}, lb, "bind, unbind",
			[]string{"service group sg-shop exists with the service type SSL, but create says HTTP; it is left as it is"}},
		"a group of another autoscale": {[]string{"add serviceGroup sg-shop HTTP -autoScale API", vserver, "bind lb vserver lb-shop sg-shop"}, netscaler.VServer{Name: "lb-shop"}, "bind",
			[]string{"service group sg-shop exists with the autoscale API, but create says DISABLED; it is left as it is"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st := stage{"shop": known(hosts(1, 1))}
				s := bare(t, st, sync.App{Name: "shop", Policy: atOnce, Create: creation(&c.v)}, simulator.Options{}, c.conf...)
				r := s.Plan(t.Context(), nil)
				var ops []string
				for _, change := range r.Outcomes[0].Plan.Changes {
					ops = append(ops, change.Op.String())
				}
				if got := strings.Join(ops, ", "); got != c.changes {
					t.Errorf("changes: %s; want %s (%v)", got, c.changes, r.Outcomes[0].Err)
				}
				if got := r.Outcomes[0].Notes; strings.Join(got, "\n") != strings.Join(c.notes, "\n") {
					t.Errorf("notes:\n%s", strings.Join(got, "\n"))
				}
				s.sync(0)
				got := s.config() + "\n"
				for _, line := range c.conf {
					if !strings.Contains(got, line) && !strings.Contains(line, "10.0.0.9") {
						t.Errorf("%q is not in\n%s", line, got)
					}
				}
			})
		})
	}
}

func TestAVServerThatIsMissingAndHasNoAddressFailsItsApp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := bare(t, st, sync.App{Name: "shop", Policy: atOnce, Create: creation(&netscaler.VServer{Name: "lb-shop"})}, simulator.Options{})
		r := s.sync(1)
		if err := r.Outcomes[0].Err; err == nil || !strings.Contains(err.Error(), "lb vserver lb-shop does not exist, and create gives no ip and port for it") {
			t.Errorf("%v", err)
		}
		if s.config() != "" {
			t.Errorf("made\n%s", s.config())
		}
	})
}

// Cut off after any call of a creation, or refused at one, the next run
// finishes it.
func TestACreationThatWasCutOffIsFinished(t *testing.T) {
	finish := func(t *testing.T, fault simulator.Fault) (calls int) {
		bubble(t, func(t *testing.T) {
			st := stage{"shop": known(hosts(1, 2))}
			s := bare(t, st, sync.App{Name: "shop", Policy: atOnce, Create: creation(&lb)}, simulator.Options{})
			sim := s.sims["edge"]
			sim.SetFault(fault)
			s.Sync(t.Context(), nil)
			calls = len(sim.Calls())
			if n := len(sim.Members("sg-shop")); n > 0 && !strings.Contains(s.config(), "bind lb vserver lb-shop sg-shop") {
				t.Errorf("%d members were bound before the creation was finished", n)
			}
			sim.ClearFaults()
			sim.KillSessions()
			time.Sleep(time.Minute)
			s.NetScalers["edge"].Client = s.client("edge", "secret", false)
			s.sync(0)
			s.expect("sg-shop", bound(1, 2))
			if got := s.config(); strings.Count(got, "bind lb vserver lb-shop sg-shop") != 1 || strings.Count(got, "add lb vserver") != 1 {
				t.Errorf("\n%s", got)
			}
		})
		return calls
	}
	for _, applied := range []bool{false, true} {
		for cut := 1; ; cut++ {
			if calls := finish(t, simulator.Fault{Skip: cut, DropAfterApply: applied, DropBefore: !applied}); calls < cut || t.Failed() {
				break
			}
		}
	}
	for _, command := range []string{"^add lb vserver", "^add serviceGroup", "^bind lb vserver", "^bind serviceGroup"} {
		finish(t, simulator.Fault{Command: command, Code: 1043})
	}
}

func TestARefusedCreationIsToldAndNothingIsBound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 1)), "cart": known(hosts(1, 1))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce, Create: creation(nil)}, sync.App{Name: "cart", Policy: atOnce, Create: creation(nil)})
		s.replace("edge", simulator.Options{}).SetFault(simulator.Fault{Command: "^add serviceGroup sg-shop", Code: 2138, Message: "Not authorized to execute this command [add serviceGroup sg-shop HTTP]"})
		r := s.sync(1)
		if err := r.Outcomes[0].Done[0].Err; err == nil || !strings.Contains(err.Error(), `service group sg-shop: add group HTTP: NITRO 2138`) {
			t.Errorf("%v", err)
		}
		if err := r.Outcomes[0].Done[1].Err; err == nil || !strings.Contains(err.Error(), "not attempted: what it would be bound to was not created") {
			t.Errorf("%v", err)
		}
		s.expect("sg-cart", bound(1, 1))
	})
}

// Many creations are one array a kind.
func TestCreationsCostOneCallAKind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{}
		var apps []sync.App
		for i := range 20 {
			name := fmt.Sprintf("app%d", i)
			st[name] = known(hosts(1, 2))
			v := netscaler.VServer{Name: "lb-" + name, Addr: netip.AddrPortFrom(lb.Addr.Addr(), uint16(1000+i))}
			apps = append(apps, sync.App{Name: name, Policy: atOnce, Create: creation(&v)})
		}
		s := newSite(t, players{"prod": st.play}, apps...)
		sim := s.replace("edge", simulator.Options{})
		s.sync(0)
		n := 0
		for _, call := range sim.Calls() {
			if call.Method != "GET" && call.Type != "login" && call.Type != "logout" {
				n++
			}
		}
		if n != 5 { // vservers, groups, bindings, members, save
			t.Errorf("%d calls that write: %v", n, kinds(sim.Calls()))
		}
		s.expect("sg-app7", bound(1, 2))
	})
}
