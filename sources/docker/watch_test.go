package docker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
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
		Query: q, Handler: d,
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
			return happened("container", "die", "label", strings.Repeat("x", size)) + separator
		},
		Quiet: lines(quiet),
		Unknown: lines([]string{
			`{}`, `{"Type": "task", "Action": "update"}`, `{"Type": "container", "Action": "levitate"}`, `{"Type": 7, "Action": []}`, `null`, `"event"`,
		}),
	}
}

func TestWatchSwarm(t *testing.T) {
	d := swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), node("n1", "10.0.0.1"))
	sourcetest.Watch(t, stream(t, docker.Config{}, d, docker.Query{Service: "web"}, happened("service", "update", "replicas.new", "4")))
}

func TestWatchClassic(t *testing.T) {
	d := &dockertest.Daemon{Classic: true, API: "1.30", SystemStatus: healthyNodes, Containers: []string{
		text(t, container("/node-1/web0", 8004).edit("Ports", []object{{"IP": "10.0.0.1", "PrivatePort": 80, "PublicPort": 8004, "Type": "tcp"}}))}}
	sourcetest.Watch(t, stream(t, docker.Config{Kind: docker.Classic}, d, docker.Query{Label: "app=web"}, happened("swarm", "engine_disconnect")))
}

func TestWatchEngine(t *testing.T) {
	d := &dockertest.Daemon{Containers: []string{text(t, container("/web0", 8004))}}
	sourcetest.Watch(t, stream(t, docker.Config{Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")}, d, docker.Query{Label: "app=web"},
		happened("container", "health_status: unhealthy")))
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
