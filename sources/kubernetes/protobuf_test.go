package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	quantities "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"

	"nitrox/sources"
	"nitrox/sources/sourcetest"
)

// inProtobuf is a list as an API server writes it in protobuf. One that has what
// no API server has, such as a text for a number, has no such form.
func inProtobuf(kind string, list []byte) ([]byte, bool) {
	object := map[string]runtime.Object{"ServiceList": &corev1.ServiceList{}, "NodeList": &corev1.NodeList{}, "PodList": &corev1.PodList{},
		"EndpointSliceList": &discoveryv1.EndpointSliceList{}, "Status": &metav1.Status{}}[kind]
	if json.Unmarshal(list, object) != nil {
		return nil, false
	}
	return serialized(object), true
}

func serialized(object runtime.Object) []byte {
	var message bytes.Buffer
	if err := serializer.NewSerializer(nil, nil).Encode(object, &message); err != nil {
		panic(err)
	}
	return message.Bytes()
}

// onlyJSON makes the API servers of the tests answer in JSON, as some proxies do.
const onlyJSON = "NITROX_TEST_ONLY_JSON"

// TestNumbers: the fields have the numbers that Kubernetes gives them.
func TestNumbers(t *testing.T) {
	compared := 0
	var compare func(path string, ours, theirs reflect.Type)
	compare = func(path string, ours, theirs reflect.Type) {
		for ours.Kind() == reflect.Pointer || ours.Kind() == reflect.Slice {
			ours = ours.Elem()
		}
		for theirs.Kind() == reflect.Pointer || theirs.Kind() == reflect.Slice {
			theirs = theirs.Elem()
		}
		if ours.Kind() != reflect.Struct {
			return
		}
		known := map[string]reflect.StructField{}
		for f := range theirs.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			known[name] = f
		}
		for f := range ours.Fields() {
			name := f.Tag.Get("json")
			tag := strings.Split(known[name].Tag.Get("protobuf"), ",") // the form there is not always the true one
			if len(tag) < 2 || tag[1] != f.Tag.Get("proto") {
				t.Errorf("%s.%s has the number %s; Kubernetes has %q", path, name, f.Tag.Get("proto"), tag)
				continue
			}
			compared++
			compare(path+"."+name, f.Type, known[name].Type)
		}
	}
	for _, pair := range [][2]any{{slice{}, discoveryv1.EndpointSlice{}}, {service{}, corev1.Service{}}, {node{}, corev1.Node{}}, {pod{}, corev1.Pod{}},
		{labelled{}, corev1.Service{}}, {pageMetadata{}, metav1.ListMeta{}}} {
		theirs := reflect.TypeOf(pair[1])
		compare(theirs.String(), reflect.TypeOf(pair[0]), theirs)
	}
	if compared < 80 {
		t.Errorf("only %d fields were compared", compared)
	}
}

// slicesOf is a page of the slices of a namespace, whose last item is as given.
func slicesOf(item func(cart []byte) []byte, objects ...manifest) []byte {
	page := metav1.ListMeta{ResourceVersion: "7"}
	meta, err := page.Marshal()
	if err != nil {
		panic(err)
	}
	list := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), meta)
	for i, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		var typed discoveryv1.EndpointSlice
		if err := json.Unmarshal(text, &typed); err != nil {
			panic(err)
		}
		message, err := typed.Marshal()
		if err != nil {
			panic(err)
		}
		if i == len(objects)-1 && item != nil {
			message = item(message)
		}
		list = protowire.AppendBytes(protowire.AppendTag(list, 2, protowire.BytesType), message)
	}
	return unknown(runtime.Unknown{TypeMeta: runtime.TypeMeta{Kind: "EndpointSliceList", APIVersion: "discovery.k8s.io/v1"}, Raw: list})
}

// unknown is the message around all others.
func unknown(u runtime.Unknown) []byte {
	message, err := u.Marshal()
	if err != nil {
		panic(err)
	}
	return append([]byte("k8s\x00"), message...)
}

