package simulator

import (
	"encoding/json"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// listing writes the rows of a GET. Reading every member of a large appliance
// must cost little, so fields are appended to one buffer and a row that the
// filter or the page leaves out is cut off again.
type listing struct {
	out   []byte
	base  int // where the first row begins in out
	query *query
	// swap writes numbers as text and counters as numbers.
	swap bool

	rows, matched int // seen; that the filter let through
	start, hits   int // where this row begins; its filter terms that matched
	fields        int
	known         map[string]bool // fields met, kept only if the query names fields
}

func newListing(q *query, swap bool) *listing {
	l := &listing{query: q, swap: swap}
	if len(q.attrs) > 0 || len(q.filter) > 0 {
		l.known = map[string]bool{}
	}
	return l
}

// open writes what stands before the rows, and returns how much of it does not
// belong to them.
func (l *listing) open(typ string, single bool, size int) (head int) {
	l.out = appendHead(make([]byte, 0, size+size/8+256), &failure{})
	head = len(l.out)
	l.out = append(l.out, `, "`+typ+`": `...)
	if !single {
		l.out = append(l.out, "[ "...)
	}
	l.base = len(l.out)
	return head
}

func (l *listing) begin() {
	l.start, l.hits, l.fields = len(l.out), 0, 0
	if l.start > l.base {
		l.out = append(l.out, ", "...)
	}
	l.out = append(l.out, "{ "...)
}

func (l *listing) end() {
	l.rows++
	l.out = append(l.out, " }"...)
	if l.hits < len(l.query.filter) {
		l.out = l.out[:l.start]
		return
	}
	l.matched++
	if size := l.query.pageSize; l.query.count || size > 0 && (l.matched <= size*(l.query.page-1) || l.matched > size*l.query.page) {
		l.out = l.out[:l.start]
	}
}

// name begins a field; it is false if the field is not wanted.
func (l *listing) name(name string) bool {
	if l.known != nil {
		l.known[name] = true
		if len(l.query.attrs) > 0 && !l.query.attrs[name] {
			return false
		}
	}
	if l.fields++; l.fields > 1 {
		l.out = append(l.out, ", "...)
	}
	l.out = append(l.out, '"')
	l.out = append(l.out, name...)
	l.out = append(l.out, `": `...)
	return true
}

// absent says that the field exists and has no value in this row.
func (l *listing) absent(name string) {
	if l.known != nil {
		l.known[name] = true
	}
}

func (l *listing) match(name, value string) {
	for _, term := range l.query.filter {
		if term.name == name && term.matches(value) {
			l.hits++
		}
	}
}

func (l *listing) text(name, value string) {
	if len(l.query.filter) > 0 {
		l.match(name, value)
	}
	if l.name(name) {
		l.out = appendText(l.out, value)
	}
}

// number is a 32-bit value, which NITRO gives as a JSON number.
func (l *listing) number(name string, value int) { l.integer(name, value, l.swap) }

// counter is an unsigned 64-bit value, which NITRO gives as text.
func (l *listing) counter(name string, value int) { l.integer(name, value, !l.swap) }

func (l *listing) integer(name string, value int, quoted bool) {
	if len(l.query.filter) > 0 {
		l.match(name, strconv.Itoa(value))
	}
	if !l.name(name) {
		return
	}
	if quoted {
		l.out = append(l.out, '"')
	}
	l.out = strconv.AppendInt(l.out, int64(value), 10)
	if quoted {
		l.out = append(l.out, '"')
	}
}

func (l *listing) flag(name string, value bool) {
	if len(l.query.filter) > 0 {
		l.match(name, strconv.FormatBool(value))
	}
	if l.name(name) {
		l.out = strconv.AppendBool(l.out, value)
	}
}

// words is a list of words.
func (l *listing) words(name string, values []string) {
	for _, term := range l.query.filter {
		if term.name == name && slices.ContainsFunc(values, term.matches) {
			l.hits++
		}
	}
	if !l.name(name) {
		return
	}
	l.out = append(l.out, "[ "...)
	for i, v := range values {
		if i > 0 {
			l.out = append(l.out, ", "...)
		}
		l.out = appendText(l.out, v)
	}
	l.out = append(l.out, " ]"...)
}

// put writes fields by their names: texts, numbers, counters, flags and words; nil: it is
// absent.
func (l *listing) put(namesAndValues ...any) {
	for pair := range slices.Chunk(namesAndValues, 2) {
		name := pair[0].(string)
		switch v := pair[1].(type) {
		case string:
			l.text(name, v)
		case int:
			l.number(name, v)
		case counter:
			l.counter(name, int(v))
		case bool:
			l.flag(name, v)
		case nil:
			l.absent(name)
		default:
			l.words(name, v.([]string))
		}
	}
}

// counter is a value that [listing.counter] writes.
type counter int

// given is a value for [listing.put], unless it says nothing.
func given[T comparable](value T) any {
	if value == *new(T) {
		return nil
	}
	return value
}

// row is a whole one. Of members there may be a hundred thousand: their fields are written
// one by one, which takes no memory.
func (l *listing) row(namesAndValues ...any) {
	l.begin()
	l.put(namesAndValues...)
	l.end()
}

// zeros are counters and rates of what does not happen here. Rates are JSON
// numbers.
func (l *listing) zeros(counters, rates string) {
	for name := range strings.FieldsSeq(counters) {
		l.counter(name, 0)
	}
	for name := range strings.FieldsSeq(rates) {
		l.number(name, 0)
	}
}

// nested writes an array of rows as a field, or nothing if there are none.
func (l *listing) nested(name string, write func(*listing)) { l.inner(name, &query{}, write) }

// bindings is nested, where a filter looks for rows of the array: only those are
// written that it lets through, and one is enough for the row that they are in.
func (l *listing) bindings(name string, write func(*listing)) {
	inner := l.inner(name, &query{filter: l.query.filter}, write)
	maps.Copy(l.known, inner.known)
	for _, term := range l.query.filter {
		if inner.rows == 0 { // which fields they have nothing tells
			l.known[term.name] = true
		}
	}
	if inner.matched > 0 {
		l.hits = len(l.query.filter)
	}
}

func (l *listing) inner(name string, q *query, write func(*listing)) *listing {
	inner := newListing(q, l.swap)
	write(inner)
	if inner.matched == 0 {
		l.absent(name)
	} else if l.name(name) {
		l.out = append(l.out, "[ "...)
		l.out = append(l.out, inner.out...)
		l.out = append(l.out, " ]"...)
	}
	return inner
}

// unknown names a field that the query asks for and no row has.
func (l *listing) unknown() *failure {
	if l.rows == 0 || l.known == nil {
		return nil
	}
	for name := range l.query.attrs {
		if !l.known[name] {
			return fail(codeInvalidArgument, name)
		}
	}
	for _, term := range l.query.filter {
		if !l.known[term.name] {
			return fail(codeInvalidArgument, term.name)
		}
	}
	return nil
}

// term is one condition of a filter: equality, or /a regular expression/.
type term struct {
	name, value string
	pattern     *regexp.Regexp
}

func newTerm(name, value string) (term, *failure) {
	t := term{name: strings.ToLower(name), value: value}
	if len(value) > 1 && value[0] == '/' && value[len(value)-1] == '/' {
		pattern, err := regexp.Compile(value[1 : len(value)-1])
		if err != nil {
			return t, fail(codeInvalidValue, "filter", value)
		}
		t.pattern = pattern
	}
	return t, nil
}

func (t term) matches(value string) bool {
	if t.pattern != nil {
		return t.pattern.MatchString(value)
	}
	if strings.EqualFold(t.value, value) || t.name == "port" && t.value == "*" && value == "65535" {
		return true
	}
	a, err := netip.ParseAddr(t.value)
	if err != nil {
		return false
	}
	b, err := netip.ParseAddr(value) // perhaps another spelling of it
	return err == nil && a.Unmap() == b.Unmap()
}

func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // text always marshals
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
