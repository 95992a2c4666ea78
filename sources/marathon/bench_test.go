package marathon_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"nitrox/sources"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
)

const (
	benchApps  = 1000
	benchTasks = 10
)

// benchBody is what Marathon answers about many apps of the usual size.
func benchBody(b *testing.B) []byte {
	b.Helper()
	env := make(map[string]string)
	for i := range 20 {
		env[fmt.Sprintf("SETTING_%d", i)] = strings.Repeat("value ", 12)
	}
	settings, err := json.Marshal(env)
	if err != nil {
		b.Fatal(err)
	}
	c := marathontest.New(marathontest.Options{})
	for i := range benchApps {
		definition := strings.Replace(strings.Replace(webApp, `"instances": 3`, fmt.Sprintf(`"instances": %d, "env": %s`, benchTasks, settings), 1), "/shop/web", fmt.Sprintf("/shop/app-%d", i), 1)
		if err := c.Put(definition); err != nil {
			b.Fatal(err)
		}
	}
	c.Settle()
	w := httptest.NewRecorder()
	c.Handler(0).ServeHTTP(w, httptest.NewRequest("GET", "/v2/apps?embed=apps.tasks&embed=apps.deployments&embed=apps.readiness", nil))
	return w.Body.Bytes()
}

// floor is the least that can be done with the same answer: it is fetched, and
// decoded into the fewest fields.
func floor(b *testing.B, url string) {
	resp, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	var list struct {
		Apps []struct {
			ID    string
			Tasks []struct {
				ID, Host, State    string
				Ports              []int
				HealthCheckResults []struct{ Alive bool }
			}
		}
	}
	if err := json.Unmarshal(body, &list); err != nil || len(list.Apps) != benchApps {
		b.Fatal(len(list.Apps), err)
	}
}

// BenchmarkPoll polls 1,000 apps of 10 tasks, and says what it costs as a
// multiple of the floor.
func BenchmarkPoll(b *testing.B) {
	body := benchBody(b)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // the client reads all, or the benchmark ends
	}))
	defer server.Close()
	s, err := sources.Define("marathon", marathon.Open).Open(marathon.Config{URLs: []string{server.URL}})
	if err != nil {
		b.Fatal(err)
	}
	var queries []any
	for i := range benchApps {
		queries = append(queries, marathon.Query{App: fmt.Sprintf("/shop/app-%d", i), Port: "http"})
	}
	measure := func(n int, f func()) (time.Duration, uint64) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		for range n {
			f()
		}
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		return took / time.Duration(n), (after.TotalAlloc - before.TotalAlloc) / uint64(n)
	}
	floorTime, floorBytes := measure(5, func() { floor(b, server.URL) })
	n := 0
	b.ResetTimer()
	took, bytes := measure(max(b.N, 1), func() {
		answers, err := s.Poll(b.Context(), queries, true)
		if err != nil {
			b.Fatal(err)
		}
		n = 0
		for _, a := range answers {
			n += len(a.Endpoints)
		}
	})
	if n != benchApps*benchTasks {
		b.Fatalf("%d endpoints", n)
	}
	b.ReportMetric(float64(len(body))/1e6, "MB-answer")
	b.ReportMetric(float64(took)/float64(floorTime), "x-floor-time")
	b.ReportMetric(float64(bytes)/float64(floorBytes), "x-floor-allocated")
}
