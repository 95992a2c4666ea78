// Package lease lets one of several replicas lead: the one that holds a Lease
// (coordination.k8s.io/v1) of a Kubernetes cluster.
//
// It is the way of Kubernetes's own components, whose library would add more
// to the binary than all the rest of Nitrox. Leases of the two are compatible.
// The leader renews the lease every tenth of its duration. A replica that
// stands by reads it as often, and takes it when it has not seen it change for
// the whole duration, by its own clock; no clock is compared with another. The
// API server refuses an update of what has changed since it was read, so that
// of two only one gets it.
//
// The leader counts from the moment before it sent its last renewal, and gives
// up after two thirds of the duration: the context of its term ends, and
// [Lease.Held], which is asked before each write, refuses. The last third
// is for the write that is under way by then. What no lease can do is call
// back a request that the NetScaler has already got and takes longer for. Such
// a write does no harm: the next leader reads what is before it writes, and
// writes the same.
package lease

import (
	"cmp"
	crypto "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Config says which lease, and who asks for it.
type Config struct {
	// Lease is NAMESPACE/NAME. It is made if it does not exist; the namespace
	// must. It needs the verbs get, create and update of leases.
	Lease string
	// Identity is the name that others see while this process leads. It must
	// be its own; default: the host's name, which is the pod's, and a random text.
	Identity string
	// Duration is for how long others wait when the leader is not heard from, in
	// whole seconds, at least 3; default 30 s. A leader that ends in order
	// releases the lease, and is followed within a tenth of it.
	Duration time.Duration
	// Log gets a line for each change of leader, and for each trouble with the
	// lease; nil: none.
	Log *slog.Logger
}

const (
	defaultDuration = 30 * time.Second
	minDuration     = 3 * time.Second
)

// Lease is a lease, and what is known of it.
type Lease struct {
	name     string // NAMESPACE/NAME
	identity string
	duration time.Duration
	log      *slog.Logger
	leases   leases

	// These are Run's own.

	// mine is the lease as the API server last answered to our update; nil: not
	// known to be ours.
	mine *object
	// changed is when what is in seen was read first. Its holder had renewed it
	// before that moment.
	changed time.Time
	trouble string // the last that was logged

	mu sync.Mutex
	// sent is the moment before the last renewal that succeeded was sent; zero:
	// the lease is not ours.
	sent time.Time
	// seen is what the lease said when it was last read or written.
	seen spec
	// heard is when somebody was last seen to hold the lease anew, or since when
	// this replica has looked.
	heard time.Time
}

// ErrNotLeading is why a term ends, and why a write is refused: the lease is
// another's, or could not be renewed in time.
var ErrNotLeading = errors.New("this replica does not lead")

// Open checks the configuration and finds the cluster: that of the pod's service
// account, else that of the only context of $KUBECONFIG or ~/.kube/config. It
// contacts nothing; [Lease.Run] does.
func Open(c Config) (*Lease, error) {
	l, err := newLease(c)
	if err != nil {
		return nil, err
	}
	if err := l.leases.connect(); err != nil {
		return nil, fmt.Errorf("lease %s: %w", c.Lease, err)
	}
	return l, nil
}

func newLease(c Config) (*Lease, error) {
	at, err := parse(c.Lease)
	if err != nil {
		return nil, err
	}
	c.Duration = cmp.Or(c.Duration, defaultDuration)
	if c.Duration < minDuration || c.Duration%time.Second != 0 {
		return nil, fmt.Errorf("lease %s: the duration %v is not a whole number of seconds of at least %v", c.Lease, c.Duration, minDuration)
	}
	if c.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("lease %s: %w", c.Lease, err)
		}
		c.Identity = host + "_" + crypto.Text()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Lease{name: c.Lease, identity: c.Identity, duration: c.Duration,
		log: c.Log.With("lease", c.Lease), leases: at}, nil
}

// Warning is about how the API server is reached; nil: there is nothing to warn of.
func (l *Lease) Warning() error { return l.leases.cluster.Warning() }

// Held says whether this process leads, for long enough to begin a write: nil,
// or an error that wraps [ErrNotLeading]. It is to be asked right before each
// write, since a process may have been stopped between any two of its steps.
func (l *Lease) Held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.sent.IsZero() && l.seen.HolderIdentity != "" && l.seen.HolderIdentity != l.identity:
		return fmt.Errorf("%w: lease %s is held by %s", ErrNotLeading, l.name, l.seen.HolderIdentity)
	case l.sent.IsZero():
		return fmt.Errorf("%w: it does not hold lease %s", ErrNotLeading, l.name)
	case l.left() <= 0:
		return fmt.Errorf("%w: lease %s was not renewed for %v", ErrNotLeading, l.name, l.tenure())
	}
	return nil
}

// unheard is after how many durations without a renewal something is wrong: a
// standby takes the lease after one.
const unheard = 3

// Renewed says that nobody has renewed the lease for three durations, as far as
// this replica can see; nil: somebody has, or it has only begun to look.
func (l *Lease) Renewed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if silent := time.Since(l.heard); !l.heard.IsZero() && silent > unheard*l.duration {
		return fmt.Errorf("nobody has renewed lease %s for %v, so nobody makes changes; this replica's log says why it cannot lead",
			l.name, silent.Round(time.Second))
	}
	return nil
}

// tenure is for how long after a renewal its holder leads.
func (l *Lease) tenure() time.Duration { return l.duration * 2 / 3 }

// left is how much of its tenure a leader has left.
func (l *Lease) left() time.Duration {
	// A machine that sleeps or is moved may stop the monotonic clock, but not
	// the other; and the other can be set back.
	now := time.Now()
	return l.tenure() - max(now.Sub(l.sent), now.Round(0).Sub(l.sent.Round(0)))
}
