package simulator

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// command is one configuration command. NITRO and the command line are two
// spellings of it: an object with attributes, and words with options. Command
// policies are regular expressions over the second, whatever came in.
type command struct {
	cli   string   // "bind serviceGroup"
	words []string // attributes that the command line gives by position; "a|b": either
	attrs []attr
	// run applies the item. undo, if the command has one, takes it back.
	run func(x *exec, it item) (undo func(), f *failure)
	// list: it takes members.
	list bool
	// volatile: it changes nothing that a save would keep.
	volatile bool
	// verbatim: its line is kept as it is, whatever it did.
	verbatim bool
}

// on runs a command on the object that its item names.
func on[T any](find func(*exec, item) (T, *failure), run func(*exec, T, item) (func(), *failure)) func(*exec, item) (func(), *failure) {
	return func(x *exec, it item) (func(), *failure) {
		object, f := find(x, it)
		if f != nil {
			return nil, f
		}
		return run(x, object, it)
	}
}

// attr is an attribute that a command takes.
type attr struct {
	name     string // of NITRO, in lower case
	cli      string // of the command line, without the dash; empty: name
	kind     kind
	min, max int    // of integer; of text max is its longest length if it is not 0
	enum     string // the values, separated by spaces
	def      string // what the command line fills in
	then     string // the attribute that a second word of the option gives
	required bool
	fixed    bool // may be set when the object is made, and never after
	secret   bool // is kept, and never shown
}

type kind int

const (
	text kind = iota
	integer
	choice
	address
	flag
	identifier
	list // of words
)

// item is what one command is applied to.
type item struct {
	values  map[string]string
	lists   []string // attributes that were given as an array
	members []item   // of a desired state
}

func (it item) get(name string) string { return it.values[name] }

func (it item) has(name string) bool { _, ok := it.values[name]; return ok }

func (it item) int(name string) int {
	n, _ := strconv.Atoi(it.values[name]) // validated
	return n
}

func (it item) addr(name string) netip.Addr {
	a, _ := netip.ParseAddr(it.values[name]) // validated
	return a.Unmap()
}

// exec is where a command runs.
type exec struct {
	*Simulator
	part    *partition
	now     time.Time
	user    string   // empty: the command line
	session *session // nil: the command line, or credentials that came with the request
	// wording is how a line of ns.conf says what is made; nil: no line does.
	wording *wording
	text    string // the line
	loading bool   // it is of a saved configuration
	// idempotent: an add of what exists is going to be an update.
	idempotent bool
}

var identifierRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_#. :@=-]*$`)

// validate brings the values into their canonical form, or refuses them.
func (c *command) validate(it item, lacks func(string) bool) *failure {
	return c.check(it, lacks, false)
}

// check is validate, and of a saved configuration takes any name: the appliance
// that wrote it has checked it, by the rules of its release.
func (c *command) check(it item, lacks func(string) bool, saved bool) *failure {
	if it.members != nil && !c.list {
		return fail(codeInvalidArgument, "members")
	}
	for _, name := range slices.Sorted(maps.Keys(it.values)) {
		if c.attr(name) == nil || lacks(name) {
			return fail(codeInvalidArgument, name)
		}
	}
	for i := range c.attrs {
		a := &c.attrs[i]
		value, given := it.values[a.name]
		if a.kind != list && slices.Contains(it.lists, a.name) {
			return fail(codeJSONType, a.name)
		}
		if a.required && value == "" {
			return fail(codeArgumentMissing, a.name)
		}
		if !given {
			continue
		}
		if saved && (a.kind == identifier || a.name == portAttr.name && value == "0") { // 0: an SRV record has the port
			continue
		}
		value, f := a.canonical(value)
		if f != nil {
			return f
		}
		it.values[a.name] = value
	}
	return nil
}

func (c *command) attr(name string) *attr {
	for i := range c.attrs {
		if c.attrs[i].name == name {
			return &c.attrs[i]
		}
	}
	return nil
}

