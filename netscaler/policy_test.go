package netscaler_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

// policies are the command policies of examples/netscaler/user.conf.
type policies struct {
	spec     map[string]string // by name
	bound    []string          // to the user
	optional []string          // whose bind is commented out
}

func readPolicies(t *testing.T) policies {
	text, err := os.ReadFile("../examples/netscaler/user.conf")
	if err != nil {
		t.Fatal(err)
	}
	p := policies{spec: map[string]string{}}
	line := regexp.MustCompile(`^(# )?(add system cmdPolicy (\S+) ALLOW "(.*)"|add system user nitrox (\S+)( -\w+ \w+)+|bind system user nitrox (\S+) \d+)$`)
	for text := range strings.SplitSeq(string(text), "\n") {
		m := line.FindStringSubmatch(text)
		switch {
		case m == nil:
			if text != "" && !strings.HasPrefix(text, "#") {
				t.Errorf("not understood: %s", text)
			}
		case m[3] != "" && m[1] == "":
			p.spec[m[3]] = m[4]
		case m[7] != "" && m[1] == "":
			p.bound = append(p.bound, m[7])
		case m[7] != "":
			p.optional = append(p.optional, m[7])
		}
	}
	for _, name := range slices.Concat(p.bound, p.optional) {
		if p.spec[name] == "" {
			t.Errorf("the policy %s is bound and not added", name)
		}
	}
	if len(p.bound)+len(p.optional) != len(p.spec) || len(p.bound) != 2 || len(p.optional) != 3 {
		t.Fatalf("read %+v", p)
	}
	return p
}

// commands are the alternatives of policies, one verb each: "^(show|set) a" is
// "^show a" and "^set a". What either of show and stat answers is one.
func (p policies) commands(names ...string) (all []string) {
	verbs := regexp.MustCompile(`^\^\(([a-z|]+)\)(.*)$`)
	for _, name := range names {
		for i, alternative := range strings.Split(p.spec[name], "|^") {
			if i > 0 {
				alternative = "^" + alternative
			}
			m := verbs.FindStringSubmatch(alternative)
			if m == nil || m[1] == "show|stat" {
				all = append(all, alternative)
				continue
			}
			for verb := range strings.SplitSeq(m[1], "|") {
				all = append(all, "^"+verb+m[2])
			}
		}
	}
	return all
}

func allowing(commands []string) map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{"nitrox": regexp.MustCompile(strings.Join(commands, "|"))}
}

// everything does with a client all that a mapping without optional features
// makes it do, and returns what was refused.
func everything(t *testing.T, allowed []string) error {
	sim := simulator.New(simulator.Options{Users: users, Policies: allowing(allowed)})
	load(t, sim, "add server web1 10.0.0.1", "add serviceGroup a HTTP", "add serviceGroup b HTTP", "add serviceGroup c HTTP", "add serviceGroup d HTTP", "add serviceGroup e HTTP",
		"bind serviceGroup a web1 80", "bind serviceGroup a 10.0.0.2 80", "bind serviceGroup a 10.0.0.3 80 -state DISABLED", "bind serviceGroup a 10.0.0.4 80")
	c := open(t, sim.Transport())
	var errs []error
	for _, names := range [][]string{{"a", "b", "c", "d", "e"}, {"a"}} {
		groups, err := look(c, t.Context(), names)
		errs = append(errs, err)
		for _, g := range groups {
			errs = append(errs, g.Err)
		}
		if err == nil {
			errs = append(errs, detail(c, t.Context(), groups))
		}
	}
	servers, err := c.Servers(t.Context(), []string{"web1"})
	if err == nil {
		_, err = servers.Domain("web1")
	}
	_, uncommented := c.Commented(t.Context())
	errs = append(errs, err, uncommented, c.Writable(t.Context()))
	for _, op := range []netscaler.Op{netscaler.Bind, netscaler.Set, netscaler.Mark, netscaler.Enable, netscaler.Drain, netscaler.Unbind} {
		addrs := map[netscaler.Op][]string{
			netscaler.Bind: {"10.0.0.5:80", "10.0.0.6:80"}, netscaler.Enable: {"10.0.0.3:80"}, netscaler.Unbind: {"10.0.0.1:80", "10.0.0.3:80"},
		}[op]
		if addrs == nil {
			addrs = []string{"10.0.0.2:80", "10.0.0.4:80"}
		}
		list := changes(op, addrs...)
		for i := range list {
			list[i].Group, list[i].Comment = "a", "nitrox prod shop/web"
			if list[i].Addr.Addr().String() == "10.0.0.1" {
				list[i].Server = "web1"
			}
		}
		errs = append(errs, c.Do(t.Context(), op, list)...)
	}
	errs = append(errs, c.Save(t.Context()), c.Close(t.Context()))
	if sim.Sessions() != 0 {
		t.Error("a session is left")
	}
	return errors.Join(errs...)
}

