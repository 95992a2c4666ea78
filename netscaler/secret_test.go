package netscaler_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"nitrox/netscaler"
)

func TestSecretCannotBePrinted(t *testing.T) {
	type config struct{ Password netscaler.Secret }
	for _, s := range []netscaler.Secret{netscaler.SecretText("hunter2"), netscaler.SecretFile("/etc/hunter2")} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T"} {
			fmt.Fprintf(&out, verb+" "+verb+"\n", s, config{s})
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", s, "config", config{s})
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", s, "config", config{s})
		for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
			text, err := marshal(config{s})
			if err != nil {
				t.Fatal(err)
			}
			out.Write(text)
		}
		if strings.Contains(out.String(), "hunter2") {
			t.Errorf("printed:\n%s", out.String())
		}
	}
}

func TestSecretIsReadEachTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for text, want := range map[string]string{"a": "a", "b\n": "b", "c\r\n": "c", " e ": " e ", "\ufefff\n": "f"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := netscaler.SecretFile(file).Reveal(); err != nil || got != want {
			t.Errorf("%q is revealed as %q, %v", text, got, err)
		}
	}
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := netscaler.SecretFile(file).Reveal()
	wantError(t, err, nil, file+" is empty")
	if err := os.WriteFile(file, []byte("hunter2\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = netscaler.SecretFile(file).Reveal()
	wantError(t, err, nil, file+" has more than one line")
	_, err = netscaler.SecretFile(file + "x").Reveal()
	wantError(t, err, os.ErrNotExist, "read the password", file+"x")
	_, err = netscaler.Secret{}.Reveal()
	wantError(t, err, nil, "no password is given")
}

// One line a call, with what it came to and nothing secret.
func TestCallsAreLogged(t *testing.T) {
	var out bytes.Buffer
	b := newBox(t).on(byName("sg"), nitro(404, 258, "No such resource [serviceGroupName, sg]"))
	c := b.open(func(cfg *netscaler.Config) {
		cfg.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	wantError(t, readOne(t.Context(), c), netscaler.ErrNoGroup)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := out.String()
	for _, want := range []string{"level=DEBUG", "netscaler=http://ns.example", "method=GET", "path=config/" + binding + "/sg", "status=404", "errorcode=258", "ms=", "path=config/login"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in:\n%s", want, log)
		}
	}
	if strings.Count(log, "\n") != 3 || strings.Contains(log, "secret") || strings.Contains(log, "SESSION1") {
		t.Errorf("logged:\n%s", log)
	}
}
