package observe

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"nitrox/sync"
)

// missed is how many intervals may go by without the end of a pass.
const missed = 3

// Alive says why the loop seems to have stopped; nil if a pass has ended within
// three intervals, or is under way and within its deadline, or if the loop has
// only begun, or stands by. Failures of sources and NetScalers do not count: a
// restart would not help them.
func (o *Observer) Alive() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.state.alive(time.Now())
}

// Ready says why the last pass was of no use: nil if it reached every NetScaler
// and at least one source, and the loop is alive; or if it stands by and somebody
// leads.
func (o *Observer) Ready() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.state.ready(time.Now())
}

func (s *state) alive(now time.Time) error {
	if s.standby {
		return nil
	}
	patience := missed * s.Every
	if s.began.After(s.finished) {
		if runs := now.Sub(s.began); runs > sync.Deadline+patience {
			return fmt.Errorf("the pass that began %s ago has not ended; its deadline was %s", sync.Short(runs), sync.Short(sync.Deadline))
		}
		return nil
	}
	if s.finished.Before(s.born) {
		if waited := now.Sub(s.born); waited > patience {
			return fmt.Errorf("no pass has ended in the %s since the start; one is due every %s", sync.Short(waited), sync.Short(s.Every))
		}
		return nil
	}
	if waited := now.Sub(s.finished); waited > patience {
		return fmt.Errorf("the last pass ended %s ago; one is due every %s", sync.Short(waited), sync.Short(s.Every))
	}
	return nil
}

func (s *state) ready(now time.Time) error {
	if err := s.alive(now); err != nil {
		return err
	}
	if s.standby {
		if s.Led == nil {
			return nil
		}
		return s.Led()
	}
	if s.finished.Before(s.born) {
		return errors.New("the first pass has not ended yet")
	}
	netscalers, sources := s.named()
	problems := unwell("NetScaler", netscalers, s.netscalers)
	if failed := unwell("source", sources, s.sources); len(failed) == len(sources) {
		problems = append(problems, failed...)
	}
	return errors.Join(problems...)
}

// unwell says which of these failed, or have not been asked yet.
func unwell(what string, names []string, all map[string]health) (problems []error) {
	for _, name := range names {
		switch h := all[name]; {
		case h.Asked.IsZero():
			problems = append(problems, fmt.Errorf("%s %s has not been asked yet", what, name))
		case h.Err != "":
			problems = append(problems, fmt.Errorf("%s %s: %s", what, name, h.Err))
		}
	}
	return problems
}

// named are the NetScalers and sources that the mapping's apps use, sorted.
func (s *state) named() (netscalers, sources []string) {
	return slices.Sorted(maps.Keys(s.mapping.netscalers)), slices.Sorted(maps.Keys(s.mapping.sources))
}
