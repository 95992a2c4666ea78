package sync_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// A run is a loop over a site, with what it did in the order in which it did it.
type run struct {
	*sync.Loop
	site    *site
	began   time.Time
	mu      stdsync.Mutex // streams report, and passes are made, in goroutines of their own
	passes  []*pass
	reports []sync.Result
	streams []string
	log     bytes.Buffer
}

type pass struct {
	at, ended        time.Duration
	apps, netscalers []string // nil: all
	sync.Result
}

func newRun(s *site, every time.Duration) *run {
	r := &run{site: s, began: time.Now()}
	r.Loop = &sync.Loop{
		Every: every,
		Log:   slog.New(slog.NewTextHandler(&r.log, nil)),
		Pass: func(ctx context.Context, s *sync.Syncer, part *sync.Part) sync.Result {
			r.mu.Lock()
			p := &pass{at: time.Since(r.began), apps: part.Apps, netscalers: part.NetScalers}
			r.passes = append(r.passes, p)
			r.mu.Unlock()
			p.Result = s.Sync(ctx, part)
			p.ended = time.Since(r.began)
			return p.Result
		},
		Report: func(result sync.Result) { r.reports = append(r.reports, result) },
		Stream: func(source string, up bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.streams = append(r.streams, fmt.Sprint(source, " ", up))
		},
	}
	return r
}

// during runs the loop for so long and closes what it leaves.
func (r *run) during(d time.Duration) {
	r.site.t.Helper()
	ctx, cancel := context.WithTimeout(r.site.t.Context(), d)
	defer cancel()
	last := r.Run(ctx, r.site.Syncer)
	if took := time.Since(r.began); took > d+time.Second {
		r.site.t.Errorf("stopped after %v, not %v", took, d)
	}
	if err := last.Close(r.site.t.Context()); err != nil {
		r.site.t.Error(err)
	}
	for _, sim := range r.site.sims {
		if n := sim.Sessions(); n != 0 {
			r.site.t.Errorf("%d sessions are left", n)
		}
	}
}

func TestTheLoopKeepsItsIntervalWithinATenthAndOneSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		r := newRun(newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}), 30*time.Second)
		r.during(10 * time.Minute)
		if n := len(r.passes); n < 19 || n > 23 {
			t.Errorf("%d passes in 10 minutes", n)
		}
		for i := 1; i < len(r.passes); i++ {
			if gap := r.passes[i].at - r.passes[i-1].at; gap < 27*time.Second || gap > 33*time.Second {
				t.Errorf("pass %d began %v after the one before", i, gap)
			}
		}
		logins := 0
		for _, c := range r.site.sims["edge"].Calls() {
			if c.Type == "login" {
				logins++
			}
		}
		if logins != 1 {
			t.Errorf("%d logins", logins)
		}
	})
}

// askedOnceMore ends right after it was asked n times whether it has ended.
type askedOnceMore struct {
	context.Context
	end  context.CancelFunc
	left atomic.Int64
	at   time.Time // when it ended
}

func (a *askedOnceMore) Err() error {
	defer func() {
		if a.left.Add(-1) == 0 {
			a.at = time.Now()
			a.end()
		}
	}()
	return a.Context.Err()
}

// A loop that is told to stop does so whatever it is just doing, also between two looks
// at whether it was told. It begins no pass then, also if one is due just now: of the two
// chance would choose, so its first look is tried often.
func TestTheLoopStopsWheneverItIsTold(t *testing.T) {
	for n := int64(-20); ; n++ {
		told := true
		bubble(t, func(t *testing.T) {
			st := &live{stage: stage{"shop": known(hosts(1, 2))}}
			r := newRun(newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}), 20*time.Minute)
			parent, end := context.WithTimeout(t.Context(), time.Hour)
			defer end()
			ctx := &askedOnceMore{Context: parent, end: end}
			ctx.left.Store(max(n, 1))
			last := r.Run(ctx, r.site.Syncer)
			if told = ctx.left.Load() <= 0; told && time.Since(ctx.at) > time.Second {
				t.Errorf("told after %d looks, it stopped %v later", n, time.Since(ctx.at))
			}
			if n <= 1 && len(r.passes) > 0 {
				t.Error("told after its first look, it began a pass")
			}
			if err := last.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		if !told || t.Failed() {
			if n < 10 {
				t.Errorf("the loop looks only %d times", n)
			}
			return
		}
	}
}

