package kubernetes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"nitrox/sources"
	"nitrox/sources/nearest"
)

// unwanted says why the entry does not want a node; "" if it does.
func (a *answering) unwanted(n node) string {
	switch {
	case !a.selector.Matches(labels.Set(n.Metadata.Labels)):
		return "not chosen by node_selector"
	case a.zone == "" || n.zone() == a.zone:
		return ""
	case n.zone() == "":
		return "in no zone: it has no label " + zoneLabel
	}
	return "in zone " + n.zone()
}

// inZone says whether an endpoint is in the zone that the entry wants; pods is how
// many can serve there. Its slice tells, or its node.
func (a *answering) inZone(e endpoint, pods int) bool {
	zone := e.zone
	if n, ok := a.nodes.nodes[e.node]; ok && zone == "" {
		zone = n.zone()
	}
	switch {
	case a.zone == "" || zone == a.zone:
		return true
	case zone == "":
		a.doubt("it is not known in which zone %v is: neither its EndpointSlice nor the label %s of its node says it", e, zoneLabel)
	default:
		a.leave(e, "in zone "+sources.Excerpt(zone))
		a.elsewhere += pods
	}
	return false
}

// chooseNone is the end of a sentence that says why there is no node at all that
// is wanted, with the nearest that there is; "" if there is one, or all are wanted,
// or others may be chosen that were not read.
func (a *answering) chooseNone() string {
	if a.zone == "" && a.selector.Empty() {
		return ""
	}
	zones, keys, pairs := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, e := range a.endpoints {
		if e.zone == a.zone && a.selector.Empty() {
			return ""
		}
		zones[e.zone] = true
	}
	for _, n := range a.nodes.nodes {
		if a.unwanted(n) == "" {
			return ""
		}
		zones[n.zone()] = true
		for key, value := range n.Metadata.Labels {
			keys[key], pairs[key+"="+value] = true, true
		}
	}
	if !a.nodes.whole {
		if !a.query.restricted() {
			return ""
		}
		return "; whether any node is chosen by node_selector and zone is not known, because the nodes were not read"
	}
	if a.zone != "" && !zones[a.zone] {
		return fmt.Sprintf("; no node is in zone %s%s", a.zone, meant(a.zone, zones))
	}
	requirements, _ := a.selector.Requirements() // false only of a selector that chooses nothing
	for _, r := range requirements {
		if !slices.Contains([]selection.Operator{selection.Equals, selection.DoubleEquals, selection.In, selection.Exists}, r.Operator()) {
			continue
		}
		if !keys[r.Key()] {
			return fmt.Sprintf("; no node has the label %s%s", r.Key(), meant(r.Key(), keys))
		}
		values := r.ValuesUnsorted()
		if len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return pairs[r.Key()+"="+v] }) {
			maps.DeleteFunc(pairs, func(pair string, _ bool) bool { return !strings.HasPrefix(pair, r.Key()+"=") })
			pair := r.Key() + "=" + values[0]
			return fmt.Sprintf("; no node has the label %s%s", pair, meant(pair, pairs))
		}
	}
	return "; no node is chosen by node_selector and zone"
}

func meant(name string, known map[string]bool) string {
	return nearest.DidYouMean(name, slices.Sorted(maps.Keys(known)))
}
