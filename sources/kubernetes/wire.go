package kubernetes

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"nitrox/sources/bounds"
)

// wire reads a message of Protocol Buffers of which no more is decoded than is
// wanted, and no more than it can be trusted with. No length that it states is
// believed before that much has come.
type wire struct {
	bounds.Memory
	r      *bufio.Reader
	at     int64 // bytes read
	buffer []byte
	cost   bounds.Cost // of the field that is walked through
	path   []string    // the names of the fields that are being decoded
}

// walk goes through a message of size bytes or, if that is negative, to the end
// of the text. Each field that is wanted, by its number, is told its size, and need
// not read itself.
func (w *wire) walk(size int64, wanted fields) error {
	end := w.at + size
	for size < 0 || w.at < end {
		tag, err := binary.ReadUvarint(w)
		if size < 0 && err == io.EOF { // and not in the middle of it
			return nil
		}
		if err := w.cost.Next(); err != nil {
			return err
		}
		length := uint64(0)
		number, kind := protowire.DecodeTag(tag)
		switch {
		case err != nil:
		case kind == protowire.BytesType:
			length, err = binary.ReadUvarint(w)
		case kind == protowire.VarintType:
			_, err = binary.ReadUvarint(w)
		case kind == protowire.Fixed32Type:
			length = 4
		case kind == protowire.Fixed64Type:
			length = 8
		default:
			err = fmt.Errorf("field %d has the unknown wire type %d", number, kind)
		}
		switch field := wanted[number]; {
		case err != nil:
			return begun(err)
		case length > math.MaxInt64/2, size >= 0 && w.at+int64(length) > end:
			return fmt.Errorf("field %d has %d bytes, more than there are in what it is part of", number, length)
		case field != nil && kind != protowire.BytesType:
			return fmt.Errorf("field %d has the wire type %d, not %d", number, kind, protowire.BytesType)
		case field != nil:
			next := w.at + int64(length)
			if err := field(int64(length)); err != nil {
				return err
			}
			length = uint64(next - w.at)
		}
		n, err := io.CopyN(io.Discard, w.r, int64(length))
		w.at += n
		if err != nil {
			return begun(err)
		}
	}
	return nil
}

// ReadByte implements [io.ByteReader].
func (w *wire) ReadByte() (byte, error) {
	c, err := w.r.ReadByte()
	if err == nil {
		w.at++
	}
	return c, err
}

// begun is the error of what has begun, and so must not end there.
func begun(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// read reads a field, which the next overwrites.
func (w *wire) read(size int64) ([]byte, error) {
	w.buffer = w.buffer[:0]
	for left := size; left > 0; {
		n := int(min(left, 1<<20))
		if err := w.cost.Spend(int64(n)); err != nil {
			return nil, err
		}
		begin := len(w.buffer)
		w.buffer = slices.Grow(w.buffer, n)[:begin+n]
		read, err := io.ReadFull(w.r, w.buffer[begin:])
		w.at += int64(read)
		if err != nil {
			return nil, begun(err)
		}
		left -= int64(n)
	}
	return w.buffer, nil
}

// decode reads a message into the struct that v points to.
func (w *wire) decode(size int64, v any) error {
	text, err := w.read(size)
	if err != nil {
		return err
	}
	return w.unmarshal(text, v)
}

// unmarshal decodes a message that was read as [wire.read] into the struct that
// v points to. Its fields have tags with their numbers; the message's others are
// dropped. As in JSON, numbers must fit, and one field may be there twice.
func (w *wire) unmarshal(message []byte, v any) error {
	w.path = w.path[:0]
	s := reflect.ValueOf(v).Elem()
	return w.message(message, s, numbered(s.Type()))
}

// layout are the fields of a struct by their numbers.
type layout []struct {
	name  string // "": there is no such field
	index int
	inner layout // of the struct that it is, points to or has a list of
	cost  int64  // of being there, beside its text
}

var layouts sync.Map // by type

// numbered is the layout of a type; nil: it is not one of structs.
func numbered(t reflect.Type) layout {
	if known, ok := layouts.Load(t); ok {
		return known.(layout)
	}
	var l layout
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return numbered(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			number, err := strconv.Atoi(f.Tag.Get("proto"))
			if err != nil {
				panic(t.String() + "." + f.Name + " has no number")
			}
			if number >= len(l) {
				l = slices.Grow(l, number+1-len(l))[:number+1]
			}
			at := &l[number]
			at.name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
			at.index, at.inner = f.Index[0], numbered(f.Type)
			switch f.Type.Kind() {
			case reflect.Slice:
				at.cost = 2 * int64(f.Type.Elem().Size()) // once more while the list grows
			case reflect.Pointer:
				at.cost = int64(f.Type.Elem().Size())
			case reflect.Map:
				at.cost = 2 * int64(f.Type.Key().Size()+f.Type.Elem().Size())
			}
		}
	}
	layouts.Store(t, l)
	return l
}

