package sync_test

import (
	"strings"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sync"
)

// The NetScaler tells for how long it has had a member as it is, on its own clock.
func TestExplainTellsTheLastChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": sources.NewAnswer(hosts(1, 2), []sources.LeftOut{{What: "pod c", Why: "not ready", Addr: addr("10.0.0.3:80")}}, nil)}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce})
		s.sync(0)
		time.Sleep(3*time.Hour + 12*time.Minute)
		r := s.Consider(t.Context(), &sync.Part{Apps: []string{"shop"}})
		s.end(r, 0)
		var b strings.Builder
		if err := sync.Explanations("10.0.0.1")["text"](&b, r); err != nil {
			t.Fatal(err)
		}
		if want := "on the NetScaler its state last changed 3h12m ago\n"; !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in\n%s", want, b.String())
		}
		if !r.Knows("10.0.0.3:80") || !r.Knows("POD C") || r.Knows("10.0.0.3:81") || r.Knows("10.0.0.4") {
			t.Error("what is known is not found, or what is not")
		}
	})
}

// One app is explained with the reads of one pass over its group, unless its source
// has nothing for it.
func TestExplainReadsOneGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		st := stage{"shop": known(hosts(1, 2)), "cart": known(hosts(3, 4)), "blog": known(hosts(5, 6))}
		s := newSite(t, players{"prod": st.play}, sync.App{Name: "shop", Policy: atOnce}, sync.App{Name: "cart", Policy: atOnce}, sync.App{Name: "blog", Policy: atOnce})
		s.sync(0)
		s.sims["edge"].ResetCalls()
		r := s.Consider(t.Context(), &sync.Part{Apps: []string{"shop"}})
		s.end(r, 0)
		if got := strings.Join(kinds(s.sims["edge"].Calls()), ", "); got != "POST login, GET servicegroup_servicegroupmember_binding, POST logout" {
			t.Error(got)
		}
		if len(r.Outcomes) != 1 || len(r.NetScalers) != 1 {
			t.Errorf("%d outcomes", len(r.Outcomes))
		}
	})
}

// Whatever state a member has, and whatever its sources say, the verdict follows its
// standing, and there is a rule.
func TestEachRowHasAVerdictAndARule(t *testing.T) {
	word := map[sync.Standing]string{
		sync.Missing: "out", sync.Down: "in, down", sync.Draining: "draining", sync.Drained: "drained", sync.Added: "in", sync.Uncertain: "out",
		sync.Disabled: "disabled by somebody", sync.Serving: "in", sync.NotOurs: "not ours", sync.NotKnown: "not known", sync.LeftOut: "out",
	}
	if len(word) != sync.Standings {
		t.Errorf("%d standings have a verdict, of %d", len(word), sync.Standings)
	}
	for s, want := range word {
		if got := (sync.Row{Standing: s}).Verdict(); got != want {
			t.Errorf("%v: %s, want %s", s, got, want)
		}
	}
	for _, doubt := range []error{nil, sources.ErrAbsent} {
		for state := netscaler.Enabled; state <= netscaler.DisabledAbove; state++ {
			for bits := range 32 {
				m := netscaler.Member{Addr: addr("10.0.0.1:80"), Server: "10.0.0.1", Weight: 1, State: state, Up: bits&1 > 0, Mark: bits&2 > 0}
				var es []sources.Endpoint
				if bits&4 > 0 {
					es = append(es, sources.Endpoint{Addr: m.Addr, Uncertain: []string{"", "no health result"}[bits>>3&1]})
				}
				from := []sync.From{{Source: "prod"}}
				answers := []sources.Answer{sources.NewAnswer(es, nil, doubt)}
				policy := sync.Policy{Drain: time.Duration(bits>>4) * time.Minute, MaxRemove: sync.Limit{N: 75, Percent: true}}
				o := sync.Outcome{App: sync.App{From: from, Policy: policy}, Answers: answers, Desired: sync.Union(from, answers, policy), Actual: []netscaler.Member{m}}
				planned, failed := o, o
				planned.Plan = sync.Guard(sync.Diff("sg", o.Desired, o.Actual, policy), policy)
				failed.Err = netscaler.ErrNoOrder
				for _, o := range []sync.Outcome{planned, failed} {
					rows := o.Rows()
					if len(rows) != 1 || rows[0].Rule == "" || rows[0].Held != (o.Plan.HeldBy != nil) {
						t.Errorf("%+v, %+v: %+v", m, es, rows)
					}
				}
			}
		}
	}
}
