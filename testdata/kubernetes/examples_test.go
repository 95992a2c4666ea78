//go:build e2e && linux

package kubernetes

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

const examples = "examples/kubernetes" // seen from the top

// kustomization returns what kubectl apply -k would apply.
func kustomization(t *testing.T, dir string) string {
	t.Helper()
	build := exec.Command(binaries.kubectl, "kustomize", dir)
	build.Dir = "../.."
	text, err := build.Output()
	if err != nil {
		t.Fatalf("kubectl kustomize %s: %v", dir, err)
	}
	return string(text)
}

// TestExamples applies the examples, and runs Nitrox as their pods would: with
// the token of their service account, their mapping, and no other configuration.
// Their rights suffice, and none is too many.
func TestExamples(t *testing.T) {
	c := newCluster(t, standard+",cronjob-controller,job-controller,serviceaccount-controller,root-ca-certificate-publisher-controller")
	c.node("n1", "192.0.2.1")
	c.node("n2", "192.0.2.2")
	c.service("shop", "account", 31080, "")
	c.deployment("shop", "account", 2, "web:1")
	c.reach("shop", "account", 2, "web:1", "n1", "n2")

	c.apply(kustomization(t, filepath.Join(examples, "loop")))
	c.apply(kustomization(t, filepath.Join(examples, "cronjob")))
	// The namespace enforces the restricted pod security standard: that pods
	// are made says that they meet it.
	loop := func(p pod) bool { return strings.HasPrefix(p.Metadata.Name, "nitrox-") }
	until(t, "the pod of the Deployment", 30*time.Second, func() bool {
		for _, p := range c.pods("nitrox") {
			if loop(p) {
				return true
			}
		}
		return false
	})
	c.pass(read(t, filepath.Join("../..", examples, "cronjob", "cronjob.yaml")))

	n := inCluster(c)
	truth := c.truth("shop", "account", 31080)
	if len(truth) != 2 {
		t.Fatalf("the test needs two nodes with pods, not %v", truth)
	}
	n.inStep("sg-account", truth)
	if code, told := n.run("doctor"); code != 0 || !strings.Contains(told, "rights: the account may list all that is needed") {
		t.Errorf("doctor: exit code %d\n%s", code, told)
	}

	n.needsEach(c, truth, "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/nitrox", kustomization(t, filepath.Join(examples, "base")), map[string]string{
		"services":       `list services in namespace shop: 403 Forbidden: services "account" is forbidden: User "system:serviceaccount:nitrox:nitrox" cannot list resource "services"`,
		"endpointslices": `list endpointslices.discovery.k8s.io in namespace shop: 403 Forbidden: endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:nitrox:nitrox" cannot list resource "endpointslices"`,
	})
	n.needsEach(c, truth, "/apis/rbac.authorization.k8s.io/v1/clusterroles/nitrox", kustomization(t, filepath.Join(examples, "base")), map[string]string{
		"nodes": `list nodes: 403 Forbidden: nodes is forbidden: User "system:serviceaccount:nitrox:nitrox" cannot list resource "nodes"`,
	})

	// Rights to list pods instead of nodes are enough, too.
	c.do(http.MethodPatch, "/apis/rbac.authorization.k8s.io/v1/clusterroles/nitrox", merge, `{"rules":[]}`)
	c.apply(`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: nitrox, namespace: shop}, rules: [
{apiGroups: [""], resources: [services, pods], verbs: [list]}, {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list]}]}`)
	for _, p := range c.pods("shop") { // as kubelets would have set it
		host := map[string]string{"n1": "192.0.2.1", "n2": "192.0.2.2"}[p.Spec.NodeName]
		c.do(http.MethodPatch, p.path()+"/status", merge, fmt.Sprintf(`{"status":{"hostIP":%q,"hostIPs":[{"ip":%q}]}}`, host, host))
	}
	until(t, "the right to list pods", 10*time.Second, func() bool {
		code, _ := n.run("sync")
		return code == 0
	})
	n.inStep("sg-account", truth)
}

