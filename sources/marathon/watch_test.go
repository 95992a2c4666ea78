package marathon_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
	"nitrox/sources/sourcetest"
)

// sse is a server-sent event as Jetty writes it.
func sse(kind, data string) string { return "event: " + kind + "\r\ndata: " + data + "\r\n\r\n" }

func about(app string) string {
	return fmt.Sprintf(`{"taskId": "web.06", "taskStatus": "TASK_FAILED", "appId": %q, "host": "srv5", "ports": [31776]}`, app)
}

func TestWatch(t *testing.T) {
	for name, c := range map[string]struct {
		options marathontest.Options
		config  marathon.Config
		secrets []string
	}{
		"plain":                       {},
		"under a path and compressed": {options: marathontest.Options{Path: "/service/marathon", Gzip: true}},
		"with a password": {marathontest.Options{Users: map[string]string{"nitrox": "pass-word"}}, marathon.Config{Username: "nitrox", PasswordFile: secret(t, "pass-word\n")},
			[]string{"pass-word", "bml0cm94OnBhc3Mtd29yZA"}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, sick := deployed(t, c.options, webApp), false
			sourcetest.Watch(t, sourcetest.Stream{
				Open: func(t *testing.T, url string) sources.Opened {
					config := c.config
					config.URLs = []string{url + c.options.Path}
					return opened(t, config, nil)
				},
				Query: marathon.Query{App: "/shop/web", Port: "http"}, Other: marathon.Query{App: "/shop/cart"}, Handler: cluster.Handler(0), Secrets: c.secrets,
				Change: func() {
					sick = !sick
					cluster.Sick(cluster.Tasks("/shop/web")[0], sick)
				},
				IsStream: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/v2/events") },
				Type:     "text/event-stream; charset=UTF-8",
				Event: func(_ *http.Request, size int) string {
					return sse("status_update_event", fmt.Sprintf(`{"appId": "/shop/web", "message": %q}`, strings.Repeat("x", size)))
				},
				Quiet: func(*http.Request) []string {
					return []string{
						"\r\n", "\n", ": a comment\r\n\r\n", "retry: 1000\n\n", "id: 7\r\n\r\n",
						sse("failed_health_check_event", about("/shop/web")), sse("framework_message_event", "{}"), sse("event_stream_detached", "{}"),
						sse("status_update_event", about("/shop/other")), sse("status_update_event", about("shop/other")),
						sse("instance_changed_event", `{"runSpecId": "/shop/other"}`),
					}
				},
				Unknown: func(*http.Request) []string {
					return []string{
						"data: {}\n\n", "data\n\n", "event\n\n", "event: \n\n", "nonsense\n\n", "data: {}\ndata: {}\n\n", sse("pod_levitated_event", "{}"),
						sse("status_update_event", "not JSON"), sse("status_update_event", "[]"), sse("status_update_event", `{"appId": 7}`), "\xff\xfe\n\n",
					}
				},
			})
		})
	}
}

// A lane is a source on a fake clock, with three Marathons on a network in
// memory.
type lane struct {
	*marathontest.Cluster
	opened  sources.Opened
	network *sourcetest.Network
}

func onLane(t *testing.T, o marathontest.Options, config marathon.Config, f func(*testing.T, *lane)) {
	synctest.Test(t, func(t *testing.T) {
		o.URLs = three
		if config.URLs == nil {
			config.URLs = three
		}
		l := &lane{Cluster: deployed(t, o, webApp), network: &sourcetest.Network{}}
		defer l.network.Close()
		for i, url := range three {
			l.network.Serve(strings.TrimPrefix(url, "http://"), l.Handler(i))
		}
		l.opened = opened(t, config, func(s *marathon.Source) { s.Transport = &http.Transport{DialContext: l.network.Dial} })
		f(t, l)
	})
}

// hinted watches for so long, and returns how many changes it was told.
func (l *lane) hinted(t *testing.T, d time.Duration) (hints []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	began := time.Now()
	err = l.opened.Watch(ctx, nil, func([]int) { hints = append(hints, time.Since(began)) })
	return hints, err
}

