package simulator_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// step is one request of an official client and what it must be told: the
// status line, which these clients compare as text, and a part of the body.
type step struct{ method, target, body, line, want string }

const (
	ok200     = "200 OK"
	created   = "201 Created"
	notFound  = "404 Not Found"
	conflict  = "409 Conflict"
	multi     = "207 Multi Status"
	specific  = "599 Netscaler specific error"
	noContent = "" // the body of an answer that has none
)

const (
	memberType = "config/servicegroup_servicegroupmember_binding"
	listType   = "config/servicegroup_servicegroupmemberlist_binding"
	vserverSG  = "config/lbvserver_servicegroup_binding"
)

func typeOf(s step) string {
	_, typ, _ := strings.Cut(strings.SplitN(s.target, "?", 2)[0], "/")
	return typ
}

func (b *box) speak(steps []step, headers func(step) []string) {
	b.t.Helper()
	for _, s := range steps {
		a := b.send(s.method, "/nitro/v1/"+s.target, s.body, headers(s)...)
		if a.line != s.line || !strings.Contains(a.body, s.want) {
			b.t.Errorf("%s %s %s\n got %s %s\nwant %s %s", s.method, s.target, s.body, a.line, a.body, s.line, s.want)
		}
		// The Python SDK parses the text of an array PUT without a guard, and no
		// other 201 has one.
		if array := s.method == "PUT" && strings.HasPrefix(s.body, `{"`+typeOf(s)+`":[`); s.line == created && (a.body != "") != array {
			b.t.Errorf("%s %s %s: 201 and the body %q", s.method, s.target, s.body, a.body)
		}
	}
}

