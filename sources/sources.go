// Package sources says what a source is: something that knows where an app's
// containers accept traffic right now. Each folder below is one cluster
// manager; [nitrox/sources/all] lists them.
//
// One rule is above all others: unknown is not empty. An answer is either the
// whole truth or it carries a doubt, and a doubtful answer never removes a
// member of a service group.
package sources

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"nitrox/sources/examine"
	"nitrox/sources/nearest"
)

// Endpoint is one address at which an app accepts traffic.
type Endpoint struct {
	// Addr is fit to bind: unmapped, without a zone.
	Addr netip.AddrPort
	// Protocol is what it speaks, if the source knows.
	Protocol Protocol
	// Weight is the source's opinion, 1 to 100; 0 is none.
	Weight int
	// Of is what Weight is a part of, where whoever owns the app has written it:
	// that may give up a part of what the mapping gives the entry, and take none
	// of what it gives to others. 0: Weight is a count of what is there.
	Of int
	// Order is the priority that whoever asks gives it; sources leave it 0.
	Order int
	// Uncertain says why the endpoint's health is not known. Such an endpoint
	// is kept if it is bound and never added. Empty: it is ready.
	Uncertain string
	// Origin tells people who listens there ("node worker-4, 3 tasks"). It is
	// never compared.
	Origin string
	// Facts are what the source has read that made it an endpoint ("ready since
	// 2026-11-27T12:00:00Z"), for people who ask why. They are never compared.
	Facts string
}

// Answer is what a source knows of one query: the whole truth, also when that is
// nothing, or endpoints of which it has a doubt that they are all. Those may be
// added, and nothing may be removed because of it. The zero Answer is a doubt:
// only [NewAnswer] makes one that is the whole truth.
type Answer struct {
	Endpoints []Endpoint
	// LeftOut are the candidates that are not endpoints, and why.
	LeftOut []LeftOut
	// Virtual are the addresses that the cluster itself answers at, as far as they
	// are known, and for whom ("service shop/account"). No endpoint has one.
	Virtual map[netip.Addr]string

	whole bool
	doubt error
}

// NewAnswer is the answer of a source that has read all there is to read, if
// doubt is nil. A doubt says why the endpoints may not be all; it wraps
// [ErrAbsent] if the cluster manager positively does not have the app.
func NewAnswer(endpoints []Endpoint, leftOut []LeftOut, doubt error) Answer {
	return Answer{Endpoints: endpoints, LeftOut: leftOut, whole: doubt == nil, doubt: doubt}
}

// Doubtful is the answer of a source that knows nothing but why.
func Doubtful(doubt error) Answer { return NewAnswer(nil, nil, cmp.Or(doubt, errNoAnswer)) }

var errNoAnswer = errors.New("it was not answered")

// Doubt is why the endpoints may not be all; nil if they are.
func (a Answer) Doubt() error {
	if a.whole {
		return nil
	}
	return cmp.Or(a.doubt, errNoAnswer)
}

// LeftOut is a candidate that is not an endpoint: "task web.3", "unhealthy".
type LeftOut struct {
	What, Why string
	// Addr is where it would be one, if that is known.
	Addr netip.AddrPort
}

// ErrAbsent is wrapped by the doubt about an app that its cluster manager
// positively does not have.
var ErrAbsent = errors.New("its cluster manager does not have it")

// Absent is that doubt, about a thing that is called what its cluster manager
// calls it ("service"), with the nearest of those that it has.
func Absent(what, name string, known []string) error {
	return absent(fmt.Sprintf("there is no %s %s%s", what, name, nearest.DidYouMean(name, known)))
}

// Names are those that a source has, for its answers about others. To look for the
// nearest takes the longer the more there are, so of many that are missing only the
// first are told it.
type Names struct {
	// All gives them in order. It is called once.
	All     func() []string
	all     []string
	missing int
}

// Absent is [Absent] of a name that is not among them.
func (n *Names) Absent(what, name string) error {
	const told = 20
	if n.missing++; n.missing > told {
		return Absent(what, name, nil)
	}
	if n.missing == 1 {
		n.all = n.All()
	}
	return Absent(what, name, n.all)
}

