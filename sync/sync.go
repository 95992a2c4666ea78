package sync

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
)

// App is one app of the mapping: where its endpoints come from, and the service
// group that holds them.
type App struct {
	Name string
	// At is where the mapping file has it, "nitrox.yaml:12"; "": in none.
	At string
	// Group is the service group's name.
	Group string
	// NetScalers are names of the mapping; the group is served on each.
	NetScalers []string
	// Create makes the service group if it is missing; nil: that fails the app.
	Create *netscaler.Creation
	// From are the places that the endpoints come from; their union is bound.
	From   []From
	Policy Policy

	// What follows is of apps that were discovered.

	// Marks are the comments that its group may have. Where it has none, or an older
	// mark of this mapping's, the first is written.
	Marks []string
	// Refused is why nothing of its group may be changed, and Doubt why it may gain
	// members and lose none.
	Refused, Doubt error
	// Orphan: no app claims the group any more. Its members stay or, if it is Leaving,
	// are drained.
	Orphan, Leaving bool
	Notes           []string
}

// From is one place that an app's endpoints come from.
type From struct {
	// Source is a name of the mapping.
	Source string
	// Query is a value of the source kind's query type.
	Query any
	// Weight, 1 to 100, multiplies the weights of the source; 0: not given.
	Weight int
	// Order, 1 to 8192, is the priority of its members: the NetScaler sends
	// traffic to those of the lowest order that are UP; 0: not given.
	Order int
}

// Policy says what may be done to an app's service group.
type Policy struct {
	// Drain is how long a member to be removed may finish, in whole seconds;
	// 0 unbinds at once.
	Drain time.Duration
	// WaitUp is how long removals wait for new members to become UP.
	WaitUp time.Duration
	// AllowEmpty lets the last serving member go.
	AllowEmpty bool
	// AbsentIsEmpty: an app that its cluster manager does not have has no
	// endpoints. Otherwise that is a doubt.
	AbsentIsEmpty bool
	// MaxRemove limits the net loss of serving members in a pass.
	MaxRemove Limit
	// Only fences in the addresses that are the app's; empty: all.
	Only []netip.Prefix
	// Own are the addresses that are never bound because they are those of the
	// mapping's NetScalers, and whose; a pass finds them out.
	Own map[netip.Addr]string
	// CleanServers removes the servers of unbound members that are named by
	// their address and that nothing else uses.
	CleanServers bool
	// Paused: planned and shown, never applied.
	Paused bool
	// Forced lifts the guards, for one run; no mapping file can say it.
	Forced bool
}

// Limit is a number of members, or a percentage of them.
type Limit struct {
	N       int
	Percent bool
}

func (l Limit) String() string {
	if l.Percent {
		return fmt.Sprintf("%d%%", l.N)
	}
	return fmt.Sprint(l.N)
}

// DefaultPolicy is the policy of an app about which the mapping says nothing.
var DefaultPolicy = Policy{
	Drain:     30 * time.Second,
	WaitUp:    10 * time.Second,
	MaxRemove: Limit{75, true},
}

// Source is an opened source and the time that a poll of it may take.
type Source struct {
	sources.Opened
	Timeout time.Duration
}

// NetScaler is a NetScaler of the mapping.
type NetScaler struct {
	Client *netscaler.Client
	// Appliance is the same for entries of the mapping that have a URL in common,
	// say two partitions of one appliance: they are served one after the other,
	// as are those that turn out to lead to one.
	Appliance string
	// Partition is that of the entry.
	Partition string
	// Save keeps changes over a reboot: the running configuration is saved
	// after a pass that changed something.
	Save bool
	// SaveEvery is the least time between two saves of a loop.
	SaveEvery time.Duration

	backoff backoff
	nodes   atomic.Pointer[string]              // that it leads to; nil: not known
	names   atomic.Pointer[map[string]resolved] // in its URLs; see [Syncer.lookUp]
	unsaved bool                                // changes were made since the last save
	saved   time.Time                           // of the last save
}
