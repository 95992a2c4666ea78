package netscaler_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

var update = flag.Bool("update", false, "rewrite the table of outcomes")

const outcomes = "../docs/nitro-outcomes.md"

// codes are those that a client which keeps members in step can meet, with
// NITRO's texts ("NITRO documentation, error codes").
var codes = []struct {
	code int
	text string
}{
	{257, "Operation not permitted"},
	{258, "No such resource [serviceGroupName, sg]"},
	{269, "Permission denied"},
	{272, "Device busy"},
	{273, "Resource already exists"},
	{278, "Invalid argument"},
	{291, "Resource temporarily unavailable"},
	{293, "Operation already in progress"},
	{315, "Resource in use"},
	{344, "No Service"},
	{349, "Command failed on secondary node, but succeeded on primary node"},
	{351, "No such server"},
	{352, "Login is required"},
	{354, "Invalid username or password"},
	{355, "Invalid username or password"},
	{356, "Feature(s) not licensed"},
	{364, "Operation not possible due to invalid peer state"},
	{365, "Operation not possible; system state is invalid"},
	{366, "Operation not possible; wait for the system to stabilize"},
	{367, "Operation permitted only on secondary node"},
	{368, "Operation permitted only on primary node"},
	{371, "No command policy defined, permission denied"},
	{432, "Name conflicts with an existing service or service group member name"},
	{433, "Server name already exists"},
	{435, "Maximum services bound to service group exceeded"},
	{444, "Session expired or killed. Please login again"},
	{445, "Session limit exceeded"},
	{446, "Connection limit to CFE exceeded"},
	{447, "Connection limit per session exceeded"},
	{457, "Cannot reach the secondary, propagation failed"},
	{458, "Propagation timed out"},
	{459, "RPC timeout"},
	{463, "No such service/serviceGroup"},
	{473, "Maximum service limit reached"},
	{603, "Configuration is being saved, please try again later"},
	{1025, "Login failed"},
	{1026, "Not logged in"},
	{1027, "Not logged in or connection timed out"},
	{1028, "You are connected to a secondary node"},
	{1034, "Login challenged"},
	{1043, "Internal error"},
	{1044, "NSIP of a cluster node"},
	{1045, "EULA not accepted"},
	{1046, "Password must be changed"},
	{1065, "Operation not permitted on CLIP"},
	{1067, "Feature(s) not enabled [LB]"},
	{1072, "Maximum resource limit reached"},
	{1074, "Invalid value"},
	{1075, "Invalid name"},
	{1090, "No such argument"},
	{1092, "Arguments cannot both be specified"},
	{1093, "Argument pre-requisite missing"},
	{1094, "Too few arguments"},
	{1095, "Required argument missing"},
	{1097, "Invalid argument value"},
	{1106, "String length exceeds maximum"},
	{1108, "Integer value exceeds maximum"},
	{1109, "Integer value below minimum"},
	{1110, "Invalid IP address"},
	{1133, "The running configuration has not changed"},
	{1203, "Session is read-only; connect to the cluster IP"},
	{1208, "No such bind resource"},
	{1219, "Invalid timeout"},
	{1232, "Invalid object name"},
	{1233, "Invalid JSON input"},
	{1234, "Invalid JSON data type"},
	{1237, "Invalid method name"},
	{1239, "NITRO command execution failed"},
	{1240, "Invalid nitro action or operation"},
	{1243, "Bulk operation failed"},
	{1244, "Use of Basic Authentication is Disabled"},
	{1265, "Command not attempted for configuration"},
	{1303, "Service not bound to Vserver"},
	{1335, "Server already exists"},
	{1380, "Member Port option has to be specified"},
	{1442, "Failed to bind some servicegroup members"},
	{1443, "Cannot perform unbind operation on graceful unbind members"},
	{1461, "Maximum number of concurrent save configs"},
	{2138, "Not authorized to execute this command [the command]"},
	{2755, "Partition does not exist"},
	{3810, "Supported for autoscale type CLOUD or API only"},
	{10020, "The user session count has exceeded the maximum limit (NetScaler Console)"},
}

