package netscaler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"nitrox/sources/bounds"
	"nitrox/sources/examine"
)

// Use is what an appliance is used for.
type Use struct {
	Groups []string
	// Save, Clean and Create: configurations are saved, servers removed, groups
	// and virtual servers made.
	Save, Clean, Create bool
	// Order: members are given one.
	Order bool
	// Discover: apps that opt in bring groups whose names nobody knows yet.
	Discover bool
}

// Examine looks at what a pass needs of the appliance, apart from its service
// groups, and writes nothing. It logs in once; a password that is refused is not
// tried again. usable: groups can be read.
func (c *Client) Examine(ctx context.Context, use Use) (checks []examine.Check, usable bool) {
	var nodes []examine.Server
	for _, base := range c.cfg.URLs {
		nodes = append(nodes, examine.Server{URL: base + "/", Transport: c.http, Keys: trustKeys})
	}
	checks, reachable := examine.Servers(ctx, nodes)
	rest := "log-in, HA role, partition, version, feature LB, rights, service groups"
	if c.cfg.Partition == "" {
		rest = strings.Replace(rest, "partition, ", "", 1)
	}
	if !reachable {
		return append(checks, examine.Not(rest, "the NetScaler cannot be reached")), false
	}
	if _, err := c.cfg.Password.Reveal(); err != nil { // which whoever reads the mapping tells
		return append(checks, examine.Not(rest, "its password cannot be read")), false
	}
	_, rest, _ = strings.Cut(rest, ", ")
	if _, err := c.enter(ctx); err != nil {
		subject, remedy, because := "log-in", "correct url, username or password", "nobody is logged in"
		switch {
		case errors.Is(err, ErrUnavailable):
			remedy = "see what answers at url, and whether the NetScaler behind it is well"
		case errors.As(err, new(unwritable)):
			subject, remedy, because = "HA role", "give the URLs of both nodes", "no node is the primary"
			rest = strings.Replace(rest, "HA role, ", "", 1)
		case errors.As(err, new(partitionError)):
			subject, because = "partition "+c.cfg.Partition, "the partition cannot be used"
			rest = strings.Replace(rest, "partition, ", "", 1)
			remedy = "correct its name, or allow the user to switch to it"
		}
		return append(checks, examine.Fail(subject, err, remedy), examine.Not(rest, because)), false
	}
	checks = append(checks, examine.Fine("log-in", "as "+c.cfg.Username))
	var role []examine.Check
	var version, feature, rights examine.Check
	var roleErr error
	var g sync.WaitGroup
	g.Go(func() { role, roleErr = c.examineRole(ctx) })
	g.Go(func() { version = c.examineVersion(ctx, use) })
	g.Go(func() { feature = c.examineFeature(ctx) })
	g.Go(func() { rights = c.examineRights(ctx, use) })
	g.Wait()
	rights.Copy = c.Policy(use)
	if NotAuthorized(roleErr) && rights.State == examine.Failed {
		role = []examine.Check{examine.Not("HA role", "of the missing rights")}
	}
	if c.cfg.Partition != "" {
		role = append(role, examine.Fine("partition "+c.cfg.Partition, "the session is in it"))
	}
	return append(slices.Concat(checks, role), version, feature, rights), true
}

