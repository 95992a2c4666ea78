package netscaler_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

var users = map[string]string{"nitrox": "secret"}

// load adds to what the simulator has, as an operator at its command line.
func load(t testing.TB, sim *simulator.Simulator, lines ...string) {
	t.Helper()
	if err := sim.Load(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
}

// state is what the simulator holds, in a line a member.
func state(sim *simulator.Simulator, group string) []string {
	var lines []string
	for _, m := range sim.Members(group) {
		lines = append(lines, fmt.Sprintf("%s %s weight %d %s %s", m.Addr, m.Server, m.Weight, m.State, m.SvrState))
	}
	return lines
}

func wantState(t *testing.T, sim *simulator.Simulator, group string, want ...string) {
	t.Helper()
	if got := state(sim, group); !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant:\n  %s", group, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// Builds differ, and in more than anybody has written down. On each the same
// calls must come to the same end.
func TestEveryBuildComesToTheSameEnd(t *testing.T) {
	builds := map[string]simulator.Options{
		"default":            {},
		"keeps connections":  {KeepAlive: true},
		"no cookie":          {NoCookie: true},
		"1027 and 1026":      {DeadSession: 1027, NoLogin: 1026},
		"no arrays":          {Lacks: []string{"arrays"}},
		"no bulk read":       {Lacks: []string{"bulkbindings"}},
		"no unbind action":   {Lacks: []string{"action=unbind"}},
		"no custom ID":       {Lacks: []string{"customserverid"}},
		"short custom ID":    {CustomIDLength: 31},
		"old group":          {Lacks: []string{"autodisablegraceful", "autodisabledelay", "autoscale"}},
		"no comment":         {Lacks: []string{"comment"}},
		"comment not asked":  {Lacks: []string{"attrs=comment"}},
		"padded results":     {PaddedBulk: true},
		"types swapped":      {SwapTypes: true},
		"binds with 200":     {BindStatus: 200},
		"quiet actions":      {QuietActions: true},
		"unbind says 351":    {UnbindMissing: 351},
		"unbind says 1303":   {UnbindMissing: 1303},
		"no server says 351": {UnknownServer: 351},
		"pair":               {HA: true},
		"short sessions":     {RestrictedTimeout: true, NoBasicAuth: true},
		"log-ins as text":    {LoginText: true},
		"arrays of one":      {MaxArray: 1},
		"any case":           {IgnoreCase: true},
		"shortest IPv6":      {CanonicalIPv6: true},
	}
	for name, build := range builds {
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sessions killed %v", name, kill), func(t *testing.T) {
				build.Users = users
				sim := simulator.New(build)
				s := httptest.NewServer(sim)
				t.Cleanup(s.Close)
				c := overTCP(t, s.URL)
				wholeLife(t, sim, c, func() {
					if kill {
						sim.KillSessions()
					}
				})
				if err := c.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if n := sim.Sessions(); n != 0 {
					t.Errorf("%d sessions left", n)
				}
			})
		}
	}
}

