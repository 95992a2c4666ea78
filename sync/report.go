package sync

import (
	"bytes"
	"io"
)

// Report writes a result for somebody.
type Report func(w io.Writer, r Result) error

// Reports are the outputs by name.
var Reports = map[string]Report{"text": Text, "json": JSON, "nscli": NSCLI}

// The colours of the lines of a text report, by the mark in their third
// column; the sequences are those of ECMA-48.
var colours = map[byte]string{
	'+': "\x1b[32m", '^': "\x1b[32m", '~': "\x1b[36m",
	'v': "\x1b[33m", '-': "\x1b[31m", '?': "\x1b[33m", '!': "\x1b[1;31m",
}

// Coloured is the report with its lines coloured by what they say. A report
// says everything without colour too.
func Coloured(report Report) Report {
	return func(w io.Writer, r Result) error {
		var plain, b bytes.Buffer
		if err := report(&plain, r); err != nil {
			return err
		}
		for line := range bytes.Lines(plain.Bytes()) {
			if len(line) > 4 && line[0] == ' ' && line[1] == ' ' && line[3] == ' ' && colours[line[2]] != "" {
				b.WriteString(colours[line[2]])
				b.Write(bytes.TrimSuffix(line, []byte("\n")))
				b.WriteString("\x1b[0m\n")
				continue
			}
			b.Write(line)
		}
		_, err := w.Write(b.Bytes())
		return err
	}
}
