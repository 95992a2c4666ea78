package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"nitrox/sync"
)

func TestProgressLine(t *testing.T) {
	now := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		steps   []sync.Step
		columns int
		want    string
	}{
		{"nothing", nil, 80, ""},
		{"sources and a NetScaler", []sync.Step{
			{NetScaler: "edge", Doing: "reading"}, {Source: "prod", Doing: "polling"}, {Source: "lab", Doing: "polling"},
		}, 80, "polling lab, prod; edge: reading"},
		{"a count", []sync.Step{{NetScaler: "edge", Doing: "bind", Done: 240, Of: 1000}}, 80, "edge: bind 240/1,000"},
		{"a large one", []sync.Step{{NetScaler: "edge", Doing: "bind", Done: 1000000, Of: 1234567}}, 80, "edge: bind 1,000,000/1,234,567"},
		{"two NetScalers", []sync.Step{
			{NetScaler: "west", Doing: "bind", Of: 3}, {NetScaler: "east", Doing: "waiting for new members to be UP", Until: now.Add(8 * time.Second)},
		}, 80, "east: waiting for new members to be UP, 8s left; west: bind 0/3"},
		{"a drain", []sync.Step{{Doing: "draining 12 members", Until: now.Add(33600 * time.Millisecond)}}, 80, "draining 12 members, 34s left"},
		{"a long one", []sync.Step{{Doing: "draining 1 member", Until: now.Add(90 * time.Minute)}}, 80, "draining 1 member, 1h30m left"},
		{"one that is late", []sync.Step{{Doing: "draining 12 members", Until: now.Add(-time.Second)}}, 80, "draining 12 members"},
		{"as wide as the terminal", []sync.Step{{NetScaler: "edge", Doing: "reading"}}, 13, "edge: reading"},
		{"wider", []sync.Step{{NetScaler: "edge", Doing: "reading"}}, 12, "edge: readi…"},
		{"wide letters", []sync.Step{{NetScaler: "負荷分散", Doing: "reading"}}, 8, "負荷分…"},
		{"a narrow terminal", []sync.Step{{NetScaler: "edge", Doing: "reading"}}, 1, "…"},
		{"a name that steers", []sync.Step{{Source: "a\x1b[2Jb", Doing: "polling"}}, 80, "polling a [2Jb"},
	} {
		if got := line(c.steps, now, c.columns); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A terminal that is held keeps no run from its end.
func TestProgressOnATerminalThatIsHeld(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := w.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	l := &progress{terminal: w, end: make(chan struct{}), gone: make(chan struct{}), shown: "edge: reading"}
	go l.draw()
	ended := make(chan struct{})
	go func() { l.stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("it waits for who does not read")
	}
	select {
	case <-l.gone:
		t.Error("the line was erased: nothing was held")
	default:
	}
}
