package docker_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nitrox/sources/docker"
)

// What costs more than a list of all: many values, or many requests, of which each
// label is one, as Docker wants each of those that one filter has. No URL is too
// long for a proxy.
func TestFiltered(t *testing.T) {
	values := func(n, length int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("%0*d", length, i))
		}
		return all
	}
	for name, c := range map[string]struct {
		term     string
		values   []string
		requests int
		few      bool
	}{
		"nothing":                     {"id", nil, 0, true},
		"one name":                    {"name", values(1, 10), 1, true},
		"50 IDs":                      {"id", values(50, 25), 1, true},
		"256 IDs":                     {"id", values(256, 25), 3, true},
		"257 IDs":                     {"id", values(257, 25), 3, false},
		"256 names of the longest":    {"service", values(256, 63), 6, true},
		"ten labels":                  {"label", values(10, 40), 10, true},
		"16 labels":                   {"label", values(16, 40), 16, true},
		"17 labels":                   {"label", values(17, 40), 17, false},
		"labels longer than a filter": {"label", values(2, 10_000), 2, true},
		"of other letters":            {"label", []string{`a="b"`, "ä=ü&filters=x", "a="}, 3, true},
		"quotes take room":            {"name", slices.Repeat([]string{strings.Repeat(`"`, 100)}, 10), 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			requests, few := docker.Filtered(c.term, c.values)
			if len(requests) != c.requests || few != c.few {
				t.Errorf("%d requests, %v; want %d, %v", len(requests), few, c.requests, c.few)
			}
			left := make(map[string]bool)
			for _, v := range c.values {
				left[v] = true
			}
			for _, r := range requests {
				text, err := json.Marshal(r)
				if length := len(url.QueryEscape(string(text))); err != nil || length > 4200 && len(r[c.term]) > 1 {
					t.Errorf("a filter of %d bytes (%v)", length, err)
				}
				for v := range r[c.term] {
					delete(left, v)
				}
			}
			if len(left) > 0 {
				t.Errorf("not asked for: %v", left)
			}
		})
	}
}
