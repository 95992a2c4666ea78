package netscaler_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

var fourGroups = []string{"a", "b", "c", "d"}

// withGroups is an appliance with four groups, which four readers read at once.
func withGroups(t *testing.T, o simulator.Options) *simulator.Simulator {
	o.Users = users
	sim := simulator.New(o)
	for _, name := range fourGroups {
		load(t, sim, "add serviceGroup "+name+" HTTP", "bind serviceGroup "+name+" 10.0.0.1 80")
	}
	return sim
}

func logins(sim *simulator.Simulator) int {
	n := 0
	for _, call := range sim.Calls() {
		if call.Type == "login" {
			n++
		}
	}
	return n
}

// noneLeft closes the client, and holds the appliance's list of sessions empty
// once the appliance has done with all that it was ever asked.
func noneLeft(t *testing.T, c *netscaler.Client, nodes ...*simulator.Simulator) {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	time.Sleep(time.Minute)
	for i, sim := range nodes {
		if n := sim.Sessions(); n != 0 {
			t.Errorf("node %d: %d sessions are left behind", i+1, n)
		}
	}
}

// A log-in that is on its way is let end, whatever ends the read that needed
// it: given up, it would be a session that nobody can end.
func TestLogInOnItsWayIsLetEnd(t *testing.T) {
	slow := simulator.Fault{Type: "login", Delay: 3 * time.Second}
	t.Run("a signal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := withGroups(t, simulator.Options{})
			sim.SetFault(slow)
			c := open(t, sim.Transport())
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := c.Read(ctx, fourGroups); err == nil {
				t.Error("a read that was stopped succeeds")
			}
			noneLeft(t, c, sim)
		})
	})
	t.Run("a deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := withGroups(t, simulator.Options{})
			sim.SetFault(slow)
			c := open(t, sim.Transport())
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			wantError(t, c.Writable(ctx), context.DeadlineExceeded)
			if _, err := c.Read(t.Context(), fourGroups); err != nil {
				t.Errorf("the session that came of it: %v", err)
			}
			if n := logins(sim); n != 1 {
				t.Errorf("%d log-ins", n)
			}
			noneLeft(t, c, sim)
		})
	})
	t.Run("another reader's trouble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := withGroups(t, simulator.Options{})
			c := open(t, sim.Transport())
			if _, err := c.Read(t.Context(), fourGroups); err != nil {
				t.Fatal(err)
			}
			sim.KillSessions()
			sim.SetFault(slow)
			sim.SetFault(simulator.Fault{Method: "GET", Type: binding, Name: "b", Delay: time.Second, Status: 404, RawBody: "not here"})
			if _, err := c.Read(t.Context(), fourGroups); err == nil {
				t.Error("no error")
			}
			noneLeft(t, c, sim)
		})
	})
	t.Run("a signal while the role is asked for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			pair := newNodes(t, simulator.Options{}, "add serviceGroup sg HTTP")
			pair.one.SetFault(simulator.Fault{Type: "hanode", Delay: 3 * time.Second})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := pair.client.Read(ctx, []string{"sg"}); err == nil {
				t.Error("no error")
			}
			noneLeft(t, pair.client, pair.one, pair.two)
		})
	})
	t.Run("it is not tried again after a signal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := withGroups(t, simulator.Options{})
			sim.SetFault(simulator.Fault{Type: "login", Code: 446})
			c := open(t, sim.Transport())
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begun := time.Now()
			wantError(t, readOne(ctx, c), nil, "446")
			if n := logins(sim); n != 1 || time.Since(begun) > 100*time.Millisecond {
				t.Errorf("%d log-ins in %v", n, time.Since(begun))
			}
			noneLeft(t, c, sim)
		})
	})
}

