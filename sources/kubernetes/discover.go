package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"nitrox/sources"
	"nitrox/sources/httpapi"
	"nitrox/sources/selector"
	"nitrox/sources/stream"
)

// pageFound is how many services a discovery asks for at a time, of which little is kept:
// one request for as many apps as one process serves.
const pageFound = 5000

// labelled is a service as a discovery wants it.
type labelled struct {
	Metadata struct {
		Name        string            `json:"name" proto:"1"`
		Namespace   string            `json:"namespace" proto:"3"`
		Labels      map[string]string `json:"labels" proto:"11"`
		Annotations map[string]string `json:"annotations" proto:"12"`
	} `json:"metadata" proto:"1"`
	Spec struct {
		Ports []servicePort `json:"ports" proto:"1"`
	} `json:"spec" proto:"2"`
}

// trim drops annotations that are not ours: most services have one with all that was
// applied, and tenants may write 256 KB.
func (l *labelled) trim() {
	maps.DeleteFunc(l.Metadata.Annotations, func(name, _ string) bool { return !strings.HasPrefix(name, sources.SettingPrefix) })
}

// CheckSelection implements [sources.Discoverer].
func (s *Source) CheckSelection(selection sources.Selection) error {
	return selector.Check(selection, func(namespace string) error {
		if len(validation.IsDNS1123Label(namespace)) > 0 {
			return fmt.Errorf("%q cannot be the name of a namespace, such as shop", namespace)
		}
		return nil
	})
}

// choice is one list: of what a selector chooses in some namespaces, or in all.
type choice struct {
	selector   labels.Selector
	namespaces []string // nil: all
	of         []int    // the selections that it is for
}

// in are the namespaces to read, by themselves or at once; "": all.
func (l choice) in() []string {
	if l.namespaces == nil {
		return []string{""}
	}
	return l.namespaces
}

// choices are the lists for selections: one for each selector, and another where it is
// for all namespaces, too.
func choices(selections []sources.Selection) (all []choice, err error) {
	at := map[string]int{}
	for i, s := range selections {
		parsed, err := selector.Parse(s.Select)
		if err != nil {
			return nil, err
		}
		key := fmt.Sprint(s.Namespaces == nil, parsed)
		if _, ok := at[key]; !ok {
			at[key], all = len(all), append(all, choice{selector: parsed})
		}
		l := &all[at[key]]
		l.of, l.namespaces = append(l.of, i), append(l.namespaces, s.Namespaces...)
	}
	for i := range all {
		slices.Sort(all[i].namespaces)
		all[i].namespaces = slices.Compact(all[i].namespaces)
	}
	return all, nil
}

// chosen is what was read of services.
type chosen struct {
	items []labelled
	bad   []misread
}

