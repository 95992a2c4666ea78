package sync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"nitrox/sources"
)

// polls are a pass's questions to its sources: one poll each.
type polls map[string]*poll

// poll is what one source is asked, and what it says. answers, err and took
// may be read once done is closed.
type poll struct {
	entries []entry
	queries []any
	answers map[entry]sources.Answer
	err     error
	took    time.Duration
	done    chan struct{}
}

// entry is one from entry of an app: the i-th.
type entry struct {
	app string
	i   int
}

// poll asks each source once about all entries of the apps. It does not wait.
func (s *Syncer) poll(ctx context.Context, apps []App, fresh bool) polls {
	all := polls{}
	for _, app := range apps {
		for i, from := range app.From {
			p := all[from.Source]
			if p == nil {
				p = &poll{answers: map[entry]sources.Answer{}, done: make(chan struct{})}
				all[from.Source] = p
			}
			p.entries = append(p.entries, entry{app.Name, i})
			p.queries = append(p.queries, from.Query)
		}
	}
	for name, p := range all {
		go func() {
			defer close(p.done)
			s.step(Step{Source: name, Doing: "polling"})
			end := clock(&p.took)
			backoff := s.known().backoffs[name]
			answers, err := []sources.Answer(nil), backoff.tooSoon()
			if err == nil {
				answers, err = s.Sources[name].Ask(ctx, p.queries, fresh)
				backoff.note(err)
			}
			end()
			s.step(Step{Source: name})
			p.err = err
			for i, e := range p.entries {
				if err != nil {
					p.answers[e] = sources.Doubtful(err)
				} else {
					p.answers[e] = answers[i]
				}
			}
		}()
	}
	return all
}

// Ask polls a source within its timeout, also if the source does not heed its
// context.
func (s Source) Ask(ctx context.Context, queries []any, fresh bool) ([]sources.Answer, error) {
	return within(ctx, s.Timeout, func(ctx context.Context) ([]sources.Answer, error) { return s.Poll(ctx, queries, fresh) })
}

// errNoAnswer is wrapped by the error of what has not answered in time.
var errNoAnswer = errors.New("no answer within its timeout")

func within[T any](ctx context.Context, timeout time.Duration, ask func(context.Context) (T, error)) (none T, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w of %v", errNoAnswer, timeout))
	defer cancel()
	type reply struct {
		answer T
		err    error
	}
	replies := make(chan reply, 1)
	go func() {
		answer, err := ask(ctx)
		replies <- reply{answer, err}
	}()
	select {
	case r := <-replies:
		if r.err != nil && ctx.Err() != nil {
			return none, context.Cause(ctx)
		}
		return r.answer, r.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// answers waits for all sources of an app; its answers are in the order of
// App.From.
func (all polls) answers(app App) []sources.Answer {
	answers := make([]sources.Answer, len(app.From))
	for i, from := range app.From {
		p := all[from.Source]
		<-p.done
		answers[i] = p.answers[entry{app.Name, i}]
	}
	return answers
}

// of are the polls that tell of the outcomes.
func (all polls) of(outcomes []*Outcome) polls {
	some := polls{}
	for _, o := range outcomes {
		for _, from := range o.App.From {
			some[from.Source] = all[from.Source]
		}
	}
	return some
}

// errors waits for all sources; the errors are those of whole polls.
func (all polls) errors() map[string]error {
	errs := make(map[string]error, len(all))
	for name, p := range all {
		<-p.done
		errs[name] = p.err
	}
	return errs
}

// took waits for all sources; it is how long the slowest needed.
func (all polls) took() (longest time.Duration) {
	for _, p := range all {
		<-p.done
		longest = max(longest, p.took)
	}
	return longest
}

// patience is how long changes wait for the other sources once the first apps
// have their answers, so that all go out together. A source that is slower
// holds up its own apps only.
const patience = time.Second

// waves hands out the outcomes whose apps have their answers: first those that
// arrive within patience of the first, then those that were too late for them,
// and so on.
func (all polls) waves(outcomes []*Outcome) iter.Seq[[]*Outcome] {
	return func(yield func([]*Outcome) bool) {
		arrived := make(chan *Outcome, len(outcomes))
		for _, o := range outcomes {
			go func() {
				o.Answers = all.answers(o.App)
				arrived <- o
			}()
		}
		for left := len(outcomes); left > 0; {
			here := map[*Outcome]bool{<-arrived: true}
			late := time.NewTimer(patience)
			for full := false; !full && len(here) < left; {
				select {
				case o := <-arrived:
					here[o] = true
				case <-late.C:
					full = true
				}
			}
			late.Stop()
			left -= len(here)
			wave := slices.DeleteFunc(slices.Clone(outcomes), func(o *Outcome) bool { return !here[o] })
			if !yield(wave) {
				return
			}
		}
	}
}
