// Package redacttest looks for secrets in what a program has printed. It shares
// nothing with package redact, which it judges.
package redacttest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Forms are what a secret may look like.
func Forms(secret string) (all []string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(secret) // of a string cannot fail
	escaped, _ := json.Marshal(secret)
	all = []string{
		secret, strings.Trim(b.String(), "\"\n"), strings.Trim(string(escaped), `"`), strings.Trim(strconv.Quote(secret), `"`),
		url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret), hex.EncodeToString([]byte(secret)),
	}
	for _, form := range slices.Clone(all) { // in JSON, as in a log
		again, _ := json.Marshal(form)
		all = append(all, strings.Trim(string(again), `"`), html.EscapeString(form))
	}
	// Behind one byte, two or three; without the letters that it shares with its
	// neighbours.
	for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			code := alphabet.EncodeToString(append(make([]byte, before), secret...))
			all = append(all, code[(before*8+5)/6:len(code)-1])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Shown is the first form of a secret that is in output, also the first half of
// a long one; "": none is.
func Shown(output string, secrets ...string) string {
	for _, secret := range secrets {
		for _, form := range Forms(secret) {
			if half := form[:(len(form)+1)/2]; len(half) >= 10 {
				form = half
			}
			if strings.Contains(output, form) {
				return form
			}
		}
	}
	return ""
}
