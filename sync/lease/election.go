package lease

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"nitrox/sources/httpapi"
)

// Run calls lead whenever this process becomes the leader, one call at a time,
// until lead returns by itself or ctx ends.
//
// The context of lead ends with ctx, or when the lease is lost; its cause then
// wraps [ErrNotLeading]. The lease is renewed, and nobody else leads, until lead
// has returned, so that it can end its work in order; then it is released. If
// the lease was lost, Run waits for lead to return and stands by once more.
func (l *Lease) Run(ctx context.Context, lead func(ctx context.Context)) {
	l.mu.Lock()
	l.heard = time.Now()
	l.mu.Unlock()
	for l.acquire(ctx) && l.term(ctx, lead) {
	}
}

// acquire stands by until the lease is ours, and returns false if ctx ends first.
func (l *Lease) acquire(ctx context.Context) bool {
	for ctx.Err() == nil {
		l.report(ctx, l.ask(ctx))
		if l.Held() == nil {
			l.log.InfoContext(ctx, "this replica leads", "identity", l.identity)
			return true
		}
		wait := l.period() - l.period()/10 + rand.N(l.period()/5)
		if runs := l.runsFor(); runs > 0 {
			wait = min(wait, runs) // to be there when it runs out
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return false
}

// term leads until lead returns, and says whether the lease was lost meanwhile.
func (l *Lease) term(ctx context.Context, lead func(context.Context)) (lost bool) {
	term, end := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lead(term)
	}()
	ctx = context.WithoutCancel(ctx)
	for wait := l.period(); ; {
		select {
		case <-ended:
			end(nil)
			l.release(ctx)
			return false
		case <-time.After(wait):
		}
		wait = l.period()
		if l.Held() == nil {
			err := l.ask(ctx)
			l.report(ctx, err)
			if err != nil {
				wait = min(wait/3, max(0, l.left()))
			}
		}
		if err := l.Held(); err != nil {
			l.log.ErrorContext(ctx, "the lease was lost; this replica stops what it was doing", "error", err)
			end(err)
			<-ended
			l.lose()
			return true
		}
	}
}

// ask makes one attempt to get the lease, or to renew it. Held tells how that
// ended; an error is some trouble with the lease.
func (l *Lease) ask(ctx context.Context) error {
	if l.mine != nil {
		err := l.write(ctx, l.mine)
		if !refused(err, conflict) && !refused(err, notFound) {
			return err
		}
		// Something else of it was changed, it was deleted, an answer of ours
		// was lost, or another leads.
	}
	limited, cancel := context.WithTimeout(ctx, l.patience())
	defer cancel()
	found, err := l.leases.read(limited)
	switch {
	case refused(err, notFound):
		found = nil
	case err != nil:
		return err
	case found.Spec != l.seen:
		l.see(ctx, found.Spec)
	}
	if l.runsFor() > 0 { // also if it was deleted: who held it does not know yet
		l.lose()
		return nil
	}
	err = l.write(ctx, found)
	if refused(err, conflict) {
		l.lose() // another was faster
		return nil
	}
	return err
}

// runsFor is how long the lease is another's still; 0: it is free, or ours.
func (l *Lease) runsFor() time.Duration {
	if l.seen.HolderIdentity == "" || l.seen.HolderIdentity == l.identity {
		return 0
	}
	given := l.duration
	if seconds := l.seen.LeaseDurationSeconds; seconds > 0 {
		given = time.Duration(min(seconds, mostSeconds)) * time.Second
	}
	return max(0, given-time.Since(l.changed))
}

// mostSeconds bounds what a holder may ask others to wait for when it is not heard
// from: nobody should have to look for who has written 68 years into a lease.
const mostSeconds = 600

// write makes the lease ours, or renews it; nil makes a new one.
func (l *Lease) write(ctx context.Context, o *object) error {
	// An answer that is not waited for may have been that it is ours.
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.patience())
	defer cancel()
	sent := time.Now()
	next := spec{HolderIdentity: l.identity, LeaseDurationSeconds: int(l.duration / time.Second),
		AcquireTime: moment(sent), RenewTime: moment(sent), LeaseTransitions: l.seen.LeaseTransitions}
	if l.seen.HolderIdentity == l.identity {
		next.AcquireTime = l.seen.AcquireTime
	} else if o != nil {
		next.LeaseTransitions = min(max(next.LeaseTransitions, 0), math.MaxInt32-1) + 1 // more the API server refuses
	}
	o, err := l.leases.write(limited, o, next)
	if err != nil {
		return err
	}
	l.mine = o
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent, l.seen, l.heard = sent, o.Spec, sent
	return nil
}

// release lets another replica lead at once.
func (l *Lease) release(ctx context.Context) {
	if l.Held() != nil {
		l.lose()
		return
	}
	limited, cancel := context.WithTimeout(ctx, l.patience())
	defer cancel()
	next := l.seen
	// A holder without a name is none; the API wants a duration above 0.
	next.HolderIdentity, next.LeaseDurationSeconds, next.RenewTime = "", 1, moment(time.Now())
	mine := l.mine
	l.lose() // nothing may be written while others can have heard of it
	if _, err := l.leases.write(limited, mine, next); err != nil && !refused(err, conflict) {
		l.log.WarnContext(ctx, "the lease was not released; other replicas wait until it expires", "error", err)
		return
	}
	l.log.InfoContext(ctx, "the lease was released")
}

// see notes what the lease says now.
func (l *Lease) see(ctx context.Context, now spec) {
	if now.HolderIdentity != l.seen.HolderIdentity && now.HolderIdentity != l.identity && now.HolderIdentity != "" {
		l.log.InfoContext(ctx, "another replica leads; this one stands by", "leader", now.HolderIdentity)
	}
	l.changed = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = now
	if now.HolderIdentity != "" {
		l.heard = l.changed
	}
}

// lose notes that the lease is not ours.
func (l *Lease) lose() {
	l.mine = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = time.Time{}
}

// report logs trouble with the lease when it begins, when it becomes another
// refusal, and when it ends.
func (l *Lease) report(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	now := ""
	var status *httpapi.StatusError
	switch {
	case errors.As(err, &status):
		now = status.Error()
	case err != nil:
		now = "unreachable"
	}
	switch {
	case now == l.trouble:
	case now == "":
		l.log.InfoContext(ctx, "the trouble with the lease is over")
	default:
		l.log.WarnContext(ctx, "trouble with the lease", "error", err)
	}
	l.trouble = now
}

// period is the time between two renewals, and between two looks at another's
// lease.
func (l *Lease) period() time.Duration { return l.duration / 10 }

// patience is how long one request to the API server may take: three fit in the
// tenure. For a leader none lasts beyond its tenure.
func (l *Lease) patience() time.Duration {
	patience := l.duration / 5
	if l.mine != nil {
		patience = min(patience, l.left())
	}
	return patience
}
