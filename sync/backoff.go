package sync

import (
	"fmt"
	"sync/atomic"
	"time"

	"nitrox/sources"
)

// backoff spares what keeps failing: a source or a NetScaler that failed is not
// asked again for a second, then two, up to a minute. That matters only to a
// loop whose passes follow each other quickly. It may be used concurrently.
type backoff struct{ last atomic.Pointer[spared] }

// spared is the error of what is not asked because it failed just before.
type spared struct {
	err   error
	n     int // how many times in a row
	until time.Time
}

func (s *spared) Error() string {
	return fmt.Sprintf("%v (failed %s in a row; not asked again before %s)", s.err, sources.Count(s.n, "time"), s.until.Format(time.TimeOnly))
}

func (s *spared) Unwrap() error { return s.err }

const (
	firstBackoff = time.Second
	lastBackoff  = time.Minute
)

// tooSoon is an error while it is too soon to ask again.
func (b *backoff) tooSoon() error {
	if s := b.last.Load(); s != nil && time.Now().Before(s.until) {
		return s
	}
	return nil
}

// note remembers how asking went.
func (b *backoff) note(err error) {
	if err == nil {
		b.last.Store(nil)
		return
	}
	s := &spared{err: err, n: 1}
	if before := b.last.Load(); before != nil {
		s.n = before.n + 1
	}
	s.until = time.Now().Add(min(firstBackoff<<min(s.n-1, 10), lastBackoff))
	b.last.Store(s)
}
