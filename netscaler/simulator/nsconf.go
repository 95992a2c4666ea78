package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// commandLine holds the commands that Load carries out, by their words in
// lower case. Every other line of an ns.conf is kept as it is.
var commandLine = func() map[string]*command {
	commands := map[string]*command{}
	for _, c := range slices.Concat([]*command{
		addServer, setServer, unsetServer, rmServer, renameServer, enableServer, disableServer,
		addGroup, setGroup, unsetGroup, rmGroup, renameGroup, enableGroup, disableGroup, bindMember, unbindMember,
		addVserver, setVserver, unsetVserver, rmVserver, renameVserver, bindVserver, unbindVserver, enableVserver, disableVserver,
		addMonitor, setMonitor, unsetMonitor, rmMonitor, enableMonitor, disableMonitor, bindToGroup, unbindFromGroup,
		addPartition, switchPartition, saveCommand,
	}, accessCommands) {
		name := strings.ToLower(c.cli)
		commands[name] = c
		if short, ok := strings.CutSuffix(name, " lb monitor"); ok { // as older releases have it
			commands[short+" monitor"] = c
		}
	}
	return commands
}()

// Loaded says what became of the lines of an ns.conf.
type Loaded struct {
	Lines    int    // that have a command
	Skipped  []Line // commands that are not modelled, kept as they are
	Problems []Line // commands that are modelled, and these lines of them not understood
	// Encrypted are users that can log in only if Options.Users has a password.
	Encrypted []string
}

// Line is one of an ns.conf.
type Line struct {
	Number  int
	Command string // "add ssl certKey"
	Object  string // the word after it, unless that is an option
	Text    string // of a problem; without what may be secret
	Err     error  // of a problem
}

// Err is all problems as one error, in the order of the lines; nil if there is
// none.
func (l Loaded) Err() error {
	var errs []error
	for _, p := range l.Problems {
		errs = append(errs, fmt.Errorf("line %d: %s: %w", p.Number, p.Text, p.Err))
	}
	return errors.Join(errs...)
}

// Load is LoadConfig for who wants to know only of problems.
func (s *Simulator) Load(r io.Reader) error {
	loaded, err := s.LoadConfig(r)
	return cmp.Or(err, loaded.Err())
}

