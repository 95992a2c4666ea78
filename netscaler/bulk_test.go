package netscaler_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources/bounds"
)

func TestSpare(t *testing.T) {
	const ms, us = time.Millisecond, time.Microsecond
	for _, test := range []struct {
		n         int
		call, row time.Duration
		want      int
	}{
		{1, 0, 0, 0}, {4, 0, 0, 0}, // one round, as a bulk read is
		{4, time.Minute, 1 * us, 0},
		{5, 0, 0, 500}, {8, 0, 0, 500}, {9, 0, 0, 1000}, {1000, 0, 0, 124_500},
		{5, 25 * ms, 50 * us, 500}, {5, 100 * ms, 50 * us, 2000}, {5, 25 * ms, 25 * us, 1000},
		{5, 1 * us, 50 * us, 200},      // a call keeps the appliance busy, however near it is
		{5, 25 * ms, 1 * us, 2500},     // nothing decodes as fast as that
		{5, 25 * ms, time.Second, 250}, // most of that was not the time of rows
		{1000, 25 * ms, 30 * us, 249 * 833},
	} {
		if got := netscaler.Spare(test.n, test.call, test.row); got != test.want {
			t.Errorf("%d objects, %v a call, %v a row: %d, want %d", test.n, test.call, test.row, got, test.want)
		}
	}
}

// replaceable is an appliance that may be another from one call to the next, of whose
// answers it counts what was read.
type replaceable struct {
	*simulator.Simulator
	read atomic.Int64
}

func (r *replaceable) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.Transport().RoundTrip(req)
	if err == nil {
		resp.Body = &metered{ReadCloser: resp.Body, read: &r.read}
	}
	return resp, err
}

type metered struct {
	io.ReadCloser
	read   *atomic.Int64
	before func() // the first Read; nil: nothing
}

func (m *metered) Read(p []byte) (int, error) {
	if m.before != nil {
		m.before()
		m.before = nil
	}
	n, err := m.ReadCloser.Read(p)
	m.read.Add(int64(n))
	return n, err
}

// Whatever the client knows of an appliance, right or wrong, it reads the same, and in
// the way that costs less.
func TestByNameOrInBulk(t *testing.T) {
	box := func(groups, members int) *simulator.Simulator {
		sim := simulator.New(simulator.Options{Users: users, ReadLatency: 25 * time.Millisecond})
		var conf strings.Builder
		for g := range groups {
			fmt.Fprintf(&conf, "add serviceGroup sg-%d HTTP\n", g)
			for m := range members {
				fmt.Fprintf(&conf, "bind serviceGroup sg-%d 10.%d.%d.%d 80\n", g, g/250, g%250, m+1)
			}
		}
		if err := sim.Load(strings.NewReader(conf.String())); err != nil {
			t.Fatal(err)
		}
		return sim
	}
	const member, bulk, attrs = "member", "bulk", "attributes"
	small, large := box(10, 10), box(200, 50)
	type step struct {
		on       *simulator.Simulator // nil: as before
		n        int                  // groups to read
		attrs    bool                 // their attributes
		after    time.Duration
		expect   int // groups that the mapping has there
		want     map[string]int
		kilobyte int64 // are read at most; 0: of any number
	}
	for name, steps := range map[string][]step{
		"all that a small one has": {
			{on: small, n: 10, want: map[string]int{bulk: 1}},
			{n: 10, want: map[string]int{bulk: 1}},
			{n: 4, want: map[string]int{member: 4}},
			{n: 5, want: map[string]int{bulk: 1}},
			{n: 5, attrs: true, want: map[string]int{attrs: 1}},
		},
		"a few of a large one": {
			{on: large, n: 4, want: map[string]int{member: 4}, kilobyte: 90},
			{n: 5, want: map[string]int{bulk: 1, member: 5}, kilobyte: 500},
			{n: 5, want: map[string]int{member: 5}, kilobyte: 110},
			{n: 10, want: map[string]int{member: 10}, kilobyte: 220},
			{n: 5, after: 2 * time.Hour, want: map[string]int{bulk: 1, member: 5}},
		},
		"a few of a large one, by a mapping of all": {
			{on: large, expect: 200, n: 5, want: map[string]int{member: 5}, kilobyte: 110},
			{n: 5, attrs: true, want: map[string]int{attrs: 1}},
			{n: 200, want: map[string]int{bulk: 1}},
			{n: 10, want: map[string]int{member: 10}, kilobyte: 220},
			{n: 1, want: map[string]int{member: 1}, kilobyte: 22},
			{n: 199, want: map[string]int{bulk: 1}},
		},
		"it grew": {
			{on: small, n: 10, want: map[string]int{bulk: 1}},
			{on: large, n: 10, want: map[string]int{bulk: 1, member: 10}, kilobyte: 2000},
			{n: 10, want: map[string]int{member: 10}},
			{n: 200, want: map[string]int{bulk: 1}},
		},
		"it shrank": {
			{on: large, expect: 10, n: 200, want: map[string]int{bulk: 1}},
			{on: small, n: 10, want: map[string]int{member: 10}},
			{n: 10, after: 2 * time.Hour, want: map[string]int{bulk: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				appliance := &replaceable{}
				c := open(t, appliance)
				for i, s := range steps {
					if s.on != nil {
						appliance.Simulator = s.on
					}
					if s.expect > 0 {
						c.Expect(s.expect)
					}
					time.Sleep(s.after)
					appliance.ResetCalls()
					appliance.read.Store(0)
					var names []string
					for g := range s.n {
						names = append(names, fmt.Sprintf("sg-%d", g))
					}
					groups, err := netscaler.Groups{}, error(nil)
					all := netscaler.Attributes{}
					if s.attrs {
						all, err = c.Attributes(t.Context(), names)
					} else {
						groups, err = c.Read(t.Context(), names)
					}
					if err != nil {
						t.Fatal(err)
					}
					for _, name := range names {
						if s.attrs {
							if a, err := all.Of(name); err != nil || a.ServiceType != "HTTP" {
								t.Errorf("step %d: %s: %+v, %v", i, name, a, err)
							}
						} else if m, err := groups.Members(name); err != nil || len(m) != len(appliance.Members(name)) || len(m) == 0 {
							t.Errorf("step %d: %s: %d members, %v", i, name, len(m), err)
						}
					}
					got := map[string]int{}
					for _, call := range appliance.Calls() {
						switch {
						case call.Code != 0: // of a session that has ended
						case call.Type == binding && strings.Contains(call.Query, "bulkbindings"):
							got[bulk]++
						case call.Type == binding:
							got[member]++
						case call.Type == "servicegroup":
							got[attrs]++
						}
					}
					if !maps.Equal(got, s.want) {
						t.Errorf("step %d: %v, want %v", i, got, s.want)
					}
					if k := appliance.read.Load() >> 10; s.kilobyte > 0 && k > s.kilobyte {
						t.Errorf("step %d: %d KB were read", i, k)
					}
				}
			})
		})
	}
}

