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