// kind is a kind of call: how it is made to fail, and the call.
type kind struct {
	name  string
	fault simulator.Fault
	call  func(t *testing.T, c *netscaler.Client) error
}

var kinds = []kind{
	{"log-in", simulator.Fault{Type: "login"}, readGroup("sg")},
	{"read of all groups", simulator.Fault{Method: "GET", Type: binding, Name: "()"}, readGroup("sg", "b", "c", "d", "e")},
	{"read of one group", simulator.Fault{Method: "GET", Type: binding}, readGroup("sg")},
	{"read of comments", simulator.Fault{Method: "GET", Type: "servicegroup"}, func(t *testing.T, c *netscaler.Client) error {
		_, err := c.Commented(t.Context())
		return err
	}},
	{"role query", simulator.Fault{Type: "hanode"}, func(t *testing.T, c *netscaler.Client) error { return c.Writable(t.Context()) }},
	{"bind", simulator.Fault{Method: "PUT", Type: binding}, doOne(netscaler.Bind, "10.0.0.9:80")},
	{"unbind", simulator.Fault{Method: "DELETE", Type: binding}, doOne(netscaler.Unbind, "10.0.0.1:80")},
	{"array item", simulator.Fault{Command: "^enable serviceGroup sg 10.0.0.1 80"}, doOne(netscaler.Enable, "10.0.0.1:80", "10.0.0.2:80")},
	{"weight", simulator.Fault{Method: "PUT", Type: "servicegroup"}, doOne(netscaler.Set, "10.0.0.1:80")},
	{"mark group", simulator.Fault{Method: "PUT", Type: "servicegroup"}, func(t *testing.T, c *netscaler.Client) error {
		return c.Do(t.Context(), netscaler.Mark, []netscaler.Change{marking("sg", "nitrox prod shop/web")})[0]
	}},
	{"drain", simulator.Fault{Type: "servicegroup", Action: "disable"}, doOne(netscaler.Drain, "10.0.0.1:80")},
	{"list", simulator.Fault{Type: "servicegroup_servicegroupmemberlist_binding"}, func(t *testing.T, c *netscaler.Client) error {
		return c.Do(t.Context(), netscaler.ReplaceMembers, replace("sg", []netscaler.Member{member("10.0.0.1:80"), member("10.0.0.3:80")}, nil))[0]
	}},
	{"save", simulator.Fault{Type: "nsconfig"}, func(t *testing.T, c *netscaler.Client) error { return c.Save(t.Context()) }},
}

func readGroup(names ...string) func(*testing.T, *netscaler.Client) error {
	return func(t *testing.T, c *netscaler.Client) error {
		groups, err := look(c, t.Context(), names)
		if err == nil {
			err = groups["sg"].Err
			if errors.Is(err, netscaler.ErrNoGroup) {
				return err
			}
		}
		return err
	}
}

// doOne makes changes, and returns how the first of them went. The others must
// go well, unless all calls fail.
func doOne(op netscaler.Op, addrs ...string) func(*testing.T, *netscaler.Client) error {
	return func(t *testing.T, c *netscaler.Client) error {
		errs := c.Do(t.Context(), op, changes(op, addrs...))
		for _, err := range errs[1:] {
			if err != nil {
				t.Errorf("the rest of the array: %v", err)
			}
		}
		return errs[0]
	}
}

