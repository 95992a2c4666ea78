package sync_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/sourcetest"
	"nitrox/sync"
)

// A chronicler is a loop over a site whose passes are reported as the program
// does: the log by a Chronicle, the text report where that has news.
type chronicler struct {
	*run
	chronicle    sync.Chronicle
	log, reports written
}

// written is a buffer that the loop writes and the test reads.
type written struct {
	mu stdsync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

// since is what was written since it was last asked.
func (w *written) since() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.b.Reset()
	return w.b.String()
}

func newChronicler(s *site, every time.Duration) *chronicler {
	c := &chronicler{run: newRun(s, every)}
	c.Log = slog.New(slog.NewTextHandler(&c.log, nil))
	kept := c.Report
	c.Report = func(r sync.Result) {
		kept(r)
		if c.chronicle.Log(s.t.Context(), c.Log, r, time.Now()) {
			if err := sync.Text(&c.reports, r); err != nil {
				s.t.Error(err)
			}
		}
	}
	return c
}

// lines are those that the log and the reports have grown by, without the ends
// of passes.
func (c *chronicler) lines() (log []string, reported int) {
	for line := range strings.Lines(c.log.since()) {
		if !strings.Contains(line, `msg="pass ended"`) {
			log = append(log, line)
		}
	}
	return log, strings.Count(c.reports.since(), "\n")
}

// says holds the log to lines that contain these words, in this order.
func (c *chronicler) says(when string, most int, want ...string) {
	c.site.t.Helper()
	log, reported := c.lines()
	ok := len(log) == len(want)
	for i := range min(len(log), len(want)) {
		ok = ok && strings.Contains(log[i], want[i])
	}
	if !ok {
		c.site.t.Errorf("%s: the log says\n%swant\n%s", when, strings.Join(log, ""), strings.Join(want, "\n"))
	}
	if reported > most {
		c.site.t.Errorf("%s: %d lines are reported, more than %d", when, reported, most)
	}
	c.site.t.Logf("%s: %d lines of log, %d of reports", when, len(log), reported)
}

// shops are so many apps of one source in step, each with two members.
func shops(n int) (st *live, apps []sync.App) {
	st = &live{stage: stage{}}
	for i := range n {
		name := fmt.Sprintf("shop-%03d", i)
		st.stage[name] = known(hosts(1, 2))
		apps = append(apps, sync.App{Name: name, Policy: atOnce})
	}
	return st, apps
}

// Of a NetScaler that is dead for hours a loop over 200 apps says a handful of
// lines: that it began, once an hour that it lasts, why else it fails meanwhile,
// and that it is over.
func TestTheLogOfADeadNetScaler(t *testing.T) {
	sourcetest.Thorough(t)
	bubble(t, func(t *testing.T) {
		st, apps := shops(200)
		c := newChronicler(newSite(t, players{"prod": st.play}, apps...), 30*time.Second)
		sim := c.site.sims["edge"]
		go func() {
			time.Sleep(time.Minute - time.Second)
			c.lines() // 400 members were bound
			sim.SetFault(simulator.Fault{DropBefore: true})
			time.Sleep(10 * time.Minute)
			c.says("dead for ten minutes", 2, `level=ERROR msg="netscaler failed" netscaler=edge apps="shop-000, shop-001, shop-002 and 197 more" error=`)
			time.Sleep(2 * time.Hour)
			c.says("for two hours more", 4, `msg="netscaler failed" netscaler=edge`, `msg="netscaler failed" netscaler=edge`)
			sim.ClearFaults()
			sim.SetFault(simulator.Fault{Code: 1120, Message: "Internal error", Status: 503})
			time.Sleep(10 * time.Minute)
			c.says("for another reason", 2, `Internal error`)
			sim.ClearFaults()
			time.Sleep(10 * time.Minute)
			c.says("over", 1, `level=INFO msg="over: netscaler failed" netscaler=edge`)
		}()
		c.during(3 * time.Hour)
		c.says("then", 0)
	})
}

