package main

import (
	"bufio"
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
)

// A metrics file that is a pipe, or leads to somebody else's file, is an error that is
// said, and keeps no run and no loop from its end.
func TestAMetricsFileThatIsNoneHoldsNothingUp(t *testing.T) {
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "hunter22"}})
	if err := sim.Load(strings.NewReader("add serviceGroup sg HTTP\n")); err != nil {
		t.Fatal(err)
	}
	ns := httptest.NewServer(sim)
	defer ns.Close()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"pw": "hunter22", "e.json": `{"a": []}`,
		"nitrox.yaml": "netscalers: {edge: {url: " + ns.URL + ", username: nitrox, password_file: pw}}\nsources: {l: {file: {path: e.json}}}\n" +
			"apps: [{name: a, service_group: sg, from: [{source: l, app: a}]}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pipe, link, swapped := filepath.Join(dir, "pipe.prom"), filepath.Join(dir, "link.prom"), filepath.Join(dir, "dir.prom")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "pw"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(swapped, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{pipe, link, swapped} {
		for _, loop := range []bool{false, true} {
			args, want := []string{"sync", "--config", filepath.Join(dir, "nitrox.yaml"), "--metrics-file", file}, 1
			if loop {
				args, want = append(args, "--loop", "1h"), 0
			}
			ctx, stop := context.WithTimeout(t.Context(), time.Minute) // instead of hanging for ever
			cmd := exec.CommandContext(ctx, "nitrox", args...)
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			log := ""
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				log += lines.Text() + "\n"
				if strings.Contains(lines.Text(), "the metrics cannot be written") {
					_ = cmd.Process.Signal(syscall.SIGTERM) // a single run may have ended
				}
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != want || !strings.Contains(log, "is not a regular file, so it is left as it is") || strings.Contains(log, "hunter22") {
				t.Errorf("%s, in a loop %v: exit code %d\n%s", filepath.Base(file), loop, code, log)
			}
			stop()
		}
	}
	if text := readFile(t, filepath.Join(dir, "pw")); text != "hunter22" {
		t.Errorf("what the link leads to is now %q", text)
	}
}
