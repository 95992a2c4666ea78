package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"nitrox/netscaler/simulator"
)

// fault is something that goes wrong with one call.
type fault struct {
	name string
	do   func(*call) answer
	// fits says with which calls it can happen; nil: all.
	fits func(seen) bool
	// lies: the answer is well-formed and false, so that what Nitrox says cannot be
	// held against it; what it does can.
	lies bool
	// idle: Nitrox is likely to wait.
	idle bool
	// each: for every kind of pass, not only the thorough ones.
	each bool
	// ends: the process does not live on, or is told to end.
	ends bool
	// once: not at every call of a kind, since that would be no more than the same.
	once bool
}

// seen is what the sweep knows of a call from the pass without a fault.
type seen struct {
	kind   string
	status int
	body   []byte
	pair   bool
}

func (s seen) is(part string) bool { return strings.Contains(s.kind, part) }
func (s seen) reads() bool         { return strings.HasPrefix(s.kind, "GET ") }
func (s seen) array() bool         { return strings.HasSuffix(s.kind, " []") }

// rows says whether the answer has a list of rows.
func (s seen) rows() bool { return s.reads() && listOf(s.body) != "" }

// timeout is that of the mappings; tooLong is longer, also for a small array.
const (
	timeout = 2 * time.Second
	tooLong = 3500 * time.Millisecond
)

// The codes that a call can be refused with instead of being carried out, without
// any that says that it was carried out (349, 457, 458, 1067).
var codes = []int{
	257, 258, 269, 272, 273, 278, 291, 293, 315, 344, 351, 352, 354, 364, 367, 368, 371, 432, 433, 435, 444, 445, 446, 459, 461,
	463, 603, 1026, 1027, 1028, 1034, 1043, 1044, 1065, 1090, 1095, 1133, 1203, 1208, 1232, 1237, 1240, 1243, 1244, 1265, 1303, 1335,
	1442, 1443, 1461, 2138, 2755, 3810,
}

// One of each class of docs/nitro-outcomes.md, for the kinds of passes that are not
// gone through thoroughly.
var classes = []int{257, 258, 273, 278, 354, 444, 446, 1028, 1043, 1065, 1240, 2138}

func faults() (all []fault) {
	add := func(name string, do func(*call) answer) *fault {
		all = append(all, fault{name: name, do: do})
		return &all[len(all)-1]
	}
	for _, code := range codes {
		f := add(fmt.Sprintf("refused with %d", code), func(c *call) answer {
			switch code { // the session is dead indeed, and not only said to be
			case 352, 444, 1026, 1027, 1244:
				c.node.sim.KillSessions()
			}
			return c.refuse(code)
		})
		f.each = slices.Contains(classes, code)
		f.once = !slices.Contains([]int{258, 273, 444, 446, 1043}, code)
		f.lies = code == 1133 // there is something to save
		if code == 1065 {     // no node of a pair is a cluster
			f.fits = func(s seen) bool { return !s.pair || !s.is("hanode") }
		}
		f.idle = slices.Contains([]int{272, 291, 293, 364, 445, 446, 603, 1461}, code)
	}
	for _, code := range []int{258, 273, 349, 444, 446, 457, 459, 1043, 1243} {
		f := add(fmt.Sprintf("carried out, answered with %d", code), func(c *call) answer {
			c.carry()
			if code == 444 {
				c.node.sim.KillSessions()
			}
			return c.refuse(code)
		})
		f.fits = func(s seen) bool { return !s.reads() }
		f.each, f.idle = code == 1043 || code == 273, code == 446
	}
	add("444 in a 200", func(c *call) answer {
		c.node.sim.KillSessions()
		a := c.refuse(444)
		a.status = http.StatusOK
		return a
	}).each = true
	for _, after := range []bool{false, true} {
		did, first := "not carried out, ", func(*call) {}
		if after {
			did, first = "carried out, ", func(c *call) { c.carry() }
		}
		for _, end := range []struct {
			name string
			last answer
			idle bool
		}{
			{"reset", answer{reset: true}, true},
			{"503 HTML", page(http.StatusServiceUnavailable), true},
			{"200 HTML", page(http.StatusOK), false},
		} {
			f := add(did+end.name, func(c *call) answer { first(c); return end.last })
			f.each, f.idle = true, end.idle
		}
		f := add(did+"reset, and the next read refused", func(c *call) answer { first(c); c.node.lab.refuseNext(); return answer{reset: true} })
		f.each, f.idle, f.fits = true, true, func(s seen) bool { return !s.reads() }
		f = add(did+"no answer in time", func(c *call) answer { first(c); time.Sleep(tooLong); return answer{reset: true} })
		f.each, f.idle = true, true
		f = add(did+"killed", func(c *call) answer { first(c); c.signal(syscall.SIGKILL); return answer{reset: true} })
		f.each, f.ends, f.once = true, true, true
		f = add(did+"failover", func(c *call) answer {
			first(c)
			c.node.lab.failover()
			if after {
				return answer{reset: true}
			}
			return c.carry()
		})
		f.each, f.idle, f.once, f.fits = true, true, true, func(s seen) bool { return s.pair }
	}
	for _, code := range []int{258, 273, 1043} {
		for n, name := range []string{"first", "second"} {
			f := add(fmt.Sprintf("%s item refused with %d", name, code), func(c *call) answer {
				c.node.sim.SetFault(simulator.Fault{Command: ".", Skip: n, Times: 1, Code: code})
				defer c.node.sim.ClearFaults()
				return c.carry()
			})
			f.fits, f.each, f.once = seen.array, true, true
		}
	}
	f := add("carried out late", func(c *call) answer { time.Sleep(tooLong); c.carry(); return answer{reset: true} })
	f.each, f.idle = true, true
	f = add("told to stop while it waits", func(c *call) answer {
		c.signal(syscall.SIGTERM)
		time.Sleep(50 * time.Millisecond)
		return c.carry()
	})
	f.each, f.ends, f.once = true, true, true
	add("answer cut off", func(c *call) answer {
		a := c.carry()
		a.cut = true
		return a
	}).each = true
	for _, m := range mangles() {
		f := add("answer with "+m.name, func(c *call) answer {
			a := c.carry()
			a.body = m.do(a.body)
			return a
		})
		f.fits, f.lies, f.once, f.each = m.fits, m.lies, m.name != "the list null", slices.Contains(telling, m.name)
		if f.fits == nil {
			f.fits = func(s seen) bool { return len(s.body) > 0 }
		}
	}
	return all
}