// A source that fails every other pass is not worth a line each time: it is said
// twice that it fails, and then once an hour and when it has been well for a
// while.
func TestTheLogOfASourceThatFlaps(t *testing.T) {
	sourcetest.Thorough(t)
	bubble(t, func(t *testing.T) {
		st, apps := shops(200)
		var well atomic.Bool
		pass := 0
		c := newChronicler(newSite(t, players{"prod": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
			if app == "shop-000" {
				pass++
			}
			if pass > 2 && pass%2 == 0 && !well.Load() {
				return sources.Answer{}, fmt.Errorf("HTTP 503 after %dms", pass*7)
			}
			return st.play(ctx, app, fresh)
		}}, apps...), 30*time.Second)
		const failed, over = `level=ERROR msg="source failed" source=prod`, `level=INFO msg="over: source failed" source=prod`
		go func() {
			time.Sleep(time.Minute - time.Second)
			c.lines()
			time.Sleep(50 * time.Minute)
			c.says("flapping", 10, failed, over, failed)
			time.Sleep(time.Hour)
			c.says("for an hour more", 4, failed)
			well.Store(true)
			time.Sleep(5 * time.Minute)
			c.says("well for five minutes", 0)
			time.Sleep(10 * time.Minute)
			c.says("well for fifteen", 1, over)
			well.Store(false)
			time.Sleep(2 * time.Minute)
			c.says("again, within the hour", 4, failed)
		}()
		c.during(3 * time.Hour)
	})
}

// A source that gives another reason each time does not get a line for each.
func TestTheLogOfASourceWithManyReasons(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st, apps := shops(10)
		polls := 0
		c := newChronicler(newSite(t, players{"prod": func(ctx context.Context, app string, fresh bool) (sources.Answer, error) {
			if polls++; polls > 10 {
				return sources.Answer{}, fmt.Errorf("request %c%c failed", 'a'+polls%26, 'a'+polls/26%26)
			}
			return st.play(ctx, app, fresh)
		}}, apps...), 30*time.Second)
		c.during(59 * time.Minute)
		if n := strings.Count(c.log.since(), "source failed"); n != 5 {
			t.Errorf("%d lines in an hour", n)
		}
	})
}

// What a pass of some apps did not look at is as it was. An app that comes to be
// harmed by what harms others is named.
func TestAHintsPassEndsNoTroubleOfOtherApps(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := &live{stage: stage{"shop": known(hosts(1, 2)), "cart": known(hosts(1, 2)), "mail": known(hosts(1, 2))}}
		s := newSite(t, players{"prod": st.play, "lab": st.play},
			sync.App{Name: "shop", Policy: atOnce},
			sync.App{Name: "cart", Policy: atOnce},
			sync.App{Name: "mail", Policy: atOnce, From: []sync.From{{Source: "lab", Query: "mail"}}})
		prod, lab := watched(s, "prod"), watched(s, "lab")
		c := newChronicler(s, time.Hour)
		c.Watch = true
		then := func(hinter *hinter, what string, reported int, says ...string) {
			hinter.changed <- struct{}{}
			time.Sleep(time.Minute)
			c.says(what, reported, says...)
		}
		const held, over = `level=WARN msg="removals held" `, `level=INFO msg="over: removals held" `
		go func() {
			time.Sleep(time.Minute)
			c.lines()
			st.set("mail", known(nil))
			then(lab, "one is held", 10, held+"app=mail")
			st.set("cart", known(nil))
			then(prod, "another, for the same reason", 10, held+"app=cart")
			st.set("cart", known(hosts(1, 2)))
			then(prod, "that is well again", 10)
			st.set("mail", known(hosts(1, 2)))
			then(lab, "and so is the first", 10, over)
		}()
		c.during(30 * time.Minute)
	})
}

// A file of the mapping that cannot be used is said when it begins to be so, whatever a pass is
// of, and when it is corrected; and it is a failure of each pass.
func TestTheLogOfAFileThatCannotBeUsed(t *testing.T) {
	var log bytes.Buffer
	var c sync.Chronicle
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for i, err := range []error{errors.New("line 1: no"), errors.New("line 2: no"), nil} {
		r := sync.Result{Files: map[string]error{}}
		if err != nil {
			r.Files["teams/shop.yaml"] = err
		}
		if code := r.Exit(false); (code == sync.ExitFailed) != (err != nil) {
			t.Errorf("pass %d: exit code %d", i, code)
		}
		c.Log(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), r, at.Add(time.Duration(i)*time.Minute))
	}
	for text, want := range map[string]int{
		`level=ERROR msg="file of the mapping cannot be used" file=teams/shop.yaml error="line 1: no"`: 1,
		`level=INFO msg="over: file of the mapping cannot be used" file=teams/shop.yaml`:               1,
	} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is logged %d times:\n%s", text, got, log.String())
		}
	}
}
