//go:build e2e && linux

package kubernetes

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
)

// TestInstalls types what docs/install.md says of Kubernetes, for either way, with kubectl
// and a real API server. The pods, which the real controllers make, are run by a kubelet of
// the test. Without Helm its command is played by what Helm's engine renders (../helm).
func TestInstalls(t *testing.T) {
	c := newCluster(t, standard+",cronjob-controller,job-controller,serviceaccount-controller,root-ca-certificate-publisher-controller")
	c.node("n1", "192.0.2.1")
	c.node("n2", "192.0.2.2")
	c.service("shop", "account", 31080, "")
	c.deployment("shop", "account", 2, "web:1")
	c.reach("shop", "account", 2, "web:1", "n1", "n2")
	newKubelet(c)

	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})
	sim.AddGroup("sg-account")
	edge := httptest.NewTLSServer(sim)
	defer edge.Close()
	mine := t.TempDir()
	c.write(filepath.Join(mine, "password"), password+"\n")
	c.write(filepath.Join(mine, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: edge.Certificate().Raw})))
	c.write(filepath.Join(mine, "kubeconfig"), c.kubeconfig(c.url, adminToken))
	golden, err := filepath.Abs("../helm/golden/cronjob.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// What somebody puts into the files, and Helm if it is not here.
	edited := fmt.Sprintf("cp %s/password %[1]s/ca.pem netscaler\nsed -i s,https://192.0.2.10,%s, base/nitrox.yaml\n", mine, edge.URL)
	helm := ""
	if _, err := exec.LookPath("helm"); err != nil {
		helm = fmt.Sprintf("helm() { sed 's/- sync$/- plan/; s,https://192.0.2.10,%s,' %s | kubectl apply -f -; }\n", edge.URL, golden)
	}
	for i, way := range []string{"kubectl", "Helm"} {
		t.Run(way, func(t *testing.T) {
			dir := release(t)
			text := read(t, "../../docs/install.md")
			both, plan := typed(t, text, "## Kubernetes", "\n### "), typed(t, text, "### The first plan", "\n## ")
			const edit = "cd ~/first\n" // then somebody does
			if !strings.Contains(both, edit) {
				t.Fatalf("docs/install.md does not type %q", edit)
			}
			script := helm + strings.Replace(both, edit, edit+edited, 1) + typed(t, text, "### "+way, "\n### ") + plan
			cmd := exec.Command("bash", "-euxc", strings.ReplaceAll(script, "linux_amd64", "linux_"+runtime.GOARCH))
			cmd.Dir, cmd.Env = dir, []string{"HOME=" + t.TempDir(), "KUBECONFIG=" + filepath.Join(mine, "kubeconfig"),
				"PATH=" + filepath.Dir(binaries.kubectl) + ":" + os.Getenv("PATH")}
			began := time.Now()
			out, err := cmd.CombinedOutput()
			t.Logf("planned after %v", time.Since(began))
			if got := strings.Count(string(out), "\nAccountService: sg-account on edge: 0 serving, 2 wanted\n"); err != nil || got != 2 {
				t.Errorf("%d of 2 plans: %v\n%s", got, err, out)
			}
			if strings.Contains(string(out), "Warning:") {
				t.Errorf("kubectl warns of something:\n%s", out)
			}
			if got := sim.Members("sg-account"); len(got) != 0 {
				t.Errorf("to look first has made changes: %v", got)
			}
			if i == 0 {
				c.do(http.MethodDelete, "/api/v1/namespaces/nitrox", "", "")
				until(t, "the namespace to be gone", time.Minute, func() bool {
					code, _, err := c.try(http.MethodGet, "/api/v1/namespaces/nitrox", "", nil)
					return err == nil && code == http.StatusNotFound
				})
			}
		})
	}
}