// asks polls a source of the shop and its cart, in which one list is the given one.
func asks(t *testing.T, path string, list []byte) (account, cart sources.Answer, err error) {
	t.Helper()
	a := cluster(append(shop(), aService("shop/cart"))...)
	a.before = on(path, func(w http.ResponseWriter, _ *http.Request) { w.Write(list) })
	s, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.cluster.Transport = transport(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		r.RequestURI = r.URL.RequestURI()
		a.ServeHTTP(w, r)
		return w.Result(), nil
	})
	answers, err := s.Poll(t.Context(), []Query{{Service: "shop/account"}, {Service: "shop/cart"}}, true)
	if err != nil {
		return account, cart, err
	}
	return answers[0], answers[1], nil
}

var cartSlices = []manifest{shop()[1], aSlice("shop/cart", aPod("c1", "10.244.1.9", "n1"))}

// TestOddMessages: an object that is not as it should be harms its own app, as
// long as it is clear where it ends.
func TestOddMessages(t *testing.T) {
	field := func(number protowire.Number, kind protowire.Type, rest ...byte) func([]byte) []byte {
		return func(item []byte) []byte { return append(protowire.AppendTag(item, number, kind), rest...) }
	}
	badText := func(item []byte) []byte { return bytes.Replace(item, []byte("http"), []byte("ht\xfft"), 1) }
	for name, c := range map[string]struct {
		item func([]byte) []byte
		want string
	}{
		"as it should be":           {func(item []byte) []byte { return item }, ""},
		"what is new":               {field(99, protowire.BytesType, 1, 0xff), ""},
		"a group, which is skipped": {field(98, protowire.StartGroupType, protowire.AppendTag(nil, 98, protowire.EndGroupType)...), ""},
		"text that is not UTF-8":    {badText, "unexpected text that is not UTF-8 at ports.name"},
		"a number for a list":       {field(3, protowire.VarintType, 7), "unexpected wire type 0 at ports"},
		"a number for a text":       {field(4, protowire.VarintType, 7), "unexpected wire type 0 at addressType"},
		"a text for a number":       {field(3, protowire.BytesType, 3, 0x1a, 1, 'x'), "unexpected wire type 2 at ports.port"},
		"a number too large":        {field(3, protowire.BytesType, 4, 0x18, 0xf0, 0xa2, 4), "unexpected number 70000 at ports.port"},
		"a negative number": {field(3, protowire.BytesType, 11, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
			"unexpected number -1 at ports.port"},
		"cut off":                             {func(item []byte) []byte { return item[:len(item)-1] }, "unexpected bytes at addressType"},
		"cut off after a tag":                 {field(3, protowire.BytesType), "unexpected bytes at ports"},
		"a length that lies":                  {field(3, protowire.BytesType, 0xff, 0xff, 0xff, 0xff, 0xff, 1), "unexpected bytes at ports"},
		"a length that lies within":           {field(3, protowire.BytesType, 2, 0x0a, 40), "unexpected bytes at ports.name"},
		"of what is skipped":                  {field(99, protowire.BytesType, 0xff, 0xff, 0xff, 0xff, 0xff, 1), "unexpected bytes in it"},
		"a number that does not end":          {field(3, protowire.BytesType, 12, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "unexpected bytes at ports.port"},
		"a field 0":                           {func(item []byte) []byte { return append(item, 2, 0) }, "unexpected bytes in it"},
		"a group without an end":              {field(98, protowire.StartGroupType), "unexpected bytes in it"},
		"labels that are none, a second time": {field(1, protowire.BytesType, 3, 0x5a, 1, 0xff), "unexpected bytes at metadata.labels"},
	} {
		t.Run(name, func(t *testing.T) {
			account, cart, err := asks(t, "/endpointslices", slicesOf(c.item, cartSlices...))
			if err != nil {
				t.Fatal(err)
			}
			if account.Doubt() != nil || len(account.Endpoints) != 2 {
				t.Errorf("the other app: %s", told(account))
			}
			want := "service shop/cart: the answer cannot be read: EndpointSlice cart-1: " + c.want
			if got := cart.Doubt(); c.want == "" && (got != nil || len(cart.Endpoints) != 1) || c.want != "" && (got == nil || got.Error() != want) {
				t.Errorf("got  %s\nwant ! %s", told(cart), want)
			}
		})
	}
}

// TestOddPages: a page that is not whole, or not what was asked for, is an error,
// also where it is only not clear which object is odd.
func TestOddPages(t *testing.T) {
	meta := runtime.TypeMeta{Kind: "EndpointSliceList", APIVersion: "discovery.k8s.io/v1"}
	whole := slicesOf(nil, cartSlices...)
	item := func(bytes ...byte) []byte { return slicesOf(func([]byte) []byte { return bytes }, cartSlices...) }
	for name, c := range map[string]struct {
		page []byte
		want string
	}{
		"without a message":     {unknown(runtime.Unknown{TypeMeta: meta}), `an object of kind "EndpointSliceList" without items`},
		"nothing":               {[]byte("k8s\x00"), `an object of kind "" without items`},
		"no kind":               {unknown(runtime.Unknown{Raw: []byte{}}), `the answer is a "" of "", not a EndpointSliceList`},
		"another kind":          {serialized(&corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, ListMeta: metav1.ListMeta{ResourceVersion: "7"}}), `the answer is a "PodList" of "v1", not a EndpointSliceList`},
		"a Status":              {serialized(&metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure"}), `the answer is a "Status" of "v1"`},
		"no version":            {serialized(&discoveryv1.EndpointSliceList{TypeMeta: metav1.TypeMeta{Kind: meta.Kind, APIVersion: meta.APIVersion}}), "has no resourceVersion"},
		"encoded":               {unknown(runtime.Unknown{TypeMeta: meta, ContentEncoding: "zstd"}), "its content is encoded, which was not asked for"},
		"two lists":             {append(bytes.Clone(whole), whole[4:]...), "it has items twice"},
		"more than there is":    {unknown(runtime.Unknown{TypeMeta: meta, Raw: []byte{0x12, 100, 0}}), "field 2 has 100 bytes, more than there are in what it is part of"},
		"an endless length":     {unknown(runtime.Unknown{TypeMeta: meta, Raw: protowire.AppendVarint([]byte{0x12}, 1<<63)}), "more than there are in what it is part of"},
		"items that are none":   {unknown(runtime.Unknown{TypeMeta: meta, Raw: []byte{0x10, 7}}), "field 2 has the wire type 0, not 2"},
		"a form that is none":   {unknown(runtime.Unknown{TypeMeta: meta, Raw: []byte{0x17}}), "field 2 has the unknown wire type 7"},
		"what crosses an end":   {unknown(runtime.Unknown{TypeMeta: meta, Raw: []byte{0x18, 0xff}}), "more than there are in what it is part of"},
		"an object of nobody":   {item(0x20, 1), "unexpected wire type 0 at addressType"},
		"of somebody, perhaps":  {item(0x0a, 6, 0x0a, 4, 'c', 0xff, 'r', 't', 0x20, 1), "unexpected text that is not UTF-8 at metadata.name"},
		"metadata that is late": {item(0x20, 1, 0x0a, 6, 0x0a, 4, 'c', 'a', 'r', 't'), "unexpected wire type 0 at addressType"},
	} {
		t.Run(name, func(t *testing.T) {
			account, _, err := asks(t, "/endpointslices", c.page)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "list endpointslices.discovery.k8s.io in namespace shop: the answer ") {
				t.Errorf("got %s, error %v; want %q", told(account), err, c.want)
			}
		})
	}
	for n := range len(whole) {
		account, cart, err := asks(t, "/endpointslices", whole[:n])
		const after = 4 // bytes that are not needed: two empty texts
		if n < len(whole)-after && err == nil || err == nil && (len(account.Endpoints) != 2 || len(cart.Endpoints) != 1) {
			t.Errorf("after %d of %d bytes: %s and %s", n, len(whole), told(account), told(cart))
		}
	}
}

// TestWithoutProtobuf: who does not speak it is asked for JSON, and no more than
// once for the other form.
func TestWithoutProtobuf(t *testing.T) {
	for _, code := range []int{406, 415} {
		a := cluster(shop()...)
		a.onlyJSON = true
		refused := 0
		a.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Accept") == "application/json" {
				r.Header.Set("Accept", "application/vnd.kubernetes.protobuf,application/json")
				return false
			}
			refused++
			refuse(w, code, "NotAcceptable", "only JSON is served here")
			return true
		}
		s := serve(t, a, Config{})
		for range 2 {
			if got := told(ask(t, s, account)); got != "192.0.2.1:31080 x1 node n1, 2 pods\n192.0.2.2:31080 x1 node n2, 1 pod" {
				t.Errorf("%d: %s", code, got)
			}
		}
		if refused != 1 {
			t.Errorf("%d: asked %d times for protobuf", code, refused)
		}
	}
}

