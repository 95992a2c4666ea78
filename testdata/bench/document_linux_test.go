package bench

import (
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	full = flag.Bool("full", false, "measure all figures, for minutes")
	save = flag.Bool("write", false, "write them to docs/benchmarks.md")
	only = flag.String("only", "", "measure only the lines that this pattern finds; others stay as they are")
)

// document is what the figures are written to.
const document = "../../docs/benchmarks.md"

type table struct {
	title, text string
	labels      []string
	columns     []column
	lines       []line
}

type column struct {
	head string
	form string // of the figure
}

// line is one of a table. What is NaN was not measured.
type line struct {
	labels  []string
	measure func(t testing.TB) []float64
}

const (
	kB = 1e3
	mB = 1e6
)

// latency is what a call takes where calls are slow.
const latency = 25 * time.Millisecond

var tables = []table{netscalers, many, eventsOne, eventsMany, optedIn, sourcesTable, memory, growth}

var netscalers = table{
	title: "A pass",
	text: `Groups of members, whose endpoints come from files, and a NetScaler that has them (unchanged), lacks
a hundredth or all of them and has others instead (1 %, everything), has none (first fill), or has a
tenth too many, which drain. Nitrox waits for new members to come UP (` + "`wait_up`" + `) where others go.
The floor is a process that fetches the same answers and decodes them with encoding/json into five
fields. The script logs in, reads each group, writes each member, saves, and logs out; of more than
2,000 writes it does a part, and the rest is in proportion. Its time (s) is calls × 25 ms. MB are
what passes the network, both ways. More than 100,000 members are given
` + "`GOMEMLIMIT=1536MiB`" + `.`,
	labels: []string{"groups × members", "pass"},
	columns: []column{{"calls", "%.0f"}, {"MB", "%.2f"}, {"CPU s", "%.2f"}, {"peak MB", "%.0f"}, {"at 25 ms: calls", "%.0f"},
		{"s", "%.1f"}, {"floor: CPU s", "%.2f"}, {"peak MB", "%.0f"}, {"script: calls", "%.0f"}, {"MB", "%.2f"}, {"CPU s", "%.2f"}, {"s", "%.0f"}},
	lines: func() (all []line) {
		for _, size := range [][2]int{{10, 10}, {100, 10}, {100, 100}, {1000, 10}, {1000, 100}, {5000, 10}, {5000, 100}} {
			kinds := works(size[0], size[1])
			if size[0]*size[1] > 100_000 {
				kinds = kinds[:2] // half a million changes take minutes
			}
			for _, w := range kinds {
				all = append(all, line{[]string{fmt.Sprintf("%d × %d", size[0], size[1]), w.what}, func(t testing.TB) []float64 {
					c, bodies := w.pass(t, 0)
					f := floorOf(t, bodies)
					s := w.byMember(t)
					slow, _ := w.pass(t, latency)
					return []float64{float64(c.calls), c.bytes() / mB, c.cpu.Seconds(), float64(c.peak) / mB, float64(slow.calls), slow.took.Seconds(),
						f.cpu.Seconds(), float64(f.peak) / mB, float64(s.calls), s.bytes() / mB, s.cpu.Seconds(), float64(s.calls) * latency.Seconds()}
				}})
			}
		}
		return all
	}(),
}

func (c cost) bytes() float64 { return float64(c.sent + c.received) }

