package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A message that wakes somebody has an entry in the runbook, under its own
// words and with its level; and the runbook has no entry for what nobody says.
func TestDocumentsHaveARunbook(t *testing.T) {
	logged := troubles(t)
	if len(logged) < 20 {
		t.Errorf("only %d messages were found: %v", len(logged), logged)
	}
	entry := regexp.MustCompile("(?m)^### (.*)\n\n(ERROR|WARN)")
	runbook := readFile(t, "docs/operate.md")
	_, runbook, _ = strings.Cut(runbook, "\n## Runbook\n")
	runbook, _, _ = strings.Cut(runbook, "\n## ")
	entries := entry.FindAllStringSubmatch(runbook, -1)
	for _, message := range slices.Sorted(maps.Keys(logged)) {
		i := slices.IndexFunc(entries, func(e []string) bool { return strings.Contains(e[1], message) })
		switch {
		case i < 0:
			t.Errorf("docs/operate.md has no runbook entry for %q (%s)", message, logged[message])
		case entries[i][2] != logged[message]:
			t.Errorf("docs/operate.md says %s of %q, which is %s", entries[i][2], message, logged[message])
		}
	}
	for _, e := range entries {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(logged)), func(message string) bool { return strings.Contains(e[1], message) }) {
			t.Errorf("docs/operate.md has a runbook entry for %s, which nothing logs", e[1])
		}
	}
}

// troubles are the messages of level ERROR and WARN in the program, as headings
// of the runbook have them.
func troubles(t *testing.T) map[string]string {
	t.Helper()
	// What is not a text in the source is under a heading of its own.
	made := map[string]string{
		"w.Message": "Warnings about the mapping file",
	}
	// The messages of troubles are made of what happened to what.
	troubles := map[string][]string{
		"ErrorContext": {"`netscaler failed`", "`source failed`", "`file of the mapping cannot be used`", "`not served`", "`in doubt, nothing is removed`", "`bind failed`", "`stopped`"},
		"WarnContext":  {"`removals held`"},
	}
	found := map[string]string{}
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "simulator"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasSuffix(strings.ToLower(types.ExprString(method.X)), "log") {
				return true
			}
			level, at := "", 0
			switch method.Sel.Name {
			case "Error":
				level = "ERROR"
			case "ErrorContext":
				level, at = "ERROR", 1
			case "Warn":
				level = "WARN"
			case "WarnContext":
				level, at = "WARN", 1
			case "Log", "LogAttrs":
				t.Errorf("%v: the level of this message is not seen by the test of the runbook", files.Position(call.Pos()))
			}
			if level == "" {
				return true
			}
			text := types.ExprString(call.Args[at])
			if message, err := strconv.Unquote(text); err == nil {
				found["`"+message+"`"] = level
			} else if text == "t.message()" {
				for _, heading := range troubles[method.Sel.Name] {
					found[heading] = level
				}
			} else if heading, known := made[text]; known {
				found[heading] = level
			} else {
				t.Errorf("%v: what is logged is no text: %s", files.Position(call.Pos()), text)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The documents explain every metric, and alert on none that there is not.
func TestDocumentsHaveTheMetrics(t *testing.T) {
	served := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (nitrox_\w+) `).FindAllStringSubmatch(readFile(t, "sync/observe/testdata/metrics.golden"), -1) {
		served[m[1]] = true
	}
	if len(served) < 20 {
		t.Fatalf("only %d metrics", len(served))
	}
	text := readFile(t, "docs/operate.md")
	for name := range served {
		if !strings.Contains(text, "\n| `"+name+"` | ") {
			t.Errorf("docs/operate.md does not explain %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`\bnitrox_[a-z_]+`).FindAllString(text, -1) {
		if !served[name] {
			t.Errorf("docs/operate.md has %s, which is not served", name)
		}
	}
}
