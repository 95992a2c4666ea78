package sources_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"nitrox/sources"
)

func TestSettings(t *testing.T) {
	type labels = map[string]string
	for name, c := range map[string]struct {
		written []map[string]string
		want    labels
		problem string
	}{
		"none":             {nil, labels{}, ""},
		"among others":     {[]labels{{"nitrox": "on", "nitrox.io/port": "http", "app": "web"}}, labels{"port": "http"}, ""},
		"in two places":    {[]labels{{"nitrox.io/port": "http"}, {"nitrox.io/weight": "20", "nitrox.io/port": "http"}}, labels{"port": "http", "weight": "20"}, ""},
		"without a name":   {[]labels{{"nitrox.io/": "x"}}, labels{"": "x"}, ""},
		"empty and absent": {[]labels{{"nitrox.io/port": ""}, {}}, labels{"port": ""}, ""},
		"empty and not":    {[]labels{{"nitrox.io/port": ""}, {"nitrox.io/port": "80"}}, nil, `nitrox.io/port is "" in one place and "80" in another; write it in one`},
		"long":             {[]labels{{"nitrox.io/port": strings.Repeat("x", 1001)}}, nil, "nitrox.io/port has 1001 characters; write at most 1000"},
		"a long name":      {[]labels{{"nitrox.io/" + strings.Repeat("x", 5000): strings.Repeat("x", 1001)}}, nil, "has 1001 characters"},
	} {
		got, err := sources.SettingsOf(c.written...)
		if !maps.Equal(got, c.want) || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v, %v; want %v, %q", name, got, err, c.want, c.problem)
		}
		if err != nil && len(err.Error()) > 700 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestFindings(t *testing.T) {
	object := func(namespace, name string) sources.Found {
		return sources.Found{Namespace: namespace, Name: name, What: name}
	}
	if found, err := (sources.Findings{}).All(); err == nil || found != nil {
		t.Errorf("the zero value is %v, %v", found, err)
	}
	if found, err := sources.NewFindings([]sources.Found{object("", "a")}, errors.New("no")).All(); err == nil || found != nil {
		t.Errorf("with a doubt: %v, %v", found, err)
	}
	if found, err := sources.NewFindings(nil, nil).All(); err != nil || len(found) > 0 {
		t.Errorf("of nothing: %v, %v", found, err)
	}
	found, err := sources.NewFindings([]sources.Found{object("b", "a"), object("a", "b"), object("a", "a")}, nil).All()
	if err != nil || len(found) != 3 || found[0].Name != "a" || found[1].Name != "b" || found[2].Namespace != "b" {
		t.Errorf("not in order: %v, %v", found, err)
	}
	if _, err := sources.NewFindings([]sources.Found{object("a", "b"), object("b", "b"), object("a", "b")}, nil).All(); err == nil || !strings.Contains(err.Error(), "in the answer twice") {
		t.Errorf("one twice: %v", err)
	}
	doubtful := object("a", "a")
	doubtful.Doubt, doubtful.Settings = errors.New("no"), map[string]string{"service-group": "sg"}
	if found, err := sources.NewFindings([]sources.Found{doubtful}, nil).All(); err != nil || found[0].Settings != nil {
		t.Errorf("settings of what is in doubt: %v, %v", found, err)
	}
}
