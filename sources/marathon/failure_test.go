package marathon_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/sources"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
	"nitrox/sources/trust"
	"nitrox/sources/trust/trusttest"
)

// inProcess opens a source that calls a cluster without sockets.
func inProcess(t *testing.T, c *marathontest.Cluster, config marathon.Config) sources.Opened {
	return opened(t, config, func(s *marathon.Source) { s.Transport = c.Transport() })
}

var web = marathon.Query{App: "/shop/web", Port: "http"}

var three = []string{"http://m1:8080", "http://m2:8080", "http://m3:8080"}

func poll(t *testing.T, s sources.Opened, queries ...any) []sources.Answer {
	t.Helper()
	answers, err := s.Poll(t.Context(), queries, true)
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

// fails polls and returns the error.
func fails(t *testing.T, s sources.Opened) string {
	t.Helper()
	answers, err := s.Poll(t.Context(), []any{web}, true)
	if err == nil {
		t.Fatalf("got %+v, want an error", answers)
	}
	if errors.Is(err, sources.ErrAbsent) {
		t.Errorf("the app passes for absent: %v", err)
	}
	return err.Error()
}

// Whatever a Marathon or a proxy before it says instead of the truth, the next
// one is asked, and if there is none nothing is known.
func TestFailures(t *testing.T) {
	list := `{"apps": []}`
	tests := []struct {
		name   string
		status int
		body   string
		want   string // the error begins with it, after the URL
	}{
		{"502 without a leader", 502, `{"message": "Could not determine the current leader"}`, "502 Bad Gateway: Could not determine the current leader"},
		{"503 without a leader, of older ones", 503, "<html>HTTP ERROR: 503<p>Reason:\n<pre>Could not determine the current leader</pre>", "503 Service Unavailable: <html>HTTP ERROR: 503<p>Reason: <pre>Could not determine the current leader</pre>"},
		{"503 too many requests", 503, "Too many concurrent requests", "503 Service Unavailable: Too many concurrent requests"},
		{"500 of a health actor that timed out", 500, `{"message": "Ask timed out"}`, "500 Internal Server Error: Ask timed out"},
		{"500 with a good body", 500, list, "500 Internal Server Error: " + list},
		{"401", 401, `{"message": "Invalid username or password."}`, "401 Unauthorized: Invalid username or password.; give username and password_file, token_file or service_account_file"},
		{"403", 403, `{"message": "Not Authorized to perform this action!"}`, "403 Forbidden: Not Authorized to perform this action!"},
		{"200 with the log-in page of Admin Router", 200, "<!DOCTYPE html>", "the answer cannot be read: invalid character '<' looking for beginning of value"},
		{"200 with {}", 200, `{}`, `the answer has no "apps"; is this the URL of a Marathon?`},
		{"200 with null", 200, `null`, `the answer has "null" where "{" is expected`},
		{"200 with a message", 200, `{"message": "x"}`, `the answer has no "apps"; is this the URL of a Marathon?`},
		{"200 with null apps", 200, `{"apps": null}`, `"apps": the answer has "null" where "[" is expected`},
		{"200 with apps that are no list", 200, `{"apps": {}}`, `"apps": the answer has "{" where "[" is expected`},
		{"200 with apps twice", 200, `{"apps": [], "apps": []}`, `the answer has "apps" twice`},
		{"200 with APPS", 200, `{"APPS": []}`, `the answer has no "apps"; is this the URL of a Marathon?`},
		{"200 cut off in an app", 200, `{"apps": [{"id": "/shop/web", "tasks": [`, "the answer breaks off: unexpected EOF"},
		{"200 cut off between apps", 200, `{"apps": [{"id": "/x"}, `, "the answer breaks off: unexpected EOF"},
		{"200 cut off after the apps", 200, `{"apps": []`, "the answer breaks off: unexpected EOF"},
		{"200 with nothing", 200, ``, "the answer breaks off: unexpected EOF"},
		{"200 with another value after it", 200, list + `{}`, "there is more after the JSON of the answer: invalid character '{' after top-level value"},
		{"200 with an error page after it", 200, list + `<hr>`, "there is more after the JSON of the answer: invalid character '<' after top-level value"},
		{"206", 206, list, "206 Partial Content: only 200 is a complete answer"},
		{"304", 304, "", "304 Not Modified: redirects are not followed, except to the configured urls"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := deployed(t, marathontest.Options{URLs: three[:2]}, webApp)
			s := inProcess(t, c, marathon.Config{URLs: three[:2]})
			c.Answer(0, test.status, test.body)
			if got := poll(t, s, web)[0]; got.Doubt() != nil || len(got.Endpoints) != 3 {
				t.Errorf("with another that answers: %+v", got)
			}
			c.Answer(1, test.status, test.body)
			want := "http://m2:8080: " + test.want + "\nhttp://m1:8080: " + test.want // who answered is asked first, since the leader did not
			if got := fails(t, s); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestAnAppWithoutTasksIsKnownToHaveNone(t *testing.T) {
	c := deployed(t, marathontest.Options{}, strings.Replace(webApp, `"instances": 3`, `"instances": 0`, 1))
	if a := one(t, c, web); a.Doubt() != nil || len(a.Endpoints) != 0 {
		t.Errorf("got %+v", a)
	}
}

// An app that cannot be read, or that is listed twice, harms itself only; one
// that cannot be told from others harms those that are missing.
func TestOddAppsHarmThemselves(t *testing.T) {
	c := deployed(t, marathontest.Options{}, webApp)
	c.Raw(`{"id": "/odd", "tasks": [{"id": "1", "ports": ["31000"]}]}`)
	c.Raw(`{"id": "/twice", "tasks": []}`)
	c.Raw(`{"id": "/twice", "tasks": []}`)
	ask := func(want map[string]string) {
		t.Helper()
		for app, doubt := range want {
			if a := one(t, c, marathon.Query{App: app}); a.Doubt() == nil || a.Doubt().Error() != doubt || len(a.Endpoints) > 0 {
				t.Errorf("%s: %+v, want the doubt %s", app, a, doubt)
			} else if errors.Is(a.Doubt(), sources.ErrAbsent) != strings.HasPrefix(doubt, "there is no ") {
				t.Errorf("%s: whether it is absent: %v", app, a.Doubt())
			}
		}
		if a := one(t, c, web); a.Doubt() != nil || len(a.Endpoints) != 3 {
			t.Errorf("another app: %+v", a)
		}
	}
	ask(map[string]string{
		"/odd":   "app /odd: it cannot be read: json: cannot unmarshal string into Go struct field Task.ports of type int",
		"/twice": "app /twice: it is in Marathon's list twice",
		"/gone":  "there is no Marathon app /gone",
	})
	c.Raw(`{"id": 7}`)
	ask(map[string]string{"/gone": "app /gone: an app in Marathon's list cannot be read: json: cannot unmarshal number into Go struct field app.id of type string"})
	c.Raw(`{}`)
	ask(map[string]string{"/gone": "app /gone: an app in Marathon's list has no id"})
}

// What Marathon hides from an identity is not gone, and an app that is gone is
// not an app without tasks.
func TestAbsentAgainstForbidden(t *testing.T) {
	o := marathontest.Options{Users: map[string]string{"nitrox": "pw"}, Hidden: func(user, app string) bool { return app == "/secret" }}
	c := deployed(t, o, webApp, strings.Replace(webApp, "/shop/web", "/secret", 1))
	s := inProcess(t, c, marathon.Config{URLs: []string{"http://marathon.test:8080"}, Username: "nitrox", PasswordFile: secret(t, "pw\n")})
	c.Requests()
	gone, hidden := marathon.Query{App: "/gone"}, marathon.Query{App: "/secret"}
	answers := poll(t, s, web, gone, hidden, gone)
	if answers[0].Doubt() != nil {
		t.Error(answers[0].Doubt())
	}
	for _, i := range []int{1, 3} {
		if d := answers[i].Doubt(); !errors.Is(d, sources.ErrAbsent) {
			t.Errorf("a missing app: %v", d)
		}
	}
	const want = "app /secret: it is not known whether it is absent: it is hidden from these credentials: 403 Forbidden: Not Authorized to perform this action!"
	if d := answers[2].Doubt(); d == nil || d.Error() != want || errors.Is(d, sources.ErrAbsent) {
		t.Errorf("a hidden app: %v, want %s", d, want)
	}
	if got, want := c.Requests(), []string{"GET /v2/apps", "GET /v2/apps/gone/tasks", "GET /v2/pods/gone", "GET /v2/apps/secret/tasks"}; !slices.Equal(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
}

// An app that is not there is named, with the nearest that is; a pod is called one.
func TestWhatIsMissingIsNamed(t *testing.T) {
	c := deployed(t, marathontest.Options{}, webApp)
	c.Pod("/shop/pod")
	for app, want := range map[string]string{
		"/shop/wbe":  "there is no Marathon app /shop/wbe; did you mean /shop/web?",
		"/web":       "there is no Marathon app /web; did you mean /shop/web?",
		"/bank/till": "there is no Marathon app /bank/till",
		"/shop/pod":  "app /shop/pod: it is a pod, and pods are not read; only Marathon's apps are",
	} {
		d := one(t, c, marathon.Query{App: app}).Doubt()
		if d == nil || d.Error() != want || errors.Is(d, sources.ErrAbsent) != (app != "/shop/pod") {
			t.Errorf("%s: %v, want %s", app, d, want)
		}
	}
}

// Whether it is a pod must be known before an app is gone.
func TestAnAppIsNotGoneWhileItMayBeAPod(t *testing.T) {
	for answer, want := range map[string]string{
		`502 {"message": "no leader"}`: "it is not an app, and it is not known whether it is a pod: 502 Bad Gateway: no leader",
		`200 <html>`:                   "it is not an app, and it is not known whether it is a pod: the answer to that does not describe one",
		`200 {"id": "/other"}`:         "it is not an app, and it is not known whether it is a pod: the answer to that does not describe one",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/apps" {
				io.WriteString(w, `{"apps": []}`)
				return
			}
			status, body, _ := strings.Cut(answer, " ")
			code, _ := strconv.Atoi(status)
			w.WriteHeader(code)
			io.WriteString(w, body)
		}))
		d := poll(t, opened(t, marathon.Config{URLs: []string{server.URL}}, nil), web)[0].Doubt()
		server.Close()
		if d == nil || d.Error() != "app /shop/web: "+want || errors.Is(d, sources.ErrAbsent) {
			t.Errorf("%s: got %v, want %s", answer, d, want)
		}
	}
}

// An agent whose name leads to this machine is not at this machine.
func TestAnAgentThatResolvesToLoopback(t *testing.T) {
	c := deployed(t, marathontest.Options{Agents: []string{"mesos-1.example.com"}}, webApp)
	s, err := marathon.Open(marathon.Config{URLs: []string{"http://marathon.test:8080"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Transport = c.Transport()
	for text, want := range map[string]string{
		"127.0.1.1":               "look up agent mesos-1.example.com: it resolves to 127.0.1.1, at which no other machine is reached",
		"::1":                     "look up agent mesos-1.example.com: it resolves to ::1, at which no other machine is reached",
		"127.0.1.1 192.168.0.7":   "",
		"169.254.7.7 192.168.0.7": "", // of a machine that announces both
		"fe80::7":                 "look up agent mesos-1.example.com: it resolves to fe80::7, at which no other machine is reached",
	} {
		var addrs []netip.Addr
		for _, a := range strings.Fields(text) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		s.Resolve(func(context.Context, string) ([]netip.Addr, error) { return addrs, nil })
		answers, err := s.Poll(t.Context(), []marathon.Query{web}, true)
		if err != nil {
			t.Fatal(err)
		}
		a := answers[0]
		if want == "" && (a.Doubt() != nil || len(a.Endpoints) == 0 || a.Endpoints[0].Addr.Addr().String() != "192.168.0.7") {
			t.Errorf("%s: got %+v", text, a)
		}
		if want != "" && (a.Doubt() == nil || !strings.Contains(a.Doubt().Error(), want) || len(a.Endpoints) > 0) {
			t.Errorf("%s: got %+v, want %s", text, a, want)
		}
	}
}

// Only Marathon's own 404 says that an app is gone.
func TestAbsenceIsNotBelievedOfOthers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"a proxy's 404", 404, "<h1>Not Found</h1>", "404, but not from Marathon: <h1>Not Found</h1>"},
		{"tasks after all", 200, `{"tasks": []}`, "it is not in Marathon's list, yet it has tasks"},
		{"no leader", 502, `{"message": "Could not determine the current leader"}`, "502 Bad Gateway: Could not determine the current leader"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/apps" {
					io.WriteString(w, `{"apps": []}`)
					return
				}
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			}))
			defer server.Close()
			s := opened(t, marathon.Config{URLs: []string{server.URL}, TokenFile: secret(t, "x")}, nil)
			d := poll(t, s, web)[0].Doubt()
			if want := "app /shop/web: it is not known whether it is absent: " + test.want; d == nil || d.Error() != want || errors.Is(d, sources.ErrAbsent) {
				t.Errorf("got %v, want %s", d, want)
			}
		})
	}
}

