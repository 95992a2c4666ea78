package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	stdsync "sync"

	"nitrox/sources"
	"nitrox/sync"

	"gopkg.in/yaml.v3"
)

// decoder fills structs from YAML nodes. What is wrong it notes, and goes on.
type decoder struct {
	file    string
	dir     string   // relative paths begin here
	by      *decoder // of the file that includes it; nil: the command line names it
	named   place    // where that is
	limits  *limits  // nil: it may say everything
	content []byte
	values  int   // in the content
	unread  error // why there is no content
	root    *yaml.Node
	top     *object // of the root
	keys    fileKeys
	lookup  func(string) (string, bool)
	// defaults are those of the file's apps.
	defaults policyKeys
	// hidden has, for nodes whose text held variables, what no message may
	// show.
	hidden                     map[*yaml.Node][]hidden
	problems, warnings, advice []Problem
	files                      []Problem // of those that sources name
	served                     []sync.App
	claimed                    []*yaml.Node // the service groups of served
}

func (d *decoder) add(line, column int, message string) {
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Column: column, Message: message})
}

func (d *decoder) problem(n *yaml.Node, format string, args ...any) {
	d.add(n.Line, n.Column, fmt.Sprintf(format, args...))
}

func (d *decoder) warn(n *yaml.Node, format string, args ...any) {
	d.warnings = append(d.warnings, Problem{File: d.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
}

// entry is one key of a mapping and its value.
type entry struct{ key, value *yaml.Node }

// entries returns what the mapping n holds, each key once. A mapping of which
// nothing is written ("defaults:") is empty. ok: n is a mapping.
func (d *decoder) entries(n *yaml.Node, what string) (list []entry, ok bool) {
	if null(n) {
		return nil, true
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, "%s: must be keys with values, not %s", what, form(n))
		return nil, false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || null(key) {
			d.problem(key, "%s: a key must be a word, not %s", what, form(key))
			continue
		}
		if line, twice := first[key.Value]; twice {
			d.problem(key, "%s: key %s is given twice; the first is on line %d", what, quote(key.Value), line)
			continue
		}
		first[key.Value] = key.Line
		list = append(list, entry{key, value})
	}
	return list, true
}

// object is a mapping that was decoded into structs.
type object struct {
	node   *yaml.Node
	what   string                // what it is, for messages: app "shop"
	values map[string]*yaml.Node // by key
	wrong  map[string]bool       // keys whose values have a problem
	stray  bool                  // there are keys that nobody knows
}

// object decodes the mapping n. into are pointers to structs whose fields have
// yaml tags; together they are the keys that n may have. Structs that are
// [sources.Checker] are checked. It returns nil if n is not a mapping.
func (d *decoder) object(n *yaml.Node, what string, into ...any) *object {
	list, ok := d.entries(n, what)
	if !ok {
		return nil
	}
	o := &object{node: n, what: what, values: map[string]*yaml.Node{}, wrong: map[string]bool{}}
	known, fields := keys(into)
	for _, e := range list {
		key := e.key.Value
		field, ok := fields[key]
		if !ok {
			o.stray = true
			d.unknownKey(e.key, what, known)
			continue
		}
		o.values[key] = e.value
		o.wrong[key] = !d.value(e.value, key, field)
	}
	for _, s := range into {
		if c, ok := s.(sources.Checker); ok {
			d.refuse(o, c.Check())
		}
	}
	return o
}

// unknownKey reports a key that is none of the known. Of what is more than a
// word only the word is shown: a value may be glued to it, even a password.
func (d *decoder) unknownKey(n *yaml.Node, what string, known []string) {
	word := firstWord.FindString(n.Value)
	rest := n.Value[len(word):]
	switch {
	case rest == "":
		d.problem(n, "unknown key %s in %s%s", quote(word), what, didYouMean(word, known))
	case strings.HasPrefix(rest, ":"):
		d.problem(n, "%s: a space is missing after the colon of %s; write \"key: value\"", what, quote(word))
	case slices.Contains(known, word):
		d.problem(n, "%s: a colon is missing after %s; write \"key: value\"", what, quote(word))
	default:
		d.problem(n, "unknown key %s in %s%s", quote(word+"…"), what, didYouMean(n.Value, known))
	}
}

// firstWord is of the letters that keys have, and others of their kind.
var firstWord = regexp.MustCompile(`^[\pL\pN_.-]*`)

// keys returns the keys of structs, in order, and the field of each. Two fields
// of one key would be the mistake of a programmer.
func keys(into []any) (order []string, fields map[string]reflect.Value) {
	fields = map[string]reflect.Value{}
	for _, s := range into {
		v := reflect.ValueOf(s).Elem()
		for _, f := range fieldsOf(v.Type()) {
			tag := f.Tag.Get("yaml")
			if _, twice := fields[tag]; twice {
				panic("config: two fields of " + v.Type().String() + " and its neighbours are called " + tag)
			}
			order = append(order, tag)
			fields[tag] = v.FieldByIndex(f.Index)
		}
	}
	return order, fields
}

// visible are the fields of structs that have keys, by type: each app asks for them.
var visible stdsync.Map

func fieldsOf(t reflect.Type) []reflect.StructField {
	if known, ok := visible.Load(t); ok {
		return known.([]reflect.StructField)
	}
	fields := slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return f.Tag.Get("yaml") == "" })
	visible.Store(t, fields)
	return fields
}

