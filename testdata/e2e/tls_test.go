//go:build e2e && linux

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTLS asks an engine that demands client certificates, and whose own
// certificate is for another name than its address.
func TestTLS(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	at := func(name string) string { return filepath.Join(l.dir, name+".pem") }
	ca := newAuthority(t, at("ca"))
	ca.issue(t, at("server"), at("server-key"), &x509.Certificate{
		DNSNames: []string{"engine.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	ca.issue(t, at("client"), at("client-key"), &x509.Certificate{
		Subject: pkix.Name{CommonName: "nitrox"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	newAuthority(t, at("other-ca"))

	// The node's address is known once it is made, and is the first of the lab.
	listen := fmt.Sprintf("tcp://%v:2376", l.host(11))
	e := l.newEngine(t, "node1", "--host", listen, "--tlsverify",
		"--tlscacert", at("ca"), "--tlscert", at("server"), "--tlskey", at("server-key"))
	e.docker("run", "--detach", "--label", shop, "--publish", "80", "web:1")
	eventually(t, time.Minute, "a healthy container", func() error {
		ids, err := e.running("health=healthy")
		if err == nil && len(ids) != 1 {
			err = fmt.Errorf("there are %d", len(ids))
		}
		return err
	})
	want := map[string]truth{"shop": e.healthy("label=" + shop)}
	want["shop"].serves(t)

	own := fmt.Sprintf("ca_file: %q", at("ca"))
	client := fmt.Sprintf("cert_file: %q, key_file: %q", at("client"), at("client-key"))
	n := newNitrox(t, l, "  engine: {docker: {SETTINGS}}\n",
		map[string]string{"shop": "from: [{source: engine, label: " + shop + ", port: 80}]"})
	template := read(t, n.mapping)
	for _, c := range []struct {
		name     string
		settings []string
		code     int
		says     string // in the output; of a failure
	}{
		{"the certificate is for another name", []string{own, client}, 1, "certificate for " + e.addr.String()},
		{"no client certificate", []string{own, "server_name: engine.example"}, 1, "certificate"},
		{"of an authority that is not trusted", []string{client, "server_name: engine.example"}, 1, "unknown authority"},
		{"of another authority than the file's", []string{fmt.Sprintf("ca_file: %q", at("other-ca")), client, "server_name: engine.example"}, 1, "unknown authority"},
		{"verified under the name it is for", []string{own, client, "server_name: engine.example"}, 0, ""},
	} {
		settings := strings.Join(append([]string{fmt.Sprintf("host: %q", listen)}, c.settings...), ", ")
		write(t, n.mapping, strings.Replace(template, "SETTINGS", settings, 1))
		untouched := n.untouched("shop")
		output := n.sync(c.code)
		if c.code == 0 {
			n.holds(want, output)
			continue
		}
		untouched(output)
		if !strings.Contains(output, c.says) {
			t.Errorf("%s: the output does not say %q:\n%s", c.name, c.says, output)
		}
	}
}

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes one and writes its certificate to file.
func newAuthority(t *testing.T, file string) authority {
	t.Helper()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: file},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := authority{cert, newKey(t)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, file, "CERTIFICATE", der)
	return a
}

// issue completes and signs cert, and writes it and its key to files.
func (a authority) issue(t *testing.T, certFile, keyFile string, cert *x509.Certificate) {
	t.Helper()
	key := newKey(t)
	cert.SerialNumber, cert.KeyUsage = big.NewInt(2), x509.KeyUsageDigitalSignature
	cert.NotBefore, cert.NotAfter = a.cert.NotBefore, a.cert.NotAfter
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		t.Fatal(err)
	}
	writePEM(t, keyFile, "PRIVATE KEY", der)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}
