//go:build unix && !race

package sync_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources/sourcetest"
	"nitrox/sync"
	"nitrox/sync/observe"
)

// The work of a pass grows with what it is about, and not with its square: 16
// times as much takes about 16 times the processor's time, and never 256 times.
func TestWorkGrowsInProportion(t *testing.T) {
	sourcetest.Thorough(t)
	const few, times = 2000, 16
	address := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
	}
	changes := func(op netscaler.Op, n int) (all []netscaler.Change) {
		for i := range n {
			m := netscaler.Member{Addr: address(i), Server: "web", Weight: 2}
			all = append(all, netscaler.Change{Op: op, Group: "sg", Member: m, Was: netscaler.Settings{Weight: 1}})
		}
		return all
	}
	members := func(n int) (all []netscaler.Member) {
		for _, c := range changes(netscaler.Set, n) {
			all = append(all, c.Member)
		}
		return all
	}
	for name, prepare := range map[string]func(n int) func(){
		"the log of a plan": func(n int) func() {
			r := sync.Result{DryRun: true, Outcomes: []sync.Outcome{{App: sync.App{Name: "web", Group: "sg"}, Plan: sync.Plan{Changes: changes(netscaler.Drain, n)}}}}
			return func() {
				new(sync.Chronicle).Log(context.Background(), slog.New(slog.DiscardHandler), r, time.Time{})
			}
		},
		"the rows of members whose weights are set": func(n int) func() {
			o := sync.Outcome{Plan: sync.Plan{Kept: members(n), Changes: changes(netscaler.Set, n)}}
			return func() { o.Rows() }
		},
		"the report of a plan": func(n int) func() {
			r := sync.Result{DryRun: true, Outcomes: []sync.Outcome{{Plan: sync.Plan{Kept: members(n), Changes: changes(netscaler.Set, n)}}}}
			return func() {
				if err := sync.Text(io.Discard, r); err != nil {
					t.Error(err)
				}
			}
		},
		"a member list": func(n int) func() {
			now, plan := members(n), changes(netscaler.Set, n)
			return func() { sync.MemberList(now, plan) }
		},
		"apps on many NetScalers that claim the same": func(n int) func() {
			n /= 20
			s := &sync.Syncer{NetScalers: map[string]*sync.NetScaler{}, Apps: []sync.App{{Name: "a", Group: "sg"}, {Name: "b", Group: "SG"}, {Name: "c", Group: "sg"}}}
			for i := range n {
				name := fmt.Sprintf("ns-%d", i)
				client, err := netscaler.Open(netscaler.Config{URLs: []string{"http://" + name}, Username: "nitrox"})
				if err != nil {
					t.Fatal(err)
				}
				s.NetScalers[name] = &sync.NetScaler{Client: client, Appliance: name}
				app := &s.Apps[i*len(s.Apps)/n]
				app.NetScalers = append(app.NetScalers, name)
			}
			return func() { sync.ClaimedTwice(s) }
		},
		"a pass over apps by their names": func(n int) func() {
			s := &sync.Syncer{}
			var names []string
			for i := range n {
				names = append(names, fmt.Sprintf("app-%d", i))
				s.Apps = append(s.Apps, sync.App{Name: names[i]})
			}
			return func() { s.Plan(context.Background(), &sync.Part{Apps: names}) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			small, large := least(t, prepare(few)), least(t, prepare(times*few))
			if grown := float64(large) / float64(small); grown > times*4 {
				t.Errorf("%d times as much takes %.0f times as long: %v, %v", times, grown, small, large)
			}
		})
	}
}

// least is the processor's time that something takes at least.
func least(t *testing.T, do func()) time.Duration {
	best := time.Hour
	for range 3 {
		before, used, done := processorTime(t), time.Duration(0), time.Duration(0)
		for used < 30*time.Millisecond { // garbage is collected now and then
			do()
			done++
			used = processorTime(t) - before
		}
		best = min(best, used/done)
	}
	return best
}

// What an event costs that concerns one app does not depend on how many there are: the
// pass, its log, and what is observed of it.
func TestAnEventCostsTheSameAmongManyApps(t *testing.T) {
	sourcetest.Thorough(t)
	const few, times = 1000, 20
	for name, prepare := range map[string]func(t *testing.T, s *sync.Syncer, all, one sync.Result) func(){
		"its pass": func(t *testing.T, s *sync.Syncer, _, _ sync.Result) func() {
			return func() {
				if r := s.Plan(t.Context(), &sync.Part{Apps: []string{"app-7"}}); len(r.Outcomes) != 1 || r.Outcomes[0].Err != nil {
					t.Error(r.Summary())
				}
			}
		},
		"its log": func(t *testing.T, _ *sync.Syncer, all, one sync.Result) func() {
			log, at := slog.New(slog.DiscardHandler), time.Now()
			c := new(sync.Chronicle)
			c.Log(t.Context(), log, all, at)
			return func() {
				at = at.Add(time.Millisecond)
				c.Log(t.Context(), log, one, at)
			}
		},
		"what is observed": func(t *testing.T, s *sync.Syncer, all, one sync.Result) func() {
			o := observe.New(observe.Options{Every: time.Minute, Apps: s.Apps})
			o.Record(all, time.Now())
			return func() { o.Record(one, time.Now()) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			among := func(n int) time.Duration {
				sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
				sim.AddGroup("sg-7")
				client, err := netscaler.Open(netscaler.Config{URLs: []string{"http://edge"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: sim.Transport()})
				if err != nil {
					t.Fatal(err)
				}
				s := &sync.Syncer{NetScalers: map[string]*sync.NetScaler{"edge": {Client: client}}}
				all := sync.Result{NetScalers: map[string]error{"edge": nil}}
				for i := range n {
					app := sync.App{Name: fmt.Sprintf("app-%d", i), Group: fmt.Sprintf("sg-%d", i), NetScalers: []string{"edge"}}
					s.Apps = append(s.Apps, app)
					o := sync.Outcome{App: app, NetScaler: "edge", Desired: sync.Union(nil, nil, app.Policy), Notes: []string{"a note"}}
					if i%2 == 0 && i < few {
						o.Err = fmt.Errorf("its group has trouble of its own: %s", strings.Repeat("x", i%100))
					}
					all.Outcomes = append(all.Outcomes, o)
				}
				one := sync.Result{NetScalers: all.NetScalers, Outcomes: all.Outcomes[7:8]}
				return least(t, prepare(t, s, all, one))
			}
			small, large := among(few), among(times*few)
			if grown := float64(large) / float64(small); grown > 4 {
				t.Errorf("among %d times as many apps it takes %.0f times as long: %v, %v", times, grown, small, large)
			}
		})
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
