//go:build e2e && linux

package kubernetes

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/sources/sourcetest"
)

// adminToken is that of the tests, which may do everything.
const adminToken = "token-of-the-admin"

// cluster is a control plane, and the door through which Nitrox sees it.
type cluster struct {
	t    *testing.T
	dir  string
	url  string // the API server's own
	cert string // PEM files of the certificate of API server and door
	key  string

	placed  int        // pods bound to nodes
	address netip.Addr // the last that a pod was given

	apiserver *process
	args      []string // of the API server, which can be killed and started
	admin     *http.Client

	door     string // the URL
	requests atomic.Int64
	served   atomic.Int64 // bytes of bodies, as sent
	protobuf atomic.Int64 // answers in that form
	// before is called with each request from Nitrox.
	before atomic.Pointer[func(*http.Request)]
}

// process is one of the control plane's.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  string
}

// start starts a process that ends with the test. Its output is shown if the
// test fails.
func start(t *testing.T, dir string, binary string, args ...string) *process {
	t.Helper()
	p := &process{done: make(chan struct{}), log: filepath.Join(dir, filepath.Base(binary)+".log")}
	output, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	p.cmd = exec.Command(binary, args...)
	p.cmd.Stdout, p.cmd.Stderr = output, output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(p.log)
			t.Logf("the last words of %s:\n%s", filepath.Base(binary), text[max(0, len(text)-1000):])
		}
	})
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill() // an error: it has ended
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// until waits for a condition, which is checked every 50 ms.
func until(t *testing.T, what string, patience time.Duration, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// newCluster starts a control plane of its own with the controllers that the
// tests need, and more.
func newCluster(t *testing.T, controllerArgs ...string) *cluster {
	t.Helper()
	require(t)
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "nitrox-e2e-etcd-"); err == nil { // etcd waits for the disk a lot
		t.Cleanup(func() { os.RemoveAll(shm) })
		dir = shm
	}
	c := &cluster{t: t, dir: dir, address: netip.MustParseAddr("10.244.0.1"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	c.certificate()
	etcd, peer := "http://"+sourcetest.FreeAddress(t), "http://"+sourcetest.FreeAddress(t)
	start(t, dir, "etcd", "--data-dir", filepath.Join(dir, "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	tokens := filepath.Join(dir, "tokens.csv")
	c.write(tokens, adminToken+`,admin,1,"system:masters"`+"\n")
	address := sourcetest.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	c.url = "https://" + address
	c.args = []string{"--etcd-servers=" + etcd, "--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=" + dir,
		"--tls-cert-file=" + c.cert, "--tls-private-key-file=" + c.key, "--token-auth-file=" + tokens,
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + c.key, "--service-account-signing-key-file=" + c.key,
		"--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition", "--enable-priority-and-fairness=false",
		"--service-cluster-ip-range=10.96.0.0/16,fd00:96::/108", "--endpoint-reconciler-type=none", "--anonymous-auth=false"}
	c.admin = &http.Client{Transport: &http.Transport{TLSClientConfig: c.trust(), MaxIdleConnsPerHost: 64, ForceAttemptHTTP2: true}}
	c.startAPIServer()
	config := filepath.Join(dir, "controllers.kubeconfig")
	c.write(config, c.kubeconfig(c.url, adminToken))
	start(t, dir, binaries.controllers, append([]string{"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
		"--leader-elect=false", "--secure-port=0", "--root-ca-file=" + c.cert, "--kube-api-qps=2000", "--kube-api-burst=4000", "--concurrent-service-endpoint-syncs=20",
		"--service-account-private-key-file=" + c.key, "--use-service-account-credentials=false"}, controllerArgs...)...)
	c.openDoor()
	return c
}

// standard are the controllers that make pods and slices.
const standard = "--controllers=deployment-controller,replicaset-controller,endpointslice-controller,namespace-controller,statefulset-controller"

func (c *cluster) startAPIServer() {
	c.t.Helper()
	c.apiserver = start(c.t, c.dir, binaries.apiserver, c.args...)
	until(c.t, "the API server", time.Minute, func() bool {
		if c.apiserver.ended() {
			c.t.Fatal("the API server has ended")
		}
		code, _, err := c.try(http.MethodGet, "/readyz", "", nil)
		return err == nil && code == 200
	})
}

// openDoor lets Nitrox through to the API server, and counts.
func (c *cluster) openDoor() {
	target, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: c.trust(), ForceAttemptHTTP2: true, DisableCompression: true}
	proxy.ErrorLog = log.New(io.Discard, "", 0) // it is killed now and then
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Body = &counted{r.Body, &c.served}
		if r.Header.Get("Content-Type") == "application/vnd.kubernetes.protobuf" {
			c.protobuf.Add(1)
		}
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.door = "https://" + listener.Addr().String()
	server := &http.Server{ErrorLog: proxy.ErrorLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		if before := c.before.Load(); before != nil {
			(*before)(r)
		}
		proxy.ServeHTTP(w, r)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(listener) })
	c.t.Cleanup(func() { server.Close(); serving.Wait() })
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// kubeconfig is one of a bearer of a token.
func (c *cluster) kubeconfig(server, token string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}],
users: [{name: u, user: {token: %s}}], contexts: [{name: c, context: {cluster: c, user: u}}], current-context: c}`, server, c.cert, token)
}

// certificate makes one for 127.0.0.1 that signs itself.
func (c *cluster) certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		c.t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(c.cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	c.write(c.key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})))
}

func (c *cluster) trust() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(read(c.t, c.cert)))
	return &tls.Config{RootCAs: pool}
}

func (c *cluster) write(file, text string) {
	c.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// try makes one request as the admin.
func (c *cluster) try(method, path, contentType string, body []byte) (code int, answer []byte, err error) {
	request, err := http.NewRequest(method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+adminToken)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.admin.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// do makes one request as the admin, which must succeed.
func (c *cluster) do(method, path, contentType, body string) []byte {
	c.t.Helper()
	code, answer, err := c.try(method, path, contentType, []byte(body))
	if err == nil && code >= 300 {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}
