package netscaler

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// sessionCookies are the names under which a log-in sets its session: that of
// the appliance ("NITRO documentation, log on"), another that appliances were
// recorded with, and that of a NetScaler Console ("NetScaler Console as an API
// proxy server").
var sessionCookies = []string{"NITRO_AUTH_TOKEN", "SESSIONID", "SESSID"}

// takeCookies keeps the session that a log-in set as a cookie. Builds differ in
// whether they send it in the body too.
func (a *reply) takeCookies(resp *http.Response) {
	for _, cookie := range resp.Cookies() {
		if !slices.Contains(sessionCookies, strings.ToUpper(cookie.Name)) {
			continue
		}
		if cookie.MaxAge < 0 || cookie.Value == "deleted" { // an old one is taken back
			continue
		}
		if id, err := url.QueryUnescape(cookie.Value); err == nil {
			a.cookies = append(a.cookies, cookie.Name+"="+cookie.Value)
			if a.session == "" {
				a.session = id
			}
		}
	}
}

// consoleCookie presents the session to a Console: under the names that it set
// itself, as it wrote them, and under the appliance's name, which the official
// Ansible collection uses.
func (a *reply) consoleCookie() string {
	cookies := a.cookies
	if !slices.ContainsFunc(cookies, func(c string) bool { return strings.HasPrefix(c, "NITRO_AUTH_TOKEN=") }) {
		cookies = append(cookies, "NITRO_AUTH_TOKEN="+a.session)
	}
	return strings.Join(cookies, "; ")
}

type login struct{ SessionID string }

// loginSession is the session in the object, or the list of one, that a Console
// answers a log-in with. An answer of another form holds none.
func loginSession(raw json.RawMessage) string {
	var list []login
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		return list[0].SessionID
	}
	var single login
	if json.Unmarshal(raw, &single) != nil {
		return ""
	}
	return single.SessionID
}