func (c *Client) examineRole(ctx context.Context) ([]examine.Check, error) {
	const subject = "HA role"
	if err := c.Writable(ctx); err != nil {
		return []examine.Check{examine.Fail(subject, err, "give the URLs of both nodes of the pair in urls, or that of the primary")}, err
	}
	if c.cfg.Partition != "" {
		return []examine.Check{examine.Fine(subject, "the node may be written; within a partition no more is told")}, nil
	}
	nodes, err := objects[struct{ ID, IPAddress, State, HAStatus, HASync json.RawMessage }](ctx, c, "hanode", "")
	switch e := refused(err); {
	case e != nil && e.Code == codeNotOnCluster:
		return []examine.Check{examine.Fine(subject, "the address of a cluster")}, nil
	case err != nil:
		return []examine.Check{examine.Bad(examine.Warning, subject, err, "see show HA node")}, nil
	case len(nodes) < 2:
		return []examine.Check{examine.Fine(subject, "primary, without a peer")}, nil
	}
	checks := []examine.Check{examine.Fine(subject, "primary")}
	for _, n := range nodes {
		if text(n.ID) == "0" {
			continue
		}
		peer := examine.Fine("HA peer "+printable(text(n.IPAddress)),
			printable(fmt.Sprintf("%s, %s, synchronisation %s", text(n.State), text(n.HAStatus), text(n.HASync))))
		if !is(plain(n.HAStatus), "UP") || !is(plain(n.State), "Secondary") || strings.Contains(strings.ToUpper(text(n.HASync)), "FAIL") {
			peer.State, peer.Remedy = examine.Warning, "see show HA node on both; until the peer is well, a failover serves what it last had"
		} else if !c.pair() && !c.cfg.Instance.IsValid() && net.ParseIP(c.cfg.hosts()[0]) != nil {
			peer.Remedy = "if url is the address of one node, give both in urls: after a failover only the other may be written"
		}
		checks = append(checks, peer)
	}
	return checks, nil
}

// oldest is the first release that Nitrox supports, ordered that with an order for
// members.
var (
	oldest  = release{10, 5}
	ordered = release{13, 1}
)

type release struct{ major, minor int }

func (r release) before(o release) bool {
	return cmp.Or(cmp.Compare(r.major, o.major), cmp.Compare(r.minor, o.minor)) < 0
}

func (r release) String() string { return fmt.Sprintf("%d.%d", r.major, r.minor) }

var releaseRE = regexp.MustCompile(`NS(\d+)\.(\d+): Build ([0-9.]*[0-9])`)

func (c *Client) examineVersion(ctx context.Context, use Use) examine.Check {
	const subject = "version"
	all, err := objects[struct{ Version json.RawMessage }](ctx, c, "nsversion", "")
	if err != nil || len(all) == 0 {
		return untold(subject, cmp.Or(err, errNameless))
	}
	version := printable(text(all[0].Version))
	m := releaseRE.FindStringSubmatch(version)
	if m == nil {
		return examine.Check{Subject: subject, State: examine.Note, Seen: fmt.Sprintf("%q is not understood", version)}
	}
	major, _ := strconv.Atoi(m[1]) // it is digits; a number too large is no old release
	minor, _ := strconv.Atoi(m[2])
	r := release{major, minor}
	check := examine.Fine(subject, fmt.Sprintf("%v, build %s", r, m[3]))
	switch {
	case r.before(oldest):
		check.State, check.Seen, check.Remedy = examine.Failed,
			fmt.Sprintf("%s; the oldest release that Nitrox supports is %v", check.Seen, oldest), "upgrade the NetScaler"
	case use.Order && r.before(ordered):
		check.State, check.Seen, check.Remedy = examine.Failed,
			check.Seen+", which has no order of members", fmt.Sprintf("upgrade the NetScaler to %v, or remove order from the mapping", ordered)
	}
	return check
}

func (c *Client) examineFeature(ctx context.Context) examine.Check {
	const subject = "feature LB"
	all, err := objects[struct {
		Feature []string
		LB      *bool
	}](ctx, c, "nsfeature", "")
	switch {
	case err != nil || len(all) == 0 || all[0].Feature == nil && all[0].LB == nil:
		return untold(subject, cmp.Or(err, errNameless))
	case all[0].LB != nil && *all[0].LB, slices.ContainsFunc(all[0].Feature, func(f string) bool { return strings.EqualFold(f, "LB") }):
		return examine.Fine(subject, "enabled")
	}
	return examine.Check{Subject: subject, State: examine.Failed,
		Seen: "load balancing is disabled, so that no service group serves anything", Remedy: "enable ns feature LB"}
}

// untold is what may not be read, which a run does without.
func untold(subject string, err error) examine.Check {
	if NotAuthorized(err) {
		return examine.Check{Subject: subject, State: examine.Note, Seen: "not told, as the user may not read it; a run does not need to"}
	}
	return examine.Bad(examine.Note, subject, fmt.Errorf("not told: %w", err), "")
}

