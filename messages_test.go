package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const messagesGolden = "testdata/messages.golden"

// Everything the program can say is in one file, to be read line by line by
// somebody who writes English: a message is reviewed where it can be compared
// with the others. -update rewrites the file, and the diff is the review.
func TestMessages(t *testing.T) {
	byRoom := messages(t)
	var b strings.Builder
	for _, room := range slices.Sorted(maps.Keys(byRoom)) {
		if len(byRoom[room]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# %s\n\n", room)
		for _, text := range slices.Sorted(maps.Keys(byRoom[room])) {
			b.WriteString(text + "\n")
		}
		b.WriteString("\n")
	}
	if *update {
		if err := os.WriteFile(messagesGolden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	golden := map[string]bool{}
	for line := range strings.Lines(readFile(t, messagesGolden)) {
		golden[strings.TrimSpace(line)] = true
	}
	if b.String() == readFile(t, messagesGolden) {
		return
	}
	t.Errorf("%s is not what the program says; go test -run Messages -update . rewrites it, to be read", messagesGolden)
	for line := range strings.Lines(b.String()) {
		if !golden[strings.TrimSpace(line)] {
			t.Errorf("new: %s", line)
		}
	}
}

// messages are the texts in the source of each package: every literal of at
// least two words, whatever becomes of it, and single words that are logged, are
// errors, or stand in a table; and the words of the status page. Collecting too
// much cannot miss a message.
func messages(t *testing.T) map[string]map[string]bool {
	t.Helper()
	byRoom := map[string]map[string]bool{}
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "simulator" || strings.HasSuffix(d.Name(), "test")):
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			return nil
		}
		said := reader{map[string]bool{}}
		switch filepath.Ext(path) {
		case ".go":
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Walk(said, file)
		case ".html":
			for _, text := range markup.Split(values.ReplaceAllString(readFile(t, path), "…"), -1) {
				if text = strings.TrimSpace(text); sentence.MatchString(text) || plain.MatchString(text) {
					said.note(text)
				}
			}
		}
		if room := filepath.Dir(path); byRoom[room] == nil {
			byRoom[room] = said.said
		} else {
			maps.Copy(byRoom[room], said.said)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return byRoom
}

// reader notes the texts of a file.
type reader struct{ said map[string]bool }

var (
	sentence = regexp.MustCompile(`\pL{2,}\S* +\S*\pL{2,}|\pL{2,}: |: %`)
	plain    = regexp.MustCompile(`^\pL{2,}[\pL ]*$`)
	markup   = regexp.MustCompile(`<[^>]*>`)
	values   = regexp.MustCompile(`\{\{[^}]*\}\}`)
	speaking = regexp.MustCompile(`^(New|Errorf|Debug|Info|Warn|Error|Log)(Context)?$`)
)

func (r reader) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.ImportSpec:
		return nil
	case *ast.Field:
		if n.Type != nil {
			ast.Walk(r, n.Type)
		}
		return nil // and not its tag, which is for the decoder
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && speaking.MatchString(f.Sel.Name) {
			for _, arg := range n.Args {
				if text, ok := r.text(arg); ok {
					r.note(text)
					break // what follows are the names of attributes, or sentences
				}
			}
		}
	case *ast.ValueSpec:
		for _, value := range n.Values {
			r.word(value)
		}
	case *ast.KeyValueExpr:
		r.word(n.Value)
	case ast.Expr:
		if text, ok := r.text(n); ok {
			if sentence.MatchString(text) {
				r.note(text)
			}
			return r.within(n)
		}
	}
	return r
}

// word notes a word of a table or a constant, which reports are made of.
func (r reader) word(e ast.Expr) {
	if text, ok := r.text(e); ok && plain.MatchString(text) {
		r.note(text)
	}
}

// text is a literal, or several that are put together, with … for what is only
// known when the program runs.
func (r reader) text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.ParenExpr:
		return r.text(e.X)
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		left, one := r.text(e.X)
		right, two := r.text(e.Y)
		if !one {
			left = "…"
		}
		if !two {
			right = "…"
		}
		return left + right, one || two
	}
	return "", false
}

// within goes on to the parts of a text that are not literals themselves.
func (r reader) within(e ast.Expr) ast.Visitor {
	if b, ok := e.(*ast.BinaryExpr); ok {
		for _, part := range []ast.Expr{b.X, b.Y} {
			if _, ok := r.text(part); ok {
				r.within(part)
			} else {
				ast.Walk(r, part)
			}
		}
	}
	return nil
}

func (r reader) note(text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			r.said[line] = true
		}
	}
}
