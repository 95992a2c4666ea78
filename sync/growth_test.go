//go:build unix

package sync_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/sync"
)

// The work of a pass grows with what it is about, and not with its square: 16
// times as much takes about 16 times the processor's time, and never 256 times.
func TestWorkGrowsInProportion(t *testing.T) {
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
			least := func(n int) time.Duration {
				do := prepare(n)
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
			small, large := least(few), least(times*few)
			if grown := float64(large) / float64(small); grown > times*4 {
				t.Errorf("%d times as much takes %.0f times as long: %v, %v", times, grown, small, large)
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
