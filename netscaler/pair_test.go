package netscaler_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

// nodes are two whole appliances as an HA pair, and the client of both.
type nodes struct {
	*pair
	t        *testing.T
	one, two *simulator.Simulator
	client   *netscaler.Client
}

func newNodes(t *testing.T, o simulator.Options, conf ...string) *nodes {
	o.Users = users
	n := &nodes{t: t, one: simulator.New(o), two: simulator.New(o)}
	load(t, n.one, conf...)
	simulator.Pair(n.one, n.two)
	n.pair = &pair{t: t, nodes: map[string]http.RoundTripper{"one": n.one.Transport(), "two": n.two.Transport()}}
	n.client = open(t, n.pair, twoNodes)
	return n
}

// pass reads, asks for the role, binds one member and saves, as a pass does: it
// stops at the first trouble.
func (n *nodes) pass(member string) error {
	c, ctx := n.client, n.t.Context()
	groups, err := look(c, ctx, []string{"sg"})
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := detail(c, ctx, groups); err != nil {
		return fmt.Errorf("detail: %w", err)
	}
	if err := c.Writable(ctx); err != nil {
		return fmt.Errorf("writable: %w", err)
	}
	errs := c.Do(ctx, netscaler.Bind, changes(netscaler.Bind, member, "10.0.0.99:80"))
	if err := errors.Join(settled(errs)...); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return c.Save(ctx)
}

// writes are the requests that changed a node.
func writes(sim *simulator.Simulator) (all []string) {
	for _, call := range sim.Calls() {
		if call.Method != http.MethodGet && call.Type != "login" && call.Type != "logout" && call.Status != 0 && call.Code == 0 {
			all = append(all, call.Method+" "+call.Type)
		}
	}
	return all
}

// Scenario 20, with two whole appliances: a failover in the middle of a pass
// ends it, and nothing is written to the node that was not read; the next pass
// goes on at the new primary.
func TestFailoverEndsThePassAtWhateverCall(t *testing.T) {
	// 1 is the log-in, 2 its question for the role, 3 the members, 4 the
	// attributes, 5 the role again, 6 the bind and 7 the save.
	for n, ends := range []string{"", "", "", "writable", "writable", "bind", ""} {
		for name, fault := range map[string]simulator.Fault{
			"alive": {Failover: true}, "dead": {Failover: true, DropBefore: true}, "dead after the call": {Failover: true, DropAfterApply: true},
		} {
			t.Run(fmt.Sprintf("call %d, the old primary is %s", n+1, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					pair := newNodes(t, simulator.Options{}, "add serviceGroup sg HTTP")
					fault.Skip, fault.Times = n, 1
					pair.one.SetFault(fault)
					if fault.DropBefore || fault.DropAfterApply {
						fault.Skip, fault.Times, fault.Failover, fault.DropBefore, fault.DropAfterApply = n, 0, false, true, false
						pair.one.SetFault(fault) // from then on it answers nothing
					}
					err := pair.pass("10.0.0.1:80")
					switch {
					case ends == "" && err != nil:
						t.Errorf("a failover before or after the writes: %v", err)
					case ends != "":
						if err == nil || !strings.HasPrefix(err.Error(), ends) {
							t.Fatalf("the pass ended with %v", err)
						}
					}
					if ends != "" && len(writes(pair.two)) > 0 {
						t.Errorf("the node that was not read was written: %v", writes(pair.two))
					}
					if err := pair.pass("10.0.0.2:80"); err != nil {
						t.Fatalf("the next pass: %v", err)
					}
					if got := len(pair.two.Members("sg")); got < 2 || !pair.two.Saved() {
						t.Errorf("the new primary has %d members, saved %v", got, pair.two.Saved())
					}
					if err := pair.client.Close(t.Context()); err != nil {
						t.Error(err)
					}
					if n := pair.two.Sessions(); n != 0 {
						t.Errorf("%d sessions are left", n)
					}
				})
			})
		}
	}
}

// Sessions may outlive a failover: a loop that never logs out must find out
// that its node serves nobody any more, also while there is nothing to change.
func TestLoopLeavesANodeThatTurnedSecondary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newNodes(t, simulator.Options{KeepSessions: true}, "add serviceGroup sg HTTP", "bind serviceGroup sg 10.0.0.1 80")
		read := func() {
			t.Helper()
			if _, err := pair.client.Read(t.Context(), []string{"sg"}); err != nil {
				t.Error(err)
			}
		}
		read()
		pair.one.Failover()
		read() // within 30 s it is not asked again
		time.Sleep(30 * time.Second)
		pair.one.ResetCalls()
		read()
		for _, call := range pair.one.Calls() {
			if strings.HasPrefix(call.Type, "servicegroup") {
				t.Errorf("the secondary is read: %s %s", call.Method, call.Path)
			}
		}
		if pair.one.Sessions() != 0 || pair.two.Sessions() != 1 {
			t.Errorf("%d and %d sessions", pair.one.Sessions(), pair.two.Sessions())
		}
		// A primary that stays one is asked once in 30 s.
		time.Sleep(30 * time.Second)
		pair.two.ResetCalls()
		read()
		read()
		if got := len(pair.two.Calls()); got != 3 {
			t.Errorf("%d calls for two reads: %v", got, pair.two.Calls())
		}
	})
}

