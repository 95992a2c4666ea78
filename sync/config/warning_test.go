package config_test

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/sources/all"
	"nitrox/sources/sourcetest"
	"nitrox/sync/config"
)

// What lets others have the secrets, or the cluster, is warned about; what does
// not, is not.
func TestWhatIsUnwiseIsWarnedAbout(t *testing.T) {
	sourcetest.Thorough(t)
	const (
		clear    = "http:// sends the credentials in the clear"
		write    = "others may write"
		read     = "every user of this machine may read"
		insecure = "insecure-skip-tls-verify"
		noTLS    = "without TLS anyone"
	)
	for name, c := range map[string]struct {
		password os.FileMode // of the files with secrets; 0: 0600
		url      string      // of the NetScaler
		source   string
		want     []string
	}{
		"all is well":                     {source: "marathon: {urls: [https://m], username: op, password_file: secret}"},
		"a password over http":            {source: "marathon: {urls: [http://m, https://n, http://127.0.0.1], username: op, password_file: secret}", want: []string{"urls[0]: " + clear}},
		"a token over http":               {source: "marathon: {urls: [https://m, http://n], token_file: secret}", want: []string{"urls[1]: " + clear}},
		"nothing secret over http":        {source: "marathon: {urls: [http://m]}"},
		"http on this machine":            {source: "marathon: {urls: [http://localhost, 'http://[::1]:80'], token_file: secret}"},
		"a log-in over http":              {source: "marathon: {urls: [https://m], service_account_file: account}", want: []string{"service_account_file: its login_endpoint begins with http://"}},
		"Docker in the clear":             {source: "docker: {host: tcp://10.0.0.5:2375}", want: []string{"host: " + noTLS}},
		"Docker in the clear by http":     {source: "docker: {hosts: [http://10.0.0.5:2375, https://10.0.0.6:2376]}", want: []string{"hosts[0]: " + noTLS}},
		"Docker on this machine":          {source: "docker: {host: tcp://127.0.0.1:2375}"},
		"Docker's socket":                 {source: "docker: {host: unix:///var/run/docker.sock}"},
		"Docker with TLS":                 {source: "docker: {host: tcp://10.0.0.5:2376, ca_file: ca, cert_file: cert, key_file: secret}"},
		"Docker's key":                    {password: 0o644, url: "http://127.0.0.1", source: "docker: {host: tcp://10.0.0.5:2376, ca_file: ca, cert_file: cert, key_file: secret}", want: []string{"key_file: " + read}},
		"an API server that is not known": {source: "kubernetes: {kubeconfig: insecure}", want: []string{"kubeconfig: its " + insecure}},
		"an API server that is pinned":    {source: "kubernetes: {kubeconfig: insecure, certificate_sha256: [" + strings.Repeat("ab", 32) + "]}"},
		"an API server":                   {source: "kubernetes: {kubeconfig: secure}"},
		"a kubeconfig for all":            {password: 0o644, url: "http://127.0.0.1", source: "kubernetes: {kubeconfig: secure}", want: []string{"kubeconfig: " + read}},
		"passwords for all":               {password: 0o644, source: "marathon: {urls: [https://m], username: op, password_file: secret}", want: []string{"password_file: " + read, "password_file: " + read}},
		"passwords by all":                {password: 0o602, source: "marathon: {urls: [https://m], token_file: secret}", want: []string{"password_file: " + write, "token_file: " + write}},
		"passwords by the group":          {password: 0o620, source: "marathon: {urls: [https://m], token_file: secret}", want: []string{"password_file: " + write, "token_file: " + write}},
		"passwords for the group":         {password: 0o440, source: "marathon: {urls: [https://m], token_file: secret}"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mode := c.password
			if mode == 0 {
				mode = 0o600
			}
			kubeconfig := func(insecure bool) string {
				return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "c", "cluster": {"server": "https://k", "insecure-skip-tls-verify": %v}}],
					"users": [{"name": "u", "user": {"token": "hunter2"}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}`, insecure)
			}
			for file, text := range map[string]string{
				"secret": "hunter2\n", "secure": kubeconfig(false), "insecure": kubeconfig(true), "account": account(t),
				"nitrox.yaml": fmt.Sprintf("netscalers: {edge: {url: %q, username: u, password_file: secret}}\nsources: {it: {%s}}\napps: [{name: shop, from: [{source: it, %s}]}]\n",
					cmp.Or(c.url, "https://192.0.2.10"), c.source, map[byte]string{'m': "app: /shop", 'd': "service: shop", 'k': "service: shop/shop"}[c.source[0]]),
			} {
				path := filepath.Join(dir, file)
				if err := os.WriteFile(path, []byte(text), mode); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, mode); err != nil { // whatever the umask is
					t.Fatal(err)
				}
			}
			m, err := (&config.Files{Names: []string{filepath.Join(dir, "nitrox.yaml")}, Lookup: lookup}).Load(all.Kinds)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range m.Warnings {
				if i >= len(c.want) || !strings.Contains(w.Message, c.want[i]) || w.Line == 0 || strings.Contains(w.Message, "hunter2") {
					t.Errorf("warned: %v", w)
				}
			}
			if len(m.Warnings) != len(c.want) {
				t.Errorf("%d warnings, want %d", len(m.Warnings), len(c.want))
			}
		})
	}
}

// account is a service account of DC/OS.
func account(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{"uid": "u", "login_endpoint": "http://leader.mesos/acs/api/v1/auth/login",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Secrets in containers can be read by all who are in there.
func TestSecretsOfContainersAreNotWarnedAbout(t *testing.T) {
	dir := t.TempDir()
	volume := filepath.Join(dir, "..2026_11_27_12_00_00.123")
	if err := os.Mkdir(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(volume, "password")
	if err := os.WriteFile(file, []byte("hunter2"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"..data": filepath.Base(volume), "password": "..data/password"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := load(t, fmt.Sprintf(minimal, "password_file: "+filepath.Join(dir, "password")), lookup)
	if err != nil || len(m.Warnings) != 0 {
		t.Errorf("%v, %v", m, err)
	}
}
