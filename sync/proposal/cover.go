package proposal

import (
	"net/netip"
	"slices"
)

// most is how many networks an app is given, where they can be joined.
const most = 4

// usual are the bits of a network that machines or containers share, widest those of
// what networks are joined to.
func usual(a netip.Addr) (usual, widest int) {
	if a.Is4() {
		return 24, 16
	}
	return 64, 48
}

// cover are the networks of addresses, none of which has a virtual address.
func cover(addrs, virtual []netip.Addr) (all []netip.Prefix) {
	free := func(p netip.Prefix) bool { return !slices.ContainsFunc(virtual, p.Contains) }
	for _, a := range addrs {
		bits, _ := usual(a)
		for ; bits <= a.BitLen(); bits++ {
			if p := netip.PrefixFrom(a, bits).Masked(); free(p) {
				all = append(all, p)
				break
			}
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	all = slices.Compact(all)
	for len(all) > most {
		join, at := netip.Prefix{}, -1
		for i := range all[1:] {
			if p, ok := common(all[i], all[i+1]); ok && free(p) && (at < 0 || p.Bits() > join.Bits()) {
				join, at = p, i
			}
		}
		if at < 0 {
			break
		}
		all = slices.Replace(all, at, at+2, join)
	}
	return all
}

// common is the smallest network that has two in it, unless that is too wide.
func common(a, b netip.Prefix) (netip.Prefix, bool) {
	_, widest := usual(a.Addr())
	for bits := min(a.Bits(), b.Bits()); bits >= widest; bits-- {
		if p := netip.PrefixFrom(a.Addr(), bits).Masked(); p.Contains(b.Addr()) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}
