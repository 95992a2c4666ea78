package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The shells complete commands, options, their values, and files.
func TestCompletion(t *testing.T) {
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
	} {
		t.Run(shell, func(t *testing.T) {
			path := tool(t, shell, shell)
			for _, c := range []struct{ line, want string }{
				{`nitrox ""`, `\bsync\b.*\bplan\b.*\bvalidate\b`},
				{`nitrox sync --lo`, `--loop\b.*--log-level\b`},
				{`nitrox sync --app x --`, `--loop\b.*--dry-run\b`},
				{`nitrox plan -o ""`, `text json nscli`},
				{`nitrox plan --config go.s`, `^go\.sum$`},
				{`nitrox sync --app ""`, `^$`},
			} {
				args := []string{"-c", script + "try " + c.line}
				if shell == "zsh" {
					args = append([]string{"-f"}, args...)
				} else {
					args = append([]string{"--norc", "--noprofile"}, args...)
				}
				out, err := exec.Command(path, args...).Output()
				got := strings.TrimSpace(string(out))
				if err != nil && c.want != "^$" || !regexp.MustCompile(c.want).MatchString(got) {
					t.Errorf("%s: %q, %v, want %s", c.line, got, err, c.want)
				}
			}
		})
	}
}