// wholeLife takes groups through everything that the client can do.
func wholeLife(t *testing.T, sim *simulator.Simulator, c *netscaler.Client, between func()) {
	load(t, sim,
		"add server web1 10.0.0.1",
		"add server www www.example.com",
		`add serviceGroup "b c" HTTP`,
		"add serviceGroup sg-a HTTP", "add serviceGroup sg-d HTTP", "add serviceGroup sg-e HTTP", "add serviceGroup sg-other HTTP",
		"bind serviceGroup sg-a web1 80 -weight 2", "bind serviceGroup sg-a www 80", "bind serviceGroup sg-a 10.0.0.9 80 -state DISABLED",
		"bind serviceGroup sg-other 10.0.0.1 99",
	)
	names := []string{"sg-a", "b c", "sg-d", "sg-e", "sg-missing"}
	read := func() map[string]*seen {
		t.Helper()
		between()
		groups, err := look(c, t.Context(), names)
		if err != nil {
			t.Fatal(err)
		}
		return groups
	}
	do := func(op netscaler.Op, list ...netscaler.Change) {
		t.Helper()
		between()
		for i := range list {
			list[i].Op = op
		}
		wantNil(t, settled(c.Do(t.Context(), op, list)))
	}
	of := func(group string, m netscaler.Member) netscaler.Change {
		return netscaler.Change{Group: group, Member: m, Delay: 60 * time.Second}
	}
	find := func(groups map[string]*seen, group, addr string) netscaler.Member {
		t.Helper()
		for _, m := range groups[group].Members {
			if m.Addr == netip.MustParseAddrPort(addr) {
				return m
			}
		}
		t.Fatalf("no member %s in %s", addr, group)
		return netscaler.Member{}
	}

	groups := read()
	between()
	if err := detail(c, t.Context(), groups); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(groups["sg-missing"].Err, netscaler.ErrNoGroup) || groups["sg-d"].Attrs == nil || groups["sg-d"].Attrs.Autoscale != "DISABLED" {
		t.Errorf("missing: %v; empty: %+v", groups["sg-missing"].Err, groups["sg-d"].Attrs)
	}
	if m := find(groups, "sg-a", "10.0.0.1:80"); m.Server != "web1" || m.Weight != 2 || m.State != netscaler.Enabled || !m.Up {
		t.Errorf("%+v", m)
	}
	if m := find(groups, "sg-a", "10.0.0.9:80"); m.State != netscaler.Disabled || m.Mark {
		t.Errorf("%+v", m)
	}
	if i := slices.IndexFunc(groups["sg-a"].Members, func(m netscaler.Member) bool { return m.Server == "www" }); i < 0 || groups["sg-a"].Members[i].NotOurs == "" {
		t.Errorf("%+v", groups["sg-a"].Members)
	}

	between()
	if err := c.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	do(netscaler.Bind, of("b c", member("10.0.0.1:80")), of("sg-d", member("10.0.0.2:80")), of("sg-d", member("10.0.0.2:81")), of("sg-a", member("10.0.0.1:80")), of("sg-e", member("[ff00::1]:80")))
	wantState(t, sim, "b c", "10.0.0.1:80 web1 weight 1 ENABLED UP") // bound by address, known by name
	wantState(t, sim, "sg-d", "10.0.0.2:80 10.0.0.2 weight 1 ENABLED UP", "10.0.0.2:81 10.0.0.2 weight 1 ENABLED UP")

	groups = read()
	marks(t, c, between)
	heavier := of("sg-d", find(groups, "sg-d", "10.0.0.2:81"))
	heavier.Weight, heavier.Was = 9, netscaler.Settings{Weight: 1}
	do(netscaler.Set, heavier, of("sg-e", find(groups, "sg-e", "[ff00::1]:80")))
	do(netscaler.Drain, of("sg-d", find(groups, "sg-d", "10.0.0.2:81")), of("b c", find(groups, "b c", "10.0.0.1:80")), of("sg-e", find(groups, "sg-e", "[ff00::1]:80")))
	wantState(t, sim, "sg-d", "10.0.0.2:80 10.0.0.2 weight 1 ENABLED UP", "10.0.0.2:81 10.0.0.2 weight 9 DISABLED GOING OUT OF SERVICE")

	groups = read()
	draining := find(groups, "sg-d", "10.0.0.2:81")
	if draining.State != netscaler.Draining || !draining.Mark || draining.Remaining <= 0 || draining.Remaining > time.Minute {
		t.Errorf("%+v", draining)
	}
	do(netscaler.Enable, of("sg-d", draining), of("sg-e", find(groups, "sg-e", "[ff00::1]:80")))
	do(netscaler.Unbind, of("sg-d", find(groups, "sg-d", "10.0.0.2:80")), of("b c", find(groups, "b c", "10.0.0.1:80")), of("sg-e", find(groups, "sg-e", "[ff00::1]:80")))
	do(netscaler.Unbind, of("sg-d", find(groups, "sg-d", "10.0.0.2:80")), of("b c", find(groups, "b c", "10.0.0.1:80"))) // gone by now
	do(netscaler.Unbind, of("sg-d", find(groups, "sg-d", "10.0.0.2:80")))
	wantState(t, sim, "b c")
	wantState(t, sim, "sg-e")
	wantState(t, sim, "sg-d", "10.0.0.2:81 10.0.0.2 weight 9 ENABLED UP")
	wantState(t, sim, "sg-other", "10.0.0.1:99 web1 weight 1 ENABLED UP")

	between()
	if err := c.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !sim.Saved() {
		t.Error("not saved")
	}
	// Scenario 11: one group is missing, the others are served.
	between()
	errs := c.Do(t.Context(), netscaler.Bind, []netscaler.Change{change(netscaler.Bind, "sg-d", "10.0.0.5:80"), change(netscaler.Bind, "sg-missing", "10.0.0.5:80"), change(netscaler.Bind, "sg-e", "10.0.0.5:80")})
	wantNil(t, []error{errs[0], errs[2]})
	wantError(t, errs[1], netscaler.ErrNoGroup, "service group sg-missing: bind 10.0.0.5:80: NITRO 258 (HTTP ")
}

