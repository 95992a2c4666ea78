package simulator

import (
	"cmp"
	"net/http"
	"regexp"
	"time"
)

// Fault is something that goes wrong on request. Its first fields say with
// which calls, the rest what. Patterns are regular expressions that must match
// as a whole and whatever the case; an empty one matches anything.
type Fault struct {
	Method string // "PUT"
	Type   string // "servicegroup_servicegroupmember_binding"
	Action string // "unbind"; "-" matches calls without an action
	Name   string // the group or other object that the path or an item names
	// Command matches the command line's form of an item, anywhere in it:
	// "^bind serviceGroup sg-a 10\\.0\\.0\\.1 80". Only that item of an array
	// fails, with Code and Message.
	Command string
	// Skip lets so many calls (or items) that match pass first; Times is how
	// many then fail, 0: all.
	Skip, Times int

	// Code is answered with its own text, or with Message, and with its usual
	// HTTP status, or with Status.
	Code    int
	Message string
	Status  int
	// RawBody is answered as it is, with Status (default 200) and ContentType
	// (default HTML).
	RawBody     string
	ContentType string
	// Delay comes before everything else.
	Delay time.Duration
	// Hang answers nothing until the client gives up. Nothing is applied.
	Hang bool
	// DropBefore closes the connection, and nothing is applied;
	// DropAfterApply applies the request and closes it without an answer;
	// DropMidReply applies it and closes it in the middle of the answer.
	DropBefore, DropAfterApply, DropMidReply bool
	// KillSession ends all sessions just before the call.
	KillSession bool
	// Failover changes the roles of the pair before the call is served, or, with
	// DropAfterApply or DropMidReply, once it was.
	Failover bool
}

// armed is a fault with its patterns compiled and its matches counted.
type armed struct {
	Fault
	method, typ, action, name, command *regexp.Regexp
	seen                               int
}

func arm(f Fault) (*armed, error) {
	a := &armed{Fault: f}
	for _, p := range []struct {
		text string
		to   **regexp.Regexp
	}{{f.Method, &a.method}, {f.Type, &a.typ}, {f.Action, &a.action}, {f.Name, &a.name}} {
		text := p.text
		if text == "" {
			continue
		}
		re, err := regexp.Compile("(?i)^(?:" + text + ")$")
		if err != nil {
			return nil, err
		}
		*p.to = re
	}
	if f.Command != "" {
		re, err := regexp.Compile("(?i)" + f.Command)
		if err != nil {
			return nil, err
		}
		a.command = re
	}
	return a, nil
}

// SetFault adds a fault to those that are set; of several that match a call
// the first counts. It panics if a pattern is not a regular expression.
func (s *Simulator) SetFault(f Fault) {
	a, err := arm(f)
	if err != nil {
		panic("simulator: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, a)
}

// ClearFaults ends all faults.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// due counts a match, and says whether it is one that fails.
func (a *armed) due() bool {
	a.seen++
	return a.seen > a.Skip && (a.Times == 0 || a.seen <= a.Skip+a.Times)
}

// takeFault finds the fault that a call meets; the zero Fault is none.
func (s *Simulator) takeFault(r *request) Fault {
	for _, a := range s.faults {
		if a.command == nil && a.matches(r) && a.due() {
			return a.Fault
		}
	}
	return Fault{}
}

func (a *armed) matches(r *request) bool {
	is := func(re *regexp.Regexp, text string) bool { return re == nil || re.MatchString(text) }
	if !is(a.method, r.method) || !is(a.typ, r.typ) || !is(a.action, cmp.Or(r.query.action, "-")) {
		return false
	}
	if a.name == nil || a.name.MatchString(r.query.name) {
		return true
	}
	for _, p := range r.payload {
		for _, it := range p.items {
			if a.name.MatchString(cmp.Or(it.get("servicegroupname"), it.get("name"))) {
				return true
			}
		}
	}
	return false
}

// commandFault finds the fault that one item meets.
func (s *Simulator) commandFault(line string) *failure {
	for _, a := range s.faults {
		if a.command != nil && a.command.MatchString(line) && a.due() {
			return &failure{code: a.Code, text: a.Message}
		}
	}
	return nil
}

// answers says whether the fault is an answer of its own.
func (f Fault) answers() bool { return f.Code != 0 || f.Status != 0 || f.RawBody != "" }

func (s *Simulator) faulty(f Fault) *reply {
	if f.RawBody != "" || f.Code == 0 {
		return s.newReply(cmp.Or(f.Status, http.StatusOK), cmp.Or(f.ContentType, htmlType), []byte(f.RawBody))
	}
	rep := s.refuse(&failure{code: f.Code, text: f.Message})
	if f.Status != 0 {
		rep.status = f.Status
	}
	return rep
}
