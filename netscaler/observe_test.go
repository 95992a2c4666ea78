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

// tries counts what a client's Observe is told of.
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

// Whatever becomes of changes, each is counted once.
func TestProgressCountsEachChangeOnce(t *testing.T) {
	var many []netscaler.Change
	for i := range 1001 {
		many = append(many, change(netscaler.Bind, "sg", fmt.Sprintf("10.0.0.1:%d", i+1)))
	}
	three := changes(netscaler.Bind, "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3")
	marked := changes(netscaler.Drain, "10.0.0.1:1", "10.0.0.1:2")
	for i := range marked {
		marked[i].NoMark = false
	}
	put, created := "PUT "+binding, answer{status: 201}
	for name, test := range map[string]struct {
		box     *box
		changes []netscaler.Change
		want    string
	}{
		"arrays":           {newBox(t).on(put, created), many, "bind 0/1001, 500/1001, 1000/1001, 1001/1001"},
		"one":              {newBox(t).on(put, created), three[:1], "bind 0/1, 1/1"},
		"none":             {newBox(t), nil, ""},
		"arrays refused":   {newBox(t).on(put, nitro(400, 1233, "Invalid JSON input"), created), three, "bind 0/3, 1/3, 2/3, 3/3"},
		"one failed":       {newBox(t).on(put, bulkFailed(itemDone, itemFull, itemDone)), three, "bind 0/3, 3/3"},
		"stopped at one":   {newBox(t).on(put, bulkFailed(itemDone, itemFull, itemNot), created), three, "bind 0/3, 2/3, 3/3"},
		"says of none":     {newBox(t).on(put, bulkFailed(itemNot, itemNot, itemNot), created), three, "bind 0/3, 0/3, 1/3, 2/3, 3/3"},
		"answer lost":      {newBox(t).on(put, lost), three, "bind 0/3, 3/3"},
		"two steps":        {newBox(t).on("PUT servicegroup", created).on("POST servicegroup?action=disable", created), marked, "mark 0/2, 2/2, drain 0/2, 2/2"},
		"the first failed": {newBox(t).on("PUT servicegroup", nitro(599, 1240, "no")), marked, "mark 0/2, 1/2, 2/2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []string
				last := netscaler.Op(-1)
				c := open(t, test.box, func(c *netscaler.Config) {
					c.Progress = func(op netscaler.Op, done, of int) {
						text := fmt.Sprintf("%d/%d", done, of)
						if op != last {
							last, text = op, op.String()+" "+text
						}
						told = append(told, text)
					}
				})
				op := netscaler.Bind
				if len(test.changes) > 0 {
					op = test.changes[0].Op
				}
				c.Do(t.Context(), op, test.changes)
				if got := strings.Join(told, ", "); got != test.want {
					t.Errorf("told of %s\nwant %s", got, test.want)
				}
			})
		})
	}
}
