package simulator

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// commandLine holds the commands that Load carries out, by their words in
// lower case. Every other line of an ns.conf is kept as it is.
var commandLine = func() map[string]*command {
	commands := map[string]*command{}
	for _, c := range []*command{
		addServer, setServer, rmServer, enableServer, disableServer,
		addGroup, setGroup, unsetGroup, rmGroup, renameGroup, enableGroup, disableGroup, bindMember, unbindMember,
		addVserver, setVserver, rmVserver, bindVserver, unbindVserver,
		addMonitor, setMonitor, rmMonitor, bindToGroup, unbindFromGroup, enableVserver, disableVserver,
		addPartition, switchPartition, saveCommand,
	} {
		commands[strings.ToLower(c.cli)] = c
	}
	return commands
}()

// Load reads commands as an ns.conf has them and carries them out: servers,
// service groups, virtual servers, monitors, what is bound to what, and
// partitions. Unknown options of these, and all other commands, are kept and
// come out of Dump again; comments are not. An error names the line; what
// stands before that line has been done.
//
// Before the first NITRO request this sets up the saved configuration. After
// it, Load is another administrator at work: unbind, rm, set, enable and
// disable are understood too, and the changes are not saved until a "save ns
// config".
func (s *Simulator) Load(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(string(text))
}

func (s *Simulator) load(text string) error {
	now := time.Now()
	s.sweep(now)
	x := &exec{Simulator: s, part: s.partitions[0], now: now}
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := x.command(line); err != nil {
			return fmt.Errorf("line %d: %s: %w", number, line, err)
		}
	}
	return nil
}

// command carries out one line, or keeps it.
func (x *exec) command(line string) error {
	c := lookup(line)
	if c == nil {
		x.part.keep(line)
		return nil
	}
	words, err := split(line)
	if err != nil {
		return err
	}
	words = words[len(strings.Fields(c.cli)):]
	monitor := slices.ContainsFunc(words, func(w word) bool { return strings.EqualFold(w.text, "-monitorName") && !w.quoted })
	switch {
	case c == bindMember && monitor:
		c = bindMonitor
	case c == unbindMember && monitor:
		c = unbindMonitor
	case slices.Contains([]*command{bindVserver, unbindVserver, bindToGroup, unbindFromGroup}, c) && !x.bindsGroup(words):
		x.part.keep(line)
		return nil
	}
	it, extra, err := x.arguments(c, words)
	if err != nil {
		return err
	}
	f := c.validate(it, x.lacks)
	if f == nil && c == saveCommand {
		x.keepConfig(x.now)
		return nil
	}
	if f == nil {
		x.extra = extra
		same := it.clone()
		if _, f = c.run(x, it); f == nil {
			_, f = x.propagate(c, same, nil)
		}
		x.extra = nil
	}
	if f != nil {
		return fmt.Errorf("%d: %s", f.code, f.message())
	}
	if !c.volatile {
		x.changed(x.now)
	}
	return nil
}

// lookup finds the command of two or three words that a line begins with.
func lookup(line string) *command {
	fields := strings.Fields(strings.ToLower(line))
	for n := min(3, len(fields)); n > 1; n-- {
		if c := commandLine[strings.Join(fields[:n], " ")]; c != nil {
			return c
		}
	}
	return nil
}

// bindsGroup says whether a "bind lb vserver" is about a service group; policies
// and services are bound by the same words and are not modelled.
func (x *exec) bindsGroup(words []word) bool {
	return len(words) > 1 && (words[1].quoted || words[1].text[0] != '-') && !x.part.services[words[1].text]
}

// keep keeps a line that is not understood.
func (p *partition) keep(line string) {
	p.learn(line)
	fields := strings.Fields(line)
	if len(fields) > 2 && strings.EqualFold(fields[0], "add") && strings.EqualFold(fields[1], "service") {
		if words, err := split(line); err == nil {
			p.services[words[2].text] = true
		}
	}
	if len(fields) > 1 && slices.Contains([]string{"ns", "system", "ha"}, strings.ToLower(fields[1])) {
		p.head = append(p.head, line)
	} else {
		p.tail = append(p.tail, line)
	}
}

// arguments reads what follows a command's words.
func (x *exec) arguments(c *command, words []word) (item, []string, error) {
	it := item{values: map[string]string{}}
	for _, position := range c.words {
		if len(words) == 0 || words[0].option() {
			break
		}
		it.values[x.either(position, words[0].text)] = words[0].text
		words = words[1:]
	}
	var extra []string
	for len(words) > 0 {
		w := words[0]
		words = words[1:]
		if !w.option() {
			return it, nil, fmt.Errorf("%d: %s", codeNoArgument, fail(codeNoArgument, w.text).message())
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
// there is such a server, else the address if it is one.
func (x *exec) either(position, text string) string {
	name, other, two := strings.Cut(position, "|")
	if !two {
		return name
	}
	_, err := netip.ParseAddr(text)
	if name == "servername" {
		if err != nil || x.part.byName[text] != nil {
			return name
		}
		return other
	}
	if err != nil {
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
