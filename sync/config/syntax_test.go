package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/sources/sourcetest"
	"nitrox/sync/config"
)

// Each file of testdata/syntax is broken in one place. Where a person would
// point at stands in positions.txt, written by hand; what is said about it in
// a golden file.
func TestWhatIsNoYAMLIsPointedAt(t *testing.T) {
	t.Chdir("testdata/syntax")
	text, err := os.ReadFile("positions.txt")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.yaml")
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || len(files) != len(lines) || len(files) < 40 {
		t.Fatalf("%d files, %d positions, %v", len(files), len(lines), err)
	}
	for _, line := range lines {
		name, want, _ := strings.Cut(line, " ")
		t.Run(name, func(t *testing.T) {
			problems := bad(t, name+".yaml", lookup)
			if got := fmt.Sprintf("%d:%d", problems[0].Line, problems[0].Column); got != want {
				t.Errorf("points at %s, want %s", got, want)
			}
			within(t, name+".yaml", problems)
			noSecrets(t, name, problems.Text())
			caret(t, problems)
			golden(t, name+".txt", problems.Text())
		})
	}
}

// caret fails if an excerpt is not one line with a caret below.
func caret(t *testing.T, problems config.Problems) {
	t.Helper()
	for _, p := range problems {
		if p.Excerpt == "" {
			continue
		}
		lines := strings.Split(p.Excerpt, "\n")
		if len(lines) != 2 || strings.TrimSpace(lines[1]) != "^" || len(lines[0]) > 500 || len(lines[1]) > 110 {
			t.Errorf("excerpt %q", p.Excerpt)
		}
	}
}

func secretWords(text string) (n int) {
	for _, word := range []string{"hunter2", "s3cr3t-value", "password", "pasword"} {
		n += strings.Count(text, word)
	}
	return n
}

// Wherever a file with a password in it breaks, the password is not shown.
func TestNoExcerptShowsAPassword(t *testing.T) {
	sourcetest.Thorough(t)
	t.Chdir(t.TempDir())
	for _, text := range []string{
		"netscalers:\n  edge:\n    url: https://nitrox:hunter2@192.0.2.10\n    password: hunter2\n    save: never\nsources: {}\n",
		"netscalers:\n  edge:\n    password: |\n      s3cr3t-value\n      hunter2\n    save: never\n",
		"netscalers:\n  edge:\n    password:\n      hunter2\n    pasword: \"hunter2\"\n",
		"netscalers:\n  edge: {url: https://192.0.2.10, password: 'hunter2', save: never}\n",
		"netscalers:\n  edge:\n    {url: https://192.0.2.10,\n    \"password\": \"hunter2\n    hunter2\",\n    save: never}\n",
	} {
		for at := range text {
			broken := []string{text[:at] + text[at+1:]}
			for _, insert := range []string{" ", "\n", "\"", "[", ": "} {
				broken = append(broken, text[:at]+insert+text[at:])
			}
			for _, broken := range broken {
				if secretWords(broken) != secretWords(text) {
					continue // the password is no longer one, or its key no longer says so
				}
				if err := os.WriteFile("nitrox.yaml", []byte(broken), 0o600); err != nil {
					t.Fatal(err)
				}
				problems := bad(t, "nitrox.yaml", lookup)
				if shown := problems.Text(); strings.Contains(shown, "hunter2") || strings.Contains(shown, "s3cr3t-value") {
					t.Fatalf("of\n%s\nis shown\n%s", broken, shown)
				}
				caret(t, problems)
			}
		}
	}
}
