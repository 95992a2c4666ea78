package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources/redact/redacttest"
	"nitrox/sources/sourcetest"
)

// parrot answers a request with all that it was sent, as error pages of proxies
// and debugging servers do.
func parrot(form string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var said bytes.Buffer
		_ = r.Header.Write(&said)
		text := r.Method + " " + r.URL.String() + "\n" + said.String() + "\n" + string(body)
		if cookie, err := r.Cookie("NITRO_AUTH_TOKEN"); err == nil {
			text += "\nsession " + cookie.Value
		}
		if _, password, ok := r.BasicAuth(); ok {
			text += "\npassword " + password
		}
		var login struct{ Login struct{ Password string } }
		if json.Unmarshal(body, &login) == nil {
			text += "\nplain " + login.Login.Password + " "
		}
		switch form {
		case "json":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]any{"errorcode": 1, "message": text, "kind": "Status", "severity": "ERROR"})
		case "html":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, "<html><body><pre>%s</pre></body></html>", html.EscapeString(text))
		case "raw":
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, text)
		case "unasked": // more than was asked for, on a connection that is kept
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno%s", text)
				conn.Close()
			}
		case "ok": // not an answer to anything
			io.WriteString(w, `"`+text)
		case "status": // the line, the media type and the rest of the header
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				line := strings.Join(strings.Fields(text), " ")
				fmt.Fprintf(conn, "HTTP/1.1 500 %s\r\nContent-Type: %[1]s\r\nRetry-After: %[1]s\r\nConnection: close\r\n\r\n", line)
				conn.Close()
			}
		case "keys":
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{text: text, "kind": text, "apiVersion": text, "items": text, "apps": []any{map[string]any{"id": text, text: 1}}})
		case "base64 in lines":
			w.WriteHeader(http.StatusBadRequest)
			code := base64.StdEncoding.EncodeToString([]byte(text))
			for ; len(code) > 76; code = code[76:] {
				io.WriteString(w, code[:76]+"\r\n")
			}
			io.WriteString(w, code)
		case "elsewhere":
			w.Header().Set("Location", "https://user:"+r.Header.Get("Authorization")+"@example.com/?"+strings.Join(strings.Fields(text), "+"))
			w.Header().Set("Retry-After", r.Header.Get("Authorization"))
			w.WriteHeader(http.StatusFound)
		}
	}
}

// Whoever repeats what it was sent, in whatever form, and whatever is asked to
// print it: the log, the reports, health, the status page, metrics. Nobody sees a
// secret.
func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	const (
		password = `pa"ss\w<o>r&d` + "\t" + `pl+us%25 ß`
		basic    = `ba"si\c<p>as&s` + "\t" + `wo+rd%2F ü`
		token    = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0.c2lnbmF0dXJl_of-token"
		bearer   = "kubeconfig-bearer/token+0123456789=="
		argument = "argument-of-a-plug-in"
		variable = "variable-of-a-plug-in"
		issued   = "issued-by-the-plug-in.0123456789_abc"
	)
	for _, form := range []string{"json", "html", "raw", "ok", "elsewhere", "unasked", "status", "keys", "base64 in lines"} {
		for _, loggedIn := range []bool{false, true} {
			if (sourcetest.UnderRace || testing.Short()) && (form != "raw" || !loggedIn) {
				continue
			}
			t.Run(fmt.Sprintf("%s, logged in %v", form, loggedIn), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})
				var session atomic.Value
				session.Store("")
				netscaler := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c, err := r.Cookie("NITRO_AUTH_TOKEN"); err == nil {
						session.Store(c.Value)
					}
					if loggedIn && strings.HasSuffix(r.URL.Path, "/login") {
						sim.ServeHTTP(w, r)
						return
					}
					parrot(form)(w, r)
				}))
				defer netscaler.Close()
				other := httptest.NewServer(parrot(form))
				defer other.Close()
				api := httptest.NewTLSServer(parrot(form)) // over http no credentials would be sent
				defer api.Close()
				write := func(name, text string) string {
					path := filepath.Join(dir, name)
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					return path
				}
				kubeconfig := func(name, user string) string {
					return write(name, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "c", "cluster": {"server": %q, "insecure-skip-tls-verify": true}}],
						"users": [{"name": "u", "user": %s}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}`, api.URL, user))
				}
				plugin := write("plugin", fmt.Sprintf("env > %[1]s/environment\nprintf 'a plug-in has the floor: %%s %%s %%s\\n' \"$(cat %[1]s/basic)\" \"$PLUGIN_TOKEN\" \"$1\" >&2\n"+
					"[ -e %[1]s/again ] && printf '{\"kind\": %%s, \"apiVersion\": \"v9\"}' \"$(cat %[1]s/basic.json)\" && exit\ntouch %[1]s/again\necho '{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {\"token\": \"%[2]s\"}}'\n", dir, issued))
				write("basic.json", quoted(basic))
				write("basic", basic+"\n")
				write("token", token+"\n")
				mapping := write("nitrox.yaml", fmt.Sprintf(`
