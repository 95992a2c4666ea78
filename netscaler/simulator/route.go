package simulator

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// resource is a type of NITRO: what it shows, and the commands that its verbs
// and actions are.
type resource struct {
	key string // the attribute that the name in the path stands for
	// show writes the rows of a GET; shows is its form on the command line.
	show  func(x *exec, q *query, l *listing) *failure
	shows string
	// single: GET answers an object instead of an array.
	single bool
	// binding: GET needs a name or bulkbindings=yes, and PUT is POST.
	binding      bool
	add, set, rm *command
	actions      map[string]*command
	args         []string // that a GET takes
	// lookup: a GET takes any other argument too, as what to look for. All
	// bindings do.
	lookup bool
}

// resource is the type that a request is about; nil if this build has none.
func (s *Simulator) resource(req *request) *resource {
	if s.lacks(req.typ) {
		return nil
	}
	if req.stat {
		return statTypes[req.typ]
	}
	return configTypes[req.typ]
}

// route finds what a request asks for.
func (x *exec) route(req *request) (*reply, *failure) {
	t := x.resource(req)
	if t == macroResource {
		return x.macro(req)
	}
	switch req.method {
	case http.MethodGet:
		return x.get(req, t)
	case http.MethodDelete:
		return x.delete(req, t)
	case http.MethodPost, http.MethodPut:
	default:
		return nil, fail(codeMethod, req.method)
	}
	if len(req.payload) != 1 || req.payload[0].typ != req.typ || len(req.payload[0].items) == 0 {
		return nil, fail(codeJSONInput)
	}
	c, f := t.command(x, req)
	if f != nil {
		return nil, f
	}
	for _, it := range req.payload[0].items {
		if req.query.named && !it.has(t.key) {
			it.values[t.key] = req.query.name
		} else if req.query.named && it.get(t.key) != req.query.name {
			return nil, fail(codeInvalidArgument, t.key)
		}
	}
	if c == saveCommand {
		return x.save(req.query, req.payload[0].items[0])
	}
	b := &batch{exec: x, query: req.query, array: req.payload[0].array}
	for _, it := range req.payload[0].items {
		b.jobs = append(b.jobs, job{c, it})
	}
	created := req.query.action == "" && c == t.add
	if created && req.query.idempotent && !t.binding {
		b.update, x.idempotent = t.set, t.set != nil
	}
	return b.run(created, t.binding && req.method == http.MethodPut)
}

// command is the one that the request's method and action name.
func (t *resource) command(x *exec, req *request) (*command, *failure) {
	if req.payload[0].array && x.lacks("arrays") {
		return nil, fail(codeJSONType, req.typ)
	}
	if x.opt.MaxArray > 0 && len(req.payload[0].items) > x.opt.MaxArray {
		return nil, fail(codeJSONInput)
	}
	action := req.query.action
	if req.method == http.MethodPut {
		if action != "" {
			return nil, fail(codeAction, action)
		}
		c := t.set
		if t.binding {
			c = t.add
		}
		if c == nil {
			return nil, fail(codeMethod, req.method)
		}
		return c, nil
	}
	var c *command
	switch action {
	case "":
		if c = t.add; c == nil {
			return nil, fail(codeMethod, req.method)
		}
	case "add":
		c = t.add
	case "bind":
		if t.binding {
			c = t.add
		}
	case "unbind":
		if t.binding {
			c = t.rm
		}
	case "rm", "remove":
		if !t.binding {
			c = t.rm
		}
	case "update":
		c = t.set
	default:
		c = t.actions[action]
	}
	if c == nil || x.lacks("action="+action) {
		return nil, fail(codeAction, action)
	}
	return c, nil
}

func (x *exec) get(req *request, t *resource) (*reply, *failure) {
	q := req.query
	if t.show == nil {
		return nil, fail(codeNotPermitted)
	}
	if q.action != "" {
		return nil, fail(codeAction, q.action)
	}
	if q.named && t.key == "" {
		return nil, fail(codeObjectName, req.typ+"/"+q.name)
	}
	for _, name := range slices.Sorted(maps.Keys(q.args)) {
		switch {
		case slices.Contains(t.args, name):
		case name == t.key && (!q.named || q.name == q.args[name]): // said again, or instead
			q.named, q.name = true, q.args[name]
		case t.binding || t.lookup:
			q.filter = append(q.filter, term{name: name, value: q.args[name]})
		default:
			return nil, fail(codeInvalidArgument, name)
		}
	}
	if x.lacks("bulkbindings") {
		q.bulk = false
	}
	if t.binding && !q.named && !q.bulk {
		return nil, fail(codeArgumentMissing, t.key)
	}
	line := t.shows
	if q.named {
		line += " " + quote(q.name)
	}
	time.Sleep(x.opt.ReadLatency)
	for name := range q.attrs {
		if x.lacks("attrs=" + name) {
			return nil, fail(codeInvalidArgument, name)
		}
	}
	l := newListing(q, x.opt.SwapTypes)
	whole := !q.named && !q.count && l.known == nil && q.pageSize == 0
	size := 0
	if whole {
		size = x.size(req.typ)
	}
	object := t.single && !q.count // a count is an array of one
	head := l.open(req.typ, object, size)
	if f := x.read(line, t, q, l); f != nil {
		return nil, f
	}
	if f := l.unknown(); f != nil {
		return nil, f
	}
	b := l.out
	switch {
	case q.count:
		b = strconv.AppendInt(append(b, `{ "__count": `...), int64(l.matched), 10)
		b = append(b, " } ]"...)
	case len(b) == l.base:
		b = b[:head] // no rows, no key
	case !object:
		b = append(b, " ]"...)
	}
	b = append(b, " }"...)
	if whole {
		x.remember(req.typ, len(b))
	}
	return x.newReply(http.StatusOK, jsonType, b), nil
}

// size is that of the last whole list of a type: growing to it from nothing costs
// a large list more than writing it.
func (s *Simulator) size(typ string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizes[typ]
}

func (s *Simulator) remember(typ string, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes[typ] = size
}

// read holds the lock while it writes the rows, so that a reader sees one
// moment.
func (x *exec) read(line string, t *resource, q *query, l *listing) *failure {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = time.Now()
	x.sweep(x.now)
	if f := x.enter(); f != nil {
		return f
	}
	if f := x.authorized(x.user, line); f != nil {
		return f
	}
	if f := x.commandFault(line); f != nil {
		return f
	}
	return t.show(x, q, l)
}

// enter finds the partition that the session is in.
func (x *exec) enter() *failure {
	name := ""
	if x.session != nil {
		name = x.session.partition
	}
	if x.part = x.partition(name); x.part == nil {
		return fail(codeNoPartition, name)
	}
	return nil
}

func (x *exec) delete(req *request, t *resource) (*reply, *failure) {
	switch {
	case t.rm == nil:
		return nil, fail(codeMethod, req.method)
	case !req.query.named:
		return nil, fail(codeArgumentMissing, t.key)
	case req.query.action != "":
		return nil, fail(codeAction, req.query.action)
	case len(strings.TrimSpace(string(req.body))) > 0:
		return nil, fail(codeJSONInput) // DELETE takes args, never a body
	}
	it := item{values: map[string]string{}}
	maps.Copy(it.values, req.query.args)
	it.values[t.key] = req.query.name
	b := &batch{exec: x, query: req.query, jobs: []job{{t.rm, it}}}
	return b.run(false, false)
}
