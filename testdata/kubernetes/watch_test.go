//go:build e2e && linux

package kubernetes

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// output is what a process that still runs has printed.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// loop runs nitrox in a loop that ends with the test. Its interval is longer
// than the test: only events and streams that connect make passes after the
// first.
func (n *nitrox) loop() *output {
	n.t.Helper()
	cmd := exec.Command(binaries.nitrox, "sync", "--loop", "1h", "--watch", "--config", n.mapping)
	cmd.Env = []string{"HOME=" + n.dir, "PATH=" + os.Getenv("PATH")}
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			n.t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("nitrox ended with %v", err)
		}
		if n.t.Failed() {
			n.t.Logf("nitrox printed:\n%s", out)
		}
	})
	return out
}

// TestWatch: what happens in a cluster keeps the members in step on its own.
func TestWatch(t *testing.T) {
	c := threeNodes(t)
	c.service("shop", "account", 31080, "")
	c.service("lab", "web", 31081, "")
	n := of(c, map[string]string{
		"account": "from: [{source: prod, service: shop/account, port: http}]",
		"web":     "from: [{source: prod, service: lab/web, port: http}]",
	})
	c.deployment("shop", "account", 1, "web:1")
	c.deployment("lab", "web", 1, "web:1")
	c.reach("shop", "account", 1, "web:1", "n1")
	c.reach("lab", "web", 1, "web:1", "n1")
	n.loop()
	follows := func(what, group string, want ...string) {
		t.Helper()
		until(t, what+" is followed", time.Minute, func() bool { return maps.Equal(n.members(group), addrs(want...)) })
	}
	follows("the beginning", "account", "192.0.2.1:31080")
	follows("the beginning", "web", "192.0.2.1:31081")

	c.deployment("shop", "account", 3, "web:1")
	c.reach("shop", "account", 3, "web:1", "n1", "n2", "n3")
	want := func() (all []string) {
		for addr := range c.truth("shop", "account", 31080) {
			all = append(all, addr.String())
		}
		return all
	}
	follows("a scaling", "account", want()...)

	taint := func(taints string) {
		c.do(http.MethodPatch, "/api/v1/nodes/n2", merge, fmt.Sprintf(`{"spec":{"taints":[%s]}}`, taints))
	}
	with := want()
	var without []string
	for _, addr := range with {
		if netip.MustParseAddrPort(addr).Addr() != netip.MustParseAddr("192.0.2.2") {
			without = append(without, addr)
		}
	}
	var read atomic.Int64
	count := func(r *http.Request) {
		if r.URL.Path == "/api/v1/nodes" && !r.URL.Query().Has("watch") {
			read.Add(1)
		}
	}
	c.before.Store(&count)
	taint(`{"key":"ToBeDeletedByClusterAutoscaler","effect":"NoSchedule"}`)
	follows("a taint", "account", without...)
	taint("")
	follows("the end of a taint", "account", with...)
	if n := read.Load(); n > 0 {
		t.Errorf("nodes were read %d times, although the stream tells how they are", n)
	}

	c.do(http.MethodPatch, "/api/v1/namespaces/lab/services/web", merge, `{"spec":{"ports":[{"name":"http","port":80,"targetPort":8080,"nodePort":31082}]}}`)
	follows("another node port", "web", "192.0.2.1:31082")

	c.apiserver.kill()
	c.startAPIServer()
	c.deployment("lab", "web", 2, "web:1")
	c.reach("lab", "web", 2, "web:1", "n3")
	follows("a scaling after the API server was away", "web", "192.0.2.1:31082", "192.0.2.3:31082")
}

// TestTheRightToWatchIsNamedWhereItIsMissing, and the app is served at the
// interval.
func TestTheRightToWatchIsNamedWhereItIsMissing(t *testing.T) {
	c := threeNodes(t)
	c.service("shop", "account", 31080, "")
	c.deployment("shop", "account", 1, "web:1")
	c.reach("shop", "account", 1, "web:1", "n1")
	rights := func(verbs string) {
		c.apply(fmt.Sprintf(`
{apiVersion: v1, kind: ServiceAccount, metadata: {name: nitrox, namespace: shop}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: nitrox}, rules: [
  {apiGroups: [""], resources: [services, nodes], verbs: [%s]}, {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [%s]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: nitrox},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nitrox}, subjects: [{kind: ServiceAccount, name: nitrox, namespace: shop}]}
`, verbs, verbs))
	}
	rights("list")
	n := newNitrox(t, map[string]string{"prod": c.kubeconfig(c.door, c.token("shop", "nitrox"))}, map[string]string{"account": "from: [{source: prod, service: shop/account, port: http}]"})
	printed := n.loop()
	until(t, "the first pass", time.Minute, func() bool { return maps.Equal(n.members("account"), addrs("192.0.2.1:31080")) })
	until(t, "a word of the missing right", time.Minute, func() bool {
		return strings.Contains(printed.String(), "cannot watch resource") && strings.Contains(printed.String(), "the account needs the verb watch")
	})
	rights("list, watch")
	c.deployment("shop", "account", 2, "web:1")
	c.reach("shop", "account", 2, "web:1", "n2")
	until(t, "the stream", 2*time.Minute, func() bool {
		return maps.Equal(n.members("account"), addrs("192.0.2.1:31080", "192.0.2.2:31080"))
	})
}
