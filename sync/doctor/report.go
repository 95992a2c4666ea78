package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"nitrox/sources"
	"nitrox/sources/examine"
	"nitrox/sources/redact"
	"nitrox/sync"
)

// Text writes the report for a person, in 80 columns; only what is to be copied
// elsewhere stays on its line.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	say := func(head, text string) {
		text = pairs.ReplaceAllStringFunc(text, func(f string) string { return strings.ReplaceAll(f, ":", "") })
		sync.Wrap(&b, head, len(head), text)
	}
	var copies []Section
	for i, s := range r {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(s.Name + "\n")
		for _, c := range s.Checks {
			state := string(c.State)
			if c.State == examine.Failed {
				state = "FAILED"
			}
			say(fmt.Sprintf("  %-12s", state), c.Subject+": "+c.Seen)
			if c.Remedy != "" {
				say("               > ", c.Remedy)
			}
			if len(c.Copy) > 0 {
				copies = append(copies, Section{s.Name, []examine.Check{c}})
			}
		}
	}
	for _, s := range copies {
		fmt.Fprintf(&b, "\nthe smallest rights for %s\n", s.Name)
		for _, line := range s.Checks[0].Copy {
			b.WriteString("  " + line + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%d failed, %s, %d in order\n",
		r.count(examine.Failed), sources.Count(r.count(examine.Warning), "warning"), r.count(examine.OK))
	_, err := io.WriteString(w, b.String())
	return err
}

// pairs is a fingerprint as openssl writes it, which is longer than a line; without
// its colons it means the same.
var pairs = regexp.MustCompile(`\b(?:[0-9A-F]{2}:){31}[0-9A-F]{2}\b`)

// JSON writes the report for a program.
func (r Report) JSON(w io.Writer) error {
	type check struct {
		Section string `json:"section"`
		examine.Check
	}
	all := struct {
		Checks   []check `json:"checks"`
		Failed   int     `json:"failed"`
		Warnings int     `json:"warnings"`
	}{[]check{}, r.count(examine.Failed), r.count(examine.Warning)}
	for _, s := range r {
		for _, c := range s.Checks {
			all.Checks = append(all.Checks, check{s.Name, c})
		}
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(all)
}

// Redacted is the report fit to print: each text on one line, and without secrets.
func (r Report) Redacted() Report {
	const most = 2000
	fit := func(text string) string { return redact.Lines(text, most) }
	all := make(Report, len(r))
	for i, s := range r {
		all[i].Name = fit(s.Name)
		for _, c := range s.Checks {
			c.Subject, c.Seen, c.Remedy = fit(c.Subject), fit(c.Seen), fit(c.Remedy)
			lines := make([]string, len(c.Copy))
			for j, line := range c.Copy {
				indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
				lines[j] = indent + fit(line)
			}
			c.Copy = lines
			all[i].Checks = append(all[i].Checks, c)
		}
	}
	return all
}
