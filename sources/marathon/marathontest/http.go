package marathontest

import (
	"compress/gzip"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"
)

// serve answers a request to a node.
func (c *Cluster) serve(node int, w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	if c.down[node] {
		c.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	c.requests = append(c.requests, r.Method+" "+r.URL.Path)
	said, canned := c.answers[node]
	c.mu.Unlock()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if canned {
		kind := "application/json"
		if !json.Valid([]byte(said.body)) {
			kind = "text/html"
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(said.status)
		_, _ = io.WriteString(w, said.body) // the client has gone
		return
	}
	c.pass(node, w, r)
}

// pass answers as the leader, or as a standby that asks the leader.
func (c *Cluster) pass(node int, w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	leader, down := c.leader, c.down[c.leader]
	url := ""
	if leader >= 0 {
		url = c.url(leader)
	}
	c.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, c.options.Path)
	switch {
	case path == "/acs/api/v1/auth/login":
		c.login(w, r) // Admin Router's, not Marathon's
		return
	case !ok:
		http.NotFound(w, r)
		return
	case leader < 0 && c.options.Legacy503:
		fail(w, 503, "Could not determine the current leader")
		return
	case leader < 0:
		fail(w, 502, "Could not determine the current leader")
		return
	case down:
		fail(w, 502, "Error while proxying request to current leader: Connection refused")
		return
	case leader != node && path == "/v2/events":
		w.Header().Set("Location", url+r.URL.RequestURI())
		w.WriteHeader(http.StatusFound)
		return
	case leader != node:
		w.Header().Set("Via", "1.1 "+c.options.URLs[node])
	}
	user, ok := c.user(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="Mesosphere"`)
		fail(w, 401, "Invalid username or password.")
		return
	}
	w.Header().Set("X-Marathon-Leader", url)
	if c.options.Gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && path != "/v2/events" {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		w = zipped{w, z}
	}
	c.route(user, path, w, r)
}

type zipped struct {
	http.ResponseWriter
	w io.Writer
}

func (z zipped) Write(p []byte) (int, error) { return z.w.Write(p) }

// route is the table of what this stand-in knows ("Marathon API reference").
func (c *Cluster) route(user, path string, w http.ResponseWriter, r *http.Request) {
	app, isApp := strings.CutPrefix(path, "/v2/apps/")
	id, isTasks := strings.CutSuffix(app, "/tasks")
	pod, isPod := strings.CutPrefix(path, "/v2/pods/")
	switch {
	case r.Method != http.MethodGet:
		fail(w, 405, "HTTP 405 Method Not Allowed")
	case path == "/ping":
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "pong")
	case path == "/v2/events":
		c.events(w, r)
	case path == "/v2/apps":
		c.listApps(user, w, r)
	case isApp && isTasks:
		c.listTasks(user, "/"+id, w)
	case isPod:
		c.getPod("/"+pod, w)
	default:
		fail(w, 404, "HTTP 404 Not Found")
	}
}

// reply writes JSON. A client that has gone needs none.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"message": message})
}

// token is that of a service account.
type token struct {
	user  string
	until time.Time
}

// user is who makes a request.
func (c *Cluster) user(r *http.Request) (string, bool) {
	if len(c.options.Users) == 0 && len(c.options.Keys) == 0 {
		return "", true
	}
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "token="); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		t, ok := c.tokens[text]
		return t.user, ok && time.Now().Before(t.until)
	}
	user, password, ok := r.BasicAuth()
	want, known := c.options.Users[user]
	return user, ok && known && password == want
}

// Token makes a token for a user, good for an hour.
func (c *Cluster) Token(user string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serial++
	text := base64.RawURLEncoding.EncodeToString([]byte(user + "-token-" + stamp(time.Now())))
	c.tokens[text] = token{user, time.Now().Add(time.Hour)}
	return text
}

// Revoke makes all tokens invalid.
func (c *Cluster) Revoke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tokens)
}

// login is that of DC/OS's identity service ("Custom service accounts", DC/OS
// documentation).
func (c *Cluster) login(w http.ResponseWriter, r *http.Request) {
	var body struct {
		UID   string `json:"uid"`
		Token string `json:"token"`
		Exp   int64  `json:"exp"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if r.Method != http.MethodPost || d.Decode(&body) != nil {
		fail(w, 400, "Bad Request")
		return
	}
	key := c.options.Keys[body.UID]
	if key == nil || !proves(body.Token, body.UID, key) {
		fail(w, 401, "Unauthorized: "+body.Token) // some servers do repeat it
		return
	}
	text := c.Token(body.UID)
	http.SetCookie(w, &http.Cookie{Name: "dcos-acs-auth-cookie", Value: text})
	reply(w, 200, map[string]any{"token": text})
}

// proves says whether a JSON web token is signed by a key, for a user, and
// lives for a minute at most.
func proves(text, user string, key *rsa.PublicKey) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return false
	}
	var decoded [3][]byte
	for i, p := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			return false
		}
	}
	var header struct{ Alg, Typ string }
	var claims struct {
		UID string
		Exp int64
	}
	if json.Unmarshal(decoded[0], &header) != nil || json.Unmarshal(decoded[1], &claims) != nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	left := time.Until(time.Unix(claims.Exp, 0))
	return header.Alg == "RS256" && header.Typ == "JWT" && claims.UID == user && left > 0 && left <= time.Minute &&
		rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], decoded[2]) == nil
}

// Transport calls the nodes in process, without sockets: for testing/synctest,
// and for all requests but those for event streams, which never end.
func (c *Cluster) Transport() http.RoundTripper { return transport{c} }

type transport struct{ c *Cluster }

func (t transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	node := slices.IndexFunc(t.c.options.URLs, func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && u.Host == r.URL.Host
	})
	if node < 0 {
		return nil, errors.New("no such host")
	}
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			err = io.EOF
		} else if p != nil {
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	t.c.serve(node, w, r)
	resp = w.Result()
	resp.Request = r
	return resp, nil
}