// The leader is asked first once it is known, then whoever answers.
func TestSeveralMarathonsAreTriedInTurn(t *testing.T) {
	c := deployed(t, marathontest.Options{URLs: three}, webApp)
	var asked []string
	s := opened(t, marathon.Config{URLs: three}, func(s *marathon.Source) {
		s.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.Hostname())
			return c.Transport().RoundTrip(r)
		})
	})
	step := func(what string, want ...string) {
		t.Helper()
		asked = nil
		if a := poll(t, s, web)[0]; a.Doubt() != nil || len(a.Endpoints) != 3 {
			t.Errorf("%s: %+v", what, a)
		}
		if !slices.Equal(asked, want) {
			t.Errorf("%s: asked %v, want %v", what, asked, want)
		}
	}
	step("first", "m1")
	c.Down(0, true)
	c.Failover(2)
	c.Check()
	step("the leader is gone", "m1", "m2") // a standby, which asks the new leader
	step("the new leader is known", "m3")
	c.Down(2, true)
	c.Down(0, false)
	asked = nil
	if got := fails(t, s); !strings.Contains(got, "http://m1:8080: 502 Bad Gateway: Error while proxying request to current leader") {
		t.Errorf("got %s", got)
	}
	if want := []string{"m3", "m1", "m2"}; !slices.Equal(asked, want) {
		t.Errorf("with an unreachable leader: asked %v, want %v", asked, want)
	}
}

