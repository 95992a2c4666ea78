package bounds

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxDepth = 128
	// maxString is more than Kubernetes keeps of a whole object, with escapes.
	maxString = 4 << 20
	maxNumber = 256
	maxBlanks = 64 << 10
)

// Decoder decodes JSON of which no more comes to it than is wanted, and no more
// than it can be trusted with.
type Decoder struct {
	*json.Decoder
	Memory
	text  *scanner // that it reads
	parts Cost     // handed out one by one so far
}

// NewDecoder decodes one JSON value. What follows it is an error.
func NewDecoder(r io.Reader, shape *Shape) *Decoder {
	return newDecoder(&scanner{r: r, root: shape, shape: shape})
}

// NewSequence decodes JSON values, one after the other.
func NewSequence(r io.Reader, shape *Shape) *Decoder {
	return newDecoder(&scanner{r: r, root: shape, shape: shape, sequence: true})
}

func newDecoder(s *scanner) *Decoder { return &Decoder{Decoder: json.NewDecoder(s), text: s} }

// state is what a scanner expects next.
type state byte

const (
	atValue state = iota
	atFirst       // a list's first value, or its end
	atName
	atFirstName // an object's first name, or its end
	atColon
	atComma // or the end
	inString
	inEscape
	inHex
	inNumber // or a word
	atEnd
)

// scanner passes on what is wanted of JSON text, without blanks, checks the rest
// for its syntax, and counts. It takes no more memory than the text that it was
// read into, whatever is in that.
type scanner struct {
	r        io.Reader
	root     *Shape
	shape    *Shape // of the value to come; nil: it is not wanted
	sequence bool

	buffer []byte
	in     []byte // of buffer, what is to be scanned
	last   error  // after in
	out    []byte // to be passed on, from at
	at     int
	err    error // after out
	passed int64
	// paused: it is in a list of rows, before the next or the end, so that no more of it
	// is passed on than is asked for.
	paused bool

	state  state
	frames []frame
	word   []byte // a number, a literal or a name
	named  bool   // the string is a name
	hex    int    // digits to come
	length int    // of the string
	blanks int    // in a row
	Cost          // of the part so far
}

// frame is an object or a list that has begun.
type frame struct {
	shape  *Shape // nil: it is not wanted
	object bool
	begun  bool // something of it was passed on
}

func (s *scanner) Read(p []byte) (int, error) {
	for s.at == len(s.out) && s.err == nil {
		s.out, s.at = s.out[:0], 0
		if len(s.in) == 0 && s.last == nil {
			s.fill()
		}
		if s.err = s.scan(); s.err == nil && len(s.in) == 0 && s.last != nil {
			s.err = s.end(s.last)
		}
	}
	if s.at == len(s.out) {
		return 0, s.err
	}
	n := copy(p, s.out[s.at:])
	s.at += n
	s.passed += int64(n)
	return n, nil
}

// fill reads more text, after what is left of the last. It is false where none comes,
// or none fits.
func (s *scanner) fill() bool {
	if s.buffer == nil {
		s.buffer = make([]byte, 64<<10)
		s.frames = make([]frame, 0, 16)
	}
	left := copy(s.buffer, s.in)
	if s.in = s.buffer[:left]; s.last != nil || left == len(s.buffer) {
		return false
	}
	n, err := s.r.Read(s.buffer[left:])
	s.in, s.last = s.buffer[:left+n], err
	return n > 0
}

// end is the error at the end of the text. Whether that is complete the decoder
// knows: it lacks something that was passed on, at least the end.
func (s *scanner) end(err error) error {
	if errors.Is(err, io.EOF) && s.state == inNumber && len(s.frames) == 0 {
		return cmp.Or(s.endWord(), err)
	}
	return err
}

