//go:build !race

package main

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"nitrox/netscaler/simulator"
	"nitrox/sources/sourcetest"
)

// A file that has no end is refused, and one that nobody writes to holds up
// nothing, whatever it stands for. The address space is too small for the first.
func TestEndlessFiles(t *testing.T) {
	sourcetest.Thorough(t)
	binary := released(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}})
	sim.AddGroup("web")
	edge := httptest.NewServer(sim)
	defer edge.Close()
	head := "netscalers: {edge: {url: '" + edge.URL + "'}}\nsources: {bad: {"
	const tail = "}}\napps: [{name: web, netscaler: edge, service_group: web, from: [{source: bad, "
	for _, file := range []string{"/dev/zero", pipe} {
		for what, c := range map[string]struct{ mapping, want string }{
			"mapping":         {"", `larger than 10 MB|is empty|no apps`},
			"kubeconfig":      {head + "kubernetes: {kubeconfig: " + file + "}" + tail + "service: a/b}]}]\n", `kubeconfig \S+ is not a regular file`},
			"token":           {head + "marathon: {urls: ['https://127.0.0.1:1'], token_file: " + file + "}" + tail + "app: /a}]}]\n", `too large|empty`},
			"service account": {head + "marathon: {urls: ['https://127.0.0.1:1'], service_account_file: " + file + "}" + tail + "app: /a}]}]\n", `too large|is not|JSON`},
			"endpoints":       {head + "file: {path: " + file + "}" + tail + "app: a}]}]\n", `not a regular file`},
			"password": {strings.Replace(head, "'}", "', username: a, password_file: "+file+"}", 1) + "file: {path: none}" + tail + "app: a}]}]\n",
				`too large|empty`},
		} {
			t.Run(what+" "+filepath.Base(file), func(t *testing.T) {
				mapping := file
				if c.mapping != "" {
					mapping = filepath.Join(t.TempDir(), "nitrox.yaml")
					if err := os.WriteFile(mapping, []byte(c.mapping), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				cmd := exec.Command("timeout", "60", "sh", "-c", `ulimit -v 4000000; exec "$0" plan --config "$1"`, binary, mapping)
				cmd.Env = append(os.Environ(), "NS_USER=nitrox", "NS_PASSWORD=secret")
				out, err := cmd.CombinedOutput()
				if err == nil || cmd.ProcessState.ExitCode() != 1 || !regexp.MustCompile(c.want).Match(out) {
					t.Errorf("exit code %d:\n%.1500s", cmd.ProcessState.ExitCode(), out)
				}
			})
		}
	}
}
