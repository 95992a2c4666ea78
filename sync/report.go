package sync

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Report writes a result for somebody.
type Report func(w io.Writer, r Result) error

// Reports are the outputs by name.
var Reports = map[string]Report{"text": Text, "json": JSON, "nscli": NSCLI}

// oneLine makes text that came from outside fit to print: no control
// characters, no line breaks, and not too long.
func oneLine(s string) string {
	const most = 400
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ReplaceAll(s, "\n", "; "))
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
