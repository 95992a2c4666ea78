package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"nitrox/sources"
	"nitrox/sources/httpapi"
)

// An Event is a write to the cluster's etcd. As client-go's recorder does, a service
// gets a few at once and then one now and then; and so do all together.
const (
	mostAtOnce, next     = 25, 5 * time.Minute
	mostInAll, nextInAll = 100, time.Second
	// maxNote is the greatest length in bytes of what an Event says.
	maxNote = 1024
)

var events = resource{"apis/events.k8s.io/v1", "events.k8s.io/v1", "EventList", "events"}

// record is what is known of a service on which Events are written. Source.mu guards it.
type record struct {
	uid     string // kubectl shows only Events on this one
	limit   *rate.Limiter
	leftOut int                 // since the last one
	last    sources.News[Query] // that was told, as often as that since then
	since   time.Time
	count   int
}

// note is an Event to be written.
type note struct {
	sources.News[Query]
	uid     string
	since   time.Time // when it was first told
	count   int       // how often it was, without anything else between
	leftOut int       // how many before it were not written
}

// record of a service; mu is held.
func (s *Source) record(k key) *record {
	if s.records[k] == nil {
		s.records[k] = &record{limit: rate.NewLimiter(rate.Every(next), mostAtOnce)}
	}
	return s.records[k]
}

// identify notes which services those are that the queries name.
func (s *Source) identify(v *view, queries []Query) {
	if !s.config.Events {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range queries {
		if found := v.services[q.key()]; found != nil {
			s.record(q.key()).uid = found.Metadata.UID
		}
	}
}

// Audience implements [sources.Teller]: who may read a namespace reads its Events.
func (s *Source) Audience(q Query) string {
	if !s.config.Events {
		return ""
	}
	return q.key().namespace
}

// Tell implements [sources.Teller]: it writes Events on the services. It needs the verb
// create on events.
func (s *Source) Tell(ctx context.Context, news []sources.News[Query]) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	notes := s.admit(news)
	errs := make([]error, len(notes))
	inParallel(len(notes), func(i int) {
		if errs[i] = c.create(ctx, notes[i]); errs[i] != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.record(notes[i].Query.key()).leftOut += notes[i].leftOut + 1
		}
	})
	if err := cmp.Or(errs...); err != nil {
		return c.explained(err)
	}
	return nil
}

// admit are those of the news that are to be written: on each service once, and not
// too many.
func (s *Source) admit(news []sources.News[Query]) (notes []note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range news {
		r := s.record(n.Query.key())
		repeats := n.Kind == r.last.Kind && n.Text == r.last.Text
		switch {
		case repeats && n.At.Equal(r.last.At):
			continue // another entry of the app with the same service
		case repeats:
			r.count++
		default:
			r.since, r.count = n.At, 1
		}
		r.last = n
		if !r.limit.AllowN(n.At, 1) || !s.all.AllowN(n.At, 1) {
			r.leftOut++
			continue
		}
		notes = append(notes, note{n, r.uid, r.since, r.count, r.leftOut})
		r.leftOut = 0
	}
	return notes
}

// create writes an Event, without a look at what others have written.
func (c *client) create(ctx context.Context, n note) error {
	k := n.Query.key()
	body, err := json.Marshal(n.event(k))
	if err != nil {
		return err
	}
	in := query{namespace: k.namespace}
	_, err = c.Do(ctx, http.MethodPost, c.url(events, in), body, 1<<20)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case httpapi.Forbidden(err):
		err = fmt.Errorf("%w; give the account the Role in examples/kubernetes/base/events.yaml, or remove events from the source", err)
	}
	return fmt.Errorf("create %s%s: %w", events, in.in(), err)
}

// event is the object of the API (events.k8s.io/v1 Event).
func (n note) event(k key) map[string]any {
	micro := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }
	more := ""
	if n.leftOut > 0 {
		more = fmt.Sprintf(" (%s left out before this one)", sources.Count(n.leftOut, "event"))
	}
	text := n.Text
	if most := maxNote - len(more); len(text) > most {
		text = strings.ToValidUTF8(text[:most-len("…")], "") + "…"
	}
	kind := "Warning"
	if n.Kind == sources.MembersChanged {
		kind = "Normal"
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "nitrox"
	}
	event := map[string]any{
		"apiVersion": events.apiVersion, "kind": "Event",
		"metadata":  map[string]any{"namespace": k.namespace, "generateName": k.name + "-"},
		"regarding": map[string]any{"apiVersion": "v1", "kind": "Service", "namespace": k.namespace, "name": k.name, "uid": n.uid},
		"eventTime": micro(n.since), "reason": n.Kind, "type": kind, "note": text + more, "action": "Sync",
		"reportingController": "nitrox", "reportingInstance": host[:min(len(host), 128)],
	}
	if n.count > 1 {
		event["series"] = map[string]any{"count": n.count, "lastObservedTime": micro(n.At)}
	}
	return event
}
