//go:build !race

package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"nitrox/netscaler/simulator"
	"nitrox/sources/sourcetest"
)

// mostMemory is what the whole process may take, whatever it is sent.
const mostMemory = 256 // MiB

// hostile answers every request with head, and then again and again the same,
// until nobody reads any more, or after 2 GiB.
func hostile(zipped bool, head, again string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.44")
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		var to io.Writer = w
		if zipped {
			w.Header().Set("Content-Encoding", "gzip")
			z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
			if err != nil {
				panic(err)
			}
			to = z
		}
		chunk := []byte(strings.Repeat(again, 1+(64<<10)/len(again)))
		_, err := io.WriteString(to, head)
		for n := 0; err == nil && n < 2<<30; n += len(chunk) {
			_, err = to.Write(chunk)
		}
	}
}

// kubernetesItems begins a list of slices.
const kubernetesItems = `{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[`

// claimed is a field of a message of Protocol Buffers that says it has so many bytes,
// with those that there are.
func claimed(number protowire.Number, size int, text string) string {
	field := protowire.AppendTag(nil, number, protowire.BytesType)
	return string(protowire.AppendVarint(field, uint64(size))) + text
}

func field(number protowire.Number, text string) string { return claimed(number, len(text), text) }

// protoItems begins the same list in protobuf, without an end.
var (
	protoItems = "k8s\x00" + field(1, field(1, "discovery.k8s.io/v1")+field(2, "EndpointSliceList")) + claimed(2, 1<<40, field(1, field(2, "1")))
	protoMeta  = field(1, field(1, "web-1")+field(3, "shop")+field(11, field(1, "kubernetes.io/service-name")+field(2, "web")))
	protoSlice = field(2, protoMeta+field(2, field(1, "10.1.2.3")+field(2, ""))+field(3, "\x18\x50")+field(4, "IPv4"))
)

const (
	kubernetesSlice = `{"metadata":{"name":"web-1","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",` +
		`"ports":[{"port":80}],"endpoints":[{"addresses":["10.1.2.3"],"conditions":{}}`
	foundItems   = `{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[`
	foundService = `{"metadata":{"name":"web","namespace":"shop","labels":{"on":""},"annotations":{"nitrox.io/port":"http","a":"b"}}}`
	foundSwarm   = `{"ID":"a","Spec":{"Name":"a","Labels":{"on":""}}}`
	dockerTask   = `{"ID":"t","ServiceID":"s","NodeID":"n","Slot":1,"DesiredState":"running","Status":{"State":"running"}}`
	nitroRow     = `{"servicegroupname":"sg-bad","ip":"10.0.0.1","port":80,"servername":"a","state":"ENABLED","svrstate":"UP","weight":"1"}`
)

