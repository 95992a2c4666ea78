// Package sync is the core of Nitrox: it keeps the service groups of NetScalers in
// step with what their apps' sources say.
//
// # One pass
//
// A pass polls each source once and reads each NetScaler once; it compares what
// is desired with what is actual; it asks again if the difference is drastic,
// holds what must not go, and has a plan. A dry run prints the plan. A run
// applies it, what adds before what removes, and saves. What it found and did is
// one value, of which report, log, metrics and exit code are functions.
//
// The types, in that order:
//
//	App        an entry of the mapping: a service group, where its endpoints come
//	           from, and a Policy of what may be done to it
//	Syncer     sources, NetScalers and apps; Plan and Sync make a pass
//	Answer     what a source says of one entry: the whole truth, or a doubt
//	Desired    what all entries of an app want together, by Union
//	Member     a member of the service group as it was read: what is actual
//	Plan       the changes from actual to desired, by Diff, and what stays; held
//	           back by guard, confirmed if drastic
//	Done       what became of one change
//	Outcome    all of this for one app on one NetScaler; Rows and Standing tell of
//	           each address where it stands
//	Trouble    one cause of what went wrong, and the apps that it harms
//	Result     the outcomes of a pass; Text, JSON, NSCLI and Chronicle print it
//
// A Loop makes passes at an interval, and earlier if a source hints at a change.
//
// # What Diff does with a member
//
// Ours are the members with an address inside only that do not stand for a domain
// name or for all ports. Marked is what Nitrox was removing (netscaler.DrainMark).
//
//	the member is         wanted             wanted, its        not wanted        not wanted,
//	                                         health unknown                       in doubt
//	not ours              left alone         left alone         left alone        left alone
//	disabled by others    left alone         left alone         left alone        left alone
//	enabled               kept, weight and   kept, weight and   drained; unbound  kept
//	                      order set          order set          with drain: 0s
//	enabled and marked    kept, mark lifted  kept               drained; unbound  kept
//	                                                            with drain: 0s
//	marked, draining      enabled            stays              stays; unbound    stays
//	                                                            with drain: 0s
//	marked, drained       enabled            stays              unbound           stays
//	leaving a list        enabled            stays              stays: the        stays
//	                                                            NetScaler ends it
//	not there             bound              not added          -                 -
//
// # What is not known
//
// Unknown cannot be spelled as empty: the zero Answer and the zero Desired are
// doubts, members come from a read with their error or not at all
// (netscaler.Groups), and a plan that lost members on its way to a member list is
// not sent (lost).
package sync
