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
// where the text ends, and elsewhere of twice as many that are half of it.
const cutOff = 4

// find returns where a secret ends that begins at a place of the view; 0: it does
// not.
func (v *view) find(secret string, at int) (end int) {
	text, got := v.text, 0
	for got < len(secret) && at+got < len(text) && text[at+got] == secret[got] {
		got++
	}
	end = at + got
	switch {
	case got < min(cutOff, len(secret)):
		return 0
	case common(secret):
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[end:])
		said := v.decoded && !strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) })
		if got < len(secret) || wordy(before) || wordy(after) || !said && !label.MatchString(text[max(0, at-40):at]) {
			return 0
		}
	case got < len(secret) && !atEnd(text, end) && (got < 2*cutOff || 2*got < len(secret)):
		return 0
	}
	return end
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
	for word := range runs(v.text, 4, code) {
		if slices.ContainsFunc(decoded(v.text[word.from:word.to]), func(text string) bool { return shows(text, deep-1) }) {
			padding := len(v.text) - word.to - len(strings.TrimLeft(v.text[word.to:], "="))
			found = append(found, span{v.place(word.from), v.place(word.to + padding)})
		}
	}
	return found
}

// encodings is how often a secret may have been encoded, one around the other.
const encodings = 2

// shows says whether there is a secret in what a word says.
func shows(text string, deep int) bool {
	return slices.ContainsFunc(views(view{text: text, decoded: true}), func(v view) bool { return len(v.secrets(deep)) > 0 })
}

const hexadecimals = "0123456789ABCDEFabcdef"

// code are the letters of words that may be base64 or hexadecimal, and digits those
// of the latter.
var (
	code   = letterSet(hexadecimals + "GHIJKLMNOPQRSTUVWXYZghijklmnopqrstuvwxyz+/_-")
	digits = letterSet(hexadecimals)
)

func letterSet(letters string) *[256]bool {
	var set [256]bool
	for _, letter := range []byte(letters) {
		set[letter] = true
	}
	return &set
}

// runs are the parts of a text that consist of letters of a set, at least so many.
// Every line of every report is looked at: a regular expression takes ten times as
// long.
func runs(text string, least int, set *[256]bool) iter.Seq[span] {
	return func(yield func(span) bool) {
		for from := 0; from < len(text); from++ {
			to := from
			for to < len(text) && set[text[to]] {
				to++
			}
			if to-from >= least && !yield(span{from, to}) {
				return
			}
			from = to
		}
	}
}

// standard has the letters of base64 for URLs in the other alphabet.
var standard = strings.NewReplacer("-", "+", "_", "/")

// decoded is what a word may say. Where its code begins is not known: what stands
// before it may be of the same letters.
func decoded(word string) (all []string) {
	word = standard.Replace(word)
	for from := range min(4, len(word)-3) {
		text := word[from:]
		if len(text)%4 == 1 {
			text = text[:len(text)-1] // half a byte
		}
		if plain, err := base64.RawStdEncoding.DecodeString(text); err == nil {
			all = append(all, string(plain))
		}
		if len(word) < 8 {
			break
		}
	}
	for run := range runs(word, 8, digits) {
		for from := range 2 {
			text := word[run.from+from : run.to]
			if plain, err := hex.DecodeString(text[:len(text)&^1]); err == nil {
				all = append(all, string(plain))
			}
		}
	}
	return all
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