// release is a folder with what a release has for Kubernetes.
func release(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, line := range []string{
		"go run ./docs/release -version v1.2.3 -date 1790000000 -targets '' -out " + dir,
		`mkdir -p "$0/examples" && cp ` + binaries.nitrox + ` "$0" && cp -r examples/kubernetes "$0/examples"`,
		`tar -czf "$0.tar.gz" -C "$(dirname "$0")" "$(basename "$0")" && rm -r "$0"`,
	} {
		cmd := exec.Command("sh", "-euc", line, filepath.Join(dir, "nitrox_v1.2.3_linux_"+runtime.GOARCH))
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

// typed is what a document types between a heading and the end of its section.
func typed(t *testing.T, text, heading, end string) (script string) {
	t.Helper()
	_, text, _ = strings.Cut(text, "\n"+heading+"\n")
	text, _, _ = strings.Cut(text, end)
	for _, m := range regexp.MustCompile("(?s)(<!-- yours -->\n)?```sh\n(.*?)```\n").FindAllStringSubmatch(text, -1) {
		if m[1] == "" {
			script += m[2]
		}
	}
	if script == "" {
		t.Fatalf("docs/install.md types nothing under %s", heading)
	}
	return script
}

// kubelet runs the pods in the namespace nitrox until the end of the test, each as a process
// that sees the binary and what is mounted into it, and nothing else. It tells their logs.
type kubelet struct {
	*cluster
	host, port string // of the API server
	mu         sync.Mutex
	logs       map[string][]byte // by pod
}

func newKubelet(c *cluster) {
	c.t.Helper()
	api, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	k := &kubelet{cluster: c, host: api.Hostname(), port: api.Port(), logs: map[string][]byte{}}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		// /containerLogs/NAMESPACE/POD/CONTAINER
		log, known := k.logs[strings.Split(r.URL.Path+"///", "/")[3]]
		if !known {
			http.NotFound(w, r)
		}
		w.Write(log)
	}))
	c.t.Cleanup(server.Close)
	c.node("here", "127.0.0.1")
	c.do(http.MethodPatch, "/api/v1/nodes/here/status", merge, fmt.Sprintf(`{"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":%d}}}}`,
		netip.MustParseAddrPort(server.Listener.Addr().String()).Port()))
	over := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
			}
			if err := k.look(); err != nil {
				c.t.Errorf("kubelet: %v", err)
				return
			}
		}
	})
	c.t.Cleanup(func() { close(over); running.Wait() })
}

// task is what a pod says of its only container.
type task struct {
	Metadata struct{ Name, DeletionTimestamp string }
	Spec     struct {
		NodeName, ServiceAccountName string
		SecurityContext              struct{ RunAsUser, RunAsGroup, FSGroup uint32 }
		Containers                   []struct {
			Name         string
			Command      []string
			VolumeMounts []struct{ Name, MountPath string }
		}
		Volumes []struct {
			Name string
			projection
			Projected struct {
				DefaultMode os.FileMode
				Sources     []projection
			}
		}
	}
}

// projection is what a volume, or a part of one, is made of.
type projection struct {
	ConfigMap struct{ Name string }
	Secret    struct {
		SecretName  string
		DefaultMode os.FileMode
	}
	ServiceAccountToken struct{ Path string }
}

// look runs the pods that nobody has run yet, and lets go of those that are to go.
func (k *kubelet) look() error {
	var pods struct{ Items []task }
	if err := k.get("/api/v1/namespaces/nitrox/pods", &pods); err != nil {
		return err
	}
	for _, p := range pods.Items {
		path := "/api/v1/namespaces/nitrox/pods/" + p.Metadata.Name
		var err error
		switch {
		case p.Spec.NodeName == "":
			err = k.run(p, path)
		case p.Metadata.DeletionTimestamp != "":
			err = k.send(http.MethodDelete, path, plain, `{"gracePeriodSeconds":0}`)
		}
		if err != nil && !k.ending() {
			return fmt.Errorf("pod %s: %w", p.Metadata.Name, err)
		}
	}
	return nil
}

// ending: the namespace is deleted, and with it what a pod of the CronJob needs that was
// made at that moment.
func (k *kubelet) ending() bool {
	var namespace struct {
		Metadata struct{ DeletionTimestamp string }
	}
	code, answer, err := k.try(http.MethodGet, "/api/v1/namespaces/nitrox", "", nil)
	return err == nil && (code == http.StatusNotFound || json.Unmarshal(answer, &namespace) == nil && namespace.Metadata.DeletionTimestamp != "")
}