// outcome makes the calls of a kind be answered with a code, for ever, and says
// in a few words what the client does.
func (k kind) outcome(t *testing.T, code int, text string) (words string) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Options{Users: users})
		mode := ""
		if k.name == "list" {
			mode = " -autoScale API"
		}
		load(t, sim, "add serviceGroup sg HTTP"+mode, "add serviceGroup b HTTP", "add serviceGroup c HTTP", "add serviceGroup d HTTP", "add serviceGroup e HTTP",
			"bind serviceGroup sg 10.0.0.1 80", "bind serviceGroup sg 10.0.0.2 80")
		c, err := netscaler.Open(netscaler.Config{URLs: []string{"http://ns.example"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: sim.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		k.fault.Code, k.fault.Message = code, text
		sim.SetFault(k.fault)
		err = k.call(t, c)
		tries, logins, lookups, byName := 0, 0, 0, 0
		same := map[string]int{} // tries of one call
		for _, call := range sim.Calls() {
			switch {
			case call.Type == "login":
				logins++
			case call.Type == "server":
				lookups++
			case call.Type == binding && call.Method == "GET" && !strings.Contains(call.Query, "bulkbindings"):
				byName++
			}
			if call.Code == code || call.Code == 1243 {
				same[call.Method+call.Path]++
				tries = max(tries, same[call.Method+call.Path])
			}
		}
		switch {
		case err == nil && k.name == "read of all groups" && byName > 0:
			words = "reads by name"
		case err == nil && k.name == "role query":
			words = "writable"
		case err == nil:
			words = "counts as done"
		case errors.Is(err, netscaler.ErrUnsure) && !errors.Is(err, netscaler.ErrUnavailable) && tries == 1:
			words = "checked"
		case errors.Is(err, netscaler.ErrLogin):
			words = "stops and waits"
			if tries > 1 {
				t.Errorf("a refused password was tried %d times", tries)
			}
		case logins > 1 && k.name != "log-in":
			words = "new session"
			if logins != 2 {
				t.Errorf("%d log-ins", logins)
			}
		case errors.Is(err, netscaler.ErrUnavailable) && tries > 1:
			words = "retried"
			if tries > 4 {
				t.Errorf("tried %d times", tries)
			}
		case k.name == "role query":
			words = "not writable"
		case errors.Is(err, netscaler.ErrUnavailable), k.name == "log-in":
			words = "stops"
		case errors.Is(err, netscaler.ErrNoMemberList):
			words = "binds instead"
		case lookups > 0:
			words = "binds by name"
		case k.name == "read of all groups":
			words = "stops"
		default:
			words = "reported"
		}
		sim.ClearFaults()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		// A session that the fault only pretended to be dead is left alone.
		if n := sim.Sessions(); n != 0 && words != "new session" {
			t.Errorf("%d at %s: %d sessions are left", code, k.name, n)
		}
	})
	return words
}

const outcomesHead = `# What Nitrox does about NITRO's error codes

Written by ` + "`go test ./netscaler -run Outcome -update`" + `: the simulator answers each kind of call with
each code, again and again, and this is what the client was seen to do. ` + "`make test`" + ` fails if the
client does anything else.

| outcome | meaning |
|---|---|
| reported | this member or group fails, with the code and its text; the others go on |
| checked | the group is read again, and what it shows counts; until then nothing is removed from it |
| counts as done | the NetScaler is as it should be; a flaw, such as an unreachable peer, is logged |
| retried | up to 4 tries within 20 s, with growing random pauses; then the pass ends for this NetScaler |
| new session | logs in again and repeats the call; if that fails, it is reported |
| stops | the pass ends for this NetScaler; the next one tries again |
| stops and waits | also no log-in for 10 minutes, or until the password changes |
| reads by name | the groups are read one by one instead of all at once |
| binds by name | the server that has the address is looked up and bound by its name; if that fails, it is reported |
| binds instead | the group or the build does not take a list: its members are bound and unbound one by one, and that is logged |
| writable | the address is that of a cluster, which has no HA role |
| not writable | nothing is written to this NetScaler in this pass |

A code that is not listed below is reported. If the answer to a change is lost, the group is read
again to see what happened. A read, a save and a log-out are repeated. A log-in is not, because it
may have opened a session: that node gets no other for 20 s. An answer that is not NITRO counts as
lost, except 503 and 429, which are retried.

## Code by code

The usual outcome depends on the call. "Array item" is one change among many in a single call.

`

