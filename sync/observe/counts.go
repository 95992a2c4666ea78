package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"nitrox/sync"
)

// counts only grow while the program runs, and are safe for concurrent use by themselves.
type counts struct {
	passes, changes, calls *prometheus.CounterVec
	phases, latency        *prometheus.HistogramVec
}

// The results of passes.
const (
	passOK     = "ok"
	passHeld   = "held"
	passFailed = "failed"
)

func newCounts() counts {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nitrox_" + name, Help: help}, labels)
	}
	c := counts{
		passes: counter("passes_total", "Passes by result: ok, held or failed.", "result"),
		changes: counter("changes_total",
			"Changes by kind (bind, enable, set, drain, unbind and so on) and outcome (made or failed).", "op", "outcome"),
		calls: counter("nitro_calls_total",
			"Calls to the NITRO API by kind and outcome, each try counted.", "netscaler", "kind", "outcome"),
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
	for _, result := range []string{passOK, passHeld, passFailed} {
		c.passes.WithLabelValues(result)
	}
	for op := range ops {
		c.changes.WithLabelValues(oneWord(op.String()), "made")
		c.changes.WithLabelValues(oneWord(op.String()), "failed")
	}
	return c
}

func (c counts) all() []prometheus.Collector {
	return []prometheus.Collector{c.passes, c.changes, c.calls, c.phases, c.latency}
}

func (c counts) add(r sync.Result) {
	result := passOK
	switch r.Exit(false) {
	case sync.ExitFailed:
		result = passFailed
	case sync.ExitHeld:
		result = passHeld
	}
	c.passes.WithLabelValues(result).Inc()
	for _, o := range r.Outcomes {
		for _, d := range o.Done {
			c.changes.WithLabelValues(oneWord(d.Op.String()), map[bool]string{true: "made", false: "failed"}[d.Made()]).Inc()
		}
	}
	for _, p := range phasesOf(r.Phases, r.Took) {
		if p.took > 0 || p.name == "all" { // else the pass did not have it
			c.phases.WithLabelValues(p.name).Observe(p.took.Seconds())
		}
	}
}

// forget forgets the calls of a NetScaler.
func (c counts) forget(netscaler string) {
	c.calls.DeletePartialMatch(prometheus.Labels{"netscaler": netscaler})
	c.latency.DeleteLabelValues(netscaler)
}
