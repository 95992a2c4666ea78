package docker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
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
		"engine":                    {handler: file("info-engine"), requests: []string{"HEAD /_ping", "GET /v1.41/info", "GET /v1.41/containers/json"}},
		"swarm":                     {handler: swarm(t), requests: []string{"HEAD /_ping", "GET /v1.41/info", "GET /v1.41/services", "GET /v1.41/tasks", "GET /v1.41/nodes"}},
		"classic":                   {handler: classic, requests: []string{"HEAD /_ping", "GET /_ping", "GET /v1.30/info", "GET /v1.30/info", "GET /v1.30/containers/json"}},
		"a worker":                  {handler: file("info-worker"), err: "this is a worker of a swarm; name a manager"},
		"a locked manager":          {handler: &dockertest.Daemon{Swarm: "locked"}, err: `its swarm is in state "locked"; name a manager`},
		"a manager in trouble":      {handler: info(`{"Swarm": {"LocalNodeState": "error", "Error": "cannot join"}}`), err: `its swarm is in state "error" (cannot join)`},
		"a silent proxy":            {handler: info(`{"ServerVersion": "27.0"}`), err: "does not say whether it belongs to a swarm; set kind"},
		"an engine that is too old": {handler: &dockertest.Daemon{API: "1.39"}, err: "it speaks version 1.39 of Docker's API, and 1.40 (Docker 19.03) is the oldest that is supported"},
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
	if d := answers[0].Doubt; d == nil || errors.Is(d, sources.ErrAbsent) || !strings.Contains(d.Error(), "set kind") {
		t.Errorf("doubt %v, want one that is not ErrAbsent and says to set kind", d)
	}
}

