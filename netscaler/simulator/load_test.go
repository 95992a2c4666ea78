package simulator_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"nitrox/netscaler/simulator"
)

// door sends a request in process and tells whether it was granted.
type door struct {
	t interface{ Fatal(...any) }
	*simulator.Simulator
}

func (d *door) do(method, target, body string) bool {
	return d.status(method, target, body) < 207
}

func (d *door) status(method, target, body string) int {
	req := httptest.NewRequest(method, "http://ns/nitro/v1/config/"+target, strings.NewReader(body))
	req.SetBasicAuth("nsroot", "nsroot")
	rec := httptest.NewRecorder() // has no connection to take over: the code goes out alone
	d.ServeHTTP(rec, req)
	if rec.Body.Len() > 0 && strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") && !json.Valid(rec.Body.Bytes()) {
		d.t.Fatal("the answer is no JSON: " + rec.Body.String())
	}
	return rec.Code
}

// FuzzBody: whatever the bytes of a request, the answer is an answer, and the
// configuration still loads.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"servicegroup":{"servicegroupname":"sg","comment":"\u0000\ud800"}}`,
		`{"servicegroup_servicegroupmember_binding":[{"servicegroupname":"sg","ip":"::ffff:10.0.0.1","port":"*"}]}`,
		`{"params":{"onerror":"rollback","filter":"a:b"},"servicegroup_servicegroupmember_binding":[{},{"a":null}]}`,
		`{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"api","members":[{"ip":"1.2.3.4","port":1e3}]}}`,
		`{"server":{"name":"x","domain":"-state"}}`, `[]`, `{`, `{"a":{}}{}`, `{"sessionid":1}`,
	} {
		f.Add("PUT", "servicegroup_servicegroupmember_binding", s)
		f.Add("POST", "servicegroup?action=disable", s)
		f.Add("POST", "server", s)
		f.Add("PUT", "servicegroup_servicegroupmemberlist_binding", s)
		f.Add("POST", "macroapi", s)
		f.Add("GET", "servicegroup?filter=a:/x/&attrs=a,b&pagesize=3", "")
		f.Add("DELETE", "servicegroup_servicegroupmember_binding/sg?args=ip:::1,port:80", "")
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		line := fmt.Sprintf("%s http://ns/nitro/v1/config/%s HTTP/1.0\r\n\r\n", method, target) // as httptest reads it, or panics
		if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line))); err != nil {
			t.Skip("no request")
		}
		sim := simulator.New(simulator.Options{})
		if err := sim.Load(strings.NewReader(conf)); err != nil {
			t.Fatal(err)
		}
		(&door{t, sim}).status(method, target, body)
		text := dump(t, sim)
		again := simulator.New(simulator.Options{})
		if err := again.Load(strings.NewReader(text)); err != nil {
			t.Fatalf("the configuration does not load any more: %v\n%s", err, text)
		}
	})
}

// TestManyAtOnce is for the race detector, and for writes that must not be
// lost.
func TestManyAtOnce(t *testing.T) {
	sim := simulator.New(simulator.Options{MaxConnections: 100})
	sim.AddGroup("sg")
	d := &door{t, sim}
	const target = "servicegroup_servicegroupmember_binding"
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				body := fmt.Sprintf(`{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"10.0.%d.%d","port":80}}`, i, j)
				if got := d.status("PUT", target, body); got != 201 {
					t.Errorf("bind: %d", got)
				}
				d.status("GET", target+"?bulkbindings=yes", "")
				sim.SetUp("sg", netip.MustParseAddrPort(fmt.Sprintf("10.0.%d.%d:80", i, j)), j%2 == 0)
				sim.Members("sg")
				sim.MinEnabled("sg")
			}
			d.status("POST", "nsconfig?action=save", `{"nsconfig":{}}`)
		})
	}
	wg.Wait()
	if got := len(sim.Members("sg")); got != 160 {
		t.Errorf("%d members, want 160", got)
	}
	if got := len(sim.Calls()); got != 8*41 {
		t.Errorf("%d calls, want %d", got, 8*41)
	}
}

// large is a configuration of 1,000 groups of 100 members.
func large() string {
	var b strings.Builder
	for g := range 1000 {
		fmt.Fprintf(&b, "add serviceGroup sg-%d HTTP\n", g)
		for m := range 100 {
			fmt.Fprintf(&b, "bind serviceGroup sg-%d 10.%d.%d.%d 8080\n", g, m, g/250, g%250)
		}
	}
	return b.String()
}

// BenchmarkBulkRead is a read of all members of 1,000 groups of 100.
func BenchmarkBulkRead(b *testing.B) {
	sim := simulator.New(simulator.Options{})
	if err := sim.Load(strings.NewReader(large())); err != nil {
		b.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	defer srv.Close()
	b.ResetTimer()
	for b.Loop() {
		req, err := http.NewRequest("GET", srv.URL+"/nitro/v1/config/servicegroup_servicegroupmember_binding?bulkbindings=yes", nil)
		if err != nil {
			b.Fatal(err)
		}
		req.SetBasicAuth("nsroot", "nsroot")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		var n int64
		buf := make([]byte, 1<<20)
		for {
			k, err := resp.Body.Read(buf)
			n += int64(k)
			if err != nil {
				break
			}
		}
		resp.Body.Close()
		b.SetBytes(n)
	}
}

// BenchmarkLoadAndDump is what a boot and a save of the same cost.
func BenchmarkLoadAndDump(b *testing.B) {
	text := large()
	b.ResetTimer()
	for b.Loop() {
		sim := simulator.New(simulator.Options{})
		if err := sim.Load(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
		dump(b, sim)
	}
}
