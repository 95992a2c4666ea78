package file_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nitrox/sources"
	"nitrox/sources/file"
	"nitrox/sources/sourcetest"
)

// poll writes content into a file of its own and asks for the apps.
func poll(t *testing.T, name, content string, apps ...string) ([]sources.Answer, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return pollPath(t, file.Config{Path: sources.Path(path)}, apps...)
}

func pollPath(t *testing.T, config file.Config, apps ...string) ([]sources.Answer, error) {
	t.Helper()
	s, err := file.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	var queries []file.Query
	for _, a := range apps {
		queries = append(queries, file.Query{App: a})
	}
	answers, err := s.Poll(t.Context(), queries, false)
	if err == nil && len(answers) != len(queries) {
		t.Fatalf("%d answers to %d queries", len(answers), len(queries))
	}
	return answers, err
}

func endpoint(addr string, weight int, origin string) sources.Endpoint {
	return sources.Endpoint{Addr: netip.MustParseAddrPort(addr), Weight: weight, Origin: origin}
}

func speaking(p sources.Protocol, e sources.Endpoint) sources.Endpoint {
	e.Protocol = p
	return e
}

// of are endpoints whose weights are parts of the heaviest.
func of(most int, endpoints ...sources.Endpoint) []sources.Endpoint {
	for i := range endpoints {
		endpoints[i].Of = most
	}
	return endpoints
}

func TestReadsEveryForm(t *testing.T) {
	for name, c := range map[string]struct {
		file, content string
		want          []sources.Endpoint
	}{
		"plain JSON": {"e.json", `{"apps": {"web": ["10.0.0.1:80",
			{"address": "10.0.0.2:81", "weight": 2}]}}`,
			of(2, endpoint("10.0.0.1:80", 0, "e.json:1"), endpoint("10.0.0.2:81", 2, "e.json:2"))},
		"plain YAML": {"e.yaml", "apps:\n  web:\n  - 10.0.0.1:80\n  - address: '[2001:db8::1]:81'\n    weight: 100\n...\n",
			of(100, endpoint("10.0.0.1:80", 0, "e.yaml:3"), endpoint("[2001:db8::1]:81", 100, "e.yaml:4"))},
		"consul-template, one app, port as text": {"c", "{\"servicename\": \"web\",\n\"backends\": [{\"host\": \"10.0.0.1\", \"port\": \"80\"}]}",
			[]sources.Endpoint{endpoint("10.0.0.1:80", 0, "c:2")}},
		"consul-template, several apps, port as number": {"c", `[{"servicename": "db", "backends": []},
			{"servicename": "web", "backends": [{"host": "2001:db8::1", "port": 80, "tags": ["v1"]}], "datacenter": "dc1"}]`,
			[]sources.Endpoint{endpoint("[2001:db8::1]:80", 0, "c:2")}},
		"consul-template in YAML": {"c.yml", "servicename: web\nbackends:\n- {host: 10.0.0.1, port: 80}\n...",
			[]sources.Endpoint{endpoint("10.0.0.1:80", 0, "c.yml:3")}},
		"an empty list is the whole truth": {"e.json", `{"apps": {"web": []}}`, nil},
		"the same address twice has the larger weight": {"e.json",
			`{"apps": {"web": [{"address": "10.0.0.1:80", "weight": 3}, "10.0.0.1:80", {"address": "10.0.0.1:80", "weight": 2}]}}`,
			of(3, endpoint("10.0.0.1:80", 3, "e.json:1"))},
		"a port with its protocol": {"e.json", `{"apps": {"web": ["10.0.0.1:53/tcp", "10.0.0.1:53/udp"]}}`,
			[]sources.Endpoint{speaking(sources.TCP, endpoint("10.0.0.1:53", 0, "e.json:1")), speaking(sources.UDP, endpoint("10.0.0.1:53", 0, "e.json:1"))}},
		"consul-template, a port with its protocol": {"c", `{"servicename": "web", "backends": [{"host": "10.0.0.1", "port": "53/udp"}]}`,
			[]sources.Endpoint{speaking(sources.UDP, endpoint("10.0.0.1:53", 0, "c:1"))}},
		"an address that is written as IPv4 in IPv6": {"e.json", `{"apps": {"web": ["[::ffff:10.0.0.1]:80"]}}`,
			[]sources.Endpoint{endpoint("10.0.0.1:80", 0, "e.json:1")}},
		"tabs and escapes of JSON": {"e.json", "{\n\t\"apps\": {\n\t\t\"\\u0077eb\": [\n\t\t\t\"10.0.0.1:80\"\n\t\t]\n\t}\n}\n",
			[]sources.Endpoint{endpoint("10.0.0.1:80", 0, "e.json:4")}},
		"JSON behind a byte order mark": {"e.json", "\ufeff{\"apps\": {\"web\": [\"10.0.0.1:80\"]}}",
			[]sources.Endpoint{endpoint("10.0.0.1:80", 0, "e.json:1")}},
		"YAML behind a byte order mark": {"e.yaml", "\ufeffapps:\n  web: [10.0.0.1:80]\n...",
			[]sources.Endpoint{endpoint("10.0.0.1:80", 0, "e.yaml:2")}},
		"lines that end as on Windows": {"e.yaml", "apps:\r\n  web: [10.0.0.1:80]\r\n...\r\n",
			[]sources.Endpoint{endpoint("10.0.0.1:80", 0, "e.yaml:2")}},
	} {
		t.Run(name, func(t *testing.T) {
			answers, err := poll(t, c.file, c.content, "web", "other")
			if err != nil {
				t.Fatal(err)
			}
			if want := sources.NewAnswer(c.want, nil, nil); !reflect.DeepEqual(answers[0], want) {
				t.Errorf("got %+v\nwant %+v", answers[0], want)
			}
			if !errors.Is(answers[1].Doubt(), sources.ErrAbsent) || answers[1].Endpoints != nil {
				t.Errorf("an app that the file does not name: %+v, want a doubt that is ErrAbsent", answers[1])
			}
		})
	}
}

