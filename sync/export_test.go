package sync

// The decisions that properties test by themselves.
var (
	Collapsed  = collapsed
	Confirmed  = confirmed
	Drastic    = drastic
	Guard      = guard
	InEffect   = inEffect
	Lost       = lost
	MemberList = memberList
	Ready      = ready
	Unfit      = unfit
)
