//go:build e2e && linux

package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

const (
	merge = "application/merge-patch+json"
	plain = "application/json"
)

// places are the paths at which objects of a kind are.
var places = map[string]string{
	"Namespace": "/api/v1/namespaces", "Node": "/api/v1/nodes", "Service": "/api/v1/%s/services", "Pod": "/api/v1/%s/pods",
	"ConfigMap": "/api/v1/%s/configmaps", "ServiceAccount": "/api/v1/%s/serviceaccounts", "EndpointSlice": "/apis/discovery.k8s.io/v1/%s/endpointslices",
	"Deployment": "/apis/apps/v1/%s/deployments", "StatefulSet": "/apis/apps/v1/%s/statefulsets", "CronJob": "/apis/batch/v1/%s/cronjobs",
	"NetworkPolicy": "/apis/networking.k8s.io/v1/%s/networkpolicies",
	"Role":          "/apis/rbac.authorization.k8s.io/v1/%s/roles", "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/%s/rolebindings",
	"ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles", "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}

// apply applies YAML documents as kubectl apply --server-side does. Unknown
// fields are errors.
func (c *cluster) apply(text string) {
	c.t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o map[string]any
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			c.t.Fatalf("%v in\n%s", err, text)
		}
		var head struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
		}
		body, err := json.Marshal(o)
		if err := errors.Join(err, json.Unmarshal(body, &head)); err != nil {
			c.t.Fatal(err)
		}
		place, ok := places[head.Kind]
		if !ok {
			c.t.Fatalf("the test does not know where a %q is", head.Kind)
		}
		if strings.Contains(place, "%s") {
			place = fmt.Sprintf(place, "namespaces/"+head.Metadata.Namespace)
		}
		c.do(http.MethodPatch, place+"/"+head.Metadata.Name+"?fieldManager=e2e&force=true&fieldValidation=Strict", "application/apply-patch+yaml", string(body))
	}
}

// node makes or changes a node that is ready, with InternalIP addresses.
func (c *cluster) node(name string, addresses ...string) {
	c.t.Helper()
	c.apply(fmt.Sprintf("{apiVersion: v1, kind: Node, metadata: {name: %s}}", name))
	var list []string
	for _, a := range addresses {
		list = append(list, fmt.Sprintf(`{"type":"InternalIP","address":%q}`, a))
	}
	c.do(http.MethodPatch, "/api/v1/nodes/"+name+"/status", merge, fmt.Sprintf(`{"status":{"addresses":[%s],"conditions":[%s]}}`, strings.Join(list, ","), ready("Ready")))
}

func ready(condition string) string {
	return fmt.Sprintf(`{"type":%q,"status":"True","lastHeartbeatTime":%q,"lastTransitionTime":%q}`, condition, now(), now())
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }

// service makes a namespace and a NodePort service of the pods labelled app.
func (c *cluster) service(namespace, name string, nodePort int, more string) {
	c.t.Helper()
	c.apply(fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s}}`, namespace))
	c.apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {type: NodePort, selector: {app: %s},
ports: [{name: http, port: 80, targetPort: 8080, nodePort: %d}]%s}}`, name, namespace, name, nodePort, more))
}