func TestLoopInAPartitionLeavesANodeThatTurnedSecondary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newNodes(t, simulator.Options{KeepSessions: true}, "add ns partition web", "switch ns partition web", "add serviceGroup sg HTTP")
		pair.client = open(t, pair.pair, twoNodes, func(cfg *netscaler.Config) { cfg.Partition = "web" })
		if err := pair.pass("10.0.0.1:80"); err != nil {
			t.Fatal(err)
		}
		pair.one.Failover()
		time.Sleep(30 * time.Second)
		if err := pair.pass("10.0.0.2:80"); err != nil {
			t.Fatal(err)
		}
		if got := len(pair.two.Members("web/sg")); got != 3 {
			t.Errorf("the new primary has %d members", got)
		}
		if pair.one.Sessions() != 0 || pair.two.Sessions() != 1 {
			t.Errorf("%d and %d sessions", pair.one.Sessions(), pair.two.Sessions())
		}
	})
}

// A pair with independent network configuration is two addresses like any
// other, and its primary is found by its role.
func TestIndependentNetworkConfiguration(t *testing.T) {
	pair := newNodes(t, simulator.Options{INC: true}, "add serviceGroup sg HTTP")
	pair.one.Failover()
	if err := pair.pass("10.0.0.1:80"); err != nil {
		t.Fatal(err)
	}
	if got := writes(pair.one); len(got) != 0 {
		t.Errorf("the secondary was written: %v", got)
	}
	wantState(t, pair.one, "sg", "10.0.0.1:80 10.0.0.1 weight 1 ENABLED UP", "10.0.0.99:80 10.0.0.99 weight 1 ENABLED UP")
}

// With one URL, which may be an address that moves with the primary, a node
// that turns secondary is read and not written.
func TestOneURLOfANodeThatTurnsSecondary(t *testing.T) {
	for _, keep := range []bool{false, true} {
		for _, refuses := range []bool{false, true} {
			t.Run(fmt.Sprintf("sessions live on %v, it refuses %v", keep, refuses), func(t *testing.T) {
				sim := simulator.New(simulator.Options{Users: users, HA: true, KeepSessions: keep, SecondaryRefuses: refuses})
				load(t, sim, "add serviceGroup sg HTTP", "bind serviceGroup sg 10.0.0.1 80")
				c := open(t, sim.Transport())
				if err := c.Writable(t.Context()); err != nil {
					t.Fatal(err)
				}
				sim.Failover()
				if keep {
					wantError(t, c.Writable(t.Context()), nil, "http://ns.example cannot be written: it is the secondary node")
				}
				errs := c.Do(t.Context(), netscaler.Unbind, changes(netscaler.Unbind, "10.0.0.1:80", "10.0.0.2:80"))
				for _, err := range errs {
					wantError(t, err, netscaler.ErrUnavailable, "http://ns.example cannot be written: it is the secondary node")
				}
				wantError(t, c.Save(t.Context()), nil, "it is the secondary node")
				if got := writes(sim); len(got) > 0 {
					t.Errorf("the secondary was written: %v", got)
				}
				if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
					t.Errorf("a secondary can be read: %v", err)
				}
			})
		}
	}
}

// A cluster has no HA role, and is written.
func TestClusterAddressIsWritten(t *testing.T) {
	for _, partition := range []string{"", "web"} {
		sim := simulator.New(simulator.Options{Users: users, Cluster: true})
		load(t, sim, "add serviceGroup sg HTTP", "add ns partition web", "switch ns partition web", "add serviceGroup sg HTTP")
		c := open(t, sim.Transport(), func(cfg *netscaler.Config) { cfg.Partition = partition })
		if err := c.Writable(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantNil(t, c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:80")))
		if got := len(sim.Members(strings.TrimPrefix(partition+"/sg", "/"))); got != 1 {
			t.Errorf("partition %q: %d members", partition, got)
		}
	}
}

// Which appliance a URL leads to is the same whichever node of a pair answers, and
// known of a cluster too; an answer that does not say is an error.
func TestNodesTellWhichApplianceItIs(t *testing.T) {
	n := newNodes(t, simulator.Options{})
	before, err := n.client.Nodes(t.Context())
	if err != nil || len(before) != 2 {
		t.Fatalf("%v, %v", before, err)
	}
	n.one.Failover()
	if after, err := n.client.Nodes(t.Context()); err != nil || !slices.Equal(after, before) {
		t.Errorf("%v, then %v, %v", before, after, err)
	}
	cluster := simulator.New(simulator.Options{Users: users, Cluster: true})
	c := open(t, cluster.Transport())
	if nodes, err := c.Nodes(t.Context()); err != nil || len(nodes) != 1 {
		t.Errorf("%v, %v", nodes, err)
	}
	for name, answer := range map[string]answer{
		"no list": ok(done), "null": rows("hanode", "null"), "no address": rows("hanode", `{"id":"0"}`), "refused": nitro(403, 2138, "Not authorized [show HA node]"),
	} {
		if nodes, err := newBox(t).on("GET hanode", answer).open().Nodes(t.Context()); err == nil {
			t.Errorf("%s: %v", name, nodes)
		}
	}
}
