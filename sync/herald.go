package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	stdsync "sync"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
)

// toTell is how long a source may take to be told the news of a pass.
const toTell = 5 * time.Second

var errNotTold = fmt.Errorf("no answer within %v", toTell)

// Herald tells those who run an app what became of it, where its source has a place
// for that: beside the passes, and a source one thing at a time. That it cannot harms
// no pass. Of troubles that last it tells once an hour, as a [Chronicle] does.
type Herald struct {
	Log *slog.Logger

	said map[Place]recent // troubles of apps, and when each was last told

	mu      stdsync.Mutex
	waiting map[teller][]sources.News[any] // while that is being told something
	warned  recent                         // sources, and when it was logged that one could not be told
	calls   stdsync.WaitGroup
}

// Tell begins to tell what a pass found and did, and does not wait. A dry run is no
// news, nor is what a pass did not do because ctx, its run's, has ended. It is not called
// twice at a time.
func (h *Herald) Tell(ctx context.Context, r Result, at time.Time) {
	if r.DryRun {
		return
	}
	all := map[teller][]sources.News[any]{}
	for _, o := range r.Outcomes {
		status := o.Status()
		if status != Failed && status != Held {
			delete(h.said, o.place())
		}
		if status == InStep || status == NotServing || status == Pending {
			continue
		}
		for a, entries := range o.audiences(r.by.Sources) {
			for _, n := range o.news(entries, r) {
				if n.Kind != sources.MembersChanged && (ctx.Err() != nil || !h.fresh(o.place(), fmt.Sprint(a, n.Kind, steady(n.Text)), at)) {
					continue
				}
				n.Text, n.At = OneLine(fmt.Sprintf("%s on %s: %s", o.called(), o.NetScaler, n.Text)), at
				for _, i := range entries {
					n.Query = o.App.From[i].Query
					all[teller{r.by, a.source}] = append(all[teller{r.by, a.source}], n)
				}
			}
		}
	}
	for to, news := range all {
		h.mu.Lock()
		before, busy := h.waiting[to]
		if h.waiting == nil {
			h.waiting, h.warned = map[teller][]sources.News[any]{}, recent{}
		}
		h.waiting[to] = append(before, news...)
		h.mu.Unlock()
		if !busy {
			h.calls.Go(func() { h.deliver(to) })
		}
	}
}

// fresh: the trouble of an app was not told within the last hour.
func (h *Herald) fresh(p Place, trouble string, at time.Time) bool {
	if h.said == nil {
		h.said = map[Place]recent{}
	}
	if h.said[p] == nil {
		h.said[p] = recent{}
	}
	h.said[p].forget(at)
	return h.said[p].fresh(trouble, at)
}

// teller is a source as one mapping has it: another may give its name to another cluster.
type teller struct {
	of   *Syncer
	name string
}

