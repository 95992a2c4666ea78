package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"nitrox/sources/nearest"
)

// Problem is one thing that is wrong, or unwise, in a file.
type Problem struct {
	File string
	// Line and Column count from 1, the column in characters. Both are 0 when
	// the problem concerns the whole file.
	Line, Column int
	Message      string
	// Excerpt is the line and a caret under the column, where the text is not
	// even YAML.
	Excerpt string
}

// String is "file:line:column: message".
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Here is the problem for whoever knows the file.
func (p Problem) Here() string {
	if p.Line == 0 {
		return p.Message
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Message)
}

// Problems is the error of a file that cannot be used: all that is wrong with
// it, in the order of the file.
type Problems []Problem

// Text is for a person: of each problem its line, and the excerpt if there is one.
func (p Problems) Text() string {
	var b strings.Builder
	for _, problem := range p {
		fmt.Fprintln(&b, problem)
		if problem.Excerpt != "" {
			fmt.Fprintln(&b, problem.Excerpt)
		}
	}
	return b.String()
}

// Error has one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

func inOrder(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(problems)
}

// didYouMean ends a message about a name that is not known: with the nearest
// that is, or else with all of them.
func didYouMean(name string, known []string) string {
	if near := nearest.Name(name, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return thereAre(known)
}

func thereAre(known []string) string {
	switch len(known) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("; the only one is %q", known[0])
	default:
		return "; choose from " + and(known)
	}
}

func and(words []string) string { return enumerate(words, "and") }
func or(words []string) string  { return enumerate(words, "or") }

// enumerate writes "a", "b" and "c"; of many words the first.
func enumerate(words []string, last string) string {
	const most = 16
	quoted := names(words[:min(len(words), most)], quote)
	if more := len(words) - most; more > 0 {
		quoted = append(quoted, fmt.Sprintf("%d more", more))
	}
	n := len(quoted) - 1
	if n < 1 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:n], ", ") + " " + last + " " + quoted[n]
}

// quote shows a text of the file, cut if it is long.
func quote(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return strconv.Quote(text)
}

func names[T any](items []T, name func(T) string) []string {
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = name(item)
	}
	return all
}
