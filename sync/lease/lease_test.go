package lease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nitrox/sync/lease"
)

const duration = 30 * time.Second

// replica is one of the processes that want to lead.
type replica struct {
	*lease.Lease
	road  *road
	log   *text
	stop  context.CancelFunc // SIGTERM
	ended chan struct{}      // Run has returned
}

// text is a log that may be read while it is written.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// begin starts a replica, whose work as a leader is lead.
func begin(t *testing.T, server http.Handler, identity string, lead func(context.Context, *replica)) *replica {
	t.Helper()
	r := &replica{road: &road{server: server}, log: &text{}, ended: make(chan struct{})}
	var err error
	r.Lease, err = lease.New(lease.Config{Lease: "nitrox/nitrox", Identity: identity, Duration: duration,
		Log: slog.New(slog.NewTextHandler(r.log, nil))}, r.road)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() {
		defer close(r.ended)
		r.Run(ctx, func(ctx context.Context) { lead(ctx, r) })
	}()
	t.Cleanup(func() { stop(); <-r.ended; r.road.under.Wait() })
	return r
}

// idle is a leader without work.
func idle(ctx context.Context, _ *replica) { <-ctx.Done() }

// wait lets time pass.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func leads(t *testing.T, r *replica, want bool) {
	t.Helper()
	if err := r.Held(); (err == nil) != want {
		t.Fatalf("leads: %v, want %v\n%s", err, want, r.log)
	}
}

func TestOneOfTwoLeadsAndADeadLeaderIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a := begin(t, server, "a", idle)
		wait(time.Second)
		b := begin(t, server, "b", idle)
		wait(10 * time.Minute)
		leads(t, a, true)
		leads(t, b, false)
		if err := b.Held(); !errors.Is(err, lease.ErrNotLeading) || !strings.Contains(err.Error(), "held by a") {
			t.Errorf("the other says %v", err)
		}
		a.road.cut() // as if it was dead
		wait(duration * 2 / 3)
		leads(t, a, false)
		leads(t, b, false)
		wait(duration/3 + duration/10)
		leads(t, b, true)
		if n := strings.Count(b.log.String(), "another replica leads"); n != 1 {
			t.Errorf("said %d times that another leads:\n%s", n, b.log)
		}
	})
}

func TestALeaderThatEndsIsFollowedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		const lastPass = 45 * time.Second
		a := begin(t, server, "a", func(ctx context.Context, r *replica) {
			<-ctx.Done()
			<-time.After(lastPass) // longer than the lease
			if err := r.Held(); err != nil {
				t.Errorf("at the end of its last pass: %v", err)
			}
		})
		wait(time.Second)
		b := begin(t, server, "b", idle)
		wait(time.Minute)
		a.stop()
		wait(lastPass - time.Second)
		leads(t, b, false)
		<-a.ended
		wait(duration/10 + duration/100)
		leads(t, b, true)
	})
}

func TestWorkThatEndsByItselfEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a := begin(t, server, "a", func(context.Context, *replica) {})
		<-a.ended
		leads(t, a, false)
		if holder := server.lease()["spec"].(map[string]any)["holderIdentity"]; holder != "" {
			t.Errorf("the lease is held by %q", holder)
		}
	})
}

func TestALostLeaseEndsTheTermAndBeginsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		var running, terms atomic.Int32
		ends := make(chan error, 1)
		a := begin(t, server, "a", func(ctx context.Context, r *replica) {
			if running.Add(1) > 1 {
				t.Error("two terms at once")
			}
			terms.Add(1)
			<-ctx.Done()
			ends <- context.Cause(ctx)
			<-time.After(5 * time.Second) // the change in hand
			running.Add(-1)
		})
		wait(time.Minute)
		cut := time.Now()
		a.road.set(func() (time.Duration, time.Duration, bool, bool) { return 0, 0, false, false })
		if cause := <-ends; !errors.Is(cause, lease.ErrNotLeading) {
			t.Errorf("its term ended because of: %v", cause)
		}
		if took := time.Since(cut); took > duration*2/3 {
			t.Errorf("its term went on for %v", took)
		}
		leads(t, a, false)
		wait(time.Minute)
		if terms.Load() != 1 {
			t.Fatalf("%d terms", terms.Load())
		}
		a.road.set(nil)
		wait(duration/5 + time.Second)
		leads(t, a, true)
		if terms.Load() != 2 {
			t.Errorf("%d terms", terms.Load())
		}
		for _, want := range []string{`"trouble with the lease`, "the lease was lost", "is over"} {
			if strings.Count(a.log.String(), want) != 1 {
				t.Errorf("it is not said once: %q\n%s", want, a.log)
			}
		}
	})
}

func TestAnAnswerThatIsLostIsNoLostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		var terms atomic.Int32
		a := begin(t, server, "a", func(ctx context.Context, _ *replica) { terms.Add(1); <-ctx.Done() })
		b := begin(t, server, "b", idle)
		b.road.cut()
		wait(time.Second)
		for i := range 100 {
			a.road.set(func() (time.Duration, time.Duration, bool, bool) {
				i++
				return time.Second / 2, time.Second / 2, true, i%4 != 0
			})
			wait(duration)
			leads(t, a, true)
		}
		if terms.Load() != 1 {
			t.Errorf("%d terms\n%s", terms.Load(), a.log)
		}
	})
}

func TestOthersDataInTheLeaseStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		// As another program left it: with labels, and without a holder.
		server.set(aLease(map[string]any{}))
		labelled := server.lease()
		labelled["metadata"].(map[string]any)["labels"] = map[string]any{"team": "edge"}
		server.set(labelled)
		a := begin(t, server, "a", idle)
		wait(time.Minute)
		leads(t, a, true)
		labels := func() any { return server.lease()["metadata"].(map[string]any)["labels"] }
		if fmt.Sprint(labels()) != "map[team:edge]" {
			t.Errorf("its labels are %v", labels())
		}
		// Somebody annotates it: the version changes, and nothing else does.
		touched := server.lease()
		touched["metadata"].(map[string]any)["annotations"] = map[string]any{"note": "hello"}
		server.set(touched)
		wait(time.Minute)
		leads(t, a, true)
		if strings.Contains(a.log.String(), "lost") {
			t.Errorf("it was lost meanwhile:\n%s", a.log)
		}
	})
}

func TestAHolderThatSaysNotForHowLongIsRespected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		server.set(aLease(map[string]any{"holderIdentity": "other"}))
		a := begin(t, server, "a", idle)
		wait(duration - time.Second)
		leads(t, a, false)
		wait(2 * time.Second)
		leads(t, a, true)
	})
}

// What a lease says of its duration is neither waited for beyond ten minutes nor
// taken for none at all.
func TestAnAbsurdDurationIsBounded(t *testing.T) {
	for seconds, want := range map[int]time.Duration{
		15: 15 * time.Second, 600: 10 * time.Minute, 601: 10 * time.Minute, 1<<31 - 1: 10 * time.Minute, 1 << 60: 10 * time.Minute,
		9223372037: 10 * time.Minute, -1: duration, -1 << 60: duration, 0: duration,
	} {
		synctest.Test(t, func(t *testing.T) {
			server := newAPIServer()
			server.set(aLease(map[string]any{"holderIdentity": "other", "leaseDurationSeconds": json.Number(fmt.Sprint(seconds))}))
			a := begin(t, server, "a", idle)
			wait(want - time.Second)
			if a.Held() == nil {
				t.Errorf("%d seconds are not respected for %v", seconds, want)
			}
			wait(2 * time.Second)
			if err := a.Held(); err != nil {
				t.Errorf("%d seconds: after %v: %v", seconds, want, err)
			}
		})
	}
}

// Who stands by knows when nobody leads any more.
func TestAReplicaTellsThatNobodyRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a := begin(t, server, "a", idle)
		wait(time.Second)
		b := begin(t, server, "b", idle)
		renewed := func(want bool) {
			t.Helper()
			if err := b.Renewed(); (err == nil) != want || err != nil && !strings.Contains(err.Error(), "nobody has renewed lease nitrox/nitrox for 1m") {
				t.Errorf("%v, want %v", err, want)
			}
		}
		wait(time.Hour)
		renewed(true)
		b.road.cut()
		wait(3*duration - 4*time.Second) // the last that it saw is up to three seconds old
		renewed(true)
		wait(8 * time.Second)
		renewed(false)
		leads(t, a, true) // b cannot know
		b.road.set(nil)
		wait(duration)
		renewed(true)
		a.stop()
		<-a.ended
		wait(time.Minute)
		leads(t, b, true)
		renewed(true)
	})
}

func TestADeletedLeaseMakesNoSecondLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		a := begin(t, server, "a", idle)
		wait(time.Second)
		b := begin(t, server, "b", idle)
		wait(time.Minute)
		for range 20 {
			server.set(nil)
			wait(time.Second)
			leads(t, b, false)
			wait(duration / 5)
			leads(t, a, true)
		}
		a.road.cut()
		server.set(nil)
		wait(duration * 2 / 3)
		leads(t, b, false)
		wait(duration/2 + duration/10)
		leads(t, b, true)
	})
}

func TestTroubleIsSaidOnceAndEndsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"no right": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			w.Write([]byte(`{"kind":"Status","message":"leases \"nitrox\" is forbidden: User \"x\" cannot get resource"}`))
		}, `read: kubernetes.default.svc: 403 Forbidden: leases "nitrox" is forbidden`},
		"not logged in": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(401)
			w.Write([]byte(`{"kind":"Status","message":"Unauthorized"}`))
		}, "read: kubernetes.default.svc: 401 Unauthorized"},
		"a proxy's page":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502); w.Write([]byte("<html>")) }, "read: kubernetes.default.svc: 502 Bad Gateway"},
		"a page that is 200": {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }, "the answer cannot be read"},
		"something else":     {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"kind": "Status"}`)) }, "the answer is not a Lease"},
		"no namespace": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			fmt.Fprintf(w, `{"message": "%s not found"}`, map[string]string{"GET": "lease", "POST": "namespace"}[r.Method])
		}, "create: kubernetes.default.svc: 404 Not Found: namespace not found"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := begin(t, c.answer, "a", idle)
				wait(5 * time.Minute)
				leads(t, a, false)
				if log := a.log.String(); !strings.Contains(strings.ReplaceAll(log, `\`, ""), c.want) || strings.Count(log, "\n") != 1 {
					t.Errorf("want one line with %q:\n%s", c.want, log)
				}
			})
		})
	}
}

// What an answer does not say is not known: neither that the lease is free, nor
// of which version it is.
func TestALeaseThatIsNotWholeIsNoAnswer(t *testing.T) {
	const lease = `{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", `
	const metadata = `"metadata": {"namespace": "nitrox", "name": "nitrox", "resourceVersion": "7"}`
	for name, c := range map[string]struct{ answer, want string }{
		"no spec":            {lease + metadata + `}`, "without a spec"},
		"null for a spec":    {lease + metadata + `, "spec": null}`, "without a spec"},
		"a list for a spec":  {lease + metadata + `, "spec": []}`, "cannot be read"},
		"no metadata":        {lease + `"spec": {}}`, "is another Lease"},
		"null for metadata":  {lease + `"metadata": null, "spec": {}}`, "is another Lease"},
		"text for metadata":  {lease + `"metadata": "nitrox", "spec": {}}`, "cannot be read"},
		"no version":         {lease + `"metadata": {"namespace": "nitrox", "name": "nitrox"}, "spec": {}}`, "without a resourceVersion"},
		"no name":            {lease + `"metadata": {"namespace": "nitrox", "resourceVersion": "7"}, "spec": {}}`, "is another Lease"},
		"another name":       {lease + `"metadata": {"namespace": "nitrox", "name": "n", "resourceVersion": "7"}, "spec": {}}`, "is another Lease"},
		"another namespace":  {lease + `"metadata": {"namespace": "n", "name": "nitrox", "resourceVersion": "7"}, "spec": {}}`, "is another Lease"},
		"another API":        {`{"kind": "Lease", "apiVersion": "example.com/v1", ` + metadata + `, "spec": {}}`, "is not a Lease"},
		"nothing":            {``, "cannot be read"},
		"an object":          {`{}`, "is not a Lease"},
		"null":               {`null`, "is not a Lease"},
		"more than a lease":  {lease + metadata + `, "spec": {}} {}`, "cannot be read"},
		"a megabyte and one": {lease + metadata + `, "spec": {}}` + strings.Repeat(" ", 1<<20), "it has more than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet {
						t.Errorf("it is written: %s", r.Method)
					}
					io.WriteString(w, c.answer)
				}), "a", idle)
				wait(time.Minute)
				leads(t, a, false)
				if !strings.Contains(a.log.String(), c.want) {
					t.Errorf("want %q:\n%s", c.want, a.log)
				}
			})
		})
	}
}

// A lease that was made without a spec has an empty one in the API server's
// answer (k8s.io/api, coordination/v1: Spec is not a pointer), and is free.
func TestALeaseThatNobodyHasHeldIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		server.set(aLease(map[string]any{}))
		a := begin(t, server, "a", idle)
		wait(time.Second)
		leads(t, a, true)
	})
}