// A proxy may say of an answer what it likes.
func TestContentTypes(t *testing.T) {
	for _, kind := range []string{"", "application/json", "application/octet-stream", "application/vnd.kubernetes.protobuf", "text/plain; charset=utf-8", "…"} {
		for _, form := range []bool{false, true} {
			a := cluster(shop()...)
			a.onlyJSON = form
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				a.ServeHTTP(answer, r)
				w.Header()["Content-Type"] = []string{kind}
				w.Write(answer.Body.Bytes())
			}))
			s, err := Open(Config{Kubeconfig: kubeconfig(t, server.URL)})
			if err != nil {
				t.Fatal(err)
			}
			if got := ask(t, s, account); got.Doubt() != nil || len(got.Endpoints) != 2 {
				t.Errorf("%q, JSON %v: %s", kind, form, told(got))
			}
			server.Close()
		}
	}
}

// FuzzForms: the same objects are read alike in both forms, whatever they have,
// and give the same answers.
func FuzzForms(f *testing.F) {
	sourcetest.Thorough(f)
	for seed := range int64(200) {
		f.Add(seed)
	}
	// Which of several oddities is the first depends on the form.
	odd := regexp.MustCompile(`unexpected number \S+ at [\w.]+`)
	f.Fuzz(func(t *testing.T, seed int64) {
		fill := filler(seed)
		var slicesList discoveryv1.EndpointSliceList
		var servicesList corev1.ServiceList
		var nodesList corev1.NodeList
		var podsList corev1.PodList
		fill.Fill(&slicesList)
		fill.Fill(&servicesList)
		fill.Fill(&nodesList)
		fill.Fill(&podsList)
		readAlike[slice](t, endpointSlices, &slicesList, &slicesList.TypeMeta)
		readAlike[service](t, services, &servicesList, &servicesList.TypeMeta)
		readAlike[node](t, nodes, &nodesList, &nodesList.TypeMeta)
		readAlike[pod](t, pods, &podsList, &podsList.TypeMeta)

		lists := map[string]runtime.Object{"endpointslices": &slicesList, "services": &servicesList, "nodes": &nodesList, "pods": &podsList}
		s, err := Open(Config{})
		if err != nil {
			t.Fatal(err)
		}
		said := func(write func(runtime.Object) []byte) string {
			s.cluster.Transport = transport(func(r *http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				w.Write(write(lists[path.Base(r.URL.Path)]))
				return w.Result(), nil
			})
			answers, err := s.Poll(t.Context(), []Query{account, {Service: "shop/account", Address: PodIP}, {Service: "shop/account", Address: HostPort},
				{Service: "shop/account", Address: LoadBalancer}, {Service: "shop/account", Nodes: AllNodes}}, true)
			text := fmt.Sprint(err)
			for _, a := range answers {
				text += "\n\n" + told(a)
			}
			return odd.ReplaceAllString(text, "odd")
		}
		if protobuf, inJSON := said(serialized), said(inJSON); protobuf != inJSON {
			t.Errorf("protobuf: %s\n\nJSON: %s", protobuf, inJSON)
		}
	})
}

