// Package syntax says where a text stops being YAML or JSON, and what to do
// about it. It knows what the parsers say, and how people come to write what
// parsers refuse. No message repeats a part of the text, which may be a
// password; [textfile.Error.Excerpt] does, without the values of keys that hold one.
package syntax

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"nitrox/sources/textfile"
)

// Aliases and Tags are said of what YAML could do and Nitrox does not read.
const (
	Aliases = "anchors, aliases and merge keys are not supported; put common settings under defaults, and quote text that begins with & or *"
	Tags    = "tags are not supported; quote text that begins with !"
)

// YAML makes of err, for which the parser refuses data, a [textfile.Error]: where
// parsing failed, as a person would point at it, and in the second half of the
// sentence the line of what surrounds it. The parser says only the latter; its
// successor, which is asked here and decodes nothing, says both.
func YAML(data []byte, err error) error {
	var failed *yaml.LoadError
	d := yaml.NewDecoder(bytes.NewReader(data))
	for failed == nil {
		if again := d.Decode(new(yaml.Node)); again != nil && !errors.As(again, &failed) {
			break // it understands data
		}
	}
	f := &failure{lines: strings.Split(string(data), "\n")}
	for i, line := range f.lines {
		f.lines[i] = strings.TrimSuffix(line, "\r")
	}
	var at place
	var message string
	if failed == nil || failed.Mark.Line == 0 {
		at, message = f.refused(err)
	} else {
		f.message, f.context = failed.Message, failed.ContextMsg
		f.at, f.around = place{failed.Mark.Line, failed.Mark.Column}, place{failed.ContextMark.Line, failed.ContextMark.Column}
		at, message = f.explain()
	}
	if at.line > len(f.lines) { // behind the last line, which has no end
		at = place{len(f.lines), len([]rune(f.line(len(f.lines)))) + 1}
	}
	return &textfile.Error{Line: at.line, Column: at.column, Message: message, Excerpt: excerpt(f.lines, at)}
}

// said is what the parser that decodes says, where that is all there is.
var said = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// refused explains what only the parser that decodes refuses. It names a line
// at most, that of what surrounds the failure if it knows that, and counts from
// 0 unless it stopped within a word; of the first line it says nothing.
func (f *failure) refused(err error) (place, string) {
	m := said.FindStringSubmatch(err.Error())
	if m == nil {
		return place{}, fmt.Sprintf("is not YAML: %v; check its indentation, brackets and quotes", err)
	}
	line, _ := strconv.Atoi(m[1]) // 0: there is none
	if grammar.MatchString(m[2]) || m[1] == "" {
		line++
	}
	at := f.start(min(line, len(f.lines)))
	switch message := m[2]; {
	case strings.HasPrefix(f.line(at.line-1), "..."), strings.HasPrefix(f.line(at.line), "..."):
		if !strings.HasPrefix(f.line(at.line), "...") {
			at.line--
		}
		return place{at.line, 1}, "the document ends at these three dots, and text follows; move them to the end of the file, or remove what follows"
	default:
		for n := at.line; n <= len(f.lines) && (strings.Contains(message, "tab") || strings.Contains(message, "start any token")); n++ {
			if before, _, ok := strings.Cut(f.line(n), "\t"); ok && strings.TrimSpace(before) == "" {
				return place{n, len(before) + 1}, indented
			}
		}
		return at, fmt.Sprintf("is not YAML: %s; check the brackets and quotes from here on, and quote text that begins with & ! ? or :", message)
	}
}

const indented = "a tab indents this line; YAML is indented with spaces"

// grammar is what it says of words that it understands, in the wrong place.
var grammar = regexp.MustCompile(`^did not find expected (<|node content|'-' indicator|key|',' or)|^found (undefined tag|duplicate|incompatible)`)

// place counts from 1, in characters.
type place struct{ line, column int }

// failure is what the parser says.
type failure struct {
	lines            []string
	message, context string
	at               place // where it stopped
	around           place // where what surrounds that begins
}

// line returns a line of the text.
func (f *failure) line(n int) string {
	if n < 1 || n > len(f.lines) {
		return ""
	}
	return f.lines[n-1]
}

// split cuts the line of a place in two there.
func (f *failure) split(p place) (before, after string) {
	runes := []rune(f.line(p.line))
	column := min(max(p.column-1, 0), len(runes))
	return string(runes[:column]), string(runes[column:])
}