var many = table{
	title: "Many NetScalers",
	text: `200 NetScalers, each with 50 apps of ten members, which a pass finds in step, with 25 ms a call; and
200 that refuse connections. One process keeps all, or [four](scale.md) do. Calls, MB on the network
and CPU are those of all processes together, the rest is that of the one that takes most: memory,
connections at a time, and seconds.`,
	labels:  []string{"NetScalers", "processes"},
	columns: []column{{"NITRO calls", "%.0f"}, {"MB", "%.1f"}, {"CPU s", "%.2f"}, {"peak MB", "%.0f"}, {"connections", "%.0f"}, {"s", "%.1f"}},
	lines: func() (all []line) {
		for _, c := range []struct {
			netscalers, processes string
			refuse                bool
			of                    func(testing.TB, *fleet) [][]string
		}{
			{"200 in step", "1", false, func(_ testing.TB, f *fleet) [][]string { return [][]string{f.whole()} }},
			{"200 in step", "4 files, each of 50 NetScalers", false, func(t testing.TB, f *fleet) [][]string { return f.byFile(t, 4) }},
			{"200 in step", "4 by `--app`, each of 50 NetScalers", false, func(_ testing.TB, f *fleet) [][]string { return f.byApp(4, false) }},
			{"200 in step", "4 by `--app`, each of all NetScalers", false, func(_ testing.TB, f *fleet) [][]string { return f.byApp(4, true) }},
			{"200 that refuse", "1", true, func(_ testing.TB, f *fleet) [][]string { return [][]string{f.whole()} }},
		} {
			all = append(all, line{[]string{c.netscalers, c.processes}, func(t testing.TB) []float64 {
				f, code := newFleet(t, 200, 50, 10, latency), 0
				if c.refuse {
					code = 1
					for _, d := range f.doors {
						d.Close()
					}
				}
				n := f.pass(t, code, c.of(t, f)...)
				return []float64{float64(n.calls), n.bytes() / mB, n.cpu.Seconds(), float64(n.peak) / mB, float64(f.connections.most), n.took.Seconds()}
			}})
		}
		return all
	}(),
}

var eventsOne = table{
	title: "An event",
	text: `One pod of a Kubernetes cluster is replaced while
` + "`sync --loop 10m --watch --listen`" + ` runs, 20 times, with 25 ms a NITRO call: the time until the
NetScaler has the new member (a quarter of a second of it is the wait for more events), and what the
whole pass took, save included: of calls and bytes the most, of CPU the mean.`,
	labels: []string{"groups × members", "bound are", "nodes"},
	columns: []column{{"p50 s", "%.2f"}, {"p99 s", "%.2f"}, {"NITRO calls", "%.0f"}, {"kB", "%.0f"},
		{"API requests", "%.0f"}, {"kB", "%.0f"}, {"CPU s", "%.3f"}},
	lines: func() (all []line) {
		for _, c := range []struct {
			groups, members, nodes int
			address                string
		}{{10, 10, 10, "pod_ip"}, {1000, 100, 500, "pod_ip"}, {10, 10, 20, "node_port"}, {1000, 100, 5000, "node_port"},
			{10_000, 10, 500, "pod_ip"}} {
			all = append(all, line{[]string{fmt.Sprintf("%d × %d", c.groups, c.members), c.address, fmt.Sprint(c.nodes)}, func(t testing.TB) []float64 {
				e := newSite(t, install(c.groups, c.groups, c.members, c.nodes), c.groups, c.address, latency).events(t, 20, 6*time.Second)
				return []float64{e.took[len(e.took)/2].Seconds(), e.took[len(e.took)-1].Seconds(), float64(e.ns.calls), e.ns.bytes() / kB,
					float64(e.api.calls), e.api.bytes() / kB, e.cpu.Seconds()}
			}})
		}
		return all
	}(),
}

var eventsMany = table{
	title: "200 events in 20 seconds",
	text: `Each is a pod of another of 5,000 apps with 20 pods each on 5,000 nodes; 25 ms a NITRO call. Until
all are bound and saved.`,
	labels:  []string{"bound are"},
	columns: []column{{"API requests", "%.0f"}, {"MB", "%.2f"}, {"NITRO calls", "%.0f"}, {"MB", "%.2f"}, {"CPU s", "%.2f"}},
	lines: func() (all []line) {
		for _, address := range []string{"pod_ip", "node_port"} {
			all = append(all, line{[]string{address}, func(t testing.TB) []float64 {
				ns, api, cpu := newSite(t, install(5000, 5000, 20, 5000), 5000, address, latency).burst(t, 200)
				return []float64{float64(api.calls), api.bytes() / mB, float64(ns.calls), ns.bytes() / mB, cpu.Seconds()}
			}})
		}
		return all
	}(),
}