// A live stage is one that changes while the loop looks.
type live struct {
	mu stdsync.Mutex
	stage
}

func (l *live) play(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stage.play(ctx, app, fresh)
}

func (l *live) set(app string, a sources.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stage[app] = a
}

// A source that hints: its stream, played by the test.
type hinter struct {
	changed chan struct{}
	fail    chan error
}

func (h *hinter) watch(ctx context.Context, _ []any, changed func([]int)) error {
	changed(nil)
	for {
		select {
		case <-h.changed:
			changed(nil)
		case err := <-h.fail:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func watched(s *site, source string) *hinter {
	h := &hinter{changed: make(chan struct{}), fail: make(chan error)}
	src := s.Sources[source]
	src.Watch = h.watch
	s.Sources[source] = src
	return h
}

func TestAHintMakesAPassOfTheAppsOfItsSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play, "lab": st.play},
			sync.App{Name: "shop", Policy: atOnce},
			sync.App{Name: "cart", Policy: atOnce, From: []sync.From{{Source: "lab", Query: "cart"}}},
			sync.App{Name: "both", Policy: atOnce, From: []sync.From{{Source: "lab", Query: "cart"}, {Source: "prod", Query: "shop"}}})
		prod := watched(s, "prod")
		r := newRun(s, 10*time.Minute)
		r.Watch = true
		bound := time.Duration(0)
		go func() {
			time.Sleep(time.Minute)
			st.set("shop", known(hosts(1, 3)))
			prod.changed <- struct{}{}
			for hinted := time.Now(); !strings.Contains(s.members("sg-shop"), "10.0.0.3:80"); {
				time.Sleep(time.Millisecond)
				bound = time.Since(hinted)
			}
		}()
		r.during(5 * time.Minute)
		if bound == 0 || bound > 350*time.Millisecond {
			t.Errorf("bound %v after the event; the debounce is 250ms", bound)
		}
		// The first pass, the one that the stream's connecting asks for (unless it
		// connected before the first), and that of the event.
		if n := len(r.passes); n != 2 && n != 3 {
			t.Fatalf("%d passes", n)
		}
		if got := r.passes[len(r.passes)-1].apps; !slices.Equal(got, []string{"shop", "both"}) {
			t.Errorf("the event's pass was of %v", got)
		}
		if r.passes[0].apps != nil {
			t.Errorf("the first pass was of %v", r.passes[0].apps)
		}
		if want := []string{"prod false", "prod true"}; !slices.Equal(r.streams, want) {
			t.Errorf("streams: %v", r.streams)
		}
	})
}

// Scenario 23: many events in little time.
func TestTenThousandEventsAreAtMostAPassASecondAndTheLastStateWins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: sync.Policy{MaxRemove: sync.Limit{N: 100, Percent: true}}})
		prod := watched(s, "prod")
		r := newRun(s, 10*time.Minute)
		r.Watch = true
		go func() {
			for i := range 10000 {
				time.Sleep(time.Millisecond)
				st.set("shop", known(hosts(1, 2+i%7)))
				prod.changed <- struct{}{}
			}
			st.set("shop", known(hosts(1, 5)))
			prod.changed <- struct{}{}
		}()
		r.during(time.Minute)
		s.expect("sg-shop", bound(1, 5))
		if n := len(r.passes); n > 14 {
			t.Errorf("%d passes", n)
		}
		for i := 1; i < len(r.passes); i++ {
			if gap := r.passes[i].at - r.passes[i-1].at; gap < time.Second {
				t.Errorf("pass %d began %v after the one before", i, gap)
			}
		}
	})
}