func TestWhatIsWrongWithOneAppHarmsNoOther(t *testing.T) {
	for name, c := range map[string]struct{ entry, doubt string }{
		"a host name":             {`["db1.example.com:80"]`, `endpoint 1: "db1.example.com" is not an IP address (host names are not resolved`},
		"no port":                 {`["10.0.0.9"]`, `"10.0.0.9" is not an address and port`},
		"IPv6 without brackets":   {`["2001:db8::1:80"]`, `is not an address and port`},
		"port 0":                  {`["10.0.0.9:0"]`, `port "0" is not a number from 1 to 65535`},
		"port too large":          {`["10.0.0.9:65536"]`, `port "65536"`},
		"a zone":                  {`["[fe80::1%eth0]:80"]`, "has a zone"},
		"weight 0":                {`[{"address": "10.0.0.9:80", "weight": 0}]`, `weight "0" is not a whole number from 1 to 100`},
		"weight 101":              {`[{"address": "10.0.0.9:80", "weight": 101}]`, `weight "101"`},
		"weight with a fraction":  {`[{"address": "10.0.0.9:80", "weight": 1.5}]`, `weight "1.5"`},
		"weight null":             {`[{"address": "10.0.0.9:80", "weight": null}]`, `"weight" is null`},
		"weight twice":            {`[{"address": "10.0.0.9:80", "weight": 1, "weight": 2}]`, `"weight" is given twice`},
		"address twice":           {`[{"address": "10.0.0.9:80", "address": "10.0.0.8:80"}]`, `"address" is given twice`},
		"no address":              {`[{"weight": 2}]`, `"address" is missing`},
		"an unknown key":          {`[{"adress": "10.0.0.9:80"}]`, `unknown key "adress"`},
		"null for a list":         {`null`, "found null, expected a list of endpoints"},
		"an object for a list":    {`{"a": 1}`, "found an object, expected a list of endpoints"},
		"text for a list":         {`"10.0.0.9:80"`, "found a plain value, expected a list of endpoints"},
		"null in a list":          {`[null]`, "found null, expected an address and port"},
		"a list in a list":        {`[["10.0.0.9:80"]]`, "found a list, expected an address and port"},
		"two bad, the first told": {`["x:1", "10.0.0.7:80", "y:1"]`, `endpoint 1: "x" is not an IP address (host names are not resolved; write the address) (and 1 more`},
		"the app twice":           {`["10.0.0.9:80"], "bad": ["10.0.0.8:80"]`, `the app is listed twice`},
		"the app three times":     {`[], "bad": [], "bad": []`, `the app is listed twice`},
	} {
		t.Run(name, func(t *testing.T) {
			answers, err := poll(t, "e.json", "{\"apps\": {\"good\": [\"10.0.0.1:80\"],\n\"bad\": "+c.entry+"}}", "good", "bad")
			if err != nil {
				t.Fatal(err)
			}
			if want := []sources.Endpoint{endpoint("10.0.0.1:80", 0, "e.json:1")}; answers[0].Doubt() != nil || !reflect.DeepEqual(answers[0].Endpoints, want) {
				t.Errorf("the good app: %+v, want %+v", answers[0], want)
			}
			doubt := answers[1].Doubt()
			if doubt == nil {
				t.Fatalf("the bad app: no doubt, endpoints %v", answers[1].Endpoints)
			}
			if errors.Is(doubt, sources.ErrAbsent) {
				t.Errorf("the bad app is not absent: %v", doubt)
			}
			for _, part := range []string{"e.json:2: app \"bad\": ", c.doubt} {
				if !strings.Contains(doubt.Error(), part) {
					t.Errorf("doubt %q does not say %q", doubt, part)
				}
			}
		})
	}
}

