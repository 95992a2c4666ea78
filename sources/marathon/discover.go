package marathon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources"
	"nitrox/sources/httpapi"
	"nitrox/sources/selector"
)

// CheckSelection implements [sources.Discoverer].
func (s *Source) CheckSelection(selection sources.Selection) error {
	return selector.Check(selection, func(group string) error {
		switch trimmed := strings.Trim(group, "/"); {
		case trimmed != group && trimmed != "":
			return fmt.Errorf("%q has a slash at its end; did you mean %q?", group, trimmed)
		case Query{App: "/" + group}.Check() != nil:
			return fmt.Errorf("%q cannot be the path of a group, such as shop or shop/eu", group)
		}
		return nil
	})
}

// Discover implements [sources.Discoverer]. It is one request for the definitions of all
// apps, as Marathon's own selectors cannot be combined.
func (s *Source) Discover(ctx context.Context, selections []sources.Selection) ([]sources.Findings, error) {
	if len(selections) == 0 {
		return nil, nil
	}
	selectors := make([]labels.Selector, len(selections))
	for i, one := range selections {
		parsed, err := selector.Parse(one.Select)
		if err != nil {
			return nil, err
		}
		selectors[i] = parsed
	}
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	perhaps := func(a *app) bool { // one without labels may have some that cannot be read
		return a.Labels == nil || slices.ContainsFunc(selectors, func(s labels.Selector) bool { return s.Matches(a.labels()) })
	}
	l, err := httpapi.InTurn(ctx, s.order(), func(ctx context.Context, base *url.URL) (*list, error) {
		return s.list(ctx, c, &snapshot{from: base}, "/v2/apps", perhaps)
	})
	if err != nil {
		return nil, err
	}
	findings := make([]sources.Findings, len(selections))
	for i, one := range selections {
		findings[i] = l.chosen(one.Namespaces, selectors[i])
	}
	return findings, nil
}

// chosen are the apps below some groups, or any, that a selector chooses. One that cannot
// be read is among them, unless it is known not to be.
func (l *list) chosen(groups []string, chosen labels.Selector) sources.Findings {
	below := func(id string) bool {
		return groups == nil || slices.ContainsFunc(groups, func(g string) bool { return strings.HasPrefix(path(id), "/"+g+"/") })
	}
	var found []sources.Found
	for id, a := range l.apps {
		if below(id) && l.odd[id] == nil && chosen.Matches(a.labels()) {
			found = append(found, a.found())
		}
	}
	for id, err := range l.odd {
		if f := identify(id); below(id) {
			f.Doubt = err
			found = append(found, f)
		}
	}
	return sources.NewFindings(found, l.nameless)
}

func (a *app) labels() labels.Set {
	set := labels.Set{}
	for name, raw := range a.Labels {
		set[name] = textOf(raw)
	}
	return set
}

// textOf is the value of a label; what is no text is as it is written.
func textOf(raw json.RawMessage) (text string) {
	if json.Unmarshal(raw, &text) != nil {
		return string(raw)
	}
	return text
}

// identify says which app it is: by its group and its name in that.
func identify(id string) sources.Found {
	id = path(id)
	end := strings.LastIndex(id, "/")
	return sources.Found{Namespace: strings.Trim(id[:end], "/"), Name: id[end+1:], What: "app " + sources.Excerpt(id)}
}

// found is what the owner of an app says of it.
func (a *app) found() sources.Found {
	f := identify(a.ID)
	var ports []port
	var errs [3]error
	f.Settings, errs[0] = sources.SettingsOf(a.labels())
	ports, errs[1] = a.ports()
	errs[2] = Query{App: path(a.ID)}.Check()
	f.Doubt = cmp.Or(errs[0], errs[1], errs[2])
	for i, p := range ports {
		f.Ports = append(f.Ports, p.choices(i, ports)...)
	}
	f.Query = func(port sources.Port, address string) (any, error) {
		if address != "" {
			return nil, &sources.KeyError{Key: "address", Err: errors.New("where a task is reached, Marathon tells; leave it out")}
		}
		if err := port.Check(); err != nil {
			return nil, &sources.KeyError{Key: "port", Err: err}
		}
		return Query{App: path(a.ID), Port: port}, nil
	}
	return f
}

// definitionChanges are those of the [changes] after which an app may be another, or have
// other labels.
var definitionChanges = []string{"event_stream_attached", "api_post_event", "app_terminated_event", "group_change_success",
	"deployment_success", "deployment_failed"}

// WatchFound implements [sources.Discoverer].
func (s *Source) WatchFound(ctx context.Context, _ []sources.Selection, changed func()) error {
	return s.watch(ctx, func([]int) { changed() }, func(e event) []int {
		if e.kind != "" && !slices.Contains(definitionChanges, e.kind) {
			return []int{}
		}
		return nil
	})
}