// An event that comes while a pass runs is not lost.
func TestAHintDuringAPassMakesAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		polled := 0
		s := newSite(t, players{"prod": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
			a, err := st.play(ctx, app, fresh)
			polled++
			time.Sleep(5 * time.Second) // the answer is on its way
			return a, err
		}}, sync.App{Name: "shop", Policy: atOnce})
		prod := watched(s, "prod")
		r := newRun(s, 10*time.Minute)
		r.Watch = true
		go func() {
			time.Sleep(20 * time.Second)
			prod.changed <- struct{}{}
			time.Sleep(3 * time.Second)
			st.set("shop", known(hosts(1, 3)))
			prod.changed <- struct{}{}
		}()
		r.during(time.Minute)
		s.expect("sg-shop", bound(1, 3))
	})
}

// Scenario 24: a stream that ends is opened again, and each time it connects
// there is a pass; one that stays dead costs no more than the interval.
func TestAStreamThatEndsIsOpenedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		prod := watched(s, "prod")
		r := newRun(s, time.Hour)
		r.Watch = true
		go func() {
			time.Sleep(2 * time.Minute)
			prod.fail <- errors.New("connection reset")
		}()
		r.during(5 * time.Minute)
		if len(r.passes) != 3 { // at once, at the first connecting, at the second
			t.Errorf("%d passes", len(r.passes))
		}
		if want := []string{"prod false", "prod true", "prod false", "prod true"}; !slices.Equal(r.streams, want) {
			t.Errorf("streams: %v", r.streams)
		}
		if !strings.Contains(r.log.String(), "connection reset") {
			t.Errorf("log: %s", r.log.String())
		}
	})
}

// A stream that ends in order, as some are recycled, is not a trouble: it is opened
// at once, and does not show as down.
func TestAStreamThatEndsInOrderIsNoTrouble(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		prod := watched(s, "prod")
		r := newRun(s, time.Hour)
		r.Watch = true
		go func() {
			time.Sleep(10 * time.Minute)
			prod.fail <- nil
		}()
		r.during(30 * time.Minute)
		if want := []string{"prod false", "prod true", "prod true"}; !slices.Equal(r.streams, want) {
			t.Errorf("streams: %v", r.streams)
		}
		if strings.Contains(r.log.String(), "stream ended") {
			t.Errorf("log: %s", r.log.String())
		}
	})
}

func TestAStreamThatEndsAtOnceIsNotHammered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		tries := 0
		src := s.Sources["prod"]
		src.Watch = func(context.Context, []any, func([]int)) error { tries++; return errors.New("403 Forbidden") }
		s.Sources["prod"] = src
		r := newRun(s, time.Minute)
		r.Watch = true
		r.during(time.Hour)
		if tries < 40 || tries > 150 {
			t.Errorf("%d tries in an hour", tries)
		}
		if n := len(r.passes); n > 68 {
			t.Errorf("%d passes in an hour at 1m", n)
		}
	})
}

func TestADrainThatEndsWakesTheLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: sync.Policy{Drain: 90 * time.Second, MaxRemove: sync.Limit{N: 100, Percent: true}}})
		r := newRun(s, 10*time.Minute)
		gone := time.Duration(0)
		go func() {
			time.Sleep(5 * time.Minute)
			st.set("shop", known(hosts(1, 1)))
			for strings.Contains(s.members("sg-shop"), "10.0.0.2:80") {
				time.Sleep(time.Second)
				gone = time.Since(r.began)
			}
		}()
		r.during(15 * time.Minute)
		if gone == 0 || gone > 11*time.Minute+94*time.Second {
			t.Errorf("unbound after %v; the drain began with the pass at about 10m and takes 90s", gone)
		}
	})
}