// Whoever answers a write with another holder, or with half a lease, has not said
// that this replica leads.
func TestAWriteIsBelievedIfItsAnswerSaysSo(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"another holder": func(o map[string]any) { o["spec"].(map[string]any)["holderIdentity"] = "other" },
		"no holder":      func(o map[string]any) { delete(o["spec"].(map[string]any), "holderIdentity") },
		"no spec":        func(o map[string]any) { delete(o, "spec") },
		"no version":     func(o map[string]any) { delete(o["metadata"].(map[string]any), "resourceVersion") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newAPIServer()
				server.set(aLease(map[string]any{}))
				a := begin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					recorder := httptest.NewRecorder()
					server.ServeHTTP(recorder, r)
					var o map[string]any
					if err := json.Unmarshal(recorder.Body.Bytes(), &o); err != nil {
						t.Error(err)
					}
					if r.Method != http.MethodGet && recorder.Code < 300 {
						change(o)
					}
					w.WriteHeader(recorder.Code)
					json.NewEncoder(w).Encode(o)
				}), "a", idle)
				wait(time.Second)
				leads(t, a, false)
			})
		})
	}
}

// aLease is the lease nitrox/nitrox.
func aLease(spec map[string]any) map[string]any {
	return map[string]any{"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
		"metadata": map[string]any{"namespace": "nitrox", "name": "nitrox"}, "spec": spec}
}

func TestBadConfigurations(t *testing.T) {
	for _, c := range []struct {
		config lease.Config
		want   string
	}{
		{lease.Config{Lease: ""}, "not the namespace and the name"},
		{lease.Config{Lease: "nitrox"}, "not the namespace and the name"},
		{lease.Config{Lease: "a/b/c"}, "not the namespace and the name"},
		{lease.Config{Lease: "a/../b"}, "not the namespace and the name"},
		{lease.Config{Lease: "Shop/nitrox"}, "not the namespace and the name"},
		{lease.Config{Lease: "a/b", Duration: time.Second}, "the duration 1s is not"},
		{lease.Config{Lease: "a/b", Duration: 3500 * time.Millisecond}, "the duration 3.5s is not"},
	} {
		if _, err := lease.New(c.config, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
}

// Whatever happens to replicas and to their ways to the API server, no two of
// them ever write at the same time, as long as a write ends within a third of
// the lease. And when the trouble is over, one leads.
func TestNoTwoReplicasEverWriteAtOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		replicas := rapid.IntRange(2, 3).Draw(rt, "replicas")
		seed := rapid.Uint64().Draw(rt, "seed")
		trouble := rapid.SliceOfN(rapid.IntRange(0, 5), 2, 10).Draw(rt, "trouble")
		var problem string
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			server := newAPIServer()
			var mu sync.Mutex // of r, writing and writes
			writing, writes := "", 0
			random := func(n time.Duration) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return 1 + time.Duration(r.Int64N(int64(n))) // more than 0: see RoundTrip
			}
			work := func(ctx context.Context, l *replica) {
				for ctx.Err() == nil {
					<-time.After(random(time.Second)) // it may be stopped anywhere
					if l.Held() != nil {
						continue
					}
					mu.Lock()
					if writing != "" {
						problem = fmt.Sprintf("%v: both write", time.Now())
					}
					writing = "somebody"
					writes++
					mu.Unlock()
					<-time.After(random(duration / 3))
					mu.Lock()
					writing = ""
					mu.Unlock()
				}
				<-time.After(random(time.Minute)) // the end of a pass
			}
			alive := make([]*replica, replicas)
			for i := range alive {
				alive[i] = begin(t, server, fmt.Sprintf("r%d", i), work)
			}
			for step, what := range trouble {
				victim := alive[random(time.Duration(replicas))-1]
				switch what {
				case 0:
					victim.road.cut()
				case 1: // slow
					victim.road.set(func() (time.Duration, time.Duration, bool, bool) {
						return random(4 * time.Second), random(4 * time.Second), true, true
					})
				case 2: // answers are lost
					victim.road.set(func() (time.Duration, time.Duration, bool, bool) {
						return random(time.Second), random(time.Second), true, random(2) == 1
					})
				case 3: // very slow: requests arrive long after they were given up
					victim.road.set(func() (time.Duration, time.Duration, bool, bool) {
						return random(2 * duration), 0, true, true
					})
				case 4:
					victim.road.set(nil)
				case 5:
					victim.stop()
					<-victim.ended
					for i := range alive {
						if alive[i] == victim {
							alive[i] = begin(t, server, fmt.Sprintf("r%d.%d", i, step), work)
						}
					}
				}
				wait(random(3 * duration / 2))
			}
			for _, l := range alive {
				l.road.set(nil)
			}
			wait(4 * duration)
			mu.Lock()
			before := writes
			mu.Unlock()
			wait(duration)
			mu.Lock()
			if writes == before && problem == "" {
				problem = "nobody leads, though the trouble is over"
			}
			mu.Unlock()
			for _, l := range alive {
				l.stop()
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}
