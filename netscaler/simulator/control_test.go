package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

func TestControlEndpoint(t *testing.T) {
	b := start(t, simulator.Options{Control: true}, conf)
	for _, c := range []struct{ method, path, body, line, want string }{
		{"POST", "faults", `{"Type":"nsversion","Code":272,"Times":1,"Delay":"1ms"}`, "204 No Content", ""},
		{"POST", "faults", `{"Typ":"nsversion"}`, "400 Bad Request", `unknown field "Typ"`},
		{"POST", "faults", `{"Name":"("}`, "400 Bad Request", "missing closing )"},
		{"POST", "faults", `{"Delay":"soon"}`, "400 Bad Request", "invalid duration"},
		{"POST", "faults", `[`, "400 Bad Request", "read the fault"},
		{"GET", "state", "", "200 OK", `"Server": "web1",`},
		{"POST", "config", "bind serviceGroup sg 10.8.0.1 80", "204 No Content", ""},
		{"POST", "config", "# a comment\nbind serviceGroup nope 10.8.0.1 80", "400 Bad Request", "line 2: bind serviceGroup nope 10.8.0.1 80: 258: No such resource [serviceGroupName, nope]"},
		{"GET", "config", "", "200 OK", "bind serviceGroup sg 10.8.0.1 80\n"},
		{"POST", "health", `{"group":"sg","addr":"10.8.0.1:80","up":false}`, "204 No Content", ""},
		{"POST", "health", `{"group":"nope","addr":"10.8.0.1:80","up":false}`, "400 Bad Request", `no service group "nope"`},
		{"POST", "health", `{}x`, "400 Bad Request", "text after the object"},
		{"GET", "state", "", "200 OK", `"SvrState": "DOWN",`},
		{"POST", "node", `{"role":"Secondary"}`, "204 No Content", ""},
		{"POST", "node", `{"role":"Tertiary"}`, "400 Bad Request", "a role is Primary or Secondary"},
		{"GET", "state", "", "200 OK", `"Role": "Secondary",`},
		{"POST", "node", `{"do":"failover"}`, "204 No Content", ""},
		{"POST", "node", `{"do":"kill sessions"}`, "204 No Content", ""},
		{"POST", "node", `{"do":"boot"}`, "204 No Content", ""},
		{"POST", "node", `{"do":"dance"}`, "400 Bad Request", `unknown command "dance"`},
		{"GET", "calls", "", "200 OK", "[]"},
		{"DELETE", "calls", "", "204 No Content", ""},
		{"GET", "nothing", "", "404 Not Found", "the control endpoint has no GET nothing"},
	} {
		a := b.send(c.method, "/simulator/"+c.path, c.body)
		if a.line != c.line || !strings.Contains(a.body, c.want) {
			t.Errorf("%s %s %s: %s %s\nwant %s %s", c.method, c.path, c.body, a.line, a.body, c.line, c.want)
		}
	}
	if a := b.nitro("GET", "config/nsversion", ""); !strings.Contains(a.body, `"errorcode": 272`) {
		t.Errorf("the fault is not met: %s", a.body)
	}
	if calls := b.Calls(); len(calls) != 1 || calls[0].Code != 272 {
		t.Errorf("control calls are no NITRO calls: %+v", calls)
	}
	b.SetFault(simulator.Fault{Code: 272})
	b.send("DELETE", "/simulator/faults", "")
	if a := b.nitro("GET", "config/nsversion", ""); a.line != "200 OK" {
		t.Errorf("a fault that was deleted: %s", a.body)
	}
	if a := start(t, simulator.Options{}, "").send("GET", "/simulator/state", ""); a.line != "404 Not Found" {
		t.Errorf("nobody asked for the control endpoint: %s", a.line)
	}
}

// What a page of another site can make a browser send is refused.
func TestControlIsNotForOtherSites(t *testing.T) {
	s := simulator.New(simulator.Options{Control: true})
	for _, c := range []struct {
		headers string
		want    int
	}{
		{"", 204},
		{"Sec-Fetch-Site: same-origin; Origin: http://127.0.0.1:8088", 204},
		{"Sec-Fetch-Site: none", 204},
		{"Sec-Fetch-Site: cross-site", 403},
		{"Sec-Fetch-Site: same-site", 403},
		{"Origin: http://evil.example", 403},
		{"Origin: http://127.0.0.1:9999", 403},
		{"Origin: null", 403},
	} {
		r := httptest.NewRequest(http.MethodDelete, "http://127.0.0.1:8088/simulator/faults", nil)
		for header := range strings.SplitSeq(c.headers, "; ") {
			if name, value, ok := strings.Cut(header, ": "); ok {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%q: HTTP %d, want %d", c.headers, w.Code, c.want)
		}
	}
}
