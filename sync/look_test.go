package sync_test

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sync"
)

// readings is how often all comments were read.
func readings(sim *simulator.Simulator) (n int) {
	for _, c := range sim.Calls() {
		if query, err := url.QueryUnescape(c.Query); err == nil && strings.Contains(query, "attrs=servicegroupname,comment") {
			n++
		}
	}
	return n
}

// feeds are the event streams of a source's endpoints.
type feeds struct {
	mu   stdsync.Mutex
	open []*endpointFeed
	slow time.Duration // until one is connected
}

type endpointFeed struct {
	queries []any
	changed func([]int)
}

func (f *feeds) watch(ctx context.Context, queries []any, changed func([]int)) error {
	time.Sleep(f.slow)
	one := &endpointFeed{queries, changed}
	f.mu.Lock()
	f.open = append(f.open, one)
	f.mu.Unlock()
	changed(nil)
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = slices.DeleteFunc(f.open, func(o *endpointFeed) bool { return o == one })
	return ctx.Err()
}

// tell is an event of an object's endpoints, for whoever listens.
func (f *feeds) tell(object string) (heard int) {
	f.mu.Lock()
	open := slices.Clone(f.open)
	f.mu.Unlock()
	for _, o := range open {
		if i := slices.Index(o.queries, any(object)); i >= 0 {
			o.changed([]int{i})
			heard++
		}
	}
	return heard
}

// With --watch a new label costs what it changes: a pass of one app, no comments, and no
// moment in which an event of another app is missed.
func TestALabelCostsWhatItChanges(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c, f := newCluster(), &feeds{}
		for i := range 50 {
			c.label(fmt.Sprintf("shop/app%d", i), fmt.Sprintf("10.0.%d.1:80", i))
		}
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod"))
		prod := s.Sources["prod"]
		prod.Watch = f.watch
		s.Sources["prod"] = prod
		r := newRun(s, 10*time.Minute)
		r.Watch = true
		f.slow = 3 * time.Second
		const later = 22*time.Minute + 10*time.Second // after two passes of all that found nothing new
		go func() {
			time.Sleep(later)
			read := readings(s.sims["edge"])
			c.label("shop/new", "10.0.99.1:80")
			c.changed <- struct{}{}
			s.has("edge", "shop_new", 1)
			time.Sleep(time.Second) // the stream with it in it is not up yet
			c.label("shop/app7", "10.0.7.1:80 10.0.7.2:80")
			if n := f.tell("shop/app7"); n != 1 {
				t.Errorf("%d streams tell of another app's event", n)
			}
			if took := s.has("edge", "shop_app7", 2); took > 2*time.Second {
				t.Errorf("it is served after %v", took)
			}
			time.Sleep(30 * time.Second)
			c.label("shop/new", "10.0.99.1:80 10.0.99.2:80")
			if n := f.tell("shop/new"); n != 1 {
				t.Errorf("%d streams tell of the new app", n)
			}
			s.has("edge", "shop_new", 2)
			c.remove("shop/new")
			c.changed <- struct{}{}
			time.Sleep(30 * time.Second)
			if n := f.tell("shop/app7"); n != 1 {
				t.Errorf("in the end %d streams are open", n)
			}
			if n := readings(s.sims["edge"]) - read; n > 0 {
				t.Errorf("the comments are read %d times", n)
			}
		}()
		r.during(later + 4*time.Minute)
		for _, p := range r.after(later) {
			if len(p.Outcomes) != 1 {
				t.Errorf("a pass after an event is of %d apps:\n%s", len(p.Outcomes), report(p.Result))
			}
		}
	})
}

// after are the passes that began since.
func (r *run) after(began time.Duration) []*pass {
	return slices.DeleteFunc(slices.Clone(r.passes), func(p *pass) bool { return p.at < began })
}

// looks is how often apps were looked for.
func (c *cluster) looks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// 200 changes of labels in 20 seconds make no more looks than one a second, and passes of
// no other apps than these.
func TestLabelsThatFlap(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newCluster()
		for i := range 50 {
			c.label(fmt.Sprintf("shop/app%d", i), fmt.Sprintf("10.0.%d.1:80", i))
		}
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod"))
		prod := s.Sources["prod"]
		prod.Watch = (&feeds{}).watch
		s.Sources["prod"] = prod
		r := newRun(s, 10*time.Minute)
		r.Watch = true
		go func() {
			time.Sleep(time.Minute)
			before := c.looks()
			for i := range 200 {
				if object := fmt.Sprintf("shop/app%d", i/2%10); i%2 == 0 {
					c.remove(object)
				} else {
					c.label(object, fmt.Sprintf("10.0.%d.1:80", i/2%10))
				}
				c.changed <- struct{}{}
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(10 * time.Second)
			if n := c.looks() - before; n > 21 {
				t.Errorf("%d looks", n)
			}
			for i := range 50 {
				s.expect(fmt.Sprintf("shop_app%d", i), fmt.Sprintf("10.0.%d.1:80", i))
			}
		}()
		r.during(2 * time.Minute)
		passes := r.after(time.Minute)
		if len(passes) > 22 {
			t.Errorf("%d passes", len(passes))
		}
		for _, p := range passes {
			if len(p.Outcomes) > 10 {
				t.Errorf("a pass is of %d apps", len(p.Outcomes))
			}
		}
	})
}

