package main

import (
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/urfave/cli/v2"

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
		flags := flag.NewFlagSet("sync", flag.ContinueOnError)
		flags.String("config", "", "")
		if err := flags.Parse([]string{"--config", file}); err != nil {
			t.Fatal(err)
		}
		j := &job{
			program: &program{lookup: func(string) (string, bool) { return "hunter22", true }, stderr: io.Discard},
			options: cli.NewContext(nil, flags, nil), log: slog.New(slog.DiscardHandler), observer: observe.New(observe.Options{}),
		}
		if _, err := j.open(); (err == nil) != (name == "all is well") {
			t.Errorf("%s: %v", name, err)
		}
		if password, set := os.LookupEnv("NEW_PW"); set {
			t.Errorf("%s: %s stays in the environment", name, password)
		}
	}
}
