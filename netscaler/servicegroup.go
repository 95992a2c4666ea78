package netscaler

import (
	"errors"
	"net/netip"
	"time"
)

// State is a member's administrative state. It says nothing of health.
type State int

const (
	Enabled   State = iota
	Draining        // disabled, and still serving the clients it has (GOING OUT OF SERVICE)
	Disabled        // disabled, out of service
	Suspended       // enabled itself, but out of service because its server or its group is disabled
)

// Member is one server and port in a service group.
type Member struct {
	// Addr is unmapped. It is not valid for members that have no address
	// (see Alien).
	Addr netip.AddrPort
	// Server is the name of the server entity, which is what set, enable,
	// disable and unbind must use. For a member that was bound by its address
	// it is mostly, but not always, the address.
	Server string
	// Alien says why the member can never be Nitrox's: it stands for a domain
	// name. Empty: its address decides.
	Alien string
	// Weight is 1 to 100.
	Weight int
	State  State
	// Up: the NetScaler's monitors find it healthy (svrstate UP).
	Up bool
	// Mark: the member was disabled by Nitrox, in order to remove it.
	Mark bool
	// Left is what remains of a drain; 0 if none runs or it has no limit.
	Left time.Duration
}

// Group is a service group as it was read.
type Group struct {
	// Err is why this one group cannot be served: [ErrNoGroup], or the refusal
	// that its reading met.
	Err     error
	Members []Member
	// Attrs is nil until [Client.Detail] has read it.
	Attrs *Attrs
}

// Attrs are the attributes of a service group that decide how members may be
// changed.
type Attrs struct {
	Autoscale     string // DISABLED, API, DNS, POLICY or CLOUD
	Disabled      bool   // the whole group is disabled
	DrainGraceful bool   // autodisablegraceful
	DrainDelay    time.Duration
}

// Op is a kind of change. The order is that of application.
type Op int

const (
	Bind   Op = iota // add a member, enabled
	Enable           // put a disabled member back into service
	Set              // change a member's weight in place
	Drain            // disable gracefully, with a delay
	Unbind           // remove a member
)

func (op Op) String() string { return [...]string{"bind", "enable", "set", "drain", "unbind"}[op] }

// Change is one change to one member.
type Change struct {
	Op    Op
	Group string
	// Member is the member as it was read; for Bind only Addr and Weight
	// count, and for Set Weight is the new weight.
	Member
	// Was is the weight that Set replaces.
	Was int
	// Delay is how long a drain may take, in whole seconds.
	Delay time.Duration
	// Why is the reason, for people.
	Why string
}

// ErrNoGroup: the appliance has no service group of this name.
var ErrNoGroup = errors.New("no such service group")

// ErrUnsure is wrapped by the error of a change that was sent and whose answer
// was lost. Only reading again tells whether it was made.
var ErrUnsure = errors.New("sent, but the answer was lost")
