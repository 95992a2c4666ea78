package simulator

import (
	"errors"
	"strings"
	"unicode"
)

// word is a word of the command line, and how it was written.
type word struct {
	text, raw string
	quoted    bool
}

func (w word) option() bool { return !w.quoted && len(w.text) > 1 && w.text[0] == '-' }

var errQuote = errors.New("a quote is not closed")

// split takes a line apart. Words with blanks stand in double or single quotes,
// in which a backslash keeps the next character from its meaning, or between
// delimiters after a q, as expressions do. What was understood of a line with a
// quote that is not closed comes with the error.
func split(line string) ([]word, error) {
	var words []word
	for i := 0; i < len(line); {
		if blank(line[i]) {
			i++
			continue
		}
		begin := i
		if n := delimited(line[i:]); n > 0 {
			i += n
			words = append(words, word{text: line[begin+2 : i-1], raw: line[begin:i], quoted: true})
			continue
		}
		if line[i] != '"' && (line[i] != '\'' || !closed(line[i:])) {
			for i < len(line) && !blank(line[i]) {
				i++
			}
			words = append(words, word{text: line[begin:i], raw: line[begin:i]})
			continue
		}
		mark := line[i]
		var b strings.Builder
		for i++; ; i++ {
			if i >= len(line) {
				return words, errQuote
			}
			if line[i] == mark {
				i++
				break
			}
			if line[i] != '\\' || i+1 == len(line) {
				b.WriteByte(line[i])
				continue
			}
			i++
			switch line[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '"', '\'', '\\', '?':
				b.WriteByte(line[i])
			default:
				b.WriteByte('\\')
				b.WriteByte(line[i])
			}
		}
		words = append(words, word{text: b.String(), raw: line[begin:i], quoted: true})
	}
	return words, nil
}

// blank separates words; the others end lines in files of another system.
func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' }

// closed says whether a word in single quotes ends as one: names may begin with
// an apostrophe.
func closed(s string) bool {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\'':
			return i+1 == len(s) || blank(s[i+1])
		}
	}
	return false
}

// delimited is the length of a word like q{…} or q/…/ at the beginning of s; 0 if
// there is none.
func delimited(s string) int {
	if len(s) < 3 || s[0] != 'q' || !strings.ContainsRune("{[(</|~^`", rune(s[1])) {
		return 0
	}
	mark := s[1]
	if i := strings.IndexByte("{[(<", mark); i >= 0 {
		mark = "}])>"[i]
	}
	for i := 2; i < len(s); i++ {
		if s[i] == mark && (i+1 == len(s) || blank(s[i+1])) {
			return i + 1
		}
	}
	return 0
}

// quote writes a word of the command line.
func quote(s string) string {
	odd := func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("\"'\\{}#", r)
	}
	if s != "" && !strings.ContainsFunc(s, odd) && s[0] != '-' && delimited(s) == 0 && !strings.HasPrefix(s, "\ufeff") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
