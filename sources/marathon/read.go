package marathon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	marathon "github.com/gambol99/go-marathon"

	"nitrox/sources/bounds"
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

// among says whether an app is one of those that are wanted. Its tasks are not kept if it
// is not when they come.
type among func(*app) bool

// named are the apps with some IDs.
func named(ids map[string]bool) among { return func(a *app) bool { return ids[a.ID] } }

func every(*app) bool { return true }

func newList() *list { return &list{apps: make(map[string]*app), odd: make(map[string]error)} }

// appShape is what is wanted of an app, whose tasks are read one by one: some
// apps have ten thousand.
var appShape = bounds.Of[app]().Walk().With("tasks", bounds.List(bounds.Of[struct {
	ID, Host, State, StartedAt, Version string
	Ports                               []int
	IPAddresses                         []marathon.IPAddress
	HealthCheckResults                  []struct {
		Alive                          bool
		ConsecutiveFailures            int
		FirstSuccess, LastFailureCause string
	}
}]()))

var errTwice = errors.New(`the answer has "apps" twice`)

// read reads the answer to a request for /v2/apps, app by app, so that an odd
// one harms itself only, and the whole is never held in memory. An error means
// that the answer is not whole, and then nothing is known.
func read(r io.Reader, wanted among) (*list, error) {
	d := bounds.NewDecoder(r, bounds.Object(map[string]*bounds.Shape{"apps": bounds.List(appShape)}).Exact())
	var l *list
	err := d.Object(func(string) (err error) {
		if l != nil {
			return errTwice
		}
		l, err = readApps(d, wanted)
		return err
	})
	switch mismatch := (*bounds.Mismatch)(nil); {
	case errors.As(err, &mismatch), errors.Is(err, errTwice):
		return nil, err
	case err != nil:
		return nil, incomplete(err)
	case l == nil:
		return nil, errors.New(`the answer has no "apps"; is this the URL of a Marathon?`)
	}
	return l, d.End()
}

func readApps(d *bounds.Decoder, wanted among) (*list, error) {
	l := newList()
	kept := int64(0)
	err := d.List(func() error {
		a, size, wrong, err := readApp(d, wanted, kept)
		switch {
		case err != nil:
			return err
		case a.ID == "" && wrong != nil:
			l.nameless = fmt.Errorf("an app in Marathon's list cannot be read: %w", wrong)
		case a.ID == "":
			l.nameless = errors.New("an app in Marathon's list has no id")
		case !wanted(a):
			l.others = append(l.others, a.ID)
		case wrong != nil:
			l.odd[a.ID] = fmt.Errorf("it cannot be read: %w", wrong)
		case l.apps[a.ID] != nil:
			l.odd[a.ID] = errors.New("it is in Marathon's list twice")
		default:
			l.apps[a.ID] = a
			kept += size
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf(`"apps": %w`, err)
	}
	return l, nil
}

// readApp reads an app; size is the memory that it takes, and wrong why it cannot
// be read.
func readApp(d *bounds.Decoder, wanted among, kept int64) (a *app, size int64, wrong, err error) {
	a = &app{}
	odd := func(err error) error {
		if mismatch := (*json.UnmarshalTypeError)(nil); err != nil && !errors.As(err, &mismatch) && !errors.As(err, new(*bounds.Mismatch)) {
			return err
		}
		wrong = cmp.Or(wrong, err)
		return nil
	}
	var raw json.RawMessage
	err = d.Object(func(name string) error {
		if !strings.EqualFold(name, "tasks") {
			if err := d.Decode(&raw); err != nil {
				return err
			}
			size += 2 * int64(len(raw))
			return cmp.Or(odd(json.Unmarshal(fmt.Appendf(nil, "{%q:%s}", name, raw), a)), d.Keep(kept+size))
		}
		tasks := []task{}
		err := d.List(func() error {
			var t task
			if err := odd(d.Decode(&t)); err != nil || a.ID != "" && !wanted(a) {
				return err
			}
			tasks = append(tasks, t)
			size += bounds.Size(t)
			return d.Keep(kept + size)
		})
		if mismatch := (*bounds.Mismatch)(nil); errors.As(err, &mismatch) && mismatch.Null {
			return nil
		}
		a.Tasks = &tasks
		return odd(err)
	})
	return a, size, wrong, odd(err)
}

// incomplete says that an answer is not whole, or not JSON at all.
func incomplete(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the answer breaks off: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("the answer cannot be read: %w", err)
}
