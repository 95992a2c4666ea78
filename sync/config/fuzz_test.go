package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"nitrox/sync/config"
)

// FuzzLoad: whatever the file holds, Load ends, does not panic, and either has
// a mapping or problems at places in the file, which show no secret.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml", "testdata/syntax/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	schema := schemaOf(f, kinds)
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "nitrox.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load(kinds)
		if err == nil {
			if err := schema.Validate(asJSON(t, text)); err != nil {
				t.Errorf("the schema refuses what Load takes: %v", err)
			}
			if len(m.NetScalers) == 0 || len(m.Sources) == 0 || len(m.Apps) == 0 {
				t.Errorf("an accepted file has nothing to do: %+v", m)
			}
			for _, app := range m.Apps {
				if app.Name == "" || app.Group == "" || len(app.NetScalers) == 0 || len(app.From) == 0 {
					t.Errorf("an accepted app lacks something: %+v", app)
				}
			}
			return
		}
		var problems config.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%v is not Problems", err)
		}
		within(t, file, problems)
		caret(t, problems)
	})
}