// TestAsTerraformSpeaks: the provider sends its credentials with every call,
// adds with idempotent=yes, and reads back what it wrote.
func TestAsTerraformSpeaks(t *testing.T) {
	b := start(t, simulator.Options{}, "")
	b.speak([]step{
		{"POST", "config/server?idempotent=yes", `{"server":{"name":"tf_server","ipaddress":"10.33.44.33","state":"ENABLED","comment":"a"}}`, created, noContent},
		{"POST", "config/server?idempotent=yes", `{"server":{"name":"tf_server","ipaddress":"10.33.44.33","comment":"b"}}`, ok200, `"Done"`},
		{"GET", "config/server/tf_server", "", ok200, `"comment": "b"`},
		{"PUT", "config/server", `{"server":{"name":"tf_server","comment":"c"}}`, ok200, `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`},
		{"POST", "config/server?action=disable", `{"server":{"name":"tf_server"}}`, ok200, ""},
		{"POST", "config/server?action=enable", `{"server":{"name":"tf_server"}}`, ok200, ""},

		{"POST", "config/servicegroup?idempotent=yes", `{"servicegroup":{"servicegroupname":"tf sg:1","servicetype":"HTTP","cka":"NO","clttimeout":180}}`, created, noContent},
		{"GET", "config/servicegroup/tf%2520sg%253A1", "", ok200, `"servicegroupname": "tf sg:1"`},
		{"PUT", "config/servicegroup/tf%2520sg%253A1", `{"servicegroup":{"servicegroupname":"tf sg:1","comment":"x"}}`, ok200, `"Done"`},
		{"PUT", "config/servicegroup", `{"servicegroup":{"servicegroupname":"tf sg:1","servicetype":"SSL"}}`, specific, `"errorcode": 278`},

		{"POST", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"tf sg:1","servername":"tf_server","port":80,"weight":5}}`, created, noContent},
		{"POST", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"tf sg:1","ip":"10.33.44.34","port":80}}`, created, noContent},
		{"POST", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"tf sg:1","ip":"ff::8839","port":80}}`, created, noContent},
		{"POST", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"tf sg:1","ip":"10.33.44.34","servername":"tf_server","port":81}}`, "400 Bad Request", `"errorcode": 1092`},
		{"GET", memberType + "/tf%2520sg%253A1", "", ok200, `"ip": "10.33.44.33", "port": 80`},
		{"PUT", "config/servicegroup", `{"servicegroup":{"servicegroupname":"tf sg:1","servername":"tf_server","port":80,"weight":9}}`, ok200, ""},
		{"GET", memberType + "/tf%2520sg%253A1?filter=servername:tf_server", "", ok200, `"weight": "9"`},
		{"POST", "config/servicegroup?action=disable", `{"servicegroup":{"servicegroupname":"tf sg:1","servername":"tf_server","port":80,"graceful":"YES","delay":60}}`, ok200, ""},
		{"GET", memberType + "/tf%2520sg%253A1", "", ok200, `"svrstate": "GOING OUT OF SERVICE"`},
		{"POST", "config/servicegroup?action=enable", `{"servicegroup":{"servicegroupname":"tf sg:1","servername":"tf_server","port":80}}`, ok200, ""},
		{"DELETE", memberType + "/tf%2520sg%253A1?args=ip:ff::8839,port:80", "", ok200, `"Done"`},
		{"DELETE", memberType + "/tf%2520sg%253A1?args=servername:tf_server,port:80", "", ok200, `"Done"`},
		{"DELETE", memberType + "/tf%2520sg%253A1?args=servername:tf_server,port:80", "", notFound, `"errorcode": 258`},

		{"PUT", listType, `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"tf sg:1","members":[{"ip":"10.0.0.1","port":80}]}}`, specific, `"errorcode": 257`},
		{"POST", "config/servicegroup?idempotent=yes", `{"servicegroup":{"servicegroupname":"tf_api","servicetype":"HTTP","autoscale":"API"}}`, created, noContent},
		{"PUT", listType, `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"tf_api","members":[{"ip":"10.0.0.1","port":80,"weight":2,"state":"ENABLED"},{"ip":"10.0.0.2","port":80}]}}`, created, noContent},
		{"PUT", listType, `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"tf_api","members":[{"ip":"10.0.0.2","port":80}]}}`, created, noContent},
		{"GET", memberType + "/tf_api?count=yes", "", ok200, `"__count": 1`},
		{"DELETE", listType + "/tf_api", "", ok200, ""},
		{"GET", memberType + "/tf_api", "", ok200, `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`},

		{"POST", "config/lbvserver?idempotent=yes", `{"lbvserver":{"name":"tf_lb","servicetype":"HTTP","ipv46":"10.10.10.33","port":80}}`, created, noContent},
		{"GET", "config/lbvserver/tf_lb", "", ok200, `"name": "tf_lb"`},
		{"PUT", "config/lbvserver", `{"lbvserver":{"name":"tf_lb","lbmethod":"ROUNDROBIN"}}`, ok200, ""},
		{"POST", vserverSG, `{"lbvserver_servicegroup_binding":{"name":"tf_lb","servicegroupname":"tf sg:1"}}`, created, noContent},
		{"POST", vserverSG, `{"lbvserver_servicegroup_binding":{"name":"tf_lb","servicegroupname":"tf sg:1","weight":2}}`, "400 Bad Request", `"errorcode": 1093`},
		{"GET", vserverSG + "/tf_lb", "", ok200, `"servicegroupname": "tf sg:1"`},
		{"DELETE", vserverSG + "/tf_lb?args=servicegroupname:tf%20sg%3A1", "", ok200, ""},
		{"DELETE", "config/lbvserver/tf_lb", "", ok200, ""},
		{"GET", "config/lbvserver/tf_lb", "", notFound, `"errorcode": 258`},

		{"DELETE", "config/servicegroup/tf%2520sg%253A1", "", ok200, ""},
		{"DELETE", "config/servicegroup/tf_api", "", ok200, ""},
		{"GET", "config/servicegroup", "", ok200, `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`},
		{"DELETE", "config/server/tf_server", "", ok200, ""},
		{"POST", "config/nsconfig?action=save", `{"nsconfig":{"all":true}}`, ok200, ""},
		{"GET", "config/nsversion", "", ok200, `"nsversion": { "version": "NetScaler`},
	}, func(step) []string {
		return []string{"X-NITRO-USER: nsroot", "X-NITRO-PASS: nsroot", "Content-Type: application/json", "Accept: application/json"}
	})
	if b.Sessions() != 0 {
		t.Errorf("%d sessions are left by calls that carried their credentials", b.Sessions())
	}
}

