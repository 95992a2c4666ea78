package discover_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nitrox/sources"
	"nitrox/sync/discover"
)

var edge = []string{"edge"}

func entry(source string, change ...func(*discover.Entry)) discover.Entry {
	e := discover.Entry{Source: source, Group: "{namespace}_{name}_{port}", NetScalers: edge, Owner: source, Most: 75, Drain: 30 * time.Second,
		Allow: map[string][]string{"shop": {"sg-shop-*"}, "bank": {"sg-bank-*"}}}
	for _, c := range change {
		c(&e)
	}
	return e
}

func sharing(e *discover.Entry)  { e.Share = true }
func draining(e *discover.Entry) { e.Orphans = true }

// object is what the owner of a service writes: "shop/web port=http,https weight=5".
func object(text string) sources.Found {
	words := strings.Fields(text)
	namespace, name, _ := strings.Cut(words[0], "/")
	f := sources.Found{Namespace: namespace, Name: name, What: "service " + words[0], Settings: map[string]string{}, Ports: []sources.Port{"http"}}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "ports":
			f.Ports = nil
			for p := range strings.SplitSeq(value, ",") {
				f.Ports = append(f.Ports, sources.Port(p))
			}
		case "doubt":
			f.Doubt = errors.New(value)
		default:
			f.Settings[key] = value
		}
	}
	f.Query = func(port sources.Port, address string) (any, error) {
		if address == "moon" {
			return nil, &sources.KeyError{Key: "address", Err: errors.New("moon is no sort of address")}
		}
		return words[0] + ":" + string(port) + address, nil
	}
	return f
}

func objects(texts ...string) sources.Findings {
	var found []sources.Found
	for _, t := range texts {
		found = append(found, object(t))
	}
	return sources.NewFindings(found, nil)
}

func none(_, _ string) string { return "" }
func free(string) bool        { return false }

// say is what became of the objects, an app a line.
func say(r discover.Apps) (lines []string) {
	for _, a := range r.Apps {
		line := fmt.Sprintf("%s on %s", a.Name, strings.Join(a.NetScalers, "+"))
		for _, p := range a.Parts {
			line += fmt.Sprintf(" <- %d %v", p.Entry, p.Query)
			if p.Weight+p.Order > 0 {
				line += fmt.Sprintf(" weight %d order %d", p.Weight, p.Order)
			}
		}
		if a.Drain > 30*time.Second {
			line += " drain " + a.Drain.String()
		}
		if a.Refused != nil {
			line += " !! " + a.Refused.Error()
		}
		if a.Doubt != nil {
			line += " ?? " + a.Doubt.Error()
		}
		lines = append(lines, line)
	}
	return lines
}

