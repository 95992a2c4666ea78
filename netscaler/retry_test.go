package netscaler_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
)

func bindOne(ctx context.Context, c *netscaler.Client) error {
	return c.Do(ctx, netscaler.Bind, []netscaler.Change{change(netscaler.Bind, "sg", "10.0.0.1:80")})[0]
}

func readOne(ctx context.Context, c *netscaler.Client) error {
	groups, err := look(c, ctx, []string{"sg"})
	if err == nil {
		err = groups["sg"].Err
	}
	return err
}

var busy = map[string]answer{
	"272": nitro(599, 272, "Device busy"), "291": nitro(599, 291, "Resource temporarily unavailable"),
	"293": nitro(599, 293, "Operation already in progress"), "364": nitro(599, 364, "x"), "365": nitro(599, 365, "x"),
	"366": nitro(599, 366, "x"), "445": nitro(599, 445, "Session limit exceeded"), "446": nitro(599, 446, "Connection limit to CFE exceeded"),
	"603": nitro(599, 603, "Configuration is being saved"), "1461": nitro(599, 1461, "x"), "503 page": page(503), "503": {status: 503}, "429": {status: 429},
}

func TestBusyApplianceIsAskedAgain(t *testing.T) {
	for name, answer := range busy {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t).on(byName("sg"), answer, answer, answer, rows(binding, "")).
					on("PUT "+binding, answer, answer, answer, ok(done)).
					on("POST nsconfig?action=save", answer, answer, answer, ok(done))
				c := b.open()
				if err := readOne(t.Context(), c); err != nil {
					t.Errorf("read: %v", err)
				}
				if err := bindOne(t.Context(), c); err != nil {
					t.Errorf("bind: %v", err)
				}
				if err := c.Save(t.Context()); err != nil {
					t.Errorf("save: %v", err)
				}
			})
		})
	}
}

func TestBusyForGoodEndsAfterFourTriesWithin20Seconds(t *testing.T) {
	for name, answer := range busy {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t).on(byName("sg"), answer).on("PUT "+binding, answer)
				c := b.open()
				begun := time.Now()
				wantError(t, readOne(t.Context(), c), netscaler.ErrUnavailable, "tried 4 times in ")
				if n := b.count(byName("sg")); n != 4 {
					t.Errorf("%d tries", n)
				}
				if took := time.Since(begun); took > 20*time.Second || took < 2*time.Second {
					t.Errorf("took %v", took)
				}
				err := bindOne(t.Context(), c)
				wantError(t, err, netscaler.ErrUnavailable)
				if errors.Is(err, netscaler.ErrUnsure) {
					t.Errorf("a busy answer is sure: %v", err)
				}
			})
		})
	}
}

func TestWaitsBetweenTriesAreNotAllTheSame(t *testing.T) {
	waits := map[time.Duration]bool{}
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t).on(byName("sg"), busy["446"])
		c := b.open()
		for range 8 {
			begun := time.Now()
			wantError(t, readOne(t.Context(), c), netscaler.ErrUnavailable)
			waits[time.Since(begun)] = true
		}
	})
	if len(waits) < 4 {
		t.Errorf("total waits: %v", waits)
	}
}

func TestCallThatHangsIsNotRepeatedAfter20Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		calls := 0
		hang := roundTripper(func(r *http.Request) (*http.Response, error) {
			if !strings.Contains(r.URL.Path, "/hanode/") {
				return b.RoundTrip(r)
			}
			calls++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := open(t, hang, func(cfg *netscaler.Config) { cfg.Timeout = 9 * time.Second })
		begun := time.Now()
		wantError(t, c.Writable(t.Context()), netscaler.ErrUnavailable, "http://ns.example: no answer within 9s")
		if took := time.Since(begun); calls < 2 || took > 29*time.Second {
			t.Errorf("%d tries in %v", calls, took)
		}
	})
}

// Arrays get more time than single writes.
func TestTimeoutGrowsWithTheArray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t).on("PUT "+binding, answer{status: 201})
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				select {
				case <-time.After(50 * time.Second):
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			return b.RoundTrip(r)
		})
		c := open(t, slow)
		var changes []netscaler.Change
		for i := range 250 {
			changes = append(changes, change(netscaler.Bind, "sg", fmt.Sprintf("10.0.0.%d:80", i)))
		}
		for _, err := range c.Do(t.Context(), netscaler.Bind, changes) {
			if err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, bindOne(t.Context(), c), netscaler.ErrUnsure, "service group sg: bind 10.0.0.1:80: sent, but it is not known whether it took effect: http://ns.example")
	})
}

