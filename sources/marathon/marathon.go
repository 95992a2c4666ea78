// Package marathon finds the endpoints of apps that Marathon runs on Mesos.
//
// An app is named by its path, and its port by an index, a service port, a
// container's port or a name. A task is reached at a port of its agent
// whenever it has one, since the NetScaler is outside the cluster; where only
// the container has the port, at the container's address, which must then be
// routable.
//
// A poll is one request for all apps, or one for each of few: with their tasks,
// health, deployments and readiness in one snapshot. Only an app that is not in the
// answer costs more: it may be hidden rather than gone.
package marathon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"nitrox/sources"
	"nitrox/sources/httpapi"
)

// Source is a Marathon, or several of one cluster. It implements
// [sources.Source], [sources.Watcher] and [sources.Discoverer].
type Source struct {
	// Transport, if it is set before the first poll, carries all requests;
	// tests call a Marathon in process by it. It is not for credentials or TLS,
	// which are in the configuration.
	Transport http.RoundTripper

	config  Config
	base    []*url.URL
	maxBody int64
	names   names
	dcos    *dcos

	// What is kept between polls; it makes them faster, or more careful.
	mu        sync.Mutex
	files     httpapi.PEM // of transport
	transport *http.Transport
	first     *url.URL // to be asked first: the leader, or who answered
	leader    string
	listed    int       // apps in the last list of all; 0: there was none
	elected   time.Time // of the leader, as far as it was seen; zero: long ago
}

// Open makes a source, and contacts nothing.
func Open(config Config) (*Source, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	s := &Source{config: config, maxBody: maxBody, names: names{lookup: net.DefaultResolver.LookupNetIP}}
	for _, text := range config.URLs {
		u, err := parseURL(text)
		if err != nil {
			return nil, err
		}
		s.base = append(s.base, u)
	}
	if config.ServiceAccountFile != "" {
		s.dcos = &dcos{}
	}
	return s, nil
}

// snapshot is a Marathon's answer about the apps that are wanted.
type snapshot struct {
	*list
	from    *url.URL
	now     time.Time // by the clock of Marathon
	leader  string    // its URL; "": not said
	elected time.Time // when it was; zero: long ago
}

// Poll asks the Marathons in turn until one answers, the leader first where it
// is known.
func (s *Source) Poll(ctx context.Context, queries []Query, fresh bool) ([]sources.Answer, error) {
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool)
	for _, q := range queries {
		wanted[q.App] = true
	}
	var vain []*url.URL
	snap, err := httpapi.InTurn(ctx, s.order(), func(ctx context.Context, base *url.URL) (*snapshot, error) {
		snap, err := s.ask(ctx, c, base, wanted)
		if err != nil {
			vain = append(vain, base)
		}
		return snap, err
	})
	if err != nil {
		return nil, err
	}
	snap.elected = s.note(snap, vain)
	return s.answers(ctx, c, snap, queries, fresh), nil
}

// connect makes a client for a poll. The connections of the poll before are
// used again unless the CA file has changed.
func (s *Source) connect() (*client, error) {
	transport, err := s.carrier()
	if err != nil {
		return nil, err
	}
	if s.dcos != nil {
		s.dcos.use(transport)
	}
	return newClient(transport, s.base, credentials{s.config, s.dcos}, s.maxBody), nil
}

// carrier is what carries requests.
func (s *Source) carrier() (http.RoundTripper, error) {
	if s.Transport != nil {
		return s.Transport, nil
	}
	certificates := s.config.certificates()
	files, err := certificates.Read()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transport != nil && s.files == files {
		return s.transport, nil
	}
	config, err := certificates.TLS(files)
	if err != nil {
		return nil, err
	}
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	s.transport, s.files = httpapi.NewTransport(config), files
	return s.transport, nil
}

// order is that in which the Marathons are asked.
func (s *Source) order() []*url.URL {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := slices.Clone(s.base)
	slices.SortStableFunc(order, func(x, y *url.URL) int {
		switch {
		case x == s.first && y != s.first:
			return -1
		case y == s.first && x != s.first:
			return 1
		}
		return 0
	})
	return order
}

// byID says whether it costs less to ask for n apps one by one than for all, of
// which there were so many the last time: to ask takes about as long as to list
// eight. 0: nobody knows yet, and a list of all tells; one app costs one request in
// either way.
func byID(n, apps int) bool { return n <= 16 && 8*n <= cmp.Or(apps, 8) }

// ask asks for the apps that are wanted or, where these are many, for all; also
// where one is missing: only all of them tell what it may be called.
func (s *Source) ask(ctx context.Context, c *client, base *url.URL, wanted map[string]bool) (*snapshot, error) {
	snap := &snapshot{from: base}
	if byID(len(wanted), s.apps()) {
		some := newList()
		for id := range wanted {
			// Its answer is of all apps whose IDs have this one's in them.
			one, err := s.list(ctx, c, snap, everything+"&id="+url.QueryEscape(id), named(map[string]bool{id: true}))
			if err != nil {
				return nil, err
			}
			maps.Copy(some.apps, one.apps)
			maps.Copy(some.odd, one.odd)
		}
		missing := func(id string) bool { return some.apps[id] == nil && some.odd[id] == nil }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(wanted)), missing) {
			snap.list = some
			return snap, nil
		}
	}
	all, err := s.list(ctx, c, snap, everything, named(wanted))
	if err != nil {
		return nil, err
	}
	snap.list = all
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = len(all.apps) + len(all.odd) + len(all.others)
	return snap, nil
}

