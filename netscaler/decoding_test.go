//go:build unix

package netscaler_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"nitrox/sources/sourcetest"
)

// A read of many members takes much less of the processor than encoding/json takes to
// decode five fields of each: rows in the usual form do not go through it.
func TestReadCostsLessThanDecoding(t *testing.T) {
	sourcetest.Thorough(t)
	body := bulkRows(250)
	c := open(t, served(body))
	var names []string
	for i := range 250 {
		names = append(names, fmt.Sprintf("sg-%04d", i))
	}
	least := func(do func()) time.Duration {
		best := time.Hour
		for range 4 {
			before := processorTime(t)
			do()
			best = min(best, processorTime(t)-before)
		}
		return best
	}
	floor := least(func() { decodeFloor(t, body, 25_000) })
	read := least(func() {
		groups, err := look(c, t.Context(), names)
		if err != nil || len(groups["sg-0249"].Members) != 100 {
			t.Fatal(len(groups), err)
		}
	})
	t.Logf("%.2f of the floor", float64(read)/float64(floor))
	if float64(read) > 0.6*float64(floor) {
		t.Errorf("a read takes %v, the floor is %v", read, floor)
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
