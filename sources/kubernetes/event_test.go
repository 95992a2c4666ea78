package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nitrox/sources"
)

// written are the Events that an API server was given, and what it did not like.
type written struct {
	mu     sync.Mutex
	events []writtenEvent
	wrong  []string
}

type writtenEvent struct {
	Metadata  struct{ Namespace, GenerateName string }
	Regarding struct{ Kind, Namespace, Name, UID string }
	EventTime time.Time
	Reason    string
	Type      string
	Note      string
	Series    struct {
		Count            int
		LastObservedTime time.Time
	}
	Action, ReportingController, ReportingInstance string
}

// take is the creation of an Event, with the checks of a real API server.
func (w *written) take(rw http.ResponseWriter, r *http.Request) bool {
	namespace, isEvent := strings.CutPrefix(r.URL.Path, "/apis/events.k8s.io/v1/namespaces/")
	namespace, ok := strings.CutSuffix(namespace, "/events")
	if !isEvent || !ok || r.Method != http.MethodPost {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var e writtenEvent
	d := json.NewDecoder(r.Body)
	err := d.Decode(&e)
	if err != nil || e.Metadata.Namespace != namespace || e.Regarding.Namespace != namespace || e.Regarding.Kind != "Service" || e.EventTime.IsZero() ||
		e.Series.Count == 1 || len(e.Note) > 1024 || !strings.HasSuffix(e.Metadata.GenerateName, "-") ||
		e.Action == "" || e.ReportingController == "" || e.ReportingInstance == "" || len(e.ReportingInstance) > 128 || e.Type != "Normal" && e.Type != "Warning" {
		w.wrong = append(w.wrong, fmt.Sprintf("%v %+v", err, e))
		refuse(rw, 422, "Invalid", "not an Event")
		return true
	}
	w.events = append(w.events, e)
	rw.WriteHeader(201)
	fmt.Fprint(rw, `{"kind":"Event","apiVersion":"events.k8s.io/v1"}`)
	return true
}

// told are the Events since it was last asked.
func (w *written) told(t *testing.T) (all []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) > 0 {
		t.Errorf("an API server would not take %s", w.wrong)
	}
	for _, e := range w.events {
		text := fmt.Sprintf("%s %s/%s %s %s: %s", e.Type, e.Regarding.Namespace, e.Regarding.Name, e.Regarding.UID, e.Reason, e.Note)
		if e.Series.Count > 0 {
			text += fmt.Sprintf(" x%d in %v", e.Series.Count, e.Series.LastObservedTime.Sub(e.EventTime))
		}
		all = append(all, text)
	}
	w.events = nil
	return all
}

