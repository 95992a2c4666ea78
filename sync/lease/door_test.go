package lease_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sync/lease"
)

// outside makes this process one that is in no pod, with this kubeconfig.
func outside(t *testing.T, kubeconfig string) (file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "kubeconfig")
	write(t, file, kubeconfig)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBECONFIG", file)
	t.Setenv("HOME", dir)
	return file
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheClusterIsThatOfTheKubeconfig(t *testing.T) {
	leases, token := newAPIServer(), atomic.Value{}
	token.Store("first")
	refused := make(chan struct{}, 100)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("%s %s by %s", r.Method, r.URL.Path, r.Proto)
		}
		if r.Header.Get("Authorization") != "Bearer "+token.Load().(string) {
			refused <- struct{}{}
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		leases.ServeHTTP(w, r)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	kubeconfig := func(token string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}],
users: [{name: u, user: {token: %s}}], contexts: [{name: c, context: {cluster: c, user: u}}]}`, server.URL, ca, token)
	}
	file := outside(t, kubeconfig("first"))
	l, err := lease.Open(lease.Config{Lease: "nitrox/nitrox", Duration: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	// Its token is renewed between two terms, and before the file is.
	for _, next := range []string{"second", "third"} {
		ctx, stop := context.WithCancel(t.Context())
		l.Run(ctx, func(ctx context.Context) {
			if err := l.Held(); err != nil {
				t.Error(err)
			}
			host, _ := os.Hostname()
			if holder, _ := leases.lease()["spec"].(map[string]any)["holderIdentity"].(string); !strings.HasPrefix(holder, host+"_") {
				t.Errorf("the lease is held by %q", holder)
			}
			write(t, file, kubeconfig(next))
			token.Store(next)
			<-refused
		})
		stop()
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer other.Close()
	ctx, stop := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		stop()
	}))
	defer server.Close()
	outside(t, fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q}}],
users: [{name: u, user: {token: secret}}], contexts: [{name: c, context: {cluster: c, user: u}}]}`, server.URL))
	l, err := lease.Open(lease.Config{Lease: "nitrox/nitrox"})
	if err != nil {
		t.Fatal(err)
	}
	l.Run(ctx, func(context.Context) { t.Error("it leads") })
	if reached.Load() {
		t.Error("the other host was asked")
	}
}

func TestAClusterThatCannotBeChosenIsAnErrorAtOnce(t *testing.T) {
	for want, kubeconfig := range map[string]string{
		"the file does not exist, or has no context in it, and this is not a pod": `{apiVersion: v1, kind: Config}`,
		"it has several contexts (a, b); set $KUBECONFIG": `{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: "https://192.0.2.1"}}], current-context: a,
contexts: [{name: a, context: {cluster: c}}, {name: b, context: {cluster: c}}]}`,
		"context a: ":  `{apiVersion: v1, kind: Config, contexts: [{name: a, context: {cluster: nowhere}}]}`,
		"kubeconfig: ": `{apiVersion: v1, kind`,
	} {
		outside(t, kubeconfig)
		_, err := lease.Open(lease.Config{Lease: "nitrox/nitrox"})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "lease nitrox/nitrox: ") {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// The lease says who may write, so the way to it is warned about as a source's is.
func TestAnAPIServerThatIsNotVerifiedIsWarnedOf(t *testing.T) {
	for _, insecure := range []bool{false, true} {
		outside(t, fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: "https://192.0.2.1", insecure-skip-tls-verify: %v}}],
users: [{name: u, user: {token: secret}}], contexts: [{name: c, context: {cluster: c, user: u}}]}`, insecure))
		l, err := lease.Open(lease.Config{Lease: "nitrox/nitrox"})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Warning(); (err != nil) != insecure || insecure && !strings.Contains(err.Error(), "use certificate-authority") {
			t.Errorf("insecure %v: %v", insecure, err)
		}
	}
}

// Whatever stands in a lease, somebody can lead after its time.
func TestNothingInALeaseKeepsOthersFromIt(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"too many transitions":    {"leaseTransitions": math.MaxInt32},
		"negative transitions":    {"leaseTransitions": -7},
		"a long duration":         {"leaseDurationSeconds": math.MaxInt32},
		"a negative duration":     {"leaseDurationSeconds": -5},
		"no duration":             {"leaseDurationSeconds": 0},
		"null everywhere":         {"leaseDurationSeconds": nil, "leaseTransitions": nil, "renewTime": nil, "acquireTime": nil},
		"renewed in the future":   {"renewTime": "2999-01-01T00:00:00.000000Z", "acquireTime": "2999-01-01T00:00:00.000000Z"},
		"renewed at no time":      {"renewTime": "soon"},
		"a long and a strange id": {"holderIdentity": strings.Repeat("x\n\u202e", 10_000)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newAPIServer()
				of := map[string]any{"holderIdentity": "gone", "leaseDurationSeconds": 15, "leaseTransitions": 1}
				maps.Copy(of, spec)
				server.set(map[string]any{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
					"metadata": map[string]any{"namespace": "nitrox", "name": "nitrox"}, "spec": of})
				l, err := lease.New(lease.Config{Lease: "nitrox/nitrox", Identity: "here"}, &road{server: server})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithTimeout(t.Context(), 15*time.Minute)
				defer stop()
				led := false
				l.Run(ctx, func(context.Context) { led = true })
				n, _ := server.lease()["spec"].(map[string]any)["leaseTransitions"].(float64)
				if !led || n < 1 || n > math.MaxInt32 {
					t.Errorf("leads: %v; %v", led, server.lease()["spec"])
				}
			})
		})
	}
}