// deployment makes or scales one, of pods labelled app.
func (c *cluster) deployment(namespace, name string, replicas int, image string) {
	c.t.Helper()
	c.apply(fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s, namespace: %s}, spec: {replicas: %d, selector: {matchLabels: {app: %s}},
strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 1}},
template: {metadata: {labels: {app: %s}}, spec: {containers: [{name: web, image: %q, ports: [{containerPort: 8080}]}]}}}}`, name, namespace, replicas, name, name, image))
}

type pod struct {
	Metadata struct {
		Name, Namespace   string
		Labels            map[string]string
		DeletionTimestamp *string
	}
	Spec struct {
		NodeName   string
		Containers []struct{ Image string }
	}
	Status struct {
		PodIP      string
		Conditions []struct{ Type, Status string }
	}
}

func (p pod) path() string {
	return "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name
}

func (p pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return p.Metadata.DeletionTimestamp == nil
		}
	}
	return false
}

func list[T any](c *cluster, path string) []T {
	c.t.Helper()
	var found struct{ Items []T }
	if err := json.Unmarshal(c.do(http.MethodGet, path, "", ""), &found); err != nil {
		c.t.Fatal(err)
	}
	return found.Items
}

func (c *cluster) pods(namespace string) []pod {
	return list[pod](c, "/api/v1/namespaces/"+namespace+"/pods")
}

// run gives a pod an address and makes it ready, or not ready.
func (c *cluster) run(p pod, ip string, isReady bool) {
	c.t.Helper()
	status := strings.Replace(ready("Ready"), "True", map[bool]string{true: "True", false: "False"}[isReady], 1)
	c.do(http.MethodPatch, p.path()+"/status", merge,
		fmt.Sprintf(`{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}],"conditions":[%s,%s]}}`, ip, ip, status, ready("PodScheduled")))
}

// play does what scheduler and kubelets would do next: it binds pods to nodes in
// turn, makes them ready, and lets go of those that terminate.
func (c *cluster) play(namespace string, nodes ...string) {
	c.t.Helper()
	for _, p := range c.pods(namespace) {
		switch {
		case p.Metadata.DeletionTimestamp != nil:
			// It may have gone since.
			code, answer, err := c.try(http.MethodDelete, p.path()+"?gracePeriodSeconds=0", "", nil)
			if err != nil || code >= 300 && code != 404 {
				c.t.Fatalf("delete %s: %d %v %s", p.path(), code, err, answer)
			}
		case p.Spec.NodeName == "":
			c.placed++
			c.do(http.MethodPost, p.path()+"/binding", plain, fmt.Sprintf(`{"apiVersion":"v1","kind":"Binding","metadata":{"name":%q},"target":{"kind":"Node","name":%q}}`,
				p.Metadata.Name, nodes[c.placed%len(nodes)]))
		case p.Status.PodIP == "":
			c.address = c.address.Next()
			c.run(p, c.address.String(), true)
		}
	}
}

// truth is what the service group of a NodePort service must hold: the nodes of
// its ready pods, by address, and how many there are. It is computed from pods
// and nodes, never from EndpointSlices.
func (c *cluster) truth(namespace, app string, nodePort uint16) map[netip.AddrPort]int {
	c.t.Helper()
	addresses := map[string]netip.Addr{}
	for _, n := range list[struct {
		Metadata struct{ Name string }
		Status   struct {
			Addresses []struct{ Type, Address string }
		}
	}](c, "/api/v1/nodes") {
		for _, a := range slices.Backward(n.Status.Addresses) {
			if a.Type == "InternalIP" {
				addresses[n.Metadata.Name] = netip.MustParseAddr(a.Address)
			}
		}
	}
	truth := map[netip.AddrPort]int{}
	for _, p := range c.pods(namespace) {
		if addr, ok := addresses[p.Spec.NodeName]; ok && p.Metadata.Labels["app"] == app && p.ready() {
			truth[netip.AddrPortFrom(addr, nodePort)]++
		}
	}
	return truth
}

// inSlices waits until the EndpointSlices of a service show its ready pods, and none that
// still serves and is gone.
func (c *cluster) inSlices(namespace, app string) {
	c.t.Helper()
	until(c.t, "the EndpointSlices of "+app, 30*time.Second, func() bool {
		pods, told := map[string]bool{}, map[string]bool{}
		there := map[string]bool{}
		for _, p := range c.pods(namespace) {
			there[p.Metadata.Name] = true
			if p.Metadata.Labels["app"] == app && p.ready() {
				pods[p.Metadata.Name] = true
			}
		}
		for _, s := range list[struct {
			Endpoints []struct {
				Conditions struct{ Ready, Serving bool }
				TargetRef  struct{ Name string }
			}
		}](c, "/apis/discovery.k8s.io/v1/namespaces/"+namespace+"/endpointslices?labelSelector=kubernetes.io/service-name="+app) {
			for _, e := range s.Endpoints {
				if e.Conditions.Serving && !there[e.TargetRef.Name] {
					return false
				}
				if e.Conditions.Ready {
					told[e.TargetRef.Name] = true
				}
			}
		}
		return len(pods) == len(told) && !slices.ContainsFunc(keys(pods), func(name string) bool { return !told[name] })
	})
}

func keys[K comparable, V any](m map[K]V) []K {
	var all []K
	for k := range m {
		all = append(all, k)
	}
	return all
}

// reach plays until a Deployment has so many pods, all ready and of one image,
// and the slices show them.
func (c *cluster) reach(namespace, app string, replicas int, image string, nodes ...string) {
	c.t.Helper()
	until(c.t, fmt.Sprintf("%d pods of %s", replicas, app), time.Minute, func() bool {
		c.play(namespace, nodes...)
		n := 0
		for _, p := range c.pods(namespace) {
			if p.Metadata.Labels["app"] != app {
				continue
			}
			if !p.ready() || p.Spec.Containers[0].Image != image {
				return false
			}
			n++
		}
		return n == replicas
	})
	c.inSlices(namespace, app)
}

// token asks for one of a service account.
func (c *cluster) token(namespace, account string) string {
	c.t.Helper()
	token, err := c.tokenOf(namespace, account)
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

func (c *cluster) tokenOf(namespace, account string) (string, error) {
	var request struct{ Status struct{ Token string } }
	code, answer, err := c.try(http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account+"/token", plain,
		[]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}}`))
	if err == nil {
		err = json.Unmarshal(answer, &request)
	}
	if err == nil && request.Status.Token == "" {
		err = fmt.Errorf("no token: %d %s", code, answer)
	}
	return request.Status.Token, err
}
