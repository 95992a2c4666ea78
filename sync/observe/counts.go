package observe

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"nitrox/netscaler"
	"nitrox/sync"
)

// counts only grow while the program runs.
type counts struct {
	passes  map[string]float64 // by result
	changes map[change]float64
	calls   map[call]float64
	// Both are safe for concurrent use by themselves.
	phases, latency *prometheus.HistogramVec
}

type (
	change struct {
		op   netscaler.Op
		made bool
	}
	call struct{ netscaler, kind, outcome string }
)

// The results of passes.
const (
	passOK     = "ok"
	passHeld   = "held"
	passFailed = "failed"
)

func newCounts() counts {
	c := counts{
		passes:  map[string]float64{passOK: 0, passHeld: 0, passFailed: 0},
		changes: map[change]float64{},
		calls:   map[call]float64{},
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nitrox_pass_duration_seconds",
			Help: "How long passes took, by phase; each is the longest that any source or NetScaler took for it, and \"all\" is the whole pass.",
			// From one bulk read next door to the deadline of a pass.
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30, 60, 120, 300},
		}, []string{"phase"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nitrox_nitro_call_duration_seconds", Help: "How long calls to the NITRO API took, each try by itself.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30, 120},
		}, []string{"netscaler"}),
	}
	for op := range ops {
		c.changes[change{op, true}], c.changes[change{op, false}] = 0, 0
	}
	return c
}

func (c counts) clone() counts {
	c.passes, c.changes, c.calls = maps.Clone(c.passes), maps.Clone(c.changes), maps.Clone(c.calls)
	return c
}

func (c counts) add(r sync.Result) {
	switch r.Exit(false) {
	case sync.ExitFailed:
		c.passes[passFailed]++
	case sync.ExitHeld:
		c.passes[passHeld]++
	default:
		c.passes[passOK]++
	}
	for _, o := range r.Outcomes {
		for _, d := range o.Done {
			c.changes[change{d.Op, d.Made()}]++
		}
	}
	for _, p := range phasesOf(r.Phases, r.Took) {
		if p.took > 0 || p.name == "all" { // else the pass did not have it
			c.phases.WithLabelValues(p.name).Observe(p.took.Seconds())
		}
	}
}