// usual is what comes of a code that has no meaning of its own at a call.
func usual(call string) string {
	switch call {
	case "log-in", "read of all groups":
		return "stops"
	case "role query":
		return "not writable"
	}
	return "reported"
}

// changing are the calls that change something, but for the save.
var changing = []string{"bind", "unbind", "array item", "weight", "mark group", "drain", "list"}

// told are the outcomes of a code that are not the usual ones, with their calls.
func told(seen func(call string) string) string {
	var order []string
	for _, k := range kinds {
		if got := seen(k.name); got != usual(k.name) && !slices.Contains(order, got) {
			order = append(order, got)
		}
	}
	for i, outcome := range order {
		var with, without, others []string
		for _, k := range kinds {
			switch got := seen(k.name); {
			case got != outcome:
				others = append(others, k.name)
			case slices.Contains(changing, k.name):
				with = append(with, k.name)
			default:
				without = append(without, k.name)
			}
		}
		if len(with) == len(changing) {
			with = []string{"every change"}
		}
		calls := strings.Join(append(with, without...), ", ")
		if len(others) < 3 {
			calls = "all but " + strings.Join(others, " and ")
		}
		order[i] = calls + ": " + outcome
	}
	if len(order) == 0 {
		return "as usual"
	}
	return strings.Join(order, "; ")
}

// The table says what the client does with every code at every kind of call.
func TestOutcomeOfEveryCode(t *testing.T) {
	seen := map[string]map[int]string{}
	for _, k := range kinds {
		seen[k.name] = map[int]string{}
		for _, c := range codes {
			seen[k.name][c.code] = k.outcome(t, c.code, c.text)
		}
	}
	var b strings.Builder
	b.WriteString(outcomesHead)
	b.WriteString("| call | outcome |\n|---|---|\n")
	for _, k := range kinds {
		fmt.Fprintf(&b, "| %s | %s |\n", k.name, usual(k.name))
	}
	b.WriteString("\n| code | text | outcome |\n|---|---|---|\n")
	for _, c := range codes {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", c.code, c.text, told(func(call string) string { return seen[call][c.code] }))
	}
	// What the design promises of them, whatever the table says.
	for _, k := range kinds {
		if k.fault.Command != "" {
			continue // an item of an array has no session, and is not busy by itself
		}
		for _, busy := range []int{272, 291, 293, 446} {
			if got := seen[k.name][busy]; got != "retried" && k.name != "role query" {
				t.Errorf("%d at %s: %s", busy, k.name, got)
			}
		}
		for _, dead := range []int{444, 1027} {
			if got := seen[k.name][dead]; got != "new session" && k.name != "log-in" {
				t.Errorf("%d at %s: %s", dead, k.name, got)
			}
		}
	}
	for _, node := range []int{367, 368, 1028, 1044, 1203} {
		if got := seen["bind"][node]; got != "stops" {
			t.Errorf("%d at a bind: %s; it is about the node, not the member", node, got)
		}
	}
	if got := seen["log-in"][354]; got != "stops and waits" {
		t.Errorf("354 at log in: %s", got)
	}
	if *update {
		if err := os.MkdirAll("../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(outcomes, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(outcomes)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("%s is not what was seen; -update rewrites it:\n%s", outcomes, difference(string(want), b.String()))
	}
}

// difference is the lines that only one of two texts has.
func difference(want, got string) string {
	var b strings.Builder
	for i, pair := range [][2]string{{want, got}, {got, want}} {
		for line := range strings.SplitSeq(pair[0], "\n") {
			if !strings.Contains("\n"+pair[1]+"\n", "\n"+line+"\n") {
				fmt.Fprintf(&b, "%c %s\n", "-+"[i], line)
			}
		}
	}
	return b.String()
}
