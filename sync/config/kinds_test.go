package config_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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
apps: [{name: shop, from: [{source: it, weight: 1, order: 1%s}]}]
`, kind.Name, written(kind.Config), written(kind.Query))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load([]sources.Kind{kind}); err != nil && strings.Contains(err.Error(), "unknown key") {
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

// The file that the design shows, without the sources that there are not yet,
// is read as it stands there.
func TestTheDesignsFileLoads(t *testing.T) {
	t.Chdir("testdata/design")
	if err := os.Chmod("password", 0o600); err != nil { // a checkout has it as it likes
		t.Fatal(err)
	}
	m, err := (&config.Files{Names: []string{"nitrox.yaml"}, Lookup: lookup}).Load(all.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	account := m.Apps[0]
	if account.Group != "sg-account" || account.Policy.Drain != time.Minute || len(account.From) != 3 || len(m.Sources) != 3 || len(m.Warnings) != 2 {
		t.Errorf("got %+v", m)
	}
	for i, source := range []string{"dcos", "swarm", "lab"} {
		if from := account.From[i]; from.Source != source {
			t.Errorf("from %d is %+v, want one of %s", i, from, source)
		}
	}
}

// Whatever key a URL with a password is given to, the password is not repeated.
func TestNoKindRepeatsAPasswordInAURL(t *testing.T) {
	for _, kind := range all.Kinds {
		for _, f := range reflect.VisibleFields(kind.Config) {
			key := f.Tag.Get("yaml")
			if !strings.HasPrefix(key, "host") && !strings.HasPrefix(key, "url") || f.Type == reflect.TypeFor[netip.Addr]() {
				continue
			}
			for _, value := range []string{"http://nitrox:hunter2@m1:8080", "tcp://nitrox:hunter2@m1:8080", "http://nitrox:hunter2%zz@m1", "nitrox:hunter2@m1:80", "http://nitrox:hunter2/@m1"} {
				file := filepath.Join(t.TempDir(), "nitrox.yaml")
				text := fmt.Sprintf("sources: {it: {%s: {%s: %q}}}", kind.Name, key, value)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load(all.Kinds)
				if err == nil || !strings.Contains(err.Error(), "nitrox.yaml:1:") || !strings.Contains(err.Error(), ": "+key) {
					t.Errorf("%s is not refused: %v", text, err)
				}
				noSecrets(t, kind.Name+"."+key, fmt.Sprint(err))
			}
		}
	}
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
			_, err := (&config.Files{Names: []string{file}, Lookup: lookup}).Load([]sources.Kind{kind})
			t.Logf("Load returned %v", err)
		})
	}
}

func TestAnUnknownKindNamesTheOnlyOneThereIs(t *testing.T) {
	t.Chdir("testdata/bad")
	_, err := (&config.Files{Names: []string{"unknown-kind.yaml"}, Lookup: lookup}).Load(kinds[:1])
	if err == nil || !strings.Contains(err.Error(), `unknown kind "kubernetes"; this build reads "plain"`+"\n") {
		t.Errorf("got %v", err)
	}
}