func (w *wire) message(b []byte, v reflect.Value, l layout) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return w.odd("bytes")
		}
		b = b[n:]
		if int(number) >= len(l) || l[number].name == "" {
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return w.odd("bytes")
			}
			b = b[n:]
			continue
		}
		field := &l[number]
		if err := w.cost.Spend(field.cost); err != nil {
			return err
		}
		w.path = append(w.path, field.name)
		to := v.Field(field.index)
		if to.Kind() == reflect.Slice && to.IsNil() {
			to.Grow(alike(number, kind, b))
		}
		n, err := w.value(kind, b, to, field.inner)
		if err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
		b = b[n:]
	}
	return nil
}

// usualSize is how many endpoints a controller puts into a slice.
const usualSize = 100

// alike is how many fields of a number follow each other, as those of a list do, of
// which the first has its value at the beginning of b; at most the usual size.
func alike(number protowire.Number, kind protowire.Type, b []byte) int {
	for count := 1; count < usualSize; count++ {
		n := protowire.ConsumeFieldValue(number, kind, b)
		if n < 0 {
			return count
		}
		next, k, m := protowire.ConsumeTag(b[n:])
		if m < 0 || next != number || k != kind {
			return count
		}
		b = b[n+m:]
	}
	return usualSize
}

// value decodes what a field has at the beginning of b, and returns how much that
// is.
func (w *wire) value(kind protowire.Type, b []byte, v reflect.Value, l layout) (int, error) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return w.value(kind, b, v.Elem(), l)
	case reflect.Slice:
		v.Grow(1)
		v.SetLen(v.Len() + 1)
		return w.value(kind, b, v.Index(v.Len()-1), l)
	case reflect.Bool, reflect.Uint16, reflect.Int:
		return w.number(kind, b, v)
	}
	text, n := protowire.ConsumeBytes(b)
	switch {
	case kind != protowire.BytesType:
		return 0, w.odd("wire type %d", kind)
	case n < 0:
		return 0, w.odd("bytes")
	}
	switch to := v.Addr().Interface().(type) {
	case *string:
		if !utf8.Valid(text) {
			return 0, w.odd("text that is not UTF-8")
		}
		if err := w.cost.Spend(int64(len(text))); err != nil {
			return 0, err
		}
		*to = string(text)
		return n, nil
	case *timestamp:
		var t struct {
			Seconds int `json:"seconds" proto:"1"`
		}
		s := reflect.ValueOf(&t).Elem()
		if err := w.message(text, s, numbered(s.Type())); err != nil {
			return 0, err
		}
		if t.Seconds != 0 {
			*to = timestamp(time.Unix(int64(t.Seconds), 0).UTC().Format(time.RFC3339))
		}
		return n, nil
	case *map[string]string:
		if *to == nil {
			*to = map[string]string{}
		}
		var e struct {
			Key   string `json:"key" proto:"1"`
			Value string `json:"value" proto:"2"`
		}
		s := reflect.ValueOf(&e).Elem()
		if err := w.message(text, s, numbered(s.Type())); err != nil {
			return 0, err
		}
		(*to)[e.Key] = e.Value
		return n, nil
	}
	return n, w.message(text, v, l)
}

func (w *wire) number(kind protowire.Type, b []byte, v reflect.Value) (int, error) {
	x, n := protowire.ConsumeVarint(b)
	switch {
	case kind != protowire.VarintType:
		return 0, w.odd("wire type %d", kind)
	case n < 0:
		return 0, w.odd("bytes")
	case v.Kind() == reflect.Bool:
		v.SetBool(x != 0)
	case v.Kind() == reflect.Uint16 && x <= math.MaxUint16:
		v.SetUint(x)
	case v.Kind() == reflect.Int && !v.OverflowInt(int64(x)):
		v.SetInt(int64(x))
	default:
		return 0, w.odd("number %d", int64(x))
	}
	return n, nil
}

// odd is an error about the field that is being decoded.
func (w *wire) odd(format string, args ...any) error {
	where := "in it"
	if len(w.path) > 0 {
		where = "at " + strings.Join(w.path, ".")
	}
	return fmt.Errorf("unexpected %s %s", fmt.Sprintf(format, args...), where)
}
