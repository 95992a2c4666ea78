package sync

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"nitrox/netscaler"
	"nitrox/sources/redact"
)

// NSCLI writes the plan as commands of the NetScaler's own command line, to
// review or to paste; what is not to be carried out is a comment. The order
// is that of application: for each NetScaler, what adds comes first.
func NSCLI(w io.Writer, r Result) error {
	var b bytes.Buffer
	var names []string
	byName := map[string][]Outcome{}
	for _, o := range r.Outcomes {
		if byName[o.NetScaler] == nil {
			names = append(names, o.NetScaler)
		}
		byName[o.NetScaler] = append(byName[o.NetScaler], o)
	}
	for _, name := range names {
		fmt.Fprintf(&b, "# netscaler %s\n", name)
		var comments, commands []string
		for _, t := range r.Troubles() {
			if apps := t.appsOn(name); len(apps) > 0 || t.Of == OfNetScaler && t.Name == name {
				comments = append(comments, strings.TrimSuffix(fmt.Sprintf("# %s (%s)", t, someOf(apps)), " ()"))
			}
		}
		for _, o := range byName[name] {
			comment := func(format string, args ...any) {
				comments = append(comments, fmt.Sprintf("# %s: ", o.App.Name)+fmt.Sprintf(format, args...))
			}
			if o.Plan.MemberList && len(o.Plan.Changes) > 0 {
				comment("its members are set as a list, for which there is no command; these commands have the same effect")
			}
			for _, note := range o.Notes {
				comment("note: %s", OneLine(note))
			}
			for _, c := range o.Plan.Held {
				for _, line := range commandsOf(c) {
					comment("held: %s", line)
				}
			}
			if o.App.Policy.Paused {
				for _, c := range o.Plan.Changes {
					for _, line := range commandsOf(c) {
						comment("paused: %s", line)
					}
				}
			}
		}
		for op := range netscaler.ReplaceMembers {
			for _, o := range byName[name] {
				for _, c := range o.Plan.Changes {
					if c.Op == op && !o.App.Policy.Paused {
						commands = append(commands, commandsOf(c)...)
					}
				}
			}
		}
		if slices.Contains(r.Saved, name) {
			commands = append(commands, "save ns config")
		}
		for _, line := range append(comments, commands...) {
			b.WriteString(line + "\n")
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// commandsOf is a change in the words of the NetScaler's command reference.
func commandsOf(c netscaler.Change) (lines []string) {
	member := fmt.Sprintf("serviceGroup %s %s %d", quote(c.Group), quote(c.Server), c.Addr.Port())
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch c.Op {
	case netscaler.AddVServer:
		v, method := c.Create.VServer, ""
		if v.Method != "" {
			method = " -lbMethod " + quote(v.Method)
		}
		say("add lb vserver %s %s %s %d%s", quote(v.Name), quote(c.Create.ServiceType), v.Addr.Addr(), v.Addr.Port(), method)
	case netscaler.AddGroup:
		options := ""
		if c.Create.MemberList {
			options = " -autoScale API"
			if c.Create.Drain > 0 {
				options += fmt.Sprintf(" -autoDisablegraceful YES -autoDisabledelay %d", int(c.Create.Drain.Seconds()))
			}
		}
		if c.Create.Comment != "" {
			options += " -comment " + quote(c.Create.Comment)
		}
		say("add serviceGroup %s %s%s", quote(c.Group), quote(c.Create.ServiceType), options)
	case netscaler.BindVServer:
		say("bind lb vserver %s %s", quote(c.Create.VServer.Name), quote(c.Group))
	case netscaler.RemoveServer:
		// The command asks nobody, and takes the server's members with it.
		say("# rm server %s   (only if show server %s lists no bindings)", quote(c.Server), quote(c.Server))
	case netscaler.Bind:
		say("bind serviceGroup %s %s %d%s", quote(c.Group), c.Addr.Addr(), c.Addr.Port(), options(c.Settings(), netscaler.Settings{Weight: 1}))
	case netscaler.Enable:
		if c.State != netscaler.Enabled {
			say("enable %s", member)
		}
		if c.Mark && !c.NoMark && !c.Leaving {
			say("set %s -CustomServerID None", member)
		}
	case netscaler.Set:
		say("set %s%s", member, options(c.Settings(), c.Was))
	case netscaler.Mark:
		say("set serviceGroup %s -comment %s", quote(c.Group), quote(c.Comment))
	case netscaler.Drain:
		if !c.Mark && !c.NoMark {
			say("set %s -CustomServerID %s", member, netscaler.DrainMark(c.Addr))
		}
		delay := ""
		if c.Delay > 0 {
			delay = fmt.Sprintf(" -delay %d", int(c.Delay.Seconds()))
		}
		say("disable %s%s -graceFul YES", member, delay)
	case netscaler.Unbind:
		say("unbind %s", member)
	}
	if c.Create != nil {
		words := []string{c.Group, c.Create.ServiceType, c.Create.Comment}
		if v := c.Create.VServer; v != nil {
			words = append(words, v.Name, v.Method)
		}
		return pasteable(lines, words...)
	}
	return pasteable(lines, c.Group, c.Server, c.Comment)
}

// options are the settings that are to be others than they were.
func options(s, was netscaler.Settings) (text string) {
	if s.Weight != was.Weight {
		text += fmt.Sprintf(" -weight %d", s.Weight)
	}
	if s.Order != was.Order {
		text += fmt.Sprintf(" -order %d", s.Order)
	}
	return text
}

// quote writes a word of the command line by the rules of the NetScaler: what is
// more than letters, digits and a few marks stands in double quotes, between which
// brackets, bars and dollars are as plain as in a policy expression, and a
// backslash goes before quotes, question marks and backslashes ("Configure
// advanced policy expressions in a policy").
func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return `"` + escapes.Replace(word) + `"`
}

var (
	plainWord = regexp.MustCompile(`^[A-Za-z0-9_.:@=][A-Za-z0-9_.:@=-]*$`)
	escapes   = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "?", `\?`)
	typeable  = regexp.MustCompile(`^[ -~]*$`)
)

// pasteable makes comments of commands with a word that cannot be typed, which is
// no name of a NetScaler's, or that must not be shown.
func pasteable(lines []string, words ...string) []string {
	for _, word := range words {
		if !typeable.MatchString(word) || strings.Contains(OneLine(word), redact.Hidden) {
			for i, line := range lines {
				lines[i] = OneLine("# not to be pasted, a name cannot be shown as it is: " + line)
			}
			break
		}
	}
	return lines
}