// needsEach takes away one rule of a role after the other: without it, nothing is removed
// and the right is named, also by doctor. Each must be among those that are told, by the
// resource. What was applied gives it back.
func (n *nitrox) needsEach(c *cluster, truth map[netip.AddrPort]int, path, applied string, told map[string]string) {
	n.t.Helper()
	var role struct {
		Rules []struct {
			APIGroups []string `json:"apiGroups" yaml:"apiGroups"`
			Resources []string
			Verbs     []string
		}
	}
	if err := yaml.Unmarshal(c.do(http.MethodGet, path, "", ""), &role); err != nil || len(role.Rules) != len(told) {
		n.t.Fatalf("%s: %v, %d rules instead of %d", path, err, len(role.Rules), len(told))
	}
	for i, without := range role.Rules {
		right := without.Resources[0]
		names, ok := told[right]
		if len(without.Resources) != 1 || len(without.Verbs) != 1 || !ok {
			n.t.Fatalf("%s: the test takes away a rule at a time, and does not know %v", path, without)
		}
		var rest []string
		for j, r := range role.Rules {
			if j != i {
				rest = append(rest, fmt.Sprintf(`{"apiGroups":[%q],"resources":[%q],"verbs":[%q]}`, r.APIGroups[0], r.Resources[0], r.Verbs[0]))
			}
		}
		c.do(http.MethodPatch, path, merge, fmt.Sprintf(`{"rules":[%s]}`, strings.Join(rest, ",")))
		// The authorizer hears of it a moment later.
		var output string
		until(n.t, "the right to list "+right+" to be missed", 10*time.Second, func() bool {
			var code int
			code, output = n.run("sync")
			return code == 1
		})
		if !strings.Contains(output, names) {
			n.t.Errorf("without the right to list %s it is not said %q:\n%s", right, names, output)
		}
		n.holds("sg-account", truth, output)
		if code, output := n.run("doctor"); !strings.Contains(output, "the account may not list "+right) || code != 1 {
			n.t.Errorf("doctor without the right to list %s: exit code %d\n%s", right, code, output)
		}
		c.apply(applied)
		until(n.t, "the right to list "+right, 10*time.Second, func() bool {
			code, _ := n.run("sync")
			return code == 0
		})
	}
}

// pass makes the pod of a CronJob's next pass, which the API server refuses if
// it is not as restricted as its namespace asks for.
func (c *cluster) pass(cronJob string) {
	c.t.Helper()
	var job struct {
		Spec struct {
			ConcurrencyPolicy string `yaml:"concurrencyPolicy"`
			JobTemplate       struct {
				Spec struct {
					Template map[string]any
				}
			} `yaml:"jobTemplate"`
		}
	}
	if err := yaml.Unmarshal([]byte(cronJob), &job); err != nil || job.Spec.ConcurrencyPolicy != "Forbid" {
		c.t.Fatalf("%v, concurrencyPolicy %q", err, job.Spec.ConcurrencyPolicy)
	}
	p := job.Spec.JobTemplate.Spec.Template
	p["apiVersion"], p["kind"] = "v1", "Pod"
	p["metadata"] = map[string]any{"name": "pass", "namespace": "nitrox"}
	text, err := yaml.Marshal(p)
	if err != nil {
		c.t.Fatal(err)
	}
	c.apply(string(text))
}

// inCluster is the Nitrox of the example's pods: its mapping is that of the
// ConfigMap in the API, but for the address of the NetScaler, and it knows the
// cluster by what a pod is given: two variables, a token and a certificate. For
// these files it gets a file system of its own at /run.
func inCluster(c *cluster) *nitrox {
	c.t.Helper()
	n := newNitrox(c.t, nil, map[string]string{"sg-account": ""})
	var config struct{ Data map[string]string }
	if err := yaml.Unmarshal(c.do(http.MethodGet, "/api/v1/namespaces/nitrox/configmaps/nitrox", "", ""), &config); err != nil {
		c.t.Fatal(err)
	}
	mapping := config.Data["nitrox.yaml"]
	for old, own := range map[string]string{
		"https://192.0.2.10":             n.url,
		"../netscaler/password":          filepath.Join(n.dir, "password"),
		"ca_file: ../netscaler/ca.pem\n": "\n",
		"drain: 30s\n":                   "drain: 0s\n    wait_up: 0s\n",
	} {
		if !strings.Contains(mapping, old) {
			c.t.Fatalf("the example's mapping has no %q:\n%s", old, mapping)
		}
		mapping = strings.Replace(mapping, old, own, 1)
	}
	n.write("nitrox.yaml", mapping)
	n.write("token", c.token("nitrox", "nitrox"))
	door, err := url.Parse(c.door)
	if err != nil {
		c.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(door.Host)
	if err != nil {
		c.t.Fatal(err)
	}
	n.env = []string{"KUBERNETES_SERVICE_HOST=" + host, "KUBERNETES_SERVICE_PORT=" + port}
	const script = `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
cp "$0" /run/secrets/kubernetes.io/serviceaccount/token
cp "$1" /run/secrets/kubernetes.io/serviceaccount/ca.crt
shift
exec "$@"`
	n.command = []string{"unshare", "--mount", "sh", "-c", script, filepath.Join(n.dir, "token"), c.cert}
	return n
}
