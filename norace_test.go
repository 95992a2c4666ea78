//go:build !race

package main

// underRace says that the race detector looks on, which makes all ten times slower.
const underRace = false
