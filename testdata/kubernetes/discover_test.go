//go:build e2e && linux

package kubernetes

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// optingIn is a Nitrox whose apps all opt in, with an account that may list services
// and slices in shop and bank only.
func optingIn(c *cluster, entry string) *nitrox {
	c.t.Helper()
	for _, namespace := range []string{"shop", "bank"} {
		c.apply(fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s}}`, namespace))
	}
	c.apply(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: nitrox, namespace: shop}}`)
	c.apply(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: nitrox-nodes}, rules: [{apiGroups: [""], resources: [nodes], verbs: [list, watch]}]}`)
	c.apply(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: nitrox}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nitrox-nodes},
subjects: [{kind: ServiceAccount, name: nitrox, namespace: shop}]}`)
	c.allow("shop")
	c.allow("bank")
	n := newNitrox(c.t, map[string]string{"prod": c.kubeconfig(c.door, c.token("shop", "nitrox"))}, nil)
	n.write("nitrox.yaml", strings.Replace(read(c.t, n.mapping), "apps:\n", "discover:\n  - "+entry+"\n", 1))
	return n
}

// allow lets Nitrox list and watch what it needs in a namespace.
func (c *cluster) allow(namespace string) {
	c.t.Helper()
	c.apply(fmt.Sprintf(`
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: nitrox, namespace: %[1]s}, rules: [
  {apiGroups: [""], resources: [services], verbs: [list, watch]}, {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: nitrox, namespace: %[1]s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: nitrox},
subjects: [{kind: ServiceAccount, name: nitrox, namespace: shop}]}`, namespace))
}

// says writes labels and annotations on a service; null takes one off.
func (c *cluster) says(service, labels, annotations string) {
	c.t.Helper()
	namespace, name, _ := strings.Cut(service, "/")
	c.do(http.MethodPatch, "/api/v1/namespaces/"+namespace+"/services/"+name, merge,
		fmt.Sprintf(`{"metadata":{"labels":{%s},"annotations":{%s}}}`, labels, annotations))
}

// TestOptingIn follows services of two tenants that opt in and out, of which one is
// after what is the other's.
func TestOptingIn(t *testing.T) {
	c := threeNodes(t)
	n := optingIn(c, "{source: prod, select: nitrox=on, namespaces: [shop, bank], allow_groups: {shop: [sg-shop-*], bank: [sg-bank-*]}}")
	for i, app := range []string{"shop/account", "shop/cart", "bank/pay"} {
		namespace, name, _ := strings.Cut(app, "/")
		c.service(namespace, name, 31080+i, "")
		c.deployment(namespace, name, 1, "web:1")
		c.reach(namespace, name, 1, "web:1", "n1")
	}
	const account, pay = "shop-account-http", "sg-bank-pay"
	for _, group := range []string{account, pay, "sg-shop-both", "bank-pay-http", "shop-cart-http"} {
		n.sim.AddGroup(group)
	}
	holds := func(group string, want map[netip.AddrPort]int, output string, texts ...string) {
		t.Helper()
		n.holds(group, want, output)
		for _, text := range texts {
			if !strings.Contains(output, text) {
				t.Fatalf("the report does not say %q:\n%s", text, output)
			}
		}
	}
	step := func(name string, do func()) {
		t.Helper()
		t.Log(name)
		do()
	}
	nobody, first := addrs(), addrs("192.0.2.1:31080")
	step("nobody opted in", func() { holds(account, nobody, n.sync(0)) })
	step("a label on", func() {
		c.says("shop/account", `"nitrox":"on"`, "")
		n.inStep(account, c.truth("shop", "account", 31080))
	})
	step("scaled", func() {
		c.deployment("shop", "account", 3, "web:1")
		c.reach("shop", "account", 3, "web:1", "n1", "n2", "n3")
		n.inStep(account, c.truth("shop", "account", 31080))
		if got := n.members(account); len(got) < 2 {
			t.Fatalf("members %v", got)
		}
		c.deployment("shop", "account", 1, "web:1")
		until(t, "one pod", time.Minute, func() bool { c.play("shop", "n1"); return len(c.truth("shop", "account", 31080)) == 1 })
		c.inSlices("shop", "account")
		first = c.truth("shop", "account", 31080)
		n.inStep(account, first)
	})
	step("another team's group", func() {
		c.says("bank/pay", `"nitrox":"on","nitrox.io/service-group":"`+account+`"`, "")
		holds(account, first, n.sync(1), "service bank/pay: nitrox.io/service-group: "+account+" is not allowed in namespace bank")
		if got := n.members("bank-pay-http"); len(got) > 0 {
			t.Errorf("it fell back to the default name: %v", got)
		}
	})
	step("a group of its own, and a loosened guard", func() {
		c.says("bank/pay", `"nitrox.io/service-group":"`+pay+`"`, "")
		n.inStep(pay, addrs("192.0.2.1:31082"))
		c.says("bank/pay", "", `"nitrox.io/allow-empty":"true"`)
		c.deployment("bank", "pay", 0, "web:1")
		until(t, "no pods", time.Minute, func() bool { c.play("bank", "n1"); return len(c.pods("bank")) == 0 })
		c.inSlices("bank", "pay")
		holds(pay, addrs("192.0.2.1:31082"), n.sync(1), "service bank/pay: nitrox.io/allow-empty: ")
		c.says("bank/pay", "", `"nitrox.io/allow-empty":null`)
		c.deployment("bank", "pay", 1, "web:1")
		c.reach("bank", "pay", 1, "web:1", "n1")
		n.inStep(pay, c.truth("bank", "pay", 31082))
	})
	step("two that claim one group", func() {
		c.says("shop/account", `"nitrox.io/service-group":"sg-shop-both"`, "")
		c.says("shop/cart", `"nitrox":"on","nitrox.io/service-group":"sg-shop-both"`, "")
		holds("sg-shop-both", nobody, n.sync(1), "service shop/account of source prod and service shop/cart of source prod claim service group sg-shop-both")
		n.holds(account, first, "")
		c.says("shop/account", `"nitrox.io/service-group":null`, "")
		c.says("shop/cart", `"nitrox":null,"nitrox.io/service-group":null`, "")
		n.inStep(account, first)
	})
	step("a namespace that must not be listed", func() {
		c.do(http.MethodDelete, "/apis/rbac.authorization.k8s.io/v1/namespaces/bank/rolebindings/nitrox", "", "")
		c.says("shop/account", `"nitrox":null`, "") // which must not pass for more than it is
		until(t, "the right is gone", time.Minute, func() bool {
			code, output := n.run("sync")
			n.holds(account, first, output)
			return code == 1 && strings.Contains(output, "403 Forbidden") && strings.Contains(output, "take namespace bank out of namespaces")
		})
		c.says("shop/account", `"nitrox":"on"`, "")
		c.allow("bank")
		until(t, "the right is back", time.Minute, func() bool { code, _ := n.run("sync"); return code == 0 })
		n.inStep(account, first)
	})
	step("a label off, and a service deleted", func() {
		c.says("shop/account", `"nitrox":null`, "")
		c.do(http.MethodDelete, "/api/v1/namespaces/bank/services/pay", "", "")
		for range 2 { // it is told in each pass
			code, output := n.run("sync")
			holds(account, first, output, account+": no app claims it any more: 1 member stays", pay+": no app claims it any more: 1 member stays")
			if code != 0 {
				t.Errorf("exit %d\n%s", code, output)
			}
		}
		c.says("shop/account", `"nitrox":"on"`, "")
		n.inStep(account, first)
	})
	step("a label is an event, and so is what follows", func() {
		out := n.loop()
		until(t, "the first pass", time.Minute, func() bool { return strings.Contains(out.String(), "pass ended") })
		c.says("shop/cart", `"nitrox":"on"`, "")
		follows := func(what string) {
			t.Helper()
			until(t, what, time.Minute, func() bool {
				want := c.truth("shop", "cart", 31081)
				return slices.Equal(sorted(n.members("shop-cart-http")), sorted(want))
			})
		}
		follows("the label is followed")
		c.deployment("shop", "cart", 2, "web:1")
		c.reach("shop", "cart", 2, "web:1", "n2", "n3")
		follows("its scaling is followed")
	})
}