// objects reads all objects of a type, or those that belong to the named one.
func objects[T any](ctx context.Context, c *Client, kind, name string) (all []T, err error) {
	path := "config/" + kind
	if name != "" {
		path += "/" + segment(name)
	}
	_, err = c.do(ctx, c.short(get(path, func(r io.Reader) (reply, error) {
		all = nil
		return decodeReply(r, kind, reading{bounds.Whole, func(dec *bounds.Decoder) error {
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil {
				return err
			}
			if raw[0] != '[' { // what there is one of
				raw = slices.Concat([]byte("["), raw, []byte("]"))
			}
			return json.Unmarshal(raw, &all)
		}})
	})))
	return all, err
}

// grant is a command policy that allows a part of what is needed.
type grant struct {
	name, pattern string
	// commands are those that the part consists of, as an appliance would have
	// them on its command line.
	commands []string
}

// longest is how many letters of names a policy has; of more groups all are
// allowed.
const longest = 200

// grants are the smallest policies for a use. Proven with the simulator's by
// TestPrintedPolicySuffices.
func (c *Client) grants(use Use) []grant {
	groups := slices.Compact(slices.Sorted(slices.Values(use.Groups)))
	plainName := regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	some := strings.Join(groups, "|")
	if len(some) > longest || slices.ContainsFunc(groups, func(g string) bool { return !plainName.MatchString(g) }) || len(groups) == 0 || use.Discover {
		some = ""
	} else {
		some = " (" + strings.ReplaceAll(some, ".", "[.]") + ")"
	}
	each := func(verbs, rest string) (all []string) {
		for verb := range strings.FieldsSeq(verbs) {
			for _, g := range groups {
				all = append(all, verb+" serviceGroup "+g+rest)
			}
		}
		return all
	}
	all := []grant{
		{"show", "^show (serviceGroup|server)( |$)", append([]string{"show serviceGroup", "show server 192.0.2.1"}, each("show", "")...)},
		{"node", "^(show|stat) [hH][aA] node( |$)", []string{"show HA node", "stat HA node"}},
		{"change", "^(bind|unbind|enable|disable|set) serviceGroup" + some + "( |$)", each("bind unbind enable disable set", " 192.0.2.1 80")},
	}
	if use.Save {
		all = append(all, grant{"save", "^save ns config( |$)", []string{"save ns config"}})
	}
	if p := c.cfg.Partition; p != "" {
		all = append(all, grant{"partition", "^switch ns partition " + regexp.QuoteMeta(p) + "$", []string{"switch ns partition " + p}})
	}
	if use.Clean {
		all = append(all, grant{"clean", "^rm server ", []string{"rm server 192.0.2.1"}})
	}
	if use.Create {
		all = append(all, grant{"create", "^add (serviceGroup|lb vserver) |^show lb vserver( |$)|^bind lb vserver([^ ]| [^ -])+$",
			[]string{"add serviceGroup g HTTP", "add lb vserver v HTTP 192.0.2.1 80", "show lb vserver v", "bind lb vserver v g"}})
	}
	return all
}

// superuser is the user that every appliance has, whose policies cannot be changed.
const superuser = "nsroot"