// deliver tells a source what waits for it, until nothing does.
func (h *Herald) deliver(to teller) {
	for {
		h.mu.Lock()
		news := h.waiting[to]
		h.waiting[to] = nil
		if len(news) == 0 {
			delete(h.waiting, to)
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		ctx, cancel := context.WithTimeoutCause(context.Background(), toTell, errNotTold)
		err := to.of.Sources[to.name].Tell(ctx, news)
		cancel()
		h.mu.Lock()
		warn := err != nil && h.warned.fresh(to.name, time.Now())
		h.mu.Unlock()
		if warn {
			h.Log.Warn("the source could not be told what became of its apps", "source", to.name, "error", text(err))
		}
	}
}

// Close waits until all is told, but not for long.
func (h *Herald) Close() {
	told := make(chan struct{})
	go func() { h.calls.Wait(); close(told) }()
	select {
	case <-told:
	case <-time.After(toTell + time.Second):
	}
}

// audience is who is told things by a source.
type audience struct{ source, name string }

// audiences are those that are told of an outcome, and which entries of the app are
// theirs.
func (o Outcome) audiences(by map[string]Source) map[audience][]int {
	all := map[audience][]int{}
	for i, f := range o.App.From {
		if s := by[f.Source]; s.Tell != nil {
			if name := s.Audience(f.Query); name != "" {
				a := audience{f.Source, name}
				all[a] = append(all[a], i)
			}
		}
	}
	return all
}

// news are what became of an app, for those whose the entries are. Where others have
// entries too, of members that are not known to come from theirs only the number is
// told. Names of other apps, which errors of a NetScaler or a whole source may have,
// are never told.
func (o Outcome) news(entries []int, r Result) (all []sources.News[any]) {
	own := map[netip.AddrPort]bool{}
	for _, i := range entries {
		for _, e := range o.answer(i).Endpoints {
			own[e.Addr] = true
		}
	}
	alone := len(entries) == len(o.App.From)
	members := func(words func(op netscaler.Op, n int) string, which func(Done) bool, of []Done) string {
		var mine [len(kinds)][]string
		var rest [len(kinds)]int
		for _, d := range of {
			switch {
			case !which(d):
			case !ofMember(d.Op), !alone && !own[d.Addr]:
				rest[d.Op]++
			default:
				mine[d.Op] = append(mine[d.Op], d.Addr.String())
			}
		}
		var told, others []string
		for op := range netscaler.Op(len(kinds)) {
			if n := len(mine[op]); n > 0 {
				told = append(told, fmt.Sprintf("%s (%s)", words(op, n), someOf(mine[op])))
			}
			if n := rest[op]; n > 0 {
				others = append(others, words(op, n))
			}
		}
		if len(others) > 0 && !alone {
			others[0] = "in the rest of the group " + others[0]
		}
		return strings.Join(append(told, others...), ", ")
	}
	add := func(kind sources.NewsKind, text string) {
		if text != "" {
			all = append(all, sources.News[any]{Kind: kind, Text: text})
		}
	}
	add(sources.MembersChanged, members(func(op netscaler.Op, n int) string { return Counted(op, n, true) },
		func(d Done) bool { return d.Made() && ofMember(d.Op) }, o.Done))
	if o.Plan.HeldBy != nil {
		held := make([]Done, len(o.Plan.Held))
		for i := range held {
			held[i].Change = &o.Plan.Held[i]
		}
		add(sources.RemovalsHeld, fmt.Sprintf("%s: %v", members(func(op netscaler.Op, n int) string { return fmt.Sprintf("held: %d to %v", n, op) },
			func(Done) bool { return true }, held), o.Plan.HeldBy))
	}
	whys := o.whys(entries, r)
	failed := members(func(op netscaler.Op, n int) string { return fmt.Sprintf("%d failed to %s", n, op) }, func(d Done) bool {
		return d.Failed() && !slices.ContainsFunc([]error{errAddFirst, errNotCreated, errLate, errStopped}, func(e error) bool { return errors.Is(d.Err, e) })
	}, o.Done)
	if failed != "" {
		whys = append(whys, failed)
	}
	if len(whys) > 0 {
		add(sources.SyncFailed, strings.Join(whys, "; ")+"; Nitrox's log says more")
	}
	return all
}

// whys say why an app failed but for its changes, to those whose the entries are.
func (o Outcome) whys(entries []int, r Result) (whys []string) {
	switch {
	case errors.Is(o.Err, netscaler.ErrNoGroup):
		whys = append(whys, "the service group does not exist")
	case o.Err != nil && r.NetScalers[o.NetScaler] != nil:
		whys = append(whys, "the NetScaler could not be used")
	case o.Err != nil:
		whys = append(whys, "not served")
	}
	if o.Desired.Doubt() == nil {
		return whys
	}
	whys = append(whys, "in doubt, nothing is removed")
	for _, i := range entries {
		if from := o.App.From[i].Source; r.Sources[from] != nil {
			whys = append(whys, "source "+from+" failed")
		} else if doubt := o.answer(i).Doubt(); errors.Is(doubt, sources.ErrAbsent) { // its text may name others
			whys = append(whys, fmt.Sprintf("source %s: %v", from, sources.ErrAbsent))
		} else if doubt != nil {
			whys = append(whys, fmt.Sprintf("source %s: %v", from, doubt))
		}
	}
	return slices.Compact(whys)
}

// answer is that to an entry of the app; of none, a doubt.
func (o Outcome) answer(i int) (a sources.Answer) {
	if i < len(o.Answers) {
		a = o.Answers[i]
	}
	return a
}
