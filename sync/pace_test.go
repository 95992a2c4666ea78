package sync_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	stdsync "sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nitrox/sources"
	"nitrox/sync"
)

// A pace is a loop whose passes only take time, and what they were.
type pace struct {
	*sync.Loop
	*sync.Syncer
	mu     stdsync.Mutex
	served map[string][]stretch // by NetScaler
	passes int
}

// stretch is the time for which a pass served a NetScaler.
type stretch struct {
	began, ended time.Time
	all          bool
	apps         map[string]bool
}

// newPace is of apps on their NetScalers, the i-th of which source i%3 feeds; took
// says how long a pass serves a NetScaler. hint hints at some apps of a source.
func newPace(every time.Duration, apps []sync.App, took func(netscaler string, apps int) time.Duration) (p *pace, hint func(source int, which ...int)) {
	p = &pace{Syncer: &sync.Syncer{Apps: apps, Sources: map[string]sync.Source{}, NetScalers: map[string]*sync.NetScaler{}}, served: map[string][]stretch{}}
	for i := range apps {
		apps[i].From = []sync.From{{Source: fmt.Sprint(i % 3), Query: apps[i].Name}}
		for _, name := range apps[i].NetScalers {
			p.NetScalers[name] = &sync.NetScaler{}
		}
	}
	events := map[string]chan []int{}
	for i := range 3 {
		mine := make(chan []int, 100_000)
		events[fmt.Sprint(i)] = mine
		p.Sources[fmt.Sprint(i)] = sync.Source{Opened: sources.Opened{Watch: func(ctx context.Context, _ []any, changed func([]int)) error {
			for {
				select {
				case which := <-mine:
					changed(which)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}}}
	}
	p.Loop = &sync.Loop{Every: every, Watch: true, Log: slog.New(slog.DiscardHandler), Report: func(sync.Result) {}, Pass: p.pass(took)}
	return p, func(source int, which ...int) { events[fmt.Sprint(source)] <- which }
}

func (p *pace) pass(took func(string, int) time.Duration) func(context.Context, *sync.Syncer, *sync.Part) sync.Result {
	return func(_ context.Context, _ *sync.Syncer, part *sync.Part) sync.Result {
		p.mu.Lock()
		p.passes++
		on, began := map[string]map[string]bool{}, time.Now()
		for _, app := range p.Syncer.Apps {
			for _, name := range app.NetScalers {
				if (part.Apps == nil || slices.Contains(part.Apps, app.Name)) && part.Serves(app.Name, name) {
					if on[name] == nil {
						on[name] = map[string]bool{}
					}
					on[name][app.Name] = true
				}
			}
		}
		places := map[string]int{}
		for _, app := range p.Syncer.Apps {
			for _, name := range app.NetScalers {
				places[name]++
			}
		}
		var left stdsync.WaitGroup
		for name, apps := range on {
			p.served[name] = append(p.served[name], stretch{began: began, apps: apps, all: len(apps) == places[name]})
			i := len(p.served[name]) - 1
			left.Go(func() {
				time.Sleep(took(name, len(apps)))
				p.mu.Lock()
				p.served[name][i].ended = time.Now()
				p.mu.Unlock()
				part.Left(name, sync.Result{})
			})
		}
		p.mu.Unlock()
		left.Wait()
		return sync.Result{}
	}
}

// TestNoHintIsLostAndNoneWaitsInVain, in any interleaving of events, of passes and
// of NetScalers that hang.
func TestNoHintIsLostAndNoneWaitsInVain(outer *testing.T) {
	rapid.Check(outer, func(t *rapid.T) {
		lanes := rapid.SliceOfN(rapid.SampledFrom([][]string{{"edge"}, {"core"}, {"lab"}, {"edge", "core"}}), 3, 9).Draw(t, "apps")
		gaps := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 40, 249, 250, 251, 700, 1000, 3000, 20_000}), 1, 30).Draw(t, "gaps")
		of := rapid.SliceOfN(rapid.IntRange(-1, len(lanes)-1), len(gaps), len(gaps)).Draw(t, "of")
		slow := rapid.SliceOfN(rapid.SampledFrom([]int{0, 10, 300, 2000, 50_000}), 8, 8).Draw(t, "slow")
		synctest.Test(outer, func(*testing.T) {
			var apps []sync.App
			for i, on := range lanes {
				apps = append(apps, sync.App{Name: fmt.Sprint("app-", i), NetScalers: on})
			}
			turn := map[string]int{}
			p, hint := newPace(time.Minute, apps, nil)
			p.Pass = p.pass(func(name string, _ int) time.Duration {
				p.mu.Lock()
				defer p.mu.Unlock()
				turn[name]++
				return time.Duration(slow[(turn[name]+len(name))%len(slow)]) * time.Millisecond
			})
			hinted := map[string][]time.Time{}
			ctx, cancel := context.WithCancel(context.Background())
			over := make(chan struct{})
			go func() {
				p.Run(ctx, p.Syncer)
				close(over)
			}()
			for n, gap := range gaps {
				time.Sleep(time.Duration(gap) * time.Millisecond)
				synctest.Wait()
				if of[n] < 0 {
					hint(0)
					for i := 0; i < len(apps); i += 3 {
						hinted[apps[i].Name] = append(hinted[apps[i].Name], time.Now())
					}
					continue
				}
				hint(of[n]%3, of[n]/3)
				hinted[apps[of[n]].Name] = append(hinted[apps[of[n]].Name], time.Now())
			}
			time.Sleep(5 * time.Minute)
			cancel()
			<-over
			for _, app := range apps {
				for _, name := range app.NetScalers {
					for _, at := range hinted[app.Name] {
						if why := p.late(app.Name, name, at); why != "" {
							t.Errorf("%s on %s, hinted at %v: %s", app.Name, name, at.Format("04:05.000"), why)
						}
					}
				}
			}
			p.paced(t.Errorf)
		})
	})
}