// scan takes what is in, or so much of it that it pauses.
func (s *scanner) scan() error {
	p, i := s.in, 0
	defer func() { s.in = p[i:] }()
	for s.paused = false; i < len(p) && !s.paused; {
		if s.state == inString {
			n, err := s.text(p[i:])
			if err != nil {
				return err
			}
			i += n
			continue
		}
		c := p[i]
		if s.state == inNumber {
			if c > ' ' && !strings.ContainsRune(`,]}"{[`, rune(c)) { // values may follow each other without a blank
				if len(s.word) == maxNumber {
					return tooLarge("a number in it has more than %d digits; find out what answers there", maxNumber)
				}
				s.word = append(s.word, c)
				i++
				continue
			}
			if err := s.endWord(); err != nil {
				return err
			}
			continue
		}
		i++
		if s.state != inEscape && s.state != inHex && (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			if s.blanks++; s.blanks > maxBlanks {
				return tooLarge("it has more than %s of blanks in a row; find out what answers there", amount(maxBlanks))
			}
			continue
		}
		s.blanks = 0
		if err := s.step(c); err != nil {
			return err
		}
	}
	return nil
}

// step takes one character.
func (s *scanner) step(c byte) error {
	switch s.state {
	case inEscape, inHex:
		return s.escape(c)
	case atFirst:
		if c == ']' {
			return s.leave()
		}
		return s.value(c)
	case atValue:
		return s.value(c)
	case atFirstName, atName:
		switch {
		case c == '"':
			s.state, s.named, s.length, s.word = inString, true, 0, s.word[:0]
			return nil
		case c == '}' && s.state == atFirstName:
			return s.leave()
		}
		return invalid(c, "looking for beginning of object key string")
	case atColon:
		if c != ':' {
			return invalid(c, "after object key")
		}
		s.state = atValue
		return s.enter()
	case atComma:
		top := s.frames[len(s.frames)-1]
		switch {
		case c == ',' && top.object:
			s.state = atName
		case c == ',':
			s.state = atValue
		case c == '}' && top.object, c == ']' && !top.object:
			return s.leave()
		case top.object:
			return invalid(c, "after object key:value pair")
		default:
			return invalid(c, "after array element")
		}
		return nil
	}
	return invalid(c, "after top-level value")
}

func invalid(c byte, where string) error { return fmt.Errorf("invalid character %q %s", c, where) }

// enter passes on a name, if it is that of a field that is wanted.
func (s *scanner) enter() error {
	top := &s.frames[len(s.frames)-1]
	s.shape = nil
	switch {
	case top.shape == nil:
		return nil
	case top.shape.whole:
		s.shape = Whole
	case top.shape.every != nil:
		s.shape = top.shape.every
	default:
		s.shape = top.shape.field(s.word)
	}
	if s.shape == nil {
		return nil
	}
	if top.begun {
		s.out = append(s.out, ',')
	}
	top.begun = true
	s.out = append(s.out, '"')
	s.out = append(s.out, s.word...)
	s.out = append(s.out, '"', ':')
	return s.Spend(2 * int64(len(s.word)))
}

// value begins a value.
func (s *scanner) value(c byte) error {
	if n := len(s.frames); n > 0 && !s.frames[n-1].object {
		top := &s.frames[n-1]
		s.shape = nil
		switch {
		case top.shape == nil:
		case top.shape.part != nil:
			s.shape = top.shape.part
		case top.shape.whole:
			s.shape = Whole
		}
		if s.shape != nil {
			if top.begun {
				s.out = append(s.out, ',')
			}
			top.begun = true
		}
	}
	if s.shape != nil {
		if err := s.Spend(s.shape.cost); err != nil {
			return err
		}
	}
	switch {
	case c == '{' || c == '[':
		if len(s.frames) == maxDepth {
			return tooLarge("it is nested more than %d deep; find out what answers there", maxDepth)
		}
		s.pass(c)
		s.frames = append(s.frames, frame{shape: s.within(c), object: c == '{'})
		s.state = atFirst
		if c == '{' {
			s.state = atFirstName
		}
		s.paused = c == '[' && s.shape != nil && s.shape.rows
	case c == '"':
		s.state, s.named, s.length = inString, false, 0
		s.pass(c)
	case c == '-' || '0' <= c && c <= '9' || c == 't' || c == 'f' || c == 'n':
		s.state, s.word = inNumber, append(s.word[:0], c)
	default:
		return invalid(c, "looking for beginning of value")
	}
	return nil
}