// missing is a problem with a key that o does not have. It is not reported for an
// object with unknown keys: the one that is missed may be misspelt.
func (d *decoder) missing(o *object, key, remedy string) {
	if n, given := o.values[key]; given {
		d.problem(n, "%s: is empty; %s", key, remedy)
	} else if !o.stray {
		d.problem(o.node, "%s: %s is missing; %s", o.what, key, remedy)
	}
}

// refuse notes the errors of a check of o at the values of the keys they name.
func (d *decoder) refuse(o *object, err error) {
	switch e := err.(type) {
	case nil:
	case *sources.KeyError:
		d.refuseKey(o, e.Key, e.Err.Error())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			d.refuse(o, part)
		}
	default:
		var k *sources.KeyError
		if errors.As(err, &k) {
			d.refuseKey(o, k.Key, err.Error())
		} else {
			d.refuseKey(o, "", err.Error())
		}
	}
}

// aside gives what refuse would note, and does not note it.
func (d *decoder) aside(o *object, err error) []Problem {
	before := len(d.problems)
	d.refuse(o, err)
	noted := slices.Clone(d.problems[before:])
	d.problems = d.problems[:before]
	return noted
}

func (d *decoder) refuseKey(o *object, key, message string) {
	name, _, _ := strings.Cut(key, "[")
	n, present := o.values[name]
	if !present {
		// What is missing may just be misspelt, or have a value that could
		// not be read.
		if !o.stray && !o.anyWrong() {
			d.problem(o.node, "%s: %s", o.what, d.hide(strings.TrimPrefix(key+": "+message, ": "), o.nodes()...))
		}
		return
	}
	if !o.wrong[name] {
		d.problem(item(n, key), "%s: %s", key, d.hide(message, o.nodes()...))
	}
}

// advise notes warnings about o at the values of the keys they name.
func (d *decoder) advise(o *object, warnings error) {
	var k *sources.KeyError
	switch joined, ok := warnings.(interface{ Unwrap() []error }); {
	case ok:
		for _, warning := range joined.Unwrap() {
			d.advise(o, warning)
		}
	case errors.As(warnings, &k):
		at := o.node
		if name, _, _ := strings.Cut(k.Key, "["); o.values[name] != nil {
			at = o.at(k.Key)
		}
		d.warn(at, "%s: %s", o.what, d.hide(k.Error(), o.nodes()...))
	}
}

func (o *object) anyWrong() bool {
	return slices.Contains(slices.Collect(maps.Values(o.wrong)), true)
}

// at is the place of the value of a key that o has, such as "key" or "key[1]".
func (o *object) at(key string) *yaml.Node {
	name, _, _ := strings.Cut(key, "[")
	return item(o.values[name], key)
}

// item finds the place of "key[1]" in the value of key.
func item(n *yaml.Node, key string) *yaml.Node {
	_, index, _ := strings.Cut(strings.TrimSuffix(key, "]"), "[")
	if i, err := strconv.Atoi(index); err == nil && n.Kind == yaml.SequenceNode && i >= 0 && i < len(n.Content) {
		return n.Content[i]
	}
	return n
}

// nodes are the scalars of the object's own values and lists.
func (o *object) nodes() []*yaml.Node {
	var all []*yaml.Node
	for _, n := range o.values {
		all = append(append(all, n), n.Content...)
	}
	return all
}

// form is what a node is, in words.
func form(n *yaml.Node) string {
	switch {
	case null(n):
		return "nothing"
	case n.Kind == yaml.MappingNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode:
		return "the {{ … }} of a template, which is to be filled in before"
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}