// One that is silent leaves time for the others.
func TestASilentMarathonDoesNotUseUpTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := deployed(t, marathontest.Options{URLs: three}, webApp)
		s := opened(t, marathon.Config{URLs: three}, func(s *marathon.Source) {
			s.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Hostname() != "m3" {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return c.Transport().RoundTrip(r)
			})
		})
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		answers, err := s.Poll(ctx, []any{web}, true)
		if err != nil || len(answers[0].Endpoints) != 3 {
			t.Errorf("got %+v, error %v", answers, err)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A new leader has no results, or first ones that are bad because it has seen
// no good ones. What was bound then stays.
func TestLeaderChangeMakesHealthUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := marathontest.New(marathontest.Options{URLs: three[:2]})
		s := inProcess(t, c, marathon.Config{URLs: three[:2]})
		list := func(results string) {
			c.Raw(rawApp(`"networks": [{"mode": "host"}], "portDefinitions": [{"port": 1}], "healthChecks": [{"intervalSeconds": 20}]`, rawTask("1", "10.0.0.1", "[31000]", `"healthCheckResults": [`+results+`]`)))
		}
		ask := func(want string) {
			t.Helper()
			if got := text(poll(t, s, marathon.Query{App: "/a"})[0]); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		const (
			out       = "- task 1: it is unhealthy, 1 failure"
			uncertain = "? 10.0.0.1:31000: Marathon has a new leader, which has not seen it healthy yet"
		)
		list(`{"alive": false, "consecutiveFailures": 1}`)
		ask(out) // who leads was not known, so it is not new
		c.Failover(1)
		ask(uncertain)
		time.Sleep(20 * time.Second)
		ask(uncertain)
		time.Sleep(6 * time.Second) // the interval and 5 s
		ask(out)
		c.Failover(0)
		c.Reset()
		list(`{"alive": false, "consecutiveFailures": 1, "firstSuccess": "2026-01-01T00:00:00.000Z"}`)
		ask(out) // the new leader has seen it healthy
	})
}

