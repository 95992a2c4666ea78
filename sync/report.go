package sync

import "io"

// Report writes a result for somebody.
type Report func(w io.Writer, r Result) error

// Reports are the outputs by name.
var Reports = map[string]Report{"text": Text, "json": JSON, "nscli": NSCLI}
