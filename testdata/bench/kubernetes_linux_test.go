package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// cluster is an API server: lists in pages, by label or by name, in protobuf or JSON,
// and watches. Objects are encoded once, so that it is quick; that it is right is the
// matter of the tests of sources/kubernetes, whose API server is strict.
type cluster struct {
	mu      sync.Mutex
	version int
	lists   map[string][]*object // by plural
	news    chan struct{}        // closed when there are some
	events  []event
	sent    map[string]int64 // bytes of lists, by plural
}

// object is one as it is stored.
type object struct {
	namespace, name string
	labels          labels.Set
	value           stored
	proto, json     []byte
}

type stored interface {
	metav1.Object
	Marshal() ([]byte, error)
}

type event struct {
	version int
	plural  string
	object  *object
	was     *object
	text    []byte
}

func newObject(v stored) *object {
	proto, err := v.Marshal()
	if err != nil {
		panic(err)
	}
	return &object{namespace: v.GetNamespace(), name: v.GetName(), labels: v.GetLabels(), value: v, proto: proto}
}

func (o *object) inJSON() []byte {
	if o.json == nil {
		var err error
		if o.json, err = json.Marshal(o.value); err != nil {
			panic(err)
		}
	}
	return o.json
}

func newCluster() *cluster {
	return &cluster{version: 1000, lists: map[string][]*object{}, news: make(chan struct{}), sent: map[string]int64{}}
}

func (c *cluster) add(plural string, v stored) {
	c.lists[plural] = append(c.lists[plural], newObject(v))
}

// replace puts an object in the place of the nth, and tells who watches.
func (c *cluster) replace(plural string, n int, v stored) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	v.SetResourceVersion(strconv.Itoa(c.version))
	o, was := newObject(v), c.lists[plural][n]
	c.lists[plural][n] = o
	c.events = append(c.events, event{c.version, plural, o, was, fmt.Appendf(nil, `{"type":"MODIFIED","object":%s}`+"\n", o.inJSON())})
	close(c.news)
	c.news = make(chan struct{})
}

var kinds = map[string][2]string{"services": {"v1", "Service"}, "nodes": {"v1", "Node"}, "endpointslices": {"discovery.k8s.io/v1", "EndpointSlice"}}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, core := strings.CutPrefix(r.URL.Path, "/api/v1/")
	if !core {
		path = strings.TrimPrefix(r.URL.Path, "/apis/discovery.k8s.io/v1/")
	}
	namespace := ""
	if rest, ok := strings.CutPrefix(path, "namespaces/"); ok {
		namespace, path, _ = strings.Cut(rest, "/")
	}
	parameters := r.URL.Query()
	label, err1 := labels.Parse(parameters.Get("labelSelector"))
	field, err2 := fields.ParseSelector(parameters.Get("fieldSelector"))
	if _, known := kinds[path]; !known || err1 != nil || err2 != nil {
		http.Error(w, fmt.Sprint(r.URL, err1, err2), http.StatusBadRequest)
		return
	}
	wants := func(o *object) bool {
		return (namespace == "" || o.namespace == namespace) && label.Matches(o.labels) && (field.Empty() || field.Matches(fields.Set{"metadata.name": o.name}))
	}
	if parameters.Has("watch") {
		c.watch(w, r, path, wants)
		return
	}
	c.list(w, r, path, wants, label.Empty() && field.Empty())
}

func (c *cluster) list(w http.ResponseWriter, r *http.Request, plural string, wants func(*object) bool, all bool) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		limit = 1 << 30
	}
	c.mu.Lock()
	version, start := strconv.Itoa(c.version), 0
	if token := r.URL.Query().Get("continue"); token != "" {
		fmt.Sscan(token, &version, &start)
	}
	var items []*object
	meta := metav1.ListMeta{ResourceVersion: version}
	for i, o := range c.lists[plural][start:] {
		if !wants(o) {
			continue
		}
		if len(items) == limit {
			meta.Continue = fmt.Sprint(version, " ", start+i)
			if all { // it is not known with selectors
				rest := int64(len(c.lists[plural]) - start - i)
				meta.RemainingItemCount = &rest
			}
			break
		}
		items = append(items, o)
	}
	binary := strings.Contains(r.Header.Get("Accept"), "application/vnd.kubernetes.protobuf")
	if !binary {
		for _, o := range items {
			o.inJSON()
		}
	}
	c.mu.Unlock()
	body := encoded(kinds[plural], meta, items, binary)
	c.mu.Lock()
	c.sent[plural] += int64(len(body))
	c.mu.Unlock()
	w.Header().Set("Content-Type", map[bool]string{true: "application/vnd.kubernetes.protobuf", false: "application/json"}[binary])
	w.Write(body)
}

