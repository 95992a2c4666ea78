package observe_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sync"
	"nitrox/sync/observe"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// large is the result of a pass over 1,000 groups of 100 members, in step.
func large() ([]sync.App, sync.Result) {
	var apps []sync.App
	r := sync.Result{Sources: map[string]error{"prod": nil}, NetScalers: map[string]error{"edge": nil}}
	for i := range 1000 {
		a := sync.App{
			Name: fmt.Sprintf("app-%04d", i), Group: fmt.Sprintf("sg-%04d", i), NetScalers: []string{"edge"}, From: []sync.From{{Source: "prod"}},
		}
		var es []sources.Endpoint
		var actual []netscaler.Member
		for j := range 100 {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(j)}), 80)
			es = append(es, sources.Endpoint{Addr: addr, Origin: fmt.Sprintf("node worker-%d", j)})
			actual = append(actual, netscaler.Member{Addr: addr, Server: addr.Addr().String(), Weight: 1, Up: true})
		}
		o := sync.Outcome{App: a, NetScaler: "edge", Answers: []sources.Answer{sources.NewAnswer(es, nil, nil)}, Done: []sync.Done{}}
		o.Desired = sync.Union(a.From, o.Answers, a.Policy)
		o.Plan = sync.Diff(a.Group, o.Desired, actual, a.Policy)
		apps, r.Outcomes = append(apps, a), append(r.Outcomes, o)
	}
	return apps, r
}

func BenchmarkRecord(b *testing.B) {
	apps, r := large()
	o := observe.New(observe.Options{Every: every, Apps: apps})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		o.Record(r, now)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20), "MB-kept")
	runtime.KeepAlive(o)
	runtime.KeepAlive(r)
}

func BenchmarkServe(b *testing.B) {
	apps, r := large()
	o := observe.New(observe.Options{Every: every, Apps: apps})
	o.Record(r, time.Now())
	h := o.Handler()
	for _, path := range []string{"/", "/?app=app-0500", "/metrics", "/healthz"} {
		b.Run(path, func(b *testing.B) {
			size := 0
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil))
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size)/1024, "kB")
		})
	}
}