// Discover implements [sources.Discoverer]. It lists services, once for each selector; in
// several namespaces each by itself where they must not be listed cluster-wide.
func (s *Source) Discover(ctx context.Context, selections []sources.Selection) ([]sources.Findings, error) {
	lists, err := choices(selections)
	if err != nil {
		return nil, err
	}
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	findings := make([]sources.Findings, len(selections))
	inTurns(ctx, len(lists), 1, func(ctx context.Context, i int) {
		l := lists[i]
		parts, errs := spread(ctx, c, l.in(), 1, func(ctx context.Context, namespace string) (read chosen, err error) {
			p := pager[labelled]{c: c, resource: services, query: query{namespace: namespace, labelSelector: l.selector.String()}, limit: pageFound}
			read.items, err = p.all(ctx)
			read.bad = p.bad
			return read, l.unread(c, namespace, err)
		})
		for _, at := range l.of {
			findings[at] = l.findings(selections[at], parts, errs)
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return findings, nil
}

// unread adds to the error of a list what to do about it.
func (l choice) unread(c *client, namespace string, err error) error {
	switch {
	case err == nil:
		return nil
	case !httpapi.Forbidden(err):
	case l.namespaces == nil:
		err = fmt.Errorf("%w; give the account the verb list on services in all namespaces, or write those that it may list into namespaces", err)
	default:
		err = fmt.Errorf("%w; give the account the verb list on services there, or take namespace %s out of namespaces", err, namespace)
	}
	return c.explained(err)
}

// findings are those of a selection. It is a pure function of what was read.
func (l choice) findings(selection sources.Selection, parts []chosen, errs []error) sources.Findings {
	wanted := func(namespace string) bool {
		return l.namespaces == nil || slices.Contains(selection.Namespaces, namespace)
	}
	var found []sources.Found
	for i, part := range parts {
		if errs[i] != nil && (len(parts) == 1 || wanted(l.namespaces[i])) {
			return sources.NewFindings(nil, errs[i])
		}
		for _, b := range part.bad {
			f := identify(b.meta.Namespace, b.meta.Name)
			f.Doubt = fmt.Errorf("the answer cannot be read: %w", b.err)
			if err := l.asked(f, b.meta.Labels); err != nil {
				return sources.NewFindings(nil, err)
			}
			found = append(found, f)
		}
		for _, item := range part.items {
			f := item.found()
			if err := l.asked(f, item.Metadata.Labels); err != nil {
				return sources.NewFindings(nil, err)
			}
			found = append(found, f)
		}
	}
	found = slices.DeleteFunc(found, func(f sources.Found) bool { return !wanted(f.Namespace) })
	return sources.NewFindings(found, nil)
}

// asked says what is wrong with a list that has such a service: an app that has not opted
// in must not be served.
func (l choice) asked(f sources.Found, written map[string]string) error {
	switch {
	case Query{Service: key{f.Namespace, f.Name}.String()}.Check() != nil:
		return fmt.Errorf("the answer has a %s, which no service can be called; find out what answers there", f.What)
	case !l.selector.Matches(labels.Set(written)):
		return fmt.Errorf("the answer has %s, which select does not choose; find out what between here and the API server drops the query", f.What)
	}
	return nil
}

func identify(namespace, name string) sources.Found {
	return sources.Found{Namespace: namespace, Name: name, What: "service " + sources.Excerpt(key{namespace, name}.String())}
}

// found is what the owner of a service says of it.
func (l labelled) found() sources.Found {
	f := identify(l.Metadata.Namespace, l.Metadata.Name)
	f.Settings, f.Doubt = sources.SettingsOf(l.Metadata.Labels, l.Metadata.Annotations)
	for _, p := range l.Spec.Ports {
		port := p.Name
		if port == "" {
			port = fmt.Sprint(p.Port)
			if slices.ContainsFunc(l.Spec.Ports, func(o servicePort) bool { return o.Port == p.Port && o.protocol() != p.protocol() }) {
				port += "/" + string(p.protocol())
			}
		}
		f.Ports = append(f.Ports, sources.Port(port))
	}
	f.Query = func(port sources.Port, address string) (any, error) {
		q := Query{Service: key{f.Namespace, f.Name}.String(), Port: port, Address: Address(address)}
		if err := port.Check(); err != nil {
			return nil, &sources.KeyError{Key: "port", Err: err}
		}
		return q, q.Check()
	}
	return f
}

// WatchFound implements [sources.Discoverer]. It needs the verb watch on services. One
// that loses its label is deleted, as its stream has it.
func (s *Source) WatchFound(ctx context.Context, selections []sources.Selection, changed func()) error {
	lists, err := choices(selections)
	if err != nil {
		return err
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	told := func(kind string, _ json.RawMessage) ([]int, error) {
		if kind == bookmark {
			return none, nil
		}
		return nil, nil
	}
	err = stream.Hints(func([]int) { changed() }, func(hint func(which []int)) error {
		var all []*watched
		for _, l := range lists {
			watches, err := spreadWatches(ctx, c, l.in(), func(namespace string) []*watched {
				return []*watched{{resource: services, query: query{namespace: namespace, labelSelector: l.selector.String()}, told: told}}
			})
			if err != nil {
				return err
			}
			all = append(all, watches...)
		}
		return c.followAll(ctx, all, hint)
	})
	return c.ended(ctx, err)
}