// Policy are the commands that give the user the smallest rights for a use.
func (c *Client) Policy(use Use) (lines []string) {
	var binds []string
	user := c.cfg.Username
	if user == superuser {
		user = "nitrox"
		binds = append(binds, "add system user nitrox") // the appliance asks for its password
	}
	for i, g := range c.grants(use) {
		lines = append(lines, fmt.Sprintf(`add system cmdPolicy nitrox-%s ALLOW "%s"`, g.name, strings.ReplaceAll(g.pattern, `\`, `\\`)))
		binds = append(binds, fmt.Sprintf("bind system user %s nitrox-%s %d", user, g.name, 10*(i+1)))
	}
	return append(lines, binds...)
}

// examineRights holds what is needed against the policies of the user, as far as
// the user may read them.
func (c *Client) examineRights(ctx context.Context, use Use) examine.Check {
	const subject = "rights"
	if c.cfg.Username == superuser {
		return examine.Check{Subject: subject, State: examine.Warning, Seen: "nsroot may do everything",
			Remedy: "use a user of its own, with the command policies below"}
	}
	rules, err := c.policies(ctx)
	if err != nil {
		check := untold(subject, err)
		check.Remedy = "compare the command policies of the user with those below; what is read was tried, and nothing was written"
		return check
	}
	var missing, doubtful []string
	for _, g := range c.grants(use) {
		lacks := map[string][]string{} // by verb and type
		for _, command := range g.commands {
			words := strings.SplitN(strings.TrimSuffix(command, " 192.0.2.1 80"), " ", 3)
			switch allowed, known := allows(rules, command); {
			case !known:
				doubtful = append(doubtful, strings.Join(words, " "))
			case !allowed:
				lacks[words[0]+" "+words[1]] = append(lacks[words[0]+" "+words[1]], strings.Join(words, " "))
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(lacks)) {
			if len(lacks[kind]) >= len(use.Groups) && len(use.Groups) > 1 { // of every group
				missing = append(missing, kind)
			} else {
				missing = append(missing, lacks[kind]...)
			}
		}
	}
	check := examine.Fine(subject, "the command policies allow all that is needed")
	switch wide, _ := allows(rules, "rm lb vserver v"); {
	case len(missing) > 0:
		check.State, check.Seen = examine.Failed, "the command policies do not allow: "+examine.Some(missing, 6)
		check.Remedy = "bind the command policies below to the user"
	case len(doubtful) > 0:
		check.State, check.Seen = examine.Note, "not told: the patterns of the command policies cannot be read here, for "+examine.Some(doubtful, 6)
		check.Remedy = "compare them with those below"
	case wide: // what Nitrox never does
		check.Seen += ", and more"
	}
	return check
}

// ahead is how a pattern looks ahead or back.
var ahead = regexp.MustCompile(`\(\?<?[!=][^()]*\)`)

// rule is what a command policy says.
type rule struct {
	pattern *regexp.Regexp // nil: it cannot be read here
	wider   bool           // than the policy's, which looks ahead, as Perl's do
	deny    bool
}

// allows says whether the first rule that matches a command allows it; known is false
// where a pattern that might match cannot be read here.
func allows(rules []rule, command string) (allowed, known bool) {
	for _, r := range rules {
		switch {
		case r.pattern == nil:
			return false, false
		case r.pattern.MatchString(command):
			return !r.deny, !r.wider
		}
	}
	return false, true
}

// policies reads the user's own, and those of the user's groups.
func (c *Client) policies(ctx context.Context) (rules []rule, err error) {
	type bound struct{ PolicyName, Priority json.RawMessage }
	all, err := objects[bound](ctx, c, "systemuser_systemcmdpolicy_binding", c.cfg.Username)
	if err != nil {
		return nil, err
	}
	groups, err := objects[struct{ GroupName json.RawMessage }](ctx, c, "systemuser_systemgroup_binding", c.cfg.Username)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		more, err := objects[bound](ctx, c, "systemgroup_systemcmdpolicy_binding", text(g.GroupName))
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	priority := func(b bound) int { n, _ := number(b.Priority); return n } // without one it is the first
	slices.SortStableFunc(all, func(a, b bound) int { return cmp.Compare(priority(a), priority(b)) })
	for _, b := range all {
		name := text(b.PolicyName)
		if name == "superuser" || name == "sysadmin" { // for which no right of ours is missing
			rules = append(rules, rule{pattern: regexp.MustCompile("")})
			continue
		}
		found, err := objects[struct{ Action, CmdSpec json.RawMessage }](ctx, c, "systemcmdpolicy", name)
		if err == nil && len(found) == 0 {
			err = errNameless
		}
		if err != nil {
			return nil, err
		}
		spec := text(found[0].CmdSpec)
		wider := ahead.ReplaceAllString(spec, "")
		pattern, _ := regexp.Compile(wider) // nil if it is none of Go's
		rules = append(rules, rule{pattern, wider != spec, is(plain(found[0].Action), "DENY")})
	}
	return rules, nil
}

// NotAuthorized says whether a call was refused because of the user's rights.
func NotAuthorized(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Code == codeNotAuthorized || e.Code == codeNoPolicy)
}

// partitionError: the session could not switch to its partition.
type partitionError struct{ error }

func (e partitionError) Unwrap() error { return e.error }
