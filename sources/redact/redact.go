// Package redact is where text from outside becomes part of a message. It knows
// every secret in use, and no message that was made here shows one, whatever
// form it has been echoed in: as it is, escaped for JSON, HTML or a URL, one
// within another, in hexadecimal or base64, by itself or with the user's name
// or anything else around it; also if it was cut off on the way.
//
// The secrets are those of the whole process, because one server may be told
// another's: a proxy that all requests go through sees them all.
package redact

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Hidden stands where a secret stood.
const Hidden = "***"

// recent is how many of the secrets that come and go are known: tokens and
// sessions, of which a process that runs for a year has many.
const recent = 256

// secret is a text that must not be shown; login: only what it looks like when it
// is encoded, since it begins with a user's name.
type secret struct {
	text  string
	login bool
}

var known struct {
	sync.RWMutex
	lasting map[secret]bool
	passing []secret       // the latest last
	byFirst [256][]form    // what both look like, by the first byte
	begins  [256][256]bool // the first two bytes of these
}

// Keep makes sure that no message shows the secrets, for as long as the process
// lives. It is to be called before a secret is sent anywhere. Of a text of
// several lines, such as a key, each line is a secret too.
func Keep(secrets ...string) { learn(true, lines(secrets)) }

// Login keeps the password of a user, also as HTTP's basic authentication sends
// it.
func Login(user, password string) {
	if password != "" {
		learn(true, append(lines([]string{password}), secret{user + ":" + password, true}))
	}
}

// Session is Keep for what comes and goes: tokens, and the sessions of log-ins. Of
// those that are never mentioned again it may forget the oldest.
func Session(secrets ...string) { learn(false, lines(secrets)) }

// Sent keeps the credentials in the header of a request, as [Session] does.
func Sent(h http.Header) {
	var secrets []string
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		for _, value := range h.Values(name) {
			scheme, token, _ := strings.Cut(value, " ")
			if token == "" { // of DC/OS: token=...
				scheme, token, _ = strings.Cut(value, "=")
			}
			if token == "" {
				token = scheme
			}
			secrets = append(secrets, token)
			if plain, err := base64.StdEncoding.DecodeString(token); err == nil && strings.EqualFold(scheme, "basic") {
				_, password, _ := strings.Cut(string(plain), ":")
				secrets = append(secrets, password)
			}
		}
	}
	for _, value := range h.Values("Cookie") {
		for pair := range strings.SplitSeq(value, ";") {
			if _, session, ok := strings.Cut(pair, "="); ok {
				secrets = append(secrets, session)
				if plain, err := url.QueryUnescape(session); err == nil {
					secrets = append(secrets, plain)
				}
			}
		}
	}
	Session(secrets...)
}

// URL keeps the password in a URL, also in one that cannot be parsed.
func URL(text string) {
	_, rest, _ := strings.Cut(text, "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, both := strings.Cut(rest[:at], ":")
		if !both { // a token
			Keep(user)
		}
		Login(user, password)
		if plain, err := url.PathUnescape(password); err == nil {
			Login(user, plain)
		}
	}
}

// lines are those of texts, each a secret of its own.
func lines(texts []string) (all []secret) {
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-----") {
				all = append(all, secret{text: line})
			}
		}
	}
	return all
}

func learn(lasting bool, secrets []secret) {
	known.Lock()
	defer known.Unlock()
	if known.lasting == nil {
		known.lasting = map[secret]bool{}
	}
	changed := false
	for _, s := range secrets {
		i := slices.Index(known.passing, s)
		switch {
		case known.lasting[s]:
			continue
		case lasting:
			known.lasting[s] = true
		case i >= 0:
			known.passing = append(slices.Delete(known.passing, i, i+1), s)
			continue
		default:
			known.passing = append(known.passing, s)
			known.passing = known.passing[max(0, len(known.passing)-recent):]
		}
		changed = true
	}
	if !changed {
		return
	}
	known.byFirst, known.begins = [256][]form{}, [256][256]bool{}
	for _, s := range slices.AppendSeq(slices.Clone(known.passing), maps.Keys(known.lasting)) {
		for _, f := range s.forms() {
			first := f.text[0]
			known.byFirst[first] = append(known.byFirst[first], f)
			for second := range 256 {
				if len(f.text) == 1 || int(f.text[1]) == second {
					known.begins[first][second] = true
				}
			}
		}
	}
}
