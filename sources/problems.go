package sources

import (
	"errors"
	"fmt"
)

// KeyError is a problem with the value of one key of the mapping file, named
// as in its yaml struct tag ("host", "hosts[1]"). Whoever reads the file adds
// file, line and column.
type KeyError struct {
	Key string
	Err error
}

func (e *KeyError) Error() string { return fmt.Sprintf("%s: %v", e.Key, e.Err) }
func (e *KeyError) Unwrap() error { return e.Err }

// Word is implemented by named strings that are one of a few words.
type Word interface{ Words() []string }

// Problems are what a [Checker] finds: of each key what is wrong with it.
type Problems []error

// Add adds a problem with a key.
func (p *Problems) Add(key, format string, args ...any) {
	*p = append(*p, &KeyError{key, fmt.Errorf(format, args...)})
}

// Err is all problems joined; nil: there are none.
func (p Problems) Err() error { return errors.Join(p...) }
