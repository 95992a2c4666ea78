package netscaler_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

// tries counts the calls of a client's Observe.
type tries struct {
	sync.Mutex
	n map[string]int
}

func (c *tries) observe(i netscaler.CallInfo) {
	c.Lock()
	defer c.Unlock()
	c.n[i.Kind+": "+i.Outcome]++
}

func (c *tries) String() string {
	c.Lock()
	defer c.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(c.n)) {
		all = append(all, fmt.Sprintf("%d %s", c.n[what], what))
	}
	clear(c.n)
	return strings.Join(all, ", ")
}

// Each try is told once, by words that no name can get into.
func TestEachTryOfACallIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Options{Users: users})
		sim.AddGroup("shop")
		seen := &tries{n: map[string]int{}}
		c := open(t, sim.Transport(), func(c *netscaler.Config) { c.Observe = seen.observe })
		want := func(want string) {
			t.Helper()
			if got := seen.String(); got != want {
				t.Errorf("told of %s\nwant %s", got, want)
			}
		}
		read := func() {
			t.Helper()
			if _, err := c.Read(t.Context(), []string{"shop"}); err != nil {
				t.Error(err)
			}
		}
		read()
		want("1 get servicegroup_servicegroupmember_binding: ok, 1 login: ok")

		if err := c.Do(t.Context(), netscaler.Bind, []netscaler.Change{change(netscaler.Bind, "shop", "10.0.0.1:80")})[0]; err != nil {
			t.Error(err)
		}
		if err := c.Save(t.Context()); err != nil {
			t.Error(err)
		}
		want("1 get hanode: ok, 1 put servicegroup_servicegroupmember_binding: ok, 1 save nsconfig: ok")

		sim.SetFault(simulator.Fault{Method: "GET", Code: 272, Times: 1})
		read()
		sim.SetFault(simulator.Fault{Method: "GET", DropBefore: true, Times: 1})
		read()
		sim.SetFault(simulator.Fault{Method: "GET", RawBody: "<html>Bad Gateway", Status: 502, Times: 1})
		read()
		want("1 get servicegroup_servicegroupmember_binding: busy, 2 get servicegroup_servicegroupmember_binding: lost, 3 get servicegroup_servicegroupmember_binding: ok")

		sim.KillSessions()
		read()
		want("1 get servicegroup_servicegroupmember_binding: expired, 1 get servicegroup_servicegroupmember_binding: ok, 1 login: ok")

		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		sim.SetFault(simulator.Fault{Type: "login", Code: 354})
		if _, err := c.Read(t.Context(), []string{"shop"}); err == nil {
			t.Error("a refused log-in is no error")
		}
		want("1 login: refused, 1 logout: ok")
	})
}
