package netscaler

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"nitrox/sources/bounds"
)

const memberBinding = "servicegroup_servicegroupmember_binding"

// Read reads the members of the groups. What is wrong with one group is found under
// its name; any other trouble is the error, and then nothing is known of any.
func (c *Client) Read(ctx context.Context, names []string) (Groups, error) {
	all, err := kind[[]Member]{
		costs: &c.memberCosts, all: "the members of all service groups", one: c.readOne, bulk: c.readAll,
		rows: func(members []Member) int { return len(members) },
	}.read(ctx, c, names)
	return Groups{all}, err
}

// noBulk: the build cannot list across groups, or the user may not. The codes
// are those of arguments and actions that a release does not know.
func (e *Error) noBulk() bool {
	return e.Status == http.StatusForbidden ||
		slices.Contains([]int{codeNotAuthorized, codeNoPolicy, codeArgumentMissing, codeInvalidArgument, codeNoSuchArgument, codeInvalidAction}, e.Code)
}

// each finds out about every name, a few at a time, up to the first error.
func each[T any](ctx context.Context, names []string, ask func(context.Context, string) (finding[T], error)) (map[string]finding[T], error) {
	found := make([]finding[T], len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, name := range names {
		g.Go(func() (err error) {
			found[i], err = ask(ctx, name)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := make(map[string]finding[T], len(names))
	for i, name := range names {
		all[name] = found[i]
	}
	return all, nil
}

// lookUp reads objects by their names. What is wrong with one of them is found
// under its name; any other trouble is the error.
func lookUp[T any](ctx context.Context, names []string, read func(context.Context, string) (T, error)) (map[string]finding[T], error) {
	return each(ctx, slices.Compact(slices.Sorted(slices.Values(names))), looked(read))
}

// looked is read with the errors about the object in its finding.
func looked[T any](read func(context.Context, string) (T, error)) func(context.Context, string) (finding[T], error) {
	return func(ctx context.Context, name string) (finding[T], error) {
		value, err := read(ctx, name)
		switch {
		case err == nil:
			return found(value), nil
		case refused(err) != nil, errors.Is(err, errNameless):
			return unknown[T](err), nil
		}
		return finding[T]{}, err
	}
}

func (c *Client) readAll(ctx context.Context, names []string, limit int) (groups map[string]finding[[]Member], unwanted int, err error) {
	var lists map[string]*memberRows
	var others caseless
	_, err = c.do(ctx, get("config/"+memberBinding+"?bulkbindings=yes", func(r io.Reader) (reply, error) {
		lists = make(map[string]*memberRows, len(names))
		for _, name := range names {
			lists[name] = &memberRows{}
		}
		others, unwanted = caseless{}, 0
		before := 0 // members of the group before: most have about as many
		return decodeReply(r, memberBinding, rows(func(row *row) (int64, error) {
			name, escaped := unquoted(row.Group)
			if escaped {
				name = []byte(text(row.Group))
			}
			if len(name) == 0 {
				return 0, errors.New("a member without a servicegroupname")
			}
			if l := lists[string(name)]; l != nil {
				if l.members == nil {
					l.members = make([]Member, 0, min(before, 128))
				}
				kept := l.add(row)
				before = len(l.members)
				return kept, nil
			}
			if unwanted++; unwanted >= limit {
				return 0, errDear
			}
			return others.add(name), nil
		}))
	}))
	if err != nil {
		return nil, 0, err
	}
	groups = make(map[string]finding[[]Member], len(names))
	for name, l := range lists {
		groups[name] = l.finding(name)
		if l.members == nil && others.have(name) {
			if groups[name], err = c.readOne(ctx, name); err != nil {
				return nil, 0, err
			}
		}
	}
	return groups, unwanted, nil
}

// caseless are the names in a list that are not those asked for, in small letters.
// Whether NITRO tells names apart that differ in case only is not documented: what
// a list has under such a name may be what was asked for, and is asked for by name.
type caseless struct {
	names map[string]bool
	last  []byte // rows of one group follow each other
}

// add returns what it keeps, in bytes.
func (c *caseless) add(name []byte) int64 {
	if bytes.Equal(name, c.last) {
		return 0
	}
	if c.names == nil {
		c.names = map[string]bool{}
	}
	c.last = append(c.last[:0], name...)
	before := len(c.names)
	c.names[strings.ToLower(string(name))] = true
	if len(c.names) == before {
		return 0
	}
	return 100 + int64(len(name))
}

func (c *caseless) have(name string) bool { return c.names[strings.ToLower(name)] }

// another says that a row which was asked for by its name is not of that name. Old
// builds leave names out, and others write them in another case.
func another(raw []byte, name string) error {
	if got := text(raw); got != "" && !strings.EqualFold(got, name) {
		return fmt.Errorf("%w %q", errAnother, printable(got))
	}
	return nil
}

func (c *Client) readOne(ctx context.Context, name string) (finding[[]Member], error) {
	var members *memberRows
	_, err := c.do(ctx, get("config/"+memberBinding+"/"+segment(name), func(r io.Reader) (reply, error) {
		members = &memberRows{}
		return decodeReply(r, memberBinding, rows(func(row *row) (int64, error) {
			kept := members.add(row)
			members.err = cmp.Or(members.err, another(row.Group, name))
			return kept, nil
		}))
	}))
	if err != nil {
		return notFound[[]Member](name, err)
	}
	return members.finding(name), nil
}

// memberRows collects the members of one group. A row that cannot be told from
// any other member makes the whole group unknown: it may stand for one that
// serves.
type memberRows struct {
	members []Member
	err     error
}

// add gives back the memory that the member takes.
func (l *memberRows) add(r *row) int64 {
	m, err := r.member()
	if err != nil && l.err == nil {
		l.err = err
	}
	l.members = append(l.members, m)
	return memberSize + int64(len(m.Server)+len(m.NotOurs))
}

// memberSize is the memory that a member takes, beside its texts.
var memberSize = bounds.Size(Member{})

func (l *memberRows) finding(name string) finding[[]Member] {
	if l.err != nil {
		return unknown[[]Member](fmt.Errorf("read service group %s: %w: %w", name, errUnreadable, l.err))
	}
	return found(l.members)
}

// notFound is what a refusal of a call about the group name says of that group;
// other trouble is returned as the error.
func notFound[T any](name string, err error) (finding[T], error) {
	switch e := refused(err); {
	case errors.As(err, new(sessionError)):
		return finding[T]{}, err // it says nothing of the group
	case e == nil:
		return finding[T]{}, fmt.Errorf("read service group %s: %w", name, err)
	case e.Code == codeNoSuchResource, e.Status == http.StatusNotFound:
		return unknown[T](missing(name)), nil
	}
	return unknown[T](fmt.Errorf("read service group %s: %w", name, err)), nil
}

// attributes are what is asked of servicegroup. Builds before 13.0 do not have
// all, and say nothing of those.
const attributes = "servicegroupname,servicetype,state,autoscale,autodisablegraceful,autodisabledelay,td,comment"

// Attributes reads the attributes of the groups. What is wrong with one group is found
// under its name, [ErrNoGroup] if it does not exist; the error is trouble with the
// appliance as a whole.
func (c *Client) Attributes(ctx context.Context, names []string) (Attributes, error) {
	all, err := kind[Attrs]{
		costs: &c.attrCosts, all: "the attributes of all service groups", one: c.attributes, bulk: c.allAttributes,
		rows: func(Attrs) int { return 1 },
	}.read(ctx, c, names)
	return Attributes{all}, err
}

func (c *Client) allAttributes(ctx context.Context, names []string, limit int) (all map[string]finding[Attrs], unwanted int, err error) {
	rows, err := c.detail(ctx, attributes, "", len(names)+limit)
	if err != nil {
		return nil, 0, err
	}
	all = make(map[string]finding[Attrs], len(names))
	var others caseless
	for name := range rows {
		others.add([]byte(name))
	}
	for _, name := range names {
		a, ok := rows[name]
		switch {
		case ok:
			all[name] = found(a)
		case others.have(name):
			if all[name], err = c.attributes(ctx, name); err != nil {
				return nil, 0, err
			}
		default:
			all[name] = unknown[Attrs](missing(name))
		}
	}
	return all, max(len(rows)-len(names), 0), nil
}

func (c *Client) attributes(ctx context.Context, name string) (finding[Attrs], error) {
	rows, err := c.detail(ctx, attributes, name, 1<<30)
	if err != nil {
		return notFound[Attrs](name, err)
	}
	err = errNameless
	var attrs Attrs
	for other, a := range rows { // the name may come back in another case
		if err = another([]byte(other), name); err != nil {
			break
		}
		attrs = a
	}
	if err != nil {
		return unknown[Attrs](fmt.Errorf("read service group %s: %w", name, err)), nil
	}
	return found(attrs), nil
}

// GroupNames are those of all service groups.
func (c *Client) GroupNames(ctx context.Context) ([]string, error) {
	rows, err := c.detail(ctx, "servicegroupname", "", 1<<30)
	return slices.Sorted(maps.Keys(rows)), err
}

// detail reads one group's attributes, or those of all if name is empty, which must be
// fewer than limit. A build that refuses to give some of them gives all.
func (c *Client) detail(ctx context.Context, attrs, name string, limit int) (map[string]Attrs, error) {
	path := "config/servicegroup"
	if name != "" {
		path += "/" + segment(name)
	}
	if !c.noAttrs.Load() {
		rows, err := c.readAttrs(ctx, path+"?attrs="+attrs, limit)
		e := refused(err)
		if e == nil || !e.unknownArgument() {
			return rows, err
		}
		c.noAttrs.Store(true)
	}
	return c.readAttrs(ctx, path, limit)
}

func (c *Client) readAttrs(ctx context.Context, path string, limit int) (rows map[string]Attrs, err error) {
	_, err = c.do(ctx, get(path, func(r io.Reader) (reply, error) {
		rows = map[string]Attrs{}
		return decodeReply(r, "servicegroup", list(func(dec *bounds.Decoder) (int64, error) {
			var g struct {
				Name     json.RawMessage `json:"servicegroupname"`
				Type     json.RawMessage `json:"servicetype"`
				State    json.RawMessage `json:"state"`
				Mode     json.RawMessage `json:"autoscale"`
				Graceful json.RawMessage `json:"autodisablegraceful"`
				Delay    json.RawMessage `json:"autodisabledelay"`
				TD       json.RawMessage `json:"td"`
				Comment  json.RawMessage `json:"comment"`
			}
			if err := dec.Decode(&g); err != nil {
				return 0, err
			}
			if text(g.Name) == "" {
				return 0, errors.New("a service group without a servicegroupname")
			}
			a := Attrs{
				ServiceType:   strings.ToUpper(text(g.Type)),
				Autoscale:     strings.ToUpper(text(g.Mode)),
				Disabled:      is(plain(g.State), "DISABLED"),
				DrainGraceful: is(plain(g.Graceful), "YES"),
				Comment:       text(g.Comment),
			}
			if a.Autoscale == "" {
				a.Autoscale = "DISABLED"
			}
			if n, err := number(g.Delay); err == nil {
				a.DrainDelay = time.Duration(min(max(n, 0), 1<<31)) * time.Second
			}
			if a.TD, err = domain(g.TD); err != nil {
				return 0, err
			}
			if rows[text(g.Name)] = a; len(rows) >= limit {
				return 0, errDear
			}
			return bounds.Size(a) + 2*int64(len(g.Name)), nil
		}))
	}))
	return rows, err
}

// list reads a list, one value at a time; value gives back how much memory is kept
// of it. NITRO leaves out the key of an empty list; null in its place, or in the
// place of a value, is not an answer.
func list(value func(*bounds.Decoder) (int64, error)) reading {
	return reading{bounds.List(bounds.Whole), func(dec *bounds.Decoder) error {
		kept := keeping{dec: dec}
		return dec.List(func() error { return kept.add(value(dec)) })
	}}
}

// rows is list for members, each of which is to be read before the next.
func rows(value func(*row) (int64, error)) reading {
	return reading{bounds.RowsOf[row](), func(dec *bounds.Decoder) error {
		kept := keeping{dec: dec}
		return bounds.Rows(dec, func(r *row) error { return kept.add(value(r)) })
	}}
}

// keeping is how much memory what is kept of an answer takes.
type keeping struct {
	dec   *bounds.Decoder
	bytes int64
}

func (k *keeping) add(bytes int64, err error) error {
	if k.bytes += bytes; err != nil {
		return err
	}
	return k.dec.Keep(k.bytes)
}

// segment is a name in a path. NITRO decodes it twice ("NITRO documentation,
// performing basic appliance operations").
func segment(name string) string { return encode(encode(name)) }

// encode is [url.QueryEscape] with %20 for a space, which is right in paths
// and in queries.
func encode(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
