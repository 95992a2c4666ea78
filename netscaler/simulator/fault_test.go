package simulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler/simulator"
)

// TestFaults: each kind over a real socket, whether the change was made, and
// that the next call is served again.
func TestFaults(t *testing.T) {
	const page = "<html><h4>Service Unavailable</h4></html>"
	for _, c := range []struct {
		name       string
		fault      simulator.Fault
		line, body string
		applied    bool
	}{
		{"code", simulator.Fault{Code: 272}, "599 Netscaler specific error", `{ "errorcode": 272, "message": "Device busy", "severity": "ERROR" }`, false},
		{"code, status and message", simulator.Fault{Code: 446, Status: 503, Message: "Connection limit to cfe exceeded"}, "503 Service Unavailable", `{ "errorcode": 446, "message": "Connection limit to cfe exceeded", "severity": "ERROR" }`, false},
		{"a page while it boots", simulator.Fault{Status: 503, RawBody: page}, "503 Service Unavailable", page, false},
		{"an empty answer", simulator.Fault{Status: 503}, "503 Service Unavailable", "", false},
		{"an error with status 200", simulator.Fault{Status: 200, Code: 444}, "200 OK", sessionDead, false},
		{"session killed", simulator.Fault{KillSession: true}, "401 Unauthorized", sessionDead, false},
		{"dropped before", simulator.Fault{DropBefore: true}, "lost: EOF", "", false},
		{"dropped after", simulator.Fault{DropAfterApply: true}, "lost: EOF", "", true},
		{"cut off", simulator.Fault{DropMidReply: true}, "200 OK", `{ "errorcode": 0, "message":<cut: unexpected EOF>`, true},
		{"another type", simulator.Fault{Type: "server", Code: 272}, "200 OK", done, true},
		{"another method", simulator.Fault{Method: "GET|DELETE", Code: 272}, "200 OK", done, true},
		{"another action", simulator.Fault{Action: "enable", Code: 272}, "200 OK", done, true},
		{"calls without an action", simulator.Fault{Action: "-", Code: 272}, "200 OK", done, true},
		{"another group", simulator.Fault{Name: "s", Code: 272}, "200 OK", done, true},
		{"this call", simulator.Fault{Method: "post", Type: "service.*", Action: "disable", Name: "sg", Code: 272}, "599 Netscaler specific error", `{ "errorcode": 272, "message": "Device busy", "severity": "ERROR" }`, false},
		{"later", simulator.Fault{Skip: 1, Code: 272}, "200 OK", done, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t, simulator.Options{}, conf)
			session := "Cookie: NITRO_AUTH_TOKEN=" + b.login("nsroot", "nsroot")
			c.fault.Times = 1
			b.SetFault(c.fault)
			a := b.send("POST", "/nitro/v1/config/servicegroup?action=disable", `{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80}}`, session)
			if a.line != c.line || a.body != c.body {
				t.Errorf("%s %s\nwant %s %s", a.line, a.body, c.line, c.body)
			}
			if got := member(b.Simulator, "web1").State == "DISABLED"; got != c.applied {
				t.Errorf("applied: %v, want %v", got, c.applied)
			}
			b.ClearFaults()
			if a := b.nitro("GET", "config/nsversion", ""); a.line != "200 OK" {
				t.Errorf("the next call: %s %s", a.line, a.body)
			}
		})
	}
}

func member(s *simulator.Simulator, server string) simulator.Member {
	for _, m := range s.Members("sg") {
		if m.Server == server {
			return m
		}
	}
	return simulator.Member{}
}

func TestFaultOfOneItem(t *testing.T) {
	b := start(t, simulator.Options{}, conf)
	b.SetFault(simulator.Fault{Command: `^bind serviceGroup sg 10\.1\.0\.2 80`, Code: 435, Times: 1})
	const body = `{"servicegroup_servicegroupmember_binding":[{"servicegroupname":"sg","ip":"10.1.0.1","port":80},{"servicegroupname":"sg","ip":"10.1.0.2","port":80}]}`
	a := b.nitro("PUT", "config/servicegroup_servicegroupmember_binding", body, "X-NITRO-ONERROR: continue")
	if a.line != "207 Multi Status" || !strings.Contains(a.body, `"response": [ `+okItem+`, { "errorcode": 435, "message": "Maximum services bound to service group exceeded", "severity": "ERROR" } ]`) {
		t.Errorf("%s %s", a.line, a.body)
	}
	if calls := b.Calls(); calls[0].Code != 1243 || calls[0].Status != 207 {
		t.Errorf("%+v", calls[0])
	}
}

