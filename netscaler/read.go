package netscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// fewGroups are read one by one: cheaper than all members of a large box.
	fewGroups = 4
	// readers is how many groups are read at a time where the build cannot
	// list them all. The appliance has 20 connections for everybody
	// ("NITRO documentation, connection management").
	readers = 4
)

const memberBinding = "servicegroup_servicegroupmember_binding"

// Read reads the members of the groups: up to four by name, more in one call
// for the whole appliance. The result has an entry for every group asked for.
//
// Trouble with one group is its Err: [ErrNoGroup], or a refusal. Any other
// trouble is the error, and there is no result then. The one call does not
// tell a group without members from one that does not exist: both have no
// members and nil Attrs, and [Client.Detail] tells them apart.
func (c *Client) Read(ctx context.Context, groups []string) (map[string]*Group, error) {
	groups = slices.Compact(slices.Sorted(slices.Values(groups)))
	if len(groups) > fewGroups && !c.noBulk.Load() {
		all, err := c.readAll(ctx, groups)
		if err == nil {
			return all, nil
		}
		if e := refused(err); e == nil || !e.noBulk() {
			return nil, fmt.Errorf("read the members of all service groups: %w", err)
		}
		c.noBulk.Store(true)
		c.log.WarnContext(ctx, "the NetScaler refuses to list all members at once; service groups are read one by one", "error", err)
	}
	result := make(map[string]*Group, len(groups))
	for _, name := range groups {
		result[name] = &Group{}
	}
	err := each(ctx, groups, func(ctx context.Context, name string) error {
		return c.readOne(ctx, name, result[name])
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// noBulk: the build cannot list across groups, or the user may not. The codes
// are those of arguments and actions that a release does not know.
func (e *Error) noBulk() bool {
	return e.Status == http.StatusForbidden ||
		slices.Contains([]int{codeNotAuthorized, codeNoPolicy, codeArgumentMissing, codeInvalidArgument, codeNoSuchArgument, codeInvalidAction}, e.Code)
}

// each calls f for every name, a few at a time, up to the first error.
func each(ctx context.Context, names []string, f func(context.Context, string) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for _, name := range names {
		g.Go(func() error { return f(ctx, name) })
	}
	return g.Wait()
}

func (c *Client) readAll(ctx context.Context, names []string) (groups map[string]*Group, err error) {
	_, err = c.do(ctx, get("config/"+memberBinding+"?bulkbindings=yes", func(r io.Reader) (reply, error) {
		groups = make(map[string]*Group, len(names))
		for _, name := range names {
			groups[name] = &Group{}
		}
		var row row
		return decodeReply(r, memberBinding, list(func(dec *json.Decoder) error {
			if err := row.read(dec); err != nil {
				return err
			}
			name, escaped := unquoted(row.Group)
			if escaped {
				name = []byte(text(row.Group))
			}
			if len(name) == 0 {
				return errors.New("a member without a servicegroupname")
			}
			if g := groups[string(name)]; g != nil {
				g.Members = append(g.Members, row.member())
			}
			return nil
		}))
	}))
	return groups, err
}

func (c *Client) readOne(ctx context.Context, name string, g *Group) error {
	var members []Member
	_, err := c.do(ctx, get("config/"+memberBinding+"/"+segment(name), func(r io.Reader) (reply, error) {
		members = nil
		var row row
		return decodeReply(r, memberBinding, list(func(dec *json.Decoder) error {
			if err := row.read(dec); err != nil {
				return err
			}
			members = append(members, row.member())
			return nil
		}))
	}))
	if err == nil {
		g.Members = members
		return nil
	}
	return g.fail(name, err)
}

// fail keeps a refusal of a call about the group name with the group, and
// returns all other trouble.
func (g *Group) fail(name string, err error) error {
	switch e := refused(err); {
	case e == nil:
		return fmt.Errorf("read service group %s: %w", name, err)
	case e.Code == codeNoSuchResource, e.Status == http.StatusNotFound:
		g.Err = missing(name)
	default:
		g.Err = fmt.Errorf("read service group %s: %w", name, err)
	}
	return nil
}

// attributes are what is asked of servicegroup. Builds before 13.0 do not have
// all, and say nothing of those.
const attributes = "servicegroupname,servicetype,state,autoscale,autodisablegraceful,autodisabledelay"

// Detail reads the attributes of the groups into their Attrs: up to four by
// name, more in one call for the whole appliance. A group that does not exist
// gets an Err that wraps [ErrNoGroup]; one that has an Err already is left
// alone. The error is trouble with the appliance as a whole.
func (c *Client) Detail(ctx context.Context, groups map[string]*Group) error {
	var names []string
	for name, g := range groups {
		if g.Err == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > fewGroups {
		found, err := c.detail(ctx, "")
		if err == nil {
			for _, name := range names {
				if groups[name].Attrs = found[name]; found[name] == nil {
					groups[name].Err = missing(name)
				}
			}
			return nil
		}
		if e := refused(err); e == nil || !e.noBulk() {
			return fmt.Errorf("read the attributes of all service groups: %w", err)
		}
	}
	return each(ctx, names, func(ctx context.Context, name string) error {
		g := groups[name]
		found, err := c.detail(ctx, name)
		if err != nil {
			return g.fail(name, err)
		}
		for _, a := range found { // the name may come back in another case
			g.Attrs = a
		}
		if g.Attrs == nil {
			g.Err = missing(name)
		}
		return nil
	})
}

// detail reads one group's attributes, or those of all if name is empty.
func (c *Client) detail(ctx context.Context, name string) (map[string]*Attrs, error) {
	path := "config/servicegroup"
	if name != "" {
		path += "/" + segment(name)
	}
	if !c.noAttrs.Load() {
		found, err := c.readAttrs(ctx, path+"?attrs="+attributes)
		e := refused(err)
		if e == nil || e.Code != codeInvalidArgument && e.Code != codeNoSuchArgument {
			return found, err
		}
		c.noAttrs.Store(true)
	}
	return c.readAttrs(ctx, path)
}

func (c *Client) readAttrs(ctx context.Context, path string) (found map[string]*Attrs, err error) {
	_, err = c.do(ctx, get(path, func(r io.Reader) (reply, error) {
		found = map[string]*Attrs{}
		return decodeReply(r, "servicegroup", list(func(dec *json.Decoder) error {
			var g struct {
				Name     json.RawMessage `json:"servicegroupname"`
				Type     json.RawMessage `json:"servicetype"`
				State    json.RawMessage `json:"state"`
				Mode     json.RawMessage `json:"autoscale"`
				Graceful json.RawMessage `json:"autodisablegraceful"`
				Delay    json.RawMessage `json:"autodisabledelay"`
			}
			if err := dec.Decode(&g); err != nil {
				return err
			}
			a := &Attrs{
				ServiceType:   strings.ToUpper(text(g.Type)),
				Autoscale:     strings.ToUpper(text(g.Mode)),
				Disabled:      is(plain(g.State), "DISABLED"),
				DrainGraceful: is(plain(g.Graceful), "YES"),
			}
			if a.Autoscale == "" {
				a.Autoscale = "DISABLED"
			}
			if n, err := number(g.Delay); err == nil {
				a.DrainDelay = time.Duration(min(max(n, 0), 1<<31)) * time.Second
			}
			found[text(g.Name)] = a
			return nil
		}))
	}))
	return found, err
}

// list reads a list, one value at a time.
func list(value func(*json.Decoder) error) func(*json.Decoder) error {
	return func(dec *json.Decoder) error {
		switch start, err := dec.Token(); {
		case err != nil:
			return err
		case start == nil:
			return nil
		case start != json.Delim('['):
			return fmt.Errorf("%q where a list is due", printable(fmt.Sprint(start)))
		}
		for dec.More() {
			if err := value(dec); err != nil {
				return err
			}
		}
		_, err := dec.Token()
		return err
	}
}

// segment is a name in a path. NITRO decodes it twice ("NITRO documentation,
// performing basic appliance operations").
func segment(name string) string { return encode(encode(name)) }

// encode is [url.QueryEscape] with %20 for a space, which is right in paths
// and in queries.
func encode(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
