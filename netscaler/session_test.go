package netscaler_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
)

const binding = "servicegroup_servicegroupmember_binding"

func TestNothingIsSentBeforeTheFirstCall(t *testing.T) {
	b := newBox(t)
	c := b.open()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.calls) != 0 {
		t.Errorf("calls: %v", b.calls)
	}
}

func TestOneSessionServesAllCallsAndIsEndedOnce(t *testing.T) {
	b := newBox(t).on(byName("sg"), rows(binding, ""))
	c := b.open()
	for range 3 {
		if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as after a signal
	for range 2 {
		if err := c.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if b.count("POST login") != 1 || b.count("POST logout") != 1 || len(b.sessions) != 0 {
		t.Errorf("%d log-ins, %d log-outs, %d sessions left", b.count("POST login"), b.count("POST logout"), len(b.sessions))
	}
	if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
		t.Errorf("read after close: %v", err)
	}
}

func TestLogOutIsBoundedAndItsErrorTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t).on(byName("sg"), rows(binding, ""))
		c := b.open()
		if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
			t.Fatal(err)
		}
		b.on("POST logout", nitro(599, 446, "Connection limit to CFE exceeded"))
		begun := time.Now()
		err := c.Close(t.Context())
		wantError(t, err, nil, "log out of http://ns.example")
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestSessionOfTheCookieIsUsedWhenTheBodyHasNone(t *testing.T) {
	b := newBox(t).on(byName("sg"), rows(binding, ""))
	b.sessions["NITRO_AUTH_TOKEN=%23%23AB"] = true
	b.on("POST login", answer{status: 201, header: http.Header{"Set-Cookie": {"NITRO_AUTH_TOKEN=%23%23AB; path=/nitro/v1"}}})
	if _, err := b.open().Read(t.Context(), []string{"sg"}); err != nil {
		t.Fatal(err)
	}
	b.on("POST login", answer{status: 201, body: done})
	_, err := b.open().Read(t.Context(), []string{"sg"})
	wantError(t, err, nil, "contains no session")
}

// The session of scenario 19 dies in the middle of a run, in each of the ways
// that NITRO tells it.
func TestDeadSessionIsRenewedOnceAndTheCallRepeated(t *testing.T) {
	deaths := map[string]answer{
		"401 444":       nitro(401, 444, "Session expired or killed. Please login again"),
		"401 1027":      nitro(401, 1027, "Not logged in or connection timed out"),
		"400 1027":      nitro(400, 1027, "Not logged in or connection timed out"),
		"401 1026":      nitro(401, 1026, "Not logged in"),
		"401 352":       nitro(401, 352, "Login is required"),
		"200 444":       nitro(200, 444, "Session expired or killed. Please login again"),
		"401 page":      page(401),
		"401 no answer": {status: 401},
	}
	for name, death := range deaths {
		death.killed = true
		t.Run("read "+name, func(t *testing.T) {
			b := newBox(t).on(bulk, death, rows(binding, `{"servicegroupname":"a","ip":"10.0.0.1","port":80,"state":"ENABLED"}`))
			groups, err := look(b.open(), t.Context(), []string{"a", "b", "c", "d", "e"})
			if err != nil {
				t.Fatal(err)
			}
			if len(groups["a"].Members) != 1 || b.count("POST login") != 2 {
				t.Errorf("%d members, %d log-ins", len(groups["a"].Members), b.count("POST login"))
			}
		})
		t.Run("write "+name, func(t *testing.T) {
			b := newBox(t).on("PUT "+binding, death, answer{status: 201})
			errs := b.open().Do(t.Context(), netscaler.Bind, []netscaler.Change{
				change(netscaler.Bind, "a", "10.0.0.1:80"), change(netscaler.Bind, "a", "10.0.0.2:80"),
			})
			if errs[0] != nil || errs[1] != nil {
				t.Fatal(errs)
			}
			if n := b.count("GET hanode/0"); n != 2 {
				t.Errorf("asked for the role %d times; a failover kills sessions, so it must be asked again", n)
			}
		})
		t.Run("for good "+name, func(t *testing.T) {
			b := newBox(t).on(bulk, death)
			if _, err := b.open().Read(t.Context(), []string{"a", "b", "c", "d", "e"}); err == nil {
				t.Fatal("no error")
			}
			if b.count("POST login") != 2 || b.count(bulk) != 2 {
				t.Errorf("%d log-ins, %d reads", b.count("POST login"), b.count(bulk))
			}
		})
	}
}

