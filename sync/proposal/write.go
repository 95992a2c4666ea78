package proposal

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nitrox/sources"
)

// File is a mapping file to be.
type File struct {
	// Intro are comments for its beginning, and Head is what comes before the apps.
	Intro []string
	Head  string
	Apps  []App
	// Candidates are all that there are: those without a group are named at the end.
	Candidates []Candidate
}

// String is the text of the file. Whatever names are like, each stays in its value
// or comment.
func (f File) String() string {
	var b strings.Builder
	for _, line := range f.Intro {
		b.WriteString(Comment(line))
	}
	b.WriteString(f.Head + "apps:\n")
	seen := map[offered]bool{}
	for _, a := range f.Apps {
		b.WriteString(a.text())
		for _, c := range a.From {
			seen[c.offered()] = true
		}
	}
	const named = 50
	free := 0
	for _, c := range f.Candidates {
		if seen[c.offered()] {
			continue
		}
		seen[c.offered()] = true
		switch free++; {
		case free == 1:
			b.WriteString("\n" + Comment("Not in any service group above:"))
			fallthrough
		case free <= named:
			b.WriteString(Comment("  " + c.entry()))
		}
	}
	if free > named {
		b.WriteString(Comment(fmt.Sprintf("  and %d more", free-named)))
	}
	return b.String()
}

// remark is a comment of the apps, in lines that fit a terminal.
func remark(text string) string {
	const width = 96
	var b strings.Builder
	for len(text) > width {
		end := strings.LastIndexByte(text[:width], ' ')
		if end <= 0 {
			break
		}
		b.WriteString("  " + Comment(text[:end]))
		text = text[end+1:]
	}
	return b.String() + "  " + Comment(text)
}

// Comment is a line of a comment. What comes from outside must be a [Scalar] in it,
// or a line of redact.
func Comment(line string) string { return strings.TrimRight("# "+line, " ") + "\n" }

// text is the app's part of the file.
func (a App) text() string {
	name := Scalar(a.Name)
	if a.Unfit != "" {
		return remark(fmt.Sprintf("%s is left out: %s.", name, a.Unfit))
	}
	var from []string
	for _, c := range slices.Concat(a.From, a.Choices) {
		from = append(from, c.entry())
	}
	lines := []string{"- name: " + name}
	if a.Called != "" && a.Called != a.Name {
		lines = []string{"- name: " + Scalar(a.Called), "  service_group: " + name}
	}
	if a.Create != "" {
		lines = append(lines, "  create: "+a.Create)
	}
	if len(a.Only) > 0 {
		lines = append(lines, "  only: "+list(a.Only))
	}
	lines = append(lines, "  from:")
	var b strings.Builder
	if len(a.From) > 0 {
		b.WriteString(remark(a.evidence()))
		for _, line := range lines {
			b.WriteString("  " + line + "\n")
		}
		for _, entry := range from {
			b.WriteString("      - " + entry + "\n")
		}
		return b.String()
	}
	remedy := "Write its from entry, and uncomment this:"
	if len(from) > 0 {
		remedy = "Keep the right one, and uncomment this:"
	}
	b.WriteString(remark(fmt.Sprintf("%s (%s) is not decided: %s. %s", name, sources.Count(len(a.Members), "member"), a.Why, remedy)))
	for _, line := range lines {
		b.WriteString("  " + Comment(line))
	}
	if len(from) == 0 {
		from = []string{"{source: NAME}"}
	}
	const shown = 10
	for i, entry := range from[:min(len(from), shown)] {
		if i > 0 {
			entry = "# or: - " + entry
		} else {
			entry = "- " + entry
		}
		b.WriteString("  " + Comment("    "+entry))
	}
	if more := len(from) - shown; more > 0 {
		b.WriteString("  " + Comment(fmt.Sprintf("    # and %d more", more)))
	}
	return b.String()
}

// evidence says why the app is as it is, and what plan will show.
func (a App) evidence() string {
	if a.Note != "" {
		return a.Note
	}
	n := len(a.Members)
	said := fmt.Sprintf("Matched by its members: %d of %d are endpoints.", a.Found, n)
	switch {
	case n == 0:
		said = "Matched by its name: it has no members yet."
	case a.Found == 0:
		said = "Matched by its name: its members have the addresses of the endpoints, and other ports."
	}
	if a.Found < n {
		said += fmt.Sprintf(" The plan removes the members that are not (%d): is that right?", n-a.Found)
	}
	if a.New > 0 {
		said += fmt.Sprintf(" Endpoints that are not bound yet: %d.", a.New)
	}
	if a.Others > 0 {
		said += fmt.Sprintf(" Members that are no addresses, and are left alone: %d.", a.Others)
	}
	return said
}

// entry is the candidate as a from entry.
func (c Candidate) entry() string {
	entry := "{source: " + Scalar(c.Source) + ", " + Keys(c.Query) + "}"
	if c.Doubt != "" {
		entry += " # in doubt: " + c.Doubt
	}
	return entry
}

func list[T any](items []T) string {
	var all []string
	for _, item := range items {
		all = append(all, Scalar(fmt.Sprint(item)))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// Keys writes a query or a configuration by its struct tags, without what is empty.
func Keys(v any) string {
	var all []string
	of := reflect.ValueOf(v)
	for i := range of.NumField() {
		f := of.Field(i)
		if f.IsZero() {
			continue
		}
		text := Scalar(fmt.Sprint(f))
		if texts, ok := f.Interface().([]string); ok {
			text = list(texts)
		}
		all = append(all, of.Type().Field(i).Tag.Get("yaml")+": "+text)
	}
	return strings.Join(all, ", ")
}

// bare is what means itself without quotation marks, unless it is a word of YAML's.
var (
	bare     = regexp.MustCompile(`^([A-Za-z_/][A-Za-z0-9_./=@-]*|0|[1-9][0-9]{0,4}|[0-9.]+/[0-9]+)$`)
	yamlWord = regexp.MustCompile(`^(?i)(null|true|false|yes|no|on|off|y|n)$`)
)

// Scalar is a text as a YAML value that a mapping reads as the same text, on one
// line and all to be seen.
func Scalar(text string) string {
	if bare.MatchString(text) && !yamlWord.MatchString(text) {
		return text
	}
	return strconv.Quote(strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "${", "$${"))
}