// What a source or a NetScaler sends takes no more memory than the process may
// have, and the app of another source is served in the same pass.
func TestHostileAnswers(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	for name, c := range map[string]struct {
		kind        string
		head, again string
	}{
		"kubernetes: objects without an end":       {"kubernetes", kubernetesItems + kubernetesSlice + `]}`, `,` + kubernetesSlice + `]}`},
		"kubernetes: tiny objects":                 {"kubernetes", kubernetesItems + `{"metadata":{"name":"a"}}`, `,{"metadata":{"name":"a"}}`},
		"kubernetes: endpoints of one slice":       {"kubernetes", kubernetesItems + kubernetesSlice, `,{}`},
		"kubernetes: labels of one slice":          {"kubernetes", kubernetesItems + `{"metadata":{"labels":{"a":""`, `,"a":""`},
		"kubernetes: one text":                     {"kubernetes", kubernetesItems + `{"metadata":{"name":"`, `x`},
		"kubernetes: blanks":                       {"kubernetes", `{`, ` `},
		"kubernetes: what nobody wants":            {"kubernetes", kubernetesItems + `{"junk":[{}`, `,{}`},
		"protobuf: objects without an end":         {"kubernetes", protoItems, protoSlice},
		"protobuf: tiny objects":                   {"kubernetes", protoItems, field(2, field(1, field(1, "a")))},
		"protobuf: endpoints of one slice":         {"kubernetes", protoItems + claimed(2, 15<<20, protoMeta), field(2, "")},
		"protobuf: an object of any length":        {"kubernetes", protoItems + claimed(2, 1<<32, protoMeta), field(2, "")},
		"protobuf: labels of one slice":            {"kubernetes", protoItems + claimed(2, 12<<20, claimed(1, 12<<20-10, "")), field(11, field(1, "a"))},
		"protobuf: one text":                       {"kubernetes", protoItems + claimed(2, 15<<20, claimed(1, 15<<20-10, claimed(1, 15<<20-20, ""))), "x"},
		"protobuf: what nobody wants":              {"kubernetes", protoItems, field(9, "")},
		"protobuf: one thing that nobody wants":    {"kubernetes", protoItems + claimed(9, 1<<32, ""), "x"},
		"docker: tasks without an end":             {"docker", `[` + dockerTask, `,` + dockerTask},
		"docker: tiny objects":                     {"docker", `[{"ID":"a","Spec":{"Name":"a"}}`, `,{"ID":"a","Spec":{"Name":"a"}}`},
		"docker: ports of one":                     {"docker", `[{"ID":"a","Spec":{"Name":"web"},"Endpoint":{"Ports":[{}`, `,{}`},
		"docker: nesting":                          {"docker", `[`, `[`},
		"marathon: tasks of one app":               {"marathon", `{"apps":[{"id":"/web","tasks":[{}`, `,{}`},
		"marathon: apps without an end":            {"marathon", `{"apps":[{"id":"/a","tasks":[]}`, `,{"id":"/a","tasks":[]}`},
		"marathon: labels of one app":              {"marathon", `{"apps":[{"id":"/web","labels":{"a":1`, `,"a":1`},
		"marathon: what nobody wants":              {"marathon", `{"junk":[[]`, `,[]`},
		"kubernetes: services found":               {"kubernetes-found", foundItems + foundService, `,` + foundService},
		"kubernetes: annotations of one found":     {"kubernetes-found", foundItems + `{"metadata":{"annotations":{"a":""`, `,"a":""`},
		"docker: services found":                   {"docker-found", `[` + foundSwarm, `,` + foundSwarm},
		"docker: labels of one found":              {"docker-found", `[{"ID":"a","Spec":{"Name":"a","Labels":{"on":""`, `,"on":""`},
		"marathon: apps found":                     {"marathon-found", `{"apps":[{"id":"/a","labels":{"on":""}}`, `,{"id":"/a","labels":{"on":""}}`},
		"netscaler: members without an end":        {"netscaler", `{"errorcode":0,"servicegroup_servicegroupmember_binding":[` + nitroRow, `,` + nitroRow},
		"netscaler: one member":                    {"netscaler", `{"errorcode":0,"servicegroup_servicegroupmember_binding":[{"ip":[{}`, `,{}`},
		"netscaler: blanks":                        {"netscaler", `{"errorcode":0,`, ` `},
		"netscaler: results":                       {"netscaler", `{"errorcode":0,"response":[{}`, `,{}`},
		"file: 64 MB":                              {"file", `{"apps":{"web":[`, strings.Repeat(`[],`, 1<<20*64/3)},
		"file: lists in 16 MB":                     {"file", `{"apps":{"web":[`, strings.Repeat(`[],`, 5<<20)},
		"file: YAML":                               {"file", `apps: {web: [`, strings.Repeat(`a,`, 5<<20)},
		"all at once":                              {"all", kubernetesItems + kubernetesSlice + `]}`, `,` + kubernetesSlice + `]}`},
		"all at once, what fits them all the same": {"all", `{"apps":[{"id":"/web","tasks":[]}`, `,{"id":"/web","tasks":[{"id":"a"},{"id":"b"}]}`},
	} {
		for _, zipped := range []bool{false, true} {
			if zipped && !strings.HasSuffix(name, "without an end") {
				continue // it is unpacked in one place
			}
			t.Run(fmt.Sprintf("%s, zipped %v", name, zipped), func(t *testing.T) {
				t.Parallel()
				l := newHostileLab(t, c.kind, hostile(zipped, c.head, c.again))
				if c.kind == "file" {
					l.write("bad.json", c.head+c.again)
				}
				most, out := l.run()
				t.Logf("%d MiB", most)
				if most > mostMemory {
					t.Errorf("%d MiB resident:\n%s", most, out)
				}
				if n := len(l.sim.Members("sg-shop")); n != 2 {
					t.Errorf("sg-shop has %d members:\n%s", n, out)
				}
				if !regexp.MustCompile(`too large|larger than|encoded`).MatchString(out) {
					t.Errorf("no word of a limit:\n%s", out)
				}
			})
		}
	}
}

