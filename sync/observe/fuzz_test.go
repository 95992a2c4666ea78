package observe_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nitrox/sync"
	"nitrox/sync/observe"
)

// Whatever somebody asks the page for is text to it.
func FuzzTheFilter(f *testing.F) {
	f.Add("shop", "failed")
	f.Add(`"><script>`, "</title><script>")
	f.Add("\x00\xff", "&lt;")
	o := observe.New(observe.Options{Every: every, Apps: []sync.App{{Name: "shop", NetScalers: []string{"edge"}}}})
	h := o.Handler()
	f.Fuzz(func(t *testing.T, app, status string) {
		r := httptest.NewRequest(http.MethodGet, "/?"+url.Values{"app": {app}, "status": {status}}.Encode(), nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		page := w.Body.String()
		if w.Code != http.StatusOK || strings.Count(page, "<script") != 1 ||
			strings.Count(page, "<input") > 2 || !strings.HasSuffix(page, "</html>\n") {
			t.Errorf("%d\n%s", w.Code, page)
		}
	})
}

// A file that is there is gone on with, or left exactly as it is.
func FuzzTheMetricsFile(f *testing.F) {
	f.Add("")
	f.Add("apps: []\n")
	f.Add("# TYPE nitrox_build_info gauge\nnitrox_build_info 1\n# TYPE nitrox_passes_total counter\nnitrox_passes_total{result=\"ok\"} 3\n")
	f.Add("nitrox_build_info 1\n# TYPE nitrox_pass_duration_seconds histogram\n" +
		"nitrox_pass_duration_seconds_bucket{phase=\"all\",le=\"0.01\"} 1\nnitrox_pass_duration_seconds_count{phase=\"all\"} 1\n")
	f.Add("nitrox_build_info 1\n# TYPE nitrox_passes_total counter\nnitrox_passes_total{result=\"ok\"} -3\n")
	f.Add("nitrox_build_info 1\n# TYPE nitrox_passes_total counter\nnitrox_passes_total{result=\"ok\",le=\"1\",\"a.b\"=\"\\n\"} NaN\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, before string) {
		file := filepath.Join(dir, "nitrox.prom")
		if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		o := observe.New(observe.Options{Apps: []sync.App{{Name: "shop", NetScalers: []string{"edge"}}}})
		o.Record(sync.Result{}, now)
		err := o.WriteMetricsFile(file)
		after, readErr := os.ReadFile(file)
		if readErr != nil {
			t.Fatal(readErr)
		}
		switch {
		case err != nil && string(after) != before:
			t.Errorf("%v, and the file is now %q", err, after)
		case err == nil:
			if before == "" { // labels that others wrote are kept, in whatever style
				lint(t, string(after))
			}
			again := observe.New(observe.Options{})
			if err := again.WriteMetricsFile(file); err != nil {
				t.Errorf("what was written cannot be read: %v\n%s", err, after)
			}
		}
	})
}