// TestAsThePythonSDKSpeaks: one session in a Set-Cookie of requests, media
// types of the resource and of lists of it, arrays and params in bodies.
func TestAsThePythonSDKSpeaks(t *testing.T) {
	b := start(t, simulator.Options{}, "")
	a := b.send("POST", "/nitro/v1/config/login", `{"login":{"username":"nsroot","password":"nsroot","timeout":1800}}`, "Content-Type: application/vnd.com.citrix.netscaler.login+json")
	_, sid, _ := strings.Cut(a.header.Get("Set-Cookie"), "NITRO_AUTH_TOKEN=")
	sid, _, _ = strings.Cut(sid, ";")
	if a.line != created || !strings.HasPrefix(sid, "%23%23") {
		t.Fatalf("login: %s %v", a.line, a.header)
	}
	item := func(ip string) string {
		return fmt.Sprintf(`{"servicegroupname":"py","ip":%q,"port":80}`, ip)
	}
	array := func(items ...string) string {
		return `{"servicegroup_servicegroupmember_binding":[` + strings.Join(items, ",") + `]}`
	}
	b.speak([]step{
		{"POST", "config/servicegroup", `{"params":{"warning":"YES"},"servicegroup":{"servicegroupname":"py","servicetype":"HTTP"}}`, created, noContent},
		{"POST", "config/servicegroup", `{"servicegroup":[{"servicegroupname":"py2","servicetype":"HTTP"},{"servicegroupname":"py3","servicetype":"HTTP","autoscale":"API"}]}`, created, noContent},
		{"POST", "config/servicegroup", `{"servicegroup":{"servicegroupname":"py","servicetype":"HTTP"}}`, conflict, `"errorcode": 273`},
		{"PUT", "config/servicegroup", `{"servicegroup":[{"servicegroupname":"py","comment":"a"},{"servicegroupname":"py2","comment":"b"}]}`, ok200, ""},
		{"GET", "config/servicegroup?count=yes", "", ok200, `"__count": 3`},
		{"GET", "config/servicegroup?filter=servicegroupname:py2", "", ok200, `"comment": "b"`},
		{"GET", "config/servicegroup?attrs=servicegroupname", "", ok200, `[ { "servicegroupname": "py" }, `},
		{"PUT", memberType, array(item("10.0.0.1"), item("10.0.0.2"), item("10.0.0.3")), created, `"errorcode": 0`},
		{"PUT", memberType + "?onerror=continue", array(item("10.0.0.3"), item("10.0.0.4")), multi, `"errorcode": 1243, "message": "Bulk operation failed", "severity": "ERROR", "response": [ { "errorcode": 273, "message": "Resource already exists`},
		{"PUT", memberType, `{"params":{"onerror":"continue"},` + array(item("10.0.0.4"), item("10.0.0.5"))[1:], multi, `"errorcode": 0, "message": "Done"`},
		{"GET", memberType + "/py?count=yes", "", ok200, `"__count": 5`},
		{"GET", memberType + "/py?filter=ip:10.0.0.5,port:80", "", ok200, `"ip": "10.0.0.5"`},
		{"GET", memberType + "?bulkbindings=yes", "", ok200, `"servicegroupname": "py"`},
		{"GET", "config/servicegroup_binding/py", "", ok200, `"servicegroup_servicegroupmember_binding": [ `},
		{"POST", "config/servicegroup?action=disable", `{"servicegroup":[{"servicegroupname":"py","servername":"10.0.0.1","port":80,"graceful":"YES"},{"servicegroupname":"py","servername":"10.0.0.2","port":80,"delay":10}]}`, ok200, ""},
		{"POST", "config/servicegroup?action=enable", `{"servicegroup":[{"servicegroupname":"py","servername":"10.0.0.1","port":80},{"servicegroupname":"py","servername":"10.0.0.2","port":80}]}`, ok200, ""},
		{"POST", memberType + "?action=unbind", array(item("10.0.0.1"), item("10.0.0.2")), ok200, ""},
		{"POST", memberType + "?action=unbind&onerror=continue", array(item("10.0.0.1"), item("10.0.0.3")), multi, `"response": [ { "errorcode": 258`},
		{"DELETE", memberType + "/py?args=ip:10.0.0.4,port:80", "", ok200, `"errorcode": 0`},
		{"POST", listType, `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"py3","members":[{"ip":"10.0.0.1","port":80}]}}`, created, noContent},
		{"GET", "stat/servicegroup/py?statbindings=yes", "", ok200, `"servicegroupmember": [ `},
		{"POST", "config/server", `{"server":[{"name":"py_a","ipaddress":"10.1.0.1"},{"name":"py_b","ipaddress":"10.1.0.1"}]}`, multi, `"errorcode": 1335, "message": "Server already exists`},
		{"GET", "config/server_binding/10.0.0.5", "", ok200, `"servicegroupname": "py"`},
		{"POST", "config/lbvserver", `{"lbvserver":{"name":"py_lb","servicetype":"HTTP","ipv46":"10.2.0.1","port":80}}`, created, noContent},
		{"PUT", vserverSG, `{"lbvserver_servicegroup_binding":[{"name":"py_lb","servicegroupname":"py"},{"name":"py_lb","servicegroupname":"py2"}]}`, created, `"errorcode": 0`},
		{"GET", vserverSG + "/py_lb?count=yes", "", ok200, `"__count": 2`},
		{"GET", "config/servicegroupbindings/py", "", ok200, `"vservername": "py_lb"`},
		{"POST", vserverSG + "?action=unbind", `{"lbvserver_servicegroup_binding":[{"name":"py_lb","servicegroupname":"py2"}]}`, ok200, ""},
		{"DELETE", "config/lbvserver/py_lb", "", ok200, `"Done"`},
		{"POST", "config/servicegroup?action=rm", `{"servicegroup":[{"servicegroupname":"py2"},{"servicegroupname":"py3"}]}`, ok200, ""},
		{"DELETE", "config/servicegroup/py", "", ok200, `"Done"`},
		{"DELETE", "config/server/py_a", "", ok200, `"Done"`},
		{"POST", "config/logout", `{"logout":{}}`, ok200, ""},
		{"GET", "config/servicegroup", "", "401 Unauthorized", `"errorcode": 444`},
	}, func(s step) []string {
		typ := typeOf(s)
		if strings.Contains(s.body, `":[{`) {
			typ += "_list"
		}
		return []string{"Set-Cookie: NITRO_AUTH_TOKEN=" + sid, "Content-Type: application/vnd.com.citrix.netscaler." + typ + "+json"}
	})
	if b.Sessions() != 0 {
		t.Errorf("%d sessions are left", b.Sessions())
	}
}

