package sync

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/report.md has every field of the JSON report, in its order, under a
// heading that names the list or object it is in, and no other. Which fields
// may be missing it says, too.
func TestTheReportIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{} // fields by the heading
	heading := ""
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			heading = strings.TrimSpace(name)
		}
		if m := regexp.MustCompile("^\\| `([a-z_]+)` \\| (.*?) \\|").FindStringSubmatch(line); m != nil {
			field := m[1]
			if m[2] != "always" {
				field += ",omitempty"
			}
			documented[heading] = append(documented[heading], field)
		}
	}
	where, fields := map[reflect.Type][]string{}, map[reflect.Type][]string{}
	var walk func(name string, of reflect.Type)
	walk = func(name string, of reflect.Type) {
		for of.Kind() != reflect.Struct {
			if of.Kind() != reflect.Slice && of.Kind() != reflect.Map && of.Kind() != reflect.Pointer {
				return
			}
			of = of.Elem()
		}
		where[of] = append(where[of], "`"+name+"`")
		if fields[of] != nil {
			return
		}
		for _, f := range reflect.VisibleFields(of) {
			tag := f.Tag.Get("json")
			fields[of] = append(fields[of], tag)
			tag, _, _ = strings.Cut(tag, ",")
			walk(tag, f.Type)
		}
	}
	walk("", reflect.TypeFor[jsonResult]())
	for of, names := range where {
		title := "The object"
		if of != reflect.TypeFor[jsonResult]() {
			title = strings.Join(names, ", ")
			if i := strings.LastIndex(title, ", "); i >= 0 {
				title = title[:i] + " and " + title[i+2:]
			}
		}
		if !slices.Equal(documented[title], fields[of]) {
			t.Errorf("docs/report.md says of %s\n%v, and there is\n%v", title, documented[title], fields[of])
		}
		delete(documented, title)
	}
	for title := range documented {
		t.Errorf("docs/report.md has %s, which no report has", title)
	}
	if version := fmt.Sprintf("\n  \"version\": %d,\n", JSONVersion); !strings.Contains(string(text), version) {
		t.Errorf("docs/report.md does not show version %d", JSONVersion)
	}
}