// A log-in that takes longer than other calls may is waited for. One that takes
// for ever is lost, and no other is sent while a pass may still want one.
func TestSlowLogInIsSentOnce(t *testing.T) {
	t.Run("slower than the timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := withGroups(t, simulator.Options{})
			sim.SetFault(simulator.Fault{Type: "login", Delay: 12 * time.Second})
			c := open(t, sim.Transport())
			if _, err := c.Read(t.Context(), fourGroups); err != nil {
				t.Error(err)
			}
			if n := logins(sim); n != 1 {
				t.Errorf("%d log-ins", n)
			}
			noneLeft(t, c, sim)
		})
	})
	t.Run("too slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := withGroups(t, simulator.Options{})
			sim.SetFault(simulator.Fault{Type: "login", Delay: 40 * time.Second, Times: 1})
			c := open(t, sim.Transport())
			_, err := c.Read(t.Context(), fourGroups)
			wantError(t, err, netscaler.ErrUnavailable, "http://ns.example: no answer within 30s")
			err = c.Save(t.Context()) // of what an earlier pass left unsaved
			wantError(t, err, netscaler.ErrUnavailable, "it may have opened a session anyway, so it is not tried again before ")
			for _, err := range c.Do(t.Context(), netscaler.Bind, changes(netscaler.Bind, "10.0.0.1:80")) {
				wantError(t, err, netscaler.ErrUnavailable, "not tried again")
				if strings.Contains(err.Error(), "sent, but the answer was lost") {
					t.Errorf("the bind was not sent: %v", err)
				}
			}
			time.Sleep(20 * time.Second)
			if n := logins(sim); n != 1 {
				t.Errorf("%d log-ins in one pass", n)
			}
			if _, err := c.Read(t.Context(), fourGroups); err != nil {
				t.Errorf("the next pass: %v", err)
			}
			if n := sim.Sessions(); n != 2 {
				t.Errorf("%d sessions, of which one is lost", n)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Minute)
			if n := sim.Sessions(); n != 0 {
				t.Errorf("%d sessions still live; what is lost should end soon", n)
			}
		})
	})
	t.Run("a night of it does not fill the appliance", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := withGroups(t, simulator.Options{})
			sim.SetFault(simulator.Fault{Type: "login", Delay: 31 * time.Second})
			c := open(t, sim.Transport(), func(cfg *netscaler.Config) { cfg.Every = 30 * time.Second })
			most := 0
			for begun := time.Now(); time.Since(begun) < 8*time.Hour; time.Sleep(time.Second) {
				_, err := c.Read(t.Context(), fourGroups)
				wantError(t, err, netscaler.ErrUnavailable)
				most = max(most, sim.Sessions())
			}
			if most > 7 { // of 20; one in 50 s, for 5 minutes
				t.Errorf("%d sessions at a time", most)
			}
		})
	})
	t.Run("its answer is lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := withGroups(t, simulator.Options{})
			sim.SetFault(simulator.Fault{Type: "login", DropAfterApply: true})
			c := open(t, sim.Transport())
			_, err := c.Read(t.Context(), fourGroups)
			wantError(t, err, netscaler.ErrUnavailable, "closed the connection")
			if n := logins(sim); n != 1 {
				t.Errorf("%d log-ins", n)
			}
		})
	})
	t.Run("it was not reached", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(t).on("POST login", refusedConnection, answer{status: 503}, answer{status: 201, body: done,
				header: http.Header{"Set-Cookie": {"NITRO_AUTH_TOKEN=%23%23AB"}}}).on(byName("sg"), rows(binding, ""))
			b.sessions["NITRO_AUTH_TOKEN=%23%23AB"] = true
			if err := readOne(t.Context(), b.open()); err != nil {
				t.Errorf("what surely began no session is tried again: %v", err)
			}
		})
	})
}

// A log-in whose answer cannot be read whole began a session nevertheless. If
// any of the answer says which, it is used or ended.
func TestGarbledLogInLeavesNothingBehind(t *testing.T) {
	const id, cookie = "##AB", "NITRO_AUTH_TOKEN=%23%23AB"
	set := http.Header{"Set-Cookie": {cookie + "; path=/nitro/v1"}}
	for name, test := range map[string]struct {
		answer answer
		used   bool
	}{
		"cut off, with a cookie":         {answer{status: 201, header: set, body: `{ "errorcode": 0, "mess`}, true},
		"cut off behind the session":     {answer{status: 201, body: `{ "errorcode": 0, "sessionid": "` + id + `", "mess`}, true},
		"nonsense, with a cookie":        {answer{status: 201, header: set, body: `{ "errorcode": "many" }`}, true},
		"a page, with a cookie":          {answer{status: 200, header: set, body: "<html>hello</html>"}, false},
		"a gateway's, with a cookie":     {answer{status: 502, header: set, body: "<html>bad gateway</html>"}, false},
		"challenged, with a session":     {answer{status: 401, body: `{ "errorcode": 1034, "message": "Login challenged", "sessionid": "` + id + `" }`}, false},
		"an old cookie and a new one":    {answer{status: 201, header: http.Header{"Set-Cookie": {"SESSID=deleted; Max-Age=0", "sessionid=%23%23AB; path=/nitro/v1"}}, body: `{ "err`}, true},
		"a code, cut off, with a cookie": {answer{status: 599, header: set, body: `{ "errorcode": 1043, "mess`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t).on("POST login", test.answer).on(byName("sg"), rows(binding, ""))
				b.sessions[cookie] = true
				c := b.open()
				if err := readOne(t.Context(), c); (err == nil) != test.used {
					t.Errorf("read: %v", err)
				}
				if n := b.count("POST login"); n != 1 {
					t.Errorf("%d log-ins", n)
				}
				if !test.used && len(b.sessions) != 0 {
					t.Error("its session is not ended at once")
				}
				if err := c.Close(t.Context()); err != nil || len(b.sessions) != 0 {
					t.Errorf("%d sessions are left: %v", len(b.sessions), err)
				}
			})
		})
	}
}