func TestSkipAndTimesCountMatches(t *testing.T) {
	b := start(t, simulator.Options{}, conf)
	b.SetFault(simulator.Fault{Type: "nsversion", Skip: 1, Times: 2, Code: 272})
	var got []int
	for range 5 {
		b.nitro("GET", "config/nsconfig", "")
		b.nitro("GET", "config/nsversion", "")
	}
	for _, c := range b.Calls() {
		if c.Type == "nsversion" {
			got = append(got, c.Code)
		}
	}
	if want := []int{0, 272, 272, 0, 0}; len(got) != 5 || [5]int(got) != [5]int(want) {
		t.Errorf("codes %v, want %v", got, want)
	}
	if bad := func() (bad any) {
		defer func() { bad = recover() }()
		b.SetFault(simulator.Fault{Name: "("})
		return nil
	}(); bad == nil {
		t.Error("a pattern that is none was taken")
	}
}

// TestInProcess: over Transport the same things go wrong as over a socket.
func TestInProcess(t *testing.T) {
	clock(t, simulator.Options{}, conf, func(in *inside) {
		const path, body = "config/servicegroup", `{"servicegroup":{"servicegroupname":"sg","servername":"web1","port":80,"weight":9}}`
		in.SetFault(simulator.Fault{Method: "PUT", DropAfterApply: true, Times: 1})
		if _, _, err := in.try("PUT", path, body); !errors.Is(err, io.EOF) {
			in.Errorf("a lost answer: %v", err)
		}
		if m := member(in.Simulator, "web1"); m.Weight != 9 {
			in.Errorf("it was not applied: %+v", m)
		}
		in.SetFault(simulator.Fault{DropMidReply: true, Times: 1})
		if _, _, err := in.try("GET", path, ""); !errors.Is(err, io.ErrUnexpectedEOF) {
			in.Errorf("an answer cut off: %v", err)
		}

		ctx, cancel := context.WithTimeout(in.Context(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", "http://ns/nitro/v1/config/nsversion", nil)
		if err != nil {
			in.Fatal(err)
		}
		in.SetFault(simulator.Fault{Hang: true, Times: 1})
		begin := time.Now()
		if _, err := in.Transport().RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 5*time.Second {
			in.Errorf("a hung call: %v after %v", err, time.Since(begin))
		}
		if _, err := in.Transport().RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			in.Errorf("a call that was given up before: %v", err)
		}

		// A client that gives up does not stop the appliance.
		in.SetFault(simulator.Fault{Delay: 10 * time.Second, Times: 1})
		ctx, cancel = context.WithTimeout(in.Context(), time.Second)
		defer cancel()
		req, err = http.NewRequestWithContext(ctx, "PUT", "http://ns/nitro/v1/"+path, strings.NewReader(strings.Replace(body, "9}", "8}", 1)))
		if err != nil {
			in.Fatal(err)
		}
		req.SetBasicAuth("nsroot", "nsroot")
		if _, err := in.Transport().RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
			in.Errorf("a slow call: %v", err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if m := member(in.Simulator, "web1"); m.Weight != 8 {
			in.Errorf("the appliance gave up with its client: %+v", m)
		}
	})
}

func TestTooManyConnections(t *testing.T) {
	for _, limit := range []int{0, 3} {
		clock(t, simulator.Options{MaxConnections: limit, ReadLatency: time.Second}, conf, func(in *inside) {
			n := limit
			if n == 0 {
				n = 20
			}
			for range n {
				go in.try("GET", "config/nsversion", "")
			}
			synctest.Wait()
			status, body := in.do("GET", "config/nsversion", "")
			if status != 599 || !strings.Contains(body, `"errorcode": 446, "message": "Connection limit to CFE exceeded"`) {
				in.Errorf("connection %d: %d %s", n+1, status, body)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if status, _ := in.do("GET", "config/nsversion", ""); status != 200 {
				in.Errorf("after the crowd: %d", status)
			}
		})
	}
}