// apps is how many there were in the last list of all; 0: not known.
func (s *Source) apps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}

// everything asks for all apps, with all that a poll wants to know of them.
const everything = "/v2/apps?embed=apps.tasks&embed=apps.deployments&embed=apps.readiness"

// list makes one request for apps, and keeps those that are wanted.
func (s *Source) list(ctx context.Context, c *client, snap *snapshot, path string, wanted among) (l *list, err error) {
	err = c.get(ctx, snap.from.String()+path, func(resp *http.Response, body io.Reader) (err error) {
		switch resp.StatusCode {
		case http.StatusOK:
		case http.StatusNotFound:
			return fmt.Errorf("%w; no Marathon answers GET %s/v2/apps like this: correct its URL", httpapi.NewStatusError(resp), snap.from)
		case http.StatusUnauthorized:
			return fmt.Errorf("%w; %s", httpapi.NewStatusError(resp), c.auth.renew())
		default:
			return httpapi.NewStatusError(resp)
		}
		if snap.now, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
			snap.now = time.Now() // a proxy has cut it off
		}
		snap.leader = resp.Header.Get("X-Marathon-Leader")
		l, err = read(body, wanted)
		return err
	})
	return l, err
}

// note remembers who leads, and since when, and who is to be asked first: a new
// leader, unless it is one of those that were asked in vain, or who answered.
func (s *Source) note(snap *snapshot, vain []*url.URL) (elected time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = snap.from
	if snap.leader == "" || snap.leader == s.leader {
		return s.elected
	}
	if s.leader != "" {
		s.elected = snap.now
	}
	s.leader = snap.leader
	if u, err := url.Parse(snap.leader); err == nil {
		for _, base := range s.base {
			if base.Scheme == u.Scheme && base.Host == strings.ToLower(u.Host) && !slices.Contains(vain, base) {
				s.first = base
			}
		}
	}
	return s.elected
}

// answers turns a snapshot into the answers to the queries.
func (s *Source) answers(ctx context.Context, c *client, snap *snapshot, queries []Query, fresh bool) []sources.Answer {
	all := make([]found, len(queries))
	missing := make(map[string]error)
	var hosts []string
	for i, q := range queries {
		a := snap.apps[q.App]
		switch {
		case snap.odd[q.App] != nil:
			all[i].Doubt(snap.odd[q.App])
			continue
		case a == nil:
			if _, asked := missing[q.App]; !asked {
				missing[q.App] = s.missing(ctx, c, snap, q.App)
			}
			all[i].Doubt(missing[q.App])
			continue
		}
		all[i] = a.find(q, snap.now, snap.elected)
		for _, candidate := range all[i].candidates {
			hosts = append(hosts, candidate.at.host)
		}
	}
	slices.Sort(hosts)
	addresses, failed := s.names.addresses(ctx, slices.Compact(hosts), fresh)
	answers := make([]sources.Answer, len(queries))
	for i, f := range all {
		answers[i] = f.answer(queries[i].App, addresses, failed)
	}
	return answers
}

// missing says why an app is not in Marathon's list. The list leaves out what
// one may not see as if it were not there; asked for its tasks Marathon tells
// the two apart.
func (s *Source) missing(ctx context.Context, c *client, snap *snapshot, id string) error {
	if snap.nameless != nil {
		return snap.nameless // it may be this one
	}
	if !c.auth.given() {
		return s.absent(ctx, c, snap, id) // nobody to hide it from
	}
	err := c.get(ctx, snap.from.String()+"/v2/apps"+id+"/tasks", func(resp *http.Response, body io.Reader) error {
		switch resp.StatusCode {
		case http.StatusOK:
			return errors.New("it is not in Marathon's list, yet it has tasks")
		case http.StatusForbidden:
			return fmt.Errorf("it is hidden from these credentials: %w", httpapi.NewStatusError(resp))
		case http.StatusNotFound:
		default:
			return httpapi.NewStatusError(resp)
		}
		text, err := io.ReadAll(io.LimitReader(body, 64<<10))
		if err != nil {
			return err
		}
		if httpapi.Message(text) == "" {
			return fmt.Errorf("%d, but not from Marathon: %s", resp.StatusCode, sources.Excerpt(text))
		}
		return sources.ErrAbsent
	})
	if errors.Is(err, sources.ErrAbsent) {
		return s.absent(ctx, c, snap, id)
	}
	return fmt.Errorf("it is not known whether it is absent: %w", err)
}

// absent is the doubt about an app that Marathon does not have, unless it has a
// pod of that name: pods are listed elsewhere.
func (s *Source) absent(ctx context.Context, c *client, snap *snapshot, id string) error {
	err := c.get(ctx, snap.from.String()+"/v2/pods"+id, func(resp *http.Response, body io.Reader) error {
		switch resp.StatusCode {
		case http.StatusOK:
			var pod struct{ ID string }
			if err := json.NewDecoder(body).Decode(&pod); err != nil || pod.ID != id {
				return errors.New("it is not an app, and it is not known whether it is a pod: the answer to that does not describe one")
			}
			return errors.New("it is a pod, and pods are not read; only Marathon's apps are")
		case http.StatusNotFound:
			return sources.Absent("Marathon app", id, snap.others)
		}
		return fmt.Errorf("it is not an app, and it is not known whether it is a pod: %w", httpapi.NewStatusError(resp))
	})
	return err
}