// Of a pair, too: a session that cannot be used is ended before another begins.
func TestPairHasOneSessionWhateverIsLost(t *testing.T) {
	read := simulator.Fault{Method: "GET", Type: binding}
	for name, fault := range map[string]simulator.Fault{
		"log-in cut off":     {Type: "login", DropMidReply: true},
		"reads cut off":      {Method: "GET", Type: binding, DropMidReply: true, Times: 4},
		"reads lost":         {Method: "GET", Type: binding, DropAfterApply: true, Times: 4},
		"reads garbled":      {Method: "GET", Type: binding, RawBody: `{ "errorcode": "many" }`, Times: 1},
		"reads hang":         {Method: "GET", Type: binding, Hang: true, Times: 1},
		"the role is a page": {Type: "hanode", RawBody: "<html>", Times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pair := newNodes(t, simulator.Options{}, "add serviceGroup sg HTTP")
				pair.one.SetFault(fault)
				_, err := pair.client.Read(t.Context(), []string{"sg"})
				if n := pair.one.Sessions() + pair.two.Sessions(); n > 1 || err == nil && n != 1 {
					t.Errorf("%d and %d sessions (%v)", pair.one.Sessions(), pair.two.Sessions(), err)
				}
				noneLeft(t, pair.client, pair.one, pair.two)
			})
		})
	}
	t.Run("not even the log-out comes through", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			pair := newNodes(t, simulator.Options{}, "add serviceGroup sg HTTP")
			logout := simulator.Fault{Type: "logout", DropBefore: true, Times: 12}
			read.DropBefore, read.Times = true, 4
			pair.one.SetFault(read)
			pair.one.SetFault(logout)
			for range 3 {
				_, _ = pair.client.Read(t.Context(), []string{"sg"}) // how many sessions it takes is what matters
				if n := pair.one.Sessions(); n > 1 {
					t.Errorf("%d sessions", n)
				}
			}
			pair.one.ClearFaults()
			if _, err := pair.client.Read(t.Context(), []string{"sg"}); err != nil {
				t.Errorf("once it answers again: %v", err)
			}
			if n := pair.one.Sessions(); n != 1 {
				t.Errorf("%d sessions", n)
			}
			noneLeft(t, pair.client, pair.one, pair.two)
		})
	})
	t.Run("Close ends what was left", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			pair := newNodes(t, simulator.Options{}, "add serviceGroup sg HTTP")
			if _, err := pair.client.Read(t.Context(), []string{"sg"}); err != nil {
				t.Fatal(err)
			}
			pair.one.SetFault(simulator.Fault{DropBefore: true})
			if _, err := pair.client.Read(t.Context(), []string{"sg"}); err == nil {
				t.Error("no error")
			}
			pair.one.ClearFaults()
			noneLeft(t, pair.client, pair.one, pair.two)
		})
	})
}

// A page with a 401 may come from something in between, and then the session
// lives.
func TestSessionThatOnlySeemsDeadIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := withGroups(t, simulator.Options{})
		c := open(t, sim.Transport())
		sim.SetFault(simulator.Fault{Method: "GET", Type: binding, Status: 401, RawBody: "<html>who are you?</html>", Times: 1})
		if _, err := c.Read(t.Context(), fourGroups); err != nil {
			t.Error(err)
		}
		if n := sim.Sessions(); n != 1 {
			t.Errorf("%d sessions", n)
		}
		noneLeft(t, c, sim)
	})
}

