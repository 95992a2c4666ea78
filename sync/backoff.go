package sync

import (
	"fmt"
	"sync/atomic"
	"time"
)

// backoff spares what keeps failing: a source or a NetScaler that failed is not
// asked again for a second, then two, up to a minute. That matters only to a
// loop whose passes follow each other quickly. It may be used concurrently.
type backoff struct{ last atomic.Pointer[failure] }

type failure struct {
	err   error
	n     int
	until time.Time
}

const (
	firstBackoff = time.Second
	lastBackoff  = time.Minute
)

// tooSoon is an error while it is too soon to ask again.
func (r *backoff) tooSoon() error {
	f := r.last.Load()
	if f == nil || !time.Now().Before(f.until) {
		return nil
	}
	return fmt.Errorf("%w (failed %s in a row; not asked again before %s)", f.err, count(f.n, "time"), f.until.Format(time.TimeOnly))
}

// note remembers how asking went.
func (r *backoff) note(err error) {
	if err == nil {
		r.last.Store(nil)
		return
	}
	f := &failure{err: err, n: 1}
	if before := r.last.Load(); before != nil {
		f.n = before.n + 1
	}
	f.until = time.Now().Add(min(firstBackoff<<min(f.n-1, 10), lastBackoff))
	r.last.Store(f)
}