// start is where the first letter of a line is.
func (f *failure) start(line int) place {
	text := f.line(line)
	return place{line, len([]rune(text)) - len([]rune(strings.TrimLeft(text, " \t"))) + 1}
}

// atEnd tells whether nothing but blank lines, or the mark of the document's
// end, follows where parsing stopped.
func (f *failure) atEnd() bool {
	_, rest := f.split(f.at)
	rest = strings.TrimSpace(rest + strings.Join(f.lines[min(f.at.line, len(f.lines)):], ""))
	return rest == "" || rest == "..."
}

// marker begins a line that a merge tool left.
var marker = regexp.MustCompile(`^(<{7}|={7}|>{7})( |$)`)

// explain says where to look, and what is wrong.
func (f *failure) explain() (place, string) {
	for i, line := range f.lines {
		if marker.MatchString(line) {
			return place{i + 1, 1}, "a merge conflict marker; resolve the conflict and remove its markers"
		}
	}
	before, after := f.split(f.at)
	first := strings.TrimSpace(before) == ""
	if indent := f.line(f.at.line)[:len(f.line(f.at.line))-len(strings.TrimLeft(f.line(f.at.line), " \t"))]; strings.Contains(indent, "\t") {
		return place{f.at.line, strings.Index(indent, "\t") + 1}, indented
	}
	quoted := strings.HasSuffix(strings.TrimRight(before, " "), `"`) || strings.HasSuffix(strings.TrimRight(before, " "), "'")
	switch {
	case strings.HasPrefix(f.message, "unknown anchor"), strings.Contains(f.context, "an anchor"), strings.Contains(f.context, "an alias"):
		return f.at, Aliases
	case strings.Contains(f.context, "a tag"), strings.Contains(f.message, "tag handle"):
		return f.at, Tags
	case strings.Contains(f.context, "a directive"), strings.Contains(f.message, "%TAG"), strings.Contains(f.message, "YAML"):
		return place{f.at.line, 1}, "a line that begins with % is a directive, which is not supported; remove it"
	case strings.HasPrefix(after, "\t"), strings.Contains(f.message, "tab character"):
		return f.at, "a tab stands where YAML takes spaces only; replace it by a space"
	case f.message == "found character that cannot start any token":
		return f.at, fmt.Sprintf("a value cannot begin with %.1q, which YAML keeps for itself; quote the value", after)
	case f.context == "while scanning a quoted scalar" && strings.HasPrefix(f.message, "found unexpected"):
		end := "the end of the file"
		if !f.atEnd() {
			end = fmt.Sprintf("the end of the document in line %d", f.at.line)
		}
		return f.around, "the quote that begins here is not closed before " + end + "; close it"
	case f.context == "while scanning a quoted scalar":
		return f.at, `in double quotes a \ begins an escape sequence, but not one that YAML knows; write \\, or use single quotes`
	case f.context == "while scanning a block scalar" && f.message == "did not find expected comment or line break":
		return f.at, "only a comment may follow | or > in its line; begin the text in the next line, or quote the value"
	case f.message == "found a comment without preceding whitespace":
		return f.at, "a # needs a space before it to begin a comment; add one, or quote the value"
	case f.message == "mapping values are not allowed in this context":
		if opened, ok := f.opened(); ok {
			return opened, f.closedLate()
		}
		return f.colon(before)
	case f.message == "could not find expected ':'" && comment.MatchString(strings.TrimLeft(f.line(f.around.line), " ")):
		return f.start(f.around.line), hash
	case f.message == "could not find expected ':'":
		return f.around, "a colon is missing after this key; write \"key: value\""
	case f.message == "block sequence entries are not allowed in this context":
		return f.at, `a list cannot begin here; begin it in the next line, or quote a value that begins with "-"`
	case f.context == "while parsing a flow sequence", f.context == "while parsing a flow mapping":
		return f.flow()
	case f.context == "while parsing a flow node" && f.atEnd():
		if open, ok := f.unclosed(); ok {
			_, bracket := f.split(open)
			return open, fmt.Sprintf("the %.1s that begins here is not closed before the end of the file; close it", bracket)
		}
		return f.at, "the file ends where a value is expected; check the brackets above"
	case f.context == "while parsing a flow node":
		return f.at, "a value is missing here; check the commas and brackets before it"
	case f.message == "did not find expected node content":
		return f.at, "a value is missing before this; give one, or indent this line further"
	case quoted && !first:
		if opened, ok := f.opened(); ok {
			return opened, f.closedLate()
		}
		return f.at, "text follows the closing quote; quote the whole value, or double a quote that is part of it"
	case strings.HasPrefix(after, "]"), strings.HasPrefix(after, "}"):
		return f.at, fmt.Sprintf("this %.1s closes nothing; remove it, or open it before", after)
	case !first:
		return f.at, "text follows a value that is complete; remove it, or quote the whole value"
	case dashed.MatchString(after):
		return f.at, dash
	case f.context == "while parsing a block mapping" && strings.HasPrefix(after, "-"):
		return f.at, fmt.Sprintf(`this "-" is an item of no list; align it with the other items of its list, or remove it: the mapping that begins in line %d goes on here`,
			f.around.line)
	case f.context == "while parsing a block mapping":
		return f.at, fmt.Sprintf("this line is indented by %d and belongs to nothing above it; the keys of the mapping that begins in line %d are indented by %d",
			f.at.column-1, f.around.line, f.around.column-1)
	case f.context == "while parsing a block collection":
		return f.at, fmt.Sprintf(`this line is indented by %d and belongs to nothing above it; in the list that begins in line %d each "- " is indented by %d, and its keys by more, all alike`,
			f.at.column-1, f.around.line, f.around.column-1)
	case strings.HasPrefix(f.message, "exceeded max depth"):
		return f.at, "is nested too deeply for any file that Nitrox reads; check the brackets"
	case f.around.line > 0:
		return f.at, fmt.Sprintf("is not YAML: %s; check the indentation, brackets and quotes here and from line %d on", f.message, f.around.line)
	}
	return f.at, fmt.Sprintf("is not YAML: %s; check the indentation, brackets and quotes here and above", f.message)
}

