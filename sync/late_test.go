package sync_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/sourcetest"
	"nitrox/sync"
)

// slow is a NetScaler that takes its time for every change of members.
type slow struct {
	http.RoundTripper
	write time.Duration
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && strings.Contains(r.URL.Path, "servicegroup_") {
		time.Sleep(s.write)
	}
	return s.RoundTripper.RoundTrip(r)
}

// Work that is too large for a pass is done by several, and each leaves every group
// right: with all members that it had until those that replace them are there, saved,
// without a session left behind, and with a word of what the next one is to do.
func TestWorkThatIsTooLargeForAPass(t *testing.T) {
	sourcetest.Thorough(t)
	for name, c := range map[string]struct {
		conf  string
		write time.Duration // a call: an array of 500 changes, or one list
		bound [][3]int      // members of each group after each pass
	}{
		"arrays": {"add serviceGroup sg-%s HTTP\n", 40 * time.Second, [][3]int{{3000, 3000, 2500}, {1500, 1500, 2500}, {1500, 1500, 1500}}},
		"lists":  {"add serviceGroup sg-%s HTTP -autoscale API\n", 160 * time.Second, [][3]int{{3000, 3000, 1500}, {1500, 3000, 3000}, {1500, 1500, 1500}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				st, apps := stage{}, []sync.App{}
				for i, name := range []string{"a", "b", "c"} {
					st[name] = known(hosts(i*3000, i*3000+1499))
					apps = append(apps, sync.App{Name: name, Policy: sync.Policy{MaxRemove: sync.Limit{N: 100, Percent: true}}})
				}
				s := newSite(t, players{"prod": st.play}, apps...)
				sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
				s.sims["edge"] = sim
				var conf strings.Builder
				for _, app := range apps {
					fmt.Fprintf(&conf, c.conf, app.Name)
					for _, e := range st[app.Name].Endpoints {
						fmt.Fprintf(&conf, "bind serviceGroup sg-%s %s %d\n", app.Name, e.Addr.Addr(), e.Addr.Port())
					}
				}
				if err := sim.Load(strings.NewReader(conf.String())); err != nil {
					t.Fatal(err)
				}
				client, err := netscaler.Open(netscaler.Config{
					URLs: []string{"http://edge.test"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: slow{sim.Transport(), c.write},
				})
				if err != nil {
					t.Fatal(err)
				}
				s.NetScalers["edge"] = &sync.NetScaler{Client: client, Save: true}
				s.sync(0)
				var old [3][]sources.Endpoint
				for i, app := range apps {
					old[i] = st[app.Name].Endpoints
					st[app.Name] = known(hosts(i*3000+1500, i*3000+2999))
				}
				for pass, want := range c.bound {
					ctx, cancel := sync.WithDeadline(t.Context())
					began := time.Now()
					r := s.Sync(ctx, nil)
					cancel()
					if took := time.Since(began); took > sync.Deadline+c.write {
						t.Errorf("pass %d took %v", pass+1, took)
					}
					last := pass == len(c.bound)-1
					s.end(r, map[bool]int{false: sync.ExitFailed, true: sync.ExitInStep}[last])
					var got [3]int
					for i, app := range apps {
						there := map[string]bool{}
						for _, m := range sim.Members(app.Group) {
							there[m.Addr.String()] = true
						}
						got[i] = len(there)
						lacks := func(es []sources.Endpoint) bool {
							return slices.ContainsFunc(es, func(e sources.Endpoint) bool { return !there[e.Addr.String()] })
						}
						if lacks(old[i]) && lacks(st[app.Name].Endpoints) {
							t.Errorf("pass %d: %s has neither all old nor all new members", pass+1, app.Group)
						}
					}
					if got != want {
						t.Errorf("pass %d: %v members, want %v", pass+1, got, want)
					}
					if !sim.Saved() {
						t.Errorf("pass %d is not saved", pass+1)
					}
					troubles := fmt.Sprint(r.Troubles())
					if strings.Contains(troubles, "the pass took longer than its deadline of 5m0s; the next one makes the rest") == last {
						t.Errorf("pass %d: %s", pass+1, troubles)
					}
				}
			})
		})
	}
}
