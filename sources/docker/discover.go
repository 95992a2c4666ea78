package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"nitrox/sources"
	"nitrox/sources/selector"
)

// chooser is a selection that a daemon can filter by.
type chooser struct {
	labels.Selector
	filter client.Filters
	naming string // the label whose value names an app on an engine; "": Compose does
}

// parseSelect reads what Docker can filter by: labels, each with its value or with any.
func parseSelect(text string) (c chooser, err error) {
	if c.Selector, err = selector.Parse(text); err != nil {
		return c, err
	}
	c.filter = make(client.Filters)
	requirements, _ := c.Requirements()
	for _, r := range requirements {
		switch values := r.ValuesUnsorted(); {
		case r.Operator() == selection.Exists && c.naming == "":
			c.naming = r.Key()
			c.filter.Add("label", r.Key())
		case len(values) == 1 && slices.Contains([]selection.Operator{selection.Equals, selection.DoubleEquals, selection.In}, r.Operator()):
			c.filter.Add("label", r.Key()+"="+values[0])
		default:
			return c, errors.New("a daemon chooses by labels and their values, such as nitrox=on, and by one label with any value, such as nitrox")
		}
	}
	return c, nil
}

// CheckSelection implements [sources.Discoverer].
func (s *Source) CheckSelection(selection sources.Selection) error {
	var problems sources.Problems
	if _, err := parseSelect(selection.Select); err != nil {
		problems.Add("select", "%w", err)
	}
	if selection.Namespaces != nil {
		problems.Add("namespaces", "Docker has no namespaces; leave it out")
	}
	return problems.Err()
}

// Discover implements [sources.Discoverer]. It lists the services of a swarm, or the
// containers of engines, by their labels: a request for each selector.
func (s *Source) Discover(ctx context.Context, selections []sources.Selection) ([]sources.Findings, error) {
	if len(selections) == 0 {
		return nil, nil
	}
	choosers := make([]chooser, len(selections))
	for i, one := range selections {
		var err error
		if choosers[i], err = parseSelect(one.Select); err != nil {
			return nil, err
		}
	}
	return inTurn(ctx, s.hosts, func(ctx context.Context, _ *host, c *connection) ([]sources.Findings, error) {
		return discover(ctx, c, choosers)
	})
}

func discover(ctx context.Context, c *connection, choosers []chooser) (findings []sources.Findings, err error) {
	incomplete, err := unreached(ctx, c)
	if err != nil {
		return nil, err
	}
	choose := chooser.containers
	if c.kind == Swarm {
		choose = chooser.services
	}
	known := map[string]sources.Findings{}
	for _, one := range choosers {
		text := one.String()
		if f, ok := known[text]; ok {
			findings = append(findings, f)
			continue
		}
		found, err := choose(one, ctx, c)
		if err != nil {
			return nil, err
		}
		doubt := incomplete
		if len(found) == 0 && c.kind == Engine && c.guessed { // as looks a manager that has left its swarm
			doubt = errors.New("no container of this engine is chosen, and it is not the manager of a swarm " +
				"that might have services; set kind to say what it is")
		}
		known[text] = sources.NewFindings(found, doubt)
		findings = append(findings, known[text])
	}
	return findings, nil
}

// errDropped is about what did not opt in, and must not be served.
var errDropped = fmt.Errorf("%w; find out what between here and the daemon drops filters", errUnfiltered)

// services are those of a swarm that have the labels: whoever may make or name one is the
// swarm's manager.
func (choose chooser) services(ctx context.Context, c *connection) (found []sources.Found, err error) {
	list, err := readServices(ctx, c, client.ServiceListOptions{Filters: choose.filter}, every[service])
	for _, s := range list {
		f := sources.Found{Name: s.Spec.Name, What: "service " + s.Spec.Name, Query: Query{Service: s.Spec.Name}.at}
		switch {
		case !appName.MatchString(s.Spec.Name):
			return nil, fmt.Errorf("the list of services has one with the name %q, which none can have; find out what answers there",
				sources.Excerpt(s.Spec.Name))
		case !choose.Matches(labels.Set(s.Spec.Labels)):
			return nil, errDropped
		}
		f.Settings, f.Doubt = sources.SettingsOf(s.Spec.Labels)
		if s.bad != nil {
			f.Doubt = fmt.Errorf("it cannot be read: %w", s.bad)
		}
		o := offer{}
		for _, port := range s.Endpoint.Ports {
			o.add(Query{}, port.TargetPort, port.Protocol)
		}
		f.Ports = o.ports()
		found = append(found, f)
	}
	return found, err
}

// ports are those of an offer of one query.
func (o offer) ports() (all []sources.Port) {
	for _, l := range o.listed() {
		all = append(all, sources.Port(l.Port))
	}
	return all
}

// at is the query for a port, as its owner may ask for it.
func (q Query) at(port sources.Port, address string) (any, error) {
	if address != "" {
		return nil, &sources.KeyError{Key: "address", Err: errors.New("where a container is reached, Docker tells; leave it out")}
	}
	if err := port.Check(); err != nil {
		return nil, &sources.KeyError{Key: "port", Err: err}
	}
	q.Port = port
	return q, q.Check()
}