func TestParallelReadersShareOneNewSession(t *testing.T) {
	b := newBox(t).on(bulk, nitro(403, 2138, "Not authorized"))
	var names []string
	for _, name := range strings.Split("abcdefghijklmnop", "") {
		names = append(names, name)
		b.on(byName(name), rows(binding, ""))
	}
	c := b.open()
	if _, err := c.Read(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	clear(b.sessions)
	b.mu.Unlock()
	if _, err := c.Read(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	if n := b.count("POST login"); n != 2 {
		t.Errorf("%d log-ins", n)
	}
}

// Scenario 29.
func TestRefusedPasswordIsNotTriedAgainUntilItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "password")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("old\n")
		b := newBox(t).on(byName("sg"), rows(binding, ""))
		b.password = "new"
		c := b.open(func(cfg *netscaler.Config) { cfg.Password = netscaler.SecretFile(file) })
		read := func() error { _, err := c.Read(t.Context(), []string{"sg"}); return err }

		wantError(t, read(), netscaler.ErrLogin, `log in to http://ns.example as "nitrox"`, "NITRO 354 (HTTP 401)", "check username and password")
		wantError(t, read(), netscaler.ErrLogin, "not tried again before the password changes, or ")
		time.Sleep(9*time.Minute + 59*time.Second)
		wantError(t, read(), netscaler.ErrLogin)
		if n := b.count("POST login"); n != 1 {
			t.Errorf("%d log-ins within ten minutes", n)
		}
		time.Sleep(time.Second)
		wantError(t, read(), netscaler.ErrLogin)
		if n := b.count("POST login"); n != 2 {
			t.Errorf("%d log-ins after ten minutes", n)
		}
		write("new\n")
		if err := read(); err != nil {
			t.Errorf("with the new password: %v", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := read(); err != nil {
			t.Errorf("a session needs no password: %v", err)
		}
		b.mu.Lock()
		clear(b.sessions)
		b.mu.Unlock()
		wantError(t, read(), fs.ErrNotExist, "log in to http://ns.example", "read the password")
	})
}

func TestLogInThatNeedsAHandSaysSo(t *testing.T) {
	for code, advice := range map[int]string{1034: "second factor", 1045: "by hand", 1046: "by hand"} {
		b := newBox(t).on("POST login", answer{status: 401, body: nitro(401, code, "x").body})
		groups, err := look(b.open(), t.Context(), []string{"sg"})
		wantError(t, err, nil, advice)
		if groups != nil {
			t.Errorf("%d is said to be a matter of the group: %v", code, groups["sg"].Err)
		}
	}
	b := newBox(t).on("POST login", page(401))
	_, err := b.open().Read(t.Context(), []string{"sg"})
	wantError(t, err, netscaler.ErrLogin, "Sorry & bye")
}

func TestErrorsDoNotShowSecrets(t *testing.T) {
	b := newBox(t).on("POST login", nitro(400, 1097, "Invalid argument value [password, secret]"))
	_, err := b.open().Read(t.Context(), []string{"sg"})
	wantError(t, err, nil, "[password, ***]")
	b.on("POST login", answer{status: 400, body: "<p>you sent secret</p>"})
	_, err = b.open().Read(t.Context(), []string{"sg"})
	wantError(t, err, nil, "you sent ***")
}

// pair is two nodes behind one transport.
type pair struct {
	t     *testing.T
	mu    sync.Mutex
	nodes map[string]http.RoundTripper
	hosts []string // of the calls
}

func (p *pair) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.hosts = append(p.hosts, r.Method+" "+r.URL.Host+strings.TrimPrefix(r.URL.Path, "/nitro/v1/config"))
	node := p.nodes[r.URL.Host]
	p.mu.Unlock()
	return node.RoundTrip(r)
}

