package syntax

import (
	"math"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// excerpt is the line of a place and a caret under its column, "" if the line
// may be a part of a password.
func excerpt(lines []string, at place) string {
	const most = 100
	if at.line < 1 || at.line > len(lines) || insideSecret(lines[:at.line-1], lines[at.line-1]) {
		return ""
	}
	masked, column := mask(strings.ReplaceAll(lines[at.line-1], "\t", " "), at.column-1)
	line := []rune(masked)
	column = min(column, len(line))
	from := 0
	if column > most*3/4 {
		from = column - most/2
	}
	to := min(len(line), from+most)
	before, after := line[from:column], string(line[column:to])
	if from > 0 {
		before = append([]rune("…"), before...)
	}
	if to < len(line) {
		after += "…"
	}
	return strings.TrimRight("  "+string(before)+after, " ") + "\n  " + strings.Repeat(" ", cells(before)) + "^"
}

// cells is how many columns of a terminal text takes.
func cells(text []rune) (n int) {
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case kind == width.EastAsianWide, kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

var (
	// secretKey is a key whose value may be a secret, and not the name of a
	// file. It may lack its colon.
	secretKey = regexp.MustCompile(`(?i)(pass|pas[ _.-]?w|ssw|pwd|\bpw\b|secret|token|credential|authoriz|api[ _.-]?key|private|bearer|cookie)[\w-]*["']?\s*:?`)
	fileKey   = regexp.MustCompile(`(?i)_file["']?\s*:?$`)
	variable  = regexp.MustCompile(`\$\{\w+\}`)
	nothing   = regexp.MustCompile(`^[\s"']*([,}#].*)?$`)
	key       = regexp.MustCompile(`^[\s-]*([\w.-]+|"[\w.-]+"|'[\w.-]+'):(\s|$)`)
	userinfo  = regexp.MustCompile(`(//.*|[^\s"'…]+)@`)
)

// secretEnd is where in a line the key of a secret ends that is written there;
// -1: there is none. A variable of the environment is not the secret itself.
func secretEnd(line string) int {
	blanked := variable.ReplaceAllStringFunc(line, func(v string) string { return strings.Repeat(" ", len(v)) })
	for _, m := range secretKey.FindAllStringIndex(blanked, -1) {
		harmless := variable.MatchString(line[m[1]:]) && nothing.MatchString(blanked[m[1]:])
		if !harmless && !fileKey.MatchString(line[m[0]:m[1]]) {
			return m[1]
		}
	}
	return -1
}

// mask hides what may be a secret in a line, and moves the column with what
// follows it.
func mask(line string, column int) (string, int) {
	if end := secretEnd(line); end >= 0 {
		line = line[:end] + " …"
	}
	for {
		m := userinfo.FindStringIndex(line)
		if m == nil {
			return line, column
		}
		from, to := utf8.RuneCountInString(line[:m[0]]), utf8.RuneCountInString(line[:m[1]])
		if column >= to-1 {
			column -= to - from - len([]rune("…@"))
		} else {
			column = min(column, from)
		}
		line = line[:m[0]] + "…@" + line[m[1]:]
	}
}

// insideSecret tells whether line goes on with the value of a secret's key
// above it. That ends with the first key that is not indented further.
func insideSecret(above []string, line string) bool {
	indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " \t-")) }
	least := math.MaxInt
	for i := len(above) - 1; ; i-- {
		if key.MatchString(line) {
			least = min(least, indent(line))
		}
		if i < 0 {
			return false
		}
		if line = above[i]; secretEnd(line) >= 0 && indent(line) < least {
			return true
		}
	}
}
