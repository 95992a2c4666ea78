package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"nitrox/sync/config"

	"pgregory.net/rapid"
)

// texts are any that can be seen, with many of the characters that variables
// and YAML are written with.
var texts = rapid.StringOf(rapid.OneOf(
	rapid.SampledFrom([]rune("${}$${}&*!#:-[]'\"\\ ")),
	rapid.RuneFrom(nil, unicode.L, unicode.N, unicode.P, unicode.S),
))

// arrives returns the app that a from entry asks for when the file has it as
// written.
func arrives(t *rapid.T, dir, written, value string) string {
	quoted, err := json.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "nitrox.yaml")
	text := fmt.Sprintf(minimal, "partition: web") + fmt.Sprintf("  - {name: x, from: [{source: lab, app: %s}]}\n", quoted)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := (&config.Files{Names: []string{file}, Lookup: func(name string) (string, bool) {
		if name == "VALUE" {
			return value, true
		}
		return lookup(name)
	}}).Load(kinds)
	if err != nil {
		t.Fatal(err)
	}
	return m.Apps[1].From[0].Query.(plainQuery).App
}

func TestAVariablesValueIsTextAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		value := texts.Draw(t, "value")
		if got, want := arrives(t, dir, "<${VALUE}|${VALUE}>", value), "<"+value+"|"+value+">"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAnyTextCanBeWritten(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		text := texts.Draw(t, "text")
		if got := arrives(t, dir, strings.ReplaceAll(text, "${", "$${"), ""); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	})
}
