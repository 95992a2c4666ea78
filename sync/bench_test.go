package sync_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sync"
)

// unchanged is a pass over groups of 100 members with nothing to change, against a
// NetScaler that answers its bulk read at no cost, and the floor of it: that answer
// decoded by encoding/json into the five fields that a pass cannot do without.
func unchanged(tb testing.TB, groups int) (pass, floor func(), sim *simulator.Simulator) {
	const members = 100
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
	sim = simulator.New(simulator.Options{})
	if err := sim.Load(strings.NewReader(conf.String())); err != nil {
		tb.Fatal(err)
	}
	wire := &recorded{RoundTripper: sim.Transport()}
	client, err := netscaler.Open(netscaler.Config{
		URLs: []string{"http://edge.test"}, Username: "nsroot", Password: netscaler.SecretText("nsroot"), Transport: wire,
	})
	if err != nil {
		tb.Fatal(err)
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
	pass = func() {
		r := s.Sync(tb.Context(), nil)
		if err := s.Close(tb.Context()); err != nil || r.Exit(true) != 0 {
			tb.Fatal(r.Summary(), err)
		}
	}
	pass()
	floor = func() {
		var body struct {
			Rows []struct {
				Group string `json:"servicegroupname"`
				IP    string `json:"ip"`
				Port  int    `json:"port"`
				State string `json:"state"`
				Up    string `json:"svrstate"`
			} `json:"servicegroup_servicegroupmember_binding"`
		}
		if err := json.NewDecoder(bytes.NewReader(wire.bulk)).Decode(&body); err != nil || len(body.Rows) != groups*members {
			tb.Fatalf("%d rows: %v", len(body.Rows), err)
		}
	}
	return pass, floor, sim
}

// recorded answers a bulk read as it was answered first.
type recorded struct {
	http.RoundTripper
	bulk []byte
}

func (r *recorded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Query().Get("bulkbindings") == "" {
		return r.RoundTripper.RoundTrip(req)
	}
	if r.bulk == nil {
		resp, err := r.RoundTripper.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if r.bulk, err = io.ReadAll(bounds.NewBody(resp, 1<<30)); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: req, Body: io.NopCloser(bytes.NewReader(r.bulk))}, nil
}

// BenchmarkPass is a pass over 1,000 groups of 100 members with nothing to change.
// Beside time and memory it prints the NITRO calls and the ratio to the floor.
func BenchmarkPass(b *testing.B) {
	pass, floor, sim := unchanged(b, 1000)
	least := func(do func()) time.Duration {
		best := time.Hour
		for range 5 {
			began := time.Now()
			do()
			best = min(best, time.Since(began))
		}
		return best
	}
	ratio := float64(least(pass)) / float64(least(floor))
	sim.ResetCalls()
	b.ReportAllocs()
	passes := 0
	for b.Loop() {
		pass()
		passes++
	}
	b.ReportMetric(ratio, "x-floor")
	b.ReportMetric(float64(len(sim.Calls()))/float64(passes)+1, "calls/pass") // and the bulk read
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
