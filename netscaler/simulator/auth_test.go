package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler/simulator"
)

const sessionDead = `{ "errorcode": 444, "message": "Session expired or killed. Please login again", "severity": "ERROR" }`

// login opens a session over the socket and returns its id, "##…".
func (b *box) login(user, password string) string {
	b.t.Helper()
	a := b.send("POST", "/nitro/v1/config/login", `{"login":{"username":"`+user+`","password":"`+password+`"}}`)
	var v struct{ SessionID string }
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.line != "201 Created" {
		b.t.Fatalf("login: %s %s", a.line, a.body)
	}
	return v.SessionID
}

// TestSessionsInEveryPlaceClientsPutThem protects the clients in the field: Go
// and Python send Set-Cookie, Ansible the raw cookie, exporters "sessionid".
func TestSessionsInEveryPlaceClientsPutThem(t *testing.T) {
	b := start(t, simulator.Options{}, conf)
	sid := b.login("nsroot", "nsroot")
	if !regexp.MustCompile(`^##[0-9A-F]{252}$`).MatchString(sid) {
		t.Fatalf("session id %q", sid)
	}
	encoded := "%23%23" + sid[2:]
	for _, header := range []string{
		"Cookie: NITRO_AUTH_TOKEN=" + sid, "Cookie: NITRO_AUTH_TOKEN=" + encoded, "Cookie: a=b; NITRO_AUTH_TOKEN=" + sid + "; path=/nitro/v1",
		"Cookie: sessionid=" + sid, "Cookie: sessionid=" + encoded,
		"Set-Cookie: NITRO_AUTH_TOKEN=" + sid, "Set-Cookie: NITRO_AUTH_TOKEN=" + encoded + "; path=/nitro/v1",
		"X-NITRO-USER: nsroot\r\nX-NITRO-PASS: nsroot", "Authorization: Basic bnNyb290Om5zcm9vdA==",
	} {
		if a := b.send("GET", "/nitro/v1/config/nsversion", "", header); a.line != "200 OK" {
			t.Errorf("%s: %s %s", header, a.line, a.body)
		}
	}
	if a := b.send("POST", "/nitro/v1/config/nsconfig?action=save", `{"nsconfig":{},"sessionid":"`+sid+`"}`); a.line != "200 OK" {
		t.Errorf("session in the body: %s %s", a.line, a.body)
	}
	if n := b.Sessions(); n != 1 {
		t.Errorf("%d sessions, want the one that logged in", n)
	}
	if a := b.send("POST", "/nitro/v1/config/logout", `{"logout":{}}`, "Cookie: NITRO_AUTH_TOKEN="+sid); a.line != "200 OK" {
		t.Errorf("logout: %s %s", a.line, a.body)
	}
	if n := b.Sessions(); n != 0 {
		t.Errorf("%d sessions after the logout", n)
	}
	a := b.send("GET", "/nitro/v1/config/nsversion", "", "Cookie: NITRO_AUTH_TOKEN="+sid)
	if a.line != "401 Unauthorized" || a.body != sessionDead {
		t.Errorf("a session that logged out: %s %s", a.line, a.body)
	}
	for _, c := range b.Calls() {
		if c.User != "nsroot" {
			t.Errorf("call without its user: %+v", c)
		}
	}
}

