package simulator_test

import (
	"encoding/json"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// TestBodiesOfOfficialClients: each key that the Ansible collection, the Terraform
// provider and their SDKs put into a body is taken, and read back where it means
// something. Of the collection all numbers may have a fraction, which is zero.
func TestBodiesOfOfficialClients(t *testing.T) {
	const (
		group   = "config/servicegroup"
		server  = "config/server"
		member  = "config/servicegroup_servicegroupmember_binding"
		monitor = "config/servicegroup_lbmonitor_binding"
	)
	b := start(t, simulator.Options{}, "add server web 10.0.0.1\nadd serviceGroup old HTTP\nbind serviceGroup old web 80\n")
	for _, s := range []struct {
		name, method, target, body string
		status                     string
		in                         string // what the answer has
	}{
		{"Ansible makes a group", "POST", group,
			`{"servicegroup":{"servicegroupname":"sg","servicetype":"HTTP","clttimeout":180.0,"svrtimeout":360.0,"maxclient":0.0,"td":0.0,"bootstrap":"NO","quicprofilename":"q","autoscale":"DISABLED"}}`,
			"201", ""},
		{"and sets what it has", "PUT", group, `{"servicegroup":{"servicegroupname":"sg","clttimeout":200.0,"autoscale":"DISABLED"}}`, "200", ""},
		{"which is read", "GET", group + "/sg?args=includemembers:True", "", "200", `"clttimeout": 200`},
		{"half a second is no time", "PUT", group, `{"servicegroup":{"servicegroupname":"sg","clttimeout":200.5}}`, "599", "1097"},
		{"another mode of a group with members", "PUT", group, `{"servicegroup":{"servicegroupname":"old","autoscale":"API"}}`, "599", "257"},
		{"a new type", "POST", group, `{"servicegroup":{"servicegroupname":"k","servicetype":"KAFKA_BROKER","topicname":"t"}}`, "201", ""},
		{"Ansible binds a member", "PUT", member,
			`{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","servername":"web","port":80,"weight":5.0,"hashid":7.0,"order":1.0,"serverid":3.0,"customserverid":"None","state":"ENABLED"}}`,
			"201", ""},
		{"which is found", "GET", member + "/sg?filter=servername:web,port:80", "", "200", `"weight": "5"`},
		{"unset of a member", "POST", group + "?action=unset", `{"servicegroup":{"servicegroupname":"sg","servername":"web","port":80,"weight":true,"hashid":true,"order":true}}`,
			"200", ""},
		{"gives the defaults", "GET", member + "/sg", "", "200", `"weight": "1"`},
		{"unset of no member", "POST", group + "?action=unset", `{"servicegroup":{"servicegroupname":"sg","weight":true}}`, "400", "1093"},
		{"a monitor with all keys", "PUT", monitor,
			`{"servicegroup_lbmonitor_binding":{"servicegroupname":"sg","monitor_name":"http","weight":5.0,"monstate":"ENABLED","passive":false,"customserverid":"None","dbsttl":0,"hashid":1,"serverid":0,"nameserver":"10.0.0.53","order":1,"port":80,"state":"ENABLED"}}`,
			"201", ""},
		{"another weight for it", "PUT", group, `{"servicegroup":{"servicegroupname":"sg","monitor_name_svc":"http","dup_weight":9}}`, "200", ""},
		{"which is read, too", "GET", monitor + "/sg?filter=monitor_name:http", "", "200", `"weight": "9"`},
		{"of one that is not bound", "PUT", group, `{"servicegroup":{"servicegroupname":"sg","monitor_name_svc":"tcp","dup_weight":9}}`, "404", "258"},
		{"of none", "PUT", group, `{"servicegroup":{"servicegroupname":"sg","dup_weight":9}}`, "400", "1093"},
		{"Terraform makes a group", "POST", group + "?idempotent=yes",
			`{"servicegroup":{"servicegroupname":"tf","servicetype":"HTTP","sc":"OFF","sp":"OFF","riseapbrstatsmsgcode":0,"monitor_name_svc":"http","dup_weight":1}}`, "201", ""},
		{"a server with a domain", "POST", server + "?idempotent=yes",
			`{"server":{"name":"d","domain":"a.example.net","querytype":"AAAA","translationip":"192.0.2.1","translationmask":"255.255.255.0","domainresolveretry":5,"td":0,"state":"ENABLED"}}`,
			"201", ""},
		{"made again", "POST", server + "?idempotent=yes",
			`{"server":{"name":"d","domain":"a.example.net","querytype":"AAAA","domainresolveretry":6}}`, "200", ""},
		{"with another domain", "POST", server + "?idempotent=yes", `{"server":{"name":"d","domain":"b.example.net","state":"ENABLED"}}`,
			"599", "Invalid value [domain, value differs from existing entity and it cant be updated.]"}, // XDS goes on, at these words
		{"of an address", "POST", server + "?idempotent=yes", `{"server":{"name":"web","domain":"b.example.net"}}`, "599", "Invalid value [domain, value differs"},
		{"a monitor again", "POST", monitor, `{"servicegroup_lbmonitor_binding":{"servicegroupname":"sg","monitor_name":"http"}}`, "409",
			"The monitor is already bound to the service"}, // and at these
		{"a monitor, switched off", "POST", "config/lbmonitor?action=disable", `{"lbmonitor":{"monitorname":"http","servicegroupname":"sg"}}`, "200", ""},
		{"which the group shows", "GET", monitor + "/sg", "", "200", `"monstate": "DISABLED"`},
		{"and on, everywhere", "POST", "config/lbmonitor?action=enable", `{"lbmonitor":{"monitorname":"http"}}`, "200", ""},
		{"which it shows, too", "GET", monitor + "/sg", "", "200", `"monstate": "ENABLED"`},
		{"one that is not bound", "POST", "config/lbmonitor?action=disable", `{"lbmonitor":{"monitorname":"tcp","servicegroupname":"sg"}}`, "404", "258"},
		{"a monitor of another type", "POST", "config/lbmonitor", `{"lbmonitor":{"monitorname":"m","type":"HTTP"}}`, "201", ""},
		{"is not removed", "DELETE", "config/lbmonitor/m?args=type:TCP", "", "599", "278"},
		{"unlike one of its type", "DELETE", "config/lbmonitor/m?args=monitorname:m,type:http", "", "200", ""},
		{"statistics of a member", "GET", "stat/servicegroupmember?args=servicegroupname:sg,serverName:web,port:80", "", "200", `"servicegroupname": "sg?web?80"`},
		{"of none", "GET", "stat/servicegroupmember?args=servicegroupname:sg,serverName:web,port:81", "", "404", "258"},
		{"a partition, as Terraform makes it", "POST", "config/nspartition?idempotent=yes",
			`{"nspartition":{"partitionname":"p","maxbandwidth":10240,"minbandwidth":512,"maxconn":1024,"maxmemlimit":11,"partitionmac":"ae:53:77:00:00:01"}}`, "201", ""},
		{"and reads it", "GET", "config/nspartition/p", "", "200", `"maxbandwidth": "10240", "minbandwidth": "512", "partitionmac": "ae:53:77:00:00:01", "maxconn": "1024"`},
		{"set", "PUT", server + "/d", `{"server":{"name":"d","translationip":"192.0.2.2","domainresolvenow":true}}`, "200", ""},
		{"and read", "GET", server + "/d?args=internal:False", "", "200",
			`"translationip": "192.0.2.2", "translationmask": "255.255.255.0", "domainresolveretry": 6, "querytype": "AAAA"`},
		{"or by its name as an argument", "GET", server + "?args=name:d", "", "200", `"querytype": "AAAA"`},
		{"another query", "PUT", server + "/d", `{"server":{"name":"d","querytype":"A"}}`, "599", "278"},
		{"a vserver", "POST", "config/lbvserver?idempotent=yes",
			`{"lbvserver":{"name":"v","servicetype":"SSL_PROXY","ipv46":"192.0.2.80","port":80.0,"lbmethod":"LEASTLLMTOKENLATENCY","nodefaultbindings":"NO"}}`, "201", ""},
		{"the version that is installed", "GET", "config/nsversion?args=installedversion:true", "", "200", "NetScaler NS"},
	} {
		a := b.nitro(s.method, s.target, s.body)
		if !strings.HasPrefix(a.line, s.status) || !strings.Contains(a.body, s.in) {
			t.Errorf("%s: %s %s: want %s and %s", s.name, a.line, a.body, s.status, s.in)
		}
	}
	const dumped = "add server d a.example.net -translationIp 192.0.2.2 -translationMask 255.255.255.0 -domainResolveRetry 6 -queryType AAAA\n"
	saved := dump(t, b.Simulator)
	again := start(t, simulator.Options{}, saved)
	if a := again.nitro("GET", server+"/d", ""); !strings.Contains(saved, dumped) || !strings.Contains(a.body, `"domainresolveretry": 6`) {
		t.Errorf("not %s:\n%s\n%s", dumped, saved, a.body)
	}
}

// TestAMonitoringCheckReadsAGroup, all of whose conditions must hold.
func TestAMonitoringCheckReadsAGroup(t *testing.T) {
	b := start(t, simulator.Options{}, "add serviceGroup sg HTTP\nbind serviceGroup sg 10.0.0.1 80\n")
	var data struct{ ServiceGroup []map[string]any }
	if err := json.Unmarshal([]byte(b.nitro("GET", "config/servicegroup/sg", "").body), &data); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"state": "ENABLED", "servicegroupeffectivestate": "UP", "monstate": "ENABLED", "healthmonitor": "YES"} {
		if got := data.ServiceGroup[0][key]; got != want {
			t.Errorf("%s is %v, want %s", key, got, want)
		}
	}
}

