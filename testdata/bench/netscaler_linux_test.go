package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
)

// rows is the type that members are read by.
const rows = "servicegroup_servicegroupmember_binding"

// work is a pass over groups, each of which has as many members.
type work struct {
	what            string
	groups, members int
	drain           string
	// bound and wanted are, of a group, the first and the last member that there are
	// and that there should be.
	bound, wanted func(group int) (from, to int)
	saves         bool
}

// works are all kinds of passes over so many groups.
func works(groups, members int) []work {
	all := func(int) (int, int) { return 0, members }
	shifted := func(by func(group int) int) func(int) (int, int) {
		return func(g int) (int, int) { return by(g), by(g) + members }
	}
	one := func(g int) int { // a hundredth of all members, each in as few groups as can be
		return map[bool]int{true: 1}[g%max(1, 100/members) == 0]
	}
	return []work{
		{"unchanged", groups, members, "0s", all, all, false},
		{"1 %", groups, members, "0s", all, shifted(one), true},
		{"everything", groups, members, "0s", all, shifted(func(int) int { return members }), true},
		{"first fill", groups, members, "0s", func(int) (int, int) { return 0, 0 }, all, true},
		{"drain", groups, members, "30s", all, func(int) (int, int) { return 0, members - members/10 }, true},
	}
}

func address(group, member int) string {
	return fmt.Sprintf("10.%d.%d.%d", group>>8, group&255, member)
}

// perFile is how many endpoints a file has at the most.
const perFile = 100_000

// prepare makes the NetScaler and the files of a pass.
func (w work) prepare(t testing.TB, latency time.Duration) (dir string, d *door, sim *simulator.Simulator) {
	t.Helper()
	sim = simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}, ReadLatency: latency, WriteLatency: latency})
	var conf bytes.Buffer
	for g := range w.groups {
		fmt.Fprintf(&conf, "add serviceGroup sg-%d HTTP\n", g)
		from, to := w.bound(g)
		for m := from; m < to; m++ {
			fmt.Fprintf(&conf, "bind serviceGroup sg-%d %s 80\n", g, address(g, m))
		}
	}
	if err := sim.Load(&conf); err != nil {
		t.Fatal(err)
	}
	d, dir = open(t, sim), t.TempDir()
	mapping(t, dir, d.URL, w.drain, w.groups, w.members, w.wanted)
	return dir, d, sim
}

// mapping writes a mapping of apps of files, and the files.
func mapping(t testing.TB, dir, url, drain string, groups, members int, wanted func(group int) (from, to int)) {
	t.Helper()
	var sources, apps, file strings.Builder
	each := max(1, perFile/members)
	for g := range groups {
		n := g / each
		if g%each == 0 {
			file.Reset()
			file.WriteString(`{"apps":{`)
			fmt.Fprintf(&sources, "  file-%d: {file: {path: endpoints-%d.json}}\n", n, n)
		} else {
			file.WriteString(",")
		}
		fmt.Fprintf(&file, "\n%q:[", fmt.Sprint("app-", g))
		from, to := wanted(g)
		for m := from; m < to; m++ {
			if m > from {
				file.WriteByte(',')
			}
			fmt.Fprintf(&file, `"%s:80"`, address(g, m))
		}
		file.WriteByte(']')
		if g == groups-1 || (g+1)%each == 0 {
			write(t, dir, fmt.Sprintf("endpoints-%d.json", n), file.String()+"}}")
		}
		fmt.Fprintf(&apps, "  - {name: app-%d, service_group: sg-%d, from: [{source: file-%d, app: app-%d}]}\n", g, g, n, g)
	}
	write(t, dir, "nitrox.yaml", fmt.Sprintf("netscalers: {edge: {url: %q}}\nsources:\n%sdefaults: {drain: %s, max_remove: 100%%, only: [10.0.0.0/8]}\napps:\n%s",
		url, sources.String(), drain, apps.String()))
}

// pass lets Nitrox do the work, and returns what the NetScaler answered.
func (w work) pass(t testing.TB, latency time.Duration) (c cost, bodies [][]byte) {
	t.Helper()
	dir, d, sim := w.prepare(t, latency)
	d.record = latency == 0
	c = start(t, binary, w.limit(), "sync", "--config", filepath.Join(dir, "nitrox.yaml")).end().moved(d.since(cost{}))
	for g := range w.groups {
		from, to := w.wanted(g)
		have := 0
		for _, m := range sim.Members(fmt.Sprint("sg-", g)) {
			if m.State == "ENABLED" {
				have++
			}
		}
		if have != to-from {
			t.Fatalf("%s: sg-%d has %d members enabled, want %d", w.what, g, have, to-from)
		}
	}
	return c, d.bodies
}

// fleet are NetScalers with service groups of their own, which one process keeps, or several.
type fleet struct {
	dir                         string
	doors                       []*door
	connections                 *peak
	netscalers, groups, members int
}

