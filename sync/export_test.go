package sync

import "nitrox/netscaler"

// The decisions that properties test by themselves.
var (
	Collapsed  = collapsed
	Confirmed  = confirmed
	Drastic    = drastic
	Guard      = guard
	InEffect   = func(c netscaler.Change, now []netscaler.Member) bool { return inEffect(c, byAddress(now)) }
	Lost       = lost
	MemberList = func(now []netscaler.Member, changes []netscaler.Change) (list []netscaler.Member, out int) {
		var all []*netscaler.Change
		for i := range changes {
			all = append(all, &changes[i])
		}
		return memberList(now, all)
	}
	Ready = ready
	Unfit = unfit
)

// Left is what a pass says that is done with a NetScaler.
func (p *Part) Left(netscaler string, r Result) { p.left(netscaler, r) }
