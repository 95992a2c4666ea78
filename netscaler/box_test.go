package netscaler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"nitrox/netscaler"
)

// A client that is closed leaves nothing running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// box is a NetScaler that answers what a test tells it to, and nothing else.
// It is for the answers that the simulator does not give. Log-ins and log-outs
// it answers by itself, and it insists on the session.
type box struct {
	t *testing.T

	mu       sync.Mutex
	answers  map[string][]answer
	calls    []sentCall
	sessions map[string]bool
	logins   int
	password string
}

// answer is a reply, or the error that the connection ends in.
type answer struct {
	status int
	body   string
	header http.Header
	err    error
	// killed: the session of the call is dead by then.
	killed bool
}

type sentCall struct {
	line, body, onerror string
	base                string
}

func newBox(t *testing.T) *box {
	return &box{t: t, answers: map[string][]answer{}, sessions: map[string]bool{}, password: "secret"}
}

// on sets the answers to a request, written "GET servicegroup". The last one
// is given again and again.
func (b *box) on(line string, answers ...answer) *box {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[line] = answers
	return b
}

const done = `{ "errorcode": 0, "message": "Done", "severity": "NONE" }`

func ok(body string) answer { return answer{status: 200, body: body} }

func rows(kind, list string) answer {
	return ok(fmt.Sprintf(`{ "errorcode": 0, "message": "Done", "severity": "NONE", %q: [ %s ] }`, kind, list))
}

func nitro(status, code int, message string) answer {
	return answer{status: status, body: fmt.Sprintf(`{ "errorcode": %d, "message": %q, "severity": "ERROR" }`, code, message)}
}

func page(status int) answer {
	return answer{status: status, body: "<html><head><title>x</title></head><body><h4>Sorry &amp; bye</h4></body></html>",
		header: http.Header{"Content-Type": {"text/html"}}}
}

var lost = answer{err: fmt.Errorf("read: connection reset by peer: %w", io.EOF)}

var refusedConnection = answer{err: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}}

func (b *box) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	path, found := strings.CutPrefix(r.URL.RequestURI(), "/nitro/v1/")
	if !found {
		b.t.Errorf("%s is not below /nitro/v1/", r.URL)
	}
	path = strings.TrimPrefix(path, "config/")
	a := b.answer(r, sentCall{line: r.Method + " " + path, body: string(body), onerror: r.Header.Get("X-NITRO-ONERROR"), base: r.URL.Scheme + "://" + r.URL.Host})
	if a.err != nil {
		return nil, a.err
	}
	w := httptest.NewRecorder()
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (b *box) answer(r *http.Request, call sentCall) answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call)
	answers := b.answers[call.line]
	var a answer
	if len(answers) > 0 {
		if a = answers[0]; len(answers) > 1 {
			b.answers[call.line] = answers[1:]
		}
	}
	if call.line == "POST login" && len(answers) == 0 {
		if r.Header.Get("Cookie") != "" {
			b.t.Error("a log-in carries a session")
		}
		if want := fmt.Sprintf(`{"login":{"password":%q,"timeout":300,"username":"nitrox"}}`, b.password); call.body != want {
			return nitro(401, 354, "Invalid username or password")
		}
		b.logins++
		id := fmt.Sprintf("##SESSION%d", b.logins)
		b.sessions["NITRO_AUTH_TOKEN=%23%23"+id[2:]] = true
		return answer{status: 201, body: fmt.Sprintf(`{ "errorcode": 0, "message": "Done", "severity": "NONE", "sessionid": %q }`, id)}
	}
	if call.line == "POST login" {
		return a
	}
	cookie := r.Header.Get("Cookie")
	if !b.sessions[cookie] {
		return nitro(401, 444, "Session expired or killed. Please login again")
	}
	if call.line == "POST logout" && len(answers) == 0 {
		delete(b.sessions, cookie)
		return answer{status: 201}
	}
	if a.killed {
		delete(b.sessions, cookie)
	}
	if len(answers) == 0 {
		if call.line == "GET hanode/0" {
			return rows("hanode", `{"id":"0","state":"Primary"}`)
		}
		b.t.Errorf("unexpected call: %s %s", call.line, call.body)
		return nitro(599, 1240, "Invalid nitro action or operation")
	}
	return a
}

// lines are the calls so far, without log-in, log-out and the role.
func (b *box) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []string
	for _, call := range b.calls {
		if call.line != "POST login" && call.line != "POST logout" && call.line != "GET hanode/0" {
			lines = append(lines, call.line)
		}
	}
	return lines
}

func (b *box) count(line string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, call := range b.calls {
		if call.line == line {
			n++
		}
	}
	return n
}

func (b *box) bodies(line string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var bodies []string
	for _, call := range b.calls {
		if call.line == line {
			bodies = append(bodies, call.body)
		}
	}
	return bodies
}

func (b *box) open(change ...func(*netscaler.Config)) *netscaler.Client {
	b.t.Helper()
	return open(b.t, b, change...)
}

func open(t testing.TB, transport http.RoundTripper, change ...func(*netscaler.Config)) *netscaler.Client {
	t.Helper()
	cfg := netscaler.Config{
		URLs: []string{"http://ns.example"}, Username: "nitrox", Password: netscaler.SecretText("secret"), Transport: transport,
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := netscaler.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func member(addr string) netscaler.Member {
	a := netip.MustParseAddrPort(addr)
	return netscaler.Member{Addr: a, Server: a.Addr().String(), Weight: 1}
}

func change(op netscaler.Op, group, addr string) netscaler.Change {
	ch := netscaler.Change{Op: op, Group: group, Member: member(addr)}
	switch op {
	case netscaler.Enable:
		ch.State = netscaler.Disabled
	case netscaler.Drain: // one step; mark_test.go has the others
		ch.Delay, ch.NoMark = 60e9, true
	}
	return ch
}

func wantLines(t *testing.T, b *box, want ...string) {
	t.Helper()
	if got := b.lines(); !slices.Equal(got, want) {
		t.Errorf("calls:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func wantError(t *testing.T, err error, is error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("error %q is not %q", err, is)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

const bulk = "GET servicegroup_servicegroupmember_binding?bulkbindings=yes"

func byName(group string) string { return "GET servicegroup_servicegroupmember_binding/" + group }

// settled is errs without what is only to be looked at again: the NetScaler says that
// there was nothing to do.
func settled(errs []error) []error {
	return slices.DeleteFunc(slices.Clone(errs), func(err error) bool {
		var e *netscaler.Error
		return errors.Is(err, netscaler.ErrUnsure) && (errors.As(err, &e) || strings.Contains(err.Error(), "does not say that it was done"))
	})
}

// seen is what a read found of one group, in a form that tests can compare.
type seen struct {
	Members []netscaler.Member
	Attrs   *netscaler.Attrs
	Err     error
}

func look(c *netscaler.Client, ctx context.Context, names []string) (map[string]*seen, error) {
	groups, err := c.Read(ctx, names)
	if err != nil {
		return nil, err
	}
	all := map[string]*seen{}
	for _, name := range names {
		s := &seen{}
		s.Members, s.Err = groups.Members(name)
		all[name] = s
	}
	return all, nil
}

// detail adds the attributes of the groups that have no error.
func detail(c *netscaler.Client, ctx context.Context, groups map[string]*seen) error {
	var names []string
	for name, g := range groups {
		if g.Err == nil {
			names = append(names, name)
		}
	}
	found, err := c.Attributes(ctx, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		var a netscaler.Attrs
		if a, groups[name].Err = found.Of(name); groups[name].Err == nil {
			groups[name].Attrs = &a
		}
	}
	return nil
}