type absent string

func (a absent) Error() string        { return string(a) }
func (a absent) Is(target error) bool { return target == ErrAbsent }

// Source looks up endpoints in one cluster manager. Q is the struct that a
// from entry of the mapping is decoded into.
type Source[Q any] interface {
	// Poll answers all queries, of which there is at least one, from one read:
	// answers[i] is for queries[i]. What concerns one app alone is a doubt of its
	// answer; an error means that nothing is known of any app, and there are no
	// answers then.
	//
	// fresh forbids answers from a cache. Poll stops when ctx ends, may be
	// called concurrently, and does not retry: the next pass does.
	Poll(ctx context.Context, queries []Q, fresh bool) ([]Answer, error)
}

// Watcher is implemented by sources that can report changes.
type Watcher[Q any] interface {
	// Watch calls changed(nil) once it is connected and then changed on any
	// possible change of the answers to the queries, of which there is at least
	// one, never twice at a time. which are the indexes of the queries whose
	// answers may be others, in order, each once; nil: of any, as where an event
	// does not tell. It returns when the stream ends, with nil if that is in
	// order: it has been open for long enough. Reconnecting is the caller's.
	Watch(ctx context.Context, queries []Q, changed func(which []int)) error
}

// Listed is something that a mapping could ask a source for.
type Listed struct {
	// Query is a value of the source's type of queries.
	Query any
	// Name is what people call it, and Port the port where it has several. Of those
	// that have both in common the first is the usual way to ask.
	Name, Port string
	// At tells apart where endpoints are ("nodes", "pods"): those of one source that
	// are at the same have the same networks.
	At string
	// Nodes are addresses at which there may be endpoints one day.
	Nodes []netip.Addr
}

// Lister is implemented by sources that can tell all that they have, for somebody
// who writes a mapping.
type Lister interface {
	List(ctx context.Context) ([]Listed, error)
}

// Examiner is implemented by sources of which more can be looked at than whether a
// poll succeeds: the way there, the rights. Examine writes nothing; unless the
// source is reachable, a poll is not worth trying.
type Examiner[Q any] interface {
	Examine(ctx context.Context, queries []Q) (checks []examine.Check, reachable bool)
}

// Teller is implemented by sources that have a place where those who run an app read
// what became of it.
type Teller[Q any] interface {
	// Audience names those who would read news of a query, who must not read of the
	// endpoints of other audiences; "": nobody.
	Audience(query Q) string
	// Tell writes the news down, as far as they are not too many. It stops when ctx
	// ends, and is not called twice at a time.
	Tell(ctx context.Context, news []News[Q]) error
}

// News is what became of an app that has a query.
type News[Q any] struct {
	Query Q
	Kind  NewsKind
	Text  string // fit to print
	At    time.Time
}

// NewsKind is one word for what became of an app.
type NewsKind string

// The kinds of news. All but the first are of trouble.
const (
	MembersChanged NewsKind = "MembersChanged"
	RemovalsHeld   NewsKind = "RemovalsHeld"
	SyncFailed     NewsKind = "SyncFailed"
)

// Checker is implemented by queries and configurations that can be wrong in
// ways their types do not tell. Check contacts nothing.
type Checker interface {
	// Check returns nil, a [KeyError], or several joined.
	Check() error
}

// Warner is implemented by configurations that can be legal and unwise. Warnings
// reads files, and contacts nothing.
type Warner interface {
	// Warnings returns nil, a [KeyError], or several joined.
	Warnings() error
}

// FileChecker is implemented by configurations that name files which a poll
// reads: certificates, passwords. CheckFiles reads them and contacts nothing.
// Its errors are like those of [Checker].
type FileChecker interface {
	CheckFiles() error
}

// Exposed is implemented by configurations of sources in which not only operators
// write what is bound. OthersWrite says what in the answers to a query is written
// by whoever deploys an app, or writes a file; "": nothing.
type Exposed interface {
	OthersWrite(query any) string
}

