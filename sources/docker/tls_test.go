package docker_test

import (
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
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nitrox/sources"
	"nitrox/sources/docker"
	"nitrox/sources/docker/dockertest"
	"nitrox/sources/trust"
)

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

	t.Run("its fingerprint", func(t *testing.T) {
		config := good
		config.CAFile, config.ServerName, config.CertificateSHA256 = "", "", []trust.Fingerprint{trust.Of(cert)}
		if _, err := open(t, config).Poll(t.Context(), q, false); err != nil {
			t.Error(err)
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
		"another name": {func(c *docker.Config) { c.ServerName = "" }, "put the name in its certificate into server_name"},
		"another authority": {func(c *docker.Config) {
			c.CAFile = writePEM(t, filepath.Join(dir, "other.pem"), "CERTIFICATE", other.cert.Raw)
		}, "name the file of the certificates to trust in ca_file"},
		"the system's": {func(c *docker.Config) { c.CAFile = "" }, "name the file of the certificates to trust in ca_file"},
		"another's fingerprint": {func(c *docker.Config) {
			c.CAFile, c.CertificateSHA256 = "", []trust.Fingerprint{trust.Of(other.cert)}
		}, string(trust.Of(cert))},
		"no client certificate": {func(c *docker.Config) { c.CertFile, c.KeyFile = "", "" }, "tls: "},
		"no TLS":                {func(c *docker.Config) { c.CAFile, c.CertFile, c.KeyFile, c.ServerName = "", "", "", "" }, "400 Bad Request: Client sent an HTTP request to an HTTPS server."},
		"no certificates":       {func(c *docker.Config) { c.CAFile = garbage }, "garbage.pem contains no PEM certificate"},
		"no certificate":        {func(c *docker.Config) { c.CertFile = garbage }, "garbage.pem contains no PEM certificate; name the file of the client's certificate"},
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

	t.Run("without a connection", func(t *testing.T) {
		var stranger docker.Config
		other.client(t, &stranger, t.TempDir())
		for want, change := range map[string]func(*docker.Config){
			"":            func(*docker.Config) {},
			"ca_file: ":   func(c *docker.Config) { c.CAFile = garbage },
			"cert_file: ": func(c *docker.Config) { c.KeyFile = stranger.KeyFile }, // of another pair
		} {
			config := good
			change(&config)
			if wrong := config.CheckFiles(); (wrong != nil) != (want != "") || wrong != nil && !strings.HasPrefix(wrong.Error(), want) {
				t.Errorf("error %v, want one about %q", wrong, want)
			}
		}
	})
}
