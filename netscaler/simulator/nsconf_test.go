package simulator_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"nitrox/netscaler/simulator"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

func dump(t interface{ Fatal(...any) }, s *simulator.Simulator) string {
	var b bytes.Buffer
	if err := s.Dump(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestNsConf: a configuration as appliances write it comes out as the same
// configuration, and what comes out loads to itself.
func TestNsConf(t *testing.T) {
	in, err := os.ReadFile("testdata/whole.conf")
	if err != nil {
		t.Fatal(err)
	}
	sim := simulator.New(simulator.Options{})
	if err := sim.Load(bytes.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	got := dump(t, sim)
	if *update {
		if err := os.WriteFile("testdata/whole.golden", []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/whole.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("dump:\n%s\nwant:\n%s", got, want)
	}
	again := simulator.New(simulator.Options{})
	if err := again.Load(strings.NewReader(got)); err != nil {
		t.Fatal(err)
	}
	if second := dump(t, again); second != got {
		t.Errorf("the dump loads to something else:\n%s\nwant:\n%s", second, got)
	}
	if a, b := fmt.Sprintf("%+v", sim.Members("sg-account")), fmt.Sprintf("%+v", again.Members("sg-account")); a != b {
		t.Errorf("members differ:\n%s\n%s", a, b)
	}
	if got := sim.Members("web/sg-account"); len(got) != 1 || got[0].Addr.String() != "10.0.0.1:25" {
		t.Errorf("members in the partition: %+v", got)
	}
}

func TestNsConfErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct{ conf, want string }{
		{"add serviceGroup sg", "line 1: add serviceGroup sg: 1095: Required argument missing [servicetype]"},
		{"\n# c\nadd serviceGroup sg HTTP\nadd serviceGroup sg HTTP", "line 4: add serviceGroup sg HTTP: 273: Resource already exists"},
		{"bind serviceGroup sg 10.0.0.1 80", "line 1: bind serviceGroup sg 10.0.0.1 80: 258: No such resource [serviceGroupName, sg]"},
		{"add serviceGroup sg HTTP\nbind serviceGroup sg web 80", "line 2: bind serviceGroup sg web 80: 258: No such resource [serverName, web]"},
		{"add serviceGroup sg HTTP\nbind serviceGroup sg 10.0.0.1 99999", "line 2: bind serviceGroup sg 10.0.0.1 99999: 1108: Integer value exceeds maximum [port, 65535]"},
		{"add server s 10.0.0.1 10.0.0.2", "1090: No such argument [10.0.0.2]"},
		{`add server "s 10.0.0.1`, "a quote is not closed"},
		{"add server s 10.0.0.1 -comment", "-comment needs a value"},
		{"add server s 10.0.0.1 -comment a -comment b", "-comment is given twice"},
		{"add server a 10.0.0.1\nadd server b 10.0.0.1", "1335: Server already exists [10.0.0.1]"},
		{"add server b 300.1.1.1", "line 1: add server b 300.1.1.1: 1110: Invalid IP address [ipaddress, 300.1.1.1]"},
		{"add server b 2001:db8::zz", "1110: Invalid IP address [ipaddress, 2001:db8::zz]"},
		{"switch ns partition p", "2755: Partition does not exist"},
		{"add lb vserver v HTTP 10.0.0.1", "1093: Argument pre-requisite missing [port, IPAddress]"},
		{"add lb vserver v HTTP 10.0.0.1 80\nbind lb vserver v svc", "258: No such resource [serviceGroupName, svc]"},
	} {
		err := simulator.New(simulator.Options{}).Load(strings.NewReader(c.conf))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.conf, err, c.want)
		}
	}
	if err := simulator.New(simulator.Options{}).Load(iotest.ErrReader(errors.New("disk on fire"))); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if err := simulator.New(simulator.Options{}).Dump(full{}); err != nil {
		t.Errorf("an empty configuration needs no room: %v", err)
	}
	sim := simulator.New(simulator.Options{})
	sim.AddGroup("sg")
	if err := sim.Dump(full{}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("a disk that is full: %v", err)
	}
}

type full struct{}

func (full) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return 0, errors.New("disk full")
}

// TestLoadIsAnotherAdministrator after the first request: members come and go
// under the client's hands, and stay unsaved.
func TestLoadIsAnotherAdministrator(t *testing.T) {
	b := start(t, simulator.Options{}, conf)
	b.nitro("GET", "config/nsversion", "")
	err := b.Load(strings.NewReader(`unbind serviceGroup sg web1 80
disable serviceGroup sg 10.0.0.2 8080 -delay 60 -graceFul YES
bind serviceGroup sg 10.3.0.1 80
unset serviceGroup sg -comment
rename serviceGroup empty full
rm serviceGroup api
rm server fqdn
unbind lb vserver vs sg
`))
	if err != nil {
		t.Fatal(err)
	}
	got := b.Members("sg")
	if len(got) != 2 || got[0].SvrState != "GOING OUT OF SERVICE" || !got[0].Graceful || got[1].Server != "10.3.0.1" {
		t.Errorf("%+v", got)
	}
	if b.Members("api") != nil || b.Members("full") == nil || b.Saved() {
		t.Errorf("api %v, full %v, saved %v", b.Members("api"), b.Members("full"), b.Saved())
	}
	if err := b.Load(strings.NewReader("save ns config\n")); err != nil || !b.Saved() {
		t.Errorf("save: %v, saved %v", err, b.Saved())
	}
}