// Names of apps on an engine. Those of Compose's projects have no dots, so that no other
// project and service make up the same name.
var (
	projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	appName     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
)

// identify says of which app a container is. One that has a label from its image is none's:
// the image's maker is not who started it.
func (choose chooser) identify(c container.Summary, i image) sources.Found {
	var q Query
	f := sources.Found{}
	alone := func(format string, args ...any) sources.Found { // by a name that no app has
		name := sources.Excerpt(containerName(c))
		return sources.Found{Name: name, What: name, Doubt: fmt.Errorf(format, args...)}
	}
	project, service, value := c.Labels[composeProject], c.Labels[composeService], c.Labels[choose.naming]
	switch {
	case choose.naming != "" && appName.MatchString(value):
		q = Query{Label: choose.naming + "=" + value}
		f.Name, f.What = value, "app "+q.Label
	case choose.naming != "":
		return alone("its label %s is %q; give it the name of an app, such as web", choose.naming, sources.Excerpt(value))
	case projectName.MatchString(project) && appName.MatchString(service):
		q = Query{Service: project + "/" + service}
		f.Name, f.What = project+"."+service, "Compose service "+q.Service
	default:
		return alone("it is not known of which app it is, as Docker Compose did not start it; " +
			"let select be a label without a value, and give the container that label with the app's name as its value")
	}
	requirements, _ := choose.Requirements()
	why := lookalike(q, c, i.labels)
	for _, r := range requirements {
		why = cmp.Or(why, lookalike(Query{Label: r.Key() + "=" + c.Labels[r.Key()]}, c, i.labels))
	}
	if why != "" {
		return alone("%s", why)
	}
	f.Query = q.at
	var borrowed, unread error
	if i.err != nil {
		unread = fmt.Errorf("%s: it is not known whether its labels are its own or its image's: %w", containerName(c), i.err)
	}
	for key, value := range i.labels {
		if strings.HasPrefix(key, sources.SettingPrefix) && c.Labels[key] == value {
			borrowed = fmt.Errorf("%s: its label %s comes from its image; take it out of the image, and give it to the container",
				containerName(c), sources.Excerpt(key))
		}
	}
	f.Settings, f.Doubt = sources.SettingsOf(c.Labels)
	f.Doubt = cmp.Or(unread, borrowed, f.Doubt)
	return f
}

// containers are the apps of an engine, or of several, whose containers have the labels.
// Whoever starts containers there may call an app as they like.
func (choose chooser) containers(ctx context.Context, c *connection) ([]sources.Found, error) {
	list, bad, err := listContainers(ctx, c, choose.filter, every[container.Summary])
	switch {
	case err != nil:
		return nil, err
	case slices.ContainsFunc(list, func(c container.Summary) bool { return !choose.Matches(labels.Set(c.Labels)) }):
		return nil, errDropped
	}
	list = slices.DeleteFunc(list, func(c container.Summary) bool { return strings.EqualFold(c.Labels[composeOneOff], "true") })
	known, err := c.images.read(ctx, c, map[string][]container.Summary{"": list})
	if err != nil {
		return nil, err
	}
	for _, b := range bad {
		if !choose.Matches(labels.Set(b.Labels)) {
			return nil, errDropped
		}
		b.ImageID = b.ID // of which nothing is known
		known[b.ID] = image{err: fmt.Errorf("it cannot be read: %w", b.err)}
		list = append(list, b.Summary)
	}
	apps, offers := map[string]*sources.Found{}, map[string]offer{}
	for _, item := range list {
		f := choose.identify(item, known[imageOf(item)])
		app := apps[f.Name]
		switch {
		case app == nil:
			app = &f
			apps[f.Name], offers[f.Name] = app, offer{}
		case app.Doubt == nil && f.Doubt == nil && !maps.Equal(app.Settings, f.Settings):
			app.Doubt = fmt.Errorf("%s has other labels %s... than the rest; give all containers of the app the same ones",
				containerName(item), sources.SettingPrefix)
		default:
			app.Doubt = cmp.Or(app.Doubt, f.Doubt)
		}
		for _, port := range item.Ports {
			if port.PublicPort != 0 {
				offers[f.Name].add(Query{}, uint32(port.PrivatePort), network.IPProtocol(port.Type))
			}
		}
	}
	found := make([]sources.Found, 0, len(apps))
	for name, app := range apps {
		app.Ports = offers[name].ports()
		found = append(found, *app)
	}
	return found, nil
}

// optingIn are those of the [changes] after which other apps may have opted in.
var optingIn = map[string][]string{"container": {"start", "destroy"}, "service": changes["service"], "swarm": changes["swarm"]}

// WatchFound implements [sources.Discoverer].
func (s *Source) WatchFound(ctx context.Context, _ []sources.Selection, changed func()) error {
	return s.watch(ctx, nil, true, func([]int) { changed() })
}
