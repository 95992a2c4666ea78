package simulator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// These tests read answers as clients do that nobody here wrote: by their
// decoding and their expectations, so that what they would trip over fails here.

// goSDK is the official Go client, which the Terraform provider and the XDS
// adaptor stand on. It compares status lines as text, takes a missing thing for a
// removed one, and looks for what it is to remove: with args, then as a filter.
type goSDK struct {
	t       *testing.T
	url     string
	session string
}

func (c *goSDK) do(method, target, body string) (string, error) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+"/nitro/v1/config/"+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Set-Cookie", "NITRO_AUTH_TOKEN="+c.session)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	good := map[string][]string{
		"GET": {"200 OK"}, "DELETE": {"200 OK", "404 Not Found"}, "POST": {"200 OK", "201 Created", "207 Multi Status"},
		"PUT": {"200 OK", "201 Created", "207 Multi Status"},
	}
	if !slices.Contains(good[method], resp.Status) {
		return string(text), fmt.Errorf("%s %s %s: %s (%s)", method, target, body, resp.Status, text)
	}
	return string(text), nil
}

func newGoSDK(t *testing.T, b *box) *goSDK {
	t.Helper()
	c := &goSDK{t: t, url: b.url}
	text, err := c.do("POST", "login", `{"login":{"username":"nsroot","password":"nsroot"}}`)
	var data map[string]any
	if err != nil || json.Unmarshal([]byte(text), &data) != nil {
		t.Fatalf("login: %v %s", err, text)
	}
	c.session = data["sessionid"].(string)
	return c
}

func (c *goSDK) add(typ, attrs string) error {
	target := typ
	if !strings.HasSuffix(typ, "_binding") {
		target += "?idempotent=yes"
	}
	_, err := c.do("POST", target, fmt.Sprintf(`{%q:{%s}}`, typ, attrs))
	return err
}

func (c *goSDK) act(typ, action, attrs string) error {
	_, err := c.do("POST", typ+"?action="+action, fmt.Sprintf(`{%q:{%s}}`, typ, attrs))
	return err
}

func (c *goSDK) exists(typ, name string) bool {
	_, err := c.do("GET", typ+"/"+name, "")
	return err == nil
}

// remove says nothing where it found nothing, and then sends no DELETE.
func (c *goSDK) remove(typ, name, args string) error {
	_, err := c.do("GET", typ+"/"+name+"?args="+args, "")
	if err != nil {
		_, err = c.do("GET", typ+"/"+name+"?filter="+args, "")
	}
	if err != nil {
		return nil
	}
	_, err = c.do("DELETE", typ+"/"+name+"?args="+args, "")
	return err
}

func (c *goSDK) bind(to, toName, what, whatName, attrs string) error {
	if !c.exists(to, toName) || !c.exists(what, whatName) {
		return errors.New("what is to be bound does not exist")
	}
	return c.add(to+"_"+what+"_binding", attrs)
}

// rows asserts as the client does: the type's key is an array of objects, or not
// there.
func (c *goSDK) rows(typ, target string) []map[string]any {
	c.t.Helper()
	text, err := c.do("GET", target, "")
	if err != nil {
		return nil
	}
	var data map[string]any
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		c.t.Fatalf("%s: %v", text, err)
	}
	list, _ := data[typ].([]any)
	var rows []map[string]any
	for _, v := range list {
		rows = append(rows, v.(map[string]any))
	}
	return rows
}

