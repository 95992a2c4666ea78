package discover

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nitrox/sources"
	"nitrox/sources/nearest"
)

// claim is one service group that an object would have, or what it says amiss.
type claim struct {
	entry  int
	object sources.Found
	group  string // "": it is not known, or not allowed
	chosen bool   // by the owner
	part   Part
	drain  time.Duration
	err    error
}

// Part is one place that an app's endpoints come from.
type Part struct {
	Entry         int // whose source it is
	Query         any
	Weight, Order int
}

// longest is how long a drain an owner may ask for, unless the mapping's is longer.
const longest = time.Hour

// settings are what an owner may say. Each can only give up something.
var settings = []string{"service-group", "port", "address", "weight", "order", "drain"}

// amiss is what is wrong with a setting.
func amiss(name, format string, args ...any) error {
	return fmt.Errorf("%s%s: %w", sources.SettingPrefix, sources.Excerpt(name), fmt.Errorf(format, args...))
}

// manyPorts is how many service groups one object has at most: a NetScaler's room is all
// owners'.
const manyPorts = 16

var portName = regexp.MustCompile(`^[A-Za-z0-9.-]+(/[A-Za-z]+)?$`)

// claims are what an object says that it has. If anything is amiss it is so of all of them.
func (e Entry) claims(entry int, f sources.Found) (all []*claim) {
	ports, err := e.ports(f)
	groups, groupErr := e.groups(f, ports)
	c := claim{entry: entry, object: f, part: Part{Entry: entry}, chosen: f.Settings["service-group"] != ""}
	var settingErr error
	c.part.Weight, c.part.Order, c.drain, settingErr = e.narrowed(f)
	c.err = cmp.Or(f.Doubt, unknown(f), err, groupErr, settingErr)
	for i, group := range groups {
		one := c
		one.group = group
		if c.err == nil {
			one.part.Query, one.err = f.Query(ports[i], f.Settings["address"])
			var key *sources.KeyError
			if errors.As(one.err, &key) {
				one.err = amiss(key.Key, "%w", key.Err)
			}
		}
		all = append(all, &one)
	}
	for _, one := range all {
		c.err = cmp.Or(c.err, one.err)
	}
	for _, one := range all {
		one.err = c.err
	}
	if len(all) == 0 {
		all = append(all, &c)
	}
	return all
}

// unknown is what an owner says that none may, or that nobody understands.
func unknown(f sources.Found) error {
	for _, name := range slices.Sorted(maps.Keys(f.Settings)) {
		if slices.Contains(settings, name) {
			continue
		}
		if near := nearest.Name(name, settings); near != "" {
			return amiss(name, "there is no such setting; did you mean %s%s?", sources.SettingPrefix, near)
		}
		return amiss(name, "an owner cannot say this, only the mapping; remove it")
	}
	return nil
}

// list is a setting's value, item by item; nil: it is not given.
func list(f sources.Found, name string) (items []string) {
	text, given := f.Settings[name]
	if !given {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		items = append(items, strings.TrimSpace(item))
	}
	return items
}

// ports are those of which each has a service group.
func (e Entry) ports(f sources.Found) (ports []sources.Port, err error) {
	listed := list(f, "port")
	if len(listed) > manyPorts {
		return nil, amiss("port", "lists %d ports, each of which would have a service group; list at most %d", len(listed), manyPorts)
	}
	for _, name := range listed {
		if port := sources.Port(name); !portName.MatchString(name) || port.Check() != nil {
			return nil, amiss("port", "%q is not a port; write its name, its number, or 53/udp", name)
		} else if slices.Contains(ports, port) {
			return nil, amiss("port", "%s is listed twice; remove one", name)
		} else {
			ports = append(ports, port)
		}
	}
	if ports != nil {
		return ports, nil
	}
	switch n := len(f.Ports); {
	case f.Doubt != nil:
		return nil, nil // it says why
	case n == 0:
		return nil, errors.New("it has no port; give it one, or name one with " + sources.SettingPrefix + "port")
	case n > 1:
		names := make([]string, n)
		for i, p := range f.Ports {
			names[i] = string(p)
		}
		return nil, amiss("port", "is missing, and there are several; choose from %s, or list those that are to have a group each",
			strings.Join(names, ", "))
	}
	return f.Ports, nil
}

// groups are the service groups of the ports, in their order.
func (e Entry) groups(f sources.Found, ports []sources.Port) (groups []string, err error) {
	if chosen := list(f, "service-group"); chosen != nil {
		for _, group := range chosen {
			switch {
			case !fit(group):
				return nil, amiss("service-group", "%q cannot be the name of a service group: use at most 127 %s", group, Letters)
			case !e.allows(f.Namespace, group):
				return nil, amiss("service-group", "%s is not allowed %s; allow it in allow_groups, or remove the setting", group, where(f))
			case slices.ContainsFunc(groups, func(g string) bool { return strings.EqualFold(g, group) }):
				return nil, amiss("service-group", "%s is listed twice; give each port a group of its own", group)
			}
			groups = append(groups, group)
		}
		if len(groups) != len(ports) && len(ports) > 0 {
			return groups, amiss("service-group", "names %d, and there are %d ports to serve; list one for each port of %sport",
				len(groups), len(ports), sources.SettingPrefix)
		}
		return groups, nil
	}
	for _, port := range ports {
		group := e.name(f, port)
		switch {
		case f.Namespace != "" && strings.Contains(f.Name+string(port), "_"), !fit(group):
			return nil, fmt.Errorf("its service group would be called %q, which none can be; choose a name with %sservice-group",
				group, sources.SettingPrefix)
		case slices.Contains(groups, group):
			return nil, fmt.Errorf("its ports would have one service group, %s; put {port} into service_group", group)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// where is the namespace of an object in a sentence.
func where(f sources.Found) string {
	if f.Namespace == "" {
		return "here"
	}
	return "in namespace " + f.Namespace
}

// narrowed are the other settings, which can only give up something.
func (e Entry) narrowed(f sources.Found) (weight, order int, drain time.Duration, err error) {
	number := func(name string, most int) (n int) {
		text, given := f.Settings[name]
		if !given {
			return 0
		}
		n, bad := strconv.Atoi(strings.TrimSpace(text))
		if bad != nil || n < 1 || n > most {
			err = cmp.Or(err, amiss(name, "%q is not a number from 1 to %d; correct it", text, most))
		}
		return n
	}
	weight, order, drain = number("weight", 100), number("order", 8192), e.Drain
	if text, given := f.Settings["drain"]; given {
		asked, bad := time.ParseDuration(strings.TrimSpace(text))
		switch {
		case bad != nil || asked%time.Second != 0:
			err = cmp.Or(err, amiss("drain", "%q is not a time in whole seconds, such as 90s or 5m; correct it", text))
		case asked < e.Drain:
			err = cmp.Or(err, amiss("drain", "%s is shorter than the %s that the mapping says; remove it, or ask for longer", text, e.Drain))
		case asked > max(longest, e.Drain):
			err = cmp.Or(err, amiss("drain", "%s is longer than the %s that an owner may ask for; shorten it", text, max(longest, e.Drain)))
		}
		drain = asked
	}
	return weight, order, drain, err
}
