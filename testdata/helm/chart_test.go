// Package helm tests the chart in deploy/helm with Helm's own engine and linter.
package helm

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	v2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

const (
	chartFolder = "../../deploy/helm/nitrox"
	examples    = "../../examples/kubernetes"
)

var (
	update = flag.Bool("update", false, "write golden/ and the mapping's part of values.schema.json")
	modes  = []string{"cronjob", "loop", "replicas"}
)

type object = map[string]any

// template is what `helm template nitrox CHART --namespace nitrox` renders of values: the
// objects, and the notes that `helm install` prints.
func template(t *testing.T, values object) (objects, notes string, err error) {
	t.Helper()
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	return render(chart, values)
}

func render(chart *v2.Chart, values object) (objects, notes string, err error) {
	release := common.ReleaseOptions{Name: "nitrox", Namespace: "nitrox", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, values, release, common.DefaultCapabilities)
	if err != nil {
		return "", "", err
	}
	rendered, err := engine.Render(chart, all)
	if err != nil {
		return "", "", err
	}
	var texts []string
	for _, file := range chart.Templates { // in the order of their names
		name := "nitrox/" + file.Name
		if text := strings.TrimSpace(rendered[name]); text != "" && filepath.Ext(name) == ".yaml" {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "\n---\n") + "\n", rendered["nitrox/templates/NOTES.txt"], nil
}

func mustTemplate(t *testing.T, values object) []object {
	t.Helper()
	text, _, err := template(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

func parse(t *testing.T, text string) (all []object) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o object
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		all = append(all, o)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the chart makes of the mapping among the examples. The end-to-end tests apply it
// to a real API server.
func TestGolden(t *testing.T) {
	for _, mode := range modes {
		values := object{"mode": mode, "mapping": read(t, examples+"/base/nitrox.yaml")}
		got, _, err := template(t, values)
		if err != nil {
			t.Fatal(err)
		}
		file := "golden/" + mode + ".yaml"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if read(t, file) != got {
			t.Errorf("%s is not what Helm renders; go test -C testdata/helm -run Golden -update", file)
		}
		for _, m := range lint.RunAll(chartFolder, values, "nitrox").Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("helm lint, %s: %v", mode, m)
			}
		}
	}
	for _, m := range lint.RunAll(chartFolder, nil, "nitrox").Messages { // helm lint without values
		if m.Severity > support.InfoSev {
			t.Error(m)
		}
	}
}

// Whoever moves from the examples to the chart gets the same objects, and the other way
// round: what differs is only what Helm needs, or what one of several releases does.
func TestAsTheExamples(t *testing.T) {
	for _, mode := range modes {
		var want []object
		for _, folder := range []string{"base", mode} {
			files, err := filepath.Glob(filepath.Join(examples, folder, "*.yaml"))
			if err != nil || len(files) == 0 {
				t.Fatal(err, folder)
			}
			for _, file := range files {
				switch filepath.Base(file) {
				case "kustomization.yaml", "nitrox.yaml", "namespace.yaml": // Helm makes no namespace
				case "events.yaml": // only for events: true
				default:
					want = append(want, parse(t, read(t, file))...)
				}
			}
		}
		var got []object
		for _, o := range parse(t, read(t, "golden/"+mode+".yaml")) {
			if o["kind"] == "ConfigMap" {
				if data, ok := o["data"].(object); !ok || data["nitrox.yaml"] != read(t, examples+"/base/nitrox.yaml") {
					t.Errorf("%s: the mapping has changed on the way: %v", mode, data)
				}
				continue
			}
			got = append(got, o)
		}
		if g, w := comparable(t, got), comparable(t, want); !slices.Equal(g, w) {
			for i := range max(len(g), len(w)) {
				if i >= len(g) || i >= len(w) || g[i] != w[i] {
					t.Fatalf("%s: the chart has\n%s\nand the examples have\n%s", mode,
						strings.Join(g[min(i, len(g)):], ""), strings.Join(w[min(i, len(w)):], ""))
				}
			}
		}
	}
}

// comparable are objects as text, without what the chart and the examples need not have in
// common: labels, the image, and how what is outside the namespace of the release is named.
func comparable(t *testing.T, objects []object) (texts []string) {
	t.Helper()
	for _, o := range objects {
		delete(o["metadata"].(object), "labels")
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range [][2]string{{"nitrox:nitrox", "nitrox"}, {"image: nitrox:latest\n", "image: nitrox\n"}} {
			text = []byte(strings.ReplaceAll(string(text), one[0], one[1]))
		}
		lines := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(line string) bool {
			line = strings.TrimSpace(line)
			return slices.Contains([]string{"app: nitrox", "app.kubernetes.io/name: nitrox", "app.kubernetes.io/instance: nitrox",
				"imagePullPolicy: IfNotPresent", "type: RollingUpdate"}, line) // the last two are the API's defaults
		})
		texts = append(texts, strings.Join(lines, ""))
	}
	slices.Sort(texts)
	return texts
}

