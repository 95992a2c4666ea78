package sync_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nitrox/netscaler"
	"nitrox/sync"
)

// pasted is a line as the NetScaler's command line takes it apart, written from
// its documents: words stand between spaces; quotes keep spaces together, and in
// them a backslash keeps what follows from its meaning. Outside of quotes
// brackets are ranges, a bar is a pipe, a question mark asks for help and a # is
// a comment.
func pasted(t *testing.T, line string) (words []string) {
	t.Helper()
	for rest := line; rest != ""; {
		if rest[0] == ' ' {
			rest = rest[1:]
			continue
		}
		if rest[0] != '"' {
			word, after, _ := strings.Cut(rest, " ")
			if strings.ContainsAny(word, "[]|$()?;#'\"\\{}<>&*!`~") {
				t.Fatalf("%q would not be one plain word in %q", word, line)
			}
			words, rest = append(words, word), after
			continue
		}
		var word strings.Builder
		i := 1
		for ; i < len(rest) && rest[i] != '"'; i++ {
			switch {
			case rest[i] == '?':
				t.Fatalf("a question mark asks for help in %q", line)
			case rest[i] == '\\' && i+1 < len(rest):
				i++
			}
			word.WriteByte(rest[i])
		}
		if i >= len(rest) || i+1 < len(rest) && rest[i+1] != ' ' {
			t.Fatalf("a quote is not closed, or ends in a word, in %q", line)
		}
		words, rest = append(words, word.String()), rest[i+1:]
	}
	return words
}

// Each command that is printed means what was planned, and nothing else can be
// pasted, whatever things are called.
func FuzzNSCLI(f *testing.F) {
	for _, name := range []string{"sg-shop", "two words", "10.0.0.1", "2001:db8::1", `a"b`, `a\b`, "a[1-9]", "a]", "a|grep x", "$(reboot)", "x\nrm server y", "a?", "#x", "-x", "a  b", "'", "é", "\u202e", ""} {
		f.Add(name, "10.0.0.9")
		f.Add("sg", name)
	}
	addr := netip.MustParseAddrPort("10.0.0.9:80")
	f.Fuzz(func(t *testing.T, group, server string) {
		member := netscaler.Member{Addr: addr, Server: server, Weight: 1}
		r := sync.Result{Outcomes: []sync.Outcome{{NetScaler: "edge", App: sync.App{Name: "shop", Group: group}, Plan: sync.Plan{Changes: []netscaler.Change{
			{Op: netscaler.Unbind, Group: group, Member: member},
			{Op: netscaler.Bind, Group: group, Member: member},
			{Op: netscaler.Mark, Group: group, Comment: server},
		}}}}}
		var b strings.Builder
		if err := sync.NSCLI(&b, r); err != nil {
			t.Fatal(err)
		}
		wanted := [][]string{{"bind", "serviceGroup", group, "10.0.0.9", "80"}, {"unbind", "serviceGroup", group, server, "80"},
			{"set", "serviceGroup", group, "-comment", server}}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, "#") {
				if sync.OneLine(line) != line {
					t.Errorf("a comment that is not one plain line: %q", line)
				}
				continue
			}
			words := pasted(t, line)
			if !slices.ContainsFunc(wanted, func(w []string) bool { return slices.Equal(w, words) }) {
				t.Errorf("%q means %q", line, words)
			}
		}
		if plain := "sg-shop"; group == plain && server == "10.0.0.9" && strings.Count(b.String(), "\n") != 5 {
			t.Errorf("plain names can be pasted:\n%s", b.String())
		}
	})
}
