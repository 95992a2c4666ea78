package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// Scenario 20 through the command line: the first address is the secondary, or
// is down, or both are secondaries.
func TestPairOnTheCommandLine(t *testing.T) {
	users := map[string]string{"nitrox": password}
	one, two := simulator.New(simulator.Options{Users: users}), simulator.New(simulator.Options{Users: users})
	two.AddGroup("shop")
	simulator.Pair(two, one)
	const down = "http://127.0.0.1:1" // which the system gives to nobody
	first, second := httptest.NewServer(one), httptest.NewServer(two)
	defer first.Close()
	defer second.Close()
	dir := t.TempDir()
	mapping, endpoints := filepath.Join(dir, "nitrox.yaml"), filepath.Join(dir, "endpoints.json")
	sync := func(nodes [2]string, host int) (code int, out, log string) {
		t.Helper()
		for file, text := range map[string]string{
			mapping:   fmt.Sprintf("netscalers: {edge: {urls: [%q, %q]}}\nsources: {lab: {file: {path: endpoints.json}}}\napps: [{name: shop, from: [{source: lab, app: shop}]}]\n", nodes[0], nodes[1]),
			endpoints: fmt.Sprintf(`{"apps": {"shop": ["10.0.0.%d:80", "10.0.0.99:80"]}}`, host),
		} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return nitrox(t, t.Context(), map[string]string{"NS_USER": "nitrox", "NS_PASSWORD": password}, "sync", "--config", mapping)
	}
	for host, nodes := range [][2]string{{first.URL, second.URL}, {down, second.URL}} {
		if code, out, log := sync(nodes, host+1); code != 0 || !strings.Contains(out, fmt.Sprintf("10.0.0.%d:80", host+1)) {
			t.Errorf("exit code %d:\n%s%s", code, out, log)
		}
	}
	for _, call := range one.Calls() {
		if call.Method != "GET" && call.Type != "login" && call.Type != "logout" {
			t.Errorf("the secondary was sent %s %s", call.Method, call.Path)
		}
	}
	two.SetRole("Secondary")
	code, out, _ := sync([2]string{first.URL, second.URL}, 7)
	if code != 1 || !strings.Contains(out, "no node of the pair can be used") || strings.Count(out, "it is the secondary node of the HA pair") < 2 {
		t.Errorf("two secondaries: exit code %d:\n%s", code, out)
	}
	if one.Sessions()+two.Sessions() != 0 {
		t.Error("sessions are left")
	}
}
