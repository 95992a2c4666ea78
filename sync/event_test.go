package sync_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sync"
)

// weighed counts the bytes of the answers that pass through it.
type weighed struct {
	http.RoundTripper
	bytes atomic.Int64
}

func (w *weighed) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = weighing{resp.Body, &w.bytes}
	}
	return resp, err
}

type weighing struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (w weighing) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.bytes.Add(int64(n))
	return n, err
}

// A pass over a few apps costs the NetScaler what these need, however many groups it has:
// that of an event, of which nothing else is looked at, and the looks of a wait for new
// members.
func TestAnEventCostsTheNetScalerWhatItChanges(t *testing.T) {
	const groups, members = 100, 100
	for _, test := range []struct {
		apps, replaced int
		wait           time.Duration // until new members are UP
		calls, kB      int           // but for the save
	}{
		{1, 1, 0, 5, 100},
		{10, members, 5 * time.Second, 80, 10 * 90 * 9},
	} {
		bubble(t, func(t *testing.T) {
			st := stage{}
			var apps []sync.App
			var conf strings.Builder
			for i := range groups {
				name := fmt.Sprintf("app%d", i)
				fmt.Fprintf(&conf, "add serviceGroup %s HTTP\n", name)
				for _, e := range hosts(1, members) {
					fmt.Fprintf(&conf, "bind serviceGroup %s %s 80\n", name, e.Addr.Addr())
				}
				st[name] = known(hosts(1, members))
				apps = append(apps, sync.App{Name: name, Group: name, Policy: sync.Policy{WaitUp: 30 * time.Second, MaxRemove: sync.DefaultPolicy.MaxRemove}})
			}
			s := newSite(t, players{"prod": st.play}, apps...)
			sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}, ReadLatency: 25 * time.Millisecond, ProbeDelay: test.wait})
			if err := sim.Load(strings.NewReader(conf.String())); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // its monitors find the members UP
			scales := &weighed{RoundTripper: sim.Transport()}
			client, err := netscaler.Open(netscaler.Config{URLs: []string{"http://edge"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: scales})
			if err != nil {
				t.Fatal(err)
			}
			s.sims["edge"], s.NetScalers["edge"].Client = sim, client
			if r := s.Sync(t.Context(), nil); r.Exit(false) != 0 || len(sim.Calls()) != 2 {
				t.Fatal(r.Summary(), kinds(sim.Calls()))
			}
			var names []string
			for i := range test.apps {
				names = append(names, fmt.Sprintf("app%d", i))
				st[names[i]] = known(hosts(1+test.replaced, members+test.replaced))
			}
			sim.ResetCalls()
			scales.bytes.Store(0)
			r := s.Sync(t.Context(), &sync.Part{Apps: names})
			if r.Exit(false) != 0 || len(r.Outcomes) != test.apps {
				t.Error(r.Summary())
			}
			calls := kinds(sim.Calls())
			t.Log(test.apps, len(calls), scales.bytes.Load(), calls)
			if kB := int(scales.bytes.Load() >> 10); len(calls) > test.calls+1 || kB > test.kB {
				t.Errorf("%d apps: %d calls, %d KB: %v", test.apps, len(calls), kB, calls)
			}
			s.end(r, 0)
		})
	}
}
