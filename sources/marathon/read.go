package marathon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"nitrox/sources"
)

// list is what /v2/apps says of the apps that are wanted.
type list struct {
	apps   map[string]*app
	others []string // the names of those that are not wanted
	// odd are apps that cannot be read, and why.
	odd map[string]error
	// nameless is why an object of the list cannot even be told to be another
	// than the wanted one; nil: there is none.
	nameless error
}

// read reads the answer to a request for /v2/apps, app by app, so that an odd
// one harms itself only, and the whole is never held in memory. An error means
// that the answer is not whole, and then nothing is known.
func read(r io.Reader, wanted map[string]bool) (*list, error) {
	d := json.NewDecoder(r)
	if err := expect(d, '{'); err != nil {
		return nil, err
	}
	var l *list
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, incomplete(err)
		}
		if key != "apps" {
			var ignored json.RawMessage
			if err := d.Decode(&ignored); err != nil {
				return nil, incomplete(err)
			}
			continue
		}
		if l != nil {
			return nil, errors.New(`the answer has "apps" twice`)
		}
		if l, err = readApps(d, wanted); err != nil {
			return nil, err
		}
	}
	if err := expect(d, '}'); err != nil {
		return nil, err
	}
	if l == nil {
		return nil, errors.New(`the answer has no "apps"; is this the URL of a Marathon?`)
	}
	if _, err := d.Token(); err == nil {
		return nil, errors.New("there is more after the JSON of the answer")
	} else if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("there is more after the JSON of the answer: %w", err)
	}
	return l, nil
}

func readApps(d *json.Decoder, wanted map[string]bool) (*list, error) {
	if err := expect(d, '['); err != nil {
		return nil, fmt.Errorf(`"apps": %w`, err)
	}
	l := &list{apps: make(map[string]*app), odd: make(map[string]error)}
	for d.More() {
		a := &app{}
		err := d.Decode(a)
		if mismatch := (*json.UnmarshalTypeError)(nil); err != nil && !errors.As(err, &mismatch) {
			return nil, incomplete(err)
		}
		switch {
		case a.ID == "" && err != nil:
			l.nameless = fmt.Errorf("an app in Marathon's list cannot be read: %w", err)
		case a.ID == "":
			l.nameless = errors.New("an app in Marathon's list has no id")
		case !wanted[a.ID]:
			l.others = append(l.others, a.ID)
		case err != nil:
			l.odd[a.ID] = fmt.Errorf("it cannot be read: %w", err)
		case l.apps[a.ID] != nil:
			l.odd[a.ID] = errors.New("it is in Marathon's list twice")
		default:
			l.apps[a.ID] = a
		}
	}
	return l, expect(d, ']')
}

// expect reads one delimiter.
func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	switch {
	case err != nil:
		return incomplete(err)
	case got == want:
		return nil
	}
	text := fmt.Sprint(got)
	if got == nil {
		text = "null"
	}
	return fmt.Errorf("the answer has %q where %q is expected", sources.Excerpt(text), want)
}

// incomplete says that an answer is not whole, or not JSON at all.
func incomplete(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the answer breaks off: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("the answer cannot be read: %w", err)
}
