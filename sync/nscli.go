package sync

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"nitrox/netscaler"
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
		for _, o := range byName[name] {
			comment := func(format string, args ...any) {
				comments = append(comments, fmt.Sprintf("# %s: ", o.App.Name)+fmt.Sprintf(format, args...))
			}
			if o.Err != nil {
				comment("failed: %s", text(o.Err))
			}
			if o.Desired.Doubt != nil {
				comment("in doubt, nothing is removed: %s", text(o.Desired.Doubt))
			}
			if o.Plan.HeldBy != nil {
				comment("held: %s", text(o.Plan.HeldBy))
			}
			for _, c := range o.Plan.Held {
				comment("held: %s", command(c))
			}
			if o.App.Policy.Paused {
				for _, c := range o.Plan.Changes {
					comment("paused: %s", command(c))
				}
			}
		}
		for op := netscaler.Bind; op <= netscaler.Unbind; op++ {
			for _, o := range byName[name] {
				for _, c := range o.Plan.Changes {
					if c.Op == op && !o.App.Policy.Paused {
						commands = append(commands, command(c))
					}
				}
			}
		}
		if err := r.NetScalers[name]; err != nil {
			comments = append(comments, "# failed: "+text(err))
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

// command is a change in the words of the NetScaler's command reference.
func command(c netscaler.Change) string {
	group, port := quote(c.Group), c.Addr.Port()
	switch c.Op {
	case netscaler.Bind:
		weight := ""
		if c.Weight > 1 {
			weight = fmt.Sprintf(" -weight %d", c.Weight)
		}
		return fmt.Sprintf("bind serviceGroup %s %s %d%s", group, c.Addr.Addr(), port, weight)
	case netscaler.Enable:
		return fmt.Sprintf("enable serviceGroup %s %s %d", group, quote(c.Server), port)
	case netscaler.Set:
		return fmt.Sprintf("set serviceGroup %s %s %d -weight %d", group, quote(c.Server), port, c.Weight)
	case netscaler.Drain:
		return fmt.Sprintf("disable serviceGroup %s %s %d -delay %d -graceFul YES", group, quote(c.Server), port, int(c.Delay.Seconds()))
	}
	return fmt.Sprintf("unbind serviceGroup %s %s %d", group, quote(c.Server), port)
}

// quote puts a name into quotes if the command line would take it apart. A
// name from outside never ends a line or a quote.
func quote(name string) string {
	name = strings.ReplaceAll(oneLine(name), `"`, `\"`)
	if strings.ContainsAny(name, " \t#;\"'\\") || name == "" {
		return `"` + name + `"`
	}
	return name
}
