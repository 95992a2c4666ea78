package docker

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"nitrox/sources/bounds"
)

// labelled are the services that the last polls found by label: an event of a
// service does not tell its labels, and what it had before nobody else can tell.
type labelled struct {
	mu  sync.Mutex
	ids map[string][]string // by key=value
}

func (l *labelled) note(byLabel map[string][]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil {
		l.ids = make(map[string][]string)
	}
	maps.Copy(l.ids, byLabel)
}

func (l *labelled) of(id string) (labels []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for label, ids := range l.ids {
		if slices.Contains(ids, id) {
			labels = append(labels, label)
		}
	}
	return labels
}

// audience are the queries that one stream of events is followed for.
type audience struct {
	c       *connection
	byName  map[string][]int // of services in swarm mode
	byLabel map[string][]int
	hidden  []int // those of labels that events of containers cannot tell
	hint    func(which []int)
	found   bool // instead, what opts in is listened for
	// questions are the IDs of services or containers whose labels have to be asked
	// for, and whether more will change.
	questions chan map[string]bool

	mu    sync.Mutex
	after []time.Duration
	again map[int][]*time.Timer // by query; -1: all
}

func newAudience(c *connection, queries []Query, hint func(which []int), after []time.Duration) *audience {
	w := &audience{
		c: c, hint: hint, after: after, questions: make(chan map[string]bool, 1),
		byName: make(map[string][]int), byLabel: make(map[string][]int), again: make(map[int][]*time.Timer),
	}
	for i, q := range queries {
		if label, _ := q.label(); q.Label != "" || c.kind != Swarm {
			w.byLabel[label] = append(w.byLabel[label], i)
			// A daemon, or a classic Swarm, writes its own over these.
			if key, _, _ := strings.Cut(label, "="); key == "name" || key == "image" || strings.HasPrefix(key, "node.") {
				w.hidden = append(w.hidden, i)
			}
		} else {
			w.byName[q.Service] = append(w.byName[q.Service], i)
		}
	}
	return w
}

// hear tells who is concerned by an event.
func (w *audience) hear(e event) {
	which, id := w.concerned(e)
	w.tell(which, e.late() && !w.found)
	if id == "" {
		return
	}
	ids := make(map[string]bool)
	select {
	case ids = <-w.questions:
	default:
	}
	if len(ids) <= maxValues { // more are not asked for
		ids[id] = ids[id] || e.late()
	}
	w.questions <- ids // there is room: nobody else puts any
}

// tell gives a hint now and, if late, some times after.
func (w *audience) tell(which []int, late bool) {
	w.hint(which)
	if !late {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range which {
		w.repeat(i, []int{i})
	}
	if which == nil {
		w.repeat(-1, nil)
	}
}

// repeat gives the hint of one query, or of all, again; each at its own time,
// whatever is heard of others.
func (w *audience) repeat(i int, which []int) {
	for j, t := range w.again[i] {
		t.Reset(w.after[j])
	}
	for _, d := range w.after[len(w.again[i]):] {
		w.again[i] = append(w.again[i], time.AfterFunc(d, func() { w.hint(which) }))
	}
}

func (w *audience) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, timers := range w.again {
		for _, t := range timers {
			t.Stop()
		}
	}
}

// concerned are the queries whose answers may be others after an event, nil being
// any; and the ID of what may concern more of them, by labels that are asked for.
func (w *audience) concerned(e event) (which []int, id string) {
	attributes, kind, action := e.Actor.Attributes, cmp.Or(e.Type, "container"), e.action()
	inSwarm, named := w.c.kind == Swarm, attributes["name"] != ""
	switch {
	case action == "":
		return nil, ""
	case !slices.Contains(changes[kind], action):
		return []int{}, ""
	case !inSwarm && e.late(): // of a swarm that is not read
		return []int{}, ""
	case w.found && (!slices.Contains(optingIn[kind], action) || kind == "container" && inSwarm):
		return []int{}, ""
	case w.found:
		return nil, ""
	case kind == "service" && named && e.Actor.ID != "":
		return w.ofService(attributes["name"], e.Actor.ID, action == "remove")
	case kind == "container" && named && inSwarm:
		return w.ofService(attributes[swarmService], attributes[swarmServiceID], false)
	case kind == "container" && named:
		return append(w.ofLabels(attributes), w.hidden...), ""
	case kind == "network" && inSwarm: // which only tasks can tell of
		return []int{}, ""
	case kind == "network" && attributes["container"] != "":
		return []int{}, attributes["container"]
	}
	return nil, ""
}

// ofService are the queries that want a service, or had it at the last poll. ask is
// its ID if it may have got a label since.
func (w *audience) ofService(name, id string, removed bool) (which []int, ask string) {
	which = append([]int{}, w.byName[name]...) // never nil
	for _, label := range w.c.labelled.of(id) {
		which = append(which, w.byLabel[label]...)
	}
	if len(w.byLabel) > 0 && !removed {
		ask = id
	}
	return which, ask
}

func (w *audience) ofLabels(labels map[string]string) []int {
	which := []int{}
	for key, value := range labels {
		which = append(which, w.byLabel[key+"="+value]...)
	}
	return which
}

// answer answers the questions, all that there are by one request. Events are heard
// meanwhile: a daemon drops those for which it has to wait.
func (w *audience) answer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case ids := <-w.questions:
			limited, cancel := context.WithTimeout(ctx, connecting)
			if w.ask(limited, ids) != nil && ctx.Err() == nil {
				// They may be anybody's, and a poll will say what is wrong.
				w.tell(slices.Concat(slices.Collect(maps.Values(w.byLabel))...), true)
			}
			cancel()
		}
	}
}

// ask tells the queries that want the labels of services or containers, by ID; late
// says of each whether more will change.
func (w *audience) ask(ctx context.Context, late map[string]bool) error {
	requests, few := filtered("id", slices.Sorted(maps.Keys(late)))
	if !few {
		return errors.New("they are too many to be asked for")
	}
	type labels = map[string]string
	type thing struct {
		ID     string
		Labels labels                  // of a container
		Spec   struct{ Labels labels } // of a service
	}
	for _, filter := range requests {
		list, bad, err := readList(ctx, bounds.Of[thing](), every[thing], func(ctx context.Context) (err error) {
			if w.c.kind == Swarm {
				_, err = w.c.client.ServiceList(ctx, client.ServiceListOptions{Filters: filter})
			} else {
				_, err = w.c.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(bad) > 0 {
			return bad[0].err
		}
		for _, t := range list {
			w.tell(append(w.ofLabels(t.Labels), w.ofLabels(t.Spec.Labels)...), late[t.ID])
		}
	}
	return nil
}
