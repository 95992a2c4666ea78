package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// The policies of examples/netscaler/user.conf are enough for a mapping that
// uses every optional feature, and those that the file binds are enough for one
// that uses none. What is not allowed is named.
func TestExampleOfTheUserOnTheCommandLine(t *testing.T) {
	text, err := os.ReadFile("examples/netscaler/user.conf")
	if err != nil {
		t.Fatal(err)
	}
	policies := func(bind string) map[string]*regexp.Regexp {
		var specs []string
		for _, m := range regexp.MustCompile(bind+`bind system user nitrox (\S+) `).FindAllStringSubmatch(string(text), -1) {
			spec := regexp.MustCompile(`(?m)^add system cmdPolicy ` + m[1] + ` ALLOW "(.*)"$`).FindStringSubmatch(string(text))
			if spec == nil {
				t.Fatalf("no policy %s", m[1])
			}
			specs = append(specs, spec[1])
		}
		return map[string]*regexp.Regexp{"nitrox": regexp.MustCompile(strings.Join(specs, "|"))}
	}
	sync := func(t *testing.T, allowed map[string]*regexp.Regexp, netscaler, app string) (code int, out string) {
		sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}, Policies: allowed})
		if err := sim.Load(strings.NewReader("add serviceGroup old HTTP\nadd ns partition web\nswitch ns partition web\nadd serviceGroup old HTTP\nadd lb vserver lb-shop HTTP 192.0.2.5 80\n")); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(sim)
		defer server.Close()
		dir := t.TempDir()
		mapping, endpoints := filepath.Join(dir, "nitrox.yaml"), filepath.Join(dir, "endpoints.json")
		// Bind, weigh, remove, and come back.
		for _, members := range []string{`"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"`, `{"address": "10.0.0.1:80", "weight": 5}, "10.0.0.2:80"`, `"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"`} {
			for file, text := range map[string]string{
				mapping:   fmt.Sprintf("netscalers: {edge: {url: %q%s}}\nsources: {lab: {file: {path: endpoints.json}}}\ndefaults: {drain: 0s}\napps: [{name: shop, %s, from: [{source: lab, app: shop}]}]\n", server.URL, netscaler, app),
				endpoints: fmt.Sprintf(`{"apps": {"shop": [%s]}}`, members),
			} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log string
			if code, out, log = nitrox(t, t.Context(), map[string]string{"NS_USER": "nitrox", "NS_PASSWORD": password}, "sync", "--config", mapping); code != 0 {
				return code, out + log
			}
		}
		return code, out
	}
	const plain, all = `(?m)^`, `(?m)^(?:# )?`
	for _, c := range []struct{ name, netscaler, app, missing string }{
		{"nothing optional", "", "service_group: old", ""},
		{"drained", "", "service_group: old, drain: 60s", ""},
		{"partition", ", partition: web", "service_group: old", "switch ns partition web"},
		{"create", "", "create: {service_type: HTTP}", "add serviceGroup shop"},
		{"create with a vserver", "", "create: {service_type: HTTP, vserver: {name: lb-shop, ip: 192.0.2.6, port: 80, method: ROUNDROBIN}}", "show lb vserver lb-shop"},
		{"create a vserver", "", "create: {service_type: HTTP, autoscale: API, vserver: {name: lb-new, ip: 192.0.2.6, port: 80, method: ROUNDROBIN}}", "show lb vserver lb-new"},
		{"clean", "", "service_group: old, clean_servers: true", "rm server 10.0.0.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, out := sync(t, policies(all), c.netscaler, c.app); code != 0 {
				t.Errorf("with the policy: exit code %d\n%s", code, out)
			}
			code, out := sync(t, policies(plain), c.netscaler, c.app)
			if c.missing == "" && code != 0 || c.missing != "" && (code != 1 || !strings.Contains(out, `must allow "`+c.missing) && !strings.Contains(out, `must allow \"`+c.missing)) {
				t.Errorf("without it: exit code %d, want %q named\n%s", code, c.missing, out)
			}
		})
	}
}