// A log-out whose answer is lost is sent again: the second finds the session
// ended, or ends it.
func TestLogOutIsRepeated(t *testing.T) {
	for name, fault := range map[string]simulator.Fault{
		"not carried out": {Type: "logout", DropBefore: true, Times: 1},
		"carried out":     {Type: "logout", DropAfterApply: true, Times: 1},
		"busy":            {Type: "logout", Code: 446, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := withGroups(t, simulator.Options{})
				sim.SetFault(fault)
				c := open(t, sim.Transport())
				if _, err := c.Read(t.Context(), fourGroups); err != nil {
					t.Fatal(err)
				}
				noneLeft(t, c, sim)
			})
		})
	}
}

// A session that is lost ends soon, and that of a loop lives from one pass to
// the next as far as the appliance's own default would let it.
func TestLifeOfASession(t *testing.T) {
	for every, want := range map[time.Duration]int{
		0: 300, 10 * time.Second: 300, 150 * time.Second: 300, 5 * time.Minute: 600, 15 * time.Minute: 1800, 2 * time.Hour: 1800,
	} {
		t.Run(fmt.Sprintf("every %v", every), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t).on("POST login", answer{status: 201, body: `{ "errorcode": 0, "sessionid": "##AB" }`}).on(byName("sg"), rows(binding, ""))
				b.sessions["NITRO_AUTH_TOKEN=%23%23AB"] = true
				if err := readOne(t.Context(), b.open(func(cfg *netscaler.Config) { cfg.Every = every })); err != nil {
					t.Error(err)
				}
				body := fmt.Sprintf(`{"login":{"password":"secret","timeout":%d,"username":"nitrox"}}`, want)
				if got := b.bodies("POST login"); len(got) != 1 || got[0] != body {
					t.Errorf("sent %v, want %s", got, body)
				}

				sim := withGroups(t, simulator.Options{RestrictedTimeout: true})
				c := open(t, sim.Transport(), func(cfg *netscaler.Config) { cfg.Every = every })
				for range 5 {
					if _, err := c.Read(t.Context(), fourGroups); err != nil {
						t.Error(err)
					}
					time.Sleep(every + every/10) // the latest that a loop comes back
				}
				if n := logins(sim); n != 1 && every <= 27*time.Minute {
					t.Errorf("%d log-ins of a loop", n)
				}
			})
		})
	}
}

// Not every build or policy lets a client say how long its session lives: it
// is used all the same, which is said once.
func TestApplianceThatRefusesTheTimeoutIsUsed(t *testing.T) {
	refusals := map[string]simulator.Options{"no such argument": {Lacks: []string{"timeout"}}}
	for _, code := range []int{278, 1090, 1108, 1109, 1219} {
		refusals[fmt.Sprint(code)] = simulator.Options{}
	}
	for name, o := range refusals {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := withGroups(t, o)
				var code int
				if _, err := fmt.Sscan(name, &code); err == nil {
					sim.SetFault(simulator.Fault{Type: "login", Code: code, Times: 1})
				}
				var log bytes.Buffer
				c := open(t, sim.Transport(), func(cfg *netscaler.Config) { cfg.Log = slog.New(slog.NewTextHandler(&log, nil)) })
				for range 3 {
					if _, err := c.Read(t.Context(), fourGroups); err != nil {
						t.Error(err)
					}
					sim.KillSessions()
				}
				if n := logins(sim); n != 4 {
					t.Errorf("%d log-ins for three sessions, of which one was refused", n)
				}
				if n := strings.Count(log.String(), "refuses to limit the lifetime of a session"); n != 1 {
					t.Errorf("said %d times:\n%s", n, log.String())
				}
				noneLeft(t, c, sim)
			})
		})
	}
	t.Run("a wrong password is tried once", func(t *testing.T) {
		sim := withGroups(t, simulator.Options{Lacks: []string{"timeout"}})
		c := open(t, sim.Transport(), func(cfg *netscaler.Config) { cfg.Password = netscaler.SecretText("wrong") })
		for range 2 {
			_, err := c.Read(t.Context(), fourGroups)
			wantError(t, err, netscaler.ErrLogin)
		}
		if n := logins(sim); n != 2 { // the one without a timeout is the one that counts
			t.Errorf("%d log-ins", n)
		}
	})
}
