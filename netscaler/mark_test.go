package netscaler_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

// disabled is a member that cannot carry a mark.
func disabled(addr string) netscaler.Member {
	m := member(addr)
	m.State, m.NoMark = netscaler.Disabled, true
	return m
}

func drains(members ...netscaler.Member) (list []netscaler.Change) {
	for _, m := range members {
		list = append(list, netscaler.Change{Op: netscaler.Drain, Group: "sg", Member: m, Delay: time.Minute})
	}
	return list
}

const (
	setCall     = "PUT servicegroup"
	disableCall = "POST servicegroup?action=disable"
	enableCall  = "POST servicegroup?action=enable"
)

// A row tells whose drain it is. Scenario 10 rests on it.
func TestRowTellsWhoDisabledTheMember(t *testing.T) {
	const out = `"servername":"a","state":"DISABLED","svrstate":"OUT OF SERVICE"`
	const on = `"servername":"a","state":"ENABLED","svrstate":"UP"`
	for _, test := range []struct {
		name, row     string
		mark, no, out bool
	}{
		{"no mark", `"customserverid":"None","graceful":"YES",` + out, false, false, false},
		{"no mark, in small letters", `"customserverid":"none","graceful":"YES",` + out, false, false, false},
		{"no mark, as ns.conf has it", `"customserverid":"\"None\"","graceful":"YES",` + out, false, false, false},
		{"no mark, empty", `"customserverid":"","graceful":"YES",` + out, false, false, false},
		{"no mark, null", `"customserverid":null,"graceful":"YES",` + out, false, false, false},
		{"ours", `"customserverid":"nitrox-10.0.0.1-80","graceful":"YES",` + out, true, false, false},
		{"ours, graceful forgotten", `"customserverid":"nitrox-10.0.0.1-80","graceful":"NO",` + out, true, false, false},
		{"ours, in capitals", `"customserverid":"NITROX-10.0.0.1-80",` + out, true, false, false},
		{"ours, cut short", `"customserverid":"nitrox-10.0.0",` + out, true, false, false},
		{"ours, still enabled", `"customserverid":"nitrox-10.0.0.1-80",` + on, true, false, false},
		{"of another member", `"customserverid":"nitrox-10.0.0.2-80","graceful":"NO",` + out, false, true, false},
		{"prefix alone", `"customserverid":"nitrox-","graceful":"NO",` + out, false, true, false},
		{"in use", `"customserverid":"persist7","graceful":"NO",` + out, false, true, false},
		{"in use, graceful", `"customserverid":"persist7","graceful":"YES",` + out, true, true, false},
		{"in use, enabled", `"customserverid":"persist7","graceful":"YES",` + on, false, true, false},
		{"build without, graceful", `"graceful":"YES",` + out, true, true, false},
		{"build without", `"graceful":"NO",` + out, false, true, false},
		{"left out of a desired state", `"customserverid":"None","graceful":"YES","trofsreason":"Trofs Because of Graceful Unbind","servername":"a","state":"DISABLED","svrstate":"GOING OUT OF SERVICE"`, true, false, true},
		{"a disable command", `"customserverid":"None","graceful":"YES","trofsreason":"Trofs Because of Disable Cmd","servername":"a","state":"DISABLED","svrstate":"GOING OUT OF SERVICE"`, false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t).on(byName("sg"), rows(binding, `{"ip":"10.0.0.1","port":80,`+test.row+`}`))
			groups, err := look(b.open(), t.Context(), []string{"sg"})
			if err != nil {
				t.Fatal(err)
			}
			m := groups["sg"].Members[0]
			if m.Mark != test.mark || m.NoMark != test.no || m.Leaving != test.out {
				t.Errorf("%+v", m)
			}
		})
	}
}

// A drain is two calls whatever the number of members, and a member that is
// marked already, or cannot be, is not marked.
func TestDrainMarksFirst(t *testing.T) {
	marked, odd := member("10.0.0.3:80"), member("10.0.0.4:80")
	marked.Mark, odd.NoMark = true, true
	b := newBox(t).on(setCall, ok(done)).on(disableCall, ok(done))
	wantNil(t, b.open().Do(t.Context(), netscaler.Drain, drains(member("10.0.0.1:80"), member("[2001:db8::1]:81"), marked, odd)))
	wantLines(t, b, setCall, disableCall)
	want := `{"servicegroup":[{"customserverid":"nitrox-10.0.0.1-80","port":80,"servername":"10.0.0.1","servicegroupname":"sg"},{"customserverid":"nitrox-2001:db8::1-81","port":81,"servername":"2001:db8::1","servicegroupname":"sg"}]}`
	if got := b.bodies(setCall); len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
	if got := ports(b.bodies(disableCall)); !slices.Equal(got, []string{"80,80,80,81"}) {
		t.Errorf("disabled %q", got)
	}
}