// The figures of the design: three calls for a pass with nothing to do, and one
// for each kind of change whatever the number of members.
func TestCallsAreFew(t *testing.T) {
	sim := simulator.New(simulator.Options{Users: users})
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("sg%02d", i))
		sim.AddGroup(names[i])
	}
	c := open(t, sim.Transport())
	pass := func(ops ...netscaler.Op) string {
		sim.ResetCalls()
		groups, err := look(c, t.Context(), names)
		if err != nil {
			t.Fatal(err)
		}
		if len(ops) > 0 {
			if err := errors.Join(detail(c, t.Context(), groups), c.Writable(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		for _, op := range ops {
			var list []netscaler.Change
			for i := range 400 {
				list = append(list, change(op, names[i%100], fmt.Sprintf("10.0.0.%d:80", i/100+1)))
			}
			wantNil(t, settled(c.Do(t.Context(), op, list)))
		}
		if len(ops) > 0 {
			if err := c.Save(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var calls []string
		for _, call := range sim.Calls() {
			calls = append(calls, call.Method+" "+call.Type)
		}
		return strings.Join(calls, ", ")
	}
	if got, want := pass(), "POST login, GET "+binding+", POST logout"; got != want {
		t.Errorf("nothing to do: %s", got)
	}
	if got, want := pass(netscaler.Bind, netscaler.Unbind), "POST login, GET "+binding+", GET servicegroup, GET hanode, PUT "+binding+", POST "+binding+", POST nsconfig, POST logout"; got != want {
		t.Errorf("binds and removals: %s", got)
	}
}

// Scenario 19: never more than one session, and the last free one is waited for.
func TestOneSessionAlsoWhereSessionsAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Options{Users: users, MaxSessions: 1})
		for i := range 6 {
			sim.AddGroup(fmt.Sprintf("sg%d", i))
		}
		names := []string{"sg0", "sg1", "sg2", "sg3", "sg4", "sg5"}
		c, other := open(t, sim.Transport()), open(t, sim.Transport())
		if _, err := other.Read(t.Context(), names); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(t.Context(), names)
		wantError(t, err, netscaler.ErrUnavailable, "log in to http://ns.example", "NITRO 445", "too many sessions", "tried 4 times")
		go func() {
			time.Sleep(2 * time.Second)
			if err := other.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		if _, err := c.Read(t.Context(), names); err != nil {
			t.Error(err)
		}
		for range 3 {
			sim.KillSessions()
			if _, err := c.Read(t.Context(), names); err != nil {
				t.Error(err)
			}
			if n := sim.Sessions(); n != 1 {
				t.Errorf("%d sessions", n)
			}
		}
	})
}

func TestLostAnswerIsResolvedByReadingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fault := range []simulator.Fault{{DropAfterApply: true}, {DropMidReply: true}, {DropBefore: true}} {
			sim := simulator.New(simulator.Options{Users: users})
			sim.AddGroup("sg")
			c := open(t, sim.Transport())
			fault.Method, fault.Times = "PUT|POST", 0
			fault.Type = binding
			sim.SetFault(fault)
			errs := c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:80", "10.0.0.2:80"))
			made := len(sim.Members("sg"))
			if fault.DropMidReply && errs[0] == nil { // an empty answer has no middle
				continue
			}
			wantError(t, errs[0], netscaler.ErrUnsure)
			sim.ClearFaults()
			groups, err := look(c, t.Context(), []string{"sg"})
			if err != nil {
				t.Fatal(err)
			}
			if len(groups["sg"].Members) != made {
				t.Errorf("%d members read, %d made", len(groups["sg"].Members), made)
			}
			wantNil(t, settled(c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:80", "10.0.0.2:80"))))
		}
	})
}

