// Package naturalsort stands in for the module of this name, which no proxy has:
// the Swarm sorts its engines by it, for people to read.
package naturalsort

import "sort"

// NaturalSort sorts texts.
type NaturalSort = sort.StringSlice
