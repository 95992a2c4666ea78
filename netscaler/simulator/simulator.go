// Package simulator is a NetScaler in memory: what its NITRO API does with
// servers, service groups, members and what they are bound to, over real HTTP.
//
// Anyone can try a mapping on it who has no appliance, and most tests of Nitrox
// stand on it. It aims to follow the NITRO documentation and recorded answers
// of appliances to the letter, and where those are silent to refuse rather
// than to please: a type, verb, attribute or parameter that it does not know
// is an error. What nobody has established about the appliance is an option.
//
// It keeps no clock of its own: drains and probes are worked out from times
// when somebody looks, so that it also lives inside testing/synctest.
package simulator

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Options are what differs between appliances, and what is not known of them.
// The zero value of each is the default that its comment gives.
type Options struct {
	// Users holds passwords, also of users in the configuration, where they may be
	// encrypted. Default: nsroot with the password nsroot.
	Users map[string]string
	// Policies holds, for a user, what the user may do: a pattern of the
	// command line's form of each command, as a command policy has it. Users
	// without one may do what those of the configuration allow, if it has the user,
	// and else everything.
	Policies map[string]*regexp.Regexp
	// Version is the answer of nsversion. Default: that of the configuration, or a
	// 14.1 build.
	Version string
	// Lacks names what this build does not know: a type ("macroapi"), an
	// attribute ("order", "customserverid"), "bulkbindings", "arrays", an action
	// ("action=unbind"), a field that may not be asked for ("attrs=comment"), or
	// "encoded separators" in args and filter.
	Lacks []string

	// KeepAlive keeps connections open. Default: every answer says
	// "Connection: close", as recorded ones do.
	KeepAlive bool
	// Control serves the control endpoint under /simulator.
	Control bool
	// MaxConnections is how many requests may be under way at a time; one more
	// is refused with 446. Default: 20.
	MaxConnections int
	// MaxSessions is how many sessions may live at a time; a login over it is
	// refused with 445. Default: 20.
	MaxSessions int
	// RestrictedTimeout allows session timeouts of 300 to 86400 s, and makes
	// 15 min the default instead of 30 min.
	RestrictedTimeout bool
	// NoBasicAuth refuses HTTP Basic authentication with 1244.
	NoBasicAuth bool
	// NoCookie leaves Set-Cookie out of the answer to a login that has a body.
	NoCookie bool
	// LoginText answers every login with a cookie and an empty text. Default: only
	// one with the media type of the SDKs.
	LoginText bool
	// NoLogin is the code for a request without credentials. Default: 352;
	// 1026 is the other candidate.
	NoLogin int
	// DeadSession is the code for a session that expired or was killed.
	// Default: 444; 1027 is the other one.
	DeadSession int
	// Status replaces the HTTP status of codes. Default: what is recorded, and
	// 599 for the rest.
	Status map[int]int

	// WriteLatency and ReadLatency are what a call takes, SaveTime what a save
	// takes. Default: no time.
	WriteLatency, ReadLatency, SaveTime time.Duration
	// ProbeDelay is how long monitors take to find out about a new, an enabled
	// or a changed member. Default: no time.
	ProbeDelay time.Duration
	// ClientsLeave is how long the last client of a member stays after it was
	// disabled gracefully; negative: there are no clients, so that a graceful
	// disable is over at once. Default: clients stay until [Simulator.SetIdle].
	ClientsLeave time.Duration

	// UnbindMissing is the code for unbinding a server that is not a member.
	// Default: 258; 351, 344, 463, 1208 and 1303 are candidates.
	UnbindMissing int
	// UnknownServer is the code for naming a server that is not there.
	// Default: 258; 351 is the other candidate.
	UnknownServer int
	// MaxMembers is how many members a group may have, 435 over it. Default: no
	// limit.
	MaxMembers int
	// BindStatus is the HTTP status of a bind by PUT. Default: 201.
	BindStatus int
	// QuietActions leaves the bodies of answers to ?action= empty.
	QuietActions bool
	// PaddedBulk fills the results of a bulk request that stopped early with
	// 1265. Default: they end with the item that failed.
	PaddedBulk bool
	// SwapTypes gives numbers as text and counters as numbers.
	SwapTypes bool
	// CustomIDLength is how long the custom server ID of a member may be, 1106
	// over it. Default: 63.
	CustomIDLength int
	// CommentLength is how long the comment of a service group may be, 1106 over it.
	// Default: no limit.
	CommentLength int
	// ListUnchanged is the code for a desired state that lists members that
	// are bound already, as 273 was seen. Default: that is not an error.
	ListUnchanged int
	// ListFailedKey is the name of the list of members that a desired state
	// could not bind. Default: failedmembers; failed_member_list is the other
	// candidate. (The HTTP status is that of code 1442.)
	ListFailedKey string
	// EmptyList is the code for a desired state with no members. Default: it
	// empties the group.
	EmptyList int
	// MaxArray is how many items an array may have; a longer one is refused as a
	// whole, with 1233. Default: no limit.
	MaxArray int
	// IgnoreCase takes names of groups that differ in case only for one. Default:
	// they are two.
	IgnoreCase bool
	// Resolved holds, for a domain, the address that it has, which rows show.
	// Default: 0.0.0.0, as of one that is not resolved.
	Resolved map[string]string
	// CanonicalIPv6 writes addresses in their shortest form. Default: they stay
	// as they were typed.
	CanonicalIPv6 bool
	// KeepBoundGroups refuses to remove a group that a virtual server uses,
	// with 1325 (lbparameter allowboundsvcremoval DISABLED).
	KeepBoundGroups bool

	// NSIP is the appliance's own address, which names it to whoever reaches it
	// by another. Default: one that no other simulator of the process has.
	NSIP netip.Addr
	// HA makes the appliance one node of a pair. Default: it stands alone.
	HA bool
	// HAStatus is the hastatus of its rows. Default: UP; STAYPRIMARY and others
	// are what an administrator can set.
	HAStatus string
	// INC says of the pair that its nodes have network settings of their own, so
	// that no address moves with the primary.
	INC bool
	// SecondaryRefuses refuses writes on a secondary node, with 368. Default:
	// they are made, on this node only, and warned of with 1028.
	SecondaryRefuses bool
	// KeepSessions lets a node's sessions live on when it turns secondary.
	// Default: a failover ends them.
	KeepSessions bool
	// Cluster makes the address that of a cluster, which has no HA role: to be
	// asked for one is refused with 1065.
	Cluster bool
}

