// Package bounds limits what comes from outside: how long it is on the wire and
// when it is decompressed, how it is nested, and how much memory its parts and
// the whole take. It hands to a decoder only what is wanted of it.
package bounds

import "errors"

// ErrTooLarge is wrapped by all errors about a limit that was exceeded.
var ErrTooLarge = errors.New("too large")
