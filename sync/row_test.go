package sync_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sync"
)

// Whatever a pass found and did: each member and each endpoint is in exactly
// one row, but for members that the pass has unbound, and a row says serving of
// none that does not.
func TestEachAddressIsInOneRow(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 8).Draw(t, "host"))}), 80)
	})
	rapid.Check(t, func(t *rapid.T) {
		policy := sync.Policy{Drain: time.Duration(rapid.IntRange(0, 1).Draw(t, "drain")) * time.Minute, MaxRemove: sync.Limit{N: 2}}
		var es []sources.Endpoint
		for _, a := range rapid.SliceOfN(addr, 0, 6).Draw(t, "endpoints") {
			es = append(es, sources.Endpoint{
				Addr: a, Weight: rapid.IntRange(0, 2).Draw(t, "weight"), Uncertain: rapid.SampledFrom([]string{"", "", "not known"}).Draw(t, "uncertain"),
			})
		}
		var doubt error
		if rapid.IntRange(0, 3).Draw(t, "doubt") == 0 {
			doubt = errors.New("half a list")
		}
		answer := sources.NewAnswer(es, nil, doubt)
		var actual []netscaler.Member
		for _, a := range rapid.SliceOfNDistinct(addr, 0, 6, rapid.ID).Draw(t, "members") {
			actual = append(actual, netscaler.Member{
				Addr: a, Server: a.Addr().String(), Weight: 1, Up: rapid.Bool().Draw(t, "up"), Mark: rapid.Bool().Draw(t, "mark"),
				State: netscaler.State(rapid.IntRange(0, 3).Draw(t, "state")),
			})
		}
		from := []sync.From{{Source: "prod"}}
		o := sync.Outcome{App: sync.App{Name: "shop", From: from, Policy: policy}, Answers: []sources.Answer{answer}, Desired: sync.Union(from, []sources.Answer{answer}, policy)}
		o.Plan = sync.Guard(sync.Diff("sg", o.Desired, actual, policy), policy)
		if rapid.Bool().Draw(t, "applied") {
			o.Done = []sync.Done{}
			for _, c := range o.Plan.Changes {
				d := sync.Done{Change: &c}
				if rapid.Bool().Draw(t, "failed") {
					d.Err = errors.New("refused")
				}
				o.Done = append(o.Done, d)
			}
		}

		want := map[netip.AddrPort]bool{}
		for _, m := range actual {
			want[m.Addr] = true
		}
		for _, e := range o.Desired.Endpoints {
			want[e.Addr] = true
		}
		for _, d := range o.Done {
			if d.Op == netscaler.Unbind && d.Err == nil {
				delete(want, d.Addr)
			}
		}
		enabled := map[netip.AddrPort]bool{}
		for _, m := range actual {
			enabled[m.Addr] = m.State == netscaler.Enabled
		}
		all := o.Rows()
		for _, r := range all {
			if !want[r.Addr] {
				t.Errorf("%v is in a row too many: %+v", r.Addr, all)
			}
			delete(want, r.Addr)
			if (r.Standing == sync.Serving || r.Standing == sync.Down) && !enabled[r.Addr] {
				t.Errorf("%v is said to be %s, and is not enabled", r.Addr, r.Standing)
			}
			if (r.Standing == sync.Missing || r.Standing == sync.Added) && enabled[r.Addr] {
				t.Errorf("%v is said to be %s, and serves", r.Addr, r.Standing)
			}
		}
		for a := range want {
			t.Errorf("%v is in no row: %+v", a, all)
		}
	})
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 250 * time.Millisecond: "250ms", 1500 * time.Millisecond: "1.5s", 12 * time.Second: "12s", time.Minute: "1m",
		90 * time.Second: "1m30s", 25*time.Minute + 30*time.Second: "25m", time.Hour: "1h", 90 * time.Minute: "1h30m", 47 * time.Hour: "47h", 72*time.Hour + time.Minute: "3d",
	} {
		if got := sync.Short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
