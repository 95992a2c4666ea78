package sync

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"nitrox/netscaler"
)

// Log writes a line for each change that was made or failed, for each app that
// has trouble, and one about the whole pass.
func (r Result) Log(ctx context.Context, log *slog.Logger) {
	for _, o := range r.Outcomes {
		log := log.With("app", o.App.Name, "netscaler", o.NetScaler, "group", o.App.Group)
		if o.Err != nil {
			log.ErrorContext(ctx, "not served", "error", text(o.Err))
		}
		if o.Desired.Doubt() != nil {
			log.ErrorContext(ctx, "in doubt, nothing is removed", "doubt", text(o.Desired.Doubt()))
		}
		if o.Plan.HeldBy != nil {
			log.WarnContext(ctx, "removals held", "members", len(o.Plan.Held), "why", text(o.Plan.HeldBy))
		}
		for _, note := range o.Notes {
			log.InfoContext(ctx, "note", "note", oneLine(note))
		}
		for _, d := range o.Done {
			c := d.Change
			attrs, what := []any{"member", c.Addr.String()}, past[c.Op]
			if creates(c) || c.Op == netscaler.RemoveServer {
				attrs, what = []any{"what", oneLine(subject(c))}, c.Op.String()
			} else if c.Weight > 0 {
				attrs = append(attrs, "weight", c.Weight)
			}
			if c.Why != "" {
				attrs = append(attrs, "why", oneLine(c.Why))
			}
			if d.Took > 0 {
				attrs = append(attrs, "took", d.Took.Round(time.Microsecond).String())
			}
			if d.Failed() {
				log.ErrorContext(ctx, c.Op.String()+" failed", append(attrs, "error", text(d.Err))...)
			} else {
				log.InfoContext(ctx, what, attrs...)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Sources)) {
		if err := r.Sources[name]; err != nil {
			log.ErrorContext(ctx, "source failed", "source", name, "error", text(err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.NetScalers)) {
		if err := r.NetScalers[name]; err != nil {
			log.ErrorContext(ctx, "netscaler failed", "netscaler", name, "error", text(err))
		}
	}
	log.InfoContext(ctx, "pass ended", "summary", r.Summary(), "took", r.Took.String())
}
