package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"nitrox/sources"
	"nitrox/sources/all"
	"nitrox/sync/config"
)

// schemaOf is the schema as a library that others wrote understands it.
func schemaOf(t testing.TB, kinds []sources.Kind) *jsonschema.Schema {
	t.Helper()
	reference, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := config.Schema(kinds, string(reference))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("nitrox.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("nitrox.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON is a YAML text as an editor gives it to a schema.
func asJSON(t testing.TB, text []byte) any {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		t.Fatal(err)
	}
	var value func(n *yaml.Node) any
	value = func(n *yaml.Node) any {
		switch n.Kind {
		case yaml.DocumentNode:
			return value(n.Content[0])
		case yaml.MappingNode:
			m := map[string]any{}
			for i := 0; i+1 < len(n.Content); i += 2 {
				m[n.Content[i].Value] = value(n.Content[i+1])
			}
			return m
		case yaml.SequenceNode:
			list := []any{}
			for _, item := range n.Content {
				list = append(list, value(item))
			}
			return list
		}
		var scalar any
		switch n.ShortTag() {
		case "!!int", "!!float", "!!bool", "!!null":
			if err := n.Decode(&scalar); err != nil {
				return n.Value
			}
			return scalar
		}
		return n.Value
	}
	return value(&n)
}

// What nitrox schema prints is right of every mapping that is here, and of those
// that are wrong it knows many: which, testdata/schema.golden tells.
func TestTheSchemaAndLoadAgree(t *testing.T) {
	real, fake := schemaOf(t, all.Kinds), schemaOf(t, kinds)
	var examples []string
	for _, pattern := range []string{"../../examples/*.yaml", "../../examples/*/*.yaml", "../../examples/*/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if text, err := os.ReadFile(file); err != nil {
				t.Fatal(err)
			} else if bytes.Contains(text, []byte("\nnetscalers:")) && !bytes.Contains(text, []byte("\nkind:")) {
				examples = append(examples, file)
			}
		}
	}
	if len(examples) < 8 {
		t.Errorf("only %d examples are mappings: %v", len(examples), examples)
	}
	verdict := func(schema *jsonschema.Schema, file string) error {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(asJSON(t, text))
	}
	for _, file := range examples {
		if err := verdict(real, file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	good, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(good) == 0 {
		t.Fatal(good, err)
	}
	for _, file := range good {
		if err := verdict(fake, file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	bad, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(bad) == 0 {
		t.Fatal(bad, err)
	}
	var table strings.Builder
	for _, file := range bad {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var n yaml.Node
		word := "refused"
		switch {
		case yaml.Unmarshal(text, &n) != nil || len(n.Content) == 0 || slices.ContainsFunc(n.Content, func(n *yaml.Node) bool { return n.Kind == yaml.AliasNode }):
			word = "no YAML"
		case bytes.ContainsAny(text, "&*"): // aliases, which are not followed here
			word = "aliases"
		case fake.Validate(asJSON(t, text)) == nil:
			word = "taken"
		}
		table.WriteString(word + "\t" + strings.TrimSuffix(filepath.Base(file), ".yaml") + "\n")
	}
	const golden = "testdata/schema.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != table.String() {
		t.Errorf("%v; of the wrong files the schema now says\n%s", err, table.String())
	}
}
