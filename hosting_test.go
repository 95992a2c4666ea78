package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
)

// tool is where a program is that not every machine has. Without it the test is
// skipped, or fails in CI.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatalf("%v (Debian has it in %s)", err, debian)
	}
	if err != nil {
		t.Skipf("%v (Debian has it in %s)", err, debian)
	}
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// systemd understands every line of the units, and finds little that they could
// still be denied.
func TestSystemdUnitsAreValidAndHardened(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	dir := t.TempDir()
	units, err := filepath.Glob("examples/systemd/*.*r*")
	if err != nil {
		t.Fatal(err)
	}
	copies := []string{}
	for _, unit := range units {
		if ext := filepath.Ext(unit); ext != ".service" && ext != ".timer" {
			continue
		}
		path := filepath.Join(dir, filepath.Base(unit))
		// verify wants the program to exist.
		text := strings.ReplaceAll(readFile(t, unit), "/usr/local/bin/nitrox", "/bin/true")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, path)
	}
	if len(copies) != 3 {
		t.Fatalf("%d units in %v", len(copies), units)
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, copies...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	for _, path := range copies {
		if filepath.Ext(path) != ".service" {
			continue
		}
		// The exposure in tenths; what is left is that it uses the network.
		out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=13", path).CombinedOutput()
		if err != nil {
			t.Errorf("security of %s: %v\n%s", filepath.Base(path), err, out)
		}
	}
}

// The command line of nitrox.service does what its Type=notify and WatchdogSec
// promise, with the password as a credential.
func TestSystemdServiceTellsHowTheLoopGoes(t *testing.T) {
	unit := readFile(t, "examples/systemd/nitrox.service")
	line := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/nitrox (.*)$`).FindStringSubmatch(unit)
	watchdog := regexp.MustCompile(`(?m)^WatchdogSec=(\d+)$`).FindStringSubmatch(unit)
	if line == nil || watchdog == nil {
		t.Fatal("no ExecStart or WatchdogSec")
	}
	every := regexp.MustCompile(`--loop (\S+)`).FindStringSubmatch(line[1])
	interval, err := time.ParseDuration(every[1])
	seconds, _ := strconv.Atoi(watchdog[1])
	if err != nil || time.Duration(seconds)*time.Second < interval {
		t.Errorf("the watchdog's %d s are shorter than the interval of %v", seconds, interval)
	}

	dir := t.TempDir()
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
	sim.AddGroup("shop")
	server := httptest.NewServer(sim)
	defer server.Close()
	readme := readFile(t, "examples/systemd/README.md")
	mapping := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(readme)
	if mapping == nil {
		t.Fatal("no mapping in README.md")
	}
	for name, text := range map[string]string{
		"nitrox.yaml": strings.ReplaceAll(mapping[1], "https://192.0.2.10", server.URL) +
			"sources: {lab: {file: {path: endpoints.json}}}\napps: [{name: shop, from: [{source: lab, app: shop}]}]\n",
		"endpoints.json":     `{"apps": {"shop": ["10.0.0.1:80"]}}`,
		"netscaler-password": "secret\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	args := strings.NewReplacer("/etc/nitrox/nitrox.yaml", filepath.Join(dir, "nitrox.yaml"), "127.0.0.1:9090", "127.0.0.1:0").Replace(line[1])
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nitrox", strings.Fields(args)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "CREDENTIALS_DIRECTORY="+dir, "WATCHDOG_USEC=200000", "WATCHDOG_PID=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := ""
	hear := func(want string) {
		t.Helper()
		for !strings.Contains(heard, want) {
			b := make([]byte, 4096)
			if err := socket.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := socket.Read(b)
			if err != nil {
				cancel()
				t.Fatalf("%q is not said, but %q: %v, %v\n%s", want, heard, err, cmd.Wait(), log.String())
			}
			heard += string(b[:n]) + "\n"
		}
	}
	hear("READY=1")
	if got := fmt.Sprint(sim.Members("shop")); !strings.Contains(got, "10.0.0.1:80") {
		t.Errorf("ready, and the members are %s", got)
	}
	hear("WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hear("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v\n%s", err, log.String())
	}
	if n := sim.Sessions(); n > 0 {
		t.Errorf("%d sessions are left", n)
	}
}
