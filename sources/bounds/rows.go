package bounds

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
)

// RowsOf is the shape of a list of which [Rows] reads the parts.
func RowsOf[T any]() *Shape {
	s := List(Of[T]())
	s.rows = true
	return s
}

// Rows walks through a list as [Decoder.List] does. Its parts are objects, of which it
// hands out the fields of a T, all of them [json.RawMessage]s with names in lower
// case, as they stand, until the next part is read.
//
// An object in the usual form is taken from the text as that was read, which costs a
// tenth of what encoding/json takes: names in lower case, each once, and no value but
// texts without escapes, whole numbers, true, false and null. Whatever else
// there is, encoding/json reads.
func Rows[T any](d *Decoder, part func(*T) error) error {
	var usual, odd T
	if err := d.enter(); err != nil {
		return err
	}
	taken, decoded := columnsOf(&usual), columnsOf(&odd)
	for {
		for d.between() && d.text.row(taken) {
			if err := d.one(func() error { return part(&usual) }); err != nil {
				return err
			}
		}
		if !d.More() {
			_, err := d.next()
			return err
		}
		if err := d.one(func() error {
			for _, f := range decoded.fields {
				*f = (*f)[:0] // its memory is used again
			}
			if err := d.Decode(&odd); err != nil {
				return err
			}
			return part(&odd)
		}); err != nil {
			return err
		}
	}
}

// between: all that was passed on has been decoded, and the scanner is in a list of
// rows, before the next or the end.
func (d *Decoder) between() bool {
	s := d.text
	return s.paused && s.err == nil && s.at == len(s.out) && d.InputOffset() == s.passed
}

// columns are the fields of a row, and where they are to go.
type columns struct {
	fields []*json.RawMessage
	at     map[string]int // by name
	// names are those of the last row, with their quotes: most rows have the same in
	// the same order.
	names []column
}

type column struct {
	name  []byte
	field *json.RawMessage // nil: nobody wants it
}

func columnsOf(row any) *columns {
	c := &columns{at: map[string]int{}}
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		c.at[name] = i
		c.fields = append(c.fields, v.Field(i).Addr().Interface().(*json.RawMessage))
	}
	return c
}

// row takes the next row from the text, if that is in the usual form. If not, it takes
// nothing.
func (s *scanner) row(c *columns) bool {
	for {
		n, cut := c.take(s.in, s.state == atComma)
		if n > 0 {
			s.in, s.state, s.blanks = s.in[n:], atComma, 0
			return true
		}
		if !cut || !s.fill() {
			return false
		}
	}
}

// take gives back how long the row is, 0 if it is not in the usual form; cut: more text
// may tell. A row that is not the first begins with the comma before it.
func (c *columns) take(p []byte, comma bool) (n int, cut bool) {
	for _, f := range c.fields {
		*f = nil
	}
	i := skip(p, 0)
	if comma {
		if i == len(p) || p[i] != ',' {
			return 0, i == len(p)
		}
		i = skip(p, i+1)
	}
	if i == len(p) || p[i] != '{' {
		return 0, i == len(p)
	}
	for k := 0; ; k++ {
		i = skip(p, i+1)
		name, ok := c.name(p[i:], k)
		if !ok {
			return 0, bytes.IndexByte(p[min(i+1, len(p)):], '"') < 0
		}
		if i = skip(p, i+len(name.name)); i == len(p) || p[i] != ':' {
			return 0, i == len(p)
		}
		i = skip(p, i+1)
		length, ok := value(p[i:])
		if !ok {
			return 0, i+length == len(p)
		}
		if name.field != nil {
			if *name.field != nil {
				return 0, false
			}
			*name.field = p[i : i+length : i+length]
		}
		if i = skip(p, i+length); i == len(p) {
			return 0, true
		}
		switch p[i] {
		case ',':
		case '}':
			return i + 1, false
		default:
			return 0, false
		}
	}
}

// name is the name that p begins with, the k-th of a row.
func (c *columns) name(p []byte, k int) (name column, ok bool) {
	if k < len(c.names) && bytes.HasPrefix(p, c.names[k].name) {
		return c.names[k], true
	}
	if len(p) == 0 || p[0] != '"' {
		return name, false
	}
	n := 1
	for n < len(p) && ('a' <= p[n] && p[n] <= 'z' || '0' <= p[n] && p[n] <= '9' || p[n] == '_') {
		n++
	}
	if n == len(p) || p[n] != '"' {
		return name, false
	}
	if k == len(c.names) {
		c.names = append(c.names, name)
	}
	c.names[k] = column{name: append(c.names[k].name[:0], p[:n+1]...)}
	if at, wanted := c.at[string(p[1:n])]; wanted {
		c.names[k].field = c.fields[at]
	}
	return c.names[k], true
}

// value is how long the value is that p begins with. It is not ok if that is not in the
// usual form; then it is how far it was.
func value(p []byte) (n int, ok bool) {
	if len(p) == 0 {
		return 0, false
	}
	switch c := p[0]; {
	case c == '"':
		for n = 1; n < len(p) && p[n] >= ' ' && p[n] != '"' && p[n] != '\\'; {
			n++
		}
		if n == len(p) || p[n] != '"' {
			return n, false
		}
		return n + 1, true
	case '0' <= c && c <= '9' || c == '-':
		for n = 1; n < len(p) && '0' <= p[n] && p[n] <= '9'; {
			n++
		}
		// The scanner knows what other numbers there are.
		return n, n < len(p) && n < maxNumber && c != '-' && (c != '0' || n == 1)
	}
	for _, word := range []string{"null", "true", "false"} {
		if bytes.HasPrefix(p, []byte(word)) {
			return len(word), true
		}
	}
	return min(len(p), len("false")), false
}

// skip is where the blanks end that are in p from i on.
func skip(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n' || p[i] == '\r') {
		i++
	}
	return i
}