// TestNitroAndCommandLineAreOne: the same changes by either door lead to the
// same configuration, whatever they are.
func TestNitroAndCommandLineAreOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nitro, cli := simulator.New(simulator.Options{}), simulator.New(simulator.Options{})
		in := &door{t, nitro}
		for _, sim := range []*simulator.Simulator{nitro, cli} { // a file that is loaded before keeps its words
			(&door{t, sim}).do("GET", "nsversion", "")
		}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			group := rapid.SampledFrom([]string{"a", "b c"}).Draw(t, "group")
			ip := rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "2001:db8::1"}).Draw(t, "ip")
			port := rapid.IntRange(79, 81).Draw(t, "port")
			n := rapid.IntRange(1, 100).Draw(t, "n")
			var method, target, attrs, line string
			typ := "servicegroup"
			switch rapid.IntRange(0, 7).Draw(t, "kind") {
			case 0:
				method, attrs, line = "POST", `"servicetype":"HTTP"`, fmt.Sprintf("add serviceGroup %q HTTP", group)
			case 1, 2:
				method, typ = "PUT", "servicegroup_servicegroupmember_binding"
				attrs, line = fmt.Sprintf(`"ip":%q,"port":%d,"weight":%d`, ip, port, n), fmt.Sprintf("bind serviceGroup %q %s %d -weight %d", group, ip, port, n)
			case 3:
				method, typ, target = "POST", "servicegroup_servicegroupmember_binding", "?action=unbind"
				attrs, line = fmt.Sprintf(`"ip":%q,"port":%d`, ip, port), fmt.Sprintf("unbind serviceGroup %q %s %d", group, ip, port)
			case 4:
				method, target = "POST", "?action=disable"
				attrs, line = fmt.Sprintf(`"servername":%q,"port":%d,"delay":%d`, ip, port, n), fmt.Sprintf("disable serviceGroup %q %s %d -delay %d", group, ip, port, n)
			case 5:
				method = "PUT"
				attrs, line = fmt.Sprintf(`"servername":%q,"port":%d,"customserverid":"id \"%d"`, ip, port, n), fmt.Sprintf("set serviceGroup %q %s %d -CustomServerID \"id \\\"%d\"", group, ip, port, n)
			case 6:
				method = "PUT"
				attrs, line = fmt.Sprintf(`"servername":%q,"port":%d,"order":%d`, ip, port, n), fmt.Sprintf("set serviceGroup %q %s %d -order %d", group, ip, port, n)
			case 7:
				method, target = "POST", "?action=enable"
				attrs, line = fmt.Sprintf(`"servername":%q,"port":%d`, ip, port), fmt.Sprintf("enable serviceGroup %q %s %d", group, ip, port)
			}
			ok := in.do(method, typ+target, fmt.Sprintf(`{%q:{"servicegroupname":%q,%s}}`, typ, group, attrs))
			err := cli.Load(strings.NewReader(line))
			if ok != (err == nil) {
				t.Fatalf("%s: NITRO made it: %v; the command line: %v", line, ok, err)
			}
		}
		a, b := dump(t, nitro), dump(t, cli)
		if a != b {
			t.Fatalf("by NITRO:\n%s\nby the command line:\n%s", a, b)
		}
		again := simulator.New(simulator.Options{})
		if err := again.Load(strings.NewReader(a)); err != nil {
			t.Fatal(err)
		}
		if c := dump(t, again); c != a {
			t.Fatalf("loaded again:\n%s\nwant:\n%s", c, a)
		}
	})
}

// FuzzLoad: whatever the bytes, Load returns, and what it took comes out as
// something that loads to itself.
func FuzzLoad(f *testing.F) {
	whole, err := os.ReadFile("testdata/whole.conf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(whole))
	f.Add("add server \"\\n\\q\" 10.0.0.1\n-\nadd\nbind lb vserver\nbind serviceGroup \"\" \"\"")
	for line := range strings.Lines(string(whole)) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sim := simulator.New(simulator.Options{})
		_ = sim.Load(strings.NewReader(text)) // what stands before a bad line counts
		first := dump(t, sim)
		again := simulator.New(simulator.Options{})
		if err := again.Load(strings.NewReader(first)); err != nil {
			t.Fatalf("the dump does not load: %v\n%s", err, first)
		}
		if second := dump(t, again); second != first {
			t.Fatalf("dump:\n%s\nloaded and dumped again:\n%s", first, second)
		}
	})
}

// TestAllPortsAre65535: "*" on the command line is 65535 in rows (NITRO
// documentation, servicegroupmember and lbvserver_servicegroupmember_binding).
func TestAllPortsAre65535(t *testing.T) {
	b := start(t, simulator.Options{}, "add serviceGroup sg HTTP\nbind serviceGroup sg 10.0.0.1 *\nadd lb vserver v HTTP 192.0.2.1 *\n")
	for _, target := range []string{"config/servicegroup_servicegroupmember_binding/sg", "config/lbvserver/v"} {
		if got := b.nitro("GET", target, "").body; !strings.Contains(got, `"port": 65535`) {
			t.Errorf("%s: %s", target, got)
		}
	}
	if got := dump(t, b.Simulator); !strings.Contains(got, "bind serviceGroup sg 10.0.0.1 *\n") {
		t.Errorf("dump:\n%s", got)
	}
}