var (
	dashed  = regexp.MustCompile(`^-[^\s-]`)          // an item without its space
	colon   = regexp.MustCompile(`:(\s|$)`)           // what ends a key
	glued   = regexp.MustCompile(`^["'\w.-]+:[^\s/]`) // a key that its value is glued to, and no URL
	comment = regexp.MustCompile(`^(//|/\*|;|--)`)    // of other languages
	word    = regexp.MustCompile(`(^|[ \t])[\w.-]+$`)
	pending = regexp.MustCompile(`^[\w-]+ +[\[{"'$]`) // a key and a value, without a colon
)

const (
	dash = `a space is missing after the "-"; write "- key: value"`
	hash = "a comment begins with #; put one before this"
)

// colon explains a colon where there can be no key. before is what its line
// has before it. Most often the text continues a value of the line above.
func (f *failure) colon(before string) (place, string) {
	const missing = "a colon is missing after this key; write \"key: value\""
	key := strings.TrimLeft(before, " ")
	switch {
	case dashed.MatchString(key):
		return f.start(f.at.line), dash
	case pending.MatchString(key):
		return f.start(f.at.line), missing
	case strings.ContainsAny(key, "[{"):
		if closed, ok := f.closed(before); ok {
			return closed, "text follows the closing bracket; remove it, or quote the whole value"
		}
		return f.at, "a second \": \" in one line; quote the value"
	case colon.MatchString(before):
		return f.at, "a second \": \" in one line; quote the value"
	}
	above := f.at.line - 1
	for above > 0 && (strings.TrimSpace(f.line(above)) == "" || strings.HasPrefix(strings.TrimSpace(f.line(above)), "#")) {
		above--
	}
	if above == 0 || f.start(f.at.line).column > f.at.column {
		return f.at, "a \": \" where there can be no key; check the indentation, or quote the value"
	}
	at := f.start(above)
	text := strings.TrimLeft(f.line(above), " ")
	switch {
	case dashed.MatchString(text):
		return at, dash
	case comment.MatchString(text):
		return at, hash
	case colon.MatchString(text):
		return f.start(f.at.line), fmt.Sprintf("this line is indented further than the key of line %d, so it continues the value there; indent both alike", above)
	}
	item := strings.TrimLeft(strings.TrimPrefix(text, "- "), " ")
	at.column += len(text) - len(item)
	if glued.MatchString(item) {
		at.column += strings.IndexByte(item, ':')
		return at, "a space is missing after this colon; write \"key: value\""
	}
	return at, missing
}

