package sources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Protocol is what an endpoint speaks below its application; "": that is not
// known.
type Protocol string

// The protocols that have ports.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// Port is how a from entry chooses a port: by its number or its name and, where
// that is not enough, by its protocol: 53/udp.
type Port string

// Cut divides a port into its number or name and its protocol; "": it names none.
func (p Port) Cut() (name string, protocol Protocol) {
	name, after, _ := strings.Cut(string(p), "/")
	return name, Protocol(strings.ToLower(after))
}

// Check implements [Checker].
func (p Port) Check() error {
	name, protocol := p.Cut()
	if !strings.Contains(string(p), "/") {
		return nil
	}
	switch {
	case !slices.Contains([]Protocol{TCP, UDP, SCTP}, protocol):
		return fmt.Errorf("%q is not the protocol of a port; write %s/tcp, %[2]s/udp or %[2]s/sctp", string(protocol), name)
	case name == "":
		return fmt.Errorf("give the port's number or name as well, such as 53/%s", protocol)
	}
	return nil
}

// Number is the port's number, if it is chosen by that.
func (p Port) Number() (int, bool) {
	name, _ := p.Cut()
	n, err := strconv.Atoi(name)
	return n, err == nil
}

// Speaking narrows ports to those that speak what wanted names. If it names no
// protocol they must all speak the same: which is meant cannot be guessed, and a
// service group has one type. of tells what a port speaks, which may be more than
// one.
func Speaking[P any](wanted Port, ports []P, of func(P) []Protocol) (speaking []P, protocol Protocol, err error) {
	name, protocol := wanted.Cut()
	var found []Protocol
	for _, p := range ports {
		spoken := of(p)
		if protocol != "" {
			spoken = slices.DeleteFunc(slices.Clone(spoken), func(s Protocol) bool { return s != protocol })
		}
		if len(spoken) > 0 {
			speaking = append(speaking, p)
			found = append(found, spoken...)
		}
	}
	slices.Sort(found)
	switch found = slices.Compact(found); len(found) {
	case 0:
		return nil, protocol, nil
	case 1:
		return speaking, found[0], nil
	}
	ways := make([]string, len(found))
	for i, p := range found {
		ways[i] = name + "/" + string(p)
	}
	return nil, "", fmt.Errorf("has port %s for several protocols; choose one: port: %s", name, strings.Join(ways, " or port: "))
}