// encoded is a list as an API server writes it.
func encoded(kind [2]string, meta metav1.ListMeta, items []*object, binary bool) []byte {
	if !binary {
		head, err := json.Marshal(meta)
		if err != nil {
			panic(err)
		}
		body := fmt.Appendf(nil, `{"kind":"%sList","apiVersion":%q,"metadata":%s,"items":[`, kind[1], kind[0], head)
		for i, o := range items {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(body, o.json...)
		}
		return append(body, "]}\n"...)
	}
	head, err := meta.Marshal()
	if err != nil {
		panic(err)
	}
	raw := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), head)
	for _, o := range items {
		raw = protowire.AppendBytes(protowire.AppendTag(raw, 2, protowire.BytesType), o.proto)
	}
	envelope := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: kind[0], Kind: kind[1] + "List"}, Raw: raw}
	message, err := envelope.Marshal()
	if err != nil {
		panic(err)
	}
	return append([]byte("k8s\x00"), message...)
}

func (c *cluster) watch(w http.ResponseWriter, r *http.Request, plural string, wants func(*object) bool) {
	from, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		http.Error(w, "from which version on?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	flush := http.NewResponseController(w)
	for next := 0; ; {
		c.mu.Lock()
		events, news := c.events[next:], c.news
		c.mu.Unlock()
		next += len(events)
		for _, e := range events {
			switch {
			case e.version <= from || e.plural != plural:
			case wants(e.object):
				w.Write(e.text)
			case wants(e.was):
				w.Write(bytes.Replace(e.text, []byte("MODIFIED"), []byte("DELETED"), 1))
			}
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-news:
		case <-r.Context().Done():
			return
		}
	}
}

// installation is a cluster of services with pods on nodes.
type installation struct {
	*cluster
	services, pods, nodes int        // pods of each service
	selects               labels.Set // what services have that opt in; nil: none do
}

// install makes a cluster in which so many services have pods; others have none.
func install(services, withPods, pods, nodes int) *installation {
	i := &installation{cluster: newCluster(), services: services, pods: pods, nodes: nodes}
	for n := range services {
		i.add("services", service(n))
		if n < withPods {
			i.add("endpointslices", i.slice(n, 0))
		}
	}
	for n := range nodes {
		i.add("nodes", node(n))
	}
	return i
}

// optIn gives a service the label with which it opts in, or takes that away.
func (i *installation) optIn(n int, on bool) {
	s := service(n)
	if on {
		maps.Copy(s.Labels, i.selects)
	}
	i.replace("services", n, s)
}

var managed = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1",
	Time:     &metav1.Time{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
	FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:ports":{},"f:selector":{},"f:type":{}}}`)}}

func service(n int) *corev1.Service {
	name := fmt.Sprint("app-", n)
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: "11bc8ec4-0d5c-4d5e-9a57-6a2b7c1f0e11", ResourceVersion: "900", Labels: map[string]string{"app": name}, ManagedFields: managed},
		Spec: corev1.ServiceSpec{Type: "NodePort", ClusterIP: "172.20.0.1", ClusterIPs: []string{"172.20.0.1"}, Selector: map[string]string{"app": name},
			IPFamilies: []corev1.IPFamily{"IPv4"},
			Ports:      []corev1.ServicePort{{Name: "http", Protocol: "TCP", Port: 80, TargetPort: intstr.FromInt32(8080), NodePort: int32(nodePort(n))}}},
	}
}

