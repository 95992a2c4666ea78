package sync_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sync"
)

var update = flag.Bool("update", false, "rewrite the expected reports")

// outcomes are what became of a plan's changes.
func outcomes(plan sync.Plan, took time.Duration, errs ...error) (done []sync.Done) {
	for i, c := range plan.Changes {
		done = append(done, sync.Done{Change: &c, Err: errs[i], Took: took})
	}
	return done
}

// everything is a result in which all that a report can say is to be said.
func everything(dryRun bool) sync.Result {
	member := func(s string, state netscaler.State) netscaler.Member {
		return netscaler.Member{Addr: addr(s), Server: addr(s).Addr().String(), Weight: 1, State: state, Up: state == netscaler.Enabled}
	}
	change := func(op netscaler.Op, m netscaler.Member, why string) netscaler.Change {
		return netscaler.Change{Op: op, Group: "sg-shop", Member: m, Why: why}
	}
	draining := member("10.0.0.7:80", netscaler.Draining)
	draining.Remaining = 41 * time.Second
	quoted := member("10.0.0.9:80", netscaler.Enabled)
	quoted.Server = `web "9"`
	weighed := change(netscaler.Set, member("10.0.0.3:80", netscaler.Enabled), "node n3, 2 pods")
	weighed.Weight, weighed.Was = 2, netscaler.Settings{Weight: 1}
	drain := change(netscaler.Drain, quoted, "no longer an endpoint")
	drain.Delay = 90 * time.Second
	lost := errors.New("connection refused")
	full := &netscaler.Error{Status: 599, Code: 435, Message: "Maximum services bound to service group exceeded"}

	shop := sync.Outcome{
		App:       sync.App{Name: "shop", At: "nitrox.yaml:14", Group: "sg-shop", From: []sync.From{{Source: "prod"}}},
		NetScaler: "edge", Node: "https://192.0.2.11",
		Answers: []sources.Answer{sources.NewAnswer([]sources.Endpoint{
			{Addr: addr("10.0.0.1:80"), Origin: "node n1", Facts: "ready since 2026-11-27T02:58:11Z"}, {Addr: addr("10.0.0.3:80"), Weight: 2, Origin: "node n3, 2 pods"},
			{Addr: addr("10.0.0.4:80"), Uncertain: "no health result"},
		}, []sources.LeftOut{{What: "pod shop-8", Why: "not ready", Addr: addr("10.0.0.8:80")}, {What: "task web.3", Why: "unhealthy\x1b[31m\nunbind everything"}}, nil)},
		Desired: wanted(sources.Endpoint{Addr: addr("10.0.0.1:80"), Origin: "node n1"}, sources.Endpoint{Addr: addr("10.0.0.3:80"), Weight: 2, Origin: "node n3, 2 pods"},
			sources.Endpoint{Addr: addr("10.0.0.4:80"), Uncertain: "no health result"}),
		Plan: sync.Plan{
			Changes: []netscaler.Change{
				change(netscaler.Bind, member("10.0.0.1:80", netscaler.Enabled), "node n1"),
				change(netscaler.Enable, member("10.0.0.2:80", netscaler.Draining), "node n2"),
				weighed, drain,
				change(netscaler.Unbind, member("10.0.0.8:80", netscaler.Disabled), "drained"),
			},
			Kept:      []netscaler.Member{member("10.0.0.3:80", netscaler.Enabled)},
			Draining:  []netscaler.Member{draining},
			Disabled:  []netscaler.Member{member("10.0.0.5:80", netscaler.Disabled), member("10.0.0.6:80", netscaler.DisabledAbove)},
			NotOurs:   []netscaler.Member{{Server: "db", NotOurs: "domain name db.example.com"}},
			Uncertain: []sync.Endpoint{{Addr: addr("10.0.0.4:80"), Uncertain: "no health result"}},
		},
	}
	shop.Notes = []string{"worth knowing\nunbind everything, it says"}
	if !dryRun {
		shop.Done = outcomes(shop.Plan, 31400*time.Microsecond, full, nil, nil, errors.New("not removed: a bind failed"), nil)
	}
	held := sync.Outcome{
		App: sync.App{Name: "cart", Group: "cart", From: []sync.From{{Source: "prod"}}}, NetScaler: "edge", Answers: []sources.Answer{known(nil)}, Desired: wanted(),
		Plan: sync.Plan{Held: []netscaler.Change{{Op: netscaler.Unbind, Group: "cart", Member: member("10.0.1.1:80", netscaler.Enabled)}}, HeldBy: errors.New("would remove the last 1 serving member")},
	}
	doubtful := sync.Outcome{
		App: sync.App{Name: "blog", Group: "sg blog", From: []sync.From{{Source: "dcos"}}}, NetScaler: "edge", Answers: []sources.Answer{sources.Doubtful(lost)},
		Desired: sync.Union([]sync.From{{Source: "dcos"}}, []sources.Answer{sources.Doubtful(lost)}, sync.Policy{}),
		Plan:    sync.Plan{Kept: []netscaler.Member{member("10.0.2.1:80", netscaler.Enabled)}},
	}
	paused := sync.Outcome{
		App: sync.App{Name: "wiki", Group: "sg wiki", Policy: sync.Policy{Paused: true}}, NetScaler: "edge",
		Desired: wanted(sources.Endpoint{Addr: addr("[2001:db8::1]:80")}),
		Plan:    sync.Plan{Changes: []netscaler.Change{{Op: netscaler.Bind, Group: "sg wiki", Member: member("[2001:db8::1]:80", netscaler.Enabled)}}},
	}
	front := &netscaler.Creation{ServiceType: "HTTP", MemberList: true, Drain: time.Minute, VServer: &netscaler.VServer{Name: "lb made", Addr: addr("192.0.2.5:80"), Method: "ROUNDROBIN"}}
	endless := change(netscaler.Drain, member("10.0.4.2:80", netscaler.Enabled), "no longer an endpoint")
	made := sync.Outcome{
		App: sync.App{Name: "made", Group: "made", Create: front}, NetScaler: "edge", Desired: wanted(),
		Plan: sync.Plan{MemberList: true, Changes: []netscaler.Change{
			{Op: netscaler.AddVServer, Group: "made", Create: front}, {Op: netscaler.AddGroup, Group: "made", Create: front}, {Op: netscaler.BindVServer, Group: "made", Create: front},
			change(netscaler.Bind, member("10.0.4.1:80", netscaler.Enabled), "node n4"), endless,
			{Op: netscaler.RemoveServer, Group: "made", Member: member("10.0.4.3:80", netscaler.Disabled), Why: "if nothing else uses it"},
		}, Draining: []netscaler.Member{member("10.0.4.4:80", netscaler.Draining)}},
	}
	if !dryRun {
		made.Done = outcomes(made.Plan, 0, nil, nil, nil, nil, nil, errors.New("NITRO 1043 (HTTP 599): Internal error"))
	}
	down := errors.New("log in: NITRO 354 (HTTP 401): Invalid username or password")
	unreached := sync.Outcome{App: sync.App{Name: "mail", Group: "mail"}, NetScaler: "core", Desired: wanted(), Err: down}
	step := sync.Outcome{
		App: sync.App{Name: "news", Group: "news"}, NetScaler: "edge", Desired: wanted(),
		Plan: sync.Plan{Kept: []netscaler.Member{member("10.0.3.1:80", netscaler.Enabled)}},
	}
	return sync.Result{
		Run:      sync.Run{ID: "1f2e3d4c5b6a", Pass: 7, Version: "v1.2.3", Mapping: sync.Mapping{File: "nitrox.yaml", Digest: strings.Repeat("9f86d081884c", 6)[:64]}},
		Outcomes: []sync.Outcome{shop, held, doubtful, paused, unreached, step, made},
		Sources:  map[string]error{"prod": nil, "dcos": lost}, NetScalers: map[string]error{"edge": nil, "core": errors.Join(down)},
		Saved: []string{"edge"}, DryRun: dryRun, Took: 1234 * time.Millisecond,
	}
}