// TestTheLeaderIsFollowed: only it has a stream, and a standby sends us there,
// for which it needs our credentials again.
func TestTheLeaderIsFollowed(t *testing.T) {
	config := marathon.Config{Username: "nitrox", PasswordFile: secret(t, "pass-word")}
	onLane(t, marathontest.Options{Users: map[string]string{"nitrox": "pass-word"}}, config, func(t *testing.T, l *lane) {
		l.Failover(2)
		if hints, err := l.hinted(t, time.Hour); len(hints) == 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hints after %v: %v", hints, err)
		}
		l.Down(0, true)
		if hints, err := l.hinted(t, time.Hour); len(hints) == 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with the first Marathon down: hints after %v: %v", hints, err)
		}
	})
	config.URLs = three[:1]
	onLane(t, marathontest.Options{Users: map[string]string{"nitrox": "pass-word"}}, config, func(t *testing.T, l *lane) {
		l.Failover(2)
		hints, err := l.hinted(t, time.Hour)
		if want := "302 Found to http://m3:8080: redirects are not followed, except to the configured urls"; len(hints) > 0 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a leader that is not configured: hints after %v: %v, want %q", hints, err, want)
		}
	})
}

func TestTheEndOfALeaderIsTheEndOfItsStream(t *testing.T) {
	onLane(t, marathontest.Options{}, marathon.Config{}, func(t *testing.T, l *lane) {
		go func() {
			time.Sleep(time.Minute)
			l.Failover(1)
		}()
		began := time.Now()
		_, err := l.hinted(t, time.Hour)
		if err == nil || !strings.Contains(err.Error(), "http://m1:8080: the event stream ended") || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		for _, node := range []int{-1, 2} {
			l.Failover(node)
			if node < 0 {
				if hints, err := l.hinted(t, time.Hour); len(hints) > 0 || err == nil || !strings.Contains(err.Error(), "Could not determine the current leader") {
					t.Errorf("without a leader: hints after %v, %v", hints, err)
				}
			} else if hints, err := l.hinted(t, time.Hour); len(hints) == 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with a new leader: hints after %v, %v", hints, err)
			}
		}
	})
}

// TestAStreamWithoutASignOfLifeIsDead: what is between us and Marathon may have
// forgotten the connection. The stand-in sends a line every ten seconds.
func TestAStreamWithoutASignOfLifeIsDead(t *testing.T) {
	onLane(t, marathontest.Options{}, marathon.Config{URLs: three[:1]}, func(t *testing.T, l *lane) {
		l.network.Serve("m1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Accept-Encoding"); got != "identity" {
				t.Errorf("a compressed stream is asked for: %q", got)
			}
			w.Header().Set("Content-Type", "text/event-stream")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		began := time.Now()
		_, err := l.hinted(t, time.Hour)
		if want := "http://m1:8080: nothing received for 1m15s, not even a sign of life"; fmt.Sprint(err) != want || time.Since(began) != 75*time.Second {
			t.Errorf("%v after %v, want %q after 75 s", err, time.Since(began), want)
		}
	})
}

// TestATokenThatIsRefusedIsRenewedForAStreamToo as it is for a poll.
func TestATokenThatIsRefusedIsRenewedForAStreamToo(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{"uid": "nitrox", "login_endpoint": three[0] + "/acs/api/v1/auth/login",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))})
	if err != nil {
		t.Fatal(err)
	}
	options := marathontest.Options{Keys: map[string]*rsa.PublicKey{"nitrox": &key.PublicKey}}
	onLane(t, options, marathon.Config{ServiceAccountFile: secret(t, string(account))}, func(t *testing.T, l *lane) {
		for range 2 {
			if hints, err := l.hinted(t, time.Minute); len(hints) == 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("hints after %v: %v", hints, err)
			}
			l.Revoke()
		}
		if n := len(slices.DeleteFunc(l.Requests(), func(r string) bool { return !strings.HasPrefix(r, "POST") })); n != 2 {
			t.Errorf("%d logins, want 2", n)
		}
	})
}

