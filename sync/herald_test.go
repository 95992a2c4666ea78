package sync_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"testing/synctest"
	"time"

	"nitrox/netscaler/simulator"
	"nitrox/sources"
	"nitrox/sources/redact"
	"nitrox/sync"
)

// A crier is a site whose sources are told what becomes of their apps. The audience of
// an app is what is before the slash in its name, and nobody if there is none.
type crier struct {
	*site
	sync.Herald
	log written

	mu    stdsync.Mutex
	heard []string
	// hear is what the sources do when they are told something.
	hear func(ctx context.Context) error
}

func newCrier(t *testing.T, play players, apps ...sync.App) *crier {
	c := &crier{site: newSite(t, play, apps...), hear: func(context.Context) error { return nil }}
	c.Log = slog.New(slog.NewTextHandler(&c.log, nil))
	for name, s := range c.Sources {
		s.Audience = func(query any) string {
			who, _, _ := strings.Cut(query.(string), "/")
			return who
		}
		s.Tell = func(ctx context.Context, news []sources.News[any]) error {
			c.mu.Lock()
			for _, n := range news {
				c.heard = append(c.heard, fmt.Sprintf("%s %s: %s: %s", name, n.Query, n.Kind, n.Text))
			}
			c.mu.Unlock()
			return c.hear(ctx)
		}
		c.Sources[name] = s
	}
	return c
}

func endpoints(addrs ...string) (all []sources.Endpoint) {
	for _, a := range addrs {
		all = append(all, sources.Endpoint{Addr: netip.MustParseAddrPort(a)})
	}
	return all
}

// pass makes one and tells what it found.
func (c *crier) pass(want int) {
	c.t.Helper()
	c.Tell(c.t.Context(), c.sync(want), time.Now())
}

// expectNews are those that were told since the last time.
func (c *crier) expectNews(when string, want ...string) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.heard)
	slices.Sort(want)
	if !slices.Equal(c.heard, want) {
		c.t.Errorf("%s: told\n%s\nwant\n%s", when, strings.Join(c.heard, "\n"), strings.Join(want, "\n"))
	}
	c.heard = nil
}

func TestNewsOfAnApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, doubt := endpoints("10.0.0.1:80", "10.0.0.2:80"), error(nil)
		c := newCrier(t, players{"prod": func(context.Context, string, bool) (sources.Answer, error) {
			return sources.NewAnswer(answer, nil, doubt), nil
		}}, sync.App{Name: "account", Policy: sync.Policy{WaitUp: time.Second, MaxRemove: sync.Limit{N: 75, Percent: true}},
			From: []sync.From{{Source: "prod", Query: "shop/account"}}})
		const app = "prod shop/account: "
		c.Tell(t.Context(), c.Plan(t.Context(), nil), time.Now())
		c.expectNews("a dry run")
		c.pass(sync.ExitInStep)
		c.expectNews("members", app+"MembersChanged: account: sg-account on edge: 2 bound (10.0.0.1:80, 10.0.0.2:80)")
		c.pass(sync.ExitInStep)
		c.expectNews("nothing")
		told, stop := context.WithCancel(t.Context())
		stop()
		c.Tell(told, c.Sync(told, nil), time.Now())
		c.expectNews("the end of the run")
		time.Sleep(time.Minute) // its source counts as one that failed
		answer = nil
		held := app + "RemovalsHeld: account: sg-account on edge: held: 2 to unbind (10.0.0.1:80, 10.0.0.2:80): would remove all 2 serving members; if the app is meant to have none, set allow_empty: true or --force it once"
		c.pass(sync.ExitHeld)
		c.expectNews("held", held)
		c.pass(sync.ExitHeld)
		c.expectNews("still held")
		time.Sleep(time.Hour)
		c.pass(sync.ExitHeld)
		c.expectNews("held for an hour", held)
		answer = endpoints("10.0.0.1:80", "10.0.0.2:80")
		c.pass(sync.ExitInStep)
		answer = nil
		c.pass(sync.ExitHeld)
		c.expectNews("held again", held)
		doubt = errors.New("node n1 has not been heard from for 3m10s")
		c.pass(sync.ExitFailed)
		c.expectNews("in doubt", app+"SyncFailed: account: sg-account on edge: in doubt, nothing is removed; source prod: node n1 has not been heard from for 3m10s; Nitrox's log says more")
		doubt = errors.New("node n1 has not been heard from for 3m40s")
		c.pass(sync.ExitFailed)
		c.expectNews("still in doubt")
		redact.Keep("hunter22-of-prod")
		doubt = errors.New("the server sent back hunter22-of-prod")
		c.pass(sync.ExitFailed)
		c.expectNews("a secret", app+"SyncFailed: account: sg-account on edge: in doubt, nothing is removed; source prod: the server sent back ***; Nitrox's log says more")
	})
}

