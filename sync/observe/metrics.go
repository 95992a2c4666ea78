package observe

import (
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nitrox/netscaler"
	"nitrox/sync"
)

// The metrics, but for what [counts] has. The values of their labels are
// names of the mapping file or words of ours, so that there can be no more of
// them than the mapping has.
var (
	buildInfo = describe("build_info", "1; the labels say which build this is.", "version", "goversion")
	interval  = describe("interval_seconds", "The interval of the loop.")
	lastPass  = describe("last_pass_timestamp_seconds", "When the last pass ended; 0: none has.")
	success   = describe("last_success_timestamp_seconds",
		"When a pass last ended without a failed app, source or NetScaler; 0: never.")
	lastTook = describe("last_pass_duration_seconds",
		"How long the last pass took, by phase; each is the longest that any source or NetScaler took for it, and "+
			"\"all\" is the whole pass.", "phase")
	dryRun = describe("dry_run", "1 if passes only plan, 0 if they make changes.")

	leading = describe("leading", "1 if this replica makes the passes, 0 if it stands by.")

	apps = describe("apps",
		"Apps on NetScalers by the status that the last pass gave them: failed, held, not_serving, pending, changed, "+
			"in_step, or unknown if no pass has looked yet.", "status")
	appStatus = describe("app_status",
		"1; the label says the status of the app on the NetScaler.", "app", "netscaler", "group", "status")
	orphans = describe("orphans",
		"Service groups of apps that had opted in, which no app claims any more: what they have stays or is drained.", "netscaler")
	members = describe("members",
		"Members and endpoints of an app by state. Only serving, down, added, draining, drained, disabled and not_ours "+
			"are bound; a member whose removal is held, or failed, still counts as what it is. Given only while the "+
			"NetScaler can be read, and not of groups that no app claims any more.", "app", "netscaler", "group", "state")
	unusable = describe("mapping_files_unusable",
		"Files of the mapping that cannot be used. A problem in one with limits stops its own team only; problems in "+
			"others count as one, and leave the whole mapping as it was.")
	troubled = describe("troubles", "Causes of failures and doubts, each counted once however many apps it harms, by where it comes from: source, netscaler or app.", "of")
	drifted  = describe("drift_changes",
		"Changes that the last pass found and did not make, because of a dry run, a pause, a guard or a failure.", "netscaler", "op")

	sourceUp = describe("source_up", "1 if the source answered when it was last asked, 0 if not.", "source")
	sourceOK = describe("source_last_success_timestamp_seconds", "When the source last answered; 0: never.", "source")
	streamUp = describe("stream_up",
		"1 if the event stream of the source is open; 0 if not, so that its changes are seen at the interval.", "source")
	netscalerUp = describe("netscaler_up", "1 if the NetScaler could be used in the last pass, 0 if not.", "netscaler")
	netscalerOK = describe("netscaler_last_success_timestamp_seconds",
		"When the NetScaler could last be used; 0: never.", "netscaler")
	netscalerSave = describe("netscaler_last_save_timestamp_seconds",
		"When the configuration of the NetScaler was last saved; 0: never.", "netscaler")
	netscalerOwed = describe("netscaler_last_unsaved_timestamp_seconds",
		"When a pass last left changes on the NetScaler that are to be saved, and were not yet; 0: never.", "netscaler")
)

var metrics []*prometheus.Desc

func describe(name, help string, labels ...string) *prometheus.Desc {
	desc := prometheus.NewDesc("nitrox_"+name, help, labels, nil)
	metrics = append(metrics, desc)
	return desc
}

// phase is a part of a pass, as metrics name it.
type phase struct {
	name string
	took time.Duration
}

func phasesOf(p sync.Phases, all time.Duration) []phase {
	return []phase{{"poll", p.Poll}, {"read", p.Read}, {"confirm", p.Confirm}, {"apply", p.Apply}, {"save", p.Save}, {"all", all}}
}

// unknown is the status of an app at which no pass has looked yet.
const unknown sync.Status = ""

