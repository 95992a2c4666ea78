package redact

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// form is what a secret looks like in some encoding, before it is escaped.
type form struct {
	text string
	// alone: it only counts with neither a letter nor a digit beside it.
	alone bool
	// encoded: the word that it is a part of may hold more of the secret, or
	// what goes with it.
	encoded bool
}

// long is the number of bytes from which a secret is hidden wherever it occurs.
// A shorter one is where it stands alone: a "1" is a part of many words and
// numbers, without which a message would mean nothing, and would tell the secret
// by what it lacks. longCode is the same for base64.
const long, longCode = 4, 6

// forms are those of a secret. In base64 it has three, since three bytes
// become four letters and how many stand before it is not known; the letters at
// its ends, which it shares with its neighbours, are not looked for.
func (s secret) forms() (all []form) {
	if !s.login {
		all = append(all, form{text: s.text, alone: len(s.text) < long})
	}
	if len(s.text) >= long {
		code := hex.EncodeToString([]byte(s.text))
		all = append(all, form{text: code, encoded: true}, form{text: strings.ToUpper(code), encoded: true})
	}
	for before := range 3 {
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			code := alphabet.EncodeToString(append(make([]byte, before), s.text...))
			f := form{text: code[(before*8+5)/6 : (before+len(s.text))*8/6]}
			f.alone, f.encoded = len(f.text) < longCode, len(f.text) >= longCode
			if f.encoded || before == 0 {
				all = append(all, f)
			}
		}
	}
	return slices.Compact(all)
}

// Of a secret that was cut off, the first part is hidden: of cutOff bytes or more
// where the text ends, and elsewhere of twice as many that are half of it.
const cutOff = 4

// find returns where a form ends that begins at a place of text; 0: none does.
func (f *form) find(text string, at int) (end int) {
	got := 0
	for got < len(f.text) && at+got < len(text) && text[at+got] == f.text[got] {
		got++
	}
	end = at + got
	switch {
	case got == len(f.text):
	case f.alone, got < cutOff:
		return 0
	case !atEnd(text, end) && (got < 2*cutOff || 2*got < len(f.text)):
		return 0
	}
	if f.alone {
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if wordy(before) || wordy(after) {
			return 0
		}
	}
	return end
}

func wordy(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// atEnd says whether a text ends at a place, but for an escape that was cut off.
func atEnd(text string, end int) bool {
	return end == len(text) || len(text)-end < 12 && strings.ContainsAny(text[end-1:end+1], `\%&`)
}

// span is a part of a text.
type span struct{ from, to int }

// secrets are where secrets stand in the text that the view was made from.
func (v view) secrets() (found []span) {
	word := 0 // the end of the last that is hidden as a whole
	for at := range len(v.text) {
		if at < word || at+1 < len(v.text) && !known.begins[v.text[at]][v.text[at+1]] {
			continue // as almost always
		}
		list := known.byFirst[v.text[at]]
		for i := range list {
			f := &list[i]
			from, to := at, f.find(v.text, at)
			if to == 0 {
				continue
			}
			if f.encoded {
				from = len(strings.TrimRightFunc(v.text[:at], coded))
				to = len(v.text) - len(strings.TrimLeftFunc(v.text[to:], coded))
				word = to
			}
			for to < len(v.text) && v.place(to) == v.place(to-1) {
				to++ // to the end of an escape that stands for several bytes
			}
			found = append(found, span{v.place(from), v.place(to)})
		}
	}
	return found
}

// hide puts [Hidden] in the place of every secret in text.
func hide(text string) string {
	known.RLock()
	defer known.RUnlock()
	var found []span
	for _, v := range views(text) {
		found = append(found, v.secrets()...)
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
		done = max(done, s.to)
	}
	return b.String() + text[done:]
}

// coded: what base64 and hexadecimal consist of.
func coded(r rune) bool {
	return r < utf8.RuneSelf && (wordy(r) || strings.ContainsRune("+/=_-", r))
}