// What could not be marked would look like an operator's for ever.
func TestMemberThatCannotBeMarkedIsNotDrained(t *testing.T) {
	const refusal = "Not authorized to execute this command [set serviceGroup sg 10.0.0.2 80]"
	b := newBox(t).on(setCall, bulkFailed(itemDone, result(278, "Invalid argument [customserverid]"), itemNoGroup)).on(disableCall, ok(done))
	errs := b.open().Do(t.Context(), netscaler.Drain, drains(member("10.0.0.1:80"), member("10.0.0.2:80"), member("10.0.0.3:80")))
	wantNil(t, errs[:1])
	wantError(t, errs[1], nil, "sg: drain 10.0.0.2:80: not drained, because the member cannot be marked", "278", "drain: 0s")
	wantError(t, errs[2], netscaler.ErrNoGroup)
	if got := b.bodies(disableCall); len(got) != 1 || ports(got)[0] != "80" {
		t.Errorf("disabled %q", got)
	}

	b = newBox(t).on(setCall, nitro(403, 2138, refusal))
	errs = b.open().Do(t.Context(), netscaler.Drain, drains(member("10.0.0.1:80"), member("10.0.0.2:80")))
	for _, err := range errs {
		wantError(t, err, nil, `must allow "set serviceGroup sg 10.0.0.2 80"`)
	}

	b = newBox(t).on(setCall, lost)
	errs = b.open().Do(t.Context(), netscaler.Drain, drains(member("10.0.0.1:80")))
	wantError(t, errs[0], netscaler.ErrUnsure)
	if n := b.count(disableCall); n != 0 {
		t.Errorf("%d calls to disable after a lost answer", n)
	}
}

func TestEnableLiftsTheMark(t *testing.T) {
	ours, cut, leaving, odd := member("10.0.0.1:80"), member("10.0.0.2:80"), member("10.0.0.3:80"), disabled("10.0.0.4:80")
	ours.State, ours.Mark = netscaler.Draining, true
	cut.Mark = true // killed between the mark and the disable
	leaving.State, leaving.Mark, leaving.Leaving = netscaler.Draining, true, true
	odd.Mark = true
	var list []netscaler.Change
	for _, m := range []netscaler.Member{ours, cut, leaving, odd} {
		list = append(list, netscaler.Change{Op: netscaler.Enable, Group: "sg", Member: m})
	}
	b := newBox(t).on(enableCall, ok(done)).on(setCall, ok(done))
	wantNil(t, b.open().Do(t.Context(), netscaler.Enable, list))
	want := `{"servicegroup":[{"customserverid":"None","port":80,"servername":"10.0.0.2","servicegroupname":"sg"},{"customserverid":"None","port":80,"servername":"10.0.0.1","servicegroupname":"sg"}]}`
	if got := b.bodies(setCall); len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
	if got := ports(b.bodies(enableCall)); !slices.Equal(got, []string{"80,80,80"}) {
		t.Errorf("enabled %q", got)
	}

	b = newBox(t).on(enableCall, ok(done)).on(setCall, nitro(599, 1043, "Internal error"))
	errs := b.open().Do(t.Context(), netscaler.Enable, list[:1])
	wantError(t, errs[0], nil, "enable 10.0.0.1:80: it is enabled, but its mark could not be removed", "1043")
}

// Mark, drain, return and restore on a whole appliance, also the longest mark.
func TestMarkIsKeptByTheAppliance(t *testing.T) {
	for _, length := range []int{0, 52, 40} {
		markIsKept(t, length)
	}
}

func markIsKept(t *testing.T, length int) {
	sim := simulator.New(simulator.Options{Users: users, CustomIDLength: length})
	const long = "2001:db8:1111:2222:3333:4444:5555:6666"
	load(t, sim, "add serviceGroup sg HTTP", "bind serviceGroup sg "+long+" 31080", "bind serviceGroup sg 10.0.0.1 80 -CustomServerID p1")
	c := open(t, sim.Transport())
	read := func() []netscaler.Member {
		t.Helper()
		groups, err := look(c, t.Context(), []string{"sg"})
		if err != nil {
			t.Fatal(err)
		}
		return groups["sg"].Members
	}
	wantNil(t, c.Do(t.Context(), netscaler.Drain, drains(read()...)))
	want := netscaler.DrainMark(netip.MustParseAddrPort("[" + long + "]:31080"))
	if length == 40 {
		want = want[:31]
	}
	for _, m := range sim.Members("sg") {
		if m.State != "DISABLED" || m.CustomServerID != want && m.CustomServerID != "p1" {
			t.Errorf("%+v", m)
		}
	}
	var back []netscaler.Change
	for _, m := range read() {
		if !m.Mark {
			t.Errorf("%+v", m)
		}
		back = append(back, netscaler.Change{Op: netscaler.Enable, Group: "sg", Member: m})
	}
	wantNil(t, c.Do(t.Context(), netscaler.Enable, back))
	for _, m := range sim.Members("sg") {
		if m.State != "ENABLED" || m.CustomServerID != "" && m.CustomServerID != "p1" {
			t.Errorf("%+v", m)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
