package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"nitrox/netscaler"
)

// Two entries of the mapping may lead to one appliance: by a name and its
// address, by NSIP and SNIP. Only the appliance can tell. So before the first
// pass visits anything, each entry is asked which nodes it leads to; entries with
// the same nodes take turns, and what two of them claim is served by neither.

// identifyWithin is how long a pass waits for entries to say which appliance they
// lead to. One that is slower is not written in that pass if it turns out to be
// another's appliance.
const identifyWithin = 2 * time.Second

// errTwice is wrapped by the error of what two apps claim.
var errTwice = errors.New("claimed twice")

// identify asks the NetScalers of the visits, unless there is but one, which
// appliances they lead to. The answer is good for as long as the program runs: a
// failover does not change it.
func (s *Syncer) identify(ctx context.Context, visits map[string]*visit) {
	var ask []*visit
	appliances := map[string]bool{}
	for _, v := range visits {
		appliances[v.ns.Appliance] = true
		if v.ns.nodes.Load() == nil && v.ns.backoff.tooSoon() == nil {
			ask = append(ask, v)
		}
	}
	if len(appliances) < 2 || len(ask) == 0 {
		return
	}
	told := make(chan struct{}, len(ask))
	for _, v := range ask {
		v.identified = make(chan error, 1)
		go func() {
			v.identified <- v.ns.identify(ctx)
			told <- struct{}{}
		}()
	}
	late := time.NewTimer(identifyWithin)
	defer late.Stop()
	for range ask {
		select {
		case <-told:
		case <-late.C:
			return
		}
	}
}

// unreachable waits until the visit's NetScaler has said which appliance it is, if
// it was asked, and is why it cannot be reached. That it will not say is not that.
func (v *visit) unreachable() error {
	if v.identified == nil {
		return nil
	}
	if err := <-v.identified; errors.Is(err, netscaler.ErrUnavailable) || errors.Is(err, netscaler.ErrLogin) {
		return err
	}
	return nil
}

// identify finds out which nodes the NetScaler's URLs lead to.
func (n *NetScaler) identify(ctx context.Context) error {
	if n.nodes.Load() != nil {
		return nil
	}
	nodes, err := n.Client.Nodes(ctx)
	if err != nil {
		return err
	}
	var texts []string
	for _, a := range nodes {
		texts = append(texts, a.String())
	}
	text := strings.Join(texts, " and ")
	n.nodes.Store(&text)
	return nil
}

// appliance is the same for entries that are known to be one appliance.
func (n *NetScaler) appliance() string {
	if nodes := n.nodes.Load(); nodes != nil {
		return "nodes " + *nodes
	}
	return "entry " + n.Appliance
}

// claimedTwice fails the outcomes whose service group another app claims through
// another entry that leads to the same appliance and partition. Nobody can know
// which of them is right, and each would undo the other.
func claimedTwice(visits map[string]*visit) {
	type claim struct{ appliance, partition, group string }
	claims := map[claim][]*Outcome{}
	for _, v := range visits {
		for _, o := range v.outcomes {
			c := claim{v.ns.appliance(), v.ns.Partition, o.App.Group}
			claims[c] = append(claims[c], o)
		}
	}
	for c, outcomes := range claims {
		if len(outcomes) < 2 {
			continue
		}
		var names []string
		for _, o := range outcomes {
			names = append(names, fmt.Sprintf("app %s on %s", o.App.Name, o.NetScaler))
		}
		slices.Sort(names)
		for _, o := range outcomes {
			o.Err = fmt.Errorf("service group %s: %w: %s; %s are the same appliance (%s); remove one of them from the mapping",
				c.group, errTwice, strings.Join(names, " and "), entriesOf(outcomes), strings.TrimPrefix(c.appliance, "nodes "))
		}
	}
}

// rivals puts a doubt on the outcomes whose service group another app claims
// through an entry that has not said which appliance it leads to. As long as that
// may be the same one, nothing is removed.
func rivals(visits map[string]*visit) {
	type claim struct{ partition, group string }
	claims := map[claim][]*Outcome{}
	for _, v := range visits {
		for _, o := range v.outcomes {
			c := claim{v.ns.Partition, o.App.Group}
			claims[c] = append(claims[c], o)
		}
	}
	silent := func(o *Outcome) bool { return visits[o.NetScaler].ns.nodes.Load() == nil }
	for _, outcomes := range claims {
		for _, o := range outcomes {
			for _, other := range outcomes {
				if other.App.Name != o.App.Name && other.NetScaler != o.NetScaler && (silent(o) || silent(other)) {
					o.rival = fmt.Errorf("app %s claims a service group of this name on %s, and it is not known whether that is the same appliance", other.App.Name, other.NetScaler)
				}
			}
		}
	}
}

// entriesOf names the entries of outcomes.
func entriesOf(outcomes []*Outcome) string {
	var names []string
	for _, o := range outcomes {
		names = append(names, o.NetScaler)
	}
	return strings.Join(distinct(names), " and ")
}

// alone says whether a visit may write: it may not if its NetScaler has only now
// said that it is the appliance of another visit.
func (v *visit) alone(ctx context.Context) error {
	if len(v.others) == 0 {
		return nil
	}
	if err := v.ns.identify(ctx); err != nil {
		return err
	}
	if now := v.ns.appliance(); now != v.turn {
		for _, other := range v.others {
			if other.ns.appliance() == now {
				return fmt.Errorf("it turned out during this pass to be the same appliance as another entry of the mapping (%s); the next pass serves both", strings.TrimPrefix(now, "nodes "))
			}
		}
	}
	return nil
}

// serve makes the visits, those to one appliance one after the other.
func serve(ctx context.Context, visits []*visit, all polls, apply bool) {
	turns := map[string][]*visit{} // by appliance
	for _, v := range visits {
		v.turn = v.ns.appliance()
		turns[v.turn] = append(turns[v.turn], v)
	}
	var g errgroup.Group
	for _, turn := range turns {
		for _, v := range visits {
			if !slices.Contains(turn, v) {
				for _, mine := range turn {
					mine.others = append(mine.others, v)
				}
			}
		}
		g.Go(func() error {
			for _, v := range turn[1:] {
				v.leave(ctx) // the session in which it said which appliance it is
			}
			for _, v := range turn {
				v.run(ctx, all, apply)
				if len(turn) > 1 {
					v.leave(ctx)
				}
			}
			return nil
		})
	}
	_ = g.Wait() // a visit keeps its errors to itself
}
