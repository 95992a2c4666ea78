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
	// Mark: Nitrox is removing the member, or was about to (see [DrainMark]).
	Mark bool
	// NoMark: the member cannot carry the mark, because its custom server ID
	// is in use or the build has none. Mark then tells that it was disabled
	// gracefully, by whomever.
	NoMark bool
	// Leaving: the NetScaler drains the member because a desired state left it
	// out, and removes it by itself. It has Mark.
	Leaving bool
	// Order is the priority, 1 to 8192; 0 is the default.
	Order int
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
	ServiceType string // HTTP, SSL, TCP and so on
	Autoscale   string // DISABLED, API, DNS, POLICY or CLOUD
	Disabled    bool   // the whole group is disabled
	// DrainGraceful (autodisablegraceful): members that a desired state leaves
	// out are drained, for DrainDelay (autodisabledelay; 0: until their last
	// client is gone). Otherwise they are unbound at once.
	DrainGraceful bool
	DrainDelay    time.Duration
}

// Op is a kind of change. The order is that of application.
type Op int

const (
	AddVServer   Op = iota // make the virtual server of a new service group
	AddGroup               // make a service group
	BindVServer            // bind a service group to its virtual server
	Bind                   // add a member, enabled
	Enable                 // put a disabled member back into service, and lift its mark
	Set                    // change a member's weight in place
	Drain                  // mark a member and disable it gracefully, with a delay
	Unbind                 // remove a member
	RemoveServer           // remove a member's server, if nothing uses it

	// Replace makes a group's members those of a list. It is a way to apply
	// changes of the kinds above, and never one of them.
	Replace

	mark   // the first step of Drain
	unmark // the last step of Enable
)

var opNames = [...]string{
	AddVServer: "add vserver", AddGroup: "add group", BindVServer: "bind vserver",
	Bind: "bind", Enable: "enable", Set: "set", Drain: "drain", Unbind: "unbind",
	RemoveServer: "remove server", Replace: "replace", mark: "mark", unmark: "unmark",
}

func (op Op) String() string { return opNames[op] }

// Change is one change to one member or, where the kind says so, to its group
// or server.
type Change struct {
	Op    Op
	Group string
	// Member is the member as it was read; for Bind only Addr and Weight
	// count, for Set Weight is the new weight, and for RemoveServer only Addr
	// and Server count.
	Member
	// Was is the weight that Set replaces.
	Was int
	// Delay is how long a drain may take, in whole seconds; 0, which only a
	// desired state can ask for, is until the last client is gone.
	Delay time.Duration
	// Create is what AddGroup, AddVServer and BindVServer make.
	Create *Creation
	// List is what Replace makes the group's members, and Out are those of its
	// members that the list leaves out.
	List, Out []Member
	// Why is the reason, for people.
	Why string
	// Took is how long the calls lasted by which it was tried; 0 before.
	Took time.Duration
}

// ErrNoGroup: the appliance has no service group of this name.
var ErrNoGroup = errors.New("no such service group")

// ErrUnsure is wrapped by the error of a change that was sent and whose answer
// was lost. Only reading again tells whether it was made.
var ErrUnsure = errors.New("sent, but the answer was lost")