var optedIn = table{
	title: "Apps that opt in",
	text: `5,000 apps of two pods each, which the mapping writes or which opt in, of a Kubernetes cluster with
100 nodes: a run and a pass of a loop that find all in step, with ` + "`--watch`" + ` one pod that is replaced
and one new label, and 200 labels that are taken away and given back in 20 seconds.`,
	labels:  []string{"what", "apps"},
	columns: []column{{"NITRO calls", "%.0f"}, {"kB", "%.0f"}, {"API requests", "%.0f"}, {"kB", "%.0f"}, {"CPU s", "%.2f"}},
	lines: func() (all []line) {
		for _, what := range []string{"a run", "a pass of a loop", "an event", "a new label", "200 labels in 20 s"} {
			for _, f := range forms {
				if f.selects == nil && strings.Contains(what, "label") {
					continue
				}
				all = append(all, line{[]string{what, f.name}, func(t testing.TB) []float64 {
					s, e := f.site(t, 5000), spent{}
					switch what {
					case "a run":
						e = s.run(t)
					case "a pass of a loop":
						e = s.unchanged(t)
					case "an event":
						e = s.events(t, 5, 6*time.Second).spent()
					case "a new label":
						e = s.newLabel(t, 5, 6*time.Second).spent()
					default:
						e = s.flapping(t, 200)
					}
					return []float64{float64(e.ns.calls), e.ns.bytes() / kB, float64(e.api.calls), e.api.bytes() / kB, e.cpu.Seconds()}
				}})
			}
		}
		return all
	}(),
}

var sourcesTable = table{
	title: "A source",
	text: "`nitrox plan`" + ` of apps whose groups have no members yet, which prints all of them, or
` + "`nitrox sync`" + ` of groups that are in step. Docker and Marathon have ten tasks of each app. Of
Kubernetes node ports are bound, and the MB of nodes, services and slices are given apart.`,
	labels:  []string{"source", "apps", "of"},
	columns: []column{{"requests", "%.0f"}, {"MB", "%.2f"}, {"nodes MB", "%.2f"}, {"services MB", "%.2f"}, {"slices MB", "%.2f"}, {"CPU s", "%.2f"}, {"peak MB", "%.0f"}},
	lines: func() (all []line) {
		for _, c := range [][4]int{{100, 10_000, 10, 5000}, {5000, 5000, 20, 5000}} {
			all = append(all, line{[]string{"Kubernetes", fmt.Sprint(c[0]), fmt.Sprintf("%d services on %d nodes", c[1], c[3])}, func(t testing.TB) []float64 {
				i := install(c[1], c[0], c[2], c[3])
				p := planKubernetes(t, i, c[0])
				return []float64{float64(p.calls), p.bytes() / mB, float64(i.sent["nodes"]) / mB, float64(i.sent["services"]) / mB, float64(i.sent["endpointslices"]) / mB,
					p.cpu.Seconds(), float64(p.peak) / mB}
			}})
		}
		all = append(all, line{[]string{"Kubernetes, in step", "5000", "5000 services on 5000 nodes"}, func(t testing.TB) []float64 {
			s := newSite(t, install(5000, 5000, 20, 5000), 5000, "node_port", 0)
			c := s.once(t, "sync").moved(s.api.since(cost{}))
			return []float64{float64(c.calls), c.bytes() / mB, float64(s.sent["nodes"]) / mB, float64(s.sent["services"]) / mB, float64(s.sent["endpointslices"]) / mB,
				c.cpu.Seconds(), float64(c.peak) / mB}
		}})
		for _, c := range []struct {
			name string
			plan func(t testing.TB, apps, of int) cost
		}{{"Docker", planDocker}, {"Marathon", planMarathon}} {
			for _, apps := range []int{10, 5000} {
				all = append(all, line{[]string{c.name, fmt.Sprint(apps), "5000"}, func(t testing.TB) []float64 {
					p, none := c.plan(t, apps, 5000), math.NaN()
					return []float64{float64(p.calls), p.bytes() / mB, none, none, none, p.cpu.Seconds(), float64(p.peak) / mB}
				}})
			}
		}
		return all
	}(),
}