// What large installations send is served, within the same memory.
func TestLargeAnswers(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	list := func(head string, n int, entry func(i int) string, tail string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(entry(i))
		}
		return b.String() + tail
	}
	ip := func(i int) string { return fmt.Sprintf("10.%d.%d.%d", 100+i>>16, i>>8&255, i&255) }
	kubernetes := func(kind, version string, n int, entry func(i int) string) string {
		return list(fmt.Sprintf(`{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"1"},"items":[`, kind, version), n, entry, `]}`)
	}
	images := list(`[`, 50, func(i int) string {
		return fmt.Sprintf(`{"names":["registry.example/team/image-%d@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b"],"sizeBytes":1}`, i)
	}, `]`)
	largeJSON := map[string]string{
		"/endpointslices": kubernetes("EndpointSliceList", "discovery.k8s.io/v1", 1000, func(i int) string {
			return fmt.Sprintf(`{"metadata":{"name":"web-%d","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",`+
				`"ports":[{"name":"","protocol":"TCP","port":80}],"endpoints":`, i) + list(`[`, 100, func(j int) string {
				return fmt.Sprintf(`{"addresses":[%q],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"node-%d",`+
					`"targetRef":{"kind":"Pod","namespace":"shop","name":"web-%d","uid":"11bc8ec4-%d"}}`, ip(i*100+j), (i*100+j)%5000, i*100+j, i*100+j)
			}, `]}`)
		}),
		"/services": kubernetes("ServiceList", "v1", 5000, func(i int) string {
			name := "web"
			if i > 0 {
				name = fmt.Sprintf("web-%d", i)
			}
			return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"shop"},"spec":{"type":"NodePort","selector":{"app":"web"},`+
				`"ports":[{"protocol":"TCP","port":80,"nodePort":31080}]}}`, name)
		}),
		"/nodes": kubernetes("NodeList", "v1", 5000, func(i int) string {
			return fmt.Sprintf(`{"metadata":{"name":"node-%d","labels":{"kubernetes.io/hostname":"node-%d"}},"status":{"images":%s,`+
				`"addresses":[{"type":"InternalIP","address":%q}],"conditions":[{"type":"Ready","status":"True"}]}}`, i, i, images, ip(i))
		}),
	}
	large := map[string]string{}
	for path, list := range map[string]runtime.Object{"/endpointslices": &discoveryv1.EndpointSliceList{}, "/services": &corev1.ServiceList{}, "/nodes": &corev1.NodeList{}} {
		var b bytes.Buffer
		if err := cmp.Or(json.Unmarshal([]byte(largeJSON[path]), list), protobuf.NewSerializer(nil, nil).Encode(list, &b)); err != nil {
			t.Fatal(err)
		}
		large[path] = b.String()
	}
	for name, c := range map[string]struct {
		kind    string
		want    string // of the report
		answers map[string]string
	}{
		"kubernetes: 100,000 endpoints on 5,000 nodes": {"kubernetes", "edge: 0 serving, 5000 wanted", large},
		"kubernetes: the same in JSON":                 {"kubernetes", "edge: 0 serving, 5000 wanted", largeJSON},
		"docker: 50,000 tasks, 1,000 of them of one service": {"docker", "edge: 0 serving, 1000 wanted", map[string]string{
			"/services": `[{"ID":"s","Spec":{"Name":"web","Mode":{"Replicated":{"Replicas":1000}}},"Endpoint":{"Ports":[` +
				`{"Protocol":"tcp","TargetPort":80,"PublishMode":"host"}]},"ServiceStatus":{"RunningTasks":1000,"DesiredTasks":1000}}]`,
			"/tasks": list(`[`, 50_000, func(i int) string {
				return fmt.Sprintf(`{"ID":"task%d","ServiceID":%q,"NodeID":"n%d","Slot":%d,"Spec":{"ContainerSpec":{"Image":"registry.example/web@sha256:`+
					`6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b","Env":["A=1","B=2","C=3"]}},"DesiredState":"running","Status":{"State":`+
					`"running","PortStatus":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":%d,"PublishMode":"host"}]}}}`, i, []string{"s", "other"}[min(i%50, 1)], i/50%1000, i, 30000+i%50)
			}, `]`),
			"/nodes": list(`[`, 1000, func(i int) string {
				return fmt.Sprintf(`{"ID":"n%d","Description":{"Hostname":"n%d"},"Spec":{"Availability":"active"},"Status":{"State":"ready","Addr":%q}}`, i, i, ip(i))
			}, `]`),
		}},
		"marathon: 50,000 tasks of 5,000 apps": {"marathon", "edge: 0 serving, 10000 wanted", map[string]string{
			"/v2/apps": list(`{"apps":[`, 5000, func(i int) string {
				id, tasks := fmt.Sprintf("/app-%d", i), 8
				if i == 2500 {
					id, tasks = "/web", 10_000
				}
				return fmt.Sprintf(`{"id":%q,"instances":%d,"networks":[{"mode":"host"}],"portDefinitions":[{"port":0,"protocol":"tcp"}],"env":{"A":"1"},"tasks":`,
					id, tasks) + list(`[`, tasks, func(j int) string {
					return fmt.Sprintf(`{"id":"%s.%d","appId":%q,"host":%q,"ports":[31000],"state":"TASK_RUNNING","startedAt":"2026-01-01T00:00:00.000Z",`+
						`"ipAddresses":[{"ipAddress":"172.17.0.2","protocol":"IPv4"}],"slaveId":"2c4c3cc8-4e2c-4d8e-b4f9-2c6a7b4c8f80-S1"}`, id, j, id, ip(j))
				}, `]}`)
			}, `]}`),
		}},
		"netscaler: 100,000 members, of all ports and so not ours": {"netscaler", "mixed: 0 serving, 2 wanted, 100000 not ours", map[string]string{
			"servicegroup_servicegroupmember_binding": list(`{"errorcode":0,"message":"Done","severity":"NONE","servicegroup_servicegroupmember_binding":[`, 100_000,
				func(i int) string {
					return fmt.Sprintf(`{"servicegroupname":"sg-bad-netscaler","ip":%q,"port":65535,"state":"ENABLED","hashid":"0","serverid":"0",`+
						`"customserverid":"None","weight":"1","servername":"server-%d","svrstate":"UP","delay":"0","graceful":"NO","svctype":"HTTP"}`, ip(i), i)
				}, `]}`),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHostileLab(t, c.kind, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Api-Version", "1.44")
				w.Header().Set("Content-Type", "application/json")
				for path, text := range c.answers {
					if strings.Contains(r.URL.Path, path) {
						io.WriteString(w, text)
						return
					}
				}
			}, "--dry-run")
			most, out := l.run()
			t.Logf("%d MiB", most)
			if most > mostMemory {
				t.Errorf("%d MiB resident", most)
			}
			if want := "sg-bad-" + c.kind + " on " + c.want; !strings.Contains(out, want) {
				t.Errorf("no %q in:\n%.3000s", want, out)
			}
		})
	}
}

