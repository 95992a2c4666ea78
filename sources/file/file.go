// Package file reads endpoints from a file that something else writes: a
// deployment script, a template of consul-template, a person.
//
// The file is JSON if it begins with { or [, and YAML otherwise. Whoever writes
// it renames a finished file into place. A YAML file must end in a line of
// three dots, the YAML mark for the end of a document, because a YAML file that
// was cut off is still YAML; a JSON file that was cut off is not JSON.
//
// The plain form names apps and their endpoints, each an address and port with,
// optionally, a weight from 1 to 100:
//
//	{"apps": {
//	  "AccountService": ["10.0.3.14:31080", {"address": "10.0.3.15:31080", "weight": 2}],
//	  "Retired": []
//	}}
//
// The form that templates of consul-template wrote for the first Nitrox is one
// object or a list of them; a port may be text, and other keys are ignored:
//
//	[{"servicename": "AccountService", "backends": [{"host": "10.0.3.14", "port": "31080"}]}]
package file

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"nitrox/sources"
	"nitrox/sources/bounds"
	"nitrox/sources/textfile"
)

// maxSize is the size in bytes above which a file is taken for a mistake: room
// for about a quarter of a million endpoints.
const maxSize = 16 << 20

// Config is a file source of the mapping.
type Config struct {
	// Path names the file.
	Path sources.Path `yaml:"path"`
	// MaxAge is how long ago the file may last have been written; nothing is
	// known from an older one. 0, the default, allows any age.
	MaxAge time.Duration `yaml:"max_age"`
}

// Check implements [sources.Checker].
func (c Config) Check() error {
	var problems sources.Problems
	if c.Path == "" {
		problems.Add("path", "give the name of a file")
	}
	if c.MaxAge < 0 {
		problems.Add("max_age", "%v is negative", c.MaxAge)
	}
	return problems.Err()
}

// OthersWrite implements [sources.Exposed].
func (c Config) OthersWrite(any) string { return "its endpoints from a file" }

// Query is a from entry of the mapping.
type Query struct {
	// App is the app's name in the file.
	App string `yaml:"app"`
}

// Check implements [sources.Checker].
func (q Query) Check() error {
	if q.App == "" {
		return &sources.KeyError{Key: "app", Err: errors.New("give the app's name in the file")}
	}
	return nil
}

// Source is a file of endpoints. It implements [sources.Source].
type Source struct{ config Config }

// Open makes a source of a file, which it does not read.
func Open(config Config) (*Source, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	return &Source{config}, nil
}

// Poll reads the file. An app that the file does not name is absent; one that
// it names with an empty list has no endpoints.
func (s *Source) Poll(_ context.Context, queries []Query, _ bool) ([]sources.Answer, error) {
	path := string(s.config.Path)
	apps, written, err := read(path)
	if age := time.Since(written); s.config.MaxAge > 0 && !written.IsZero() && age > s.config.MaxAge {
		return nil, fmt.Errorf("%s: last written %v ago, longer than max_age %v; see why it is not written any more, or raise max_age", path, age.Round(cmp.Or(s.config.MaxAge/100, 1)), s.config.MaxAge)
	}
	var place *textfile.Error
	if errors.As(err, &place) && place.Line > 0 {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	answers := make([]sources.Answer, len(queries))
	names := sources.Names{All: func() []string { return slices.Sorted(maps.Keys(apps)) }}
	for i, q := range queries {
		answer, ok := apps[q.App]
		if !ok {
			answer = sources.Doubtful(fmt.Errorf("%s: %w", path, names.Absent("app", q.App)))
		}
		answers[i] = answer
	}
	return answers, nil
}

// reading are the files that are being read, by their names: what several sources
// have in one file is read once for all that ask at a time.
var reading singleflight.Group

// turns are taken to read a file: of hundreds that are large, not all are in memory at
// once. One on a drive that hangs holds up the others for no longer than its turn.
var turns = bounds.NewTurns(4, 2*time.Second)

// file is one that was read.
type file struct {
	apps    map[string]sources.Answer
	written time.Time
}

// read gives what a file says of each app that it names, and when it was last
// written. Errors about the file itself name it.
func read(path string) (map[string]sources.Answer, time.Time, error) {
	v, err, _ := reading.Do(path, func() (any, error) {
		end, err := turns.Take(context.Background()) // it is read for all that ask
		if err != nil {
			return nil, err
		}
		defer end()
		data, written, err := load(path)
		if err != nil {
			return file{written: written}, err
		}
		apps, err := parse(path, data)
		return file{apps, written}, err
	})
	f, _ := v.(file)
	return f.apps, f.written, err
}

// load gives the whole text of a file.
func load(path string) (text []byte, written time.Time, err error) {
	// A named pipe would hold the open call until someone writes to it.
	if info, err := os.Stat(path); err != nil {
		return nil, written, err
	} else if !info.Mode().IsRegular() {
		return nil, written, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, written, err
	}
	defer f.Close()
	// The age must be that of the file that is read, which may have been
	// renamed into place just now.
	info, err := f.Stat()
	if err != nil {
		return nil, written, err
	}
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), maxSize)) + bytes.MinRead)
	_, err = data.ReadFrom(io.LimitReader(f, maxSize+1))
	if err == nil && data.Len() > maxSize {
		err = fmt.Errorf("larger than %d MiB", maxSize>>20)
	}
	return data.Bytes(), info.ModTime(), err
}