func TestWhatOwnersSay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		object string
		want   []string // the beginning of each app
	}{
		{"shop/web", []string{"shop_web_http on edge <- 0 shop/web:http"}},
		{"shop/web ports=http,https port=http,https", []string{"shop_web_http on edge <- 0 shop/web:http", "shop_web_https on edge <- 0 shop/web:https"}},
		{"shop/web ports=53/udp", []string{"shop_web_53-udp on edge <- 0 shop/web:53/udp"}},
		{"shop/web service-group=sg-shop-1", []string{"sg-shop-1 on edge <- 0 shop/web:http"}},
		{"shop/web port=80,81 service-group=sg-shop-1,sg-shop-2", []string{"sg-shop-1 on edge <- 0 shop/web:80", "sg-shop-2 on edge <- 0 shop/web:81"}},
		{"shop/web weight=50 order=2 drain=5m address=pod_ip", []string{"shop_web_http on edge <- 0 shop/web:httppod_ip weight 50 order 2 drain 5m0s"}},
		// What is not allowed is a doubt of the app.
		{"shop/web service-group=sg-bank-1", []string{"shop/web on edge !! service shop/web: nitrox.io/service-group: sg-bank-1 is not allowed in namespace shop"}},
		{"shop/web service-group=sg-shop-1,sg-bank-1 port=80,81", []string{"shop/web on edge !! service shop/web: nitrox.io/service-group: sg-bank-1 is not allowed"}},
		{"lab/web service-group=sg-shop-1", []string{"lab/web on edge !! service lab/web: nitrox.io/service-group: sg-shop-1 is not allowed in namespace lab; allow it in allow_groups"}},
		{"shop/web service-group=sg-shop-1,sg-shop-2", []string{"sg-shop-1 on edge !! service shop/web: nitrox.io/service-group: names 2, and there are 1 ports", "sg-shop-2 on edge !!"}},
		{"shop/web service-group=sg-shop-[1-9]", []string{`shop/web on edge !! service shop/web: nitrox.io/service-group: "sg-shop-[1-9]" cannot be the name`}},
		{"shop/web service-group=", []string{`shop/web on edge !! service shop/web: nitrox.io/service-group: "" cannot be the name`}},
		{"shop/web ports=http,https", []string{"shop/web on edge !! service shop/web: nitrox.io/port: is missing, and there are several; choose from http, https"}},
		{"shop/web port=http,", []string{`shop/web on edge !! service shop/web: nitrox.io/port: "" is not a port`}},
		{"shop/web port=" + strings.Repeat("1,", 16) + "1", []string{`shop/web on edge !! service shop/web: nitrox.io/port: lists 17 ports, each of which would have a service group; list at most 16`}},
		{"shop/web port=80/tpc", []string{`shop/web on edge !! service shop/web: nitrox.io/port: "80/tpc" is not a port`}},
		{"shop/web port=a_b", []string{`shop/web on edge !! service shop/web: nitrox.io/port: "a_b" is not a port`}},
		{"shop/web weight=0", []string{`shop_web_http on edge !! service shop/web: nitrox.io/weight: "0" is not a number from 1 to 100`}},
		{"shop/web weight=101", []string{`shop_web_http on edge !! service shop/web: nitrox.io/weight`}},
		{"shop/web order=9000", []string{`shop_web_http on edge !! service shop/web: nitrox.io/order: "9000" is not a number from 1 to 8192`}},
		{"shop/web drain=1s", []string{`shop_web_http on edge !! service shop/web: nitrox.io/drain: 1s is shorter than the 30s that the mapping says`}},
		{"shop/web drain=2h", []string{`shop_web_http on edge !! service shop/web: nitrox.io/drain: 2h is longer than the 1h0m0s that an owner may ask for`}},
		{"shop/web drain=31.5s", []string{`shop_web_http on edge !! service shop/web: nitrox.io/drain: "31.5s" is not a time in whole seconds`}},
		{"shop/web address=moon", []string{`shop_web_http on edge !! service shop/web: nitrox.io/address: moon is no sort`}},
		{"shop/web allow-empty=true", []string{`shop_web_http on edge !! service shop/web: nitrox.io/allow-empty: an owner cannot say this, only the mapping`}},
		{"shop/web max-remove=100%", []string{`shop_web_http on edge !! service shop/web: nitrox.io/max-remove`}},
		{"shop/web force=true", []string{`shop_web_http on edge !! service shop/web: nitrox.io/force`}},
		{"shop/web only=0.0.0.0/0", []string{`shop_web_http on edge !! service shop/web: nitrox.io/only`}},
		{"shop/web create=HTTP", []string{`shop_web_http on edge !! service shop/web: nitrox.io/create`}},
		{"shop/web prot=80", []string{`shop_web_http on edge !! service shop/web: nitrox.io/prot: there is no such setting; did you mean nitrox.io/port?`}},
		{"shop/web %s%d%w=1", []string{`shop_web_http on edge !! service shop/web: nitrox.io/%s%d%w: an owner cannot say this, only the mapping; remove it`}},
		{"shop/web " + strings.Repeat("x", 5000) + "=1", []string{`shop_web_http on edge !! service shop/web: nitrox.io/` + strings.Repeat("x", 499) + "…: an owner cannot say this, only the mapping; remove it"}},
		{"shop/web doubt=unclear", []string{`shop/web on edge !! service shop/web: unclear`}},
	} {
		got := say(discover.Of([]discover.Entry{entry("prod")}, []sources.Findings{objects(c.object, "bank/api")}, none, free))
		want := slices.Concat(c.want, []string{"bank_api_http on edge <- 0 bank/api:http"})
		if len(got) != len(want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.object, strings.Join(got, "\n"), strings.Join(want, "\n"))
			continue
		}
		for _, w := range want {
			if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, w) }) {
				t.Errorf("%s:\n%s\nwant\n%s", c.object, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

func TestSeveralClaimOneGroup(t *testing.T) {
	t.Parallel()
	failed := sources.NewFindings(nil, errors.New("403 Forbidden"))
	a, shareA, shareB := entry("a"), entry("a", sharing), entry("b", sharing)
	for name, c := range map[string]struct {
		entries []discover.Entry
		found   []sources.Findings
		want    []string
	}{
		"in one entry": {[]discover.Entry{a}, []sources.Findings{objects("shop/x service-group=sg-shop-1", "shop/y service-group=SG-shop-1", "shop/z service-group=sg-shop-1")},
			[]string{"sg-shop-1 on edge !! service shop/x of source a and service shop/z of source a claim service group sg-shop-1, so nothing of it is changed; take the label",
				"shop/y on edge !! service shop/y: nitrox.io/service-group: SG-shop-1 is not allowed"}},
		"one of them in doubt": {[]discover.Entry{a}, []sources.Findings{objects("shop/x service-group=sg-shop-1", "shop/y service-group=sg-shop-1 force=1")},
			[]string{"sg-shop-1 on edge !! service shop/x of source a and service shop/y of source a claim"}},
		"of two entries": {[]discover.Entry{a, shareB}, []sources.Findings{objects("shop/web"), objects("shop/web")},
			[]string{"shop_web_http on edge !! service shop/web of source a and service shop/web of source b claim service group shop_web_http, so nothing of it is changed; " +
				"give one of them another group or, if it is to have the endpoints of both, let both entries of discover have share: true"}},
		"shared":            {[]discover.Entry{shareA, shareB}, []sources.Findings{objects("shop/web"), objects("shop/web")}, []string{"shop_web_http on edge <- 0 shop/web:http <- 1 shop/web:http"}},
		"shared, weighted":  {[]discover.Entry{shareA, shareB}, []sources.Findings{objects("shop/web weight=20"), objects("shop/web order=3 drain=1m")}, []string{"shop_web_http on edge <- 0 shop/web:http weight 20 order 1 <- 1 shop/web:http weight 100 order 3 drain 1m0s"}},
		"a partner fails":   {[]discover.Entry{shareA, shareB}, []sources.Findings{objects("shop/web"), failed}, []string{"shop_web_http on edge <- 0 shop/web:http ?? apps of source b may share it, and are not known: 403 Forbidden"}},
		"a partner is void": {[]discover.Entry{shareA, shareB}, []sources.Findings{objects("shop/web"), objects()}, []string{"shop_web_http on edge <- 0 shop/web:http ?? apps of source b may share it, and it has none at all; if"}},
		"a partner has no such app": {[]discover.Entry{shareA, shareB}, []sources.Findings{objects("shop/web"), objects("bank/api")},
			[]string{"bank_api_http on edge <- 1 bank/api:http", "shop_web_http on edge <- 0 shop/web:http"}},
		"a partner's is in doubt": {[]discover.Entry{shareA, shareB}, []sources.Findings{objects("shop/web"), objects("shop/web weight=x")},
			[]string{`shop_web_http on edge <- 0 shop/web:http ?? service shop/web: nitrox.io/weight: "x" is not`}},
		"a partner's group is not known": {[]discover.Entry{shareA, shareB}, []sources.Findings{objects("shop/web"), objects("shop/web service-group=sg-x")},
			[]string{"shop_web_http on edge <- 0 shop/web:http ?? service shop/web of source b may share it: nitrox.io/service-group", "shop/web on edge !! service shop/web: nitrox.io/service-group: sg-x is not allowed"}},
		"a group by its name alone": {[]discover.Entry{shareA, entry("b", sharing, func(e *discover.Entry) { e.Group, e.Namespaces = "shop_{name}_{port}", []string{"evil"} })},
			[]sources.Findings{objects("shop/web"), objects("evil/web")}, []string{"shop_web_http on edge !! service shop/web of source a and service evil/web of source b claim service group shop_web_http, so nothing of it is changed; they are of different namespaces"}},
		"on another NetScaler": {[]discover.Entry{a, entry("b", func(e *discover.Entry) { e.NetScalers = []string{"dmz"} })}, []sources.Findings{objects("shop/web"), objects("shop/web")},
			[]string{"shop_web_http on dmz <- 1 shop/web:http", "shop_web_http@edge on edge <- 0 shop/web:http"}},
		"on one of two": {[]discover.Entry{shareA, entry("b", sharing, func(e *discover.Entry) { e.NetScalers = []string{"dmz", "edge"} })}, []sources.Findings{objects("shop/web"), objects("shop/web")},
			[]string{"shop_web_http on dmz <- 1 shop/web:http", "shop_web_http@edge on edge <- 0 shop/web:http <- 1 shop/web:http"}},
	} {
		got := say(discover.Of(c.entries, c.found, none, free))
		ok := len(got) == len(c.want)
		for i := range c.want {
			ok = ok && strings.HasPrefix(got[i], c.want[i])
		}
		if !ok {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestAnAppOfTheMappingWins(t *testing.T) {
	t.Parallel()
	r := discover.Of([]discover.Entry{entry("prod")}, []sources.Findings{objects("shop/web", "shop/api")},
		func(_, group string) string { return map[string]string{"shop_web_http": "Web"}[group] }, func(name string) bool { return name == "shop_api_http" })
	if got := say(r); len(got) != 1 || got[0] != "shop_api_http@edge on edge <- 0 shop/api:http" {
		t.Errorf("%s", got)
	}
	if got := fmt.Sprint(r.Beaten); got != "map[Web:[service shop/web of source prod claims this service group too, and is not served: "+
		"an app of the mapping comes first; take its label away, or remove this app]]" {
		t.Error(got)
	}
	var many []string // of one tenant, who is not to fill the report of another
	for i := range 1000 {
		many = append(many, fmt.Sprintf("shop/web%d service-group=sg-shop-1", i))
	}
	r = discover.Of([]discover.Entry{entry("prod")}, []sources.Findings{objects(many...)}, func(_, group string) string { return "Web" }, free)
	if got := r.Beaten["Web"]; len(got) != 1 || !strings.HasPrefix(got[0], "service shop/web0 of source prod, the first of 1000, claims this service group too, and is not served: ") {
		t.Error(got)
	}
}

// The orphans are told from what is marked on the NetScaler, and of no owner of whom it
// is not known which apps there are.
func TestOrphans(t *testing.T) {
	t.Parallel()
	failed := sources.NewFindings(nil, errors.New("403 Forbidden"))
	marks := map[string]string{
		"shop_web_http": "nitrox prod shop/web", "shop_old_http": "nitrox prod shop/old", "shop_odd_http": "nitrox prod shop/odd",
		"theirs": "nitrox other shop/x", "an operator's": "nitrox prod, do not touch", "empty": "", "written": "nitrox prod shop/w",
	}
	for name, c := range map[string]struct {
		entries []discover.Entry
		found   []sources.Findings
		want    string
	}{
		"kept":                     {[]discover.Entry{entry("prod")}, []sources.Findings{objects("shop/web", "shop/odd service-group=x")}, "shop_old_http"},
		"drained":                  {[]discover.Entry{entry("prod", draining)}, []sources.Findings{objects("shop/web", "shop/odd force=1")}, "shop_old_http leaving"},
		"a failure":                {[]discover.Entry{entry("prod", draining)}, []sources.Findings{failed}, ""},
		"a failure of the owner's": {[]discover.Entry{entry("prod"), entry("b", func(e *discover.Entry) { e.Owner, e.NetScalers = "prod", []string{"dmz"} })}, []sources.Findings{objects("shop/web", "shop/odd"), failed}, ""},
		"an object of which not even the name is known": {[]discover.Entry{entry("prod", draining)}, []sources.Findings{sources.NewFindings([]sources.Found{
			object("shop/web"), {Name: "container x", What: "container x", Doubt: errors.New("it is not known of which app it is")}}, nil)}, ""},
		"another's failure": {[]discover.Entry{entry("prod"), entry("b")}, []sources.Findings{objects("shop/web", "shop/odd"), failed}, "shop_old_http"},
		"all at once": {[]discover.Entry{entry("prod", draining)}, []sources.Findings{objects()},
			"shop_odd_http: not drained: no app of owner prod is left at all, which looks like a mistake; if it is none, drain it by hand, shop_old_http: not drained"},
		"too many": {[]discover.Entry{entry("prod", draining, func(e *discover.Entry) { e.Most, e.Count = 1, true })}, []sources.Findings{objects("shop/web")},
			"shop_odd_http: not drained: no app claims 2 of 4 service groups of owner prod, over max_remove"},
		"not agreed": {[]discover.Entry{entry("prod", draining), entry("b", func(e *discover.Entry) { e.Owner = "prod" })}, []sources.Findings{objects("shop/web", "shop/odd"), objects()},
			"shop_old_http: not drained: another entry of owner prod says orphans: keep"},
	} {
		r := discover.Of(c.entries, c.found, none, free)
		var got []string
		for _, a := range r.Orphans(map[string]map[string]string{"edge": marks}, func(group string) bool { return group == "written" }) {
			if a.Name != "shop_web_http" {
				got = append(got, strings.TrimSuffix(a.Name+map[bool]string{true: " leaving"}[a.Leaving]+": "+a.Note, ": "))
			}
		}
		if text := strings.Join(got, ", "); !strings.HasPrefix(text, c.want) || c.want == "" && text != "" || strings.Count(text, "shop_") > 2 {
			t.Errorf("%s: %s\nwant %s", name, text, c.want)
		}
	}
}

// An owner changes nothing but the own apps, whatever is written on an object.
func TestNoOwnerChangesTheAppOfAnother(t *testing.T) {
	t.Parallel()
	word := rapid.SampledFrom([]string{"", "sg-shop-1", "sg-bank-1", "shop_web_http", "bank_api_http", "bank/api", "http,http", "1", "-1", "100", "9999", "1s", "5m", "9h", "true", "*", "${X}", "\n", "sg-shop-1,sg-shop-2"})
	key := rapid.SampledFrom([]string{"service-group", "port", "address", "weight", "order", "drain", "only", "force", "allow-empty", "share", "x\ny"})
	name := rapid.SampledFrom([]string{"web", "api", "web_http", "a", "bank_api", "x-y"})
	rapid.Check(t, func(t *rapid.T) {
		entries := []discover.Entry{entry("a", sharing), entry("b", sharing)}
		others := []sources.Findings{objects("bank/api", "bank/web service-group=sg-bank-1", "shop/q"), objects("bank/api", "lab/web", "shop/q")}
		before := discover.Of(entries, others, none, free)
		in := rapid.IntRange(0, 1).Draw(t, "entry")
		hostile := object("shop/" + name.Draw(t, "name"))
		hostile.Settings = rapid.MapOfN(key, word, 0, 3).Draw(t, "settings")
		found, _ := others[in].All()
		others[in] = sources.NewFindings(append(slices.Clone(found), hostile), nil)
		after := discover.Of(entries, others, none, free)
		for _, app := range before.Apps {
			i := slices.IndexFunc(after.Apps, func(a discover.App) bool { return a.Name == app.Name })
			if i < 0 || !reflect.DeepEqual(after.Apps[i], app) {
				t.Fatalf("%v of shop changed %s:\n%s", hostile.Settings, app.Name, strings.Join(say(after), "\n"))
			}
		}
	})
}

// No two objects of different owners have one group by a name that was not refused: all
// that a few namespaces and names can make of some templates. Who owns the path of a
// Marathon group owns what is below it.
func TestNoNamespaceWritesTheNameOfAnothersGroup(t *testing.T) {
	t.Parallel()
	taken := 0
	for _, kind := range []struct {
		never             string
		namespaces, names []string
	}{
		{"_./#:@= ", []string{"a", "ab", "a-b", "b"}, []string{"a", "b", "a-b", "b-a", "ba"}},
		{"_#:@= ", []string{"a", "a-b", "a.b", "a/b", "a/b-a"}, []string{"a", "b", "a-b", "b-a", "b.a", "a.b"}},
	} {
		fits := func(n string) bool { return !strings.ContainsAny(n, kind.never) }
		for _, template := range []string{"{namespace}-{name}-{port}", "{namespace}.{name}.{port}", "{namespace}_{name}_{port}", "{namespace}{name}", "{name}-{namespace}",
			"x-{namespace}-{name}", "{namespace}#{name}", "{namespace}-{port}-{name}", "{name}", "{namespace}_{name}-a_{port}"} {
			for listed := range 1 << len(kind.namespaces) {
				var list, all []string
				for i, n := range kind.namespaces {
					if listed&(1<<i) != 0 {
						list = append(list, n)
					}
				}
				if all = list; list == nil {
					all = kind.namespaces
				}
				e := entry("prod", func(e *discover.Entry) { e.Group, e.Namespaces = template, list })
				if e.Check(fits) != nil {
					continue
				}
				taken++
				owner := map[string]string{}
				for _, n := range all {
					for _, below := range []string{"", "/a", "/b"} {
						if fits("a/b") || below == "" {
							owner[n+below] = n
						}
					}
				}
				for _, n := range all {
					owner[n] = n
				}
				var found []sources.Found
				for n := range owner {
					for _, name := range kind.names {
						found = append(found, object(n+" "))
						found[len(found)-1].Namespace, found[len(found)-1].Name = n, name
					}
				}
				groups := map[string]string{}
				for _, f := range found {
					r := discover.Of([]discover.Entry{e}, []sources.Findings{sources.NewFindings([]sources.Found{f}, nil)}, none, free)
					of := owner[f.Namespace]
					if list == nil {
						of = f.Namespace
					}
					if other, there := groups[r.Apps[0].Group]; there && r.Apps[0].Group != "" && other != of {
						t.Fatalf("%s of %v: %s/%s has the group %s, which is also one of %s", template, list, f.Namespace, f.Name, r.Apps[0].Group, other)
					}
					groups[r.Apps[0].Group] = of
				}
			}
		}
	}
	if taken < 100 {
		t.Errorf("only %d mappings were not refused", taken)
	}
}

// What one tenant writes amiss on many objects costs the others nothing.
func TestManyObjectsInDoubtCostOthersLittle(t *testing.T) {
	var a, b []string
	for i := range 5000 {
		a = append(a, fmt.Sprintf("shop/web%d", i))
		b = append(b, fmt.Sprintf("evil/web%d port=!", i))
	}
	entries, found := []discover.Entry{entry("a", sharing), entry("b", sharing)}, []sources.Findings{objects(a...), objects(b...)}
	if n := testing.AllocsPerRun(1, func() { discover.Of(entries, found, none, free) }); n > 100*5000 {
		t.Errorf("%.0f allocations", n)
	}
}
