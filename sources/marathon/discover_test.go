package marathon_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"nitrox/sources"
	"nitrox/sources/marathon"
	"nitrox/sources/marathon/marathontest"
	"nitrox/sources/sourcetest"
)

// labelled is an app on the host's network, with two ports and some labels.
func labelled(id, labels string) string {
	return fmt.Sprintf(`{"id": %q, "cmd": "web", "instances": 1, "labels": {%s}, "networks": [{"mode": "host"}],
		"portDefinitions": [{"port": 10000, "name": "http", "protocol": "tcp"}, {"port": 10001, "protocol": "udp,tcp"}]}`, id, labels)
}

func optedIn(t *testing.T, o marathontest.Options) *marathontest.Cluster {
	return deployed(t, o, labelled("/shop/cart", `"nitrox": "on"`), labelled("/shop/web", `"nitrox": "on", "nitrox.io/port": "http", "nitrox.io/order": "2"`),
		labelled("/shop/eu/web", `"nitrox": "on"`), labelled("/shop/internal", `"nitrox": "off"`), labelled("/shop/other", ""),
		labelled("/shop-a/web", `"nitrox": "on"`), labelled("/web", `"nitrox": "on"`))
}

func app(namespace, name string, settings map[string]string) sources.Found {
	id := "/" + strings.TrimPrefix(namespace+"/"+name, "/")
	return sources.Found{Namespace: namespace, Name: name, What: "app " + id, Settings: settings, Ports: []sources.Port{"http", "1/udp", "1/tcp"},
		Query: func(port sources.Port, _ string) (any, error) { return marathon.Query{App: id, Port: port}, nil }}
}

func TestDiscover(t *testing.T) {
	const max = 1 << 20
	broken := optedIn(t, marathontest.Options{})
	broken.Raw(`{"id": "/lab/odd", "labels": {"nitrox": "on"}, "ports": "31000"}`)
	sourcetest.Discover(t, sourcetest.Fixture{
		Open: func(t *testing.T, url string) sources.Opened {
			return opened(t, marathon.Config{URLs: []string{url}}, func(s *marathon.Source) { s.Limit(max) })
		},
		Query:       sources.Selection{Select: "nitrox=on", Namespaces: []string{"shop"}},
		Absent:      sources.Selection{Select: "nitrox=on", Namespaces: []string{"sho", "shop/web"}},
		Handler:     optedIn(t, marathontest.Options{}).Handler(0),
		Requests:    []string{"/v2/apps"},
		MaxBody:     max,
		Broken:      broken.Handler(0),
		BrokenQuery: sources.Selection{Select: "nitrox=on", Namespaces: []string{"lab"}},
	}, app("shop", "cart", map[string]string{}), app("shop", "web", map[string]string{"port": "http", "order": "2"}), app("shop/eu", "web", map[string]string{}))
}

func TestWatchFound(t *testing.T) {
	cluster, on := optedIn(t, marathontest.Options{}), true
	sourcetest.Watch(t, sourcetest.Stream{
		Open: sourcetest.Discovering(func(t *testing.T, url string) sources.Opened {
			return opened(t, marathon.Config{URLs: []string{url}}, nil)
		}),
		Query: sources.Selection{Select: "nitrox=on"}, Handler: cluster.Handler(0),
		Change: func() {
			on = !on
			cluster.Settle() // before it is changed again
			if err := cluster.Put(labelled("/shop/cart", map[bool]string{true: `"nitrox": "on"`}[on])); err != nil {
				t.Error(err)
			}
		},
		IsStream: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/v2/events") },
		Type:     "text/event-stream; charset=UTF-8",
		Event: func(_ *http.Request, size int) string {
			return sse("deployment_success", fmt.Sprintf(`{"id": "1", "message": %q}`, strings.Repeat("x", size)))
		},
		Quiet: func(*http.Request) []string {
			return []string{"\r\n", ": a comment\r\n\r\n", sse("status_update_event", about("/shop/web")), sse("failed_health_check_event", about("/shop/web"))}
		},
		Unknown: func(*http.Request) []string {
			return []string{"data: {}\n\n", "nonsense\n\n", sse("pod_levitated_event", "{}"), sse("api_post_event", "not JSON")}
		},
	})
}