// late says how a hint at an app was not followed by a pass of it in time: a
// debounce later, or than the NetScaler was idle, unless the app had to rest.
func (p *pace) late(app, netscaler string, hinted time.Time) string {
	const debounce = 250 * time.Millisecond
	due := hinted.Add(debounce)
	for _, s := range p.served[netscaler] {
		if !s.began.Before(hinted) && s.apps[app] {
			if s.began.After(due) {
				return fmt.Sprintf("a pass began at %s, and was due at %s", s.began.Format("04:05.000"), due.Format("04:05.000"))
			}
			return ""
		}
		// Until it ended, and a debounce longer, another could not begin.
		if idle := s.ended.Add(debounce); s.began.Before(due) && idle.After(due) {
			due = idle
		}
		if rest := s.rest(); s.apps[app] && rest.After(due) {
			due = rest
		}
	}
	return "no pass began after it"
}

// rest is until when the apps of a pass rest.
func (s stretch) rest() time.Time {
	rest := s.ended.Add(s.ended.Sub(s.began))
	if second := s.began.Add(time.Second); rest.Before(second) {
		return second
	}
	return rest
}

// paced looks that a NetScaler is served by one pass at a time, and that no app is
// in a pass before it has rested, but for those of the interval.
func (p *pace) paced(fail func(string, ...any)) {
	for name, all := range p.served {
		rests, before := map[string]time.Time{}, time.Time{}
		for i, s := range all {
			if i > 0 && s.began.Before(before) {
				fail("%s: a pass began at %v, before the last had ended at %v", name, s.began, before)
			}
			for app := range s.apps {
				if !s.all && s.began.Before(rests[app]) {
					fail("%s: a pass of %s began at %v, which was to rest until %v", name, app, s.began, rests[app])
				}
				rests[app] = s.rest()
			}
			before = s.ended
		}
	}
}

// TestAConstantStreamIsNotAConstantPass: 10,000 events in 10 seconds over 5,000
// apps on four NetScalers, of which a pass takes 2 ms for each app, as it did for
// five thousand groups.
func TestAConstantStreamIsNotAConstantPass(t *testing.T) {
	for name, c := range map[string]struct {
		any          bool // an event does not tell which apps it is about
		passes, most int  // passes in that time, and apps on NetScalers in them
	}{
		"of one app each": {false, 120, 20_000},
		"of any app":      {true, 12, 30_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 5000
				apps := make([]sync.App, n)
				for i := range apps {
					apps[i] = sync.App{Name: fmt.Sprint("app-", i), NetScalers: []string{fmt.Sprint("ns-", i%4)}}
				}
				p, hint := newPace(time.Hour, apps, func(_ string, apps int) time.Duration {
					return 30*time.Millisecond + time.Duration(apps)*2*time.Millisecond
				})
				ctx, cancel := context.WithCancel(t.Context())
				over := make(chan struct{})
				go func() {
					p.Run(ctx, p.Syncer)
					close(over)
				}()
				time.Sleep(time.Minute)
				p.mu.Lock()
				clear(p.served)
				p.passes = 0
				p.mu.Unlock()
				last, random := map[int]time.Time{}, rand.New(rand.NewPCG(1, 2))
				for range 10_000 {
					time.Sleep(time.Millisecond)
					i := random.IntN(n)
					last[i] = time.Now()
					if c.any {
						hint(i % 3)
						continue
					}
					hint(i%3, i/3)
				}
				time.Sleep(10 * time.Second)
				cancel()
				<-over
				places := 0
				for _, all := range p.served {
					for _, s := range all {
						places += len(s.apps)
					}
				}
				t.Logf("%d passes of %d apps", p.passes, places)
				if p.passes > c.passes || places > c.most {
					t.Errorf("%d passes of %d apps, want at most %d of %d", p.passes, places, c.passes, c.most)
				}
				p.paced(t.Errorf)
				for i, at := range last {
					if !slices.ContainsFunc(p.served[apps[i].NetScalers[0]], func(s stretch) bool { return s.apps[apps[i].Name] && !s.began.Before(at) }) {
						t.Fatalf("no pass of %s began after its last event", apps[i].Name)
					}
				}
			})
		})
	}
}