var memory = table{
	title: "Memory",
	text: `What to give a container, of which GOMEMLIMIT is three quarters; of 256M that is what it is when it
is not set. All pods of a Kubernetes cluster have been replaced, so that each member has to be bound
at another node's port: a run that does so, the run after it, and a loop with ` + "`--watch`" + ` and
` + "`--listen`" + ` that does so and goes on for ten passes, each after an event and a look at the page.`,
	labels: []string{"apps × members", "nodes", "container"},
	columns: []column{{"run, all replaced: peak MB", "%.0f"}, {"CPU s", "%.2f"}, {"run, in step: peak MB", "%.0f"}, {"CPU s", "%.2f"},
		{"loop: peak MB", "%.0f"}, {"CPU s a pass", "%.2f"}},
	lines: func() (all []line) {
		for _, s := range sizes {
			all = append(all, line{s.labels(), func(t testing.TB) []float64 {
				replaced, inStep := s.runs(t)
				peak, pass := s.loop(t)
				return []float64{float64(replaced.peak) / mB, replaced.cpu.Seconds(), float64(inStep.peak) / mB, inStep.cpu.Seconds(), float64(peak) / mB, pass.Seconds()}
			}})
		}
		return all
	}(),
}

var growth = table{
	title: "Growth",
	text: `The exponent e with which something grows: n times the apps take n^e times as much. It is fitted
over the sizes given; that of CPU is below one where the start of the process weighs.`,
	labels:  []string{"what", "sizes"},
	columns: []column{{"requests", "%.2f"}, {"bytes", "%.2f"}, {"CPU", "%.2f"}, {"peak memory", "%.2f"}},
	lines: []line{
		grows("an unchanged pass, groups of 100 members", func(t testing.TB, n int) cost {
			c, _ := works(n, 100)[0].pass(t, 0)
			return c
		}, 250, 500, 1000, 2000),
		grows("a first fill, groups of 10 members", func(t testing.TB, n int) cost {
			c, _ := works(n, 10)[3].pass(t, 0)
			return c
		}, 625, 1250, 2500, 5000),
		grows("Kubernetes, services of 20 pods, as many nodes", func(t testing.TB, n int) cost { return planKubernetes(t, install(n, n, 20, n), n) }, 625, 1250, 2500, 5000),
		grows("Docker, services of 10 tasks", func(t testing.TB, n int) cost { return planDocker(t, n, n) }, 625, 1250, 2500, 5000),
		grows("Marathon, apps of 10 tasks", func(t testing.TB, n int) cost { return planMarathon(t, n, n) }, 625, 1250, 2500, 5000),
	},
}

// grows fits exponents over sizes.
func grows(what string, measure func(t testing.TB, n int) cost, sizes ...int) line {
	return line{[]string{what, strings.Trim(strings.ReplaceAll(fmt.Sprint(sizes), " ", ", "), "[]")}, func(t testing.TB) []float64 {
		var all [4][]float64
		for _, n := range sizes {
			c := measure(t, n)
			for i, v := range []float64{float64(c.calls), c.bytes(), c.cpu.Seconds(), float64(c.peak)} {
				all[i] = append(all[i], v)
			}
		}
		var exponents []float64
		for _, values := range all {
			exponents = append(exponents, exponent(sizes, values))
		}
		return exponents
	}}
}

