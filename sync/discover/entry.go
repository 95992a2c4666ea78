// Package discover decides which apps follow from what owners wrote on their objects, and
// which service groups no app claims any more. It is pure, and trusts no owner: what they
// write can choose among what the mapping allows, and costs nobody but themselves.
package discover

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"nitrox/sources"
)

// Entry is an entry of the mapping's discover: whose objects become apps, and how far
// their owners may go.
type Entry struct {
	Source string
	sources.Selection
	// Group is the service group's name, with {namespace}, {name} and {port}.
	Group string
	// Allow are patterns of the names that an owner may choose, by namespace; "*": of
	// all. Below the path of a namespace the same are allowed.
	Allow      map[string][]string
	NetScalers []string
	// Share lets apps of other entries that share have the same service group.
	Share bool
	// Owner is who its marks name.
	Owner string
	// Orphans says whether members of groups that no app claims any more are drained,
	// unless more than Most of 100 (or, if Count, in number) are without one at once.
	Orphans bool
	Most    int
	Count   bool
	// Drain is what the mapping says, which an owner may only prolong.
	Drain time.Duration
}

// Standard is the name of a service group where the mapping gives none: of a source with
// namespaces, and of one without.
func Standard(namespaces bool) string {
	if namespaces {
		return "{namespace}-{name}-{port}"
	}
	return "{name}-{port}"
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// Check says what is wrong with the service group's name: an owner must not be able to
// write the name of another namespace's group. fits says whether a namespace could be
// called that.
func (e Entry) Check(fits func(namespace string) bool) error {
	namespaced := fits("a")
	for _, p := range placeholder.FindAllString(e.Group, -1) {
		switch {
		case p != "{namespace}" && p != "{name}" && p != "{port}":
			return fmt.Errorf("%s is not known; use {namespace}, {name} and {port}", p)
		case p == "{namespace}" && !namespaced:
			return fmt.Errorf("source %s has no namespaces; leave {namespace} out, as in %q", e.Source, Standard(false))
		}
	}
	before, after, named := strings.Cut(e.Group, "{namespace}")
	switch {
	case !fit(placeholder.ReplaceAllString(e.Group, "x")):
		return fmt.Errorf("a service group cannot be called that: use at most 127 %s", Letters)
	case !strings.Contains(e.Group, "{name}"):
		return fmt.Errorf("{name} is missing, so that all apps would have one group; write it like %q", Standard(namespaced))
	case !namespaced || len(e.Namespaces) == 1 && !named:
		return nil
	case !named || strings.Contains(before, "{"):
		return fmt.Errorf("one namespace could write the name of another's group; begin with {namespace}, as in %q", Standard(true))
	case e.separates(after, fits):
		return nil
	}
	remedy := fmt.Sprintf("write %q", before+"{namespace}_"+strings.TrimLeft(after, "-_."))
	if len(e.Namespaces) == 0 {
		return fmt.Errorf("one namespace could write the name of another's group, "+
			"because what follows {namespace} can be a part of its name; list the namespaces, or %s", remedy)
	}
	if a, b, clash := clashing(e, e); clash {
		return fmt.Errorf("namespace %s could write the names of %s's groups; %s", a, b, remedy)
	}
	return nil
}

// separates: what follows the namespace cannot be a part of it, so it ends there. A path's
// slashes are underscores, but what follows a path has none of these (see claims).
func (e Entry) separates(after string, fits func(string) bool) bool {
	return after != "" && after[0] != '{' && !fits("a"+after[:1]+"b")
}

// beginnings are those of the names that a namespace's groups can have, and those below
// its path; "": which namespaces there are is not known.
func (e Entry) beginnings(namespace string) []string {
	before, after, named := strings.Cut(e.Group, "{namespace}")
	if !named || namespace == "" {
		before, _, _ = strings.Cut(before, "{")
		return []string{before}
	}
	separator, _, _ := strings.Cut(after, "{")
	return []string{before + flat(namespace) + separator[:min(len(separator), 1)], before + flat(namespace) + "_"}
}

// clashing are two namespaces of two entries of which one could write the name of a group
// of the other's.
func clashing(a, b Entry) (x, y string, clash bool) {
	listed := func(e Entry) []string {
		if len(e.Namespaces) == 0 {
			return []string{""}
		}
		return e.Namespaces
	}
	for _, x := range listed(a) {
		for _, y := range listed(b) {
			if x == y && x != "" || x+y == "" && a.Group == b.Group {
				continue
			}
			for _, p := range a.beginnings(x) {
				for _, q := range b.beginnings(y) {
					if strings.HasPrefix(p, q) || strings.HasPrefix(q, p) {
						return x, y, true
					}
				}
			}
		}
	}
	return "", "", false
}

// Distinct says what is wrong with two entries of which the apps of one could write the
// name of a group of the other's.
func Distinct(a, b Entry) error {
	_, _, clash := clashing(a, b)
	if !clash || !slices.ContainsFunc(a.NetScalers, func(n string) bool { return slices.Contains(b.NetScalers, n) }) {
		return nil
	}
	return fmt.Errorf("apps of source %s could write the names of groups of source %s; let the name begin with a word of its own, as in %q",
		b.Source, a.Source, "b."+b.Group)
}

// flat is a namespace as a group's name has it: neither path has an underscore.
func flat(namespace string) string { return strings.ReplaceAll(namespace, "/", "_") }

// name is the service group's of an object's port.
func (e Entry) name(f sources.Found, port sources.Port) string {
	var b strings.Builder
	for rest := e.Group; ; {
		before, after, more := strings.Cut(rest, "{")
		b.WriteString(before)
		if !more {
			return b.String()
		}
		var which string
		switch which, rest, _ = strings.Cut(after, "}"); which {
		case "namespace":
			b.WriteString(flat(f.Namespace))
		case "name":
			b.WriteString(f.Name)
		case "port":
			b.WriteString(strings.ReplaceAll(string(port), "/", "-"))
		}
	}
}

// GroupName is what a service group may be called (NITRO documentation, servicegroup), and
// Letters says it in words. That it may have no more than 127 of them is known from hearsay
// only, but here nobody is asked.
var GroupName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_#. :@=-]*[A-Za-z0-9_#.:@=-])?$`)

const Letters = "letters, digits, spaces and _ # . : @ = -, begin with a letter, a digit or _, and do not end with a space"

func fit(group string) bool { return len(group) <= 127 && GroupName.MatchString(group) }

// governing is the key of Allow that holds for a namespace: its own, or the nearest above it
// on its path; "": none but that of all may.
func (e Entry) governing(namespace string) string {
	for at := namespace; ; at = at[:max(strings.LastIndex(at, "/"), 0)] {
		if _, given := e.Allow[at]; given || at == "" {
			return at
		}
	}
}

// allows says whether the owners of a namespace may choose the name: by the patterns of the
// namespace, or of the nearest above it on its path, and those of all.
func (e Entry) allows(namespace, group string) bool {
	patterns := slices.Concat(e.Allow["*"], e.Allow[e.governing(namespace)])
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		fits, err := path.Match(pattern, group)
		return err == nil && fits
	})
}

// CheckPattern says what is wrong with a pattern of names.
func CheckPattern(pattern string) error {
	if !fit(strings.ReplaceAll(pattern, "*", "x")) {
		return fmt.Errorf("%q is not a pattern of service groups' names, such as sg-shop-*", pattern)
	}
	return nil
}