func twoNodes(cfg *netscaler.Config) { cfg.URLs = []string{"http://one", "http://two"} }

type broken struct{ answer }

func (b broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, b.err }

// Scenario 20.
func TestOfAPairThePrimaryIsUsed(t *testing.T) {
	secondary := rows("hanode", `{"id":"0","state":"Secondary"}`)
	live := func(t *testing.T) *box { return newBox(t).on(byName("sg"), rows(binding, "")) }

	t.Run("first is the secondary", func(t *testing.T) {
		one, two := live(t).on("GET hanode/0", secondary), live(t)
		p := &pair{t: t, nodes: map[string]http.RoundTripper{"one": one, "two": two}}
		c := open(t, p, twoNodes)
		if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Writable(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(one.sessions) != 0 || one.count(byName("sg")) != 0 || two.count(byName("sg")) != 1 {
			t.Errorf("calls: %v", p.hosts)
		}
	})
	t.Run("first is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			p := &pair{t: t, nodes: map[string]http.RoundTripper{"one": broken{refusedConnection}, "two": live(t)}}
			if _, err := open(t, p, twoNodes).Read(t.Context(), []string{"sg"}); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > 0 {
				t.Errorf("waited %v for a node that is down", took)
			}
		})
	})
	t.Run("both are down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := &pair{t: t, nodes: map[string]http.RoundTripper{"one": broken{refusedConnection}, "two": broken{refusedConnection}}}
			_, err := open(t, p, twoNodes).Read(t.Context(), []string{"sg"})
			wantError(t, err, netscaler.ErrUnavailable, "no node of the pair can be used", "http://one", "connection refused", "http://two", "tried 4 times")
		})
	})
	t.Run("none is the primary", func(t *testing.T) {
		p := &pair{t: t, nodes: map[string]http.RoundTripper{"one": live(t).on("GET hanode/0", secondary), "two": live(t).on("GET hanode/0", secondary)}}
		_, err := open(t, p, twoNodes).Read(t.Context(), []string{"sg"})
		wantError(t, err, nil, "http://one cannot be written: it is the secondary", "http://two cannot be written: it is the secondary")
	})
	t.Run("a refused password is tried once", func(t *testing.T) {
		one, two := live(t), live(t)
		p := &pair{t: t, nodes: map[string]http.RoundTripper{"one": one, "two": two}}
		c := open(t, p, twoNodes, func(cfg *netscaler.Config) { cfg.Password = netscaler.SecretText("wrong") })
		for range 2 {
			_, err := c.Read(t.Context(), []string{"sg"})
			wantError(t, err, netscaler.ErrLogin)
			if strings.Contains(err.Error(), "no node of the pair") {
				t.Errorf("the other node is said to have been tried: %v", err)
			}
		}
		if len(p.hosts) != 1 {
			t.Errorf("calls: %v", p.hosts)
		}
	})
	t.Run("failover in the middle", func(t *testing.T) {
		one, two := live(t), live(t).on("GET hanode/0", secondary)
		p := &pair{t: t, nodes: map[string]http.RoundTripper{"one": one, "two": two}}
		c := open(t, p, twoNodes)
		if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
			t.Fatal(err)
		}
		one.on("GET hanode/0", secondary)
		two.on("GET hanode/0", rows("hanode", `{"id":"0","state":"Primary"}`))
		wantError(t, c.Writable(t.Context()), nil, "http://one cannot be written: it is the secondary")
		if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Writable(t.Context()); err != nil {
			t.Fatal(err)
		}
		if two.count(byName("sg")) != 1 || len(one.sessions) != 0 {
			t.Errorf("calls: %v", p.hosts)
		}
	})
	t.Run("a read moves when its node is lost, a write does not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			one, two := live(t), live(t)
			p := &pair{t: t, nodes: map[string]http.RoundTripper{"one": one, "two": two}}
			c := open(t, p, twoNodes)
			if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
				t.Fatal(err)
			}
			p.nodes["one"] = broken{refusedConnection}
			errs := c.Do(t.Context(), netscaler.Bind, []netscaler.Change{change(netscaler.Bind, "sg", "10.0.0.1:80")})
			wantError(t, errs[0], netscaler.ErrUnavailable, "http://one")
			if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
				t.Fatal(err)
			}
			if two.count(byName("sg")) != 1 {
				t.Errorf("calls: %v", p.hosts)
			}
		})
	})
}

