package docker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources"
	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
	"nitrox/sources/sourcetest"
)

// happened is an event as a daemon of API 1.41 tells it.
func happened(kind, action string, attributes ...string) string {
	o := object{}
	for i := 0; i < len(attributes); i += 2 {
		o[attributes[i]] = attributes[i+1]
	}
	scope := "local"
	if kind == "service" || kind == "node" {
		scope = "swarm"
	}
	e := object{"Type": kind, "Action": action, "Actor": object{"ID": "0123456789ab", "Attributes": o}, "scope": scope, "time": 1795298400, "timeNano": 1795298400123456789}
	if kind == "container" {
		e["status"], e["id"], e["from"] = action, "0123456789ab", "web:1"
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// What happens in a daemon's day and is not a hint.
var quiet = []string{
	happened("container", "exec_create: /bin/sh -c curl localhost"), happened("container", "exec_start: /bin/sh -c curl localhost"), happened("container", "exec_die", "exitCode", "0"),
	happened("container", "top"), happened("container", "attach"), happened("container", "resize"), happened("container", "copy"), happened("container", "create"),
	happened("container", "kill", "signal", "15"), happened("container", "stop"), happened("container", "oom"), happened("network", "create"), happened("network", "prune"),
	happened("image", "pull"), happened("volume", "mount"), happened("secret", "update"), happened("daemon", "reload"),
}

// stream describes a daemon for the common suite.
func stream(t *testing.T, config docker.Config, d *dockertest.Daemon, q docker.Query, change string) sourcetest.Stream {
	separator := "\n"
	if d.Classic {
		separator = ""
	}
	lines := func(events []string) func(*http.Request) []string {
		return func(*http.Request) []string {
			var all []string
			for _, e := range events {
				all = append(all, e+separator)
			}
			return all
		}
	}
	return sourcetest.Stream{
		Open: func(t *testing.T, url string) sources.Opened {
			config := config
			config.Host = url
			kind := sources.Define("docker", func(c docker.Config) (*docker.Source, error) {
				s, err := docker.Open(c)
				if err == nil {
					docker.SetAgain(s) // what is not asked for is not to be counted
				}
				return s, err
			})
			s, err := kind.Open(config)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Query: q, Other: docker.Query{Service: "cart"}, Handler: d,
		Change: func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for d.Listeners() == 0 {
				<-tick.C
			}
			d.Emit(change)
		},
		IsStream: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/events") },
		Type:     "application/json",
		Event: func(_ *http.Request, size int) string {
			return happened("container", "die", "name", "web0", "app", "web", "com.docker.swarm.service.name", "web", "label", strings.Repeat("x", size)) + separator
		},
		Quiet: lines(quiet),
		Unknown: lines([]string{
			`{}`, `{"Type": "task", "Action": "update"}`, `{"Type": "container", "Action": "levitate"}`, `{"Type": 7, "Action": []}`, `null`, `"event"`,
		}),
	}
}

func TestWatchSwarm(t *testing.T) {
	d := swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), node("n1", "10.0.0.1"))
	sourcetest.Watch(t, stream(t, docker.Config{}, d, docker.Query{Service: "web"}, happened("service", "update", "name", "web", "replicas.new", "4")))
}

func TestWatchClassic(t *testing.T) {
	d := &dockertest.Daemon{Classic: true, API: "1.30", SystemStatus: healthyNodes, Containers: []string{
		text(t, container("/node-1/web0", 8004).edit("Ports", []object{{"IP": "10.0.0.1", "PrivatePort": 80, "PublicPort": 8004, "Type": "tcp"}}))}}
	sourcetest.Watch(t, stream(t, docker.Config{Kind: docker.Classic}, d, docker.Query{Label: "app=web"}, happened("swarm", "engine_disconnect")))
}