// Credentials are read again for each poll, are needed by the stand-in, and are
// nowhere to be read.
func TestCredentials(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	old := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	o := marathontest.Options{Path: "/service/marathon", Users: map[string]string{"nitrox": "hunter2"}, Keys: map[string]*rsa.PublicKey{"nitrox": &key.PublicKey}}
	c := deployed(t, o, webApp)
	server := httptest.NewServer(c.Handler(0))
	defer server.Close()
	urls := []string{server.URL + "/service/marathon/"}
	account := func(uid, key string) string {
		text, err := json.Marshal(map[string]string{"uid": uid, "private_key": key, "login_endpoint": server.URL + "/acs/api/v1/auth/login", "scheme": "RS256"})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	good := func(t *testing.T, s sources.Opened, requests ...string) {
		t.Helper()
		c.Requests()
		if a := poll(t, s, web)[0]; a.Doubt() != nil || len(a.Endpoints) != 3 {
			t.Errorf("got %+v", a)
		}
		if got := c.Requests(); !slices.Equal(got, requests) {
			t.Errorf("requests %v, want %v", got, requests)
		}
	}
	const list, login = "GET /service/marathon/v2/apps", "POST /acs/api/v1/auth/login"
	rewrite := func(t *testing.T, file sources.Path, text string) {
		t.Helper()
		if err := os.WriteFile(string(file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := func(t *testing.T, s sources.Opened, want string) {
		t.Helper()
		got := fails(t, s)
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
		for _, hidden := range []string{"hunter", "stale", "MII", "eyJ"} {
			if strings.Contains(got, hidden) {
				t.Errorf("a secret is in %s", got)
			}
		}
	}
	t.Run("none", func(t *testing.T) {
		bad(t, opened(t, marathon.Config{URLs: urls}, nil), "401 Unauthorized: Invalid username or password.")
	})
	t.Run("a password that is rotated", func(t *testing.T) {
		file := secret(t, "hunter1\n")
		s := opened(t, marathon.Config{URLs: urls, Username: "nitrox", PasswordFile: file}, nil)
		bad(t, s, "401")
		rewrite(t, file, "hunter2\r\n")
		good(t, s, list)
		rewrite(t, file, "\n")
		bad(t, s, "read the password: "+string(file)+" is empty")
		rewrite(t, file, "hunter2\nhunter3\n")
		bad(t, s, "has more than one line")
		if err := os.Remove(string(file)); err != nil {
			t.Fatal(err)
		}
		bad(t, s, "read the password: open")
	})
	t.Run("a token that is rotated", func(t *testing.T) {
		file := secret(t, "stale")
		s := opened(t, marathon.Config{URLs: urls, TokenFile: file}, nil)
		bad(t, s, "401")
		rewrite(t, file, c.Token("nitrox"))
		good(t, s, list)
		rewrite(t, file, "")
		bad(t, s, "read the token")
	})
	t.Run("a service account logs in once, and again when its token is refused", func(t *testing.T) {
		for _, private := range []string{private, old} {
			s := opened(t, marathon.Config{URLs: urls, ServiceAccountFile: secret(t, account("nitrox", private))}, nil)
			good(t, s, login, list)
			good(t, s, list)
			c.Revoke()
			good(t, s, list, login, list)
			good(t, s, list)
		}
	})
	t.Run("a service account that is not right", func(t *testing.T) {
		file := secret(t, account("stranger", private))
		s := opened(t, marathon.Config{URLs: urls, ServiceAccountFile: file}, nil)
		rewrite(t, file, account("nitrox", private))
		good(t, s, login, list)
		rewrite(t, file, account("stranger", private)) // the token is not that one's
		bad(t, s, "log in to DC/OS: "+server.URL+"/acs/api/v1/auth/login: 401 Unauthorized")
		for text, want := range map[string]string{
			"{":                                    "it is not a JSON object with uid",
			"{}":                                   "it has no uid",
			account("nitrox", "MII"):               "its private_key is not PEM",
			account("nitrox", pemOf("")):           "its private_key cannot be read",
			`{"uid": "nitrox", "scheme": "HS256"}`: `its scheme is "HS256"`,
			`{"uid": "nitrox", "private_key": "MII", "login_endpoint": "x"}`:                                                  "its login_endpoint is not a URL",
			strings.Replace(account("nitrox", private), "/acs/", "/acs/x", 1):                                                 "404 Not Found",
			strings.Replace(account("nitrox", private), server.URL+"/acs/api/v1/auth/login", "http://127.0.0.1:1/stale?a", 1): "connection refused",
		} {
			rewrite(t, file, text)
			if got := fails(t, s); !strings.Contains(got, want) {
				t.Errorf("got %s, want %s in it", got, want)
			}
		}
	})
}

func pemOf(text string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(text)}))
}

// A token that nears its end is renewed before it is refused.
func TestTokenIsRenewedInTime(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := deployed(t, marathontest.Options{Keys: map[string]*rsa.PublicKey{"nitrox": &key.PublicKey}}, webApp)
		account, err := json.Marshal(map[string]string{"uid": "nitrox", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), "login_endpoint": "http://marathon.test:8080/acs/api/v1/auth/login"})
		if err != nil {
			t.Fatal(err)
		}
		s := inProcess(t, c, marathon.Config{URLs: []string{"http://marathon.test:8080"}, ServiceAccountFile: secret(t, string(account))})
		logins, lists := 0, 0
		for range 25 { // every 5 minutes for 2 hours
			poll(t, s, web)
			for _, r := range c.Requests() {
				if strings.HasPrefix(r, "POST") {
					logins++
				} else {
					lists++
				}
			}
			time.Sleep(5 * time.Minute)
		}
		if logins != 3 || lists != 25 {
			t.Errorf("%d log-ins and %d other requests in two hours, want 3 and 25", logins, lists)
		}
	})
}

