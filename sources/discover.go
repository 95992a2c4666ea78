package sources

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SettingPrefix begins the names of the labels and annotations with which the owner of
// an object says how its endpoints are served: "nitrox.io/port".
const SettingPrefix = "nitrox.io/"

// maxSetting is how many bytes the value of a setting may have: that is a list of names.
const maxSetting = 1000

// SettingsOf are the settings among what is written on an object, in one place or more.
func SettingsOf(written ...map[string]string) (map[string]string, error) {
	settings := map[string]string{}
	for _, labels := range written {
		for _, label := range slices.Sorted(maps.Keys(labels)) {
			name, ok := strings.CutPrefix(label, SettingPrefix)
			if !ok {
				continue
			}
			value, before := labels[label], settings[name]
			if len(value) > maxSetting {
				return nil, fmt.Errorf("%s has %d characters; write at most %d", Excerpt(label), len(value), maxSetting)
			}
			if _, twice := settings[name]; twice && value != before {
				return nil, fmt.Errorf("%s is %q in one place and %q in another; write it in one", Excerpt(label), Excerpt(before), Excerpt(value))
			}
			settings[name] = value
		}
	}
	return settings, nil
}

// Selection chooses objects of a cluster manager by what their owners wrote on them.
type Selection struct {
	// Select is a label selector, in the cluster manager's own syntax.
	Select string
	// Namespaces are those that objects are taken from, Kubernetes' own or the paths of
	// Marathon's groups, without slashes at their ends; nil: all.
	Namespaces []string
}

// Found is an object that a selection chose.
type Found struct {
	// Namespace and Name are what only the cluster manager's own rights decide: no owner
	// of another namespace can make an object that has both. Where there are no
	// namespaces, it is "".
	Namespace, Name string
	// What it is called by people: "service shop/web".
	What string
	// Settings are what its owner wrote, by the names that follow [SettingPrefix].
	Settings map[string]string
	// Ports are those that it has, in its order, each as a query takes it: its name, or
	// its number, with the protocol where there are several of one number.
	Ports []Port
	// Query asks for the endpoints at a port, which need not be one of Ports, of the sort
	// of address that the owner asks for; "": the source's usual one. An error is about
	// the setting that a [KeyError] names. The value is of the source's type of queries.
	// What the object is called decides, and nothing else about it.
	Query func(port Port, address string) (any, error)
	// Doubt is why nothing more is known of the object than who it is, such as two
	// settings that contradict each other: then there are no Settings. nil: all is known.
	Doubt error
}

// Findings are all objects that a selection chose, or why it is not known which they
// are. The zero value is a doubt: only [NewFindings] makes one that is the whole truth.
type Findings struct {
	found []Found
	whole bool
	doubt error
}

// NewFindings are those of a source that has read all there is to read, if doubt is nil.
// They are in the order of their names, and each once: who answers with one twice is
// not to be believed.
func NewFindings(found []Found, doubt error) Findings {
	slices.SortStableFunc(found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for i := range found {
		if found[i].Doubt != nil {
			found[i].Settings = nil // so that nobody acts on a half of them
		}
		if i > 0 && doubt == nil && found[i].Namespace == found[i-1].Namespace && found[i].Name == found[i-1].Name {
			doubt = fmt.Errorf("%s is in the answer twice; find out what answers there", found[i].What)
		}
	}
	return Findings{found: found, whole: doubt == nil, doubt: doubt}
}

// All are the objects; an error says why it is not known which they are.
func (f Findings) All() ([]Found, error) {
	if f.whole {
		return f.found, nil
	}
	return nil, cmp.Or(f.doubt, errNoAnswer)
}

// Same says whether both are the whole truth, and the same.
func (f Findings) Same(as Findings) bool {
	return f.whole && as.whole && slices.EqualFunc(f.found, as.found, func(a, b Found) bool {
		return a.Namespace == b.Namespace && a.Name == b.Name && a.What == b.What && maps.Equal(a.Settings, b.Settings) &&
			slices.Equal(a.Ports, b.Ports) && (a.Doubt == nil) == (b.Doubt == nil) && (a.Doubt == nil || a.Doubt.Error() == b.Doubt.Error())
	})
}

// Discoverer is implemented by sources in which apps can opt in to being served.
type Discoverer interface {
	// CheckSelection says what is wrong with a selection, as a [Checker] does, by the
	// keys select and namespaces. It contacts nothing.
	CheckSelection(Selection) error
	// Discover answers all selections from one read: findings[i] is for selections[i].
	// An error means that nothing is known of any. It may be called concurrently.
	Discover(ctx context.Context, selections []Selection) ([]Findings, error)
	// WatchFound calls changed once it is connected and then on any possible change of
	// the findings, never twice at a time. It returns as a [Watcher] does.
	WatchFound(ctx context.Context, selections []Selection, changed func()) error
}
