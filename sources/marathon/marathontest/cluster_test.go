package marathontest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gambol99/go-marathon"

	"nitrox/sources/marathon/marathontest"
)

const web = `{"id": "/shop/web", "cmd": "web", "instances": 2, "portDefinitions": [{"port": 10000, "name": "http"}], "healthChecks": [{"protocol": "MESOS_HTTP"}]}`

// serve starts the nodes of a cluster.
func serve(t *testing.T, o marathontest.Options, nodes int) (*marathontest.Cluster, []string) {
	t.Helper()
	o.URLs = make([]string, nodes)
	c := marathontest.New(o)
	var urls []string
	for node := range nodes {
		server := httptest.NewServer(c.Handler(node))
		t.Cleanup(server.CloseClientConnections)
		t.Cleanup(server.Close)
		c.Listen(node, server.URL)
		urls = append(urls, server.URL)
	}
	return c, urls
}

// do makes a request and returns the status, the headers and the body.
func do(t *testing.T, method, url, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, strings.TrimSpace(string(text))
}

// A client library of others reads the stand-in as it reads Marathon.
func TestGoMarathonReadsIt(t *testing.T) {
	c, urls := serve(t, marathontest.Options{Users: map[string]string{"u": "p"}}, 1)
	config := marathon.NewDefaultConfig()
	config.URL, config.HTTPBasicAuthUser, config.HTTPBasicPassword = urls[0], "u", "p"
	client, err := marathon.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(web); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	apps, err := client.Applications(map[string][]string{"embed": {"apps.tasks", "apps.deployments", "apps.readiness"}})
	if err != nil || len(apps.Apps) != 1 {
		t.Fatalf("apps %v, error %v", apps, err)
	}
	got := apps.Apps[0]
	if len(got.Tasks) != 2 || *got.Instances != 2 || !got.Tasks[0].HealthCheckResults[0].Alive || (*got.Networks)[0].Mode != marathon.HostNetworkMode {
		t.Errorf("got %+v", got)
	}
	tasks, err := client.Tasks("/shop/web")
	if err != nil || len(tasks.Tasks) != 2 || tasks.Tasks[0].Host != "10.0.1.3" {
		t.Errorf("tasks %v, error %v", tasks, err)
	}
	if ok, err := client.Ping(); !ok || err != nil {
		t.Errorf("ping %v, error %v", ok, err)
	}
	c.Delete("/shop/web")
	for range 3 {
		c.Advance()
	}
	if apps, err := client.Applications(nil); err != nil || len(apps.Apps) != 0 {
		t.Errorf("after the app was deleted: %v, error %v", apps, err)
	}
}