// run runs a pod to its end.
func (k *kubelet) run(p task, path string) error {
	binding := fmt.Sprintf(`{"apiVersion":"v1","kind":"Binding","metadata":{"name":%q},"target":{"kind":"Node","name":"here"}}`,
		p.Metadata.Name)
	if err := k.send(http.MethodPost, path+"/binding", plain, binding); err != nil {
		return err
	}
	root, err := k.root(p)
	if err != nil {
		return err
	}
	line, as := p.Spec.Containers[0].Command, p.Spec.SecurityContext
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"KUBERNETES_SERVICE_HOST=" + k.host, "KUBERNETES_SERVICE_PORT=" + k.port}
	user := syscall.Credential{Uid: as.RunAsUser, Gid: as.RunAsGroup, Groups: []uint32{as.FSGroup}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &user}
	out, err := cmd.CombinedOutput()
	phase := "Succeeded"
	if err != nil {
		phase, out = "Failed", append(out, err.Error()...)
	}
	k.mu.Lock()
	k.logs[p.Metadata.Name] = out
	k.mu.Unlock()
	return k.send(http.MethodPatch, path+"/status", merge, fmt.Sprintf(`{"status":{"phase":%q}}`, phase))
}

// root is the file system of a pod's container.
func (k *kubelet) root(p task) (dir string, err error) {
	dir = filepath.Join(k.dir, p.Metadata.Name)
	binary, err := os.ReadFile(binaries.nitrox)
	if err := errors.Join(err, os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "nitrox"), binary, 0o755)); err != nil {
		return "", err
	}
	for _, v := range p.Spec.Volumes {
		files := map[string][]byte{}
		mode := max(v.Secret.DefaultMode, v.Projected.DefaultMode)
		if mode == 0 {
			mode = 0o644
		}
		for _, from := range append(v.Projected.Sources, v.projection) {
			if err := k.fill(files, from, p.Spec.ServiceAccountName); err != nil {
				return "", err
			}
		}
		for _, mount := range p.Spec.Containers[0].VolumeMounts {
			if mount.Name != v.Name {
				continue
			}
			at := filepath.Join(dir, mount.MountPath)
			if err := os.MkdirAll(at, 0o755); err != nil {
				return "", err
			}
			for name, content := range files {
				file := filepath.Join(at, name)
				if err := errors.Join(os.WriteFile(file, content, mode), os.Chown(file, 0, int(p.Spec.SecurityContext.FSGroup))); err != nil {
					return "", err
				}
			}
		}
	}
	return dir, nil
}

// fill reads what a projection gives.
func (k *kubelet) fill(files map[string][]byte, from projection, account string) error {
	const here = "/api/v1/namespaces/nitrox/"
	var config struct{ Data map[string]string }
	var secret struct{ Data map[string][]byte }
	var err error
	switch {
	case from.ConfigMap.Name != "":
		err = k.get(here+"configmaps/"+from.ConfigMap.Name, &config)
	case from.Secret.SecretName != "":
		err = k.get(here+"secrets/"+from.Secret.SecretName, &secret)
	case from.ServiceAccountToken.Path != "":
		var token string
		token, err = k.tokenOf("nitrox", account)
		files[from.ServiceAccountToken.Path] = []byte(token)
	}
	for name, text := range config.Data {
		files[name] = []byte(text)
	}
	for name, text := range secret.Data {
		files[name] = text
	}
	return err
}

func (k *kubelet) get(path string, into any) error {
	code, answer, err := k.try(http.MethodGet, path, "", nil)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, code, answer)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

func (k *kubelet) send(method, path, contentType, body string) error {
	code, answer, err := k.try(method, path, contentType, []byte(body))
	if err == nil && code >= 300 && code != http.StatusNotFound { // it was removed meanwhile
		err = fmt.Errorf("%s: %d %s", path, code, answer)
	}
	return err
}