// What is logged in with goes to the endpoint of the account only.
func TestLogInIsNotRedirected(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	defer elsewhere.Close()
	front := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusPermanentRedirect))
	defer front.Close()
	account, err := json.Marshal(map[string]string{"uid": "nitrox", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), "login_endpoint": front.URL})
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, marathon.Config{URLs: []string{front.URL}, ServiceAccountFile: secret(t, string(account))}, nil)
	if got, want := fails(t, s), front.URL+": log in to DC/OS: "+front.URL+": 308 Permanent Redirect"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// endless is an answer that goes on for ever.
type endless struct{ begin string }

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.begin)
	e.begin = e.begin[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestEndlessAnswers(t *testing.T) {
	for _, begin := range []string{`{"x": "`, `{"apps": [{"id": "`} {
		s := opened(t, marathon.Config{URLs: []string{"http://m1"}}, func(s *marathon.Source) {
			s.Limit(1 << 20)
			s.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Request: r, Header: http.Header{}, Body: io.NopCloser(&endless{begin})}, nil
			})
		})
		got := fails(t, s)
		if got != "http://m1: the answer is too large: it has more than 1 MiB; find out what answers there" {
			t.Errorf("%s: got %s", begin, got)
		}
	}
}

// Credentials go to configured hosts only, also by way of redirects.
func TestRedirects(t *testing.T) {
	c := deployed(t, marathontest.Options{Users: map[string]string{"nitrox": "pw"}}, webApp)
	server := httptest.NewServer(c.Handler(0))
	defer server.Close()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("another host was asked: %v", r.Header) }))
	defer elsewhere.Close()
	to := ""
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}))
	defer front.Close()
	// Two names of one machine are two hosts.
	named := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	config := marathon.Config{URLs: []string{front.URL, named}, Username: "nitrox", PasswordFile: secret(t, "pw")}
	s := opened(t, config, nil)
	to = named
	c.Requests()
	if a := poll(t, s, web)[0]; a.Doubt() != nil || len(a.Endpoints) != 3 {
		t.Errorf("to a configured host: %+v", a)
	}
	if got := c.Requests(); len(got) != 1 { // which the credentials came with
		t.Errorf("requests %v, want one", got)
	}
	config.URLs = []string{front.URL}
	s = opened(t, config, nil)
	to = elsewhere.URL
	u, err := url.Parse(elsewhere.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fails(t, s), front.URL+": 307 Temporary Redirect to http://"+u.Host+": redirects are not followed, except to the configured urls"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	to = front.URL
	if got := fails(t, s); !strings.Contains(got, "307 Temporary Redirect") {
		t.Errorf("in a circle: %s", got)
	}
}

