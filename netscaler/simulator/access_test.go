package simulator_test

import (
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// as sends a request with a user's password and returns the status line and body.
func (b *box) as(user, password, method, target, body string) (line, text string) {
	a := b.send(method, "/nitro/v1/"+target, body, "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	return a.line, a.body
}

// TestUsersOfTheFile: the example of a user is enforced as it stands, with the
// password in it, and after a boot too.
func TestUsersOfTheFile(t *testing.T) {
	text, err := os.ReadFile("../../examples/netscaler/user.conf")
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, simulator.Options{}, "add serviceGroup sg HTTP\nadd server x 10.0.0.1\n"+string(text))
	for _, when := range []string{"loaded", "booted"} {
		for _, c := range []struct{ method, target, body, want string }{
			{"GET", "config/servicegroup/sg", "", "200"},
			{"PUT", memberType, `{"servicegroup_servicegroupmember_binding":{"servicegroupname":"sg","ip":"10.0.0.2","port":80}}`, "201"},
			{"DELETE", memberType + "/sg?args=ip:10.0.0.2,port:80", "", "200"},
			{"POST", "config/nsconfig?action=save", `{"nsconfig":{}}`, "200"},
			{"DELETE", "config/server/x", "", "403"},
			{"DELETE", "config/servicegroup/sg", "", "403"},
			{"GET", "config/lbvserver", "", "403"},
			{"POST", "config/lbvserver", `{"lbvserver":{"name":"v","servicetype":"HTTP"}}`, "403"},
		} {
			if line, body := b.as("nitrox", "CHANGE-ME", c.method, c.target, c.body); !strings.HasPrefix(line, c.want) {
				t.Errorf("%s, %s %s: %s %s", when, c.method, c.target, line, body)
			}
		}
		if line, _ := b.as("nitrox", "secret", "GET", "config/servicegroup", ""); line[:3] != "401" {
			t.Errorf("another password: %s", line)
		}
		if line, _ := b.as("nsroot", "nsroot", "GET", "config/lbvserver", ""); line[:3] != "200" {
			t.Errorf("nsroot: %s", line)
		}
		b.Boot()
	}
}

// TestPolicies: the bound policy of the lowest priority that matches decides, be it
// the user's or a group's, and where none does nothing is allowed.
func TestPolicies(t *testing.T) {
	const conf = `add serviceGroup sg HTTP
add system user u 1abc -encrypted
add system user lone pw
add system cmdPolicy groups ALLOW "^(show|add) serviceGroup"
add system cmdPolicy never DENY q/^add .*/
add system group g
`
	const show, add = "GET config/servicegroup", "POST config/servicegroup"
	for _, c := range []struct {
		bind          string
		shows, adds   bool
		user, without string
	}{
		{bind: "", user: "u"},
		{bind: "", user: "lone"},
		{bind: "bind system user u groups 10", user: "u", shows: true, adds: true},
		{bind: "bind system user u groups 10\nbind system user u never 5", user: "u", shows: true},
		{bind: "bind system user u groups 10\nbind system user u never 50", user: "u", shows: true, adds: true},
		{bind: "bind system user u groups 10\nbind system group g -userName u\nbind system group g -policyName never 5", user: "u", shows: true},
		{bind: "bind system group g -userName u\nbind system group g -policyName groups 5", user: "u", shows: true, adds: true},
		{bind: "bind system user u read-only 10", user: "u", shows: true},
		{bind: "bind system user u superuser 10", user: "u", shows: true, adds: true},
		{bind: "bind system user u operator 10", user: "u", shows: true},
		{bind: "bind system user u groups 10\nunbind system user u groups", user: "u"},
		{bind: "bind system user u groups 10\nset system cmdPolicy groups ALLOW ^show", user: "u", shows: true},
		{bind: "rm system user u", user: "u", shows: true, adds: true}, // nothing but a password is known of it
		{bind: "bind system user nsroot read-only 10", user: "nsroot", shows: true, adds: true},
	} {
		passwords := map[string]string{c.user: "pw"}
		if c.user == "lone" {
			passwords = nil // the file has it
		}
		b := start(t, simulator.Options{Users: passwords}, conf+c.bind)
		for call, want := range map[string]bool{show: c.shows, add: c.adds} {
			method, target, _ := strings.Cut(call, " ")
			line, body := b.as(c.user, "pw", method, target, map[string]string{add: `{"servicegroup":{"servicegroupname":"new","servicetype":"HTTP"}}`}[call])
			if want && line[0] != '2' || !want && line[:3] != "403" {
				t.Errorf("%q: %s: %s %s", c.bind, call, line, body)
			}
		}
	}
	for _, c := range []struct{ line, want string }{
		{"bind system user nobody groups 1", "258: No such resource [userName, nobody]"},
		{"bind system user u nothing 1", "258: No such resource [policyName, nothing]"},
		{"add system cmdPolicy p ALLOW \"^show (a)\\\\1\"", "the simulator cannot match this pattern"},
		{"add system cmdPolicy p ALLOW \"^show (?!ns\"", "the simulator cannot match this pattern"},
		{"add system user u", "273: Resource already exists"},
		{"add system user v s3cret s3cret-too", "line 1: add system user v: 1090: No such argument"},
	} {
		sim := start(t, simulator.Options{}, conf).Simulator
		err := sim.Load(strings.NewReader(c.line))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", c.line, err)
		}
	}
}

// TestEncryptedPasswords: who has only one of these cannot log in, and is named.
func TestEncryptedPasswords(t *testing.T) {
	const conf = "add system user a 1abc -encrypted\nadd system user b 1abc -encrypted\nadd system user c plain\nset system user nsroot 1abc -encrypted\n"
	sim := simulator.New(simulator.Options{Users: map[string]string{"a": "given", "nsroot": "root"}})
	loaded, err := sim.LoadConfig(strings.NewReader(conf))
	if err != nil || loaded.Err() != nil || strings.Join(loaded.Encrypted, " ") != "b" {
		t.Fatalf("%+v %v", loaded, err)
	}
	b := start(t, simulator.Options{Users: map[string]string{"a": "given", "nsroot": "root"}}, conf)
	for _, c := range []struct{ user, password, want string }{
		{"a", "given", "403"}, {"a", "1abc", "401"}, {"b", "1abc", "401"}, {"b", "", "401"}, {"c", "plain", "403"}, {"nsroot", "root", "200"}, {"nsroot", "1abc", "401"},
	} {
		if line, _ := b.as(c.user, c.password, "GET", "config/server", ""); line[:3] != c.want {
			t.Errorf("%s %q: %s, want %s", c.user, c.password, line, c.want)
		}
	}
}