func TestRole(t *testing.T) {
	stat := func(fields string) answer {
		return ok(`{ "errorcode": 0, "message": "Done", "severity": "NONE", "hanode": {` + fields + `} }`)
	}
	state := func(s string) answer { return rows("hanode", `{"id":"0","state":"`+s+`"}`) }
	for _, test := range []struct {
		name         string
		hanode, stat answer
		want         string // of the error; empty: writable
	}{
		{"primary", state("Primary"), answer{}, ""},
		{"primary in capitals", state("PRIMARY"), answer{}, ""},
		{"secondary", state("Secondary"), answer{}, "http://ns.example cannot be written: it is the secondary node of the HA pair"},
		{"stand-alone that says UNKNOWN", state("UNKNOWN"), stat(`"hacurstatus":"NO","hacurmasterstate":"UNKNOWN"`), ""},
		{"stand-alone without a row", ok(done), stat(`"hacurstatus":"NO"`), ""},
		{"primary by its counters", nitro(404, 258, "No such resource [id, 0]"), stat(`"hacurstatus":"YES","hacurmasterstate":"Primary"`), ""},
		{"stay secondary", state("UNKNOWN"), stat(`"hacurstatus":"YES","hacurmasterstate":"Stay Secondary"`), "it is the secondary node"},
		{"claiming", state("UNKNOWN"), stat(`"hacurstatus":"YES","hacurmasterstate":"Claiming"`), `its HA role is not known ("UNKNOWN", "Claiming")`},
		{"cluster", nitro(599, 1065, "Operation not permitted on CLIP"), answer{}, ""},
		{"node of a cluster", nitro(599, 1044, "NSIP of a cluster node"), answer{}, "use the cluster's address"},
		{"not allowed", nitro(403, 2138, "Not authorized to execute this command [show HA node 0]"), nitro(403, 2138, "Not authorized to execute this command [stat HA node]"),
			`the command policy of the NetScaler user must allow "show HA node 0"`},
		{"lies", ok(`{ "errorcode": 0, "message": "Done", "severity": "NONE", "hanode": [ 7 ] }`), answer{}, "ask for its HA role"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t).on("GET hanode/0", test.hanode)
			b.on("GET stat/hanode", test.stat)
			c := b.open()
			err := c.Writable(t.Context())
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, nil, test.want)
			errs := c.Do(t.Context(), netscaler.Bind, []netscaler.Change{change(netscaler.Bind, "sg", "10.0.0.1:80")})
			wantError(t, errs[0], nil, test.want)
		})
	}
}

func TestRoleIsAskedBeforeThePartitionSwitchAndInEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const change = "POST nspartition?action=Switch"
		b := newBox(t).on(byName("sg"), rows(binding, "")).on(change, ok(done))
		c := b.open(func(cfg *netscaler.Config) { cfg.Partition = "web" })
		order := func() string {
			var s []string
			for _, call := range b.calls {
				s = append(s, call.line)
			}
			b.calls = nil
			return strings.Join(s, ", ")
		}
		if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Writable(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := order(), "POST login, GET hanode/0, "+change+", "+byName("sg"); got != want {
			t.Errorf("calls: %s; want %s", got, want)
		}
		time.Sleep(time.Minute) // a later pass of a loop
		if err := c.Writable(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := order(), "POST logout, POST login, GET hanode/0, "+change; got != want {
			t.Errorf("calls: %s; want %s", got, want)
		}
	})
}

