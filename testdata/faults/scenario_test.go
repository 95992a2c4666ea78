package faults

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"nitrox/netscaler/simulator"
)

// scenario is one kind of pass.
type scenario struct {
	name string
	conf string // ns.conf before
	want wanted
	app  string            // more keys of each app
	keys map[string]string // and of one
	args []string
	// thorough: every fault at every call, instead of one of each class.
	thorough   bool
	options    simulator.Options
	down       map[string]string // what the monitors find down
	partition  string
	pair       bool
	failedOver bool // the second node of the pair is the primary
	copies     int
	twice      bool           // one NetScaler under two names, and two apps that claim one group
	creates    bool           // adds what is not there
	discovers  string         // apps opt in, and these are more keys of the entry that lets them
	at         *regexp.Regexp // only these calls have faults, as the others are those of other passes; nil: all
	cleans     bool           // removes servers
	slow       bool           // waits without any fault
	waitUp     time.Duration

	plan []string // of a dry run without a fault
}

func (s *scenario) nodes() int {
	if s.pair {
		return 2
	}
	return 1
}

// group is a service group with members, and with what is not Nitrox's: a member
// that an operator disabled (99), one of another network, one for a domain.
func group(name, members string, more ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "add serviceGroup %s HTTP\n", name)
	for n := range strings.FieldsSeq(members) {
		fmt.Fprintf(&b, "bind serviceGroup %s 10.0.0.%s 80\n", name, n)
	}
	fmt.Fprintf(&b, "bind serviceGroup %s 10.0.0.99 80 -weight 3 -state DISABLED\n", name)
	fmt.Fprintf(&b, "bind serviceGroup %s 10.0.1.1 80 -weight 7\n", name)
	for _, line := range more {
		fmt.Fprintf(&b, line+"\n", name)
	}
	return b.String()
}

// listing is a group that takes a list.
func listing(name, members string, more ...string) string {
	return strings.Replace(group(name, members, more...), " HTTP\n", " HTTP -autoScale API\n", 1)
}

// remarked is a group that has a comment.
func remarked(name, members, comment string) string {
	return strings.Replace(group(name, members), " HTTP\n", fmt.Sprintf(" HTTP -comment %q\n", comment), 1)
}

const (
	domain   = "add server shop.example.com shop.example.com\nbind serviceGroup %s shop.example.com 80"
	weighed  = "bind serviceGroup %s 10.0.0.50 80 -weight 9"
	marked   = "bind serviceGroup %s 10.0.0.31 80 -CustomServerID nitrox-10.0.0.31-80 -state DISABLED"
	marked2  = "bind serviceGroup %s 10.0.0.32 80 -CustomServerID nitrox-10.0.0.32-80 -state DISABLED"
	named    = "add server web41 10.0.0.41\nbind serviceGroup %s web41 80"
	everyone = "bind serviceGroup %s 10.0.0.60 *"
	graceful = " -autoDisablegraceful YES -autoDisabledelay 60"
	others   = "add serviceGroup other HTTP\nbind serviceGroup other 10.0.0.1 80\nbind serviceGroup other 10.0.0.4 80\n" +
		"add lb vserver v HTTP 192.0.2.1 80\nbind lb vserver v other\n"
)