// TestAThousandServicesOptIn: one request finds them all.
func TestAThousandServicesOptIn(t *testing.T) {
	const services = 1000
	c := newCluster(t, "--controllers=namespace-controller")
	c.node("n1", "192.0.2.1")
	n := optingIn(c, "{source: prod, select: nitrox=on, namespaces: [shop, bank], create: {service_type: HTTP}}")
	c.many(services, func(i int) error {
		return errors.Join(
			c.post("/api/v1/namespaces/shop/services", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web-%d","labels":{"nitrox":"on"}},"spec":{"type":"NodePort",
"ports":[{"name":"http","port":80,"targetPort":8080,"nodePort":%d}]}}`, i, 30000+i),
			c.post("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices", `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"web-%d",
"labels":{"kubernetes.io/service-name":"web-%d"}},"addressType":"IPv4","ports":[{"name":"http","port":8080,"protocol":"TCP"}],
"endpoints":[{"addresses":["10.64.%d.%d"],"conditions":{"ready":true},"nodeName":"n1"}]}`, i, i, i/250, i%250+1))
	})
	var asked, all atomic.Int64
	count := func(r *http.Request) {
		all.Add(1)
		if strings.Contains(r.URL.Query().Get("labelSelector"), "nitrox") {
			asked.Add(1)
		}
	}
	c.before.Store(&count)
	for pass := range 2 {
		asked.Store(0)
		all.Store(0)
		began := time.Now()
		output := n.sync(0)
		t.Logf("pass %d: %d requests, of which %d to find the apps, %v", pass+1, all.Load(), asked.Load(), time.Since(began).Round(time.Millisecond))
		for i := range services {
			n.holds(fmt.Sprintf("shop-web-%d-http", i), addrs(fmt.Sprintf("192.0.2.1:%d", 30000+i)), output[:min(len(output), 2000)])
		}
	}
	if asked.Load() != 3 {
		t.Errorf("%d requests to find the apps, want 3: cluster-wide, which is forbidden, and one for each namespace", asked.Load())
	}
	c.apply(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: nitrox-nodes}, rules: [
{apiGroups: [""], resources: [nodes, services], verbs: [list]}, {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list]}]}`)
	until(t, "one request finds all", time.Minute, func() bool {
		asked.Store(0)
		code, output := n.run("plan", "--exit-code")
		if code != 0 {
			t.Fatalf("exit %d\n%.2000s", code, output)
		}
		return asked.Load() == 1
	})
}
