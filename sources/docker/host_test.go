package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nitrox/sources"
	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
)

func TestKindIsFoundOut(t *testing.T) {
	engine := &dockertest.Daemon{Containers: []string{text(t, container("/a", 8001))}}
	classic := &dockertest.Daemon{Classic: true, API: "1.22", SystemStatus: healthyNodes}
	info := func(body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/info") {
				io.WriteString(w, body)
				return
			}
			engine.ServeHTTP(w, r)
		})
	}
	file := func(name string) http.Handler {
		data, err := os.ReadFile(filepath.Join("testdata", "recorded", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		return info(string(data))
	}
	for name, c := range map[string]struct {
		handler  http.Handler
		requests []string
		err      string
	}{
		"engine":                    {handler: file("info-engine"), requests: []string{"HEAD /_ping", "GET /v1.41/info", "GET /v1.41/containers/json", "GET /v1.41/images/sha256:aa/json"}},
		"swarm":                     {handler: swarm(t), requests: []string{"HEAD /_ping", "GET /v1.41/info", "GET /v1.41/services", "GET /v1.41/services", "GET /v1.41/nodes"}},
		"classic":                   {handler: classic, requests: []string{"HEAD /_ping", "GET /_ping", "GET /v1.30/info", "GET /v1.30/info", "GET /v1.30/containers/json", "GET /v1.30/containers/json"}},
		"a worker":                  {handler: file("info-worker"), err: "this is a worker of a swarm; name a manager"},
		"a locked manager":          {handler: &dockertest.Daemon{Swarm: "locked"}, err: `its swarm is in state "locked"; name a manager`},
		"a manager in trouble":      {handler: info(`{"Swarm": {"LocalNodeState": "error", "Error": "cannot join"}}`), err: `its swarm is in state "error" (cannot join)`},
		"a silent proxy":            {handler: info(`{"ServerVersion": "27.0"}`), err: "does not say whether it belongs to a swarm; set kind"},
		"an engine that is too old": {handler: &dockertest.Daemon{API: "1.39"}, err: "it speaks version 1.39 of Docker's API; the oldest supported is 1.40 (Docker 19.03)"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{Handler: c.handler}
			answers, err := open(t, docker.Config{Host: serve(t, r), HostAddress: netip.MustParseAddr("10.0.0.7")}).Poll(t.Context(), []docker.Query{{Label: "app=web"}}, false)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v and error %v, want one that says %q", answers, err, c.err)
				}
				return
			}
			if got := r.take(); err != nil || !reflect.DeepEqual(got, c.requests) {
				t.Errorf("requests %v, error %v; want %v", got, err, c.requests)
			}
		})
	}
}

// A manager that has been taken out of its swarm is an engine with none of the
// services. That must not pass for a swarm without them.
func TestAManagerThatLeavesItsSwarmIsNoEngine(t *testing.T) {
	d := swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), node("n1", "10.0.0.1"))
	left := false
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if left {
			(&dockertest.Daemon{}).ServeHTTP(w, r)
			return
		}
		d.ServeHTTP(w, r)
	}))
	q := []docker.Query{{Service: "web"}}
	s := open(t, docker.Config{Host: url})
	if _, err := s.Poll(t.Context(), q, false); err != nil {
		t.Fatal(err)
	}
	left = true
	for range 3 {
		if answers, err := s.Poll(t.Context(), q, true); err == nil || !strings.Contains(err.Error(), "503 Service Unavailable: This node is not a swarm manager.") {
			t.Errorf("got %+v and error %v, want that of a node that is no manager", answers, err)
		}
	}
	// A source that never knew the swarm says that it cannot tell.
	answers, err := open(t, docker.Config{Host: url}).Poll(t.Context(), q, false)
	if err != nil {
		t.Fatal(err)
	}
	if d := answers[0].Doubt(); d == nil || errors.Is(d, sources.ErrAbsent) || !strings.Contains(d.Error(), "set kind") {
		t.Errorf("doubt %v, want one that is not ErrAbsent and says to set kind", d)
	}
}

func TestManagersAreTriedInTurn(t *testing.T) {
	good := serve(t, swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), node("n1", "10.0.0.1")))
	worker := serve(t, &dockertest.Daemon{Swarm: "active/worker"})
	const dead = "tcp://127.0.0.1:1" // which the system gives to nobody
	q := []docker.Query{{Service: "web"}}
	answers, err := open(t, docker.Config{Hosts: []string{dead, worker, good}, Kind: docker.Swarm}).Poll(t.Context(), q, false)
	if err != nil {
		t.Fatal(err)
	}
	check(t, answers[0], "10.0.0.1:8080 node worker-n1, 1 task")

	_, err = open(t, docker.Config{Hosts: []string{dead, worker}, Kind: docker.Swarm}).Poll(t.Context(), q, false)
	for _, part := range []string{dead + ": ", "connection refused", worker + ": GET /v1.41/tasks: 503 Service Unavailable: This node is not a swarm manager."} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not say %q", err, part)
		}
	}

	engine := serve(t, &dockertest.Daemon{})
	_, err = open(t, docker.Config{Hosts: []string{dead, engine}}).Poll(t.Context(), q, false)
	if err == nil || !strings.Contains(err.Error(), engine+": this is a plain engine") {
		t.Errorf("error %v does not say that an engine is no manager", err)
	}
}