// Simulator is one appliance. It is an [http.Handler]; its methods may be
// called at any time.
type Simulator struct {
	opt    Options
	engine chan struct{} // held by the write under way

	mu         sync.Mutex
	partitions []*partition // the first is the default one
	saved      []byte       // ns.conf as last saved; nil until the first request
	access     access
	touched    bool // changed since it was loaded
	unended    bool // the last line that was loaded has no end
	unsaved    bool
	savedAt    time.Time
	changedAt  time.Time
	saving     bool

	secondary   bool
	turnedAt    time.Time  // when the role was taken
	peer        *Simulator // of an HA pair, see [Pair]
	sessions    map[string]*session
	connections int
	calls       []Call
	faults      []*armed

	sizes     map[string]int // of the last list of each type
	stampSec  int64          // the time of day formatted last
	stampText string
}

// Call is one NITRO request that was answered, or lost.
type Call struct {
	Method, Path, Query string
	Action, Type        string
	Status              int // of HTTP; 0: the connection was closed instead
	Code                int // errorcode
	User                string
}

// New is an appliance with an empty configuration.
func New(o Options) *Simulator {
	if !o.NSIP.IsValid() {
		o.NSIP = nextNSIP()
	}
	if o.Users == nil {
		o.Users = map[string]string{"nsroot": "nsroot"}
	}
	now := time.Now()
	return &Simulator{
		opt:        o,
		engine:     make(chan struct{}, 1),
		partitions: []*partition{newPartition("")},
		sessions:   map[string]*session{},
		sizes:      map[string]int{},
		savedAt:    now,
		changedAt:  now,
		turnedAt:   now,
	}
}

var _ http.Handler = (*Simulator)(nil)

func (s *Simulator) lacks(name string) bool { return slices.Contains(s.opt.Lacks, name) }

// settle makes what was set up before the first request the saved
// configuration.
func (s *Simulator) settle() {
	if s.saved == nil {
		s.saved = s.dump(time.Now())
		s.unsaved = false
	}
}

func (s *Simulator) changed(now time.Time) {
	s.unsaved = s.saved != nil
	s.touched = s.saved != nil
	s.changedAt = now
}

// maxCalls bounds what a simulator remembers that runs for weeks.
const maxCalls = 100_000

func (s *Simulator) record(c Call) {
	if len(s.calls) >= 2*maxCalls {
		s.calls = append([]Call(nil), s.calls[maxCalls:]...)
	}
	s.calls = append(s.calls, c)
}

func (s *Simulator) partition(name string) *partition {
	for _, p := range s.partitions {
		if p.name == name {
			return p
		}
	}
	return nil
}
