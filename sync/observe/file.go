package observe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	stdsync "sync"
	"syscall"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"nitrox/sources/textfile"
)

// metricsFiles are the files that are written, by one at a time.
type metricsFiles struct {
	stdsync.Mutex
	before map[string]map[string]*dto.MetricFamily // what was in each at first
}

// WriteMetricsFile writes the metrics for the textfile collector of
// node_exporter, all at once: whoever reads sees the old file or the new one.
// Its mode is 0644; its name should end in .prom.
//
// The counts, and the times of the last successes, go on from those in the
// file that is there, so that a run every few minutes counts as one that never
// ended. A file that Nitrox has not written is an error and stays as it is.
func (o *Observer) WriteMetricsFile(path string) error {
	if err := o.writeMetrics(path); err != nil {
		return fmt.Errorf("metrics file: %w", err)
	}
	return nil
}

func (o *Observer) writeMetrics(path string) error {
	now, err := o.registry(false).Gather()
	if err != nil {
		return err
	}
	o.files.Lock()
	defer o.files.Unlock()
	before, known := o.files.before[path]
	if !known {
		if before, err = readMetrics(path); err != nil {
			return err
		}
		o.files.before[path] = before
	}
	var b strings.Builder
	for _, family := range goOn(now, before) {
		if _, err := expfmt.MetricFamilyToText(&b, family); err != nil {
			return err
		}
	}
	return textfile.Replace(path, b.String())
}

// maxFile is the size of the largest metrics file that is read: 1,000 apps on
// two NetScalers make less than 2 MB.
const maxFile = 64 << 20

// readMetrics reads what an earlier run wrote; a missing or empty file is one
// without metrics.
func readMetrics(path string) (map[string]*dto.MetricFamily, error) {
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// To open a pipe would wait for whoever writes to it, if ever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if opened, err := f.Stat(); err != nil || !there.Mode().IsRegular() || !os.SameFile(there, opened) {
		return nil, fmt.Errorf("%s is not a regular file, so it is left as it is; give the name of a file, or of none", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil || len(text) == 0 {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil || families["nitrox_build_info"] == nil { // the parser's error would quote what is none of ours
		return nil, fmt.Errorf("%s was not written by Nitrox, so it is left as it is; give another name, or remove it", path)
	}
	return families, nil
}

// goOn adds to the counts those of before, and brings back the times of earlier
// successes of what has had none since.
func goOn(now []*dto.MetricFamily, before map[string]*dto.MetricFamily) []*dto.MetricFamily {
	for _, family := range now {
		old := before[family.GetName()]
		if old == nil || old.GetType() != family.GetType() {
			continue
		}
		counts := family.GetType() == dto.MetricType_COUNTER
		for _, was := range old.Metric {
			i := slices.IndexFunc(family.Metric, func(m *dto.Metric) bool { return sameLabels(m, was) })
			switch {
			case i < 0 && counts:
				family.Metric = append(family.Metric, was)
			case i < 0:
			case counts:
				*family.Metric[i].Counter.Value += was.GetCounter().GetValue()
			case family.GetType() == dto.MetricType_HISTOGRAM:
				addHistogram(family.Metric[i].Histogram, was.GetHistogram())
			case strings.HasSuffix(family.GetName(), "_timestamp_seconds") && family.GetName() != "nitrox_last_pass_timestamp_seconds":
				*family.Metric[i].Gauge.Value = max(family.Metric[i].Gauge.GetValue(), was.GetGauge().GetValue())
			}
		}
	}
	return now
}

// addHistogram adds was to h, unless its buckets are others.
func addHistogram(h, was *dto.Histogram) {
	if len(h.Bucket) > len(was.Bucket) {
		return
	}
	for i, b := range h.Bucket {
		if b.GetUpperBound() != was.Bucket[i].GetUpperBound() {
			return
		}
	}
	*h.SampleCount += was.GetSampleCount()
	*h.SampleSum += was.GetSampleSum()
	for i, b := range h.Bucket {
		*b.CumulativeCount += was.Bucket[i].GetCumulativeCount()
	}
}

func sameLabels(a, b *dto.Metric) bool {
	if len(a.Label) != len(b.Label) {
		return false
	}
	for _, l := range a.Label {
		if !slices.ContainsFunc(b.Label, func(m *dto.LabelPair) bool { return m.GetName() == l.GetName() && m.GetValue() == l.GetValue() }) {
			return false
		}
	}
	return true
}