// A large change takes memory in proportion, with the limit for a container of 512 MiB.
func TestLargeChanges(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	const members, most = 10_000, 80 // MiB; 100,000 take 300
	for name, autoscale := range map[string]string{"calls": "", "lists": " -autoscale API"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newHostileLab(t, "none", nil)
			l.limit = "384MiB"
			big := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
			conf, endpoints := []string{"add serviceGroup big HTTP" + autoscale}, []string{}
			for i := range members {
				conf = append(conf, fmt.Sprintf("bind serviceGroup big 10.1.%d.%d 80", i>>8, i&255))
				endpoints = append(endpoints, fmt.Sprintf("%q", fmt.Sprintf("10.2.%d.%d:80", i>>8, i&255)))
			}
			if err := big.Load(strings.NewReader(strings.Join(conf, "\n"))); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(big)
			t.Cleanup(server.Close)
			l.write("big.json", `{"apps":{"big":[`+strings.Join(endpoints, ",")+`]}}`)
			l.write("nitrox.yaml", fmt.Sprintf(`
netscalers: {edge: {url: %q}}
sources: {lab: {file: {path: big.json}}}
apps: [{name: big, netscaler: edge, service_group: big, wait_up: 0s, drain: 0s, from: [{source: lab, app: big}]}]
`, server.URL))
			got, out := l.run()
			t.Logf("%d MiB", got)
			if got > most || !strings.Contains(out, "done: 10000 bound, 10000 unbound") {
				t.Errorf("%d MiB resident:\n%.3000s", got, out)
			}
		})
	}
}

// build builds the binary as it is released, once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nitrox")
	if err != nil {
		return "", err
	}
	leftBehind = append(leftBehind, dir)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return filepath.Join(dir, "nitrox"), nil
})

func released(t *testing.T) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

type hostileLab struct {
	t   *testing.T
	dir string
	how []string // flags
	sim *simulator.Simulator
	// limit is GOMEMLIMIT.
	limit string
}