func TestSmallestPolicySuffices(t *testing.T) {
	policy := regexp.MustCompile(`(?i)(^show\s+serviceGroup.*)|(^(bind|unbind|enable|disable|set)\s+serviceGroup\s+.*)|(^show\s+(HA\s+node|server).*)|(^stat\s+HA\s+node.*)|(^save\s+ns\s+config.*)`)
	sim := simulator.New(simulator.Options{Users: users, Policies: map[string]*regexp.Regexp{"nitrox": policy}})
	wholeLife(t, sim, open(t, sim.Transport()), func() {})

	reader := regexp.MustCompile(`(?i)^show\s+serviceGroup.*`)
	sim = simulator.New(simulator.Options{Users: users, Policies: map[string]*regexp.Regexp{"nitrox": reader}})
	sim.AddGroup("sg")
	c := open(t, sim.Transport())
	if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.Writable(t.Context()), nil, "the command policy of the NetScaler user must allow")
	wantError(t, c.Save(t.Context()), nil, "the command policy of the NetScaler user must allow")
}

func TestPartitionIsWhatIsSeen(t *testing.T) {
	sim := simulator.New(simulator.Options{Users: users})
	load(t, sim, "add ns partition web", "add serviceGroup sg HTTP", "bind serviceGroup sg 10.0.0.1 80",
		"switch ns partition web", "add serviceGroup sg HTTP", "bind serviceGroup sg 10.0.0.2 80", "switch ns partition default")
	c := open(t, sim.Transport(), func(cfg *netscaler.Config) { cfg.Partition = "web" })
	for range 2 {
		groups, err := look(c, t.Context(), []string{"sg"})
		if err != nil {
			t.Fatal(err)
		}
		if m := groups["sg"].Members; len(m) != 1 || m[0].Server != "10.0.0.2" {
			t.Errorf("%+v", m)
		}
		sim.KillSessions()
	}
	if err := c.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantNil(t, c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.3:80")))
	if a, b := len(sim.Members("sg")), len(sim.Members("web/sg")); a != 1 || b != 2 {
		t.Errorf("%d members in the default partition, %d in web", a, b)
	}
}

// Whatever goes wrong on the way, a verdict is true: nil means that the change
// holds, and an error that is not unsure that it was not made.
func TestVerdictsAreTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		build := simulator.Options{Users: users, PaddedBulk: rapid.Bool().Draw(rt, "padded")}
		if rapid.Bool().Draw(rt, "no arrays") {
			build.Lacks = []string{"arrays"}
		}
		if rapid.Bool().Draw(rt, "limit") {
			build.MaxMembers = rapid.IntRange(1, 6).Draw(rt, "members")
		}
		sim := simulator.New(build)
		load(t, sim, "add server web3 10.0.0.3", "add serviceGroup sg0 HTTP", "add serviceGroup sg1 HTTP")
		groups := []string{"sg0", "sg1", "sg2"}
		has := func(group string, addr netip.AddrPort) bool {
			return slices.ContainsFunc(sim.Members(group), func(m simulator.Member) bool { return m.Addr == addr })
		}
		c, err := netscaler.Open(netscaler.Config{URLs: []string{"http://ns.example"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: sim.Transport()})
		if err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 5).Draw(rt, "rounds") {
			op := rapid.SampledFrom([]netscaler.Op{netscaler.Bind, netscaler.Unbind}).Draw(rt, "op")
			for range rapid.IntRange(0, 2).Draw(rt, "faults") {
				sim.SetFault(rapid.SampledFrom([]simulator.Fault{
					{Method: "PUT|POST|DELETE", Type: binding, DropAfterApply: true, Times: 1},
					{Method: "PUT|POST|DELETE", Type: binding, DropBefore: true, Times: 1},
					{Command: "bind serviceGroup sg0 10.0.0.1", Code: 1043, Times: 1},
					{Command: "bind serviceGroup sg1", Code: 2138, Times: 2},
					{Method: "PUT|POST|DELETE", Type: binding, KillSession: true, Times: 1},
					{Method: "PUT|POST", Type: binding, Code: 1240, Times: 1},
				}).Draw(rt, "fault"))
			}
			var list []netscaler.Change
			for range rapid.IntRange(0, 8).Draw(rt, "changes") {
				group := rapid.SampledFrom(groups).Draw(rt, "group")
				addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 3).Draw(rt, "host"))}), uint16(rapid.IntRange(80, 81).Draw(rt, "port")))
				ch := netscaler.Change{Op: op, Group: group, Member: netscaler.Member{Addr: addr, Server: addr.Addr().String(), Weight: 1}}
				if addr.Addr() == netip.MustParseAddr("10.0.0.3") {
					ch.Server = "web3"
				}
				if !slices.ContainsFunc(list, func(other netscaler.Change) bool { return other.Group == ch.Group && other.Addr == ch.Addr }) {
					list = append(list, ch)
				}
			}
			before := make([]bool, len(list))
			for i, ch := range list {
				before[i] = has(ch.Group, ch.Addr)
			}
			for i, err := range c.Do(t.Context(), op, list) {
				ch := list[i]
				after := has(ch.Group, ch.Addr)
				switch {
				case err == nil && after != (op == netscaler.Bind):
					rt.Errorf("%s %s %s is said to hold, and does not", ch.Group, op, ch.Addr)
				case err != nil && !errors.Is(err, netscaler.ErrUnsure) && before[i] != after:
					rt.Errorf("was made, and is said to have failed: %v", err)
				case errors.Is(err, netscaler.ErrNoGroup) && ch.Group != "sg2":
					rt.Errorf("the group is there: %v", err)
				}
			}
			sim.ClearFaults()
		}
		if err := c.Close(t.Context()); err != nil {
			rt.Error(err)
		}
		if n := sim.Sessions(); n != 0 {
			rt.Errorf("%d sessions left", n)
		}
	})
}

// A pass that ends while it asks for the role has no answer of the node's: what it changed before
// is saved all the same.
func TestAPassThatEndsIsNoAnswerAboutTheRole(t *testing.T) {
	sim := simulator.New(simulator.Options{Users: users})
	sim.AddGroup("sg")
	pass, end := context.WithCancel(t.Context())
	c := open(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/hanode/0") && pass.Err() == nil {
			end()
			return nil, r.Context().Err()
		}
		return sim.Transport().RoundTrip(r)
	}))
	if _, err := c.Read(pass, []string{"sg"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Writable(pass); err == nil {
		t.Fatal("the pass did not end")
	}
	if err := c.Save(t.Context()); err != nil {
		t.Error(err)
	}
}