// A CA file is read again when it changes, and is needed for a CA of one's own.
func TestOwnCA(t *testing.T) {
	c := deployed(t, marathontest.Options{}, webApp)
	server := httptest.NewUnstartedServer(c.Handler(0))
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	file := secret(t, "no certificate")
	s := opened(t, marathon.Config{URLs: []string{server.URL}, CAFile: file}, nil)
	if got, want := fails(t, s), string(file)+" contains no PEM certificate; name the file of the CA's certificate"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for range 2 {
		if err := os.WriteFile(string(file), []byte(ca), 0o600); err != nil {
			t.Fatal(err)
		}
		if a := poll(t, s, web)[0]; len(a.Endpoints) != 3 {
			t.Errorf("got %+v", a)
		}
		ca += "\n" // renewed
	}
	if err := os.Remove(string(file)); err != nil {
		t.Fatal(err)
	}
	if got := fails(t, s); !strings.Contains(got, "no such file") {
		t.Errorf("got %s", got)
	}
}

// A fingerprint takes the place of name and authority, also where DC/OS is logged
// in to, which is told nothing before.
func TestPinnedCertificates(t *testing.T) {
	c := deployed(t, marathontest.Options{}, webApp)
	server := trusttest.Serve(t, c.Handler(0), time.Now().Add(time.Hour))
	pin := trust.Of(server.Certificate())
	stranger := trust.Fingerprint(strings.Repeat("00", 32))
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{"uid": "nitrox", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), "login_endpoint": server.URL + "/login"})
	if err != nil {
		t.Fatal(err)
	}
	for _, login := range []bool{false, true} {
		config := marathon.Config{URLs: []string{server.URL}}
		if login {
			config.ServiceAccountFile = secret(t, string(account))
		}
		if got := fails(t, opened(t, config, nil)); !strings.Contains(got, "for no host name") || !strings.Contains(got, "certificate_sha256: "+string(pin)) {
			t.Errorf("got %s", got)
		}
		config.CertificateSHA256 = []trust.Fingerprint{stranger}
		if got := fails(t, opened(t, config, nil)); !strings.Contains(got, string(pin)) || login != strings.Contains(got, "/login") {
			t.Errorf("got %s", got)
		}
	}
	if n := len(c.Requests()); n != 0 {
		t.Errorf("%d requests to a server that is not trusted", n)
	}
	s := opened(t, marathon.Config{URLs: []string{server.URL}, CertificateSHA256: []trust.Fingerprint{stranger, pin}}, nil)
	if a := poll(t, s, web)[0]; len(a.Endpoints) != 3 {
		t.Errorf("got %+v", a)
	}
}