// TestLoginAnswersByItsContentType: with a body and the session in a cookie after
// one that is taken back, or with another cookie and no text, as recorded.
func TestLoginAnswersByItsContentType(t *testing.T) {
	const vendor, token = "application/vnd.com.citrix.netscaler.login+json", "NITRO_AUTH_TOKEN=%23%23"
	for _, c := range []struct {
		name, media string
		o           simulator.Options
		length      string
		cookies     []string // what each begins with
	}{
		{"no type", "", simulator.Options{}, "328", []string{"SESSID=deleted; ", "sessionid=%23%23"}},
		{"JSON", "application/json", simulator.Options{}, "328", []string{"SESSID=deleted; ", "sessionid=%23%23"}},
		{"the SDKs", vendor, simulator.Options{}, "0", []string{token}},
		{"the SDKs, with a character set", vendor + "; charset=utf-8", simulator.Options{}, "0", []string{token}},
		{"JSON, a build that has no body", "application/json", simulator.Options{LoginText: true}, "0", []string{token}},
		{"JSON, a build that has no cookie", "application/json", simulator.Options{NoCookie: true}, "328", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t, c.o, "")
			a := b.send("POST", "/nitro/v1/config/login", `{"login":{"username":"nsroot","password":"nsroot","timeout":3600}}`, "Content-Type: "+c.media)
			got := a.header["Set-Cookie"]
			if a.line != created || a.header.Get("Content-Length") != c.length || len(got) != len(c.cookies) || !a.close || a.header.Get("Server") != "Apache" {
				t.Fatalf("%s %v %s", a.line, a.header, a.body)
			}
			for i, want := range c.cookies {
				if !strings.HasPrefix(got[i], want) || !strings.Contains(got[i], "; path=/") {
					t.Errorf("cookie %q, want %q", got[i], want)
				}
			}
			if len(got) == 0 {
				return
			}
			session, _, _ := strings.Cut(got[len(got)-1], ";")
			if a := b.send("GET", "/nitro/v1/config/nsversion", "", "Cookie: "+session); a.line != ok200 {
				t.Errorf("the cookie is no session: %s %s", a.line, a.body)
			}
		})
	}
	a := start(t, simulator.Options{KeepAlive: true}, "").send("POST", "/nitro/v1/config/login", `{"login":{"username":"nsroot","password":"nsroot"}}`)
	if a.close {
		t.Errorf("headers %v", a.header)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	const login = "/nitro/v1/config/login"
	for _, c := range []struct {
		name                       string
		o                          simulator.Options
		method, path, body, header string
		line, want                 string
	}{
		{"nobody", simulator.Options{}, "GET", "/nitro/v1/config/nsversion", "", "A: b", "401 Unauthorized", `"errorcode": 352`},
		{"nobody, the other code", simulator.Options{NoLogin: 1026}, "GET", "/nitro/v1/config/nsversion", "", "A: b", "401 Unauthorized", `"errorcode": 1026`},
		{"wrong header password", simulator.Options{}, "GET", "/nitro/v1/config/nsversion", "", "X-NITRO-USER: nsroot\r\nX-NITRO-PASS: x", "401 Unauthorized", `"errorcode": 354, "message": "Invalid username or password"`},
		{"wrong basic password", simulator.Options{}, "GET", "/nitro/v1/config/nsversion", "", "Authorization: Basic bnNyb290Ong=", "401 Unauthorized", `<h4>Invalid username or password</h4>`},
		{"basic switched off", simulator.Options{NoBasicAuth: true}, "GET", "/nitro/v1/config/nsversion", "", "Authorization: Basic bnNyb290Om5zcm9vdA==", "401 Unauthorized", `"errorcode": 1244`},
		{"session of nobody", simulator.Options{}, "GET", "/nitro/v1/config/nsversion", "", "Cookie: NITRO_AUTH_TOKEN=##AB", "401 Unauthorized", `"errorcode": 1027`},
		{"session of nobody, bulk", simulator.Options{}, "PUT", "/nitro/v1/config/servicegroup", `{"servicegroup":[{"servicegroupname":"sg"}]}`, "Cookie: NITRO_AUTH_TOKEN=##AB", "200 OK", `"errorcode": 1027`},
		{"wrong login", simulator.Options{}, "POST", login, `{"login":{"username":"nsroot","password":"x"}}`, "A: b", "401 Unauthorized", `"errorcode": 354`},
		{"unknown user", simulator.Options{}, "POST", login, `{"login":{"username":"","password":""}}`, "A: b", "400 Bad Request", `"errorcode": 1095`},
		{"login without a body", simulator.Options{}, "POST", login, ``, "A: b", "400 Bad Request", `"errorcode": 1233`},
		{"login by GET", simulator.Options{}, "GET", login, ``, "A: b", "400 Bad Request", `"errorcode": 1237`},
		{"login with an action", simulator.Options{}, "POST", login + "?action=x", `{"login":{"username":"nsroot","password":"nsroot"}}`, "A: b", "400 Bad Request", `"errorcode": 1240`},
		{"login with more", simulator.Options{}, "POST", login, `{"login":{"username":"nsroot","password":"nsroot","realm":"x"}}`, "A: b", "599 Netscaler specific error", `"errorcode": 278`},
		{"timeout too short", simulator.Options{}, "POST", login, `{"login":{"username":"nsroot","password":"nsroot","timeout":5}}`, "A: b", "599 Netscaler specific error", `"errorcode": 1219`},
		{"timeout too long for a restricted box", simulator.Options{RestrictedTimeout: true}, "POST", login, `{"login":{"username":"nsroot","password":"nsroot","timeout":100000}}`, "A: b", "599 Netscaler specific error", `"errorcode": 1219`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := start(t, c.o, conf).send(c.method, c.path, c.body, c.header)
			if a.line != c.line || !strings.Contains(a.body, c.want) {
				t.Errorf("%s %s\nwant %s %s", a.line, a.body, c.line, c.want)
			}
		})
	}
}

