package redact

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// plainly finds the same as [view.secrets], as plainly as that can be said: all words
// that may be encoded are decoded, whatever they say.
func (v *view) plainly(deep int) (found []span) {
	for at := range len(v.text) {
		for _, secret := range known.byFirst[v.text[at]] {
			if to := v.find(secret, at); to > 0 {
				for to < len(v.text) && v.place(to) == v.place(to-1) {
					to++
				}
				found = append(found, span{v.place(at), v.place(to)})
			}
		}
	}
	if deep == 0 {
		return found
	}
	for _, at := range regexp.MustCompile(`[A-Za-z0-9+/_-]{4,}=*`).FindAllStringIndex(v.text, -1) {
		word, said := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(v.text[at[0]:at[1]], "=")), []string{}
		for from := range min(4, len(word)-3) {
			text := word[from:]
			if len(text)%4 == 1 {
				text = text[:len(text)-1]
			}
			if plain, err := base64.RawStdEncoding.DecodeString(text); err == nil && (from == 0 || len(word) >= 8) {
				said = append(said, string(plain))
			}
		}
		for _, run := range regexp.MustCompile(`[0-9A-Fa-f]{8,}`).FindAllString(word, -1) {
			for from := range 2 {
				if plain, err := hex.DecodeString(run[from : from+(len(run)-from)&^1]); err == nil {
					said = append(said, string(plain))
				}
			}
		}
		if slices.ContainsFunc(said, func(text string) bool {
			all := views(view{text: text, decoded: true})
			return slices.ContainsFunc(all, func(v view) bool { return len(v.plainly(deep-1)) > 0 })
		}) {
			found = append(found, span{v.place(at[0]), v.place(at[1])})
		}
	}
	return found
}

// FuzzSecrets: what is not decoded, because there can be nothing in it, has nothing in it.
func FuzzSecrets(f *testing.F) {
	Keep("correct-horse", "80", "x", "päss%wörd")
	b64, b64url, inHex := base64.StdEncoding.EncodeToString, base64.RawURLEncoding.EncodeToString, hex.EncodeToString
	secret := []byte("correct-horse")
	for _, text := range []string{
		"kubernetes: pod web-7d9fb8c6d-x2x4z on node worker-12", "deadbeefcafe0123", b64(secret),
		"zzz" + b64(secret), b64url([]byte("user:correct-horse")),
		inHex(secret), "f" + inHex(secret), b64([]byte(inHex(secret))), inHex([]byte(b64(secret))),
		b64([]byte("a%63orrect-horse")), b64([]byte("correct%2dhorse")),
		"password=" + b64([]byte("80")), b64([]byte("80")), b64([]byte("x")), "eHg=x", b64([]byte("päss%wörd")), b64(secret[:5]),
		"AAAA" + inHex(secret)[3:], strings.Repeat(b64(secret), 9),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		known.RLock()
		defer known.RUnlock()
		for _, v := range views(view{text: text}) {
			if got, want := v.secrets(encodings), v.plainly(encodings); !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", v.text, got, want)
			}
		}
	})
}