// mapping is one whose source here is this cluster, or, with a kubeconfig, one that doctor
// can reach.
func mapping(apps, here string) string {
	return fmt.Sprintf(`netscalers:
  edge: {url: "http://127.0.0.1:1", username: nitrox, password_file: password}
sources:
  here: {kubernetes: {%s}}
  lab: {file: {path: endpoints.json}}
apps: [%s]
`, here, apps)
}

// rights are what Roles allow, one a line, without those of the lease.
func rights(t *testing.T, objects []object) (all []string) {
	t.Helper()
	for _, o := range objects {
		kind, _ := o["kind"].(string)
		if kind != "Role" && kind != "ClusterRole" {
			continue
		}
		namespace, _ := o["metadata"].(object)["namespace"].(string)
		for _, r := range o["rules"].([]any) {
			r := r.(object)
			for _, verb := range r["verbs"].([]any) {
				all = append(all, fmt.Sprint(verb, " ", r["resources"], " of ", r["apiGroups"], " in ", namespace, " ", r["resourceNames"]))
			}
		}
	}
	slices.Sort(all)
	return all
}

// The rights that the chart gives are those that doctor demands.
func TestRightsAreThoseOfDoctor(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "nitrox")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// An API server that allows all that it is asked about.
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
			fmt.Fprint(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
			return
		}
		fmt.Fprint(w, `{"major":"1","minor":"34","gitVersion":"v1.34.2"}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // doctor hangs up as soon as it has the certificate
	defer server.Close()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("password", "secret\n")
	write("endpoints.json", "{}")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	write("ca.pem", string(ca))
	write("kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q, certificate-authority: ca.pem}}],
users: [{name: u, user: {token: secret}}], contexts: [{name: c, context: {cluster: c, user: u}}], current-context: c}`, server.URL))

	for _, apps := range []string{
		`{name: a, from: [{source: here, service: shop/a}]}`,
		`{name: a, from: [{source: here, service: shop/a, address: pod_ip}]}`,
		`{name: a, from: [{source: here, service: shop/a, address: load_balancer}]}`,
		`{name: a, from: [{source: here, service: shop/a, address: host_port}]}`,
		`{name: a, from: [{source: here, service: shop/a}, {source: here, service: bank/a, address: load_balancer}]},
{name: b, from: [{source: here, service: bank/b, address: host_port}]}`,
		`{name: a, from: [{source: lab, app: shop/a}, {source: here, service: bank/a, address: pod_ip}]}`,
		`{name: a, from: [{source: here, service: shop/a, address: load_balancer}, {source: here, service: shop/b, address: pod_ip}]}`,
	} {
		for _, events := range []string{"", "events: true, ", `events: "True", `} {
			write("nitrox.yaml", mapping(apps, events+"kubeconfig: kubeconfig"))
			told, err := exec.Command(binary, "doctor", "--output", "json", "--config", filepath.Join(dir, "nitrox.yaml")).Output()
			var report struct {
				Checks []struct{ Copy []string }
			}
			if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) || json.Unmarshal(told, &report) != nil {
				t.Fatalf("doctor: %v\n%s", err, told)
			}
			var lines []string
			for _, c := range report.Checks {
				lines = append(lines, c.Copy...)
			}
			want := rights(t, parse(t, strings.Join(lines, "\n")))
			if len(want) == 0 {
				t.Fatalf("doctor prints no roles:\n%s", told)
			}
			var asObject object
			if err := yaml.Unmarshal([]byte(mapping(apps, events)), &asObject); err != nil {
				t.Fatal(err)
			}
			for _, values := range []object{{"mapping": mapping(apps, events)}, {"mapping": asObject}} {
				values["mode"], values["watch"] = "loop", true
				if got := rights(t, mustTemplate(t, values)); !slices.Equal(got, want) {
					t.Errorf("%s%s: the chart allows\n%s\nand doctor demands\n%s", events, apps, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				values["watch"] = false
				without := slices.DeleteFunc(slices.Clone(want), func(right string) bool { return strings.HasPrefix(right, "watch ") })
				if got := rights(t, mustTemplate(t, values)); !slices.Equal(got, without) {
					t.Errorf("%s%s: without watch the chart allows\n%s", events, apps, strings.Join(got, "\n"))
				}
			}
		}
	}
}