// within is the shape of an object or a list that begins. What it has where
// something else is wanted does not matter: it will be refused.
func (s *scanner) within(c byte) *Shape {
	switch {
	case s.shape == nil,
		s.shape.whole,
		c == '{' && (s.shape.fields != nil || s.shape.every != nil),
		c == '[' && s.shape.part != nil:
		return s.shape
	}
	return &Shape{}
}

// pass passes a character of a value on, if that is wanted.
func (s *scanner) pass(c byte) {
	if s.shape != nil {
		s.out = append(s.out, c)
	}
}

// leave ends an object or a list.
func (s *scanner) leave() error {
	top := s.frames[len(s.frames)-1]
	s.frames = s.frames[:len(s.frames)-1]
	if top.shape != nil {
		if top.object {
			s.out = append(s.out, '}')
		} else {
			s.out = append(s.out, ']')
		}
	}
	s.ended()
	return nil
}

// ended is called at the end of each value.
func (s *scanner) ended() {
	if n := len(s.frames); n > 0 {
		s.state = atComma
		if top := s.frames[n-1].shape; top != nil && (s.frames[n-1].object && top.walk || !s.frames[n-1].object && top.walkList) {
			s.Cost = Cost{}
			s.paused = top.rows && !s.frames[n-1].object
		}
		return
	}
	s.Cost = Cost{}
	s.state = atEnd
	if s.sequence {
		s.out = append(s.out, '\n')
		s.state, s.shape = atValue, s.root
	}
}

// text takes the rest of a string, or of what there is of it.
func (s *scanner) text(p []byte) (int, error) {
	n := 0
	for n < len(p) && p[n] != '"' && p[n] != '\\' && p[n] >= ' ' {
		n++
	}
	if err := s.characters(p[:n]); err != nil || n == len(p) {
		return n, err
	}
	switch c := p[n]; {
	case c == '\\':
		s.state = inEscape
		return n + 1, s.characters(p[n : n+1])
	case c != '"':
		return n, invalid(c, "in string literal")
	case s.named:
		s.state = atColon
	default:
		s.pass('"')
		s.ended()
	}
	return n + 1, nil
}

// characters are some of a string.
func (s *scanner) characters(p []byte) error {
	if s.length += len(p); s.length > maxString {
		return tooLarge("a text in it has more than %s; find out what answers there", amount(maxString))
	}
	if s.named {
		if top := s.frames[len(s.frames)-1]; top.shape != nil {
			s.word = append(s.word, p...)
		}
		return nil
	}
	if s.shape == nil {
		return nil
	}
	s.out = append(s.out, p...)
	return s.Spend(2 * int64(len(p)))
}

// escape takes what follows a backslash.
func (s *scanner) escape(c byte) error {
	isHex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
	switch {
	case s.state == inHex && !isHex:
		return invalid(c, `in \u hexadecimal character escape`)
	case s.state == inHex:
		if s.hex--; s.hex == 0 {
			s.state = inString
		}
	case c == 'u':
		s.state, s.hex = inHex, 4
	case c == '"', c == '\\', c == '/', c == 'b', c == 'f', c == 'n', c == 'r', c == 't':
		s.state = inString
	default:
		return invalid(c, "in string escape code")
	}
	return s.characters([]byte{c})
}

// endWord ends a number, or true, false or null.
func (s *scanner) endWord() error {
	if !json.Valid(s.word) {
		return fmt.Errorf("%q is neither a number nor true, false or null", s.word)
	}
	if s.shape != nil {
		s.out = append(s.out, s.word...)
	}
	s.ended()
	return nil
}
