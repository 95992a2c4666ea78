package simulator

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// session is a login. A session that died stays known until it is forgotten
// by a boot or a failover, so that its death can be told from never having
// been (codes 444 and 1027).
type session struct {
	id, user    string
	partition   string
	begun, last time.Time
	timeout     time.Duration
	dead        bool
}

const defaultTimeout = 30 * time.Minute // NITRO 10.5 and later

func (s *Simulator) expire(now time.Time) {
	for _, ses := range s.sessions {
		if ses.timeout > 0 && now.Sub(ses.last) > ses.timeout {
			ses.dead = true
		}
	}
}

func (s *Simulator) live() int {
	n := 0
	for _, ses := range s.sessions {
		if !ses.dead {
			n++
		}
	}
	return n
}

func (s *Simulator) maxSessions() int {
	if s.opt.MaxSessions > 0 {
		return s.opt.MaxSessions
	}
	return 20
}

var loginCommand = &command{attrs: []attr{
	{name: "username", required: true},
	{name: "password", required: true},
	{name: "timeout", kind: integer, max: 100000000},
}}

func (s *Simulator) login(it item) (*session, *failure) {
	if f := loginCommand.validate(it, s.lacks); f != nil {
		return nil, f
	}
	now := time.Now()
	s.expire(now)
	ses := &session{user: it.get("username"), timeout: defaultTimeout, begun: now, last: now}
	if !s.password(ses.user, it.get("password")) {
		return nil, fail(codeBadPassword)
	}
	if it.has("timeout") {
		seconds := it.int("timeout")
		restricted := s.opt.RestrictedTimeout && (seconds < 300 || seconds > 86400)
		if restricted || seconds > 0 && seconds < 10 {
			return nil, fail(codeSessionTimeout, seconds)
		}
		ses.timeout = time.Duration(seconds) * time.Second
	} else if s.opt.RestrictedTimeout {
		ses.timeout = 15 * time.Minute
	}
	if s.live() >= s.maxSessions() {
		return nil, fail(codeSessionLimit)
	}
	if len(s.sessions) > 1000 {
		maps.DeleteFunc(s.sessions, func(_ string, ses *session) bool { return ses.dead })
	}
	id := make([]byte, 126) // as long as recorded ones
	rand.Read(id)           // never fails
	ses.id = "##" + strings.ToUpper(hex.EncodeToString(id))
	s.sessions[ses.id] = ses
	return ses, nil
}

// identify tells who asks. html is set where the appliance answers with a page
// instead of JSON.
func (s *Simulator) identify(h http.Header, body string, now time.Time) (user string, ses *session, html bool, f *failure) {
	s.expire(now)
	if id := token(h, body); id != "" {
		ses := s.sessions[id]
		switch {
		case ses == nil:
			return "", nil, false, fail(codeNotLoggedIn)
		case ses.dead:
			return ses.user, nil, false, fail(cmp.Or(s.opt.DeadSession, codeSessionDead))
		}
		ses.last = now
		return ses.user, ses, false, nil
	}
	if user := h.Get("X-NITRO-USER"); user != "" {
		if !s.password(user, h.Get("X-NITRO-PASS")) {
			return user, nil, false, fail(codeBadPassword)
		}
		return user, nil, false, s.stateless()
	}
	if user, password, ok := (&http.Request{Header: h}).BasicAuth(); ok {
		if s.opt.NoBasicAuth {
			return user, nil, false, fail(codeBasicDisabled)
		}
		if !s.password(user, password) {
			return user, nil, true, fail(codeBadPassword)
		}
		return user, nil, false, s.stateless()
	}
	return "", nil, false, fail(cmp.Or(s.opt.NoLogin, codeLoginRequired))
}

// stateless checks that a request with its own credentials, which is a login
// and a logout on the appliance, finds a free session.
func (s *Simulator) stateless() *failure {
	if s.live() >= s.maxSessions() {
		return fail(codeSessionLimit)
	}
	return nil
}

// token finds the session in all the places where clients put it: the cookies
// NITRO_AUTH_TOKEN and sessionid, the request header Set-Cookie (the official
// Go and Python clients), and the body.
func token(h http.Header, body string) string {
	for _, name := range []string{"Cookie", "Set-Cookie"} {
		for _, line := range h.Values(name) {
			for part := range strings.SplitSeq(line, ";") {
				key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
				if key == "NITRO_AUTH_TOKEN" || key == "sessionid" {
					return plainToken(value)
				}
			}
		}
	}
	return plainToken(body)
}

func plainToken(s string) string {
	s = strings.Trim(s, `"`)
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

func showSessions(x *exec, q *query, l *listing) *failure {
	for _, id := range slices.Sorted(maps.Keys(x.sessions)) {
		ses := x.sessions[id]
		if ses.dead || q.named && ses.id != q.name {
			continue
		}
		l.row("sid", ses.id, "username", ses.user, "logintime", ses.begun.Format(time.ANSIC),
			"lastactivitytime", ses.last.Format(time.ANSIC), "expirytime", strconv.Itoa(int(ses.timeout.Seconds())),
			"clienttype", "API", "partitionname", cmp.Or(ses.partition, "default"))
	}
	return nil
}