func newFleet(t testing.TB, netscalers, groups, members int, latency time.Duration) *fleet {
	t.Helper()
	f := &fleet{t.TempDir(), nil, &peak{}, netscalers, groups, members}
	for n := range netscalers {
		var conf strings.Builder
		for g := n * groups; g < (n+1)*groups; g++ {
			fmt.Fprintf(&conf, "add serviceGroup sg-%d HTTP\n", g)
			for m := range members {
				fmt.Fprintf(&conf, "bind serviceGroup sg-%d %s 80\n", g, address(g, m))
			}
		}
		sim := simulator.New(simulator.Options{Users: map[string]string{"nitrox": "secret"}, ReadLatency: latency, WriteLatency: latency})
		if err := sim.Load(strings.NewReader(conf.String())); err != nil {
			t.Fatal(err)
		}
		f.doors = append(f.doors, open(t, sim, f.connections))
	}
	f.mapping(t, "whole", 0, netscalers)
	return f
}

// mapping writes the mapping of some of the NetScalers, and the file of its endpoints.
func (f *fleet) mapping(t testing.TB, name string, from, to int) {
	t.Helper()
	var entries, apps, file strings.Builder
	for n := from; n < to; n++ {
		fmt.Fprintf(&entries, "  edge-%d: {url: %q}\n", n, f.doors[n].URL)
		for g := n * f.groups; g < (n+1)*f.groups; g++ {
			fmt.Fprintf(&apps, "  - {name: app-%d, netscaler: edge-%d, service_group: sg-%d, from: [{source: lab, app: app-%d}]}\n", g, n, g, g)
			for m := range f.members {
				fmt.Fprintf(&file, "%s\"%s:80\"", map[bool]string{true: fmt.Sprintf(",\n\"app-%d\":[", g), false: ","}[m == 0], address(g, m))
			}
			file.WriteByte(']')
		}
	}
	write(t, f.dir, name+".json", `{"apps":{`+file.String()[1:]+"}}")
	write(t, f.dir, name+".yaml", fmt.Sprintf("netscalers:\n%ssources:\n  lab: {file: {path: %s.json}}\napps:\n%s", entries.String(), name, apps.String()))
}

// pass is one of each process, one after the other: calls, bytes and computing of all
// of them together, memory and connections of the one that takes most.
func (f *fleet) pass(t testing.TB, code int, processes ...[]string) (all cost) {
	t.Helper()
	before := f.moved()
	for _, args := range processes {
		c := start(t, binary, nil, append([]string{"sync", "--config"}, args...)...).ends(code)
		all.cpu, all.took, all.peak = all.cpu+c.cpu, max(all.took, c.took), max(all.peak, c.peak)
	}
	now := f.moved()
	return all.moved(cost{calls: now.calls - before.calls, sent: now.sent - before.sent, received: now.received - before.received})
}

func (f *fleet) moved() (sum cost) {
	for _, d := range f.doors {
		c := d.since(cost{})
		sum.calls, sum.sent, sum.received = sum.calls+c.calls, sum.sent+c.sent, sum.received+c.received
	}
	return sum
}

// whole is one process for all.
func (f *fleet) whole() []string { return []string{filepath.Join(f.dir, "whole.yaml")} }

// byApp are processes that share one mapping, each with apps of its own: those of some
// NetScalers, or some of those of each.
func (f *fleet) byApp(processes int, ofAll bool) [][]string {
	all := make([][]string, processes)
	for i := range all {
		all[i] = f.whole()
	}
	for g := range f.netscalers * f.groups {
		i := g * processes / (f.netscalers * f.groups)
		if ofAll {
			i = g % processes
		}
		all[i] = append(all[i], "--app", fmt.Sprint("app-", g))
	}
	return all
}

// byFile are processes with mappings of their own, of some of the NetScalers each.
func (f *fleet) byFile(t testing.TB, processes int) (all [][]string) {
	for i := range processes {
		name := fmt.Sprint("part-", i)
		f.mapping(t, name, i*f.netscalers/processes, (i+1)*f.netscalers/processes)
		all = append(all, []string{filepath.Join(f.dir, name+".yaml")})
	}
	return all
}

// limit is the memory that more than 100,000 members need (docs/limits.md).
func (w work) limit() []string {
	if w.groups*w.members > 100_000 {
		return []string{"GOMEMLIMIT=1536MiB"}
	}
	return nil
}

// floorOf measures the least that can be done with answers.
func floorOf(t testing.TB, bodies [][]byte) cost {
	t.Helper()
	d := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil {
			panic(err)
		}
		w.Write(bodies[n])
	}))
	return start(t, os.Args[0], []string{role + "=floor"}, d.URL, strconv.Itoa(len(bodies))).end().moved(d.since(cost{}))
}

