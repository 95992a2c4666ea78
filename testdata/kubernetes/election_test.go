//go:build e2e && linux

package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// writes are what the NetScaler was told to do, by whom, and when.
type writes struct {
	mu  sync.Mutex
	all []write
}

type write struct {
	replica     string
	begun, done time.Time
	what        string // method, path and body
}

// by returns what a replica has written; "" is all.
func (w *writes) by(replica string) (of []write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if replica == "" || one.replica == replica {
			of = append(of, one)
		}
	}
	return of
}

// replica is a process of the example's Deployment.
type replica struct {
	*process
	name string
	file string // what it logs
	// hold, when there is one, is called with the NetScaler's answer to each
	// read of members, before the replica gets it.
	hold func()
	mu   sync.Mutex
}

// begin starts a replica with the command line of the example's Deployment, but
// for the interval, and with its own way to the NetScaler, which is watched.
func (w *writes) begin(n *nitrox, name string) *replica {
	n.t.Helper()
	r := &replica{name: name}
	target, err := url.Parse(n.url)
	if err != nil {
		n.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(response *http.Response) error {
		r.mu.Lock()
		hold := r.hold
		r.mu.Unlock()
		if hold != nil && response.Request.Method == http.MethodGet && strings.Contains(response.Request.URL.Path, "servicegroup_servicegroupmember_binding") {
			body, err := io.ReadAll(response.Body)
			if err != nil {
				return err
			}
			response.Body = io.NopCloser(bytes.NewReader(body))
			hold()
		}
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, request *http.Request) {
		path := request.URL.Path
		if request.Method == http.MethodGet || strings.HasSuffix(path, "/login") || strings.HasSuffix(path, "/logout") {
			proxy.ServeHTTP(rw, request)
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return // the replica is gone
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		one := write{replica: name, begun: time.Now(), what: request.Method + " " + path + "?" + request.URL.RawQuery + " " + string(body)}
		proxy.ServeHTTP(rw, request)
		one.done = time.Now()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = append(w.all, one)
	}))
	n.t.Cleanup(server.Close)

	var deployment struct {
		Spec struct {
			Replicas int
			Template struct {
				Spec struct{ Containers []struct{ Command []string } }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(n.t, filepath.Join("../..", examples, "replicas", "deployment.yaml"))), &deployment); err != nil || deployment.Spec.Replicas != 2 {
		n.t.Fatalf("the example's Deployment: %v, %d replicas", err, deployment.Spec.Replicas)
	}
	mapping := name + ".yaml"
	n.write(mapping, strings.Replace(read(n.t, n.mapping), n.url, server.URL, 1))
	line := slices.Clone(n.command)
	for _, word := range deployment.Spec.Template.Spec.Containers[0].Command {
		for example, own := range map[string]string{"/nitrox": binaries.nitrox, "30s": "1s", "0.0.0.0:9090": "127.0.0.1:0", "/etc/nitrox/nitrox.yaml": filepath.Join(n.dir, mapping)} {
			if word == example {
				word = own
			}
		}
		line = append(line, word)
	}
	dir := filepath.Join(n.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	r.file = filepath.Join(dir, "log")
	output, err := os.Create(r.file)
	if err != nil {
		n.t.Fatal(err)
	}
	defer output.Close()
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, n.env...)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	r.process = &process{cmd: cmd, done: make(chan struct{}), log: r.file}
	go func() {
		cmd.Wait() // how it ended is seen in what it did
		close(r.done)
	}()
	n.t.Cleanup(func() {
		r.kill()
		if n.t.Failed() {
			text := read(n.t, r.file)
			n.t.Logf("the last words of %s:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
	return r
}

func (r *replica) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", r.name, err)
	}
}

// TestOneOfTwoReplicasWrites runs the processes of the example with two
// replicas, and makes the leader end, die, and freeze in the middle of a pass.
func TestOneOfTwoReplicasWrites(t *testing.T) {
	c := newCluster(t, standard+",serviceaccount-controller,root-ca-certificate-publisher-controller")
	nodes := []string{"n1", "n2", "n3", "n4"}
	for i, name := range nodes {
		c.node(name, fmt.Sprintf("192.0.2.%d", i+1))
	}
	c.service("shop", "account", 31080, "")
	run := func(pods int) map[netip.AddrPort]int {
		t.Helper()
		c.deployment("shop", "account", pods, "web:1")
		c.reach("shop", "account", pods, "web:1", nodes...)
		return c.truth("shop", "account", 31080)
	}
	truth := run(2)
	c.apply(kustomization(t, filepath.Join(examples, "replicas")))
	until(t, "the two pods of the Deployment", 30*time.Second, func() bool {
		n := 0
		for _, p := range c.pods("nitrox") {
			if strings.HasPrefix(p.Metadata.Name, "nitrox-") {
				n++
			}
		}
		return n == 2
	})
	n := inCluster(c)
	w := &writes{}

	holder := func() string {
		t.Helper()
		code, answer, err := c.try(http.MethodGet, "/apis/coordination.k8s.io/v1/namespaces/nitrox/leases/nitrox", "", nil)
		if code == http.StatusNotFound {
			return ""
		}
		var lease struct {
			Spec struct{ HolderIdentity string }
		}
		if err := errors.Join(err, json.Unmarshal(answer, &lease)); err != nil || code != http.StatusOK {
			t.Fatalf("the lease: %d, %v", code, err)
		}
		return lease.Spec.HolderIdentity
	}
	// follows waits until the members are the truth, and says how long it took.
	follows := func(what string, truth map[netip.AddrPort]int) {
		t.Helper()
		began := time.Now()
		until(t, what, 2*time.Minute, func() bool { return slices.Equal(sorted(n.members("sg-account")), sorted(truth)) })
		t.Logf("%s: %v", what, time.Since(began).Round(time.Second/10))
	}

	a := w.begin(n, "a")
	until(t, "a to lead", 30*time.Second, func() bool { return holder() != "" })
	b := w.begin(n, "b")
	until(t, "b to stand by", 30*time.Second, func() bool { return strings.Contains(read(t, b.file), "stands by") })
	follows("the first pass", truth)
	truth = run(3)
	follows("a change, at a loop of 1 s", truth)
	if len(w.by("b")) > 0 {
		t.Errorf("b stands by, and wrote: %v", w.by("b"))
	}
	if n := n.sim.Sessions(); n != 1 {
		t.Errorf("two replicas have %d sessions", n)
	}

	// The leader dies.
	a.kill()
	killed := time.Now()
	truth = run(4)
	follows("a change after the leader was killed, at a lease of 30 s", truth)
	t.Logf("since it was killed: %v", time.Since(killed).Round(time.Second/10))
	if len(w.by("b")) == 0 {
		t.Error("b leads, and wrote nothing")
	}

	// The leader ends in order.
	before := holder()
	d := w.begin(n, "d")
	until(t, "d to stand by", 30*time.Second, func() bool { return strings.Contains(read(t, d.file), "stands by") })
	b.signal(t, syscall.SIGTERM)
	ended := time.Now()
	until(t, "b to end", time.Minute, b.ended)
	until(t, "d to lead", time.Minute, func() bool { return holder() != before && holder() != "" })
	t.Logf("the next leads after the leader was told to end: %v", time.Since(ended).Round(time.Second/10))
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("b ended with %d", code)
	}
	truth = run(3)
	follows("a change after that", truth)

	// The leader freezes in the middle of a pass, with a member to bind that is
	// none any more when it thaws.
	before = holder()
	e := w.begin(n, "e")
	until(t, "e to stand by", 30*time.Second, func() bool { return strings.Contains(read(t, e.file), "stands by") })
	reading, scaled, frozen := make(chan struct{}), make(chan struct{}), make(chan struct{})
	passes := 0
	d.mu.Lock()
	d.hold = func() {
		if passes++; passes > 2 {
			return
		}
		reading <- struct{}{}
		if passes == 1 {
			<-scaled
		} else {
			<-frozen
		}
	}
	d.mu.Unlock()
	reads := func() {
		t.Helper()
		select {
		case <-reading:
		case <-time.After(time.Minute):
			t.Fatal("d reads no members")
		}
	}
	reads() // in this pass it has asked for the nodes, in the next
	run(4)  // it asks again
	close(scaled)
	reads()
	if got := n.members("sg-account"); len(got) != 3 {
		t.Fatalf("the test needs a member that d is about to bind; there are %v", got)
	}
	d.signal(t, syscall.SIGSTOP)
	stopped := len(w.by("d"))
	truth = run(2)
	follows("a change after the leader was frozen", truth)
	if holder() == before {
		t.Error("nobody else leads")
	}
	close(frozen) // the answer is there when it thaws
	d.signal(t, syscall.SIGCONT)
	until(t, "d to see that it does not lead", 30*time.Second, func() bool { return strings.Contains(read(t, d.file), "the lease was lost") })
	until(t, "d to stand by", 30*time.Second, func() bool {
		log := read(t, d.file)
		return strings.Contains(log[strings.LastIndex(log, "the lease was lost"):], "stands by")
	})
	if late := w.by("d")[stopped:]; len(late) > 0 {
		t.Errorf("d wrote after it thawed: %v", late)
	}
	follows("at the end", truth)

	// No two wrote at once, and nothing was bound by two.
	all := w.by("")
	slices.SortFunc(all, func(x, y write) int { return x.begun.Compare(y.begun) })
	for i := range all[1:] {
		if x, y := all[i], all[i+1]; x.replica != y.replica && y.begun.Before(x.done) {
			t.Errorf("at once: %v and %v", x, y)
		} else if x.what == y.what && x.replica != y.replica {
			t.Errorf("twice: %v and %v", x, y)
		}
	}
	t.Logf("%d writes: a %d, b %d, d %d, e %d", len(all), len(w.by("a")), len(w.by("b")), len(w.by("d")), len(w.by("e")))
}