// statuses are in the order in which people should see them.
var statuses = []sync.Status{sync.Failed, sync.Held, sync.NotServing, sync.Pending, sync.Changed, sync.InStep, unknown}

// collector makes metrics of the observer's state when they are asked for.
type collector struct{ *Observer }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range metrics {
		ch <- desc
	}
	for _, counted := range c.state.counts.all() {
		counted.Describe(ch)
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(buildInfo, 1, s.Version, runtime.Version())
	if s.Every > 0 {
		gauge(interval, s.Every.Seconds())
	}
	gauge(lastPass, unix(s.finished))
	gauge(success, unix(s.success))
	gauge(dryRun, bit(s.dryRun))
	gauge(leading, bit(!s.standby))
	gauge(unusable, max(float64(s.unusable), bit(s.refused)))
	if !s.finished.IsZero() {
		for _, p := range phasesOf(s.phases, s.took) {
			gauge(lastTook, p.took.Seconds(), p.name)
		}
	}

	byStatus := map[sync.Status]int{}
	causes := map[sync.TroubleOf]map[string]bool{sync.OfSource: {}, sync.OfNetScaler: {}, sync.OfApp: {}}
	drifts := map[string]map[netscaler.Op]int{}
	lost := map[string]int{}
	for _, a := range s.list() {
		byStatus[a.Status]++
		if a.Orphan {
			lost[a.NetScaler]++
		}
		for _, t := range a.Failures {
			causes[t.Of][t.String()] = true
		}
		at := []string{a.Name, a.NetScaler, a.Group}
		if drifts[a.NetScaler] == nil {
			drifts[a.NetScaler] = map[netscaler.Op]int{}
		}
		for op, n := range a.Drift {
			drifts[a.NetScaler][op] += n
		}
		gauge(appStatus, 1, append(at, oneWord(label(a.Status)))...)
		if a.Seen.IsZero() || a.Old || a.Orphan { // who has removed an app is not to be woken when it ends
			continue
		}
		byState := map[sync.Standing]int{sync.Serving: 0} // a group that lost its last one must not just vanish
		for _, r := range a.Rows {
			byState[r.Standing]++
		}
		for state, n := range byState {
			gauge(members, float64(n), append(at, oneWord(state.String()))...)
		}
	}
	for _, status := range statuses {
		gauge(apps, float64(byStatus[status]), oneWord(label(status)))
	}
	for of, all := range causes {
		gauge(troubled, float64(len(all)), string(of))
	}
	netscalers, sources := s.named()
	for _, name := range netscalers {
		for op := range ops {
			gauge(drifted, float64(drifts[name][op]), name, oneWord(op.String()))
		}
		gauge(orphans, float64(lost[name]), name)
		h := s.netscalers[name]
		if !h.Asked.IsZero() {
			gauge(netscalerUp, bit(h.Err == ""), name)
		}
		gauge(netscalerOK, unix(h.OK), name)
		gauge(netscalerSave, unix(h.Saved), name)
		gauge(netscalerOwed, unix(h.Owed), name)
	}
	for _, name := range sources {
		h := s.sources[name]
		if !h.Asked.IsZero() {
			gauge(sourceUp, bit(h.Err == ""), name)
		}
		gauge(sourceOK, unix(h.OK), name)
		if stream, known := s.streams[name]; known {
			gauge(streamUp, bit(stream.Up), name)
		}
	}

	for _, counted := range s.counts.all() {
		counted.Collect(ch)
	}
}

// registry has the observer's metrics; that of a process that runs for long
// also those of the process.
func (o *Observer) registry(process bool) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{o})
	if process {
		r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return r
}

// maxScrapes is how many scrapes may be under way at a time; more are refused.
const maxScrapes = 4

func (o *Observer) metrics() http.Handler {
	return promhttp.HandlerFor(o.registry(true), promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// oneWord is a status, a standing or a kind of change as labels, links and CSS
// classes have it.
func oneWord(name string) string { return strings.ReplaceAll(name, " ", "_") }

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
