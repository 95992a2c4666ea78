package kubernetes

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nitrox/sources"
	"nitrox/sources/trust"
	"nitrox/sources/trust/trusttest"
)

// secure is an API server with TLS, and what a kubeconfig says of it.
type secure struct {
	*apiserver
	server *httptest.Server
	ca     string // base64 PEM
}

func startTLS(t *testing.T, a *apiserver) secure {
	t.Helper()
	server := httptest.NewUnstartedServer(a)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return secure{a, server, base64.StdEncoding.EncodeToString(ca)}
}

// kubeconfig writes one with the user given as YAML.
func (s secure) kubeconfig(t *testing.T, user string) Config {
	t.Helper()
	return Config{Kubeconfig: write(t, s.text(user))}
}

func (s secure) text(user string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}],
users: [{name: u, user: %s}], contexts: [{name: test, context: {cluster: c, user: u}}]}`, s.server.URL, s.ca, user)
}

// works polls, and expects the truth.
func works(t *testing.T, s *Source) {
	t.Helper()
	if got := told(ask(t, s, account)); got != "192.0.2.1:31080 x1 node n1, 2 pods\n192.0.2.2:31080 x1 node n2, 1 pod" {
		t.Errorf("got %s", got)
	}
}

// fails polls, and expects an error with a text, and without the token.
func fails(t *testing.T, s *Source, want string) {
	t.Helper()
	answers, err := s.Poll(t.Context(), []Query{account}, true)
	if err == nil || !strings.Contains(err.Error(), want) || len(answers) > 0 {
		t.Fatalf("got %v, error %v; want the error %q", answers, err, want)
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("the token is in the error %q", err)
	}
}

func open(t *testing.T, c Config) *Source {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestToken(t *testing.T) {
	api := startTLS(t, cluster(shop()...))
	works(t, open(t, api.kubeconfig(t, "{token: "+token+"}")))
	fails(t, open(t, api.kubeconfig(t, "{token: no-"+token+"}")), "401 Unauthorized")
	fails(t, open(t, api.kubeconfig(t, "{}")), "401 Unauthorized")
	fails(t, open(t, api.kubeconfig(t, "{}")), "renew the user of the kubeconfig's context")
	other, _ := certificate(t, "another CA")
	c := write(t, strings.Replace(api.text("{}"), api.ca, base64.StdEncoding.EncodeToString(other), 1))
	fails(t, open(t, Config{Kubeconfig: c}), "certificate signed by unknown authority; name the file of the certificates to trust in the kubeconfig's certificate-authority")
}

// TestTokenFile: a token that rotates is taken up by the next poll.
func TestTokenFile(t *testing.T) {
	api := startTLS(t, cluster(shop()...))
	file := filepath.Join(t.TempDir(), "token")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("old-" + token)
	s := open(t, api.kubeconfig(t, fmt.Sprintf("{tokenFile: %q}", file)))
	fails(t, s, "401 Unauthorized")
	put(token + "\n")
	works(t, s)
	put("\n")
	fails(t, s, "is empty")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	fails(t, s, "no such file")
}

// TestKubeconfigWrittenAnew: whatever renews credentials may write the file.
func TestKubeconfigWrittenAnew(t *testing.T) {
	api := startTLS(t, cluster(shop()...))
	c := api.kubeconfig(t, "{token: old-"+token+"}")
	s := open(t, c)
	fails(t, s, "401 Unauthorized")
	if err := os.WriteFile(string(c.Kubeconfig), []byte(api.text("{token: "+token+"}")), 0o600); err != nil {
		t.Fatal(err)
	}
	works(t, s)
	first, _ := s.connect()
	if second, err := s.connect(); err != nil || first != second {
		t.Errorf("a kubeconfig that has not changed gives another client (%v)", err)
	}
	if err := os.Remove(string(c.Kubeconfig)); err != nil {
		t.Fatal(err)
	}
	fails(t, s, "kubeconfig: stat ")
}

func TestClientCertificate(t *testing.T) {
	a := cluster(shop()...)
	api := startTLS(t, a)
	a.before = func(w http.ResponseWriter, r *http.Request) bool {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "nitrox" {
			return false // and then there is no token
		}
		r.Header.Set("Authorization", "Bearer "+token)
		return false
	}
	cert, key := certificate(t, "nitrox")
	user := fmt.Sprintf("{client-certificate-data: %s, client-key-data: %s}", base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(key))
	works(t, open(t, api.kubeconfig(t, user)))

	dir := t.TempDir()
	for name, data := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Relative names are from the folder of the kubeconfig.
	c := Config{Kubeconfig: sources.Path(filepath.Join(dir, "config"))}
	if err := os.WriteFile(string(c.Kubeconfig), []byte(api.text("{client-certificate: cert.pem, client-key: key.pem}")), 0o600); err != nil {
		t.Fatal(err)
	}
	works(t, open(t, c))
}

func certificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// plugin makes the test binary a credential plug-in, see TestMain.
func plugin(what string) string {
	return fmt.Sprintf(`{exec: {apiVersion: client.authentication.k8s.io/v1, command: %q, interactiveMode: Never, env: [{name: NITROX_TEST_PLUGIN, value: %q}]}}`, os.Args[0], what)
}

func TestMain(m *testing.M) {
	switch what := os.Getenv("NITROX_TEST_PLUGIN"); what {
	case "":
		os.Exit(m.Run())
	case "token":
		fmt.Printf(`{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": %q}}`, token)
		os.Exit(0)
	case "broken":
		os.Exit(7)
	default: // an address that answers when the test is over
		http.Get(what)
	}
}

