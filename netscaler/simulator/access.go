package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// access is who may log in and do what, as the commands of a configuration say
// it: users and groups of them, and the command policies that are bound to them.
type access struct {
	users, groups map[string]*account
	policies      map[string]*policy
}

// account is a user, or a group of users.
type account struct {
	password  string
	encrypted bool
	bound     []binding
	groups    []string // of a user
}

type binding struct {
	policy   string
	priority int
}

// policy allows or denies commands.
type policy struct {
	spec    string
	deny    bool
	matches func(line string) bool
}

// builtinPolicies are those that every appliance has, and those of partitions.
// They are told apart by what can be asked for by NITRO here.
var builtinPolicies = map[string]*policy{
	"superuser": {spec: ".*", matches: func(string) bool { return true }},
	"sysadmin":  administers, "network": administers, "partition-admin": administers, "partition-network": administers,
	"operator": operates, "partition-operator": operates,
	"read-only": {spec: readOnlySpec, matches: reads}, "partition-read-only": {spec: readOnlySpec, matches: reads},
}

var (
	administers = &policy{spec: `^(?!.*(system|ns partition)).*`, matches: func(line string) bool { return !concernsUsers.MatchString(line) }}
	operates    = &policy{spec: readOnlySpec + `|(^(enable|disable) (server|service|serviceGroup).*)`, matches: func(line string) bool { return reads(line) || switches.MatchString(line) }}
)

// readOnlySpec is the pattern of read-only on an appliance.
const readOnlySpec = `(^man.*)|(^show\s+(?!system)(?!configstatus)(?!ns ns\.conf)(?!ns savedconfig)(?!ns runningConfig)` +
	`(?!gslb runningConfig)(?!audit messages)(?!techsupport).*)|(^stat.*)`

var (
	concernsUsers = regexp.MustCompile(`^\S+ +(system|ns partition)\b`)
	secretShows   = regexp.MustCompile(
		`^show +(system|configstatus|ns (ns\.conf|savedconfig|runningConfig)|gslb runningConfig|audit messages|techsupport)\b`)
	readsOnly = regexp.MustCompile(`^(man|show|stat)\b`)
	switches  = regexp.MustCompile(`^(enable|disable) +(server|service|serviceGroup)\b`)
)

func reads(line string) bool { return readsOnly.MatchString(line) && !secretShows.MatchString(line) }

const rootUser = "nsroot" // may do everything, whatever is bound to it

// password says whether a user may log in with it: Options.Users decides, and for
// others what the configuration says in plain text.
func (s *Simulator) password(user, password string) bool {
	if want, ok := s.opt.Users[user]; ok {
		return want == password
	}
	u := s.access.users[user]
	return u != nil && !u.encrypted && u.password != "" && u.password == password
}

// authorized holds a command, as the command line has it, against the user's
// policies: of those bound to the user and the user's groups the one of the
// lowest priority that matches decides, and without one nothing is allowed. Users
// that only Options.Users knows may do everything.
func (s *Simulator) authorized(user, line string) *failure {
	if p := s.opt.Policies[user]; p != nil {
		if !p.MatchString(line) {
			return fail(codeNotAuthorized, line)
		}
		return nil
	}
	u := s.access.users[user]
	if u == nil || user == rootUser {
		return nil
	}
	bound := slices.Clone(u.bound)
	for _, name := range u.groups {
		if g := s.access.groups[name]; g != nil {
			bound = append(bound, g.bound...)
		}
	}
	slices.SortStableFunc(bound, func(a, b binding) int { return cmp.Compare(a.priority, b.priority) })
	for _, b := range bound {
		p := s.policy(b.policy)
		if p == nil || !p.matches(line) {
			continue
		}
		if p.deny {
			return fail(codeNotAuthorized, line)
		}
		return nil
	}
	return fail(codeNotAuthorized, line)
}

// byName lists one key of a map or all of them, as the path has a name or not.
func byName[T any](all map[string]T, q *query, row func(name string)) *failure {
	return named(slices.Sorted(maps.Keys(all)), func(name string) string { return name }, q, row)
}

// showUsers lists users without their passwords, as NITRO does.
func showUsers(x *exec, q *query, l *listing) *failure {
	return byName(x.access.users, q, func(name string) {
		l.row("username", name)
	})
}

func showPolicies(x *exec, q *query, l *listing) *failure {
	all := maps.Clone(builtinPolicies)
	maps.Copy(all, x.access.policies)
	return byName(all, q, func(name string) {
		l.row("policyname", name, "action", map[bool]string{true: "DENY", false: "ALLOW"}[all[name].deny],
			"cmdspec", all[name].spec)
	})
}

// boundTo lists the command policies of a user or a group.
func boundTo(key string, accounts func(*Simulator) map[string]*account) func(x *exec, q *query, l *listing) *failure {
	return func(x *exec, q *query, l *listing) *failure {
		all := accounts(x.Simulator)
		return byName(all, q, func(name string) {
			for _, b := range all[name].bound {
				l.row(key, name, "policyname", b.policy, "priority", strconv.Itoa(b.priority))
			}
		})
	}
}

