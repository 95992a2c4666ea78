package sync_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sync"
)

// BenchmarkPass is a pass over 1,000 groups of 100 members with nothing to
// change, over real HTTP. Beside time and memory it prints the NITRO calls and
// the ratio to a floor: the same answer fetched and decoded into the smallest
// structs that hold what a pass needs.
func BenchmarkPass(b *testing.B) {
	const groups, members = 1000, 100
	st := stage{}
	var apps []sync.App
	var conf strings.Builder
	for i := range groups {
		name := fmt.Sprintf("app%d", i)
		fmt.Fprintf(&conf, "add serviceGroup %s HTTP\n", name)
		for _, e := range hosts(1, members) {
			fmt.Fprintf(&conf, "bind serviceGroup %s %s %d\n", name, e.Addr.Addr(), e.Addr.Port())
		}
		st[name] = known(hosts(1, members))
		apps = append(apps, sync.App{Name: name, Group: name, NetScalers: []string{"edge"}, Policy: sync.DefaultPolicy, From: []sync.From{{Source: "prod", Query: name}}})
	}
	sim := simulator.New(simulator.Options{})
	if err := sim.Load(strings.NewReader(conf.String())); err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(sim)
	defer server.Close()
	client, err := netscaler.Open(netscaler.Config{URLs: []string{server.URL}, Username: "nsroot", Password: netscaler.SecretText("nsroot")})
	if err != nil {
		b.Fatal(err)
	}
	s := &sync.Syncer{
		Apps: apps, NetScalers: map[string]*sync.NetScaler{"edge": {Client: client}},
		Sources: map[string]sync.Source{"prod": {Timeout: time.Minute, Opened: sources.Opened{Poll: func(ctx context.Context, queries []any, fresh bool) (answers []sources.Answer, err error) {
			for _, q := range queries {
				answers = append(answers, st[q.(string)])
			}
			return answers, nil
		}}}},
	}
	floor := func() time.Duration {
		began := time.Now()
		req, err := http.NewRequest(http.MethodGet, server.URL+"/nitro/v1/config/servicegroup_servicegroupmember_binding?bulkbindings=yes", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("X-NITRO-USER", "nsroot")
		req.Header.Set("X-NITRO-PASS", "nsroot")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		var body struct {
			Rows []struct {
				Group string `json:"servicegroupname"`
				IP    string `json:"ip"`
				Port  int    `json:"port"`
				State string `json:"state"`
				Up    string `json:"svrstate"`
			} `json:"servicegroup_servicegroupmember_binding"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || len(body.Rows) != groups*members {
			b.Fatalf("%d rows: %v", len(body.Rows), err)
		}
		return time.Since(began)
	}
	least := floor()
	for range 4 {
		least = min(least, floor())
	}
	sim.ResetCalls()
	b.ReportAllocs()
	b.ResetTimer()
	passes, best := 0, time.Hour
	for b.Loop() {
		began := time.Now()
		r := s.Sync(b.Context(), nil)
		if err := s.Close(b.Context()); err != nil || r.Exit(true) != 0 {
			b.Fatal(r.Summary(), err)
		}
		best = min(best, time.Since(began))
		passes++
	}
	b.StopTimer()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(best)/float64(least), "x-floor")
	b.ReportMetric(float64(len(sim.Calls()))/float64(passes), "calls/pass")
	b.ReportMetric(float64(m.Sys)/(1<<20), "MB-of-simulator-and-pass")
}

// BenchmarkPlan is the decision alone, over 1,000 groups of 100 members.
func BenchmarkPlan(b *testing.B) {
	want := wanted(hosts(1, 100)...)
	var actual []netscaler.Member
	for _, e := range hosts(1, 100) {
		actual = append(actual, netscaler.Member{Addr: e.Addr, Server: e.Addr.Addr().String(), Weight: 1, Up: true})
	}
	b.ReportAllocs()
	for b.Loop() {
		for range 1000 {
			if p := sync.Guard(sync.Diff("sg", want, actual, sync.DefaultPolicy), sync.DefaultPolicy); len(p.Changes) > 0 {
				b.Fatal(p.Changes)
			}
		}
	}
}
