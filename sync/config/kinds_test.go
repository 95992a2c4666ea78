package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nitrox/sources"
	"nitrox/sources/all"
	"nitrox/sync/config"
)

// A kind whose structs have a field that no YAML can be read into, or a key
// that all kinds have already, would panic when a user first writes that key.
func TestEveryKindsKeysCanBeRead(t *testing.T) {
	for _, kind := range slices.Concat(all.Kinds, kinds) {
		t.Run(kind.Name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "nitrox.yaml")
			text := fmt.Sprintf(`
netscalers: {edge: {url: https://192.0.2.10}}
sources: {it: {%s: {timeout: 1s%s}}}
apps: [{name: shop, from: [{source: it, weight: 1%s}]}]
`, kind.Name, written(kind.Config), written(kind.Query))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(file, []sources.Kind{kind}, lookup); err != nil && strings.Contains(err.Error(), "unknown key") {
				t.Errorf("%s\n%v", text, err)
			}
		})
	}
}

// written has a value for each key of a struct.
func written(of reflect.Type) string {
	var b strings.Builder
	for _, f := range reflect.VisibleFields(of) {
		if tag := f.Tag.Get("yaml"); tag != "" {
			fmt.Fprintf(&b, ", %s: x", tag)
		}
	}
	return b.String()
}

// A kind of which the file cannot be read is found by the test above, not by a
// user: the first use of its keys panics.
func TestAKindThatCannotBeReadPanics(t *testing.T) {
	type odd struct {
		Odd map[string]string `yaml:"odd"`
	}
	type taken struct {
		Timeout string `yaml:"timeout"`
	}
	for name, kind := range map[string]sources.Kind{
		"a type that no value is read into": sources.Define("plain", func(odd) (told[odd, plainQuery], error) { return told[odd, plainQuery]{}, nil }),
		"a key that all sources have":       sources.Define("plain", func(taken) (told[taken, plainQuery], error) { return told[taken, plainQuery]{}, nil }),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it did not panic")
				}
			}()
			file := filepath.Join(t.TempDir(), "nitrox.yaml")
			text := "sources: {it: {plain: {odd: x, timeout: 1s}}}"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := config.Load(file, []sources.Kind{kind}, lookup)
			t.Logf("Load returned %v", err)
		})
	}
}

func TestAnUnknownKindNamesTheOnlyOneThereIs(t *testing.T) {
	t.Chdir("testdata/bad")
	_, err := config.Load("unknown-kind.yaml", kinds[:1], lookup)
	if err == nil || !strings.Contains(err.Error(), `unknown kind "kubernetes"; this build reads "plain"`+"\n") {
		t.Errorf("got %v", err)
	}
}
