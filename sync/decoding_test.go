//go:build unix && !race

package sync_test

import (
	"testing"
	"time"

	"nitrox/sources/sourcetest"
)

// A pass with nothing to change costs less of the processor than encoding/json takes to
// decode what it reads.
func TestUnchangedPassCostsLessThanDecoding(t *testing.T) {
	sourcetest.Thorough(t)
	pass, floor, _ := unchanged(t, 250)
	least := func(do func()) time.Duration {
		best := time.Hour
		for range 5 {
			before := processorTime(t)
			do()
			best = min(best, processorTime(t)-before)
		}
		return best
	}
	took, decoding := least(pass), least(floor)
	t.Logf("%.2f of the floor", float64(took)/float64(decoding))
	if float64(took) > 0.6*float64(decoding) {
		t.Errorf("a pass takes %v, the floor is %v", took, decoding)
	}
}