// exponent is the slope of the straight line that is nearest, of logarithms.
func exponent(sizes []int, values []float64) float64 {
	var x, y, xx, xy, n float64
	for i, v := range values {
		a, b := math.Log(float64(sizes[i])), math.Log(v)
		x, y, xx, xy, n = x+a, y+b, xx+a*a, xy+a*b, n+1
	}
	return max(0, (n*xy-x*y)/(n*xx-x*x)) // not -0
}

// TestBenchmarks measures everything, and prints it as the document has it.
func TestBenchmarks(t *testing.T) {
	if !*full {
		t.Skip("minutes; -full makes it (make bench)")
	}
	before, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(*only)
	where := machine()
	if kept := measuredOn.Find(before); *only != "" && kept != nil {
		where = string(kept)
	}
	text := written(where, func(in table, l line) string {
		name := in.title + " " + strings.Join(l.labels, " ")
		text := l.row(in.columns, nil)
		if !pattern.MatchString(name) {
			if kept := regexp.MustCompile(`(?s)\n## ` + regexp.QuoteMeta(in.title) + `\n.*?\n(` + regexp.QuoteMeta(l.head()) + `[^\n]*\n)`).FindSubmatch(before); kept != nil {
				text = string(kept[1])
			}
		} else if !t.Run(name, func(t *testing.T) { text = l.row(in.columns, l.measure(t)) }) {
			t.Errorf("%s was not measured", name)
		}
		fmt.Print(text)
		return text
	})
	if *save && !t.Failed() {
		if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var measuredOn = regexp.MustCompile(`(?m)^Measured on.*$`)

// head is the beginning of a line in the document.
func (l line) head() string { return "| " + strings.Join(l.labels, " | ") + " |" }

// row is a line of the document.
func (l line) row(columns []column, figures []float64) string {
	text := l.head()
	for i, c := range columns {
		if i < len(figures) && !math.IsNaN(figures[i]) {
			text += fmt.Sprintf(" "+c.form+" |", figures[i])
		} else {
			text += " – |"
		}
	}
	return text + "\n"
}

// machine says where and when.
func machine() string {
	model := "an unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(text); m != nil {
			model = string(m[1])
		}
	}
	commit := "an unknown commit"
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("Measured on %s: Nitrox %s, %s, %s/%s, %d × %s.", time.Now().Format("2006-01-02"), commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), model)
}

// written is the document with figures.
func written(where string, row func(in table, l line) string) string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n<!-- `make bench` writes this file. -->\n" + where + `
Simulated NetScalers and cluster managers run beside Nitrox on the same machine, in another process,
whose work is not in the figures. Calls and bytes are exact; CPU is what the kernel counted for the
process, its start included; peak is VmHWM; a time on a wall clock depends on what else runs.
`)
	for _, table := range tables {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n|", table.title, table.text)
		for _, label := range table.labels {
			fmt.Fprintf(&b, " %s |", label)
		}
		for _, c := range table.columns {
			fmt.Fprintf(&b, " %s |", c.head)
		}
		fmt.Fprintf(&b, "\n|%s%s\n", strings.Repeat("---|", len(table.labels)), strings.Repeat("--:|", len(table.columns)))
		for _, l := range table.lines {
			b.WriteString(row(table, l))
		}
	}
	return b.String()
}

// TestDocument: the document has the form that is written, whatever its figures.
func TestDocument(t *testing.T) {
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	form := func(text string) string {
		text = measuredOn.ReplaceAllString(text, "Measured on …")
		return regexp.MustCompile(`-?[0-9]+\.?[0-9]*|–`).ReplaceAllString(text, "#")
	}
	if want := written("Measured on", func(in table, l line) string { return l.row(in.columns, nil) }); form(string(got)) != form(want) {
		t.Error("docs/benchmarks.md is not what is measured: make bench")
	}
}