// Of many appliances a few are called at a time, and answer for no longer than a turn if
// they hang.
func TestCallsAreMadeInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const appliances, atOnce, hanging = 20, 5, 3
		turns := bounds.NewTurns(atOnce, time.Second)
		var now, top atomic.Int32
		began := time.Now()
		var all sync.WaitGroup
		for i := range appliances {
			sim := simulator.New(simulator.Options{Users: users})
			sim.AddGroup("sg")
			hangs := i < hanging
			slow := roundTripper(func(r *http.Request) (*http.Response, error) {
				if hangs {
					time.Sleep(time.Minute)
				} else {
					top.Store(max(top.Load(), now.Add(1)))
					defer now.Add(-1)
					time.Sleep(100 * time.Millisecond)
				}
				return sim.Transport().RoundTrip(r)
			})
			c := open(t, slow, func(cfg *netscaler.Config) { cfg.Calls = turns })
			all.Go(func() {
				if !hangs {
					time.Sleep(time.Millisecond) // they come last
				}
				err := c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:80"))[0]
				if took := time.Since(began); !hangs && (err != nil || len(sim.Members("sg")) != 1 || took > 4*time.Second) {
					t.Errorf("%v after %v", err, took)
				}
			})
		}
		all.Wait()
		if n := top.Load(); n != atOnce {
			t.Errorf("%d calls were made at a time", n)
		}
	})
}

// A call that has waited for its turn is not made if meanwhile it may not be.
func TestCallThatMayNotBeMadeWhenItsTurnComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := bounds.NewTurns(1, time.Minute)
		var held atomic.Bool
		held.Store(true)
		sim := simulator.New(simulator.Options{Users: users})
		sim.AddGroup("sg")
		c := open(t, sim.Transport(), func(cfg *netscaler.Config) {
			cfg.Calls = turns
			cfg.Allow = func() error {
				if !held.Load() {
					return errors.New("another replica leads")
				}
				return nil
			}
		})
		if err := c.Writable(t.Context()); err != nil {
			t.Fatal(err)
		}
		end, err := turns.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { held.Store(false); end() })
		wantError(t, c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:80"))[0], netscaler.ErrUnavailable, "not sent: another replica leads")
		if len(sim.Members("sg")) != 0 {
			t.Error("it was made")
		}
	})
}

// Of many appliances' large answers a few are read at a time; those that hang in the
// middle of one hold up the others for a turn, and no longer.
func TestLargeAnswersAreReadInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const last = 5 * time.Second
		turns := bounds.NewTurns(2, last)
		var now, top atomic.Int32
		began := time.Now()
		var all sync.WaitGroup
		for i := range 10 {
			hangs := i < 2
			slow := roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := served([]byte(`{ "errorcode": 0, "message": "Done", "severity": "NONE" }`))(r)
				if err != nil || r.Method != http.MethodGet {
					return resp, err
				}
				resp.Body = &metered{ReadCloser: resp.Body, read: new(atomic.Int64), before: func() {
					if hangs {
						time.Sleep(30 * time.Second)
						return
					}
					top.Store(max(top.Load(), now.Add(1)))
					time.Sleep(time.Second)
					now.Add(-1)
				}}
				return resp, nil
			})
			c := open(t, slow, func(cfg *netscaler.Config) { cfg.Turns = turns })
			all.Go(func() {
				if !hangs {
					time.Sleep(time.Second) // they come last
				}
				_, err := c.Read(t.Context(), []string{"a", "b", "c", "d", "e"})
				if took := time.Since(began); err != nil || !hangs && took > last+8*time.Second {
					t.Errorf("%v after %v", err, took)
				}
			})
		}
		all.Wait()
		if top.Load() != 2 {
			t.Errorf("%d answers were read at a time", top.Load())
		}
	})
}
