package redact

import (
	"encoding/base64"
	"encoding/hex"
	"iter"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// short is the number of bytes up to which a secret is common: see [Common].
const short = 3

// common: a secret that messages consist of. They would mean nothing without it,
// and tell it by what they lack.
func common(secret string) bool {
	_, err := netip.ParseAddr(secret)
	return len(secret) <= short || err == nil || number.MatchString(secret) || known.common[secret]
}

var (
	// number is one that a message may have: a port, a count, a status.
	number = regexp.MustCompile(`^[0-9]{1,5}$`)
	// label says that what follows is a secret.
	label = regexp.MustCompile(`(?i)(?:(?:pass\w*|pwd|secret|token|cookie|session\w*|authorization)["'\\]*\s*[:=]\s*["'\\]*|\b(?:basic|bearer)\s+)$`)
)

// Of a secret that was cut off, the first part is hidden: of cutOff bytes or more
// where the text ends, and elsewhere of twice as many that are half of it. What is
// common, such as the port 8080 beside a secret that begins with it, is none.
const cutOff = 4

// find returns where a secret ends that begins at a place of the view; 0: it does
// not.
func (v *view) find(secret string, at int) (end int) {
	text, got := v.text, 0
	for got < len(secret) && at+got < len(text) && text[at+got] == secret[got] {
		got++
	}
	if got < min(cutOff, len(secret)) {
		return 0
	}
	end, whole := at+got, got == len(secret)
	said := func() bool { return label.MatchString(text[max(0, at-40):at]) }
	switch {
	case common(secret):
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if !whole || wordy(before) || wordy(after) || !said() && !(v.decoded && alone(text, at, end)) {
			return 0
		}
	case !whole && !atEnd(text, end) && (got < 2*cutOff || 2*got < len(secret)),
		!whole && common(name(text, at, end)) && !said():
		return 0
	}
	return end
}

// alone says whether a text that was encoded is a secret, by itself or behind a user's
// name. Whatever else a number or a path says when it is decoded, it says by chance.
func alone(text string, at, end int) bool {
	odd := func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }
	return (at == 0 || text[at-1] == ':') && strings.TrimSpace(text[end:]) == "" && !strings.ContainsFunc(text[:at], odd)
}

// name is the word of a text that a part of it belongs to.
func name(text string, from, to int) string {
	const marks = "._-/"
	part := func(r rune) bool { return wordy(r) || strings.ContainsRune(marks, r) }
	from = len(strings.TrimRightFunc(text[:from], part))
	to = len(text) - len(strings.TrimLeftFunc(text[to:], part))
	return strings.Trim(text[from:to], marks)
}

func wordy(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// atEnd says whether a text ends at a place, but for an escape that was cut off.
func atEnd(text string, end int) bool {
	return end == len(text) || len(text)-end < 12 && strings.ContainsAny(text[end-1:end+1], `\%&`)
}

// span is a part of a text.
type span struct{ from, to int }

// secrets are where secrets stand in the text that the view was made from: as
// they are, or in words that are base64 or hexadecimal, which are hidden as a
// whole. deep: what such a word says may be encoded again as often.
func (v *view) secrets(deep int) (found []span) {
	for at := range len(v.text) {
		if at+1 < len(v.text) && !known.begins[v.text[at]][v.text[at+1]] {
			continue // as almost always
		}
		for _, secret := range known.byFirst[v.text[at]] {
			to := v.find(secret, at)
			if to == 0 {
				continue
			}
			for to < len(v.text) && v.place(to) == v.place(to-1) {
				to++ // to the end of an escape that stands for several bytes
			}
			found = append(found, span{v.place(at), v.place(to)})
		}
	}
	if deep == 0 {
		return found
	}
	for word := range runs(v.text, &code, leastCode) {
		if says(v.text[word.from:word.to], deep-1) {
			for word.to < len(v.text) && v.text[word.to] == '=' {
				word.to++
			}
			found = append(found, span{v.place(word.from), v.place(word.to)})
		}
	}
	return found
}

// encodings is how often a secret may have been encoded, one around the other.
const encodings = 2

// shows says whether there is a secret in what a word says. Almost always there is
// nothing in it that could be one, which is seen at once: every text that is printed
// comes here, and of a large installation there are 100,000 in a pass.
func shows(text []byte, deep int) bool {
	if dull(text, deep) {
		return false
	}
	return slices.ContainsFunc(views(view{text: string(text), decoded: true}), func(v view) bool { return len(v.secrets(deep)) > 0 })
}

// dull: there are neither escapes in the text nor words that may be encoded, and no
// secret begins in it.
func dull(text []byte, deep int) bool {
	letters := 0
	for i, c := range text {
		if letters++; !code[c] {
			letters = 0
		}
		if letters == leastCode && deep > 0 || strings.IndexByte(escapes, c) >= 0 ||
			i+1 < len(text) && known.begins[c][text[i+1]] || i+1 == len(text) && len(known.byFirst[c]) > 0 {
			return false
		}
	}
	return true
}

// code are the letters of words that may be base64 or hexadecimal, and digits those
// that are hexadecimal alone. Shorter ones say nothing.
var code, digits = letter("+/_-ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ" + hexDigits), letter(hexDigits)

const (
	hexDigits              = "0123456789abcdefABCDEF"
	leastCode, leastDigits = 4, 8
)

func letter(all string) (is [256]bool) {
	for _, c := range []byte(all) {
		is[c] = true
	}
	return is
}

// runs are where there are at least so many of some letters in a row.
func runs(text string, letters *[256]bool, least int) iter.Seq[span] {
	return func(yield func(span) bool) {
		from := 0
		for i := range len(text) + 1 {
			if i < len(text) && letters[text[i]] {
				continue
			}
			if i-from >= least && !yield(span{from, i}) {
				return
			}
			from = i + 1
		}
	}
}

// says says whether there is a secret in what a word may say. Where its code begins is
// not known: what stands before it may be of the same letters.
func says(word string, deep int) bool {
	var room, plain [128]byte
	letters := append(room[:0], word...)
	for i, c := range letters { // base64 for URLs has these two others
		switch c {
		case '-':
			letters[i] = '+'
		case '_':
			letters[i] = '/'
		}
	}
	for from := range min(4, len(word)-3) {
		text := letters[from:]
		if len(text)%4 == 1 {
			text = text[:len(text)-1] // half a byte
		}
		if said, err := base64.RawStdEncoding.AppendDecode(plain[:0], text); err == nil && shows(said, deep) {
			return true
		}
		if len(word) < 8 {
			break
		}
	}
	for run := range runs(word, &digits, leastDigits) {
		for from := range 2 {
			text := letters[run.from+from : run.to]
			if said, err := hex.AppendDecode(plain[:0], text[:len(text)&^1]); err == nil && shows(said, deep) {
				return true
			}
		}
	}
	return false
}

// hide puts [Hidden] in the place of every secret in text.
func hide(text string) string {
	known.RLock()
	defer known.RUnlock()
	var found []span
	for _, v := range views(view{text: text}) {
		found = append(found, v.secrets(encodings)...)
	}
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	var b strings.Builder
	done := 0
	for i, s := range found {
		if i == 0 || s.from > done {
			b.WriteString(text[done:s.from] + Hidden)
		}
		// What stands at the end of a line says nothing of it.
		done = max(done, s.from+len(strings.TrimRight(text[s.from:s.to], " \t\r\n")))
	}
	return b.String() + text[done:]
}
