package discover

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"nitrox/netscaler"
	"nitrox/sources"
)

// A mark is the comment of a service group that discovery made or took: "nitrox OWNER
// NAMESPACE/NAME". What does not read so is an operator's, and stays.

var (
	ownerName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)
	marked    = regexp.MustCompile(`^nitrox ([A-Za-z0-9_][A-Za-z0-9_.-]*) [^ ]*(/|\.\.\.)[^ ]*$`)
)

// CheckOwner says what is wrong with the name of an owner.
func CheckOwner(name string) error {
	if !ownerName.MatchString(name) {
		return fmt.Errorf("%q cannot be in a mark: use at most 63 letters, digits and _ . -", name)
	}
	return nil
}

func mark(owner string, f sources.Found) string {
	return netscaler.Comment(fmt.Sprintf("nitrox %s %s/%s", owner, f.Namespace, f.Name))
}

// Owner is whose mark a comment is; "": nobody's.
func Owner(comment string) string {
	if m := marked.FindStringSubmatch(comment); m != nil {
		return m[1]
	}
	return ""
}

// Orphans are the service groups with a mark of an entry's owner that no app claims any
// more. comments are those of each NetScaler that could be read; written says whether an
// app of the mapping has a group of that name anywhere.
func (r Apps) Orphans(comments map[string]map[string]string, written func(group string) bool) (orphans []App) {
	claimed := map[string]bool{}
	for _, a := range r.Apps {
		claimed[strings.ToLower(a.Group)] = true
	}
	for _, n := range slices.Sorted(maps.Keys(comments)) {
		for i, e := range r.entries {
			first := slices.IndexFunc(r.entries, func(o Entry) bool { return o.Owner == e.Owner && slices.Contains(o.NetScalers, n) })
			if i != first || r.unknownOf(e.Owner) {
				continue
			}
			var with []int
			for k, o := range r.entries {
				if o.Owner == e.Owner && slices.Contains(o.NetScalers, n) {
					with = append(with, k)
				}
			}
			partners := r.partners(n, with)
			total, lost := 0, []App(nil)
			for _, group := range slices.Sorted(maps.Keys(comments[n])) {
				comment := comments[n][group]
				if Owner(comment) != e.Owner {
					continue
				}
				total++
				shared := func(j int) bool { return r.unknown(j, []string{comment}, group) != nil }
				if !claimed[strings.ToLower(group)] && !written(group) && !r.doubtful[comment] && !slices.ContainsFunc(partners, shared) {
					lost = append(lost, App{Name: group, Group: group, NetScalers: []string{n}, Entry: i, Drain: e.Drain,
						Orphan: true, Leaving: e.Orphans})
				}
			}
			why := r.tooMany(e, n, partners, len(lost), total)
			for j := range lost {
				if why != "" && lost[j].Leaving {
					lost[j].Leaving, lost[j].Note = false, why
				}
			}
			orphans = append(orphans, lost...)
		}
	}
	return orphans
}

// unknownOf: it is not known which objects an owner has.
func (r Apps) unknownOf(owner string) bool {
	if r.unsure[owner] {
		return true
	}
	for i := range r.Failed {
		if r.entries[i].Owner == owner {
			return true
		}
	}
	return false
}

// none: an owner has no objects left at all.
func (r Apps) none(owner string) bool {
	for i, n := range r.found {
		if n > 0 && r.entries[i].Owner == owner {
			return false
		}
	}
	return true
}

// tooMany is why no orphan is drained although orphans says so.
func (r Apps) tooMany(e Entry, netscaler string, partners []int, lost, total int) string {
	void := slices.IndexFunc(partners, func(j int) bool { return r.found[j] == 0 })
	switch {
	case slices.ContainsFunc(r.entries, func(o Entry) bool {
		return o.Owner == e.Owner && slices.Contains(o.NetScalers, netscaler) && !o.Orphans
	}):
		return fmt.Sprintf("not drained: another entry of owner %s says orphans: keep; let all say the same", e.Owner)
	case r.none(e.Owner):
		return fmt.Sprintf("not drained: no app of owner %s is left at all, which looks like a mistake; if it is none, drain it by hand", e.Owner)
	case void >= 0:
		return fmt.Sprintf("not drained: apps of source %s may share it, and it has none at all; if that is right, remove its entry from discover",
			r.entries[partners[void]].Source)
	case e.Count && lost > e.Most, !e.Count && lost*100 > e.Most*total:
		return fmt.Sprintf("not drained: no app claims %d of %d service groups of owner %s, over max_remove, "+
			"which looks like a mistake; if it is none, remove those groups by hand", lost, total, e.Owner)
	}
	return ""
}
