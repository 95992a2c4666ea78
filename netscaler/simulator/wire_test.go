package simulator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// TestOverHTTP2, where no status line can be written: the code goes out alone,
// and a lost connection is a reset stream.
func TestOverHTTP2(t *testing.T) {
	sim := simulator.New(simulator.Options{KeepAlive: true})
	srv := httptest.NewUnstartedServer(sim)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	get := func() (*http.Response, error) {
		req, err := http.NewRequest("GET", srv.URL+"/nitro/v1/config/nsversion", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("nsroot", "nsroot")
		return srv.Client().Do(req)
	}
	sim.SetFault(simulator.Fault{Code: 272, Times: 1})
	resp, err := get()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 599 || resp.ProtoMajor != 2 {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
	sim.SetFault(simulator.Fault{DropBefore: true, Times: 1})
	if resp, err := get(); err == nil {
		resp.Body.Close()
		t.Errorf("a lost answer came: %s", resp.Status)
	}
	sim.SetFault(simulator.Fault{DropMidReply: true, Times: 1})
	if resp, err := get(); err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			t.Error("an answer that is cut off came whole")
		}
	}
}

// TestOverTLS: the status line is NITRO's own there too.
func TestOverTLS(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	srv := httptest.NewTLSServer(sim)
	defer srv.Close()
	sim.SetFault(simulator.Fault{Code: 272})
	resp, err := srv.Client().Get(srv.URL + "/nitro/v1/config/nsversion")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Status != "599 Netscaler specific error" {
		t.Error(resp.Status)
	}
}

func TestWhatIsNoRequest(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	rec := httptest.NewRecorder()
	sim.ServeHTTP(rec, httptest.NewRequest("PUT", "/nitro/v1/config/servicegroup", io.MultiReader(strings.NewReader("{"), brokenReader{})))
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), "read the request: cable cut") {
		t.Errorf("a body that breaks off: %d %s", rec.Code, rec.Body)
	}
	if len(sim.Calls()) != 0 {
		t.Errorf("it counts as a call: %v", sim.Calls())
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, cable{} }

type cable struct{}

func (cable) Error() string { return "cable cut" }

// TestMistakesOfATestAreLoud: what names something that is not there panics.
func TestMistakesOfATestAreLoud(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	sim.AddGroup("sg")
	for name, mistake := range map[string]func(){
		"a group twice":             func() { sim.AddGroup("sg") },
		"health of no group":        func() { sim.SetUp("nope", netip.MustParseAddrPort("10.0.0.1:80"), true) },
		"clients of no member":      func() { sim.SetIdle("sg", netip.MustParseAddrPort("10.0.0.1:80")) },
		"minimum of no group":       func() { sim.MinEnabled("nope") },
		"a group of no partition":   func() { sim.MinEnabled("p/sg") },
		"a role that there is none": func() { sim.SetRole("secondary") },
	} {
		if func() (cause any) {
			defer func() { cause = recover() }()
			mistake()
			return nil
		}() == nil {
			t.Errorf("%s went unnoticed", name)
		}
	}
}

func TestSessionsAreListed(t *testing.T) {
	b := start(t, simulator.Options{}, conf)
	sid := b.login("nsroot", "nsroot")
	a := b.nitro("GET", "config/systemsession?attrs=sid,username,clienttype,partitionname", "")
	if !strings.Contains(a.body, `[ { "sid": "`+sid+`", "username": "nsroot", "clienttype": "API", "partitionname": "default" } ]`) {
		t.Error(a.body)
	}
}
