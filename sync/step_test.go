package sync_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// watcher is somebody who looks at what a run is doing.
type watcher struct {
	mu  stdsync.Mutex
	now map[string]sync.Step
}

func (w *watcher) step(s sync.Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == nil {
		w.now = map[string]sync.Step{}
	}
	if at := s.Source + "|" + s.NetScaler; s.Doing == "" {
		delete(w.now, at)
	} else {
		w.now[at] = s
	}
}

func (w *watcher) sees() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, at := range slices.Sorted(maps.Keys(w.now)) {
		s := w.now[at]
		text := fmt.Sprintf("%s %s", at, s.Doing)
		if !s.Until.IsZero() {
			text += fmt.Sprintf(" for %v", time.Until(s.Until))
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// Who looks at a run at any second sees what it waits for, and nothing once it
// has ended.
func TestARunTellsWhatItIsDoing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		answer, failing := hosts(1, 2), false
		play := func(took time.Duration) func(context.Context, string, bool) (sources.Answer, error) {
			return func(context.Context, string, bool) (sources.Answer, error) {
				time.Sleep(took)
				if failing {
					return sources.Answer{}, context.DeadlineExceeded
				}
				return known(answer), nil
			}
		}
		policy := sync.Policy{Drain: 30 * time.Second, WaitUp: 10 * time.Second, MaxRemove: sync.Limit{N: 100, Percent: true}}
		s := newSite(t, players{"lab": play(3500 * time.Millisecond), "prod": play(5500 * time.Millisecond)},
			sync.App{Name: "shop", Policy: policy, From: []sync.From{{Source: "lab", Query: "shop"}, {Source: "prod", Query: "shop"}}})
		slow := simulator.New(simulator.Options{
			Users: map[string]string{"nitrox": "secret"}, ReadLatency: 500 * time.Millisecond, SaveTime: 2 * time.Second, ProbeDelay: 5 * time.Second,
		})
		slow.AddGroup("sg-shop")
		s.sims["edge"] = slow
		s.NetScalers["edge"].Client = s.client("edge", "secret", false)
		var w watcher
		s.Progress = w.step
		run := func(what string, f func(), want map[time.Duration]string) {
			t.Helper()
			began := time.Now()
			for after, text := range want {
				time.AfterFunc(after, func() {
					if got := w.sees(); got != text {
						t.Errorf("%s, after %v: %q, want %q", what, after, got, text)
					}
				})
			}
			f()
			if last := slices.Max(slices.Collect(maps.Keys(want))); time.Since(began) <= last {
				t.Errorf("%s: it took %v", what, time.Since(began))
			}
			if left := w.sees(); left != "" {
				t.Errorf("%s: in the end it still says %q", what, left)
			}
		}
		run("a first pass", func() { s.sync(0) }, map[time.Duration]string{
			100 * time.Millisecond:  "lab| polling, prod| polling, |edge reading",
			4 * time.Second:         "prod| polling",
			7300 * time.Millisecond: "|edge saving",
		})
		time.Sleep(time.Minute)
		answer = hosts(3, 4)
		run("a replacement", func() {
			if _, err := s.finish(t.Context(), 0); err != nil {
				t.Error(err)
			}
		}, map[time.Duration]string{
			5200 * time.Millisecond:  "prod| polling",
			6800 * time.Millisecond:  "|edge asking the sources again, because so much would be removed",
			9 * time.Second:          "lab| polling, prod| polling, |edge asking the sources again, because so much would be removed",
			15600 * time.Millisecond: "|edge waiting for new members to be UP for 8.4s",
		})
		failing = true
		run("a failure", func() { s.sync(1) }, map[time.Duration]string{4 * time.Second: "prod| polling"})
	})
}
