package marathon

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"nitrox/sources/stream"
)

const (
	// idle is after which silence a stream is taken for dead. Marathon sends an
	// empty line about every ten seconds.
	idle = 75 * time.Second
	// maxLine is how much of a line of a stream is looked at. Marathon before
	// 1.7 puts the definitions of all apps into one.
	maxLine = 64 << 10
)

// changes are the types of events after which endpoints may be others ("Event
// Bus", Marathon documentation). The first says that from now on none is missed.
// Among the others are a message for each failed health check, which changes
// nothing until there are enough of them.
var changes = []string{
	"event_stream_attached",
	"status_update_event", "instance_changed_event", "unknown_instance_terminated_event",
	"health_status_changed_event", "instance_health_changed_event", "unhealthy_task_kill_event", "unhealthy_instance_kill_event",
	"api_post_event", "app_terminated_event", "group_change_success",
	"deployment_step_success", "deployment_success", "deployment_failed",
}

// Watch implements [sources.Watcher]. It follows the event stream of the first
// Marathon that answers, the leader first where it is known. A Marathon that
// does not lead sends us to the leader, whom we follow if it is configured.
func (s *Source) Watch(ctx context.Context, queries []Query, changed func(which []int)) error {
	apps := wanted{}
	for i, q := range queries {
		apps[q.App] = append(apps[q.App], i)
	}
	return s.watch(ctx, changed, apps.concerned)
}

// watch hints at the queries that events concern.
func (s *Source) watch(ctx context.Context, changed func(which []int), concerned func(event) []int) error {
	return stream.Hints(changed, func(hint func(which []int)) error {
		c, err := s.connect()
		if err != nil {
			return err
		}
		return stream.InTurn(ctx, s.order(), func(ctx context.Context, base *url.URL) (bool, error) {
			return follow(ctx, c, base, concerned, hint)
		})
	})
}

func follow(ctx context.Context, c *client, base *url.URL, concerned func(event) []int, hint func(which []int)) (connected bool, err error) {
	at := base.String() + "/v2/events?" + url.Values{"event_type": changes, "plan-format": {"light"}}.Encode()
	err = stream.Read(ctx, stream.Expected{Types: []string{eventStream}, Idle: idle}, func(ctx context.Context) (*http.Response, error) {
		return c.open(ctx, at, eventStream)
	}, func(body io.Reader) error {
		connected = true
		hint(nil)
		err := readEvents(body, func(e event) { hint(concerned(e)) })
		if err == nil {
			err = errors.New("the event stream ended, as it does when another Marathon takes the lead")
		}
		return err
	})
	return connected, err
}

const eventStream = "text/event-stream"

// event is an event of a stream. data is its beginning.
type event struct {
	kind string
	data []byte
}

// readEvents reads server-sent events (HTML standard, section 9.2) until the
// stream ends, of each line as much as is looked at.
func readEvents(r io.Reader, happened func(event)) error {
	lines := bufio.NewReaderSize(r, maxLine)
	var e event
	for {
		line, err := lines.ReadSlice('\n')
		whole := line
		if errors.Is(err, bufio.ErrBufferFull) {
			whole = bytes.Clone(line) // the rest is read into the same buffer
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil // without an end it is not an event
		case err != nil:
			return err
		}
		whole = bytes.TrimRight(whole, "\r\n")
		name, value, _ := bytes.Cut(whole, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(whole) == 0:
			if e.kind != "" || e.data != nil {
				happened(e)
			}
			e = event{}
		case string(name) == "event":
			e.kind = string(value)
		case string(name) == "data" && e.data == nil:
			e.data = bytes.Clone(value)
		}
	}
}

// wanted are the queries that are watched for, by the app that they ask for.
type wanted map[string][]int

// concerned are the queries whose answers may be others after the event, nil being
// any. Of a stream that is not filtered, as before Marathon 1.3.7, it is the
// filter.
func (w wanted) concerned(e event) []int {
	if e.kind != "" && !slices.Contains(changes, e.kind) {
		return []int{}
	}
	var about struct {
		AppID, RunSpecID, GroupID string
		AppDefinition             struct{ ID string }
		Plan                      struct {
			Steps []struct{ Actions []struct{ App, Pod string } }
		}
	}
	if json.Unmarshal(e.data, &about) != nil {
		return nil // too long, or of a form that we do not know
	}
	ids := []string{about.AppID, about.RunSpecID, about.AppDefinition.ID}
	for _, step := range about.Plan.Steps {
		for _, action := range step.Actions {
			id := cmp.Or(action.App, action.Pod)
			if id == "" {
				return nil
			}
			ids = append(ids, id)
		}
		if len(step.Actions) == 0 {
			return nil
		}
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" })
	if len(ids) == 0 && about.GroupID == "" {
		return nil
	}
	which := []int{}
	for _, id := range ids {
		which = append(which, w[path(id)]...)
	}
	if about.GroupID != "" {
		group := strings.TrimSuffix(path(about.GroupID), "/") + "/"
		for app, of := range w {
			if strings.HasPrefix(app, group) {
				which = append(which, of...)
			}
		}
	}
	return which
}

// path is an ID as queries have it.
func path(id string) string { return "/" + strings.TrimPrefix(id, "/") }
