package netscaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Objects can be read by name, a few calls at a time, or in bulk: in one call for all
// that the appliance has. Both find the same. Which costs less depends on how much of a
// bulk read nobody asked for, and only a bulk read tells; so one is given up when it has
// turned out to be the dearer way. Costs that are out of date cost time, and no more.

// readers is how many objects are read by name at a time. The appliance has 20
// connections for everybody ("NITRO documentation, connection management").
const readers = 4

// costsKept is how long a bulk read is taken for the dearer way before it is tried again.
const costsKept = time.Hour

// errDear: a bulk read has so much that nobody asked for that it was given up.
var errDear = errors.New("given up, since reading by name costs less")

// spare is from how many unwanted rows on a bulk read costs more than n calls by name.
// Zero is a time that is not known; what was measured counts within what is plausible: a
// call keeps an appliance busy, however near it is, and the time of a short answer is not
// that of its rows.
func spare(n int, call, row time.Duration) int {
	call = max(cmp.Or(call, 25*time.Millisecond), 10*time.Millisecond)
	row = min(max(cmp.Or(row, 50*time.Microsecond), 10*time.Microsecond), 100*time.Microsecond)
	rounds := (n + readers - 1) / readers
	return max(rounds-1, 0) * int(call/row)
}

// costs are what reading objects of one kind was found to cost.
type costs struct {
	usual  int         // rows of an object that was not read yet
	noBulk atomic.Bool // the build has no bulk read, or the user may not

	mu        sync.Mutex
	least     int            // how many objects there are at least; see [Client.Expect]
	rows      int            // of all that the appliance has
	until     time.Time      // when that is forgotten
	own       map[string]int // rows of objects that were read, if not as usual
	call, row time.Duration  // of a call by name; of a row of a bulk read
}

// inBulk says whether to read the objects in bulk, and from how many unwanted rows on to
// give that up.
func (k *costs) inBulk(names []string) (limit int, yes bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	unwanted := k.rows
	if time.Now().After(k.until) {
		unwanted = k.least * k.usual
	}
	for _, name := range names {
		if n, known := k.own[name]; known {
			unwanted -= n
		} else {
			unwanted -= k.usual
		}
	}
	limit = spare(len(names), k.call, k.row)
	return limit, max(unwanted, 0) < limit && !k.noBulk.Load()
}

// took notes a time; the least counts most, since a log-in or another try may be in one.
func (k *costs) took(of *time.Duration, t time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if *of == 0 || t < *of {
		*of = t
	}
	*of += (t - *of) / 8
}

// Expect says how many service groups the appliance has at least, for as long as the
// client has not found out by itself. It has about as many servers.
func (c *Client) Expect(groups int) {
	c.memberCosts.least, c.attrCosts.least, c.serverCosts.least = groups, groups, groups
}

// kind is how objects of one kind are read.
type kind[T any] struct {
	*costs
	all  string // what they are
	rows func(T) int
	one  func(ctx context.Context, name string) (finding[T], error)
	// bulk says how many rows nobody asked for. It ends with errDear when these reach
	// the limit.
	bulk func(ctx context.Context, names []string, limit int) (found map[string]finding[T], unwanted int, err error)
}

// read finds out about every name, in the way that costs less.
func (k kind[T]) read(ctx context.Context, c *Client, names []string) (map[string]finding[T], error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	unwanted := -1 // not known
	if limit, yes := k.inBulk(names); yes {
		began := time.Now()
		found, rest, err := k.bulk(ctx, names, limit)
		switch e := refused(err); {
		case err == nil:
			if rows := k.note(found, rest); rows > 0 {
				k.took(&k.row, time.Since(began)/time.Duration(rows))
			}
			return found, nil
		case errors.Is(err, errDear):
			unwanted = 4 * limit // at least limit: not to be tried again for a few more
		case e != nil && e.noBulk():
			k.noBulk.Store(true)
			c.log.WarnContext(ctx, "the NetScaler refuses a bulk read; what is asked for is read one by one", "what", k.all, "error", err)
		default:
			return nil, fmt.Errorf("read %s: %w", k.all, err)
		}
	}
	found, err := each(ctx, names, func(ctx context.Context, name string) (finding[T], error) {
		began := time.Now()
		f, err := k.one(ctx, name)
		if err == nil {
			k.took(&k.call, time.Since(began))
		}
		return f, err
	})
	if err == nil {
		k.note(found, unwanted)
	}
	return found, err
}

// note notes how many rows were found, and how many there are beside them; it gives the
// sum.
func (k kind[T]) note(found map[string]finding[T], unwanted int) (rows int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	rows = unwanted
	for name, f := range found {
		n := k.rows(f.value)
		if rows += n; n == k.usual {
			delete(k.own, name)
		} else {
			k.own[name] = n
		}
	}
	if unwanted >= 0 {
		k.costs.rows, k.until = rows, time.Now().Add(costsKept)
	}
	return rows
}