netscalers:
  edge: {url: %[1]q, password: "${EDGE_PW}"}
  core: {url: %[2]q}
sources:
  basic:  {marathon: {urls: [%[3]q], username: op, password_file: basic}}
  token:  {marathon: {urls: [%[3]q], token_file: token}}
  bearer: {kubernetes: {kubeconfig: %[4]q}}
  login:  {kubernetes: {kubeconfig: %[5]q}}
  plugin: {kubernetes: {kubeconfig: %[6]q}}
apps:
  - {name: a, netscaler: edge, from: [{source: basic, app: /a}, {source: token, app: /a}]}
  - {name: b, netscaler: core, from: [{source: bearer, service: a/a}, {source: login, service: a/a}, {source: plugin, service: a/a}]}
`, netscaler.URL, strings.Replace(netscaler.URL, "127.0.0.1", "localhost", 1), other.URL,
					kubeconfig("bearer.json", fmt.Sprintf(`{"token": %q}`, bearer)),
					kubeconfig("login.json", fmt.Sprintf(`{"username": "op", "password": %s}`, quoted(basic))),
					kubeconfig("plugin.json", fmt.Sprintf(`{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "interactiveMode": "Never",
						"args": [%q, "--password=%s"], "env": [{"name": "PLUGIN_TOKEN", "value": %q}]}}`, plugin, argument, variable))))

				format := map[bool]string{true: "json", false: "text"}[loggedIn]
				cmd := exec.Command("nitrox", "sync", "--config", mapping, "--loop", "1h", "--listen", "127.0.0.1:0", "--output", format,
					"--log-level", "debug", "--log-format", format, "--metrics-file", filepath.Join(dir, "nitrox.prom"))
				cmd.Env = append(os.Environ(), "NS_USER=nitrox", "NS_PASSWORD="+password, "EDGE_PW="+password, "HOME="+dir)
				var report bytes.Buffer
				cmd.Stdout = &report
				stderr, err := cmd.StderrPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }) // instead of hanging for ever
				var log strings.Builder
				pages := map[string]string{}
				url := ""
				for lines := bufio.NewScanner(stderr); lines.Scan(); {
					log.WriteString(lines.Text() + "\n")
					if found := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text()); url == "" && strings.Contains(lines.Text(), "status page") {
						url = found
					}
					if strings.Contains(lines.Text(), "pass ended") {
						for _, path := range []string{"/", "/readyz", "/healthz", "/metrics"} {
							resp, err := http.Get(url + path)
							if err != nil {
								t.Fatal(err)
							}
							page, _ := io.ReadAll(resp.Body)
							resp.Body.Close()
							pages[path] = string(page)
						}
						_ = cmd.Process.Signal(syscall.SIGTERM)
					}
				}
				_ = cmd.Wait()
				pages["the log"], pages["the report"] = log.String(), report.String()
				pages["the metrics file"] = readFile(t, filepath.Join(dir, "nitrox.prom"))
				for what, text := range pages {
					if shown := redacttest.Shown(text, append([]string{password, basic, token, bearer, issued, argument, variable}, nonEmpty(session.Load().(string))...)...); shown != "" {
						t.Errorf("%s shows %q:\n%.3000s", what, shown, around(text, shown))
					}
				}
				if !strings.Contains(log.String(), "a plug-in has the floor: *** *** --password=***") {
					t.Errorf("what the plug-in says is not in the log:\n%s", log.String())
				}
				if form == "raw" && !strings.Contains(log.String(), "refreshing credentials") {
					t.Errorf("client-go had nothing to say:\n%s", log.String())
				}
				if form == "keys" {
					return // nobody repeats them
				}
				if form != "unasked" && len(pages["/readyz"]) < 100 || !strings.Contains(pages["/readyz"]+pages["the log"], "***") {
					t.Errorf("nothing was echoed: %s\n%s", pages["/readyz"], log.String())
				}
				if form == "unasked" && !strings.Contains(log.String(), "Unsolicited response") {
					t.Errorf("what was not asked for was not noticed:\n%s", log.String())
				}
				if loggedIn && session.Load() == "" {
					t.Error("there was no session")
				}
				if env := readFile(t, filepath.Join(dir, "environment")); redacttest.Shown(env, password) != "" || !strings.Contains(env, "NS_USER=nitrox") {
					t.Errorf("the plug-in's environment:\n%s", env)
				}
			})
		}
	}
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func around(text, part string) string {
	i := strings.Index(text, part)
	return text[max(0, i-300):min(len(text), i+300)]
}

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}