// TestNewsNameNobodyElse: who reads what an app's source tells must not read there of
// the apps and endpoints of others.
func TestNewsNameNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := map[string]sources.Answer{
			"shop/account": sources.NewAnswer(endpoints("10.0.0.1:80"), nil, nil),
			"bank/vault":   sources.NewAnswer(endpoints("10.9.0.1:80", "10.9.0.2:80"), nil, nil),
			"bank/ledger":  sources.NewAnswer(endpoints("10.9.0.3:80"), nil, nil),
		}
		var failure error
		c := newCrier(t, players{"prod": func(_ context.Context, app string, _ bool) (sources.Answer, error) { return answers[app], failure }},
			sync.App{Name: "both", Policy: sync.Policy{WaitUp: time.Second}, From: []sync.From{{Source: "prod", Query: "shop/account"}, {Source: "prod", Query: "bank/vault"}}},
			sync.App{Name: "ledger", Group: "sg-bank-ledger", From: []sync.From{{Source: "prod", Query: "bank/ledger"}}})
		c.pass(sync.ExitInStep)
		c.expectNews("members",
			"prod shop/account: MembersChanged: both: sg-both on edge: 1 bound (10.0.0.1:80), in the rest of the group 2 bound",
			"prod bank/vault: MembersChanged: both: sg-both on edge: 2 bound (10.9.0.1:80, 10.9.0.2:80), in the rest of the group 1 bound",
			"prod bank/ledger: MembersChanged: ledger: sg-bank-ledger on edge: 1 bound (10.9.0.3:80)")
		answers["bank/vault"] = sources.Doubtful(errors.New("service bank/vault: pod vault-1 is odd"))
		answers["shop/account"] = sources.Doubtful(sources.Absent("service", "shop/account", []string{"shop/accounts", "bank/account"}))
		c.pass(sync.ExitFailed)
		c.expectNews("doubts",
			"prod shop/account: SyncFailed: both: sg-both on edge: in doubt, nothing is removed; source prod: its cluster manager does not have it; Nitrox's log says more",
			"prod bank/vault: SyncFailed: both: sg-both on edge: in doubt, nothing is removed; source prod: service bank/vault: pod vault-1 is odd; Nitrox's log says more")
		failure = errors.New("list services in namespace bank: 403 Forbidden")
		c.pass(sync.ExitFailed)
		synctest.Wait()
		for _, news := range c.heard {
			if strings.Contains(news, "shop/account") && strings.Contains(news, "bank") || !strings.Contains(news, "source prod failed") {
				t.Errorf("told %s", news)
			}
		}
		failure, c.heard = nil, nil
		answers["bank/vault"] = sources.NewAnswer(endpoints("10.9.0.1:80", "127.0.0.1:80"), nil, nil)
		answers["shop/account"] = sources.NewAnswer(endpoints("10.0.0.1:80"), nil, nil)
		c.pass(sync.ExitFailed)
		c.expectNews("an address that is not bound",
			"prod shop/account: SyncFailed: both: sg-both on edge: in doubt, nothing is removed; Nitrox's log says more",
			"prod bank/vault: SyncFailed: both: sg-both on edge: in doubt, nothing is removed; Nitrox's log says more")
	})
}

func TestNewsOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrier(t, players{"prod": func(context.Context, string, bool) (sources.Answer, error) {
			return sources.NewAnswer(endpoints("10.0.0.1:80"), nil, nil), nil
		}}, sync.App{Name: "lost", From: []sync.From{{Source: "prod", Query: "shop/lost"}}}, sync.App{Name: "cart", From: []sync.From{{Source: "prod", Query: "shop/cart"}}})
		c.Apps[0].Group = "sg-lose" // sg-lost, which is nearest, may be another's
		c.sims["edge"].SetFault(simulator.Fault{Command: "^bind serviceGroup sg-cart", Code: 1335, Message: "taken by sg-bank"})
		c.pass(sync.ExitFailed)
		c.expectNews("failures",
			"prod shop/lost: SyncFailed: lost: sg-lose on edge: the service group does not exist; Nitrox's log says more",
			"prod shop/cart: SyncFailed: cart: sg-cart on edge: 1 failed to bind (10.0.0.1:80); Nitrox's log says more")
	})
}

// TestNewsHoldUpNothing: a source that cannot be told harms no pass, is told one thing
// at a time, and the log has it once an hour.
func TestNewsHoldUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := newCrier(t, players{"prod": func(context.Context, string, bool) (sources.Answer, error) {
			n++
			return sources.NewAnswer(endpoints("10.0.0.1:80", fmt.Sprintf("10.0.1.%d:80", n)), nil, nil), nil
		}}, sync.App{Name: "account", From: []sync.From{{Source: "prod", Query: "shop/account"}}})
		calls, at := 0, 0
		c.hear = func(ctx context.Context) error {
			calls++
			if at++; at > 1 {
				t.Error("the source is told two things at a time")
			}
			<-ctx.Done()
			at--
			return context.Cause(ctx)
		}
		logged := func(when string) {
			t.Helper()
			synctest.Wait()
			if log := c.log.since(); strings.Count(log, "\n") != 1 || !strings.Contains(log, `msg="the source could not be told what became of its apps" source=prod error="no answer within 5s"`) {
				t.Errorf("%s the log is\n%s", when, log)
			}
		}
		passes := func(n int) {
			t.Helper()
			began := time.Now()
			for range n {
				c.Tell(t.Context(), c.sync(sync.ExitInStep), time.Now())
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("%d passes took %v with a source that hangs when it is told something", n, took)
			}
		}
		passes(3)
		time.Sleep(time.Minute)
		logged("at first")
		if calls != 2 {
			t.Errorf("told %d times, want the news of the first pass, and those of the others together", calls)
		}
		time.Sleep(time.Hour)
		passes(1)
		time.Sleep(time.Minute)
		logged("an hour later")
		passes(3)
		began := time.Now()
		c.Close()
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("the end waited %v for it", took)
		}
		time.Sleep(time.Minute) // what the end has not waited for
	})
}
