package simulator_test

import (
	"strings"
	"testing"
	"time"

	"nitrox/netscaler/simulator"
)

const okItem = `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`
const existsItem = `{ "errorcode": 273, "message": "Resource already exists", "severity": "ERROR" }`

// TestBulk holds arrays to what X-NITRO-ONERROR says, and the answer to one
// result for each item that was dealt with.
func TestBulk(t *testing.T) {
	const target = "config/servicegroup_servicegroupmember_binding"
	item := func(attrs string) string { return `{"servicegroupname":"sg",` + attrs + `}` }
	array := func(items ...string) string {
		return `{"servicegroup_servicegroupmember_binding":[` + strings.Join(items, ",") + `]}`
	}
	new1, old, new2 := item(`"ip":"10.0.0.8","port":80`), item(`"ip":"10.0.0.1","port":80`), item(`"ip":"10.0.0.9","port":80`)
	failed := func(results ...string) string {
		return `{ "errorcode": 1243, "message": "Bulk operation failed", "severity": "ERROR", "response": [ ` + strings.Join(results, ", ") + ` ] }`
	}
	const skipped = `{ "errorcode": 1265, "message": "command not attempted for configuration", "severity": "WARNING" }`
	for _, c := range []struct {
		name, onerror  string
		o              simulator.Options
		method, action string
		body           string
		line, want     string
		members        int
	}{
		{"all good", "continue", simulator.Options{}, "PUT", "", array(new1, new2), "201 Created", done, 5},
		{"all good, by POST", "continue", simulator.Options{}, "POST", "", array(new1, new2), "201 Created", "", 5},
		{"one item", "continue", simulator.Options{}, "POST", "", array(new1), "201 Created", "", 4},
		{"one item that fails", "continue", simulator.Options{}, "PUT", "", array(old), "207 Multi Status", failed(existsItem), 3},
		{"continue", "continue", simulator.Options{}, "PUT", "", array(new1, old, new2), "207 Multi Status", failed(okItem, existsItem, okItem), 5},
		{"exit is the default", "", simulator.Options{}, "PUT", "", array(new1, old, new2), "207 Multi Status", failed(okItem, existsItem), 4},
		{"exit, padded", "exit", simulator.Options{PaddedBulk: true}, "PUT", "", array(new1, old, new2), "207 Multi Status", failed(okItem, existsItem, skipped), 4},
		{"rollback", "rollback", simulator.Options{}, "PUT", "", array(new1, old, new2), "207 Multi Status", failed(okItem, existsItem), 3},
		{"unknown mode", "contineu", simulator.Options{}, "PUT", "", array(new1), "599 Netscaler specific error", `{ "errorcode": 1097, "message": "Invalid argument value [onerror, contineu]", "severity": "ERROR" }`, 3},
		{"unbind", "continue", simulator.Options{}, "POST", "unbind", array(old, new1), "207 Multi Status", failed(okItem, `{ "errorcode": 258, "message": "No such resource [IP, 10.0.0.8]", "severity": "ERROR" }`), 2},
		{"unbind, all good", "continue", simulator.Options{}, "POST", "unbind", array(old), "200 OK", done, 2},
		{"unbind, quiet", "continue", simulator.Options{QuietActions: true}, "POST", "unbind", array(old), "200 OK", "", 2},
		{"unbind cannot be rolled back", "rollback", simulator.Options{}, "POST", "unbind", array(old, new1), "207 Multi Status", failed(okItem, `{ "errorcode": 1242, "message": "Rollback not supported for this operation", "severity": "ERROR" }`), 2},
		{"no arrays on this build", "", simulator.Options{Lacks: []string{"arrays"}}, "PUT", "", array(new1), "400 Bad Request", `{ "errorcode": 1234, "message": "Invalid JSON data type [servicegroup_servicegroupmember_binding]", "severity": "ERROR" }`, 3},
		{"empty array", "", simulator.Options{}, "PUT", "", array(), "400 Bad Request", `{ "errorcode": 1233, "message": "Invalid JSON input", "severity": "ERROR" }`, 3},
		{"bind by PUT answers 200 on this build", "", simulator.Options{BindStatus: 200}, "PUT", "", array(new1), "200 OK", done, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t, c.o, conf)
			target := target
			if c.action != "" {
				target += "?action=" + c.action
			}
			headers := []string{"Content-Type: application/vnd.com.citrix.netscaler.servicegroup_servicegroupmember_binding_list+json"}
			if c.onerror != "" {
				headers = append(headers, "X-NITRO-ONERROR: "+c.onerror)
			}
			a := b.nitro(c.method, target, c.body, headers...)
			if a.line != c.line || a.body != c.want {
				t.Errorf("%s %s\nwant %s %s", a.line, a.body, c.line, c.want)
			}
			if got := len(b.Members("sg")); got != c.members {
				t.Errorf("%d members, want %d", got, c.members)
			}
		})
	}
}

