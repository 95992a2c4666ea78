package marathon_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
	"nitrox/sync"
)

// TestTenThousandEventsInTenSeconds: whatever a cluster tells, there is at most
// one pass a second, the last state is the one that is bound, and no memory is
// kept of what has been.
func TestTenThousandEventsInTenSeconds(t *testing.T) {
	onLane(t, marathontest.Options{}, marathon.Config{}, func(t *testing.T, l *lane) {
		if err := l.Put(strings.Replace(webApp, `"instances": 3`, `"instances": 6`, 1)); err != nil {
			t.Fatal(err)
		}
		l.Settle()
		sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
		sim.AddGroup(group)
		client, err := netscaler.Open(netscaler.Config{URLs: []string{"http://edge.test"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: sim.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		policy := sync.DefaultPolicy
		policy.Drain, policy.WaitUp = 0, 0
		passes := make(chan time.Time, 1000)
		since := func() (began []time.Time) { // the last call
			for synctest.Wait(); len(passes) > 0; {
				began = append(began, <-passes)
			}
			return began
		}
		loop := &sync.Loop{
			Every: time.Hour, Watch: true, Log: slog.New(slog.DiscardHandler), Report: func(sync.Result) {},
			Pass: func(ctx context.Context, s *sync.Syncer, part *sync.Part) sync.Result {
				passes <- time.Now()
				return s.Sync(ctx, part)
			},
		}
		syncer := &sync.Syncer{
			Sources:    map[string]sync.Source{"dcos": {Opened: l.opened, Timeout: 15 * time.Second}},
			NetScalers: map[string]*sync.NetScaler{"edge": {Client: client}},
			Apps:       []sync.App{{Name: "web", Group: group, NetScalers: []string{"edge"}, Policy: policy, From: []sync.From{{Source: "dcos", Query: web}}}},
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan *sync.Syncer)
		go func() { ended <- loop.Run(ctx, syncer) }()
		time.Sleep(time.Minute)
		if len(since()) == 0 {
			t.Fatal("there was no pass")
		}

		const events = 10_000
		tasks, sick := l.Tasks("/shop/web"), map[string]bool{}
		var early uint64
		for n := range events {
			time.Sleep(time.Millisecond)
			task := tasks[1+rand.N(len(tasks)-1)] // the first stays, and serves
			sick[task] = !sick[task]
			l.Sick(task, sick[task])
			if n == events/10 {
				early = inUse()
			}
		}
		if late := inUse(); late > early+4<<20 {
			t.Errorf("%d KiB are in use after %d events, and were %d after a tenth of them", late>>10, events, early>>10)
		}
		began := since()
		if n := len(began); n < 3 || n > 11 {
			t.Errorf("%d passes in 10 seconds of events", n)
		}
		t.Logf("%d passes, %d KiB in use, %d after a tenth of the events", len(began), inUse()>>10, early>>10)
		time.Sleep(5 * time.Second) // the last pass, and the confirmation of what it removes
		began = append(began, since()...)
		var members []string
		for _, m := range sim.Members(group) {
			members = append(members, m.Addr.String())
		}
		slices.Sort(members)
		if want := l.Serving("/shop/web"); !slices.Equal(members, want) {
			t.Errorf("members %v, want the last state, %v", members, want)
		}
		for i := 1; i < len(began); i++ {
			if gap := began[i].Sub(began[i-1]); gap < time.Second {
				t.Errorf("pass %d began %v after the one before", i, gap)
			}
		}
		time.Sleep(5 * time.Minute)
		if n := len(since()); n > 0 {
			t.Errorf("%d passes in silence", n)
		}
		stop()
		if err := (<-ended).Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// inUse is how many bytes are, when what is not has been collected.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