// floor is the process: it fetches answers, and decodes each into five fields.
func floor(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for i := range n {
		resp, err := http.Get(fmt.Sprintf("%s/%d", args[0], i))
		if err != nil {
			return err
		}
		var answer struct {
			Rows []row `json:"servicegroup_servicegroupmember_binding"`
		}
		if err := errors.Join(json.NewDecoder(resp.Body).Decode(&answer), resp.Body.Close()); err != nil {
			return err
		}
	}
	return nil
}

type row struct {
	Group string `json:"servicegroupname"`
	IP    string `json:"ip"`
	Port  int    `json:"port"`
	State string `json:"state"`
	Up    string `json:"svrstate"`
}

// sample is how many writes the script does at the most; more are worked out.
const sample = 2000

// byMember measures the script: it does the work for as many groups as have a sample of
// the writes, and the whole is in proportion to that.
func (w work) byMember(t testing.TB) (c cost) {
	t.Helper()
	writes, groups := 0, 0
	for ; groups < w.groups && writes < sample && groups < sample; groups++ {
		b, c := w.bound(groups)
		f, l := w.wanted(groups)
		writes += max(0, f-b) + max(0, l-c) + max(0, c-l) // unbound, bound, or drained
	}
	p := w
	p.groups = groups
	dir, d, _ := p.prepare(t, 0)
	c = start(t, os.Args[0], []string{role + "=script"}, d.URL, dir, w.drain).end().moved(d.since(cost{}))
	part := float64(groups) / float64(w.groups)
	once := 2 // log-in, log-out
	if w.saves {
		once++
	}
	whole := func(n int64) int64 { return int64(float64(n) / part) }
	c.calls, c.sent, c.received = int(whole(int64(c.calls-once)))+once, whole(c.sent), whole(c.received)
	c.cpu = time.Duration(whole(int64(c.cpu)))
	return c
}

// script is the process: what people write who begin with one group. It logs in,
// reads the members of each group, binds each that is missing, unbinds or disables each
// that is too much, saves, and logs out.
func script(args []string) error {
	url, dir, drain := args[0], args[1], args[2]
	session := ""
	call := func(method, path string, body, answer any) error {
		var text io.Reader
		if body != nil {
			b, err := json.Marshal(body)
			if err != nil {
				return err
			}
			text = bytes.NewReader(b)
		}
		req, err := http.NewRequest(method, url+"/nitro/v1/config/"+path, text)
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		if session != "" {
			req.Header.Set("Cookie", "NITRO_AUTH_TOKEN="+session)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode >= 300 {
			return fmt.Errorf("%s %s: %s %s %v", method, path, resp.Status, got, err)
		}
		if answer != nil {
			return json.Unmarshal(got, answer)
		}
		return nil
	}
	var login struct {
		Session string `json:"sessionid"`
	}
	if err := call("POST", "login", map[string]any{"login": map[string]string{"username": "nitrox", "password": "secret"}}, &login); err != nil {
		return err
	}
	session = login.Session
	wanted := map[string][]string{}
	files, err := filepath.Glob(filepath.Join(dir, "endpoints-*.json"))
	if err != nil {
		return err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		var all struct{ Apps map[string][]string }
		if err := errors.Join(json.NewDecoder(bufio.NewReader(f)).Decode(&all), f.Close()); err != nil {
			return err
		}
		for app, list := range all.Apps {
			wanted[strings.Replace(app, "app", "sg", 1)] = list
		}
	}
	changed := false
	for group, want := range wanted {
		var now struct {
			Rows []row `json:"servicegroup_servicegroupmember_binding"`
		}
		if err := call("GET", rows+"/"+group, nil, &now); err != nil {
			return err
		}
		missing := map[string]bool{}
		for _, addr := range want {
			missing[strings.TrimSuffix(addr, ":80")] = true
		}
		var surplus []string
		for _, m := range now.Rows {
			if !missing[m.IP] {
				surplus = append(surplus, m.IP)
			}
			delete(missing, m.IP)
		}
		for ip := range missing {
			changed = true
			if err := call("PUT", rows, map[string]any{rows: map[string]any{"servicegroupname": group, "ip": ip, "port": 80}}, nil); err != nil {
				return err
			}
		}
		for _, ip := range surplus {
			changed = true
			if drain != "0s" {
				err = call("POST", "servicegroup?action=disable", map[string]any{"servicegroup": map[string]any{
					"servicegroupname": group, "servername": ip, "port": 80, "delay": 30, "graceful": "YES"}}, nil)
			} else {
				err = call("DELETE", fmt.Sprintf("%s/%s?args=ip:%s,port:80", rows, group, ip), nil, nil)
			}
			if err != nil {
				return err
			}
		}
	}
	if changed {
		if err := call("POST", "nsconfig?action=save", map[string]any{"nsconfig": struct{}{}}, nil); err != nil {
			return err
		}
	}
	return call("POST", "logout", map[string]any{"logout": struct{}{}}, nil)
}
