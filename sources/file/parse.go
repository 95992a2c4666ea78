package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"nitrox/sources"
)

// parse gives an answer for each app that the file names. An error means that
// nothing in the file can be trusted; what is wrong with one app is the doubt
// of its answer.
func parse(path string, data []byte) (map[string]sources.Answer, error) {
	root, err := parseTree(data)
	if err != nil {
		return nil, err
	}
	f := reader{path, filepath.Base(path), make(map[string]sources.Answer)}
	switch root.kind {
	case list:
		if len(root.items) == 0 {
			return nil, errors.New("an empty list names no app; an app without endpoints has an empty list of backends")
		}
		for i, item := range root.items {
			if err := f.consul(item); err != nil {
				return nil, fmt.Errorf("entry %d of the list: %w", i+1, err)
			}
		}
	case object:
		if _, ok, err := root.get("servicename"); ok || err != nil {
			if err := f.consul(root); err != nil {
				return nil, err
			}
			break
		}
		if err := f.plain(root); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("line %d: found %v, expected an object with apps", root.line, root.kind)
	}
	return f.apps, nil
}

type reader struct {
	path, name string
	apps       map[string]sources.Answer
}

// plain reads {"apps": {name: [endpoint…]}}.
func (f reader) plain(root node) error {
	for _, p := range root.pairs {
		if p.key != "apps" {
			return fmt.Errorf(`line %d: unknown key %q; a file of endpoints has "apps", or "servicename" and "backends"`, p.line, p.key)
		}
	}
	apps, ok, err := root.get("apps")
	if err != nil {
		return err
	}
	if !ok {
		return errors.New(`"apps" is missing`)
	}
	if apps.kind != object {
		return fmt.Errorf(`line %d: "apps" is %v, not an object`, apps.line, apps.kind)
	}
	for i, p := range apps.pairs {
		f.add(p.key, p.line, p.value, plainEndpoint)
		apps.pairs[i].value = node{} // its endpoints take its place in memory
	}
	return nil
}

// consul reads {"servicename": name, "backends": [{"host": h, "port": p}…]}.
// Without its name an object could be any app's, so this fails for all.
func (f reader) consul(item node) error {
	if item.kind != object {
		return fmt.Errorf("line %d: found %v, expected an object with servicename and backends", item.line, item.kind)
	}
	name, ok, err := item.get("servicename")
	switch {
	case err != nil:
		return fmt.Errorf("line %d: %w", item.line, err)
	case !ok || name.kind != scalar || name.text == "":
		return fmt.Errorf(`line %d: "servicename" is missing`, item.line)
	}
	backends, ok, err := item.get("backends")
	if err == nil && !ok {
		err = errors.New(`"backends" is missing`)
	}
	if err != nil {
		f.put(name.text, item.line, nil, err)
		return nil
	}
	f.add(name.text, item.line, backends, consulEndpoint)
	return nil
}

// add reads the endpoints of one app. Good entries are endpoints even if there
// are bad ones beside them: these may be bound, and the doubt keeps all others.
func (f reader) add(app string, line int32, entries node, endpoint func(node) (sources.Endpoint, error)) {
	if entries.kind != list {
		f.put(app, line, nil, fmt.Errorf("found %v, expected a list of endpoints", entries.kind))
		return
	}
	endpoints := slices.Grow([]sources.Endpoint(nil), len(entries.items))
	var first error
	bad, most := 0, 0 // weights are parts of the heaviest
	origin, where := "", int32(0)
	for i, entry := range entries.items {
		e, err := endpoint(entry)
		if err != nil {
			if bad++; first == nil {
				line, first = entry.line, fmt.Errorf("endpoint %d: %w", i+1, err)
			}
			continue
		}
		if entry.line != where { // else it is one text
			origin, where = f.name+":"+strconv.Itoa(int(entry.line)), entry.line
		}
		e.Origin = origin
		most = max(most, e.Weight)
		endpoints = append(endpoints, e)
	}
	if bad > 1 {
		first = fmt.Errorf("%w (and %d more that cannot be used)", first, bad-1)
	}
	for i := range endpoints {
		endpoints[i].Of = most
	}
	f.put(app, line, endpoints, first)
}

// put keeps the answer for an app. Of an app that is listed twice neither list
// is the whole truth.
func (f reader) put(app string, line int32, endpoints []sources.Endpoint, err error) {
	if _, twice := f.apps[app]; twice {
		endpoints, err = nil, errors.New("the app is listed twice")
	}
	answer := sources.Finding{Endpoints: endpoints}
	if err != nil {
		answer.Doubt(fmt.Errorf("%s:%d: app %q: %w", f.path, line, app, err))
	}
	f.apps[app] = answer.Answer()
}

// plainEndpoint reads "10.0.3.14:31080" or {"address": …, "weight": …}.
func plainEndpoint(entry node) (sources.Endpoint, error) {
	switch entry.kind {
	case scalar:
		return parseAddress(entry.text)
	case object:
		for _, p := range entry.pairs {
			if p.key != "address" && p.key != "weight" {
				return sources.Endpoint{}, fmt.Errorf("unknown key %q; an endpoint has an address and may have a weight", p.key)
			}
		}
		address, err := entry.textOf("address")
		if err != nil {
			return sources.Endpoint{}, err
		}
		e, err := parseAddress(address)
		if err != nil {
			return sources.Endpoint{}, err
		}
		if _, ok, err := entry.get("weight"); !ok && err == nil {
			return e, nil
		}
		text, err := entry.textOf("weight")
		if err != nil {
			return sources.Endpoint{}, err
		}
		weight, err := strconv.Atoi(text)
		if err != nil || weight < 1 || weight > 100 {
			return sources.Endpoint{}, fmt.Errorf("%s: weight %q is not a whole number from 1 to 100", address, text)
		}
		e.Weight = weight
		return e, nil
	default:
		return sources.Endpoint{}, fmt.Errorf("found %v, expected an address and port", entry.kind)
	}
}

// consulEndpoint reads {"host": "10.0.3.14", "port": "31080"}.
func consulEndpoint(entry node) (sources.Endpoint, error) {
	if entry.kind != object {
		return sources.Endpoint{}, fmt.Errorf("found %v, expected an object with host and port", entry.kind)
	}
	host, err := entry.textOf("host")
	if err != nil {
		return sources.Endpoint{}, err
	}
	port, err := entry.textOf("port")
	if err != nil {
		return sources.Endpoint{}, err
	}
	return parseHostPort(host, port)
}

// textOf gives the text of a key that must be there once, with a plain value.
func (n node) textOf(key string) (string, error) {
	v, ok, err := n.get(key)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", fmt.Errorf("%q is missing", key)
	case v.kind != scalar:
		return "", fmt.Errorf("%q is %v", key, v.kind)
	}
	return v.text, nil
}