// TestAnEventTellsWhichQueriesItIsAbout, in every form since Marathon 0.8, and all
// where it does not.
func TestAnEventTellsWhichQueriesItIsAbout(t *testing.T) {
	const step = `{"actions": [{"action": "ScaleApplication", "app": "/shop/web"}]}`
	all := []int{-1}
	cases := []struct {
		kind, data string
		which      []int
	}{
		{"status_update_event", `{"appId": "/shop/web"}`, []int{0, 3}},
		{"status_update_event", `{"appId": "shop/cart"}`, []int{1}},
		{"status_update_event", `{"appId": "/shop"}`, nil},
		{"status_update_event", `{"appId": "/shop/web/api"}`, nil},
		{"instance_changed_event", `{"runSpecId": "/blog", "condition": "Running"}`, []int{2}},
		{"unhealthy_instance_kill_event", `{"runSpecId": "/shopping", "instanceId": "x"}`, []int{4}},
		{"app_terminated_event", `{"appId": "/blog"}`, []int{2}},
		{"api_post_event", `{"uri": "/v2/apps/shop/cart", "appDefinition": {"id": "/shop/cart", "instances": 2}}`, []int{1}},
		{"api_post_event", `{"uri": "/v2/apps"}`, all},
		{"group_change_success", `{"groupId": "/shop", "version": "2026-11-27T20:00:00Z"}`, []int{0, 1, 3}},
		{"group_change_success", `{"groupId": "/", "version": "2026-11-27T20:00:00Z"}`, []int{0, 1, 2, 3, 4}},
		{"group_change_success", `{"groupId": "/lab"}`, nil},
		{"deployment_step_success", `{"plan": {"id": "7", "steps": [` + step + `]}, "currentStep": ` + step + `}`, []int{0, 3}},
		{"deployment_success", `{"id": "7", "plan": {"id": "7", "steps": [` + step + `, {"actions": [{"type": "StopApplication", "app": "/blog"}, {"type": "StartPod", "pod": "/p"}]}]}}`, []int{0, 2, 3}},
		{"deployment_success", `{"id": "7", "plan": {"id": "7", "steps": [{"actions": [{"action": "ScaleApplication", "app": "/lab"}]}]}}`, nil},
		{"deployment_failed", `{"id": "7", "plan": {"id": "7", "steps": [` + step + `, {"actions": [{"action": "Levitate"}]}]}}`, all},
		{"deployment_failed", `{"id": "7", "plan": {"id": "7", "steps": [` + step + `, {"action": "ScaleApplication", "app": "/blog"}]}}`, all},
		{"deployment_success", `{"id": "7"}`, all},
		{"deployment_success", `{"id": "7", "plan": {"target": {"note": "` + strings.Repeat("x", 64<<10) + `"}, "steps": []}}`, all},
		{"event_stream_attached", `{"remoteAddress": "192.0.2.1"}`, all},
		{"status_update_event", `{"appId": ["/shop/web"]}`, all},
		{"", `{"appId": "/blog"}`, []int{2}},
	}
	queries := []any{marathon.Query{App: "/shop/web"}, marathon.Query{App: "/shop/cart"}, marathon.Query{App: "/blog"}, marathon.Query{App: "/shop/web", Port: "1"}, marathon.Query{App: "/shopping"}}
	onLane(t, marathontest.Options{}, marathon.Config{URLs: three[:1]}, func(t *testing.T, l *lane) {
		l.network.Serve("m1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for _, c := range cases {
				http.NewResponseController(w).Flush()
				time.Sleep(time.Minute)
				fmt.Fprint(w, sse(c.kind, c.data))
			}
		}))
		told := map[int][]int{} // by minute
		began := time.Now()
		_ = l.opened.Watch(t.Context(), queries, func(which []int) {
			if which == nil {
				which = all
			}
			told[int(time.Since(began)/time.Minute)] = which
		})
		if !slices.Equal(told[0], all) {
			t.Errorf("connected: %v", told[0])
		}
		for i, c := range cases {
			if got := told[i+1]; !slices.Equal(got, c.which) {
				t.Errorf("%s %.120s: of %v, want %v", c.kind, c.data, got, c.which)
			}
		}
	})
}
