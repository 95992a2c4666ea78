package simulator_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"nitrox/netscaler/simulator"
)

// steps takes steps of which the status is told by its number; "!" before a part of the
// body: it is not in it.
func (b *box) steps(steps ...step) {
	b.t.Helper()
	for _, s := range steps {
		a := b.nitro(s.method, s.target, s.body)
		part, absent := strings.CutPrefix(s.want, "!")
		if !strings.HasPrefix(a.line, s.line) || strings.Contains(a.body, part) == absent {
			b.t.Errorf("%s %s: %s %s; want %s with %s", s.method, s.target, a.line, a.body, s.line, s.want)
		}
	}
}

// The comment of a service group: set, shown where it is one, found, saved, unset.
func TestCommentOfAGroup(t *testing.T) {
	b := start(t, simulator.Options{}, "add serviceGroup a HTTP\nadd serviceGroup b HTTP -comment \"of the shop\"\n")
	const put = `{"servicegroup":[{"servicegroupname":"a","comment":"nitrox prod shop/web"},{"servicegroupname":"b","comment":"nitrox prod shop/db"}]}`
	b.steps(
		step{"GET", "config/servicegroup/a", "", "200", `!"comment"`},
		step{"GET", "config/servicegroup/b", "", "200", `"comment": "of the shop"`},
		step{"PUT", "config/servicegroup", put, "200", ""},
		step{"GET", "config/servicegroup?attrs=servicegroupname,comment", "", "200",
			`[ { "servicegroupname": "a", "comment": "nitrox prod shop/web" }, { "servicegroupname": "b", "comment": "nitrox prod shop/db" } ]`},
		step{"GET", "config/servicegroup?attrs=servicegroupname&filter=comment:/%5Enitrox%20prod%20shop%5C/d/", "", "200", `[ { "servicegroupname": "b" } ]`},
		step{"GET", "stat/servicegroup/a", "", "200", `!"comment"`}, // statistics have none
		step{"POST", "config/servicegroup", `{"servicegroup":{"servicegroupname":"c","servicetype":"HTTP","comment":"nitrox prod shop/c"}}`, "201", ""},
		step{"POST", "config/nsconfig?action=save", `{"nsconfig":{}}`, "200", ""},
	)
	var saved bytes.Buffer
	if err := b.Dump(&saved); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`-comment "nitrox prod shop/web"`, `-comment "nitrox prod shop/c"`} {
		if !strings.Contains(saved.String(), line) {
			t.Errorf("%s is not saved:\n%s", line, saved.String())
		}
	}
	b.Boot()
	b.steps(
		step{"GET", "config/servicegroup/c", "", "200", `"comment": "nitrox prod shop/c"`},
		step{"POST", "config/servicegroup?action=unset", `{"servicegroup":{"servicegroupname":"a","comment":true}}`, "200", ""},
		step{"GET", "config/servicegroup/a", "", "200", `!"comment"`},
	)
}

// What is not known of builds: how long a comment may be, whether there is one, and
// whether it may be asked for.
func TestCommentsOfBuilds(t *testing.T) {
	const conf, long = "add serviceGroup a HTTP\n", `{"servicegroup":{"servicegroupname":"a","comment":"123456"}}`
	start(t, simulator.Options{CommentLength: 5}, conf).steps(
		step{"PUT", "config/servicegroup", long, "599", "String length exceeds maximum [comment, 5]"},
		step{"POST", "config/servicegroup", strings.Replace(long, `"a",`, `"b","servicetype":"HTTP",`, 1), "599", `"errorcode": 1106`},
		step{"GET", "config/servicegroup/a", "", "200", `!"comment"`},
		step{"GET", "config/servicegroup/b", "", "404", ""},
		step{"PUT", "config/servicegroup", strings.Replace(long, "6", "", 1), "200", ""},
	)
	start(t, simulator.Options{Lacks: []string{"comment"}}, conf).steps(
		step{"PUT", "config/servicegroup", long, "599", "Invalid argument [comment]"},
		step{"GET", "config/servicegroup?attrs=servicegroupname,comment", "", "200", `[ { "servicegroupname": "a" } ]`},
	)
	start(t, simulator.Options{Lacks: []string{"attrs=comment"}}, conf).steps(
		step{"PUT", "config/servicegroup", long, "200", ""},
		step{"GET", "config/servicegroup?attrs=servicegroupname,comment", "", "599", "Invalid argument [comment]"},
		step{"GET", "config/servicegroup", "", "200", `"comment": "123456"`},
	)
	// Who may not set a service group may not set its comment.
	start(t, simulator.Options{Policies: map[string]*regexp.Regexp{"nsroot": regexp.MustCompile("^(show|add) serviceGroup")}}, conf).steps(
		step{"PUT", "config/servicegroup", long, "403", "[set serviceGroup a -comment 123456]"},
	)
}