// The example's policies let Nitrox do what it does, and are no wider than
// that: without any one of their commands a 403 names the command.
func TestExampleOfTheUserExactlySuffices(t *testing.T) {
	p := readPolicies(t)
	commands := p.commands(p.bound...)
	if err := everything(t, commands); err != nil {
		t.Fatalf("the policies do not suffice:\n%v", err)
	}
	for i, missing := range commands {
		t.Run("without "+missing, func(t *testing.T) {
			err := everything(t, slices.Concat(commands[:i], commands[i+1:]))
			verb := strings.NewReplacer("^", "", "( |$)", "", "(show|stat) [hH][aA]", "show HA").Replace(missing)
			wantError(t, err, nil, "NITRO 2138 (HTTP ", `the command policy of the NetScaler user must allow "`+verb)
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(line, verb) && !strings.Contains(line, "stat HA node") {
					t.Errorf("something else was refused too: %s", line)
				}
			}
		})
	}
}

// What the policies of optional features allow is what these features send, and
// nothing of it is allowed without them.
func TestExampleOfTheUserForOptionalFeatures(t *testing.T) {
	p := readPolicies(t)
	calls := map[string][]string{
		"nitrox-partition": {`POST nspartition?action=Switch {"nspartition":{"partitionname":"web"}}`},
		"nitrox-clean":     {`DELETE server/10.0.0.9`},
		"nitrox-create": {
			`POST servicegroup {"servicegroup":{"servicegroupname":"new","servicetype":"HTTP"}}`,
			`GET lbvserver/vip`,
			`POST lbvserver {"lbvserver":{"name":"new","servicetype":"HTTP","ipv46":"10.9.0.1","port":80,"lbmethod":"ROUNDROBIN","state":"ENABLED"}}`,
			`PUT lbvserver_servicegroup_binding {"lbvserver_servicegroup_binding":{"name":"new","servicegroupname":"new"}}`,
		},
	}
	if !slices.Equal(slices.Sorted(maps.Keys(calls)), slices.Sorted(slices.Values(p.optional))) {
		t.Fatalf("optional policies: %v", p.optional)
	}
	for name, list := range calls {
		for _, with := range []bool{true, false} {
			names := p.bound
			if with {
				names = append(slices.Clone(names), name)
			}
			commands := p.commands(names...)
			sim := simulator.New(simulator.Options{Users: users, Policies: allowing(commands)})
			load(t, sim, "add server 10.0.0.9 10.0.0.9", "add lb vserver vip HTTP 10.9.0.2 80", "add ns partition web", "add ns partition other")
			for _, call := range list {
				method, rest, _ := strings.Cut(call, " ")
				path, body, _ := strings.Cut(rest, " ")
				if got := stateless(t, sim, method, path, body); with != (got < 300) || !with && got != 403 {
					t.Errorf("%s, the policy bound %v: HTTP %d", call, with, got)
				}
			}
			if got := stateless(t, sim, "POST", "nspartition?action=Switch", `{"nspartition":{"partitionname":"other"}}`); got != 403 {
				t.Errorf("another partition: HTTP %d", got)
			}
		}
	}
	// No policy lets anything else be touched.
	all := p.commands(slices.Concat(p.bound, p.optional)...)
	sim := simulator.New(simulator.Options{Users: users, Policies: allowing(all)})
	load(t, sim, "add serviceGroup a HTTP", "add lb vserver vip HTTP 10.9.0.2 80", "add lb monitor m HTTP")
	for _, call := range []string{
		`DELETE servicegroup/a`, `DELETE lbvserver/vip`, `PUT lbvserver/vip {"lbvserver":{"name":"vip","lbmethod":"ROUNDROBIN"}}`,
		`DELETE lbmonitor/m?args=type:HTTP`, `POST server {"server":{"name":"x","ipaddress":"10.0.0.1"}}`, `GET systemsession`, `GET lbmonitor`, `GET nsconfig`,
	} {
		method, rest, _ := strings.Cut(call, " ")
		path, body, _ := strings.Cut(rest, " ")
		if got := stateless(t, sim, method, path, body); got != 403 {
			t.Errorf("%s: HTTP %d", call, got)
		}
	}
}

