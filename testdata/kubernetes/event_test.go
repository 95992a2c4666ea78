//go:build e2e && linux

package kubernetes

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestEvents: without the right to create Events a pass is as it should be, and the
// log has a warning; with the Role of the example, the service has them.
func TestEvents(t *testing.T) {
	c := threeNodes(t)
	c.service("shop", "account", 31080, "")
	c.deployment("shop", "account", 1, "web:1")
	c.reach("shop", "account", 1, "web:1", "n1")
	c.apply(`
{apiVersion: v1, kind: Namespace, metadata: {name: nitrox}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: nitrox, namespace: nitrox}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: nitrox}, rules: [
  {apiGroups: [""], resources: [services, nodes], verbs: [list]}, {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: nitrox},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nitrox}, subjects: [{kind: ServiceAccount, name: nitrox, namespace: nitrox}]}
`)
	n := newNitrox(t, map[string]string{"prod": c.kubeconfig(c.door, c.token("nitrox", "nitrox"))}, map[string]string{"account": "from: [{source: prod, service: shop/account}]"})
	n.write("nitrox.yaml", strings.Replace(read(t, n.mapping), "prod.kubeconfig}", "prod.kubeconfig, events: true}", 1))
	// As kubectl describe finds them.
	var service struct{ Metadata struct{ UID string } }
	if err := json.Unmarshal(c.do("GET", "/api/v1/namespaces/shop/services/account", "", ""), &service); err != nil {
		t.Fatal(err)
	}
	told := func() (all []string) {
		for _, e := range list[struct {
			Reason, Type, Message, ReportingComponent string
			Series                                    struct{ Count int }
		}](c, "/api/v1/namespaces/shop/events?fieldSelector=involvedObject.kind=Service,involvedObject.name=account,involvedObject.uid="+service.Metadata.UID) {
			all = append(all, fmt.Sprintf("%s %s %s %s %d", e.ReportingComponent, e.Type, e.Reason, e.Message, e.Series.Count))
		}
		return all
	}

	output := n.sync(0)
	n.holds("account", addrs("192.0.2.1:31080"), output)
	if strings.Count(output, "could not be told") != 1 || !strings.Contains(output, "events.yaml") || len(told()) > 0 {
		t.Errorf("without the right there are %q, and this was printed:\n%s", told(), output)
	}
	c.apply(read(t, filepath.Join("../..", examples, "base", "events.yaml")))
	c.deployment("shop", "account", 2, "web:1")
	c.reach("shop", "account", 2, "web:1", "n2")
	if code, output := n.run("plan"); code != 0 || strings.Contains(output, "could not be told") || len(told()) > 0 {
		t.Errorf("a plan, exit %d, told %q:\n%s", code, told(), output)
	}
	output = n.sync(0)
	want := "nitrox Normal MembersChanged account: account on edge: 1 bound (192.0.2.2:31080) 0"
	if got := told(); len(got) != 1 || got[0] != want {
		t.Fatalf("told %q, want %q\n%s", got, want, output)
	}
	c.deployment("shop", "account", 0, "web:1")
	c.reach("shop", "account", 0, "web:1")
	for range 2 {
		n.sync(3)
	}
	want = "nitrox Warning RemovalsHeld account: account on edge: held: 2 to unbind (192.0.2.1:31080, 192.0.2.2:31080): would remove all 2 serving members; if the app is meant to have none, set allow_empty: true or --force it once 0"
	if got := told(); len(got) != 3 || got[2] != want && got[1] != want && got[0] != want {
		t.Errorf("told %q, want twice %q", got, want)
	}
}
