package sources

import "net/netip"

// Reachable says whether an address may be that by which a NetScaler reaches
// another machine: it is neither a machine's own name for itself, nor one that
// means something on one network only.
func Reachable(a netip.Addr) bool { return a.IsGlobalUnicast() && a.Zone() == "" }
