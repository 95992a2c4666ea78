package netscaler

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Settings of a member are what Set changes in place.
type Settings struct{ Weight, Order int }

// Settings are the member's.
func (m Member) Settings() Settings { return Settings{m.Weight, m.Order} }

// State is a member's administrative state. It says nothing of health.
type State uint8

const (
	Enabled       State = iota
	Draining            // disabled, and still serving the clients it has (GOING OUT OF SERVICE)
	Disabled            // disabled, out of service
	DisabledAbove       // enabled itself, but out of service because its server or its group is disabled
)

// Member is one server and port in a service group.
type Member struct {
	// Addr is unmapped. It is not valid for members that have no address
	// (see NotOurs).
	Addr netip.AddrPort
	// Server is the name of the server entity, which is what set, enable,
	// disable and unbind must use. For a member that was bound by its address
	// it is mostly, but not always, the address.
	Server string
	// NotOurs says why the member can never be Nitrox's: it stands for a domain
	// name, say, or for all ports. Empty: its address decides.
	NotOurs string
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
	// Remaining is what remains of a drain; 0 if none runs or it has no limit.
	Remaining time.Duration
	// Lasts is for how long its state and health have been as they are; 0: the
	// appliance does not tell.
	Lasts time.Duration
}

// Groups is what a read found of service groups. There is no members' list in
// it that could mean "not known": [Groups.Members] gives what was read, which
// may be none, or why it is not known.
type Groups struct{ byName map[string]finding[[]Member] }

// Attributes is what a read found of the attributes of service groups.
type Attributes struct{ byName map[string]finding[Attrs] }

// finding is what was found of one group. The zero finding is an error.
type finding[T any] struct {
	value T
	known bool
	err   error
}

func found[T any](value T) finding[T]     { return finding[T]{value: value, known: true} }
func unknown[T any](err error) finding[T] { return finding[T]{err: err} }

// of is the finding under name. What was not asked for is not known either.
func of[T any](all map[string]finding[T], name string) (value T, err error) {
	f := all[name]
	switch {
	case f.known:
		return f.value, nil
	case f.err != nil:
		return value, f.err
	}
	return value, fmt.Errorf("%s: not read", name)
}

// Members are those of the named group, as they were read. The error is why
// they are not known: [ErrNoGroup], a refusal, an answer that cannot be read.
// A read of all groups cannot tell a group without members from one that does
// not exist; [Client.Attributes] can.
func (g Groups) Members(name string) ([]Member, error) { return of(g.byName, name) }

// Of are the attributes of the named group, or why they are not known.
func (a Attributes) Of(name string) (Attrs, error) { return of(a.byName, name) }

// Attrs are the attributes of a service group that decide how members may be
// changed.
type Attrs struct {
	ServiceType string // HTTP, SSL, TCP and so on
	Autoscale   string // DISABLED, API, DNS, POLICY or CLOUD
	Disabled    bool   // the whole group is disabled
	TD          int    // the traffic domain; 0 is the default one
	Comment     string // as somebody wrote it
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
	Set                    // change a member's weight or order in place
	Mark                   // give a service group a comment, which says whose it is
	Drain                  // mark a member and disable it gracefully, with a delay
	Unbind                 // remove a member
	RemoveServer           // remove a member's server, if nothing uses it

	// ReplaceMembers makes a group's members those of a list. It is a way to apply
	// changes of the kinds above, and never one of them.
	ReplaceMembers

	markMember   // the first step of Drain
	unmarkMember // the last step of Enable
)

var opNames = [...]string{
	AddVServer: "add vserver", AddGroup: "add group", BindVServer: "bind vserver",
	Bind: "bind", Enable: "enable", Set: "set", Mark: "mark group", Drain: "drain", Unbind: "unbind",
	RemoveServer: "remove server", ReplaceMembers: "replace", markMember: "mark", unmarkMember: "unmark",
}

func (op Op) String() string { return opNames[op] }

// Change is one change to one member or, where the kind says so, to its group
// or server.
type Change struct {
	Op    Op
	Group string
	// Member is the member as it was read; for Bind only Addr, Weight and Order
	// count, for Set Weight and Order are the new ones, and for RemoveServer
	// only Addr and Server count.
	Member
	// TD is the group's traffic domain, in which Bind and ReplaceMembers mean the
	// address.
	TD int
	// Was is what Set replaces.
	Was Settings
	// Delay is how long a drain may take, in whole seconds; 0, which only a
	// desired state can ask for, is until the last client is gone.
	Delay time.Duration
	// Create is what AddGroup, AddVServer and BindVServer make.
	Create *Creation
	// Comment is what Mark writes, over whatever was there.
	Comment string
	// List is what ReplaceMembers makes the group's members, and Out is how many of those
	// that it has the list leaves out.
	List []Member
	Out  int
	// Why is the reason, for people.
	Why string
}

// ErrNoGroup: the appliance has no service group of this name.
var ErrNoGroup = errors.New("no such service group")

// ErrNoOrder is wrapped by the error of a change that would give a member an
// order on a build that has none. It is not made without: a standby would serve.
var ErrNoOrder = errors.New("this build does not support order; upgrade the NetScaler to 13.1 or later, or remove order from the mapping")

// ErrStopped is wrapped by the error of a change that was not sent, or not to its end,
// because the context had ended.
var ErrStopped = errors.New("not sent")

// ErrUnsure is wrapped by the error of a change that was sent and whose answer
// does not show that it holds: the answer was lost, says nothing, or says that
// there was nothing to do. Only reading again tells whether it was made.
var ErrUnsure = errors.New("sent, but it is not known whether it took effect")
