package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"nitrox/sync"
	"nitrox/sync/config"
	"nitrox/sync/observe"
)

// A credential plug-in inherits no password, also not that of a mapping that is
// refused: the process may go on with the one before.
func TestNoPasswordStaysInTheEnvironment(t *testing.T) {
	for name, netscaler := range map[string]string{
		"all is well":           `{edge: {url: "https://192.0.2.10", username: u, password: "${NEW_PW}"}}`,
		"a password and a file": `{edge: {url: "https://192.0.2.10", password: ${NEW_PW}, password_file: x}}`,
		"an unknown key":        `{edge: {url: "https://192.0.2.10", username: u, pasword: x, "password": '${NEW_PW}'}}`,
		"a list":                `[{url: "https://192.0.2.10", password: "${NEW_PW}"}]`,
		"no YAML":               "{edge: {password: ${NEW_PW}",
	} {
		file := filepath.Join(t.TempDir(), "nitrox.yaml")
		text := "netscalers: " + netscaler + "\nsources: {lab: {file: {path: x}}}\napps: [{name: a, from: [{source: lab, app: a}]}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("NEW_PW", "hunter22")
		if _, err := opening(t, file, "hunter22", io.Discard).open(); (err == nil) != (name == "all is well") {
			t.Errorf("%s: %v", name, err)
		}
		if password, set := os.LookupEnv("NEW_PW"); set {
			t.Errorf("%s: %s stays in the environment", name, password)
		}
	}
}

// opening is a job with a mapping.
func opening(t *testing.T, file, password string, log io.Writer) *job {
	t.Helper()
	flags := flag.NewFlagSet("sync", flag.ContinueOnError)
	lookup := func(string) (string, bool) { return password, true }
	return &job{
		program: &program{lookup: lookup, stderr: io.Discard}, files: &config.Files{Names: []string{file}, Lookup: lookup},
		options: cli.NewContext(nil, flags, nil), log: slog.New(slog.NewTextHandler(log, nil)), observer: observe.New(observe.Options{}),
	}
}

// Reports consist of names, ports and addresses: a password that is one of them can
// only be told from it where it is said to be one.
func TestAPasswordThatReportsMayShowIsWarnedOf(t *testing.T) {
	for password, warned := range map[string]bool{
		"a": true, "80": true, "edge": true, "op": true, "lab": true, "AccountService": true, "sg-account": true, "10.0.0.1": true, "true": true,
		"hunter2": false, "sledge": false, "123456": false,
	} {
		for _, url := range []string{"https://192.0.2.10", "http://127.0.0.1:8088"} {
			file := filepath.Join(t.TempDir(), "nitrox.yaml")
			text := fmt.Sprintf(`
netscalers: {edge: {url: %q, username: op, password: "${PW}"}}
sources: {lab: {file: {path: x}}}
apps: [{name: AccountService, service_group: sg-account, only: [10.0.0.0/8], from: [{source: lab, app: a}]}]
`, url)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			if _, err := opening(t, file, password, &log).open(); err != nil {
				t.Fatal(err)
			}
			if found := strings.Contains(log.String(), "choose another"); found != (warned && strings.HasPrefix(url, "https")) {
				t.Errorf("%q at %s: %s", password, url, log.String())
			}
		}
	}
}

// Thousands of --app of a mapping of thousands: a look for each in the list would take minutes here.
func TestManyAppsAreKnown(t *testing.T) {
	apps, names := make([]sync.App, 100_000), make([]string, 100_000)
	for i := range apps {
		apps[i].Name = fmt.Sprintf("team-%06d", i)
		names[i] = apps[i].Name
	}
	if err := knownApps(apps, names); err != nil {
		t.Error(err)
	}
	if err := knownApps(apps[1:], names); err == nil || !strings.Contains(err.Error(), `unknown app "team-000000"`) {
		t.Error(err)
	}
}
