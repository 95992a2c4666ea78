package sync

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nitrox/netscaler"
)

// subject is what a change is about, in the words of the NetScaler.
func subject(c netscaler.Change) string {
	switch c.Op {
	case netscaler.AddGroup:
		text := fmt.Sprintf("service group %s %s", c.Group, c.Create.ServiceType)
		if c.Create.MemberList {
			text += ", autoscale API"
			if c.Create.Drain > 0 {
				text += ", whose members drain for " + short(c.Create.Drain)
			}
		}
		return text
	case netscaler.AddVServer:
		v := c.Create.VServer
		text := fmt.Sprintf("lb vserver %s %s %s", v.Name, c.Create.ServiceType, v.Addr)
		if v.Method != "" {
			text += ", method " + v.Method
		}
		return text
	case netscaler.BindVServer:
		return fmt.Sprintf("binding of lb vserver %s to %s", c.Create.VServer.Name, c.Group)
	case netscaler.RemoveServer:
		return "server " + c.Server
	}
	return c.Addr.String()
}

// past names the kinds of changes once they are made.
var past = [...]string{
	netscaler.AddVServer: "added", netscaler.AddGroup: "added", netscaler.BindVServer: "bound", netscaler.RemoveServer: "removed",
	netscaler.Bind: "bound", netscaler.Enable: "enabled", netscaler.Set: "set", netscaler.Drain: "sent to drain", netscaler.Unbind: "unbound",
}

// nouns are what is counted of the kinds that are not of members.
var nouns = map[netscaler.Op]struct{ what, todo string }{
	netscaler.AddVServer: {"lb vserver", "add"}, netscaler.AddGroup: {"service group", "add"},
	netscaler.BindVServer: {"lb vserver", "bind"}, netscaler.RemoveServer: {"server", "remove if unused"},
}

// toDo and done count changes of a kind.
func toDo(op netscaler.Op, n int) string {
	if noun, ok := nouns[op]; ok {
		return count(n, noun.what) + " to " + noun.todo
	}
	return fmt.Sprintf("%d to %s", n, op)
}

func done(op netscaler.Op, n int) string {
	if noun, ok := nouns[op]; ok {
		return count(n, noun.what) + " " + past[op]
	}
	return fmt.Sprintf("%d %s", n, past[op])
}

// howLong a drain takes.
func howLong(d time.Duration) string {
	if d == 0 {
		return "until its clients are gone"
	}
	return short(d)
}

// short is a duration in whole seconds, as one would write it: 1m, not 1m0s.
func short(d time.Duration) string {
	s := d.Round(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// settings says what a Set changes.
func settings(c netscaler.Change, share func(weight int) string) string {
	var parts []string
	if c.Weight != c.Was.Weight {
		parts = append(parts, fmt.Sprintf("weight %d -> %d%s", c.Was.Weight, c.Weight, share(c.Weight)))
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
	const most = 3
	var texts []string
	for _, a := range addrs[:min(len(addrs), most)] {
		texts = append(texts, a.String())
	}
	if n := len(addrs) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(texts, ", "), n)
	}
	return strings.Join(texts, " and ")
}
