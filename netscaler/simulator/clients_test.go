package simulator_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// TestAsOfficialClientsSpeak goes through the life of a service group with the
// requests of the official Go client, which the Terraform provider is built
// on: credentials or session in a request header Set-Cookie, names encoded
// twice, "//" in one path, and the status line compared as text.
func TestAsOfficialClientsSpeak(t *testing.T) {
	b := start(t, simulator.Options{}, "")
	sid := b.login("nsroot", "nsroot")
	good := map[string][]string{
		"POST": {"200 OK", "201 Created"}, "PUT": {"200 OK", "201 Created"}, "DELETE": {"200 OK", "404 Not Found"}, "GET": {"200 OK"},
	}
	bad := []string{"400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "409 Conflict", "503 Service Unavailable", "599 Netscaler specific error"}
	for _, c := range []struct {
		method, target, body string
		ok                   bool
		want                 string
	}{
		{"POST", "config/servicegroup?idempotent=yes", `{"servicegroup":{"servicegroupname":"test_sg","servicetype":"http"}}`, true, ""},
		{"POST", "config/servicegroup?idempotent=yes", `{"servicegroup":{"servicegroupname":"test_sg","servicetype":"HTTP"}}`, true, "Done"},
		{"POST", "config/server?idempotent=yes", `{"server":{"ipaddress":"192.168.1.101","name":"test-srvr"}}`, true, ""},
		{"POST", "config/servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"test_sg","servername":"test-srvr","port":22}}`, true, ""},
		{"POST", "config/servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"test_sg","ip":"ff::8839","port":80}}`, true, ""},
		{"POST", "config/servicegroup_servicegroupmember_binding", `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"test_sg","ip":"ff::8839","port":80}}`, false, `"errorcode": 273`},
		{"GET", "config/servicegroup_servicegroupmember_binding/test_sg", "", true, `"servername": "ff::8839"`},
		{"GET", "config/servicegroup?filter=servicegroupname:test_sg", "", true, `"servicegroupname": "test_sg"`},
		{"POST", "config/servicegroup?action=disable", `{"servicegroup":{"servicegroupname":"test_sg","servername":"test-srvr","port":22,"delay":100,"graceful":"YES"}}`, true, ""},
		{"POST", "config/servicegroup?action=enable", `{"servicegroup":{"servicegroupname":"test_sg","servername":"test-srvr","port":22}}`, true, ""},
		{"POST", "config/servicegroup/test_sg?action=update", `{"servicegroup":{"servicegroupname":"test_sg","comment":"x"}}`, true, ""},
		{"POST", "config/lbvserver?idempotent=yes", `{"lbvserver":{"name":"test_lb","ipv46":"10.1.2.3","lbmethod":"ROUNDROBIN","port":8000,"servicetype":"HTTP"}}`, true, ""},
		{"PUT", "config/lbvserver/test_lb", `{"lbvserver":{"name":"test_lb","lbmethod":"LEASTCONNECTION"}}`, true, ""},
		{"GET", "config/lbvserver/test_lb", "", true, `"lbmethod": "LEASTCONNECTION"`},
		{"POST", "config/lbvserver_servicegroup_binding", `{"lbvserver_servicegroup_binding":{"name":"test_lb","servicegroupname":"test_sg"}}`, true, ""},
		{"GET", "config/servicegroupbindings/test_sg", "", true, `"vservername": "test_lb"`},
		{"DELETE", "config//lbvserver_servicegroup_binding/test_lb?args=servicegroupname:test_sg", "", true, ""},
		{"POST", "config/lbmonitor?idempotent=yes", `{"lbmonitor":{"monitorname":"m","type":"http","retries":20,"failureretries":10,"downtime":60}}`, true, ""},
		{"DELETE", "config/lbmonitor/m?args=type:http", "", true, ""},
		{"DELETE", "config/servicegroup_servicegroupmember_binding/test_sg?args=servername:ff::8839,port:80", "", true, ""},
		{"PUT", "config/servicegroup", `{"servicegroup":{"servicegroupname":"test_sg","td":3}}`, false, `"errorcode": 278`},
		{"POST", "config/nsconfig?action=save", `{"nsconfig":{}}`, true, ""},
		{"DELETE", "config/servicegroup/test_sg", "", true, ""},
		{"GET", "config/servicegroup/test_sg", "", false, `"errorcode": 258`},
		{"DELETE", "config/servicegroup/test_sg", "", true, `"errorcode": 258`},
	} {
		req, err := http.NewRequest(c.method, b.url+"/nitro/v1/"+c.target, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Set-Cookie", "NITRO_AUTH_TOKEN="+sid)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		want := good[c.method]
		if !c.ok {
			want = bad
		}
		if !slices.Contains(want, resp.Status) || !strings.Contains(string(body), c.want) {
			t.Errorf("%s %s %s: %s %s", c.method, c.target, c.body, resp.Status, body)
		}
	}
}
