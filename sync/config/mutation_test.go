package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"nitrox/sources/all"
	"nitrox/sources/sourcetest"
	"nitrox/sync/config"
)

// Whatever is left out of the example that has every key, or stands there instead of
// a value, the schema takes what Load takes.
func TestTheSchemaTakesWhatLoadTakes(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	text, err := os.ReadFile("../../examples/mapping.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	schema := schemaOf(t, all.Kinds)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples")); err != nil { // with the files that it names
		t.Fatal(err)
	}
	file := filepath.Join(dir, "mapping.yaml")
	taken := 0
	try := func(what string) {
		t.Helper()
		text, err := yaml.Marshal(&document)
		if err != nil {
			return // yaml.v3 cannot write it
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		environment := func(name string) (string, bool) { return "value-of-" + name, true }
		if _, err := (&config.Files{Names: []string{file}, Lookup: environment}).Load(all.Kinds); err != nil {
			return
		}
		taken++
		if err := schema.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: the schema refuses what Load takes: %v", what, err)
		}
	}
	instead := strings.Fields(`null yes 1 1.5 1e3 0x10 2026-11-27 "1" x []`)
	var visit func(n *yaml.Node, path string)
	visit = func(n *yaml.Node, path string) {
		was := *n
		for _, value := range instead {
			var v yaml.Node
			if err := yaml.Unmarshal([]byte(value), &v); err != nil {
				t.Fatal(value, err)
			}
			*n = *v.Content[0]
			try(path + " = " + value)
		}
		*n = was
		step := map[yaml.Kind]int{yaml.MappingNode: 2, yaml.SequenceNode: 1}[n.Kind]
		for i := 0; step > 0 && i < len(was.Content); i += step {
			n.Content = append(append([]*yaml.Node{}, was.Content[:i]...), was.Content[i+step:]...)
			try(path + " without " + was.Content[i].Value)
			n.Content = append(append([]*yaml.Node{}, was.Content...), was.Content[i:i+step]...)
			try(path + " with twice " + was.Content[i].Value)
		}
		*n = was
		for i := step - 1; step > 0 && i < len(was.Content); i += step {
			visit(n.Content[i], path+"/"+was.Content[i-step+1].Value)
		}
	}
	visit(document.Content[0], "")
	if taken < 100 {
		t.Errorf("only %d mutations are taken by Load", taken)
	}
}