func TestReports(t *testing.T) {
	log := func(w io.Writer, r sync.Result) error {
		new(sync.Chronicle).Log(context.Background(), slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})), r, time.Now())
		return nil
	}
	for _, c := range []struct {
		file   string
		report sync.Report
		dryRun bool
	}{
		{"plan.txt", sync.Text, true},
		{"done.txt", sync.Text, false},
		{"coloured.txt", sync.Coloured(sync.Text), true},
		{"plan.json", sync.JSON, true},
		{"done.json", sync.JSON, false},
		{"plan.nscli", sync.NSCLI, true},
		{"done.log", log, false},
	} {
		t.Run(c.file, func(t *testing.T) {
			var got bytes.Buffer
			if err := c.report(&got, everything(c.dryRun)); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(got.String(), "unbind everything\n") || c.file != "coloured.txt" && strings.ContainsRune(got.String(), '\x1b') {
				t.Error("text from outside ends a line or reaches the terminal as it is")
			}
			file := filepath.Join("testdata", "report", c.file)
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

// A thousand apps in step are one line, and the one that is not is seen.
// The apps of a JSON report are in memory one at a time, and are one object all the same.
func TestJSONIsWrittenAppByApp(t *testing.T) {
	for _, apps := range []int{0, 1, 100} {
		var all bytes.Buffer
		most := 0
		w := writerFunc(func(p []byte) (int, error) {
			most = max(most, len(p))
			return all.Write(p)
		})
		if err := sync.JSON(w, sync.Result{Outcomes: make([]sync.Outcome, apps)}); err != nil {
			t.Fatal(err)
		}
		var got struct{ Apps []any }
		if err := json.Unmarshal(all.Bytes(), &got); err != nil || len(got.Apps) != apps {
			t.Errorf("%d apps: %v, %d of them in\n%s", apps, err, len(got.Apps), all.String())
		}
		var again bytes.Buffer
		if err := json.Indent(&again, all.Bytes(), "", "  "); err != nil || again.String() != all.String() {
			t.Errorf("%d apps: not indented as it should be (%v):\n%s", apps, err, all.String())
		}
		if apps == 100 && most > all.Len()/20 {
			t.Errorf("%d bytes of %d are written at once", most, all.Len())
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestManyAppsInStepAreCountedNotListed(t *testing.T) {
	r := sync.Result{DryRun: true}
	for i := range 1000 {
		r.Outcomes = append(r.Outcomes, sync.Outcome{App: sync.App{Name: fmt.Sprint("app", i), Group: "g"}, NetScaler: "edge", Desired: wanted(), Plan: sync.Plan{Kept: make([]netscaler.Member, 1)}})
	}
	if !r.Quiet() {
		t.Error("there is nothing to tell")
	}
	r.Outcomes[500].Err = errors.New("no such service group")
	var b strings.Builder
	if err := sync.Text(&b, r); err != nil {
		t.Fatal(err)
	}
	want := "app500: g on edge: failed\n  ! no such service group\nplan: nothing to change (1000 service groups: 999 in step, 1 failed)\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	if r.Quiet() {
		t.Error("a failure is to be told")
	}
}

func TestExitCodes(t *testing.T) {
	change := sync.Plan{Changes: []netscaler.Change{{Op: netscaler.Bind}}}
	held := sync.Plan{HeldBy: errors.New("x"), Held: change.Changes}
	for _, c := range []struct {
		name   string
		result sync.Result
		drift  bool
		want   int
	}{
		{"nothing", sync.Result{}, true, 0},
		{"draining, operator-disabled and uncertain members", sync.Result{DryRun: true, Outcomes: []sync.Outcome{{Desired: wanted(), Plan: sync.Plan{Draining: make([]netscaler.Member, 1), Disabled: make([]netscaler.Member, 1), Uncertain: make([]sync.Endpoint, 1)}}}}, true, 0},
		{"a dry run with changes", sync.Result{DryRun: true, Outcomes: []sync.Outcome{{Plan: change, Desired: wanted()}}}, false, 0},
		{"a dry run with changes that count", sync.Result{DryRun: true, Outcomes: []sync.Outcome{{Plan: change, Desired: wanted()}}}, true, 2},
		{"a paused app's changes are no drift", sync.Result{DryRun: true, Outcomes: []sync.Outcome{{App: sync.App{Policy: sync.Policy{Paused: true}}, Plan: change, Desired: wanted()}}}, true, 0},
		{"changes made", sync.Result{Outcomes: []sync.Outcome{{Plan: change, Desired: wanted(), Done: outcomes(change, 0, nil)}}}, false, 0},
		{"a change not made", sync.Result{Outcomes: []sync.Outcome{{Plan: change, Desired: wanted(), Done: outcomes(change, 0, errors.New("x"))}}}, false, 1},
		{"held before changes", sync.Result{DryRun: true, Outcomes: []sync.Outcome{{Desired: wanted(), Plan: held}, {Plan: change, Desired: wanted()}}}, true, 3},
		{"held after changes", sync.Result{DryRun: true, Outcomes: []sync.Outcome{{Plan: change, Desired: wanted()}, {Plan: held, Desired: wanted()}}}, true, 3},
		{"failed before held", sync.Result{Outcomes: []sync.Outcome{{Desired: wanted(), Plan: held}, {Err: errors.New("x")}}}, false, 1},
		{"doubt", sync.Result{Outcomes: []sync.Outcome{{Desired: inDoubt(errors.New("x"))}}}, false, 1},
		{"a source", sync.Result{Sources: map[string]error{"a": nil, "b": errors.New("x")}}, false, 1},
		{"a NetScaler", sync.Result{NetScalers: map[string]error{"a": errors.New("x")}}, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.result.Exit(c.drift); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
