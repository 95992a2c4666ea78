package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/report.md has every field that the JSON report can have, under the
// heading that names the list or object it is in, and no other.
func TestDocumentsHaveTheFieldsOfTheReport(t *testing.T) {
	documented := map[string][]string{} // fields by what has them
	var groups [][]string               // what one heading is about
	var in []string
	for line := range strings.Lines(readFile(t, "docs/report.md")) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			in = []string{""}
			if names := regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(heading, -1); names != nil {
				in = nil
				for _, n := range names {
					in = append(in, n[1])
				}
			}
			groups = append(groups, in)
		}
		if field := regexp.MustCompile("^\\| `([a-z_]+)` \\|").FindStringSubmatch(line); field != nil {
			for _, name := range in {
				documented[name] = append(documented[name], field[1])
			}
		}
	}
	// These files show everything that a report can say.
	printed := map[string]map[string]bool{}
	var note func(in string, v any)
	note = func(in string, v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				note(in, item)
			}
		case map[string]any:
			for field, value := range v {
				note(field, value)
				if printed[in] == nil {
					printed[in] = map[string]bool{}
				}
				printed[in][field] = true
			}
		}
	}
	for _, file := range []string{"plan.json", "done.json"} {
		var report map[string]any
		if err := json.Unmarshal([]byte(readFile(t, "sync/testdata/report/"+file)), &report); err != nil {
			t.Fatal(err)
		}
		// These two have an object by each name.
		for _, byName := range []string{"sources", "netscalers"} {
			report[byName] = slices.Collect(maps.Values(report[byName].(map[string]any)))
		}
		note("", report)
	}
	for in, fields := range printed {
		for field := range fields {
			if !slices.Contains(documented[in], field) {
				t.Errorf("docs/report.md does not explain %q of %q", field, in)
			}
		}
	}
	// A heading for several lists has the fields of them all.
	for _, group := range groups {
		for _, field := range documented[group[0]] {
			if !slices.ContainsFunc(group, func(in string) bool { return printed[in][field] }) {
				t.Errorf("docs/report.md explains %q of %v, which no report has", field, group)
			}
		}
	}
}