func (c *goSDK) row(typ, name string) map[string]any {
	c.t.Helper()
	rows := c.rows(typ, typ+"/"+name)
	if len(rows) != 1 {
		c.t.Fatalf("%s %s: %d rows", typ, name, len(rows))
	}
	return rows[0]
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// TestAsTheXDSAdaptorKeepsMembers: it binds what is wanted, lists what is bound,
// and unbinds the rest by servicegroup_binding, by address or by server.
func TestAsTheXDSAdaptorKeepsMembers(t *testing.T) {
	const member = "servicegroup_servicegroupmember_binding"
	b := start(t, simulator.Options{}, "add server web 10.0.0.9\nadd server v6 2001:db8::9\nadd serviceGroup sg HTTP\n"+
		"add serviceGroup other HTTP\nbind serviceGroup other 10.0.0.8 80")
	c := newGoSDK(t, b)
	for _, attrs := range []string{`"ip":"10.0.0.1","port":80`, `"ip":"10.0.0.2","port":80`, `"ip":"10.0.0.2","port":81`,
		`"ip":"ff::8839","port":80`, `"servername":"web","port":80`} {
		ok(t, c.add(member, `"servicegroupname":"sg",`+attrs))
	}
	wanted := []string{"10.0.0.1 80"}
	for _, row := range c.rows(member, member+"/sg") {
		server, port := row["servername"].(string), int(row["port"].(float64)) // it asserts these types
		if slices.Contains(wanted, fmt.Sprint(server, " ", port)) {
			continue
		}
		args := fmt.Sprintf("port:%d,servername:%s", port, server) // a map: in either order
		if server != "web" {
			args = fmt.Sprintf("ip:%s,port:%d", server, port)
		}
		ok(t, c.remove("servicegroup_binding", "sg", args))
	}
	if got := b.Members("sg"); len(got) != 1 || got[0].Server != "10.0.0.1" {
		t.Errorf("stale members stay: %+v", got)
	}

	// What is looked for is found, and nothing else.
	for args, want := range map[string]int{
		"ip:10.0.0.1,port:80": 1, "servername:10.0.0.1,port:80": 1, "port:80,ip:10.0.0.1": 1, "ip:10.0.0.1,port:81": 0, "ip:10.0.0.8,port:80": 0,
	} {
		for _, how := range []string{"args", "filter"} {
			if got := len(c.rows(member, member+"/sg?"+how+"="+args)); got != want {
				t.Errorf("%s=%s: %d rows, want %d", how, args, got, want)
			}
			nested := 0
			for _, row := range c.rows("servicegroup_binding", "servicegroup_binding/sg?"+how+"="+args) {
				nested += len(row[member].([]any))
			}
			if nested != want {
				t.Errorf("servicegroup_binding, %s=%s: %d rows, want %d", how, args, nested, want)
			}
		}
	}
	ok(t, c.add(member, `"servicegroupname":"sg","servername":"v6","port":80`))
	if got := len(c.rows(member, member+"/sg?args=ip:2001:db8:0::9,port:80")); got != 1 {
		t.Errorf("an address in another spelling: %d rows", got)
	}

	// A monitor is removed in the same way, whether it is bound or not.
	ok(t, c.add("lbmonitor", `"monitorname":"mon","type":"HTTP-INLINE","action":"DOWN","respcode":["200"],
		"httprequest":"HEAD /","retries":1,"interval":5,"units2":"SEC","downtime":30,"units3":"SEC"`))
	ok(t, c.add("servicegroup_lbmonitor_binding", `"servicegroupname":"sg","monitor_name":"mon"`))
	for range 2 {
		ok(t, c.remove("servicegroup_lbmonitor_binding", "sg", "servicegroupname:sg,monitor_name:mon"))
		ok(t, c.remove("lbmonitor", "mon", "monitorname:mon,type:HTTP-INLINE"))
	}
	if c.exists("lbmonitor", "mon") {
		t.Error("the monitor stays")
	}
}

// TestAsTerraformMakesAVserver: it always sends toggleorder, and compares with its
// plan what it reads back, numbers also where they are text.
func TestAsTerraformMakesAVserver(t *testing.T) {
	b := start(t, simulator.Options{}, "")
	c := newGoSDK(t, b)
	sent := map[string]any{
		"name": "tf", "servicetype": "HTTP", "ipv46": "10.10.10.33", "port": 80, "toggleorder": "ASCENDING", "orderthreshold": 5, "order": 3,
		"lbmethod": "ROUNDROBIN", "persistencetype": "SOURCEIP", "timeout": 10, "clttimeout": 90, "state": "ENABLED",
		"rule":     `HTTP.REQ.URL.PATH.EQ("/a b")`,
		"redirurl": "https://example.com/", "cacheable": "NO", "sothreshold": 7, "dbslb": "DISABLED", "httpsredirecturl": "x",
		"redirectfromport":    8080,
		"insertvserveripport": "VIPADDR", "vipheader": "X-VIP", "persistavpno": []int{1, 2}, "quicprofilename": "q", "probeport": 1,
	}
	body, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	ok(t, c.add("lbvserver", strings.Trim(string(body), "{}")))
	same := func() {
		t.Helper()
		row := c.row("lbvserver", "tf")
		for name, want := range sent {
			if name == "state" { // it derives this
				continue
			}
			got := fmt.Sprint(row[name])
			if list, ok := row[name].([]any); ok {
				got, want = fmt.Sprint(list), fmt.Sprint(want)
			}
			if got != fmt.Sprint(want) {
				t.Errorf("%s: sent %v, read back %v", name, want, got)
			}
		}
	}
	same()
	ok(t, c.add("lbvserver", strings.Trim(string(body), "{}"))) // applied again
	b.Boot()                                                    // of a configuration that was not saved
	if c = newGoSDK(t, b); c.exists("lbvserver", "tf") {
		t.Fatal("unsaved, and there after a boot")
	}
	ok(t, c.add("lbvserver", strings.Trim(string(body), "{}")))
	ok(t, c.act("nsconfig", "save", ""))
	b.Boot()
	c = newGoSDK(t, b)
	same()

	for _, step := range []struct{ action, attrs, curstate string }{
		{"disable", `"name":"tf"`, "OUT OF SERVICE"}, {"enable", `"name":"tf"`, "DOWN"},
	} {
		ok(t, c.act("lbvserver", step.action, step.attrs))
		if got := c.row("lbvserver", "tf")["curstate"]; got != step.curstate {
			t.Errorf("after %s: %v", step.action, got)
		}
	}
	ok(t, c.act("lbvserver", "unset", `"name":"tf","lbmethod":true,"comment":true,"toggleorder":true`))
	if row := c.row("lbvserver", "tf"); row["lbmethod"] != "LEASTCONNECTION" || row["toggleorder"] != "ASCENDING" {
		t.Errorf("unset: %v", row)
	}
	ok(t, c.act("lbvserver", "rename", `"name":"tf","newname":"tf_stale"`))
	if c.exists("lbvserver", "tf") || !c.exists("lbvserver", "tf_stale") {
		t.Error("not renamed")
	}
	if err := c.act("lbvserver", "disable", `"name":"tf"`); err == nil || !strings.Contains(err.Error(), `"errorcode": 258`) {
		t.Errorf("disable what is missing: %v", err)
	}
}

// TestAsTerraformMonitorsAGroup: it binds by the monitor, reads by the group, and
// deletes the group it has just made if the binding fails.
func TestAsTerraformMonitorsAGroup(t *testing.T) {
	b := start(t, simulator.Options{}, "")
	c := newGoSDK(t, b)
	ok(t, c.add("lbmonitor", `"monitorname":"m","type":"http","deviation":0,"units1":"SEC","interval":350,"units3":"MSEC",
		"resptimeout":250,"units4":"MSEC","respcode":["200-299","301"],"retries":3,"password":"s3cret"`))
	for _, monitor := range []string{"m", "tcp"} {
		group := "sg-" + monitor
		ok(t, c.add("servicegroup", fmt.Sprintf(`"servicegroupname":%q,"servicetype":"HTTP"`, group)))
		ok(t, c.bind("lbmonitor", monitor, "servicegroup", group, fmt.Sprintf(`"monitorname":%q,"servicegroupname":%q`, monitor, group)))
		rows := c.rows("servicegroup_lbmonitor_binding", "servicegroup_lbmonitor_binding/"+group)
		if len(rows) != 1 || rows[0]["monitor_name"] != monitor || rows[0]["weight"] != "1" || rows[0]["monstate"] != "ENABLED" {
			t.Fatalf("read back: %v", rows)
		}
		if err := c.add("lbmonitor_servicegroup_binding", fmt.Sprintf(`"monitorname":%q,"servicegroupname":%q`, monitor, group)); err == nil {
			t.Error("bound twice")
		}
		target := fmt.Sprintf("/lbmonitor_servicegroup_binding/%s?args=servicegroupname:%s", monitor, group) // "//" is in its paths
		if _, err := c.do("DELETE", target, ""); err != nil {
			t.Error(err)
		}
		if rows := c.rows("servicegroup_lbmonitor_binding", "servicegroup_lbmonitor_binding/"+group); len(rows) != 0 {
			t.Errorf("unbound: %v", rows)
		}
	}
	row := c.row("lbmonitor", "m")
	if row["interval"] != 350.0 || row["units3"] != "MSEC" || row["deviation"] != "0" || fmt.Sprint(row["respcode"]) != "[200-299 301]" ||
		row["password"] != nil {
		t.Errorf("read back: %v", row)
	}
	conf := dump(t, b.Simulator)
	if !strings.Contains(conf, "add lb monitor m http -interval 350 MSEC -resptimeout 250 MSEC -deviation 0 SEC") ||
		!strings.Contains(conf, "-respCode 200-299 301") {
		t.Errorf("ns.conf: %s", conf)
	}
	ok(t, c.bind("lbmonitor", "m", "servicegroup", "sg-m", `"monitorname":"m","servicegroupname":"sg-m","weight":5,"state":"DISABLED"`))
	if rows := c.rows("servicegroup_lbmonitor_binding", "servicegroup_lbmonitor_binding/sg-m"); len(rows) != 1 || rows[0]["weight"] != "5" ||
		rows[0]["monstate"] != "DISABLED" {
		t.Errorf("with a weight: %v", rows)
	}
	ok(t, c.remove("lbmonitor_servicegroup_binding", "m", "servicegroupname:sg-m"))
	if rows := c.rows("lbmonitor_servicegroup_binding", "lbmonitor_servicegroup_binding/m"); len(rows) != 0 {
		t.Errorf("removed: %v", rows)
	}
	if err := c.add("lbmonitor_servicegroup_binding", `"monitorname":"m","servicegroupname":"nope"`); err == nil ||
		!strings.Contains(err.Error(), `"errorcode": 258`) {
		t.Errorf("a missing group: %v", err)
	}
	_, err := c.do("PUT", "lbmonitor", `{"lbmonitor":{"monitorname":"m","type":"HTTP","retries":5}}`)
	ok(t, err)
	ok(t, c.act("lbmonitor", "unset", `"monitorname":"m","type":"HTTP","retries":true`))
	if row := c.row("lbmonitor", "m"); row["retries"] != 3.0 {
		t.Errorf("unset: %v", row["retries"])
	}
}

// TestAsTheGoSDKSwitchesFeatures: it sends arrays of words, and reads the list as
// it prints: words between brackets.
func TestAsTheGoSDKSwitchesFeatures(t *testing.T) {
	b := start(t, simulator.Options{}, "add serviceGroup sg HTTP\nadd lb vserver vs HTTP 10.0.0.1 80\nadd ns ip 10.0.0.5 255.255.255.0\n"+
		"add HA node 1 10.0.0.6\nadd service s 10.0.0.7 HTTP 80")
	c := newGoSDK(t, b)
	list := func(typ, key string) []string {
		text, err := c.do("GET", typ, "")
		ok(t, err)
		var data map[string]any
		if err := json.Unmarshal([]byte(text), &data); err != nil {
			t.Fatal(err)
		}
		printed := fmt.Sprint(data[typ].(map[string]any)[key])
		return strings.Split(strings.TrimSuffix(strings.TrimPrefix(printed, "["), "]"), " ")
	}
	want := func(typ, key string, on, off []string) {
		t.Helper()
		got := list(typ, key)
		for _, name := range append(on, off...) {
			if slices.Contains(got, name) != slices.Contains(on, name) {
				t.Errorf("%s: %v, want %v and not %v", typ, got, on, off)
			}
		}
	}
	ok(t, c.act("nsfeature", "enable", `"feature":["GSLB","rewrite"]`))
	ok(t, c.act("nsmode", "enable", `"mode":["ULFD","MBF"]`))
	want("nsfeature", "feature", []string{"LB", "CS", "SSL", "GSLB", "REWRITE"}, []string{"AAA"})
	want("nsmode", "mode", []string{"ULFD", "MBF", "L3"}, []string{"USIP"})
	ok(t, c.act("nsfeature", "disable", `"feature":["CS"]`))
	ok(t, c.act("nsconfig", "save", ""))
	b.Boot()
	c = newGoSDK(t, b)
	want("nsfeature", "feature", []string{"LB", "SSL", "GSLB", "REWRITE"}, []string{"CS"})
	if err := c.act("nsfeature", "enable", `"feature":["NOTHING"]`); err == nil || !strings.Contains(err.Error(), `"errorcode": 1097`) {
		t.Errorf("an unknown feature: %v", err)
	}
	if err := c.act("nsfeature", "enable", `"feature":[]`); err == nil || !strings.Contains(err.Error(), `"errorcode": 1095`) {
		t.Errorf("no feature: %v", err)
	}

	// Clearing: basic leaves features, modes and the network.
	if err := c.act("nsconfig", "clear", `"level":"some"`); err == nil || !strings.Contains(err.Error(), `"errorcode": 1097`) {
		t.Errorf("an unknown level: %v", err)
	}
	ok(t, c.act("nsconfig", "clear", `"level":"basic"`))
	if c.exists("servicegroup", "sg") || c.exists("lbvserver", "vs") || c.exists("service", "s") || !c.exists("nsip", "10.0.0.5") ||
		b.Saved() {
		t.Errorf("after clearing: %s", dump(t, b.Simulator))
	}
	want("nsfeature", "feature", []string{"GSLB"}, []string{"CS"})
	ok(t, c.act("nsconfig", "clear", `"level":"extended","force":true`))
	want("nsfeature", "feature", []string{"LB", "CS", "SSL"}, []string{"GSLB"})
	ok(t, c.act("nsconfig", "clear", `"level":"full","force":true`))
	if c.exists("nsip", "10.0.0.5") || !c.exists("nsip", "192.0.2.10") {
		t.Errorf("after clearing all: %s", dump(t, b.Simulator))
	}
}

// TestAnUnknownTypeIsNamedBeforeItsBodyIsRead, whatever form that has.
func TestAnUnknownTypeIsNamedBeforeItsBodyIsRead(t *testing.T) {
	b := start(t, simulator.Options{Lacks: []string{"nsmode"}}, "")
	for target, body := range map[string]string{
		"config/batchapi":           `{"batchapi":[{"action":"REMOVE","type":"csvserver","properties":{"name":"x"}}]}`,
		"config/nothing":            `{`,
		"config/nothing?colour=red": `{"nothing":{"a":null}}`,
		"config/nsmode?action=add":  `{"nsmode":{"mode":["a"]}}`,
	} {
		a := b.nitro("POST", target, body)
		if a.line != "400 Bad Request" || !strings.Contains(a.body, `"errorcode": 1232`) {
			t.Errorf("%s %s: %s %s", target, body, a.line, a.body)
		}
	}
	if a := b.send("POST", "/nitro/v1/config/batchapi", `{}`); !strings.Contains(a.body, `"errorcode": 352`) {
		t.Errorf("to nobody not even that is told: %s", a.body)
	}
	// Words are for attributes that are lists.
	words := `{"servicegroup":{"servicegroupname":["a"],"servicetype":"HTTP"}}`
	if a := b.nitro("POST", "config/servicegroup", words); !strings.Contains(a.body, `"errorcode": 1234`) {
		t.Errorf("a list for a name: %s", a.body)
	}
}

// TestAsThePythonSDKReadsABulk: it parses the text of the answer to a PUT as it
// comes, and that of the answer to a POST only if there is one.
func TestAsThePythonSDKReadsABulk(t *testing.T) {
	const typ = "servicegroup_servicegroupmember_binding"
	b := start(t, simulator.Options{}, "add serviceGroup sg HTTP\nadd lb vserver vs HTTP 10.0.0.1 80")
	send := func(method, typ string, items ...string) (int, string) {
		t.Helper()
		a := b.nitro(method, "config/"+typ, fmt.Sprintf(`{%q:[%s]}`, typ, strings.Join(items, ",")),
			"Content-Type: application/vnd.com.citrix.netscaler."+typ+"_list+json")
		if method == "POST" && a.body == "" {
			return 0, "Done"
		}
		var result struct {
			ErrorCode int
			Message   string
			Response  []struct{ ErrorCode int }
		}
		if err := json.Unmarshal([]byte(a.body), &result); err != nil {
			t.Fatalf("%s %s: %s, and then %v", method, typ, a.line, err)
		}
		return result.ErrorCode, result.Message
	}
	item := func(ip string) string { return fmt.Sprintf(`{"servicegroupname":"sg","ip":%q,"port":80}`, ip) }
	for _, c := range []struct {
		method, typ string
		items       []string
		code        int
	}{
		{"PUT", typ, []string{item("10.0.0.1"), item("10.0.0.2")}, 0},
		{"PUT", typ, []string{item("10.0.0.3")}, 0},
		{"POST", typ, []string{item("10.0.0.4")}, 0},
		{"PUT", typ, []string{item("10.0.0.4")}, 1243},
		{"PUT", "lbvserver_servicegroup_binding", []string{`{"name":"vs","servicegroupname":"sg"}`}, 0},
		{"PUT", "servicegroup_lbmonitor_binding", []string{`{"servicegroupname":"sg","monitor_name":"tcp"}`}, 0},
		{"PUT", "servicegroup", []string{`{"servicegroupname":"sg","comment":"a"}`}, 0},
	} {
		if code, message := send(c.method, c.typ, c.items...); code != c.code || code == 0 && message != "Done" {
			t.Errorf("%s %s %v: %d %s", c.method, c.typ, c.items, code, message)
		}
	}
	if n := len(b.Members("sg")); n != 4 {
		t.Errorf("%d members", n)
	}
}

// TestAsAnsibleBindsToAVserver: with servicename and a weight, and by servicename
// it unbinds. It has found a binding if all that it was given is in a row.
func TestAsAnsibleBindsToAVserver(t *testing.T) {
	const typ = "lbvserver_servicegroup_binding"
	b := start(t, simulator.Options{}, "add serviceGroup sg HTTP\nadd serviceGroup sg2 HTTP\nadd lb vserver vs HTTP 10.0.0.1 80")
	c := newGoSDK(t, b)
	for _, given := range []map[string]any{
		{"name": "vs", "servicename": "sg", "weight": "1"},
		{"name": "vs", "servicename": "sg", "weight": "20", "order": 4},
		{"name": "vs", "servicename": "sg", "order": 4},
		{"name": "vs", "servicegroupname": "sg"},
	} {
		body, err := json.Marshal(map[string]any{typ: given})
		if err != nil {
			t.Fatal(err)
		}
		if a := b.nitro("PUT", "config/"+typ, string(body)); a.line != created {
			t.Errorf("%s: %s %s", body, a.line, a.body)
		}
		found := func() bool {
			return slices.ContainsFunc(c.rows(typ, typ+"/vs"), func(row map[string]any) bool {
				for name, want := range given {
					if fmt.Sprint(row[name]) != fmt.Sprint(want) {
						return false
					}
				}
				return true
			})
		}
		if !found() {
			t.Errorf("%s: not in %v", body, c.rows(typ, typ+"/vs"))
		}
		again := simulator.New(simulator.Options{})
		if err := again.Load(strings.NewReader(dump(t, b.Simulator))); err != nil || dump(t, again) != dump(t, b.Simulator) {
			t.Errorf("%s: its ns.conf does not load: %v", body, err)
		}
		key := "servicename"
		if given[key] == nil {
			key = "servicegroupname"
		}
		if a := b.nitro("DELETE", "config/"+typ+"/vs?args="+key+":sg", ""); a.line != ok200 || found() {
			t.Errorf("unbind by %s: %s %s", key, a.line, a.body)
		}
	}
	for body, want := range map[string]string{
		`{"name":"vs","servicename":"nope"}`:                       `"errorcode": 258`,
		`{"name":"vs","servicename":"sg","servicegroupname":"sg"}`: `"errorcode": 1092`,
		`{"name":"vs","servicegroupname":"sg","weight":1}`:         `"errorcode": 1093`,
		`{"name":"vs"}`: `"errorcode": 1095`,
		`{"name":"vs","servicename":"sg","order":9000}`: `"errorcode": 1108`,
		`{"name":"nope","servicename":"sg"}`:            `"errorcode": 258`,
	} {
		if a := b.nitro("PUT", "config/"+typ, `{"`+typ+`":`+body+`}`); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s", body, a.body)
		}
	}
}