func TestConfig(t *testing.T) {
	one := []string{"http://m1:8080"}
	tests := []struct {
		name   string
		config marathon.Config
		want   string
	}{
		{"good", marathon.Config{URLs: []string{"http://m1:8080", "https://m2/service/marathon"}, CAFile: "ca.pem", Username: "u", PasswordFile: "f"}, ""},
		{"no urls", marathon.Config{}, "urls: give the URL of Marathon, such as http://m1.example.com:8080"},
		{"not a URL", marathon.Config{URLs: []string{"m1:8080"}}, "urls[0]: this is not a URL like http://m1.example.com:8080"},
		{"a password in the URL", marathon.Config{URLs: []string{"http://u:hunter2@m1"}}, "urls[0]: do not put a password in a URL; use username and password_file"},
		{"a query", marathon.Config{URLs: []string{"http://m1?x=1"}}, "urls[0]: give only a host, a port and a path"},
		{"one twice", marathon.Config{URLs: []string{"http://m1", "http://M1/v2/"}}, "urls[1]: http://m1 is listed twice"},
		{"two ways to log in", marathon.Config{URLs: one, Username: "u", PasswordFile: "f", TokenFile: "t"}, "token_file: username is already given; use one of the two"},
		{"no password", marathon.Config{URLs: one, Username: "u"}, "username: it needs a password_file"},
		{"no username", marathon.Config{URLs: one, PasswordFile: "f"}, "password_file: it only works with username"},
		{"a colon", marathon.Config{URLs: one, Username: "u:v", PasswordFile: "f"}, "username: it must not contain a colon, which basic authentication cannot send"},
		{"a fingerprint for http", marathon.Config{URLs: one, CertificateSHA256: []trust.Fingerprint{"00"}}, "certificate_sha256: it only works with https"},
		{"a fingerprint and a CA", marathon.Config{URLs: []string{"https://m1"}, CAFile: "ca.pem", CertificateSHA256: []trust.Fingerprint{"00"}}, "certificate_sha256: it takes the place of ca_file; remove one of the two"},
		{"a CA for http", marathon.Config{URLs: one, CAFile: "ca.pem"}, "ca_file: it only works with https"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if _, err := marathon.Open(test.config); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	for app, want := range map[string]string{
		"/a":         "",
		"/a/b-c.d":   "",
		"":           "app: give the app's path in Marathon, such as /shop/account",
		"a":          `app: "a" does not begin with a slash; did you mean "/a"?`,
		"/":          `app: "/" cannot be the path of a Marathon app: its parts have lower-case letters, digits, dots and dashes`,
		"/a/":        `app: "/a/" cannot be the path of a Marathon app: its parts have lower-case letters, digits, dots and dashes`,
		"/a/../b":    `app: "/a/../b" cannot be the path of a Marathon app: its parts have lower-case letters, digits, dots and dashes`,
		"/A":         `app: "/A" cannot be the path of a Marathon app: its parts have lower-case letters, digits, dots and dashes`,
		"/a?embed=x": `app: "/a?embed=x" cannot be the path of a Marathon app: its parts have lower-case letters, digits, dots and dashes`,
	} {
		got := ""
		if err := (marathon.Query{App: app}).Check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("app %q: got %q, want %q", app, got, want)
		}
	}
}
