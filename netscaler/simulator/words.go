package simulator

import (
	"errors"
	"strings"
)

// word is a word of the command line, and how it was written.
type word struct {
	text, raw string
	quoted    bool
}

func (w word) option() bool { return !w.quoted && len(w.text) > 1 && w.text[0] == '-' }

var errQuote = errors.New("a quote is not closed")

// split takes a line apart; words with spaces stand in double quotes, in which
// a backslash keeps the next character from its meaning.
func split(line string) ([]word, error) {
	var words []word
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		begin := i
		if line[i] != '"' {
			for i < len(line) && line[i] != ' ' && line[i] != '\t' {
				i++
			}
			words = append(words, word{text: line[begin:i], raw: line[begin:i]})
			continue
		}
		var b strings.Builder
		for i++; ; i++ {
			if i >= len(line) {
				return nil, errQuote
			}
			if line[i] == '"' {
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
			case '"', '\\', '?':
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

// quote writes a word of the command line.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\"'\\{}#") && s[0] != '-' {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
