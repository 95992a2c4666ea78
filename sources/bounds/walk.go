package bounds

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Object walks through an object that is read field by field. field is called
// with each name, which may be there twice, and must read the value. Anything but
// an object is a [*Mismatch].
func (d *Decoder) Object(field func(name string) error) error {
	if start, err := d.next(); err != nil {
		return err
	} else if start != json.Delim('{') {
		return unexpected(start, '{')
	}
	for d.More() {
		name, err := d.next()
		if err != nil {
			return err
		}
		if err := d.one(func() error { return field(fmt.Sprint(name)) }); err != nil {
			return err
		}
	}
	_, err := d.next()
	return err
}

// List walks through a list that is read part by part, which part does. Anything
// else, also null, is a [*Mismatch], and is passed over.
func (d *Decoder) List(part func() error) error {
	if err := d.enter(); err != nil {
		return err
	}
	for d.More() {
		if err := d.one(part); err != nil {
			return err
		}
	}
	_, err := d.next()
	return err
}

// enter begins a list.
func (d *Decoder) enter() error {
	switch start, err := d.next(); {
	case err != nil:
		return err
	case start == json.Delim('{'):
		if _, err := d.next(); err != nil { // nothing of it has been passed on
			return err
		}
		return unexpected(start, '[')
	case start != json.Delim('['):
		return unexpected(start, '[')
	}
	return nil
}

// one counts a part that is handed out.
func (d *Decoder) one(part func() error) error {
	if err := d.parts.Next(); err != nil {
		return err
	}
	return part()
}

// Mismatch is an error about a value that is another than an object or a list.
type Mismatch struct {
	Null bool
	text string
}

func (m *Mismatch) Error() string { return m.text }

func unexpected(token json.Token, want json.Delim) error {
	text := "null"
	if token != nil {
		text = fmt.Sprint(token)
	}
	return &Mismatch{token == nil, fmt.Sprintf("the answer has %q where %q is expected", text[:min(len(text), 100)], want)}
}

// End is an error if anything follows.
func (d *Decoder) End() error {
	if _, err := d.Token(); err == nil {
		return errors.New("there is more after the JSON of the answer")
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("there is more after the JSON of the answer: %w", err)
	}
	return nil
}

// next is a token, where one must come.
func (d *Decoder) next() (json.Token, error) {
	token, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return token, err
}
