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
	MemberList = memberList
	Ready      = ready
	Unfit      = unfit
)

// Left is what a pass says that is done with a NetScaler.
func (p *Part) Left(netscaler string, r Result) { p.left(netscaler, r) }