func TestReadsAreRepeatedWhateverWasLost(t *testing.T) {
	for name, trouble := range map[string]answer{
		"no connection": refusedConnection, "lost": lost, "502": page(502), "504": {status: 504}, "500": page(500),
		"cut off": {status: 200, body: `{ "errorcode": 0, "servicegroup_serv`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t).on(byName("sg"), trouble, trouble, rows(binding, ""))
				c := b.open()
				if err := readOne(t.Context(), c); err != nil {
					t.Error(err)
				}
				b.on(byName("sg"), trouble)
				wantError(t, readOne(t.Context(), c), netscaler.ErrUnavailable, "tried 4 times")
			})
		})
	}
}

// A write that may have been made is never made again: reading tells.
func TestWriteWhoseAnswerIsLostIsUnsureAndSentOnce(t *testing.T) {
	for name, trouble := range map[string]answer{
		"lost": lost, "500": page(500), "502": page(502), "504": {status: 504}, "599 page": page(599),
		"cut off": {status: 200, body: `{ "errorcode": 0, "mess`}, "nonsense": {status: 200, body: `{ "errorcode": "many" }`},
		"a page": page(200), "cut off list": {status: 207, body: `{ "errorcode": 1243, "response": [ {"errorcode"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t).on("PUT "+binding, trouble)
			c := b.open()
			wantError(t, bindOne(t.Context(), c), netscaler.ErrUnsure)
			if n := b.count("PUT " + binding); n != 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

// To save twice does no harm.
func TestSaveWhoseAnswerIsLostIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t).on("POST nsconfig?action=save", lost, page(502), ok(done))
		c := b.open()
		if err := c.Save(t.Context()); err != nil {
			t.Error(err)
		}
		b.on("POST nsconfig?action=save", lost)
		wantError(t, c.Save(t.Context()), netscaler.ErrUnavailable, "save the configuration: ", "tried 4 times")
	})
}

func TestWriteThatSurelyDidNotArriveIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t).on("PUT "+binding, refusedConnection, refusedConnection, ok(done))
		c := b.open()
		if err := bindOne(t.Context(), c); err != nil {
			t.Error(err)
		}
		b.on("PUT "+binding, refusedConnection)
		err := bindOne(t.Context(), c)
		wantError(t, err, netscaler.ErrUnavailable, "connection refused")
		if errors.Is(err, netscaler.ErrUnsure) {
			t.Errorf("nothing was sent: %v", err)
		}
	})
}

// go-retryablehttp's own policy would make five tries of it and lose the error.
func TestRefusalIsNotRepeated(t *testing.T) {
	b := newBox(t).on("PUT "+binding, nitro(599, 435, "Maximum services bound to service group exceeded"))
	err := bindOne(t.Context(), b.open())
	if want := "service group sg: bind 10.0.0.1:80: NITRO 435 (HTTP 599): Maximum services bound to service group exceeded"; err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
	if n := b.count("PUT " + binding); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

func TestContextEndsACallAtOnce(t *testing.T) {
	t.Run("while it waits for another try", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newBox(t).on(byName("sg"), busy["446"]).open()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begun := time.Now()
			err := readOne(ctx, c)
			wantError(t, err, context.DeadlineExceeded)
			if errors.Is(err, netscaler.ErrUnsure) || time.Since(begun) > 100*time.Millisecond {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		})
	})
	t.Run("before it is sent", func(t *testing.T) {
		b := newBox(t)
		c := b.open()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range []error{readOne(ctx, c), bindOne(ctx, c), c.Save(ctx), c.Writable(ctx)} {
			wantError(t, err, context.Canceled)
		}
		if len(b.calls) != 0 {
			t.Errorf("calls: %v", b.calls)
		}
	})
	t.Run("changes, but for the call under way", func(t *testing.T) {
		for op, want := range map[netscaler.Op][2]int{ // changes made, calls
			netscaler.Bind: {1000, 2}, netscaler.Enable: {1000, 2}, netscaler.Drain: {1000, 2}, netscaler.Unbind: {1000, 2},
			netscaler.ReplaceMembers: {2, 2}, netscaler.RemoveServer: {1, 3},
		} {
			t.Run(op.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { stopInTheMiddle(t, op, want) })
			})
		}
	})
}

// stopInTheMiddle makes 1,200 changes of which each call takes a second, and stops
// after one and a half.
func stopInTheMiddle(t *testing.T, op netscaler.Op, want [2]int) {
	b := newBox(t)
	calls := 0
	slow := roundTripper(func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, binding) && !strings.Contains(r.URL.Path, "/servicegroup") && !strings.Contains(r.URL.Path, "/server") {
			return b.RoundTrip(r)
		}
		calls++
		time.Sleep(time.Second)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		body := `{ "errorcode": 0, "message": "Done" }`
		switch {
		case strings.Contains(r.URL.Path, "/server/"):
			name := path.Base(r.URL.Path)
			body = fmt.Sprintf(`{ "errorcode": 0, "server": [ { "name": %q, "ipaddress": %q } ] }`, name, name)
		case strings.Contains(r.URL.Path, "/server_binding/"):
			body = fmt.Sprintf(`{ "errorcode": 0, "server_binding": [ { "name": %q } ] }`, path.Base(r.URL.Path))
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	var list []netscaler.Change
	for i := range 1200 {
		ch := change(op, "sg", fmt.Sprintf("10.0.%d.%d:80", i/250, i%250))
		if op == netscaler.ReplaceMembers {
			ch = netscaler.Change{Op: op, Group: fmt.Sprintf("sg%d", i), List: []netscaler.Member{member("10.0.0.1:80")}}
		}
		list = append(list, ch)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 1500*time.Millisecond, errors.New("out of time"))
	defer cancel()
	errs := open(t, slow).Do(ctx, op, list)
	done := 0
	for done < len(errs) && errs[done] == nil {
		done++
	}
	for i, err := range errs[done:] {
		if wantError(t, err, netscaler.ErrStopped, "not sent: out of time"); t.Failed() {
			t.Fatalf("change %d, after %d that were made", done+i, done)
		}
	}
	if got := [2]int{done, calls}; got != want {
		t.Errorf("changes made and calls: %v, want %v", got, want)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 307, 308} {
		b := newBox(t).on(byName("sg"), answer{status: status, header: http.Header{"Location": {"https://op:hunter22@elsewhere.example/\u202e?token=hunter23"}}})
		err := readOne(t.Context(), b.open())
		wantError(t, err, nil, fmt.Sprintf("HTTP %d: redirected to ", status), "to https://elsewhere.example, which", "give that host as url")
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("it shows somebody's password: %v", err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// From here on over real connections.

func overTCP(t *testing.T, url string, change ...func(*netscaler.Config)) *netscaler.Client {
	return open(t, nil, append([]func(*netscaler.Config){func(cfg *netscaler.Config) { cfg.URLs = []string{url} }}, change...)...)
}

func TestRealConnectionThatEndsAfterTheWriteIsUnsure(t *testing.T) {
	b := newBox(t)
	var puts atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			puts.Add(1)
			panic(http.ErrAbortHandler)
		}
		b.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	wantError(t, bindOne(t.Context(), overTCP(t, s.URL)), netscaler.ErrUnsure, s.URL+": EOF")
	if puts.Load() != 1 {
		t.Errorf("sent %d times", puts.Load())
	}
}

// ServeHTTP makes the box a server.
func (b *box) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.URL.Scheme, r.URL.Host = "http", r.Host
	resp, err := b.RoundTrip(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}

func TestRealPortThatIsClosedIsUnavailableAndSure(t *testing.T) {
	t.Parallel()
	b := newBox(t).on(byName("sg"), rows(binding, ""))
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	c, err := netscaler.Open(netscaler.Config{
		URLs: []string{"http://127.0.0.1:1", s.URL}, Username: "nitrox", Password: netscaler.SecretText("secret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := readOne(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// The read finds the idle connection dead, so that the write needs a new
	// one, and cannot have it.
	if err := readOne(ctx, c); err == nil {
		t.Error("read from a closed port")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := bindOne(ctx, c); err == nil || errors.Is(err, netscaler.ErrUnsure) {
		t.Errorf("error %v", err)
	}
	wantError(t, c.Close(t.Context()), netscaler.ErrUnavailable, "log out of "+s.URL, "connection refused")
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestCertificateIsVerified(t *testing.T) {
	b := newBox(t).on(byName("sg"), rows(binding, ""))
	var refused atomic.Int32
	s := httptest.NewUnstartedServer(b)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			refused.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}

	wantError(t, readOne(t.Context(), overTCP(t, s.URL)), netscaler.ErrUnavailable, "certificate", "name the file of the certificates to trust in ca_file")
	if n := refused.Load(); n != 1 {
		t.Errorf("%d connections to an appliance that is not trusted", n)
	}
	wantError(t, readOne(t.Context(), overTCP(t, s.URL, func(cfg *netscaler.Config) { cfg.CAFile = ca; cfg.ServerName = "ns.internal" })),
		netscaler.ErrUnavailable, "ns.internal", "server_name")
	for name, f := range map[string]func(*netscaler.Config){
		"ca":          func(cfg *netscaler.Config) { cfg.CAFile = ca },
		"server name": func(cfg *netscaler.Config) { cfg.CAFile = ca; cfg.ServerName = "example.com" },
		"insecure":    func(cfg *netscaler.Config) { cfg.InsecureSkipVerify = true },
	} {
		if err := readOne(t.Context(), overTCP(t, s.URL, f)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantError(t, readOne(t.Context(), overTCP(t, strings.Replace(s.URL, "https", "http", 1))), nil, "HTTP 400")
	plain := httptest.NewServer(b)
	t.Cleanup(plain.Close)
	wantError(t, readOne(t.Context(), overTCP(t, strings.Replace(plain.URL, "http", "https", 1))), netscaler.ErrUnavailable, "does not speak TLS")
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := netscaler.Config{URLs: []string{"https://192.0.2.10/"}, Username: "nitrox"}
	if _, err := netscaler.Open(good); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		change func(*netscaler.Config)
		want   string
	}{
		{func(c *netscaler.Config) { c.URLs = nil }, "no URL"},
		{func(c *netscaler.Config) { c.URLs = []string{"192.0.2.10"} }, `"192.0.2.10" is not of the form https://HOST`},
		{func(c *netscaler.Config) { c.URLs = []string{"ftp://192.0.2.10"} }, "not of the form"},
		{func(c *netscaler.Config) { c.URLs = []string{"https://"} }, "not of the form"},
		{func(c *netscaler.Config) { c.URLs = []string{"https://u:hunter2@h"} }, "https://u:xxxxx@h contains a username or password"},
		{func(c *netscaler.Config) { c.URLs = []string{"https://u:hunter2@h\x00"} }, "cannot be parsed"},
		{func(c *netscaler.Config) { c.URLs = []string{"https://h/nitro/v1"} }, "more than a scheme and a host"},
		{func(c *netscaler.Config) { c.Username = "" }, "no username"},
		{func(c *netscaler.Config) { c.Timeout = -1 }, "negative"},
		{func(c *netscaler.Config) { c.CAFile = empty }, "empty.pem contains no PEM certificate"},
		{func(c *netscaler.Config) { c.CAFile = empty + "x" }, "read the CA file: "},
	} {
		cfg := good
		test.change(&cfg)
		_, err := netscaler.Open(cfg)
		wantError(t, err, nil, test.want)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("shows the password: %v", err)
		}
	}
}

// A warning makes a write no failure; of a read there is nothing but what was
// read, and that is not nothing.
func TestReadThatIsRefusedWithAWarningIsNoEmptyAnswer(t *testing.T) {
	warning := answer{status: 599, body: `{ "errorcode": 1067, "message": "Feature(s) not enabled [LB]", "severity": "WARNING" }`}
	b := newBox(t).on(bulk, warning).on(byName("a"), warning)
	c := b.open()
	_, err := c.Read(t.Context(), []string{"a", "b", "c", "d", "e"})
	wantError(t, err, nil, "read the members of all service groups: NITRO 1067")
	groups, err := look(c, t.Context(), []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, groups["a"].Err, nil, "read service group a: NITRO 1067")
	// With 209 the rows are there.
	b.on(byName("a"), answer{status: 209, body: `{ "errorcode": 1067, "message": "x", "severity": "WARNING", "` + binding + `": [ {"servicegroupname":"a","ip":"10.0.0.1","port":80,"servername":"10.0.0.1","weight":"1","state":"ENABLED","svrstate":"UP"} ] }`})
	if groups, err = look(c, t.Context(), []string{"a"}); err != nil || len(groups["a"].Members) != 1 {
		t.Errorf("%v, %v", groups["a"], err)
	}
}