// TestALastLineWithoutAnEnd comes back without one, until something changes.
func TestALastLineWithoutAnEnd(t *testing.T) {
	for _, text := range []string{"", "#NS13.1 Build 37.29", "add server a 10.0.0.1", "add serviceGroup sg HTTP\r\nset ptp -state ENABLE\r"} {
		b := start(t, simulator.Options{}, text)
		for range 2 {
			if got := dump(t, b.Simulator); got != text {
				t.Errorf("%q, want %q", got, text)
			}
			b.nitro("GET", "config/server", "")
			b.Boot()
		}
		b.nitro("POST", "config/server", `{"server":{"name":"new","ipaddress":"10.0.0.9"}}`)
		if got := dump(t, b.Simulator); !strings.Contains(got, "add server new 10.0.0.9\n") || !strings.HasPrefix(got, text) {
			t.Errorf("%q", got)
		}
	}
}

// TestLinesThatAreNoCommand are counted, and nothing of them is shown: they may be a
// private key.
func TestLinesThatAreNoCommand(t *testing.T) {
	const text = "add foo bar\n-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nc2VjcmV0 c2VjcmV0\nAbCd\n-----END RSA PRIVATE KEY-----\n"
	sim := simulator.New(simulator.Options{})
	loaded, err := sim.LoadConfig(strings.NewReader(text))
	if err != nil || loaded.Err() != nil || dump(t, sim) != text {
		t.Fatal(err, loaded.Err(), dump(t, sim))
	}
	for i, l := range loaded.Skipped {
		if want := []string{"add foo bar", "(no command)"}[min(i, 1)]; strings.TrimSpace(l.Command+" "+l.Object) != want {
			t.Errorf("%+v, want %s", l, want)
		}
	}
}