// Namespaced is implemented by queries of sources in which only the cluster manager's own
// rights decide who makes what where: namespaces, paths of groups.
type Namespaced interface {
	// In says whether all that the query asks about is in the namespace.
	In(namespace string) bool
}

// Path is a file's name in a source's configuration. A relative one is taken
// from the folder of the mapping file, which is done when the file is read.
type Path string

// Kind is a sort of source that a mapping file can name. Its two structs carry
// yaml struct tags, from which the file's strict decoding, its "did you mean"
// and its documentation are derived; sources never see YAML. Fields may be
// string, bool, int, time.Duration, netip.Addr, [Path], named strings, and
// slices of these.
type Kind struct {
	Name          string
	Config, Query reflect.Type
	open          func(config any) (Opened, error)
}

// Open makes a source of this kind from a value of type Config. It contacts
// nothing. Its errors are like those of [Checker].
func (k Kind) Open(config any) (Opened, error) { return k.open(config) }

// Opened is a source whose query type is known to its [Kind] only.
type Opened struct {
	// Poll is as in [Source]; the queries are values of type Kind.Query.
	Poll func(ctx context.Context, queries []any, fresh bool) ([]Answer, error)
	// Watch is as in [Watcher], with such queries; nil if the source cannot.
	Watch func(ctx context.Context, queries []any, changed func(which []int)) error
	// List is as in [Lister]; nil if the source cannot.
	List func(ctx context.Context) ([]Listed, error)
	// Examine is as in [Examiner], with such queries; nil if there is no more to
	// look at.
	Examine func(ctx context.Context, queries []any) (checks []examine.Check, reachable bool)
	// Audience and Tell are as in [Teller], with such queries; nil if the source cannot.
	Audience func(query any) string
	Tell     func(ctx context.Context, news []News[any]) error
	// Discoverer is nil if no app can opt in.
	Discoverer
}

// Define describes a kind of source whose configuration is a C.
func Define[C, Q any, S Source[Q]](name string, open func(C) (S, error)) Kind {
	return Kind{
		Name:   name,
		Config: reflect.TypeFor[C](),
		Query:  reflect.TypeFor[Q](),
		open: func(config any) (Opened, error) {
			s, err := open(config.(C))
			if err != nil {
				return Opened{}, err
			}
			typed := func(queries []any) []Q {
				all := make([]Q, len(queries))
				for i, q := range queries {
					all[i] = q.(Q)
				}
				return all
			}
			o := Opened{Poll: func(ctx context.Context, queries []any, fresh bool) ([]Answer, error) {
				if err := ctx.Err(); err != nil || len(queries) == 0 {
					return nil, err
				}
				answers, err := s.Poll(ctx, typed(queries), fresh)
				if err == nil && len(answers) != len(queries) {
					return nil, fmt.Errorf("%s: %d answers to %d queries", name, len(answers), len(queries))
				}
				return answers, err
			}}
			if w, ok := any(s).(Watcher[Q]); ok {
				o.Watch = func(ctx context.Context, queries []any, changed func([]int)) error {
					return w.Watch(ctx, typed(queries), changed)
				}
			}
			if l, ok := any(s).(Lister); ok {
				o.List = l.List
			}
			if e, ok := any(s).(Examiner[Q]); ok {
				o.Examine = func(ctx context.Context, queries []any) ([]examine.Check, bool) {
					return e.Examine(ctx, typed(queries))
				}
			}
			if d, ok := any(s).(Discoverer); ok {
				o.Discoverer = d
			}
			if t, ok := any(s).(Teller[Q]); ok {
				o.Audience = func(query any) string { return t.Audience(query.(Q)) }
				o.Tell = func(ctx context.Context, news []News[any]) error {
					all := make([]News[Q], len(news))
					for i, n := range news {
						all[i] = News[Q]{n.Query.(Q), n.Kind, n.Text, n.At}
					}
					return t.Tell(ctx, all)
				}
			}
			return o, nil
		},
	}
}
