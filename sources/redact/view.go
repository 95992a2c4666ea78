package redact

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// view is a text, or what it says when escapes in it are taken for what they
// stand for.
type view struct {
	text string
	// at is where each byte of text stands in the text that it was made from,
	// and at the end where that ends; nil: it is that text.
	at []int
	// decoded: the text is what a word in base64 or hexadecimal says.
	decoded bool
}

// place is where the i-th byte stands in the original.
func (v *view) place(i int) int {
	if v.at == nil {
		return i
	}
	return v.at[i]
}

// Bounds of what one text can be taken for: nobody escapes a JSON text within a
// URL within a page much further, and a text may be made to cost much time.
const deepest, mostViews = 4, 32

// escapes are the characters that escapes begin with, and those of lines that
// were broken.
const escapes = "\\%&+\r\n"

// views are all that a text can be taken for: there is no telling how often it
// was escaped on its way, nor for what.
func views(text view) []view {
	all := []view{text}
	if !strings.ContainsAny(text.text, escapes) {
		return all
	}
	seen := map[string]bool{text.text: true}
	for layer, depth := all, 0; len(layer) > 0 && depth < deepest; depth++ {
		var next []view
		for _, v := range layer {
			for _, unescape := range []func(string) (string, int){unescapeJSON, unescapeHTML, unescapePath, unescapeQuery, unfold} {
				u := v.unescaped(unescape)
				if !seen[u.text] && len(seen) < mostViews {
					seen[u.text] = true
					next = append(next, u)
				}
			}
		}
		all, layer = append(all, next...), next
	}
	return all
}

// unescaped is the view with escapes of one sort taken for what they stand for.
// unescape returns that of the escape that a text begins with, and its length; 0:
// there is none.
func (v view) unescaped(unescape func(string) (string, int)) view {
	var b strings.Builder
	var at []int
	for i := 0; i < len(v.text); {
		plain, n := v.text[i:i+1], 1
		if strings.IndexByte(escapes, v.text[i]) >= 0 {
			if p, length := unescape(v.text[i:]); length > 0 {
				plain, n = p, length
			}
		}
		b.WriteString(plain)
		for range len(plain) {
			at = append(at, v.place(i))
		}
		i += n
	}
	return view{b.String(), append(at, v.place(len(v.text))), v.decoded}
}

// letters behind a backslash stand for the characters of named.
const letters, named = "abfnrtv", "\a\b\f\n\r\t\v"

func unescapeJSON(text string) (string, int) {
	if len(text) < 2 || text[0] != '\\' {
		return "", 0
	}
	switch c := text[1]; {
	case c == 'x':
		if n, ok := hexadecimal(text[2:], 2); ok {
			return string([]byte{byte(n)}), 4
		}
	case c == 'U': // Go's and Python's
		if n, ok := hexadecimal(text[2:], 8); ok {
			return string(n), 10
		}
	case c == 'u':
		n, ok := hexadecimal(text[2:], 4)
		if !ok {
			return "", 0
		}
		if rest := text[6:]; utf16.IsSurrogate(n) && strings.HasPrefix(rest, `\u`) {
			if low, ok := hexadecimal(rest[2:], 4); ok {
				return string(utf16.DecodeRune(n, low)), 12
			}
		}
		return string(n), 6
	case strings.IndexByte(letters, c) >= 0:
		return named[strings.IndexByte(letters, c):][:1], 2
	case c < utf8.RuneSelf && !wordy(rune(c)):
		return text[1:2], 2
	}
	return "", 0
}

func unescapeHTML(text string) (string, int) {
	if end := strings.IndexByte(text[:min(len(text), 12)], ';'); text[0] == '&' && end > 0 {
		if plain := html.UnescapeString(text[:end+1]); plain != text[:end+1] {
			return plain, end + 1
		}
	}
	return "", 0
}

func unescapePath(text string) (string, int) {
	if n, ok := hexadecimal(text[1:], 2); ok && text[0] == '%' {
		return string([]byte{byte(n)}), 3
	}
	return "", 0
}

func unescapeQuery(text string) (string, int) {
	if text[0] == '+' {
		return " ", 1
	}
	return unescapePath(text)
}

// unfold takes lines for one that was broken, as long ones are in PEM and mail.
func unfold(text string) (string, int) {
	if text[0] != '\r' && text[0] != '\n' {
		return "", 0
	}
	return "", len(text) - len(strings.TrimLeft(text, " \t\r\n"))
}

func hexadecimal(text string, digits int) (rune, bool) {
	if len(text) < digits {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:digits], 16, 32)
	return rune(n), err == nil
}
