package netscaler

import (
	"net/netip"
	"time"
)

// Creation is how a missing service group is made, and the virtual server in
// front of it.
type Creation struct {
	ServiceType string // HTTP, SSL, TCP and so on; the virtual server has it too
	// DesiredState makes a group whose members are given as a whole
	// (autoscale API). Members that leave it are drained for Drain, in whole
	// seconds; 0: unbound at once.
	DesiredState bool
	Drain        time.Duration
	VServer      *VServer // nil: none
}

// VServer is a load-balancing virtual server that a service group is bound to.
type VServer struct {
	Name string
	// Addr is where it is made if it is missing; not valid: it must be there.
	Addr netip.AddrPort
	// Method is the load-balancing method; empty: the NetScaler's default.
	Method string
}