// A manager that has lost its leader is silent for 15 seconds and more.
func TestASilentManagerLeavesTimeForTheNext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	silent := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer close(release)
	good := serve(t, swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), node("n1", "10.0.0.1")))
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second) // half of them for each
	defer cancel()
	answers, err := open(t, docker.Config{Hosts: []string{silent, good}, Kind: docker.Swarm}).Poll(ctx, []docker.Query{{Service: "web"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	check(t, answers[0], "10.0.0.1:8080 node worker-n1, 1 task")
}

func TestVersionsOfTheAPI(t *testing.T) {
	for name, c := range map[string]struct {
		daemon *dockertest.Daemon
		path   string
		err    string
	}{
		"Docker 19.03":                 {daemon: &dockertest.Daemon{API: "1.40"}, path: "GET /v1.40/containers/json"},
		"Docker 20.10":                 {daemon: &dockertest.Daemon{API: "1.41"}, path: "GET /v1.41/containers/json"},
		"Docker 29, which needs 1.44":  {daemon: &dockertest.Daemon{API: "1.52", MinAPI: "1.44"}, path: "GET /v1.52/containers/json"},
		"newer than this client":       {daemon: &dockertest.Daemon{API: "1.99", MinAPI: "1.44"}, path: "GET /v1.56/containers/json"},
		"newer than this client knows": {daemon: &dockertest.Daemon{API: "1.99", MinAPI: "1.90"}, err: "400 Bad Request: client version 1.56 is too old. Minimum supported API version is 1.90"},
		"older than this client knows": {daemon: &dockertest.Daemon{API: "1.39"}, err: "1.39"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{Handler: c.daemon}
			_, err := open(t, docker.Config{Host: serve(t, r), Kind: docker.Engine}).Poll(t.Context(), []docker.Query{{Label: "a=b"}}, false)
			seen := r.take()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v does not say %q", err, c.err)
				}
			} else if err != nil || seen[len(seen)-1] != c.path {
				t.Errorf("requests %v, error %v; want %s", seen, err, c.path)
			}
		})
	}
}

// In a loop a daemon may be upgraded between two polls.
func TestTheVersionIsAgreedOnAnewAfterAnUpgrade(t *testing.T) {
	d := &dockertest.Daemon{API: "1.41"}
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.ServeHTTP(w, r) }))
	s := open(t, docker.Config{Host: url, Kind: docker.Engine})
	q := []docker.Query{{Label: "a=b"}}
	if _, err := s.Poll(t.Context(), q, false); err != nil {
		t.Fatal(err)
	}
	d = &dockertest.Daemon{API: "1.52", MinAPI: "1.44"}
	if _, err := s.Poll(t.Context(), q, false); err == nil || !strings.Contains(err.Error(), "client version 1.41 is too old") {
		t.Errorf("error %v is not the daemon's", err)
	}
	if _, err := s.Poll(t.Context(), q, false); err != nil {
		t.Errorf("the poll after: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sock")
	s := open(t, docker.Config{Host: "unix://" + path, Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")})
	q := []docker.Query{{Label: "app=web"}}
	if _, err := s.Poll(t.Context(), q, false); err == nil || !strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not say that %s is missing", err, path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &dockertest.Daemon{Containers: []string{text(t, container("/a", 8001))}}}
	go server.Serve(l)
	defer server.Close()
	answers, err := s.Poll(t.Context(), q, false)
	if err != nil {
		t.Fatal(err)
	}
	check(t, answers[0], "10.0.0.7:8001 container a")
}

// Who may use the socket is told to whom it is refused.
func TestASocketThatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, docker.Config{Host: "unix://" + path, Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7")})
	docker.SetDial(s, func(_ context.Context, network, address string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.EACCES)}
	})
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode os.FileMode
		want string
	}{
		{0o660, fmt.Sprintf("permission denied; it belongs to the group %s (%s): run Nitrox as a member of that group", group.Name, group.Gid)},
		{0o600, fmt.Sprintf("permission denied; only the user %d may use it", os.Getuid())},
	} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Poll(t.Context(), []docker.Query{{Label: "a=b"}}, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("mode %v: error %v, want %q", c.mode, err, c.want)
		}
	}
}

func TestTheHostsAddressIsThatOfItsURL(t *testing.T) {
	d := &dockertest.Daemon{Containers: []string{text(t, container("/a", 8001))}}
	server := httptest.NewServer(d)
	defer server.Close()
	answers := poll(t, docker.Config{Host: server.URL, Kind: docker.Engine}, docker.Query{Label: "app=web"})
	if a := answers[0]; a.Doubt() == nil || !strings.Contains(a.Doubt().Error(), "set host_address") {
		t.Errorf("got %+v; a loopback address cannot be bound", a)
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ownAddress(t)
	outer := &http.Server{Handler: d}
	go outer.Serve(l)
	defer outer.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	answers = poll(t, docker.Config{Host: "tcp://" + net.JoinHostPort(addr.String(), port), Kind: docker.Engine}, docker.Query{Label: "app=web"})
	check(t, answers[0], netip.AddrPortFrom(addr, 8001).String()+" container a")
}

// ownAddress is an address of this machine that is not its loopback.
func ownAddress(t *testing.T) netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			return p.Addr()
		}
	}
	t.Skip("this machine has only its loopback address")
	return netip.Addr{}
}
