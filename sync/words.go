package sync

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nitrox/netscaler"
	"nitrox/sources"
	"nitrox/sources/examine"
	"nitrox/sources/redact"
)

// kind is what all reports say of a kind of change.
type kind struct {
	mark string // before its line
	done string // of one that was made
	noun string // what is counted; empty: members
	todo string // in a plan; empty: the kind's own name
}

// kinds are the words for changes, in every report.
var kinds = [...]kind{
	netscaler.AddVServer:   {mark: "+", done: "added", noun: "lb vserver", todo: "add"},
	netscaler.AddGroup:     {mark: "+", done: "added", noun: "service group", todo: "add"},
	netscaler.BindVServer:  {mark: "+", done: "bound", noun: "lb vserver", todo: "bind"},
	netscaler.Bind:         {mark: "+", done: "bound"},
	netscaler.Enable:       {mark: "^", done: "enabled"},
	netscaler.Set:          {mark: "~", done: "set"},
	netscaler.Mark:         {mark: "~", done: "marked", noun: "service group", todo: "mark"},
	netscaler.Drain:        {mark: "v", done: "started draining"},
	netscaler.Unbind:       {mark: "-", done: "unbound"},
	netscaler.RemoveServer: {mark: "-", done: "removed", noun: "server", todo: "remove if unused"},
}

// ofMember says whether a kind of change is to a member; the others are to a
// service group, a virtual server or a server.
func ofMember(op netscaler.Op) bool { return kinds[op].noun == "" }

// Counted is n changes of a kind in words: planned, "2 to bind", or made, "2
// bound".
func Counted(op netscaler.Op, n int, made bool) string {
	k := kinds[op]
	things := strconv.Itoa(n)
	if k.noun != "" {
		things = sources.Count(n, k.noun)
	}
	switch {
	case made:
		return things + " " + k.done
	case k.todo != "":
		return things + " to " + k.todo
	}
	return things + " to " + op.String()
}

// reason is why a change is made, also of what is made for a group that is missing.
func reason(c netscaler.Change) string {
	if c.Why == "" && !ofMember(c.Op) {
		return "it was missing, and create says to make it"
	}
	return OneLine(c.Why)
}

// Subject is what a change is about, in the words of the NetScaler.
func Subject(c netscaler.Change) string {
	switch c.Op {
	case netscaler.AddGroup:
		text := fmt.Sprintf("service group %s %s", c.Group, c.Create.ServiceType)
		if c.Create.MemberList {
			text += ", autoscale API"
			if c.Create.Drain > 0 {
				text += ", whose members drain for " + Short(c.Create.Drain)
			}
		}
		return OneLine(text)
	case netscaler.AddVServer:
		v := c.Create.VServer
		text := fmt.Sprintf("lb vserver %s %s %s", v.Name, c.Create.ServiceType, v.Addr)
		if v.Method != "" {
			text += ", method " + v.Method
		}
		return OneLine(text)
	case netscaler.BindVServer:
		return OneLine(fmt.Sprintf("binding of lb vserver %s to %s", c.Create.VServer.Name, c.Group))
	case netscaler.Mark:
		return OneLine(fmt.Sprintf("comment of %s: %s", c.Group, c.Comment))
	case netscaler.RemoveServer:
		return OneLine("server " + c.Server)
	}
	return c.Addr.String()
}

// settings says what a Set changes.
func settings(c netscaler.Change, share func(netscaler.Member) string) string {
	var parts []string
	if c.Weight != c.Was.Weight {
		parts = append(parts, fmt.Sprintf("weight %d -> %d%s", c.Was.Weight, c.Weight, share(c.Member)))
	}
	if c.Order != c.Was.Order {
		parts = append(parts, fmt.Sprintf("order %s -> %s", order(c.Was.Order), order(c.Order)))
	}
	return strings.Join(parts, ", ")
}

// order of a member; one that has none of its own has the NetScaler's default.
func order(n int) string {
	if n == 0 {
		return "default"
	}
	return strconv.Itoa(n)
}

// listOf are addresses in a sentence; of many, the first.
func listOf(addrs []netip.AddrPort) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return someOf(texts)
}

// someOf are names in a sentence; of many, the first.
func someOf(names []string) string { return examine.Some(names, 3) }

// howLong a drain takes.
func howLong(d time.Duration) string {
	if d == 0 {
		return "until its clients are gone"
	}
	return Short(d)
}

// Short is a duration in its one or two largest units, as one would write it:
// 250ms, 1.5s, 41s, 1m30s, 2h, 3d.
func Short(d time.Duration) string {
	two := func(large time.Duration, name string, small time.Duration, rest string) string {
		text := fmt.Sprintf("%d%s", d/large, name)
		if n := d % large / small; n > 0 && d < 10*large {
			text += fmt.Sprintf("%d%s", n, rest)
		}
		return text
	}
	switch {
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return "<1ms"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + "s"
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return two(time.Minute, "m", time.Second, "s")
	case d < 48*time.Hour:
		return two(time.Hour, "h", time.Minute, "m")
	}
	return two(24*time.Hour, "d", time.Hour, "h")
}

// OneLine makes text that came from outside fit to print: see [redact.Lines]. Of
// what others say less is kept where it comes in, so that a sentence of ours is
// whole here, up to the remedy at its end.
func OneLine(s string) string { return redact.Lines(s, 1200) }

// text is an error fit to print; empty for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return OneLine(err.Error())
}