func showGroupsOfUser(x *exec, q *query, l *listing) *failure {
	return byName(x.access.users, q, func(name string) {
		for _, group := range x.access.users[name].groups {
			l.row("username", name, "groupname", group)
		}
	})
}

func (s *Simulator) policy(name string) *policy {
	if p := s.access.policies[name]; p != nil {
		return p
	}
	return builtinPolicies[name]
}

var (
	userAttrs = []attr{
		{name: "username", required: true},
		{name: "password", secret: true},
		{name: "encrypted", kind: flag},
	}
	policyWords = []string{"policyname", "action", "cmdspec"}
	groupAttr   = attr{name: "groupname", required: true}
	policyAttrs = []attr{
		{name: "policyname", required: true},
		{name: "action", kind: choice, enum: "ALLOW DENY", required: true},
		{name: "cmdspec", required: true},
	}
	boundAttrs = []attr{
		{name: "policyname"},
		{name: "priority", kind: integer, max: 2147483647},
	}
)

var (
	addUser = accessCommand("add system user", []string{"username", "password"}, userAttrs, func(s *Simulator, it item) *failure {
		if s.access.users[it.get("username")] != nil {
			return fail(codeExists)
		}
		return s.setUser(it)
	})
	setUser = accessCommand("set system user", []string{"username", "password"}, userAttrs, func(s *Simulator, it item) *failure {
		if name := it.get("username"); s.access.users[name] == nil && name != rootUser {
			return fail(codeNoResource, "userName", name)
		}
		return s.setUser(it)
	})
	rmUser = accessCommand("rm system user", []string{"username"}, userAttrs[:1], func(s *Simulator, it item) *failure {
		name := it.get("username")
		if s.access.users[name] == nil {
			return fail(codeNoResource, "userName", name)
		}
		delete(s.access.users, name)
		return nil
	})
	addUsers = accessCommand("add system group", []string{"groupname"}, []attr{groupAttr}, func(s *Simulator, it item) *failure {
		name := it.get("groupname")
		if s.access.groups[name] != nil {
			return fail(codeExists)
		}
		s.access.grow()
		s.access.groups[name] = &account{}
		return nil
	})
	addPolicy = accessCommand("add system cmdPolicy", policyWords, policyAttrs, func(s *Simulator, it item) *failure {
		if s.policy(it.get("policyname")) != nil {
			return fail(codeExists)
		}
		return s.setPolicy(it)
	})
	setPolicy = accessCommand("set system cmdPolicy", policyWords, policyAttrs, func(s *Simulator, it item) *failure {
		if name := it.get("policyname"); s.access.policies[name] == nil {
			return fail(codeNoResource, "policyName", name)
		}
		return s.setPolicy(it)
	})
	rmPolicy = accessCommand("rm system cmdPolicy", []string{"policyname"}, policyAttrs[:1], func(s *Simulator, it item) *failure {
		name := it.get("policyname")
		if s.access.policies[name] == nil {
			return fail(codeNoResource, "policyName", name)
		}
		delete(s.access.policies, name)
		return nil
	})
	bindUser = accessCommand("bind system user", []string{"username", "policyname", "priority"},
		append([]attr{userAttrs[0]}, boundAttrs...), func(s *Simulator, it item) *failure {
			name := it.get("username")
			if name == rootUser && s.access.users[name] == nil {
				s.access.grow()
				s.access.users[name] = &account{encrypted: true}
			}
			u := s.access.users[name]
			if u == nil {
				return fail(codeNoResource, "userName", name)
			}
			return s.bindPolicy(u, it)
		})
	unbindUser = accessCommand("unbind system user", []string{"username", "policyname"},
		append([]attr{userAttrs[0]}, boundAttrs[:1]...), func(s *Simulator, it item) *failure {
			u := s.access.users[it.get("username")]
			if u == nil {
				return fail(codeNoResource, "userName", it.get("username"))
			}
			n := len(u.bound)
			u.bound = slices.DeleteFunc(u.bound, func(b binding) bool { return b.policy == it.get("policyname") })
			if len(u.bound) == n {
				return fail(codeNoResource, "policyName", it.get("policyname"))
			}
			return nil
		})
	bindUsers = accessCommand("bind system group", []string{"groupname"},
		[]attr{groupAttr, {name: "username", cli: "userName"}, {name: "policyname", cli: "policyName", then: "priority"}, boundAttrs[1]},
		func(s *Simulator, it item) *failure {
			g := s.access.groups[it.get("groupname")]
			if g == nil {
				return fail(codeNoResource, "groupName", it.get("groupname"))
			}
			if name := it.get("username"); name != "" {
				u := s.access.users[name]
				if u == nil {
					return fail(codeNoResource, "userName", name)
				}
				u.groups = append(u.groups, it.get("groupname"))
			}
			if it.get("policyname") == "" {
				return nil
			}
			return s.bindPolicy(g, it)
		})
)

