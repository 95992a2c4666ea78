package sync

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Approval is a plan in a file: what a run would do, for somebody to approve and
// for a later run to do, or to refuse if it would do anything else. It has names and
// addresses, and no secrets.
type Approval struct {
	Kind    string    `json:"kind"`    // nitrox plan
	Version int       `json:"version"` // of this form
	Nitrox  string    `json:"nitrox"`  // the version that made it
	Made    time.Time `json:"made"`
	// Mapping is the digest of the mapping file.
	Mapping string `json:"mapping"`
	// Apps and Force are what --app and --force said; no Apps: all.
	Apps  []string `json:"apps,omitempty"`
	Force []string `json:"force,omitempty"`
	// Groups are in the order of the mapping, which does not count.
	Groups []ApprovedGroup `json:"groups"`
	// Digest is of what would be done, which is all that must be the same.
	Digest string `json:"digest"`

	at map[Place]ApprovedGroup // of a plan that was read
}

// ApprovedGroup is what would be done to one service group.
type ApprovedGroup struct {
	App       string `json:"app"`
	NetScaler string `json:"netscaler"`
	Group     string `json:"service_group"`
	// Desired and Actual are digests of what its sources said, and of its members.
	Desired string `json:"desired"`
	Actual  string `json:"actual"`
	// Changes are commands of the NetScaler, in order, as the nscli report has them.
	Changes []string `json:"changes"`
	// Unknown is why it could not be planned.
	Unknown string `json:"unknown,omitempty"`
}

const approvalKind, approvalVersion = "nitrox plan", 1

// ErrNoPlan is about what no Nitrox wrote as a plan.
var ErrNoPlan = errors.New("this is not a plan that nitrox plan --out wrote")

// ErrNotApproved is that of a service group whose plan is not the approved one any
// more.
var ErrNotApproved = errors.New("not applied: what is to be done is not what was approved any more; make another plan")

// Approve fills in what a plan would do.
func (a *Approval) Approve(r Result) {
	a.Kind, a.Version, a.Groups = approvalKind, approvalVersion, []ApprovedGroup{}
	for _, o := range r.Outcomes {
		g := ApprovedGroup{App: o.App.Name, NetScaler: o.NetScaler, Group: o.App.Group, Changes: o.said()}
		var desired, actual []string
		for _, e := range o.Desired.Endpoints {
			desired = append(desired, fmt.Sprintf("%s weight %d order %d uncertain %t", e.Addr, e.Weight, e.Order, e.Uncertain != ""))
		}
		for _, m := range o.Actual {
			actual = append(actual, fmt.Sprintf("%s server %q weight %d order %d state %v mark %t", m.Addr, m.Server, m.Weight, m.Order, m.State, m.Mark))
		}
		slices.Sort(desired)
		slices.Sort(actual)
		if o.Desired.Doubt() != nil {
			desired = append(desired, "and there may be others")
		}
		g.Desired, g.Actual = digest(desired), digest(actual)
		if o.Err != nil {
			g.Unknown = OneLine(o.Err.Error())
		}
		a.Groups = append(a.Groups, g)
	}
	a.Digest = a.digest()
}

// digest is of the groups that would be changed, in whatever order.
func (a *Approval) digest() string {
	var changed []string
	for _, g := range a.Groups {
		if len(g.Changes) > 0 {
			changed = append(changed, fmt.Sprintf("%q", append([]string{g.App, g.NetScaler, g.Group}, g.Changes...)))
		}
	}
	slices.Sort(changed)
	return digest(changed)
}

func digest(lines []string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// said are the changes that a run would make, in words of which each difference
// between two changes makes a difference.
func (o Outcome) said() []string {
	said := []string{}
	if o.App.Policy.Paused || o.Err != nil {
		return said
	}
	for _, c := range o.Plan.Changes {
		commands := commandsOf(c)
		if len(commands) == 0 {
			commands = []string{fmt.Sprintf("# %v %s in %s", c.Op, Subject(c), c.Group)}
		}
		said = append(said, commands...)
	}
	return said
}

// ReadApproval is the plan in a file, unless somebody has edited it.
func ReadApproval(text []byte) (*Approval, error) {
	var a Approval
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&a)
	switch {
	case a.Kind != approvalKind:
		return nil, ErrNoPlan
	case a.Version != approvalVersion:
		return nil, fmt.Errorf("the plan has version %d, and this nitrox (%d) cannot read it; make another", a.Version, approvalVersion)
	case err != nil:
		return nil, fmt.Errorf("the plan cannot be read; make another: %w", err)
	case a.Digest != a.digest():
		return nil, errors.New("the plan was changed since it was made; make another")
	}
	a.at = map[Place]ApprovedGroup{}
	for _, g := range a.Groups {
		a.at[Place{g.App, g.NetScaler}] = g
	}
	return &a, nil
}

// Differences are how now differs from the plan in what would be done, for people to
// read; none if it does not.
func (a *Approval) Differences(now *Approval) (lines []string) {
	if a.Digest == now.Digest {
		return nil
	}
	key := func(g ApprovedGroup) string {
		return fmt.Sprintf("app %s, service group %s on %s", g.App, g.Group, g.NetScaler)
	}
	before, after := map[string]ApprovedGroup{}, map[string]ApprovedGroup{}
	var all []string
	for _, side := range []struct {
		groups []ApprovedGroup
		by     map[string]ApprovedGroup
	}{{a.Groups, before}, {now.Groups, after}} {
		for _, g := range side.groups {
			side.by[key(g)] = g
			all = append(all, key(g))
		}
	}
	told := map[string]bool{}
	for _, name := range all {
		if told[name] {
			continue
		}
		told[name] = true
		was, is := before[name], after[name]
		if slices.Equal(was.Changes, is.Changes) {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s", name, cmp.Or(is.Unknown, why(was, is))))
		for _, c := range missing(was.Changes, is.Changes) {
			lines = append(lines, "  planned, not now: "+c)
		}
		for _, c := range missing(is.Changes, was.Changes) {
			lines = append(lines, "  now, not planned: "+c)
		}
	}
	return lines
}

// why says on which side a group has changed since.
func why(was, is ApprovedGroup) string {
	switch desired, actual := was.Desired != is.Desired, was.Actual != is.Actual; {
	case was.App == "":
		return "it is not in the plan"
	case is.App == "":
		return "it is not in the mapping, or not selected"
	case desired && actual:
		return "its sources answer something else, and its members are others"
	case desired:
		return "its sources answer something else"
	case actual:
		return "its members are others"
	}
	return "the mapping, or a guard, decides something else"
}

// missing are the lines of a that b has not.
func missing(a, b []string) (lines []string) {
	there := map[string]int{}
	for _, line := range b {
		there[line]++
	}
	for _, line := range a {
		if there[line]--; there[line] < 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// approved: the outcome's plan is what was approved, if anything had to be.
func (s *Syncer) approved(o *Outcome) bool {
	if s.Approved == nil {
		return true
	}
	g, now := s.Approved.at[o.place()], o.said()
	return slices.Equal(g.Changes, now) && (len(now) == 0 || g.Group == o.App.Group)
}