func TestWatchEngine(t *testing.T) {
	d := &dockertest.Daemon{Containers: []string{text(t, container("/web0", 8004))}}
	sourcetest.Watch(t, stream(t, docker.Config{Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")}, d, docker.Query{Label: "app=web"},
		happened("container", "health_status: unhealthy", "name", "web0", "app", "web")))
}

// bubble is a source on a fake clock, and its daemons, each at the port after
// the one before, from 2375. A nil daemon does not answer.
func bubble(t *testing.T, f func(t *testing.T, s *docker.Source), kind docker.Kind, daemons ...http.Handler) {
	synctest.Test(t, func(t *testing.T) {
		config := docker.Config{Kind: kind}
		network := &sourcetest.Network{}
		defer network.Close()
		for i, d := range daemons {
			address := fmt.Sprintf("10.0.0.1:%d", 2375+i)
			config.Hosts = append(config.Hosts, "tcp://"+address)
			network.Serve(address, d)
		}
		s, err := docker.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		docker.SetDial(s, network.Dial)
		f(t, s)
	})
}

// hinted watches for so long, and returns when hints came.
func hinted(t *testing.T, s *docker.Source, d time.Duration) (after []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	began := time.Now()
	err = s.Watch(ctx, nil, func([]int) { after = append(after, time.Since(began)) })
	return after, err
}

// TestTasksAreLookedForAfterAChangeOfTheirService: there are no events of tasks.
func TestTasksAreLookedForAfterAChangeOfTheirService(t *testing.T) {
	d := &dockertest.Daemon{Swarm: "active/manager"}
	bubble(t, func(t *testing.T, s *docker.Source) {
		go func() {
			for _, e := range []string{happened("service", "update"), happened("service", "update"), happened("container", "start"), happened("node", "update", "state.new", "down")} {
				time.Sleep(time.Minute)
				d.Emit(e)
				if strings.Contains(e, "service") {
					time.Sleep(2 * time.Second)
					d.Emit(e)
				}
			}
		}()
		const m, sec = time.Minute, time.Second
		got, err := hinted(t, s, 6*m)
		want := []time.Duration{
			0, 1 * sec, 3 * sec, 10 * sec,
			m, m + 1*sec, m + 2*sec, m + 3*sec, m + 5*sec, m + 12*sec,
			2*m + 2*sec, 2*m + 3*sec, 2*m + 4*sec, 2*m + 5*sec, 2*m + 7*sec, 2*m + 14*sec,
			3*m + 4*sec,
			4*m + 4*sec, 4*m + 5*sec, 4*m + 7*sec, 4*m + 14*sec,
		}
		if !slices.Equal(got, want) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hints after %v (%v), want %v", got, err, want)
		}
	}, docker.Swarm, d)
}

// TestAStreamIsOpenedAnewBeforeItGoesBlind: a manager that is one no more keeps
// it open and says nothing.
func TestAStreamIsOpenedAnewBeforeItGoesBlind(t *testing.T) {
	bubble(t, func(t *testing.T, s *docker.Source) {
		for range 3 {
			began := time.Now()
			if hints, err := hinted(t, s, time.Hour); err != nil || len(hints) != 4 || time.Since(began) != 10*time.Minute {
				t.Errorf("hints after %v, error %v after %v, want the end in order after 10 minutes", hints, err, time.Since(began))
			}
		}
	}, docker.Swarm, &dockertest.Daemon{Swarm: "active/manager"})
}

func TestTheFirstManagerThatAnswersIsFollowed(t *testing.T) {
	worker, manager, other := &dockertest.Daemon{Swarm: "active/worker"}, &dockertest.Daemon{Swarm: "active/manager"}, &dockertest.Daemon{Swarm: "active/manager"}
	bubble(t, func(t *testing.T, s *docker.Source) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Watch(ctx, nil, func([]int) {}) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if a, b := manager.Listeners(), other.Listeners(); a != 1 || b != 0 {
			t.Errorf("%d and %d streams, want one of the first manager", a, b)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}, "", nil, worker, manager, other)
	bubble(t, func(t *testing.T, s *docker.Source) {
		_, err := hinted(t, s, time.Hour)
		for _, want := range []string{"tcp://10.0.0.1:2375: ", "tcp://10.0.0.1:2376: this is a worker of a swarm"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q in it", err, want)
			}
		}
	}, "", nil, worker)
}