func TestPartitionThatCannotBeSwitchedToEndsTheSession(t *testing.T) {
	for nearest, known := range map[string]answer{
		"; did you mean web1?": rows("nspartition", `{"partitionname":"dmz"},{"partitionname":"web1"}`),
		"":                     nitro(403, 2138, "Not authorized to execute this command"),
	} {
		b := newBox(t).on("POST nspartition?action=Switch", nitro(404, 2755, "Partition does not exist")).on("GET nspartition", known)
		groups, err := look(b.open(func(cfg *netscaler.Config) { cfg.Partition = "web" }), t.Context(), []string{"sg"})
		wantError(t, err, nil, "switch to the partition web: NITRO 2755 (HTTP 404): Partition does not exist; correct its name in the mapping, or create it"+nearest)
		if groups != nil || len(b.sessions) != 0 {
			t.Errorf("groups %v, sessions %v", groups, b.sessions)
		}
	}
}

// Scenario 25.
func TestReadOnlyClientSendsNothingThatWrites(t *testing.T) {
	b := newBox(t).on(byName("sg"), rows(binding, "")).on("POST nspartition?action=Switch", ok(done)).
		on("GET servicegroup/sg"+attrsQuery, rows("servicegroup", `{"servicegroupname":"sg"}`))
	c := b.open(func(cfg *netscaler.Config) { cfg.ReadOnly = true; cfg.Partition = "web" })
	groups, err := look(c, t.Context(), []string{"sg"})
	if err != nil {
		t.Fatal(err)
	}
	if err := detail(c, t.Context(), groups); err != nil {
		t.Fatal(err)
	}
	for _, op := range []netscaler.Op{netscaler.Bind, netscaler.Enable, netscaler.Set, netscaler.Drain, netscaler.Unbind} {
		for _, n := range []int{1, 2} {
			errs := c.Do(t.Context(), op, slices.Repeat([]netscaler.Change{change(op, "sg", "10.0.0.1:80")}, n))
			for _, err := range errs {
				wantError(t, err, netscaler.ErrReadOnly, "service group sg: "+op.String()+" 10.0.0.1:80: ")
			}
		}
	}
	wantError(t, c.Save(t.Context()), netscaler.ErrReadOnly)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	allowed := []string{"POST login", "POST logout", "POST nspartition?action=Switch"}
	for _, call := range b.calls {
		if !strings.HasPrefix(call.line, "GET ") && !slices.Contains(allowed, call.line) {
			t.Errorf("sent %s", call.line)
		}
	}
}

// A replica that loses its lease between two writes, or between two tries of
// one, sends no more; it still reads and logs out.
func TestClientThatIsRefusedBetweenTwoTriesSendsNoMore(t *testing.T) {
	mayNot := errors.New("another replica leads")
	const bind = "PUT servicegroup_servicegroupmember_binding"
	b := newBox(t).on(byName("sg"), rows(binding, "")).on(bind, nitro(503, 446, "busy"))
	asked := 0
	c := b.open(func(cfg *netscaler.Config) {
		cfg.Allow = func() error {
			if asked++; asked > 1 {
				return mayNot
			}
			return nil
		}
	})
	if _, err := c.Read(t.Context(), []string{"sg"}); err != nil || asked > 0 {
		t.Fatalf("a read: %v, asked %d times", err, asked)
	}
	for _, op := range []netscaler.Op{netscaler.Bind, netscaler.Enable, netscaler.Set, netscaler.Drain, netscaler.Unbind} {
		for _, err := range c.Do(t.Context(), op, []netscaler.Change{change(op, "sg", "10.0.0.1:80")}) {
			if op == netscaler.Bind { // its first try was sent
				wantError(t, err, netscaler.ErrUnavailable, "446")
				continue
			}
			wantError(t, err, mayNot, "not sent: ")
		}
	}
	wantError(t, c.Save(t.Context()), mayNot)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var writes []string
	for _, call := range b.calls {
		if !strings.HasPrefix(call.line, "GET ") {
			writes = append(writes, call.line)
		}
	}
	if want := []string{"POST login", bind, "POST logout"}; !slices.Equal(writes, want) {
		t.Errorf("it sent %q, want %q", writes, want)
	}
}
