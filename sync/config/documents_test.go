package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"gopkg.in/yaml.v3"

	"nitrox/sources/all"
)

// sections are the headings of docs/mapping.md whose tables have keys, and the
// structs that these are decoded into.
func sections() map[string]reflect.Type {
	s := map[string]reflect.Type{
		"The file": reflect.TypeFor[fileKeys](), "netscalers": reflect.TypeFor[netscalerKeys](), "proxy": reflect.TypeFor[proxyKeys](),
		"include": reflect.TypeFor[struct {
			includeKeys
			limitKeys
		}](),
		"sources": reflect.TypeFor[sourceKeys](), "apps": reflect.TypeFor[appKeys](), "Policies": reflect.TypeFor[policyKeys](),
		"create": reflect.TypeFor[createKeys](), "vserver": reflect.TypeFor[vserverKeys](), "from": reflect.TypeFor[fromKeys](),
		"discover": reflect.TypeFor[discoverKeys](),
	}
	for _, kind := range all.Kinds {
		s[kind.Name], s["from a "+kind.Name+" source"] = kind.Config, kind.Query
	}
	return s
}

func tags(of reflect.Type) []string {
	order, _ := keys([]any{reflect.New(of).Interface()})
	return order
}

// reference is docs/mapping.md.
func reference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// docs/mapping.md has every key that the structs have, in their order, and no
// other.
func TestTheReferenceHasEveryKey(t *testing.T) {
	documented := tables(reference(t))
	for heading, of := range sections() {
		var got []string
		for _, r := range documented[heading] {
			got = append(got, r.key)
		}
		if want := tags(of); !slices.Equal(got, want) {
			t.Errorf("docs/mapping.md, %q has the keys\n%v, not those of %v\n%v", heading, got, of, want)
		}
		delete(documented, heading)
	}
	for heading := range documented {
		t.Errorf("docs/mapping.md has keys under %q, which is no section of the file", heading)
	}
}

// To say a default is to say nothing: a mapping that gives a key the default
// that docs/mapping.md tells is the same as one that leaves it out.
func TestTheReferencesDefaults(t *testing.T) {
	lookup := func(name string) (string, bool) { return "x", true }
	load := func(section, line string) (*Mapping, error) {
		in := map[string]string{section: ", " + line}
		if line == "" {
			in[section] = ""
		}
		text := fmt.Sprintf(`
netscalers: {edge: {url: https://192.0.2.10%s}}
sources: {lab: {file: {path: endpoints.json%s}}}
apps: [{name: shop%s%s, create: {service_type: HTTP%s, vserver: {ip: 192.0.2.5, port: 80}}, from: [{source: lab, app: shop}]}]
`, in["netscalers"], in["sources"], in["apps"], in["Policies"], in["create"])
		file := t.TempDir() + "/nitrox.yaml"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := (&Files{Names: []string{file}, Lookup: lookup}).Load(all.Kinds)
		if err != nil {
			return nil, err
		}
		for name, s := range m.Sources {
			s.Poll, s.Watch, s.Examine = nil, nil, nil // functions cannot be compared
			m.Sources[name] = s
		}
		m.Advice, m.Digest = nil, "" // these and the next have the place in the file, or are of its text
		for i := range m.Apps {
			m.Apps[i].At = ""
		}
		return m, nil
	}
	value := regexp.MustCompile("^`([^`$]+)`$")
	checked := map[string]bool{}
	for section, rows := range tables(reference(t)) {
		if !slices.Contains([]string{"netscalers", "sources", "apps", "Policies", "create", "discover"}, section) {
			continue
		}
		for _, r := range rows {
			m := value.FindStringSubmatch(r.standard)
			if m == nil {
				continue
			}
			without, err := load(section, "")
			if err != nil {
				t.Fatal(err)
			}
			with, err := load(section, r.key+": "+m[1])
			if err != nil || !reflect.DeepEqual(with, without) {
				t.Errorf("%s: %s is not the default: %v\n%+v\n%+v", r.key, m[1], err, with, without)
			}
			checked[r.key] = true
		}
	}
	policy := reflect.ValueOf(standard)
	for i, key := range tags(policy.Type()) {
		if !policy.Field(i).IsZero() && !checked[key] {
			t.Errorf("docs/mapping.md does not say the default of %s, %v", key, policy.Field(i))
		}
	}
}

// examples/mapping.yaml shows every key; a few only in a comment, because they
// would need a file, or should not be copied.
func TestTheExampleHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../examples/mapping.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^( +)# ([a-z_]+: )`).ReplaceAll(text, []byte("$1$2"))
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	shown := map[string]map[string]bool{}
	show := func(section string, n *yaml.Node) {
		if shown[section] == nil {
			shown[section] = map[string]bool{}
		}
		for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
			shown[section][n.Content[i].Value] = true
		}
	}
	each := func(n *yaml.Node, do func(name string, value *yaml.Node)) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			do(n.Content[i].Value, n.Content[i+1])
		}
	}
	root := file.Content[0]
	show("The file", root)
	kinds := map[string]string{}
	each(find(root, "netscalers"), func(_ string, n *yaml.Node) {
		show("netscalers", n)
		show("proxy", find(n, "proxy"))
	})
	each(find(root, "sources"), func(name string, n *yaml.Node) {
		kinds[name] = n.Content[0].Value
		show(kinds[name], n.Content[1])
		show("sources", n.Content[1])
	})
	for _, n := range find(root, "include").Content {
		show("include", n)
	}
	show("Policies", find(root, "defaults"))
	for _, app := range find(root, "apps").Content {
		show("apps", app)
		if create := find(app, "create"); create != nil {
			show("create", create)
			show("vserver", find(create, "vserver"))
		}
		for _, from := range find(app, "from").Content {
			show("from", from)
			show("from a "+kinds[find(from, "source").Value]+" source", from)
		}
	}
	for _, entry := range find(root, "discover").Content {
		show("discover", entry)
	}
	for section, of := range sections() {
		for _, key := range tags(of) {
			if !shown[section][key] {
				t.Errorf("examples/mapping.yaml does not show %s of %q", key, section)
			}
		}
	}
}
