package redact

import (
	"strings"
	"unicode"
)

// most is how much of a text is looked at, in bytes. What is printed of it is
// much less.
const most = 8 << 10

// Line is the beginning, on one line, of a text from outside: at most so many
// characters, all of which can be seen, so that it cannot forge lines of a log,
// steer a terminal or look like another text, and without secrets.
func Line[T ~string | ~[]byte](text T, characters int) string {
	return fit(text, characters, "\n")
}

// Lines is Line for a text that has a message on each line: a semicolon stands
// between two.
func Lines[T ~string | ~[]byte](text T, characters int) string {
	return fit(text, characters, "; ")
}

func fit[T ~string | ~[]byte](text T, characters int, between string) string {
	cut := len(text) > most
	line := strings.ReplaceAll(hide(string(text[:min(len(text), most)])), "\n", between)
	odd := func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	if strings.ContainsFunc(line, odd) || strings.Contains(line, "  ") {
		line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || odd(r) }), " ")
	}
	line = strings.TrimSpace(line)
	if len(line) <= characters && !cut {
		return line
	}
	if runes := []rune(line); len(runes) > characters {
		return string(runes[:characters-1]) + "…"
	}
	if cut {
		line += "…"
	}
	return line
}
