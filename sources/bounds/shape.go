package bounds

import (
	"cmp"
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// Shape says what is wanted of a JSON value, and what it costs to decode. What
// is not wanted is looked at for its syntax, and dropped.
type Shape struct {
	whole  bool              // all of it is wanted, whatever it is
	fields map[string]*Shape // of an object, in lower case
	every  *Shape            // of all values of an object
	part   *Shape            // of a list
	// walk: the fields of an object are handed out one by one, and walkList: the
	// parts of a list; so that only one of them is in memory, but for what is kept.
	walk     bool
	walkList bool
	rows     bool  // the parts of a list are read by [Rows]
	exact    bool  // names must be in lower case
	cost     int64 // of being there, beside its text
}

// Whole wants all of a value, whatever it is.
var Whole = &Shape{whole: true, cost: 16}

// Object wants some of the fields of an object, which are handed out one by one.
func Object(fields map[string]*Shape) *Shape {
	s := &Shape{fields: make(map[string]*Shape, len(fields)), walk: true}
	for name, field := range fields {
		s.fields[strings.ToLower(name)] = field
	}
	return s
}

// List wants all parts of a list, which are handed out one by one.
func List(part *Shape) *Shape { return &Shape{part: part, walkList: true} }

// Either wants what is of the shape, or a list of such, one by one.
func Either(s *Shape) *Shape {
	both := *s
	both.part, both.walkList = s, true
	return &both
}

// Walk is the shape of an object whose fields are handed out one by one.
func (s *Shape) Walk() *Shape {
	walked := *s
	walked.walk = true
	return &walked
}

// Exact wants the fields only if their names are in lower case.
func (s *Shape) Exact() *Shape {
	exact := *s
	exact.exact = true
	return &exact
}

// With is the shape with one field more or another.
func (s *Shape) With(name string, field *Shape) *Shape {
	more := *s
	more.fields = map[string]*Shape{strings.ToLower(name): field}
	for name, field := range s.fields {
		if more.fields[name] == nil {
			more.fields[name] = field
		}
	}
	return &more
}

// Of wants what encoding/json puts into a T.
func Of[T any]() *Shape {
	t := reflect.TypeFor[T]()
	if s, ok := shapes.Load(t); ok {
		return s.(*Shape)
	}
	s, _ := shapes.LoadOrStore(t, shapeOf(t, map[reflect.Type]*Shape{}))
	return s.(*Shape)
}

var shapes sync.Map // by type

var (
	reads     = reflect.TypeFor[json.Unmarshaler]()
	readsText = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// shapeOf is the shape of a type. known are those that it is part of.
func shapeOf(t reflect.Type, known map[reflect.Type]*Shape) *Shape {
	if s := known[t]; s != nil {
		return s
	}
	s := &Shape{cost: 2 * int64(t.Size())} // once more while a list of them grows
	known[t] = s
	if p := reflect.PointerTo(t); p.Implements(reads) || p.Implements(readsText) {
		s.whole = true
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		cost := s.cost
		*s = *shapeOf(t.Elem(), known)
		s.cost += cost
	case reflect.Struct:
		s.fields = map[string]*Shape{}
		addFields(s.fields, t, known)
	case reflect.Map:
		value := *shapeOf(t.Elem(), known)
		value.cost += entry(t)
		s.every = &value
	case reflect.Slice, reflect.Array:
		s.part = shapeOf(t.Elem(), known)
	case reflect.Interface:
		s.whole = true
	}
	return s
}

// addFields adds the fields of a struct; its own come after those of structs in
// it, and before them for encoding/json.
func addFields(all map[string]*Shape, t reflect.Type, known map[reflect.Type]*Shape) {
	var own []reflect.StructField
	for f := range t.Fields() {
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch tag := f.Tag.Get("json"); {
		case tag == "-":
		case f.Anonymous && inner.Kind() == reflect.Struct && (tag == "" || tag[0] == ','):
			addFields(all, inner, known)
		case f.IsExported():
			own = append(own, f)
		}
	}
	for _, f := range own {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all[strings.ToLower(cmp.Or(name, f.Name))] = shapeOf(f.Type, known)
	}
}

// field is the shape of a field, if that is wanted. encoding/json does not tell
// upper from lower case.
func (s *Shape) field(name []byte) *Shape {
	if s.exact {
		return s.fields[string(name)]
	}
	var buffer [64]byte
	lower := buffer[:0]
	for _, c := range name {
		if c == '\\' || c >= 0x80 {
			return s.oddField(name)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower = append(lower, c)
	}
	return s.fields[string(lower)]
}

// oddField is field for a name that is written in an unusual way.
func (s *Shape) oddField(name []byte) *Shape {
	var text string
	if json.Unmarshal([]byte(`"`+string(name)+`"`), &text) != nil {
		return nil
	}
	for field, shape := range s.fields {
		if strings.EqualFold(field, text) {
			return shape
		}
	}
	return nil
}
