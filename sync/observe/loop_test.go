package observe_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"nitrox/sync"
)

// How the program wires an observer to a loop.
func TestALoopIsObserved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, sync.App{Name: "shop"})
		s.say("prod", "shop", 1, 2)
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		loop := sync.Loop{
			Every: every, Log: slog.New(slog.DiscardHandler), Stream: s.Stream,
			Pass: func(ctx context.Context, syncer *sync.Syncer, part *sync.Part) sync.Result {
				s.Begin(time.Now())
				return syncer.Sync(ctx, part)
			},
			Report: func(r sync.Result) { s.Record(r, time.Now()) },
		}
		go func() {
			loop.Run(ctx, s.Syncer)
			close(over)
		}()
		for range 100 {
			time.Sleep(10 * time.Second)
			s.probes("ok", "ok")
		}
		stop()
		<-over
		time.Sleep(4 * every)
		s.probes("the last pass ended", "the last pass ended")
		s.close()
	})
}
