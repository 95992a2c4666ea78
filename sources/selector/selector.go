// Package selector reads the label selectors by which apps opt in to being served.
package selector

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources"
)

// Parse reads a selector in Kubernetes' syntax, which Marathon's is a part of. It must
// not choose what nobody has labelled: all that there is would be served.
func Parse(text string) (labels.Selector, error) {
	s, err := labels.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("this is not a label selector like nitrox=on or nitrox in (on, edge): %w", err)
	case s.Matches(labels.Set{}):
		return nil, errors.New("it also chooses what has no label at all; name one that apps opt in with, such as nitrox=on")
	}
	requirements, _ := s.Requirements() // false only of one that chooses nothing, which is none of these
	for _, r := range requirements {
		if strings.HasPrefix(r.Key(), sources.SettingPrefix) {
			return nil, fmt.Errorf("%s says how an app is served, not whether; select by a label without %s, such as nitrox=on",
				r.Key(), sources.SettingPrefix)
		}
	}
	return s, nil
}

// Check says what is wrong with a selection, as a [sources.Discoverer] does. bad is what
// is wrong with a namespace.
func Check(selection sources.Selection, bad func(namespace string) error) error {
	var problems sources.Problems
	if _, err := Parse(selection.Select); err != nil {
		problems.Add("select", "%w", err)
	}
	if selection.Namespaces != nil && len(selection.Namespaces) == 0 {
		problems.Add("namespaces", "it names none; name those whose apps may opt in, or leave it out for all")
	}
	for i, n := range selection.Namespaces {
		key := fmt.Sprintf("namespaces[%d]", i)
		if err := bad(n); err != nil {
			problems.Add(key, "%w", err)
		} else if slices.Contains(selection.Namespaces[:i], n) {
			problems.Add(key, "%s is listed twice", n)
		}
	}
	return problems.Err()
}
