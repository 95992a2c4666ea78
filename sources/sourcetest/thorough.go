package sourcetest

import "testing"

// UnderRace says that the race detector looks on, which makes all ten times slower.
var UnderRace bool

// Thorough leaves a test that takes long, and of which the race detector tells nothing
// new, to make test.
func Thorough(t testing.TB) {
	t.Helper()
	if UnderRace || testing.Short() {
		t.Skip("left to make test")
	}
}