func TestGoodEndpointsBesideABadOneMayBeAdded(t *testing.T) {
	answers, err := poll(t, "e.json", `{"apps": {"web": ["10.0.0.1:80", "name:80"]}}`, "web")
	if err != nil {
		t.Fatal(err)
	}
	if len(answers[0].Endpoints) != 1 || answers[0].Doubt() == nil {
		t.Errorf("got %+v, want the good endpoint and a doubt", answers[0])
	}
}

func TestConsulFormDoubts(t *testing.T) {
	for name, c := range map[string]struct{ item, doubt string }{
		"a host name":      {`"backends": [{"host": "web.service.consul", "port": 80}]`, `"web.service.consul" is not an IP address`},
		"no host":          {`"backends": [{"port": 80}]`, `"host" is missing`},
		"no port":          {`"backends": [{"host": "10.0.0.1"}]`, `"port" is missing`},
		"an empty port":    {`"backends": [{"host": "10.0.0.1", "port": ""}]`, `port "" is not a number`},
		"an address, bare": {`"backends": ["10.0.0.1:80"]`, "found a plain value, expected an object with host and port"},
		"no backends":      {`"backend": []`, `"backends" is missing`},
		"backends twice":   {`"backends": [], "backends": []`, `"backends" is given twice`},
		"backends null":    {`"backends": null`, "found null, expected a list of endpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			answers, err := poll(t, "c", `[{"servicename": "bad", `+c.item+`}, {"servicename": "good", "backends": []}]`, "good", "bad")
			if err != nil {
				t.Fatal(err)
			}
			if answers[0].Doubt() != nil {
				t.Errorf("the good app: %v", answers[0].Doubt())
			}
			if d := answers[1].Doubt(); d == nil || !strings.Contains(d.Error(), c.doubt) {
				t.Errorf("doubt %v does not say %q", d, c.doubt)
			}
		})
	}
}

func TestNothingIsKnownFromAFileThatIsNotWhole(t *testing.T) {
	for name, c := range map[string]struct{ content, err string }{
		"empty":                   {"", "the file is empty"},
		"blank":                   {" \n\t\n", "the file is empty"},
		"null":                    {"null\n...", "found null, expected an object with apps"},
		"no apps":                 {"{}", `"apps" is missing`},
		"no app in a list":        {"[]", "an empty list names no app"},
		"apps null":               {`{"apps": null}`, `"apps" is null`},
		"apps twice":              {`{"apps": {}, "apps": {}}`, `"apps" is given twice`},
		"an unknown key":          {`{"apps": {}, "app": {}}`, `unknown key "app"`},
		"cut-off JSON":            {"{\"apps\": {\"web\": [\"10.0.0.1:80\"\n", "endpoints:1:32: the JSON is cut off here; rename only whole files into place"},
		"bad JSON":                {`{"apps": {"web": [1 2]}}`, "not valid JSON"},
		"JSON and something":      {`{"apps": {}} {"apps": {}}`, "there is more after the end of the JSON value"},
		"JSON without commas":     {`{"servicename": "a", "backends": []}{"servicename": "b", "backends": []}`, "there is more after"},
		"nested JSON":             {`{"apps": ` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "nested too deeply"},
		"nested YAML":             {"apps: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "\n...", "nested too deeply"},
		"HTML":                    {"<html><body>502</body></html>", "begins with <"},
		"cut-off YAML":            {"apps:\n  web:\n  - 10.0.0.1:80\n", "must end with a line of three dots"},
		"dots in the middle":      {"apps:\n  web: []\n...\n---\napps: {}\n", "must end with a line of three dots"},
		"a second document":       {"apps: {}\n---\napps: {}\n...\n", "endpoints:2:1: a second document begins here, and a file of endpoints has only one; remove it"},
		"only dots":               {"...\n", "the file is empty"},
		"bad YAML":                {"apps: [\n...\n", "endpoints:1:7: the [ that begins here is not closed"},
		"a list as a key":         {"apps:\n  ? [a]\n  : []\n...", "a key must be plain text"},
		"aliases":                 {"apps:\n  a: &x [10.0.0.1:80]\n  b: *x\n...", "aliases are not supported"},
		"a consul app unnamed":    {`[{"backends": []}]`, `entry 1 of the list: line 1: "servicename" is missing`},
		"a consul app named null": {`[{"servicename": null, "backends": []}]`, `"servicename" is missing`},
		"a consul app named twice": {`{"servicename": "a", "servicename": "b", "backends": []}`,
			`"servicename" is given twice`},
		"a list of text": {`["web"]`, "found a plain value, expected an object with servicename and backends"},
	} {
		t.Run(name, func(t *testing.T) {
			answers, err := poll(t, "endpoints", c.content, "web")
			if err == nil || answers != nil {
				t.Fatalf("got %+v and error %v, want an error alone", answers, err)
			}
			if !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "endpoints") {
				t.Errorf("error %q does not name the file and say %q", err, c.err)
			}
		})
	}
}

