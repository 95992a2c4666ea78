package simulator

import (
	"net/http"
	"strings"
	"time"
)

type job struct {
	c  *command
	it item
}

// batch is the items of one request, applied one after another while no other
// write runs.
type batch struct {
	*exec
	query   *query
	array   bool
	jobs    []job
	update  *command // idempotent=yes: what an existing object gets
	done    []func() // how to take back what was done
	existed bool     // update was used: the answer is 200
}

// run answers 201 where something was made. A bind by PUT is 201 by the
// documentation, and Options.BindStatus where a box says otherwise. What was made
// has no body, unless it was an array that was PUT: the official Python client
// parses the answer to that, and guards only the one to a POST.
func (b *batch) run(created, put bool) (*reply, *failure) {
	switch strings.ToLower(b.query.onerror) {
	case "", "exit", "continue", "rollback":
	default:
		return nil, fail(codeInvalidValue, "onerror", b.query.onerror)
	}
	b.engine <- struct{}{} // the appliance has one configuration engine
	defer func() { <-b.engine }()
	time.Sleep(b.opt.WriteLatency)
	if b.opt.SecondaryRefuses && b.Role() == roleSecondary {
		return nil, fail(codePrimaryOnly)
	}
	results, failed := b.each()
	if failed != nil && !b.array {
		return nil, failed
	}
	if failed != nil {
		return b.newReply(b.status(codeBulkFailed), jsonType, bulkBody(results)), fail(codeBulkFailed)
	}
	if rep := b.warning(b.query); rep != nil {
		return rep, nil
	}
	status := http.StatusOK
	if created && !b.existed {
		status = http.StatusCreated
		if put && b.opt.BindStatus != 0 {
			status = b.opt.BindStatus
		}
	}
	if status == http.StatusCreated && !(put && b.array) || b.query.action != "" && b.opt.QuietActions {
		return b.newReply(status, htmlType, nil), nil
	}
	return b.newReply(status, jsonType, (&failure{}).appendTo(nil)), nil
}

// each applies the items as X-NITRO-ONERROR says: exit, continue or rollback.
// It returns one result for each item that was dealt with, and the first
// failure.
func (b *batch) each() (results []*failure, first *failure) {
	onerror := strings.ToLower(b.query.onerror)
	for i, j := range b.jobs {
		f := b.one(j)
		if f == nil {
			results = append(results, &failure{})
			continue
		}
		results = append(results, f)
		if first == nil {
			first = f
		}
		if onerror == "continue" {
			continue
		}
		if onerror == "rollback" && !b.rollback() {
			results[len(results)-1] = fail(codeNoRollback)
		}
		if b.opt.PaddedBulk {
			for range b.jobs[i+1:] {
				results = append(results, fail(codeNotAttempted))
			}
		}
		break
	}
	return results, first
}

// one applies one item: what is wrong with it, who may, then the change.
func (b *batch) one(j job) *failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = time.Now()
	b.sweep(b.now)
	if f := b.enter(); f != nil {
		return f
	}
	if b.query.skipInvalid {
		for name := range j.it.values {
			if j.c.attr(name) == nil || b.lacks(name) {
				delete(j.it.values, name)
			}
		}
	}
	if f := j.c.validate(j.it, b.lacks); f != nil {
		return f
	}
	line := j.c.line(j.it)
	if f := b.authorized(b.user, line); f != nil {
		return f
	}
	if f := b.commandFault(line); f != nil {
		return f
	}
	c, it := j.c, j.it.clone() // carrying it out may change it
	undo, f := j.c.run(b.exec, j.it)
	if f != nil && f.code == codeExists && b.update != nil {
		b.existed = true
		for name := range j.it.values {
			if b.update.attr(name) == nil {
				delete(j.it.values, name) // fixed, and found equal
			}
		}
		c, it = b.update, j.it.clone()
		undo, f = b.update.run(b.exec, j.it)
	}
	if f != nil {
		return f
	}
	undo, f = b.propagate(c, it, undo)
	b.done = append(b.done, undo)
	if !j.c.volatile {
		b.changed(b.now)
	}
	return f
}

// rollback takes back what was done, latest first. It is false if something
// done has no way back.
func (b *batch) rollback() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, undo := range b.done {
		if undo == nil {
			return false
		}
	}
	for i := len(b.done) - 1; i >= 0; i-- {
		b.done[i]()
	}
	return true
}

func bulkBody(results []*failure) []byte {
	out := appendHead(nil, fail(codeBulkFailed))
	out = append(out, `, "response": [ `...)
	for i, f := range results {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = f.appendTo(out)
	}
	return append(out, " ] }"...)
}

// warning is the 209 that warning=yes asks for where there is something to
// warn of.
func (x *exec) warning(q *query) *reply {
	if !q.warning || x.Role() != roleSecondary {
		return nil
	}
	f := fail(codeOnSecondary)
	rep := x.newReply(209, jsonType, f.appendTo(nil))
	rep.header.Set("X-NITRO-WARNING", f.warning())
	return rep
}

// macro is macroapi: objects of several types in one request, all under one
// verb (NITRO documentation, macro API).
func (x *exec) macro(req *request) (*reply, *failure) {
	if req.method != http.MethodPost && req.method != http.MethodPut {
		return nil, fail(codeMethod, req.method)
	}
	if len(req.payload) == 0 {
		return nil, fail(codeJSONInput)
	}
	b := &batch{exec: x, query: req.query, array: true}
	for _, p := range req.payload {
		t := configTypes[p.typ]
		if t == nil || x.lacks(p.typ) {
			return nil, fail(codeObjectName, p.typ)
		}
		inner := *req.query
		if t.binding && inner.action == "remove" {
			inner.action = "unbind"
		}
		c, f := t.command(x, &request{method: req.method, typ: p.typ, query: &inner, payload: []payload{p}})
		if f != nil {
			return nil, f
		}
		for _, it := range p.items {
			b.jobs = append(b.jobs, job{c, it})
		}
	}
	return b.run(req.method == http.MethodPost && req.query.action == "", false)
}