// closed is where text goes on behind the bracket that closes what the line
// opened, unless there are quotes, in which brackets mean nothing.
func (f *failure) closed(before string) (place, bool) {
	depth := 0
	runes := []rune(before)
	for i, r := range runes {
		switch r {
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 && i+1 < len(runes) {
				return place{f.at.line, i + 2}, !strings.ContainsAny(before, `"'`)
			}
		}
	}
	return place{}, false
}

// flow explains what is wrong between brackets or braces.
func (f *failure) flow() (place, string) {
	open, closed := "[", "]"
	if f.context == "while parsing a flow mapping" {
		open, closed = "{", "}"
	}
	if f.atEnd() {
		return f.around, fmt.Sprintf("the %s that begins here is not closed before the end of the file; add a %s", open, closed)
	}
	if opened, ok := f.openedInFlow(); ok {
		return opened, f.closedLate()
	}
	if strings.HasPrefix(f.message, "did not find expected ','") {
		before, after := f.split(f.at)
		if strings.HasSuffix(before, "$") && strings.HasPrefix(after, "{") {
			f.at.column--
			return f.at, "between brackets a variable must stand in quotes; write \"${NAME}\""
		}
		if key := strings.TrimLeft(word.FindString(before), " \t"); key != "" && strings.HasPrefix(after, ":") {
			f.at.column -= len([]rune(key)) // before the key, and not before its colon
		}
		return f.at, fmt.Sprintf("a , or %s is missing before this; the %s of line %d, column %d, is still open", closed, open, f.around.line, f.around.column)
	}
	return f.at, fmt.Sprintf("a value is missing here; the %s of line %d, column %d, is still open", open, f.around.line, f.around.column)
}

// unclosed is the last bracket or brace that is not closed before the failure.
func (f *failure) unclosed() (place, bool) {
	depth := 0
	for n := f.at.line; n > 0; n-- {
		text, _, _ := strings.Cut(f.line(n), " #") // a comment closes nothing
		line := []rune(text)
		for i := len(line) - 1; i >= 0; i-- {
			switch line[i] {
			case ']', '}':
				depth++
			case '[', '{':
				if depth--; depth < 0 {
					return place{n, i + 1}, true
				}
			}
		}
	}
	return place{}, false
}

// closedLate is said of a quote that took the next one for its end.
func (f *failure) closedLate() string {
	return fmt.Sprintf("the quote that begins here is closed only in line %d, where more text follows; close it in this line", f.at.line)
}

// opened is where a quote begins that ends in the line where parsing failed,
// and does not begin there. What stands before its end is YAML, or else nobody
// knows.
func (f *failure) opened() (place, bool) {
	const most = 4 // looks, each from the beginning of the file
	before, _ := f.split(f.at)
	for i, looks := 0, 0; i < len(before) && looks < most; i++ {
		if before[i] != '"' && before[i] != '\'' {
			continue
		}
		looks++
		var root yaml.Node
		whole := strings.Join(append(f.lines[:f.at.line-1:f.at.line-1], before[:i+1]), "\n")
		if yaml.NewDecoder(strings.NewReader(whole)).Decode(&root) != nil {
			continue
		}
		last := &root
		for len(last.Content) > 0 {
			last = last.Content[len(last.Content)-1]
		}
		if last.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && last.Line < f.at.line {
			return place{last.Line, last.Column}, true
		}
	}
	return place{}, false
}

// openedInFlow is the same between brackets, where what stands before is no
// whole YAML.
func (f *failure) openedInFlow() (place, bool) {
	var quote rune
	var opened place
	late := false
	before := ',' // the last letter that is not blank
	for n := f.around.line; n <= f.at.line; n++ {
		for i, r := range []rune(f.line(n)) {
			switch at := (place{n, i + 1}); {
			case n == f.around.line && i+1 < f.around.column, n == f.at.line && i+1 >= f.at.column:
			case quote == 0 && (r == '"' || r == '\'') && strings.ContainsRune("[{,:", before):
				quote, opened = r, at
			case quote != 0 && r == quote:
				quote, late = 0, n == f.at.line && opened.line < n
			}
			if r != ' ' {
				before = r
			}
		}
	}
	return opened, late
}