// TestHowAppsAreDiscovered: what is odd is a doubt of the app that it concerns.
func TestHowAppsAreDiscovered(t *testing.T) {
	all := sources.Selection{Select: "nitrox=on"}
	shop := sources.Selection{Select: "nitrox=on", Namespaces: []string{"shop"}}
	const healthy = "web shop/cart shop/web shop-a/web shop/eu/web"
	for name, c := range map[string]struct {
		raw        string
		selections []sources.Selection
		want       []string
	}{
		"all, a group, and another label": {"", []sources.Selection{all, shop, {Select: "nitrox in (off)"}},
			[]string{healthy, "shop/cart shop/web shop/eu/web", "shop/internal"}},
		"labels that cannot be read": {`{"id": "/shop/odd", "labels": "none"}`, []sources.Selection{all, {Select: "nitrox=on", Namespaces: []string{"shop-a"}}},
			[]string{"web shop/cart shop/odd(it cannot be read: json: cannot unmarshal string into Go struct field app.labels of type map[string]json.RawMessage) shop/web shop-a/web shop/eu/web", "shop-a/web"}},
		"an app that cannot be read and did not opt in": {`{"id": "/shop/odd", "labels": {"nitrox": "off"}, "ports": "31000"}`, []sources.Selection{shop},
			[]string{"shop/cart shop/web shop/eu/web"}},
		"a label that is a number": {`{"id": "/shop/odd", "labels": {"nitrox": "on", "nitrox.io/port": 80}, "ports": [10000]}`, []sources.Selection{shop},
			[]string{"shop/cart shop/odd shop/web shop/eu/web"}},
		"an app without an ID": {`{"labels": {"nitrox": "on"}}`, []sources.Selection{all}, []string{"an app in Marathon's list has no id"}},
		"an ID that no app has": {`{"id": "/shop/../web", "labels": {"nitrox": "on"}}`, []sources.Selection{shop},
			[]string{`shop/cart shop/web shop/../web(app: "/shop/../web" cannot be the path of a Marathon app: its parts have lower-case letters, digits, dots and dashes) shop/eu/web`}},
		"an app twice": {labelled("/shop/web", `"nitrox": "on"`), []sources.Selection{shop}, []string{"shop/cart shop/web(it is in Marathon's list twice) shop/eu/web"}},
		"a setting that is too long": {labelled("/shop/odd", `"nitrox": "on", "nitrox.io/port": "`+strings.Repeat("x", 2000)+`"`), []sources.Selection{shop},
			[]string{"shop/cart shop/odd(nitrox.io/port has 2000 characters; write at most 1000) shop/web shop/eu/web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := optedIn(t, marathontest.Options{})
			if c.raw != "" {
				cluster.Raw(c.raw)
			}
			s, err := marathon.Open(marathon.Config{URLs: []string{"http://marathon.test:8080"}})
			if err != nil {
				t.Fatal(err)
			}
			s.Transport = cluster.Transport()
			findings, err := s.Discover(t.Context(), c.selections)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range findings {
				found, err := f.All()
				var got []string
				for _, o := range found {
					what := strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
					if o.Doubt != nil {
						what += "(" + o.Doubt.Error() + ")"
					}
					got = append(got, what)
				}
				if text := strings.Join(got, " "); err != nil && !strings.Contains(err.Error(), c.want[i]) || err == nil && text != c.want[i] {
					t.Errorf("selection %d: %s, %v; want %s", i, text, err, c.want[i])
				}
			}
		})
	}
}

func TestGroupsOfASelection(t *testing.T) {
	s, err := marathon.Open(marathon.Config{URLs: []string{"http://m1:8080"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		groups  []string
		problem string
	}{
		{nil, ""}, {[]string{"shop", "shop/eu", "bank"}, ""},
		{[]string{}, "namespaces: it names none"},
		{[]string{"/shop/"}, `namespaces[0]: "/shop/" has a slash at its end; did you mean "shop"?`},
		{[]string{"shop", "/"}, `namespaces[1]: "/" cannot be the path of a group`},
		{[]string{""}, `namespaces[0]: "" cannot`}, {[]string{"shop//eu"}, `namespaces[0]`}, {[]string{"Shop"}, `namespaces[0]`},
		{[]string{"shop", "shop"}, `namespaces[1]: shop is listed twice`},
	} {
		err := s.CheckSelection(sources.Selection{Select: "nitrox=on", Namespaces: c.groups})
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%q: %v, want %q", c.groups, err, c.problem)
		}
	}
}
