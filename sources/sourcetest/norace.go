//go:build !race

package sourcetest

// UnderRace says that the race detector looks on, which makes all ten times slower.
const UnderRace = false