// TestAsAnsibleReadsNodes, by the types of recorded answers.
func TestAsAnsibleReadsNodes(t *testing.T) {
	type node struct {
		ID, IPAddress, Flags, HAStatus, State, HASync, HAProp, INC string
		Name                                                       *string
		HelloInterval, DeadInterval, MasterStateTime               *int
		MaxFlips, MaxFlipTime, CurFlips, CompletedFlipTime         string
	}
	read := func(b *box) []node {
		t.Helper()
		var data struct{ HANode []node }
		a := b.nitro("GET", "config/hanode", "")
		if err := json.Unmarshal([]byte(a.body), &data); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		for _, n := range data.HANode {
			if n.Flags == "" || n.HelloInterval == nil || *n.HelloInterval != 200 || n.DeadInterval == nil || *n.DeadInterval != 3 ||
				n.MasterStateTime == nil || n.MaxFlips != "0" || n.MaxFlipTime != "0" || n.CurFlips != "0" || n.CompletedFlipTime != "0" ||
				n.INC != "DISABLED" {
				t.Errorf("%+v", n)
			}
		}
		return data.HANode
	}
	if nodes := read(start(t, simulator.Options{}, "")); len(nodes) != 1 || nodes[0].ID != "0" || nodes[0].Name == nil ||
		nodes[0].HAStatus != "UP" {
		t.Errorf("alone: %+v", nodes)
	}
	nodes := read(start(t, simulator.Options{HA: true, HAStatus: "STAYPRIMARY"}, ""))
	if len(nodes) != 2 || nodes[0].HAStatus != "STAYPRIMARY" || nodes[0].HASync != "ENABLED" || nodes[1].ID != "1" || nodes[1].Name != nil ||
		nodes[1].HASync != "SUCCESS" {
		t.Errorf("a pair: %+v", nodes)
	}
}

