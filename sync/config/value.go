package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"nitrox/sources"
	"nitrox/sync"

	"gopkg.in/yaml.v3"
)

var (
	node     = reflect.TypeFor[*yaml.Node]()
	path     = reflect.TypeFor[sources.Path]()
	duration = reflect.TypeFor[time.Duration]()
	address  = reflect.TypeFor[netip.Addr]()
	prefix   = reflect.TypeFor[netip.Prefix]()
	limit    = reflect.TypeFor[sync.Limit]()
)

// value decodes the value n of key. A list of one may be written as its item.
// It returns false if there was a problem.
func (d *decoder) value(n *yaml.Node, key string, into reflect.Value) bool {
	if into.Type() == node {
		into.Set(reflect.ValueOf(n))
		return true
	}
	if into.Kind() != reflect.Slice {
		return d.scalar(n, key, into)
	}
	elem := into.Type().Elem()
	items := []*yaml.Node{n}
	switch {
	case n.Kind == yaml.SequenceNode:
		items = n.Content
	case elem == node || n.Kind != yaml.ScalarNode:
		d.problem(n, "%s: must be a list, not %s", key, form(n))
		return false
	}
	list, ok := reflect.MakeSlice(into.Type(), len(items), len(items)), true
	for i, item := range items {
		name := key
		if n.Kind == yaml.SequenceNode {
			name = fmt.Sprintf("%s[%d]", key, i)
		}
		ok = d.value(item, name, list.Index(i)) && ok
	}
	if ok {
		into.Set(list)
	}
	return ok
}

// scalar decodes a single value. Its text is what counts, not what YAML takes
// it for: a port may be written 80, "80" or ${PORT}, and 010 as a name stays
// 010.
func (d *decoder) scalar(n *yaml.Node, key string, into reflect.Value) bool {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, "%s: must be a single value, not %s", key, form(n))
		return false
	}
	if null(n) {
		d.problem(n, "%s: has no value; give one, or remove the key", key)
		return false
	}
	text, err := d.expand(n)
	if err != nil {
		d.problem(n, "%s: %v", key, err)
		return false
	}
	v, err := d.convert(text, into.Type())
	if err != nil {
		d.problem(n, "%s: %s %s", key, quote(n.Value), d.hide(err.Error(), n))
		return false
	}
	into.Set(v)
	if c, ok := into.Addr().Interface().(sources.Checker); ok {
		if err := c.Check(); err != nil {
			d.problem(n, "%s: %s", key, d.hide(err.Error(), n))
			return false
		}
	}
	return true
}

// convert reads a value of type t. Its errors go on after the text: "80x" ...
func (d *decoder) convert(text string, t reflect.Type) (reflect.Value, error) {
	var v any
	var err error
	switch {
	case t == path:
		v, err = d.path(text)
	case t == duration:
		v, err = parseDuration(text)
	case t == address:
		if v, err = netip.ParseAddr(text); err != nil {
			err = errors.New("is not an IP address")
		}
	case t == prefix:
		v, err = parsePrefix(text)
	case t == limit:
		v, err = parseLimit(text)
	case t.Kind() == reflect.String:
		v = text
	case t.Kind() == reflect.Bool:
		v, err = parseBool(text)
	case t.Kind() == reflect.Int:
		if v, err = strconv.Atoi(text); err != nil {
			err = errors.New("is not a whole number")
		}
	default:
		// The mistake of a programmer, which the test of all kinds finds.
		panic("config: no way to read a " + t.String())
	}
	if err != nil {
		return reflect.Value{}, err
	}
	return reflect.ValueOf(v).Convert(t), nil
}

func (d *decoder) path(text string) (sources.Path, error) {
	switch {
	case text == "":
		return "", errors.New("is not the name of a file")
	case d.limits != nil:
		return "", fmt.Errorf("is the name of a file, which this file may not have read, as it has limits (%s)", d.limits.at())
	}
	if filepath.IsAbs(text) {
		return sources.Path(text), nil
	}
	return sources.Path(filepath.Join(d.dir, text)), nil
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, errors.New("is neither true nor false")
}

func parseDuration(text string) (time.Duration, error) {
	v, err := time.ParseDuration(text)
	if err != nil {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return 0, fmt.Errorf("has no unit; did you mean %ss?", text)
		}
		return 0, errors.New("is not a duration; write it like 30s, 5m or 1h30m")
	}
	if v < 0 {
		return 0, errors.New("is negative")
	}
	return v, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			return p, fmt.Errorf("is a single address; write %s/%d, or a whole network", a, a.BitLen())
		}
		return p, errors.New("is not a network; write it like 10.1.0.0/16 or 2001:db8::/32")
	}
	if p.Addr().Is4In6() {
		return p, errors.New("is an IPv4 network in IPv6 form; write it as IPv4")
	}
	if p != p.Masked() {
		return p, fmt.Errorf("has bits set beyond the prefix length; did you mean %s?", p.Masked())
	}
	return p, nil
}

func parseLimit(text string) (sync.Limit, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil:
		return sync.Limit{}, errors.New("is neither a percentage nor a number of members; write it like 75% or 3")
	case n < 0:
		return sync.Limit{}, errors.New("is negative")
	case percent && n > 100:
		return sync.Limit{}, errors.New("is more than 100%; write at most 100%")
	}
	return sync.Limit{N: n, Percent: percent}, nil
}