// TestEventsComeTheWayAnswersDo: over TLS with a certificate of ours, over a
// socket of this machine, and from below a path.
func TestEventsComeTheWayAnswersDo(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.issue(t, "docker", &x509.Certificate{DNSNames: []string{"docker.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	for name, serve := range map[string]func(*httptest.Server, http.Handler) docker.Config{
		"TLS": func(s *httptest.Server, h http.Handler) docker.Config {
			s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
			s.StartTLS()
			config := docker.Config{Host: "tcp" + strings.TrimPrefix(s.URL, "https"), CAFile: writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", ca.cert.Raw), ServerName: "docker.example"}
			ca.client(t, &config, dir)
			return config
		},
		"a socket": func(s *httptest.Server, h http.Handler) docker.Config {
			path := filepath.Join(dir, "d.sock")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			s.Listener.Close()
			s.Listener = l
			s.Start()
			return docker.Config{Host: "unix://" + path}
		},
		"a path": func(s *httptest.Server, h http.Handler) docker.Config {
			s.Config.Handler = http.StripPrefix("/engines/one", h)
			s.Start()
			return docker.Config{Host: s.URL + "/engines/one"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &dockertest.Daemon{}
			server := httptest.NewUnstartedServer(d)
			config := serve(server, d)
			t.Cleanup(server.Close)
			config.Kind = docker.Engine
			s := open(t, config)
			docker.SetAgain(s)
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			hints, ended := make(chan struct{}, 10), make(chan error, 1)
			go func() { ended <- s.Watch(ctx, nil, func([]int) { hints <- struct{}{} }) }()
			for _, what := range []string{"connected", "a container has started"} {
				select {
				case <-hints:
				case err := <-ended:
					t.Fatalf("%s: the watch has ended: %v", what, err)
				case <-time.After(time.Minute):
					t.Fatalf("%s: no hint", what)
				}
				if what == "connected" {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for d.Listeners() == 0 {
						<-tick.C
					}
					d.Emit(happened("container", "start"))
				}
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// hint is when which queries were told.
type hint struct {
	after time.Duration
	which string
}

// told watches for queries and sends an event every 20 seconds. It returns the
// hints after each, and those of the connection; of one instant they are one.
func told(t *testing.T, s *docker.Source, emit func(string), queries []docker.Query, events ...string) [][]hint {
	const every = 20 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(len(events)+1)*every)
	defer cancel()
	began := time.Now()
	all := make([]map[time.Duration][]int, len(events)+1)
	go func() {
		for _, e := range events {
			time.Sleep(every)
			emit(e)
		}
	}()
	if err := s.Watch(ctx, queries, func(which []int) {
		after := time.Since(began)
		i, after := after/every, after%every
		if all[i] == nil {
			all[i] = make(map[time.Duration][]int)
		}
		if which == nil {
			which = []int{-1}
		}
		all[i][after] = append(all[i][after], which...)
	}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the watch ended: %v", err)
	}
	hints := make([][]hint, len(all))
	for i := range all {
		for _, after := range slices.Sorted(maps.Keys(all[i])) {
			slices.Sort(all[i][after])
			text := fmt.Sprint(slices.Compact(all[i][after]))
			if text == "[-1]" {
				text = "all"
			}
			hints[i] = append(hints[i], hint{after, text})
		}
	}
	return hints
}

// again are hints of the same queries, now and some times after.
func again(which string) []hint {
	return []hint{{0, which}, {time.Second, which}, {3 * time.Second, which}, {10 * time.Second, which}}
}

// TestAnEventTellsWhichQueriesItIsAbout: those of the service or container by name,
// and by the labels that it has or had; and where it does not tell, all.
func TestAnEventTellsWhichQueriesItIsAbout(t *testing.T) {
	about := func(id, event string) string { return strings.ReplaceAll(event, "0123456789ab", id) }
	now := func(which string) []hint { return []hint{{0, which}} }
	appname := func(name string) docker.Query { return docker.Query{Label: "com.citrix.lb.appname=" + name} }
	type heard struct {
		event string
		want  []hint
	}
	for name, c := range map[string]struct {
		kind    docker.Kind
		before  *dockertest.Daemon // at the time of the poll
		daemon  http.Handler       // after it, but for events
		queries []docker.Query
		heard   []heard
	}{
		"swarm": {
			docker.Swarm, swarm(t, service("web"), service("cart"), service("gone"), service("renamed").edit("Spec.Labels", object{"com.citrix.lb.appname": "cart"})),
			swarm(t, service("web"), service("cart"), service("renamed"), service("new").edit("Spec.Labels", object{"team": "a"})),
			[]docker.Query{{Service: "web"}, {Service: "cart"}, appname("web"), {Service: "web", Port: "80"}, {Label: "team=a"}, appname("cart"), appname("gone")},
			[]heard{
				{about("id-web", happened("service", "update", "name", "web", "replicas.new", "3")), again("[0 2 3]")},
				{about("id-new", happened("service", "create", "name", "new")), again("[4]")},
				{about("id-other", happened("service", "update", "name", "other")), nil},
				{about("id-renamed", happened("service", "update", "name", "renamed")), again("[5]")},
				{about("id-gone", happened("service", "remove", "name", "gone")), again("[6]")},
				{about("id-gone", happened("service", "update", "name", "cart")), again("[1 6]")},
				{happened("container", "start", "name", "web.1", "com.docker.swarm.service.name", "web", "com.docker.swarm.service.id", "id-web"), now("[0 2 3]")},
				{happened("container", "start", "name", "db", "com.citrix.lb.appname", "web"), nil},
				{happened("network", "connect", "container", "0123456789ab", "name", "bridge"), nil},
				{happened("node", "update", "name", "worker", "state.new", "down"), again("all")},
				{happened("service", "update"), again("all")},
				{happened("container", "die"), now("all")},
				{`{"Type": "service", "Action": "update", "Actor": {"ID": 7, "Attributes": []}}`, again("all")},
			},
		},
		"a swarm that does not tell labels": {
			docker.Swarm, swarm(t, service("web")), http.NotFoundHandler(), []docker.Query{{Service: "web"}, appname("web"), appname("cart")},
			[]heard{{about("id-other", happened("service", "update", "name", "other")), again("[1 2]")}},
		},
		"engine": {
			docker.Engine, &dockertest.Daemon{}, &dockertest.Daemon{Containers: []string{text(t, container("/web0", 8001))}},
			[]docker.Query{{Service: "web"}, {Label: "app=web"}, {Label: "app=cart"}, {Label: "name=web"}, {Service: "shop/web"}, {Label: "empty="}},
			[]heard{
				{happened("container", "start", "name", "web0", "app", "web"), now("[1 3]")},
				{happened("container", "die", "name", "db", "app", "db"), now("[3]")},
				{happened("container", "die", "name", "web-1", "com.docker.compose.service", "web", "com.docker.compose.project", "lab"), now("[0 3 4]")},
				{happened("container", "pause", "name", "x", "empty", ""), now("[3 5]")},
				{happened("network", "disconnect", "container", "0123456789abcdef/web0"), now("[1]")},
				{happened("network", "disconnect", "container", "fedcba"), nil},
				{happened("network", "disconnect"), now("all")},
				{happened("service", "update", "name", "web"), nil},
				{happened("node", "update", "name", "worker"), nil},
				{happened("container", "die"), now("all")},
			},
		},
		"classic": {
			docker.Classic, &dockertest.Daemon{Classic: true, SystemStatus: healthyNodes}, &dockertest.Daemon{Classic: true},
			[]docker.Query{{Label: "app=web"}, {Label: "node.name=node-1"}, {Label: "app=cart"}},
			[]heard{
				{happened("container", "start", "name", "web0", "app", "web", "node.name", "node-2"), now("[0 1]")},
				{happened("swarm", "engine_disconnect", "node.name", "node-2"), now("all")},
				{`{"status": "engine_reconnect", "id": "node-2", "from": "swarm"}`, nil},
				{`{"status": "die", "id": "0123456789ab", "from": "web:1"}`, now("all")},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			polled := false
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if polled && !strings.HasSuffix(r.URL.Path, "/events") {
					c.daemon.ServeHTTP(w, r)
					return
				}
				c.before.ServeHTTP(w, r)
			})
			bubble(t, func(t *testing.T, s *docker.Source) {
				if _, err := s.Poll(t.Context(), c.queries, true); err != nil {
					t.Fatal(err)
				}
				polled = true
				var events []string
				for _, e := range c.heard {
					events = append(events, e.event)
				}
				for i, got := range told(t, s, c.before.Emit, c.queries, events...) {
					want, what := again("all"), "connected"
					if i > 0 {
						want, what = c.heard[i-1].want, events[i-1]
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s: told %v, want %v", what, got, want)
					}
				}
			}, c.kind, h)
		})
	}
}

// TestQuestionsDoNotPileUp: a daemon that answers none, and tells of ever other
// services, is read on, and is not asked for each.
func TestQuestionsDoNotPileUp(t *testing.T) {
	const events = 20_000
	var asked atomic.Int64
	heap := func() (n uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, after := uint64(0), uint64(0)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		switch {
		case strings.HasSuffix(r.URL.Path, "/services"):
			asked.Add(1)
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.Header().Set("Content-Type", "application/json")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
			before = heap()
			for i := range events {
				fmt.Fprintln(w, strings.ReplaceAll(happened("service", "update", "name", "other"), "0123456789ab", fmt.Sprintf("%025d", i)))
			}
			_ = http.NewResponseController(w).Flush()
			after = heap()
			<-r.Context().Done()
		}
	})
	bubble(t, func(t *testing.T, s *docker.Source) {
		got := told(t, s, func(string) {}, []docker.Query{{Label: "a=b"}, {Service: "web"}}, "", "")
		// A question that is not answered in time, and too many, may be of any label.
		want := append(again("all"), hint{16 * time.Second, "[0]"}, hint{17 * time.Second, "[0]"}, hint{19 * time.Second, "[0]"})
		if asked.Load() != 1 || !slices.Equal(got[0], want) || !slices.Equal(got[1], []hint{{6 * time.Second, "[0]"}}) || got[2] != nil {
			t.Errorf("asked %d times, told %v", asked.Load(), got)
		}
	}, docker.Swarm, h)
	if after > before+4<<20 {
		t.Errorf("%d KiB are held after %d events", (after-before)>>10, events)
	}
}
