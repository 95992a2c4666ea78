//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStart types docs/start.md as it stands, from a clone to the first sync: each
// block into one shell, but for the second terminal, and the block that is the
// reader's own. What the document shows is what is printed.
func TestStart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := l.newEngine(t, "node1")
	clone := filepath.Join(l.dir, "clone")
	must(t, "git", "clone", "--quiet", "../..", clone)
	text, _, _ := strings.Cut(read(t, filepath.Join(clone, "docs/start.md")), "\n## Your own NetScaler")

	// The simulator's port is the document's, so it is that of the node's own network.
	shell := func(script string) (*exec.Cmd, *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, "nsenter", "--net=/var/run/netns/"+e.namespace, "bash", "-euc", script)
		cmd.Dir = clone
		cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+filepath.Join(l.dir, "cli"), "NITROX_CONFIG=")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd, &out
	}
	const second = `until [ -e first/ns.conf ]; do sleep 0.1; done; cd first; export PATH="$PWD/../bin:$PATH"; exec `
	script, shown := "", map[int]string{}
	n := 0
	var terminal *exec.Cmd
	var said *bytes.Buffer
	for _, m := range regexp.MustCompile("(?s)(?:<!-- ([a-z ]+) -->\n)?```(sh|text|yaml)\n(.*?)```\n").FindAllStringSubmatch(text, -1) {
		switch mark, language, block := m[1], m[2], m[3]; {
		case mark == "yours":
			script += fmt.Sprintf("export HOST=%s IMAGE=web:1 DOCKER_HOST=unix://%s\n", e.addr, e.socket())
		case mark == "in a second terminal":
			terminal, said = shell(second + block)
			// Its image has a health check, which the reader's mostly has not.
			script += "until [ $(docker ps --quiet --filter health=healthy | wc -l) = 2 ]; do sleep 0.2; done\n"
			script += "until (echo > /dev/tcp/127.0.0.1/8088) 2>/dev/null; do sleep 0.1; done\n"
		case language == "sh":
			n++
			script += fmt.Sprintf("echo '== %d'\n%s", n, block)
		case language == "yaml":
			script += fmt.Sprintf("echo '== %d'\ncat nitrox.yaml\n", n+1)
			n++
			fallthrough
		default:
			shown[n] = block
		}
	}
	if terminal == nil || len(shown) < 3 {
		t.Fatalf("the document is not what this test knows:\n%s", script)
	}
	if err := terminal.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		terminal.Process.Kill()
		terminal.Wait() // it was killed
	}()
	cmd, out := shell(script)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\nthe simulator: %s", err, out, said)
	}
	t.Logf("%s", out)
	subnet := strings.TrimSuffix(e.addr.String(), fmt.Sprint(e.addr.As4()[3]))
	for n, want := range shown {
		_, got, _ := strings.Cut(out.String(), fmt.Sprintf("== %d\n", n))
		got, _, _ = strings.Cut(got, "\n== ")
		got = strings.NewReplacer(e.socket(), "/var/run/docker.sock", e.addr.String(), "192.0.2.20", subnet, "192.0.2.").Replace(got)
		blanks := regexp.MustCompile(" +")
		if !strings.Contains(blanks.ReplaceAllString(got+"\n", " "), blanks.ReplaceAllString(want, " ")) {
			t.Errorf("the document shows\n%s\nand this was printed:\n%s", want, got)
		}
	}
}
