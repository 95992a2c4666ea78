//go:build e2e && linux

package kubernetes

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestScale: 300 services with 5,000 pods on 500 nodes are three requests a
// pass. What they cost is logged.
func TestScale(t *testing.T) {
	const services, nodes, pods = 300, 500, 5000
	c := newCluster(t, "--controllers=endpointslice-controller,namespace-controller")
	c.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: shop}}`)
	began := time.Now()
	c.many(services, func(i int) error {
		return c.post("/api/v1/namespaces/shop/services", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"service-%d"},"spec":{"type":"NodePort","selector":{"app":"app-%d"},
"ports":[{"name":"http","port":80,"targetPort":8080,"nodePort":%d}]}}`, i, i, 30000+i)
	})
	node := func(i int) error {
		// As large as nodes are: kubelets report 50 images.
		images := ""
		for k := range 50 {
			if k > 0 {
				images += ","
			}
			images += fmt.Sprintf(`{"names":["registry.example/team/image-%d@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b","registry.example/team/image-%d:v1.%d"],"sizeBytes":%d}`, k, k, i, 1<<20+k)
		}
		return c.post("/api/v1/nodes", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-%d"},"status":{"addresses":[{"type":"InternalIP","address":"10.1.%d.%d"}],"conditions":[%s],"images":[%s]}}`,
			i, i/250, i%250+1, ready("Ready"), images)
	}
	c.many(nodes, node)
	c.many(pods, func(i int) error {
		return errors.Join(
			c.post("/api/v1/namespaces/shop/pods", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"pod-%d","labels":{"app":"app-%d"}},"spec":{"nodeName":"node-%d","containers":[{"name":"web","image":"web:1"}]}}`,
				i, i%services, i%nodes),
			c.patch(fmt.Sprintf("/api/v1/namespaces/shop/pods/pod-%d/status", i), fmt.Sprintf(`{"status":{"phase":"Running","podIP":"10.%d.%d.%d","podIPs":[{"ip":"10.%d.%d.%d"}],"conditions":[%s]}}`,
				64+i/60000, i/250%250, i%250+1, 64+i/60000, i/250%250, i%250+1, ready("Ready"))))
	})
	until(t, "all pods in EndpointSlices", 3*time.Minute, func() bool {
		n := 0
		for _, s := range list[struct {
			Endpoints []struct{ Conditions struct{ Ready bool } }
		}](c, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices") {
			for _, e := range s.Endpoints {
				if e.Conditions.Ready {
					n++
				}
			}
		}
		return n == pods
	})
	t.Logf("made in %v", time.Since(began).Round(time.Second))

	apps := map[string]string{}
	for i := range services {
		apps[fmt.Sprintf("sg-%d", i)] = fmt.Sprintf("from: [{source: prod, service: shop/service-%d}]", i)
	}
	n := of(c, apps)
	for pass := range 3 {
		c.requests.Store(0)
		c.served.Store(0)
		c.protobuf.Store(0)
		began := time.Now()
		output := n.sync(0)
		took := time.Since(began)
		usage := n.used.ProcessState.SysUsage().(*syscall.Rusage)
		t.Logf("pass %d: %d requests, %.1f MB as sent, %v, of which %v of a processor, %d MB resident", pass+1, c.requests.Load(), float64(c.served.Load())/1e6,
			took.Round(time.Millisecond), n.used.ProcessState.UserTime().Round(time.Millisecond), usage.Maxrss>>10)
		if got := c.requests.Load(); got != 3 {
			t.Errorf("%d requests, want 3: one page each of slices, services and nodes", got)
		}
		if got := c.protobuf.Load(); got != 3 {
			t.Errorf("%d answers in protobuf, want 3", got)
		}
		members := 0
		for i := range services {
			members += len(n.members(fmt.Sprintf("sg-%d", i)))
		}
		// The pods of service s are s, s+300, s+600, ...: each on a node of its own
		// until the nodes repeat after 1,500 pods, so five different nodes.
		if want := services * 5; members != want {
			t.Fatalf("%d members, want %d\n%.2000s", members, want, output)
		}
	}

	// More nodes than fit in a page are read in two, unless the first is enough.
	c.many(20, func(i int) error { return node(nodes + i) })
	for _, look := range []struct {
		args        []string
		least, most int64
	}{{nil, 4, 4}, {[]string{"--app", "sg-0"}, 3, 8}} {
		c.requests.Store(0)
		code, output := n.run(append([]string{"plan", "--exit-code"}, look.args...)...)
		if got := c.requests.Load(); code != 0 || got < look.least || got > look.most {
			t.Errorf("nitrox plan %v: exit %d, want 0; %d requests, want %d to %d\n%.2000s", look.args, code, got, look.least, look.most, output)
		}
	}
}

// many does something often, some at a time.
func (c *cluster) many(n int, do func(i int) error) {
	c.t.Helper()
	next, failed := make(chan int), make(chan error, n)
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					failed <- err
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	close(failed)
	for err := range failed {
		c.t.Fatal(err) // the first tells enough
	}
}

func (c *cluster) post(path, format string, args ...any) error {
	return c.send(http.MethodPost, path, plain, fmt.Sprintf(format, args...))
}

func (c *cluster) patch(path, body string) error {
	return c.send(http.MethodPatch, path, merge, body)
}

func (c *cluster) send(method, path, contentType, body string) error {
	code, answer, err := c.try(method, path, contentType, []byte(body))
	if err == nil && code >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, code, answer)
	}
	return err
}