// What is found again is not made again; what is new of it is.
func TestALookThatFindsTheSame(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := newCluster("shop/a", "shop/b", "shop/c", "shop/old")
		s := discovering(t, map[string]*cluster{"prod": c}, entry("prod", func(d *sync.Discovery) {
			d.Orphans, d.App.Policy.AllowEmpty = true, true
		}))
		c.objects = map[string]map[string]string{"shop/old": {}}
		s.pass(sync.ExitInStep)
		c.remove("shop/old")
		for _, o := range []string{"shop/a", "shop/b", "shop/c"} {
			c.label(o, "10.0.0.1:80 10.0.0.2:80")
		}
		s.says(s.pass(sync.ExitInStep), "note: not drained: no app claims 1 of 1 service groups")
		s.says(s.pass(sync.ExitInStep), "its members are drained") // of four groups it is one
		before := s.Discover(t.Context())
		if before.Discover(t.Context()) != before {
			t.Error("the same findings make other apps")
		}
		for i, change := range []func(){
			func() { c.label("shop/a", "10.0.0.1:80 10.0.0.2:80", "weight=5") },
			func() { c.label("shop/a", "10.0.0.1:80 10.0.0.2:80", "weight=x") },
			func() { c.label("shop/d", "10.0.0.1:80") },
			func() { c.remove("shop/b") },
			func() { s.comments("shop_c", "hands off") },
			func() { c.failed = fmt.Errorf("503 Service Unavailable") },
		} {
			change()
			after := before.Discover(t.Context())
			if after == before {
				t.Errorf("change %d changes nothing", i)
			}
			if again := after.Discover(t.Context()); c.failed == nil && again != after {
				t.Errorf("after change %d the same findings make other apps", i)
			}
			before = after
		}
		if before.Discover(t.Context()) == before {
			t.Error("a doubt is kept") // its error may be another
		}
	})
}

// comments gives a group a comment.
func (s *site) comments(group, comment string) {
	s.t.Helper()
	changes := []netscaler.Change{{Op: netscaler.Mark, Group: group, Comment: comment}}
	if errs := s.NetScalers["edge"].Client.Do(s.t.Context(), netscaler.Mark, changes); errs[0] != nil {
		s.t.Error(errs[0])
	}
}

// Whoever writes a comment after apps were looked for is heeded.
func TestAGroupThatIsMarkedMeanwhile(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		s := discovering(t, map[string]*cluster{"prod": newCluster("shop/ours", "shop/own", "shop/others")}, entry("prod"))
		for _, group := range []string{"shop_ours", "shop_own", "shop_others"} {
			s.sims["edge"].AddGroup(group)
		}
		s.Syncer = s.Discover(t.Context())
		s.comments("shop_ours", "nitrox prod shop/ours")
		s.comments("shop_own", "hands off")
		s.comments("shop_others", "nitrox lab shop/others")
		s.says(s.sync(sync.ExitFailed), `service group shop_others is another's by its comment, "nitrox lab shop/others"`)
		for group, want := range map[string]string{"shop_ours": "nitrox prod shop/ours", "shop_own": "hands off", "shop_others": "nitrox lab shop/others"} {
			if got := s.comment(group); got != want {
				t.Errorf("the comment of %s is %q, not %q", group, got, want)
			}
		}
		s.expect("shop_ours", "10.0.0.1:80, 10.0.0.2:80")
		s.expect("shop_own", "10.0.0.1:80, 10.0.0.2:80")
		s.expect("shop_others", "")
	})
}

// Whatever changes from look to look, nothing of earlier ones stays in memory.
func TestLooksLeaveNothingBehind(t *testing.T) {
	c := newCluster()
	for i := range 1000 {
		c.label(fmt.Sprintf("shop/app%d", i), "10.0.0.1:80")
	}
	s := discovering(t, map[string]*cluster{"prod": c}, entry("prod"))
	look := func(n int) (live uint64) {
		for i := range n {
			c.label(fmt.Sprintf("shop/app%d", i), "10.0.0.1:80", fmt.Sprintf("weight=%d", i%2+1))
			s.Syncer = s.Discover(t.Context())
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	few, many := look(5), look(50)
	t.Logf("%d kB, %d kB", few>>10, many>>10)
	if many > few+1<<20 {
		t.Errorf("50 looks at 1,000 apps leave %d kB behind", (many-few)>>10)
	}
}