// TestAsAnsibleSwitchesAGroup: one whose members a domain name rules is refused,
// in recorded words.
func TestAsAnsibleSwitchesAGroup(t *testing.T) {
	b := start(t, simulator.Options{}, "add server app app.example.net\nadd serviceGroup dns HTTP -autoScale DNS\n"+
		"add serviceGroup empty HTTP -autoScale DNS\nadd serviceGroup api HTTP -autoScale API\nbind serviceGroup dns app 80")
	const refused = `{ "errorcode": 257, "message": "Operation not permitted [Enabling / Disabling is not permitted ` +
		`as it has auto scale members. Try unbinding auto scale members.]", "severity": "ERROR" }`
	for _, action := range []string{"enable", "disable"} {
		a := b.nitro("POST", "config/servicegroup?action="+action, `{"servicegroup":{"servicegroupname":"dns"}}`)
		if a.line != specific || a.body != refused {
			t.Errorf("%s: %s %s", action, a.line, a.body)
		}
		for _, group := range []string{"empty", "api"} {
			if a := b.nitro("POST", "config/servicegroup?action="+action, `{"servicegroup":{"servicegroupname":"`+group+`"}}`); a.line != ok200 {
				t.Errorf("%s %s: %s %s", action, group, a.line, a.body)
			}
		}
	}
}