// Who may bind groups to a vserver may not bind policies to it.
func TestExampleOfTheUserBindsNoPolicies(t *testing.T) {
	p := readPolicies(t)
	allowed := allowing(p.commands(slices.Concat(p.bound, p.optional)...))["nitrox"]
	for command, want := range map[string]bool{
		"bind lb vserver vip sg-shop":                                true,
		`bind lb vserver "my vip" "sg shop"`:                         true,
		"bind lb vserver vip -policyName p":                          false,
		"bind lb vserver vip sg-shop -policyName p -priority 10":     false,
		"bind lb vserver vip  -policyName p":                         false,
		"bind lb vserver vip sg-shop   -policyName p":                false,
		"bind lb vserver vip -serviceName s":                         false,
		"bind lb vserver":                                            false,
		"bind cs vserver vip -policyName p":                          false,
		"bind lb vserver vip sg-shop; bind lb vserver x -policyName": false,
	} {
		if allowed.MatchString(command) != want {
			t.Errorf("%s: allowed %v", command, !want)
		}
	}
}

// stateless is one call that carries its credentials.
func stateless(t *testing.T, sim *simulator.Simulator, method, path, body string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://ns/nitro/v1/config/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-NITRO-USER", "nitrox")
	req.Header.Set("X-NITRO-PASS", "secret")
	resp, err := sim.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// The policies that doctor prints let Nitrox do what it does, and nothing with other
// groups; without any one of them something is refused.
func TestPrintedPolicySuffices(t *testing.T) {
	c := open(t, simulator.New(simulator.Options{Users: users}).Transport())
	printed := func(use netscaler.Use) (patterns []string) {
		for _, line := range c.Policy(use) {
			if m := regexp.MustCompile(`^add system cmdPolicy \S+ ALLOW "(.*)"$`).FindStringSubmatch(line); m != nil {
				patterns = append(patterns, m[1])
			} else if !strings.HasPrefix(line, "bind system user nitrox nitrox-") {
				t.Errorf("printed: %s", line)
			}
		}
		return patterns
	}
	patterns := printed(netscaler.Use{Groups: []string{"a", "b", "c", "d", "e"}, Save: true})
	if err := everything(t, patterns); err != nil {
		t.Errorf("they do not suffice:\n%v", err)
	}
	for i, missing := range patterns {
		if err := everything(t, slices.Concat(patterns[:i], patterns[i+1:])); err == nil {
			t.Errorf("nothing is refused without %s", missing)
		}
	}
	if allowing(patterns)["nitrox"].MatchString("bind serviceGroup ab 10.0.0.1 80") {
		t.Error("another group may be changed")
	}
	p := readPolicies(t) // of the example, which are proven apart
	all := printed(netscaler.Use{Groups: []string{"a"}, Save: true, Clean: true, Create: true})
	for _, optional := range []string{"nitrox-clean", "nitrox-create"} {
		if !slices.Contains(all, p.spec[optional]) {
			t.Errorf("not as in the example: %s", optional)
		}
	}
	long := printed(netscaler.Use{Groups: []string{strings.Repeat("x", 300), "sg shop"}})
	if !allowing(long)["nitrox"].MatchString(`bind serviceGroup "sg shop" 10.0.0.1 80`) {
		t.Errorf("of many groups, or odd ones, all are allowed: %q", long)
	}
}