func TestCredentialPlugin(t *testing.T) {
	api := startTLS(t, cluster(shop()...))
	s := open(t, api.kubeconfig(t, plugin("token")))
	works(t, s)
	first, _ := s.connect()
	if second, err := s.connect(); err != nil || first != second {
		t.Errorf("the plug-in is asked again for each poll (%v)", err)
	}
	fails(t, open(t, api.kubeconfig(t, plugin("broken"))), "exit code 7")
	if n := len(api.requests()); n != 3 {
		t.Errorf("%d requests, want the 3 that had credentials", n)
	}
}

// TestHangingPlugin: client-go waits for a plug-in as long as it takes; a poll
// does not.
func TestHangingPlugin(t *testing.T) {
	api := startTLS(t, cluster(shop()...))
	ctx, cancel := context.WithCancel(t.Context())
	polled := make(chan struct{})
	asks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel() // now it hangs
		<-polled
	}))
	defer asks.Close()
	defer close(polled)
	s := open(t, api.kubeconfig(t, plugin(asks.URL)))
	if answers, err := s.Poll(ctx, []Query{account}, true); !errors.Is(err, context.Canceled) || len(answers) > 0 {
		t.Errorf("got %v, error %v; want the context's", answers, err)
	}
}

func TestProxy(t *testing.T) {
	api := startTLS(t, cluster(shop()...))
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host)
		http.Error(w, "not today", http.StatusBadGateway)
	}))
	defer proxy.Close()
	text := strings.Replace(api.text("{token: "+token+"}"), "cluster: {", fmt.Sprintf("cluster: {proxy-url: %q, ", proxy.URL), 1)
	fails(t, open(t, Config{Kubeconfig: write(t, text)}), "Bad Gateway")
	if want := "CONNECT " + strings.TrimPrefix(api.server.URL, "https://"); asked.Load() != want {
		t.Errorf("the proxy was asked %q, want %q", asked.Load(), want)
	}
}

// TestServerName: a certificate for another name is refused, unless the
// kubeconfig says which it is.
func TestServerName(t *testing.T) {
	api := startTLS(t, cluster(shop()...))
	for name, want := range map[string]string{"example.com": "", "other.example": "certificate is valid for"} {
		text := strings.Replace(api.text("{token: "+token+"}"), "cluster: {", "cluster: {tls-server-name: "+name+", ", 1)
		s := open(t, Config{Kubeconfig: write(t, text)})
		if want == "" {
			works(t, s)
		} else {
			fails(t, s, want)
		}
	}
}

// TestRedirect: credentials go to the API server only, although client-go adds
// them to every request.
func TestRedirect(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	defer elsewhere.Close()
	a := cluster(shop()...)
	api := startTLS(t, a)
	a.before = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		return true
	}
	fails(t, open(t, api.kubeconfig(t, "{token: "+token+"}")), "307 Temporary Redirect to "+elsewhere.URL+": redirects are not followed")
}

// TestPathOfServer: the API may be below a path, as behind Rancher.
func TestPathOfServer(t *testing.T) {
	a := cluster(shop()...)
	server := httptest.NewServer(http.StripPrefix("/k8s/clusters/c-1", a))
	defer server.Close()
	a.before = func(_ http.ResponseWriter, r *http.Request) bool { r.RequestURI = r.URL.RequestURI(); return false }
	works(t, open(t, Config{Kubeconfig: kubeconfig(t, server.URL+"/k8s/clusters/c-1")}))
}