// What concerns other clusters needs no rights in this one, and no token.
func TestRightsOnlyWhereTheyAreUsed(t *testing.T) {
	const app = `{name: a, from: [{source: here, service: shop/a}]}`
	list := func(what, group, namespace string) string {
		return "list [" + what + "] of [" + group + "] in " + namespace + " <nil>"
	}
	some := func(namespaces ...string) (all []string) {
		for _, n := range namespaces {
			all = append(all, list("services", "", n), list("endpointslices", "discovery.k8s.io", n))
		}
		return all
	}
	for _, c := range []struct {
		name   string
		values object
		want   []string
		token  bool
	}{
		{"another cluster", object{"mapping": mapping(app, "kubeconfig: /etc/prod/config")}, nil, false},
		{"another context", object{"mapping": mapping(app, "context: prod")}, nil, false},
		{"no such source", object{"mapping": mapping(`{name: a, from: [{source: lab, app: a}]}`, "")}, nil, false},
		{"a null", object{"mapping": strings.Replace(mapping(app, ""), "{}", "", 1)}, append(some("shop"), list("nodes", "", "")), true},
		{"discovered", object{"mapping": mapping("]\ndiscover: [{source: here, select: a=b, namespaces: [bank, shop]}", "")},
			append(some("shop", "bank"), list("nodes", "", "")), true},
		{"discovered in one", object{"mapping": mapping("]\ndiscover: [{source: here, select: a=b, namespaces: shop}", "")},
			append(some("shop"), list("nodes", "", "")), true},
		{"discovered anywhere", object{"mapping": mapping("]\ndiscover: [{source: here, select: a=b}", "")},
			append(some(""), list("nodes", "", "")), true},
		{"a ConfigMap", object{"existingConfigMap": "mine", "rights": object{"namespaces": []any{"shop"}}}, some("shop"), true},
		{"a ConfigMap, all rights",
			object{"existingConfigMap": "mine", "rights": object{"namespaces": []any{"*"}, "nodes": true, "pods": true, "events": true}},
			append(some(""), list("nodes", "", ""), list("pods", "", ""), "create [events] of [events.k8s.io] in  <nil>"), true},
		{"a ConfigMap, no rights", object{"existingConfigMap": "mine"}, nil, false},
	} {
		objects := mustTemplate(t, c.values)
		slices.Sort(c.want)
		if got := rights(t, objects); !slices.Equal(got, c.want) {
			t.Errorf("%s: the chart allows\n%s\nnot\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
		text, err := yaml.Marshal(objects)
		if err != nil {
			t.Fatal(err)
		}
		if token := strings.Contains(string(text), "serviceAccountToken:"); token != c.token {
			t.Errorf("%s: the pod has a token: %v", c.name, token)
		}
	}
	text, _, err := template(t, object{"mode": "replicas", "mapping": mapping(`{name: a, from: [{source: lab, app: a}]}`, "")})
	if err != nil || !strings.Contains(text, "serviceAccountToken:") || strings.Contains(text, "services") {
		t.Errorf("replicas need a token for their lease, and no other right: %v\n%s", err, text)
	}
}

// Values that are wrong are refused before anything is installed, with a remedy.
func TestRefused(t *testing.T) {
	good := func() object {
		return object{"mapping": mapping(`{name: a, from: [{source: here, service: shop/a}]}`, "")}
	}
	var typed object
	if err := yaml.Unmarshal([]byte(good()["mapping"].(string)), &typed); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ values, want string }{
		{"mod: loop", "additional properties 'mod' not allowed"},
		{"mode: daemon", "at '/mode': value must be one of 'cronjob', 'loop', 'replicas'"},
		{"image: {tag: a/b}", "at '/image/tag'"},
		{"image: {digest: abc}", "at '/image/digest'"},
		{"image: {repositry: a}", "additional properties 'repositry' not allowed"},
		{"interval: 30", "at '/interval': got number, want string"},
		{"interval: 30d", "at '/interval'"},
		{"schedule: often", "at '/schedule'"},
		{"password: abc", "additional properties 'password' not allowed"},
		{"secrets: {nitrox: a}", "at '/secrets/nitrox': false schema"},
		{"secrets: {../etc: a}", "at '/secrets': additional properties '../etc' not allowed"},
		{"metricsFrom: []", "at '/metricsFrom': minItems: got 0, want 1"}, // an empty list lets everyone in
		{"metricsFrom: [{}]", "at '/metricsFrom/0'"},
		{"resources: 512Mi", "at '/resources'"},
		{"watch: true", "watch needs mode: loop or replicas"},
		{"existingConfigMap: mine", "mapping and existingConfigMap are both given: remove one of them."},
		{"mapping: ''", "There is no mapping: give it with --set-file mapping=nitrox.yaml"},
		{"mapping: 'a: b: c'", "Correct it; nitrox validate --config FILE tells more."},
		{"mapping: {netscalers: {edge: {password: secret}}}", "at '/mapping/netscalers/edge/password'"},
		{"mapping: {sources: {a: {kubernete: {}}}}", "additional properties 'kubernete' not allowed"},
		{"mapping: 'netscalers: {edge: {url: a, username: b}}'",
			"put the password into a Secret, and write password_file: /etc/netscaler/password."},
		{"mapping: 'netscalers: {edge: {url: a, password_file: b}}'", "netscaler edge needs username and password_file"},
		{"mapping: 'sources: {s: {kubernetes: {}}}\napps: [{name: a, from: [{source: s, service: account}]}]'",
			"app a: service account is not a namespace and a name: write it like shop/account."},
		{"mapping: 'include: [teams/*.yaml]'", "put all of them into a ConfigMap of your own, and name it with existingConfigMap."},
		{"rights: {namespaces: [Shop]}", "at '/rights/namespaces/0'"},
	} {
		values := good()
		if err := yaml.Unmarshal([]byte(strings.ReplaceAll(c.values, "\n", "\n\n")), &values); err != nil {
			t.Fatal(err)
		}
		if _, _, err := template(t, values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", c.values, err, c.want)
		}
	}
	if _, _, err := template(t, object{"mapping": typed}); err != nil {
		t.Error(err)
	}
}

// A mapping gets into the ConfigMap as it is, whatever is in it.
func TestTheMappingStaysAsItIs(t *testing.T) {
	base := mapping(`{name: a, from: [{source: here, service: shop/a}]}`, "")
	for _, text := range []string{base, "   # {{ .Release.Name }}\n" + base, "\n\n" + base, "# \t\" ' \\ ü\n" + base,
		strings.ReplaceAll(base, "\n", "\r\n"), strings.TrimSpace(base)} {
		for _, o := range mustTemplate(t, object{"mapping": text}) {
			if o["kind"] == "ConfigMap" && o["data"].(object)["nitrox.yaml"] != text {
				t.Errorf("%q became %q", text, o["data"])
			}
		}
	}
	const odd = `{netscalers: {edge: {url: a, username: "0123", password_file: "yes"}}, sources: {here: {kubernetes: null}},
apps: [{name: "1e3", max_remove: 1000000, from: [{source: here, service: shop/a, port: 65535}]}]}`
	var want, got object
	if err := yaml.Unmarshal([]byte(odd), &want); err != nil {
		t.Fatal(err)
	}
	for _, o := range mustTemplate(t, object{"mapping": want}) {
		if o["kind"] == "ConfigMap" {
			if err := yaml.Unmarshal([]byte(o["data"].(object)["nitrox.yaml"].(string)), &got); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v became %v", want, got)
	}
}

// Every value has a default that shows it, and the mapping is checked by its own schema.
func TestSchema(t *testing.T) {
	var values, own, mapping object
	file := chartFolder + "/values.schema.json"
	for name, into := range map[string]*object{file: &own, "../../docs/mapping.schema.json": &mapping} {
		if err := json.Unmarshal([]byte(read(t, name)), into); err != nil {
			t.Fatal(err)
		}
	}
	defs := mapping["$defs"].(object)
	delete(mapping, "$defs")
	delete(mapping, "$schema")
	defs["mapping"] = mapping
	if *update {
		own["$defs"] = defs
		text, err := json.MarshalIndent(own, "", "  ")
		if err == nil {
			err = os.WriteFile(file, append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(own["$defs"], any(defs)) {
		t.Errorf("its part about the mapping is not docs/mapping.schema.json; go test -C testdata/helm -run Schema -update")
	}
	if err := yaml.Unmarshal([]byte(read(t, chartFolder+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	var compare func(path string, values, schema object)
	compare = func(path string, values, schema object) {
		properties, ok := schema["properties"].(object)
		if !ok || schema["patternProperties"] != nil { // the user's own names
			return
		}
		if schema["additionalProperties"] != false {
			t.Errorf("%s: the schema lets unknown keys pass", path)
		}
		for key := range properties { // true and false are about keys that have no default
			if _, ok := values[key]; !ok && reflect.TypeOf(properties[key]).Kind() != reflect.Bool {
				t.Errorf("%s%s is in the schema alone", path, key)
			}
		}
		for key, value := range values {
			part, ok := properties[key].(object)
			if !ok {
				t.Errorf("%s%s is not in the schema", path, key)
				continue
			}
			if inner, ok := value.(object); ok {
				compare(path+key+".", inner, part)
			}
		}
	}
	compare(".", values, own)
}

func TestNotes(t *testing.T) {
	values := object{"mapping": read(t, examples+"/base/nitrox.yaml"), "dryRun": true}
	for dry, want := range map[bool][]string{true: {"plans", "--set dryRun=false"}, false: {"changes", "--set dryRun=true"}} {
		values["dryRun"] = dry
		text, notes, err := template(t, values)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(want, "kubectl --namespace nitrox logs", "create secret generic netscaler") {
			if !strings.Contains(notes, w) {
				t.Errorf("the notes lack %q:\n%s", w, notes)
			}
		}
		if strings.Contains(text, "- plan\n") != dry || strings.Contains(text, "- sync\n") == dry {
			t.Errorf("dryRun: %v, and the command is another:\n%s", dry, text)
		}
	}
}

// A release packs the chart with its version, and the image of the same.
func TestPackage(t *testing.T) {
	for version, want := range map[string]string{"v1.2.3": "1.2.3", "v1.2.3-5-g0123abc": "1.2.3-5-g0123abc", "0123456": "0.0.0-g0123456",
		"12e4567-dirty": "0.0.0-g12e4567-dirty"} {
		out := t.TempDir()
		release := exec.Command("go", "run", "./docs/release", "-version", version, "-date", "1790000000", "-targets", "", "-out", out)
		release.Dir = "../.."
		if text, err := release.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		chart, err := loader.Load(filepath.Join(out, "nitrox-"+want+".tgz"))
		if err != nil || chart.Metadata.Version != want || chart.Metadata.AppVersion != version || len(chart.Schema) == 0 {
			t.Fatalf("%s: %v, %+v", version, err, chart.Metadata)
		}
		text, _, err := render(chart, object{"mapping": read(t, examples+"/base/nitrox.yaml")})
		if err != nil || !strings.Contains(text, "image: nitrox:"+version+"\n") {
			t.Errorf("%s: %v\n%s", version, err, text)
		}
	}
}

// The values that documents and notes set are there.
func TestDocuments(t *testing.T) {
	var values object
	if err := yaml.Unmarshal([]byte(read(t, chartFolder+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range []string{"../../docs/kubernetes.md", "../../docs/install.md", chartFolder + "/templates/NOTES.txt", chartFolder + "/templates/_nitrox.tpl"} {
		text := read(t, file)
		if _, helm, ok := strings.Cut(text, "\n## Helm\n"); ok {
			text, _, _ = strings.Cut(helm, "\n## ")
		}
		for _, m := range regexp.MustCompile("--set(?:-file)? ([A-Za-z.]+)=|\\| `([A-Za-z.]+)` \\|").FindAllStringSubmatch(text, -1) {
			var at any = values
			for key := range strings.SplitSeq(m[1]+m[2], ".") {
				inner, _ := at.(object)
				if _, ok := inner[key]; !ok {
					t.Errorf("%s: there is no value %s", file, m[1]+m[2])
				}
				at = inner[key]
			}
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("only %d values are set", seen)
	}
}
