package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"nitrox/sources/sourcetest"
)

// docs/mapping.schema.json is what the program prints, and every mapping among the
// examples tells an editor where it is.
func TestSchema(t *testing.T) {
	const file = "docs/mapping.schema.json"
	code, printed, log := nitrox(t, t.Context(), nil, "schema")
	if code != 0 || log != "" {
		t.Fatal(code, log)
	}
	if *update {
		if err := os.WriteFile(file, []byte(printed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readFile(t, file) != printed {
		t.Errorf("%s is not what nitrox schema prints", file)
	}
	err := filepath.WalkDir("examples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		if text := readFile(t, path); strings.Contains("\n"+text, "\nnetscalers:") {
			to, err := filepath.Rel(filepath.Dir(path), file)
			if line := "# yaml-language-server: $schema=" + filepath.ToSlash(to) + "\n"; err != nil || !strings.HasPrefix(text, line) {
				t.Errorf("%s does not begin with %q", path, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The shells complete commands, options, their values, and files.
func TestCompletion(t *testing.T) {
	sourcetest.Thorough(t)
	for shell, script := range map[string]string{
		"bash": `source docs/release/nitrox.bash
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _nitrox 2>/dev/null; echo "${COMPREPLY[*]}"; }
`,
		"zsh": `autoload -Uz compinit; compinit -u -D
_describe() { print -r -- ${(M)${(P)2}%%:*} ${(@)${(P)2}} }
_files() { print -rl -- $words[CURRENT]*(N) }
source docs/release/_nitrox
try() { words=("$@"); CURRENT=$#; local all=(${(f)"$(_nitrox)"}); print -r -- $all }
`,
		"fish": `source docs/release/nitrox.fish
function try; complete -C (string join ' ' -- $argv | string replace -r '^(.* )""$' '$1') | string replace -r '\t.*' ''; end
`,
	} {
		t.Run(shell, func(t *testing.T) {
			path := tool(t, shell, shell)
			for _, c := range []struct{ line, want string }{
				{`nitrox ""`, "sync plan validate completion"},
				{`nitrox sync --lo`, "--loop --log-level"},
				{`nitrox sync --app x --`, "--loop --dry-run"},
				{`nitrox plan -o ""`, "text json nscli"},
				{`nitrox plan --config go.s`, "go.sum"},
				{`nitrox sync --app ""`, ""},
				{`nitrox sync --config examples/mapping.yaml --app A`, "AccountService"},
				{`nitrox completion ""`, "bash zsh fish"},
			} {
				args := []string{"-c", script + "try " + c.line}
				args = append(map[string][]string{"bash": {"--norc", "--noprofile"}, "zsh": {"-f"}, "fish": {"--no-config"}}[shell], args...)
				out, _ := exec.Command(path, args...).Output() // some shells fail where nothing is found
				got := strings.FieldsFunc(string(out), func(r rune) bool { return r == ':' || unicode.IsSpace(r) })
				missing := slices.DeleteFunc(strings.Fields(c.want), func(w string) bool { return slices.Contains(got, w) })
				if len(missing) > 0 || c.want == "" && len(got) > 0 {
					t.Errorf("%s: %q, want %s", c.line, got, c.want)
				}
			}
		})
	}
}
