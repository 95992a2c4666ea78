package sync_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// A day of a loop in which everything fails now and then: sources, their event
// streams, the NetScaler's answers and its sessions. Nothing grows, there is
// never a second session, and in the end all is as it should be.
func TestADayOfFailuresLeavesNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("left to make test")
	}
	bubble(t, func(t *testing.T) {
		var mu stdsync.Mutex
		source := rand.New(rand.NewPCG(1, 2))
		random := func(n int) int { mu.Lock(); defer mu.Unlock(); return source.IntN(n) }
		chance := func(percent int) bool { return random(100) < percent }
		var calm atomic.Bool
		st := &live{stage: stage{}}
		var apps []sync.App
		for i := range 8 {
			name := fmt.Sprintf("app%d", i)
			st.set(name, known(hosts(1, 4)))
			apps = append(apps, sync.App{Name: name, Policy: sync.Policy{Drain: 45 * time.Second, WaitUp: 5 * time.Second, MaxRemove: sync.Limit{N: 100, Percent: true}},
				From: []sync.From{{Source: []string{"prod", "lab"}[i%2], Query: name}}})
		}
		play := func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
			switch {
			case calm.Load():
			case chance(5):
				return sources.Answer{}, errors.New("502 Bad Gateway")
			case chance(3):
				<-ctx.Done()
				return sources.Answer{}, ctx.Err()
			case chance(3):
				return known(nil), nil // a lie, which a second question finds out or a guard holds
			}
			return st.play(ctx, app, fresh)
		}
		s := newSite(t, players{"prod": play, "lab": play}, apps...)
		sim := s.sims["edge"]
		prod := watched(s, "prod")

		day := 24 * time.Hour
		faults := []simulator.Fault{
			{Method: "GET", Status: 503, RawBody: "<html>starting</html>", Times: 2},
			{Type: "servicegroup.*", Code: 291, Times: 3},
			{Type: "servicegroup.*", Code: 293, Times: 5},
			{Type: "servicegroup.*", DropBefore: true, Times: 1},
			{Type: "servicegroup.*", DropAfterApply: true, Times: 1},
			{Type: "servicegroup.*", DropMidReply: true, Times: 1},
			{Type: "servicegroup.*", KillSession: true, Times: 1},
			{Type: "servicegroup.*", Delay: 8 * time.Second, Times: 2},
			{Method: "GET", Hang: true, Times: 1},
			{Type: "nsconfig", Code: 293, Times: 4},
		}
		go func() { // the weather
			for end := time.Now().Add(day); time.Now().Before(end); time.Sleep(time.Duration(random(180)) * time.Second) {
				sim.ClearFaults()
				if chance(50) {
					sim.SetFault(faults[random(len(faults))])
				}
				name := fmt.Sprintf("app%d", random(8))
				first := 1 + random(20)
				st.set(name, known(hosts(first, first+1+random(6))))
				if chance(30) {
					prod.changed <- struct{}{}
				}
				if chance(5) {
					prod.fail <- errors.New("the stream was cut")
				}
			}
			sim.ClearFaults()
			calm.Store(true)
		}()

		type size struct{ goroutines, heap int }
		measure := func() size {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return size{runtime.NumGoroutine(), int(m.HeapAlloc)}
		}
		var early size
		r := newRun(s, 2*time.Minute)
		r.Watch, r.Stream, r.Log = true, nil, slog.New(slog.DiscardHandler)
		report, passes, failed := r.Report, 0, 0
		r.Report = func(result sync.Result) {
			report(result)
			r.passes, r.reports = r.passes[len(r.passes)-1:], nil
			sim.ResetCalls()
			if n := sim.Sessions(); n > 1 {
				t.Fatalf("%d sessions after %v", n, time.Since(r.began))
			}
			if passes++; result.Exit(false) == sync.ExitFailed {
				failed++
			}
			if passes == 100 {
				early = measure()
			}
		}
		evening := make(chan size, 1)
		time.AfterFunc(day+19*time.Minute, func() { evening <- measure() })
		r.during(day + 20*time.Minute)
		late := <-evening

		if passes < 720 || failed < 50 {
			t.Errorf("%d passes, of which %d failed: not much of a day", passes, failed)
		}
		for name, want := range st.stage {
			var text string
			for i, e := range want.Endpoints {
				if i > 0 {
					text += ", "
				}
				text += e.Addr.String()
			}
			s.expect("sg-"+name, text)
		}
		if late.goroutines > early.goroutines+3 {
			t.Errorf("%d goroutines early in the day, %d late", early.goroutines, late.goroutines)
		}
		if late.heap > early.heap+8<<20 {
			t.Errorf("%d bytes in use early in the day, %d late", early.heap, late.heap)
		}
		if !sim.Saved() {
			t.Error("not saved")
		}
	})
}