func TestContexts(t *testing.T) {
	api := startTLS(t, cluster(shop()...))
	two := strings.Replace(api.text("{token: "+token+"}"), "contexts: [", "current-context: test, contexts: [{name: prod, context: {cluster: c, user: nobody}}, ", 1)
	file := write(t, two)
	works(t, open(t, Config{Kubeconfig: file, Context: "test"}))
	fails(t, open(t, Config{Kubeconfig: file}), "kubeconfig "+string(file)+": it has several contexts (prod, test); say which one with context")
	fails(t, open(t, Config{Kubeconfig: file, Context: "tset"}), `there is no context "tset"; did you mean "test"?`)
	fails(t, open(t, Config{Kubeconfig: file, Context: "staging"}), `there is no context "staging"; choose from prod, test`)
	fails(t, open(t, Config{Kubeconfig: file, Context: "prod"}), `context prod: there is no user "nobody"`)
	lost := strings.Replace(two, "cluster: c, user: nobody", "cluster: d, user: nobody", 1)
	fails(t, open(t, Config{Kubeconfig: write(t, lost), Context: "prod"}), `context prod: there is no cluster "d"; choose from c`)
	fails(t, open(t, Config{Kubeconfig: write(t, "hunter2")}), "it is not a kubeconfig; is it the right file?")
	fails(t, open(t, Config{Kubeconfig: write(t, "{}")}), "the file does not exist, or has no context in it")
	fails(t, open(t, Config{Kubeconfig: write(t, "{}"), Context: "test"}), "the file does not exist, or has no context in it")
	fails(t, open(t, Config{Kubeconfig: write(t, "clusters: 7")}), "kubeconfig: error loading config file")
	fails(t, open(t, Config{Kubeconfig: "/nonexistent/config"}), "kubeconfig: stat /nonexistent/config")
	fails(t, open(t, Config{Kubeconfig: write(t, strings.Replace(two, api.ca, "bm90IGEgY2VydGlmaWNhdGU=", 1)), Context: "test"}), "certificate-authority contains no PEM certificate")

	// Without a file's name it is that of $KUBECONFIG, and outside of a cluster.
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBECONFIG", string(file))
	works(t, open(t, Config{Context: "test"}))
	fails(t, open(t, Config{}), "it has several contexts")
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	fails(t, open(t, Config{}), "none: the file does not exist, or has no context in it, and this is not a pod with a service account")
}

func TestCheck(t *testing.T) {
	for want, c := range map[string]interface{ Check() error }{
		`node_address[1]: "Hostname" is neither InternalIP nor ExternalIP (host names are not resolved)`: Config{NodeAddress: []AddressType{InternalIP, "Hostname"}},
		`node_address[1]: InternalIP is listed twice`:                                                    Config{NodeAddress: []AddressType{InternalIP, InternalIP}},
		`node_selector: this is not a label selector like pool=edge or pool in (edge, dmz)`:              Config{NodeSelector: "pool in edge"},
		`service: "account" is not a namespace and the name of a service, such as shop/account`:          Query{Service: "account"},
		`service: "shop/account/x" is not`:                                                               Query{Service: "shop/account/x"},
		`service: "" is not`:                                                                             Query{},
		`service: "Shop/account" is not`:                                                                 Query{Service: "Shop/account"},
		`port: 70000 is not a port number from 1 to 65535`:                                               Query{Service: "shop/account", Port: "70000"},
		`port: "http!" is neither the number nor the name of a port of a service`:                        Query{Service: "shop/account", Port: "http!"},
		`address: "nodeport" is not node_port, pod_ip, host_port or load_balancer`:                       Query{Service: "shop/account", Address: "nodeport"},
		`nodes: "some" is neither with_pods nor all`:                                                     Query{Service: "shop/account", Nodes: "some"},
		`nodes: it only applies to address: node_port`:                                                   Query{Service: "shop/account", Nodes: AllNodes, Address: PodIP},
		`family: "inet" is neither ipv4 nor ipv6`:                                                        Query{Service: "shop/account", Family: "inet"},
	} {
		err := c.Check()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: error %v, want %s", c, err, want)
		}
		var key *sources.KeyError
		if !errors.As(err, &key) {
			t.Errorf("%v does not say which key", err)
		}
		if config, ok := c.(Config); ok {
			if _, err := Open(config); err == nil {
				t.Errorf("%+v can be opened", config)
			}
		}
	}
	if err := errors.Join(Config{NodeAddress: []AddressType{ExternalIP, InternalIP}, NodeSelector: "pool=edge,!spot"}.Check(), Config{}.Check(),
		Query{Service: "shop/account", Port: "80", Address: PodIP, Family: IPv6}.Check(), Query{Service: "shop/account", Port: "http", Address: NodePort, Nodes: AllNodes}.Check()); err != nil {
		t.Error(err)
	}
}

// A fingerprint takes the place of the kubeconfig's authority, and no other
// server is told the token.
func TestAPinnedAPIServer(t *testing.T) {
	api := cluster(shop()...)
	server := trusttest.Serve(t, api, time.Now().Add(time.Hour))
	s := secure{api, server, startTLS(t, cluster()).ca} // another's authority
	config := s.kubeconfig(t, "{token: "+token+"}")
	pin := trust.Of(server.Certificate())
	for _, http1 := range []bool{false, true} {
		config.CertificateSHA256 = nil
		one := open(t, config)
		one.cluster.HTTP1 = http1
		fails(t, one, "certificate_sha256: "+string(pin))
		config.CertificateSHA256 = []trust.Fingerprint{trust.Of(startTLS(t, cluster()).server.Certificate())}
		one = open(t, config)
		one.cluster.HTTP1 = http1
		fails(t, one, string(pin))
		if n := len(api.requests()); n != 0 {
			t.Fatalf("%d requests to a server that is not trusted", n)
		}
		config.CertificateSHA256 = append(config.CertificateSHA256, pin)
		one = open(t, config)
		one.cluster.HTTP1 = http1
		works(t, one)
		api.requests()
	}
	text := strings.Replace(s.text("{}"), "https://", "http://", 1)
	config.Kubeconfig = write(t, text)
	fails(t, open(t, config), "https://")
}