// TestSeparatorsThatAreEncoded: the official Go client encodes all of args in some
// releases, and takes a refusal for "already removed".
func TestSeparatorsThatAreEncoded(t *testing.T) {
	for lacks, left := range map[string]int{"": 0, "encoded separators": 1} {
		b := start(t, simulator.Options{Lacks: []string{lacks}}, "add server web 2001:db8::1\nadd serviceGroup sg HTTP\nbind serviceGroup sg web 80\n")
		c := newGoSDK(t, b)
		if err := c.remove("servicegroup_servicegroupmember_binding", "sg", "ip%3A2001%3Adb8%3A%3A1%2Cport%3A80"); err != nil {
			t.Error(err)
		}
		if n := len(b.Members("sg")); n != left {
			t.Errorf("without %q: %d members are left, want %d", lacks, n, left)
		}
	}
}

// TestAnswersAreJSON: whatever is asked of each type.
func TestAnswersAreJSON(t *testing.T) {
	b := start(t, simulator.Options{}, "add server web 10.0.0.1\nadd serviceGroup sg HTTP\nbind serviceGroup sg web 80\nadd lb vserver v HTTP\n"+
		"bind lb vserver v sg\nadd service s web HTTP 80\nadd cs vserver c HTTP\nbind serviceGroup sg -monitorName ping\n")
	for _, typ := range strings.Fields(`config/servicegroup config/server config/lbvserver config/lbmonitor config/service config/csvserver config/nsip
		config/nsversion config/nshardware config/nslicense config/nsconfig config/nsfeature config/nsmode config/hanode config/nspartition
		config/systemsession config/sslcertkey config/nshostname config/nsrunningconfig config/nssavedconfig config/servicegroup_binding/sg
		config/servicegroup_servicegroupmember_binding/sg config/servicegroup_lbmonitor_binding/sg config/servicegroupbindings/sg
		config/server_binding/web config/lbvserver_binding/v config/lbvserver_servicegroup_binding/v stat/servicegroup stat/lbvserver
		stat/csvserver stat/service stat/ns stat/system stat/hanode`) {
		for _, query := range []string{"", "?count=yes", "?pagesize=1&pageno=1", "?pagesize=1&pageno=9", "?view=summary"} {
			a := b.nitro("GET", typ+query, "")
			var data map[string]any
			if err := json.Unmarshal([]byte(a.body), &data); err != nil || a.line != "200 OK" {
				t.Errorf("%s%s: %v: %s %s", typ, query, err, a.line, a.body)
			}
			if _, ok := data[typ[strings.Index(typ, "/")+1:]].([]any); query == "?count=yes" && !strings.Contains(typ[7:], "/") && !ok {
				t.Errorf("%s%s: no array: %s", typ, query, a.body)
			}
		}
	}
}