func TestAReloadedMappingReplacesTheOld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 3))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce})
		r := newRun(s, 30*time.Second)
		all := s.Apps
		s.Apps = all[:1]
		next := &sync.Syncer{Sources: s.Sources, Apps: all[1:], NetScalers: map[string]*sync.NetScaler{"edge": {Client: s.client("edge", "secret", false), Save: true}}}
		reload := make(chan *sync.Syncer)
		r.Reload = reload
		go func() {
			time.Sleep(time.Minute)
			reload <- next
		}()
		r.during(2 * time.Minute)
		s.expect("sg-shop", bound(1, 2)) // taken out of the mapping: left as it is
		s.expect("sg-cart", bound(1, 3))
	})
}

// Another writer undoes what each pass does.
func TestAChangeThatIsUndoneAgainAndAgainIsWarnedOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		r := newRun(s, 30*time.Second)
		go func() {
			for range 3 {
				time.Sleep(20 * time.Second)
				if err := s.sims["edge"].Load(strings.NewReader("unbind serviceGroup sg-shop 10.0.0.2 80\n")); err != nil {
					t.Error(err)
				}
				time.Sleep(15 * time.Second)
			}
		}()
		r.during(5 * time.Minute)
		if n := strings.Count(r.log.String(), "the same change is made again and again"); n != 1 {
			t.Errorf("%d warnings:\n%s", n, r.log.String())
		}
		if !strings.Contains(r.log.String(), "bind of 10.0.0.2:80 in sg-shop on edge") {
			t.Errorf("log: %s", r.log.String())
		}
	})
}

// What keeps failing is left alone for longer and longer, up to a minute, also
// when events of another source call for passes every second.
func TestWhatKeepsFailingIsSpared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		polled := 0
		s := newSite(t, players{"prod": st.play, "lab": func(context.Context, string, bool) (sources.Answer, error) {
			polled++
			return sources.Answer{}, errors.New("502 Bad Gateway")
		}}, sync.App{Name: "shop", Policy: atOnce, From: []sync.From{{Source: "prod", Query: "shop"}, {Source: "lab", Query: "shop"}}})
		prod := watched(s, "prod")
		r := newRun(s, time.Minute)
		r.Watch = true
		go func() {
			for range 300 {
				time.Sleep(time.Second)
				prod.changed <- struct{}{}
			}
		}()
		r.during(6 * time.Minute)
		if len(r.passes) < 200 {
			t.Errorf("%d passes", len(r.passes))
		}
		if polled > 15 {
			t.Errorf("the failing source was polled %d times in 6 minutes", polled)
		}
		s.expect("sg-shop", bound(1, 2))
	})
}

func TestStoppedDuringAPassTheLoopFinishesTheChangeInHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sims["edge"].SetFault(simulator.Fault{Method: "PUT|POST", Type: "servicegroup_servicegroupmember_binding", Delay: 3 * time.Second})
		r := newRun(s, 30*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Run(ctx, s.Syncer).Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(r.began); took > 4*time.Second || len(r.passes) != 1 {
			t.Errorf("%d passes, stopped after %v", len(r.passes), took)
		}
		s.expect("sg-shop", bound(1, 2))
		if sim := s.sims["edge"]; !sim.Saved() || sim.Sessions() != 0 {
			t.Errorf("saved %v, %d sessions", sim.Saved(), sim.Sessions())
		}
	})
}