func (a *attr) canonical(value string) (string, *failure) {
	switch a.kind {
	case integer:
		if a.name == "port" && value == "*" {
			return "65535", nil
		}
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
			return "", fail(codeInvalidValue, a.name, value)
		case n > a.max:
			return "", fail(codeTooLarge, a.name, a.max)
		case n < a.min:
			return "", fail(codeTooSmall, a.name, a.min)
		}
		return strconv.Itoa(n), nil
	case choice:
		for v := range strings.FieldsSeq(a.enum) {
			if strings.EqualFold(v, value) {
				return v, nil
			}
		}
		return "", fail(codeInvalidValue, a.name, value)
	case address:
		if a.name == "ipv46" && value == "*" {
			break // every address
		}
		if addr, err := netip.ParseAddr(value); err != nil || addr.Zone() != "" {
			return "", fail(codeInvalidIP, a.name, value)
		}
	case flag:
		switch strings.ToLower(value) {
		case "true", "yes":
			return "true", nil
		case "false", "no":
			return "false", nil
		}
		return "", fail(codeInvalidValue, a.name, value)
	case identifier:
		if !identifierRE.MatchString(value) {
			return "", fail(codeInvalidName, a.name, value)
		}
		if len(value) > 127 {
			return "", fail(codeTooLong, a.name, 127)
		}
	case list:
		words := strings.Fields(value)
		for i, word := range words {
			if a.enum == "" {
				break
			}
			known, f := (&attr{name: a.name, kind: choice, enum: a.enum}).canonical(word)
			if f != nil {
				return "", f
			}
			words[i] = known
		}
		return strings.Join(words, " "), nil
	case text:
		if a.max > 0 && len(value) > a.max {
			return "", fail(codeTooLong, a.name, a.max)
		}
	}
	return value, nil
}

// line is the item as the command line has it, with defaults filled in, as the
// message of code 2138 shows it.
func (c *command) line(it item) string { return c.spell(it, true) }

func (c *command) spell(it item, defaults bool) string {
	var b strings.Builder
	b.WriteString(c.cli)
	positional := map[string]bool{}
	for _, word := range c.words {
		for name := range strings.SplitSeq(word, "|") {
			positional[name] = true
			if v := it.get(name); v != "" && !(name == "port" && it.has("ippattern")) {
				b.WriteString(" " + c.attr(name).quote(v))
			}
		}
	}
	for _, a := range c.attrs {
		if positional[a.name] {
			continue
		}
		v, given := it.values[a.name]
		if !given && defaults {
			v = a.def
		}
		if v == "" && !given || a.kind == flag && v != "true" {
			continue
		}
		b.WriteString(" -" + a.option())
		switch {
		case a.secret && defaults:
			b.WriteString(" ********")
		case a.kind != flag:
			b.WriteString(" " + a.quote(v))
		}
		if second := it.get(a.then); second != "" {
			b.WriteString(" " + quote(second))
			positional[a.then] = true
		}
		if a.name == "ipmask" && it.has("port") { // after the pattern that stands for the address
			b.WriteString(" " + it.get("port"))
		}
	}
	return b.String()
}

// quote writes a value, or the words of a list one by one.
func (a *attr) quote(value string) string {
	if a.kind != list {
		return quote(value)
	}
	words := strings.Fields(value)
	for i := range words {
		words[i] = quote(words[i])
	}
	return strings.Join(words, " ")
}

func (a *attr) option() string {
	if a.cli != "" {
		return a.cli
	}
	return a.name
}

// kept makes attributes of one kind that have no meaning here: they are checked,
// kept and shown. Their names are those of the command line; NITRO's are the same
// in lower case.
func kept(k kind, enum, names string) (attrs []attr) {
	for cli := range strings.FieldsSeq(names) {
		attrs = append(attrs, attr{name: strings.ToLower(cli), cli: cli, kind: k, enum: enum, max: keptMax[k]})
	}
	return attrs
}

// keptMax is the largest value of any of them, in NITRO an unsigned integer.
var keptMax = map[kind]int{integer: 4294967295}

// kept as secret: never shown.
func secrets(names string) []attr {
	attrs := kept(text, "", names)
	for i := range attrs {
		attrs[i].secret = true
	}
	return attrs
}
