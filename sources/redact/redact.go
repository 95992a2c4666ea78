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

var known struct {
	sync.RWMutex
	lasting map[string]bool
	passing []string       // the latest last
	byFirst [256][]string  // both, by the first byte
	begins  [256][256]bool // the first two bytes of these
	common  map[string]bool
}

func init() { Common("true", "false", "null", "none", "nitrox") }

// Common makes known what messages consist of: the names in a mapping. A secret
// that is one of them, or a number of up to five digits, an address, or no longer
// than three bytes, is common too. It is only hidden where it is said to be a
// secret, as in password=80, and where it is encoded.
func Common(words ...string) {
	known.Lock()
	defer known.Unlock()
	if known.common == nil {
		known.common = map[string]bool{}
	}
	for _, word := range words {
		known.common[word] = true
	}
}

// IsCommon says whether a secret cannot be hidden wherever it stands.
func IsCommon(secret string) bool {
	known.RLock()
	defer known.RUnlock()
	return common(secret)
}

// Keep makes sure that no message shows the secrets, for as long as the process
// lives. It is to be called before a secret is sent anywhere. Of a text of
// several lines, such as a key, each line is a secret too.
func Keep(secrets ...string) { learn(true, lines(secrets)) }

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
		Keep(password)
		if plain, err := url.PathUnescape(password); err == nil {
			Keep(plain)
		}
	}
}

// lines are those of texts, each a secret of its own.
func lines(texts []string) (all []string) {
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-----") {
				all = append(all, line)
			}
		}
	}
	return all
}

func learn(lasting bool, secrets []string) {
	known.Lock()
	defer known.Unlock()
	if known.lasting == nil {
		known.lasting = map[string]bool{}
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
	known.byFirst, known.begins = [256][]string{}, [256][256]bool{}
	for _, s := range slices.AppendSeq(slices.Clone(known.passing), maps.Keys(known.lasting)) {
		known.byFirst[s[0]] = append(known.byFirst[s[0]], s)
		for second := range 256 {
			if len(s) == 1 || int(s[1]) == second {
				known.begins[s[0]][second] = true
			}
		}
	}
}
