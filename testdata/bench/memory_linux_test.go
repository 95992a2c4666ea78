package bench

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"nitrox/sources/sourcetest"
)

// size is one of an installation, and the memory that a container is given for it,
// of which GOMEMLIMIT is three quarters.
type size struct {
	apps, members, nodes int
	mem                  int // MiB
}

var sizes = []size{{10, 10, 20, 128}, {100, 100, 200, 128}, {1000, 20, 1000, 256}, {1000, 100, 2000, 512}, {5000, 20, 5000, 512}}

func (s size) labels() []string {
	return []string{fmt.Sprintf("%d × %d", s.apps, s.members), strconv.Itoa(s.nodes), fmt.Sprintf("%dM", s.mem)}
}

func (s size) limit() []string { return []string{fmt.Sprintf("GOMEMLIMIT=%dMiB", s.mem*3/4)} }

// site has all pods replaced, so that each member is to be bound, and each unbound.
func (s size) site(t testing.TB) *site {
	t.Helper()
	e := newSite(t, install(s.apps, s.apps, s.members, s.nodes), s.apps, "node_port", 0)
	for n := range s.apps {
		e.move(n, s.members)
	}
	return e
}

// runs measures the run that replaces everything, and the one after it.
func (s size) runs(t testing.TB) (all, none cost) {
	t.Helper()
	e := s.site(t)
	run := func() cost {
		return start(t, binary, s.limit(), "sync", "--config", filepath.Join(e.dir, "nitrox.yaml")).end()
	}
	return run(), run()
}

// loop measures one that replaces everything, goes on for ten passes more while pods are
// replaced, and is looked at: the most memory, and the CPU time of each of the ten.
func (s size) loop(t testing.TB) (peak int64, pass time.Duration) {
	t.Helper()
	e := s.site(t)
	p, url, passes := e.looping(t, s.limit(), "--loop", "3s", "--watch")
	began := passes(1)
	spent := p.spent()
	for i := range 10 {
		e.move(i*7%s.apps, i%2)
		get(url)
		passes(began + i + 1)
	}
	ended := passes(began + 10)
	spent = p.spent() - spent
	return p.stop().peak, spent / time.Duration(ended-began)
}

// looping starts a loop; passes waits until it has made so many, and says how many it has.
func (s *site) looping(t testing.TB, env []string, args ...string) (p *process, url string, passes func(n int) int) {
	t.Helper()
	address := sourcetest.FreeAddress(t)
	url = "http://" + address + "/"
	p = start(t, binary, env, append([]string{"sync", "--config", filepath.Join(s.dir, "nitrox.yaml"), "--listen", address}, args...)...)
	return p, url, func(n int) int {
		for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			m := regexp.MustCompile(`nitrox_pass_duration_seconds_count\{phase="all"\} (\d+)`).FindStringSubmatch(get(url + "metrics"))
			if m == nil {
				continue
			}
			if made, err := strconv.Atoi(m[1]); err != nil {
				t.Fatal(err)
			} else if made >= n {
				return made
			}
		}
		t.Fatalf("not %d passes:\n%.5000s", n, p.output.String())
		return 0
	}
}

// get is what is served; nothing, while nothing is.
func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}
