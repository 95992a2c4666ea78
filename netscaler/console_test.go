package netscaler_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

const proxyHeader = "_MPS_API_PROXY_MANAGED_INSTANCE_IP"

// console stands in for a NetScaler Console: it has users and sessions of its
// own, and passes calls that name an instance on to it, logging in there by
// itself with each of them ("NetScaler Console as an API proxy server").
type console struct {
	t         *testing.T
	instances map[string]*simulator.Simulator

	// What is not recorded of it.
	cookie  string // the cookie that it takes
	inBody  string // the format of the log-in's answer, with a verb for the session
	setsOwn bool   // it sets that cookie itself

	mu       sync.Mutex
	sessions map[string]bool
	begun    int
	full     int // log-ins to refuse for too many sessions
}

func (c *console) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.mu.Lock()
	defer c.mu.Unlock()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/nitro/v1/config/")
	switch instance := r.Header.Get(proxyHeader); {
	case (path == "login" || path == "logout") && instance != "":
		c.t.Errorf("a %s is sent to the appliance", path)
	case path == "login":
		c.login(w, string(body))
	case path == "logout":
		var out struct{ Logout struct{ SessionID string } }
		if err := json.Unmarshal(body, &out); err != nil || !c.sessions[out.Logout.SessionID] {
			c.t.Errorf("logout: %s", body)
		}
		delete(c.sessions, out.Logout.SessionID)
		fmt.Fprint(w, `{ "errorcode": 0, "message": "Done" }`)
	case !c.sessions[c.session(r)]:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{ "errorcode": 10002, "message": "Session expired" }`)
	case c.instances[instance] == nil:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{ "errorcode": 10100, "message": "Instance %s is not managed" }`, instance)
	default:
		on := r.Clone(r.Context())
		on.Body = io.NopCloser(strings.NewReader(string(body)))
		on.Header.Del("Cookie")
		on.Header.Set("X-NITRO-USER", "nitrox")
		on.Header.Set("X-NITRO-PASS", "secret")
		return c.instances[instance].Transport().RoundTrip(on)
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (c *console) login(w *httptest.ResponseRecorder, body string) {
	switch {
	case !strings.Contains(body, `"username":"nitrox"`) || !strings.Contains(body, `"password":"console"`):
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{ "errorcode": 354, "message": "Invalid username or password" }`)
	case c.full > 0:
		c.full--
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{ "errorcode": 10020, "message": "Login failed. The user session count has exceeded the maximum limit." }`)
	default:
		c.begun++
		id := fmt.Sprintf("##CONSOLE%d", c.begun)
		c.sessions[id] = true
		if c.setsOwn {
			w.Header().Add("Set-Cookie", c.cookie+"="+id+"; path=/; Secure; HttpOnly")
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{ "errorcode": 0, "message": "Done"%s }`, strings.ReplaceAll(c.inBody, "%s", id))
	}
}

func (c *console) session(r *http.Request) string {
	for _, cookie := range r.Cookies() {
		if cookie.Name == c.cookie {
			return cookie.Value
		}
	}
	return ""
}

func newConsole(t *testing.T) (*console, *simulator.Simulator) {
	sim := simulator.New(simulator.Options{Users: users})
	return &console{
		t: t, instances: map[string]*simulator.Simulator{"192.0.2.10": sim, "192.0.2.20": simulator.New(simulator.Options{Users: users})},
		cookie: "SESSID", setsOwn: true, sessions: map[string]bool{},
	}, sim
}

func behind(cfg *netscaler.Config) {
	cfg.URLs = []string{"https://adm.example"}
	cfg.Instance = netip.MustParseAddr("192.0.2.10")
	cfg.Password = netscaler.SecretText("console")
}

// Through a Console everything works that works without, whichever way it
// hands out its session.
func TestThroughAConsole(t *testing.T) {
	for name, form := range map[string]*console{
		"its own cookie":                {cookie: "SESSID", setsOwn: true},
		"its own cookie, and the body":  {cookie: "SESSID", setsOwn: true, inBody: `, "sessionid": "%s"`},
		"the appliance's, and the body": {cookie: "NITRO_AUTH_TOKEN", inBody: `, "sessionid": "%s"`},
		"the appliance's cookie":        {cookie: "NITRO_AUTH_TOKEN", setsOwn: true},
		"in a list":                     {cookie: "NITRO_AUTH_TOKEN", inBody: `, "login": [ { "username": "nitrox", "sessionid": "%s" } ]`},
		"in an object":                  {cookie: "NITRO_AUTH_TOKEN", inBody: `, "login": { "sessionid": "%s" }`},
	} {
		t.Run(name, func(t *testing.T) {
			adm, sim := newConsole(t)
			adm.cookie, adm.setsOwn, adm.inBody = form.cookie, form.setsOwn, form.inBody
			c := open(t, adm, behind)
			wholeLife(t, sim, c, func() {})
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if adm.begun != 1 || len(adm.sessions) != 0 || sim.Sessions() != 0 {
				t.Errorf("%d log-ins, %d sessions left, %d on the appliance", adm.begun, len(adm.sessions), sim.Sessions())
			}
			if n := len(adm.instances["192.0.2.20"].Calls()); n != 0 {
				t.Errorf("another appliance had %d calls", n)
			}
		})
	}
}

func TestConsoleThatRefuses(t *testing.T) {
	t.Run("its session is dead", func(t *testing.T) {
		adm, sim := newConsole(t)
		load(t, sim, "add serviceGroup sg HTTP")
		c := open(t, adm, behind)
		for range 2 {
			if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
				t.Fatal(err)
			}
			clear(adm.sessions)
		}
		wantNil(t, c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:80")))
		if adm.begun != 3 {
			t.Errorf("%d log-ins", adm.begun)
		}
	})
	t.Run("too many sessions", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			adm, sim := newConsole(t)
			load(t, sim, "add serviceGroup sg HTTP")
			adm.full = 2
			began := time.Now()
			if _, err := open(t, adm, behind).Read(t.Context(), []string{"sg"}); err != nil || time.Since(began) == 0 {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			adm.full = 9
			_, err := open(t, adm, behind).Read(t.Context(), []string{"sg"})
			wantError(t, err, netscaler.ErrUnavailable, "NITRO 10020", "too many sessions", "tried 4 times")
		})
	})
	t.Run("the password", func(t *testing.T) {
		adm, _ := newConsole(t)
		c := open(t, adm, behind, func(cfg *netscaler.Config) { cfg.Password = netscaler.SecretText("secret") })
		_, err := c.Read(t.Context(), []string{"sg"})
		wantError(t, err, netscaler.ErrLogin, "log in to https://adm.example", "NITRO 354")
	})
	t.Run("an appliance that it does not know", func(t *testing.T) {
		adm, _ := newConsole(t)
		delete(adm.instances, "192.0.2.10")
		c := open(t, adm, behind)
		wantError(t, c.Writable(t.Context()), nil, "Instance 192.0.2.10 is not managed")
		for _, groups := range [][]string{{"a"}, {"a", "b", "c", "d", "e"}} {
			_, err := c.Read(t.Context(), groups)
			wantError(t, err, nil, "NITRO 10100 (HTTP 404): Instance 192.0.2.10 is not managed")
		}
	})
	t.Run("a secondary behind it", func(t *testing.T) {
		adm, sim := newConsole(t)
		load(t, sim, "add serviceGroup sg HTTP")
		sim.SetRole("Secondary")
		c := open(t, adm, behind)
		wantError(t, c.Writable(t.Context()), nil, "it is the secondary node of the HA pair")
	})
}

func TestConsoleIsOneURLWithoutPartitions(t *testing.T) {
	for _, change := range []func(*netscaler.Config){
		func(cfg *netscaler.Config) { cfg.Partition = "web" }, twoNodes,
	} {
		cfg := netscaler.Config{Username: "nitrox", Password: netscaler.SecretText("x")}
		behind(&cfg)
		change(&cfg)
		_, err := netscaler.Open(cfg)
		wantError(t, err, nil, "a NetScaler Console has one URL")
	}
}
