//go:build e2e && linux

package kubernetes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestChart applies what Helm renders of the chart in each mode, as an upgrade from one to
// the next, and runs Nitrox as its pods would. The rights that follow from the mapping
// suffice, and none is too many. ../helm sees to it that this is what Helm renders, and
// that it says the same as the examples.
func TestChart(t *testing.T) {
	c := newCluster(t, standard+",cronjob-controller,job-controller,serviceaccount-controller,root-ca-certificate-publisher-controller")
	c.node("n1", "192.0.2.1")
	c.node("n2", "192.0.2.2")
	c.service("shop", "account", 31080, "")
	c.deployment("shop", "account", 2, "web:1")
	c.reach("shop", "account", 2, "web:1", "n1", "n2")
	truth := c.truth("shop", "account", 31080)

	golden := func(mode string) string { return read(t, "../helm/golden/"+mode+".yaml") }
	// helm install --create-namespace, but with the strictest pod security standard.
	c.apply(read(t, "../../examples/kubernetes/base/namespace.yaml"))
	for pods, mode := range []string{1: "loop", 2: "replicas"} {
		if mode == "" {
			continue
		}
		c.apply(golden(mode))
		var deployment struct {
			Status struct{ Replicas, UpdatedReplicas int }
		}
		until(t, fmt.Sprintf("%d pods in mode %s", pods, mode), 30*time.Second, func() bool {
			if err := json.Unmarshal(c.do(http.MethodGet, "/apis/apps/v1/namespaces/nitrox/deployments/nitrox", "", ""), &deployment); err != nil {
				t.Fatal(err)
			}
			// Nobody makes the first one ready, so of two the other one stays old.
			return deployment.Status.Replicas == pods && deployment.Status.UpdatedReplicas > 0
		})
	}
	c.apply(golden("cronjob"))
	for part := range strings.SplitSeq(golden("cronjob"), "\n---\n") {
		if strings.Contains(part, "kind: CronJob\n") {
			c.pass(part)
		}
	}

	n := inCluster(c)
	if code, told := n.run("plan"); code != 0 || !strings.Contains(told, "plan: 2 to bind") || len(n.members("sg-account")) > 0 {
		t.Errorf("a dry run: exit code %d, %v\n%s", code, n.members("sg-account"), told)
	}
	n.inStep("sg-account", truth)
	if code, told := n.run("doctor"); code != 0 || !strings.Contains(told, "rights: the account may list all that is needed") {
		t.Errorf("doctor: exit code %d\n%s", code, told)
	}
	const forbidden = `User "system:serviceaccount:nitrox:nitrox" cannot list resource `
	n.needsEach(c, truth, "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/nitrox:nitrox", golden("loop"),
		map[string]string{"services": forbidden + `"services"`, "endpointslices": forbidden + `"endpointslices"`})
	n.needsEach(c, truth, "/apis/rbac.authorization.k8s.io/v1/clusterroles/nitrox:nitrox", golden("loop"),
		map[string]string{"nodes": forbidden + `"nodes"`})

	// The lease: nothing leads until each verb is allowed.
	var r *replica
	for _, step := range []struct{ verbs, without, lacks string }{
		{"verbs: [create]", "verbs: [list]", `cannot create resource \"leases\"`},
		{"verbs: [get, update]", "verbs: [update]", `cannot get resource \"leases\"`},
		{"verbs: [get, update]", "verbs: [get]", `cannot update resource \"leases\"`},
	} {
		if !strings.Contains(golden("replicas"), step.verbs) {
			t.Fatalf("the chart has no %s", step.verbs)
		}
		c.apply(strings.Replace(golden("replicas"), step.verbs, step.without, 1))
		if r == nil {
			r = (&writes{}).begin(n, "a") // the command is also the chart's
		}
		until(t, "the replica to say "+step.lacks, time.Minute, func() bool { return strings.Contains(read(t, r.file), step.lacks) })
	}
	c.deployment("shop", "account", 1, "web:1")
	c.reach("shop", "account", 1, "web:1", "n1", "n2")
	truth = c.truth("shop", "account", 31080)
	c.apply(golden("replicas"))
	until(t, "the replica to lead", time.Minute, func() bool { return len(n.members("sg-account")) == len(truth) })
}