func inJSON(list runtime.Object) []byte {
	text, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return text
}

// readAlike holds a list to being read in both forms as the same.
func readAlike[T any](t *testing.T, r resource, list runtime.Object, kind *metav1.TypeMeta) {
	t.Helper()
	*kind = metav1.TypeMeta{Kind: r.kind, APIVersion: r.apiVersion}
	var pages [2]page[T]
	for i, text := range [][]byte{inJSON(list), serialized(list)} {
		if err := pages[i].decode(bytes.NewReader(text), r); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for j := range pages[i].bad {
			pages[i].bad[j].err = nil // the texts are compared in answers
		}
		pages[i].kept = 0 // what is allocated to spare depends on the form
	}
	if !reflect.DeepEqual(pages[0], pages[1]) {
		t.Errorf("JSON:     %+v\nprotobuf: %+v", pages[0], pages[1])
	}
}

// TestMergedMessages: where a message has a field again, that is merged with the first,
// replaces it, or is one more, as Protocol Buffers have it.
func TestMergedMessages(t *testing.T) {
	for seed := range int64(100) {
		fill := filler(seed)
		merged[slice](t, fill, &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSlice{})
		merged[service](t, fill, &corev1.Service{}, &corev1.Service{})
		merged[node](t, fill, &corev1.Node{}, &corev1.Node{})
		merged[pod](t, fill, &corev1.Pod{}, &corev1.Pod{})
	}
}

