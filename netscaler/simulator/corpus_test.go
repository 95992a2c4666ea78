package simulator_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
	"nitrox/sources/sourcetest"
)

// corpus holds saved configurations as several releases write them, made up from
// the documented syntax.
func corpus(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/ns.conf/*.conf")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimSuffix(filepath.Base(file), ".conf")] = string(text)
	}
	return texts
}

// TestCorpus: each line is understood or kept, and what is written is what was
// read, also after requests and a boot.
func TestCorpus(t *testing.T) {
	for release, text := range corpus(t) {
		t.Run(release, func(t *testing.T) {
			b := start(t, simulator.Options{}, "")
			loaded, err := b.LoadConfig(strings.NewReader(text))
			if err != nil || loaded.Err() != nil {
				t.Fatal(err, loaded.Err())
			}
			same := func(when string) {
				t.Helper()
				if got := dump(t, b.Simulator); got != text {
					t.Errorf("%s:\n%s", when, diff(text, got))
				}
			}
			same("loaded")
			if got := b.nitro("GET", "config/servicegroup?count=yes", "").body; !strings.Contains(got, `"__count": `+fmt.Sprint(strings.Count(strings.Split(text, "switch ns")[0], "\nadd serviceGroup "))) {
				t.Errorf("groups: %s", got)
			}
			same("served")
			b.Boot()
			same("booted")
			for _, c := range []struct{ group, want string }{
				{"sg-web", "10.0.0.1:80 10.0.0.2:80 10.0.0.3:8080 10.0.0.4:80 [2001:db8:0:1::1]:80 [2001:db8::2]:80"},
				{"sg-tenant", "10.0.0.1:80 10.0.0.4:80"}, {"sg-any", "10.0.0.1:65535"}, {"web/sg-web", "10.0.0.1:80"},
			} {
				var addrs []string
				for _, m := range b.Members(c.group) {
					addrs = append(addrs, m.Addr.String())
				}
				slices.Sort(addrs)
				if got := strings.Join(addrs, " "); got != c.want {
					t.Errorf("%s: %s, want %s", c.group, got, c.want)
				}
			}
			if got := b.Members("sg-tenant"); got[0].Server != "tenant-web-1" || got[1].Server != "tenant 10.0.0.4" {
				t.Errorf("in the traffic domain: %+v", got)
			}
		})
	}
}

// diff is the lines of one text that are not in the other, either way.
func diff(a, b string) string {
	var out []string
	has := func(text, line string) bool { return slices.Contains(strings.Split(text, "\n"), line) }
	for line := range strings.Lines(a) {
		if !has(b, strings.TrimSuffix(line, "\n")) {
			out = append(out, "- "+line)
		}
	}
	for line := range strings.Lines(b) {
		if !has(a, strings.TrimSuffix(line, "\n")) {
			out = append(out, "+ "+line)
		}
	}
	return strings.Join(out, "")
}

// TestOnlyWhatChangedIsWrittenAnew: writes change their lines, drop them, and put
// new ones behind those of their kind; all else stays, and all of it boots.
func TestOnlyWhatChangedIsWrittenAnew(t *testing.T) {
	for release, text := range corpus(t) {
		t.Run(release, func(t *testing.T) {
			b := start(t, simulator.Options{}, text)
			for _, c := range []struct{ method, target, body string }{
				{"PUT", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg-web","ip":"10.0.0.9","port":80}}`},
				{"PUT", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg-web","servername":"app.example.net","port":80}}`},
				{"PUT", "config/servicegroup", `{"servicegroup":{"servicegroupname":"sg-web","servername":"web 2","port":80,"weight":7}}`},
				{"POST", "config/servicegroup?action=disable", `{"servicegroup":{"servicegroupname":"sg-any","servername":"web-1","port":65535}}`},
				{"DELETE", memberType + "/sg-web?args=servername:web-1,port:80", ""},
				{"POST", "config/servicegroup", `{"servicegroup":{"servicegroupname":"new","servicetype":"HTTP"}}`},
				{"PUT", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"new","ip":"10.0.0.9","port":81}}`},
				{"PUT", vserverSG, `{"lbvserver_servicegroup_binding":{"name":"lb-hidden","servicegroupname":"new"}}`},
				{"POST", "config/lbmonitor", `{"lbmonitor":{"monitorname":"m-new","type":"TCP"}}`},
				{"PUT", "config/servicegroup_lbmonitor_binding", `{"servicegroup_lbmonitor_binding":{"servicegroupname":"new","monitor_name":"m-new"}}`},
				{"DELETE", "config/lbvserver/lb-v6", ""},
				{"DELETE", "config/server/v6", ""},
			} {
				if a := b.nitro(c.method, c.target, c.body); a.line[0] != '2' {
					t.Fatalf("%s %s: %s %s", c.method, c.target, a.line, a.body)
				}
			}
			none := ""
			if release < "13.1" {
				none = ` -CustomServerID "\"None\""`
			}
			edit := func(text string, pairs ...string) string {
				for i := 0; i < len(pairs); i += 2 {
					if strings.Count(text, pairs[i]) != 1 {
						t.Fatalf("%q is in the file %d times", pairs[i], strings.Count(text, pairs[i]))
					}
					text = strings.Replace(text, pairs[i], pairs[i+1], 1)
				}
				return text
			}
			first, rest, _ := strings.Cut(text, "switch ns partition")
			after := func(start, more string) []string { // the last line that starts so
				i := strings.LastIndex(first, "\n"+start)
				line, _, _ := strings.Cut(first[i+1:], "\n")
				return []string{"\n" + line + "\n", "\n" + line + "\n" + more}
			}
			pairs := slices.Concat(
				after("add server ", "add server 10.0.0.9 10.0.0.9\n"),
				after("add serviceGroup ", "add serviceGroup new HTTP\n"),
				after("add lb monitor ", "add lb monitor m-new TCP\n"),
				after("bind serviceGroup ", "bind serviceGroup new 10.0.0.9 81\nbind serviceGroup new -monitorName m-new\n"),
				[]string{
					"bind serviceGroup sg-web -monitorName ping-default -weight 2 -monState DISABLED -passive\n",
					"bind serviceGroup sg-web -monitorName ping-default -weight 2 -monState DISABLED -passive\nbind serviceGroup sg-web 10.0.0.9 80\nbind serviceGroup sg-web app.example.net 80\n",
					`bind serviceGroup sg-web "web 2" 80 -weight 5` + none + "\n", `bind serviceGroup sg-web "web 2" 80 -weight 7` + "\n",
					"bind serviceGroup sg-any web-1 *" + none + "\n", "bind serviceGroup sg-any web-1 * -state DISABLED\n",
					"bind serviceGroup sg-web web-1 80" + none + "\n", "", "bind serviceGroup sg-web v6 80" + none + "\n", "",
					"add server v6 2001:db8:0:1::1\n", "", "add lb vserver lb-v6 HTTP 2001:db8::80 80 -persistenceType NONE -cltTimeout 180\n", "",
				})
			last := after("bind lb vserver lb-td", "bind lb vserver lb-hidden new\n")
			if release > "13.1" || release == "13.1" {
				last = after("bind lb vserver lb-ordered", "bind lb vserver lb-hidden new\n")
			}
			want := edit(first, append(pairs, last...)...) + "switch ns partition" + rest
			if got := dump(t, b.Simulator); got != want {
				t.Fatalf("%s\n%s", diff(want, got), got)
			}
			if a := b.nitro("POST", "config/nsconfig?action=save", `{"nsconfig":{}}`); a.line[0] != '2' {
				t.Fatal(a.body)
			}
			b.Boot()
			if got := dump(t, b.Simulator); got != want {
				t.Errorf("booted:\n%s", diff(want, got))
			}
		})
	}
}

// FuzzConf: what is loaded and written loads to the same, by another simulator
// and at the boot of this one, whatever was in it.
func FuzzConf(f *testing.F) {
	for _, text := range corpus(f) {
		f.Add(text)
		for line := range strings.Lines(text) {
			f.Add("add server web-1 10.0.0.1\nadd serviceGroup sg-web HTTP\nadd lb vserver lb-web HTTP\n" + line)
		}
	}
	f.Add("add server a 10.0.0.1\nadd server b 10.0.0.1\nrm server a\nadd serviceGroup g HTTP\nbind serviceGroup g 10.0.0.1 80\nset server 10.0.0.1 -IPAddress 10.0.0.2\nadd server c 10.0.0.1")
	f.Add("add ns partition p\nswitch ns partition p\nadd server a 10.0.0.1\nadd ns partition q\nswitch ns partition default\nadd server b 10.0.0.1\nadd ns partition r\nswitch ns partition q\nadd server c 10.0.0.1")
	f.Fuzz(func(t *testing.T, text string) {
		one := simulator.New(simulator.Options{})
		_, _ = one.LoadConfig(strings.NewReader(text)) // a string can be read; what is in it may be anything
		first := dump(t, one)
		two := simulator.New(simulator.Options{})
		again, err := two.LoadConfig(strings.NewReader(first))
		if err != nil || again.Err() != nil {
			t.Fatalf("what was written does not load: %v\n%s", again.Err(), first)
		}
		if second := dump(t, two); second != first {
			t.Fatalf("written:\n%s\nloaded and written again:\n%s", first, second)
		}
		in := &door{t, one}
		if !in.do("POST", "servicegroup", `{"servicegroup":{"servicegroupname":"fuzz","servicetype":"HTTP"}}`) {
			return // there is one, or nsroot may not
		}
		in.do("PUT", "servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"fuzz","ip":"10.0.0.1","port":80}}`)
		in.do("POST", "nsconfig?action=save", `{"nsconfig":{}}`)
		changed := dump(t, one)
		one.Boot()
		if booted := dump(t, one); booted != changed {
			t.Fatalf("changed:\n%s\nbooted:\n%s", changed, booted)
		}
	})
}

// longConf is a saved configuration of n lines.
func longConf(n int) string {
	var b strings.Builder
	b.WriteString("#NS14.1 Build 29.72\n")
	for i := 0; i*9 < n; i++ {
		fmt.Fprintf(&b, "add server srv-%d 10.%d.%d.%d\n", i, i>>16, i>>8&255, i&255)
		fmt.Fprintf(&b, "add serviceGroup sg-%d HTTP -maxClient 0 -maxReq 0 -cip DISABLED -usip NO -useproxyport YES -cltTimeout 180 -svrTimeout 360 -CKA NO -TCPB NO -CMP NO -devno %d\n", i, i)
		fmt.Fprintf(&b, "add lb vserver lb-%d HTTP 0.0.0.0 0 -persistenceType NONE -cltTimeout 180\n", i)
		fmt.Fprintf(&b, "add lb monitor mon-%d HTTP -respCode 200 -httpRequest \"HEAD /%d\" -LRTM DISABLED\n", i, i)
		fmt.Fprintf(&b, "bind lb vserver lb-%d sg-%d\n", i, i)
		fmt.Fprintf(&b, "bind serviceGroup sg-%d srv-%d 80 -CustomServerID \"\\\"None\\\"\"\n", i, i)
		fmt.Fprintf(&b, "bind serviceGroup sg-%d -monitorName mon-%d\n", i, i)
		fmt.Fprintf(&b, "add service svc-%d srv-%d HTTP 81 -gslb NONE\n", i, i)
		fmt.Fprintf(&b, "bind ssl vserver lb-%d -certkeyName wildcard\n", i)
	}
	return b.String()
}

// TestLargeConfigurationIsLinear: work and memory of loading and writing grow as
// the file does: of ten times the lines they are ten times as much, and no line
// costs more than a few hundred allocations.
func TestLargeConfigurationIsLinear(t *testing.T) {
	sourcetest.Thorough(t)
	cost := func(n int) (allocs, bytes, kept float64) {
		text := longConf(n)
		var before, after, held runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		sim := simulator.New(simulator.Options{})
		loaded, err := sim.LoadConfig(strings.NewReader(text))
		if err != nil || loaded.Err() != nil {
			t.Fatal(err, loaded.Err())
		}
		if got := dump(t, sim); got != text {
			t.Fatal(diff(text[:1000], got[:1000]))
		}
		runtime.ReadMemStats(&after)
		loaded = simulator.Loaded{}
		runtime.GC()
		runtime.ReadMemStats(&held)
		runtime.KeepAlive(sim)
		lines := float64(strings.Count(text, "\n"))
		return float64(after.Mallocs-before.Mallocs) / lines, float64(after.TotalAlloc-before.TotalAlloc) / lines, (float64(held.HeapAlloc) - float64(before.HeapAlloc)) / lines
	}
	allocs, bytes, kept := cost(6_000)
	allocs10, bytes10, kept10 := cost(60_000)
	t.Logf("a line: %.0f allocations, %.0f bytes, %.0f of them kept; in a file ten times as long: %.0f, %.0f, %.0f", allocs, bytes, kept, allocs10, bytes10, kept10)
	if allocs10 > 1.2*allocs || allocs10 > 200 {
		t.Errorf("allocations a line: %.0f, and %.0f in a file ten times as long", allocs, allocs10)
	}
	if bytes10 > 1.5*bytes || bytes10 > 40_000 {
		t.Errorf("bytes a line: %.0f, and %.0f in a file ten times as long", bytes, bytes10)
	}
	if kept10 > 2_000 {
		t.Errorf("bytes kept of a line: %.0f", kept10)
	}
}

// TestOddLines: what documents and older releases allow in a line is understood,
// and comes back as it was.
func TestOddLines(t *testing.T) {
	const base = "add serviceGroup sg HTTP\nadd serviceGroup td HTTP -td 5\nadd server web-1 10.0.0.1\nadd lb vserver v HTTP\n"
	for _, line := range []string{
		"add monitor old TCP -LRTM DISABLED\nbind serviceGroup sg -monitorName old",
		"set monitor ping PING -retries 5",
		"bind lb monitor ping sg",
		"set lb monitor made-by-a-newer-release NEW-TYPE -interval 2 MIN",
		"set lb vserver v -backupVServer other -unknown a b",
		"add server 'single quotes' 10.0.0.2 -comment 'it\\'s'",
		"add server q{with \"quotes\"} 10.0.0.2",
		"add server q-name 10.0.0.2",
		"add server 'tis 10.0.0.2",
		"add server ::1 ::1\nbind serviceGroup sg ::1 80",
		"add server a/b(c)%d 10.0.0.2\nbind serviceGroup sg a/b(c)%d 80",
		"add server \"10.0.0.9\" 10.0.0.9\nadd server nine 10.0.0.9 -td 5\nbind serviceGroup td 10.0.0.9 80",
		"add server nine 10.0.0.9\nbind serviceGroup sg 10.0.0.9 80",
		"add server dom a.example.net -translationIp 192.0.2.0 -translationMask 255.255.255.0 -queryType SRV",
		"add lb vserver p PUSH 192.0.2.9 80",
		"add lb vserver w HTTP * 80",
		"add lb vserver w ANY * *",
		"add lb vserver w HTTP 0.0.0.0 0 -persistenceType NONE",
		"add lb vserver w HTTP -IPPattern 192.0.2.0 -IPMask * 80",
		"add service s web-1 HTTP 80\nbind lb vserver v s -weight 5",
		"bind serviceGroup sg web-1 * -devno 5 -CustomServerID \"\\\"None\\\"\"",
		"  bind serviceGroup sg web-1 80  ",
		"bind serviceGroup sg web-1 80\r",
		"\ufeff# a comment with a mark before it",
		"add\tserver\ttabs\t10.0.0.2",
		"",
		"set serviceGroup sg -CMP YES -devno 5",
		"set serviceGroup sg -cip ENABLED X-Forwarded-For\nset serviceGroup sg -comment \"a # b\"",
		"bind serviceGroup sg web-1 80\nset serviceGroup sg web-1 80 -weight 5\ndisable serviceGroup sg web-1 80",
		"unset serviceGroup sg -comment\nrename serviceGroup td other",
		"set server web-1 -comment late\ndisable server web-1",
		"disable lb vserver v\nenable serviceGroup sg",
		"add server srv a.example.net -queryType SRV -domainResolveRetry 10\nbind serviceGroup sg srv 0 -weight 1",
		"add serviceGroup rise HTTP -riseApbrStatsMsgCode 0 -sc OFF",
		"add system cmdPolicy p ALLOW \"(^man.*)|(^show\\\\s+(?!system)(?!configstatus).*)|(^stat.*)\"\nbind system user nsroot p 1",
		"bind system user nsroot partition-admin 100",
		"exit",
		"\"add\" server",
	} {
		text := base + line + "\n"
		b := start(t, simulator.Options{}, text)
		for _, when := range []string{"loaded", "booted"} {
			if got := dump(t, b.Simulator); got != text {
				t.Errorf("%s:\n%s", when, diff(text, got))
			}
			b.nitro("GET", "config/lbvserver", "")
			b.Boot()
		}
		b.nitro("PUT", "config/lbmonitor", `{"lbmonitor":{"monitorname":"tcp","interval":9}}`) // a change elsewhere
		changed := dump(t, b.Simulator)
		b.nitro("POST", "config/nsconfig?action=save", `{"nsconfig":{}}`)
		b.Boot()
		if got := dump(t, b.Simulator); got != changed {
			t.Errorf("%q, changed, saved and booted:\n%s", line, diff(changed, got))
		}
	}
}
