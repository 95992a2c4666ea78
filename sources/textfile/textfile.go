// Package textfile reads what people and editors write into files: it knows the
// marks that editors leave, tells what is no text, and says where something is.
package textfile

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is what is wrong at one place of a text.
type Error struct {
	// Line and Column count from 1, the column in characters; both are 0 if
	// the whole text is meant.
	Line, Column int
	Message      string
	// Excerpt is the line with a caret under the column, "" if it is not to
	// be shown.
	Excerpt string
}

// Error is "line:column: message".
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message)
}

const mark = "\ufeff"

// Plain returns data without the mark that some editors put at the beginning.
// It refuses what is not UTF-8 at all: UTF-16 and binary files, by their names.
func Plain(data []byte) ([]byte, error) {
	switch {
	case utf16(data):
		return nil, &Error{1, 1, "is UTF-16, as some Windows programs write it; save the file as UTF-8", ""}
	case binary(data):
		return nil, &Error{1, 1, "is not a text file; check that it is the right one", ""}
	}
	return bytes.TrimPrefix(data, []byte(mark)), nil
}

func utf16(data []byte) bool {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return true
	}
	// Without a mark it shows in the first two letters.
	return len(data) >= 4 && (data[0] == 0) != (data[1] == 0) && (data[0] == 0) == (data[2] == 0) && (data[1] == 0) == (data[3] == 0)
}

// binary tells whether the first line has what no line of a text has.
func binary(data []byte) bool {
	line, _, _ := bytes.Cut(data[:min(len(data), 512)], []byte("\n"))
	return bytes.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) && r != '\x1b' })
}

// Visible finds the first character of text that cannot be seen in an editor
// and changes what the text means.
func Visible(text []byte) error {
	line, column, indents := 1, 1, true
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		wrong := func(format string, args ...any) error {
			return &Error{line, column, fmt.Sprintf(format, args...), ""}
		}
		indents = indents && unicode.IsSpace(r)
		switch {
		case r == utf8.RuneError && size == 1:
			return wrong("is not UTF-8 from here on; save the file as UTF-8")
		case r == '\r' && !bytes.HasPrefix(text[i:], []byte("\r\n")), invisible(r):
			return wrong("contains the invisible character %U; remove it", r)
		case indents && r > unicode.MaxASCII:
			return wrong("a blank that is not a space (%U) indents this line; replace it by a space", r)
		}
		i += size
		column++
		if r == '\n' {
			line, column, indents = line+1, 1, true
		}
	}
	return nil
}

// invisible are control characters, and what hides letters or reorders them.
func invisible(r rune) bool {
	return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) ||
		strings.ContainsRune("\u200b\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff", r)
}
