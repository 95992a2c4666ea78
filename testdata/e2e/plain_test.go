//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"
)

const shop = "com.citrix.lb.appname=shop"

// TestEngine takes labelled containers on a plain engine through deployment,
// scaling, and the ways a container can be no use.
func TestEngine(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	e := l.newEngine(t, "node1")
	var containers []string // ids
	start := func(count int) {
		t.Helper()
		for range count {
			containers = append(containers, e.docker("run", "--detach", "--restart", "always",
				"--label", shop, "--publish", "80", "web:1")...)
		}
	}
	// settled waits until the engine runs so many containers, all healthy but
	// so many, and returns what the groups must hold.
	settled := func(healthy, other int) map[string]truth {
		t.Helper()
		eventually(t, time.Minute, fmt.Sprintf("%d healthy containers and %d others", healthy, other), func() error {
			all, err := e.running("label=" + shop)
			if err != nil {
				return err
			}
			well, err := e.running("label="+shop, "health=healthy")
			if err != nil {
				return err
			}
			if len(well) != healthy || len(all) != healthy+other {
				return fmt.Errorf("%d of %d are healthy", len(well), len(all))
			}
			return nil
		})
		want := e.healthy("label=" + shop)
		if len(want) != healthy {
			t.Fatalf("%d healthy containers publish %d addresses", healthy, len(want))
		}
		want.serves(t)
		return map[string]truth{"remote": want, "local": want}
	}

	from := fmt.Sprintf("from: [{source: %%s, label: %s, port: 80}]", shop)
	n := newNitrox(t, l, fmt.Sprintf("  remote: {docker: {host: %q}}\n  local: {docker: {host: %q, host_address: %s}}\n",
		e.tcp(2375), "unix://"+e.socket(), e.addr),
		map[string]string{"remote": fmt.Sprintf(from, "remote"), "local": fmt.Sprintf(from, "local")})

	inStep := func(healthy, other int) {
		t.Helper()
		n.inStep(func() map[string]truth { return settled(healthy, other) })
	}

	step(t, "deploy, beside containers that are no part of it")
	start(4)
	// Published for IPv4 alone, which parts the ports of those that follow.
	e.docker("run", "--detach", "--publish", "0.0.0.0::80", "web:1")
	e.docker("run", "--detach", "--label", "com.citrix.lb.appname=other", "--publish", "80", "web:1")
	inStep(4, 0)

	step(t, "a mapping by what is there now")
	n.proposes(e.tcp(2375), "local", "remote")

	step(t, "scale to 6")
	start(2)
	inStep(6, 0)

	step(t, "scale to 2")
	e.docker(append([]string{"rm", "--force"}, containers[:4]...)...)
	containers = containers[4:]
	inStep(2, 0)
	start(2)
	inStep(4, 0)

	step(t, "a container dies")
	e.docker("kill", containers[0])
	inStep(3, 0)

	step(t, "a container is paused, and goes on")
	e.docker("pause", containers[1])
	inStep(2, 0)
	e.docker("unpause", containers[1])
	inStep(3, 0)

	step(t, "a container falls sick, and recovers")
	at := e.healthy("id=" + containers[2]).addrs()[0]
	tell(t, at, "sick")
	inStep(2, 1)
	if slices.Contains(n.members("remote"), at) {
		t.Fatalf("%v is unhealthy and a member", at)
	}
	tell(t, at, "well")
	inStep(3, 0)

	step(t, "the engine stops: nothing is removed")
	untouched := n.untouched("remote", "local")
	e.stop()
	untouched(n.sync(1))

	step(t, "the engine is back, with containers on other ports")
	e.start()
	// docker kill counts as stopping by hand: that container stays away.
	e.docker("rm", "--force", containers[0])
	inStep(3, 0)

	step(t, "no container is left: the members stay, and the exit code says so")
	e.docker(append([]string{"rm", "--force"}, containers[1:]...)...)
	settled(0, 0)
	code, output := n.run("sync")
	if code == 0 || len(n.members("remote")) == 0 || len(n.members("local")) == 0 {
		t.Fatalf("exit %d, members %v and %v\n%s", code, n.members("remote"), n.members("local"), output)
	}
}

// tell makes a container's health check fail ("sick") or succeed ("well").
func tell(t *testing.T, at netip.AddrPort, word string) {
	t.Helper()
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+at.String()+"/"+word, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", word, resp.Status)
	}
}