func podIP(n int) string { return fmt.Sprintf("10.%d.%d.%d", 64+n>>16, n>>8&255, n&255) }

func nodeIP(n int) string { return fmt.Sprintf("10.1.%d.%d", n>>8, n&255) }

func nodePort(n int) uint16 { return uint16(30000 + n%2768) }

// slice is that of a service, of whose pods the first have been replaced: each by one
// with another address on another node.
func (i *installation) slice(n, replaced int) *discoveryv1.EndpointSlice {
	name := fmt.Sprint("app-", n)
	yes, no, port, portName, protocol := true, false, int32(8080), "http", corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-x7k2p", Namespace: "shop", UID: "11bc8ec4-0d5c-4d5e-9a57-6a2b7c1f0e11", ResourceVersion: "900", ManagedFields: managed,
			Labels:          map[string]string{"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: name, UID: "11bc8ec4-0d5c-4d5e-9a57-6a2b7c1f0e11", Controller: &yes}}},
		AddressType: "IPv4", Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port, Protocol: &protocol}},
	}
	for k := range i.pods {
		at, on := n*i.pods+k, (n*i.pods+k)%i.nodes
		if k < replaced {
			at, on = at+1<<18, (on+i.pods)%i.nodes
		}
		node := fmt.Sprint("node-", on)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{podIP(at)}, NodeName: &node,
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("%s-6c3c624b58-%05d", name, at), UID: "11bc8ec4-0d5c-4d5e-9a57-6a2b7c1f0e11"}})
	}
	return s
}

// move replaces the first so many pods of a service.
func (i *installation) move(n, replaced int) { i.replace("endpointslices", n, i.slice(n, replaced)) }

// node is one with all that a kubelet tells of it: 50 images, which are most of it.
func node(n int) *corev1.Node {
	name := fmt.Sprint("node-", n)
	o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "11bc8ec4-0d5c-4d5e-9a57-6a2b7c1f0e11", ResourceVersion: "900", ManagedFields: managed,
		Labels:      map[string]string{"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "eu-central-1a"},
		Annotations: map[string]string{"volumes.kubernetes.io/controller-managed-attach-detach": "true"}}}
	o.Spec.PodCIDR = "10.244.0.0/24"
	o.Spec.ProviderID = "aws:///eu-central-1a/i-0a1b2c3d4e5f60718"
	for i := range 50 {
		image := fmt.Sprintf("registry.example.com/team-%d/image-%d", i%7, i)
		o.Status.Images = append(o.Status.Images, corev1.ContainerImage{SizeBytes: int64(i) << 20,
			Names: []string{image + "@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b", image + ":v1.27.3-20260101-6c3c624b"}})
	}
	for _, kind := range []corev1.NodeConditionType{"NetworkUnavailable", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready"} {
		status := map[bool]corev1.ConditionStatus{true: "True", false: "False"}[kind == "Ready"]
		o.Status.Conditions = append(o.Status.Conditions, corev1.NodeCondition{Type: kind, Status: status, Reason: "KubeletHasSufficient", Message: "kubelet has enough of it"})
	}
	o.Status.Addresses = []corev1.NodeAddress{{Type: "InternalIP", Address: nodeIP(n)}, {Type: "Hostname", Address: name}}
	o.Status.Capacity = corev1.ResourceList{"cpu": resource.MustParse("64"), "memory": resource.MustParse("131808568Ki"), "pods": resource.MustParse("250")}
	o.Status.Allocatable = o.Status.Capacity
	o.Status.NodeInfo = corev1.NodeSystemInfo{KernelVersion: "6.8.0-40-generic", OSImage: "Ubuntu 24.04 LTS", ContainerRuntimeVersion: "containerd://2.0.1",
		KubeletVersion: "v1.34.2", OperatingSystem: "linux", Architecture: "amd64"}
	return o
}

// kubeconfig leads to an API server.
func kubeconfig(t testing.TB, dir, url string) {
	write(t, dir, "kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: %q}}],
  users: [{name: a, user: {token: t}}], contexts: [{name: a, context: {cluster: a, user: a}}], current-context: a}`, url))
}
