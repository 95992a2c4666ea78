//go:build e2e && linux

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOptingIn: services of a swarm, and containers of an engine, opt in and out, and some
// are after what is another's.
func TestOptingIn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	s := l.newSwarm(t, 1, 0)
	e := s.engines[0]
	n := newNitrox(t, l, fmt.Sprintf("  swarm: {docker: {host: %q}}\n  engine: {docker: {host: %q, kind: engine}}\n", e.tcp(2375), e.tcp(2375)), nil)
	write(t, n.mapping, strings.Replace(read(t, n.mapping), "apps:\n", `discover:
  - {source: swarm, select: nitrox=on, service_group: "swarm.{name}-{port}", max_remove: 100%, allow_groups: {"*": sg-swarm-*}}
  - {source: engine, select: nitrox, service_group: "engine.{name}-{port}", max_remove: 100%, allow_groups: {"*": sg-engine-*}}
`, 1))
	const web, web2, plain, both = "swarm.web-80", "swarm.second-80", "engine.plain-80", "sg-swarm-both"
	for _, group := range []string{web, web2, plain, both, "engine.evil-80"} {
		n.sim.AddGroup(group)
	}
	inStep := func() {
		t.Helper()
		n.inStep(func() map[string]truth {
			return map[string]truth{web: s.host("web"), plain: e.healthy("label=nitrox=plain"), web2: {}, both: {}, "engine.evil-80": {}}
		})
	}
	refuses := func(texts ...string) {
		t.Helper()
		untouched := n.untouched(web, web2, plain, both)
		output := n.sync(1)
		untouched(output)
		for _, text := range texts {
			if !strings.Contains(output, text) {
				t.Errorf("the report does not say %q:\n%s", text, output)
			}
		}
	}
	update := func(service string, args ...string) {
		t.Helper()
		e.docker(append(append([]string{"service", "update", "--detach", "--quiet"}, args...), service)...)
	}

	step(t, "nobody has opted in")
	for _, name := range []string{"web", "second"} {
		s.create(name, "--publish", "mode=host,target=80")
		s.settled(t, name, 1)
	}
	output := n.sync(0)
	n.holds(map[string]truth{web: {}, web2: {}}, output)

	step(t, "labels on: a service gets one, and a container has one")
	update("web", "--label-add", "nitrox=on")
	e.docker("run", "--detach", "--label", "nitrox=plain", "--publish", "80", "web:1")
	eventually(t, time.Minute, "the container is healthy", func() error {
		if len(e.healthy("label=nitrox=plain")) == 0 {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	inStep()
	if len(n.members(web)) != 1 || len(n.members(plain)) != 1 {
		t.Fatalf("members %v and %v", n.members(web), n.members(plain))
	}

	step(t, "scaled up and down")
	for _, tasks := range []string{"3", "1"} {
		e.docker("service", "scale", "--detach", "web="+tasks)
		s.settled(t, "web", int(tasks[0]-'0'))
		inStep()
	}

	step(t, "another's group, a loosened guard, and two that claim one group")
	update("second", "--label-add", "nitrox=on", "--label-add", "nitrox.io/service-group="+web)
	refuses("service second: nitrox.io/service-group: " + web + " is not allowed")
	update("second", "--label-add", "nitrox.io/service-group="+both, "--label-add", "nitrox.io/max-remove=100%")
	refuses("service second: nitrox.io/max-remove: ")
	update("second", "--label-rm", "nitrox.io/max-remove")
	update("web", "--label-add", "nitrox.io/service-group="+both)
	refuses("service second of source swarm and service web of source swarm claim service group " + both)
	update("web", "--label-rm", "nitrox.io/service-group")
	update("second", "--label-rm", "nitrox", "--label-rm", "nitrox.io/service-group")
	inStep()

	step(t, "an image that opts in for who runs it, and one that joins an app")
	e.docker("import", "--change", `CMD ["/web"]`, "--change", "LABEL nitrox=evil", filepath.Join(e.dir, "web.tar"), "evil:1")
	evil := e.docker("run", "--detach", "--name", "evil", "--publish", "80", "evil:1")[0]
	refuses("container evil: its label nitrox=evil comes from its image")
	e.docker("rm", "--force", evil)
	inStep()

	step(t, "the daemon stops: nothing changes")
	untouched := n.untouched(web, plain)
	e.stop()
	untouched(n.sync(1))
	e.start()
	s.settled(t, "web", 1)
	e.docker("rm", "--force", "--volumes", e.docker("ps", "--all", "--quiet", "--filter", "label=nitrox=plain")[0])
	e.docker("run", "--detach", "--label", "nitrox=plain", "--publish", "80", "web:1")
	eventually(t, time.Minute, "the container is healthy", func() error {
		if len(e.healthy("label=nitrox=plain")) == 0 {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	inStep()

	step(t, "a label off, and a container deleted: the members stay, and each pass says so")
	update("web", "--label-rm", "nitrox")
	e.docker("rm", "--force", e.docker("ps", "--all", "--quiet", "--filter", "label=nitrox=plain")[0])
	for range 2 {
		untouched := n.untouched(web, plain)
		output := n.sync(0)
		untouched(output)
		for _, group := range []string{web, plain} {
			if !strings.Contains(output, group+": no app claims it any more: 1 member stays") {
				t.Errorf("nothing of %s in\n%s", group, output)
			}
		}
	}

	step(t, "a label is an event")
	n.loop()
	update("second", "--label-add", "nitrox=on")
	eventually(t, time.Minute, "the label is followed", func() error {
		if got, want := n.members(web2), s.host("second").addrs(); !slices.Equal(got, want) {
			return fmt.Errorf("the members are %v, want %v", got, want)
		}
		return nil
	})
}