func scenarios() []*scenario {
	one := func(members string) wanted { return wanted{"sg-a": want(members)} }
	five := func(suffix ...string) (conf string, w wanted) {
		w = wanted{}
		for i, members := range suffix {
			name := fmt.Sprint("sg-", i)
			conf += group(name, "1 2 3")
			w[name] = want(members)
		}
		return others + conf, w
	}
	fiveConf, fiveWant := five("1 2 3", "1 2 3 4", "1 2", "1 2*4 3", "2 3 4", "1 2 3")
	all := []*scenario{
		{name: "up", conf: others + group("sg-a", "1 2 3 4", domain, weighed), want: one("1 2 3 4 5 6 50")},
		{name: "down", conf: others + group("sg-a", "1 2 3 4", domain, weighed), want: one("1 2 50")},
		{name: "replace", conf: group("sg-a", "1 2 3 4"), want: one("5 6 7 8"), slow: true},
		{name: "swap", conf: others + group("sg-a", "1 2 3 4", domain, weighed, named), want: one("1 2*5 3 5 6 50"), thorough: true},
		{name: "wait up", conf: group("sg-a", "1 2 3 4"), want: one("3 4 5 6 7 8"), app: ", wait_up: 2s", waitUp: 2 * time.Second,
			down: map[string]string{"sg-a": "3 4 5 6 7 8"}, slow: true},
		{name: "drain", conf: others + group("sg-a", "1 2 3 4", domain, weighed), want: one("1 2 5 50"), app: ", drain: 60s", thorough: true},
		{name: "return", conf: group("sg-a", "1 2 3", marked, marked2), want: one("1 2 3 31"), app: ", drain: 60s"},
		{name: "list up", conf: others + listing("sg-a", "1 2 3 4", weighed), want: one("1 2 3 4 5 50")},
		{name: "list down", conf: others + listing("sg-a", "1 2 3 4", weighed), want: one("1 2 3 50")},
		{name: "list swap", conf: listing("sg-a", "1 2 3 4", weighed, "bind serviceGroup %s 10.0.0.51 80 -order 4"),
			want: one("1 2*5 3 5 50 51"), thorough: true},
		{name: "list with grace", conf: strings.Replace(listing("sg-a", "1 2 3 4"), "API", "API"+graceful, 1),
			want: one("1 2 5"), app: ", drain: 60s"},
		{name: "pair", conf: others + group("sg-a", "1 2 3 4"), want: one("1 2 5"), pair: true},
		{name: "pair, second is primary", conf: group("sg-a", "1 2 3 4"), want: one("1 2 5"), pair: true, failedOver: true, app: ", drain: 60s"},
		{name: "pair, list", conf: listing("sg-a", "1 2 3 4"), want: one("1 2 5"), pair: true},
		{name: "partition", conf: "add ns partition web\n" + group("sg-a", "1 2 3 4") + "switch ns partition web\n" + group("sg-a", "1 2 3 4"),
			want: one("1 2 5"), partition: "web"},
		{name: "creation", conf: others, want: one("1 2 3"), creates: true,
			app: ", create: {service_type: HTTP, vserver: {name: lb-a, ip: 192.0.2.5, port: 80}}"},
		{name: "creation of a list", conf: others, want: one("1 2 3"), creates: true,
			app: ", create: {service_type: HTTP, autoscale: API, vserver: {name: v}}"},
		{name: "apps opt in", conf: others + group("sg-a", "1 2 3 4") + remarked("sg-b", "1 2", "of the shop") + remarked("sg-old", "1 2", "nitrox lab shop/sg-old"),
			want: wanted{"sg-a": want("1 2 5"), "sg-b": want("1 2 3"), "sg-c": want("1 2")}, creates: true, discovers: ", create: {service_type: HTTP}", at: regexp.MustCompile(`^\w+ servicegroup(/\.|$)`)},
		{name: "clean servers", conf: others + group("sg-a", "1 2 3 4"), want: one("1 2"),
			app: ", clean_servers: true", cleans: true, thorough: true},
		{name: "five groups", conf: fiveConf, want: fiveWant},
		{name: "five groups, old build", conf: fiveConf, want: fiveWant,
			options: simulator.Options{Lacks: []string{"bulkbindings", "arrays", "action=unbind"}, SwapTypes: true}},
		{name: "two copies", conf: group("sg-a", "1 2 3 4"), want: one("1 2 5"), copies: 2},
		{name: "two copies, list", conf: listing("sg-a", "1 2 3 4"), want: one("1 2 5"), copies: 2},
		{name: "two copies, drain", conf: group("sg-a", "1 2 3 4"), want: one("1 2 5"), copies: 2, app: ", drain: 60s"},
		{name: "one NetScaler twice", conf: group("sg-a", "1 2 3 4"), want: wanted{"sg-a": want("1 2 5"), "sg-b": want("3 4 6")}, twice: true},
		{name: "plan", conf: others + group("sg-a", "1 2 3 4", domain), want: one("1 2 5"), args: []string{"plan"}},
		{name: "plan, list", conf: others + listing("sg-a", "1 2 3 4"), want: one("1 2 5"), args: []string{"plan"}},
		{name: "wildcard", conf: group("sg-a", "1 2 3", everyone), want: one("1 2 4")},
		{name: "nothing to do", conf: others + group("sg-a", "1 2 3", domain, weighed), want: one("1 2 3 50")},
	}
	for _, s := range all {
		s.copies = max(s.copies, 1)
		if s.args == nil {
			s.args = []string{"sync"}
		}
	}
	return all
}
