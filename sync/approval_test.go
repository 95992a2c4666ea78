package sync_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"nitrox/sources"
	"nitrox/sync"
)

// What changes between the look at an approved plan and its application is refused
// for the group that it concerns: nothing is written that nobody approved.
func TestNothingIsDoneThatWasNotApproved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := map[string][]string{"shop": {"10.0.0.1:80"}, "cart": {"10.0.0.7:80"}}
		s := newSite(t, players{"prod": func(_ context.Context, app string, _ bool) (sources.Answer, error) {
			var all []sources.Endpoint
			for _, a := range wanted[app] {
				all = append(all, sources.Endpoint{Addr: addr(a)})
			}
			return sources.NewAnswer(all, nil, nil), nil
		}}, sync.App{Name: "shop", Policy: sync.DefaultPolicy}, sync.App{Name: "cart", Policy: sync.DefaultPolicy})
		var plan sync.Approval
		plan.Approve(s.Plan(t.Context(), nil))
		text, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		if s.Approved, err = sync.ReadApproval(text); err != nil {
			t.Fatal(err)
		}
		wanted["shop"] = []string{"10.0.0.1:80", "10.0.0.2:80"}
		s.Apps = append(s.Apps, sync.App{Name: "new", Group: "sg-new", NetScalers: []string{"edge"}, From: s.Apps[0].From, Policy: sync.DefaultPolicy})
		s.sims["edge"].AddGroup("sg-new")
		if err := s.sims["edge"].Load(strings.NewReader("bind serviceGroup sg-shop 10.0.0.1 80\n")); err != nil {
			t.Fatal(err)
		}

		r := s.sync(sync.ExitOther)
		for _, o := range r.Outcomes {
			if got := errors.Is(o.Err, sync.ErrNotApproved); got != (o.App.Name != "cart") {
				t.Errorf("%s: %v", o.App.Name, o.Err)
			}
			rows := map[netip.AddrPort]int{}
			for _, row := range o.Rows() {
				if rows[row.Addr]++; rows[row.Addr] > 1 {
					t.Errorf("%s: %v has several rows", o.App.Name, row.Addr)
				}
			}
		}
		for group, want := range map[string]int{"sg-shop": 1, "sg-new": 0, "sg-cart": 1} {
			if got := len(s.sims["edge"].Members(group)); got != want {
				t.Errorf("%s has %d members, want %d", group, got, want)
			}
		}
	})
}

// No edit of a plan goes unnoticed that changes what would be done, and none makes
// the reader panic.
func FuzzReadApproval(f *testing.F) {
	plan := sync.Approval{Groups: []sync.ApprovedGroup{{App: "shop", NetScaler: "edge", Group: "sg", Changes: []string{"bind serviceGroup sg 10.0.0.1 80"}}}}
	plan.Approve(sync.Result{Outcomes: []sync.Outcome{{App: sync.App{Name: "shop", Group: "sg"}, NetScaler: "edge"}}})
	text, err := json.Marshal(plan)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(strings.Replace(string(text), `"changes":[]`, `"changes":["x"]`, 1)))
	f.Add([]byte(`{"kind":"nitrox plan","version":1,"groups":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := sync.ReadApproval(text)
		if err != nil {
			return
		}
		if a.Digest == plan.Digest && (len(a.Groups) != 1 || !slices.Equal(a.Groups[0].Changes, plan.Groups[0].Changes)) {
			t.Errorf("%s passes for the plan", text)
		}
		if len(a.Differences(a)) != 0 {
			t.Errorf("%s differs from itself", text)
		}
	})
}
