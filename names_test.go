package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
	"nitrox/sources/redact/redacttest"
	"nitrox/sources/sourcetest"
)

// What a server answers may be in order, and have secrets for names: of tasks, pods,
// nodes, hosts and servers, which are where endpoints come from in every report.
func TestSecretsThatAreNamesAreNotPrinted(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	const password, token, bearer = "pass-of-the-netscaler", "token-of-marathon.abc", "bearer-of-kubernetes"
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": password}})
	if err := sim.Load(strings.NewReader("add server " + password + " 10.9.9.9\nadd server x" + password + "y 10.9.9.8\nadd serviceGroup sg HTTP\n" +
		"bind serviceGroup sg " + password + " 80\nbind serviceGroup sg x" + password + "y 80\n")); err != nil {
		t.Fatal(err)
	}
	ns := httptest.NewServer(sim)
	defer ns.Close()
	marathon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, echoed, _ := strings.Cut(r.Header.Get("Authorization"), "=")
		task := func(id, host string, port int) map[string]any {
			return map[string]any{"id": id, "appId": "/a", "host": host, "ports": []int{port}, "state": "TASK_RUNNING", "slaveId": echoed, "version": echoed}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"apps": []any{map[string]any{
			"id": "/a", "instances": 3, "tasksRunning": 3, "tasksStaged": 0, "deployments": []any{}, "version": echoed,
			"portDefinitions": []any{map[string]any{"port": 10000, "name": echoed}},
			"tasks":           []any{task("a."+echoed, "10.1.1.1", 31000), task(echoed, "10.1.1.2", 31001), task("b."+echoed, "10.1.1.3", 31001)},
		}}})
	}))
	defer marathon.Close()
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, echoed, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		w.Header().Set("Content-Type", "application/json")
		meta := map[string]any{"name": echoed, "namespace": "n", "uid": echoed, "labels": map[string]any{"kubernetes.io/service-name": "s", echoed: echoed}}
		answer := map[string]any{"metadata": map[string]any{"resourceVersion": "1"}}
		switch {
		case strings.Contains(r.URL.Path, "endpointslices"):
			answer["kind"], answer["apiVersion"] = "EndpointSliceList", "discovery.k8s.io/v1"
			endpoint := func(ip string, ready bool) map[string]any {
				return map[string]any{"addresses": []string{ip}, "nodeName": echoed, "conditions": map[string]any{"ready": ready},
					"targetRef": map[string]any{"kind": "Pod", "name": echoed, "namespace": "n"}}
			}
			answer["items"] = []any{map[string]any{"metadata": meta, "addressType": "IPv4", "ports": []any{map[string]any{"name": echoed, "port": 8080, "protocol": "TCP"}},
				"endpoints": []any{endpoint("10.2.2.2", true), endpoint("10.2.2.3", true)}}}
		case strings.Contains(r.URL.Path, "services"):
			meta["name"] = "s"
			answer["kind"], answer["apiVersion"] = "ServiceList", "v1"
			answer["items"] = []any{map[string]any{"metadata": meta, "spec": map[string]any{"type": "ClusterIP", "clusterIP": "10.96.0.9",
				"selector": map[string]any{"a": echoed}, "ports": []any{map[string]any{"name": echoed, "port": 80, "targetPort": 8080, "protocol": "TCP"}}}}}
		default:
			answer["kind"], answer["apiVersion"], answer["items"] = "PodList", "v1", []any{}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer api.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"pw": password, "token": token,
		"kubeconfig": fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "c", "cluster": {"server": %q, "insecure-skip-tls-verify": true}}],
			"users": [{"name": "u", "user": {"token": %q}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}`, api.URL, bearer),
		"nitrox.yaml": fmt.Sprintf(`
netscalers: {edge: {url: %q, username: nitrox, password_file: pw}}
sources:
  m: {marathon: {urls: [%q], token_file: token}}
  k: {kubernetes: {kubeconfig: kubeconfig}}
apps:
  - {name: a, service_group: sg, max_remove: 100%%, from: [{source: m, app: /a}, {source: k, service: n/s, address: pod_ip}]}
`, ns.URL, marathon.URL),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("reports", func(t *testing.T) {
		for _, output := range []string{"text", "json", "nscli"} {
			for _, format := range []string{"text", "json"} {
				t.Run(output+" "+format, func(t *testing.T) {
					t.Parallel()
					metrics := filepath.Join(t.TempDir(), "n.prom")
					_, stdout, stderr := spawned(t, dir, nil, "plan", "--output", output, "--log-format", format, "--log-level", "debug", "--metrics-file", metrics)
					text := stdout + stderr + readFile(t, metrics)
					if shown := redacttest.Shown(text, password, token, bearer); shown != "" {
						t.Errorf("%q in\n%.2000s", shown, around(text, shown))
					}
					if !strings.Contains(stdout, "10.1.1.1") || !strings.Contains(stdout, "10.2.2.2") || !strings.Contains(stdout, "10.9.9.9") && output != "nscli" {
						t.Errorf("nothing was answered: %s%s", stdout, stderr)
					}
				})
			}
		}
	})
	// And the page.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log, stderr := io.Pipe()
	go func() {
		lookup := func(string) (string, bool) { return "", false }
		code := run(ctx, []string{"nitrox", "plan", "--config", filepath.Join(dir, "nitrox.yaml"), "--loop", "1h", "--listen", ":0"}, io.Discard, stderr, lookup)
		stderr.CloseWithError(fmt.Errorf("exit code %d", code))
	}()
	url, pages := "", ""
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		pages += lines.Text() + "\n"
		if _, at, found := strings.Cut(lines.Text(), "url="); found && strings.Contains(lines.Text(), "status page") {
			url = at
		}
		if strings.Contains(lines.Text(), "pass ended") {
			for _, path := range []string{"/", "/metrics", "/readyz"} {
				resp, err := http.Get(url + path)
				if err != nil {
					t.Fatal(err)
				}
				page, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				pages += string(page)
			}
			stop()
		}
	}
	if shown := redacttest.Shown(pages, password, token, bearer); shown != "" || !strings.Contains(pages, "task a.***") {
		t.Errorf("%v: %q in\n%.2000s", lines.Err(), shown, around(pages, shown))
	}
}

// A password in the URL of a kubeconfig's server is one, also if the URL is none.
func TestPasswordsOfServersInKubeconfigs(t *testing.T) {
	sourcetest.Thorough(t)
	t.Parallel()
	for _, server := range []string{"https://op:hunter22@127.0.0.1:1", "https://op:hunter22@127.0.0.1:1 /", "https://op:hunter22@[::1"} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"pw": "of-the-netscaler",
			"kc": fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "c", "cluster": {"server": %q}}],
				"users": [{"name": "u", "user": {}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}`, server),
			"nitrox.yaml": "netscalers: {edge: {url: 'http://127.0.0.1:1', username: u, password_file: pw, timeout: 1s}}\nsources: {k: {kubernetes: {kubeconfig: kc}}}\n" +
				"apps: [{name: a, from: [{source: k, service: n/s}]}]\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			_, stdout, stderr := spawned(t, dir, nil, "plan", "--log-level", "debug")
			if shown := redacttest.Shown(stdout+stderr, "hunter22"); shown != "" || !strings.Contains(stdout, "source k failed") {
				t.Errorf("%q is shown:\n%s%s", shown, stdout, stderr)
			}
		})
	}
}