// merged reads two objects as one, as the API does and as a source does.
func merged[T any](t *testing.T, fill *randfill.Filler, a, b interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}) {
	t.Helper()
	fill.Fill(a)
	fill.Fill(b)
	text, err := a.Marshal()
	second, wrong := b.Marshal()
	text = append(text, second...)
	if err = errors.Join(err, wrong, a.Unmarshal(second)); err != nil {
		t.Fatal(err)
	}
	var want, got T
	whole, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err = json.Unmarshal(whole, &want), (&wire{}).unmarshal(text, &got)
	if (wrong == nil) != (err == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, error %v\nwant %+v, error %v", got, err, want, wrong)
	}
}

// filler makes objects with any content, but such that many have a meaning.
func filler(seed int64) *randfill.Filler {
	words := []string{"account", "n1", "n2", "uid-of-a1", "http", "TCP", "UDP", "IPv4", "True", "False", "Pod", "192.0.2.1", "10.244.1.7", "2001:db8::1", "", "ü\u2028<>"}
	word := func(c randfill.Continue) string { return words[c.Intn(len(words))] }
	often := func(c randfill.Continue) bool { return c.Intn(5) > 0 }
	address := func(c randfill.Continue) string { return fmt.Sprintf("10.244.1.%d", c.Intn(9)) }
	return randfill.NewWithSeed(seed).NilChance(.2).NumElements(1, 3).Funcs(
		func(s *string, c randfill.Continue) { *s = word(c) },
		func(n *int32, c randfill.Continue) {
			if *n = int32(c.Intn(1 << 16)); c.Intn(500) == 0 {
				*n = []int32{-1, 70000}[c.Intn(2)]
			}
		},
		func(v *bool, c randfill.Continue) { *v = often(c) },
		func(q *quantities.Quantity, c randfill.Continue) {
			*q = *quantities.NewQuantity(int64(c.Intn(9)), quantities.DecimalSI)
		},
		func(t *metav1.Time, c randfill.Continue) { *t = metav1.Unix(1+int64(c.Int31()), 0) },
		func(v *metav1.FieldsV1, _ randfill.Continue) { v.SetRawString("{}") },
		func(v *intstr.IntOrString, c randfill.Continue) { *v = intstr.FromInt32(c.Int31()) },
		func(m *metav1.ListMeta, c randfill.Continue) {
			c.FillNoCustom(m)
			m.ResourceVersion, m.Continue = "7", ""
		},
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			c.FillNoCustom(m)
			m.Namespace, m.Name = "shop", "account"
			if m.Labels = map[string]string{serviceOf: "account", "app": "web"}; !often(c) {
				m.DeletionTimestamp, m.Labels, m.Name = nil, map[string]string{word(c): word(c)}, word(c)+"x"
			}
		},
		func(s *corev1.ServiceSpec, c randfill.Continue) {
			if c.FillNoCustom(s); often(c) {
				s.Type, s.Selector, s.ClusterIP, s.IPFamilies = corev1.ServiceTypeNodePort, map[string]string{"app": "web"}, "10.96.0.7", []corev1.IPFamily{corev1.IPv4Protocol}
				s.Ports = []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 31080}}
			}
		},
		func(s *discoveryv1.EndpointSlice, c randfill.Continue) {
			if c.FillNoCustom(s); often(c) {
				s.AddressType, s.Ports = discoveryv1.AddressTypeIPv4, []discoveryv1.EndpointPort{{Name: new("http"), Protocol: new(corev1.ProtocolTCP), Port: new(int32(8080))}}
			}
		},
		func(e *discoveryv1.Endpoint, c randfill.Continue) {
			if c.FillNoCustom(e); often(c) {
				e.Addresses, e.NodeName = []string{address(c)}, new(fmt.Sprintf("n%d", c.Intn(3)))
			}
		},
		func(n *corev1.Node, c randfill.Continue) {
			if c.FillNoCustom(n); often(c) {
				n.Name = fmt.Sprintf("n%d", c.Intn(3))
				n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.0.2.%d", c.Intn(9))}}
				n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue})
			}
		},
		func(m *metav1.TypeMeta, _ randfill.Continue) {})
}