func TestOnerrorAlsoComesInTheQueryAndTheBody(t *testing.T) {
	const items = `[{"servicegroupname":"nope","comment":"x"},{"servicegroupname":"sg","comment":"x"}]`
	for _, c := range []struct{ target, body string }{
		{"config/servicegroup?onerror=continue", `{"servicegroup":` + items + `}`},
		{"config/servicegroup", `{"params":{"onerror":"continue"},"servicegroup":` + items + `}`},
	} {
		b := start(t, simulator.Options{}, conf)
		if a := b.nitro("PUT", c.target, c.body); !strings.Contains(a.body, okItem) {
			t.Errorf("%s %s: the second item was not done: %s", c.target, c.body, a.body)
		}
	}
}

// TestTimeIsByTheCall: writes wait for each other while reads do not.
func TestTimeIsByTheCall(t *testing.T) {
	o := simulator.Options{WriteLatency: 25 * time.Millisecond, ReadLatency: 15 * time.Millisecond, SaveTime: 2 * time.Second}
	clock(t, o, conf, func(in *inside) {
		took := func(method, target, body string) time.Duration {
			begin := time.Now()
			in.do(method, target, body)
			return time.Since(begin)
		}
		const bind = `{"servicegroup_servicegroupmember_binding":[{"servicegroupname":"sg","ip":"10.1.0.1","port":1},{"servicegroupname":"sg","ip":"10.1.0.1","port":2}]}`
		if d := took("PUT", "config/servicegroup_servicegroupmember_binding", bind); d != 25*time.Millisecond {
			in.Errorf("a bind of two took %v", d)
		}
		if d := took("GET", "config/servicegroup_servicegroupmember_binding/sg", ""); d != 15*time.Millisecond {
			in.Errorf("a read of five took %v", d)
		}
		if d := took("POST", "config/nsconfig?action=save", `{"nsconfig":{}}`); d != 2*time.Second {
			in.Errorf("a save took %v", d)
		}
		begin, wait := time.Now(), make(chan struct{}, 2)
		for range 2 {
			go func() {
				in.do("PUT", "config/servicegroup", `{"servicegroup":{"servicegroupname":"sg","comment":"x"}}`)
				wait <- struct{}{}
			}()
		}
		<-wait
		<-wait
		if d := time.Since(begin); d != 50*time.Millisecond {
			in.Errorf("two writes at once took %v", d)
		}
	})
}

// TestBodiesOfOldClients: a form with the object in it, and the media types of
// the SDKs, which must name the type.
func TestBodiesOfOldClients(t *testing.T) {
	b := start(t, simulator.Options{}, conf)
	const body = `{"servicegroup":{"servicegroupname":"sg","comment":"x"}}`
	for _, c := range []struct{ media, body, line string }{
		{"application/json; charset=utf-8", body, "200 OK"},
		{"application/vnd.com.citrix.netscaler.servicegroup+json", body, "200 OK"},
		{"application/vnd.com.citrix.netscaler.servicegroup_list+json", body, "200 OK"},
		{"application/vnd.com.citrix.netscaler.server+json", body, "400 Bad Request"},
		{"application/x-www-form-urlencoded", "object=" + strings.ReplaceAll(body, " ", "+"), "200 OK"},
		{"application/x-www-form-urlencoded", body, "200 OK"}, // curl's default
		{"application/x-www-form-urlencoded", "object=%zz", "400 Bad Request"},
	} {
		if a := b.nitro("PUT", "config/servicegroup", c.body, "Content-Type: "+c.media); a.line != c.line {
			t.Errorf("%s %s: %s %s", c.media, c.body, a.line, a.body)
		}
	}
}
