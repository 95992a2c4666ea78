package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// claim is a service group as a mapping names it, but for the case of its letters:
// whether that matters is not known.
type claim struct{ partition, group string }

func (s *Syncer) claim(entry, group string) claim {
	return claim{s.NetScalers[entry].Partition, strings.ToLower(group)}
}

// claimant is a place, and the service group as it is written there.
type claimant struct {
	Place
	group string
}

// identify asks the NetScalers of the visits, and those through which the same service
// groups are claimed, which appliances they lead to, unless there is but one. The answer
// is good for as long as the program runs: a failover does not change it. One that the
// loop visits is left to its own visit, which another pass may be making.
func (s *Syncer) identify(ctx context.Context, visits map[string]*visit, part *Part) {
	entries := map[string]bool{}
	seen := map[claim]bool{}
	for name, v := range visits {
		entries[name] = true
		for _, o := range v.outcomes {
			if c := s.claim(name, o.App.Group); !seen[c] {
				seen[c] = true
				for _, p := range s.known().claims[c] {
					entries[p.NetScaler] = true
				}
			}
		}
	}
	var ask []string
	appliances := map[string]bool{}
	for name := range entries {
		ns := s.NetScalers[name]
		appliances[ns.Appliance] = true
		if (visits[name] != nil || !part.loops(name)) && ns.nodes.Load() == nil && ns.backoff.tooSoon() == nil {
			ask = append(ask, name)
		}
	}
	if len(appliances) < 2 || len(ask) == 0 {
		return
	}
	told := make(chan struct{}, len(ask))
	for _, name := range ask {
		ns, v := s.NetScalers[name], visits[name]
		if v != nil {
			v.identified = make(chan error, 1)
		}
		go func() {
			err := ns.identify(ctx)
			if v != nil {
				v.identified <- err
			} else {
				ns.backoff.note(errors.Join(err, ns.Client.Close(context.WithoutCancel(ctx)))) // nobody visits it
			}
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

// told: it is known which appliance that is.
func told(appliance string) bool { return strings.HasPrefix(appliance, "nodes ") }

// claimedTwice fails the outcomes whose service group is claimed through another
// entry that leads to the same appliance: nobody can know which of them is right,
// and each would undo the other. As long as an entry that another app claims the
// group through has not said which appliance it leads to, that is a doubt. Where the
// groups differ in case only it is a note.
func (s *Syncer) claimedTwice(visits map[string]*visit) {
	type place struct {
		claim
		appliance string
	}
	now := map[string]string{} // what each entry has told: some tell only now
	here := map[place][]claimant{}
	others, untold := map[claim][]claimant{}, map[claim][]claimant{} // one of each app
	one := func(of map[claim][]claimant, c claim, p claimant) {
		if n := len(of[c]); n == 0 || of[c][n-1].App != p.App {
			of[c] = append(of[c], p)
		}
	}
	for _, v := range visits {
		for _, o := range v.outcomes {
			c := s.claim(v.name, o.App.Group)
			all := s.known().claims[c]
			if len(all) < 2 {
				continue
			}
			if others[c] == nil {
				for _, p := range all {
					at := cmp.Or(now[p.NetScaler], s.NetScalers[p.NetScaler].appliance())
					now[p.NetScaler] = at
					here[place{c, at}] = append(here[place{c, at}], p)
					if one(others, c, p); !told(at) {
						one(untold, c, p)
					}
				}
			}
			mine := now[v.name]
			for _, p := range here[place{c, mine}] {
				switch {
				case p.NetScaler == v.name:
				case p.group != o.App.Group:
					o.alike = fmt.Sprintf("service group %s differs from %s of app %s on %s, which is the same appliance, only in case; "+
						"if the NetScaler ignores case, the two apps undo each other's changes: give one group another name", o.App.Group, p.group, p.App, p.NetScaler)
				default:
					o.Err = fmt.Errorf("service group %s: %w: by app %s on %s, too, and %s and %s are the same appliance (%s); remove one of them from the mapping",
						o.App.Group, errTwice, p.App, p.NetScaler, v.name, p.NetScaler, strings.TrimPrefix(mine, "nodes "))
				}
			}
			doubtful := others[c]
			if told(mine) {
				doubtful = untold[c]
			}
			for _, p := range doubtful {
				if p.App != o.App.Name && p.group == o.App.Group && now[p.NetScaler] != mine {
					o.rival = fmt.Errorf("app %s claims a service group of this name on %s, and it is not known whether that is the same appliance", p.App, p.NetScaler)
					break
				}
			}
		}
	}
}

// alone says whether a visit may write: it may not if its NetScaler has only now
// said that it is the appliance of another entry.
func (v *visit) alone(ctx context.Context) error {
	if v.others == nil {
		return nil
	}
	if err := v.ns.identify(ctx); err != nil {
		return err
	}
	if now := v.ns.appliance(); now != v.turn {
		for _, other := range v.others {
			if !v.takingTurns[other] && other.appliance() == now {
				return fmt.Errorf("it turned out during this pass to be the same appliance as another entry of the mapping (%s); the next pass serves both", strings.TrimPrefix(now, "nodes "))
			}
		}
	}
	return nil
}

// serve makes the visits, those to one appliance one after the other, and calls
// left with each when its appliance is not needed any more.
func (s *Syncer) serve(ctx context.Context, part *Part, visits []*visit, all polls, apply bool, left func(*visit)) {
	turns, visited := map[string][]*visit{}, map[*NetScaler]bool{} // turns by appliance
	for _, v := range visits {
		v.turn = v.ns.appliance()
		turns[v.turn] = append(turns[v.turn], v)
		visited[v.ns] = true
	}
	var others []*NetScaler
	names := map[string][]string{} // of the entries that lead to each appliance
	for name, ns := range s.NetScalers {
		if visited[ns] || part.loops(name) {
			others = append(others, ns)
		}
		names[ns.appliance()] = append(names[ns.appliance()], name)
	}
	var g errgroup.Group
	for _, turn := range turns {
		mine := map[*NetScaler]bool{}
		for _, v := range turn {
			mine[v.ns] = true
		}
		shared, idle := len(turn) > 1, map[string]*NetScaler{}
		for _, name := range names[turn[0].turn] {
			if ns := s.NetScalers[name]; !mine[ns] {
				shared, idle[name] = true, ns
			}
		}
		for _, v := range turn {
			if v.takingTurns = mine; len(others) > len(mine) {
				v.others = others
			}
			if part.loops(v.name) {
				v.turn = part.turns[v.name]
			}
		}
		g.Go(func() error {
			for _, v := range turn[1:] {
				v.leave(ctx) // the session in which it said which appliance it is
			}
			for name, ns := range idle {
				if err := ns.Client.Close(context.WithoutCancel(ctx)); err != nil { // from before that was known
					turn[0].errs = append(turn[0].errs, named(name, err))
				}
			}
			for _, v := range turn {
				v.run(ctx, all, apply)
				if shared {
					v.leave(ctx) // before another pass visits another entry
				}
			}
			for _, v := range turn {
				left(v)
			}
			return nil
		})
	}
	_ = g.Wait() // a visit keeps its errors to itself
}