// Hints that come together are one pass of all their apps, a debounce after the
// first of them, however many follow; and only of the apps that are selected.
func TestHintsThatComeTogetherAreOnePassOfAllTheirApps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 2)), "blog": known(hosts(1, 2))}}
		from := func(source, app string) []sync.From { return []sync.From{{Source: source, Query: app}} }
		s := newSite(t, players{"prod": st.play, "lab": st.play},
			sync.App{Name: "shop", Policy: atOnce, From: from("prod", "shop")},
			sync.App{Name: "cart", Policy: atOnce, From: from("lab", "cart")},
			sync.App{Name: "blog", Policy: atOnce, From: from("lab", "blog")})
		prod, lab := watched(s, "prod"), watched(s, "lab")
		r := newRun(s, time.Hour)
		r.Watch, r.Apps = true, []string{"shop", "cart"}
		go func() {
			time.Sleep(time.Minute)
			prod.changed <- struct{}{}
			for range 6 { // longer than the debounce
				time.Sleep(100 * time.Millisecond)
				lab.changed <- struct{}{}
			}
		}()
		r.during(2 * time.Minute)
		if len(r.passes) < 3 {
			t.Fatalf("%d passes", len(r.passes))
		}
		if p := r.passes[2]; !slices.Equal(p.apps, []string{"shop", "cart"}) || p.at != time.Minute+250*time.Millisecond {
			t.Errorf("at %v a pass of %v", p.at, p.apps)
		}
	})
}

// A pass of other apps, for an event, does not make the loop forget when a
// drain ends.
func TestADrainIsNotForgottenBecauseOfAnEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play, "lab": st.play},
			sync.App{Name: "shop", Policy: sync.Policy{Drain: 90 * time.Second, MaxRemove: sync.Limit{N: 100, Percent: true}}},
			sync.App{Name: "cart", Policy: atOnce, From: []sync.From{{Source: "lab", Query: "cart"}}})
		prod, lab := watched(s, "prod"), watched(s, "lab")
		r := newRun(s, time.Hour)
		r.Watch = true
		go func() {
			time.Sleep(time.Minute)
			st.set("shop", known(hosts(1, 1)))
			prod.changed <- struct{}{}
			time.Sleep(30 * time.Second)
			lab.changed <- struct{}{}
		}()
		r.during(5 * time.Minute)
		s.expect("sg-shop", bound(1, 1))
	})
}

// What failed and is well again starts over with a rest of a second, and the
// story of its failures is not told within itself.
func TestARestEndsWithTheFirstSuccessAndIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		fail := true
		s := newSite(t, players{"prod": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
			if fail {
				return sources.Answer{}, errors.New("502 Bad Gateway")
			}
			return st.play(ctx, app, fresh)
		}}, sync.App{Name: "shop", Policy: atOnce})
		source := func() string { return fmt.Sprint(s.Sync(t.Context(), nil).Sources["prod"]) }
		for range 3 {
			source()
			time.Sleep(time.Minute)
		}
		fail = false
		if got := source(); got != "<nil>" {
			t.Errorf("well again: %s", got)
		}
		fail = true
		source()
		time.Sleep(1500 * time.Millisecond)
		if got := source(); strings.Contains(got, "in a row") {
			t.Errorf("not asked again after the first failure: %s", got)
		}

		fail = false
		s.sims["edge"].SetFault(simulator.Fault{Method: "GET", Status: 503, RawBody: "<html>starting</html>"})
		s.Sync(t.Context(), nil)
		for range 3 {
			got := fmt.Sprint(s.Sync(t.Context(), nil).NetScalers["edge"])
			if n := strings.Count(got, "in a row"); n != 1 || !strings.Contains(got, "1 time in a row") {
				t.Errorf("told %d times: %s", n, got)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAStreamThatEndsInOrderAtOnceIsNotHammered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		var tries atomic.Int32
		src := s.Sources["prod"]
		src.Watch = func(ctx context.Context, _ []any, _ func([]int)) error {
			if tries.Add(1) > 1000 {
				<-ctx.Done() // a hammer would never let the bubble's clock go on
			}
			return nil
		}
		s.Sources["prod"] = src
		r := newRun(s, time.Minute)
		r.Watch = true
		r.during(time.Hour)
		if n := tries.Load(); n > 150 {
			t.Errorf("%d tries in an hour", n)
		}
	})
}
