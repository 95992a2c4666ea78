package netscaler_test

import (
	"errors"
	"net/netip"
	"testing"

	"nitrox/netscaler"
	"nitrox/netscaler/simulator"
)

// Of several replicas one may write: the others are stopped right before the
// write, after everything else is in place.
func TestAWriteThatIsNotAllowedIsNotSent(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	sim.AddGroup("sg")
	leading := true
	notLeading := errors.New("another replica leads")
	c, err := netscaler.Open(netscaler.Config{
		URLs: []string{"http://ns.test"}, Username: "nsroot", Password: netscaler.SecretText("nsroot"), Transport: sim.Transport(),
		Allow: func() error {
			if leading {
				return nil
			}
			return notLeading
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	bind := func(host byte) error {
		m := netscaler.Member{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), 80), Weight: 1}
		return c.Do(t.Context(), netscaler.Bind, []netscaler.Change{{Op: netscaler.Bind, Group: "sg", Member: m}})[0]
	}
	if err := bind(1); err != nil {
		t.Fatal(err)
	}
	leading = false
	if err := bind(2); !errors.Is(err, notLeading) || !errors.Is(err, netscaler.ErrUnavailable) {
		t.Errorf("bind: %v", err)
	}
	if err := c.Save(t.Context()); !errors.Is(err, notLeading) {
		t.Errorf("save: %v", err)
	}
	if _, err := c.Read(t.Context(), []string{"sg"}); err != nil {
		t.Errorf("read: %v", err)
	}
	if err := c.Close(t.Context()); err != nil || sim.Sessions() != 0 {
		t.Errorf("close: %v, %d sessions left", err, sim.Sessions())
	}
	if n := len(sim.Members("sg")); n != 1 || sim.Saved() {
		t.Errorf("%d members, saved %v", n, sim.Saved())
	}
}