func TestManagersAreTriedInTurn(t *testing.T) {
	good := serve(t, swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), node("n1", "10.0.0.1")))
	worker := serve(t, &dockertest.Daemon{Swarm: "active/worker"})
	gone := httptest.NewServer(nil)
	gone.Close()
	dead := "tcp" + strings.TrimPrefix(gone.URL, "http")
	q := []docker.Query{{Service: "web"}}
	answers, err := open(t, docker.Config{Hosts: []string{dead, worker, good}, Kind: docker.Swarm}).Poll(t.Context(), q, false)
	if err != nil {
		t.Fatal(err)
	}
	check(t, answers[0], "10.0.0.1:8080 node worker-n1, 1 task")

	_, err = open(t, docker.Config{Hosts: []string{dead, worker}, Kind: docker.Swarm}).Poll(t.Context(), q, false)
	for _, part := range []string{dead + ": ", "connection refused", worker + ": GET /v1.41/services: 503 Service Unavailable: This node is not a swarm manager."} {
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
	release := make(chan struct{})
	silent := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer close(release)
	good := serve(t, swarm(t, service("web", port(80, 8080, "ingress")), task("web", 1, "n1"), node("n1", "10.0.0.1")))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
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

func TestTheHostsAddressIsThatOfItsURL(t *testing.T) {
	d := &dockertest.Daemon{Containers: []string{text(t, container("/a", 8001))}}
	server := httptest.NewServer(d)
	defer server.Close()
	answers := poll(t, docker.Config{Host: server.URL, Kind: docker.Engine}, docker.Query{Label: "app=web"})
	if a := answers[0]; a.Doubt == nil || !strings.Contains(a.Doubt.Error(), "set host_address") {
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

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	a := authority{}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a authority) issue(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func writePEM(t *testing.T, path, kind string, der []byte) sources.Path {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return sources.Path(path)
}

func (a authority) client(t *testing.T, config *docker.Config, dir string) {
	cert, key := a.issue(t, "nitrox", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config.CertFile = writePEM(t, filepath.Join(dir, "cert.pem"), "CERTIFICATE", cert.Raw)
	config.KeyFile = writePEM(t, filepath.Join(dir, "key.pem"), "EC PRIVATE KEY", der)
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.issue(t, "docker", &x509.Certificate{DNSNames: []string{"docker.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	server := httptest.NewUnstartedServer(&dockertest.Daemon{Containers: []string{text(t, container("/a", 8001))}})
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	good := docker.Config{
		Host: "tcp" + strings.TrimPrefix(server.URL, "https"), Kind: docker.Engine, HostAddress: netip.MustParseAddr("10.0.0.7"),
		CAFile: writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", ca.cert.Raw), ServerName: "docker.example",
	}
	ca.client(t, &good, dir)
	q := []docker.Query{{Label: "app=web"}}

	s := open(t, good)
	if answers, err := s.Poll(t.Context(), q, false); err != nil {
		t.Fatal(err)
	} else {
		check(t, answers[0], "10.0.0.7:8001 container a")
	}

	t.Run("the files are read for each poll", func(t *testing.T) {
		other.client(t, &docker.Config{}, dir)
		if _, err := s.Poll(t.Context(), q, false); err == nil || !strings.Contains(err.Error(), "tls: ") {
			t.Errorf("error %v; the daemon does not know the new certificate's authority", err)
		}
		if err := os.Remove(string(good.KeyFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Poll(t.Context(), q, false); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "key.pem") {
			t.Errorf("error %v does not name the missing file", err)
		}
		ca.client(t, &docker.Config{}, dir)
		if _, err := s.Poll(t.Context(), q, false); err != nil {
			t.Errorf("with a good certificate again: %v", err)
		}
	})

	garbage := sources.Path(filepath.Join(dir, "garbage.pem"))
	if err := os.WriteFile(string(garbage), []byte("-----BEGIN SECRET-----"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*docker.Config)
		err    string
	}{
		"another name": {func(c *docker.Config) { c.ServerName = "" }, "127.0.0.1"},
		"another authority": {func(c *docker.Config) {
			c.CAFile = writePEM(t, filepath.Join(dir, "other.pem"), "CERTIFICATE", other.cert.Raw)
		}, "certificate signed by unknown authority"},
		"the system's":          {func(c *docker.Config) { c.CAFile = "" }, "certificate signed by unknown authority"},
		"no client certificate": {func(c *docker.Config) { c.CertFile, c.KeyFile = "", "" }, "tls: "},
		"no TLS":                {func(c *docker.Config) { c.CAFile, c.CertFile, c.KeyFile, c.ServerName = "", "", "", "" }, "400 Bad Request: Client sent an HTTP request to an HTTPS server."},
		"no certificates":       {func(c *docker.Config) { c.CAFile = garbage }, "garbage.pem: no certificate in it"},
		"no certificate":        {func(c *docker.Config) { c.CertFile = garbage }, "garbage.pem and "},
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			c.change(&config)
			_, err := open(t, config).Poll(t.Context(), q, false)
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "BEGIN SECRET") {
				t.Errorf("error %v does not say %q", err, c.err)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		config docker.Config
		want   string // key: message
	}{
		"nothing":             {docker.Config{}, "host: where the Docker daemon listens is needed"},
		"host and hosts":      {docker.Config{Host: "tcp://a:1", Hosts: []string{"tcp://b:1"}}, "hosts: give either host or hosts"},
		"no scheme":           {docker.Config{Host: "10.0.0.5:2375"}, `host: "10.0.0.5:2375" does not begin with unix://`},
		"ssh":                 {docker.Config{Host: "ssh://10.0.0.5"}, "host: ssh:// would start a program"},
		"npipe":               {docker.Config{Host: "npipe:////./pipe/docker"}, "host: npipe:// is not supported"},
		"no port":             {docker.Config{Host: "tcp://10.0.0.5"}, `host: "tcp://10.0.0.5" has no port; Docker's are 2376 with TLS and 2375 without`},
		"no host":             {docker.Config{Host: "tcp://:2375"}, "host: this is not a URL like tcp://10.0.0.5:2376"},
		"a query":             {docker.Config{Host: "http://10.0.0.5:2375/?a=b"}, "more than a host, a port and a path"},
		"a relative socket":   {docker.Config{Host: "unix://docker.sock"}, "is not unix:// and an absolute path"},
		"a second bad one":    {docker.Config{Hosts: []string{"tcp://a:1", "b"}}, `hosts[1]: "b" does not begin with`},
		"twice the same":      {docker.Config{Hosts: []string{"tcp://a:1", "tcp://a:1"}}, "hosts[1]: tcp://a:1 is there twice"},
		"TLS on a socket":     {docker.Config{Host: "unix:///d.sock", CAFile: "ca.pem"}, "host: a socket on this machine has no TLS"},
		"TLS and http":        {docker.Config{Host: "http://a:1", ServerName: "b"}, "host: http:// contradicts ca_file"},
		"a key alone":         {docker.Config{Host: "tcp://a:1", KeyFile: "key.pem"}, "cert_file: cert_file and key_file are of use only together"},
		"a certificate alone": {docker.Config{Host: "tcp://a:1", CertFile: "cert.pem"}, "key_file: cert_file and key_file"},
		"an unknown kind":     {docker.Config{Host: "tcp://a:1", Kind: "Swarm"}, `kind: "Swarm" is none of swarm, classic and engine`},
		"several engines":     {docker.Config{Hosts: []string{"tcp://a:1", "tcp://b:1"}, Kind: docker.Engine}, "hosts: hosts are managers of one swarm; engines are a source each"},
		"a label, no nodes":   {docker.Config{Host: "tcp://a:1", Kind: docker.Engine, NodeLabel: "ip"}, "node_label: only nodes in swarm mode"},
		"an address, nodes":   {docker.Config{Host: "tcp://a:1", Kind: docker.Swarm, HostAddress: netip.MustParseAddr("10.0.0.1")}, "host_address: it is for a single engine"},
		"a loopback address":  {docker.Config{Host: "tcp://a:1", HostAddress: netip.MustParseAddr("127.0.0.1")}, "host_address: 127.0.0.1 cannot be bound"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := docker.Open(c.config)
			var key *sources.KeyError
			if !errors.As(err, &key) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
		})
	}
	for _, host := range []string{"tcp://u:s3cret@10.0.0.5:2376", "https://u:s3cret@10.0.0.5:2376", "tcp://u:s3cret@[::1:2376", "tcp://u:s3cret%@a:1"} {
		if _, err := docker.Open(docker.Config{Host: host}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %v: a password must be refused, and not printed", err)
		}
	}
	for _, c := range []struct {
		query docker.Query
		want  string
	}{
		{docker.Query{}, "service: a service or a label is needed"},
		{docker.Query{Service: "a", Label: "b=c"}, "label: give either service or label"},
		{docker.Query{Label: "app"}, "label: a label is written key=value"},
		{docker.Query{Label: "=web"}, "label: a label is written key=value"},
		{docker.Query{Service: "a", Port: 65536}, "port: a port is a number from 1 to 65535"},
		{docker.Query{Service: "a", Port: -1}, "port: a port is a number"},
	} {
		if err := c.query.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v does not say %q", c.query, err, c.want)
		}
	}
	if err := (docker.Query{Label: "a="}).Check(); err != nil {
		t.Errorf("a label may have an empty value: %v", err)
	}
}
