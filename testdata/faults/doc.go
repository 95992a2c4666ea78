// Package faults lets things go wrong between Nitrox and a NetScaler, one at a
// time in every kind of pass and then at random, and watches what becomes of the
// service groups. It was written by somebody who had not read the client, from
// README.md and what is known of NITRO, so that the two share no assumption.
//
//	go test ./testdata/faults                                 every fault, once (make sweep)
//	go test ./testdata/faults -share 10 -turn 2               every tenth of them, from the third
//	go test ./testdata/faults -run Fault -case 'list.*reset' -v   some, with their histories
//	go test ./testdata/faults -run Walk -walk 2m -seed 7 -v      at random, from a seed (make chaos)
//
// What runs is the binary, and what it does is seen in its exit code, its JSON
// report, and the configuration of a simulated NetScaler (state_test.go). Between
// the two stands a proxy (proxy_test.go) that knows how to refuse a call with any code
// instead of carrying it out or after it, to reset connections, to answer late, not at
// all, with HTML or with half or mangled JSON, and to kill the process at any moment
// (fault_test.go). TestOneFault does each of these to each call of each kind of pass
// (scenario_test.go), and to all calls of a kind; after that at most three passes must
// do. TestWalk makes histories of several passes with faults in pairs, an operator's
// commands and sources that fail. A history comes from its seed alone, and one that
// finds something is made as small as it can be.
//
// After each call, whether it was answered or not, the judge (judge_test.go) holds this
// against the configuration:
//
//	a member that its source serves      never leaves, is never disabled, keeps its weight and order
//	a group's enabled members            never fewer than before the pass or after it, whichever is less
//	a source in doubt                    nothing goes
//	a member that goes                   is marked before it is disabled; waits for wait_up
//	what is not Nitrox's                 is what it was: members that an operator disabled, domains, wildcard
//	                                     ports, other networks, groups, virtual servers; servers that are used
//	a member that no source has          is not bound
//	a dry run                            writes nothing
//	a save                               only when something was changed
//	a secondary node                     is not written
//	sessions                             one a process and node
//
// and at the end of each process:
//
//	exit 0, "in step" and "changed"      the group is as the source says, or drains by mark; and saved
//	made: true                           it is so
//	a plan of a dry run with exit 0      is the plan
//	sessions                             none is left, but those that Nitrox cannot have known of
//	                                     (the log-in's answer was lost) or not end (the log-out was
//	                                     refused, or it was killed)
//	the password                         is not printed
//
// A fault that is a false but well-formed word of the NetScaler's ("lies") is no reason to
// blame Nitrox for what it says then, only for what it does.
package faults