func page(status int) answer {
	h := http.Header{"Content-Type": {"text/html"}}
	return answer{status: status, header: h, body: []byte("<html><body><h4>Please wait</h4></body></html>")}
}

// mangle makes an answer out of an answer.
type mangle struct {
	name string
	do   func([]byte) []byte
	fits func(seen) bool
	lies bool
}

func mangles() []mangle {
	all := []mangle{
		{name: "half a text", do: func(b []byte) []byte { return b[:len(b)/2] }},
		{name: "no body", do: func([]byte) []byte { return nil }, fits: seen.reads},
		{name: "{}", do: func([]byte) []byte { return []byte("{}") }, fits: seen.reads},
		{name: "null", do: func([]byte) []byte { return []byte("null") }, fits: seen.reads},
		{name: "[]", do: func([]byte) []byte { return []byte("[]") }, fits: seen.reads},
		{name: "the list missing", do: list(func([]any) any { return missing{} }), fits: seen.rows, lies: true},
		{name: "the list null", do: list(func([]any) any { return nil }), fits: seen.rows},
		{name: "the list empty", do: list(func([]any) any { return []any{} }), fits: seen.rows, lies: true},
		{name: "the list an object", do: list(func(rows []any) any { return rows[0] }), fits: seen.rows},
		{name: "the list a text", do: list(func([]any) any { return "none" }), fits: seen.rows},
	}
	for _, at := range []string{"first", "last"} {
		row := func(name string, value any, fits func(seen) bool) {
			all = append(all, mangle{name: "the " + at + " row " + name, fits: fits, do: list(func(rows []any) any {
				i := map[string]int{"last": len(rows) - 1}[at]
				rows[i] = value
				return rows
			})})
		}
		row("null", nil, seen.rows)
		row("{}", map[string]any{}, seen.rows)
		row("a text", "row", seen.rows)
		for _, f := range []struct {
			field, name string
			value       any
			lies        bool
		}{
			{"servicegroupname", "of another group", "other", true},
			{"servicegroupname", "of no group", missing{}, false},
			{"ip", "without an address", missing{}, false},
			{"ip", "with an object for an address", map[string]any{}, false},
			{"port", "without a port", missing{}, false},
			{"port", "with an object for a port", map[string]any{}, false},
			{"port", "with null for a port", nil, false},
			{"port", "with port 0", 0, true},
			{"weight", "with an object for a weight", map[string]any{}, false},
			{"state", "with null for a state", nil, false},
			{"state", "with an unknown state", "PERHAPS", false},
			{"customserverid", "with an object for a mark", map[string]any{}, false},
			{"servername", "without a server", missing{}, false},
		} {
			all = append(all, mangle{name: "the " + at + " row " + f.name, fits: members, lies: f.lies, do: list(func(rows []any) any {
				row := rows[map[string]int{"last": len(rows) - 1}[at]].(map[string]any)
				row[f.field] = f.value
				if _, gone := f.value.(missing); gone {
					delete(row, f.field)
				}
				return rows
			})})
		}
	}
	return all
}

// telling are those for the kinds of passes that are not gone through thoroughly.
var telling = []string{
	"half a text", "the list missing", "the list null", "the list an object", "the first row null", "the last row null", "the last row {}",
	"the first row without a port", "the last row without an address", "the last row of another group",
	"the last row with an object for a weight", "the first row with null for a state", "the last row with an object for a mark",
}

func members(s seen) bool { return s.rows() && s.is("member_binding") }

type missing struct{}

// listOf names the list in an answer.
func listOf(body []byte) string {
	var top map[string]any
	if json.Unmarshal(body, &top) != nil {
		return ""
	}
	for name, v := range top {
		if rows, ok := v.([]any); ok && len(rows) > 0 {
			return name
		}
	}
	return ""
}

func list(change func([]any) any) func([]byte) []byte {
	return func(body []byte) []byte {
		name := listOf(body)
		var top map[string]any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if d.Decode(&top) != nil || name == "" {
			return body // there are no rows this time
		}
		top[name] = change(top[name].([]any))
		if _, gone := top[name].(missing); gone {
			delete(top, name)
		}
		out, err := json.Marshal(top)
		if err != nil {
			panic(err)
		}
		return out
	}
}
