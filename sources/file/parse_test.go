package file

import (
	"bytes"
	"reflect"
	"testing"

	"nitrox/sources"
)

// FuzzParse holds two promises: endpoints are fit to bind, and a file that was
// cut off anywhere never passes for a whole one.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"apps": {"web": ["10.0.0.1:80", {"address": "[2001:db8::1]:81", "weight": 2}], "empty": []}}`,
		`[{"servicename": "web", "backends": [{"host": "10.0.0.1", "port": "80"}, {"host": "10.0.0.2", "port": 80}]}]`,
		`{"servicename": "web", "backends": []}`,
		"apps:\n  web:\n  - 10.0.0.1:80\n  - {address: '10.0.0.2:80', weight: 3}\n...\n",
		"- servicename: web\n  backends:\n  - host: 10.0.0.1\n    port: 80\n...\n",
		"--- # a comment\napps: {web: [\"10.0.0.1:80\"]}\n...",
		`{"apps": {"\ud83d\ude00": null}}`, "[[[[", "...", "apps: &a [*a]\n...", "\xff\xfe",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		apps, err := parse("f", data)
		if err != nil {
			return
		}
		for app, answer := range apps {
			for _, e := range answer.Endpoints {
				if a := e.Addr.Addr(); !a.IsValid() || a.Zone() != "" || a.Is4In6() || e.Addr.Port() == 0 || e.Weight < 0 || e.Weight > 100 || e.Origin == "" {
					t.Fatalf("app %q: %+v is not fit to bind", app, e)
				}
			}
		}
		whole := bytes.TrimRight(data, " \t\r\n")
		for cut := max(0, len(whole)-200); cut < len(whole); cut++ {
			part, err := parse("f", data[:cut])
			if err == nil && !reflect.DeepEqual(part, apps) {
				t.Fatalf("%q, cut after byte %d, passes for a whole file of %v", data, cut, part)
			}
		}
	})
}

var _ sources.Source[Query] = (*Source)(nil)