var accessCommands = []*command{
	addUser, setUser, rmUser, addUsers, addPolicy, setPolicy, rmPolicy, bindUser, unbindUser, bindUsers,
}

func accessCommand(cli string, words []string, attrs []attr, run func(*Simulator, item) *failure) *command {
	return &command{cli: cli, words: words, attrs: attrs, verbatim: true,
		run: func(x *exec, it item) (func(), *failure) { return nil, run(x.Simulator, it) }}
}

func (a *access) grow() {
	if a.users == nil {
		*a = access{users: map[string]*account{}, groups: map[string]*account{}, policies: map[string]*policy{}}
	}
}

func (s *Simulator) setUser(it item) *failure {
	s.access.grow()
	u := s.access.users[it.get("username")]
	if u == nil {
		u = &account{}
		s.access.users[it.get("username")] = u
	}
	if it.has("password") {
		u.password, u.encrypted = it.get("password"), it.has("encrypted")
	}
	return nil
}

func (s *Simulator) setPolicy(it item) *failure {
	matches, err := compile(it.get("cmdspec"))
	if err != nil {
		return &failure{code: codeInvalidValue, detail: "cmdSpec", text: fmt.Sprintf(
			"the simulator cannot match this pattern (%v), so there is no such policy here; "+
				"write it without back-references, and look ahead only between parts of an alternative", err)}
	}
	s.access.grow()
	s.access.policies[it.get("policyname")] = &policy{spec: it.get("cmdspec"), deny: it.get("action") == "DENY", matches: matches}
	return nil
}

// compile makes a matcher of a pattern. Appliances match those of Perl, and copies
// of the policies that they come with look ahead, "^show\s+(?!system)", which Go's
// do not: such an alternative is tried at each place where its first part can end.
func compile(spec string) (func(string) bool, error) {
	if !strings.Contains(spec, "(?!") && !strings.Contains(spec, "(?=") {
		re, err := regexp.Compile(spec)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	if parts := alternatives(spec); len(parts) > 1 {
		var any []func(string) bool
		for _, part := range parts {
			matches, err := compile(part)
			if err != nil {
				return nil, err
			}
			any = append(any, matches)
		}
		return func(line string) bool {
			return slices.ContainsFunc(any, func(matches func(string) bool) bool { return matches(line) })
		}, nil
	}
	if end := closing(spec); end == len(spec)-1 && !strings.HasPrefix(spec, "(?") {
		return compile(spec[1:end])
	}
	at := strings.Index(spec, "(?")
	for at >= 0 && !strings.HasPrefix(spec[at:], "(?!") && !strings.HasPrefix(spec[at:], "(?=") {
		at = strings.Index(spec[at+2:], "(?") + at + 2
	}
	end := at + closing(spec[at:])
	if end < at {
		return nil, errors.New("a parenthesis is not closed")
	}
	before, err := regexp.Compile("(?:" + spec[:at] + ")$")
	if err != nil {
		return nil, err
	}
	ahead, err := regexp.Compile("^(?:" + spec[at+3:end] + ")")
	if err != nil {
		return nil, err
	}
	after, err := compile("^" + spec[end+1:])
	if err != nil {
		return nil, err
	}
	wanted := spec[at+2] == '='
	return func(line string) bool {
		for i := range len(line) + 1 {
			if before.MatchString(line[:i]) && ahead.MatchString(line[i:]) == wanted && after(line[i:]) {
				return true
			}
		}
		return false
	}, nil
}

// alternatives are what "|" separates outside of parentheses.
func alternatives(spec string) (parts []string) {
	begin := 0
	for i := 0; i < len(spec); i++ {
		switch spec[i] {
		case '\\':
			i++
		case '(', '[':
			if n := closing(spec[i:]); n > 0 {
				i += n
			}
		case '|':
			parts = append(parts, spec[begin:i])
			begin = i + 1
		}
	}
	return append(parts, spec[begin:])
}

// closing is where what opens at the beginning of a pattern is closed; -1 if
// nothing opens there, or is not closed.
func closing(spec string) int {
	if spec == "" || spec[0] != '(' && spec[0] != '[' {
		return -1
	}
	for i := 1; i < len(spec); i++ {
		switch {
		case spec[i] == '\\':
			i++
		case spec[0] == '[' && spec[i] == ']' && i > 1, spec[0] == '(' && spec[i] == ')':
			return i
		case spec[0] == '(' && (spec[i] == '(' || spec[i] == '['):
			n := closing(spec[i:])
			if n < 0 {
				return -1
			}
			i += n
		}
	}
	return -1
}

func (s *Simulator) bindPolicy(a *account, it item) *failure {
	name := it.get("policyname")
	switch {
	case name == "":
		return fail(codeArgumentMissing, "policyname")
	case s.policy(name) == nil:
		return fail(codeNoResource, "policyName", name)
	case slices.ContainsFunc(a.bound, func(b binding) bool { return b.policy == name }):
		return fail(codeExists)
	}
	a.bound = append(a.bound, binding{name, it.int("priority")})
	return nil
}