// LoadConfig reads commands as an ns.conf has them and carries them out: servers,
// service groups, virtual servers, monitors, what is bound to what, partitions,
// users and their command policies. All other commands are kept, and unknown
// options of these; a line that is not understood ends nothing, and becomes a comment.
// An error is about the reader.
//
// Before the first NITRO request this sets up the saved configuration, whose
// names and combinations are taken as the appliance took them. After it, it is
// another administrator at work: unbind, rm, set, enable and disable are
// understood too, and the changes are not saved until a "save ns config".
func (s *Simulator) LoadConfig(r io.Reader) (Loaded, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return Loaded{}, fmt.Errorf("read the configuration: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	loaded := s.load(string(text), s.saved == nil)
	for name, u := range s.access.users {
		if _, given := s.opt.Users[name]; u.encrypted && !given {
			loaded.Encrypted = append(loaded.Encrypted, name)
		}
	}
	slices.Sort(loaded.Encrypted)
	return loaded, nil
}

// load carries out lines, of a saved configuration or of an administrator.
func (s *Simulator) load(text string, saved bool) (loaded Loaded) {
	now := time.Now()
	s.sweep(now)
	x := &exec{Simulator: s, part: s.partitions[0], now: now, loading: saved}
	if saved {
		s.unended = text != "" && !strings.HasSuffix(text, "\n")
	}
	number := 0
	for raw := range strings.Lines(text) {
		number++
		raw = strings.TrimSuffix(raw, "\n")
		x.text = strings.TrimSpace(strings.TrimPrefix(raw, "\ufeff"))
		if x.text == "" || x.text[0] == '#' {
			if saved {
				x.part.lines = append(x.part.lines, line{text: raw})
			}
			continue
		}
		if saved {
			x.text = raw
		}
		loaded.Lines++
		words, quoting := split(raw)
		c, n := lookup(words)
		modelled, err := false, quoting
		if c != nil && err == nil {
			modelled, err = x.command(c, words[n:])
		}
		switch {
		case c != nil && err != nil:
			if saved { // it is no part of the configuration, and should not get lost
				x.part.lines = append(x.part.lines, line{text: "# " + raw})
			}
			loaded.Problems = append(loaded.Problems, Line{number, c.cli, objectOf(words[n:]), c.reveal(raw, words[n:]), err})
		case !modelled:
			x.part.keep(x.text)
			name, n := commandName(words)
			loaded.Skipped = append(loaded.Skipped, Line{Number: number, Command: name, Object: objectOf(words[n:])})
		}
	}
	return loaded
}

// command carries out one line, unless it is about something that is not
// modelled.
func (x *exec) command(c *command, words []word) (modelled bool, err error) {
	has := func(option string) bool {
		return slices.ContainsFunc(words, func(w word) bool { return !w.quoted && strings.EqualFold(w.text, option) })
	}
	switch {
	case c == bindMember && has("-monitorName"):
		c = bindMonitor
	case c == unbindMember && has("-monitorName"):
		c = unbindMonitor
	case slices.Contains([]*command{bindVserver, unbindVserver, bindToGroup, unbindFromGroup}, c) && !x.bindsGroup(words),
		(c == bindUser || c == unbindUser) && has("-partitionName"):
		return false, nil
	}
	it, extra, err := x.arguments(c, words)
	if err != nil {
		return true, err
	}
	f := c.check(it, x.lacks, x.loading)
	if f == nil && c == saveCommand {
		x.keepConfig(x.now)
		return true, nil
	}
	if f == nil {
		x.wording = &wording{extra: extra}
		same := it.clone()
		if _, f = c.run(x, it); f == nil {
			_, f = x.propagate(c, same, nil)
		}
		if f == nil && c.verbatim {
			x.part.keep(x.text)
		} else if f == nil {
			x.written(c, same)
		}
		x.wording = nil
	}
	if f != nil {
		return true, fmt.Errorf("%d: %s", f.code, f.message())
	}
	if !c.volatile {
		x.changed(x.now)
	}
	return true, nil
}

// lookup finds the command of two or three words that a line begins with.
func lookup(words []word) (*command, int) {
	for n := min(3, len(words)); n > 1; n-- {
		if c := commandLine[strings.ToLower(phrase(words[:n]))]; c != nil {
			return c, n
		}
	}
	return nil, 0
}

func phrase(words []word) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.raw)
	}
	return b.String()
}

// families are first words of a noun that has two.
var families = strings.Fields(`aaa adm analytics api app appflow appfw appqoe audit authentication authorization autoscale
	azure bfd bot ca cache cloud cloudtunnel cluster cmp contentinspection cr cs db dns dos endpoint feo filter gslb ha ica
	ipsec ipsecalg lb lldp lsn metrics network ns ntp pcp policy pq protocol qos quicbridge rdp reputation responder rewrite
	router sc smpp snmp spillover ssl stream subscriber system tm transform tunnel uiinternal ulfd urlfiltering user utility
	videooptimization vpn wf wi`)

// verbRE is a first word as commands have it.
var verbRE = regexp.MustCompile(`^([a-z]{2,16}|(?i:add|bind|disable|enable|link|rm|set|unset))$`)

// noCommand counts lines that do not begin with such a word. Such a line may be one
// of a private key that somebody has pasted, so that nothing of it is shown.
const noCommand = "(no command)"