// TestAsAnsibleSpeaks: the session raw in a cookie, names encoded twice,
// numbers as text, and a read before and after every change.
func TestAsAnsibleSpeaks(t *testing.T) {
	b := start(t, simulator.Options{}, "")
	sid := b.login("nsroot", "nsroot")
	b.speak([]step{
		{"GET", "config/servicegroup/ans%2520sg", "", notFound, `"errorcode": 258, "message": "No such resource [serviceGroupName, ans sg]"`},
		{"POST", "config/servicegroup", `{"servicegroup":{"servicegroupname":"ans sg","servicetype":"HTTP","maxclient":"0","clttimeout":"180"}}`, created, noContent},
		{"GET", "config/servicegroup/ans%2520sg", "", ok200, `"clttimeout": 180`},
		{"PUT", "config/servicegroup", `{"servicegroup":{"servicegroupname":"ans sg","comment":"y"}}`, ok200, `"Done"`},
		{"GET", memberType + "/ans%2520sg", "", ok200, `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`},
		{"POST", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"ans sg","ip":"10.0.0.1","port":"8080","weight":"3"}}`, created, noContent},
		{"PUT", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"ans sg","ip":"10.0.0.2","port":"8080"}}`, created, noContent},
		{"POST", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"ans sg","ip":"10.0.0.1","port":"8080"}}`, conflict, `"errorcode": 273, "message": "Resource already exists"`},
		{"GET", memberType + "/ans%2520sg", "", ok200, `"port": 8080`},
		{"PUT", "config/servicegroup", `{"servicegroup":{"servicegroupname":"ans sg","servername":"10.0.0.1","port":"8080","weight":"7"}}`, ok200, ""},
		{"GET", memberType + "/ans%2520sg", "", ok200, `"weight": "7"`},
		{"POST", "config/servicegroup?action=disable", `{"servicegroup":{"servicegroupname":"ans sg","servername":"10.0.0.2","port":"8080","delay":"0","graceful":"NO"}}`, ok200, ""},
		{"GET", memberType + "/ans%2520sg", "", ok200, `"state": "DISABLED"`},
		{"POST", "config/servicegroup?action=enable", `{"servicegroup":{"servicegroupname":"ans sg","servername":"10.0.0.2","port":"8080","weight":"1"}}`, specific, `"errorcode": 278`},
		{"POST", "config/servicegroup?action=enable", `{"servicegroup":{"servicegroupname":"ans sg","servername":"10.0.0.2","port":"8080"}}`, ok200, ""},
		{"DELETE", memberType + "/ans%2520sg?args=ip:10.0.0.2,port:8080", "", ok200, `"Done"`},
		{"POST", "config/servicegroup", `{"servicegroup":{"servicegroupname":"ans_api","servicetype":"HTTP","autoscale":"API"}}`, created, noContent},
		{"PUT", listType, `{"servicegroup_servicegroupmemberlist_binding":{"servicegroupname":"ans_api","members":[{"ip":"10.0.0.9","port":"80","weight":"2","state":"ENABLED"}]}}`, created, noContent},
		{"GET", memberType + "/ans_api", "", ok200, `"ip": "10.0.0.9"`},
		{"POST", "config/server", `{"server":{"name":"ans_srv","ipaddress":"10.0.0.1"}}`, conflict, `"errorcode": 1335, "message": "Server already exists [10.0.0.1]"`},
		{"POST", "config/server", `{"server":{"name":"ans_srv","domain":"www.example.com"}}`, created, noContent},
		{"GET", "config/server/ans_srv", "", ok200, `"domain": "www.example.com"`},
		{"POST", "config/lbvserver", `{"lbvserver":{"name":"ans_lb","servicetype":"HTTP","ipv46":"10.3.0.1","port":"80"}}`, created, noContent},
		{"POST", vserverSG, `{"lbvserver_servicegroup_binding":{"name":"ans_lb","servicegroupname":"ans sg"}}`, created, noContent},
		{"GET", vserverSG + "/ans_lb", "", ok200, `"servicegroupname": "ans sg"`},
		{"DELETE", vserverSG + "/ans_lb?args=servicegroupname:ans%20sg", "", ok200, ""},
		{"DELETE", "config/lbvserver/ans_lb", "", ok200, ""},
		{"GET", "config/hanode", "", ok200, `"hanode": [ { "id": "0"`},
		{"GET", "config/nsconfig", "", ok200, `"nsconfig": { "ipaddress"`},
		{"POST", "config/nsconfig?action=save", `{"nsconfig":{}}`, ok200, ""},
		{"DELETE", "config/servicegroup/ans%2520sg", "", ok200, ""},
		{"DELETE", "config/servicegroup/ans%2520sg", "", notFound, `"errorcode": 258`},
		{"DELETE", "config/server/ans_srv", "", ok200, ""},
		{"POST", "config/logout", `{"logout":{}}`, ok200, ""},
	}, func(step) []string {
		return []string{"Cookie: NITRO_AUTH_TOKEN=" + sid, "Content-Type: application/json"}
	})
	// The same client without a session: HTTP Basic, as curl has it.
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("nsroot:nsroot"))
	if a := b.send("GET", "/nitro/v1/config/servicegroup", "", basic); a.line != ok200 {
		t.Errorf("%s %s", a.line, a.body)
	}
}