// exporter is a metrics client: HTTP as requests has it, with the cookies of the
// log-in, and its own decoding.
type exporter struct {
	t      *testing.T
	url    string
	client *http.Client
}

// newExporter logs in as the vendor's does, and keeps whatever cookies it is
// given.
func newExporter(t *testing.T, b *box, media string) *exporter {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &exporter{t, b.url, &http.Client{Jar: jar}}
	resp, err := e.client.Post(b.url+"/nitro/v1/config/login", media, strings.NewReader(`{"login":{"username":"nsroot","password":"nsroot"}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var data struct{ ErrorCode *int }
	if text, _ := io.ReadAll(resp.Body); media == "application/json" && (json.Unmarshal(text, &data) != nil || data.ErrorCode == nil ||
		*data.ErrorCode != 0) {
		t.Fatalf("login: %s", text)
	}
	u, err := url.Parse(b.url + "/nitro/v1/config")
	if err != nil {
		t.Fatal(err)
	}
	if cookies := jar.Cookies(u); len(cookies) != 1 { // SESSID was taken back
		t.Errorf("cookies: %v", cookies)
	}
	return e
}

func (e *exporter) read(target string, into any) {
	e.t.Helper()
	resp, err := e.client.Get(e.url + "/nitro/v1/" + target)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(into); err != nil || resp.StatusCode != 200 {
		e.t.Fatalf("%s: %s %v %s", target, resp.Status, err, text)
	}
}

const inventoryConf = `
set ns config -IPAddress 10.9.9.9 -netmask 255.255.0.0
set ns hostName ns01
enable ns feature LB SSL REWRITE
enable ns mode FR L3 USNIP
add ns ip 10.0.1.5 255.255.255.0 -vServer DISABLED -mgmtAccess ENABLED
add ns ip 10.0.2.80 255.255.255.255 -type VIP -snmp DISABLED
add server web 10.0.0.1
add server db 10.0.0.2 -state DISABLED
add service "svc one" web HTTP 80 -gslb NONE -maxClient 0 -comment "a b"
add service svc-down db HTTP 80
add service svc-off 10.0.0.3 TCP * -state DISABLED
add serviceGroup sg HTTP
add serviceGroup empty HTTP
add lb vserver vs HTTP 10.0.2.80 80
add lb vserver idle HTTP 0.0.0.0 0
add cs vserver front SSL 10.0.2.90 443 -cltTimeout 180
add cs vserver off HTTP 10.0.2.91 80 -state DISABLED
add ssl certKey site -cert site.pem -key site.key
bind lb vserver vs sg
bind lb vserver vs "svc one" -weight 7
bind lb vserver vs svc-down
bind lb vserver vs -policyName p -priority 100
bind serviceGroup sg web 80
bind serviceGroup sg 10.0.0.9 81
bind serviceGroup sg db 80
`

// TestAsMetricsExportersRead: the member's name is the second part of its
// servicegroupname between "?"; each metric's key must be there; numbers are text
// where Go's types say text.
func TestAsMetricsExportersRead(t *testing.T) {
	type traffic struct {
		TotalRequests, TotalResponses, TotalRequestBytes, TotalResponseBytes, CurClntConnections, CurSrvrConnections string
	}
	type memberStats struct {
		traffic
		PrimaryPort                                                                 int
		State, AvgSvrTTFB, SurgeCount, SvrEstablishedConn, CurReusePool, MaxClients string
		PrimaryIPAddress, ServiceGroupName, ServiceType                             string
	}
	type vserverStats struct {
		traffic
		Name, State, Type, VsvrSurgeCount, VSLBHealth, InActSvcs, ActSvcs, TotHits string
		HitsRate                                                                   float64
	}
	type serviceStats struct {
		traffic
		Name, State, Throughput, AvgSvrTTFB, SurgeCount, SvrEstablishedConn, CurReusePool, MaxClients, CurLoad, VsvrServiceHits,
		ActiveTransactions string
		ThroughputRate float64
	}
	b := start(t, simulator.Options{}, inventoryConf)
	for _, media := range []string{"application/json", "application/vnd.com.citrix.netscaler.login+json"} {
		e := newExporter(t, b, media)
		var groups struct {
			ServiceGroup []struct{ ServiceGroupName string }
		}
		e.read("config/servicegroup?attrs=servicegroupname", &groups)
		var members []string
		for _, g := range groups.ServiceGroup {
			var stats struct {
				ServiceGroup []struct{ ServiceGroupMember []memberStats }
			}
			e.read("stat/servicegroup/"+g.ServiceGroupName+"?statbindings=yes", &stats)
			for _, m := range stats.ServiceGroup[0].ServiceGroupMember {
				parts := strings.Split(m.ServiceGroupName, "?")
				members = append(members, parts[0]+"|"+parts[1]+"|"+parts[2]+"|"+strconv.Itoa(m.PrimaryPort)+"|"+m.State)
				number(t, m.AvgSvrTTFB, m.TotalRequests, m.CurClntConnections, m.MaxClients)
			}
		}
		if want := []string{"sg|web|80|80|UP", "sg|10.0.0.9|81|81|UP", "sg|db|80|80|OUT OF SERVICE"}; !slices.Equal(members, want) {
			t.Errorf("members %v, want %v", members, want)
		}
		var ns struct {
			NS struct {
				CPUUsagePcnt, MemUsagePcnt, MgmtCPUUsagePcnt, PktCPUUsagePcnt, Disk0PerUsage, Disk1PerUsage, RxMbitsRate                   *float64
				TotRxMbits, TotTxMbits, HTTPTotRequests, HTTPTotResponses, TCPCurClientConn, TCPCurServerConn, TCPCurClientConnEstablished string
			}
		}
		e.read("stat/ns", &ns)
		if ns.NS.CPUUsagePcnt == nil || ns.NS.RxMbitsRate == nil || ns.NS.Disk1PerUsage == nil {
			t.Errorf("stat/ns: %+v", ns)
		}
		number(t, ns.NS.TotRxMbits, ns.NS.HTTPTotRequests, ns.NS.TCPCurClientConnEstablished)
		var vs struct{ LBVserver []vserverStats }
		e.read("stat/lbvserver", &vs)
		if v := vs.LBVserver[0]; len(vs.LBVserver) != 2 || v.Name != "vs" || v.State != "UP" || v.ActSvcs != "3" || v.InActSvcs != "2" ||
			v.VSLBHealth != "60" || v.Type != "HTTP" {
			t.Errorf("stat/lbvserver: %+v", vs.LBVserver)
		}
		if v := vs.LBVserver[1]; v.Name != "idle" || v.State != "DOWN" || v.ActSvcs != "0" {
			t.Errorf("stat/lbvserver: %+v", v)
		}
		number(t, vs.LBVserver[0].TotHits, vs.LBVserver[0].VsvrSurgeCount, vs.LBVserver[0].TotalRequests)
		var svc struct{ Service []serviceStats }
		e.read("stat/service", &svc)
		var states []string
		for _, s := range svc.Service {
			states = append(states, s.Name+" "+s.State)
			number(t, s.Throughput, s.TotalRequests, s.CurLoad, s.ActiveTransactions)
		}
		if want := []string{"svc one UP", "svc-down OUT OF SERVICE", "svc-off OUT OF SERVICE"}; !slices.Equal(states, want) {
			t.Errorf("stat/service: %v", states)
		}
		var certs struct {
			SSLCertKey []struct {
				CertKey          string
				DaysToExpiration int
			}
		}
		e.read("config/sslcertkey", &certs)
		if c := certs.SSLCertKey; len(c) != 2 || c[1].CertKey != "site" || c[1].DaysToExpiration < 1 {
			t.Errorf("sslcertkey: %+v", c)
		}
		var license struct{ NSLicense struct{ ModelID string } }
		e.read("config/nslicense", &license)
		number(t, license.NSLicense.ModelID)
		var bindings struct {
			Services []struct{ Name, ServiceName, Weight string } `json:"lbvserver_service_binding"`
			Groups   []struct{ Name, ServiceGroupName string }    `json:"lbvserver_servicegroup_binding"`
		}
		e.read("config/lbvserver_service_binding?bulkbindings=yes", &bindings)
		e.read("config/lbvserver_servicegroup_binding?bulkbindings=yes", &bindings)
		if got := fmt.Sprint(bindings); got != "{[{vs svc one 7} {vs svc-down 1}] [{vs sg}]}" {
			t.Errorf("bindings: %s", got)
		}

		// The vendor's leaves a whole entity out if a key of its list is missing.
		for target, keys := range vendorMetrics {
			entity := strings.SplitN(target, "/", 3)[1]
			var data map[string]any
			e.read(target, &data)
			items, isList := data[entity].([]any)
			if !isList {
				items = []any{data[entity]}
			}
			if entity == "servicegroup" {
				items = items[0].(map[string]any)["servicegroupmember"].([]any)
			}
			for _, item := range items {
				for key := range strings.FieldsSeq(keys) {
					v, ok := item.(map[string]any)[key]
					if _, err := strconv.ParseFloat(fmt.Sprint(v), 64); !ok || err != nil {
						t.Errorf("%s: %s is %v", target, key, v)
					}
				}
			}
		}
	}
}

func number(t *testing.T, texts ...string) {
	t.Helper()
	for i, text := range texts {
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			t.Errorf("value %d: %v", i, err)
		}
	}
}

// vendorMetrics are the keys that the vendor's exporter turns into numbers, by
// what it asks for.
var vendorMetrics = map[string]string{
	"stat/servicegroup/sg?statbindings=yes": `totalresponses totsvrttlbtransactions totalrequests totalresponsebytes totalrequestbytes
		avgsvrttfb
		requestsrate cursrvrconnections responsesrate toleratingttlbtransactions responsebytesrate requestbytesrate`,
	"stat/service": `throughput totalrequests totalresponses totalrequestbytes totalresponsebytes surgecount svrestablishedconn maxclients
		vsvrservicehits throughputrate avgsvrttfb responsesrate requestbytesrate responsebytesrate curclntconnections cursrvrconnections
		curreusepool curload curtflags vsvrservicehitsrate activetransactions`,
	"stat/lbvserver": `totalpktssent tothits totalrequestbytes totalpktsrecvd totalresponses surgecount toleratingttlbtransactionsrate
		totcltttlbtransactions deferredreq totspillovers invalidrequestresponse totalrequests invalidrequestresponsedropped
		frustratingttlbtransactions toleratingttlbtransactions totvserverdownbackuphits totalresponsebytes totalsvrbusyerr requestbytesrate
		requestsrate pktsrecvdrate frustratingttlbtransactionsrate cltresponsetimeapdex sothreshold cursrvrconnections svcsurgecount
		labelledconn curmptcpsessions deferredreqrate avgcltttlb cltttlbtransactionsrate responsesrate actsvcs pktssentrate cursubflowconn
		curclntconnections pushlabel hitsrate establishedconn responsebytesrate inactsvcs svrbusyerrrate`,
	"stat/csvserver": `totalpktssent tothits totalrequestbytes totalpktsrecvd totalresponses totspillovers totalrequests hitsrate
		curclntconnections establishedconn responsebytesrate`,
	"stat/ns": "rxmbitsrate",
}

// TestAsInventoriesRead: what the appliance is and has, from the configuration
// that was loaded, and read only.
func TestAsInventoriesRead(t *testing.T) {
	b := start(t, simulator.Options{}, inventoryConf)
	e := newExporter(t, b, "application/json")
	var got struct {
		NSVersion  struct{ Version string }
		NSHardware struct{ HWDescription, Host, SerialNo, EncodedSerialNo string }
		NSConfig   struct{ IPAddress, Netmask string }
		NSFeature  struct{ Feature []string }
		NSMode     struct{ Mode []string }
		NSIP       []struct {
			IPAddress, Netmask, Type, State, MgmtAccess string
			IPType                                      []string
		}
		Service []struct {
			Name, ServerName, IPAddress, ServiceType, SvrState, State, Comment string
			Port                                                               int
		}
		CSVserver []struct {
			Name, IPv46, ServiceType, CurState string
			Port                               int
		}
	}
	for _, typ := range []string{"nsversion", "nshardware", "nsconfig", "nsfeature", "nsmode", "nsip", "service", "csvserver"} {
		e.read("config/"+typ, &got)
	}
	if !strings.HasPrefix(got.NSVersion.Version, "NetScaler NS") || got.NSHardware.HWDescription == "" || got.NSHardware.Host != "ns01" ||
		got.NSHardware.SerialNo == "" {
		t.Errorf("%+v %+v", got.NSVersion, got.NSHardware)
	}
	if !slices.Equal(got.NSFeature.Feature, []string{"LB", "SSL", "REWRITE"}) ||
		!slices.Equal(got.NSMode.Mode, []string{"FR", "L3", "USNIP"}) {
		t.Errorf("%v %v", got.NSFeature, got.NSMode)
	}
	var ips []string
	for _, ip := range got.NSIP {
		ips = append(ips, fmt.Sprint(ip.IPAddress, " ", ip.Netmask, " ", ip.Type, ip.IPType, " ", ip.MgmtAccess))
	}
	if want := []string{
		"192.0.2.10 255.255.0.0 NSIP[NSIP] ENABLED", "10.0.1.5 255.255.255.0 SNIP[SNIP] ENABLED", "10.0.2.80 255.255.255.255 VIP[VIP] DISABLED",
		"10.0.2.90 255.255.255.255 VIP[VIP] DISABLED", "10.0.2.91 255.255.255.255 VIP[VIP] DISABLED",
	}; !slices.Equal(ips, want) || got.NSConfig.Netmask != "255.255.0.0" || got.NSConfig.IPAddress != "192.0.2.10" {
		t.Errorf("addresses %q, want %q; %+v", ips, want, got.NSConfig)
	}
	if s := fmt.Sprint(got.Service); s != "[{svc one web 10.0.0.1 HTTP UP ENABLED a b 80} "+
		"{svc-down db 10.0.0.2 HTTP OUT OF SERVICE ENABLED  80} {svc-off 10.0.0.3 10.0.0.3 TCP OUT OF SERVICE DISABLED  65535}]" {
		t.Errorf("services %s", s)
	}
	if s := fmt.Sprint(got.CSVserver); s != "[{front 10.0.2.90 SSL UP 443} {off 10.0.2.91 HTTP OUT OF SERVICE 80}]" {
		t.Errorf("content switching %s", s)
	}
	var snips struct{ NSIP []struct{ IPAddress string } }
	if e.read("config/nsip?filter=iptype:SNIP", &snips); len(snips.NSIP) != 1 || snips.NSIP[0].IPAddress != "10.0.1.5" {
		t.Errorf("SNIPs: %+v", snips)
	}
	var bindings struct {
		LBVserverBinding []struct {
			Name     string
			Services []struct{ ServiceName, Weight string }               `json:"lbvserver_service_binding"`
			Groups   []struct{ ServiceGroupName string }                  `json:"lbvserver_servicegroup_binding"`
			Members  []struct{ ServiceGroupName, IPv46, CurState string } `json:"lbvserver_servicegroupmember_binding"`
		} `json:"lbvserver_binding"`
	}
	e.read("config/lbvserver_binding?bulkbindings=yes", &bindings)
	if s := fmt.Sprint(bindings.LBVserverBinding); s != "[{vs [{svc one 7} {svc-down 1}] [{sg}] "+
		"[{sg 10.0.0.1 UP} {sg 10.0.0.9 UP} {sg 10.0.0.2 OUT OF SERVICE}]} {idle [] [] []}]" {
		t.Errorf("bindings %s", s)
	}
	for _, c := range []struct{ method, target, body, code string }{
		{"POST", "config/service", `{"service":{"name":"x"}}`, "1237"}, {"PUT", "config/csvserver", `{"csvserver":{"name":"front"}}`, "1237"},
		{"DELETE", "config/nsip/10.0.1.5", "", "1237"},
		{"PUT", "config/lbvserver_service_binding", `{"lbvserver_service_binding":{"name":"vs"}}`, "1237"},
		{"GET", "config/service/nope", "", "258"}, {"GET", "config/csvserver/nope", "", "258"}, {"GET", "config/nsip/10.0.0.99", "", "258"},
		{"GET", "config/lbvserver_service_binding/nope", "", "258"}, {"GET", "stat/service/nope", "", "258"},
		{"GET", "stat/lbvserver/nope", "", "258"},
		{"GET", "config/service/svc%2520one", "", "0"}, {"GET", "stat/lbvserver?args=name:vs", "", "0"},
		{"GET", "config/service?count=yes", "", "0"},
	} {
		if a := b.nitro(c.method, c.target, c.body); !strings.Contains(a.body, `"errorcode": `+c.code+`,`) {
			t.Errorf("%s %s: %s %s", c.method, c.target, a.line, a.body)
		}
	}

	// Another administrator changes it, and it comes back from an ns.conf.
	if err := b.Load(strings.NewReader("disable service \"svc one\"\nrm cs vserver off\nunbind lb vserver vs svc-down\n" +
		"rm ns ip 10.0.1.5")); err != nil {
		t.Fatal(err)
	}
	again := start(t, simulator.Options{}, dump(t, b.Simulator))
	for _, target := range []string{"config/service?attrs=name,state", "config/csvserver?attrs=name,curstate",
		"config/lbvserver_service_binding/vs?attrs=servicename,weight", "config/nsip?attrs=ipaddress"} {
		first, second := b.nitro("GET", target, ""), again.nitro("GET", target, "")
		if first.body != second.body || strings.Contains(first.body, "svc-down\", \"weight") {
			t.Errorf("%s: %s\nloaded again: %s", target, first.body, second.body)
		}
	}
	if a := b.nitro("GET", "config/csvserver/off", ""); a.line != notFound {
		t.Errorf("removed: %s", a.body)
	}
}

// TestAllPortsAreFoundAsTheyAreTyped: 65535 in rows is "*" to whoever types it.
func TestAllPortsAreFoundAsTheyAreTyped(t *testing.T) {
	b := start(t, simulator.Options{}, "add serviceGroup sg ANY\nbind serviceGroup sg 10.0.0.1 *\nbind serviceGroup sg 10.0.0.1 80")
	const rows = "config/servicegroup_servicegroupmember_binding/sg?attrs=port&"
	for _, query := range []string{"args=ip:10.0.0.1,port:*", "filter=port:*", "args=servername:10.0.0.1,port:65535"} {
		if a := b.nitro("GET", rows+query, ""); !strings.HasSuffix(a.body, `[ { "port": 65535 } ] }`) {
			t.Errorf("%s: %s %s", query, a.line, a.body)
		}
	}
	a := b.nitro("DELETE", "config/servicegroup_binding/sg?args=ip:10.0.0.1,port:*", "")
	if got := b.Members("sg"); a.body != done || len(got) != 1 || got[0].Addr.Port() != 80 {
		t.Errorf("%s %s: %+v", a.line, a.body, got)
	}
}