func TestSessionsAreLimited(t *testing.T) {
	b := start(t, simulator.Options{MaxSessions: 2}, conf)
	b.login("nsroot", "nsroot")
	last := b.login("nsroot", "nsroot")
	a := b.send("POST", "/nitro/v1/config/login", `{"login":{"username":"nsroot","password":"nsroot"}}`)
	if !strings.Contains(a.body, `"errorcode": 445`) {
		t.Errorf("third login: %s %s", a.line, a.body)
	}
	if a := b.nitro("GET", "config/nsversion", ""); !strings.Contains(a.body, `"errorcode": 445`) {
		t.Errorf("call with its own credentials: %s %s", a.line, a.body)
	}
	b.send("POST", "/nitro/v1/config/logout", `{"logout":{}}`, "Cookie: NITRO_AUTH_TOKEN="+last)
	b.login("nsroot", "nsroot")
}

// TestPoliciesSeeTheCommandLine: a command policy is a pattern of the command
// line's form, and the refusal quotes it with the defaults filled in.
func TestPoliciesSeeTheCommandLine(t *testing.T) {
	policy := regexp.MustCompile(`^(show serviceGroup|(bind|enable) serviceGroup sg )`)
	b := start(t, simulator.Options{Users: map[string]string{"nsroot": "nsroot"}, Policies: map[string]*regexp.Regexp{"nsroot": policy}}, conf)
	refused := func(command string) string {
		return `{ "errorcode": 2138, "message": "Not authorized to execute this command [` + command + `]", "severity": "ERROR" }`
	}
	for _, c := range []struct{ method, target, body, command string }{
		{"GET", "config/servicegroup/sg", "", ""},
		{"PUT", "config/servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"10.0.0.9","port":80}}`, ""},
		{"POST", "config/servicegroup?action=disable", `{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80}}`, "disable serviceGroup sg web1 80 -delay 0 -graceFul NO"},
		{"PUT", "config/servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"api","ip":"10.0.0.9","port":80,"customserverid":"a b"}}`, `bind serviceGroup api 10.0.0.9 80 -weight 1 -CustomServerID \"a b\" -state ENABLED`},
		{"DELETE", "config/servicegroup_servicegroupmember_binding/sg?args=servername:web1,port:80", "", "unbind serviceGroup sg web1 80"},
		{"POST", "config/nsconfig?action=save", `{"nsconfig":{"all":true}}`, "save ns config -all"},
		{"GET", "config/hanode/0", "", "show HA node 0"},
		{"GET", "stat/servicegroup/sg", "", "stat serviceGroup sg"},
	} {
		a := b.nitro(c.method, c.target, c.body)
		if c.command == "" {
			if !strings.HasPrefix(a.line, "20") {
				t.Errorf("%s %s: %s %s", c.method, c.target, a.line, a.body)
			}
		} else if a.line != "403 Forbidden" || a.body != refused(c.command) {
			t.Errorf("%s %s: %s %s\nwant %s", c.method, c.target, a.line, a.body, refused(c.command))
		}
	}
}

// inside calls the simulator in process, for tests on a fake clock.
type inside struct {
	*testing.T
	*simulator.Simulator
	session string
}

func (in *inside) do(method, target, body string) (status int, content string) {
	in.Helper()
	status, content, err := in.try(method, target, body)
	if err != nil {
		in.Fatal(err)
	}
	return status, content
}

func (in *inside) try(method, target, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(in.Context(), method, "http://ns/nitro/v1/"+target, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if in.session != "" {
		req.Header.Set("Cookie", "NITRO_AUTH_TOKEN="+in.session)
	} else {
		req.Header.Set("X-NITRO-USER", "nsroot")
		req.Header.Set("X-NITRO-PASS", "nsroot")
	}
	resp, err := in.Transport().RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (in *inside) login(attrs string) {
	in.Helper()
	_, body := in.do("POST", "config/login", `{"login":{"username":"nsroot","password":"nsroot"`+attrs+`}}`)
	var v struct{ SessionID string }
	if err := json.Unmarshal([]byte(body), &v); err != nil || v.SessionID == "" {
		in.Fatalf("login: %s", body)
	}
	in.session = v.SessionID
}

// clock runs a test on a fake clock.
func clock(t *testing.T, o simulator.Options, conf string, test func(in *inside)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(o)
		if err := sim.Load(strings.NewReader(conf)); err != nil {
			t.Fatal(err)
		}
		test(&inside{T: t, Simulator: sim})
	})
}

func TestSessionsDieOfIdleness(t *testing.T) {
	clock(t, simulator.Options{}, conf, func(in *inside) {
		in.login("")
		for range 3 {
			time.Sleep(29 * time.Minute)
			if status, body := in.do("GET", "config/nsversion", ""); status != 200 {
				in.Fatalf("a session in use died: %s", body)
			}
		}
		time.Sleep(31 * time.Minute)
		if n := in.Sessions(); n != 0 {
			in.Errorf("%d sessions", n)
		}
		if status, body := in.do("GET", "config/nsversion", ""); status != 401 || body != sessionDead {
			in.Errorf("%d %s", status, body)
		}
		// Bulk requests are told with status 200.
		if status, body := in.do("PUT", "config/servicegroup", `{"servicegroup":[{"servicegroupname":"sg"}]}`); status != 200 || body != sessionDead {
			in.Errorf("bulk: %d %s", status, body)
		}
	})
	clock(t, simulator.Options{DeadSession: 1027}, conf, func(in *inside) {
		in.login(`,"timeout":10`)
		time.Sleep(11 * time.Second)
		if status, body := in.do("GET", "config/nsversion", ""); status != 401 || !strings.Contains(body, `"errorcode": 1027`) {
			in.Errorf("%d %s", status, body)
		}
	})
	clock(t, simulator.Options{RestrictedTimeout: true}, conf, func(in *inside) {
		in.login("")
		time.Sleep(16 * time.Minute)
		if status, _ := in.do("GET", "config/nsversion", ""); status != 401 {
			in.Errorf("a restricted session outlived 15 minutes: %d", status)
		}
	})
}

// TestPartitionsAreEntered by session: a call with its own credentials is
// always in the default partition.
func TestPartitionsAreEntered(t *testing.T) {
	clock(t, simulator.Options{}, conf+"add ns partition web -partitionID 3\nswitch ns partition web\nadd serviceGroup sg TCP\nbind serviceGroup sg 10.9.0.1 90\n", func(in *inside) {
		in.login("")
		if _, body := in.do("POST", "config/nspartition?action=Switch", `{"nspartition":{"partitionname":"web"}}`); body != done {
			in.Fatal(body)
		}
		if _, body := in.do("GET", "config/servicegroup?attrs=servicegroupname,servicetype", ""); !strings.Contains(body, `[ { "servicegroupname": "sg", "servicetype": "TCP" } ]`) {
			in.Errorf("groups of the partition: %s", body)
		}
		in.do("PUT", "config/servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"10.0.0.1","port":91}}`)
		if got := in.Members("web/sg"); len(got) != 2 || got[0].Addr.String() != "10.0.0.1:91" || got[0].Server != "10.0.0.1" {
			in.Errorf("members of the partition's group: %+v", got)
		}
		if len(in.Members("sg")) != 3 {
			in.Errorf("members of the default partition's group: %+v", in.Members("sg"))
		}
		if _, body := in.do("POST", "config/nspartition?action=Switch", `{"nspartition":{"partitionname":"default"}}`); body != done {
			in.Fatal(body)
		}
		if _, body := in.do("GET", "config/servicegroup/empty", ""); !strings.Contains(body, `"empty"`) {
			in.Error(body)
		}
	})
}