// Where a file stops being JSON or YAML is told by line and column, whatever
// mark an editor left at its beginning.
func TestTheFaultIsPointedAt(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"a comma missing":        {"{\"apps\": {\n  \"web\": [\"10.0.0.1:80\" \"10.0.0.2:80\"]}}", ":2:25: not valid JSON: a , or ] is missing before this"},
		"a comma too many":       {"{\"apps\": {\n  \"web\": [\"10.0.0.1:80\",]}}", ":2:25: not valid JSON: a comma before this ]; remove it"},
		"an escape":              {"{\"apps\": {\n  \"w\\q\": []}}", ":2:6: not valid JSON: a \\ begins an escape sequence"},
		"a literal cut":          {"{\"apps\": {\n  \"web\": [tru]}}", ":2:14: not valid JSON"},
		"cut off":                {"{\"apps\": {\n  \"web\": [\n\n", ":2:11: the JSON is cut off here"},
		"more":                   {"{\"apps\": {}}\n\n  {}", ":3:3: there is more after the end"},
		"after wide letters":     {"{\"apps\": {\"\u5e97\" []}}", ":1:15: not valid JSON"},
		"after a mark":           {"\ufeff{\"apps\" {}}", ":1:9: not valid JSON"},
		"YAML, a key too far":    {"apps:\n  web: []\n   cart: []\n...", ":3:4: this line is indented by 3"},
		"YAML, after a mark":     {"\ufeffapps: web: []\n...", ":1:10: a second"},
		"YAML, a quote":          {"apps:\n  web: ['10.0.0.1:80]\n...", ":2:9: the quote that begins here is not closed"},
		"YAML, lines of Windows": {"apps:\r\n  web: [\r\n  cart: []\r\n...\r\n", ":2:8: the [ that begins here is not closed"},
		"YAML, a NUL":            {"apps:\n  web: [\"10.0.0.1:80\x00\"]\n...", ":2:21: contains the invisible character U+0000"},
		"UTF-16":                 {"\xff\xfe{\x00}\x00", ":1:1: is UTF-16"},
		"UTF-16 without a mark":  {"{\x00\"\x00a\x00", ":1:1: is UTF-16"},
		"an archive":             {"\x1f\x8b\x08\x00\x00\x00\x00\x00", ":1:1: is not a text file"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := poll(t, "e", c.content, "web"); err == nil || !strings.Contains(err.Error(), "/e"+c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
		})
	}
}

func TestNothingIsKnownFromAFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	f, err := os.Create(large)
	if err == nil {
		err = errors.Join(f.Truncate(33<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "no such file",
		dir:                           "not a regular file",
		pipe:                          "not a regular file",
		large:                         "larger than 16 MiB",
	} {
		if _, err := pollPath(t, file.Config{Path: sources.Path(path)}, "web"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v does not name it and say %q", path, err, want)
		}
	}
}

func TestMaxAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.json")
	if err := os.WriteFile(path, []byte(`{"apps": {"web": []}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		age, max time.Duration
		old      bool
	}{
		{age: 2 * time.Hour, max: time.Hour, old: true},
		{age: 30 * time.Minute, max: time.Hour},
		{age: 1000 * time.Hour, max: 0},
		{age: -time.Hour, max: time.Minute}, // written by a machine whose clock is ahead
	} {
		written := time.Now().Add(-c.age)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
		_, err := pollPath(t, file.Config{Path: sources.Path(path), MaxAge: c.max}, "web")
		if c.old != (err != nil) {
			t.Errorf("age %v, max_age %v: error %v", c.age, c.max, err)
		}
		if err != nil && !strings.Contains(err.Error(), "last written 2h0m0s ago, longer than max_age 1h0m0s") {
			t.Errorf("unclear error %q", err)
		}
	}
}

func TestSuite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.json")
	if err := os.WriteFile(path, []byte(`{"apps": {"web": ["10.0.0.1:80", {"address": "[2001:db8::1]:80", "weight": 3}]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	sourcetest.Run(t, sourcetest.Fixture{
		Open: func(t *testing.T, _ string) sources.Opened {
			s, err := sources.Define("file", file.Open).Open(file.Config{Path: sources.Path(path)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Query:  file.Query{App: "web"},
		Want:   of(3, endpoint("10.0.0.1:80", 0, ""), endpoint("[2001:db8::1]:80", 3, "")),
		Absent: file.Query{App: "wed"},
	})
}

// A rename between two polls is how writers change the file.
func TestReadsAnewOnEachPoll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "e.json")
	s, err := file.Open(file.Config{Path: sources.Path(path)})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		next := filepath.Join(dir, "next")
		if err := os.WriteFile(next, fmt.Appendf(nil, `{"apps": {"web": ["10.0.0.%d:80"]}}`, i), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
		answers, err := s.Poll(t.Context(), []file.Query{{App: "web"}}, false)
		if err != nil {
			t.Fatal(err)
		}
		if want := endpoint(fmt.Sprintf("10.0.0.%d:80", i), 0, "e.json:1"); !reflect.DeepEqual(answers[0].Endpoints, []sources.Endpoint{want}) {
			t.Errorf("poll %d: %+v, want %+v", i, answers[0], want)
		}
	}
}

func TestPollStopsWithItsContext(t *testing.T) {
	s, err := sources.Define("file", file.Open).Open(file.Config{Path: "never-read"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Poll(ctx, []any{file.Query{App: "web"}}, false); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if answers, err := s.Poll(t.Context(), nil, false); err != nil || len(answers) != 0 {
		t.Errorf("without queries: %v, %v; the file need not be there", answers, err)
	}
}

func TestOpenRefusesABadConfiguration(t *testing.T) {
	_, err := file.Open(file.Config{MaxAge: -1})
	var key *sources.KeyError
	if !errors.As(err, &key) || key.Key != "path" || !strings.Contains(err.Error(), "max_age: -1ns is negative") {
		t.Errorf("error %v does not tell of both keys", err)
	}
	if err := (file.Query{}).Check(); !errors.As(err, &key) || key.Key != "app" {
		t.Errorf("error %v does not tell of the query's key", err)
	}
}

// What many sources have in one file is read once for all that ask at a time.
func TestOneReadForAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "endpoints.json")
	text := `{"apps":{"web":["10.0.0.1:80"` + strings.Repeat(`,"10.0.0.1:80"`, 50_000) + `]}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := file.Open(file.Config{Path: sources.Path(path)})
	if err != nil {
		t.Fatal(err)
	}
	allocated := func(polls int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var all sync.WaitGroup
		for range polls {
			all.Go(func() {
				if _, err := s.Poll(t.Context(), []file.Query{{App: "web"}}, false); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if one, many := allocated(1), allocated(100); many > 10*one {
		t.Errorf("one poll takes %d bytes, a hundred at once %d", one, many)
	}
}

// Of thousands of apps that are missing, only the first are told which is nearest.
func TestManyAbsent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "endpoints.json")
	if err := os.WriteFile(path, []byte(`{"apps":{"web":[]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := file.Open(file.Config{Path: sources.Path(path)})
	if err != nil {
		t.Fatal(err)
	}
	answers, err := s.Poll(t.Context(), slices.Repeat([]file.Query{{App: "wed"}}, 100), false)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, a := range answers {
		if !errors.Is(a.Doubt(), sources.ErrAbsent) {
			t.Fatal(a.Doubt())
		}
		if strings.Contains(a.Doubt().Error(), "did you mean web?") {
			told++
		}
	}
	if told != 20 {
		t.Errorf("%d are told", told)
	}
}
