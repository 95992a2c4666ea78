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

// ClaimedTwice finds out which apps claim the same, as a pass over all of them does.
func ClaimedTwice(s *Syncer) {
	visits := map[string]*visit{}
	for name, ns := range s.NetScalers {
		visits[name] = &visit{Syncer: s, name: name, ns: ns}
	}
	for _, app := range s.Apps {
		for _, name := range app.NetScalers {
			visits[name].outcomes = append(visits[name].outcomes, &Outcome{App: app, NetScaler: name})
		}
	}
	s.claimedTwice(visits)
}

// Left is what a pass says that is done with a NetScaler.
func (p *Part) Left(netscaler string, r Result) { p.left(netscaler, r) }

// Serves says whether a pass serves an app on a NetScaler.
func (p *Part) Serves(app, netscaler string) bool { return p.serves(app, netscaler) }
