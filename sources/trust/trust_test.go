package trust_test

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nitrox/sources/trust"
	"nitrox/sources/trust/trusttest"
)

func appliance(t *testing.T, until time.Time) (server *httptest.Server, seen *requests) {
	t.Helper()
	seen = &requests{}
	return trusttest.Serve(t, seen, until), seen
}

// requests takes down all that it is sent.
type requests struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *requests) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = req.Write(&r.text)
}

func (r *requests) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func client(pins ...trust.Fingerprint) *http.Transport {
	config := &tls.Config{}
	trust.Pin(config, pins)
	return &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
}

func send(t *http.Transport, to string) error {
	resp, err := (&http.Client{Transport: t}).Post(to, "text/plain", strings.NewReader("the password"))
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

const other = trust.Fingerprint("00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF")

func TestOnlyPinnedCertificatesAreTrusted(t *testing.T) {
	server, seen := appliance(t, time.Now().Add(time.Hour))
	expired, _ := appliance(t, time.Now().Add(-time.Hour))
	own := trust.Of(server.Certificate())
	plain := trust.Fingerprint(strings.ToLower(strings.ReplaceAll(string(own), ":", "")))
	for _, c := range []struct {
		name string
		to   *httptest.Server
		pins []trust.Fingerprint
		says string // empty: it is trusted
	}{
		{"none", server, nil, "certificate"},
		{"its own", server, []trust.Fingerprint{own}, ""},
		{"without colons, in lower case", server, []trust.Fingerprint{plain}, ""},
		{"one of two", server, []trust.Fingerprint{other, own}, ""},
		{"another's", server, []trust.Fingerprint{other}, string(own)},
		{"another server", expired, []trust.Fingerprint{own}, string(trust.Of(expired.Certificate()))},
		{"expired, but pinned", expired, []trust.Fingerprint{trust.Of(expired.Certificate())}, ""},
	} {
		before := seen.String()
		switch err := send(client(c.pins...), c.to.URL); {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: the error %v does not say %s", c.name, err, c.says)
		case c.says != "" && seen.String() != before:
			t.Errorf("%s: %s was sent", c.name, strings.TrimPrefix(seen.String(), before))
		}
	}
}

// A session that an earlier connection leaves behind does not let a certificate
// through that is not pinned (any more).
func TestAResumedSessionIsVerifiedToo(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, seen := appliance(t, time.Now().Add(time.Hour))
		sessions := tls.NewLRUClientSessionCache(4)
		var resumed bool
		with := func(pin trust.Fingerprint) *http.Transport {
			c := client(pin)
			c.TLSClientConfig.ClientSessionCache, c.TLSClientConfig.MaxVersion = sessions, version
			verify := c.TLSClientConfig.VerifyConnection
			c.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error {
				resumed = s.DidResume
				return verify(s)
			}
			return c
		}
		for range 2 {
			if err := send(with(trust.Of(server.Certificate())), server.URL); err != nil {
				t.Fatal(err)
			}
		}
		if !resumed {
			t.Fatal("the server resumes no session, so that this proves nothing")
		}
		before := seen.String()
		if err := send(with(other), server.URL); !errors.As(err, new(*trust.Mismatch)) || !resumed {
			t.Errorf("a resumed session (%v) with a certificate that is not pinned: %v", resumed, err)
		}
		if seen.String() != before {
			t.Errorf("sent: %s", seen)
		}
	}
}

// proxy connects to whatever it is asked for, and takes down what passes in the
// clear.
func proxy(t *testing.T, to string) (at *url.URL, passed *bytes.Buffer, done func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	passed = &bytes.Buffer{}
	var running sync.WaitGroup
	running.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(io.TeeReader(conn, passed))
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		onward, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer onward.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		running.Go(func() { _, _ = io.Copy(conn, onward) })
		_, _ = io.Copy(onward, in)
	})
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}, passed, func() { listener.Close(); running.Wait() }
}

func TestThePinHoldsBehindAProxy(t *testing.T) {
	server, seen := appliance(t, time.Now().Add(time.Hour))
	for _, c := range []struct {
		pin     trust.Fingerprint
		trusted bool
	}{{trust.Of(server.Certificate()), true}, {other, false}} {
		at, passed, done := proxy(t, server.Listener.Addr().String())
		transport := client(c.pin)
		transport.Proxy = http.ProxyURL(at)
		before := seen.String()
		err := send(transport, "https://ns.example.com")
		done()
		if (err == nil) != c.trusted || (seen.String() != before) != c.trusted || strings.Contains(passed.String(), "password") {
			t.Errorf("pinned %v: %v; the proxy saw %q", c.trusted, err, passed)
		}
		if !strings.HasPrefix(passed.String(), "CONNECT ns.example.com:443") {
			t.Errorf("the proxy was not used: %q", passed)
		}
	}
}