// commandName is the command of a line that is not modelled, and its number of
// words.
func commandName(words []word) (string, int) {
	if len(words) == 0 || !verbRE.MatchString(words[0].text) {
		return noCommand, len(words)
	}
	n := 2
	if len(words) > 2 && slices.Contains(families, strings.ToLower(words[1].text)) && !words[2].option() {
		n = 3
	}
	n = min(n, len(words))
	return phrase(words[:n]), n
}

func objectOf(words []word) string {
	if len(words) == 0 || words[0].option() {
		return ""
	}
	return words[0].text
}

// reveal is a line for an error, without what comes after the name where a word
// may be a secret.
func (c *command) reveal(line string, words []word) string {
	if !c.secretive() {
		return strings.TrimSpace(line)
	}
	return strings.TrimSpace(c.cli + " " + objectOf(words))
}

// secretive commands have words that are never shown.
func (c *command) secretive() bool {
	return slices.ContainsFunc(c.attrs, func(a attr) bool { return a.secret })
}

// bindsGroup says whether a "bind lb vserver" is about a service group; policies
// and services are bound by the same words and are not modelled.
func (x *exec) bindsGroup(words []word) bool {
	return len(words) > 1 && !words[1].option() && x.part.seen.find("service", words[1].text) == nil
}

// arguments reads what follows a command's words. Words without an option fill
// the positions that are left, also after an option with one value: a port may
// follow -range.
func (x *exec) arguments(c *command, words []word) (item, []string, error) {
	it := item{values: map[string]string{}}
	positions := c.words
	var extra []string
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		if !w.option() {
			if len(positions) > 0 && positions[0] == "ipv46" && it.has("ippattern") {
				positions = positions[1:] // the pattern stands for the address
			}
			switch {
			case len(positions) == 0 && c.secretive():
				return it, nil, fmt.Errorf("%d: %s", codeNoArgument, fail(codeNoArgument).message())
			case len(positions) == 0:
				return it, nil, fmt.Errorf("%d: %s", codeNoArgument, fail(codeNoArgument, w.text).message())
			}
			it.values[x.either(positions[0], w.text, it)] = w.text
			positions = positions[1:]
			continue
		}
		a := c.option(w.text[1:])
		switch {
		case a == nil:
			extra = append(extra, w.raw)
			for len(words) > 0 && !words[0].option() {
				extra = append(extra, words[0].raw)
				words = words[1:]
			}
		case it.has(a.name):
			return it, nil, fmt.Errorf("%s is given twice", w.text)
		case a.kind == flag:
			it.values[a.name] = "true"
		case len(words) == 0:
			return it, nil, fmt.Errorf("%s needs a value", w.text)
		case a.kind == list:
			var list []string
			for ; len(words) > 0 && !words[0].option(); words = words[1:] {
				list = append(list, words[0].text)
			}
			it.values[a.name] = strings.Join(list, " ")
		default:
			it.values[a.name] = words[0].text
			words = words[1:]
			if a.then != "" && len(words) > 0 && !words[0].option() {
				it.values[a.then] = words[0].text
				words = words[1:]
			}
		}
	}
	return it, extra, nil
}

// either decides which of two attributes "a|b" a word is: the server's name if
// there is such a server, else the address if it is one. An address in a group
// of another traffic domain than the server of that name is the address.
func (x *exec) either(position, text string, it item) string {
	name, other, two := strings.Cut(position, "|")
	if !two {
		return name
	}
	_, err := netip.ParseAddr(text)
	if name == "servername" {
		s, g := x.part.byName[text], x.groupNamed(it.get("servicegroupname"))
		if err != nil || s != nil && (g == nil || s.td == g.int("td")) {
			return name
		}
		return other
	}
	if err != nil && strings.Trim(text, "0123456789.") != "" && !strings.Contains(text, ":") { // else it is an address that is wrong
		return other
	}
	return name
}

// option finds the attribute of an option, whatever its case.
func (c *command) option(name string) *attr {
	for i := range c.attrs {
		if a := &c.attrs[i]; strings.EqualFold(a.option(), name) {
			return a
		}
	}
	return nil
}