// newHostileLab has an app shop whose endpoints are in a file, and an app bad of a
// source, or on a NetScaler, that bad answers for.
func newHostileLab(t *testing.T, kind string, bad http.HandlerFunc, how ...string) *hostileLab {
	l := &hostileLab{t: t, dir: t.TempDir(), how: how, sim: simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})}
	l.sim.AddGroup("sg-shop")
	l.sim.AddGroup("sg-bad-" + kind)
	edge := httptest.NewServer(l.sim)
	t.Cleanup(edge.Close)
	server := httptest.NewServer(bad)
	t.Cleanup(server.Close)
	other := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
	other.AddGroup("sg-bad-netscaler")
	mixed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "servicegroupmember_binding") {
			bad(w, r)
			return
		}
		other.ServeHTTP(w, r)
	}))
	t.Cleanup(mixed.Close)
	// The timeout is for machines on which much else runs.
	all := map[string][2]string{ // the configuration of a source, and the query
		"kubernetes":       {`kubernetes: {kubeconfig: kubeconfig, timeout: 2m}`, `service: shop/web`},
		"docker":           {`docker: {host: "tcp://` + server.Listener.Addr().String() + `", kind: swarm, timeout: 2m}`, `service: web`},
		"marathon":         {`marathon: {urls: ["` + server.URL + `"], timeout: 2m}`, `app: /web`},
		"kubernetes-found": {`kubernetes: {kubeconfig: kubeconfig, timeout: 2m}`, ""}, // where apps opt in
		"docker-found":     {`docker: {host: "tcp://` + server.Listener.Addr().String() + `", kind: swarm, timeout: 2m}`, ""},
		"marathon-found":   {`marathon: {urls: ["` + server.URL + `"], timeout: 2m}`, ""},
		"file":             {`file: {path: bad.json}`, `app: web`},
		"netscaler":        {`file: {path: good.json}`, `app: shop`},
	}
	var sources, apps, discover strings.Builder
	for name, keys := range all {
		if name != kind && (kind != "all" || name == "file" || keys[1] == "") {
			continue
		}
		entry := "edge"
		if name == "netscaler" {
			entry = "mixed"
		}
		fmt.Fprintf(&sources, "  bad-%s: {%s}\n", name, keys[0])
		if keys[1] == "" {
			fmt.Fprintf(&discover, "discover: [{source: bad-%s, netscaler: edge, select: \"on\", service_group: \"bad.{name}\"%s}]\n", name, map[bool]string{false: ", namespaces: [shop]"}[strings.HasPrefix(name, "docker")])
			continue
		}
		fmt.Fprintf(&apps, "  - {name: bad-%s, netscaler: %s, service_group: sg-bad-%s, from: [{source: bad-%s, %s}]}\n", name, entry, name, name, keys[1])
	}
	l.write("nitrox.yaml", fmt.Sprintf(`
netscalers: {edge: {url: %q}, mixed: {url: %q}}
sources:
  lab: {file: {path: good.json}}
%sdefaults: {wait_up: 0s}
apps:
  - {name: shop, netscaler: edge, service_group: sg-shop, from: [{source: lab, app: shop}]}
%s%s`, edge.URL, mixed.URL, sources.String(), apps.String(), discover.String()))
	l.write("good.json", `{"apps":{"shop":["10.0.0.1:80","10.0.0.2:80"]}}`)
	l.write("kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: %q}}],
  users: [{name: a, user: {token: t}}], contexts: [{name: a, context: {cluster: a, user: a}}]}`, server.URL))
	return l
}

func (l *hostileLab) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// working are the runs that are measured: more at a time than there are processors would
// only be slower each.
var working = make(chan struct{}, 2)

// run makes one pass, and returns how much memory was resident at the most, in MiB.
func (l *hostileLab) run() (most int, out string) {
	l.t.Helper()
	working <- struct{}{}
	defer func() { <-working }()
	var output bytes.Buffer
	cmd := exec.Command(released(l.t), append([]string{"sync", "--config", filepath.Join(l.dir, "nitrox.yaml")}, l.how...)...)
	cmd.Env = append(os.Environ(), "NS_USER=nitrox", "NS_PASSWORD=secret", "GOMEMLIMIT="+l.limit)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ended: // with the code of what failed
			return most, output.String()
		case <-look.C:
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			if m := peak.FindSubmatch(status); err == nil && m != nil {
				kib, err := strconv.Atoi(string(m[1]))
				if err != nil {
					l.t.Fatal(err)
				}
				most = max(most, kib>>10)
			}
		}
	}
}
