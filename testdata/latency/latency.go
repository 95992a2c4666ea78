// Package latency measures how long it takes from an event in a cluster manager
// until the NetScaler has the new member: the nitrox binary with --watch, and
// with --loop alone, against a simulated NetScaler that answers at once.
//
//	go test -tags e2e -count=1 -v -timeout 60m -run Latency ./testdata/latency/ ./testdata/e2e/ ./testdata/kubernetes/ -events 200
//
// That takes 20 minutes, mostly waiting between events. What the clusters of the
// last two need, they say themselves.
//
// What it finds is printed and never asserted: it depends on the machine.
package latency

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
)

// Events is how many events are measured in each mode.
var Events = flag.Int("events", 0, "measure the latency of so many events; 0: do not")

// Subject is a cluster manager with an app, and a Nitrox that looks after it.
type Subject struct {
	Source  string // for the table
	Nitrox  string // the binary
	Mapping string // the file
	Env     []string
	Sim     *simulator.Simulator
	Group   string
	// Swap makes the nth event: an endpoint takes the place of another. It
	// returns the endpoint, and what says since when a client of the cluster
	// manager could see it, which is asked when it is bound.
	Swap func(n int) (endpoint netip.AddrPort, at func() time.Time)
	// Rest is the shortest time between two events. Default: a second, which is
	// the least time between two passes; more where an event has aftereffects.
	Rest time.Duration
	// Requests is how many requests the cluster manager has had; nil: they are
	// not counted.
	Requests func() int64
}

// debounce is how long the loop waits for more events after the first.
const debounce = 250 * time.Millisecond

// Measure prints a line for --watch, whose interval is too long to matter, and
// one for a loop at the shortest interval there is.
func Measure(t *testing.T, s Subject) {
	t.Helper()
	if *Events == 0 {
		t.Skip("a measurement of minutes; -events 200 makes it")
	}
	s.measure(t, "--watch", "--loop", "10m", "--watch")
	s.measure(t, "--loop 1s", "--loop", "1s")
}

func (s Subject) measure(t *testing.T, mode string, args ...string) {
	t.Helper()
	cmd := exec.Command(s.Nitrox, append([]string{"sync", "--config", s.Mapping}, args...)...)
	cmd.Env = s.Env
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM) // an error: it has ended
		<-ended
		if t.Failed() {
			t.Logf("nitrox %v printed:\n%s", args, output.String())
		}
	}()
	// The first wake what is asleep: the stream connects, programs are read
	// from the disk.
	const warm = 3
	var took []time.Duration
	var requests int64
	for n := range warm + *Events {
		if n == warm && s.Requests != nil {
			requests = s.Requests()
		}
		pause(max(s.Rest, time.Second) + rand.N(time.Second)) // not in step with the interval
		endpoint, at := s.Swap(n)
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("nitrox has ended: %v", err)
		default:
		}
		bound := s.bound(t, endpoint)
		if n >= warm {
			took = append(took, bound.Sub(at()))
		}
	}
	slices.Sort(took)
	at := func(percent int) time.Duration {
		return took[min(len(took)-1, len(took)*percent/100)].Round(time.Millisecond)
	}
	line := fmt.Sprintf("latency  %-26s %-10s %4d events  p50 %7v  p99 %7v  max %7v", s.Source, mode, len(took), at(50), at(99), at(100))
	if mode == "--watch" {
		line += fmt.Sprintf("  beyond the debounce: p50 %v, p99 %v", at(50)-debounce, at(99)-debounce)
	}
	if s.Requests != nil {
		line += fmt.Sprintf("  %.1f requests an event", float64(s.Requests()-requests)/float64(len(took)))
	}
	fmt.Println(line)
}

// bound waits until the endpoint is a member.
func (s Subject) bound(t *testing.T, endpoint netip.AddrPort) time.Time {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(30 * time.Second)
	for {
		for _, m := range s.Sim.Members(s.Group) {
			if m.Addr == endpoint && m.State == "ENABLED" {
				return time.Now()
			}
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%v is not bound: the members are %v", endpoint, s.Sim.Members(s.Group))
		}
	}
}

// At is a time that is known.
func At(t time.Time) func() time.Time { return func() time.Time { return t } }

func pause(d time.Duration) { <-time.After(d) }