// What is listed has the keys that a recorded answer of Marathon 1.5.2 has of
// those that matter here, and no key that it has not.
func TestListsAsMarathonDoes(t *testing.T) {
	c, urls := serve(t, marathontest.Options{}, 1)
	if err := c.Put(web); err != nil {
		t.Fatal(err)
	}
	c.Advance()
	keys := func(v any) string {
		var all []string
		for k := range v.(map[string]any) {
			all = append(all, k)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	list := func() (app, task map[string]any) {
		status, _, body := do(t, "GET", urls[0]+"/v2/apps?embed=apps.tasks&embed=apps.deployments&embed=apps.readiness", "")
		var answer struct{ Apps []map[string]any }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		return answer.Apps[0], answer.Apps[0]["tasks"].([]any)[0].(map[string]any)
	}
	_, task := list()
	if got, want := keys(task), "appId host id ipAddresses ports servicePorts slaveId stagedAt startedAt state version"; got != want {
		t.Errorf("a task without health results has %s, want %s", got, want)
	}
	c.Settle()
	app, task := list()
	if got, want := keys(app), "cmd constraints deployments healthChecks id instances killSelection labels networks portDefinitions readinessCheckResults readinessChecks tasks version versionInfo"; got != want {
		t.Errorf("an app has %s, want %s", got, want)
	}
	if got, want := keys(task["healthCheckResults"].([]any)[0]), "alive consecutiveFailures firstSuccess instanceId lastFailure lastFailureCause lastSuccess taskId"; got != want {
		t.Errorf("a health result has %s, want %s", got, want)
	}
	if got, want := task["id"].(string)[:9], "shop_web."; got != want {
		t.Errorf("a task's ID begins with %s, want %s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	c, urls := serve(t, marathontest.Options{Path: "/service/marathon"}, 1)
	if err := c.Put(web); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v2/apps", "", 404, "404 page not found"},
		{"POST", "/service/marathon/v2/apps", "{}", 405, `{"message":"HTTP 405 Method Not Allowed"}`},
		{"GET", "/service/marathon/v3/apps", "", 404, `{"message":"HTTP 404 Not Found"}`},
		{"GET", "/service/marathon/v2/apps?embed=apps.task", "", 400, `{"message":"unknown embed apps.task"}`},
		{"GET", "/service/marathon/v2/apps?limit=1", "", 400, `{"message":"unknown parameter limit"}`},
		{"GET", "/service/marathon/v2/apps/gone/tasks", "", 404, `{"message":"App '/gone' does not exist"}`},
		{"GET", "/acs/api/v1/auth/login", "", 400, `{"message":"Bad Request"}`},
		{"POST", "/acs/api/v1/auth/login", `{"uid": "u", "token": "x.y.z"}`, 401, `{"message":"Unauthorized: x.y.z"}`},
	}
	for _, test := range tests {
		if status, _, body := do(t, test.method, urls[0]+test.path, test.body); status != test.status || body != test.want {
			t.Errorf("%s %s %s: got %d %s, want %d %s", test.method, test.path, test.body, status, body, test.status, test.want)
		}
	}
}

func TestDefinitionsThatAreRefused(t *testing.T) {
	c, _ := serve(t, marathontest.Options{}, 1)
	if err := c.Put(web); err != nil {
		t.Fatal(err)
	}
	for definition, want := range map[string]string{
		`{"id": "/shop/web", "instances": 3}`:         "app is locked by one or more deployments; override with the option '?force=true'",
		`{"id": "/new", "instance": 3}`:               "Object is not valid: unexpected attribute instance",
		`{"id": "/New"}`:                              "Object is not valid: id /New",
		`{"id": "/new", "networks": [{"mode": "x"}]}`: "Object is not valid: network mode x",
		`{"id": "/new", "killSelection": "ANY"}`:      "Object is not valid: killSelection, networks",
		`{"id": "/new", "instances": "3"}`:            "Object is not valid: json: cannot unmarshal string into Go struct field .Instances of type int",
	} {
		if err := c.Put(definition); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", definition, err, want)
		}
	}
}

// Standbys pass requests on, but for event streams, which they redirect.
func TestLeaderAndStandby(t *testing.T) {
	c, urls := serve(t, marathontest.Options{}, 2)
	status, header, body := do(t, "GET", urls[1]+"/v2/apps", "")
	if status != 200 || body != `{"apps":[]}` || header.Get("X-Marathon-Leader") != urls[0] || header.Get("Via") == "" {
		t.Errorf("got %d %v %s", status, header, body)
	}
	status, header, _ = do(t, "GET", urls[1]+"/v2/events?plan-format=light", "")
	if status != 302 || header.Get("Location") != urls[0]+"/v2/events?plan-format=light" {
		t.Errorf("got %d %v", status, header)
	}
	c.Down(0, true)
	if status, _, body = do(t, "GET", urls[1]+"/v2/apps", ""); status != 502 {
		t.Errorf("with a leader that is down: %d %s", status, body)
	}
	c.Failover(-1)
	if status, _, body = do(t, "GET", urls[1]+"/v2/apps", ""); status != 502 || body != `{"message":"Could not determine the current leader"}` {
		t.Errorf("without a leader: %d %s", status, body)
	}
	older, olderURLs := serve(t, marathontest.Options{Legacy503: true}, 1)
	older.Failover(-1)
	if status, _, body = do(t, "GET", olderURLs[0]+"/v2/apps", ""); status != 503 {
		t.Errorf("without a leader, an older one: %d %s", status, body)
	}
}

// listen reads an event stream; next is the type and data of the next event,
// or "" when it has ended.
func listen(t *testing.T, url string) (next func() (kind, data string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(r) //nolint:bodyclose // ends with the context
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	return func() (kind, data string) {
		for lines.Scan() {
			if k, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				kind = k
			}
			if d, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return kind, d
			}
		}
		return "", ""
	}
}

func TestEvents(t *testing.T) {
	c, urls := serve(t, marathontest.Options{}, 2)
	if status, _, _ := do(t, "GET", urls[0]+"/v2/events", "", "Accept", "application/json"); status != 405 {
		t.Errorf("without Accept: text/event-stream: %d", status)
	}
	if status, _, _ := do(t, "GET", urls[0]+"/v2/events?types=x", "", "Accept", "text/event-stream"); status != 400 {
		t.Errorf("with an unknown parameter: %d", status)
	}
	all := listen(t, urls[1]+"/v2/events?plan-format=light") // is redirected to the leader
	if kind, data := all(); kind != "event_stream_attached" || !strings.Contains(data, `"eventType":"event_stream_attached"`) {
		t.Errorf("first came %s %s", kind, data)
	}
	some := listen(t, urls[0]+"/v2/events?event_type=event_stream_attached&event_type=deployment_success&event_type=health_status_changed_event")
	if kind, _ := some(); kind != "event_stream_attached" {
		t.Errorf("first came %s", kind)
	}
	if err := c.Put(web); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	c.Sick(c.Tasks("/shop/web")[0], true)
	want := []string{"event_stream_attached", "api_post_event", "status_update_event", "status_update_event", "status_update_event", "status_update_event", "deployment_success", "health_status_changed_event"}
	for i, w := range want {
		kind, data := all()
		if kind != w {
			t.Errorf("event %d is %s %s, want %s", i, kind, data, w)
		}
		if i == 4 && !strings.Contains(data, `"taskStatus":"TASK_RUNNING"`) {
			t.Errorf("event %d is %s", i, data)
		}
	}
	for _, w := range want[6:] {
		if kind, _ := some(); kind != w {
			t.Errorf("of the chosen types came %s, want %s", kind, w)
		}
	}
	// The end of the leader is the end of the stream.
	c.Failover(1)
	for _, next := range []func() (string, string){all, some} {
		if kind, data := next(); kind != "" {
			t.Errorf("after the failover came %s %s", kind, data)
		}
	}
}

// stuck is a client that reads nothing until it is released.
type stuck struct {
	*httptest.ResponseRecorder
	began, released chan struct{}
	writes          int
}

func (s *stuck) Write(p []byte) (int, error) {
	if s.writes == 0 {
		close(s.began)
		<-s.released
	}
	s.writes++
	return len(p), nil
}

// Whoever does not read is cut off, and costs the others nothing.
func TestSlowListenerIsCutOff(t *testing.T) {
	c := marathontest.New(marathontest.Options{})
	if err := c.Put(web); err != nil {
		t.Fatal(err)
	}
	client := &stuck{httptest.NewRecorder(), make(chan struct{}), make(chan struct{}), 0}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v2/events", nil)
	r.Header.Set("Accept", "text/event-stream")
	ended := make(chan struct{})
	go func() {
		c.Handler(0).ServeHTTP(client, r)
		close(ended)
	}()
	<-client.began
	const events = 3000
	for i := range events {
		c.Sick(c.Tasks("/shop/web")[0], i%2 == 0)
	}
	close(client.released)
	<-ended
	if client.writes >= events {
		t.Errorf("it was sent all %d events", client.writes)
	}
}