func TestAFingerprintIsThatOfACertificate(t *testing.T) {
	for text, says := range map[string]string{
		string(other): "",
		strings.ToLower(strings.ReplaceAll(string(other), ":", "")): "",
		"": "64 hexadecimal digits",
		"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33": "SHA-1",
		string(other) + ":00":              "64 hexadecimal digits",
		"sha256//YWJjZGVmZ2hpamtsbW5vcA==": "64 hexadecimal digits",
	} {
		err := trust.Fingerprint(text).Check()
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A server that expects TLS answers HTTP by an alert, if at all.
func TestHTTPToAPortThatExpectsTLS(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			defer conn.Close()
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "\x15\x03\x01\x00\x02\x02\x46")
		}
	}()
	err = trust.Explain(send(&http.Transport{}, "http://"+listener.Addr().String()), trust.Keys{})
	if err == nil || !strings.HasSuffix(err.Error(), "; the port expects TLS; write https:// in the URL") {
		t.Error(err)
	}
}

// Old appliances have a factory certificate with a key of 512 bits, which nothing in
// Go accepts, pinned or not.
func TestAKeyThatIsTooShort(t *testing.T) {
	key := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 511, 1), E: 65537}
	err := rsa.VerifyPKCS1v15(key, crypto.SHA256, make([]byte, 32), make([]byte, 64))
	if advice, lasting := trust.Advice(fmt.Errorf("tls: %w", err), trust.Keys{}); !strings.Contains(advice, "2048 bits") || !lasting {
		t.Errorf("%v: %q", err, advice)
	}
}

// A server with which no version of TLS and no cipher is shared, as old appliances
// are, will not agree a second later either.
func TestAServerThatAgreesOnNothing(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"version": {MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10},
		"cipher":  {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}},
	} {
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.TLS = config
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		err := send(client(trust.Of(server.Certificate())), server.URL)
		if advice, lasting := trust.Advice(err, trust.Keys{}); !strings.HasSuffix(advice, "enable them there") || !lasting {
			t.Errorf("%s: %v: %q", name, err, advice)
		}
	}
}

// What people name instead of a certificate or its key is said to be that.
func TestFilesThatAreNotWhatIsWanted(t *testing.T) {
	server := trusttest.Serve(t, http.NotFoundHandler(), time.Now().Add(time.Hour))
	other := trusttest.Serve(t, http.NotFoundHandler(), time.Now().Add(time.Hour))
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	keyOf := func(s *httptest.Server) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	cert, key := block("CERTIFICATE", server.Certificate().Raw), block("PRIVATE KEY", keyOf(server))
	for name, c := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"right":        {cert, key, ""},
		"another key":  {cert, block("PRIVATE KEY", keyOf(other)), "a.crt and a.key: tls: private key does not match public key; give the certificate"},
		"switched":     {key, cert, "a.crt contains no PEM certificate, but the block PRIVATE KEY; name the file"},
		"no key":       {cert, cert, "a.key contains no PEM private key, but the block CERTIFICATE; name the file"},
		"a request":    {block("CERTIFICATE REQUEST", nil), key, "a.crt contains no PEM certificate, but the block CERTIFICATE REQUEST"},
		"a passphrase": {cert, block("ENCRYPTED PRIVATE KEY", nil), "a.key has a passphrase"},
		"a broken key": {cert, block("PRIVATE KEY", []byte("hunter2")), "see what openssl says of both"},
		"not PEM":      {[]byte("hunter2"), key, "a.crt contains no PEM certificate; name the file"},
		"key not PEM":  {cert, []byte("hunter2"), "a.key contains no PEM private key; name the file"},
		"in one file":  {slices.Concat(cert, key), slices.Concat(cert, key), ""},
		"in two":       {cert, slices.Concat(block("EC PARAMETERS", nil), block("PRIVATE KEY", keyOf(other))), "does not match"},
	} {
		_, err := trust.Pair("a.crt", "a.key", c.cert, c.key)
		if got := fmt.Sprint(err); (err == nil) != (c.want == "") || err != nil && !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if _, err := trust.Pool("ca.pem", key); err == nil || err.Error() !=
		"ca.pem contains no PEM certificate, but the block PRIVATE KEY; name the file of the CA's certificate" {
		t.Error(err)
	}
	if _, err := trust.Pool("ca.pem", cert); err != nil {
		t.Error(err)
	}
}

// A certificate whose time has not come is mostly a clock's fault.
func TestAdviceAboutTheTimeOfACertificate(t *testing.T) {
	for from, want := range map[time.Duration]string{time.Hour: "see with date -u whether the clock", -time.Hour: "if the clock of this machine is right, replace"} {
		err := &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{{NotBefore: time.Now().Add(from), DNSNames: []string{"ns"}}},
			Err: x509.CertificateInvalidError{Reason: x509.Expired}}
		if got, lasting := trust.Advice(err, trust.Keys{CAFile: "ca_file"}); !strings.HasPrefix(got, want) || !lasting {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
