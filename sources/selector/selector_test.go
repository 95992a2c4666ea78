package selector_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"nitrox/sources/selector"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, problem string }{
		{"nitrox=on", ""},
		{"nitrox==on,tier!=test", ""},
		{"nitrox in (on, edge)", ""},
		{"nitrox", ""},
		{"", "also chooses what has no label at all"},
		{" ", "also chooses what has no label at all"},
		{"nitrox!=off", "also chooses what has no label at all"},
		{"!internal", "also chooses what has no label at all"},
		{"tier notin (test)", "also chooses what has no label at all"},
		{"nitrox in (", "this is not a label selector like nitrox=on"},
		{"nitrox=on off", "this is not a label selector"},
		{"nitrox.io/port=80", "nitrox.io/port says how an app is served, not whether; select by a label without nitrox.io/"},
		{"nitrox=on,nitrox.io/service-group", "nitrox.io/service-group says how"},
	} {
		s, err := selector.Parse(c.text)
		switch {
		case (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem):
			t.Errorf("%q: %v, want %q", c.text, err, c.problem)
		case err == nil && s.Matches(labels.Set{"app": "web"}):
			t.Errorf("%q chooses what did not opt in", c.text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"nitrox=on", "a in (b,c),!d", "a notin (b)", "a>1", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := selector.Parse(text); err == nil && (s.Matches(labels.Set{}) || s.Matches(labels.Set{"unheard-of": "x y"})) {
			again, err := selector.Parse(s.String())
			t.Errorf("%q chooses what did not opt in (%v, %v)", text, again, err)
		}
	})
}