// TestReadsOfALoadedConfiguration: what the file says is what is read.
func TestReadsOfALoadedConfiguration(t *testing.T) {
	const conf = "\ufeff#NS12.1 Build 51.16\n# Last modified Fri Mar 15 16:53:02 2019\nset ns hostName adc-1\n" +
		"add ns ip 10.0.0.5 255.255.255.0 -vServer DISABLED -telnet DISABLED -gui SECUREONLY -hostRoute ENABLED -td 7\n"
	b := start(t, simulator.Options{}, conf)
	for target, want := range map[string]string{
		"config/nsversion":  `"version": "NetScaler NS12.1: Build 51.16.nc, Date: `,
		"config/nshostname": `"nshostname": { "hostname": "adc-1" }`,
		"config/nsip?filter=telnet:DISABLED,vserver:DISABLED,gui:SECUREONLY,ssh:ENABLED,hostroute:ENABLED,td:7": `"10.0.0.5"`,
	} {
		if a := b.nitro("GET", target, ""); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s, want %s", target, a.body, want)
		}
	}
	for target, key := range map[string]string{"nsrunningconfig": "response", "nssavedconfig": "textblob"} {
		var data map[string]json.RawMessage
		var of map[string]string
		if err := json.Unmarshal([]byte(b.nitro("GET", "config/"+target, "").body), &data); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data[target], &of); err != nil || of[key] != conf {
			t.Errorf("%s: %v %q", target, err, of[key])
		}
	}
	newer := start(t, simulator.Options{Version: "NetScaler NS14.1: Build 1.1.nc"}, conf)
	if a := newer.nitro("GET", "config/nsversion", ""); !strings.Contains(a.body, "NS14.1: Build 1.1.nc") {
		t.Error(a.body)
	}
}

// TestPoliciesThatLookAhead, as copies of those that appliances come with do.
func TestPoliciesThatLookAhead(t *testing.T) {
	const shows, adds = "GET config/servicegroup", `POST config/servicegroup {"servicegroup":{"servicegroupname":"new","servicetype":"HTTP"}}`
	for _, c := range []struct {
		spec    string
		allowed string
	}{
		{`(^man.*)|(^show\\s+(?!system)(?!configstatus)(?!ns ns\\.conf)(?!audit messages)(?!techsupport).*)|(^stat.*)`, shows},
		{`(^man.*)|(^show\\s+(\?!system).*)|(^stat.*)`, shows}, // as the command line asks for the question mark
		{`^show\\s+(?!service).*`, ""},
		{`^(?!show).*`, adds},
		{`^(?!rm)(?!shell).*`, shows + adds},
		{`^(?=add)\\S+ service`, adds},
		{`^(add|show) (?!server)[^|(]*$`, shows + adds},
		{`(^show|^add) (?!serviceGroup new).*`, shows},
		{`x|(?!show)add`, adds},
	} {
		b := start(t, simulator.Options{Users: map[string]string{"u": "pw"}}, "add serviceGroup sg HTTP\nadd system user u x -encrypted\n"+
			`add system cmdPolicy p ALLOW "`+c.spec+"\"\nbind system user u p 1\n")
		for _, call := range []string{shows, adds} {
			method, target, _ := strings.Cut(call, " ")
			target, body, _ := strings.Cut(target, " ")
			line, text := b.as("u", "pw", method, target, body)
			if want := strings.Contains(c.allowed, call); want != (line[0] == '2') || !want && line[:3] != "403" {
				t.Errorf("%s: %s: %s %s", c.spec, call, line, text)
			}
		}
	}
}
