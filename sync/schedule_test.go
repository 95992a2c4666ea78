package sync

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
)

// TestTheSchedule: what happens at which time (in milliseconds), and which passes
// begin then. Who has not left is busy. a is on edge, b on core, c on both.
func TestTheSchedule(t *testing.T) {
	apps := []App{
		{Name: "a", NetScalers: []string{"edge"}, From: []From{{Source: "s", Query: "a"}, {Source: "t", Query: "a"}}},
		{Name: "b", NetScalers: []string{"core"}, From: []From{{Source: "s", Query: "b"}}},
		{Name: "c", NetScalers: []string{"edge", "core"}, From: []From{{Source: "s", Query: "c"}}},
	}
	for name, c := range map[string]struct {
		same         bool // edge and core are one appliance
		script, want string
	}{
		"an interval": {script: "100 left edge, 100 left core",
			want: "0 all, 60000 all"},
		"a hint": {script: "100 left edge, 100 left core, 9000 hint a, 9300 left edge",
			want: "0 all, 9250 a@edge, 60000 all"},
		"hints that come together": {script: "100 left edge, 100 left core, 9000 hint a, 9200 hint c, 9249 hint b",
			want: "0 all, 9250 a b c@core edge"},
		"a hint of any query": {script: "100 left edge, 100 left core, 9000 hint s, 9010 hint t, 9020 hint s",
			want: "0 all, 9250 a b c@core edge"},
		"a rest of a second after the beginning": {script: "100 left edge, 100 left core, 110 hint a",
			want: "0 all, 1000 a@edge, 60000 b c@core"},
		"a rest as long as the pass": {script: "4000 left edge, 100 left core, 4010 hint a",
			want: "0 all, 8000 a@edge, 60000 b c@core"},
		"a hint during the pass": {script: "4000 left edge, 100 left core, 2000 hint a",
			want: "0 all, 8000 a@edge, 60000 b c@core"},
		"an app that the last pass did not touch": {script: "100 left edge, 100 left core, 9000 hint a, 13250 left edge, 13300 hint c, 13300 hint a",
			want: "0 all, 9250 a@edge, 13550 c@core edge"},
		"one that the running pass does not touch, elsewhere": {script: "100 left edge, 100 left core, 9000 hint a, 9300 hint b",
			want: "0 all, 9250 a@edge, 9550 b@core"},
		"one on both, of which one is busy": {script: "100 left edge, 100 left core, 9000 hint a, 9300 hint c, 20000 left edge, 20010 left core",
			want: "0 all, 9250 a@edge, 9550 c@core, 20250 c@edge, 60000 b c@core"},
		"one on both, on one of which it rests": {script: "100 left edge, 100 left core, 9000 hint c, 9300 left edge, 14250 left core, 14300 hint c, 14300 hint b, 14600 left edge, 14600 left core",
			want: "0 all, 9250 c@core edge, 14550 b c@core edge but c@core, 19250 c@core, 60000 a c@edge"},
		"a NetScaler that hangs in a pass of all": {script: "100 left core, 9000 hint b, 9300 left core, 10000 hint c, 70000 left edge",
			want: "0 all, 9250 b@core, 10250 c@core, 70000 a c@edge"},
		"one that hangs at the interval": {script: "100 left core, 61000 left core, 70000 left edge",
			want: "0 all, 60000 b c@core, 70000 a c@edge"},
		"one appliance": {same: true, script: "100 left edge, 100 left core, 9000 hint a, 9300 hint b, 12250 left edge",
			want: "0 all, 9250 a@edge, 12250 b@core"},
		"a drain": {script: "100 left edge a 30, 100 left core, 31200 left edge",
			want: "0 all, 31100 a@edge, 60000 all"},
		"a drain, and an event of another app": {script: "100 left edge a 30, 100 left core, 20000 hint c, 20300 left edge, 20300 left core, 31200 left edge",
			want: "0 all, 20250 c@core edge, 31100 a@edge, 60000 all"},
		"a drain, and a pass of its app that fails": {script: "100 left edge a 30, 100 left core, 20000 hint a, 20300 left edge a !, 31200 left edge a !, 40000 hint b",
			want: "0 all, 20250 a@edge, 31100 a@edge, 40250 b@core, 60000 a c@edge"},
		"a drain that is over sooner": {script: "100 left edge a 30, 100 left core, 20000 hint a, 20300 left edge a 0",
			want: "0 all, 20250 a@edge, 60000 all"},
		"a drain that ends at once, again and again": {script: "100 left edge a 0.5, 100 left core, 2000 left edge a 0.5, 5000 left edge",
			want: "0 all, 1600 a@edge, 3500 a@edge, 60000 all"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
			s := &Syncer{Apps: apps, NetScalers: map[string]*NetScaler{"edge": {}, "core": {}}}
			d := newSchedule(s.scope(nil), func(netscaler string) string {
				if c.same {
					return "one"
				}
				return netscaler
			}, start)
			var got []string
			now := start
			script := strings.Split(c.script, ", ")
			for end := start.Add(61 * time.Second); ; {
				var at time.Duration
				var what []string
				if len(script) > 0 {
					what = strings.Fields(script[0])
					ms, err := time.ParseDuration(what[0] + "ms")
					if err != nil {
						t.Fatal(err)
					}
					at = ms
				}
				if next := d.next(); len(script) == 0 || !start.Add(at).Before(next) {
					if next.After(end) || len(script) == 0 && next.After(start.Add(65*time.Second)) {
						break
					}
					began := false
					next = latest(next, now)
					for part := d.begin(next, time.Minute); part != nil; part = d.begin(next, time.Minute) {
						began = true
						what := "all"
						if part.NetScalers != nil {
							what = strings.Join(part.Apps, " ") + "@" + strings.Join(part.NetScalers, " ")
							for _, app := range apps {
								for _, name := range app.NetScalers {
									if slices.Contains(part.Apps, app.Name) && part.on(name) && !part.serves(app.Name, name) {
										what += " but " + app.Name + "@" + name
									}
								}
							}
						}
						got = append(got, fmt.Sprintf("%d %s", next.Sub(start).Milliseconds(), what))
					}
					if !began && !next.Before(d.next()) {
						t.Fatalf("after %v it wants to be asked again and again", got)
					}
					continue
				}
				script = script[1:]
				now = start.Add(at)
				switch what[1] {
				case "hint":
					if slices.Contains([]string{"a", "b", "c"}, what[2]) {
						d.hint(hint{"s", []string{what[2]}}, now)
					} else {
						d.hint(hint{what[2], nil}, now)
					}
				case "left":
					var outcomes []Outcome
					if len(what) > 3 {
						o := Outcome{App: App{Name: what[3]}}
						if what[4] == "!" {
							o.Err = errors.New("503")
						} else if left, err := time.ParseDuration(what[4] + "s"); err != nil {
							t.Fatal(err)
						} else if left > 0 {
							o.Plan.Draining = []netscaler.Member{{Remaining: left}}
						}
						outcomes = append(outcomes, o)
					}
					d.left(what[2], outcomes, now)
				}
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("passes\n %s\nwant\n %s", text, c.want)
			}
		})
	}
}