// aTeller is a source with events: true, in front of an API server that takes them.
func aTeller(t *testing.T) (*Source, *apiserver, *written) {
	w := &written{}
	a := cluster(append(shop(), aService("shop/cart"))...)
	a.objects["services"][0].but(with("metadata.uid", "uid-of-account"))
	a.before = w.take
	return serve(t, a, Config{Events: true}), a, w
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func aNews(service string, kind sources.NewsKind, text string, at time.Duration) sources.News[Query] {
	return sources.News[Query]{Query: Query{Service: service}, Kind: kind, Text: text, At: noon.Add(at)}
}

func tell(t *testing.T, s *Source, news ...sources.News[Query]) {
	t.Helper()
	if err := s.Tell(t.Context(), news); err != nil {
		t.Error(err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s, _, w := aTeller(t)
	ask(t, s, account)
	if off := serve(t, cluster(), Config{}); off.Audience(account) != "" || s.Audience(account) != "shop" {
		t.Errorf("audiences %q and %q", off.Audience(account), s.Audience(account))
	}
	tell(t, s, aNews("shop/account", sources.MembersChanged, "1 bound", 0), aNews("shop/account", sources.MembersChanged, "1 bound", 0)) // two entries of an app
	tell(t, s, aNews("shop/account", sources.RemovalsHeld, "held", time.Second))
	tell(t, s, aNews("shop/account", sources.RemovalsHeld, "held", time.Hour+time.Second))
	tell(t, s, aNews("shop/nothing", sources.SyncFailed, strings.Repeat("äö", 300), 0))
	want := []string{
		"Normal shop/account uid-of-account MembersChanged: 1 bound",
		"Warning shop/account uid-of-account RemovalsHeld: held",
		"Warning shop/account uid-of-account RemovalsHeld: held x2 in 1h0m0s",
		"Warning shop/nothing  SyncFailed: " + strings.Repeat("äö", 255) + "…",
	}
	if got := w.told(t); !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEventsAreNotTooMany(t *testing.T) {
	t.Parallel()
	s, a, w := aTeller(t)
	for i := range 30 {
		tell(t, s, aNews("shop/account", sources.MembersChanged, fmt.Sprint(i), 0))
	}
	if got := w.told(t); len(got) != 25 {
		t.Errorf("%d events on one service at once, want 25", len(got))
	}
	tell(t, s, aNews("shop/account", sources.MembersChanged, "late", 4*time.Minute), aNews("shop/cart", sources.MembersChanged, "cart", 4*time.Minute))
	if got := w.told(t); len(got) != 1 || !strings.HasSuffix(got[0], "cart") {
		t.Errorf("told %q, want that of the other service alone", got)
	}
	// One that the API server does not take is left out, too.
	a.before = func(w http.ResponseWriter, r *http.Request) bool { refuse(w, 500, "InternalError", "no"); return true }
	if err := s.Tell(t.Context(), []sources.News[Query]{aNews("shop/account", sources.MembersChanged, "lost", 6*time.Minute)}); err == nil {
		t.Error("the API server refused an event, and nothing was said of it")
	}
	a.before = w.take
	tell(t, s, aNews("shop/account", sources.MembersChanged, strings.Repeat("x", 2000), 11*time.Minute))
	if got := w.told(t); len(got) != 1 || !strings.HasSuffix(got[0], "x… (7 events left out before this one)") {
		t.Errorf("told %q, want 7 left out before it", got)
	}
	var many []sources.News[Query]
	for i := range 500 {
		many = append(many, aNews(fmt.Sprintf("shop/app-%d", i), sources.MembersChanged, "bound", time.Hour))
	}
	tell(t, s, many...)
	if got := w.told(t); len(got) != 100 {
		t.Errorf("%d events at once in all, want 100", len(got))
	}
}

// TestEventsOfAHostileServer: what it does is an error, at the latest when the time is
// over.
func TestEventsOfAHostileServer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, over func())
		want   string
	}{
		"no right": {func(w http.ResponseWriter, _ *http.Request, _ func()) {
			refuse(w, 403, "Forbidden", "events is forbidden")
		},
			"create events.events.k8s.io in namespace shop: 403 Forbidden: events is forbidden; give the account the Role in examples/kubernetes/base/events.yaml"},
		"a failure": {func(w http.ResponseWriter, _ *http.Request, _ func()) { refuse(w, 500, "InternalError", "no") }, "500"},
		"endless": {func(w http.ResponseWriter, r *http.Request, _ func()) {
			for w.WriteHeader(201); r.Context().Err() == nil; {
				fmt.Fprint(w, strings.Repeat("x", 1<<16))
			}
		}, "too large"},
		"silent": {func(_ http.ResponseWriter, r *http.Request, over func()) { over(); <-r.Context().Done() }, "the time is over"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, a, _ := aTeller(t)
			ctx, end := context.WithCancelCause(t.Context())
			defer end(nil)
			a.before = func(w http.ResponseWriter, r *http.Request) bool {
				io.Copy(io.Discard, r.Body) // only then the server sees that the client has gone
				c.answer(w, r, func() { end(errors.New("the time is over")) })
				return true
			}
			err := s.Tell(ctx, []sources.News[Query]{aNews("shop/account", sources.MembersChanged, "1 bound", 0)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
